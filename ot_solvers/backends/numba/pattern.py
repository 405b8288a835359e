"""The entries of a plan that matter for one of its two points, in one read of the cost."""

from __future__ import annotations

import numpy as np

from .plan import plan_tile
from .policy import kernel
from .rows import cost_buffer, open_row, shape, tile_size, touch


@kernel
def grown(array, used, size):
    """`array` with room for at least `size`, its first `used` entries kept."""
    larger = np.empty(max(size, 2 * array.size), array.dtype)
    larger[:used] = array[:used]
    return larger


@kernel
def pattern_block(rows, f, h2, inv2, a, b, threshold, limit, start_row, stop_row):
    """Entries ``P_ij > threshold * min(a_i, b_j)`` of some rows as (entries per row, columns, values).

    Gives up (no rows) beyond `limit` entries.
    """
    n, m = shape(rows)
    tile = tile_size(rows)
    costs = cost_buffer(rows, h2)
    p = np.empty(tile)
    counts = np.zeros(stop_row - start_row, np.int64)
    indices = np.empty(64 + 16 * (stop_row - start_row), np.int32)
    data = np.empty(indices.size)
    used = 0
    for i in range(start_row, stop_row):
        weight = a[i]
        open_row(rows, i, start_row, stop_row, costs)
        before = used
        for start in range(0, m, tile):
            stop = min(m, start + tile)
            touch(rows, min(i + 1, n - 1), start, stop)
            plan_tile(rows, i, start, stop, f, h2, inv2, weight, costs, p)
            partners = b[start:stop]
            # Most tiles hold nothing: one vector pass says so.
            hits = 0
            for j in range(stop - start):
                hits += 1 if p[j] > threshold * min(weight, partners[j]) else 0
            if hits == 0:
                continue
            if used + hits > limit:
                return counts[:0], indices[:0], data[:0]
            if used + hits > indices.size:
                indices = grown(indices, used, used + hits)
                data = grown(data, used, used + hits)
            for j in range(stop - start):
                if p[j] > threshold * min(weight, partners[j]):
                    indices[used] = start + j
                    data[used] = p[j]
                    used += 1
        counts[i - start_row] = used - before
    return counts, indices[:used].copy(), data[:used].copy()
