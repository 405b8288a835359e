"""Passes over a Gibbs plan that is never stored: products, marginals, objectives, rows, gradients."""

from __future__ import annotations

import numpy as np

from .cost_kernels import cost_kernel
from .policy import kernel
from .rows import coordinate_slope, cost_buffer, cost_tile, open_row, radial, shape, tile_size, touch
from .softmin import LANES, least_reduced
from .vector_math import LN2, bits, exp2, log2


@kernel
def plan_tile(rows, i, start, stop, f, h2, inv2, weight, costs, out):
    """``P[i, start:stop]`` into `out`; returns the costs of the tile."""
    c = cost_tile(rows, i, start, stop, costs)
    fi = f[i]
    h = h2[start:stop]
    p = out[: stop - start]
    for j in range(stop - start):
        p[j] = weight * exp2(min(h[j] + (fi - c[j]) * inv2, 1000.0))
    return c


@kernel
def transport_blocks(rows, f, h2, inv2, a, v, bounds, first, last, out):
    """``out[i, k] = sum_j P_ij v[k, j]`` for the rows of blocks ``first:last``; `v` is (k, m)."""
    n, m = shape(rows)
    width = v.shape[0]
    tile = tile_size(rows)
    costs = cost_buffer(rows, h2)
    p = np.empty(tile)
    for i in range(bounds[first], bounds[last]):
        open_row(rows, i, bounds[first], bounds[last], costs)
        out[i] = 0.0
        for start in range(0, m, tile):
            stop = min(m, start + tile)
            touch(rows, min(i + 1, n - 1), start, stop)
            plan_tile(rows, i, start, stop, f, h2, inv2, a[i], costs, p)
            for k in range(width):
                w = v[k, start:stop]
                total = 0.0
                for j in range(stop - start):
                    total += p[j] * w[j]
                out[i, k] += total


@kernel
def plan_statistics_blocks(rows, f, h2, inv2, shift, a, bounds, first, last, row_mass, row_cost, column_mass):
    """Both marginals and row costs; column masses of each block apart."""
    n, m = shape(rows)
    tile = tile_size(rows)
    costs = cost_buffer(rows, h2)
    p = np.empty(tile)
    for block in range(first, last):
        masses = column_mass[block]
        masses[:] = 0.0
        for i in range(bounds[block], bounds[block + 1]):
            open_row(rows, i, bounds[block], bounds[block + 1], costs)
            mass = 0.0
            cost = 0.0
            for start in range(0, m, tile):
                stop = min(m, start + tile)
                touch(rows, min(i + 1, n - 1), start, stop)
                c = plan_tile(rows, i, start, stop, f, h2, inv2, a[i], costs, p)
                columns = masses[start:stop]
                part = 0.0
                part_cost = 0.0
                for j in range(stop - start):
                    columns[j] += p[j]
                    part += p[j]
                    # 0 * inf: a forbidden pair costs nothing because nothing goes there.
                    part_cost += p[j] * (c[j] if p[j] > 0.0 else 0.0)
                mass += part
                cost += part_cost
            row_mass[i] = mass
            row_cost[i] = cost + shift * mass


@kernel
def rounded_objective_blocks(rows, f, h2, inv2, shift, a, b, x, y, u, v, bounds, first, last, out):
    """(linear cost, entropy) of ``diag(x) P diag(y) + u v'`` per block, into ``out[block]``."""
    n, m = shape(rows)
    tile = tile_size(rows)
    costs = cost_buffer(rows, h2)
    p = np.empty(tile)
    for block in range(first, last):
        linear = 0.0
        entropy = 0.0
        for i in range(bounds[block], bounds[block + 1]):
            open_row(rows, i, bounds[block], bounds[block + 1], costs)
            for start in range(0, m, tile):
                stop = min(m, start + tile)
                touch(rows, min(i + 1, n - 1), start, stop)
                c = plan_tile(rows, i, start, stop, f, h2, inv2, a[i], costs, p)
                part = 0.0
                part_entropy = 0.0
                for j in range(stop - start):
                    q = p[j] * x[i] * y[start + j] + u[i] * v[start + j]
                    live = q > 0.0
                    part += q * (c[j] + shift if live else 0.0)
                    ratio = q / a[i] / b[start + j] if live else 1.0
                    # Weights above one may underflow it, where q is nothing: not 0 * log 0.
                    part_entropy += q * log2(max(ratio, 1e-300))
                linear += part
                entropy += part_entropy * LN2
        out[block, 0] = linear
        out[block, 1] = entropy


@kernel
def plan_rows_block(rows, f, h2, inv2, a, start_row, stop_row, out):
    """Dense rows ``start_row:stop_row`` of the plan."""
    m = shape(rows)[1]
    tile = tile_size(rows)
    costs = cost_buffer(rows, h2)
    for i in range(start_row, stop_row):
        open_row(rows, i, start_row, stop_row, costs)
        for start in range(0, m, tile):
            stop = min(m, start + tile)
            plan_tile(rows, i, start, stop, f, h2, inv2, a[i], costs, out[i - start_row, start:stop])


