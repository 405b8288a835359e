"""Exact transport on a list of arcs by SciPy's HiGHS: the default of `Backend.transport_simplex`."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["LinearProgramme"]


class LinearProgramme:
    """See `Backend.transport_simplex`. Starts from nothing in every call; mass without an arc has a high price."""

    def __init__(self, a, b, rows, columns, costs):
        self.a, self.b = a, b
        self.rows, self.columns, self.costs = rows, columns, costs
        self.pivots = 0
        self._found: Any = None

    def add(self, rows, columns, costs):
        self.rows = np.concatenate([self.rows, rows])
        self.columns = np.concatenate([self.columns, columns])
        self.costs = np.concatenate([self.costs, costs])

    def pivot(self, most: int) -> bool:
        from scipy import sparse
        from scipy.optimize import linprog

        n, m, k = self.a.size, self.b.size, self.rows.size
        unit = max(float(np.abs(self.costs).max()), np.finfo(float).tiny)
        # One unit of mass without an arc leaves its source and reaches its sink by two arcs of their own.
        price = 4.0 * (n + m)
        vertices = np.concatenate([self.rows, n + self.columns, np.arange(n + m)])
        arcs = np.concatenate([np.arange(k), np.arange(k), k + np.arange(n + m)])
        incidence = sparse.csr_array((np.ones(arcs.size), (vertices, arcs)), shape=(n + m, k + n + m))
        solve: Any = linprog  # its annotations know no sparse constraints
        found = solve(
            np.concatenate([self.costs / unit, np.full(n + m, price)]),
            A_eq=incidence,
            b_eq=np.concatenate([self.a, self.b]) / self.a.sum(),
            method="highs-ds",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        if found.status != 0:
            raise RuntimeError(f"HiGHS: {found.message}")
        self.pivots += int(found.nit)
        self._found = found.x * self.a.sum(), found.eqlin.marginals * unit
        return True

    def insist(self) -> bool:
        return False  # more than any way costs from the start

    def potentials(self):
        n = self.a.size
        return self._found[1][:n].copy(), self._found[1][n:].copy()

    def plan(self):
        k = self.rows.size
        x = np.maximum(self._found[0][:k], 0.0)
        kept = x > 0
        return self.rows[kept], self.columns[kept], x[kept]

    def unmet(self) -> float:
        return float(self._found[0][self.rows.size : self.rows.size + self.a.size].sum())
