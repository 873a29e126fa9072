"""What somebody reads who has named the wrong thing: what it is, and a step that helps."""

from __future__ import annotations

import json

import pytest
from hub.record.records import files_in, grow

from hf_select.cli.app import run

REPO = "alice/record"
TASK = "text-classification"


@pytest.fixture
def say(hub, monkeypatch, capsys, tmp_path):
    """`say("pull ...", user=...)` -> exit code, stdout, stderr, beside a record on the Hub."""
    grow(tmp_path / "founder").compact()
    hub.add("dataset", REPO, files_in(tmp_path / "founder"))
    hub.add("model", "alice/net", {"config.json": "{}"})
    hub.add("dataset", "alice/rows", {"train.csv": "text,label\na,b\n"})
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    hub.log.clear()

    def type_in(line: str, user: str = "alice"):
        monkeypatch.setenv("HF_TOKEN", f"hf_{user}")
        code = run(line.split())
        told = capsys.readouterr()
        return code, told.out, told.err

    return type_in


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"publish --results {REPO} --to alice/x", f"hf-select pull {REPO} --results DIR"),
        ("pull alice/rows --results x", "Hint: name a results dataset: what"),
        (f"recall alice/net --results {REPO}", "alice/net is a model, but a target is a dataset"),
        ("recall x.csv --results alice/net", "alice/net is a model, but a record is a dataset"),
        ("recall x.csv --results alice/rows", "Hint: name what `hf-select benchmark`"),
        (f"update --catalog nocat --results r --to {REPO} --task {TASK}", "a folder that `hf-se"),
        ("pull alice/a--b --results x", "'alice/a--b' is no name of a repository"),
        (f"pull {REPO}@main --revision other --results x", "name two revisions"),
        ("publish --results ../founder --to alice/rows", "or to a new or empty one"),
    ],
)
def test_a_wrong_name_is_told_and_helped(say, hub, tmp_path, line, words):
    code, out, err = say(line)
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())
    assert not list((tmp_path / "here").iterdir())
    assert not hub.requests("POST")


@pytest.mark.parametrize("revision", ["main", "commit"])
def test_a_pull_may_name_the_revision_with_the_record(say, hub, tmp_path, revision):
    commit = hub.commits("dataset", REPO)[0].sha
    hub.push("dataset", REPO, files_in(grow(tmp_path / "founder", "c").path))
    at = commit if revision == "commit" else revision
    code, out, _ = say(f"pull {REPO}@{at} --results copy")
    assert code == 0
    assert ("4 runs" if revision == "commit" else "6 runs") in out
    code, out, _ = say(f"pull {REPO}@{at} --results again")
    assert f"0 bytes fetched from {REPO} at " in out or revision == "main"


def test_nothing_fetched_is_nothing_new_to_fetch(say):
    assert "(the rest was cached)" not in say(f"pull {REPO} --results one --json")[1]
    assert "0 bytes fetched" in (out := say(f"pull {REPO} --results two")[1])
    assert "(the rest was cached)" in out


@pytest.mark.parametrize(
    ("user", "to", "results", "words"),
    [
        ("alice", REPO, REPO, "isn't written to directly"),
        ("bob", REPO, "record", "--create-pr"),
        ("bob", "alice/new", "record", "a name of your own"),
    ],
)
def test_an_update_that_could_not_publish_begins_nothing(
    say, hub, tmp_path, user, to, results, words
):
    row = {"repo_id": "alice/rows", "revision": "1" * 40, "task": TASK}
    row |= {"input_columns": ["text"], "label_column": "label", "num_labels": 2}
    row |= {"label_names": ["a", "b"], "metric": "accuracy", "splits": {"train": 1}}
    catalog = tmp_path / "catalog.json"
    catalog.write_text(json.dumps({"models": [], "datasets": [row]}))
    line = f"update --catalog {catalog} --results {results} --to {to} --task {TASK}"
    code, out, err = say(line, user=user)
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())
    assert not list((tmp_path / "here").iterdir())
    assert not hub.requests("*", "*/resolve/*")


@pytest.mark.parametrize("command", ["update", "benchmark"])
def test_who_writes_to_a_record_says_that_it_is_a_folder(capsys, command):
    run([command, "--help"])
    assert "One on the Hub, and `demo`" in " ".join(capsys.readouterr().out.split())


# ---------------------------------------------------------------------------------- a broken card


BROKEN = {
    "yaml": "---\nlicense: [\n---\n",
    "mark": "# Mine\n<!-- contents: written by compaction -->\n",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_card_is_named(say, hub, kind):
    said = "is not YAML" if kind == "yaml" else "once after it, or neither"
    hub.push("dataset", REPO, {"README.md": BROKEN[kind]})
    code, out, _ = say(f"validate {REPO}")
    assert (code, said in " ".join(out.split())) == (1, True)
    code, _, err = say(f"pull {REPO} --results copy")
    assert (code, said in " ".join(err.split())) == (0, True)
    assert "/tmp" not in err
    code, out, _ = say("validate copy")
    assert (code, said in " ".join(out.split())) == (1, True)
