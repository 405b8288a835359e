"""Derivatives of costs by points, for pairs given one by one."""

from __future__ import annotations

import numpy as np

from ...geometry import PointCloud

__all__ = ["pair_gradients"]


def pair_gradients(cloud: PointCloud, rows, columns, weights) -> np.ndarray:
    """(n, d) ``sum_k weights_k grad_x c(x_rows[k], y_columns[k])``."""
    cost = cloud.cost
    x, y = cloud.prepared
    total = np.zeros(x.shape)
    step = max(1, (1 << 20) // max(1, x.shape[1]))
    for start in range(0, rows.size, step):
        # A stack of problems between one point and one point.
        i, j = rows[start : start + step], columns[start : start + step]
        first, second = x[i, None, :], y[j, None, :]
        slope = cost.gradient(first, second, cost.pairwise(first, second))[:, 0, 0, :]
        np.add.at(total, i, weights[start : start + step, None] * slope)
    return cost.pullback(np.asarray(cloud.x, dtype=np.float64), total)
