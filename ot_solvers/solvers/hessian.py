"""The Hessian of the semi-dual as an operator, and truncated conjugate gradients with it.

With exact rows, ``eps`` times the negative Hessian is the Schur complement ``K - P' R^-1 P`` of the bipartite
matrix ``[[R, -P], [-P', K]]``: R and K hold the marginals of P plus the curvature of soft penalties. For hard
marginals it is the Laplacian of the graph whose edges are the entries of P.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Direction", "SemiDualHessian"]


class Direction(NamedTuple):
    """A step of the column potentials, in units of eps."""

    step: np.ndarray
    cg_steps: int
    #: Relative residual (1-norm) at which the iteration ended.
    residual: float


class SemiDualHessian:
    """``K - P' R^-1 P`` at one point.

    Parameters
    ----------
    pattern : (n, m) CSR array
        The largest entries of P.
    product : callable or None
        ``product(v) = P v`` and ``product.T(u) = P' u`` of the full plan; None: of the pattern.
    rows, columns : (n,), (m,) arrays >= 0
        R and K of the *full* plan: entries that were dropped count as joined to potential 0, which keeps
        a pattern that falls apart from being singular. The matrix is at least half the true one.
    weights : (n,), (m,) arrays
        What a shift is counted in.
    backend : Backend
    core : int
        Entries per point that the preconditioner factorises.
    """

    def __init__(self, pattern, product, rows, columns, weights, backend, core: int):
        self.weights = weights
        self.product = _Held(pattern) if product is None else product
        self.inverse = backend.bipartite_solver(pattern, *weights, core)
        # Points without weight have no entries: any positive diagonal keeps them where they are.
        self.rows = np.where(rows > 0, rows, 1.0)
        self.columns = np.where(columns > 0, columns, 1.0)

    def solve(self, r, shift: float, tol: float, most: int) -> Direction:
        """Approximate solution of ``(S + shift) d = r`` by preconditioned conjugate gradients.

        Parameters
        ----------
        r : (m,) array
        shift : float >= 0
            In units of the weights: the larger, the shorter the step.
        tol : float
            Relative residual in the 1-norm.
        most : int
            Steps at most; a truncated solution is still a direction of ascent.
        """
        a, b = self.weights
        R, K = self.rows + shift * a, self.columns + shift * b
        preconditioner = self.inverse.factor(R, K)
        P = self.product
        x = np.zeros_like(r)
        r = r.copy()
        size = float(np.abs(r).sum())
        z = preconditioner.solve(r)
        p, rz = z.copy(), float(r @ z)
        left, steps = 1.0, 0
        while steps < most and left > tol and rz > 0:
            steps += 1
            q = K * p - P.T(P(p) / R)
            curvature = float(p @ q)
            if not curvature > 0:
                break
            x += (rz / curvature) * p
            r -= (rz / curvature) * q
            left = float(np.abs(r).sum()) / size
            z = preconditioner.solve(r)
            previous, rz = rz, float(r @ z)
            p = z + (rz / previous) * p
        return Direction(x, steps, left)


class _Held:
    """Products with a sparse matrix in memory."""

    passes = 0

    def __init__(self, matrix):
        self.matrix = matrix
        self.transposed = matrix.T

    def __call__(self, v):
        return self.matrix @ v

    def T(self, u):
        return self.transposed @ u
