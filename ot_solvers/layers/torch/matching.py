"""From scores to a differentiable plan: soft matchings inside networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ...api import solve
from ...batch import solve_batch
from ...errors import UnsupportedError
from ...regularisers import Entropic, regulariser
from .once import first_only

__all__ = ["MatchingLayer", "match"]

#: Columns up to which the linear systems of a batch are solved densely, all at once.
DENSE = 512


@torch.compiler.disable
def match(
    scores: torch.Tensor,
    reg: Any,
    a: torch.Tensor | None = None,
    b: torch.Tensor | None = None,
    *,
    mask: torch.Tensor | None = None,
    tol: float = 1e-6,
    max_iter: int | None = None,
    on_failure: str = "warn",
) -> torch.Tensor:
    """Transport plan for the cost ``-scores``, differentiable in the scores and the weights.

    Parameters
    ----------
    scores : (n, m) or (B, n, m) tensor
    reg : float, Entropic, Quadratic or SparsityConstrained
        In units of the scores.
    a : (n,) or (B, n) tensor >= 0, optional
        Row masses; uniform with sum 1 by default.
    b : (m,) or (B, m) tensor >= 0, optional
        Column masses.
    mask : bool tensor of the shape of the scores, or (n, m), optional
        False forbids a pair.
    tol, max_iter, on_failure
        As of `ot_solvers.solve`.

    Returns
    -------
    tensor of the shape of the scores
        Rows sum to a, columns to b; 0 where forbidden. float32 for half precision.

    Raises
    ------
    ValueError
        For NaN scores, and for masks that leave a row or a column no pair, naming the first.
    """
    stacked, one = _read_scores(scores)
    allowed = _read_mask(mask, stacked)
    strength = regulariser(reg, None)
    if strength is None:
        raise ValueError(f"reg={reg!r} must be positive: exact matchings have no derivative")
    B, n, m = stacked.shape
    a, b = (_read_masses(w, name, B, k) for w, name, k in ((a, "a", n), (b, "b", m)))
    options = {"tol": tol, "max_iter": max_iter, "on_failure": on_failure}
    with torch.autocast(scores.device.type, enabled=False):
        if stacked.dtype in (torch.float16, torch.bfloat16):
            stacked = stacked.float()
        if isinstance(strength, Entropic) and m <= DENSE:
            a = _uniform(n, stacked) if a is None else a
            b = _uniform(m, stacked) if b is None else b
            plan = _Entropic.apply(stacked, a.expand(B, n), b.expand(B, m), allowed, strength, options)[0]
        else:
            plan = _one_by_one(stacked, a, b, allowed, reg, options)
    plan = plan.to(stacked.dtype)
    return plan[0] if one else plan


def _uniform(size: int, like: torch.Tensor) -> torch.Tensor:
    return torch.full((size,), 1.0 / size, dtype=torch.float64, device=like.device)


def _one_by_one(scores, a, b, allowed, reg, options) -> torch.Tensor:
    """(B, n, m) plans, each a solution on the graph."""
    _check_scores(scores, allowed)
    cost = -scores
    if allowed is not None:
        cost = torch.where(allowed, cost, torch.inf)
    sides = [[None] * scores.shape[0] if w is None else w for w in (a, b)]
    return torch.stack([solve(C, f, g, reg=reg, **options).plan for C, f, g in zip(cost, *sides)])


class MatchingLayer(nn.Module):
    """Scores to a soft matching, by regularised transport; see `match`.

    Parameters
    ----------
    reg : float, Entropic, Quadratic or SparsityConstrained
        In units of the scores. Entropic plans are dense and smooth, quadratic ones sparse; with
        `SparsityConstrained` every column has at most k entries.
    dustbin : bool or float
        Adds a row and a column for what has no partner, with one score for all, learned; a number is where it
        begins (True: 1). The plan then has shape (..., n + 1, m + 1), points weigh ``1 / (n + m)`` each, and the
        dustbins as much as the other side in all.
    tol, max_iter, on_failure
        As of `ot_solvers.solve`.

    References
    ----------
    Dustbins: [sarlin:20]_. Derivatives: [luise:18]_, [eisenberger:22]_.
    """

    def __init__(
        self,
        reg: Any,
        *,
        dustbin: bool | float = False,
        tol: float = 1e-6,
        max_iter: int | None = None,
        on_failure: str = "warn",
    ):
        super().__init__()
        regulariser(reg, None)  # says now what is wrong with it
        self.reg, self.tol, self.max_iter, self.on_failure = reg, tol, max_iter, on_failure
        self.dustbin: nn.Parameter | None
        if dustbin is False:
            self.register_parameter("dustbin", None)
        else:
            self.dustbin = nn.Parameter(torch.tensor(1.0 if dustbin is True else float(dustbin)))

    def extra_repr(self) -> str:
        return f"reg={self.reg!r}" + (", dustbin=True" if self.dustbin is not None else "")

    def forward(
        self,
        scores: torch.Tensor,
        a: torch.Tensor | None = None,
        b: torch.Tensor | None = None,
        *,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The plan; arguments as of `match`."""
        if self.dustbin is not None:
            if a is not None or b is not None:
                raise ValueError("a and b are set by the dustbins: give no weights, or use dustbin=False")
            scores, a, b, mask = _with_dustbins(scores, self.dustbin, mask)
        return match(
            scores, self.reg, a, b, mask=mask, tol=self.tol, max_iter=self.max_iter, on_failure=self.on_failure
        )


