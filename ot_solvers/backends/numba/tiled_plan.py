"""Passes over a Gibbs plan of point clouds in tiles; see `plan` for the plain ones."""

from __future__ import annotations

import numpy as np

from .plan import plan_tile
from .policy import kernel
from .rows import cost_buffer
from .tiled_rows import RUN, near_runs, nearest_costs


@kernel
def tiled_transport_blocks(rows, f, h2, top_h2, inv2, least, a, v, bounds, first, last, out):
    """``out[i, k] = sum_j P_ij v[k, j]`` for the rows of blocks ``first:last``; `v` is (k, m)."""
    width = v.shape[0]
    tiles = top_h2.size
    nearest = np.empty(tiles)
    runs = np.empty((tiles, 2), np.int64)
    costs = cost_buffer(rows, h2)
    p = np.empty(RUN)
    for i in range(bounds[first], bounds[last]):
        nearest_costs(rows, i, nearest)
        count = near_runs(rows, nearest, top_h2, f[i], inv2, least, runs)
        out[i] = 0.0
        for at in range(count):
            start, stop = runs[at, 0], runs[at, 1]
            plan_tile(rows, i, start, stop, f, h2, inv2, a[i], costs, p)
            for k in range(width):
                w = v[k, start:stop]
                total = 0.0
                for j in range(stop - start):
                    total += p[j] * w[j]
                out[i, k] += total


@kernel
def tiled_plan_statistics_blocks(
    rows, f, h2, top_h2, inv2, least, a, bounds, first, last, row_mass, row_cost, column_mass
):
    """Both marginals and row costs; column masses of each block apart."""
    tiles = top_h2.size
    nearest = np.empty(tiles)
    runs = np.empty((tiles, 2), np.int64)
    costs = cost_buffer(rows, h2)
    p = np.empty(RUN)
    for block in range(first, last):
        masses = column_mass[block]
        masses[:] = 0.0
        for i in range(bounds[block], bounds[block + 1]):
            nearest_costs(rows, i, nearest)
            count = near_runs(rows, nearest, top_h2, f[i], inv2, least, runs)
            mass = 0.0
            cost = 0.0
            for at in range(count):
                start, stop = runs[at, 0], runs[at, 1]
                c = plan_tile(rows, i, start, stop, f, h2, inv2, a[i], costs, p)
                columns = masses[start:stop]
                for j in range(stop - start):
                    columns[j] += p[j]
                    mass += p[j]
                    cost += p[j] * c[j]
            row_mass[i] = mass
            row_cost[i] = cost
