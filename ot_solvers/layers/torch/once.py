"""Rules that end with first derivatives, and say so when more is asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from ...errors import UnsupportedError

__all__ = ["first_only"]


def first_only(backward: Callable) -> Callable:
    """A backward of numbers: differentiating it again raises `UnsupportedError`.

    What torch has for this hangs the error on tensors of its own, and `torch.autograd.grad` skips what does not
    lead to its inputs: second derivatives would come back without this part. Here it hangs on the saved tensors.
    """

    @functools.wraps(backward)
    def wrapped(ctx, *cotangents):
        with torch.no_grad():
            found = backward(ctx, *cotangents)
        sources = [z for z in (*ctx.saved_tensors, *cotangents) if isinstance(z, torch.Tensor) and z.requires_grad]
        if not torch.is_grad_enabled() or not sources:
            return found
        return tuple(z if z is None else _First.apply(z, *sources) for z in found)

    return wrapped


class _First(torch.autograd.Function):
    """Its first argument, said to depend on all of them."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: torch.Tensor, *sources: torch.Tensor) -> torch.Tensor:
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, *cotangents: Any):
        raise UnsupportedError(
            "plans, potentials and what is made of them have first derivatives only: values of entropic transport "
            "have second ones"
        )
