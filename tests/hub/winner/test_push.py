"""Pushing a winner over real HTTP: one commit, once; nothing private; nothing of others lost."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub.winner.winners import BASE, BASE_COMMIT, LOCAL, PUSHED, finished, state_of, write_winner
from hub_population import weights
from huggingface_hub import ModelCard

from hf_select.errors import AccessError, HubError, InputError, ModelError
from hf_select.hub.winner.push import choose_license, push_winner
from hf_select.report.page import render

REPO = "lab/winner"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_winner(tmp_path / "chosen")


def push(client: Any, folder: Path, repo: str = REPO, **options: Any) -> Any:
    document = options.pop("document", None) or json.loads((folder / "selection.json").read_text())
    return push_winner(client, folder, document, repo, render=render, **options)


def titles(hub: Any, repo: str = REPO) -> list[str]:
    return [commit.title for commit in hub.commits("model", repo)][
        :-1
    ]  # the first one is the Hub's


# ------------------------------------------------------------------------------ exactly once


def test_a_winner_goes_in_one_commit(hub: Any, client: Any, out: Path) -> None:
    pushed = push(client(hub), out)
    files = hub.files("model", REPO)
    assert set(files) - {".gitattributes"} == PUSHED == set(pushed.files)
    assert len(titles(hub)) == 1
    assert (pushed.created, pushed.pull_request) == (True, None)
    assert pushed.commit == hub.commits("model", REPO)[0].sha
    assert pushed.bytes_sent == sum(len(files[path]) for path in PUSHED)
    assert files["model.safetensors"] == (out / "model.safetensors").read_bytes()
    assert ModelCard(files["README.md"].decode()).data.model_name == "winner"
    document = json.loads(files["selection.json"])
    assert document["winner"]["checkpoint"] == REPO
    assert REPO in files["report.html"].decode()


def test_35_pushed_twice_nothing_is_sent(hub: Any, client: Any, out: Path) -> None:
    first = push(client(hub), out)
    sent = len(hub.requests("POST")) + len(hub.requests("PUT"))
    again = push(client(hub), out)
    assert (again.files, again.bytes_sent, again.commit) == ((), 0, first.commit)
    assert len(hub.requests("POST")) + len(hub.requests("PUT")) == sent
    assert len(titles(hub)) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "applied": True},
        {"cut": 0, "applied": True},
        {"status": 503},
        {"status": 412},
    ],
    ids=["500 but applied", "reset but applied", "503", "412"],
)
def test_26_after_an_error_there_is_one_commit(
    hub: Any, client: Any, out: Path, fault: dict[str, Any]
) -> None:
    struck = hub.fault("POST", "*/commit/*", **fault)
    pushed = push(client(hub), out)
    assert struck.struck == 1
    assert len(titles(hub)) == 1
    assert pushed.commit == hub.commits("model", REPO)[0].sha
    assert set(hub.files("model", REPO)) >= PUSHED


def test_an_upload_that_the_hub_gives_up_can_be_repeated(hub: Any, client: Any, out: Path) -> None:
    fault = hub.fault("POST", "*/commit/*", status=503, times=100)
    with pytest.raises(HubError):
        push(client(hub), out)
    fault.times = 0
    pushed = push(client(hub), out)
    assert not pushed.created
    assert len(titles(hub)) == 1


def test_a_private_repository_is_made_private(hub: Any, client: Any, out: Path) -> None:
    push(client(hub), out, private=True)
    assert hub.repo("model", REPO).private
    hub.repo("model", REPO).private = False
    assert any("stays so" in note for note in push(client(hub), out, private=True).notes)


# ----------------------------------------------------------------------------- nothing private


def test_rows_of_the_data_and_places_stay_here(hub: Any, client: Any, tmp_path: Path) -> None:
    metric = "evaluate:/srv/secret/metrics/mine:better=higher"
    document = finished(
        metric=metric, command=f"hf-select select /srv/secret/a.csv --out o --metric {metric}"
    )
    document["settings"]["metric"] = metric
    document["data"]["checks"] = [
        {
            "check": "duplicates",
            "level": "warning",
            "text": "2 of 60 train rows repeat another one (row 3 and row 9)",
            "example": "'patient John Doe has a cold'",
        },
        {
            "check": "leakage",
            "level": "note",
            "text": "1 of 9 test rows is in train",
            "example": "/srv/secret/images/doe.png",
        },
    ]
    out = write_winner(tmp_path / "chosen", document)
    assert "John Doe" in (out / "report.html").read_text()  # whoever has the folder sees it
    push(client(hub), out)
    sent = hub.files("model", REPO)
    for name, data in sent.items():
        for word in (b"John Doe", b"doe.png", b"/srv", b"secret"):
            assert word not in data, (name, word)
    assert b"row 3 and row 9" in sent["report.html"]
    assert b"evaluate:./mine:better=higher" in sent["README.md"]
    assert b"row 3 and row 9" in sent["selection.json"]


# ------------------------------------------------------------------------- what others have put


def test_a_repository_that_holds_another_model_is_left_alone(
    hub: Any, client: Any, out: Path
) -> None:
    hub.add(
        "model", REPO, {"model.safetensors": weights(9), "vocab.txt": "old", "README.md": "Mine"}
    )
    before = state_of(hub)
    with pytest.raises(InputError, match=r"holds something else \(model\.safetensors\)") as error:
        push(client(hub), out)
    assert "--create-pr" in error.value.hint
    assert "--replace" in error.value.hint
    assert state_of(hub) == before
    pushed = push(client(hub), out, replace_other=True)
    assert set(hub.files("model", REPO)) - {".gitattributes"} == PUSHED
    assert pushed.deleted == ("vocab.txt",)
    assert len(titles(hub)) == 1


@pytest.mark.parametrize("text", ["A text by hand.", "---\nlicense: mit\n---\nA text by hand."])
def test_a_card_by_hand_is_no_free_place(hub: Any, client: Any, out: Path, text: str) -> None:
    hub.add("model", REPO, {"README.md": text})
    with pytest.raises(InputError, match=r"README\.md"):
        push(client(hub), out)
    assert hub.files("model", REPO)["README.md"].decode() == text


def test_a_repository_made_on_the_hubs_pages_is_a_free_place(
    hub: Any, client: Any, out: Path
) -> None:
    hub.add("model", REPO, {"README.md": "---\nlicense: mit\n---\n"})
    assert set(push(client(hub), out).files) == PUSHED


def test_a_card_that_was_edited_stays(hub: Any, client: Any, out: Path) -> None:
    push(client(hub), out)
    edited = hub.files("model", REPO)["README.md"].decode().replace("## Use", "## How I use it")
    hub.push("model", REPO, {"README.md": edited})
    document = finished(seconds=1.0)  # something has changed, so there is something to send
    pushed = push(client(hub), out, document=document)
    assert set(pushed.files) == {"selection.json", "report.html"}
    assert any("edited by hand" in note for note in pushed.notes)
    assert hub.files("model", REPO)["README.md"].decode() == edited
    assert push(client(hub), out, document=document, replace_other=True).files == ("README.md",)
    assert "## How I use it" not in hub.files("model", REPO)["README.md"].decode()


def test_a_card_that_nobody_edited_is_written_anew(hub: Any, client: Any, out: Path) -> None:
    push(client(hub), out)
    assert push(client(hub), out, license="apache-2.0").files == ("README.md",)
    assert ModelCard(hub.files("model", REPO)["README.md"].decode()).data.license == "apache-2.0"


def test_somebody_else_commits_first(hub: Any, client: Any, out: Path) -> None:
    """Between the look and the commit another model arrives: it isn't overwritten."""
    hub.add("model", REPO)
    alice = client(hub)
    create_commit = alice.api.create_commit

    def late(*args: Any, **kwargs: Any) -> Any:
        if len(titles(hub)) == 0:
            hub.push("model", REPO, {"model.safetensors": weights(9)})
        return create_commit(*args, **kwargs)

    alice.api.create_commit = late
    with pytest.raises(InputError, match="holds something else"):
        push(alice, out)
    assert hub.files("model", REPO)["model.safetensors"] == weights(9)


