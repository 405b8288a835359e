"""Derivatives of entropic potentials by the implicit function theorem, forwards and backwards.

The potentials of both sides solve ``f = prox(softmin(g))``, ``g = prox(softmin(f))``. Linearised, with the rows
and columns of the plan as conditional laws Pi and Pi', and with ``kappa`` the slope of the prox (1: hard side),

    ``df = kappa_a (ds - Pi dg)``,   ``dg = kappa_b (dt - Pi' df)``,

where ds and dt are what the soft minima feel of costs, weights and eps directly. Weights that are 0 need no care:
their conditional laws are defined. Where weights are positive, the system is the symmetric one of Newton's method
(`ot_solvers.solvers.hessian`), singular once per connected part of the plan if both sides are hard: solutions of
least norm are meant, and a gauge puts the constant where `Solution` puts it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...errors import UnsupportedError
from ...geometry import PointCloud
from ...lazy import cached_property
from ...plans.gibbs import GibbsPlan
from ...result import Solution
from ...solvers.curvature import semi_dual_hessian

__all__ = ["Cotangents", "PotentialRule"]

#: Points of the reduced side up to which the system is decomposed, null space and all.
DENSE = 400
#: Eigenvalues of the normalised Laplacian below which a vector belongs to its null space.
NULL = 1e-14
#: Relative residual of conjugate gradients, and steps.
RESIDUAL, STEPS = 1e-13, 2000
#: Times that conjugate gradients begin again from what they left.
REFINEMENTS = 6
#: Entries per point that its preconditioner factorises.
CORE = 16


class Cotangents(NamedTuple):
    """What arrives at the soft minima, and at the weights directly."""

    s: np.ndarray  # (n,)
    t: np.ndarray  # (m,)
    a: np.ndarray  # (n,) by the gauge
    b: np.ndarray


class PotentialRule:
    """Derivatives of the potentials of one entropic solution.

    Parameters
    ----------
    solution : Solution
        Of an entropic problem, balanced or unbalanced.

    Raises
    ------
    UnsupportedError
        For exact, quadratic and partial problems.

    References
    ----------
    [luise:18]_, [eisenberger:22]_, [cuturi:20]_.
    """

    def __init__(self, solution: Solution):
        problem = solution._problem
        if problem.quadratic is not None or problem.eps == 0:
            raise UnsupportedError("implicit derivatives of potentials need an entropic regularisation")
        if problem.partial:
            raise UnsupportedError("the potentials of partial transport (mass=) have no derivative rule here")
        self.solution, self.problem, self.backend = solution, problem, solution._backend
        self.eps, self.g = problem.eps, solution._g
        live = problem.log_b + self.g / self.eps
        s = self.backend.softmin(problem.geometry, live, self.eps)
        self.s = np.where(np.isfinite(s), s, 0.0)
        self.f = problem.penalty_a.prox(self.s, self.eps)
        t = self.backend.softmin(problem.geometry.T, problem.log_a + self.f / self.eps, self.eps)
        self.t = np.where(np.isfinite(t), t, 0.0)
        self.kappa_a = _slope(problem.penalty_a, self.s, self.eps)
        self.kappa_b = _slope(problem.penalty_b, self.t, self.eps)
        self.singular = problem.penalty_a.hard and problem.penalty_b.hard
        self.plan = self._gibbs(self.f, self.g, problem.a, problem.b)
        found = self.backend.plan_statistics(self.plan)
        self.row_mass, self.column_mass = found.row_mass, found.column_mass
        #: Columns that the system is about: the others follow.
        self.inner = (self.column_mass > 0) & (self.kappa_b > 0)

    # --- conditional laws -----------------------------------------------------------------------------------

    def _gibbs(self, f, g, a, b) -> GibbsPlan:
        problem = self.problem
        return GibbsPlan(problem.geometry, f, g, a, b, problem.eps, problem.log_mass)

    @cached_property
    def rows(self) -> GibbsPlan:
        """Pi: rows sum to 1, also those without weight."""
        return self._gibbs(self.s, self.g, np.ones(self.s.size), self.problem.b)

    @cached_property
    def columns(self) -> GibbsPlan:
        """Pi', not transposed: columns sum to 1."""
        return self._gibbs(self.f, self.t, self.problem.a, np.ones(self.t.size))

    def _times(self, plan: GibbsPlan, v: np.ndarray) -> np.ndarray:
        return self.backend.transport(plan, v[:, None])[:, 0]

    # --- the linear system ----------------------------------------------------------------------------------

    @cached_property
    def _diagonals(self) -> tuple[np.ndarray, np.ndarray]:
        """R and K: masses over slopes; infinite where a potential is pinned."""
        with np.errstate(divide="ignore"):
            return self.row_mass / self.kappa_a, self.column_mass / self.kappa_b

    def _schur(self, rhs: np.ndarray) -> np.ndarray:
        """Solve ``(K - P' R^-1 P) x = rhs`` on the inner columns, 0 elsewhere."""
        inner = self.inner
        x = np.zeros_like(rhs)
        if not inner.any():
            return x
        rhs = np.where(inner, rhs, 0.0)
        if self.singular:
            # Rounding out of the range would come back enlarged.
            rhs = rhs - np.where(inner, self.column_mass, 0.0) * (rhs.sum() / self.column_mass[inner].sum())
        if np.count_nonzero(inner) <= DENSE:
            x[inner] = self._decomposed(rhs[inner])
        else:
            x = np.where(inner, self._iterated(rhs), 0.0)
        return x

    @cached_property
    def _decomposition(self):
        """Eigenvalues and vectors of ``1 - K^-1/2 P' R^-1 P K^-1/2`` on the inner columns, and ``K^-1/2``."""
        from scipy import linalg

        R, K = self._diagonals
        P = self.backend.plan_rows(self.plan, 0, self.row_mass.size)[:, self.inner]
        half = 1.0 / np.sqrt(K[self.inner])
        live = (self.row_mass > 0) & (self.kappa_a > 0)
        scaled = P[live] * half[None, :] / np.sqrt(R[live])[:, None]
        matrix = np.eye(half.size) - scaled.T @ scaled
        values, vectors = linalg.eigh(matrix)
        return values, vectors, half

    def _decomposed(self, rhs):
        values, vectors, half = self._decomposition
        keep = values > NULL * values.size
        inverse = np.where(keep, 1.0 / np.where(keep, values, 1.0), 0.0)
        return half * (vectors @ (inverse * (vectors.T @ (half * rhs))))

    @cached_property
    def _hessian(self):
        R, K = self._diagonals
        # Pinned potentials do not move: their rows and columns are as good as empty.
        a = np.where(np.isfinite(R), self.plan.a, 0.0)
        b = np.where(np.isfinite(K), self.plan.b, 0.0)
        plan = self._gibbs(self.f, self.g, a, b)
        R, K = (np.where(np.isfinite(side), side, 0.0) for side in (R, K))
        return semi_dual_hessian(plan, None, R, K, RESIDUAL, self.backend, CORE)[0]

    def _iterated(self, rhs):
        """By conjugate gradients; what rounding leaves over is solved for again."""
        hessian, size = self._hessian, float(np.abs(rhs).sum())
        P, R, K = hessian.product, hessian.rows, hessian.columns
        x, left, residual = np.zeros_like(rhs), np.inf, rhs
        for _ in range(REFINEMENTS):
            new = x + hessian.solve(residual, 0.0, RESIDUAL, STEPS).step
            residual = rhs - np.where(self.inner, K * new - P.T(P(new) / R), 0.0)
            if self.singular:
                mass = np.where(self.inner, self.column_mass, 0.0)
                residual = residual - mass * (residual.sum() / mass.sum())
            error = float(np.abs(residual).sum())
            if not error < 0.5 * left:
                break
            x, left = new, error
            if left <= RESIDUAL * size:
                break
        return x

    # --- backwards ------------------------------------------------------------------------------------------

    def pull_back(self, u: np.ndarray, v: np.ndarray) -> Cotangents:
        """From cotangents of `Solution.potentials` to those of the soft minima.

        Parameters
        ----------
        u, v : (n,), (m,) arrays
        """
        a_direct, b_direct = np.zeros(u.size), np.zeros(v.size)
        problem = self.problem
        if self.singular:
            a, b = problem.a / problem.a.sum(), problem.b / problem.b.sum()
            f, g = self.solution._potentials
            half = 0.5 * float(u.sum() - v.sum())
            u, v = u - half * a, v + half * b
            a_direct = -half * (f - a @ f) / (problem.mass * problem.a.sum())
            b_direct = half * (g - b @ g) / (problem.mass * problem.b.sum())
        # Columns without mass hang on the rows, and nothing hangs on them.
        hanging = np.where(self.column_mass == 0, self.kappa_b * v, 0.0)
        if hanging.any():
            u = u - self._times(self.columns, hanging)
        rhs = v - self._times(self.rows.T, self.kappa_a * u)
        beta = self._schur(rhs)
        s = self.kappa_a * (u - self._times(self.plan, beta))
        t = np.where(self.inner, self.column_mass * beta, hanging)
        return Cotangents(s, t, a_direct, b_direct)

    def to_weights(self, found: Cotangents) -> tuple[np.ndarray, np.ndarray]:
        """Cotangents of the caller's a and b."""
        ones_a, ones_b = np.ones(found.s.size), np.ones(found.t.size)
        scale = -self.eps / self.problem.mass
        by_b = self._times(self._gibbs(self.s, self.g, ones_a, ones_b).T, found.s)
        by_a = self._times(self._gibbs(self.f, self.t, ones_a, ones_b), found.t)
        return found.a + scale * by_a, found.b + scale * by_b

    def to_reg(self, found: Cotangents) -> float:
        """Cotangent of the absolute eps."""
        total = 0.0
        f, g = self.solution._potentials
        # Gauge and mass: constants.
        shift_f, shift_g = float((f - self.solution._f)[0]), float((g - self.solution._g)[0])
        sides = (
            (self.rows, found.s, self.s, self.g, self.problem.penalty_a, self.kappa_a, shift_f, shift_g),
            (self.columns.T, found.t, self.t, self.f, self.problem.penalty_b, self.kappa_b, shift_g, shift_f),
        )
        for law, cotangent, soft, other, penalty, kappa, mine, others in sides:
            statistics = self.backend.plan_statistics(law)
            mean = self._times(law, other) - statistics.row_cost
            # In the caller's units, where the potentials carry the mass.
            slope = (soft + mine) / self.eps + (mean + others) / self.eps
            total += float(cotangent @ slope)
            if penalty.kind == 1:
                direct = -penalty.rho / (penalty.rho + self.eps) ** 2
                total += float((cotangent / kappa) @ soft) * direct
        return total

    def to_costs(self, found: Cotangents, start: int, stop: int) -> np.ndarray:
        """Rows of the cotangent of the cost matrix: ``s_i Pi_ij + t_j Pi'_ij``."""
        block = found.s[start:stop, None] * self.backend.plan_rows(self.rows, start, stop)
        return block + found.t[None, :] * self.backend.plan_rows(self.columns, start, stop)

    def to_points(self, found: Cotangents) -> tuple[np.ndarray, np.ndarray]:
        """Cotangents of x and y of a point cloud, without any (n, m) array."""
        assert isinstance(self.problem.geometry, PointCloud)
        by_x = found.s[:, None] * self._cost_gradient(self.rows)
        by_y = found.t[:, None] * self._cost_gradient(self.columns.T)
        for sign in (1.0, -1.0):
            t, s = np.maximum(sign * found.t, 0.0), np.maximum(sign * found.s, 0.0)
            if t.any():
                by_x += sign * self._cost_gradient(self._gibbs(self.f, self.t, self.problem.a, t))
            if s.any():
                by_y += sign * self._cost_gradient(self._gibbs(self.s, self.g, s, self.problem.b).T)
        return by_x, by_y

    def _cost_gradient(self, plan: GibbsPlan) -> np.ndarray:
        return self.backend.cost_gradient(plan)

    # --- forwards -------------------------------------------------------------------------------------------

    def push_forward(self, costs=None, a=None, b=None) -> tuple[np.ndarray, np.ndarray]:
        """Tangents of `Solution.potentials` from tangents of costs and weights.

        Parameters
        ----------
        costs : callable or None
            ``costs(start, stop)``: rows of the tangent of the cost matrix.
        a, b : (n,), (m,) arrays or None
            Tangents of the caller's weights.
        """
        n, m = self.s.size, self.t.size
        ds, dt = np.zeros(n), np.zeros(m)
        if costs is not None:
            step = max(1, (1 << 20) // m)
            for start in range(0, n, step):
                stop = min(n, start + step)
                C = costs(start, stop)
                ds[start:stop] += (self.backend.plan_rows(self.rows, start, stop) * C).sum(axis=1)
                dt += (self.backend.plan_rows(self.columns, start, stop) * C).sum(axis=0)
        ones_a, ones_b = np.ones(n), np.ones(m)
        scale = -self.eps / self.problem.mass
        if b is not None:
            ds += scale * self._times(self._gibbs(self.s, self.g, ones_a, ones_b), b)
        if a is not None:
            dt += scale * self._times(self._gibbs(self.f, self.t, ones_a, ones_b).T, a)
        rhs = self.column_mass * dt - self._times(self.plan.T, self.kappa_a * ds)
        dg = self._schur(rhs)
        df = self.kappa_a * (ds - self._times(self.rows, dg))
        outer = ~self.inner
        if outer.any():
            dg = np.where(outer, self.kappa_b * (dt - self._times(self.columns.T, df)), dg)
        return self._gauged(df, dg, a, b)

    def _gauged(self, df, dg, da, db):
        if not self.singular:
            return df, dg
        problem = self.problem
        f, g = self.solution._potentials
        a, b = problem.a / problem.a.sum(), problem.b / problem.b.sum()
        move = float(b @ dg) - float(a @ df)
        if db is not None:
            move += float(db @ (g - b @ g)) / (problem.mass * problem.b.sum())
        if da is not None:
            move -= float(da @ (f - a @ f)) / (problem.mass * problem.a.sum())
        return df + 0.5 * move, dg - 0.5 * move


def _slope(penalty, s: np.ndarray, eps: float) -> np.ndarray:
    """Derivative of `Penalty.prox`."""
    if penalty.hard:
        return np.ones_like(s)
    if penalty.kind == 1:
        return np.full_like(s, penalty.rho / (penalty.rho + eps))
    return (np.abs(s) < penalty.rho).astype(np.float64)
