"""Where a kernel reads its costs: one small record per geometry, one way to read a tile of a row.

Every dense and point-cloud kernel is written once, against a few overloaded functions:

``cost_buffer(rows, like)``
    scratch memory for the others, of the dtype of ``like``.
``open_row(rows, i, first, end, buffer)``
    said before row i of ``first:end`` is read; rows are opened in order.
``cost_tile(rows, i, start, stop, buffer)``
    the costs ``C[i, start:stop]`` as a contiguous array: a view of the matrix where it is stored, else
    of `buffer`. At most ``tile_size(rows)`` pairs.
``touch(rows, i, start, stop)``
    ask for those costs ahead of time (nothing to do where they are computed).
``pair_cost(rows, i, j)``
    one cost, without the shift, for readers of few pairs.

The records are ``NamedTuple``s, so parameters stay runtime values and the disk cache of the kernels hits
in every process (a jitted function or a closure in their place would recompile each time). Costs of users are
in the cache by name only: see `cost_kernels`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from ... import costs
from ...geometry import DenseGeometry, PointCloud
from .cost_kernels import cost_kernel, cost_name
from .policy import EXACT_HELPER
from .vector_math import asin, exp2, log2, prefetch

#: Pairs per tile of a stored row: one prefetch per cache line of the next row comes early enough, and not
#: so many at once that they are dropped (64 to 128 measured best, 0.39 ns per pair; 512: 0.75).
TILE = 128
#: Pairs per tile of a computed row, which needs no prefetch: amortises the start of a tile.
CLOUD_TILE = 512
#: Up to this many coordinates a tile is computed as it is read. Beyond, `open_row` computes the costs of
#: `GROUP` rows together, so that the coordinates of y come from the nearest cache all but once.
FUSED_COORDINATES = 3
GROUP = 8
GROUP_TILE = 512


class StoredRows(NamedTuple):
    """Row-major matrix, read in place."""

    C: Any


class ShiftedRows(NamedTuple):
    """Row-major float64 matrix with ``shift`` subtracted from every cost as it is read.

    A record of its own: a test of the shift at run time keeps LLVM from reading plain rows in place
    (measured 0.84 against 0.46 ns per pair).
    """

    C: Any
    shift: float


class StoredColumns(NamedTuple):
    """The transpose of a row-major matrix: row i is column i of `C`."""

    C: Any
    shift: float


class CloudRows(NamedTuple):
    """Costs between points stored by coordinate: ``x`` (d, n), ``y`` (d, m).

    The kernel of the cost is known by the name of its class and by its numbers: see `cost_kernels`.
    """

    name: Any
    numbers: Any
    x: Any
    y: Any


class TiledRows(NamedTuple):
    """`CloudRows` in the order of tiles, with the boxes of those of y: ``low``, ``high`` (d, T)."""

    name: Any
    numbers: Any
    x: Any
    y: Any
    low: Any
    high: Any


def row_source(geometry, precision: str):
    """(record, shift) through which kernels read `geometry` in the given arithmetic."""
    if isinstance(geometry, DenseGeometry):
        base = geometry if geometry._of is None else geometry._of
        C, shift = writable_view(geometry.rows), base.shift
        if geometry.transposed:
            return StoredColumns(C, shift), shift
        return (ShiftedRows(C, shift) if shift else StoredRows(C)), shift
    if isinstance(geometry, PointCloud):
        dtype = np.dtype(precision).type
        x, y = geometry.columns(dtype)
        kernel = geometry.cost.kernel(dtype, len(x))  # prepared points may have other coordinates, and more
        if kernel is None:
            return None, 0.0
        return CloudRows(cost_name(kernel.__class__), tuple(kernel), x, y), 0.0
    return None, 0.0


class _Address:
    def __init__(self, array):
        self.array = array  # keeps the memory alive
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface


def writable_view(array: np.ndarray) -> np.ndarray:
    """The same memory without the read-only flag, which Numba would compile a second time for.

    Kernels never write to their inputs; a test compares the caller's bytes before and after.
    """
    return array if array.flags.writeable else np.asarray(_Address(array))


def cost_tile(rows, i, start, stop, buffer):
    """Costs ``C[i, start:stop]``; see the module."""
    raise NotImplementedError


def open_row(rows, i, first, end, buffer):
    """Say that row i comes next; see the module."""
    raise NotImplementedError


def cost_buffer(rows, like):
    """Scratch memory; see the module."""
    raise NotImplementedError


def tile_size(rows):
    """Pairs per tile; see the module."""
    raise NotImplementedError


def touch(rows, i, start, stop):
    """Prefetch ``C[i, start:stop]``; see the module."""
    raise NotImplementedError


def shape(rows):
    """(n, m) of the matrix."""
    raise NotImplementedError


def pair_cost(rows, i, j):
    """The cost ``C[i, j]``; see the module."""
    raise NotImplementedError


def _record(rows):
    return getattr(rows, "instance_class", None)


@overload(shape)
def _shape(rows):
    if _record(rows) in (StoredRows, ShiftedRows):
        return lambda rows: rows.C.shape
    if _record(rows) is StoredColumns:
        return lambda rows: (rows.C.shape[1], rows.C.shape[0])
    return lambda rows: (rows.x.shape[1], rows.y.shape[1])


@overload(touch)
def _touch(rows, i, start, stop):
    if _record(rows) in (StoredRows, ShiftedRows):
        per_line = 64 // (rows.types[0].dtype.bitwidth // 8)

        def stored(rows, i, start, stop):
            for j in range(start, stop, per_line):
                prefetch(rows.C, i, j)

        return stored
    return lambda rows, i, start, stop: None


@overload(pair_cost, jit_options=EXACT_HELPER)
def _pair_cost(rows, i, j):
    record = _record(rows)
    if record in (StoredRows, ShiftedRows):
        return lambda rows, i, j: float(rows.C[i, j])
    if record is StoredColumns:
        return lambda rows, i, j: float(rows.C[j, i])

    def computed(rows, i, j):
        kernel = cost_kernel(rows.name, rows.numbers)
        total = 0.0
        for k in range(rows.x.shape[0]):
            total = accumulate(kernel, total, rows.x[k, i], rows.y[k, j])
        return finish(kernel, total)

    return computed


@overload(cost_tile, jit_options=EXACT_HELPER)
def _cost_tile(rows, i, start, stop, buffer):
    record = _record(rows)
    if record is StoredRows:
        return lambda rows, i, start, stop, buffer: rows.C[i, start:stop]
    if record is ShiftedRows:

        def shifted(rows, i, start, stop, buffer):
            row = rows.C[i, start:stop]
            out = buffer[0, : stop - start]
            for j in range(stop - start):
                out[j] = row[j] - rows.shift
            return out

        return shifted
    if record is StoredColumns:
        may_shift = rows.types[0].dtype == types.float64

        def gathered(rows, i, start, stop, buffer):
            out = buffer[0, : stop - start]
            for j in range(stop - start):
                out[j] = rows.C[start + j, i]
            if may_shift and rows.shift != 0.0:
                for j in range(stop - start):
                    out[j] -= rows.shift
            return out

        return gathered

    def computed(rows, i, start, stop, buffer):
        d = rows.x.shape[0]
        if d > FUSED_COORDINATES:
            return buffer[i % GROUP, start:stop]  # `open_row` has computed it
        kernel = cost_kernel(rows.name, rows.numbers)
        size = stop - start
        out = buffer[0, :size]
        zero = out.dtype.type(0)
        y0 = rows.y[0, start:stop]
        u0 = rows.x[0, i]
        if d == 1:
            for j in range(size):
                out[j] = finish(kernel, accumulate(kernel, zero, u0, y0[j]))
            return out
        y1 = rows.y[1, start:stop]
        u1 = rows.x[1, i]
        if d == 2:
            for j in range(size):
                t = accumulate(kernel, zero, u0, y0[j])
                out[j] = finish(kernel, accumulate(kernel, t, u1, y1[j]))
            return out
        y2 = rows.y[2, start:stop]
        u2 = rows.x[2, i]
        for j in range(size):
            t = accumulate(kernel, zero, u0, y0[j])
            t = accumulate(kernel, t, u1, y1[j])
            out[j] = finish(kernel, accumulate(kernel, t, u2, y2[j]))
        return out

    return computed


@overload(open_row, jit_options=EXACT_HELPER)
def _open_row(rows, i, first, end, buffer):
    if _record(rows) is not CloudRows:
        return lambda rows, i, first, end, buffer: None

    def computed(rows, i, first, end, buffer):
        d = rows.x.shape[0]
        if d <= FUSED_COORDINATES or (i % GROUP != 0 and i != first):
            return
        kernel = cost_kernel(rows.name, rows.numbers)
        y = rows.y
        m = y.shape[1]
        last = min(end, i - i % GROUP + GROUP)
        for start in range(0, m, GROUP_TILE):
            stop = min(m, start + GROUP_TILE)
            for row in range(i, last):
                buffer[row % GROUP, start:stop] = 0
            k = 0
            while k + 4 <= d:
                v0 = y[k, start:stop]
                v1 = y[k + 1, start:stop]
                v2 = y[k + 2, start:stop]
                v3 = y[k + 3, start:stop]
                for row in range(i, last):
                    w0 = rows.x[k, row]
                    w1 = rows.x[k + 1, row]
                    w2 = rows.x[k + 2, row]
                    w3 = rows.x[k + 3, row]
                    out = buffer[row % GROUP, start:stop]
                    for j in range(stop - start):
                        t = accumulate(kernel, out[j], w0, v0[j])
                        t = accumulate(kernel, t, w1, v1[j])
                        t = accumulate(kernel, t, w2, v2[j])
                        out[j] = accumulate(kernel, t, w3, v3[j])
                k += 4
            while k < d:
                v = y[k, start:stop]
                for row in range(i, last):
                    w = rows.x[k, row]
                    out = buffer[row % GROUP, start:stop]
                    for j in range(stop - start):
                        out[j] = accumulate(kernel, out[j], w, v[j])
                k += 1
            for row in range(i, last):
                out = buffer[row % GROUP, start:stop]
                for j in range(stop - start):
                    out[j] = finish(kernel, out[j])

    return computed


@overload(cost_buffer)
def _cost_buffer(rows, like):
    if _record(rows) not in (CloudRows, TiledRows):
        return lambda rows, like: np.empty((1, TILE), like.dtype)

    def computed(rows, like):
        if rows.x.shape[0] <= FUSED_COORDINATES:
            return np.empty((1, CLOUD_TILE), like.dtype)
        return np.empty((GROUP, rows.y.shape[1]), like.dtype)

    return computed


@overload(tile_size)
def _tile_size(rows):
    size = CLOUD_TILE if _record(rows) in (CloudRows, TiledRows) else TILE
    return lambda rows: size


# --- the static methods of cost kernels, as functions Numba resolves by the record's class ------------------


def accumulate(kernel, total, u, v):
    """Add one coordinate to a pair's running total."""
    return kernel.accumulate(kernel, total, u, v)