# ----------------------------------------------------------------------------- pull requests


@pytest.mark.parametrize("fault", [None, {"status": 500, "applied": True}], ids=["", "500 applied"])
def test_a_winner_is_proposed_once(
    hub: Any, client: Any, out: Path, fault: dict[str, Any] | None
) -> None:
    hub.add("model", "bob/theirs", {"model.safetensors": weights(9), "old.txt": "old"})
    before = hub.files("model", "bob/theirs")
    if fault:
        hub.fault("POST", "*/commit/*", **fault)
    pushed = push(client(hub), out, "bob/theirs", create_pr=True)
    assert hub.files("model", "bob/theirs") == before
    (request,) = hub.pull_requests("model", "bob/theirs")
    assert (request.author, request.num) == ("alice", pushed.pull_request)
    assert set(hub.files("model", "bob/theirs", request.ref)) - {".gitattributes"} == PUSHED
    assert pushed.url.endswith(f"/discussions/{request.num}")
    again = push(client(hub), out, "bob/theirs", create_pr=True)
    assert (again.pull_request, again.files) == (request.num, ())
    assert len(hub.pull_requests("model", "bob/theirs")) == 1


def test_there_must_be_something_to_make_a_pull_request_to(
    hub: Any, client: Any, out: Path
) -> None:
    with pytest.raises(InputError, match="no model lab/winner"):
        push(client(hub), out, create_pr=True)
    assert ("model", REPO) not in hub.store.repos


