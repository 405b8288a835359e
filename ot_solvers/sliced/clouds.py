"""What all functions of this package read: two weighted clouds, an order, a backend."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import validation as check
from ..api import read_masses
from ..backends import registry
from ..backends.base import Backend
from ..backends.line_primitives import ProjectedSlopes
from ..namespaces import Library, resolve
from ..wasserstein import order_of

__all__ = ["Clouds", "finite_costs"]


@dataclass(frozen=True)
class Clouds:
    """Two checked measures on the host.

    Attributes
    ----------
    x, y : (n, d), (m, d) arrays
    a, b : (n,), (m,) float64 arrays, sums 1
    mass : float
        What was taken out of the weights.
    p : float
    library : Library
    engine : Backend
    """

    x: np.ndarray
    y: np.ndarray
    a: np.ndarray
    b: np.ndarray
    mass: float
    p: float
    library: Library
    engine: Backend

    @classmethod
    def read(cls, x: Any, y: Any, a: Any, b: Any, p: Any, backend: str, **others: Any) -> Clouds:
        """From what the user gave; `others` are arrays that belong to the same library."""
        order = order_of(p)
        name = resolve({"x": x, "y": y, "a": a, "b": b, **others})
        first, second = check.points(x, "x"), check.points(y, "y")
        if first.shape[1] != second.shape[1]:
            raise ValueError(
                f"x has {first.shape[1]} coordinates and y {second.shape[1]}; expected the same number"
            )
        library = Library(name, np.result_type(first.dtype, second.dtype))
        weights = check.weights(a, "a", len(first)), check.weights(b, "b", len(second))
        engine = registry.get("numba" if backend == "auto" else backend)
        weights_a, weights_b, mass = read_masses(a, b, *weights, library)
        return cls(first, second, weights_a, weights_b, mass, order, library, engine)

    @property
    def d(self) -> int:
        return self.x.shape[1]

    def costs(self, directions: np.ndarray) -> np.ndarray:
        """(L,) p-th powers of the distances along directions."""
        args = self.x, self.y, self.a, self.b, directions, self.p
        return finite_costs(self.mass * self.engine.projected_wasserstein(*args))

    def slopes(self, directions: np.ndarray, scale: np.ndarray, wanted: Collection[str]) -> ProjectedSlopes:
        """Costs along directions and derivatives of their sum, weighted by `scale`, for a mass of 1."""
        args = self.x, self.y, self.a, self.b, directions, self.p, scale
        return self.engine.projected_slopes(*args, wanted)

    def root(self, power: float) -> float:
        """The distance of a p-th power."""
        return max(power, 0.0) ** (1.0 / self.p)


def finite_costs(values: np.ndarray) -> np.ndarray:
    """`values`, if they are finite.

    Raises
    ------
    ValueError
        If powers of distances overflow.
    """
    if not np.isfinite(values).all():
        raise ValueError("the p-th powers of distances between x and y overflow: divide the points by a constant")
    return values
