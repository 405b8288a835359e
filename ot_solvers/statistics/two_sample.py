"""Permutation tests of whether two samples have the same law, by transport distances."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from .. import costs
from .. import validation as check
from ..api import Options
from ..backends import registry
from ..divergence import DivergenceResult
from ..geometry import DenseGeometry, Geometry, PointCloud
from ..namespaces import Library, resolve
from ..regularisers import Entropic, absolute, entropic
from ..result import Solution
from ..solvers.divergence import SymmetricSinkhorn
from ..solvers.exact.line import on_a_line, staircase
from ..wasserstein import ground_cost, order_of
from .many import PRECISE, Solves, exact_costs, portion
from .permutation import PermutationProgress, PermutationTest, permuted

__all__ = ["TwoSampleResult", "two_sample_test"]

STATISTICS = ("wasserstein", "sinkhorn", "energy")
#: Pooled costs are stored up to so many: 128 MB.
STORED = 1 << 24
#: Marginal error of Sinkhorn divergences: their values are wrong by its square.
TOL = 1e-6


class TwoSampleResult(PermutationTest):
    """A distance between two samples with its permutation test.

    Attributes
    ----------
    value : float, or 0-d array of the caller's library
        The distance of the samples.
    null_values : (B,) array
        Distances of random halves of the pooled sample, of the same sizes.
    p_value : float
        Of the hypothesis that both samples have the same law.
    n_permutations : int
        B, those done: fewer than asked for if a callback has stopped the test.
    statistic : str
        ``"wasserstein"``, ``"sinkhorn"`` or ``"energy"``.
    sizes : (int, int)
        Of the samples.
    reg : float
        Of a Sinkhorn divergence, in cost units; 0 for others.
    """

    def __init__(self, value, null_values, p_value, library, *, statistic, described, sizes, reg):
        super().__init__(value, null_values, p_value, library)
        self.statistic, self.sizes, self.reg = statistic, sizes, reg
        self._described = described

    def __repr__(self) -> str:
        lines = [
            f"Two-sample permutation test by the {self._described}",
            f"  samples       {self.sizes[0]} and {self.sizes[1]} points",
            *self._lines(),
            "  more          .value .debiased .effect .p_value .null_values",
        ]
        return "\n".join(lines)


def two_sample_test(
    x: Any,
    y: Any,
    *,
    statistic: str = "wasserstein",
    p: float = 2,
    cost: Any = None,
    reg: Any = None,
    reg_relative_to: str | None = None,
    n_permutations: int = 199,
    seed: Any = None,
    backend: str = "auto",
    tol: float | None = None,
    callback: Callable[[PermutationProgress], object] | None = None,
    on_failure: str = "warn",
) -> TwoSampleResult:
    """Permutation test of the hypothesis that two samples come from one law.

    The distance of the samples is compared with that of random divisions of the pooled sample. Costs within the
    pooled sample are computed once.

    Parameters
    ----------
    x : (n, d) array
    y : (m, d) array
        Of the same array library.
    statistic : {"wasserstein", "sinkhorn", "energy"}
        ``W_p`` (exact), the Sinkhorn divergence at `reg`, or the energy distance
        ``2 E c(X, Y) - E c(X, X') - E c(Y, Y')``.
    p : float >= 1
        Order of ``"wasserstein"``, whose ground distance is Euclidean.
    cost : str or Cost, optional
        Of ``"sinkhorn"`` (``"sqeuclidean"`` by default) and ``"energy"`` (``"euclidean"``); symmetric.
    reg : float or Entropic
        Of ``"sinkhorn"``; never chosen silently.
    reg_relative_to : {None, "mean", "max"}
        Multiply a float `reg` by that statistic of the costs within the pooled sample.
    n_permutations : int >= 0
        0: only the value, with p-value 1.
    seed : None, int or numpy.random.Generator
    backend : {"auto", "numba", "reference"}
    tol : float, optional
        Marginal error of the problems of a Sinkhorn divergence; 1e-6 by default.
    callback : callable, optional
        Called with a `PermutationProgress` every few permutations; returning True stops, with the test of those
        that are done. A stop that looks at the p-value makes it too small.
    on_failure : {"warn", "raise", "ignore"}
        What to do when `tol` was not reached.

    Returns
    -------
    TwoSampleResult
        Acts as a float; ``.p_value``, ``.null_values``, ``.effect``.

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument, and for arguments that the statistic does not have.

    Notes
    -----
    Exact at every sample size: under the hypothesis the p-value is at most `t` with probability at most `t`. What
    differs between statistics is power. In high dimensions distances of samples are mostly bias, the same under
    the hypothesis and without it; Sinkhorn divergences, whose limit for large `reg` is the energy distance of
    their cost, lose less there [ramdas:17]_, [feydy:19]_.

    References
    ----------
    [ramdas:17]_, [feydy:19]_, [szekely:13]_ (energy distances), [phipson:10]_ (p-values)

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> x, y = np.random.default_rng(0).normal(size=(2, 60, 2))
    >>> ots.statistics.two_sample_test(x, y + 0.8, seed=0).p_value
    0.005
    """
    word = check.choice(statistic, "statistic", STATISTICS)
    check.choice(on_failure, "on_failure", ("warn", "raise", "ignore"))
    if callback is not None and not callable(callback):
        raise TypeError(f"callback={callback!r} is not callable")
    permutations = check.count(n_permutations, "n_permutations", 0)
    order = order_of(p)
    generator = np.random.default_rng(seed)
    name = resolve({"x": x, "y": y})
    ground = _ground(word, order, cost)
    first, second = check.points(x, "x"), check.points(y, "y")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"x has {first.shape[1]} coordinates and y {second.shape[1]}; expected the same number")
    ground.check(first, "x")
    ground.check(second, "y")
    library = Library(name, np.result_type(first, second))
    cloud = PointCloud(*2 * (np.concatenate([first, second]).astype(np.float64),), ground)
    if not math.isfinite(cloud.spread()):
        raise ValueError(f"the costs of {cloud!r} overflow float64: divide the points by a constant")
    n, m = len(first), len(second)
    solves = Solves(on_failure)
    chosen: _Statistic
    if word == "sinkhorn":
        eps = absolute(
            entropic(reg, reg_relative_to), cloud, registry.get("numba" if backend == "auto" else backend)
        )
        within = check.tolerance(TOL if tol is None else tol, np.dtype(np.float64))
        chosen = _Sinkhorn(_pooled(cloud), eps, n, backend, within, solves)
    else:
        given = [
            k for k, v in {"reg": reg, "reg_relative_to": reg_relative_to, "tol": tol}.items() if v is not None
        ]
        if given:
            raise ValueError(f"{given[0]} is for statistic='sinkhorn', not for {word!r}")
        eps = 0.0
        if word == "energy":
            chosen = _Energy(_pooled(cloud), n)
        elif on_a_line(cloud) is not None:
            chosen = _Line(cloud.x[:, 0], order, n)
        else:
            chosen = _Wasserstein(_pooled(cloud), order, n, backend)

    null = permuted(
        chosen.scores,
        np.arange(n + m),
        lambda: generator.permutation(n + m),
        permutations,
        portion(n, m),
        chosen.rounding,
        callback,
    )
    solves.report()
    return TwoSampleResult(
        float(chosen.value(np.array(null.observed))), chosen.value(null.permuted), null.p_value, library,
        statistic=word, described=chosen.described, sizes=(n, m), reg=eps,
    )  # fmt: skip


def _ground(statistic: str, order: float, cost: Any) -> costs.Cost:
    """The cost of a statistic."""
    if statistic == "wasserstein":
        if cost is not None:
            raise ValueError(f"cost={cost!r} is for 'sinkhorn' and 'energy'; 'wasserstein' has p")
        return ground_cost(order)
    if cost is None:
        return costs.SqEuclidean() if statistic == "sinkhorn" else costs.Euclidean()
    ground = check.read_cost(cost)
    if not ground.symmetric:
        raise ValueError(f"cost={cost!r} is not symmetric; a divergence needs c(x, y) = c(y, x)")
    return ground


def _pooled(cloud: PointCloud) -> Geometry:
    """Costs within the pooled sample, stored where they fit."""
    size = cloud.shape[0]
    return DenseGeometry(np.asarray(cloud.block(0, size))) if size * size <= STORED else cloud


def _between(pool: Geometry, rows: np.ndarray, columns: np.ndarray) -> Geometry:
    """Costs between some points of the pool and others."""
    part = pool.sampled(rows, columns)
    assert part is not None  # matrices and clouds have parts
    return part


class _Statistic(Protocol):
    """A distance between the first n points of an ordered pool and the others."""

    #: For the first line of the result.
    described: str
    #: Differences of scores that are none.
    rounding: float

    def scores(self, orders: Sequence[np.ndarray]) -> np.ndarray:
        """Increasing functions of the distance, without roots: rounding near 0 stays what it is."""

    def value(self, scores: np.ndarray) -> np.ndarray:
        """Distances from scores."""


class _Wasserstein:
    def __init__(self, pool: Geometry, order: float, n: int, backend: str):
        self.pool, self.order, self.n, self.backend = pool, order, n, backend
        self.described = f"Wasserstein distance of order {order:g}"
        self.rounding = 1e-12 * pool.spread()

    def scores(self, orders):
        n, m = self.n, orders[0].size - self.n
        # Indices in order: equal divisions are equal problems, to the last bit.
        parts = [(np.sort(order[:n]), np.sort(order[n:])) for order in orders]
        return exact_costs((_between(self.pool, *part) for part in parts), len(parts), n, m, self.backend)

    def value(self, scores):
        return np.maximum(scores, 0.0) ** (1 / self.order)


class _Line:
    """`_Wasserstein` where sorting solves it."""

    def __init__(self, z: np.ndarray, order: float, n: int):
        self.z, self.order, self.n = z, order, n
        self.described = f"Wasserstein distance of order {order:g}, on a line"
        self.rounding = 1e-12 * float(np.ptp(z)) ** order
        self.a, self.b = np.full(n, 1 / n), np.full(z.size - n, 1 / max(1, z.size - n))

    def scores(self, orders):
        out = np.empty(len(orders))
        for k, order in enumerate(orders):
            x, y = np.sort(self.z[order[: self.n]]), np.sort(self.z[order[self.n :]])
            path = staircase(x, y, self.a, self.b)
            out[k] = path.masses @ np.abs(x[path.rows] - y[path.columns]) ** self.order
        return out

    def value(self, scores):
        return scores ** (1 / self.order)


class _Energy:
    described = "energy distance"

    def __init__(self, pool: Geometry, n: int):
        self.pool, self.n = pool, n
        self.rounding = 1e-12 * pool.spread()

    def scores(self, orders):
        size = self.pool.shape[0]
        # +1 / n in the first sample, -1 / m in the second: minus the quadratic form of the costs.
        signs = np.empty((size, len(orders)))
        for k, order in enumerate(orders):
            signs[order[: self.n], k] = 1 / self.n
            signs[order[self.n :], k] = -1 / (size - self.n)
        total = np.zeros(len(orders))
        step = max(1, STORED // size)
        for start in range(0, size, step):
            stop = min(size, start + step)
            total -= (signs[start:stop] * (np.asarray(self.pool.block(start, stop)) @ signs)).sum(axis=0)
        return total

    def value(self, scores):
        return scores


class _Sinkhorn:
    described = "Sinkhorn divergence"

    def __init__(self, pool: Geometry, eps: float, n: int, backend: str, tol: float, solves: Solves):
        self.pool, self.n, self.solves = pool, n, solves
        options = Options(Entropic(eps), backend=backend, tol=tol, on_failure="ignore")
        self.options = options
        self.mirrored = Options(
            Entropic(eps), method=SymmetricSinkhorn(), backend=backend, tol=tol, on_failure="ignore"
        )
        self.described = f"Sinkhorn divergence, reg = {eps:.6g}"
        self.rounding = max(1e-12, 1e-2 * tol) * pool.spread()
        # Random halves look like the pool: potentials of its self-transport start theirs. Between two halves that
        # differ by a point of a distant cluster they are no start, and eps-scaling is a better one.
        self.start = solves.solve(pool, self.mirrored).potential_a

    def scores(self, orders):
        return np.array([self._divergence(np.sort(o[: self.n]), np.sort(o[self.n :])) for o in orders])

    def _divergence(self, first: np.ndarray, second: np.ndarray) -> float:
        xy = self.solves.solve(_between(self.pool, first, second), self.options)
        xx, yy = self._own(first), self._own(second)
        return float(DivergenceResult(xy, xx, yy, PRECISE))

    def _own(self, part: np.ndarray) -> Solution:
        f = self.start[part]
        return self.solves.solve(_between(self.pool, part, part), replace(self.mirrored, init=(f, f)))

    def value(self, scores):
        return scores
