"""How good a map is, where the right one is known."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import validation as check
from .geodesics import geodesic_distances
from .mesh import Mesh, read_mesh
from .reading import read_vertices

__all__ = ["PCKCurve", "geodesic_errors", "mean_geodesic_error", "pck_curve"]


class PCKCurve(NamedTuple):
    """The share of vertices whose error is at most a threshold, by threshold.

    Attributes
    ----------
    thresholds : (t,) array
        In units of the square root of the area, ascending from 0.
    shares : (t,) array in [0, 1]
    area : float
        Under the curve, by the trapezoidal rule, relative to the largest threshold: 1 for a perfect map.
    """

    thresholds: np.ndarray
    shares: np.ndarray
    area: float


def geodesic_errors(y: Mesh, point_map: Any, truth: Any) -> np.ndarray:
    """Distance along y between where each vertex was sent and where it belongs.

    Parameters
    ----------
    y : Mesh
    point_map : (n,) int array
        Vertex of y for each vertex of x.
    truth : (n,) int array
        The right ones.

    Returns
    -------
    (n,) array
        In units of the square root of the area of y.

    Raises
    ------
    ValueError, TypeError
        For maps of different length, and vertices that y does not have.
    """
    read_mesh(y, "y")
    point_map, truth = (
        read_vertices(z, name, y.n_vertices) for z, name in ((point_map, "point_map"), (truth, "truth"))
    )
    if point_map.size != truth.size:
        raise ValueError(f"point_map and truth have {point_map.size} and {truth.size} entries; expected as many")
    sources, row = np.unique(truth, return_inverse=True)
    return geodesic_distances(y, sources)[row, point_map] / np.sqrt(y.area)


def mean_geodesic_error(y: Mesh, point_map: Any, truth: Any) -> float:
    """Mean of `geodesic_errors`, times 100, as papers state it.

    Parameters
    ----------
    y : Mesh
    point_map, truth : (n,) int arrays

    Returns
    -------
    float
    """
    return 100 * float(geodesic_errors(y, point_map, truth).mean())


def pck_curve(errors: Any, largest: float = 0.2, n_thresholds: int = 201) -> PCKCurve:
    """Share of correct points ("percentage of correct keypoints") by what counts as correct.

    Parameters
    ----------
    errors : (n,) array >= 0
        As of `geodesic_errors`.
    largest : float > 0
        Threshold.
    n_thresholds : int >= 2

    Returns
    -------
    PCKCurve

    Raises
    ------
    ValueError, TypeError
        For errors that are negative or not finite, and numbers out of range.

    References
    ----------
    [kim:11]_
    """
    errors = check.floating(errors, "errors")
    if errors.ndim != 1 or errors.size == 0:
        raise ValueError(f"errors has shape {errors.shape}; expected (n,), n at least 1")
    check.finite(errors, "errors")
    if errors.min() < 0:
        raise ValueError(f"errors[{int(errors.argmin())}] is {errors.min():g}; expected distances")
    largest = check.number(largest, "largest")
    if not 0 < largest < np.inf:
        raise ValueError(f"largest={largest!r} must be positive and finite")
    thresholds = np.linspace(0, largest, check.count(n_thresholds, "n_thresholds", 2))
    shares = np.searchsorted(np.sort(errors), thresholds, side="right") / errors.size
    area = float(((shares[1:] + shares[:-1]) / 2).mean())
    return PCKCurve(thresholds, shares, area)
