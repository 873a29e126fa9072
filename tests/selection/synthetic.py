"""Made-up learning curves that behave as recorded ones do, and trials that live in memory."""

from __future__ import annotations

import numpy as np

from hf_select.errors import TrialError
from hf_select.recall import expected_by_record
from hf_select.records import CurveSet, Expectation, LearningCurve, PerformanceMatrix
from hf_select.selection.run import through

GRID = (0.125, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)


def make_curves(models=40, datasets=8, seeds=3, *, epochs=GRID, metric="accuracy", seed=0):
    """A CurveSet whose early scores are noisy and whose models differ in level and speed.

    A model's finals on the datasets are related (quality + affinity); scores rise to the final
    at a speed of their own, so ranks at the first rungs are only loosely those of the end.
    """
    rng = np.random.default_rng(seed)
    grid = np.asarray(epochs, dtype=float)
    quality = rng.normal(0, 0.04, models)[:, None]
    final = (
        0.8 + quality + rng.normal(0, 0.03, (models, datasets)) + rng.normal(0, 0.06, datasets)
    )[:, :, None] + rng.normal(0, 0.008, (models, datasets, seeds))
    final = np.clip(final, 0.3, 0.99)
    speed = np.exp(rng.normal(0.5, 0.15, (models, datasets)))[:, :, None, None]
    trivial = 0.2
    level = 1 - np.exp(-speed * (grid + 0.25))
    noise = rng.normal(0, 1, (models, datasets, seeds, len(grid))) * (
        0.012 + 0.05 * np.exp(-2 * grid)
    )
    val = trivial + (final[..., None] - trivial) * level / level[..., -1:] + noise
    test = np.clip(final + rng.normal(0, 0.008, final.shape), 0.0, 1.0)
    val = np.clip(val, 0.0, 1.0)
    baselines = np.full(datasets, trivial)
    if metric == "rmse":  # the same story told in errors: lower is better, trivial 2.0
        val, test, baselines = 2 * (1 - val), 2 * (1 - test), np.full(datasets, 1.6)
    cost = rng.uniform(1.0, 3.0, models)[:, None, None, None]
    return CurveSet(
        val=val,
        test=test,
        seconds=np.broadcast_to(cost * grid, val.shape).copy(),
        epochs=grid,
        models=tuple(f"m{i:02d}" for i in range(models)),
        datasets=tuple(f"d{j}" for j in range(datasets)),
        seeds=tuple(range(seeds)),
        metrics=(metric,) * datasets,
        baselines=baselines,
    )


class FakeTrial:
    """A live trial over a formula. `disk` holds checkpoints; `work` counts epochs trained."""

    def __init__(self, model, curve, test, *, disk=None, work=None, fails_at=None):
        self.model = model
        self.horizon = float(curve.epochs[-1])
        self.disk = disk if disk is not None else {}
        self.work = work if work is not None else {}
        self.fails_at = fails_at
        self.tests = 0
        self.closed = 0
        self._full = curve
        self._test = test
        self.curve = curve.upto(self.disk.get(model, 0.0))

    def advance(self, to):
        assert not self.closed
        done = self.curve.epochs[-1] if len(self.curve) else 0.0
        if self.fails_at is not None and to >= self.fails_at:
            raise TrialError(f"{self.model} ran out of memory", status="oom")
        if to > done:
            self.curve = through(self._full, to)
            reached = float(self.curve.epochs[-1])
            self.work[self.model] = self.work.get(self.model, 0.0) + reached - done
            self.disk[self.model] = reached
        return self.curve

    def test(self):
        self.tests += 1
        return self._test

    def close(self):
        self.closed += 1


class Bench:
    """Factories of fake trials for one dataset of a CurveSet, with what they did."""

    def __init__(self, curves, *, dataset=None, seed=0, fails=None, disk=None):
        self.work: dict[str, float] = {}
        self.disk: dict[str, float] | None = disk
        self.opened: dict[str, list[FakeTrial]] = {}
        dataset = dataset or curves.datasets[0]
        j = curves.datasets.index(dataset)

        def factory(i, model):
            def open_trial():
                trial = FakeTrial(
                    model,
                    curves.curve(model, dataset, seed),
                    float(curves.test[i, j, curves.seeds.index(seed)]),
                    disk=self.disk,
                    work=self.work,
                    fails_at=(fails or {}).get(model),
                )
                self.opened.setdefault(model, []).append(trial)
                return trial

            return open_trial

        self.factories = {m: factory(i, m) for i, m in enumerate(curves.models)}


