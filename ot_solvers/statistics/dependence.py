"""The Wasserstein dependency measure: how far pairs are from being independent, in units of distance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import validation as check
from ..api import Options
from ..costs import Cost
from ..geometry import DenseGeometry, PointCloud
from ..namespaces import Library, resolve
from ..regularisers import Entropic, entropic
from ..wasserstein import order_of
from .many import Solves, exact_costs, portion
from .permutation import PermutationProgress, PermutationTest, permuted

__all__ = ["DependencyResult", "dependency"]

#: How the distances of both parts make one between pairs.
GROUNDS = ("sum", "euclidean")


class DependencyResult(PermutationTest):
    """A dependency measure with its permutation test.

    Attributes
    ----------
    value : float, or 0-d array of the caller's library
        Wasserstein distance between the pairs and shuffled pairs, the mean over `n_shuffles`. Positive also for
        independent parts: see `debiased`.
    null_values : (B,) array
        The same for permuted pairs.
    p_value : float
        Of the hypothesis that the parts are independent.
    n_permutations : int
        B, those done: fewer than asked for if a callback has stopped the test.
    n_pairs : int
    p : float
    ground : {"sum", "euclidean"}
    scale : (float, float)
        Lengths that the distances of x and y were divided by.
    n_shuffles : int
    """

    def __init__(self, value, null_values, p_value, library, *, n_pairs, p, ground, scale, n_shuffles):
        super().__init__(value, null_values, p_value, library)
        self.n_pairs, self.p, self.ground, self.scale, self.n_shuffles = n_pairs, p, ground, scale, n_shuffles

    def __repr__(self) -> str:
        rule = "d_x + d_y" if self.ground == "sum" else "sqrt(d_x^2 + d_y^2)"
        lines = [
            f"Wasserstein dependency of {self.n_pairs} pairs (p = {self.p:g})",
            f"  distance      {rule}, parts divided by {self.scale[0]:.4g} and {self.scale[1]:.4g}",
            *self._lines(),
            "  more          .value .debiased .effect .p_value .null_values .scale",
        ]
        return "\n".join(lines)


class _Shuffled(NamedTuple):
    """Which y goes to which x: in the pairs, and in the shuffled ones that they are compared with."""

    pairs: np.ndarray  # (n,)
    shuffles: list[np.ndarray]


def dependency(
    x: Any,
    y: Any,
    *,
    p: float = 1,
    ground: str = "sum",
    cost_x: Any = "euclidean",
    cost_y: Any = "euclidean",
    scale: Any = "mean",
    reg: Any = None,
    n_shuffles: int = 4,
    n_permutations: int = 199,
    seed: Any = None,
    backend: str = "auto",
    tol: float | None = None,
    callback: Callable[[PermutationProgress], object] | None = None,
    on_failure: str = "warn",
) -> DependencyResult:
    """Wasserstein dependency measure of paired samples, with a permutation test of independence.

    ``W_p`` between the pairs ``(x_i, y_i)`` and shuffled pairs ``(x_i, y_sigma(i))``, where sigma is a random
    permutation. It estimates the distance between the joint law and the product of its marginals, which is 0 for
    independent parts and nothing else, and it is in units of distance, where mutual information is not.

    Parameters
    ----------
    x : (n, d) array
    y : (n, e) array
        Of the same array library; row i belongs to row i of x.
    p : float >= 1
        Order.
    ground : {"sum", "euclidean"}
        Distance between pairs: the sum of the distances of the parts, or the root of the sum of their squares;
        with Euclidean parts that is the Euclidean distance of the concatenated points.
    cost_x, cost_y : str or Cost
        Distance of each part: ``"euclidean"``, ``"cityblock"``, ``"hamming"``, … as in `solve_sample`;
        symmetric and not negative.
    scale : "mean", None or (float, float)
        Lengths to divide the distances of both parts by. ``"mean"``: their means over all pairs of different
        points, so that units do not matter, and the population value is at most 1 for p = 1. None: distances as
        they are.
    reg : None, float or Entropic
        None: exact transport. Otherwise the entropic cost at this eps, in units of the p-th power of the scaled
        distance.
    n_shuffles : int >= 1
        Permutations sigma to take the mean over. More take noise out of the value, so that the test sees more, and
        as many times longer: for 60 pairs on a circle the mean effect is 2.4, 4.8, 5.5 standard deviations of the
        null values with 1, 3, 8.
    n_permutations : int >= 0
        Of the test; 0: only the value, with p-value 1.
    seed : None, int or numpy.random.Generator
    backend : {"auto", "numba", "reference"}
    tol : float, optional
        Marginal error of entropic problems.
    callback : callable, optional
        Called with a `PermutationProgress` every few permutations; returning True stops, with the test of those
        that are done. A stop that looks at the p-value makes it too small.
    on_failure : {"warn", "raise", "ignore"}
        What to do when entropic problems did not reach `tol`.

    Returns
    -------
    DependencyResult
        Acts as a float; ``.p_value``, ``.null_values``, ``.debiased``.

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument; for x and y of different lengths.

    Notes
    -----
    The product of the marginals has n^2 atoms; a shuffled sample stands for it with n of them. Both samples of a
    problem are random, so the value is positive for independent parts, too, and falls only like ``n^(-1/D)`` in D
    dimensions (of both parts together). The null values are distances between two shuffled samples of the same
    size: they have the same bias, and `debiased` subtracts their mean. The test is exact: given the unpaired
    points, value and null values are exchangeable under independence, ties included.

    All distances within x and within y are computed once, O(n^2) memory, and every problem is put together from
    them. Up to about 500 pairs many problems are solved at a time.

    References
    ----------
    [ozair:19]_ (the measure), [nies:21]_ (its theory, for general costs), [phipson:10]_ (p-values)

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> angle = np.random.default_rng(0).uniform(0, 2 * np.pi, size=100)
    >>> found = ots.dependency(np.cos(angle)[:, None], np.sin(angle)[:, None], seed=0)
    >>> found.p_value
    0.005
    """
    order = order_of(p)
    check.choice(ground, "ground", GROUNDS)
    check.choice(on_failure, "on_failure", ("warn", "raise", "ignore"))
    if callback is not None and not callable(callback):
        raise TypeError(f"callback={callback!r} is not callable")
    shuffles = check.count(n_shuffles, "n_shuffles", 1)
    permutations = check.count(n_permutations, "n_permutations", 0)
    smoothing = None if reg is None else entropic(reg, None)
    if smoothing is not None and smoothing.relative_to is not None:
        raise ValueError(f"reg={reg!r} is relative to a cost that every permutation changes; give eps itself")
    generator = np.random.default_rng(seed)
    name = resolve({"x": x, "y": y})
    parts = check.points(x, "x"), check.points(y, "y")
    n = len(parts[0])
    if len(parts[1]) != n:
        raise ValueError(f"x has {n} points and y {len(parts[1])}; expected pairs")
    library = Library(name, np.result_type(*parts))
    distances = [
        _distances(part, check.read_cost(cost), argument, f"cost_{argument}")
        for part, cost, argument in zip(parts, (cost_x, cost_y), "xy")
    ]
    lengths = _lengths(scale, distances)
    first, second = (D / length for D, length in zip(distances, lengths))
    measure = _Measure(first, second, order, ground, smoothing, backend, tol, Solves(on_failure))

    def shuffled(pairs: np.ndarray) -> _Shuffled:
        return _Shuffled(pairs, [generator.permutation(n) for _ in range(shuffles)])

    null = permuted(
        measure.values,
        shuffled(np.arange(n)),
        lambda: shuffled(generator.permutation(n)),
        permutations,
        max(1, portion(n, n) // shuffles),
        measure.rounding,
        callback,
    )
    measure.solves.report()
    return DependencyResult(
        null.observed, null.permuted, null.p_value, library,
        n_pairs=n, p=order, ground=ground, scale=lengths, n_shuffles=shuffles,
    )  # fmt: skip


class _Measure:
    """Distances between the pairs and their shuffles, from the distances of the parts."""

    def __init__(self, first, second, order: float, ground: str, smoothing: Entropic | None, backend, tol, solves):
        self.first, self.second, self.order, self.ground = first, second, order, ground
        self.backend, self.solves = backend, solves
        self.options = None
        if smoothing is not None:
            self.options = Options(smoothing, backend=backend, tol=tol, on_failure="ignore")
        largest = float(self.joined(first.max(), second.max()))
        if not math.isfinite(largest):
            raise ValueError(f"distances overflow float64 at p={order:g}: divide x and y by constants")
        # Of the p-th root: values of the size of rounding do not arise but from points that coincide.
        self.rounding = (1e-12 if smoothing is None else 1e-8) * largest ** (1 / order)

    def joined(self, first, second):
        """The p-th power of the distance of pairs from those of their parts."""
        with np.errstate(over="ignore"):
            if self.ground == "sum":
                return (first + second) ** self.order
            return (first * first + second * second) ** (0.5 * self.order)

    def values(self, draws: Sequence[_Shuffled]) -> np.ndarray:
        n, shuffles = len(self.first), len(draws[0].shuffles)
        problems = (
            DenseGeometry(self.joined(self.first, self.second[np.ix_(draw.pairs, shuffle)]))
            for draw in draws
            for shuffle in draw.shuffles
        )
        if self.options is None:
            costs = exact_costs(problems, len(draws) * shuffles, n, n, self.backend)
        else:
            costs = np.array([float(self.solves.solve(problem, self.options).value) for problem in problems])
        # Rounding of a cost of 0 may be below it.
        return (np.maximum(costs, 0.0) ** (1 / self.order)).reshape(-1, shuffles).mean(axis=1)


def _distances(z: np.ndarray, cost: Cost, argument: str, name: str) -> np.ndarray:
    """(n, n) float64 distances within one part."""
    if not cost.symmetric:
        raise ValueError(f"{name}={cost!r} is not symmetric; a distance is")
    cost.check(z, argument)
    with np.errstate(over="ignore"):
        D = np.asarray(PointCloud(z, z, cost).block(0, len(z)), dtype=np.float64)
    if not np.isfinite(D.max()):
        raise ValueError(f"the distances of {argument} overflow float64: divide {argument} by a constant")
    if D.min() < 0:
        raise ValueError(f"{name}={cost!r} is negative between points of {argument}; a distance is not")
    return D


def _lengths(scale: Any, distances: list[np.ndarray]) -> tuple[float, float]:
    """What the distances of both parts are divided by."""
    if scale is None:
        return 1.0, 1.0
    if isinstance(scale, str):
        check.choice(scale, "scale", ("mean",))
        n = len(distances[0])
        # One point, or a part that does not vary, has no length of its own.
        first, second = (float(D.sum() / max(1, n * (n - 1))) or 1.0 for D in distances)
        return first, second
    if not (isinstance(scale, (tuple, list)) and len(scale) == 2):
        raise TypeError(f"scale={scale!r} must be 'mean', None or two lengths")
    first, second = (check.number(length, f"scale[{k}]") for k, length in enumerate(scale))
    for k, length in enumerate((first, second)):
        if not (math.isfinite(length) and length > 0):
            raise ValueError(f"scale[{k}]={length!r} must be positive and finite")
    return first, second
