"""Other people's results: CSV tables, long or wide, as runs or proxy scores of the record.

Long: columns `model,dataset,score[,seed,epoch,val,seconds,recipe,metric,baseline]`. Rows with an
`epoch` form a learning curve: `val` is the validation score at that epoch, `score` the final test
score. Wide: a first column `model`, then one column per dataset. Paper: a tab-separated file with
the models in its first line and one line of scores per dataset, the datasets in a second file.

Nobody says which commits such numbers belong to, so imported models and datasets have the
revision `IMPORTED` (40 zeros), and their recipe is `imported-<name>`: they never share a matrix
with measured runs. Rows that can't be used are named with their line and the reason.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hf_select.errors import DataError, InputError, UnknownNameError
from hf_select.metrics import METRICS, get_metric
from hf_select.records import (
    NAN,
    TASK_KINDS,
    DatasetEntry,
    LearningCurve,
    ModelEntry,
    ProxyRow,
    Rejected,
    RunKey,
    RunRecord,
    check_task_name,
    digest,
)
from hf_select.results.schema import SAFE_NAME, check

IMPORTED = "0" * 40
"""The revision of a model or dataset whose commit is not known."""

FORMATS = ("long", "wide", "paper")
KINDS = ("runs", "proxies")
COLUMNS = {
    "runs": (
        ("model", "dataset", "score"),
        ("seed", "epoch", "val", "seconds", "recipe", "metric", "baseline"),
    ),
    "proxies": (("model", "dataset", "score"), ("proxy", "seconds", "rows")),
}
"""Required and optional columns of the long form."""
DEFAULT_METRICS = {"classification": "accuracy", "regression": "rmse"}
"""The metric of scores that come without one, by the kind of their task."""
EMPTY = {"", "-", "nan", "na", "n/a", "none", "null"}
"""What a cell may hold that was not measured (in any case)."""


class Imported(NamedTuple):
    """What a table gave. `rejected` names a line or a cell (`repo_id`) and why it is not used."""

    rows: list[RunRecord] | list[ProxyRow]
    models: list[ModelEntry]
    datasets: list[DatasetEntry]
    rejected: list[Rejected]


@dataclass(frozen=True)
class _Line:
    """One measured value, still as text. `where` says where in the file it stands."""

    where: str
    values: dict[str, str]


@dataclass
class _Import:
    """What is the same for every row of one import, and the rows rejected so far."""

    path: Path
    task: str
    metrics: Mapping[str, str]
    recipe: str
    created: str
    rejected: list[Rejected] = field(default_factory=list)

    def reject(self, where: str, reason: str) -> None:
        self.rejected.append(Rejected(where, reason))


def import_table(
    path: str | Path,
    *,
    task: str,
    metric: str | Mapping[str, str] | None = None,
    kind: str = "runs",
    format: str | None = None,
    mapping: Mapping[str, str] | None = None,
    datasets_file: str | Path | None = None,
    recipe: str = "",
) -> Imported:
    """Read a table of results.

    `metric`: the metric of every score, or one per dataset with `"*"` for the others; the text
    form is `"accuracy,cola=matthews_correlation"`. None = the task's own: accuracy for classes,
    rmse for numbers. For `kind="proxies"` it is the name of the proxy score, and None if a column
    `proxy` tells it. `format`: see the module; None = seen from the header. `mapping`: our column
    name -> the file's. `datasets_file`: names of the datasets, for `format="paper"`. `recipe`:
    a name for how the numbers were made; the file's name without one, so that two files don't
    mix unless somebody says that they may.

    A score outside the metric's range rejects its row, an empty cell is "not measured". Raises
    `DataError` with file and column for a table that can't be used at all, `UnknownNameError`
    for an unknown kind, format or metric, `InputError` for a metric of another kind of task.
    """
    path = Path(path)
    if kind not in KINDS:
        raise UnknownNameError("kind", kind, KINDS)
    if format is not None and format not in FORMATS:
        raise UnknownNameError("format", format, FORMATS)
    if not SAFE_NAME.fullmatch(task):
        raise InputError(f"task is {task!r}, but must be a name like 'text-classification'")
    metrics = _default_metrics(task, kind) if metric is None else _metrics(metric)
    if kind == "runs":
        for name in metrics.values():
            _check_metric(name, task)
    job = _Import(path, task, metrics, recipe or path.stem, datetime.now(UTC).isoformat())
    if format == "paper":
        lines = _paper_lines(path, datasets_file)
    else:
        lines = _table_lines(job, kind, format, dict(mapping or {}))
    rows = _runs(job, lines) if kind == "runs" else _proxies(job, lines)
    return _with_entries(job, rows)


def read_paper_matrix(
    matrix_file: str | Path, datasets_file: str | Path
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """The matrix format of the paper's code as (scores (M, D), models, datasets).

    `matrix_file`: tab-separated, models in the first line, then one line of M scores per
    dataset. `datasets_file`: one dataset name a line, in the same order. An empty cell is NaN.
    """
    matrix_file, datasets_file = Path(matrix_file), Path(datasets_file)
    lines = [line for line in _text(matrix_file).splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{matrix_file} is empty")
    datasets = [line.strip() for line in _text(datasets_file).splitlines() if line.strip()]
    models = [name.strip() for name in lines[0].split("\t")]
    for file, names in ((matrix_file, models), (datasets_file, datasets)):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{file}: the name {twice[0]!r} is there twice")
    if len(lines) - 1 != len(datasets):
        raise DataError(
            f"{matrix_file} has {len(lines) - 1} lines of scores, but {datasets_file} names "
            f"{len(datasets)} datasets"
        )
    scores = np.full((len(models), len(datasets)), np.nan)
    for j, line in enumerate(lines[1:]):
        cells = line.split("\t")
        if len(cells) != len(models):
            raise DataError(
                f"{matrix_file}, line {j + 2} ({datasets[j]}): {len(cells)} scores "
                f"for {len(models)} models"
            )
        for i, cell in enumerate(cells):
            if not _is_empty(cell):
                try:
                    scores[i, j] = _number(cell, models[i])
                except ValueError as error:
                    raise DataError(f"{matrix_file}, line {j + 2}: {error}") from error
    return scores, tuple(models), tuple(datasets)


# --------------------------------------------------------------------------- file -> lines


def _text(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"no file at {path}")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start})", hint="save the table as UTF-8 CSV"
        ) from error


def _table_lines(
    job: _Import, kind: str, format: str | None, mapping: dict[str, str]
) -> list[_Line]:
    """The measured cells of a long or wide table."""
    text = _text(job.path)
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)  # the first of equals: a comma
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    table: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                table.append((reader.line_num, [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise DataError(f"{job.path}, line {reader.line_num}: {error}") from error
    if not table:
        raise DataError(f"{job.path} is empty")
    header, body = table[0][1], table[1:]
    names = _rename(job, header, kind, mapping)
    required = COLUMNS[kind][0]
    is_long = all(name in names for name in required)
    if format is None and not is_long and names[0] != "model":
        raise DataError(
            f"{job.path} is neither long nor wide: its columns are {', '.join(header[:8])}",
            hint="long needs model,dataset,score; wide needs `model` first; or use --map model=...",
        )
    if format == "long" or (format is None and is_long):
        return _long_lines(job, kind, names, body)
    return _wide_lines(job, names, body)


def _rename(job: _Import, header: list[str], kind: str, mapping: dict[str, str]) -> list[str]:
    """The file's column names in our words; checked for doubles."""
    known = {name for group in COLUMNS[kind] for name in group}
    if kind == "proxies":  # a proxy's score is called its value
        mapping = {"score" if ours == "value" else ours: col for ours, col in mapping.items()}
        if "score" not in (*header, *mapping) and "value" in header:
            mapping = {"score": "value", **mapping}
    for ours, theirs in mapping.items():
        if ours not in known:
            raise UnknownNameError("column", ours, known)
        if theirs not in header:
            raise DataError(
                f"{job.path} has no column {theirs!r} (mapped to `{ours}`)",
                hint=f"its columns: {', '.join(header)}",
            )
        if ours in header and theirs != ours:
            raise DataError(f"{job.path}: `{ours}` is a column already and mapped to {theirs!r}")
    back = {theirs: ours for ours, theirs in mapping.items()}
    names = [back.get(name, name) for name in header]
    for number, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"{job.path}: column {number} has no name")
        if names.count(name) > 1:
            raise DataError(f"{job.path} has the column {name!r} twice")
    return names


