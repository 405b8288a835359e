"""Points onto directions and back: one row per direction, tiles of points that stay in the first-level cache."""

from __future__ import annotations

import numpy as np

from .policy import kernel

__all__ = ["add_outer", "project_rows", "sum_points"]

#: Numbers of a tile of points, and bounds of its width.
TILE, NARROWEST, WIDEST = 1 << 12, 32, 512


@kernel
def tile_width(d):
    return min(WIDEST, max(NARROWEST, TILE // d))


@kernel
def open_tile(points, centre, start, stop, tile):
    """``tile`` (d, width) receives the coordinates of the points from `start` on, seen from the centre."""
    for i in range(start, stop):
        for k in range(points.shape[1]):
            tile[k, i - start] = points[i, k] - centre[k]


@kernel
def project_rows(points, centre, directions, out):
    """``out[r, i]`` = direction r times (point i - centre).

    Parameters
    ----------
    points : (n, d) float32 or float64
    centre : (d,) like `points`
    directions : (l, d) like `points`
    out : (l, n) like `points`
    """
    n, d = points.shape
    width = tile_width(d)
    tile = np.empty((d, width), points.dtype)
    for start in range(0, n, width):
        stop = min(n, start + width)
        open_tile(points, centre, start, stop, tile)
        for r in range(directions.shape[0]):
            combine(directions[r], tile, out[r, start:stop])


@kernel
def combine(weights, tile, out):
    """``out = weights @ tile``, four rows at a time."""
    d = weights.size
    head = d % 4
    if head == 0:
        out[:] = 0
    else:
        w0 = weights[0]
        for t in range(out.size):
            out[t] = w0 * tile[0, t]
        for k in range(1, head):
            w0 = weights[k]
            for t in range(out.size):
                out[t] += w0 * tile[k, t]
    for k in range(head, d, 4):
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for t in range(out.size):
            out[t] += (w0 * tile[k, t] + w1 * tile[k + 1, t]) + (w2 * tile[k + 2, t] + w3 * tile[k + 3, t])


@kernel
def add_outer(slopes, directions, out):
    """``out[i]`` += sum over r of ``slopes[r, i]`` times direction r.

    Parameters
    ----------
    slopes : (l, n) float32 or float64
    directions : (l, d) like `slopes`
    out : (n, d) float64
    """
    d = directions.shape[1]
    n = slopes.shape[1]
    width = tile_width(d)
    columns = np.ascontiguousarray(directions.T)
    tile = np.empty(width, slopes.dtype)
    for start in range(0, n, width):
        stop = min(n, start + width)
        for k in range(d):
            combine(columns[k], slopes[:, start:stop], tile[: stop - start])
            for i in range(start, stop):
                out[i, k] += tile[i - start]


@kernel
def sum_points(slopes, points, centre, out):
    """``out[r]`` += sum over i of ``slopes[r, i]`` times (point i - centre); (l, d) float64."""
    n, d = points.shape
    width = tile_width(d)
    tile = np.empty((d, width), points.dtype)
    for start in range(0, n, width):
        stop = min(n, start + width)
        open_tile(points, centre, start, stop, tile)
        for r in range(slopes.shape[0]):
            s = slopes[r, start:stop]
            for k in range(d):
                total = 0.0
                for t in range(stop - start):
                    total += s[t] * tile[k, t]
                out[r, k] += total
