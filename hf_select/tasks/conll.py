"""Files with a word a line and a blank line between sentences: CoNLL's, and CoNLL-U."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hf_select.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".conll", ".bio", ".iob", ".iob2", ".bioes", ".conllu", ".txt")
"""Files that hold nothing else; a `.tsv` may (see `looks_like`)."""

DOCUMENT = "-DOCSTART-"


def looks_like(text: str) -> bool:
    """Whether a tab-separated text has a word a line: blank lines between blocks of lines.

    >>> looks_like("EU\\tB-ORG\\n\\nPeter\\tB-PER\\n"), looks_like("text\\tlabel\\ngood\\t1\\n")
    (True, False)
    """
    lines = [line.strip() for line in text.strip().split("\n")]
    return lines[0].startswith(DOCUMENT) or ("" in lines and all("\t" in x for x in lines if x))


def read_conll(path: Path, text: str) -> pa.Table:
    """Columns `tokens` and `tags`, a row a sentence; the word stands first, its tag last.

    In a `.conllu` file the words are FORM and the tags UPOS. Columns are separated by tabs where
    the first line has one, else by blanks. Lines that begin a document are skipped, as are comments
    before a sentence. Raises `DataError` with file and line: a line with another number of columns
    than the first one, a word without a tag.
    """
    import pyarrow as pa

    universal = path.suffix.lower() == ".conllu"
    tokens: list[list[str]] = [[]]
    tags: list[list[str]] = [[]]
    width = 0
    tab = False
    # Not splitlines(): it also cuts at characters that a word may hold.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = line.rstrip("\r")
        if not line.strip():
            if tokens[-1]:
                tokens.append([])
                tags.append([])
            continue
        if line.startswith(DOCUMENT) or (universal and line.startswith("#")):
            continue
        by_tab = tab if width else "\t" in line
        cells = line.rstrip("\t").split("\t") if by_tab else [c for c in line.split(" ") if c]
        if line.startswith("# ") and not tokens[-1] and len(cells) != (width or 2):
            continue
        if len(cells) < 2:
            raise DataError(
                f"{path}: line {number} has no tag behind {line.strip()[:40]!r}",
                hint="a line is a word and its tag; a blank line ends a sentence",
            )
        width, tab = width or len(cells), by_tab
        if len(cells) != width:
            raise DataError(
                f"{path}: line {number} has {len(cells)} columns, but the first one has {width}",
                hint="a word that holds a blank needs columns that are separated by tabs",
            )
        if universal:
            if width < 4:
                raise DataError(f"{path}: line {number} has {width} columns, CoNLL-U has 10")
            if not cells[0].isdigit():  # a contraction, or a word that isn't there
                continue
        word, tag = (cells[1], cells[3]) if universal else (cells[0], cells[-1])
        if not word or not tag.strip():
            what = "word" if not word else "tag"
            raise DataError(f"{path}: line {number} has an empty {what}")
        tokens[-1].append(word)
        tags[-1].append(tag.strip())
    if not tokens[-1]:
        tokens.pop()
        tags.pop()
    if not tokens:
        raise DataError(f"{path} holds no word")
    kind = pa.list_(pa.string())
    return pa.table({"tokens": pa.array(tokens, kind), "tags": pa.array(tags, kind)})
