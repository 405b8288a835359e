"""How the kernel of a cost enters compiled loops: its numbers by value, its class by name.

A ``NamedTuple`` as an argument would write its class into the index of the kernel cache, by module. A process
that cannot import that module could then not read the index at all, and one that can would meet the machine
code of the class as it was before its last edit. A name that includes a digest of the source does neither.
"""

from __future__ import annotations

import hashlib
import inspect
import marshal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba.extending import overload

from .policy import EXACT_HELPER

__all__ = ["cost_kernel", "cost_name"]

#: Classes by the names under which compiled code knows them.
_CLASSES: dict[str, type] = {}


@cache
def cost_name(kernel: type) -> np.dtype:
    """The name of a kernel class: module, name and digest of the source, as the only field of a dtype.

    Numba tells dtypes apart quickly and passes nothing for them at run time; a type of our own would cost
    20 us in every call.
    """
    text = f"{kernel.__module__}.{kernel.__qualname__} {_digest(kernel)}"
    _CLASSES[text] = kernel
    return np.dtype([(text, np.int8)])


def _digest(kernel: type) -> str:
    # The whole file: static methods may call functions that stand beside them.
    try:
        source = Path(inspect.getfile(kernel)).read_bytes()
    except (OSError, TypeError):  # typed into an interpreter
        methods = (getattr(kernel, name, None) for name in ("accumulate", "finish", "derivative", "radial"))
        source = b"".join(marshal.dumps(method.__code__) for method in methods if method is not None)
    return hashlib.sha256(source).hexdigest()[:16]


def cost_kernel(name: np.dtype, numbers: tuple) -> Any:
    """The kernel, made again from its class and its numbers."""
    raise NotImplementedError


@overload(cost_kernel, jit_options=EXACT_HELPER)
def _cost_kernel(name, numbers):
    (text,) = name.dtype.fields
    kernel = _CLASSES[text]
    return lambda name, numbers: kernel(*numbers)
