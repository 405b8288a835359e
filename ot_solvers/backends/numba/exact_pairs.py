"""Exact transport of many small problems between point clouds, each inside one kernel call."""

from __future__ import annotations

import math

import numpy as np

from .network_simplex import run_simplex
from .policy import kernel
from .rows import pair_cost
from .spanning_tree import ARC, ARTIFICIAL, COLUMNS, hang, price_tree, span

#: Units of mass in the total; see `transport_simplex`.
_UNITS = 1 << 60
#: Pivots of one problem: strongly feasible bases end by themselves, far below.
_MOST = 1 << 40


@kernel
def live_points(weights, start, stop):
    """Numbers of the points with weight, and their weights."""
    count = 0
    for k in range(start, stop):
        count += 1 if weights[k] > 0.0 else 0
    points = np.empty(count, np.int64)
    mass = np.empty(count)
    place = 0
    for k in range(start, stop):
        if weights[k] > 0.0:
            points[place] = k
            mass[place] = weights[k]
            place += 1
    return points, mass


@kernel
def fill_units(mass, out):
    """Masses in units of their sum over `_UNITS`, at least one each; returns their sum."""
    total = 0.0
    for k in range(mass.size):
        total += mass[k]
    units = 0
    for k in range(mass.size):
        out[k] = max(1, round(mass[k] / total * _UNITS))
        units += out[k]
    return units


@kernel
def largest(values):
    """Where the largest value is."""
    place = 0
    for k in range(values.size):
        if values[k] > values[place]:
            place = k
    return place


@kernel
def exact_cost(rows, x, a, y, b):
    """Least cost of transport between points ``x`` with masses a and ``y`` with masses b, of equal sums."""
    n = x.size
    m = y.size
    source = np.empty(n * m, np.int32)
    sink = np.empty(n * m, np.int32)
    cost = np.empty(n * m)
    level = np.empty(n + m)
    # Every point at its cheapest pair: arcs of a first basis, and first potentials.
    order = np.empty(n + m, np.int64)
    size = 0.0
    for i in range(n):
        best = i * m
        for j in range(m):
            e = i * m + j
            source[e] = i
            sink[e] = n + j
            cost[e] = pair_cost(rows, x[i], y[j])
            size = max(size, abs(cost[e]))
            if cost[e] < cost[best]:
                best = e
        level[i] = cost[best]
        order[m + i] = best
    for j in range(m):
        best = j
        least = math.inf
        for i in range(n):
            reduced = cost[i * m + j] - level[i]
            if reduced < least:
                least = reduced
                best = i * m + j
        level[n + j] = -least
        order[j] = best
    mass = np.empty(n + m, np.int64)
    excess = fill_units(a, mass[:n]) - fill_units(b, mass[n:])
    if excess > 0:
        mass[n + largest(mass[n:])] += excess
    else:
        mass[largest(mass[:n])] -= excess
    tree = np.empty((n + m + 1, COLUMNS), np.int32)
    flow = np.zeros(n + m + 1, np.int64)
    potential = np.zeros(n + m + 1)
    hang(tree, flow, source, sink, span(source, sink, order, n + m), mass, n)
    # All pairs are allowed: at this price no mass is left without a way.
    penalty = 4.0 * size
    price_tree(tree, cost, level, penalty, potential)
    state = np.zeros(3, np.int64)
    block = max(10, int(2.0 * math.sqrt(n * m)))
    run_simplex(tree, flow, potential, n, source, sink, cost, level, penalty, state, block, _MOST)
    total = 0.0
    for k in range(n):
        total += a[k]
    value = 0.0
    for v in range(n + m):
        if tree[v, ARC] != ARTIFICIAL:
            value += float(flow[v]) * cost[tree[v, ARC]]
    return value * (total / _UNITS)


@kernel
def exact_pairs(rows, weights, starts, first, second, begin, end, values):
    """Least costs between measures ``first[k]`` and ``second[k]``, for k in ``begin:end``."""
    for k in range(begin, end):
        x, a = live_points(weights, starts[first[k]], starts[first[k] + 1])
        y, b = live_points(weights, starts[second[k]], starts[second[k] + 1])
        values[k] = exact_cost(rows, x, a, y, b)
