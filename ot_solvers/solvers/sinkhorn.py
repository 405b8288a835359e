"""Sinkhorn's algorithm: eps-scaled, accelerated, in the cheapest stable form."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..coupling import GibbsPlan
from ..penalties import translation
from ..problem import Problem
from ..status import Progress, Status
from .acceleration import Anderson, Plain, Relaxation
from .base import Control, Monitor, Outcome, Solver
from .iteration import accelerate, anneal, land
from .schedules import eps_levels

__all__ = ["Sinkhorn"]


@dataclass(frozen=True)
class Sinkhorn(Solver):
    """Block-coordinate ascent on the dual, one read of the cost per iteration.

    Parameters
    ----------
    annealing : float in (0, 1) or None, default 0.5
        Ratio of neighbouring levels of eps-scaling; None starts at the eps asked for.
    sweeps_per_level : int >= 1, default 3
        Iterations on every level but the last.
    acceleration : {"anderson", "relaxation", None}, default "anderson"
        On the last level. Every accelerated point is measured; one that is worse is taken back.
    memory : int >= 1, default 10
        Of Anderson acceleration.
    relaxation : float in (0, 2) or None
        A fixed over-relaxation; implies ``acceleration="relaxation"``. None estimates it.
    kernel : {"auto", "log", "stored"}, default "auto"
        "log": log-domain sweeps, one exponential per pair. "stored": keep ``exp((f + g - C) / eps)`` of a
        dense cost and scale it, absorbing large scalings; no exponential per pair, twice the memory.

    References
    ----------
    [cuturi:13]_, stabilised as in [schmitzer:19]_, accelerated as in [walker:11]_ and [thibault:21]_.
    """

    annealing: float | None = 0.5
    sweeps_per_level: int = 3
    acceleration: str | None = "anderson"
    memory: int = 10
    relaxation: float | None = None
    kernel: str = "auto"

    name: ClassVar[str] = "sinkhorn"
    #: Passes over the cost when the caller does not say.
    default_max_iter: ClassVar[int] = 10_000

    def __post_init__(self):
        if self.annealing is not None and not 0 < self.annealing < 1:
            raise ValueError(f"annealing={self.annealing!r} must be between 0 and 1, or None")
        for name in ("sweeps_per_level", "memory"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r} must be a positive integer")
        if self.relaxation is not None:
            if not 0 < self.relaxation < 2:
                raise ValueError(f"relaxation={self.relaxation!r} must be between 0 and 2, or None")
            object.__setattr__(self, "acceleration", "relaxation")
        if self.acceleration not in ("anderson", "relaxation", None):
            raise ValueError(
                f"acceleration={self.acceleration!r} is unknown; expected 'anderson', 'relaxation' or None"
            )
        if self.kernel not in ("auto", "log", "stored"):
            raise ValueError(f"kernel={self.kernel!r} is unknown; expected 'auto', 'log' or 'stored'")

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        return _Run(self, problem, backend, control).outcome()

    def rule(self, problem: Problem):
        """The acceleration rule for one solve."""
        if self.acceleration == "anderson":
            return Anderson(self.memory, problem.b[problem.b > 0])
        if self.acceleration == "relaxation":
            return Relaxation(self.relaxation)
        return Plain()


class _Run:
    """One solve: the state that its phases share."""

    #: Sweeps at the target that one kernel call may run on a small problem (milliseconds) before the general
    #: loop takes over.
    SMALL_SWEEPS = 1000
    #: Largest exponent (natural logarithm) that a kernel's arithmetic holds, with room for sums.
    EXPONENT: ClassVar[dict[str, float]] = {"float64": 600.0, "float32": 60.0}

    def __init__(self, options: Sinkhorn, problem: Problem, backend, control: Control):
        self.options = options
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
        max_iter = options.default_max_iter if control.max_iter is None else control.max_iter
        self.monitor = Monitor(control, max_iter, self.floor)
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
        b = problem.b
        with np.errstate(divide="ignore", invalid="ignore"):
            s = g - eps * np.log(masses / b)
        # Columns whose mass has underflowed say nothing: take their own soft minimum.
        lost = self.live & ~(masses > 1e-50 * b)
        if lost.any():
            s = np.where(lost, self.column_softmin(eps, f), s)
        s = problem.penalty_b.prox(s, eps)
        if not problem.balanced:
            s = s - translation(problem.penalty_a, f, self.reached_a, problem.penalty_b, s, self.reached_b)
            s[self.cut_b] = problem.penalty_b.unreachable
        return s if self.all_live else np.where(self.live, s, g)

    def column_softmin(self, eps: float, f):
        problem = self.problem
        s = self.backend.softmin(problem.geometry.T, problem.log_a + f / eps, eps)
        return np.where(np.isfinite(s), s, 0.0)

    # --- the fixed-point process on the column potentials (see `iteration.Process`) ---------------------------

    def measure(self, g, eps: float) -> float:
        self.f, self.masses = self.sweep(eps, g)
        self.made = (eps, g)
        return self.column_error(g, self.masses)

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

    def back(self, kept):
        self.f, self.made = kept

    def column_error(self, g, masses) -> float:
        """Marginal error at `g`: rows are exact after a sweep."""
        live = self.live
        return self.problem.penalty_b.residual(masses[live], self.problem.b[live], g[live]) / self.unit

    @property
    def unit(self) -> float:
        return float(self.problem.a.sum())

    # --- phases -----------------------------------------------------------------------------------------------

    def outcome(self) -> Outcome:
        problem = self.problem
        factor = None if self.control.init is not None else self.options.annealing
        levels = eps_levels(problem.eps, problem.geometry.spread(), factor)
        if not self.solved_in_one_kernel(levels):
            self.g, self.status = anneal(self, self.g, levels[:-1], self.options.sweeps_per_level, self.monitor)
            if self.status is None:
                self.finish(float(levels[-1]))
            else:
                land(self, self.g, float(levels[-1]), self.monitor)
        f, g = self.best()
        f, g = self.complete(f, g)
        status, error = self.verified_status(f, g)
        return Outcome(f, g, status, self.monitor.iteration, error, self.monitor.history, self.options.name)

    def best(self):
        """The iterate with the smallest error so far."""
        pair = self.monitor.best_pair
        assert pair is not None  # every way out of the loop has recorded one
        return pair

    def solved_in_one_kernel(self, levels) -> bool:
        """Whole solve in one kernel where the backend has it; True if that was all."""
        options = self.options
        if options.kernel != "auto" or self.control.callback is not None or self.precision != "float64":
            return False
        problem = self.problem
        if options.acceleration == "relaxation" or self.cut_a.size or self.cut_b.size:
            return False
        on_levels = options.sweeps_per_level * (len(levels) - 1)
        # The kernel knows no `translation`: it must not insist where that is the slow mode.
        most = self.SMALL_SWEEPS if problem.balanced else self.SMALL_SWEEPS // 20
        sweeps = min(most + on_levels, self.monitor.max_iter)
        found = self.backend.solve_small(
            problem.geometry,
            problem.a,
            problem.b,
            self.g,
            levels,
            (problem.penalty_a, problem.penalty_b),
            problem.log_mass,
            self.control.tol * self.unit,
            options.sweeps_per_level,
            sweeps,
            options.memory if options.acceleration == "anderson" else 0,
        )
        if found is None:
            return False
        self.f, self.g, errors = found
        self.made = (problem.eps, self.g)
        monitor = self.monitor
        iterations = len(errors)
        # History of the kernel: its sweeps on each level are known by count, and take equal times.
        each = (time.perf_counter() - monitor.started) / iterations
        on_levels = min(on_levels, sweeps - 1)
        for k, error in enumerate(errors / self.unit):
            at = k // options.sweeps_per_level if k < on_levels else -1
            monitor.history.append(Progress(k + 1, float(error), float(levels[at]), (k + 1) * each))
        monitor.iteration = iterations
        error = float(errors[on_levels:].min()) / self.unit
        monitor.best, monitor.best_pair = error, (self.f, self.g)
        if error <= self.control.tol:
            self.status = Status.CONVERGED
        elif iterations >= monitor.max_iter:
            self.status = Status.MAX_ITER
        else:
            self.finish(float(levels[-1]))
        return True

    def finish(self, eps: float) -> None:
        """Sweeps at the target; float32 costs first in float32, then in float64 if `tol` can be had."""
        self.monitor.reach = max(self.floor, self.noise(eps))
        self.status = accelerate(self, self.g, eps, self.options.rule(self.problem), self.monitor)
        ended = (Status.CONVERGED, Status.PRECISION_LIMIT, Status.STALLED)
        if self.precision == "float32" and self.control.tol > 0 and self.status in ended:
            self.precision = "float64"
            self.stored = None
            self.f, self.g = self.best()
            self.made = (eps, self.g)
            self.monitor.restart()
            self.monitor.reach = self.noise(eps)
            self.status = accelerate(self, self.g, eps, self.options.rule(self.problem), self.monitor)

    def noise(self, eps: float) -> float:
        """Marginal error that rounding of the exponents alone makes in the current arithmetic."""
        return 8 * float(np.finfo(self.precision).eps) * (1 + np.abs(self.f).max() / eps)

    def absorb(self, eps: float, g) -> None:
        problem, kernel = self.problem, self.options.kernel
        n, m = problem.geometry.shape
        if kernel == "log" or (kernel == "auto" and n * m < 1 << 12):
            return
        plan = GibbsPlan(problem.geometry, self.f, g, problem.a, problem.b, eps, problem.log_mass)
        self.stored = self.backend.absorb(plan, self.precision)

    # --- the end ----------------------------------------------------------------------------------------------

    def complete(self, f, g):
        """Potentials of points without weight: what an infinitely small weight would have."""
        if not self.all_live:
            s = self.problem.penalty_b.prox(self.column_softmin(self.problem.eps, f), self.problem.eps)
            g = np.where(self.live, g, s)
        return f, g

    def verified_status(self, f, g):
        """(status, error) after a look at both marginals where rounding could hide an error."""
        problem = self.problem
        status, error = self.status, self.monitor.best
        assert status is not None
        size = np.abs(f).max() + np.abs(g[self.live]).max()
        noise = 4 * float(np.finfo(np.float64).eps) * size / problem.eps
        # Soft sides let the mass of the plan grow with the product of two huge ones.
        huge = problem.log_mass > 0.4 * math.log(np.finfo(np.float64).max)
        if status is Status.CONVERGED and (noise > 0.01 * self.control.tol or huge):
            plan = GibbsPlan(problem.geometry, f, g, problem.a, problem.b, problem.eps, problem.log_mass)
            found = self.backend.plan_statistics(plan)
            error = marginal_error(problem, f, g, found.row_mass, found.column_mass)
            if not error <= self.control.tol:
                status = Status.PRECISION_LIMIT
            if not math.isfinite(problem.mass * float(found.row_mass.sum())):
                status = Status.DIVERGED
        if status is Status.CONVERGED and self.control.tol > self.wanted:
            status = Status.PRECISION_LIMIT
        return status, error


def marginal_error(problem: Problem, f, g, row_mass, column_mass) -> float:
    """Both-sided L1 residual of the marginals against what optimality asks, relative to the mass of a."""
    rows = problem.penalty_a.residual(row_mass, problem.a, f)
    columns = problem.penalty_b.residual(column_mass, problem.b, g)
    return (rows + columns) / float(problem.a.sum())
