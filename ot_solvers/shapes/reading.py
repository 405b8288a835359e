"""Arguments of this subpackage: counts, and indices of vertices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..namespaces import host_array

__all__ = ["read_vertices"]


def read_vertices(value: Any, argument: str, n: int) -> np.ndarray:
    """(s,) indices of vertices of a mesh of n vertices, s at least 1."""
    array = host_array(value, argument)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{argument} has dtype {array.dtype}; expected integers, indices of vertices")
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{argument} has shape {array.shape}; expected (s,), s at least 1")
    outside = (array < 0) | (array >= n)
    if outside.any():
        k = int(np.argmax(outside))
        raise ValueError(f"{argument}[{k}] is {array[k]}; expected a vertex in 0 ... {n - 1}")
    return array.astype(np.int64)
