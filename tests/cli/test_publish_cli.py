"""publish, pull, and the Hub's side of validate and compact, as they are typed."""

from __future__ import annotations

import json

import pytest
from hub.record.records import cells, files_in, grow, snapshot_of, stored_cells
from results.made import dataset, model
from results.made import run as made_run

from hf_select.cli.app import run
from hf_select.cli.words import rows_in_words, size
from hf_select.records import Recipe

REPO = "lab/record"


@pytest.fixture
def say(hub, monkeypatch, capsys):
    """`say("publish ...", user=...)` -> exit code, stdout, stderr.

    The models and data sets of `grow` are not on the Hub: with `strict` that matters.
    """

    def type_in(line: str, user: str = "alice", strict: bool = False):
        if line.startswith("publish") and not strict:
            line += " --allow-local"
        monkeypatch.setenv("HF_TOKEN", f"hf_{user}")
        code = run(line.split())
        told = capsys.readouterr()
        return code, told.out, told.err

    return type_in


def test_the_whole_way(hub, say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grow(tmp_path / "mine")
    code, out, err = say(f"publish --results mine --to {REPO}")
    assert (code, err) == (0, "")
    commit = hub.commits("dataset", REPO)[0].sha
    sent = f"4 runs, 1 recipe, 2 models and 2 datasets sent to {REPO}"
    assert out.splitlines() == [
        f"{sent}, a new dataset, in commit {commit[:8]}",
        f"{hub.endpoint}/datasets/{REPO}",
    ]
    code, out, _ = say(f"publish --results mine --to {REPO}")
    assert (code, out.splitlines()[0]) == (0, f"Nothing to send: {REPO} has it all already")

    code, out, _ = say(f"pull {REPO} --results copy", user="bob")
    assert code == 0
    assert out.splitlines()[0] == "copy is a copy now: 4 runs, 1 recipe, 2 models and 2 datasets"
    assert f"fetched from {REPO} at {commit[:8]}" in out
    grow(tmp_path / "copy", "c")
    code, out, err = say(f"publish --results copy --to {REPO}", user="bob")
    assert (code, out) == (2, "")
    assert "--create-pr" in err
    code, out, _ = say(f"publish --results copy --to {REPO} --create-pr", user="bob")
    assert (code, out.splitlines()[0]) == (
        0,
        f"2 runs and 1 model sent to {REPO}, in pull request 1",
    )

    code, out, _ = say(f"validate {REPO} --pull-request 1 --comment")
    assert (code, "3 can be used, 0 can't" in out) == (0, True)
    hub.merge("dataset", REPO, 1)
    code, out, _ = say(f"compact {REPO}")
    assert (code, out) == (0, f"2 files folded; {REPO} is at generation 2\n")
    code, out, _ = say(f"compact {REPO}")
    assert out == f"Nothing to fold; {REPO} is at generation 2\n"
    code, out, _ = say(f"pull {REPO} --results mine")
    assert out.splitlines()[0] == "New in mine: 2 runs and 1 model"
    assert stored_cells(hub, REPO) == cells("abc")


def test_json_is_one_document(hub, say, tmp_path):
    grow(tmp_path / "mine")
    code, out, _ = say(f"publish --results {tmp_path / 'mine'} --to {REPO} --json")
    document = json.loads(out)
    assert code == 0
    assert document == {
        "repo": REPO,
        "url": f"{hub.endpoint}/datasets/{REPO}",
        "user": "alice",
        "revision": hub.commits("dataset", REPO)[0].sha,
        "pull_request": None,
        "created": True,
        "rows": {"recipes": 1, "models": 2, "datasets": 2, "runs": 4},
        "refused": [],
        "local": [],
        "problems": [],
    }
    _, out, _ = say(f"pull {REPO} --results {tmp_path / 'copy'} --json")
    document = json.loads(out)
    assert (document["copied"], document["rows"]["runs"]) == (True, 4)
    assert set(document) == {
        *("repo", "revision", "results", "copied", "rows", "bytes", "problems"),
    }


def test_refused_rows_are_named_and_the_exit_code_is_1(hub, say, tmp_path):
    local = grow(tmp_path / "mine")
    say(f"publish --results {local.path} --to {REPO}")
    grow(local.path, "c").append([made_run("ghost", "x", 0.5)])
    code, out, err = say(f"publish --results {local.path} --to {REPO}")
    assert code == 1
    assert "refused, not sent: runs: ghost on x seed 0: nothing is known of model" in err
    assert out.startswith(f"2 runs and 1 model sent to {REPO}")
    code, out, err = say(f"publish --results {local.path} --to {REPO} --json")
    assert code == 1
    assert json.loads(out)["refused"][0]["kind"] == "runs"
    code, out, _ = say(f"publish --results {local.path} --to {REPO}")
    assert (code, out.splitlines()[0]) == (1, f"Nothing sent to {REPO}")


def test_what_is_on_this_machine_only_is_named(hub, say, tmp_path):
    local = grow(tmp_path / "mine", ["me/a", "me/b"], ["me/x"])
    for kind, entry in (("model", model("me/a")), ("dataset", dataset("me/x"))):
        hub.add(kind, entry.repo_id, {"config.json": "{}"}, commit=entry.revision)
    line = f"publish --results {local.path} --to {REPO}"
    code, out, err = say(line, strict=True)
    assert code == 1
    assert out.startswith("1 run, 1 recipe, 1 model and 1 dataset sent")
    assert err.splitlines() == [
        "left out: me/b (1 run) is on this machine only: nobody else could load it",
        "Hint: `--allow-local` sends them too",
    ]
    code, out, _ = say(f"{line} --json", strict=True)
    assert (code, json.loads(out)["local"]) == (1, ["me/b"])
    code, out, _ = say(line, strict=True)
    assert (code, out.splitlines()[0]) == (1, f"Nothing sent to {REPO}")
    code, out, err = say(f"{line} --allow-local", strict=True)
    assert (code, err, out.startswith("1 run and 1 model sent")) == (0, "", True)


def test_refused_rows_are_told_reason_by_reason(hub, say, tmp_path):
    local = grow(tmp_path / "mine")
    say(f"publish --results {local.path} --to {REPO}")
    recipe = Recipe(epochs=3)
    key = {"recipe": recipe.digest()}
    local.append([made_run(m, "x", 0.5, key=key, seed=n) for n in range(18) for m in "ab"])
    local.append(recipes=[recipe])
    local.append([made_run("a", f"ghost{n}", 0.5) for n in range(12)])
    line = f"publish --results {local.path} --to {REPO}"
    code, _, err = say(line)
    lines = err.splitlines()
    assert code == 1
    assert len(lines) == 12  # ten reasons, how many more there are, and the hint
    assert lines[0].startswith(f"36 runs refused, not sent: recipe is '{recipe.digest()}'")
    assert lines[0].endswith("(first: a on x, seed 0)")
    assert lines[10] == "3 rows more, for 3 other reasons: see --json"
    assert lines[11] == "Hint: `--accept-new-recipes` sends runs of such recipes too"
    _, out, _ = say(f"{line} --json")
    assert len(json.loads(out)["refused"]) == 48


def test_an_empty_record(hub, say, tmp_path):
    grow(tmp_path / "mine", "", "").compact()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "manifest.json").write_text(
        '{"schema_version": 1, "generation": 0, "snapshots": []}'
    )
    code, out, _ = say(f"publish --results {tmp_path / 'empty'} --to {REPO}")
    assert (code, "holds no rows" in out) == (0, True)
    assert ("dataset", REPO) not in hub.store.repos


