"""The maximum mean discrepancy between samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import validation as check

__all__ = ["mmd"]

KERNELS = ("gaussian", "laplacian", "energy")
#: Kernel values of a block.
BLOCK = 1 << 21
#: Points that the median of distances is taken of.
MEDIAN_POINTS = 1000


def mmd(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    kernel: str = "gaussian",
    bandwidth: Any = "median",
    unbiased: bool = False,
) -> float:
    """Squared maximum mean discrepancy: ``E k(X, X') + E k(Y, Y') - 2 E k(X, Y)``.

    Parameters
    ----------
    x : (n, d) array
    y : (m, d) array
    a : (n,) array >= 0, optional
    b : (m,) array >= 0, optional
        Weights; uniform by default. Their totals do not matter.
    kernel : {"gaussian", "laplacian", "energy"}
        ``exp(-|x - y|^2 / (2 h^2))``, ``exp(-|x - y| / h)``, or ``-|x - y|``, which has no bandwidth h and gives
        the energy distance.
    bandwidth : "median", float > 0 or sequence of them
        h, in units of distance. The median of the distances within the pooled sample (of 1000 of its points, where
        there are more); several: the mean of their kernels.
    unbiased : bool
        Leave out pairs of a point with itself. The value may then be negative.

    Returns
    -------
    float
        Squared, as it is usually stated.

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument; for points that are all equal where a median is asked for.

    Notes
    -----
    O((n + m)^2 d) time; kernel values are computed in blocks and not kept.

    References
    ----------
    [gretton:12]_, [szekely:13]_ (energy distances)
    """
    word = check.choice(kernel, "kernel", KERNELS)
    first, second = (check.points(z, name).astype(np.float64) for z, name in ((x, "x"), (y, "y")))
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"x has {first.shape[1]} coordinates and y {second.shape[1]}; expected the same number")
    weights = [check.shares(a, "a", len(first)), check.shares(b, "b", len(second))]
    if word == "energy":
        if not (isinstance(bandwidth, str) and bandwidth == "median"):
            raise ValueError(f"bandwidth={bandwidth!r} is for the other kernels; kernel='energy' has none")
        widths = np.ones(1)
    else:
        widths = _bandwidths(bandwidth, first, second)
    own = [
        _own(points, masses, word, widths, unbiased, name)
        for points, masses, name in ((first, weights[0], "x"), (second, weights[1], "y"))
    ]
    return own[0] + own[1] - 2 * _mean(first, second, weights[0], weights[1], word, widths)


def _own(points, weights, kernel: str, widths, unbiased: bool, name: str) -> float:
    """Mean of the kernel over pairs of points of one sample."""
    mean = _mean(points, points, weights, weights, kernel, widths)
    if not unbiased:
        return mean
    twice = float(weights @ weights)
    if not twice < 1:
        raise ValueError(f"{name} has one point of positive weight; unbiased=True needs two")
    # The kernel of a point with itself is 1, and minus a distance 0.
    return (mean - (0.0 if kernel == "energy" else twice)) / (1 - twice)


def _mean(x, y, a, b, kernel: str, widths) -> float:
    """``sum a_i b_j k(x_i, y_j)``."""
    from scipy.spatial.distance import cdist

    step = max(1, BLOCK // len(y))
    total = 0.0
    for start in range(0, len(x), step):
        block = cdist(x[start : start + step], y, "sqeuclidean" if kernel == "gaussian" else "euclidean")
        rows = a[start : start + step]
        if kernel == "energy":
            total -= float(rows @ (block @ b))
            continue
        for h in widths:
            values = np.exp(block * (-0.5 / h**2 if kernel == "gaussian" else -1 / h))
            total += float(rows @ (values @ b)) / len(widths)
    return total


def _bandwidths(bandwidth: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if isinstance(bandwidth, str):
        check.choice(bandwidth, "bandwidth", ("median",))
        return np.array([median_distance(np.concatenate([x, y]))])
    widths = check.floating(bandwidth, "bandwidth").astype(np.float64)
    if widths.ndim > 1 or widths.size == 0:
        raise ValueError(f"bandwidth has shape {widths.shape}; expected a number, or a sequence of them")
    widths = np.atleast_1d(widths)
    for h in widths:
        # Squares of it must be numbers as well.
        if not (math.isfinite(h) and h > 0 and 0 < h * h < math.inf):
            raise ValueError(f"bandwidth={h:g} must be positive and finite")
    return widths


def median_distance(points: np.ndarray) -> float:
    """Median of the positive distances between points (n, d), or evenly chosen ones of them.

    Raises
    ------
    ValueError
        Where all points are equal.
    """
    from scipy.spatial.distance import pdist

    size = len(points)
    chosen = np.linspace(0, size - 1, min(size, MEDIAN_POINTS)).round().astype(np.int64)
    distances = pdist(points[chosen])
    # Repeated points say nothing about scale.
    distances = distances[distances > 0]
    if distances.size == 0:
        raise ValueError("all points are equal and have no median distance: give bandwidth a number")
    return float(np.median(distances))
