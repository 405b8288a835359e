"""Sinkhorn's algorithm: eps-scaled, accelerated, in the cheapest stable form."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from ..problem import Problem
from ..status import Progress, Status
from .acceleration import Anderson, Plain, Relaxation
from .base import Control, Outcome, Solver
from .iteration import accelerate, anneal, land
from .passes import SinkhornPasses
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


class _Run(SinkhornPasses):
    """One solve."""

    #: Sweeps at the target that one kernel call may run on a small problem (milliseconds) before the general
    #: loop takes over.
    SMALL_SWEEPS = 1000

    def __init__(self, options: Sinkhorn, problem: Problem, backend, control: Control):
        super().__init__(problem, backend, control, options.default_max_iter, options.kernel)
        self.options = options

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
