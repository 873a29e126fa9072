"""Data files by their ending and, before that, by what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hf_select.errors import DataError
from hf_select.tasks import conll
from hf_select.tasks.columns import KNOWN, plain_name
from hf_select.tasks.delimited import looks_delimited, read_delimited
from hf_select.tasks.jsonrows import read_json
from hf_select.tasks.textfile import EMPTY, FileRows, Reading, first_bytes, read_text

Reader = Callable[[Path, Reading], FileRows]

EXPECTED = (
    "a target is a CSV, TSV, JSONL, parquet or CoNLL file, a folder with train/validation/test "
    "files, a folder written by save_to_disk, a folder with one sub-folder of images a class, a "
    "folder of images with a metadata.csv, or a Hub id (owner/name)"
)
SHEET = "save the sheet as CSV (UTF-8), and name that file"
FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive (or a spreadsheet)", f"unpack it; of a spreadsheet {SHEET}"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", SHEET),
    (b"ARROW1", "an Arrow file", "write it as parquet: pyarrow.parquet.write_table"),
    (b"\x89PNG", "a PNG image", "name the folder that its class folders or metadata.csv lie in"),
    (b"\xff\xd8\xff", "a JPEG image", "name the folder that its class folders lie in"),
    (b"GIF8", "a GIF image", "name the folder that its class folders lie in"),
    (b"%PDF", "a PDF document", "extract its rows to a CSV"),
    (b"\x80\x04\x95", "a pickle", "which is not loaded, as it may run code; write it as parquet"),
    (b"\x80\x05\x95", "a pickle", "which is not loaded, as it may run code; write it as parquet"),
    (b"SQLite format 3", "a SQLite database", "export the table as CSV"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file", "fetch it with `git lfs pull`"),
    (b"<!doctype html", "a web page", "download the file itself (the link named Raw or Download)"),
    (b"<html", "a web page", "download the file itself (the link named Raw or Download)"),
    (b"<?xml", "an XML document", "convert it to CSV or JSONL"),
)
"""First bytes, what a file is that begins with them, and what to do."""


def read_parquet(path: Path, reading: Reading) -> FileRows:
    """A parquet file; dictionaries as what they stand for."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(
            f"{path} is not a parquet file: {error}", hint="was it written, or copied, to the end?"
        ) from error
    for i, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            plain = table.column(i).cast(column.type.value_type)
            table = table.set_column(i, column.name, plain)
    return FileRows(table)


def read_words(path: Path, reading: Reading) -> FileRows:
    """A word and its tags a line, a blank line between sentences."""
    data, notes = read_text(path, reading)
    return FileRows(conll.read_conll(path, data.decode("utf-8")), notes)


def read_tabs(path: Path, reading: Reading) -> FileRows:
    """A table, or a word and its tags a line."""
    text = read_text(path, reading)[0].decode("utf-8")
    header = any(plain_name(cell) in KNOWN for cell in text.lstrip().split("\n", 1)[0].split("\t"))
    words = not header and conll.looks_like(text)
    return read_words(path, reading) if words else read_delimited(path, reading)


FILES: dict[str, Reader] = {
    ".csv": read_delimited,
    ".tsv": read_tabs,
    ".tab": read_tabs,
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".json": read_json,
    ".parquet": read_parquet,
    **dict.fromkeys(conll.ENDINGS, read_words),
}
ONLY_BY_NAME = (".json", ".txt")
"""Files of these kinds are data only where their names say so: there are others in many folders."""


def ending(path: Path) -> str:
    """The ending that says what a file is: that before `.gz`, where it ends so.

    >>> ending(Path("a.CSV")), ending(Path("a.jsonl.gz")), ending(Path("a"))
    ('.csv', '.jsonl', '')
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        del suffixes[-1]
    return suffixes[-1] if suffixes else ""


def stem(path: Path) -> str:
    """The file's name without the endings that say what it is."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return name[: -len(ending(path))] if ending(path) in FILES else Path(name).stem


def read_file(path: Path, reading: Reading | None = None) -> FileRows:
    """The rows of a data file; what it is by its content counts before its ending.

    Raises `DataError`: empty, of another kind, or its reader's.
    """
    import pyarrow as pa

    reading = reading or Reading()
    head = first_bytes(path)
    if not head.strip():
        raise DataError(f"{path} is empty", hint=EMPTY)
    named = FILES.get(ending(path))
    reader = _by_content(path, head, named)
    if reader is None:
        raise DataError(
            f"{path}: its ending {ending(path)!r} is not that of a data file", hint=EXPECTED
        )
    rows = reader(path, reading)
    twice = [name for name, n in Counter(rows.table.column_names).items() if n > 1]
    if twice:
        raise DataError(f"{path} has two columns named {twice[0]!r}", hint="rename one of them")
    if any(pa.types.is_null(kind) for kind in rows.table.schema.types):
        # A column of nothing is read as text, so that shards with and without cells fit together.
        columns = [
            c.cast(pa.string()) if pa.types.is_null(c.type) else c for c in rows.table.columns
        ]
        rows = replace(rows, table=pa.table(columns, names=rows.table.column_names))
    if reader is not named:
        said = f"{path.name} is {WORDS[reader]} by its content"
        return replace(rows, notes=(said, *rows.notes))
    return rows


WORDS: dict[Reader, str] = {
    read_delimited: "a CSV",
    read_json: "JSON",
    read_parquet: "a parquet file",
}


TABLES = (None, read_delimited, read_tabs, read_json)
"""Readers of endings that people use for each other; None: of an ending that says nothing."""


def _by_content(path: Path, head: bytes, named: Reader | None) -> Reader | None:
    """The reader of a file, None if nothing tells; an error if it is a file of another kind."""
    if head.startswith(b"PAR1"):
        return read_parquet
    for mark, what, hint in FOREIGN:
        if head.lstrip(b"\xef\xbb\xbf \r\n\t")[: len(mark)].lower() == mark.lower():
            raise DataError(f"{path} is {what}, not a table of rows", hint=hint)
    if ending(path) not in ("", ".txt", ".dat", ".data") and named not in TABLES:
        return named  # its reader says what is wrong
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    json_like = text.startswith(('{"', '[{"', "[\n", "{\n")) or _spaced_json(text)
    if json_like and named is not read_json and "\0" not in text:
        return read_json
    lines = text.splitlines()
    if "\0" not in text and lines and not json_like:
        whole = "\n".join(lines[:-1] or lines)  # the last line may be cut off
        if named is read_json and lines[0][0].isalnum() and looks_delimited(whole, ","):
            return read_delimited
        if ending(path) in ("", ".txt", ".dat", ".data"):
            words = conll.looks_like(whole) or "" in map(str.strip, lines)
            return read_delimited if not words and looks_delimited(whole, "\t") else named
    return named


def _spaced_json(text: str) -> bool:
    """`{ "`, `[ {`: JSON with blanks in it."""
    packed = "".join(text[:200].split())
    return packed.startswith(('{"', '[{"'))
