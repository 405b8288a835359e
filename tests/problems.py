"""Ingredients of test problems."""

from __future__ import annotations

import numpy as np

__all__ = ["some_weights"]


def some_weights(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size,) weights of sum 1; from three points up, the first and one in the middle are exactly 0."""
    weights = rng.uniform(0.5, 1.5, size)
    if size >= 3:
        weights[[0, size // 2]] = 0.0
    return weights / weights.sum()
