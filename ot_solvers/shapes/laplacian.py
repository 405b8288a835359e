"""The Laplacian of a surface: cotangent weights, lumped masses, the lowest frequencies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import eigsh

from .. import validation as check
from .mesh import Mesh, corners, read_mesh

__all__ = ["Eigenbasis", "cotangent_laplacian", "eigenbasis"]


class Eigenbasis(NamedTuple):
    """The first k frequencies of a surface.

    Attributes
    ----------
    values : (k,) array >= 0
        Eigenvalues, ascending; the first is 0.
    vectors : (n, k) array
        Eigenfunctions, orthonormal for `masses`: ``vectors.T @ (masses[:, None] * vectors)`` is the identity.
    masses : (n,) array > 0
        Area that belongs to each vertex.
    """

    values: np.ndarray
    vectors: np.ndarray
    masses: np.ndarray

    @property
    def analysis(self) -> np.ndarray:
        """(k, n) matrix from a function to its coefficients, the pseudo-inverse of `vectors`."""
        return self.vectors.T * self.masses

    def first(self, k: int) -> Eigenbasis:
        """The first `k` of these frequencies."""
        return Eigenbasis(self.values[:k], self.vectors[:, :k], self.masses)


def cotangent_laplacian(mesh: Mesh) -> sparse.csr_array:
    """Stiffness matrix of linear finite elements: ``f @ L @ f`` is the Dirichlet energy of f.

    Parameters
    ----------
    mesh : Mesh

    Returns
    -------
    (n, n) scipy.sparse.csr_array
        Symmetric, positive semi-definite; rows sum to 0. Entry ij is ``-(cot alpha + cot beta) / 2`` with the
        angles opposite to the edge.

    References
    ----------
    [pinkall:93]_
    """
    first, second = np.moveaxis(corners(mesh), 2, 0)
    weights = 0.5 * (first * second).sum(-1) / np.linalg.norm(np.cross(first, second), axis=-1)
    i, j = np.roll(mesh.faces, -1, axis=1).ravel(), np.roll(mesh.faces, -2, axis=1).ravel()
    half = sparse.coo_array((weights.ravel(), (i, j)), shape=(mesh.n_vertices,) * 2).tocsr()
    adjacency = half + half.T
    return sparse.csr_array(sparse.diags_array(adjacency.sum(axis=1)) - adjacency)


def eigenbasis(mesh: Mesh, k: int) -> Eigenbasis:
    """The k lowest eigenvalues and eigenfunctions of the Laplacian, ``L v = lambda M v``.

    Parameters
    ----------
    mesh : Mesh
        Connected.
    k : int
        At least 1, at most n - 2.

    Returns
    -------
    Eigenbasis

    Raises
    ------
    ValueError
        For k out of range, and meshes of several components.

    Notes
    -----
    Shift-invert Lanczos from a fixed start, so that equal meshes have equal bases. Signs, and bases of multiple
    eigenvalues, are arbitrary all the same: they differ from one shape to the next.
    """
    read_mesh(mesh, "mesh")
    k = check.count(k, "k", 1, mesh.n_vertices - 2)
    masses = mesh.vertex_areas
    # The symmetric form has the identity on the right: Lanczos vectors need no inner product of their own.
    scale = 1 / np.sqrt(masses)
    L = sparse.csc_array(cotangent_laplacian(mesh) * scale[:, None] * scale[None, :])
    start = np.random.default_rng(0).standard_normal(mesh.n_vertices)
    values, vectors = eigsh(L, k, sigma=-1.0 / mesh.area, v0=start)
    order = np.argsort(values)
    values = np.maximum(values[order], 0.0)
    return Eigenbasis(values, np.ascontiguousarray(vectors[:, order] * scale[:, None]), masses)
