"""Reductions over the stored pairs of a sparse pattern (CSR)."""

from __future__ import annotations

import math

import numpy as np

from .policy import kernel
from .sweep import prox
from .vector_math import LN2, LOG2E, exp2


@kernel
def sparse_softmin(indptr, indices, C, h2, inv2, bounds, first, last, out):
    """Base-2 soft minimum of the stored entries of each row; ``+inf`` if there are none."""
    for i in range(bounds[first], bounds[last]):
        top = -math.inf
        for at in range(indptr[i], indptr[i + 1]):
            top = max(top, h2[indices[at]] - C[at] * inv2)
        if top == -math.inf:
            out[i] = math.inf
            continue
        total = 0.0
        for at in range(indptr[i], indptr[i + 1]):
            total += exp2(h2[indices[at]] - C[at] * inv2 - top)
        out[i] = -(top + math.log2(total))


@kernel
def sparse_sweep(indptr, indices, C, h2, eps, a, kind, rho, bounds, first, last, new_f, column_mass):
    """Row update and column masses; the exponents of a row are few enough to keep and use twice."""
    inv2 = LOG2E / eps
    widest = 0
    for i in range(bounds[first], bounds[last]):
        widest = max(widest, indptr[i + 1] - indptr[i])
    row = np.empty(widest)
    for block in range(first, last):
        masses = column_mass[block]
        masses[:] = 0.0
        for i in range(bounds[block], bounds[block + 1]):
            start = indptr[i]
            size = indptr[i + 1] - start
            top = -math.inf
            for k in range(size):
                row[k] = h2[indices[start + k]] - C[start + k] * inv2
                top = max(top, row[k])
            if top == -math.inf:
                new_f[i] = 0.0
                continue
            total = 0.0
            for k in range(size):
                row[k] = exp2(row[k] - top)
                total += row[k]
            s = -eps * LN2 * (top + math.log2(total))
            potential = prox(kind, rho, s, eps)
            new_f[i] = s if kind == 3 else potential
            # A cut potential may be any way from s: a huge weight, never inf, which turns 0 into NaN.
            weight = a[i] / total * math.exp(min((potential - s) / eps, 700.0))
            if weight > 0.0:
                for k in range(size):
                    masses[indices[start + k]] += weight * row[k]


@kernel
def sparse_hardmin(indptr, indices, C, g, bounds, first, last, out):
    """``min C_ij - g_j`` over the stored entries of each row; ``+inf`` if there are none."""
    for i in range(bounds[first], bounds[last]):
        low = math.inf
        for at in range(indptr[i], indptr[i + 1]):
            low = min(low, C[at] - g[indices[at]])
        out[i] = low


@kernel
def sparse_plan(indptr, indices, C, f, h2, inv2, a, bounds, first, last, data):
    """Entries of the plan on the pattern, in CSR order."""
    for i in range(bounds[first], bounds[last]):
        for at in range(indptr[i], indptr[i + 1]):
            data[at] = a[i] * exp2(min(h2[indices[at]] + (f[i] - C[at]) * inv2, 1000.0))
