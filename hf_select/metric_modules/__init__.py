"""Our metrics as modules of the library `evaluate`; one folder each, as `evaluate.load` wants it.

    import evaluate
    from hf_select.metrics import module_path

    evaluate.load(module_path("rmse")).compute(predictions=[1.0, 2.0], references=[1.0, 4.0])

They work offline, and compute by `hf_select.metrics`, so that a number of theirs is the one that a
trial reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_select.metrics import get_metric

DESCRIPTIONS = {
    "accuracy": "The share of rows whose class is right.",
    "f1": "The mean over the classes of the F1 score of each (macro F1).",
    "matthews_correlation": "The Matthews correlation coefficient, for any number of classes.",
    "seqeval_f1": "The F1 score of spans of words, each right in its kind and both its ends.",
    "mse": "The mean squared error.",
    "rmse": "The root of the mean squared error, in the label's unit.",
    "mae": "The mean absolute error, in the label's unit.",
    "r2": "The share of the variance that is explained: 1 is perfect, 0 is the mean.",
    "pearson": "The Pearson correlation; that of constant predictions counts as 0.",
    "spearman": "The Spearman rank correlation; that of constant predictions counts as 0.",
}

_INPUTS = """\
predictions: a class id or a value a row; of spans, a list of tags (B-PER, I-PER, O) a row.
references: as many.
"""


def described(name: str) -> Any:
    """The `evaluate.MetricInfo` of a metric: class ids are int64, values float64, tags texts."""
    import datasets
    import evaluate

    metric = get_metric(name)
    feature: Any = datasets.Value("int64" if metric.kind == "classification" else "float64")
    if metric.sequences:
        feature = datasets.Sequence(datasets.Value("string"))
    return evaluate.MetricInfo(
        description=DESCRIPTIONS[name],
        citation="",
        inputs_description=_INPUTS,
        features=datasets.Features({"predictions": feature, "references": feature}),
    )


def computed(name: str, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
    """The score under the metric's own name, as a plain float."""
    return {name: get_metric(name)(np.asarray(predictions), np.asarray(references))}


def computed_of_tags(
    name: str, predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """The same of rows of tags."""
    return {name: get_metric(name)(_flat(predictions), _flat(references))}


def _flat(rows: Sequence[Sequence[str]]) -> NDArray[np.str_]:
    """The tags of all rows, "" behind each."""
    return np.array([tag for row in rows for tag in (*row, "")])
