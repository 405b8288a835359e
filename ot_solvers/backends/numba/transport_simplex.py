"""A transport problem on a growing list of arcs, with its basis kept: `Backend.transport_simplex`."""

from __future__ import annotations

import math

import numpy as np

from .network_simplex import TOLERANCE, run_simplex, unmet_mass
from .spanning_tree import ARC, ARTIFICIAL, COLUMNS, hang, price_tree, span
from .units import UNITS, integer_masses

__all__ = ["TransportSimplex"]

#: Arcs per block in which the entering arc is looked for, as a multiple of the square root of their number. More
#: than the usual 1: pivots between general masses move large parts of the tree (measured 1, 4, 16: 1.2, 1.1, 1.2 s
#: for gamma weights and n = 6000, and 0.2, 0.28, 0.4 s for equal ones).
BLOCK = 2.0
#: What mass without a way costs at first, in typical reduced costs. More makes no difference; with less, plans
#: are optimal several times with mass left over, and each time all pairs are priced.
FIRST_PRICE = 30.0
#: Potentials this many times their range away from zero lose digits to it.
FAR = 16.0
#: Pivots that move no mass, per vertex, after which it is rounding that they follow.
IDLE = 50
#: How much dearer mass without a way gets at a time.
DEARER = 8.0


class TransportSimplex:
    """See `Backend.transport_simplex`.

    The root of the tree takes and brings mass that has no way yet at prices near the given potentials, so that
    the first prices are good ones and the parts of the tree that have to move are small.
    """

    def __init__(self, a, b, rows, columns, costs, order, f, g):
        n, m = a.size, b.size
        self.n = n
        self.total = math.fsum(a)
        self.source = np.asarray(rows, dtype=np.int32)
        self.sink = np.asarray(columns, dtype=np.int32) + np.int32(n)
        self.cost = np.asarray(costs, dtype=np.float64)
        self.level = np.concatenate([f, -g])
        reduced = self._reduced_costs()
        self.typical = float(np.median(np.abs(reduced[:: 1 + reduced.size // 4096]))) if reduced.size else 0.0
        self.penalty = max(FIRST_PRICE * self.typical, -float(reduced.min(initial=0.0)))
        self.tree = np.empty((n + m + 1, COLUMNS), dtype=np.int32)
        self.flow = np.zeros(n + m + 1, dtype=np.int64)
        self.potential = np.zeros(n + m + 1)
        forest = span(self.source, self.sink, np.asarray(order, dtype=np.int64), n + m)
        hang(self.tree, self.flow, self.source, self.sink, forest, integer_masses(a, b), n)
        #: Rounding of potentials near zero that lie at the end of a path of others.
        self.noise = 0.0
        #: Pivots since one has moved mass.
        self.idle = 0
        # Where to look for an entering arc, pivots, pivots at the last fresh pricing.
        self.state = np.zeros(3, dtype=np.int64)
        self._price()

    @property
    def pivots(self) -> int:
        return int(self.state[1])

    def add(self, rows, columns, costs):
        self.source = np.concatenate([self.source, np.asarray(rows, dtype=np.int32)])
        self.sink = np.concatenate([self.sink, np.asarray(columns, dtype=np.int32) + np.int32(self.n)])
        self.cost = np.concatenate([self.cost, np.asarray(costs, dtype=np.float64)])
        # Mass from the root and back to it along an arc must not pay.
        self.penalty = max(self.penalty, -float(self._reduced_costs().min(initial=0.0)))
        self._price()

    def pivot(self, most: int) -> bool:
        before = self.flow.copy()
        done = self._run(most)
        if done and self._come_down():
            done = self._run(most)
        if not done:
            self._count_idle(most, np.array_equal(before, self.flow))
        return done

    def _count_idle(self, pivots: int, idle: bool) -> None:
        """Notice pivots that follow only rounding: strongly feasible trees do not cycle for other reasons."""
        self.idle = self.idle + pivots if idle else 0
        if self.idle > IDLE * self.level.size:
            self.idle = 0
            self.noise = max(2.0 * self.noise, TOLERANCE * float(np.ptp(self.potential[:-1])))

    def _run(self, most: int) -> bool:
        block = max(10, int(BLOCK * math.sqrt(self.source.size)))
        return run_simplex(
            self.tree, self.flow, self.potential, self.n, self.source, self.sink, self.cost, self.level,
            self.penalty, self.state, block, -self.noise, most,
        )  # fmt: skip

    def _come_down(self) -> bool:
        """Shift all potentials to zero, where the price of mass without a way has carried them far from there.

        They lie below one vertex of the tree, all of the same height: next to that, reduced costs have no digits.
        """
        highest, lowest = float(self.potential[:-1].max()), float(self.potential[:-1].min())
        middle = 0.5 * (highest + lowest)
        if abs(middle) <= FAR * (highest - lowest) or unmet_mass(self.tree, self.flow):
            return False
        self.level = self.level - middle
        self.noise = TOLERANCE * (highest - lowest)
        self._price()
        return True

    def insist(self) -> bool:
        # No way around on known arcs costs more. Steps start from a typical cost, not from the largest: one huge
        # cost must not take the digits of the others.
        size = float(np.abs(self.level).max()) + float(np.abs(self.cost).max(initial=0.0))
        limit = 2.0 * self.level.size * size or 1.0
        if self.penalty >= limit:
            return False
        self.penalty = min(max(DEARER * self.penalty, self.typical, 1e-300), limit)
        self._price()
        return True

    def potentials(self):
        self._price()
        return self.potential[: self.n].copy(), -self.potential[self.n : -1]

    def plan(self):
        arcs, flow = self.tree[:-1, ARC], self.flow[:-1]
        used = (arcs != ARTIFICIAL) & (flow > 0)
        arcs = arcs[used]
        masses = flow[used] * (self.total / UNITS)
        return self.source[arcs].astype(np.int64), self.sink[arcs].astype(np.int64) - self.n, masses

    def unmet(self) -> float:
        return unmet_mass(self.tree, self.flow) / UNITS * self.total

    def _price(self) -> None:
        price_tree(self.tree, self.cost, self.level, self.penalty, self.potential)
        self.state[2] = self.state[1]

    def _reduced_costs(self) -> np.ndarray:
        return self.cost - self.level[self.source] + self.level[self.sink]
