"""Primal and dual values, exactly feasible plans, bounds on the unregularised optimum.

Everything is in the units of the normalised problem (total mass about 1); `Solution` puts the mass back.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from .coupling import GibbsPlan
from .geometry import SparseGeometry
from .problem import Problem

__all__ = ["constant", "dual_value", "feasible_objective", "hard_lower_bound", "objective"]

#: Largest number of pairs for which forbidden pairs are repaired by a linear programme.
_PROGRAMME_PAIRS = 250_000


def constant(problem: Problem) -> float:
    """``eps * sum(A) * sum(B)`` of the unbalanced divergence ``KL(P | A B')``, in the caller's units.

    Apart from the rest of the objective and of the dual, because large masses make it drown both, or
    overflow, where gaps and divergences do not depend on it.
    """
    if problem.balanced:
        return 0.0
    M = problem.mass
    return problem.eps * (M * float(problem.a.sum())) * (M * float(problem.b.sum()))


def objective(problem: Problem, linear: float, entropy: float, row_mass, column_mass) -> float:
    """Objective of a plan P = mass * p from its parts, without `constant`, in the caller's units.

    Parameters
    ----------
    linear : float
        ``<p, C>``.
    entropy : float
        ``sum p log(p / (a b'))`` with normalised weights.
    row_mass, column_mass : arrays
        Marginals of p.
    """
    M, eps = problem.mass, problem.eps
    moved = float(row_mass.sum())
    # log(P / (A B')) = log(p / (a b')) - log M.
    regular = M * (linear + eps * entropy) - (eps * M * math.log(M)) * moved
    if problem.balanced:
        return regular
    penalties = problem.penalty_a.primal(row_mass, problem.a) + problem.penalty_b.primal(column_mass, problem.b)
    return regular - eps * M * moved + M * penalties


def dual_value(problem: Problem, f, g, moved: float) -> float:
    """Dual objective of the potentials, without `constant`, in the caller's units.

    `moved` is the mass of their plan.
    """
    M, eps = problem.mass, problem.eps
    potentials = problem.penalty_a.dual(f, problem.a) + problem.penalty_b.dual(g, problem.b)
    if problem.balanced:
        return M * (potentials - eps * (moved - float(problem.a.sum()))) - eps * M * math.log(M)
    return M * (potentials - eps * moved)


def hard_lower_bound(problem: Problem, g, backend) -> float:
    """Dual value of ``(c-transform of g, g)`` for the problem without entropy: a lower bound."""
    masked = np.where(problem.b > 0, g, -np.inf)
    transform = backend.hardmin(problem.geometry, masked)
    transform = np.where(problem.a > 0, transform, 0.0)
    potentials = problem.penalty_a.dual(transform, problem.a) + problem.penalty_b.dual(g, problem.b)
    return problem.mass * potentials


def feasible_objective(problem: Problem, plan: GibbsPlan, statistics, backend):
    """(objective, unregularised objective) of a plan made exactly feasible on its hard sides.

    Returns
    -------
    value, linear : float
        In the caller's units, `value` without `constant`; both ``inf`` if no feasible plan was found off
        the forbidden pairs.
    """
    hard_a, hard_b = problem.penalty_a.hard, problem.penalty_b.hard
    if hard_a and hard_b:
        linear, entropy = _rounded(problem, plan, statistics, backend)
        value = objective(problem, linear, entropy, problem.a, problem.b)
        return value, problem.mass * linear
    if hard_a or hard_b:
        plan, statistics = _scaled(problem, plan, statistics, backend, rows=hard_a)
    linear = float(statistics.row_cost.sum())
    entropy = _entropy(plan, statistics)
    value = objective(problem, linear, entropy, statistics.row_mass, statistics.column_mass)
    penalties = problem.penalty_a.primal(statistics.row_mass, problem.a) + problem.penalty_b.primal(
        statistics.column_mass, problem.b
    )
    return value, problem.mass * (linear + penalties)


def _entropy(plan: GibbsPlan, statistics) -> float:
    """``sum p log(p / (a b'))`` of a Gibbs plan from its marginals and cost."""
    row, column = statistics.row_mass, statistics.column_mass
    inner = float(row @ plan.f + column @ plan.g - statistics.row_cost.sum()) / plan.eps
    return inner + plan.log_mass * float(row.sum())


def _scaled(problem, plan, statistics, backend, *, rows: bool):
    """Scale the one hard side exactly: still a Gibbs plan."""
    mass, weights = (statistics.row_mass, problem.a) if rows else (statistics.column_mass, problem.b)
    with np.errstate(divide="ignore", invalid="ignore"):
        move = np.where(weights > 0, plan.eps * np.log(weights / mass), 0.0)
    if not np.isfinite(move).all():
        return plan, statistics._replace(row_cost=np.full_like(statistics.row_cost, np.inf))
    plan = replace(plan, f=plan.f + move) if rows else replace(plan, g=plan.g + move)
    return plan, backend.plan_statistics(plan)


def _rounded(problem: Problem, plan: GibbsPlan, statistics, backend):
    """(linear, entropy) of the rounding of [altschuler:17]_: scale rows, scale columns, add rank one."""
    a, b = problem.a, problem.b
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.where(statistics.row_mass > a, a / statistics.row_mass, 1.0)
        columns = backend.transport(plan.T, x[:, None])[:, 0]
        y = np.where(columns > b, b / columns, 1.0)
    u = np.maximum(a - x * backend.transport(plan, y[:, None])[:, 0], 0.0)
    v = np.maximum(b - columns * y, 0.0)
    missing = v.sum()
    if missing > 0:
        v = v / missing
    else:
        u, v = np.zeros_like(u), np.zeros_like(v)
    if not plan.geometry.forbids:
        return backend.rounded_objective(plan, x, y, u, v)
    linear, entropy = backend.rounded_objective(plan, x, y, u, v)
    if math.isfinite(linear):
        return linear, entropy
    return _repaired(problem, plan, statistics, backend)


def _repaired(problem: Problem, plan: GibbsPlan, statistics, backend):
    """(linear, entropy) of ``(1 - t) P + R`` with R on allowed pairs from a small linear programme.

    The smallest t in a short list for which such an R exists; at t = 1 that is exact transport, so a
    feasible problem always has one.
    """
    n, m = plan.geometry.shape
    if n * m > _PROGRAMME_PAIRS:
        return math.inf, math.inf
    from scipy import sparse
    from scipy.optimize import linprog

    solve_programme: Any = linprog  # its annotations know no sparse constraints

    a, b = problem.a, problem.b
    P = backend.plan_rows(plan, 0, n)
    C = np.asarray(plan.geometry.block(0, n))
    rows, columns = np.nonzero(np.isfinite(C) & (a > 0)[:, None] & (b > 0)[None, :])
    ones = np.ones(rows.size)
    place = np.arange(rows.size)
    constraints = sparse.vstack(
        [
            sparse.csr_array((ones, (rows, place)), shape=(n, rows.size)),
            sparse.csr_array((ones, (columns, place)), shape=(m, rows.size)),
        ]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        excess_a = np.where(a > 0, 1 - a / statistics.row_mass, 0).max()
        excess_b = np.where(b > 0, 1 - b / statistics.column_mass, 0).max()
    t = max(excess_a, excess_b, 1e-12)
    while True:
        t = min(t, 1.0)
        target = np.concatenate([a - (1 - t) * P.sum(1), b - (1 - t) * P.sum(0)])
        unit = np.abs(target).max()
        found = solve_programme(
            C[rows, columns], A_eq=constraints, b_eq=np.maximum(target, 0) / unit, method="highs"
        )
        if found.status == 0:
            Q = (1 - t) * P
            Q[rows, columns] += unit * found.x
            off = np.abs(Q.sum(1) - a).sum() + np.abs(Q.sum(0) - b).sum()
            if off <= 1e-9:
                live = Q > 0
                linear = float((Q[live] * C[live]).sum())
                return linear, float((Q[live] * np.log(Q[live] / np.outer(a, b)[live])).sum())
        if t >= 1.0:
            return math.inf, math.inf
        t *= 10


def feasible_marginals(problem: Problem) -> tuple[bool, str]:
    """Whether some plan with both hard marginals avoids the forbidden pairs, by maximum flow.

    Returns
    -------
    feasible : bool
    reason : str
        Which points are cut off, when there is no such plan.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import maximum_flow

    geometry = problem.geometry
    n, m = geometry.shape
    if isinstance(geometry, SparseGeometry):
        pattern = geometry.matrix.tocoo()
        rows, columns = pattern.row, pattern.col
    else:
        rows, columns = np.nonzero(np.isfinite(np.asarray(geometry.block(0, n))))
    # SciPy's flow counts in int32: weights in units of 2**-29, rounded so that a feasible problem stays so.
    unit = float(1 << 29)
    supply = np.floor(problem.a / problem.a.sum() * unit).astype(np.int64)
    demand = np.ceil(problem.b / problem.b.sum() * unit).astype(np.int64)
    source, sink = n + m, n + m + 1
    heads = np.concatenate([np.full(n, source), rows, n + np.arange(m)])
    tails = np.concatenate([np.arange(n), n + columns, np.full(m, sink)])
    capacity = np.concatenate([supply, np.full(rows.size, 1 << 30), demand]).astype(np.int32)
    graph = sparse.csr_array((capacity, (heads, tails)), shape=(n + m + 2, n + m + 2))
    flow = maximum_flow(graph, source, sink)
    # Rounding moves each supply by less than one unit.
    if flow.flow_value >= supply.sum() - (n + m):
        return True, ""
    lost = 1 - flow.flow_value / supply.sum()
    stuck = np.flatnonzero(supply - np.asarray(flow.flow[[source], :n].todense()).ravel() > 1)
    listed = ", ".join(map(str, stuck[:5])) + (", ..." if stuck.size > 5 else "")
    return False, (
        f"at least {lost:.3g} of the mass (of rows {listed}) has no allowed column with room left: the +inf costs "
        "leave no plan with these marginals. Allow more pairs, or pass unbalanced=rho"
    )
