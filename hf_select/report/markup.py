"""What the sections of a page are made of: headings, cells, lists; and what a page collects."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hf_select.report.svg import esc, plain

MAX_NAMES = 60
"""How many names a running list shows before it says how many more there are."""


@dataclass
class Sheet:
    """A page, or a part of one, while its sections are written.

    `prefix` stands before every id, so that two parts of one page have none in common; `level` is
    that of a section's heading. `data` is what the script needs, by the id of the figure that it
    belongs to; `contents` are the sections so far: id and title.
    """

    prefix: str = ""
    level: int = 2
    data: dict[str, Any] = field(default_factory=dict)
    contents: list[tuple[str, str]] = field(default_factory=list)

    def id(self, name: str) -> str:
        """An id of this part."""
        return f"{self.prefix}{name}"

    def part(self, prefix: str) -> Sheet:
        """A part of this page whose headings are one level below, with contents of its own."""
        return Sheet(prefix, self.level + 1, self.data)

    def section(self, name: str, title: str, *parts: str) -> str:
        """A section with its heading."""
        here = self.id(name)
        self.contents.append((here, title))
        return (
            f'<section id="{here}" class="{name}" aria-labelledby="{here}-title">\n'
            f'<h{self.level} id="{here}-title">{esc(title)}</h{self.level}>\n'
            f"{''.join(parts)}</section>\n"
        )

    def heading(self, title: str) -> str:
        """A heading inside a section."""
        return f"<h{self.level + 1}>{esc(title)}</h{self.level + 1}>\n"

    def navigation(self) -> str:
        """Links to the sections so far; "" where there is nothing to choose from."""
        if len(self.contents) < 3:
            return ""
        items = "".join(f'<li><a href="#{key}">{esc(t)}</a></li>' for key, t in self.contents)
        return f'<nav aria-label="Sections of this page"><ul>{items}</ul></nav>\n'


def embed_json(value: Any) -> str:
    """JSON that can stand inside a script element: no `<`, so no end tag and no comment."""
    text = json.dumps(_plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    """The value with what `esc` replaces replaced in its texts as well."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def cell(text: str, kind: str, label: str = "") -> str:
    """A cell of a table; `label` names it where a narrow page drops the heading."""
    if kind == "why":
        text = text.replace(" %", "\N{NO-BREAK SPACE}%")
    named = f' data-label="{esc(label)}"' if label else ""
    return f'<td class="{kind}"{named}>{name(text)}</td>'


def name(text: object) -> str:
    """A stranger's words in markup: escaped, and their direction kept to themselves."""
    text = str(text)
    return esc(text) if text.isascii() else f"<bdi>{esc(text)}</bdi>"


def head(words: Iterable[str], *, extra: Collection[str] = ()) -> str:
    """The heading of a table; a column without words has none. `extra`: not on a narrow page."""
    cells = "".join(
        f'<th scope="col"{" class=extra" * (h in extra)}>{esc(h)}</th>' if h else "<td></td>"
        for h in words
    )
    return f"<thead><tr>{cells}</tr></thead>\n"


def region(label: str, inner: str, kind: str = "scroll") -> str:
    """What may be wider than the page, in a box that scrolls; by keyboard too."""
    return (
        f'<div class="{kind}" tabindex="0" role="region" aria-label="{esc(label)}">{inner}</div>\n'
    )


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Names with their values, a line each."""
    inner = "".join(f"<div><dt>{esc(k)}</dt><dd>{name(v)}</dd></div>" for k, v in rows)
    return f'<dl class="pairs">{inner}</dl>'


def bar(share: float) -> str:
    """A bar for a cell of a table, `share` of its width long."""
    wide = min(100.0, max(0.4, 100 * share))
    return (
        '<svg class="meter" viewBox="0 0 100 10" preserveAspectRatio="none" '
        f'aria-hidden="true"><rect width="{wide:.2f}" height="10"/></svg>'
    )


def name_list(
    models: Sequence[str],
    strong: Iterable[str] = (),
    starred: str | None = None,
    *,
    most: int = MAX_NAMES,
) -> str:
    """Names after each other, some bold, the starred one first; of many the bold ones first."""
    bold = set(strong)
    models = sorted(models, key=lambda m: m != starred) if starred else models
    if len(models) > most:
        models = sorted(models, key=lambda m: m != starred and m not in bold)
    shown = [
        f"<b>{star}{name(m)}</b>" if m in bold else f"<span>{star}{name(m)}</span>"
        for m in models[:most]
        for star in ("★ " if m == starred else "",)
    ]
    more = len(models) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def both_widths(wide: str, narrow: str) -> str:
    """A figure twice: drawn for a desk and for a hand; the style sheet shows one of them."""
    return f'<div class="wide">{wide}</div>\n<div class="narrow">{narrow}</div>\n'
