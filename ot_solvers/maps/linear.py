"""The optimal map between Gaussians, fitted to the means and covariances of samples."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from .. import validation as check
from ..autograd import on_graph
from ..namespaces import Library, resolve
from . import files
from .base import TransportMap, detached, read_samples

__all__ = ["LinearMap"]


class Moments(NamedTuple):
    """Mean and covariance of a measure, the latter as ``axes.T @ diag(deviations**2) @ axes``."""

    mean: np.ndarray  # (d,)
    deviations: np.ndarray  # (r,) > 0: standard deviations along the axes
    axes: np.ndarray  # (r, d), orthonormal rows: where the covariance is not 0

    @property
    def factor(self) -> np.ndarray:
        """(r, d) L with ``L.T @ L`` the covariance."""
        return self.deviations[:, None] * self.axes


class LinearMap(TransportMap):
    """Affine map ``T(x) = m_y + A (x - m_x)`` that is optimal between Gaussians, in closed form.

    Of all measures it looks at means and covariances only. Between Gaussians, and more generally between a law and
    its image under a symmetric positive semi-definite A, it is the optimal map for the squared Euclidean and the
    dot cost.

    Parameters
    ----------
    shrinkage : float in [0, 1]
        Share of both covariances that is replaced by the multiple of the identity with the same trace: for few
        samples in many dimensions. 1 keeps the mean variances only.

    Attributes
    ----------
    matrix_ : (d, d) array
        A, symmetric and positive semi-definite.
    offset_ : (d,) array
        ``m_y - A m_x``: ``T(x) = A x + offset``. Images are computed around the means, which loses no digits where
        points are far from 0.
    value_ : float
        Squared 2-Wasserstein distance between the two Gaussians: what the map costs on them.
    n_features_in_ : int

    Notes
    -----
    With covariances X and Y, ``A = X^{-1/2} (X^{1/2} Y X^{1/2})^{1/2} X^{-1/2}`` and
    ``value = |m_x - m_y|^2 + tr(X + Y - 2 (X^{1/2} Y X^{1/2})^{1/2})``. Covariances are those of the weighted
    points themselves (divided by the total weight) and are never formed: with the singular values of the points,
    ``X = U' S^2 U`` and ``Y = V' R^2 V``, and ``S U V' R = P D Q'``, the matrix is ``U' S^{-1} P D P' S^{-1} U``.
    That loses half as many digits as roots of matrices do. Everything is float64 inside.

    Where X is singular, as with fewer samples than dimensions, its inverse is the one on its range: deviations of
    new points from the subspace of the samples are mapped to 0. If the range of Y is larger, no map at all sends
    one Gaussian to the other, and the image covers a part of Y. Directions in which the samples vary by no more
    than the rounding of their dtype count as outside. `shrinkage` makes both covariances regular.

    References
    ----------
    [knott:84]_; the distance in [gelbrich:90]_; shrinkage in [ledoit:04]_; from samples in [flamary:19]_.

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> x = np.array([[-1.0], [1.0]])
    >>> linear = ots.maps.LinearMap().fit(x, 3 * x + 5)
    >>> linear.transform([[2.0]])
    array([[11.]])
    >>> round(linear.value_, 6)
    29.0
    """

    def __init__(self, *, shrinkage: float = 0.0):
        self.shrinkage = shrinkage

    def fit(self, x: Any, y: Any, a: Any = None, b: Any = None) -> LinearMap:
        """Take means and covariances of two samples, and the map between them.

        Parameters
        ----------
        x : (n, d) array
            Source points.
        y : (m, d) array
            Target points, of the same array library.
        a : (n,) array >= 0, optional
            Source weights, divided by their sum; uniform by default.
        b : (m,) array >= 0, optional
            Target weights, likewise.

        Returns
        -------
        LinearMap
            Itself.

        Raises
        ------
        ValueError, TypeError
            For bad input, naming the argument. Tensors that require gradients are refused: the fit has none.
        """
        shrinkage = check.number(self.shrinkage, "shrinkage")
        if not 0 <= shrinkage <= 1:
            raise ValueError(f"shrinkage={self.shrinkage!r} must be in [0, 1]")
        first, second, masses_a, masses_b, library = read_samples(x, y, a, b)
        source, target = (
            moments(points, weights, shrinkage) for points, weights in ((first, masses_a), (second, masses_b))
        )
        self._use(source.mean, target.mean, optimal_matrix(source, target), optimal_matrix(target, source))
        self.value_ = squared_distance(source, target)
        self._library = library
        return self

    def _use(self, source_mean, target_mean, forward, backward) -> None:
        self._means = (source_mean, target_mean)
        self._matrices = (forward, backward)
        self.n_features_in_ = source_mean.size

    @property
    def matrix_(self) -> Any:
        self._need_fitted()
        return self._library.array(self._matrices[0].copy())

    @property
    def offset_(self) -> Any:
        self._need_fitted()
        return self._library.array(self._means[1] - self._matrices[0] @ self._means[0])

    # --- maps -------------------------------------------------------------------------------------------------

    def transform(self, x: Any) -> Any:
        """Images of points.

        Parameters
        ----------
        x : (k, d) array
            Tensors that require gradients keep their graph.

        Returns
        -------
        (k, d) array
            Of the library and dtype of x.

        Raises
        ------
        NotFittedError
        ValueError, TypeError
            For bad input, naming the argument.
        """
        return self._images(x, "x", 0)

    def inverse_transform(self, y: Any) -> Any:
        """Images of points under the map in the other direction.

        Parameters
        ----------
        y : (k, d) array

        Returns
        -------
        (k, d) array
            Of the library and dtype of y. The inverse of `transform` where both covariances have the same range.
        """
        return self._images(y, "y", 1)

    def _images(self, x: Any, argument: str, direction: int) -> Any:
        self._need_fitted()
        library = resolve({argument: x})
        array = self._new_points(detached(x), argument)
        start, end = self._means if direction == 0 else self._means[::-1]
        matrix = self._matrices[direction]
        if not on_graph(x):
            images = end + (array.astype(np.float64, copy=False) - start) @ matrix.T
            return Library(library, array.dtype).array(images)
        wide, like = Library(library, np.dtype(np.float64)), Library(library, array.dtype)
        images = wide.array(end) + (x.double() - wide.array(start)) @ wide.array(matrix.T)
        return images.to(like.array(np.zeros(0)).dtype)

    # --- files ------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> None:
        """Write the map to an ``.npz`` file, without pickle.

        Parameters
        ----------
        path : str or path
            Taken as it is.

        Raises
        ------
        NotFittedError
        """
        self._need_fitted()
        arrays = {
            "source_mean": self._means[0],
            "target_mean": self._means[1],
            "forward": self._matrices[0],
            "backward": self._matrices[1],
        }
        options = {"shrinkage": float(self.shrinkage), "value": self.value_}
        files.write(path, type(self).__name__, arrays, options)

    @classmethod
    def load(cls, path: str | os.PathLike) -> LinearMap:
        """The map that `save` has written; its arrays are NumPy ones.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file holds no such map.
        """
        content = files.read(path, cls.__name__)
        means = [content.array(name, 1, path) for name in ("source_mean", "target_mean")]
        matrices = [content.array(name, 2, path) for name in ("forward", "backward")]
        d = means[0].size
        if means[1].shape != (d,) or any(matrix.shape != (d, d) for matrix in matrices):
            raise ValueError(f"path={os.fspath(path)!r} is damaged: its arrays do not belong to each other")
        try:
            found = cls(shrinkage=float(content.options["shrinkage"]))
            found.value_ = float(content.options["value"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"path={os.fspath(path)!r} is damaged: {error}") from None
        found._use(*means, *matrices)
        found._library = Library("numpy", np.dtype(np.float64))
        return found


def moments(points: np.ndarray, weights: np.ndarray | None, shrinkage: float) -> Moments:
    """Mean and covariance of weighted points.

    Parameters
    ----------
    points : (n, d) float array
    weights : (n,) float64 array of sum 1, or None
        None: equal ones.
    shrinkage : float in [0, 1]
    """
    n, d = points.shape
    # Before the cast: what rounding may have made of points that lie in a subspace.
    unit = float(np.finfo(points.dtype).eps)
    points = points.astype(np.float64)
    weights = np.full(n, 1 / n) if weights is None else weights
    live = weights > 0
    points, weights = points[live], weights[live]
    mean = weights @ points
    # Once more around the first mean, which is off by the rounding of a sum of large numbers.
    mean = mean + weights @ (points - mean)
    centred = np.sqrt(weights)[:, None] * (points - mean)
    if len(points) > d:
        centred = np.linalg.qr(centred, mode="r")  # the same singular values and axes, for half the work
    # All d axes are needed where each gets a variance.
    deviations, axes = np.linalg.svd(centred, full_matrices=shrinkage > 0 and len(points) < d)[1:]
    rounding = 4 * unit * np.sqrt(d) * float(np.abs(points).max())
    deviations = np.where(deviations > rounding, deviations, 0.0)
    if shrinkage > 0:
        variances = np.zeros(d)
        variances[: deviations.size] = deviations**2
        deviations = np.sqrt((1 - shrinkage) * variances + shrinkage * variances.sum() / d)
    varies = deviations > 0
    return Moments(mean, deviations[varies], axes[: deviations.size][varies])


def optimal_matrix(source: Moments, target: Moments) -> np.ndarray:
    """(d, d) A of the optimal map between Gaussians with these moments."""
    left, values, _ = np.linalg.svd(source.factor @ target.factor.T, full_matrices=False)
    root = np.sqrt(values) * ((source.axes / source.deviations[:, None]).T @ left)
    return root @ root.T


def squared_distance(source: Moments, target: Moments) -> float:
    """``W_2^2`` between Gaussians with these moments; a sum of squares, so that equal ones have distance 0."""
    first, second = source.factor, target.factor
    left, _, right = np.linalg.svd(first @ second.T)
    pair = np.zeros((2, max(len(first), len(second)), source.mean.size))
    # Factors of both covariances, as near to each other as factors get.
    pair[0, : len(first)], pair[1, : len(second)] = left.T @ first, right @ second
    return float(((source.mean - target.mean) ** 2).sum() + ((pair[0] - pair[1]) ** 2).sum())
