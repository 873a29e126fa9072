"""A data set as a target or a benchmark: one shape for all sources, checked before use.

>>> target = load_target("reviews.csv", text_column="review")     # doctest: +SKIP
>>> target.task, target.num_labels, len(target.test)              # doctest: +SKIP
('text-classification', 2, 300)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import AccessError, DataError, HubError, InputError
from hf_select.foreign_metrics import PREFIX
from hf_select.metrics import METRICS
from hf_select.records import DatasetEntry
from hf_select.spans import are_span_tags
from hf_select.tasks import choice_rows, token_rows
from hf_select.tasks.base import Task, get_task
from hf_select.tasks.checks import Check, data_checks, left_out, other_columns
from hf_select.tasks.columns import Columns, choose_columns, is_image_feature
from hf_select.tasks.contents import Contents, look_at
from hf_select.tasks.encoded import Answers, label_array, reference_array
from hf_select.tasks.frames import Split, is_a, row_numbers
from hf_select.tasks.hubdata import HubData
from hf_select.tasks.labels import (
    Labels,
    check_known,
    check_repeats,
    check_split,
    read_labels,
)
from hf_select.tasks.pictures import file_at
from hf_select.tasks.pixels import image_hash
from hf_select.tasks.rows import Rows, check_untouched
from hf_select.tasks.scoring import check_allowed, scorer
from hf_select.tasks.sources import Source, read_source, with_parts
from hf_select.tasks.splitnames import SPLITS
from hf_select.tasks.splits import SHARE, set_apart
from hf_select.tasks.textfile import Reading

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

CHUNK = 256
"""Images whose bytes are in memory at once while they are checked."""

NAMED = 5
"""Broken images that an error names."""


@dataclass(frozen=True, eq=False)
class TargetData:
    """A data set, ready for a task: three splits that are kept apart.

    Columns of a split: `text` [, `text_pair`] or `image`; `label`: class ids 0..C-1 or float32.
    Of words: `tokens` and `tags`, lists, and `label`, the rarest of a row's tags. With choices:
    `text`, `choices`, a list, and `label`, the right one's place.
    `input_columns` and `label_column` are their names in the source. `fingerprint`: 40 hex digits
    of the content of all three splits, the same from whichever kind of file it came. `revision`:
    the commit of a Hub data set, "" for a local one; `config`: its config, "" if it has one only.
    `notes` say what was inferred or made. `label_mean` and `label_std` are those of the train
    split, for regression; 0 and 1 for classification.

    A target is known as one of a record's benchmarks by its `fingerprint`, whichever kind of file
    it lies in, and by its name where both are Hub data sets (at whichever commits).
    """

    name: str
    task: str
    metric: str
    train: datasets.Dataset
    validation: datasets.Dataset
    test: datasets.Dataset
    label_names: tuple[str, ...]
    num_labels: int
    input_columns: tuple[str, ...]
    label_column: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    label_mean: float = 0.0
    label_std: float = 1.0
    config: str = ""
    revision: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)  # split -> its name in the source
    rows: Mapping[str, NDArray[np.int64]] = field(default_factory=dict, repr=False)
    hashes: Mapping[str, NDArray[np.void]] = field(default_factory=dict, repr=False)
    read: tuple[Check, ...] = ()  # what was seen while reading

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """What to know of the data before anything is trained on it; made when asked for."""
        return (*self.read, *data_checks(self))

    def split(self, name: str) -> datasets.Dataset:
        """The split of that name."""
        if name not in SPLITS:
            raise InputError(f"no split {name!r}", hint=f"splits: {', '.join(SPLITS)}")
        dataset: datasets.Dataset = getattr(self, name)
        return dataset

    def labels(self, split: str) -> NDArray:
        """The labels of a split (N,): int64 class ids or float32 values."""
        return label_array(self.split(split))

    def references(self, split: str) -> NDArray:
        """What a split's score compares with: the labels (N,), or the tags of its words (W,)."""
        return reference_array(self.split(split))

    def trivial(self, split: str = "test") -> float:
        """The raw score of the predictor that knows no input (majority class, mean value)."""
        return scorer(self.metric).trivial(self.references(split))

    @cached_property
    def majority(self) -> int:
        """The most frequent class of the train split (of its words, where each has one)."""
        return int(np.bincount(self.references("train")).argmax()) if self.label_names else 0

    def score(self, answers: Answers) -> float:
        """The raw score of answers, by this target's metric."""
        metric = scorer(self.metric)
        if metric.sequences:
            answers = answers.as_tags(self.label_names)
        return metric(answers.predictions, answers.references)

    def scores(self, answers: Answers) -> dict[str, float]:
        """The same by this target's metric and by all of ours that fit its task."""
        kind = get_task(self.task).kind
        others = (m for m in METRICS.values() if m.kind == kind and not m.sequences)
        found = {m.name: m(answers.predictions, answers.references) for m in others}
        return found | {self.metric: self.score(answers)}


