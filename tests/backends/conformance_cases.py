"""Problems for the conformance suite: one per way of knowing a cost matrix, with everything awkward in it.

Weights have zeros on both sides, sizes are no multiple of any tile, potentials are near a fixed point (where
solvers spend their passes) but not at it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from problems import some_weights
from scipy import sparse

from ot_solvers import costs
from ot_solvers.backends import registry
from ot_solvers.geometry import DenseGeometry, Geometry, Grid, PointCloud, SparseGeometry
from ot_solvers.plans.gibbs import GibbsPlan

__all__ = ["GEOMETRIES", "Case", "case", "cost_case", "plan", "unit_rows"]

#: Added to the costs of the shifted case, which are multiples of `QUANTUM`: the sum is exact.
SHIFT = 1e6
QUANTUM = 2.0**-20


@dataclass(frozen=True)
class Case:
    """A geometry with the vectors that primitives are asked about.

    Attributes
    ----------
    geometry : Geometry, shape (n, m)
    twin : Geometry
        What the reference reads: the same matrix less `offset`, stored in the plainest way.
    offset : float, cost units
    """

    geometry: Geometry
    twin: Geometry
    offset: float
    f: np.ndarray
    g: np.ndarray
    a: np.ndarray
    b: np.ndarray
    eps: float

    @property
    def precisions(self) -> tuple[str, ...]:
        """Pair arithmetic that solvers may ask of `sweep`."""
        return ("float64", "float32") if self.geometry.dtype == np.float32 else ("float64",)

    @property
    def size(self) -> float:
        """Largest cost or potential, cost units: what one rounding is relative to."""
        low, high = self.cost_range
        return max(abs(low), abs(high), np.abs(self.f).max(), np.abs(self.g).max(), self.eps)

    @property
    def cost_range(self) -> tuple[float, float]:
        found = registry.get("reference").cost_statistics(self.twin)
        return found.minimum, found.maximum


def _dense(rng, dtype="float64", order="C", offset=0.0, forbidden=False, cut_off=False):
    C = np.round(rng.uniform(-1, 3, (23, 301)) / QUANTUM) * QUANTUM
    if forbidden:
        C[rng.random(C.shape) < 0.2] = np.inf
    if cut_off:
        C[5], C[:, 17] = np.inf, np.inf
    C = C.astype(dtype)
    return DenseGeometry(np.asarray(C + C.dtype.type(offset), order=order)), DenseGeometry(C), offset


def _cloud(rng, dtype="float64", cost=None, d=3, shape=(23, 301), same=False):
    cost = costs.SqEuclidean() if cost is None else cost
    x, y = (rng.normal(size=(size, d)).astype(dtype) for size in shape)
    if same:
        y = x
    else:
        y[: min(4, shape[0])] = x[: min(4, shape[0])]  # points in common: costs and slopes at 0
    if isinstance(cost, costs.Hamming):
        x, y = np.sign(x), np.sign(y)
    if isinstance(cost, costs.Sphere):
        x, y = unit_rows(x), unit_rows(y)
    cloud = PointCloud(x, y, cost)
    return cloud, cloud, 0.0


def unit_rows(x):
    return x / np.sqrt((x * x).sum(1, keepdims=True))


class UphillKernel(NamedTuple):
    up: float
    down: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        return total + (kernel.up * (v - u) if v > u else kernel.down * (u - v))

    @staticmethod
    def finish(kernel, total):
        return total

    @staticmethod
    def derivative(kernel, c, u, v):
        return -kernel.up if v > u else kernel.down


@dataclass(frozen=True)
class Uphill(costs.Cost):
    """Separable, and not symmetric: a transposed axis shows."""

    up: float = 3.0
    down: float = 1.0
    symmetric = False

    def swapped(self):
        return Uphill(self.down, self.up)

    def pairwise(self, x, y, xp=np):
        rise = y[None, :, :] - x[:, None, :]
        return xp.sum(xp.where(rise > 0, self.up * rise, -self.down * rise), axis=-1)

    def gradient(self, x, y, c, xp=np):
        rise = y[None, :, :] - x[:, None, :]
        one = xp.ones_like(rise)
        return xp.where(rise > 0, -self.up * one, self.down * one)

    def kernel(self, dtype, d):
        return UphillKernel(dtype(self.up), dtype(self.down))

    def separate(self, d):
        return True


def _grid(rng, shape, cost=None):
    axes = tuple(np.cumsum(rng.uniform(0.1, 0.5, size)) for size in shape)  # uneven
    grid = Grid(axes, costs.SqEuclidean() if cost is None else cost)
    return grid, DenseGeometry(np.ascontiguousarray(grid.block(0, grid.shape[0]))), 0.0


def _sparse(rng, dtype="float64"):
    allowed = rng.random((23, 301)) < 0.2
    allowed[5] = False  # a row without any allowed pair
    rows, columns = np.nonzero(allowed)
    data = rng.uniform(-1, 3, rows.size).astype(dtype)
    data[::7] = 0.0  # a stored zero is an allowed pair
    geometry = SparseGeometry(sparse.csr_array((data, (rows, columns)), shape=allowed.shape))
    return geometry, DenseGeometry(geometry.block(0, 23)), 0.0


GEOMETRIES: dict[str, Callable] = {
    "dense": _dense,
    "dense-fortran": lambda rng: _dense(rng, order="F"),
    "dense-shifted": lambda rng: _dense(rng, offset=SHIFT),
    "dense-fortran-shifted": lambda rng: _dense(rng, order="F", offset=SHIFT),
    "dense-forbidden": lambda rng: _dense(rng, forbidden=True),
    "dense-cut-off": lambda rng: _dense(rng, forbidden=True, cut_off=True),
    "dense-float32": lambda rng: _dense(rng, "float32"),
    "dense-float32-fortran": lambda rng: _dense(rng, "float32", order="F"),
    "dense-float32-forbidden": lambda rng: _dense(rng, "float32", forbidden=True),
    "cloud": _cloud,
    "cloud-float32": lambda rng: _cloud(rng, "float32"),
    "cloud-uphill": lambda rng: _cloud(rng, cost=Uphill()),
    "cloud-with-itself": lambda rng: _cloud(rng, shape=(150, 150), same=True),
    "grid-1d": lambda rng: _grid(rng, (150,)),
    "grid-1d-euclidean": lambda rng: _grid(rng, (40,), costs.Euclidean()),
    "grid-2d": lambda rng: _grid(rng, (9, 17)),
    "grid-2d-cityblock": lambda rng: _grid(rng, (9, 17), costs.CityBlock()),
    "grid-2d-uphill": lambda rng: _grid(rng, (9, 17), Uphill()),
    "grid-3d": lambda rng: _grid(rng, (4, 5, 7)),
    "grid-3d-dot": lambda rng: _grid(rng, (4, 5, 7), costs.Dot()),
    "sparse": _sparse,
    "sparse-float32": lambda rng: _sparse(rng, "float32"),
}


def _with_vectors(rng, geometry, twin, offset, regularisation: float) -> Case:
    reference = registry.get("reference")
    n, m = twin.shape
    a, b = some_weights(rng, n), some_weights(rng, m)
    # Points that are cut off have no weight: problems demand it.
    C = twin.block(0, n)
    a[~np.isfinite(C).any(1)] = 0.0
    b[~np.isfinite(C).any(0)] = 0.0
    a, b = a / a.sum(), b / b.sum()
    found = reference.cost_statistics(twin)
    eps = regularisation * (found.maximum - found.minimum)
    g = rng.normal(size=m) * eps
    with np.errstate(divide="ignore"):
        s = reference.softmin(twin, np.log(b) + g / eps, eps)
    f = np.where(np.isfinite(s), s, 0.0) + rng.normal(size=n) * eps
    # Multiples of the quantum, so that adding the offset rounds nothing.
    f = np.round(f / QUANTUM) * QUANTUM
    return Case(geometry, twin, offset, f, g, a, b, eps)


@cache
def case(name: str, transposed: bool, regularisation: float) -> Case:
    """The case of that name; its vectors belong to the side asked for."""
    rng = np.random.default_rng(0)
    geometry, twin, offset = GEOMETRIES[name](rng)
    if transposed:
        geometry, twin = geometry.T, twin.T
    return _with_vectors(rng, geometry, twin, offset, regularisation)


@cache
def cost_case(cost: costs.Cost, dtype: str, d: int, regularisation: float) -> Case:
    """Point clouds of d coordinates with the given cost."""
    rng = np.random.default_rng(0)
    return _with_vectors(rng, *_cloud(rng, dtype, cost, d), regularisation)


def plan(case: Case, geometry: Geometry, offset: float) -> GibbsPlan:
    """The case's plan over one of its two geometries; `offset` is that geometry's."""
    return GibbsPlan(geometry, case.f + offset, case.g, case.a, case.b, case.eps, 0.25)
