"""Plans that are stored, entry by entry: those of exact transport."""

from __future__ import annotations

import numpy as np

from .. import certificates
from ..backends.base import PlanStatistics
from ..lazy import cached_property
from ..problem import Problem
from .base import TransportPlan

__all__ = ["SparsePlan"]


class SparsePlan(TransportPlan):
    """Stored entries, and Kantorovich potentials for the rows that have none.

    Parameters
    ----------
    problem : Problem
    matrix : (n, m) SciPy CSR array >= 0
        Of the normalised problem.
    f, g : (n,), (m,) arrays, cost units
    backend : Backend
    """

    def __init__(self, problem: Problem, matrix, f: np.ndarray, g: np.ndarray, backend):
        self.problem, self.matrix, self.backend = problem, matrix, backend
        self.f, self.g = f, g

    @cached_property
    def T(self):
        return SparsePlan(self.problem.T, self.matrix.T.tocsr(), self.g, self.f, self.backend)

    @cached_property
    def statistics(self):
        entries = self.matrix.tocoo()
        costs = self.backend.pair_costs(self.problem.geometry, entries.row, entries.col)
        return PlanStatistics(
            np.asarray(self.matrix.sum(axis=1)),
            np.asarray(self.matrix.sum(axis=0)),
            np.bincount(entries.row, entries.data * costs, minlength=self.matrix.shape[0]),
        )

    def value(self):
        found = self.statistics
        linear = float(found.row_cost.sum())
        return certificates.objective(self.problem, linear, 0.0, found.row_mass, found.column_mass)

    def dual(self):
        moved = float(self.statistics.row_mass.sum())
        return certificates.dual_value(self.problem, self.f, self.g, moved)

    def feasible(self):
        """Of this plan itself: marginals of flows on a tree are exact up to rounding, or mass is missing."""
        found, problem = self.statistics, self.problem
        missing = problem.marginal_error(self.f, self.g, found.row_mass, found.column_mass) * problem.total
        if missing > 1e-9:
            return np.inf, np.inf
        value = self.value()
        return value, value

    def rows(self, start, stop):
        return self.matrix[start:stop].toarray()

    def product(self, v):
        return self.matrix @ v

    def conditional(self, v):
        mass = np.asarray(self.matrix.sum(axis=1))
        empty = ~(mass > 0)
        out = (self.matrix @ v) / np.where(empty, 1.0, mass)[:, None]
        if empty.any():
            out[empty] = self.extrapolated(self.problem.geometry, v)[empty]
        return out

    def extrapolated(self, geometry, v):
        columns, values = self._nearest(geometry)
        # A point all of whose pairs are forbidden has no conditional law: NaN.
        return np.where(np.isfinite(values)[:, None], v[columns], np.nan)

    def _nearest(self, geometry) -> tuple[np.ndarray, np.ndarray]:
        """Where ``C_ij - g_j`` is smallest, and that value: Kantorovich potentials send a row there."""
        potential = np.where(self.problem.b > 0, self.g, -np.inf)
        indices, values = self.backend.top_k(geometry, potential, 1.0, 1)
        return indices[:, 0], values[:, 0]

    def entries(self, dropped):
        """All of them: there are few, and none is small because of rounding."""
        return self.matrix.indptr, self.matrix.indices, self.matrix.data

    def largest(self):
        n = self.matrix.shape[0]
        out = np.asarray(self.matrix.argmax(axis=1)).reshape(n)
        empty = np.diff(self.matrix.indptr) == 0
        if empty.any():
            out[empty] = self._nearest(self.problem.geometry)[0][empty]
        return out.astype(np.int64)
