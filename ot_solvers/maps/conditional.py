"""Where points of one side go: their conditional laws under an entropic plan, in and out of the sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..backends import registry
from ..costs import Cost, Dot, SqEuclidean
from ..geometry import Grid, PointCloud
from ..penalties import Capacity, Penalty
from ..plans.gibbs import GibbsPlan
from ..result import Solution

__all__ = ["ConditionalLaws", "conditional_laws"]

#: Numbers of a block of rows that is worked out again: pairs times coordinates.
BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class ConditionalLaws:
    """``p_j(x) = b_j exp((f(x) + g_j - c(x, y_j)) / eps)``, of sum 1, for any point x.

    Attributes
    ----------
    cost : Cost
        ``c(x, y)``.
    points : (m, d) float64 array
        The y_j.
    weights : (m,) float64 array >= 0
        The b_j.
    potential : (m,) float64 array, cost units
        The g_j.
    eps : float > 0, cost units
    penalty : Penalty
        Of the side of x.
    backend : str
        Name of the backend that runs the passes over the costs.
    """

    cost: Cost
    points: np.ndarray
    weights: np.ndarray
    potential: np.ndarray
    eps: float
    penalty: Penalty
    backend: str

    def potentials(self, x: np.ndarray) -> np.ndarray:
        """(k,) potentials of the points x (k, d): soft minima of their costs, through the prox of their side."""
        return self.penalty.prox(self._soft_minima(self._cloud(x)), self.eps)

    def images(self, x: np.ndarray, projection: str) -> np.ndarray:
        """(k, d) float64 images of the points x (k, d).

        Parameters
        ----------
        projection : {"twist", "barycentric"}
        """
        if projection == "barycentric" or type(self.cost) in (SqEuclidean, Dot):
            # The slopes of these two are affine in y: both projections are one, and means lose no digits.
            return self.means(x)
        prepared = self.cost.prepare(x)
        return self.cost.unprepare(self.cost.twist(prepared, self._slopes(x)))

    def means(self, x: np.ndarray) -> np.ndarray:
        """(k, d) means of the laws; of costs on the sphere, their directions: NaN where the mean is its centre."""
        cloud = self._cloud(x)
        if not self.cost.on_sphere:
            return self._averages(cloud, self.points)
        means = self._averages(cloud, self.cost.prepare(self.points))
        means[~means.any(axis=1)] = np.nan
        return self.cost.prepare(means)

    # --- passes over the costs --------------------------------------------------------------------------------

    @property
    def _engine(self):
        return registry.get(self.backend)

    def _cloud(self, x: np.ndarray) -> PointCloud:
        return PointCloud(x.astype(np.float64, copy=False), self.points, self.cost)

    def _rows(self, cloud: PointCloud, f: np.ndarray) -> GibbsPlan:
        """Rows of the plan without their weights: the laws, where f are the soft minima."""
        return GibbsPlan(cloud, f, self.potential, np.ones(f.size), self.weights, self.eps)

    def _soft_minima(self, cloud: PointCloud) -> np.ndarray:
        return self._engine.softmin(cloud, self._rows(cloud, np.zeros(1)).h, self.eps)

    def _plan(self, cloud: PointCloud) -> GibbsPlan:
        s = self._soft_minima(cloud)
        return self._rows(cloud, np.where(np.isfinite(s), s, 0.0))

    def _averages(self, cloud: PointCloud, v: np.ndarray) -> np.ndarray:
        """(k, c) means of v (m, c) under the laws."""
        both = self._engine.transport(self._plan(cloud), np.column_stack([v, np.ones(len(v))]))
        return self._normalised(both[:, :-1], both[:, -1], cloud, lambda laws, C, x: laws @ v)

    def _slopes(self, x: np.ndarray) -> np.ndarray:
        """(k, d') derivative of the soft minimum by *prepared* points: the mean slope of the costs."""
        # A cloud of prepared points, so that the backend's derivative is one by these.
        prepared, targets = self._cloud(x).prepared
        cloud = PointCloud(prepared, targets, _BetweenPrepared(self.cost))
        plan = self._plan(cloud)
        mass = self._engine.transport(plan, np.ones((len(self.points), 1)))[:, 0]

        def again(laws, C, x):
            return np.einsum("ij,ijk->ik", laws, self.cost.gradient(x, cloud.y, C))

        return self._normalised(self._engine.cost_gradient(plan), mass, cloud, again)

    def _normalised(
        self, totals: np.ndarray, mass: np.ndarray, cloud: PointCloud, again: Callable[..., np.ndarray]
    ) -> np.ndarray:
        """Sums over the laws divided by their mass, which is 1 but for rounding.

        It is far from 1 where costs are so large in units of eps that exponents have no digit left: at points very
        far from the sample. ``again(laws, C, x)`` makes their sums from laws that are normalised row by row.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            out = totals / mass[:, None]
        lost = np.flatnonzero(~((mass > 0.5) & (mass < 2.0)))
        step = max(1, BLOCK // (len(self.points) * max(1, cloud.depth)))
        for start in range(0, lost.size, step):
            part = lost[start : start + step]
            few = PointCloud(cloud.x[part], cloud.y, cloud.cost)
            C = np.asarray(few.block(0, part.size))
            out[part] = again(self._laws(C), C, few.x)
        return out

    def _laws(self, C: np.ndarray) -> np.ndarray:
        """(k, m) laws from costs (k, m): the soft maximum of their exponents, shifted by the largest one."""
        with np.errstate(divide="ignore"):
            exponents = np.log(self.weights) + (self.potential - C) / self.eps
        # A point all of whose pairs are forbidden has no law: NaN.
        with np.errstate(invalid="ignore"):
            laws = np.exp(exponents - exponents.max(axis=1, keepdims=True))
            return laws / laws.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class _BetweenPrepared(Cost):
    """A cost of points that are prepared already."""

    cost: Cost

    def pairwise(self, x, y, xp=np):
        return self.cost.pairwise(x, y, xp)

    def gradient(self, x, y, c, xp=np):
        return self.cost.gradient(x, y, c, xp)

    def kernel(self, dtype, d):
        return self.cost.kernel(dtype, d)


def conditional_laws(solution: Solution) -> dict[str, ConditionalLaws]:
    """Laws of points of both sides under an entropic plan, by side: ``"a"`` for source points.

    Points are copied. Weights and potentials are in the caller's units.
    """
    problem, geometry = solution._problem, solution.geometry
    assert isinstance(geometry, PointCloud | Grid)
    cost = geometry.cost
    if isinstance(geometry, Grid) and geometry._of is not None:
        cost = cost.swapped()  # a transposed grid keeps the cost and transposes its matrices
    sides = {}
    for side, ground, other in (("a", cost, "b"), ("b", cost.swapped(), "a")):
        own_penalty = problem.penalty_a if side == "a" else problem.penalty_b
        own, opposite = solution._potentials if side == "a" else solution._potentials[::-1]
        own_weights, weights = (problem.a, problem.b) if side == "a" else (problem.b, problem.a)
        if isinstance(own_penalty, Capacity):
            own_penalty = Capacity(own_penalty.top(own_weights, own))
        sides[side] = ConditionalLaws(
            ground,
            np.array(solution._points(other), dtype=np.float64),
            problem.mass * weights,
            opposite.copy(),
            solution.reg,
            own_penalty,
            solution.backend,
        )
    return sides