# -------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("token", "repo", "expected"),
    [
        ("hf_bob", REPO, "not the right"),
        ("hf_reader", "reader/winner", "write token"),
        ("hf_nobody", REPO, "doesn't know this token"),
        (False, REPO, "needs a token"),
    ],
)
def test_27_no_right_to_do_it(
    hub: Any, client: Any, out: Path, token: Any, repo: str, expected: str
) -> None:
    before = state_of(hub)
    with pytest.raises(AccessError, match=expected) as error:
        push(client(hub, token=token), out, repo)
    assert error.value.exit_code == 2
    assert "--create-pr" not in error.value.hint  # there is nothing to make one to
    assert state_of(hub) == before
    assert client.slept == []


def test_27_no_right_to_a_repository_that_is_there(hub: Any, client: Any, out: Path) -> None:
    hub.add("model", REPO)
    before = state_of(hub)
    with pytest.raises(AccessError, match="not the right"):
        push(client(hub, token="hf_bob"), out)
    assert state_of(hub) == before


@pytest.mark.parametrize("kind", ["dataset", "space"])
def test_the_name_of_another_kind_is_refused(hub: Any, client: Any, out: Path, kind: str) -> None:
    hub.add(kind, REPO)
    before = state_of(hub)
    with pytest.raises(InputError, match=f"is a {kind}"):
        push(client(hub), out)
    assert state_of(hub) == before


@pytest.mark.parametrize("name", ["winner", "a/b/c", "", "lab/../winner", "lab/win ner"])
def test_a_name_that_is_none(hub: Any, client: Any, out: Path, name: str) -> None:
    with pytest.raises(InputError):
        push(client(hub), out, name)
    assert not hub.requests("POST")


