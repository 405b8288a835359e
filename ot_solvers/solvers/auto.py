"""Which solver runs, and why: sweeps as long as their rate promises to be cheaper, then Newton."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..errors import UnsupportedError
from ..penalties import TV
from ..problem import Problem
from ..status import Status
from . import multiscale
from .annealing import LEVEL_ERROR, anneal
from .base import Control, Monitor, Outcome, Solver
from .exact import Assignment, Crossover, ExactAuto, Simplex, Sorting
from .iteration import accelerate, land
from .iteration import anneal as sweep_levels
from .newton import Newton, NewtonRun
from .quadratic import SemiDualAscent, SemismoothNewton
from .schedules import is_cold, levels_of
from .sinkhorn import Sinkhorn
from .small import solve_in_one_kernel
from .sns import SNS

__all__ = ["SOLVERS", "Auto", "choose"]

#: Solvers by the name that ``method=`` understands.
SOLVERS: dict[str, type[Solver]] = {
    "sinkhorn": Sinkhorn,
    "newton": Newton,
    "sns": SNS,
    "crossover": Crossover,
    "simplex": Simplex,
    "assignment": Assignment,
    "sorting": Sorting,
    "semismooth-newton": SemismoothNewton,
    "semi-dual-ascent": SemiDualAscent,
}


def choose(method: Solver | str, problem: Problem) -> tuple[Solver, str]:
    """The solver for a problem and the reason in one sentence.

    Parameters
    ----------
    method : Solver or str
        A solver value, a name of `SOLVERS`, or "auto".

    Raises
    ------
    UnsupportedError
        If the method is for another kind of regularisation; or if the problem is partial and the method cannot
        leave mass where it is.
    """
    if method != "auto":
        solver = method if isinstance(method, Solver) else SOLVERS[str(method)]()
        kind, wanted = _kind_of(problem), _kind_for(solver)
        if kind != wanted:
            raise UnsupportedError(f"method={solver.name!r} is for {wanted}; method='auto' chooses what fits")
        if problem.partial and isinstance(solver, Newton | SNS | Sorting | Assignment):
            others = "'sinkhorn'" if problem.eps > 0 else "'simplex' or 'crossover'"
            raise UnsupportedError(f"method={solver.name!r} knows no mass=: use method={others}, or 'auto'")
        return solver, "asked for"
    if problem.quadratic is not None:
        if problem.quadratic.most_a is None and problem.quadratic.most_b is None:
            return SemismoothNewton(), "the semi-dual of quadratic transport is piecewise quadratic"
        return SemiDualAscent(), "the number of entries is limited"
    if problem.eps == 0:
        return ExactAuto(), ""
    if isinstance(problem.penalty_a, TV) or isinstance(problem.penalty_b, TV):
        return Sinkhorn(), "the dual of total variation penalties is not smooth: sweeps only"
    if problem.partial:
        return Sinkhorn(), "the dual of partial transport is not smooth: sweeps only"
    return Auto(), ""


#: Solvers for problems without regularisation, and with a quadratic term.
EXACT = (Assignment, Crossover, Simplex, Sorting, ExactAuto)
QUADRATIC = (SemismoothNewton, SemiDualAscent)
#: What people write for each kind of problem.
KINDS = ("a positive reg", "reg=None (exact transport)", "reg=ots.Quadratic or ots.SparsityConstrained")


def _kind_for(solver: Solver) -> str:
    return KINDS[1] if isinstance(solver, EXACT) else KINDS[2] if isinstance(solver, QUADRATIC) else KINDS[0]


def _kind_of(problem: Problem) -> str:
    return KINDS[0] if problem.eps > 0 else KINDS[1] if problem.quadratic is None else KINDS[2]


@dataclass(frozen=True)
class Auto(Solver):
    """Sweeps, accelerated at the target, until Newton's method is predicted to be cheaper."""

    name: ClassVar[str] = "auto"
    default_max_iter: ClassVar[int] = 10_000

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        return _Run(problem, backend, control, self.default_max_iter).outcome()


