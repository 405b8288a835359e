"""Costs that separate over the axes of one regular grid."""

from __future__ import annotations

import math

import numpy as np

from ..costs import Cost, SqEuclidean
from ..lazy import cached_property
from .base import Geometry

__all__ = ["Grid"]


class Grid(Geometry):
    """``C[(i_1..i_d), (j_1..j_d)] = sum_k c_k[i_k, j_k]`` on a grid of ``N = prod n_k`` points.

    Points are numbered in C order. A reduction over all N columns is one reduction per axis: O(N sum n_k)
    time and O(N + sum n_k^2) memory instead of O(N^2).

    Parameters
    ----------
    axes : sequence of (n_k,) arrays
        Coordinates along each axis.
    cost : Cost
        One that separates over the coordinates (any cost in one dimension).
    """

    kind = "grid"

    def __init__(self, axes, cost: Cost | None = None, *, dtype=np.float64, _matrices=None, _of=None):
        self.axes = tuple(np.asarray(axis, dtype=np.float64) for axis in axes)
        for k, axis in enumerate(self.axes):
            if axis.ndim != 1 or axis.size == 0 or not np.isfinite(axis).all():
                raise ValueError(f"axes[{k}] has shape {axis.shape}; expected (n_{k},) finite coordinates")
        if not self.axes:
            raise ValueError("axes is empty; expected one coordinate array per axis")
        self.cost = SqEuclidean() if cost is None else cost
        d = len(self.axes)
        if not self.cost.separate(d):
            raise ValueError(
                f"cost={self.cost.name!r} does not separate over {d} axes; use 'sqeuclidean', 'cityblock' or "
                "'dot' on a grid, or solve_sample on its points"
            )
        if _of is None:
            # One point of the grid tells whether the cost is meant for its number of coordinates.
            self.cost.check(np.array([[axis[0] for axis in self.axes]]), "the grid")
        self._dtype = np.dtype(dtype)
        self._of = _of
        self._matrices = _matrices

    @cached_property
    def matrices(self) -> tuple[np.ndarray, ...]:
        """One (n_k, n_k) cost matrix per axis, float64, C-contiguous."""
        if self._matrices is not None:
            return self._matrices
        found = []
        for k, axis in enumerate(self.axes):
            # One coordinate at a time: the others are 0 on both sides and add nothing to a separable cost.
            points = np.zeros((axis.size, len(self.axes)))
            points[:, k] = axis
            prepared = self.cost.prepare(points)
            with np.errstate(over="ignore"):  # `spread` tells
                found.append(np.ascontiguousarray(self.cost.pairwise(prepared, prepared)))
        return tuple(found)

    @property
    def grid_shape(self) -> tuple[int, ...]:
        return tuple(axis.size for axis in self.axes)

    @property
    def shape(self):
        size = math.prod(self.grid_shape)
        return (size, size)

    @property
    def dtype(self):
        return self._dtype

    @property
    def T(self):
        if self._of is not None:
            return self._of
        flipped = tuple(np.ascontiguousarray(c.T) for c in self.matrices)
        return Grid(self.axes, self.cost, dtype=self._dtype, _matrices=flipped, _of=self)

    @cached_property
    def points(self) -> np.ndarray:
        """(N, d) coordinates in C order."""
        mesh = np.meshgrid(*self.axes, indexing="ij")
        return np.stack([z.ravel() for z in mesh], axis=-1)

    def block(self, start, stop):
        index = np.unravel_index(np.arange(start, stop), self.grid_shape)
        total = np.zeros((stop - start, *self.grid_shape))
        for k, c in enumerate(self.matrices):
            shape = [stop - start] + [1] * len(self.axes)
            shape[k + 1] = c.shape[1]
            total += c[index[k]].reshape(shape)
        return total.reshape(stop - start, -1)

    def spread(self):
        return float(sum(c.max() - c.min() for c in self.matrices))

    def __repr__(self):
        return f"Grid(shape={self.grid_shape}, cost={self.cost})"
