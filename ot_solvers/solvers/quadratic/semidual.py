"""The semi-dual of transport with a quadratic term: one projection per row, by one pass over the cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...geometry.base import Geometry
from ...lazy import cached_property

__all__ = ["Point", "SemiDual"]

#: Entries of a row that a pass has room for at first.
ROOM = 16


@dataclass(frozen=True)
class Point:
    """The semi-dual at some column potentials.

    Attributes
    ----------
    f, g : (n,), (m,) arrays, cost units
    value : float
        A lower bound of the optimal value.
    gradient : (m,) array
        What columns are short of, 0 where they have no weight.
    plan : (n, m) CSR array or None
        Rows are exact, and have no more entries than they may.
    """

    f: np.ndarray
    g: np.ndarray
    value: float
    gradient: np.ndarray
    plan: Any

    @cached_property
    def error(self) -> float:
        """``|P'1 - b|_1``."""
        return float(np.abs(self.gradient).sum())


class SemiDual:
    """``D(g) = <b, g> + sum_i min <p, C_i - g> + gamma / 2 |p|^2`` over p >= 0 of sum ``a_i``, few entries.

    Concave; smooth where no row has more candidates than entries.

    Parameters
    ----------
    geometry : Geometry, shape (n, m)
    a, b : (n,), (m,) arrays >= 0
        Of sum 1 each.
    gamma : float > 0
    most : (n,) int array or None
        Entries of every row.
    backend : Backend
    """

    def __init__(self, geometry: Geometry, a, b, gamma: float, most, backend):
        self.geometry, self.a, self.b, self.gamma, self.most, self.backend = geometry, a, b, gamma, most, backend
        self.live = b > 0
        self.room = ROOM
        #: Passes over this geometry so far.
        self.passes = 0

    def with_changes(self, **changes) -> SemiDual:
        """The same with another geometry, gamma or limit of entries."""
        given = {name: getattr(self, name) for name in ("geometry", "a", "b", "gamma", "most", "backend")}
        return SemiDual(**(given | changes))

    def masked(self, g) -> np.ndarray:
        """Potentials that let nothing go where there is no weight."""
        return np.where(self.live, g, -np.inf)

    def at(self, g, entries: bool = True) -> Point:
        """One pass over the cost; two where rows have more entries than expected."""
        n, m = self.geometry.shape
        masked = self.masked(g)
        room = min(self.room, m)
        starts = np.arange(n + 1) * room if entries else None
        found = self._project(masked, starts)
        plan = None
        if entries:
            widest = int(found.row_count.max())
            indptr = np.concatenate([[0], np.cumsum(found.row_count)])
            if widest > room:
                self.room = widest
                found = self._project(masked, indptr)
                indices, masses = found.indices, found.masses
            else:
                used = (np.arange(room)[None, :] < found.row_count[:, None]).ravel()
                indices, masses = found.indices[used], found.masses[used]
            from scipy import sparse

            plan = sparse.csr_array((masses, indices, indptr), shape=(n, m))
        value = float(self.a @ found.f + self.b[self.live] @ g[self.live])
        value -= 0.5 * self.gamma * float(found.row_square.sum())
        gradient = np.where(self.live, self.b - found.column_mass, 0.0)
        return Point(found.f, g, value, gradient, plan)

    def _project(self, masked, starts):
        self.passes += 1
        return self.backend.project(self.geometry, masked, self.gamma, self.a, self.most, None, starts)

    def sweep(self, g) -> np.ndarray:
        """Column potentials that make columns exact, for row potentials that make rows exact: both without limits.

        Newton steps see only entries that there are; this brings those that should be.
        """
        self.passes += 2
        f = self.backend.project(self.geometry, self.masked(g), self.gamma, self.a).f
        f = np.where(self.a > 0, f, -np.inf)
        return self.backend.project(self.geometry.T, f, self.gamma, self.b).f
