"""Stored plans with a quadratic term in the objective."""

from __future__ import annotations

import math

import numpy as np

from .. import certificates
from ..lazy import cached_property
from .sparse import SparsePlan

__all__ = ["QuadraticPlan"]

#: L1 distance of both marginals that is rounding.
ROUNDING = 1e-10


class QuadraticPlan(SparsePlan):
    """Entries ``[f_i + g_j - C_ij]_+ / gamma`` of a normalised plan, or a repaired copy; see `SparsePlan`."""

    @cached_property
    def T(self):
        return QuadraticPlan(self.problem.T, self.matrix.T.tocsr(), self.g, self.f, self.backend)

    @property
    def _square(self) -> float:
        return 0.5 * self.problem.term.gamma * float(self.matrix.data @ self.matrix.data)

    def value(self):
        return super().value() + self.problem.mass * self._square

    def dual(self):
        """One pass over the limited side's lines; see `Backend.project`."""
        problem, f, g = self.problem, self.f, self.g
        if problem.term.most_b is not None:
            problem, f, g = problem.T, g, f
        term = problem.term
        rows, columns = problem.a > 0, problem.b > 0
        found = self.backend.project(
            problem.geometry, np.where(columns, g, -np.inf), term.gamma, problem.a, term.most_a,
            np.where(rows, f, -np.inf),
        )  # fmt: skip
        square = float(found.row_square[rows].sum())
        potentials = float(problem.a[rows] @ f[rows] + problem.b[columns] @ g[columns])
        return problem.mass * (potentials - 0.5 * term.gamma * square)

    def feasible(self):
        """Of this plan, or of one near it that has the marginals; infinite where that breaks limits of entries."""
        found, problem = self.statistics, self.problem
        missing = problem.marginal_error(self.f, self.g, found.row_mass, found.column_mass)
        if missing <= ROUNDING:
            linear = certificates.objective(
                problem, float(found.row_cost.sum()), 0.0, found.row_mass, found.column_mass
            )
            return self.value(), linear
        if problem.term.limited:
            return math.inf, math.inf
        from ..rounding import rounded_entries

        entries = rounded_entries(self.matrix, problem.a, problem.b)
        plan = QuadraticPlan(problem, entries, self.f, self.g, self.backend)
        linear = problem.mass * float(plan.statistics.row_cost.sum())
        return linear + problem.mass * plan._square, linear

    def extrapolated(self, geometry, v):
        """New rows are projected as known ones of average weight are."""
        problem = self.problem
        term = problem.term
        live = problem.a > 0
        weight = np.full(geometry.shape[0], 1.0 / np.count_nonzero(live))
        most = None
        if term.most_a is not None:
            most = np.full(geometry.shape[0], int(np.median(term.most_a[live])))
        g = np.where(problem.b > 0, self.g, -np.inf)
        widest = geometry.shape[1] if most is None else int(most[0])
        starts = np.arange(geometry.shape[0] + 1) * widest
        found = self.backend.project(geometry, g, term.gamma, weight, most, None, starts)
        from scipy import sparse

        used = (np.arange(widest)[None, :] < found.row_count[:, None]).ravel()
        indptr = np.concatenate([[0], np.cumsum(found.row_count)])
        rows = sparse.csr_array((found.masses[used], found.indices[used], indptr), shape=geometry.shape)
        # A point all of whose pairs are forbidden has no conditional law: NaN.
        mass = np.asarray(rows.sum(axis=1))
        return (rows @ v) / np.where(mass > 0, mass, np.nan)[:, None]
