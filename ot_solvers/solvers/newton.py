"""Newton's method on the semi-dual: eps-scaled, sparse, globalised. High accuracy where sweeps are slow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..problem import Problem
from ..status import Status
from .acceleration import Anderson
from .annealing import anneal
from .base import Control, Outcome, Solver
from .iteration import accelerate, land
from .schedules import levels_of
from .second_order import SecondOrderPasses

__all__ = ["Newton"]


@dataclass(frozen=True)
class Newton(Solver):
    """Newton's method on the semi-dual, with Sinkhorn sweeps in between.

    Every step solves the linearised marginal equations by conjugate gradients on the entries of the plan
    that matter at the current error, preconditioned by an approximate Cholesky factor, inside a trust
    region of a few eps. Converges in tens to a few hundred passes over the cost where sweeps take thousands;
    memory grows with the entries that matter. Arithmetic is float64 also for float32 costs.

    Parameters
    ----------
    annealing : float in (0, 1) or None, default 0.3
        Ratio of neighbouring levels of eps-scaling; None starts at the eps asked for. Longer strides than those
        of `Sinkhorn`, because levels are solved and the next one is predicted.

    Raises
    ------
    UnsupportedError
        On solving with ``unbalanced_type="tv"``, whose dual is not smooth.

    References
    ----------
    [tang:24]_ and [tang:24b]_ sparsify the Hessian; the preconditioner is that of [kyng:16]_ and [gao:23]_.
    """

    annealing: float | None = 0.3

    name: ClassVar[str] = "newton"
    #: Passes over the cost when the caller does not say.
    default_max_iter: ClassVar[int] = 10_000

    def __post_init__(self):
        if self.annealing is not None and not 0 < self.annealing < 1:
            raise ValueError(f"annealing={self.annealing!r} must be between 0 and 1, or None")

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        return _Run(self, problem, backend, control).outcome()


class NewtonRun(SecondOrderPasses):
    """What solves that may end in Newton steps share."""

    #: Newton steps at the target before accelerated sweeps have the last word.
    MOST_STEPS = 1000

    def rule(self):
        """The acceleration of sweeps at the target."""
        return Anderson(10, self.problem.b[self.live])

    def polish(self, g, eps: float) -> Status:
        """Newton steps at the target from `g`; sweeps where they fail."""
        if self.precision == "float32":
            self.precision = "float64"
            self.monitor.restart()
        self.kernel, self.stored = "log", None
        error, status = self.visit(g, eps, True)
        self.aim(eps)
        while status is None and self.newton_steps < self.MOST_STEPS:
            steps = self.newton_steps
            g, error, status = self.settle(g, eps, error, self.control.tol, True, 10)
            if self.newton_steps == steps:
                break
        if status is not None:
            return status
        found = accelerate(self, g, eps, self.rule(), self.monitor)
        assert found is not None
        return found

    def report(self, status: Status, method: str, reason: str) -> Outcome:
        """The best point found, looked at once more where rounding could hide an error."""
        f, g = self.complete(*self.best())
        self.status = status
        status, error = self.verified_status(f, g)
        monitor = self.monitor
        return Outcome(f, g, status, monitor.iteration, error, monitor.history, method, reason, self.diagnostics())


class _Run(NewtonRun):
    """One solve."""

    def __init__(self, options: Newton, problem: Problem, backend, control: Control):
        super().__init__(problem, backend, control, options.default_max_iter, "log")
        self.options = options
        # TV: says so before any work.
        for penalty, weights in ((problem.penalty_a, problem.a), (problem.penalty_b, problem.b)):
            penalty.curvature(weights, weights)

    def outcome(self) -> Outcome:
        problem, eps = self.problem, self.problem.eps
        levels = levels_of(problem, self.control, self.options.annealing)
        g, status = anneal(self, self.g, levels)
        if status is None:
            status = self.polish(g, eps)
        else:
            land(self, g, eps, self.monitor)
        return self.report(status, self.options.name, "asked for")
