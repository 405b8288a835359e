"""Backends by name, made when first asked for."""

from __future__ import annotations

import difflib
from functools import cache

from .base import PRIMITIVES, Backend

__all__ = ["GEOMETRIES", "capability_table", "get", "names"]

#: Geometry kinds, in the order of the documentation.
GEOMETRIES = ("dense", "point_cloud", "grid", "sparse")


def _numba() -> Backend:
    from .numba.backend import NumbaBackend

    return NumbaBackend()


def _reference() -> Backend:
    from .reference import ReferenceBackend

    return ReferenceBackend()


_FACTORIES = {"numba": _numba, "reference": _reference}


def names() -> tuple[str, ...]:
    """Names that ``backend=`` understands."""
    return tuple(_FACTORIES)


@cache
def get(name: str) -> Backend:
    """The backend of that name (one instance per process).

    Raises
    ------
    ValueError
        For an unknown name, with the closest known one.
    """
    if name not in _FACTORIES:
        close = difflib.get_close_matches(str(name), names(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"backend={name!r} is unknown; expected 'auto' or one of {list(names())}{hint}")
    return _FACTORIES[name]()


def capability_table() -> dict[str, dict[str, frozenset[str]]]:
    """Primitives that run at full speed, by backend and geometry kind; derived from the backends."""
    order = {name: position for position, name in enumerate(PRIMITIVES)}
    return {
        name: {kind: frozenset(sorted(get(name).primitives(kind), key=order.__getitem__)) for kind in GEOMETRIES}
        for name in names()
    }
