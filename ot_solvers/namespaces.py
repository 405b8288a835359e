"""The caller's array library, looked at once per call: arrays in without copies, results back as they came.

An optional library is looked at only if it is already imported: an array of it cannot exist otherwise.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Library", "resolve"]


@dataclass(frozen=True)
class Library:
    """Where results go.

    Attributes
    ----------
    name : str
        "numpy", "torch", "jax" or the module name of another array API library.
    dtype : numpy dtype
        float32 or float64, of every floating result.
    """

    name: str
    dtype: np.dtype

    def array(self, x: np.ndarray) -> Any:
        """`x` in the caller's library; floating results in `dtype`, integers as they are."""
        x = np.asarray(x)
        if x.dtype.kind == "f":
            x = x.astype(self.dtype, copy=False)
        if self.name == "numpy":
            return x
        if self.name == "torch":
            # np.array copies only views that torch could not own (read-only, negative strides).
            return sys.modules["torch"].from_numpy(x if x.flags.writeable and x.flags.c_contiguous else x.copy())
        if self.name == "jax":
            return sys.modules["jax"].numpy.asarray(x)
        return sys.modules[self.name].asarray(x)

    def scalar(self, x: float) -> Any:
        """A number: ``float`` for NumPy callers, a 0-d array for others."""
        return float(x) if self.name == "numpy" else self.array(np.asarray(float(x)))


def library_name(x: Any) -> str | None:
    """Name of the array library of `x`; None for lists, tuples and numbers, which belong to none."""
    if isinstance(x, np.ndarray | np.generic):
        return "numpy"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return "torch"
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(x, jax.Array):
        return "jax"
    if hasattr(x, "__array_namespace__"):
        return x.__array_namespace__().__name__.split(".")[0]
    return None


def resolve(arguments: dict[str, Any]) -> str:
    """The one library that all array arguments belong to.

    Raises
    ------
    TypeError
        If two libraries meet, naming both arguments.
    """
    found: tuple[str, str] | None = None
    for argument, value in arguments.items():
        name = library_name(value)
        if name is None:
            continue
        if found is not None and found[1] != name:
            raise TypeError(
                f"{found[0]} is a {found[1]} array and {argument} a {name} array; pass all arrays from one library"
            )
        found = found or (argument, name)
    return found[1] if found else "numpy"


def host_array(x: Any, argument: str) -> np.ndarray:
    """`x` as a NumPy array, without a copy where it lies in host memory.

    Raises
    ------
    TypeError
        For arrays that cannot be read here, saying why: on a GPU, traced, or on an autograd graph.
    """
    name = library_name(x)
    if name == "torch":
        if x.requires_grad and sys.modules["torch"].is_grad_enabled():
            raise TypeError(
                f"{argument} requires gradients, which this function does not propagate; pass "
                f"{argument}.detach(), or call it under torch.no_grad()"
            )
        x = x.detach()
        if x.device.type != "cpu":
            raise TypeError(f"{argument} is on device {str(x.device)!r}; this version runs on the CPU")
        if x.layout is not sys.modules["torch"].strided:
            raise TypeError(f"{argument} is a sparse torch tensor; expected a dense one")
        if x.dtype in (sys.modules["torch"].bfloat16, sys.modules["torch"].float16):
            x = x.float()
        return x.resolve_neg().numpy()  # a lazy minus sign is the one thing of real tensors that NumPy cannot see
    if name == "jax":
        jax = sys.modules["jax"]
        if isinstance(x, jax.core.Tracer):
            raise TypeError(f"{argument} is traced (jit, grad or vmap); call the solver on concrete arrays")
        if any(device.platform != "cpu" for device in x.devices()):
            raise TypeError(f"{argument} is on {x.devices()}; this version runs on the CPU")
        # NumPy knows no bfloat16: as wide as float32 and narrower than it, like float16.
        return np.asarray(x.astype("float32") if x.dtype.name == "bfloat16" else x)
    if name not in (None, "numpy"):
        return np.from_dlpack(x) if hasattr(x, "__dlpack__") else np.asarray(x)
    try:
        return np.asarray(x)
    except (ValueError, TypeError) as error:
        raise TypeError(f"{argument} cannot be read as an array: {error}") from None