def state_curves(**scores):
    """Curves at whole epochs from lists of validation scores."""
    return {
        model: LearningCurve.of(np.arange(1.0, len(val) + 1), np.asarray(val))
        for model, val in scores.items()
    }


def curve_set(val, test, *, epochs=(1.0,), models=None, metric="accuracy", baselines=0.0):
    """A CurveSet from val (M, D, T) and test (M, D), one seed."""
    val, test = np.asarray(val, dtype=float), np.asarray(test, dtype=float)
    m, d = test.shape
    return CurveSet(
        val=val[:, :, None, :],
        test=test[:, :, None],
        seconds=np.broadcast_to(np.asarray(epochs, dtype=float), val[:, :, None, :].shape).copy(),
        epochs=np.asarray(epochs, dtype=float),
        models=models or tuple("abcdefgh"[:m]),
        datasets=tuple(f"d{j}" for j in range(d)),
        seeds=(0,),
        metrics=(metric,) * d,
        baselines=np.full(d, float(baselines)),
    )


def expected_of(curves):
    """What the benchmarks alone say of the models of a record."""
    scores = curves.test.mean(axis=2)
    matrix = PerformanceMatrix(
        scores,
        np.full(scores.shape, np.nan),
        curves.models,
        curves.datasets,
        curves.metrics,
        curves.baselines,
    )
    return expected_by_record(matrix)


class Planted:
    """Curves that are what `forecast` takes them for, with known parameters.

    final = level + hope + own; val at rung t = level_t + slope_t x hope + own_t + noise_t, with
    normal parts; a test score is the final and the noise of its seed. Skill is the raw score.
    """

    EPOCHS = (0.25, 1.0, 2.0, 4.0)
    SLOPE = np.array([1.0, 0.3, 0.7, 0.9, 1.0])
    OWN = np.array([0.05, 0.02, 0.04, 0.045, 0.05])  # standard deviations
    LEVEL = np.array([0.55, 0.35, 0.45, 0.5, 0.55])
    HOPE = 0.05
    SEED = 0.004  # noise of a seed, in variances of a row

    def __init__(self, *, together=0.8):
        size = len(self.SLOPE)
        self.correlation = together ** np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
        # The final is nearest to the last rung.
        order = [size - 1, *range(size - 1)]
        self.correlation = self.correlation[np.ix_(order, order)]
        self.own = self.correlation * np.outer(self.OWN, self.OWN)
        noise = self.correlation.copy()
        noise[0, 1:] = noise[1:, 0] = 0.0
        self.noise = noise * 0.25 * self.SEED  # a score near 0.5 has variance 1/4 a row

    def draw(self, models, datasets, seeds, rng):
        """A CurveSet with its finals (M, D) and hopes (M, D)."""
        size = len(self.SLOPE)
        hope = rng.normal(0, self.HOPE, (models, datasets))
        own = rng.multivariate_normal(np.zeros(size), self.own, (models, datasets))
        level = self.LEVEL + 0.06 * rng.standard_normal((datasets, 1))
        noise = rng.multivariate_normal(np.zeros(size), self.noise, (models, datasets, seeds))
        clean = level + self.SLOPE * hope[..., None] + own
        scores = clean[:, :, None] + noise
        epochs = np.array(self.EPOCHS)
        curves = CurveSet(
            val=scores[..., 1:],
            test=scores[..., 0],
            seconds=np.broadcast_to(epochs, scores[..., 1:].shape).copy(),
            epochs=epochs,
            models=tuple(f"m{i:02d}" for i in range(models)),
            datasets=tuple(f"d{j}" for j in range(datasets)),
            seeds=tuple(range(seeds)),
            metrics=("accuracy",) * datasets,
            baselines=np.zeros(datasets),
        )
        return curves, clean[..., 0], hope


def expectation(curves, hope, *, target=None, deviation=0.05, level=np.nan, level_deviation=np.nan):
    """What recall would say: hope (M, D) of the benchmarks, and of the target (M,)."""
    models = len(curves.models)
    return Expectation(
        curves.models,
        np.zeros(models) if target is None else np.asarray(target, dtype=float),
        np.full(models, float(deviation)),
        curves.datasets,
        np.asarray(hope, dtype=float),
        level,
        level_deviation,
    )
