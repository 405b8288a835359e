"""Meshes: areas, curvature, orientation, correspondences, and everything that is refused."""

from __future__ import annotations

import numpy as np
import pytest

import ot_solvers as ots
from ot_solvers import shapes

#: A tetrahedron, counterclockwise from outside.
CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])

MAKERS = {
    "sphere": (lambda: shapes.sphere(500), 2),
    "ellipsoid": (lambda: shapes.ellipsoid((1.3, 1.0, 0.8), n_vertices=500), 2),
    "torus": (lambda: shapes.torus(0.3, warp=0.2, n_vertices=500), 0),
    "cylinder": (lambda: shapes.cylinder(1.5, n_vertices=500), 2),
    "body": (lambda: shapes.body("walk", build="stout", n_vertices=700), 2),
}


def volume(mesh):
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    return float((np.cross(a, b) * c).sum() / 6)


@pytest.mark.parametrize("name", MAKERS)
def test_surfaces_are_closed_and_obey_gauss_bonnet(name):
    make, characteristic = MAKERS[name]
    mesh = make()
    assert mesh.is_closed and mesh.n_components == 1
    assert mesh.euler_characteristic == characteristic
    assert mesh.angle_defects.sum() == pytest.approx(2 * np.pi * characteristic, abs=1e-9)
    # Closed surfaces: normals add up to nothing, and point outwards.
    np.testing.assert_allclose(mesh.face_areas @ mesh.normals, 0, atol=1e-12)
    assert volume(mesh) > 0
    assert mesh.vertex_areas.sum() == pytest.approx(mesh.area)
    assert (mesh.vertex_areas > 0).all()


def test_areas_and_volumes_of_what_is_known():
    assert shapes.sphere(3000).area == pytest.approx(4 * np.pi, rel=2e-3)
    assert shapes.torus(0.4, bumps=0, n_vertices=3000).area == pytest.approx(4 * np.pi**2 * 0.4, rel=5e-3)
    straight = shapes.cylinder(bumps=0, n_vertices=3000)
    assert straight.area == pytest.approx(2 * np.pi * 0.22 * (2 + 2 * 0.22), rel=5e-3)
    # An arc of a tube has the volume of the straight one (Pappus), but for the ends.
    assert volume(shapes.cylinder(1.5, bumps=0, n_vertices=3000)) == pytest.approx(volume(straight), rel=5e-3)
    tetrahedron = shapes.Mesh(CORNERS, FACES)
    assert tetrahedron.area == pytest.approx(1.5 + np.sqrt(3) / 2)
    np.testing.assert_allclose(tetrahedron.normals[3], np.full(3, 3**-0.5))
    assert volume(tetrahedron) == pytest.approx(1 / 6)


def test_scaling():
    mesh = shapes.sphere(100).scaled(3.0)
    assert mesh.area == pytest.approx(3.0)
    for area in (0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match=r"area=.* must be positive and finite"):
            mesh.scaled(area)


def test_a_boundary():
    mesh = shapes.Mesh(CORNERS, FACES[:3])
    assert not mesh.is_closed and mesh.euler_characteristic == 1
    assert repr(mesh) == "Mesh of 4 vertices, 3 triangles, area 1.5, with boundary"


def test_vertex_normals_of_a_sphere_point_away_from_its_centre():
    mesh = shapes.sphere(1000)
    assert ((mesh.vertex_normals * mesh.vertices).sum(1) > 0.999).all()


def test_shuffled_is_the_same_shape_and_tells_nothing():
    mesh = shapes.body(n_vertices=600)
    other, where = mesh.shuffled(seed=1)
    assert (np.sort(where) == np.arange(mesh.n_vertices)).all()
    assert (where != np.arange(mesh.n_vertices)).mean() > 0.9
    np.testing.assert_allclose(other.vertex_areas[where], mesh.vertex_areas)
    edges = np.sort(where[mesh.edges], axis=1)
    assert {tuple(e) for e in edges.tolist()} == {tuple(e) for e in other.edges.tolist()}
    lengths = np.linalg.norm(mesh.vertices[:, None] - mesh.vertices[:9], axis=-1)
    rotated = np.linalg.norm(other.vertices[where][:, None] - other.vertices[where][:9], axis=-1)
    np.testing.assert_allclose(rotated, lengths, atol=1e-12)
    assert volume(other) == pytest.approx(volume(mesh))  # rotated, not reflected
    assert np.abs(other.vertices[where] - mesh.vertices).max() > 0.1
    again, same = mesh.shuffled(seed=1)
    np.testing.assert_array_equal(where, same)
    np.testing.assert_array_equal(other.vertices, again.vertices)
    assert (mesh.shuffled(seed=2)[1] != where).any()


