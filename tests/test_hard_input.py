"""Hard but legal input: an honest answer, finite, never NaN in a result that says converged."""

from __future__ import annotations

import numpy as np
import pytest

import ot_solvers as ots

RNG = np.random.default_rng(20)
X = RNG.normal(size=(40, 3))
Y = RNG.normal(size=(60, 3)) + 0.5
C = ((X[:, None] - Y) ** 2).sum(-1)
A = RNG.random(40)
A[[0, 7, 39]] = 0.0
A /= A.sum()
B = RNG.random(60)
B[[0, 13, 59]] = 0.0
B /= B.sum()


def judge(solution, a, b, tol):
    """Marginal error of the plan as the caller sees it, in float64, and nothing infinite anywhere."""
    plan = np.asarray(solution.plan, dtype=np.float64)
    assert np.isfinite(plan).all() and plan.min() >= 0
    for field in ("potential_a", "potential_b"):
        assert np.isfinite(np.asarray(getattr(solution, field))).all()
    error = np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum()
    total = a.sum()
    if solution.converged:
        assert error <= tol * total * 1.01 + 1e-15 * total * plan.size
    assert np.isfinite(float(solution.value))
    assert float(solution.gap) >= -1e-9 * (abs(float(solution.value)) + 1e-300)
    return error / total


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("lazy", [False, True])
def test_zero_weights(backend, lazy):
    solve = (
        (lambda: ots.solve_sample(X, Y, A, B, reg=0.3, backend=backend))
        if lazy
        else (lambda: ots.solve(C, A, B, reg=0.3, backend=backend))
    )
    solution = solve()
    assert solution.converged
    judge(solution, A, B, 1e-6)
    assert np.all(solution.plan[A == 0] == 0) and np.all(solution.plan[:, B == 0] == 0)
    # The potential of a point without weight is what an infinitely small weight would have.
    tiny_a, tiny_b = np.maximum(A, 1e-30), np.maximum(B, 1e-30)
    near = ots.solve(C, tiny_a / tiny_a.sum(), tiny_b / tiny_b.sum(), reg=0.3, tol=1e-9)
    np.testing.assert_allclose(solution.potential_a, near.potential_a, atol=1e-4)
    np.testing.assert_allclose(solution.potential_b, near.potential_b, atol=1e-4)


def test_tiny_regularisation():
    solution = ots.solve(C, reg=1e-6 * C.max(), max_iter=300, on_failure="ignore")
    judge(solution, np.full(40, 1 / 40), np.full(60, 1 / 60), 1e-6)
    lower, upper = solution.bounds
    assert np.isfinite([lower, upper]).all() and lower <= upper


@pytest.mark.parametrize("shift", [1e6, -1e6])
def test_shifted_costs(shift):
    plain = ots.solve(C, A, B, reg=0.3, tol=1e-9)
    moved = ots.solve(C + shift, A, B, reg=0.3, tol=1e-7)
    assert moved.converged
    judge(moved, A, B, 1e-7)
    # The value is that of the returned plan, whose mass is right to tol: count the shift by that mass.
    assert moved.value - shift * moved.marginal_a.sum() == pytest.approx(plain.value, abs=1e-6)
    assert moved.dual_value - shift == pytest.approx(plain.dual_value, abs=1e-6)
    np.testing.assert_allclose(moved.plan, plain.plan, atol=1e-7)


@pytest.mark.parametrize("shift", [1e6, -1e6])
def test_shifted_costs_at_small_regularisation(shift):
    """The digits that the shift leaves of the costs are all used."""
    moved = ots.solve(C + shift, A, B, reg=1e-3 * C.max(), tol=1e-6)
    assert moved.converged
    judge(moved, A, B, 1e-6)


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_scaled_costs(scale):
    plain = ots.solve(C, A, B, reg=0.3, tol=1e-9)
    scaled = ots.solve(scale * C, A, B, reg=scale * 0.3, tol=1e-9)
    assert scaled.converged
    assert scaled.value == pytest.approx(scale * plain.value, rel=1e-7)
    np.testing.assert_allclose(scaled.plan, plain.plan, atol=1e-9)