BAD = [
    "publish --results {mine} --to record",
    "publish --results {mine} --to lab/pictures",
    "publish --results {mine} --to lab/future",
    "publish --results {mine} --to bob/new",
    "publish --results {mine} --to lab/nothing --create-pr",
    "publish --results {tmp}/nothing --to lab/new",
    "publish --results {tmp} --to lab/new",
    "pull lab/nothing --results {mine}",
    "pull lab/a-model --results {mine}",
    "pull lab/pictures --results {tmp}/new",
    "pull lab/future --results {mine}",
    "pull {repo} --results {tmp}/new --task poetry",
    "pull {repo} --results {tmp}/new --revision v9",
    "pull {repo} --results {tmp}",
    "pull {repo} --results demo",
    "compact lab/nothing",
    "compact lab/pictures",
    "compact {repo}@main",
    "validate {repo} --pull-request 7",
    "validate {repo} --comment",
    "validate {mine} --pull-request 7",
    "validate lab/a-model",
]


def test_bad_input_is_one_clear_line_and_exit_code_2(hub, say, tmp_path):
    desk = tmp_path / "desk"
    mine = grow(desk / "mine").path
    say(f"publish --results {mine} --to {REPO}")
    (desk / "notes.txt").write_text("")
    hub.add("model", "lab/a-model", {"config.json": "{}"})
    hub.add("dataset", "lab/pictures", {"train.csv": "a"})
    hub.add("dataset", "lab/future", {"manifest.json": '{"schema_version": 99}'})
    before = {name: snapshot_of(hub, name) for name in (REPO, "lab/pictures", "lab/future")}
    repos, local = set(hub.store.repos), files_in(desk)
    for line in BAD:
        filled = line.format(mine=mine, tmp=desk, repo=REPO)
        code, out, err = say(filled)
        assert (code, out) == (2, ""), filled
        assert [part.split(":")[0] for part in err.splitlines()] == ["Error", "Hint"], err
        code, out, err = say(f"{filled} --json")
        assert (code, err) == (2, ""), filled
        assert set(json.loads(out)["error"]) == {"type", "message", "hint"}
    assert {name: snapshot_of(hub, name) for name in before} == before
    assert set(hub.store.repos) == repos
    assert files_in(desk) == local


