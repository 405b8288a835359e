"""What a geometry is: a cost matrix that need not be stored."""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as compat
import numpy as np

__all__ = ["Geometry"]


class Geometry:
    """An ``(n, m)`` matrix of costs ``C_ij``, known through what backends ask of it.

    Subclasses give `shape`, `dtype`, the transposed view `T` and `block`; everything a backend does can
    be built from `block`, and backends have fast paths for the geometries they know.
    """

    #: Word by which backends list what they can do for this geometry.
    kind: str = "generic"

    @property
    def shape(self) -> tuple[int, int]:
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64: the precision of the costs."""
        raise NotImplementedError

    @property
    def T(self) -> Geometry:
        """The transposed matrix, as a view."""
        raise NotImplementedError

    def block(self, start: int, stop: int) -> Any:
        """Rows ``start:stop`` as a dense float64 ``(stop - start, m)`` array; ``+inf`` where forbidden."""
        raise NotImplementedError

    @property
    def depth(self) -> int:
        """Numbers per pair that `block` holds while it computes: the coordinates, for points."""
        return 1

    @property
    def xp(self) -> Any:
        """Array namespace of what `block` returns."""
        return compat

    @property
    def forbids(self) -> bool:
        """Whether some pair may be forbidden (``+inf``)."""
        return False

    def spread(self) -> float:
        """Upper bound of ``max C - min C`` over finite entries, cheap: where eps-scaling starts."""
        raise NotImplementedError

    def sampled(self, rows: np.ndarray, columns: np.ndarray) -> Geometry | None:
        """The costs of some rows and columns only, a copy of that size; None where that is no geometry."""
        return None

    def cut_off(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n,) and (m,) masks of the points with weight that no allowed pair joins to weight."""
        return np.zeros(self.shape[0], dtype=bool), np.zeros(self.shape[1], dtype=bool)
