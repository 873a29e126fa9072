"""The daily table of all models as a source, read over HTTP in ranges."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_population import BASE, FILTERS, TASK, Model, populate

from hf_select.catalog import Catalog
from hf_select.demo.hub_server.properties import row as properties
from hf_select.errors import InputError, StoppedError
from hf_select.hub.crawl import hubstats
from hf_select.hub.crawl.candidates import read_candidates
from hf_select.hub.crawl.facts import parse
from hf_select.hub.crawl.hubstats import DATASET, PATH, as_row
from hf_select.hub.crawl.models import crawl
from hf_select.hub.crawl.query import EXPAND, ModelQuery

QUERY = ModelQuery(task=TASK, source="hub-stats", list_all=True, **FILTERS)
TEXTS = pa.list_(pa.string())
BASE_IDS = pa.list_(pa.struct({"_id": pa.string(), "id": pa.string()}))
COUNTS = pa.struct({"F32": pa.int64()})
SCHEMA = pa.schema(
    {
        "_id": pa.string(),
        "id": pa.string(),
        "sha": pa.string(),
        "downloads": pa.int64(),
        "likes": pa.int64(),
        "gated": pa.string(),
        "private": pa.bool_(),
        "disabled": pa.bool_(),
        "tags": TEXTS,
        "pipeline_tag": pa.string(),
        "library_name": pa.string(),
        "createdAt": pa.timestamp("us"),
        "lastModified": pa.timestamp("us"),
        "safetensors": pa.struct({"parameters": COUNTS, "total": pa.int64()}),
        "config": pa.string(),
        "baseModels": pa.struct({"relation": pa.string(), "models": BASE_IDS}),
        "cardData": pa.string(),
    }
)


def publish(hub: Any, client: Any, *, without: tuple[str, ...] = (), group: int = 20) -> int:
    """The table of what the Hub's own listing says; returns its size in bytes."""
    listing = client(hub).get_page("/api/models", {"expand": list(EXPAND)})
    assert listing.next is None
    known = [properties(repo) for (kind, _), repo in hub.store.repos.items() if kind == "model"]
    bases = {told["id"]: told.get("baseModels") for told in known}  # no listing tells them
    rows = [stored({**told, "baseModels": bases[told["id"]]}) for told in listing.rows]
    table = pa.Table.from_pylist(rows, SCHEMA).drop_columns([*without])
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=group)
    hub.add("dataset", DATASET, {PATH: sink.getvalue()})
    hub.log.clear()
    return len(sink.getvalue())


def stored(row: dict[str, Any]) -> dict[str, Any]:
    moments = {
        name: datetime.fromisoformat(row[name]).astimezone(UTC).replace(tzinfo=None)
        for name in ("createdAt", "lastModified")
    }
    return {
        **row,
        **moments,
        "gated": str(row["gated"]),
        "config": json.dumps(row["config"]) if "config" in row else None,
        "cardData": os.urandom(3000).hex(),
    }


def run(hub: Any, out: Path, query: ModelQuery = QUERY, **options: Any) -> Any:
    options = {"loadable": lambda: frozenset(["bert"]), "max_per_base": 2, **options}
    return crawl(hub, query, out, **options)


def reasons(out: Path) -> dict[str, str]:
    rows = [row for t in read_candidates(out, task=TASK) for row in t.to_pylist()]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row["reason"] for row in rows}


def expected_of(hub: Any) -> dict[str, str]:
    """What the models are to end as."""
    return {n.encode("unicode_escape").decode(): why for n, why in populate(hub).items()}


def test_the_same_decisions_without_a_page_of_the_listing(hub, client, tmp_path):
    expected = expected_of(hub)
    size = publish(hub, client)
    said: list[str] = []
    crawled = run(client(hub), tmp_path, say=said.append)
    assert reasons(tmp_path) == expected
    assert hub.requests("GET", "/api/models[?]*") == []
    assert said[:2] == [
        "page 1: 20 new, 20 so far (row group 1 of 4)",
        "page 2: 0 new, 20 so far (row group 1 of 4, all of it)",
    ]
    files = [r for r in hub.log if r.path.endswith(PATH)]
    assert sum(r.bytes_out for r in files) < size / 4  # cardData stays where it is
    assert crawled.bytes_read < size / 4
    for entry in Catalog.load(tmp_path).models:
        assert entry.revision == hub.commits("model", entry.repo_id)[0].sha
    close = ("", "unsafe", "bad_files", "same_weights")
    looked_at = {f"/api/models/{name}" for name, why in expected.items() if why in close}
    asked = {r.path for r in hub.requests("GET", "/api/models/*[?]*expand=sha*")}
    assert asked == looked_at


