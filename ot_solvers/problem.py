"""What is minimised: regularisers, marginal penalties, normalised masses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .errors import UnsupportedError
from .geometry.base import Geometry
from .lazy import cached_property
from .namespaces import host_array, library_name
from .penalties import Capacity, Penalty

__all__ = ["Entropic", "Problem"]


@dataclass(frozen=True)
class Entropic:
    """Entropic regularisation ``eps * KL(P | a b')``.

    Parameters
    ----------
    eps : float > 0
        Cost units; with `relative_to`, a multiple of that statistic of the cost.
    relative_to : {None, "mean", "max"}
        Statistic over finite pairs, unweighted, computed without forming the cost matrix.

    Raises
    ------
    ValueError
        If `eps` is not positive and finite, or `relative_to` is unknown.
    """

    eps: float
    relative_to: str | None = None

    def __post_init__(self):
        if isinstance(self.eps, bool) or not isinstance(self.eps, (int, float, np.integer, np.floating)):
            raise TypeError(f"eps={self.eps!r} is not a number")
        if not (math.isfinite(self.eps) and self.eps > 0):
            raise ValueError(f"eps={self.eps!r} must be positive and finite")
        if self.relative_to not in (None, "mean", "max"):
            raise ValueError(f"relative_to={self.relative_to!r} is unknown; expected None, 'mean' or 'max'")
        object.__setattr__(self, "eps", float(self.eps))


@dataclass(frozen=True)
class Problem:
    """A transport problem in normalised form.

    Attributes
    ----------
    geometry : Geometry, shape (n, m)
    a, b : (n,), (m,) float64 arrays >= 0
        The caller's weights divided by `mass`.
    mass : float > 0
        Balanced: the total mass, so that `a` and `b` sum to 1. Partial: the mass to be moved, so that they sum to
        1 or more. Unbalanced: the unit in which both are counted (geometric mean of the two totals).
    eps : float >= 0, cost units
        Of the entropy; 0: exact transport.
    penalty_a, penalty_b : Penalty
    balanced : bool
        Whether the problem is the balanced one, whose objective has no mass terms.
    """

    geometry: Geometry
    a: np.ndarray
    b: np.ndarray
    mass: float
    eps: float
    penalty_a: Penalty
    penalty_b: Penalty
    balanced: bool = True

    @property
    def partial(self) -> bool:
        """Whether part of the weights may stay, and the total that a plan moves is given."""
        return isinstance(self.penalty_a, Capacity) or isinstance(self.penalty_b, Capacity)

    @property
    def fixed_total(self) -> bool:
        """Whether all plans have the same total mass, counted as 1: balanced and partial problems."""
        return self.balanced or self.partial

    @property
    def total(self) -> float:
        """The mass of plans where it is fixed, else that of `a`: what errors are relative to."""
        return 1.0 if self.partial else float(self.a.sum())

    @property
    def log_mass(self) -> float:
        """Offset of the exponents; see `ot_solvers.plans.gibbs.GibbsPlan`."""
        return 0.0 if self.fixed_total else math.log(self.mass)

    def marginal_error(self, f, g, row_mass, column_mass) -> float:
        """L1 residual of both marginals against what optimality asks at (f, g), and of a fixed total, relative."""
        rows = self.penalty_a.residual(row_mass, self.a, f, self.eps)
        columns = self.penalty_b.residual(column_mass, self.b, g, self.eps)
        total = abs(float(row_mass.sum()) - 1.0) if self.partial else 0.0
        return (rows + columns + total) / self.total

    @cached_property
    def log_b(self) -> np.ndarray:
        """(m,) ``log b + log_mass``, ``-inf`` where b is 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.b) + self.log_mass

    @cached_property
    def log_a(self) -> np.ndarray:
        """(n,) ``log a + log_mass``, ``-inf`` where a is 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.a) + self.log_mass

    @property
    def T(self) -> Problem:
        """The same problem with the two sides exchanged."""
        return Problem(
            self.geometry.T,
            self.b,
            self.a,
            self.mass,
            self.eps,
            self.penalty_b,
            self.penalty_a,
            self.balanced,
        )


class PartialMasses(NamedTuple):
    """Weights in units of the mass to be moved."""

    a: np.ndarray
    b: np.ndarray
    mass: float
    full_a: bool  # all of it is to be moved
    full_b: bool


def partial_masses(a: np.ndarray, b: np.ndarray, mass: float, rtol: float) -> PartialMasses:
    """Weights in units of the mass to be moved, and whether all of a side is.

    Raises
    ------
    ValueError
        If that mass is not positive, or more than there is on one side by more than `rtol`.
    """
    with np.errstate(over="ignore"):
        totals = float(a.sum()), float(b.sum())
    most = min(totals)
    if not 0 < mass <= most * (1 + rtol):
        raise ValueError(
            f"mass={mass:.9g} must be positive and at most {most:.9g}: "
            f"sum(a)={totals[0]:.9g}, sum(b)={totals[1]:.9g}"
        )
    if not math.isfinite(max(totals) / mass):
        raise ValueError(f"mass={mass:.9g} is too small next to sum(a)={totals[0]:.9g}, sum(b)={totals[1]:.9g}")
    if mass >= most * (1 - rtol):
        mass = most  # a side that is full sums to 1, whatever the rounding of the mass asked for
    full_a, full_b = (mass >= total * (1 - rtol) for total in totals)
    a, b = a / (totals[0] if full_a else mass), b / (totals[1] if full_b else mass)
    return PartialMasses(a, b, mass, full_a, full_b)


class UnequalMasses(ValueError):
    """Balanced transport between different total masses."""


def normalise_masses(a: np.ndarray, b: np.ndarray, *, balanced: bool, rtol: float):
    """(a, b, mass) with masses taken out; `b` rescaled to the sum of `a` when balanced.

    Raises
    ------
    ValueError
        If a total is zero or overflows, or the totals differ by more than `rtol` when balanced.
    """
    with np.errstate(over="ignore"):  # found out below, with a message
        total_a, total_b = float(a.sum()), float(b.sum())
    for name, total in (("a", total_a), ("b", total_b)):
        if not total > 0:
            raise ValueError(f"{name} has total mass {total:g}; expected a positive total")
        if not math.isfinite(total):
            raise ValueError(f"the total mass of {name} overflows; divide both weight vectors by a constant")
    if balanced:
        if abs(total_a - total_b) > rtol * max(total_a, total_b):
            raise UnequalMasses(
                f"total masses differ: sum(a)={total_a:.9g}, sum(b)={total_b:.9g}. Balanced transport needs equal "
                "masses: rescale one side, or pass unbalanced=rho (finite) or mass= (what is to be moved)"
            )
        return a / total_a, b / total_b, total_a
    unit = math.sqrt(total_a) * math.sqrt(total_b)
    return a / unit, b / unit, unit


def absolute_eps(reg: Entropic | None, geometry: Geometry, backend) -> float:
    """`reg` in cost units, 0 for None; the statistic of a relative one is computed by the backend.

    Raises
    ------
    ValueError
        If the statistic is not positive.
    """
    if reg is None:
        return 0.0
    if reg.relative_to is None:
        return reg.eps
    statistics = backend.cost_statistics(geometry)
    unit = statistics.mean if reg.relative_to == "mean" else statistics.maximum
    if not (math.isfinite(unit) and unit > 0):
        raise ValueError(
            f"reg_relative_to={reg.relative_to!r}: the {reg.relative_to} of the cost is {unit:g}, not positive; "
            "give reg in cost units"
        )
    return reg.eps * unit


def regulariser(reg, relative_to) -> Entropic | None:
    """`reg` as the user gave it, as an `Entropic`; None for exact transport.

    Raises
    ------
    TypeError, ValueError
        For what is neither None, nor a number >= 0, nor an `Entropic`.
    """
    if relative_to not in (None, "mean", "max"):
        raise ValueError(f"reg_relative_to={relative_to!r} is unknown; expected None, 'mean' or 'max'")
    if getattr(reg, "shape", None) == () and library_name(reg) is not None:
        reg = float(host_array(reg, "reg"))
    number = isinstance(reg, (int, float, np.integer, np.floating)) and not isinstance(reg, bool)
    if reg is None or (number and reg == 0):
        return None
    if isinstance(reg, Entropic):
        if relative_to is not None and reg.relative_to not in (None, relative_to):
            raise ValueError(
                f"reg={reg!r} is relative to {reg.relative_to!r}, but reg_relative_to={relative_to!r}"
            )
        return reg if relative_to is None else Entropic(reg.eps, relative_to)
    if not number:
        raise TypeError(f"reg={reg!r} must be a positive number or ots.Entropic(eps), not {type(reg).__name__}")
    if not (math.isfinite(reg) and reg > 0):
        raise ValueError(f"reg={reg!r} must be positive and finite (0 or None: exact transport)")
    return Entropic(float(reg), relative_to)


def entropic(reg, relative_to) -> Entropic:
    """`regulariser` where there is no exact version.

    Raises
    ------
    UnsupportedError
        For None and 0.
    """
    found = regulariser(reg, relative_to)
    if found is None:
        raise UnsupportedError(
            f"reg={reg!r} asks for exact transport, but this is defined for a positive reg only; give one in cost "
            "units, or a relative one such as reg=0.01, reg_relative_to='mean'"
        )
    return found
