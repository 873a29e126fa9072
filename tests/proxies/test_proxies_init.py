import warnings
from dataclasses import replace

import numpy as np
import pytest

from hf_select.errors import InputError, UnknownNameError
from hf_select.proxies import (
    PROXIES,
    VIEWS,
    check_proxy,
    get_proxy,
    logme,
    score_all,
    score_features,
)
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


def changed(features, each):
    """Features with every layer, the head and the labels put through `each`."""
    probs = features.source_probs
    return Features(
        tuple(each(layer) for layer in features.layers),
        each(features.labels),
        None if probs is None else each(probs),
    )


ROWS = [(name, kind) for name, proxy in PROXIES.items() for kind in sorted(proxy.kinds)]


@pytest.mark.parametrize("rows", [60, 20])  # more rows than columns, and fewer
@pytest.mark.parametrize(("name", "kind"), ROWS)
def test_every_proxy_is_invariant(name, kind, rows):
    features, rng = features_of(kind, rows=rows), np.random.default_rng(1)
    score = score_features(name, features, kind)
    assert np.isfinite(score)
    assert score_features(name, features, kind) == score
    order = rng.permutation(rows)
    moved = changed(features, lambda values: values[order])
    columns = changed(features, lambda v: v[:, ::-1] if v.ndim == 2 else v)
    others = [moved, columns]
    if kind == "classification":
        others.append(replace(features, labels=np.array(["z", "b", "k"])[features.labels]))
    else:
        others.append(replace(features, labels=features.labels * 1000 + 5000))
    for other in others:
        assert score_features(name, other, kind) == pytest.approx(score, abs=1e-9)


@pytest.mark.parametrize(("name", "kind"), ROWS)
def test_features_that_fit_beat_noise_and_nothing(name, kind):
    good = features_of(kind, rows=300)  # TransRate wants more rows in a class than columns
    rng = np.random.default_rng(9)
    noise = tuple(rng.normal(size=layer.shape) for layer in good.layers)
    constant = tuple(np.full_like(layer, 0.1) for layer in good.layers)
    sharp = np.eye(3)[np.arange(300) % 3]
    found = [
        score_features(name, Features(layers, good.labels, probs), kind)
        for layers, probs in (
            (good.layers, sharp),
            (noise, rng.dirichlet(np.ones(5), 300)),
            (constant, np.full((300, 3), 1 / 3)),
        )
    ]
    assert np.isfinite(found).all()
    assert found[0] > max(found[1:])


def first(rows):
    return lambda features: changed(features, lambda values: values[:rows])


def with_labels(labels):
    return lambda features: replace(features, labels=np.asarray(labels))


def spoilt(value):
    def spoil(features):
        def each(values):
            values = values.copy()
            if values.ndim == 2:
                values[3, 0] = value
            return values

        return changed(features, each)

    return spoil


ONE_CLASS, ONE_VALUE = "one class only", "the same for every row"
CASES = {
    "rows twice": (lambda f: changed(f, lambda v: np.concatenate([v, v])), {}),
    "half precision": (
        lambda f: changed(f, lambda v: v.astype(np.float16) if v.ndim == 2 else v),
        {},
    ),
    "huge": (lambda f: replace(f, layers=tuple(v * np.float32(1e30) for v in f.layers)), {}),
    "wide": (first(9), {}),
    "three rows": (first(3), {}),
    "two rows": (first(2), {}),
    "one row": (first(1), dict.fromkeys(KINDS, "fewer than two rows")),
    "no rows": (first(0), dict.fromkeys(KINDS, "fewer than two rows")),
    "a class of one": (with_labels([7.5] + [1.0, 2.0, 2.0] * 19 + [1.0, 2.0]), {}),
    "a class a row": (with_labels(np.arange(60)), {}),
    "one class": (
        with_labels(np.full(60, 3)),
        {"classification": ONE_CLASS, "regression": ONE_VALUE},
    ),
    "NaN": (spoilt(np.nan), dict.fromkeys(KINDS, "not finite")),
    "infinite": (spoilt(np.inf), dict.fromkeys(KINDS, "not finite")),
    "NaN as a target": (with_labels([np.nan] * 60), {"regression": "not finite"}),
    "no columns": (
        lambda f: replace(f, layers=(np.empty((60, 0)),) * 3, source_probs=np.empty((60, 0))),
        dict.fromkeys(KINDS, ""),
    ),
}


CLASSES_ARE_NAMES = ("classification", "NaN as a target")


@pytest.mark.parametrize(
    ("name", "kind", "case"),
    [(*row, case) for row in ROWS for case in CASES if (row[1], case) != CLASSES_ARE_NAMES],
)
def test_what_is_undefined_says_so(name, kind, case):
    make, reasons = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scored = score_all([name], make(features_of(kind)), kind)[name]
    if kind in reasons:
        assert np.isnan(scored.value)
        assert reasons[kind] in scored.reason
        assert scored.reason
    else:
        assert np.isfinite(scored.value)
        assert scored.reason == ""


def test_the_score_of_all_is_the_score_of_each():
    for kind in KINDS:
        features = features_of(kind)
        names = [name for name, of in ROWS if of == kind]
        found = score_all(reversed(names), features, kind)
        assert list(found) == names[::-1]
        for name, scored in found.items():
            assert scored.value == score_features(name, features, kind)
            assert type(scored.value) is float
            assert scored.seconds > 0
    assert score_all([], features, kind) == {}


def test_seconds_are_those_that_a_score_takes_alone():
    rng = np.random.default_rng(0)
    layers = (rng.normal(size=(600, 500)),)
    scored = score_all(
        ["logme", "hscore"], Features(layers, rng.integers(0, 3, 600)), "classification"
    )
    # Nearly all of both is the eigendecomposition, which is done once.
    assert scored["hscore"].seconds > 0.2 * scored["logme"].seconds


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n in PROXIES for k in KINDS])
def test_an_impossible_proxy_is_refused_before_anything_is_computed(name, kind):
    able = [p for p in PROXIES if kind in PROXIES[p].kinds]
    if name in able:
        assert check_proxy(name, kind) is PROXIES[name]
        return
    with pytest.raises(InputError, match=f"not {kind}") as error:
        check_proxy(name, kind)
    assert all(other in error.value.hint for other in able)
    with pytest.raises(InputError, match=f"not {kind}"):
        score_all([*able, name], None, kind)


def test_unknown_proxy_lists_the_rest():
    with pytest.raises(UnknownNameError) as error:
        get_proxy("logm")
    assert "did you mean 'logme'" in error.value.hint
    assert "leep" in error.value.hint


def test_leep_without_a_head_is_nan_not_a_number():
    scored = score_all(["leep", "knn"], features_of("classification", heads=False), KINDS[0])
    assert np.isnan(scored["leep"].value)
    assert "head" in scored["leep"].reason
    assert np.isfinite(scored["knn"].value)


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


def test_fits_beat_noise_in_every_view():
    good = features_of("classification")
    rng = np.random.default_rng(9)
    bad = Features(tuple(rng.normal(size=layer.shape) for layer in good.layers), good.labels)
    for view in VIEWS:
        scores = [score_features("logme", f, "classification", view=view) for f in (good, bad)]
        assert scores[0] > scores[1]
