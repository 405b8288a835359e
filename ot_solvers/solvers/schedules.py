"""eps-scaling: the sequence of regularisations on the way to the one asked for."""

from __future__ import annotations

import numpy as np

from ..problem import Problem
from .base import Control

__all__ = ["eps_levels", "is_cold", "levels_of"]

#: Share of the range of the costs from which on the eps of a start makes it a coarse one.
COARSE = 1 / 64


def levels_of(problem: Problem, control: Control, factor: float | None) -> np.ndarray:
    """The levels of one solve: down from the range of the costs, or from where `control.init` stands.

    Parameters
    ----------
    factor : float in (0, 1) or None
        See `eps_levels`.
    """
    if control.init is None:
        return eps_levels(problem.eps, problem.geometry.spread(), factor)
    if control.init_eps is None or factor is None:
        return np.array([problem.eps])
    # The level of the start is done.
    levels = eps_levels(problem.eps, 4 * control.init_eps, factor)
    return levels[1:] if len(levels) > 1 else levels


def is_cold(problem: Problem, control: Control) -> bool:
    """Whether the start says next to nothing: there is none, or its eps is about as large as the costs."""
    if control.init is None:
        return True
    return control.init_eps is not None and control.init_eps >= COARSE * problem.geometry.spread()


def eps_levels(eps: float, spread: float, factor: float | None) -> np.ndarray:
    """Decreasing eps from a quarter of the cost's range down to `eps`, which comes last.

    Parameters
    ----------
    eps : float > 0, cost units
    spread : float >= 0, cost units
        Range of the finite costs, or an upper bound of it.
    factor : float in (0, 1) or None
        Ratio of neighbouring levels; None: no scaling.

    Returns
    -------
    (L,) float64 array, L >= 1

    Notes
    -----
    Above a quarter of the range the kernel is nearly constant and the first sweep solves the problem;
    each halving then starts from potentials that are right to O(eps) [schmitzer:19]_.
    """
    start = spread / 4
    if factor is None or not np.isfinite(start) or start <= eps:
        return np.array([eps])
    count = int(np.ceil((np.log(start) - np.log(eps)) / -np.log(factor)))
    # Equal ratios, so that the last step is no jump: at most `factor` apart, ending at eps exactly.
    levels = np.geomspace(start, eps, count + 1)
    levels[-1] = eps
    return levels
