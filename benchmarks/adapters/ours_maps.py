"""Transport maps by `ot_solvers`, through its public API."""

from __future__ import annotations

import time

import numpy as np

from .base import Adapter, Answer, Setting

#: Steps before the clock of a training starts, and of a training that only compiles.
FIRST_STEPS = 11
#: Points of other fits that only compile.
FEW = 2000


def plain_network(d: int, seed: int):
    """Three hidden layers and nothing else."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(d, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU()]
        return nn.Sequential(*layers, nn.Linear(64, d))


class Fit(Adapter):
    """A map of ``ots.maps`` fitted to the samples.

    Options
    -------
    map : {"MongeGapMap", "EntropicMap", "LinearMap", "IdentityMap"}
    options : dict
        Of the map; without any, its defaults.
    """

    modules = ("ot_solvers",)
    knob = None

    def prepare(self):
        import ot_solvers as ots

        ots.set_num_threads(self.threads)
        self.maps = ots.maps

    @property
    def points(self):
        return self.problem.x, self.problem.y

    def new_map(self, setting: Setting):
        return getattr(self.maps, self.options["map"])(**self.options.get("options", {}))

    def compile(self, setting):
        self.new_map(setting).fit(*(z[:FEW] for z in self.points))

    def run(self, setting):
        return self.new_map(setting).fit(*self.points)

    def answer(self, raw):
        # Points in float64: figures are those of maps, not of the rounding of their images.
        held = np.asarray(self.problem.held_x, np.float64)
        return Answer(images=np.asarray(raw.transform(held), np.float64))


class NetworkFit(Fit):
    """The same for ``MongeGapMap``, whose seed is that of the run, for the cost of the problem.

    Options
    -------
    options : dict
        Of the map.
    network : "plain"
        A multilayer perceptron whose images begin in a heap, in place of the built-in network, which begins at or
        near the identity.
    """

    modules = ("ot_solvers", "torch")
    random = True

    def prepare(self):
        super().prepare()
        import torch

        torch.set_num_threads(self.threads)

    def new_map(self, setting, **more):
        steps = {} if setting.max_iter is None else {"steps": setting.max_iter}
        options = {
            **self.options.get("options", {}),
            **steps,
            "seed": setting.seed,
            "on_failure": "ignore",
            **more,
        }
        if self.options.get("network") == "plain":
            options["network"] = plain_network(self.problem.x.shape[1], setting.seed)
        return self.maps.MongeGapMap(self.problem.cost, **options)

    def compile(self, setting):
        # All points: validation is of as many as in the fit that is timed, and so is what compiles for it.
        self.new_map(Setting(max_iter=FIRST_STEPS, seed=setting.seed)).fit(*self.points)

    def answer(self, raw):
        found = super().answer(raw)
        done = raw.history_[-1].step
        claim = raw.status_.name == "COMPLETED"
        return Answer(images=found.images, iterations=done, claim=claim)


class Training(NetworkFit):
    """Training with the settings of a peer: its network, its loss, its steps of Adam, no validation.

    The learning rate falls and parameters are averaged as they are by default.

    Options
    -------
    strength : float
        Of the gap.
    estimator : {"exact", "debiased"}
        Of the gap.
    """

    def new_map(self, setting, **more):
        eps = self.problem.eps
        return super().new_map(
            setting, hidden=(32, 64, 32), start="identity", fitting="sinkhorn", fitting_reg=eps,
            strength=self.options["strength"], gap_reg=0.1 * eps, estimator=self.options["estimator"],
            batch_size=256, learning_rate=1e-3, validation=0.0, **more,
        )  # fmt: skip

    def run(self, setting):
        times = []

        def look(progress) -> None:
            times.append((progress.step, time.perf_counter()))

        return self.new_map(setting, callback=look).fit(*self.points), times

    def answer(self, raw):
        fitted, times = raw
        found = super().answer(fitted)
        (first, start), (last, end) = next(t for t in times if t[0] >= FIRST_STEPS), times[-1]
        details = {"seconds_per_step": (end - start) / (last - first), "timed_steps": last - first}
        return Answer(images=found.images, iterations=found.iterations, claim=found.claim, details=details)


class Gap(Adapter):
    """``ots.maps.monge_gap`` of maps that are optimal.

    Options
    -------
    estimator : {"exact", "debiased"}
    """

    modules = ("ot_solvers",)
    knob = None

    def prepare(self):
        import ot_solvers as ots

        ots.set_num_threads(self.threads)
        self.monge_gap = ots.maps.monge_gap

    def compile(self, setting):
        self.run(setting)

    def run(self, setting: Setting):
        p, estimator = self.problem, self.options["estimator"]
        regs = [None] * len(p.scales) if estimator == "exact" else p.eps * p.scales
        return [
            self.monge_gap(p.x, z, cost=p.cost, reg=reg, estimator=estimator, on_failure="ignore")
            for z, reg in zip(p.images, regs)
        ]

    def answer(self, raw):
        others = sum(gap.estimator != self.options["estimator"] for gap in raw)
        return Answer(
            values=np.array([float(gap) for gap in raw]),
            claim=all(gap.converged for gap in raw),
            details={"replaced": float(others)},
        )
