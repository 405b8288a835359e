"""A given number of rounds of Sinkhorn, differentiated through without storing any of their matrices."""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

__all__ = ["unrolled_sinkhorn"]


def unrolled_sinkhorn(
    costs: torch.Tensor, log_a: torch.Tensor, log_b: torch.Tensor, rounds: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Potentials after some rounds of Sinkhorn from zero, in units of the regularisation.

    Parameters
    ----------
    costs : (n, m) tensor
        Divided by the regularisation.
    log_a, log_b : (n,), (m,) tensors
        Logarithms of the masses.
    rounds : int >= 1

    Returns
    -------
    f : (n,) tensor
    g : (m,) tensor
        Differentiable once, in the costs.

    Notes
    -----
    A number of rounds is part of the method here. Plans that are solved to a tolerance, and differentiated
    implicitly, are `ot_solvers.layers.torch.match`.
    """
    return _Unrolled.apply(costs, log_a, log_b, rounds)


class _Unrolled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, costs, log_a, log_b, rounds):
        fs, gs = [], [torch.zeros_like(log_b)]
        scores = torch.empty_like(costs)
        for _ in range(rounds):
            torch.sub(gs[-1] + log_b, costs, out=scores)
            fs.append(-torch.logsumexp(scores, dim=1))
            torch.sub((fs[-1] + log_a)[:, None], costs, out=scores)
            gs.append(-torch.logsumexp(scores, dim=0))
        ctx.save_for_backward(costs, log_a, log_b)
        ctx.potentials = fs, gs
        return fs[-1], gs[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx, by_f, by_g):
        costs, log_a, log_b = ctx.saved_tensors
        fs, gs = ctx.potentials
        slope, weights = torch.zeros_like(costs), torch.empty_like(costs)
        for f, g, before in zip(fs[::-1], gs[:0:-1], gs[-2::-1]):
            # g is minus a soft maximum over each column: its weights are the derivatives.
            torch.sub((f + log_a)[:, None] + g, costs, out=weights).exp_()
            by_f = by_f - weights @ by_g
            slope += weights.mul_(by_g)
            # And f one over each row, with the g of the round before.
            torch.sub(f[:, None] + (before + log_b), costs, out=weights).exp_()
            by_g = -(by_f @ weights)
            slope += weights.mul_(by_f[:, None])
            by_f = torch.zeros_like(by_f)
        return slope, None, None, None
