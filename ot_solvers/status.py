"""How a solve ended, and how it went."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["Progress", "Status"]


class Status(Enum):
    """How a solve ended; the value is a message that says what to do about it."""

    CONVERGED = "the marginal error is below tol"
    MAX_ITER = (
        "max_iter passes over the cost were not enough: raise max_iter, warm-start with init=solution, or use "
        "a larger reg"
    )
    STALLED = (
        "the marginal error stopped falling above tol: use a larger tol or reg; the gap says how good this answer "
        "already is"
    )
    PRECISION_LIMIT = (
        "tol is below what rounding allows here: use a larger tol or reg, float64 arrays if these are float32, or "
        "points centred near the origin; the answer is as good as the arithmetic allows"
    )
    FEASIBLE = (
        "a plan with the right marginals that need not be the best one: the gap bounds what it costs too much; "
        "warm-start an exact or entropic solve with init=plan"
    )
    INFEASIBLE = (
        "no plan with these marginals was found that avoids the forbidden (+inf) pairs, or has so few entries: "
        "allow more of them, or use unbalanced= or a smaller mass="
    )
    DIVERGED = "the iteration produced infinite or NaN values: check the scale of the costs against reg"
    STOPPED_BY_CALLBACK = "the callback asked to stop: warm-start with init=solution to go on"


class Progress(NamedTuple):
    """One pass over the cost, as callbacks and ``Solution.history`` see it.

    Attributes
    ----------
    iteration : int
        Passes over the cost so far, all eps levels counted.
    marginal_error : float
        Both sides, relative to the total mass, at this pass's `reg`.
    reg : float, cost units
        The eps of this pass; above the one asked for while eps-scaling runs.
    seconds : float
    """

    iteration: int
    marginal_error: float
    reg: float
    seconds: float