def test_deformations_keep_the_triangles():
    families = [
        [shapes.body(pose, n_vertices=600) for pose in ("rest", "walk", "wave", "sit")],
        [shapes.body(build=build, n_vertices=600) for build in ("medium", "stout", "slim")],
        [shapes.cylinder(bend, stretch=s, n_vertices=300) for bend, s in ((0, 1), (1.5, 1), (0, 1.3))],
        [shapes.torus(tube, warp=w, n_vertices=300) for tube, w in ((0.35, 0), (0.25, 0), (0.35, 0.2))],
        [shapes.ellipsoid(axes, n_vertices=300) for axes in ((1, 1, 1), (1.4, 1, 0.7))],
    ]
    for family in families:
        for mesh in family[1:]:
            np.testing.assert_array_equal(mesh.faces, family[0].faces)
            assert np.abs(mesh.vertices - family[0].vertices).max() > 0.05


def lengths(mesh):
    i, j = mesh.edges.T
    return np.linalg.norm(mesh.vertices[i] - mesh.vertices[j], axis=1)


def test_bending_is_nearly_isometric_and_stretching_is_not():
    def strain(one, other):
        return np.abs(np.log(lengths(other) / lengths(one))).mean()

    rest = shapes.body(n_vertices=800)
    for pose in ("walk", "wave", "sit"):
        assert strain(rest, shapes.body(pose, n_vertices=800)) < 0.06
    for build in ("stout", "slim"):
        assert strain(rest, shapes.body(build=build, n_vertices=800)) > 0.08
    straight = shapes.cylinder(n_vertices=400)
    assert strain(straight, shapes.cylinder(1.6, n_vertices=400)) < 0.1
    assert strain(straight, shapes.cylinder(stretch=1.4, n_vertices=400)) > 0.15


def test_seeds_of_surfaces():
    one, same, other = (shapes.body(n_vertices=600, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.vertices, same.vertices)
    assert one.faces.shape != other.faces.shape or (one.faces != other.faces).any()
    assert one.area == pytest.approx(other.area, rel=0.05)  # coarse: chords cut corners
    bumpy = [shapes.ellipsoid(n_vertices=200, seed=seed).area for seed in (0, 1)]
    assert bumpy[0] != bumpy[1]


@pytest.mark.parametrize("n", [500, 1000, 2000])
def test_sizes_are_about_those_asked_for(n):
    assert shapes.body(n_vertices=n).n_vertices == pytest.approx(n, rel=0.1)
    assert shapes.torus(n_vertices=n).n_vertices == pytest.approx(n, rel=0.1)
    assert shapes.sphere(n).n_vertices == n


@pytest.mark.parametrize("name", shapes.EXAMPLES)
def test_examples_correspond_vertex_by_vertex(name):
    """Lengths of edges go with the truth, and with no other map."""
    pair = shapes.example_pair(name, 800)
    assert pair.truth.shape == (pair.x.n_vertices,)
    i, j = pair.x.edges.T
    before = lengths(pair.x)
    after = np.linalg.norm(pair.y.vertices[pair.truth[i]] - pair.y.vertices[pair.truth[j]], axis=1)
    if name == "remeshed":
        # No longer one to one, but neighbours stay neighbours.
        assert np.median(np.abs(after / before - 1)) < 0.5
        assert np.unique(pair.truth).size > 0.6 * pair.x.n_vertices
        return
    assert (np.sort(pair.truth) == np.arange(pair.y.n_vertices)).all()
    assert (pair.truth != np.arange(pair.x.n_vertices)).mean() > 0.9
    strain = np.abs(np.log(after / before))
    assert strain.mean() < (0.12 if pair.near_isometric else 0.4)
    faces = {tuple(sorted(f)) for f in pair.truth[pair.x.faces].tolist()}
    assert faces == {tuple(sorted(f)) for f in pair.y.faces.tolist()}


# --- what is refused -------------------------------------------------------------------------------------------


def broken(change):
    vertices, faces = CORNERS.copy(), FACES.copy()
    return change(vertices, faces)


def with_nan(vertices, faces):
    vertices[2, 1] = np.nan
    return vertices, faces


def out_of_range(vertices, faces):
    faces[1, 2] = 4
    return vertices, faces


def negative(vertices, faces):
    faces[0, 0] = -1
    return vertices, faces


def repeated(vertices, faces):
    faces[2] = [0, 3, 3]
    return vertices, faces


def flat(vertices, faces):
    vertices[3] = [0.5, 0.5, 0.0]
    return vertices, faces


def flipped(vertices, faces):
    faces[1] = faces[1, ::-1]
    return vertices, faces


def unused(vertices, faces):
    return np.vstack([vertices, [[2.0, 2.0, 2.0]]]), faces


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_nan, r"vertices\[2, 1\] is nan"),
        (out_of_range, r"faces\[1, 2\] is 4; expected a vertex in 0 \.\.\. 3"),
        (negative, r"faces\[0, 0\] is -1"),
        (repeated, r"faces\[2\] is \[0, 3, 3\]; expected three different vertices"),
        (flat, r"faces\[3\] is \[1, 2, 3\], a triangle without area"),
        (flipped, r"directed edge \(\d, \d\) in 2 triangles"),
        (unused, r"vertices\[4\] is in no triangle"),
        (lambda v, f: (v[:, :2], f), r"vertices has shape \(4, 2\); expected \(n, 3\)"),
        (lambda v, f: (v, f[:, :2]), r"faces has shape \(4, 2\); expected \(m, 3\)"),
        (lambda v, f: (v, f[:0]), r"faces has shape \(0, 3\)"),
    ],
)
def test_bad_meshes(change, message):
    with pytest.raises(ValueError, match=message):
        shapes.Mesh(*broken(change))


