"""Means over the sphere from values at some directions, and how far off they may be."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from .directions import Directions

__all__ = ["CONTROL_VARIATES", "Mean", "estimate"]

CONTROL_VARIATES = ("moments", "harmonics")
#: Directions per coefficient of a regression, at least.
SAMPLES = 3


class Mean(NamedTuple):
    """An estimate that is linear in the values.

    Attributes
    ----------
    weights : (L,) array
        Of the values; their sum is 1.
    value, error : float
        The estimate and its standard error; NaN where one value says nothing about it.
    """

    weights: np.ndarray
    value: float
    error: float


def estimate(values: np.ndarray, directions: Directions, features: np.ndarray | None = None) -> Mean:
    """The mean over the sphere.

    Parameters
    ----------
    values : (L,) array
    directions : Directions
    features : (L, q) array, optional
        Functions of the direction whose mean is 0: what they explain of the values by linear regression costs
        nothing, whatever is left is averaged.
    """
    count = values.size
    weights = np.full(count, 1.0 / count)
    rest = values - values.mean()
    coefficients = 0
    if features is not None:
        around = features - features.mean(axis=0)
        left, sizes, right = np.linalg.svd(around, full_matrices=False)
        kept = sizes > 1e-10 * sizes.max(initial=0.0)
        basis, coefficients = left[:, kept], int(kept.sum())
        # The regression at features 0, their mean over the sphere, instead of their mean over the directions.
        weights = weights - basis @ ((right[kept] @ features.mean(axis=0)) / sizes[kept])
        rest = rest - basis @ (basis.T @ rest)
    return Mean(weights, float(weights @ values), _standard_error(rest, weights, directions.groups, coefficients))


def _standard_error(rest: np.ndarray, weights: np.ndarray, groups: np.ndarray, coefficients: int) -> float:
    """From how far the groups are apart; from how far the directions are where there is one group."""
    count = rest.size
    number = int(groups[-1]) + 1
    if number == 1:
        groups, number = np.arange(count), count
    if number == 1 or count - 1 <= coefficients:
        return math.nan
    parts = np.bincount(groups, weights * rest, minlength=number)
    return math.sqrt(float(parts @ parts) * number / (number - 1) * (count - 1) / (count - 1 - coefficients))


def harmonics(directions: np.ndarray) -> np.ndarray:
    """(L, q) even spherical harmonics, of as many degrees as there are directions for {cite:p}`leluc:24`.

    Homogeneous polynomials of an even degree span, on the sphere, all harmonics of even degrees up to it; the
    mean of a monomial is known. Odd ones have nothing to explain: opposite directions have equal values.

    Raises
    ------
    ValueError
        If there are too few directions for the lowest degree.
    """
    count, d = directions.shape
    half = 0
    while half < 6 and SAMPLES * math.comb(d + 2 * half + 1, 2 * half + 2) <= count:
        half += 1
    if half == 0:
        needed = SAMPLES * math.comb(d + 1, 2)
        raise ValueError(
            f"control_variate='harmonics' needs at least {needed} directions in {d} dimensions, not {count}; "
            "use more, or 'moments'"
        )
    columns = []
    for factors in itertools.combinations_with_replacement(range(d), 2 * half):
        powers = np.bincount(factors, minlength=d)
        columns.append(np.prod(directions[:, list(factors)], axis=1) - _monomial_mean(powers, d))
    return np.stack(columns, axis=1)


def _monomial_mean(powers: np.ndarray, d: int) -> float:
    """Mean of a monomial over the sphere."""
    if (powers % 2).any():
        return 0.0
    odd = math.prod(math.prod(range(1, int(power), 2)) for power in powers)
    return odd / math.prod(d + 2 * k for k in range(int(powers.sum()) // 2))


def moments(x, y, a, b, directions: np.ndarray) -> np.ndarray:
    """(L, 3) squared difference of projected means, and both projected variances {cite:p}`nguyen:23`."""
    d = directions.shape[1]
    columns = []
    centres = []
    for z, w in ((x, a), (y, b)):
        centre = w @ z
        spread = (z - centre) * np.sqrt(w)[:, None]
        covariance = spread.T @ spread
        centres.append(centre)
        columns.append(np.einsum("lk,kj,lj->l", directions, covariance, directions) - np.trace(covariance) / d)
    between = centres[0] - centres[1]
    return np.stack([(directions @ between) ** 2 - between @ between / d, *columns], axis=1)
