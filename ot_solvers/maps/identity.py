"""The map that moves nothing: what every other one has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..namespaces import Library, resolve
from .base import TransportMap, read_samples

__all__ = ["IdentityMap"]


class IdentityMap(TransportMap):
    """``T(x) = x``, a baseline.

    Parameters
    ----------
    cost : str or Cost
        Of scores.
    """

    def __init__(self, *, cost: Any = "sqeuclidean"):
        self.cost = cost

    def fit(self, x: Any, y: Any, a: Any = None, b: Any = None) -> IdentityMap:
        """Look at the number of coordinates, no more.

        Parameters
        ----------
        x : (n, d) array
        y : (m, d) array
        a : (n,) array >= 0, optional
        b : (m,) array >= 0, optional

        Raises
        ------
        ValueError, TypeError
            For bad input, naming the argument.
        """
        x, *_ = read_samples(x, y, a, b)
        self.n_features_in_ = x.shape[1]
        return self

    def transform(self, x: Any) -> Any:
        """(n, d) copies of the points x (n, d)."""
        return self._copies(x, "x")

    def inverse_transform(self, y: Any) -> Any:
        """(n, d) copies of the points y (n, d)."""
        return self._copies(y, "y")

    def _copies(self, points: Any, argument: str) -> Any:
        array = self._new_points(points, argument)
        return Library(resolve({argument: points}), array.dtype).array(np.array(array))
