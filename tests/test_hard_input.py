"""Hard but legal: extreme scales, masses, shapes, layouts, degenerate costs. Finite and honest answers, always."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from checks import check_same_bits, check_solution
from oracles import check_unbalanced_solution
from problems import some_weights

import ot_solvers as ots
from ot_solvers import Status

#: Inside one kernel, and not.
SIZES = [(14, 11), (110, 90)]


def numbers(solution):
    """Every number and array that a result shows."""
    return [
        solution.value, solution.value_linear, solution.dual_value, solution.gap, *solution.bounds,
        solution.marginal_error, *solution.potentials, solution.marginal_a, solution.marginal_b, solution.plan,
    ]  # fmt: skip


def check_finite(solution) -> None:
    for number in numbers(solution):
        assert np.isfinite(np.asarray(number)).all(), solution


def check_honest(solution, C, a, b, tol=1e-6) -> None:
    """Finite; converged says what it says; the certificate holds together."""
    check_finite(solution)
    plan = np.asarray(solution.plan, dtype=np.float64)
    error = oracles.marginal_error(plan / a.sum(), a / a.sum(), b / b.sum())
    if solution.converged:
        assert error <= tol * (1 + 1e-6) + (1e-7 if solution.plan.dtype == np.float32 else 0)
    assert solution.marginal_error == pytest.approx(error, rel=1e-3, abs=1e-7)
    lower, upper = solution.bounds
    unit = max(abs(lower), abs(upper), abs(solution.value))
    assert lower <= upper + 1e-9 * unit
    assert solution.gap >= -1e-9 * unit


@pytest.fixture(params=SIZES, ids=["small", "large"])
def problem(request, rng):
    """(x, y, C, a, b), zero weights on both sides."""
    n, m = request.param
    x, y = rng.random((n, 2)), rng.random((m, 2))
    return x, y, oracles.squared_distances(x, y), some_weights(rng, n), some_weights(rng, m)


# --- weights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["first", "last", "both ends", "all but one", "most"])
@pytest.mark.parametrize("side", ["a", "b", "both"])
@pytest.mark.parametrize("kind", [None, "kl", "tv"])
def test_zero_weights(rng, where, side, kind):
    for n, m in SIZES:
        x, y = rng.random((n, 2)), rng.random((m, 2))
        C = oracles.squared_distances(x, y)
        a, b = rng.uniform(0.5, 1.5, n), rng.uniform(0.5, 1.5, m)
        for weights in {"a": (a,), "b": (b,), "both": (a, b)}[side]:
            dead = {
                "first": slice(0, 1), "last": slice(-1, None), "both ends": [0, -1], "all but one": slice(1, None),
                "most": slice(0, int(0.9 * weights.size)),
            }[where]  # fmt: skip
            weights[dead] = 0.0
        a, b = a / a.sum(), b / b.sum()
        mode = {} if kind is None else {"unbalanced": 0.3, "unbalanced_type": kind}
        solution = ots.solve(C, a, b, reg=0.05, tol=1e-9, **mode)
        assert solution.converged
        check_finite(solution)
        assert (solution.plan[a == 0] == 0).all() and (solution.plan[:, b == 0] == 0).all()
        # The problem without those points is the same.
        alive = ots.solve(C[np.ix_(a > 0, b > 0)], a[a > 0], b[b > 0], reg=0.05, tol=1e-9, **mode)
        assert solution.value == pytest.approx(alive.value, abs=1e-8)
        np.testing.assert_allclose(solution.plan[np.ix_(a > 0, b > 0)], alive.plan, atol=1e-7)
        cloud = ots.solve_sample(x, y, a, b, reg=0.05, tol=1e-9, **mode)
        assert cloud.value == pytest.approx(alive.value, abs=1e-8)


@pytest.mark.parametrize("M", [1e-300, 1e-200, 1e-30, 1e30, 1e200, 1e300])
def test_extreme_total_masses(problem, M):
    x, y, C, a, b = problem
    one = ots.solve(C, a, b, reg=0.05)
    many = ots.solve(C, M * a, M * b, reg=0.05)
    assert many.converged
    check_finite(many)
    assert many.value / M == pytest.approx(one.value - 0.05 * math.log(M), rel=1e-9)
    assert many.value_linear / M == pytest.approx(one.value_linear, rel=1e-9)
    assert many.gap / M == pytest.approx(one.gap, rel=0.5, abs=1e-11 * (1 + abs(math.log(M))))
    np.testing.assert_allclose(np.array(many.bounds) / M, one.bounds, rtol=1e-9)
    np.testing.assert_allclose(many.plan / M, one.plan, rtol=1e-7, atol=1e-15)
    cloud = ots.solve_sample(x, y, M * a, M * b, reg=0.05)
    assert cloud.value / M == pytest.approx(one.value - 0.05 * math.log(M), rel=1e-6)
    # A warm start knows where the mass went.
    assert ots.solve(C, M * a, M * b, reg=0.05, init=many).n_iter == 1


@pytest.mark.parametrize("kind", ["kl", "tv"])
@pytest.mark.parametrize("M", [1e-200, 1e-100, 1e-10, 1e10, 1e100, 1e200])
def test_extreme_masses_unbalanced(problem, kind, M):
    _, _, C, a, b = problem
    a, b = M * a, 2 * M * b
    solution = ots.solve(C, a, b, reg=0.05, unbalanced=0.4, unbalanced_type=kind, on_failure="ignore")
    if M == 1e200:
        # The plan grows with the product of the masses: beyond what a float holds, or its digits. Then say so.
        assert not solution.converged
        assert (solution.status is Status.DIVERGED) == (kind == "tv")
        return
    assert solution.converged
    check_finite(solution)
    check_unbalanced_solution(solution, C, a, b, (0.4, 0.4), kind)
    # What stays of the gap is the rounding of the largest term, not of eps sum(a) sum(b).
    assert abs(solution.gap) <= 1e-5 * M + 1e-12 * solution.plan.sum()


def test_opposite_masses(problem):
    _, _, C, a, b = problem
    for ratio in (1e-12, 1e12):
        for kind in ("kl", "tv"):
            solution = ots.solve(C, a, ratio * b, reg=0.05, unbalanced=0.4, unbalanced_type=kind)
            assert solution.converged
            check_unbalanced_solution(solution, C, a, ratio * b, (0.4, 0.4), kind)


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_weights_over_many_orders_of_magnitude(problem, backend):
    x, y, C, a, b = problem
    wide = 10.0 ** np.linspace(-300, 0, a.size)
    tall = 10.0 ** np.linspace(0, -300, b.size)
    for first, second in ((wide, b), (a, tall), (wide, tall), (wide[::-1], tall)):
        first, second = first / first.sum(), second / second.sum()
        for solution in (
            ots.solve(C, first, second, reg=0.02, backend=backend),
            ots.solve_sample(x, y, first, second, reg=0.02, backend=backend),
        ):
            assert solution.converged
            check_honest(solution, C, first, second)


# --- eps and costs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [1e-4, 1e-6, 1e-9])
@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_tiny_eps(problem, share, backend):
    x, y, C, a, b = problem
    exact = oracles.exact_transport(C, a, b)
    for solve, data in ((ots.solve, (C,)), (ots.solve_sample, (x, y))):
        eps = share * C.max()
        solution = solve(*data, a, b, reg=eps, max_iter=1500, on_failure="ignore", backend=backend)
        check_honest(solution, C, a, b)
        assert solution.status in (Status.CONVERGED, Status.MAX_ITER, Status.STALLED)
        lower, upper = solution.bounds
        assert lower - 1e-12 <= exact <= upper + 1e-12
        assert solution.gap < 0.5 * C.max()


def test_huge_eps(problem):
    _, _, C, a, b = problem
    for eps in (1e6, 1e15, 1e300):
        solution = ots.solve(C, a, b, reg=eps)
        assert solution.converged
        check_finite(solution)
        np.testing.assert_allclose(solution.plan, np.outer(a, b), rtol=1e-5)
        assert solution.value_linear == pytest.approx(a @ C @ b, rel=1e-5)


@pytest.mark.parametrize("shift", [1e6, -1e6, 1e4, -1e4])
@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_shifted_costs(problem, shift, backend, order):
    _, _, C, a, b = problem
    plain = ots.solve(C, a, b, reg=0.01)
    moved = ots.solve(np.asarray(C + shift, order=order), a, b, reg=0.01, backend=backend)
    assert moved.converged
    check_honest(moved, C + shift, a, b)
    assert moved.value - shift == pytest.approx(plain.value, abs=2e-6 * abs(shift))
    # The dual value is right to second order in the marginal error: it keeps its digits.
    assert moved.dual_value - shift == pytest.approx(plain.dual_value, abs=1e-7)
    np.testing.assert_allclose(moved.plan, plain.plan, atol=1e-6)
    np.testing.assert_allclose(np.array(moved.bounds) - shift, plain.bounds, atol=1e-5)
    assert -1e-8 <= moved.gap <= plain.gap + 2e-6 * (1 + np.abs(moved.potential_a - shift / 2).max())
    assert moved.n_iter <= 1.5 * plain.n_iter + 5


def test_shifted_points_lose_what_their_digits_lose(problem):
    x, y, C, a, b = problem
    far = 1e6  # squared distances of such points are good to 1e-10
    plain = ots.solve_sample(x, y, a, b, reg=0.01)
    moved = ots.solve_sample(x + far, y + far, a, b, reg=0.01)
    assert moved.converged
    assert moved.value == pytest.approx(plain.value, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e-8, 1e8, 1e30, 1e150])
@pytest.mark.parametrize("mode", [None, "kl", "tv"])
@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_scaled_costs(problem, scale, mode, backend):
    _, _, C, a, b = problem

    def options(unit):
        soft = {} if mode is None else {"unbalanced": 0.5 * unit, "unbalanced_type": mode}
        return {"reg": 0.01 * unit, "backend": backend, **soft}

    plain = ots.solve(C, a, b, **options(1.0))
    scaled = ots.solve(scale * C, a, b, **options(scale))
    assert scaled.converged
    check_finite(scaled)
    assert scaled.value / scale == pytest.approx(plain.value, rel=1e-5)
    assert scaled.dual_value / scale == pytest.approx(plain.dual_value, rel=1e-5)
    np.testing.assert_allclose(scaled.plan, plain.plan, atol=2e-6)
    np.testing.assert_allclose(np.array(scaled.bounds) / scale, plain.bounds, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-15, 1e-8, 1e8, 1e15])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "cityblock", "cosine"])
def test_scaled_points(problem, scale, dtype, cost):
    x, y, _, a, b = problem
    x, y = x + 0.1, y + 0.1
    unit = {"sqeuclidean": scale**2, "cosine": 1.0}.get(cost, scale)
    plain = ots.solve_sample(x, y, a, b, cost=cost, reg=0.01)
    scaled = ots.solve_sample(
        (scale * x).astype(dtype), (scale * y).astype(dtype), a, b, cost=cost, reg=0.01 * unit
    )
    assert scaled.converged
    check_finite(scaled)
    assert scaled.potential_a.dtype == dtype
    rtol = 2e-4 if dtype == np.float32 else 1e-5
    assert scaled.value / unit == pytest.approx(plain.value, rel=rtol, abs=rtol * 0.01)
    where = scaled.transport((scale * x).astype(dtype)) / scale
    np.testing.assert_allclose(where, plain.transport(x), atol=5e-3 if dtype == np.float32 else 1e-4)


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_scaled_costs_in_single_precision(problem, scale):
    _, _, C, a, b = problem
    plain = ots.solve(C, a, b, reg=0.01)
    scaled = ots.solve((scale * C).astype(np.float32), a, b, reg=0.01 * scale)
    assert scaled.converged
    check_finite(scaled)
    assert scaled.value / scale == pytest.approx(plain.value, rel=2e-4)
    np.testing.assert_allclose(scaled.plan, plain.plan, atol=2e-4)


def test_shifted_costs_in_single_precision(problem):
    # 1000 + C in float32 keeps 6e-5 of C: the plan is that of the rounded costs.
    _, _, C, a, b = problem
    rounded = (C + 1000).astype(np.float32)
    expected = ots.solve(rounded.astype(np.float64), a, b, reg=0.01, tol=1e-9)
    for shift_sign in (1, -1):
        shifted = rounded if shift_sign > 0 else (rounded - np.float32(2000))
        solution = ots.solve(shifted, a, b, reg=0.01)
        assert solution.converged
        check_finite(solution)
        np.testing.assert_allclose(solution.plan, expected.plan, atol=3e-4)


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0, 1e-300, 1e100])
@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("mode", [None, "kl", "tv"])
def test_constant_costs(value, backend, mode, rng):
    a, b = some_weights(rng, 7), some_weights(rng, 9)
    eps = 0.1 if abs(value) < 1e100 else 1e99
    soft = {} if mode is None else {"unbalanced": 50 * eps, "unbalanced_type": mode}
    solution = ots.solve(np.full((7, 9), value), a, b, reg=eps, backend=backend, **soft)
    assert solution.converged
    check_finite(solution)
    if mode is None:
        np.testing.assert_allclose(solution.plan, np.outer(a, b), rtol=1e-12)
        assert solution.value == pytest.approx(value, rel=1e-12, abs=1e-14)
        assert abs(solution.gap) <= 1e-12 * max(abs(value), 1e-2)
        np.testing.assert_allclose(solution.bounds, value, rtol=1e-12, atol=1e-14)
    else:
        np.testing.assert_allclose(solution.plan, np.outer(a, b) * solution.plan.sum(), rtol=1e-9)


@pytest.mark.parametrize("identical", ["all points one", "two clouds the same", "duplicates", "same array"])
@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "chebyshev", "sphere", "hamming"])
def test_coinciding_points(identical, cost, rng):
    x = rng.normal(size=(20, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    if identical == "all points one":
        x = np.repeat(x[:1], 20, axis=0)
    if identical == "duplicates":
        x = x[rng.integers(4, size=20)]
    y = x if identical == "same array" else x.copy()
    a = some_weights(rng, 20)
    for eps in (0.5, 0.01):
        solution = ots.solve_sample(x, y, a, a, cost=cost, reg=eps)
        assert solution.converged
        check_finite(solution)
        assert solution.value >= -1e-12
        assert abs(ots.sinkhorn_divergence(x, y, a, a, cost=cost, reg=eps).value) <= 1e-6
        np.testing.assert_allclose(solution.plan, solution.plan.T, atol=1e-5)


# --- shapes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 500), (500, 1), (2, 2), (3, 700), (700, 3)])
@pytest.mark.parametrize("mode", [None, "kl", "tv"])
@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_thin_problems(shape, mode, backend, rng):
    n, m = shape
    x, y = rng.random((n, 2)), rng.random((m, 2))
    C = oracles.squared_distances(x, y)
    a, b = np.full(n, 1 / n), np.full(m, 1 / m)
    soft = {} if mode is None else {"unbalanced": 0.5, "unbalanced_type": mode}
    options = {"reg": 0.05, "tol": 1e-9, "backend": backend, **soft}
    for solution in (ots.solve(C, **options), ots.solve_sample(x, y, **options), ots.solve(C.T, **options).T):
        assert solution.converged
        check_finite(solution)
        if mode is None:
            check_solution(solution, C, a, b)
            if 1 in shape:
                np.testing.assert_allclose(solution.plan, np.outer(a, b), rtol=1e-9)
        else:
            check_unbalanced_solution(solution, C, a, b, (0.5, 0.5), mode)


def test_ten_against_many(rng):
    x, y = rng.random((10, 3)), rng.random((5000, 3))
    C = oracles.squared_distances(x, y)
    a, b = some_weights(rng, 10), some_weights(rng, 5000)
    cloud = ots.solve_sample(x, y, a, b, reg=0.01)
    dense = ots.solve(C, a, b, reg=0.01)
    back = ots.solve_sample(y, x, b, a, reg=0.01)
    for solution in (cloud, dense, back.T):
        assert solution.converged
        check_honest(solution, C, a, b)
        assert solution.value == pytest.approx(dense.value, abs=1e-6)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 8, 17, 784])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_any_dimension(d, dtype, rng):
    x, y = rng.random((90, d)).astype(dtype), rng.random((100, d)).astype(dtype)
    C = oracles.squared_distances(x.astype(np.float64), y.astype(np.float64))
    solution = ots.solve_sample(x, y, reg=0.05 * C.max())
    assert solution.converged
    tol = 1e-4 if dtype == np.float32 else 1e-6
    check_honest(solution, C, np.full(90, 1 / 90), np.full(100, 0.01), tol)
    expected = ots.solve(C, reg=0.05 * C.max())
    assert solution.value == pytest.approx(expected.value, rel=1e-4 if dtype == np.float32 else 1e-6)


@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 7), (7, 1, 1), (2, 3, 2, 2)])
def test_grids_of_any_dimension(shape, rng):
    a, b = rng.random(shape), rng.random(shape)
    a, b = a / a.sum(), b / b.sum()
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, len(shape))
    C = oracles.squared_distances(points.astype(float), points.astype(float))
    for backend in ("numba", "reference"):
        solution = ots.solve_grid(a, b, reg=0.3, tol=1e-9, backend=backend)
        assert solution.converged
        check_honest(solution, C, a.ravel(), b.ravel(), tol=1e-9)
        assert solution.potential_a.shape == shape


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_grids_of_any_scale(scale, rng):
    a, b = rng.random((5, 6)), rng.random((5, 6))
    b *= a.sum() / b.sum()
    axes = np.arange(5.0), np.arange(6.0)[::-1] - 1e3
    plain = ots.solve_grid(a, b, axes=axes, reg=0.1, tol=1e-9)
    scaled = ots.solve_grid(a, b, axes=tuple(scale * z for z in axes), reg=0.1 * scale**2, tol=1e-9)
    assert scaled.converged
    assert scaled.value_linear / scale**2 == pytest.approx(plain.value_linear, rel=1e-7)
    tiny = ots.solve_grid(a, b, axes=axes, reg=1e-5, max_iter=300, on_failure="ignore")
    check_finite(tiny)


# --- layouts and dtypes ---------------------------------------------------------------------------------------


def layouts(array):
    """The same numbers in other memory: Fortran, strided, reversed twice, read-only, unaligned, big-endian."""
    yield "Fortran", np.asfortranarray(array)
    wide = np.full([2 * s + 1 for s in array.shape], np.nan)
    wide[tuple(slice(1, None, 2) for _ in array.shape)] = array
    yield "strided", wide[tuple(slice(1, None, 2) for _ in array.shape)]
    flip = (slice(None, None, -1),) * array.ndim
    yield "negative strides", np.ascontiguousarray(array[flip])[flip]
    frozen = array.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    raw = np.empty(array.nbytes + 1, dtype=np.uint8)[1:].view()
    unaligned = raw.view(np.float64).reshape(array.shape) if raw.ctypes.data % 8 == 0 else np.ndarray(
        array.shape, np.float64, buffer=raw.data
    )  # fmt: skip
    unaligned[...] = array
    yield "unaligned", unaligned
    yield "big-endian", array.astype(">f8")


def test_layouts_change_nothing(problem):
    x, y, C, a, b = problem
    dense, cloud = ots.solve(C, a, b, reg=0.05, tol=1e-10), ots.solve_sample(x, y, a, b, reg=0.05, tol=1e-10)
    for (name, cost), (_, first), (_, second) in zip(layouts(C), layouts(a), layouts(b)):
        again = ots.solve(cost, first, second, reg=0.05, tol=1e-10)
        assert again.value == pytest.approx(dense.value, abs=1e-10), name
        np.testing.assert_allclose(again.plan, dense.plan, atol=1e-9, err_msg=name)
        assert again.plan.dtype == np.float64
    for (name, p), (_, q) in zip(layouts(x), layouts(y)):
        again = ots.solve_sample(p, q, a, b, reg=0.05, tol=1e-10)
        check_same_bits(again.plan, cloud.plan, name)
    grid = np.abs(C) + 0.1
    plain = ots.solve_grid(grid, grid[::-1], reg=0.02, reg_relative_to="max")
    for name, first in layouts(grid):
        again = ots.solve_grid(first, grid[::-1], reg=0.02, reg_relative_to="max")
        check_same_bits(again.potential_a, plain.potential_a, name)


@pytest.mark.parametrize(
    ("dtype", "result"),
    [("f2", "f4"), ("f4", "f4"), ("f8", "f8"), ("i1", "f8"), ("u2", "f8"), ("i8", "f8"), ("?", "f8"), ("g", "f8")],
)
def test_dtypes_are_promoted(dtype, result, rng):
    x = rng.integers(0, 2, size=(12, 2)).astype(dtype)
    y = rng.integers(0, 2, size=(9, 2)).astype(dtype)
    C = rng.integers(0, 2, size=(12, 9)).astype(dtype)
    for found, expected in (
        (ots.solve(C, reg=0.5), ots.solve(C.astype(np.float64), reg=0.5)),
        (ots.solve_sample(x, y, reg=0.5), ots.solve_sample(x.astype(np.float64), y.astype(np.float64), reg=0.5)),
        (
            ots.solve_grid(np.ones((4, 3), dtype=dtype), np.ones((4, 3), dtype=dtype), reg=0.5),
            ots.solve_grid(np.ones((4, 3)), np.ones((4, 3)), reg=0.5),
        ),
    ):
        assert found.plan.dtype == found.potential_a.dtype == np.dtype(result)
        assert found.value == pytest.approx(expected.value, abs=1e-3 if result == "f4" else 1e-9)


def test_integer_weights_count(rng):
    C = rng.random((3, 4))
    counts = ots.solve(C, [1, 0, 3], [1, 1, 1, 1], reg=0.1)
    shares = ots.solve(C, [1.0, 0.0, 3.0], [1.0] * 4, reg=0.1)
    assert counts.value == shares.value
    booleans = ots.solve(C, [True, False, True], [True, True, False, False], reg=0.1)
    assert booleans.marginal_a.sum() == pytest.approx(2.0)


def test_mixed_precisions_are_promoted(rng):
    x, y = rng.random((9, 2)).astype(np.float32), rng.random((8, 2))
    assert ots.solve_sample(x, y, reg=0.1).plan.dtype == np.float64
    single = ots.solve_sample(x, y.astype(np.float32), np.full(9, 1 / 9), None, reg=0.1)
    assert single.plan.dtype == np.float32  # weights do not decide