def load_target(
    source: str | Path | HubData,
    *,
    task: str | None = None,
    config: str | None = None,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    choice_columns: Sequence[str] | None = None,
    metric: str | None = None,
    train: str | Path | None = None,
    validation: str | Path | None = None,
    test: str | Path | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    seed: int = 0,
    name: str | None = None,
) -> TargetData:
    """Read, infer what wasn't stated, make missing splits (with `seed`), check all of it.

    `source`: a CSV, TSV, JSONL, JSON, parquet or CoNLL file (gzipped or not), a folder with
    train/validation/test files, a `save_to_disk` folder, a folder of images by class or with a
    metadata file, or a Hub data set (a text such as `owner/name`, for which `config` is, or
    `HubData`). Of words with tags `text_column` has the words; of a multiple choice
    `choice_columns` are one column a choice, or one of lists. `train`, `validation` and `test`:
    another file or folder for that split, or which of the source's splits it is. `encoding`,
    `delimiter` and `header` (whether there is one) are those of text files. No model is looked at
    and nothing is written but the Hub's cache. Raises `DataError`, `InputError` or
    `UnknownNameError`; `HubError` without a network.
    """
    target = _load(
        source,
        task=task,
        config=config,
        text=text_column,
        text_pair=text_pair_column,
        image=image_column,
        label=label_column,
        choices=tuple(choice_columns or ()),
        metric=metric,
        parts={
            split: part
            for split, part in (("train", train), ("validation", validation), ("test", test))
            if part is not None
        },
        reading=Reading(encoding, delimiter, header),
        seed=seed,
        name=name,
    )
    _check_scorable(target)
    return target


def load_benchmark(entry: DatasetEntry, location: Path | None) -> TargetData:
    """A benchmark of a catalog, from its local path or, without one, from the Hub at its commit.

    A local one whose content is not what was catalogued raises `DataError`: its runs would stand
    in the record under the wrong revision. What says nothing about the data raises `HubError`: no
    network, offline mode, a wrong token, a metric of `evaluate` that this machine may not run or
    can't load, or that can't score such labels.
    """
    try:
        check_allowed(entry.metric, entry.repo_id)
        if entry.metric.startswith(PREFIX):
            scorer(entry.metric)
    except InputError as error:  # this machine's set-up
        raise HubError(error.message, hint=error.hint) from error
    is_image = get_task(entry.task).input_columns == ("image",)
    choices: tuple[str, ...] = ()
    inputs: tuple[str | None, ...] = (*entry.input_columns, None, None)
    if entry.task == choice_rows.TASK:
        text, choices = choice_rows.stated_choices(entry.input_columns)
        inputs = (text, None)
    try:
        target = _load(
            location or HubData(entry.repo_id, entry.config, entry.revision),
            task=entry.task,
            config=None,
            text=None if is_image else inputs[0],
            text_pair=None if is_image else inputs[1],
            image=inputs[0] if is_image else None,
            label=entry.label_column,
            choices=choices,
            metric=entry.metric,
            seed=0,
            name=entry.repo_id,
        )
    except AccessError as error:  # this machine's set-up
        raise HubError(error.message, hint=error.hint) from error
    if location is not None and target.fingerprint != entry.revision:
        raise DataError(
            f"{location} is not what the catalog lists as {entry.repo_id}: its content is "
            f"{target.fingerprint}, the catalog says {entry.revision}",
            hint="restore the data, or catalogue it again under its new revision",
        )
    try:
        _check_scorable(target)
    except InputError as error:
        raise HubError(error.message, hint=error.hint) from error
    return target


