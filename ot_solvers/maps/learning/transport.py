"""The small transport problems of one training step, solved in one call, and what losses read from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...batch import solve_sample_batch
from ...batch_solution import ENTROPIC, EXACT, BatchSolution
from ...costs import Cost
from ...geometry import PointCloud
from ...layers.rules.envelope import by_points
from ...layers.rules.pairs import pair_gradients

__all__ = ["Memory", "Pair", "SolvedPair", "StepSolver", "paired"]


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
        Where potentials of the target points are kept from step to step.
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
            entries: Any = solved.entries
            some = slice(int(entries.starts[k]), int(entries.starts[k] + entries.counts[k]))
            rows, columns, masses = entries.rows[some], entries.columns[some], entries.masses[some]
            geometry: Any = solved.plans.stack.geometry(k)
            if targets:
                return pair_gradients(geometry.T, columns, rows, masses)
            return pair_gradients(geometry, rows, columns, masses)
        return by_points(self.batch[k])[1 if targets else 0]

    @property
    def target_potential(self) -> np.ndarray:
        """(m,) potential of the target points, in the gauge of `Solution`."""
        f, g = self.batch._solved.plans.potentials(self.k)
        return g + 0.5 * (f.mean() - g.mean())


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
        self.passes = self.failed = 0

    def solve(self, pairs: Sequence[Pair]) -> list[SolvedPair]:
        """Solve all problems, each from the potentials that its memory has."""
        found: list[SolvedPair | None] = [None] * len(pairs)
        starts = [None if pair.memory is None else pair.memory.recall(pair.indices) for pair in pairs]
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
                found[k] = one = SolvedPair(batch, place)
                memory = pairs[k].memory
                if memory is not None:
                    memory.keep(pairs[k].indices, one.target_potential)
        return [one for one in found if one is not None]


def paired(cost: Cost, x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean of ``c(x_i, y_i)``, and its (n, d) derivatives by y."""
    swapped: Any = cost.swapped()
    cloud = PointCloud(y, x, swapped)
    first, second = cloud.prepared
    costs = swapped.pairwise(first[:, None, :], second[:, None, :])[:, 0, 0]
    n = len(x)
    each = np.arange(n)
    return math.fsum(costs) / n, pair_gradients(cloud, each, each, np.full(n, 1 / n))
