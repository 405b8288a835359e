"""What partial transport adds to a basis: a source and a sink for the mass that stays where it is.

They are vertices of the basis, not points of the geometry: their arcs are all known, cost nothing, and are in the
list of arcs from the start. Whatever reads costs reads those of the points.
"""

from __future__ import annotations

import math

import numpy as np

from ...penalties import Capacity
from ...problem import Problem

__all__ = ["Dummies"]

#: Mass of a dummy that is rounding.
NOTHING = 1e-15


class Dummies:
    """The dummies of one problem; there are none in a balanced one.

    The dummy sink takes what the sources keep, the dummy source brings what the sinks do not get. Between the two
    there is no arc, so that the points move the total that is asked for, at costs of any sign.

    Parameters
    ----------
    problem : Problem
    a, b : (n,), (m,) arrays > 0
        Of the points with weight.

    Attributes
    ----------
    supply, demand : arrays
        Weights of all vertices of the basis: the points, and last the dummy, where there is one.
    """

    def __init__(self, problem: Problem, a: np.ndarray, b: np.ndarray):
        self.n, self.m = a.size, b.size
        self.partial = problem.partial
        kept, unfilled = (math.fsum(w) - 1.0 if self.partial else 0.0 for w in (a, b))
        self.has_sink, self.has_source = kept > NOTHING, unfilled > NOTHING
        self.supply = np.append(a, unfilled) if self.has_source else a
        self.demand = np.append(b, kept) if self.has_sink else b

    def with_arcs(self, rows, columns, costs, f, g):
        """Arcs and potentials of the points, and then those of the dummies."""
        if self.has_sink:
            rows = np.concatenate([rows, np.arange(self.n)])
            columns = np.concatenate([columns, np.full(self.n, self.m)])
        if self.has_source:
            rows = np.concatenate([rows, np.full(self.m, self.n)])
            columns = np.concatenate([columns, np.arange(self.m)])
        costs = np.concatenate([costs, np.zeros(rows.size - costs.size)])
        # No arc of a dummy promises anything, and the best ones are tight.
        source, sink = -float(g.max()), -float(f.max())
        f = np.append(f, source) if self.has_source else f
        g = np.append(g, sink) if self.has_sink else g
        return rows, columns, costs, f, g

    def without(self, rows, columns, masses):
        """Those entries of a plan that join two points, less what is rounding of the dummies' weights."""
        if not (self.has_sink or self.has_source):
            return rows, columns, masses
        real = (rows < self.n) & (columns < self.m)
        rows, columns, masses = rows[real], columns[real], masses[real]
        dust = (masses <= NOTHING) & (masses <= 1e-12 * np.minimum(self.supply[rows], self.demand[columns]))
        return rows[~dust], columns[~dust], masses[~dust]


def cut(penalty, potential: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The best potentials below these c-transforms: those of the cheapest points, up to the total."""
    if not isinstance(penalty, Capacity):
        return potential
    level = penalty.level(potential, weights)
    return np.minimum(potential, level) if level < math.inf else potential
