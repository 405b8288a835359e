"""lapx (``import lap``): Jonker-Volgenant for dense assignments.

Convention: as of `scipy_exact`.
"""

from __future__ import annotations

import numpy as np

from .base import Adapter, Answer
from .scipy_exact import assignment_costs, assignment_plan


class Assignment(Adapter):
    """``lap.lapjv``."""

    modules = ("lap",)
    knob = None

    def prepare(self):
        import lap

        self.solve = lap.lapjv
        self.C = assignment_costs(self.problem)

    def run(self, setting):
        return self.solve(self.C)

    def answer(self, raw):
        _, columns, _ = raw
        return Answer(plan=assignment_plan(self.problem, np.arange(len(columns)), columns), claim=True)
