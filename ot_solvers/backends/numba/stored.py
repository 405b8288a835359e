"""Sinkhorn on a stored kernel ``K = exp((f0 + g0 - C) / eps)``: one read per iteration, no exponential."""

from __future__ import annotations

import math

from .policy import kernel
from .rows import TILE, cost_buffer, cost_tile, open_row, shape, tile_size, touch
from .sweep import prox
from .vector_math import exp2, prefetch


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
def scale_blocks(K, f0, v, eps, a, kind, rho, bounds, first, last, new_f, column_sum):
    """Scaling iteration over the rows of blocks ``first:last``, two rows at a time.

    ``s_i = f0_i - eps log sum_j K_ij v_j``; then ``column_sum[block] += u_i K_ij`` with
    ``u_i = a_i exp((f_i - f0_i) / eps)``. Returns False as soon as a sum leaves the safe range.
    """
    m = K.shape[1]
    per_line = 64 // K.itemsize
    ok = True
    for block in range(first, last):
        sums = column_sum[block]
        sums[:] = 0.0
        end = bounds[block + 1]
        i = bounds[block]
        while i < end:
            other = min(i + 1, end - 1)
            ahead = min(i + 2, K.shape[0] - 1)
            beyond = min(i + 3, K.shape[0] - 1)
            p = 0.0
            q = 0.0
            for start in range(0, m, TILE):
                stop = min(m, start + TILE)
                for j in range(start, stop, per_line):
                    prefetch(K, ahead, j)
                    prefetch(K, beyond, j)
                k0 = K[i, start:stop]
                k1 = K[other, start:stop]
                w = v[start:stop]
                for j in range(stop - start):
                    p += k0[j] * w[j]
                    q += k1[j] * w[j]
            if not (1e-200 < p < 1e200 and 1e-200 < q < 1e200):
                return False
            s = f0[i] - eps * math.log(p)
            new_f[i] = prox(kind, rho, s, eps)
            u0 = a[i] / p * math.exp((new_f[i] - s) / eps)
            u1 = 0.0
            if other > i:
                s = f0[other] - eps * math.log(q)
                new_f[other] = prox(kind, rho, s, eps)
                u1 = a[other] / q * math.exp((new_f[other] - s) / eps)
            k0 = K[i]
            k1 = K[other]
            for j in range(m):
                sums[j] += u0 * k0[j] + u1 * k1[j]
            i += 2
    return ok