def _long_lines(
    job: _Import, kind: str, names: list[str], body: list[tuple[int, list[str]]]
) -> list[_Line]:
    required, optional = COLUMNS[kind]
    for name in required:
        if name not in names:
            raise DataError(f"{job.path} has no column {name!r}", hint="name it with --map")
    for name in names:
        if name not in (*required, *optional):
            raise DataError(
                f"{job.path} has an unknown column {name!r}",
                hint=f"known: {', '.join((*required, *optional))}; map it or take it out",
            )
    if ("epoch" in names) != ("val" in names):
        there, missing = ("epoch", "val") if "epoch" in names else ("val", "epoch")
        raise DataError(
            f"{job.path} has a column {there!r} and none called {missing!r}",
            hint="a learning curve needs both: `val` is the validation score at that `epoch`",
        )
    lines = []
    for number, cells in body:
        if len(cells) != len(names):
            job.reject(f"line {number}", f"{len(cells)} cells for {len(names)} columns")
            continue
        values = dict(zip(names, cells, strict=True))
        blank = [name for name in ("model", "dataset") if not values[name]]
        if blank:
            job.reject(f"line {number}", f"column {blank[0]!r} is empty")
            continue
        lines.append(_Line(f"line {number}", values))
    return lines


def _wide_lines(job: _Import, names: list[str], body: list[tuple[int, list[str]]]) -> list[_Line]:
    if "model" not in names:
        raise DataError(f"{job.path} has no column 'model'", hint="name it with --map model=...")
    at = names.index("model")
    if len(names) < 2:
        raise DataError(f"{job.path} has no dataset column beside 'model'")
    lines: list[_Line] = []
    seen: dict[str, int] = {}
    for number, cells in body:
        if len(cells) != len(names):
            job.reject(f"line {number}", f"{len(cells)} cells for {len(names)} columns")
            continue
        model = cells[at]
        if not model:
            job.reject(f"line {number}", "column 'model' is empty")
            continue
        if model in seen:
            job.reject(f"line {number}", f"{model!r} is on line {seen[model]} already")
            continue
        seen[model] = number
        for column, cell in zip(names, cells, strict=True):
            if column != "model":
                values = {"model": model, "dataset": column, "score": cell}
                lines.append(_Line(f"line {number}, column {column!r}", values))
    return lines


