"""Where to start on large point clouds: at the potentials of clusters of points, led down level by level.

Sweeps take out what varies from point to point at once, and what varies slowly across the cloud last. A few
clusters know the slow part, for a small share of the time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..geometry import PointCloud
from ..geometry.tiles import tiles_of
from ..penalties import TV
from ..problem import Problem
from ..status import Status
from .base import Control, Solver
from .iteration import accelerate, anneal
from .newton import Newton
from .passes import SinkhornPasses
from .schedules import levels_of
from .sinkhorn import Sinkhorn

__all__ = ["Stopped", "clustered_start", "in_float32", "suits"]

#: Pairs above which clusters go first.
PAIRS = 1 << 25
#: Coordinates up to which clusters of a few points are much smaller than the cloud.
MOST_COORDINATES = 3
#: Points per cluster, and points that are few enough for a solve without clusters.
POINTS, FEW = 8, 2000
#: Marginal error to which clusters are solved, and passes that this may take on all levels but the first.
LEVEL_ERROR, MOST_PASSES = 1e-3, 40


class Stopped(Exception):
    """A callback has asked to stop while clusters were solved."""


def suits(problem: Problem) -> bool:
    """Whether clusters are a good place to start from."""
    geometry = problem.geometry
    if not isinstance(geometry, PointCloud) or not geometry.cost.boundable:
        return False
    n, m = geometry.shape
    return n * m >= PAIRS and geometry.prepared[0].shape[1] <= MOST_COORDINATES


def clustered_start(problem: Problem, backend, callback=None) -> tuple[np.ndarray, np.ndarray, float]:
    """Potentials (f, g) of a problem for which `suits` holds, and the eps that they belong to.

    Parameters
    ----------
    callback : callable or None
        Sees the progress of passes over clusters, with the number of passes over all points, which is 0.

    Raises
    ------
    Stopped
        Where `callback` asks for it.
    """
    if callback is None:
        return _start(problem, backend, None)
    return _start(problem, backend, lambda progress: callback(progress._replace(iteration=0)))


def _start(problem: Problem, backend, callback) -> tuple[np.ndarray, np.ndarray, float]:
    coarse = _clusters(problem, backend)
    f, g = _solved(coarse, backend, callback)
    eps, cloud = coarse.eps, _cloud(problem)
    columns = PointCloud(cloud.y, _cloud(coarse).x, cloud.cost.swapped())
    rows = PointCloud(cloud.x, _cloud(coarse).y, cloud.cost)
    return (
        problem.penalty_a.prox(backend.softmin(rows, coarse.log_b + g / eps, eps), eps),
        problem.penalty_b.prox(backend.softmin(columns, coarse.log_a + f / eps, eps), eps),
        eps,
    )


def _cloud(problem: Problem) -> PointCloud:
    assert isinstance(problem.geometry, PointCloud)
    return problem.geometry


def _clusters(problem: Problem, backend) -> Problem:
    """The same masses at the centres of clusters; eps at least the cost within these."""
    cloud = _cloud(problem)
    x, a, spread_x = _centres(cloud.x, problem.a, cloud, backend, False)
    y, b, spread_y = _centres(cloud.y, problem.b, cloud, backend, True)
    geometry = PointCloud(x, y, cloud.cost)
    return replace(problem, geometry=geometry, a=a, b=b, eps=max(problem.eps, spread_x, spread_y))


def _centres(points, weights, cloud, backend, second: bool):
    """(centres, weights, mean cost of points to their centres)."""
    n = len(points)
    if n <= FEW:
        return points, weights, 0.0
    order = tiles_of(points, POINTS).order
    starts = np.arange(0, n, POINTS)
    # Points without weight count a little: a cluster of nothing else has a centre too.
    shares = (weights + 1e-12 * weights.max())[order]
    sums = np.add.reduceat(shares, starts)
    centres = np.add.reduceat(points[order] * shares[:, None], starts, axis=0) / sums[:, None]
    mass = np.add.reduceat(weights[order], starts)
    some = np.linspace(0, n - 1, min(n, 4096)).astype(np.int64)
    own = np.arange(n) // POINTS
    if second:
        costs = backend.pair_costs(PointCloud(centres, points, cloud.cost), own[some], order[some])
    else:
        costs = backend.pair_costs(PointCloud(points, centres, cloud.cost), order[some], own[some])
    return centres.astype(points.dtype), mass, float(costs.mean())


def _solved(problem: Problem, backend, callback) -> tuple[np.ndarray, np.ndarray]:
    """Potentials of a problem between clusters."""
    if max(problem.geometry.shape) <= FEW:
        smooth = not isinstance(problem.penalty_a, TV) and not isinstance(problem.penalty_b, TV)
        solver: Solver = Newton() if smooth else Sinkhorn()
        outcome = solver.solve(problem, backend, Control(LEVEL_ERROR, callback=callback))
        _go_on(outcome.status)
        return outcome.f, outcome.g
    f, g, eps = _start(problem, backend, callback)
    control = Control(LEVEL_ERROR, MOST_PASSES, (f, g), callback, eps)
    passes = SinkhornPasses(problem, backend, control, MOST_PASSES, "log")
    passes.precision = "float32" if in_float32(problem) else "float64"
    g, status = anneal(passes, passes.g, levels_of(problem, control, 0.5)[:-1], 3, passes.monitor)
    if status is None:
        passes.aim(problem.eps)
        status = accelerate(passes, g, problem.eps, Sinkhorn().rule(problem), passes.monitor)
    _go_on(status)
    return passes.best()


def _go_on(status: Status | None) -> None:
    if status is Status.STOPPED_BY_CALLBACK:
        raise Stopped


def in_float32(problem: Problem) -> bool:
    """Whether float32 holds the differences of points to a small share of eps."""
    x, y = _cloud(problem).prepared
    size = max(float(np.abs(x).max()), float(np.abs(y).max()))
    extent = float(np.maximum(x.max(0), y.max(0)).max() - np.minimum(x.min(0), y.min(0)).min())
    spread = problem.geometry.spread()
    in_range = 1e-15 < size < 1e15 and 1e-30 < problem.eps <= 1e30 and spread < 1e30
    return in_range and size <= 20 * extent and problem.eps >= 3e-5 * spread
