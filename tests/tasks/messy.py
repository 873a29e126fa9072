"""Messy inputs as people have them, written into a folder: what is right, and what is refused.

`SAME` holds the rows of `ROWS` in another dress: each must come out as the clean file does. `RIGHT`
holds other rows, with what must be said of them. `REFUSED` must be an error with all of the words.
A writer gets an empty folder and returns what is typed after `hf-select inspect`.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Writer = Callable[[Path], list[str]]

WORDS = {"pos": ("great", "fine", "lovely"), "neg": ("poor", "dull", "weak")}


def rows(count: int = 60) -> list[tuple[str, str]]:
    """Texts with commas, semicolons, tabs, quotes, line breaks, accents and emoji; two classes."""
    odd = (
        "a, b",
        "a; b",
        "a | b",
        'the "best" one',
        "line\nbreak",
        "café naïve",
        "👍🏽 ok",
        "plain",
    )
    return [
        (f"film {i} was {WORDS[label][i % 3]}: {odd[i % len(odd)]}", label)
        for i, label in ((i, ("pos", "neg")[i % 2]) for i in range(count))
    ]


ROWS = rows()
PLAIN = [(text.replace("\n", " ").encode("ascii", "ignore").decode(), y) for text, y in ROWS]
HEADER = ("text", "label")


def table(data: Sequence[Sequence[Any]], header: Sequence[str] = HEADER, **how: Any) -> str:
    """CSV text."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, **{"lineterminator": "\n", **how})
    writer.writerows([header, *data] if header else data)
    return file.getvalue()


def text_file(name: str, content: str | bytes, *options: str, encoding: str = "utf-8") -> Writer:
    """A file of that content."""

    def write(folder: Path) -> list[str]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return [str(path), *options]

    return write


def lines(data: Sequence[Mapping[str, Any]]) -> str:
    """JSON Lines."""
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in data) + "\n"


def objects(data: Sequence[tuple[str, str]] = ROWS) -> list[dict[str, Any]]:
    """Rows as objects."""
    return [dict(zip(HEADER, row, strict=True)) for row in data]


def parquet(columns: Mapping[str, Any], name: str = "a.parquet", *options: str) -> Writer:
    """A parquet file of arrow arrays or lists."""

    def write(folder: Path) -> list[str]:
        import pyarrow as pa
        from pyarrow import parquet as pq

        made = {key: values() if callable(values) else values for key, values in columns.items()}
        pq.write_table(pa.table(made), folder / name)
        return [str(folder / name), *options]

    return write


def _dictionary(cells: Sequence[str]) -> Callable[[], Any]:
    import pyarrow as pa

    return lambda: pa.array(cells).dictionary_encode()


def saved(folder: Path) -> list[str]:
    """A folder written by `save_to_disk`."""
    import datasets

    datasets.disable_progress_bars()
    data = {"text": [t for t, _ in ROWS], "label": [y for _, y in ROWS]}
    datasets.Dataset.from_dict(data).save_to_disk(str(folder / "saved"))
    return [str(folder / "saved")]


def gzipped(name: str, content: str) -> Writer:
    """A gzipped file."""
    return text_file(name, gzip.compress(content.encode()))


TEXTS, LABELS = [t for t, _ in ROWS], [y for _, y in ROWS]
CLEAN = text_file("clean.csv", table(ROWS))

