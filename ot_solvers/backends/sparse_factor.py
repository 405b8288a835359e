"""Exact factor of a bipartite Laplacian by SciPy: the oracle of faster, approximate ones."""

from __future__ import annotations

import numpy as np

__all__ = ["SparseBipartite"]


class SparseBipartite:
    """Inverses of ``[[diag(rows), -P], [-P', diag(columns)]]``; see `Backend.bipartite_solver`."""

    def __init__(self, P):
        self.P = P

    def factor(self, rows, columns):
        """The factor for the given diagonals."""
        from scipy import sparse
        from scipy.sparse import linalg

        # A component without ground is singular: a shift at rounding level pins it.
        R, K = (sparse.diags_array(diagonal * (1 + 1e-14)) for diagonal in (rows, columns))
        matrix = sparse.block_array([[R, -self.P], [-self.P.T, K]], format="csc")
        return _Factor(
            self.P.shape[0],
            linalg.splu(
                matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
            ),
        )


class _Factor:
    def __init__(self, n, factor):
        self.n = n
        self.factor = factor

    def solve(self, r: np.ndarray) -> np.ndarray:
        """Column part of the solution for the right hand side ``(0, r)``."""
        return self.factor.solve(np.concatenate([np.zeros(self.n), r]))[self.n :]
