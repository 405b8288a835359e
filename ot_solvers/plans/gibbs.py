"""The Gibbs plan: a coupling known through its potentials."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..geometry.base import Geometry
from ..lazy import cached_property

__all__ = ["GibbsPlan"]


@dataclass(frozen=True)
class GibbsPlan:
    """``P_ij = a_i b_j exp((f_i + g_j - C_ij) / eps + log_mass)``, never stored.

    Attributes
    ----------
    geometry : Geometry, shape (n, m)
    f, g : (n,), (m,) float64 arrays, cost units
    a, b : (n,), (m,) float64 arrays
        Normalised weights.
    eps : float > 0, cost units
    log_mass : float
        0 for balanced problems, whose total mass lives in the potentials; the logarithm of the unit in
        which `a` and `b` are counted otherwise.
    """

    geometry: Geometry
    f: np.ndarray
    g: np.ndarray
    a: np.ndarray
    b: np.ndarray
    eps: float
    log_mass: float = 0.0

    @cached_property
    def h(self) -> np.ndarray:
        """(m,) dimensionless column log-weights ``log b_j + g_j / eps + log_mass``; ``-inf`` where b is 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.b) + self.g / self.eps + self.log_mass

    @cached_property
    def centre(self) -> float:
        """Middle of the column potentials that count: a constant that belongs to the rows.

        Costs far from zero put it on one side or the other. Divided by eps it would eat the digits of the
        exponents, and differently in a plan and in its transpose: `f_centred` and `h_centred` are small. A
        multiple of the spacing of the largest potential, so that adding it to either side is exact.
        """
        g = self.g[self.b > 0]
        if not g.size:
            return 0.0
        spacing = float(np.spacing(max(np.abs(self.f).max(), np.abs(g).max())))
        return spacing * round(0.5 * float(g.min() + g.max()) / spacing) if math.isfinite(spacing) else 0.0

    @cached_property
    def f_centred(self) -> np.ndarray:
        """(n,) row potentials that go with `h_centred`, cost units."""
        return self.f + self.centre

    @cached_property
    def h_centred(self) -> np.ndarray:
        """(m,) dimensionless; `h` without the constant."""
        with np.errstate(divide="ignore"):
            return np.log(self.b) + (self.g - self.centre) / self.eps + self.log_mass

    @cached_property
    def T(self) -> GibbsPlan:
        """The transposed plan, a view."""
        return GibbsPlan(self.geometry.T, self.g, self.f, self.b, self.a, self.eps, self.log_mass)
