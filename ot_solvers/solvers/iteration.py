"""The one loop: eps-scaling on the way down, safeguarded acceleration at the target.

Solvers that are fixed-point iterations ``x -> T(x)`` on potentials give a `Process` and read the answer off
the monitor. (The kernel for small problems, ``backends/numba/small.py``, is the compiled twin of this file.)
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from ..problem import Problem
from ..status import Status
from .acceleration import Anderson, Relaxation
from .base import Monitor

__all__ = ["SLACK", "Process", "accelerate", "anneal", "land"]

#: An accelerated point may be this much worse than the last accepted one before it is taken back.
SLACK = 1.5
#: How far an extrapolation may go, in units of the range of the costs and of eps.
REACH = (2.0, 100.0)


class Process(Protocol):
    """A fixed-point iteration on one vector of potentials."""

    problem: Problem
    #: Entries that count: those of points with weight.
    live: np.ndarray

    def measure(self, x: np.ndarray, eps: float) -> float:
        """One pass over the cost at `x`: the marginal error there."""

    def pair(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(f, g) of the plan that the last `measure` looked at."""

    def image(self, x: np.ndarray, eps: float) -> np.ndarray:
        """``T(x)``, from what the last `measure` left."""

    def project(self, x: np.ndarray) -> np.ndarray:
        """`x` (its live entries) moved into the domain of the dual."""

    def keep(self) -> Any:
        """Whatever `measure` has left, to be given `back` later."""

    def back(self, kept: Any) -> None:
        """Undo the passes since `keep`."""

    def fell(self) -> bool:
        """Whether the last `measure` was at a worse point than `keep`, whatever the error is."""

    def rising(self) -> bool:
        """Whether points have become better since this was last asked, whatever the error is."""


def anneal(process: Process, x, levels, sweeps: int, monitor: Monitor):
    """A few plain steps on every level; the last pass of ``max_iter`` is left for the target.

    Returns
    -------
    x : array
    status : Status or None
        None unless the solve is over.
    """
    for eps in levels:
        for _ in range(sweeps):
            if monitor.iteration + 1 >= monitor.max_iter:
                return x, None
            error = process.measure(x, float(eps))
            status = monitor.record(error, float(eps), *process.pair(x), final=False)
            if status is not None:
                return x, status
            x = process.image(x, float(eps))
    return x, None


def land(process: Process, x, eps: float, monitor: Monitor) -> None:
    """One pass at the target for a solve that ended on the way there.

    Potentials of a larger eps put ``exp((f + g - C) / eps)`` anywhere up to overflow: no plan at all.
    """
    error = process.measure(x, eps)
    monitor.note(error, eps)
    monitor.best, monitor.best_pair = error, process.pair(x)


def accelerate(process: Process, x, eps: float, rule, monitor: Monitor, until=None) -> Status | None:
    """Steps at one eps until the monitor ends them; worse points than `SLACK` allows are taken back.

    `until(monitor)` may end them earlier: then there is no status yet.
    """
    live = process.live
    # No two potentials differ by much more than two costs do: farther, an extrapolation follows rounding.
    reach = REACH[0] * process.problem.geometry.spread() + REACH[1] * eps
    everywhere = bool(live.all())
    accepted = math.inf
    safe: tuple[np.ndarray, Any] | None = None
    while True:
        error = process.measure(x, eps)
        status = monitor.record(error, eps, *process.pair(x))
        overshot = safe is not None and (not error <= SLACK * accepted or process.fell())
        if status is Status.STALLED and process.rising():
            monitor.forgive()
            status = None
        if status is Status.STALLED and isinstance(rule, Anderson) and safe is not None:
            # On near-assignment problems the extrapolation may stall where relaxed steps go on.
            rule = Relaxation(None)
            monitor.forgive()
            status = None
            overshot = True
        # An extrapolation that overflows says nothing about the iteration itself.
        if status is not None and not (overshot and status is Status.DIVERGED):
            return status
        if until is not None and until(monitor):
            return None
        if overshot and safe is not None:
            # Back to the plain image of the last accepted point.
            rule.reset()
            x, kept = safe
            process.back(kept)
            safe, accepted = None, math.inf
            continue
        image = process.image(x, eps)
        safe, accepted = (image, process.keep()), error
        proposal = rule.propose(x[live], image[live])
        x = image
        if not (np.abs(proposal - image[live]) <= reach).all():
            rule.reset()
        elif everywhere:
            x = process.project(proposal)
        else:
            x = image.copy()
            x[live] = process.project(proposal)
