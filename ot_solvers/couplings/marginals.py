"""What callers pass, checked: marginals, units, rates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import validation as check
from ..namespaces import Library, resolve
from .information import NATS

__all__ = ["read_marginals", "read_number", "read_unit"]


def read_marginals(values: dict[str, Any]) -> tuple[list[np.ndarray], Library]:
    """Weights of equal total mass up to rounding, (n_k,) float64, and the caller's library.

    Parameters
    ----------
    values : dict
        From the name of the argument to what the caller gave.

    Raises
    ------
    ValueError
        Unless each is (n,) with n >= 1, finite, not negative and of positive total mass; for masses that differ
        by more than 1e-6 (1e-3 if one of them was float32), relative.
    TypeError
        For what is no array of real numbers, or for arrays of different libraries.
    """
    name = resolve(values)
    given = {argument: check.floating(value, argument) for argument, value in values.items()}
    for argument, array in given.items():
        if array.ndim != 1 or array.size == 0:
            raise ValueError(f"{argument} has shape {array.shape}; expected (n,) with n >= 1")
    weights = {argument: check.weights(array, argument, array.size) for argument, array in given.items()}
    totals = {argument: _total(w, argument) for argument, w in weights.items()}
    (reference, expected), *others = totals.items()
    coarse = any(array.dtype == np.float32 for array in given.values())
    for argument, total in others:
        if abs(total - expected) > (1e-3 if coarse else 1e-6) * max(total, expected):
            raise ValueError(
                f"total masses differ: sum({reference})={expected:.9g}, sum({argument})={total:.9g}. A coupling "
                "needs equal masses: divide each marginal by its sum"
            )
    return list(weights.values()), Library(name, np.result_type(*given.values()))


def _total(weights: np.ndarray, argument: str) -> float:
    with np.errstate(over="ignore"):  # found out below, with a message
        total = float(weights.sum())
    if not total > 0:
        raise ValueError(f"{argument} has total mass {total:g}; expected a positive total")
    if not math.isfinite(total):
        raise ValueError(f"the total mass of {argument} overflows; divide all marginals by a constant")
    return total


def read_unit(unit: Any) -> str:
    """One of the names of `NATS`."""
    return check.choice(unit, "unit", tuple(NATS))


def read_number(value: Any, argument: str, unit: str) -> float:
    """A number >= 0, ``inf`` allowed, or a 0-d array of one."""
    found = check.number(value, argument, unit)
    if not found >= 0:
        raise ValueError(f"{argument}={value!r} must not be negative or NaN; it is an entropy in {unit}")
    return found
