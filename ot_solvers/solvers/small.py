"""Small problems: the whole solve in one kernel call, where the backend has it."""

from __future__ import annotations

import time
from typing import NamedTuple

from ..status import Progress, Status
from .passes import SinkhornPasses

__all__ = ["SmallSolve", "solve_in_one_kernel"]


class SmallSolve(NamedTuple):
    """How it ended; None where the kernel's passes were not enough."""

    status: Status | None


def solve_in_one_kernel(passes: SinkhornPasses, levels, sweeps: int, most: int, memory: int) -> SmallSolve | None:
    """Sweep in one kernel call from the potentials of `passes`, which is left where the kernel ended.

    Parameters
    ----------
    passes : SinkhornPasses
    levels : (L,) decreasing eps, the last one the target
    sweeps : int
        On every level but the last.
    most : int
        At the target.
    memory : int
        Of Anderson acceleration; 0: none.

    Returns
    -------
    SmallSolve or None
        None where the backend, the size, or a callback do not allow it.
    """
    problem, control, monitor = passes.problem, passes.control, passes.monitor
    if control.callback is not None or passes.precision != "float64":
        return None
    if passes.cut_a.size or passes.cut_b.size or problem.partial:  # the kernel knows no price of the total
        return None
    on_levels = sweeps * (len(levels) - 1)
    limit = min(most + on_levels, monitor.max_iter)
    found = passes.backend.solve_small(
        problem.geometry,
        problem.a,
        problem.b,
        passes.g,
        levels,
        (problem.penalty_a, problem.penalty_b),
        problem.log_mass,
        control.tol * passes.unit,
        sweeps,
        limit,
        memory,
    )
    if found is None:
        return None
    passes.f, passes.g, errors = found
    passes.made = (problem.eps, passes.g)
    iterations = len(errors)
    # History of the kernel: its sweeps on each level are known by count, and take equal times.
    each = (time.perf_counter() - monitor.started) / iterations
    on_levels = min(on_levels, limit - 1)
    for k, error in enumerate(errors / passes.unit):
        at = k // sweeps if k < on_levels else -1
        monitor.history.append(Progress(k + 1, float(error), float(levels[at]), (k + 1) * each))
    monitor.iteration = iterations
    error = float(errors[on_levels:].min()) / passes.unit
    monitor.best, monitor.best_pair = error, (passes.f, passes.g)
    if error <= control.tol:
        return SmallSolve(Status.CONVERGED)
    return SmallSolve(Status.MAX_ITER if iterations >= monitor.max_iter else None)
