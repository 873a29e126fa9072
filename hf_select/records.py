"""The frozen dataclasses that pass between rooms. No logic beyond checks and derived values.

Symbols in shapes: M models, D datasets, S seeds, T evaluation points, K recalled models,
N rows, d feature width, Z source classes. NaN always means "not measured".
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_select.errors import InputError, UnknownNameError
from hf_select.metrics import LOWEST_SKILL, get_metric

Array = NDArray[np.float64]

STATUSES = ("ok", "diverged", "oom", "timeout", "failed")
"""How a run can end. Everything but `ok` has a reason and no score."""

TASK_KINDS = {
    "text-classification": "classification",
    "text-regression": "regression",
    "image-classification": "classification",
    "token-classification": "classification",
    "multiple-choice": "classification",
    "image-regression": "regression",
}
"""The tasks by the Hub's names, and what kind of target each has."""

NAN = float("nan")


def check_task_name(task: str) -> str:
    """The task itself, or an error that lists the known ones."""
    if task not in TASK_KINDS:
        raise UnknownNameError("task", task, TASK_KINDS)
    return task


def canonical_json(value: Any) -> str:
    """The one spelling of a JSON value that digests are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any, length: int = 16) -> str:
    """The first `length` hex digits of the sha256 of a JSON-able value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


# ------------------------------------------------------------------------------ candidates


@dataclass(frozen=True)
class ModelEntry:
    """One candidate model, pinned to a commit (40 hex digits; of its content if it is local)."""

    repo_id: str
    revision: str
    task: str
    architecture: str = ""
    num_parameters: int = 0
    license: str = ""
    languages: tuple[str, ...] = ()
    base_model: str | None = None
    relation: str | None = None  # finetune | adapter | merge | quantized
    weights_sha256: str | None = None
    trained_datasets: tuple[str, ...] = ()  # as its page on the Hub names them


@dataclass(frozen=True)
class DatasetEntry:
    """One benchmark dataset, pinned, with the columns and the metric that make it a task."""

    repo_id: str
    revision: str
    task: str
    input_columns: tuple[str, ...]
    label_column: str
    num_labels: int
    metric: str
    config: str = ""
    label_names: tuple[str, ...] = ()
    splits: Mapping[str, int] = field(default_factory=dict)  # split -> rows
    baseline: float = NAN  # raw score of the trivial predictor on the test split
    license: str = ""
    fingerprint: str = ""  # of the rows, 40 hex digits; "": nobody has read them


@dataclass(frozen=True)
class Rejected:
    """A candidate that was looked at and not taken, and why."""

    repo_id: str
    reason: str


@dataclass(frozen=True)
class Excluded(Rejected):
    """A model that one of the user's limits rules out; `limit` is its name, such as max-params."""

    limit: str = ""


# ------------------------------------------------------------------------------------ runs


