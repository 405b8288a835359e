"""Transport on lines from sorted rows: costs, slopes and potentials, one row per line.

With as many points on both sides and uniform weights, the k-th meets the k-th. Otherwise cumulative masses are
merged: the monotone plan is a path of n + m - 1 pairs, at most, each next to the one before.
"""

from __future__ import annotations

import numpy as np

from ... import costs
from .policy import kernel
from .rows import CloudRows  # noqa: F401  (registers the kernels of `costs.power`)

__all__ = [
    "cumulate",
    "lifted_costs",
    "matched_costs",
    "matched_slopes",
    "merged_costs",
    "merged_potentials",
    "merged_slopes",
]


@kernel
def height(z, p):
    """``|z|**p``."""
    if p == 2.0:
        return z * z
    if p == 1.0:
        return abs(z)
    return costs.power(abs(z), p)


@kernel
def power_slope(z, p):
    """Derivative of ``|z|**p``; 0 at 0."""
    return low_slope(z, False) * p * costs.power(abs(z), p - 1.0)


@kernel
def matched_costs(u, v, shift, p, mass, out):
    """``out[r]`` = mass / n times the sum of ``|u[r, i] - v[r, i] + shift[r]|**p``, of sorted rows (l, n).

    Sums are made in float64 whatever the rows are.
    """
    n = u.shape[1]
    for r in range(u.shape[0]):
        first, second, s = u[r], v[r], shift[r]
        total = 0.0
        if p == 2.0:
            for i in range(n):
                z = np.float64(first[i]) - np.float64(second[i]) + s
                total += z * z
        elif p == 1.0:
            for i in range(n):
                total += abs(np.float64(first[i]) - np.float64(second[i]) + s)
        else:
            for i in range(n):
                total += costs.power(abs(np.float64(first[i]) - np.float64(second[i]) + s), p)
        out[r] = total / n * mass


@kernel
def cumulate(weights, order, out):
    """Cumulative masses of sorted rows, (l, n) float64; the last ones are infinite: nobody goes on from there.

    `weights` is (l, n), or (1, n) for all rows.
    """
    n = order.shape[1]
    for r in range(order.shape[0]):
        w = weights[min(r, weights.shape[0] - 1)]
        total = 0.0
        for i in range(n):
            total += w[order[r, i]]
            out[r, i] = total
        out[r, n - 1] = np.inf


@kernel
def place_on_path(A, B, k):
    """How many of the first k steps of the path go along the first side: a step goes there while ``A_i < B_j``."""
    low, high = max(0, k - (B.size - 1)), min(k, A.size - 1)
    while low < high:
        middle = (low + high) // 2
        if A[middle] < B[k - middle - 1]:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def mass_before(A, B, i, j):
    """Mass that has gone when the path comes to the pair (i, j)."""
    return max(A[i - 1] if i > 0 else 0.0, B[j - 1] if j > 0 else 0.0)


@kernel
def low_height(z, square):
    """``z**2`` or ``|z|``: a choice between numbers, where the one among `height` would be a jump."""
    return z * z if square else abs(z)


@kernel
def low_slope(z, square):
    sign = 1.0 if z > 0.0 else (-1.0 if z < 0.0 else 0.0)
    return 2.0 * z if square else sign


@kernel
def step(first, second, A, B, s, square, whole, i, j, reached, total):
    """One pair of the path."""
    z = np.float64(first[i]) - np.float64(second[j]) + s
    end = min(min(A[i], B[j]), whole)
    total += (end - reached) * low_height(z, square)
    down = int(A[i] < B[j])
    return i + down, j + 1 - down, end, total


@kernel
def walk(first, second, A, B, s, square, whole):
    """Cost of one path for p = 1 and 2. Each step waits for the one before: four parts go at the same time."""
    steps = first.size + second.size - 1
    part = steps // 4
    i0 = j0 = 0
    i1, i2, i3 = place_on_path(A, B, part), place_on_path(A, B, 2 * part), place_on_path(A, B, 3 * part)
    j1, j2, j3 = part - i1, 2 * part - i2, 3 * part - i3
    e0 = 0.0
    e1, e2, e3 = mass_before(A, B, i1, j1), mass_before(A, B, i2, j2), mass_before(A, B, i3, j3)
    t0 = t1 = t2 = t3 = 0.0
    for _ in range(part):
        i0, j0, e0, t0 = step(first, second, A, B, s, square, whole, i0, j0, e0, t0)
        i1, j1, e1, t1 = step(first, second, A, B, s, square, whole, i1, j1, e1, t1)
        i2, j2, e2, t2 = step(first, second, A, B, s, square, whole, i2, j2, e2, t2)
        i3, j3, e3, t3 = step(first, second, A, B, s, square, whole, i3, j3, e3, t3)
    for _ in range(steps - 4 * part):
        i3, j3, e3, t3 = step(first, second, A, B, s, square, whole, i3, j3, e3, t3)
    return (t0 + t1) + (t2 + t3)


