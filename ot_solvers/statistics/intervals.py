"""Sampling errors of transport costs: standard errors and confidence intervals from the potentials."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import validation as check
from ..divergence import DivergenceResult
from ..errors import DegenerateLimitWarning, UnsupportedError, stack_depth
from ..geometry import Grid, PointCloud
from ..namespaces import Library
from ..problem import Problem
from ..result import Solution
from ..wasserstein import WassersteinDistance

__all__ = ["confidence_interval", "standard_error"]

#: Weights that differ by more than this share are not uniform: the sum of float32 weights is right to about that.
UNIFORM = 1e-5
#: A standard error below this share of the spread of the potentials is rounding.
NOTHING = 1e-12


def standard_error(result: Any, *, sizes: tuple[float, float] | None = None) -> Any:
    """Standard error of a transport cost or distance between samples, for independent draws.

    Parameters
    ----------
    result : WassersteinDistance, Solution or DivergenceResult
        Of balanced problems between two independent samples of independent draws. Of a `WassersteinDistance` it is
        the error of the distance, by the delta method; of its ``.solution`` that of the p-th power.
    sizes : (float, float), optional
        Numbers of draws behind the weights, where these are relative frequencies of repeated values; ``inf`` for a
        measure that is known. By default every point with weight is one draw, and the weights of a side must be
        equal.

    Returns
    -------
    float, or 0-d array of the caller's library

    Raises
    ------
    ValueError
        For weights that are not uniform without `sizes`, and for samples of less than two draws.
    UnsupportedError
        For unbalanced problems.
    TypeError
        For other results.

    Warns
    -----
    DegenerateLimitWarning
        Where the variance is 0, or a distance or divergence is within two standard errors of 0: between equal laws
        fluctuations are of smaller order, and not normal.

    Notes
    -----
    To first order a transport cost is the mean of its potentials, ``E f(X) + E g(Y)``, so its variance is
    ``var f(X) / n + var g(Y) / m``; for a divergence with ``f_xy - f_xx`` and ``g_xy - g_yy``. See
    `confidence_interval` for when that holds.

    References
    ----------
    [delbarrio:19]_, [delbarrio:21]_ (exact), [sommerfeld:18]_ (exact, finitely many points), [mena:19]_,
    [gonzalezsanz:22]_ (entropic), [bigot:19]_ (entropic, finitely many points), [goldfeld:22]_
    (divergences)

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> x, y = np.random.default_rng(0).normal(size=(2, 500, 1))
    >>> distance = ots.wasserstein(x, y + 3.0)
    >>> error = ots.statistics.standard_error(distance)
    >>> bool(0.05 < error < 0.08)
    True
    """
    estimate = _estimate(result)
    error = estimate.error(sizes)
    if estimate.order is not None:
        size = 0.5 * (estimate.lower + estimate.upper)
        error = error / (estimate.order * size ** (1 - 1 / estimate.order)) if size > 0 else math.nan
    return estimate.library.scalar(error)


def confidence_interval(
    result: Any, level: float = 0.95, *, sizes: tuple[float, float] | None = None
) -> tuple[Any, Any]:
    """Asymptotic confidence interval of a transport cost or distance between two laws, from samples.

    Parameters
    ----------
    result : WassersteinDistance, Solution or DivergenceResult
        See `standard_error`.
    level : float in (0, 1)
        Nominal coverage.
    sizes : (float, float), optional
        See `standard_error`.

    Returns
    -------
    low, high : float, or 0-d arrays of the caller's library
        Of the distance for a `WassersteinDistance`: the roots of the interval of its p-th power. The error of the
        computation, as its certificate has it, is included.

    Raises
    ------
    ValueError, UnsupportedError, TypeError
        As `standard_error`; for a `level` out of range.

    Warns
    -----
    DegenerateLimitWarning
        As `standard_error`. Between equal laws the interval means nothing; `two_sample_test` is the tool for that
        question.

    Notes
    -----
    The normal limit has conditions, and not all can be seen in the data.

    - Entropic costs and Sinkhorn divergences: centred at the population value, in any dimension, for laws with
      light tails; the bias is O(1 / n), small where `reg` is not.
    - Exact costs on a line, p > 1: centred at the population value. In dimensions up to 3 the bias is of the order
      of the error or smaller for smooth laws; from 4 on *the interval is one for the expectation of the empirical
      cost*, which is above the population value by about ``n^(-p / d)``, or ``n^(-2 / d)`` for distant laws.
    - Exact costs need potentials that are unique up to constants: p > 1 and at least one law with a density on a
      connected set, or finitely many points without a partial sum of masses that agrees. Otherwise the limit is a
      maximum over all potentials and not normal. For p = 1 they are often not unique.
    - Divergences, and exact costs that vanish, between equal laws: variance 0, fluctuations of order 1 / n and not
      normal. Nearly equal laws need samples large enough to tell them apart.
    """
    # With the first interval, not with the package: it takes as long to import as all of this subpackage.
    from statistics import NormalDist

    share = check.number(level, "level")
    if not 0 < share < 1:
        raise ValueError(f"level={level!r} must be between 0 and 1")
    estimate = _estimate(result)
    width = NormalDist().inv_cdf(0.5 + 0.5 * share) * estimate.error(sizes)
    low, high = estimate.lower - width, estimate.upper + width
    if estimate.order is not None:
        low, high = (max(end, 0.0) ** (1 / estimate.order) for end in (low, high))
    return estimate.library.scalar(low), estimate.library.scalar(high)


@dataclass(frozen=True)
class _Estimate:
    """A cost between samples, to first order.

    Attributes
    ----------
    what : str
        For messages.
    problem : Problem
        Its weights and mass.
    influence : pair of (n,), (m,) arrays, cost units
        Derivatives of the cost by the weights, up to constants.
    lower, upper : float
        What is known of the cost of these samples.
    vanishes : bool
        Whether equal laws have the value 0, and variance 0 with it.
    order : float or None
        p, where the p-th root is asked for.
    """

    what: str
    problem: Problem
    influence: tuple[np.ndarray, np.ndarray]
    lower: float
    upper: float
    library: Library
    vanishes: bool
    order: float | None = None

    def error(self, sizes: Any) -> float:
        """Standard error of the cost; warns where it is 0."""
        problem = self.problem
        weights = problem.a, problem.b
        variance, scale = 0.0, 0.0
        found = _sizes(weights, sizes)
        for values, w, size in zip(self.influence, weights, found):
            values, w = values[w > 0], w[w > 0]
            if not np.isfinite(values).all():
                raise ValueError(f"{self.what} has potentials that are not finite (status of the solve?)")
            # With the factor n / (n - 1) of an unbiased variance.
            variance += float(w @ (values - w @ values) ** 2) / (size - 1)
            scale = max(scale, float(np.abs(values).max()))
        error = math.sqrt(variance)
        if min(found) < math.inf:
            self._check(problem.mass * error, error <= NOTHING * scale)
        return problem.mass * error

    def _check(self, error: float, nothing: bool) -> None:
        """Warn where the limit is not normal, as far as that shows."""
        if nothing:
            reason = f"the first-order variance of {self.what} is 0"
        elif self.vanishes and self.lower <= 2 * error:
            reason = f"{self.what} is within two standard errors of 0, as between equal laws"
        else:
            return
        warnings.warn(
            f"{reason}: its fluctuations may be of smaller order, and not normal. Whether the laws are equal is a "
            "question for ots.statistics.two_sample_test",
            DegenerateLimitWarning,
            stacklevel=stack_depth(),
        )


def _estimate(result: Any) -> _Estimate:
    if isinstance(result, WassersteinDistance):
        power = _estimate(result.solution)
        lower, upper = result.lower**result.p, result.upper**result.p
        return _Estimate(
            "the distance", power.problem, power.influence, lower, upper, power.library, True, order=result.p
        )
    if isinstance(result, DivergenceResult):
        _check_balanced(result.xy)
        xy, xx, yy = result.xy, result.xx, result.yy
        influence = xy._f - xx._f, xy._g - yy._g
        lower = float(result) - 0.5 * (xx._feasible[0] - xx._dual + yy._feasible[0] - yy._dual)
        upper = xy._feasible[0] - 0.5 * (xx._dual + yy._dual)
        return _Estimate(
            "the divergence", xy._problem, influence, lower, max(upper, float(result)), xy._library, True
        )
    if isinstance(result, Solution):
        _check_balanced(result)
        if result.reg:
            lower, upper = result._dual, result._feasible[0]
        else:
            lower, upper = (float(bound) for bound in result.bounds)
        kind = "the entropic cost" if result.reg else "the cost"
        # Up to rounding bounds may cross.
        lower = min(lower, upper)
        return _Estimate(
            kind, result._problem, (result._f, result._g), lower, upper, result._library, _vanishes(result)
        )
    raise TypeError(
        f"result={type(result).__name__} must be a WassersteinDistance, a Solution or a DivergenceResult: what "
        "ots.wasserstein, ots.solve_sample and ots.sinkhorn_divergence return"
    )


def _vanishes(solution: Solution) -> bool:
    """Whether the cost between equal laws is 0: exact, and points at no distance from themselves."""
    geometry = solution.geometry
    if solution.reg or not isinstance(geometry, PointCloud | Grid):
        return False
    point = geometry.x[:1] if isinstance(geometry, PointCloud) else geometry.points[:1]
    return float(PointCloud(point, point, geometry.cost).block(0, 1)[0, 0]) == 0


def _check_balanced(solution: Solution) -> None:
    if not solution._problem.balanced:
        raise UnsupportedError(
            "standard errors are for balanced transport between samples: this problem is unbalanced, where the "
            "masses are random as well"
        )


def _sizes(weights: tuple[np.ndarray, np.ndarray], sizes: Any) -> tuple[float, float]:
    """Numbers of draws on both sides."""
    if sizes is None:
        return tuple(_draws(w, name) for w, name in zip(weights, "ab"))  # type: ignore[return-value]
    if not (isinstance(sizes, (tuple, list)) and len(sizes) == 2):
        raise TypeError(f"sizes={sizes!r} must be two numbers of draws, one for each side")
    found = []
    for k, size in enumerate(sizes):
        value = check.number(size, f"sizes[{k}]")
        if not value >= 2:
            raise ValueError(f"sizes[{k}]={size!r} must be at least 2 draws, for a variance (inf: known exactly)")
        found.append(value)
    return found[0], found[1]


def _draws(weights: np.ndarray, name: str) -> float:
    """Number of points with weight, which must all have the same."""
    live = weights[weights > 0]
    if live.max() - live.min() > UNIFORM * live.max():
        raise ValueError(
            f"the weights {name} are not uniform, so they do not say how many draws there were. Pass sizes=(n, m) "
            "if they are relative frequencies of repeated values; the error of importance weights is not covered"
        )
    if live.size < 2:
        raise ValueError(
            f"the side of {name} has {live.size} point with weight: one draw has no variance. Pass sizes=(n, m) "
            "with inf for a measure that is known"
        )
    return float(live.size)
