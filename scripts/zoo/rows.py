"""Content hashes of rows, and splits that keep groups of near duplicates together."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SPLITS = ("train", "validation", "test")
SIZES = (600, 400, 600)
MAX_WORDS = 60


def normalise_text(text: str) -> str:
    """Words in casefold: two rows that differ only in case, punctuation or space are one row."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def cap_words(text: str, words: int = MAX_WORDS) -> str:
    """The first words of a text, with white space collapsed."""
    return " ".join(text.split()[:words])


def hash_bytes(content: bytes) -> int:
    """First eight bytes of the SHA-256, as an unsigned integer."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def hash_text(text: str) -> int:
    """Hash of a text's normalised content."""
    return hash_bytes(normalise_text(text).encode())


def hash_image(image: np.ndarray) -> int:
    """Hash of an image's (32, 32, 3) uint8 array."""
    return hash_bytes(np.ascontiguousarray(image, dtype=np.uint8).tobytes())


@dataclass(frozen=True)
class Rows:
    """Labelled rows: N items, their labels, their groups of near duplicates, their hashes.

    `items` is an (N, 32, 32, 3) uint8 array or a list of N texts. `labels` is (N,) int class
    indices or (N,) float ratings. Rows of one group never fall on two sides of a split.
    """

    items: Any
    labels: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...]
    hashes: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Sequence[int] | np.ndarray) -> Rows:
        """The rows at these positions."""
        at = np.asarray(index, dtype=int)
        items = (
            self.items[at] if isinstance(self.items, np.ndarray) else [self.items[i] for i in at]
        )
        groups = tuple(self.groups[i] for i in at)
        return Rows(items, self.labels[at], self.names, groups, self.hashes[at])


def make_rows(
    items: Any,
    labels: Sequence[Any] | np.ndarray,
    names: Sequence[str] = (),
    groups: Sequence[str] | None = None,
) -> Rows:
    """Hash the items and drop repeated ones; a content with two labels is dropped altogether."""
    is_image = isinstance(items, np.ndarray)
    hashes = np.array([hash_image(i) if is_image else hash_text(i) for i in items], np.uint64)
    labels = np.asarray(labels)
    seen: dict[int, set[Any]] = defaultdict(set)
    for value, label in zip(hashes.tolist(), labels.tolist(), strict=True):
        seen[value].add(label)
    kept: list[int] = []
    done: set[int] = set()
    for position, value in enumerate(hashes.tolist()):
        if value not in done and len(seen[value]) == 1:
            kept.append(position)
            done.add(value)
    named = tuple(groups) if groups is not None else tuple(str(v) for v in hashes.tolist())
    return Rows(items, labels, tuple(names), named, hashes).take(kept)


def spread_order(
    rows: Rows, rng: np.random.Generator, *, per_class: int | None = None
) -> list[str]:
    """Groups in an order whose every stretch has the classes in nearly their overall shares."""
    first_label: dict[str, Any] = {}
    for group, label in zip(rows.groups, rows.labels.tolist(), strict=True):
        first_label.setdefault(group, label)
    by_class: dict[Any, list[str]] = defaultdict(list)
    for group, label in first_label.items():
        by_class[label if rows.names else 0].append(group)
    keyed: list[tuple[float, str]] = []
    for label in sorted(by_class):
        members = by_class[label]
        chosen = [members[i] for i in rng.permutation(len(members))][:per_class]
        offset = rng.random()
        keyed += [((i + offset) / len(chosen), group) for i, group in enumerate(chosen)]
    return [group for _, group in sorted(keyed)]


def split_rows(
    rows: Rows,
    *,
    seed: int,
    sizes: Sequence[int] = SIZES,
    per_class: int | None = None,
) -> dict[str, Rows]:
    """Stratified, group-wise train, validation and test rows; what is left over is not used."""
    rng = np.random.default_rng(seed)
    positions: dict[str, list[int]] = defaultdict(list)
    for position, group in enumerate(rows.groups):
        positions[group].append(position)
    order = spread_order(rows, rng, per_class=per_class)
    available = sum(len(positions[group]) for group in order)
    shrink = min(1.0, available / sum(sizes))
    wanted = [int(size * shrink) for size in sizes]
    result: dict[str, Rows] = {}
    queue = iter(order)
    for split, size in zip(SPLITS, wanted, strict=True):
        picked: list[int] = []
        while len(picked) < size:
            following = next(queue, None)
            if following is None:
                break
            picked += positions[following]
        result[split] = rows.take(picked[:size])
    return result


def without(rows: Rows, hashes: set[int], groups: set[str]) -> Rows:
    """The rows that share neither content nor group with rows that are used elsewhere."""
    pairs = zip(rows.hashes.tolist(), rows.groups, strict=True)
    return rows.take([i for i, (h, g) in enumerate(pairs) if h not in hashes and g not in groups])
