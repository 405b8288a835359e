"""Problems of the benchmarks, rebuilt from a seed by anyone, and their files for the workers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .problem_kinds import MEASURES, POINTS, documents

#: Entries of a cost block held at once while reducing over all pairs: 32 MB in float64.
BLOCK_ENTRIES = 4_000_000

#: Pairs beyond which only extreme points are asked for the largest cost.
MANY_PAIRS = 1 << 28

#: Costs by name: a function of the difference along each axis, and one of the sum over the axes.
COSTS = {"W2": (np.square, np.asarray), "W1": (np.square, np.sqrt), "L1": (np.abs, np.asarray)}


@dataclass(frozen=True)
class ProblemSpec:
    """A recipe for one problem.

    Parameters
    ----------
    kind : str
        ``"random-cost"``, a matrix of independent U(0, 1) costs, or a family of `problem_kinds`: clouds
        (``"gaussian"``, ``"uniform"``, ``"heavy-tailed"``, ``"digit-points"``) or measures with weights of their
        own (``"clustered"``, ``"densities"``, ``"images"``).
    n, m, d : int
        Number of points on each side; dimension (where the family does not say). On a grid (``"densities"``,
        ``"images"``) ``n = m`` is the number of its nodes, a square. For ``"documents"`` n pairs of documents with
        5 to 60 words each; m is not looked at.
    eps : float > 0
        Regularisation as a fraction of the largest cost.
    weights : {"uniform", "random", "gamma"}
        Where the family brings none; "gamma": very unequal ones, a tenth of them 0.
    dtype : {"float64", "float32"}
        What solvers are given. The problem *is* the rounded data: the judge reads the same arrays.
    stored : bool
        Whether the cost matrix is formed and handed over; points otherwise.
    seed : int
    cost : {"W2", "W1", "L1"}
        Squared Euclidean (not halved), Euclidean or cityblock distance between points.
    floor : float in [0, 1)
        Share of the mass of an image that is spread uniformly over its grid. Without it, points without mass
        are left out.
    mass : float in (0, 1) or None
        Partial transport: the share of the smaller total that is to be moved.
    gamma : float > 0 or None
        Quadratic transport: strength of ``gamma / 2 * sum P**2`` as a fraction of the largest cost, per mass.
    k : int >= 1 or None
        Entries that a column of a quadratic plan may have.
    batch : int >= 1 or None
        So many problems of these sizes between points, with uniform weights and one eps, instead of one.
    directions : int >= 1 or None
        Sliced transport: the number of random unit vectors that come with the points. No cost is looked at.
    """

    kind: str = "gaussian"
    n: int = 1000
    m: int = 1000
    d: int = 3
    eps: float = 1e-2
    weights: str = "uniform"
    dtype: str = "float64"
    stored: bool = True
    seed: int = 0
    cost: str = "W2"
    floor: float = 0.0
    mass: float | None = None
    gamma: float | None = None
    k: int | None = None
    batch: int | None = None
    directions: int | None = None

    def build(self) -> Problem:
        """Draw the problem.

        Raises
        ------
        ValueError
            If the recipe names something unknown, or sizes its family does not have.
        """
        if self.cost not in COSTS:
            raise ValueError(f"cost must be one of {sorted(COSTS)}, not {self.cost!r}")
        if not self.stored and self.cost != "W2":
            raise ValueError(f"only 'W2' comes without a stored matrix, not {self.cost!r}")
        rng = np.random.default_rng(self.seed)
        if self.batch is not None:
            return self._batch(rng)
        if self.directions is not None:
            return self._sliced(rng)
        if self.kind == "documents":
            x, a, starts_x, y, b, starts_y = documents(rng, self)
            return Problem(a, b, self.eps, 1.0, x, y, None, starts_x, starts_y)
        x, y, C, a, b = self._draw(rng)
        if C is None:
            far_x, far_y = (extreme(z) if self.n * self.m > MANY_PAIRS else z for z in (x, y))
            max_cost = max(float(block.max()) for _, block in cost_blocks(far_x, far_y, self.cost))
        else:
            max_cost = float(C.max())
        dtype = np.dtype(self.dtype)
        if x is not None:
            x, y = x.astype(dtype), y.astype(dtype)
            if self.stored:
                C = np.concatenate([block for _, block in cost_blocks(x, y, self.cost)])
        if C is not None:
            C = C.astype(dtype)
        a, b = a.astype(dtype), b.astype(dtype)
        mass = None if self.mass is None else self.mass * float(min(a.sum(), b.sum()))
        gamma = None if self.gamma is None else self.gamma * max_cost
        return Problem(a, b, self.eps * max_cost, max_cost, x, y, C, mass=mass, gamma=gamma, k=self.k)

    def _batch(self, rng) -> Problem:
        if self.kind not in POINTS or self.weights != "uniform" or self.cost != "W2":
            raise ValueError("batches are of points with uniform weights and squared Euclidean costs")
        clouds = [POINTS[self.kind](rng, self) for _ in range(self.batch)]
        dtype = np.dtype(self.dtype)
        x, y = (np.stack([pair[side] for pair in clouds]).astype(dtype) for side in (0, 1))
        costs = (np.concatenate([block for _, block in cost_blocks(u, v)]) for u, v in zip(x, y))
        C = np.stack(list(costs)).astype(dtype)
        a, b = self._weights(rng, self.n).astype(dtype), self._weights(rng, self.m).astype(dtype)
        max_cost = float(C.max())
        return Problem(a, b, self.eps * max_cost, max_cost, x, y, C if self.stored else None)

    def _sliced(self, rng) -> Problem:
        if self.kind not in POINTS or self.stored:
            raise ValueError("directions are of points whose costs are not stored")
        x, y = POINTS[self.kind](rng, self)
        a, b = self._weights(rng, self.n), self._weights(rng, self.m)
        directions = rng.normal(size=(self.directions, x.shape[1]))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        a, b, x, y, directions = (v.astype(self.dtype) for v in (a, b, x, y, directions))
        return Problem(a, b, self.eps, 1.0, x, y, directions=directions)

    def _draw(self, rng):
        """Points, costs, weights; None for what the family does not have."""
        if self.kind in MEASURES:
            x, a, y, b = MEASURES[self.kind](rng, self)
            return x, y, None, a, b
        x = y = C = None
        if self.kind == "random-cost":
            C = rng.random((self.n, self.m))
        elif self.kind in POINTS:
            x, y = POINTS[self.kind](rng, self)
        else:
            known = sorted([*MEASURES, *POINTS, "documents", "random-cost"])
            raise ValueError(f"kind must be one of {known}, not {self.kind!r}")
        return x, y, C, self._weights(rng, self.n), self._weights(rng, self.m)

    def _weights(self, rng, size):
        if self.weights == "uniform":
            return np.full(size, 1.0 / size)
        if self.weights == "random":
            weights = 0.1 + rng.random(size)
            return weights / weights.sum()
        if self.weights == "gamma":
            weights = rng.gamma(1.0, size=size)
            weights[rng.permutation(size)[: size // 10]] = 0.0
            return weights / weights.sum()
        raise ValueError(f"weights must be 'uniform', 'random' or 'gamma', not {self.weights!r}")

    def as_record(self) -> dict:
        """Plain values for a result file."""
        return asdict(self)


@dataclass(frozen=True)
class Problem:
    """One problem: weights, regularisation in cost units, and points or a cost matrix (or both).

    Attributes
    ----------
    a : (n,) array, b : (m,) array
        Weights, equal sums.
    eps : float > 0, cost units
    max_cost : float
        Largest cost, known to every solver that wants to start an ε-schedule from it.
    x : (n, d) array or None, y : (m, d) array or None
    C : (n, m) array or None
    starts_x, starts_y : (k + 1,) int arrays or None
        Many small problems instead of one: points ``x[starts_x[k]:starts_x[k + 1]]`` with their weights against
        those of y, each with sum 1.
    mass : float or None
        What is to be moved within the weights; None: all, the problem is balanced.
    gamma : float or None, cost units per mass
        Strength of the quadratic term; None where there is none.
    k : int or None
        Entries that a column may have; None: any number.
    directions : (L, d) array or None
        Sliced transport: unit vectors, up to rounding, one per row.
    cost : str or None
        Of maps: the ground cost, by its public name.
    held_x, held_y : (k, d) arrays or None
        Points to judge maps by, which no fit sees.
    truth : (k, d) array or None
        Right images of `held_x`, where they are known.
    variance : float or None
        Trace of the covariance of the target law, where images are known.
    images : (l, n, d) array or None
        Images of `x` under several optimal maps.
    scales : (l,) array or None
        Mean size of the costs between `x` and each of the images.

    Notes
    -----
    Batches have one axis more, the first one, in `x`, `y` and `C`; `a` and `b` are shared.
    """

    a: np.ndarray
    b: np.ndarray
    eps: float
    max_cost: float
    x: np.ndarray | None = None
    y: np.ndarray | None = None
    C: np.ndarray | None = None
    starts_x: np.ndarray | None = None
    starts_y: np.ndarray | None = None
    mass: float | None = None
    gamma: float | None = None
    k: int | None = None
    directions: np.ndarray | None = None
    cost: str | None = None
    held_x: np.ndarray | None = None
    held_y: np.ndarray | None = None
    truth: np.ndarray | None = None
    variance: float | None = None
    images: np.ndarray | None = None
    scales: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """``(n, m)``."""
        return len(self.a), len(self.b)

    @property
    def batch(self) -> int | None:
        """How many problems of one size there are; None where there is one."""
        return len(self.x) if self.x is not None and self.x.ndim == 3 else None

    @property
    def told_weights(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Weights as a user would hand them over: None for those that are all alike."""
        a, b = (None if w.min() == w.max() else w for w in (self.a, self.b))
        return a, b

    def each(self):
        """Yield the problems of a batch."""
        for k, (x, y) in enumerate(zip(self.x, self.y)):
            C = None if self.C is None else self.C[k]
            yield Problem(self.a, self.b, self.eps, self.max_cost, x, y, C)

    def pairs(self):
        """Yield ``(x, a, y, b)`` of the small problems."""
        for k in range(len(self.starts_x) - 1):
            first = slice(self.starts_x[k], self.starts_x[k + 1])
            second = slice(self.starts_y[k], self.starts_y[k + 1])
            yield self.x[first], self.a[first], self.y[second], self.b[second]

    @property
    def dtype(self) -> np.dtype:
        """Precision the solvers are given."""
        return self.a.dtype

    def blocks(self):
        """Yield ``(rows, cost block)`` in float64, the whole matrix never in memory at once."""
        if self.C is None:
            yield from cost_blocks(self.x, self.y)
        else:
            for rows in row_slices(*self.shape):
                yield rows, self.C[rows].astype(np.float64)

    def column_blocks(self):
        """Yield ``(columns, transposed cost block)`` in float64: a row for every column."""
        if self.C is None:
            yield from cost_blocks(self.y, self.x)
        else:
            for columns in row_slices(*self.shape[::-1]):
                yield columns, np.ascontiguousarray(self.C[:, columns].T, np.float64)

    def save(self, path: Path) -> None:
        """Write an uncompressed ``.npz``."""
        arrays = {k: v for k, v in vars(self).items() if v is not None}
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Problem:
        """Read what `save` wrote."""
        with np.load(path) as stored:
            arrays = {k: stored[k] for k in stored.files}
        for scalar in {"eps", "max_cost", "mass", "gamma", "variance"} & set(arrays):
            arrays[scalar] = float(arrays[scalar])
        if "cost" in arrays:
            arrays["cost"] = str(arrays["cost"])
        if "k" in arrays:
            arrays["k"] = int(arrays["k"])
        return cls(**arrays)


def extreme(points):
    """The points that no others enclose: the largest distance to any other point is that of one of them."""
    from scipy.spatial import ConvexHull

    return (
        points[ConvexHull(points).vertices] if points.shape[1] > 1 else points[[points.argmin(), points.argmax()]]
    )


def row_slices(n: int, m: int):
    """Yield row slices whose blocks hold at most about `BLOCK_ENTRIES` pairs."""
    step = max(1, BLOCK_ENTRIES // m)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def cost_blocks(x, y, cost: str = "W2"):
    """Yield ``(rows, costs)`` in float64, by differences: no cancellation near zero."""
    term, total = COSTS[cost]
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    for rows in row_slices(len(x), len(y)):
        block = np.zeros((rows.stop - rows.start, len(y)))
        for axis in range(x.shape[1]):
            block += term(x[rows, axis, None] - y[None, :, axis])
        yield rows, total(block)
