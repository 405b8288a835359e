"""Single kernels of `ot_solvers`: what one evaluation costs that solvers call hundreds of times.

No call of the public API is one evaluation, so this looks behind it; no time to a solution is taken here.
"""

from __future__ import annotations

import numpy as np

from .base import Adapter, Answer, Setting


class Projection(Adapter):
    """Evaluations at 0 of the semi-dual with a quadratic term, value and gradient: one pass over the cost each.

    Columns are projected, as in `pot.SemiDualEvaluation`; their costs lie one after another, as the solvers have
    them. No entries of the plan are asked for.
    """

    modules = ("ot_solvers",)
    knob = None

    def prepare(self):
        from ot_solvers.backends import registry
        from ot_solvers.geometry import DenseGeometry

        p = self.problem
        n, m = p.shape
        self.backend = registry.get("numba")
        self.geometry = DenseGeometry(np.ascontiguousarray(p.C.T))
        self.most = None if p.k is None else np.full(m, min(p.k, n), dtype=np.int64)
        self.potentials = np.zeros(n)

    def compile(self, setting: Setting):
        self.evaluate()

    def evaluate(self):
        p = self.problem
        found = self.backend.project(self.geometry, self.potentials, p.gamma, p.b, self.most)
        value = float(p.b @ found.f + p.a @ self.potentials) - 0.5 * p.gamma * float(found.row_square.sum())
        return value, p.a - found.column_mass

    def run(self, setting: Setting):
        for _ in range(setting.max_iter):
            found = self.evaluate()
        return setting.max_iter, found

    def answer(self, raw):
        iterations, (value, gradient) = raw
        return Answer(iterations=iterations, details={"value": value, "error": float(np.abs(gradient).sum())})


class Router(Adapter):
    """Routings of tokens x to experts y: `SparseRouter` forward, and backward through its gates.

    Options
    -------
    choice : {"expert", "token"}
    """

    modules = ("ot_solvers", "torch")
    knob = None

    def prepare(self):
        import torch

        import ot_solvers as ots
        from ot_solvers.layers.torch import SparseRouter

        torch.set_num_threads(self.threads)
        ots.set_num_threads(self.threads)
        torch.manual_seed(0)
        x = self.problem.x
        self.router = SparseRouter(x.shape[1], len(self.problem.y), choice=self.options.get("choice", "expert"))
        self.router = self.router.to(torch.from_numpy(x).dtype)
        self.tokens = torch.from_numpy(x).requires_grad_()

    def run(self, setting: Setting):
        for _ in range(setting.max_iter):
            routing = self.router(self.tokens)
            routing.gates.sum().backward()
        return setting.max_iter, routing

    def answer(self, raw):
        iterations, routing = raw
        load = routing.load
        return Answer(
            iterations=iterations,
            details={"dropped": float(routing.dropped), "load": float(load.max()), "least": float(load.min())},
        )
