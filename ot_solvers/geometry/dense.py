"""A cost matrix that exists."""

from __future__ import annotations

import numpy as np

from ..lazy import cached_property
from ..validation import floating
from .base import Geometry

__all__ = ["DenseGeometry"]


def _real(C) -> np.ndarray:
    """`C` as a two-dimensional float32 or float64 array."""
    C = floating(C, "C")
    if C.ndim != 2 or 0 in C.shape:
        raise ValueError(f"C has shape {C.shape}; expected (n, m) with n, m >= 1")
    return C


class DenseGeometry(Geometry):
    """A stored ``(n, m)`` matrix; ``+inf`` forbids a pair.

    Parameters
    ----------
    C : (n, m) array of float32 or float64
        Kept, never copied when C- or Fortran-contiguous, never written to.

    Notes
    -----
    The matrix is kept row-major with a flag: a Fortran-ordered matrix is the transposed view of a
    row-major one. Costs far from zero compared to their spread are read relative to `shift`, so that
    adding a million to every cost does not eat the digits of the exponents.
    """

    kind = "dense"

    def __init__(self, C, *, _rows=None, _transposed=False, _of=None):
        if _rows is None:
            C = _real(C)
            _transposed = bool(C.flags.f_contiguous and not C.flags.c_contiguous)
            _rows = C.T if _transposed else np.ascontiguousarray(C)
        #: Row-major storage; the matrix itself, or its transpose when `transposed`.
        self.rows = _rows
        self.transposed = _transposed
        self._of = _of

    @property
    def array(self) -> np.ndarray:
        """The matrix in its own orientation, (n, m), a view."""
        return self.rows.T if self.transposed else self.rows

    @property
    def shape(self):
        n, m = self.rows.shape
        return (m, n) if self.transposed else (n, m)

    @property
    def dtype(self):
        return self.rows.dtype

    @property
    def T(self):
        if self._of is not None:
            return self._of
        return DenseGeometry(None, _rows=self.rows, _transposed=not self.transposed, _of=self)

    def block(self, start, stop):
        return self.array[start:stop].astype(np.float64, copy=False)

    @cached_property
    def extremes(self) -> tuple[float, float, int, int]:
        """(min, max) over finite entries, number of ``+inf``, number of illegal (NaN, ``-inf``) entries."""
        if self._of is not None:
            return self._of.extremes
        low, high, infinite, illegal = np.inf, -np.inf, 0, 0
        rows = self.rows
        step = max(1, (1 << 17) // max(1, rows.shape[1]))
        for start in range(0, rows.shape[0], step):
            block = rows[start : start + step]
            # One pass decides in the usual case: an infinite or NaN entry shows in min or max.
            lo, hi = block.min(), block.max()
            if not (np.isfinite(lo) and np.isfinite(hi)):
                finite = np.isfinite(block)
                infinite += int(np.isposinf(block).sum())
                illegal += int((~finite & ~np.isposinf(block)).sum())
                if not finite.any():
                    continue
                live = block[finite]
                lo, hi = live.min(), live.max()
            low, high = min(low, float(lo)), max(high, float(hi))
        return low, high, infinite, illegal

    @property
    def forbids(self):
        return self.extremes[2] > 0

    @cached_property
    def shift(self) -> float:
        """Subtracted from every cost inside kernels; 0 unless the costs are far from zero."""
        low, high, _, _ = self.extremes
        if self.dtype != np.float64 or not np.isfinite(low):
            return 0.0
        return low if min(abs(low), abs(high)) > 2 * (high - low) else 0.0

    def spread(self):
        low, high, _, _ = self.extremes
        return high - low if high >= low else 0.0

    def sampled(self, rows, columns):
        return DenseGeometry(np.ascontiguousarray(self.array[np.ix_(rows, columns)]))

    def cut_off(self, a, b):
        if not self.forbids:
            return super().cut_off(a, b)
        return _stuck(self.array, a, b), _stuck(self.array.T, b, a)

    def __repr__(self):
        return f"DenseGeometry(shape={self.shape}, dtype={self.dtype})"


def _stuck(C, weights, partners) -> np.ndarray:
    """(n,) mask of rows with weight whose costs are ``+inf`` wherever the partners have weight."""
    out = np.zeros(weights.size, dtype=bool)
    live = np.flatnonzero(weights > 0)
    allowed = np.flatnonzero(partners > 0)
    step = max(1, (1 << 20) // max(1, allowed.size))
    for start in range(0, live.size, step):
        rows = live[start : start + step]
        out[rows] = ~np.isfinite(C[np.ix_(rows, allowed)]).any(axis=1)
    return out