def _check_scorable(target: TargetData) -> None:
    """Refuse an `evaluate` metric that can't score these labels: one of two classes, of three."""
    if target.metric.startswith(PREFIX):
        for split in ("validation", "test"):
            target.trivial(split)


def dataset_entry(
    target: TargetData, *, repo_id: str | None = None, license: str = ""
) -> DatasetEntry:
    """The catalog entry of a loaded data set.

    Its revision is the commit of a Hub data set, else the fingerprint of its content.
    """
    own_name = target.name.removesuffix(f"/{target.config}") if target.config else target.name
    return DatasetEntry(
        repo_id=repo_id or own_name,
        revision=target.revision or target.fingerprint,
        task=target.task,
        input_columns=target.input_columns,
        label_column=target.label_column,
        num_labels=target.num_labels,
        metric=target.metric,
        config=target.config,
        label_names=target.label_names,
        splits={split: len(target.split(split)) for split in SPLITS},
        baseline=target.trivial("test"),
        license=license,
        fingerprint=target.fingerprint,
    )


def _load(
    location: str | Path | HubData,
    *,
    task: str | None,
    config: str | None,
    text: str | None,
    text_pair: str | None,
    image: str | None,
    label: str | None,
    choices: tuple[str, ...],
    metric: str | None,
    seed: int,
    name: str | None,
    parts: Mapping[str, str | Path] | None = None,
    reading: Reading | None = None,
) -> TargetData:
    if task is not None:
        known = get_task(task)
        if metric is not None:
            _check_metric(metric, known)
        if known.input_columns == ("image",) and (text is not None or text_pair is not None):
            raise InputError(f"{task} takes an image column, but a text column was stated")
        if known.input_columns != ("image",) and image is not None:
            raise InputError(f"{task} takes text columns, but an image column was stated")
    elif metric is not None:
        scorer(metric)
    source = read_source(location, config=config, reading=reading)
    if parts:
        source = with_parts(source, parts, reading)
    splits, notes = _named_splits(source)
    first = "train" if "train" in splits else "all"
    where = {split: source.where[origin] for split, origin in source.roles.items()}
    rows = read_lists(
        splits,
        where,
        task=task,
        text=text,
        text_pair=text_pair,
        image=image,
        label=label,
        choices=choices,
    )
    if rows is not None:
        return _of_lists(rows, source, notes, metric=metric, seed=seed, name=name)
    looked: dict[str, Contents] = {}

    def look(column: str) -> Contents:
        if column not in looked:
            looked[column] = look_at(splits[first].data.column(column))
        return looked[column]

    columns = choose_columns(
        splits[first].features,
        where=source.where[source.roles[first]],
        task=task,
        text=text,
        text_pair=text_pair,
        image=image,
        label=label,
        look=look,
    )
    notes += _without_labels(splits, columns, parts or {})
    _check_columns(splits, (*columns.inputs, columns.label), where)
    labels = _labels(splits, columns, where, task)
    kind = "image" if columns.is_image else "text"
    task = task or f"{kind}-{'regression' if labels.regression else 'classification'}"
    metric = metric or get_task(task).default_metric
    _check_metric(metric, get_task(task))

    tables, hashes, values, numbers = {}, {}, {}, {}
    read: list[Check] = []
    for split in labels.values:
        inputs = _inputs(splits[split], columns, source.folder, where[split])
        inputs, values[split], kept = _complete(inputs, labels, split)
        every = row_numbers(splits[split])
        numbers[split] = every[kept]
        read += left_out(
            numbers[split], every, every[labels.rows[split]], where[split], columns.label
        )
        what = where[split] if len(splits) == 1 else f"{where[split]}: the {split} split"
        check_split(values[split], names=labels.names, what=what, column=columns.label)
        if labels.names and split in ("all", "train"):
            check_repeats(values[split], what=where[split], column=columns.label)
        hashes[split] = _hashes(inputs, where[split], numbers[split])
        tables[split] = _table(inputs, values[split], labels.names, hashes[split])
    made = _make_missing(tables, values, hashes, numbers, seed)
    for split in made:
        _check_made(
            values[split], labels, source, split, columns.label, sum(map(len, numbers.values()))
        )
    if labels.names:
        check_known(
            values, labels.names, source.name if source.revision else str(location), numbers
        )
    other = [c for c in splits[first].column_names if c not in (*columns.inputs, columns.label)]
    regression = labels.regression
    return TargetData(
        name=name or source.name,
        task=task,
        metric=metric,
        train=tables["train"],
        validation=tables["validation"],
        test=tables["test"],
        label_names=labels.names,
        num_labels=1 if regression else len(labels.names),
        input_columns=columns.inputs,
        label_column=columns.label,
        fingerprint=_fingerprint(values, hashes),
        notes=(
            *source.notes,
            *notes,
            *columns.notes,
            *labels.notes,
            *made.values(),
            *_copies(hashes),
        ),
        label_mean=float(values["train"].mean(dtype=np.float64)) if regression else 0.0,
        label_std=float(values["train"].std(dtype=np.float64)) if regression else 1.0,
        config=source.config,
        revision=source.revision,
        origins={split: name for split, name in source.roles.items() if split in SPLITS},
        rows={split: numbers[split] for split in SPLITS},
        hashes={split: hashes[split] for split in SPLITS},
        read=(*read, *other_columns({name: look(name) for name in other})),
    )