@kernel
def cost_gradient_blocks(rows, f, h2, inv2, a, bounds, first, last, out):
    """``out[i, k] = sum_j P_ij d c(x_i, y_j) / d x_ik`` in prepared coordinates (point clouds only)."""
    n, m = shape(rows)
    d = rows.x.shape[0]
    cost = cost_kernel(rows.name, rows.numbers)
    tile = tile_size(rows)
    costs = cost_buffer(rows, h2)
    p = np.empty(tile)
    for i in range(bounds[first], bounds[last]):
        open_row(rows, i, bounds[first], bounds[last], costs)
        out[i] = 0.0
        for start in range(0, m, tile):
            stop = min(m, start + tile)
            c = plan_tile(rows, i, start, stop, f, h2, inv2, a[i], costs, p)
            for j in range(stop - start):
                p[j] *= radial(cost, c[j])
            for k in range(d):
                u = rows.x[k, i]
                y = rows.y[k, start:stop]
                total = 0.0
                for j in range(stop - start):
                    total += p[j] * coordinate_slope(cost, c[j], u, y[j])
                out[i, k] += total


@kernel
def _bin(value, bins):
    # Exponent and three leading bits of the mantissa, straight from the representation: monotone.
    return min(max((bits(value) >> 49) - ((1023 - bins // 16) << 3), 0), bins - 1)


@kernel
def row_threshold(rows, i, f, h2, inv2, dropped, costs, p, histogram):
    """Smallest bin of entries to keep in row i, so that at most ``dropped`` of its mass goes.

    A histogram by exponent and three bits of mantissa replaces a sort: entries go bin by bin, so at most
    what was asked is dropped and up to one bin less. Bin k starts near 2**(k/8 - 256) times the row's weight.
    """
    m = shape(rows)[1]
    histogram[:] = 0.0
    mass = 0.0
    top = 0.0
    tile = tile_size(rows)
    for start in range(0, m, tile):
        stop = min(m, start + tile)
        plan_tile(rows, i, start, stop, f, h2, inv2, 1.0, costs, p)
        for j in range(stop - start):
            mass += p[j]
            top = max(top, p[j])
            if p[j] > 0.0:
                histogram[_bin(p[j], histogram.size)] += p[j]
    budget = dropped * mass
    gone = 0.0
    k = 0
    while k < histogram.size - 1 and gone + histogram[k] <= budget:
        gone += histogram[k]
        k += 1
    # Bins are monotone in the entry, so "bin >= k" keeps the largest entries whatever the rounding.
    while k > 0 and k > _bin(top, histogram.size):
        k -= 1
    return k


@kernel
def sparsify_count(rows, f, h2, inv2, a, dropped, bounds, first, last, thresholds, counts):
    """Threshold bin and number of kept entries of every row of blocks ``first:last``."""
    m = shape(rows)[1]
    tile = tile_size(rows)
    costs = cost_buffer(rows, h2)
    p = np.empty(tile)
    histogram = np.empty(4096)
    for i in range(bounds[first], bounds[last]):
        open_row(rows, i, bounds[first], bounds[last], costs)
        if not a[i] > 0.0:
            thresholds[i] = histogram.size
            counts[i] = 0
            continue
        k = row_threshold(rows, i, f, h2, inv2, dropped, costs, p, histogram)
        thresholds[i] = k
        number = 0
        for start in range(0, m, tile):
            stop = min(m, start + tile)
            plan_tile(rows, i, start, stop, f, h2, inv2, 1.0, costs, p)
            for j in range(stop - start):
                if p[j] > 0.0 and _bin(p[j], histogram.size) >= k:
                    number += 1
        counts[i] = number


@kernel
def sparsify_fill(rows, f, h2, inv2, a, thresholds, indptr, bounds, first, last, indices, data):
    """Write the entries that `sparsify_count` decided to keep."""
    m = shape(rows)[1]
    tile = tile_size(rows)
    costs = cost_buffer(rows, h2)
    p = np.empty(tile)
    for i in range(bounds[first], bounds[last]):
        open_row(rows, i, bounds[first], bounds[last], costs)
        at = indptr[i]
        end = indptr[i + 1]
        if at == end:
            continue
        for start in range(0, m, tile):
            stop = min(m, start + tile)
            plan_tile(rows, i, start, stop, f, h2, inv2, 1.0, costs, p)
            for j in range(stop - start):
                if p[j] > 0.0 and _bin(p[j], 4096) >= thresholds[i]:
                    indices[at] = start + j
                    data[at] = a[i] * p[j]
                    at += 1


@kernel
def top_k_blocks(rows, g, k, bounds, first, last, indices, values):
    """The k smallest ``C_ij - g_j`` of each row, in increasing order, ties by index."""
    m = shape(rows)[1]
    tile = tile_size(rows)
    costs = cost_buffer(rows, g)
    reduced = np.empty(tile)
    lanes = np.empty(LANES)
    for i in range(bounds[first], bounds[last]):
        open_row(rows, i, bounds[first], bounds[last], costs)
        value = values[i]
        index = indices[i]
        held = 0
        for start in range(0, m, tile):
            stop = min(m, start + tile)
            c = cost_tile(rows, i, start, stop, costs)
            low = least_reduced(c, g[start:stop], lanes, reduced)
            if held == k and not low < value[k - 1]:
                continue  # the usual case once the list is good: a tile costs one vector pass
            for j in range(stop - start):
                r = reduced[j]
                if held < k:
                    place = held
                    held += 1
                elif r < value[k - 1]:
                    place = k - 1
                else:
                    continue
                while place > 0 and value[place - 1] > r:
                    value[place] = value[place - 1]
                    index[place] = index[place - 1]
                    place -= 1
                value[place] = r
                index[place] = start + j
