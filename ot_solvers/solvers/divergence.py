"""Self-transport of one measure: the averaged symmetric iteration of Sinkhorn divergences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..problem import Problem
from ..status import Status
from .acceleration import Anderson
from .base import Control, Monitor, Outcome, Solver
from .iteration import accelerate, anneal, land
from .schedules import eps_levels

__all__ = ["SymmetricSinkhorn"]


@dataclass(frozen=True)
class SymmetricSinkhorn(Solver):
    """``f <- (f + prox(softmin(f))) / 2`` for ``OT_eps(a, a)`` with a symmetric cost: one potential.

    The averaged iteration converges in a few passes where alternating updates oscillate [feydy:19]_.
    """

    name: ClassVar[str] = "symmetric sinkhorn"
    default_max_iter: ClassVar[int] = 10_000

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        eps = problem.eps
        process = _Averaged(problem, backend)
        f = np.zeros(problem.a.size) if control.init is None else control.init[0]
        factor = None if control.init is not None else 0.5
        monitor = Monitor(control, control.max_iter or self.default_max_iter, 0.0)
        levels = eps_levels(eps, problem.geometry.spread(), factor)
        f, status = anneal(process, f, levels[:-1], 2, monitor)
        if status is None:
            monitor.reach = 8 * float(np.finfo(np.float64).eps) * (1 + np.abs(f).max() / eps)
            status = accelerate(process, f, eps, Anderson(10, problem.a[process.live]), monitor)
        else:
            land(process, f, eps, monitor)
        assert monitor.best_pair is not None  # both ways have recorded one
        f = monitor.best_pair[0]
        if status is not Status.CONVERGED or not process.live.all():
            process.measure(f, eps)
            if status is not Status.CONVERGED:
                # Potentials of a larger eps may overflow the plan. The mean of f and its update is better: the
                # dual is concave and symmetric, so at (mean, mean) it is at least that at (update, f), whose
                # rows are exact. Equal potentials keep the divergence from being negative.
                mean = process.image(f, eps)
            else:
                mean = f
            # Points without weight: the update itself.
            f = np.where(process.live, mean, process.update)
        return Outcome(f, f, status, monitor.iteration, monitor.best, monitor.history, self.name)


class _Averaged:
    """The averaged iteration as a fixed-point process (see `iteration.Process`)."""

    def __init__(self, problem: Problem, backend):
        self.problem = problem
        self.backend = backend
        self.live = problem.a > 0
        self.update = np.zeros(problem.a.size)

    def measure(self, f, eps: float) -> float:
        problem = self.problem
        s = self.backend.softmin(problem.geometry, problem.log_b + f / eps, eps)
        s = np.where(np.isfinite(s), s, 0.0)
        with np.errstate(over="ignore"):
            # The row mass at f is a exp((f - softmin) / eps).
            mass = problem.a * np.exp((f - s) / eps)
        self.update = problem.penalty_a.prox(s, eps)
        return 2 * problem.penalty_a.residual(mass, problem.a, f) / float(problem.a.sum())

    def pair(self, f):
        return f, f

    def image(self, f, eps: float):
        return 0.5 * (f + self.update)

    def project(self, f):
        return self.problem.penalty_a.project(f)

    def keep(self):
        return self.update

    def fell(self):
        return False

    def rising(self):
        return False

    def back(self, kept):
        self.update = kept
