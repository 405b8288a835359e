"""Selections that do not depend on the order in which equal values are met: the first of them are taken."""

from __future__ import annotations

import math

import torch

__all__ = ["chosen_columns", "largest", "places_of", "within_capacity"]


def largest(values: torch.Tensor, k: int | torch.Tensor) -> torch.Tensor:
    """(..., N) mask of the k largest entries above ``-inf`` along the last axis, ties in order of index.

    Parameters
    ----------
    values : (..., N) tensor without NaN
    k : int or (...) int tensor
        As many of each row.
    """
    N = values.shape[-1]
    if isinstance(k, int):
        most, count = min(k, N), None
    else:
        count = k.clamp(max=N)
        most = int(count.max()) if count.numel() else 0
    legal = values > -math.inf
    if most >= N and count is None:
        return legal
    if most == 0:
        return torch.zeros_like(legal)
    top = values.topk(most, dim=-1).values
    if count is None:
        level = top[..., -1:]
        room: int | torch.Tensor = most
    else:
        level = top.gather(-1, (count - 1).clamp(min=0)[..., None])
        room = count[..., None]
    above, tied = values > level, values == level
    left = room - above.sum(-1, keepdim=True)
    taken = above | (tied & (tied.cumsum(-1) <= left))
    if count is not None:
        taken &= (count > 0)[..., None]
    return taken & legal


def places_of(taken: torch.Tensor, capacity: int) -> torch.Tensor:
    """(..., capacity) indices of the entries of a mask, in order, -1 where there are fewer."""
    N = taken.shape[-1]
    # Entries that are not taken go to one place more, which is cut off.
    places = torch.where(taken, taken.cumsum(-1) - 1, capacity)
    out = torch.full((*taken.shape[:-1], capacity + 1), -1, dtype=torch.int64, device=taken.device)
    numbers = torch.arange(N, device=taken.device).expand(taken.shape)
    return out.scatter_(-1, places, numbers)[..., :capacity]


def chosen_columns(liked: torch.Tensor, k: int) -> torch.Tensor:
    """(..., T, E) mask: the k columns that every row likes best."""
    return largest(liked, k)


def within_capacity(
    wanted: torch.Tensor, scores: torch.Tensor, liked: torch.Tensor, capacity: int, k: int, *, reroute: bool
) -> torch.Tensor:
    """(..., T, E) mask of pairs with at most `capacity` rows per column.

    Columns keep the rows of the largest scores. What they turn away asks the next column that it likes and that
    has room, until there is none: at most E rounds for each of the k columns of a row.

    Parameters
    ----------
    wanted : (..., T, E) bool tensor
        What rows ask for at first.
    scores : (..., T, E) tensor
        Order of the rows in a column.
    liked : (..., T, E) tensor
        Order of the columns in a row; ``-inf`` where a pair is forbidden.
    """
    taken = _kept(wanted, scores, capacity)
    if not reroute:
        return taken
    legal = liked > -math.inf
    missing = wanted.sum(-1) - taken.sum(-1)
    for _ in range(k * liked.shape[-1]):
        room = capacity - taken.sum(-2)
        free = legal & ~taken & (room > 0)[..., None, :] & (missing > 0)[..., None]
        if not bool(free.any()):
            break
        asked = largest(liked.masked_fill(~free, -math.inf), 1)
        granted = _kept(asked, scores, room)
        taken = taken | granted
        missing = missing - granted.sum(-1)
    return taken


def _kept(asked: torch.Tensor, scores: torch.Tensor, room: int | torch.Tensor) -> torch.Tensor:
    """The rows of the largest scores that ask a column, as many as it has room for."""
    return largest(scores.masked_fill(~asked, -math.inf).mT, room).mT
