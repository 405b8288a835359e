"""SciPy's exact assignment.

``linear_sum_assignment`` returns a permutation; with uniform weights on equally many points, ``1/n`` on its
pairs is an optimal plan of the unregularised problem. No potentials, no regularisation.
"""

from __future__ import annotations

import numpy as np

from .base import Adapter, Answer


class Assignment(Adapter):
    """``scipy.optimize.linear_sum_assignment``."""

    modules = ("scipy",)
    knob = None

    def prepare(self):
        from scipy.optimize import linear_sum_assignment

        a, b = self.problem.a, self.problem.b
        if len(a) != len(b) or not (np.ptp(a) == 0 and np.ptp(b) == 0):
            raise ValueError("an assignment needs uniform weights on equally many points")
        self.solve = linear_sum_assignment
        self.C = np.asarray(self.problem.C, np.float64)

    def run(self, setting):
        return self.solve(self.C)

    def answer(self, raw):
        rows, columns = raw
        plan = np.zeros(self.problem.shape)
        plan[rows, columns] = self.problem.a
        return Answer(plan=plan, claim=True)
