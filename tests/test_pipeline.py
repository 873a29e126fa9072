"""The whole way on tiny models: benchmark, cluster, recall, select, replay; and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny import tiny_text_csv, tiny_text_model
from tinyzoo import DATASETS, MODELS, RECIPE, TASK, tiny_catalog

from hf_select import pipeline
from hf_select.cli.app import run
from hf_select.errors import (
    HfSelectError,
    InputError,
    ModelError,
    StoppedError,
    UnknownNameError,
)
from hf_select.proxies import PROXIES
from hf_select.results.repo import ResultsRepo
from hf_select.selection.policies import POLICIES


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with catalog.json, a benchmarked `record` and a `target.csv`."""
    folder = tmp_path_factory.mktemp("zoo")
    catalog = tiny_catalog(folder)
    summary = pipeline.benchmark(folder / "record", catalog, recipe=RECIPE, seeds=(0, 1), jobs=2)
    assert (summary.done, summary.failed) == (len(MODELS) * len(DATASETS) * 2, 0)
    tiny_text_csv(folder / "target.csv", 90, seed=3)
    return folder


def select(zoo: Path, out: Path, **options: object) -> pipeline.Selected:
    """A selection on the tiny zoo."""
    return pipeline.select(
        zoo / "target.csv",
        zoo / "record",
        out,
        catalog=zoo / "catalog.json",
        **{"top": 3, **options},  # type: ignore[arg-type]
    )


def test_a_second_benchmark_trains_nothing(zoo: Path) -> None:
    summary = pipeline.benchmark(
        zoo / "record", zoo / "catalog.json", recipe=RECIPE, seeds=(0, 1), jobs=2
    )
    assert (summary.done, summary.skipped) == (0, len(MODELS) * len(DATASETS) * 2)


def test_a_benchmark_records_proxy_scores_for_later_recalls(zoo: Path) -> None:
    repo = ResultsRepo.open(zoo / "record")
    rows = repo.proxies(TASK)
    names = [proxy.name for proxy in PROXIES.values() if "classification" in proxy.kinds]
    assert len(rows) == len(MODELS) * len(DATASETS) * len(names)
    assert {row.proxy for row in rows} == set(names)
    assert {row.rows for row in rows} == {row.rows for row in rows if row.rows > 20}
    snapshot = next((zoo / "record" / "snapshots").glob(f"*/task={TASK}/proxies.parquet"))
    assert pq.read_metadata(snapshot).num_rows == len(rows)


def test_which_proxies_are_recorded_is_the_users_choice(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE.to_dict()))
    record = tmp_path / "record"
    command = ["benchmark", "--catalog", str(zoo / "catalog.json"), "--results", str(record)]
    command += ["--recipe", str(tmp_path / "recipe.json"), "--models", "ant,bee", "--json"]
    command += ["--datasets", "news,mail", "--jobs", "2"]

    def ran(*more: str, code: int = 0) -> dict:
        assert run([*command, *more]) == code
        return json.loads(capsys.readouterr().out)

    for bad in (["--proxies", "tarot"], ["--proxies", "leep", "--no-proxies"]):
        assert "error" in ran(*bad, code=2)
    assert "proxy_rows is 0" in ran("--proxy-rows", "0", code=2)["error"]["message"]
    assert not record.exists()

    assert ran("--no-proxies", "--max-cells", "1")["proxies"] is None
    assert ResultsRepo.open(record).proxies() == []
    # With a bound on the fine-tunings only what was fine-tuned is looked at.
    found = ran("--proxies", "logme", "--max-cells", "1", "--proxy-rows", "30")
    assert (found["done"], found["proxies"]["scored"]) == (1, 2)
    rows = ResultsRepo.open(record).proxies(TASK)
    assert {(row.proxy, row.rows) for row in rows} == {("logme", 30)}
    measured = {(r.key.model, r.key.dataset) for r in ResultsRepo.open(record).runs()}
    assert {(row.model, row.dataset) for row in rows} == measured
    found = ran()
    assert (found["done"], found["proxies"]["scored"]) == (2, 4)
    again = ran()["proxies"]
    assert (again["scored"], again["failed"], again["there"], again["undone"]) == (0, 0, 4, [])
    assert run([part for part in command if part != "--json"]) == 0
    assert "0 of 4 model x dataset pairs scored" in capsys.readouterr().out


def test_the_record_is_complete_and_models_differ_from_the_trivial_predictor(zoo: Path) -> None:
    matrix = ResultsRepo.open(zoo / "record").matrix(TASK)
    assert matrix.scores.shape == (len(MODELS), len(DATASETS))
    assert np.isfinite(matrix.scores).all()
    assert np.isfinite(matrix.baselines).all()
    assert np.nanmax(matrix.skill) > 0.5


