"""A whole small problem in one kernel: eps-scaling, log-domain sweeps, stopping test."""

from __future__ import annotations

import math

import numpy as np

from .policy import kernel
from .sweep import prox
from .vector_math import LN2, LOG2E, exp2


@kernel
def solve_small(C, a, b, f, g, levels, sweeps, log_mass, kind_a, rho_a, kind_b, rho_b, tol, max_iter, errors):
    """Annealed Sinkhorn on a dense float64 problem; potentials in place.

    Parameters
    ----------
    C : (n, m) array, no more than a few thousand entries
    a, b : (n,), (m,) normalised weights
    f, g : (n,), (m,) potentials, overwritten
    levels : (L,) decreasing eps, the last one the target
    sweeps : int
        Sweeps on each level but the last.
    errors : (max_iter,) array
        Marginal error after each sweep, overwritten.

    Returns
    -------
    iterations : int
    level : int
        Index of the level that the last sweep ran on.
    """
    n, m = C.shape
    h2 = np.empty(m)
    log_b = np.empty(m)
    masses = np.empty(m)
    row = np.empty(m)
    column = np.empty(n)
    for j in range(m):
        log_b[j] = math.log(b[j]) + log_mass if b[j] > 0.0 else -math.inf
    iteration = 0
    for level in range(levels.size):
        eps = levels[level]
        inv2 = LOG2E / eps
        final = level == levels.size - 1
        on_level = 0
        while iteration < max_iter and (final or on_level < sweeps):
            for j in range(m):
                h2[j] = log_b[j] * LOG2E + g[j] * inv2
                masses[j] = 0.0
            for i in range(n):
                top = -math.inf
                for j in range(m):
                    row[j] = h2[j] - C[i, j] * inv2
                    top = max(top, row[j])
                if top == -math.inf:
                    f[i] = 0.0
                    continue
                total = 0.0
                for j in range(m):
                    row[j] = exp2(row[j] - top)
                    total += row[j]
                s = -eps * LN2 * (top + math.log2(total))
                f[i] = prox(kind_a, rho_a, s, eps)
                weight = a[i] / total * math.exp((f[i] - s) / eps)
                for j in range(m):
                    masses[j] += weight * row[j]
            error = 0.0
            for j in range(m):
                if kind_b == 1:
                    error += abs(masses[j] - b[j] * math.exp(-g[j] / rho_b))
                elif kind_b == 2 and g[j] >= rho_b * (1.0 - 1e-12):
                    error += max(masses[j] - b[j], 0.0)
                elif kind_b == 2 and g[j] <= -rho_b * (1.0 - 1e-12):
                    error += max(b[j] - masses[j], 0.0)
                else:
                    error += abs(masses[j] - b[j])
            errors[iteration] = error
            iteration += 1
            on_level += 1
            if final and error <= tol:
                return iteration, level
            if iteration == max_iter:
                return iteration, level
            for j in range(m):
                if not b[j] > 0.0:
                    continue
                if masses[j] > 1e-50 * b[j]:
                    s = g[j] - eps * math.log(masses[j] / b[j])
                else:
                    # The column has underflowed: its own soft minimum, with its own shift.
                    top = -math.inf
                    for i in range(n):
                        column[i] = -math.inf
                        if a[i] > 0.0:
                            column[i] = (math.log(a[i]) + log_mass) * LOG2E + (f[i] - C[i, j]) * inv2
                        top = max(top, column[i])
                    total = 0.0
                    for i in range(n):
                        total += exp2(column[i] - top)
                    s = -eps * LN2 * (top + math.log2(total))
                g[j] = prox(kind_b, rho_b, s, eps)
    return iteration, levels.size - 1
