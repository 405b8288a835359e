"""Pictures of maps: every triangle that is seen has the colour it should have."""

from __future__ import annotations

import numpy as np
import pytest

from ot_solvers import shapes

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def no_windows():
    import matplotlib.pyplot as plt

    matplotlib.use("Agg")
    yield
    plt.close("all")


def test_colours_tell_places_apart():
    mesh = shapes.body(n_vertices=600)
    colours = shapes.position_colours(mesh)
    assert colours.shape == (mesh.n_vertices, 3) and colours.min() >= 0 and colours.max() <= 1
    i, j = mesh.edges.T
    near = np.linalg.norm(colours[i] - colours[j], axis=1).mean()
    rng = np.random.default_rng(0)
    far = np.linalg.norm(colours - rng.permutation(colours), axis=1).mean()
    assert far > 4 * near


def test_a_mesh_is_drawn_from_the_front():
    import matplotlib.pyplot as plt

    mesh = shapes.sphere(300)
    axes = plt.subplots()[1]
    drawn = shapes.draw_mesh(axes, mesh, np.tile([1.0, 0.0, 0.0], (300, 1)), view=(0.0, 0.0), shift=(3.0, 0.0))
    paths = drawn.get_paths()
    # Half of the triangles face the observer, who looks along -x and sees y to the right.
    assert len(paths) == pytest.approx(len(mesh.faces) / 2, rel=0.1)
    points = np.concatenate([p.vertices for p in paths])
    assert points[:, 0].mean() == pytest.approx(3.0, abs=0.05)
    np.testing.assert_allclose(np.ptp(points, axis=0), 2.0, atol=0.1)
    colours = drawn.get_facecolor()
    assert (colours[:, 0] > 0.4).all() and (colours[:, 1:3] == 0).all()
    assert np.ptp(colours[:, 0]) > 0.2  # there is light


def test_a_map_carries_colours():
    mesh = shapes.cylinder(1.0, n_vertices=300)
    other, where = mesh.shuffled(seed=0)
    back = np.empty(mesh.n_vertices, dtype=int)
    back[where] = np.arange(mesh.n_vertices)
    # Unturned, so that both pictures are of the same triangles.
    same = shapes.Mesh(mesh.vertices[back], other.faces)
    figure = shapes.plot_map(mesh, same, back)
    first, second = (axes.collections[0].get_facecolor() for axes in figure.axes)
    np.testing.assert_allclose(np.sort(first, axis=0), np.sort(second, axis=0), atol=1e-9)
    wrong = shapes.plot_map(mesh, same, np.roll(back, 7)).axes[1].collections[0].get_facecolor()
    assert np.abs(np.sort(wrong, axis=0) - np.sort(first, axis=0)).max() > 0.05


def test_bad_pictures():
    import matplotlib.pyplot as plt

    mesh = shapes.sphere(30)
    with pytest.raises(ValueError, match=r"colours has shape \(30, 2\); expected \(30, 3\) or \(30, 4\)"):
        shapes.draw_mesh(plt.subplots()[1], mesh, np.zeros((30, 2)))
    with pytest.raises(ValueError, match="inverse_point_map has 2 entries; expected 30"):
        shapes.plot_map(mesh, mesh, [0, 1])
    with pytest.raises(ValueError, match=r"inverse_point_map\[0\] is 30"):
        shapes.plot_map(mesh, mesh, np.full(30, 30))
