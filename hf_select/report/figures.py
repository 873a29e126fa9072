"""The figures of a document as files: SVG, and PNG where resvg is installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_select.errors import InputError, UnknownNameError
from hf_select.files import write_atomic
from hf_select.report.clustermap import cluster_map_svg
from hf_select.report.curves import curve_series, learning_curves_svg
from hf_select.report.dendrogram import dendrogram_svg
from hf_select.report.efficiency import charts, efficiency_svg
from hf_select.report.heatmap import matrix_svg
from hf_select.report.likeness import likeness
from hf_select.report.price import OURS, price_svg
from hf_select.report.sections.benchmarks import strips_of
from hf_select.report.strips import strips_svg

ZOOM = 2
"""Pixels of a PNG for a pixel of the drawing."""


def drawings(document: Mapping[str, Any]) -> dict[str, str]:
    """Name -> SVG of every figure that the document of a selection or of a record has data for.

    Those of a record with several tasks begin with the task.
    """
    if document.get("kind") == "record":
        tasks = document["tasks"]
        found: dict[str, str] = {}
        for part in tasks:
            prefix = f"{part['task']}-" if len(tasks) > 1 else ""
            figures = {**_of_models(part), "benchmarks": strips_svg(strips_of(part))}
            if part.get("replayed"):
                figures["price"] = price_svg(part["replayed"], heading=str(part["task"]))
            found |= {f"{prefix}{name}": svg for name, svg in figures.items()}
        return found
    found = {}
    if curve_series(document):
        found["learning-curves"] = learning_curves_svg(document)
    found |= _of_models(document)
    if document.get("replayed"):
        ours = str(document.get("policy") or OURS)
        found["price"] = price_svg(document["replayed"], ours=ours, width=960, height=470)
    for chart in charts(document):
        found[f"efficiency-{chart}"] = efficiency_svg(document, chart)
    return found


def _of_models(document: Mapping[str, Any]) -> dict[str, str]:
    """Map, tree and matrix."""
    found = {}
    alike = likeness(document)
    if alike is not None:
        found["map"] = cluster_map_svg(document, alike=alike)
        found["tree"] = dendrogram_svg(document, alike=alike)
    if (document.get("matrix") or {}).get("models"):
        found["matrix"] = matrix_svg(document)
    return found


def _png(svg: str) -> bytes:
    from resvg_py import svg_to_bytes

    return bytes(svg_to_bytes(svg_string=svg, zoom=ZOOM))


FORMATS: dict[str, Callable[[str], bytes]] = {"svg": str.encode, "png": _png}
"""Format -> what makes a file of a figure's SVG. PNG needs the extra `figures`."""


def check_formats(formats: Sequence[str]) -> None:
    """Refuse, before anything is drawn, formats that are unknown or need what isn't installed."""
    for name in formats:
        if name not in FORMATS:
            raise UnknownNameError("figure format", name, FORMATS)
    if "png" in formats:
        try:
            import resvg_py  # noqa: F401
        except ImportError as error:
            raise InputError(
                "figures as PNG need resvg",
                hint="pip install 'hf-select[figures]', or leave it at SVG",
            ) from error


def write_figures(
    document: Mapping[str, Any], folder: str | Path, *, formats: Sequence[str] = ("svg",)
) -> tuple[Path, ...]:
    """Write every figure into `folder`, which is made if need be; the paths, by name.

    Files that stand alone, in light colours. Raises `UnknownNameError` for an unknown format and
    `InputError` for PNG where resvg isn't installed.
    """
    check_formats(formats)
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, but figures go into a folder")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, svg in drawings(document).items():
        for kind in dict.fromkeys(formats):
            path = folder / f"{re.sub(r'[^A-Za-z0-9_-]', '-', name)}.{kind}"
            write_atomic(path, FORMATS[kind](svg))
            written.append(path)
    return tuple(written)
