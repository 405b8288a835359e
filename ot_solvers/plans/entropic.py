"""Gibbs plans, read through the reductions of a backend: nothing of size n m is stored."""

from __future__ import annotations

import numpy as np

from .. import certificates, rounding
from ..lazy import cached_property
from ..problem import Problem
from .base import TransportPlan
from .gibbs import GibbsPlan

__all__ = ["EntropicPlan"]


class EntropicPlan(TransportPlan):
    """Plan of an entropic problem, known through its potentials.

    Parameters
    ----------
    problem : Problem
    f, g : (n,), (m,) arrays, cost units
    backend : Backend
    converged : bool
        Whether the potentials are soft minima of each other.
    """

    def __init__(self, problem: Problem, f: np.ndarray, g: np.ndarray, backend, converged: bool):
        self.problem, self.backend, self.converged = problem, backend, converged
        self.gibbs = GibbsPlan(problem.geometry, f, g, problem.a, problem.b, problem.eps, problem.log_mass)

    @cached_property
    def T(self):
        return EntropicPlan(self.problem.T, self.gibbs.g, self.gibbs.f, self.backend, self.converged)

    @cached_property
    def statistics(self):
        return self.backend.plan_statistics(self.gibbs)

    def value(self):
        found = self.statistics
        entropy = certificates.gibbs_entropy(self.gibbs, found)
        linear = float(found.row_cost.sum())
        return certificates.objective(self.problem, linear, entropy, found.row_mass, found.column_mass)

    def dual(self):
        moved = float(self.statistics.row_mass.sum())
        return certificates.dual_value(self.problem, self.gibbs.f, self.gibbs.g, moved)

    def feasible(self):
        return rounding.feasible_objective(self.problem, self.gibbs, self.statistics, self.backend)

    def rows(self, start, stop):
        return self.backend.plan_rows(self.gibbs, start, stop)

    def product(self, v):
        return self.backend.transport(self.gibbs, v)

    def conditional(self, v):
        plan = self.gibbs
        # Row potentials only keep exponents in range: those of a fixed point of a hard side do.
        f = plan.f if self.converged and self.problem.penalty_a.hard else None
        return self._normalised(plan.geometry, f, v)

    def extrapolated(self, geometry, v):
        return self._normalised(geometry, None, v)

    def _normalised(self, geometry, f, v):
        """Rows of the plan, each normalised, times v: weights and potentials of the rows cancel."""
        plan = self.gibbs
        if f is None:
            s = self.backend.softmin(geometry, plan.h, plan.eps)
            f = np.where(np.isfinite(s), s, 0.0)
        rows = GibbsPlan(geometry, f, plan.g, np.ones(f.size), plan.b, plan.eps, plan.log_mass)
        both = self.backend.transport(rows, np.column_stack([v, np.ones(len(v))]))
        # A point all of whose pairs are forbidden has no conditional law: NaN.
        with np.errstate(invalid="ignore"):
            return both[:, :-1] / both[:, -1:]

    def entries(self, dropped):
        return self.backend.sparsify(self.gibbs, dropped)

    def largest(self):
        indices, _ = self.backend.top_k(self.gibbs.geometry, self.gibbs.h, self.gibbs.eps, 1)
        return indices[:, 0]
