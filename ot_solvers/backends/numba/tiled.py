"""Primitives of large point clouds with few coordinates: pairs that are too far apart are not looked at."""

from __future__ import annotations

import numpy as np

from ..base import PlanStatistics
from .parallel import block_bounds, run
from .tiled_plan import tiled_plan_statistics_blocks, tiled_transport_blocks
from .tiled_rows import TiledCloud
from .tiled_softmin import tiled_hardmin_blocks, tiled_softmin_blocks, tiled_top_k_blocks
from .tiled_sweep import tiled_sweep_blocks
from .vector_math import LN2, LOG2E


def softmin(geometry, h, eps):
    cloud = TiledCloud(geometry, "float64")
    bounds = block_bounds(*geometry.shape)
    h2 = cloud.of_columns(h * LOG2E)
    top = cloud.highest(h2)
    out = np.empty(geometry.shape[0])
    run(
        lambda first, last: tiled_softmin_blocks(
            cloud.rows, h2, top, LOG2E / eps, cloud.least_of_row, bounds, first, last, out
        ),
        bounds.size - 1,
    )
    return cloud.rows_back(out) * (eps * LN2)


def sweep(geometry, f, h, eps, a, penalty, precision, log_b):
    cloud = TiledCloud(geometry, precision)
    n, m = geometry.shape
    bounds = block_bounds(n, m)
    with np.errstate(over="ignore"):  # such rows are done by their soft minimum
        h2 = cloud.of_columns((h * LOG2E).astype(precision, copy=False))
        start = np.full(n, -np.inf) if f is None else cloud.of_rows(f)
        start = start.astype(precision, copy=False)
    top = cloud.highest(h2)
    # Rows that start near their soft minimum have sums near 1 if weights have; else that counts too.
    log_sum = float(np.logaddexp.reduce(log_b))
    top_g = cloud.highest(cloud.of_columns(_less(h, log_b) * LOG2E).astype(precision))
    least = cloud.least - max(log_sum, 0.0) * LOG2E
    weights = cloud.of_rows(a)
    new_f = np.empty(n)
    masses = np.empty((bounds.size - 1, m))
    run(
        lambda first, last: tiled_sweep_blocks(
            cloud.rows, start, h2, top, top_g, float(eps), least, cloud.least_of_row, weights,
            penalty.kind, penalty.rho, bounds, first, last, new_f, masses,
        ),
        bounds.size - 1,
    )  # fmt: skip
    return cloud.rows_back(new_f), cloud.columns_back(masses.sum(0))


def hardmin(geometry, g):
    cloud = TiledCloud(geometry, "float64")
    bounds = block_bounds(*geometry.shape)
    potential = cloud.of_columns(g)
    top = cloud.highest(potential)
    out = np.empty(geometry.shape[0])
    run(
        lambda first, last: tiled_hardmin_blocks(cloud.rows, potential, top, bounds, first, last, out),
        bounds.size - 1,
    )
    return cloud.rows_back(out)


def top_k(geometry, g, k):
    cloud = TiledCloud(geometry, "float64")
    n, m = geometry.shape
    bounds = block_bounds(n, m)
    potential = cloud.of_columns(g)
    top = cloud.highest(potential)
    order = cloud.y_tiles.order
    indices, values = np.empty((n, k), dtype=np.int64), np.empty((n, k))
    run(
        lambda first, last: tiled_top_k_blocks(
            cloud.rows, potential, top, order, k, bounds, first, last, indices, values
        ),
        bounds.size - 1,
    )
    return cloud.rows_back(indices), cloud.rows_back(values)


def transport(plan, v):
    cloud = TiledCloud(plan.geometry, "float64")
    bounds = block_bounds(*plan.geometry.shape)
    f, h2, top, weights = _of_plan(cloud, plan)
    columns = np.ascontiguousarray(cloud.of_columns(v.T), dtype=np.float64)
    out = np.empty((f.size, v.shape[1]))
    run(
        lambda first, last: tiled_transport_blocks(
            cloud.rows, f, h2, top, LOG2E / plan.eps, cloud.least, weights, columns, bounds, first, last, out
        ),
        bounds.size - 1,
    )
    return cloud.rows_back(out)


def plan_statistics(plan):
    cloud = TiledCloud(plan.geometry, "float64")
    n, m = plan.geometry.shape
    bounds = block_bounds(n, m)
    f, h2, top, weights = _of_plan(cloud, plan)
    row_mass, row_cost = np.empty(n), np.empty(n)
    columns = np.empty((bounds.size - 1, m))
    run(
        lambda first, last: tiled_plan_statistics_blocks(
            cloud.rows, f, h2, top, LOG2E / plan.eps, cloud.least, weights,
            bounds, first, last, row_mass, row_cost, columns,
        ),
        bounds.size - 1,
    )  # fmt: skip
    return PlanStatistics(cloud.rows_back(row_mass), cloud.columns_back(columns.sum(0)), cloud.rows_back(row_cost))


def _of_plan(cloud: TiledCloud, plan):
    """(f, h2, largest dimensionless g of every tile, a) of a Gibbs plan, potentials centred as in `GibbsPlan`."""
    h = plan.h_centred
    with np.errstate(divide="ignore"):
        top = cloud.highest(cloud.of_columns(_less(h, np.log(plan.b)) * LOG2E))
    return cloud.of_rows(plan.f_centred), cloud.of_columns(h * LOG2E), top, cloud.of_rows(plan.a)


def _less(h, log_b):
    """``h - log_b``, ``-inf`` where there is no weight."""
    live = h > -np.inf
    return np.where(live, h - np.where(live, log_b, 0.0), -np.inf)
