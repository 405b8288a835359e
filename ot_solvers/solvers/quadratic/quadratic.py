"""Quadratic transport to full accuracy: levels of gamma, semismooth Newton steps on candidate pairs, pricing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...errors import UnsupportedError
from ...problem import Problem
from ...status import Status
from ..base import Control, Outcome, Solver
from ..exact.run import Stop
from .run import QuadraticRun

__all__ = ["SemismoothNewton"]


@dataclass(frozen=True)
class SemismoothNewton(Solver):
    """Semismooth Newton on the semi-dual of quadratic transport.

    Starts from rough entropic potentials, leads gamma down, and once plans are sparse works on the nearest pairs
    of every point, with a look at all pairs at the end: what is missing joins.

    Parameters
    ----------
    candidates : int >= 1, default 16
        Pairs per point.

    References
    ----------
    [lorenz:21]_ for the method; candidates and pricing are as for exact transport.
    """

    candidates: int = 16

    name: ClassVar[str] = "semismooth-newton"

    def __post_init__(self):
        if isinstance(self.candidates, bool) or not isinstance(self.candidates, int) or self.candidates < 1:
            raise ValueError(f"candidates={self.candidates!r} must be a positive integer")

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        if problem.term.limited:
            raise UnsupportedError(
                f"method={self.name!r} knows no limit of entries; use method='semi-dual-ascent' or 'auto'"
            )
        run = QuadraticRun(problem, backend, control, self.candidates)
        try:
            point, status = run.quadratic()
            plan = None
            if run.nearly_exact(point):
                status, plan = Status.CONVERGED, run.exact.plan
        except Stop as stop:
            point, status, plan = run.point_so_far(run.dual), stop.status, None
        return run.outcome(point, status, self.name, plan)
