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
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import AccessError, DataError, HubError, InputError
from hf_select.metrics import get_metric
from hf_select.records import DatasetEntry
from hf_select.spans import are_span_tags
from hf_select.tasks import choice_rows, token_rows
from hf_select.tasks.base import Task, get_task
from hf_select.tasks.columns import Columns, choose_columns, is_image_feature
from hf_select.tasks.encoded import Answers, label_array, reference_array
from hf_select.tasks.hubdata import HubData
from hf_select.tasks.labels import Labels, check_known, check_split, read_labels
from hf_select.tasks.pixels import image_hash
from hf_select.tasks.rows import Rows, check_untouched
from hf_select.tasks.sources import SPLITS, Source, read_source, split_origins
from hf_select.tasks.splits import SHARE, set_apart

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

CHUNK = 256
"""Images whose bytes are in memory at once while they are checked."""


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
        return get_metric(self.metric).trivial(self.references(split))

    @cached_property
    def majority(self) -> int:
        """The most frequent class of the train split (of its words, where each has one)."""
        return int(np.bincount(self.references("train")).argmax()) if self.label_names else 0

    def score(self, answers: Answers) -> float:
        """The raw score of answers, by this target's metric."""
        metric = get_metric(self.metric)
        if metric.sequences:
            answers = answers.as_tags(self.label_names)
        return metric(answers.predictions, answers.references)


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
    seed: int = 0,
    name: str | None = None,
) -> TargetData:
    """Read, infer what wasn't stated, make missing splits (with `seed`), check all of it.

    `source`: a CSV, TSV, JSONL, parquet or CoNLL file, a folder with train/validation/test files, a
    `save_to_disk` folder, an image folder, or a Hub data set (a text such as `owner/name`, for
    which `config` is, or `HubData`). Of words with tags `text_column` has the words; of a multiple
    choice `choice_columns` are one column a choice, or one of lists. No model is looked at and
    nothing is written but the Hub's cache. Raises `DataError`, `InputError` or
    `UnknownNameError`; `HubError` without a network.
    """
    return _load(
        source,
        task=task,
        config=config,
        text=text_column,
        text_pair=text_pair_column,
        image=image_column,
        label=label_column,
        choices=tuple(choice_columns or ()),
        metric=metric,
        seed=seed,
        name=name,
    )


def load_benchmark(entry: DatasetEntry, location: Path | None) -> TargetData:
    """A benchmark of a catalog, from its local path or, without one, from the Hub at its commit.

    A local one whose content is not what was catalogued raises `DataError`: its runs would stand
    in the record under the wrong revision. What says nothing about the data raises `HubError`: no
    network, offline mode, a wrong token.
    """
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
    return target


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
        get_metric(metric)
    source = read_source(location, config=config)
    splits, notes = _named_splits(source)
    first = splits.get("train") or splits["all"]
    where = {split: source.where[origin] for split, origin in split_origins(source.splits).items()}
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
    columns = choose_columns(
        first.features,
        where=source.where["train" if "train" in source.splits else next(iter(source.splits))],
        task=task,
        text=text,
        text_pair=text_pair,
        image=image,
        label=label,
    )
    _check_columns(splits, (*columns.inputs, columns.label), where)
    labels = _labels(splits, columns, where, task)
    kind = "image" if columns.is_image else "text"
    task = task or f"{kind}-{'regression' if labels.regression else 'classification'}"
    metric = metric or get_task(task).default_metric
    _check_metric(metric, get_task(task))

    tables, hashes = {}, {}
    for split in labels.values:
        inputs = _inputs(splits[split], columns, source.folder, where[split])
        check_split(
            labels.values[split],
            names=labels.names,
            what=where[split] if len(splits) == 1 else f"{where[split]}: the {split} split",
            column=columns.label,
        )
        hashes[split] = _hashes(inputs, where[split])
        tables[split] = _table(inputs, labels.values[split], labels.names, hashes[split])
    values = dict(labels.values)
    made = _make_missing(tables, values, hashes, seed)
    for split in made:
        check_split(
            values[split],
            names=labels.names,
            what=f"{source.name}: the {split} split that was made from the other rows",
            column=columns.label,
        )
    if labels.names:
        check_known(values, labels.names, source.name if source.revision else str(location))
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
        origins={
            split: name for split, name in split_origins(source.splits).items() if split in SPLITS
        },
    )


