"""Point maps from functional maps, and back: nearest neighbours in the spectral embedding, more and more of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .laplacian import Eigenbasis

__all__ = ["functional_from_point_map", "point_map_from_functional", "upsampled"]

#: Distances that are held at once: 32 MB.
BLOCK = 1 << 22


def point_map_from_functional(C: np.ndarray, source: Eigenbasis, target: Eigenbasis) -> np.ndarray:
    """For each vertex of the one shape the vertex of the other, from a functional map the other way.

    A functional map from y to x pulls functions on y back to x; the point map goes from x to y. Where it leads is
    the nearest neighbour of row ``vectors_x[i] @ C`` among the rows of ``vectors_y``.

    Parameters
    ----------
    C : (k, l) array
        Takes coefficients of functions on `target` to those on `source`.
    source : Eigenbasis
        Of x, of k frequencies or more.
    target : Eigenbasis
        Of y, of l frequencies or more.

    Returns
    -------
    (n,) int array
        Vertex of y for each vertex of x.

    Raises
    ------
    ValueError
        For a matrix of another shape.

    References
    ----------
    [ovsjanikov:12]_
    """
    C = np.asarray(C, dtype=np.float64)
    k, l = source.values.size, target.values.size
    if C.ndim != 2 or not 1 <= C.shape[0] <= k or not 1 <= C.shape[1] <= l:
        raise ValueError(f"C has shape {C.shape}; expected at most ({k}, {l}), the frequencies of both bases")
    k, l = C.shape
    return _nearest(source.vectors[:, :k] @ C, target.vectors[:, :l])


def _nearest(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """For each point the nearest target. By products of blocks: trees do not help in dozens of dimensions."""
    half = 0.5 * (targets**2).sum(1)
    rows = max(1, BLOCK // len(targets))
    blocks = (points[k : k + rows] @ targets.T - half for k in range(0, len(points), rows))
    return np.concatenate([scores.argmax(axis=1) for scores in blocks])


def functional_from_point_map(point_map: Any, source: Eigenbasis, target: Eigenbasis) -> np.ndarray:
    """The functional map from y to x that a point map from x to y makes.

    Parameters
    ----------
    point_map : (n,) int array
        Vertex of y for each vertex of x.
    source : Eigenbasis
        Of x, k frequencies.
    target : Eigenbasis
        Of y, l frequencies.

    Returns
    -------
    (k, l) array
    """
    return source.analysis @ target.vectors[point_map]


def upsampled(
    C: np.ndarray, source: Eigenbasis, target: Eigenbasis, frequencies: int, step: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """A functional map of more frequencies, a few more at a time: point map, functional map, and again.

    Parameters
    ----------
    C : (k, k) array
        As of `point_map_from_functional`.
    source, target : Eigenbasis
        Of at least `frequencies` frequencies.
    frequencies : int
        Wanted in the end.
    step : int >= 1

    Returns
    -------
    point_map : (n,) int array
    C : (frequencies, frequencies) array

    References
    ----------
    [melzi:19]_
    """
    point_map = point_map_from_functional(C, source, target)
    k = len(C)
    while k < frequencies:
        k = min(k + step, frequencies)
        x, y = source.first(k), target.first(k)
        C = functional_from_point_map(point_map, x, y)
        point_map = point_map_from_functional(C, x, y)
    return point_map, C
