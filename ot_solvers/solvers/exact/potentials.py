"""Rough entropic potentials, for the choice of the pairs that exact transport may use.

A few sweeps per level of eps, on a sample of the points as long as that tells enough: potentials of a sample
extend to all points by a soft minimum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...geometry import DenseGeometry, PointCloud, SparseGeometry
from ...geometry.base import Geometry
from ...penalties import Capacity, Penalty
from ...plans.gibbs import GibbsPlan
from ...problem import Problem
from ..base import Control
from ..partial import passes_of
from ..passes import SinkhornPasses

__all__ = ["Marginals", "knows_neighbours", "refined", "rough", "usual_spread"]

#: Points on the smaller side above which a quarter of them goes first.
SAMPLE_ABOVE = 3000
SAMPLE_SHARE = 4
#: Rows of a sample by which its potentials are extended.
EXTENDED_BY = 2048
#: Sweeps on every level, and on the first of all points after a sample.
SWEEPS, SWEEPS_AFTER_SAMPLE = 3, 4
#: Targets of a row, on the median, at which levels end: then its nearest ones are known. (Measured for n = 6000,
#: d = 3 and 20: 24 takes up to 20 % more time in all, 12 takes 15 to 36 %: they end at an eps where few sweeps are
#: too few.)
CROWD = 48.0
#: Levels over candidates only, each half of the one before, and sweeps on each; a last one takes more.
REFINING_LEVELS, REFINING_SWEEPS, LAST_SWEEPS = 4, 20, 100
#: Levels end there at the latest, relative to the range of the costs.
SMALLEST_EPS = 1e-7
#: Below this share of the range of the costs, rounding of float32 exponents shows.
FLOAT32_EPS = 3e-5

Passed = Callable[[float, float], None]


class Marginals(NamedTuple):
    """What a plan has to do at the points.

    Attributes
    ----------
    a, b : (n,), (m,) arrays >= 0
        Balanced: of sum 1 each. Partial: in units of the mass to be moved.
    penalty_a, penalty_b : Penalty
    """

    a: np.ndarray
    b: np.ndarray
    penalty_a: Penalty
    penalty_b: Penalty

    @classmethod
    def of(cls, problem: Problem) -> Marginals:
        return cls(problem.a, problem.b, problem.penalty_a, problem.penalty_b)

    def sampled(self, rows: np.ndarray, columns: np.ndarray) -> Marginals:
        """Those of some points, which share the mass of all."""
        a, b = self.a[rows], self.b[columns]
        return self._replace(a=a * (self.a.sum() / a.sum()), b=b * (self.b.sum() / b.sum()))


def rough(
    geometry: Geometry,
    marginals: Marginals,
    backend,
    passed: Passed,
    start: tuple[np.ndarray, float] | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Potentials (f, g) at an eps at which rows have a few targets left each.

    Parameters
    ----------
    geometry : Geometry, shape (n, m)
    marginals : Marginals
    passed : callable
        Told (eps, marginal error) after every pass over the cost of all points.
    start : (g, eps), optional
        Potentials to go on from.
    """
    n, m = geometry.shape
    a, b = marginals.a, marginals.b
    spread = usual_spread(geometry, a, b, backend)
    if not spread > 0:
        return np.zeros(n), np.zeros(m), 0.0
    sample = _sample(geometry, a, b) if start is None else None
    if start is not None:
        (g, eps), sweeps = start, SWEEPS
    elif sample is None:
        eps, g, sweeps = spread / 4, np.zeros(m), SWEEPS
    else:
        rows, columns = sample
        part = geometry.sampled(rows, columns)
        assert part is not None
        few = marginals.sampled(rows, columns)
        f, _, eps = rough(part, few, backend, lambda *_: None)
        some = np.linspace(0, rows.size - 1, min(rows.size, EXTENDED_BY)).astype(np.int64)
        strip = geometry.sampled(rows[some], np.arange(m))
        assert strip is not None
        fewer = few.a[some] * (a.sum() / few.a[some].sum())
        g = backend.softmin(strip.T, np.log(fewer) + f[some] / eps, eps)
        if isinstance(marginals.penalty_b, Capacity):
            g = np.minimum(g, marginals.penalty_b.level(g[b > 0], b[b > 0], eps))
        sweeps = SWEEPS_AFTER_SAMPLE
    passes = _passes(geometry, marginals, eps, backend)
    while True:
        for _ in range(sweeps):
            if eps < FLOAT32_EPS * spread:
                passes.precision = "float64"
            error = passes.measure(g, eps)
            passed(eps, error)
            g = passes.image(g, eps)
        plan = GibbsPlan(geometry, passes.f, g, a, b, eps)
        if _crowd(plan, backend) <= CROWD or eps <= SMALLEST_EPS * spread:
            return passes.f, g, eps
        eps, sweeps = eps / 2, SWEEPS


