"""First derivatives of optimal values, by the envelope theorem: no derivative of the solution enters.

All in the caller's units. Balanced weights are meant along directions that keep the masses [peyre:19]_.
"""

from __future__ import annotations

import numpy as np

from ...errors import UnsupportedError
from ...geometry import PointCloud
from ...plans.entropic import EntropicPlan
from ...plans.gibbs import GibbsPlan
from ...result import Solution
from .pairs import pair_gradients
from .supports import SupportRule

__all__ = ["by_points", "by_reg", "by_weights"]


def by_weights(solution: Solution) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of `Solution.value` by a and b.

    Balanced: the potentials. Unbalanced: ``psi(f_i) - reg (sum_j b_j e_ij - sum_j b_j)`` with
    ``P_ij = a_i b_j e_ij`` and ``a psi(f)`` the dual term of the penalty. Finite also where a weight is 0. With
    limits of entries: the potentials of the problem on the entries that the plan has.

    Raises
    ------
    UnsupportedError
        For partial transport.
    """
    problem = solution._problem
    if problem.partial:
        raise UnsupportedError("the weights of partial transport (mass=) have no derivative rule here")
    if problem.quadratic is not None and problem.term.limited:
        return SupportRule(solution).potentials()
    f, g = solution._potentials
    if problem.fixed_total:
        return f, g
    sides = []
    for part, potential, penalty, other in (
        (problem, f, problem.penalty_a, g),
        (problem.T, g, problem.penalty_b, f),
    ):
        rows = GibbsPlan(
            part.geometry, potential, other, np.ones(potential.size), part.b, problem.eps, problem.log_mass
        )
        moved = solution._backend.transport(rows, np.ones((other.size, 1)))[:, 0]
        per_weight = _dual_per_weight(penalty, potential)
        sides.append(per_weight - problem.eps * (moved - problem.mass * float(part.b.sum())))
    return sides[0], sides[1]


def _dual_per_weight(penalty, potential: np.ndarray) -> np.ndarray:
    if penalty.kind == 1:
        return -penalty.rho * np.expm1(-potential / penalty.rho)
    return penalty.project(potential)


def by_reg(solution: Solution) -> float:
    """Derivative of `Solution.value` by the absolute strength of the regularisation: its divergence from a b', or
    half the sum of squares.
    """
    problem, M = solution._problem, solution._problem.mass
    if problem.quadratic is not None:
        return 0.5 * M * M * float(solution._matrix.data @ solution._matrix.data)
    if problem.eps == 0:
        raise UnsupportedError("exact transport has no regularisation to differentiate by")
    statistics = solution._statistics
    f, g = solution._potentials
    inner = float(statistics.row_mass @ f + statistics.column_mass @ g - statistics.row_cost.sum())
    divergence = M * inner / problem.eps
    if problem.fixed_total:
        return divergence
    return (
        divergence - M * float(statistics.row_mass.sum()) + M * float(problem.a.sum()) * M * float(problem.b.sum())
    )


def by_points(solution: Solution) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of `Solution.value` by x and y, for point clouds: ``sum_j P_ij grad_x c(x_i, y_j)``."""
    geometry, M = solution.geometry, solution._problem.mass
    if not isinstance(geometry, PointCloud):
        raise TypeError(f"{geometry!r} has no points")
    if solution._matrix is not None:
        by_x, by_y = _of_entries(geometry, solution._matrix.tocoo())
    else:
        plan = solution._plan
        assert isinstance(plan, EntropicPlan)
        by_x, by_y = (solution._backend.cost_gradient(side) for side in (plan.gibbs, plan.gibbs.T))
    return M * by_x, M * by_y


def _of_entries(geometry: PointCloud, entries) -> tuple[np.ndarray, np.ndarray]:
    """``sum_j P_ij grad c`` of a plan that is stored, entry by entry."""
    found = []
    for cloud, rows, columns in ((geometry, entries.row, entries.col), (geometry.T, entries.col, entries.row)):
        found.append(pair_gradients(cloud, rows, columns, entries.data))
    return found[0], found[1]
