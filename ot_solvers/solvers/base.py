"""What a solver is given, what it gives back, and the bookkeeping of every iteration."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..problem import Problem
from ..status import Progress, Status

__all__ = ["Control", "Monitor", "Outcome", "Solver", "is_true"]


@dataclass(frozen=True)
class Control:
    """Arguments of the call that are the same for every solver.

    Attributes
    ----------
    tol : float >= 0
        Marginal error, both sides, relative to the total mass.
    max_iter : int or None
        Passes over the cost.
    init : (f, g) or None
        Potentials to start from, in the problem's normalised units.
    callback : callable or None
        Sees a `Progress`, returns True to stop.
    init_eps : float or None
        The eps that `init` belongs to, where that is known: larger ones are led down from there.
    """

    tol: float
    max_iter: int | None = None
    init: tuple[np.ndarray, np.ndarray] | None = None
    callback: Callable[[Progress], object] | None = None
    init_eps: float | None = None


@dataclass
class Outcome:
    """What a solver found, in the problem's normalised units."""

    f: np.ndarray
    g: np.ndarray
    status: Status
    n_iter: int
    error: float
    history: list[Progress] = field(default_factory=list)
    method: str = ""
    method_reason: str = ""
    #: Counts of what a pass over the cost does not tell, such as steps of inner linear solvers.
    diagnostics: dict[str, float] = field(default_factory=dict)
    #: (n, m) SciPy CSR array of the normalised plan, where the potentials do not say what it is.
    plan: Any = None


def is_true(answer: object) -> bool:
    """Whether a callback asked to stop: True of any library, but not any other object."""
    return answer is True or (isinstance(answer, np.bool_) and bool(answer))


class Solver:
    """Base of solver values: frozen dataclasses of options with one method."""

    name: ClassVar[str] = ""

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        """Run on one problem; never raises for lack of convergence."""
        raise NotImplementedError


class Monitor:
    """Keeps the best iterate, the history and the clock; decides when enough is enough.

    Parameters
    ----------
    control : Control
    max_iter : int
    reach : float
        Marginal error below which the arithmetic cannot go, so that asking for less is PRECISION_LIMIT.
    """

    #: Passes without a tenth of a percent of progress that count as a stall.
    PATIENCE = 300

    def __init__(self, control: Control, max_iter: int, reach: float):
        self.control = control
        self.max_iter = max_iter
        self.reach = reach
        #: How far below `tol` to go, so that a second look in other arithmetic finds the same.
        self.slack = 0.0
        self.started = time.perf_counter()
        self.history: list[Progress] = []
        self.iteration = 0
        #: Whether the callback has, whatever else the pass that it saw has ended in.
        self.asked_to_stop = False
        self.best = math.inf
        self.best_pair: tuple[np.ndarray, np.ndarray] | None = None
        self.mark = math.inf
        self.marked_at = 0

    def record(self, error: float, eps: float, f, g, *, final: bool = True) -> Status | None:
        """Note one pass; a status when the solve is over, else None.

        `final` says that `eps` is the target: earlier levels solve another problem.
        """
        progress = self.note(error, eps)
        if final and (error < self.best or self.best_pair is None):
            self.best, self.best_pair = error, (f, g)
        stop = self.control.callback is not None and is_true(self.control.callback(progress))
        self.asked_to_stop = self.asked_to_stop or stop
        if final and 0 <= error <= self.control.tol - self.slack:
            return Status.CONVERGED
        if stop:
            self._keep(error, f, g)
            return Status.STOPPED_BY_CALLBACK
        if self.iteration >= self.max_iter:
            self._keep(error, f, g)
            return Status.MAX_ITER
        if not math.isfinite(error):
            self._keep(error, f, g)
            return Status.DIVERGED
        if final:
            if self.best < 0.999 * self.mark:
                self.mark, self.marked_at = self.best, self.iteration
            elif self.iteration - self.marked_at >= (self.PATIENCE if self.best > self.reach else 20):
                return Status.PRECISION_LIMIT if self.best <= self.reach else Status.STALLED
        return None

    def note(self, error: float, eps: float) -> Progress:
        """Count one pass without judging it."""
        self.iteration += 1
        progress = Progress(self.iteration, error, eps, time.perf_counter() - self.started)
        self.history.append(progress)
        return progress

    def forgive(self) -> None:
        """Count patience from here: something else is tried."""
        self.mark, self.marked_at = self.best, self.iteration

    def restart(self) -> None:
        """Forget the best iterate: errors are measured in a new arithmetic from here on."""
        self.best, self.best_pair = math.inf, None
        self.mark, self.marked_at = math.inf, self.iteration

    def _keep(self, error, f, g):
        if self.best_pair is None:
            self.best, self.best_pair = error, (f, g)
