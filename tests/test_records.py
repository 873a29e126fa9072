"""The frozen dataclasses: digests, checks, derived values."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest

import hf_select
from hf_select.errors import InputError
from hf_select.records import (
    NAN,
    Clustering,
    CurveSet,
    Features,
    LearningCurve,
    PerformanceMatrix,
    Recipe,
    RunKey,
    RunRecord,
    SelectionResult,
    canonical_json,
    digest,
)
from hf_select.results.repo import ResultsRepo


def test_canonical_json_has_one_spelling():
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"\\u00e9"],"b":1}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert len(digest({}, 40)) == 40


# --------------------------------------------------------------------------------- recipe


def test_the_recipe_digest_is_pinned():
    """A change here means that no earlier run can be compared with a new one."""
    assert Recipe().digest() == "8b7f4d81f8a4a51f"


def test_every_field_but_the_evaluation_points_changes_the_digest():
    changed = {
        "learning_rate": 1e-4,
        "epochs": 3,
        "global_batch_size": 16,
        "warmup": 0.2,
        "weight_decay": 0.0,
        "max_grad_norm": 2.0,
        "max_length": 64,
        "max_train_samples": 100,
        "max_eval_samples": 100,
        "precision": "bf16",
        "group_by_length": True,
    }
    digests = {Recipe(**{name: value}).digest() for name, value in changed.items()}
    assert len(digests | {Recipe().digest()}) == len(changed) + 1
    assert Recipe(fractions=()).digest() == Recipe().digest()


def test_grouping_by_length_is_told_only_where_it_is_on():
    """Older records and older readers know nothing of it."""
    off, on = Recipe(), Recipe(group_by_length=True)
    assert "group_by_length" not in off.to_dict()
    assert on.to_dict()["group_by_length"] is True
    assert Recipe.from_dict(on.to_dict()) == on
    assert Recipe.from_dict({"group_by_length": False}).digest() == off.digest()


def test_the_shipped_records_recipes_have_their_digests():
    repo = ResultsRepo(Path(hf_select.__file__).parent / "demo" / "results")
    found = {name: repo.recipe(name) for task in repo.tasks() for name in repo.recipes(task)}
    assert found
    for name, recipe in found.items():
        assert recipe is not None
        assert recipe.digest() == name
        assert not recipe.group_by_length


def test_rungs_rise_and_end_with_the_epochs():
    assert Recipe(epochs=2, fractions=(0.5, 0.25)).rungs() == (0.25, 0.5, 1.0, 2.0)


def test_a_recipe_survives_json():
    recipe = Recipe(learning_rate=1e-3, fractions=(0.5,))
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(InputError, match="lr") as error:
        Recipe.from_dict({"lr": 1})
    assert "learning_rate" in error.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0),
        ("epochs", 0),
        ("global_batch_size", 0),
        ("optimizer", "sgd"),
        ("schedule", "cosine"),
        ("warmup", 1.0),
        ("max_length", 1),
        ("max_train_samples", -1),
        ("max_eval_samples", -1),
        ("precision", "int8"),
        ("fractions", (0.0,)),
        ("fractions", (1.0,)),
    ],
)
def test_a_recipe_that_makes_no_sense(name, value):
    with pytest.raises(InputError, match=f"`{name}`"):
        Recipe(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", "5", "a whole number"),
        ("epochs", 5.0, "a whole number"),
        ("epochs", True, "a whole number"),
        ("epochs", None, "a whole number"),
        ("max_length", [128], "a whole number"),
        ("learning_rate", "5e-5", "a finite number"),
        ("learning_rate", NAN, "a finite number"),
        ("learning_rate", float("inf"), "a finite number"),
        ("learning_rate", 10**400, "a finite number"),
        ("warmup", False, "a finite number"),
        ("weight_decay", NAN, "a finite number"),
        ("weight_decay", -0.1, "0 or more"),
        ("max_grad_norm", -1.0, "0 or more"),
        ("precision", ["no"], "a string"),
        ("optimizer", None, "a string"),
        ("group_by_length", 1, "true or false"),
        ("group_by_length", "yes", "true or false"),
        ("fractions", 0.5, "a list of numbers"),
        ("fractions", "0.5", "a list of numbers"),
        ("fractions", {"a": 0.5}, "a list of numbers"),
        ("fractions", [0.5, "1"], "a list of numbers"),
        ("fractions", [NAN], "a list of numbers"),
    ],
)
def test_a_setting_of_the_wrong_type_is_named_with_what_it_must_be(name, value, expected):
    for make in (Recipe.from_dict, lambda values: Recipe(**values)):
        with pytest.raises(InputError) as error:
            make({name: value})
        assert f"value of `{name}` is {value!r}, but must be {expected}" in error.value.message


@pytest.mark.parametrize("values", [["epochs"], "epochs", 5, None])
def test_a_recipe_is_an_object(values):
    with pytest.raises(InputError, match="must be an object of settings") as error:
        Recipe.from_dict(values)
    assert repr(values) in error.value.message


def test_a_number_has_one_spelling():
    whole = Recipe(warmup=0, weight_decay=0, max_grad_norm=1, epochs=np.int64(5))
    assert whole == Recipe(warmup=0.0, weight_decay=0.0, max_grad_norm=1.0)
    assert whole.digest() == Recipe(warmup=0.0, weight_decay=0.0).digest()
    assert type(whole.epochs) is int
    assert Recipe.from_dict({"fractions": [0.5]}).fractions == (0.5,)


# ---------------------------------------------------------------------------- run and curve


def test_a_run_id_depends_on_every_part_of_the_key():
    key = RunKey("m", "1", "d", "2", "c", "r", 0)
    others = [replace(key, **{f: "other"}) for f in ("model", "model_revision", "dataset")]
    others += [replace(key, **{f: "other"}) for f in ("dataset_revision", "config", "recipe")]
    others.append(replace(key, seed=1))
    assert len({k.id for k in (key, *others)}) == 8
    assert len(key.id) == 32
    assert key.id == RunKey("m", "1", "d", "2", "c", "r", 0).id


def curve() -> LearningCurve:
    return LearningCurve([0.5, 1, 2], [0.3, 0.5, NAN], [2, 1, 0.5], [2, 1, 0.5], [1.0, 2.0, 4.0])


def test_a_curve_up_to_and_at_a_point():
    c = curve()
    assert len(c) == 3
    assert c.upto(1).val.tolist() == [0.3, 0.5]
    assert len(c.upto(0.1)) == 0
    assert c.at(1) == 0.5
    assert np.isnan(c.at(0.75))
    assert len(LearningCurve.empty()) == 0
    assert np.isnan(LearningCurve.of([1], [0.5]).seconds).all()


def test_a_curve_survives_json_with_its_gaps():
    assert LearningCurve.from_dict(curve().to_dict()) == curve()
    assert curve().to_dict()["val"] == [0.3, 0.5, None]
    assert curve() != LearningCurve.empty()
    assert curve() != "a curve"


def test_a_curve_that_makes_no_sense():
    with pytest.raises(ValueError, match="must rise"):
        LearningCurve.of([1, 1], [0.5, 0.5])
    with pytest.raises(ValueError, match="val has shape"):
        LearningCurve.of([1, 2], [0.5])


def record(**values) -> RunRecord:
    key = RunKey("m", "1", "d", "2", "", "r", 0)
    details = {"task": "t", "metric": "accuracy", "status": "ok", "test": 0.5}
    return RunRecord(key=key, curve=curve(), **details | values)


def test_a_record_is_checked():
    assert record().test == 0.5
    assert np.isnan(record(status="oom", test=NAN).test)
    for words, values in {
        "must be one of": {"status": "great"},
        "outside the range": {"test": 1.7},
        "outside the range of accuracy": {"test": NAN},
        "no test score": {"status": "failed"},
    }.items():
        with pytest.raises(ValueError, match=words):
            record(**values)
    with pytest.raises(FrozenInstanceError):
        record().test = 1.0


# --------------------------------------------------------------------------------- arrays


def matrix(scores=((0.9, 2.0), (0.5, 4.0), (NAN, 1.0))) -> PerformanceMatrix:
    scores = np.array(scores)
    return PerformanceMatrix(
        scores,
        np.full(scores.shape, NAN),
        ("a", "b", "c"),
        ("x", "y"),
        ("accuracy", "rmse"),
        np.array([0.5, 4.0]),
    )


def test_skill_is_by_column():
    # x: (score - .5) / (1 - .5); y: (score - 4) / (0 - 4)
    np.testing.assert_allclose(matrix().skill, [[0.8, 0.5], [0.0, 0.0], [NAN, 0.75]])


def test_a_matrix_without_a_dataset():
    rest = matrix().without_dataset("x")
    assert (rest.datasets, rest.metrics, rest.baselines.tolist()) == (("y",), ("rmse",), [4.0])
    assert rest.scores.tolist() == [[2.0], [4.0], [1.0]]
    assert matrix().without_dataset("nothing").datasets == ("x", "y")
    assert rest.without_dataset("y").skill.shape == (3, 0)


def test_rows_of_a_matrix_by_name():
    assert matrix().only_models(["c", "a"]).scores[:, 1].tolist() == [1.0, 2.0]
    with pytest.raises(InputError, match="'z'"):
        matrix().only_models(["z"])


def test_a_matrix_must_fit_its_names():
    with pytest.raises(ValueError, match="spread"):
        replace(matrix(), spread=np.zeros((1, 1)))
    with pytest.raises(ValueError, match="one metric"):
        replace(matrix(), metrics=("accuracy",))
    with pytest.raises(ValueError, match="unique"):
        replace(matrix(), models=("a", "a", "b"))


def test_a_curve_set_gives_its_curves_back():
    val = np.full((1, 2, 2, 3), NAN)
    val[0, 1, 1] = [0.1, NAN, 0.3]
    seconds = np.where(np.isnan(val), NAN, 7.0)
    curves = CurveSet(
        val,
        np.full((1, 2, 2), 0.5),
        seconds,
        np.array([0.5, 1, 2]),
        ("m",),
        ("x", "y"),
        (0, 5),
        ("accuracy",) * 2,
        np.zeros(2),
    )
    one = curves.curve("m", "y", 5)
    assert one.epochs.tolist() == [0.5, 2.0]
    assert one.val.tolist() == [0.1, 0.3]
    assert one.seconds.tolist() == [7.0, 7.0]
    assert len(curves.curve("m", "x", 0)) == 0
    rest = curves.without_dataset("x")
    assert (rest.datasets, rest.val.shape) == (("y",), (1, 1, 2, 3))
    with pytest.raises(ValueError, match="don't fit"):
        replace(curves, seeds=(0,))


def test_members_of_a_cluster():
    groups = Clustering(
        ("a", "b", "c"), np.array([0, 1, 0]), np.zeros((3, 3)), {0: 0}, "x", 0.1, NAN
    )
    assert groups.members(0) == [0, 2]


def test_the_mean_over_layers_skips_other_widths():
    wide, one, two = np.ones((2, 5)), np.ones((2, 3)), 3 * np.ones((2, 3))
    features = Features(tuple(a.astype(np.float32) for a in (wide, one, two)), np.zeros(2))
    assert features.last.tolist() == two.tolist()
    assert features.mean.tolist() == [[2.0] * 3] * 2


def test_the_price_counts_proxy_passes():
    result = SelectionResult("m", 0.5, 0.5, (), {}, 12.0, 1.0, 3.0, 5.0, "halving")
    assert result.price == 3.0


def test_one_error_without_bound_is_no_more_evidence_than_twice_the_mean_s():
    matrix = PerformanceMatrix(
        task="text-regression",
        models=("a", "b"),
        datasets=("x", "y"),
        scores=np.array([[0.5, 900.0], [0.9, 0.9]]),
        spread=np.full((2, 2), np.nan),
        metrics=("rmse", "rmse"),
        baselines=np.array([1.0, 1.0]),
    )
    assert matrix.skill.tolist() == [[0.5, -1.0], [pytest.approx(0.1), pytest.approx(0.1)]]
