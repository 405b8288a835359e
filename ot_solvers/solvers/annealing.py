"""eps-scaling with a predictor, and with Newton steps on the levels where sweeps do not get on."""

from __future__ import annotations

import math

import numpy as np

from .second_order import SecondOrderPasses

__all__ = ["anneal"]

#: Marginal error at which a level is left: enough for Newton to converge on the next one.
LEVEL_ERROR = 1e-2
#: Sweeps on each level: at least, and at most before Newton steps.
FEWEST, MOST = 2, 8
#: Newton steps on a level.
NEWTON_STEPS = 8
#: Sweeps that a level may still need before Newton steps are taken instead. Few, though a step costs more than
#: so many sweeps on small problems: a level that is solved saves steps on all that follow.
PATIENCE = 4
#: Share of the range of the costs above which levels get sweeps only: plans there are dense and steps dear, and a
#: small error there does no harm.
NEWTON_BELOW = 1e-2


def anneal(passes: SecondOrderPasses, g, levels):
    """Follow the levels down to the last but one; the last pass of ``max_iter`` is left for the target.

    Parameters
    ----------
    passes : SecondOrderPasses
    g : (m,) array
    levels : (L,) decreasing eps, the last one the target

    Returns
    -------
    g : (m,) array
        Where to start at the target.
    status : Status or None
        None unless the solve is over.
    """
    spread = passes.problem.geometry.spread()
    trail: list[tuple[float, np.ndarray]] = []
    if passes.control.init_eps is not None and len(levels) > 1:
        trail.append((passes.control.init_eps, g))
    for eps in map(float, levels[:-1]):
        g = predicted(trail, eps, g, passes)
        g, status = level(passes, g, eps, eps < NEWTON_BELOW * spread)
        if status is not None or passes.monitor.iteration + 1 >= passes.monitor.max_iter:
            return g, status
        trail.append((eps, g))
    return predicted(trail, float(levels[-1]), g, passes), None


def predicted(trail, eps: float, g, passes):
    """Potentials at the next eps, extrapolated linearly in eps from the last two levels."""
    if len(trail) < 2:
        return g
    (eps0, g0), (eps1, g1) = trail[-2:]
    step = (g1 - g0) * ((eps - eps1) / (eps1 - eps0))
    return passes.project(g + np.where(np.isfinite(step), step, 0.0))


def level(passes, g, eps: float, newton: bool):
    """Sweeps while they get on, then Newton steps if allowed, to an error of `LEVEL_ERROR`: (g, status)."""
    monitor = passes.monitor
    error = math.inf
    for k in range(MOST):
        if monitor.iteration + 1 >= monitor.max_iter:
            return g, None
        before = error
        error, status = passes.visit(g, eps, final=False)
        if status is not None:
            return g, status
        if k + 1 >= FEWEST:
            if error <= LEVEL_ERROR:
                break
            if newton and sweeps_left(before, error) > PATIENCE:
                g, error, status = passes.settle(g, eps, error, LEVEL_ERROR, False, NEWTON_STEPS)
                if status is not None:
                    return g, status
                break
        g = passes.image(g, eps)
    return passes.image(g, eps), None


def sweeps_left(before: float, error: float) -> float:
    """Sweeps that the last two errors predict until `LEVEL_ERROR`."""
    if not error < before:
        return math.inf
    return math.log(error / LEVEL_ERROR) / math.log(before / error)