def test_columns_may_be_missing(hub, client, tmp_path):
    expected = expected_of(hub)
    publish(hub, client, without=("sha", "config", "gated", "disabled", "private", "baseModels"))
    run(client(hub), tmp_path)
    found = reasons(tmp_path)
    differ = {n for n in expected if expected[n] != found[n]}
    # what the table doesn't say is found out by asking, but no more than that
    assert {expected[n] for n in differ} <= {"private", "merge"}
    assert {n for n, why in found.items() if not why} == {n for n, w in expected.items() if not w}


def test_a_model_that_was_shortlisted_is_asked_for_as_it_is_now(hub, client, tmp_path):
    for name in ("a", "b", "c"):
        Model(f"lab/{name}", seed=ord(name)).add_to(hub)
    publish(hub, client)
    new = hub.push("model", "lab/a", {"notes.txt": "x"})
    hub.repo("model", "lab/b").gated = "auto"
    hub.remove("model", "lab/c")
    run(client(hub), tmp_path)
    assert reasons(tmp_path) == {"lab/a": "", "lab/b": "gated", "lab/c": "not_found"}
    assert [entry.revision for entry in Catalog.load(tmp_path).models] == [new]
    hub.log.clear()
    run(client(hub), tmp_path)
    assert hub.log == []


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_crawl_goes_on_in_the_middle_of_a_row_group(hub, client, tmp_path, monkeypatch, stop):
    monkeypatch.setattr(hubstats, "ROWS_A_BATCH", 7)
    expected = expected_of(hub)
    publish(hub, client)
    steps: list[int] = []

    def should_stop() -> bool:
        steps.append(1)
        return len(steps) == stop

    with pytest.raises(StoppedError):
        run(client(hub), tmp_path, should_stop=should_stop)
    monkeypatch.setattr(hubstats, "ROWS_A_BATCH", 7)
    hub.push("dataset", DATASET, {PATH: b"tomorrow's table"})  # the commit is pinned
    crawled = run(client(hub), tmp_path)
    assert crawled.resumed_after == stop
    assert crawled.pages == 3 * (3 + 1) + 2 + 1  # pieces of 7 rows, and the end of each row group
    assert reasons(tmp_path) == expected


def test_since_last_takes_the_newer_rows(hub, client, tmp_path):
    populate(hub)
    publish(hub, client)
    run(client(hub), tmp_path)
    before = reasons(tmp_path)
    hub.push("model", BASE, {"notes.txt": "x"})
    hub.remove("dataset", DATASET)
    publish(hub, client)
    crawled = run(client(hub), tmp_path, since_last=True)
    assert reasons(tmp_path) == before
    assert crawled.changed == 1
    pinned = {entry.repo_id: entry.revision for entry in Catalog.load(tmp_path).models}
    assert pinned[BASE] == hub.commits("model", BASE)[0].sha


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (None, "there is no table of all models"),
        ({"README.md": "moved"}, "there is no table of all models"),
        ({PATH: b"PAR1, or not"}, "isn't a parquet file"),
    ],
)
def test_a_table_that_is_not_there(hub, client, tmp_path, files, words):
    if files:
        hub.add("dataset", DATASET, files)
    with pytest.raises(InputError, match=words) as error:
        run(client(hub), tmp_path / "out")
    assert "--source" in error.value.hint
    assert not (tmp_path / "out").exists()


def test_a_table_of_something_else(hub, client, tmp_path):
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": ["a"], "tags": [["x"]]}), sink)
    hub.add("dataset", DATASET, {PATH: sink.getvalue()})
    with pytest.raises(InputError, match="no columns id, pipeline_tag and tags"):
        run(client(hub), tmp_path / "out")


def test_rows_are_spelled_as_the_api_does():
    row = {
        "id": "a/b",
        "tags": ["license:mit", "base_model:x/y"],
        "safetensors": '{"total": 7}',
        "config": {"model_type": "bert", "auto_map": None, "quantization_config": None},
        "transformersInfo": "not json",
        "baseModels": {"relation": "adapter", "models": [{"_id": "1", "id": "x/y"}]},
        "lastModified": datetime(2026, 5, 1, tzinfo=UTC),
        "gated": "False",
    }
    facts = parse(as_row(row))
    assert (facts.num_parameters, facts.model_type, facts.custom_code) == (7, "bert", False)
    assert (facts.base_models, facts.relation) == (["x/y"], "adapter")
    assert (facts.quantized, facts.gated) == (False, False)
    assert facts.modified == "2026-05-01T00:00:00.000Z"
    assert Counter(facts.base_models) == {"x/y": 1}
