"""Cells from ``.h5ad`` files: the layout of anndata, read with h5py alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .rows import rows_of

__all__ = ["read_h5ad"]


def read_h5ad(path: Path, key: str | None, condition: tuple[str, str] | None) -> np.ndarray:
    """A matrix of an ``.h5ad`` file, dense.

    Parameters
    ----------
    path : Path
    key : str or None
        ``"X"`` for None; a name in ``obsm``, or a path.
    condition : (column, value) or None
        Column of ``obs`` and the value that rows must have there.

    Returns
    -------
    (n, d) array

    Raises
    ------
    ValueError
        For files, arrays, columns and values that are not as expected, naming those that there are.
    ImportError
        Without h5py.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"reading {path} needs h5py: pip install 'ot_solvers[h5ad]'") from error
    try:
        with h5py.File(path, "r") as file:
            matrix = _find(file, key, path)
            rows = None
            if condition is not None:
                column, value = condition
                rows = rows_of(_column(file, column, path), column, value, _length(matrix), str(path))
            return _read(matrix, rows, path)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error}") from error


def _find(file: Any, key: str | None, path: Path) -> Any:
    """The dataset, or group of a sparse matrix, that `key` means."""
    for name in ("X",) if key is None else (key, f"obsm/{key}"):
        if name in file:
            return file[name]
    known = [name for name in ("X",) if name in file]
    for group in ("obsm", "layers"):
        known += [f"{group}/{name}" for name in file.get(group, ())]
    raise ValueError(f"{path} has no matrix {key or 'X'!r}; it holds: {', '.join(known) or 'none'}")


def _encoding(item: Any) -> str:
    value = item.attrs.get("encoding-type", item.attrs.get("h5sparse_format", ""))
    name = value.decode() if isinstance(value, bytes) else str(value)
    return {"csr": "csr_matrix", "csc": "csc_matrix"}.get(name, name)


def _sparse_shape(matrix: Any) -> tuple[int, int]:
    n, d = matrix.attrs["shape"] if "shape" in matrix.attrs else matrix.attrs["h5sparse_shape"]
    return int(n), int(d)


def _length(matrix: Any) -> int:
    """Rows of a matrix."""
    if hasattr(matrix, "shape"):
        return int(matrix.shape[0]) if matrix.shape else 0
    return _sparse_shape(matrix)[0] if _encoding(matrix) in ("csr_matrix", "csc_matrix") else 0


def _read(matrix: Any, rows: np.ndarray | None, path: Path) -> np.ndarray:
    """(n, d) chosen rows of a dense or sparse matrix."""
    if hasattr(matrix, "shape"):
        array = matrix[()]
        return array if rows is None else array[rows]
    kind = _encoding(matrix)
    if kind not in ("csr_matrix", "csc_matrix"):
        raise ValueError(
            f"{path}: {matrix.name} is stored as {kind or 'a group'!r}; expected a dense, CSR or CSC matrix"
        )
    from scipy import sparse

    make = sparse.csr_matrix if kind == "csr_matrix" else sparse.csc_matrix
    parts = tuple(matrix[name][()] for name in ("data", "indices", "indptr"))
    found = make(parts, shape=_sparse_shape(matrix))
    # Rows first: the whole matrix may be too large to be dense.
    return (found if rows is None else found.tocsr()[np.flatnonzero(rows)]).toarray()


def _column(file: Any, name: str, path: Path) -> np.ndarray:
    """Values of a column of ``obs``, text as str."""
    obs = file.get("obs")
    if obs is None:
        raise ValueError(f"{path} has no obs, and so no column {name!r}")
    table = obs.dtype.names if hasattr(obs, "dtype") else None
    known = list(table) if table else [k for k in obs if not k.startswith("__")]
    if name not in known:
        raise ValueError(f"{path} has no column {name!r} in obs; it has: {', '.join(known) or 'none'}")
    if table:
        return _text(obs[name])
    values = _values(obs[name], path)
    # Before anndata 0.8: codes beside the names of their categories.
    categories = obs.get(f"__categories/{name}")
    return values if categories is None else _decoded(values, _values(categories, path))


def _values(column: Any, path: Path) -> np.ndarray:
    """A column: an array, or a group with codes of categories or with values of which some are missing."""
    if hasattr(column, "shape"):
        return _text(column[()])
    if "codes" in column and "categories" in column:
        return _decoded(column["codes"][()], _values(column["categories"], path))
    if "values" in column and "mask" in column:
        values = _values(column["values"], path).astype(object)
        values[column["mask"][()].astype(bool)] = None
        return values
    raise ValueError(f"{path}: {column.name} is stored as {_encoding(column)!r}, which is not understood")


def _decoded(codes: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Categories by their codes; None where the code is -1."""
    named = np.empty(len(categories) + 1, dtype=object)
    named[:-1], named[-1] = categories, None
    return named[codes]


def _text(values: np.ndarray) -> np.ndarray:
    """Bytes as text, other values as they are."""
    if values.dtype.kind not in "SO":
        return values
    return np.array([v.decode() if isinstance(v, bytes) else v for v in values], dtype=object)
