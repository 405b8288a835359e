"""From a dual point to a plan one can trust: supports with few entries on which both marginals can be met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..candidates import Candidates, nearest
from .degrees import cheaper, with_few_entries
from .newton import ascend
from .packing import decided, packed
from .run import keys_of
from .semidual import Point, SemiDual

__all__ = ["Repaired", "Supports"]

#: Mass without a way that is rounding, and marginal errors that are.
ROUNDING, EXACT = 1e-12, 1e-11
#: Newton steps on a support, and rounds of exchanges between supports.
STEPS, ROUNDS = 400, 20
#: Pairs per point that a row may choose its spare entries from.
CHOICE = 8
#: Rows near a column that trades go through, at first and when those were too few.
NEAR = (8, 64)
#: Powers of two of the prices of entries that are too many, in units of what one more entry changes.
PRICES = (-4, 12)
#: Pairs up to which an integer programme has the last word.
DECIDED = 2500


class Repaired(NamedTuple):
    """A plan with few entries and the right marginals."""

    plan: Any
    value: float  # objective of the normalised problem
    f: np.ndarray
    g: np.ndarray


class Supports:
    """Plans of one problem whose rows have at most so many entries.

    Parameters
    ----------
    dual : SemiDual
        With limits of entries.
    backend : Backend
    told : callable
        Told marginal errors on the way; may raise to stop.
    """

    def __init__(self, dual: SemiDual, backend, told: Callable[[float], None]):
        self.dual, self.backend, self.told = dual, backend, told
        self.geometry, self.most = dual.geometry, dual.most
        #: Marginal error of the last point.
        self.error = 0.0
        self.rows, self.columns = np.flatnonzero(dual.a > 0), np.flatnonzero(dual.b > 0)

    def told_point(self, point: Point) -> None:
        """Say that a point was reached on some support."""
        self.error = point.error
        self.told(point.error)

    def still(self) -> None:
        """Say that the search goes on."""
        self.told(self.error)

    # --- feasible flows -----------------------------------------------------------------------------------------

    def flow(self, keys: np.ndarray, f, g):
        """(plan, mass without a way): cheapest flow on these pairs; its entries are those of a tree."""
        from scipy import sparse

        pairs = Candidates(self.geometry, keys, self.backend)
        m = self.geometry.shape[1]
        i, j = np.divmod(pairs.keys, m)
        rows, columns = np.searchsorted(self.rows, i), np.searchsorted(self.columns, j)
        order = np.argsort(pairs.costs - f[i] - g[j], kind="stable")
        simplex = self.backend.transport_simplex(
            self.dual.a[self.rows], self.dual.b[self.columns], rows, columns, pairs.costs, order,
            f[self.rows], g[self.columns],
        )  # fmt: skip
        while True:
            while not simplex.pivot(100_000):
                pass
            if not simplex.unmet() > ROUNDING or not simplex.insist():
                break
        rows, columns, masses = simplex.plan()
        places = self.rows[rows], self.columns[columns]
        return sparse.csr_array((masses, places), shape=self.geometry.shape), simplex.unmet()

    def sparsified(self, plan, f, thorough: bool):
        """A plan with the marginals of this one, and few entries; None if none is found.

        Not `thorough`: by exchanges between rows only.
        """
        plan = without_dust(plan)
        if (np.diff(plan.indptr) <= self.most).all():
            return plan
        masked = np.where(self.dual.a > 0, f, -np.inf)
        near, _ = self.backend.top_k(self.geometry.T, masked, 1.0, min(NEAR[1], self.rows.size))
        if (self.most > 1).any():
            found = with_few_entries(plan, self.most, self.pair_costs, near[:, : NEAR[0]], self.still)
            if found is not None or not thorough:
                return found
            found = self.packed()
            if found is not None:
                return cheaper(found, self.most, self.pair_costs, near[:, : NEAR[0]], self.still)
            found = with_few_entries(plan, self.most, self.pair_costs, near, self.still)
            if found is not None:
                return found
        if not thorough or self.geometry.shape[0] * self.geometry.shape[1] > DECIDED:
            return None
        n, m = self.geometry.shape
        allowed = np.isfinite(np.asarray(self.geometry.block(0, n)))
        keys = decided(self.dual.a, self.dual.b, self.most, allowed)
        if keys is None:
            return None
        found, unmet = self.flow(keys, f, np.zeros(m))
        return (
            None
            if unmet > ROUNDING
            else cheaper(found, self.most, self.pair_costs, near[:, : NEAR[0]], self.still)
        )

    def pair_costs(self, rows, columns) -> np.ndarray:
        """Costs of single pairs."""
        return self.backend.pair_costs(self.geometry, np.asarray(rows), np.asarray(columns))

    def packed(self):
        """A plan made row by row, of all points; see `packing.packed`."""
        from scipy import sparse

        geometry, rows, columns = self.geometry, self.rows, self.columns
        found = packed(
            self.dual.a[rows], self.dual.b[columns], self.most[rows],
            lambda i: np.asarray(geometry.block(int(rows[i]), int(rows[i]) + 1))[0, columns],
        )  # fmt: skip
        if found is None:
            return None
        entries = found.tocoo()
        places = rows[entries.row], columns[entries.col]
        return sparse.csr_array((entries.data, places), shape=geometry.shape)

    # --- from many entries to few -------------------------------------------------------------------------------

    def led(self, point: Point, exact_plan) -> Point:
        """The optimum without limits, led to few entries: what exceeds them costs more and more.

        The sum of all entries of a row but its k largest is a difference of convex functions, and 0 where the
        limit holds [gotoh:18]_. Its concave part made linear, it is a price on all entries but the largest.
        """
        n, m = self.geometry.shape
        f, g = np.where(self.dual.a > 0, point.f, -np.inf), self.dual.masked(point.g)
        keys = nearest(self.geometry, f, g, int(self.most.max()) + CHOICE, self.backend)
        pairs = Candidates(self.geometry, keys, self.backend)
        pairs.add(np.union1d(keys_of(point.plan), keys_of(exact_plan)))
        costs = pairs.costs
        unit = self.dual.gamma / self.rows.size
        for price in unit * 2.0 ** np.arange(*PRICES):
            if (np.diff(without_dust(point.plan).indptr) <= self.most).all():
                break
            pairs.costs = costs + np.where(np.isin(pairs.keys, self.largest(point.plan)), 0.0, price)
            dual = self.dual.with_changes(geometry=pairs.geometry, most=None)
            new, _ = ascend(dual, point.g, 0.1 * ROUNDING, STEPS, self.told_point)
            if new.error > EXACT:
                break
            point = new
        return point

    def largest(self, plan) -> np.ndarray:
        """Keys of the largest entries of every row, as many as it may have."""
        rows = np.repeat(np.arange(plan.shape[0]), np.diff(plan.indptr))
        order = np.lexsort((-plan.data, rows))
        place = np.arange(order.size) - plan.indptr[rows]
        first = order[place < self.most[rows]]
        return np.sort(rows[first] * plan.shape[1] + plan.indices[first])

    # --- the best plan on a support -----------------------------------------------------------------------------

    def filled(self, plan, point: Point) -> np.ndarray:
        """Keys of the entries of a plan, and of promising pairs where rows may have more."""
        n, m = self.geometry.shape
        used = keys_of(plan)
        spare = self.most - np.diff(plan.indptr)
        spare[self.dual.a == 0] = 0
        few = min(m, int(self.most.max()) + CHOICE)
        columns, reduced = self.backend.top_k(self.geometry, self.dual.masked(point.g), 1.0, few)
        keys = np.arange(n)[:, None] * m + columns
        new = np.isfinite(reduced) & ~np.isin(keys, used)
        # The first ones that a row may have: they come in order of reduced cost.
        new &= np.cumsum(new, axis=1) <= spare[:, None]
        return np.union1d(used, keys[new])

    def best_on(self, keys: np.ndarray, g) -> tuple[Point, float] | None:
        """The optimal plan on a support, and its objective; None where Newton steps do not get there."""
        support = Candidates(self.geometry, keys, self.backend)
        dual = self.dual.with_changes(geometry=support.geometry, most=None)
        point, _ = ascend(dual, g, 0.1 * ROUNDING, STEPS, self.told_point)
        if point.error > EXACT:
            return None
        return point, self.objective(point.plan)

    def objective(self, plan) -> float:
        """``<P, C> + gamma / 2 |P|^2``."""
        entries = plan.tocoo()
        costs = self.backend.pair_costs(self.geometry, entries.row, entries.col)
        return float(entries.data @ costs) + 0.5 * self.dual.gamma * float(plan.data @ plan.data)

    def joined(self, plans: list, point: Point) -> list[Repaired]:
        """What the entries of these plans together lead to, with exchanges afterwards: one plan or none."""
        keys = keys_of(plans[0])
        for plan in plans[1:]:
            keys = np.union1d(keys, keys_of(plan))
        found = self.best_on(keys, point.g)
        if found is None:
            return []
        few = self.sparsified(found[0].plan, found[0].f, thorough=False)
        return [] if few is None else [self.improved(few, point)]

    def improved(self, plan, point: Point) -> Repaired:
        """The best plan that supports near that of a feasible one lead to.

        Rows that have room take the pairs of the smallest reduced cost, the best plan on all pairs is found, and
        entries that it does not use make room for others.
        """
        best = Repaired(plan, self.objective(plan), point.f, point.g)
        at = point
        for _ in range(ROUNDS):
            found = self.best_on(self.filled(without_dust(best.plan), at), at.g)
            if found is None:
                break
            at, value = found
            if not value < best.value - 1e-13 * abs(best.value):
                break
            best = Repaired(at.plan, value, at.f, at.g)
        return best


def without_dust(plan):
    """A plan without the entries that are rounding of others in their row."""
    plan = plan.copy()
    largest = (
        np.maximum.reduceat(np.append(plan.data, 0.0), plan.indptr[:-1]) if plan.nnz else np.zeros(plan.shape[0])
    )
    sizes = np.repeat(largest, np.diff(plan.indptr))
    plan.data[plan.data <= 1e-13 * sizes] = 0.0
    plan.eliminate_zeros()
    return plan