def read_lists(
    splits: Mapping[str, Split],
    where: Mapping[str, str],
    *,
    task: str | None,
    text: str | None,
    text_pair: str | None,
    image: str | None,
    label: str | None,
    choices: tuple[str, ...],
) -> Rows | None:
    """Rows of words with tags, or with choices, where the task or the columns say so, else None."""
    first = next(iter(splits))
    features = splits[first].features
    if choices and task is None:
        task = choice_rows.TASK
    unstated = task is None and (text, text_pair, image, label) == (None, None, None, None)
    if task == token_rows.TASK or (unstated and token_rows.find_token_columns(features)):
        check_untouched(
            token_rows.TASK,
            second_text=text_pair,
            image_column=image,
            choice_columns=choices or None,
        )
        words = token_rows.find_token_columns(features) if unstated else None
        words = words or token_rows.choose_token_columns(
            features, where=where[first], text=text, label=label
        )
        _check_columns(splits, (words.tokens, words.tags), where)
        return token_rows.read_tokens(splits, words, where)
    if task == choice_rows.TASK or (unstated and choice_rows.find_choice_columns(features)):
        check_untouched(choice_rows.TASK, second_text=text_pair, image_column=image)
        found = choice_rows.find_choice_columns(features) if unstated else None
        found = found or choice_rows.choose_choice_columns(
            features, where=where[first], text=text, choices=choices, label=label
        )
        _check_columns(splits, (*found.inputs, found.label), where)
        return choice_rows.read_choices(splits, found, where)
    if choices:
        raise InputError(f"{task} takes no choices, but choice columns were stated")
    return None


def _of_lists(
    rows: Rows, source: Source, notes: list[str], *, metric: str | None, seed: int, name: str | None
) -> TargetData:
    """The target of such rows, missing splits made."""
    metric = metric or rows.metric
    _check_metric(metric, get_task(rows.task), rows.names)
    tables, hashes = dict(rows.tables), dict(rows.hashes)
    for split, table in tables.items():
        what = rows.where[split]
        if len(tables) > 1:
            what = f"{what}: the {split} split"
        check_split(reference_array(table), names=rows.names, what=what, column=rows.label)
    labels = {split: label_array(table) for split, table in tables.items()}
    numbers = dict(rows.numbers)
    made = _make_missing(tables, labels, hashes, numbers, seed)
    values = {split: reference_array(table) for split, table in tables.items()}
    for split in made:
        check_split(
            values[split],
            names=rows.names,
            what=f"{source.name}: the {split} split that was made from the other rows",
            column=rows.label,
        )
    return TargetData(
        name=name or source.name,
        task=rows.task,
        metric=metric,
        train=tables["train"],
        validation=tables["validation"],
        test=tables["test"],
        label_names=rows.names,
        num_labels=len(rows.names),
        input_columns=rows.inputs,
        label_column=rows.label,
        fingerprint=_fingerprint(values, hashes),
        notes=(
            *source.notes,
            *notes,
            *rows.notes,
            *_new_in(values, rows.names),
            *made.values(),
            *_copies(hashes),
        ),
        config=source.config,
        revision=source.revision,
        origins={split: name for split, name in source.roles.items() if split in SPLITS},
        rows={split: numbers[split] for split in SPLITS},
        hashes={split: hashes[split] for split in SPLITS},
    )


