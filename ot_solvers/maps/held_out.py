"""Points of two samples that a fit does not see."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["FEWEST", "HELD_OUT", "Split", "fit_seeds", "hold_out"]

#: Points of a sample to hold out at most.
HELD_OUT = 1024
#: Points held out below which none are: they would say nothing.
FEWEST = 8


class Split(NamedTuple):
    """What to fit to, and what is held out.

    Attributes
    ----------
    x, y : (n, d), (m, d) arrays
    a, b : (n,), (m,) arrays of sum 1, or None
    held_x, held_y : (k, d), (l, d) arrays
    """

    x: np.ndarray
    y: np.ndarray
    a: np.ndarray | None
    b: np.ndarray | None
    held_x: np.ndarray
    held_y: np.ndarray


def fit_seeds(seed: int, way: int = 0) -> tuple[int, int, int]:
    """Seeds of the split, of the network and of the minibatches of a fit.

    Parameters
    ----------
    seed : int >= 0
    way : int >= 0
        0 for the map from x to y; anything else for another fit with the same seed.
    """
    split, network, batches = np.random.SeedSequence([seed, way]).generate_state(3)
    return int(split), int(network), int(batches)


def hold_out(
    x: np.ndarray, y: np.ndarray, a: np.ndarray | None, b: np.ndarray | None, share: float, seed: int
) -> Split:
    """Hold out a share of both samples, at most `HELD_OUT` points of each; none where it is below `FEWEST`.

    Parameters
    ----------
    x, y : (n, d), (m, d) arrays
    a, b : (n,), (m,) arrays of sum 1, or None
    share : float in [0, 1)
    seed : int
        The first of `fit_seeds`.
    """
    if share * min(len(x), len(y)) < FEWEST:
        share = 0.0
    x, held_x, a = _split(x, a, share, seed)
    y, held_y, b = _split(y, b, share, seed + 1)
    return Split(x, y, a, b, held_x, held_y)


def _split(
    points: np.ndarray, weights: np.ndarray | None, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Points to fit to, points held out, weights of the former."""
    held = min(int(share * len(points)), HELD_OUT)
    if held == 0:
        return points, points[:0], weights
    generator = np.random.default_rng(seed)
    if weights is None:
        order = generator.permutation(len(points))
        return points[order[held:]], points[order[:held]], None
    # A point that a sample of this size would have more than once is missed nowhere: it is on both sides.
    light = np.flatnonzero((weights > 0) & (weights * held < 1))
    chosen = generator.choice(light, size=min(held, light.size // 2), replace=False)
    if not chosen.size:
        return points, points[:0], weights
    mass, taken = weights[light].sum(), weights[chosen].sum()
    kept, seen = weights.copy(), np.where(weights * held < 1, 0.0, weights)
    kept[light] *= mass / (mass - taken)
    kept[chosen] = 0.0
    seen[chosen] = weights[chosen] * mass / taken
    # Evenly spaced along the masses, in any order: as often as the weights say, up to rounding.
    order = generator.permutation(len(points))
    places = np.cumsum(seen[order])
    drawn = np.searchsorted(places, (np.arange(held) + 0.5) / held * places[-1], side="right")
    rest = np.setdiff1d(np.arange(len(points)), chosen)
    return points[rest], points[order[drawn]], kept[rest] / kept[rest].sum()
