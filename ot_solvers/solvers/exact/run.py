"""What exact solves share: points with weight, progress, and the way from a basis to an outcome."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from ...problem import Problem
from ...status import Progress, Status
from ..base import Control, Outcome, is_true
from .dummies import Dummies, cut
from .line import staircase
from .potentials import usual_spread

__all__ = ["ExactRun", "Stop"]

#: Share of the mass without a way that is rounding.
ROUNDING = 1e-12
#: Gap, relative to the costs of the plan, that is rounding.
GAP = 1e-11
#: Where a plan costs next to nothing: rounding is that of costs this many times the largest that it uses.
AROUND = 10.0
#: Where costs are cut for another start, as multiples of the largest that the plan uses.
CUTS = (30.0, 1e4, 1e7)


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
        if problem.partial:  # no point moves more than all that is moved: rounding of flows is relative to sums
            self.a, self.b = np.minimum(self.a, 1.0), np.minimum(self.b, 1.0)
        self.dummies = Dummies(problem, self.a, self.b)
        self.f, self.g = np.zeros(n), np.zeros(m)
        #: Best lower bound so far and the column potentials that prove it.
        self.lower, self.lower_g = -math.inf, self.g
        self.n_iter = 0
        self.history: list[Progress] = []
        self.started = time.perf_counter()
        #: `Backend.transport_simplex`, once there are arcs.
        self.simplex: Any = None
        self.cuts = list(CUTS)
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

    def begin(self, rows, columns, costs, f, g, eps: float | None = None) -> None:
        """Make a basis of arcs between points with weight, numbered among these.

        Arcs come in order of their reduced costs; with `eps`, all of them, in order of the entries of the plan
        that `f` and `g` are potentials of.
        """
        self.arcs_so_far = rows, columns, costs
        dummies = self.dummies
        rows, columns, costs, f, g = dummies.with_arcs(rows, columns, costs, f, g)
        reduced = costs - f[rows] - g[columns]
        if eps is None:
            order = cheapest_first(reduced, f.size + g.size)
        elif eps > 0:
            reduced = reduced / eps - np.log(dummies.supply)[rows] - np.log(dummies.demand)[columns]
            order = np.argsort(reduced, kind="stable")
        else:
            order = np.argsort(reduced, kind="stable")
        self.simplex = self.backend.transport_simplex(
            dummies.supply, dummies.demand, rows, columns, costs, order, f, g
        )

    def begin_at_cheapest(self, rows, columns, costs) -> None:
        """`begin` where nothing better is known: every point at its cheapest pair."""
        problem = self.problem
        f = np.full(self.a.size, np.inf)
        np.minimum.at(f, rows, costs)
        f = cut(problem.penalty_a, f, self.a)
        f = np.where(np.isfinite(f), f, 0.0)
        g = np.full(self.b.size, np.inf)
        np.minimum.at(g, columns, costs - f[rows])
        g = cut(problem.penalty_b, g, self.b)
        g = np.where(np.isfinite(g), g, 0.0)
        self.begin(rows, columns, costs, f, g)

    def begin_afresh(self) -> bool:
        """Another basis, where the potentials of the last one had no digits left; False where that was all.

        From the costs of the known arcs, cut at a multiple of the largest that the plan uses: potentials then stay
        near the costs that matter, though the plan runs along huge ones with no mass. A plan that uses no cut arc
        costs what it costs there, and potentials for smaller costs are potentials.
        """
        rows, columns, costs = self.arcs_so_far
        if not self.cuts:
            return False
        multiple = self.cuts.pop(0)
        cut_at = multiple * float(np.abs(self._support()[1]).max(initial=0.0))
        if not (costs > cut_at).any():
            self.cuts.clear()
        self.begin_at_cheapest(rows, columns, np.minimum(costs, cut_at))
        self.arcs_so_far = rows, columns, costs
        return True

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
        masses, costs = self._support()
        return float(masses @ costs)

    def _support(self) -> tuple[np.ndarray, np.ndarray]:
        """Masses and costs of the pairs that the plan of the basis uses."""
        rows, columns, masses = self.dummies.without(*self.simplex.plan())
        return masses, self.backend.pair_costs(self.problem.geometry, self.rows[rows], self.columns[columns])

    def certified(self) -> bool:
        """Whether the cost of the plan and the best lower bound agree up to rounding."""
        if self.simplex.unmet() > ROUNDING:
            return False
        masses, costs = self._support()
        gap = abs(float(masses @ costs) - self.lower)
        sizes = np.abs(costs)
        scale = float(masses @ sizes)
        if gap <= max(GAP * scale, 1e-299):
            return True
        # Not the largest costs anywhere: huge ones that the plan avoids have nothing to do with its digits.
        problem = self.problem
        around = usual_spread(problem.geometry, problem.a, problem.b, self.backend)
        return gap <= GAP * (scale + min(around, AROUND * float(sizes.max(initial=0.0))))

    def bounded_below(self, cheapest: np.ndarray) -> None:
        """Note the dual value of `g` with these smallest ``C_ij - g_j`` of the rows with weight, rounded down."""
        g, problem = self.g[self.columns], self.problem
        cheapest = cut(problem.penalty_a, cheapest, self.a)
        rounding = 4.0 * float(np.finfo(np.float64).eps) * float(self.a @ np.abs(cheapest) + self.b @ np.abs(g))
        value = problem.penalty_a.dual(cheapest, self.a) + problem.penalty_b.dual(g, self.b) - rounding
        if value > self.lower:
            self.lower, self.lower_g = value, self.g.copy()

    def remember_potentials(self) -> None:
        f, g = self.simplex.potentials()
        self.f[self.rows], self.g[self.columns] = f[: self.rows.size], g[: self.columns.size]

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
        missing = self.problem.marginal_error(f, g, np.asarray(plan.sum(axis=1)), np.asarray(plan.sum(axis=0)))
        return Outcome(
            f, g, status, self.n_iter, missing, self.history, method, diagnostics=self.diagnostics, plan=plan
        )

    def feasible_potentials(self) -> tuple[np.ndarray, np.ndarray]:
        """``f_i + g_j <= C_ij`` for all pairs, points without weight included: the c-transform of `g`."""
        geometry, problem = self.problem.geometry, self.problem
        f = self._transform(geometry, self.masked_g, problem.penalty_a, problem.a)
        g = self.g
        if problem.partial and (problem.b > 1).any():
            # The basis knows such weights as 1; the best potentials for the weights themselves.
            masked_f = np.where(problem.a > 0, f, -np.inf)
            g = self._transform(geometry.T, masked_f, problem.penalty_b, problem.b)
            f = self._transform(geometry, np.where(problem.b > 0, g, -np.inf), problem.penalty_a, problem.a)
        if self.columns.size < g.size:
            weightless = self.backend.hardmin(geometry.T, f)
            if problem.partial:
                weightless = np.minimum(weightless, g[self.columns].max())
            g = np.where((problem.b > 0) | ~np.isfinite(weightless), g, weightless)
        return f, g

    def _transform(self, geometry, potential, penalty, weights) -> np.ndarray:
        """The c-transform of the other side's potential, cut where this side may leave mass; 0 where infinite."""
        out = self.backend.hardmin(geometry, potential)
        live = weights > 0
        if live.all():
            out = cut(penalty, out, weights)
        else:
            out[live] = cut(penalty, out[live], weights[live])
            if self.problem.partial:
                out[~live] = np.minimum(out[~live], out[live].max())
        return np.where(np.isfinite(out), out, 0.0)

    def plan(self) -> Any:
        """The plan of the basis, CSR; mass without a way goes somewhere, in order of the indices."""
        from scipy import sparse

        parts = []
        left_a, left_b = self.a, self.b
        if self.simplex is not None:
            rows, columns, masses = self.dummies.without(*self.simplex.plan())
            if self.problem.partial and self.simplex.unmet() > ROUNDING:
                # Dummies that do not have their masses yet leave too much to the points.
                masses = masses / max(1.0, float(masses.sum()))
            parts = [(rows, columns, masses)]
            left_a = self.a - np.bincount(rows, masses, minlength=self.a.size)
            left_b = self.b - np.bincount(columns, masses, minlength=self.b.size)
        if not parts or self.simplex.unmet() > ROUNDING:
            left_a, left_b = np.maximum(left_a, 0.0), np.maximum(left_b, 0.0)
            if self.problem.partial:
                missing = max(1.0 - float(sum(part[2].sum() for part in parts)), 0.0)
                left_a, left_b = (
                    np.diff(np.minimum(np.cumsum(w), missing), prepend=0.0) for w in (left_a, left_b)
                )
            rest = staircase(np.arange(left_a.size), np.arange(left_b.size), left_a, left_b)
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
