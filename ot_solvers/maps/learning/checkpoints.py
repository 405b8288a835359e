"""Files that a stopped training goes on from."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["fingerprint", "read_checkpoint", "remove_checkpoint", "write_checkpoint", "write_safely"]

FORMAT = 1


def fingerprint(*arrays: np.ndarray | None) -> str:
    """What arrays contain, in one word."""
    found = hashlib.sha256()
    for array in arrays:
        if array is None:
            found.update(b"none")
            continue
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def write_safely(content: dict[str, Any], path: str | os.PathLike) -> None:
    """Write a file that is whole at any moment: the old one or the new one."""
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    # Not a file of tempfile: those are for their owner's eyes only, and would stay so.
    partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
    try:
        torch.save(content, partial)
        os.replace(partial, place)
    finally:
        partial.unlink(missing_ok=True)


def write_checkpoint(path: str | os.PathLike, settings: dict[str, str], state: dict[str, Any]) -> None:
    """Write the state of a training.

    Parameters
    ----------
    path
    settings : dict
        What has to be the same when training goes on.
    state : dict
        Tensors, arrays, numbers, strings, and lists and dictionaries of such.
    """
    write_safely({"format": FORMAT, "settings": settings, "state": _as_tensors(state)}, path)


def read_checkpoint(path: str | os.PathLike, settings: dict[str, str]) -> dict[str, Any]:
    """The state of a training that had the same settings.

    Raises
    ------
    ValueError
        If the file is no checkpoint, or of a training with other settings or data, naming them.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        known = content["format"] == FORMAT
        stored, state = content["settings"], content["state"]
    except Exception as error:
        raise ValueError(f"checkpoint={os.fspath(path)!r} is no checkpoint of a map: {error}") from None
    if not known:
        raise ValueError(f"checkpoint={os.fspath(path)!r} has the format of another version: remove it")
    other = [name for name in settings if stored.get(name) != settings[name]]
    if other:
        name = other[0]
        was = "other points" if name == "data" else f"{name}={stored.get(name)}, not {settings[name]}"
        raise ValueError(
            f"checkpoint={os.fspath(path)!r} belongs to a fit with {was}; remove it, or choose another file"
        )
    return _as_arrays(state)


def remove_checkpoint(path: str | os.PathLike) -> None:
    """Remove a checkpoint, so that a fit begins anew; nothing where there is none.

    Raises
    ------
    ValueError
        If the file is something else, which stays.
    """
    place = Path(path)
    if not place.exists():
        return
    try:
        content = torch.load(place, map_location="cpu", weights_only=True)
        known = {"format", "settings", "state"} <= set(content)
    except Exception:
        known = False
    if not known:
        raise ValueError(f"checkpoint={os.fspath(path)!r} is no checkpoint of a map; it is left as it is")
    place.unlink()


def _as_tensors(value: Any) -> Any:
    """Arrays as tensors, marked: files are read back without running anything."""
    if isinstance(value, np.ndarray):
        return {"array": torch.from_numpy(np.ascontiguousarray(value))}
    if isinstance(value, dict):
        return {key: _as_tensors(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_tensors(item) for item in value]
    return value


def _as_arrays(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"array"}:
            return value["array"].numpy()
        return {key: _as_arrays(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_arrays(item) for item in value]
    return value
