"""Wasserstein distances within a collection of point clouds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import validation as check
from .backends import registry
from .geometry import PointCloud
from .namespaces import Library, resolve
from .solvers.base import is_true
from .solvers.exact.choice import ALL_PAIRS
from .wasserstein import ground_cost, order_of, share_of, wasserstein

__all__ = ["PairwiseProgress", "pairwise_wasserstein"]

#: Small problems, and pairs of their points, between two looks at the callback.
PORTION, PORTION_PAIRS = 512, 1 << 20


class PairwiseProgress(NamedTuple):
    """How far a collection is."""

    done: int  # pairs
    total: int


def pairwise_wasserstein(
    measures: Sequence[Any],
    *,
    p: float = 2,
    rtol: float = 1e-3,
    pairs: Iterable[tuple[int, int]] | None = None,
    partial: Any = None,
    backend: str = "auto",
    callback: Callable[[PairwiseProgress], object] | None = None,
    on_failure: str = "warn",
) -> Any:
    """Wasserstein distances between all pairs of a collection, or between some.

    Small pairs are solved exactly, many at a time and on all threads; large ones one after another, to `rtol`.

    Parameters
    ----------
    measures : sequence of (n_i, d) arrays, or of pairs ``(x, a)`` with weights (n_i,)
        Points of one array library; without weights they are uniform, with sum 1. Total masses must agree.
    p : float >= 1
        Order; see `wasserstein`.
    rtol : float in [0, 1)
        Of pairs that are too large to be solved directly.
    pairs : iterable of (i, j), optional
        Only these, instead of all with i < j.
    partial : array, optional
        What an earlier call returned that was stopped: only entries that are NaN are computed.
    backend : {"auto", "numba", "reference"}
    callback : callable, optional
        Called with a `PairwiseProgress`; returning True stops early, with NaN for what is missing.
    on_failure : {"warn", "raise", "ignore"}
        What to do when `rtol` was not reached for a pair.

    Returns
    -------
    (N, N) array, symmetric with zeros on the diagonal; with `pairs` a vector, one entry each

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the measure.

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> x = np.random.default_rng(0).normal(size=(50, 2))
    >>> ots.pairwise_wasserstein([x, x + [3.0, 4.0], x + [6.0, 8.0]]).round(6)
    array([[ 0.,  5., 10.],
           [ 5.,  0.,  5.],
           [10.,  5.,  0.]])
    """
    order, share = order_of(p), share_of(rtol)
    check.choice(on_failure, "on_failure", ("warn", "raise", "ignore"))
    collection = _Collection.of(measures)
    wanted = _pairs(pairs, len(collection.points))
    distances = _known(partial, None if pairs is None else len(wanted), len(collection.points), wanted)
    todo = np.flatnonzero(np.isnan(distances))
    sizes = np.array([len(x) for x in collection.points])
    progress = _Progress(callback, len(wanted), len(wanted) - todo.size)
    work = sizes[wanted[:, 0]] * sizes[wanted[:, 1]]
    for part in _portions(todo[work[todo] <= ALL_PAIRS], work):
        distances[part] = collection.exact(wanted[part], order, backend) ** (1.0 / order)
        if progress.stops(part.size):
            break
    else:
        for k in todo[work[todo] > ALL_PAIRS]:
            (x, a), (y, b) = (collection.measure(i) for i in wanted[k])
            distances[k] = float(
                wasserstein(x, y, a, b, p=order, rtol=share, backend=backend, on_failure=on_failure)
            )
            if progress.stops(1):
                break
    if pairs is not None:
        return collection.library.array(distances)
    matrix = np.zeros((len(sizes), len(sizes)))
    matrix[wanted[:, 0], wanted[:, 1]] = distances
    return collection.library.array(matrix + matrix.T)


class _Progress:
    """Counts pairs and asks the callback."""

    def __init__(self, callback, total: int, done: int):
        if callback is not None and not callable(callback):
            raise TypeError(f"callback={callback!r} is not callable")
        self.callback, self.total, self.done = callback, total, done

    def stops(self, more: int) -> bool:
        self.done += more
        return self.callback is not None and is_true(self.callback(PairwiseProgress(self.done, self.total)))


class _Collection:
    """Checked measures, as arrays on the host."""

    def __init__(self, points: list[np.ndarray], weights: list[np.ndarray], library: Library):
        self.points, self.weights, self.library = points, weights, library
        self._memory = np.empty((0, 0))

    @classmethod
    def of(cls, measures: Any) -> _Collection:
        if isinstance(measures, (str, bytes)) or not hasattr(measures, "__len__"):
            raise TypeError(f"measures={type(measures).__name__} must be a sequence of point clouds")
        if len(measures) == 0:
            raise ValueError("measures is empty; expected at least one point cloud")
        pairs = [_split(measure, k) for k, measure in enumerate(measures)]
        # Thousands of small measures: most work per measure here would take longer than their distances.
        if all(_is_plain(x) and (a is None or _is_plain(a)) for x, a in pairs):
            name = "numpy"
            points = [x for x, _ in pairs]
            weights = [_uniform(x) if a is None else a for x, a in pairs]
        else:
            given = {f"measures[{k}]": x for k, (x, _) in enumerate(pairs)}
            given |= {_weights_of(k): a for k, (_, a) in enumerate(pairs) if a is not None}
            name = resolve(given)
            points = [check.floating(x, f"measures[{k}]") for k, (x, _) in enumerate(pairs)]
            weights = [
                _uniform(x) if a is None else check.floating(a, _weights_of(k))
                for k, (x, (_, a)) in enumerate(zip(points, pairs, strict=True))
            ]
        d = np.shape(points[0])[-1] if points[0].ndim else 0
        for k, (cloud, w) in enumerate(zip(points, weights, strict=True)):
            if cloud.ndim != 2 or cloud.size == 0:
                check.points(cloud, f"measures[{k}]")  # raises
            if cloud.shape[1] != d:
                raise ValueError(
                    f"measures[{k}] has {cloud.shape[1]} coordinates and measures[0] {d}; expected the same number"
                )
            if w.shape != (len(cloud),):
                check.weights(w, _weights_of(k), len(cloud))  # raises
        collection = cls(points, weights, Library(name, np.result_type(*{cloud.dtype for cloud in points})))
        collection.check_weights()
        return collection

    def check_weights(self) -> None:
        """Raise for weights and masses that are no measure's."""
        together = np.concatenate(self.weights)
        if not (np.isfinite(together).all() and together.min() >= 0):
            for k, w in enumerate(self.weights):
                check.weights(w, _weights_of(k), len(w))
        sizes = [w.size for w in self.weights]
        totals = np.add.reduceat(together.astype(np.float64), np.cumsum([0, *sizes[:-1]]))
        if not (totals > 0).all():
            raise ValueError(f"measures[{int(np.argmin(totals))}] has no mass")
        k = int(np.argmax(np.abs(totals - totals[0])))
        coarse = any(array.dtype == np.float32 for array in (*self.weights, *self.points))
        if abs(totals[k] - totals[0]) > (1e-3 if coarse else 1e-6) * totals[0]:
            raise ValueError(
                f"total masses differ: measures[0] has {totals[0]:.9g}, measures[{k}] {totals[k]:.9g}"
            )

    def measure(self, k: int):
        return self.points[k], self.weights[k]

    def exact(self, pairs: np.ndarray, p: float, backend: str) -> np.ndarray:
        """Least costs of some pairs."""
        used, index = np.unique(pairs, return_inverse=True)
        index = index.reshape(pairs.shape)
        sizes = [len(self.points[k]) for k in used]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        x = self._scratch(int(starts[-1]))
        np.concatenate([self.points[k] for k in used], out=x)
        weights = np.concatenate([self.weights[k] for k in used]).astype(np.float64, copy=False)
        engine = registry.get("numba" if backend == "auto" else backend)
        cloud = PointCloud(x, x, ground_cost(p))
        values = engine.exact_pairs(cloud, weights, starts, index[:, 0], index[:, 1])
        if not np.isfinite(values).all():  # costs that are not finite have made them
            for k in map(int, used):
                check.finite(self.points[k], f"measures[{k}]")
            raise ValueError("the distances of some measures overflow: divide the points by a constant")
        return values

    def _scratch(self, size: int) -> np.ndarray:
        """(size, d) memory that is used again: new pages cost more than what is written to them."""
        if self._memory.shape[0] < size:
            self._memory = np.empty((size + size // 4, self.points[0].shape[1]))
        return self._memory[:size]


def _uniform(points: np.ndarray) -> np.ndarray:
    size = points.shape[0] if points.ndim else 0
    return np.full(size, 1 / max(size, 1))


def _dimensions(array: Any) -> int:
    if type(array) is np.ndarray:
        return array.ndim
    try:
        return np.ndim(array)
    except ValueError:  # ragged lists are no array; reading them will say whose they are
        return 0


def _is_plain(array: Any) -> bool:
    """Whether there is nothing to find out about an array, and nothing to convert."""
    return type(array) is np.ndarray and array.dtype == np.float64


def _weights_of(k: int) -> str:
    return f"the weights of measures[{k}]"


def _split(measure: Any, k: int):
    """Points and weights of one measure."""
    if isinstance(measure, (tuple, list)) and len(measure) == 2 and _dimensions(measure[0]) == 2:
        return measure[0], measure[1]
    if isinstance(measure, tuple):
        raise TypeError(f"measures[{k}] is a tuple of {len(measure)}; expected points, or (points, weights)")
    return measure, None


def _pairs(pairs: Any, size: int) -> np.ndarray:
    """(k, 2) indices."""
    if pairs is None:
        return np.stack(np.triu_indices(size, 1), axis=1)
    found = np.asarray(list(pairs))
    if found.size == 0:
        return np.zeros((0, 2), dtype=np.int64)
    if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind not in "iu":
        raise ValueError(f"pairs has shape {found.shape} and dtype {found.dtype}; expected pairs of indices")
    if found.min() < 0 or found.max() >= size:
        raise ValueError(
            f"pairs holds the index {found.max() if found.max() >= size else found.min()}; there are "
            f"{size} measures"
        )
    return found.astype(np.int64)


def _known(partial: Any, length: int | None, size: int, wanted: np.ndarray) -> np.ndarray:
    """Distances of an earlier call, NaN where there is none."""
    if partial is None:
        return np.full(len(wanted), np.nan)
    known = np.asarray(check.floating(partial, "partial"), dtype=np.float64)
    shape = (size, size) if length is None else (length,)
    if known.shape != shape:
        raise ValueError(f"partial has shape {known.shape}; expected {shape}")
    return (known[wanted[:, 0], wanted[:, 1]] if length is None else known).copy()


def _portions(numbers: np.ndarray, work: np.ndarray):
    """Consecutive parts of `numbers`, of so many or of so much work."""
    done = np.cumsum(work[numbers])
    start = 0
    while start < numbers.size:
        before = done[start - 1] if start else 0
        stop = max(start + 1, min(start + PORTION, int(np.searchsorted(done, before + PORTION_PAIRS, "right"))))
        yield numbers[start:stop]
        start = stop
