"""Solutions along a path of regularisations, each started from the one before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .api import solve, solve_sample
from .regularisers import Entropic
from .result import Solution

__all__ = ["solve_path"]


def solve_path(*data: Any, regs: Iterable[float], **keywords: Any) -> list[Solution]:
    """Entropic transport for several regularisations, from the largest down, each a warm start of the next.

    Costs about as much as the solve for the smallest one alone: eps-scaling passes by the others anyway.

    Parameters
    ----------
    *data : arrays
        ``C``, ``C, a, b`` as for `solve`, or ``x, y``, ``x, y, a, b`` as for `solve_sample`: two arrays of points
        are told from a cost matrix and weights by their dimensions.
    regs : sequence of float or Entropic
        In any order.
    **keywords
        Of `solve` or `solve_sample`. `init` starts the first solve; `callback` sees all passes of all solves, and
        returning True ends the solve that is running only.

    Returns
    -------
    list of Solution
        One for each of `regs`, in their order.

    Raises
    ------
    ValueError, TypeError
        As `solve` and `solve_sample`.
    ConvergenceError
        With ``on_failure="raise"``, at the first that did not converge.

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> path = ots.solve_path(x, x + 1.0, regs=[1.0, 0.1, 0.01])
    >>> [solution.reg for solution in path]
    [1.0, 0.1, 0.01]
    """
    if not 1 <= len(data) <= 4:
        raise TypeError(f"solve_path takes C[, a[, b]] or x, y[, a[, b]] before its keywords, not {len(data)}")
    regs = list(regs)
    if not regs:
        raise ValueError("regs is empty; expected at least one regularisation")
    if "reg" in keywords:
        raise TypeError("solve_path takes regs=[...], not reg")
    points = len(data) >= 2 and np.ndim(data[1]) == 2
    entry: Any = solve_sample if points else solve
    if not points and "cost" in keywords:
        raise TypeError("cost= belongs to points: solve_path(x, y, regs=..., cost=...)")
    start = keywords.pop("init", None)
    solutions: dict[int, Solution] = {}
    for k in sorted(range(len(regs)), key=lambda k: -_size(regs[k])):
        start = solutions[k] = entry(*data, reg=regs[k], init=start, **keywords)
    return [solutions[k] for k in range(len(regs))]


def _size(reg: Any) -> float:
    """Where a regularisation stands in the order of the path."""
    if isinstance(reg, Entropic):
        return reg.eps
    try:
        return float(reg)
    except (TypeError, ValueError):
        raise TypeError(f"regs holds {reg!r}; expected positive numbers or ots.Entropic values") from None
