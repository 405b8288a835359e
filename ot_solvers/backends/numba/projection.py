"""Rows of quadratic plans: reduced costs, the smallest of them, and the projection on a simplex, in one read."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .policy import kernel
from .rows import cost_buffer, cost_tile, open_row, shape, tile_size, touch

#: Parts of a row whose minima are taken side by side: as many entries of a row are known to be as small.
LANES = 32
#: Entries that are looked at together: where none is small enough, none is looked at.
GROUP = 32


class Asked(NamedTuple):
    """What rows ``[f_i + g_j - C_ij]_+ / gamma`` are made from."""

    g: Any  # (m,) ``-inf`` where nothing may go
    gamma: float
    a: Any  # (n,) what rows sum to, unless `fixed`
    most: Any  # (n,) int, entries of each row: the largest ones
    fixed: bool  # whether the row potentials are given


class Made(NamedTuple):
    """What is made of them; all but given potentials and `starts` is overwritten."""

    f: Any  # (n,)
    count: Any  # (n,) int, entries
    square: Any  # (n,) sum of their squares
    column_mass: Any  # (blocks, m)
    starts: Any  # (n + 1,) int, room for the entries of each row: those that fit are written, in order
    indices: Any
    masses: Any


@kernel
def reduce_row(rows, i, g, costs, reduced, lanes):
    """``C_ij - g_j`` of row i, and minima of `LANES` parts of it."""
    n, m = shape(rows)
    tile = tile_size(rows)
    lanes[:] = math.inf
    for start in range(0, m, tile):
        stop = min(m, start + tile)
        touch(rows, min(i + 1, n - 1), start, stop)
        c = cost_tile(rows, i, start, stop, costs)
        h = g[start:stop]
        part = reduced[start:stop]
        size = stop - start
        for j in range(size):
            part[j] = c[j] - h[j]
        full = size - size % LANES
        for begin in range(0, full, LANES):
            piece = part[begin : begin + LANES]
            for k in range(LANES):
                lanes[k] = piece[k] if piece[k] < lanes[k] else lanes[k]
        for j in range(full, size):
            lanes[j - full] = min(lanes[j - full], part[j])


@kernel
def kth_smallest(values, k, scratch):
    """The k-th smallest of a few values, 1 <= k <= size."""
    for j in range(k):
        scratch[j] = math.inf
    for value in values:
        if not value < scratch[k - 1]:
            continue
        place = k - 1
        while place > 0 and scratch[place - 1] > value:
            scratch[place] = scratch[place - 1]
            place -= 1
        scratch[place] = value
    return scratch[k - 1]


@kernel
def collect(reduced, upper, found, value):
    """Places and values of the entries up to `upper`, in order of their places; how many."""
    m = reduced.size
    count = 0
    for start in range(0, m, GROUP):
        stop = min(m, start + GROUP)
        some = 0
        for j in range(start, stop):
            some += 1 if reduced[j] <= upper else 0
        if some == 0:
            continue
        for j in range(start, stop):
            if reduced[j] <= upper:
                found[count] = j
                value[count] = reduced[j]
                count += 1
    return count


@kernel
def keep_below(level, found, value, count):
    """Drop the entries that are not below `level`; how many stay."""
    kept = 0
    for j in range(count):
        if value[j] < level:
            found[kept] = found[j]
            value[kept] = value[j]
            kept += 1
    return kept


@kernel
def keep_smallest(k, found, value, count):
    """Drop all but the k < count smallest entries, ties by place."""
    limit = np.partition(value[:count], k - 1)[k - 1]
    below = 0
    for j in range(count):
        below += 1 if value[j] < limit else 0
    ties = k - below
    kept = 0
    for j in range(count):
        tied = value[j] == limit and ties > 0
        if value[j] < limit or tied:
            ties -= 1 if tied else 0
            found[kept] = found[j]
            value[kept] = value[j]
            kept += 1
    return kept


@kernel
def threshold(target, found, value, count):
    """(level, entries below it) with ``sum (level - value)_+ = target`` over the first `count` entries."""
    while True:
        total = target
        for j in range(count):
            total += value[j]
        level = total / count
        kept = keep_below(level, found, value, count)
        if kept == count or kept == 0:  # none: the target is below rounding of the values
            return level, count
        count = kept


@kernel
def project_row(reduced, lanes, low, target, given, fixed, k, scratch, found, value):
    """(level, entries): what is left of a row of reduced costs, its places in `found` and values in `value`.

    The k smallest below the level, which is `given`, or makes ``sum (level - value)_+ = target``.
    """
    upper = given if fixed else low + target
    if k < lanes.size and k < reduced.size:
        upper = min(upper, kth_smallest(lanes, k, scratch))
    held = collect(reduced, upper, found, value)
    level = given
    if fixed:
        held = keep_below(level, found, value, held)
    else:
        level, held = threshold(target, found, value, held)
    if held > k:
        held = keep_smallest(k, found, value, held)
        if not fixed:
            level, held = threshold(target, found, value, held)
    return level, held


@kernel
def finish_row(i, block, reduced, lanes, shift, asked, columns, scratch, found, value, made):
    """From the reduced costs of a row to its part of what is made; `columns` names their places, if not empty."""
    low = lanes.min()
    target = asked.gamma * asked.a[i]
    made.count[i] = 0
    made.square[i] = 0.0
    if not asked.fixed and (target == 0.0 or low == math.inf):
        made.f[i] = low + shift if low < math.inf else 0.0
        return
    given = made.f[i] - shift
    level, held = project_row(
        reduced, lanes, low, target, given, asked.fixed, asked.most[i], scratch, found, value
    )
    if not asked.fixed:
        made.f[i] = level + shift
    gathered = made.column_mass[block]
    start = made.starts[i]
    room = made.starts[i + 1] - start
    total = 0.0
    for j in range(held):
        p = max((level - value[j]) / asked.gamma, 0.0)
        column = columns[found[j]] if columns.size else found[j]
        total += p * p
        gathered[column] += p
        if j < room:
            made.indices[start + j] = column
            made.masses[start + j] = p
    made.count[i] = held
    made.square[i] = total


@kernel
def project_blocks(rows, asked, shift, bounds, first, last, made):
    """Rows of blocks ``first:last`` of a quadratic plan, costs read without `shift`; see `Asked` and `Made`."""
    m = shape(rows)[1]
    costs = cost_buffer(rows, asked.g)
    reduced = np.empty(m)
    lanes = np.empty(LANES)
    scratch = np.empty(LANES)
    found = np.empty(m, np.int64)
    value = np.empty(m)
    everywhere = np.empty(0, np.int64)
    for block in range(first, last):
        made.column_mass[block, :] = 0.0
        for i in range(bounds[block], bounds[block + 1]):
            open_row(rows, i, bounds[block], bounds[block + 1], costs)
            reduce_row(rows, i, asked.g, costs, reduced, lanes)
            finish_row(i, block, reduced, lanes, shift, asked, everywhere, scratch, found, value, made)


@kernel
def project_pattern_blocks(indptr, columns, costs, asked, bounds, first, last, made):
    """`project_blocks` where only some pairs are allowed: CSR parts of their costs."""
    widest = 0
    for i in range(bounds[first], bounds[last]):
        widest = max(widest, indptr[i + 1] - indptr[i])
    values = np.empty(widest)
    lanes = np.empty(LANES)
    scratch = np.empty(LANES)
    found = np.empty(widest, np.int64)
    value = np.empty(widest)
    for block in range(first, last):
        made.column_mass[block, :] = 0.0
        for i in range(bounds[block], bounds[block + 1]):
            begin = indptr[i]
            reduced = values[: indptr[i + 1] - begin]
            lanes[:] = math.inf
            for j in range(reduced.size):
                reduced[j] = costs[begin + j] - asked.g[columns[begin + j]]
                lanes[j % LANES] = min(lanes[j % LANES], reduced[j])
            here = columns[begin : indptr[i + 1]]
            finish_row(i, block, reduced, lanes, 0.0, asked, here, scratch, found, value, made)
