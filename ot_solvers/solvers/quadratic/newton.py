"""Semismooth Newton steps on the semi-dual of quadratic transport."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..hessian import SemiDualHessian
from .semidual import Point, SemiDual

__all__ = ["ascend"]

#: Steps of conjugate gradients, and entries per point that their preconditioner factorises.
CG_STEPS, CORE = 200, 16
#: Shift of the Hessian at first, in units of the weights per point, the least, and how it changes.
FIRST_SHIFT, LEAST_SHIFT, SHORTER, LONGER = 1e-6, 1e-9, 3.0, 3.0
#: Trials of one step.
TRIALS = 20
#: Errors below this share of the mass are rounding's.
ROUNDING = 1e-15


def ascend(dual: SemiDual, g, tol: float, most: int, told: Callable[[Point], None]) -> tuple[Point, int]:
    """Maximise a semi-dual without limits of entries.

    Piecewise quadratic: the Hessian at a point is the Laplacian of the graph of the entries there. Where the graph
    falls apart it is singular, and where entries come and go a step is good for a part of the way only: both are
    met by a shift in units of the weights, which grows while steps go too far. A sweep follows every step.

    Parameters
    ----------
    dual : SemiDual
    g : (m,) array
    tol : float
        Column error at which to stop.
    most : int
        Steps at most.
    told : callable
        Told every point that is kept; may raise to stop.

    Returns
    -------
    Point
        The one with the smallest error.
    int
        Steps.
    """
    m = g.size
    point = dual.at(dual.sweep(g))
    best = point
    told(point)
    shift = FIRST_SHIFT * m
    steps = 0
    idle = 0
    while point.error > tol and steps < most and idle < 100:
        found = _step(dual, point, shift)
        steps += 1
        if found is None:
            break
        new, left, shift = found
        if new.error < 0.5 * point.error or left > 0.2:
            shift = max(shift / LONGER, LEAST_SHIFT)
        elif left < 0:
            shift *= SHORTER
        if new.error > tol:
            new = dual.at(dual.sweep(new.g))
        point = new
        told(point)
        idle = idle + 1 if point.error > 0.999 * best.error else 0
        if point.error < best.error:
            best = point
    return best, steps


def _step(dual: SemiDual, point: Point, shift: float):
    """(point after a step, share of the slope that is left there, shift); None where no step goes up."""
    pattern = point.plan.copy()
    pattern.data = np.ones_like(pattern.data)
    rows = np.diff(pattern.indptr).astype(np.float64)
    columns = np.bincount(pattern.indices, minlength=point.g.size).astype(np.float64)
    hessian = SemiDualHessian(pattern, None, rows, columns, (dual.a, dual.b), dual.backend, CORE)
    for _ in range(TRIALS):
        direction = hessian.solve(point.gradient, shift, min(0.1, point.error), CG_STEPS)
        step = dual.gamma * direction.step
        slope = float(point.gradient @ step)
        if np.isfinite(slope) and slope > 0:
            new = dual.at(point.g + step)
            left = float(new.gradient @ step) / slope
            gain = new.value - point.value
            hidden = slope <= 1e-13 * (abs(point.value) + float(dual.a @ np.abs(point.f)))
            if new.error < 0.5 * point.error or gain >= 1e-2 * slope or (hidden and new.error <= point.error):
                return new, left, shift
        shift *= 4.0
    return None
