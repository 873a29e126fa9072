"""Data sets of the Hub as targets and benchmarks: every format, pinned, offline, and faults."""

from __future__ import annotations

import io
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet
from tiny import tiny_image_folder

from hf_select.errors import AccessError, DataError, HfSelectError, HubError, UnknownNameError
from hf_select.locations import find_data, folders_as_catalog
from hf_select.pipeline import as_target, columns_of
from hf_select.records import DatasetEntry, ModelEntry, Recipe
from hf_select.tasks.data import dataset_entry, load_benchmark, load_target
from hf_select.tasks.hubdata import HubData, config_names, hub_id, load_hub_data

ROWS = [(f"row {i} is {'fine' if i % 2 else 'dull'}", "yes" if i % 2 else "no") for i in range(40)]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def csv(rows: list[tuple[str, str]], header: str = "text,label") -> str:
    return "\n".join([header, *(f"{text},{label}" for text, label in rows)]) + "\n"


def card(**head: object) -> str:
    return f"---\n{yaml.safe_dump({'license': 'mit', **head}, sort_keys=False)}---\n# Rows\n"


def table(columns: Mapping[str, list]) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table(dict(columns)), sink)
    return sink.getvalue()


@pytest.fixture
def served(hub, monkeypatch, tmp_path):  # type: ignore[no-untyped-def]
    """The local Hub, which `datasets` in this process speaks to as well; its cache is new."""
    from datasets import config

    home = tmp_path / "hf-home" / "datasets"
    for name, value in {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_OFFLINE": False,
        "HF_DATASETS_CACHE": home,
        "DOWNLOADED_DATASETS_PATH": home / "downloads",
        "EXTRACTED_DATASETS_PATH": home / "downloads" / "extracted",
        "HF_UPDATE_DOWNLOAD_COUNTS": False,  # asks a host that isn't the Hub
    }.items():
        monkeypatch.setattr(config, name, value)
    return hub


@pytest.fixture
def go_offline(monkeypatch):  # type: ignore[no-untyped-def]
    """From the call on: offline mode, in which a socket is an error."""

    def go() -> None:
        from datasets import config
        from huggingface_hub import constants

        def refuse(*_: object) -> None:
            raise AssertionError("a socket in offline mode")

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(config, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)

    return go


def entry(repo_id: str, revision: str, **changes: object) -> DatasetEntry:
    made = DatasetEntry(repo_id, revision, "text-classification", ("text",), "label", 2, "accuracy")
    return replace(made, **changes)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------- formats


def images(folder: Path) -> dict[str, bytes]:
    path = tiny_image_folder(folder, 12, splits=("train", "test"))
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*.png"))}


