"""Assignments of least cost by shortest augmenting paths, many square problems side by side.

The scheme of [jonker:87]_: potentials of the columns from their minima, which already place most rows; two rounds
in which rows that were left out bid for columns; and a shortest path for each row that is still without one.
Where potentials are known roughly, an auction [bertsekas:88]_ of a few bids per row makes most of the paths short.
"""

from __future__ import annotations

import math

import numpy as np

from .policy import kernel

#: Parts of a row whose minima are taken side by side.
LANES = 32
#: Bids per row and round, at most, before the rest is left to shortest paths. A few are best where points have
#: many coordinates (512 points, 784 coordinates); in the plane their number does not matter.
BIDS = 4
#: Least raises of the auctions that start from known potentials, in mean reduced costs: how far potentials of
#: other samples of the same size are off, and less. A third one, of 0.003, takes as long as it saves.
RAISES = (0.03, 0.008)
#: Bids of each of them, per row, at most.
AUCTION_BIDS = 4
#: Potentials that are more than this many times the mean cost are no start: costs would lose digits to them.
WIDE = 100.0


@kernel
def place_of_minimum(values, lanes):
    """Place of the smallest value; `lanes` holds the minima of its parts."""
    least = lanes[0]
    place = 0
    for k in range(1, lanes.size):
        if lanes[k] < least:
            least = lanes[k]
            place = k
    while place < values.size and values[place] != least:
        place += LANES
    return place


@kernel
def next_minimum(values, lanes, place):
    """The smallest value at any other place than that of the minimum."""
    second = math.inf
    lane = place % LANES
    for k in range(lanes.size):
        if k != lane:
            second = min(second, lanes[k])
    for j in range(lane, values.size, LANES):
        if j != place:
            second = min(second, values[j])
    return second


@kernel
def reduced_row(costs, v, values, lanes):
    """``c_j - v_j``, and the minima of its parts."""
    n = v.size
    lanes[:] = math.inf
    full = n - n % LANES
    for start in range(0, full, LANES):
        c = costs[start : start + LANES]
        h = v[start : start + LANES]
        out = values[start : start + LANES]
        for k in range(LANES):
            r = c[k] - h[k]
            out[k] = r
            lanes[k] = r if r < lanes[k] else lanes[k]
    for j in range(full, n):
        values[j] = costs[j] - v[j]
        lanes[j - full] = min(lanes[j - full], values[j])


@kernel
def first_places(costs, v, column_of, row_of, seen):
    """Columns at their minima: each takes the row that has it, unless another column did."""
    n = v.size
    v[:] = math.inf
    cheapest = np.zeros(n, np.int32)
    for i in range(n):
        c = costs[i]
        for j in range(n):
            less = c[j] < v[j]
            v[j] = c[j] if less else v[j]
            cheapest[j] = i if less else cheapest[j]
    column_of[:] = -1
    row_of[:] = -1
    seen[:] = 0
    for j in range(n):
        i = cheapest[j]
        seen[i] += 1
        if column_of[i] < 0:
            column_of[i] = j
            row_of[j] = i


@kernel
def bids(costs, v, column_of, row_of, waiting, count, values, lanes):
    """Rows that wait take the column they like best, and lower its potential to where they like the next one.

    Returns how many still wait: those that were put out by a tie, or when there have been too many bids.
    """
    n = v.size
    left = BIDS * n
    later = 0
    at = 0
    while at < count:
        i = waiting[at]
        at += 1
        reduced_row(costs[i], v, values, lanes)
        j = place_of_minimum(values, lanes)
        best, second = values[j], next_minimum(values, lanes, j)
        lowered = v[j] - (second - best)
        wins = lowered < v[j] and second < math.inf
        put_out = row_of[j]
        if wins:
            v[j] = lowered
        elif put_out >= 0:
            # A tie: the place is taken, and the row goes to the paths.
            waiting[later] = i
            later += 1
            continue
        row_of[j] = i
        column_of[i] = j
        if put_out >= 0:
            column_of[put_out] = -1
            left -= 1
            if left > 0:
                at -= 1
                waiting[at] = put_out
            else:
                waiting[later] = put_out
                later += 1
    return later


@kernel
def shortest_path(costs, v, column_of, row_of, start, distance, closed, values, lanes, came, order):
    """Place one more row along the shortest path to a free column; potentials are then tight along it."""
    n = v.size
    closed[:] = 0.0
    distance[:] = math.inf
    scanned = 0
    i = start
    offset = 0.0
    while True:
        c = costs[i]
        lanes[:] = math.inf
        full = n - n % LANES
        for first in range(0, full, LANES):
            for k in range(LANES):
                j = first + k
                r = c[j] - v[j] + offset + closed[j]
                less = r < distance[j]
                d = r if less else distance[j]
                distance[j] = d
                came[j] = i if less else came[j]
                h = d + closed[j]
                values[j] = h
                lanes[k] = h if h < lanes[k] else lanes[k]
        for j in range(full, n):
            r = c[j] - v[j] + offset + closed[j]
            if r < distance[j]:
                distance[j] = r
                came[j] = i
            values[j] = distance[j] + closed[j]
            lanes[j - full] = min(lanes[j - full], values[j])
        j = place_of_minimum(values, lanes)
        length = values[j]
        if row_of[j] < 0:
            break
        closed[j] = math.inf
        order[scanned] = j
        scanned += 1
        i = row_of[j]
        offset = length - (costs[i, j] - v[j])
    for k in range(scanned):
        v[order[k]] += distance[order[k]] - length
    while True:
        i = came[j]
        row_of[j] = i
        j, column_of[i] = column_of[i], j
        if i == start:
            return