def read_lists(
    splits: Mapping[str, datasets.Dataset],
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
    made = _make_missing(tables, labels, hashes, seed)
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
        origins={
            split: name for split, name in split_origins(source.splits).items() if split in SPLITS
        },
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
    metric = get_metric(name)
    if metric.sequences and (task.name != token_rows.TASK or (names and not are_span_tags(names))):
        why = "the tags mark no spans (B-, I-, O)" if names else f"the task is {task.name}"
        raise InputError(
            f"metric {name!r} is for tags that mark spans, but {why}",
            hint="word metrics are accuracy, f1 and matthews_correlation",
        )
    if metric.kind != task.kind:
        raise InputError(
            f"metric {name!r} is for {metric.kind}, but the task is {task.name}",
            hint=f"the default is {task.default_metric}",
        )


def _named_splits(source: Source) -> tuple[dict[str, datasets.Dataset], list[str]]:
    found = split_origins(source.splits)
    if not {"train", "all"} & set(found):
        raise DataError(
            f"{source.name} has no train split", hint=f"splits: {', '.join(source.splits)}"
        )
    other = [name for name in source.splits if name not in found.values()]
    notes = [f"splits that are not used: {', '.join(other)}"] if other else []
    return {split: source.splits[name] for split, name in found.items()}, notes


def _check_columns(
    splits: Mapping[str, datasets.Dataset], columns: Iterable[str], where: Mapping[str, str]
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
            raise DataError(f"{where[split]}: {what}")


def _labels(
    splits: Mapping[str, datasets.Dataset],
    columns: Columns,
    where: Mapping[str, str],
    task: str | None,
) -> Labels:
    import datasets

    features = [dataset.features[columns.label] for dataset in splits.values()]
    classes = [f for f in features if isinstance(f, datasets.ClassLabel)]
    if classes and any(f != classes[0] for f in features):
        raise DataError(
            f"the splits of {next(iter(where.values()))} don't agree on the classes of column "
            f"{columns.label!r}"
        )
    regression = get_task(task).kind == "regression" if task else None
    if columns.is_image or classes:
        regression = bool(regression)
    return read_labels(
        {split: dataset.data.column(columns.label) for split, dataset in splits.items()},
        column=columns.label,
        where=where,
        class_names=tuple(classes[0].names) if classes else None,
        regression=regression,
    )


def _inputs(
    dataset: datasets.Dataset, columns: Columns, folder: Path, where: str
) -> dict[str, pa.ChunkedArray]:
    """The input columns under their normalised names: text, or undecoded images."""
    import datasets
    import pyarrow as pa

    if columns.is_image:
        (column,) = columns.inputs
        cells, image = dataset.data.column(column), datasets.Image()
        if not is_image_feature(dataset.features[column]):
            if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
                raise DataError(f"{where}: column {column!r} holds {cells.type}, not images")
            _check_present(cells, column, where)
            paths = [str(folder / path) for path in cells.to_pylist()]
            cells = pa.chunked_array([pa.array(paths, pa.string())])
        _check_present(cells, column, where)
        chunks = [image.cast_storage(chunk) for chunk in cells.chunks]
        return {"image": pa.chunked_array(chunks, image.pa_type)}
    texts = {}
    for name, column in zip(("text", "text_pair"), columns.inputs, strict=False):
        cells = dataset.data.column(column)
        if not pa.types.is_large_string(cells.type):
            if pa.types.is_nested(cells.type) or pa.types.is_binary(cells.type):
                raise DataError(f"{where}: column {column!r} holds {cells.type}, not text")
            cells = cells.cast(pa.string())
        _check_present(cells, column, where)
        texts[name] = cells
    return texts


def _check_present(cells: pa.ChunkedArray, column: str, where: str) -> None:
    if cells.null_count:
        row = int(np.argmax(np.array(cells.is_null()))) + 1
        raise DataError(f"{where}: nothing in row {row}, column {column!r}")


def _hashes(inputs: Mapping[str, pa.ChunkedArray], where: str) -> NDArray[np.void]:
    """20 bytes a row (N,) that name its input; images are decoded, so broken ones are found."""
    found: list[bytes] = []
    if "image" in inputs:
        cells = inputs["image"]
        for start in range(0, len(cells), CHUNK):
            for i, cell in enumerate(cells.slice(start, CHUNK).to_pylist(), start=start + 1):
                found.append(image_hash(cell, f"row {i} of {where}"))
    else:
        columns = [cells.to_pylist() for cells in inputs.values()]
        for row in zip(*columns, strict=True):
            state = hashlib.sha1(usedforsecurity=False)
            for text in row:
                data = text.encode("utf-8", "surrogatepass")
                state.update(len(data).to_bytes(8, "little") + data)
            found.append(state.digest())
    return np.frombuffer(b"".join(found), dtype="V20")


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
    seed: int,
) -> dict[str, str]:
    """Fill in the splits that are missing, in place; returns a note for each that was made."""
    parts = (tables, values, hashes)
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
        for part in (values, hashes):
            part[split], part["train"] = part["train"][apart], part["train"][keep]
        how = "stratified, " if values["train"].dtype.kind != "f" else "stratified by value, "
        made[split] = (
            f"no {split} split: {len(apart)} rows of train set apart "
            f"({100 * SHARE:.0f} %, {how}seed {seed})"
        )
        share = SHARE / (1 - SHARE)  # of what is left, so that both get the same number
    return made


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