def test_29_offline_no_request_is_made(
    hub: Any, client: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(AccessError, match="offline"):
        push(client(hub), out)
    assert hub.log == []


@pytest.mark.parametrize("damage", ["cut", "pickled", "code", "none"])
def test_a_folder_without_a_safe_model(hub: Any, client: Any, out: Path, damage: str) -> None:
    file = out / "model.safetensors"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "code":
        (out / "config.json").write_text('{"auto_map": {"AutoModel": "evil.Model"}}')
    else:
        file.unlink()
    if damage == "pickled":
        (out / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError):
        push(client(hub), out)
    assert hub.log == []


@pytest.mark.parametrize("key", ["curves", "funnel", "recall", "versions"])
def test_a_document_that_lacks_something(hub: Any, client: Any, out: Path, key: str) -> None:
    document = finished()
    del document[key]
    with pytest.raises(InputError, match="not the document of a finished selection"):
        push(client(hub), out, document=document)
    assert not hub.requests("POST")


# ----------------------------------------------------------------------------- nothing private


def test_only_what_makes_the_model_leaves_the_folder(hub: Any, client: Any, out: Path) -> None:
    (out / ".select" / "trials").mkdir(parents=True)
    (out / ".select" / "trials" / "state.safetensors").write_bytes(weights(1))
    (out / "checkpoint-12").mkdir()
    (out / "checkpoint-12" / "model.safetensors").write_bytes(weights(1))
    for name in ("training_args.bin", "optimizer.pt", "notes.txt", ".env", "model.py"):
        (out / name).write_text("mine")
    pushed = push(client(hub), out)
    assert set(hub.files("model", REPO)) - {".gitattributes"} == PUSHED
    for name in ("training_args.bin", ".env", ".select/", "checkpoint-12/"):
        assert name in pushed.notes[0]


def test_30_no_token_and_no_place_of_this_machine_leaves_it(
    hub: Any, client: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "hf_" + "s3cret" * 6
    hub.user(token, "alice", orgs=("lab",))
    monkeypatch.setenv("HF_TOKEN", token)
    document = finished()
    document["winner"]["checkpoint"] = str(out)
    document["ranking"][1]["reason"] = f"model '{LOCAL}' can't be read: {out}/x and /data/a/b.csv"
    document["recall"]["skipped"] = [{"model": "m", "reason": f"{LOCAL}/config.json: no such file"}]
    document["data"]["notes"] = [f"folders without images left out of {Path.home()}/pictures/cats"]
    document["record"]["name"] = str(out)
    (out / "selection.json").write_text(json.dumps(document))
    (out / "preprocessor_config.json").write_text(
        json.dumps({"name_or_path": f"{LOCAL}/base", "size": 32})
    )
    push(client(hub, token=token), out)
    files = hub.files("model", REPO)
    sent = b"".join([*files.values(), *(path.encode() for path in files)])
    places = (str(out.parent), str(Path.home()) + "/", tempfile.gettempdir(), LOCAL, "/data/a/")
    for secret in (token, token[3:], *places):
        assert secret.encode() not in sent, secret
    assert json.loads(files["preprocessor_config.json"]) == {"size": 32}
    shown = json.loads(files["selection.json"])
    assert shown["ranking"][1]["reason"].startswith("model 'secret-project' can't be read:")
    for commit in hub.commits("model", REPO):
        assert token not in commit.title + commit.message


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "selection.json"])
def test_30_a_file_that_holds_a_token_is_refused(
    hub: Any, client: Any, out: Path, name: str
) -> None:
    token = "hf_" + "A1b2C3d4" * 5
    document = finished(note=token) if name == "selection.json" else finished()
    settings = json.loads((out / "config.json").read_text())
    if name != "selection.json":
        (out / name).write_text(json.dumps({**settings, "x": token}))
    with pytest.raises(InputError, match=name) as error:
        push(client(hub), out, document=document)
    assert token not in str(error.value)
    assert not hub.requests("POST")


def test_settings_that_name_a_place_are_refused(hub: Any, client: Any, out: Path) -> None:
    (out / "preprocessor_config.json").write_text(json.dumps({"x": f"{Path.home()}/secret"}))
    with pytest.raises(InputError, match=r"preprocessor_config\.json names a place"):
        push(client(hub), out)
    assert not hub.requests("POST")


# ------------------------------------------------------------------------------ what is claimed


def base_of(hub: Any, client: Any, out: Path, **winner: Any) -> str | None:
    document = finished()
    document["winner"] |= winner
    push(client(hub), out, document=document)
    found: str | None = ModelCard(hub.files("model", REPO)["README.md"].decode()).data.base_model
    return found


def test_28_a_base_that_was_measured_at_a_commit_of_the_hub(
    hub: Any, client: Any, out: Path
) -> None:
    hub.add("model", BASE, {"model.safetensors": weights(0)}, commit=BASE_COMMIT)
    hub.force_push("model", BASE, {"model.safetensors": weights(5)})  # that commit is still there
    assert base_of(hub, client, out) == BASE
    card = hub.files("model", REPO)["README.md"].decode()
    assert f"{BASE}/tree/{BASE_COMMIT}" in card


