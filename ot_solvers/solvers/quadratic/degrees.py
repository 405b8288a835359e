"""Plans with few entries per row: a local search that trades entries between rows, and what no search can beat."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["cheaper", "enough_entries", "fewest_entries", "with_few_entries"]

#: Shares of a mass that are rounding.
ROUNDING = 1e-12
#: Moves without a new best count before the search gives up: per entry too many, at the least and at the most.
PATIENCE, LEAST_PATIENCE, MOST_PATIENCE = 20, 300, 2000
#: Exchanges that a search looks at in all: a few seconds.
WORK = 500_000
#: Moves between two words to the caller: a fraction of a second.
OFTEN = 50
#: Moves that make a plan cheaper, per row.
CHEAPER_MOVES = 20


def fewest_entries(a: np.ndarray, b: np.ndarray) -> int:
    """Lower bound on the largest number of entries of a row, over all plans between these weights.

    A row needs as many columns as sum up to its weight, and every column needs a row.
    """
    a, b = a[a > 0], np.sort(b[b > 0])[::-1]
    sums = np.cumsum(b)
    heaviest = float(a.max())
    enough = int(np.searchsorted(sums, heaviest * (1.0 - 1e-9))) + 1
    return max(min(enough, b.size), -(-b.size // a.size))


def enough_entries(a: np.ndarray, b: np.ndarray, most: np.ndarray) -> bool:
    """Whether these limits pass both tests of `fewest_entries`, row by row."""
    rows = a > 0
    sums = np.cumsum(np.sort(b[b > 0])[::-1])
    reach = sums[np.minimum(most[rows], sums.size) - 1]
    return bool((reach >= a[rows] * (1.0 - 1e-9)).all() and most[rows].sum() >= np.count_nonzero(b))


PairCosts = Callable[[np.ndarray, np.ndarray], np.ndarray]


class _Flow:
    """Entries of a plan by row and by column."""

    def __init__(self, plan, most: np.ndarray):
        n, m = plan.shape
        self.rows: list[dict[int, float]] = [{} for _ in range(n)]
        self.columns: list[set[int]] = [set() for _ in range(m)]
        self.most = most
        for i in range(n):
            for j, p in zip(plan.indices[plan.indptr[i] : plan.indptr[i + 1]].tolist(),
                            plan.data[plan.indptr[i] : plan.indptr[i + 1]].tolist()):  # fmt: skip
                if p > 0:
                    self.rows[i][j] = p
                    self.columns[j].add(i)

    def excess(self, i: int) -> int:
        """Entries that row i has too many."""
        return max(0, len(self.rows[i]) - int(self.most[i]))

    def change(self, i: int, j: int, amount: float, scale: float) -> None:
        """Add to an entry; what is left of it goes where it is rounding."""
        p = self.rows[i].get(j, 0.0) + amount
        if p <= ROUNDING * scale:
            self.rows[i].pop(j, None)
            self.columns[j].discard(i)
        else:
            self.rows[i][j] = p
            self.columns[j].add(i)

    def exchanges(self, u: int):
        """Moves ``(j, v, l, amount, excess afterwards less before)`` that take mass of row u from column j.

        Row v takes it over, and gives row u as much of column l, which both have.
        """
        mine = self.rows[u]
        for j in mine:
            for other in mine:
                if other == j:
                    continue
                for v in self.columns[other]:
                    if v != u:
                        yield self._exchange(u, j, v, other)

    def openings(self, u: int, near: np.ndarray):
        """`exchanges` for columns that row u does not have yet, with rows near its columns: ``near[j]``."""
        mine = self.rows[u]
        for j in mine:
            for v in near[j].tolist():
                if v == u:
                    continue
                for other in self.rows[v]:
                    if other not in mine:
                        yield self._exchange(u, j, v, other)

    def _exchange(self, u: int, j: int, v: int, other: int):
        mine, theirs = self.rows[u], self.rows[v]
        p, r = mine[j], theirs[other]
        tie = abs(p - r) <= ROUNDING * max(p, r)
        lost_u = 1 if tie or p < r else 0
        lost_v = 1 if tie or r < p else 0
        got_u, got_v = int(other not in mine), int(j not in theirs)
        before = self.excess(u) + self.excess(v)
        after = max(0, len(mine) - lost_u + got_u - int(self.most[u]))
        after += max(0, len(theirs) - lost_v + got_v - int(self.most[v]))
        return j, v, other, min(p, r), after - before

    def exchange(self, u: int, j: int, v: int, other: int, amount: float) -> None:
        for i, k, change in ((u, j, -amount), (u, other, amount), (v, other, -amount), (v, j, amount)):
            self.change(i, k, change, amount)


class _Search:
    """Exchanges on a flow, ranked by what they cost.

    Parameters
    ----------
    plan : (n, m) CSR array >= 0
    most : (n,) int array >= 1
    pair_costs : callable
        Costs of pairs (rows, columns); ``+inf`` where forbidden.
    near : (m, k) int array
        Rows near each column.
    """

    def __init__(self, plan, most: np.ndarray, pair_costs: PairCosts, near: np.ndarray):
        self.flow, self.shape, self.pair_costs, self.near = _Flow(plan, most), plan.shape, pair_costs, near
        #: Exchanges looked at so far.
        self.work = 0

    def moves(self, u: int, openings: bool):
        """Arrays (j, v, other, amount, change, cost) of the exchanges of row u; None if there are none."""
        found = list(self.flow.exchanges(u))
        if openings:
            found += self.flow.openings(u, self.near)
        self.work += len(found)
        if not found:
            return None
        j, v, other, amount, change = (np.array(part) for part in zip(*found, strict=True))
        here = np.full(j.size, u)
        cost = self.pair_costs(v, j) - self.pair_costs(here, j)
        cost += self.pair_costs(here, other) - self.pair_costs(v, other)
        return j, v, other, amount, change, amount * cost

    def make(self, u: int, moves, k: int) -> int:
        """Make one of the moves; returns the other row."""
        j, v, other, amount, _, _ = (part[k] for part in moves)
        self.flow.exchange(u, int(j), int(v), int(other), float(amount))
        return int(v)

    @property
    def plan(self):
        from scipy import sparse

        entries = [(i, j, p) for i, row in enumerate(self.flow.rows) for j, p in sorted(row.items())]
        rows, columns, masses = zip(*entries, strict=True)
        return sparse.csr_array((np.array(masses), (np.array(rows), np.array(columns))), shape=self.shape)


def with_few_entries(
    plan, most: np.ndarray, pair_costs: PairCosts, near: np.ndarray, still: Callable[[], None] = lambda: None
):
    """A plan of the same marginals whose rows have at most so many entries; None where none was found.

    Rows with too many entries give one away to another row, in exchange for mass that both have elsewhere: the
    cheapest of the moves that make things better, else, like a walk that goes on, one that hands the trouble over.

    Parameters
    ----------
    plan : (n, m) CSR array >= 0
    most : (n,) int array >= 1
    pair_costs : callable
        Costs of pairs (rows, columns); ``+inf`` where forbidden.
    near : (m, k) int array
        Rows near each column.
    still : callable
        Called now and then; may raise to stop.
    """
    search = _Search(plan, most, pair_costs, near)
    flow = search.flow
    excess = sum(flow.excess(i) for i in range(plan.shape[0]))
    todo = [i for i in range(plan.shape[0]) if flow.excess(i)]
    generator = np.random.default_rng(0)  # the same walk in every solve
    recent: dict[tuple[int, int], int] = {}
    fewest, patience, step = excess, 0, 0
    while todo:
        if not flow.excess(todo[-1]):
            todo.pop()
            continue
        step += 1
        patience -= 1
        if step % OFTEN == 0:
            still()
        if excess < fewest or step == 1:
            fewest = excess
            patience = min(max(LEAST_PATIENCE, PATIENCE * excess), MOST_PATIENCE)
        if patience < 0 or search.work > WORK:
            return None
        u = todo[-1] if step % 8 else todo[int(generator.integers(len(todo)))]
        if not flow.excess(u):
            continue
        moves = search.moves(u, False)
        if moves is None or not (moves[4] < 0).any():
            moves = search.moves(u, True)
        if moves is None:
            return None
        j, v, _, _, change, cost = moves
        fresh = np.array([recent.get((int(w), int(k)), -1) < step for w, k in zip(v, j, strict=True)])
        allowed = np.isfinite(cost) & (fresh | (change < 0))
        if not allowed.any():
            allowed = np.isfinite(cost)
        if not allowed.any():
            return None
        gain = change[allowed].min()
        among = np.flatnonzero(allowed & (change == gain))
        among = among[np.argsort(cost[among], kind="stable")]
        if gain < 0:
            k = among[0]
        else:
            # A random one of the cheap ones; never the same entry back at once.
            k = among[int(generator.integers(max(1, among.size // 2)))]
            recent[u, int(j[k])] = step + int(generator.integers(5, 25))
        excess += int(change[k])
        other = search.make(u, moves, k)
        if flow.excess(other):
            todo.append(other)
    return search.plan


def cheaper(
    plan, most: np.ndarray, pair_costs: PairCosts, near: np.ndarray, still: Callable[[], None] = lambda: None
):
    """A plan of the same marginals and limits that no exchange between two rows makes cheaper, or nearly."""
    search = _Search(plan, most, pair_costs, near)
    todo = list(range(plan.shape[0]))
    for step in range(CHEAPER_MOVES * plan.shape[0]):
        if not todo or search.work > WORK:
            break
        if (step + 1) % OFTEN == 0:
            still()
        u = todo.pop()
        moves = search.moves(u, True)
        if moves is None:
            continue
        change, cost = moves[4:]
        worth = np.where(change <= 0, cost, np.inf)
        k = int(np.argmin(worth))
        if worth[k] < -ROUNDING * float(np.abs(cost[np.isfinite(cost)]).max(initial=0.0)):
            todo += [u, search.make(u, moves, k)]
    return search.plan
