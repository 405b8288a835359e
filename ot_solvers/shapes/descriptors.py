"""What a point of a surface looks like from within: wave kernel signatures."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from .. import validation as check
from .laplacian import Eigenbasis

__all__ = ["nearest_in_descriptors", "wave_kernel_signature"]

#: That signatures are made of by default, and energies in each.
FREQUENCIES, ENERGIES = 100, 128


def wave_kernel_signature(basis: Eigenbasis, n_energies: int = ENERGIES) -> np.ndarray:
    """Wave kernel signatures: how much of a wave of each energy is at each vertex, on average over time.

    Parameters
    ----------
    basis : Eigenbasis
        Of k >= 3 frequencies.
    n_energies : int >= 2
        Spaced evenly in the logarithm of the energy.

    Returns
    -------
    (n, n_energies) array > 0
        The same for isometric surfaces, wherever they lie. Each energy's total weight over frequencies is 1.

    Raises
    ------
    ValueError, TypeError
        For a basis or a number of energies that is too small.

    References
    ----------
    [aubry:11]_, whose variance of 7 steps between energies is used.
    """
    n_energies = check.count(n_energies, "n_energies", 2)
    if basis.values.size < 3:
        raise ValueError(f"basis has {basis.values.size} frequencies; expected 3 or more")
    log_values = np.log(basis.values[1:])
    low, high = log_values[0], log_values[-1]
    # Energies keep two widths away from the ends, where weights would come from one side only.
    sigma = 7 * (high - low) / (n_energies + 28)
    energies = np.linspace(low + 2 * sigma, high - 2 * sigma, n_energies)
    exponents = -((energies[:, None] - log_values) ** 2) / (2 * sigma**2)
    weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return basis.vectors[:, 1:] ** 2 @ weights.T


def nearest_in_descriptors(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """For each descriptor of x the nearest one of y, by the relative distance ``sum |p - q| / (p + q)``.

    Parameters
    ----------
    x : (n, e) array > 0
    y : (m, e) array > 0

    Returns
    -------
    (n,) int array

    References
    ----------
    [aubry:11]_
    """
    rows = max(1, (1 << 22) // len(y))
    parts = [cdist(x[k : k + rows], y, "canberra").argmin(axis=1) for k in range(0, len(x), rows)]
    return np.concatenate(parts)
