"""Maps in files: arrays and a description, without any code in them.

A file of this kind is NumPy's ``.npz`` with one more entry, a text in JSON that says what map it is. It is read
with ``allow_pickle=False``: opening somebody else's file runs nothing.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import costs
from .._version import __version__

__all__ = ["Content", "cost_from", "described", "load", "read", "write"]

#: What the description says that the file is, and the layout that this version writes and reads.
FORMAT, LAYOUT = "ot_solvers map", 1
#: Entry of the description.
DESCRIPTION = "description"
#: Maps in files of this module: class by module, as seen from this package.
KINDS = {"EntropicMap": ".entropic", "LinearMap": ".linear"}
#: Maps in files of other modules, by suffix: ``(module, class)``; the class has ``load(path)``.
SUFFIXES: dict[str, tuple[str, str]] = {}


class Content(NamedTuple):
    """What is in a file."""

    kind: str  # class of the map
    arrays: dict[str, np.ndarray]
    options: dict[str, Any]  # numbers, words, None; described costs

    def array(self, name: str, ndim: int, path: Any) -> np.ndarray:
        """The float64 array of that name.

        Raises
        ------
        ValueError
            If it is missing, not of that dimension, or not finite.
        """
        found = self.arrays.get(name)
        if found is None or found.ndim != ndim or found.dtype != np.float64 or not np.isfinite(found).all():
            what = "nothing" if found is None else f"{found.dtype} of shape {found.shape}, or NaN or inf in it"
            raise ValueError(
                f"path={os.fspath(path)!r} is damaged: {name} must be {ndim}-d float64, finite; there is {what}"
            )
        return found


def load(path: str | os.PathLike) -> Any:
    """The map in a file, of whatever kind it is.

    Parameters
    ----------
    path : str or path
        What the ``save`` of a map has written.

    Returns
    -------
    TransportMap

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file holds no map, or one of a later version of this package.
    """
    suffix = Path(path).suffix.lower()
    if suffix in SUFFIXES:
        module, name = SUFFIXES[suffix]
    else:
        name = read(path).kind
        if name not in KINDS:
            raise ValueError(f"path={os.fspath(path)!r} holds a map of unknown kind {name!r}")
        module = KINDS[name]
    return getattr(importlib.import_module(module, __package__), name).load(path)


def write(path: str | os.PathLike, kind: str, arrays: dict[str, np.ndarray], options: dict[str, Any]) -> None:
    """Write a map; an old file stays as it is until the new one is complete.

    Parameters
    ----------
    path : str or path
        Taken as it is: no suffix is added.
    kind : str
        Class of the map.
    arrays : arrays by name, of numbers
    options : values by name, that JSON can say
    """
    path = Path(path)
    about = {"format": FORMAT, "layout": LAYOUT, "kind": kind, "version": __version__, "options": options}
    content: dict[str, Any] = {DESCRIPTION: np.array(json.dumps(about)), **arrays}
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as stream:
            np.savez(stream, **content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: str | os.PathLike, kind: str | None = None) -> Content:
    """What `write` has written.

    Parameters
    ----------
    path : str or path
    kind : str, optional
        Class that the map must be of.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file holds no map, one of another kind, or one of a later version of this package.
    """
    where = f"path={os.fspath(path)!r}"
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(str(arrays.pop(DESCRIPTION)))
        found = about["format"], int(about["layout"]), str(about["kind"]), dict(about["options"])
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
        found = (None, 0, "", {})
    if found[0] != FORMAT:
        raise ValueError(f"{where} is no map that ot_solvers has saved")
    _, layout, name, options = found
    if layout > LAYOUT:
        raise ValueError(
            f"{where} was written by ot_solvers {about.get('version')}, in a layout that version {__version__} "
            "does not know: update the package"
        )
    if kind is not None and name != kind:
        raise ValueError(f"{where} holds a map of kind {name}, not {kind}: read it with ot_solvers.maps.load")
    return Content(name, arrays, options)


def described(cost: costs.Cost) -> dict[str, Any]:
    """A cost of this package as class and fields.

    Raises
    ------
    ValueError
        For other costs: their code is not in the file.
    """
    if type(cost).__module__ != costs.__name__:
        raise ValueError(
            f"cost={cost!r} is a class of its own, which cannot be read back from a file without code: use pickle"
        )
    fields = {field.name: getattr(cost, field.name) for field in dataclasses.fields(cost)}  # type: ignore[arg-type]
    return {"class": type(cost).__name__, "fields": fields}


def cost_from(description: Any, path: Any) -> costs.Cost:
    """The cost that `described` has described.

    Raises
    ------
    ValueError
        If there is no such cost.
    """
    try:
        name = description["class"]
        known = name in costs.__all__ and isinstance(vars(costs)[name], type) and name != "Cost"
        fields = {
            key: tuple(value) if isinstance(value, list) else value for key, value in description["fields"].items()
        }
        found = getattr(costs, name)(**fields) if known else None
    except (KeyError, TypeError, ValueError, AttributeError):
        found = None
    if found is None:
        raise ValueError(f"path={os.fspath(path)!r} is damaged or of a later version: its cost is {description!r}")
    return found
