"""A whole small problem in one kernel: eps-scaling, log-domain sweeps, acceleration, stopping test."""

from __future__ import annotations

import math

import numpy as np

from .policy import kernel
from .sweep import prox
from .vector_math import LN2, LOG2E, exp2

#: Ridge of the acceleration: see `ot_solvers.solvers.acceleration.Anderson`.
RIDGE = 1e-10


@kernel
def residual_of(kind, rho, mass, weight, potential):
    """One point's distance to optimality, as `ot_solvers.penalties` defines it."""
    if kind == 1:
        return abs(mass - weight * math.exp(-potential / rho))
    if kind == 2 and potential >= rho * (1.0 - 1e-12):
        return max(mass - weight, 0.0)
    if kind == 2 and potential <= -rho * (1.0 - 1e-12):
        return max(weight - mass, 0.0)
    return abs(mass - weight)


@kernel
def solve_spd(A, x, size):
    """Solve ``A x = b`` in place (b in x) for a small symmetric positive definite matrix, by Cholesky."""
    for j in range(size):
        for k in range(j):
            A[j, j] -= A[j, k] * A[j, k]
        A[j, j] = math.sqrt(A[j, j])
        for i in range(j + 1, size):
            for k in range(j):
                A[i, j] -= A[i, k] * A[j, k]
            A[i, j] /= A[j, j]
    for i in range(size):
        for k in range(i):
            x[i] -= A[i, k] * x[k]
        x[i] /= A[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            x[i] -= A[k, i] * x[k]
        x[i] /= A[i, i]


@kernel
def extrapolate(g, residual, residual_steps, image_steps, held):
    """Subtract from `g` (the plain image) what the least-squares combination of past steps predicts."""
    gram = np.empty((held, held))
    x = np.empty(held)
    for p in range(held):
        for q in range(p + 1):
            total = 0.0
            for j in range(g.size):
                total += residual_steps[p, j] * residual_steps[q, j]
            gram[p, q] = total
        gram[p, p] += RIDGE
        total = 0.0
        for j in range(g.size):
            total += residual_steps[p, j] * residual[j]
        x[p] = total
    solve_spd(gram, x, held)
    for p in range(held):
        for j in range(g.size):
            g[j] -= x[p] * image_steps[p, j]


@kernel
def solve_small(
    C, a, b, f, g, levels, sweeps, log_mass, kind_a, rho_a, kind_b, rho_b, tol, max_iter, memory, errors
):
    """Annealed, accelerated Sinkhorn on a dense float64 problem; potentials in place.

    Parameters
    ----------
    C : (n, m) array, no more than a few thousand entries
    a, b : (n,), (m,) normalised weights
    f, g : (n,), (m,) potentials, overwritten
    levels : (L,) decreasing eps, the last one the target
    sweeps : int
        Sweeps on each level but the last.
    memory : int
        Of alternating Anderson steps on the last level, safeguarded as in the general loop; 0: plain steps.
    errors : (max_iter,) array
        Marginal error after each sweep, overwritten.

    Returns
    -------
    iterations : int
    """
    n, m = C.shape
    h2 = np.empty(m)
    log_b = np.empty(m)
    masses = np.empty(m)
    row = np.empty(m)
    column = np.empty(n)
    image = np.empty(m)
    residual = np.empty(m)
    last_image = np.empty(m)
    last_residual = np.empty(m)
    residual_steps = np.empty((max(memory, 1), m))
    image_steps = np.empty((max(memory, 1), m))
    best_f = np.empty(n)
    best_g = np.empty(m)
    best = math.inf
    held = 0
    slot = 0
    steps = 0
    accepted = math.inf
    guarded = False
    # See `ot_solvers.solvers.iteration.REACH`.
    low = math.inf
    high = -math.inf
    for i in range(n):
        for j in range(m):
            low = min(low, C[i, j])
            high = max(high, C[i, j] if C[i, j] < math.inf else -math.inf)
    for j in range(m):
        log_b[j] = math.log(b[j]) + log_mass if b[j] > 0.0 else -math.inf
    iteration = 0
    for level in range(levels.size):
        eps = levels[level]
        inv2 = LOG2E / eps
        final = level == levels.size - 1
        on_level = 0
        # The last pass of max_iter belongs to the target: its rows are exact at the eps asked for.
        while final or (on_level < sweeps and iteration + 1 < max_iter):
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
                # A cut potential may be any way from s: a huge weight, never inf, which turns 0 into NaN.
                weight = a[i] / total * math.exp(min((f[i] - s) / eps, 700.0))
                for j in range(m):
                    masses[j] += weight * row[j]
            error = 0.0
            for j in range(m):
                if b[j] > 0.0:
                    error += residual_of(kind_b, rho_b, masses[j], b[j], g[j])
            errors[iteration] = error
            iteration += 1
            on_level += 1
            if final:
                if error <= tol:
                    return iteration
                if error < best or on_level == 1:
                    best = error
                    best_f[:] = f
                    best_g[:] = g
            if iteration == max_iter:
                if final:
                    f[:] = best_f
                    g[:] = best_g
                return iteration
            if guarded and not error <= 1.5 * accepted:
                # The extrapolation overshot: back to the plain image it started from.
                g[:] = last_image
                held = 0
                slot = 0
                steps = 0
                guarded = False
                accepted = math.inf
                continue
            for j in range(m):
                image[j] = g[j]
                residual[j] = 0.0
                if not b[j] > 0.0:
                    continue
                if 1e-50 * b[j] < masses[j] < math.inf:
                    s = g[j] - eps * math.log(masses[j] / b[j])
                else:
                    # The mass has underflowed, or overflowed at a cut off row potential: the column's own soft
                    # minimum, with its own shift.
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
                image[j] = prox(kind_b, rho_b, s, eps)
                residual[j] = (image[j] - g[j]) * math.sqrt(b[j])
            g[:] = image
            if not (final and memory > 0):
                continue
            if steps > 0:
                size = 0.0
                for j in range(m):
                    size += (residual[j] - last_residual[j]) ** 2
                size = math.sqrt(size)
                if size > 0.0:
                    for j in range(m):
                        residual_steps[slot, j] = (residual[j] - last_residual[j]) / size
                        image_steps[slot, j] = (image[j] - last_image[j]) / size
                    slot = (slot + 1) % memory
                    held = min(held + 1, memory)
            steps += 1
            last_image[:] = image
            last_residual[:] = residual
            accepted = error
            guarded = True
            if held > 0 and steps % 2 == 0:
                extrapolate(g, residual, residual_steps, image_steps, held)
                near = True
                for j in range(m):
                    if kind_b == 2:
                        g[j] = min(max(g[j], -rho_b), rho_b)
                    near = near and abs(g[j] - image[j]) <= 2.0 * (high - low) + 100.0 * eps
                if not near:
                    g[:] = image
                    held = 0
                    slot = 0
    return iteration
