"""Text files as people have them: any encoding that can be told, gzipped or not, as UTF-8."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import DataError, InputError

if TYPE_CHECKING:
    import pyarrow as pa

GZIP = b"\x1f\x8b"
MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
BLANK_END = re.compile(rb"(?:[\r\n][ \t]*)+\x1a?\s*\Z")
"""Blank lines at the end, and the mark with which old programs end a file."""

SHOWN = 40
"""Characters of a line that a message shows."""


@dataclass(frozen=True)
class Reading:
    """What is stated of a data file; None: found out."""

    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None


@dataclass(frozen=True, eq=False)
class FileRows:
    """What a file holds, and what was inferred to read it.

    `left_out`: the numbers, from 1, of rows that are not in the table.
    """

    table: pa.Table
    notes: tuple[str, ...] = ()
    left_out: tuple[int, ...] = ()

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The number of each row (N,) in the file, from 1."""
        every = np.arange(1, self.total + 1)
        return np.delete(every, np.array(self.left_out, dtype=np.int64) - 1)

    @property
    def total(self) -> int:
        """How many rows the file has, with those that were left out."""
        return int(self.table.num_rows) + len(self.left_out)


def first_bytes(path: Path, count: int = 4096) -> bytes:
    """The beginning of a file, of what is inside if it is gzipped. Raises `DataError`."""
    try:
        with path.open("rb") as file:
            head = file.read(count)
        if head.startswith(GZIP):
            with gzip.open(path) as unpacked:
                head = unpacked.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} can't be read: {error}", hint="is it whole, and are you allowed to read it?"
        ) from error
    return head


def read_text(path: Path, reading: Reading) -> tuple[bytes, tuple[str, ...]]:
    """A text file as UTF-8 without a byte order mark or blank lines at its end, and notes.

    Raises `DataError` that names the line where it is no text, or not in the encoding.
    """
    try:
        data = path.read_bytes()
        if data.startswith(GZIP):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} can't be read: {error}", hint="is it whole, and are you allowed to read it?"
        ) from error
    if not data.strip():
        raise DataError(f"{path} is empty", hint=EMPTY)
    data, notes = _as_utf8(path, data, reading.encoding)
    if b"\0" in data:
        line = _line_at(data, data.index(b"\0"))
        raise DataError(f"{path}: line {line} holds a NUL byte, so it is no text", hint=NO_TEXT)
    data = BLANK_END.sub(b"", data)
    if not data.strip():
        raise DataError(f"{path} is empty", hint=EMPTY)
    return data if data.endswith((b"\n", b"\r")) else data + b"\n", notes


EMPTY = "was it written to the end? a CSV begins with the columns' names, such as text,label"
NO_TEXT = "was the file cut off or damaged? look at that line, and save the file again"


def _as_utf8(path: Path, data: bytes, encoding: str | None) -> tuple[bytes, tuple[str, ...]]:
    if encoding is not None:
        _check_encoding(encoding)  # where the file's first bytes overrule it, too
    for mark, name in MARKS:
        if data.startswith(mark):
            return _recoded(path, data[len(mark) :], name), _told(name, "by its first bytes")
    if encoding is not None:
        return _recoded(path, data, encoding), ()
    wide = _sixteen_bits(data)
    if wide:
        return _recoded(path, data, wide), _told(wide, "by its zero bytes")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = _line_at(data, error.start)
        raise DataError(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x} in line {line}",
            hint=_other_encoding(data, error.start),
        ) from error
    return data, ()


def _told(name: str, why: str) -> tuple[str, ...]:
    return () if name == "utf-8" else (f"encoding: {name[:6].upper()}, {why}",)


def _check_encoding(encoding: str) -> None:
    try:
        with suppress(UnicodeError):  # a byte need not be text in it
            b" ".decode(encoding)  # of no bytes Python doesn't look the codec up
    except LookupError as error:  # no such codec, or one that makes no text
        raise InputError(
            f"there is no text encoding {encoding!r}",
            hint="for example utf-8, cp1252, latin-1, utf-16, gb18030, shift_jis",
        ) from error


def _recoded(path: Path, data: bytes, encoding: str) -> bytes:
    try:
        return data.decode(encoding).encode("utf-8")
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        raise DataError(
            f"{path} is not {encoding}: byte 0x{data[start]:02x} in line {_line_at(data, start)}",
            hint="state another --encoding, or save the file as UTF-8",
        ) from error


def _sixteen_bits(data: bytes) -> str:
    """UTF-16 without a mark: Western text has a zero in every second byte."""
    sample = data[:4096]
    half = len(sample) // 2
    if sample[1::2].count(0) > 0.4 * half and not sample[::2].count(0):
        return "utf-16-le"
    if sample[::2].count(0) > 0.4 * half and not sample[1::2].count(0):
        return "utf-16-be"
    return ""


def _other_encoding(data: bytes, at: int) -> str:
    """What to do about bytes that aren't UTF-8, with what Windows' Western encoding would read."""
    start = max(data.rfind(b"\n", 0, at) + 1, at - SHOWN // 2)
    end = data.find(b"\n", at)
    part = data[start : end if end >= 0 else None][:SHOWN]
    try:
        shown = part.decode("cp1252").strip()
    except UnicodeDecodeError:
        return "save it as UTF-8, or state its --encoding"
    return f"save it as UTF-8, or state its --encoding: with cp1252 that line reads {shown!r}"


def _line_at(data: bytes, at: int) -> int:
    return data.count(b"\n", 0, at) + 1
