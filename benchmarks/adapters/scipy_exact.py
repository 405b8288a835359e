"""SciPy's exact assignment.

``linear_sum_assignment`` returns a permutation; with uniform weights on equally many points, ``1/n`` on its
pairs is an optimal plan of the unregularised problem. No potentials, no regularisation.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .base import Adapter, Answer


def assignment_costs(problem) -> np.ndarray:
    """The costs in float64, of a problem that is an assignment.

    Raises
    ------
    ValueError
        If it is none.
    """
    a, b = problem.a, problem.b
    if len(a) != len(b) or not (np.ptp(a) == 0 and np.ptp(b) == 0):
        raise ValueError("an assignment needs uniform weights on equally many points")
    return np.asarray(problem.C, np.float64)


def assignment_plan(problem, rows, columns) -> sparse.csr_array:
    """A permutation as a plan."""
    return sparse.csr_array((problem.a[rows].astype(np.float64), (rows, columns)), shape=problem.shape)


class Assignment(Adapter):
    """``scipy.optimize.linear_sum_assignment``."""

    modules = ("scipy",)
    knob = None

    def prepare(self):
        from scipy.optimize import linear_sum_assignment

        self.solve = linear_sum_assignment
        self.C = assignment_costs(self.problem)

    def run(self, setting):
        return self.solve(self.C)

    def answer(self, raw):
        return Answer(plan=assignment_plan(self.problem, *raw), claim=True)


class AssignmentBatch(Adapter):
    """A loop over ``cdist`` and ``linear_sum_assignment`` on points; permutations, no potentials."""

    modules = ("scipy",)
    knob = None

    def prepare(self):
        from scipy.optimize import linear_sum_assignment
        from scipy.spatial.distance import cdist

        self.assign, self.cdist = linear_sum_assignment, cdist
        self.clouds = list(zip(self.problem.x, self.problem.y))

    def run(self, setting):
        return [self.assign(self.cdist(x, y, "sqeuclidean")) for x, y in self.clouds]

    def answer(self, raw):
        n, m = self.problem.shape
        plans = [sparse.csr_array((np.asarray(self.problem.a, np.float64), pair), shape=(n, m)) for pair in raw]
        return Answer(plan=sparse.vstack(plans).tocsr())


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n, m) squared distances by a matrix product: the fastest way in NumPy for many coordinates."""
    squares = (-2.0 * x) @ y.T
    squares += np.einsum("ij,ij->i", x, x)[:, None]
    squares += np.einsum("ij,ij->i", y, y)[None, :]
    return np.maximum(squares, 0.0, out=squares)


class AssignmentPoints(Adapter):
    """``scipy.optimize.linear_sum_assignment`` between points, squared distances by NumPy included."""

    modules = ("scipy",)
    knob = None

    def prepare(self):
        from scipy.optimize import linear_sum_assignment

        self.solve = linear_sum_assignment

    def run(self, setting):
        return self.solve(squared_distances(self.problem.x, self.problem.y))

    def answer(self, raw):
        return Answer(plan=assignment_plan(self.problem, *raw), claim=True)
