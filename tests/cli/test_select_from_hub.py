"""From a record on the Hub to a winner on the Hub: what is read, what is said, what can be loaded.

The commands run as in a terminal, over real HTTP, against a local Hub that holds the models too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from tinyzoo import RECIPE, TASK, benchmarked_zoo

from hf_select import pipeline
from hf_select.catalog import Catalog
from hf_select.cli.app import run
from hf_select.clustering.algorithms import cluster_models
from hf_select.errors import StoppedError
from hf_select.metrics import get_metric
from hf_select.results.repo import ResultsRepo
from hf_select.selection.policies import POLICIES, get_policy
from hf_select.selection.replay import ReplayTrial
from hf_select.selection.run import run_selection

RECORD, WINNER = "lab/record", "lab/winner"
OWN_TIMES = {"seconds", "record"}
"""What two recalls of one record may differ in."""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of four models, their compacted `record`, and a `target.csv`."""
    folder = benchmarked_zoo(tmp_path_factory)
    ResultsRepo.open(folder / "record").compact(cluster=cluster_models)
    return folder


@pytest.fixture
def there(hub: Any, zoo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The record and its models on a Hub, at their recorded commits; alice is logged in."""
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    monkeypatch.chdir(tmp_path)
    hub.add("dataset", RECORD, files_in(zoo / "record"))
    catalog = Catalog.load(zoo)
    for entry in catalog.models:
        folder = catalog.location(entry.repo_id)
        assert folder is not None
        files = {**files_in(folder), "README.md": "---\nlicense: mit\n---\n"}
        hub.add("model", entry.repo_id, files, commit=entry.revision)
    return hub


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".work" not in path.parts
    }


def asked(capsys: pytest.CaptureFixture[str], *command: object) -> tuple[dict[str, Any], str]:
    """The document and the messages of a command that succeeds."""
    code = run([*map(str, command), "--json"])
    streams = capsys.readouterr()
    assert code == 0, streams
    return json.loads(streams.out), streams.err


def reading_of(hub: Any, since: int) -> tuple[int, int]:
    """Requests about the record since then, and bytes of its files."""
    mine = [request for request in hub.log[since:] if f"datasets/{RECORD}" in request.path]
    files = [request for request in mine if "/resolve/" in request.path]
    return len(mine), sum(request.bytes_out for request in files)


# ------------------------------------------------------------------------------ what is read


@pytest.mark.parametrize("method", ["paper", "mean", "proxy:logme"])
def test_a_recall_from_the_hub_is_that_from_a_pulled_folder(
    there: Any, zoo: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    common = (zoo / "target.csv", "--catalog", zoo / "catalog.json", "--method", method)
    asked(capsys, "pull", RECORD, "--results", "pulled")
    local, _ = asked(capsys, "recall", *common, "--results", "pulled")
    remote, said = asked(capsys, "recall", *common, "--results", RECORD)
    assert {k: v for k, v in remote.items() if k not in OWN_TIMES} == {
        k: v for k, v in local.items() if k not in OWN_TIMES
    }
    assert all(len(row["revision"]) == 40 for row in remote["candidates"])
    assert local["record"]["repo"] is None
    read = remote["record"]
    commit = there.commits("dataset", RECORD)[0].sha
    assert (read["repo"], read["revision"]) == (RECORD, commit)
    assert f"of {RECORD} at {commit[:7]} in {read['requests']} requests" in said


def test_a_recall_reads_what_it_needs_and_says_how_much(
    there: Any, zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(there.log)
    document, _ = asked(
        capsys,
        *("recall", zoo / "target.csv", "--results", RECORD, "--catalog", zoo / "catalog.json"),
    )
    read = document["record"]
    assert (read["requests"], read["bytes"]) == reading_of(there, before)
    paths = [request.path for request in there.log[before:]]
    assert not any(name in path for path in paths for name in ("runs", "README", "inbox/"))
    assert len([path for path in paths if path.endswith("matrix.parquet")]) == 1


@pytest.mark.parametrize("command", ["cluster", "replay"])
def test_looking_at_a_record_on_the_hub(
    there: Any, zoo: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    local, _ = asked(capsys, command, "--results", zoo / "record", "--task", TASK)
    before = len(there.log)
    remote, said = asked(capsys, command, "--results", RECORD, "--task", TASK)
    read = remote.pop("record")
    assert local.pop("record")["name"] == "record"
    assert remote == local
    assert (read["requests"], read["bytes"]) == reading_of(there, before)
    assert "read " in said


def test_what_waits_in_the_inbox_is_said_and_not_read(
    there: Any, zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there.push("dataset", RECORD, {f"inbox/2026-11/bob/{'0' * 64}.parquet": b"anything"})
    _, said = asked(capsys, "cluster", "--results", RECORD, "--task", TASK)
    assert f"not read: 1 shard in the inbox of {RECORD}" in said


def test_a_folder_of_that_name_wins(
    there: Any, zoo: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked(capsys, "pull", RECORD, "--results", tmp_path / RECORD)
    before = len(there.log)
    document, _ = asked(capsys, "cluster", "--results", RECORD, "--task", TASK)
    assert document["record"]["repo"] is None
    assert len(there.log) == before


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["recall", "{target}", "--results", "lab/nothing"], "no folder lab/nothing"),
        (["recall", "{target}", "--results", f"{RECORD}@v9"], "no such commit"),
        (["cluster", "--results", "tiny/ant", "--task", TASK], "but a record is a dataset"),
        (["cluster", "--results", RECORD, "--task", "image-classification"], RECORD),
        (["benchmark", "--catalog", "{catalog}", "--results", RECORD], "hf-select pull"),
        (["import", "{target}", "--results", RECORD, "--task", TASK], "hf-select pull"),
        (["push", "{zoo}", "--to", WINNER], "no finished selection"),
        (["push", "nowhere", "--to", WINNER], "no finished selection"),
    ],
)
def test_bad_input_is_exit_2_and_nothing_is_written(
    there: Any,
    zoo: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: list[str],
    expected: str,
) -> None:
    names = {"target": zoo / "target.csv", "catalog": zoo / "catalog.json", "zoo": zoo}
    before = sorted(tmp_path.rglob("*"))
    assert run([*(word.format(**names) for word in command), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert expected in error["message"] + error["hint"]
    found = [path for path in tmp_path.rglob("*") if "hf-home" not in path.parts]
    assert sorted(found) == [path for path in before if "hf-home" not in path.parts]
    assert not there.requests("POST")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dataset", ["tiny/reviews", "tiny/mail"])
def test_policies_decide_alike_whether_they_have_all_curves_or_the_candidates_alone(
    zoo: Path, policy: str, dataset: str
) -> None:
    """Why a selection reads the curves of the candidates and of nobody else."""
    repo = ResultsRepo.open(zoo / "record")
    everything, candidates = repo.curves(TASK), ("tiny/bee", "tiny/dog", "tiny/ant")

    def opener(model: str) -> Callable[[], ReplayTrial]:
        return lambda: ReplayTrial(everything, model, dataset, 0)

    rungs = [
        run_selection(
            {model: opener(model) for model in candidates},
            get_policy(policy),
            horizon=float(RECIPE.epochs),
            metric=get_metric("accuracy"),
            val_trivial=0.5,
            record=record.without_dataset(dataset),
        ).rungs
        for record in (everything, repo.curves(TASK, models=candidates))
    ]
    assert rungs[0] == rungs[1]


# -------------------------------------------------------------------------- the record moves on


def test_a_selection_goes_on_from_the_commit_that_it_began_with(
    there: Any, zoo: Path, tmp_path: Path
) -> None:
    """Somebody publishes between a stop and the next start: the selection is still the same."""
    options: dict[str, Any] = {"top": 3, "method": "mean", "policy": "fractional-halving"}
    target, began = zoo / "target.csv", there.commits("dataset", RECORD)[0].sha
    whole = pipeline.select(target, zoo / "record", "whole", catalog=zoo, **options).document
    calls = [0]

    def third_time() -> bool:
        calls[0] += 1
        return calls[0] == 3

    with pytest.raises(StoppedError):
        pipeline.select(target, RECORD, "out", should_stop=third_time, **options)
    there.push("dataset", RECORD, {"manifest.json": "another record altogether"})
    document = pipeline.select(target, RECORD, "out", **options).document
    assert document["record"]["revision"] == began
    assert document["winner"]["test"] == whole["winner"]["test"]
    assert document["rungs"] == whole["rungs"]
    again = pipeline.select(target, RECORD, "out", **options).document
    assert again == document


# ----------------------------------------------------------------------------- the whole way

PREDICT = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
for where in sys.argv[1:]:
    model = AutoModelForSequenceClassification.from_pretrained(where).eval()
    tokenizer = AutoTokenizer.from_pretrained(where)
    with torch.no_grad():
        found = [
            model(**tokenizer(text, return_tensors="pt")).logits[0].tolist()
            for text in ("the film was good", "a dull plot", "very odd scene")
        ]
    print(json.dumps([found, model.config.id2label]))
"""


def predictions(environment: dict[str, str], *where: str) -> list[str]:
    """What each model says, loaded with nothing of ours in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, *where],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_select_push_and_load_it_back(
    there: Any, zoo: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, hub_env: Any
) -> None:
    before = len(there.log)
    select = ("select", zoo / "target.csv", "--results", RECORD, "--top", 3, "--out", "chosen")
    document, said = asked(capsys, *select)
    read = document["record"]
    assert (read["requests"], read["bytes"]) == reading_of(there, before)
    assert f"at {read['revision'][:7]}" in said
    assert json.loads((tmp_path / "chosen" / "selection.json").read_text()) == document
    assert document["settings"]["top"] == 3
    assert document["source"]["repo"] is None

    pushed, _ = asked(capsys, "push", "chosen", "--to", WINNER, "--private")
    assert (pushed["created"], there.repo("model", WINNER).private) == (True, True)
    again, _ = asked(capsys, "push", "chosen", "--to", WINNER)
    assert (again["files"], again["revision"]) == ([], pushed["revision"])
    files = there.files("model", WINNER)
    sent = b"".join(files.values())
    for secret in (str(tmp_path), str(zoo), "hf_alice"):
        assert secret.encode() not in sent
    data = ModelCard(files["README.md"].decode()).data
    assert data.base_model == document["winner"]["model"]  # its commit is on that Hub
    assert data.eval_results[0].metric_value == document["winner"]["test"]

    environment = hub_env(there, home=tmp_path / "elsewhere")
    from_the_hub, from_the_folder = predictions(environment, WINNER, str(tmp_path / "chosen"))
    assert from_the_hub == from_the_folder
    assert [label for label in ("good", "bad") if label not in from_the_hub] == []