SAME: dict[str, Writer] = {
    "utf-8 with a mark": text_file("a.csv", table(ROWS), encoding="utf-8-sig"),
    "utf-16 with a mark": text_file("a.csv", table(ROWS), encoding="utf-16"),
    "utf-16, big end first": text_file("a.csv", "\ufeff" + table(ROWS), encoding="utf-16-be"),
    "utf-16 without a mark": text_file("a.csv", table(ROWS), encoding="utf-16-le"),
    "semicolons": text_file("a.csv", table(ROWS, delimiter=";")),
    "tabs in a .csv": text_file("a.csv", table(ROWS, delimiter="\t")),
    "commas in a .tsv": text_file("a.tsv", table(ROWS)),
    "bars": text_file("a.csv", table(ROWS, delimiter="|")),
    "a stated delimiter": text_file("a.csv", table(ROWS, delimiter="^"), "--delimiter", "^"),
    "a spreadsheet's line about its delimiter": text_file(
        "a.csv", "sep=;\r\n" + table(ROWS, delimiter=";")
    ),
    "backslashes before quotes": text_file(
        "a.csv", table(ROWS, quoting=csv.QUOTE_ALL).replace('""', '\\"')
    ),
    "every cell in quotes": text_file("a.csv", table(ROWS, quoting=csv.QUOTE_ALL)),
    "blank lines at the end": text_file("a.csv", table(ROWS) + "\n\n   \n\t\n"),
    "blank lines at the start": text_file("a.csv", "\n\n" + table(ROWS)),
    "the mark of an old end of file": text_file("a.csv", table(ROWS) + "\x1a"),
    "empty rows of a spreadsheet": text_file("a.csv", table([*ROWS, ("", ""), ("", "")])),
    "empty columns of a spreadsheet": text_file(
        "a.csv", table([(*row, "", "") for row in ROWS], ("text", "label", "", ""))
    ),
    "row numbers of pandas": text_file(
        "a.csv", table([(i, *row) for i, row in enumerate(ROWS)], ("", *HEADER))
    ),
    "two files put together": text_file("a.csv", table([*ROWS[:30], HEADER, *ROWS[30:]])),
    "blanks around labels": text_file(
        "a.csv", table([(t, y + "  " * (i % 3)) for i, (t, y) in enumerate(ROWS)])
    ),
    "names in capitals, with blanks": text_file("a.csv", table(ROWS, (" Text ", "LABEL"))),
    "names in another script": text_file(
        "a.csv",
        table(ROWS, ("текст отзыва", "оценка")),
        "--text-column",
        "текст отзыва",
        "--label-column",
        "оценка",
    ),
    "no header, as stated": text_file("a.csv", table(ROWS, ()), "--no-header"),
    "columns in another order, and more": text_file(
        "a.csv",
        table([(i, y, "x", t) for i, (t, y) in enumerate(ROWS)], ("id", "label", "source", "text")),
    ),
    "100 columns": text_file(
        "a.csv",
        table(
            [(*(i * j for j in range(98)), *row) for i, row in enumerate(ROWS)],
            (*(f"feature {j}" for j in range(98)), "remark", "label"),
        ),
    ),
    "a parquet called .csv": parquet({"text": TEXTS, "label": LABELS}, "a.csv"),
    "a CSV called .jsonl": text_file("a.jsonl", table(PLAIN)),
    "JSON lines called .csv": text_file("a.csv", lines(objects())),
    "JSON lines without an ending": text_file("rows", lines(objects())),
    "a CSV called .txt": text_file("a.txt", table(ROWS, delimiter="\t")),
    "JSON lines with line ends of Windows": text_file(
        "a.jsonl", lines(objects()).replace("\n", "\r\n")
    ),
    "a JSON list": text_file("a.json", json.dumps(objects(), indent=2)),
    "a JSON list in an object": text_file("a.json", json.dumps({"version": 1, "data": objects()})),
    "nested JSON": text_file(
        "a.jsonl", lines([{"meta": {"id": 7}, "doc": {"text": t}, "label": y} for t, y in ROWS])
    ),
    "a gzipped CSV": gzipped("a.csv.gz", table(ROWS)),
    "gzipped JSON lines": gzipped("a.jsonl.gz", lines(objects())),
    "a parquet with dictionaries": parquet(
        {"text": _dictionary(TEXTS), "label": _dictionary(LABELS)}
    ),
    "a parquet with lists besides": parquet(
        {"text": TEXTS, "label": LABELS, "vector": [[0.5, 1.0]] * len(ROWS)}
    ),
    "a folder with one CSV": lambda folder: [
        str(Path(text_file("data set/a.csv", table(ROWS))(folder)[0]).parent)
    ],
    "a path with blanks and accents": text_file("mes données/été n° 1.csv", table(ROWS)),
    "save_to_disk": saved,
}
"""The rows of the clean file in another dress. `PLAIN` where line breaks can't be."""

