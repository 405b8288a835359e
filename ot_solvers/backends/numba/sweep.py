"""The fused Sinkhorn iteration: one read of the cost, one exponential per pair."""

from __future__ import annotations

import math

import numpy as np

from .policy import kernel
from .rows import cost_buffer, cost_tile, open_row, shape, tile_size, touch
from .softmin import row_softmin
from .vector_math import LN2, LOG2E, exp2, exp2_clamped


@kernel
def prox(kind, rho, s, eps):
    """Scalar prox of the penalties of `ot_solvers.penalties`, by code."""
    if kind == 1:
        return s * (rho / (rho + eps))
    if kind == 2:
        return min(max(s, -rho), rho)
    if kind == 3:
        return min(s, rho)
    return s


@kernel
def row_update(rows, i, fi, h2, eps, tile, low, high, costs, exponents, row):
    """Exponentials of row i into `row`: (their sum, the soft minimum); the sum is 0 without any finite cost.

    With the current potential as shift, ``e_j = 2**(h2_j + (f_i - C_ij) * inv2)`` stays of the order of
    ``b_j`` near a fixed point: its sum updates f_i, and scaled by ``a_i / sum`` it *is* the plan row. A row
    whose sum leaves (low, high) is done again with the running maximum as shift.
    """
    n, m = shape(rows)
    number = h2.dtype.type
    inv2 = LOG2E / eps
    scale = number(inv2)
    following = min(i + 1, n - 1)
    total = 0.0
    for start in range(0, m, tile):
        stop = min(m, start + tile)
        touch(rows, following, start, stop)
        c = cost_tile(rows, i, start, stop, costs)
        h = h2[start:stop]
        e = row[start:stop]
        part = number(0)
        for j in range(stop - start):
            e[j] = exp2_clamped(h[j] + (fi - c[j]) * scale)
            part += e[j]
        total += part
    s = float(fi) - eps * LN2 * math.log2(total)
    if not (low < total < high):
        top, total = row_softmin(rows, i, h2, inv2, costs, exponents)
        if not total > 0.0:
            return 0.0, 0.0
        s = -eps * LN2 * (top + math.log2(total))
        level = number(top)
        for start in range(0, m, tile):
            stop = min(m, start + tile)
            c = cost_tile(rows, i, start, stop, costs)
            for j in range(stop - start):
                row[start + j] = exp2(h2[start + j] - c[j] * scale - level)
    return total, s


@kernel
def plan_weight(kind, weight, potential, s, eps):
    """What turns the exponentials of a row into its plan row."""
    if kind != 0:
        # A cut potential may be any way from s: a huge weight, never inf, which turns 0 into NaN.
        weight *= math.exp(min((potential - s) / eps, 700.0))
    return weight


@kernel
def sweep_blocks(rows, f, h2, eps, shift, a, kind, rho, low, high, bounds, first, last, new_f, column_mass):
    """Rows of blocks ``first:last``: new potentials, and their plan rows added to ``column_mass[block]``.

    ``f`` has the arithmetic's dtype and counts from ``shift``; the potentials that leave are float64, those of a
    capacity before the cut. Plan rows gather over 16 rows in the arithmetic's dtype and then in float64.
    """
    n, m = shape(rows)
    number = h2.dtype.type
    tile = tile_size(rows)
    costs = cost_buffer(rows, h2)
    exponents = np.empty(tile, h2.dtype)
    row = np.empty(m, h2.dtype)
    gathered = np.empty(m, h2.dtype)
    for block in range(first, last):
        masses = column_mass[block]
        masses[:] = 0.0
        gathered[:] = number(0)
        pending = 0
        unit = 1.0
        for i in range(bounds[block], bounds[block + 1]):
            open_row(rows, i, bounds[block], bounds[block + 1], costs)
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
            # Weights are counted in the unit of the first row of a group: no float32 underflow at small a.
            if pending == 0:
                unit = weight
            ratio = weight / unit
            if ratio > 1e12 or ratio < 1e-12:
                for j in range(m):
                    masses[j] += weight * float(row[j])
                continue
            factor = number(ratio)
            for j in range(m):
                gathered[j] += factor * row[j]
            pending += 1
            if pending == 16:
                for j in range(m):
                    masses[j] += unit * float(gathered[j])
                    gathered[j] = number(0)
                pending = 0
        if pending > 0:
            for j in range(m):
                masses[j] += unit * float(gathered[j])
