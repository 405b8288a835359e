"""Sliced transport by `ot_solvers`, through its public API.

Directions are rows, as in the problem. Values along directions are p-th powers already; the distance is the root
of their mean.
"""

from __future__ import annotations

import numpy as np

from .base import Adapter, Answer, Setting


class Distance(Adapter):
    """``ots.sliced_wasserstein`` along the directions of the problem."""

    modules = ("ot_solvers",)
    knob = None

    def prepare(self):
        import ot_solvers

        self.ots = ot_solvers
        p = self.problem
        self.arrays = p.x, p.y, *p.told_weights

    def run(self, setting: Setting):
        return self.ots.sliced_wasserstein(*self.arrays, directions=self.problem.directions)

    def answer(self, raw):
        return Answer(values=np.asarray(raw.per_direction, np.float64), distance=float(raw), claim=raw.converged)


class Maximum(Distance):
    """``ots.max_sliced_wasserstein`` with its defaults and seed 0: it draws its starts itself."""

    def run(self, setting: Setting):
        return self.ots.max_sliced_wasserstein(*self.arrays, seed=0, on_failure="ignore")

    def answer(self, raw):
        direction = np.asarray(raw.direction, np.float64)
        return Answer(
            values=np.array([float(raw) ** 2]),
            distance=float(raw),
            directions=direction[None],
            iterations=raw.n_iter,
            claim=bool(raw.converged),
        )


class Plan(Distance):
    """``ots.sliced_plan`` with its defaults and seed 0.

    Options
    -------
    kind : {"min", "expected"}
    """

    def run(self, setting: Setting):
        found = self.ots.sliced_plan(*self.arrays, kind=self.options["kind"], seed=0)
        return found, found.sparse_plan()

    def answer(self, raw):
        found, plan = raw
        return Answer(plan=plan, details={"value": float(found.value), "gap": float(found.gap)})


class Loss(Adapter):
    """``SlicedWassersteinLoss`` along the directions of the problem.

    Options
    -------
    backward : bool
        The gradient by both clouds too (default); without, the value alone and no graph, as in evaluation.
    """

    modules = ("ot_solvers", "torch")
    knob = None

    def prepare(self):
        import torch

        import ot_solvers as ots
        from ot_solvers.layers.torch import SlicedWassersteinLoss

        torch.set_num_threads(self.threads)
        ots.set_num_threads(self.threads)
        self.ots, self.torch = ots, torch
        p = self.problem
        self.loss = SlicedWassersteinLoss(directions=torch.from_numpy(p.directions))
        self.backward = self.options.get("backward", True)
        self.points = [torch.from_numpy(z).requires_grad_(self.backward) for z in (p.x, p.y)]
        self.weights = [None if w is None else torch.from_numpy(w) for w in p.told_weights]

    def run(self, setting: Setting):
        for z in self.points:
            z.grad = None
        value = self.loss(*self.points, *self.weights)
        if self.backward:
            value.backward()
        return value

    def answer(self, raw):
        # The layer returns the value alone; what it is the mean of comes from the function it calls.
        p = self.problem
        found = self.ots.sliced_wasserstein(p.x, p.y, *p.told_weights, directions=p.directions)
        return Answer(values=np.asarray(found.per_direction, np.float64), distance=float(raw.detach()))
