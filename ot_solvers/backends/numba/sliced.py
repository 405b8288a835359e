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
#: The same where permutations and slopes are kept beside them.
SLOPE_KEYS = 1 << 15
#: Keys whose slopes are kept before they are added up over the directions.
KEPT_KEYS = 1 << 18
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
        # Products, not sums: both sides get rid of the same mass at the same time, exactly.
        self.reached = {
            side.name: (np.arange(1, side.size + 1) / side.size * self.mass)[None, :]
            for side in (u, v)
            if side.uniform and not self.matched
        }
        self._desks: list[Desk] = []

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
        return (np.arange(1, self.u.size + 1) / self.u.size * self.mass)[None, :]

    def each(self, work, keys: int = KEYS, start: int = 0, stop: int | None = None) -> None:
        """``work(part, desk)`` for pieces of the lines of about so many keys, on all threads."""
        step = keys // max(self.u.size, self.v.size)
        if self.directions is not None and self.directions.shape[1] >= MANY:
            # Projections of long points go by four, and read the points once for all.
            step = max(8 if step else 4, step - step % 4)
        step = max(1, step)
        stop = self.count if stop is None else stop
        cuts = [slice(first, min(stop, first + step)) for first in range(start, stop, step)]

        def task(begin, end):
            desk = self._desks.pop() if self._desks else Desk()
            for part in cuts[begin:end]:
                work(part, desk)
            self._desks.append(desk)

        run(task, len(cuts))

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
            merged_costs(u, v, reached_u, reached_v, self.shift[part], self.p, self.values[part])

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
            merged_slopes(u, v, order_u, order_v, reached_u, reached_v, shift, self.p, scale, du, dv, values)


def projected_slopes(x, y, a, b, directions, p, scale, wanted) -> ProjectedSlopes:
    problem = _Lines.of_points(x, y, a, b, directions, p)
    vectors, sides = problem.vectors, problem.sides
    weights, turns = bool({"a", "b"} & set(wanted)), "directions" in wanted
    # Potentials and turns need everybody's place.
    asked = [weights or turns or name in wanted for name in ("x", "y")]
    by_points = [
        np.zeros(side.points.shape) if needed else None for side, needed in zip(sides, asked, strict=True)
    ]
    by_weights = [np.zeros(side.size) for side in sides] if weights else []
    by_directions = np.zeros(vectors.shape) if turns else None
    step = min(problem.count, max(LINES, KEPT_KEYS // max(side.size for side in sides)))
    rows = [
        np.empty((step, side.size if needed else 0), dtype=side.points.dtype)
        for side, needed in zip(sides, asked, strict=True)
    ]
    heights = [np.empty((step, side.size)) for side in sides] if weights else []
    # Lines of a group are sorted by as many threads as there are; then blocks of points add up over the group, in
    # the order of the lines: the same bits with any number of threads, and no copy of the sums per thread.
    for start in range(0, problem.count, step):
        stop = min(problem.count, start + step)

        def work(part, desk, start=start):
            here = slice(part.start - start, part.stop - start)
            found = [array[here] for array in (*rows, *heights)]
            problem.slopes(part, desk, scale, *found)
            if turns:
                _add_turns(problem, found, part, by_directions)

        problem.each(work, SLOPE_KEYS, start, stop)
        for k, out in enumerate(by_points):
            if out is not None:
                _add_blocks(rows[k][: stop - start], vectors[start:stop], out)
        for k, total in enumerate(by_weights):
            total += scale[start:stop] @ heights[k][: stop - start]
    dx, dy = by_points
    da, db = by_weights or (None, None)
    return ProjectedSlopes(problem.values, dx, dy, da, db, by_directions)


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
        problem.each(
            lambda part, desk: problem.slopes(part, desk, scale, *(array[part] for array in found)), SLOPE_KEYS
        )
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

        problem.each(work, SLOPE_KEYS)
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
                problem.u.points, problem.v.points, order_u, order_v, reached_u, reached_v, problem.p,
                problem.values[part],
            )  # fmt: skip

        problem.each(work, SLOPE_KEYS)
        return problem.values
