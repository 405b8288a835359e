"""Sinkhorn divergences between point clouds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from . import validation as check
from .api import Options, documented, read_clouds, report, run_problem, shared_off_graph
from .autograd import attached, off_graph, on_graph
from .backends import registry
from .certificates import dual_value
from .geometry import PointCloud
from .namespaces import Library
from .plans.gibbs import GibbsPlan
from .regularisers import Entropic, absolute, entropic
from .result import Solution
from .sampling import Sampled
from .solvers.base import is_true
from .solvers.divergence import SymmetricSinkhorn
from .status import Progress

__all__ = ["DivergenceResult", "run_divergence", "sinkhorn_divergence"]


class DivergenceResult(Sampled):
    """Value of a Sinkhorn divergence with the three solutions behind it.

    Attributes
    ----------
    value : float, or 0-d array of the caller's library
        ``OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2``, plus ``reg (m_a - m_b)^2 / 2`` when unbalanced, from the
        dual values: their error is of second order in the marginal error.
    xy, xx, yy : Solution
    """

    def __init__(self, xy: Solution, xx: Solution, yy: Solution, library: Library):
        self.xy, self.xx, self.yy = xy, xx, yy
        # The self potentials are feasible for xy too, and with them the divergence is half the squared
        # kernel distance of a exp(f/eps) and b exp(g/eps): never negative for a positive definite kernel.
        dual = max(xy._dual, _crossed_dual(xy, xx, yy))
        # Without the terms eps m_a m_b, eps m_a^2 / 2 and eps m_b^2 / 2, which the mass correction cancels.
        self._value = float(dual - 0.5 * (xx._dual + yy._dual))
        self.value = library.scalar(self._value)

    @property
    def converged(self) -> bool:
        """Whether all three problems converged."""
        return self.xy.converged and self.xx.converged and self.yy.converged

    @property
    def n_iter(self) -> int:
        """Passes over costs, all three problems."""
        return self.xy.n_iter + self.xx.n_iter + self.yy.n_iter

    def __float__(self) -> float:
        return self._value

    def __repr__(self) -> str:
        statuses = ", ".join(f"{k} {getattr(self, k).status.name}" for k in ("xy", "xx", "yy"))
        return (
            f"DivergenceResult(value={self._value:.10g}, reg={self.xy.reg:.6g}, {statuses}, {self.n_iter} passes)"
        )


@documented
def sinkhorn_divergence(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    cost: Any = "sqeuclidean",
    reg: Any,
    reg_relative_to: str | None = None,
    unbalanced: float | None = None,
    unbalanced_type: str = "kl",
    method: Any = "auto",
    backend: str = "auto",
    tol: float | None = None,
    max_iter: int | None = None,
    init: DivergenceResult | None = None,
    callback: Callable[[Progress], object] | None = None,
    on_failure: str = "warn",
) -> DivergenceResult:
    """Debiased entropic transport cost: zero when the measures agree, positive definite for norms.

    Parameters
    ----------
    x : (n, d) array
        Source points.
    y : (m, d) array
        Target points.
    a : (n,) array >= 0, optional
        Source weights; uniform with sum 1 by default.
    b : (m,) array >= 0, optional
        Target weights.
    cost : str or Cost
        A symmetric cost, as in `solve_sample`.
    {common}

    Notes
    -----
    ``float(result)`` is the value. A relative `reg` refers to the costs between x and y. `method` is that of the
    xy problem: the two self-transport problems run the averaged symmetric iteration of [feydy:19]_. Unbalanced,
    both sides have the same rho and the mass correction of [sejourne:19]_.
    """
    leaves = {"x": x, "y": y, "a": a, "b": b, "reg": reg}
    x, y, a, b = shared_off_graph(x, y, a, b)
    reg = off_graph(reg)
    geometry, library = read_clouds(x, y, a, b, cost)
    if not geometry.cost.symmetric:
        raise ValueError(f"cost={geometry.cost!r} is not symmetric; a divergence needs c(x, y) = c(y, x)")
    pair = check.unbalanced_pair(unbalanced)
    if pair is not None and pair[0] != pair[1]:
        raise ValueError(f"unbalanced={unbalanced!r}: a divergence needs the same rho on both sides")
    if init is not None and not isinstance(init, DivergenceResult):
        raise TypeError(f"init={type(init).__name__} must be a DivergenceResult")
    engine = registry.get("numba" if backend == "auto" else backend)
    eps = absolute(entropic(reg, reg_relative_to), geometry, engine)
    options = Options(
        Entropic(eps),
        None,
        unbalanced,
        unbalanced_type,
        method,
        backend,
        tol,
        max_iter,
        init,
        callback,
        on_failure,
    )
    result = run_divergence(geometry, a, b, library, options)
    return attached("divergence", result, **leaves) if on_graph(*leaves.values()) else result


def run_divergence(geometry: PointCloud, a: Any, b: Any, library: Library, options: Options) -> DivergenceResult:
    """Solve the three problems of a divergence.

    Parameters
    ----------
    geometry : PointCloud
        Of a symmetric cost.
    a, b : (n,), (m,) arrays or None
    library : Library
    options : Options
        `reg` is an absolute `Entropic`, `init` a `DivergenceResult` or None.
    """
    callback = options.callback
    mirror = (
        PointCloud(geometry.x, geometry.x, geometry.cost),
        PointCloud(geometry.y, geometry.y, geometry.cost),
    )

    stopped = False

    def watch(progress: Progress) -> bool:
        # Once the caller has said stop, the other problems end after their first pass.
        nonlocal stopped
        stopped = stopped or is_true(callback(progress))  # type: ignore[misc]
        return stopped

    def part(cloud, first, second, solver, start) -> Solution:
        chosen = replace(
            options, method=solver, init=start, callback=None if callback is None else watch, on_failure="ignore"
        )
        return run_problem(cloud, first, second, library, chosen)

    if callback is not None and not callable(callback):
        raise TypeError(f"callback={callback!r} is not callable")
    check.choice(options.on_failure, "on_failure", ("warn", "raise", "ignore"))
    init = options.init
    xy = part(geometry, a, b, options.method, init and init.xy)
    # Weights as the xy problem counts them: balanced masses that differ in the last digits are one mass there.
    first, second = xy._problem.mass * xy._problem.a, xy._problem.mass * xy._problem.b
    xx = part(mirror[0], first, first, SymmetricSinkhorn(), init and init.xx)
    yy = part(mirror[1], second, second, SymmetricSinkhorn(), init and init.yy)
    report([("xy", xy), ("xx", xx), ("yy", yy)], check.tolerance(options.tol, library.dtype), options.on_failure)
    return DivergenceResult(xy, xx, yy, library)


def _crossed_dual(xy: Solution, xx: Solution, yy: Solution) -> float:
    """Dual value of the xy problem at the potentials of the two self-transport problems."""
    problem = xy._problem
    f, g = xx._f, yy._g
    plan = GibbsPlan(problem.geometry, f, g, problem.a, problem.b, problem.eps, problem.log_mass)
    moved = float(xy._backend.transport(plan, np.ones((g.size, 1))).sum())
    return dual_value(problem, f, g, moved)