@kernel
def walk_powers(first, second, A, B, s, p, whole):
    """Cost of one path for any p."""
    i = 0
    j = 0
    reached = 0.0
    total = 0.0
    for _ in range(first.size + second.size - 1):
        z = np.float64(first[i]) - np.float64(second[j]) + s
        end = min(min(A[i], B[j]), whole)
        total += (end - reached) * costs.power(abs(z), p)
        reached = end
        down = int(A[i] < B[j])
        i += down
        j += 1 - down
    return total


@kernel
def merged_costs(u, v, reached_u, reached_v, wholes, shift, p, out):
    """Costs of monotone plans between sorted rows.

    Parameters
    ----------
    u, v : (l, n), (l, m) float32 or float64
    reached_u, reached_v : (l, n) or (1, n), (l, m) or (1, m) float64
        Cumulative masses, the last ones infinite.
    wholes : (l,) or (1,) float64
        Total masses.
    shift : (l,) float64
        Added to u.
    p : float64
    out : (l,) float64
    """
    for r in range(u.shape[0]):
        A = reached_u[min(r, reached_u.shape[0] - 1)]
        B = reached_v[min(r, reached_v.shape[0] - 1)]
        whole = wholes[min(r, wholes.size - 1)]
        if p == 1.0 or p == 2.0:
            out[r] = walk(u[r], v[r], A, B, shift[r], p == 2.0, whole)
        else:
            out[r] = walk_powers(u[r], v[r], A, B, shift[r], p, whole)


@kernel
def matched_slopes(u, v, order_u, order_v, shift, p, mass, scale, du, dv, out):
    """`matched_costs`, and derivatives by the points, in the order they stood.

    Parameters
    ----------
    u, v : (l, n) sorted rows
        Those of u are overwritten.
    order_u, order_v : (l, n) int32
    shift, scale : (l,) float64
        What is added to u, and what derivatives are multiplied by.
    p, mass : float64
    du, dv : (l, n) like u, or (l, 0) where they are not asked for; then so is the order
    out : (l,) float64
    """
    n = u.shape[1]
    each = mass / n
    for r in range(u.shape[0]):
        first, second, s = u[r], v[r], shift[r]
        places, partners = order_u[r], order_v[r]
        by_u, by_v = du[r], dv[r]
        factor = each * scale[r]
        total = 0.0
        # Slopes take the place of the points: what is computed in order is vectorised, what is scattered is not.
        if p == 2.0:
            for i in range(n):
                z = np.float64(first[i]) - np.float64(second[i]) + s
                total += z * z
                first[i] = 2.0 * factor * z
        elif p == 1.0:
            for i in range(n):
                z = np.float64(first[i]) - np.float64(second[i]) + s
                total += abs(z)
                first[i] = factor * low_slope(z, False)
        else:
            for i in range(n):
                z = np.float64(first[i]) - np.float64(second[i]) + s
                total += costs.power(abs(z), p)
                first[i] = factor * power_slope(z, p)
        if by_u.size:
            for i in range(n):
                by_u[places[i]] = first[i]
        if by_v.size:
            for i in range(n):
                by_v[partners[i]] = -first[i]
        out[r] = total * each


@kernel
def merged_slopes(u, v, order_u, order_v, reached_u, reached_v, wholes, shift, p, scale, du, dv, out):
    """`merged_costs`, and derivatives by the points; see `matched_slopes`."""
    low, square = p == 1.0 or p == 2.0, p == 2.0
    for r in range(u.shape[0]):
        A = reached_u[min(r, reached_u.shape[0] - 1)]
        B = reached_v[min(r, reached_v.shape[0] - 1)]
        whole = wholes[min(r, wholes.size - 1)]
        du[r] = 0
        dv[r] = 0
        path = u[r], v[r], A, B, shift[r], whole, scale[r]
        if low:
            out[r] = low_slopes(path, square, order_u[r], order_v[r], du[r], dv[r])
        else:
            out[r] = power_slopes(path, p, order_u[r], order_v[r], du[r], dv[r])


