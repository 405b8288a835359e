"""Plans with few entries per row, made from the weights alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["decided", "packed"]

#: Shares of a weight, and of the whole mass, that are rounding.
ROUNDING, ROUNDING_OF_ALL = 1e-13, 1e-12
#: Ways of packing that are tried: near columns, the tightest ones, and near ones with random weights.
TRIES = 20
#: Pairs that all tries together look at.
WORK = 20_000_000
#: Seconds that an integer programme may take.
SECONDS = 5.0


def packed(a: np.ndarray, b: np.ndarray, most: np.ndarray, row_costs: Callable[[int], np.ndarray]):
    """A plan made row by row, large ones first; None where none was found.

    A row takes whole columns, as many as it must so that all columns get away by the last row, and the rest of its
    mass from a column that is large enough. This is how the table of the alias method is made [walker:77]_, where
    all rows weigh the same and have two entries each; there it always works. Here it may end with columns that are
    too small, and other choices are tried.

    Parameters
    ----------
    a, b : (n,), (m,) arrays > 0
        Of one sum.
    most : (n,) int array >= 1
    row_costs : callable
        Costs of the pairs of a row; ``+inf`` where forbidden.
    """
    generator = np.random.default_rng(0)  # the same tries in every solve
    for attempt in range(max(2, min(TRIES, WORK // (a.size * b.size)))):
        found = _packed(a, b, most, row_costs, attempt == 1, generator if attempt > 1 else None)
        if found is not None:
            return found
    return None


def _packed(a, b, most, row_costs, tightest: bool, generator):
    from scipy import sparse

    left = b.astype(np.float64)
    slots = int((most - 1).sum())
    entries: list[tuple[int, int, float]] = []
    order = np.argsort(-a, kind="stable")
    for i in order.tolist():
        costs = np.asarray(row_costs(i), dtype=np.float64)
        if generator is not None:
            # Differences of costs count, not their size.
            costs = (costs - costs.min()) * generator.uniform(0.2, 1.0, costs.size)
        free = np.isfinite(costs) & (left > 0)
        mine = int(most[i])
        # Columns that end here, this row's share of those that have to.
        open_after = int(np.count_nonzero(left)) - 1
        ends = min(mine - 1, -(-open_after * (mine - 1) // max(slots, 1)))
        slots -= mine - 1
        missing, last = float(a[i]), i == order[-1]
        while missing > ROUNDING * a[i]:
            if not free.any():
                if last and missing <= ROUNDING_OF_ALL * a.sum():
                    break
                return None
            if mine == 0:
                return None
            here = np.where(free, left, -np.inf)
            slack = ROUNDING_OF_ALL * a.sum() if last else ROUNDING * a[i]
            if mine == 1 or (ends <= 0 and here.max() >= missing):
                fits = here >= missing - slack
                if not fits.any():
                    return None
                liked = -here if tightest else costs
            else:
                fits, liked = free & (left <= missing), -left if tightest else costs
                if fits.any():
                    # What the others may add must be enough for the rest.
                    reach = _largest(here[free], mine - 1)
                    enough = fits & (missing - left <= reach)
                    fits = enough if enough.any() else fits
                else:
                    fits, liked = free, left if tightest else costs
            j = int(np.argmin(np.where(fits, liked, np.inf)))
            taken = min(missing, float(left[j]))
            entries.append((i, j, taken))
            left[j] -= taken
            missing, mine = missing - taken, mine - 1
            if left[j] <= ROUNDING * b[j]:
                left[j], free[j], ends = 0.0, False, ends - 1
    rows, columns, masses = (np.array(part) for part in zip(*entries, strict=True))
    return sparse.csr_array((masses, (rows, columns)), shape=(a.size, b.size))


def _largest(values: np.ndarray, count: int) -> float:
    """Sum of the largest ones."""
    if count < values.size:
        values = np.partition(values, values.size - count)[values.size - count :]
    return float(values.sum())


def decided(a: np.ndarray, b: np.ndarray, most: np.ndarray, allowed: np.ndarray):
    """Keys ``i m + j`` of the entries of some plan with so few, by an integer programme.

    None where there is no such plan, or none was found in time.

    Parameters
    ----------
    a, b : (n,), (m,) arrays >= 0
    most : (n,) int array >= 1
    allowed : (n, m) bool array
    """
    from scipy import optimize, sparse

    rows, columns = np.nonzero(allowed & (a > 0)[:, None] & (b > 0)[None, :])
    size = rows.size
    place, ones = np.arange(size), np.ones(size)
    by_row = sparse.csr_array((ones, (rows, place)), shape=(a.size, size))
    by_column = sparse.csr_array((ones, (columns, place)), shape=(b.size, size))
    nothing = [sparse.csr_array(part.shape) for part in (by_row, by_column)]
    largest = np.minimum(a[rows], b[columns])
    # Masses relative to the largest that a pair may have, and whether it has any.
    masses = sparse.diags_array(largest)
    constraints: list[Any] = [
        optimize.LinearConstraint(sparse.hstack([by_row @ masses, nothing[0]]), a, a),
        optimize.LinearConstraint(sparse.hstack([by_column @ masses, nothing[1]]), b, b),
        optimize.LinearConstraint(
            sparse.hstack([sparse.eye_array(size), -sparse.eye_array(size)]), -np.inf, np.zeros(size)
        ),
        optimize.LinearConstraint(sparse.hstack([nothing[0], by_row]), np.zeros(a.size), most),
    ]
    found = optimize.milp(
        np.zeros(2 * size),
        constraints=constraints,
        integrality=np.repeat([0, 1], size),
        bounds=optimize.Bounds(0.0, 1.0),
        options={"time_limit": SECONDS},
    )
    if found.x is None:
        return None
    used = found.x[size:] > 0.5
    return rows[used] * b.size + columns[used]
