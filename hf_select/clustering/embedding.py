"""Models as points of a plane: near each other if they behave alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WORK = 5e7
"""Distances that the refinement may look at, all its steps together: a second or two."""

STEPS = 100
"""Steps of the refinement, at most."""


def embed(distance: Array) -> tuple[Array, float]:
    """Coordinates of models (M, 2), in units of distance, and how well they tell the distances.

    distance (M, M). Classical scaling (Torgerson 1952), refined by majorisation of the stress
    (SMACOF, de Leeuw 1977), since the distance between two models isn't Euclidean. The second value
    is the correlation of the distances with those in the plane, NaN where all are the same. The
    same distances give the same points; which way round the plane lies means nothing.

    >>> points, told = embed(np.array([[0.0, 3.0, 5.0], [3.0, 0.0, 4.0], [5.0, 4.0, 0.0]]))
    >>> round(float(np.linalg.norm(points[0] - points[2])), 3), round(told, 3)
    (5.0, 1.0)
    """
    distance = np.asarray(distance, dtype=np.float64)
    models = len(distance)
    if models < 3 or distance.max() < 1e-12:
        points = np.zeros((models, 2))
        if models == 2:
            points[:, 0] = np.array([-0.5, 0.5]) * distance[0, 1]
        return points, float("nan")
    points = _classical(distance)
    for _ in range(min(STEPS, int(WORK / models**2))):
        moved = _guttman(distance, points)
        if np.abs(moved - points).max() < 1e-6 * max(distance.max(), 1e-12):
            break
        points = moved
    return points - points.mean(axis=0), _told(distance, points)


def _classical(distance: Array) -> Array:
    """The plane that keeps most of the squared distances (M, 2)."""
    from scipy.linalg import eigh

    squared = distance**2
    rows = squared.mean(axis=1)
    gram = -0.5 * (squared - rows[:, None] - rows[None, :] + squared.mean())
    last = len(distance) - 1
    values, vectors = eigh(gram, subset_by_index=[last - 1, last])
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[largest, [0, 1]] < 0, -1.0, 1.0)
    points: Array = vectors * np.sqrt(np.maximum(values, 0.0))
    return points


def _guttman(distance: Array, points: Array) -> Array:
    """One step of majorisation: never more stress than before."""
    apart = _apart(points)
    ratio = np.divide(distance, apart, out=np.zeros_like(distance), where=apart > 1e-12)
    pull = -ratio
    np.fill_diagonal(pull, 0.0)
    np.fill_diagonal(pull, -pull.sum(axis=1))
    moved: Array = pull @ points / len(points)
    return moved


def _apart(points: Array) -> Array:
    """Distances in the plane (M, M)."""
    length = (points**2).sum(axis=1)
    squared = length[:, None] + length[None, :] - 2.0 * (points @ points.T)
    np.fill_diagonal(squared, 0.0)
    return np.sqrt(np.maximum(squared, 0.0))


def _told(distance: Array, points: Array) -> float:
    upper = np.triu_indices(len(distance), 1)
    one, other = distance[upper], _apart(points)[upper]
    if np.ptp(one) < 1e-12 or np.ptp(other) < 1e-12:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
