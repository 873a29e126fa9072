"""What a crawl keeps on disk while it goes on, so that a killed one loses at most a page.

    CATALOG/.crawl/models-<task>/
      plan.json              what is asked for, and whether all of it or only what is new
      pages/000001.arrow     a page of the listing, with the cursor of what comes after it
      findings.jsonl         what the inspection of a shortlisted model has found
      ancestors.jsonl        what the Hub said of a base model

A page and its cursor are one file, which is there whole or not at all: they can't disagree. When
the catalog has been written, pages and findings are removed: `candidates.parquet` holds them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from hf_select.errors import InputError, RecordError
from hf_select.files import exclusive, sweep, sync_folder, write_atomic
from hf_select.hub.crawl.query import ModelQuery

FOLDER = ".crawl"
_CURSOR = b"hf_select.cursor"
_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")


@dataclass(frozen=True)
class Plan:
    """What the crawl in a folder is. `since` "": everything; times as the Hub spells them.

    `limit` and `max_per_base` are those of the last run, for one that asks for the same again.
    `newest` is known when the crawl is `done`: what changes later is found by asking from there.
    """

    query: ModelQuery
    started: str
    since: str = ""
    done: bool = False
    newest: str = ""
    limit: int | None = None
    max_per_base: int | None = None


class CrawlState:
    """The folder of one crawl; a context manager that keeps other processes out.

    Nothing is written before the first page is saved, so that a crawl which was refused leaves
    nothing behind.
    """

    def __init__(self, catalog: Path, name: str) -> None:
        self.catalog = catalog
        self.folder = catalog / FOLDER / name
        self._lock = ExitStack()
        self._made: list[Path] = []

    def __enter__(self) -> CrawlState:
        lock = self.catalog / FOLDER / "lock"  # of the catalog: other crawls write its files too
        self._made = [f for f in (self.folder, *self.folder.parents) if not f.exists()]
        try:
            self._lock.enter_context(exclusive(lock))
        except RecordError as error:
            raise InputError(
                f"another process crawls into {self.catalog}",
                hint="wait until it is done, then run the command again",
            ) from error
        sweep(self.catalog)
        return self

    def __exit__(self, *_: object) -> None:
        if not (self.folder / "plan.json").exists() and self._made:
            if self.folder.parent in self._made:
                (self.folder.parent / "lock").unlink(missing_ok=True)
            for folder in self._made:
                if folder.exists() and any(folder.iterdir()):
                    break
                if folder.exists():
                    folder.rmdir()
        self._lock.close()

    # ------------------------------------------------------------------------------- plan

    def plan(self) -> Plan | None:
        """The plan of an earlier run; None if there was none."""
        path = self.folder / "plan.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            return Plan(**{**document, "query": ModelQuery.from_dict(document["query"])})
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} can't be read: {error!r}", hint="start the crawl anew with --restart"
            ) from error

    def save_plan(self, plan: Plan) -> None:
        """Write the plan."""
        text = json.dumps(asdict(plan), indent=1, ensure_ascii=False) + "\n"
        write_atomic(self.folder / "plan.json", text.encode())

    def finish(self, plan: Plan, newest: str) -> None:
        """The catalog is written: keep the plan, remove the rest."""
        self.save_plan(replace(plan, done=True, newest=newest))
        self._clear("findings")

    def restart(self) -> None:
        """Forget the crawl: plan, pages, all."""
        (self.folder / "plan.json").unlink(missing_ok=True)
        self._clear("findings", "ancestors")

    def _clear(self, *answers: str) -> None:
        for name in answers:
            (self.folder / f"{name}.jsonl").unlink(missing_ok=True)
        if (self.folder / "pages").exists():
            shutil.rmtree(self.folder / "pages")

    # ------------------------------------------------------------------------------ pages

    def _pages(self) -> list[Path]:
        return sorted((self.folder / "pages").glob("[0-9]*.arrow"))

    @property
    def number_of_pages(self) -> int:
        """How many pages are saved."""
        return len(self._pages())

    def cursor(self) -> Any:
        """Where the listing goes on: what was saved with the last page, None at the start."""
        pages = self._pages()
        if not pages:
            return None
        with pa.OSFile(str(pages[-1])) as file, pa.ipc.open_file(file) as reader:
            return json.loads(reader.schema.metadata[_CURSOR])

    def add_page(self, table: pa.Table, cursor: Any) -> None:
        """Save a page and, with it, what comes after it."""
        pages = self._pages()
        number = int(pages[-1].stem) + 1 if pages else 1
        table = table.replace_schema_metadata({_CURSOR: json.dumps(cursor).encode()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema, options=_OPTIONS) as writer:
            writer.write_table(table)
        path = self.folder / "pages" / f"{number:06d}.arrow"
        write_atomic(path, sink.getvalue().to_pybytes())

    def pages(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The saved pages in their order."""
        for path in self._pages():
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                table = reader.read_all().replace_schema_metadata(None)
            yield table.select(columns) if columns else table

    # ---------------------------------------------------------------------------- answers

    def answers(self, name: str) -> dict[str, dict[str, Any]]:
        """What was written with `add_answer`, by its key; a line that was cut off is left out."""
        path = self.folder / f"{name}.jsonl"
        if not path.exists():
            return {}
        found = {}
        for line in path.read_bytes().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            found[row.pop("key")] = row
        return found

    def add_answer(self, name: str, key: str, answer: dict[str, Any]) -> None:
        """Append an answer of the Hub, so that it isn't asked for again."""
        path = self.folder / f"{name}.jsonl"
        new = not path.exists()
        with path.open("ab") as file:
            if not new and not _ends_a_line(path):
                file.write(b"\n")
            file.write(json.dumps({"key": key, **answer}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(self.folder)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
