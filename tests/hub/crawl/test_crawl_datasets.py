"""The crawl of benchmark datasets: decisions, pages, looks, faults, and what it writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow import parquet

from hf_select.catalog import Catalog
from hf_select.errors import (
    AccessError,
    DataError,
    HfSelectError,
    HubError,
    InputError,
    StoppedError,
    UnknownNameError,
)
from hf_select.hub.crawl.dataset_decide import REASONS, Candidate, decide
from hf_select.hub.crawl.dataset_query import DatasetQuery, asked_for
from hf_select.hub.crawl.dataset_table import read_decisions
from hf_select.hub.crawl.datasets import CrawledDatasets, crawl_datasets
from hf_select.records import DatasetEntry, ModelEntry
from hf_select.tasks.cards import read_card

TASK = "text-classification"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def reader(task: str = TASK, **columns: str) -> Callable[[Mapping[str, Any], str], Any]:
    return lambda card, name: read_card(card, where=name, task=task, columns=columns)


def query(**changes: Any) -> DatasetQuery:
    return DatasetQuery(**{"task": TASK, **changes})


def card(**head: object) -> dict[str, object]:
    base = {"license": "mit", "language": ["en"], "task_categories": [TASK]}
    return {**base, **head}


def info(rows: int = 100, names: tuple[str, ...] = ("a", "b")) -> dict[str, object]:
    """A card's `dataset_info`."""
    labels = {"class_label": {"names": {str(i): name for i, name in enumerate(names)}}}
    return {
        "features": [{"name": "text", "dtype": "string"}, {"name": "label", "dtype": labels}],
        "splits": [{"name": "train", "num_bytes": 1, "num_examples": rows}],
        "download_size": 1000,
    }


# ------------------------------------------------------------------------------------ decisions


def row(**changes: Any) -> dict[str, Any]:
    """A row of `/api/datasets`, as the Hub gives it."""
    return {
        "id": "lab/rows",
        "sha": COMMIT,
        "lastModified": "2026-05-01T00:00:00.000Z",
        "downloads": 50,
        "gated": False,
        "private": False,
        "disabled": False,
        "tags": ["language:en", "license:mit", f"task_categories:{TASK}", "format:csv"],
        "cardData": card(),
        "siblings": [{"rfilename": name} for name in (".gitattributes", "README.md", "train.csv")],
        "mainSize": 1000,
        **changes,
    }


def files(*names: str) -> list[dict[str, str]]:
    return [{"rfilename": name} for name in names]


TWO = card(configs=[{"config_name": "a"}, {"config_name": "b"}])
DECISIONS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("", {}, {}, ""),
    ("", {"siblings": None, "cardData": None, "tags": ["license:mit"]}, {}, ""),
    ("", {"siblings": files("a/train.csv.gz")}, {}, ""),
    ("", {"siblings": files("train/cat/1.PNG")}, {}, ""),
    ("invalid_id", {"id": "../../etc"}, {}, ""),
    ("invalid_id", {"id": "alone"}, {}, ""),
    ("disabled", {"disabled": True}, {}, ""),
    ("private", {"private": True}, {}, ""),
    ("gated", {"gated": "manual"}, {}, ""),
    ("gated", {"gated": "auto"}, {}, ""),
    ("no_commit", {"sha": "main"}, {}, ""),
    ("needs_code", {"siblings": files("rows.py", "train.csv")}, {}, "rows.py"),
    ("", {"siblings": files("convert.py", "src/rows.py", "train.csv")}, {}, ""),
    ("no_data", {"siblings": files(".gitattributes", "README.md")}, {}, ""),
    ("no_data", {"siblings": files("README.md", "dataset_infos.json")}, {}, ""),
    ("unsupported_format", {"siblings": files("a.wav", "b.tar")}, {}, ".tar, .wav"),
    ("name_differs", {}, {"search": "news", "list_all": True}, ""),
    ("", {}, {"search": "news"}, ""),
    ("wrong_language", {}, {"languages": ("de", "fr")}, "en"),
    ("wrong_language", {"tags": ["license:mit"]}, {"languages": ("en",)}, ""),
    ("unknown_license", {"tags": ["language:en"]}, {}, ""),
    ("unknown_license", {"tags": ["license:unknown"]}, {}, "unknown"),
    ("", {"tags": ["license:other"]}, {"allow_unknown_license": True}, ""),
    ("", {"tags": ["license:other"]}, {"licenses": ("other",)}, ""),
    ("other_license", {}, {"licenses": ("apache-2.0", "cc0-1.0")}, "mit"),
    ("few_downloads", {}, {"downloads_at_least": 51}, ""),
    ("no_config", {"cardData": TWO}, {"config": "c"}, "'c' is none of a, b"),
    ("too_few_rows", {"cardData": card(dataset_info=info(9))}, {"min_rows": 10}, "9 rows"),
    ("too_many_rows", {"cardData": card(dataset_info=info(11))}, {"max_rows": 10}, "11 rows"),
    (
        "too_many_rows",
        {"tags": ["license:mit", "size_categories:1M<n<10M"]},
        {"max_rows": 10**6},
        "1M<n",
    ),
    ("too_few_rows", {"tags": ["license:mit", "size_categories:n<1K"]}, {"min_rows": 1000}, "n<1K"),
    ("", {"tags": ["license:mit", "size_categories:n<1K"]}, {"min_rows": 999}, ""),
    (
        "too_many_classes",
        {"cardData": card(dataset_info=info(names=("a", "b", "c")))},
        {"max_classes": 2},
        "3 classes",
    ),
    ("one_class", {"cardData": card(dataset_info=info(names=("a",)))}, {}, "'a' only"),
    ("too_large", {"mainSize": 3 * 10**9}, {}, "3.0 GB"),
    ("", {"mainSize": 3 * 10**9, "cardData": card(dataset_info=info())}, {}, ""),
]


