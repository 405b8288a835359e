"""What solves with a quadratic term share: progress, limits, and the way from potentials to an outcome."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from ...geometry import DenseGeometry
from ...lazy import cached_property
from ...problem import Problem
from ...status import Progress, Status
from ..base import Control, Outcome, is_true
from ..candidates import Candidates, nearest
from ..exact import ExactAuto
from ..exact.potentials import Marginals, rough
from ..exact.run import Stop
from .newton import ascend
from .semidual import Point, SemiDual

__all__ = ["QuadraticRun"]

#: Largest error of a plan that is called exact: flows between these masses are right up to rounding.
EXACT = 1e-11
#: Ratio of neighbouring levels of gamma, entries of a row at the first, and column error at which levels end.
RATIO, FIRST_ENTRIES, LEVEL_ERROR = 4.0, 4.0, 1e-3
#: Newton steps on a level, and at the target.
LEVEL_STEPS, STEPS = 30, 1000
#: Relative gap that is rounding.
GAP = 1e-11
#: Times that candidates may grow before all pairs are looked at in every step.
ROUNDS = 12


class QuadraticRun:
    """State of one solve.

    Parameters
    ----------
    problem : Problem
        With a quadratic term, limited on the side of the rows or not at all.
    backend : Backend
    control : Control
    candidates : int
        Pairs per point.
    """

    def __init__(self, problem: Problem, backend, control: Control, candidates: int):
        self.problem, self.backend, self.control = problem, backend, control
        self.candidates = candidates
        self.n_iter = 0
        self.history: list[Progress] = []
        self.started = time.perf_counter()
        self.diagnostics: dict[str, float] = {"newton_steps": 0}
        self.dual = SemiDual(problem.geometry, problem.a, problem.b, problem.term.gamma, None, backend)
        #: The last point seen, of any level.
        self.point: Point | None = None

    # --- progress -----------------------------------------------------------------------------------------------

    def passed(self, eps: float = 0.0, error: float = 0.0, passes: int = 1) -> None:
        """Count passes over the whole cost; raises `Stop` where callback or limit ask for it."""
        self.n_iter += passes
        self.tell(error, eps)
        if self.control.max_iter is not None and self.n_iter >= self.control.max_iter:
            raise Stop(Status.MAX_ITER)

    def tell(self, error: float, strength: float) -> None:
        progress = Progress(self.n_iter, error, strength, time.perf_counter() - self.started)
        self.history.append(progress)
        if self.control.callback is not None and is_true(self.control.callback(progress)):
            raise Stop(Status.STOPPED_BY_CALLBACK)

    # --- the quadratic optimum ----------------------------------------------------------------------------------

    def quadratic(self) -> tuple[Point, Status]:
        """The optimum without limits of entries, and how far it was reached."""
        point = self.from_start(*self.start())
        if point.error > EXACT:
            # So little regularisation, or costs so far apart, that rough potentials were too rough.
            other = self.from_start(self.exact.g, [])
            point = min(point, other, key=lambda each: each.error)
        self.point = point
        return point, self.judged(point.error)

    def from_start(self, g, levels: list[float]) -> Point:
        """The optimum by way of these levels of gamma, as far as it was reached."""
        gamma = self.problem.term.gamma
        self.point = None if levels else self.whole_point(g)
        held: Candidates | None = None
        dual = self.dual
        for level in [*levels, gamma]:
            last = level == gamma
            if held is None and self._is_sparse():
                held = self.candidates_here()
            whole = self.dual.with_changes(gamma=level)
            dual = whole if held is None else whole.with_changes(geometry=held.geometry)
            tol = 0.01 * EXACT if last else LEVEL_ERROR
            point = self.ascend(dual, g, tol, STEPS if last else LEVEL_STEPS, counted=held is None)
            g = point.g
        rounds = 0
        while held is not None:
            point = self.whole_point(g)
            missing = held.add(keys_of(point.plan))
            if not missing:
                break
            rounds += 1
            if rounds == ROUNDS:
                point = self.ascend(self.dual, g, 0.01 * EXACT, STEPS, counted=True)
                break
            g = self.ascend(dual.with_changes(geometry=held.geometry), g, 0.01 * EXACT, STEPS, counted=False).g
        return point

    @cached_property
    def exact(self) -> Outcome:
        """Transport without regularisation."""
        problem = replace(self.problem, quadratic=None)
        control = Control(self.control.tol, None, None, self.control.callback)
        outcome = ExactAuto().solve(problem, self.backend, control)
        self.passed(passes=outcome.n_iter)
        if outcome.status is Status.STOPPED_BY_CALLBACK:
            raise Stop(outcome.status)
        return outcome

    def nearly_exact(self, point: Point) -> bool:
        """Whether the plan of transport without regularisation is the better one: optimal up to rounding."""
        if point.error <= EXACT or self.exact.status is not Status.CONVERGED:
            return False
        plan = self.exact.plan.tocoo()
        costs = self.backend.pair_costs(self.problem.geometry, plan.row, plan.col)
        value = float(plan.data @ costs) + 0.5 * self.dual.gamma * float(plan.data @ plan.data)
        lower = max(point.value, self.dual.at(self.exact.g, entries=False).value)
        return value - lower <= GAP * abs(value)

    def judged(self, error: float) -> Status:
        """Status by the column error of a plan whose rows are exact."""
        if error <= max(self.control.tol, 0.0):
            return Status.CONVERGED
        return Status.PRECISION_LIMIT if error <= EXACT else Status.STALLED

    def start(self) -> tuple[np.ndarray, list[float]]:
        """Column potentials, and levels of gamma above the target on which to begin."""
        problem, control = self.problem, self.control
        gamma = problem.term.gamma
        if control.init is not None:
            return control.init[1].copy(), []
        _, g, eps = rough(problem.geometry, Marginals.of(problem), self.backend, self._counted)
        if not eps > 0:
            return g, []
        # A row of mass a spreads over costs of about the square root of gamma a times the spacing: where a Gibbs
        # plan of eps has some dozens of entries per row, gamma of a few eps per mass has as many.
        top = FIRST_ENTRIES * eps * np.count_nonzero(problem.a)
        levels: list[float] = []
        while gamma * RATIO ** (len(levels) + 1) < 2.0 * top:
            levels.append(gamma * RATIO ** (len(levels) + 1))
        return g, levels[::-1]

    def _counted(self, eps: float, error: float) -> None:
        self.passed(eps, error)

    def ascend(self, dual: SemiDual, g, tol: float, most: int, counted: bool) -> Point:
        """Newton steps on one level; passes count where they read the whole cost."""
        before = dual.passes

        def told(point: Point) -> None:
            nonlocal before
            self.point = point
            if counted:
                self.passed(dual.gamma * self.unit, point.error, dual.passes - before)
                before = dual.passes
            else:
                self.tell(point.error, dual.gamma * self.unit)

        point, steps = ascend(dual, g, tol, most, told)
        self.diagnostics["newton_steps"] += steps
        return point

    @property
    def unit(self) -> float:
        """What a normalised gamma is multiplied with to be the caller's."""
        return 1.0 / self.problem.mass

    def _is_sparse(self) -> bool:
        """Whether rows have so few entries that candidates hold them all."""
        point = self.point
        return point is not None and point.plan.nnz <= 0.5 * self.candidates * point.plan.shape[0]

    def candidates_here(self, entries: int = 0) -> Candidates:
        """Candidates at the last point, for rows of so many entries."""
        point, problem = self.point, self.problem
        assert point is not None
        f = np.where(problem.a > 0, point.f, -np.inf)
        k = entries + self.candidates
        keys = nearest(problem.geometry, f, self.dual.masked(point.g), k, self.backend)
        self.passed(passes=2)
        held = Candidates(problem.geometry, keys, self.backend)
        held.add(keys_of(point.plan))
        return held

    def point_so_far(self, dual: SemiDual) -> Point:
        """Where a solve that was stopped is."""
        return dual.at(np.zeros(self.problem.b.size) if self.point is None else self.point.g)

    def whole_point(self, g, dual: SemiDual | None = None) -> Point:
        """The semi-dual of the whole problem at g."""
        dual = self.dual if dual is None else dual
        before = dual.passes
        point = dual.at(g)
        self.point = point
        self.passed(dual.gamma * self.unit, point.error, dual.passes - before)
        return point

    # --- the end ------------------------------------------------------------------------------------------------

    def outcome(self, point: Point, status: Status, method: str, plan=None) -> Outcome:
        problem = self.problem
        plan = point.plan if plan is None else plan
        f, g = self.finite(point)
        rows, columns = np.asarray(plan.sum(axis=1)), np.asarray(plan.sum(axis=0))
        error = problem.marginal_error(f, g, rows, columns)
        if status is Status.CONVERGED and not error <= self.control.tol + EXACT:
            status = Status.STALLED
        return Outcome(
            f, g, status, self.n_iter, error, self.history, method, diagnostics=self.diagnostics, plan=plan
        )

    def finite(self, point: Point) -> tuple[np.ndarray, np.ndarray]:
        """Potentials of all points: those without weight are as high as they can be without an entry."""
        problem, g = self.problem, point.g
        if not self.dual.live.all():
            f = np.where(problem.a > 0, point.f, -np.inf)
            low = self.backend.hardmin(problem.geometry.T, f)
            g = np.where(self.dual.live, g, np.where(np.isfinite(low), low, 0.0))
        return point.f, g


def keys_of(plan) -> np.ndarray:
    """Pairs ``i m + j`` that a CSR plan uses, in order."""
    rows = np.repeat(np.arange(plan.shape[0], dtype=np.int64), np.diff(plan.indptr))
    return np.sort(rows * plan.shape[1] + plan.indices)


def by_rows(problem: Problem) -> bool:
    """Whether the limited side is the rows, or there is none."""
    return problem.term.most_b is None


def streaming(problem: Problem) -> Problem:
    """The problem with rows that lie in memory one after another: a copy of a matrix that is a transpose."""
    geometry = problem.geometry
    if isinstance(geometry, DenseGeometry) and geometry.transposed:
        geometry = DenseGeometry(np.ascontiguousarray(geometry.array))
        return Problem(
            geometry, problem.a, problem.b, problem.mass, 0.0, problem.penalty_a, problem.penalty_b,
            quadratic=problem.quadratic,
        )  # fmt: skip
    return problem
