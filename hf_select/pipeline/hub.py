"""The stages that talk to the Hub: each opens a client and joins the rooms that it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.errors import InputError
from hf_select.pipeline.base import (
    Grouping,
    Say,
    check_own_results,
    open_folder,
    results_folder,
    silent,
)
from hf_select.pipeline.reporting import finished_document, record_page_document
from hf_select.progress import stage
from hf_select.records import DatasetEntry, check_task_name
from hf_select.report.page import render
from hf_select.results.repo import ResultsRepo

if TYPE_CHECKING:
    from hf_select.hub.crawl.datasets import CrawledDatasets
    from hf_select.hub.crawl.models import Crawled
    from hf_select.hub.record.compaction import Compacted
    from hf_select.hub.record.publish import Published
    from hf_select.hub.record.pull import Pulled
    from hf_select.hub.space import PublishedPage
    from hf_select.hub.winner.push import Pushed
    from hf_select.results.validation import Report


def crawl_datasets(
    catalog: str | Path,
    task: str,
    *,
    search: str = "",
    languages: Sequence[str] = (),
    licenses: Sequence[str] = (),
    min_rows: int = 0,
    max_rows: int = 0,
    max_classes: int = 0,
    downloads_at_least: int = 0,
    from_list: str | Path | None = None,
    config: str = "",
    text_column: str | None = None,
    text_pair_column: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    list_all: bool = False,
    allow_unknown_license: bool = False,
    limit: int | None = None,
    restart: bool = False,
    page_size: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    say: Say = silent,
) -> CrawledDatasets:
    """Write the Hub's benchmark datasets for a task into the folder `catalog`, pinned.

    The rows of those that the listing has nothing against are read, and checked as those of a
    target are. `from_list` is a file with one id a line; a crawl that was cut off goes on;
    `hub.crawl.datasets` says what the other options mean.
    """
    from hf_select.hub.client import Hub
    from hf_select.hub.crawl import datasets
    from hf_select.hub.crawl.dataset_query import DatasetQuery
    from hf_select.hub.crawl.query import asked_ids
    from hf_select.tasks.cards import read_card
    from hf_select.tasks.data import dataset_entry, load_target
    from hf_select.tasks.hubdata import HubData

    stated: dict[str, Any] = {
        name: column
        for name, column in (
            ("text", text_column),
            ("text_pair", text_pair_column),
            ("image", image_column),
            ("label", label_column),
        )
        if column is not None
    }
    query = DatasetQuery(
        task=task,
        search=search,
        languages=tuple(languages),
        licenses=tuple(licenses),
        min_rows=min_rows,
        max_rows=max_rows,
        max_classes=max_classes,
        downloads_at_least=downloads_at_least,
        config=config,
        columns=tuple(sorted(stated.items())),
        ids=() if from_list is None else asked_ids(_read_text(from_list)),
        list_all=list_all,
        allow_unknown_license=allow_unknown_license,
    )
    if from_list is not None and not query.ids:
        raise InputError(f"{from_list} names no dataset", hint="one id a line, such as owner/name")
    most = datasets.LIMIT if limit is None and from_list is None else limit
    files = Hub(attempts=2)  # `datasets` itself tries for a while, each time

    def look(repo_id: str, config: str, commit: str) -> tuple[DatasetEntry, str]:
        target = load_target(
            HubData(repo_id, config, commit, call=files.call),
            task=task,
            **{f"{name}_column": column for name, column in stated.items()},
        )
        return dataset_entry(target), target.fingerprint

    return datasets.crawl_datasets(
        Hub(),
        query,
        Path(catalog),
        read_card=lambda card, name: read_card(card, where=name, task=task, columns=stated),
        look=look,
        limit=most or 0,
        restart=restart,
        page_size=datasets.PAGE_SIZE if page_size is None else page_size,
        should_stop=should_stop,
        say=say,
    )


def crawl_models(
    catalog: str | Path,
    task: str,
    *,
    search: str = "",
    languages: Sequence[str] = (),
    licenses: Sequence[str] = (),
    library: str = "",
    trained_dataset: str = "",
    min_params: int | str = 0,
    max_params: int | str = 0,
    downloads_at_least: int = 0,
    modified_after: str = "",
    source: str = "api",
    from_list: str | Path | None = None,
    list_all: bool = False,
    allow_gated: bool = False,
    allow_unknown_license: bool = False,
    limit: int | None = None,
    max_per_base: int | None = None,
    since_last: bool = False,
    restart: bool = False,
    page_size: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    say: Say = silent,
) -> Crawled:
    """Write the Hub's candidate models for a task into the folder `catalog`, pinned.

    Sizes may be spelled `200M`; `from_list` is a file with one id a line. A crawl that was cut off
    goes on. With `since_last` alone what the last crawl of `catalog` asked for is asked again;
    `hub.crawl.models` says what the other options mean.
    """
    from hf_select.hub.client import Hub
    from hf_select.hub.crawl import models as crawl
    from hf_select.hub.crawl import query
    from hf_select.hub.crawl.state import CrawlState

    asked = query.ModelQuery(
        task=task,
        search=search,
        languages=tuple(languages),
        licenses=tuple(licenses),
        library=library,
        trained_dataset=trained_dataset,
        min_parameters=query.parse_count(str(min_params)),
        max_parameters=query.parse_count(str(max_params)),
        downloads_at_least=downloads_at_least,
        modified_after=query.parse_date(modified_after) if modified_after else "",
        source=source,
        list_all=list_all,
        allow_gated=allow_gated,
        allow_unknown_license=allow_unknown_license,
    )
    if from_list is not None:
        asked = query.with_ids(asked, _read_text(from_list))
    last = (
        CrawlState(Path(catalog), f"models-{task}").plan() if since_last and not restart else None
    )
    if last is not None and asked == query.ModelQuery(task=task):
        asked = last.query
        limit = last.limit if limit is None else limit
        max_per_base = last.max_per_base if max_per_base is None else max_per_base
    return crawl.crawl(
        Hub(),
        asked,
        Path(catalog),
        limit=limit,
        max_per_base=max_per_base,
        since_last=since_last,
        restart=restart,
        page_size=query.PAGE_SIZE if page_size is None else page_size,
        loadable=lambda: model_types(task),
        should_stop=should_stop,
        say=say,
    )


@stage("folding what was added")
def compact(
    results: str | Path,
    *,
    accept_new_recipes: bool = False,
    any_submitter: bool = False,
    say: Say = silent,
) -> Compacted:
    """Fold the inbox of a record into its next snapshot, and group the models of each task.

    The record is a folder, or a results dataset on the Hub, where it becomes one commit. Rows
    that `validate` refuses are set aside with their shards, in `quarantine/`. Raises `RecordError`
    for what is no record, is damaged, or has a card that can't be refreshed.
    """
    from hf_select.hub.client import Hub
    from hf_select.hub.record import compaction
    from hf_select.results.validation import Refuser

    check_own_results(results)
    accepting = {"accept_new_recipes": accept_new_recipes, "any_submitter": any_submitter}
    grouping = Grouping(say)
    repo_id = _dataset_of(results)
    if repo_id is not None:
        done = compaction.compact(Hub(), repo_id, cluster=grouping, **accepting)
        return replace(done, drift=grouping.drift)
    folder = results_folder(results)
    repo = ResultsRepo(folder)
    refuse = Refuser(repo, **accepting)
    refuse.validate()  # of an inbox without a row that can be read, compaction asks nothing
    before = _count_shards(folder)
    generation = repo.compact(cluster=grouping, refuse=refuse)
    left = max(0, before - _count_shards(folder))
    refused = refuse.validate().refused
    return compaction.Compacted(str(results), generation, None, left, refused, grouping.drift)


def _dataset_of(results: str | Path) -> str | None:
    """The results dataset that is named; None for a folder."""
    from hf_select.hub.record.remote import split_id

    found = split_id(results) if isinstance(results, str) else None
    if found is None or Path(results).exists():
        return None
    if found[1] is not None:
        raise InputError(
            f"{results} names a commit, but what is added to a record is added to main",
            hint=f"name {found[0]}",
        )
    return found[0]


def _count_shards(folder: Path) -> int:
    return sum(1 for _ in (folder / "inbox").rglob("*.parquet"))


@stage("publishing")
def publish(
    results: str | Path,
    to: str,
    *,
    create_pr: bool = False,
    private: bool = False,
    accept_new_recipes: bool = False,
    allow_local: bool = False,
    message: str = "",
    say: Say = silent,
) -> Published:
    """Send the rows that the results dataset `to` lacks, in one commit; it is made if need be.

    `create_pr` proposes them instead; `allow_local` sends models and data sets that the Hub
    doesn't have too, with their rows. Raises `RecordError` for a folder or a dataset that is no
    record, `AccessError` where the token has not the right.
    """
    from hf_select.hub.client import Hub
    from hf_select.hub.record.publish import publish

    return publish(
        Hub(),
        open_folder(results),
        to,
        create_pr=create_pr,
        private=private,
        accept_new_recipes=accept_new_recipes,
        allow_local=allow_local,
        message=message,
        cluster=Grouping(say),
    )


def publish_page(
    results: str | Path,
    space: str,
    *,
    private: bool = False,
    task: str | None = None,
    replay: bool | None = None,
    name: str | None = None,
    say: Say = silent,
) -> PublishedPage:
    """Put the page of a record (a folder, `demo`, or a Hub id) up as the static Space `space`.

    The Space is made if need be; the same page again sends nothing. `name` is what the record is
    called there, its own name if it isn't given; `task` and `replay` are those of `report`. Raises
    `InputError` for a Space that holds something else, `AccessError` where the token has not the
    right.
    """
    from hf_select.hub.client import Hub
    from hf_select.hub.space import publish_page
    from hf_select.report.record_page import render_record

    document = record_page_document(results, task=task, replay=replay, say=say)
    on_hub = document["repo"] or name
    document = {**document, "name": name or document["name"]}
    about = "; ".join(
        f"{part['task']}: {part['counts']['models']} models on {part['counts']['datasets']} "
        "benchmarks"
        for part in document["tasks"]
    )
    return publish_page(
        Hub(),
        space,
        render_record(document),
        title=f"The record {document['name']}",
        about=f"What pre-trained models learned when they were fine-tuned. {about}.",
        datasets=(on_hub,) if on_hub else (),
        private=private,
    )


@stage("pulling")
def pull(
    repo_id: str, results: str | Path, *, task: str | None = None, revision: str | None = None
) -> Pulled:
    """Bring a results dataset (one task of it) into a folder: as a copy, or added to a record.

    The revision may be a part of the name: OWNER/NAME@REVISION. Raises `MissingError` if there is
    no such dataset, `RecordError` for one that is no record or is damaged; the folder is as it was
    then.
    """
    from hf_select.hub.client import Hub
    from hf_select.hub.record.pull import pull
    from hf_select.hub.record.remote import split_id

    check_own_results(results)
    if task is not None:
        check_task_name(task)
    named = split_id(repo_id)
    if named is not None and named[1] is not None:
        if revision not in (None, named[1]):
            raise InputError(f"{repo_id} and --revision {revision} name two revisions")
        repo_id, revision = named
    return pull(Hub(), repo_id, Path(results), task=task, revision=revision)


@stage("pushing")
def push(
    out: str | Path,
    to: str,
    *,
    private: bool = False,
    create_pr: bool = False,
    replace: bool = False,
    license: str | None = None,
) -> Pushed:
    """Send the winner in a selection's folder to the model repository `to`, with card and report.

    `replace` puts it in the place of what is there; `create_pr` only proposes it. Raises
    `InputError` for a folder that holds no finished selection, or a repository that isn't free.
    """
    from hf_select.hub.client import Hub
    from hf_select.hub.winner.push import push_winner

    document = finished_document(out)
    return push_winner(
        Hub(),
        Path(out),
        document,
        to,
        render=render,
        private=private,
        create_pr=create_pr,
        replace_other=replace,
        license=license,
    )


@cache
def model_types(task: str) -> frozenset[str]:
    """The model types that transformers has a class with a head for the task of."""
    from transformers.models.auto import modeling_auto

    from hf_select.tasks.base import get_task
    from hf_select.tasks.models import HEADS

    return frozenset(getattr(modeling_auto, HEADS[get_task(task).head].types))


def _read_text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read: {error}", hint="a list is a text file") from error


@stage("checking what was added")
def validate(
    results: str | Path,
    *,
    pull_request: int | None = None,
    comment: bool = False,
    accept_new_recipes: bool = False,
    any_submitter: bool = False,
) -> Report:
    """Judge what was contributed to a record, row by row; nothing is written.

    The record is a folder, or a results dataset on the Hub; there a `pull_request` can be judged
    before it is merged, and told so in a `comment`. Raises `RecordError` for what is no record, or
    one of a newer schema, `InputError` if there is no such pull request.
    """
    from hf_select.hub.client import Hub
    from hf_select.hub.record.review import review_pull_request, review_record
    from hf_select.results.validation import validate

    accepting = {"accept_new_recipes": accept_new_recipes, "any_submitter": any_submitter}
    repo_id = _dataset_of(results)
    if repo_id is None and pull_request is not None:
        raise InputError(
            f"{results} is a folder; pull requests are made to a dataset on the Hub",
            hint="name it as OWNER/NAME",
        )
    if comment and pull_request is None:
        raise InputError("a comment is written to a pull request", hint="add --pull-request")
    if repo_id is None:
        return validate(
            results_folder(results),
            accept_new_recipes=accept_new_recipes,
            any_submitter=any_submitter,
        )
    if pull_request is None:
        return review_record(Hub(), repo_id, **accepting)
    return review_pull_request(Hub(), repo_id, pull_request, comment=comment, **accepting)
