"""Sliced Wasserstein distances: means over directions of distances between projections."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import validation as check
from ..api import shared_off_graph
from ..autograd import attached, off_graph, on_graph
from ..backends.line_primitives import ProjectedSlopes
from ..errors import ConvergenceError, ConvergenceWarning, stack_depth
from ..lazy import cached_property
from ..solvers.base import is_true
from .clouds import Clouds, finite_costs
from .directions import SAMPLINGS, Directions, draw, generator, read_directions
from .estimation import CONTROL_VARIATES, Mean, estimate, harmonics, moments

__all__ = ["SlicedDistance", "SlicedProgress", "sliced_wasserstein"]

#: Directions where nothing is said about their number.
PROJECTIONS = 100
#: Projected points between two looks at the callback.
PORTION = 1 << 24


class SlicedProgress(NamedTuple):
    """How far an estimate is.

    Attributes
    ----------
    n_projections : int
        Directions so far.
    value, standard_error : float
        The distance from these, without control variates, and its standard error.
    seconds : float
    """

    n_projections: int
    value: float
    standard_error: float
    seconds: float


class SlicedDistance:
    """A sliced Wasserstein distance; ``float(result)`` is its value.

    Attributes
    ----------
    p : float
        Order.
    n_projections : int
        Number of directions.
    converged : bool
        False if a `standard_error` was asked for and not reached, or the callback has stopped.
    seconds : float
    """

    def __init__(
        self, clouds: Clouds, costs: np.ndarray, directions: np.ndarray, mean: Mean, converged: bool,
        seconds: float, slopes: ProjectedSlopes | None = None,
    ):  # fmt: skip
        self.p, self.n_projections, self.converged, self.seconds = clouds.p, len(costs), converged, seconds
        self._clouds, self._costs, self._directions, self._mean = clouds, costs, directions, mean
        self._library, self._slopes = clouds.library, slopes

    def __getstate__(self):
        # The points are kept for derivatives only.
        return {**self.__dict__, "_clouds": None, "_slopes": None}

    @cached_property
    def _number(self) -> float:
        return max(self._mean.value, 0.0) ** (1.0 / self.p)

    @property
    def power(self) -> Any:
        """Its p-th power: the mean itself."""
        return self._library.scalar(max(self._mean.value, 0.0))

    @property
    def value(self) -> Any:
        """The distance: p-th root of the mean of `per_direction`, or of the estimate with control variates."""
        return self._library.scalar(self._number)

    @cached_property
    def per_direction(self) -> Any:
        """(L,) p-th powers of the Wasserstein distances along each direction."""
        return self._library.array(self._costs)

    @cached_property
    def directions(self) -> Any:
        """(L, d) unit vectors."""
        return self._library.array(self._directions)

    @property
    def standard_error(self) -> float:
        """Standard error of `value` by the choice of directions; NaN for a single one.

        Directions that were drawn together (an orthonormal basis, a low-discrepancy set) count as one observation.
        With fewer than eight of them it is at least what it would be if all directions were independent, and so it
        is for directions that were given.
        """
        if self._directions.shape[1] == 1:
            return 0.0
        return _error_of_root(self._mean, self.p)

    def __float__(self) -> float:
        return self._number

    def __repr__(self) -> str:
        return (
            f"SlicedDistance({self._number:.10g}, p={self.p:g}, n_projections={self.n_projections}, "
            f"standard_error={self.standard_error:.2g})"
        )


def _error_of_root(mean: Mean, p: float) -> float:
    """By the slope of the root; at 0 the root itself."""
    if not mean.error > 0:
        return mean.error
    if mean.value <= 0:
        return mean.error ** (1.0 / p)
    return mean.error * mean.value ** (1.0 / p - 1.0) / p


def sliced_wasserstein(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    p: float = 2,
    n_projections: int | None = None,
    directions: Any = None,
    sampling: str = "orthogonal",
    seed: Any = None,
    control_variate: str | None = None,
    standard_error: float | None = None,
    max_projections: int = 100_000,
    backend: str = "auto",
    callback: Callable[[SlicedProgress], object] | None = None,
    on_failure: str = "warn",
) -> SlicedDistance:
    """Sliced Wasserstein distance between weighted points.

    ``SW_p = (mean over directions of W_p(theta'x, theta'y)^p)^(1/p)``. Along each direction transport is exact,
    for any weights and sizes; n log n work, no pair is ever formed.

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
    n_projections : int, optional
        Number of directions, 100 by default; the first ones with `standard_error`.
    directions : (L, d) array, optional
        Your own unit vectors, one per row, instead of drawn ones.
    sampling : {"orthogonal", "random", "qmc"}
        Orthonormal bases, independent directions, or randomised low-discrepancy sets (in two and three dimensions
        by far the best; beyond, orthogonal ones are).
    seed : None, int or numpy Generator
    control_variate : {None, "moments", "harmonics"}
        Reduce the variance by what is known about means over the sphere: of the projected means and variances, or
        of even spherical harmonics (for few dimensions, or many directions). Either needs some directions for each
        coefficient: "moments" 12, harmonics ``3 d (d + 1) / 2``.
    standard_error : float > 0, optional
        Draw more directions until the standard error of the value is at most this.
    max_projections : int
        Most directions for that.
    backend : {"auto", "numba", "reference"}
    callback : callable, optional
        Called with a `SlicedProgress` now and then; returning True ends with the directions so far.
    on_failure : {"warn", "raise", "ignore"}
        What to do when `standard_error` was not reached.

    Returns
    -------
    SlicedDistance
        Acts as a float; ``.value``, ``.per_direction``, ``.directions``, ``.standard_error``.

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument.

    Notes
    -----
    For p = 2 and any cloud, ``d SW_2^2 <= W_2^2``. Tensors that require gradients stay on their graph: the value
    and `per_direction` have derivatives by points, weights and given directions. See [bonneel:15]_, [nadjahi:20]_.

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> result = ots.sliced_wasserstein(x, x + [3.0, 0.0, 0.0], n_projections=99, seed=0)
    >>> round(float(result), 6)  # 3 / sqrt(3): bases integrate squares without error
    1.732051
    """
    leaves = {"x": x, "y": y, "a": a, "b": b, "directions": directions}
    x, y, a, b = shared_off_graph(x, y, a, b)
    directions = off_graph(directions)
    clouds = Clouds.read(x, y, a, b, p, backend, directions=directions)
    check.choice(sampling, "sampling", tuple(SAMPLINGS))
    check.choice(on_failure, "on_failure", ("warn", "raise", "ignore"))
    if control_variate is not None:
        check.choice(control_variate, "control_variate", CONTROL_VARIATES)
        if control_variate == "moments" and on_graph(*leaves.values()):
            raise TypeError(
                "control_variate='moments' has no gradients, its regression depends on the points; use 'harmonics'"
            )
    if callback is not None and not callable(callback):
        raise TypeError(f"callback={callback!r} is not callable")
    goal = _goal(standard_error)
    most = check.count(max_projections, "max_projections")
    count = None if n_projections is None else check.count(n_projections, "n_projections")
    run = _Run(clouds, control_variate, callback)
    if on_graph(*leaves.values()) and goal is None and callback is None:
        run.wanted = [name for name, leaf in leaves.items() if on_graph(leaf)]
    if directions is not None:
        vectors = read_directions(directions, clouds.d)
        if count not in (None, len(vectors)):
            raise ValueError(f"n_projections={count}, but directions has {len(vectors)} rows; give one of the two")
        if goal is not None:
            raise ValueError(f"standard_error={standard_error!r} needs more directions than those given; drop one")
        run.add(Directions(vectors, np.arange(len(vectors))))
        reached = True
    else:
        rng = generator(seed)
        count = count or PROJECTIONS
        if goal is not None:
            count = min(count, most)
        run.add(draw(count, clouds.d, sampling, rng))
        reached = goal is None or run.error <= goal or clouds.d == 1
        while goal is not None and not (reached or run.stopped) and len(run.directions) < most:
            more = min(len(run.directions), most - len(run.directions))
            run.add(draw(more, clouds.d, sampling, rng))
            reached = run.error <= goal
    result = SlicedDistance(
        clouds,
        run.costs,
        run.directions.vectors,
        run.mean,
        reached and (goal is not None or run.complete),
        run.seconds,
        run.slopes,
    )
    if goal is not None and not reached and not run.stopped:
        message = (
            f"standard_error={run.error:.3g} after {len(run.costs)} directions, {goal:.3g} asked: raise "
            "max_projections, or use sampling='qmc' in few dimensions and a control_variate"
        )
        if on_failure == "raise":
            raise ConvergenceError(message, result)
        if on_failure == "warn":
            warnings.warn(message, ConvergenceWarning, stacklevel=stack_depth())
    return attached("sliced", result, **leaves) if on_graph(*leaves.values()) else result


class _Run:
    """Costs of more and more directions."""

    def __init__(self, clouds: Clouds, control_variate: str | None, callback):
        self.clouds, self.control_variate, self.callback = clouds, control_variate, callback
        self.started = time.perf_counter()
        self.costs = np.empty(0)
        self.directions = Directions(np.empty((0, clouds.d)), np.empty(0, dtype=np.int64))
        self.stopped, self.complete = False, False
        #: Derivatives that will be asked for.
        self.wanted: list[str] = []
        self.slopes: ProjectedSlopes | None = None

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    @property
    def mean(self) -> Mean:
        return self.mean_of(self.costs)

    def mean_of(self, costs: np.ndarray) -> Mean:
        features = None
        vectors = self.directions.vectors
        if self.control_variate is not None and self.clouds.d > 1:
            clouds = self.clouds
            if self.control_variate == "harmonics":
                features = harmonics(vectors)
            else:
                features = moments(*clouds.in_range(), clouds.a, clouds.b, vectors)
        return estimate(costs, self.directions, features)

    @property
    def error(self) -> float:
        """Standard error of the distance; infinite where nothing is known."""
        error = _error_of_root(self.mean, self.clouds.p)
        return math.inf if math.isnan(error) else error

    def add(self, more: Directions) -> None:
        """Costs along more directions, or as many of them as the callback lets."""
        step = len(more) if self.callback is None else max(1, PORTION // (len(self.clouds.x) + len(self.clouds.y)))
        done = len(self.costs)
        self.directions = more if done == 0 else self.directions.then(more)
        whole = self.directions
        if self.wanted:
            # All directions are known, and with them what each counts: costs and derivatives in one go.
            scale = self.mean_of(np.zeros(len(whole))).weights
            self.slopes = self.clouds.slopes(whole.vectors, scale, self.wanted)
            self.costs, self.complete = finite_costs(self.clouds.mass * self.slopes.values), True
            return
        for start in range(done, len(whole), step):
            part = whole.vectors[start : start + step]
            self.costs = np.concatenate([self.costs, self.clouds.costs(part)])
            self.directions = Directions(whole.vectors[: len(self.costs)], whole.groups[: len(self.costs)])
            if self.callback is None:
                continue
            mean = estimate(self.costs, self.directions)
            value, error = self.clouds.root(mean.value), _error_of_root(mean, self.clouds.p)
            if is_true(self.callback(SlicedProgress(len(self.costs), value, error, self.seconds))):
                self.stopped, self.complete = True, len(self.costs) == len(whole)
                return
        self.complete = True


def _goal(value: Any) -> float | None:
    """`standard_error` as the user gave it."""
    if value is None:
        return None
    goal = check.number(value, "standard_error")
    if not (goal > 0 and math.isfinite(goal)):
        raise ValueError(f"standard_error={value!r} must be positive and finite")
    return goal
