"""Floats that carry their index in the last bits of a double: a sort of the one sorts the other.

Singles leave 29 bits of a double free, and are read back exactly. Doubles lose their last bits to the index: they
are looked up again by it, and those that had been taken for equal are put in order.
"""

from __future__ import annotations

import numpy as np

from .policy import kernel
from .radix import PATIENCE
from .vector_math import bits, from_bits

__all__ = ["MOST", "tag_rows", "untag_doubles", "untag_singles"]

#: Most keys of a row.
SINGLE_BITS = 29
MOST = 1 << SINGLE_BITS


@kernel
def tag_rows(rows, tagged, width):
    """``tagged`` (l, n) float64 from ``rows`` (l, n) float32 or float64; the index takes the last `width` bits."""
    mask = ~((np.int64(1) << width) - np.int64(1))
    for r in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            tagged[r, i] = from_bits((bits(np.float64(rows[r, i])) & mask) | np.int64(i))


@kernel
def untag_singles(tagged, rows, order):
    """Values and indices of sorted rows."""
    mask = (np.int64(1) << SINGLE_BITS) - np.int64(1)
    for r in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            u = bits(tagged[r, i])
            order[r, i] = np.int32(u & mask)
            rows[r, i] = np.float32(from_bits(u & ~mask))


@kernel
def untag_doubles(tagged, rows, order, width, unsorted):
    """Values and indices of sorted rows, put in order where the values differ by less than the tags.

    Parameters
    ----------
    tagged : (l, n) float64
        Overwritten.
    rows : (l, n) float64
        The values as they were; sorted on return.
    order : (l, n) int32
    width : int64
        Bits of the index.
    unsorted : (l,) bool
        Receives which rows are given up; their values stay as they were.
    """
    n = rows.shape[1]
    mask = (np.int64(1) << width) - np.int64(1)
    for r in range(rows.shape[0]):
        values, places, keys = rows[r], order[r], tagged[r]
        for i in range(n):
            index = bits(keys[i]) & mask
            places[i] = np.int32(index)
            keys[i] = values[index]
        left = PATIENCE * n
        unsorted[r] = False
        for i in range(1, n):
            key = keys[i]
            if keys[i - 1] <= key:
                continue
            index32 = places[i]
            j = i
            while j > 0 and keys[j - 1] > key:
                keys[j] = keys[j - 1]
                places[j] = places[j - 1]
                j -= 1
            keys[j] = key
            places[j] = index32
            left -= i - j
            if left < 0:
                unsorted[r] = True
                break
        if not unsorted[r]:
            values[:] = keys
