"""What a marginal pays for missing its weights: nothing allowed, Kullback-Leibler, total variation.

Each penalty is a scalar function per point, used by solvers (prox, residual), by results (primal and
dual terms) and, as a small integer and a number, by compiled kernels. Derivations: ``docs/maths.md``,
after [sejourne:19]_.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .errors import UnsupportedError

__all__ = ["KL", "TV", "Balanced", "Penalty"]


@dataclass(frozen=True)
class Penalty:
    """One side's marginal penalty ``rho * D(P1 | a)``.

    Attributes
    ----------
    rho : float > 0, cost units
        ``inf`` for a hard marginal.
    kind : int
        The code that compiled kernels switch on: 0 hard, 1 KL, 2 TV.
    """

    rho: float
    kind: ClassVar[int] = 0

    @property
    def hard(self) -> bool:
        return self.kind == 0

    def prox(self, s, eps: float):
        """Potential that maximises the dual in one block, from the soft minimum ``s`` (cost units)."""
        raise NotImplementedError

    def excess(self, potential) -> float:
        """Upper bound of the logarithm of a row's mass, in units of its weight, right after its prox."""
        raise NotImplementedError

    def residual(self, mass, weights, potential) -> float:
        """L1 distance of ``mass`` to what optimality asks at ``potential``; mass units."""
        raise NotImplementedError

    def primal(self, mass, weights) -> float:
        """``rho * D(mass | weights)``, cost units times mass; 0 for a hard marginal."""
        raise NotImplementedError

    def dual(self, potential, weights) -> float:
        """``-sum_i a_i phi*(-f_i)``: this side's term of the dual; ``-inf`` outside its domain."""
        raise NotImplementedError


@dataclass(frozen=True)
class Balanced(Penalty):
    """Hard marginal: ``P1 = a``."""

    rho: float = math.inf
    kind: ClassVar[int] = 0

    def prox(self, s, eps):
        return s

    def excess(self, potential):
        return 0.0

    def residual(self, mass, weights, potential):
        return float(np.abs(mass - weights).sum())

    def primal(self, mass, weights):
        return 0.0

    def dual(self, potential, weights):
        return float(_dot(weights, potential))


@dataclass(frozen=True)
class KL(Penalty):
    """``rho * sum P1 log(P1 / a) - P1 + a``; the optimum has ``P1 = a exp(-f / rho)``."""

    kind: ClassVar[int] = 1

    def prox(self, s, eps):
        return s * (self.rho / (self.rho + eps))

    def excess(self, potential):
        # The prox leaves the mass a exp(-f / rho).
        return max(-float(potential.min()) / self.rho, 0.0)

    def residual(self, mass, weights, potential):
        return float(np.abs(mass - weights * np.exp(-potential / self.rho)).sum())

    def primal(self, mass, weights):
        live = mass > 0
        ratio = np.log(mass[live] / weights[live])
        return self.rho * float((mass[live] * ratio).sum() - mass.sum() + weights.sum())

    def dual(self, potential, weights):
        return -self.rho * float(_dot(weights, np.expm1(-potential / self.rho)))


@dataclass(frozen=True)
class TV(Penalty):
    """``rho * sum |P1 - a|`` (not halved); the potential lives in ``[-rho, rho]``."""

    kind: ClassVar[int] = 2

    def prox(self, s, eps):
        return np.clip(s, -self.rho, self.rho)

    def excess(self, potential):
        # Off the lower edge a row has at most its weight; at the edge, any mass above.
        return 0.0 if potential.min() > -self.rho else math.inf

    def residual(self, mass, weights, potential):
        # Distance to the subdifferential: at f = rho any mass below a is optimal, at -rho any above.
        excess = mass - weights
        edge = self.rho * (1 - 1e-12)
        missing = np.where(potential >= edge, np.maximum(excess, 0), np.abs(excess))
        missing = np.where(potential <= -edge, np.maximum(-excess, 0), missing)
        return float(missing.sum())

    def primal(self, mass, weights):
        return self.rho * float(np.abs(mass - weights).sum())

    def dual(self, potential, weights):
        live = potential[weights > 0]
        if live.size and live.min() < -self.rho * (1 + 1e-12):
            return -math.inf
        return float(_dot(weights, np.minimum(potential, self.rho)))


def _dot(weights, values):
    # A zero weight kills its term even where the potential is infinite.
    live = weights > 0
    return weights[live] @ values[live]


def make_penalty(rho: float, name: str) -> Penalty:
    """Penalty of one side; ``rho = inf`` is the hard marginal whatever the name."""
    if math.isinf(rho):
        return Balanced()
    if name == "kl":
        return KL(rho)
    if name == "tv":
        return TV(rho)
    raise UnsupportedError(f"unbalanced_type={name!r} is unknown; expected 'kl' or 'tv'")
