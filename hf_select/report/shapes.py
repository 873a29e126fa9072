"""Marks for points: each class of clusters has a shape beside its colour."""

from __future__ import annotations

_PATHS = {
    "k0": "M{l:.1f} {y:.1f}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0-{d} 0",  # circle
    "k1": "M{l:.1f} {t:.1f}h{d}v{d}h-{d}z",  # square
    "k2": "M{x:.1f} {u:.1f}l{w} {v}h-{w2}z",  # triangle
    "k3": "M{x:.1f} {s:.1f}l{o} {o}l-{o} {o}l-{o}-{o}z",  # diamond
    "k4": "M{x:.1f} {b:.1f}l{w}-{v}h-{w2}z",  # triangle upside down
    "k5": "M{a:.1f} {t:.1f}h{c}v{e}h{e}v{c}h-{e}v{e}h-{c}v-{e}h-{e}v-{c}h{e}z",  # cross
    "k6": "M{l:.1f} {n:.1f}h{d}v{g}h-{d}z",  # bar
}


def mark(kind: str, x: float, y: float, r: float = 4.5) -> str:
    """The path of a mark around a point; a circle for whatever has no shape of its own."""
    c = round(0.8 * r, 2)
    return _PATHS.get(kind, _PATHS["k0"]).format(
        x=x,
        y=y,
        r=r,
        d=2 * r,
        l=x - r,
        t=y - r,
        u=y - 1.15 * r,
        w=round(1.15 * r, 2),
        w2=round(2.3 * r, 2),
        v=round(2.0 * r, 2),
        s=y - 1.3 * r,
        o=round(1.3 * r, 2),
        b=y + 1.15 * r,
        a=x - c / 2,
        c=c,
        e=round((2 * r - c) / 2, 2),
        n=y - 0.55 * r,
        g=round(1.1 * r, 2),
    )