@pytest.mark.parametrize("scale", [1e15, 1e-15])
@pytest.mark.parametrize("dtype, tol", [(np.float64, 1e-8), (np.float32, 1e-4)])
def test_scaled_points(scale, dtype, tol):
    x, y = (scale * X).astype(dtype), (scale * Y).astype(dtype)
    solution = ots.solve_sample(x, y, reg=0.05, reg_relative_to="mean", tol=tol)
    assert solution.converged
    judge(solution, np.full(40, 1 / 40), np.full(60, 1 / 60), max(tol, 1e-6))


@pytest.mark.parametrize("order", ["C", "F"])
def test_forbidden_pairs(order):
    mask = RNG.random(C.shape) < 0.3
    mask[np.arange(40), np.arange(40)] = False
    mask[:, 40:] &= RNG.random((40, 20)) < 0.5
    forbidden = np.asarray(np.where(mask, np.inf, C), order=order)
    solution = ots.solve(forbidden, reg=0.5)
    assert solution.converged
    judge(solution, np.full(40, 1 / 40), np.full(60, 1 / 60), 1e-6)
    assert np.all(solution.plan[mask] == 0)
    assert 0 <= solution.gap + 1e-9 < 1e-3
    lower, upper = solution.bounds
    assert lower <= upper < np.inf


@pytest.mark.parametrize("n, m", [(1, 1), (1, 500), (500, 1), (10, 5000), (2, 3)])
def test_shapes(n, m):
    x, y = RNG.normal(size=(n, 2)), RNG.normal(size=(m, 2))
    a, b = np.full(n, 1 / n), np.full(m, 1 / m)
    cost = ((x[:, None] - y) ** 2).sum(-1)
    dense, lazy = ots.solve(cost, reg=0.1), ots.solve_sample(x, y, reg=0.1)
    assert dense.converged and lazy.converged
    judge(dense, a, b, 1e-6)
    assert dense.value == pytest.approx(lazy.value, abs=1e-5)
    if min(n, m) == 1:
        # The only plan is the product.
        np.testing.assert_allclose(dense.plan, np.outer(a, b), rtol=1e-6)
        assert dense.value == pytest.approx(cost.mean(), rel=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda z: np.asfortranarray(z),
        lambda z: np.repeat(z, 2, axis=0)[::2],
        lambda z: np.repeat(z, 2, axis=1)[:, ::2],
        lambda z: z[::-1][::-1],
        lambda z: z.astype(">f8"),
    ],
    ids=["fortran", "rows strided", "columns strided", "reversed twice", "big-endian"],
)
def test_memory_layouts(change):
    expected = ots.solve(C, A, B, reg=0.3)
    given = change(C.copy())
    before = given.tobytes()
    given.setflags(write=False)
    solution = ots.solve(given, A, B, reg=0.3)
    assert solution.value == pytest.approx(expected.value, rel=1e-6)
    assert given.tobytes() == before
    points = ots.solve_sample(change(X.copy()), change(Y.copy()), A, B, reg=0.3)
    assert points.value == pytest.approx(expected.value, rel=1e-5)


@pytest.mark.parametrize("dtype, out", [(np.float16, np.float32), (np.int64, np.float64), (bool, np.float64)])
def test_promoted_dtypes(dtype, out):
    cost = (10 * C).astype(dtype)
    solution = ots.solve(cost, reg=1.0)
    assert solution.converged and solution.plan.dtype == out
    expected = ots.solve(cost.astype(np.float64), reg=1.0)
    assert solution.value == pytest.approx(expected.value, rel=1e-3)


def test_duplicated_points():
    x = np.repeat(X[:5], 8, axis=0)
    solution = ots.solve_sample(x, np.repeat(Y[:5], 8, axis=0), reg=0.1)
    single = ots.solve_sample(X[:5], Y[:5], reg=0.1)
    assert solution.converged
    assert solution.value == pytest.approx(single.value, abs=1e-5)
    same = ots.solve_sample(x, x, reg=0.01)
    assert same.converged and np.isfinite(same.value)