def _with_dustbins(scores, dustbin, mask):
    *front, n, m = scores.shape
    right = dustbin.to(scores.dtype).expand(*front, n, 1)
    below = dustbin.to(scores.dtype).expand(*front, 1, m + 1)
    scores = torch.cat([torch.cat([scores, right], -1), below], -2)
    sides = []
    for size, other in ((n, m), (m, n)):
        weights = torch.ones(size + 1, dtype=torch.float64)
        weights[-1] = other
        sides.append(weights / (n + m))
    if mask is not None:
        mask = torch.nn.functional.pad(mask, (0, 1, 0, 1), value=True)
    return scores, *sides, mask


def _read_scores(scores: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """(B, n, m) scores, and whether there was one problem only."""
    if not isinstance(scores, torch.Tensor):
        raise TypeError(f"scores must be a torch tensor, not {type(scores).__name__}")
    if scores.ndim not in (2, 3) or 0 in scores.shape:
        raise ValueError(f"scores has shape {tuple(scores.shape)}; expected (n, m) or (B, n, m), none of them 0")
    if not scores.is_floating_point():
        raise TypeError(f"scores has dtype {scores.dtype}; expected floating point")
    return (scores[None], True) if scores.ndim == 2 else (scores, False)


def _check_scores(scores: torch.Tensor, allowed: torch.Tensor | None) -> None:
    """Raise for entries that are not finite, and for points without a pair, naming the problem of the batch."""
    bad = ~torch.isfinite(scores.detach())
    if bad.any():
        k, i, j = (int(index) for index in bad.nonzero()[0])
        where = f"scores[{i}, {j}]" + (f" of problem {k}" if scores.shape[0] > 1 else "")
        raise ValueError(
            f"{where} is {float(scores[k, i, j].detach())}; expected finite scores (mask= forbids pairs)"
        )
    if allowed is None:
        return
    for name, axis in (("row", 2), ("column", 1)):
        stuck = ~allowed.any(dim=axis)
        if stuck.any():
            k, i = (int(index) for index in stuck.nonzero()[0])
            raise ValueError(f"mask leaves {name} {i} of problem {k} no legal match")


def _read_mask(mask: torch.Tensor | None, scores: torch.Tensor) -> torch.Tensor | None:
    if mask is None:
        return None
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise TypeError(f"mask is {kind}; expected a bool tensor, False where a pair is forbidden")
    if mask.shape not in (scores.shape, scores.shape[1:]):
        raise ValueError(f"mask has shape {tuple(mask.shape)}; expected that of the scores, {tuple(scores.shape)}")
    return mask.expand(scores.shape)


def _read_masses(w: torch.Tensor | None, name: str, B: int, size: int) -> torch.Tensor | None:
    """(B, size) float64 masses."""
    if w is None:
        return None
    if not isinstance(w, torch.Tensor) or w.shape not in ((size,), (B, size)):
        found = tuple(w.shape) if isinstance(w, torch.Tensor) else type(w).__name__
        raise ValueError(f"{name} is {found}; expected a tensor of shape ({size},) or ({B}, {size})")
    return w.double().expand(B, size)


class _Entropic(torch.autograd.Function):
    """Plans of a batch, and eps of each; on the way back one dense linear system per problem, all at once."""

    @staticmethod
    def forward(scores, a, b, allowed, reg, options):
        _check_scores(scores, allowed)
        C = -scores.detach()
        if allowed is not None:
            C = torch.where(allowed, C, torch.inf)
        return _solved(C, a.detach(), b.detach(), reg, options)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*output, *inputs[:3])
        ctx.mark_non_differentiable(output[1])
        ctx.dtypes = tuple(tensor.dtype for tensor in inputs[:3])

    @staticmethod
    @first_only
    def backward(ctx, cotangent, _):
        P, eps = ctx.saved_tensors[:2]
        U = cotangent.double() * P / eps[..., None, None]
        alpha, beta = _System.apply(P, U.sum(-1), U.sum(-2))
        by_scores = U - P * (alpha[..., :, None] + beta[..., None, :])
        scale = eps[..., None]
        found = (by_scores, scale * alpha, scale * beta)
        return *(part.to(dtype) for part, dtype in zip(found, ctx.dtypes)), None, None, None

    @staticmethod
    def vmap(info, in_dims, scores, a, b, allowed, reg, options):
        tensors = _one_batch(info.batch_size, in_dims, (scores, a, b, allowed))
        return _unflattened(info.batch_size, _Entropic.apply(*tensors, reg, options))


