"""The contract on lines: transport along directions, and of many pairs of rows at a time.

The defaults are the formulas as they stand (`lines`), slow and right.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from . import lines
from .lines import LinePlans, LineSlopes, ProjectedSlopes

__all__ = ["LinePlans", "LinePrimitives", "LineSlopes", "ProjectedSlopes"]


class LinePrimitives:
    """What backends can do on lines. Weights are float64, with equal sums; results that are not places too."""

    def line_wasserstein(self, u: np.ndarray, v: np.ndarray, a: np.ndarray, b: np.ndarray, p: float) -> np.ndarray:
        """p-th powers of the Wasserstein distances between rows.

        Parameters
        ----------
        u, v : (L, n), (L, m) arrays, float32 or float64
            The points of each line, in any order.
        a, b : (n,), (m,) arrays, or (L, n), (L, m)
            Their weights, the same on every line or not.
        p : float >= 1

        Returns
        -------
        (L,) array
        """
        return lines.line_wasserstein(u, v, a, b, p)

    def line_slopes(self, u: np.ndarray, v: np.ndarray, a: np.ndarray, b: np.ndarray, p: float) -> LineSlopes:
        """`line_wasserstein`, its derivatives by the points, and potentials: derivatives by the weights."""
        return lines.line_slopes(u, v, a, b, p)

    def line_plans(self, u: np.ndarray, v: np.ndarray, a: np.ndarray, b: np.ndarray) -> LinePlans:
        """Monotone plans between rows, as permutations and cumulative masses."""
        return lines.line_plans(u, v, a, b)

    def projected_wasserstein(
        self, x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, directions: np.ndarray, p: float
    ) -> np.ndarray:
        """p-th powers of the Wasserstein distances between projections.

        Parameters
        ----------
        x, y : (n, d), (m, d) arrays, float32 or float64
        a, b : (n,), (m,) arrays
        directions : (L, d) float64 array
        p : float >= 1

        Returns
        -------
        (L,) array
        """
        return lines.projected_wasserstein(x, y, a, b, directions, p)

    def projected_slopes(
        self,
        x: np.ndarray,
        y: np.ndarray,
        a: np.ndarray,
        b: np.ndarray,
        directions: np.ndarray,
        p: float,
        scale: np.ndarray,
        wanted: Collection[str] = ("x", "y"),
    ) -> ProjectedSlopes:
        """`projected_wasserstein`, and derivatives of its product with `scale`, (L,).

        Parameters
        ----------
        wanted : names among "x", "y", "a", "b", "directions"
            Derivatives that are asked for; others may be None.
        """
        return lines.projected_slopes(x, y, a, b, directions, p, scale, wanted)

    def lifted_costs(
        self, x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, directions: np.ndarray, p: float
    ) -> np.ndarray:
        """What monotone plans along directions cost between the points themselves, ``|x_i - y_j|**p``; (L,)."""
        return lines.lifted_costs(x, y, a, b, directions, p)