@pytest.mark.parametrize(("reason", "changes", "asked", "detail"), DECISIONS)
def test_a_row_decides(reason: str, changes: dict, asked: dict, detail: str) -> None:
    found = decide(row(**changes), query(**asked), reader())
    assert {candidate.reason for candidate in found} == {reason}
    assert detail in found[0].detail


def test_every_reason_is_in_the_table_and_has_words() -> None:
    later = {"not_found", "no_access", "over_limit", "local", "unusable", "unreadable"}
    of_the_card = {"no_train_split", "no_usable_columns", "other_labels"}  # see tasks/test_cards
    assert set(REASONS) - later - of_the_card == {reason for reason, *_ in DECISIONS} - {""}


def test_configs_are_decided_one_by_one() -> None:
    both = card(
        configs=[{"config_name": "en-US"}, {"config_name": "de-DE"}, {"config_name": "big"}],
        dataset_info=[{"config_name": "big", **info(1000)}, {"config_name": "en-US", **info(10)}],
    )
    many = row(cardData=both, tags=["license:mit", "language:en", "language:de"])
    found = decide(many, query(languages=("en",), max_rows=500), reader())
    assert [(c.config, c.reason) for c in found] == [
        ("en-US", ""),
        ("de-DE", "wrong_language"),
        ("big", "too_many_rows"),
    ]
    assert [c.config for c in decide(many, query(config="big"), reader())] == ["big"]


@pytest.mark.parametrize(
    "nonsense",
    [
        {},
        {"id": 7, "tags": "x", "cardData": [], "siblings": "all"},
        {"id": "a/b", "sha": None, "downloads": float("nan"), "mainSize": -1},
        {"id": "a/b", "sha": COMMIT, "tags": [1, None], "siblings": [None, {}, {"rfilename": 3}]},
        {"id": "a/\x1b[2Jb", "sha": COMMIT},
    ],
)
def test_a_row_of_nonsense_is_decided_as_well(nonsense: dict[str, Any]) -> None:
    (found,) = decide(nonsense, query(), reader())
    assert found.reason
    assert (found.repo_id + found.detail).isprintable()


def test_details_are_short_and_printable() -> None:
    names = [{"name": f"column {i}\x1b[2J", "dtype": "string"} for i in range(500)]
    (found,) = decide(row(cardData=card(dataset_info={"features": names})), query(), reader())
    assert found.reason == "no_usable_columns"
    assert found.detail.isprintable()
    assert len(found.detail) <= 300


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"task": "nonsense"}, UnknownNameError),
        ({"max_rows": 5, "min_rows": 6}, InputError),
        ({"max_classes": 1}, InputError),
        ({"min_rows": -1}, InputError),
    ],
)
def test_queries_that_make_no_sense(changes: dict, error: type[HfSelectError]) -> None:
    with pytest.raises(error):
        query(**changes)


