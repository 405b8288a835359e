"""Transport problems by the hundred, between samples of equal weights: what permutation tests solve."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from ..api import Options, run_problem
from ..backends import registry
from ..errors import ConvergenceError, ConvergenceWarning, stack_depth
from ..geometry import DenseGeometry, Geometry
from ..namespaces import Library
from ..result import Solution
from ..solvers.exact.choice import ALL_PAIRS
from ..status import Status

__all__ = ["Solves", "exact_costs", "portion"]

#: Costs in memory at a time: 32 MB.
ENTRIES = 1 << 22
#: Permutations between two looks at the callback, at most.
PORTION = 32
#: Solutions are in float64, whatever the caller's arrays: they are compared with each other.
PRECISE = Library("numpy", np.dtype(np.float64))


def portion(n: int, m: int) -> int:
    """How many (n, m) problems to solve at a time."""
    return max(1, min(PORTION, ENTRIES // (n * m)))


def exact_costs(geometries: Iterable[Geometry], count: int, n: int, m: int, backend: str) -> np.ndarray:
    """Least costs of transport with uniform weights, sum 1.

    Parameters
    ----------
    geometries : iterable of `count` of shape (n, m)
        Lazy ones stay lazy where problems are too large to be solved many at a time.

    Returns
    -------
    (count,) array
    """
    if n * m > ALL_PAIRS:
        options = Options(None, backend=backend)
        return np.array(
            [float(run_problem(geometry, None, None, PRECISE, options).value_linear) for geometry in geometries]
        )
    engine = registry.get("numba" if backend == "auto" else backend)
    out, step = np.empty(count), portion(n, m)
    supply = iter(geometries)
    for start in range(0, count, step):
        size = min(step, count - start)
        # Rows are the points of measure 0, columns first those points again, which nothing reads, then those of
        # one target after another.
        table = np.zeros((n, n + size * m))
        for k in range(size):
            table[:, n + k * m : n + (k + 1) * m] = next(supply).block(0, n)
        weights = np.concatenate([np.full(n, 1 / n), np.full(size * m, 1 / m)])
        starts = np.concatenate([[0], n + m * np.arange(size + 1)])
        source, targets = np.zeros(size, dtype=np.int64), np.arange(1, size + 1)
        out[start : start + size] = engine.exact_pairs(DenseGeometry(table), weights, starts, source, targets)
    return out


class Solves:
    """Solves that are reported once, together.

    Parameters
    ----------
    on_failure : {"warn", "raise", "ignore"}
    """

    def __init__(self, on_failure: str):
        self.on_failure = on_failure
        self.count = 0
        self.failed: list[Status] = []
        self.worst = 0.0

    def solve(self, geometry: Geometry, options: Options) -> Solution:
        """Uniform weights; `options` that ignore failures."""
        solution = run_problem(geometry, None, None, PRECISE, options)
        self.count += 1
        if not solution.converged:
            self.failed.append(solution.status)
            self.worst = max(self.worst, solution.marginal_error)
            if self.on_failure == "raise":
                raise ConvergenceError(self.message(), solution)
        return solution

    def message(self) -> str:
        return (
            f"{len(self.failed)} of {self.count} transport problems ended early, with marginal errors up to "
            f"{self.worst:.3g}; the last one {self.failed[-1].name}: {self.failed[-1].value}"
        )

    def report(self) -> None:
        """Warn of failures, if asked to."""
        if self.failed and self.on_failure == "warn":
            warnings.warn(self.message(), ConvergenceWarning, stacklevel=stack_depth())
