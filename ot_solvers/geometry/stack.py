"""The costs of many small problems: matrices one after another, or points one cloud after another."""

from __future__ import annotations

import numpy as np

from ..costs import Cost
from .base import Geometry
from .dense import DenseGeometry
from .point_cloud import PointCloud

__all__ = ["CloudStack", "DenseStack", "Stack"]


class Stack:
    """Costs of B problems, problem k of shape ``(n[k], m[k])``.

    Attributes
    ----------
    n, m : (B,) int64 arrays
    """

    n: np.ndarray
    m: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64: the precision of the costs."""
        raise NotImplementedError

    @property
    def depth(self) -> int:
        """Coordinates of points; 1 for matrices."""
        return 1

    def __len__(self) -> int:
        return self.n.size

    def geometry(self, k: int) -> Geometry:
        """The geometry of one problem; reads the caller's memory."""
        raise NotImplementedError

    def part(self, numbers: np.ndarray) -> Stack:
        """Some of the problems; reads the same memory."""
        raise NotImplementedError


class DenseStack(Stack):
    """Stored matrices.

    Parameters
    ----------
    flat : (N,) array of float32 or float64
        All entries, row-major, one matrix after another.
    starts : (B,) int64 array
        Where each matrix begins; equal starts share one matrix.
    n, m : (B,) int64 arrays
    """

    def __init__(self, flat: np.ndarray, starts: np.ndarray, n: np.ndarray, m: np.ndarray):
        self.flat, self.starts, self.n, self.m = flat, starts, n, m

    @property
    def dtype(self):
        return self.flat.dtype

    def matrix(self, k: int) -> np.ndarray:
        """(n, m) view."""
        n, m = int(self.n[k]), int(self.m[k])
        start = int(self.starts[k])
        return self.flat[start : start + n * m].reshape(n, m)

    def geometry(self, k):
        return DenseGeometry(self.matrix(k))

    def part(self, numbers):
        return DenseStack(self.flat, self.starts[numbers], self.n[numbers], self.m[numbers])


class CloudStack(Stack):
    """Point clouds with one cost.

    Parameters
    ----------
    x, y : (N, d), (M, d) arrays of one dtype
        All points, one cloud after another.
    x_starts, y_starts : (B,) int64 arrays
    n, m : (B,) int64 arrays
    cost : Cost
    """

    def __init__(self, x, y, x_starts, y_starts, n, m, cost: Cost):
        self.x, self.y, self.x_starts, self.y_starts = x, y, x_starts, y_starts
        self.n, self.m, self.cost = n, m, cost

    @property
    def dtype(self):
        return self.x.dtype

    @property
    def depth(self):
        return self.x.shape[1]

    def points(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(n, d) and (m, d) views."""
        i, j = int(self.x_starts[k]), int(self.y_starts[k])
        return self.x[i : i + int(self.n[k])], self.y[j : j + int(self.m[k])]

    def geometry(self, k):
        return PointCloud(*self.points(k), self.cost)

    def part(self, numbers):
        starts = self.x_starts[numbers], self.y_starts[numbers]
        return CloudStack(self.x, self.y, *starts, self.n[numbers], self.m[numbers], self.cost)
