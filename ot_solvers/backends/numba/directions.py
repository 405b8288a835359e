"""Points onto directions and back: one row per direction, tiles of points that stay in the first-level cache."""

from __future__ import annotations

import numpy as np

from .policy import kernel

__all__ = ["add_outer", "project_rows", "sum_points"]

#: Numbers of a tile of points, and bounds of its width.
TILE, NARROWEST, WIDEST = 1 << 12, 32, 512
#: Coordinates up to which points are read as they lie, and from which on loops run along a point.
FEW, MANY = 4, 24


@kernel
def tile_width(d):
    return min(WIDEST, max(NARROWEST, TILE // d))


@kernel
def open_tile(points, centre, start, stop, tile):
    """``tile`` (d, width) receives the coordinates of the points from `start` on, seen from the centre."""
    for k in range(points.shape[1]):
        middle = centre[k]
        row = tile[k]
        for i in range(start, stop):
            row[i - start] = points[i, k] - middle


@kernel
def project_rows(points, centre, directions, out):
    """``out[r, i]`` = direction r times (point i - centre).

    Parameters
    ----------
    points : (n, d) float32 or float64, C order
    centre : (d,) like `points`
    directions : (l, d) like `points`
    out : (l, n) like `points`
    """
    n, d = points.shape
    count = directions.shape[0]
    if d <= FEW:
        numbers = points.reshape(n * d)
        for r in range(count):
            project_short(numbers, centre, directions[r], out[r])
        return
    if d >= MANY:
        project_long(points, centre, directions, out)
        return
    width = tile_width(d)
    tile = np.empty((d, width), points.dtype)
    for start in range(0, n, width):
        stop = min(n, start + width)
        open_tile(points, centre, start, stop, tile)
        for r in range(0, count - 3, 4):
            # Rows one by one: of a slice in two directions the compiler does not know that rows are contiguous.
            combine_four(
                directions[r : r + 4], tile, out[r, start:stop], out[r + 1, start:stop], out[r + 2, start:stop],
                out[r + 3, start:stop],
            )  # fmt: skip
        for r in range(count - count % 4, count):
            combine(directions[r], tile, 0, stop - start, out[r, start:stop])


@kernel
def project_short(numbers, centre, direction, out):
    """One direction in up to four dimensions, straight from the points: strides that the compiler knows."""
    d = direction.size
    n = out.size
    if d == 1:
        t0, c0 = direction[0], centre[0]
        for i in range(n):
            out[i] = (numbers[i] - c0) * t0
    elif d == 2:
        t0, t1, c0, c1 = direction[0], direction[1], centre[0], centre[1]
        for i in range(n):
            out[i] = (numbers[2 * i] - c0) * t0 + (numbers[2 * i + 1] - c1) * t1
    elif d == 3:
        t0, t1, t2 = direction[0], direction[1], direction[2]
        c0, c1, c2 = centre[0], centre[1], centre[2]
        for i in range(n):
            k = 3 * i
            out[i] = (numbers[k] - c0) * t0 + (numbers[k + 1] - c1) * t1 + (numbers[k + 2] - c2) * t2
    else:
        t0, t1, t2, t3 = direction[0], direction[1], direction[2], direction[3]
        c0, c1, c2, c3 = centre[0], centre[1], centre[2], centre[3]
        for i in range(n):
            k = 4 * i
            out[i] = ((numbers[k] - c0) * t0 + (numbers[k + 1] - c1) * t1) + (
                (numbers[k + 2] - c2) * t2 + (numbers[k + 3] - c3) * t3
            )


@kernel
def project_long(points, centre, directions, out):
    """`project_rows` of points with many coordinates: scalar products, two points by four directions at a time."""
    n, d = points.shape
    last = directions.shape[0] - 1
    near = np.zeros((NARROWEST, d), points.dtype)
    for start in range(0, n, NARROWEST):
        stop = min(n, start + NARROWEST)
        for i in range(start, stop):
            point, to = points[i], near[i - start]
            for k in range(d):
                to[k] = point[k] - centre[k]
        for r in range(0, last + 1, 4):
            # The last ones again where there are fewer.
            r1, r2, r3 = min(r + 1, last), min(r + 2, last), min(r + 3, last)
            p, q, s, t = directions[r], directions[r1], directions[r2], directions[r3]
            for i in range(0, stop - start, 2):
                x, y = near[i], near[i + 1]
                p_x = q_x = s_x = t_x = p_y = q_y = s_y = t_y = points.dtype.type(0)
                for k in range(d):
                    p_x += p[k] * x[k]
                    q_x += q[k] * x[k]
                    s_x += s[k] * x[k]
                    t_x += t[k] * x[k]
                    p_y += p[k] * y[k]
                    q_y += q[k] * y[k]
                    s_y += s[k] * y[k]
                    t_y += t[k] * y[k]
                first, second = start + i, min(start + i + 1, stop - 1)
                if second == first:
                    p_y, q_y, s_y, t_y = p_x, q_x, s_x, t_x
                out[r, first], out[r1, first], out[r2, first], out[r3, first] = p_x, q_x, s_x, t_x
                out[r, second], out[r1, second], out[r2, second], out[r3, second] = p_y, q_y, s_y, t_y


@kernel
def combine_four(weights, tile, first, second, third, fourth):
    """``weights @ tile`` for four rows of weights: what is read of the tile is used four times."""
    d = weights.shape[1]
    if d % 2 == 1:
        p0, q0, r0, s0 = weights[0, 0], weights[1, 0], weights[2, 0], weights[3, 0]
        row = tile[0]
        for t in range(first.size):
            z = row[t]
            first[t] = p0 * z
            second[t] = q0 * z
            third[t] = r0 * z
            fourth[t] = s0 * z
    else:
        first[:] = 0
        second[:] = 0
        third[:] = 0
        fourth[:] = 0
    for k in range(d % 2, d, 2):
        p0, q0, r0, s0 = weights[0, k], weights[1, k], weights[2, k], weights[3, k]
        p1, q1, r1, s1 = weights[0, k + 1], weights[1, k + 1], weights[2, k + 1], weights[3, k + 1]
        row, next_row = tile[k], tile[k + 1]
        for t in range(first.size):
            z, w = row[t], next_row[t]
            first[t] += p0 * z + p1 * w
            second[t] += q0 * z + q1 * w
            third[t] += r0 * z + r1 * w
            fourth[t] += s0 * z + s1 * w


@kernel
def combine(weights, rows, start, stop, out):
    """``out = weights @ rows[:, start:stop]``, four rows at a time; rows in C order."""
    d = weights.size
    head = d % 4
    if head == 0:
        out[:] = 0
    else:
        w0 = weights[0]
        row = rows[0, start:stop]
        for t in range(out.size):
            out[t] = w0 * row[t]
        for k in range(1, head):
            w0 = weights[k]
            row = rows[k, start:stop]
            for t in range(out.size):
                out[t] += w0 * row[t]
    for k in range(head, d, 4):
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        row0, row1 = rows[k, start:stop], rows[k + 1, start:stop]
        row2, row3 = rows[k + 2, start:stop], rows[k + 3, start:stop]
        for t in range(out.size):
            out[t] += (w0 * row0[t] + w1 * row1[t]) + (w2 * row2[t] + w3 * row3[t])


@kernel
def add_outer(slopes, directions, first, last, out):
    """``out[i]`` += sum over r of ``slopes[r, i]`` times direction r, for points first to last.

    Parameters
    ----------
    slopes : (l, n) float32 or float64
    directions : (l, d) like `slopes`
    first, last : int
    out : (n, d) float64
    """
    d = out.shape[1]
    if d >= MANY:
        add_long(slopes, directions, first, last, out)
        return
    width = tile_width(d)
    columns = np.ascontiguousarray(directions.T)
    tile = np.empty((d, width), slopes.dtype)
    for start in range(first, last, width):
        stop = min(last, start + width)
        for k in range(d):
            combine(columns[k], slopes, start, stop, tile[k, : stop - start])
        add_tile(tile, out[start:stop])


@kernel
def add_tile(tile, out):
    """``out`` (w, d) += the first w columns of ``tile`` (d, width), transposed."""
    n, d = out.shape
    numbers = out.reshape(n * d)
    if d == 1:
        row0 = tile[0]
        for i in range(n):
            numbers[i] += row0[i]
    elif d == 2:
        row0, row1 = tile[0], tile[1]
        for i in range(n):
            numbers[2 * i] += row0[i]
            numbers[2 * i + 1] += row1[i]
    elif d == 3:
        row0, row1, row2 = tile[0], tile[1], tile[2]
        for i in range(n):
            numbers[3 * i] += row0[i]
            numbers[3 * i + 1] += row1[i]
            numbers[3 * i + 2] += row2[i]
    else:
        for k in range(d):
            row0 = tile[k]
            for i in range(n):
                out[i, k] += row0[i]


@kernel
def add_long(slopes, directions, first, last, out):
    """`add_outer` for many coordinates: along each point of a tile, four directions at a time."""
    d = out.shape[1]
    count = slopes.shape[0]
    near = np.empty((NARROWEST, d), slopes.dtype)
    for start in range(first, last, NARROWEST):
        stop = min(last, start + NARROWEST)
        near[:] = 0
        for r in range(0, count - 3, 4):
            p, q, s, t = directions[r], directions[r + 1], directions[r + 2], directions[r + 3]
            s0, s1 = slopes[r, start:stop], slopes[r + 1, start:stop]
            s2, s3 = slopes[r + 2, start:stop], slopes[r + 3, start:stop]
            for i in range(stop - start):
                a0, a1, a2, a3 = s0[i], s1[i], s2[i], s3[i]
                total = near[i]
                for k in range(d):
                    total[k] += (a0 * p[k] + a1 * q[k]) + (a2 * s[k] + a3 * t[k])
        for r in range(count - count % 4, count):
            p, s0 = directions[r], slopes[r, start:stop]
            for i in range(stop - start):
                a0, total = s0[i], near[i]
                for k in range(d):
                    total[k] += a0 * p[k]
        for i in range(start, stop):
            point, total = out[i], near[i - start]
            for k in range(d):
                point[k] += total[k]


@kernel
def sum_points(slopes, points, centre, out):
    """``out[r]`` += sum over i of ``slopes[r, i]`` times (point i - centre); (l, d) float64."""
    n, d = points.shape
    width = tile_width(d)
    tile = np.empty((d, width), points.dtype)
    for start in range(0, n, width):
        stop = min(n, start + width)
        open_tile(points, centre, start, stop, tile)
        for r in range(slopes.shape[0]):
            s = slopes[r, start:stop]
            for k in range(d):
                total = 0.0
                for t in range(stop - start):
                    total += s[t] * tile[k, t]
                out[r, k] += total
