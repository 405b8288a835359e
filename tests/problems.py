"""Ingredients of test problems."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

__all__ = ["combinations", "some_weights"]


def combinations(*axes, quick, valid=lambda *values: True):
    """Parameters for the product of the axes where `valid`; only the combination `quick` is marked ``fast``.

    Stacked ``parametrize`` decorators would mark every test that shares one value with it.
    """
    found = [values for values in itertools.product(*axes) if valid(*values)]
    if tuple(quick) not in found:
        raise ValueError(f"{quick} is no combination of the parameters")
    return [pytest.param(*values, marks=[pytest.mark.fast] if values == tuple(quick) else []) for values in found]


def some_weights(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size,) weights of sum 1; from three points up, the first and one in the middle are exactly 0."""
    weights = rng.uniform(0.5, 1.5, size)
    if size >= 3:
        weights[[0, size // 2]] = 0.0
    return weights / weights.sum()
