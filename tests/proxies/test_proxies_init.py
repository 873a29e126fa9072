import numpy as np
import pytest

from hf_select.errors import InputError, UnknownNameError
from hf_select.proxies import PROXIES, VIEWS, check_proxy, get_proxy, logme, score_features
from hf_select.records import Features

KINDS = ("classification", "regression")


def features_of(kind, seed=0, heads=True, rows=60):
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    base = np.eye(3)[labels] @ rng.normal(size=(3, 12))
    layers = tuple(
        (base[:, :width] + rng.normal(size=(rows, width))).astype(np.float32)
        for width in (4, 8, 12, 12)
    )
    probs = rng.dirichlet(np.ones(5), rows) if heads else None
    return Features(layers, labels if kind == "classification" else labels + 0.5, probs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PROXIES)
def test_every_proxy_scores_or_refuses(name, kind):
    features = features_of(kind)
    if kind in PROXIES[name].kinds:
        score = score_features(name, features, kind)
        assert np.isfinite(score)
        order = np.random.default_rng(1).permutation(60)
        moved = Features(
            tuple(layer[order] for layer in features.layers),
            features.labels[order],
            features.source_probs[order],
        )
        assert score_features(name, moved, kind) == pytest.approx(score, abs=1e-6)
    else:
        with pytest.raises(InputError, match=f"not {kind}"):
            score_features(name, features, kind)


def test_unknown_proxy_lists_the_rest():
    with pytest.raises(UnknownNameError) as error:
        get_proxy("logm")
    assert "did you mean 'logme'" in error.value.hint
    assert "leep" in error.value.hint


def test_leep_refuses_regression_before_any_model():
    with pytest.raises(InputError, match="classification targets, not regression") as error:
        check_proxy("leep", "regression")
    assert "logme" in error.value.hint
    assert check_proxy("leep", "classification").name == "leep"


def test_leep_without_a_head_is_nan_not_a_number():
    assert np.isnan(score_features("leep", features_of("classification", heads=False), KINDS[0]))


def test_views_take_the_layers_they_name():
    features = features_of("classification")
    np.testing.assert_array_equal(VIEWS["last"](features), features.layers[3])
    np.testing.assert_array_equal(VIEWS["mean"](features), features.mean)
    assert VIEWS["last3"](features).shape == (60, 8 + 12 + 12)
    np.testing.assert_allclose(VIEWS["last3"](features).std(axis=0), 1, atol=1e-6)
    with pytest.raises(UnknownNameError, match="first"):
        score_features("logme", features, "classification", view="first")
    seen = np.column_stack([np.asarray(features.last, dtype=float), np.ones(60)])
    expected = logme(seen, features.labels)
    assert score_features("logme", features, "classification", view="last") == expected


def test_constant_column_is_no_signal():
    features = features_of("classification")
    constant = np.full((60, 1), 0.1, dtype=np.float32)
    wider = Features(
        (*features.layers[:3], np.column_stack([features.last, constant])), features.labels
    )
    found = score_features("logme", wider, "classification")
    assert found == pytest.approx(score_features("logme", features, "classification"), abs=1e-9)


def test_regression_score_has_no_unit_and_no_offset():
    features = features_of("regression")
    score = score_features("logme", features, "regression")
    moved = Features(features.layers, features.labels * 1000 + 5000)
    assert score_features("logme", moved, "regression") == pytest.approx(score, abs=1e-9)
    constant = Features(features.layers, np.full(60, 3.0))
    assert np.isnan(score_features("logme", constant, "regression"))


def test_fits_beat_noise():
    good = features_of("classification")
    rng = np.random.default_rng(9)
    bad = Features(tuple(rng.normal(size=layer.shape) for layer in good.layers), good.labels)
    for view in VIEWS:
        scores = [score_features("logme", f, "classification", view=view) for f in (good, bad)]
        assert scores[0] > scores[1]