def _paper_lines(path: Path, datasets_file: str | Path | None) -> list[_Line]:
    if datasets_file is None:
        raise InputError(
            f"{path}: the paper's format needs a file with the dataset names",
            hint="datasets_file=..., one name a line",
        )
    scores, models, datasets = read_paper_matrix(path, datasets_file)
    return [
        _Line(
            f"line {j + 2}, {model!r}",
            {"model": model, "dataset": dataset, "score": repr(float(scores[i, j]))},
        )
        for i, model in enumerate(models)
        for j, dataset in enumerate(datasets)
    ]


# --------------------------------------------------------------------------- lines -> rows


def _runs(job: _Import, lines: Sequence[_Line]) -> list[RunRecord]:
    """One run for every model, dataset, seed and recipe."""
    groups: dict[tuple[str, str, int, str], list[_Line]] = defaultdict(list)
    for line in lines:
        try:
            seed = _whole(line.values.get("seed", ""), "seed", 0)
        except ValueError as error:
            job.reject(line.where, str(error))
            continue
        recipe = _recipe(line.values.get("recipe") or job.recipe)
        groups[line.values["model"], line.values["dataset"], seed, recipe].append(line)
    runs = []
    for (model, dataset, seed, recipe), group in groups.items():
        key = RunKey(model, IMPORTED, dataset, IMPORTED, "", recipe, seed)
        run = _run(job, key, group)
        if run is not None:
            runs.append(run)
    return runs