def finish(kernel, total):
    """The cost from the total of all coordinates."""
    return kernel.finish(kernel, total)


@overload(accumulate, jit_options=EXACT_HELPER)
def _accumulate(kernel, total, u, v):
    return _record(kernel).accumulate


@overload(finish, jit_options=EXACT_HELPER)
def _finish(kernel, total):
    return _record(kernel).finish


def radial(kernel, c):
    """What derivatives by all coordinates have in common, 1 where a cost does not say."""
    return kernel.radial(kernel, c) if hasattr(kernel, "radial") else 1.0


def coordinate_slope(kernel, c, u, v):
    """Derivative by one coordinate, divided by `radial`."""
    return u - v if hasattr(kernel, "radial") else kernel.derivative(kernel, c, u, v)


@overload(radial, jit_options=EXACT_HELPER)
def _radial(kernel, c):
    record = _record(kernel)
    return record.radial if hasattr(record, "radial") else lambda kernel, c: 1.0


@overload(coordinate_slope, jit_options=EXACT_HELPER)
def _coordinate_slope(kernel, c, u, v):
    record = _record(kernel)
    return (lambda kernel, c, u, v: u - v) if hasattr(record, "radial") else record.derivative


@overload(costs.power, jit_options=EXACT_HELPER)
def _power(x, p):
    if isinstance(x, types.Float):
        # log2(0) is -inf and exp2(-inf) an exact 0, as 0**p should be.
        return lambda x, p: exp2(p * log2(x))
    return None


@overload(costs.arcsine, jit_options=EXACT_HELPER)
def _arcsine(x):
    return lambda x: asin(x)
