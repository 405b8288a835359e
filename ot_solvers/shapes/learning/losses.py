"""What is asked of features: maps that undo each other and keep areas, and soft maps that agree with them."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .sinkhorn import unrolled_sinkhorn

__all__ = ["FunctionalMaps", "coupling_loss", "dirichlet_loss", "entropic_map", "soft_map", "structure_loss"]

#: Softness of maps by cosine similarity.
TEMPERATURE = 0.07
#: Of the entropic plan: relative to the mean squared distance of features, and rounds of Sinkhorn.
REG, ROUNDS = 0.02, 10
#: Costs in units of the regularisation beyond which pairs are all the same: next to no mass is at stake, and
#: denormal numbers would make everything several times slower.
FARTHEST = 75.0


class FunctionalMaps(NamedTuple):
    """Functional maps of both directions.

    Attributes
    ----------
    xy : (l, k) tensor
        Takes coefficients of functions on x to those on y.
    yx : (k, l) tensor
    """

    xy: torch.Tensor
    yx: torch.Tensor


def structure_loss(maps: FunctionalMaps) -> torch.Tensor:
    """How far both maps are from undoing each other, and from being orthogonal (keeping areas).

    References
    ----------
    [roufosse:19]_
    """
    total = maps.xy.new_zeros(())
    for one, other in (maps, maps[::-1]):
        total = total + _from_identity(one @ other) + _from_identity(one.T @ one)
    return total


def _from_identity(A: torch.Tensor) -> torch.Tensor:
    return (A - torch.eye(len(A), dtype=A.dtype, device=A.device)).square().sum()


def coupling_loss(maps: FunctionalMaps, shapes, soft) -> torch.Tensor:
    """How far functional maps are from the ones that the soft maps of the features make.

    Parameters
    ----------
    maps : FunctionalMaps
    shapes : (x, y)
        With ``vectors`` (n, k) and ``analysis`` (k, n).
    soft : ((n, m) tensor, (m, n) tensor)
        Rows sum to 1: for each vertex of x where on y it goes, and the other way.

    References
    ----------
    [cao:23]_
    """
    x, y = shapes
    to_y, to_x = soft
    forth = maps.xy - y.analysis @ (to_x @ x.vectors)
    back = maps.yx - x.analysis @ (to_y @ y.vectors)
    return forth.square().sum() + back.square().sum()


def dirichlet_loss(shapes, soft) -> torch.Tensor:
    """How rough coordinates of the one shape are on the other, both ways, relative to their own roughness.

    Parameters
    ----------
    shapes : (x, y)
        With ``vertices`` (n, 3), and ``edges`` with their cotangent weights.
    soft : ((n, m) tensor, (m, n) tensor)

    References
    ----------
    [magnet:22]_
    """
    x, y = shapes
    forth = _energy(x.edges, soft[0] @ y.vertices) / _energy(y.edges, y.vertices)
    return forth + _energy(y.edges, soft[1] @ x.vertices) / _energy(x.edges, x.vertices)


def _energy(edges, functions: torch.Tensor) -> torch.Tensor:
    i, j, weights = edges
    return (weights[:, None] * (functions[i] - functions[j]).square()).sum()


def soft_map(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Soft maps of both directions by similarity of features, each by itself.

    Parameters
    ----------
    x : (n, c) tensor
    y : (m, c) tensor
        Of unit length.

    Returns
    -------
    (n, m) tensor, (m, n) tensor
        Rows sum to 1.
    """
    scores = x @ y.T / TEMPERATURE
    return scores.softmax(1), scores.T.softmax(1)


def entropic_map(
    x: torch.Tensor, y: torch.Tensor, a: torch.Tensor, b: torch.Tensor, reg: float = REG, rounds: int = ROUNDS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Soft maps of both directions from one entropic transport plan between features.

    Unlike those of `soft_map` they know of each other: every part of y gets its share.

    Parameters
    ----------
    x : (n, c) tensor
    y : (m, c) tensor
    a, b : (n,), (m,) tensors > 0
        Masses, of sum 1.
    reg : float > 0
        Relative to the mean squared distance.
    rounds : int >= 1
        Of Sinkhorn, all of them differentiated through.

    Returns
    -------
    (n, m) tensor, (m, n) tensor
        Rows of the plan, and columns, scaled to sum 1.
    """
    costs = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * (x @ y.T)
    costs = (costs / (reg * costs.mean().detach())).clamp_max(FARTHEST)
    log_a, log_b = a.log(), b.log()
    f, g = unrolled_sinkhorn(costs, log_a, log_b, rounds)
    return (g + log_b - costs).softmax(1), (f + log_a - costs.T).softmax(1)
