"""Sinkhorn's updates for partial transport: potentials are cut where the total that is moved is right.

There is no variable for the price of the total: it is what the tops of the two sides add up to. Derivations:
``docs/maths.md``.
"""

from __future__ import annotations

import math

import numpy as np

from ..penalties import Capacity
from ..problem import Problem
from .base import Control
from .passes import SinkhornPasses

__all__ = ["PartialPasses", "passes_of"]


def passes_of(problem: Problem, backend, control: Control, max_iter: int, kernel: str = "auto") -> SinkhornPasses:
    """`PartialPasses` where the problem is partial, else `SinkhornPasses`."""
    kind = PartialPasses if problem.partial else SinkhornPasses
    return kind(problem, backend, control, max_iter, kernel)


class PartialPasses(SinkhornPasses):
    """`SinkhornPasses` of a problem one side of which, or both, is a `Capacity`.

    The marginal error alone does not tell good points from bad ones: it may rise while the dual value does. That
    value safeguards extrapolation, and patience.
    """

    def __init__(self, problem: Problem, backend, control: Control, max_iter: int, kernel: str = "auto"):
        super().__init__(problem, backend, control, max_iter, kernel)
        if control.init is not None and isinstance(problem.penalty_a, Capacity):
            move = problem.penalty_a.rho - problem.penalty_a.top(problem.a, self.f)
            self.f, self.g = self.f + move, self.g - move
        #: Live columns that the last update has cut, where it cuts columns.
        self.at_level: np.ndarray | None = None
        #: Soft minima of the rows before they were cut.
        self.uncut = self.f
        #: Dual value at the point measured last, what of it may be rounding, and the value at the one kept last.
        self.dual = self.dual_slack = self.kept_dual = 0.0
        # Without a plan the dual rises for ever.
        self.seen_dual = math.inf if problem.geometry.forbids else -math.inf

    def sweep(self, eps: float, g):
        f, masses = super().sweep(eps, g)
        if isinstance(self.problem.penalty_a, Capacity):
            # Nothing is asked of points that are cut off: they may keep all their weight.
            f[self.cut_a] = math.inf
        return f, masses

    def column_update(self, eps: float, f, g, masses):
        problem = self.problem
        rise = 0.0
        if isinstance(problem.penalty_a, Capacity):
            rise, masses = self.right_total(problem.penalty_a, eps, masses)
            if masses is None:
                return g + rise
        if isinstance(problem.penalty_b, Capacity):
            return self.cut_columns(problem.penalty_b, eps, f, g, masses) + rise
        new = super().column_update(eps, f, g, masses)
        return np.where(self.live, new + rise, g)

    def right_total(self, penalty: Capacity, eps: float, masses):
        """(rise of the column potentials with which the rows have the right total, column masses after it).

        The sweep has cut the rows at the level of before. A rise of all column potentials is one of the level:
        what it does to the columns is exact up to how they share the rows, so after a large one there are no
        masses, and the next pass looks.
        """
        live = self.problem.a > 0
        level = penalty.level(self.uncut[live], self.problem.a[live], eps)
        if level == math.inf:  # too few rows have a way: no plan, as the error will tell
            return 0.0, masses
        total = float(masses.sum())
        return level - penalty.rho, masses / total if 0.5 < total < 2.0 else None

    def cut_columns(self, penalty: Capacity, eps: float, f, g, masses):
        """Column potentials cut where their total is right."""
        live, b = self.live, self.problem.b
        s, lost = self.wanted_by_columns(eps, g, masses)
        s = np.where(lost, np.inf, s)
        level = penalty.level(s[live], b[live], eps)
        # Next to no mass means far above g, which is above the level, too, unless g is far below.
        far = -0.9 * eps * math.log(self.mass_floor)
        doubtful = lost & ~(g > level - far)
        doubtful[self.cut_b] = False
        if doubtful.any():
            s = np.where(doubtful, self.column_softmin(eps, f), s)
            level = penalty.level(s[live], b[live], eps)
        if level == math.inf:  # too few columns have a way
            level = float(s[np.isfinite(s)].max()) if np.isfinite(s).any() else 0.0
        self.at_level = s[live] >= level
        return np.where(live, np.minimum(s, level), g)

    # --- the fixed-point process --------------------------------------------------------------------------------

    def measure(self, g, eps: float) -> float:
        error = super().measure(g, eps)
        problem = self.problem
        self.uncut = self.f
        if isinstance(problem.penalty_a, Capacity):
            self.f = problem.penalty_a.prox(self.f, eps)
        potentials = problem.penalty_a.dual(self.f, problem.a) + problem.penalty_b.dual(g, problem.b)
        self.dual = potentials - eps * (float(self.masses.sum()) - problem.total)
        self.dual_slack = eps * min(error, 1.0)
        return error

    def project(self, g):
        if self.at_level is None:
            return super().project(g)
        # One number for all that were at the level, and nothing above it.
        return np.minimum(g, g[self.at_level].min())

    def keep(self):
        self.kept_dual = self.dual - self.dual_slack
        return super().keep()

    def fell(self) -> bool:
        return self.dual < self.kept_dual

    def rising(self) -> bool:
        before, self.seen_dual = self.seen_dual, self.dual
        return self.dual > before + self.dual_slack

    def column_error(self, g, masses, eps: float) -> float:
        return super().column_error(g, masses, eps) + abs(float(masses.sum()) - 1.0) / self.unit

    def size(self) -> float:
        # Row updates are cut: the columns may have the larger potentials.
        g = self.g if self.made is None else self.made[1]
        return super().size() + float(np.abs(g[self.reached_b > 0]).max(initial=0.0))

    def complete(self, f, g):
        problem = self.problem
        if not self.all_live:
            s = self.column_softmin(problem.eps, f)
            if not isinstance(problem.penalty_b, Capacity):
                s = problem.penalty_b.prox(s, problem.eps)
            g = np.where(self.live, g, s)
        return tuple(
            np.minimum(potential, potential[weights > 0].max())
            for potential, weights in ((f, problem.a), (g, problem.b))
        )
