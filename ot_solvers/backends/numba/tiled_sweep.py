"""The fused Sinkhorn iteration on point clouds in tiles; see `sweep` for the plain one."""

from __future__ import annotations

import math

import numpy as np

from .policy import kernel
from .rows import cost_buffer, cost_tile, shape
from .sweep import plan_weight, prox
from .tiled_rows import RUN, near_runs, nearest_costs
from .tiled_softmin import tiled_row_softmin
from .vector_math import LN2, LOG2E, exp2_clamped

#: Sums of a row in between are near enough to 1 for what was left out to be negligible.
NEAR_ONE = (0.1, 1e3)


@kernel
def near_exponentials(rows, i, fi, h2, scale, runs, count, costs, row):
    """``2**(h2_j + (f_i - C_ij) scale)`` of some ranges of columns, one after the other into `row`; their sum."""
    number = h2.dtype.type
    total = 0.0
    at = 0
    for k in range(count):
        start, stop = runs[k, 0], runs[k, 1]
        c = cost_tile(rows, i, start, stop, costs)
        h = h2[start:stop]
        e = row[at : at + stop - start]
        at += stop - start
        part = number(0)
        for j in range(stop - start):
            e[j] = exp2_clamped(h[j] + (fi - c[j]) * scale)
            part += e[j]
        total += part
    return total


@kernel
def tiled_sweep_blocks(
    rows, f, h2, top_h2, top_g2, eps, least, least_of_row, a, kind, rho, bounds, first, last, new_f, column_mass
):
    """Rows of blocks ``first:last``: new potentials, and their plan rows added to ``column_mass[block]``.

    ``top_h2`` and ``top_g2`` are the largest values of every tile, with the weights and without.
    """
    m = shape(rows)[1]
    number = h2.dtype.type
    scale = number(LOG2E / eps)
    limit = number(least)
    row_limit = number(least_of_row)
    tiles = top_h2.size
    nearest = np.empty(tiles, h2.dtype)
    runs = np.empty((tiles, 2), np.int64)
    costs = cost_buffer(rows, h2)
    exponents = np.empty(RUN, h2.dtype)
    row = np.empty(m, h2.dtype)
    for block in range(first, last):
        masses = column_mass[block]
        masses[:] = 0.0
        for i in range(bounds[block], bounds[block + 1]):
            nearest_costs(rows, i, nearest)
            fi = f[i]
            total = 0.0
            count = 0
            if fi > -np.inf:
                count = near_runs(rows, nearest, top_g2, fi, scale, limit, runs)
                total = near_exponentials(rows, i, fi, h2, scale, runs, count, costs, row)
            if not (NEAR_ONE[0] < total < NEAR_ONE[1]):
                top, mass = tiled_row_softmin(
                    rows, i, h2, top_h2, scale, row_limit, nearest, runs, costs, exponents
                )
                if not mass > 0.0:
                    new_f[i] = 0.0
                    continue
                fi = number(-eps * LN2 * (top + math.log2(mass)))
                count = near_runs(rows, nearest, top_g2, fi, scale, limit, runs)
                total = near_exponentials(rows, i, fi, h2, scale, runs, count, costs, row)
            s = float(fi) - eps * LN2 * math.log2(total)
            potential = prox(kind, rho, s, eps)
            new_f[i] = s if kind == 3 else potential
            weight = plan_weight(kind, a[i] / total, potential, s, eps)
            if not weight > 0.0:
                continue
            at = 0
            for k in range(count):
                start, stop = runs[k, 0], runs[k, 1]
                e = row[at : at + stop - start]
                at += stop - start
                columns = masses[start:stop]
                for j in range(stop - start):
                    columns[j] += weight * float(e[j])
