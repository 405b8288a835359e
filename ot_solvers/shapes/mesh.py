"""Triangle meshes: checked once, then the quantities that everything else is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .. import validation as check
from ..lazy import cached_property
from ..namespaces import host_array
from .rotations import random_rotation

__all__ = ["Mesh"]

#: Triangles whose height is below this part of their longest edge have no area to speak of.
FLAT = 1e-10


class Mesh:
    """A triangle mesh of a surface in space.

    Parameters
    ----------
    vertices : (n, 3) array
    faces : (m, 3) array of int
        Indices of vertices, counterclockwise seen from outside.

    Raises
    ------
    ValueError
        For coordinates that are not finite, indices out of range, a vertex twice in a triangle, triangles without
        area, the same directed edge in two triangles (orientations that differ, or more than two triangles at an
        edge) and vertices without triangle.
    TypeError
        For faces that are not integers.

    Attributes
    ----------
    vertices : (n, 3) float64 array
    faces : (m, 3) int64 array
        Both are copies and read-only.
    """

    def __init__(self, vertices: Any, faces: Any):
        self.vertices = _read_vertices(vertices)
        self.faces = _read_faces(faces, len(self.vertices))
        _check_triangles(self.vertices, self.faces)
        self.vertices.flags.writeable = self.faces.flags.writeable = False

    @property
    def n_vertices(self) -> int:
        """Number of vertices."""
        return len(self.vertices)

    @cached_property
    def normals(self) -> np.ndarray:
        """(m, 3) normals of the triangles, of unit length."""
        normals = _cross(self.vertices, self.faces)
        return normals / np.linalg.norm(normals, axis=1, keepdims=True)

    @cached_property
    def face_areas(self) -> np.ndarray:
        """(m,) areas of the triangles."""
        return 0.5 * np.linalg.norm(_cross(self.vertices, self.faces), axis=1)

    @cached_property
    def vertex_areas(self) -> np.ndarray:
        """(n,) a third of the area of the triangles around each vertex; their sum is `area`."""
        shares = np.repeat(self.face_areas / 3, 3)
        return np.bincount(self.faces.ravel(), weights=shares, minlength=self.n_vertices)

    @cached_property
    def vertex_normals(self) -> np.ndarray:
        """(n, 3) mean normals around each vertex, weighted by area, of unit length."""
        spread = np.repeat(_cross(self.vertices, self.faces), 3, axis=0)
        index = self.faces.ravel()
        total = np.stack([np.bincount(index, w, self.n_vertices) for w in spread.T], axis=1)
        return total / np.linalg.norm(total, axis=1, keepdims=True)

    @property
    def area(self) -> float:
        """Area of the surface."""
        return float(self.face_areas.sum())

    @cached_property
    def edges(self) -> np.ndarray:
        """(e, 2) pairs of neighbours, smaller index first, sorted."""
        pairs = np.sort(_half_edges(self.faces), axis=1)
        return np.unique(pairs, axis=0)

    @property
    def euler_characteristic(self) -> int:
        """Vertices - edges + triangles: 2 less two for every handle, if the mesh is connected and closed."""
        return self.n_vertices - len(self.edges) + len(self.faces)

    @property
    def is_closed(self) -> bool:
        """Whether every edge has a triangle on both sides."""
        return 2 * len(self.edges) == 3 * len(self.faces)

    @cached_property
    def n_components(self) -> int:
        """Number of connected components."""
        i, j = self.edges.T
        graph = sparse.coo_array((np.ones(i.size), (i, j)), shape=(self.n_vertices,) * 2)
        return int(connected_components(graph, directed=False)[0])

    @cached_property
    def angle_defects(self) -> np.ndarray:
        """(n,) 2 pi less the angles around each vertex; their sum is 2 pi `euler_characteristic` if closed."""
        angles = np.bincount(self.faces.ravel(), weights=_angles(self).ravel(), minlength=self.n_vertices)
        return 2 * np.pi - angles

    def scaled(self, area: float = 1.0) -> Mesh:
        """The same shape, of another area.

        Parameters
        ----------
        area : float > 0
        """
        area = check.number(area, "area")
        if not 0 < area < np.inf:
            raise ValueError(f"area={area!r} must be positive and finite")
        return Mesh(self.vertices * np.sqrt(area / self.area), self.faces)

    def moved(self, vertices: Any) -> Mesh:
        """The same triangles between other points: vertex k stays vertex k.

        Parameters
        ----------
        vertices : (n, 3) array
        """
        return Mesh(vertices, self.faces)

    def shuffled(self, seed: Any = None) -> tuple[Mesh, np.ndarray]:
        """The same shape with vertices and triangles in random order, rotated at random.

        Nothing that looks at indices or coordinates finds its way from one to the other.

        Parameters
        ----------
        seed : None, int or numpy.random.Generator

        Returns
        -------
        mesh : Mesh
        where : (n,) int array
            Vertex k of this mesh is vertex ``where[k]`` of the new one.
        """
        rng = np.random.default_rng(seed)
        turn = random_rotation(rng)
        where = rng.permutation(self.n_vertices)
        vertices = np.empty_like(self.vertices)
        vertices[where] = self.vertices @ turn.T
        faces = where[self.faces][rng.permutation(len(self.faces))]
        return Mesh(vertices, faces), where

    def __repr__(self) -> str:
        kind = "closed" if self.is_closed else "with boundary"
        parts = "" if self.n_components == 1 else f", {self.n_components} components"
        return (
            f"Mesh of {self.n_vertices} vertices, {len(self.faces)} triangles, area {self.area:.4g}, {kind}{parts}"
        )


def read_mesh(mesh: Any, argument: str) -> Mesh:
    """`mesh` itself, which has to be a connected one.

    Raises
    ------
    TypeError
        For anything but a `Mesh`.
    ValueError
        For several components: functions on one of them say nothing about the others.
    """
    if not isinstance(mesh, Mesh):
        raise TypeError(f"{argument} is of type {type(mesh).__name__}; expected an ots.shapes.Mesh")
    if mesh.n_components > 1:
        raise ValueError(f"{argument} has {mesh.n_components} connected components; expected 1")
    return mesh


def corners(mesh: Mesh) -> np.ndarray:
    """(m, 3, 2, 3) the two edges that leave each corner of each triangle."""
    points = mesh.vertices[mesh.faces]
    return np.stack([np.roll(points, -1, axis=1) - points, np.roll(points, -2, axis=1) - points], axis=2)


def _angles(mesh: Mesh) -> np.ndarray:
    first, second = np.moveaxis(corners(mesh), 2, 0)
    return np.arctan2(np.linalg.norm(np.cross(first, second), axis=-1), (first * second).sum(-1))


def _half_edges(faces: np.ndarray) -> np.ndarray:
    """(3 m, 2) directed edges: entry 3 f + c goes from corner c of triangle f to the next one."""
    return np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)


def _cross(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def _read_vertices(vertices: Any) -> np.ndarray:
    points = check.points(vertices, "vertices")
    if points.shape[1] != 3:
        raise ValueError(f"vertices has shape {points.shape}; expected (n, 3)")
    return np.array(points, dtype=np.float64)


def _read_faces(faces: Any, n: int) -> np.ndarray:
    array = host_array(faces, "faces")
    if array.dtype.kind not in "iu":
        raise TypeError(f"faces has dtype {array.dtype}; expected integers, indices of vertices")
    if array.ndim != 2 or array.shape[1] != 3 or array.shape[0] == 0:
        raise ValueError(f"faces has shape {array.shape}; expected (m, 3), m at least 1")
    outside = (array < 0) | (array >= n)
    if outside.any():
        f, c = np.argwhere(outside)[0]
        raise ValueError(f"faces[{f}, {c}] is {array[f, c]}; expected a vertex in 0 ... {n - 1}")
    return np.array(array, dtype=np.int64)


def _check_triangles(vertices: np.ndarray, faces: np.ndarray) -> None:
    twice = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
    if twice.any():
        f = int(np.argmax(twice))
        raise ValueError(f"faces[{f}] is {faces[f].tolist()}; expected three different vertices")
    points = vertices[faces]
    longest = ((points - np.roll(points, 1, axis=1)) ** 2).sum(-1).max(1)
    flat = np.linalg.norm(_cross(vertices, faces), axis=1) <= FLAT * longest
    if flat.any():
        f = int(np.argmax(flat))
        raise ValueError(f"faces[{f}] is {faces[f].tolist()}, a triangle without area")
    directed, count = np.unique(_half_edges(faces), axis=0, return_counts=True)
    if count.max() > 1:
        i, j = directed[np.argmax(count)].tolist()
        raise ValueError(
            f"faces has the directed edge ({i}, {j}) in {count.max()} triangles; expected one: triangles of one "
            "orientation, at most two at an edge"
        )
    unused = np.bincount(faces.ravel(), minlength=len(vertices)) == 0
    if unused.any():
        raise ValueError(f"vertices[{int(np.argmax(unused))}] is in no triangle")
