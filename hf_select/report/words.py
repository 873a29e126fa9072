"""Numbers, times and lists in the page's words. Plain text, nothing is escaped here."""

from __future__ import annotations

from collections.abc import Sequence


def seconds_text(seconds: float | None) -> str:
    """A time in words: "8.4 s", "1 min 48 s", "2 h 5 min"."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def times(price: float | None) -> str:
    """A price: 1.9×, 24×."""
    if price is None:
        return "–"
    if price < 10:
        return f"{price:.2g}×"
    return f"{price:.3g}×" if price < 100 else f"{price:,.0f}×"


def amount(value: float | None) -> str:
    """A number of any size in about four digits."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.4g}"
    return text.replace("-", "−")


def fixed(value: float | None) -> str:
    """A number for a column: three decimals, so that they stand under each other."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def count(number: int, what: str) -> str:
    """A number of things: "1 model", "1,500 models"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def listed(words: Sequence[str]) -> str:
    """Words after each other: "a, b and c"."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def millions(parameters: float | None) -> str:
    """A number of parameters: 242k, 66M, 1.2B."""
    return _scaled(parameters, 1000.0, ("", "k", "M", "B", "T"))


def bytes_text(size: float | None) -> str:
    """A number of bytes: 0.98 MB, 440 MB, 1.3 GB."""
    return _scaled(size, 1000.0, (" B", " kB", " MB", " GB", " TB"))


def milliseconds(value: float | None) -> str:
    """A latency: 0.42 ms, 18 ms, 1.2 s."""
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value / 1000:.2g} s"
    return f"{value:.2g} ms" if value < 100 else f"{value:.0f} ms"


def _scaled(value: float | None, step: float, units: Sequence[str]) -> str:
    if value is None:
        return "–"
    k = 0
    while abs(value) >= 0.9995 * step and k < len(units) - 1:
        value, k = value / step, k + 1
    text = f"{value:.0f}" if k == 0 or value >= 99.5 else f"{value:.2g}"
    return f"{text}{units[k]}"
