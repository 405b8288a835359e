"""Exact transport between equally many points of equal weight: SciPy's assignment, and potentials for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import UnsupportedError
from ...geometry import DenseGeometry
from ...problem import Problem
from ...status import Status
from ..base import Control, Outcome, Solver
from .run import ExactRun, Stop
from .simplex import Simplex

__all__ = ["Assignment", "is_assignment"]

#: Changes of potentials, relative to the costs, that are rounding.
ROUNDING = 8 * float(np.finfo(np.float64).eps)
#: Pairs on a shortest path beyond which the simplex is faster.
MOST_STEPS = 100
#: Gap, relative to the costs, beyond which rounding has spoilt the potentials.
GAP = 1e-11


def is_assignment(problem: Problem) -> bool:
    """Whether every point with weight has the same weight, and both sides have equally many."""
    a, b = problem.a[problem.a > 0], problem.b[problem.b > 0]
    return not problem.partial and a.size == b.size and np.ptp(a) == 0 and np.ptp(b) == 0


@dataclass(frozen=True)
class Assignment(Solver):
    """Exact transport between equally many points of equal weight, by SciPy's ``linear_sum_assignment``.

    Stores the matrix. Fast for a few hundred points and for costs without structure; for thousands of points in
    space it takes many times as long as the other solvers. Potentials are shortest paths in the residual graph.

    Raises
    ------
    UnsupportedError
        On solving, for other weights.

    References
    ----------
    SciPy's algorithm is that of [crouse:16]_.
    """

    name: ClassVar[str] = "assignment"

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        if not is_assignment(problem):
            raise UnsupportedError(
                "method='assignment' needs equally many points of one weight on both sides; use method='auto'"
            )
        run = ExactRun(problem, backend, control)
        try:
            run.passed()
        except Stop as stop:
            return run.outcome(stop.status, self.name)
        from scipy import sparse
        from scipy.optimize import linear_sum_assignment

        C = np.asarray(problem.geometry.block(0, problem.a.size), dtype=np.float64)
        if C.shape != (run.a.size, run.b.size):
            C = C[np.ix_(run.rows, run.columns)]
        try:
            rows, columns = linear_sum_assignment(C)
        except ValueError:  # forbidden pairs leave none: the simplex says why
            return Simplex().solve(problem, backend, control)
        g = potentials(C, rows, columns, backend)
        if g is None:
            return Simplex().solve(problem, backend, control)
        run.g[run.columns] = g
        f, g = run.feasible_potentials()
        shape = problem.geometry.shape
        plan = sparse.csr_array((run.a, (run.rows[rows], run.columns[columns])), shape=shape)
        return Outcome(f, g, Status.CONVERGED, run.n_iter, 0.0, run.history, self.name, plan=plan)


def potentials(C: np.ndarray, rows: np.ndarray, columns: np.ndarray, backend) -> np.ndarray | None:
    """(m,) column potentials for which an optimal assignment is tight; None if rounding or long paths hide them.

    Lengths of shortest paths, by Bellman and Ford: from the column of a row to another one at the difference of
    their costs. The assignment is optimal, so that no cycle is negative.
    """
    row_of = np.empty(columns.size, dtype=np.int64)
    row_of[columns] = rows
    own = C[row_of, np.arange(columns.size)]
    lengths = DenseGeometry(np.ascontiguousarray((C[row_of] - own[:, None]).T))
    # Where reduced costs of rows are smallest: few steps from there.
    g = (C - C.min(axis=1)[:, None]).min(axis=0)
    # Of the costs that matter: huge ones elsewhere are on no shortest path.
    largest = float(np.abs(own).max() + np.abs(g).max())
    rounding = ROUNDING * largest
    for _ in range(MOST_STEPS):
        shorter = backend.hardmin(lengths, -g)
        done = (shorter >= g - rounding).all()
        g = np.minimum(shorter, g)
        if done:
            break
    else:
        return None
    f = (C - g[None, :]).min(axis=1)
    gap = float(own.sum() - f.sum() - g.sum())
    return g if abs(gap) <= GAP * (float(np.abs(own).sum()) + largest) else None
