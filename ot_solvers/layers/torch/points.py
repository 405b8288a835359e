"""Minibatches as points, and costs between them, on the device where they are."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...validation import suggestion

__all__ = ["PairCost", "cost_matrix", "flat_points", "paired_cost", "read_pair_cost"]

#: A cost by name, or a function of points (..., d) and (..., d) that broadcasts over all axes but the last.
PairCost = str | Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

#: Norms of the differences by name of the cost; the squared distance is the square of the second one.
_ORDERS = {"sqeuclidean": 2.0, "euclidean": 2.0, "cityblock": 1.0, "chebyshev": float("inf")}
#: Coordinates up to which differences are formed: a matrix product is faster above, and loses digits of short
#: distances.
FEW_COORDINATES = 16


def flat_points(x: torch.Tensor, argument: str, *, batched: bool = False) -> torch.Tensor:
    """(n, d) points of a minibatch (n, ...), or (B, n, d) of many (B, n, ...); off the graph, at least float32.

    Raises
    ------
    TypeError, ValueError
        For anything but a tensor of real numbers, empty ones, and entries that are not finite.
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{argument}={type(x).__name__} must be a torch.Tensor")
    if x.is_complex():
        raise TypeError(f"{argument} has dtype {x.dtype}; expected real numbers")
    leading = 2 if batched else 1
    if x.dim() < leading or x.numel() == 0:
        expected = "(B, n, ...)" if batched else "(n, ...)"
        raise ValueError(f"{argument} has shape {tuple(x.shape)}; expected {expected} with at least one point")
    flat = x.detach().reshape(*x.shape[:leading], -1)
    if flat.dtype not in (torch.float32, torch.float64):
        flat = flat.float()
    if not bool(torch.isfinite(flat.sum())):
        bad = (~torch.isfinite(flat)).nonzero()
        if len(bad):
            place = ", ".join(str(int(k)) for k in bad[0][:leading])
            value = float(flat[tuple(bad[0])])
            raise ValueError(f"{argument}[{place}] has a coordinate that is {value}; expected finite numbers")
    return flat


def read_pair_cost(cost: PairCost) -> PairCost:
    """`cost`, if it is one.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, and for what is neither a name nor callable.
    """
    if isinstance(cost, str):
        if cost not in _ORDERS:
            raise ValueError(
                f"cost={cost!r} is unknown; expected one of {list(_ORDERS)} or a function of two tensors"
                f"{suggestion(cost, _ORDERS)}"
            )
    elif not callable(cost):
        raise TypeError(f"cost={cost!r} must be a name or a function of two tensors, not {type(cost).__name__}")
    return cost


def paired_cost(x: torch.Tensor, y: torch.Tensor, cost: PairCost) -> torch.Tensor:
    """(n,) costs between x_i and y_i, both (n, d)."""
    if not isinstance(cost, str):
        return cost(x, y)
    distance = torch.linalg.vector_norm(x - y, ord=_ORDERS[cost], dim=-1)
    return distance.square() if cost == "sqeuclidean" else distance


def cost_matrix(x: torch.Tensor, y: torch.Tensor, cost: PairCost) -> torch.Tensor:
    """(..., n, m) costs between all points of x (..., n, d) and y (..., m, d)."""
    if not isinstance(cost, str):
        return cost(x[..., :, None, :], y[..., None, :, :])
    order = _ORDERS[cost]
    if order != 2.0 or x.shape[-1] <= FEW_COORDINATES:
        distance = torch.cdist(x, y, p=order, compute_mode="donot_use_mm_for_euclid_dist")
        return distance.square_() if cost == "sqeuclidean" else distance
    # Around the middle: the product of points far from the origin loses the digits of their differences.
    middle = y.mean(-2, keepdim=True)
    x, y = x - middle, y - middle
    with torch.autocast(device_type=x.device.type, enabled=False):
        squares = (x @ y.mT).mul_(-2.0)
    squares += x.square().sum(-1)[..., :, None]
    squares += y.square().sum(-1)[..., None, :]
    squares.clamp_(min=0.0)
    return squares if cost == "sqeuclidean" else squares.sqrt_()
