"""What the figures share: SVG markup, escaping, names that fit, ticks, boxes that don't overlap."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from html import escape as _escape
from importlib.resources import files

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in px."""

CHARACTER = 6.1
"""Width in px of a label's character at 11.5 px, on average."""

_FORBIDDEN = re.compile(
    "[^\t\n\r\u0020-\u2029\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
"""What XML forbids, and what turns the direction of the words after it (U+202A-E, U+2066-9)."""

_VARIABLE = re.compile(r"--([\w-]+): *([^;]+);")


@cache
def asset(name: str) -> str:
    """The text of a file under `assets/`."""
    return (files("hf_select.report") / "assets" / name).read_text(encoding="utf-8")


@cache
def flat_style() -> str:
    """The style of a figure that stands alone: the light colours, without variables.

    Not every program that draws SVG knows variables.
    """
    colours = dict(_VARIABLE.findall(asset("light.vars")))
    return re.sub(r"var\(--([\w-]+)\)", lambda m: colours[m[1]], asset("figure.css"))


def plain(text: str) -> str:
    """Text without what XML forbids, and without what turns the direction of words."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def esc(text: object) -> str:
    """Text for HTML and XML alike: markup escaped; what XML forbids, or turns words, replaced."""
    return _escape(plain(str(text)))


def short_names(models: Sequence[str], limit: int = 26) -> dict[str, str]:
    """Labels for models: without the owner where that stays unique, cut in the middle."""
    tails = {model: model.rsplit("/", 1)[-1] or model for model in models}
    taken = Counter(tails.values())
    names = {m: tail if taken[tail] == 1 else m for m, tail in tails.items()}
    short = {m: shorten(name, limit) for m, name in names.items()}
    twins = Counter(short.values())
    for text in [text for text, times in twins.items() if times > 1]:
        alike = [m for m in names if short[m] == text]
        same = next(
            (
                i
                for i, c in enumerate(zip(*(names[m] for m in alike), strict=False))
                if len({*c}) > 1
            ),
            0,
        )
        for m in alike:
            rest = names[m][max(6, same - 4) :]
            tail = rest if len(rest) <= limit - 7 else f"{rest[: limit - 8]}…"
            short[m] = f"{names[m][:6]}…{tail}"
    return short


def shorten(text: str, limit: int) -> str:
    """The text in at most `limit` characters, its middle left out."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def nice_ticks(low: float, high: float, count: int = 7) -> tuple[float, ...]:
    """About `count` round numbers between two ends."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw)
    first = math.ceil(low / step)
    last = math.floor(high / step)
    return tuple(float(f"{i * step:.10g}") for i in range(first, last + 1))


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes have any of their insides in common."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def text_at(x: float, y: float, words: str, kind: str = "") -> str:
    """A line of text; `kind` are classes of the style sheet."""
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}">{esc(words)}</text>'


def drawing(
    name: str, width: float, height: float, title: str, body: str, standalone: bool, about: str = ""
) -> str:
    """A whole figure around its body; a standalone one brings its style and its paper along."""
    own, space = "", ""
    x, y = 0, 0
    if standalone:
        x, y, width, height = -18, -12, width + 36, height + 24
        space = ' xmlns="http://www.w3.org/2000/svg"'
        own = f"<style>{flat_style()}</style>"
        own += f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{_paper()}"/>'
    return (
        f'<svg{space} class="hfs {name}" viewBox="{x} {y} {width} {height}" '
        f'width="{width}" height="{height}" role="group" aria-label="{esc(title)}">'
        f"<desc>{esc(about)}</desc>{own}{body}</svg>"
    )


def _paper() -> str:
    return dict(_VARIABLE.findall(asset("light.vars")))["paper"]