def knows_neighbours(problem: Problem, f: np.ndarray, g: np.ndarray, eps: float, backend) -> bool:
    """Whether potentials of an eps leave rows a few targets each, so that no rougher start is needed."""
    if eps == 0:
        return True
    return _crowd(GibbsPlan(problem.geometry, f, g, problem.a, problem.b, eps), backend) <= CROWD


def usual_spread(geometry: Geometry, a, b, backend) -> float:
    """Range of most of the costs: a few huge ones must not set the scale."""
    rows, columns = (np.flatnonzero(w > 0) for w in (a, b))
    generator = np.random.default_rng(0)
    costs = backend.pair_costs(geometry, generator.choice(rows, 4096), generator.choice(columns, 4096))
    costs = costs[np.isfinite(costs)]
    if not costs.size:
        return geometry.spread()
    low, high = np.quantile(costs, (0.0, 0.95))
    return float(high - low) or float(costs.max() - low)


def _sample(geometry, a, b):
    """Rows and columns to go first; None where all may."""
    rows, columns = np.flatnonzero(a > 0), np.flatnonzero(b > 0)
    if not isinstance(geometry, PointCloud | DenseGeometry) or geometry.forbids:
        return None
    if min(rows.size, columns.size) <= SAMPLE_ABOVE:
        return None
    generator = np.random.default_rng(0)  # the same sample in every solve
    return tuple(np.sort(generator.permutation(side)[: side.size // SAMPLE_SHARE]) for side in (rows, columns))


def _passes(geometry, marginals: Marginals, eps, backend) -> SinkhornPasses:
    hard = marginals.penalty_a.hard and marginals.penalty_b.hard
    problem = Problem(geometry, marginals.a, marginals.b, 1.0, eps, *marginals[2:], balanced=hard)
    passes = passes_of(problem, backend, Control(tol=0.0), 1 << 60, "log")
    if isinstance(geometry, PointCloud) and _near_origin(geometry):
        passes.precision = "float32"
    return passes


def _near_origin(cloud: PointCloud) -> bool:
    """Whether float32 holds differences of the points."""
    x, y = cloud.prepared
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    return max(abs(low), abs(high)) <= 20 * (high - low)


def _crowd(plan: GibbsPlan, backend) -> float:
    """How many targets share the mass of a row, on the median over a few rows."""
    live = np.flatnonzero(plan.a > 0)
    picked = live[np.linspace(0, live.size - 1, min(live.size, 32)).astype(np.int64)]
    counts = []
    for i in picked:
        row = backend.plan_rows(plan, int(i), int(i) + 1)[0]
        total = row.sum()
        if total > 0:
            share = row / total
            counts.append(1.0 / float(share @ share))
    return float(np.median(counts)) if counts else 0.0


def refined(rows, columns, costs, marginals: Marginals, f, g, eps: float, backend, tell: Passed):
    """Potentials at a small fraction of `eps`, by sweeps over a few pairs only.

    Parameters
    ----------
    rows, columns, costs : (k,) arrays
        Pairs, every point in one at least.
    f, g : (n,), (m,) arrays
        Potentials at `eps`.

    Returns
    -------
    f, g, eps
    """
    from scipy import sparse

    pattern = SparseGeometry(sparse.csr_array((costs, (rows, columns)), shape=(f.size, g.size)))
    levels = eps * 0.5 ** np.arange(1, REFINING_LEVELS + 1)
    passes = _passes(pattern, marginals, float(levels[-1]), backend)
    passes.f = f
    for level in map(float, levels):
        error = np.inf
        for _ in range(LAST_SWEEPS if level == levels[-1] else REFINING_SWEEPS):
            error = passes.measure(g, level)
            g = passes.image(g, level)
        tell(level, error)
    return passes.f, g, float(levels[-1])
