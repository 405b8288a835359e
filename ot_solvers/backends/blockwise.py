"""Every primitive from ``geometry.block(rows)`` in plain array API arithmetic: the mathematics in code.

This is the oracle that fast kernels are compared with, and the fallback of backends that lack one.
Vectors come and go as NumPy float64; a block is computed in the array library of the geometry.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..penalties import Capacity

#: Entries of one block: 8 MB of float64, a few of which are alive at a time.
BLOCK_ENTRIES = 1 << 20


def row_blocks(geometry):
    """(start, stop) of blocks of rows that take about `BLOCK_ENTRIES` numbers to compute."""
    n, m = geometry.shape
    step = max(1, BLOCK_ENTRIES // max(1, m * geometry.depth))
    for start in range(0, n, step):
        yield start, min(n, start + step)


def _host(x) -> np.ndarray:
    return np.asarray(x, dtype=np.float64)


def _exponents(geometry, start, stop, h, eps):
    """``h_j - C_ij / eps`` of a block, in the geometry's library; ``-inf`` where a pair is forbidden."""
    xp = geometry.xp
    return xp.asarray(h)[None, :] - geometry.block(start, stop) / eps


def softmin(geometry, h, eps):
    xp = geometry.xp
    n, m = geometry.shape
    out = np.empty(n)
    for start, stop in row_blocks(geometry):
        t = _exponents(geometry, start, stop, h, eps)
        top = xp.max(t, axis=1, keepdims=True)
        # A row without any finite entry: shift by 0, its sum is 0 and its soft minimum +inf.
        shift = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
        total = xp.sum(xp.exp(t - shift), axis=1)
        with np.errstate(divide="ignore"):
            out[start:stop] = -eps * (_host(shift)[:, 0] + np.log(_host(total)))
    return out


def _log(weights):
    with np.errstate(divide="ignore"):
        return np.log(weights)


def sweep(backend, geometry, f, h, eps, a, penalty):
    s = backend.softmin(geometry, h, eps)
    new = penalty.prox(s, eps)
    live = np.isfinite(s)
    new = np.where(live, new, 0.0)
    xp = geometry.xp
    n, m = geometry.shape
    column_mass = np.zeros(m)
    # Weights inside the exponent: a soft side may leave a row without weight a potential that overflows alone.
    scale = new / eps + _log(a)
    for start, stop in row_blocks(geometry):
        t = _exponents(geometry, start, stop, h, eps)
        column_mass += _host(xp.sum(xp.exp(t + xp.asarray(scale[start:stop])[:, None]), axis=0))
    return np.where(live, s, 0.0) if isinstance(penalty, Capacity) else new, column_mass


def sweep_entries(backend, plan, f, penalty, threshold, limit):
    new, masses = backend.sweep(plan.geometry, f, plan.h, plan.eps, plan.a, penalty)
    cut = penalty.prox(new, plan.eps) if isinstance(penalty, Capacity) else new
    return new, masses, backend.plan_pattern(replace(plan, f=cut), threshold, limit), 2


def hardmin(geometry, g):
    xp = geometry.xp
    n, m = geometry.shape
    out = np.empty(n)
    for start, stop in row_blocks(geometry):
        out[start:stop] = _host(xp.min(geometry.block(start, stop) - xp.asarray(g)[None, :], axis=1))
    return out


def cost_statistics(geometry):
    xp = geometry.xp
    n, m = geometry.shape
    low, high, total, count = np.inf, -np.inf, 0.0, 0
    for start, stop in row_blocks(geometry):
        block = geometry.block(start, stop)
        finite = xp.isfinite(block)
        number = int(xp.sum(xp.astype(finite, xp.int64)))
        if number == 0:
            continue
        zero = xp.zeros_like(block)
        low = min(low, float(xp.min(xp.where(finite, block, zero + np.inf))))
        high = max(high, float(xp.max(xp.where(finite, block, zero - np.inf))))
        total += float(xp.sum(xp.where(finite, block, zero)))
        count += number
    return low, high, total / count if count else np.nan, count


