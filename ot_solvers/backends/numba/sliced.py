"""Transport along directions: project, sort, match, a few directions at a time on every thread."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..line_primitives import LinePlans, LinePrimitives, LineSlopes, ProjectedSlopes
from . import lines
from .directions import add_outer, project_rows, sum_points
from .parallel import run
from .sorting import argsort_rows, sort_rows

__all__ = ["NumbaLines"]

#: Keys that one piece of work sorts: they stay in the second-level cache.
KEYS = 1 << 17
#: Keys whose slopes are kept before they are added up over the directions.
KEPT_KEYS = 1 << 20
#: Lines at least, for threads to share.
LINES = 4
#: Points of a block of these sums.
POINTS = 1 << 12


class _Side(NamedTuple):
    """Points or rows of numbers, ready for kernels; `reached` is None where every weight is needed by its index."""

    points: np.ndarray
    centre: np.ndarray
    weights: np.ndarray
    reached: np.ndarray | None  # (1, n) cumulative masses of uniform weights

    @property
    def size(self) -> int:
        return self.weights.size


def _side(points: np.ndarray, centre: np.ndarray, weights: np.ndarray, dtype: np.dtype) -> _Side:
    points = np.ascontiguousarray(points, dtype=dtype)
    n = weights.size
    reached = None
    if weights.min() == weights.max():
        # Products, not sums: as many points on both sides get rid of the same mass at the same time, exactly.
        reached = (np.arange(1, n + 1) / n * weights.sum())[None, :]
    return _Side(points, centre.astype(dtype), weights, reached)


class _Lines(NamedTuple):
    """Two sides and the lines between them; one per direction, or one per given row."""

    u: _Side
    v: _Side
    directions: np.ndarray | None
    shift: np.ndarray  # (L,)
    p: float

    @classmethod
    def of_points(cls, x, y, a, b, directions, p: float) -> _Lines:
        dtype = np.result_type(x.dtype, y.dtype)
        # Seen from the middle of each cloud no digits are lost to where they lie.
        sides = [_side(z, z.mean(axis=0, dtype=np.float64), w, dtype) for z, w in ((x, a), (y, b))]
        between = sides[0].centre.astype(np.float64) - sides[1].centre
        return cls(*sides, np.ascontiguousarray(directions, dtype=dtype), directions @ between, float(p))

    @classmethod
    def of_rows(cls, u, v, a, b, p: float) -> _Lines:
        dtype = np.result_type(u.dtype, v.dtype)
        sides = [_side(z, z.mean(axis=1, dtype=np.float64), w, dtype) for z, w in ((u, a), (v, b))]
        shift = sides[0].centre.astype(np.float64) - sides[1].centre
        return cls(*sides, None, shift, float(p))

    @property
    def count(self) -> int:
        return self.shift.size

    @property
    def matched(self) -> bool:
        """Whether the k-th point meets the k-th."""
        return self.u.size == self.v.size and self.u.reached is not None and self.v.reached is not None

    @property
    def mass(self) -> float:
        return float(self.u.weights.sum())

    def cuts(self, keys: int = KEYS) -> list[tuple[int, int]]:
        """(first, last) lines of each piece of work; a function of the shape."""
        step = max(1, keys // max(self.u.size, self.v.size))
        return [(start, min(self.count, start + step)) for start in range(0, self.count, step)]

    def rows(self, side: _Side, first: int, last: int) -> np.ndarray:
        """Numbers to sort, of some lines."""
        if self.directions is None:
            return side.points[first:last] - side.centre[first:last, None]
        out = np.empty((last - first, side.size), dtype=side.points.dtype)
        project_rows(side.points, side.centre, self.directions[first:last], out)
        return out

    def costs(self, first: int, last: int, out: np.ndarray) -> None:
        u, reached_u = self._sorted(self.u, first, last)
        v, reached_v = self._sorted(self.v, first, last)
        shift = self.shift[first:last]
        if self.matched:
            lines.matched_costs(u, v, shift, self.p, self.mass, out[first:last])
        else:
            lines.merged_costs(u, v, reached_u, reached_v, shift, self.p, out[first:last])

    def _sorted(self, side: _Side, first: int, last: int):
        """Sorted rows and cumulative masses."""
        rows = self.rows(side, first, last)
        if side.reached is not None:
            sort_rows(rows)
            return rows, side.reached
        order = argsort_rows(rows)
        return rows, _cumulated(side, order)

    def ordered(self, side: _Side, first: int, last: int):
        """Sorted rows, permutations and cumulative masses."""
        rows = self.rows(side, first, last)
        order = argsort_rows(rows)
        return rows, order, side.reached if side.reached is not None else _cumulated(side, order)

    def slopes(self, first: int, last: int, scale, values, potentials: bool):
        """Slopes of some lines, and potentials if asked for; `values` receives the costs."""
        u, order_u, reached_u = self.ordered(self.u, first, last)
        v, order_v, reached_v = self.ordered(self.v, first, last)
        du, dv = np.empty_like(u), np.empty_like(v)
        shift, out = self.shift[first:last], values[first:last]
        if self.matched:
            lines.matched_slopes(u, v, order_u, order_v, shift, self.p, self.mass, scale[first:last], du, dv, out)
        else:
            lines.merged_slopes(
                u, v, order_u, order_v, reached_u, reached_v, shift, self.p, scale[first:last], du, dv, out
            )
        if not potentials:
            return du, dv, None, None
        f, g = np.empty(u.shape), np.empty(v.shape)
        lines.merged_potentials(u, v, order_u, order_v, reached_u, reached_v, shift, self.p, f, g)
        # One convention for the constant: equal means of both sides.
        half = 0.5 * (f @ self.u.weights - g @ self.v.weights) / self.mass
        return du, dv, f - half[:, None], g + half[:, None]


def _cumulated(side: _Side, order: np.ndarray) -> np.ndarray:
    reached = np.empty(order.shape)
    lines.cumulate(side.weights, order, reached)
    return reached


def _each(cuts, work) -> None:
    """``work(first, last)`` for every piece."""

    def task(begin, end):
        for first, last in cuts[begin:end]:
            work(first, last)

    run(task, len(cuts))


def _all_costs(problem: _Lines) -> np.ndarray:
    values = np.empty(problem.count)
    _each(problem.cuts(), lambda first, last: problem.costs(first, last, values))
    return values


def projected_wasserstein(x, y, a, b, directions, p) -> np.ndarray:
    return _all_costs(_Lines.of_points(x, y, a, b, directions, p))


def line_wasserstein(u, v, a, b, p) -> np.ndarray:
    return _all_costs(_Lines.of_rows(u, v, a, b, p))


def line_slopes(u, v, a, b, p) -> LineSlopes:
    problem = _Lines.of_rows(u, v, a, b, p)
    values, scale = np.empty(problem.count), np.ones(problem.count)
    du, dv = np.empty(u.shape), np.empty(v.shape)
    f, g = np.empty(u.shape), np.empty(v.shape)

    def work(first, last):
        part = slice(first, last)
        du[part], dv[part], f[part], g[part] = problem.slopes(first, last, scale, values, True)

    _each(problem.cuts(), work)
    return LineSlopes(values, du, dv, f, g)


def line_plans(u, v, a, b) -> LinePlans:
    problem = _Lines.of_rows(u, v, a, b, 1.0)
    first, last = 0, problem.count
    _, order_u, reached_u = problem.ordered(problem.u, first, last)
    _, order_v, reached_v = problem.ordered(problem.v, first, last)
    return LinePlans(order_u, order_v, np.broadcast_to(reached_u, u.shape), np.broadcast_to(reached_v, v.shape))


def projected_slopes(x, y, a, b, directions, p, scale, weights=False, turns=False) -> ProjectedSlopes:
    problem = _Lines.of_points(x, y, a, b, directions, p)
    sides = problem.u, problem.v
    values = np.empty(problem.count)
    by_points = [np.zeros(side.points.shape) for side in sides]
    by_weights = [np.zeros(side.size) for side in sides] if weights else [None, None]
    by_directions = np.zeros(problem.directions.shape) if turns else None
    step = max(LINES, KEPT_KEYS // max(side.size for side in sides))
    cuts = problem.cuts()
    # Lines of a group are sorted by as many threads as there are; then blocks of points add up over the group, in the
    # order of the lines: the same bits with any number of threads, and no copy of the sums per thread.
    for start in range(0, problem.count, step):
        stop = min(problem.count, start + step)
        group = [(max(first, start), min(last, stop)) for first, last in cuts if first < stop and last > start]
        rows = [np.empty((stop - start, side.size), dtype=side.points.dtype) for side in sides]
        heights = [np.empty((stop - start, side.size)) for side in sides] if weights else [None, None]

        def work(first, last, start=start, rows=rows, heights=heights):
            found = problem.slopes(first, last, scale, values, weights)
            part = slice(first - start, last - start)
            for k in range(2):
                rows[k][part] = found[k]
                if weights:
                    heights[k][part] = found[k + 2]
            if turns:
                _add_turns(problem, found[:2], first, last, scale, by_directions)

        _each(group, work)
        for k, side in enumerate(sides):
            _add_blocks(rows[k], problem.directions[start:stop], by_points[k])
            if weights:
                by_weights[k] += scale[start:stop] @ heights[k]
    return ProjectedSlopes(values, *by_points, *by_weights, by_directions)


def _add_blocks(slopes, directions, out) -> None:
    blocks = [(k, min(len(out), k + POINTS)) for k in range(0, len(out), POINTS)]
    _each(blocks, lambda first, last: add_outer(slopes[:, first:last], directions, out[first:last]))


def _add_turns(problem: _Lines, slopes, first, last, scale, out) -> None:
    """Derivatives by the directions."""
    part = out[first:last]
    for side, rows in zip((problem.u, problem.v), slopes, strict=True):
        sum_points(rows, side.points, side.centre, part)
    between = problem.u.centre.astype(np.float64) - problem.v.centre
    part += slopes[0].sum(axis=1, dtype=np.float64)[:, None] * between


def lifted_costs(x, y, a, b, directions, p) -> np.ndarray:
    problem = _Lines.of_points(x, y, a, b, directions, p)
    values = np.empty(problem.count)

    def work(first, last):
        _, order_u, reached_u = problem.ordered(problem.u, first, last)
        _, order_v, reached_v = problem.ordered(problem.v, first, last)
        lines.lifted_costs(
            problem.u.points, problem.v.points, order_u, order_v, reached_u, reached_v, problem.p,
            values[first:last],
        )  # fmt: skip

    _each(problem.cuts(), work)
    return values


class NumbaLines(LinePrimitives):
    """The primitives on lines, by these kernels."""

    def line_wasserstein(self, u, v, a, b, p):
        return line_wasserstein(u, v, a, b, p)

    def line_slopes(self, u, v, a, b, p):
        return line_slopes(u, v, a, b, p)

    def line_plans(self, u, v, a, b):
        return line_plans(u, v, a, b)

    def projected_wasserstein(self, x, y, a, b, directions, p):
        return projected_wasserstein(x, y, a, b, directions, p)

    def projected_slopes(self, x, y, a, b, directions, p, scale, weights=False, turns=False):
        return projected_slopes(x, y, a, b, directions, p, scale, weights, turns)

    def lifted_costs(self, x, y, a, b, directions, p):
        return lifted_costs(x, y, a, b, directions, p)
