"""OTT-JAX (``import ott``).

Convention: ``P = exp((f + g - C) / eps)``, cost units, the weights absorbed into the potentials. To ours:
subtract ``eps log a`` and ``eps log b``.

The library's error is the 1-norm of one marginal (the other side is exact after its update). Solvers are
compiled ahead of time, one executable per iteration limit, with the threshold as a runtime argument;
nothing but potentials and errors is returned, so that XLA drops the objective. float64 needs
``jax_enable_x64``, set before any array.
"""

from __future__ import annotations

import numpy as np

from .base import Adapter, Answer, Setting


class Dense(Adapter):
    """``ott.solvers.linear.sinkhorn.Sinkhorn`` on a stored cost.

    Options
    -------
    lse_mode : bool
        Log-domain (default) or kernel mode.
    momentum : dict or None
        Arguments of ``acceleration.Momentum``.
    anderson : dict or None
        Arguments of ``acceleration.AndersonAcceleration``.
    decay : float or None
        Geometric decay of an ε-schedule that starts at the largest cost.
    inner_iterations : int
        Iterations between two looks at the error.
    """

    modules = ("ott", "jax")

    def prepare(self):
        import jax
        import ott  # noqa: F401  (its import is no part of a compilation)

        if self.problem.dtype == np.float64:
            jax.config.update("jax_enable_x64", True)
        self.jax = jax
        self.executables = {}
        p = self.problem
        self.arrays = tuple(jax.device_put(v) for v in (*self.cost_arrays(), p.a, p.b))

    def cost_arrays(self):
        return (self.problem.C,)

    def geometry(self, C):
        from ott.geometry import geometry

        return geometry.Geometry(cost_matrix=C, epsilon=self.epsilon())

    def epsilon(self):
        from ott.geometry import epsilon_scheduler

        decay = self.options.get("decay")
        if decay is None:
            return self.problem.eps
        return epsilon_scheduler.Epsilon(
            self.problem.eps, init=self.problem.max_cost / self.problem.eps, decay=decay
        )

    def solver(self, setting: Setting, threshold):
        from ott.solvers.linear import acceleration, sinkhorn

        momentum, anderson = self.options.get("momentum"), self.options.get("anderson")
        # With equal limits the library runs a scan and looks at the error once, at the end.
        fixed = {"min_iterations": setting.max_iter, "inner_iterations": setting.max_iter}
        tested = {"inner_iterations": self.options.get("inner_iterations", 10)}
        return sinkhorn.Sinkhorn(
            lse_mode=self.options.get("lse_mode", True),
            threshold=threshold,
            max_iterations=setting.max_iter,
            momentum=None if momentum is None else acceleration.Momentum(**momentum),
            anderson=None if anderson is None else acceleration.AndersonAcceleration(**anderson),
            **(fixed if setting.fixed else tested),
        )

    def compile(self, setting):
        from ott.problems.linear import linear_problem

        def solve(*arguments):
            *cost, a, b, threshold = arguments
            problem = linear_problem.LinearProblem(self.geometry(*cost), a=a, b=b)
            out = self.solver(setting, threshold)(problem)
            return out.f, out.g, out.errors, out.converged

        key = (setting.max_iter, setting.fixed)
        if key not in self.executables:
            lowered = self.jax.jit(solve).lower(*self.arrays, self.threshold(setting))
            self.executables[key] = lowered.compile()

    def threshold(self, setting):
        return self.problem.dtype.type(-1.0 if setting.fixed else setting.threshold)

    def run(self, setting):
        executable = self.executables[setting.max_iter, setting.fixed]
        return setting, self.jax.block_until_ready(executable(*self.arrays, self.threshold(setting)))

    def answer(self, raw):
        setting, (f, g, errors, converged) = raw
        eps = self.problem.eps
        f, g, errors = (np.asarray(v, np.float64) for v in (f, g, errors))
        with np.errstate(divide="ignore", invalid="ignore"):
            f = f - eps * np.log(self.problem.a, dtype=np.float64)
            g = g - eps * np.log(self.problem.b, dtype=np.float64)
        if setting.fixed:
            return Answer(f=f, g=g, iterations=setting.max_iter)
        # Looks at the error that were never taken keep their initial value, -1.
        looks = int(np.count_nonzero(errors != -1.0))
        iterations = min(looks * self.options.get("inner_iterations", 10), setting.max_iter)
        return Answer(f=f, g=g, iterations=iterations, claim=bool(converged))


class PointCloud(Dense):
    """The same on points; the cost is recomputed in batches of rows, never stored.

    Options
    -------
    batch_size : int
        Rows per batch (default 256).
    """

    def cost_arrays(self):
        return self.problem.x, self.problem.y

    def geometry(self, x, y):
        from ott.geometry import pointcloud

        # The default cost is the squared Euclidean one, not halved: as ours.
        return pointcloud.PointCloud(x, y, epsilon=self.epsilon(), batch_size=self.options.get("batch_size", 256))


class Batch(Dense):
    """``jax.vmap`` over problems of the same solver: all run until the last one has converged."""

    def compile(self, setting):
        from ott.problems.linear import linear_problem

        def solve(C, a, b, threshold):
            def one(cost):
                problem = linear_problem.LinearProblem(self.geometry(cost), a=a, b=b)
                out = self.solver(setting, threshold)(problem)
                return out.f, out.g, out.errors, out.converged

            return self.jax.vmap(one)(C)

        key = (setting.max_iter, setting.fixed)
        if key not in self.executables:
            lowered = self.jax.jit(solve).lower(*self.arrays, self.threshold(setting))
            self.executables[key] = lowered.compile()

    def answer(self, raw):
        setting, (f, g, errors, converged) = raw
        errors = np.asarray(errors)
        last = int(np.argmax((errors != -1.0).sum(1)))
        return super().answer((setting, (f, g, errors[last], np.all(converged))))