WORDS, LABELS = [text for text, _ in ROWS], [label for _, label in ROWS]
IDS = [int(label == "yes") for label in LABELS]
FEATURES = [
    {"name": "text", "dtype": "string"},
    {"name": "label", "dtype": {"class_label": {"names": {"0": "no", "1": "yes"}}}},
]
FORMATS = {
    "csv": {"train.csv": csv(ROWS[:30]), "test.csv": csv(ROWS[30:])},
    "json lines": {
        "train.jsonl": "".join(f'{{"text": "{t}", "label": "{y}"}}\n' for t, y in ROWS[:30]),
        "test.jsonl": "".join(f'{{"text": "{t}", "label": "{y}"}}\n' for t, y in ROWS[30:]),
    },
    "parquet with dataset_info": {
        "data/train-00000-of-00001.parquet": table({"text": WORDS[:30], "label": IDS[:30]}),
        "data/test-00000-of-00001.parquet": table({"text": WORDS[30:], "label": IDS[30:]}),
        "README.md": card(
            dataset_info={
                "features": FEATURES,
                "splits": [
                    {"name": "train", "num_bytes": 1, "num_examples": 30},
                    {"name": "test", "num_bytes": 1, "num_examples": 10},
                ],
            }
        ),
    },
    "data_files in the card": {
        "one/a.csv": csv(ROWS[:15]),
        "one/b.csv": csv(ROWS[15:30]),
        "kept.csv": csv(ROWS[30:]),
        "README.md": card(
            configs=[
                {
                    "config_name": "main",
                    "data_files": [
                        {"split": "train", "path": "one/*.csv"},
                        {"split": "test", "path": "kept.csv"},
                    ],
                }
            ]
        ),
    },
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_hub_data_set_is_what_its_files_are(served, name: str) -> None:  # type: ignore[no-untyped-def]
    commit = served.add("dataset", "lab/Rows", FORMATS[name])
    target = as_target("lab/Rows", {})
    assert (target.name, target.revision, target.config) == ("lab/Rows", commit, "")
    assert target.label_names == ("no", "yes")
    assert (target.input_columns, target.label_column) == (("text",), "label")
    assert len(target.train) + len(target.validation) == 30
    assert target.test["text"][:] == WORDS[30:]
    pinned = dataset_entry(target)
    assert (pinned.repo_id, pinned.revision, pinned.config) == ("lab/Rows", commit, "")
    assert load_benchmark(pinned, None).fingerprint == target.fingerprint


def test_a_folder_of_images(served, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    files = images(tmp_path / "colours")
    served.add("dataset", "lab/colours", files)
    target = as_target("lab/colours", {})
    assert target.task == "image-classification"
    assert target.label_names == ("bad", "good")
    assert len(target.test) == 12
    assert target.fingerprint == load_target(tmp_path / "colours").fingerprint


def test_the_same_rows_have_the_same_fingerprint_wherever_they_lie(served, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    served.add("dataset", "lab/rows", FORMATS["parquet with dataset_info"])
    for name, text in FORMATS["csv"].items():
        (tmp_path / name).write_text(str(text))
    here = tmp_path / "exported"
    here.mkdir()
    for name in FORMATS["csv"]:
        (tmp_path / name).rename(here / name)
    assert as_target("lab/rows", {}).fingerprint == load_target(here).fingerprint


# ----------------------------------------------------------------------------------- configs

TWO = {
    "a/train.csv": csv(ROWS),
    "b/train.csv": csv(ROWS[:30]),
    "README.md": card(
        configs=[
            {"config_name": "a", "data_files": "a/*"},
            {"config_name": "b", "data_files": "b/*"},
        ]
    ),
}


def test_one_of_several_configs(served) -> None:  # type: ignore[no-untyped-def]
    served.add("dataset", "lab/two", TWO)
    target = as_target("lab/two/b", {})
    assert (target.name, target.config) == ("lab/two/b", "b")
    assert dataset_entry(target).repo_id == "lab/two"
    assert as_target("lab/two", {"config": "b"}).name == "lab/two/b"


def test_two_configs_are_two_benchmarks(served) -> None:  # type: ignore[no-untyped-def]
    commit = served.add("dataset", "lab/two", TWO)
    found = folders_as_catalog([], ["lab/two/a", "lab/two/b"], "text-classification").datasets
    assert [(e.repo_id, e.config, e.revision) for e in found] == [
        ("lab/two", "a", commit),
        ("lab/two", "b", commit),
    ]


def test_wrong_and_missing_configs_name_the_valid_ones(served) -> None:  # type: ignore[no-untyped-def]
    served.add("dataset", "lab/two", TWO)
    with pytest.raises(UnknownNameError, match="config of lab/two 'c'") as caught:
        as_target("lab/two/c", {})
    assert "a, b" in caught.value.hint
    with pytest.raises(DataError, match="several configs") as missing:
        as_target("lab/two", {})
    assert "a, b" in missing.value.hint


def test_the_only_config_has_no_name_however_it_was_asked_for(served, go_offline) -> None:  # type: ignore[no-untyped-def]
    served.add("dataset", "lab/rows", FORMATS["data_files in the card"])
    assert as_target("lab/rows/main", {}).name == "lab/rows"
    go_offline()
    assert as_target("lab/rows/main", {}).name == "lab/rows"
    assert as_target("lab/rows", {}).name == "lab/rows"


def test_names_of_configs_in_a_card() -> None:
    assert config_names({}) == ([], "")
    assert config_names({"configs": "nonsense"}) == ([], "")
    assert config_names({"configs": [{"config_name": "x"}]}) == (["x"], "x")
    both = [{"config_name": "x"}, {"config_name": "default"}]
    assert config_names({"configs": both}) == (["x", "default"], "default")
    assert config_names({"configs": [{"config_name": "x"}, {"config_name": "y"}]})[1] == ""


# -------------------------------------------------------------------------- pinned to a commit


def test_a_benchmark_stays_at_its_commit(served) -> None:  # type: ignore[no-untyped-def]
    first = served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    served.push("dataset", "lab/rows", {"train.csv": csv(ROWS[:20])})
    newest = served.force_push("dataset", "lab/rows", {"train.csv": csv(ROWS[:30])})
    assert as_target("lab/rows", {}).revision == newest
    old = load_benchmark(entry("lab/rows", first), None)
    assert (old.revision, sum(map(len, (old.train, old.validation, old.test)))) == (first, 40)


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [("*README.md", 403, DataError), ("*/revision/*", 503, HubError)],
)
def test_another_commit_of_the_cache_never_takes_the_place_of_the_one_asked_for(  # type: ignore[no-untyped-def]
    served, path: str, status: int, error: type[HfSelectError]
) -> None:
    """`datasets` takes the newest that it has when the Hub doesn't answer."""
    first = served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    load_benchmark(entry("lab/rows", first), None)
    second = served.push("dataset", "lab/rows", {"train.csv": csv(ROWS[:30])})
    served.fault(path=path, status=status, times=100)
    with pytest.raises(error, match=str(status)):
        load_benchmark(entry("lab/rows", second), None)


def test_a_deleted_benchmark_says_so(served) -> None:  # type: ignore[no-untyped-def]
    first = served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    load_benchmark(entry("lab/rows", first), None)
    second = served.push("dataset", "lab/rows", {"train.csv": csv(ROWS[:30])})
    served.remove("dataset", "lab/rows")
    with pytest.raises(DataError, match="lab/rows"):
        load_benchmark(entry("lab/rows", second), None)
    assert load_benchmark(entry("lab/rows", first), None).revision == first  # it is still here


def test_a_target_at_a_revision(served, go_offline) -> None:  # type: ignore[no-untyped-def]
    first = served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    second = served.push("dataset", "lab/rows", {"train.csv": csv(ROWS[:30])})
    assert as_target(f"lab/rows@{first}", {}).revision == first
    assert as_target(f"lab/rows@{first[:8]}", {}).revision == first
    assert as_target("lab/rows/default@main", {}).revision == second
    refused("lab/rows@nowhere", "no such commit, branch or tag")
    go_offline()
    assert as_target(f"lab/rows@{first}", {}).revision == first
    refused("lab/rows@main", "offline mode")


def test_what_was_read_once_needs_no_request(served, go_offline) -> None:  # type: ignore[no-untyped-def]
    commit = served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    online = load_benchmark(entry("lab/rows", commit), None)
    asked = len(served.log)
    assert load_benchmark(entry("lab/rows", commit), None).fingerprint == online.fingerprint
    assert len(served.log) == asked
    go_offline()
    assert load_benchmark(entry("lab/rows", commit), None).fingerprint == online.fingerprint
    assert as_target("lab/rows", {}).revision == commit


def test_offline_it_is_that_commit_or_none(served, go_offline) -> None:  # type: ignore[no-untyped-def]
    first = served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    load_benchmark(entry("lab/rows", first), None)
    second = served.push("dataset", "lab/rows", {"train.csv": csv(ROWS[:30])})
    go_offline()
    with pytest.raises(AccessError, match=f"offline mode.*{second[:8]}"):
        load_hub_data(HubData("lab/rows", revision=second))
    with pytest.raises(HubError, match="offline mode"):  # says nothing about the benchmark
        load_benchmark(entry("lab/rows", second), None)
    with pytest.raises(DataError, match=r"no file or folder at lab/other.*offline mode"):
        as_target("lab/other", {})


def test_of_several_configs_in_the_cache_only_the_default_goes_without_a_name(  # type: ignore[no-untyped-def]
    served, go_offline
) -> None:
    served.add("dataset", "lab/two", TWO)
    as_target("lab/two/b", {})
    go_offline()
    assert as_target("lab/two/b", {}).name == "lab/two/b"
    with pytest.raises(DataError, match="offline mode"):
        as_target("lab/two", {})


def test_a_folder_of_the_same_name_is_no_benchmark(served, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    commit = served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    (tmp_path / "lab" / "rows").mkdir(parents=True)
    (tmp_path / "lab" / "rows" / "train.csv").write_text(csv(ROWS[:20]))
    monkeypatch.chdir(tmp_path)
    assert len(load_target("lab/rows").train) < 20
    assert len(load_benchmark(entry("lab/rows", commit), None).train) > 20


def test_a_target_is_known_as_the_benchmark_that_it_is(served) -> None:  # type: ignore[no-untyped-def]
    first = served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    served.push("dataset", "lab/rows", {"notes.md": "a new commit"})
    known = [entry("lab/rows", first), entry("lab/other", first)]
    record = SimpleNamespace(datasets=lambda task: known)
    assert columns_of(as_target("lab/rows", {}), record) == ["lab/rows"]  # type: ignore[arg-type]


def test_an_export_of_a_benchmark_is_known_by_its_rows(served, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    known = [dataset_entry(as_target("lab/rows", {}))]
    record = SimpleNamespace(datasets=lambda task: known)
    (tmp_path / "export.csv").write_text(csv(ROWS))
    (tmp_path / "other.csv").write_text(csv(ROWS[:-1]))
    found = [
        columns_of(as_target(tmp_path / name, {}), record)  # type: ignore[arg-type]
        for name in ("export.csv", "other.csv")
    ]
    assert found == [["lab/rows"], []]


# ------------------------------------------------------------------------------ what is refused


def refused(source: str, *parts: str, error: type[HfSelectError] = DataError) -> HfSelectError:
    with pytest.raises(error) as caught:
        as_target(source, {})
    for part in parts:
        assert part in f"{caught.value.message} {caught.value.hint}"
    return caught.value


def test_code_is_not_run(served, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    canary = tmp_path / "canary"
    script = f"open({str(canary)!r}, 'w').write('it ran')\n"
    served.add("dataset", "lab/scripted", {"scripted.py": script, "train.csv": csv(ROWS)})
    refused("lab/scripted", "code of its own (scripted.py)")
    assert not canary.exists()
    assert not served.requests(path="*train.csv")


@pytest.mark.parametrize(
    "elsewhere",
    [
        "{endpoint}/datasets/bob/rows/resolve/main/train.csv",
        "hf://datasets/bob/rows@main/train.csv",
        "hf://datasets/lab/rows@other/train.csv",
    ],
)
def test_files_that_the_commit_doesn_t_pin(served, elsewhere: str) -> None:  # type: ignore[no-untyped-def]
    served.add("dataset", "bob/rows", {"train.csv": csv(ROWS)})
    path = elsewhere.format(endpoint=served.endpoint)
    configs = [{"config_name": "default", "data_files": [{"split": "train", "path": path}]}]
    first = served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    served.repo("dataset", "lab/rows").refs["refs/heads/other"] = first
    served.push("dataset", "lab/rows", {"README.md": card(configs=configs)})
    refused("lab/rows", "lab/rows", "files")
    assert not served.requests(method="GET", path="*/resolve/*train.csv")


def test_what_the_hub_doesn_t_give(served, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    files = {"train.csv": csv(ROWS)}
    served.add("dataset", "lab/gated", files, gated="manual")
    served.add("dataset", "lab/private", files, private=True)
    served.add("dataset", "lab/off", files, disabled=True)
    for name, reason in {
        "lab/gated": "gated",
        "lab/private": "private",
        "lab/off": "disabled",
        "lab/nothing": "no such repository",
    }.items():
        refused(name, f"no file or folder at {name}", "Hub data set", reason)
        with pytest.raises((DataError, HubError)):
            load_benchmark(entry(name, COMMIT), None)
    assert not served.requests(path="*train.csv")
    monkeypatch.setenv("HF_TOKEN", "hf_nobodystoken")
    refused("lab/gated", "doesn't know this token")


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({"README.md": "nothing else"}, ["lab/rows", "data files"]),
        ({"train.parquet": b"not parquet"}, ["lab/rows", "Parquet"]),
        ({"train.csv": csv(ROWS), "test.csv": csv(ROWS, "words,class")}, ["column"]),
        ({"train.csv": csv([(t, "yes") for t, _ in ROWS])}, ["one class ('yes')", "'label'"]),
        ({"train.csv": csv(ROWS), "test.csv": csv(ROWS[:1] * 3)}, ["test", "one class"]),
        (
            {"train.csv": csv(ROWS), "test.csv": csv([*ROWS[:5], ("new", "maybe")])},
            ["'maybe'", "test", "row 6"],
        ),
        ({"train.csv": csv([(t, "") for t, _ in ROWS])}, ["no label in any", "'label'"]),
        ({"train.csv": csv([(t, t) for t, _ in ROWS], "one,two")}, ["which column", "one, two"]),
        ({"train.jsonl": '{"text": "a", "label": 1}\n', "test.jsonl": ""}, ["lab/rows"]),
        ({"train.csv": csv([])}, ["lab/rows"]),
    ],
)
def test_rows_that_can_t_be_used(served, files: dict, parts: list[str]) -> None:  # type: ignore[no-untyped-def]
    served.add("dataset", "lab/rows", files)
    refused("lab/rows", *parts)


def test_rows_without_a_label_or_a_text_are_left_out(served) -> None:  # type: ignore[no-untyped-def]
    served.add("dataset", "lab/rows", {"train.csv": csv([*ROWS, ("no label", ""), ("", "yes")])})
    target = as_target("lab/rows", {})
    assert sum(len(target.split(split)) for split in ("train", "validation", "test")) == len(ROWS)
    told = {check.check: check.text for check in target.checks}
    assert f"row {len(ROWS) + 1}" in told["missing-labels"]
    assert f"row {len(ROWS) + 2}" in told["missing-inputs"]


def test_bad_rows_are_found_before_any_weights_are_fetched(served, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from hf_select.training.cell_job import run_cell
    from hf_select.training.cells import Cell

    def fetch(model: ModelEntry) -> Path:
        raise AssertionError(f"{model.repo_id} was fetched")

    commit = served.add("dataset", "lab/rows", {"train.csv": csv([(t, "yes") for t, _ in ROWS])})
    model = ModelEntry("me/model", COMMIT, "text-classification")
    cell = Cell(model, entry("lab/rows", commit), Recipe(), 0, tmp_path)
    record = run_cell(cell, fetch=fetch)
    assert record.status == "failed"
    assert "one class ('yes')" in record.reason
    served.fault(path="*/revision/*", status=503, times=100)
    missing = replace(cell, dataset=entry("lab/rows", served.push("dataset", "lab/rows", {})))
    with pytest.raises(HubError, match="503"):  # left undone: no fault of model or data
        run_cell(missing, fetch=fetch)


def test_a_stated_column_that_isn_t_there(served) -> None:  # type: ignore[no-untyped-def]
    served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    with pytest.raises(DataError, match="no column 'lable'") as caught:
        as_target("lab/rows", {"label_column": "lable"})
    assert "did you mean 'label'" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/..", "a/b/c/d", "a/b\n", "a b/c", "a/.hidden", "", "a"]
)
def test_names_that_are_none(name: str) -> None:
    assert hub_id(name) is None
    assert hub_id(f"{name}@main") is None
    with pytest.raises(DataError, match="no name of a data set"):
        HubData(name)


@pytest.mark.parametrize("config", ["..", "a/b", "*", "x\x1b[2J"])
def test_configs_that_are_none(config: str) -> None:
    with pytest.raises(DataError, match="no name of a config"):
        HubData("lab/rows", config)


# ------------------------------------------------------------------------------------ the network


def test_a_broken_answer_is_asked_for_again(served, client) -> None:  # type: ignore[no-untyped-def]
    commit = served.add("dataset", "lab/rows", {"train.csv": csv(ROWS), "README.md": card()})
    # `datasets` asks for this once only
    fault = served.fault(path="*/revision/*", status=503, headers={"Retry-After": "7"}, times=2)
    loaded = load_hub_data(HubData("lab/rows", revision=commit, call=client(served).call))
    assert len(loaded.splits["train"]) == 40
    assert fault.struck == 2
    assert [7 <= wait <= 8 for wait in client.slept] == [True, True]


def test_a_connection_that_breaks_in_the_middle_of_a_file(served, client) -> None:  # type: ignore[no-untyped-def]
    commit = served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    served.fault("GET", "*train.csv", cut=100)
    loaded = load_hub_data(HubData("lab/rows", revision=commit, call=client(served).call))
    assert loaded.splits["train"]["text"][:] == WORDS


def test_a_hub_that_is_down_says_nothing_about_the_data(served, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    commit = served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})
    monkeypatch.setattr("hf_select.hub.client.time.sleep", lambda _: None)
    served.fault(path="*/api/datasets/*", status=503, times=100)
    with pytest.raises(HubError, match=r"no file or folder at lab/rows.*503"):
        find_data("lab/rows")
    with pytest.raises(HubError, match="lab/rows"):
        load_benchmark(entry("lab/rows", commit), None)


def test_a_full_disk_is_no_fault_of_the_data(served, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    served.add("dataset", "lab/rows", {"train.csv": csv(ROWS)})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("datasets.builder.DatasetBuilder.download_and_prepare", full)
    with pytest.raises(HfSelectError, match="No space left") as caught:
        as_target("lab/rows", {})
    assert caught.value.exit_code == 1
