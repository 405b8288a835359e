"""Pairs of shapes whose correspondence is known, for tests and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from .. import validation as check
from .body import body
from .mesh import Mesh
from .meshes import cylinder, ellipsoid, torus

__all__ = ["EXAMPLES", "ExamplePair", "example_pair"]


class ExamplePair(NamedTuple):
    """Two shapes and the map between them.

    Attributes
    ----------
    name : str
    title : str
    x, y : Mesh
        The vertices of y are in random order, and y is rotated at random.
    truth : (n,) int array
        Vertex of y that corresponds to each vertex of x.
    near_isometric : bool
        Whether lengths along the surface are nearly the same on both.
    """

    name: str
    title: str
    x: Mesh
    y: Mesh
    truth: np.ndarray
    near_isometric: bool


class _Example(NamedTuple):
    title: str
    near_isometric: bool
    x: Callable[[int, int], Mesh]
    y: Callable[[int, int], Mesh]
    remeshed: Callable[[int, int], tuple[Mesh, Mesh]] | None = None


def _body(pose: str, build: str = "medium", shift: int = 0) -> Callable[[int, int], Mesh]:
    return lambda n, seed: body(pose, build=build, n_vertices=n, seed=seed + shift)


def _two_nets(pose: str, build: str = "medium") -> Callable[[int, int], tuple[Mesh, Mesh]]:
    """The first shape at rest, and another triangulation of it at rest."""
    return lambda n, seed: (body(n_vertices=n, seed=seed), body(n_vertices=n, seed=seed + 1000))


EXAMPLES: Mapping[str, _Example] = {
    "walk": _Example("body: at rest, walking", True, _body("rest"), _body("walk")),
    "wave": _Example("body: walking, waving", True, _body("walk"), _body("wave")),
    "sit": _Example("body: at rest, sitting", True, _body("rest"), _body("sit")),
    "remeshed": _Example(
        "body: at rest, walking, other triangles",
        True,
        _body("rest"),
        _body("walk", shift=1000),
        _two_nets("walk"),
    ),
    "bent": _Example(
        "cylinder: straight, bent",
        True,
        lambda n, seed: cylinder(n_vertices=n, seed=seed),
        lambda n, seed: cylinder(1.6, n_vertices=n, seed=seed),
    ),
    "warped": _Example(
        "ring: flat, warped",
        True,
        lambda n, seed: torus(n_vertices=n, seed=seed),
        lambda n, seed: torus(warp=0.12, n_vertices=n, seed=seed),
    ),
    "stout": _Example("body: walking, stout and at rest", False, _body("walk"), _body("rest", "stout")),
    "slim": _Example("body: sitting, slim and walking", False, _body("sit"), _body("walk", "slim")),
    "stretched": _Example(
        "cylinder: straight, longer and bent",
        False,
        lambda n, seed: cylinder(n_vertices=n, seed=seed),
        lambda n, seed: cylinder(1.0, stretch=1.2, n_vertices=n, seed=seed),
    ),
    "ellipsoid": _Example(
        "ball with bumps: round, oblong",
        False,
        lambda n, seed: ellipsoid(n_vertices=n, seed=seed),
        lambda n, seed: ellipsoid((1.06, 1.0, 0.95), n_vertices=n, seed=seed),
    ),
    "thin": _Example(
        "ring: thick, thin",
        False,
        lambda n, seed: torus(n_vertices=n, seed=seed),
        lambda n, seed: torus(0.3, n_vertices=n, seed=seed),
    ),
}


def example_pair(name: str, n_vertices: int = 2000, seed: int = 0) -> ExamplePair:
    """A pair of shapes whose correspondence is known.

    Parameters
    ----------
    name : str
        Near-isometric: ``"walk"``, ``"wave"``, ``"sit"`` (poses of a body), ``"remeshed"`` (another triangulation
        of the second pose), ``"bent"`` (a cylinder), ``"warped"`` (a ring); others: ``"stout"``, ``"slim"``
        (bodies of other builds), ``"stretched"``, ``"ellipsoid"``, ``"thin"``.
    n_vertices : int
        About so many in each shape.
    seed : int
        Of bumps, triangulations, the order of vertices and the rotation.

    Returns
    -------
    ExamplePair

    Raises
    ------
    ValueError, TypeError
        For unknown names, and sizes that are too small.
    """
    example = EXAMPLES[check.choice(name, "name", tuple(EXAMPLES))]
    x, y = example.x(n_vertices, seed), example.y(n_vertices, seed)
    truth = np.arange(x.n_vertices)
    if example.remeshed is not None:
        # Two meshes of one surface: the partner is the nearest vertex before anything moves.
        first, second = example.remeshed(n_vertices, seed)
        truth = np.asarray(cKDTree(second.vertices).query(first.vertices)[1])
    shuffled, where = y.shuffled(np.random.default_rng([seed, 4]))
    return ExamplePair(name, example.title, x, shuffled, where[truth], example.near_isometric)