def _new_in(values: Mapping[str, NDArray], names: tuple[str, ...]) -> list[str]:
    """A note for classes of validation or test that train doesn't hold: nothing can learn them."""
    known = set(np.unique(values["train"]).tolist())
    notes = []
    for split in ("validation", "test"):
        new = sorted(set(np.unique(values[split]).tolist()) - known)
        if new:
            shown = ", ".join(names[i] for i in new[:5]) + (", ..." if len(new) > 5 else "")
            notes.append(f"in {split} but not in train: {shown}")
    return notes


def _check_metric(name: str, task: Task, names: tuple[str, ...] = ()) -> None:
    """Refuse a metric that doesn't fit the task, or the tags, where their `names` are known."""
    metric = scorer(name)
    if metric.sequences and (task.name != token_rows.TASK or (names and not are_span_tags(names))):
        why = "the tags mark no spans (B-, I-, O)" if names else f"the task is {task.name}"
        raise InputError(
            f"metric {name!r} is for tags that mark spans, but {why}",
            hint="word metrics are accuracy, f1 and matthews_correlation",
        )
    if not metric.fits(task.kind):
        raise InputError(
            f"metric {name!r} is for {metric.kind}, but the task is {task.name}",
            hint=f"the default is {task.default_metric}",
        )


def _named_splits(source: Source) -> tuple[dict[str, Split], list[str]]:
    found = source.roles
    if not {"train", "all"} & set(found):
        raise DataError(
            f"{source.name} has no train split",
            hint=f"splits: {', '.join(source.splits)}; --train says which of them it is",
        )
    other = [name for name in source.splits if name not in found.values()]
    notes = [f"splits that are not used: {', '.join(other)}"] if other else []
    return {split: source.splits[name] for split, name in found.items()}, notes


def _without_labels(
    splits: dict[str, Split], columns: Columns, stated: Mapping[str, object]
) -> list[str]:
    """Take out, in place, splits that come without the label column, as those of contests do."""
    notes = []
    for split in ("validation", "test"):
        if split in splits and split not in stated:
            names = splits[split].column_names
            if columns.label not in names and all(name in names for name in columns.inputs):
                del splits[split]
                notes.append(
                    f"the {split} split has no column {columns.label!r}, so it is not used"
                )
    return notes


def _check_columns(
    splits: Mapping[str, Split], columns: Iterable[str], where: Mapping[str, str]
) -> None:
    for split, dataset in splits.items():
        for column in columns:
            if column not in dataset.column_names:
                raise DataError(
                    f"{where[split]} has no column {column!r}, which other splits have",
                    hint=f"columns: {', '.join(dataset.column_names)}",
                )
        if len(dataset) == 0:
            what = "it is empty: no rows" if split == "all" else f"the {split} split is empty"
            raise DataError(f"{where[split]}: {what}", hint="are there rows below the header?")


def _labels(
    splits: Mapping[str, Split],
    columns: Columns,
    where: Mapping[str, str],
    task: str | None,
) -> Labels:
    cells = {split: dataset.data.column(columns.label) for split, dataset in splits.items()}
    features = {split: dataset.features[columns.label] for split, dataset in splits.items()}
    first = features["train" if "train" in features else "all"]
    for split, feature in features.items():
        if not any(is_a(f, "ClassLabel") for f in (first, feature)):
            continue
        if feature != first:
            cells[split] = _by_names(cells[split], feature, first, columns.label, where[split])
    regression = get_task(task).kind == "regression" if task else None
    classes = is_a(first, "ClassLabel")
    if classes:
        regression = bool(regression)
    return read_labels(
        cells,
        column=columns.label,
        where=where,
        class_names=tuple(first.names) if classes else None,
        regression=regression,
        numbers={split: row_numbers(dataset) for split, dataset in splits.items()},
    )


