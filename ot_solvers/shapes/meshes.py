"""Round shapes with known correspondences, and with bumps that make every place unique."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import validation as check
from .mesh import Mesh
from .surfaces import level_set, spread_points

__all__ = ["cylinder", "ellipsoid", "sphere", "torus"]

#: Of the torus and of the cylinder that others are deformations of.
TUBE, RADIUS, HALF_LENGTH = 0.35, 0.22, 1.0


def sphere(n_vertices: int = 2000, *, seed: Any = 0) -> Mesh:
    """The unit sphere, with vertices on a Fibonacci spiral.

    Every rotation of it is an isometry: a shape to compute on, not one to match.

    Parameters
    ----------
    n_vertices : int >= 12
    seed : None, int or numpy.random.Generator
        Of a rotation.

    Returns
    -------
    Mesh
        With exactly `n_vertices` vertices.

    References
    ----------
    [gonzalez:10]_
    """
    return spread_points(check.count(n_vertices, "n_vertices", 12), seed)


def ellipsoid(axes: Any = (1.0, 1.0, 1.0), *, bumps: int = 8, n_vertices: int = 2000, seed: int = 0) -> Mesh:
    """A sphere with bumps, stretched along its axes.

    Parameters
    ----------
    axes : (3,) array > 0
        Half lengths. Ellipsoids of other axes are not isometric.
    bumps : int >= 0
        How many; without any there are reflections, and rotations if axes are equal, that nothing intrinsic tells
        from the identity.
    n_vertices : int >= 12
    seed : int
        Of the bumps. Ellipsoids of one seed, one number of bumps and one `n_vertices` correspond vertex by vertex.

    Returns
    -------
    Mesh

    Raises
    ------
    ValueError, TypeError
        For axes that are not three positive numbers, and counts that are too small or no integers.
    """
    lengths = check.floating(axes, "axes")
    if lengths.shape != (3,):
        raise ValueError(f"axes has shape {lengths.shape}; expected (3,)")
    check.finite(lengths, "axes")
    if lengths.min() <= 0:
        raise ValueError(f"axes={axes!r} must be positive")
    base = spread_points(check.count(n_vertices, "n_vertices", 12), seed)
    rng = np.random.default_rng([seed, 1])
    centres = rng.normal(size=(check.count(bumps, "bumps", 0), 3))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    height = _bumps(base.vertices, centres, rng, 1.0)
    return base.moved(base.vertices * (1 + height[:, None]) * lengths)


def torus(tube: float = 0.35, *, warp: float = 0.0, bumps: int = 8, n_vertices: int = 2000, seed: int = 0) -> Mesh:
    """A ring with bumps, flat or warped.

    Parameters
    ----------
    tube : float in (0, 0.7)
        Radius of the tube around a circle of radius 1. Rings of other tubes are not isometric.
    warp : float
        By how much the ring goes up and down, twice each way around: bending that is nearly isometric.
    bumps : int >= 0
        How many; without any, rotations and reflections are isometries, and nothing intrinsic tells them apart.
    n_vertices : int >= 200
        About so many.
    seed : int
        Of the bumps. Rings of one seed, one number of bumps and one `n_vertices` correspond vertex by vertex.

    Returns
    -------
    Mesh
        Of genus 1.

    Raises
    ------
    ValueError, TypeError
        For numbers out of range.
    """
    tube, warp = check.number(tube, "tube"), check.number(warp, "warp")
    if not 0 < tube < 0.7:
        raise ValueError(f"tube={tube!r} must be in (0, 0.7)")
    if not math.isfinite(warp):
        raise ValueError(f"warp={warp!r} must be finite")
    n_vertices = check.count(n_vertices, "n_vertices", 200)

    def field(points: np.ndarray) -> np.ndarray:
        return np.hypot(np.hypot(points[:, 0], points[:, 1]) - 1, points[:, 2]) - TUBE

    side = 1 + TUBE
    base = level_set(field, (-side, -side, -TUBE), (side, side, TUBE), n_vertices, seed, euler_characteristic=0)
    x, y, z = base.vertices.T
    theta, phi = np.arctan2(y, x), np.arctan2(z, np.hypot(x, y) - 1)
    rng = np.random.default_rng([seed, 2])
    angles = rng.uniform(-np.pi, np.pi, size=(2, check.count(bumps, "bumps", 0)))
    height = _bumps(base.vertices, _on_torus(angles[0], angles[1], TUBE), rng, TUBE)
    points = _on_torus(theta, phi, tube * (1 + height))
    points[:, 2] += warp * np.cos(2 * theta)
    return base.moved(points)


def cylinder(
    bend: float = 0.0, *, stretch: float = 1.0, bumps: int = 8, n_vertices: int = 2000, seed: int = 0
) -> Mesh:
    """A cylinder with round ends and bumps, straight or bent to an arc.

    Parameters
    ----------
    bend : float in [-4, 4]
        Angle between the directions of its ends, in radians: nearly isometric.
    stretch : float > 0
        Length relative to the first one, at the same girth: not isometric.
    bumps : int >= 0
        How many; without any, rotations about the axis and reflections are isometries of the straight one, and
        nothing intrinsic tells them apart.
    n_vertices : int >= 200
        About so many.
    seed : int
        Of the bumps. Cylinders of one seed, one number of bumps and one `n_vertices` correspond vertex by vertex.

    Returns
    -------
    Mesh

    Raises
    ------
    ValueError, TypeError
        For numbers out of range.
    """
    bend, stretch = check.number(bend, "bend"), check.number(stretch, "stretch")
    if not abs(bend) <= 4:
        raise ValueError(f"bend={bend!r} must be in [-4, 4]: beyond, the ends meet")
    if not 0 < stretch < math.inf:
        raise ValueError(f"stretch={stretch!r} must be positive and finite")
    n_vertices = check.count(n_vertices, "n_vertices", 200)

    def nearest(points: np.ndarray) -> np.ndarray:
        return np.clip(points[:, 2], -HALF_LENGTH, HALF_LENGTH)[:, None] * np.array([0.0, 0.0, 1.0])

    def field(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points - nearest(points), axis=1) - RADIUS

    end = HALF_LENGTH + RADIUS
    base = level_set(field, (-RADIUS, -RADIUS, -end), (RADIUS, RADIUS, end), n_vertices, seed)
    rng = np.random.default_rng([seed, 3])
    count = check.count(bumps, "bumps", 0)
    angle, along = rng.uniform(-np.pi, np.pi, count), rng.uniform(-HALF_LENGTH, HALF_LENGTH, count)
    centres = np.stack([RADIUS * np.cos(angle), RADIUS * np.sin(angle), along], axis=1)
    height = _bumps(base.vertices, centres, rng, RADIUS)
    axis = nearest(base.vertices)
    points = axis + (base.vertices - axis) * (1 + height[:, None])
    return base.moved(_bent(points * [1.0, 1.0, stretch], bend, 2 * HALF_LENGTH * stretch))


def _bumps(points: np.ndarray, centres: np.ndarray, rng: np.random.Generator, radius: float) -> np.ndarray:
    """(n,) heights of bumps of different size, relative to `radius`; about half as wide as that."""
    widths = radius * rng.uniform(0.4, 0.8, len(centres))
    heights = rng.uniform(0.3, 0.7, len(centres))
    squared = ((points[:, None] - centres) ** 2).sum(-1)
    return np.exp(-0.5 * squared / widths**2) @ heights


def _on_torus(theta: np.ndarray, phi: np.ndarray, tube: Any) -> np.ndarray:
    out = 1 + tube * np.cos(phi)
    return np.stack([out * np.cos(theta), out * np.sin(theta), tube * np.sin(phi)], axis=1)


def _bent(points: np.ndarray, bend: float, length: float) -> np.ndarray:
    """The z-axis wound along an arc in the plane of x and z, at the same speed."""
    if abs(bend) < 1e-9:
        return points
    x, y, z = points.T
    radius = length / bend
    angle = z / radius
    return np.stack([radius - (radius - x) * np.cos(angle), y, (radius - x) * np.sin(angle)], axis=1)
