"""Functional maps from features of two shapes, row by row, differentiable."""

from __future__ import annotations

import torch

__all__ = ["functional_map", "resolvent_mask"]


def resolvent_mask(values_x: torch.Tensor, values_y: torch.Tensor, gamma: float = 0.5) -> torch.Tensor:
    """Where a functional map has to be small: squared differences of the resolvents of both Laplacians.

    Parameters
    ----------
    values_x : (k,) tensor >= 0
        Eigenvalues of the shape that functions come from.
    values_y : (l,) tensor >= 0
        Of the shape that they go to.
    gamma : float > 0
        Power of the Laplacian.

    Returns
    -------
    (l, k) tensor >= 0
        0 where both eigenvalues agree.

    References
    ----------
    [ren:19]_
    """
    largest = torch.maximum(values_x.max(), values_y.max())
    p, q = ((v / largest).clamp_min(0) ** gamma for v in (values_x, values_y))
    real = (q / (q**2 + 1))[:, None] - p / (p**2 + 1)
    imaginary = (1 / (q**2 + 1))[:, None] - 1 / (p**2 + 1)
    return real**2 + imaginary**2


def functional_map(A: torch.Tensor, B: torch.Tensor, mask: torch.Tensor, weight: float = 100.0) -> torch.Tensor:
    """The matrix C that takes coefficients A to B: ``|C A - B|^2 + weight * sum(mask * C^2)`` at its least.

    Each row of C is a linear system of its own, all of them are solved at once.

    Parameters
    ----------
    A : (k, c) tensor
        Coefficients of c features on the shape that functions come from.
    B : (l, c) tensor
        Of the same features on the other one.
    mask : (l, k) tensor >= 0
        As of `resolvent_mask`.
    weight : float >= 0

    Returns
    -------
    (l, k) tensor
        Differentiable in A, B and the mask.

    Raises
    ------
    ValueError
        For shapes that do not fit.

    References
    ----------
    [donati:20]_, [ren:19]_
    """
    if A.dim() != 2 or B.dim() != 2 or A.shape[1] != B.shape[1]:
        raise ValueError(f"A and B have shapes {tuple(A.shape)} and {tuple(B.shape)}; expected (k, c) and (l, c)")
    if mask.shape != (B.shape[0], A.shape[0]):
        raise ValueError(f"mask has shape {tuple(mask.shape)}; expected {(B.shape[0], A.shape[0])}")
    gram = A @ A.T
    # Frequencies that no feature has are not determined: a breath of ridge makes their rows 0.
    ridge = 10 * torch.finfo(A.dtype).eps * gram.diagonal().mean().detach()
    systems = gram + torch.diag_embed(weight * mask + ridge)
    return torch.linalg.solve(systems, (B @ A.T)[:, :, None])[:, :, 0]