@kernel
def assign(C, v, column_of):
    """An optimal assignment between n rows and the first n columns, and column potentials that prove it.

    Parameters
    ----------
    C : (n, n) array, or wider
        Finite in the first n columns.
    v : (n,) array
        Overwritten: ``C_ij - v_j`` is smallest in every row where the row is assigned, up to rounding.
    column_of : (n,) integer array
        Overwritten.
    """
    n = v.size
    values = np.empty(n)
    lanes = np.empty(LANES)
    distance = np.empty(n)
    closed = np.empty(n)
    came = np.empty(n, np.int32)
    order = np.empty(n, np.int32)
    row_of = np.empty(n, np.int32)
    seen = np.empty(n, np.int32)
    waiting = np.empty(n, np.int32)
    first_places(C, v, column_of, row_of, seen)
    # A row that has one minimum only can let it go to where its second choice is.
    count = 0
    for i in range(n):
        j = column_of[i]
        if j < 0:
            waiting[count] = i
            count += 1
        elif seen[i] == 1 and n > 1:
            reduced_row(C[i], v, values, lanes)
            values[j] = math.inf
            lanes[:] = math.inf
            for k in range(n):
                lanes[k % LANES] = min(lanes[k % LANES], values[k])
            v[j] -= lanes.min()
    for _ in range(2):
        if count:
            count = bids(C, v, column_of, row_of, waiting, count, values, lanes)
    for k in range(count):
        shortest_path(C, v, column_of, row_of, waiting[k], distance, closed, values, lanes, came, order)


@kernel
def raised_columns(C, v, values, lanes, highest):
    """Raise column potentials until each column is tight in some row; returns the mean reduced cost.

    Errors of single columns vanish: a potential that is far too large holds back all others, one that is too small
    nobody else.
    """
    n = v.size
    highest[:] = math.inf
    total = 0.0
    for i in range(n):
        c = C[i]
        reduced_row(c, v, values, lanes)
        level = lanes.min()
        for j in range(n):
            total += values[j] - level
            r = c[j] - level
            highest[j] = r if r < highest[j] else highest[j]
    v[:] = highest
    return total / (n * n)


@kernel
def auction(C, v, column_of, row_of, queue, values, lanes, least):
    """Rows bid in turns; a bid lowers the potential of the column by what it is better than the next, and `least`.

    Only potentials are kept: paths find better places for the rows.
    """
    n = v.size
    column_of[:] = -1
    row_of[:] = -1
    for i in range(n):
        queue[i] = i
    head = 0
    size = n
    left = AUCTION_BIDS * n
    while size > 0 and left > 0:
        i = queue[head]
        head = head + 1 if head + 1 < n else 0
        size -= 1
        left -= 1
        reduced_row(C[i], v, values, lanes)
        j = place_of_minimum(values, lanes)
        v[j] -= next_minimum(values, lanes, j) - values[j] + least
        put_out = row_of[j]
        row_of[j] = i
        column_of[i] = j
        if put_out >= 0:
            column_of[put_out] = -1
            end = head + size
            queue[end if end < n else end - n] = put_out
            size += 1


@kernel
def is_start(C, v):
    """Whether column potentials tell something: not all 0, and of the size of the costs."""
    n = v.size
    some = False
    for j in range(n):
        some = some or v[j] != 0.0
    if not some or n < 2:
        return False
    total = 0.0
    for i in range(n):
        for j in range(n):
            total += abs(C[i, j])
    near = 0
    for j in range(n):
        near += 1 if abs(v[j]) <= WIDE * total / (n * n) else 0
    return near == n


@kernel
def assign_from(C, v, column_of):
    """`assign`, starting from column potentials v that are roughly right; see `is_start`.

    Any potentials do, as far as the result is concerned: they tell how far there is to go.
    """
    n = v.size
    values = np.empty(n)
    lanes = np.empty(LANES)
    distance = np.empty(n)
    closed = np.empty(n)
    came = np.empty(n, np.int32)
    order = np.empty(n, np.int32)
    row_of = np.empty(n, np.int32)
    waiting = np.empty(n, np.int32)
    scale = raised_columns(C, v, values, lanes, distance)
    for share in RAISES:
        auction(C, v, column_of, row_of, waiting, values, lanes, share * scale)
    column_of[:] = -1
    row_of[:] = -1
    count = 0
    for i in range(n):
        reduced_row(C[i], v, values, lanes)
        j = place_of_minimum(values, lanes)
        if row_of[j] < 0:
            row_of[j] = i
            column_of[i] = j
            v[j] -= next_minimum(values, lanes, j) - values[j]
        else:
            waiting[count] = i
            count += 1
    for k in range(count):
        shortest_path(C, v, column_of, row_of, waiting[k], distance, closed, values, lanes, came, order)


@kernel
def assign_problems(costs, begin, end, columns, potentials):
    """`assign` for problems ``begin:end`` of costs (B, n, n)."""
    for problem in range(begin, end):
        assign(costs[problem], potentials[problem], columns[problem])
