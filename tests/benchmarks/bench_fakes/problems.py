"""A problem whose solution is known."""

from __future__ import annotations

import numpy as np

from benchmarks.problems import Problem


def two_point_problem(dtype=np.float64, eps=0.5):
    """Points 0 and 1 on both sides: one unknown mass, the root of a quadratic equation.

    The marginals leave ``p = P_11`` free; scaling by potentials leaves the cross ratio
    ``P_11 P_22 / (P_12 P_21)``, which is that of ``exp(-C / eps)``: ``exp(2 / eps)``.
    """
    a, b = np.array([0.3, 0.7]), np.array([0.6, 0.4])
    points = np.array([[0.0], [1.0]])
    kappa = np.exp(2.0 / eps)
    # p (1 - a1 - b1 + p) = kappa (a1 - p) (b1 - p)
    linear = 1 - a[0] - b[0] + kappa * (a[0] + b[0])
    root = np.sqrt(linear**2 - 4 * (1 - kappa) * (-kappa * a[0] * b[0]))
    p = (-linear + root) / (2 * (1 - kappa))
    plan = np.array([[p, a[0] - p], [b[0] - p, 1 - a[0] - b[0] + p]])
    assert (plan > 0).all()
    C = (points - points.T) ** 2
    arrays = (v.astype(dtype) for v in (a, b, points, points, C))
    a, b, x, y, C = arrays
    return Problem(a=a, b=b, eps=eps, max_cost=1.0, x=x, y=y, C=C), plan
