"""Exact transport of many problems with plans and potentials, each inside one kernel call."""

from __future__ import annotations

import math

import numpy as np

from .assignment import LANES as PARTS
from .assignment import assign, assign_from, is_start, reduced_row
from .batch import CONVERGED, ILLEGAL, UNFINISHED
from .exact_pairs import FIRST_PRICE, LANES, all_pairs, cheapest_pairs, pivot_to_the_end
from .network_simplex import unmet_mass
from .policy import kernel
from .spanning_tree import ARC, ARTIFICIAL, COLUMNS, hang, span
from .units import UNITS, fill_masses

#: Gap, relative to the costs of the plan and to the potentials, that is rounding.
GAP = 1e-11


@kernel
def live_of(weights):
    """Numbers of the points with weight, and whether all weights are the same."""
    count = 0
    for k in range(weights.size):
        count += 1 if weights[k] > 0.0 else 0
    points = np.empty(count, np.int64)
    place = 0
    same = True
    for k in range(weights.size):
        if weights[k] > 0.0:
            points[place] = k
            same = same and weights[k] == weights[points[0]]
            place += 1
    return points, same


@kernel
def plan_by_assignment(cost, mass, p, q, g, rows, columns, masses):
    """Plan and column potentials between equally many points of one weight, from those that g has."""
    n = cost.shape[0]
    v = g[q]
    column_of = np.empty(n, np.int64)
    if is_start(cost, v):
        assign_from(cost, v, column_of)
    else:
        assign(cost, v, column_of)
    for i in range(n):
        rows[i] = p[i]
        columns[i] = q[column_of[i]]
        masses[i] = mass
        g[q[i]] = v[i]
    return n


@kernel
def plan_by_simplex(cost, m, a, b, p, q, g, rows, columns, masses):
    """Plan and column potentials between masses, -1 if none was found; `cost` is (n, width), see `exact_pairs`."""
    n, width = cost.shape
    source, sink = all_pairs(n, width)
    mass = np.empty(n + m, np.int64)
    total = a.sum()
    fill_masses(a, total, b, b.sum(), mass)
    level = np.empty(n + m)
    order = np.empty(n + m, np.int64)
    tree = np.empty((n + m + 1, COLUMNS), np.int32)
    flow = np.zeros(n + m + 1, np.int64)
    potential = np.zeros(n + width + 1)
    size = cheapest_pairs(cost, m, level, order)
    hang(tree, flow, source, sink, span(source, sink, order, n + m), mass, n)
    penalty = FIRST_PRICE * np.abs(level).sum() / (n + m)
    pivot_to_the_end(tree, flow, potential, level, cost, penalty, size)
    if unmet_mass(tree, flow) > 0:
        return -1
    for j in range(m):
        g[q[j]] = -potential[n + j]
    count = 0
    for v in range(tree.shape[0] - 1):
        e = tree[v, ARC]
        if e != ARTIFICIAL and flow[v] > 0:
            rows[count] = p[e // width]
            columns[count] = q[e % width]
            masses[count] = float(flow[v]) * (total / UNITS)
            count += 1
    return count


@kernel
def transforms(C, a, b, f, g):
    """Potentials of all points from those of the columns with weight: ``f_i + g_j <= C_ij`` everywhere."""
    n, m = C.shape
    masked = np.empty(m)
    columns = np.full(m, math.inf)
    weightless = False
    for j in range(m):
        masked[j] = g[j] if b[j] > 0.0 else -math.inf
        weightless = weightless or not b[j] > 0.0
    values = np.empty(m)
    lanes = np.empty(PARTS)
    for i in range(n):
        reduced_row(C[i], masked, values, lanes)
        f[i] = lanes.min()
    if weightless:
        for i in range(n):
            for j in range(m):
                columns[j] = min(columns[j], float(C[i, j]) - f[i])
        for j in range(m):
            if not b[j] > 0.0:
                g[j] = columns[j]


@kernel
def certified(C, a, b, f, g, count, rows, columns, masses):
    """Whether the cost of a plan and the dual value of the potentials agree up to rounding."""
    primal = 0.0
    scale = 0.0
    for e in range(count):
        c = float(C[rows[e], columns[e]])
        primal += masses[e] * c
        scale += masses[e] * abs(c)
    dual = 0.0
    for i in range(a.size):
        dual += a[i] * f[i]
        scale += a[i] * abs(f[i])
    for j in range(b.size):
        dual += b[j] * g[j]
        scale += b[j] * abs(g[j])
    return abs(primal - dual) <= GAP * scale


@kernel
def exact_some(costs, a, b, f, g, at, entries, begin, end, codes, counts, rows, columns, masses):
    """Problems ``begin:end``: plans entry by entry from ``entries[k]`` on, Kantorovich potentials."""
    for k in range(begin, end):
        n = at.n[k]
        m = at.m[k]
        C = costs[at.costs[k] : at.costs[k] + n * m].reshape(n, m)
        ak = a[at.a[k] : at.a[k] + n]
        bk = b[at.b[k] : at.b[k] + m]
        fk = f[at.f[k] : at.f[k] + n]
        gk = g[at.g[k] : at.g[k] + m]
        start = entries[k]
        stop = start + n + m
        codes[k] = UNFINISHED
        counts[k] = 0
        p, same_a = live_of(ak)
        q, same_b = live_of(bk)
        width = -(-q.size // LANES) * LANES
        square = same_a and same_b and p.size == q.size
        if square:
            width = q.size
        cost = np.empty((p.size, width))
        total = 0.0
        for i in range(p.size):
            c = C[p[i]]
            if q.size == m:  # without gathering
                for j in range(m):
                    cost[i, j] = c[j]
                    total += c[j]
            else:
                for j in range(q.size):
                    cost[i, j] = c[q[j]]
                    total += c[q[j]]
            cost[i, q.size :] = math.inf
        if not -math.inf < total < math.inf:
            # Illegal, or forbidden pairs, whose problems may have no plan: who solves them alone says why.
            for i in range(n):
                for j in range(m):
                    if not C[i, j] > -math.inf:
                        codes[k] = ILLEGAL
            continue
        legal = True
        if p.size < n or q.size < m:
            for i in range(n):
                for j in range(m):
                    legal = legal and -math.inf < C[i, j] < math.inf
        if not legal:
            continue
        if square:
            count = plan_by_assignment(
                cost, ak[p[0]], p, q, gk, rows[start:stop], columns[start:stop], masses[start:stop]
            )
        else:
            count = plan_by_simplex(
                cost, q.size, ak[p], bk[q], p, q, gk, rows[start:stop], columns[start:stop], masses[start:stop]
            )
        if count < 0:
            continue
        transforms(C, ak, bk, fk, gk)
        if not certified(C, ak, bk, fk, gk, count, rows[start:stop], columns[start:stop], masses[start:stop]):
            continue
        counts[k] = count
        codes[k] = CONVERGED
