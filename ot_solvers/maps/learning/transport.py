"""The small transport problems of one training step, solved in one call, and what losses read from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...backends import registry
from ...backends.base import CONVERGED, MAX_ITER, Backend, ExactBatch
from ...batch import solve_sample_batch
from ...batch_solution import ENTROPIC, EXACT, BatchSolution
from ...costs import Cost
from ...geometry import PointCloud
from ...geometry.stack import CloudStack
from ...layers.rules.envelope import by_points
from ...layers.rules.pairs import pair_gradients
from ...lazy import cached_property
from ...penalties import Balanced
from ...plans.stack import GibbsStack
from ...solvers import Sinkhorn

__all__ = ["Memory", "Pair", "QuickPair", "SolvedPair", "StepSolver", "paired"]


class Memory:
    """Potentials of the points of a sample, as the last problem that had them left them.

    Parameters
    ----------
    size : int
        Points.
    """

    def __init__(self, size: int):
        self.potential = np.full(size, np.nan)

    def recall(self, indices: np.ndarray) -> np.ndarray | None:
        """(k,) potentials; None where one of the points is new."""
        found = self.potential[indices]
        return None if np.isnan(found).any() else found

    def keep(self, indices: np.ndarray, potential: np.ndarray) -> None:
        """Store (k,) potentials."""
        self.potential[indices] = potential


class Pair(NamedTuple):
    """A transport problem between two minibatches, all weights equal.

    Attributes
    ----------
    x, y : (n, d), (m, d) arrays
    reg : float or None
        Strength of the entropy, cost units; None for exact transport.
    memory : Memory or None
        Where potentials of the target points are kept from step to step: starts, which change no exact plan.
    indices : (m,) int array
        Places of the target points there.
    """

    x: np.ndarray
    y: np.ndarray
    reg: float | None
    memory: Memory | None
    indices: np.ndarray


class SolvedPair:
    """Problem k of a batch.

    Parameters
    ----------
    batch : BatchSolution
    k : int
    """

    def __init__(self, batch: BatchSolution, k: int):
        self.batch, self.k = batch, k

    @property
    def value(self) -> float:
        """Optimal value, regularisation included; the dual one, whose error is of second order."""
        return float(self.batch.dual_value[self.k])

    def slopes(self, targets: bool = False) -> np.ndarray:
        """(n, d) derivatives of the value by the source points, or (m, d) by the target points."""
        solved, k = self.batch._solved, self.k
        if solved.kinds[k] == ENTROPIC:
            side, sizes = (1, solved.plans.stack.m) if targets else (0, solved.plans.stack.n)
            start = int(sizes[:k].sum())
            return self.batch._point_gradients[side][start : start + int(sizes[k])]
        if solved.kinds[k] == EXACT:
            geometry: Any = solved.plans.stack.geometry(k)
            return _slopes_of_entries(geometry, solved.entries, k, 1 if targets else 0)
        return by_points(self.batch[k])[1 if targets else 0]

    @property
    def target_potential(self) -> np.ndarray:
        """(m,) potential of the target points, in the gauge of `Solution`."""
        f, g = self.batch._solved.plans.potentials(self.k)
        return g + 0.5 * (f.mean() - g.mean())


class QuickPair:
    """Problem k of a batch that nobody will ask for values: potentials and slopes are all there is.

    Parameters
    ----------
    batch : _Quick
    k : int
    """

    def __init__(self, batch: _Quick, k: int):
        self.batch, self.k = batch, k

    def slopes(self, targets: bool = False) -> np.ndarray:
        """As `SolvedPair.slopes`."""
        return self.batch.slopes(self.k, 1 if targets else 0)

    @property
    def target_potential(self) -> np.ndarray:
        """As `SolvedPair.target_potential`."""
        f, g = self.batch.plans.potentials(self.k)
        return g + 0.5 * (f.mean() - g.mean())


class _Quick:
    """Problems of a step, solved by the primitives of the backend, with nothing read twice.

    Entry points check what users give them and keep what users may ask for: at the sizes of minibatches that takes
    as long as the kernels.

    Attributes
    ----------
    entries : ExactBatch or None
        Of exact plans, once they are solved.
    """

    def __init__(self, plans: GibbsStack, engine: Backend):
        self.plans, self.engine = plans, engine
        self.entries: ExactBatch | None = None

    @classmethod
    def of(cls, pairs: Sequence[Pair], starts, cost: Cost, engine: Backend) -> _Quick:
        """The problems with where they start; not solved yet."""
        n = np.array([len(pair.x) for pair in pairs], dtype=np.int64)
        m = np.array([len(pair.y) for pair in pairs], dtype=np.int64)
        rows, columns = np.cumsum(n) - n, np.cumsum(m) - m
        x, y = (np.concatenate(side) for side in zip(*((pair.x, pair.y) for pair in pairs), strict=True))
        stack = CloudStack(x, y, rows, columns, n, m, cost)
        a, b = np.repeat(1.0 / n, n), np.repeat(1.0 / m, m)
        g = np.concatenate([np.zeros(k) if start is None else start for k, start in zip(m, starts, strict=True)])
        eps = np.array([pair.reg or 0.0 for pair in pairs])
        plans = GibbsStack(
            stack, a, b, rows, columns, np.zeros(a.size), g, rows, columns, eps, np.zeros(len(pairs))
        )
        return cls(plans, engine)

    @cached_property
    def _gradients(self) -> tuple[np.ndarray, np.ndarray]:
        return self.engine.batch_cost_gradients(self.plans)

    def slopes(self, k: int, side: int) -> np.ndarray:
        """(n, d) or (m, d) derivatives of the value of problem k by the points of a side."""
        if self.entries is not None:
            geometry = self.plans.stack.geometry(k)
            assert isinstance(geometry, PointCloud)
            return _slopes_of_entries(geometry, self.entries, k, side)
        start, size = ((self.plans.f_starts, self.plans.stack.n), (self.plans.g_starts, self.plans.stack.m))[side]
        return self._gradients[side][start[k] : start[k] + size[k]]


def _slopes_of_entries(geometry: PointCloud, entries: Any, k: int, side: int) -> np.ndarray:
    """Derivatives of the cost of a plan that is known entry by entry."""
    some = slice(int(entries.starts[k]), int(entries.starts[k] + entries.counts[k]))
    rows, columns, masses = entries.rows[some], entries.columns[some], entries.masses[some]
    if side:
        return pair_gradients(geometry.T, columns, rows, masses)
    return pair_gradients(geometry, rows, columns, masses)


class StepSolver:
    """Solves the problems of a step.

    Parameters
    ----------
    cost : Cost
    tol : float
        Of the marginal errors.

    Attributes
    ----------
    passes : int
        Over costs, of all problems so far.
    failed : int
        Problems so far that missed `tol`.
    """

    def __init__(self, cost: Cost, tol: float):
        self.cost, self.tol = cost, tol
        self.engine = registry.get("numba")
        self.passes = self.failed = 0

    def solve(self, pairs: Sequence[Pair], value: bool = True) -> list[Any]:
        """Solve all problems, each from the potentials that its memory has; `value`: with their values."""
        starts = [None if pair.memory is None else pair.memory.recall(pair.indices) for pair in pairs]
        found: list[Any] | None = None if value else self._quick(pairs, starts)
        if found is None:
            found = self._whole(pairs, starts)
        for pair, one in zip(pairs, found, strict=True):
            if pair.memory is not None:
                pair.memory.keep(pair.indices, one.target_potential)
        return found

    def _quick(self, pairs: Sequence[Pair], starts) -> list[QuickPair] | None:
        """None where some problem needs more than the kernels for many problems."""
        found: list[Any] = [None] * len(pairs)
        passes = failed = 0
        for entropic in (True, False):
            numbers = [k for k, pair in enumerate(pairs) if (pair.reg is not None) == entropic]
            if not numbers:
                continue
            some = [starts[k] for k in numbers]
            batch = _Quick.of([pairs[k] for k in numbers], some, self.cost, self.engine)
            if entropic:
                first = np.array([math.inf if start is None else 0.0 for start in some])
                tol = np.full(len(numbers), self.tol)
                hard = Balanced(), Balanced()
                outcome = self.engine.solve_batch(batch.plans, first, tol, hard, Sinkhorn.default_max_iter)
                codes = outcome.codes
                passes += int(outcome.passes.sum())
                failed += int((codes == MAX_ITER).sum())
                fine = (codes == CONVERGED) | (codes == MAX_ITER)
            else:
                batch.entries = self.engine.exact_batch(batch.plans)
                fine = np.zeros(1, bool) if batch.entries is None else batch.entries.codes == CONVERGED
                passes += len(numbers)
            if not fine.all():
                return None
            for place, k in enumerate(numbers):
                found[k] = QuickPair(batch, place)
        self.passes += passes
        self.failed += failed
        return found

    def _whole(self, pairs: Sequence[Pair], starts) -> list[SolvedPair]:
        found: list[Any] = [None] * len(pairs)
        for warm in (False, True):
            numbers = [k for k, start in enumerate(starts) if (start is not None) == warm]
            if not numbers:
                continue
            some = [pairs[k] for k in numbers]
            init = None
            if warm:
                init = ([np.zeros(len(pair.x)) for pair in some], [starts[k] for k in numbers])
            batch = solve_sample_batch(
                [pair.x for pair in some], [pair.y for pair in some], cost=self.cost,
                reg=[pair.reg for pair in some], tol=self.tol, init=init, on_failure="ignore",
            )  # fmt: skip
            self.passes += int(batch.n_iter.sum())
            self.failed += len(some) - int(batch.converged.sum())
            for place, k in enumerate(numbers):
                found[k] = SolvedPair(batch, place)
        return found


def paired(cost: Cost, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean of ``c(x_i, y_i)``, and its (n, d) derivatives by y."""
    swapped: Any = cost.swapped()
    cloud = PointCloud(y, x, swapped)
    first, second = cloud.prepared
    costs = swapped.pairwise(first[:, None, :], second[:, None, :])[:, 0, 0]
    n = len(x)
    each = np.arange(n)
    return math.fsum(costs) / n, pair_gradients(cloud, each, each, np.full(n, 1 / n))
