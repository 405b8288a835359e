"""Primitives of batches: kernels of `batch` and `batch_exact` over blocks of problems."""

from __future__ import annotations

import math

import numpy as np

from ...geometry.stack import Stack
from ...plans.stack import GibbsStack
from .batch import Aim, Problems, fill_plans, solve_some, statistics_of_costs, statistics_of_plans
from .batch_exact import exact_some
from .rows import writable_view
from .stacks import over_blocks

__all__ = [
    "aim_of",
    "arrays_of",
    "exact_batch",
    "places_of",
    "plans_of",
    "solve",
    "statistics_of",
    "statistics_of_stack",
]


def places_of(plans: GibbsStack, starts: np.ndarray) -> Problems:
    """Where kernels find what belongs to each problem; `starts` are those of the costs."""
    stack = plans.stack
    return Problems(starts, plans.a_starts, plans.b_starts, plans.f_starts, plans.g_starts, stack.n, stack.m)


def arrays_of(plans: GibbsStack):
    """Weights and potentials as kernels take them."""
    return writable_view(plans.a), writable_view(plans.b), plans.f, plans.g


def aim_of(plans: GibbsStack, start=None, tol=None, penalties=None, max_iter: int = 0) -> Aim:
    """Numbers of every problem as kernels take them."""
    nothing = np.zeros(len(plans))
    kinds = (0, math.inf, 0, math.inf)
    if penalties is not None:
        (first, second) = penalties
        kinds = first.kind, float(first.rho), second.kind, float(second.rho)
    return Aim(
        plans.eps,
        nothing if start is None else start,
        nothing if tol is None else tol,
        plans.log_mass,
        *kinds,
        max_iter,
    )


def statistics_of_stack(stack: Stack) -> np.ndarray:
    """See `Backend.stack_statistics`."""
    out = np.empty((len(stack), 4))
    nothing = np.zeros(len(stack), dtype=np.int64)
    places = Problems(nothing, nothing, nothing, nothing, nothing, stack.n, stack.m)

    def look(costs, starts, begin, end):
        statistics_of_costs(costs, places._replace(costs=starts), begin, end, out)

    over_blocks(stack, look)
    return out


def solve(plans: GibbsStack, start, tol, penalties, max_iter: int):
    """See `Backend.solve_batch`."""
    size = len(plans)
    codes, passes, errors = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size)
    aim = aim_of(plans, start, tol, penalties, max_iter)
    arrays = arrays_of(plans)

    def work(costs, starts, begin, end):
        solve_some(costs, *arrays, places_of(plans, starts), aim, begin, end, codes, passes, errors)

    over_blocks(plans.stack, work)
    return codes, passes, errors


def statistics_of(plans: GibbsStack):
    """See `Backend.batch_statistics`."""
    row_mass, row_cost, column_mass = np.zeros(plans.f.size), np.zeros(plans.f.size), np.zeros(plans.g.size)
    aim, arrays = aim_of(plans), arrays_of(plans)

    def work(costs, starts, begin, end):
        statistics_of_plans(
            costs, *arrays, places_of(plans, starts), aim, begin, end, row_mass, column_mass, row_cost
        )

    over_blocks(plans.stack, work)
    return row_mass, column_mass, row_cost


def plans_of(plans: GibbsStack, scale: np.ndarray) -> np.ndarray:
    """See `Backend.batch_plans`."""
    pairs = plans.stack.n * plans.stack.m
    out = np.empty(int(pairs.sum()))
    places = np.cumsum(pairs) - pairs
    aim, arrays = aim_of(plans), arrays_of(plans)
    scale = np.ascontiguousarray(scale, dtype=np.float64)

    def work(costs, starts, begin, end):
        fill_plans(costs, *arrays, places_of(plans, starts), aim, scale, places, begin, end, out)

    over_blocks(plans.stack, work)
    return out


def exact_batch(plans: GibbsStack):
    """See `Backend.exact_batch`."""
    stack = plans.stack
    size = len(plans)
    codes, counts = np.empty(size, np.int64), np.empty(size, np.int64)
    room = stack.n + stack.m
    entries = np.cumsum(room) - room
    total = int(room.sum())
    rows, columns, masses = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total)
    arrays = arrays_of(plans)

    def work(costs, starts, begin, end):
        exact_some(
            costs, *arrays, places_of(plans, starts), entries, begin, end, codes, counts, rows, columns, masses
        )

    over_blocks(stack, work)
    return codes, entries, counts, rows, columns, masses
