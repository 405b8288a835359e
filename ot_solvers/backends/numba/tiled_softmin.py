"""Soft and hard minima of point clouds in tiles: the tiles that cannot matter are left out."""

from __future__ import annotations

import math

import numpy as np

from .policy import kernel
from .rows import cost_buffer, cost_tile, shape
from .softmin import LANES, least_reduced
from .tiled_rows import RUN, TILE, near_runs, nearest_costs
from .vector_math import exp2


@kernel
def run_exponents(rows, i, start, stop, h2, scale, costs, out):
    """``h2_j - C_ij scale`` of columns ``start:stop`` into `out`; the largest."""
    c = cost_tile(rows, i, start, stop, costs)
    h = h2[start:stop]
    top = h2.dtype.type(-np.inf)
    for j in range(stop - start):
        out[j] = h[j] - c[j] * scale
        top = max(top, out[j])
    return top


@kernel
def tiled_row_softmin(rows, i, h2, top_h2, scale, least, nearest, runs, costs, exponents):
    """(max, sum): ``sum 2**(h2_j - C_ij scale - max)`` over row i, but for a negligible share."""
    number = h2.dtype.type
    zero = number(0)
    best = 0
    bound = number(-np.inf)
    for t in range(nearest.size):
        promise = top_h2[t] - nearest[t] * scale
        if promise > bound:
            bound = promise
            best = t
    if bound == -np.inf:
        return -math.inf, 0.0
    m = shape(rows)[1]
    top = run_exponents(rows, i, best * TILE, min(m, best * TILE + TILE), h2, scale, costs, exponents)
    level = max(top, number(-1e30))
    total = 0.0
    count = near_runs(rows, nearest, top_h2, zero, scale, level + least, runs)
    for k in range(count):
        start, stop = runs[k, 0], runs[k, 1]
        run_top = run_exponents(rows, i, start, stop, h2, scale, costs, exponents)
        if run_top > level:
            total *= 2.0 ** float(level - run_top)
            level = run_top
        part = zero
        for j in range(stop - start):
            part += exp2(exponents[j] - level)
        total += part
    return float(level), total


@kernel
def tiled_softmin_blocks(rows, h2, top_h2, inv2, least, bounds, first, last, out):
    """Base-2 soft minimum of the rows of blocks ``first:last``; see `softmin.softmin_blocks`."""
    tiles = top_h2.size
    nearest = np.empty(tiles, h2.dtype)
    runs = np.empty((tiles, 2), np.int64)
    costs = cost_buffer(rows, h2)
    exponents = np.empty(RUN, h2.dtype)
    scale = h2.dtype.type(inv2)
    limit = h2.dtype.type(least)
    for i in range(bounds[first], bounds[last]):
        nearest_costs(rows, i, nearest)
        top, total = tiled_row_softmin(rows, i, h2, top_h2, scale, limit, nearest, runs, costs, exponents)
        out[i] = -(top + math.log2(total)) if total > 0.0 else math.inf


@kernel
def promising_tile(nearest, top_g):
    """The tile that may have the smallest ``C_ij - g_j``."""
    best = 0
    for t in range(nearest.size):
        if nearest[t] - top_g[t] < nearest[best] - top_g[best]:
            best = t
    return best


@kernel
def tiled_hardmin_blocks(rows, g, top_g, bounds, first, last, out):
    """``min_j C_ij - g_j`` of the rows of blocks ``first:last``."""
    m = shape(rows)[1]
    tiles = top_g.size
    nearest = np.empty(tiles)
    costs = cost_buffer(rows, g)
    reduced = np.empty(TILE)
    lanes = np.empty(LANES)
    for i in range(bounds[first], bounds[last]):
        nearest_costs(rows, i, nearest)
        best = promising_tile(nearest, top_g)
        low = math.inf
        for k in range(-1, tiles):
            t = best if k < 0 else k
            if k == best or nearest[t] - top_g[t] > low:
                continue
            start = t * TILE
            stop = min(m, start + TILE)
            c = cost_tile(rows, i, start, stop, costs)
            low = min(low, least_reduced(c, g[start:stop], lanes, reduced))
        out[i] = low


@kernel
def tiled_top_k_blocks(rows, g, top_g, order, k, bounds, first, last, indices, values):
    """The k smallest ``C_ij - g_j`` of each row, in increasing order, ties by index in the caller's `order`."""
    m = shape(rows)[1]
    tiles = top_g.size
    nearest = np.empty(tiles)
    costs = cost_buffer(rows, g)
    reduced = np.empty(TILE)
    lanes = np.empty(LANES)
    for i in range(bounds[first], bounds[last]):
        nearest_costs(rows, i, nearest)
        best = promising_tile(nearest, top_g)
        value = values[i]
        index = indices[i]
        held = 0
        for at in range(-1, tiles):
            t = best if at < 0 else at
            if at == best or (held == k and nearest[t] - top_g[t] > value[k - 1]):
                continue
            start = t * TILE
            stop = min(m, start + TILE)
            c = cost_tile(rows, i, start, stop, costs)
            low = least_reduced(c, g[start:stop], lanes, reduced)
            if held == k and low > value[k - 1]:
                continue
            for j in range(stop - start):
                r = reduced[j]
                number = order[start + j]
                if held < k:
                    place = held
                    held += 1
                elif r < value[k - 1] or (r == value[k - 1] and number < index[k - 1]):
                    place = k - 1
                else:
                    continue
                while place > 0 and (
                    value[place - 1] > r or (value[place - 1] == r and index[place - 1] > number)
                ):
                    value[place] = value[place - 1]
                    index[place] = index[place - 1]
                    place -= 1
                value[place] = r
                index[place] = number
