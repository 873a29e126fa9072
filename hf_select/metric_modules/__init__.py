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

from hf_select.metrics import get_metric

DESCRIPTIONS = {
    "accuracy": "The share of rows whose class is right.",
    "f1": "The mean over the classes of the F1 score of each (macro F1).",
    "matthews_correlation": "The Matthews correlation coefficient, for any number of classes.",
    "seqeval_f1": "The F1 score of the spans that word tags mark, whole spans with their types.",
    "mse": "The mean squared error.",
    "rmse": "The root of the mean squared error, in the label's unit.",
    "mae": "The mean absolute error, in the label's unit.",
    "r2": "The share of the variance that is explained: 1 is perfect, 0 is the mean.",
    "pearson": "The Pearson correlation; that of constant predictions counts as 0.",
    "spearman": "The Spearman rank correlation; that of constant predictions counts as 0.",
}

_INPUTS = """\
predictions: a class id or a value a row; for spans the tags of its words.
references: as many.
"""


def described(name: str) -> Any:
    """The `evaluate.MetricInfo` of a metric: class ids are int64, values float64, tags text."""
    import datasets
    import evaluate

    metric = get_metric(name)
    kind = datasets.Value("int64" if metric.kind == "classification" else "float64")
    if metric.sequences:
        kind = datasets.Sequence(datasets.Value("string"))
    return evaluate.MetricInfo(
        description=DESCRIPTIONS[name],
        citation="",
        inputs_description=_INPUTS,
        features=datasets.Features({"predictions": kind, "references": kind}),
    )


def computed(name: str, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
    """The score under the metric's own name, as a plain float."""
    metric = get_metric(name)
    if metric.sequences:
        predictions, references = _one_after_the_other(predictions, references)
    return {name: metric(np.asarray(predictions), np.asarray(references))}


def _one_after_the_other(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]
) -> tuple[list[str], list[str]]:
    """The tags of all sentences, "" between two. Raises `ValueError` for unequal sentences."""
    for i, (said, right) in enumerate(zip(predictions, references, strict=True)):
        if len(said) != len(right):
            raise ValueError(f"sentence {i} has {len(said)} predictions for {len(right)} words")
    return (
        [tag for sentence in predictions for tag in (*sentence, "")],
        [tag for sentence in references for tag in (*sentence, "")],
    )
