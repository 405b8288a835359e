"""Sinkhorn-Newton-Sparse: sweeps, then Newton steps with a few entries of the plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import UnsupportedError
from ..plans.gibbs import GibbsPlan
from ..problem import Problem
from ..status import Status
from .base import Control, Outcome, Solver
from .passes import SinkhornPasses
from .sparse_newton import Look, look, newton_direction

__all__ = ["SNS"]


@dataclass(frozen=True)
class SNS(Solver):
    """Sinkhorn sweeps, then Newton's method on both potentials with a sparsified Hessian.

    Maximises the Lyapunov potential ``L(x, y) = -eps sum exp((x_i + y_j - C_ij) / eps - 1) + a.x + b.y``, whose
    variables hold the logarithms of the weights: ``x = f + eps log a + eps / 2``, likewise y. Every Newton step
    evaluates the plan P, keeps its largest entries in the off-diagonal block of the Hessian and its exact
    masses on the diagonal, solves by conjugate gradients, and backtracks on the potential, augmented by
    ``-(a.f - b.g)**2 / 2`` (in units of the cost's range), which removes the direction that leaves P alone.

    This is the method as published, for comparison and for problems that it suits: small eps, a plan that is
    nearly as sparse as `density`. Entries that are dropped turn its quadratic convergence into a linear one, and
    costs with many ties (the L1 distance on a grid) make the sparsified Hessian singular. A step that fails is
    followed by Sinkhorn sweeps. Balanced problems only.

    Parameters
    ----------
    sinkhorn_steps : int >= 1, default 20
        Sweeps before the first Newton step; the paper takes 20, and 700 for L1 costs.
    newton_steps : int >= 0 or None
        Newton steps at most; after them only sweeps. None: as many as `tol` takes.
    density : float in (0, 1] or None
        Share of the n m entries of P that is kept. None: ``(n + m) / (n m)``, the paper's 2 / n of square
        problems. The paper takes 15 / n for L1 costs; on random assignments 8 / n restores quadratic convergence.
    cg_rtol : float in (0, 1), default 1e-6
        Relative residual of the linear systems.
    cg_steps : int >= 1 or None
        Steps of conjugate gradients for one system at most. None: ten per unknown, which nearly singular
        systems take; fewer make every such step useless.

    References
    ----------
    [tang:24]_. Not in the paper: potentials instead of scalings, so that no eps underflows; the systems are
    scaled by their diagonal; the range of the cost as the unit of the augmentation; the sweeps after a failure.
    """

    sinkhorn_steps: int = 20
    newton_steps: int | None = None
    density: float | None = None
    cg_rtol: float = 1e-6
    cg_steps: int | None = None

    name: ClassVar[str] = "sns"
    #: Passes over the cost when the caller does not say.
    default_max_iter: ClassVar[int] = 10_000

    def __post_init__(self):
        counts = {"sinkhorn_steps": 1, "newton_steps": 0, "cg_steps": 1}
        for name, least in counts.items():
            value = getattr(self, name)
            optional = name != "sinkhorn_steps"
            if optional and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                or_none = ", or None" if optional else ""
                raise ValueError(f"{name}={value!r} must be an integer >= {least}{or_none}")
        if self.density is not None and not 0 < self.density <= 1:
            raise ValueError(f"density={self.density!r} must be in (0, 1], or None")
        if not 0 < self.cg_rtol < 1:
            raise ValueError(f"cg_rtol={self.cg_rtol!r} must be between 0 and 1")

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        if not problem.balanced:
            raise UnsupportedError(
                "method='sns' solves balanced problems only; use method='sinkhorn' with unbalanced="
            )
        return _Run(self, problem, backend, control).outcome()


class _Run(SinkhornPasses):
    """One solve."""

    #: Share of the predicted rise that a step must bring.
    ARMIJO = 1e-4
    #: Halvings of one step; then it has failed.
    HALVINGS = 20

    def __init__(self, options: SNS, problem: Problem, backend, control: Control):
        super().__init__(problem, backend, control, options.default_max_iter)
        self.options = options
        # Newton's systems are in float64: sweeps in float32 would only lead away from their solution.
        self.precision = "float64"
        n, m = problem.geometry.shape
        density = (n + m) / (n * m) if options.density is None else options.density
        self.cg_steps = 10 * (n + m) if options.cg_steps is None else options.cg_steps
        self.count = max(1, min(n * m, math.ceil(density * n * m)))
        spread = problem.geometry.spread()
        self.range = spread if spread > 0 else problem.eps
        self.counts = dict.fromkeys(("sinkhorn_steps", "newton_steps", "failed_steps", "cg_steps"), 0)

    def outcome(self) -> Outcome:
        self.sweeps(self.options.sinkhorn_steps)
        self.monitor.reach = max(self.floor, self.noise(self.problem.eps))
        if self.status is None:
            self.newton()
        f, g = self.complete(*self.best())
        status, error = self.verified_status(f, g)
        diagnostics = {name: float(count) for name, count in self.counts.items()}
        return Outcome(
            f,
            g,
            status,
            self.monitor.iteration,
            error,
            self.monitor.history,
            self.options.name,
            diagnostics=diagnostics,
        )

    def complete(self, f, g):
        """Newton steps leave rows without weight where they were, as they do columns."""
        problem = self.problem
        dead = ~(problem.a > 0)
        if dead.any():
            s = self.backend.softmin(problem.geometry, problem.log_b + g / problem.eps, problem.eps)
            f = np.where(dead & np.isfinite(s), s, f)
        return super().complete(f, g)

    # --- stage 1 ----------------------------------------------------------------------------------------------

    def sweeps(self, count: int) -> None:
        """At most `count` sweeps; each ends with the column update."""
        eps = self.problem.eps
        for _ in range(count):
            error = self.measure(self.g, eps)
            self.counts["sinkhorn_steps"] += 1
            self.status = self.monitor.record(error, eps, *self.pair(self.g))
            if self.status is not None:
                return
            self.g = self.image(self.g, eps)

    # --- stage 2 ----------------------------------------------------------------------------------------------

    def newton(self) -> None:
        """Newton steps until the end, with sweeps where they fail: more of them, the more often in a row."""
        most = self.options.newton_steps
        at, patience = self.enter(), 1
        while self.status is None:
            if most is not None and self.counts["newton_steps"] >= most:
                self.leave(at, self.monitor.max_iter)
                return
            after = self.step(at)
            if after is not None:
                at, patience = after, 1
            elif self.status is None:
                self.counts["failed_steps"] += 1
                self.leave(at, patience)
                patience = min(2 * patience, self.options.sinkhorn_steps)
                if self.status is None:
                    at = self.enter()

    def enter(self) -> Look:
        """The plan at (f, g), shifted to where the augmentation is 0."""
        shift = 0.5 * self.offset(self.f, self.g)
        at, self.status = self.view(self.f - shift, self.g + shift)
        return at

    def leave(self, at: Look, count: int) -> None:
        """Sweeps from a point that Newton steps have reached."""
        self.f, self.g, self.made = at.f, at.g, None
        self.sweeps(count)

    def offset(self, f, g) -> float:
        """``a.f - b.g``, what the augmentation pulls to 0."""
        return float(self.problem.a @ f - self.problem.b @ g)

    def view(self, f, g) -> tuple[Look, Status | None]:
        """One pass over the plan at (f, g), recorded."""
        problem = self.problem
        at = look(self.backend, GibbsPlan(problem.geometry, f, g, problem.a, problem.b, problem.eps), self.count)
        return at, self.monitor.record(self.error(at), problem.eps, f, g)

    def error(self, at: Look) -> float:
        return self.problem.marginal_error(at.f, at.g, at.rows, at.columns)

    def step(self, at: Look) -> Look | None:
        """One Newton step; None where it fails (or the solve ends, which `status` says)."""
        problem, eps = self.problem, self.problem.eps
        a, b = problem.a, problem.b
        if not (at.rows[a > 0].all() and at.columns[b > 0].all()):
            return None  # a mass that has underflowed has no curvature; a sweep brings it back
        towards = np.concatenate([a, -b])
        gradient = np.concatenate([a - at.rows, b - at.columns])
        gradient -= (self.offset(at.f, at.g) / self.range) * towards
        found = newton_direction(
            at, gradient, towards / math.sqrt(self.range), eps, self.options.cg_rtol, self.cg_steps
        )
        self.counts["cg_steps"] += found.cg_steps
        slope = float(gradient @ np.concatenate([found.df, found.dg]))
        if not (math.isfinite(slope) and slope > 0):
            return None
        after = self.search(at, found.df, found.dg, slope)
        if after is not None:
            self.counts["newton_steps"] += 1
        return after

    def search(self, at: Look, df, dg, slope: float) -> Look | None:
        """The first point on the way back from a whole step at which the augmented potential has risen enough."""
        problem, eps = self.problem, self.problem.eps
        before, error = self.offset(at.f, at.g), self.error(at)
        along = float(problem.a @ df + problem.b @ dg)
        # Rounding of the total mass, in the units of the potential.
        noise = eps * self.noise(eps)
        length = 1.0
        for _ in range(self.HALVINGS):
            f, g = at.f + length * df, at.g + length * dg
            trial, status = self.view(f, g)
            # A step too long may overflow: that ends the step, not the solve.
            self.status = None if status is Status.DIVERGED else status
            if self.status is not None:
                return None
            offset = self.offset(f, g)
            rise = length * along - eps * (trial.mass - at.mass)
            rise -= (offset**2 - before**2) / (2 * self.range)
            if rise >= self.ARMIJO * length * slope:
                return trial
            # Close to the solution potentials differ by less than rounding; the marginals still tell.
            if length * slope <= noise and self.error(trial) < error:
                return trial
            length /= 2
        return None
