"""Sinkhorn's algorithm: eps-scaled, accelerated, in the cheapest stable form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..problem import Problem
from .acceleration import Anderson, Plain, Relaxation
from .base import Control, Outcome, Solver
from .iteration import anneal, land
from .partial import PartialPasses
from .passes import SinkhornPasses
from .schedules import levels_of
from .small import solve_in_one_kernel

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
        kind = _PartialRun if problem.partial else _Run
        return kind(problem, backend, control, self.default_max_iter, self.kernel).outcome(self)

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

    def outcome(self, options: Sinkhorn) -> Outcome:
        problem = self.problem
        levels = levels_of(problem, self.control, options.annealing)
        small = None

        def rule():
            return options.rule(problem)

        if options.kernel == "auto" and options.acceleration != "relaxation":
            memory = options.memory if options.acceleration == "anderson" else 0
            # The kernel knows no `translation`: it must not insist where that is the slow mode.
            most = self.SMALL_SWEEPS if problem.balanced else self.SMALL_SWEEPS // 20
            small = solve_in_one_kernel(self, levels, options.sweeps_per_level, most, memory)
        if small is not None:
            self.status = small.status or self.converge(self.g, problem.eps, rule)
        else:
            self.g, self.status = anneal(self, self.g, levels[:-1], options.sweeps_per_level, self.monitor)
            if self.status is None:
                self.status = self.converge(self.g, float(levels[-1]), rule)
            else:
                land(self, self.g, float(levels[-1]), self.monitor)
        f, g = self.best()
        f, g = self.complete(f, g)
        status, error = self.verified_status(f, g)
        return Outcome(f, g, status, self.monitor.iteration, error, self.monitor.history, options.name)


class _PartialRun(PartialPasses, _Run):
    """One solve of a partial problem."""