def _by_names(
    cells: pa.ChunkedArray, feature: Any, first: Any, column: str, where: str
) -> pa.ChunkedArray:
    """Class ids of one split as those of the train split, which has the same names and others."""
    import pyarrow as pa

    both = is_a(feature, "ClassLabel") and is_a(first, "ClassLabel")
    if not both or not set(feature.names) <= set(first.names):
        raise DataError(
            f"{where}: column {column!r} doesn't have the classes that the train split has",
            hint="all splits must name them alike, and train must have all of them",
        )
    ids = {i: first.names.index(name) for i, name in enumerate(feature.names)}
    return pa.chunked_array([pa.array([ids.get(i, -1) for i in cells.to_pylist()], pa.int64())])


def _inputs(
    dataset: Split, columns: Columns, folder: Path, where: str
) -> dict[str, pa.ChunkedArray]:
    """The input columns under their normalised names: text, or undecoded images."""
    import pyarrow as pa

    if columns.is_image:
        import datasets

        (column,) = columns.inputs
        cells, image = dataset.data.column(column), datasets.Image()
        if not is_image_feature(dataset.features[column]):
            if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
                raise DataError(f"{where}: column {column!r} holds {cells.type}, not images")
            paths = [None if p is None else str(file_at(folder, p)) for p in cells.to_pylist()]
            cells = pa.chunked_array([pa.array(paths, pa.string())])
        chunks = [image.cast_storage(chunk) for chunk in cells.chunks]
        return {"image": pa.chunked_array(chunks, image.pa_type)}
    texts = {}
    for name, column in zip(("text", "text_pair"), columns.inputs, strict=False):
        cells = dataset.data.column(column)
        if not pa.types.is_large_string(cells.type):
            if pa.types.is_nested(cells.type) or pa.types.is_binary(cells.type):
                raise DataError(
                    f"{where}: column {column!r} holds {cells.type}, not text",
                    hint="state another --text-column, or write the texts as strings",
                )
            cells = cells.cast(pa.string())
        texts[name] = cells
    return texts


def _complete(
    inputs: Mapping[str, pa.ChunkedArray], labels: Labels, split: str
) -> tuple[dict[str, pa.ChunkedArray], NDArray, NDArray[np.int64]]:
    """Inputs, labels (N,) and places from 0 (N,) of the rows that have both."""
    import pyarrow as pa

    rows, values = labels.rows[split], labels.values[split]
    total = len(next(iter(inputs.values())))
    there = np.ones(total, dtype=bool)
    for cells in inputs.values():
        if cells.null_count:
            there &= ~np.asarray(cells.is_null())
    values, rows = values[there[rows]], rows[there[rows]]
    if len(rows) < total:
        inputs = {name: cells.take(pa.array(rows)) for name, cells in inputs.items()}
    return dict(inputs), values, rows


def _hashes(
    inputs: Mapping[str, pa.ChunkedArray], where: str, rows: NDArray[np.int64]
) -> NDArray[np.void]:
    """20 bytes a row (N,) that name its input; images are decoded, so broken ones are found."""
    found: list[bytes] = []
    broken: list[DataError] = []
    if "image" in inputs:
        cells = inputs["image"]
        for start in range(0, len(cells), CHUNK):
            for i, cell in enumerate(cells.slice(start, CHUNK).to_pylist(), start=start):
                try:
                    found.append(image_hash(cell, f"row {rows[i]} of {where}"))
                except DataError as error:
                    broken.append(error)
        _check_images(broken, len(cells))
    else:
        columns = [cells.to_pylist() for cells in inputs.values()]
        for row in zip(*columns, strict=True):
            state = hashlib.sha1(usedforsecurity=False)
            for text in row:
                data = text.encode("utf-8", "surrogatepass")
                state.update(len(data).to_bytes(8, "little") + data)
            found.append(state.digest())
    return np.frombuffer(b"".join(found), dtype="V20")


