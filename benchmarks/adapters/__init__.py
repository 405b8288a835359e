"""Adapters: one module per library, found by a name such as ``"ott:Dense"``."""

from __future__ import annotations

import importlib

from .base import Adapter, Answer, Setting

__all__ = ["Adapter", "Answer", "Setting", "load_adapter"]


def load_adapter(name: str) -> type[Adapter]:
    """Return an adapter class.

    Parameters
    ----------
    name : str
        ``"module:Class"``. A module without a dot is looked for in this package, others anywhere: suites
        outside this repository bring their own adapters.

    Raises
    ------
    ValueError
        If there is no such adapter.
    """
    module_name, _, class_name = name.partition(":")
    path = module_name if "." in module_name else f"{__name__}.{module_name}"
    try:
        return getattr(importlib.import_module(path), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"no adapter {name!r}: expected 'module:Class' ({error})") from error