@dataclass(frozen=True)
class Recipe:
    """How a model is fine-tuned. Two runs with the same `digest()` can be compared.

    `global_batch_size` is over all processes and accumulation steps. `fractions` are the
    evaluation points inside the first epoch; every whole epoch is evaluated as well. They
    don't change the training, so they don't change the digest. `group_by_length` puts rows of
    about the same length into a batch (see `training.sampling.BatchOrder`), so that less is
    padding; it is part of digest and JSON only where it is on.
    """

    learning_rate: float = 5e-5
    epochs: int = 5
    global_batch_size: int = 32
    optimizer: str = "adamw"
    schedule: str = "linear"
    warmup: float = 0.1  # share of all steps
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    max_length: int = 128  # tokens
    max_train_samples: int = 0  # 0 = all rows
    max_eval_samples: int = 0  # of the validation split; the test split is always whole
    precision: str = "no"  # no | bf16 | fp16
    fractions: tuple[float, ...] = (0.125, 0.25, 0.5)
    group_by_length: bool = False

    def __post_init__(self) -> None:
        for f in fields(self):
            # One spelling of each number: 1 and 1.0 have the same digest.
            object.__setattr__(self, f.name, _setting(f.name, getattr(self, f.name), f.default))
        checks = (
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("global_batch_size", self.global_batch_size >= 1, "at least 1"),
            ("optimizer", self.optimizer == "adamw", "'adamw'"),
            ("schedule", self.schedule == "linear", "'linear'"),
            ("warmup", 0 <= self.warmup < 1, "in [0, 1)"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("max_grad_norm", self.max_grad_norm >= 0, "0 or more"),
            ("max_length", self.max_length >= 2, "at least 2"),
            ("max_train_samples", self.max_train_samples >= 0, "0 or more"),
            ("max_eval_samples", self.max_eval_samples >= 0, "0 or more"),
            ("precision", self.precision in ("no", "bf16", "fp16"), "no, bf16 or fp16"),
            ("fractions", all(0 < f < 1 for f in self.fractions), "between 0 and 1"),
        )
        for name, good, expected in checks:
            if not good:
                raise _bad_setting(name, getattr(self, name), expected)

    def digest(self) -> str:
        """16 hex digits that name the recipe."""
        values = self.to_dict()
        del values["fractions"]
        return digest(values)

    def rungs(self) -> tuple[float, ...]:
        """The evaluation points in epochs, rising, ending with `epochs`."""
        return (*sorted(self.fractions), *(float(e) for e in range(1, self.epochs + 1)))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values; `Recipe.from_dict` reads them back."""
        values = {**asdict(self), "fractions": list(self.fractions)}
        if not self.group_by_length:  # a setting that came later: old digests and readers stay
            del values["group_by_length"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """A recipe from JSON values; an unknown key is an error that lists the known ones."""
        if not isinstance(values, Mapping):
            raise InputError(
                f"a recipe must be an object of settings, but is {values!r}",
                hint='for example {"epochs": 5, "learning_rate": 5e-5}',
            )
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known, key=str)
        if unknown:
            raise InputError(
                f"recipe: unknown key {unknown[0]!r}", hint=f"keys: {', '.join(sorted(known))}"
            )
        return cls(**values)


def _setting(name: str, value: Any, default: Any) -> Any:
    """A setting of a recipe as its default's type; an `InputError` if it is of another one."""
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple) or not all(map(_is_number, value)):
            raise _bad_setting(name, value, "a list of numbers")
        return tuple(float(number) for number in value)
    if isinstance(default, str):
        if not isinstance(value, str):
            raise _bad_setting(name, value, "a string")
        return value
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise _bad_setting(name, value, "true or false")
        return value
    if isinstance(default, int):
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise _bad_setting(name, value, "a whole number")
        return int(value)
    if not _is_number(value):
        raise _bad_setting(name, value, "a finite number")
    return float(value)


def _is_number(value: Any) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    size: Any = abs(value)
    return bool(size <= sys.float_info.max)  # not so for NaN, infinity, and integers beyond it


def _bad_setting(name: str, value: Any, expected: str) -> InputError:
    return InputError(f"recipe: value of `{name}` is {value!r}, but must be {expected}")


