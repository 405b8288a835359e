"""Soft minimum and hard minimum of rows, dense and point cloud, by the online log-sum-exp."""

from __future__ import annotations

import math

import numpy as np

from .policy import kernel
from .rows import cost_buffer, cost_tile, open_row, shape, tile_size, touch
from .vector_math import exp2


@kernel
def row_softmin(rows, i, h2, inv2, costs, exponents):
    tile = tile_size(rows)
    """(max, sum): ``sum 2**(h2_j - C_ij * inv2 - max)`` over row i in one read, tile by tile."""
    m = shape(rows)[1]
    top = -math.inf
    total = 0.0
    scale = h2.dtype.type(inv2)
    for start in range(0, m, tile):
        stop = min(m, start + tile)
        c = cost_tile(rows, i, start, stop, costs)
        h = h2[start:stop]
        t = exponents[: stop - start]
        tile_top = h2.dtype.type(-np.inf)
        for j in range(stop - start):
            t[j] = h[j] - c[j] * scale
            tile_top = max(tile_top, t[j])
        if tile_top == -np.inf:
            continue
        if tile_top > top:
            total *= 2.0 ** (top - tile_top) if top > -np.inf else 0.0
            top = tile_top
        level = h2.dtype.type(top)
        part = h2.dtype.type(0)
        for j in range(stop - start):
            part += exp2(t[j] - level)
        total += part
    return top, total


@kernel
def softmin_blocks(rows, h2, inv2, bounds, first, last, out):
    """Base-2 soft minimum ``-(max + log2 sum)`` of the rows of blocks ``first:last``; ``+inf`` if empty."""
    n, m = shape(rows)
    tile = tile_size(rows)
    costs = cost_buffer(rows, h2)
    exponents = np.empty(tile, h2.dtype)
    for i in range(bounds[first], bounds[last]):
        open_row(rows, i, bounds[first], bounds[last], costs)
        for start in range(0, m, tile):
            touch(rows, min(i + 1, n - 1), start, min(m, start + tile))
        top, total = row_softmin(rows, i, h2, inv2, costs, exponents)
        out[i] = -(top + math.log2(total)) if total > 0.0 else math.inf


#: Parts of a row whose minima are taken side by side.
LANES = 32


@kernel
def least_reduced(c, g, lanes, reduced):
    """``min_j c_j - g_j`` of a tile, and all of them in `reduced`.

    A single running minimum is not vectorised, because it would have to be reordered, and costs 2 ns per pair. One
    for each of the places of `lanes` is.
    """
    size = g.size
    lanes[:] = math.inf
    for j in range(size):
        reduced[j] = c[j] - g[j]
    full = size - size % LANES
    for start in range(0, full, LANES):
        part = reduced[start : start + LANES]
        for k in range(LANES):
            lanes[k] = part[k] if part[k] < lanes[k] else lanes[k]
    low = math.inf
    for k in range(LANES):
        low = min(low, lanes[k])
    for j in range(full, size):
        low = min(low, reduced[j])
    return low


@kernel
def hardmin_blocks(rows, g, bounds, first, last, out):
    """``min_j C_ij - g_j`` of the rows of blocks ``first:last``."""
    n, m = shape(rows)
    tile = tile_size(rows)
    costs = cost_buffer(rows, g)
    reduced = np.empty(tile)
    lanes = np.empty(LANES)
    for i in range(bounds[first], bounds[last]):
        open_row(rows, i, bounds[first], bounds[last], costs)
        low = math.inf
        for start in range(0, m, tile):
            stop = min(m, start + tile)
            touch(rows, min(i + 1, n - 1), start, stop)
            c = cost_tile(rows, i, start, stop, costs)
            low = min(low, least_reduced(c, g[start:stop], lanes, reduced))
        out[i] = low


@kernel
def cost_statistics_blocks(rows, bounds, first, last, out):
    """Per block (min, max, sum, count) over finite costs, into ``out[block]``."""
    n, m = shape(rows)
    tile = tile_size(rows)
    costs = cost_buffer(rows, out)
    for block in range(first, last):
        low, high, total, count = math.inf, -math.inf, 0.0, 0
        for i in range(bounds[block], bounds[block + 1]):
            open_row(rows, i, bounds[block], bounds[block + 1], costs)
            for start in range(0, m, tile):
                stop = min(m, start + tile)
                touch(rows, min(i + 1, n - 1), start, stop)
                c = cost_tile(rows, i, start, stop, costs)
                part = 0.0
                number = 0
                for j in range(stop - start):
                    value = float(c[j])
                    finite = value < math.inf
                    part += value if finite else 0.0
                    number += 1 if finite else 0
                    low = min(low, value)
                    high = max(high, value if finite else -math.inf)
                total += part
                count += number
        out[block, 0] = low
        out[block, 1] = high
        out[block, 2] = total
        out[block, 3] = count
