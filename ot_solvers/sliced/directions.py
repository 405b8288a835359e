"""Directions: how they are drawn, and which of them were drawn together.

Opposite directions give the same projections up to a sign, so that half a sphere is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import validation as check

__all__ = ["SAMPLINGS", "Directions", "draw", "generator", "read_directions"]

#: Independent randomisations of a low-discrepancy set: a standard error needs them, and each costs accuracy.
REPLICATES = 8
#: How far from 1 the length of a given direction may be, by precision.
UNIT = {"float32": 1e-4, "float64": 1e-6}


class Directions(NamedTuple):
    """Unit vectors, in groups that are independent of each other.

    Attributes
    ----------
    vectors : (L, d) array
    groups : (L,) int array
        Number of the group of each, from 0 on, ascending.
    """

    vectors: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.vectors)

    def then(self, more: Directions) -> Directions:
        """These and more of them."""
        return Directions(
            np.concatenate([self.vectors, more.vectors]),
            np.concatenate([self.groups, more.groups + self.groups[-1] + 1]),
        )


def draw(count: int, d: int, sampling: str, rng: np.random.Generator) -> Directions:
    """Random directions in d dimensions, each of them uniform on the sphere."""
    if d == 1:  # there is one
        return Directions(np.ones((1, 1)), np.zeros(1, dtype=np.int64))
    return SAMPLINGS[sampling](count, d, rng)


def independent(count: int, d: int, rng: np.random.Generator) -> Directions:
    """Each on its own."""
    return Directions(_normalised(rng.standard_normal((count, d))), np.arange(count))


def orthogonal(count: int, d: int, rng: np.random.Generator) -> Directions:
    """Orthonormal bases, one after the other {cite:p}`rowland:19`.

    The sum of ``(theta ' M theta)`` over a basis is the trace of M, whatever the basis: the quadratic part of what
    depends on the direction is integrated without error.
    """
    bases = [_basis(d, min(d, count - start), rng) for start in range(0, count, d)]
    return Directions(np.concatenate(bases), np.arange(count) // d)


def low_discrepancy(count: int, d: int, rng: np.random.Generator) -> Directions:
    """Points that fill half a sphere evenly, turned or scrambled at random, in a few independent sets.

    In the plane equal angles; in space a spiral with the golden angle on a hemisphere {cite:p}`marques:13`;
    beyond, Sobol points through the normal quantiles {cite:p}`nguyen:24`.
    """
    sets = min(REPLICATES, max(1, count // 4))
    sizes = [len(part) for part in np.array_split(np.arange(count), sets)]
    if d == 2:
        vectors = [_equal_angles(size, rng) for size in sizes]
    elif d == 3:
        vectors = [_spiral(size) @ _basis(3, 3, rng) for size in sizes]
    else:
        vectors = [_sobol(size, d, rng) for size in sizes]
    return Directions(np.concatenate(vectors), np.repeat(np.arange(sets), sizes))


SAMPLINGS: dict[str, Callable[[int, int, np.random.Generator], Directions]] = {
    "random": independent,
    "orthogonal": orthogonal,
    "qmc": low_discrepancy,
}


def _normalised(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _basis(d: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, d) orthonormal rows, uniformly distributed."""
    q, r = np.linalg.qr(rng.standard_normal((d, count)))
    # The signs make the law of Q that of Haar {cite:p}`mezzadri:07`.
    return (q * np.sign(np.diagonal(r))).T


def _equal_angles(count: int, rng: np.random.Generator) -> np.ndarray:
    angles = (np.arange(count) + rng.random()) * (math.pi / count)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _spiral(count: int) -> np.ndarray:
    heights = (np.arange(count) + 0.5) / count
    angles = np.arange(count) * (math.pi * (3.0 - math.sqrt(5.0)))
    radius = np.sqrt(1.0 - heights**2)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles), heights], axis=1)


def _sobol(count: int, d: int, rng: np.random.Generator) -> np.ndarray:
    from scipy.special import ndtri
    from scipy.stats.qmc import Sobol

    if d > Sobol.MAXDIM:
        raise ValueError(f"sampling='qmc' knows up to {Sobol.MAXDIM} dimensions, not {d}; use 'orthogonal'")
    uniform = Sobol(d, scramble=True, rng=rng).random_base2(max(0, (count - 1).bit_length()))[:count]
    return _normalised(ndtri(np.clip(uniform, 1e-16, 1 - 1e-16)))


def generator(seed: Any) -> np.random.Generator:
    """The generator of a seed.

    Raises
    ------
    TypeError, ValueError
        For what is no seed.
    """
    if isinstance(seed, np.random.Generator):
        return seed
    if seed is not None and (isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer))):
        raise TypeError(f"seed={seed!r} must be None, an integer or a numpy Generator")
    if seed is not None and seed < 0:
        raise ValueError(f"seed={seed!r} must not be negative")
    return np.random.default_rng(seed)


def read_directions(value: Any, d: int) -> np.ndarray:
    """(L, d) unit vectors that the user gave, as float64.

    Raises
    ------
    ValueError
        For none, wrong dimensions, and vectors whose length is not 1.
    """
    array = check.floating(value, "directions")
    if array.ndim != 2 or array.shape[1] != d:
        raise ValueError(f"directions has shape {array.shape}; expected (L, {d}), one unit vector per row")
    if array.shape[0] == 0:
        raise ValueError("directions is empty; expected at least one unit vector")
    check.finite(array, "directions")
    vectors = array.astype(np.float64)
    lengths = np.sqrt((vectors**2).sum(axis=1))
    worst = int(np.argmax(np.abs(lengths - 1)))
    if abs(lengths[worst] - 1) > UNIT[array.dtype.name]:
        raise ValueError(
            f"directions[{worst}] has length {lengths[worst]:.6g}; expected unit vectors "
            "(directions / norm(directions, axis=1, keepdims=True))"
        )
    return vectors
