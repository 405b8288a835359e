"""Conditional laws of entropic plans in torch: maps on the graph of the points they move, and of the samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.torch as xp
import torch
from torch.utils.checkpoint import checkpoint

from ...costs import Dot, SqEuclidean
from ...maps.conditional import ConditionalLaws
from ...result import Solution
from .graph import BLOCK, GraphSolution, _Pairs, _Pairwise

__all__ = ["GraphLaws", "attach_laws"]


def attach_laws(laws: ConditionalLaws, *, solution: Solution | None, side: str) -> GraphLaws:
    """The same laws in torch, differentiable by the points that they are asked for.

    Parameters
    ----------
    laws : ConditionalLaws
    solution : Solution or None
        What they come from: where it is on a graph, they are too.
    side : {"a", "b"}
        That of the points they are asked for.
    """
    if not isinstance(solution, GraphSolution):
        potential, weights, points = (torch.as_tensor(z) for z in (laws.potential, laws.weights, laws.points))
        return GraphLaws(laws, potential, weights, points, laws.eps)
    _ = solution._both  # once for both sides
    graph = solution if side == "a" else solution.T
    leaf = graph._leaves.y
    points = torch.as_tensor(laws.points) if leaf is None else leaf.double()
    return GraphLaws(laws, graph._both[1], graph._weights[1], points, graph._strength())


class GraphLaws:
    """`ConditionalLaws` in torch, float64 inside; the same methods, for tensors, with results of their dtype.

    Parameters
    ----------
    laws : ConditionalLaws
        The same as numbers.
    potential, weights : (m,) tensors
    points : (m, d) tensor
    eps : float or 0-d tensor
    """

    def __init__(self, laws: ConditionalLaws, potential, weights, points, eps):
        self.cost, self.penalty = laws.cost, laws.penalty
        self.potential, self.weights, self.points, self.eps = potential, weights, points, eps
        self.prepared = self.cost.prepare(points, xp)

    def potentials(self, x: torch.Tensor) -> torch.Tensor:
        """(k,) potentials of points x (k, d)."""

        def of(pairs):
            exponent = (pairs.g[None, :] - pairs.C) / pairs.eps
            live = torch.where(pairs.b > 0, exponent, torch.full_like(exponent, -torch.inf))
            top = live.amax(dim=1).detach()
            total = torch.exp(torch.clamp(exponent - top[:, None], max=700.0)) @ pairs.b
            return -pairs.eps * (top + torch.log(total))

        return self._cast(self._prox(self._by_rows(x, of)), x)

    def images(self, x: torch.Tensor, projection: str) -> torch.Tensor:
        """(k, d) images of points x (k, d)."""
        if projection == "barycentric" or type(self.cost) in (SqEuclidean, Dot):
            return self.means(x)

        def of(pairs):
            slopes = self.cost.gradient(pairs.x, pairs.y, pairs.C, xp)
            slope = (pairs.laws()[..., None] * slopes).sum(1)
            return self.cost.unprepare(self.cost.twist(pairs.x, slope, xp), xp)

        return self._cast(self._by_rows(x, of), x)

    def means(self, x: torch.Tensor) -> torch.Tensor:
        """(k, d) means of the laws, on the sphere where the cost is."""
        if not self.cost.on_sphere:
            return self._cast(self._by_rows(x, lambda pairs: pairs.conditional(self.points)), x)
        means = self._by_rows(x, lambda pairs: pairs.conditional(pairs.y))
        centred = (means == 0).all(dim=1, keepdim=True)
        return self._cast(self.cost.prepare(means.masked_fill(centred, torch.nan), xp), x)

    def _by_rows(self, x: torch.Tensor, function: Callable[[_Pairs], torch.Tensor]) -> torch.Tensor:
        """Results of a function of `_Pairs`, in blocks that are computed again on the way back."""
        rows = self.cost.prepare(x.double(), xp)
        step = max(1, BLOCK // max(1, self.prepared.numel()))
        b, g = self.weights, self.potential

        def block(start: int) -> torch.Tensor:
            part = rows[start : start + step]
            C = _Pairwise.apply(self.cost, part, self.prepared)
            return function(_Pairs(C, part, g, b, b, self.eps, self.cost, part, self.prepared))

        if step >= len(rows):
            return block(0)
        return torch.cat([checkpoint(block, start, use_reentrant=False) for start in range(0, len(rows), step)])

    @staticmethod
    def _cast(found: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Of the dtype of x, but float32 at least; float64 for integers."""
        return found.float() if x.is_floating_point() and x.dtype != torch.float64 else found

    def _prox(self, s: torch.Tensor) -> torch.Tensor:
        """`Penalty.prox` of the side of the points."""
        rho: Any = self.penalty.rho
        if self.penalty.kind == 1:
            return s * (rho / (rho + self.eps))
        if self.penalty.kind == 2:
            return s.clamp(-rho, rho)
        return s.clamp(max=rho) if self.penalty.kind == 3 else s
