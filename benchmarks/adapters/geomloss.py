"""GeomLoss ≥ 0.3 (``geomloss.ot``).

Convention: unhalved costs, ``P = a b^T exp((f + g - C) / eps)``, cost units: ours, no conversion. (The older
``SamplesLoss`` halves the cost and takes ``eps = blur**p``; it is not used here.)

There is no stopping rule: ε goes from the largest cost to its target over exactly ``max_iter`` averaged
iterations, so the number of iterations is what is turned until the judge is satisfied. An iteration is two
softmins.
"""

from __future__ import annotations

import numpy as np

from .base import Adapter, Answer


class Dense(Adapter):
    """``geomloss.ot.solve`` on a torch CPU matrix."""

    modules = ("geomloss", "torch")
    knob = "iterations"

    def prepare(self):
        import torch
        from geomloss import ot

        torch.set_num_threads(self.threads)
        p = self.problem
        self.ot = ot
        self.arrays = [torch.from_numpy(array) for array in (*self.cost_arrays(), p.a, p.b)]

    def cost_arrays(self):
        return (self.problem.C,)

    def run(self, setting):
        C, a, b = self.arrays
        return self.ot.solve(C, a=a, b=b, reg=self.problem.eps, max_iter=setting.max_iter), setting.max_iter

    def answer(self, raw):
        solution, iterations = raw
        f, g = (v.numpy().astype(np.float64) for v in (solution.potential_a, solution.potential_b))
        return Answer(f=f, g=g, iterations=iterations)


class Sample(Dense):
    """``geomloss.ot.solve_sample``: lazy, through KeOps where that is installed."""

    modules = ("geomloss", "torch", "pykeops")

    def cost_arrays(self):
        return self.problem.x, self.problem.y

    def compile(self, setting):
        # KeOps compiles the formulas of the first and of all later temperatures.
        x, y, a, b = self.arrays
        self.ot.solve_sample(x, y, a=a, b=b, reg=self.problem.eps, max_iter=2)

    def run(self, setting):
        x, y, a, b = self.arrays
        solution = self.ot.solve_sample(x, y, a=a, b=b, reg=self.problem.eps, max_iter=setting.max_iter)
        return solution, setting.max_iter
