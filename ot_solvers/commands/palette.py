"""The colours of a picture: each distinct one once, and a palette of about N weighted ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BISECTIONS = 24
ENOUGH = 0.95  # of the number of entries that was asked for


@dataclass(frozen=True)
class DistinctColours:
    """The distinct colours of a picture. Photographs have 10 to 100 times fewer of them than pixels.

    Attributes
    ----------
    rgb : (u, 3) array, uint8
    counts : (u,) array
        Pixels of each colour, those outside the mask not counted.
    index : (h, w) array
        Which colour each pixel has.
    """

    rgb: np.ndarray
    counts: np.ndarray
    index: np.ndarray

    def paint(self, values: np.ndarray) -> np.ndarray:
        """Spread one value per colour, (u, ...), over the picture, (h, w, ...)."""
        return values[self.index]


@dataclass(frozen=True)
class Palette:
    """Weighted colours.

    Attributes
    ----------
    colours : (k, 3) array
        Mean colour of each cell.
    weights : (k,) array
        Share of the picture, summing to 1.
    """

    colours: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.weights)


def distinct_colours(rgb: np.ndarray, mask: np.ndarray | None = None) -> DistinctColours:
    """Find the distinct colours of a picture.

    Parameters
    ----------
    rgb : (h, w, 3) array, uint8
    mask : (h, w) array of bool, optional
        Pixels that count.

    Returns
    -------
    DistinctColours
    """
    codes = (rgb[..., 0].astype(np.int32) << 16) | (rgb[..., 1].astype(np.int32) << 8) | rgb[..., 2]
    # Counting into all 2^24 colours beats sorting the pixels as soon as a picture is a photograph.
    present = np.flatnonzero(np.bincount(codes.ravel(), minlength=1 << 24))
    position = np.zeros(1 << 24, dtype=np.int32)
    position[present] = np.arange(len(present), dtype=np.int32)
    index = position[codes]
    counted = index if mask is None else index[mask]
    counts = np.bincount(counted.ravel(), minlength=len(present))
    colours = np.stack([present >> 16, (present >> 8) & 255, present & 255], axis=1).astype(np.uint8)
    return DistinctColours(colours, counts, index)


def grid_palette(colours: np.ndarray, counts: np.ndarray, size: int) -> Palette:
    """Summarise weighted colours by the means of the cells of a regular grid.

    The side of the cells is found by bisection, so that nearly `size` of them are occupied. Nothing is
    random: same colours, same palette.

    Parameters
    ----------
    colours : (u, 3) array
    counts : (u,) array >= 0
        At least one of them positive.
    size : int
        Most entries of the palette.

    Returns
    -------
    Palette
        With at most `size` entries; the weighted mean colour is kept.
    """
    colours, counts = colours[counts > 0], counts[counts > 0].astype(float)
    if len(colours) <= size:
        return Palette(colours, counts / counts.sum())
    low = colours.min(axis=0)
    largest = float((colours - low).max()) * (1 + 1e-9)  # one cell of this side holds everything
    fine, coarse = 0.0, largest
    cell = _cells(colours - low, coarse)
    for _ in range(BISECTIONS):
        side = (fine + coarse) / 2
        trial = _cells(colours - low, side)
        if trial.max() + 1 > size:
            fine = side
            continue
        coarse, cell = side, trial
        if trial.max() + 1 >= ENOUGH * size:
            break
    mass = np.bincount(cell, weights=counts)
    means = [np.bincount(cell, weights=counts * channel) / mass for channel in colours.T]
    return Palette(np.stack(means, axis=1), mass / mass.sum())


def interpolated(rgb: np.ndarray, function: Callable[[np.ndarray], np.ndarray], nodes: int) -> np.ndarray:
    """Evaluate a function of colour at many colours, by trilinear interpolation on a lattice.

    Parameters
    ----------
    rgb : (u, 3) array, uint8
    function : callable
        From sRGB in [0, 1], (k, 3), to (k, 3). Called once, for the nodes around colours that occur.
    nodes : int >= 2
        Lattice points along each axis of the colour cube.

    Returns
    -------
    (u, 3) array
    """
    position = rgb * ((nodes - 1) / 255)
    corner = np.minimum(position.astype(np.int64), nodes - 2)
    share = position - corner
    first = (corner[:, 0] * nodes + corner[:, 1]) * nodes + corner[:, 2]
    around = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    needed = np.zeros(nodes**3, dtype=bool)
    for i, j, k in around:
        needed[first + (i * nodes + j) * nodes + k] = True
    table = np.zeros((nodes**3, 3))
    at = np.flatnonzero(needed)
    table[at] = function(np.stack(np.unravel_index(at, (nodes,) * 3), axis=1) / (nodes - 1))
    values = np.zeros((len(rgb), 3))
    for i, j, k in around:
        weight = np.prod(np.where((i, j, k), share, 1 - share), axis=1)
        values += weight[:, None] * table[first + (i * nodes + j) * nodes + k]
    return values


def _cells(offsets: np.ndarray, side: float) -> np.ndarray:
    """Number of the occupied cell that each colour lies in."""
    steps = np.floor(offsets / side).astype(np.int64)
    width = steps.max(axis=0) + 1
    codes = (steps[:, 0] * width[1] + steps[:, 1]) * width[2] + steps[:, 2]
    return np.unique(codes, return_inverse=True)[1]
