"""Arrays on disk: inputs in the formats people have, outputs that appear whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ot_solvers.commands.errors import CommandError

if TYPE_CHECKING:
    import numpy as np

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # the second one: an archive without members
DELIMITERS = (";", "\t", "|", ",")  # a comma last: beside another delimiter it is a decimal comma
# Other names under which an argument of `ot-solvers solve` may lie in an npz file.
ALIASES = {
    "x": ("x", "X"),
    "y": ("y", "Y"),
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
    head = _head(path)
    try:
        if head.startswith(NPY_MAGIC):
            array = _read_npy(path)
        elif head.startswith(ZIP_MAGIC):
            array = _read_npz(path, name, key)
        elif path.suffix.lower() in (".npy", ".npz"):
            raise CommandError(f"{path} is not a NumPy file, though its name says so")
        else:
            array = _read_text(path)
    except (OSError, EOFError, zipfile.BadZipFile, MemoryError) as error:
        raise CommandError(f"cannot read {path}: {error}") from error
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
    if not _head(Path(path)).startswith(ZIP_MAGIC):
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
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _open(part, "wb") as stream:
            yield stream
        os.replace(part, path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _open(path: Path, mode: str) -> IO[bytes]:
    return open(path, mode)


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise CommandError(f"{path} is a directory, not a file")
    try:
        with open(path, "rb") as stream:
            return stream.read(8)
    except FileNotFoundError as error:
        raise CommandError(f"no such file: {path}") from error
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from error


def _read_npy(path: Path) -> np.ndarray:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except ValueError as error:
        raise CommandError(f"cannot read {path}: {_load_failure(error)}") from error


def _read_npz(path: Path, name: str, key: str | None) -> np.ndarray:
    import numpy as np

    with np.load(path, allow_pickle=False) as archive:
        names = archive.files
        listed = ", ".join(names)
        if not names:
            raise CommandError(f"{path} holds no arrays")
        if key is not None and key not in names:
            raise CommandError(f"{path} has no array {key!r}; it holds: {listed}")
        if key is None:
            known = [alias for alias in ALIASES.get(name, ()) if alias in names]
            if len(names) > 1 and not known:
                raise CommandError(f"{path} holds several arrays ({listed}): name the one for {name} with --key")
            key = names[0] if len(names) == 1 else known[0]
        try:
            return archive[key]
        except ValueError as error:
            raise CommandError(f"cannot read {key!r} in {path}: {_load_failure(error)}") from error


def _load_failure(error: ValueError) -> str:
    # NumPy's words advise allow_pickle=True, which nobody should follow with somebody else's file.
    return "it holds pickled Python objects, not numbers" if "pickle" in str(error).lower() else str(error)


def _read_text(path: Path) -> np.ndarray:
    import numpy as np

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is neither a npy, a npz nor a text file") from error
    if "\0" in text:
        raise CommandError(f"{path} is neither a npy, a npz nor a text file")
    lines = text.splitlines()
    rows = [number for number, line in enumerate(lines) if _data(line)]
    if not rows:
        raise CommandError(f"{path} holds no numbers")
    delimiter = _delimiter(_data(lines[rows[-1]]))  # the last line: the first may be a header with other signs
    if delimiter not in (None, ",") and "," in text and "." not in "".join(lines[row] for row in rows[1:]):
        lines = [line.replace(",", ".") for line in lines]
    if not any(_is_number(cell) for cell in _cells(lines[rows[0]], delimiter)):
        del rows[0]
    if not rows:
        raise CommandError(f"{path} holds no numbers")
    try:
        table = io.StringIO("\n".join(lines[row] for row in rows))
        return np.loadtxt(table, delimiter=delimiter, ndmin=2)
    except ValueError as error:
        raise CommandError(f"{path}: {_first_defect(lines, rows, delimiter) or error}") from error


def _data(line: str) -> str:
    return line.split("#", 1)[0].strip()


def _delimiter(line: str) -> str | None:
    return next((sign for sign in DELIMITERS if sign in line), None)


def _cells(line: str, delimiter: str | None) -> list[str]:
    return [cell.strip() for cell in _data(line).split(delimiter)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _first_defect(lines: Sequence[str], rows: Sequence[int], delimiter: str | None) -> str | None:
    """Where a table is broken, in the file's own line numbers."""
    width = len(_cells(lines[rows[0]], delimiter))
    for row in rows:
        cells = _cells(lines[row], delimiter)
        for k, cell in enumerate(cells):
            if not _is_number(cell):
                what = f"{cell!r} is not a number" if cell else "empty cell"
                return f"line {row + 1}, column {k + 1}: {what}"
        if len(cells) != width:
            return f"line {row + 1} has {len(cells)} columns, line {rows[0] + 1} has {width}"
    return None
