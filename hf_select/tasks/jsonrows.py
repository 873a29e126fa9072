"""JSON Lines and JSON: objects as rows, nested ones as columns with a dotted name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_select.errors import DataError
from hf_select.tasks.textfile import FileRows, Reading, read_text

if TYPE_CHECKING:
    import pyarrow as pa
OBJECT = 'each row must be one whole object, such as {"text": "...", "label": "..."}'


def read_json(path: Path, reading: Reading) -> FileRows:
    """One object a line, one list of objects, or an object that holds nothing but such a list."""
    data, notes = read_text(path, reading)
    rows, more = _objects(path, data.decode("utf-8"))
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(
                f"{path}: row {number} is {type(row).__name__}, but must be an object", hint=OBJECT
            )
    return FileRows(_table(path, rows), notes + more)


def _objects(path: Path, text: str) -> tuple[list[Any], tuple[str, ...]]:
    start = text.lstrip()[:1]
    if start == "[" or (start == "{" and path.name.lower().endswith((".json", ".json.gz"))):
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError) as error:
            if start == "[":
                raise DataError(f"{path} is not JSON: {_words(error)}") from error
        else:
            return (whole, ()) if isinstance(whole, list) else _inner(path, whole)
    rows: list[Any] = []
    # Not splitlines(): it also cuts at characters that a JSON string may hold.
    for line, content in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if content.strip():
            try:
                rows.append(json.loads(content))
            except (ValueError, RecursionError) as error:
                place = f"row {len(rows) + 1} (line {line})"
                raise DataError(
                    f"{path}: {place} is not JSON: {_words(error)}",
                    hint=OBJECT,
                ) from error
    return rows, ()


def _inner(path: Path, whole: dict[str, Any]) -> tuple[list[Any], tuple[str, ...]]:
    """The rows of an object: itself, or the one list of objects in it."""
    lists = [
        (name, value)
        for name, value in whole.items()
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value)
    ]
    if len(lists) == 1:
        name, rows = lists[0]
        return rows, (f"rows: the list {name!r} of {path.name}",)
    raise DataError(
        f"{path} holds one object, not rows",
        hint="write one object a line, or one list of objects",
    )


def _words(error: Exception) -> str:
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


def _table(path: Path, rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, pa.Array] = {}
    for name in names:
        cells = [row.get(name) for row in rows]
        try:
            columns[name] = _column(cells)
        except UnicodeEncodeError as error:
            number = next(i for i, cell in enumerate(cells, start=1) if _broken(cell))
            raise DataError(
                f"{path}: row {number}, column {name!r} holds half a character: {error.reason}",
                hint="an emoji was cut in two; remove what is left of it there",
            ) from error
    table = pa.table(columns)
    while any(_nested(field.type) for field in table.schema):
        flat = [
            ([column], [field.name])
            if not _nested(field.type)
            else (
                column.flatten(),
                [f"{field.name}.{inner.name}" for inner in field.type],
            )
            for field, column in zip(table.schema, table.columns, strict=True)
        ]
        table = pa.table(
            [part for parts, _ in flat for part in parts],
            names=[name for _, names in flat for name in names],
        )
    return table


def _column(cells: list[Any]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # mixed kinds: as they're written
        return pa.array([None if cell is None else str(cell) for cell in cells])


def _nested(kind: pa.DataType) -> bool:
    """An object with names of its own, and no image (which `datasets` writes as bytes and path)."""
    import pyarrow as pa

    if not pa.types.is_struct(kind) or kind.num_fields == 0:
        return False
    if any(pa.types.is_list(inner.type) for inner in kind):
        return False  # lists that belong together, such as choices and their letters
    return {inner.name for inner in kind} != {"bytes", "path"}


def _broken(cell: Any) -> bool:
    try:
        str(cell).encode()
    except UnicodeEncodeError:
        return True
    return False
