"""Samples to fit maps to: cells before and after a perturbation, and the user's own files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import validation as check
from ..namespaces import Library, host_array, resolve
from ..reading import file_format, read_array, read_npz
from .h5ad import read_h5ad
from .known import AffineMap
from .problems import random_positive
from .rows import rows_of

__all__ = ["PerturbationData", "load_points", "perturbation_data"]


# --- cells ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class PerturbationData:
    """Control and treated cells of several types; different cells, as measuring destroys them.

    Attributes
    ----------
    control : (n, d) array
    treated : (m, d) array
        Not paired with the control cells.
    control_types : (n,) int array
        Cell type of every control cell, 0 … k - 1.
    treated_types : (m,) int array
    images : (n, d) array
        Where the response of its type takes each control cell.
    proportions, treated_proportions : (k,) arrays
        Of the types, in the law of control and of treated cells.
    responses : tuple of AffineMap
        The response of each type.
    """

    control: np.ndarray
    treated: np.ndarray
    control_types: np.ndarray
    treated_types: np.ndarray
    images: np.ndarray
    proportions: np.ndarray
    treated_proportions: np.ndarray
    responses: tuple[AffineMap, ...]

    def true_map(self, x: Any, types: Any) -> Any:
        """(n, d) images of cells x (n, d) of the given types (n,).

        Raises
        ------
        ValueError, TypeError
            For arrays that do not fit, and unknown types.
        """
        library = resolve({"x": x, "types": types})
        cells, kinds = check.points(x, "x"), host_array(types, "types")
        if kinds.shape != (len(cells),):
            raise ValueError(f"types has shape {kinds.shape}; expected ({len(cells)},), the type of every cell")
        if kinds.dtype.kind not in "iu":
            raise TypeError(f"types has dtype {kinds.dtype}; expected integers")
        outside = (kinds < 0) | (kinds >= len(self.responses))
        if outside.any():
            k = int(outside.argmax())
            raise ValueError(f"types[{k}] is {kinds[k]}; expected a type in 0 ... {len(self.responses) - 1}")
        return Library(library, cells.dtype).array(_responded(self.responses, cells, kinds))

    def __repr__(self) -> str:
        n, d = self.control.shape
        return (
            f"PerturbationData({n} control and {len(self.treated)} treated cells of {len(self.responses)} types, "
            f"{d} coordinates)"
        )


def perturbation_data(
    n: int = 2000,
    d: int = 50,
    *,
    n_treated: int | None = None,
    n_types: int = 6,
    response: float = 1.0,
    imbalance: float = 0.3,
    seed: Any = 0,
) -> PerturbationData:
    """Cells that respond to a perturbation by type: a stand-in for single-cell data after a projection.

    A mixture of Gaussians, one per cell type, whose coordinates have falling variances, like principal components.
    Under the perturbation every type is shifted, along a direction that all types share and one of its own, by an
    amount of its own, and its covariance changes; so do the proportions of the types.

    Parameters
    ----------
    n : int
        Control cells.
    d : int
        Coordinates.
    n_treated : int, optional
        Treated cells; n by default.
    n_types : int
        Cell types.
    response : float >= 0
        Length of the shifts, about, in units of the radius of a type; 0: covariances change, means do not.
    imbalance : float >= 0
        Standard deviation of the logarithm of the factors by which proportions change; 0: they stay.
    seed : None, int or numpy.random.Generator
        Of the types, their responses and the cells.

    Returns
    -------
    PerturbationData

    Raises
    ------
    ValueError, TypeError
        For sizes that are no positive integers, and numbers out of range.

    Notes
    -----
    The response of each type is the optimal map of that type for the squared Euclidean cost. Where proportions
    change, the responses do not carry the law of control cells to that of treated ones, and no map can be right on
    both counts: the figure that counts then is the distance from `PerturbationData.images`.

    Examples
    --------
    >>> import ot_solvers as ots
    >>> cells = ots.maps.perturbation_data(600, seed=1)
    >>> train, test = slice(0, 400), slice(400, 600)
    >>> report = ots.maps.evaluate(
    ...     ots.maps.IdentityMap().fit(cells.control[train], cells.treated[train]),
    ...     (cells.control[test], cells.treated[test]),
    ...     truth=cells.images[test],
    ... )
    >>> report.cosine is None, report.l2_uvp > 5
    (True, True)
    """
    n, d, n_types = check.count(n, "n"), check.count(d, "d"), check.count(n_types, "n_types")
    m = n if n_treated is None else check.count(n_treated, "n_treated")
    response, imbalance = check.number(response, "response"), check.number(imbalance, "imbalance")
    for value, name in ((response, "response"), (imbalance, "imbalance")):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name}={value!r} must be finite and not negative")
    generator = np.random.default_rng(seed)
    scales = 3 / np.sqrt(1 + np.arange(d))
    means = scales * generator.normal(size=(n_types, d))
    radius = 0.5 * math.sqrt(float((scales**2).sum()))
    shared = _direction(scales, generator)
    roots, responses = [], []
    for mean in means:
        values, vectors = random_positive(d, 1.5, generator)
        roots.append(0.5 * scales[:, None] * (vectors * np.sqrt(values)) @ vectors.T)
        # Types that hardly answer, and types that answer twice as much as others.
        along = generator.uniform(0.2, 1.6) * shared + 0.5 * _direction(scales, generator)
        values, vectors = random_positive(d, 1.5, generator)
        responses.append(AffineMap((vectors * values) @ vectors.T, mean, mean + response * radius * along))
    proportions = generator.dirichlet(np.full(n_types, 4.0))
    changed = proportions * np.exp(imbalance * generator.normal(size=n_types))
    changed /= changed.sum()

    def cells(count: int, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        types = generator.choice(n_types, size=count, p=shares)
        z = generator.normal(size=(count, d))
        points = np.empty((count, d))
        for k in range(n_types):
            points[types == k] = means[k] + z[types == k] @ roots[k].T
        return points, types

    control, control_types = cells(n, proportions)
    before, treated_types = cells(m, changed)
    treated, images = _responded(responses, before, treated_types), _responded(responses, control, control_types)
    return PerturbationData(
        control, treated, control_types, treated_types, images, proportions, changed, tuple(responses)
    )


def _responded(responses: Sequence[AffineMap], cells: np.ndarray, types: np.ndarray) -> np.ndarray:
    """(n, d) images of cells (n, d) by their types (n,)."""
    images = np.empty(cells.shape)
    for kind, response in enumerate(responses):
        of_it = types == kind
        if of_it.any():
            images[of_it] = response(cells[of_it].astype(np.float64))
    return images


def _direction(scales: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A unit vector, mostly along coordinates of large variance."""
    v = scales * generator.normal(size=scales.size)
    return v / np.linalg.norm(v)


