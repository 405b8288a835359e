"""The semi-dual with limits of entries: concave, with kinks where entries tie; quasi-Newton steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .semidual import SemiDual

__all__ = ["maximise"]

#: Corrections that the quasi-Newton method keeps.
MEMORY = 20
#: Share of the rise so far that a step must add.
RISE = 1e-8


def maximise(dual: SemiDual, g, most: int, told: Callable[[float], None]) -> np.ndarray:
    """Column potentials of a high dual value, by L-BFGS from `g`.

    Parameters
    ----------
    dual : SemiDual
    g : (m,) array
    most : int
        Evaluations at most.
    told : callable
        Told the column error after every evaluation; may raise to stop.
    """
    from scipy.optimize import minimize as scipy_minimize

    minimize: Any = scipy_minimize  # its annotations know no gradient beside the value

    live = dual.live
    # Scaled so that gradient and curvature are of order one: potentials in units of what one more entry changes.
    n = max(1, int(np.count_nonzero(dual.a)))
    unit = dual.gamma / n
    start = np.where(live, g, 0.0)
    origin = dual.at(start, entries=False).value
    best: list[Any] = [origin, start]

    def descent(z):
        here = start.copy()
        here[live] += unit * z
        point = dual.at(here, entries=False)
        if point.value > best[0]:
            best[:] = point.value, here
        told(point.error)
        return (origin - point.value) * (n / unit), -n * point.gradient[live]

    options = {"maxfun": most, "maxiter": most, "maxcor": MEMORY, "ftol": RISE, "gtol": 1e-10}
    minimize(descent, np.zeros(int(live.sum())), jac=True, method="L-BFGS-B", options=options)
    return best[1]
