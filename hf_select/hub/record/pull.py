"""The results dataset on the Hub -> a folder: a copy of it, or its rows added to a record there.

Everything is fetched and checked before the folder is touched, and the manifest is written last:
what a pull that was cut off leaves is no record yet, and the next pull completes it. What was
fetched stays in the Hub's cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hf_select.errors import MissingError, RecordError
from hf_select.files import sha256, write_atomic
from hf_select.hub.client import Hub
from hf_select.hub.record.contents import Contents, read_contents, read_record, scratch_copy
from hf_select.records import Recipe, RunRecord
from hf_select.results.card import CARD, card_problems
from hf_select.results.manifest import MANIFEST
from hf_select.results.repo import QUARANTINE, ResultsRepo
from hf_select.results.schema import Row, Shard
from hf_select.results.state import Rows, State

_MAY_BE_THERE = {CARD, "LICENSE", "inbox", "snapshots", QUARANTINE}
"""What a pull that was cut off may have left in a folder."""


@dataclass(frozen=True)
class Pulled:
    """What a pull did: `rows` that are new in the folder by kind, and the `bytes` fetched for it.

    `copied`: the folder was empty and is a copy of the dataset at `commit` now. `problems` are
    shards, and rows of them, that can't be used, and a card that no compaction can refresh; what is
    cut off lies in `quarantine/`.
    """

    repo_id: str
    commit: str
    folder: Path
    copied: bool
    rows: Mapping[str, int]
    bytes: int
    problems: tuple[str, ...] = ()


def pull(
    hub: Hub, repo_id: str, folder: Path, *, task: str | None = None, revision: str | None = None
) -> Pulled:
    """Bring the dataset's rows (of a task) at a revision into a folder.

    An absent or empty folder becomes a copy, with `task` of that task's files alone. A record
    that is there gets the rows that it lacks; its own stay. Raises `MissingError` if there is no
    such dataset, `RecordError` if it or the folder is no record, of a newer schema, or damaged.
    """
    local = _open(folder)
    before = hub.bytes_read
    contents = read_record(hub, repo_id, revision=revision)
    with scratch_copy(hub, contents if task is None else _of_task(contents, task)) as record:
        problems = [*card_problems(record.path), *_set_aside(record)]
        state = record.state()
        if task is not None:
            state = _rows_of(task, state, contents)
            _drop_shards_without(task, record)
        if local is None:
            new = state.rows()
            _install(record.path, folder)
        else:
            new = state.missing_from(local.state()).rows()
            _append(local, new, owner=repo_id.partition("/")[0])
    return Pulled(
        repo_id,
        contents.head,
        folder,
        copied=local is None,
        rows={kind: len(rows) for kind, rows in new.by_kind().items() if rows},
        bytes=hub.bytes_read - before,
        problems=tuple(problems),
    )


def pull_if_any(hub: Hub, repo_id: str, folder: Path) -> Pulled | None:
    """As `pull`; None where there is no such dataset, or nothing in it yet."""
    try:
        contents = read_contents(hub, repo_id)
    except MissingError as error:
        if error.missing != "repository":
            raise
        return None
    if contents.manifest is None:  # somebody has made it and publishes right now
        return None
    return pull(hub, repo_id, folder, revision=contents.head)


# ------------------------------------------------------------------------------- the folder


def _open(folder: Path) -> ResultsRepo | None:
    """The record in that folder; None if one may be put there."""
    if (folder / MANIFEST).is_file():
        return ResultsRepo.open(folder)
    if folder.exists() and not folder.is_dir():
        raise RecordError(f"{folder} is a file, but must be a folder")
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    other = [name for name in names if name not in _MAY_BE_THERE and not name.startswith(".")]
    if other:
        raise RecordError(
            f"{folder} is not a results repository: it holds {other[0]!r} and no {MANIFEST}",
            hint="name a new or an empty folder",
        )
    return None


def _install(copy: Path, folder: Path) -> None:
    """Write the files of the copy into the folder, the manifest last."""
    names = sorted(path.relative_to(copy) for path in copy.rglob("*") if path.is_file())
    for name in sorted(names, key=lambda name: name == Path(MANIFEST)):
        write_atomic(folder / name, (copy / name).read_bytes())


def _append(local: ResultsRepo, rows: Rows, *, owner: str) -> None:
    """Add rows to a record, each run in the folder of who submitted it."""
    local.append(
        models=rows.models,
        datasets=rows.datasets,
        proxies=rows.proxies,
        recipes=rows.recipes,
        submitter=owner,
    )
    by_submitter: dict[str, list[RunRecord]] = {}
    for run in rows.runs:
        by_submitter.setdefault(run.submitter or owner, []).append(run)
    for submitter, runs in by_submitter.items():
        local.append(runs, submitter=submitter)


# ------------------------------------------------------------------------------------ a task


def _of_task(contents: Contents, task: str) -> Contents:
    """The dataset as if its snapshot had that task, and the recipes, only."""
    manifest = dict(contents.manifest or {})
    manifest["snapshots"] = [e for e in manifest["snapshots"] if e["task"] in ("", task)]
    return replace(contents, manifest=manifest)


def _rows_of(task: str, state: State, contents: Contents) -> State:
    """Those rows of that task, with the recipes; `RecordError` if there is none."""
    found = State()
    for entry in state.entries.values():
        if _is_of(entry, task):
            found.add(entry)
    for variants in state.runs.values():
        for run in variants:
            if _is_of(run, task):
                found.add(run)
    if task not in found.tasks():
        named = {entry["task"] for entry in (contents.manifest or {})["snapshots"]}
        have = sorted({*named, *state.tasks()} - {""})
        raise RecordError(
            f"{contents.repo_id} holds nothing of {task}",
            hint=f"it holds: {', '.join(have) or 'nothing'}",
        )
    return found


def _drop_shards_without(task: str, record: ResultsRepo) -> None:
    for name, shard in record.parts()[1]:
        if isinstance(shard, Shard) and not any(_is_of(row, task) for row in shard.rows):
            (record.path / name).unlink()


def _is_of(row: Row, task: str) -> bool:
    return isinstance(row, Recipe) or row.task == task


def _set_aside(record: ResultsRepo) -> list[str]:
    """Move the shards that are cut off to the quarantine; says what of the inbox can't be used."""
    problems = []
    for name, shard in record.parts()[1]:
        said = shard.problems if isinstance(shard, Shard) else (shard,)
        problems += [f"{name}: {problem}" for problem in said]
        path = record.path / name
        if isinstance(shard, str) and sha256(path.read_bytes()) != path.stem:
            aside = record.path / QUARANTINE / name.removeprefix("inbox/")
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.replace(aside)
    return problems