def test_who_may_not_compact_is_not_sent_to_a_pull_request(hub, say, tmp_path):
    say(f"publish --results {grow(tmp_path / 'mine').path} --to {REPO}")
    say(f"publish --results {grow(tmp_path / 'mine', 'c').path} --to {REPO}")
    code, _, err = say(f"compact {REPO}", user="bob")
    assert code == 2
    assert "--create-pr" not in err


def test_words():
    assert rows_in_words({"models": 2, "runs": 1}) == "1 run and 2 models"
    assert rows_in_words({"proxies": 1200}) == "1,200 proxy scores"
    assert rows_in_words({}) == ""
    assert [size(n) for n in (0, 1, 999, 1500, 99_000, 12_345_678)] == [
        *("0 bytes", "1 byte", "999 bytes", "1.5 kB", "99.0 kB", "12.3 MB"),
    ]


def test_a_page_goes_to_a_space(hub, say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grow(tmp_path / "mine")
    code, out, _ = say("publish --results mine --space lab/page", strict=True)
    commit = hub.commits("space", "lab/page")[0].sha
    assert (code, out.splitlines()) == (
        0,
        [
            f"The page is put up as lab/page, a new Space, in commit {commit[:8]}",
            f"{hub.endpoint}/spaces/lab/page",
        ],
    )
    page = hub.files("space", "lab/page")["index.html"].decode()
    assert "The record <em>mine</em>" in page
    assert str(tmp_path) not in page
    code, out, _ = say("publish --results mine --space lab/page", strict=True)
    assert (code, out.splitlines()[0]) == (
        0,
        "Nothing to put up: lab/page has this page already",
    )

    code, out, _ = say(f"publish --results mine --to {REPO} --space lab/page --json")
    assert code == 0
    document = json.loads(out)
    assert document["rows"]["runs"] == 4
    assert document["space"]["files"] == ["index.html", "README.md"]
    assert f"The record <em>{REPO}</em>" in hub.files("space", "lab/page")["index.html"].decode()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("publish --results mine", "--to a results dataset, or --space"),
        ("publish --results mine --space lab/page --create-pr", "needs --to"),
    ],
)
def test_what_is_to_be_published_must_be_said(line, words, hub, say):
    code, _, err = say(line, strict=True)
    assert code == 2
    assert words in " ".join(err.split())
    assert not hub.requests()


def test_the_page_of_a_record_on_the_hub(hub, say, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grow(tmp_path / "mine")
    say(f"publish --results mine --to {REPO}")
    commit = hub.commits("dataset", REPO)[0].sha
    code, out, err = say(f"report {REPO}")
    assert (code, out.strip()) == (0, "lab-record-report.html")
    page = (tmp_path / "lab-record-report.html").read_text(encoding="utf-8")
    assert f"The record <em>{REPO}</em>" in page
    assert f"Read from {REPO} at commit {commit[:12]} on the Hub." in page
    assert f"of {REPO} at {commit[:7]} in" in err
    code, _, _ = say(f"publish --results {REPO} --space lab/page")
    assert code == 2  # --allow-local, which `say` adds, is about rows
    code, _, _ = say(f"publish --results {REPO} --space lab/page", strict=True)
    assert code == 0
    card = hub.files("space", "lab/page")["README.md"].decode()
    assert f"datasets:\n- {REPO}" in card
    code, _, err = say("report lab/nothing")
    assert code == 2
    assert "no results dataset of that name" in " ".join(err.split())
