"""Transport along directions: project, sort, match, a few directions at a time on every thread."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...lazy import cached_property
from ..line_primitives import LinePlans, LinePrimitives, LineSlopes, ProjectedSlopes
from .directions import MANY, add_outer, project_rows, sum_points
from .lines import (
    cumulate,
    lifted_costs,
    matched_costs,
    matched_slopes,
    merged_costs,
    merged_potentials,
    merged_slopes,
)
from .parallel import run
from .sorting import Desk, argsort_rows, sort_rows

__all__ = ["NumbaLines"]

#: Keys that one piece of work sorts: they stay in the second-level cache.
KEYS = 1 << 17
#: Copies of sums over directions, at most and at least, the keys that are worth one, and the memory they may take.
SLOTS, FEWEST_SLOTS, SLOT_KEYS, SLOT_BYTES = 8, 4, 1 << 17, 4 << 20
#: Keys whose slopes are kept before they are added up over the directions.
KEPT_KEYS, LONG_KEPT_KEYS = 1 << 18, 1 << 20
#: Points that a centre is the mean of.
SAMPLE = 1 << 10
#: Lines at least, for threads to share.
LINES = 4
#: Points of a block of these sums.
POINTS = 1 << 12


class _Side(NamedTuple):
    """Points, or rows of numbers, ready for kernels."""

    name: str
    points: np.ndarray
    centre: np.ndarray
    weights: np.ndarray  # (L, n), or (1, n) for all lines
    uniform: bool

    @classmethod
    def of(cls, name: str, points, centre, weights, dtype) -> _Side:
        points = np.ascontiguousarray(points, dtype=dtype)
        weights = np.atleast_2d(weights)
        uniform = bool(weights.min() == weights.max())
        return cls(name, points, np.asarray(centre, dtype=dtype), weights, uniform)

    @property
    def size(self) -> int:
        return self.weights.shape[1]

    def weights_of(self, part: slice) -> np.ndarray:
        return self.weights if len(self.weights) == 1 else self.weights[part]


class _Lines:
    """Two sides and the lines between them: one per direction, or one per pair of rows.

    Parameters
    ----------
    u, v : _Side
    directions : (L, d) array or None
        None: the sides are rows.
    shift : (L,) float64 array
        From the centre of v to that of u, on each line.
    p : float
    """

    def __init__(self, u: _Side, v: _Side, directions: np.ndarray | None, shift: np.ndarray, p: float):
        self.u, self.v, self.directions, self.shift, self.p = u, v, directions, shift, float(p)
        #: Of each line, the same on all of them wherever it is used.
        self.mass = float(u.weights[0].sum())
        self.values = np.empty(shift.size)
        #: The k-th point meets the k-th.
        self.matched = u.size == v.size and u.uniform and v.uniform
        self.wholes = u.weights.sum(axis=1)
        self.reached = {
            side.name: _uniform_masses(side.size, self.mass)
            for side in (u, v)
            if side.uniform and not self.matched
        }

    @classmethod
    def of_points(cls, x, y, a, b, directions, p: float) -> _Lines:
        dtype = np.result_type(x.dtype, y.dtype)
        # Seen from the middle of each cloud no digits are lost to where they lie; any point near it will do.
        u, v = (
            _Side.of(name, z, z[:: 1 + len(z) // SAMPLE].mean(axis=0, dtype=np.float64), w, dtype)
            for name, z, w in (("u", x, a), ("v", y, b))
        )
        between = u.centre.astype(np.float64) - v.centre
        return cls(u, v, np.ascontiguousarray(directions, dtype=dtype), directions @ between, p)

    @classmethod
    def of_rows(cls, u, v, a, b, p: float) -> _Lines:
        dtype = np.result_type(u.dtype, v.dtype)
        u, v = (
            _Side.of(name, z, z.mean(axis=1, dtype=np.float64), w, dtype)
            for name, z, w in (("u", u, a), ("v", v, b))
        )
        return cls(u, v, None, u.centre.astype(np.float64) - v.centre, p)

    @property
    def count(self) -> int:
        return self.shift.size

    def wholes_of(self, part: slice) -> np.ndarray:
        """Total masses of some lines."""
        return self.wholes if self.wholes.size == 1 else self.wholes[part]

    @property
    def vectors(self) -> np.ndarray:
        """The directions, of those who know that there are some."""
        assert self.directions is not None
        return self.directions

    @property
    def sides(self) -> tuple[_Side, _Side]:
        return self.u, self.v

    @cached_property
    def uniform_masses(self) -> np.ndarray:
        """(1, n) cumulative masses where the k-th point meets the k-th."""
        return _uniform_masses(self.u.size, self.mass)

    def each(self, work, start: int = 0, stop: int | None = None) -> None:
        """``work(part, desk)`` for pieces of the lines, on all threads."""
        cuts = self.pieces(start, self.count if stop is None else stop)

        def task(begin, end):
            with Desk.lent() as desk:
                for part in cuts[begin:end]:
                    work(part, desk)

        run(task, len(cuts))

    def pieces(self, start: int, stop: int) -> list[slice]:
        """Lines in pieces; a function of the shape."""
        step = KEYS // max(self.u.size, self.v.size)
        if self.directions is not None and self.directions.shape[1] >= MANY:
            # Projections of long points go by four, and read the points once for all.
            step = max(8 if step else 4, step - step % 4)
        step = max(1, step)
        return [slice(first, min(stop, first + step)) for first in range(start, stop, step)]

    def rows(self, side: _Side, part: slice, desk: Desk) -> np.ndarray:
        """Numbers to sort, of some lines."""
        out = desk.array(side.name, (part.stop - part.start, side.size), side.points.dtype)
        if self.directions is None:
            np.subtract(side.points[part], side.centre[part, None], out=out)
        else:
            project_rows(side.points, side.centre, self.directions[part], out)
        return out

    def ordered(self, side: _Side, part: slice, desk: Desk):
        """Sorted rows, permutations and cumulative masses (None where the k-th point meets the k-th)."""
        rows = self.rows(side, part, desk)
        order = desk.array(f"order {side.name}", rows.shape, np.int32)
        argsort_rows(rows, order, desk)
        return rows, order, self._cumulated(side, part, order, desk)

    def _cumulated(self, side: _Side, part: slice, order: np.ndarray, desk: Desk):
        if side.uniform:
            return self.reached.get(side.name)
        reached = desk.array(f"reached {side.name}", order.shape, np.float64)
        cumulate(side.weights_of(part), order, reached)
        return reached

    def _sorted(self, side: _Side, part: slice, desk: Desk):
        """Sorted rows and cumulative masses."""
        if not side.uniform:
            rows, _, reached = self.ordered(side, part, desk)
            return rows, reached
        rows = self.rows(side, part, desk)
        sort_rows(rows, desk)
        return rows, self.reached.get(side.name)

    def costs(self, part: slice, desk: Desk) -> None:
        """Into `values`."""
        u, reached_u = self._sorted(self.u, part, desk)
        v, reached_v = self._sorted(self.v, part, desk)
        if self.matched:
            matched_costs(u, v, self.shift[part], self.p, self.mass, self.values[part])
        else:
            wholes = self.wholes_of(part)
            merged_costs(u, v, reached_u, reached_v, wholes, self.shift[part], self.p, self.values[part])

    def _matched_with(self, side: _Side, part: slice, desk: Desk, slopes: np.ndarray):
        """`ordered`; without permutations where no slopes are asked for."""
        if slopes.shape[1]:
            return self.ordered(side, part, desk)
        rows, reached = self._sorted(side, part, desk)
        return rows, np.empty(slopes.shape, dtype=np.int32), reached

    def slopes(self, part: slice, desk: Desk, scale: np.ndarray, du, dv, f=None, g=None) -> None:
        """Costs into `values`, derivatives by the points, times `scale`, and by the weights into the arrays
        given."""
        u, order_u, reached_u = self._matched_with(self.u, part, desk, du)
        v, order_v, reached_v = self._matched_with(self.v, part, desk, dv)
        shift, values, scale = self.shift[part], self.values[part], scale[part]
        if f is not None:
            if self.matched:
                reached_u = reached_v = self.uniform_masses
            merged_potentials(u, v, order_u, order_v, reached_u, reached_v, shift, self.p, f, g)
            # One convention for the constant: equal means of both sides.
            first, second = self.u.weights_of(part), self.v.weights_of(part)
            half = 0.5 * ((f * first).sum(axis=1) - (g * second).sum(axis=1)) / first.sum(axis=1)
            f -= half[:, None]
            g += half[:, None]
        if self.matched:
            matched_slopes(u, v, order_u, order_v, shift, self.p, self.mass, scale, du, dv, values)
        else:
            merged_slopes(
                u, v, order_u, order_v, reached_u, reached_v, self.wholes_of(part), shift, self.p, scale, du, dv,
                values,
            )  # fmt: skip


def _uniform_masses(size: int, mass: float) -> np.ndarray:
    """(1, size) cumulative masses, the last one infinite as kernels want it."""
    # Products, not sums: both sides get rid of the same mass at the same time, exactly.
    reached = np.arange(1, size + 1) / size * mass
    reached[-1] = np.inf
    return reached[None, :]


def projected_slopes(x, y, a, b, directions, p, scale, wanted) -> ProjectedSlopes:
    sums = _Sums(_Lines.of_points(x, y, a, b, directions, p), scale, wanted)
    if sums.slots >= FEWEST_SLOTS:
        sums.by_slots()
    else:
        sums.by_groups()
    return sums.found


class _Sums:
    """Derivatives of a weighted sum over directions.

    Two ways to add them up, both the same bits with any number of threads. Where copies of the sums are small,
    ranges of directions have one each: nobody waits, and slopes are added while they are in the cache. Otherwise
    threads share the directions of a group, and then the points.
    """

    def __init__(self, problem: _Lines, scale: np.ndarray, wanted):
        self.problem, self.scale = problem, scale
        self.weights, self.turns = bool({"a", "b"} & set(wanted)), "directions" in wanted
        # Potentials and turns need everybody's place.
        self.asked = [self.weights or self.turns or name in wanted for name in ("x", "y")]
        self.by_points = [
            np.zeros(side.points.shape) if needed else None
            for side, needed in zip(problem.sides, self.asked, strict=True)
        ]
        self.by_weights: list[np.ndarray] = [np.zeros(side.size) for side in problem.sides] if self.weights else []
        self.by_directions = np.zeros(problem.vectors.shape) if self.turns else None
        size = 8 * sum(side.points.size for side in problem.sides)
        #: Copies of the sums that there is memory for; a function of the shape.
        keys = problem.count * max(side.size for side in problem.sides)
        slots = min(SLOTS, problem.count, keys // SLOT_KEYS, SLOT_BYTES // size)
        self.slots = slots - slots % 2

    @property
    def found(self) -> ProjectedSlopes:
        dx, dy = self.by_points
        da, db = self.by_weights or (None, None)
        return ProjectedSlopes(self.problem.values, dx, dy, da, db, self.by_directions)

    def shapes(self, count: int) -> list[tuple[str, tuple[int, int], np.dtype]]:
        """What `slopes` of so many lines fills: names, shapes and types."""
        sides = self.problem.sides
        rows = [
            ("d" + side.name, (count, side.size if needed else 0), side.points.dtype)
            for side, needed in zip(sides, self.asked, strict=True)
        ]
        heights = [("h" + side.name, (count, side.size), np.dtype(np.float64)) for side in sides]
        return rows + heights if self.weights else rows

    def slopes(self, part: slice, desk: Desk, arrays: list[np.ndarray]) -> None:
        self.problem.slopes(part, desk, self.scale, *arrays)
        if self.by_directions is not None:
            _add_turns(self.problem, arrays, part, self.by_directions)

    def by_slots(self) -> None:
        problem = self.problem
        outs = [out for out in (*self.by_points, *self.by_weights) if out is not None]
        totals = [[np.zeros(out.shape) for out in outs] for _ in range(self.slots)]
        ends = np.linspace(0, problem.count, self.slots + 1).astype(np.int64)

        def task(begin, end):
            with Desk.lent() as desk:
                for slot in range(begin, end):
                    for part in problem.pieces(int(ends[slot]), int(ends[slot + 1])):
                        self._add_piece(part, desk, totals[slot])

        run(task, self.slots)
        for slot in totals:
            for out, total in zip(outs, slot, strict=True):
                np.add(out, total, out=out)

    def _add_piece(self, part: slice, desk: Desk, totals: list[np.ndarray]) -> None:
        """Slopes of some lines, added to the sums that are asked for."""
        arrays = [desk.array(*shape) for shape in self.shapes(part.stop - part.start)]
        self.slopes(part, desk, arrays)
        rows = [array for array in arrays[:2] if array.shape[1]]
        for array, total in zip(rows, totals[: len(rows)], strict=True):
            add_outer(array, self.problem.vectors[part], 0, len(total), total)
        for array, total in zip(arrays[2:], totals[len(rows) :], strict=True):
            np.add(total, self.scale[part] @ array, out=total)

    def by_groups(self) -> None:
        problem, vectors = self.problem, self.problem.vectors
        keys = LONG_KEPT_KEYS if vectors.shape[1] >= MANY else KEPT_KEYS
        step = min(problem.count, max(LINES, keys // max(side.size for side in problem.sides)))
        with Desk.lent() as shelf:
            kept = [shelf.array(*shape) for shape in self.shapes(step)]
            for start in range(0, problem.count, step):
                self._add_group(slice(start, min(problem.count, start + step)), kept)

    def _add_group(self, group: slice, kept: list[np.ndarray]) -> None:
        def work(part, desk):
            here = slice(part.start - group.start, part.stop - group.start)
            self.slopes(part, desk, [array[here] for array in kept])

        self.problem.each(work, group.start, group.stop)
        filled = [array[: group.stop - group.start] for array in kept]
        for rows, out in zip(filled[:2], self.by_points, strict=True):
            if out is not None:
                _add_blocks(rows, self.problem.vectors[group], out)
        for k, total in enumerate(self.by_weights):
            total += self.scale[group] @ filled[2 + k]


def _add_blocks(slopes, directions, out) -> None:
    def task(begin, end):
        for block in range(begin, end):
            add_outer(slopes, directions, block * POINTS, min(len(out), (block + 1) * POINTS), out)

    run(task, -(-len(out) // POINTS))


def _add_turns(problem: _Lines, slopes, part: slice, out) -> None:
    """Derivatives by the directions."""
    for side, rows in zip(problem.sides, slopes[:2], strict=True):
        sum_points(rows, side.points, side.centre, out[part])
    between = problem.u.centre.astype(np.float64) - problem.v.centre
    out[part] += slopes[0].sum(axis=1, dtype=np.float64)[:, None] * between


class NumbaLines(LinePrimitives):
    """The primitives on lines, by these kernels."""

    def line_wasserstein(self, u, v, a, b, p):
        problem = _Lines.of_rows(u, v, a, b, p)
        problem.each(problem.costs)
        return problem.values

    def line_slopes(self, u, v, a, b, p):
        problem = _Lines.of_rows(u, v, a, b, p)
        found = [np.empty(array.shape) for array in (u, v, u, v)]
        scale = np.ones(problem.count)
        problem.each(lambda part, desk: problem.slopes(part, desk, scale, *(array[part] for array in found)))
        return LineSlopes(problem.values, *found)

    def line_plans(self, u, v, a, b):
        problem = _Lines.of_rows(u, v, a, b, 1.0)
        places = [np.empty(array.shape, dtype=np.int32) for array in (u, v)]
        masses = [np.empty(array.shape) for array in (u, v)]

        def work(part, desk):
            for k, side in enumerate(problem.sides):
                _, order, reached = problem.ordered(side, part, desk)
                places[k][part] = order
                masses[k][part] = problem.uniform_masses if reached is None else reached
                masses[k][part, -1] = problem.wholes_of(part)

        problem.each(work)
        return LinePlans(*places, *masses)

    def projected_wasserstein(self, x, y, a, b, directions, p):
        problem = _Lines.of_points(x, y, a, b, directions, p)
        problem.each(problem.costs)
        return problem.values

    def projected_slopes(self, x, y, a, b, directions, p, scale, wanted=("x", "y")):
        return projected_slopes(x, y, a, b, directions, p, scale, wanted)

    def lifted_costs(self, x, y, a, b, directions, p):
        problem = _Lines.of_points(x, y, a, b, directions, p)

        def work(part, desk):
            _, order_u, reached_u = problem.ordered(problem.u, part, desk)
            _, order_v, reached_v = problem.ordered(problem.v, part, desk)
            if problem.matched:
                reached_u = reached_v = problem.uniform_masses
            lifted_costs(
                problem.u.points, problem.v.points, order_u, order_v, reached_u, reached_v,
                problem.wholes_of(part), problem.p,
                problem.values[part],
            )  # fmt: skip

        problem.each(work)
        return problem.values
