"""The weekly round of a record: pull, crawl what is new, benchmark it, cluster, publish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hf_select.catalog import Catalog
from hf_select.errors import InputError, MissingError
from hf_select.pipeline.base import Say, check_writable, silent
from hf_select.pipeline.hub import compact, model_types, publish, pull
from hf_select.pipeline.record import benchmark
from hf_select.records import Recipe, check_task_name

if TYPE_CHECKING:
    from hf_select.hub.crawl.models import Crawled
    from hf_select.hub.record.compaction import Compacted
    from hf_select.hub.record.publish import Published
    from hf_select.hub.record.pull import Pulled
    from hf_select.training.benchmark import BenchmarkSummary
    from hf_select.training.events import BenchmarkEvent


@dataclass(frozen=True)
class Updated:
    """What each step has come to; None for a step that there was no need of."""

    pulled: Pulled | None
    crawled: Crawled | None
    trained: BenchmarkSummary
    published: Published
    compacted: Compacted | None


def update(
    to: str,
    *,
    catalog: str | Path,
    results: str | Path,
    task: str,
    limit: int | None = None,
    max_cells: int | None = None,
    seeds: Sequence[int] = (0,),
    recipe: Recipe | None = None,
    jobs: int | None = None,
    timeout: float | None = None,
    create_pr: bool = False,
    private: bool = False,
    allow_local: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    on_plan: Callable[[int], None] | None = None,
    on_event: Callable[[BenchmarkEvent], None] | None = None,
    say: Say = silent,
) -> Updated:
    """Bring the results dataset `to` up to date with the Hub, a step after the other.

    Pull what others have measured; crawl what was modified since the last crawl of `catalog`
    (accepting at most `limit` models, as many as then if it isn't given); fine-tune at most
    `max_cells` of the missing cells, spread over models and benchmarks; publish (what isn't on
    the Hub only with `allow_local`); fold and cluster
    on the Hub, unless `create_pr` only proposes. Every step finds out by itself what is done
    already, so a round that was killed anywhere goes on with the same call.

    Raises `InputError` if the catalog holds no benchmark of the task, `results` is no folder or
    `max_cells` isn't positive, and `AccessError` if this token can't publish to `to`: all of it
    before anything is fetched or trained.
    """
    from hf_select.hub.client import Hub
    from hf_select.hub.record.rights import check_can_publish

    check_writable(results)
    check_task_name(task)
    if max_cells is not None and max_cells < 1:
        raise InputError(f"max_cells is {max_cells}, but must be at least 1")
    if not Catalog.load(catalog).only(task=task).datasets:
        raise InputError(
            f"{catalog} holds no {task} benchmark to measure new models on",
            hint=f"hf-select crawl datasets --task {task} --out {catalog}",
        )
    check_can_publish(Hub(), to, create_pr=create_pr)
    pulled = _pull(to, results, say)
    crawled = _crawl(catalog, task, limit, should_stop, say)
    say("3/5 benchmark: the missing cells")
    trained = benchmark(
        results,
        catalog,
        task=task,
        recipe=recipe,
        seeds=seeds,
        jobs=jobs,
        timeout=timeout,
        max_cells=max_cells,
        on_plan=on_plan,
        on_event=on_event,
        say=say,
    )
    say(f"4/5 publish to {to}")
    published = publish(
        results, to, create_pr=create_pr, private=private, allow_local=allow_local, say=say
    )
    compacted = None
    if not create_pr:
        say(f"5/5 fold and cluster {to}")
        compacted = compact(to, say=say)
    return Updated(pulled, crawled, trained, published, compacted)


def _pull(to: str, results: str | Path, say: Say) -> Pulled | None:
    say(f"1/5 pull {to}")
    try:
        return pull(to, results)
    except MissingError as error:
        if error.missing != "repository":
            raise
        say(f"there is no {to} yet: it will be made")
        return None


def _crawl(
    catalog: str | Path, task: str, limit: int | None, should_stop: Callable[[], bool], say: Say
) -> Crawled | None:
    """The crawl that the catalog was made by, for what is new; None if it was made by hand."""
    from hf_select.hub.client import Hub
    from hf_select.hub.crawl import models as crawl
    from hf_select.hub.crawl.state import CrawlState

    plan = CrawlState(Path(catalog), f"models-{task}").plan()
    if plan is None:
        say("2/5 crawl: the catalog was not made by a crawl, so it stays as it is")
        return None
    say("2/5 crawl: what was modified since the last one")
    return crawl.crawl(
        Hub(),
        plan.query,
        Path(catalog),
        limit=next(n for n in (limit, plan.limit, crawl.LIMIT) if n is not None),
        max_per_base=crawl.MAX_PER_BASE if plan.max_per_base is None else plan.max_per_base,
        since_last=True,
        loadable=lambda: model_types(task),
        should_stop=should_stop,
        say=say,
    )
