"""Transport plans from projections: sparse, feasible, and bounded from below by the same directions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import validation as check
from ..api import read_clouds, read_masses
from ..backends import registry
from ..penalties import make_penalty
from ..problem import Problem
from ..result import Solution
from ..solvers.base import Outcome, is_true
from ..status import Status
from ..wasserstein import ground_cost, order_of
from .clouds import Clouds, finite_costs
from .directions import SAMPLINGS, draw, generator, read_directions
from .line import path_of

__all__ = ["SearchProgress", "SlicedPlan", "sliced_plan"]

#: Directions where nothing is said about their number, by kind.
PROJECTIONS = {"min": 128, "expected": 32}
#: The search for a better direction: directions that go on, tries around each in a round, and first width.
FOLLOWED, TRIES, WIDTH = 4, 16, 0.5
#: Width at which the search ends: plans no longer change.
NARROW = 1e-3
#: Plans that are added up at a time.
GROUP = 8


class SearchProgress(NamedTuple):
    """How far the search for a direction is.

    Attributes
    ----------
    iteration : int
        Rounds so far.
    cost : float
        That of the cheapest plan so far.
    seconds : float
    """

    iteration: int
    cost: float
    seconds: float


class SlicedPlan(Solution):
    """A feasible plan from projections: a `Solution` of the exact problem that need not be optimal.

    ``value`` is what the plan costs, ``gap`` how much of that may be too much, by dual potentials from
    projections; ``bounds`` hold, and ``init=plan`` starts another solver.

    Attributes
    ----------
    p : float
        The plan is for the cost ``|x - y|**p``.
    kind : {"min", "expected"}
    direction : (d,) array or None
        That of a "min" plan.
    """

    p: float
    kind: str
    direction: Any

    @property
    def distance(self) -> float:
        """p-th root of the cost: an upper bound of the Wasserstein distance."""
        return max(float(self), 0.0) ** (1.0 / self.p)

    @property
    def _init_reg(self) -> float:
        # Potentials that miss the optimum by so much per unit of mass are good for an eps of that size.
        return max(float(self.gap), 0.0) / self._problem.mass

    @property
    def _kind(self) -> str:
        return f"sliced ({self.kind})"


def sliced_plan(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    kind: str = "min",
    p: float = 2,
    n_projections: int | None = None,
    directions: Any = None,
    sampling: str = "orthogonal",
    temperature: float | None = None,
    max_iter: int = 30,
    seed: Any = None,
    backend: str = "auto",
    callback: Callable[[SearchProgress], object] | None = None,
) -> SlicedPlan:
    """A sparse transport plan from projections, in the time of a few sorts.

    Points are matched as their projections on a line are. With ``kind="min"`` that is the line whose plan costs
    least between the points themselves; with ``kind="expected"`` plans are averaged over directions.

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
    kind : {"min", "expected"}
    p : float >= 1
        Cost ``|x - y|**p``.
    n_projections : int, optional
        Directions to look at: 128, or 32 to average over.
    directions : (L, d) array, optional
        Your own unit vectors instead of drawn ones.
    sampling : {"orthogonal", "random", "qmc"}
    temperature : float > 0, optional
        "expected" only: directions weigh ``exp(-cost / temperature)``, in cost units, instead of the same.
    max_iter : int
        "min" only: most rounds of the search around the best directions; 0: none.
    seed : None, int or numpy Generator
    backend : {"auto", "numba", "reference"}
    callback : callable, optional
        Called with a `SearchProgress` after each round; returning True ends the search with the best so far.

    Returns
    -------
    SlicedPlan
        A `Solution`: ``.value``, ``.gap``, ``.bounds``, ``.sparse_plan()``, ``.barycentric_map()``, ``init=`` of
        other solvers. At most n + m - 1 entries with "min", so many for each direction with "expected".

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument.

    Notes
    -----
    See [mahey:23]_ for the cheapest direction, [liu:25]_ for averages. Potentials along orthonormal bases, summed
    up, are feasible for the problem itself as long as p <= 2: ``mean |theta'z|**p <= (|z|**2 / d)**(p / 2)``; so
    are those of a single direction for any p. The better of the two give the lower bound.

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(500, 2)), rng.normal(size=(400, 2)) * [2.0, 1.0] + [3.0, 0.0]
    >>> lower, upper = ots.sliced_plan(x, y, seed=0).bounds
    >>> bool(lower < ots.solve_sample(x, y).value < upper)
    True
    """
    started = time.perf_counter()
    check.choice(kind, "kind", ("min", "expected"))
    check.choice(sampling, "sampling", tuple(SAMPLINGS))
    order = order_of(p)
    geometry, library = read_clouds(x, y, a, b, ground_cost(order))
    n, m = geometry.shape
    d = geometry.x.shape[1]
    weights = check.weights(a, "a", n), check.weights(b, "b", m)
    first, second, mass = read_masses(a, b, *weights, library)
    engine = registry.get("numba" if backend == "auto" else backend)
    clouds = Clouds(geometry.x, geometry.y, first, second, mass, order, library, engine)
    rng = generator(seed)
    rounds = 0 if max_iter == 0 and not isinstance(max_iter, bool) else check.count(max_iter, "max_iter")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback={callback!r} is not callable")
    given = None if n_projections is None else check.count(n_projections, "n_projections")
    if directions is not None:
        vectors = read_directions(directions, d)
        if given not in (None, len(vectors)):
            raise ValueError(f"n_projections={given}, but directions has {len(vectors)} rows; give one of the two")
        # Potentials along a direction that is longer than 1, be it by its rounding, are not feasible.
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    else:
        vectors = draw(given or PROJECTIONS[kind], d, sampling, rng).vectors
    search = _Search(clouds, callback, started)
    if kind == "min":
        if temperature is not None:
            raise ValueError(
                f"temperature={temperature!r} is for kind='expected'; with 'min' one direction counts"
            )
        direction = search.best(vectors, rounds if directions is None and d > 1 else 0, rng)
        matrix = search.plan(direction[None], np.ones(1))
    else:
        direction = None
        matrix = search.plan(vectors, _shares(search.lifted(vectors), temperature))
    f, g = _potentials(clouds, vectors if direction is None else np.concatenate([direction[None], vectors]), rng)
    balanced = make_penalty(math.inf, "kl")
    problem = Problem(geometry, first, second, mass, 0.0, balanced, balanced)
    outcome = Outcome(
        f, g, Status.FEASIBLE, 0, 0.0, [], f"sliced-{kind}", f"{search.seen} directions", plan=matrix
    )
    result = SlicedPlan(problem, outcome, engine, library, seconds=time.perf_counter() - started)
    result.p, result.kind = order, kind
    result.direction = None if direction is None else library.array(direction)
    return result


def _shares(costs: np.ndarray, temperature: Any) -> np.ndarray:
    """How much each direction counts."""
    if temperature is None:
        return np.full(costs.size, 1.0 / costs.size)
    width = check.number(temperature, "temperature")
    if not width > 0:
        raise ValueError(f"temperature={temperature!r} must be positive, in cost units")
    weights = np.exp(-(costs - costs.min()) / width)
    return weights / weights.sum()


class _Search:
    """Directions and what their plans cost."""

    def __init__(self, clouds: Clouds, callback, started: float):
        self.clouds, self.callback, self.started = clouds, callback, started
        self.seen = 0

    def lifted(self, vectors: np.ndarray) -> np.ndarray:
        """(L,) costs of plans."""
        clouds = self.clouds
        self.seen += len(vectors)
        costs = clouds.engine.lifted_costs(clouds.x, clouds.y, clouds.a, clouds.b, vectors, clouds.p)
        return finite_costs(clouds.mass * costs)

    def best(self, vectors: np.ndarray, rounds: int, rng: np.random.Generator) -> np.ndarray:
        """The direction of the cheapest plan, looked for around the best ones in smaller and smaller steps.

        What a plan costs is constant in the direction up to where two projections change places: no slope helps.
        """
        clouds = self.clouds
        if rounds:
            vectors = np.concatenate([_axes(clouds), vectors])
        costs = self.lifted(vectors)
        top = np.argsort(costs, kind="stable")[:FOLLOWED]
        leaders, costs = vectors[top], costs[top]
        widths = np.full(len(top), WIDTH)
        for iteration in range(1, rounds + 1):
            around = leaders[:, None] + widths[:, None, None] * rng.standard_normal(
                (len(leaders), TRIES, clouds.d)
            ) / math.sqrt(clouds.d)
            around /= np.linalg.norm(around, axis=2, keepdims=True)
            found = self.lifted(around.reshape(-1, clouds.d)).reshape(len(leaders), TRIES)
            chosen = found.argmin(axis=1)
            values = found[np.arange(len(leaders)), chosen]
            better = values < costs
            leaders[better] = around[better, chosen[better]]
            costs = np.where(better, values, costs)
            widths = np.where(better, widths, 0.6 * widths)
            if self.callback is not None:
                seconds = time.perf_counter() - self.started
                if is_true(self.callback(SearchProgress(iteration, float(costs.min()), seconds))):
                    break
            if widths.max() < NARROW:
                break
        return leaders[int(np.argmin(costs))]

    def plan(self, vectors: np.ndarray, shares: np.ndarray):
        """Mean of the monotone plans along directions, as a CSR array of the normalised problem."""
        from scipy import sparse

        clouds = self.clouds
        shape = len(clouds.x), len(clouds.y)
        total = sparse.csr_array(shape)
        for start in range(0, len(vectors), GROUP):
            part = vectors[start : start + GROUP]
            u, v = part @ clouds.x.T.astype(np.float64), part @ clouds.y.T.astype(np.float64)
            found = clouds.engine.line_plans(u, v, clouds.a, clouds.b)
            for k, share in enumerate(shares[start : start + GROUP]):
                path = path_of(*(array[k] for array in found))
                entries = share * path.masses, (path.rows, path.columns)
                total = total + sparse.coo_array(entries, shape=shape).tocsr()
        return total


def _axes(clouds: Clouds) -> np.ndarray:
    """Principal axes of both clouds together, and the difference of their means."""
    x, y = clouds.in_range()
    centre = clouds.a @ x
    between = clouds.b @ y - centre
    vectors = []
    if clouds.d <= 512:
        around = (x - centre) * np.sqrt(clouds.a)[:, None]
        vectors.append(np.linalg.eigh(around.T @ around)[1].T[::-1][:FOLLOWED])
    if np.linalg.norm(between) > 0:
        vectors.append((between / np.linalg.norm(between))[None])
    return np.concatenate(vectors) if vectors else np.empty((0, clouds.d))


def _potentials(clouds: Clouds, vectors: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Dual feasible potentials from projections: of one direction, or of bases together where p <= 2."""
    d, p = clouds.d, clouds.p

    def summed(lines: np.ndarray, scale: float):
        weights = np.full(len(lines), scale / len(lines))
        found = clouds.engine.projected_slopes(
            clouds.x, clouds.y, clouds.a, clouds.b, lines, p, weights, ["a", "b"]
        )
        return found.a, found.b

    costs = clouds.costs(vectors)
    top = int(np.argmax(costs))
    if p <= 2 and d > 1:
        bases = draw(d * max(1, -(-min(len(vectors), PROJECTIONS["min"]) // d)), d, "orthogonal", rng).vectors
        if d ** (p / 2) * clouds.costs(bases).mean() >= costs[top]:
            return summed(bases, d ** (p / 2))
    return summed(vectors[top : top + 1], 1.0)