@pytest.mark.parametrize("mass", [1e-200, 1e-30, 1e30, 1e200])
def test_extreme_masses(mass):
    eps = 0.3
    unit = ots.solve(C, A, B, reg=eps, tol=1e-9)
    solution = ots.solve(C, mass * A, mass * B, reg=eps, tol=1e-9)
    assert solution.converged and solution.marginal_error <= 1e-9
    expected = mass * unit.value - eps * mass * np.log(mass)
    assert solution.value == pytest.approx(expected, rel=1e-9)
    assert solution.value_linear == pytest.approx(mass * unit.value_linear, rel=1e-7)
    np.testing.assert_allclose(solution.plan / mass, unit.plan, atol=1e-10)
    f, g = solution.potentials
    # The potentials reproduce the plan, in logarithms: a b' alone would overflow.
    i, j = 3, 5
    log_plan = np.log(mass * A[i]) + np.log(mass * B[j]) + (f[i] + g[j] - C[i, j]) / eps
    assert log_plan == pytest.approx(np.log(solution.plan[i, j]), abs=1e-7)


@pytest.mark.parametrize("mass", [1e-100, 1e-8, 1e8])
def test_extreme_masses_unbalanced(mass):
    solution = ots.solve(C, mass * A, mass * B, reg=0.3, unbalanced=1.0)
    assert solution.converged
    assert np.isfinite(solution.value) and np.isfinite(solution.plan).all()
    assert np.isfinite(solution.gap)


@pytest.mark.parametrize("level", [0.0, 3.0, -2.0])
def test_constant_costs(level):
    solution = ots.solve(np.full((40, 60), level), A, B, reg=0.1)
    assert solution.converged
    np.testing.assert_allclose(solution.plan, np.outer(A, B), atol=1e-12)
    assert solution.value == pytest.approx(level, abs=1e-12)


def test_weights_over_three_hundred_decades():
    a = np.logspace(-300, 0, 40)
    a /= a.sum()
    solution = ots.solve(C, a, B, reg=0.3)
    assert solution.converged
    judge(solution, a, B, 1e-6)
    # Also the lightest row is a row of the plan, relative to its weight.
    assert solution.plan[0].sum() == pytest.approx(a[0], rel=1e-6)


@pytest.mark.parametrize("rho", [1e-6, 1e6])
@pytest.mark.parametrize("kind", ["kl", "tv"])
def test_extreme_prices_of_mass(rho, kind):
    solution = ots.solve(C, A, B, reg=0.3, unbalanced=rho, unbalanced_type=kind, on_failure="ignore")
    assert np.isfinite(solution.value) and np.isfinite(solution.plan).all()
    if rho > 1:
        balanced = ots.solve(C, A, B, reg=0.3)
        np.testing.assert_allclose(solution.marginal_a, A, atol=1e-4)
        assert solution.value_linear == pytest.approx(balanced.value_linear, rel=1e-3)
    else:
        # Mass is nearly free to drop, but eps KL(P | a b') keeps P near a b' exp(-C / eps).
        np.testing.assert_allclose(solution.plan, np.outer(A, B) * np.exp(-C / 0.3), atol=1e-4)


@pytest.mark.parametrize("tol", [1e-9, 1e-12])
def test_float32_never_claims_what_it_cannot_hold(tol):
    solution = ots.solve(C.astype(np.float32), reg=0.01 * C.max(), tol=tol, on_failure="ignore")
    assert solution.status is ots.Status.PRECISION_LIMIT
    assert judge(solution, np.full(40, 1 / 40), np.full(60, 1 / 60), tol) < 1e-5


@pytest.mark.parametrize("rel", [1e-1, 1e-2, 1e-3])
def test_float32_is_judged_in_float64(rel):
    x, y = X.astype(np.float32), Y.astype(np.float32)
    solution = ots.solve_sample(x, y, reg=rel * C.max())
    assert solution.converged
    judge(solution, np.full(40, 1 / 40), np.full(60, 1 / 60), 1e-4)


def test_semi_relaxed_with_unequal_masses():
    solution = ots.solve(C, 3 * A, B, reg=0.2, unbalanced=(np.inf, 1.0))
    assert solution.converged
    np.testing.assert_allclose(solution.marginal_a, 3 * A, atol=1e-5)
    assert solution.gap >= -1e-9
