"""Assignment of equally many points of one weight: augmenting row reduction, then shortest augmenting paths.

The algorithm is that of [jonker:87]_. What it leaves are column potentials for which the assignment is tight.
"""

from __future__ import annotations

import math

import numpy as np

from .policy import kernel

#: Rounds of augmenting row reduction, and rows it may look at in one, per row.
ROUNDS, MOST_ROWS = 2, 4


@kernel
def reduce_columns(C, v, row_of, column_of):
    """Column minima as potentials; every row takes the last column whose minimum is in it."""
    n = C.shape[0]
    for j in range(n):
        v[j] = math.inf
        row_of[j] = -1
    for i in range(n):
        column_of[i] = -1
        c = C[i]
        for j in range(n):
            v[j] = c[j] if c[j] < v[j] else v[j]
    for i in range(n):
        c = C[i]
        for j in range(n):
            if c[j] == v[j] and row_of[j] < 0 and column_of[i] < 0:
                row_of[j] = i
                column_of[i] = j


@kernel
def two_smallest(c, v):
    """(smallest ``c_j - v_j``, its column, second smallest, its column)."""
    first = math.inf
    second = math.inf
    where = -1
    other = -1
    for j in range(c.size):
        r = c[j] - v[j]
        if r < second:
            if r < first:
                second = first
                other = where
                first = r
                where = j
            else:
                second = r
                other = j
    return first, where, second, other


@kernel
def reduce_rows(C, v, row_of, column_of, free, count):
    """Rows without a column bid for the cheapest one and raise its price; returns how many are left without."""
    most = MOST_ROWS * C.shape[0]
    left = 0
    k = 0
    while k < count:
        i = free[k]
        k += 1
        first, j, second, other = two_smallest(C[i], v)
        owner = row_of[j]
        dearer = False
        if other >= 0:
            price = v[j] - (second - first)
            dearer = price < v[j]
            if dearer:
                v[j] = price
            elif owner >= 0:
                j = other
                owner = row_of[j]
        row_of[j] = i
        column_of[i] = j
        if owner >= 0:
            column_of[owner] = -1
            most -= 1
            if dearer and most > 0:
                k -= 1
                free[k] = owner
            else:
                free[left] = owner
                left += 1
    return left


@kernel
def augment(C, v, row_of, column_of, start, distance, before, done):
    """One shortest path from a row without a column to a column without a row; potentials stay feasible."""
    n = C.shape[0]
    for j in range(n):
        distance[j] = C[start, j] - v[j]
        before[j] = start
        done[j] = math.inf
    reached = 0.0
    last = -1
    while True:
        nearest = math.inf
        j = -1
        for k in range(n):
            if distance[k] < nearest:
                nearest = distance[k]
                j = k
        if j < 0:
            return False
        reached = nearest
        done[j] = nearest
        distance[j] = math.inf
        if row_of[j] < 0:
            last = j
            break
        i = row_of[j]
        offset = nearest - (C[i, j] - v[j])
        c = C[i]
        for k in range(n):
            r = c[k] - v[k] + offset
            closer = r < distance[k] and done[k] == math.inf
            distance[k] = r if closer else distance[k]
            before[k] = i if closer else before[k]
    for j in range(n):
        if done[j] < math.inf:
            v[j] += done[j] - reached
    j = last
    while True:
        i = before[j]
        row_of[j] = i
        following = column_of[i]
        column_of[i] = j
        if i == start:
            return True
        j = following


@kernel
def assign(C, v, column_of):
    """An optimal assignment of a square matrix of finite costs, and its column potentials; whether one was found.

    Parameters
    ----------
    C : (n, n) float64 array
    v : (n,) array
        Overwritten: ``C_ij - v_j`` is smallest in every row where the row is assigned, up to rounding.
    column_of : (n,) int64 array
        Overwritten.
    """
    n = C.shape[0]
    row_of = np.empty(n, np.int64)
    free = np.empty(n, np.int64)
    before = np.empty(n, np.int64)
    distance = np.empty(n)
    done = np.empty(n)
    reduce_columns(C, v, row_of, column_of)
    count = 0
    for i in range(n):
        if column_of[i] < 0:
            free[count] = i
            count += 1
    for _ in range(ROUNDS):
        count = reduce_rows(C, v, row_of, column_of, free, count)
    complete = True
    for k in range(count):
        complete = complete and augment(C, v, row_of, column_of, free[k], distance, before, done)
    return complete
