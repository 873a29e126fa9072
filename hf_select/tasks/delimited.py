"""CSV and its kin: which delimiter, which header, and which row is wrong.

Cells stay text, as they are written, so that `NA` or `007` is not taken for a number.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_select.errors import DataError, InputError
from hf_select.tasks.columns import KNOWN, plain_name
from hf_select.tasks.textfile import FileRows, Reading, read_text

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE = 1 << 18
"""Characters from which the delimiter is told."""

LONG = 80
"""Characters from which on a cell of the first row is no name of a column."""
NEARLY_ALL = 0.9
MANY_LINES = 5
"""Lines of a row above which it is looked at whether it has swallowed others."""
SPREADSHEET = re.compile(rb"sep=(.)\r?\n", re.IGNORECASE)
"""The line with which spreadsheets say what the delimiter is."""


@dataclass(frozen=True)
class Problem:
    """Where a file breaks its own form: rows count without the header, lines with it."""

    row: int
    line: int
    what: str
    quotes: bool


@dataclass(frozen=True)
class Form:
    """How cells are written: in quotes where need be; with a backslash before a quote in them."""

    delimiter: str
    quotes: bool = True
    backslash: bool = False

    def rows(self, text: str, *, strict: bool = False) -> Any:
        """A `csv.reader` over the text."""
        return csv.reader(
            io.StringIO(text, newline=""),
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            escapechar="\\" if self.backslash else None,
            strict=strict,
        )


def read_delimited(path: Path, reading: Reading) -> FileRows:
    """All cells as text. Raises `DataError` that names the row that doesn't fit."""
    data, notes = read_text(path, reading)
    stated = reading.delimiter
    found = SPREADSHEET.match(data)
    if found is not None:  # an empty line in its place, so that lines keep their numbers
        stated, data = stated or found[1].decode(), data[found.end() - 1 :]
    text = data.decode("utf-8")
    with _long_cells():
        delimiter = stated or find_delimiter(text, _usual(path))
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise InputError(
                f"the delimiter must be one character, not {delimiter!r}",
                hint=r"for example --delimiter ';', and $'\t' for a tab",
            )
        if delimiter != _usual(path) and stated is None:
            notes += (f"columns are separated by {DELIMITERS[delimiter]}",)
        form, problem, more = _find_form(text, delimiter)
        table = _parsed(data, text, form) if problem is None else None
        if problem is None and table is None:
            problem = find_problem(text, form)
    if table is None:
        first = int(reading.header is False)  # the first row counts, where it isn't the header
        place = "" if problem is None else f": row {problem.row + first} (line {problem.line})"
        what = "can't be read as rows" if problem is None else problem.what
        raise DataError(
            f"{path}{place} {what}",
            hint="a cell that holds the delimiter or a line break stands in quotes, and a quote "
            'in it is written twice ("")',
        )
    return _named(path, table, notes + more, reading.header)


def _find_form(text: str, delimiter: str) -> tuple[Form, Problem | None, tuple[str, ...]]:
    """The form that all rows have, or what is wrong with them in the usual one; and notes."""
    usual = Form(delimiter)
    if '"' not in text:  # what else there is wrong shows when the rows are read
        return usual, None, ()
    odd: list[Problem] = []
    problem = find_problem(text, usual, odd)
    if problem is None:
        return usual, None, tuple(f"row {one.row} (line {one.line}) {one.what}" for one in odd[:1])
    if problem.quotes and '\\"' in text:
        form = Form(delimiter, backslash=True)
        if find_problem(text, form) is None:
            return form, None, ("a quote within a cell has a backslash before it",)
    if problem.quotes and _quotes_are_characters(text, delimiter):
        note = f"quotes are read as characters: one in line {problem.line} has no end"
        return Form(delimiter, quotes=False), None, (note,)
    return usual, problem, ()


def find_delimiter(text: str, usual: str) -> str:
    """The delimiter that cuts the header, and then the most rows into as many cells.

    >>> find_delimiter("a;b\\n1,5;x\\n", ","), find_delimiter("a,b\\nx;y;z,1\\n", ",")
    (';', ',')
    """
    found = _consistency(text, usual)
    return max(found, key=lambda d: found[d]) if found else usual


def looks_delimited(text: str, usual: str) -> bool:
    """Whether a delimiter cuts nearly all rows into as many cells."""
    found = _consistency(text, usual)
    return bool(found) and max(found.values())[0] > NEARLY_ALL


def _consistency(text: str, usual: str) -> dict[str, tuple[float, bool, int]]:
    """Delimiter -> share of rows like the header, whether it is the usual one, cells a row."""
    found: dict[str, tuple[float, bool, int]] = {}
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(text[:SAMPLE], newline=""), delimiter=delimiter)
        counts = [len(row) for row in islice(reader, 200) if row]
        if len(counts) > 2 and len(text) > SAMPLE:
            del counts[-1]  # it may be cut off
        if counts and counts[0] > 1:
            same = sum(count == counts[0] for count in counts) / len(counts)
            found[delimiter] = (same, delimiter == usual, counts[0])
    return found


