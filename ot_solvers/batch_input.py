"""What callers of batches give, as flat arrays on the host: costs, points, weights, regularisers."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from . import validation as check
from .geometry.stack import CloudStack, DenseStack
from .namespaces import Library, library_name, resolve
from .regularisers import Regulariser, regulariser

__all__ = ["Weights", "read_clouds", "read_costs", "read_regularisers", "read_weights"]


class Weights(NamedTuple):
    """Weights of many problems.

    Attributes
    ----------
    flat : float64 array
    starts : (B,) int64 array
        Where those of each problem begin; all 0 where problems share them.
    totals : (B,) float64 array
    """

    flat: np.ndarray
    starts: np.ndarray
    totals: np.ndarray

    @property
    def shared(self) -> bool:
        return self.starts.size > 1 and int(self.starts[-1]) == 0

    def divided(self, sizes: np.ndarray, by: np.ndarray) -> Weights:
        """The weights of every problem divided by a number of its own."""
        if (by == 1.0).all():
            return self
        if self.shared and np.ptp(by) == 0:
            return self._replace(flat=self.flat / by[0], totals=self.totals / by)
        flat = np.tile(self.flat, self.starts.size) if self.shared else self.flat
        starts = np.cumsum(sizes) - sizes
        return Weights(flat / np.repeat(by, sizes), starts, self.totals / by)


def is_batch_of_arrays(value: Any) -> bool:
    """Whether a list holds arrays, one per problem, rather than numbers."""
    return (
        isinstance(value, (list, tuple)) and len(value) > 0 and not isinstance(value[0], (int, float, np.number))
    )


def library_of(arguments: dict[str, Any]) -> str:
    """The one library that all arrays belong to, those in lists too."""
    every: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, (list, tuple)):
            # Thousands of small arrays: one of each type is enough to know the library.
            kinds = {type(item): k for k, item in reversed(list(enumerate(value)))}
            every |= {f"{name}[{k}]": value[k] for k in sorted(kinds.values())}
        else:
            every[name] = value
    return resolve(every)


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.cumsum(sizes) - sizes


def _arrays(value: Any, name: str, ndim: int, shape: str) -> list[np.ndarray]:
    """Host arrays of a list, each with `ndim` axes and entries."""
    found = []
    for k, item in enumerate(value):
        plain = type(item) is np.ndarray and item.dtype in (np.float32, np.float64)
        array = item if plain and item.dtype.isnative else check.floating(item, f"{name}[{k}]")
        if array.ndim != ndim:
            raise ValueError(f"{name}[{k}] has shape {array.shape}; expected {shape}")
        if array.size == 0:
            raise ValueError(f"{name}[{k}] is empty: shape {array.shape}")
        found.append(array)
    return found


def _joined(arrays: list[np.ndarray], dtype) -> np.ndarray:
    return np.concatenate([array.ravel() for array in arrays]).astype(dtype, copy=False)


def read_costs(C: Any, a: Any, b: Any, reg: Any) -> tuple[DenseStack, Library]:
    """Matrices, and the caller's library."""
    name = library_of({"C": C, "a": a, "b": b})
    if is_batch_of_arrays(C) and np.ndim(C[0]) == 2:
        arrays = _arrays(C, "C", 2, "(n, m)")
        dtype = np.result_type(*{array.dtype for array in arrays})
        n, m = (np.array([array.shape[side] for array in arrays], dtype=np.int64) for side in (0, 1))
        return DenseStack(_joined(arrays, dtype), _starts(n * m), n, m), Library(name, dtype)
    array = check.floating(C, "C")
    if array.ndim not in (2, 3):
        raise ValueError(
            f"C has shape {array.shape}; expected (B, n, m), a list of matrices, or one (n, m) matrix"
        )
    if array.size == 0:
        raise ValueError(f"C is empty: shape {array.shape}")
    flat = np.ascontiguousarray(array).reshape(-1)
    n, m = array.shape[-2:]
    size = len(array) if array.ndim == 3 else _size_of(a, b, reg, array.shape)
    starts = np.arange(size) * (n * m if array.ndim == 3 else 0)
    return DenseStack(flat, starts, np.full(size, n), np.full(size, m)), Library(name, array.dtype)


def _size_of(a: Any, b: Any, reg: Any, shape: tuple[int, ...]) -> int:
    """Number of problems that share one matrix."""
    for value in (a, b):
        if is_batch_of_arrays(value):
            return len(value)
        if value is not None and np.ndim(value) == 2:
            return int(value.shape[0])
    if is_sequence(reg):
        return len(reg)
    raise ValueError(
        f"C has shape {shape} and is shared, but neither a nor b nor reg says by how many problems: give a of "
        f"shape (B, {shape[0]}) or b of shape (B, {shape[1]}), or use solve"
    )


