"""Costs between two point clouds, never stored."""

from __future__ import annotations

import sys

import array_api_compat.numpy as compat
import numpy as np

from ..costs import Cost, SqEuclidean
from ..lazy import cached_property
from ..validation import floating
from .base import Geometry
from .tiles import Tiles, tiles_of

__all__ = ["PointCloud"]


def _real(x, y):
    """Both clouds as NumPy arrays of one of float32 and float64; the same object stays the same."""
    first = floating(x, "x")
    second = first if y is x else floating(y, "y")
    dtype = np.result_type(first.dtype, second.dtype)
    for name, z in (("x", first), ("y", second)):
        if z.ndim != 2:
            raise ValueError(f"{name} has shape {z.shape}; expected (n, d)")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"x has {first.shape[1]} coordinates and y {second.shape[1]}; expected the same number")
    first = first.astype(dtype, copy=False)
    return first, first if y is x else second.astype(dtype, copy=False)


class PointCloud(Geometry):
    """``C_ij = cost(x_i, y_j)`` computed when read; memory O((n + m) d).

    Parameters
    ----------
    x : (n, d) array
    y : (m, d) array, same library and dtype
    cost : Cost
        See `ot_solvers.costs`.
    """

    kind = "point_cloud"

    def __init__(self, x, y, cost: Cost | None = None, *, xp=compat, _of=None):
        if xp is compat and _of is None:
            x, y = _real(x, y)
        self.x = x
        self.y = y
        self.cost = SqEuclidean() if cost is None else cost
        self._of = _of
        # Modules do not pickle: keep the name of a foreign one.
        self._namespace = None if xp is compat else xp.__name__

    @property
    def xp(self):
        return compat if self._namespace is None else sys.modules[self._namespace]

    @property
    def shape(self):
        return (self.x.shape[0], self.y.shape[0])

    @property
    def depth(self):
        return self.x.shape[1]

    @property
    def dtype(self):
        return self.x.dtype

    @property
    def T(self):
        if self._of is not None:
            return self._of
        return PointCloud(self.y, self.x, self.cost.swapped(), xp=self.xp, _of=self)

    @cached_property
    def prepared(self):
        """(x, y) prepared by the cost in float64."""
        if self._of is not None:
            x, y = self._of.prepared
            return y, x
        xp = self.xp
        x = self.cost.prepare(xp.astype(self.x, xp.float64, copy=False), xp)
        if self.y is self.x:
            return x, x
        return x, self.cost.prepare(xp.astype(self.y, xp.float64, copy=False), xp)

    @cached_property
    def _columns(self) -> dict:
        return {}

    def columns(self, dtype) -> tuple[np.ndarray, np.ndarray]:
        """Prepared points by coordinate, ((d, n), (d, m)) C-contiguous of `dtype`: what kernels stream."""
        if self._of is not None:
            x, y = self._of.columns(dtype)
            return y, x
        key = np.dtype(dtype).char
        if key not in self._columns:
            x, y = (np.ascontiguousarray(z.T, dtype=dtype) for z in self.prepared)
            self._columns[key] = (x, x if self.x is self.y else y)
        return self._columns[key]

    def tiles(self, size: int) -> tuple[Tiles, Tiles]:
        """Prepared x and y in an order in which neighbours are near each other, cut into tiles."""
        if self._of is not None:
            x, y = self._of.tiles(size)
            return y, x
        key = f"tiles of {size}"
        if key not in self._columns:
            x, y = self.prepared
            first = tiles_of(x, size)
            self._columns[key] = (first, first if self.x is self.y else tiles_of(y, size))
        return self._columns[key]

    def tiled_columns(self, dtype, size: int) -> tuple[np.ndarray, np.ndarray]:
        """`columns` in the order of the tiles."""
        if self._of is not None:
            x, y = self._of.tiled_columns(dtype, size)
            return y, x
        key = f"{np.dtype(dtype).char} in tiles of {size}"
        if key not in self._columns:
            pair = zip(self.columns(dtype), self.tiles(size), strict=True)
            self._columns[key] = tuple(np.ascontiguousarray(z[:, tiles.order]) for z, tiles in pair)
        return self._columns[key]

    def block(self, start, stop):
        x, y = self.prepared
        return self.cost.pairwise(x[start:stop, :], y, self.xp)

    def sampled(self, rows, columns):
        return PointCloud(self.x[rows], self.y[columns], self.cost, xp=self.xp)

    def spread(self):
        x, y = (np.asarray(z) for z in self.prepared)
        return self.cost.spread(np.minimum(x.min(0), y.min(0)), np.maximum(x.max(0), y.max(0)))

    def __repr__(self):
        n, m = self.shape
        return f"PointCloud(n={n}, m={m}, d={self.x.shape[1]}, cost={self.cost}, dtype={self.dtype})"
