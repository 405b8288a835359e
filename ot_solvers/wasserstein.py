"""Wasserstein distances between point clouds, to an accuracy that the user names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from . import costs
from . import validation as check
from .api import Options, read_clouds, run_problem, shared_off_graph
from .autograd import attached, on_graph
from .lazy import cached_property
from .result import Solution
from .sampling import Sampled
from .solvers import auto
from .status import Progress

__all__ = ["WassersteinDistance", "wasserstein"]


class WassersteinDistance(Sampled):
    """A distance between two bounds that hold; `float` of it is the upper one, the cost of an actual plan.

    Attributes
    ----------
    p : float
        Order.
    solution : Solution
        Plan, potentials and all the rest; its `value` is the p-th power of the distance.
    """

    def __init__(self, p: float, solution: Solution):
        self.p, self.solution = p, solution

    @cached_property
    def _bounds(self) -> tuple[float, float]:
        lower, upper = (float(bound) for bound in self.solution.bounds)
        # Up to rounding the bounds may cross.
        return min(self._root(lower), self._root(upper)), self._root(upper)

    def _root(self, value: float) -> float:
        return max(value, 0.0) ** (1.0 / self.p)

    @property
    def value(self) -> Any:
        """The distance: the p-th root of the cost of the plan, in the caller's library."""
        number = self._root(float(self.solution))
        power = self.solution.value
        if not getattr(power, "requires_grad", False):
            return self.solution._library.scalar(number)
        # The root has no slope at 0, where the distance has a kink: 0 is one of its subgradients.
        slope = number ** (1.0 - self.p) / self.p if number > 0 else 0.0
        return number + slope * (power - power.detach())

    @property
    def lower(self) -> float:
        """A lower bound, from the dual."""
        return self._bounds[0]

    @property
    def upper(self) -> float:
        """An upper bound, from the plan."""
        return self._bounds[1]

    def __float__(self) -> float:
        return self._root(float(self.solution))

    def __repr__(self) -> str:
        return f"WassersteinDistance({float(self):.10g}, p={self.p:g}, lower={self.lower:.10g})"


def wasserstein(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    p: float = 2,
    rtol: float = 1e-3,
    backend: str = "auto",
    max_iter: int | None = None,
    init: Any = None,
    callback: Callable[[Progress], object] | None = None,
    on_failure: str = "warn",
) -> WassersteinDistance:
    """Wasserstein distance of order p between weighted points, Euclidean ground distance.

    ``W_p = (min_P sum P_ij |x_i - y_j|^p)^(1/p)``, not regularised. Ends as soon as the result is known to be
    within `rtol` of the distance; the bounds that prove it come along.

    Parameters
    ----------
    x : (n, d) array
        Source points.
    y : (m, d) array
        Target points, of the same array library.
    a : (n,) array >= 0, optional
        Source weights; uniform with sum 1 by default.
    b : (m,) array >= 0, optional
        Target weights.
    p : float >= 1
        Order.
    rtol : float in [0, 1)
        ``upper - lower <= rtol * upper``; 0 asks for the optimum itself. On a line, and for few points, the
        result is exact whatever it is.
    backend : {"auto", "numba", "reference"}
    max_iter : int, optional
        Passes over all pairs.
    init : Solution or (f, g), optional
        Warm start, from the solution of a similar problem.
    callback : callable, optional
        Called with a `Progress` after every pass; returning True stops early, with the bounds so far.
    on_failure : {"warn", "raise", "ignore"}
        What to do when `rtol` was not reached.

    Returns
    -------
    WassersteinDistance
        Acts as a float; ``.lower``, ``.upper``, ``.solution``.

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument.

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> x = np.random.default_rng(0).normal(size=(300, 2))
    >>> round(float(ots.wasserstein(x, x + [3.0, 4.0])), 6)
    5.0
    """
    order = order_of(p)
    share = share_of(rtol)
    leaves = {"x": x, "y": y, "a": a, "b": b}
    x, y, a, b = shared_off_graph(x, y, a, b)
    geometry, library = read_clouds(x, y, a, b, ground_cost(order))
    # On the p-th power: (1 - rtol)**p of the upper bound.
    method = auto.ExactAuto(-math.expm1(order * math.log1p(-share)))
    shared = {"backend": backend, "max_iter": max_iter, "init": init, "callback": callback}
    options = Options(None, method=method, on_failure=on_failure, **shared)
    solution = run_problem(geometry, a, b, library, options)
    if on_graph(*leaves.values()):
        solution = attached("solution", solution, **leaves)
    return WassersteinDistance(order, solution)


def order_of(p: Any) -> float:
    """`p` as the user gave it, checked."""
    order = check.number(p, "p")
    if not (math.isfinite(order) and order >= 1):
        raise ValueError(f"p={p!r} must be at least 1 and finite")
    return order


def share_of(rtol: Any) -> float:
    """`rtol` as the user gave it, checked."""
    share = check.number(rtol, "rtol")
    if not 0 <= share < 1:
        raise ValueError(f"rtol={rtol!r} must be in [0, 1)")
    return share


def ground_cost(p: float) -> costs.Cost:
    """The p-th power of the Euclidean distance."""
    if p == 1:
        return costs.Euclidean()
    if p == 2:
        return costs.SqEuclidean()
    return costs.EuclideanPower(p=p)
