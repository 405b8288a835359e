"""Many small entropic problems, each from its first level of eps to its stopping test inside one kernel call.

A problem is scaled with a stored kernel ``K = exp((f + g - C) / eps)``: one read per pass and no exponential.
Exponents are float64, entries and sums float32, which is all that a marginal error of 1e-6 asks for and twice
as fast. Scalings that grow are absorbed into the potentials, which are float64. At the end one pass in float64
makes the rows exact and measures the error that decides; where it asks for more, a float64 kernel goes on. Soft
marginals, and scalings that leave the safe range, take log-domain sweeps (`small`).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .policy import kernel
from .small import extrapolate, solve_small
from .sweep import prox
from .vector_math import LN2, LOG2E, exp2, log2

#: How a problem ended.
CONVERGED, MAX_ITER, UNFINISHED, ILLEGAL = 0, 1, 2, 3
#: Ratio of neighbouring levels of eps, passes on each.
RATIO, SWEEPS = 0.1, 3
#: Of Anderson acceleration.
MEMORY = 8
#: Passes at the target with a stored kernel, passes without progress that end them, also where the error is within
#: `NEAR` of the goal: that is rounding. Log-domain sweeps where stored kernels fail.
MOST, PATIENCE, SHORT_PATIENCE, NEAR, MOST_EXACT = 3000, 60, 12, 8.0, 400
#: Marginal error below which sums are noise, in float32 and in float64.
FLOOR, FLOOR_EXACT = 4e-7, 1e-13
#: Rows and columns of stored kernels are filled up to multiples of these: loops have no rest.
ROW_GROUP, LANES = 4, 8
#: Scalings up to ``exp(REACH)`` are not absorbed; row and column sums outside ``(1 / SAFE, SAFE)`` end float32.
REACH = 20.0
SAFE = 1e25


class Problems(NamedTuple):
    """Where the problems of a call are in flat arrays; all (K,) int64."""

    costs: Any
    a: Any
    b: Any
    f: Any
    g: Any
    n: Any
    m: Any


class Aim(NamedTuple):
    """What is asked of every problem; arrays are (K,) float64."""

    eps: Any
    start: Any  # eps at which scaling begins: inf a quarter of the range, 0 the target
    tol: Any  # mass units
    log_mass: Any
    kind_a: int
    rho_a: float
    kind_b: int
    rho_b: float
    max_iter: int


class Scratch(NamedTuple):
    """Memory for one problem, used again by the next."""

    K: Any
    v: Any
    weights: Any
    totals: Any
    sums: Any
    x: Any
    image: Any
    residual: Any
    last_image: Any
    last_residual: Any
    residual_steps: Any
    image_steps: Any
    h2: Any
    row: Any
    masses: Any


@kernel
def scratch(n, m, dtype):
    """Memory for problems of up to n rows and m columns, kernels in `dtype`."""
    height = -(-n // ROW_GROUP) * ROW_GROUP
    width = -(-m // LANES) * LANES
    return Scratch(
        np.empty(height * width, dtype),
        np.empty(width, dtype),
        np.empty(height, dtype),
        np.empty(height, dtype),
        np.empty(width, dtype),
        np.empty(m),
        np.empty(m),
        np.empty(m),
        np.empty(m),
        np.empty(m),
        np.empty(MEMORY * m),
        np.empty(MEMORY * m),
        np.empty(m),
        np.empty(m),
        np.empty(m),
    )


@kernel
def cost_range(C, low, high, total):
    """(minimum, maximum, sum) of the finite costs and the number of forbidden pairs, -1 for illegal entries.

    Per column first, in the scratch vectors given: minima of a vector are vectorised, a minimum is not.
    """
    n, m = C.shape
    for j in range(m):
        low[j] = math.inf
        high[j] = -math.inf
        total[j] = 0.0
    for i in range(n):
        c = C[i]
        for j in range(m):
            x = float(c[j])
            low[j] = x if x < low[j] else low[j]
            high[j] = x if x > high[j] else high[j]
            total[j] += x
    smallest = math.inf
    largest = -math.inf
    everything = 0.0
    for j in range(m):
        smallest = min(smallest, low[j])
        largest = max(largest, high[j])
        everything += total[j]
    if -math.inf < everything < math.inf:
        return smallest, largest, everything, 0
    forbidden = 0
    smallest = math.inf
    largest = -math.inf
    everything = 0.0
    for i in range(n):
        for j in range(m):
            x = float(C[i, j])
            if x == math.inf:
                forbidden += 1
            elif x > -math.inf:
                smallest = min(smallest, x)
                largest = max(largest, x)
                everything += x
            else:
                return 0.0, 0.0, 0.0, -1
    return smallest, largest, everything, forbidden


@kernel
def fill_kernel(C, f, g, inv2, g2, K):
    """``K_ij = 2**((f_i - C_ij + g_j) * inv2)``, 0 in the padding and where forbidden; exponents in float64."""
    n, m = C.shape
    for j in range(m):
        g2[j] = g[j] * inv2
    for i in range(n):
        c = C[i]
        out = K[i]
        fi = f[i]
        for j in range(m):
            # Costs far from zero cancel in the difference, before anything is rounded. A huge exponent only says
            # that the sums leave the safe range.
            out[j] = min((fi - float(c[j])) * inv2 + g2[j], 100.0)
        # A loop of its own: twice as many float32 fit a register, and exponentials take most of the time.
        for j in range(m):
            out[j] = exp2(out[j])
        out[m:] = 0.0
    for i in range(n, K.shape[0]):
        K[i] = 0.0


@kernel
def scale(K, v, weights, totals, sums):
    """``totals_i = sum_j K_ij v_j``, ``sums_j = sum_i (a_i / totals_i) K_ij`` in one read of K.

    Returns whether the totals of rows with weight are in the safe range.
    """
    zero = K.dtype.type(0.0)
    width = K.shape[1]
    least = math.inf
    most = 0.0
    for j in range(width):
        sums[j] = zero
    for i in range(0, K.shape[0], ROW_GROUP):
        k0 = K[i]
        k1 = K[i + 1]
        k2 = K[i + 2]
        k3 = K[i + 3]
        p = zero
        q = zero
        r = zero
        s = zero
        for j in range(width):
            w = v[j]
            p += k0[j] * w
            q += k1[j] * w
            r += k2[j] * w
            s += k3[j] * w
        totals[i] = p
        totals[i + 1] = q
        totals[i + 2] = r
        totals[i + 3] = s
        u0 = zero
        u1 = zero
        u2 = zero
        u3 = zero
        if weights[i] > zero:
            u0 = weights[i] / p
            least = min(least, p)
            most = max(most, p)
        if weights[i + 1] > zero:
            u1 = weights[i + 1] / q
            least = min(least, q)
            most = max(most, q)
        if weights[i + 2] > zero:
            u2 = weights[i + 2] / r
            least = min(least, r)
            most = max(most, r)
        if weights[i + 3] > zero:
            u3 = weights[i + 3] / s
            least = min(least, s)
            most = max(most, s)
        for j in range(width):
            sums[j] += u0 * k0[j] + u1 * k1[j] + u2 * k2[j] + u3 * k3[j]
    return least * SAFE > 1.0 and most < SAFE


@kernel
def sums_are_safe(b, sums):
    """Whether the sums of columns with weight say what their potentials are."""
    fine = True
    for j in range(b.size):
        fine = fine and (b[j] == 0.0 or 1.0 / SAFE < sums[j] < SAFE)
    return fine


@kernel
def absorb_rows(f, totals, eps):
    """Row potentials that make the rows of the last pass exact."""
    for i in range(f.size):
        f[i] -= eps * LN2 * float(log2(max(totals[i], totals.dtype.type(1e-30))))


@kernel
def descend(C, a, b, f, g, first, eps, count, most, work):
    """A few passes on every level from `first` down to the one before `eps`: (passes, whether all went well)."""
    n, m = C.shape
    height = -(-n // ROW_GROUP) * ROW_GROUP
    width = -(-m // LANES) * LANES
    K = work.K[: height * width].reshape(height, width)
    v = work.v[:width]
    weights = work.weights[:height]
    totals = work.totals[:height]
    sums = work.sums[:width]
    v[m:] = 0.0
    number = K.dtype.type
    passes = 0
    for level in range(count):
        e = first * (eps / first) ** (level / count)
        fill_kernel(C, f, g, LOG2E / e, work.h2, K)
        for j in range(m):
            v[j] = b[j]
        on_level = 0
        while on_level < SWEEPS and passes + 1 < most:
            if not scale(K, v, weights, totals, sums) or not sums_are_safe(b, sums):
                return passes + 1, False
            for j in range(m):
                v[j] = number(b[j]) / max(sums[j], number(1e-30))
            on_level += 1
            passes += 1
        if on_level == 0:
            break
        absorb_rows(f, totals, e)
        for j in range(m):
            g[j] -= e * LN2 * float(log2(max(sums[j], number(1e-30))))
    return passes, True


@kernel
def settle(C, a, b, f, g, eps, goal, most, work):
    """Accelerated passes at the target: (passes, whether the error fell below `goal`)."""
    n, m = C.shape
    height = -(-n // ROW_GROUP) * ROW_GROUP
    width = -(-m // LANES) * LANES
    K = work.K[: height * width].reshape(height, width)
    v = work.v[:width]
    weights = work.weights[:height]
    totals = work.totals[:height]
    sums = work.sums[:width]
    x = work.x[:m]
    image = work.image[:m]
    residual = work.residual[:m]
    last_image = work.last_image[:m]
    last_residual = work.last_residual[:m]
    residual_steps = work.residual_steps[: MEMORY * m].reshape(MEMORY, m)
    image_steps = work.image_steps[: MEMORY * m].reshape(MEMORY, m)
    fill_kernel(C, f, g, LOG2E / eps, work.h2, K)
    v[m:] = 0.0
    for j in range(m):
        x[j] = 0.0
        v[j] = b[j]
    number = K.dtype.type
    held = 0
    slot = 0
    steps = 0
    passes = 0
    since = 0
    accepted = math.inf
    best = math.inf
    guarded = False
    while passes < most:
        safe = scale(K, v, weights, totals, sums)
        passes += 1
        safe = safe and sums_are_safe(b, sums)
        error = 0.0
        for j in range(m):
            error += abs(float(v[j] * sums[j]) - b[j])
        if guarded and not (safe and error <= 1.5 * accepted):
            # The extrapolation overshot: back to the plain image it started from.
            for j in range(m):
                x[j] = last_image[j]
                v[j] = b[j] * exp2(number(x[j] * LOG2E))
            held = 0
            slot = 0
            steps = 0
            guarded = False
            accepted = math.inf
            continue
        if not safe:
            return passes, False
        if error <= goal:
            for j in range(m):
                g[j] += eps * x[j]
            absorb_rows(f, totals, eps)
            return passes, True
        since += 1
        if error < 0.99 * best:
            best = error
            since = 0
        if since > PATIENCE or (since > SHORT_PATIENCE and best < NEAR * goal):
            break
        size = 0.0
        for j in range(m):
            image[j] = -LN2 * float(log2(max(sums[j], number(1e-30))))
            residual[j] = (image[j] - x[j]) * work.row[j]
        if steps > 0:
            for j in range(m):
                size += (residual[j] - last_residual[j]) ** 2
            size = math.sqrt(size)
            if size > 0.0:
                inverse = 1.0 / size
                for j in range(m):
                    residual_steps[slot, j] = (residual[j] - last_residual[j]) * inverse
                    image_steps[slot, j] = (image[j] - last_image[j]) * inverse
                slot = slot + 1 if slot + 1 < MEMORY else 0
                held = min(held + 1, MEMORY)
        steps += 1
        accepted = error
        guarded = True
        for j in range(m):
            last_image[j] = image[j]
            last_residual[j] = residual[j]
            x[j] = image[j]
        if held > 0 and steps % 2 == 0:
            extrapolate(x, residual, residual_steps, image_steps, held)
        farthest = 0.0
        for j in range(m):
            farthest = max(farthest, abs(x[j]))
        if not farthest < 3.0 * REACH:
            for j in range(m):
                x[j] = image[j]
            held = 0
            slot = 0
            steps = 0
            guarded = False
        if farthest > REACH:
            absorb_rows(f, totals, eps)
            for j in range(m):
                g[j] += eps * x[j]
                last_image[j] -= x[j]
                x[j] = 0.0
            fill_kernel(C, f, g, LOG2E / eps, work.h2, K)
        for j in range(m):
            v[j] = b[j] * exp2(number(x[j] * LOG2E))
    for j in range(m):
        g[j] += eps * x[j]
    absorb_rows(f, totals, eps)
    return passes, False


@kernel
def exact_rows(C, a, b, f, g, eps, known, work):
    """Row potentials from the column potentials, in float64: the marginal error that is left, infinite if lost.

    `known` says that `f` is near what comes out: a shift with which no exponent is large.
    """
    n, m = C.shape
    inv2 = LOG2E / eps
    h2 = work.h2[:m]
    row = work.image[:m]
    masses = work.masses[:m]
    for j in range(m):
        h2[j] = (math.log2(b[j]) if b[j] > 0.0 else -math.inf) + g[j] * inv2
        masses[j] = 0.0
    for i in range(n):
        c = C[i]
        fi = f[i]
        top = fi * inv2
        total = 0.0
        if known:
            for j in range(m):
                row[j] = exp2(min((fi - float(c[j])) * inv2 + h2[j], 1000.0))
                total += row[j]
        if not 1e-200 < total < 1e200:
            top = math.inf
            for j in range(m):
                top = min(top, float(c[j]) * inv2 - h2[j])
            if top == math.inf:
                if a[i] > 0.0:
                    return math.inf
                f[i] = 0.0
                continue
            total = 0.0
            for j in range(m):
                row[j] = exp2((top - float(c[j]) * inv2) + h2[j])
                total += row[j]
        f[i] = eps * LN2 * (top - math.log2(total))
        if a[i] > 0.0:
            weight = a[i] / total
            for j in range(m):
                masses[j] += weight * row[j]
    error = 0.0
    for j in range(m):
        error += abs(masses[j] - b[j])
    return error


@kernel
def complete(C, a, b, f, g, eps, log_mass, kind, rho):
    """Column potentials where a weight is 0: what an infinitely small weight would have."""
    n, m = C.shape
    inv2 = LOG2E / eps
    for j in range(m):
        if b[j] > 0.0:
            continue
        top = -math.inf
        for i in range(n):
            if a[i] > 0.0:
                top = max(top, math.log2(a[i]) + (f[i] - float(C[i, j])) * inv2)
        if top == -math.inf:
            g[j] = 0.0
            continue
        total = 0.0
        for i in range(n):
            if a[i] > 0.0:
                total += 2.0 ** (math.log2(a[i]) + (f[i] - float(C[i, j])) * inv2 - top)
        g[j] = prox(kind, rho, -eps * LN2 * (top + math.log2(total)) - eps * log_mass, eps)


@kernel
def largest(values):
    """Largest absolute value."""
    found = 0.0
    for k in range(values.size):
        found = max(found, abs(values[k]))
    return found


@kernel
def solve_one(C, a, b, f, g, k, aim, work, exact_work):
    """One problem: (how it ended, passes, marginal error in mass units)."""
    n, m = C.shape
    eps = aim.eps[k]
    tol = aim.tol[k]
    hard = aim.kind_a == 0 and aim.kind_b == 0
    low, high, _, forbidden = cost_range(C, work.x, work.image, work.residual)
    if forbidden < 0:
        return ILLEGAL, 0, math.inf
    spread = high - low
    # Forbidden pairs may leave no plan: who solves these alone says why. Elsewhere nothing can go wrong so.
    if not spread < math.inf or (forbidden > 0 and not hard):
        return UNFINISHED, 0, math.inf
    cold = aim.start[k] == math.inf
    first = spread / 4.0 if cold else aim.start[k]
    count = math.ceil(math.log(first / eps) / -math.log(RATIO)) if first > eps else 0
    passes = 0
    error = math.inf
    if hard:
        if cold:
            for i in range(n):
                f[i] = low
        elif not exact_rows(C, a, b, f, g, max(first, eps), False, work) < math.inf:
            return UNFINISHED, 0, math.inf
        for i in range(n):
            work.weights[i] = a[i]
        work.weights[n:] = 0.0
        for j in range(m):
            work.row[j] = math.sqrt(b[j])
        passes, fine = descend(C, a, b, f, g, first, eps, count, aim.max_iter, work)
        if fine and passes < aim.max_iter:
            most = min(MOST, aim.max_iter - passes)
            more, fine = settle(C, a, b, f, g, eps, max(0.7 * tol, FLOOR), most, work)
            passes += more
        error = exact_rows(C, a, b, f, g, eps, True, work)
        if tol < error < math.inf and passes < aim.max_iter:
            for i in range(n):
                exact_work.weights[i] = a[i]
            exact_work.weights[n:] = 0.0
            exact_work.row[:m] = work.row[:m]
            most = min(MOST, aim.max_iter - passes)
            more, fine = settle(C, a, b, f, g, eps, max(0.9 * tol, FLOOR_EXACT), most, exact_work)
            passes += more
            error = exact_rows(C, a, b, f, g, eps, True, work)
        if error <= tol and 4.0 * 2.0**-52 * (largest(f) + largest(g)) > 0.01 * tol * eps:
            return UNFINISHED, passes, error  # rounding of the exponents may hide an error
        if error <= tol:
            complete(C, a, b, f, g, eps, 0.0, 0, math.inf)
            return CONVERGED, passes, error
        if passes >= aim.max_iter:
            complete(C, a, b, f, g, eps, 0.0, 0, math.inf)
            return MAX_ITER, passes, error
        if not error < math.inf:
            return UNFINISHED, passes, error
        levels = np.full(1, eps)
    else:
        levels = np.empty(count + 1)
        for level in range(count + 1):
            levels[level] = first * (eps / first) ** (level / count) if count else eps
        levels[count] = eps
    budget = min(MOST_EXACT, aim.max_iter - passes)
    errors = np.empty(budget)
    more = solve_small(
        C, a, b, f, g, levels, SWEEPS, aim.log_mass[k], aim.kind_a, aim.rho_a, aim.kind_b, aim.rho_b, tol, budget,
        2 * MEMORY, errors,
    )  # fmt: skip
    passes += more
    error = errors[more - 1]
    if error <= tol and 4.0 * 2.0**-52 * (largest(f) + largest(g)) > 0.01 * tol * eps:
        return UNFINISHED, passes, error
    complete(C, a, b, f, g, eps, aim.log_mass[k], aim.kind_b, aim.rho_b)
    if error <= tol:
        return CONVERGED, passes, error
    return MAX_ITER if passes >= aim.max_iter else UNFINISHED, passes, error


@kernel
def solve_some(costs, a, b, f, g, at, aim, begin, end, codes, passes, errors):
    """Problems ``begin:end``; potentials are overwritten, `g` is where they start."""
    most_n = 1
    most_m = 1
    for k in range(begin, end):
        most_n = max(most_n, at.n[k])
        most_m = max(most_m, at.m[k])
    work = scratch(most_n, most_m, np.float32)
    exact_work = scratch(most_n, most_m, np.float64)
    for k in range(begin, end):
        n = at.n[k]
        m = at.m[k]
        C = costs[at.costs[k] : at.costs[k] + n * m].reshape(n, m)
        codes[k], passes[k], errors[k] = solve_one(
            C,
            a[at.a[k] : at.a[k] + n],
            b[at.b[k] : at.b[k] + m],
            f[at.f[k] : at.f[k] + n],
            g[at.g[k] : at.g[k] + m],
            k,
            aim,
            work,
            exact_work,
        )


@kernel
def statistics_of_costs(costs, at, begin, end, out):
    """(minimum, maximum, mean, finite pairs) of problems ``begin:end``; pairs -1 for illegal entries."""
    most = 1
    for k in range(begin, end):
        most = max(most, at.m[k])
    low = np.empty(most)
    high = np.empty(most)
    total = np.empty(most)
    for k in range(begin, end):
        n = at.n[k]
        m = at.m[k]
        C = costs[at.costs[k] : at.costs[k] + n * m].reshape(n, m)
        smallest, largest_cost, everything, forbidden = cost_range(C, low, high, total)
        pairs = n * m - forbidden if forbidden >= 0 else -1
        out[k, 0] = smallest
        out[k, 1] = largest_cost
        out[k, 2] = everything / pairs if pairs > 0 else math.nan
        out[k, 3] = pairs


@kernel
def statistics_of_plans(costs, a, b, f, g, at, aim, begin, end, row_mass, column_mass, row_cost):
    """Both marginals and the cost of every row of the plans ``begin:end``, float64."""
    most = 1
    for k in range(begin, end):
        most = max(most, at.m[k])
    h2 = np.empty(most)
    for k in range(begin, end):
        n = at.n[k]
        m = at.m[k]
        C = costs[at.costs[k] : at.costs[k] + n * m].reshape(n, m)
        inv2 = LOG2E / aim.eps[k]
        columns = column_mass[at.g[k] : at.g[k] + m]
        for j in range(m):
            weight = b[at.b[k] + j]
            h2[j] = math.log2(weight) + g[at.g[k] + j] * inv2 if weight > 0.0 else -math.inf
            h2[j] += aim.log_mass[k] * LOG2E
            columns[j] = 0.0
        for i in range(n):
            c = C[i]
            fi = f[at.f[k] + i]
            weight = a[at.a[k] + i]
            mass = 0.0
            cost = 0.0
            if weight > 0.0:
                for j in range(m):
                    x = float(c[j])
                    p = weight * exp2(min((fi - x) * inv2 + h2[j], 1023.0))
                    mass += p
                    # A forbidden pair carries nothing, at any price.
                    cost += p * x if x < math.inf else 0.0
                    columns[j] += p
            row_mass[at.f[k] + i] = mass
            row_cost[at.f[k] + i] = cost


@kernel
def fill_plans(costs, a, b, f, g, at, aim, scale, places, begin, end, out):
    """Entries of the plans ``begin:end`` times their `scale`, from ``out[places[k]]`` on."""
    most = 1
    for k in range(begin, end):
        most = max(most, at.m[k])
    h2 = np.empty(most)
    for k in range(begin, end):
        n = at.n[k]
        m = at.m[k]
        place = places[k]
        C = costs[at.costs[k] : at.costs[k] + n * m].reshape(n, m)
        inv2 = LOG2E / aim.eps[k]
        for j in range(m):
            weight = b[at.b[k] + j]
            h2[j] = math.log2(weight) + g[at.g[k] + j] * inv2 if weight > 0.0 else -math.inf
            h2[j] += aim.log_mass[k] * LOG2E
        for i in range(n):
            c = C[i]
            fi = f[at.f[k] + i]
            weight = a[at.a[k] + i] * scale[k]
            line = out[place : place + m]
            place += m
            for j in range(m):
                line[j] = weight * exp2(min((fi - float(c[j])) * inv2 + h2[j], 1023.0)) if weight > 0.0 else 0.0
