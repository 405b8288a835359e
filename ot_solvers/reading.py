"""Arrays from files in the formats people have, npy, npz and text tables: the content says which, not the name."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

__all__ = ["file_format", "read_array", "read_npz"]

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # the second one: an archive without members
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
DELIMITERS = (";", "\t", "|", ",")  # a comma last: beside another delimiter it is a decimal comma


def file_format(path: Path) -> str:
    """``"npy"``, ``"npz"``, ``"hdf5"`` or ``"text"``: what the first bytes say.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, OSError
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory, not a file")
    try:
        with open(path, "rb") as stream:
            head = stream.read(8)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no such file: {path}") from error
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror or error}") from error
    if head.startswith(NPY_MAGIC):
        return "npy"
    if head.startswith(ZIP_MAGIC):
        return "npz"
    return "hdf5" if head == HDF5_MAGIC else "text"


def read_array(path: Path, choose: Callable[[list[str]], str]) -> np.ndarray:
    """Read an array from a npy, npz or text file.

    Parameters
    ----------
    path : Path
    choose : callable
        The array to take from an npz file, by the names in it.

    Returns
    -------
    ndarray
        Text files always give two dimensions.

    Raises
    ------
    OSError
        The file is missing.
    ValueError
        It is unreadable, or of an unknown format.
    """
    kind = file_format(path)
    if kind == "text" and path.suffix.lower() in (".npy", ".npz"):
        raise ValueError(f"{path} is not a NumPy file, though its name says so")
    if kind == "npz":
        return read_npz(path, choose)
    try:
        return _read_npy(path) if kind == "npy" else _read_text(path)
    except (OSError, EOFError, MemoryError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error


def read_npz(path: Path, choose: Callable[[list[str]], str]) -> np.ndarray:
    """One array of an archive.

    Parameters
    ----------
    path : Path
    choose : callable
        Which one, by the names in the archive.

    Raises
    ------
    ValueError
        The archive is empty, broken, has no array of the chosen name, or holds objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            if not names:
                raise ValueError(f"{path} holds no arrays")
            key = choose(names)
            if key not in names:
                raise ValueError(f"{path} has no array {key!r}; it holds: {', '.join(names)}")
            try:
                return archive[key]
            except ValueError as error:
                raise ValueError(f"cannot read {key!r} in {path}: {_load_failure(error)}") from error
    except (OSError, EOFError, zipfile.BadZipFile, MemoryError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {_load_failure(error)}") from error


def _load_failure(error: ValueError) -> str:
    # NumPy's words advise allow_pickle=True, which nobody should follow with somebody else's file.
    return "it holds pickled Python objects, not numbers" if "pickle" in str(error).lower() else str(error)


def _read_text(path: Path) -> np.ndarray:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is neither a npy, a npz nor a text file") from error
    if "\0" in text:
        raise ValueError(f"{path} is neither a npy, a npz nor a text file")
    lines = text.splitlines()
    rows = [number for number, line in enumerate(lines) if _data(line)]
    if not rows:
        raise ValueError(f"{path} holds no numbers")
    delimiter = _delimiter(_data(lines[rows[-1]]))  # the last line: the first may be a header with other signs
    if delimiter not in (None, ",") and "," in text and "." not in "".join(lines[row] for row in rows[1:]):
        lines = [line.replace(",", ".") for line in lines]
    if not any(_is_number(cell) for cell in _cells(lines[rows[0]], delimiter)):
        del rows[0]
    if not rows:
        raise ValueError(f"{path} holds no numbers")
    try:
        table = io.StringIO("\n".join(lines[row] for row in rows))
        return np.loadtxt(table, delimiter=delimiter, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path}: {_first_defect(lines, rows, delimiter) or error}") from error


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