@dataclass(frozen=True)
class RunKey:
    """What a run is identified by. The same key is never trained twice."""

    model: str
    model_revision: str
    dataset: str
    dataset_revision: str
    config: str
    recipe: str  # Recipe.digest()
    seed: int

    @property
    def id(self) -> str:
        """32 hex digits."""
        return digest(asdict(self), 32)


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Scores on the validation split while training. All arrays are (T,).

    `epochs` are the evaluation points in epochs (fractions allowed), strictly rising; `val` are
    raw metric values; `seconds` are seconds of training so far, evaluation included.
    """

    epochs: Array
    val: Array
    val_loss: Array
    train_loss: Array
    seconds: Array

    def __post_init__(self) -> None:
        for f in fields(self):
            value = np.asarray(getattr(self, f.name), dtype=np.float64)
            object.__setattr__(self, f.name, value)
            if value.ndim != 1 or len(value) != len(self.epochs):
                raise ValueError(
                    f"curve: {f.name} has shape {value.shape}, epochs {self.epochs.shape}"
                )
        if np.any(np.diff(self.epochs) <= 0):
            raise ValueError(f"curve: epochs must rise, got {self.epochs.tolist()}")

    def __len__(self) -> int:
        return len(self.epochs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LearningCurve) and all(
            np.array_equal(getattr(self, f.name), getattr(other, f.name), equal_nan=True)
            for f in fields(self)
        )

    @classmethod
    def empty(cls) -> LearningCurve:
        """A curve before the first evaluation."""
        return cls(*(np.empty(0) for _ in fields(cls)))

    @classmethod
    def of(cls, epochs: Any, val: Any) -> LearningCurve:
        """A curve that has only scores (imported, or made up in a test)."""
        nothing = np.full(len(epochs), np.nan)
        return cls(epochs, val, nothing, nothing, nothing)

    def upto(self, epoch: float) -> LearningCurve:
        """The part up to and including `epoch`."""
        keep = self.epochs <= epoch + 1e-9
        return LearningCurve(*(getattr(self, f.name)[keep] for f in fields(self)))

    def at(self, epoch: float) -> float:
        """The validation score at exactly that evaluation point, NaN where there is none."""
        found = np.flatnonzero(np.abs(self.epochs - epoch) < 1e-9)
        return float(self.val[found[0]]) if len(found) else NAN

    def to_dict(self) -> dict[str, list[float | None]]:
        """Lists for JSON; NaN becomes None."""
        return {
            f.name: [None if np.isnan(v) else float(v) for v in getattr(self, f.name)]
            for f in fields(self)
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, list[float | None]]) -> LearningCurve:
        """The inverse of `to_dict`."""
        return cls(
            *([NAN if v is None else v for v in values[f.name]] for f in fields(cls))  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class RunRecord:
    """One fine-tuning: its key, its curve, its score on the test split, and where it came from.

    `test` is the raw metric value, NaN unless `status` is "ok". `baseline` is the raw score of
    the trivial predictor on the same test rows.
    """

    key: RunKey
    task: str
    metric: str
    status: str
    curve: LearningCurve
    test: float = NAN
    baseline: float = NAN
    reason: str = ""
    seconds: float = NAN
    hardware: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    submitter: str = ""
    origin: str = "measured"  # or "imported:<file name>"
    created: str = ""  # ISO 8601, UTC

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status is {self.status!r}, but must be one of {STATUSES}")
        if self.status == "ok" and not get_metric(self.metric).valid(self.test):
            raise ValueError(f"test score {self.test} is outside the range of {self.metric}")
        if self.status != "ok" and not np.isnan(self.test):
            raise ValueError(f"a run that ended as {self.status!r} has no test score")


@dataclass(frozen=True)
class ProxyRow:
    """One proxy score as it is stored: a model on a dataset. `value` NaN = could not be scored.

    `seconds` is what the pass took, which all proxies of a model share, `scoring_seconds` what
    this one took on top of it, `rows` how many train rows the pass used. `task` may be left empty
    where the dataset's entry is in the repository already.
    """

    model: str
    model_revision: str
    dataset: str
    dataset_revision: str
    proxy: str
    value: float
    seconds: float = NAN
    rows: int = 0
    task: str = ""
    config: str = ""
    scoring_seconds: float = 0.0


# ------------------------------------------------------------------------ the record, as arrays


@dataclass(frozen=True, eq=False)
class PerformanceMatrix:
    """Test scores of models (rows) on datasets (columns), raw, mean over seeds.

    scores (M, D), NaN = not measured; spread (M, D), standard deviation over seeds, NaN with
    fewer than two; baselines (D,), the trivial predictor's raw score, NaN = unknown.
    """

    scores: Array
    spread: Array
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]
    baselines: Array
    recipe: str = ""
    task: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.models), len(self.datasets))
        for name in ("scores", "spread"):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, must be {shape}")
        if self.baselines.shape != shape[1:] or len(self.metrics) != shape[1]:
            raise ValueError("one metric and one baseline per dataset")
        if len(set(self.models)) != shape[0] or len(set(self.datasets)) != shape[1]:
            raise ValueError("models and datasets must be unique")

    @property
    def skill(self) -> Array:
        """Scores as skill (M, D): 0 trivial, 1 perfect, at least `LOWEST_SKILL` (see `metrics`)."""
        columns = [
            np.maximum(get_metric(metric).skill(self.scores[:, j], self.baselines[j]), LOWEST_SKILL)
            for j, metric in enumerate(self.metrics)
        ]
        return np.stack(columns, axis=1) if columns else np.empty(self.scores.shape)

    def without_dataset(self, name: str) -> PerformanceMatrix:
        """The matrix as it would be had that dataset never been measured."""
        keep = [j for j, dataset in enumerate(self.datasets) if dataset != name]
        return replace(
            self,
            scores=self.scores[:, keep],
            spread=self.spread[:, keep],
            datasets=tuple(self.datasets[j] for j in keep),
            metrics=tuple(self.metrics[j] for j in keep),
            baselines=self.baselines[keep],
        )

    def only_models(self, names: tuple[str, ...] | list[str]) -> PerformanceMatrix:
        """The rows of those models, in that order; an unknown one raises `InputError`."""
        if tuple(names) == self.models:
            return self
        index = {model: i for i, model in enumerate(self.models)}
        missing = [name for name in names if name not in index]
        if missing:
            raise InputError(f"model {missing[0]!r} has no row in the performance matrix")
        rows = [index[name] for name in names]
        return replace(
            self, scores=self.scores[rows], spread=self.spread[rows], models=tuple(names)
        )


@dataclass(frozen=True, eq=False)
class CurveSet:
    """All recorded learning curves of a task on one grid of evaluation points, raw.

    val (M, D, S, T) and seconds (M, D, S, T), NaN-padded; test (M, D, S); epochs (T,);
    baselines (D,). val_rows, test_rows: dataset -> rows that its scores rest on, where that is
    known; `task`, too.
    """

    val: Array
    test: Array
    seconds: Array
    epochs: Array
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    baselines: Array
    val_rows: Mapping[str, int] = field(default_factory=dict)
    test_rows: Mapping[str, int] = field(default_factory=dict)
    task: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.models), len(self.datasets), len(self.seeds), len(self.epochs))
        if self.val.shape != shape or self.seconds.shape != shape or self.test.shape != shape[:3]:
            raise ValueError(f"val {self.val.shape} and test {self.test.shape} don't fit {shape}")

    def without_dataset(self, name: str) -> CurveSet:
        """The curves as they would be had that dataset never been measured."""
        keep = [j for j, dataset in enumerate(self.datasets) if dataset != name]
        return replace(
            self,
            val=self.val[:, keep],
            test=self.test[:, keep],
            seconds=self.seconds[:, keep],
            datasets=tuple(self.datasets[j] for j in keep),
            metrics=tuple(self.metrics[j] for j in keep),
            baselines=self.baselines[keep],
        )

    def curve(self, model: str, dataset: str, seed: int) -> LearningCurve:
        """One recorded curve (raw), without its padding; empty where nothing was measured."""
        i, j = self.models.index(model), self.datasets.index(dataset)
        s = self.seeds.index(seed)
        have = ~np.isnan(self.val[i, j, s])
        nothing = np.full(int(have.sum()), np.nan)
        return LearningCurve(
            self.epochs[have],
            self.val[i, j, s, have],
            nothing,
            nothing,
            self.seconds[i, j, s, have],
        )


@dataclass(frozen=True, eq=False)
class Clustering:
    """Groups of models that behave alike.

    labels (M,): ids, 0 or more. A fresh clustering counts them from the biggest cluster to the
    singletons; in a record that grows a cluster keeps its id, so that ids have gaps and say nothing
    about size. distance (M, M); None where a record kept the groups alone, or where there are too
    many models (`clustering.algorithms.model_distances` gives it again). representatives: cluster
    id -> model index, only for clusters of two or more members.
    """

    models: tuple[str, ...]
    labels: NDArray[np.int64]
    distance: Array | None
    representatives: Mapping[int, int]
    algorithm: str
    threshold: float
    silhouette: float

    @property
    def sizes(self) -> dict[int, int]:
        """Cluster id -> number of models; the biggest first, equal ones by id."""
        ids, counts = np.unique(self.labels, return_counts=True)
        order = np.lexsort((ids, -counts))
        return dict(zip(ids[order].tolist(), counts[order].tolist(), strict=True))

    @property
    def groups(self) -> dict[int, list[int]]:
        """Cluster id -> indices of its models, in the order of `sizes`."""
        order = np.argsort(self.labels, kind="stable")
        ids, first = np.unique(self.labels[order], return_index=True)
        parts = np.split(order, first[1:])
        found = {int(c): part.tolist() for c, part in zip(ids, parts, strict=False)}
        return {cluster: found[cluster] for cluster in self.sizes}

    def members(self, cluster: int) -> list[int]:
        """Indices of the models of a cluster."""
        return np.flatnonzero(self.labels == cluster).tolist()


@dataclass(frozen=True, eq=False)
class Features:
    """What one forward pass of one model over sampled train rows gives.

    layers: one pooled array (N, d_l) for each of the last hidden layers or stages (three, if the
    model has that many), last one last; source_probs (N, Z) from a trained head, None without one;
    labels (N,). layer_mean (N, d): the mean over *all* layers of the last one's width, None where
    `layers` holds them all. `seconds`: what encoding and the pass took.
    """

    layers: tuple[NDArray[np.float32], ...]
    labels: NDArray
    source_probs: Array | None = None
    seconds: float = NAN
    layer_mean: NDArray[np.float32] | None = None

    @property
    def last(self) -> NDArray[np.float32]:
        """The last layer (N, d)."""
        return self.layers[-1]

    @property
    def mean(self) -> NDArray[np.float32]:
        """Mean over all layers that have the last one's width (N, d)."""
        if self.layer_mean is not None:
            return self.layer_mean
        same = [layer for layer in self.layers if layer.shape == self.last.shape]
        return np.mean(same, axis=0)


