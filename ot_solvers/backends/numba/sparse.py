"""Sparse-pattern primitives: CSR kernels (`sparse_rows`) and SciPy where a pass is linear algebra."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .parallel import block_bounds, run
from .projection import project_pattern_blocks
from .rows import writable_view
from .sparse_rows import sparse_hardmin, sparse_plan, sparse_softmin, sparse_sweep
from .vector_math import LN2, LOG2E

PRIMITIVES = frozenset(
    {
        "softmin",
        "sweep",
        "sweep_entries",
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
    }
)


def _parts(geometry):
    indptr, indices, data = geometry.arrays
    bounds = block_bounds(geometry.shape[0], max(1, data.size // max(1, geometry.shape[0])))
    return indptr, indices, writable_view(data), bounds


def softmin(geometry, h, eps):
    indptr, indices, C, bounds = _parts(geometry)
    out = np.empty(geometry.shape[0])
    h2 = h * LOG2E
    run(
        lambda lo, hi: sparse_softmin(indptr, indices, C, h2, LOG2E / eps, bounds, lo, hi, out),
        bounds.size - 1,
    )
    return out * (eps * LN2)


def sweep(geometry, h, eps, a, penalty):
    indptr, indices, C, bounds = _parts(geometry)
    f = np.empty(geometry.shape[0])
    masses = np.empty((bounds.size - 1, geometry.shape[1]))
    h2 = h * LOG2E
    kind, rho = penalty.kind, penalty.rho
    run(
        lambda lo, hi: sparse_sweep(indptr, indices, C, h2, float(eps), a, kind, rho, bounds, lo, hi, f, masses),
        bounds.size - 1,
    )
    return f, masses.sum(0)


def hardmin(geometry, g):
    indptr, indices, C, bounds = _parts(geometry)
    out = np.empty(geometry.shape[0])
    run(lambda lo, hi: sparse_hardmin(indptr, indices, C, g, bounds, lo, hi, out), bounds.size - 1)
    return out


def bounds_of(geometry):
    """Bounds of the blocks of rows in which passes run."""
    return _parts(geometry)[3]


def project(geometry, asked, made):
    indptr, columns, C, bounds = _parts(geometry)
    run(
        lambda lo, hi: project_pattern_blocks(indptr, columns, C, asked, bounds, lo, hi, made),
        bounds.size - 1,
    )


def cost_statistics(geometry):
    data = geometry.arrays[2]
    if not data.size:
        return np.inf, -np.inf, np.nan, 0
    return float(data.min()), float(data.max()), float(data.mean(dtype=np.float64)), data.size


def plan_matrix(plan):
    """P on the pattern as CSR."""
    indptr, indices, C, bounds = _parts(plan.geometry)
    data = np.empty(C.size)
    f, h2 = plan.f_centred, plan.h_centred * LOG2E
    run(
        lambda lo, hi: sparse_plan(indptr, indices, C, f, h2, LOG2E / plan.eps, plan.a, bounds, lo, hi, data),
        bounds.size - 1,
    )
    return sparse.csr_array((data, indices, indptr), shape=plan.geometry.shape)


def plan_statistics(plan):
    P = plan_matrix(plan)
    cost = P.copy()
    cost.data = P.data * plan.geometry.arrays[2]
    return P.sum(axis=1), P.sum(axis=0), cost.sum(axis=1)


def rounded_objective(plan, row_scale, column_scale, u, v):
    P = plan_matrix(plan)
    indptr, indices, C = plan.geometry.arrays
    rows = np.repeat(np.arange(P.shape[0]), np.diff(indptr))
    added = u[rows] * v[indices]
    # What the rank-one part puts outside the pattern lands on forbidden pairs.
    if u.sum() * v.sum() - added.sum() > 1e-15 * max(plan.a.sum(), added.sum()):
        return np.inf, np.inf
    Q = P.data * row_scale[rows] * column_scale[indices] + added
    live = Q > 0
    # Weights above one may underflow the ratio, where Q is nothing: not 0 * log 0.
    entropy = Q[live] * np.log(np.maximum(Q[live] / plan.a[rows[live]] / plan.b[indices[live]], 1e-300))
    return float(Q @ C), float(entropy.sum())


def plan_pattern(plan, threshold, limit):
    P = plan_matrix(plan)
    rows = np.repeat(np.arange(P.shape[0]), np.diff(P.indptr))
    keep = P.data > threshold * np.minimum(plan.a[rows], plan.b[P.indices])
    if keep.sum() > limit:
        return None
    counts = np.bincount(rows[keep], minlength=P.shape[0])
    return np.concatenate([[0], np.cumsum(counts)]), P.indices[keep], P.data[keep]


def sparsify(plan, dropped):
    P = plan_matrix(plan)
    keep = np.zeros(P.nnz, dtype=bool)
    for i in range(P.shape[0]):
        part = slice(P.indptr[i], P.indptr[i + 1])
        values = P.data[part]
        order = np.argsort(values, kind="stable")
        below = np.cumsum(values[order]) <= dropped * values.sum()
        keep[np.arange(part.start, part.stop)[order[~below]]] = True
    keep &= P.data > 0
    counts = np.add.reduceat(np.append(keep, False), P.indptr[:-1].clip(max=P.nnz)) * (np.diff(P.indptr) > 0)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return indptr, P.indices[keep].astype(np.int64), P.data[keep]


def top_k(geometry, h, eps, k):
    indptr, indices, C = geometry.arrays
    n = geometry.shape[0]
    # Rows with fewer than k finite values are filled with the other columns, in order of index, at +inf.
    found, values = np.empty((n, k), dtype=np.int64), np.full((n, k), np.inf)
    g = eps * h
    for i in range(n):
        part = slice(indptr[i], indptr[i + 1])
        reduced = C[part] - g[indices[part]]
        finite = np.isfinite(reduced)
        columns, reduced = indices[part][finite], reduced[finite]
        order = np.argsort(reduced, kind="stable")[:k]
        size = order.size
        found[i, :size] = columns[order]
        values[i, :size] = reduced[order]
        if size < k:
            rest = np.setdiff1d(np.arange(geometry.shape[1]), columns)
            found[i, size:] = rest[: k - size]
    return found, values


def pair_costs(geometry, rows, columns):
    indptr, indices, C = geometry.arrays
    m = geometry.shape[1]
    # Pairs as numbers in row-major order: those of a CSR pattern increase.
    known = np.repeat(np.arange(indptr.size - 1), np.diff(indptr)) * m + indices
    wanted = rows.astype(np.int64) * m + columns
    places = np.minimum(np.searchsorted(known, wanted), known.size - 1)
    return np.where(known[places] == wanted, C[places], np.inf).astype(np.float64)
