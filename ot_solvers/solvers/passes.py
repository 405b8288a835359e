"""Sinkhorn's alternating updates as a fixed-point process on the column potentials.

What every solver of the semi-dual does between its own ideas: sweeps in the cheapest stable form, column
updates, errors, and an honest status at the end.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np

from ..penalties import translation
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
        #: (eps, g) at which `f` is the row update; None where nobody knows.
        self.made: tuple[float, np.ndarray] | None = None
        self.masses = np.zeros(m)
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
        f[self.cut_a] = problem.penalty_a.unreachable
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
        s, lost = self.wanted_by_columns(eps, g, masses)
        if lost.any():
            s = np.where(lost, self.column_softmin(eps, f), s)
        s = problem.penalty_b.prox(s, eps)
        if not problem.fixed_total:
            s = s - translation(problem.penalty_a, f, self.reached_a, problem.penalty_b, s, self.reached_b)
            s[self.cut_b] = problem.penalty_b.unreachable
        return s if self.all_live else np.where(self.live, s, g)

    def wanted_by_columns(self, eps: float, g, masses):
        """(soft minima of the columns, those whose mass says nothing because it has underflowed)."""
        b = self.problem.b
        with np.errstate(divide="ignore", invalid="ignore"):
            s = g - eps * np.log(masses / b)
        return s, self.live & ~(masses > self.mass_floor * b)

    @property
    def mass_floor(self) -> float:
        """See `Backend.mass_floor`."""
        return self.backend.mass_floor(self.problem.geometry, self.precision)

    def column_softmin(self, eps: float, f):
        problem = self.problem
        s = self.backend.softmin(problem.geometry.T, problem.log_a + f / eps, eps)
        return np.where(np.isfinite(s), s, 0.0)

    # --- the fixed-point process on the column potentials (see `iteration.Process`) ---------------------------

    def measure(self, g, eps: float) -> float:
        self.f, self.masses = self.sweep(eps, g)
        self.made = (eps, g)
        return self.column_error(g, self.masses, eps)

    def pair(self, g):
        return self.f, g

    def image(self, g, eps: float):
        new = self.column_update(eps, self.f, g, self.masses)
        if self.stored is None and eps == self.problem.eps:
            self.absorb(eps, new)
        return new

    def project(self, g):
        return self.problem.penalty_b.project(g)

    def keep(self):
        return self.f, self.made

    def fell(self) -> bool:
        return False

    def rising(self) -> bool:
        return False

    def back(self, kept):
        self.f, self.made = kept

    def column_error(self, g, masses, eps: float) -> float:
        """Marginal error at `g`: rows are exact after a sweep."""
        live, problem = self.live, self.problem
        return problem.penalty_b.residual(masses[live], problem.b[live], g[live], eps) / self.unit

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
        return 8 * float(np.finfo(self.precision).eps) * (1 + self.size() / eps)

    def size(self) -> float:
        """Of the potentials that exponents are made of, cost units."""
        return _largest(self.f, self.open_a)

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
        if not self.all_live:
            problem = self.problem
            g = np.where(self.live, g, problem.penalty_b.prox(self.column_softmin(problem.eps, f), problem.eps))
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