# --- files ----------------------------------------------------------------------------------------------------


def load_points(path: str | Path, key: str | None = None, *, where: str | None = None) -> np.ndarray:
    """Points from a file: ``.npy``, ``.npz``, ``.csv`` and other text tables, or ``.h5ad``.

    Parameters
    ----------
    path : str or Path
        The content says what it is, not the name.
    key : str, optional
        The array to take, from an ``.npz`` file with several; from an ``.h5ad`` file ``"X"`` (the default), a name
        in ``obsm`` such as ``"X_pca"``, or a path such as ``"layers/counts"``.
    where : str, optional
        ``"column=value"``: only the rows where that column has that value, so that source and target may come from
        one file. Columns are those of ``obs`` in an ``.h5ad`` file, and one-dimensional arrays in an ``.npz``
        file.

    Returns
    -------
    (n, d) array
        float32 or float64, as the file has it; float64 for integers.

    Raises
    ------
    ValueError, TypeError
        For files of an unknown format, without such an array, column or value, and for what are no finite points;
        naming what there is.
    OSError
        For files that are missing or cannot be read.
    ImportError
        For an ``.h5ad`` file without h5py.

    Examples
    --------
    >>> import ot_solvers as ots
    >>> x = ots.maps.load_points("cells.h5ad", "X_pca", where="drug=control")  # doctest: +SKIP
    >>> y = ots.maps.load_points("cells.h5ad", "X_pca", where="drug=dasatinib")  # doctest: +SKIP
    """
    file = Path(path)
    if key is not None and not isinstance(key, str):
        raise TypeError(f"key={key!r} is a {type(key).__name__}; expected a name")
    condition = None if where is None else read_condition(where)
    kind = file_format(file)
    if kind == "hdf5":
        array = read_h5ad(file, key, condition)
    elif kind == "npz":
        array = read_npz(file, lambda names: _chosen(file, key, names))
        if condition is not None:
            column, value = condition
            array = array[rows_of(read_npz(file, lambda names: column), column, value, len(array), str(file))]
    else:
        if key is not None:
            raise ValueError(f"key={key!r} is for .npz and .h5ad files; {file} is one array")
        if where is not None:
            raise ValueError(f"where={where!r} is for .npz and .h5ad files; {file} has no named columns")
        array = read_array(file, lambda names: names[0])
    return check.points(array, str(file))


def read_condition(where: Any) -> tuple[str, str]:
    """(column, value) of ``"column=value"``."""
    if not isinstance(where, str):
        raise TypeError(f"where={where!r} is a {type(where).__name__}; expected 'column=value'")
    column, sign, value = (part.strip() for part in where.partition("="))
    if not (column and sign and value):
        raise ValueError(f"where={where!r} is no condition; expected 'column=value'")
    return column, value


def _chosen(path: Path, key: str | None, names: list[str]) -> str:
    if key is not None:
        return key
    if len(names) > 1:
        raise ValueError(f"{path} holds several arrays ({', '.join(names)}): name one with key=")
    return names[0]
