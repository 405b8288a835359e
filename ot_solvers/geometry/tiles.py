"""Points in an order in which neighbours are near each other, cut into tiles with bounding boxes.

What a reader of many pairs skips: all points of a tile at once, where its box says that they are too far away.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Tiles", "tiles_of"]


class Tiles(NamedTuple):
    """Consecutive parts of equal size of points in a new order, and their boxes.

    Attributes
    ----------
    order : (n,) int64 array
        Numbers of the points; tile t has ``order[t * size : (t + 1) * size]``.
    size : int
    low, high : (d, T) arrays
        Corners of the boxes.
    """

    order: np.ndarray
    size: int
    low: np.ndarray
    high: np.ndarray


def tiles_of(points: np.ndarray, size: int) -> Tiles:
    """Halve the points along the longest side of their box until `size` are left.

    Parameters
    ----------
    points : (n, d) array
    size : int >= 1
        Points per tile; the last one may have fewer.
    """
    n = len(points)
    order = np.arange(n)
    parts = [(0, n)]
    while parts:
        first, last = parts.pop()
        tiles = -(-(last - first) // size)
        if tiles <= 1:
            continue
        part = order[first:last]
        z = points[part]
        axis = int(np.argmax(z.max(axis=0) - z.min(axis=0)))
        half = (tiles // 2) * size  # all tiles but the last one full
        order[first:last] = part[np.argpartition(z[:, axis], half)]
        parts += [(first, first + half), (first + half, last)]
    starts = np.arange(0, n, size)
    sorted_points = points[order]
    low, high = (
        np.ascontiguousarray(f.reduceat(sorted_points, starts, axis=0).T) for f in (np.minimum, np.maximum)
    )
    return Tiles(order, size, low, high)
