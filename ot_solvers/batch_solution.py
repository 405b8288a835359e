"""`BatchSolution`: the solutions of many problems, field by field or one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple, overload

import numpy as np

from .backends.base import PlanStatistics
from .geometry.stack import CloudStack, DenseStack
from .lazy import cached_property
from .namespaces import Library
from .penalties import Penalty
from .plans.stack import GibbsStack
from .problem import Problem
from .result import Solution
from .solvers.base import Outcome
from .status import Progress, Status

__all__ = ["BatchSolution", "Entries", "Solved"]

#: How each problem was solved.
ENTROPIC, EXACT, ALONE = 0, 1, 2


class Entries(NamedTuple):
    """Stored plans of exact problems: those of problem k from ``starts[k]`` on, as many as ``counts[k]``."""

    starts: np.ndarray
    counts: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    masses: np.ndarray


class Solved(NamedTuple):
    """What a batch of solves leaves.

    Attributes
    ----------
    plans : GibbsStack
        Costs, normalised weights and potentials of all problems; `eps` is 0 where transport is exact.
    mass : (B,) array
        See `Problem`.
    penalties : (Penalty, Penalty)
    balanced : bool
    kinds : (B,) int array
        ENTROPIC: the potentials say what the plan is. EXACT: `entries` do. ALONE: a `Solution` exists.
    entries : Entries or None
    alone : dict
        Solutions of problems that were solved one by one.
    status : (B,) object array of Status
    passes : (B,) int array
    errors : (B,) array
        Marginal errors, relative.
    method : str
    reason : str
    seconds : float
        Of the whole batch.
    """

    plans: GibbsStack
    mass: np.ndarray
    penalties: tuple[Penalty, Penalty]
    balanced: bool
    kinds: np.ndarray
    entries: Entries | None
    alone: dict[int, Solution]
    status: np.ndarray
    passes: np.ndarray
    errors: np.ndarray
    method: str
    reason: str
    seconds: float


class BatchSolution:
    """Result of many transport solves.

    ``solution[k]`` is the `Solution` of problem k, made when asked for; a slice is a `BatchSolution`. All other
    fields are those of `Solution`, stacked along a first axis: arrays of the caller's library, lists of arrays
    where the problems have different sizes. They are computed on first use, for all problems at once.

    Notes
    -----
    Potentials, plans and values follow the conventions of `Solution`. What is computed later reads the caller's
    costs or points: do not change them in place while the solution is in use.
    """

    def __init__(self, solved: Solved, backend, library: Library):
        self._solved, self._backend, self._library = solved, backend, library
        self._made: dict[int, Solution] = dict(solved.alone)

    # --- a sequence of solutions ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._solved.plans)

    @overload
    def __getitem__(self, key: int) -> Solution: ...

    @overload
    def __getitem__(self, key: slice) -> BatchSolution: ...

    def __getitem__(self, key):
        size = len(self)
        if isinstance(key, slice):
            return self._part(np.arange(size)[key])
        if isinstance(key, bool) or not isinstance(key, (int, np.integer)):
            raise TypeError(f"a batch is indexed by an integer or a slice, not by {type(key).__name__}")
        if not -size <= key < size:
            raise IndexError(f"problem {key} of a batch of {size}")
        k = int(key) % size
        if k not in self._made:
            self._made[k] = self._solution(k)
        return self._made[k]

    def __iter__(self) -> Iterator[Solution]:
        return (self[k] for k in range(len(self)))

    def _part(self, numbers: np.ndarray) -> BatchSolution:
        solved = self._solved
        alone = {place: self._made[int(k)] for place, k in enumerate(numbers) if int(k) in self._made}
        entries = solved.entries
        if entries is not None:
            entries = entries._replace(starts=entries.starts[numbers], counts=entries.counts[numbers])
        share = numbers.size / max(len(self), 1)
        part = solved._replace(
            plans=solved.plans.part(numbers),
            mass=solved.mass[numbers],
            kinds=solved.kinds[numbers],
            entries=entries,
            alone=alone,
            status=solved.status[numbers],
            passes=solved.passes[numbers],
            errors=solved.errors[numbers],
            seconds=solved.seconds * share,
        )
        return BatchSolution(part, self._backend, self._library)

    def _solution(self, k: int) -> Solution:
        solved = self._solved
        plans = solved.plans
        a, b = plans.weights(k)
        f, g = plans.potentials(k)
        eps = float(plans.eps[k])
        problem = Problem(
            plans.stack.geometry(k), a, b, float(solved.mass[k]), eps, *solved.penalties, balanced=solved.balanced
        )
        each = solved.seconds / len(self)
        history = [Progress(int(solved.passes[k]), float(solved.errors[k]), eps, each)]
        outcome = Outcome(
            f,
            g,
            solved.status[k],
            int(solved.passes[k]),
            float(solved.errors[k]),
            history,
            solved.method,
            solved.reason,
            plan=self._matrix(k) if solved.kinds[k] == EXACT else None,
        )
        solution = Solution(problem, outcome, self._backend, self._library, seconds=each)
        if solved.kinds[k] == ENTROPIC and "_statistics" in self.__dict__:
            row_mass, column_mass, row_cost = self._statistics
            _, _, rows, columns = plans.slices(k)
            solution._plan.__dict__["statistics"] = PlanStatistics(
                row_mass[rows], column_mass[columns], row_cost[rows]
            )
        return solution

    def _matrix(self, k: int):
        """Entries of an exact plan as a SciPy array."""
        from scipy import sparse

        entries = self._solved.entries
        assert entries is not None
        some = slice(int(entries.starts[k]), int(entries.starts[k] + entries.counts[k]))
        shape = (int(self._solved.plans.stack.n[k]), int(self._solved.plans.stack.m[k]))
        return sparse.csr_array((entries.masses[some], (entries.rows[some], entries.columns[some])), shape=shape)

    # --- what was solved --------------------------------------------------------------------------------------

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(n, m) of every problem."""
        stack = self._solved.plans.stack
        return list(zip(stack.n.tolist(), stack.m.tolist()))

    @property
    def reg(self) -> Any:
        """(B,) strengths of the regularisation, cost units, after `relative_to`; 0 for exact transport."""
        out = self._solved.plans.eps.copy()
        for k in np.flatnonzero(self._solved.kinds == ALONE):
            out[k] = self[int(k)].reg
        return self._library.array(out)

    @property
    def backend(self) -> str:
        """Name of the backend that ran."""
        return self._backend.name

    @property
    def method(self) -> str:
        """How the problems were solved; single ones may say something else."""
        return self._solved.method

    @property
    def seconds(self) -> float:
        """Wall time of the whole batch."""
        return self._solved.seconds

    @property
    def status(self) -> list[Status]:
        """How every solve ended."""
        return list(self._solved.status)

    @property
    def converged(self) -> Any:
        """(B,) booleans."""
        return self._library.array(np.array([status is Status.CONVERGED for status in self._solved.status]))

    @property
    def n_iter(self) -> Any:
        """(B,) passes over the costs."""
        return self._library.array(self._solved.passes.copy())

    # --- stacking ---------------------------------------------------------------------------------------------

    @property
    def _uniform(self) -> bool:
        stack = self._solved.plans.stack
        return len(self) > 0 and bool((stack.n == stack.n[0]).all() and (stack.m == stack.m[0]).all())

    @property
    def _simple(self) -> bool:
        """Whether the formulas for all problems at once hold for each."""
        return self._solved.balanced and len(self) > 0 and not (self._solved.kinds == ALONE).any()

    def _gathered(self, flat: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Entries of one problem after another."""
        ends = np.cumsum(sizes)
        if starts.size and starts[0] == 0 and (starts[1:] == ends[:-1]).all() and flat.size == ends[-1]:
            return flat
        return flat[np.repeat(starts - (ends - sizes), sizes) + np.arange(ends[-1])]

    def _rows(self, flat: np.ndarray) -> np.ndarray:
        """Of something that lies where `f` lies."""
        plans = self._solved.plans
        return self._gathered(flat, plans.f_starts, plans.stack.n)

    def _columns(self, flat: np.ndarray) -> np.ndarray:
        plans = self._solved.plans
        return self._gathered(flat, plans.g_starts, plans.stack.m)

    def _sums(self, values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, np.cumsum(sizes) - sizes)

    def _stacked(self, values: np.ndarray, sizes: np.ndarray) -> Any:
        """(B, n) array, or a list where sizes differ."""
        if self._uniform:
            return self._library.array(values.reshape(len(self), -1).copy())
        return (
            [self._library.array(part.copy()) for part in np.split(values, np.cumsum(sizes)[:-1])]
            if sizes.size
            else []
        )

    def _each(self, name: str) -> Any:
        """A number of every solution."""
        return self._library.array(np.array([float(getattr(solution, name)) for solution in self]))

    def _each_array(self, arrays: list[Any]) -> Any:
        if not self._uniform:
            return arrays
        return self._library.array(np.stack([np.asarray(array) for array in arrays]))

    # --- potentials -------------------------------------------------------------------------------------------

    @cached_property
    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        plans = self._solved.plans
        return (
            self._gathered(plans.a, plans.a_starts, plans.stack.n),
            self._gathered(plans.b, plans.b_starts, plans.stack.m),
        )

    @cached_property
    def _internal(self) -> tuple[np.ndarray, np.ndarray]:
        """Potentials of the normalised problems, one after another."""
        return self._rows(self._solved.plans.f), self._columns(self._solved.plans.g)

    @cached_property
    def _potentials(self) -> tuple[np.ndarray, np.ndarray]:
        if not self._simple:
            pairs = [solution._potentials for solution in self]
            return np.concatenate([f for f, _ in pairs]), np.concatenate([g for _, g in pairs])
        plans, stack = self._solved.plans, self._solved.plans.stack
        (f, g), (a, b) = self._internal, self._weights
        half = 0.5 * plans.eps * np.log(self._solved.mass)
        means = (
            self._sums(w * u, size) / self._sums(w, size) for w, u, size in ((a, f, stack.n), (b, g, stack.m))
        )
        mean_f, mean_g = means
        move = 0.5 * (mean_g - mean_f)
        return f + np.repeat(move - half, stack.n), g - np.repeat(move + half, stack.m)

    @cached_property
    def potential_a(self) -> Any:
        """(B, n) potentials f, cost units."""
        return self._stacked(self._potentials[0], self._solved.plans.stack.n)

    @cached_property
    def potential_b(self) -> Any:
        """(B, m) potentials g, cost units."""
        return self._stacked(self._potentials[1], self._solved.plans.stack.m)

    @property
    def potentials(self) -> tuple[Any, Any]:
        """(f, g)."""
        return self.potential_a, self.potential_b

    @cached_property
    def _point_gradients(self) -> tuple[np.ndarray, np.ndarray]:
        """``sum_j P_ij grad c`` by the points of both sides; 0 in problems that are not entropic."""
        solved = self._solved
        gibbs = solved.kinds == ENTROPIC
        plans = solved.plans if gibbs.all() else solved.plans.part(np.flatnonzero(gibbs))
        sides = []
        stack: Any = solved.plans.stack
        nothing = np.zeros((0, stack.cost.prepare(stack.x[:1]).shape[1]))
        both = self._backend.batch_cost_gradients(plans) if gibbs.any() else (nothing, nothing)
        for found, sizes in zip(both, (stack.n, stack.m)):
            live = np.repeat(gibbs, sizes)
            placed = np.zeros((live.size, found.shape[1]))
            placed[live] = np.repeat(solved.mass[gibbs], sizes[gibbs])[:, None] * found
            sides.append(placed)
        return sides[0], sides[1]

    # --- values and certificates ------------------------------------------------------------------------------

    @cached_property
    def _statistics(self) -> PlanStatistics:
        """Row masses, column masses and row costs of the normalised plans, in the places of f, g and f."""
        plans, kinds = self._solved.plans, self._solved.kinds
        gibbs = np.flatnonzero(kinds == ENTROPIC)
        if gibbs.size:
            found = self._backend.batch_statistics(plans if gibbs.size == len(self) else plans.part(gibbs))
        else:
            found = PlanStatistics(np.zeros(plans.f.size), np.zeros(plans.g.size), np.zeros(plans.f.size))
        exact = np.flatnonzero(kinds == EXACT)
        if exact.size:
            self._add_entries(exact, found)
        for k in np.flatnonzero(kinds == ALONE):
            own = self[int(k)]._statistics
            _, _, rows, columns = plans.slices(int(k))
            found.row_mass[rows], found.column_mass[columns], found.row_cost[rows] = own
        return found

    def _add_entries(self, exact: np.ndarray, found: PlanStatistics) -> None:
        """Statistics of stored plans."""
        plans, entries = self._solved.plans, self._solved.entries
        assert entries is not None
        counts = entries.counts[exact]
        problem = np.repeat(exact, counts)
        first = np.cumsum(counts) - counts
        some = np.repeat(entries.starts[exact] - first, counts) + np.arange(counts.sum())
        rows, columns, masses = entries.rows[some], entries.columns[some], entries.masses[some]
        stack = plans.stack
        if isinstance(stack, DenseStack):
            costs = stack.flat[stack.starts[problem] + rows * stack.m[problem] + columns].astype(np.float64)
        else:
            parts = [
                self._backend.pair_costs(stack.geometry(int(k)), rows[at : at + count], columns[at : at + count])
                for k, at, count in zip(exact, first, counts)
            ]
            costs = np.concatenate(parts) if parts else np.zeros(0)
        places = plans.f_starts[problem] + rows
        np.add.at(found.row_mass, places, masses)
        np.add.at(found.row_cost, places, masses * costs)
        np.add.at(found.column_mass, plans.g_starts[problem] + columns, masses)

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        """(``<p, C>``, total mass) of the normalised plans."""
        found, n = self._statistics, self._solved.plans.stack.n
        return self._sums(self._rows(found.row_cost), n), self._sums(self._rows(found.row_mass), n)

    @cached_property
    def value(self) -> Any:
        """(B,) full objectives of the returned plans."""
        if not self._simple:
            _ = self._statistics
            return self._each("value")
        solved, stack = self._solved, self._solved.plans.stack
        eps, mass = solved.plans.eps, solved.mass
        linear, moved = self._parts
        found, (f, g) = self._statistics, self._internal
        inner = self._sums(self._rows(found.row_mass) * f, stack.n)
        inner = inner + self._sums(self._columns(found.column_mass) * g, stack.m) - linear
        # eps times the entropy of a Gibbs plan; nothing where transport is exact.
        entropy = np.where(eps > 0, inner, 0.0)
        return self._library.array(mass * (linear + entropy) - eps * mass * np.log(mass) * moved)

    @cached_property
    def value_linear(self) -> Any:
        """(B,) ``<P, C>``."""
        if not self._simple:
            _ = self._statistics
            return self._each("value_linear")
        return self._library.array(self._solved.mass * self._parts[0])

    @cached_property
    def dual_value(self) -> Any:
        """(B,) dual objectives of the potentials: lower bounds of the optimal values."""
        if not self._simple:
            _ = self._statistics
            return self._each("dual_value")
        solved, stack = self._solved, self._solved.plans.stack
        eps, mass = solved.plans.eps, solved.mass
        (f, g), (a, b) = self._internal, self._weights
        potentials = self._sums(a * f, stack.n) + self._sums(b * g, stack.m)
        return self._library.array(mass * (potentials - eps * (self._parts[1] - 1.0)) - eps * mass * np.log(mass))

    @cached_property
    def gap(self) -> Any:
        """(B,) duality gaps, see `Solution.gap`; of one problem after another."""
        _ = self._statistics
        return self._each("gap")

    @cached_property
    def bounds(self) -> tuple[Any, Any]:
        """(lower, upper) bounds of the unregularised optima, (B,) each; of one problem after another."""
        pairs = [solution.bounds for solution in self]
        lower, upper = (np.array([float(pair[side]) for pair in pairs]) for side in (0, 1))
        return self._library.array(lower), self._library.array(upper)

    @cached_property
    def marginal_a(self) -> Any:
        """(B, n) ``P1``."""
        n = self._solved.plans.stack.n
        return self._stacked(np.repeat(self._masses, n) * self._rows(self._statistics.row_mass), n)

    @cached_property
    def marginal_b(self) -> Any:
        """(B, m) ``P'1``."""
        m = self._solved.plans.stack.m
        return self._stacked(np.repeat(self._masses, m) * self._columns(self._statistics.column_mass), m)

    @property
    def _masses(self) -> np.ndarray:
        out = self._solved.mass.copy()
        for k in np.flatnonzero(self._solved.kinds == ALONE):
            out[k] = self[int(k)]._problem.mass
        return out

    @cached_property
    def marginal_error(self) -> Any:
        """(B,) marginal errors of both sides, from float64 potentials; see `Solution.marginal_error`."""
        if not self._simple:
            _ = self._statistics
            return self._each("marginal_error")
        stack = self._solved.plans.stack
        found, (a, b) = self._statistics, self._weights
        rows = self._sums(np.abs(self._rows(found.row_mass) - a), stack.n)
        return self._library.array(
            (rows + self._sums(np.abs(self._columns(found.column_mass) - b), stack.m)) / self._sums(a, stack.n)
        )

    # --- the plans --------------------------------------------------------------------------------------------

    @cached_property
    def plan(self) -> Any:
        """(B, n, m) dense plans; a list of matrices where sizes differ."""
        solved, stack = self._solved, self._solved.plans.stack
        if (solved.kinds == ENTROPIC).all() and len(self):
            flat = self._backend.batch_plans(solved.plans, solved.mass)
            if self._uniform:
                return self._library.array(flat.reshape(len(self), int(stack.n[0]), int(stack.m[0])))
            parts = np.split(flat, np.cumsum(stack.n * stack.m)[:-1])
            return [self._library.array(part.reshape(shape)) for part, shape in zip(parts, self.shapes)]
        return self._each_array([solution.plan for solution in self])

    def barycentric_map(self, inverse: bool = False) -> Any:
        """Where each source point goes on average, (B, n, d); sources of the targets when `inverse`.

        Raises
        ------
        ValueError
            If the problems were given by cost matrices.
        """
        solved, stack = self._solved, self._solved.plans.stack
        if not isinstance(stack, CloudStack):
            raise ValueError("this solution comes from cost matrices and knows no points: use solution[k].pull(y)")
        if not (self._uniform and (solved.kinds == ENTROPIC).all() and solved.balanced):
            return self._each_array([solution.barycentric_map(inverse) for solution in self])
        # Weights and potentials of the side that is asked about cancel: points without weight have a law too.
        ones = np.ones(int(stack.m[0] if inverse else stack.n[0]))
        first = np.zeros(len(self), dtype=np.int64)
        plans = solved.plans
        plans = replace(plans, b=ones, b_starts=first) if inverse else replace(plans, a=ones, a_starts=first)
        P = self._backend.batch_plans(plans, np.ones(len(self))).reshape(
            len(self), int(stack.n[0]), int(stack.m[0])
        )
        if inverse:
            P = P.transpose(0, 2, 1)
        where, starts, sizes = (
            (stack.x, stack.x_starts, stack.n) if inverse else (stack.y, stack.y_starts, stack.m)
        )
        points = where[starts[:, None] + np.arange(int(sizes[0]))]
        return self._library.array(np.matmul(P, points.astype(np.float64)) / P.sum(-1, keepdims=True))

    # --- presentation -----------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        size = len(self)
        if not size:
            return "BatchSolution of no problems"
        solved, stack = self._solved, self._solved.plans.stack
        shape = f"{stack.n[0]} x {stack.m[0]}"
        if not self._uniform:
            shape = f"{_range(stack.n)} x {_range(stack.m)}"
        counts = {status: int((solved.status == status).sum()) for status in Status}
        ended = ", ".join(f"{count} {status.name}" for status, count in counts.items() if count)
        values = np.asarray(self.value, dtype=np.float64)
        passes = solved.passes
        lines = [
            f"BatchSolution of {size} transport problem{'s' if size > 1 else ''}, {shape}",
            f"  value           {values.min():.6g} to {values.max():.6g}, mean {values.mean():.6g}",
            f"  marginal error  at most {float(solved.errors.max()):.3g}",
            f"  status          {ended}",
            f"  method          {solved.method} on {self.backend}, at most {passes.max()} passes, "
            f"{solved.seconds:.3g} s",
            "  more            [k] .value .gap .potentials .plan .status .n_iter .barycentric_map()",
        ]
        return "\n".join(lines)


def _range(sizes: np.ndarray) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return str(low) if low == high else f"{low}..{high}"
