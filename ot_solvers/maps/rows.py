"""Rows of a table by the value of a column."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["rows_of"]

#: Values that an error lists.
LISTED = 10


def rows_of(column: np.ndarray, name: str, value: str, n: int, path: str) -> np.ndarray:
    """(n,) bool: where the column has the value, which is text; numbers are compared as numbers.

    Raises
    ------
    ValueError
        For a column of another length, and a value that it does not have, naming those that it has.
    """
    if column.shape != (n,):
        raise ValueError(f"{path}: column {name!r} has shape {column.shape}; expected ({n},), one value per row")
    chosen = np.array([_equal(entry, value) for entry in column.tolist()], dtype=bool)
    if not chosen.any():
        found = sorted({str(entry) for entry in column.tolist() if entry is not None})
        listed = ", ".join(found[:LISTED]) + (f", … ({len(found)} values)" if len(found) > LISTED else "")
        raise ValueError(f"{path}: no row has {name}={value}; values of {name!r}: {listed or 'none'}")
    return chosen


def _equal(entry: Any, value: str) -> bool:
    if isinstance(entry, (int, float)) and not isinstance(entry, bool):
        try:
            return float(value) == entry
        except ValueError:
            return False
    return str(entry) == value if entry is not None else False
