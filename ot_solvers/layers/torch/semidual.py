"""Routing potentials: a few steps of Adam on the semi-dual of sparsity-constrained transport."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from ...backends import registry
from ...geometry import DenseGeometry
from .places import largest

__all__ = ["Routed", "potentials"]

#: Of Adam; as everywhere.
FIRST, SECOND, SMALL = 0.9, 0.999, 1e-8


class Routed(NamedTuple):
    """Problems of one shape whose rows each take a few columns."""

    scores: torch.Tensor  # (B, n, m), ``-inf`` where a pair is forbidden
    row_mass: torch.Tensor  # (B, n)
    column_mass: torch.Tensor  # (B, m)
    most: int  # entries of every row
    gamma: float


@torch.no_grad()
def potentials(problem: Routed, steps: int, learning_rate: float, backend: str) -> torch.Tensor:
    """(B, m) column potentials: what makes columns wanted that nobody takes.

    Maximises ``<b, g> - sum_i max <p, S_i + g> - gamma / 2 |p|^2`` over rows p >= 0 of their mass with few
    entries, by Adam from zero. The gradient is what columns are short of.

    Parameters
    ----------
    problem : Routed
    steps : int >= 0
    learning_rate : float > 0, score units
    backend : {"auto", "numba", "torch"}
        Who evaluates the semi-dual: the projection kernel on host arrays, or selection in torch where the scores
        are. On the CPU torch is faster too, where rows have many entries.
    """
    received = _Kernel(problem) if backend == "numba" else _Selection(problem)
    g = torch.zeros_like(problem.column_mass)
    first, second = torch.zeros_like(g), torch.zeros_like(g)
    for step in range(1, steps + 1):
        slope = problem.column_mass - received(g)
        first.lerp_(slope, 1 - FIRST)
        second.lerp_(slope.square(), 1 - SECOND)
        scale = (second / (1 - SECOND**step)).sqrt_().add_(SMALL)
        g += learning_rate / (1 - FIRST**step) * first / scale
    return g


class _Kernel:
    """Column masses by the fused kernel: one read of the scores, no sort."""

    def __init__(self, problem: Routed):
        self.problem = problem
        self.backend = registry.get("numba")
        costs = (-problem.scores).cpu().contiguous().numpy()
        self.geometries = [DenseGeometry(each) for each in costs]
        self.row_mass = problem.row_mass.double().cpu().numpy()
        n, m = costs.shape[1:]
        self.most = np.full(n, min(problem.most, m), dtype=np.int64)

    def __call__(self, g: torch.Tensor) -> torch.Tensor:
        host = g.double().cpu().numpy()
        found = np.stack(
            [
                self.backend.project(geometry, each, self.problem.gamma, mass, self.most).column_mass
                for geometry, each, mass in zip(self.geometries, host, self.row_mass)
            ]
        )
        return torch.from_numpy(found).to(g)


class _Selection:
    """Column masses by partial sorting, all problems at once, on any device."""

    def __init__(self, problem: Routed):
        self.problem = problem
        self.most = min(problem.most, problem.scores.shape[-1])
        self.ranks = torch.arange(1, self.most + 1, device=problem.scores.device, dtype=problem.scores.dtype)
        self.target = problem.gamma * problem.row_mass[..., None]

    def __call__(self, g: torch.Tensor) -> torch.Tensor:
        wanted = self.problem.scores + g[:, None, :]
        top = wanted.topk(self.most, dim=-1).values
        # The level below which entries are nothing: that of the longest prefix whose last entry is above it.
        levels = (top.cumsum(-1) - self.target) / self.ranks
        live = (top > levels) & torch.isfinite(top)
        level = levels.gather(-1, live.sum(-1, keepdim=True).clamp(min=1) - 1)
        level = torch.where(torch.isfinite(level), level, 0.0)
        # Which of equal entries `topk` takes is not said: where they are too many, the first ones.
        taken = wanted >= top[..., -1:]
        if bool((taken.sum(-1) > self.most).any()):
            taken = largest(wanted, self.most)
        masses = (wanted - level).clamp_(min=0.0).masked_fill_(~taken, 0.0)
        return masses.sum(-2) / self.problem.gamma
