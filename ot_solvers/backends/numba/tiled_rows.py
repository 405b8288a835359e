"""Point clouds in tiles with bounding boxes: which pairs a kernel need not look at.

Every pair of a point with a tile costs at least what the nearest point of the tile's box would. Where that
makes all its exponentials negligible, or all its reduced costs too large, the tile is left out. What is left out
of a sum is a share of `NEGLIGIBLE` at most: less than rounding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...geometry import PointCloud
from ...geometry.tiles import Tiles
from .cost_kernels import cost_kernel, cost_name
from .policy import kernel
from .rows import CLOUD_TILE, TiledRows, accumulate, finish

__all__ = ["TiledCloud", "near_runs", "nearest_costs"]

#: Points per tile: fewer mean tighter boxes and more of them.
TILE = 128
#: Points that are read together, at most: `CLOUD_TILE`.
RUN = CLOUD_TILE
#: Coordinates up to which boxes leave enough out.
MOST_COORDINATES = 3
#: Pairs, and tiles, from which it pays.
FEWEST_PAIRS, FEWEST_TILES = 1 << 25, 16
#: Shares of ``a_i b_j``, or of the sum of a row, that may be left out: rounding.
NEGLIGIBLE = {"float64": 2.0**-56, "float32": 2.0**-27}
#: Shares of the weight of a column of which what was left out may be more than a 1e-8th, in float32 a 1e-4th.
MASS_FLOOR = {"float64": 1e-8, "float32": 1e-4}


class TiledCloud:
    """A point cloud as the kernels of this module's kind read it.

    Parameters
    ----------
    geometry : PointCloud
        One for which `suits` holds.
    precision : {"float64", "float32"}
    """

    def __init__(self, geometry: PointCloud, precision: str):
        dtype = np.dtype(precision).type
        self.x_tiles, self.y_tiles = geometry.tiles(TILE)
        x, y = geometry.tiled_columns(dtype, TILE)
        record = geometry.cost.kernel(dtype, len(x))
        low, high = (z.astype(dtype, copy=False) for z in (self.y_tiles.low, self.y_tiles.high))
        self.rows = TiledRows(cost_name(record.__class__), tuple(record), x, y, low, high)
        #: Base-2 logarithm of the share of ``a_i b_j`` that an entry may be at most to be left out.
        self.least = math.log2(NEGLIGIBLE[precision])
        #: The same for what is summed over a row, whatever its weights.
        self.least_of_row = self.least - math.log2(y.shape[1])

    @staticmethod
    def suits(geometry: Any) -> bool:
        """Whether boxes are expected to leave out enough."""
        if not isinstance(geometry, PointCloud) or not geometry.cost.boundable:
            return False
        n, m = geometry.shape
        if n * m < FEWEST_PAIRS or m < FEWEST_TILES * TILE:
            return False
        x = geometry.prepared[0]
        return x.shape[1] <= MOST_COORDINATES and geometry.cost.kernel(np.float64, x.shape[1]) is not None

    def of_rows(self, values: np.ndarray) -> np.ndarray:
        """(n, …) values of the rows in the order of the kernels."""
        return values[self.x_tiles.order]

    def of_columns(self, values: np.ndarray) -> np.ndarray:
        """(…, m) values of the columns in the order of the kernels."""
        return values[..., self.y_tiles.order]

    def rows_back(self, values: np.ndarray) -> np.ndarray:
        """(n, …) values of the rows in the order of the caller."""
        return _scattered(values, self.x_tiles)

    def columns_back(self, values: np.ndarray) -> np.ndarray:
        """(m,) values of the columns in the order of the caller."""
        return _scattered(values, self.y_tiles)

    def highest(self, values: np.ndarray) -> np.ndarray:
        """(T,) largest value of every tile, of values in the order of the kernels."""
        return np.maximum.reduceat(values, np.arange(0, values.size, TILE))


def _scattered(values: np.ndarray, tiles: Tiles) -> np.ndarray:
    out = np.empty_like(values)
    out[tiles.order] = values
    return out


@kernel
def nearest_costs(rows, i, out):
    """Costs of row i to the nearest point of every box, a lower bound of the costs of its tile."""
    cost = cost_kernel(rows.name, rows.numbers)
    tiles = rows.low.shape[1]
    out[:] = 0
    for k in range(rows.x.shape[0]):
        u = rows.x[k, i]
        low = rows.low[k]
        high = rows.high[k]
        for t in range(tiles):
            out[t] = accumulate(cost, out[t], u, min(max(u, low[t]), high[t]))
    for t in range(tiles):
        out[t] = finish(cost, out[t])


@kernel
def near_runs(rows, nearest, top, fi, scale, least, runs):
    """Ranges of columns that may have exponents ``top_j + (f_i - C_ij) scale >= least``; how many.

    Neighbouring tiles make one range ``runs[k, 0]:runs[k, 1]``, of at most `RUN` columns.
    """
    m = rows.y.shape[1]
    count = 0
    for t in range(nearest.size):
        if top[t] + (fi - nearest[t]) * scale >= least:
            start = t * TILE
            stop = min(m, start + TILE)
            if count > 0 and runs[count - 1, 1] == start and stop - runs[count - 1, 0] <= RUN:
                runs[count - 1, 1] = stop
            else:
                runs[count, 0] = start
                runs[count, 1] = stop
                count += 1
    return count
