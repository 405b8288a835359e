"""`ot_solvers` itself, through its public API only.

The judge's convention is this package's own, and ``tol`` is the judge's measure: nothing is converted and
nothing is tuned.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .base import Adapter, Answer, Setting
from .scipy_exact import assignment_plan


class Dense(Adapter):
    """``ots.solve`` on a stored cost.

    Options
    -------
    kernel : {"log", "stored"} or None
        With a fixed number of iterations: which sweep, everything that saves iterations switched off. Ignored
        where the solver is asked for an accuracy.
    method : str
        Where the solver is asked for an accuracy: ``method=`` of the call, ``"auto"`` by default.
    """

    modules = ("ot_solvers",)
    knob = None

    def prepare(self):
        import ot_solvers

        self.ots = ot_solvers
        p = self.problem
        self.arrays = (*self.cost_arrays(), p.a, p.b)

    def cost_arrays(self):
        return (self.problem.C,)

    def solve(self, *arrays, **keywords):
        return self.ots.solve(*arrays, **keywords)

    def run(self, setting: Setting):
        keywords = {"reg": self.problem.eps, "on_failure": "ignore"}
        if setting.fixed:
            method = self.ots.Sinkhorn(
                annealing=None,
                acceleration=None,
                **({"kernel": k} if (k := self.options.get("kernel")) else {}),
            )
            keywords |= {"method": method, "tol": 0, "max_iter": setting.max_iter}
        else:
            method = self.options.get("method", "auto")
            keywords |= {"method": method, "tol": setting.threshold, "max_iter": setting.max_iter}
        solution = self.solve(*self.arrays, **keywords)
        return solution, setting

    def answer(self, raw):
        solution, setting = raw
        f, g = (np.asarray(v, np.float64) for v in solution.potentials)
        claim = None if setting.fixed else bool(solution.converged)
        return Answer(f=f, g=g, iterations=int(solution.n_iter), claim=claim)


class Sample(Dense):
    """``ots.solve_sample`` on points, squared Euclidean cost: no matrix is formed."""

    def cost_arrays(self):
        return self.problem.x, self.problem.y

    def solve(self, *arrays, **keywords):
        return self.ots.solve_sample(*arrays, **keywords)


class Exact(Dense):
    """``ots.solve`` without regularisation, partial where the problem says so.

    Options
    -------
    method : str
        ``"auto"`` by default.
    """

    def run(self, setting: Setting):
        method = self.options.get("method", "auto")
        return self.solve(*self.arrays, mass=self.problem.mass, method=method, on_failure="ignore")

    def answer(self, raw):
        f, g = (np.asarray(v, np.float64) for v in raw.potentials)
        details = {"claimed gap": float(raw.gap), "value": float(raw.value), **raw.diagnostics}
        return Answer(
            f=f,
            g=g,
            plan=raw.sparse_plan(),
            iterations=int(raw.n_iter),
            claim=bool(raw.converged),
            details=details,
        )


class ExactSample(Exact):
    """``ots.solve_sample`` on points, squared Euclidean cost, without regularisation: no matrix is formed."""

    def cost_arrays(self):
        return self.problem.x, self.problem.y

    def solve(self, *arrays, **keywords):
        return self.ots.solve_sample(*arrays, **keywords)


class Quadratic(Dense):
    """``ots.solve`` with a quadratic term, and few entries per column where the problem says so."""

    def reg(self):
        p = self.problem
        return self.ots.Quadratic(p.gamma) if p.k is None else self.ots.SparsityConstrained(p.gamma, p.k)

    def compile(self, setting: Setting):
        """A small problem whole: a solve that is cut short does not come to all kernels."""
        some = [z[:40] for z in self.cost_arrays()]
        some = [z[:, :40] if len(some) == 1 else z for z in some]
        for reg in (self.reg(), self.ots.SparsityConstrained(self.problem.gamma, 2)):
            self.answer((self.solve(*some, reg=reg, on_failure="ignore"), setting))

    def run(self, setting: Setting):
        keywords = {} if setting.fixed else {"tol": setting.threshold}
        solution = self.solve(
            *self.arrays, reg=self.reg(), max_iter=setting.max_iter, on_failure="ignore", **keywords
        )
        return solution, setting

    def answer(self, raw):
        solution, setting = raw
        details = {
            "claimed gap": float(solution.gap),
            "value": float(solution.value),
            "dual value": float(solution.dual_value),
            **{name: float(value) for name, value in solution.diagnostics.items()},
        }
        return Answer(
            f=np.asarray(solution.potentials[0], np.float64),
            plan=solution.sparse_plan(1.0),
            iterations=int(solution.n_iter),
            claim=None if setting.fixed else bool(solution.converged),
            details=details,
        )


class QuadraticSample(Quadratic):
    """``ots.solve_sample`` on points, squared Euclidean cost, with a quadratic term: no matrix is formed."""

    def cost_arrays(self):
        return self.problem.x, self.problem.y

    def solve(self, *arrays, **keywords):
        return self.ots.solve_sample(*arrays, **keywords)


class QuadraticDual(Quadratic):
    """`Quadratic`, ended by ``max_iter`` when its dual value is high enough: no plan is repaired.

    The plan of a dual point has exact columns and misses the rows, as those of other dual solvers do.
    """

    knob = "iterations"


class Wasserstein(ExactSample):
    """``ots.wasserstein`` of order 2, to half of the relative gap that the cost may have."""

    def run(self, setting: Setting):
        rtol = 0.5 * setting.threshold
        found = self.ots.wasserstein(*self.arrays, p=2, rtol=rtol, on_failure="ignore")
        return found.solution


class Pairwise(Dense):
    """``ots.pairwise_wasserstein`` on pairs of small measures, order 1."""

    def prepare(self):
        import ot_solvers

        self.ots = ot_solvers
        self.measures = [measure for x, a, y, b in self.problem.pairs() for measure in ((x, a), (y, b))]
        self.wanted = [(k, k + 1) for k in range(0, len(self.measures), 2)]

    def run(self, setting: Setting):
        return self.ots.pairwise_wasserstein(self.measures, p=1, pairs=self.wanted)

    def answer(self, raw):
        return Answer(values=raw, claim=True)


class Batch(Dense):
    """``ots.solve_batch`` on a batch of stored costs, values and potentials."""

    def run(self, setting: Setting):
        solution = self.solve(
            *self.arrays,
            reg=self.problem.eps,
            tol=setting.threshold,
            max_iter=setting.max_iter,
            on_failure="ignore",
        )
        return solution, solution.value, solution.potentials

    def solve(self, *arrays, **keywords):
        return self.ots.solve_batch(*arrays, **keywords)

    def answer(self, raw):
        solution, _, (f, g) = raw
        return Answer(
            f=np.asarray(f, np.float64),
            g=np.asarray(g, np.float64),
            iterations=int(np.asarray(solution.n_iter).max()),
            claim=bool(np.all(solution.converged)),
        )


class BatchSample(Batch):
    """``ots.solve_sample_batch`` on points."""

    def cost_arrays(self):
        return self.problem.x, self.problem.y

    def solve(self, *arrays, **keywords):
        return self.ots.solve_sample_batch(*arrays, **keywords)


class BatchLoop(Batch):
    """A loop over ``ots.solve``."""

    def run(self, setting: Setting):
        C, a, b = self.arrays
        keywords = {"reg": self.problem.eps, "tol": setting.threshold, "max_iter": setting.max_iter}
        return [self.ots.solve(each, a, b, on_failure="ignore", **keywords) for each in C]

    def answer(self, raw):
        f, g = (np.stack([np.asarray(s.potentials[side], np.float64) for s in raw]) for side in (0, 1))
        return Answer(f=f, g=g, iterations=max(s.n_iter for s in raw), claim=all(s.converged for s in raw))


class BatchExact(BatchSample):
    """``ots.solve_sample_batch`` on points without regularisation: plans, and which target each source gets."""

    def run(self, setting: Setting):
        solution = self.solve(*self.arrays, reg=None, on_failure="ignore")
        return solution, [each.sparse_plan(1.0) for each in solution]

    def answer(self, raw):
        from scipy import sparse

        solution, plans = raw
        g = np.asarray(solution.potential_b, np.float64)
        return Answer(g=g, plan=sparse.vstack(plans).tocsr(), claim=bool(np.all(solution.converged)))


class Grid(Dense):
    """``ots.solve_grid`` on densities on one square grid: axes instead of a matrix.

    Options
    -------
    cost : str
        One that is a sum over the axes.
    """

    def cost_arrays(self):
        return ()

    def solve(self, a, b, **keywords):
        return self.ots.solve_grid(
            a.reshape(self.shape), b.reshape(self.shape), axes=self.axes, cost=self.options["cost"], **keywords
        )

    def prepare(self):
        super().prepare()
        points = self.problem.x
        self.axes = tuple(np.unique(points[:, k]) for k in range(points.shape[1]))
        self.shape = tuple(len(axis) for axis in self.axes)

    def answer(self, raw):
        answer = super().answer(raw)
        return replace(answer, f=answer.f.ravel(), g=answer.g.ravel())


class Pairing(Adapter):
    """``OTPlanSampler("exact").assignment``: one-to-one pairs of two minibatches of points, costs included.

    Potentials, which the pairing does not return, are those of ``ots.solve_sample``: with them the judge sees that
    no other pairs are cheaper.
    """

    modules = ("ot_solvers", "torch")
    knob = None

    def prepare(self):
        import torch

        import ot_solvers as ots
        from ot_solvers.layers.torch import OTPlanSampler

        torch.set_num_threads(self.threads)
        ots.set_num_threads(self.threads)
        self.ots, self.sampler = ots, OTPlanSampler("exact")
        self.points = torch.from_numpy(self.problem.x), torch.from_numpy(self.problem.y)

    def run(self, setting: Setting):
        return self.sampler.assignment(*self.points)

    def answer(self, raw):
        p = self.problem
        solution = self.ots.solve_sample(p.x, p.y, p.a, p.b)
        f, g = (np.asarray(v, np.float64) for v in solution.potentials)
        return Answer(f=f, g=g, plan=assignment_plan(p, np.arange(len(p.a)), raw.numpy()), claim=True)
