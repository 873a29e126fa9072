"""Crawling a local Hub over HTTP: what is accepted, what is asked, and how a crawl goes on."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_population import BASE, BERT, FILTERS, NEW, TASK, Model, card, good, populate, weights

from hf_select.catalog import Catalog
from hf_select.errors import HubError, InputError, StoppedError
from hf_select.hub.crawl.candidates import (
    FILE,
    SCHEMA,
    Verdict,
    decide_page,
    judged,
    read_candidates,
    write_candidates,
)
from hf_select.hub.crawl.decide import REASONS
from hf_select.hub.crawl.models import Crawled, crawl
from hf_select.hub.crawl.pages import Pages
from hf_select.hub.crawl.query import PIPELINE_TAGS, ModelQuery
from hf_select.hub.crawl.shortlist import Candidate, Finding, shortlist
from hf_select.hub.crawl.state import CrawlState
from hf_select.records import DatasetEntry, ModelEntry

QUERY = ModelQuery(task=TASK)
EVERYTHING = ModelQuery(task=TASK, list_all=True, **FILTERS)
LISTINGS = len(PIPELINE_TAGS[TASK])


def run(hub: Any, out: Path, query: ModelQuery = QUERY, **options: Any) -> Crawled:
    return crawl(hub, query, out, **{"loadable": lambda: frozenset(["bert"]), **options})


def rows(out: Path, task: str = TASK) -> dict[str, dict]:
    return {row["id"]: row for t in read_candidates(out, task=task) for row in t.to_pylist()}


def reasons(out: Path) -> dict[str, str]:
    return {name: row["reason"] for name, row in rows(out).items()}


def accepted(out: Path) -> dict[str, str]:
    return {entry.repo_id: entry.revision for entry in Catalog.load(out).models}


def pages(hub: Any) -> list[str]:
    """The queries of the listing that were answered, without what stays the same."""
    return [r.query for r in hub.requests("GET", "/api/models[?]*") if r.status == 200]


def asked(hub: Any) -> set[str]:
    """The models that were asked for one by one."""
    found = set()
    for request in hub.log:
        parts = request.path.removeprefix("/api/models").strip("/").split("/")
        if len(parts) > 1:
            found.add("/".join(parts[:2]))
    return found


def add(hub: Any, *models: Model) -> None:
    for model in models:
        model.add_to(hub)


# -------------------------------------------------------------------------- what is accepted


def test_every_model_ends_accepted_or_rejected_with_its_reason(hub, client, tmp_path):
    expected = populate(hub)
    assert len(expected) >= 60
    said: list[str] = []
    crawled = run(
        client(hub), tmp_path / "out", EVERYTHING, page_size=10, max_per_base=2, say=said.append
    )
    expected = {n.encode("unicode_escape").decode(): why for n, why in expected.items()}
    assert reasons(tmp_path / "out") == expected
    counts = Counter(expected.values())
    assert crawled.accepted == counts.pop("")
    assert crawled.rejected == counts
    assert crawled.seen == len(expected)
    assert REASONS.keys() >= counts.keys()
    assert set(REASONS) - set(counts) == {
        # these need a list of ids, or another query
        *("not_found", "no_access", "wrong_library", "other_training_set", "name_differs"),
        *("no_processor", "over_limit"),
    }
    assert said[0] == "page 1: 1 new, 1 so far (fill-mask)"
    assert "17 of 74 models are candidates" in said
    assert said[-1] == "15 looked at more closely, 11 accepted"


def test_no_request_per_rejected_model(hub, client, tmp_path):
    expected = populate(hub)
    crawled = run(client(hub), tmp_path / "out", EVERYTHING, page_size=10, max_per_base=2)
    looked_at = {
        name for name, why in expected.items() if why in ("", "unsafe", "bad_files", "same_weights")
    }
    assert asked(hub) == looked_at
    # 73 models of the task in pages of 10, one page of fill-mask, one of each empty listing
    assert len(pages(hub)) == 8 + 1 + LISTINGS - 2
    assert crawled.requests == len(hub.log) == len(pages(hub)) + 3 * len(looked_at) - 1
    assert {r.method for r in hub.log} == {"GET"}
    assert not any(r.path.endswith(("pytorch_model.bin", ".gguf")) for r in hub.log)


def test_the_hub_filters_where_it_can(hub, client, tmp_path):
    expected = populate(hub)
    query = replace(EVERYTHING, list_all=False)
    run(client(hub), tmp_path / "out", query, page_size=10, max_per_base=2)
    found = reasons(tmp_path / "out")
    filtered = ("wrong_language", "unknown_license", "other_license", "too_small", "too_large")
    assert not set(filtered) & set(found.values())
    assert {n for n, why in found.items() if not why} == {n for n, w in expected.items() if not w}
    assert found["lab/gated-0"] == "gated"  # no filter asked for this: it has to be said
    assert len(pages(hub)) < len(expected) // 10 + 2 * LISTINGS


def test_the_listing_stops_where_downloads_end(hub, client, tmp_path):
    add(hub, *(Model(f"lab/m{i:02d}", seed=i, downloads=1000 - i) for i in range(40)))
    run(client(hub), tmp_path / "out", replace(QUERY, downloads_at_least=990), page_size=5)
    assert Counter(reasons(tmp_path / "out").values()) == {"": 11, "few_downloads": 4}
    assert len(pages(hub)) == 3 + LISTINGS - 1


def test_the_catalog_is_pinned_sorted_and_counts_what_was_rejected(hub, client, tmp_path):
    populate(hub)
    out = tmp_path / "out"
    run(client(hub), out, EVERYTHING, max_per_base=2)
    catalog = Catalog.load(out)
    names = [entry.repo_id for entry in catalog.models]
    assert names == sorted(names)
    for entry in catalog.models:
        assert entry.revision == hub.commits("model", entry.repo_id)[0].sha
        assert len(entry.revision) == 40
        assert (entry.task, entry.num_parameters) == (TASK, 64)
        assert (entry.license, entry.languages) == ("apache-2.0", ("en",))
        assert len(entry.weights_sha256) == 64
    child = next(entry for entry in catalog.models if entry.repo_id == "lab/child-0")
    assert (child.base_model, child.relation) == (BASE, "finetune")
    assert child.architecture == "BertForSequenceClassification"
    counts = catalog.rejected_counts["models"][TASK]
    assert counts["gated"] == 3
    assert sum(counts.values()) + len(names) == len(rows(out))
    assert catalog.rejected == ()


def test_the_parquet_file_can_be_read_by_anybody(hub, client, tmp_path):
    populate(hub)
    run(client(hub), tmp_path / "out", EVERYTHING, max_per_base=2)
    table = pq.read_table(tmp_path / "out" / FILE)
    assert table.schema.equals(SCHEMA)
    twin = table.filter(pa.compute.equal(table["id"], "lab/twin")).to_pylist()[0]
    assert (twin["decision"], twin["reason"]) == ("rejected", "same_weights")
    assert twin["detail"] == f"as {BASE}"
    cut = table.filter(pa.compute.equal(table["id"], "lab/cut")).to_pylist()[0]
    assert "model.safetensors is damaged" in cut["detail"]
    child = table.filter(pa.compute.equal(table["id"], "lab/child-1")).to_pylist()[0]
    assert (child["ancestors"], child["ancestor_licenses"]) == ([BASE], ["apache-2.0"])
    assert (child["trained_datasets"], child["security"]) == (["imdb"], "safe")
    assert child["decision"] == "accepted"


def test_a_model_of_two_listings_is_one(hub, client, tmp_path):
    add(hub, Model("lab/two", card={"license": ["mit", "apache-2.0"], "language": ["en", "de"]}))
    query = replace(QUERY, licenses=("mit", "apache-2.0"), languages=("en", "de"))
    crawled = run(client(hub), tmp_path, query)
    assert len(pages(hub)) == 4 * LISTINGS
    assert (crawled.seen, crawled.accepted) == (1, 1)


def test_the_most_downloaded_are_taken(hub, client, tmp_path):
    add(hub, *good())
    crawled = run(client(hub), tmp_path, limit=3)
    assert set(accepted(tmp_path)) == {BASE, "lab/fine-7", "lab/fine-6"}
    assert crawled.rejected == {"over_limit": 6}
    assert asked(hub) == set(accepted(tmp_path))


def test_of_the_same_weights_the_oldest_of_the_most_downloaded_stays(hub, client, tmp_path):
    def twin(name: str, created: str, downloads: int = 50) -> Model:
        return Model(name, seed=7, downloads=downloads, settings={"created": created})

    first = twin("lab/b", "2022-01-01T00:00:00.000Z")
    add(hub, twin("lab/a", "2023-01-01T00:00:00.000Z"), first, twin("lab/c", NEW, 49))
    run(client(hub), tmp_path)
    assert reasons(tmp_path) == {"lab/a": "same_weights", "lab/b": "", "lab/c": "same_weights"}


def test_a_model_without_a_tokenizer_is_no_candidate(hub, client, tmp_path):
    add(hub, Model("lab/mute", without=("vocab.txt",)))
    run(client(hub), tmp_path)
    assert reasons(tmp_path) == {"lab/mute": "no_processor"}


# ------------------------------------------------------------------------------- lineage


def test_a_licence_freer_than_an_ancestors_is_flagged(hub, client, tmp_path):
    add(
        hub,
        Model("lab/free", seed=1, card={"base_model": "lab/middle", "license": "mit"}),
        Model("lab/kept", seed=2, card={"base_model": "lab/middle", "license": "cc-by-nc-4.0"}),
        Model("lab/lost", seed=3, card={"base_model": "lab/deleted"}),
        Model("lab/round", seed=4, card={"base_model": "lab/circle"}),
        # neither is in a listing of the task: each is asked for, once
        Model("lab/middle", card={"base_model": "lab/root", "pipeline_tag": "text-to-speech"}),
        Model("lab/root", card={"license": "cc-by-nc-4.0", "pipeline_tag": "text-to-speech"}),
        Model("lab/circle", card={"base_model": "lab/round", "pipeline_tag": "text-to-speech"}),
    )
    crawled = run(client(hub), tmp_path)
    found = rows(tmp_path)
    assert found["lab/free"]["flags"] == ["licence_freer_than_base"]
    assert found["lab/free"]["detail"] == (
        "it is mit, but lab/root is cc-by-nc-4.0: commercial use is forbidden"
    )
    assert found["lab/free"]["ancestors"] == ["lab/middle", "lab/root"]
    assert found["lab/free"]["ancestor_licenses"] == ["apache-2.0", "cc-by-nc-4.0"]
    assert found["lab/lost"]["ancestor_licenses"] == [""]
    assert found["lab/round"]["ancestors"] == ["lab/circle", "lab/round"]
    flagged = [name for name, row in found.items() if row["flags"]]
    assert flagged == ["lab/free"]
    assert crawled.flags == {"licence_freer_than_base": ("lab/free",)}
    assert Catalog.load(tmp_path).flags == {"lab/free": ("licence_freer_than_base",)}
    times = Counter(r.path for r in hub.log)
    for name in ("middle", "root", "circle", "deleted"):
        assert times[f"/api/models/lab/{name}"] == 1
    assert times["/api/models/lab/round"] == 0  # it is in the listing

    before = len(hub.log)
    run(client(hub), tmp_path, since_last=True)
    assert {r.path for r in hub.log[before:]} == {"/api/models"}


def test_a_base_that_is_no_name_is_not_asked_for(hub, client, tmp_path):
    add(hub, Model("lab/odd", card={"base_model": "../../api/whoami-v2"}))
    run(client(hub), tmp_path)
    assert asked(hub) == {"lab/odd"}
    assert rows(tmp_path)["lab/odd"]["ancestors"] == ["../../api/whoami-v2"]


# ------------------------------------------------------------- a crawl that was cut off goes on


def crawl_whole(hub, client, folder: Path, **options: Any) -> dict[str, dict]:
    run(client(hub), folder, EVERYTHING, max_per_base=2, **options)
    return rows(folder)


def test_a_504_on_a_later_page_costs_only_that_page(hub, client, tmp_path):
    populate(hub)
    whole = crawl_whole(hub, client, tmp_path / "whole", page_size=2)
    number = len(pages(hub))
    assert number > 37
    hub.log.clear()
    hub.fault("GET", "/api/models[?]*", status=504, after=36, times=8)
    with pytest.raises(HubError, match="504") as error:
        crawl_whole(hub, client, tmp_path / "cut", page_size=2)
    assert error.value.exit_code == 1
    assert len(pages(hub)) == 36
    assert not (tmp_path / "cut" / "catalog.json").exists()
    assert crawl_whole(hub, client, tmp_path / "cut", page_size=2) == whole
    served = pages(hub)
    assert len(served) == len(set(served)) == number


def test_smaller_pages_get_past_one_that_takes_the_hub_too_long(hub, client, tmp_path):
    populate(hub)
    whole = crawl_whole(hub, client, tmp_path / "whole", page_size=20)
    hub.log.clear()
    hub.fault("GET", "/api/models[?]*limit=20*", status=504, after=2, times=math.inf)
    with pytest.raises(HubError, match="504"):
        crawl_whole(hub, client, tmp_path / "cut", page_size=20)
    assert crawl_whole(hub, client, tmp_path / "cut", page_size=5) == whole
    assert {"limit=20" in query for query in pages(hub)[:2]} == {True}
    assert {"limit=5&" in f"{query}&" for query in pages(hub)[2:]} == {True}


def test_a_stop_is_obeyed_after_a_page_and_the_crawl_goes_on(hub, client, tmp_path):
    populate(hub)
    whole = crawl_whole(hub, client, tmp_path / "whole", page_size=10)
    hub.log.clear()
    asked_to_stop = iter([False, False, True])
    with pytest.raises(StoppedError, match="after page 3") as error:
        crawl_whole(
            hub, client, tmp_path / "cut", page_size=10, should_stop=lambda: next(asked_to_stop)
        )
    assert (error.value.exit_code, error.value.hint) == (3, "the same command goes on")
    said: list[str] = []
    found = crawl_whole(hub, client, tmp_path / "cut", page_size=7, say=said.append)
    assert said[0] == "going on after 3 saved pages"
    assert found == whole
    assert len(pages(hub)) == len(set(pages(hub)))


def test_a_stop_between_closer_looks_asks_nothing_twice(hub, client, tmp_path):
    populate(hub)
    whole = crawl_whole(hub, client, tmp_path / "whole")
    hub.log.clear()
    steps: list[int] = []

    def should_stop() -> bool:
        steps.append(1)
        return len(steps) == LISTINGS + 2

    with pytest.raises(StoppedError, match="candidates"):
        crawl_whole(hub, client, tmp_path / "cut", should_stop=should_stop)
    some = len(hub.log)
    assert 0 < len(asked(hub)) < 15
    assert crawl_whole(hub, client, tmp_path / "cut") == whole
    assert len(hub.log) > some
    assert max(Counter(r.target for r in hub.log).values()) == 1


@pytest.mark.parametrize("step", ["candidates", "catalog", "plan"])
def test_a_crash_while_the_files_are_written_loses_nothing(
    hub, client, tmp_path, monkeypatch, step
):
    populate(hub)
    whole = crawl_whole(hub, client, tmp_path / "whole")
    hub.log.clear()
    with monkeypatch.context() as patch:

        def crash(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        if step == "candidates":
            patch.setattr(pq.ParquetWriter, "write_table", crash)
        elif step == "catalog":
            patch.setattr(Catalog, "save", crash)
        else:
            patch.setattr(CrawlState, "finish", crash)
        with pytest.raises(OSError, match="No space"):
            crawl_whole(hub, client, tmp_path / "cut")
    before = len(hub.log)
    assert crawl_whole(hub, client, tmp_path / "cut") == whole
    assert len(hub.log) == before
    assert accepted(tmp_path / "cut") == accepted(tmp_path / "whole")
    assert not list((tmp_path / "cut").rglob(".tmp-*"))


def test_what_was_saved_on_the_way_is_removed_at_the_end(hub, client, tmp_path):
    populate(hub)
    crawl_whole(hub, client, tmp_path)
    files = {path.name for path in (tmp_path / ".crawl").rglob("*") if path.is_file()}
    assert files == {"lock", "plan.json"}


def test_a_finished_crawl_asks_nothing_again_unless_more_is_wanted(hub, client, tmp_path):
    add(hub, *good())
    run(client(hub), tmp_path, limit=2)
    first = rows(tmp_path)
    hub.log.clear()
    said: list[str] = []
    crawled = run(client(hub), tmp_path, limit=2, say=said.append)
    assert (hub.log, crawled.requests, crawled.accepted) == ([], 0, 2)
    assert rows(tmp_path) == first
    assert "--since-last" in said[0]
    assert run(client(hub), tmp_path, limit=4).accepted == 4
    assert (len(asked(hub)), pages(hub)) == (2, [])
    hub.log.clear()
    assert run(client(hub), tmp_path, limit=1).rejected == {"over_limit": 8}
    assert run(client(hub), tmp_path, limit=4).accepted == 4
    assert len(asked(hub)) <= 4


def test_another_query_in_the_same_folder_is_refused(hub, client, tmp_path):
    add(hub, *good())
    run(client(hub), tmp_path)
    before = (tmp_path / "catalog.json").read_bytes()
    hub.log.clear()
    other = replace(QUERY, licenses=("mit",), max_parameters=10**6)
    with pytest.raises(InputError, match=r"\(licenses, max parameters\)") as error:
        run(client(hub), tmp_path, other)
    assert "--restart" in error.value.hint
    assert hub.log == []
    assert (tmp_path / "catalog.json").read_bytes() == before
    assert run(client(hub), tmp_path, other, restart=True).accepted == 0
    assert accepted(tmp_path) == {}


def test_a_restart_lists_everything_again(hub, client, tmp_path):
    add(hub, *good())
    hub.fault("GET", "/api/models[?]*", status=404, after=2, times=1)
    with pytest.raises(InputError):
        run(client(hub), tmp_path, page_size=3)
    hub.remove("model", "lab/fine-0")
    with pytest.raises(StoppedError) as stopped:
        run(client(hub), tmp_path, restart=True, should_stop=lambda: True)
    assert stopped.value.hint == "the same command without --restart goes on"
    assert run(client(hub), tmp_path, restart=True).resumed_after == 0
    assert "lab/fine-0" not in rows(tmp_path)


def test_two_crawls_never_write_into_one_folder_at_a_time(hub, client, tmp_path):
    add(hub, *good())
    with (
        CrawlState(tmp_path, "models-image-classification"),
        pytest.raises(InputError, match="another process crawls into"),
    ):
        run(client(hub), tmp_path)
    assert hub.log == []


# ------------------------------------------------------------------------------ since last


def test_since_last_fetches_only_what_was_modified(hub, client, tmp_path):
    for i in range(60):
        when = f"2026-05-01T00:{i:02d}:00.000Z"
        add(hub, Model(f"lab/old-{i:02d}", seed=i, downloads=i, modified=when))
    out = tmp_path / "out"
    run(client(hub), out, limit=5, page_size=20)
    old = accepted(out)
    assert set(old) == {f"lab/old-{i}" for i in range(55, 60)}
    gone = hub.repo("model", "lab/old-20").head.sha

    new = hub.push("model", "lab/old-59", {"model.safetensors": weights(99)})
    hub.push("model", "lab/old-58", {"README.md": "---\nlicense: unknown\n---"})
    hub.repo("model", "lab/old-57").gated = "auto"
    hub.push("model", "lab/old-57", {"notes.txt": "gated now"})
    add(hub, Model("lab/new", seed=100, downloads=1000, modified="2030-01-01T00:00:00.000Z"))
    hub.log.clear()
    crawled = run(client(hub), out, limit=5, page_size=20, since_last=True)

    assert len(pages(hub)) == LISTINGS
    assert all("sort=lastModified" in query for query in pages(hub))
    assert asked(hub) == {"lab/new", "lab/old-59", "lab/old-54"}
    found = rows(out)
    assert len(found) == crawled.seen == 61
    assert found["lab/old-58"]["reason"] == "unknown_license"
    assert found["lab/old-57"]["reason"] == "gated"
    assert found["lab/old-20"]["commit"] == gone
    now = accepted(out)
    assert set(now) == {"lab/new", *(f"lab/old-{i}" for i in (59, 56, 55, 54))}
    assert now["lab/old-59"] == new
    assert found["lab/old-59"]["previous_commit"] == old["lab/old-59"]
    assert found["lab/old-57"]["previous_commit"] == old["lab/old-57"]
    assert found["lab/old-56"]["previous_commit"] == ""
    assert crawled.changed == 3
    # nothing has changed since: the newest page is looked at, no model is
    hub.log.clear()
    again = run(client(hub), out, limit=5, page_size=20, since_last=True)
    assert (asked(hub), again.changed, accepted(out)) == (set(), 0, now)
    assert rows(out)["lab/old-59"]["previous_commit"] == old["lab/old-59"]
    # a model that says it is from the future hides nothing
    late = [hub.push("model", f"lab/old-{i}", {"notes.txt": "x"}) for i in (56, 55, 54)]
    run(client(hub), out, limit=5, page_size=1, since_last=True)
    assert [accepted(out)[f"lab/old-{i}"] for i in (56, 55, 54)] == late


def test_what_came_since_is_filtered_here(hub, client, tmp_path):
    add(hub, Model("lab/wanted", seed=1), Model("lab/other", seed=2))
    query = replace(QUERY, search="wanted", library="transformers")
    run(client(hub), tmp_path, query)
    assert reasons(tmp_path) == {"lab/wanted": ""}
    hub.push("model", "lab/other", {"notes.txt": "x"})
    hub.push("model", "lab/wanted", {"README.md": card(library_name="timm", license="mit")})
    hub.repo("model", "lab/wanted").extra["pipeline_tag"] = TASK
    run(client(hub), tmp_path, query, since_last=True)
    assert reasons(tmp_path) == {"lab/wanted": "wrong_library", "lab/other": "name_differs"}


def test_a_crash_while_new_candidates_are_written_leaves_the_old(
    hub, client, tmp_path, monkeypatch
):
    add(hub, *good())
    run(client(hub), tmp_path)
    before = (tmp_path / FILE).read_bytes()
    hub.push("model", BASE, {"notes.txt": "x"})
    with monkeypatch.context() as patch:

        def crash(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(pq.ParquetWriter, "write_table", crash)
        with pytest.raises(OSError, match="No space"):
            run(client(hub), tmp_path, since_last=True)
    assert (tmp_path / FILE).read_bytes() == before
    assert run(client(hub), tmp_path, since_last=True).changed == 1


def test_a_force_pushed_model_stays_pinned_until_it_is_asked_for_again(hub, client, tmp_path):
    add(hub, Model("lab/moved"))
    run(client(hub), tmp_path)
    pinned = accepted(tmp_path)["lab/moved"]
    moved = hub.force_push("model", "lab/moved", {"model.safetensors": weights(3)})
    run(client(hub), tmp_path)
    assert accepted(tmp_path) == {"lab/moved": pinned}
    run(client(hub), tmp_path, since_last=True)
    assert rows(tmp_path)["lab/moved"]["commit"] == moved
    assert rows(tmp_path)["lab/moved"]["previous_commit"] == pinned


def test_since_last_that_was_cut_off_goes_on(hub, client, tmp_path):
    add(hub, *good())
    run(client(hub), tmp_path)
    for name in ("lab/fine-1", "lab/fine-2"):
        hub.push("model", name, {"notes.txt": name})
    hub.fault("GET", "/api/models[?]*feature-extraction*", status=504, times=math.inf)
    with pytest.raises(HubError):
        run(client(hub), tmp_path, since_last=True)
    hub.faults.clear()
    hub.log.clear()
    crawled = run(client(hub), tmp_path, since_last=True)
    assert not any("fill-mask" in query for query in pages(hub))
    assert (crawled.changed, crawled.accepted, crawled.seen) == (2, 9, 9)


def test_since_last_in_a_new_folder_lists_everything(hub, client, tmp_path):
    add(hub, *good())
    said: list[str] = []
    assert run(client(hub), tmp_path, since_last=True, say=said.append).accepted == 9
    assert said[0] == "no crawl was finished here yet: everything is listed"


# -------------------------------------------------------------------------------- by name


def test_named_models_are_asked_for_once_each_and_refusals_are_reasons(hub, client, tmp_path):
    add(
        hub,
        Model("lab/fine", seed=1, card={"pipeline_tag": "text-generation"}),
        Model("lab/pinned", seed=2),
        Model("lab/gated", settings={"gated": "manual"}),
        Model("lab/disabled", settings={"disabled": True}),
        Model("bob/private", settings={"private": True}),
        Model("lab/forbidden"),
        Model("lab/deleted-later", seed=3),
        Model("lab/closed-later", seed=4),
    )
    old = hub.repo("model", "lab/pinned").head.sha
    hub.push("model", "lab/pinned", {"notes.txt": "x"})
    hub.fault("GET", "/api/models/lab/forbidden[?]*", status=403, times=math.inf)
    hub.fault("GET", "*lab/deleted-later/tree*", status=404, times=math.inf)
    ids = (
        *("lab/fine", f"lab/pinned@{old}", "lab/gated", "lab/disabled", "bob/private"),
        *("lab/forbidden", "lab/never", "lab/fine@no-such-branch", "../../etc/passwd", "a\x1b[2J"),
        "lab/deleted-later",
    )
    crawled = run(client(hub), tmp_path, replace(QUERY, source="list", ids=ids))
    assert reasons(tmp_path) == {
        "lab/fine": "",
        "lab/pinned": "",
        "lab/gated": "gated",
        "lab/disabled": "disabled",
        "bob/private": "not_found",
        "lab/forbidden": "no_access",
        "lab/never": "not_found",
        "../../etc/passwd": "invalid_id",
        "a\\x1b[2J": "invalid_id",
        "lab/deleted-later": "not_found",
    }
    assert accepted(tmp_path)["lab/pinned"] == old
    assert crawled.accepted == 2
    assert max(Counter(r.target for r in hub.log).values()) == 1  # no retry storm
    assert not any(
        "passwd" in r.path or r.status == 400 or r.path == "/api/models" for r in hub.log
    )


def test_named_models_are_not_bounded_unless_asked(hub, client, tmp_path):
    child = {"base_model": BASE}
    add(hub, *(Model(f"lab/child-{i}", seed=i, card=child) for i in range(5)))
    query = replace(QUERY, source="list", ids=tuple(f"lab/child-{i}" for i in range(5)))
    assert run(client(hub), tmp_path, query).accepted == 5
    assert run(client(hub), tmp_path, query, max_per_base=2).rejected == {"family_full": 3}


def test_a_model_that_goes_away_between_listing_and_look_is_rejected(hub, client, tmp_path):
    add(hub, *good())

    class Vanishing:
        """A stop flag that never stops, and removes a model when the listing is done."""

        calls = 0

        def __call__(self) -> bool:
            self.calls += 1
            if self.calls == LISTINGS:
                hub.remove("model", "lab/fine-3")
                hub.repo("model", "lab/fine-4").disabled = True
            return False

    crawled = run(client(hub), tmp_path, should_stop=Vanishing())
    assert crawled.rejected == {"not_found": 1, "disabled": 1}
    assert "lab/fine-3" not in accepted(tmp_path)


# ------------------------------------------------------------------ what a catalog holds already


def test_datasets_local_models_and_other_tasks_stay(hub, client, tmp_path):
    add(hub, *good())
    data = DatasetEntry("lab/data", "d" * 40, TASK, ("text",), "label", 2, "accuracy")
    local = ModelEntry("mine", "1" * 40, TASK)
    image = ModelEntry("lab/image", "2" * 40, "image-classification")
    named = ModelEntry("someone/else", "3" * 40, TASK)
    stale = ModelEntry("lab/fine-1", "4" * 40, TASK)
    shadow = ModelEntry("lab/fine-2", "5" * 40, TASK)
    Catalog(
        (local, image, named, stale, shadow),
        (data,),
        locations={"mine": tmp_path / "zoo" / "mine", "lab/fine-2": tmp_path / "zoo" / "two"},
    ).save(tmp_path / "catalog.json")
    run(client(hub), tmp_path)
    catalog = Catalog.load(tmp_path)
    assert catalog.datasets == (data,)
    assert catalog.location("mine") == tmp_path / "zoo" / "mine"
    assert {local, image, named, shadow} < set(catalog.models)
    assert stale not in catalog.models
    names = [entry.repo_id for entry in catalog.models]
    assert names.count("lab/fine-1") == names.count("lab/fine-2") == 1


def test_two_tasks_share_a_catalog(hub, client, tmp_path):
    add(hub, *good())
    vit = {"model_type": "vit", "architectures": ["ViTModel"]}
    image = {"pipeline_tag": "image-classification"}
    processor = {"preprocessor_config.json": "{}"}
    add(hub, Model("lab/vit", seed=77, config=vit, card=image, files=processor))
    run(client(hub), tmp_path)
    pictures = ModelQuery(task="image-classification")
    run(client(hub), tmp_path, pictures, loadable=lambda: frozenset(["vit"]))
    assert len(rows(tmp_path)) == 9
    assert set(rows(tmp_path, "image-classification")) == {"lab/vit"}
    tasks = Counter(entry.task for entry in Catalog.load(tmp_path).models)
    assert tasks == {TASK: 9, "image-classification": 1}
    run(client(hub), tmp_path, since_last=True)
    assert len(rows(tmp_path)) == 9
    assert set(rows(tmp_path, "image-classification")) == {"lab/vit"}
    assert set(Catalog.load(tmp_path).rejected_counts["models"]) == set(tasks)


# -------------------------------------------------------------------- what can't be done


def test_nothing_is_written_when_nothing_came(hub, client, tmp_path, monkeypatch):
    from huggingface_hub import constants

    out = tmp_path / "deep" / "out"
    with pytest.raises(InputError, match="doesn't know this token"):
        run(client(hub, token="hf_nobody"), out)
    hub.log.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="offline"):
        run(client(hub), out)
    assert hub.log == []
    assert not (tmp_path / "deep").exists()


def test_a_wrong_token_is_no_models_fault(hub, client, tmp_path):
    add(hub, *good())
    query = replace(QUERY, source="list", ids=("lab/fine-1",))
    with pytest.raises(InputError, match="doesn't know this token"):
        run(client(hub, token="hf_nobody"), tmp_path / "out", query)
    assert not (tmp_path / "out").exists()


def test_the_token_is_in_no_file(hub, client, tmp_path):
    token = "hf_aVerySecretTokenOfMine"
    hub.user(token, "carol")
    add(hub, *good())
    with pytest.raises(StoppedError):
        run(client(hub, token=token), tmp_path, page_size=3, should_stop=lambda: True)
    seen = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    run(client(hub, token=token), tmp_path)
    seen += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(seen) > 4
    assert not any(token.encode() in data or b"127.0.0.1" in data for data in seen)


@pytest.mark.parametrize("text", ["not json", "[]"])
def test_a_damaged_catalog_is_said_before_anything_is_asked(hub, client, tmp_path, text):
    (tmp_path / "catalog.json").write_text(text)
    with pytest.raises(InputError, match="is not a catalog"):
        run(client(hub), tmp_path)
    with pytest.raises(InputError, match="is a file"):
        run(client(hub), tmp_path / "catalog.json")
    assert hub.log == []
    assert (tmp_path / "catalog.json").read_text() == text


def test_candidates_of_a_newer_version_are_left_alone(hub, client, tmp_path):
    newer = SCHEMA.with_metadata({b"hf_select.schema_version": b"7"})
    pq.write_table(newer.empty_table(), tmp_path / FILE)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(InputError, match="schema version 7"):
        run(client(hub), tmp_path)
    (tmp_path / FILE).write_bytes(b"PAR1 and nothing")
    with pytest.raises(InputError, match="can't be read"):
        run(client(hub), tmp_path)
    assert hub.log == []
    assert before


def test_a_listing_that_is_none(hub, client, tmp_path, monkeypatch):
    api = client(hub)
    monkeypatch.setattr(api, "get_page", lambda *_, **__: type("P", (), {"rows": {}, "next": None}))
    with pytest.raises(HubError, match="no list of models"):
        run(api, tmp_path / "out")


@pytest.mark.parametrize("options", [{"page_size": 0}, {"limit": -1}, {"max_per_base": -1}])
def test_bounds_that_are_none(hub, client, tmp_path, options):
    with pytest.raises(InputError):
        run(client(hub), tmp_path, **options)


# ------------------------------------------------------------------------- shortlist, pure


def ranked(*names: str, base: str = "") -> list[Candidate]:
    return [
        Candidate(row, name, "c" * 40, 100 - row, "", (base,) if base else (), ())
        for row, name in enumerate(names)
    ]


def test_nobody_is_looked_at_in_vain():
    looked: list[str] = []

    def look(candidate: Candidate) -> Finding:
        looked.append(candidate.id)
        return Finding(reason="unsafe" if candidate.id == "b" else "", weights_sha256=candidate.id)

    verdicts = shortlist(ranked(*"abcdefgh", base="x"), limit=0, max_per_base=2, look=look)
    assert [verdicts[row].reason for row in range(8)] == [
        *("", "unsafe", "", "family_full", "family_full", "family_full", "family_full"),
        "family_full",
    ]
    assert sorted(looked) == ["a", "b", "c"]
    looked.clear()
    verdicts = shortlist(ranked(*"abcdefgh"), limit=3, max_per_base=2, look=look)
    assert sorted(looked) == ["a", "b", "c", "d"]
    assert [verdicts[row].reason for row in range(8)] == ["", "unsafe", "", "", *["over_limit"] * 4]


def test_the_order_of_answers_does_not_matter():
    import time

    def look(candidate: Candidate) -> Finding:
        time.sleep(0.02 if candidate.row % 2 == 0 else 0)
        return Finding(weights_sha256="same" if candidate.row < 4 else candidate.id)

    verdicts = shortlist(ranked(*"abcdef"), limit=0, max_per_base=0, look=look)
    assert [verdicts[row].reason for row in range(6)] == ["", *["same_weights"] * 3, "", ""]


# --------------------------------------------------------------------------- many models


def listed(i: int) -> dict[str, Any]:
    kind = i % 4
    return {
        "id": f"user-{i % 977}/model-{i}",
        "sha": f"{i:040x}",
        "createdAt": NEW,
        "lastModified": NEW,
        "downloads": i * 7919 % 10_007,
        "gated": kind == 1,
        "pipeline_tag": TASK,
        "library_name": "transformers",
        "safetensors": {"total": 10**9 if kind == 2 else 10**8},
        "config": dict(BERT),
        "tags": ["safetensors", "license:mit", f"base_model:finetune:lab/base-{i % 31}", "en"],
    }


def test_books_are_kept_page_by_page(tmp_path):
    query = ModelQuery(task=TASK, max_parameters=2 * 10**8)
    tables = [
        decide_page([listed(i) for i in range(start, start + 500)], query)
        for start in (0, 500, 250, 1000)  # the third one overlaps
    ]
    merged = Pages(lambda: iter(tables))
    assert (merged.rows, len(merged.candidates)) == (1500, 750)
    best = max(merged.candidates, key=lambda c: c.downloads)
    verdicts = {c.row: Verdict("over_limit") for c in merged.candidates}
    verdicts[best.row] = Verdict(flags=("odd",), weights_sha256="f" * 64, num_parameters=5)
    assert merged.write(tmp_path / FILE, TASK, verdicts) == 1500
    found = rows(tmp_path)
    assert len(found) == 1500
    assert Counter(row["reason"] for row in found.values()) == {
        "over_limit": 749,
        "gated": 375,
        "too_large": 375,
        "": 1,
    }
    assert found[best.id]["decision"] == "accepted"
    assert (found[best.id]["flags"], found[best.id]["num_parameters"]) == (["odd"], 5)
    assert dict(merged.rows_of([best.row]))[best.row]["id"] == best.id
    assert [p.license for p in merged.parents([best.id, "nobody"]).values()] == ["mit"]


def test_an_empty_page_is_a_page(tmp_path):
    nothing = decide_page([], QUERY)
    assert write_candidates(tmp_path / FILE, [judged(nothing, TASK, 0, {})]) == 0
    assert rows(tmp_path) == {}
    assert json.dumps(Finding().to_dict())
