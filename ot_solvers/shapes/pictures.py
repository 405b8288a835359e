"""Pictures of shapes and of maps between them (matplotlib, imported when drawn)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import validation as check
from .mesh import Mesh, read_mesh
from .reading import read_vertices

__all__ = ["draw_mesh", "plot_map", "position_colours"]

#: Where light comes from, seen from the observer: left, above, in front; and the share that is everywhere.
LIGHT, AMBIENT = np.array([-0.45, 0.65, 0.6]), 0.45


def position_colours(mesh: Mesh) -> np.ndarray:
    """A colour for each vertex by where it is: near vertices have similar ones, far ones do not.

    Parameters
    ----------
    mesh : Mesh

    Returns
    -------
    (n, 3) array in [0, 1]
        Red, green and blue.
    """
    centred = mesh.vertices - mesh.vertices.mean(0)
    # Along its own axes, so that all of the colours are used; the longest one gets the strongest contrast.
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    ranks = (centred @ axes.T).argsort(0).argsort(0) / (mesh.n_vertices - 1)
    hue, light, warmth = 2 * np.pi * 0.8 * ranks[:, 0], ranks[:, 1], ranks[:, 2]
    phases = np.array([0.0, 2.1, 4.2])
    colours = 0.52 + 0.40 * np.cos(hue[:, None] - phases) + 0.22 * (light[:, None] - 0.5)
    colours += 0.16 * (warmth[:, None] - 0.5) * np.array([1.0, 0.1, -1.0])
    return np.clip(colours, 0.0, 1.0)


def draw_mesh(
    axes: Any,
    mesh: Mesh,
    colours: Any = None,
    *,
    view: tuple[float, float] = (8.0, -75.0),
    shift: Any = (0.0, 0.0),
):
    """Draw a shape into axes of two dimensions, from far away and with light from above.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    mesh : Mesh
        With z upwards.
    colours : (n, 3) or (n, 4) array, optional
        Of the vertices; one for all by default.
    view : (float, float)
        Elevation and azimuth of the observer in degrees.
    shift : (2,) array
        Where in the axes the middle of the shape's box is.

    Returns
    -------
    matplotlib.collections.PolyCollection

    Raises
    ------
    ValueError, TypeError
        For colours of another shape.
    """
    from matplotlib.collections import PolyCollection

    if colours is None:
        colours = np.tile([0.62, 0.70, 0.80], (mesh.n_vertices, 1))
    colours = check.floating(colours, "colours")
    if colours.ndim != 2 or len(colours) != mesh.n_vertices or colours.shape[1] not in (3, 4):
        raise ValueError(
            f"colours has shape {colours.shape}; expected ({mesh.n_vertices}, 3) or ({mesh.n_vertices}, 4)"
        )
    points, normals = mesh.vertices @ _camera(view).T, mesh.vertex_normals @ _camera(view).T
    flat = points[:, :2]
    flat = flat - 0.5 * (flat.min(0) + flat.max(0)) + np.asarray(shift)
    corners = flat[mesh.faces]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    front = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 0
    order = np.argsort(points[mesh.faces, 2].mean(1))
    order = order[front[order]]
    shade = AMBIENT + (1 - AMBIENT) * np.clip(normals @ LIGHT / np.linalg.norm(LIGHT), 0.0, 1.0)
    painted = np.clip(colours[:, :3] * shade[:, None] * 1.1, 0.0, 1.0)[mesh.faces].mean(1)
    # Edges in the colour of their triangle close the gaps between them.
    drawn = PolyCollection(corners[order], facecolors=painted[order], edgecolors=painted[order], linewidths=0.4)
    axes.add_collection(drawn)
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.set_axis_off()
    return drawn


def plot_map(x: Mesh, y: Mesh, inverse_point_map: Any, axes: Any = None, **options: Any):
    """Both shapes, the first one in colours of its own, the second one in those that the map brings.

    Parameters
    ----------
    x, y : Mesh
    inverse_point_map : (m,) int array
        Vertex of x for each vertex of y.
    axes : two matplotlib.axes.Axes, optional
    **options
        Of `draw_mesh`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError
        For maps that do not belong to these shapes.
    """
    read_mesh(x, "x"), read_mesh(y, "y")
    index = read_vertices(inverse_point_map, "inverse_point_map", x.n_vertices)
    if index.size != y.n_vertices:
        raise ValueError(f"inverse_point_map has {index.size} entries; expected {y.n_vertices}, the vertices of y")
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")[1]
    colours = position_colours(x)
    draw_mesh(axes[0], x, colours, **options)
    draw_mesh(axes[1], y, colours[index], **options)
    return axes[0].figure


def _camera(view: tuple[float, float]) -> np.ndarray:
    """(3, 3) rows: to the right, upwards, towards the observer."""
    elevation, azimuth = np.radians(view)
    towards = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    return np.stack([right, np.cross(towards, right), towards])