def _plan_block(plan, start, stop):
    """(rows of P, rows of C) in the geometry's library."""
    geometry = plan.geometry
    xp = geometry.xp
    C = geometry.block(start, stop)
    f = xp.asarray(plan.f_centred[start:stop])[:, None]
    log_a = xp.asarray(_log(plan.a[start:stop]))[:, None]
    return xp.exp(((f - C) / plan.eps + xp.asarray(plan.h_centred)[None, :]) + log_a), C


def plan_rows(plan, start, stop):
    return _host(_plan_block(plan, start, stop)[0])


def transport(plan, v):
    xp = plan.geometry.xp
    n, m = plan.geometry.shape
    out = np.empty((n, v.shape[1]))
    values = xp.asarray(v)
    for start, stop in row_blocks(plan.geometry):
        P, _ = _plan_block(plan, start, stop)
        out[start:stop] = _host(xp.matmul(P, values))
    return out


def plan_statistics(plan):
    xp = plan.geometry.xp
    n, m = plan.geometry.shape
    rows, columns, cost = np.empty(n), np.zeros(m), np.empty(n)
    for start, stop in row_blocks(plan.geometry):
        P, C = _plan_block(plan, start, stop)
        zero = xp.zeros_like(P)
        rows[start:stop] = _host(xp.sum(P, axis=1))
        columns += _host(xp.sum(P, axis=0))
        cost[start:stop] = _host(xp.sum(xp.where(P > 0, P * xp.where(P > 0, C, zero), zero), axis=1))
    return rows, columns, cost


def rounded_objective(plan, row_scale, column_scale, u, v):
    xp = plan.geometry.xp
    n, m = plan.geometry.shape
    linear = entropy = 0.0
    y = xp.asarray(column_scale)[None, :]
    added_columns = xp.asarray(v)[None, :]
    b = xp.asarray(plan.b)[None, :]
    for start, stop in row_blocks(plan.geometry):
        P, C = _plan_block(plan, start, stop)
        part = slice(start, stop)
        Q = P * xp.asarray(row_scale[part])[:, None] * y + xp.asarray(u[part])[:, None] * added_columns
        live = Q > 0
        zero, one = xp.zeros_like(Q), xp.ones_like(Q)
        linear += float(xp.sum(Q * xp.where(live, C, zero)))
        # One weight after the other: the product of two small ones underflows.
        a = xp.asarray(plan.a[part])[:, None]
        ratio = xp.where(live, Q, one) / xp.where(live, a, one) / xp.where(live, b, one)
        # Weights above one may underflow it, where Q is nothing: not 0 * log 0.
        entropy += float(xp.sum(Q * xp.log(xp.where(ratio > 1e-300, ratio, zero + 1e-300))))
    return linear, entropy


def plan_pattern(plan, threshold, limit):
    n, m = plan.geometry.shape
    indices, data, counts = [], [], np.zeros(n + 1, dtype=np.int64)
    found = 0
    for start, stop in row_blocks(plan.geometry):
        P = plan_rows(plan, start, stop)
        keep = threshold * np.minimum(plan.a[start:stop, None], plan.b[None, :]) < P
        counts[start + 1 : stop + 1] = keep.sum(1)
        found += int(counts[start + 1 : stop + 1].sum())
        if found > limit:
            return None
        indices.append(np.nonzero(keep)[1])
        data.append(P[keep])
    return np.cumsum(counts), np.concatenate(indices), np.concatenate(data)


def sparsify(plan, dropped):
    n, m = plan.geometry.shape
    indices, data, counts = [], [], np.zeros(n + 1, dtype=np.int64)
    for start, stop in row_blocks(plan.geometry):
        P = plan_rows(plan, start, stop)
        order = np.argsort(P, axis=1, kind="stable")
        ordered = np.take_along_axis(P, order, axis=1)
        below = np.cumsum(ordered, axis=1) <= dropped * ordered.sum(1, keepdims=True)
        keep = np.zeros(P.shape, dtype=bool)
        np.put_along_axis(keep, order, ~below, axis=1)
        keep &= P > 0
        counts[start + 1 : stop + 1] = keep.sum(1)
        indices.append(np.nonzero(keep)[1])
        data.append(P[keep])
    return np.cumsum(counts), np.concatenate(indices).astype(np.int64), np.concatenate(data)


