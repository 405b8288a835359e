"""The CPU backend: turns primitives into kernel calls over blocks of rows."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...geometry import DenseGeometry, Grid, PointCloud, SparseGeometry
from ...penalties import Capacity
from ...plans.gibbs import GibbsPlan
from ...threads import get_num_threads
from .. import blockwise
from ..base import (
    Backend,
    BatchOutcome,
    CostStatistics,
    ExactBatch,
    PlanStatistics,
    Projection,
    SweptEntries,
)
from . import batch_primitives, tiled
from . import grid as grid_primitives
from . import pattern as pattern_kernels
from . import plan as plan_kernels
from . import small as small_kernels
from . import softmin as softmin_kernels
from . import sparse as sparse_primitives
from . import stored as stored_kernels
from . import sweep as sweep_kernels
from .assignment import assign_problems
from .batch_gradients import gradients_of
from .cost_kernels import cost_name
from .elimination import BipartiteElimination
from .exact_pairs import exact_pairs_of_points, exact_pairs_of_rows
from .pairs import pair_costs
from .parallel import block_bounds, run
from .projection import Asked, Made, project_blocks
from .rows import row_source
from .sliced import NumbaLines
from .stacks import readable
from .sweep_entries import sweep_entries_block as sweep_entries_kernel
from .tiled_rows import MASS_FLOOR, TiledCloud
from .transport_simplex import TransportSimplex
from .vector_math import LN2, LOG2E

__all__ = ["NumbaBackend"]

#: Sums of a row outside this range are computed again with the running maximum as shift.
_SAFE_RANGE = {"float64": (1e-250, 1e250), "float32": (1e-18, 1e18)}

_ROW_PRIMITIVES = frozenset(
    {
        "softmin",
        "sweep",
        "hardmin",
        "cost_statistics",
        "transport",
        "plan_statistics",
        "rounded_objective",
        "plan_rows",
        "plan_pattern",
        "sparsify",
        "top_k",
        "project",
        "pair_costs",
        "solve_small",
        "solve_batch",
    }
)
_PRIMITIVES = {
    "dense": _ROW_PRIMITIVES | {"absorb", "sweep_entries"},
    "point_cloud": _ROW_PRIMITIVES | {"cost_gradient", "sweep_entries"},
    "grid": grid_primitives.PRIMITIVES,
    "sparse": sparse_primitives.PRIMITIVES,
}
#: Largest problem (pairs) whose whole solve runs inside one kernel.
SMALL_PAIRS = 1 << 13
#: Largest stored kernel, in bytes: beyond it, or beyond half of the free memory, sweeps stay in log domain.
STORED_BYTES = 8 << 30


class NumbaBackend(NumbaLines, Backend):
    """NumPy arrays, all cores, compiled kernels with a disk cache."""

    name = "numba"

    def primitives(self, geometry_kind):
        return _PRIMITIVES.get(geometry_kind, frozenset())

    def pass_seconds(self, geometry, entries=False):
        n, m = geometry.shape
        if isinstance(geometry, SparseGeometry):
            work = 3e-9 * geometry.matrix.nnz
        elif isinstance(geometry, Grid) and not entries:
            work = 2e-9 * n * sum(geometry.grid_shape)
        else:
            work = (0.5e-9 + 0.06e-9 * (geometry.depth if geometry.depth > 1 else 0)) * n * m
        return 4e-5 + work / min(get_num_threads(), block_bounds(n, m).size - 1)

    # --- reductions over the cost ------------------------------------------------------------------------

    def softmin(self, geometry, h, eps):
        if isinstance(geometry, Grid):
            return grid_primitives.softmin(geometry, h, eps)
        if isinstance(geometry, SparseGeometry):
            return sparse_primitives.softmin(geometry, h, eps)
        rows, shift = row_source(geometry, "float64")
        if rows is None:
            return _generic_softmin(self, geometry, h, eps)
        if TiledCloud.suits(geometry):
            return tiled.softmin(geometry, h, eps)
        n, m = geometry.shape
        bounds = block_bounds(n, m)
        out = np.empty(n)
        h2 = h * LOG2E
        run(
            lambda first, last: softmin_kernels.softmin_blocks(rows, h2, LOG2E / eps, bounds, first, last, out),
            bounds.size - 1,
        )
        out *= eps * LN2
        out += shift
        return out

    def mass_floor(self, geometry, precision="float64"):
        return MASS_FLOOR[precision] if TiledCloud.suits(geometry) else super().mass_floor(geometry, precision)

    def sweep(self, geometry, f, h, eps, a, penalty, precision="float64", log_b=None):
        if isinstance(geometry, Grid):
            return grid_primitives.sweep(geometry, h, eps, a, penalty)
        if isinstance(geometry, SparseGeometry):
            return sparse_primitives.sweep(geometry, h, eps, a, penalty)
        rows, shift = row_source(geometry, precision)
        if rows is None:
            return super().sweep(geometry, f, h, eps, a, penalty)
        if log_b is not None and TiledCloud.suits(geometry):
            return tiled.sweep(geometry, f, h, eps, a, penalty, precision, log_b)
        n, m = geometry.shape
        bounds = block_bounds(n, m)
        low, high = _SAFE_RANGE[precision]
        # Overflowing casts only make a row leave the safe range.
        with np.errstate(over="ignore"):
            h2 = (h * LOG2E).astype(precision, copy=False)
            # Without a shift every sum underflows, which sends each row to its running maximum.
            start = np.full(n, -np.inf) if f is None else (f - shift if shift else f)
            start = start.astype(precision, copy=False)
        new_f = np.empty(n)
        masses = np.empty((bounds.size - 1, m))
        kind, rho = penalty.kind, penalty.rho
        eps = float(eps)
        run(
            lambda first, last: sweep_kernels.sweep_blocks(
                rows, start, h2, eps, shift, a, kind, rho, low, high, bounds, first, last, new_f, masses
            ),
            bounds.size - 1,
        )
        return new_f, masses[0] if len(masses) == 1 else masses.sum(0)

    def sweep_entries(self, plan, f, penalty, threshold, limit):
        geometry = plan.geometry
        if isinstance(geometry, Grid | SparseGeometry):
            return SweptEntries(*blockwise.sweep_entries(self, plan, f, penalty, threshold, limit))
        rows, shift = row_source(geometry, "float64")
        if rows is None:
            return super().sweep_entries(plan, f, penalty, threshold, limit)
        n, m = geometry.shape
        bounds = block_bounds(n, m)
        low, high = _SAFE_RANGE["float64"]
        start = np.full(n, -np.inf) if f is None else (f - shift if shift else f)
        h2 = plan.h * LOG2E
        new_f = np.empty(n)
        masses = np.empty((bounds.size - 1, m))
        parts: list[Any] = [None] * (bounds.size - 1)

        def work(first, last):
            for k in range(first, last):
                parts[k] = sweep_entries_kernel(
                    rows, start, h2, float(plan.eps), shift, plan.a, plan.b, penalty.kind, penalty.rho, low, high,
                    threshold, limit, bounds[k], bounds[k + 1], new_f, masses[k],
                )  # fmt: skip

        run(work, bounds.size - 1)
        return SweptEntries(new_f, masses.sum(0), _joined(parts, n, limit), 1)

    def absorb(self, plan, precision="float64"):
        geometry = plan.geometry
        if not isinstance(geometry, DenseGeometry):
            return None
        n, m = geometry.shape
        size = n * m * np.dtype(precision).itemsize
        if size > min(STORED_BYTES, _free_memory() // 2):
            return None
        return StoredKernel(plan, precision)

    def hardmin(self, geometry, g):
        if isinstance(geometry, Grid):
            return grid_primitives.hardmin(geometry, g)
        if isinstance(geometry, SparseGeometry):
            return sparse_primitives.hardmin(geometry, g)
        rows, shift = row_source(geometry, "float64")
        if rows is None:
            return super().hardmin(geometry, g)
        if TiledCloud.suits(geometry):
            return tiled.hardmin(geometry, g)
        bounds = block_bounds(*geometry.shape)
        out = np.empty(geometry.shape[0])
        run(
            lambda first, last: softmin_kernels.hardmin_blocks(rows, g, bounds, first, last, out),
            bounds.size - 1,
        )
        return out + shift

    def cost_statistics(self, geometry):
        if isinstance(geometry, Grid):
            return CostStatistics(*grid_primitives.cost_statistics(geometry))
        if isinstance(geometry, SparseGeometry):
            return CostStatistics(*sparse_primitives.cost_statistics(geometry))
        rows, shift = row_source(geometry, "float64")
        if rows is None:
            return super().cost_statistics(geometry)
        bounds = block_bounds(*geometry.shape)
        out = np.empty((bounds.size - 1, 4))
        run(
            lambda first, last: softmin_kernels.cost_statistics_blocks(rows, bounds, first, last, out),
            bounds.size - 1,
        )
        count = int(out[:, 3].sum())
        mean = out[:, 2].sum() / count + shift if count else math.nan
        return CostStatistics(out[:, 0].min() + shift, out[:, 1].max() + shift, mean, count)

    def top_k(self, geometry, h, eps, k):
        if isinstance(geometry, SparseGeometry):
            return sparse_primitives.top_k(geometry, h, eps, k)
        if isinstance(geometry, Grid):
            geometry = _grid_cloud(geometry)
        rows, shift = row_source(geometry, "float64")
        if rows is None:
            return super().top_k(geometry, h, eps, k)
        if TiledCloud.suits(geometry):
            return tiled.top_k(geometry, eps * h, k)
        n, m = geometry.shape
        bounds = block_bounds(n, m)
        indices, values = np.empty((n, k), dtype=np.int64), np.empty((n, k))
        g = eps * h
        run(
            lambda first, last: plan_kernels.top_k_blocks(rows, g, k, bounds, first, last, indices, values),
            bounds.size - 1,
        )
        return indices, values + shift

    def project(self, geometry, g, gamma, a, most=None, f=None, starts=None):
        if isinstance(geometry, Grid):
            geometry = _grid_cloud(geometry)
        n, m = geometry.shape
        everything = isinstance(geometry, SparseGeometry)
        rows, shift = (None, 0.0) if everything else row_source(geometry, "float64")
        if rows is None and not everything:
            return super().project(geometry, g, gamma, a, most, f, starts)
        starts = np.zeros(n + 1, dtype=np.int64) if starts is None else starts
        bounds = sparse_primitives.bounds_of(geometry) if everything else block_bounds(n, m)
        asked = Asked(
            g,
            float(gamma),
            a,
            np.full(n, m) if most is None else np.ascontiguousarray(most, dtype=np.int64),
            f is not None,
        )
        made = Made(
            np.empty(n) if f is None else np.array(f, dtype=np.float64),
            np.empty(n, dtype=np.int64),
            np.empty(n),
            np.empty((bounds.size - 1, m)),
            starts,
            np.empty(starts[-1], dtype=np.int64),
            np.empty(starts[-1]),
        )
        if everything:
            sparse_primitives.project(geometry, asked, made)
        else:
            run(lambda first, last: project_blocks(rows, asked, shift, bounds, first, last, made), bounds.size - 1)
        return Projection(made.f, made.count, made.square, made.column_mass.sum(0), made.indices, made.masses)

    def pair_costs(self, geometry, rows, columns):
        if isinstance(geometry, Grid):
            return grid_primitives.pair_costs(geometry, rows, columns)
        if isinstance(geometry, SparseGeometry):
            return sparse_primitives.pair_costs(geometry, rows, columns)
        source, _ = row_source(geometry, "float64")
        if source is None:
            return super().pair_costs(geometry, rows, columns)
        out = np.empty(rows.size)
        pair_costs(source, rows.astype(np.int64, copy=False), columns.astype(np.int64, copy=False), out)
        return out

    # --- passes over a plan --------------------------------------------------------------------------------

    def transport(self, plan, v):
        if isinstance(plan.geometry, Grid):
            return grid_primitives.transport(plan, v)
        if isinstance(plan.geometry, SparseGeometry):
            return sparse_primitives.plan_matrix(plan) @ v
        source = _PlanSource.of(plan)
        if source is None:
            return super().transport(plan, v)
        if TiledCloud.suits(plan.geometry):
            return tiled.transport(plan, v)
        out = np.empty((plan.f.size, v.shape[1]))
        columns = np.ascontiguousarray(v.T, dtype=np.float64)
        bounds = source.bounds
        run(
            lambda first, last: plan_kernels.transport_blocks(
                source.rows, source.f, source.h2, source.inv2, plan.a, columns, bounds, first, last, out
            ),
            bounds.size - 1,
        )
        return out

    def plan_statistics(self, plan):
        if isinstance(plan.geometry, Grid):
            return PlanStatistics(*grid_primitives.plan_statistics(plan))
        if isinstance(plan.geometry, SparseGeometry):
            return PlanStatistics(*sparse_primitives.plan_statistics(plan))
        source = _PlanSource.of(plan)
        if source is None:
            return super().plan_statistics(plan)
        if TiledCloud.suits(plan.geometry):
            return tiled.plan_statistics(plan)
        n, m = plan.geometry.shape
        bounds = source.bounds
        row_mass, row_cost = np.empty(n), np.empty(n)
        columns = np.empty((bounds.size - 1, m))
        run(
            lambda first, last: plan_kernels.plan_statistics_blocks(
                source.rows, source.f, source.h2, source.inv2, source.shift, plan.a,
                bounds, first, last, row_mass, row_cost, columns,
            ),
            bounds.size - 1,
        )  # fmt: skip
        return PlanStatistics(row_mass, columns.sum(0), row_cost)

    def rounded_objective(self, plan, row_scale, column_scale, u, v):
        if isinstance(plan.geometry, SparseGeometry):
            return sparse_primitives.rounded_objective(plan, row_scale, column_scale, u, v)
        source = _PlanSource.of(plan)
        if source is None:
            return super().rounded_objective(plan, row_scale, column_scale, u, v)
        bounds = source.bounds
        out = np.empty((bounds.size - 1, 2))
        run(
            lambda first, last: plan_kernels.rounded_objective_blocks(
                source.rows, source.f, source.h2, source.inv2, source.shift, plan.a, plan.b,
                row_scale, column_scale, u, v, bounds, first, last, out,
            ),
            bounds.size - 1,
        )  # fmt: skip
        linear, entropy = out.sum(0)
        return float(linear), float(entropy)

    def plan_rows(self, plan, start, stop):
        if isinstance(plan.geometry, SparseGeometry):
            return sparse_primitives.plan_matrix(plan)[start:stop].toarray()
        source = _PlanSource.of(plan)
        if source is None:
            return super().plan_rows(plan, start, stop)
        m = plan.geometry.shape[1]
        out = np.empty((stop - start, m))
        bounds = start + block_bounds(stop - start, m)
        run(
            lambda first, last: plan_kernels.plan_rows_block(
                source.rows, source.f, source.h2, source.inv2, plan.a, bounds[first], bounds[last],
                out[bounds[first] - start : bounds[last] - start],
            ),
            bounds.size - 1,
        )  # fmt: skip
        return out

    def plan_pattern(self, plan, threshold, limit):
        if isinstance(plan.geometry, SparseGeometry):
            return sparse_primitives.plan_pattern(plan, threshold, limit)
        source = _PlanSource.of(plan)
        if source is None:
            return super().plan_pattern(plan, threshold, limit)
        bounds = source.bounds
        blocks = bounds.size - 1
        parts: list[Any] = [None] * blocks

        # Every block may use what the rest does not: blocks that give up are few and cheap.
        def find(first, last):
            for k in range(first, last):
                parts[k] = pattern_kernels.pattern_block(
                    source.rows, source.f, source.h2, source.inv2, plan.a, plan.b, threshold, limit,
                    bounds[k], bounds[k + 1],
                )  # fmt: skip

        run(find, blocks)
        return _joined(parts, bounds[-1], limit)

    def bipartite_solver(self, P, a, b, core):
        return BipartiteElimination(P, a, b, core)

    def transport_simplex(self, a, b, rows, columns, costs, order, f, g):
        return TransportSimplex(a, b, rows, columns, costs, order, f, g)

    def exact_pairs(self, geometry, weights, starts, first, second):
        starts, first, second = (np.ascontiguousarray(index, dtype=np.int64) for index in (starts, first, second))
        source: tuple
        if isinstance(geometry, PointCloud):
            x, y = (np.ascontiguousarray(z, dtype=np.float64) for z in geometry.prepared)
            record = geometry.cost.kernel(np.float64, x.shape[1])
            kernel = exact_pairs_of_points
            source = () if record is None else (cost_name(record.__class__), tuple(record), x, y)
        else:
            rows, _ = row_source(geometry, "float64")
            kernel = exact_pairs_of_rows
            source = () if rows is None else (rows,)
        if not source:
            return super().exact_pairs(geometry, weights, starts, first, second)
        values = np.empty(first.size)
        run(lambda begin, end: kernel(*source, weights, starts, first, second, begin, end, values), first.size)
        return values

    def assignments(self, costs):
        costs = np.ascontiguousarray(costs)
        columns = np.empty(costs.shape[:2], dtype=np.int64)
        potentials = np.empty(costs.shape[:2])
        run(lambda begin, end: assign_problems(costs, begin, end, columns, potentials), len(costs))
        return columns

    def sparsify(self, plan, dropped):
        if isinstance(plan.geometry, SparseGeometry):
            return sparse_primitives.sparsify(plan, dropped)
        source = _PlanSource.of(plan)
        if source is None:
            return super().sparsify(plan, dropped)
        n = plan.geometry.shape[0]
        bounds = source.bounds
        thresholds, counts = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        arguments = (source.rows, source.f, source.h2, source.inv2, plan.a)
        run(
            lambda first, last: plan_kernels.sparsify_count(
                *arguments, dropped, bounds, first, last, thresholds, counts
            ),
            bounds.size - 1,
        )
        indptr = np.concatenate([[0], np.cumsum(counts)])
        indices, data = np.empty(indptr[-1], dtype=np.int64), np.empty(indptr[-1])
        run(
            lambda first, last: plan_kernels.sparsify_fill(
                *arguments, thresholds, indptr, bounds, first, last, indices, data
            ),
            bounds.size - 1,
        )
        return indptr, indices, data

    def cost_gradient(self, plan):
        source = _PlanSource.of(plan)
        if source is None:
            return super().cost_gradient(plan)
        x = plan.geometry.x
        out = np.empty(plan.geometry.prepared[0].shape)
        bounds = source.bounds
        run(
            lambda first, last: plan_kernels.cost_gradient_blocks(
                source.rows, source.f, source.h2, source.inv2, plan.a, bounds, first, last, out
            ),
            bounds.size - 1,
        )
        return plan.geometry.cost.pullback(x.astype(np.float64), out)

    def solve_small(self, geometry, a, b, g, levels, penalties, log_mass, tol, sweeps, max_iter, memory):
        n, m = geometry.shape
        if n * m > SMALL_PAIRS or n * m * geometry.depth > 1 << 20:
            return None
        if isinstance(geometry, Grid | SparseGeometry):
            return None
        C = np.ascontiguousarray(geometry.block(0, n))
        shift = geometry.shift if isinstance(geometry, DenseGeometry) else 0.0
        if shift:
            C = C - shift
        f, g = np.zeros(n), g.copy()
        errors = np.empty(max_iter)
        pa, pb = penalties
        if shift and not pa.hard:
            return None  # the prox of a soft side is not invariant under shifts
        iterations = small_kernels.solve_small(
            C, a, b, f, g, levels, sweeps, log_mass, pa.kind, pa.rho, pb.kind, pb.rho, tol, max_iter, memory,
            errors,
        )  # fmt: skip
        return f + shift, g, errors[:iterations]

    # --- many problems ----------------------------------------------------------------------------------------

    def stack_statistics(self, stack):
        if not readable(stack):
            return super().stack_statistics(stack)
        return batch_primitives.statistics_of_stack(stack)

    def solve_batch(self, plans, start, tol, penalties, max_iter):
        if not readable(plans.stack):
            return super().solve_batch(plans, start, tol, penalties, max_iter)
        return BatchOutcome(*batch_primitives.solve(plans, start, tol, penalties, max_iter))

    def batch_statistics(self, plans):
        if not readable(plans.stack):
            return super().batch_statistics(plans)
        return PlanStatistics(*batch_primitives.statistics_of(plans))

    def batch_cost_gradients(self, plans):
        if not (readable(plans.stack) and plans.stack.cost.symmetric):
            return super().batch_cost_gradients(plans)
        return gradients_of(plans)

    def batch_plans(self, plans, scale):
        if not readable(plans.stack):
            return super().batch_plans(plans, scale)
        return batch_primitives.plans_of(plans, scale)

    def exact_batch(self, plans):
        return ExactBatch(*batch_primitives.exact_batch(plans)) if readable(plans.stack) else None


def _joined(parts, n, limit):
    """CSR parts from those of blocks; None if a block has given up, or there are more than `limit` entries."""
    counts, indices, data = (np.concatenate([part[k] for part in parts]) for k in range(3))
    if counts.size < n or counts.sum() > limit:
        return None
    return np.concatenate([[0], np.cumsum(counts)]), indices, data


class StoredKernel:
    """``K = exp((f0 + g0 - C) / eps)`` in memory; see `Backend.absorb`."""

    #: Largest change of a potential, in units of eps, before K is computed anew.
    REACH = 80.0

    def __init__(self, plan, precision):
        source = _PlanSource.of(plan)
        assert source is not None  # dense
        n, m = plan.geometry.shape
        self.f0, self.g0, self.eps = plan.f, plan.g, plan.eps
        self.log_mass = plan.log_mass
        self.bounds = source.bounds
        self.K = np.empty((n, m), dtype=precision)
        f2 = source.f * source.inv2
        g2 = (plan.g - plan.centre) * source.inv2
        run(
            lambda first, last: stored_kernels.absorb_blocks(
                source.rows, f2, g2, source.inv2, self.bounds, first, last, self.K
            ),
            self.bounds.size - 1,
        )

    def sweep(self, g, b, a, penalty):
        """(f, column masses) at column potentials `g`, or None where K must be absorbed again."""
        move = (g - self.g0) / self.eps
        live = b > 0
        if np.abs(move[live]).max() > self.REACH:
            return None
        v = np.where(live, b, 0.0) * np.exp(np.where(live, move, 0.0) + self.log_mass)
        new_f = np.empty(a.size)
        sums = np.empty((self.bounds.size - 1, b.size))
        fine: list[bool] = []
        run(
            lambda first, last: fine.append(
                stored_kernels.scale_blocks(
                    self.K, self.f0, v, self.eps, a, penalty.kind, penalty.rho,
                    self.bounds, first, last, new_f, sums,
                )
            ),
            self.bounds.size - 1,
        )  # fmt: skip
        reached = penalty.prox(new_f, self.eps) if isinstance(penalty, Capacity) else new_f
        if not all(fine) or np.abs(reached - self.f0).max() > self.REACH * self.eps:
            return None
        with np.errstate(invalid="ignore"):  # inf * 0 at extreme masses: a lost column, as the caller sees it
            return new_f, v * (sums[0] if len(sums) == 1 else sums.sum(0))


class _PlanSource(NamedTuple):
    """What plan kernels read: rows, potentials counted from the shift of the costs, base-2 exponents."""

    rows: Any
    shift: float
    f: np.ndarray
    h2: np.ndarray
    inv2: float
    bounds: np.ndarray

    @classmethod
    def of(cls, plan: GibbsPlan) -> _PlanSource | None:
        geometry = plan.geometry
        if isinstance(geometry, Grid):
            # Entries of the plan, not sums over it: the points of the grid as a cloud.
            geometry = _grid_cloud(geometry)
        rows, shift = row_source(geometry, "float64")
        if rows is None:
            return None
        f = plan.f + (plan.centre - shift)  # in this order: sums of numbers of one size are exact
        return cls(rows, shift, f, plan.h_centred * LOG2E, LOG2E / plan.eps, block_bounds(*geometry.shape))


def _grid_cloud(grid):
    base = grid if grid._of is None else grid._of
    cloud = PointCloud(base.points, base.points, base.cost)
    return cloud if grid is base else cloud.T


def _generic_softmin(backend, geometry, h, eps):
    backend._warn("softmin", geometry)
    return blockwise.softmin(geometry, h, eps)


def _free_memory() -> int:
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return 4 << 30