def _check_images(broken: list[DataError], total: int) -> None:
    if len(broken) == 1:
        raise DataError(broken[0].message, hint="remove it, or replace it by a whole one")
    if broken:
        shown = "; ".join(error.message for error in broken[:NAMED])
        more = f"; and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
        raise DataError(
            f"{len(broken)} of {total} images can't be used: {shown}{more}",
            hint="remove them, or replace them by whole ones",
        )


def _table(
    inputs: Mapping[str, pa.ChunkedArray],
    labels: NDArray,
    names: tuple[str, ...],
    hashes: NDArray[np.void],
) -> datasets.Dataset:
    """A split under the normalised names."""
    import datasets
    import pyarrow as pa

    features = {
        name: datasets.Image() if name == "image" else datasets.Value(str(cells.type))
        for name, cells in inputs.items()
    }
    label = datasets.ClassLabel(names=list(names)) if names else datasets.Value("float32")
    return datasets.Dataset(
        datasets.table.InMemoryTable(pa.table({**inputs, "label": pa.array(labels)})),
        info=datasets.DatasetInfo(features=datasets.Features({**features, "label": label})),
        # Its own way to find one hashes all that is in memory by pickling it.
        fingerprint=_fingerprint({"all": labels}, {"all": hashes})[:16],
    )


def _make_missing(
    tables: dict[str, datasets.Dataset],
    values: dict[str, NDArray],
    hashes: dict[str, NDArray[np.void]],
    rows: dict[str, NDArray[np.int64]],
    seed: int,
) -> dict[str, str]:
    """Fill in the splits that are missing, in place; returns a note for each that was made."""
    parts: tuple[dict[str, Any], ...] = (tables, values, hashes, rows)
    if "all" in tables:
        for part in parts:
            part["train"] = part.pop("all")
    missing = [split for split in ("test", "validation") if split not in tables]
    share = SHARE
    made = {}
    for split in missing:
        groups = np.unique(hashes["train"], return_inverse=True)[1]
        keep, apart = set_apart(values["train"], groups, share=share, seed=seed)
        tables[split], tables["train"] = tables["train"].select(apart), tables["train"].select(keep)
        for part in parts[1:]:
            part[split], part["train"] = part["train"][apart], part["train"][keep]
        how = "stratified, " if values["train"].dtype.kind != "f" else "stratified by value, "
        made[split] = (
            f"no {split} split: {len(apart)} rows of train set apart "
            f"({100 * SHARE:.0f} %, {how}seed {seed})"
        )
        share = SHARE / (1 - SHARE)  # of what is left, so that both get the same number
    return made


def _check_made(
    values: NDArray, labels: Labels, source: Source, split: str, column: str, rows: int
) -> None:
    """A made split that can be scored; with too few rows there is none."""
    what = f"{source.name}: the {split} split that was made from the other rows"
    try:
        check_split(values, names=labels.names, what=what, column=column)
    except DataError as error:
        raise DataError(
            f"{error.message}; there are {rows} rows",
            hint="more rows are needed, at least three different ones of two classes"
            if labels.names
            else "more rows are needed",
        ) from error


def _copies(hashes: Mapping[str, NDArray[np.void]]) -> list[str]:
    """A note for rows of validation or test whose input is also in train."""
    notes = []
    known = set(hashes["train"].tolist())
    for split in ("validation", "test"):
        count = sum(row in known for row in hashes[split].tolist())
        if count:
            notes.append(f"{count} of {len(hashes[split])} {split} rows have a copy in train")
    return notes


def _fingerprint(values: Mapping[str, NDArray], hashes: Mapping[str, NDArray[np.void]]) -> str:
    """40 hex digits of inputs and labels, in their order, split by split."""
    state = hashlib.sha1(usedforsecurity=False)
    for split in sorted(values):
        labels = values[split]
        state.update(f"{split} {len(labels)} ".encode())
        state.update(hashes[split].tobytes())
        state.update(labels.astype("<f4" if labels.dtype.kind == "f" else "<i8").tobytes())
    return state.hexdigest()