def _run(job: _Import, key: RunKey, group: list[_Line]) -> RunRecord | None:
    """The run that a group of lines tells of; None if it was not measured or is rejected."""
    good: list[tuple[_Line, dict[str, float]]] = []
    for line in group:
        try:
            good.append((line, _numbers(line, _line_metric(job, line))))
        except (ValueError, InputError) as error:
            job.reject(line.where, _reason(error))
    good = [(line, v) for line, v in good if not (math.isnan(v["score"]) and math.isnan(v["val"]))]
    if not good:
        return None
    where = good[0][0].where
    metrics = {_line_metric(job, line) for line, _ in good}
    scores = {v["score"] for _, v in good if not math.isnan(v["score"])}
    points = [(v["epoch"], v["val"], v["seconds"]) for _, v in good if not math.isnan(v["epoch"])]
    if not scores:
        job.reject(where, f"{key.model} on {key.dataset} has a curve but no final score")
        return None
    if len(metrics) > 1:
        job.reject(where, f"{key.model} on {key.dataset} has two metrics: {sorted(metrics)}")
        return None
    plain = [line for line, v in good if math.isnan(v["epoch"])]
    if len(scores) > 1 or len(plain) > 1:
        found = ", ".join(f"{s:g}" for s in sorted(scores))
        job.reject(
            where,
            f"{key.model} on {key.dataset}, seed {key.seed}, has {len(good)} rows "
            f"(scores {found}); several runs need a `seed`, a curve needs `epoch` and `val`",
        )
        return None
    points.sort()
    if any(a[0] == b[0] for a, b in pairwise(points)):
        job.reject(where, f"{key.model} on {key.dataset} has an epoch twice")
        return None
    total = [v["seconds"] for _, v in good if not math.isnan(v["seconds"])]
    baselines = [v["baseline"] for _, v in good if not math.isnan(v["baseline"])]
    curve = LearningCurve.empty()
    if points:
        epochs, val, seconds = (np.array(column) for column in zip(*points, strict=True))
        nothing = np.full(len(points), np.nan)
        curve = LearningCurve(epochs, val, nothing, nothing, seconds)
    try:
        run = RunRecord(
            key=key,
            task=job.task,
            metric=metrics.pop(),
            status="ok",
            curve=curve,
            test=scores.pop(),
            baseline=baselines[0] if baselines else NAN,
            seconds=max(total) if total else NAN,
            origin=f"imported:{job.path.name}",
            created=job.created,
        )
        check(run)
    except ValueError as error:
        job.reject(where, str(error))
        return None
    return run


def _line_metric(job: _Import, line: _Line) -> str:
    name = line.values.get("metric") or _metric_of(job.metrics, line.values["dataset"])
    return _check_metric(name, job.task)


def _proxies(job: _Import, lines: Sequence[_Line]) -> list[ProxyRow]:
    if not job.metrics and not any(line.values.get("proxy") for line in lines):
        raise DataError(
            f"{job.path} doesn't say which proxy its scores are of",
            hint="name it as the metric, or in a column `proxy`",
        )
    rows: dict[tuple[str, str, str], ProxyRow] = {}
    for line in lines:
        values = line.values
        try:
            name = values.get("proxy") or _metric_of(job.metrics, values["dataset"])
            value = _number(values["score"], "score")
            if math.isnan(value):
                continue
            row = ProxyRow(
                model=values["model"],
                model_revision=IMPORTED,
                dataset=values["dataset"],
                dataset_revision=IMPORTED,
                proxy=name,
                value=value,
                seconds=_number(values.get("seconds", ""), "seconds"),
                rows=_whole(values.get("rows", ""), "rows", 0),
                task=job.task,
            )
            check(row)
        except (ValueError, InputError) as error:
            job.reject(line.where, _reason(error))
            continue
        if (row.model, row.dataset, row.proxy) in rows:
            job.reject(line.where, f"{row.proxy} of {row.model} on {row.dataset} is there already")
            continue
        rows[row.model, row.dataset, row.proxy] = row
    return list(rows.values())


