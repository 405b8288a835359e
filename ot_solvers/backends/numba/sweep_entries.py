"""A sweep that also keeps the entries of the plan that matter, in the same read of the cost."""

from __future__ import annotations

import numpy as np

from .pattern import grown
from .policy import kernel
from .rows import cost_buffer, open_row, shape, tile_size
from .sweep import plan_weight, prox, row_update


@kernel
def sweep_entries_block(
    rows, f, h2, eps, shift, a, b, kind, rho, low, high, threshold, limit, start_row, stop_row, new_f, masses
):
    """`sweep_blocks` for one block, in float64: (entries per row, columns, values) of its plan rows.

    Kept are ``P_ij > threshold * min(a_i, b_j)``; beyond `limit` there are no entries, but the sweep goes on.
    """
    # `exp2_clamped` leaves 2**-1022 where there is nothing, at columns without weight too.
    nothing = 1e-300
    n, m = shape(rows)
    tile = tile_size(rows)
    costs = cost_buffer(rows, h2)
    exponents = np.empty(tile)
    row = np.empty(m)
    masses[:] = 0.0
    counts = np.zeros(stop_row - start_row, np.int64)
    indices = np.empty(64 + 16 * (stop_row - start_row), np.int32)
    data = np.empty(indices.size)
    used = 0
    full = False
    for i in range(start_row, stop_row):
        open_row(rows, i, start_row, stop_row, costs)
        total, s = row_update(rows, i, f[i], h2, eps, tile, low, high, costs, exponents, row)
        if not total > 0.0:
            new_f[i] = 0.0
            continue
        s += shift
        potential = prox(kind, rho, s, eps)
        new_f[i] = s if kind == 3 else potential
        weight = plan_weight(kind, a[i] / total, potential, s, eps)
        if not weight > 0.0:
            continue
        before = used
        least = nothing * weight
        for start in range(0, m, tile):
            stop = min(m, start + tile)
            p = row[start:stop]
            columns = masses[start:stop]
            partners = b[start:stop]
            hits = 0
            for j in range(stop - start):
                p[j] *= weight
                columns[j] += p[j]
                hits += 1 if p[j] > max(threshold * min(a[i], partners[j]), least) else 0
            if hits == 0 or full:
                continue
            if used + hits > limit:
                full = True
                continue
            if used + hits > indices.size:
                indices = grown(indices, used, used + hits)
                data = grown(data, used, used + hits)
            for j in range(stop - start):
                if p[j] > max(threshold * min(a[i], partners[j]), least):
                    indices[used] = start + j
                    data[used] = p[j]
                    used += 1
        counts[i - start_row] = used - before
    if full:
        return counts[:0], indices[:0], data[:0]
    return counts, indices[:used].copy(), data[:used].copy()
