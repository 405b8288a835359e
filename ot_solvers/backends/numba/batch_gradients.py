"""Derivatives of the costs of many small plans by the points of both sides."""

from __future__ import annotations

import math

import numpy as np

from ...geometry.stack import CloudStack
from ...plans.stack import GibbsStack
from .batch_primitives import aim_of, arrays_of, places_of
from .cost_kernels import cost_kernel, cost_name
from .policy import kernel
from .rows import coordinate_slope, radial, writable_view
from .stacks import over_blocks
from .vector_math import LOG2E, exp2

__all__ = ["gradients_of"]


@kernel
def gradients_of_plans(
    name, numbers, x, y, x_starts, y_starts, costs, a, b, f, g, at, aim, begin, end, rows, columns, by_x, by_y
):
    """``sum_j P_ij d c(x_i, y_j) / d x_i`` and ``sum_i P_ij d c(x_i, y_j) / d y_j`` of problems ``begin:end``.

    For symmetric costs; points are prepared. Results of problem k begin at ``rows[k]`` and ``columns[k]``.
    """
    cost = cost_kernel(name, numbers)
    d = x.shape[1]
    most = 1
    for k in range(begin, end):
        most = max(most, at.m[k])
    h2 = np.empty(most)
    p = np.empty(most)
    # One coordinate of all points beside each other, as the inner loop reads them.
    targets = np.empty((d, most))
    slopes = np.empty((d, most))
    for k in range(begin, end):
        n = at.n[k]
        m = at.m[k]
        C = costs[at.costs[k] : at.costs[k] + n * m].reshape(n, m)
        inv2 = LOG2E / aim.eps[k]
        for j in range(m):
            weight = b[at.b[k] + j]
            h2[j] = math.log2(weight) + g[at.g[k] + j] * inv2 if weight > 0.0 else -math.inf
            h2[j] += aim.log_mass[k] * LOG2E
            for axis in range(d):
                targets[axis, j] = y[y_starts[k] + j, axis]
                slopes[axis, j] = 0.0
        for i in range(n):
            c = C[i]
            fi = f[at.f[k] + i]
            weight = a[at.a[k] + i]
            if not weight > 0.0:
                by_x[rows[k] + i] = 0.0
                continue
            for j in range(m):
                p[j] = weight * exp2(min((fi - c[j]) * inv2 + h2[j], 1023.0)) * radial(cost, c[j])
            for axis in range(d):
                u = x[x_starts[k] + i, axis]
                v = targets[axis]
                back = slopes[axis]
                total = 0.0
                for j in range(m):
                    total += p[j] * coordinate_slope(cost, c[j], u, v[j])
                    back[j] += p[j] * coordinate_slope(cost, c[j], v[j], u)
                by_x[rows[k] + i, axis] = total
        for j in range(m):
            for axis in range(d):
                by_y[columns[k] + j, axis] = slopes[axis, j]


def gradients_of(plans: GibbsStack) -> tuple[np.ndarray, np.ndarray]:
    """See `Backend.batch_cost_gradients`; of problems between points, for symmetric costs with a kernel."""
    stack = plans.stack
    assert isinstance(stack, CloudStack)
    cost = stack.cost
    raw = stack.x.astype(np.float64), stack.y.astype(np.float64)
    x, y = (np.ascontiguousarray(cost.prepare(z, np)) for z in raw)
    record = cost.kernel(np.float64, x.shape[1])
    rows, columns = np.cumsum(stack.n) - stack.n, np.cumsum(stack.m) - stack.m
    by_x, by_y = np.empty((int(stack.n.sum()), x.shape[1])), np.empty((int(stack.m.sum()), x.shape[1]))
    aim, arrays = aim_of(plans), arrays_of(plans)
    fixed = cost_name(record.__class__), tuple(record), writable_view(x), writable_view(y)
    starts_of = stack.x_starts, stack.y_starts

    def work(costs, starts, begin, end):
        gradients_of_plans(
            *fixed,
            *starts_of,
            costs,
            *arrays,
            places_of(plans, starts),
            aim,
            begin,
            end,
            rows,
            columns,
            by_x,
            by_y,
        )

    over_blocks(stack, work)
    places = (
        np.repeat(first - first_out, sizes) + np.arange(int(sizes.sum()))
        for first, first_out, sizes in ((starts_of[0], rows, stack.n), (starts_of[1], columns, stack.m))
    )
    points = (z[place] for z, place in zip(raw, places))
    sides = [cost.pullback(z, gradient) for z, gradient in zip(points, (by_x, by_y))]
    return sides[0], sides[1]
