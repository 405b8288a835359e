"""Sinkhorn-Newton-Sparse as published, in the implementation of `ot_solvers`.

An adapter of its own because its figures are not the package's best: the method is a contender like any other.
"""

from __future__ import annotations

from dataclasses import replace

from .base import Setting
from .ours import Dense


class SNS(Dense):
    """``ots.solve(method=ots.SNS(...))``. Iterations are those of the paper: sweeps plus Newton steps.

    Options
    -------
    times_n : sequence of numbers
        Densities as multiples of ``1 / n``, in decreasing order: the smallest is taken down to which all suffice
        (the first where none does). It is looked for in `compile`, which is not timed as a run.
    sinkhorn_steps : int
        Sweeps before the first Newton step.
    passes : int
        Passes over the cost, after those sweeps, that a density may take.
    newton_steps : int or None
        Newton steps that a density may take to suffice.
    """

    def prepare(self):
        super().prepare()
        self.times_n = None

    def compile(self, setting: Setting):
        if self.times_n is not None:
            return
        self.times_n, *smaller = self.options["times_n"]
        if smaller and self.suffices(self.times_n, setting):
            for times in smaller:
                if not self.suffices(times, setting):
                    return
                self.times_n = times

    def suffices(self, times_n: float, setting: Setting) -> bool:
        """Whether a density reaches the accuracy within its limits."""
        solution = self.solution(times_n, setting)
        most = self.options.get("newton_steps")
        return solution.converged and (most is None or solution.diagnostics["newton_steps"] <= most)

    def solution(self, times_n: float, setting: Setting):
        n, m = self.problem.shape
        steps = self.options["sinkhorn_steps"]
        return self.solve(
            *self.arrays,
            reg=self.problem.eps,
            method=self.ots.SNS(sinkhorn_steps=steps, density=min(1.0, times_n / min(n, m))),
            tol=setting.threshold,
            max_iter=steps + self.options["passes"],
            on_failure="ignore",
        )

    def run(self, setting: Setting):
        return self.solution(self.times_n, setting), setting

    def answer(self, raw):
        solution, _ = raw
        counts = {name: int(count) for name, count in solution.diagnostics.items()}
        details = {"times_n": self.times_n, "passes": int(solution.n_iter), **counts}
        iterations = counts["sinkhorn_steps"] + counts["newton_steps"]
        return replace(super().answer(raw), iterations=iterations, details=details)
