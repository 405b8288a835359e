"""Layers of PyTorch: what transport inside a network is weighed against."""

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
