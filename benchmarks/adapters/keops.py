"""KeOps (``import pykeops``) on the CPU.

KeOps is no solver: the loop below is the log-domain Sinkhorn loop of its documentation, on lazy reductions.
One iteration is two half ones, each a ``logsumexp`` over all pairs. Convention: potentials in cost units
against ``a b^T``, as ours; no conversion. The formula is compiled with the system's C++ compiler at the
first call.
"""

from __future__ import annotations

import numpy as np

from .base import Adapter, Answer, Setting


class Loop(Adapter):
    """Sinkhorn on ``LazyTensor`` reductions, torch CPU tensors, squared Euclidean cost."""

    modules = ("pykeops", "torch")
    knob = "iterations"

    def prepare(self):
        import torch
        from pykeops.torch import LazyTensor

        torch.set_num_threads(self.threads)
        p = self.problem
        x, y, a, b = (torch.from_numpy(array) for array in (p.x, p.y, p.a, p.b))
        x_i, y_j = LazyTensor(x[:, None, :]), LazyTensor(y[None, :, :])
        self.torch, self.LazyTensor = torch, LazyTensor
        self.C = ((x_i - y_j) ** 2).sum(-1)
        self.log_a, self.log_b = a.log(), b.log()

    def compile(self, setting):
        self.run(Setting(max_iter=1))

    def run(self, setting):
        eps, C, LazyTensor = self.problem.eps, self.C, self.LazyTensor
        f = self.torch.zeros_like(self.log_a)
        g = self.torch.zeros_like(self.log_b)
        for _ in range(setting.max_iter):
            h_j = LazyTensor((self.log_b + g / eps)[None, :, None])
            f = -eps * (h_j - C / eps).logsumexp(axis=1).view(-1)
            h_i = LazyTensor((self.log_a + f / eps)[:, None, None])
            g = -eps * (h_i - C / eps).logsumexp(axis=0).view(-1)
        return f, g, setting.max_iter

    def answer(self, raw):
        f, g, iterations = raw
        return Answer(f=f.numpy().astype(np.float64), g=g.numpy().astype(np.float64), iterations=iterations)
