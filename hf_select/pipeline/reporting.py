"""The HTML page and the figures of a selection, or of a record by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.errors import HfSelectError, InputError
from hf_select.files import write_atomic
from hf_select.pipeline.base import (
    Record,
    Say,
    check_task,
    open_results,
    record_facts,
    silent,
    tell_left_out,
    tell_reading,
)
from hf_select.report.document import SCHEMA
from hf_select.report.page import render
from hf_select.results.manifest import MANIFEST
from hf_select.selection.folder import DOCUMENT, STATE

if TYPE_CHECKING:
    from hf_select.records import Clustering, PerformanceMatrix
    from hf_select.report.record_document import TaskRecord

GOES_ON = "the selection there isn't finished: the same command goes on"

CHEAP_CELLS = 1000
"""Measured cells of a task up to which a record's page replays policies without being asked."""

CHEAP_TARGETS = 4
"""Benchmarks that are replayed then; with `replay=True` it is all, up to `MOST_TARGETS`."""

MOST_TARGETS = 30
MOST_MODELS = 300
"""Models of a record up to which it is replayed: each benchmark wants a recall of its own."""


@dataclass(frozen=True)
class Reported:
    """What was written: the page, and the figures beside it."""

    page: Path
    figures: tuple[Path, ...] = ()


def report(
    where: str | Path,
    out: str | Path | None = None,
    *,
    figures: str | Path | None = None,
    formats: Sequence[str] = ("svg",),
    task: str | None = None,
    replay: bool | None = None,
    say: Say = silent,
) -> Reported:
    """Write the page of a finished selection, or that of a record: a folder, `demo`, or a Hub id.

    `figures` is a folder for the figures as files, of each of the `formats`, rows of
    `report.figures.FORMATS`. Of a record `task` picks one task, and `replay` says whether price
    and regret of the policies are replayed; None: where that takes seconds. Raises `InputError`
    for a folder that is neither, `RecordError` for a record that can't be read, and `SetupError`
    where a format needs what isn't installed.
    """
    from hf_select.report.figures import check_formats

    if figures is not None:
        check_formats(formats)
    if is_selection(where):
        if task is not None or replay is not None:
            raise InputError(
                f"{where} is a finished selection, which has one task and its own replay",
                hint="--task and --replay are for a record",
            )
        return _selection(Path(where), out, figures, formats)
    document = record_page_document(where, task=task, replay=replay, say=say)
    from hf_select.report.record_page import render_record

    page = Path(out) if out else Path(f"{document['name'].replace('/', '-')}-report.html")
    _write(page, render_record(document))
    return Reported(page, _figures(document, figures, formats))


def is_selection(where: str | Path) -> bool:
    """Whether a folder is one of a selection; `InputError` for a folder that is nothing known."""
    from hf_select.hub.record.remote import split_id

    path = Path(where)
    if (path / DOCUMENT).is_file():
        return True
    if str(where) == "demo" or (path / MANIFEST).is_file():
        return False
    if not path.exists() and split_id(str(where)) is not None:
        return False
    raise InputError(
        f"{where} holds no finished selection (no {DOCUMENT}), and no record (no {MANIFEST})",
        hint=GOES_ON
        if (path / STATE).is_dir()
        else "make one with `hf-select select` or `hf-select demo`, or name a record: a folder, "
        "OWNER/NAME on the Hub, or `demo`",
    )


def _selection(
    folder: Path, out: str | Path | None, figures: str | Path | None, formats: Sequence[str]
) -> Reported:
    document = finished_document(folder)
    page = Path(out) if out else folder / "report.html"
    try:
        text = render(document)
        _write(page, text)
        return Reported(page, _figures(document, figures, formats))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_document(folder, error) from error


def _write(page: Path, text: str) -> None:
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(page, text.encode())


def _figures(
    document: dict[str, Any], folder: str | Path | None, formats: Sequence[str]
) -> tuple[Path, ...]:
    if folder is None:
        return ()
    from hf_select.report.figures import write_figures

    return write_figures(document, folder, formats=formats)


# ----------------------------------------------------------------------------- of a selection


