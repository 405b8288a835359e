"""Costs on a sparse pattern; every other pair is forbidden."""

from __future__ import annotations

import numpy as np

from ..lazy import cached_property
from .base import Geometry

__all__ = ["SparseGeometry"]


class SparseGeometry(Geometry):
    """Costs stored for some pairs only; pairs that are not stored cost ``+inf``.

    Parameters
    ----------
    matrix : (n, m) SciPy sparse array or matrix
        Every *stored* entry is an allowed pair, explicit zeros included. Kept as CSR, never written to.
    """

    kind = "sparse"

    def __init__(self, matrix, *, _of=None):
        if _of is None:
            csr = matrix.tocsr()
            if not csr.has_canonical_format:
                csr = csr.copy()
                csr.sum_duplicates()
            dtype = np.float32 if csr.dtype == np.float32 else np.float64
            self.matrix = csr.astype(dtype, copy=False)
        else:
            self.matrix = matrix
        self._of = _of

    @property
    def shape(self):
        return self.matrix.shape

    @property
    def dtype(self):
        return self.matrix.dtype

    @cached_property
    def _transposed(self):
        return SparseGeometry(self.matrix.T.tocsr(), _of=self)

    @property
    def T(self):
        return self._of if self._of is not None else self._transposed

    @cached_property
    def arrays(self):
        """(indptr int64, indices int64, costs): C-contiguous CSR parts for kernels."""
        csr = self.matrix
        return csr.indptr.astype(np.int64), csr.indices.astype(np.int64), np.ascontiguousarray(csr.data)

    def block(self, start, stop):
        out = np.full((stop - start, self.shape[1]), np.inf)
        indptr, indices, data = self.arrays
        first, last = indptr[start], indptr[stop]
        rows = np.repeat(np.arange(stop - start), np.diff(indptr[start : stop + 1]))
        out[rows, indices[first:last]] = data[first:last]
        return out

    @property
    def forbids(self):
        return self.matrix.nnz < self.shape[0] * self.shape[1]

    def spread(self):
        data = self.matrix.data
        return float(data.max() - data.min()) if data.size else 0.0

    def cut_off(self, a, b):
        return _stuck(self.matrix, a, b), _stuck(self.T.matrix, b, a)

    def __repr__(self):
        return f"SparseGeometry(shape={self.shape}, nnz={self.matrix.nnz}, dtype={self.dtype})"


def _stuck(csr, weights, partners) -> np.ndarray:
    """(n,) mask of rows with weight that store no pair with a weight on the other side."""
    # Explicit zeros are allowed pairs: count stored entries, not non-zero ones.
    pattern = csr.copy()
    pattern.data = np.ones(csr.nnz)
    return (weights > 0) & (pattern @ (partners > 0).astype(np.float64) == 0)
