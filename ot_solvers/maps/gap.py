"""The Monge gap: by how much a map misses the optimal way to move points to where it moves them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .. import validation as check
from ..api import Options, read_clouds, report, run_problem
from ..autograd import attached, off_graph, on_graph
from ..backends import registry
from ..divergence import DivergenceResult, run_divergence
from ..geometry import PointCloud
from ..lazy import cached_property
from ..namespaces import Library
from ..numeric import Numeric
from ..regularisers import Entropic, absolute, entropic, regulariser
from ..result import Solution
from ..status import Progress

__all__ = ["ESTIMATORS", "EXACT_POINTS", "MongeGap", "chosen_estimator", "monge_gap"]

ESTIMATORS = ("auto", "exact", "debiased", "entropic")
#: Points up to which ``estimator="auto"`` solves the exact problem although `reg` is given.
EXACT_POINTS = 1024
#: By how much a debiased number may be outside its certified bounds, which are those of the sample: a part of the
#: strength, and a part of the gap itself where maps are not optimal.
SLACK, RELATIVE_SLACK = 0.1, 0.05


class MongeGap(Numeric):
    """A Monge gap, which acts as a number, with the transport problems behind it.

    Attributes
    ----------
    value : float, or 0-d array of the caller's library
        ``displacement - transport``, for ``"debiased"`` less half the same of x with itself and of Tx with
        itself.
    displacement : float
        ``sum_i a_i c(x_i, T(x_i))``, weights with sum 1.
    estimator : {"exact", "debiased", "entropic"}
        What was computed.
    reason : str
        Why it is not what was asked for; else empty.
    solution : Solution
        Of transport between x and Tx.
    divergence : DivergenceResult or None
        All three solutions of ``"debiased"``.
    """

    def __init__(
        self,
        displacement: float,
        solution: Solution,
        divergence: DivergenceResult | None,
        number: float,
        estimator: str,
        library: Library,
    ):
        self.reason = ""
        self.displacement, self.solution, self.divergence = displacement, solution, divergence
        self.estimator, self._number, self._library = estimator, number, library
        self.value: Any = library.scalar(number)

    def __float__(self) -> float:
        return self._number

    @property
    def reg(self) -> float:
        """Strength of the entropy, cost units; 0 for ``"exact"``."""
        return self.solution.reg

    @property
    def converged(self) -> bool:
        """Whether all transport problems converged."""
        return (self.divergence or self.solution).converged

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """(lower, upper) bounds on the gap without regularisation, for these points: a certificate.

        From bounds on the transport cost (`Solution.bounds`), whatever the estimator.
        """
        lower, upper = (float(bound) for bound in self.solution.bounds)
        return self.displacement - upper, self.displacement - lower

    def __repr__(self) -> str:
        strength = f", reg={self.reg:.6g}" if self.reg else ""
        return f"MongeGap({self._number:.10g}, {self.estimator!r}{strength}, displacement={self.displacement:.6g})"


def monge_gap(
    x: Any,
    Tx: Any,
    a: Any = None,
    *,
    cost: Any = "sqeuclidean",
    reg: Any = None,
    reg_relative_to: str | None = None,
    estimator: str = "auto",
    method: Any = "auto",
    backend: str = "auto",
    tol: float | None = None,
    max_iter: int | None = None,
    init: MongeGap | None = None,
    callback: Callable[[Progress], object] | None = None,
    on_failure: str = "warn",
) -> MongeGap:
    """Monge gap [uscidda:23]_ of a map: what moving each x_i to T(x_i) costs, less the best way to move x to Tx.

    It is 0 if and only if the map is optimal between x and its images.

    Parameters
    ----------
    x : (n, d) array
        Points.
    Tx : (n, d) array
        Their images, row by row.
    a : (n,) array >= 0, optional
        Weights of the points, counted relative to their sum; uniform by default.
    cost : str or Cost
        As in `solve_sample`. ``"debiased"`` needs a symmetric one.
    reg : None, float or Entropic
        Strength of the entropy, cost units; not used by ``"exact"``.
    reg_relative_to : {None, "mean", "max"}
        Multiply `reg` by that statistic of the costs between x and Tx.
    estimator : {"auto", "exact", "debiased", "entropic"}
        See Notes. ``"auto"`` is ``"exact"`` without `reg`, and up to 1024 points; ``"debiased"`` beyond.
    method, backend, tol, max_iter, on_failure
        As in `solve_sample`, of the transport problems.
    init : MongeGap, optional
        Warm start: the gap of points that were little different, by the same estimator.
    callback : callable, optional
        Called with a `Progress` after every pass; returning True stops early.

    Returns
    -------
    MongeGap
        Acts as a number: ``fit + strength * monge_gap(...)``; with gradients where points or weights have them.

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument.
    ConvergenceError
        With ``on_failure="raise"``.

    Notes
    -----
    ``"exact"`` compares with exact transport: the gap of these points without any error but rounding, never
    negative beyond that, and 0 where a map is optimal. The gradient is that of the optimal plan, held fixed.

    ``"debiased"`` is ``E(x, Tx) - E(x, x) / 2 - E(Tx, Tx) / 2`` with
    ``E(u, v) = sum_i a_i c(u_i, v_i) - OT_reg(u, v)``: with costs that are 0 at equal points,
    ``displacement - sinkhorn_divergence(x, Tx)``. Where slopes of potentials determine displacements (squared
    Euclidean cost, negative inner product) the error on optimal maps is of second order in `reg`: below 0.03 % of
    the mean cost with ``reg=0.01, reg_relative_to="mean"``, of either sign. Where they do not (Euclidean distance)
    it would be some per cent, because smoothing costs less along the rays of transport than at rest.
    A number that the certified `MongeGap.bounds`, or 0, contradict by more than a tenth of `reg` and 5 % is not
    returned: exact transport takes its place, and `MongeGap.reason` says so.

    ``"entropic"`` is ``E(x, Tx)`` alone, for comparison with other programs: on optimal maps it is negative, by
    about ``reg`` times half the dimension and more.

    `MongeGap.bounds` brackets the exact gap whatever the estimator.
    """
    leaves = {"x": x, "Tx": Tx, "a": a, "reg": reg}
    x, Tx, a, reg = (off_graph(value) for value in leaves.values())
    geometry, library = read_clouds(x, Tx, a, None, cost, ("x", "Tx"))
    n, m = geometry.shape
    if n != m:
        raise ValueError(f"Tx has {m} rows and x {n}; expected the image of every point, row by row")
    estimator = chosen_estimator(estimator, regulariser(reg, reg_relative_to) is not None, n)
    if estimator == "debiased" and not geometry.cost.symmetric:
        raise ValueError(f"cost={geometry.cost!r} is not symmetric: use estimator='exact' or 'entropic'")
    if init is not None and not isinstance(init, MongeGap):
        raise TypeError(f"init={type(init).__name__} must be a MongeGap")
    weights = check.shares(a, "a", n)
    engine = registry.get("numba" if backend == "auto" else backend)
    strength: Any = None
    if estimator != "exact":
        strength = Entropic(absolute(entropic(reg, reg_relative_to), geometry, engine))
    start = None if init is None else init.divergence if estimator == "debiased" else init.solution
    options = Options(
        strength, method=method, backend=backend, tol=tol, max_iter=max_iter, init=start, callback=callback,
        on_failure=on_failure,
    )  # fmt: skip
    estimate = {"exact": _exact, "debiased": _debiased, "entropic": _entropic}[estimator]
    found = estimate(geometry, weights, library, options, engine)
    return attached("gap", found, **leaves) if on_graph(*leaves.values()) else found


def _exact(geometry: PointCloud, weights: np.ndarray, library: Library, options: Options, engine) -> MongeGap:
    costs = _paired(geometry, weights, engine)
    solution = _solved(geometry, weights, library, options)
    entries = solution._matrix.tocoo()
    rows, columns = entries.row.astype(np.int64), entries.col.astype(np.int64)
    moved = solution._problem.mass * entries.data * engine.pair_costs(geometry, rows, columns)
    # Entry by entry: equal terms cancel to the last bit.
    number = math.fsum(np.concatenate([costs, -moved]))
    return MongeGap(math.fsum(costs), solution, None, number, "exact", library)


def _entropic(geometry: PointCloud, weights: np.ndarray, library: Library, options: Options, engine) -> MongeGap:
    displacement = math.fsum(_paired(geometry, weights, engine))
    solution = _solved(geometry, weights, library, options)
    return MongeGap(displacement, solution, None, displacement - float(solution), "entropic", library)


def _debiased(geometry: PointCloud, weights: np.ndarray, library: Library, options: Options, engine) -> MongeGap:
    displacement = math.fsum(_paired(geometry, weights, engine))
    divergence = run_divergence(geometry, weights, weights, library, options)
    selves = (PointCloud(z, z, geometry.cost) for z in (geometry.x, geometry.y))
    still = sum(math.fsum(_paired(cloud, weights, engine)) for cloud in selves)
    number = displacement - 0.5 * still - float(divergence)
    found = MongeGap(displacement, divergence.xy, divergence, number, "debiased", library)
    if not _contradicted(found):
        return found
    lower, upper = found.bounds
    found = _exact(geometry, weights, library, replace(options, reg=None, method="auto", init=None), engine)
    found.reason = (
        f"the debiased number {number:.6g} is outside the certified bounds [{max(0.0, lower):.6g}, {upper:.6g}]"
    )
    return found


def _contradicted(gap: MongeGap) -> bool:
    """Whether certified bounds exclude a number, by more than the slack."""
    if not gap.converged:
        return False
    lower, upper = gap.bounds
    slack = SLACK * gap.reg + RELATIVE_SLACK * max(0.0, upper)
    return not max(0.0, lower) - slack <= float(gap) <= upper + slack


def _solved(geometry: PointCloud, weights: np.ndarray, library: Library, options: Options) -> Solution:
    solution = run_problem(geometry, weights, weights, library, options)
    report([("", solution)], check.tolerance(options.tol, library.dtype), options.on_failure)
    return solution


def _paired(geometry: PointCloud, weights: np.ndarray, engine) -> np.ndarray:
    """(n,) ``a_i c(x_i, y_i)``."""
    each = np.arange(weights.size)
    return weights * engine.pair_costs(geometry, each, each)


def chosen_estimator(estimator: str, smooth: bool, n: int) -> str:
    """The estimator for n points.

    Parameters
    ----------
    estimator : str
        One of `ESTIMATORS`.
    smooth : bool
        Whether a positive strength was given.
    n : int

    Raises
    ------
    ValueError
        For unknown ones, and where a strength is missing.
    """
    check.choice(estimator, "estimator", ESTIMATORS)
    if estimator == "auto":
        return "debiased" if smooth and n > EXACT_POINTS else "exact"
    if estimator != "exact" and not smooth:
        raise ValueError(f"estimator={estimator!r} needs a positive reg, such as reg=0.01, reg_relative_to='mean'")
    return estimator
