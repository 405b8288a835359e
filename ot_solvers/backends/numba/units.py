"""Masses as integers: flows are then exact, and ties are ties."""

from __future__ import annotations

import math

import numpy as np

from .policy import kernel

__all__ = ["UNITS", "integer_masses"]

#: Units in the total mass: sums of flows stay below 2**63.
UNITS = 1 << 60


@kernel
def fill_units(mass, total, out):
    """Masses > 0 in units of ``total / UNITS``, at least one each; returns their sum."""
    units = 0
    for k in range(mass.size):
        out[k] = max(1, round(mass[k] / total * UNITS))
        units += out[k]
    return units


@kernel
def largest(values):
    """Where the largest value is."""
    place = 0
    for k in range(values.size):
        if values[k] > values[place]:
            place = k
    return place


@kernel
def fill_masses(a, total_a, b, total_b, out):
    """Units of the sources and then of the sinks, of equal sums.

    Equal masses stay equal. What rounding leaves over goes to the largest mass of the lighter side.
    """
    first = out[: a.size]
    second = out[a.size :]
    excess = fill_units(a, total_a, first) - fill_units(b, total_b, second)
    if excess > 0:
        second[largest(second)] += excess
    else:
        first[largest(first)] -= excess


def integer_masses(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n + m,) weights > 0 of both sides in units of their sums; see `fill_masses`."""
    out = np.empty(a.size + b.size, dtype=np.int64)
    fill_masses(a, math.fsum(a), b, math.fsum(b), out)
    return out