def finished_document(folder: str | Path) -> dict[str, Any]:
    """What a finished selection left in its folder, in a schema that this version knows."""
    file = Path(folder) / DOCUMENT
    if not file.is_file():
        raise InputError(
            f"{folder} holds no finished selection (no {DOCUMENT})",
            hint=GOES_ON
            if (file.parent / STATE).is_dir()
            else "make one with `hf-select select` or `hf-select demo`",
        )
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        schema = int(document["schema"])
        document["task"], document["winner"]["model"], document["winner"]["revision"]
    except (ValueError, KeyError, TypeError) as error:
        raise _no_document(folder, error) from error
    if schema > SCHEMA:
        raise InputError(
            f"{file} has schema version {schema}, newer than {SCHEMA}",
            hint="upgrade hf-select to read it",
        )
    return document


def _no_document(folder: str | Path, error: Exception) -> InputError:
    return InputError(f"{Path(folder) / DOCUMENT} is not the document of a selection: {error!r}")


# ------------------------------------------------------------------------------- of a record


def record_page_document(
    results: str | Path,
    *,
    task: str | None = None,
    replay: bool | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """The document of a record's page; see `report`."""
    from hf_select import __version__
    from hf_select.report.record_document import record_document

    record = open_results(results)
    if task is not None:
        check_task(record, task)
    names = [task] if task else [name for name in record.tasks() if record.recipes(name)]
    if not names:
        raise InputError(
            f"{record.name} holds no successful run, so there is nothing to draw",
            hint="make some with `hf-select benchmark` or `hf-select import`",
        )
    parts = [_task_record(record, name, replay, say) for name in names]
    facts = record_facts(record)
    tell_reading(record, say)
    return record_document(
        facts.repo or facts.name,
        parts,
        repo=facts.repo,
        revision=facts.revision,
        version=__version__,
    )


def _task_record(record: Record, task: str, replay: bool | None, say: Say) -> TaskRecord:
    from hf_select.report.record_document import TaskRecord

    matrix = record.matrix(task)
    tell_left_out(record, matrix, say)
    replayed, targets = _replayed(record, matrix, replay, say)
    return TaskRecord(
        task,
        matrix,
        _clusters(record, matrix),
        record.runs(task),
        record.models(task),
        record.datasets(task),
        record.recipe(matrix.recipe),
        record.recipes(task),
        replayed,
        targets,
    )


def _clusters(record: Record, matrix: PerformanceMatrix) -> Clustering | None:
    """The record's clusters, those of this matrix where it has changed; None if there are none."""
    from hf_select.clustering.algorithms import cluster_models

    kept = record.clustering(matrix.task)
    if kept is not None:
        return kept
    try:
        return cluster_models(matrix, record.last_clustering(matrix.task))
    except InputError:  # nothing that could be compared, which the page shows well enough
        return None


def _replayed(
    record: Record, matrix: PerformanceMatrix, replay: bool | None, say: Say
) -> tuple[dict[str, Any], int]:
    """Price and regret of the policies, and over how many benchmarks; {} where it isn't done."""
    from hf_select.pipeline.compare import replay_briefly
    from hf_select.pipeline.recalling import RecallSettings
    from hf_select.selection.policies import get_policy

    cells = int((matrix.scores == matrix.scores).sum())
    if replay is False or (replay is None and cells > CHEAP_CELLS):
        return {}, 0
    if len(matrix.models) > MOST_MODELS:
        if replay:
            raise HfSelectError(
                f"{matrix.task} has {len(matrix.models)} models; a page replays {MOST_MODELS} at "
                "most",
                hint="`hf-select replay` has no such limit",
            )
        return {}, 0
    most = min(MOST_TARGETS, len(matrix.datasets)) if replay else CHEAP_TARGETS
    say(f"{matrix.task}: replaying the policies on up to {most} benchmarks")
    settings = RecallSettings("hybrid", (), None, False, None, seed=0, looks=None)
    found = replay_briefly(record, matrix.task, get_policy("trend"), settings, most=most)
    return (found["summary"], len(found["targets"])) if found else ({}, 0)
