"""Quadratic transport with few entries per point: the dual as high as it goes, then a plan that is feasible."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ...errors import UnsupportedError
from ...problem import Problem
from ...status import Status
from ..base import Control, Outcome, Solver
from ..exact.run import Stop
from .ascent import maximise
from .degrees import enough_entries, fewest_entries
from .run import GAP, ROUNDS, QuadraticRun, by_rows, keys_of, streaming
from .semidual import Point
from .supports import EXACT, Repaired, Supports

__all__ = ["SemiDualAscent"]

#: Evaluations of the dual on candidates, each time that they have grown.
EVALUATIONS = 400
#: Relative gap below which plans are not joined for a better one.
CLOSE = 1e-5
#: Relative rise of the dual below which another round of them is not worth its time.
RISE = 1e-5


@dataclass(frozen=True)
class SemiDualAscent(Solver):
    """Transport with at most k entries per column (or row), by its semi-dual and a repair of the plan.

    The quadratic problem comes first: where its plan has few entries, that is all. Else the semi-dual with limits
    is maximised by L-BFGS on candidate pairs. It has kinks, its plan misses the marginals of the other side, and
    no plan may have the value of the dual; so supports with few entries are looked for on which both marginals can
    be met, by a network simplex and by exchanges of entries between points of the exact plan, and the best plan on
    them is computed.

    Parameters
    ----------
    candidates : int >= 1, default 16
        Pairs per point beyond the entries that it may have.

    Notes
    -----
    `Solution.diagnostics` holds ``fewest_entries``, a lower bound on k for any plan with these weights, and
    ``residual``, the marginal error of the plan of the dual point. Whether any plan with so few entries exists is
    NP-hard to decide in general: INFEASIBLE says that none was found.

    References
    ----------
    [liu:23]_ for the problem and its dual.
    """

    candidates: int = 16

    name: ClassVar[str] = "semi-dual-ascent"

    def __post_init__(self):
        if isinstance(self.candidates, bool) or not isinstance(self.candidates, int) or self.candidates < 1:
            raise ValueError(f"candidates={self.candidates!r} must be a positive integer")

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        if not problem.term.limited:
            raise UnsupportedError(
                f"method={self.name!r} needs ots.SparsityConstrained; use method='semismooth-newton' or 'auto'"
            )
        if by_rows(problem):
            return self._by_rows(problem, backend, control)
        if control.init is not None:
            control = replace(control, init=control.init[::-1])
        outcome = self._by_rows(problem.T, backend, control)
        outcome.f, outcome.g = outcome.g, outcome.f
        outcome.plan = outcome.plan.T.tocsr()
        return outcome

    def _by_rows(self, problem: Problem, backend, control: Control) -> Outcome:
        run = _Run(streaming(problem), backend, control, self.candidates)
        try:
            point, status, plan = run.ended()
        except Stop as stop:
            point, status, plan = run.point_so_far(run.limited), stop.status, None
        return run.outcome(point, status, self.name, plan)


class _Run(QuadraticRun):
    """One solve; rows are limited."""

    def __init__(self, problem: Problem, backend, control: Control, candidates: int):
        super().__init__(problem, backend, control, candidates)
        most = problem.term.most_a
        assert most is not None
        self.most = np.minimum(most, max(1, int(self.dual.live.sum())))
        self.limited = self.dual.with_changes(most=self.most)
        #: How a search was stopped that had found a plan.
        self.stopped: Status | None = None
        #: Points on the way to the highest, whose plans may be carried by what others are not.
        self.hints: list[Point] = []
        self.diagnostics["fewest_entries"] = fewest_entries(problem.a, problem.b)

    def ended(self):
        """(point, status, plan)."""
        point, status = self.quadratic()
        if (np.diff(point.plan.indptr) <= self.most).all() and point.error <= EXACT:
            self.diagnostics["residual"] = point.error
            return point, status, point.plan
        if self.exact.status is Status.INFEASIBLE:
            return point, Status.INFEASIBLE, self.limited.at(point.g).plan
        relaxed, point = point, self.highest([point.g, self.exact.g])
        self.diagnostics["residual"] = point.error
        best = self.repaired(point, relaxed)
        if best is None:
            return point, Status.INFEASIBLE, point.plan
        return point, self.stopped or Status.CONVERGED, best.plan

    def highest(self, starts: list[np.ndarray]) -> Point:
        """The best point of the limited dual that was found."""
        points = [self.whole_point(g, self.limited) for g in starts]
        best = max(points, key=lambda point: point.value)
        if (self.most == 1).all():
            return best
        self.point = best
        held = self.candidates_here(int(self.most.max()))
        for _ in range(ROUNDS):
            dual = self.limited.with_changes(geometry=held.geometry)
            g = maximise(dual, best.g, EVALUATIONS, self.tell_here)
            point = self.whole_point(g, self.limited)
            self.hints.append(point)
            missing = held.add(keys_of(point.plan))
            rise = point.value - best.value
            best = max(best, point, key=lambda each: each.value)
            if rise <= RISE * abs(best.value) and (not missing or rise <= 0):
                break
        return best

    def tell_here(self, error: float) -> None:
        self.tell(error, self.dual.gamma * self.unit)

    def repaired(self, point: Point, relaxed: Point) -> Repaired | None:
        """The best feasible plan that was found."""
        problem = self.problem
        if not enough_entries(problem.a, problem.b, self.most):
            return None
        found: list[Repaired] = []
        try:
            self.search(found, point, relaxed)
        except Stop as stop:
            if not found:
                raise
            self.stopped = stop.status
        return min(found, key=lambda each: each.value, default=None)

    def search(self, found: list[Repaired], point: Point, relaxed: Point) -> None:
        """Feasible plans from all places where they may come from, one after the other."""
        supports = Supports(self.limited, self.backend, self.tell_here)
        for hint in self.hints or [point]:
            flow, unmet = supports.flow(keys_of(hint.plan), hint.f, hint.g)
            if not unmet > 1e-12:
                found.append(supports.improved(flow, hint))
        few = supports.sparsified(self.exact.plan, self.exact.f, thorough=True)
        if few is not None:
            found.append(supports.improved(few, point))
        lowest = min((each.value for each in found), default=np.inf)
        if relaxed.error <= EXACT and not lowest - point.value <= GAP * abs(lowest):
            led = supports.led(relaxed, self.exact.plan)
            few = supports.sparsified(led.plan, led.f, thorough=not found)
            if few is not None:
                found.append(supports.improved(few, point))
        lowest = min((each.value for each in found), default=np.inf)
        if found and lowest - point.value > CLOSE * abs(lowest):
            found += supports.joined([point.plan, *(each.plan for each in found)], point)
        self.passed(passes=2)