def top_k(geometry, h, eps, k):
    n, m = geometry.shape
    indices, values = np.empty((n, k), dtype=np.int64), np.empty((n, k))
    for start, stop in row_blocks(geometry):
        reduced = _host(geometry.block(start, stop)) - eps * np.asarray(h)[None, :]
        order = np.argsort(reduced, axis=1, kind="stable")[:, :k]
        indices[start:stop] = order
        values[start:stop] = np.take_along_axis(reduced, order, axis=1)
    return indices, values


def project(geometry, g, gamma, a, most, f, starts):
    n, m = geometry.shape
    most = np.full(n, m) if most is None else np.minimum(most, m)
    starts = np.zeros(n + 1, dtype=np.int64) if starts is None else starts
    level, count, square, column_mass = np.zeros(n), np.zeros(n, dtype=np.int64), np.zeros(n), np.zeros(m)
    indices, masses = np.zeros(starts[-1], dtype=np.int64), np.zeros(starts[-1])
    for start, stop in row_blocks(geometry):
        block = _host(geometry.block(start, stop)) - np.asarray(g)[None, :]
        for i, reduced in enumerate(block, start):
            order = np.argsort(reduced, kind="stable")[: most[i]]
            order = order[np.isfinite(reduced[order])]
            if f is None and (not order.size or not a[i] > 0):
                level[i] = reduced[order[0]] if order.size else 0.0
                continue
            smallest = reduced[order]
            if f is None:
                levels = (gamma * a[i] + np.cumsum(smallest)) / np.arange(1, order.size + 1)
                level[i] = levels[max(int(np.sum(smallest < levels)), 1) - 1]
            else:
                level[i] = f[i]
            chosen = np.sort(
                order[smallest < level[i]] if f is not None else order[: max(1, np.sum(smallest < level[i]))]
            )
            p = np.maximum(level[i] - reduced[chosen], 0.0) / gamma
            count[i], square[i] = chosen.size, p @ p
            column_mass[chosen] += p
            room = min(chosen.size, int(starts[i + 1] - starts[i]))
            indices[starts[i] : starts[i] + room] = chosen[:room]
            masses[starts[i] : starts[i] + room] = p[:room]
    return level, count, square, column_mass, indices, masses


def pair_costs(geometry, rows, columns):
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    out = np.empty(rows.size)
    for start, stop in row_blocks(geometry):
        part = order[np.searchsorted(ordered, start) : np.searchsorted(ordered, stop)]
        if part.size:
            out[part] = _host(geometry.block(start, stop))[rows[part] - start, columns[part]]
    return out


def exact_pairs(backend, geometry, weights, starts, first, second):
    out = np.empty(first.size)
    for k, (i, j) in enumerate(zip(first, second)):
        x, y = (
            start + np.flatnonzero(weights[start:stop] > 0)
            for start, stop in ((starts[i], starts[i + 1]), (starts[j], starts[j + 1]))
        )
        rows, columns = (index.ravel() for index in np.indices((x.size, y.size)))
        costs = backend.pair_costs(geometry, x[rows], y[columns])
        order = np.argsort(costs, kind="stable")
        zero = np.zeros(x.size), np.zeros(y.size)
        found = backend.transport_simplex(weights[x], weights[y], rows, columns, costs, order, *zero)
        found.pivot(1 << 40)
        while found.unmet() > 0 and found.insist():
            found.pivot(1 << 40)
        s, t, masses = found.plan()
        out[k] = masses @ costs.reshape(x.size, y.size)[s, t]
    return out


def assignments(costs):
    from scipy.optimize import linear_sum_assignment

    found = [linear_sum_assignment(np.asarray(each, dtype=np.float64))[1] for each in costs]
    return np.array(found, dtype=np.int64).reshape(costs.shape[:2])