class _System(torch.autograd.Function):
    """`balanced_system`, whose branches look at numbers, for transforms that do not."""

    @staticmethod
    def forward(P, u, v):
        return balanced_system(P, u, v)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, *_):
        raise UnsupportedError("second derivatives of plans are not available: differentiate the value twice")

    @staticmethod
    def vmap(info, in_dims, P, u, v):
        return _unflattened(info.batch_size, _System.apply(*_one_batch(info.batch_size, in_dims, (P, u, v))))


def _one_batch(size: int, in_dims, tensors) -> list[torch.Tensor | None]:
    """All problems of all batches in one batch, for `torch.func.vmap`."""
    found: list[torch.Tensor | None] = []
    for tensor, axis in zip(tensors, in_dims):
        if tensor is not None:
            front = tensor.expand(size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)
            tensor = front.reshape(-1, *front.shape[2:])
        found.append(tensor)
    return found


def _unflattened(size: int, tensors):
    return tuple(tensor.unflatten(0, (size, -1)) for tensor in tensors), (0,) * len(tensors)


def balanced_system(P: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Solutions of ``r alpha + P beta = u``, ``P' alpha + c beta = v`` with the marginals r and c of P.

    Parameters
    ----------
    P : (B, n, m) tensor >= 0
    u, v : (B, n), (B, m) tensors

    Returns
    -------
    alpha, beta : (B, n), (B, m) tensors
        Up to one constant per connected part of P, which is put where beta is small.
    """
    if P.shape[1] < P.shape[2]:
        return balanced_system(P.mT, v, u)[::-1]
    r, c = P.sum(2), P.sum(1)
    r, c = torch.where(r > 0, r, 1.0), torch.where(c > 0, c, 1.0)
    # Scaled to a unit diagonal; each connected part has one null vector, sqrt(c).
    half = c.rsqrt()
    Q = P * half[:, None, :]
    matrix = -(Q.mT @ (Q / r[:, :, None]))
    matrix.diagonal(dim1=1, dim2=2).add_(1.0)
    rhs = half * (v - (P.mT @ (u / r)[:, :, None])[:, :, 0])
    null = c.sqrt() / c.sum(1, keepdim=True).sqrt()
    rhs = rhs - null * (null * rhs).sum(1, keepdim=True)
    factor, info = torch.linalg.cholesky_ex(matrix + null[:, :, None] * null[:, None, :])
    pivots = factor.diagonal(dim1=1, dim2=2).amin(1)
    beta = torch.cholesky_solve(rhs[:, :, None], factor)[:, :, 0]
    poor = (info > 0) | ~(pivots > 1e-6)
    if poor.any():
        # Nearly or fully apart: least norm.
        inverse = torch.linalg.pinv(matrix[poor], hermitian=True, rtol=1e-13)
        beta = beta.clone()
        beta[poor] = (inverse @ rhs[poor][:, :, None])[:, :, 0]
    beta = half * beta
    alpha = (u - (P @ beta[:, :, None])[:, :, 0]) / r
    return alpha, beta


def _solved(C: torch.Tensor, a: torch.Tensor, b: torch.Tensor, reg, options) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, n, m) float64 plans, and the (B,) absolute strengths they have."""
    found = solve_batch(C, a, b, reg=reg, **options)
    return found.plan.double(), torch.as_tensor(np.asarray(found.reg), dtype=torch.float64)