def _with_entries(job: _Import, rows: list[RunRecord] | list[ProxyRow]) -> Imported:
    """Rows together with the entries of their models and datasets."""
    models: dict[str, ModelEntry] = {}
    datasets: dict[str, DatasetEntry] = {}
    for row in rows:
        if isinstance(row, RunRecord):
            model, dataset, metric = row.key.model, row.key.dataset, row.metric
            models[model] = ModelEntry(model, IMPORTED, job.task)
            datasets[dataset] = DatasetEntry(
                dataset, IMPORTED, job.task, (), "", 0, metric, baseline=row.baseline
            )
        else:
            models[row.model] = ModelEntry(row.model, IMPORTED, job.task)
    return Imported(rows, list(models.values()), list(datasets.values()), job.rejected)


# ---------------------------------------------------------------------------------- values


def _numbers(line: _Line, metric: str) -> dict[str, float]:
    """The numbers of a long row, checked; NaN = empty."""
    names = ("score", "val", "epoch", "seconds", "baseline")
    numbers = {name: _number(line.values.get(name, ""), name) for name in names}
    valid = get_metric(metric)
    for name in ("score", "val", "baseline"):
        value = numbers[name]
        if not math.isnan(value) and not valid.valid(value):
            low, high = valid.bounds
            hint = "; divide percentages by 100" if high == 1.0 and 1 < value <= 100 else ""
            raise ValueError(
                f"{name} {value:g} is outside the range of {metric} [{low:g}, {high:g}]{hint}"
            )
    if numbers["epoch"] <= 0 or numbers["seconds"] < 0:
        raise ValueError("`epoch` must be above 0 and `seconds` not negative")
    return numbers


def _number(text: str, name: str) -> float:
    """A number, or NaN for an empty cell; a `ValueError` names the column."""
    if _is_empty(text):
        return NAN
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}, which is not a number") from None
    if math.isinf(value):
        raise ValueError(f"{name} is {text!r}, but must be finite")
    return value


def _whole(text: str, name: str, default: int) -> int:
    if _is_empty(text):
        return default
    if not re.fullmatch(r"\+?\d{1,18}(\.0+)?", text.strip()):
        raise ValueError(f"{name} is {text!r}, but must be a whole number, 0 or more")
    return int(float(text)) if "." in text else int(text)


def _is_empty(text: str) -> bool:
    return text.strip().lower() in EMPTY


def _reason(error: Exception) -> str:
    hint = getattr(error, "hint", "")
    return f"{error} ({hint})" if hint else str(error)


def _check_metric(name: str, task: str) -> str:
    """The metric itself, or an error if it is unknown or its scores can't be of that task."""
    metric = get_metric(name)
    kind = TASK_KINDS.get(task, metric.kind)
    if not metric.fits(kind):
        fitting = ", ".join(m.name for m in METRICS.values() if m.kind == kind)
        raise InputError(
            f"{name} is a metric for {metric.kind}, but {task} is {kind}",
            hint=f"metrics that fit: {fitting}",
        )
    return name


def _default_metrics(task: str, kind: str) -> dict[str, str]:
    """What scores are of when nobody said; a proxy score has no default."""
    if kind == "proxies":
        return {}
    return {"*": DEFAULT_METRICS[TASK_KINDS[check_task_name(task)]]}


def _metrics(metric: str | Mapping[str, str]) -> dict[str, str]:
    """Dataset -> metric, `"*"` for the others."""
    if not isinstance(metric, str):
        return dict(metric)
    found: dict[str, str] = {}
    for part in metric.split(","):
        dataset, equals, name = part.partition("=")
        key, value = (dataset.strip(), name.strip()) if equals else ("*", dataset.strip())
        if not key or not value or key in found:
            raise InputError(
                f"metric is {metric!r}, but must be a name or name,dataset=name,...",
                hint="for example accuracy,cola=matthews_correlation",
            )
        found[key] = value
    return found


def _metric_of(metrics: Mapping[str, str], dataset: str) -> str:
    if dataset in metrics:
        return metrics[dataset]
    if "*" not in metrics:
        raise InputError(f"no metric is given for dataset {dataset!r}", hint="give a default one")
    return metrics["*"]


def _recipe(name: str) -> str:
    """The recipe of imported runs: readable where the name allows it, a digest where not."""
    safe = name if SAFE_NAME.fullmatch(name) else digest(name)
    return f"imported-{safe}"
