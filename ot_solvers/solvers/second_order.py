"""Safeguarded Newton steps on the semi-dual, between Sinkhorn sweeps.

One step: a Sinkhorn sweep, the Hessian on the entries that matter, truncated conjugate gradients, a trust
region on the largest change of a potential, a line search. The scale of the problem is eps: the exponentials of
the plan follow their linearisation for changes of a few eps, which is what the trust region is about. Where the
pattern falls apart into components, only a bounded step keeps the method from asking for infinite ones.
"""

from __future__ import annotations

import math

import numpy as np

from ..plans.gibbs import GibbsPlan
from ..status import Status
from .base import Control
from .curvature import product_seconds, semi_dual_hessian, sweep_for_hessian
from .passes import SinkhornPasses

__all__ = ["SecondOrderPasses"]


class SecondOrderPasses(SinkhornPasses):
    """Sinkhorn's passes, Newton steps between them, and the state of the trust region."""

    #: Trust radius, in units of eps: where it starts, and its limits.
    RADIUS, SMALLEST, LARGEST = 5.0, 0.1, 1e6
    #: Shifts tried per step, trial points of a line search, conjugate gradient steps.
    SHIFTS, TRIALS, CG_STEPS = 10, 6, 100
    #: Entries per point that the preconditioner factorises: at least, at most; and the numbers of conjugate
    #: gradient steps below which it should have fewer, beyond which more.
    CORES, CG_RANGE = (8, 64), (8, 24)
    #: Time of a step's linear algebra: for each point, and for itself (measured).
    POINT_SECONDS, STEP_SECONDS = 1.2e-6, 4e-4
    #: Relative residual of conjugate gradients, at most.
    FORCING = 0.1

    def __init__(self, problem, backend, control: Control, max_iter: int, kernel: str = "auto"):
        super().__init__(problem, backend, control, max_iter, kernel)
        self.radius = self.RADIUS
        self.shift = 0.0
        #: Entries per point that the preconditioner factorises.
        self.core = self.CORES[0]
        self.newton_steps = 0
        #: The eps of the last Newton step.
        self.stepped_at = math.nan
        self.refused = 0
        self.cg_steps = 0
        self.factorisations = 0

    def step_passes(self, at: tuple[np.ndarray, np.ndarray, float] | None = None) -> float:
        """Time of a Newton step in units of a pass: a sweep, a pattern, a trial, and the linear algebra.

        Parameters
        ----------
        at : (f, g, error) or None
            Potentials, for an estimate that looks at their plan; None: at least so many.
        """
        geometry = self.problem.geometry
        n, m = geometry.shape
        other = (
            self.backend.pass_seconds(geometry, entries=True) + self.POINT_SECONDS * (n + m) + self.STEP_SECONDS
        )
        if at is not None:
            f, g, error = at
            other += product_seconds(self.plan(f, g, self.problem.eps), error, self.backend)
        return 2 + other / self.backend.pass_seconds(geometry)

    def diagnostics(self) -> dict[str, float]:
        """What the solve cost beside passes."""
        return {
            "newton_steps": self.newton_steps,
            "refused_steps": self.refused,
            "cg_steps": self.cg_steps,
            "factorisations": self.factorisations,
        }

    # --- passes -----------------------------------------------------------------------------------------------

    def visit(self, g, eps: float, final: bool) -> tuple[float, Status | None]:
        """One pass at `g`, recorded."""
        error = self.measure(g, eps)
        return error, self.monitor.record(error, eps, *self.pair(g), final=final)

    def settle(self, g, eps: float, error: float, target: float, final: bool, most: int):
        """At most `most` Newton steps, each after a sweep, until the error is under `target`.

        Parameters
        ----------
        g : (m,) array
            The last point visited, where the error was `error`.

        Returns
        -------
        g, error
            The last point visited and its error.
        status : Status or None
            None unless the solve is over.
        """
        failures = 0
        for _ in range(most):
            # A sweep, a look at the entries and a trial or two: none may be one pass too many.
            if error <= target or self.monitor.iteration + 4 >= self.monitor.max_iter:
                break
            g = self.image(g, eps)
            error, pattern = self.measure_entries(g, eps, error)
            status = self.monitor.record(error, eps, *self.pair(g), final=final)
            if status is not None or error <= target:
                return g, error, status
            moved, g, error, status = self.step(g, eps, error, pattern, final)
            if status is not None:
                return g, error, status
            failures = 0 if moved else failures + 1
            if failures == 3:
                break
        return g, error, None

    # --- one step -----------------------------------------------------------------------------------------------

    def measure_entries(self, g, eps: float, error: float):
        """`measure`, and the pattern of the plan it leaves; `error` is that of the point before."""
        problem = self.problem
        plan = self.plan(self.f, g, eps)
        start = self.f if self.near(eps, g) else None
        swept = sweep_for_hessian(plan, start, problem.penalty_a, error, self.backend)
        self.f, self.masses = swept.f, swept.column_mass
        self.f[self.cut_a] = problem.penalty_a.unreachable
        self.made = (eps, g)
        self.monitor.iteration += swept.passes - 1
        return self.column_error(g, self.masses, eps), swept.pattern

    def step(self, g, eps: float, error: float, pattern, final: bool):
        """A Newton step from `g`, the point just visited: (whether it moved, point, error, status).

        `pattern` is that of the plan there.
        """
        problem = self.problem
        r = problem.penalty_b.asked(problem.b, g) - self.masses
        r[~self.live] = 0.0
        r[self.cut_b] = 0.0
        hessian = self.hessian(g, eps, error, pattern)
        step = self.bounded(hessian, r, error)
        self.monitor.iteration += hessian.product.passes
        if step is None:
            return False, g, error, None
        self.newton_steps += 1
        self.stepped_at = eps
        d = eps * step
        slope = float(r @ d)
        value = self.value(g, eps)
        start = (g, error, self.keep(), self.masses)
        length, status = 1.0, None
        for _ in range(self.TRIALS):
            g = problem.penalty_b.project(start[0] + length * d)
            error, status = self.trial(g, eps, final)
            if math.isfinite(error):
                left = self.slope(g, d) / slope
                if self.accepts(g, eps, length * slope, left, value, error, start[1]):
                    self.adapt(length, left, error, start[1])
                    return True, g, error, status
            if status is not None:
                break
            length *= 0.25
        self.refused += 1
        self.radius = max(0.25 * self.radius, self.SMALLEST)
        g, error, kept, self.masses = start
        self.back(kept)
        return False, g, error, status

    def hessian(self, g, eps: float, error: float, pattern):
        """The Hessian at the point just visited."""
        problem = self.problem
        plan = self.plan(self.f, g, eps)
        rows = problem.penalty_a.asked(problem.a, self.f)
        rows = rows + eps * problem.penalty_a.curvature(problem.a, self.f)
        columns = self.masses + eps * problem.penalty_b.curvature(problem.b, g)
        # A column that has lost its mass must still weigh something.
        columns = np.maximum(columns, 1e-12 * problem.b)
        found, passes = semi_dual_hessian(plan, pattern, rows, columns, error, self.backend, self.core)
        self.monitor.iteration += passes
        return found

    def plan(self, f, g, eps: float) -> GibbsPlan:
        """The plan of some potentials."""
        problem = self.problem
        return GibbsPlan(problem.geometry, f, g, problem.a, problem.b, eps, problem.log_mass)

    def bounded(self, hessian, r, error: float):
        """The Newton step, shifted until it is no longer than the trust radius; None if there is none."""
        weights = self.problem.b
        # Quadratic convergence, but no more than the solve still needs.
        tol = max(min(self.FORCING, math.sqrt(error)), 0.1 * self.control.tol / error)
        for _ in range(self.SHIFTS):
            direction = hessian.solve(r, self.shift, tol, self.CG_STEPS)
            self.cg_steps += direction.cg_steps
            self.factorisations += 1
            if direction.cg_steps > self.CG_RANGE[1]:
                self.core = min(2 * self.core, self.CORES[1])
            elif direction.cg_steps < self.CG_RANGE[0]:
                self.core = max(self.core // 2, self.CORES[0])
            step = direction.step
            rise = float(r @ step)
            if not (np.isfinite(step).all() and rise > 0):
                # Singular up to rounding.
                self.shift = max(16 * self.shift, 1e-12)
                continue
            if self.problem.balanced:
                # A constant changes nothing: measure from the middle.
                live = step[self.live]
                size = 0.5 * float(live.max() - live.min())
            else:
                size = float(np.abs(step[self.live]).max())
            if size <= self.radius:
                return step
            # The curvature along the step says at what shift it would be half as long.
            self.shift = max(4 * self.shift, 0.25 * rise / float(weights @ step**2))
        return None

    def trial(self, g, eps: float, final: bool) -> tuple[float, Status | None]:
        """A pass at a trial point: an overflow there says nothing about the solve."""
        error = self.measure(g, eps)
        if math.isfinite(error):
            return error, self.monitor.record(error, eps, *self.pair(g), final=final)
        self.monitor.note(error, eps)
        over = self.monitor.iteration >= self.monitor.max_iter
        return error, Status.MAX_ITER if over else None

    def value(self, g, eps: float) -> float:
        """The semi-dual at the point just visited, up to a constant."""
        problem = self.problem
        value = problem.penalty_a.dual(self.f, problem.a) + problem.penalty_b.dual(g, problem.b)
        return value if problem.balanced else value - eps * float(self.masses.sum())

    def slope(self, g, d) -> float:
        """Derivative of the semi-dual along `d` at the point just visited."""
        problem = self.problem
        r = problem.penalty_b.asked(problem.b, g) - self.masses
        return float(r[self.live] @ d[self.live])

    def accepts(
        self, g, eps: float, promise: float, left: float, value: float, error: float, before: float
    ) -> bool:
        """Whether a trial point is better: by the dual, or where rounding hides it, by its derivative.

        `promise` is the gain to first order, `left` the share of the slope that is left at the trial point.
        """
        if error <= 0.5 * before:
            return True
        gain = self.value(g, eps) - value
        rounding = 1e-14 * (abs(value) + float(np.abs(self.f).max()))
        if promise > 1e4 * rounding:
            return gain >= 1e-4 * promise
        # A concave function that still rises at the end of a step has risen all along.
        return left >= 0 or (left >= -0.9 and error <= before)

    def adapt(self, length: float, left: float, error: float, before: float) -> None:
        """The trust region after an accepted step."""
        if length == 1.0:
            # Slope left over: the step was too short. Parts of a pattern that falls apart have a long way to
            # go, along which the error does not change.
            if error < 0.7 * before or left > 0.5:
                self.radius = min(2 * self.radius, self.LARGEST)
            self.shift = self.shift / 8 if self.shift > 1e-14 else 0.0
        else:
            self.radius = max(2 * length * self.radius, self.SMALLEST)