@pytest.mark.parametrize(("seed", "expected"), [(0, BASE), (5, None)])
def test_a_local_base_is_named_where_the_hub_has_the_same_weights(
    hub: Any, client: Any, out: Path, seed: int, expected: str | None
) -> None:
    from hf_select.files import sha256

    head = hub.add("model", BASE, {"model.safetensors": weights(seed)})
    found = base_of(hub, client, out, weights_sha256=sha256(weights(0)))
    assert found == expected
    card = hub.files("model", REPO)["README.md"].decode()
    assert (f"{BASE}/tree/{head}" in card) == bool(expected)
    assert ("`base_model` is left out" in card) != bool(expected)


@pytest.mark.parametrize("model", [BASE, "a-folder"])
def test_a_base_that_is_nowhere_is_left_out(hub: Any, client: Any, out: Path, model: str) -> None:
    document = json.loads(json.dumps(finished()).replace(f'"{BASE}"', f'"{model}"'))
    pushed = push(client(hub), out, document=document)
    assert ModelCard(hub.files("model", REPO)["README.md"].decode()).data.base_model is None
    assert any("no base_model" in note for note in pushed.notes)


def test_a_licence_that_the_record_lacks_is_the_bases_on_the_hub(
    hub: Any, client: Any, out: Path
) -> None:
    files = {"model.safetensors": weights(0), "README.md": "---\nlicense: gpl-3.0\n---\n"}
    hub.add("model", BASE, files, commit=BASE_COMMIT)
    document = finished()
    document["winner"]["license"] = ""
    push(client(hub), out, document=document)
    assert ModelCard(hub.files("model", REPO)["README.md"].decode()).data.license == "gpl-3.0"
    with pytest.raises(InputError, match=r"gpl-3\.0"):
        push(client(hub), out, document=document, license="mit")


def test_a_licence_is_inherited_and_never_freer() -> None:
    assert choose_license("MIT", "") == "mit"
    assert choose_license("", "") == choose_license("unknown", "") == ""
    assert choose_license("", "apache-2.0") == "apache-2.0"
    assert choose_license("mit", "gpl-3.0") == "gpl-3.0"
    assert choose_license("cc0-1.0", "mit") == "mit"
    for base, given in (
        ("cc-by-nc-4.0", "mit"),
        ("gpl-3.0", "apache-2.0"),
        ("apache-2.0", "unlicense"),
        ("llama3", "cc-by-4.0"),
    ):
        with pytest.raises(InputError, match="base model is under"):
            choose_license(base, given)


EVAL = "tasks:\n- id: digits-test\n  config: default\n  split: test\n"


@pytest.mark.parametrize(
    ("text", "splits", "expected"),
    [
        (EVAL, {"test": "test"}, "digits-test"),
        (EVAL, {}, None),  # the test rows were set apart from the train split
        (EVAL, {"test": "holdout"}, None),
        (EVAL.replace("default", "other"), {"test": "test"}, None),
        (EVAL + EVAL[7:], {"test": "test"}, None),  # which of the two?
        ("tasks: 3", {"test": "test"}, None),
        ("][", {"test": "test"}, None),
        (None, {"test": "test"}, None),
    ],
)
def test_a_benchmark_of_the_hub_gets_the_score(
    hub: Any, client: Any, out: Path, text: str | None, splits: dict[str, str], expected: str | None
) -> None:
    commit = hub.add("dataset", "lab/digits", {} if text is None else {"eval.yaml": text})
    document = finished(created="2026-11-23T10:00:00+00:00")
    document["source"] |= {"revision": commit, "splits": splits}
    push(client(hub), out, document=document)
    files = hub.files("model", REPO)
    found = files.get(".eval_results/digits.yaml")
    if expected is None:
        assert found is None
        return
    (entry,) = yaml.safe_load(found)
    assert entry["dataset"] == {"id": "lab/digits", "task_id": expected, "revision": commit}
    assert entry["value"] == document["winner"]["test"]
    assert "accuracy" in entry["notes"]
