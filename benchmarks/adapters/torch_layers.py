"""Layers of PyTorch, ours and what transport inside a network is weighed against."""

from __future__ import annotations

from .base import Adapter, Answer, Setting


class Linear(Adapter):
    """One linear layer as wide as the points x, forward and backward."""

    modules = ("torch",)
    knob = None

    def prepare(self):
        import torch

        torch.set_num_threads(self.threads)
        torch.manual_seed(0)
        self.tokens = torch.from_numpy(self.problem.x).requires_grad_()
        width = self.tokens.shape[1]
        self.layer = torch.nn.Linear(width, width).to(self.tokens.dtype)

    def run(self, setting: Setting):
        for _ in range(setting.max_iter):
            out = self.layer(self.tokens)
            out.sum().backward()
        return setting.max_iter, out

    def answer(self, raw):
        return Answer(iterations=raw[0])


class Loss(Adapter):
    """`OTLoss` between points x and y with its defaults.

    Options
    -------
    backward : bool
        Also the gradient by x and y; True by default.
    """

    modules = ("ot_solvers", "torch")
    knob = None

    def prepare(self):
        import torch

        import ot_solvers as ots
        from ot_solvers.layers.torch import OTLoss

        torch.set_num_threads(self.threads)
        ots.set_num_threads(self.threads)
        self.loss = OTLoss()
        self.points = [torch.from_numpy(z).requires_grad_() for z in (self.problem.x, self.problem.y)]

    def run(self, setting: Setting):
        for _ in range(setting.max_iter):
            value = self.loss(*self.points)
            if self.options.get("backward", True):
                value.backward()
        return setting.max_iter, value

    def answer(self, raw):
        iterations, value = raw
        return Answer(iterations=iterations, details={"value": float(value.detach())})
