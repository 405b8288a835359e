"""Networks in files: parameters and a description, without any code in them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import nn

from ..._version import __version__
from ...regularisers import Entropic
from ..files import FORMAT, cost_from, described
from ..history import FitStatus, MapHistory, MapProgress
from .checkpoints import write_safely

__all__ = ["read_map", "write_map"]

KIND, LAYOUT = "MongeGapMap", 1
#: Options that are not written: functions, and what belongs to one fit.
LEFT_OUT = ("callback", "checkpoint", "progress", "device")
#: An option that is not in the file: a function, or a module.
_GONE = object()


def write_map(
    path: str | os.PathLike, options: dict[str, Any], networks: dict[str, nn.Module], fitted: dict[str, Any]
) -> None:
    """Write a fitted map.

    Parameters
    ----------
    path
    options : dict
        Of the estimator.
    networks : dict
        By name of the attribute.
    fitted : dict
        Histories, statuses and numbers, by name of the attribute.
    """
    content = {
        "format": FORMAT,
        "layout": LAYOUT,
        "kind": KIND,
        "version": __version__,
        "options": {name: _written(value) for name, value in options.items() if name not in LEFT_OUT},
        "networks": {name: module.state_dict() for name, module in networks.items()},
        "fitted": {name: _written(value) for name, value in fitted.items()},
    }
    write_safely(content, path)


def _written(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, FitStatus):
        return {"status": value.name}
    if isinstance(value, MapHistory):
        return {"history": [list(record) for record in value]}
    if isinstance(value, Entropic):
        return {"entropic": [float(value.eps), value.relative_to]}
    if isinstance(value, nn.Module):
        return {"module": type(value).__qualname__}
    if isinstance(value, (list, tuple)):
        return {"tuple": [_written(item) for item in value]}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if callable(value):
        return {"function": getattr(value, "__qualname__", type(value).__qualname__)}
    return {"cost": described(value)}


def _read(value: Any, path: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "status":
        return FitStatus[content]
    if kind == "history":
        return MapHistory(MapProgress(*record) for record in content)
    if kind == "entropic":
        return Entropic(content[0], relative_to=content[1])
    if kind == "tuple":
        return tuple(_read(item, path) for item in content)
    if kind == "cost":
        return cost_from(content, path)
    return _GONE


def read_map(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Options, states of networks and what else was fitted.

    Returns
    -------
    options : dict
        Functions are left out; a module of the caller's is ``None``.
    networks : dict
        States by name of the attribute.
    fitted : dict

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file holds no such map, or one of a later version.
    """
    where = f"path={os.fspath(path)!r}"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        fine = content["format"] == FORMAT and content["kind"] == KIND
        layout = int(content["layout"])
    except FileNotFoundError:
        raise
    except Exception:
        fine, layout = False, 0
    if not fine:
        raise ValueError(f"{where} is no network map that ot_solvers has saved")
    if layout > LAYOUT:
        raise ValueError(
            f"{where} was written by ot_solvers {content.get('version')}, in a layout that version {__version__} "
            "does not know: update the package"
        )
    options = {name: _read(value, path) for name, value in content["options"].items()}
    if options.get("network") is _GONE:
        options["network"] = None
    options = {name: value for name, value in options.items() if value is not _GONE}
    return options, content["networks"], {name: _read(value, path) for name, value in content["fitted"].items()}
