"""The contract between solvers and backends: a few O(nm) reductions over a geometry.

`softmin` is the only abstract primitive. Every other one has a blockwise default in plain array API
arithmetic (`blockwise`), so a new backend works after one method and becomes fast method by method;
a default that runs on a backend which meant to be fast says so with a `PerformanceWarning`.

All reductions run over the second index; the other side is ``geometry.T`` or ``plan.T``, a view. Vectors
that enter and leave are NumPy float64 (potentials, masses, values live on the host side of a solve).
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from ..errors import PerformanceWarning
from ..geometry.base import Geometry
from ..geometry.stack import Stack
from ..penalties import Penalty
from ..plans.gibbs import GibbsPlan
from ..plans.stack import GibbsStack
from . import blockwise
from .line_primitives import LinePrimitives
from .sparse_factor import SparseBipartite

__all__ = [
    "CONVERGED",
    "ILLEGAL",
    "MAX_ITER",
    "PRIMITIVES",
    "UNFINISHED",
    "Backend",
    "BatchOutcome",
    "CostStatistics",
    "ExactBatch",
    "PlanStatistics",
    "Projection",
    "SweptEntries",
]

#: How a problem of a batch ended; ILLEGAL: some cost is NaN or ``-inf``.
CONVERGED, MAX_ITER, UNFINISHED, ILLEGAL = range(4)

#: Names of the primitives, in the order of the documentation.
PRIMITIVES = (
    "softmin",
    "sweep",
    "sweep_entries",
    "absorb",
    "hardmin",
    "cost_statistics",
    "transport",
    "plan_statistics",
    "rounded_objective",
    "plan_rows",
    "plan_pattern",
    "sparsify",
    "top_k",
    "project",
    "pair_costs",
    "cost_gradient",
    "solve_small",
    "solve_batch",
)


class CostStatistics(NamedTuple):
    """Unweighted statistics over the finite pairs of a cost matrix."""

    minimum: float
    maximum: float
    mean: float
    pairs: int


class PlanStatistics(NamedTuple):
    """One pass over a plan."""

    row_mass: np.ndarray  # (n,) P1
    column_mass: np.ndarray  # (m,) P'1
    row_cost: np.ndarray  # (n,) sum_j P_ij C_ij


class Projection(NamedTuple):
    """One pass over a quadratic plan."""

    f: np.ndarray  # (n,) cost units
    row_count: np.ndarray  # (n,) int, entries
    row_square: np.ndarray  # (n,) sum_j P_ij^2
    column_mass: np.ndarray  # (m,) P'1
    indices: np.ndarray  # entries of the rows, in order of index, as many as there was room for
    masses: np.ndarray


class SweptEntries(NamedTuple):
    """A sweep and the entries of the plan it leaves."""

    f: np.ndarray  # (n,) as of `Backend.sweep`
    column_mass: np.ndarray  # (m,) likewise
    pattern: tuple | None  # as of `Backend.plan_pattern`
    passes: int  # reads of the cost


class BatchOutcome(NamedTuple):
    """How the problems of a batch ended."""

    codes: np.ndarray  # (K,) int: CONVERGED, MAX_ITER, UNFINISHED or ILLEGAL
    passes: np.ndarray  # (K,) int, passes over the cost
    errors: np.ndarray  # (K,) marginal error, mass units


class ExactBatch(NamedTuple):
    """Exact plans of a batch, entry by entry."""

    codes: np.ndarray  # (K,) int: CONVERGED, UNFINISHED or ILLEGAL
    starts: np.ndarray  # (K,) int, where the entries of each problem begin
    counts: np.ndarray  # (K,) int, how many there are
    rows: np.ndarray  # flat int arrays
    columns: np.ndarray
    masses: np.ndarray


class Backend(LinePrimitives):
    """Where reductions run. Subclasses override primitives with fast versions for the geometries they know."""

    name = "generic"
    #: Blockwise defaults are the point of this backend, not a fallback worth a warning.
    quiet = False

    def primitives(self, geometry_kind: str) -> frozenset[str]:
        """Primitives that run at full speed on this kind of geometry."""
        raise NotImplementedError

    def pass_seconds(self, geometry: Geometry, entries: bool = False) -> float:
        """Rough time of one pass over the cost: what solvers weigh other work against.

        `entries` says that the pass looks at single pairs, not at sums that may separate.
        """
        n, m = geometry.shape
        return 1e-4 + 1e-8 * n * m * geometry.depth

    def softmin(self, geometry: Geometry, h: np.ndarray, eps: float) -> np.ndarray:
        """Soft minimum of ``C_ij - eps * h_j`` over the second index.

        Parameters
        ----------
        geometry : Geometry, shape (n, m)
        h : (m,) array, dimensionless
            Log-weights plus scaled potential, ``log b_j + g_j / eps``. May hold ``-inf``.
        eps : float > 0, cost units

        Returns
        -------
        (n,) float64 array, cost units
            ``+inf`` for a row without any finite cost.

        References
        ----------
        Numerically the online log-sum-exp of [milakov:18]_.
        """
        raise NotImplementedError

    def sweep(
        self,
        geometry: Geometry,
        f: np.ndarray | None,
        h: np.ndarray,
        eps: float,
        a: np.ndarray,
        penalty: Penalty,
        precision: str = "float64",
        log_b: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Row half of a Sinkhorn iteration and the column masses it leaves, in one read of the cost.

        Updates every row's potential, ``f_i = prox(softmin_i)``, and adds the row of the plan that the
        new potential gives to the column masses.

        Parameters
        ----------
        geometry : Geometry, shape (n, m)
        f : (n,) array, cost units, or None
            Shift of the exponents, such that none of ``(f_i - C_ij) / eps + h_j`` overflows in `precision`:
            a row update at neighbouring `h`. None where no such shift is known: kernels then look for the
            largest exponent of a row first.
        h : (m,) array, dimensionless
            ``log b_j + g_j / eps``. May hold ``-inf``.
        eps : float > 0, cost units
        a : (n,) array >= 0
        penalty : Penalty
            Of the row side.
        precision : {"float64", "float32"}
            Arithmetic of single pairs; sums are float64.
        log_b : (m,) array or None
            The part of `h` that is weights. Where it is given, pairs that carry a share of ``a_i b_j`` below the
            rounding of `precision` may be left out.

        Returns
        -------
        f : (n,) array, cost units
            0 where a row has no finite cost. Of a `Capacity` the soft minima, before they are cut: they say where
            to cut next.
        column_mass : (m,) array
            ``sum_i a_i exp((f_i - C_ij) / eps + h_j)`` with the new `f`. Entries below `mass_floor` times b_j
            may be inexact: the caller takes a column `softmin` there.
        """
        self._warn("sweep", geometry)
        return blockwise.sweep(self, geometry, f, h, eps, a, penalty)

    def mass_floor(self, geometry: Geometry, precision: str = "float64") -> float:
        """Share of a column's weight below which the column masses of `sweep` may be inexact."""
        return 1e-50

    def sweep_entries(
        self, plan: GibbsPlan, f: np.ndarray | None, penalty: Penalty, threshold: float, limit: int
    ) -> SweptEntries:
        """`sweep` in float64 and `plan_pattern` of the plan it leaves, in one read where a backend can.

        Parameters
        ----------
        plan : GibbsPlan, shape (n, m)
            Its row potentials are not looked at.
        f : (n,) array or None
            Shift of the exponents, as of `sweep`.
        penalty : Penalty
            Of the row side.
        threshold, limit
            As of `plan_pattern`.
        """
        self._warn("sweep_entries", plan.geometry)
        return SweptEntries(*blockwise.sweep_entries(self, plan, f, penalty, threshold, limit))

    def absorb(self, plan: GibbsPlan, precision: str = "float64"):
        """Stored kernel ``K = exp((f + g - C) / eps)`` with a one-read scaling `sweep`, or None.

        None where the geometry is lazy or the matrix would not fit; the caller goes on with `sweep`.
        The object returned has ``sweep(g, b, a, penalty) -> (f, column_mass) | None``, for the eps of the plan:
        None when the potentials have left the range in which K is accurate and must be absorbed again.
        """
        return

    def hardmin(self, geometry: Geometry, g: np.ndarray) -> np.ndarray:
        """c-transform ``min_j C_ij - g_j``; (m,) -> (n,), cost units. `g` may hold ``-inf``."""
        self._warn("hardmin", geometry)
        return blockwise.hardmin(geometry, g)

    def cost_statistics(self, geometry: Geometry) -> CostStatistics:
        """Minimum, maximum and mean of the finite costs, and how many there are."""
        self._warn("cost_statistics", geometry)
        return CostStatistics(*blockwise.cost_statistics(geometry))

    def transport(self, plan: GibbsPlan, v: np.ndarray) -> np.ndarray:
        """``sum_j P_ij v_j`` without P; (m, k) -> (n, k).

        Entries below rounding of ``a_i b_j`` may be left out.
        """
        self._warn("transport", plan.geometry)
        return blockwise.transport(plan, v)

    def plan_statistics(self, plan: GibbsPlan) -> PlanStatistics:
        """Both marginals and the cost of every row, one pass, float64.

        Entries below rounding of ``a_i b_j`` may be left out.
        """
        self._warn("plan_statistics", plan.geometry)
        return PlanStatistics(*blockwise.plan_statistics(plan))

    def rounded_objective(
        self, plan: GibbsPlan, row_scale: np.ndarray, column_scale: np.ndarray, u: np.ndarray, v: np.ndarray
    ) -> tuple[float, float]:
        """Cost and entropy of ``Q = diag(x) P diag(y) + u v'`` without forming it.

        Returns
        -------
        linear : float
            ``sum Q C``, ``inf`` if the rank-one part touches a forbidden pair.
        entropy : float
            ``sum Q log(Q / (a b'))``.
        """
        self._warn("rounded_objective", plan.geometry)
        return blockwise.rounded_objective(plan, row_scale, column_scale, u, v)

    def plan_rows(self, plan: GibbsPlan, start: int, stop: int) -> np.ndarray:
        """Rows ``start:stop`` of P as a dense float64 array."""
        return blockwise.plan_rows(plan, start, stop)

    def plan_pattern(self, plan: GibbsPlan, threshold: float, limit: int):
        """The entries of P that matter for their row or their column.

        Parameters
        ----------
        plan : GibbsPlan, shape (n, m)
        threshold : float >= 0
        limit : int
            Most entries worth having.

        Returns
        -------
        (indptr, indices, data) or None
            CSR parts of all ``P_ij > threshold * min(a_i, b_j)``; None if there are more than `limit`.
        """
        self._warn("plan_pattern", plan.geometry)
        return blockwise.plan_pattern(plan, threshold, limit)

    def bipartite_solver(self, P, a: np.ndarray, b: np.ndarray, core: int):
        """Inverses, possibly approximate, of ``[[diag(rows), -P], [-P', diag(columns)]]``.

        Parameters
        ----------
        P : (n, m) SciPy CSR array > 0
        a, b : (n,), (m,) arrays
            Weights that entries are compared with, where some are left out.
        core : int
            Entries per point worth factorising: more make a better inverse that costs more.

        Returns
        -------
        object
            ``factor(rows, columns)``, for diagonals that are at least the sums of P (a Laplacian with ground),
            gives an object whose ``solve(r)`` is the (m,) column part for the right hand side ``(0, r)``:
            symmetric and positive definite in r, as a preconditioner of the Schur complement has to be. The
            default factorises exactly, by SciPy.
        """
        return SparseBipartite(P)

    def transport_simplex(self, a, b, rows, columns, costs, order, f, g):
        """Exact transport on a list of arcs that may grow, its basis kept from call to call.

        Parameters
        ----------
        a, b : (n,), (m,) arrays > 0
            Of equal sums.
        rows, columns, costs : (k,) arrays
            Pairs along which mass may go; finite costs.
        order : (k,) int array
            The same arcs, most promising first: of these a first basis is made.
        f, g : (n,), (m,) arrays, cost units
            Potentials to start from.

        Returns
        -------
        object with

        ``add(rows, columns, costs)``
            More arcs.
        ``pivot(most) -> bool``
            At most so many steps; whether the plan is optimal for the arcs so far, at the present price of mass
            that has no way.
        ``unmet() -> float``
            Mass that has found no way.
        ``insist() -> bool``
            Raise that price; False where arcs cannot make up for a higher one.
        ``potentials() -> (f, g)``
            Of the basis: ``C_ij = f_i + g_j`` where mass goes.
        ``plan() -> (rows, columns, masses)``
            At most ``n + m - 1`` entries > 0.
        ``pivots``
            Steps so far.

        The default solves linear programmes by SciPy, from nothing in every call.
        """
        from .linear_programme import LinearProgramme

        return LinearProgramme(a, b, rows, columns, costs)

    def exact_pairs(self, geometry: Geometry, weights, starts, first, second) -> np.ndarray:
        """Least costs of transport between pairs of small measures.

        Parameters
        ----------
        geometry : Geometry, shape (N, N)
            Costs between all points of all measures, one measure after another. Only rows of `first` and
            columns of `second` are read: rows after the last of them may be missing.
        weights : (N,) array >= 0
            Equal sums in every measure.
        starts : (M + 1,) int array
            Measure k is ``starts[k]:starts[k + 1]``.
        first, second : (k,) int arrays
            Which measures.

        Returns
        -------
        (k,) float64 array
        """
        return blockwise.exact_pairs(self, geometry, weights, starts, first, second)

    def assignments(self, costs: np.ndarray) -> np.ndarray:
        """Permutations of least cost, of many square matrices.

        Parameters
        ----------
        costs : (B, n, n) array, float32 or float64, finite

        Returns
        -------
        (B, n) int64 array
            The column of every row. Sums are compared in float64.
        """
        return blockwise.assignments(costs)

    def sparsify(self, plan: GibbsPlan, dropped: float):
        """Sparse copy of P that drops at most the share `dropped` of every row's mass.

        Parameters
        ----------
        plan : GibbsPlan, shape (n, m)
        dropped : float in [0, 1)

        Returns
        -------
        indptr, indices, data
            CSR parts; the smallest entries of each row are gone, at least one stays where there is mass.
        """
        self._warn("sparsify", plan.geometry)
        return blockwise.sparsify(plan, dropped)

    def top_k(self, geometry: Geometry, h: np.ndarray, eps: float, k: int):
        """The `k` smallest ``C_ij - eps h_j`` of each row.

        Returns
        -------
        indices : (n, k) int64 array
            In increasing order of value, equal values in order of index.
        values : (n, k) float64 array, cost units
        """
        self._warn("top_k", geometry)
        return blockwise.top_k(geometry, h, eps, k)

    def project(self, geometry: Geometry, g, gamma: float, a, most=None, f=None, starts=None) -> Projection:
        """Rows ``[f_i + g_j - C_ij]_+ / gamma``, of each the largest entries only, with their marginals.

        Parameters
        ----------
        geometry : Geometry, shape (n, m)
        g : (m,) array, cost units
            ``-inf`` where nothing may go.
        gamma : float > 0, cost units per mass
        a : (n,) array >= 0
            What rows sum to where no `f` is given: the projection of ``(g - C_i) / gamma`` on that simplex.
        most : (n,) int array >= 1, optional
            Entries of each row: the largest ones, ties in order of index. All by default.
        f : (n,) array, cost units, optional
        starts : (n + 1,) int array, optional
            Room for entries: as many of row i as ``starts[i + 1] - starts[i]`` are returned. None by default.

        Returns
        -------
        Projection
            Row potentials are 0 in rows where every pair is forbidden, and a minimum where `a` is 0.
        """
        self._warn("project", geometry)
        return Projection(*blockwise.project(geometry, g, gamma, a, most, f, starts))

    def pair_costs(self, geometry: Geometry, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Costs of single pairs; (k,), (k,) int arrays -> (k,) float64, ``+inf`` where a pair is forbidden."""
        self._warn("pair_costs", geometry)
        return blockwise.pair_costs(geometry, rows, columns)

    def cost_gradient(self, plan: GibbsPlan) -> np.ndarray:
        """``sum_j P_ij grad_x c(x_i, y_j)`` for a point cloud; (n, d), cost per length."""
        self._warn("cost_gradient", plan.geometry)
        return blockwise.cost_gradient(plan)

    def solve_small(self, geometry, a, b, g, levels, penalties, log_mass, tol, sweeps, max_iter, memory):
        """Run the whole iteration inside one kernel, or None where this backend has no such kernel.

        Parameters
        ----------
        geometry : Geometry, shape (n, m), small
        a, b : (n,), (m,) normalised weights
        g : (m,) array, cost units
            Column potentials to start from.
        levels : (L,) decreasing eps, the last one the target
        penalties : (Penalty, Penalty)
        log_mass : float
            See `GibbsPlan`.
        tol : float
            Marginal error in mass units.
        sweeps : int
            Passes on every level but the last.
        max_iter : int
            Passes in all.
        memory : int
            Of Anderson acceleration at the target; 0: none.

        Returns
        -------
        f, g : (n,), (m,) arrays, cost units
            The best potentials found at the target.
        errors : (iterations,) array
            Marginal error of every pass, mass units.
        """
        return

    def stack_statistics(self, stack: Stack) -> np.ndarray:
        """Statistics of the costs of many problems.

        Returns
        -------
        (K, 4) float64 array
            Minimum, maximum and mean of the finite costs of each problem, and their number: negative where some
            cost is neither finite nor ``+inf``.
        """
        return blockwise.stack_statistics(self, stack)

    def solve_batch(self, plans: GibbsStack, start, tol, penalties, max_iter: int) -> BatchOutcome:
        """Solve many small entropic problems from start to end; potentials are overwritten.

        Parameters
        ----------
        plans : GibbsStack
            Its `g` is where the problems start; 0 where nothing is known. Its `f` need not be filled.
        start : (K,) array, cost units
            The eps at which eps-scaling begins: 0 for the target itself, inf for a quarter of the range of costs.
        tol : (K,) array
            Marginal error, both sides, in mass units.
        penalties : (Penalty, Penalty)
            Balanced, KL or TV, of all problems.
        max_iter : int
            Passes over the cost, of each problem.

        Returns
        -------
        BatchOutcome
            Errors are those of the potentials in float64. A backend may leave any problem UNFINISHED; its
            potentials are then a start.
        """
        return BatchOutcome(*blockwise.solve_batch(self, plans, start, tol, penalties, max_iter))

    def batch_statistics(self, plans: GibbsStack) -> PlanStatistics:
        """`plan_statistics` of many plans: flat arrays, in the places of `f`, of `g`, and of `f`."""
        return PlanStatistics(*blockwise.batch_statistics(self, plans))

    def batch_cost_gradients(self, plans: GibbsStack) -> tuple[np.ndarray, np.ndarray]:
        """`cost_gradient` of many plans between points, by the points of both sides: (sum n, d), (sum m, d)."""
        return blockwise.batch_cost_gradients(self, plans)

    def batch_plans(self, plans: GibbsStack, scale: np.ndarray) -> np.ndarray:
        """Entries of many plans times ``scale[k]``, row-major, one after another; flat float64 array."""
        return blockwise.batch_plans(self, plans, scale)

    def exact_batch(self, plans: GibbsStack) -> ExactBatch | None:
        """Exact transport of many small problems, or None where this backend has no such kernel.

        Parameters
        ----------
        plans : GibbsStack
            Costs and weights, of equal sums; potentials are overwritten by Kantorovich potentials. Its `g` is
            where the problems may start, 0 where nothing is known; `f` and `eps` are not looked at.

        Returns
        -------
        ExactBatch or None
            Any problem may be left UNFINISHED.
        """
        return None

    def _warn(self, primitive: str, geometry: Geometry) -> None:
        if not self.quiet:
            warnings.warn(
                f"{primitive} on {geometry!r} runs in generic blocks on backend {self.name!r}: correct, "
                "but slow. A compiled `kernel` of the cost makes it fast (see the guide on costs)",
                PerformanceWarning,
                stacklevel=3,
            )
