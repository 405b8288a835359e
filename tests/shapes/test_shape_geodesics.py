"""Distances along surfaces against closed forms; errors of maps that are known."""

from __future__ import annotations

import numpy as np
import pytest

from ot_solvers import shapes


def test_distances_on_a_sphere():
    mesh = shapes.sphere(1500)
    sources = np.arange(0, 1500, 50)
    found = shapes.geodesic_distances(mesh, sources)
    truth = np.arccos(np.clip(mesh.vertices[sources] @ mesh.vertices.T, -1, 1))
    apart = truth > 0.02
    ratio = found[apart] / truth[apart]
    assert ratio.min() > 0.998  # chords of the mesh are a little shorter than arcs
    assert ratio.max() < 1.03
    assert np.abs(ratio - 1).mean() < 0.003
    # Edges alone would not do.
    along_edges = shapes.geodesic_distances(mesh, sources, strip=1)
    assert (along_edges[apart] / truth[apart]).mean() > 1.03


def test_longer_strips_are_never_worse():
    mesh = shapes.body("sit", n_vertices=600)
    last = np.inf
    for strip in (1, 2, 3, 5, 8):
        found = shapes.geodesic_distances(mesh, [0, 100], strip=strip)
        assert (found <= last + 1e-12).all()
        last = found


def test_flat_surfaces_have_straight_lines():
    """On a plane the graph has the Euclidean distance wherever a strip is long enough."""
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0), indexing="ij"), -1).reshape(-1, 2)
    inner = ((grid > 0) & (grid < 4)).all(1)
    grid[inner] += rng.uniform(-0.15, 0.15, (inner.sum(), 2))
    k = np.arange(25).reshape(5, 5)
    a, b, c, d = k[:-1, :-1].ravel(), k[1:, :-1].ravel(), k[1:, 1:].ravel(), k[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    mesh = shapes.Mesh(np.column_stack([grid, np.zeros(25)]), faces)
    found = shapes.geodesic_distances(mesh, strip=24)
    np.testing.assert_allclose(found, np.linalg.norm(grid[:, None] - grid, axis=-1), atol=1e-9)


def test_around_the_edge_of_a_cube():
    """The shortest path over two faces of a box is the straight line of the unfolded ones."""
    x, y, z = np.meshgrid([0.0, 1], [0.0, 1], [0.0, 1], indexing="ij")
    vertices = np.stack([x.ravel(), y.ravel(), z.ravel()], 1)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = [t for a, b, c, d in quads for t in ([a, b, c], [a, c, d])]
    mesh = shapes.Mesh(vertices, faces)
    assert mesh.is_closed and mesh.euler_characteristic == 2
    # Opposite corners of a unit cube: sqrt(1 + 2^2).
    assert shapes.geodesic_distances(mesh, [0], strip=8)[0, 7] == pytest.approx(np.sqrt(5))


def test_distances_are_a_metric():
    mesh = shapes.torus(n_vertices=300)
    D = shapes.geodesic_distances(mesh)
    np.testing.assert_allclose(D, D.T, atol=1e-12)
    assert (np.diag(D) == 0).all() and (D[~np.eye(len(D), dtype=bool)] > 0).all()
    assert (D[:, None, :30] <= D[:, :, None] + D[None, :, :30] + 1e-9).all()
    euclidean = np.linalg.norm(mesh.vertices[:, None] - mesh.vertices, axis=-1)
    assert (euclidean - 1e-12 <= D).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sources": [60]}, ValueError, r"sources\[0\] is 60; expected a vertex in 0 \.\.\. 59"),
        ({"sources": [0.5]}, TypeError, "sources has dtype float64"),
        ({"sources": [[1]]}, ValueError, r"sources has shape \(1, 1\)"),
        ({"strip": 0}, ValueError, "strip=0 must be at least 1"),
    ],
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        shapes.geodesic_distances(shapes.sphere(60), **options)


def test_disconnected_surfaces_have_no_distances():
    one = shapes.sphere(40)
    both = shapes.Mesh(np.vstack([one.vertices, one.vertices + 5]), np.vstack([one.faces, one.faces + 40]))
    assert both.n_components == 2
    with pytest.raises(ValueError, match="mesh has 2 connected components"):
        shapes.geodesic_distances(both)


# --- errors of maps --------------------------------------------------------------------------------------------


def test_errors_of_known_maps():
    mesh = shapes.sphere(500)
    truth = np.arange(500)
    assert shapes.mean_geodesic_error(mesh, truth, truth) == 0
    D = shapes.geodesic_distances(mesh)
    shifted = np.roll(truth, 1)
    errors = shapes.geodesic_errors(mesh, shifted, truth)
    np.testing.assert_allclose(errors, D[truth, shifted] / np.sqrt(4 * np.pi), rtol=0.01)
    np.testing.assert_allclose(errors * np.sqrt(mesh.area), D[truth, shifted])
    assert shapes.mean_geodesic_error(mesh, shifted, truth) == pytest.approx(100 * errors.mean())
    # Antipodes: half the circumference over the square root of the area, sqrt(pi) / 2.
    antipodes = (mesh.vertices @ mesh.vertices.T).argmin(1)
    found = shapes.mean_geodesic_error(mesh, antipodes, truth)
    assert found == pytest.approx(100 * np.sqrt(np.pi) / 2, rel=0.03)


def test_errors_do_not_depend_on_size():
    mesh = shapes.torus(n_vertices=300)
    truth, wrong = np.arange(mesh.n_vertices), np.roll(np.arange(mesh.n_vertices), 7)
    small, large = (shapes.mean_geodesic_error(m, wrong, truth) for m in (mesh, mesh.scaled(50.0)))
    assert small == pytest.approx(large)


def test_curves_of_known_errors():
    curve = shapes.pck_curve(np.array([0.0, 0.05, 0.1, 0.5]), largest=0.2, n_thresholds=5)
    np.testing.assert_allclose(curve.thresholds, [0, 0.05, 0.1, 0.15, 0.2])
    np.testing.assert_allclose(curve.shares, [0.25, 0.5, 0.75, 0.75, 0.75])
    assert curve.area == pytest.approx((0.25 / 2 + 0.5 + 0.75 + 0.75 + 0.75 / 2) / 4)
    assert shapes.pck_curve(np.zeros(3)).area == 1.0
    assert shapes.pck_curve(np.ones(3)).area == 0.0


def test_bad_metrics():
    mesh = shapes.sphere(40)
    with pytest.raises(ValueError, match=r"point_map\[1\] is 40"):
        shapes.geodesic_errors(mesh, [0, 40], [0, 1])
    with pytest.raises(ValueError, match="have 2 and 3 entries"):
        shapes.geodesic_errors(mesh, [0, 1], [0, 1, 2])
    with pytest.raises(TypeError, match="truth has dtype float64"):
        shapes.geodesic_errors(mesh, [0], [1.0])
    with pytest.raises(ValueError, match=r"errors\[1\] is -1"):
        shapes.pck_curve([0.0, -1.0])
    with pytest.raises(ValueError, match=r"largest=0\.0 must be positive"):
        shapes.pck_curve([0.0], largest=0)
    with pytest.raises(ValueError, match=r"errors\[0\] is nan"):
        shapes.pck_curve([np.nan])
