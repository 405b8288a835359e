"""Monge gaps on the autograd graph."""

from __future__ import annotations

from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch

from ...maps.gap import MongeGap
from .graph import _Pairwise, attach_divergence, attach_solution

__all__ = ["attach_gap", "paired_costs"]


def attach_gap(result: MongeGap, *, x: Any, Tx: Any, a: Any = None, reg: Any = None) -> MongeGap:
    """The same gap, its value on the graph of the tensors among the arguments."""
    geometry = result.solution.geometry
    shares = result.solution._problem.a if a is None else a.double() / a.double().sum()
    weights = torch.as_tensor(np.asarray(shares) if a is None else shares)
    on = {"x": x, "y": Tx, "a": None if a is None else weights, "b": None if a is None else weights}
    first, second = x.double(), Tx.double()
    total = weights @ paired_costs(geometry.cost, first, second)
    if result.divergence is None:
        solution: Any = attach_solution(result.solution, **on, reg=reg if result.reg else None)
        divergence, transport = None, solution.value
    else:
        divergence = attach_divergence(result.divergence, **on, reg=reg)
        solution, transport = divergence.xy, divergence.value
        for z in (first, second):
            total = total - 0.5 * (weights @ paired_costs(geometry.cost, z, z))
    found = object.__new__(MongeGap)
    found.__dict__.update(result.__dict__)
    found.solution, found.divergence = solution, divergence
    value = total - transport.double()
    if isinstance(reg, torch.Tensor) and not result.reg:
        # Exact transport does not depend on the strength: a derivative of 0, and no missing one.
        value = value + 0.0 * reg.double()
    # The number is the more accurate one; the difference is rounding.
    found.value = (value + (float(result) - value.detach())).to(result.value.dtype)
    return found


def paired_costs(cost: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(n,) costs between x_i and y_i, (n, d) both, on the graph; slopes are the cost's own: 0 where undefined."""
    first = cost.prepare(x, xp)
    second = first if y is x else cost.prepare(y, xp)
    return _Pairwise.apply(cost, first[:, None, :], second[:, None, :])[:, 0, 0]