def test_faces_are_integers():
    with pytest.raises(TypeError, match="faces has dtype float64"):
        shapes.Mesh(CORNERS, FACES.astype(float))


def test_meshes_are_copies_that_cannot_be_written_to():
    vertices, faces = CORNERS.copy(), FACES.copy()
    mesh = shapes.Mesh(vertices, faces)
    vertices[0], faces[0] = 7.0, 0
    np.testing.assert_array_equal(mesh.vertices, CORNERS)
    np.testing.assert_array_equal(mesh.faces, FACES)
    for array in (mesh.vertices, mesh.faces):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: shapes.sphere(3), ValueError, "n_vertices=3 must be at least 12"),
        (lambda: shapes.sphere(100.0), TypeError, r"n_vertices=100.0 is not an integer"),
        (lambda: shapes.ellipsoid((1, 2)), ValueError, r"axes has shape \(2,\)"),
        (lambda: shapes.ellipsoid((1, 2, -1)), ValueError, "axes=.* must be positive"),
        (lambda: shapes.ellipsoid(bumps=-1), ValueError, "bumps=-1 must be at least 0"),
        (lambda: shapes.torus(0.8), ValueError, r"tube=0.8 must be in \(0, 0.7\)"),
        (lambda: shapes.torus(warp=np.nan), ValueError, "warp=nan must be finite"),
        (lambda: shapes.cylinder(5), ValueError, r"bend=5.0 must be in \[-4, 4\]"),
        (lambda: shapes.cylinder(stretch=0), ValueError, "stretch=0.0 must be positive"),
        (lambda: shapes.body("run"), ValueError, "pose='run' is unknown"),
        (lambda: shapes.body("wlak"), ValueError, "did you mean 'walk'"),
        (lambda: shapes.body(7), TypeError, "pose=7 must be a name or a mapping"),
        (lambda: shapes.body({"tail": (0, 0, 1)}), ValueError, "joint='tail' is unknown"),
        (lambda: shapes.body({"neck": (0, 1)}), ValueError, r"pose\['neck'\] has shape \(2,\)"),
        (lambda: shapes.body({"neck": (0, 1, np.inf)}), ValueError, r"pose\['neck'\]\[2\] is inf"),
        (lambda: shapes.body(build="tall"), ValueError, "build='tall' is unknown"),
        (lambda: shapes.body(n_vertices=100), ValueError, "n_vertices=100 must be at least 500"),
        (lambda: shapes.example_pair("fish"), ValueError, "name='fish' is unknown"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_pose_of_one_joint_moves_one_limb():
    rest, bent = shapes.body(n_vertices=800), shapes.body({"left elbow": (0, 0, 1.0)}, n_vertices=800)
    moved = np.linalg.norm(bent.vertices - rest.vertices, axis=1) > 1e-9
    assert 0.02 < moved.mean() < 0.2
    assert (rest.vertices[moved, 0] > 0.45).all()


def test_the_package_loads_shapes_when_asked():
    assert ots.shapes is shapes
    assert "shapes" in ots.__all__
    with pytest.raises(AttributeError, match="no attribute 'shape'"):
        ots.shape  # noqa: B018
