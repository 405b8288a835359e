"""Exact transport in one dimension: distances, plans and potentials of many pairs of measures at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import validation as check
from ..api import shared_off_graph
from ..autograd import attached, on_graph
from ..backends import registry
from ..backends.base import Backend
from ..lazy import cached_property
from ..namespaces import Library, resolve
from ..wasserstein import order_of
from .clouds import finite_costs

__all__ = ["LineTransport", "QuantilePlan", "path_of", "wasserstein_1d"]


class QuantilePlan(NamedTuple):
    """The monotone plan between two measures on a line: pairs from left to right, and what each moves.

    Attributes
    ----------
    rows, columns : (k,) int arrays
        Numbers of the points.
    masses : (k,) array > 0
    """

    rows: np.ndarray
    columns: np.ndarray
    masses: np.ndarray


def path_of(first, second, reached_first, reached_second) -> QuantilePlan:
    """The pairs of a monotone plan.

    Parameters
    ----------
    first, second : (n,), (m,) int arrays
        Points in ascending order.
    reached_first, reached_second : (n,), (m,) arrays
        Mass up to each of them, itself included; the last ones are equal.
    """
    ends = np.concatenate([reached_first[:-1], reached_second[:-1]])
    order = np.argsort(ends, kind="stable")
    by_rows = order < first.size - 1
    rows = np.concatenate([[0], np.cumsum(by_rows)])
    columns = np.concatenate([[0], np.cumsum(~by_rows)])
    masses = np.diff(ends[order], prepend=0.0, append=reached_first[-1])
    moved = masses > 0
    return QuantilePlan(first[rows[moved]], second[columns[moved]], masses[moved])


class LineTransport:
    """Exact transport between measures on a line, or between B pairs of them.

    Attributes
    ----------
    p : float
        Order.
    """

    def __init__(self, p, library: Library, engine: Backend, x, y, a, b, masses, single: bool):
        self.p, self._library, self._engine, self._single = p, library, engine, single
        self._x, self._y, self._a, self._b, self._masses = x, y, a, b, masses

    @cached_property
    def _costs(self) -> np.ndarray:
        values = self._engine.line_wasserstein(self._x, self._y, self._a, self._b, self.p)
        return finite_costs(values * self._masses)

    @cached_property
    def _slopes(self):
        return self._engine.line_slopes(self._x, self._y, self._a, self._b, self.p)

    @cached_property
    def _plans(self):
        return self._engine.line_plans(self._x, self._y, self._a, self._b)

    def _numbers(self, values: np.ndarray) -> Any:
        return self._library.scalar(values[0]) if self._single else self._library.array(values)

    @property
    def value(self) -> Any:
        """W_p, root taken: a number, or (B,)."""
        return self._numbers(self._costs ** (1.0 / self.p))

    @property
    def cost(self) -> Any:
        """W_p to the p: what the plan costs; a number, or (B,)."""
        return self._numbers(self._costs)

    @property
    def potentials(self) -> tuple[Any, Any]:
        """Kantorovich potentials (f, g) of `cost`, shaped like x and y.

        ``f_i + g_j <= |x_i - y_j|**p``, equal where mass moves, ``sum(a f) = sum(b g)``. Where the plan falls
        apart into pieces they are not unique: the mean of two extremes is given.
        """
        pair = self._slopes.f, self._slopes.g
        f, g = (self._library.array(z[0] if self._single else z) for z in pair)
        return f, g

    def quantile_plan(self, k: int = 0) -> QuantilePlan:
        """The optimal plan of pair `k` as a list of pairs of points, from left to right."""
        count = len(self._masses)
        if not -count <= k < count:
            raise IndexError(f"k={k} is out of range; there are {count} pairs of measures")
        found = self._plans
        path = path_of(found.order_u[k], found.order_v[k], found.reached_u[k], found.reached_v[k])
        return path._replace(masses=path.masses * self._masses[k])

    @cached_property
    def plan(self) -> Any:
        """(n, m) plan as a SciPy CSR array; a list of them for a batch."""
        plans = [self._sparse(k) for k in range(len(self._masses))]
        return plans[0] if self._single else plans

    def _sparse(self, k: int):
        from scipy import sparse

        path = self.quantile_plan(k)
        shape = self._x.shape[1], self._y.shape[1]
        return sparse.coo_array((path.masses, (path.rows, path.columns)), shape=shape).tocsr()

    def __float__(self) -> float:
        if not self._single:
            raise TypeError("a batch of distances is not one number; read .value")
        return float(self._costs[0] ** (1.0 / self.p))

    def __repr__(self) -> str:
        if self._single:
            return f"LineTransport({float(self):.10g}, p={self.p:g}, n={self._x.shape[1]}, m={self._y.shape[1]})"
        return f"LineTransport(p={self.p:g}, B={len(self._x)}, n={self._x.shape[1]}, m={self._y.shape[1]})"


def wasserstein_1d(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    p: float = 2,
    backend: str = "auto",
) -> LineTransport:
    """Exact Wasserstein distance between measures on a line, or between many pairs of them.

    Parameters
    ----------
    x : (n,) or (B, n) array
        Source points, in any order.
    y : (m,) or (B, m) array
        Target points, of the same array library.
    a : (n,) or (B, n) array >= 0, optional
        Source weights; uniform with sum 1 by default. One vector holds for all pairs.
    b : (m,) or (B, m) array >= 0, optional
        Target weights.
    p : float >= 1
        Order.
    backend : {"auto", "numba", "reference"}

    Returns
    -------
    LineTransport
        ``.value`` (root taken), ``.cost``, ``.plan``, ``.quantile_plan()``, ``.potentials``. A single pair acts
        as a float.

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument.

    Notes
    -----
    Sorting is the solver: the monotone plan is optimal for every convex function of the difference, see
    [santambrogio:15]_. Tensors that require gradients stay on their graph in `value` and `cost`.

    Examples
    --------
    >>> import ot_solvers as ots
    >>> result = ots.wasserstein_1d([0.0, 1.0, 3.0], [5.0, 6.0, 8.0], p=1)
    >>> float(result)
    5.0
    >>> ots.wasserstein_1d([0.0, 1.0], [1.0, 4.0], [1.0, 3.0], [2.0, 2.0], p=1).plan.toarray()
    array([[1., 0.],
           [1., 2.]])
    """
    leaves = {"x": x, "y": y, "a": a, "b": b}
    x, y, a, b = shared_off_graph(x, y, a, b)
    order = order_of(p)
    name = resolve({"x": x, "y": y, "a": a, "b": b})
    first, second = _rows(x, "x"), _rows(y, "y")
    if first.ndim != second.ndim or (first.ndim == 2 and len(first) != len(second)):
        raise ValueError(
            f"x has shape {first.shape} and y {second.shape}; expected (n,) and (m,), or (B, n) and (B, m)"
        )
    single = first.ndim == 1
    library = Library(name, np.result_type(first.dtype, second.dtype))
    first, second = np.atleast_2d(first), np.atleast_2d(second)
    weights_a, totals_a = _weights(a, "a", first.shape)
    weights_b, totals_b = _weights(b, "b", second.shape)
    coarse = any(str(getattr(z, "dtype", "")).endswith(("float32", "float16")) for z in (a, b))
    totals_a, totals_b = np.broadcast_arrays(totals_a, totals_b)
    apart = np.abs(totals_a - totals_b) > (1e-3 if coarse else 1e-6) * totals_a
    if apart.any():
        k = int(np.argmax(apart))
        where = f" of pair {k}" if not single else ""
        raise ValueError(
            f"total masses{where} differ: sum(a) = {totals_a[k]:.9g}, sum(b) = {totals_b[k]:.9g}; "
            "scale one of them"
        )
    engine = registry.get("numba" if backend == "auto" else backend)
    masses = np.broadcast_to(totals_a, len(first)).copy()
    result = LineTransport(order, library, engine, first, second, weights_a, weights_b, masses, single)
    return attached("line", result, **leaves) if on_graph(*leaves.values()) else result


def _rows(value: Any, argument: str) -> np.ndarray:
    array = check.floating(value, argument)
    if array.ndim not in (1, 2):
        hint = "; several coordinates are for sliced_wasserstein" if array.ndim > 2 else ""
        raise ValueError(f"{argument} has shape {array.shape}; expected (n,) or (B, n){hint}")
    if array.size == 0:
        raise ValueError(f"{argument} is empty: shape {array.shape}")
    check.finite(array, argument)
    return array


def _weights(value: Any, argument: str, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) or (B, n) weights of sums 1, and the sums that were taken out."""
    count, size = shape
    if value is not None:
        array = check.floating(value, argument)
        if array.ndim == 2:
            if array.shape != shape:
                raise ValueError(f"{argument} has shape {array.shape}; expected ({size},) or {shape}")
            weights = check.weights(array, argument, count * size, shape).reshape(shape)
        else:
            weights = check.weights(array, argument, size)[None, :]
    else:
        weights = np.full((1, size), 1 / size)
    totals = weights.sum(axis=1)
    if not (totals > 0).all():
        row = f"[{int(np.argmin(totals))}]" if len(totals) > 1 else ""
        raise ValueError(f"{argument}{row} has no mass: all weights are 0")
    return weights / totals[:, None], totals