@dataclass(frozen=True, eq=False)
class ProxyScores:
    """A proxy score of models on one target. values (M,), NaN = not scored; reasons say why."""

    proxy: str
    models: tuple[str, ...]
    values: Array
    reasons: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


# ---------------------------------------------------------------------------------- recall


@dataclass(frozen=True)
class Candidate:
    """One recalled model with its evidence. `predicted`, `spread`, `prior` are in skill.

    `deviation` is the standard deviation of its skill relative to the other candidates', `spread`
    that of `predicted`, which holds what all of them share as well. `evidence` is what each source
    adds to the prediction, relative to the mean model that was looked at. `mates` are models of its
    cluster. NaN, 0 or empty where the method says nothing of the kind.
    """

    model: str
    revision: str
    predicted: float
    spread: float
    prior: float
    proxies: Mapping[str, float]
    cluster: int
    reason: str
    score: float = NAN  # what the method ranked by
    deviation: float = NAN
    p_best: float = NAN  # chance that it is the best of all models
    evidence: Mapping[str, float] = field(default_factory=dict)
    mates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Novelty:
    """Whether a target is unlike every benchmark, and the numbers that say so.

    similarity: likeness of the nearest benchmark, in [-1, 1]; agreement: rank correlation of prior
    and proxies over the models looked at. `usual_*` is the mean over benchmarks, `least_*` what is
    still taken for usual. `why` and `changed` are sentences, "" where it isn't novel.
    """

    novel: bool
    similarity: float
    usual_similarity: float
    least_similarity: float
    agreement: float
    usual_agreement: float
    least_agreement: float
    why: str = ""
    changed: str = ""


