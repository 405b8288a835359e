"""Exact transport of many small problems between point clouds, each inside one kernel call."""

from __future__ import annotations

import math

import numpy as np

from .network_simplex import TOLERANCE, pivot, unmet_mass
from .policy import kernel
from .rows import CloudRows, cost_buffer, cost_tile, open_row, pair_cost, tile_size
from .spanning_tree import ARC, ARTIFICIAL, COLUMNS, hang, price_tree, span
from .units import UNITS, fill_masses

#: What mass without a way costs at first, in typical smallest costs, and how much dearer it gets at a time.
FIRST_PRICE, DEARER = 30.0, 8.0
#: Potentials this many times the largest cost of the plan lose digits to it; costs are then cut off at this
#: multiple of it, and of that again, until they no longer are so large.
FAR = 1e4
CUT = 100.0
MOST_CUT = 1e6
#: Most pivots per point for what is next to nothing beside the largest cost.
LAST = 50
#: Columns are filled up to a multiple of this: loops over them have no rest.
LANES = 8
#: Share of the rows in which the entering pair is looked for.
ROWS_SHARE = 4


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
def cost_matrix(name, numbers, first, x, second, y, width):
    """Costs between points ``first[x]`` and ``second[y]``, (n, width) with ``+inf`` after the last column.

    Coordinates are gathered first: the collection is stored by point, and sums run along the columns.
    """
    d = first.shape[1]
    xs = np.empty((d, x.size))
    ys = np.zeros((d, width))
    for i in range(x.size):
        for k in range(d):
            xs[k, i] = first[x[i], k]
    for j in range(y.size):
        for k in range(d):
            ys[k, j] = second[y[j], k]
    rows = CloudRows(name, numbers, xs, ys)
    buffer = cost_buffer(rows, xs)
    tile = tile_size(rows)
    out = np.empty((x.size, width))
    for i in range(x.size):
        open_row(rows, i, 0, x.size, buffer)
        for start in range(0, width, tile):
            stop = min(width, start + tile)
            c = cost_tile(rows, i, start, stop, buffer)
            for j in range(stop - start):
                out[i, start + j] = c[j]
        out[i, y.size :] = math.inf
    return out


@kernel
def promise(c, v, s, floor):
    """Sum of the reduced costs ``c_j + v_j - s`` that are below `floor`: a sum is vectorised, a minimum is not."""
    total = 0.0
    for j in range(c.size):
        r = c[j] + v[j] - s
        total += r if r < floor else 0.0
    return total


@kernel
def entering_pair(cost, potential, at, count, floor):
    """(row, column, row to go on at): the most promising pair of the first `count` rows with one; -1 if none.

    Reduced costs count that are below `floor`, and below zero by more than the rounding of what they are made of.
    """
    n, width = cost.shape
    v = potential[n : n + width]
    row = at
    found = -1
    partner = -1
    best = floor
    left = n
    while left > 0:
        for _ in range(min(count, left)):
            s = potential[row]
            c = cost[row]
            if promise(c, v, s, best) < 0.0:
                for j in range(width):
                    r = c[j] + v[j] - s
                    if r < best and r < -TOLERANCE * max(abs(c[j]), max(abs(s), abs(v[j]))):
                        best = r
                        found = row
                        partner = j
            row = row + 1 if row + 1 < n else 0
        left -= count
        if found >= 0:
            break
    return found, partner, row


@kernel
def cheapest_pairs(cost, m, level, order):
    """Every point at its cheapest pair: first potentials, and these pairs in order; returns the largest |cost|."""
    n, width = cost.shape
    cheapest = np.full(m, math.inf)
    row_of = np.zeros(m, np.int64)
    size = 0.0
    for i in range(n):
        best = 0
        for j in range(m):
            size = max(size, abs(cost[i, j]))
            if cost[i, j] < cost[i, best]:
                best = j
        level[i] = cost[i, best]
        order[m + i] = i * width + best
        for j in range(m):
            if cost[i, j] - level[i] < cheapest[j]:
                cheapest[j] = cost[i, j] - level[i]
                row_of[j] = i
    for j in range(m):
        level[n + j] = -cheapest[j]
        order[j] = row_of[j] * width + j
    return size


