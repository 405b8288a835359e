"""Sliced transport by OTT-JAX (``import ott``): ``ott.tools.sliced.sliced_wasserstein``.

It returns the mean of the squared distances, without the root, and with ``ot_costs`` what it is the mean of. The
directions of the problem enter by its projection function. Compiled ahead of time, with points, weights and
directions as arguments; nothing but costs and their mean is returned, so that XLA drops the rest.
"""

from __future__ import annotations

import numpy as np

from .base import Adapter, Answer


class Distance(Adapter):
    """Sliced distances along the directions of the problem."""

    modules = ("ott", "jax")
    knob = None

    def prepare(self):
        import jax
        import ott  # noqa: F401  (its import is no part of a compilation)

        if self.problem.dtype == np.float64:
            jax.config.update("jax_enable_x64", True)
        self.jax = jax
        p = self.problem
        # Where a side has no weights of its own, and sizes are equal, the library only sorts.
        named = {"x": p.x, "y": p.y, "directions": p.directions, **dict(zip("ab", p.told_weights))}
        self.arrays = {name: jax.device_put(array) for name, array in named.items() if array is not None}
        self.executable = None

    def compile(self, setting):
        from ott.tools import sliced

        def solve(x, y, directions, a=None, b=None):
            mean, out = sliced.sliced_wasserstein(x, y, a, b, proj_fn=lambda z: z @ directions.T)
            return mean, out.ot_costs

        if self.executable is None:
            self.executable = self.jax.jit(solve).lower(**self.arrays).compile()

    def run(self, setting):
        return self.jax.block_until_ready(self.executable(**self.arrays))

    def answer(self, raw):
        mean, costs = raw
        return Answer(values=np.asarray(costs, np.float64), distance=float(np.sqrt(np.float64(mean))))
