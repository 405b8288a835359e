"""Meshes of closed surfaces: spheres by spread points, level sets of a function by a net over a grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from scipy.spatial import ConvexHull

from .mesh import Mesh
from .rotations import random_rotation

__all__ = ["level_set", "spread_points"]

Field = Callable[[np.ndarray], np.ndarray]

#: Rounds of smoothing and of going back to the surface.
RELAXATIONS = 30
#: Grids that are drawn before a surface is given up.
ATTEMPTS = 100


def spread_points(n: int, seed: Any = 0) -> Mesh:
    """A mesh of the unit sphere whose vertices lie on a Fibonacci spiral, turned at random.

    Parameters
    ----------
    n : int >= 4
    seed : None, int or numpy.random.Generator
        Of the rotation.

    References
    ----------
    [gonzalez:10]_
    """
    k = np.arange(n) + 0.5
    z = 1 - 2 * k / n
    radius, angle = np.sqrt(1 - z**2), np.pi * (1 + np.sqrt(5)) * k
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
    points = points @ random_rotation(np.random.default_rng(seed)).T
    faces = ConvexHull(points).simplices.astype(np.int64)
    # The hull gives triangles of either orientation.
    a, b, c = (points[faces[:, i]] for i in range(3))
    inward = (np.cross(b - a, c - a) * a).sum(-1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return Mesh(points, faces)


def level_set(
    field: Field, low: Any, high: Any, n_vertices: int, seed: Any = 0, *, euler_characteristic=2
) -> Mesh:
    """A mesh of the surface ``field(points) == 0``, about evenly spaced.

    One vertex in every cell of a grid where the field changes sign, four of them around every edge of the grid
    where it does [gibson:98]_; then vertices move to the middle of their neighbours along the surface.

    Parameters
    ----------
    field : callable
        From (N, 3) points to (N,) numbers, negative inside, about a distance near the surface.
    low, high : (3,) arrays
        A box around the surface.
    n_vertices : int
        Wanted; there will be a few per cent more or less.
    seed : None, int or numpy.random.Generator
        Turns and shifts the grid: another seed is another triangulation of the same surface.
    euler_characteristic : int
        Of the surface, 2 for a sphere: where the grid is too coarse for it, another one is drawn.

    Raises
    ------
    ValueError
        If no grid of so few vertices has the surface's topology.

    References
    ----------
    [gibson:98]_
    """
    rng = np.random.default_rng(seed)
    low, high = np.asarray(low, float), np.asarray(high, float)
    centre, radius = 0.5 * (low + high), 0.5 * float(np.linalg.norm(high - low))
    spacing = radius / 16
    for attempt in range(ATTEMPTS):
        turn, shift = random_rotation(rng), rng.random(3)

        def turned(points: np.ndarray, turn=turn) -> np.ndarray:
            return field(points @ turn.T + centre)

        for _ in range(1 if attempt else 3):
            points, quads = _net(turned, radius, spacing, shift)
            spacing *= math.sqrt(len(points) / n_vertices)
        points, quads = _net(turned, radius, spacing, shift)
        if _is_surface(points, quads, euler_characteristic):
            points = _relaxed(turned, points, quads, spacing)
            return Mesh(points @ turn.T + centre, _triangles(points, quads))
    raise ValueError(f"n_vertices={n_vertices!r} is too small for this surface: parts of it touch in every grid")


def _is_surface(points: np.ndarray, quads: np.ndarray, euler_characteristic: int) -> bool:
    """Whether every edge has two sides and no vertex joins two sheets.

    A cell that two sheets pass through has one vertex for both: where the grid is coarse for the curvature.
    """
    i, j = quads.ravel(), np.roll(quads, -1, axis=1).ravel()
    edges = np.unique(i * len(points) + j)
    return edges.size == i.size and len(points) - i.size // 2 + len(quads) == euler_characteristic


def _net(field: Field, radius: float, spacing: float, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points in cells where the field changes sign, and the quadrilaterals between them."""
    size = int(np.ceil(2 * radius / spacing)) + 3
    axes = [(np.arange(size) + s - 0.5 * size) * spacing for s in shift]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    values = field(grid.reshape(-1, 3)).reshape((size,) * 3)
    cell = np.full((size,) * 3, -1)
    total, count = np.zeros((size, size, size, 3)), np.zeros((size,) * 3, dtype=np.int64)
    crossings = []
    for axis in range(3):
        here = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        there = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        f, g = values[here], values[there]
        where = np.argwhere((f < 0) != (g < 0))
        f, g = f[tuple(where.T)], g[tuple(where.T)]
        point = grid[tuple(where.T)].copy()
        point[:, axis] += spacing * f / (f - g)
        # The four cells around the edge, counterclockwise seen from where the axis points to.
        b, c = np.eye(3, dtype=np.int64)[[(axis + 1) % 3, (axis + 2) % 3]]
        around = np.stack([where, where - b, where - b - c, where - c], axis=1)
        np.add.at(total, tuple(around.reshape(-1, 3).T), np.repeat(point, 4, axis=0))
        np.add.at(count, tuple(around.reshape(-1, 3).T), 1)
        crossings.append(np.where((f < 0)[:, None, None], around, around[:, ::-1]))
    used = count > 0
    cell[used] = np.arange(used.sum())
    quads = cell[tuple(np.concatenate(crossings).reshape(-1, 3).T)].reshape(-1, 4)
    return total[used] / count[used][:, None], quads


def _relaxed(field: Field, points: np.ndarray, quads: np.ndarray, spacing: float) -> np.ndarray:
    """Each vertex in the middle of its neighbours, and on the surface."""
    i, j = quads.ravel(), np.roll(quads, -1, axis=1).ravel()
    n = len(points)
    neighbours = sparse.csr_array((np.ones(2 * i.size), (np.append(i, j), np.append(j, i))), shape=(n, n))
    neighbours.data[:] = 1.0
    degree: np.ndarray = np.diff(neighbours.indptr)
    for _ in range(RELAXATIONS):
        points = 0.5 * points + 0.5 * (neighbours @ points) / degree[:, None]
        for _ in range(2):
            points = _onto(field, points, 1e-3 * spacing)
    for _ in range(3):
        points = _onto(field, points, 1e-3 * spacing)
    return points


def _onto(field: Field, points: np.ndarray, h: float) -> np.ndarray:
    """A Newton step towards the surface along the gradient, by central differences."""
    offsets = h * np.eye(3)
    gradient = np.stack([(field(points + e) - field(points - e)) / (2 * h) for e in offsets], axis=1)
    return points - (field(points) / (gradient**2).sum(1))[:, None] * gradient


def _triangles(points: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Each quadrilateral cut along its shorter diagonal."""
    a, b, c, d = quads.T
    first = np.linalg.norm(points[a] - points[c], axis=1) <= np.linalg.norm(points[b] - points[d], axis=1)
    one = np.where(first[:, None], np.stack([a, b, c], 1), np.stack([a, b, d], 1))
    two = np.where(first[:, None], np.stack([a, c, d], 1), np.stack([b, c, d], 1))
    return np.concatenate([one, two])
