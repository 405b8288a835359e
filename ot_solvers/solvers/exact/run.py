"""What exact solves share: points with weight, progress, and the way from a basis to an outcome."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from ...problem import Problem
from ...status import Progress, Status
from ..base import Control, Outcome, is_true
from .line import staircase

__all__ = ["ExactRun", "Stop"]

#: Share of the mass without a way that is rounding.
ROUNDING = 1e-12


def cheapest_first(reduced: np.ndarray, points: int) -> np.ndarray:
    """A few arcs per point, those of smallest reduced cost, in that order: what a first basis is made of."""
    few = 4 * points
    if reduced.size <= 2 * few:
        return np.argsort(reduced, kind="stable")
    least = np.sort(np.argpartition(reduced, few)[:few])  # in order of index: ties are broken the same everywhere
    return least[np.argsort(reduced[least], kind="stable")]


class Stop(Exception):
    """The solve is over."""

    def __init__(self, status: Status):
        super().__init__(status)
        self.status = status


class ExactRun:
    """State of one exact solve.

    Parameters
    ----------
    problem : Problem
        With ``eps = 0``.
    backend : Backend
    control : Control
        Its `tol` is not looked at: the marginals of a basis are right up to rounding.
    """

    #: Pivots between two looks at the callback.
    PORTION = 20_000

    def __init__(self, problem: Problem, backend, control: Control):
        self.problem, self.backend, self.control = problem, backend, control
        n, m = problem.geometry.shape
        #: Points with weight: the only ones that a basis knows.
        self.rows, self.columns = np.flatnonzero(problem.a > 0), np.flatnonzero(problem.b > 0)
        self.a, self.b = problem.a[self.rows], problem.b[self.columns]
        self.f, self.g = np.zeros(n), np.zeros(m)
        #: Best lower bound so far and the column potentials that prove it.
        self.lower, self.lower_g = -math.inf, self.g
        self.n_iter = 0
        self.history: list[Progress] = []
        self.started = time.perf_counter()
        #: `Backend.transport_simplex`, once there are arcs.
        self.simplex: Any = None
        self.diagnostics: dict[str, float] = {}

    # --- progress -----------------------------------------------------------------------------------------------

    def passed(self, eps: float = 0.0, error: float = 0.0, passes: int = 1) -> None:
        """Count passes over the cost; raises `Stop` where callback or limit ask for it."""
        self.n_iter += passes
        self.tell(eps, error)
        if self.control.max_iter is not None and self.n_iter >= self.control.max_iter:
            raise Stop(Status.MAX_ITER)

    def tell(self, eps: float = 0.0, error: float = 0.0) -> None:
        progress = Progress(self.n_iter, error, eps, time.perf_counter() - self.started)
        self.history.append(progress)
        if self.control.callback is not None and is_true(self.control.callback(progress)):
            raise Stop(Status.STOPPED_BY_CALLBACK)

    # --- the basis ----------------------------------------------------------------------------------------------

    def begin(self, rows, columns, costs, order, f, g) -> None:
        """Make a basis of arcs between points with weight, numbered among these."""
        self.arcs_so_far = rows, columns, costs
        self.simplex = self.backend.transport_simplex(self.a, self.b, rows, columns, costs, order, f, g)

    def begin_at_cheapest(self, rows, columns, costs) -> None:
        """`begin` where nothing better is known: every point at its cheapest pair."""
        f = np.full(self.a.size, np.inf)
        np.minimum.at(f, rows, costs)
        f = np.where(np.isfinite(f), f, 0.0)
        g = np.full(self.b.size, np.inf)
        np.minimum.at(g, columns, costs - f[rows])
        g = np.where(np.isfinite(g), g, 0.0)
        self.begin(rows, columns, costs, cheapest_first(costs - f[rows] - g[columns], f.size + g.size), f, g)

    def add(self, rows, columns, costs) -> None:
        """More arcs."""
        known = self.arcs_so_far
        self.arcs_so_far = (
            np.concatenate([known[0], rows]),
            np.concatenate([known[1], columns]),
            np.concatenate([known[2], costs]),
        )
        self.simplex.add(rows, columns, costs)

    def pivot(self) -> float:
        """Pivots until the basis is optimal on its arcs; returns the mass that has no way."""
        simplex = self.simplex
        while not simplex.pivot(self.PORTION):
            self.tell(error=2.0 * simplex.unmet())
            self.look()
        unmet = simplex.unmet()
        self.remember_potentials()
        return unmet if unmet > ROUNDING else 0.0

    def look(self) -> None:
        """What a solver wants to know between portions of pivots."""

    def upper(self) -> float:
        """Cost of the plan of the basis; infinite while mass has no way."""
        if self.simplex.unmet() > ROUNDING:
            return math.inf
        rows, columns, masses = self.simplex.plan()
        costs = self.backend.pair_costs(self.problem.geometry, self.rows[rows], self.columns[columns])
        return float(masses @ costs)

    def bounded_below(self, cheapest: np.ndarray) -> None:
        """Note the dual value of `g` with these smallest ``C_ij - g_j`` of the rows with weight, rounded down."""
        g = self.g[self.columns]
        rounding = 4.0 * float(np.finfo(np.float64).eps) * float(self.a @ np.abs(cheapest) + self.b @ np.abs(g))
        value = float(self.a @ cheapest + self.b @ g) - rounding
        if value > self.lower:
            self.lower, self.lower_g = value, self.g.copy()

    def remember_potentials(self) -> None:
        f, g = self.simplex.potentials()
        self.f[self.rows], self.g[self.columns] = f, g

    @property
    def masked_g(self) -> np.ndarray:
        """(m,) column potentials, ``-inf`` where there is no weight: such columns are no way out."""
        return np.where(self.problem.b > 0, self.g, -np.inf)

    # --- the end ------------------------------------------------------------------------------------------------

    def outcome(self, status: Status, method: str) -> Outcome:
        if self.simplex is not None:
            self.remember_potentials()
            self.diagnostics["pivots"] = self.simplex.pivots
        if status is not Status.INFEASIBLE and self.lower > -math.inf:
            self.g = self.lower_g
        f, g = self.feasible_potentials()
        plan = self.plan()
        missing = float(np.abs(np.asarray(plan.sum(axis=1)) - self.problem.a).sum())
        return Outcome(
            f, g, status, self.n_iter, missing, self.history, method, diagnostics=self.diagnostics, plan=plan
        )

    def feasible_potentials(self) -> tuple[np.ndarray, np.ndarray]:
        """``f_i + g_j <= C_ij`` for all pairs, points without weight included: the c-transform of `g`."""
        geometry = self.problem.geometry
        f = self.backend.hardmin(geometry, self.masked_g)
        f = np.where(np.isfinite(f), f, 0.0)
        g = self.g
        if self.columns.size < g.size:
            weightless = self.backend.hardmin(geometry.T, f)
            g = np.where((self.problem.b > 0) | ~np.isfinite(weightless), g, weightless)
        return f, g

    def plan(self) -> Any:
        """The plan of the basis, CSR; mass without a way goes somewhere, in order of the indices."""
        from scipy import sparse

        if self.simplex is None:
            parts = []
            left_a, left_b = self.a, self.b
        else:
            rows, columns, masses = self.simplex.plan()
            parts = [(rows, columns, masses)]
            left_a = self.a - np.bincount(rows, masses, minlength=self.a.size)
            left_b = self.b - np.bincount(columns, masses, minlength=self.b.size)
        if not parts or self.simplex.unmet() > ROUNDING:
            rest = staircase(
                np.arange(left_a.size), np.arange(left_b.size), np.maximum(left_a, 0.0), np.maximum(left_b, 0.0)
            )
            used = rest.masses > 0
            if math.isfinite(self.cost(rest.rows[used], rest.columns[used])):
                parts.append((rest.rows[used], rest.columns[used], rest.masses[used]))
        rows, columns, masses = (np.concatenate([part[k] for part in parts]) for k in range(3)) if parts else (
            np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0),
        )  # fmt: skip
        shape = self.problem.geometry.shape
        return sparse.csr_array((masses, (self.rows[rows], self.columns[columns])), shape=shape)

    def cost(self, rows, columns) -> float:
        """Sum of the costs of pairs of points with weight."""
        costs = self.backend.pair_costs(self.problem.geometry, self.rows[rows], self.columns[columns])
        return float(costs.sum())
