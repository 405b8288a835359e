"""Pairs that a plan may use: the nearest of every point by potentials, as a sparse geometry that may grow."""

from __future__ import annotations

import numpy as np

from ..geometry import DenseGeometry, SparseGeometry
from ..geometry.base import Geometry

__all__ = ["Candidates", "nearest"]


def nearest(geometry: Geometry, f, g, k: int, backend) -> np.ndarray:
    """Keys ``i m + j`` of the pairs that are among the k smallest ``C_ij - f_i - g_j`` of their row or column.

    Parameters
    ----------
    geometry : Geometry, shape (n, m)
    f, g : (n,), (m,) arrays
        ``-inf`` at points that have no weight, whose pairs are left out.
    k : int >= 1
    """
    n, m = geometry.shape
    rows, columns = np.flatnonzero(f > -np.inf), np.flatnonzero(g > -np.inf)
    by_row, _ = backend.top_k(geometry, g, 1.0, min(k, columns.size))
    by_column, _ = backend.top_k(geometry.T, f, 1.0, min(k, rows.size))
    keys = (rows[:, None] * m + by_row[rows], by_column[columns] * m + columns[:, None])
    return np.unique(np.concatenate([key.ravel() for key in keys]))


class Candidates:
    """The costs of some pairs of a geometry.

    Parameters
    ----------
    geometry : Geometry, shape (n, m)
    keys : (k,) int array
        Pairs ``i m + j``, in order; forbidden ones are left out.
    backend : Backend
    """

    def __init__(self, geometry: Geometry, keys: np.ndarray, backend):
        self.whole, self.backend = geometry, backend
        #: What costs are held without: far from zero they would take the digits of what is computed from them.
        self.shift = geometry.shift if isinstance(geometry, DenseGeometry) else 0.0
        self.keys, self.costs = self._allowed(keys)

    def _allowed(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        costs = self.backend.pair_costs(self.whole, *np.divmod(keys, self.whole.shape[1])) - self.shift
        finite = np.isfinite(costs)
        return keys[finite], costs[finite]

    def add(self, keys: np.ndarray) -> int:
        """More pairs, in order; how many were new."""
        new = np.setdiff1d(keys, self.keys, assume_unique=True)
        new, costs = self._allowed(new)
        order = np.searchsorted(self.keys, new)
        self.keys, self.costs = np.insert(self.keys, order, new), np.insert(self.costs, order, costs)
        return new.size

    @property
    def geometry(self) -> SparseGeometry:
        """The candidates as a geometry of the same shape, costs without `shift`."""
        from scipy import sparse

        rows, columns = np.divmod(self.keys, self.whole.shape[1])
        return SparseGeometry(sparse.csr_array((self.costs, (rows, columns)), shape=self.whole.shape))
