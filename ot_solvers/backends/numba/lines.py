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
def slope(z, p):
    """Derivative of ``|z|**p``; 0 at 0."""
    if p == 2.0:
        return 2.0 * z
    sign = 1.0 if z > 0.0 else (-1.0 if z < 0.0 else 0.0)
    if p == 1.0:
        return sign
    return sign * p * costs.power(abs(z), p - 1.0)


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
    """Cumulative masses of sorted rows, (l, n) float64: none above the last, which is the sum of the weights.

    `weights` is (l, n), or (1, n) for all rows.
    """
    n = order.shape[1]
    for r in range(order.shape[0]):
        w = weights[min(r, weights.shape[0] - 1)]
        whole = 0.0
        for i in range(n):
            whole += w[i]
        total = 0.0
        for i in range(n):
            total += w[order[r, i]]
            out[r, i] = min(total, whole)
        out[r, n - 1] = whole


@kernel
def merged_costs(u, v, reached_u, reached_v, shift, p, out):
    """Costs of monotone plans between sorted rows.

    Parameters
    ----------
    u, v : (l, n), (l, m) float32 or float64
    reached_u, reached_v : (l, n) or (1, n), (l, m) or (1, m) float64
        Cumulative masses, with equal last ones.
    shift : (l,) float64
        Added to u.
    p : float64
    out : (l,) float64
    """
    n, m = u.shape[1], v.shape[1]
    for r in range(u.shape[0]):
        first, second, s = u[r], v[r], shift[r]
        A = reached_u[min(r, reached_u.shape[0] - 1)]
        B = reached_v[min(r, reached_v.shape[0] - 1)]
        i = 0
        j = 0
        reached = 0.0
        total = 0.0
        # One step a pair, and no jump that a processor would have to guess.
        for _ in range(n + m - 1):
            z = np.float64(first[i]) - np.float64(second[j]) + s
            end = min(A[i], B[j])
            total += (end - reached) * height(z, p)
            reached = end
            down = int((A[i] < B[j]) | (j == m - 1))
            i += down
            j += 1 - down
            i = min(i, n - 1)
        out[r] = total


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
        else:
            for i in range(n):
                z = np.float64(first[i]) - np.float64(second[i]) + s
                total += height(z, p)
                first[i] = factor * slope(z, p)
        if by_u.size:
            for i in range(n):
                by_u[places[i]] = first[i]
        if by_v.size:
            for i in range(n):
                by_v[partners[i]] = -first[i]
        out[r] = total * each


@kernel
def merged_slopes(u, v, order_u, order_v, reached_u, reached_v, shift, p, scale, du, dv, out):
    """`merged_costs`, and derivatives by the points; see `matched_slopes`."""
    n, m = u.shape[1], v.shape[1]
    by_u, by_v = du.shape[1] > 0, dv.shape[1] > 0
    for r in range(u.shape[0]):
        first, second, s = u[r], v[r], shift[r]
        A = reached_u[min(r, reached_u.shape[0] - 1)]
        B = reached_v[min(r, reached_v.shape[0] - 1)]
        du[r] = 0
        dv[r] = 0
        i = 0
        j = 0
        reached = 0.0
        total = 0.0
        for _ in range(n + m - 1):
            z = np.float64(first[i]) - np.float64(second[j]) + s
            end = min(A[i], B[j])
            moved = end - reached
            total += moved * height(z, p)
            rise = moved * scale[r] * slope(z, p)
            if by_u:
                du[r, order_u[r, i]] += rise
            if by_v:
                dv[r, order_v[r, j]] -= rise
            reached = end
            down = int((A[i] < B[j]) | (j == m - 1))
            i += down
            j += 1 - down
            i = min(i, n - 1)
        out[r] = total


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
def lifted_costs(x, y, order_x, order_y, reached_x, reached_y, p, out):
    """``sum of mass |x_i - y_j|**p`` over the pairs of the monotone plan of each row; (l,) float64.

    Parameters
    ----------
    x, y : (n, d), (m, d) float32 or float64
    order_x, order_y : (l, n), (l, m) int32
    reached_x, reached_y : (l, n) or (1, n), (l, m) or (1, m) float64
    p : float64
    out : (l,) float64
    """
    n, m, d = x.shape[0], y.shape[0], x.shape[1]
    for r in range(order_x.shape[0]):
        A = reached_x[min(r, reached_x.shape[0] - 1)]
        B = reached_y[min(r, reached_y.shape[0] - 1)]
        i = 0
        j = 0
        reached = 0.0
        total = 0.0
        for _ in range(n + m - 1):
            end = min(A[i], B[j])
            moved = end - reached
            if moved > 0.0:
                first, second = x[order_x[r, i]], y[order_y[r, j]]
                square = 0.0
                for k in range(d):
                    z = np.float64(first[k]) - np.float64(second[k])
                    square += z * z
                total += moved * (square if p == 2.0 else costs.power(square, 0.5 * p))
                reached = end
            down = int((A[i] < B[j]) | (j == m - 1))
            i += down
            j += 1 - down
            i = min(i, n - 1)
        out[r] = total
