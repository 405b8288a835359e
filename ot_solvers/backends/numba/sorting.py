"""Sorting rows of floats by the faster of two: NumPy's vectorised sort and the radix sort.

Which one is faster is a property of the processor: NumPy's wins where compressed stores are cheap and loses
by several times elsewhere. It is measured once per process, with the first long row; sorted values are the same.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar

import numpy as np

from .radix import sort_doubles, sort_singles
from .tags import MOST, SINGLE_BITS, tag_rows, untag_doubles, untag_singles

__all__ = ["Desk", "argsort_rows", "radix_sort", "sort_rows"]

#: Rows shorter than this leave a radix sort nothing to gain.
SHORT = 512
#: Largest desk that is kept, and how many.
KEPT_BYTES, KEPT_DESKS = 12 << 20, 4
#: Keys of the measurement.
TRIAL = 1 << 13


class Desk:
    """Memory of one piece of work after the other: new pages cost more than a pass over them."""

    #: Those that nobody uses; taking from a list and adding to it are atomic.
    _free: ClassVar[list[Desk]] = []

    def __init__(self):
        self._arrays: dict[str, np.ndarray] = {}

    @classmethod
    @contextmanager
    def lent(cls):
        """A desk for a while; small ones are kept for later calls."""
        try:
            desk = cls._free.pop()
        except IndexError:
            desk = cls()
        try:
            yield desk
        finally:
            if sum(array.nbytes for array in desk._arrays.values()) <= KEPT_BYTES and len(cls._free) < KEPT_DESKS:
                cls._free.append(desk)

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Memory by name, as it was left."""
        size, dtype = math.prod(shape), np.dtype(dtype)
        found = self._arrays.get(name)
        if found is None or found.size < size or found.dtype != dtype:
            found = self._arrays[name] = np.empty(size, dtype)
        return found[:size].reshape(shape)


def sort_rows(rows: np.ndarray, desk: Desk) -> None:
    """Sort each row of (l, n) float32 or float64, in place."""
    if rows.shape[1] < SHORT or not radix_is_faster(rows.dtype.name):
        rows.sort(axis=1)
    else:
        radix_sort(rows, desk)


def radix_sort(rows: np.ndarray, desk: Desk) -> None:
    """`sort_rows` by the radix sort."""
    spare = desk.array("spare", (rows.shape[1],), rows.dtype)
    if rows.dtype == np.float32:
        sort_singles(rows.view(np.uint32), spare.view(np.uint32))
        return
    unsorted = np.empty(rows.shape[0], dtype=bool)
    sort_doubles(rows.view(np.uint64), spare.view(np.uint64), unsorted)
    for r in np.flatnonzero(unsorted):
        rows[r].sort()


def argsort_rows(rows: np.ndarray, order: np.ndarray, desk: Desk) -> None:
    """Sort each row of (l, n) float32 or float64, in place.

    Parameters
    ----------
    rows : (l, n) array
    order : (l, n) int32 array
        Receives where each key stood. Equal keys come in any order.
    desk : Desk
    """
    l, n = rows.shape
    if n > MOST:
        raise ValueError(f"rows of {n} numbers are too long to sort with their places; expected at most {MOST}")
    tagged = desk.array("tagged", (l, n), np.float64)
    if rows.dtype == np.float32:
        tag_rows(rows, tagged, np.int64(SINGLE_BITS))
        sort_rows(tagged, desk)
        untag_singles(tagged, rows, order)
        return
    width = np.int64(max(1, (n - 1).bit_length()))
    unsorted = np.empty(l, dtype=bool)
    tag_rows(rows, tagged, width)
    sort_rows(tagged, desk)
    untag_doubles(tagged, rows, order, width, unsorted)
    for r in np.flatnonzero(unsorted):
        order[r] = np.argsort(rows[r], kind="stable")
        rows[r] = rows[r][order[r]]


@cache
def radix_is_faster(dtype: str) -> bool:
    """Whether the radix sort beats NumPy's on this machine, for "float32" or "float64"."""
    keys = np.random.default_rng(0).standard_normal((1, TRIAL)).astype(dtype)
    desk = Desk()
    return _best(lambda rows: radix_sort(rows, desk), keys) < _best(lambda rows: rows.sort(axis=1), keys)


def _best(sort, keys: np.ndarray) -> float:
    """Seconds of the fastest of a few tries."""
    seconds = []
    for _ in range(6):  # the first one compiles
        rows = keys.copy()
        start = time.perf_counter()
        sort(rows)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
