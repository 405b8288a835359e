"""Arrays on disk: inputs in the formats people have, outputs that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ot_solvers import reading
from ot_solvers.commands.errors import CommandError

if TYPE_CHECKING:
    import numpy as np

# Other names under which an argument of a command may lie in an npz file.
ALIASES = {
    "x": ("x", "X"),
    "y": ("y", "Y"),
    "source": ("source", "x", "X"),
    "target": ("target", "y", "Y"),
    "points": ("points", "x", "X"),
    "a": ("a", "weights"),
    "b": ("b", "weights"),
    "cost-matrix": ("C", "c", "cost", "M"),
}


def read_array(path: str | Path, *, name: str, key: str | None = None) -> np.ndarray:
    """Read a numeric array from a npy, npz or text file.

    Parameters
    ----------
    path : str or Path
    name : str
        The argument that is read: `ALIASES` says what it may be called in an npz file with several arrays.
    key : str, optional
        The array to take from an npz file.

    Returns
    -------
    ndarray
        Text files always give two dimensions.

    Raises
    ------
    CommandError
        The file is missing, unreadable, of an unknown format, ambiguous or holds no numbers.
    """
    path = Path(path)

    def choose(names: list[str]) -> str:
        if key is not None or len(names) == 1:
            return names[0] if key is None else key
        known = [alias for alias in ALIASES.get(name, ()) if alias in names]
        if not known:
            listed = ", ".join(names)
            raise ValueError(f"{path} holds several arrays ({listed}): name the one for {name} with --key")
        return known[0]

    try:
        array = reading.read_array(path, choose)
    except (ValueError, OSError) as error:
        raise CommandError(str(error)) from error
    if array.dtype.kind not in "biuf":
        raise CommandError(f"{path}: expected numbers for {name}, got an array of {array.dtype}")
    return array


def read_weights(path: str | Path, *, name: str) -> np.ndarray:
    """Read a weight vector; a single row or column counts as one."""
    array = read_array(path, name=name)
    if array.ndim == 2 and 1 in array.shape:
        return array.reshape(-1)
    return array


def read_potentials(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the potentials that an earlier ``--out`` wrote.

    Returns
    -------
    (n,) array, (m,) array
        In cost units.
    """
    try:
        kind = reading.file_format(Path(path))
    except OSError as error:
        raise CommandError(str(error)) from error
    if kind != "npz":
        raise CommandError(f"{path} is not an npz file with potentials f and g")
    return read_array(path, name="init", key="f"), read_array(path, name="init", key="g")


def output_path(path: str, *, option: str, inputs: Sequence[str | None]) -> Path:
    """Check, before anything is computed, that a file can be written and is not an input.

    Raises
    ------
    CommandError
    """
    target = Path(path)
    if target.is_dir():
        raise CommandError(f"{option} {path} is a directory")
    if not target.absolute().parent.is_dir():
        raise CommandError(f"{option} {path}: there is no directory {target.parent}")
    if not os.access(target if target.exists() else target.absolute().parent, os.W_OK):
        raise CommandError(f"{option} {path}: no permission to write there")
    for other in inputs:
        if other is not None and target.exists() and Path(other).exists() and target.samefile(other):
            raise CommandError(f"{option} {path} would overwrite an input")
    return target


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name only when it is complete."""
    path = path.resolve()  # through a link: replace the file that it means, not the link
    if path.exists() and not path.is_file():  # a device or a pipe is written to, never replaced
        with _open(path, "wb") as stream:
            yield stream
        return
    with whole_path(path) as part, _open(part, "wb") as stream:
        yield stream


@contextlib.contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Another name to write a file under, which gets its own when it is complete.

    Raises
    ------
    CommandError
        The file cannot be written, or is none: a device or a pipe cannot be replaced.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise CommandError(f"cannot write {path}: it is no regular file")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _open(path: Path, mode: str) -> IO[bytes]:
    return open(path, mode)
