"""Words of strangers inside markdown: escaped, so that they can't be anything but words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

LONGEST = 120
"""Characters of a name or a reason that are shown."""
_SPECIAL = re.compile(
    r"[^\w ./,()%…-]|\A-|\A\d+[.)](?= |\Z)|(?<!\w)_|_(?!\w)|(?<=www)\.", re.IGNORECASE
)
"""All but letters, digits and harmless marks; what would begin a list; a `_` that could begin or
end emphasis; and the dot of a bare `www.` address, which some renderers make a link of."""


def escape(text: object, *, longest: int = LONGEST) -> str:
    """Text that markdown shows as it is, inside a line or in a cell of a table.

    Names of models and datasets, labels, submitters and reasons come from whoever contributed.
    Every character that could mean something to markdown or HTML becomes a character reference,
    which both show and neither interprets. Line breaks become spaces; what can't be printed, a
    replacement character; what is too long is cut.

    >>> escape("<b>a|b</b>")
    '&#60;b&#62;a&#124;b&#60;/b&#62;'
    """
    line = " ".join(str(text).split())
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    if len(line) > longest:
        line = line[: longest - 1] + "…"
    return _SPECIAL.sub(lambda match: f"{match[0][:-1]}&#{ord(match[0][-1])};", line)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, longest: int = LONGEST
) -> str:
    """A table; text is escaped, numbers stand right and show four digits, NaN is a dash."""
    numeric = [all(isinstance(row[j], int | float) for row in rows) for j in range(len(columns))]
    lines = [list(columns), ["---:" if right else "---" for right in numeric]]
    lines += [[_cell(value, longest) for value in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object, longest: int) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else escape(value, longest=longest)
