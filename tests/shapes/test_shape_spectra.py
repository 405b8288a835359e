"""Laplacians and signatures against what is known of spheres, rotations and permutations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ot_solvers import shapes


def two_spheres():
    one, other = shapes.sphere(60), shapes.sphere(60)
    return shapes.Mesh(
        np.vstack([one.vertices, other.vertices + 5]), np.vstack([one.faces, other.faces + one.n_vertices])
    )


def test_rows_of_the_laplacian_sum_to_zero_and_the_matrix_is_symmetric():
    mesh = shapes.torus(n_vertices=400)
    L = shapes.cotangent_laplacian(mesh)
    np.testing.assert_allclose(L.sum(axis=1), 0, atol=1e-12)
    assert abs(L - L.T).max() == 0
    assert np.linalg.eigvalsh(L.toarray()).min() > -1e-12


def test_entries_of_the_laplacian_are_cotangents():
    """Two right isosceles triangles: cot 45 = 1 on the sides, cot 90 = 0 across the diagonal."""
    square = shapes.Mesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    expected = [[1, -0.5, 0, -0.5], [-0.5, 1, -0.5, 0], [0, -0.5, 1, -0.5], [-0.5, 0, -0.5, 1]]
    np.testing.assert_allclose(shapes.cotangent_laplacian(square).toarray(), expected, atol=1e-15)


def test_the_energy_of_linear_functions_on_a_flat_surface():
    """``|grad|^2`` times the area, exactly: finite elements of first order."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(5.0), indexing="ij"), -1).reshape(-1, 2)
    inner = ((grid > 0) & (grid < [5, 4])).all(1)
    grid[inner] += rng.uniform(-0.2, 0.2, (inner.sum(), 2))
    k = np.arange(30).reshape(6, 5)
    a, b, c, d = k[:-1, :-1].ravel(), k[1:, :-1].ravel(), k[1:, 1:].ravel(), k[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    mesh = shapes.Mesh(np.column_stack([grid, np.zeros(30)]), faces)
    f = 3 * grid[:, 0] - 2 * grid[:, 1] + 7
    assert f @ (shapes.cotangent_laplacian(mesh) @ f) == pytest.approx(13 * 20)


def test_eigenvalues_of_the_sphere():
    basis = shapes.eigenbasis(shapes.sphere(3000), 49)
    expected = np.repeat([l * (l + 1) for l in range(7)], [2 * l + 1 for l in range(7)])
    np.testing.assert_allclose(basis.values, expected, rtol=0.015, atol=1e-8)
    # The first three that are not constant are the coordinates, up to a rotation.
    coordinates = shapes.sphere(3000).vertices
    span = basis.vectors[:, 1:4]
    residual = coordinates - span @ (basis.analysis[1:4] @ coordinates)
    assert np.abs(residual).max() < 0.01


def test_eigenfunctions():
    mesh = shapes.cylinder(n_vertices=400)
    basis = shapes.eigenbasis(mesh, 30)
    L, M = shapes.cotangent_laplacian(mesh), mesh.vertex_areas[:, None]
    np.testing.assert_allclose(basis.analysis @ basis.vectors, np.eye(30), atol=1e-9)
    np.testing.assert_allclose(L @ basis.vectors, M * basis.vectors * basis.values, atol=1e-8)
    assert basis.values[0] == pytest.approx(0, abs=1e-9)
    assert (np.diff(basis.values) >= 0).all()
    again = shapes.eigenbasis(mesh, 30)
    np.testing.assert_array_equal(basis.vectors, again.vectors)
    np.testing.assert_array_equal(basis.first(7).vectors, basis.vectors[:, :7])


@pytest.mark.parametrize(
    ("mesh", "k", "error", "message"),
    [
        (lambda: shapes.sphere(50), 49, ValueError, r"k=49 must be in 1 \.\.\. 48"),
        (lambda: shapes.sphere(50), 0, ValueError, r"k=0 must be in 1 \.\.\. 48"),
        (lambda: shapes.sphere(50), 5.0, TypeError, "k=5.0 is not an integer"),
        (two_spheres, 5, ValueError, "mesh has 2 connected components; expected 1"),
        (lambda: "sphere", 5, TypeError, "mesh is of type str"),
    ],
)
def test_bad_bases(mesh, k, error, message):
    with pytest.raises(error, match=message):
        shapes.eigenbasis(mesh(), k)


def test_signatures_do_not_depend_on_rotation_order_or_size():
    mesh = shapes.body(n_vertices=600)
    other, where = mesh.scaled(7.0).shuffled(seed=3)
    one, two = (shapes.wave_kernel_signature(shapes.eigenbasis(m.scaled(), 60), 40) for m in (mesh, other))
    assert one.shape == (mesh.n_vertices, 40) and (one > 0).all()
    np.testing.assert_allclose(two[where], one, rtol=1e-6)
    np.testing.assert_array_equal(shapes.descriptor_map(mesh, other), where)


def test_signatures_of_a_sphere_are_those_of_any_point():
    """The squares of all harmonics of one degree add up to a constant."""
    basis = shapes.eigenbasis(shapes.sphere(2000), 100)
    signature = shapes.wave_kernel_signature(basis, 30)
    assert (signature.std(0) / signature.mean(0)).max() < 0.06
    body = shapes.body(n_vertices=1000)
    uneven = shapes.wave_kernel_signature(shapes.eigenbasis(body, 100), 30)
    assert (uneven.std(0) / uneven.mean(0)).mean() > 0.3


def test_weights_of_an_energy_sum_to_one():
    """Then a signature integrates to 1, because every eigenfunction does."""
    basis = shapes.eigenbasis(shapes.torus(n_vertices=300), 40)
    np.testing.assert_allclose(basis.masses @ shapes.wave_kernel_signature(basis, 16), 1.0, rtol=1e-9)


def test_bad_signatures():
    basis = shapes.eigenbasis(shapes.sphere(50), 10)
    with pytest.raises(ValueError, match="n_energies=1 must be at least 2"):
        shapes.wave_kernel_signature(basis, 1)
    with pytest.raises(ValueError, match="basis has 2 frequencies; expected 3 or more"):
        shapes.wave_kernel_signature(basis.first(2))


def test_all_but_learning_does_without_torch():
    code = """
import sys
sys.modules["torch"] = None
from ot_solvers import shapes
mesh = shapes.torus(n_vertices=250)
other, where = mesh.shuffled(seed=0)
print((shapes.descriptor_map(mesh, other) == where).all())
try:
    shapes.correspond(mesh, other)
except ModuleNotFoundError as error:
    print(error)
"""
    root = Path(shapes.__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True", "learning needs torch: pip install ot_solvers[torch]"]
