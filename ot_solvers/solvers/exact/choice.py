"""Which solver for exact transport runs, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...geometry import DenseGeometry, SparseGeometry
from ...problem import Problem
from ..base import Control, Outcome, Solver
from .assignment import Assignment, is_assignment
from .crossover import Crossover
from .line import Sorting, on_a_line
from .simplex import Simplex

__all__ = ["ALL_PAIRS", "ExactAuto"]

#: Allowed pairs up to which the simplex on all of them is faster than a choice among them (measured: 450 points
#: 20 to 40 ms against 40 to 45, 700 points 45 to 85 against 58 to 68).
ALL_PAIRS = 300_000
#: Pairs up to which SciPy's assignment with its potentials is never slower than the simplex (measured: n = 60 0.4
#: against 0.65 ms, 200 the same, 300 points in space 8.7 against 7.0 ms), and up to which it is faster on matrices
#: of few distinct values (n = 547 5.6 against 23 ms; 3000 0.32 s against 2.0 by crossover).
ASSIGNMENT_PAIRS, TIED_PAIRS = 45_000, 16_000_000
#: Distinct values that are few, of so many entries looked at.
FEW_VALUES, VALUES_SEEN = 256, 2048


@dataclass(frozen=True)
class ExactAuto(Solver):
    """The solver for exact transport that is expected to be the fastest.

    Parameters
    ----------
    rtol : float in [0, 1)
        See `Crossover`; the others are exact whatever it is.
    """

    rtol: float = 0.0

    name: ClassVar[str] = "auto"

    def solve(self, problem: Problem, backend, control: Control) -> Outcome:
        solver, reason = self.choice(problem, control)
        outcome = solver.solve(problem, backend, control)
        outcome.method_reason = reason
        return outcome

    def choice(self, problem: Problem, control: Control) -> tuple[Solver, str]:
        """The solver and the reason in one sentence."""
        geometry = problem.geometry
        if on_a_line(geometry) is not None and not problem.partial:
            return Sorting(), "on a line the plan that keeps the order is optimal"
        n, m = geometry.shape
        pairs = geometry.matrix.nnz if isinstance(geometry, SparseGeometry) else n * m
        if control.init is None and not geometry.forbids and is_assignment(problem):
            if pairs <= ASSIGNMENT_PAIRS:
                return Assignment(), "equally many points of one weight, and few, are an assignment"
            if pairs <= TIED_PAIRS and _has_ties(geometry):
                return Assignment(), "an assignment with few distinct costs, whose ties hold up the simplex"
        if pairs > ALL_PAIRS:
            return Crossover(rtol=self.rtol), f"{pairs} pairs are too many to look at all of them"
        return Simplex(), f"{pairs} pairs are few enough to look at all of them"


def _has_ties(geometry) -> bool:
    """Whether a matrix has few distinct values, as far as a sample of its entries tells."""
    if not isinstance(geometry, DenseGeometry):
        return False
    entries = geometry.array
    generator = np.random.default_rng(0)  # the same choice in every solve
    some = entries[tuple(generator.integers(size, size=VALUES_SEEN) for size in entries.shape)]
    return np.unique(some).size <= FEW_VALUES
