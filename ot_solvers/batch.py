"""Many transport problems in one call.

Small problems run inside compiled kernels, one after another on every thread; there is no Python per problem.
Problems that a kernel does not take, or leaves unfinished, are solved one by one as `solve` does.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from . import validation as check
from .api import Options, _read_method, advice, run_problem, shared_off_graph
from .autograd import attached, off_graph, on_graph
from .backends import registry
from .backends.base import CONVERGED, ILLEGAL, MAX_ITER, UNFINISHED
from .batch_input import Weights, read_clouds, read_costs, read_regularisers, read_weights
from .batch_solution import ALONE, ENTROPIC, EXACT, BatchSolution, Entries, Solved
from .errors import ConvergenceError, ConvergenceWarning, InfeasibleError, UnsupportedError, stack_depth
from .geometry.stack import DenseStack, Stack
from .namespaces import Library
from .penalties import Penalty, make_penalty
from .plans.stack import GibbsStack
from .problem import UnequalMasses
from .regularisers import Entropic
from .result import Solution
from .solvers.base import is_true
from .solvers.exact import Assignment, Simplex
from .solvers.exact.choice import ALL_PAIRS
from .solvers.sinkhorn import Sinkhorn
from .status import Status

__all__ = ["BatchProgress", "solve_batch", "solve_sample_batch"]

#: Pairs up to which an entropic problem is solved inside one kernel call.
SMALL_PAIRS = 1 << 17
#: Problems, and pairs of theirs, between two looks at the callback.
PORTION, PORTION_PAIRS = 256, 1 << 20
_STATUS = {CONVERGED: Status.CONVERGED, MAX_ITER: Status.MAX_ITER}

_COMMON = """
    reg : None, float, Entropic, Quadratic or SparsityConstrained; or a sequence or array of B of them
        Regularisation, cost units; one for all problems or one for each. ``None`` and 0 ask for exact transport.
    reg_relative_to : {None, "mean", "max"}
        Multiply `reg` by that statistic of each problem's own cost.
    unbalanced : None, float or (float, float)
        Price ``rho`` of missing the marginals, cost units, of all problems; ``inf`` keeps that side hard.
    unbalanced_type : {"kl", "tv"}
    method : str or Solver
        See `solve`. ``"auto"`` and ``"sinkhorn"`` run small entropic problems inside one kernel, ``"auto"`` exact
        ones too; any other method solves one problem after another.
    backend : {"auto", "numba", "reference"}
    tol : float, optional
        Stop a problem when its own marginal error, both sides, is below it; default 1e-6 in float64 and 1e-4 in
        float32.
    max_iter : int, optional
        Passes over the cost of each problem; the method chooses by default.
    init : BatchSolution or (f, g), optional
        Warm start: a solution of as many problems of these sizes, or stacked potentials.
    callback : callable, optional
        Called with a `BatchProgress` after every few hundred problems; returning True stops early: the others
        get one pass each and the status STOPPED_BY_CALLBACK.
    on_failure : {"warn", "raise", "ignore"}
        What to do when `tol` was not reached for some problems: one warning, or one error with the solution, that
        names them.

    Returns
    -------
    BatchSolution

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument and the problem; `InfeasibleError` where forbidden pairs leave a point
        nowhere to go.
    ConvergenceError
        With ``on_failure="raise"``."""


class BatchProgress(NamedTuple):
    """How far a batch is."""

    done: int  # problems
    total: int
    seconds: float


def _documented(function):
    if function.__doc__ is not None:  # not with python -OO
        function.__doc__ = function.__doc__.replace("\n    {common}", _COMMON)
    return function


@_documented
def solve_batch(
    C: Any,
    a: Any = None,
    b: Any = None,
    *,
    reg: Any,
    reg_relative_to: str | None = None,
    unbalanced: Any = None,
    unbalanced_type: str = "kl",
    method: Any = "auto",
    backend: str = "auto",
    tol: float | None = None,
    max_iter: int | None = None,
    init: Any = None,
    callback: Callable[[BatchProgress], object] | None = None,
    on_failure: str = "warn",
) -> BatchSolution:
    """Optimal transport for many cost matrices, or for many weights on one matrix.

    Parameters
    ----------
    C : (B, n, m) array, list of B matrices, or one (n, m) array
        Costs; sizes of the matrices in a list may differ. One matrix is shared by all problems, whose number `a`,
        `b` or `reg` then says. ``+inf`` forbids a pair.
    a : (n,) or (B, n) array >= 0, or list of B vectors, optional
        Source weights, shared or of each problem; uniform with sum 1 by default.
    b : (m,) or (B, m) array >= 0, or list of B vectors, optional
        Target weights.
    {common}

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> C = np.random.default_rng(0).random((100, 16, 16))
    >>> solution = ots.solve_batch(C, reg=0.05)
    >>> solution.plan.shape, bool(solution.converged.all())
    ((100, 16, 16), True)
    """
    started = time.perf_counter()
    leaves = {"C": C, "a": a, "b": b, "reg": reg}
    C, a, b, reg = (off_graph(leaf) for leaf in leaves.values())
    stack, library = read_costs(C, a, b, reg)
    options = Options(
        reg, reg_relative_to, unbalanced, unbalanced_type, method, backend, tol, max_iter, init, callback,
        on_failure,
    )  # fmt: skip
    found = _Batch(stack, a, b, library, options, started).solution()
    return attached("batch", found, **leaves) if on_graph(*leaves.values()) else found


@_documented
def solve_sample_batch(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    cost: Any = "sqeuclidean",
    reg: Any,
    reg_relative_to: str | None = None,
    unbalanced: Any = None,
    unbalanced_type: str = "kl",
    method: Any = "auto",
    backend: str = "auto",
    tol: float | None = None,
    max_iter: int | None = None,
    init: Any = None,
    callback: Callable[[BatchProgress], object] | None = None,
    on_failure: str = "warn",
) -> BatchSolution:
    """Optimal transport between many pairs of point clouds.

    Parameters
    ----------
    x : (B, n, d) array, or list of B (n_k, d) arrays
        Source points.
    y : (B, m, d) array, or list of B (m_k, d) arrays
        Target points.
    a : (n,) or (B, n) array >= 0, or list of B vectors, optional
        Source weights, shared or of each problem; uniform with sum 1 by default.
    b : (m,) or (B, m) array >= 0, or list of B vectors, optional
        Target weights.
    cost : str or Cost
        See `solve_sample`.
    {common}

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> x = np.random.default_rng(0).normal(size=(100, 16, 3))
    >>> solution = ots.solve_sample_batch(x, x + 1.0, reg=None)
    >>> bool(np.allclose(solution.value, 3.0))
    True
    """
    started = time.perf_counter()
    leaves = {"x": x, "y": y, "a": a, "b": b, "reg": reg}
    (x, y, a, b), reg = shared_off_graph(x, y, a, b), off_graph(reg)
    stack, library = read_clouds(x, y, a, b, cost)
    options = Options(
        reg, reg_relative_to, unbalanced, unbalanced_type, method, backend, tol, max_iter, init, callback,
        on_failure,
    )  # fmt: skip
    found = _Batch(stack, a, b, library, options, started).solution()
    return attached("batch", found, **leaves) if on_graph(*leaves.values()) else found


class _Batch:
    """One call: checked input, and what has been found so far."""

    def __init__(self, stack: Stack, a: Any, b: Any, library: Library, options: Options, started: float):
        self.stack, self.library, self.options, self.started = stack, library, options, started
        size = len(stack)
        self.method = _read_method(options.method)
        check.choice(options.on_failure, "on_failure", ("warn", "raise", "ignore"))
        check.choice(options.unbalanced_type, "unbalanced_type", ("kl", "tv"))
        self.engine = registry.get("numba" if options.backend == "auto" else options.backend)
        self.tol, self.max_iter = check.tolerance(options.tol, library.dtype), check.iterations(options.max_iter)
        if options.callback is not None and not callable(options.callback):
            raise TypeError(f"callback={options.callback!r} is not callable")
        self.regs = read_regularisers(options.reg, options.reg_relative_to, size)
        self._read_penalties()
        coarse = _coarse(a, b, library)
        self._normalise(
            read_weights(a, "a", stack.n, "n"),
            read_weights(b, "b", stack.m, "m"),
            (a, b),
            1e-3 if coarse else 1e-6,
        )
        f_starts, g_starts = np.cumsum(stack.n) - stack.n, np.cumsum(stack.m) - stack.m
        self.warm = np.zeros(size)  # eps at which a warm start begins
        self.cold = np.ones(size, dtype=bool)
        f, g = self._start(options.init, int(stack.n.sum()), int(stack.m.sum()))
        log_mass = np.zeros(size) if self.balanced else np.log(self.mass)
        self.plans = GibbsStack(
            stack, self.a.flat, self.b.flat, self.a.starts, self.b.starts, f, g, f_starts, g_starts,
            self._strengths(), log_mass,
        )  # fmt: skip
        self.kinds = np.full(size, ALONE)
        self.status = np.full(size, Status.STOPPED_BY_CALLBACK, dtype=object)
        self.passes = np.zeros(size, dtype=np.int64)
        self.errors = np.zeros(size)
        self.alone: dict[int, Solution] = {}
        self.entries: Entries | None = None
        self.stopped = False
        self.done = 0

    # --- reading ----------------------------------------------------------------------------------------------

    def _read_penalties(self) -> None:
        pair = check.unbalanced_pair(self.options.unbalanced) or (math.inf, math.inf)
        self.balanced = pair == (math.inf, math.inf)
        if not self.balanced and any(not isinstance(reg, Entropic) for reg in self.regs):
            raise UnsupportedError(
                f"unbalanced={self.options.unbalanced!r} needs a positive entropic reg for every problem"
            )
        kind = self.options.unbalanced_type
        self.penalties: tuple[Penalty, Penalty] = make_penalty(pair[0], kind), make_penalty(pair[1], kind)

    def _normalise(self, a: Weights, b: Weights, given: tuple[Any, Any], rtol: float) -> None:
        stack = self.stack
        if self.balanced:
            wrong = np.abs(a.totals - b.totals) > rtol * np.maximum(a.totals, b.totals)
            if wrong.any():
                k = int(np.argmax(wrong))
                missing = [name for name, value in zip("ab", given) if value is None]
                hint = f" ({missing[0]} was not given: uniform, with sum 1)" if missing else ""
                raise UnequalMasses(
                    f"total masses differ in problem {k}: sum(a[{k}])={a.totals[k]:.9g}, "
                    f"sum(b[{k}])={b.totals[k]:.9g}. Balanced transport needs equal masses: rescale one side, or "
                    f"pass unbalanced=rho (finite){hint}"
                )
            self.mass = a.totals
            self.a, self.b = a.divided(stack.n, a.totals), b.divided(stack.m, b.totals)
        else:
            self.mass = np.sqrt(a.totals) * np.sqrt(b.totals)
            self.a, self.b = a.divided(stack.n, self.mass), b.divided(stack.m, self.mass)

    def _strengths(self) -> np.ndarray:
        """(B,) eps in cost units; 0 for problems without entropy."""
        first = self.regs[0]
        if all(reg is first for reg in self.regs):
            eps = np.full(len(self.stack), first.eps if isinstance(first, Entropic) else 0.0)
            words = {first.relative_to} if isinstance(first, Entropic) else {None}
        else:
            eps = np.array([reg.eps if isinstance(reg, Entropic) else 0.0 for reg in self.regs])
            words = {reg.relative_to for reg in self.regs if isinstance(reg, Entropic)}
        if words <= {None}:
            return eps
        found = self.engine.stack_statistics(self.stack)
        if (found[:, 3] < 0).any():
            self._raise_illegal(int(np.argmax(found[:, 3] < 0)))
        for k, reg in enumerate(self.regs):
            if isinstance(reg, Entropic) and reg.relative_to is not None:
                unit = found[k, 2] if reg.relative_to == "mean" else found[k, 1]
                if not (math.isfinite(unit) and unit > 0):
                    raise ValueError(
                        f"reg_relative_to={reg.relative_to!r}: the {reg.relative_to} of the cost of problem {k} "
                        f"is {unit:g}, not positive; give reg in cost units"
                    )
                eps[k] *= unit
        return eps

    def _start(self, init: Any, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Flat potentials to start from, in normalised units."""
        if init is None:
            return np.zeros(rows), np.zeros(columns)
        stack = self.stack
        if isinstance(init, BatchSolution):
            if init.shapes != list(zip(stack.n.tolist(), stack.m.tolist())):
                raise ValueError(f"init is a solution of {len(init)} problems of other sizes than these")
            f, g = (potential.copy() for potential in init._potentials)
            self.warm = np.asarray(init.reg, dtype=np.float64)
        elif isinstance(init, (tuple, list)) and len(init) == 2:
            f, g = (
                _flat_potentials(value, name, sizes)
                for value, name, sizes in ((init[0], "init[0]", stack.n), (init[1], "init[1]", stack.m))
            )
        else:
            raise TypeError(f"init={type(init).__name__} must be a BatchSolution or a pair of potentials (f, g)")
        self.cold[:] = False
        self.warm_potentials = f, g
        return f, g

    # --- solving ----------------------------------------------------------------------------------------------

    def solution(self) -> BatchSolution:
        """Solve all problems."""
        eps, pairs = self.plans.eps, self.stack.n * self.stack.m
        if self.balanced and not self.cold.all():
            shift = 0.5 * eps * np.log(self.mass)
            self.plans.f[:] += np.repeat(shift, self.stack.n)
            self.plans.g[:] += np.repeat(shift, self.stack.m)
        entropic = np.zeros(len(self.stack), dtype=bool)
        if self.method in ("auto", "sinkhorn", Sinkhorn()):
            entropic = (eps > 0) & (pairs <= SMALL_PAIRS)
        exact = np.zeros(len(self.stack), dtype=bool)
        if self.method == "auto":
            none = self.regs[0] is None if self._one_reg else np.array([reg is None for reg in self.regs])
            exact = none & (pairs <= ALL_PAIRS)
        numbers = np.flatnonzero(entropic)
        for some in self._portions(numbers, pairs):
            self._solve_entropic(some)
        for some in self._portions(np.flatnonzero(exact), pairs):
            self._solve_exact(some)
        for k in np.flatnonzero(~(entropic | exact)):
            self._solve_alone(int(k), self._init_of(int(k)))
            self._tell(1)
        return self._end()

    @property
    def _one_reg(self) -> bool:
        return all(reg is self.regs[0] for reg in self.regs)

    def _portions(self, numbers: np.ndarray, pairs: np.ndarray) -> Iterator[np.ndarray]:
        """Parts after each of which the callback is asked; all at once without one."""
        if not numbers.size:
            return
        if self.options.callback is None:
            yield numbers
            return
        done = np.cumsum(pairs[numbers])
        start = 0
        while start < numbers.size:
            before = done[start - 1] if start else 0
            stop = int(np.searchsorted(done, before + PORTION_PAIRS, "right"))
            stop = max(start + 1, min(start + PORTION, stop))
            yield numbers[start:stop]
            self._tell(stop - start)
            start = stop

    def _tell(self, more: int) -> None:
        self.done += more
        callback = self.options.callback
        if callback is None or self.stopped:
            return
        progress = BatchProgress(self.done, len(self.stack), time.perf_counter() - self.started)
        self.stopped = is_true(callback(progress))

    def _solve_entropic(self, numbers: np.ndarray) -> None:
        everything = numbers.size == len(self.stack)
        plans = self.plans if everything else self.plans.part(numbers)
        most = 1 if self.stopped else (self.max_iter or Sinkhorn.default_max_iter)
        # The level that a warm start belongs to is done.
        start = np.where(self.cold[numbers], math.inf, 0.5 * self.warm[numbers])
        sums = np.ones(numbers.size) if self.balanced else self.a.totals[numbers]
        found = self.engine.solve_batch(plans, start, self.tol * sums, self.penalties, most)
        if (found.codes == ILLEGAL).any():
            self._raise_illegal(int(numbers[np.argmax(found.codes == ILLEGAL)]))
        self.kinds[numbers] = ENTROPIC
        self.passes[numbers], self.errors[numbers] = found.passes, found.errors / sums
        if (found.codes == CONVERGED).all():
            self.status[numbers] = Status.CONVERGED
            return
        for code, status in _STATUS.items():
            self.status[numbers[found.codes == code]] = status
        if self.stopped:
            self.status[numbers[found.codes == MAX_ITER]] = Status.STOPPED_BY_CALLBACK
        for k, passes in zip(numbers[found.codes == UNFINISHED], found.passes[found.codes == UNFINISHED]):
            self._solve_alone(int(k), self._reached(int(k)) if passes else self._init_of(int(k)), int(passes))

    def _solve_exact(self, numbers: np.ndarray) -> None:
        found = None
        if not self.stopped and (self.max_iter is None or self.max_iter > 1):
            everything = numbers.size == len(self.stack)
            found = self.engine.exact_batch(self.plans if everything else self.plans.part(numbers))
        if found is None:
            for k in numbers:
                self._solve_alone(int(k), self._init_of(int(k)))
            return
        if (found.codes == ILLEGAL).any():
            self._raise_illegal(int(numbers[np.argmax(found.codes == ILLEGAL)]))
        self._keep_entries(numbers, found)
        fine = numbers[found.codes == CONVERGED]
        self.kinds[fine], self.status[fine], self.passes[fine] = EXACT, Status.CONVERGED, 1
        for k in numbers[found.codes != CONVERGED]:
            self._solve_alone(int(k), None)

    def _keep_entries(self, numbers: np.ndarray, found) -> None:
        size = len(self.stack)
        if self.entries is None:
            zeros = np.zeros(size, dtype=np.int64)
            self.entries = Entries(
                zeros, zeros.copy(), *(np.zeros(0, dtype=t) for t in (np.int64, np.int64, float))
            )
        kept = self.entries
        kept.starts[numbers] = found.starts + kept.rows.size
        kept.counts[numbers] = found.counts
        self.entries = kept._replace(
            rows=np.concatenate([kept.rows, found.rows]),
            columns=np.concatenate([kept.columns, found.columns]),
            masses=np.concatenate([kept.masses, found.masses]),
        )

    def _reached(self, k: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Potentials that a kernel has left, in the caller's units; None where they are no start."""
        f, g = self.plans.potentials(k)
        if not (np.isfinite(f).all() and np.isfinite(g).all()):
            return None
        half = 0.5 * float(self.plans.eps[k]) * math.log(self.mass[k]) if self.balanced else 0.0
        return f - half, g - half

    def _init_of(self, k: int) -> tuple[np.ndarray, np.ndarray] | Solution | None:
        if self.options.init is None:
            return None
        if isinstance(self.options.init, BatchSolution):
            return self.options.init[k]
        return self._reached(k)

    def _solve_alone(self, k: int, init: Any, passes: int = 0) -> None:
        """One problem as `solve` does; `passes` were made before."""
        options, stack = self.options, self.stack
        a, b = self.plans.weights(k)
        mass, reg = float(self.mass[k]), self.regs[k]
        if isinstance(reg, Entropic):
            reg = Entropic(float(self.plans.eps[k]))
        if isinstance(stack, DenseStack):
            self._check_costs(k)
        left = None if self.max_iter is None else max(1, self.max_iter - passes)
        one = Options(
            reg,
            None,
            options.unbalanced,
            options.unbalanced_type,
            self.method,
            options.backend,
            self.tol,
            left,
            init,
            (lambda progress: True) if self.stopped else None,
            "ignore",
        )
        try:
            solution = run_problem(stack.geometry(k), mass * a, mass * b, self.library, one)
        except (ValueError, TypeError) as error:
            raise type(error)(f"problem {k}: {error}") from None
        solution.n_iter += passes
        self.alone[k] = solution
        self.kinds[k] = ALONE
        self.status[k], self.passes[k] = solution.status, solution.n_iter
        self.errors[k] = solution.marginal_error
        _, _, rows, columns = self.plans.slices(k)
        self.plans.f[rows], self.plans.g[columns] = solution._f, solution._g

    def _check_costs(self, k: int) -> None:
        assert isinstance(self.stack, DenseStack)
        C = self.stack.matrix(k)
        if not (-np.inf < C).all():
            self._raise_illegal(k)
        if not (np.inf > C).any():
            raise InfeasibleError(f"every entry of C[{k}] is +inf: no plan has finite cost")

    def _raise_illegal(self, k: int) -> None:
        """Name the first cost of problem k that is none."""
        C = self.stack.geometry(k).block(0, int(self.stack.n[k]))
        i, j = (int(place) for place in np.argwhere(~(-np.inf < C))[0])
        if isinstance(self.stack, DenseStack):
            raise ValueError(
                f"C[{k}, {i}, {j}] is {C[i, j]}; expected finite costs (or +inf, which forbids a pair)"
            )
        raise ValueError(
            f"the cost between x[{k}][{i}] and y[{k}][{j}] overflows: divide the points by a constant"
        )

    # --- the end ----------------------------------------------------------------------------------------------

    def _end(self) -> BatchSolution:
        names = {solution.method for solution in self.alone.values()}
        kinds = set(self.kinds.tolist())
        if ENTROPIC in kinds:
            names.add("sinkhorn")
        if EXACT in kinds:
            names |= {Assignment.name if _square(self.plans) else Simplex.name}
        method = ", ".join(sorted(names))
        reason = f"one of {len(self.stack)} small problems, solved inside one kernel call"
        solved = Solved(
            self.plans,
            self.mass,
            self.penalties,
            self.balanced,
            self.kinds,
            self.entries,
            self.alone,
            self.status,
            self.passes,
            self.errors,
            method,
            reason,
            time.perf_counter() - self.started,
        )
        solution = BatchSolution(solved, self.engine, self.library)
        self._report(solution)
        return solution

    def _report(self, solution: BatchSolution) -> None:
        """Warn or raise once for problems that ended early without being asked to."""
        if self.options.on_failure == "ignore":
            return
        fine = (self.status == Status.CONVERGED) | (self.status == Status.STOPPED_BY_CALLBACK)
        failed = np.flatnonzero(~fine)
        if not failed.size:
            return
        worst = int(failed[np.argmax(self.errors[failed])])
        named = ", ".join(str(int(k)) for k in failed[:10]) + (", …" if failed.size > 10 else "")
        words = advice(self.alone[worst]) if worst in self.alone else self.status[worst].value
        message = (
            f"{failed.size} of {len(self.stack)} problems did not reach tol = {self.tol:.3g}: {named}. The worst "
            f"is {worst}: {self.status[worst].name} after {self.passes[worst]} passes with marginal error "
            f"{self.errors[worst]:.3g}: {words}"
        )
        if self.options.on_failure == "raise":
            raise ConvergenceError(message, solution)
        warnings.warn(message, ConvergenceWarning, stacklevel=stack_depth())


def _square(plans: GibbsStack) -> bool:
    """Whether the problems are assignments, as far as their sizes and shared weights tell."""
    same = bool((plans.stack.n == plans.stack.m).all())
    return same and all(np.ptp(weights) == 0 for weights in (plans.a, plans.b))


def _coarse(a: Any, b: Any, library: Library) -> bool:
    """Whether masses were summed in single precision: then they agree only to 1e-3."""
    dtypes = []
    for value in (a, b):
        one = value[0] if isinstance(value, (list, tuple)) and len(value) else value
        if one is not None and hasattr(one, "dtype"):
            dtypes.append(str(one.dtype).rsplit(".", 1)[-1])
    return any(name in ("float32", "float16", "bfloat16") for name in dtypes) or (
        not dtypes and library.dtype == np.float32
    )


def _flat_potentials(value: Any, name: str, sizes: np.ndarray) -> np.ndarray:
    """Stacked potentials, or a list of them, one after another."""
    if isinstance(value, (list, tuple)):
        arrays = [check.floating(item, f"{name}[{k}]") for k, item in enumerate(value)]
        if [array.shape for array in arrays] != [(int(size),) for size in sizes]:
            raise ValueError(f"{name} holds vectors of other sizes than the problems")
        flat = np.concatenate([array.astype(np.float64) for array in arrays])
    else:
        array = check.floating(value, name)
        expected = (sizes.size, int(sizes[0]))
        if not (sizes == sizes[0]).all() or array.shape != expected:
            raise ValueError(f"{name} has shape {array.shape}; expected {expected}, or a list where sizes differ")
        flat = array.astype(np.float64).reshape(-1)
    if not np.isfinite(flat).all():
        raise ValueError(f"{name} has entries that are not finite")
    return flat
