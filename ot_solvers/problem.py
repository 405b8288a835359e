"""What is minimised: a problem in normalised form, and how masses get there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .geometry.base import Geometry
from .lazy import cached_property
from .penalties import Capacity, Penalty

__all__ = ["Problem", "QuadraticTerm"]


class QuadraticTerm(NamedTuple):
    """The term ``gamma / 2 sum P^2`` of a normalised problem, and how many entries a point may have.

    Attributes
    ----------
    gamma : float > 0
        Cost per unit of normalised mass.
    most_a, most_b : (n,), (m,) int arrays or None
        Entries of every row, of every column; at most one side is given.
    """

    gamma: float
    most_a: np.ndarray | None = None
    most_b: np.ndarray | None = None

    @property
    def limited(self) -> bool:
        """Whether points of a side may have so many entries only."""
        return self.most_a is not None or self.most_b is not None

    @property
    def T(self) -> QuadraticTerm:
        """That of the transposed problem."""
        return QuadraticTerm(self.gamma, self.most_b, self.most_a)


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
    quadratic : QuadraticTerm or None
        A quadratic term instead of the entropy.
    """

    geometry: Geometry
    a: np.ndarray
    b: np.ndarray
    mass: float
    eps: float
    penalty_a: Penalty
    penalty_b: Penalty
    balanced: bool = True
    quadratic: QuadraticTerm | None = None

    @property
    def partial(self) -> bool:
        """Whether part of the weights may stay, and the total that a plan moves is given."""
        return isinstance(self.penalty_a, Capacity) or isinstance(self.penalty_b, Capacity)

    @property
    def term(self) -> QuadraticTerm:
        """The quadratic term, for those who know that there is one."""
        assert self.quadratic is not None
        return self.quadratic

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
            None if self.quadratic is None else self.quadratic.T,
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
                "masses: rescale one side"
            )
        return a / total_a, b / total_b, total_a
    unit = math.sqrt(total_a) * math.sqrt(total_b)
    return a / unit, b / unit, unit
