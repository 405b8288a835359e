"""The network simplex on all pairs at once: small problems, and patterns of few pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...geometry import SparseGeometry
from ...problem import Problem
from ...status import Status
from ..base import Control, Outcome, Solver
from .run import ExactRun, Stop

__all__ = ["Simplex"]


@dataclass(frozen=True)
class Simplex(Solver):
    """Exact transport by the network simplex on all allowed pairs; stores 16 bytes for each of them.

    References
    ----------
    Strongly feasible bases as in [cunningham:76]_, block pricing as in [grigoriadis:86]_.
    """

    name: ClassVar[str] = "simplex"

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        run = ExactRun(problem, backend, control)
        try:
            status = self._run(run)
        except Stop as stop:
            status = stop.status
        return run.outcome(status, self.name)

    def _run(self, run: ExactRun) -> Status:
        rows, columns, costs = all_arcs(run)
        run.passed()
        if run.control.init is None:
            run.begin_at_cheapest(rows, columns, costs)
        else:
            f, g = run.control.init[0][run.rows], run.control.init[1][run.columns]
            run.begin(rows, columns, costs, f, g)
        while True:
            while run.pivot():
                if not run.simplex.insist():
                    return Status.INFEASIBLE
            run.bounded_below(run.backend.hardmin(run.problem.geometry, run.masked_g)[run.rows])
            if run.certified():
                return Status.CONVERGED
            if not run.begin_afresh():
                return Status.PRECISION_LIMIT


def all_arcs(run: ExactRun):
    """(rows, columns, costs) of all allowed pairs of points with weight, numbered among these."""
    geometry = run.problem.geometry
    n, m = geometry.shape
    if isinstance(geometry, SparseGeometry):
        indptr, columns, costs = geometry.arrays
        rows = np.repeat(np.arange(n), np.diff(indptr))
    else:
        C = np.asarray(geometry.block(0, n))
        if not geometry.forbids:
            C = C[np.ix_(run.rows, run.columns)] if run.a.size < n or run.b.size < m else C
            rows, columns = np.indices(C.shape).reshape(2, -1)
            return rows, columns, C.ravel()
        rows, columns = np.nonzero(np.isfinite(C))
        costs = C[rows, columns]
    row_place, column_place = np.full(n, -1), np.full(m, -1)
    row_place[run.rows], column_place[run.columns] = np.arange(run.rows.size), np.arange(run.columns.size)
    rows, columns = row_place[rows], column_place[columns]
    live = (rows >= 0) & (columns >= 0)
    return rows[live], columns[live], np.asarray(costs, dtype=np.float64)[live]