@dataclass(frozen=True, eq=False)
class Expectation:
    """What recall expects of models before any of them is trained, in skill.

    models (M,); mean (M,): expected skill on the target relative to one common level; deviation
    (M,) of those differences; level, level_deviation: of that common level (NaN = unknown).
    datasets (D,); benchmarks (M, D): what would have been expected of each benchmark had it not
    been measured, relative to a common level as well, NaN = nothing; from these a forecast learns
    what an expectation is worth. groups: model -> the group that it errs with, beside what it errs
    alone; group_deviation: of the skill that the members of a group have in common (those with the
    same learning rate, of which little is known).
    """

    models: tuple[str, ...]
    mean: Array
    deviation: Array
    datasets: tuple[str, ...]
    benchmarks: Array
    level: float = NAN
    level_deviation: float = NAN
    groups: Mapping[str, str] = field(default_factory=dict)
    group_deviation: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.models), len(self.datasets))
        if self.benchmarks.shape != shape or not (
            self.mean.shape == self.deviation.shape == shape[:1]
        ):
            raise ValueError(f"benchmarks {self.benchmarks.shape} and mean don't fit {shape}")


@dataclass(frozen=True)
class RecallResult:
    """Phase one: which models are worth fine-tuning on the target, best first.

    `novelty` is None where nothing can be said. `outside` is the chance that the best model isn't
    among the candidates, `p_best` that of every model with any chance to be it; `weights`: whose
    proxies -> evidence -> its weight; `looked` how many models were looked at. NaN or empty for
    methods that give none. `expected` is what the method expects of all models of the record,
    None where it doesn't forecast.
    """

    target: str
    task: str
    method: str
    candidates: tuple[Candidate, ...]
    ranking: tuple[str, ...] = ()  # every model that could be ranked, best first
    novelty: Novelty | None = None
    nearest_benchmarks: tuple[tuple[str, float], ...] = ()  # name, likeness in [-1, 1]
    skipped: tuple[Rejected, ...] = ()
    seconds: float = 0.0
    outside: float = NAN
    p_best: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    looked: int = 0
    expected: Expectation | None = field(default=None, compare=False, repr=False)

    @property
    def novel(self) -> bool | None:
        """Is the target unlike every benchmark? None: that can't be said."""
        return None if self.novelty is None else self.novelty.novel


