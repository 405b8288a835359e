"""Gibbs plans of many small problems, in flat arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry.stack import Stack
from .gibbs import GibbsPlan

__all__ = ["GibbsStack"]


@dataclass(frozen=True)
class GibbsStack:
    """K plans; problem k is of shape ``(n[k], m[k])``, as in `geometry.stack.Stack`.

    Attributes
    ----------
    stack : Stack
    a, b : flat float64 arrays
        Normalised weights.
    a_starts, b_starts : (K,) int64 arrays
        Where those of each problem begin; equal starts share weights.
    f, g : flat float64 arrays, cost units
    f_starts, g_starts : (K,) int64 arrays
    eps : (K,) float64 array > 0, cost units
    log_mass : (K,) float64 array
        See `GibbsPlan`.
    """

    stack: Stack
    a: np.ndarray
    b: np.ndarray
    a_starts: np.ndarray
    b_starts: np.ndarray
    f: np.ndarray
    g: np.ndarray
    f_starts: np.ndarray
    g_starts: np.ndarray
    eps: np.ndarray
    log_mass: np.ndarray

    def __len__(self) -> int:
        return len(self.stack)

    def slices(self, k: int) -> tuple[slice, slice, slice, slice]:
        """Where the weights of rows and of columns, and the potentials of both, are in the flat arrays."""
        n, m = int(self.stack.n[k]), int(self.stack.m[k])
        starts = (self.a_starts, self.b_starts, self.f_starts, self.g_starts)
        first, second, third, fourth = (int(start[k]) for start in starts)
        return (
            slice(first, first + n),
            slice(second, second + m),
            slice(third, third + n),
            slice(fourth, fourth + m),
        )

    def weights(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(n,) and (m,) weights of one problem, views."""
        rows, columns, _, _ = self.slices(k)
        return self.a[rows], self.b[columns]

    def potentials(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(n,) and (m,) potentials of one problem, views."""
        _, _, rows, columns = self.slices(k)
        return self.f[rows], self.g[columns]

    def plan(self, k: int) -> GibbsPlan:
        """One plan."""
        geometry = self.stack.geometry(k)
        return GibbsPlan(
            geometry, *self.potentials(k), *self.weights(k), float(self.eps[k]), float(self.log_mass[k])
        )

    def part(self, numbers: np.ndarray) -> GibbsStack:
        """Some of the plans, in the same flat arrays."""
        return GibbsStack(
            self.stack.part(numbers),
            self.a,
            self.b,
            self.a_starts[numbers],
            self.b_starts[numbers],
            self.f,
            self.g,
            self.f_starts[numbers],
            self.g_starts[numbers],
            self.eps[numbers],
            self.log_mass[numbers],
        )
