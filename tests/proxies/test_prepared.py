import numpy as np
import pytest

from hf_select.proxies.prepared import Prepared, Spectrum, one_hot, prepare

SHAPES = [(30, 8), (8, 30), (12, 12)]


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape) + 3


@pytest.mark.parametrize("shape", SHAPES)
def test_a_spectrum_gives_the_matrix_back(shape):
    x = random(shape)
    spectrum = Spectrum.of(x)
    left = spectrum.left()
    np.testing.assert_allclose(left.T @ left, np.eye(min(shape)), atol=1e-9)
    np.testing.assert_allclose(
        spectrum.values, np.sort(np.linalg.svd(x, compute_uv=False) ** 2), rtol=1e-9
    )
    back = spectrum.coordinates(min(shape))
    np.testing.assert_allclose(back @ back.T, x @ x.T, atol=1e-9)
    assert (np.diff((back**2).sum(axis=0)) < 0).all()
    targets = random((shape[0], 3), 1)
    np.testing.assert_allclose(spectrum.along(targets), (left.T @ targets) ** 2, atol=1e-9)


@pytest.mark.parametrize("scale", [0, 1e-140, 1e140])
def test_only_extent_counts(scale):
    x = scale * random((6, 4))
    values = Spectrum.of(x).values
    assert len(values) == (4 if scale else 0)
    assert (values > 0).all()
    assert Spectrum.of(np.ones((5, 3))).values == pytest.approx([15])


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_are_made_once_and_counted(shape):
    prepared = Prepared(random(shape))
    assert not prepared.is_centred
    np.testing.assert_allclose(prepared.centred.mean(axis=0), 0, atol=1e-12)
    assert prepared.left is prepared.left
    assert prepared.spectrum is prepared.spectrum
    assert prepared.costs.keys() == prepared.used == {"size", "mean", "centred", "spectrum", "left"}
    prepared.used.clear()
    assert prepared.left is not None
    assert prepared.used == prepared.costs.keys()
    again = Prepared(prepared.centred)
    assert again.is_centred
    assert again.centred is again.features


def test_usable():
    assert Prepared(np.ones((2, 2))).usable
    for bad in (np.empty((0, 2)), np.empty((2, 0)), *np.array([[[np.inf]], [[np.nan]], [[1e200]]])):
        assert not Prepared(bad).usable


def test_shapes_must_fit():
    with pytest.raises(ValueError, match="must be"):
        prepare(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="must be"):
        prepare(np.ones((3, 1)), np.ones(2))
    prepared = Prepared(np.ones((2, 1)))
    assert prepare(prepared, [0, 1])[0] is prepared
    np.testing.assert_array_equal(one_hot(np.array(["b", "a"])), [[0, 1], [1, 0]])