def cost_gradient(plan):
    geometry = plan.geometry
    xp = geometry.xp
    x, y = geometry.prepared
    n, m = geometry.shape
    out = np.empty(x.shape)
    for start, stop in row_blocks(plan.geometry):
        P, C = _plan_block(plan, start, stop)
        slope = geometry.cost.gradient(x[start:stop, :], y, C, xp)
        out[start:stop] = _host(xp.sum(P[:, :, None] * slope, axis=1))
    raw = np.asarray(geometry.x, dtype=np.float64)
    return geometry.cost.pullback(raw, out)


# --- many problems ------------------------------------------------------------------------------------------

#: Ratio of neighbouring levels of eps, and passes on each.
RATIO, SWEEPS = 0.5, 3


def stack_statistics(backend, stack):
    out = np.empty((len(stack), 4))
    for k in range(len(stack)):
        geometry = stack.geometry(k)
        C = np.asarray(geometry.block(0, geometry.shape[0]))
        legal = (-np.inf < C).all()
        found = (
            backend.cost_statistics(geometry) if legal and np.isfinite(C).any() else (np.inf, -np.inf, np.nan, 0)
        )
        out[k] = (*found[:3], found[3] if legal else -1)
    return out


def solve_batch(backend, plans, start, tol, penalties, max_iter):
    size = len(plans)
    codes, passes, errors = np.empty(size, dtype=np.int64), np.zeros(size, dtype=np.int64), np.full(size, np.inf)
    for k in range(size):
        codes[k], passes[k], errors[k] = _solve_one(backend, plans, k, start[k], tol[k], penalties, max_iter)
    return codes, passes, errors


def _solve_one(backend, plans, k, start, tol, penalties, max_iter):
    """Annealed plain Sinkhorn sweeps on problem k."""
    geometry = plans.stack.geometry(k)
    a, b = plans.weights(k)
    f, g = plans.potentials(k)
    eps, log_mass = float(plans.eps[k]), float(plans.log_mass[k])
    C = np.asarray(geometry.block(0, geometry.shape[0]))
    finite = np.isfinite(C)
    if not (-np.inf < C).all():
        return 3, 0, np.inf
    if not finite.all() or any(penalty.kind == 3 for penalty in penalties):
        return 2, 0, np.inf
    first = float(C.max() - C.min()) / 4 if np.isinf(start) else float(start)
    levels = [eps]
    if first > eps:
        count = int(np.ceil(np.log(first / eps) / -np.log(RATIO)))
        levels = [first * (eps / first) ** (i / count) for i in range(count)] + [eps]
    live = b > 0
    log_a, log_b = _log(a) + log_mass, _log(b) + log_mass
    done = 0
    for i, level in enumerate(levels):
        final = i == len(levels) - 1
        on_level = 0
        while final or (on_level < SWEEPS and done + 1 < max_iter):
            f[:], masses = sweep(backend, geometry, None, log_b + g / level, level, a, penalties[0])
            done += 1
            on_level += 1
            error = penalties[1].residual(masses[live], b[live], g[live])
            s = penalties[1].prox(backend.softmin(geometry.T, log_a + f / level, level), level)
            if final and (error <= tol or done >= max_iter):
                g[:] = np.where(live, g, s)
                return (0 if error <= tol else 1), done, error
            g[:] = s
    raise AssertionError("the last level ends by itself")


def batch_statistics(backend, plans):
    row_mass, row_cost, column_mass = np.zeros(plans.f.size), np.zeros(plans.f.size), np.zeros(plans.g.size)
    for k in range(len(plans)):
        _, _, rows, columns = plans.slices(k)
        row_mass[rows], column_mass[columns], row_cost[rows] = backend.plan_statistics(plans.plan(k))
    return row_mass, column_mass, row_cost


def batch_cost_gradients(backend, plans):
    every = [plans.plan(k) for k in range(len(plans))]
    return (
        np.concatenate([backend.cost_gradient(plan) for plan in every]),
        np.concatenate([backend.cost_gradient(plan.T) for plan in every]),
    )


def batch_plans(backend, plans, scale):
    parts = []
    for k in range(len(plans)):
        plan = plans.plan(k)
        parts.append((scale[k] * np.asarray(backend.plan_rows(plan, 0, plan.f.size))).ravel())
    return np.concatenate(parts) if parts else np.zeros(0)