@kernel
def pivot_to_the_end(tree, flow, potential, level, cost, penalty, size):
    """Pivot until no pair promises anything and no mass is left over; `size` is the largest cost."""
    n, width = cost.shape
    costs = cost.reshape(n * width)
    # All pairs are allowed: at four times the largest cost no mass is left without a way.
    dearest = 4.0 * size
    penalty = min(dearest, penalty)
    price_tree(tree, costs, level, penalty, potential)
    # Of the largest cost first, which passes over rounding without a second look; then of each pair.
    floor = -TOLERANCE * size
    fresh = True
    since = 0
    last = 0
    at = 0
    count = max(1, n // ROWS_SHARE)
    while True:
        i, j, at = entering_pair(cost, potential, at, count, floor)
        if i < 0:
            if fresh and unmet_mass(tree, flow) > 0 and penalty < dearest:
                penalty = min(dearest, max(DEARER * penalty, 1e-6 * size))
                price_tree(tree, costs, level, penalty, potential)
                continue
            if fresh and floor == 0.0:
                break
            if fresh:
                floor = 0.0
                continue
            price_tree(tree, costs, level, penalty, potential)
            fresh = True
            continue
        pivot(tree, flow, potential, n, costs, i, n + j, i * width + j)
        if floor == 0.0:  # a few are left; if they go on and on, they follow rounding
            last += 1
            if last > LAST * level.size:
                break
        fresh = False
        since += 1
        if since > level.size:
            price_tree(tree, costs, level, penalty, potential)
            since = 0


@kernel
def cost_of_flow(tree, flow, cost):
    """(cost in units of mass, largest |cost| that is used) of a basis."""
    n, width = cost.shape
    value = 0.0
    used = 0.0
    for v in range(tree.shape[0] - 1):
        e = tree[v, ARC]
        if e != ARTIFICIAL and flow[v] > 0:
            c = cost[e // width, e % width]
            value += float(flow[v]) * c
            used = max(used, abs(c))
    return value, used


@kernel
def all_pairs(n, width):
    """Sources and sinks of the pairs, in the order in which their costs are stored."""
    source = np.empty(n * width, np.int32)
    sink = np.empty(n * width, np.int32)
    for i in range(n):
        for j in range(width):
            source[i * width + j] = i
            sink[i * width + j] = n + j
    return source, sink


@kernel
def exact_cost(cost, m, a, b):
    """Least cost of transport between masses a and b of equal sums; `cost` is (n, width), see `cost_matrix`."""
    n, width = cost.shape
    source, sink = all_pairs(n, width)
    mass = np.empty(n + m, np.int64)
    total = a.sum()
    fill_masses(a, total, b, b.sum(), mass)
    level = np.empty(n + m)
    order = np.empty(n + m, np.int64)
    tree = np.empty((n + m + 1, COLUMNS), np.int32)
    flow = np.zeros(n + m + 1, np.int64)
    potential = np.zeros(n + width + 1)  # of columns that are not there too, and of the root where the tree ends
    best = math.inf
    cut = CUT
    costs = cost
    while True:
        size = cheapest_pairs(costs, m, level, order)
        hang(tree, flow, source, sink, span(source, sink, order, n + m), mass, n)
        # What the root takes is priced near the costs that matter: one huge cost must not take their digits.
        penalty = FIRST_PRICE * np.abs(level).sum() / (n + m)
        pivot_to_the_end(tree, flow, potential, level, costs, penalty, size)
        value, used = cost_of_flow(tree, flow, cost)
        best = min(best, value)
        # The tree may run along huge costs, with no mass, and potentials then have no digits left: once more with
        # all costs cut off, far above the largest that is used. As long as the plan uses none of those, it costs
        # what it costs there, and there is no cheaper one for larger costs.
        if cut > MOST_CUT or not np.abs(potential[: n + m]).max() > FAR * used:
            break
        costs = np.empty((n, width))
        for i in range(n):
            for j in range(width):
                costs[i, j] = min(cost[i, j], cut * used) if j < m else math.inf
        cut *= CUT
    return best * (total / UNITS)


@kernel
def stored_costs(rows, x, y, width):
    """`cost_matrix` of rows x and columns y of what is stored."""
    out = np.empty((x.size, width))
    for i in range(x.size):
        for j in range(y.size):
            out[i, j] = pair_cost(rows, x[i], y[j])
        out[i, y.size :] = math.inf
    return out


@kernel
def exact_pairs_of_points(name, numbers, x, y, weights, starts, first, second, begin, end, values):
    """Least costs between measures ``first[k]`` of points x and ``second[k]`` of y, for k in ``begin:end``."""
    for k in range(begin, end):
        p, a = live_points(weights, starts[first[k]], starts[first[k] + 1])
        q, b = live_points(weights, starts[second[k]], starts[second[k] + 1])
        width = -(-q.size // LANES) * LANES
        values[k] = exact_cost(cost_matrix(name, numbers, x, p, y, q, width), q.size, a, b)


@kernel
def exact_pairs_of_rows(rows, weights, starts, first, second, begin, end, values):
    """The same where costs are stored."""
    for k in range(begin, end):
        p, a = live_points(weights, starts[first[k]], starts[first[k] + 1])
        q, b = live_points(weights, starts[second[k]], starts[second[k] + 1])
        width = -(-q.size // LANES) * LANES
        values[k] = exact_cost(stored_costs(rows, p, q, width), q.size, a, b)
