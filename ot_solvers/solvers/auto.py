"""Which solver runs, and why."""

from __future__ import annotations

from ..problem import Problem
from .base import Solver
from .sinkhorn import Sinkhorn

__all__ = ["SOLVERS", "choose"]

#: Solvers by the name that ``method=`` understands.
SOLVERS: dict[str, type[Solver]] = {"sinkhorn": Sinkhorn}


def choose(method: Solver | str, problem: Problem) -> tuple[Solver, str]:
    """The solver for a problem and the reason in one sentence.

    Parameters
    ----------
    method : Solver or str
        A solver value, a name of `SOLVERS`, or "auto".
    """
    if isinstance(method, Solver):
        return method, "asked for"
    if method == "auto":
        return Sinkhorn(), "the entropic solver of this version: eps-scaled, Anderson-accelerated sweeps"
    return SOLVERS[method](), "asked for"
