"""Grid primitives: one pass per axis over a field in log domain (kernels in `grid_axes`)."""

from __future__ import annotations

import math

import numpy as np

from ...penalties import Capacity
from .grid_axes import axis_hardmin, axis_logsum, axis_transport
from .parallel import run
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

#: Range of exponents (base 2) over which one axis may be summed as a plain matrix product. The term of the largest
#: entry is at least 2**-range of the unit; a term that adds to the sum's 53 bits, and each of its two factors, is
#: then at least 2**-(range + 53): no underflow.
_PRODUCT_RANGE = 900.0
#: Pairs below which one more block costs more (hand-over) than it gains.
_PAIRS_PER_BLOCK = 1 << 17


def _views(shape, axis):
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _by_slices(outer, pairs, task):
    """Run `task(first, last)` over the outer index of so many pairs; one block per slice group, fixed by shape."""
    count = max(1, min(outer, 32, pairs // _PAIRS_PER_BLOCK))
    cuts = [outer * k // count for k in range(count + 1)]
    run(lambda first, last: task(cuts[first], cuts[last]), count)


def _log_reduce(geometry, field, inv2):
    """``log2 sum_j 2**(field_j - C_ij * inv2)`` over the whole grid; flat (N,) in and out."""
    shape = geometry.grid_shape
    for axis, c in enumerate(geometry.matrices):
        outer, length, inner = _views(shape, axis)
        view = np.ascontiguousarray(field).reshape(outer, length, inner)
        c2 = c * inv2
        span = c2.max() - c2.min()
        if span <= _PRODUCT_RANGE:
            field = _product_reduce(view, c2)
            continue
        out = np.empty((outer, c.shape[0], inner))
        _by_slices(outer, view.size * c.shape[0], lambda lo, hi, v=view, k=c2, o=out: axis_logsum(v, k, lo, hi, o))
        field = out
    return field.reshape(-1)


def _product_reduce(view, c2):
    # Safe range: exp of each line relative to its maximum, times the axis kernel, by BLAS.
    low = c2.min()
    top = view.max(axis=1, keepdims=True)
    top[~np.isfinite(top)] = 0.0
    total = np.matmul(np.exp2(low - c2), np.exp2(view - top))
    with np.errstate(divide="ignore"):
        return np.log2(total) + (top - low)


def softmin(geometry, h, eps):
    return -eps * LN2 * _log_reduce(geometry, h * LOG2E, LOG2E / eps)


def sweep(geometry, h, eps, a, penalty):
    s = softmin(geometry, h, eps)
    f = penalty.prox(s, eps)
    with np.errstate(divide="ignore"):
        back = softmin(geometry.T, np.log(a) + f / eps, eps)
    with np.errstate(over="ignore"):
        return s if isinstance(penalty, Capacity) else f, np.exp(h - back / eps)


def hardmin(geometry, g):
    shape = geometry.grid_shape
    field = -g
    for axis, c in enumerate(geometry.matrices):
        outer, length, inner = _views(shape, axis)
        view = np.ascontiguousarray(field).reshape(outer, length, inner)
        out = np.empty((outer, c.shape[0], inner))
        _by_slices(outer, view.size * c.shape[0], lambda lo, hi, v=view, k=c, o=out: axis_hardmin(v, k, lo, hi, o))
        field = out
    return field.reshape(-1)


def cost_statistics(geometry):
    low = sum(float(c.min()) for c in geometry.matrices)
    high = sum(float(c.max()) for c in geometry.matrices)
    mean = sum(float(c.mean()) for c in geometry.matrices)
    return low, high, mean, geometry.shape[0] * geometry.shape[1]


def _weighted_reduce(geometry, field, values, inv2):
    """(exponents, values): ``values_k 2**exponents = sum_j v_kj 2**(field_j - C_ij inv2)``."""
    shape = geometry.grid_shape
    fields = values.shape[0]
    for axis, c in enumerate(geometry.matrices):
        outer, length, inner = _views(shape, axis)
        view = np.ascontiguousarray(field).reshape(outer, length, inner)
        data = np.ascontiguousarray(values).reshape(fields, outer, length, inner)
        out, out_values = np.empty(view.shape), np.empty(data.shape)
        _by_slices(
            outer,
            fields * view.size * c.shape[0],
            lambda lo, hi, v=view, d=data, k=c * inv2, o=out, w=out_values: axis_transport(v, d, k, lo, hi, o, w),
        )
        field, values = out, out_values
    return field.reshape(-1), values.reshape(fields, -1)


def transport(plan, v):
    inv2 = LOG2E / plan.eps
    exponents, values = _weighted_reduce(plan.geometry, plan.h_centred * LOG2E, v.T, inv2)
    with np.errstate(over="ignore"):
        scale = plan.a * np.exp2(np.where(np.isfinite(exponents), exponents + plan.f_centred * inv2, -np.inf))
    return (scale * values).T


def plan_statistics(plan):
    geometry = plan.geometry
    row_mass = transport(plan, np.ones((plan.b.size, 1)))[:, 0]
    column_mass = transport(plan.T, np.ones((plan.a.size, 1)))[:, 0]
    return row_mass, column_mass, _row_cost(plan, geometry)


def _row_cost(plan, geometry):
    """``sum_j P_ij C_ij``: per axis, two fields (sum, cost so far) go through the log-domain pass."""
    inv2 = LOG2E / plan.eps
    shape = geometry.grid_shape
    field = plan.h_centred * LOG2E
    mass = np.ones(plan.b.size)
    cost = np.zeros(plan.b.size)
    for axis, c in enumerate(geometry.matrices):
        outer, length, inner = _views(shape, axis)
        M = np.ascontiguousarray(field).reshape(outer, length, inner)
        V = np.stack([mass, cost]).reshape(2, outer, length, inner)
        top = np.full((outer, c.shape[0], inner), -np.inf)
        new_mass = np.zeros(top.shape)
        new_cost = np.zeros(top.shape)
        for i in range(c.shape[0]):
            t = M - (c[i] * inv2)[None, :, None]
            high = t.max(axis=1)
            e = np.exp2(t - np.where(np.isfinite(high), high, 0.0)[:, None, :])
            top[:, i, :] = high
            new_mass[:, i, :] = (V[0] * e).sum(1)
            new_cost[:, i, :] = ((V[1] + V[0] * c[i][None, :, None]) * e).sum(1)
        field, mass, cost = top.reshape(-1), new_mass.reshape(-1), new_cost.reshape(-1)
    scale = np.exp2(np.where(np.isfinite(field), field + plan.f_centred * inv2, -np.inf))
    return plan.a * scale * cost


def pair_costs(geometry, rows, columns):
    here, there = (np.unravel_index(index, geometry.grid_shape) for index in (rows, columns))
    return sum(c[i, j] for c, i, j in zip(geometry.matrices, here, there))
