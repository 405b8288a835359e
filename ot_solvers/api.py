"""The entry points: coerce, build the problem, run a solver on a backend, wrap the result.

The only place where strings become objects and user arrays become NumPy ones.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import validation as check
from .autograd import attached, off_graph, on_graph
from .backends import registry
from .errors import ConvergenceError, ConvergenceWarning, InfeasibleError, UnsupportedError, stack_depth
from .geometry import DenseGeometry, Geometry, Grid, PointCloud, SparseGeometry
from .namespaces import Library, library_name, resolve
from .penalties import Balanced, Capacity, make_penalty
from .problem import (
    PartialMasses,
    Problem,
    QuadraticTerm,
    UnequalMasses,
    normalise_masses,
    partial_masses,
)
from .regularisers import Entropic, SparsityConstrained, absolute, regulariser
from .result import Solution, internal_potentials
from .rounding import feasible_marginals
from .solvers import auto
from .solvers.base import Control, Outcome, Solver
from .status import Progress, Status

__all__ = ["solve", "solve_grid", "solve_sample"]

_COMMON = """
    reg : None, float, Entropic, Quadratic or SparsityConstrained
        Regularisation, cost units; a float is entropic; never chosen silently. ``None`` and 0 ask for exact
        transport.
    reg_relative_to : {None, "mean", "max"}
        Multiply `reg` by that statistic of the cost (unweighted, over finite pairs).
    unbalanced : None, float or (float, float)
        Price ``rho`` of missing the marginals, cost units; ``inf`` keeps that side hard.
    unbalanced_type : {"kl", "tv"}
        ``rho KL(P1 | a)`` or ``rho |P1 - a|_1`` (not halved).
    {mass}
    method : str or Solver
        ``"auto"`` (sweeps until Newton's method is predicted to be cheaper), ``"sinkhorn"``, ``"newton"``,
        ``"sns"``; for exact transport ``"crossover"``, ``"simplex"``, ``"assignment"``, ``"sorting"``; or a
        solver value such as ``ots.Sinkhorn(relaxation=1.5)``.
    backend : {"auto", "numba", "reference"}
    tol : float, optional
        Stop when the marginal error (balanced: ``(|P1 - a|_1 + |P'1 - b|_1) / sum(a)``) is below it; default 1e-6
        in float64 and 1e-4 in float32. Exact plans have no marginal error to speak of: there it is not looked at.
    max_iter : int, optional
        Passes over the cost; the method chooses by default.
    init : Solution or (f, g), optional
        Warm start: eps-scaling begins at the solution's own eps, with potentials not at all.
    callback : callable, optional
        Called with a `Progress` after every pass; returning True stops early.
    on_failure : {"warn", "raise", "ignore"}
        What to do when `tol` was not reached.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument; `InfeasibleError` if forbidden pairs leave no plan.
    ConvergenceError
        With ``on_failure="raise"``.

    References
    ----------
    [cuturi:13]_, [schmitzer:19]_, [sejourne:19]_, [caffarelli:10]_, [benamou:15]_; see
    ``docs/conventions.md`` for the conventions."""


_MASS = """
    mass : float, optional
        Partial transport: how much is to be moved, in the units of `a` and `b`, whose sums may differ and are
        capacities then: ``P1 <= a``, ``P'1 <= b``, ``sum(P) = mass``."""


def documented(function):
    """Append the description of the common keywords to a docstring."""
    if function.__doc__ is None:  # python -OO
        return function
    returns = function.__annotations__["return"]
    common = _COMMON.rstrip().replace("\n    Solution\n", f"\n    {returns}\n")
    common = common.replace("\n    {mass}", _MASS if returns == "Solution" else "")
    if returns != "Solution":
        common = common.replace("init : Solution or (f, g), optional", f"init : {returns}, optional")
    function.__doc__ = function.__doc__.replace("\n    {common}", common)
    return function


@documented
def solve(
    C: Any,
    a: Any = None,
    b: Any = None,
    *,
    reg: Any = None,
    reg_relative_to: str | None = None,
    unbalanced: Any = None,
    unbalanced_type: str = "kl",
    mass: float | None = None,
    method: Any = "auto",
    backend: str = "auto",
    tol: float | None = None,
    max_iter: int | None = None,
    init: Any = None,
    callback: Callable[[Progress], object] | None = None,
    on_failure: str = "warn",
) -> Solution:
    """Optimal transport, exact or entropic, for a given cost matrix.

    Parameters
    ----------
    C : (n, m) array, SciPy sparse array, or Geometry
        Costs. ``+inf`` forbids a pair; so does every pair that a sparse array does not store.
    a : (n,) array >= 0, optional
        Source weights; uniform with sum 1 by default.
    b : (m,) array >= 0, optional
        Target weights.
    {common}

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> C = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> round(ots.solve(C, reg=0.05).value_linear, 6)
    0.0
    """
    leaves = {"C": C, "a": a, "b": b, "reg": reg}
    C, a, b = off_graph(C), off_graph(a), off_graph(b)
    if isinstance(C, Geometry):
        geometry = _checked(C)
        library = Library(resolve({"a": a, "b": b}), C.dtype)
    elif hasattr(C, "tocsr") and hasattr(C, "nnz"):
        geometry = _sparse_geometry(C)
        library = Library(resolve({"a": a, "b": b}), geometry.dtype)
    else:
        name = resolve({"C": C, "a": a, "b": b})
        array = check.floating(C, "C")
        geometry = _dense_geometry(array)
        library = Library(name, geometry.dtype)
    options = Options(
        off_graph(reg), reg_relative_to, unbalanced, unbalanced_type, method, backend, tol, max_iter, init,
        callback, on_failure, mass,
    )  # fmt: skip
    return _finished(run_problem(geometry, a, b, library, options), leaves)


@documented
def solve_sample(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    cost: Any = "sqeuclidean",
    reg: Any = None,
    reg_relative_to: str | None = None,
    unbalanced: Any = None,
    unbalanced_type: str = "kl",
    mass: float | None = None,
    method: Any = "auto",
    backend: str = "auto",
    tol: float | None = None,
    max_iter: int | None = None,
    init: Any = None,
    callback: Callable[[Progress], object] | None = None,
    on_failure: str = "warn",
) -> Solution:
    """Optimal transport between two point clouds, exact or entropic; never forms the (n, m) cost matrix.

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
    cost : str or Cost
        ``"sqeuclidean"`` (not halved), ``"euclidean"``, ``"cityblock"``, ``"chebyshev"``, ``"cosine"``,
        ``"dot"`` (negative inner product), ``"sphere"``, ``"hamming"``, or a value of `ot_solvers.costs`.
    {common}

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> solution = ots.solve_sample(x, x + 1.0, reg=0.1)
    >>> solution.converged
    True
    """
    leaves = {"x": x, "y": y, "a": a, "b": b, "reg": reg}
    x, y, a, b = shared_off_graph(x, y, a, b)
    geometry, library = read_clouds(x, y, a, b, cost)
    options = Options(
        off_graph(reg), reg_relative_to, unbalanced, unbalanced_type, method, backend, tol, max_iter, init,
        callback, on_failure, mass,
    )  # fmt: skip
    return _finished(run_problem(geometry, a, b, library, options), leaves)


@documented
def solve_grid(
    a: Any,
    b: Any,
    *,
    cost: Any = "sqeuclidean",
    axes: tuple | None = None,
    reg: Any,
    reg_relative_to: str | None = None,
    unbalanced: Any = None,
    unbalanced_type: str = "kl",
    mass: float | None = None,
    method: Any = "auto",
    backend: str = "auto",
    tol: float | None = None,
    max_iter: int | None = None,
    init: Any = None,
    callback: Callable[[Progress], object] | None = None,
    on_failure: str = "warn",
) -> Solution:
    """Optimal transport between two densities on one regular grid, exact or entropic.

    Potentials and marginals have the shape of the grid; plans run in C order.

    Parameters
    ----------
    a : (n_1, ..., n_d) array >= 0
        Source weights.
    b : (n_1, ..., n_d) array >= 0
        Target weights.
    cost : str or Cost
        One that is a sum over the axes: ``"sqeuclidean"``, ``"cityblock"``, ``"dot"``; any in one dimension.
    axes : tuple of d arrays, optional
        Coordinates along each axis, ``arange`` by default.
    {common}

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> a = np.zeros((8, 8)); a[1, 1] = 1.0
    >>> b = np.zeros((8, 8)); b[4, 5] = 1.0
    >>> round(ots.solve_grid(a, b, reg=0.1).value_linear, 6)
    25.0
    """
    leaves = {"a": a, "b": b, "reg": reg}
    a, b = off_graph(a), off_graph(b)
    name = resolve({"a": a, "b": b})
    first, second = check.floating(a, "a"), check.floating(b, "b")
    if first.ndim == 0 or first.size == 0:
        raise ValueError(f"a has shape {first.shape}; expected a grid with at least one point")
    if first.shape != second.shape:
        raise ValueError(f"a has shape {first.shape} and b {second.shape}; expected one grid")
    ground = check.read_cost(cost)
    if axes is None:
        axes = tuple(np.arange(size, dtype=np.float64) for size in first.shape)
    if not isinstance(axes, (tuple, list)) or len(axes) != first.ndim:
        raise ValueError(f"axes must be a tuple of {first.ndim} coordinate arrays, one per axis of a")
    read = []
    for k, axis in enumerate(axes):
        array = check.floating(axis, f"axes[{k}]")
        if array.shape != (first.shape[k],):
            raise ValueError(f"axes[{k}] has shape {array.shape}; expected ({first.shape[k]},)")
        check.finite(array, f"axes[{k}]")
        read.append(array)
    dtype = np.result_type(first.dtype, second.dtype)
    geometry = Grid(read, ground, dtype=dtype)
    options = Options(
        off_graph(reg), reg_relative_to, unbalanced, unbalanced_type, method, backend, tol, max_iter, init,
        callback, on_failure, mass,
    )  # fmt: skip
    found = run_problem(geometry, a, b, Library(name, dtype), options, first.shape)
    return _finished(found, leaves)


def _finished(solution: Solution, leaves: dict[str, Any]) -> Solution:
    """The solution, on the autograd graph of the arguments if one of them is on one."""
    return attached("solution", solution, **leaves) if on_graph(*leaves.values()) else solution


def shared_off_graph(x: Any, y: Any, a: Any, b: Any) -> tuple:
    """`off_graph` of each; one cloud given twice stays one."""
    first = off_graph(x)
    return first, first if y is x else off_graph(y), off_graph(a), off_graph(b)


def read_clouds(
    x: Any, y: Any, a: Any, b: Any, cost: Any, arguments: tuple[str, str] = ("x", "y")
) -> tuple[PointCloud, Library]:
    """Checked point cloud geometry and the caller's library; `arguments` are what the caller calls the clouds."""
    one, other = arguments
    name = resolve({one: x, other: y, "a": a, "b": b})
    ground = check.read_cost(cost)
    first = check.points(x, one)
    second = first if y is x else check.points(y, other)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"{one} has {first.shape[1]} coordinates and {other} {second.shape[1]}; expected the same number"
        )
    dtype = np.result_type(first.dtype, second.dtype)
    first = first.astype(dtype, copy=False)
    second = first if y is x else second.astype(dtype, copy=False)
    ground.check(first, one)
    ground.check(second, other)
    return PointCloud(first, second, ground), Library(name, dtype)


def _dense_geometry(C: np.ndarray) -> DenseGeometry:
    if C.ndim != 2:
        raise ValueError(f"C has shape {C.shape}; expected (n, m)")
    if 0 in C.shape:
        raise ValueError(f"C is empty: shape {C.shape}")
    return _checked(DenseGeometry(C))


def _sparse_geometry(C: Any) -> SparseGeometry:
    if C.ndim != 2 or 0 in C.shape:
        raise ValueError(f"C has shape {C.shape}; expected (n, m) with n, m >= 1")
    if C.dtype.kind not in "iufb":
        raise TypeError(f"C has dtype {C.dtype}; expected real numbers")
    if C.nnz == 0:
        raise InfeasibleError("C stores no entry: every pair is forbidden")
    return _checked(SparseGeometry(C))


def _checked(geometry):
    """The geometry itself, once its entries are known to be legal: also those that callers build themselves."""
    if isinstance(geometry, DenseGeometry):
        _, _, infinite, illegal = geometry.extremes
        C = geometry.array
        if illegal:
            i, j = (int(k) for k in np.argwhere(np.isnan(C) | np.isneginf(C))[0])
            raise ValueError(f"C[{i}, {j}] is {C[i, j]}; expected finite costs (or +inf, which forbids a pair)")
        if infinite == C.size:
            raise InfeasibleError("every entry of C is +inf: no plan has finite cost")
    elif isinstance(geometry, PointCloud):
        for argument, z in (("x", geometry.x), ("y", geometry.y)):
            check.points(z, argument)
            geometry.cost.check(z, argument)
    elif isinstance(geometry, SparseGeometry) and not np.isfinite(geometry.matrix.data).all():
        raise ValueError("C stores entries that are not finite; leave forbidden pairs out of the pattern")
    return geometry


def _read_method(method: Any) -> Solver | str:
    if isinstance(method, Solver):
        return method
    if isinstance(method, str):
        return check.choice(method, "method", ("auto", *auto.SOLVERS))
    raise TypeError(f"method={method!r} must be a name or a solver such as ots.Sinkhorn()")


@dataclass(frozen=True)
class Options:
    """The keywords that all entry points share, as the caller gave them."""

    reg: Any
    reg_relative_to: str | None = None
    unbalanced: Any = None
    unbalanced_type: str = "kl"
    method: Any = "auto"
    backend: str = "auto"
    tol: float | None = None
    max_iter: int | None = None
    init: Any = None
    callback: Callable[[Any], object] | None = None
    on_failure: str = "warn"
    mass: Any = None


def run_problem(
    geometry: Geometry,
    a: Any,
    b: Any,
    library: Library,
    options: Options,
    grid_shape: tuple[int, ...] | None = None,
) -> Solution:
    """From a checked geometry to a `Solution`: the common part of all entry points."""
    started = time.perf_counter()
    # Words first: a typo must not cost a pass over the data.
    reg = regulariser(options.reg, options.reg_relative_to)
    method = _read_method(options.method)
    check.choice(options.on_failure, "on_failure", ("warn", "raise", "ignore"))
    engine = registry.get("numba" if options.backend == "auto" else options.backend)
    tol, max_iter = check.tolerance(options.tol, library.dtype), check.iterations(options.max_iter)
    if options.callback is not None and not callable(options.callback):
        raise TypeError(f"callback={options.callback!r} is not callable")

    problem = _build_problem(geometry, a, b, library, options, reg, engine, grid_shape)
    n, m = geometry.shape
    shapes = ((n,), (m,)) if grid_shape is None else (grid_shape, grid_shape)
    init = None if options.init is None else internal_potentials(options.init, problem, shapes)
    init_eps = options.init._init_reg if isinstance(options.init, Solution) else None
    solver, reason = auto.choose(method, problem)
    outcome = _solve_by_rows(solver, problem, engine, Control(tol, max_iter, init, options.callback, init_eps))
    outcome.method_reason = outcome.method_reason or reason

    infeasible = _why_infeasible(problem, outcome)
    if infeasible:
        outcome.status = Status.INFEASIBLE
        if options.on_failure != "ignore":
            raise InfeasibleError(infeasible)
    solution = Solution(problem, outcome, engine, library, seconds=time.perf_counter() - started, shapes=shapes)
    report([("", solution)], tol, options.on_failure)
    return solution


def _build_problem(geometry, a, b, library, options, reg, engine, grid_shape) -> Problem:
    """Weights and penalties read, masses taken out, eps in cost units."""
    check.choice(options.unbalanced_type, "unbalanced_type", ("kl", "tv"))
    pair = check.unbalanced_pair(options.unbalanced)
    if reg is None and pair is not None and pair != (math.inf, math.inf):
        raise UnsupportedError(
            f"unbalanced={options.unbalanced!r} needs a positive reg: exact transport is balanced, or has mass="
        )
    quadratic = reg is not None and not isinstance(reg, Entropic)
    if quadratic and (options.mass is not None or (pair is not None and pair != (math.inf, math.inf))):
        soft = f"mass={options.mass!r}" if options.mass is not None else f"unbalanced={options.unbalanced!r}"
        raise UnsupportedError(f"{soft} needs entropic regularisation: transport with {reg!r} is balanced")
    if options.mass is not None and pair is not None:
        raise UnsupportedError(
            f"mass={options.mass!r} and unbalanced={options.unbalanced!r}: give either the mass to be moved or "
            "the price of missing the marginals"
        )
    if not math.isfinite(geometry.spread()):
        raise ValueError(f"the costs of {geometry!r} overflow float64: divide the points by a constant")
    n, m = geometry.shape
    weights_a = check.weights(a, "a", n, grid_shape)
    weights_b = check.weights(b, "b", m, grid_shape)
    if options.mass is not None:
        masses = partial_masses(
            weights_a,
            weights_b,
            check.number(options.mass, "mass"),
            1e-6 if coarse(a, b, library) else 1e-9,
        )
        if not (masses.full_a and masses.full_b):
            return _partial_problem(geometry, masses, absolute(reg, geometry, engine))
    rho = pair or (math.inf, math.inf)
    balanced = rho == (math.inf, math.inf)
    advice = ", or pass unbalanced=rho (finite) or mass= (what is to be moved)"
    weights_a, weights_b, mass = read_masses(a, b, weights_a, weights_b, library, balanced, advice)
    penalties = make_penalty(rho[0], options.unbalanced_type), make_penalty(rho[1], options.unbalanced_type)
    _check_reach(geometry, weights_a, weights_b, penalties)
    strength = absolute(reg, geometry, engine)
    if quadratic:
        # Masses taken out: gamma / 2 |P|^2 = mass * (gamma mass) / 2 |p|^2.
        most_a = most_b = None
        if isinstance(reg, SparsityConstrained):
            most_a = reg.limits(n, m) if reg.side == "rows" else None
            most_b = reg.limits(m, n) if reg.side == "columns" else None
        term = QuadraticTerm(strength * mass, most_a, most_b)
        return Problem(geometry, weights_a, weights_b, mass, 0.0, penalties[0], penalties[1], quadratic=term)
    return Problem(geometry, weights_a, weights_b, mass, strength, *penalties, balanced=balanced)


def read_masses(
    a: Any,
    b: Any,
    weights_a: np.ndarray,
    weights_b: np.ndarray,
    library: Library,
    balanced: bool = True,
    advice: str = "",
):
    """Checked weights with their mass taken out; where balanced, with equal sums.

    Parameters
    ----------
    a, b
        As the user gave them.
    weights_a, weights_b : (n,), (m,) arrays
    library : Library
    balanced : bool
    advice : str
        What else to do about unequal masses than to rescale them.

    Returns
    -------
    weights_a, weights_b, mass
    """
    try:
        return normalise_masses(
            weights_a, weights_b, balanced=balanced, rtol=1e-3 if coarse(a, b, library) else 1e-6
        )
    except UnequalMasses as error:
        given = [name for name, w in (("a", a), ("b", b)) if w is None]
        hint = f" ({given[0]} was not given: uniform, with sum 1)" if given else ""
        raise ValueError(f"{error}{advice}{hint}") from None


def _partial_problem(geometry, masses: PartialMasses, eps: float) -> Problem:
    """A problem that leaves part of the weights of one side, or of both, where it is."""
    # Potentials are counted from where the costs are.
    capacity = Capacity(geometry.shift if isinstance(geometry, DenseGeometry) else 0.0)
    penalty_a, penalty_b = (Balanced() if full else capacity for full in (masses.full_a, masses.full_b))
    a, b, mass = masses.a, masses.b, masses.mass
    _check_reach(geometry, a, b, (penalty_a, penalty_b))
    for name, weights, cut in zip("ab", (a, b), geometry.cut_off(a, b)):
        reached = float(weights[~cut].sum())
        if reached < 1 - 1e-9:
            raise InfeasibleError(
                f"mass={mass:.9g} cannot be moved: only {mass * reached:.9g} of {name} has an allowed pair. Allow "
                "more pairs, or move less"
            )
    return Problem(geometry, a, b, mass, eps, penalty_a, penalty_b, balanced=False)


def _check_reach(geometry, a, b, penalties) -> None:
    """Raise where a hard side has a weight with nowhere to go."""
    for name, penalty, cut in zip("ab", penalties, geometry.cut_off(a, b)):
        stuck = np.flatnonzero(cut)
        if penalty.hard and stuck.size:
            i = int(stuck[0])
            line = f"C[{i}, :]" if name == "a" else f"C[:, {i}]"
            raise InfeasibleError(
                f"{name}[{i}] has weight, but {line} allows no pair with a weight of the other side: no plan has "
                "finite cost. Allow more pairs, set that weight to 0, or pass unbalanced=rho"
            )


def _solve_by_rows(solver: Solver, problem: Problem, engine, control: Control) -> Outcome:
    """Kernels stream rows: a Fortran-ordered matrix is solved as its transpose."""
    if not (isinstance(problem.geometry, DenseGeometry) and problem.geometry.transposed):
        return solver.solve(problem, engine, control)
    if control.init is not None:
        control = replace(control, init=control.init[::-1])
    outcome = solver.solve(problem.T, engine, control)
    outcome.f, outcome.g = outcome.g, outcome.f
    if outcome.plan is not None:
        outcome.plan = outcome.plan.T.tocsr()
    return outcome


def _why_infeasible(problem: Problem, outcome: Outcome) -> str:
    """Why no plan exists, where forbidden pairs may be what kept a solve from converging; else nothing."""
    if outcome.status is Status.INFEASIBLE and not outcome.diagnostics.get("fewest_entries"):
        reason = feasible_marginals(problem)[1] if problem.geometry.forbids else ""
        return reason or "the forbidden pairs leave no plan with these marginals: allow more of them"
    exact = problem.eps == 0 and problem.quadratic is None
    if exact or outcome.status in (Status.CONVERGED, Status.STOPPED_BY_CALLBACK):
        return ""
    if outcome.status is Status.PRECISION_LIMIT and outcome.error <= 1e-6:
        return ""  # without a plan the potentials run away until rounding ends it, far from the marginals
    if not (problem.fixed_total and problem.geometry.forbids):
        return ""
    return feasible_marginals(problem)[1]


def coarse(a, b, library) -> bool:
    """Whether masses were summed in single precision: then they agree only to 1e-3."""
    dtypes = [check.floating(w, name).dtype for name, w in (("a", a), ("b", b)) if library_name(w) is not None]
    return any(dtype == np.float32 for dtype in dtypes) or (not dtypes and library.dtype == np.float32)


def advice(solution: Solution) -> str:
    """What to try after a solve that failed."""
    fewest = solution.diagnostics.get("fewest_entries")
    if solution.status is not Status.INFEASIBLE or not fewest:
        return solution.status.value
    return (
        "no plan with these marginals was found that has so few entries; every plan has at least "
        f"{fewest:.0f} on some point of that side. The plan returned keeps to the limits and misses the marginals "
        "of the other side: use a larger k, or Quadratic(gamma), which has no limits"
    )


def report(solutions: list[tuple[str, Solution]], tol: float, on_failure: str) -> None:
    """Warn or raise once for solves that ended early without being asked to; names tell them apart."""
    fine = (Status.CONVERGED, Status.STOPPED_BY_CALLBACK)
    failed = [(name, solution) for name, solution in solutions if solution.status not in fine]
    if not failed or on_failure == "ignore":
        return
    message = "; ".join(
        f"{name and name + ': '}{solution.status.name} after {solution.n_iter} passes with marginal error "
        f"{solution.marginal_error:.3g} (tol = {tol:.3g}): {advice(solution)}"
        for name, solution in failed
    )
    if on_failure == "raise":
        raise ConvergenceError(message, failed[0][1])
    warnings.warn(message, ConvergenceWarning, stacklevel=stack_depth())