def test_recall_trains_nothing_and_explains(zoo: Path) -> None:
    recalled = pipeline.recall(
        zoo / "target.csv", zoo / "record", catalog=zoo / "catalog.json", top=3
    )
    candidates = recalled.result.candidates
    assert len(candidates) == 3
    assert all(c.reason and len(c.revision) == 40 for c in candidates)
    assert [c.score for c in candidates] == sorted((c.score for c in candidates), reverse=True)


@pytest.mark.parametrize("policy", POLICIES)
def test_select_hands_over_a_winner_that_gives_the_reported_score(
    zoo: Path, tmp_path: Path, policy: str
) -> None:
    out = tmp_path / "out"
    document = select(zoo, out, policy=policy).document
    winner = document["winner"]
    assert document["policy"] == policy
    assert len(document["ranking"]) == 3
    assert document["ranking"][0]["model"] == winner["model"]
    assert all(row["reason"] for row in document["ranking"])
    assert document["price"] >= 1
    assert json.loads((out / "selection.json").read_text()) == document
    assert winner["model"] in (out / "report.html").read_text()
    assert not (out / ".select").exists()
    assert score_with_plain_transformers(out, zoo / "target.csv") == pytest.approx(
        winner["test"], abs=1e-9
    )


def test_what_was_inferred_and_what_is_serious_is_said_before_training(
    zoo: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    document = select(zoo, tmp_path / "out", say=said.append).document
    about = next(line for line in said if line.startswith("target: text-classification"))
    assert "'text' -> 'label' (2 classes); rows: " in about
    spending = next(i for i, line in enumerate(said) if "xpected" in line)
    assert said.index(about) < spending
    checks = {check["check"]: check for check in document["data"]["checks"]}
    assert checks["small-split"]["level"] == "warning"
    assert f"  ! {checks['small-split']['text']}" in said[:spending]
    assert checks["leakage"]["level"] == "ok"
    assert not any(checks["leakage"]["text"] in line for line in said)


def score_with_plain_transformers(folder: Path, target: Path) -> float:
    """Accuracy on the target's test rows of the model in a folder, with nothing of ours."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from hf_select.tasks.data import load_target

    data = load_target(target)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    hits = 0
    for row in data.test:
        inputs = tokenizer(row["text"], truncation=True, max_length=16, return_tensors="pt")
        with torch.no_grad():
            guess = int(model(**inputs).logits.argmax())
        assert model.config.id2label[guess] == data.label_names[guess]
        hits += guess == row["label"]
    return hits / len(data.test)


def test_the_same_selection_again_trains_nothing(zoo: Path, tmp_path: Path) -> None:
    first = select(zoo, tmp_path / "out").document
    said: list[str] = []
    again = select(zoo, tmp_path / "out", say=said.append).document
    assert again == first
    assert any("nothing was trained" in line for line in said)
    with pytest.raises(InputError, match="other settings"):
        select(zoo, tmp_path / "out", seed=5)


def test_stopping_anywhere_and_going_on_changes_nothing(zoo: Path, tmp_path: Path) -> None:
    whole = select(zoo, tmp_path / "whole", policy="fractional-halving").document
    out, asked = tmp_path / "parts", [0]

    def every_ninth() -> bool:
        asked[0] += 1
        return asked[0] % 9 == 0

    stops, parts = 0, None
    while parts is None:
        assert stops < 200
        try:
            parts = select(zoo, out, policy="fractional-halving", should_stop=every_ninth).document
        except StoppedError:
            stops += 1
            assert not (out / "selection.json").exists()
    assert stops > 1
    assert scores(parts) == scores(whole)
    name = "model.safetensors"
    assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def scores(document: dict) -> dict:
    """What must be identical between two runs of one selection: all but times and folders."""
    return {
        "curves": {
            model: {key: values for key, values in curve.items() if key != "seconds"}
            for model, curve in document["curves"].items()
        },
        "winner": {k: v for k, v in document["winner"].items() if k != "checkpoint"},
        "ranking": [
            {key: value for key, value in row.items() if key != "cost_seconds"}
            for row in document["ranking"]
        ],
        "rungs": document["rungs"],
        "epochs": document["cost"]["epochs"],
    }


def test_a_target_that_is_in_the_record_is_hidden_from_it(zoo: Path) -> None:
    recalled = pipeline.recall(
        zoo / "data" / "reviews.csv", zoo / "record", catalog=zoo / "catalog.json", top=2
    )
    assert "tiny/reviews" not in recalled.matrix.datasets
    assert len(recalled.matrix.datasets) == len(DATASETS) - 1


def test_replay_of_both_phases(zoo: Path) -> None:
    document = pipeline.replay(zoo / "record", TASK, phase="selection")
    assert set(document["targets"]) == {f"tiny/{name}" for name in DATASETS}
    assert document["summary"]["brute-force"]["price"] == pytest.approx(len(MODELS))
    assert {"regret", "regret_max", "price", "epochs"} <= set(document["summary"]["paper"])
    document = pipeline.replay(zoo / "record", TASK, phase="recall")
    assert {"regret@1", "regret@10", "spearman"} <= set(document["summary"]["mean"])


def test_a_broken_model_is_reported_and_the_rest_goes_on(zoo: Path, tmp_path: Path) -> None:
    catalog = json.loads((zoo / "catalog.json").read_text())
    for row in catalog["models"] + catalog["datasets"]:
        row["location"] = str(zoo / row["location"])
    first = pipeline.recall(
        zoo / "target.csv", zoo / "record", catalog=zoo / "catalog.json", top=3
    ).result.candidates[0]
    broken = tiny_text_model(tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    next(r for r in catalog["models"] if r["repo_id"] == first.model)["location"] = str(broken)
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    said: list[str] = []
    document = pipeline.select(
        zoo / "target.csv",
        zoo / "record",
        tmp_path / "out",
        catalog=tmp_path / "catalog.json",
        top=len(MODELS),
        method="size",
        policy="halving",
        say=said.append,
    ).document
    assert document["winner"]["model"] != first.model
    (failed,) = [row for row in document["ranking"] if row["status"] == "failed"]
    assert failed["model"] == first.model
    assert failed["reason"]


BAD = [
    (["select", "nowhere.csv"], "nowhere.csv"),
    (["select", "target.csv", "--label-column", "stars"], "stars"),
    (["select", "one.csv"], "class"),
    (["select", "empty.csv"], "empty"),
    (["select", "target.csv", "--task", "poetry"], "poetry"),
    (["select", "target.csv", "--policy", "luck"], "luck"),
    (["select", "target.csv", "--method", "astrology"], "astrology"),
    (["select", "target.csv", "--proxy", "tarot"], "tarot"),
    (["select", "target.csv", "--metric", "beauty"], "beauty"),
    (["select", "target.csv", "--top", "0"], "top"),
    (["select", "target.csv", "--preset", "poem"], "poem"),
    (["select", "rated.csv"], "text-regression"),
    (["select", "target.csv", "--exclude", "tiny/unicorn"], "unicorn"),
    (["select", "target.csv", "--threshold", "-1"], "threshold"),
    (["select", "target.csv", "--seed", "-1"], "seed"),
    (["recall", "rated.csv", "--proxy", "leep", "--task", "text-regression"], ""),
]


@pytest.mark.parametrize(("args", "expected"), BAD, ids=[" ".join(args) for args, _ in BAD])
def test_bad_input_is_exit_2_and_nothing_is_written(
    zoo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_text_csv(tmp_path / "target.csv", 60)
    tiny_text_csv(tmp_path / "one.csv", 60, classes=1)
    tiny_text_csv(tmp_path / "rated.csv", 60, regression=True)
    (tmp_path / "empty.csv").write_text("text,label\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    command = [args[0], args[1], "--results", str(zoo / "record"), *args[2:]]
    command += ["--catalog", str(zoo / "catalog.json"), "--json"]
    if args[0] == "select":
        command += ["--out", "out"]
    assert run(command) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert expected in error["message"] + error["hint"]
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_wrong_catalog_can_be_put_right(zoo: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.json"
    empty.write_text('{"models": [], "datasets": []}')
    with pytest.raises(HfSelectError):
        pipeline.select(
            zoo / "target.csv",
            zoo / "record",
            tmp_path / "out",
            catalog=empty,
            top=2,
            method="mean",
        )
    document = pipeline.select(
        zoo / "target.csv",
        zoo / "record",
        tmp_path / "out",
        catalog=zoo / "catalog.json",
        top=2,
        method="mean",
    ).document
    assert all(row["status"] != "failed" for row in document["ranking"])


def test_a_model_that_changed_since_it_was_recorded_is_not_taken_for_it(
    zoo: Path, tmp_path: Path
) -> None:
    catalog = json.loads((zoo / "catalog.json").read_text())
    for row in catalog["models"] + catalog["datasets"]:
        row["location"] = str(zoo / row["location"])
    other = tiny_text_model(tmp_path / "other", seed=99)
    catalog["models"][0]["location"] = str(other)
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    changed = catalog["models"][0]["repo_id"]
    with pytest.raises(ModelError, match=changed):
        pipeline.benchmark(tmp_path / "record", tmp_path / "catalog.json", recipe=RECIPE)
    assert not (tmp_path / "record").exists()
    document = pipeline.select(
        zoo / "target.csv",
        zoo / "record",
        tmp_path / "out",
        catalog=tmp_path / "catalog.json",
        top=len(MODELS),
        method="size",
        policy="halving",
    ).document
    (failed,) = [row for row in document["ranking"] if row["status"] == "failed"]
    assert failed["model"] == changed
    assert "revision" in failed["reason"]


def test_a_benchmark_of_named_folders_can_be_selected_from(zoo: Path, tmp_path: Path) -> None:
    models = [str(zoo / "models" / name) for name in MODELS[:2]]
    data = [str(zoo / "data" / f"{name}.csv") for name in DATASETS[:2]]
    summary = pipeline.benchmark(
        tmp_path / "own", models=models, datasets=data, task=TASK, recipe=RECIPE, jobs=2
    )
    assert summary.done == 4
    # No catalog: the record's folder remembers where the models lie.
    document = pipeline.select(zoo / "target.csv", tmp_path / "own", tmp_path / "out").document
    assert document["winner"]["model"] in MODELS[:2]


def test_a_model_beside_the_catalog_is_measured_on_its_benchmarks(
    zoo: Path, tmp_path: Path
) -> None:
    mine = tiny_text_model(tmp_path / "mine", seed=9)
    catalog, record = zoo / "catalog.json", tmp_path / "record"
    summary = pipeline.benchmark(
        record, catalog, models=["ant", str(mine)], task=TASK, recipe=RECIPE, jobs=2
    )
    assert summary.done == 6
    assert {run.key.model for run in ResultsRepo.open(record).runs()} == {"tiny/ant", "mine"}
    with pytest.raises(UnknownNameError, match="unknown model 'nobody'"):
        pipeline.benchmark(record, catalog, models=["nobody"], task=TASK)
    with pytest.raises(InputError, match="must be named"):
        pipeline.benchmark(record, catalog, models=[str(mine)])


def test_a_model_alone_is_measured_as_the_record_was(zoo: Path, tmp_path: Path) -> None:
    """On the record's own benchmarks, with the record's own recipe."""
    record, said = tmp_path / "record", []
    pipeline.benchmark(
        record,
        zoo / "catalog.json",
        models=["ant"],
        datasets=["news", "mail"],
        recipe=RECIPE,
        jobs=2,
    )
    mine = tiny_text_model(tmp_path / "mine", seed=9)
    summary = pipeline.benchmark(
        record, models=[str(mine)], task=TASK, jobs=2, max_cells=1, say=said.append
    )
    assert (summary.done, summary.skipped) == (1, 0)
    assert pipeline.benchmark(record, models=[str(mine)], task=TASK, jobs=2).done == 1
    runs = [run.key for run in ResultsRepo.open(record).runs() if run.key.model == "mine"]
    assert {key.dataset for key in runs} == {"tiny/news", "tiny/mail"}
    assert {key.recipe for key in runs} == {RECIPE.digest()}
    assert RECIPE.digest() in said[0]


@pytest.mark.parametrize("weights", ["pytorch_model.bin", ""])
def test_a_folder_without_safe_weights_is_refused_before_anything(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_text_model(tmp_path / "model")
    (model / "model.safetensors").unlink()
    if weights:
        (model / weights).write_bytes(b"not even a pickle")
    data = tiny_text_csv(tmp_path / "data.csv", 60)
    command = ["benchmark", "--models", str(model), "--datasets", str(data), "--task", TASK]
    assert run([*command, "--results", str(tmp_path / "record"), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "ModelError"
    assert ("pickled" if weights else "no weights") in error["message"]
    assert not (tmp_path / "record").exists()


@pytest.mark.parametrize("command", ["cluster", "replay"])
def test_a_record_of_another_task_says_what_it_holds(
    zoo: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--results", str(zoo / "record"), "--task", "image-classification", "--json"]
    assert run([command, *arguments]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "RecordError"
    assert TASK in error["hint"]


@pytest.mark.parametrize("command", ["benchmark", "import"])
def test_the_shipped_record_is_not_written_to(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("model,a\nm,0.5\n")
    source = ["t.csv"] if command == "import" else []
    assert run([command, *source, "--results", "demo", "--task", TASK, "--json"]) == 2
    assert "demo" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_imported_rows_never_hide_measured_ones(zoo: Path, tmp_path: Path) -> None:
    record = tmp_path / "record"
    models = [str(zoo / "models" / name) for name in MODELS[:2]]
    pipeline.benchmark(
        record, models=models, datasets=[zoo / "data" / "news.csv"], task=TASK, recipe=RECIPE
    )
    table = tmp_path / "many.csv"
    rows = [f"m{i},0.{i + 1},0.{i + 2},0.{i + 3}" for i in range(6)]
    table.write_text("\n".join(["model,a,b,c", *rows]))
    pipeline.import_results(table, record, task=TASK)
    assert set(ResultsRepo.open(record).matrix(TASK).models) == set(MODELS[:2])
