"""`Solution`: everything past the potentials is computed when asked for, then kept."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from . import certificates
from .geometry import Grid, PointCloud
from .lazy import cached_property
from .namespaces import Library, host_array
from .plans.base import TransportPlan
from .plans.entropic import EntropicPlan
from .plans.quadratic import QuadraticPlan
from .plans.sparse import SparsePlan
from .problem import Problem
from .sampling import Sampled
from .status import Progress, Status
from .validation import floating, points

__all__ = ["Solution"]

#: Entries of a dense plan computed at a time.
_PLAN_BLOCK = 1 << 20


class Solution(Sampled):
    """Result of a transport solve.

    Attributes are computed on first use and cached; nothing of size n m is stored unless `plan` is read.
    Arrays come in the caller's library and dtype. What is computed later reads the caller's costs or points,
    which are not copied: do not change them in place while the solution is in use.

    Notes
    -----
    ``P_ij = a_i b_j exp((f_i + g_j - C_ij) / reg)`` with ``f = potential_a``, ``g = potential_b`` in cost
    units; exact plans are stored entry by entry, and these are their Kantorovich potentials. Balanced
    potentials are normalised to ``sum(a f) / sum(a) = sum(b g) / sum(b)``. Those of partial problems (``mass=``)
    have one upper bound on both sides, half of what moving more mass costs, and reach it where weight is left.
    """

    def __init__(
        self,
        problem: Problem,
        outcome,
        backend,
        library: Library,
        *,
        seconds: float,
        shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None,
    ):
        self._problem = problem
        self._f = outcome.f
        self._g = outcome.g
        #: Entries of the normalised plan, where they are known one by one.
        self._matrix = outcome.plan
        self._backend = backend
        self._library = library
        self._shapes = shapes or ((outcome.f.size,), (outcome.g.size,))
        #: How the solve ended; `Status.value` says what to do about it.
        self.status: Status = outcome.status
        #: Passes over the cost, all eps levels counted.
        self.n_iter: int = outcome.n_iter
        #: One `Progress` per pass that measured an error; passes that collect entries count in `n_iter` only.
        self.history: list[Progress] = outcome.history
        #: Name of the solver that ran.
        self.method: str = outcome.method
        #: Why `method` was chosen.
        self.method_reason: str = outcome.method_reason
        #: What the solver counted beside passes: Newton steps, steps of conjugate gradients, …
        self.diagnostics: dict[str, float] = outcome.diagnostics
        #: Wall time of the solve.
        self.seconds: float = seconds

    # --- what was solved ------------------------------------------------------------------------------------

    @property
    def reg(self) -> float:
        """Strength of the regularisation, cost units, after `relative_to`: eps or gamma; 0 for exact transport."""
        problem = self._problem
        return problem.eps if problem.quadratic is None else problem.quadratic.gamma / problem.mass

    @property
    def _init_reg(self) -> float:
        """The eps that the potentials are good for, as a start of another solve."""
        return self.reg

    @property
    def geometry(self):
        """The geometry of the cost, shape (n, m)."""
        return self._problem.geometry

    @property
    def backend(self) -> str:
        """Name of the backend that ran."""
        return self._backend.name

    @property
    def converged(self) -> bool:
        """Whether `status` is CONVERGED."""
        return self.status is Status.CONVERGED

    # --- potentials -----------------------------------------------------------------------------------------

    @cached_property
    def _potentials(self) -> tuple[np.ndarray, np.ndarray]:
        problem, f, g = self._problem, self._f, self._g
        if not problem.fixed_total:
            return f, g
        # P = M p and (A, B) = M (a, b): exp((f + g) / eps) loses one factor M.
        half = 0.5 * problem.eps * math.log(problem.mass)
        if problem.partial:
            top_f, top_g = float(f[problem.a > 0].max()), float(g[problem.b > 0].max())
            move = 0.5 * (top_g - top_f)
            return f + (move - half), g - (move + half)
        mean_f = _mean(problem.a, f)
        mean_g = _mean(problem.b, g)
        move = 0.5 * (mean_g - mean_f)
        return f + (move - half), g - (move + half)

    @cached_property
    def potential_a(self) -> Any:
        """(n,) potential f, cost units; finite where a weight is zero."""
        return self._library.array(self._potentials[0].reshape(self._shapes[0]).copy())

    @cached_property
    def potential_b(self) -> Any:
        """(m,) potential g, cost units; finite where a weight is zero."""
        return self._library.array(self._potentials[1].reshape(self._shapes[1]).copy())

    @property
    def potentials(self) -> tuple[Any, Any]:
        """(f, g)."""
        return self.potential_a, self.potential_b

    # --- values and certificates ------------------------------------------------------------------------------

    @cached_property
    def _plan(self) -> TransportPlan:
        if self._problem.quadratic is not None:
            return QuadraticPlan(self._problem, self._matrix, self._f, self._g, self._backend)
        if self._matrix is not None:
            return SparsePlan(self._problem, self._matrix, self._f, self._g, self._backend)
        return EntropicPlan(self._problem, self._f, self._g, self._backend, self.converged)

    @cached_property
    def _statistics(self):
        return self._plan.statistics

    @cached_property
    def _linear(self) -> float:
        return float(self._statistics.row_cost.sum())

    @cached_property
    def _value(self) -> float:
        return self._plan.value() + certificates.constant(self._problem)

    @cached_property
    def _dual(self) -> float:
        """`dual_value` without the constant of the unbalanced divergence."""
        return self._plan.dual()

    @cached_property
    def _feasible(self) -> tuple[float, float]:
        return self._plan.feasible()

    @cached_property
    def value(self) -> Any:
        """Full objective of the returned plan, regularisation and mass terms included.

        Balanced and partial: ``<P, C> + reg sum P log(P / a b')``, or with a quadratic term
        ``<P, C> + reg / 2 sum P^2``. Unbalanced:
        ``<P, C> + reg KL(P | a b') + rho_a D(P1 | a) + rho_b D(P'1 | b)``.
        """
        return self._library.scalar(self._value)

    @cached_property
    def value_linear(self) -> Any:
        """``<P, C>``."""
        return self._library.scalar(self._problem.mass * self._linear)

    @cached_property
    def dual_value(self) -> Any:
        """Dual objective of the potentials: a lower bound of the optimal value."""
        return self._library.scalar(self._dual + certificates.constant(self._problem))

    @cached_property
    def gap(self) -> Any:
        """Objective of a plan made exactly feasible, minus `dual_value`: a certificate, >= 0 up to rounding.

        ``inf`` when no feasible plan was found that avoids the forbidden pairs.
        """
        return self._library.scalar(self._feasible[0] - self._dual)

    @cached_property
    def bounds(self) -> tuple[Any, Any]:
        """(lower, upper) bounds of the *unregularised* optimum.

        Below: the dual value of the c-transform of `potential_b`. Above: the cost of the plan made
        exactly feasible. The interval shrinks with `reg`.
        """
        lower = certificates.hard_lower_bound(self._problem, self._g, self._backend)
        return self._library.scalar(lower), self._library.scalar(self._feasible[1])

    @cached_property
    def marginal_a(self) -> Any:
        """(n,) ``P1``."""
        return self._library.array((self._problem.mass * self._statistics.row_mass).reshape(self._shapes[0]))

    @cached_property
    def marginal_b(self) -> Any:
        """(m,) ``P'1``."""
        return self._library.array((self._problem.mass * self._statistics.column_mass).reshape(self._shapes[1]))

    @cached_property
    def marginal_error(self) -> float:
        """``(|P1 - a| + |P'1 - b|) / sum(a)``, L1 norms, from float64 potentials; both sides, always.

        Unbalanced: against what optimality asks, ``a exp(-f / rho_a)`` and ``b exp(-g / rho_b)`` for KL, the
        distance to the subdifferential for TV. Partial: ``|sum(P) - mass|``, what exceeds the weights, and what
        entropic plans leave at points whose potential is below the common bound, all relative to `mass`.
        """
        found = self._statistics
        return self._problem.marginal_error(self._f, self._g, found.row_mass, found.column_mass)

    # --- the plan ---------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        return self._f.size, self._g.size

    @cached_property
    def plan(self) -> Any:
        """(n, m) dense transport plan; grids run in C order. Stores n m numbers."""
        n, m = self.shape
        out = np.empty((n, m), dtype=self._library.dtype)
        step = max(1, _PLAN_BLOCK // m)
        for start in range(0, n, step):
            stop = min(n, start + step)
            out[start:stop] = self._problem.mass * self._plan.rows(start, stop)
        return self._library.array(out)

    def sparse_plan(self, mass: float = 1 - 1e-6) -> Any:
        """The largest entries of every row of the plan, as a SciPy CSR array; built blockwise.

        Parameters
        ----------
        mass : float in (0, 1]
            Share of every row's mass to keep at least.

        Returns
        -------
        (n, m) scipy.sparse.csr_array
        """
        from scipy import sparse

        if not (isinstance(mass, (int, float)) and 0 < mass <= 1):
            raise ValueError(f"mass={mass!r} must be in (0, 1]: the share of each row to keep")
        indptr, indices, data = self._plan.entries(1.0 - mass)
        data = (self._problem.mass * data).astype(self._library.dtype, copy=False)
        return sparse.csr_array((data, indices, indptr), shape=self.shape)

    @cached_property
    def plan_operator(self):
        """The plan as a SciPy ``LinearOperator`` (``@``, ``.T``) that stores nothing of size n m."""
        from scipy.sparse.linalg import LinearOperator

        return LinearOperator(
            self.shape,
            matvec=lambda v: self._product(self._plan, v),
            rmatvec=lambda v: self._product(self._plan.T, v),
            matmat=lambda v: self._product(self._plan, v),
            rmatmat=lambda v: self._product(self._plan.T, v),
            dtype=np.float64,
        )

    def _product(self, plan: TransportPlan, v: np.ndarray) -> np.ndarray:
        v = np.asarray(v, dtype=np.float64)
        out = self._problem.mass * plan.product(v[:, None] if v.ndim == 1 else v)
        return out[:, 0] if v.ndim == 1 else out

    def apply(self, v: Any) -> Any:
        """``P v`` for v of shape (m,) or (m, k), without forming P."""
        return self._library.array(self._product(self._plan, self._operand(v, "v", self.shape[1])))

    def apply_transpose(self, v: Any) -> Any:
        """``P' v`` for v of shape (n,) or (n, k), without forming P."""
        return self._library.array(self._product(self._plan.T, self._operand(v, "v", self.shape[0])))

    def pull(self, v: Any) -> Any:
        """Conditional mean of v over the targets of each source: ``sum_j P_ij v_j / sum_j P_ij``.

        Parameters
        ----------
        v : (m,) or (m, k) array

        Returns
        -------
        (n,) or (n, k) array
            Also where a weight is zero, or nothing is moved: the conditional law is known from the potentials.
        """
        return self._library.array(self._conditional(self._plan, self._operand(v, "v", self.shape[1])))

    def push(self, v: Any) -> Any:
        """Conditional mean of v over the sources of each target: ``sum_i P_ij v_i / sum_i P_ij``.

        Parameters
        ----------
        v : (n,) or (n, k) array

        Returns
        -------
        (m,) or (m, k) array
        """
        return self._library.array(self._conditional(self._plan.T, self._operand(v, "v", self.shape[0])))

    def _conditional(self, plan: TransportPlan, v: np.ndarray) -> np.ndarray:
        out = plan.conditional(v[:, None] if v.ndim == 1 else v)
        return out[:, 0] if v.ndim == 1 else out

    def _operand(self, v: Any, argument: str, size: int) -> np.ndarray:
        array = floating(v, argument)
        if array.ndim not in (1, 2) or array.shape[0] != size:
            raise ValueError(f"{argument} has shape {array.shape}; expected ({size},) or ({size}, k)")
        return array.astype(np.float64, copy=False)

    def _points(self, side: str) -> np.ndarray:
        geometry = self.geometry
        if isinstance(geometry, PointCloud):
            return geometry.x if side == "a" else geometry.y
        if isinstance(geometry, Grid):
            return geometry.points
        raise ValueError(
            "this solution comes from a cost matrix and knows no points: use pull(y) or push(x) with the points"
        )

    def barycentric_map(self, inverse: bool = False) -> Any:
        """Where each source point goes on average: (n, d) weighted means of the targets.

        Parameters
        ----------
        inverse : bool
            The (m, d) means of the sources of each target instead.

        Raises
        ------
        ValueError
            If the problem was given by a cost matrix: there are no points to average.
        """
        return self.push(self._points("a")) if inverse else self.pull(self._points("b"))

    def transport(self, x_new: Any, inverse: bool = False) -> Any:
        """Out-of-sample barycentric map: where new points go.

        Parameters
        ----------
        x_new : (k, d) array
            New source points (target points when `inverse`).
        inverse : bool

        Returns
        -------
        (k, d) array
            ``sum_j w_j y_j`` with ``w_j`` proportional to ``b_j exp((g_j - c(x_new, y_j)) / reg)``: for the
            squared Euclidean cost the entropic map of [pooladian:21]_. Equals `barycentric_map` at the
            sample points.
        """
        argument = "x_new"
        new = points(x_new, argument)
        known, targets = self._points("b" if inverse else "a"), self._points("a" if inverse else "b")
        if new.shape[1] != targets.shape[1]:
            raise ValueError(f"{argument} has {new.shape[1]} coordinates; the samples have {known.shape[1]}")
        geometry = self.geometry
        assert isinstance(geometry, PointCloud | Grid)  # it has points
        cost = geometry.cost.swapped() if inverse else geometry.cost
        cost.check(new, argument)
        cloud = PointCloud(new.astype(targets.dtype, copy=False), np.asarray(targets), cost)
        plan = self._plan.T if inverse else self._plan
        return self._library.array(plan.extrapolated(cloud, np.asarray(targets, dtype=np.float64)))

    def match(self, inverse: bool = False) -> Any:
        """(n,) index of the most likely target of each source; (m,) of each target when `inverse`."""
        return self._library.array((self._plan.T if inverse else self._plan).largest())

    def sample(self, n: int, seed=None) -> tuple[Any, Any]:
        """Draw pairs from the plan, with replacement.

        Parameters
        ----------
        n : int >= 1
            Number of pairs.
        seed : None, int or numpy.random.Generator

        Returns
        -------
        i, j : (n,) int64 arrays
            Row and column of each pair; equal seeds give equal pairs.
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(f"n={n!r} must be a positive integer")
        generator = np.random.default_rng(seed)
        total = np.cumsum(self._statistics.row_mass)
        rows = np.searchsorted(total, generator.random(n) * total[-1], side="right").clip(max=total.size - 1)
        order = np.argsort(rows, kind="stable")
        uniforms = generator.random(n)
        columns = np.empty(n, dtype=np.int64)
        m = self.shape[1]
        step = max(1, _PLAN_BLOCK // m)
        at = 0
        while at < n:
            start = int(rows[order[at]])
            stop = min(self.shape[0], start + step)
            end = at + int(np.searchsorted(rows[order[at:]], stop))
            # Only the span of rows that were drawn: sparse draws from a large plan stay cheap.
            block = np.cumsum(self._plan.rows(start, int(rows[order[end - 1]]) + 1), axis=1)
            drawn, first = np.unique(rows[order[at:end]], return_index=True)
            for row, picks in zip(drawn, np.split(order[at:end], first[1:])):
                line = block[row - start]
                found = np.searchsorted(line, uniforms[picks] * line[-1], side="right")
                columns[picks] = np.minimum(found, m - 1)
            at = end
        return self._library.array(rows.astype(np.int64)), self._library.array(columns)

    # --- presentation -----------------------------------------------------------------------------------------

    def plot(self, axes=None):
        """Picture of the plan and of the convergence (needs matplotlib).

        Parameters
        ----------
        axes : pair of matplotlib axes, optional

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .pictures import plot_solution

        return plot_solution(self, axes)

    @property
    def T(self) -> Solution:
        """The same solution with the two sides exchanged."""
        other = object.__new__(Solution)
        other.__dict__.update(
            {k: v for k, v in self.__dict__.items() if k not in _cached_names()},
            _problem=self._problem.T,
            _f=self._g,
            _g=self._f,
            _matrix=None if self._matrix is None else self._matrix.T.tocsr(),
            _shapes=self._shapes[::-1],
        )
        return other

    def __float__(self) -> float:
        return float(self._value)

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k not in _cached_names()}

    def __repr__(self) -> str:
        n, m = self.shape
        problem = self._problem
        kind = self._kind
        what = "balanced" if problem.balanced else "partial" if problem.partial else "unbalanced"
        parts = f"   (reg = {self.reg:.6g}, <P, C> = {self._problem.mass * self._linear:.10g})"
        ended = self.status.value if self.reg or not self.converged else "no pair can improve the plan"
        if self.status is Status.INFEASIBLE and problem.quadratic is not None:
            ended = "no plan with these marginals and so few entries was found: use a larger k"
        lines = [
            f"Solution of a {n} x {m} {what} {kind} transport problem",
            f"  value           {float(self):.10g}{parts if self.reg else ''}",
            *self._moved(),
            *self._entries(),
            f"  marginal error  {self.marginal_error:.3g}",
            f"  status          {self.status.name}: {ended}",
            f"  method          {self.method} on {self.backend}, {self.n_iter} passes, {self.seconds:.3g} s",
        ]
        if self.method_reason:
            lines.append(f"                  {self.method_reason}")
        lines.append("  more            .gap .bounds .potentials .plan .sparse_plan() .barycentric_map() .plot()")
        return "\n".join(lines)

    @property
    def _kind(self) -> str:
        return "quadratic" if self._problem.quadratic else "entropic" if self.reg else "exact"

    def _entries(self) -> list[str]:
        """How sparse a quadratic plan is, for people."""
        if self._problem.quadratic is None:
            return []
        rows, columns = (int(np.diff(matrix.indptr).max()) for matrix in (self._matrix, self._matrix.tocsc()))
        return [f"  entries         {self._matrix.nnz}, at most {rows} in a row and {columns} in a column"]

    def _moved(self) -> list[str]:
        """What part of the mass a partial plan moves, for people."""
        problem = self._problem
        if not problem.partial:
            return []
        moved = problem.mass * float(self._statistics.row_mass.sum())
        totals = (problem.mass * float(w.sum()) for w in (problem.a, problem.b))
        return ["  mass moved      {:.6g} of {:.6g} and {:.6g}".format(moved, *totals)]


@functools.cache
def _cached_names() -> frozenset[str]:
    return frozenset(k for k, v in vars(Solution).items() if isinstance(v, cached_property))


def _mean(weights, values) -> float:
    live = weights > 0
    return float(weights[live] @ values[live]) / float(weights.sum())


def internal_potentials(init: Any, problem: Problem, shapes) -> tuple[np.ndarray, np.ndarray]:
    """`init` (a `Solution` or potentials (f, g)) in the normalised units of `problem`.

    Raises
    ------
    TypeError, ValueError
        For anything else, wrong shapes, or entries that are not finite.
    """
    if isinstance(init, Solution):
        f, g = init._potentials
    elif isinstance(init, (tuple, list)) and len(init) == 2:
        pair = []
        for value, name, shape in zip(init, ("init[0]", "init[1]"), shapes):
            array = host_array(value, name)
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}; expected {shape}")
            pair.append(floating(value, name).astype(np.float64).reshape(-1))
        f, g = pair
    else:
        raise TypeError(f"init={type(init).__name__} must be a Solution or a pair of potentials (f, g)")
    if f.shape != problem.a.shape or g.shape != problem.b.shape:
        raise ValueError(
            f"init has potentials of sizes {f.size}, {g.size}; the problem has {problem.a.size}, {problem.b.size}"
        )
    for name, array in (("init[0]", f), ("init[1]", g)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has entries that are not finite")
    if not problem.fixed_total:
        return f, g
    half = 0.5 * problem.eps * math.log(problem.mass)
    return f + half, g + half