@kernel
def low_slopes(path, square, places, partners, by_u, by_v):
    """Cost and derivatives of one path for p = 1 and 2."""
    first, second, A, B, s, whole, scale = path
    i = 0
    j = 0
    reached = 0.0
    total = 0.0
    for _ in range(first.size + second.size - 1):
        z = np.float64(first[i]) - np.float64(second[j]) + s
        end = min(min(A[i], B[j]), whole)
        moved = end - reached
        total += moved * low_height(z, square)
        rise = moved * scale * low_slope(z, square)
        if by_u.size:
            by_u[places[i]] += rise
        if by_v.size:
            by_v[partners[j]] -= rise
        reached = end
        down = int(A[i] < B[j])
        i += down
        j += 1 - down
    return total


@kernel
def power_slopes(path, p, places, partners, by_u, by_v):
    """Cost and derivatives of one path for any p."""
    first, second, A, B, s, whole, scale = path
    i = 0
    j = 0
    reached = 0.0
    total = 0.0
    for _ in range(first.size + second.size - 1):
        z = np.float64(first[i]) - np.float64(second[j]) + s
        end = min(min(A[i], B[j]), whole)
        moved = end - reached
        total += moved * costs.power(abs(z), p)
        rise = moved * scale * power_slope(z, p)
        if by_u.size:
            by_u[places[i]] += rise
        if by_v.size:
            by_v[partners[j]] -= rise
        reached = end
        down = int(A[i] < B[j])
        i += down
        j += 1 - down
    return total


@kernel
def merged_potentials(u, v, order_u, order_v, reached_u, reached_v, shift, p, f, g):
    """Kantorovich potentials of sorted rows, in the order the points stood; (l, n), (l, m) float64.

    Tight along the path. Where both sides have got rid of the same mass the plan falls apart and potentials are
    not unique: the mean of the two extremes is taken.
    """
    n, m = u.shape[1], v.shape[1]
    for r in range(u.shape[0]):
        first, second, s = u[r], v[r], shift[r]
        A = reached_u[min(r, reached_u.shape[0] - 1)]
        B = reached_v[min(r, reached_v.shape[0] - 1)]
        places, partners = order_u[r], order_v[r]
        i = 0
        j = 0
        here = height(np.float64(first[0]) - np.float64(second[0]) + s, p)
        by_u = 0.0
        by_v = here
        f[r, places[0]] = by_u
        g[r, partners[0]] = by_v
        while i < n - 1 or j < m - 1:
            x = np.float64(first[min(i + 1, n - 1)]) + s
            y = np.float64(second[min(j + 1, m - 1)])
            below = height(x - np.float64(second[j]), p)
            beside = height(np.float64(first[i]) + s - y, p)
            beyond = height(x - y, p)
            if i < n - 1 and j < m - 1 and A[i] == B[j]:
                by_u += 0.5 * ((below - here) + (beyond - beside))
                by_v += 0.5 * ((beside - here) + (beyond - below))
                here = beyond
                i += 1
                j += 1
                f[r, places[i]] = by_u
                g[r, partners[j]] = by_v
            elif j == m - 1 or (i < n - 1 and A[i] < B[j]):
                by_u += below - here
                here = below
                i += 1
                f[r, places[i]] = by_u
            else:
                by_v += beside - here
                here = beside
                j += 1
                g[r, partners[j]] = by_v


@kernel
def lifted_costs(x, y, order_x, order_y, reached_x, reached_y, wholes, p, out):
    """``sum of mass |x_i - y_j|**p`` over the pairs of the monotone plan of each row; (l,) float64.

    Parameters
    ----------
    x, y : (n, d), (m, d) float32 or float64
    order_x, order_y : (l, n), (l, m) int32
    reached_x, reached_y : (l, n) or (1, n), (l, m) or (1, m) float64
    wholes : (l,) or (1,) float64
    p : float64
    out : (l,) float64
    """
    n, m, d = x.shape[0], y.shape[0], x.shape[1]
    for r in range(order_x.shape[0]):
        A = reached_x[min(r, reached_x.shape[0] - 1)]
        B = reached_y[min(r, reached_y.shape[0] - 1)]
        whole = wholes[min(r, wholes.size - 1)]
        i = 0
        j = 0
        reached = 0.0
        total = 0.0
        for _ in range(n + m - 1):
            end = min(min(A[i], B[j]), whole)
            moved = end - reached
            if moved > 0.0:
                first, second = x[order_x[r, i]], y[order_y[r, j]]
                square = 0.0
                for k in range(d):
                    z = np.float64(first[k]) - np.float64(second[k])
                    square += z * z
                total += moved * (square if p == 2.0 else costs.power(square, 0.5 * p))
                reached = end
            down = int(A[i] < B[j])
            i += down
            j += 1 - down
        out[r] = total
