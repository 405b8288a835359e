"""How kernels for many problems get their costs, and how the problems are shared among threads."""

from __future__ import annotations

import numpy as np

from ...costs import SqEuclidean
from ...geometry.stack import CloudStack, DenseStack, Stack
from .cost_kernels import cost_name
from .parallel import run
from .policy import kernel
from .rows import FUSED_COORDINATES, GROUP, CloudRows, cost_tile, open_row, writable_view

__all__ = ["over_blocks", "readable"]

#: Pairs of a block of problems: a thread's share at a time, and what costs between points take in memory.
BLOCK_PAIRS = 1 << 15
#: Coordinates from which squared distances come from a matrix product, and the share of the squares of both points
#: below which they are computed again by differences: a product rounds to 1e-16 of these squares.
PRODUCT_COORDINATES, NEAR = 8, 1e-3
#: Multiplications of one product from which the library of the products uses threads of its own: such are made one
#: by one (side by side with ours they take several times as long), for so many pairs at a time.
THREADED, PRODUCT_PAIRS = 1 << 20, 1 << 22


@kernel
def finish_distances(products, x, y, x_squares, y_squares):
    """From inner products to squared distances, in place."""
    for i in range(products.shape[0]):
        line = products[i]
        for j in range(products.shape[1]):
            both = x_squares[i] + y_squares[j]
            c = both - 2.0 * line[j]
            if c < NEAR * both:
                c = 0.0
                for k in range(x.shape[1]):
                    difference = x[i, k] - y[j, k]
                    c += difference * difference
            line[j] = c


@kernel
def fill_matrix(name, numbers, x, y, out):
    """Costs between all points of x (n, d) and y (m, d), into ``out`` (n, m), where rows are computed."""
    n, d = x.shape
    rows = CloudRows(name, numbers, np.ascontiguousarray(x.T), np.ascontiguousarray(y.T))
    for i in range(n):
        if d <= FUSED_COORDINATES:
            cost_tile(rows, i, 0, y.shape[0], out[i : i + 1])
        else:
            open_row(rows, i, 0, n, out[i - i % GROUP : min(n, i - i % GROUP + GROUP)])


@kernel
def fill_costs(name, numbers, x, y, x_starts, y_starts, ns, ms, starts, begin, end, out):
    """Costs between the points of problems ``begin:end``, one matrix after another."""
    for k in range(begin, end):
        n = ns[k]
        m = ms[k]
        first = x[x_starts[k] : x_starts[k] + n]
        second = y[y_starts[k] : y_starts[k] + m]
        fill_matrix(name, numbers, first, second, out[starts[k] : starts[k] + n * m].reshape(n, m))


def readable(stack: Stack) -> bool:
    """Whether kernels can read the costs."""
    if isinstance(stack, CloudStack):
        return stack.cost.kernel(np.float64, stack.depth) is not None
    return isinstance(stack, DenseStack)


def over_blocks(stack: Stack, task) -> None:
    """Call ``task(costs, starts, begin, end)`` on blocks of problems, on all threads.

    Problem k has its matrix, row-major, from ``costs[starts[k]]`` on.
    """
    pairs = stack.n * stack.m
    ends = np.cumsum(pairs)
    blocks = max(1, min(len(stack), int(ends[-1]) // BLOCK_PAIRS))
    # A function of the sizes only; results of problems do not depend on it in any case.
    bounds = np.searchsorted(ends, np.linspace(0, ends[-1], blocks + 1)[1:-1], side="right")
    bounds = np.unique(np.concatenate([[0], bounds, [len(stack)]]))
    if isinstance(stack, DenseStack):
        flat, starts = writable_view(stack.flat), stack.starts
        run(lambda first, last: task(flat, starts, bounds[first], bounds[last]), bounds.size - 1)
        return
    assert isinstance(stack, CloudStack)
    clouds = _Clouds(stack, ends - pairs)
    if clouds.products and int(pairs.max()) * stack.depth >= THREADED:
        start = 0
        while start < len(stack):
            before = int(ends[start] - pairs[start])
            stop = max(start + 1, int(np.searchsorted(ends, before + PRODUCT_PAIRS, side="right")))
            costs, starts = clouds.costs(start, stop)
            run(lambda first, last: task(costs, starts, start + first, start + last), stop - start)  # noqa: B023
            start = stop
        return

    def compute(first, last):
        for begin, end in zip(bounds[first:last], bounds[first + 1 : last + 1]):
            task(*clouds.costs(begin, end), begin, end)

    run(compute, bounds.size - 1)


class _Clouds:
    """Costs between points, block by block."""

    def __init__(self, stack: CloudStack, starts: np.ndarray):
        self.stack, self.starts = stack, starts
        x, y = stack.x.astype(np.float64, copy=False), stack.y.astype(np.float64, copy=False)
        self.products = type(stack.cost) is SqEuclidean and stack.depth >= PRODUCT_COORDINATES
        prepare = stack.cost.prepare
        self.x = np.ascontiguousarray(prepare(x, np))
        self.y = self.x if stack.y is stack.x else np.ascontiguousarray(prepare(y, np))
        record = stack.cost.kernel(np.float64, self.x.shape[1])
        self.record = cost_name(record.__class__), tuple(record)

    def costs(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        stack = self.stack
        starts = self.starts - self.starts[begin]
        size = int(starts[end - 1] + stack.n[end - 1] * stack.m[end - 1])
        out = np.empty(size)
        if not self.products:
            fill_costs(
                *self.record, writable_view(self.x), writable_view(self.y), stack.x_starts, stack.y_starts,
                stack.n,                stack.m, starts, begin, end, out,
            )  # fmt: skip
            return out, starts
        for k in range(begin, end):
            n, m = int(stack.n[k]), int(stack.m[k])
            x = self.x[stack.x_starts[k] : stack.x_starts[k] + n]
            y = self.y[stack.y_starts[k] : stack.y_starts[k] + m]
            centre = x.mean(0)
            x, y = x - centre, y - centre
            products = out[starts[k] : starts[k] + n * m].reshape(n, m)
            np.matmul(x, y.T, out=products)
            finish_distances(products, x, y, np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y))
        return out, starts
