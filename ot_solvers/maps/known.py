"""Maps that are known: affine ones, and gradients of convex functions with their inverses."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import validation as check
from ..errors import ConvergenceError
from ..lazy import cached_property
from ..namespaces import Library, resolve

__all__ = ["AffineMap", "ConvexGradientMap", "KnownMap"]

#: Numbers of a block of Hessians.
BLOCK = 1 << 21
#: Newton steps of an inverse; fewer than ten are usual.
NEWTON_STEPS = 100
#: Of the residual, relative to the points: what rounding leaves, with room.
RESIDUAL = 1e-10


class KnownMap:
    """A map of R^d as a function: ``images = map(x)``, in the caller's library.

    Attributes
    ----------
    dimension : int
        d.
    """

    dimension: int

    def __call__(self, x: Any) -> Any:
        """(n, d) images of points x (n, d).

        Raises
        ------
        ValueError, TypeError
            For points of another dimension, naming their shape, and for what are no finite points.
        """
        library = resolve({"x": x})
        points = check.points(x, "x")
        if points.shape[1] != self.dimension:
            raise ValueError(f"x has {points.shape[1]} coordinates; the map is one of R^{self.dimension}")
        return Library(library, points.dtype).array(self._move(points.astype(np.float64)))

    @property
    def inverse(self) -> KnownMap:
        """The map back."""
        raise NotImplementedError(f"{type(self).__name__} has no inverse")

    def _move(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class AffineMap(KnownMap):
    """``x -> target + matrix (x - source)``.

    Parameters
    ----------
    matrix : (d, d) array
    source, target : (d,) arrays, optional
        A point and its image; the origin by default.
    """

    def __init__(self, matrix: np.ndarray, source: np.ndarray | None = None, target: np.ndarray | None = None):
        self.matrix = matrix
        self.dimension = len(matrix)
        self.source = np.zeros(self.dimension) if source is None else source
        self.target = np.zeros(self.dimension) if target is None else target

    def _move(self, x):
        return self.target + (x - self.source) @ self.matrix.T

    @cached_property
    def inverse(self) -> AffineMap:
        return AffineMap(np.linalg.inv(self.matrix), self.target, self.source)


class ConvexGradientMap(KnownMap):
    """The gradient of a strongly convex function, which no affine map is close to.

    ``phi(x) = <x, Q x> / 2 + <c, x> + t log sum_k exp((<w_k, x> + b_k) / t)``: its gradient moves x by
    ``Q x + c`` and by a mean of the slopes w_k, most of all the one whose plane is highest above x.

    Parameters
    ----------
    quadratic : (d, d) array
        Q, positive definite.
    offset : (d,) array
        c.
    slopes : (k, d) array
    intercepts : (k,) array
        b.
    temperature : float > 0
        t; the smaller, the sharper the borders between the pieces.
    """

    def __init__(self, quadratic, offset, slopes, intercepts, temperature: float):
        self.quadratic, self.offset = quadratic, offset
        self.slopes, self.intercepts, self.temperature = slopes, intercepts, temperature
        self.dimension = len(quadratic)

    def potential(self, x: np.ndarray) -> np.ndarray:
        """(n,) values of phi at points x (n, d)."""
        heights = (x @ self.slopes.T + self.intercepts) / self.temperature
        top = heights.max(axis=1)
        smooth = top + np.log(np.exp(heights - top[:, None]).sum(axis=1))
        return ((x @ self.quadratic) * x).sum(axis=1) / 2 + x @ self.offset + self.temperature * smooth

    def _shares(self, x: np.ndarray) -> np.ndarray:
        """(n, k) weights of the slopes."""
        heights = (x @ self.slopes.T + self.intercepts) / self.temperature
        shares = np.exp(heights - heights.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def _move(self, x):
        return x @ self.quadratic + self.offset + self._shares(x) @ self.slopes

    def hessians(self, x: np.ndarray) -> np.ndarray:
        """(n, d, d) second derivatives of phi at points x (n, d): the derivative of the map."""
        shares = self._shares(x)
        weighted = shares[:, :, None] * self.slopes
        mean = weighted.sum(axis=1)
        spread = np.swapaxes(weighted, 1, 2) @ self.slopes - mean[:, :, None] * mean[:, None, :]
        return self.quadratic + spread / self.temperature

    @cached_property
    def inverse(self) -> KnownMap:
        return _InverseGradient(self)


class _InverseGradient(KnownMap):
    """The inverse of a gradient, by Newton's method from the inverse of its affine part."""

    def __init__(self, forward: ConvexGradientMap):
        self.forward = forward
        self.dimension = forward.dimension

    @property
    def inverse(self) -> ConvexGradientMap:
        return self.forward

    def _move(self, x):
        step = max(1, BLOCK // (self.dimension * max(self.dimension, len(self.forward.slopes))))
        return np.concatenate([self._solve(x[k : k + step]) for k in range(0, len(x), step)])

    def _solve(self, y: np.ndarray) -> np.ndarray:
        """(n, d) points whose gradients are y.

        The Hessian is positive definite with bounded inverse, so that Newton steps shortened until the residual
        falls end at the solution from anywhere.
        """
        forward = self.forward
        middle = forward.slopes.mean(axis=0) + forward.offset
        x = np.linalg.solve(forward.quadratic, (y - middle).T).T
        residual = forward._move(x) - y
        size = np.linalg.norm(residual, axis=1)
        reach = RESIDUAL * (1 + np.linalg.norm(y, axis=1))
        live = np.arange(len(y))
        for _ in range(NEWTON_STEPS):
            # Steps go on until rounding stops them, not just until the bound is met.
            direction = np.linalg.solve(forward.hessians(x[live]), residual[live, :, None])[:, :, 0]
            moved, length, waiting = np.zeros(live.size, dtype=bool), 1.0, np.arange(live.size)
            while waiting.size and length > 1e-6:
                at = live[waiting]
                tried = x[at] - length * direction[waiting]
                left = forward._move(tried) - y[at]
                lengths = np.linalg.norm(left, axis=1)
                better = lengths < (1 - 1e-4 * length) * size[at]
                taken = at[better]
                x[taken], residual[taken], size[taken] = tried[better], left[better], lengths[better]
                moved[waiting[better]] = True
                # What is within rounding takes no shorter steps.
                waiting = waiting[~better & (size[at] > reach[at])]
                length /= 2
            live = live[moved]
            if live.size == 0:
                break
        if not (size <= reach).all():
            worst = int((size / reach).argmax())
            raise ConvergenceError(f"no preimage of y[{worst}] was found: the residual stays at {size[worst]:g}")
        return x