def test_what_the_hub_filters() -> None:
    asked = query(languages=("en",), licenses=("mit",), search="news", max_rows=1000)
    assert asked.listing(10)["filter"] == [
        f"task_categories:{TASK}",
        "language:en",
        "license:mit",
    ]
    assert asked.listing(10)["search"] == "news"
    # The filters can only be joined by "and".
    several = query(languages=("en", "de"), licenses=("mit", "cc0-1.0"), max_rows=5000)
    assert several.listing(10)["filter"] == [f"task_categories:{TASK}"]
    assert replace(asked, list_all=True).listing(10)["filter"] == [f"task_categories:{TASK}"]
    assert "search" not in replace(asked, list_all=True).listing(10)


def test_lines_of_a_list() -> None:
    assert asked_for("a/b") == ("a/b", "", "")
    assert asked_for("a/b/c d@refs/pr/1") == ("a/b", "c d", "refs/pr/1")


# ---------------------------------------------------------------------------------- whole crawls


class Rows:
    """Takes the place of reading rows: what was looked at, and what happens then."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.commits: dict[str, str] = {}
        self.troubles: dict[str, BaseException] = {}
        self.fingerprints: dict[str, str] = {}
        self.rows: dict[str, int] = {}

    def __call__(self, repo_id: str, config: str, commit: str) -> tuple[DatasetEntry, str]:
        name = f"{repo_id}/{config}" if config else repo_id
        self.seen.append(name)
        self.commits[name] = commit
        if name in self.troubles:
            raise self.troubles[name]
        entry = DatasetEntry(
            repo_id=repo_id,
            revision=commit,
            task=TASK,
            input_columns=("text",),
            label_column="label",
            num_labels=2,
            metric="accuracy",
            config=config,
            label_names=("a", "b"),
            splits={"train": self.rows.get(name, 70), "validation": 15, "test": 15},
            baseline=0.5,
        )
        return entry, self.fingerprints.get(name, f"{name} at {commit}")


def add(hub, name: str, downloads: int, head: dict | None = None, **settings: Any) -> str:  # type: ignore[no-untyped-def]
    readme = f"---\n{yaml.safe_dump(head if head is not None else card())}---\n"
    given = {"README.md": readme, "train.csv": "text,label\n", **settings.pop("files", {})}
    return hub.add("dataset", name, given, downloads=downloads, **settings)


@pytest.fixture
def filled(hub):  # type: ignore[no-untyped-def]
    """Twelve datasets, six of which can be told from the listing to be of no use."""
    for i, name in enumerate(["a", "b", "c", "d", "e"]):
        add(hub, f"lab/{name}", 1000 - 100 * i)
    add(hub, "lab/two", 950, TWO)
    add(hub, "bob/gated", 940, gated="manual")
    add(hub, "bob/scripted", 930, files={"scripted.py": "raise SystemExit"})
    add(hub, "bob/off", 920, disabled=True)
    add(hub, "bob/nobody", 910, card(license=None))
    add(hub, "bob/german", 890, card(language=["de"]))
    add(hub, "bob/huge", 880, card(dataset_info=info(10**7)))
    add(hub, "bob/images", 870, card(task_categories=["image-classification"]))
    return hub


@pytest.fixture
def crawl(client, tmp_path: Path):  # type: ignore[no-untyped-def]
    """`crawl(hub, rows, ...)` into tmp_path/catalog, four datasets a page."""

    def run(hub, rows: Rows, asked: DatasetQuery | None = None, **options: Any) -> CrawledDatasets:  # type: ignore[no-untyped-def]
        return crawl_datasets(
            client(hub, token=None, attempts=2),
            asked or query(languages=("en", "fr"), max_rows=10_000),
            tmp_path / "catalog",
            read_card=reader(),
            look=rows,
            **{"page_size": 4, **options},
        )

    return run


def reasons(done: CrawledDatasets) -> dict[str, str]:
    return {found.name: found.reason for found in done.rejected}


def saved(tmp_path: Path) -> Catalog:
    return Catalog.load(tmp_path / "catalog")


def test_a_crawl_from_listing_to_catalog(filled, crawl, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rows = Rows()
    done = crawl(filled, rows)
    assert [found.name for found in done.accepted] == [
        *("lab/a", "lab/two/a", "lab/two/b", "lab/b", "lab/c", "lab/d", "lab/e")
    ]
    assert rows.seen == [found.name for found in done.accepted]
    assert reasons(done) == {
        "bob/gated": "gated",
        "bob/scripted": "needs_code",
        "bob/off": "disabled",
        "bob/nobody": "unknown_license",
        "bob/german": "wrong_language",
        "bob/huge": "too_many_rows",
    }
    # The Hub was asked for pages, and for nothing else.
    assert [request.path for request in filled.log] == ["/api/datasets"] * 3
    assert (done.pages, done.requests, done.resumed_after) == (3, 3, 0)

    catalog = saved(tmp_path)
    assert [(e.repo_id, e.config) for e in catalog.datasets] == [
        *(("lab/a", ""), ("lab/b", ""), ("lab/c", ""), ("lab/d", ""), ("lab/e", "")),
        *(("lab/two", "a"), ("lab/two", "b")),
    ]
    assert {e.revision for e in catalog.datasets} == set(rows.commits.values())
    assert {e.license for e in catalog.datasets} == {"mit"}
    assert catalog.rejected_counts["datasets"][TASK] == dict(done.counts)
    table = parquet.read_table(tmp_path / "catalog" / "datasets.parquet").to_pylist()
    assert len(table) == done.seen == 13
    first = next(row for row in table if row["repo_id"] == "lab/a")
    assert (first["decision"], first["train"], first["num_labels"]) == ("accepted", 70, 2)
    assert first["commit"] == rows.commits["lab/a"]
    assert first["fingerprint"] == f"lab/a at {first['commit']}"
    assert all(row["reason"] in REASONS for row in table if row["decision"] == "rejected")
    assert not (tmp_path / "catalog" / ".crawl").exists()


def test_a_limit_ends_the_listing(filled, crawl) -> None:  # type: ignore[no-untyped-def]
    rows = Rows()
    done = crawl(filled, rows, limit=2)
    assert [found.name for found in done.accepted] == rows.seen == ["lab/a", "lab/two/a"]
    assert reasons(done)["lab/two/b"] == "over_limit"
    assert done.requests == 1


def test_downloads_end_the_listing(filled, crawl) -> None:  # type: ignore[no-untyped-def]
    done = crawl(filled, Rows(), query(downloads_at_least=935))
    assert done.requests == 1
    done = crawl(filled, Rows(), query(downloads_at_least=935, list_all=True))
    assert reasons(done)["lab/e"] == "few_downloads"


def test_the_hub_filters_where_it_can(filled, crawl) -> None:  # type: ignore[no-untyped-def]
    done = crawl(filled, Rows(), query(languages=("de",)))
    assert [found.name for found in done.accepted] == ["bob/german"]
    assert done.seen == 1
    everything = crawl(filled, Rows(), query(languages=("de",), list_all=True))
    assert everything.counts["wrong_language"] == 8


def test_what_the_rows_turn_out_to_be(filled, crawl, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rows = Rows()
    rows.troubles = {
        "lab/a": DataError("lab/a (train) has one class ('x') only in column 'label'"),
        "lab/b": AccessError("nobody may read it"),
    }
    rows.rows = {"lab/c": 20_000, "lab/d": 1}
    done = crawl(filled, rows, query(languages=("en",), max_rows=10_000, min_rows=50))
    found = reasons(done)
    assert {name: found[name] for name in ("lab/a", "lab/b", "lab/c", "lab/d")} == {
        "lab/a": "unusable",
        "lab/b": "no_access",
        "lab/c": "too_many_rows",
        "lab/d": "too_few_rows",
    }
    (one,) = (f for f in done.rejected if f.name == "lab/a")
    assert "one class" in one.detail
    assert "lab/e" in [f.name for f in done.accepted]


# ------------------------------------------------------------------------------------ goes on


def test_a_page_that_fails_is_where_the_next_run_goes_on(filled, crawl, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rows = Rows()
    fault = filled.fault(path="*cursor=*", status=504, times=2)
    with pytest.raises(HubError, match="504"):
        crawl(filled, rows)
    assert fault.struck == 2
    assert not (tmp_path / "catalog" / "catalog.json").exists()
    looked, asked = list(rows.seen), len(filled.log)
    done = crawl(filled, rows)
    assert done.resumed_after == 1
    assert len(filled.log) - asked == 2  # the two pages that were missing
    assert rows.seen[: len(looked)] == looked
    assert len(rows.seen) == len(set(rows.seen)) == 7  # nothing was looked at twice
    assert done.seen == len({found.key for found in (*done.accepted, *done.rejected)}) == 13


def test_a_listing_that_moves_counts_nothing_twice(filled, crawl) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StoppedError):
        crawl(filled, Rows(), should_stop=lambda: True)
    filled.repo("dataset", "lab/a").downloads = 850  # from the first page to the second
    done = crawl(filled, Rows(), limit=6)
    assert len({found.key for found in done.accepted}) == len(done.accepted) == 6


def test_a_stop_between_looks_loses_nothing(filled, crawl) -> None:  # type: ignore[no-untyped-def]
    rows = Rows()
    with pytest.raises(StoppedError) as caught:
        crawl(filled, rows, should_stop=lambda: len(rows.seen) == 2)
    assert caught.value.exit_code == 3
    assert len(rows.seen) == 2
    assert len(crawl(filled, rows).accepted) == 7
    assert len(rows.seen) == 7


def test_an_unfinished_crawl_isn_t_mixed_with_another(filled, crawl) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StoppedError):
        crawl(filled, Rows(), should_stop=lambda: True)
    with pytest.raises(InputError, match=r"unfinished.*\(languages, max rows\)") as caught:
        crawl(filled, Rows(), query(languages=("de",)))
    assert "--restart" in caught.value.hint
    done = crawl(filled, Rows(), query(languages=("de",)), restart=True)
    assert [found.name for found in done.accepted] == ["bob/german"]


def test_a_damaged_plan_says_what_to_do(filled, crawl, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StoppedError):
        crawl(filled, Rows(), should_stop=lambda: True)
    (tmp_path / "catalog" / ".crawl" / f"datasets-{TASK}" / "plan.json").write_text("{")
    with pytest.raises(InputError, match="can't be read") as caught:
        crawl(filled, Rows())
    assert "--restart" in caught.value.hint


def test_a_dataset_whose_files_fail_doesn_t_stop_the_others(filled, crawl) -> None:  # type: ignore[no-untyped-def]
    rows = Rows()
    rows.troubles = {"lab/a": HubError("train.csv: the Hub answered 500")}
    done = crawl(filled, rows)
    assert reasons(done)["lab/a"] == "unreadable"
    assert len(done.accepted) == 6


def test_a_hub_that_is_gone_stops_the_crawl_and_nothing_is_blamed(filled, crawl, tmp_path) -> None:  # type: ignore[no-untyped-def]
    rows = Rows()
    rows.troubles = {"lab/b": HubError("the Hub can't be reached")}
    filled.fault(path="/api/datasets/lab/b*", status=503, times=2)
    with pytest.raises(HubError):
        crawl(filled, rows)
    rows.troubles = {}
    assert "lab/b" in [found.name for found in crawl(filled, rows).accepted]


# ----------------------------------------------------------------------------- what is there stays


def test_models_and_local_entries_stay(filled, crawl, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "catalog"
    folder.mkdir()
    model = ModelEntry("me/model", COMMIT, TASK)
    here = DatasetEntry("lab/b", COMMIT, TASK, ("text",), "label", 2, "accuracy")
    other = replace(here, repo_id="lab/c", task="image-classification")
    Catalog((model,), (here, other), (), {"lab/b": tmp_path}).save(folder / "catalog.json")
    done = crawl(filled, Rows())
    assert reasons(done)["lab/b"] == "local"
    catalog = saved(tmp_path)
    assert catalog.models == (model,)
    assert here in catalog.datasets
    assert other in catalog.datasets
    assert catalog.location("lab/b") is not None
    assert len(catalog.datasets) == 6 + 2


def test_a_new_commit_with_the_same_rows_stays_pinned_to_the_old_one(
    filled, crawl, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    """Runs are kept under the commit: a changed card must not undo them."""
    rows = Rows()
    rows.fingerprints = {"lab/a": "same", "lab/b": "before"}
    crawl(filled, rows)
    before = {e.repo_id: e.revision for e in saved(tmp_path).datasets}
    for name in ("lab/a", "lab/b"):
        filled.push("dataset", name, {"NOTES.md": "more words"})
    rows.fingerprints["lab/b"] = "after"
    done = crawl(filled, rows)
    after = {e.repo_id: e.revision for e in saved(tmp_path).datasets}
    assert after["lab/a"] == before["lab/a"]
    assert after["lab/b"] == rows.commits["lab/b"] != before["lab/b"]
    assert {f.name: f.commit for f in done.accepted}["lab/a"] == before["lab/a"]


def test_what_is_of_no_use_any_more_goes_and_the_rest_stays(filled, crawl, tmp_path) -> None:  # type: ignore[no-untyped-def]
    crawl(filled, Rows())
    filled.repo("dataset", "lab/a").gated = "manual"
    crawl(filled, Rows(), limit=1)
    names = [(e.repo_id, e.config) for e in saved(tmp_path).datasets]
    assert ("lab/a", "") not in names
    assert ("lab/two", "b") in names  # not needed this time
    assert ("lab/e", "") in names  # not even seen this time
    table = list(read_decisions(tmp_path / "catalog" / "datasets.parquet"))
    assert len({(row["repo_id"], row["config"]) for row in table}) == len(table) == 13


def test_datasets_of_another_task_stay_in_the_table(filled, crawl, tmp_path) -> None:  # type: ignore[no-untyped-def]
    crawl(filled, Rows())
    crawl(filled, Rows(), query(task="text-regression"))
    table = list(read_decisions(tmp_path / "catalog" / "datasets.parquet"))
    assert {row["task"] for row in table} == {TASK, "text-regression"}


def test_a_table_that_isn_t_one(filled, crawl, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "datasets.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"datasets.parquet can't be read"):
        crawl(filled, Rows())
    assert not (tmp_path / "catalog" / "catalog.json").exists()


# ------------------------------------------------------------------------------------- a list


def test_named_datasets(filled, crawl) -> None:  # type: ignore[no-untyped-def]
    add(filled, "bob/private", 1, private=True)
    old = filled.repo("dataset", "lab/c").head.sha
    filled.push("dataset", "lab/c", {"train.csv": "text,label\nnew,1\n"})
    ids = (
        *("lab/a", "lab/two/b", f"lab/c@{old}", "lab/two/z", "bob/gated"),
        *("bob/private", "nobody/nothing", "../../etc/passwd", "lab/d@nowhere"),
    )
    rows = Rows()
    done = crawl(filled, rows, query(ids=ids), limit=0)
    assert [found.name for found in done.accepted] == ["lab/a", "lab/two/b", "lab/c"]
    assert rows.commits["lab/c"] == old
    assert reasons(done) == {
        "lab/two": "no_config",
        "bob/gated": "gated",
        "bob/private": "not_found",
        "nobody/nothing": "not_found",
        "../../etc/passwd": "invalid_id",
        "lab/d": "not_found",
    }
    assert len(filled.log) == 8  # one each, and none for what is no name


def test_a_list_goes_on_where_it_was(filled, crawl) -> None:  # type: ignore[no-untyped-def]
    asked = query(ids=("lab/a", "lab/b", "lab/c"))
    filled.fault(path="/api/datasets/lab/b*", status=503, times=2)
    with pytest.raises(HubError):
        crawl(filled, Rows(), asked)
    before = len(filled.log)
    assert len(crawl(filled, Rows(), asked).accepted) == 3
    assert [request.path for request in filled.log[before:]] == [
        "/api/datasets/lab/b",
        "/api/datasets/lab/c",
    ]


def test_a_refused_crawl_writes_nothing(filled, crawl, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(AccessError, match="offline"):
        crawl(filled, Rows())
    assert not (tmp_path / "catalog").exists()
    assert not filled.log


def test_a_candidate_survives_a_page(tmp_path: Path) -> None:
    from hf_select.hub.crawl.datasets import _from_json

    found = Candidate("lab/a", "b", COMMIT, languages=("en",), rows={"train": 3}, num_labels=2)
    assert _from_json(json.dumps(vars(found))) == found
