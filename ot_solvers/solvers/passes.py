"""Sinkhorn's alternating updates as a fixed-point process on the column potentials.

What every solver of the semi-dual does between its own ideas: sweeps in the cheapest stable form, column
updates, errors, and an honest status at the end.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ..penalties import Capacity, translation
from ..plans.gibbs import GibbsPlan
from ..problem import Problem
from ..status import Status
from .base import Control, Monitor
from .iteration import accelerate

__all__ = ["SinkhornPasses"]


class SinkhornPasses:
    """State of one solve, and the process (see `iteration.Process`) of its passes over the cost.

    Parameters
    ----------
    problem : Problem
    backend : Backend
    control : Control
    max_iter : int
        Passes, where `control` does not say.
    kernel : {"auto", "log", "stored"}
        See `Sinkhorn`.
    """

    #: Largest exponent (natural logarithm) that a kernel's arithmetic holds, with room for sums.
    EXPONENT: ClassVar[dict[str, float]] = {"float64": 600.0, "float32": 60.0}

    def __init__(self, problem: Problem, backend, control: Control, max_iter: int, kernel: str = "auto"):
        self.kernel = kernel
        self.problem = problem
        self.backend = backend
        geometry = problem.geometry
        self.precision = "float32" if geometry.dtype == np.float32 else "float64"
        self.floor = float(np.finfo(geometry.dtype).eps)
        # A float32 plan misses its marginals by a rounding error each: go that far, then say so. (tol = 0
        # means "do not stop", in whatever arithmetic.)
        self.wanted = control.tol
        if self.precision == "float32" and 0 < control.tol < self.floor:
            control = replace(control, tol=self.floor)
        self.control = control
        most = max_iter if control.max_iter is None else control.max_iter
        self.monitor = Monitor(control, most, self.floor)
        n, m = geometry.shape
        self.f = np.zeros(n) if control.init is None else control.init[0]
        self.g = np.zeros(m) if control.init is None else problem.penalty_b.project(control.init[1])
        if control.init is not None and isinstance(problem.penalty_a, Capacity):
            move = problem.penalty_a.rho - problem.penalty_a.top(problem.a, self.f)
            self.f, self.g = self.f + move, self.g - move
        self.live = problem.b > 0
        self.all_live = bool(self.live.all())
        # Points that forbidden pairs cut off; only soft sides have any, and keep them at a known potential.
        self.cut_a, self.cut_b = (np.flatnonzero(cut) for cut in geometry.cut_off(problem.a, problem.b))
        self.g = self.g.copy()
        self.g[self.cut_b] = problem.penalty_b.unreachable
        self.reached_a, self.reached_b = problem.a.copy(), problem.b.copy()
        self.reached_a[self.cut_a] = self.reached_b[self.cut_b] = 0.0
        self.open_a = np.ones(n, dtype=bool)
        self.open_a[self.cut_a] = False
        #: Live columns that the last update has cut, where it cuts columns.
        self.at_level: np.ndarray | None = None
        #: (eps, g) at which `f` is the row update; None where nobody knows.
        self.made: tuple[float, np.ndarray] | None = None
        self.masses = np.zeros(m)
        #: Dual value at the point measured last and at the one kept last, where errors alone do not tell.
        self.dual = self.kept_dual = self.dual_slack = 0.0
        # Without a plan the dual rises for ever.
        self.seen_dual = -math.inf if problem.partial and not geometry.forbids else math.inf
        #: Soft minima of the rows before they were cut, where they are.
        self.uncut = self.f
        self.stored = None
        self.status: Status | None = None

    # --- one pass -------------------------------------------------------------------------------------------

    def sweep(self, eps: float, g):
        """(f, column masses) at column potentials `g`."""
        problem = self.problem
        if self.stored is not None:
            found = self.stored.sweep(g, problem.b, problem.a, problem.penalty_a)
            if found is not None:
                return found
            self.stored = None
        f, masses = self.backend.sweep(
            problem.geometry,
            self.f if self.near(eps, g) else None,
            problem.log_b + g / eps,
            eps,
            problem.a,
            problem.penalty_a,
            self.precision,
            problem.log_b,
        )
        # Nothing is asked of points that are cut off; where they may keep their weight, all of it.
        f[self.cut_a] = math.inf if isinstance(problem.penalty_a, Capacity) else problem.penalty_a.unreachable
        return f, masses

    def near(self, eps: float, g) -> bool:
        """Whether no exponent ``log b_j + (f_i + g_j - C_ij) / eps`` can overflow at the potentials at hand.

        Where f is the row update at (eps0, g0) they were at most ``excess`` there; the rest is arithmetic.
        """
        if self.made is None:
            return False
        eps0, g0 = self.made
        live, log_b = self.live, self.problem.log_b
        excess = self.problem.penalty_a.excess(self.f)
        ratio = eps0 / eps
        smallest = min(float(log_b[live].min()), 0.0)
        rise = float((g - g0)[live].max()) / eps
        return ratio * excess - (ratio - 1) * smallest + rise < self.EXPONENT[self.precision]

    def column_update(self, eps: float, f, g, masses):
        """New column potentials from the masses that the sweep left."""
        problem = self.problem
        b = problem.b
        rise = 0.0
        if isinstance(problem.penalty_a, Capacity):
            rise, masses = self.right_total(problem.penalty_a, eps, masses)
            if masses is None:
                return g + rise
        with np.errstate(divide="ignore", invalid="ignore"):
            s = g - eps * np.log(masses / b)
        # Columns whose mass has underflowed say nothing: take their own soft minimum.
        lost = self.live & ~(masses > self.backend.mass_floor(problem.geometry, self.precision) * b)
        if isinstance(problem.penalty_b, Capacity):
            return self.cut_columns(problem.penalty_b, eps, f, g, s, lost) + rise
        if lost.any():
            s = np.where(lost, self.column_softmin(eps, f), s)
        s = problem.penalty_b.prox(s, eps) + rise
        if not problem.fixed_total:
            s = s - translation(problem.penalty_a, f, self.reached_a, problem.penalty_b, s, self.reached_b)
            s[self.cut_b] = problem.penalty_b.unreachable
        return s if self.all_live else np.where(self.live, s, g)

    def right_total(self, penalty: Capacity, eps: float, masses):
        """(rise of the column potentials with which the rows have the right total, column masses after it).

        The sweep has cut the rows at the level of before. A rise of all column potentials is one of the level:
        what it does to the columns is exact up to how they share the rows, so after a large one there are no
        masses, and the next pass looks.
        """
        live = self.problem.a > 0
        level = penalty.level(self.uncut[live], self.problem.a[live], eps)
        if level == math.inf:  # too few rows have a way: no plan, as the error will tell
            return 0.0, masses
        total = float(masses.sum())
        return level - penalty.rho, masses / total if 0.5 < total < 2.0 else None

    def cut_columns(self, penalty: Capacity, eps: float, f, g, s, lost):
        """Column potentials cut where their total is right; see ``docs/maths.md``."""
        live = self.live
        s = np.where(lost, np.inf, s)
        level = penalty.level(s[live], self.problem.b[live], eps)
        # Next to no mass means 100 eps and more above g, which is above the level, too, unless g is far below.
        doubtful = lost & ~(g > level - 100 * eps)
        doubtful[self.cut_b] = False
        if doubtful.any():
            s = np.where(doubtful, self.column_softmin(eps, f), s)
            level = penalty.level(s[live], self.problem.b[live], eps)
        if level == math.inf:  # too few columns have a way
            level = float(s[np.isfinite(s)].max()) if np.isfinite(s).any() else 0.0
        self.at_level = s[live] >= level
        return np.where(live, np.minimum(s, level), g)

    def column_softmin(self, eps: float, f):
        problem = self.problem
        s = self.backend.softmin(problem.geometry.T, problem.log_a + f / eps, eps)
        return np.where(np.isfinite(s), s, 0.0)

    # --- the fixed-point process on the column potentials (see `iteration.Process`) ---------------------------

    def measure(self, g, eps: float) -> float:
        self.f, self.masses = self.sweep(eps, g)
        if isinstance(self.problem.penalty_a, Capacity):
            self.uncut = self.f
            self.f = self.problem.penalty_a.prox(self.f, eps)
        self.made = (eps, g)
        error = self.column_error(g, self.masses, eps)
        if self.problem.partial:
            self.dual, self.dual_slack = self.dual_value(eps, g), eps * min(error, 1.0)
        return error

    def dual_value(self, eps: float, g) -> float:
        """Of the potentials at hand, normalised, where the total is fixed."""
        problem = self.problem
        potentials = problem.penalty_a.dual(self.f, problem.a) + problem.penalty_b.dual(g, problem.b)
        return potentials - eps * (float(self.masses.sum()) - problem.total)

    def pair(self, g):
        return self.f, g

    def image(self, g, eps: float):
        new = self.column_update(eps, self.f, g, self.masses)
        if self.stored is None and eps == self.problem.eps:
            self.absorb(eps, new)
        return new

    def project(self, g):
        if self.at_level is None:
            return self.problem.penalty_b.project(g)
        # One number for all that were at the level, and nothing above it.
        return np.minimum(g, g[self.at_level].min())

    def keep(self):
        self.kept_dual = self.dual - self.dual_slack
        return self.f, self.made

    def fell(self) -> bool:
        return self.dual < self.kept_dual

    def rising(self) -> bool:
        before, self.seen_dual = self.seen_dual, self.dual
        return self.dual > before + self.dual_slack

    def back(self, kept):
        self.f, self.made = kept

    def column_error(self, g, masses, eps: float) -> float:
        """Marginal error at `g`: rows are exact after a sweep."""
        live, problem = self.live, self.problem
        error = problem.penalty_b.residual(masses[live], problem.b[live], g[live], eps)
        if problem.partial:
            error += abs(float(masses.sum()) - 1.0)
        return error / self.unit

    @property
    def unit(self) -> float:
        return self.problem.total

    def converge(self, g, eps: float, rule, until=None) -> Status | None:
        """Accelerated sweeps at the target from `g`; float32 costs first in float32, then in float64.

        Parameters
        ----------
        rule : callable
            Makes an acceleration rule.
        until : callable or None
            See `iteration.accelerate`.
        """
        self.aim(eps)
        status = accelerate(self, g, eps, rule(), self.monitor, until)
        ended = (Status.CONVERGED, Status.PRECISION_LIMIT, Status.STALLED)
        if self.precision == "float32" and self.control.tol > 0 and status in ended:
            self.refine(eps)
            status = accelerate(self, self.g, eps, rule(), self.monitor, until)
        return status

    def refine(self, eps: float) -> None:
        """Go on in float64 from the best point that float32 has found."""
        self.precision = "float64"
        self.stored = None
        self.f, self.g = self.best()
        self.made = (eps, self.g)
        self.monitor.restart()
        self.aim(eps)

    def aim(self, eps: float) -> None:
        """Tell the monitor what rounding allows at the potentials at hand."""
        monitor = self.monitor
        monitor.reach = max(self.floor if self.precision == "float32" else 0.0, self.noise(eps))
        monitor.slack = min(0.5 * self.control.tol, 0.5 * monitor.reach) if self.precision == "float64" else 0.0

    def noise(self, eps: float) -> float:
        """Marginal error that rounding of the exponents alone makes in the current arithmetic."""
        size = _largest(self.f, self.open_a)
        if self.problem.partial:  # row updates are cut: the columns may have the larger potentials
            size += _largest(self.g if self.made is None else self.made[1], self.reached_b > 0)
        return 8 * float(np.finfo(self.precision).eps) * (1 + size / eps)

    def absorb(self, eps: float, g) -> None:
        problem, kernel = self.problem, self.kernel
        n, m = problem.geometry.shape
        if kernel == "log" or (kernel == "auto" and n * m < 1 << 12):
            return
        plan = GibbsPlan(problem.geometry, self.f, g, problem.a, problem.b, eps, problem.log_mass)
        self.stored = self.backend.absorb(plan, self.precision)

    def best(self):
        """The iterate with the smallest error so far."""
        pair = self.monitor.best_pair
        assert pair is not None  # every way out of the loop has recorded one
        return pair

    # --- the end ----------------------------------------------------------------------------------------------

    def complete(self, f, g):
        """Potentials of points without weight: what an infinitely small weight would have."""
        problem = self.problem
        if not self.all_live:
            s = self.column_softmin(problem.eps, f)
            if not isinstance(problem.penalty_b, Capacity):
                s = problem.penalty_b.prox(s, problem.eps)
            g = np.where(self.live, g, s)
        if problem.partial:
            f, g = (
                np.minimum(potential, potential[weights > 0].max())
                for potential, weights in ((f, problem.a), (g, problem.b))
            )
        return f, g

    def verified_status(self, f, g):
        """(status, error) after a look at both marginals where rounding could hide an error."""
        problem = self.problem
        status, error = self.status, self.monitor.best
        assert status is not None
        size = _largest(f, self.open_a) + _largest(g, self.reached_b > 0)
        noise = 4 * float(np.finfo(np.float64).eps) * size / problem.eps
        # Soft sides let the mass of the plan grow with the product of two huge ones.
        huge = problem.log_mass > 0.4 * math.log(np.finfo(np.float64).max)
        if status is Status.CONVERGED and (noise > 0.01 * self.control.tol or huge):
            plan = GibbsPlan(problem.geometry, f, g, problem.a, problem.b, problem.eps, problem.log_mass)
            found = self.backend.plan_statistics(plan)
            error = problem.marginal_error(f, g, found.row_mass, found.column_mass)
            if not error <= self.control.tol:
                status = Status.PRECISION_LIMIT
            if not math.isfinite(problem.mass * float(found.row_mass.sum())):
                status = Status.DIVERGED
        if status is Status.CONVERGED and self.control.tol > self.wanted:
            status = Status.PRECISION_LIMIT
        return status, error


def _largest(potential, counted) -> float:
    """Largest size of the potentials of points that are not cut off."""
    return float(np.abs(potential[counted]).max()) if counted.any() else 0.0
