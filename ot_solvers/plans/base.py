"""What a solution asks of its plan, whatever the plan is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..geometry.base import Geometry

__all__ = ["TransportPlan"]


class TransportPlan:
    """A plan of the normalised problem (total mass about 1), shape (n, m)."""

    @property
    def statistics(self) -> Any:
        """`PlanStatistics`: marginals and the cost of every row, one pass, float64."""
        raise NotImplementedError

    @property
    def T(self) -> TransportPlan:
        """The transposed plan."""
        raise NotImplementedError

    def value(self) -> float:
        """Full objective in the caller's units, without `certificates.constant`."""
        raise NotImplementedError

    def dual(self) -> float:
        """Dual value of the potentials in the caller's units, without `certificates.constant`."""
        raise NotImplementedError

    def feasible(self) -> tuple[float, float]:
        """(objective, unregularised objective) of this plan made exactly feasible; see `rounding`."""
        raise NotImplementedError

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows ``start:stop`` as a dense float64 array."""
        raise NotImplementedError

    def product(self, v: np.ndarray) -> np.ndarray:
        """``P v``; (m, k) -> (n, k)."""
        raise NotImplementedError

    def conditional(self, v: np.ndarray) -> np.ndarray:
        """``sum_j P_ij v_j / sum_j P_ij``; (m, k) -> (n, k). Rows without weight have a law, too."""
        raise NotImplementedError

    def extrapolated(self, geometry: Geometry, v: np.ndarray) -> np.ndarray:
        """`conditional` for rows that are not in the problem, by their costs to the columns; (m, k) -> (l, k)."""
        raise NotImplementedError

    def entries(self, dropped: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """CSR parts of a copy that drops at most this share of the mass of every row."""
        raise NotImplementedError

    def largest(self) -> np.ndarray:
        """(n,) column of the largest entry of every row."""
        raise NotImplementedError
