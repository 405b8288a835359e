"""Distances along a surface: shortest paths in a graph of straight lines across several triangles."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from .. import validation as check
from .mesh import Mesh, read_mesh
from .reading import read_vertices

__all__ = ["geodesic_distances", "straight_lines"]

#: Triangles that a straight line may cross.
STRIP = 6


def geodesic_distances(mesh: Mesh, sources: Any = None, *, strip: int = STRIP) -> np.ndarray:
    """Lengths of shortest paths from some vertices to all others.

    Paths along edges are too long by up to 15 %. So there are more edges: a vertex sees another one if a straight
    line leads there through a strip of at most `strip` triangles, unfolded into the plane. Every path of the graph
    is one on the surface, of that length; distances are never too small.

    Parameters
    ----------
    mesh : Mesh
        Connected.
    sources : (s,) int array, optional
        All vertices by default.
    strip : int >= 1
        1: paths along edges.

    Returns
    -------
    (s, n) array

    Raises
    ------
    ValueError, TypeError
        For vertices that do not exist, and meshes of several components.

    Notes
    -----
    Exact geodesics [mitchell:87]_ are such lines through as many triangles as it takes. With 6 distances on a
    sphere of 2000 vertices are off by 0.1 % in the mean.
    """
    read_mesh(mesh, "mesh")
    if sources is not None:
        sources = read_vertices(sources, "sources", mesh.n_vertices)
    strip = check.count(strip, "strip", 1)
    return dijkstra(straight_lines(mesh, strip), directed=False, indices=sources)


def straight_lines(mesh: Mesh, strip: int = STRIP) -> sparse.csr_array:
    """Lengths of straight lines between vertices, across strips of triangles.

    Parameters
    ----------
    mesh : Mesh
    strip : int >= 1

    Returns
    -------
    (n, n) scipy.sparse.csr_array
        Symmetric; lengths of lines through at most `strip` triangles, 0 where there is none.
    """
    n, faces = mesh.n_vertices, mesh.faces
    twin = _twins(faces, n)
    i, j = mesh.edges.T
    found = [(i, j, np.linalg.norm(mesh.vertices[i] - mesh.vertices[j], axis=1))]
    # A wedge: what a vertex at the origin of a plane sees through an edge, between directions `low` and `high`.
    # The edge is given by its half-edge of the triangle on this side, and by its ends p and q, counterclockwise.
    face, corner = np.divmod(np.arange(faces.size), 3)
    tip = faces[face, corner]
    edge = 3 * face + (corner + 1) % 3
    start, end = _ends(faces, edge)
    p = np.zeros((faces.size, 2))
    p[:, 0] = _distance(mesh, tip, start)
    q = _third(np.zeros_like(p), p, _distance(mesh, tip, end), _distance(mesh, start, end), side=1.0)
    low, high = p, q
    for _ in range(strip - 1):
        edge = twin[edge]
        inner = edge >= 0  # the boundary of the surface ends a wedge
        tip, edge, p, q, low, high = (part[inner] for part in (tip, edge, p, q, low, high))
        end, start = _ends(faces, edge)
        first, second = _next(edge), _next(_next(edge))
        apex = _ends(faces, second)[0]
        r = _third(p, q, _distance(mesh, start, apex), _distance(mesh, end, apex), side=-1.0)
        after, before = _turn(low, r) >= 0, _turn(r, high) >= 0
        seen = after & before
        found.append((tip[seen], apex[seen], np.linalg.norm(r[seen], axis=1)))
        # On to the two other edges of that triangle, as far as the window shows them.
        a, b = after.nonzero()[0], before.nonzero()[0]
        low, high = (
            np.concatenate([low[a], np.where(after[b, None], r[b], low[b])]),
            np.concatenate([np.where(before[a, None], r[a], high[a]), high[b]]),
        )
        tip, edge = np.concatenate([tip[a], tip[b]]), np.concatenate([first[a], second[b]])
        p, q = np.concatenate([p[a], r[b]]), np.concatenate([r[a], q[b]])
    return _shortest(n, *(np.concatenate(part) for part in zip(*found)))


def _shortest(n: int, i: np.ndarray, j: np.ndarray, length: np.ndarray) -> sparse.csr_array:
    """The shortest line of each pair, both ways: a sparse array would sum them."""
    distinct = i != j  # around a sharp cone, a vertex may see itself
    i, j, length = i[distinct], j[distinct], length[distinct]
    low, high = np.minimum(i, j), np.maximum(i, j)
    order = np.lexsort((length, high, low))
    low, high, length = low[order], high[order], length[order]
    new = np.append(True, (np.diff(low) != 0) | (np.diff(high) != 0))
    half = sparse.coo_array((length[new], (low[new], high[new])), shape=(n, n))
    return sparse.csr_array(half + half.T)


def _third(p: np.ndarray, q: np.ndarray, from_p: np.ndarray, from_q: np.ndarray, side: float) -> np.ndarray:
    """Third corners of triangles in the plane, to the left (1) or right (-1) of the way from p to q."""
    along = q - p
    length = np.linalg.norm(along, axis=1)
    along /= length[:, None]
    foot = (from_p**2 - from_q**2 + length**2) / (2 * length)
    height = side * np.sqrt(np.maximum(from_p**2 - foot**2, 0.0))
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    return p + foot[:, None] * along + height[:, None] * across


def _turn(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Positive where v is counterclockwise of u."""
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


def _distance(mesh: Mesh, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    return np.linalg.norm(mesh.vertices[i] - mesh.vertices[j], axis=1)


def _next(edge: np.ndarray) -> np.ndarray:
    """The half-edge that follows in the same triangle."""
    return edge - edge % 3 + (edge + 1) % 3


def _ends(faces: np.ndarray, edge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = faces.ravel()
    return flat[edge], flat[_next(edge)]


def _twins(faces: np.ndarray, n: int) -> np.ndarray:
    """(3 m,) the same edge in the triangle on its other side, -1 at a boundary."""
    start, end = _ends(faces, np.arange(faces.size))
    keys, reverse = start * n + end, end * n + start
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys, reverse, sorter=order), keys.size - 1)
    return np.where(keys[order[place]] == reverse, order[place], -1)