class _Run(NewtonRun):
    """One solve."""

    #: Passes at the target over which the rate of the sweeps is read off.
    WINDOW = 8
    #: Time that sweeps in one kernel call may take on a small problem: less than Newton's method needs.
    SMALL_SECONDS = 1.5e-3
    #: How much cheaper Newton must look: predictions are rough, and a switch throws away what acceleration has
    #: learnt. After a warm start the first sweeps flatter: what they remove is not what is slow.
    MARGIN, WARM_MARGIN = 1.1, 0.6

    def outcome(self) -> Outcome:
        problem, eps = self.problem, self.problem.eps
        levels = levels_of(problem, self.control, Newton.annealing)
        g = self.g.copy()
        n, m = problem.geometry.shape
        sweeps = min(1000, int(self.SMALL_SECONDS / (1e-6 + 1.2e-9 * n * m)))
        small = solve_in_one_kernel(self, levels, 3, sweeps if problem.balanced else 50, 10)
        if small is not None and small.status is not None:
            return self.report(small.status, "sinkhorn", "a problem this small takes less time than a choice")
        if small is not None and self.monitor.best <= LEVEL_ERROR:
            return self.ended_by_newton(
                self.g, f"{self.monitor.iteration} sweeps in one kernel call were not enough"
            )
        if is_cold(problem, self.control) and multiscale.suits(problem):
            g, status = self.from_clusters()
        else:
            g, status = anneal(self, g, levels)
        if status is not None:
            land(self, g, eps, self.monitor)
            return self.report(status, self.method, "the solve ended on the way to the eps asked for")
        if len(levels) > 1 and self.stepped_at == float(levels[-2]):
            return self.ended_by_newton(g, f"sweeps no longer got on at eps = {levels[-2]:.3g}, on the way")
        self.arrived = len(self.monitor.history)
        #: Passes that sweeps, and Newton steps, were predicted to need when that was last looked at.
        self.predicted = (math.nan, math.nan)
        if self.precision == "float32" and problem.geometry.dtype == np.float64:
            g, status = self.roughly(g)
            if status is not None:
                return self.report(status, self.method, self.why_sweeps(status))
        status = self.converge(g, eps, self.rule, self.newton_is_cheaper)
        if status is None:
            left, steps = self.predicted
            reason = f"sweeps would have taken about {_rounded(left)} more passes, Newton's method {steps:.0f}"
            return self.ended_by_newton(self.best()[1], reason)
        return self.report(status, self.method, self.why_sweeps(status))

    def from_clusters(self) -> tuple[np.ndarray, Status | None]:
        """Where to start at the target on a large cloud; the status where the solve is over."""
        problem = self.problem
        try:
            # The row potentials tell `aim` how large they are: the first sweep finds its own.
            self.f, g, eps = multiscale.clustered_start(problem, self.backend, self.control.callback)
        except multiscale.Stopped:
            return self.g, Status.STOPPED_BY_CALLBACK
        if multiscale.in_float32(problem):
            self.precision = "float32"
        control = replace(self.control, init=(self.f, g), init_eps=eps)
        levels = levels_of(problem, control, Sinkhorn.annealing)
        return sweep_levels(self, g, levels[:-1], Sinkhorn.sweeps_per_level, self.monitor)

    def roughly(self, g) -> tuple[np.ndarray, Status | None]:
        """Sweeps in float32 as long as its rounding does not show; then costs are float64 again."""
        eps = self.problem.eps
        self.aim(eps)
        enough = max(self.control.tol, self.noise(eps) / 8)
        status = accelerate(self, g, eps, self.rule(), self.monitor, lambda monitor: monitor.best <= enough)
        if self.monitor.asked_to_stop:
            status = Status.STOPPED_BY_CALLBACK
        elif self.monitor.iteration >= self.monitor.max_iter:
            status = Status.MAX_ITER
        if status in (Status.MAX_ITER, Status.STOPPED_BY_CALLBACK, Status.DIVERGED):
            return g, status
        self.refine(eps)
        self.arrived = len(self.monitor.history)  # rates of float64 sweeps say nothing about those before
        return self.g, None

    def ended_by_newton(self, g, reason: str) -> Outcome:
        status = self.polish(g, self.problem.eps)
        if not self.newton_steps:
            reason += "; the solve ended before the first step"
        return self.report(status, self.method, reason)

    @property
    def method(self) -> str:
        return "newton" if self.newton_steps else "sinkhorn"

    def why_sweeps(self, status: Status) -> str:
        passes = len(self.monitor.history) - self.arrived
        reason = f"accelerated sweeps took {passes} passes at the eps asked for, "
        if status is Status.CONVERGED:
            reason += "less than Newton's method would"
        else:
            reason += "too few to tell that Newton's method is cheaper"
        if self.newton_steps:
            reason += f"; on the way there {self.newton_steps} Newton steps were cheaper"
        return reason

    def newton_is_cheaper(self, monitor: Monitor) -> bool:
        """Whether the sweeps' rate promises more work than Newton's method."""
        history = monitor.history[self.arrived :]
        if len(history) < self.WINDOW or monitor.best <= monitor.reach:
            return False
        tol = max(self.control.tol, monitor.reach, 1e-16)
        earlier = min(p.marginal_error for p in history[: -self.WINDOW + 1])
        rate = math.log(max(earlier / monitor.best, 1.0)) / (self.WINDOW - 1)
        left = math.log(monitor.best / tol)
        sweeps = left / rate if rate > 0 else math.inf
        # Newton's method from here to any tolerance.
        digits = math.log10(monitor.best / LEVEL_ERROR)
        steps = 4 + 3 * max(digits, 0.0) + 0.5 * max(min(digits, 0.0), -2.0)
        margin = self.MARGIN if is_cold(self.problem, self.control) else self.WARM_MARGIN
        newton = steps * self.step_passes()
        if sweeps > margin * newton:
            f, g = self.best()
            newton = steps * self.step_passes((f, g, 0.01 * monitor.best))
        self.predicted = (sweeps, newton)
        return sweeps > margin * newton


def _rounded(passes: float) -> str:
    return f"{passes:.0f}" if passes < 1e6 else "millions of"