PLAIN_ONES = ("a CSV called .jsonl",)


# ------------------------------------------------------------------------------------ images


def picture(path: Path, value: int, *, size: int = 8, mode: str = "RGB", **how: Any) -> Path:
    """A small image of one colour and some noise."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(value)
    pixels = rng.integers(0, 60, (size, size, 3), dtype=np.uint8)
    pixels[..., value % 3] += 150
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65535, (size, size), dtype=np.uint16))
    elif mode != "RGB":
        image = image.convert(mode)
    image.save(path, **how)
    return path


def pictures(folder: Path, count: int = 24, *, below: str = "", ending: str = ".png") -> Path:
    """Class folders `red` and `green` of small images."""
    for i in range(count):
        picture(folder / ("red", "green")[i % 2] / below / f"{i:03d}{ending}", i)
    return folder


def with_metadata(
    folder: Path, header: tuple[str, ...], cells: Callable[[int], tuple[Any, ...]], count: int = 40
) -> Path:
    """Images in one folder, and a metadata.csv that lists them."""
    listed = []
    for i in range(count):
        picture(folder / "img" / f"{i}.png", i)
        listed.append((f"img/{i}.png", *cells(i)))
    (folder / "metadata.csv").write_text(table(listed, header))
    return folder


def _all_kinds_of_images(folder: Path) -> list[str]:
    kinds: list[tuple[str, dict[str, Any]]] = [
        (".png", {"mode": "I;16"}),
        (".png", {"mode": "P"}),
        (".png", {"mode": "RGBA"}),
        (".png", {"mode": "LA"}),
        (".png", {"mode": "1"}),
        (".jpg", {"mode": "CMYK"}),
        (".jpg", {"mode": "L"}),
        (".webp", {}),
        (".bmp", {}),
        (".tiff", {}),
        (".JPEG", {}),
        (".png", {"size": 1}),
    ]
    for i in range(48):
        ending, how = kinds[i % len(kinds)]
        picture(folder / ("red", "green")[i // 2 % 2] / f"{i}{ending}", i, **how)
    from PIL import Image

    frames = [Image.new("RGB", (8, 8), (i * 60, 0, 9)) for i in range(4)]
    frames[0].save(folder / "red" / "moves.gif", save_all=True, append_images=frames[1:])
    return [str(folder)]


def _hidden_files(folder: Path) -> list[str]:
    pictures(folder)
    for name in (".DS_Store", "Thumbs.db", "._000.png", "desktop.ini", "red/._000.png"):
        (folder / name).write_bytes(b"\0\0\0\1Bud1")
    (folder / "__MACOSX" / "red").mkdir(parents=True)
    (folder / "__MACOSX" / "red" / "._000.png").write_bytes(b"junk")
    (folder / ".ipynb_checkpoints").mkdir()
    picture(folder / ".ipynb_checkpoints" / "x.png", 0)
    return [str(folder)]


def _broken_images(folder: Path) -> list[str]:
    pictures(folder)
    whole = (folder / "red" / "000.png").read_bytes()
    (folder / "red" / "000.png").write_bytes(whole[: len(whole) // 2])
    (folder / "green" / "001.png").write_bytes(b"")
    (folder / "red" / "002.png").write_text("this is a text")
    return [str(folder)]


def _one_broken(folder: Path) -> list[str]:
    (pictures(folder) / "red" / "004.png").write_bytes(b"\x89PNG\r\n")
    return [str(folder)]


def _listed_images(folder: Path) -> list[str]:
    pictures(folder / "photos")
    found = sorted((folder / "photos").glob("*/*.png"))
    cells = [(p.relative_to(folder).as_posix(), p.parent.name) for p in found]
    return text_file("list.csv", table(cells, ("where it is", "colour")))(folder)


def _wrong_names(folder: Path) -> list[str]:
    pictures(folder, 12)
    for i in range(12, 24):
        path = picture(folder / ("red", "green")[i % 2] / f"{i}.jpg", i)
        path.rename(path.with_suffix(".png"))
    return [str(folder)]


def _windows_paths(folder: Path) -> list[str]:
    with_metadata(folder, ("file_name", "label"), lambda i: ("ab"[i % 2],))
    path = folder / "metadata.csv"
    path.write_text(path.read_text().replace("img/", "img\\"))
    return [str(folder)]


def _missing_image(folder: Path) -> list[str]:
    with_metadata(folder, ("file_name", "label"), lambda i: ("ab"[i % 2],))
    (folder / "img" / "7.png").unlink()
    return [str(folder)]


def _train_and_test_metadata(folder: Path) -> list[str]:
    for split in ("train", "test"):
        with_metadata(folder / split, ("file_name", "label"), lambda i: ("ab"[i % 2],))
    return [str(folder)]


def _packed_once_more(folder: Path) -> list[str]:
    pictures(folder / "photos")
    (folder / "README.txt").write_text("hello")
    return [str(folder)]


def _a_class_called_train(folder: Path) -> list[str]:
    for i in range(24):
        picture(folder / ("train", "car")[i % 2] / f"{i}.png", i)
    return [str(folder)]


def _jsonl_metadata(folder: Path) -> list[str]:
    with_metadata(folder, ("file_name", "label"), lambda i: ("ab"[i % 2],))
    (folder / "metadata.csv").unlink()
    data = [{"file_name": f"img/{i}.png", "age": 20 + i / 3} for i in range(40)]
    (folder / "metadata.jsonl").write_text(lines(data))
    return [str(folder)]


def _two_files(folder: Path) -> list[str]:
    (folder / "held out.csv").write_text(table(ROWS[50:]))
    return text_file("a.csv", table(ROWS[:50]), "--test", str(folder / "held out.csv"))(folder)


def _words_in_names(folder: Path) -> list[str]:
    (folder / "reviews_train.csv").write_text(table(ROWS[:40]))
    (folder / "reviews_test.csv").write_text(table(ROWS[40:]))
    return [str(folder)]


def _numbers(form: Callable[[float], str]) -> str:
    return table([(t, form(i * 7.5 + 1)) for i, (t, _) in enumerate(ROWS)], ("text", "price"))


def _swallowing() -> str:
    """A quote is opened in row 4 and closed in row 13: to the letter of the form, one cell."""
    found = [f"film {i} as it was,{('pos', 'neg')[i % 2]}" for i in range(60)]
    found[3] = f'"{found[3]}'
    found[12] = 'and the end",pos'
    return "\n".join(["text,label", *found])


def _german(value: float) -> str:
    return f"{value * 10:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".")


TEXT, IMAGE = "text-classification", "image-classification"

RIGHT: dict[str, tuple[Writer, dict[str, Any]]] = {
    "line ends of Windows": (
        text_file("a.csv", table(PLAIN).replace("\n", "\r\n")),
        {"task": TEXT, "rows": 60, "classes": ["neg", "pos"]},
    ),
    "line ends of an old Mac": (
        text_file("a.csv", table(PLAIN).replace("\n", "\r")),
        {"task": TEXT, "rows": 60, "classes": ["neg", "pos"]},
    ),
    "cp1252, as stated": (
        text_file(
            "a.csv",
            table([(f"caf\xe9 \x80 {t}", y) for t, y in PLAIN]).replace("\x80", "€"),
            "--encoding",
            "cp1252",
            encoding="cp1252",
        ),
        {"task": TEXT, "rows": 60},
    ),
    "quotes that mean nothing": (
        text_file("a.tsv", "text\tlabel\n" + "".join(f'"no end {t}\t{y}\n' for t, y in PLAIN)),
        {"task": TEXT, "rows": 60, "said": "quotes are read as characters"},
    ),
    "a quote that swallows rows": (
        text_file("a.csv", _swallowing()),
        {"task": TEXT, "rows": 51, "said": "row 4 (line 5) spans 10 lines that look like rows"},
    ),
    "a cell of a megabyte": (
        text_file("a.csv", table([("word " * 200_000, "pos"), *ROWS])),
        {"task": TEXT, "rows": 61, "said": "longer than 128 tokens"},
    ),
    "emoji as labels": (
        text_file("a.csv", table([(t, {"pos": "😀", "neg": "😡"}[y]) for t, y in ROWS])),
        {"task": TEXT, "rows": 60, "classes": ["😀", "😡"]},
    ),
    "labels 1, 2 and three": (
        text_file(
            "a.csv", table([(t, ("1", "2", "three")[i % 3]) for i, (t, _) in enumerate(ROWS)])
        ),
        {
            "task": TEXT,
            "classes": ["1", "2", "three"],
            "said": "among classes that are numbers: 'three'",
        },
    ),
    "mixed kinds in JSON": (
        text_file(
            "a.jsonl",
            lines([{"text": t, "label": (1, "x", True)[i % 3]} for i, (t, _) in enumerate(ROWS)]),
        ),
        {"task": TEXT, "classes": ["1", "True", "x"]},
    ),
    "a few labels missing": (
        text_file("a.csv", table([*ROWS[:9], ("no label here", ""), *ROWS[9:]])),
        {
            "task": TEXT,
            "rows": 60,
            "said": "has no label in column 'label' and is left out (the first: row 10)",
        },
    ),
    "n/a among numbers": (
        text_file(
            "a.csv",
            table(
                [(t, "n/a" if i == 3 else i / 4) for i, (t, _) in enumerate(ROWS)],
                ("text", "score"),
            ),
        ),
        {"task": "text-regression", "rows": 59, "said": "(the first: row 4)"},
    ),
    "n/a among words": (
        text_file(
            "a.csv", table([(t, "N/A" if i % 5 == 0 else y) for i, (t, y) in enumerate(ROWS)])
        ),
        {
            "task": TEXT,
            "classes": ["N/A", "neg", "pos"],
            "said": "is that a class or no label? 'N/A'",
        },
    ),
    "a class of one row": (
        text_file("a.csv", table([*ROWS, ("once only", "odd")])),
        {"task": TEXT, "rows": 61, "said": "1 class of 3 has fewer than 8 train rows: 'odd' (1)"},
    ),
    "labels that differ in their case": (
        text_file(
            "a.csv", table([(t, y.upper() if i % 9 < 2 else y) for i, (t, y) in enumerate(ROWS)])
        ),
        {
            "task": TEXT,
            "classes": ["NEG", "POS", "neg", "pos"],
            "said": "differ in their spelling only",
        },
    ),
    "booleans": (
        text_file("a.jsonl", lines([{"text": t, "label": y == "pos"} for t, y in ROWS])),
        {"task": TEXT, "classes": ["false", "true"]},
    ),
    "decimal commas": (
        text_file(
            "a.csv",
            table(
                [(t, f"{i},5") for i, (t, _) in enumerate(ROWS)], ("text", "price"), delimiter=";"
            ),
            "--label-column",
            "price",
        ),
        {"task": "text-regression", "rows": 60, "said": "commas are decimal"},
    ),
    "thousands and decimal commas": (
        text_file("a.csv", _numbers(_german), "--label-column", "price"),
        {"task": "text-regression", "said": "points stand between thousands"},
    ),
    "thousands with commas, in dollars": (
        text_file("a.csv", _numbers(lambda v: f"${v * 10:,.2f}"), "--label-column", "price"),
        {"task": "text-regression", "said": "'$' is left out"},
    ),
    "per cent": (
        text_file("a.csv", _numbers(lambda v: f"{v / 5:.1f} %"), "--label-column", "price"),
        {"task": "text-regression", "said": "'%' is left out"},
    ),
    "the same row twice": (
        text_file("a.csv", table([*ROWS, *ROWS[:10]])),
        {"task": TEXT, "rows": 70, "said": "no row is in two splits"},
    ),
    "one text, two labels": (
        text_file("a.csv", table([*ROWS, (ROWS[0][0], "neg")])),
        {"task": TEXT, "rows": 61, "said": "with other labels"},
    ),
    "texts of many words": (
        text_file("a.csv", table([(t * 40, y) for t, y in ROWS])),
        {"task": TEXT, "said": "usual --max-length"},
    ),
    "empty texts": (
        text_file("a.csv", table([*ROWS, ("", "pos"), ("  ", "neg"), ("", "neg")])),
        {"task": TEXT, "rows": 63, "said": "that are empty"},
    ),
    "no name tells the columns": (
        text_file(
            "a.csv",
            table(
                [(i, y, t, "2020-01-02") for i, (t, y) in enumerate(ROWS)],
                ("n", "what", "said", "when"),
            ),
        ),
        {"task": TEXT, "columns": (["said"], "what"), "said": "by its content"},
    ),
    "a file for test": (_two_files, {"task": TEXT, "rows": 60, "test": 10}),
    "splits in the names of files": (_words_in_names, {"task": TEXT, "rows": 60, "test": 20}),
    "all kinds of images": (_all_kinds_of_images, {"task": IMAGE, "rows": 49}),
    "images in nested folders": (
        lambda folder: [str(pictures(folder, below="2020/summer"))],
        {
            "task": IMAGE,
            "rows": 24,
            "classes": ["green", "red"],
            "said": "belong to that class: 24",
        },
    ),
    "hidden files among images": (
        _hidden_files,
        {"task": IMAGE, "rows": 24, "classes": ["green", "red"]},
    ),
    "JPEGs called .png": (_wrong_names, {"task": IMAGE, "rows": 24}),
    "a folder in the folder": (
        _packed_once_more,
        {"task": IMAGE, "rows": 24, "classes": ["green", "red"]},
    ),
    "a class called train": (_a_class_called_train, {"task": IMAGE, "classes": ["car", "train"]}),
    "a CSV of image files": (
        _listed_images,
        {"task": IMAGE, "rows": 24, "columns": (["where it is"], "colour")},
    ),
    "metadata.csv with classes": (
        lambda folder: [
            str(with_metadata(folder, ("file_name", "label"), lambda i: ("ab"[i % 2],)))
        ],
        {"task": IMAGE, "rows": 40, "classes": ["a", "b"]},
    ),
    "metadata.csv from Windows": (_windows_paths, {"task": IMAGE, "rows": 40}),
    "metadata.csv with numbers": (
        lambda folder: [
            str(with_metadata(folder, ("file_name", "angle"), lambda i: (f"{i / 7:.2f}",)))
        ],
        {"task": "image-regression", "rows": 40, "columns": (["image"], "angle")},
    ),
    "metadata.jsonl with numbers": (
        _jsonl_metadata,
        {"task": "image-regression", "rows": 40, "columns": (["image"], "age")},
    ),
    "words with tags in a .txt": (
        text_file("a.txt", "\n".join(f"w{i} B-{'AB'[i % 2]}\nx O\n" for i in range(40))),
        {"task": "token-classification", "rows": 40},
    ),
    "a table with blank lines in between": (
        text_file("a.tsv", table(PLAIN, delimiter="\t").replace("\nfilm 7", "\n\nfilm 7")),
        {"task": TEXT, "rows": 60},
    ),
    "metadata in train and test": (
        _train_and_test_metadata,
        {"task": IMAGE, "rows": 80, "test": 40},
    ),
}
"""Other rows: the writer, and of the document task, rows in all, classes, words in it."""

REFUSED: dict[str, tuple[Writer, Sequence[str]]] = {
    "latin-1": (
        text_file("a.csv", "text,label\nplain,a\ncaf\xe9,b\n", encoding="latin-1"),
        ("a.csv", "not UTF-8", "line 3", "'café,b'", "--encoding"),
    ),
    "an encoding that is none": (text_file("a.csv", table(ROWS), "--encoding", "cp9"), ("'cp9'",)),
    "a quote without an end": (
        text_file("a.csv", table(PLAIN, quoting=csv.QUOTE_ALL) + '"no end,pos\n"x","neg"\n'),
        ("a.csv", "row 61 (line 62)", "quote"),
    ),
    "a row with too many cells": (
        text_file("a.csv", table(PLAIN) + "one,two,three\n"),
        ("a.csv", "row 61 (line 62)", "3 cells", "one,two,three"),
    ),
    "a row with too few cells": (
        text_file("a.csv", table([("x\ny", "a"), *PLAIN[:3]]) + "only one\n"),
        ("a.csv", "row 5 (line 7)", "1 cells"),
    ),
    "a row with too many cells, without a header": (
        text_file("a.csv", table(PLAIN, ()) + "one,two,three\n", "--no-header"),
        ("a.csv", "row 61 (line 61)", "3 cells"),
    ),
    "NUL bytes": (
        text_file("a.csv", table(PLAIN[:4]) + "bad \0 byte,pos\n"),
        ("a.csv", "line 6", "NUL"),
    ),
    "two columns of one name": (
        text_file("a.csv", table([(t, t, y) for t, y in ROWS], ("text", "text", "label"))),
        ("a.csv", "two columns named 'text' (1 and 2)"),
    ),
    "no header": (
        text_file("a.csv", table(ROWS, ())),
        ("a.csv", "no header", "'pos'", "--no-header"),
    ),
    "one column": (
        text_file("a.csv", table([(t,) for t, _ in PLAIN], ("text",))),
        ("one column only", "--delimiter"),
    ),
    "an empty file": (text_file("a.csv", ""), ("a.csv", "empty")),
    "nothing but blanks": (text_file("a.csv", " \n\n \n"), ("a.csv", "empty")),
    "a header only": (text_file("a.csv", "text,label\n"), ("a.csv", "no rows")),
    "three rows": (text_file("a.csv", table(ROWS[:3])), ("3 rows",)),
    "one class": (
        text_file("a.csv", table([(t, "pos") for t, _ in ROWS])),
        ("one class ('pos') only", "'label'"),
    ),
    "no labels at all": (
        text_file("a.csv", table([(t, "") for t, _ in ROWS])),
        ("a.csv", "'label'", "any of its 60 rows"),
    ),
    "a label of its own a row": (
        text_file("a.csv", table([(t, f"id-{i}") for i, (t, _) in enumerate(ROWS)])),
        ("'label'", "each of 60 rows"),
    ),
    "dates as labels": (
        text_file(
            "a.csv",
            table(
                [(t, f"2020-{1 + i % 12:02d}-{1 + i % 28:02d}") for i, (t, _) in enumerate(ROWS)]
            ),
        ),
        ("'label'", "dates", "row 1"),
    ),
    "a word among decimals": (
        text_file(
            "a.csv",
            table(
                [(t, "so-so" if i == 40 else i / 4) for i, (t, _) in enumerate(ROWS)],
                ("text", "score"),
            ),
        ),
        ("'so-so' in row 41", "'score'"),
    ),
    "thousands or decimals": (
        text_file(
            "a.csv",
            table([(t, f"{i + 1},{250 + i}") for i, (t, _) in enumerate(ROWS)], ("text", "price")),
            "--label-column",
            "price",
        ),
        ("'1,250' in row 1", "1250 or 1.250"),
    ),
    "infinity as a label": (
        text_file(
            "a.csv",
            table(
                [(t, "inf" if i == 5 else i / 4) for i, (t, _) in enumerate(ROWS)],
                ("text", "score"),
            ),
        ),
        ("inf in row 6",),
    ),
    "several columns of texts": (
        text_file(
            "a.csv",
            table(
                [(t, t[::-1] + " and so on", y) for t, y in ROWS],
                ("title of it", "story of it", "label"),
            ),
        ),
        ("which column is the text", "'title of it' (", "'story of it' (", "--text-column"),
    ),
    "several columns of classes": (
        text_file(
            "a.csv",
            table(
                [(t, y, "xyz"[i % 3]) for i, (t, y) in enumerate(ROWS)], ("text", "mood", "group")
            ),
        ),
        ("which column is the label", "'mood' (2 values)", "'group' (3 values)", "--label-column"),
    ),
    "a column that isn't there": (
        text_file("a.csv", table(ROWS), "--label-column", "Label"),
        ("'Label'", "did you mean 'label'"),
    ),
    "a spreadsheet": (
        text_file("a.xlsx", b"PK\x03\x04\x14\0\x06\0xl/workbook.xml"),
        ("a.xlsx", "spreadsheet", "CSV"),
    ),
    "an old spreadsheet called .csv": (
        text_file("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 90),
        ("a.csv", "Excel"),
    ),
    "a web page": (
        text_file("a.csv", "<!DOCTYPE html>\n<html><body>sign in</body></html>"),
        ("a.csv", "web page", "Raw"),
    ),
    "a pointer of Git LFS": (
        text_file("a.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        ("git lfs pull",),
    ),
    "a picture": (
        lambda folder: [str(picture(folder / "a.png", 1))],
        ("a.png", "PNG image", "folder"),
    ),
    "a picture called .csv": (
        lambda folder: [str(picture(folder / "a.png", 1).rename(folder / "a.csv"))],
        ("a.csv", "PNG image"),
    ),
    "a broken gzip": (
        text_file("a.csv.gz", gzip.compress(b"text,label\n" * 99)[:30]),
        ("a.csv.gz", "can't be read"),
    ),
    "a cut parquet": (text_file("a.parquet", b"PAR1\x15\x04"), ("a.parquet", "not a parquet")),
    "a broken line of JSON": (
        text_file("a.jsonl", lines(objects(ROWS[:4])) + '{"text": "x", "label": \n'),
        ("a.jsonl", "row 5 (line 5)"),
    ),
    "a line of JSON that is no object": (
        text_file("a.jsonl", lines(objects(ROWS[:4])) + '["x", "pos"]\n'),
        ("a.jsonl", "row 5", "list"),
    ),
    "half a character in JSON": (
        text_file("a.jsonl", lines(objects(ROWS[:4])) + '{"text": "\\ud83d", "label": "pos"}\n'),
        ("a.jsonl", "row 5", "'text'"),
    ),
    "JSON nested without end": (
        text_file("a.jsonl", '{"text": ' + "[" * 100_000),
        ("a.jsonl", "row 1"),
    ),
    "one JSON object": (text_file("a.json", '{"text": "x", "label": 1}'), ("a.json", "one object")),
    "lists as texts": (
        parquet(
            {"words": [["a", "b"]] * 9, "label": LABELS[:9]},
            "a.parquet",
            "--text-column",
            "words",
            "--task",
            TEXT,
        ),
        ("'words'", "not text"),
    ),
    "lists as labels": (
        parquet({"text": TEXTS[:9], "label": [["a"]] * 9}, "a.parquet", "--task", TEXT),
        ("'label'", "one class or one number"),
    ),
    "several files, none named after a split": (
        lambda folder: [
            str(Path(text_file(f"d/{name}.csv", table(ROWS))(folder)[0]).parent)
            for name in ("one", "two")
        ][:1],
        ("2 data files", "one.csv", "two.csv", "train.csv"),
    ),
    "a path with a slip": (
        lambda folder: [
            text_file("my reviews.csv", table(ROWS))(folder)[0].replace("reviews", "reveiws")
        ],
        ("no file or folder", "did you mean", "my reviews.csv"),
    ),
    "a folder that isn't there": (
        lambda folder: [str(folder / "nowhere" / "a.csv")],
        ("no folder", "nowhere"),
    ),
    "a test file that isn't there": (
        text_file("a.csv", table(ROWS), "--test", "tset.csv"),
        ("tset.csv", "test split"),
    ),
    "an empty folder": (lambda folder: [str(folder)], ("holds no data set",)),
    "images without classes": (
        lambda folder: [str(picture(folder / "only" / "a.png", 1).parent)],
        ("neither a folder a class nor a metadata",),
    ),
    "broken images": (
        _broken_images,
        ("3 of 24 images", "000.png", "001.png", "0 bytes", "002.png"),
    ),
    "one broken image": (_one_broken, ("004.png", "can't be decoded")),
    "metadata that names no file": (_missing_image, ("metadata.csv", "row 8", "img/7.png")),
    "metadata without file names": (
        lambda folder: [
            str(with_metadata(folder, ("image name", "label"), lambda i: ("ab"[i % 2],)))
        ],
        ("metadata.csv", "'file_name'"),
    ),
}
"""The writer, and words that the error (or its hint) has."""
