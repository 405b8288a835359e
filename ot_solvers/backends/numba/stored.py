"""Sinkhorn on a stored kernel ``K = exp((f0 + g0 - C) / eps)``: one read per iteration, no exponential."""

from __future__ import annotations

import math

from .policy import kernel
from .rows import cost_buffer, cost_tile, open_row, shape, tile_size, touch
from .sweep import prox
from .vector_math import exp2


@kernel
def absorb_blocks(rows, f2, g2, inv2, bounds, first, last, K):
    """``K_ij = 2**(f2_i + g2_j - C_ij * inv2)``, summed as ``(f2_i - C_ij * inv2) + g2_j``."""
    n, m = shape(rows)
    tile = tile_size(rows)
    costs = cost_buffer(rows, g2)
    for i in range(bounds[first], bounds[last]):
        open_row(rows, i, bounds[first], bounds[last], costs)
        for start in range(0, m, tile):
            stop = min(m, start + tile)
            touch(rows, min(i + 1, n - 1), start, stop)
            c = cost_tile(rows, i, start, stop, costs)
            g = g2[start:stop]
            out = K[i, start:stop]
            for j in range(stop - start):
                # A huge exponent only says "absorb again": the caller looks at the potentials.
                out[j] = exp2(min((f2[i] - c[j] * inv2) + g[j], 1000.0))


@kernel
def row_scaling(f0, a, i, total, eps, kind, rho, new_f):
    """Set ``new_f[i]`` from the row sum and return the row's scaling ``a_i exp((f_i - f0_i) / eps)``."""
    if kind == 3 and a[i] > 0.0 and not total > 1e-200:
        new_f[i] = f0[i] + 460.0 * eps  # at least
        return 0.0
    if not total > 0.0:
        new_f[i] = 0.0
        return 0.0
    s = f0[i] - eps * math.log(total)
    potential = prox(kind, rho, s, eps)
    new_f[i] = s if kind == 3 else potential
    return a[i] / total * math.exp((potential - s) / eps)


@kernel
def row_matters(f0, a, i, total, eps, kind, rho):
    """The row sum, or 1 where a tiny one is no reason to stop."""
    # Without weight there may be no allowed pair at all. A row cut at its capacity may be far from everything:
    # what it moves is next to nothing, whatever the sum is.
    if not a[i] > 0.0 or (kind == 3 and f0[i] + 400.0 * eps > rho and not total > 1e-200):
        return 1.0
    return total


@kernel
def scale_blocks(K, f0, v, eps, a, kind, rho, bounds, first, last, new_f, column_sum):
    """Scaling iteration over the rows of blocks ``first:last``, four rows at a time.

    ``s_i = f0_i - eps log sum_j K_ij v_j``; then ``column_sum[block] += u_i K_ij`` with
    ``u_i = a_i exp((f_i - f0_i) / eps)``. Returns False as soon as a sum leaves the safe range.

    Four rows share one read of `v` and one read and write of the column sums, and their second use comes
    from cache (measured 0.25 ns per pair against 0.33 for two rows; here the hardware prefetches well).
    """
    m = K.shape[1]
    for block in range(first, last):
        sums = column_sum[block]
        sums[:] = 0.0
        end = bounds[block + 1]
        for i in range(bounds[block], end, 4):
            # The last group repeats its last row, with scaling 0.
            i1 = min(i + 1, end - 1)
            i2 = min(i + 2, end - 1)
            i3 = min(i + 3, end - 1)
            k0 = K[i]
            k1 = K[i1]
            k2 = K[i2]
            k3 = K[i3]
            p = 0.0
            q = 0.0
            r = 0.0
            s = 0.0
            for j in range(m):
                w = v[j]
                p += k0[j] * w
                q += k1[j] * w
                r += k2[j] * w
                s += k3[j] * w
            low = min(
                min(row_matters(f0, a, i, p, eps, kind, rho), row_matters(f0, a, i1, q, eps, kind, rho)),
                min(row_matters(f0, a, i2, r, eps, kind, rho), row_matters(f0, a, i3, s, eps, kind, rho)),
            )
            high = max(max(p, q), max(r, s))
            if not (low > 1e-200 and high < 1e200):
                return False
            u0 = row_scaling(f0, a, i, p, eps, kind, rho, new_f)
            u1 = row_scaling(f0, a, i1, q, eps, kind, rho, new_f) if i1 > i else 0.0
            u2 = row_scaling(f0, a, i2, r, eps, kind, rho, new_f) if i2 > i1 else 0.0
            u3 = row_scaling(f0, a, i3, s, eps, kind, rho, new_f) if i3 > i2 else 0.0
            for j in range(m):
                sums[j] += u0 * k0[j] + u1 * k1[j] + u2 * k2[j] + u3 * k3[j]
    return True