# ------------------------------------------------------------------------------- selection


@dataclass(frozen=True)
class Drop:
    """A candidate that a policy let go, with a sentence that says why."""

    model: str
    reason: str


@dataclass(frozen=True)
class Rung:
    """One decision of a policy: who was live, what was seen, who was dropped.

    `epoch` is how far the furthest live model had got, `reached` how far each. `val` holds the
    last raw validation score of those that were trained at all; `forecast` what the policy expects
    as final test score (raw), where it forecasts at all, `interval` its 95 % interval, `p_best` the
    chance that the model is the best candidate. `leader` is whom it would have chosen then;
    `note` what it says about its next step.
    """

    epoch: float
    live: tuple[str, ...]
    val: Mapping[str, float]
    forecast: Mapping[str, float] = field(default_factory=dict)
    p_best: Mapping[str, float] = field(default_factory=dict)
    dropped: tuple[Drop, ...] = ()
    interval: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reached: Mapping[str, float] = field(default_factory=dict)
    leader: str = ""
    note: str = ""


@dataclass(frozen=True)
class SelectionResult:
    """Phase two: the winner and all that led to it. `test` is its raw score on the test split.

    `epochs` and `seconds` count everything that was trained; `price` = whole cost in epochs,
    proxy passes included, over the cost of training the winner alone. `ended` says why it was over
    before its time, "" if it wasn't.
    """

    winner: str
    val: float
    test: float
    rungs: tuple[Rung, ...]
    curves: Mapping[str, LearningCurve]
    epochs: float
    seconds: float
    proxy_epochs: float
    horizon: float  # epochs of a full fine-tuning
    policy: str
    checkpoint: str = ""
    failed: tuple[Rejected, ...] = ()
    ended: str = ""

    @property
    def price(self) -> float:
        """The price of choosing."""
        return (self.epochs + self.proxy_epochs) / self.horizon