def read_clouds(x: Any, y: Any, a: Any, b: Any, cost: Any) -> tuple[CloudStack, Library]:
    """Points, and the caller's library."""
    name = library_of({"x": x, "y": y, "a": a, "b": b})
    ground = check.read_cost(cost)
    first = _points(x, "x")
    second = first if y is x else _points(y, "y")
    if first[0].shape[1] != second[0].shape[1]:
        raise ValueError(
            f"x has {first[0].shape[1]} coordinates and y {second[0].shape[1]}; expected the same number"
        )
    if first[2].size != second[2].size:
        raise ValueError(f"x holds {first[2].size} problems and y {second[2].size}; expected the same number")
    dtype = np.result_type(first[0].dtype, second[0].dtype)
    xs = first[0].astype(dtype, copy=False)
    ys = xs if second is first else second[0].astype(dtype, copy=False)
    ground.check(xs, "x")
    ground.check(ys, "y")
    return CloudStack(xs, ys, first[1], second[1], first[2], second[2], ground), Library(name, dtype)


def _points(value: Any, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(points one after another, where each cloud begins, sizes)."""
    if is_batch_of_arrays(value) and np.ndim(value[0]) == 2:
        arrays = _arrays(value, name, 2, "(n, d)")
        d = arrays[0].shape[1]
        for k, array in enumerate(arrays):
            if array.shape[1] != d:
                raise ValueError(
                    f"{name}[{k}] has {array.shape[1]} coordinates and {name}[0] {d}; expected the same number"
                )
        sizes = np.array([len(array) for array in arrays], dtype=np.int64)
        flat = np.concatenate(arrays)
        if not math.isfinite(_sum(flat)):
            for k, array in enumerate(arrays):
                check.finite(array, f"{name}[{k}]")
        return flat, _starts(sizes), sizes
    array = check.floating(value, name)
    if array.ndim != 3:
        raise ValueError(f"{name} has shape {array.shape}; expected (B, n, d), or a list of (n, d) arrays")
    if array.size == 0:
        raise ValueError(f"{name} is empty: shape {array.shape}")
    check.finite(array, name)
    size, n, d = array.shape
    return np.ascontiguousarray(array).reshape(-1, d), np.arange(size) * n, np.full(size, n)


def _sum(array: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(array.sum(dtype=np.float64))


def read_weights(value: Any, name: str, sizes: np.ndarray, side: str) -> Weights:
    """Checked weights; uniform with sum 1 by default."""
    count = sizes.size
    same = bool((sizes == sizes[0]).all())
    n = int(sizes[0])
    if value is None:
        if same:
            return Weights(np.full(n, 1 / n), np.zeros(count, dtype=np.int64), np.ones(count))
        return Weights(np.repeat(1 / sizes, sizes), _starts(sizes), np.ones(count))
    if is_batch_of_arrays(value):
        arrays = _arrays(value, name, 1, f"({side},)")
        if len(arrays) != count:
            raise ValueError(f"{name} holds {len(arrays)} vectors; expected one for each of the {count} problems")
        for k, array in enumerate(arrays):
            if array.size != sizes[k]:
                raise ValueError(
                    f"{name}[{k}] has shape {array.shape}; expected ({sizes[k]},), one weight per point"
                )
        flat, starts = _joined(arrays, np.float64), _starts(sizes)
        if not (math.isfinite(_sum(flat)) and flat.min() >= 0):
            for k, array in enumerate(arrays):
                check.weights(array, f"{name}[{k}]", array.size)
    else:
        array = check.floating(value, name)
        batch = array.ndim == 2
        if not same or array.shape not in ((n,), (count, n)):
            expected = f"({n},) or ({count}, {n})" if same else f"a list of {count} vectors: sizes differ"
            raise ValueError(f"{name} has shape {array.shape}; expected {expected}")
        check.finite(array, name)
        if array.min() < 0:
            where = np.unravel_index(int(array.argmin()), array.shape)
            place = ", ".join(str(int(i)) for i in where)
            raise ValueError(f"{name}[{place}] is {array[where]:g}; weights must not be negative")
        flat = np.ascontiguousarray(array, dtype=np.float64).reshape(-1)
        starts = np.arange(count) * (n if batch else 0)
    with np.errstate(over="ignore"):
        if starts.size > 1 and int(starts[-1]) == 0:
            totals = np.full(count, flat.sum())
        else:
            totals = np.add.reduceat(flat, starts)
    if not ((totals > 0) & np.isfinite(totals)).all():
        k = int(np.argmin((totals > 0) & np.isfinite(totals)))
        raise ValueError(f"{name}[{k}] has total mass {totals[k]:g}; expected a positive, finite total")
    return Weights(flat, starts, totals)


def is_sequence(reg: Any) -> bool:
    """Whether there is one regulariser for every problem."""
    if isinstance(reg, (list, tuple)):
        return True
    return library_name(reg) is not None and getattr(reg, "ndim", 0) > 0


def read_regularisers(reg: Any, relative_to: Any, count: int) -> list[Regulariser | None]:
    """One regulariser for every problem; None for exact transport.

    Raises
    ------
    ValueError, TypeError
        Naming the problem where there is one for each.
    """
    if not is_sequence(reg):
        return [regulariser(reg, relative_to)] * count
    given = list(reg) if isinstance(reg, (list, tuple)) else check.floating(reg, "reg").tolist()
    if len(given) != count:
        raise ValueError(f"reg holds {len(given)} values; expected one for each of the {count} problems")
    found = []
    try:
        for one in given:
            found.append(regulariser(one, relative_to))  # noqa: PERF401 (how many there are names the wrong one)
    except (ValueError, TypeError) as error:
        raise type(error)(f"reg[{len(found)}]: {error}") from None
    return found
