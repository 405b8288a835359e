"""Sliced transport by POT (``import ot``).

Directions are columns there. ``log=True`` returns p-th powers of the distances along them, ``projected_emds``; the
distance is the root of their mean. Sorting and merging run on one thread, with NumPy; matrix products on all.
Cumulative masses are summed in the precision of the points: in float32 a million of weights leave two or three
digits of the distance.
"""

from __future__ import annotations

import numpy as np

from .base import Adapter, Answer
from .pot import _import


class Distance(Adapter):
    """``ot.sliced_wasserstein_distance`` on NumPy arrays."""

    modules = ("ot",)
    knob = None

    def prepare(self):
        self.ot = _import()
        p = self.problem
        self.arrays = [p.x, p.y, *p.told_weights]
        self.directions = np.ascontiguousarray(p.directions.T)

    def run(self, setting):
        return self.solve()(*self.arrays, p=2, projections=self.directions, log=True)

    def solve(self):
        return self.ot.sliced_wasserstein_distance

    def answer(self, raw):
        value, log = raw
        return Answer(values=np.asarray(self.numbers(log["projected_emds"]), np.float64), distance=float(value))

    def numbers(self, array):
        return array


class TorchDistance(Distance):
    """The same on torch CPU tensors.

    Options
    -------
    backward : bool
        The gradient by both clouds too; False by default: no graph.
    """

    modules = ("ot", "torch")

    def prepare(self):
        super().prepare()
        import torch

        torch.set_num_threads(self.threads)
        self.backward = self.options.get("backward", False)
        self.arrays = [None if array is None else torch.from_numpy(array) for array in self.arrays]
        self.directions = torch.from_numpy(self.directions)
        for z in self.arrays[:2]:
            z.requires_grad_(self.backward)

    def run(self, setting):
        for z in self.arrays[:2]:
            z.grad = None
        value, log = super().run(setting)
        if self.backward:
            value.backward()
        return value.detach(), log

    def numbers(self, array):
        return array.detach().numpy()


class Maximum(Distance):
    """``ot.max_sliced_wasserstein_distance``: the largest along the directions of the problem."""

    def solve(self):
        return self.ot.max_sliced_wasserstein_distance

    def answer(self, raw):
        value, log = raw
        costs = np.asarray(log["projected_emds"], np.float64)
        top = int(np.argmax(costs))
        own = self.problem.directions[top].astype(np.float64)[None]
        return Answer(values=costs[[top]], distance=float(value), directions=own, iterations=len(costs))
