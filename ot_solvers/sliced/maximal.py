"""Max-sliced Wasserstein distances: the direction along which two measures are farthest apart."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import validation as check
from ..api import shared_off_graph
from ..autograd import attached, on_graph
from ..errors import ConvergenceError, ConvergenceWarning, stack_depth
from ..solvers.base import is_true
from ..status import Status
from .clouds import Clouds, finite_costs
from .directions import draw, generator

__all__ = ["AscentProgress", "MaxSlicedDistance", "max_sliced_wasserstein"]

#: Random directions tried for each start, and steps after which the lower half of the starts is dropped.
TRIES, ROUND = 4, 16
#: Step sizes, relative to the natural one, that are too small to change anything.
SMALLEST = 1e-13
#: Trials around a direction at a kink: first and last width, and most rounds.
RIDGE, NARROWEST, ROUNDS = 0.1, 1e-7, 200


class AscentProgress(NamedTuple):
    """One step of the ascent.

    Attributes
    ----------
    iteration : int
    value : float
        The largest distance so far.
    slope : float
        Length of the slope of its p-th power on the sphere.
    seconds : float
    """

    iteration: int
    value: float
    slope: float
    seconds: float


class MaxSlicedDistance:
    """A max-sliced Wasserstein distance; ``float(result)`` is its value.

    Attributes
    ----------
    p : float
    n_iter : int
        Times that costs and slopes were computed, each time of all directions still followed.
    status : Status
        CONVERGED where the slope vanishes, or at a kink where no step along the slope goes up: the best of the
        places that the starts have led to. Kinks of few points may be ridges, a little below the next maximum.
    seconds : float
    """

    def __init__(
        self, clouds: Clouds, power: float, direction: np.ndarray, n_iter: int, status: Status, seconds: float
    ):
        self.p, self.n_iter, self.status, self.seconds = clouds.p, n_iter, status, seconds
        self._clouds, self._library, self._power, self._direction = clouds, clouds.library, power, direction

    def __getstate__(self):
        # The points are kept for derivatives only.
        return {**self.__dict__, "_clouds": None}

    @property
    def value(self) -> Any:
        """The distance, root taken."""
        return self._library.scalar(float(self))

    @property
    def direction(self) -> Any:
        """(d,) unit vector."""
        return self._library.array(self._direction.copy())

    @property
    def converged(self) -> bool:
        """Whether `status` is CONVERGED."""
        return self.status is Status.CONVERGED

    def __float__(self) -> float:
        return max(self._power, 0.0) ** (1.0 / self.p)

    def __repr__(self) -> str:
        return f"MaxSlicedDistance({float(self):.10g}, p={self.p:g}, n_iter={self.n_iter}, {self.status.name})"


def max_sliced_wasserstein(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    p: float = 2,
    n_starts: int = 32,
    tol: float = 1e-6,
    max_iter: int = 500,
    seed: Any = None,
    backend: str = "auto",
    callback: Callable[[AscentProgress], object] | None = None,
    on_failure: str = "warn",
) -> MaxSlicedDistance:
    """Largest Wasserstein distance between projections on a line.

    ``max over unit theta of W_p(theta'x, theta'y)``, by projected gradient ascent from several starts: the
    difference of the means, the directions in which variances differ most, and the best of many random ones. Never
    more than the maximum; as a rule a local one, see `MaxSlicedDistance.status`.

    Parameters
    ----------
    x : (n, d) array
        Source points.
    y : (m, d) array
        Target points, of the same array library.
    a : (n,) array >= 0, optional
        Source weights; uniform with sum 1 by default.
    b : (m,) array >= 0, optional
        Target weights.
    p : float >= 1
        Order.
    n_starts : int
        Directions to start from.
    tol : float > 0
        The ascent ends where the slope on the sphere is at most `tol` times p times the p-th power of the
        distance, or at a kink, where no step goes up.
    max_iter : int
        Most steps.
    seed : None, int or numpy Generator
    backend : {"auto", "numba", "reference"}
    callback : callable, optional
        Called with an `AscentProgress` after each step; returning True stops with the best so far.
    on_failure : {"warn", "raise", "ignore"}
        What to do when `max_iter` steps were not enough.

    Returns
    -------
    MaxSlicedDistance
        Acts as a float; ``.value``, ``.direction``.

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument.

    Notes
    -----
    Tensors that require gradients stay on their graph: the direction is held, as the envelope theorem allows. The
    maximum may be at a kink, where two projections change places (common for few points): what comes back there is
    a derivative of one of the plans that meet. See [deshpande:19]_.

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> x = np.random.default_rng(0).normal(size=(500, 10))
    >>> round(float(ots.max_sliced_wasserstein(x, x + np.eye(10)[3], seed=0)), 6)
    1.0
    """
    leaves = {"x": x, "y": y, "a": a, "b": b}
    x, y, a, b = shared_off_graph(x, y, a, b)
    clouds = Clouds.read(x, y, a, b, p, backend)
    check.choice(on_failure, "on_failure", ("warn", "raise", "ignore"))
    if callback is not None and not callable(callback):
        raise TypeError(f"callback={callback!r} is not callable")
    share = check.number(tol, "tol")
    if not share > 0:
        raise ValueError(f"tol={tol!r} must be positive")
    most, starts = check.count(max_iter, "max_iter"), check.count(n_starts, "n_starts")
    ascent, rng = _Ascent(clouds, share, callback), generator(seed)
    status = ascent.run(_starts(clouds, starts, rng), most)
    if status is Status.CONVERGED:
        ascent.polish(rng)
    power, direction = ascent.best()
    result = MaxSlicedDistance(
        clouds, power, direction, ascent.n_iter, status, time.perf_counter() - ascent.started
    )
    if status is Status.MAX_ITER:
        message = (
            f"max_iter={most} steps were not enough to reach tol={share:g}: raise one of them; the value "
            "is a lower bound all the same"
        )
        if on_failure == "raise":
            raise ConvergenceError(message, result)
        if on_failure == "warn":
            warnings.warn(message, ConvergenceWarning, stacklevel=stack_depth())
    return attached("max_sliced", result, **leaves) if on_graph(*leaves.values()) else result


def _starts(clouds: Clouds, count: int, rng: np.random.Generator) -> np.ndarray:
    """(at most count, d) directions."""
    d = clouds.d
    pool = draw(TRIES * count, d, "orthogonal", rng).vectors
    means, spreads = [], []
    x, y = clouds.in_range()
    for z, w in ((x, clouds.a), (y, clouds.b)):
        centre = w @ z
        around = (z - centre) * np.sqrt(w)[:, None]
        means.append(centre)
        spreads.append(around.T @ around if d <= 512 else None)
    guesses = [means[0] - means[1]]
    if spreads[0] is not None:
        _, vectors = np.linalg.eigh(spreads[0] - spreads[1])
        guesses += [vectors[:, 0], vectors[:, -1]]
    known = np.array([guess / np.linalg.norm(guess) for guess in guesses if np.linalg.norm(guess) > 0])
    pool = np.concatenate([known.reshape(-1, d), pool])
    costs = clouds.costs(pool)
    return pool[np.argsort(-costs, kind="stable")[:count]]


class _Ascent:
    """Gradient ascent on the sphere, all directions at once, each with its own step size."""

    def __init__(self, clouds: Clouds, tol: float, callback):
        self.clouds, self.tol, self.callback = clouds, tol, callback
        self.started = time.perf_counter()
        self.n_iter = 0
        #: What costs are measured in: squares of slopes would overflow or vanish long before the costs do.
        self.unit = 1.0

    def evaluate(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Costs in units, for a mass of 1, and their slopes on the sphere."""
        clouds = self.clouds
        found = clouds.engine.projected_slopes(
            clouds.x, clouds.y, clouds.a, clouds.b, vectors, clouds.p, np.ones(len(vectors)), ["directions"]
        )
        finite_costs(clouds.mass * found.values)
        assert found.directions is not None  # asked for
        costs, slopes = found.values / self.unit, found.directions / self.unit
        self.n_iter += 1
        return costs, slopes - (slopes * vectors).sum(axis=1, keepdims=True) * vectors

    def best(self) -> tuple[float, np.ndarray]:
        """The highest cost, and its direction."""
        top = int(np.argmax(self.costs))
        return self.power(top), self.vectors[top]

    def power(self, k: int) -> float:
        """Cost of a direction, of all the mass."""
        return self.clouds.mass * (self.unit * float(self.costs[k]))

    def run(self, vectors: np.ndarray, max_iter: int) -> Status:
        self.vectors = vectors
        self.costs, self.slopes = self.evaluate(vectors)
        highest = float(self.costs.max())
        if highest > 0:
            self.unit = highest
            self.costs, self.slopes = self.costs / highest, self.slopes / highest
        # The natural step of a quadratic form: with p = 2 and a fixed plan it is one of power iteration.
        natural = np.divide(1.0, self.clouds.p * self.costs, out=np.zeros(len(vectors)), where=self.costs > 0)
        steps = np.ones(len(vectors))
        for iteration in range(1, max_iter + 1):
            sizes = np.linalg.norm(self.slopes, axis=1)
            done = (sizes <= self.tol * self.clouds.p * self.costs) | (steps < SMALLEST)
            if self._stops(iteration, sizes):
                return Status.STOPPED_BY_CALLBACK
            if done.all():
                return Status.CONVERGED
            trial = self.vectors + (steps * natural)[:, None] * self.slopes
            trial /= np.linalg.norm(trial, axis=1, keepdims=True)
            costs, slopes = self.evaluate(trial)
            # Armijo's rule, with what the slope promises.
            better = costs >= self.costs + 1e-4 * steps * natural * sizes**2
            better &= costs > self.costs
            self.costs = np.where(better, costs, self.costs)
            self.slopes[better], self.vectors = slopes[better], np.where(better[:, None], trial, self.vectors)
            steps = np.where(better, steps * 2.0, steps * 0.25)
            if iteration % ROUND == 0 and len(steps) > 2:
                kept = np.sort(np.argsort(-self.costs, kind="stable")[: -(-len(steps) // 2)])
                self.vectors, self.costs, self.slopes = self.vectors[kept], self.costs[kept], self.slopes[kept]
                steps, natural = steps[kept], natural[kept]
        return Status.MAX_ITER

    def polish(self, rng: np.random.Generator) -> None:
        """Go on from the best direction by trial, if it ended at a kink: along a ridge slopes point across."""
        top = int(np.argmax(self.costs))
        if np.linalg.norm(self.slopes[top]) <= self.tol * self.clouds.p * self.costs[top]:
            return
        clouds, width = self.clouds, RIDGE
        args = clouds.x, clouds.y, clouds.a, clouds.b
        for _ in range(ROUNDS):
            steps = rng.standard_normal((TRIES * 4, clouds.d)) / math.sqrt(clouds.d)
            around = self.vectors[top] + width * steps
            around /= np.linalg.norm(around, axis=1, keepdims=True)
            costs = clouds.engine.projected_wasserstein(*args, around, clouds.p) / self.unit
            self.n_iter += 1
            k = int(np.argmax(costs))
            if costs[k] > self.costs[top]:
                self.costs[top], self.vectors[top] = costs[k], around[k]
                width = min(1.5 * width, RIDGE)
            else:
                width *= 0.6
            if width < NARROWEST:
                return

    def _stops(self, iteration: int, sizes: np.ndarray) -> bool:
        if self.callback is None:
            return False
        top = int(np.argmax(self.costs))
        seconds = time.perf_counter() - self.started
        value = self.clouds.root(self.power(top))
        slope = self.clouds.mass * (self.unit * float(sizes[top]))
        return is_true(self.callback(AscentProgress(iteration, value, slope, seconds)))
