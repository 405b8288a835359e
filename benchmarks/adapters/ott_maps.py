"""Transport maps by OTT-JAX (``import ott``): ``ott.neural.methods.monge_gap``.

Squared Euclidean costs are not halved there either. Its gap is ``mean c(x, T(x))`` less the entropic value with
the entropy relative to the product of the weights: ``estimator="entropic"`` of `ot_solvers`.
"""

from __future__ import annotations

import time

import numpy as np

from .base import Adapter, Answer

#: Steps before the clock starts: the first one compiles, if nothing has.
FIRST_STEPS = 11
BATCH = 256


def ground_cost(name: str):
    """A cost of OTT by our name."""
    from ott.geometry import costs

    return {"sqeuclidean": costs.SqEuclidean, "euclidean": costs.Euclidean, "dot": costs.NegDotProduct}[name]()


class _Minibatches:
    """Endless minibatches of a sample; `at` is called before each one with the number of those before."""

    def __init__(self, points, seed: list[int], at=None):
        self.points, self.at, self.drawn = points, at, 0
        self.generator = np.random.default_rng(seed)

    def __iter__(self):
        return self

    def __next__(self):
        if self.at is not None:
            self.at(self.drawn)
        self.drawn += 1
        return self.points[self.generator.integers(0, len(self.points), BATCH)]


class Training(Adapter):
    """``MongeGapEstimator`` with the settings of its tutorial: ``train_map_estimator``, without logging.

    Options
    -------
    strength : float
        Of the gap; the entropic one is all there is.
    """

    modules = ("ott", "jax", "flax", "optax", "diffrax")
    knob = None
    random = True

    def prepare(self):
        import jax
        import optax
        from ott.neural.methods import monge_gap
        from ott.neural.networks import potentials
        from ott.tools import sinkhorn_divergence

        self.jax, self.estimator = jax, None
        p, cost = self.problem, ground_cost(self.problem.cost)
        self.model = potentials.PotentialMLP(dim_hidden=[32, 64, 32], is_potential=False, act_fn=jax.nn.gelu)
        self.optimiser = optax.adam(1e-3)

        def fitting(images, y):
            return sinkhorn_divergence.sinkdiv(images, y, cost_fn=cost, epsilon=p.eps)[0], None

        def gap(x, images):
            return monge_gap.monge_gap_from_samples(x, images, cost_fn=cost, epsilon=0.1 * p.eps), None

        def new_estimator(steps: int):
            strength = self.options["strength"]
            return monge_gap.MongeGapEstimator(
                dim_data=p.x.shape[1], model=self.model, optimizer=self.optimiser, fitting_loss=fitting,
                regularizer=gap if strength else None, regularizer_strength=strength, num_train_iters=steps,
            )  # fmt: skip

        self.new_estimator = new_estimator

    def _begun(self, setting):
        """The estimator with fresh parameters; its compiled step is kept from run to run."""
        if self.estimator is None or self.estimator.num_train_iters != setting.max_iter:
            self.estimator = self.new_estimator(setting.max_iter)
        key = self.jax.random.PRNGKey(setting.seed)
        self.estimator.state_neural_net = self.model.create_train_state(
            key, self.optimiser, self.problem.x.shape[1]
        )
        return self.estimator

    def compile(self, setting):
        estimator = self._begun(setting)
        batch = {"source": self.problem.x[:BATCH], "target": self.problem.y[:BATCH]}
        state, _ = estimator.step_fn(estimator.state_neural_net, batch, None, False, 0)
        self.jax.block_until_ready(state.params)

    def run(self, setting):
        estimator, times = self._begun(setting), []

        def look(drawn: int) -> None:
            if drawn == FIRST_STEPS:
                self.jax.block_until_ready(estimator.state_neural_net.params)
                times.append(time.perf_counter())

        x, y = self.problem.x, self.problem.y
        train = _Minibatches(x, [setting.seed, 0], look), _Minibatches(y, [setting.seed, 1])
        valid = _Minibatches(x, [setting.seed, 2]), _Minibatches(y, [setting.seed, 3])
        state, _ = estimator.train_map_estimator(*train, *valid)
        self.jax.block_until_ready(state.params)
        times.append(time.perf_counter())
        return state, times, setting.max_iter

    def answer(self, raw):
        state, (start, end), steps = raw
        images = state.apply_fn({"params": state.params}, self.problem.held_x)
        timed = steps - FIRST_STEPS
        details = {"seconds_per_step": (end - start) / timed, "timed_steps": timed}
        return Answer(images=np.asarray(images, np.float64), iterations=steps, details=details)


class Gap(Adapter):
    """``monge_gap_from_samples``, the entropic one, with its default threshold."""

    modules = ("ott", "jax", "flax", "optax", "diffrax")
    knob = None

    def prepare(self):
        import jax
        from ott.neural.methods import monge_gap

        if self.problem.dtype == np.float64:
            jax.config.update("jax_enable_x64", True)
        self.jax, self.executable = jax, None
        p, cost = self.problem, ground_cost(self.problem.cost)

        def gap(x, images, eps):
            return monge_gap.monge_gap_from_samples(x, images, cost_fn=cost, epsilon=eps)

        self.gap = gap
        self.arrays = [
            (jax.device_put(p.x), jax.device_put(z), jax.device_put(np.asarray(p.eps * scale, p.dtype)))
            for z, scale in zip(p.images, p.scales)
        ]

    def compile(self, setting):
        if self.executable is None:
            self.executable = self.jax.jit(self.gap).lower(*self.arrays[0]).compile()

    def run(self, setting):
        return self.jax.block_until_ready([self.executable(*arrays) for arrays in self.arrays])

    def answer(self, raw):
        return Answer(values=np.array([float(value) for value in raw]))
