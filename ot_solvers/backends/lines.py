"""Transport on lines in plain array arithmetic: the mathematics in code.

Rows are lines. Cumulative masses of both sides, merged, cut the unit of mass into pieces; each piece moves
between two quantiles. Potentials are what is tight along these pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = [
    "LinePlans",
    "LineSlopes",
    "ProjectedSlopes",
    "lifted_costs",
    "line_plans",
    "line_slopes",
    "line_wasserstein",
    "projected_slopes",
    "projected_wasserstein",
]


class LineSlopes(NamedTuple):
    """Costs of lines and their derivatives."""

    values: np.ndarray  # (L,)
    u: np.ndarray  # (L, n)
    v: np.ndarray  # (L, m)
    f: np.ndarray  # (L, n) Kantorovich potentials, derivatives by the weights; equal means of both sides
    g: np.ndarray  # (L, m)


class LinePlans(NamedTuple):
    """Monotone plans: who stands where, and the mass up to there."""

    order_u: np.ndarray  # (L, n) int
    order_v: np.ndarray  # (L, m) int
    reached_u: np.ndarray  # (L, n), ascending
    reached_v: np.ndarray  # (L, m)


class ProjectedSlopes(NamedTuple):
    """Costs along directions, and derivatives of a weighted sum of them."""

    values: np.ndarray  # (L,)
    x: np.ndarray | None  # (n, d)
    y: np.ndarray | None  # (m, d)
    a: np.ndarray | None  # (n,)
    b: np.ndarray | None  # (m,)
    directions: np.ndarray | None  # (L, d)


class _Path(NamedTuple):
    """Pairs of one line, from below, and their masses."""

    rows: np.ndarray
    columns: np.ndarray
    masses: np.ndarray
    ties: np.ndarray  # bool: the pair beyond comes next, both neighbours in between are as good


def _path(u, v, a, b) -> _Path:
    first, second = np.argsort(u, kind="stable"), np.argsort(v, kind="stable")
    total = a.sum()
    A, B = (_reached(w[order], total) for w, order in ((a, first), (b, second)))
    rows, columns, masses, ties = [], [], [], []
    i = j = 0
    reached = 0.0
    while True:
        end = min(A[i], B[j])
        tie = bool(A[i] == B[j]) and i < u.size - 1 and j < v.size - 1
        rows.append(first[i])
        columns.append(second[j])
        masses.append(end - reached)
        ties.append(tie)
        reached = end
        if i == u.size - 1 and j == v.size - 1:
            return _Path(np.array(rows), np.array(columns), np.array(masses), np.array(ties))
        down = tie or j == v.size - 1 or (i < u.size - 1 and A[i] < B[j])
        j += tie or not down
        i += down


def _reached(weights: np.ndarray, total: float) -> np.ndarray:
    if weights.min() == weights.max():
        return np.arange(1, weights.size + 1) / weights.size * total
    reached = np.minimum(np.cumsum(weights), total)
    reached[-1] = total
    return reached


def _height(z, p):
    return np.abs(z) ** p


def _each_row(u, v, a, b):
    """(points, points, weights, weights) of each line; weights are (L, n), or (1, n) or (n,) for all."""
    u, v = _double(u), _double(v)
    return zip(u, v, np.broadcast_to(a, u.shape), np.broadcast_to(b, v.shape), strict=True)


def line_wasserstein(u, v, a, b, p) -> np.ndarray:
    values = np.empty(len(u))
    for k, (first, second, wa, wb) in enumerate(_each_row(u, v, a, b)):
        path = _path(first, second, wa, wb)
        values[k] = path.masses @ _height(first[path.rows] - second[path.columns], p)
    return values


def line_slopes(u, v, a, b, p) -> LineSlopes:
    u, v = _double(u), _double(v)
    values = np.empty(len(u))
    du, dv, f, g = np.zeros(u.shape), np.zeros(v.shape), np.empty(u.shape), np.empty(v.shape)
    for k, (first, second, wa, wb) in enumerate(_each_row(u, v, a, b)):
        path = _path(first, second, wa, wb)
        z = first[path.rows] - second[path.columns]
        values[k] = path.masses @ _height(z, p)
        rise = path.masses * p * np.abs(z) ** (p - 1) * np.sign(z)
        np.add.at(du[k], path.rows, rise)
        np.add.at(dv[k], path.columns, -rise)
        f[k], g[k] = _potentials(path, first, second, p)
        half = 0.5 * (f[k] @ wa - g[k] @ wb) / wa.sum()
        f[k] -= half
        g[k] += half
    return LineSlopes(values, du, dv, f, g)


def _potentials(path: _Path, u, v, p) -> tuple[np.ndarray, np.ndarray]:
    """Along the path only one side changes at a time, and by as much as the cost; at ties half of either way."""
    f, g = np.zeros(u.size), np.zeros(v.size)
    i, j = path.rows[0], path.columns[0]
    g[j] = _height(u[i] - v[j], p)
    for row, column, tie in zip(path.rows[1:], path.columns[1:], path.ties[:-1], strict=True):
        here, there = _height(u[i] - v[j], p), _height(u[row] - v[column], p)
        if tie:
            below, beside = _height(u[row] - v[j], p), _height(u[i] - v[column], p)
            f[row] = f[i] + 0.5 * ((below - here) + (there - beside))
            g[column] = g[j] + 0.5 * ((beside - here) + (there - below))
        elif row != i:
            f[row] = f[i] + there - here
        else:
            g[column] = g[j] + there - here
        i, j = row, column
    return f, g


def line_plans(u, v, a, b) -> LinePlans:
    orders = [np.argsort(z, axis=1, kind="stable") for z in (u, v)]
    masses: tuple[list, list] = [], []
    for k, (_, _, *weights) in enumerate(_each_row(u, v, a, b)):
        for side in range(2):
            masses[side].append(_reached(weights[side][orders[side][k]], weights[0].sum()))
    return LinePlans(*orders, *map(np.stack, masses))


def projected_wasserstein(x, y, a, b, directions, p) -> np.ndarray:
    u, v = _projected(x, y, directions)
    return line_wasserstein(u, v, a, b, p)


def projected_slopes(x, y, a, b, directions, p, scale, wanted=("x", "y")) -> ProjectedSlopes:
    u, v = _projected(x, y, directions)
    found = line_slopes(u, v, a, b, p)
    du, dv = scale[:, None] * found.u, scale[:, None] * found.v
    return ProjectedSlopes(
        found.values,
        du.T @ directions,
        dv.T @ directions,
        scale @ found.f,
        scale @ found.g,
        du @ _double(x) + dv @ _double(y),
    )


def lifted_costs(x, y, a, b, directions, p) -> np.ndarray:
    values = np.empty(len(directions))
    for k, (u, v) in enumerate(zip(*_projected(x, y, directions), strict=True)):
        path = _path(u, v, a, b)
        between = _double(x)[path.rows] - _double(y)[path.columns]
        values[k] = path.masses @ np.sum(between**2, axis=1) ** (p / 2)
    return values


def _projected(x, y, directions):
    return directions @ _double(x).T, directions @ _double(y).T


def _double(z) -> np.ndarray:
    return np.asarray(z, dtype=np.float64)
