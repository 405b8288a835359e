"""What a marginal pays for missing its weights: nothing allowed, Kullback-Leibler, total variation, capacities.

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

__all__ = ["KL", "TV", "Balanced", "Capacity", "Penalty", "translation"]


@dataclass(frozen=True)
class Penalty:
    """One side's marginal penalty ``rho * D(P1 | a)``.

    Attributes
    ----------
    rho : float > 0, cost units
        ``inf`` for a hard marginal.
    kind : int
        The code that compiled kernels switch on: 0 hard, 1 KL, 2 TV, 3 capacity.
    """

    rho: float
    kind: ClassVar[int] = 0

    @property
    def hard(self) -> bool:
        return self.kind == 0

    @property
    def unreachable(self) -> float:
        """Potential of a point that no allowed pair reaches: its mass is 0, which a soft side may pay for."""
        return 0.0

    def project(self, potential):
        """The nearest potential in the domain of the dual: extrapolations may leave it."""
        return potential

    def prox(self, s, eps: float):
        """Potential that maximises the dual in one block, from the soft minimum ``s`` (cost units)."""
        raise NotImplementedError

    def excess(self, potential) -> float:
        """Upper bound of the logarithm of a row's mass, in units of its weight, right after its prox."""
        raise NotImplementedError

    def residual(self, mass, weights, potential, eps: float = 0.0) -> float:
        """L1 distance of ``mass`` to what optimality asks at ``potential``; mass units.

        `eps` says how far below a bound a potential counts as being off it, for penalties that have one.
        """
        raise NotImplementedError

    def asked(self, weights, potential):
        """The mass that optimality asks for at ``potential``; the gradient of the dual is this minus the mass."""
        raise UnsupportedError(f"the {type(self).__name__} penalty has no derivative: use method='sinkhorn'")

    def curvature(self, weights, potential):
        """Minus the derivative of `asked`; mass units per cost unit."""
        raise UnsupportedError(f"the {type(self).__name__} penalty has no derivative: use method='sinkhorn'")

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

    def residual(self, mass, weights, potential, eps=0.0):
        return float(np.abs(mass - weights).sum())

    def asked(self, weights, potential):
        return weights

    def curvature(self, weights, potential):
        return np.zeros_like(weights)

    def primal(self, mass, weights):
        return 0.0

    def dual(self, potential, weights):
        return float(_dot(weights, potential))


@dataclass(frozen=True)
class KL(Penalty):
    """``rho * sum P1 log(P1 / a) - P1 + a``; the optimum has ``P1 = a exp(-f / rho)``."""

    kind: ClassVar[int] = 1

    @property
    def unreachable(self):
        # exp(-40) is below the rounding of 1; infinity, the exact value, would be none.
        return 40.0 * self.rho

    def prox(self, s, eps):
        return s * (self.rho / (self.rho + eps))

    def excess(self, potential):
        # The prox leaves the mass a exp(-f / rho).
        return max(-float(potential.min()) / self.rho, 0.0)

    def residual(self, mass, weights, potential, eps=0.0):
        with np.errstate(over="ignore", invalid="ignore"):  # then the error is infinite or NaN, as it should be
            return float(np.abs(mass - weights * np.exp(-potential / self.rho)).sum())

    def asked(self, weights, potential):
        with np.errstate(over="ignore"):
            return weights * np.exp(-potential / self.rho)

    def curvature(self, weights, potential):
        return self.asked(weights, potential) / self.rho

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

    @property
    def unreachable(self):
        return self.rho

    def project(self, potential):
        return np.clip(potential, -self.rho, self.rho)

    def prox(self, s, eps):
        return self.project(s)

    def excess(self, potential):
        # Off the lower edge a row has at most its weight; at the edge, any mass above.
        return 0.0 if potential.min() > -self.rho else math.inf

    def residual(self, mass, weights, potential, eps=0.0):
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


