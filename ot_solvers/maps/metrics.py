"""How far a map is from the right one, where that is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import validation as check
from ..costs import Sphere

__all__ = ["displacement_cosine", "geodesic_deviation", "l2_uvp"]


def l2_uvp(predicted: Any, true: Any, target: Any = None, *, a: Any = None) -> float:
    """Unexplained variance of a map, in percent: ``100 E |T'(x) - T(x)|^2 / Var(nu)``.

    0 for the right map, 100 for the map that sends all points to the mean of the target.

    Parameters
    ----------
    predicted : (n, d) array
        Images T'(x_i).
    true : (n, d) array
        Where they belong: T(x_i).
    target : (m, d) array or float > 0, optional
        Sample of the target law nu, or its variance, the trace of the covariance; by default that of `true`.
    a : (n,) array >= 0, optional
        Weights of the points; uniform by default.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        For arrays of different shape, and a target without variance.

    References
    ----------
    [korotin:21b]_, [korotin:21]_
    """
    predicted, true = _pair(predicted, true)
    weights = check.shares(a, "a", len(true))
    error = float(weights @ ((predicted - true) ** 2).sum(axis=1))
    if target is None:
        variance = _variance(true, weights)
    elif np.ndim(target) == 0:
        variance = check.number(target, "target", "the variance of the target law")
    else:
        sample = check.points(target, "target").astype(np.float64)
        if sample.shape[1] != true.shape[1]:
            raise ValueError(f"target has {sample.shape[1]} coordinates and true {true.shape[1]}")
        variance = _variance(sample, np.full(len(sample), 1 / len(sample)))
    if not 0 < variance < np.inf:
        raise ValueError(f"the target law has variance {variance:g}; expected a positive, finite one")
    return 100 * error / variance


def displacement_cosine(x: Any, predicted: Any, true: Any, *, a: Any = None) -> float:
    """Cosine between the displacements of a map and those of the right one, as vectors of L2.

    ``E <T'(x) - x, T(x) - x> / (|T' - id| |T - id|)`` with norms of L2: 1 for displacements in the right
    directions and proportions, whatever their common length.

    Parameters
    ----------
    x : (n, d) array
    predicted : (n, d) array
        Images T'(x_i).
    true : (n, d) array
        Where they belong: T(x_i).
    a : (n,) array >= 0, optional
        Weights of the points; uniform by default.

    Returns
    -------
    float in [-1, 1]

    Raises
    ------
    ValueError, TypeError
        For arrays of different shape, and for a map that moves nothing, which has no direction.

    References
    ----------
    [korotin:21b]_
    """
    predicted, true = _pair(predicted, true)
    points = check.points(x, "x").astype(np.float64)
    if points.shape != true.shape:
        raise ValueError(f"x has shape {points.shape} and true {true.shape}; expected the same")
    weights = check.shares(a, "a", len(true))
    first, second = predicted - points, true - points
    lengths = [float(np.sqrt(weights @ (z**2).sum(axis=1))) for z in (first, second)]
    for length, name in zip(lengths, ("predicted", "true")):
        if not length > 0:
            raise ValueError(f"{name} equals x: a map that moves nothing has no direction")
    product = float(weights @ (first / lengths[0] * (second / lengths[1])).sum(axis=1))
    return max(-1.0, min(1.0, product))


def geodesic_deviation(predicted: Any, true: Any, *, a: Any = None) -> float:
    """Mean angle between where points of the sphere were sent and where they belong, in radians.

    Parameters
    ----------
    predicted, true : (n, d) arrays
        Unit vectors.
    a : (n,) array >= 0, optional
        Weights of the points; uniform by default.

    Returns
    -------
    float in [0, pi]

    Raises
    ------
    ValueError, TypeError
        For arrays of different shape, and for what are no unit vectors.
    """
    predicted, true = _pair(predicted, true)
    sphere = Sphere()
    for points, name in ((predicted, "predicted"), (true, "true")):
        sphere.check(points, name)
    first, second = (sphere.prepare(z)[:, None, :] for z in (predicted, true))
    return float(check.shares(a, "a", len(true)) @ sphere.pairwise(first, second)[:, 0, 0])


def _pair(predicted: Any, true: Any) -> tuple[np.ndarray, np.ndarray]:
    first, second = (check.points(z, k).astype(np.float64) for z, k in ((predicted, "predicted"), (true, "true")))
    if first.shape != second.shape:
        raise ValueError(f"predicted has shape {first.shape} and true {second.shape}; expected the same")
    return first, second


def _variance(points: np.ndarray, weights: np.ndarray) -> float:
    """Trace of the covariance, of the points as they are (no correction for the sample)."""
    return float(weights @ ((points - weights @ points) ** 2).sum(axis=1))
