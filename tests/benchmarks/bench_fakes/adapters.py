"""Adapters without a library, for tests of the runner."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.adapters import Adapter, Answer


class Halving(Adapter):
    """A "solver" of the product plan whose marginal error halves with every iteration.

    It stops on a measure of its own: a hundredth of the true error.
    """

    modules = ("json",)

    def prepare(self):
        pass

    def run(self, setting):
        time.sleep(self.options.get("seconds", 0.0) * (setting.max_iter or 1))
        steps = setting.max_iter
        if not setting.fixed:
            needed = int(np.ceil(np.log2(0.01 / setting.threshold)))
            steps = min(max(needed, 0), setting.max_iter)
        return steps, setting

    def answer(self, raw):
        steps, setting = raw
        a, b = (np.asarray(v, np.float64) for v in (self.problem.a, self.problem.b))
        shift = np.where(np.arange(len(a)) % 2, -1.0, 1.0) * a * 0.5**steps
        return Answer(plan=np.outer(a + shift, b), iterations=steps, claim=not setting.fixed)


class Stuck(Halving):
    """Never gets anywhere."""

    def answer(self, raw):
        steps, _ = raw
        return Answer(plan=np.outer(self.problem.a, 2 * self.problem.b), iterations=steps)


class GivesUp(Halving):
    """Never meets its own threshold, and says so."""

    def answer(self, raw):
        a, b = self.problem.a, self.problem.b
        return Answer(plan=np.outer(a, 2 * b), iterations=raw[0], claim=None if raw[1].fixed else False)


class Exact(Halving):
    """Has no stopping rule, and needs none."""

    knob = None

    def run(self, setting):
        time.sleep(self.options.get("seconds", 0.0))
        return 1, setting

    def answer(self, raw):
        return Answer(plan=np.outer(self.problem.a, self.problem.b), claim=True)


class Certified(Exact):
    """Brings potentials, and they say that its plan is not optimal."""

    def answer(self, raw):
        n, m = self.problem.shape
        return Answer(f=np.zeros(n), g=np.zeros(m), plan=np.outer(self.problem.a, self.problem.b), claim=True)


class Boaster(Exact):
    """Says that it is optimal, and misses its marginals."""

    def answer(self, raw):
        return Answer(plan=np.outer(self.problem.a, 2 * self.problem.b), claim=True)


class Broken(Halving):
    """Raises, with a path in its message."""

    def run(self, setting):
        raise RuntimeError("no such file: /home/somebody/secret/file.txt")


class Dies(Halving):
    """Takes its process along."""

    def run(self, setting):
        import os

        os._exit(3)


class Sleeps(Halving):
    """Takes too long."""

    def run(self, setting):
        time.sleep(60)


class Missing(Halving):
    """Needs a library that nobody has."""

    modules = ("a_library_that_does_not_exist",)


class Chatty(Halving):
    """Prints to stdout, as libraries do."""

    def run(self, setting):
        print("progress: 100 %", flush=True)
        return super().run(setting)


class Tilted(Exact):
    """The product plan and row potentials 0, or tilted ones: nearly optimal for a huge quadratic term.

    Only nearly: costs of order 1 change little next to it.
    """

    def answer(self, raw):
        a, b = self.problem.a, self.problem.b
        f = self.options.get("tilt", 0.0) * self.problem.gamma * (np.arange(len(a)) - 0.5 * (len(a) - 1))
        return Answer(f=f, plan=np.outer(a, b), iterations=1, claim=True)


class Climbing(Halving):
    """Row potentials whose tilt halves with every iteration; its plan is no transport plan."""

    knob = "iterations"
    pilot = (1, 2)

    def run(self, setting):
        steps = min(setting.max_iter, self.options.get("most", 1000))
        time.sleep(1e-3 * steps)
        return steps, setting

    def answer(self, raw):
        steps, _ = raw
        a, b = self.problem.a, self.problem.b
        f = 0.1 * 0.5**steps * self.problem.gamma * (np.arange(len(a)) - 0.5 * (len(a) - 1))
        return Answer(f=f, plan=np.outer(a, 2 * b), iterations=steps)


class Greedy(Exact):
    """As `Tilted`, but all mass comes from one row."""

    def answer(self, raw):
        plan = np.zeros(self.problem.shape)
        plan[0] = self.problem.b
        return Answer(f=np.zeros(len(plan)), plan=plan, iterations=1, claim=True)


class Projections(Exact):
    """A sliced distance by the book, or off by a relative error.

    Options
    -------
    off : float
    """

    def answer(self, raw):
        p = self.problem
        u, v = (np.sort(z.astype(np.float64) @ p.directions.T.astype(np.float64), axis=0) for z in (p.x, p.y))
        values = (1 + self.options.get("off", 0.0)) ** 2 * np.square(u - v).mean(axis=0)
        return Answer(values=values, distance=float(np.sqrt(values.mean())))


class Moved(Exact):
    """A "fit" that knows the right images and misses them by a shift; with a seed, by a shift for each.

    Options
    -------
    off : float
    steps : int
        That it does, whatever it is asked for.
    """

    def run(self, setting):
        return setting

    def answer(self, raw):
        images = self.problem.truth + self.options.get("off", 0.0) * (1 + raw.seed)
        details = {"seconds_per_step": 0.01 * (1 + raw.seed), "timed_steps": 10}
        return Answer(images=images, iterations=self.options.get("steps", raw.max_iter), details=details)


class RandomlyMoved(Moved):
    """The same, of those that depend on a seed."""

    random = True


class Gaps(Exact):
    """The same number for all maps, in units of the mean costs.

    Options
    -------
    off : float
    """

    def answer(self, raw):
        return Answer(values=self.options.get("off", 0.0) * self.problem.scales)
