"""Samples of points on disk, with their weights, and the cost between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_solvers import reading
from ot_solvers.commands.errors import CommandError, library_errors
from ot_solvers.commands.files import ALIASES, read_weights

if TYPE_CHECKING:
    from ot_solvers.costs import Cost


def read_points(
    path: str, *, name: str, key: str | None = None, where: str | None = None, option: str = "--key"
) -> np.ndarray:
    """Read points from a npy, npz, text or h5ad file.

    Parameters
    ----------
    path : str
    name : str
        The argument that is read: `ALIASES` says what it may be called in an npz file with several arrays.
    key : str, optional
        The array to take.
    where : str, optional
        ``"column=value"``: only these rows.
    option : str
        What `key` is called on the command line.

    Returns
    -------
    (n, d) array
        float32 or float64.

    Raises
    ------
    CommandError
        The file is missing, unreadable, ambiguous, lacks the array, the column or the value, or holds no finite
        points.
    """
    from ot_solvers.maps import load_points

    with file_errors(), library_errors():
        if reading.file_format(Path(path)) == "npz" and key is None:
            key = _named(path, name, option)
        return load_points(path, key, where=where)


def _named(path: str, name: str, option: str) -> str | None:
    """The array of that name in an npz file with several arrays; None where there is one."""
    seen: list[str] = []

    def choose(names: list[str]) -> str:
        seen.extend(names)
        return next((alias for alias in ALIASES[name] if alias in names), names[0])

    reading.read_npz(Path(path), choose)
    if len(seen) < 2:
        return None
    known = [alias for alias in ALIASES[name] if alias in seen]
    if not known:
        raise CommandError(
            f"{path} holds several arrays ({', '.join(seen)}): name the one for {name} with {option}"
        )
    return known[0]


def read_shares(path: str | None, size: int, *, option: str, points: str) -> np.ndarray | None:
    """Read weights of points, if there are any.

    Raises
    ------
    CommandError
        The file cannot be read, or has another number of weights than there are points.
    """
    if path is None:
        return None
    weights = read_weights(path, name="a")
    if weights.shape != (size,):
        raise CommandError(
            f"{option} {path} has shape {weights.shape}; expected ({size},), the points of {points}"
        )
    return weights


def ground_cost(name: str | None, p: float | None) -> Cost:
    """The cost of that name.

    Raises
    ------
    CommandError
        There is none, or its exponent is missing.
    """
    import ot_solvers as ots
    from ot_solvers.validation import read_cost

    if name == "pnorm":
        if p is None:
            raise CommandError("--cost pnorm needs its exponent: --p 3, for example")
        with library_errors():
            return ots.costs.PNorm(p)
    if p is not None:
        raise CommandError("--p is the exponent of --cost pnorm")
    with library_errors():
        return read_cost(name or "sqeuclidean")


def check_points(cost: Any, points: np.ndarray, path: str) -> None:
    """Refuse points that the cost is not defined for, naming the file and the row.

    Raises
    ------
    CommandError
    """
    with library_errors():
        cost.check(points, path)


@contextlib.contextmanager
def file_errors() -> Iterator[None]:
    """Pass on that a file is missing or cannot be read, or that a library is missing to read it with."""
    try:
        yield
    except (OSError, ImportError) as error:
        raise CommandError(str(error)) from error


def has_names(path: str) -> bool:
    """Whether arrays in a file have names.

    Raises
    ------
    CommandError
        The file is missing.
    """
    with file_errors():
        return reading.file_format(Path(path)) in ("npz", "hdf5")
