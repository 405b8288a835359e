"""Self-transport of one measure: the averaged symmetric iteration of Sinkhorn divergences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..problem import Problem
from ..status import Status
from .acceleration import Anderson
from .base import Control, Monitor, Outcome, Solver
from .schedules import eps_levels

__all__ = ["SymmetricSinkhorn"]


@dataclass(frozen=True)
class SymmetricSinkhorn(Solver):
    """``f <- (f + prox(softmin(f))) / 2`` for ``OT_eps(a, a)`` with a symmetric cost: one potential.

    The averaged iteration converges in a few passes where alternating updates oscillate [feydy:19]_.
    """

    name: ClassVar[str] = "symmetric sinkhorn"
    requires: ClassVar[frozenset[str]] = frozenset({"softmin"})
    default_max_iter: ClassVar[int] = 10_000

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        eps = problem.eps
        n = problem.geometry.shape[0]
        f = np.zeros(n) if control.init is None else control.init[0]
        live = problem.a > 0
        factor = None if control.init is not None else 0.5
        max_iter = self.default_max_iter if control.max_iter is None else control.max_iter
        monitor = Monitor(control, max_iter, 1e-13)
        rule = Anderson(10, problem.a[live])
        status = None
        accepted, fallback = np.inf, None
        levels = eps_levels(eps, problem.geometry.spread(), factor)
        for level in levels[:-1]:
            for _ in range(2):
                image, error = self._pass(problem, backend, f, float(level))
                status = monitor.record(error, float(level), f, f, final=False)
                if status is not None:
                    break
                f = 0.5 * (f + image)
            if status is not None:
                break
        while status is None:
            image, error = self._pass(problem, backend, f, eps)
            status = monitor.record(error, eps, f, f)
            if status is not None:
                break
            if fallback is not None and error > 1.5 * accepted:
                rule.reset()
                f, fallback, accepted = fallback, None, np.inf
                continue
            plain = 0.5 * (f + image)
            fallback, accepted = plain, error
            step = rule.propose(f[live], plain[live])
            f = plain.copy()
            if np.isfinite(step).all():
                f[live] = step
        f = monitor.best_pair[0] if monitor.best_pair else f
        # Points without weight: the update itself says what their potential is.
        image, _ = self._pass(problem, backend, f, eps)
        f = np.where(live, f, image)
        assert isinstance(status, Status)
        return Outcome(f, f, status, monitor.iteration, monitor.best, monitor.history, self.name)

    @staticmethod
    def _pass(problem: Problem, backend, f, eps):
        """(prox(softmin(f)), marginal error at f): the row mass at f is ``a exp((f - softmin) / eps)``."""
        s = backend.softmin(problem.geometry, problem.log_b + f / eps, eps)
        s = np.where(np.isfinite(s), s, 0.0)
        with np.errstate(over="ignore"):
            mass = problem.a * np.exp((f - s) / eps)
        error = 2 * problem.penalty_a.residual(mass, problem.a, f) / float(problem.a.sum())
        return problem.penalty_a.prox(s, eps), error
