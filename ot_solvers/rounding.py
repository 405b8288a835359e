"""Plans made exactly feasible, and whether there are any: what a duality gap needs besides the dual value.

Everything is in the units of the normalised problem. Without forbidden pairs the rounding is that of
[altschuler:17]_. With them its rank-one remainder may land on pairs that cost ``+inf``; the remainder then
goes along allowed pairs by a maximum flow on the plan's own support, or by a small linear programme.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from .certificates import gibbs_entropy, objective, regularised
from .geometry import SparseGeometry
from .plans.gibbs import GibbsPlan
from .problem import Problem

__all__ = ["feasible_marginals", "feasible_objective"]

#: Largest number of allowed pairs that the linear programme is asked about.
PROGRAMME_PAIRS = 200_000
#: Largest number of pairs on which feasibility is decided by a flow over all allowed ones.
FLOW_PAIRS = 4_000_000
#: Share of every row and column that the support of the rerouting may leave out.
SUPPORT_DROPPED = 1e-3
#: SciPy's flows count in int32: this many units for the mass to be moved.
FLOW_UNITS = 1 << 28


def feasible_objective(problem: Problem, plan: GibbsPlan, statistics, backend):
    """(objective, unregularised objective) of a plan made exactly feasible on its hard sides, and in its total.

    Returns
    -------
    value, linear : float
        In the caller's units, `value` without `certificates.constant`; both ``inf`` if no feasible plan was
        found off the forbidden pairs.
    """
    hard_a, hard_b = problem.penalty_a.hard, problem.penalty_b.hard
    if problem.fixed_total:
        linear, entropy = rounded(problem, plan, statistics, backend)
        if math.isinf(linear):
            return math.inf, math.inf
        return regularised(problem, linear, entropy, problem.total), problem.mass * linear
    if hard_a or hard_b:
        found = scaled(problem, plan, statistics, backend, rows=hard_a)
        if found is None:
            return math.inf, math.inf
        plan, statistics = found
    linear = float(statistics.row_cost.sum())
    entropy = gibbs_entropy(plan, statistics)
    value = objective(problem, linear, entropy, statistics.row_mass, statistics.column_mass)
    penalties = problem.penalty_a.primal(statistics.row_mass, problem.a) + problem.penalty_b.primal(
        statistics.column_mass, problem.b
    )
    return value, problem.mass * (linear + penalties)


def scaled(problem: Problem, plan: GibbsPlan, statistics, backend, *, rows: bool):
    """(plan, statistics) with the one hard side scaled exactly: still a Gibbs plan. None if a side is empty."""
    mass, weights = (statistics.row_mass, problem.a) if rows else (statistics.column_mass, problem.b)
    with np.errstate(divide="ignore", invalid="ignore"):
        move = np.where(weights > 0, plan.eps * np.log(weights / mass), 0.0)
    if not np.isfinite(move).all():
        return None
    plan = replace(plan, f=plan.f + move) if rows else replace(plan, g=plan.g + move)
    return plan, backend.plan_statistics(plan)


def rounded(problem: Problem, plan: GibbsPlan, statistics, backend) -> tuple[float, float]:
    """(linear, entropy) of the plan with both marginals exact: scale rows, scale columns, add what is missing.

    Partial: with no marginal above its weights and the exact total.
    """
    a, b = problem.a, problem.b
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.where(statistics.row_mass > a, a / statistics.row_mass, 1.0)
        columns = backend.transport(plan.T, x[:, None])[:, 0]
        y = np.where(columns > b, b / columns, 1.0)
    rows = x * backend.transport(plan, y[:, None])[:, 0]
    columns = columns * y
    if problem.partial and rows.sum() > 1.0:
        scale = 1.0 / float(rows.sum())
        x, rows, columns = scale * x, scale * rows, scale * columns
    u, v = np.maximum(a - rows, 0.0), np.maximum(b - columns, 0.0)
    missing = float(v.sum())
    if problem.partial:
        missing = max(1.0 - float(rows.sum()), 0.0)
        u, v = (missing / total * w if (total := float(w.sum())) > 0 else w for w in (u, v))
    none_u, none_v = np.zeros_like(u), np.zeros_like(v)
    if not missing > 0:
        return backend.rounded_objective(plan, x, y, none_u, none_v)
    linear, entropy = backend.rounded_objective(plan, x, y, u, v / missing)
    if math.isfinite(linear):
        return linear, entropy
    moved = rerouted(plan, x, y, u, v, backend)
    if moved is not None:
        base = backend.rounded_objective(plan, x, y, none_u, none_v)
        return base[0] + moved[0], base[1] + moved[1]
    return programme(problem, plan, backend)


def rerouted(plan: GibbsPlan, x, y, u, v, backend) -> tuple[float, float] | None:
    """Change of (linear, entropy) when the remainder flows along allowed pairs; None if it cannot.

    Mass may be added to any pair of the support and taken (up to half) from what is there: a maximum flow
    from the rows that lack mass to the columns that do, repeated on what its integer units leave over.
    """
    from scipy.sparse.csgraph import maximum_flow

    n, m = plan.geometry.shape
    support = _support(plan, backend)
    rows, columns = support.row, support.col
    C = backend.pair_costs(plan.geometry, rows, columns)
    entries = support.data * x[rows] * y[columns]
    added = np.zeros(entries.size)
    u, v = u.copy(), v.copy()
    source, sink = n + m, n + m + 1
    size = n + m + 2
    for _ in range(4):
        unit = max(float(u.sum()), float(v.sum())) / FLOW_UNITS
        if unit * FLOW_UNITS <= 1e-15:
            break
        supply = np.floor(u / unit).astype(np.int64)
        demand = np.floor(v / unit).astype(np.int64)
        room = np.minimum(np.maximum(entries + added, 0.0) / (2 * unit), 2 * FLOW_UNITS).astype(np.int64)
        heads = np.concatenate([np.full(n, source), rows, n + columns, n + np.arange(m)])
        tails = np.concatenate([np.arange(n), n + columns, rows, np.full(m, sink)])
        capacity = np.concatenate([supply, np.full(rows.size, 2 * FLOW_UNITS), room, demand])
        flow = maximum_flow(_graph(heads, tails, capacity, size), source, sink).flow
        net = unit * np.asarray(flow[rows, n + columns]).ravel().astype(np.float64)
        added += net
        sent = np.bincount(rows, net, minlength=n)
        received = np.bincount(columns, net, minlength=m)
        before = float(u.sum())
        u = np.maximum(u - sent, 0.0)
        v = np.maximum(v - received, 0.0)
        if float(u.sum()) > 0.01 * before:
            return None
    if float(u.sum()) > 1e-13:
        return None
    a, b = plan.a[rows], plan.b[columns]
    new = np.maximum(entries + added, 0.0)
    linear = float((added * C).sum())
    return linear, float((_entropy(new, a, b) - _entropy(entries, a, b)).sum())


def rounded_entries(matrix, a, b):
    """A stored plan made to have the marginals: scaled down to them, what is left over in order of the indices.

    Parameters
    ----------
    matrix : (n, m) CSR array >= 0
    a, b : (n,), (m,) arrays >= 0
        Of one sum.

    Returns
    -------
    (n, m) CSR array
    """
    from scipy import sparse

    def shrunk(P, weights, axis):
        mass = np.asarray(P.sum(axis=axis))
        return np.minimum(1.0, weights / np.where(mass > 0, mass, 1.0))

    P = sparse.diags_array(shrunk(matrix, a, 1)) @ matrix
    P = (P @ sparse.diags_array(shrunk(P, b, 0))).tocsr()
    left_a, left_b = (np.maximum(w - np.asarray(P.sum(axis=axis)), 0.0) for w, axis in ((a, 1), (b, 0)))
    total = min(float(left_a.sum()), float(left_b.sum()))
    if not total > 0:
        return P
    ends_a, ends_b = np.cumsum(left_a), np.cumsum(left_b)
    ends_a, ends_b = ends_a * (total / ends_a[-1]), ends_b * (total / ends_b[-1])
    ends = np.union1d(ends_a, ends_b)
    masses = np.diff(ends, prepend=0.0)
    middles = ends - 0.5 * masses
    rows = np.minimum(np.searchsorted(ends_a, middles), a.size - 1)
    columns = np.minimum(np.searchsorted(ends_b, middles), b.size - 1)
    used = masses > 0
    return P + sparse.csr_array((masses[used], (rows[used], columns[used])), shape=matrix.shape)


def _graph(heads, tails, capacity, size):
    """Capacities as SciPy's flow wants them: CSR with 32-bit everything."""
    from scipy import sparse

    places = heads.astype(np.int32), tails.astype(np.int32)
    graph = sparse.csr_matrix((capacity.astype(np.int32), places), shape=(size, size))
    graph.indices, graph.indptr = graph.indices.astype(np.int32), graph.indptr.astype(np.int32)
    return graph