@dataclass(frozen=True)
class Capacity(Penalty):
    """No more than the weights, where the total of the plan is fixed and the unit of mass: partial transport.

    A potential is at most its `top`, and reached only where a weight is not used up. What the total costs is in
    the tops of the two sides: moving a constant from one side to the other changes nothing, as when balanced.

    Attributes
    ----------
    rho : float, cost units
        Where row updates are cut. Any number: the constant between the sides follows. One near the costs keeps
        the other side small, and with it the rounding of exponents.
    """

    rho: float = 0.0
    kind: ClassVar[int] = 3

    @property
    def unreachable(self):
        return self.rho

    def prox(self, s, eps):
        return np.minimum(s, self.rho)

    def excess(self, potential):
        return 0.0

    def top(self, weights, potential) -> float:
        """The largest potential of a point with weight."""
        return float(potential[weights > 0].max())

    def residual(self, mass, weights, potential, eps=0.0):
        # What an update would change: the excess over the weight, and what is missing below the top, where half an
        # eps below it is half missed.
        live = weights > 0
        mass, weights, below = mass[live], weights[live], self.top(weights, potential) - potential[live]
        if eps > 0:
            mass_at_top = mass * np.exp(np.minimum(below / eps, 700.0))
            return float(np.abs(mass - np.minimum(weights, mass_at_top)).sum())
        return float(np.maximum(mass - weights, 0.0).sum())

    def level(self, s, weights, eps: float = 0.0) -> float:
        """Where potentials have to be cut for a total of 1: ``sum w min(1, exp((level - s) / eps)) = 1``.

        Parameters
        ----------
        s : (k,) array, cost units
            Soft minima, with which each point would have its whole weight; ``+inf`` for what has no way.
        weights : (k,) array > 0
            Of sum above 1.
        eps : float >= 0, cost units
            0: the cheapest points up to a total of 1.

        Returns
        -------
        float
            ``+inf`` if the points with a way have too little weight.
        """
        order = np.argsort(s, kind="stable")
        order = order[: np.count_nonzero(np.isfinite(s))]
        if not order.size:
            return math.inf
        s, weights = s[order], weights[order]
        before = np.cumsum(weights) - weights
        if eps > 0:
            t = (s - s[0]) / eps
            # Of the points from k on: the logarithm of what they move at level s[0].
            rest = np.logaddexp.accumulate((np.log(weights) - t)[::-1])[::-1]
            with np.errstate(over="ignore"):  # heavy points move more than the total long before
                moved = before + np.exp(t + rest)
        else:
            moved = before + weights
        enough = moved >= 1.0 - 1e-13
        if not enough.any():
            return math.inf
        k = int(np.argmax(enough))
        if not eps > 0:
            return float(s[k])
        left = 1.0 - float(before[k])
        return float(s[0] + eps * (math.log(left) - rest[k])) if left > 0 else float(s[k])

    def primal(self, mass, weights):
        return 0.0

    def dual(self, potential, weights):
        # Of all constants between the sides the best: w . (f - top) + top, which holds for any f.
        top = self.top(weights, potential)
        return float(_dot(weights, potential - top)) + top


def translation(penalty_a: Penalty, f, a, penalty_b: Penalty, g, b) -> float:
    """The constant t for which the dual at ``(f + t, g - t)`` is largest.

    The plan does not depend on t, so alternating updates find it last: after about rho / eps passes.

    Parameters
    ----------
    f, a : (n,) potentials in the dual's domain and weights
    g, b : (m,) potentials and weights

    Returns
    -------
    t : float, cost units
        Moves no potential out of the domain; the one nearest 0 where several are best.

    References
    ----------
    The slow mode is that of [sejourne:22]_.
    """
    kinds = {penalty_a.kind, penalty_b.kind}
    if kinds == {0}:
        return 0.0
    f, a, g, b = f[a > 0], a[a > 0], g[b > 0], b[b > 0]
    if 2 not in kinds:
        # Equal masses: sum a exp(-(f + t) / rho_a) = sum b exp(-(g - t) / rho_b).
        moved = _log_sum(a, -f / penalty_a.rho) - _log_sum(b, -g / penalty_b.rho)
        return float(moved / (1 / penalty_a.rho + 1 / penalty_b.rho))
    # Concave and piecewise linear in t: its slope falls by a weight wherever a potential meets rho.
    slope, lowest, highest = a.sum(), -math.inf, math.inf
    places, drops = [], []
    if not penalty_a.hard:
        places.append(penalty_a.rho - f)
        drops.append(a)
        lowest = -penalty_a.rho - f.min()
    if penalty_b.hard:
        slope -= b.sum()
    else:
        places.append(g - penalty_b.rho)
        drops.append(b)
        highest = g.min() + penalty_b.rho
    place, drop = np.concatenate(places), np.concatenate(drops)
    order = np.argsort(place)
    place = np.concatenate([[-math.inf], place[order], [math.inf]])
    slopes = slope - np.concatenate([[0.0], np.cumsum(drop[order])])
    rounding = 1e-12 * a.sum()
    # slopes[k] holds between place[k] and place[k + 1]; it is 0 where the best t lies, or changes sign there.
    left = place[np.argmax(slopes <= rounding)] if slopes[-1] <= rounding else math.inf
    right = place[np.argmax(slopes < -rounding)] if slopes[-1] < -rounding else math.inf
    best = min(max(0.0, left), right)
    return float(min(max(best, lowest), highest))


def _log_sum(weights, t) -> float:
    """``log sum w exp(t)``."""
    top = float(t.max())
    return top + math.log(float(weights @ np.exp(t - top)))


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
