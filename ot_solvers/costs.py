"""Ground costs: one class each, with all the spellings a backend may ask for.

A cost knows how to

* ``prepare`` points once per solve (normalise, apply coordinate weights): O(n d);
* give the matrix between prepared points in any array library (``pairwise``): the reference;
* undo its derivative (``twist``), where that is possible: what maps are made of;
* give itself to compiled kernels as a ``NamedTuple`` (``kernel``) whose static methods ``accumulate``,
  ``finish`` and ``derivative`` are plain Python that Numba compiles:

  ``c(x, y) = finish(accumulate(... accumulate(0, x_1, y_1) ..., x_d, y_d))``

  Where the derivative is ``radial(c) (x_k - y_k)``, a static method ``radial`` says so: then it takes one power or
  root per pair instead of one per coordinate.

A user's own cost is a subclass of `Cost` outside the package; see ``docs/guide/costs.md``. Without a
``kernel`` it still works, through ``pairwise`` in blocks, with a `PerformanceWarning`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import array_api_compat.numpy as compat
import numpy as np

__all__ = [
    "Chebyshev",
    "CityBlock",
    "Cosine",
    "Cost",
    "Dot",
    "Euclidean",
    "EuclideanPower",
    "Hamming",
    "PNorm",
    "Sphere",
    "SqEuclidean",
    "by_name",
    "names",
]


class Cost:
    """Base class of ground costs ``c(x, y)`` between points of R^d.

    Subclasses define `pairwise`; a compiled `kernel` makes them fast, `gradient` makes them differentiable.
    Costs are immutable and hashable (frozen dataclasses), so that equal costs share compiled code.
    """

    #: ``c(x, y) = c(y, x)``. A cost for which this is False must define `swapped`.
    symmetric: bool = True
    #: ``c(x, y)`` of prepared points does not fall while some ``|x_k - y_k|`` grows: to all points of a box it is
    #: at least that to the nearest one, which lets backends leave out what is far away.
    boundable: ClassVar[bool] = False
    #: ``c(x, y)`` is about the directions of points: averages of points are put back on the unit sphere.
    on_sphere: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords):
        super().__init_subclass__(**keywords)
        if cls.__module__ == __name__:
            return
        # A class that changes the cost of another one says itself whether bounds hold, and what undoes its
        # derivative and its preparation.
        own = set(vars(cls))
        if {"kernel", "pairwise", "prepare"} & own and "boundable" not in own:
            cls.boundable = False
        if {"gradient", "kernel", "pairwise", "prepare"} & own and "twist" not in own:
            cls.twist = Cost.twist  # type: ignore[method-assign]
        if "prepare" in own and "unprepare" not in own:
            cls.unprepare = Cost.unprepare  # type: ignore[method-assign]

    @property
    def name(self) -> str:
        return type(self).__name__.lower()

    def swapped(self) -> Cost:
        """The cost ``(y, x) -> c(x, y)``."""
        if self.symmetric:
            return self
        raise NotImplementedError(f"{type(self).__name__} is not symmetric and must define swapped()")

    def check(self, x: np.ndarray, argument: str) -> None:
        """Raise ``ValueError`` where points are outside the domain of the cost."""

    def prepare(self, x, xp=compat):
        """Points as `pairwise` and `kernel` want them; (n, d) -> (n, d'), a new array or `x` itself."""
        return x

    def pairwise(self, x, y, xp=compat):
        """(n, m) cost matrix between *prepared* points ``x`` (n, d) and ``y`` (m, d), same array library.

        Those of this package allow for more dimensions in front, the same ones in both.
        """
        raise NotImplementedError

    def gradient(self, x, y, c, xp=compat):
        """(n, m, d) derivative of ``c`` by *prepared* x; ``c`` is the (n, m) cost. 0 where undefined."""
        raise NotImplementedError(f"{type(self).__name__} has no gradient")

    def pullback(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Derivative by the raw points from the derivative by the prepared ones; (n, d) both."""
        return gradient

    @property
    def has_twist(self) -> bool:
        """Whether `twist` is defined: ``y -> grad_x c(x, y)`` is one to one, and its inverse is known."""
        return type(self).twist is not Cost.twist

    def twist(self, x, slope, xp=compat):
        """The point y with ``grad_x c(x, y) = slope``: where a map with this slope of its potential sends x.

        Parameters
        ----------
        x : (n, d) array
            *Prepared* points.
        slope : (n, d) array
            Derivative of a potential by them.

        Returns
        -------
        (n, d) array
            *Prepared* points. PyTorch tensors keep their graph.

        Raises
        ------
        NotImplementedError
            Where a slope says too little: costs that are not strictly convex functions of ``x - y`` have the same
            slope at many y.

        References
        ----------
        [gangbo:96]_.
        """
        raise NotImplementedError(f"{type(self).__name__} has no twist: its slope at x does not determine y")

    def unprepare(self, x, xp=compat):
        """Raw points whose prepared ones are x; what undoes `prepare`.

        Raises
        ------
        NotImplementedError
            If `prepare` is defined and this is not.
        """
        if type(self).prepare is not Cost.prepare:
            raise NotImplementedError(f"{type(self).__name__} defines prepare() and must define unprepare()")
        return x

    def kernel(self, dtype, d: int) -> Any:
        """``NamedTuple`` for compiled kernels, its numbers of the given dtype; None where there is none."""
        return None

    def separate(self, d: int) -> bool:
        """Whether ``c(x, y)`` is a sum over the `d` coordinates (what grids need)."""
        return False

    def monotone(self, d: int) -> bool:
        """Whether plans that keep the order of points with `d` coordinates are optimal: convex costs on a line."""
        return False

    def spread(self, low: np.ndarray, high: np.ndarray) -> float:
        """Range of the costs between *prepared* points of the box ``[low, high]`` (d,): where eps-scaling starts.

        By the corners `low` and `high`, which bound norms and what grows with them.
        """
        corners = np.stack([low, high])
        with np.errstate(over="ignore", invalid="ignore"):  # costs that overflow have an infinite spread
            C = np.asarray(self.pairwise(corners, corners))
            return float(C.max() - C.min())


# --- kernels: each method sees one coordinate (accumulate, derivative) or one pair (finish) -----------------


class SumOfSquares(NamedTuple):
    """``factor * sum (u - v)**2``."""

    factor: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        return total + (u - v) * (u - v)

    @staticmethod
    def finish(kernel, total):
        return kernel.factor * total

    @staticmethod
    def derivative(kernel, c, u, v):
        return 2 * kernel.factor * (u - v)

    @staticmethod
    def radial(kernel, c):
        return 2 * kernel.factor


class RootOfSquares(NamedTuple):
    """``sqrt(sum (u - v)**2)``."""

    one: float
    zero: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        return total + (u - v) * (u - v)

    @staticmethod
    def finish(kernel, total):
        return math.sqrt(total)

    @staticmethod
    def derivative(kernel, c, u, v):
        return (u - v) / c if c > kernel.zero else kernel.zero

    @staticmethod
    def radial(kernel, c):
        return kernel.one / c if c > kernel.zero else kernel.zero


class PowerOfSquares(NamedTuple):
    """``(sum (u - v)**2)**half``."""

    half: float
    inverse: float
    p: float
    zero: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        return total + (u - v) * (u - v)

    @staticmethod
    def finish(kernel, total):
        return power(total, kernel.half)

    @staticmethod
    def derivative(kernel, c, u, v):
        # c is the cost: its power 2 / p the squared distance.
        if c <= kernel.zero:
            return kernel.zero
        return kernel.p * c / power(c, kernel.inverse) * (u - v)

    @staticmethod
    def radial(kernel, c):
        # c is positive where the power is taken: it is vectorised, for all pairs.
        safe = c if c > kernel.zero else kernel.p
        factor = kernel.p * c / power(safe, kernel.inverse)
        return factor if c > kernel.zero else kernel.zero


class SumOfAbsolutes(NamedTuple):
    """``sum |u - v|``."""

    zero: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        return total + abs(u - v)

    @staticmethod
    def finish(kernel, total):
        return total

    @staticmethod
    def derivative(kernel, c, u, v):
        return np.sign(u - v)


class MaxOfAbsolutes(NamedTuple):
    """``max |u - v|``."""

    zero: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        return max(total, abs(u - v))

    @staticmethod
    def finish(kernel, total):
        return total

    @staticmethod
    def derivative(kernel, c, u, v):
        return np.sign(u - v) if abs(u - v) == c else kernel.zero


class RootOfPowers(NamedTuple):
    """``(sum |u - v|**p)**(1 / p)``; ``**`` on positive numbers is vectorised by the backend."""

    p: float
    inverse: float
    zero: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        return total + power(abs(u - v), kernel.p)

    @staticmethod
    def finish(kernel, total):
        return power(total, kernel.inverse)

    @staticmethod
    def derivative(kernel, c, u, v):
        if c <= kernel.zero:
            return kernel.zero
        return np.sign(u - v) * power(abs(u - v) / c, kernel.p - 1)


class MinusProduct(NamedTuple):
    """``-sum u v``."""

    zero: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        return total - u * v

    @staticmethod
    def finish(kernel, total):
        return total

    @staticmethod
    def derivative(kernel, c, u, v):
        return -v


class Arc(NamedTuple):
    """Angle between unit vectors from their chord: accurate where the arc cosine is not, near 0."""

    half: float
    one: float
    two: float
    zero: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        return total + (u - v) * (u - v)

    @staticmethod
    def finish(kernel, total):
        return kernel.two * arcsine(min(kernel.half * math.sqrt(total), kernel.one))

    @staticmethod
    def derivative(kernel, c, u, v):
        s = math.sin(c)
        return (u - v) / s if s > kernel.zero else kernel.zero

    @staticmethod
    def radial(kernel, c):
        s = math.sin(c)
        return kernel.one / s if s > kernel.zero else kernel.zero


class ShareOfDifferences(NamedTuple):
    """``mean (u != v)``."""

    inverse: float
    one: float
    zero: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        return total + (kernel.one if u != v else kernel.zero)

    @staticmethod
    def finish(kernel, total):
        return total * kernel.inverse

    @staticmethod
    def derivative(kernel, c, u, v):
        return kernel.zero


def power(x, p):
    """``x**p`` for ``x >= 0``; compiled backends overload it with a vector version."""
    return x**p


def arcsine(x):
    """``asin(x)`` on [0, 1]; compiled backends overload it with a vector version."""
    return np.arcsin(x)


# --- the costs ------------------------------------------------------------------------------------------------


def _differences(x, y):
    return x[..., :, None, :] - y[..., None, :, :]


@dataclass(frozen=True)
class _Weighted(Cost):
    """Costs whose coordinates can carry weights; ``weights`` is a tuple of d positive numbers."""

    weights: tuple[float, ...] | None = None
    boundable: ClassVar[bool] = True

    def __post_init__(self):
        if self.weights is None:
            return
        weights = tuple(float(w) for w in self.weights)
        if not weights or not all(math.isfinite(w) and w > 0 for w in weights):
            raise ValueError(f"weights={self.weights!r} must be positive and finite, one per coordinate")
        object.__setattr__(self, "weights", weights)

    def _exponent(self) -> float:
        return 0.5

    def _scale(self) -> np.ndarray:
        return np.asarray(self.weights) ** self._exponent()

    def check(self, x, argument):
        if self.weights is not None and len(self.weights) != x.shape[1]:
            raise ValueError(
                f"cost has {len(self.weights)} coordinate weights, but {argument} has {x.shape[1]} coordinates"
            )

    def prepare(self, x, xp=compat):
        if self.weights is None:
            return x
        return x * xp.asarray(self._scale(), dtype=x.dtype)

    def pullback(self, x, gradient):
        return gradient if self.weights is None else gradient * self._scale()

    def unprepare(self, x, xp=compat):
        if self.weights is None:
            return x
        return x / xp.asarray(self._scale(), dtype=x.dtype)

    def monotone(self, d):
        return d == 1


@dataclass(frozen=True)
class SqEuclidean(_Weighted):
    """``sum w_k (x_k - y_k)**2``: squared Euclidean distance, not halved."""

    def pairwise(self, x, y, xp=compat):
        diff = _differences(x, y)
        return xp.sum(diff * diff, axis=-1)

    def gradient(self, x, y, c, xp=compat):
        return 2 * _differences(x, y)

    def twist(self, x, slope, xp=compat):
        return x - slope / 2

    def kernel(self, dtype, d):
        return SumOfSquares(dtype(1))

    def separate(self, d):
        return True


@dataclass(frozen=True)
class Euclidean(_Weighted):
    """``sqrt(sum w_k (x_k - y_k)**2)``."""

    def pairwise(self, x, y, xp=compat):
        diff = _differences(x, y)
        return xp.sqrt(xp.sum(diff * diff, axis=-1))

    def gradient(self, x, y, c, xp=compat):
        return _differences(x, y) / xp.where(c > 0, c, xp.ones_like(c))[..., None]

    def kernel(self, dtype, d):
        return RootOfSquares(dtype(1), dtype(0))

    def separate(self, d):
        return d == 1


@dataclass(frozen=True)
class EuclideanPower(_Weighted):
    """``(sum w_k (x_k - y_k)**2)**(p / 2)``: a power of the Euclidean distance, as in Wasserstein distances.

    Parameters
    ----------
    p : float >= 1, finite

    Raises
    ------
    ValueError
        For other `p`.
    """

    p: float = 2.0

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.p, bool) or not (math.isfinite(self.p) and self.p >= 1):
            raise ValueError(f"p={self.p!r} must be at least 1 and finite")
        object.__setattr__(self, "p", float(self.p))

    @property
    def name(self):
        return f"euclideanpower({self.p:g})"

    def pairwise(self, x, y, xp=compat):
        diff = _differences(x, y)
        return xp.sum(diff * diff, axis=-1) ** (self.p / 2)

    def gradient(self, x, y, c, xp=compat):
        diff = _differences(x, y)
        square = xp.sum(diff * diff, axis=-1)
        safe = xp.where(square > 0, square, xp.ones_like(square))
        slope = xp.where(square > 0, self.p * safe ** (self.p / 2 - 1), xp.zeros_like(square))
        return slope[..., None] * diff

    @property
    def has_twist(self):
        return self.p > 1 and super().has_twist

    def twist(self, x, slope, xp=compat):
        if self.p == 1:
            return super().twist(x, slope, xp)
        # |slope| = p |x - y|**(p - 1), along x - y. Where it is 0 the points meet, and powers have no derivative.
        square = xp.sum(slope * slope, axis=-1, keepdims=True)
        moves = square > 0
        norm = xp.sqrt(xp.where(moves, square, xp.ones_like(square)))
        ratio = xp.where(moves, (norm / self.p) ** (1 / (self.p - 1)) / norm, xp.zeros_like(norm))
        return x - ratio * slope

    def kernel(self, dtype, d):
        return PowerOfSquares(dtype(self.p / 2), dtype(2 / self.p), dtype(self.p), dtype(0))

    def separate(self, d):
        return d == 1


@dataclass(frozen=True)
class CityBlock(_Weighted):
    """``sum w_k |x_k - y_k|``."""

    def _exponent(self):
        return 1.0

    def pairwise(self, x, y, xp=compat):
        return xp.sum(xp.abs(_differences(x, y)), axis=-1)

    def gradient(self, x, y, c, xp=compat):
        return xp.sign(_differences(x, y))

    def kernel(self, dtype, d):
        return SumOfAbsolutes(dtype(0))

    def separate(self, d):
        return True


@dataclass(frozen=True)
class Chebyshev(_Weighted):
    """``max w_k |x_k - y_k|``."""

    def _exponent(self):
        return 1.0

    def pairwise(self, x, y, xp=compat):
        return xp.max(xp.abs(_differences(x, y)), axis=-1)

    def gradient(self, x, y, c, xp=compat):
        diff = _differences(x, y)
        return xp.where(xp.abs(diff) == c[..., None], xp.sign(diff), xp.zeros_like(diff))

    def kernel(self, dtype, d):
        return MaxOfAbsolutes(dtype(0))

    def separate(self, d):
        return d == 1


@dataclass(frozen=True)
class PNorm(_Weighted):
    """``(sum w_k |x_k - y_k|**p)**(1/p)``, ``p >= 1``: the Minkowski distance.

    Parameters
    ----------
    p : float >= 1
    weights : tuple of d positive floats, optional
    """

    p: float = 2.0

    def __init__(self, p: float = 2.0, weights=None):
        if isinstance(p, bool) or not isinstance(p, (int, float, np.integer, np.floating)):
            raise TypeError(f"p={p!r} is not a number")
        if not (math.isfinite(p) and p >= 1):
            raise ValueError(f"p={p!r} must be finite and at least 1 (p = inf is ots.costs.Chebyshev())")
        object.__setattr__(self, "p", float(p))
        object.__setattr__(self, "weights", weights)
        self.__post_init__()

    def _exponent(self):
        return 1 / self.p

    def pairwise(self, x, y, xp=compat):
        return xp.sum(xp.abs(_differences(x, y)) ** self.p, axis=-1) ** (1 / self.p)

    def gradient(self, x, y, c, xp=compat):
        diff = _differences(x, y)
        ratio = xp.abs(diff) / xp.where(c > 0, c, xp.ones_like(c))[..., None]
        return xp.where(c[..., None] > 0, xp.sign(diff) * ratio ** (self.p - 1), xp.zeros_like(diff))

    def kernel(self, dtype, d):
        return RootOfPowers(dtype(self.p), dtype(1 / self.p), dtype(0))

    def separate(self, d):
        return d == 1 or self.p == 1


@dataclass(frozen=True)
class Dot(Cost):
    """``-<x, y>``: negative inner product."""

    def pairwise(self, x, y, xp=compat):
        return -xp.matmul(x, xp.matrix_transpose(y))

    def gradient(self, x, y, c, xp=compat):
        return xp.broadcast_to(-y[..., None, :, :], (*x.shape[:-1], *y.shape[-2:]))

    def twist(self, x, slope, xp=compat):
        return -slope

    def kernel(self, dtype, d):
        return MinusProduct(dtype(0))

    def spread(self, low, high):
        products = np.stack([low * low, low * high, high * high])
        return float((products.max(0) - products.min(0)).sum())

    def monotone(self, d):
        return d == 1

    def separate(self, d):
        return True


class _OnSphere(Cost):
    """Costs that look at directions only."""

    boundable = True
    on_sphere = True

    def prepare(self, x, xp=compat):
        # Scaling by the largest coordinate first: norms of huge and tiny points stay in range.
        largest = xp.max(xp.abs(x), axis=-1, keepdims=True)
        x = x / xp.where(largest > 0, largest, xp.ones_like(largest))
        norm = xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True))
        return x / xp.where(norm > 0, norm, xp.ones_like(norm))

    def pullback(self, x, gradient):
        norm = np.sqrt((x * x).sum(-1, keepdims=True))
        unit = x / norm
        return (gradient - (gradient * unit).sum(-1, keepdims=True) * unit) / norm

    def unprepare(self, x, xp=compat):
        return x


@dataclass(frozen=True)
class Cosine(_OnSphere):
    """``1 - <x, y> / (|x| |y|)``; undefined at the origin.

    There is no `twist`. Along the sphere the slope is the sine of the angle between x and y, which y shares with
    its mirror image in the half sphere away from x, and optimal plans may use both [gangbo:00]_.
    """

    def check(self, x, argument):
        zero = np.flatnonzero(~x.any(axis=1))
        if zero.size:
            raise ValueError(f"{argument}[{zero[0]}] is the zero vector, which has no cosine to others")

    def pairwise(self, x, y, xp=compat):
        diff = _differences(x, y)
        return xp.sum(diff * diff, axis=-1) / 2

    def gradient(self, x, y, c, xp=compat):
        return _differences(x, y)

    def kernel(self, dtype, d):
        return SumOfSquares(dtype(0.5))


@dataclass(frozen=True)
class Sphere(_OnSphere):
    """Geodesic distance (angle, in radians) between unit vectors of R^d.

    There is no `twist`: as of other distances, the slope says in which direction y lies and not how far.
    """

    def check(self, x, argument):
        off = np.abs(np.sqrt((x.astype(np.float64) ** 2).sum(1)) - 1)
        if off.size and off.max() > 1e-3:
            i = int(off.argmax())
            raise ValueError(
                f"cost='sphere' needs unit vectors, but {argument}[{i}] has norm "
                f"{np.sqrt((x[i].astype(np.float64) ** 2).sum()):.6g}; divide each row by its norm"
            )

    def pairwise(self, x, y, xp=compat):
        diff = _differences(x, y)
        half = xp.sqrt(xp.sum(diff * diff, axis=-1)) / 2
        return 2 * xp.asin(xp.where(half < 1, half, xp.ones_like(half)))

    def gradient(self, x, y, c, xp=compat):
        sine = xp.sin(c)
        live = sine > 0
        ratio = xp.where(live, 1 / xp.where(live, sine, xp.ones_like(sine)), xp.zeros_like(sine))
        return _differences(x, y) * ratio[..., None]

    def kernel(self, dtype, d):
        return Arc(dtype(0.5), dtype(1), dtype(2), dtype(0))


@dataclass(frozen=True)
class Hamming(Cost):
    """Share of coordinates that differ, between 0 and 1."""

    boundable: ClassVar[bool] = True

    def pairwise(self, x, y, xp=compat):
        different = x[..., :, None, :] != y[..., None, :, :]
        return xp.mean(xp.astype(different, x.dtype), axis=-1)

    def gradient(self, x, y, c, xp=compat):
        return xp.zeros_like(_differences(x, y))

    def kernel(self, dtype, d):
        return ShareOfDifferences(dtype(1 / d), dtype(1), dtype(0))

    def separate(self, d):
        return d == 1


_BY_NAME: dict[str, Cost] = {
    "sqeuclidean": SqEuclidean(),
    "euclidean": Euclidean(),
    "cityblock": CityBlock(),
    "chebyshev": Chebyshev(),
    "cosine": Cosine(),
    "dot": Dot(),
    "sphere": Sphere(),
    "hamming": Hamming(),
}


def names() -> tuple[str, ...]:
    """Names that ``cost=`` understands."""
    return tuple(_BY_NAME)


def by_name(name: str) -> Cost:
    """The cost of that name; ``KeyError`` if there is none."""
    return _BY_NAME[name]
