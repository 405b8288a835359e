"""Radix sorts of rows of floats, least significant digit first, all digits counted in one pass.

Bits of a float, the sign bit turned over (all of them where it is set), are integers in the order of the floats
{cite:p}`herf:01`. Single precision takes three digits of 11 bits. Double precision would take six: three are
sorted, the upper half of the bits, and what they leave together is put in order by insertion. That has next to
nothing to do unless most keys agree in their upper bits; such rows are given back.
"""

from __future__ import annotations

import numpy as np

from .policy import kernel

__all__ = ["sort_doubles", "sort_singles"]

DIGIT = 11
SIZE = 1 << DIGIT
#: Places that insertion may move a key by, on average, before a row is given back.
PATIENCE = 8

_SIGN32, _ONE32, _LAST32 = np.uint32(1 << 31), np.uint32(1), np.uint32(31)
_LOW32, _HIGH32, _MASK32 = np.uint32(DIGIT), np.uint32(2 * DIGIT), np.uint32(SIZE - 1)
_SIGN64, _ONE64, _LAST64 = np.uint64(1 << 63), np.uint64(1), np.uint64(63)
_LOW64, _MIDDLE64, _HIGH64, _MASK64 = (np.uint64(bits) for bits in (31, 42, 53, SIZE - 1))


@kernel
def first_places(count):
    """Counts of digits to the places where each begins."""
    for k in range(count.shape[0]):
        place = 0
        for j in range(count.shape[1]):
            here = count[k, j]
            count[k, j] = place
            place += here


@kernel
def sort_singles(rows, spare):
    """Sort each row of ``rows``, (l, n) uint32 views of float32; ``spare`` (n,) of the same kind."""
    n = rows.shape[1]
    count = np.empty((3, SIZE), np.int32)
    for r in range(rows.shape[0]):
        keys = rows[r]
        count[:] = 0
        for i in range(n):
            # Types are named again: Numba adds up unsigned integers as 64 bits.
            u = np.uint32(keys[i] ^ np.uint32(np.uint32(np.uint32(0) - (keys[i] >> _LAST32)) | _SIGN32))
            keys[i] = u
            count[0, u & _MASK32] += 1
            count[1, (u >> _LOW32) & _MASK32] += 1
            count[2, u >> _HIGH32] += 1
        first_places(count)
        for i in range(n):
            u = keys[i]
            j = u & _MASK32
            place = count[0, j]
            count[0, j] = place + 1
            spare[place] = u
        for i in range(n):
            u = spare[i]
            j = (u >> _LOW32) & _MASK32
            place = count[1, j]
            count[1, j] = place + 1
            keys[place] = u
        for i in range(n):
            u = keys[i]
            j = u >> _HIGH32
            place = count[2, j]
            count[2, j] = place + 1
            spare[place] = u
        for i in range(n):
            u = spare[i]
            keys[i] = np.uint32(u ^ np.uint32(np.uint32((u >> _LAST32) - _ONE32) | _SIGN32))


@kernel
def sort_doubles(rows, spare, unsorted):
    """Sort each row of ``rows``, (l, n) uint64 views of float64.

    Parameters
    ----------
    rows : (l, n) uint64
    spare : (n,) uint64
    unsorted : (l,) bool
        Receives which rows are given back, permuted.
    """
    n = rows.shape[1]
    count = np.empty((3, SIZE), np.int32)
    for r in range(rows.shape[0]):
        keys = rows[r]
        count[:] = 0
        for i in range(n):
            u = keys[i] ^ ((np.uint64(0) - (keys[i] >> _LAST64)) | _SIGN64)
            keys[i] = u
            count[0, (u >> _LOW64) & _MASK64] += 1
            count[1, (u >> _MIDDLE64) & _MASK64] += 1
            count[2, u >> _HIGH64] += 1
        first_places(count)
        for i in range(n):
            u = keys[i]
            j = (u >> _LOW64) & _MASK64
            place = count[0, j]
            count[0, j] = place + 1
            spare[place] = u
        for i in range(n):
            u = spare[i]
            j = (u >> _MIDDLE64) & _MASK64
            place = count[1, j]
            count[1, j] = place + 1
            keys[place] = u
        for i in range(n):
            u = keys[i]
            j = u >> _HIGH64
            place = count[2, j]
            count[2, j] = place + 1
            spare[place] = u
        unsorted[r] = insertion(spare, PATIENCE * n)
        for i in range(n):
            u = spare[i]
            keys[i] = u ^ (((u >> _LAST64) - _ONE64) | _SIGN64)


@kernel
def insertion(keys, left):
    """Sort by insertion, moving keys by at most `left` places in all; whether that was too few."""
    for i in range(1, keys.size):
        key = keys[i]
        if keys[i - 1] <= key:
            continue
        j = i
        while j > 0 and keys[j - 1] > key:
            keys[j] = keys[j - 1]
            j -= 1
        keys[j] = key
        left -= i - j
        if left < 0:
            return True
    return False
