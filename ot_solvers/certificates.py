"""Primal and dual values and bounds on the unregularised optimum; feasible plans are in `rounding`.

Everything is in the units of the normalised problem (total mass about 1); `Solution` puts the mass back.
"""

from __future__ import annotations

import math

import numpy as np

from .penalties import TV, Capacity
from .plans.gibbs import GibbsPlan
from .problem import Problem

__all__ = ["constant", "dual_value", "gibbs_entropy", "hard_lower_bound", "objective", "regularised"]


def constant(problem: Problem) -> float:
    """``eps * sum(A) * sum(B)`` of the unbalanced divergence ``KL(P | A B')``, in the caller's units.

    Apart from the rest of the objective and of the dual, because large masses make it drown both, or
    overflow, where gaps and divergences do not depend on it.
    """
    if problem.fixed_total:
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
    if problem.fixed_total:
        return regularised(problem, linear, entropy, moved)
    penalties = problem.penalty_a.primal(row_mass, problem.a) + problem.penalty_b.primal(column_mass, problem.b)
    return regularised(problem, linear, entropy, moved) - eps * M * moved + M * penalties


def regularised(problem: Problem, linear: float, entropy: float, moved: float) -> float:
    """``<P, C> + eps sum P log(P / (A B'))`` from parts of the normalised plan, in the caller's units."""
    M, eps = problem.mass, problem.eps
    # log(P / (A B')) = log(p / (a b')) - log M.
    return M * (linear + eps * entropy) - (eps * M * math.log(M)) * moved


def dual_value(problem: Problem, f, g, moved: float) -> float:
    """Dual objective of the potentials, without `constant`, in the caller's units.

    `moved` is the mass of their plan.
    """
    M, eps = problem.mass, problem.eps
    potentials = problem.penalty_a.dual(f, problem.a) + problem.penalty_b.dual(g, problem.b)
    if problem.fixed_total:
        return M * (potentials - eps * (moved - problem.total)) - eps * M * math.log(M)
    return M * (potentials - eps * moved)


def hard_lower_bound(problem: Problem, g, backend) -> float:
    """Dual value of ``(c-transform of g, g)`` for the problem without entropy: a lower bound."""
    if isinstance(problem.penalty_a, TV):
        # Row potentials must stay above -rho: lower g where the c-transform would pass below.
        floor = backend.hardmin(problem.geometry.T, np.where(problem.a > 0, 0.0, -np.inf))
        g = np.where(problem.b > 0, np.minimum(g, floor + problem.penalty_a.rho), g)
    masked = np.where(problem.b > 0, g, -np.inf)
    transform = backend.hardmin(problem.geometry, masked)
    if isinstance(problem.penalty_a, Capacity):
        live = problem.a > 0
        level = problem.penalty_a.level(transform[live], problem.a[live])
        if level == math.inf:
            return math.inf  # no plan moves as much
        transform = np.minimum(transform, level)
    transform = np.where(problem.a > 0, transform, 0.0)
    potentials = problem.penalty_a.dual(transform, problem.a) + problem.penalty_b.dual(g, problem.b)
    return problem.mass * potentials


def gibbs_entropy(plan: GibbsPlan, statistics) -> float:
    """``sum p log(p / (a b'))`` of a Gibbs plan from its marginals and cost."""
    row, column = statistics.row_mass, statistics.column_mass
    inner = float(row @ plan.f + column @ plan.g - statistics.row_cost.sum()) / plan.eps
    return inner + plan.log_mass * float(row.sum())
