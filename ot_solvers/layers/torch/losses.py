"""Transport costs and Sinkhorn divergences as losses."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import nn

from ...api import solve_sample
from ...batch import solve_sample_batch
from ...divergence import sinkhorn_divergence
from ...regularisers import Entropic

__all__ = ["OTLoss", "SinkhornDivergenceLoss", "check_pairs", "full_precision", "weights_of"]

#: Where no regularisation is given.
DEFAULT = Entropic(0.05, relative_to="mean")


class _TransportLoss(nn.Module):
    """What both losses share: keywords of the solver, batches, reductions, warm starts."""

    def __init__(
        self,
        reg: Any = DEFAULT,
        *,
        cost: Any = "sqeuclidean",
        unbalanced: Any = None,
        unbalanced_type: str = "kl",
        reduction: str = "mean",
        warm_start: bool = False,
        **keywords: Any,
    ):
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction={reduction!r} is unknown; expected 'mean', 'sum' or 'none'")
        self.reg, self.cost, self.reduction = reg, cost, reduction
        self.unbalanced, self.unbalanced_type = unbalanced, unbalanced_type
        self.warm_start, self.keywords = warm_start, keywords
        self._last: dict[int, Any] = {}

    def extra_repr(self) -> str:
        parts = [f"reg={self.reg!r}", f"cost={self.cost!r}"]
        if self.unbalanced is not None:
            parts.append(f"unbalanced={self.unbalanced!r}")
        return ", ".join(parts)

    def __getstate__(self):
        # Warm starts are of the moment: they are neither saved nor copied.
        return {**super().__getstate__(), "_last": {}}

    @torch.compiler.disable
    def forward(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        a: torch.Tensor | None = None,
        b: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The loss between two clouds, or between B pairs of clouds.

        Parameters
        ----------
        x : (n, d) or (B, n, d) tensor
            Source points.
        y : (m, d) or (B, m, d) tensor
            Target points.
        a : (n,) or (B, n) tensor >= 0, optional
            Source weights; uniform by default.
        b : (m,) or (B, m) tensor >= 0, optional
            Target weights.

        Returns
        -------
        0-d tensor, or (B,) tensor with ``reduction="none"`` for a batch
        """
        check_pairs(x, y)
        with full_precision(x):
            if x.ndim == 2:
                return self._once(0, x, y, a, b)
            values = self._batch(x, y, a, b)
        if self.reduction == "none":
            return values
        return values.mean() if self.reduction == "mean" else values.sum()

    def _batch(self, x, y, a, b) -> torch.Tensor:
        """(B,) values."""
        return torch.stack(
            [self._once(k, x[k], y[k], weights_of(a, k), weights_of(b, k)) for k in range(x.shape[0])]
        )

    def _once(self, k: int, x, y, a, b) -> torch.Tensor:
        last = self._last.get(k)
        if last is not None and last[0] == (x.shape, y.shape):
            result = self._solve(x, y, a, b, last[1])
        else:
            result = self._solve(x, y, a, b, None)
        if self.warm_start:
            self._last[k] = (x.shape, y.shape), self._kept(result)
        value = result.value
        return value if isinstance(value, torch.Tensor) else x.new_tensor(value)

    def _solve(self, x, y, a, b, init):
        raise NotImplementedError

    def _kept(self, result):
        raise NotImplementedError


class OTLoss(_TransportLoss):
    """Transport cost between point clouds, regularisation included; see `ot_solvers.solve_sample`.

    Parameters
    ----------
    reg : float, Entropic, Quadratic, SparsityConstrained or None
        Regularisation; None: exact transport. By default ``Entropic(0.05, relative_to="mean")``.
    cost : str or Cost
    unbalanced, unbalanced_type
        As of `ot_solvers.solve_sample`.
    reduction : {"mean", "sum", "none"}
        Over a batch.
    warm_start : bool
        Begin each call from the potentials of the last one, where the sizes are the same: for losses whose points
        move little from step to step.
    **keywords
        Further ones of `ot_solvers.solve_sample`: ``tol``, ``method``, ``max_iter``, ``on_failure``, ``backend``.

    Notes
    -----
    The backward pass takes about one pass over the pairs and no memory of their number: derivatives come from the
    envelope theorem. The value of entropic transport between a cloud and itself is not 0;
    `SinkhornDivergenceLoss` is what vanishes.
    """

    def _solve(self, x, y, a, b, init):
        return solve_sample(
            x, y, a, b, cost=self.cost, reg=self.reg, unbalanced=self.unbalanced,
            unbalanced_type=self.unbalanced_type, init=init, **self.keywords,
        )  # fmt: skip

    def _batch(self, x, y, a, b):
        last = self._last.get(-1)
        sizes = x.shape, y.shape
        result = solve_sample_batch(
            x, y, a, b, cost=self.cost, reg=self.reg, unbalanced=self.unbalanced,
            unbalanced_type=self.unbalanced_type, init=last[1] if last is not None and last[0] == sizes else None,
            **self.keywords,
        )  # fmt: skip
        if self.warm_start:
            self._last[-1] = sizes, _plain(result)
        return result.value

    def _kept(self, result):
        return tuple(side.detach() for side in _plain(result).potentials)


class SinkhornDivergenceLoss(_TransportLoss):
    """Sinkhorn divergence between point clouds, balanced or not; see `ot_solvers.sinkhorn_divergence`.

    Parameters
    ----------
    reg : float or Entropic
        By default ``Entropic(0.05, relative_to="mean")``.
    cost : str or Cost
        A symmetric one.
    unbalanced, unbalanced_type
        As of `ot_solvers.sinkhorn_divergence`.
    reduction : {"mean", "sum", "none"}
        Over a batch.
    warm_start : bool
        Begin each call from the potentials of the last one, where the sizes are the same.
    **keywords
        Further ones of `ot_solvers.sinkhorn_divergence`: ``tol``, ``method``, ``max_iter``, ``on_failure``.
    """

    def _solve(self, x, y, a, b, init):
        return sinkhorn_divergence(
            x, y, a, b, cost=self.cost, reg=self.reg, unbalanced=self.unbalanced,
            unbalanced_type=self.unbalanced_type, init=init, **self.keywords,
        )  # fmt: skip

    def _kept(self, result):
        return getattr(result, "_plain", result)


def check_pairs(x: Any, y: Any) -> None:
    """Raise for what is no cloud, or no batch of clouds, on both sides."""
    for name, z in (("x", x), ("y", y)):
        if not isinstance(z, torch.Tensor):
            raise TypeError(f"{name} must be a torch tensor, not {type(z).__name__}")
        if z.ndim not in (2, 3):
            raise ValueError(f"{name} has shape {tuple(z.shape)}; expected (n, d) or (B, n, d)")
    if x.ndim != y.ndim or (x.ndim == 3 and x.shape[0] != y.shape[0]):
        raise ValueError(f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; expected pairs of clouds")


def _plain(solution):
    return getattr(solution, "_plain", solution)


def weights_of(weights: torch.Tensor | None, k: int) -> torch.Tensor | None:
    """Weights of problem k: its own, or those that all share."""
    return weights[k] if weights is not None and weights.ndim == 2 else weights


def full_precision(x: torch.Tensor) -> contextlib.AbstractContextManager:
    """Autocast off: solves know what precision they need."""
    return torch.autocast(x.device.type, enabled=False)