def find_problem(text: str, form: Form, odd: list[Problem] | None = None) -> Problem | None:
    """The first row that has other than the header's number of cells, or a quote out of place.

    Into `odd` go rows that have, but that may have swallowed others.
    """
    reader = form.rows(text, strict=True)
    width, number, line = 0, -1, 1
    while True:
        start = line
        try:
            row = next(reader)
        except StopIteration:
            return None
        except csv.Error as error:
            return Problem(number + 1, start, _quote_words(str(error)), quotes=True)
        line = reader.line_num + 1
        if not row:
            continue
        number += 1
        width = width or len(row)
        if len(row) != width:
            shown = form.delimiter.join(row)
            shown = shown if len(shown) <= LONG else f"{shown[: LONG - 3]}..."
            what = f"has {len(row)} cells, but the header has {width}: {shown!r}"
            return Problem(number, start, what, quotes=False)
        if odd is not None and line - start > MANY_LINES and _swallows(row, form.delimiter):
            what = f"spans {line - start} lines that look like rows: is a quote missing?"
            odd.append(Problem(number, start, what, quotes=True))


def _swallows(row: list[str], delimiter: str) -> bool:
    """Whether each whole line within a cell has as many cells as the row."""
    inner = [line for cell in row for line in cell.splitlines()[1:-1]]
    return bool(inner) and all(line.count(delimiter) == len(row) - 1 for line in inner)


def _quote_words(error: str) -> str:
    if "expected after" in error:
        return "has text after the quote that closes a cell"
    return "opens a quote that is never closed"


def _quotes_are_characters(text: str, delimiter: str) -> bool:
    """Whether all rows have one form if quotes mean nothing, and none stand around a cell."""
    form = Form(delimiter, quotes=False)
    if find_problem(text, form) is not None:
        return False
    return not any(len(c) > 1 and c[0] == c[-1] == '"' for row in form.rows(text) for c in row)


def _usual(path: Path) -> str:
    return "\t" if {".tsv", ".tab"} & {ending.lower() for ending in path.suffixes[-2:]} else ","


@contextmanager
def _long_cells() -> Iterator[None]:
    """`csv` refuses cells above 128 KB by itself; the setting is the process's."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parsed(data: bytes, text: str, form: Form) -> pa.Table | None:
    """The rows with the header as the first of them; None if they don't have one form."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    width = len(next(filter(None, form.rows(text)), []))
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(data),
            # One block, because a quoted cell must not be longer than a block.
            read_options=arrow_csv.ReadOptions(
                block_size=min(len(data) + 1, 2**31 - 1),
                use_threads=False,
                autogenerate_column_names=True,
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=form.delimiter,
                newlines_in_values=form.quotes,
                quote_char='"' if form.quotes else False,
                escape_char="\\" if form.backslash else False,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={f"f{i}": pa.string() for i in range(width)}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return None


def _named(path: Path, table: pa.Table, notes: tuple[str, ...], header: bool | None) -> FileRows:
    """The table under its header's names, without rows that say nothing."""
    import pyarrow as pa

    if header is False:
        names = [f"column {i + 1}" for i in range(table.num_columns)]
        return FileRows(pa.table(table.columns, names=names), notes)
    names = [str(column[0].as_py()).strip(" \t\r\n\ufeff\xa0") for column in table.columns]
    table = table.slice(1)
    empty, again = _useless(table, [""] * len(names)), _useless(table, names)
    if len(names) > 1 and empty.any():
        notes += (f"empty rows left out: {int(empty.sum())}",)
    if again.any():
        notes += (f"the header stands again in row {int(np.argmax(again)) + 1}: left out",)
    left_out = again | empty if len(names) > 1 else again
    if header is None:
        _check_header(path, names, table.filter(pa.array(~left_out)))
    if left_out.any():
        table = table.filter(pa.array(~left_out))
    columns: dict[str, pa.ChunkedArray] = {}
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        places = " and ".join(str(i + 1) for i, name in enumerate(names) if name == twice[0])
        raise DataError(
            f"{path} has two columns named {twice[0]!r} ({places})", hint="rename one of them"
        )
    for i, (name, column) in enumerate(zip(names, table.columns, strict=True), start=1):
        if name:
            columns[name] = column
        elif _says_nothing(column):
            notes += (f"column {i} has no name and only row numbers or nothing: left out",)
        else:
            columns[f"column {i}"] = column
            notes += (f"column {i} has no name: it is called 'column {i}'",)
    numbers = (np.flatnonzero(left_out) + 1).tolist()
    return FileRows(pa.table(columns), notes, tuple(numbers))


def _useless(table: pa.Table, cells: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows (N,) have exactly these cells."""
    from pyarrow import compute as pc

    found = np.ones(table.num_rows, dtype=bool)
    for column, cell in zip(table.columns, cells, strict=True):
        if not found.any():
            break
        found &= np.asarray(pc.equal(column, cell))
    return found


def _says_nothing(column: pa.ChunkedArray) -> bool:
    """Row numbers, as pandas writes them, or empty cells."""
    cells = column.to_pylist()
    return not any(cells) or cells in (
        [str(i) for i in range(len(cells))],
        [str(i + 1) for i in range(len(cells))],
    )


def _check_header(path: Path, names: list[str], table: pa.Table) -> None:
    """An error where the first row is a row like the others. A known name is a header."""
    from pyarrow import compute as pc

    if table.num_rows == 0 or any(plain_name(name) in KNOWN for name in names):
        return
    why = ""
    for name, column in zip(names, table.columns, strict=True):
        if name and _is_number(name):
            why = f"{name!r} is a number"
        elif len(name) > LONG:
            why = f"{name[:LONG]!r}... is long"
        elif name and pc.any(pc.equal(column, name)).as_py():
            why = f"{name!r} is also in a later row"
        if why:
            raise DataError(
                f"{path} seems to have no header: its first row reads like data ({why})",
                hint="put a line with the columns' names first, such as text,label; or say "
                "--no-header (they are called 'column 1', 'column 2', ... then), or --header if "
                "these are names",
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
