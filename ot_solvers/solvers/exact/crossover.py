"""Crossover: entropic potentials choose the pairs, the network simplex solves on these, the rest is priced."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...problem import Problem
from ...status import Status
from ..base import Control, Outcome, Solver
from ..candidates import nearest
from ..schedules import is_cold
from .potentials import Marginals, knows_neighbours, refined, rough
from .run import ExactRun, Stop

__all__ = ["Crossover"]

#: Reduced costs this much below zero count, relative to the numbers they are made of. More than the simplex
#: leaves, so that no pair comes twice.
TOLERANCE = 2.0**-44
#: Violated pairs of a row that enter at a time.
ENTERING = 4


@dataclass(frozen=True)
class Crossover(Solver):
    """Exact transport from entropic potentials: memory O(n + m) times the candidates, all geometries.

    Sweeps to a small eps, on a sample first; the candidates of every point are its pairs of smallest reduced
    cost; sweeps on these alone; the network simplex; then all pairs are priced, those that would improve the plan
    join, and so on until there are none.

    Parameters
    ----------
    candidates : int >= 1, default 16
        Pairs per point for the sweeps on candidates; the simplex starts with half of them.
    rtol : float in [0, 1), default 0
        Stop as soon as the cost of the plan is known to be off by at most this share of itself.
    """

    candidates: int = 16
    rtol: float = 0.0

    name: ClassVar[str] = "crossover"

    def __post_init__(self):
        if isinstance(self.candidates, bool) or not isinstance(self.candidates, int) or self.candidates < 1:
            raise ValueError(f"candidates={self.candidates!r} must be a positive integer")
        if isinstance(self.rtol, bool) or not isinstance(self.rtol, (int, float)) or not 0 <= self.rtol < 1:
            raise ValueError(f"rtol={self.rtol!r} must be in [0, 1)")

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        run = _Run(self, problem, backend, control)
        try:
            status = run.ended()
        except Stop as stop:
            status = stop.status
        return run.outcome(status, self.name)


class _Run(ExactRun):
    """One solve."""

    def __init__(self, options: Crossover, problem, backend, control):
        super().__init__(problem, backend, control)
        self.candidates, self.rtol = options.candidates, float(options.rtol)
        if self.rtol:
            self.PORTION = 2000

    def ended(self) -> Status:
        eps = self.start()
        self.first_basis(eps)
        while True:
            unmet = self.pivot()
            self.look()
            found = self.violated()
            self.look()
            # Left-over mass at the dearest price, and no pair that would help it: there is no plan.
            if unmet and not self.simplex.insist() and found is None:
                return Status.INFEASIBLE
            if found is not None:
                self.add(*found)
            elif not unmet:
                if self.certified():
                    return Status.CONVERGED
                if not self.begin_afresh():
                    return Status.PRECISION_LIMIT

    def look(self) -> None:
        if self.rtol and self.lower > -math.inf:
            upper = self.upper()
            if math.isfinite(upper) and upper - self.lower <= self.rtol * abs(upper):
                raise Stop(Status.CONVERGED)

    def start(self) -> float:
        """Potentials near the right ones, and the eps that they belong to."""
        problem, control = self.problem, self.control
        if control.init is not None:
            self.f, self.g = (z.copy() for z in control.init)
            if control.init_eps is None or knows_neighbours(
                problem, self.f, self.g, control.init_eps, self.backend
            ):
                return control.init_eps or 0.0
        start = None
        if control.init_eps is not None and not is_cold(problem, control):
            start = self.g, control.init_eps
        self.f, self.g, eps = rough(problem.geometry, Marginals.of(problem), self.backend, self.passed, start)
        return eps

    @property
    def marginals(self) -> Marginals:
        """Of the points with weight."""
        return Marginals(self.a, self.b, self.problem.penalty_a, self.problem.penalty_b)

    def first_basis(self, eps: float) -> None:
        rows, columns, costs = self.arcs(self.nearest(self.candidates))
        f, g = self.f[self.rows], self.g[self.columns]
        if eps > 0:
            f, g, eps = refined(rows, columns, costs, self.marginals, f, g, eps, self.backend, self.tell)
            few = self.smallest(rows, columns, costs - f[rows] - g[columns], max(1, self.candidates // 2))
            rows, columns, costs = rows[few], columns[few], costs[few]
            if self.rtol:
                self.g[self.columns] = g
                self.bounded_below(self.backend.hardmin(self.problem.geometry, self.masked_g)[self.rows])
                self.passed()
        self.begin(rows, columns, costs, f, g, eps)

    def nearest(self, k: int) -> np.ndarray:
        """Keys of the pairs that are among the k with the smallest reduced costs of their row or column."""
        masked_f = np.where(self.problem.a > 0, self.f, -np.inf)
        keys = nearest(self.problem.geometry, masked_f, self.masked_g, k, self.backend)
        self.passed(passes=2)
        return keys

    def arcs(self, keys: np.ndarray):
        """(rows, columns, costs) of allowed pairs, numbered among the points with weight."""
        m = self.problem.geometry.shape[1]
        rows, columns = np.divmod(keys, m)
        costs = self.backend.pair_costs(self.problem.geometry, rows, columns)
        # Where all that is left of a row is forbidden, columns without weight may come with it.
        allowed = np.isfinite(costs) & (self.problem.a[rows] > 0) & (self.problem.b[columns] > 0)
        rows, columns, costs = rows[allowed], columns[allowed], costs[allowed]
        return np.searchsorted(self.rows, rows), np.searchsorted(self.columns, columns), costs

    def smallest(self, rows, columns, reduced, k: int) -> np.ndarray:
        """Mask of the arcs that are among the k smallest of their row or of their column."""
        out = np.zeros(rows.size, dtype=bool)
        for side in (rows, columns):
            order = np.lexsort((reduced, side))
            begins = np.searchsorted(side[order], side[order])
            out[order[np.arange(order.size) - begins < k]] = True
        return out

    def violated(self):
        """Arcs that would improve the plan, at most `ENTERING` of each row; None if there are none."""
        geometry = self.problem.geometry
        m = geometry.shape[1]
        columns, values = self.backend.top_k(geometry, self.masked_g, 1.0, min(ENTERING, self.columns.size))
        self.passed()
        columns, values = columns[self.rows], values[self.rows]
        self.bounded_below(values[:, 0])
        f = self.f[self.rows][:, None]
        size = np.maximum(np.abs(f), np.abs(self.g[columns]))
        row, place = np.nonzero(values - f < -TOLERANCE * size)
        if not row.size:
            return None
        return self.arcs(np.sort(self.rows[row] * m + columns[row, place]))
