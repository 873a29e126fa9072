"""Which columns are taken when nobody says."""

from __future__ import annotations

import datasets
import pytest

from hf_select.errors import DataError, InputError
from hf_select.tasks.columns import choose_columns

TEXT, INT, FLOAT = (datasets.Value(kind) for kind in ("string", "int64", "float32"))
CLASS = datasets.ClassLabel(names=["a", "b"])


@pytest.mark.parametrize(
    ("features", "inputs", "label"),
    [
        ({"text": TEXT, "label": INT}, ("text",), "label"),
        ({"id": INT, "Review": TEXT, "Rating": INT}, ("Review",), "Rating"),
        ({"premise": TEXT, "hypothesis": TEXT, "label": CLASS}, ("premise", "hypothesis"), "label"),
        (
            {"idx": INT, "sentence1": TEXT, "sentence2": TEXT, "score": FLOAT},
            ("sentence1", "sentence2"),
            "score",
        ),
        ({"weird": TEXT, "odd": CLASS, "n": INT}, ("weird",), "odd"),
        ({"body": TEXT, "verdict": TEXT}, ("body",), "verdict"),
        ({"tweet": TEXT, "label": TEXT, "target": INT}, ("tweet",), "label"),
        (
            {"img": datasets.Image(), "fine_label": CLASS, "coarse_label": CLASS},
            ("img",),
            "fine_label",
        ),
        ({"a": datasets.Image(), "image": datasets.Image(), "label": INT}, ("image",), "label"),
    ],
)
def test_usual_shapes(features: dict, inputs: tuple[str, ...], label: str) -> None:
    columns = choose_columns(datasets.Features(features), where="x")
    assert (columns.inputs, columns.label) == (inputs, label)
    assert columns.is_image is isinstance(features[inputs[0]], datasets.Image)
    assert len(columns.notes) == 2


def test_a_regression_looks_for_a_score_first() -> None:
    features = datasets.Features({"text": TEXT, "label": INT, "score": FLOAT})
    assert choose_columns(features, where="x").label == "label"
    assert choose_columns(features, where="x", task="text-regression").label == "score"


def test_a_text_task_does_not_take_the_image() -> None:
    features = datasets.Features({"image": datasets.Image(), "text": TEXT, "label": INT})
    assert choose_columns(features, where="x").inputs == ("image",)
    assert choose_columns(features, where="x", task="text-classification").inputs == ("text",)


def test_a_stated_text_is_not_made_a_pair() -> None:
    features = datasets.Features({"sentence1": TEXT, "sentence2": TEXT, "label": INT})
    columns = choose_columns(features, where="x", text="sentence2")
    assert columns.inputs == ("sentence2",)


@pytest.mark.parametrize(
    "features",
    [
        {"one": TEXT, "two": TEXT, "label": INT},
        {"text": TEXT, "one": FLOAT, "two": FLOAT},
    ],
)
def test_no_guess_where_several_fit(features: dict) -> None:
    with pytest.raises(DataError) as caught:
        choose_columns(datasets.Features(features), where="x.csv")
    assert caught.value.hint == f"columns: {', '.join(features)}"


def test_one_column_is_too_few() -> None:
    with pytest.raises(DataError, match=r"x\.csv has one column only, 'text'") as caught:
        choose_columns(datasets.Features({"text": TEXT}), where="x.csv")
    assert "--delimiter" in caught.value.hint


def test_without_a_text_column_that_is_said() -> None:
    features = datasets.Features({"a": INT, "b": FLOAT})
    with pytest.raises(DataError, match=r"x.csv: no column looks like text \(columns: a, b\)"):
        choose_columns(features, where="x.csv")


def test_contradictions() -> None:
    features = datasets.Features({"text": TEXT, "other": TEXT, "image": datasets.Image()})
    with pytest.raises(DataError, match="both input and label"):
        choose_columns(features, where="x", text="text", label="text")
    with pytest.raises(InputError, match="not both"):
        choose_columns(features, where="x", text="text", image="image")
    with pytest.raises(InputError, match="text column too"):
        choose_columns(features, where="x", text_pair="text")
