"""Entropies, and how small the entropy of a coupling can be at least. Everything here is in nats."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["NATS", "binary_entropy", "coupling_entropy_bound", "entropy", "merging_loss"]

#: Size of the units in nats.
NATS = {"bits": math.log(2), "nats": 1.0}


def entropy(p: np.ndarray) -> float:
    """``-sum p log p`` of probabilities; those that are 0 count nothing."""
    p = p[p > 0]
    return max(0.0, -float((p * np.log(p)).sum()))


def binary_entropy(p: float) -> float:
    """Entropy of the distribution (p, 1 - p)."""
    return 0.0 if p <= 0 or p >= 1 else -p * math.log(p) - (1 - p) * math.log1p(-p)


def merging_loss(p: float, q: float) -> float:
    """Entropy lost when two states of probabilities p and q become one; increasing in both."""
    # As -p log p - q log q + (p + q) log(p + q) it would cancel.
    return 0.0 if p <= 0 or q <= 0 else p * math.log1p(q / p) + q * math.log1p(p / q)


def coupling_entropy_bound(marginals: Sequence[np.ndarray]) -> float:
    """A number that the entropy of no coupling of these distributions is below.

    The larger of two bounds, neither of which always wins; both are at least the largest marginal entropy.

    Parameters
    ----------
    marginals : sequence of (n_k,) arrays >= 0 with sum 1

    References
    ----------
    [cicalese:19]_, [compton:23]_
    """
    return max(_entropy_of_meet(marginals), _entropy_of_profile(marginals))


def _entropy_of_meet(marginals: Sequence[np.ndarray]) -> float:
    """Entropy of the greatest lower bound of the marginals in the order of majorisation.

    Every marginal majorises the coupling, because it is a sum of states of it; so does the greatest lower bound.
    """
    size = max(p.size for p in marginals)
    largest = [np.cumsum(np.sort(p)[::-1]) for p in marginals]
    lowest = np.min([np.pad(total, (0, size - total.size), mode="edge") for total in largest], axis=0)
    return entropy(np.diff(lowest, prepend=0.0))


def _entropy_of_profile(marginals: Sequence[np.ndarray]) -> float:
    """Entropy by the profile of [compton:23]_.

    A state of the coupling lies within one state of every marginal. So, for every x, the states smaller than x
    hold at least the mass that they hold in any marginal: laid out by size, the state of the coupling at a given
    quantile of the mass is not larger than that of any marginal.
    """
    sizes = [np.sort(p[p > 0]) for p in marginals]
    ends = [np.cumsum(size) for size in sizes]
    cuts = np.unique(np.concatenate(ends))
    widths = np.diff(cuts, prepend=0.0)
    middles = cuts - 0.5 * widths
    # Sums end at 1 up to rounding only: beyond its own end, the last state of a marginal goes on.
    places = [np.minimum(np.searchsorted(end, middles), end.size - 1) for end in ends]
    smallest = np.min([size[place] for size, place in zip(sizes, places)], axis=0)
    return max(0.0, -float((widths * np.log(smallest)).sum()))
