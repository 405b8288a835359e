"""Exact transport on a line: sort both sides and merge their cumulative masses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from ...errors import UnsupportedError
from ...geometry import Grid, PointCloud
from ...geometry.base import Geometry
from ...problem import Problem
from ...status import Status
from ..base import Control, Outcome, Solver

__all__ = ["Sorting", "Staircase", "on_a_line", "staircase"]


class Staircase(NamedTuple):
    """The monotone plan of two measures on a line as a path of n + m - 1 pairs, each next to the one before."""

    rows: np.ndarray
    columns: np.ndarray
    masses: np.ndarray  # >= 0; 0 where cumulative masses of both sides meet

    def potentials(self, costs: np.ndarray, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
        """Kantorovich potentials: tight along the path, feasible for costs with the Monge property."""
        f, g = np.zeros(n), np.full(m, costs[0])
        rise = np.diff(costs)
        by_rows = np.diff(self.rows) != 0
        # From row to row only the potential of the row changes, and by as much as the cost.
        f[self.rows[1:][by_rows]] = np.cumsum(rise[by_rows])
        g[self.columns[1:][~by_rows]] += np.cumsum(rise[~by_rows])
        return f, g


def staircase(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> Staircase:
    """Monotone plan between weighted points of a line.

    Parameters
    ----------
    x, y : (n,), (m,) arrays
    a, b : (n,), (m,) arrays >= 0
        Of equal sums.
    """
    n = x.size
    first, second = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    total = min(float(a.sum()), float(b.sum()))
    reached = np.concatenate([np.cumsum(a[first])[:-1], np.cumsum(b[second])[:-1]])
    reached = np.minimum(reached, total)
    order = np.argsort(reached, kind="stable")
    by_rows = order < n - 1
    rows = np.concatenate([[0], np.cumsum(by_rows)])
    columns = np.concatenate([[0], np.cumsum(~by_rows)])
    ends = np.concatenate([[0.0], reached[order], [total]])
    return Staircase(first[rows], second[columns], np.diff(ends))


def on_a_line(geometry: Geometry) -> tuple[np.ndarray, np.ndarray] | None:
    """(n,), (m,) coordinates where monotone plans are optimal; else None."""
    if isinstance(geometry, Grid) and len(geometry.axes) == 1 and geometry.cost.monotone(1):
        return geometry.axes[0], geometry.axes[0]
    if isinstance(geometry, PointCloud) and geometry.x.shape[1] == 1 and geometry.cost.monotone(1):
        return geometry.x[:, 0].astype(np.float64), geometry.y[:, 0].astype(np.float64)
    return None


@dataclass(frozen=True)
class Sorting(Solver):
    """Monotone plan of two measures on a line, for costs that are convex in the difference."""

    name: ClassVar[str] = "sorting"

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        line = on_a_line(problem.geometry)
        if line is None:
            raise UnsupportedError(
                "method='sorting' needs points with one coordinate and a cost that is convex in their difference; "
                "use method='auto'"
            )
        n, m = problem.geometry.shape
        path = staircase(*line, problem.a, problem.b)
        f, g = path.potentials(backend.pair_costs(problem.geometry, path.rows, path.columns), n, m)
        from scipy import sparse

        used = path.masses > 0
        plan = sparse.csr_array((path.masses[used], (path.rows[used], path.columns[used])), shape=(n, m))
        return Outcome(f, g, Status.CONVERGED, 0, 0.0, [], self.name, plan=plan)
