"""From a plan to one column per row: matchings with capacities."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .result import Solution
from .validation import floating

__all__ = ["Assigned", "assignment_from"]

#: Pairs up to which rows that their plan leaves without a place may go anywhere; above, to the nearest columns.
ALL_PAIRS, NEAREST = 4_000_000, 32


class Assigned(NamedTuple):
    """One column per row.

    Attributes
    ----------
    column : (n,) int array
        -1 for rows that have no weight, and for those that no capacity is left for.
    load : (m,) int array
        Rows that go to every column.
    share : (n,) array
        Of the row's mass in the plan, what goes that way: 1 where the plan itself sends the row there, and 0 where
        it had to go elsewhere.
    """

    column: Any
    load: Any
    share: Any


def assignment_from(solution: Solution, capacities: Any = None, *, fill: bool = True) -> Assigned:
    """Send every row of a plan to one column, with balanced loads: tokens to experts, articles to bins.

    The assignment that keeps most of the plan among those that respect the capacities, by a network simplex whose
    solutions are integral. It is the plan itself where that has one entry per row.

    Parameters
    ----------
    solution : Solution
        Of any method; sparse plans (`SparsityConstrained`, `Quadratic`, exact ones) leave little to decide.
    capacities : int or (m,) int array >= 0, optional
        Rows that a column may get. By default in proportion to its mass in the plan's marginal, rounded up.
    fill : bool
        Whether rows for which no column of their plan has room go to the cheapest one that has; else they are left
        out.

    Returns
    -------
    Assigned

    Raises
    ------
    ValueError, TypeError
        For capacities that are no such integers.

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> scores = np.random.default_rng(0).normal(size=(64, 8))
    >>> plan = ots.solve(-scores, reg=ots.SparsityConstrained(1.0, 8))
    >>> ots.assignment_from(plan).load
    array([8, 8, 8, 8, 8, 8, 8, 8])
    """
    if not isinstance(solution, Solution):
        raise TypeError(f"solution={type(solution).__name__} must be a Solution")
    problem = solution._problem
    n, m = solution.shape
    live = np.flatnonzero(problem.a > 0)
    room = _capacities(capacities, problem.b, live.size)
    entries = solution.sparse_plan(1.0).tocoo()
    known = (problem.a[entries.row] > 0) & (room[entries.col] > 0) & (entries.data > 0)
    rows, columns = entries.row[known].astype(np.int64), entries.col[known].astype(np.int64)
    totals = np.maximum(np.bincount(entries.row, entries.data, minlength=n), np.finfo(float).tiny)
    shares = entries.data[known] / totals[rows]
    found = _places(solution, live, room, rows, columns, shares, fill)
    column = np.full(n, -1, dtype=np.int64)
    column[live] = found
    kept = np.zeros(n)
    mine = columns == column[rows]
    kept[rows[mine]] = shares[mine]
    library = solution._library
    placed = column[column >= 0]
    return Assigned(library.array(column), library.array(np.bincount(placed, minlength=m)), library.array(kept))


def _capacities(given: Any, b: np.ndarray, rows: int) -> np.ndarray:
    """(m,) rows that every column may get."""
    if given is None:
        return np.ceil(rows * (b / b.sum()) * (1 - 1e-9)).astype(np.int64)
    array = np.asarray(given) if isinstance(given, (int, np.integer)) else floating(given, "capacities")
    if isinstance(given, (bool, np.bool_)) or array.shape not in ((), b.shape):
        raise ValueError(f"capacities={given!r} must be an integer, or one for each of the {b.size} columns")
    if not np.isfinite(array).all() or (array != np.floor(array)).any() or array.min() < 0:
        raise ValueError(f"capacities={given!r} must be integers >= 0")
    return np.minimum(np.broadcast_to(array, b.shape), rows).astype(np.int64)


def _places(solution, live, room, rows, columns, shares, fill: bool) -> np.ndarray:
    """(live,) column of every row with weight, -1 for none."""
    backend, geometry = solution._backend, solution.geometry
    m = room.size
    open_columns = np.flatnonzero(room > 0)
    # Three prices: less than 1 along the plan, 2 to 3 elsewhere, 4 for no place at all.
    costs = 1.0 - shares
    if fill and open_columns.size:
        more_rows, more_columns = _elsewhere(solution, live, open_columns)
        new = ~np.isin(more_rows * m + more_columns, rows * m + columns)
        more_rows, more_columns = more_rows[new], more_columns[new]
        prices = backend.pair_costs(geometry, more_rows, more_columns)
        allowed = np.isfinite(prices)
        more_rows, more_columns, prices = more_rows[allowed], more_columns[allowed], prices[allowed]
        low, high = (float(prices.min()), float(prices.max())) if prices.size else (0.0, 0.0)
        rows, columns = np.concatenate([rows, more_rows]), np.concatenate([columns, more_columns])
        costs = np.concatenate([costs, 2.0 + (prices - low) / (high - low or 1.0)])
    # Rows may stay out, columns may stay empty: a column and a row of their own take that.
    nowhere, nobody = open_columns.size, live.size
    places = np.searchsorted(live, rows), np.searchsorted(open_columns, columns)
    sources = np.concatenate([places[0], np.arange(live.size), np.full(nowhere, nobody)])
    sinks = np.concatenate([places[1], np.full(live.size, nowhere), np.arange(nowhere)])
    costs = np.concatenate([costs, np.full(live.size, 4.0), np.zeros(nowhere)])
    if room.sum():
        sources, sinks = np.append(sources, nobody), np.append(sinks, nowhere)
        costs = np.append(costs, 0.0)
    supply = np.append(np.ones(live.size), float(max(1, room.sum())))
    demand = np.append(room[open_columns].astype(np.float64), supply.sum() - room.sum())
    order = np.argsort(costs, kind="stable")
    simplex = backend.transport_simplex(
        supply, demand, sources, sinks, costs, order, np.zeros(supply.size), np.zeros(demand.size)
    )
    while not (simplex.pivot(1_000_000) and not (simplex.unmet() > 1e-9 and simplex.insist())):
        pass
    i, j, masses = simplex.plan()
    best = np.full(live.size, -1, dtype=np.int64)
    whole = (masses > 0.5) & (i < nobody) & (j < nowhere)
    best[i[whole]] = open_columns[j[whole]]
    return best


def _elsewhere(solution, live, open_columns) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that rows may be sent along if their plan has no room."""
    if live.size * open_columns.size <= ALL_PAIRS:
        rows, columns = np.meshgrid(live, open_columns, indexing="ij")
        return rows.ravel(), columns.ravel()
    potential = np.full(solution.shape[1], -np.inf)
    potential[open_columns] = solution._g[open_columns]
    k = min(NEAREST, open_columns.size)
    nearest, _ = solution._backend.top_k(solution.geometry, potential, 1.0, k)
    return np.repeat(live, k), nearest[live].ravel()
