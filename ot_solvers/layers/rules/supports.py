"""Derivatives of quadratic plans, with and without limits of entries: on the entries that they have.

There ``P_ij = (f_i + g_j - C_ij) / gamma`` is linear, and both marginals determine f and g up to one constant per
connected part. Where an entry is about to appear or to vanish the plan has a kink; what is computed is the
derivative on one side of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...errors import UnsupportedError
from ...geometry import PointCloud
from ...lazy import cached_property
from ...result import Solution
from .pairs import pair_gradients

__all__ = ["EntryCotangents", "SupportRule"]


class EntryCotangents(NamedTuple):
    """Cotangents of the data of a quadratic problem, in the caller's units."""

    costs: np.ndarray  # of the entries' costs
    a: np.ndarray  # (n,)
    b: np.ndarray  # (m,)
    gamma: float


class SupportRule:
    """Derivatives of the plan (and, without limits, of the potentials) of one quadratic solution.

    Parameters
    ----------
    solution : Solution
        Of a quadratic problem.

    References
    ----------
    [liu:23]_.
    """

    def __init__(self, solution: Solution):
        problem = solution._problem
        if problem.quadratic is None:
            raise UnsupportedError("derivatives on a support need a quadratic regularisation")
        self.solution, self.problem, self.gamma = solution, problem, solution.reg
        entries = solution._matrix.tocoo()
        live = entries.data > 0
        self.rows, self.columns = entries.row[live], entries.col[live]
        #: Of the entries, in the caller's units.
        self.masses = problem.mass * entries.data[live]

    def of_plan(self, weights: np.ndarray) -> EntryCotangents:
        """From cotangents of the entries of the plan; those of pairs without an entry do not count.

        Parameters
        ----------
        weights : (n_entries,) array
            In the order of `rows` and `columns`.
        """
        n, m = self.problem.geometry.shape
        u = np.bincount(self.rows, weights, minlength=n) / self.gamma
        v = np.bincount(self.columns, weights, minlength=m) / self.gamma
        alpha, beta = self._solve(u, v)
        by_gamma = alpha @ self._marginals[0] + beta @ self._marginals[1] - weights @ self.masses / self.gamma
        return EntryCotangents(
            alpha[self.rows] + beta[self.columns] - weights / self.gamma,
            self.gamma * alpha,
            self.gamma * beta,
            float(by_gamma),
        )

    def of_potentials(self, u: np.ndarray, v: np.ndarray) -> EntryCotangents:
        """From cotangents of `Solution.potentials`; points without weight, which have no entry, get none.

        Raises
        ------
        UnsupportedError
            With limits of entries: potentials and plan then belong to different problems.
        """
        if self.problem.term.limited:
            raise UnsupportedError("potentials with limits of entries have kinks, and no derivative rule")
        a, b = (side / side.sum() for side in (self.problem.a, self.problem.b))
        f, g = self.solution._potentials
        half = 0.5 * float(u.sum() - v.sum())
        alpha, beta = self._solve(u - half * a, v + half * b)
        M = self.problem.mass
        return EntryCotangents(
            alpha[self.rows] + beta[self.columns],
            self.gamma * alpha - half * (f - a @ f) / M,
            self.gamma * beta + half * (g - b @ g) / M,
            float(alpha @ self._marginals[0] + beta @ self._marginals[1]),
        )

    def potentials(self) -> tuple[np.ndarray, np.ndarray]:
        """Potentials of the problem on these entries: ``f_i + g_j = C_ij + gamma P_ij`` there."""
        problem = self.problem
        n, m = problem.geometry.shape
        slopes = self.solution._backend.pair_costs(problem.geometry, self.rows, self.columns)
        slopes = slopes + self.gamma * self.masses
        f, g = self._solve(
            np.bincount(self.rows, slopes, minlength=n), np.bincount(self.columns, slopes, minlength=m)
        )
        a, b = (side / side.sum() for side in (problem.a, problem.b))
        half = 0.5 * float(b @ g - a @ f)
        return f + half, g - half

    def to_points(self, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cotangents of x and y of a point cloud from those of the entries' costs."""
        geometry = self.problem.geometry
        assert isinstance(geometry, PointCloud)
        return (
            pair_gradients(geometry, self.rows, self.columns, costs),
            pair_gradients(geometry.T, self.columns, self.rows, costs),
        )

    @cached_property
    def _marginals(self) -> tuple[np.ndarray, np.ndarray]:
        n, m = self.problem.geometry.shape
        return np.bincount(self.rows, self.masses, minlength=n), np.bincount(
            self.columns, self.masses, minlength=m
        )

    @cached_property
    def _factor(self):
        """Parts of the graph of the entries, the points but one of each, and the factor of their Laplacian."""
        from scipy import sparse
        from scipy.sparse import csgraph, linalg

        n, m = self.problem.geometry.shape
        ones = np.ones(self.rows.size)
        edges = sparse.coo_array((ones, (self.rows, n + self.columns)), shape=(n + m, n + m)).tocsr()
        edges = edges + edges.T
        laplacian = sparse.diags_array(np.asarray(edges.sum(axis=1)).ravel()) - edges
        count, part = csgraph.connected_components(edges, directed=False)
        free = np.ones(n + m, dtype=bool)
        free[np.unique(part, return_index=True)[1]] = False
        kept = np.flatnonzero(free)
        factor = linalg.splu(laplacian.tocsc()[kept][:, kept]) if kept.size else None
        return count, part, kept, factor

    def _solve(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least-norm ``(x, y)`` with ``|S_i| x_i + sum_j y_j = u_i`` and ``sum_i x_i + |S_j| y_j = v_j``."""
        count, part, kept, factor = self._factor
        sizes = np.bincount(part, minlength=count)
        # With one side's sign turned, it is the Laplacian of a graph.
        rhs = np.concatenate([u, -v])
        rhs = rhs - (np.bincount(part, rhs, minlength=count) / sizes)[part]
        x = np.zeros(rhs.size)
        if factor is not None:
            x[kept] = factor.solve(rhs[kept])
        x = x - (np.bincount(part, x, minlength=count) / sizes)[part]
        return x[: u.size], -x[u.size :]