def _support(plan: GibbsPlan, backend):
    """Pairs that carry nearly all mass of every row and of every column, COO; data: the plan there."""
    from scipy import sparse

    n, m = plan.geometry.shape
    indptr, indices, data = backend.sparsify(plan, SUPPORT_DROPPED)
    by_rows = sparse.csr_array((data, indices, indptr), shape=(n, m))
    indptr, indices, data = backend.sparsify(plan.T, SUPPORT_DROPPED)
    by_columns = sparse.csr_array((data, indices, indptr), shape=(m, n)).T.tocsr()
    return by_rows.maximum(by_columns).tocoo()


def _entropy(q, a, b):
    live = q > 0
    return np.where(
        live, q * np.log(np.where(live, q, 1.0) / np.where(live, a, 1.0) / np.where(live, b, 1.0)), 0.0
    )


def programme(problem: Problem, plan: GibbsPlan, backend) -> tuple[float, float]:
    """(linear, entropy) of ``(1 - t) P + R`` with R on allowed pairs from a small linear programme.

    The smallest t in a short list for which such an R exists; at t = 1 that is exact transport, so a
    feasible problem always has one.
    """
    from scipy import sparse
    from scipy.optimize import linprog

    n, m = plan.geometry.shape
    if _allowed(plan.geometry) > PROGRAMME_PAIRS or n * m > FLOW_PAIRS:
        return math.inf, math.inf
    solve_programme: Any = linprog  # its annotations know no sparse constraints

    P, C, a, b, f, g = _programme_data(problem, plan, backend)
    rows, columns = np.nonzero(np.isfinite(C) & (a > 0)[:, None] & (b > 0)[None, :])
    ones = np.ones(rows.size)
    place = np.arange(rows.size)
    constraints = sparse.vstack(
        [
            sparse.csr_array((ones, (rows, place)), shape=(a.size, rows.size)),
            sparse.csr_array((ones, (columns, place)), shape=(b.size, rows.size)),
        ]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        excess_a = np.where(a > 0, 1 - a / P.sum(1), 0).max()
        excess_b = np.where(b > 0, 1 - b / P.sum(0), 0).max()
    t = max(excess_a, excess_b, 1e-12)
    while True:
        t = min(t, 1.0)
        target = np.concatenate([a - (1 - t) * P.sum(1), b - (1 - t) * P.sum(0)])
        unit = np.abs(target).max()
        found = solve_programme(
            C[rows, columns],
            A_eq=constraints,
            b_eq=np.maximum(target, 0) / unit,
            method="highs",
            options={"primal_feasibility_tolerance": 1e-10},
        )
        if found.status == 0:
            Q = (1 - t) * P
            Q[rows, columns] += unit * np.maximum(found.x, 0.0)
            off = np.abs(Q.sum(1) - a).sum() + np.abs(Q.sum(0) - b).sum()
            if off <= 1e-9:
                live = Q > 0
                linear = float((Q[live] * C[live]).sum())
                # The programme's own tolerance, priced by the potentials: at 1e-9 of the mass it could push the
                # value below the dual where potentials are large.
                linear -= float((Q.sum(1) - a) @ f + (Q.sum(0) - b) @ g)
                Q, live = Q[:n, :m], live[:n, :m]
                return linear, float((Q[live] * np.log(Q[live] / np.outer(problem.a, problem.b)[live])).sum())
        if t >= 1.0:
            return math.inf, math.inf
        t *= 10


def _programme_data(problem: Problem, plan: GibbsPlan, backend):
    """(P, C, a, b, f, g) of a balanced problem: of partial ones, with a dummy on both sides for what stays."""
    n = plan.geometry.shape[0]
    P, C = backend.plan_rows(plan, 0, n), np.asarray(plan.geometry.block(0, n))
    a, b, f, g = problem.a, problem.b, plan.f, plan.g
    if not problem.partial:
        return P, C, a, b, f, g
    # Nothing stays on a side that is full.
    stays_a, stays_b = (
        np.zeros_like(w) if penalty.hard else np.maximum(w - P.sum(axis), 0.0)
        for w, penalty, axis in ((a, problem.penalty_a, 1), (b, problem.penalty_b, 0))
    )
    P = np.block([[P, stays_a[:, None]], [stays_b[None, :], np.zeros((1, 1))]])
    C = np.block([[C, np.zeros((a.size, 1))], [np.zeros((1, b.size)), np.full((1, 1), np.inf)]])
    top_f, top_g = float(f[a > 0].max()), float(g[b > 0].max())
    kept, unfilled = (
        0.0 if penalty.hard else float(w.sum()) - 1.0
        for w, penalty in ((a, problem.penalty_a), (b, problem.penalty_b))
    )
    a, b = np.append(a, unfilled), np.append(b, kept)
    return P, C, a, b, np.append(f, -top_g), np.append(g, -top_f)


def _allowed(geometry) -> int:
    """How many pairs are allowed."""
    n, m = geometry.shape
    if isinstance(geometry, SparseGeometry):
        return geometry.matrix.nnz
    return n * m - geometry.extremes[2]


def feasible_marginals(problem: Problem) -> tuple[bool, str]:
    """Whether some plan with both hard marginals avoids the forbidden pairs, by maximum flow.

    Partial: whether some plan within the weights moves all that is to be moved.

    Returns
    -------
    feasible : bool
        True also where the problem is too large to decide.
    reason : str
        Which points are cut off, when there is no such plan.
    """
    from scipy.sparse.csgraph import maximum_flow

    geometry = problem.geometry
    n, m = geometry.shape
    if _allowed(geometry) > FLOW_PAIRS:
        return True, ""
    if isinstance(geometry, SparseGeometry):
        pattern = geometry.matrix.tocoo()
        rows, columns = pattern.row, pattern.col
    else:
        rows, columns = np.nonzero(np.isfinite(np.asarray(geometry.block(0, n))))
    # SciPy's flow counts in int32: weights in units of 2**-29, rounded so that a feasible problem stays so. No
    # more than all that is to be moved leaves a point, or the source.
    unit = float(1 << 29)
    a, b = (
        (problem.a, problem.b) if problem.partial else (problem.a / problem.a.sum(), problem.b / problem.b.sum())
    )
    supply = np.floor(np.minimum(a, 1.0) * unit).astype(np.int64)
    demand = np.ceil(np.minimum(b, 1.0) * unit).astype(np.int64)
    wanted = int(unit) if problem.partial else int(supply.sum())
    source, sink, start = n + m, n + m + 1, n + m + 2
    heads = np.concatenate([np.full(n, source), rows, n + np.arange(m), [start]])
    tails = np.concatenate([np.arange(n), n + columns, np.full(m, sink), [source]])
    capacity = np.concatenate([supply, np.full(rows.size, 1 << 30), demand, [wanted]])
    flow = maximum_flow(_graph(heads, tails, capacity, n + m + 3), start, sink)
    # Rounding moves each supply by less than one unit.
    if flow.flow_value >= wanted - (n + m):
        return True, ""
    if problem.partial:
        most = problem.mass * flow.flow_value / wanted
        return False, (
            f"the +inf costs let at most {most:.6g} of mass={problem.mass:.6g} be moved: allow more, or move less"
        )
    lost = 1 - flow.flow_value / wanted
    stuck = np.flatnonzero(supply - np.asarray(flow.flow[[source], :n].todense()).ravel() > 1)
    listed = ", ".join(map(str, stuck[:5])) + (", ..." if stuck.size > 5 else "")
    return False, (
        f"at least {lost:.3g} of the mass (of rows {listed}) has no allowed column with room left: the +inf costs "
        "leave no plan with these marginals. Allow more pairs, or pass unbalanced=rho"
    )
