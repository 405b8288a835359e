"""Partial transport (`mass=`): exact and entropic, on every geometry, with all that makes an answer optimal."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import SETTINGS
from problems import some_weights
from scipy import sparse
from scipy.optimize import linprog

import ot_solvers as ots
from ot_solvers.penalties import Capacity
from ot_solvers.solvers.exact import potentials

METHODS = ["simplex", "crossover"]


def highs(C, a, b, mass):
    """Value by a linear programme."""
    rows, columns = np.nonzero(np.isfinite(C))
    k = np.arange(rows.size)
    sums = sparse.vstack(
        [
            sparse.csr_array((np.ones(k.size), (rows, k)), shape=(a.size, k.size)),
            sparse.csr_array((np.ones(k.size), (columns, k)), shape=(b.size, k.size)),
        ]
    )
    found = linprog(
        C[rows, columns],
        A_ub=sums,
        b_ub=np.concatenate([a, b]),
        A_eq=np.ones((1, k.size)),
        b_eq=[mass],
        method="highs",
    )
    assert found.status == 0
    return float(found.fun)


def dual(f, g, a, b, mass):
    """Dual value of potentials with ``f, g <= top = price / 2``: what capacities are worth, and the total."""
    top = max(f[a > 0].max(), g[b > 0].max())
    return float(a[a > 0] @ (f - top)[a > 0] + b[b > 0] @ (g - top)[b > 0]) + 2 * top * mass


def check_bounds_of_potentials(f, g, a, b, size):
    assert np.isfinite(f).all() and np.isfinite(g).all()
    top_f, top_g = f[a > 0].max(), g[b > 0].max()
    assert abs(top_f - top_g) <= 1e-11 * size
    assert f.max() <= top_f + 1e-11 * size and g.max() <= top_g + 1e-11 * size


def check_exact(solution, C, a, b, mass):
    """All that makes a plan optimal, from the solution's own arrays."""
    P, f, g = solution.sparse_plan(), solution.potential_a.ravel(), solution.potential_b.ravel()
    size = max(np.abs(C[np.isfinite(C)]).max(), 1e-288)
    rows, columns = np.asarray(P.sum(axis=1)), np.asarray(P.sum(axis=0))
    assert solution.converged and (P.data > 0).all()
    assert P.shape == C.shape
    assert (rows - a).max() <= 1e-13 * mass and (columns - b).max() <= 1e-13 * mass
    assert P.sum() == pytest.approx(mass, rel=1e-13)
    assert solution.marginal_error <= 1e-13
    check_bounds_of_potentials(f, g, a, b, size)
    slack = C - f[:, None] - g[None, :]
    assert slack.min() >= -1e-11 * size
    assert np.abs(slack[P.nonzero()]).max() <= 1e-11 * size
    # Complementarity: what has weight left is at the common bound.
    assert (a - rows) @ (f.max() - f) <= 1e-11 * size * mass + 1e-11 * size * a.sum()
    value = float((P.tocoo().data * C[P.tocoo().coords]).sum())
    assert float(solution) == pytest.approx(value, rel=1e-12, abs=1e-290)
    assert dual(f, g, a, b, mass) == pytest.approx(value, abs=1e-10 * size * max(a.sum(), b.sum()))
    assert abs(solution.gap) <= 1e-11 * size * max(a.sum(), b.sum())
    lower, upper = solution.bounds
    assert lower == pytest.approx(value, abs=1e-11 * size * max(a.sum(), b.sum())) and upper == float(solution)
    assert solution.marginal_a.ravel() == pytest.approx(rows) and solution.marginal_b.ravel() == pytest.approx(
        columns
    )


def check_entropic(solution, C, a, b, mass, tol=1e-9):
    """The conditions that are sufficient for the optimum of a convex problem, from the solution's own arrays."""
    f, g, eps = solution.potential_a.ravel(), solution.potential_b.ravel(), solution.reg
    P = solution.plan
    rows, columns = P.sum(1), P.sum(0)
    assert solution.converged
    Q = np.outer(a, b) * np.exp((f[:, None] + g - C) / eps)
    np.testing.assert_allclose(P, Q, rtol=1e-9, atol=1e-12 * mass)
    assert abs(P.sum() - mass) <= 1.01 * tol * mass
    assert np.maximum(rows - a, 0).sum() + np.maximum(columns - b, 0).sum() <= 1.01 * tol * mass
    assert solution.marginal_error <= 1.01 * tol
    check_bounds_of_potentials(f, g, a, b, 1e-3 * eps + np.abs(C[np.isfinite(C)]).max())
    top = f[a > 0].max()
    below_a, below_b = (np.minimum((top - z) / eps, 1.0) for z in (f, g))
    assert (a - rows) @ below_a + (b - columns) @ below_b <= 5 * tol * mass
    live = P > 0
    value = (P[live] * C[live]).sum() + eps * (P[live] * np.log(P[live] / np.outer(a, b)[live])).sum()
    size = mass * (np.abs(C[np.isfinite(C)]).max() + eps)
    assert float(solution) == pytest.approx(value, abs=1e-9 * size)
    lagrangian = dual(f, g, a, b, mass) - eps * (P.sum() - mass)
    assert solution.dual_value == pytest.approx(lagrangian, abs=1e-9 * size)
    assert -1e-9 * size <= solution.gap <= 1e-4 * size


@pytest.fixture
def problem(rng):
    """(C, a, b) with unlike totals 1.3 and 0.8, zero weights on both sides."""
    x, y = rng.normal(size=(23, 2)), rng.normal(size=(19, 2)) + 0.5
    C = ((x[:, None] - y) ** 2).sum(-1)
    return C, 1.3 * some_weights(rng, 23), 0.8 * some_weights(rng, 19)


# --- exact -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("share", [0.01, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("shift", [0.0, -10.0, 2.0])
def test_exact_is_the_linear_programme(problem, method, share, shift):
    C, a, b = problem
    C, mass = C + shift, share * 0.8
    solution = ots.solve(C, a, b, mass=mass, method=method)
    check_exact(solution, C, a, b, mass)
    assert float(solution) == pytest.approx(highs(C, a, b, mass), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n, m", [(1, 1), (1, 9), (8, 1), (40, 40), (30, 70)])
def test_sizes(method, n, m):
    rng = np.random.default_rng(n + m)
    C, a, b = rng.normal(size=(n, m)), rng.gamma(0.7, size=n), rng.gamma(0.7, size=m)
    for share in (0.3, 1.0):
        mass = share * min(a.sum(), b.sum())
        solution = ots.solve(C, a, b, mass=mass, method=method)
        check_exact(solution, C, a, b, mass)
        assert float(solution) == pytest.approx(highs(C, a, b, mass), abs=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_negative_costs_and_huge_and_tiny_ones(problem, method):
    C, a, b = problem
    value = float(ots.solve(-C, a, b, mass=0.4, method=method))
    assert value == pytest.approx(highs(-C, a, b, 0.4), abs=1e-9)
    for scale in (1e-280, 1e280):
        assert float(ots.solve(-C * scale, a, b, mass=0.4, method=method)) / scale == pytest.approx(
            value, rel=1e-11
        )
    assert float(ots.solve(1e6 - C, a, b, mass=0.4, method=method)) - 4e5 == pytest.approx(value, abs=1e-7)
    zero = ots.solve(0 * C, a, b, mass=0.4, method=method)
    check_exact(zero, 0 * C, a, b, 0.4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_exact_masses_of_all_sizes(problem, method, scale):
    C, a, b = problem
    value = float(ots.solve(C, a, b, mass=0.4, method=method))
    other = ots.solve(C, scale * a, scale * b, mass=scale * 0.4, method=method)
    assert float(other) / scale == pytest.approx(value, rel=1e-12)
    assert abs(other.gap) / scale <= 1e-12


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mass", [1e-100, 1e-12, 1e-3])
def test_little_mass_takes_the_cheapest_pair(problem, method, mass):
    """Weights far above the mass to be moved, on which flows are counted."""
    C, a, b = problem
    C = C + 0.1
    live = np.where(np.outer(a, b) > 0, C, np.inf)
    solution = ots.solve(C, a, b, mass=mass, method=method)
    assert solution.marginal_error <= 1e-14
    assert float(solution) == pytest.approx(mass * live.min(), rel=1e-12)
    assert abs(solution.gap) <= 1e-10 * mass
    assert solution.bounds[0] == pytest.approx(float(solution), rel=1e-9)
    one = ots.solve(
        C, None, np.eye(19)[3] * 50.0, mass=0.5, method=method
    )  # one column takes all, and could take more
    check_exact(one, C, np.full(23, 1 / 23), np.eye(19)[3] * 50.0, 0.5)


@pytest.mark.parametrize("method", METHODS)
def test_degenerate_costs(method, rng):
    a, b = rng.gamma(0.7, size=60), rng.gamma(0.7, size=40)
    mass = 0.7 * min(a.sum(), b.sum())
    x = np.repeat(rng.normal(size=(6, 2)), 10, axis=0)
    C = ((x[:, None] - x[:40]) ** 2).sum(-1)
    for costs in (C, np.full((60, 40), -7.0), np.where(np.indices((60, 40)).sum(0) == 0, 1e9, 1.0)):
        check_exact(ots.solve(costs, a, b, mass=mass, method=method), costs, a, b, mass)


def test_large_enough_for_a_sample(monkeypatch):
    """The way of large problems, at a size that a test can check."""
    monkeypatch.setattr(potentials, "SAMPLE_ABOVE", 100)
    rng = np.random.default_rng(8)
    for x, y in (rng.normal(size=(2, 900, 3)), rng.standard_cauchy(size=(2, 900, 2))):
        a, b = rng.gamma(0.7, size=900), rng.gamma(0.7, size=700)
        mass = 0.6 * min(a.sum(), b.sum())
        solution = ots.solve_sample(x, y[:700], a, b, mass=mass)
        assert solution.method == "crossover"
        C = np.asarray(solution.geometry.block(0, 900))
        check_exact(solution, C, a, b, mass)
        assert float(solution) == pytest.approx(float(ots.solve(C, a, b, mass=mass, method="simplex")), rel=1e-11)


def test_assignments_leave_the_dearest_points(rng):
    """Equal weights and a whole number of points: a partial permutation."""
    from scipy.optimize import linear_sum_assignment

    n, m, moved = 120, 100, 70
    C = rng.random((n, m))
    solution = ots.solve(C, np.ones(n), np.ones(m), mass=moved)
    P = solution.plan
    np.testing.assert_allclose(P[P > 0], 1.0, atol=1e-12)
    assert (P > 0).sum() == moved
    # As a square assignment: n - moved points more for the rows that stay, m - moved for the columns.
    square = np.block(
        [[C, np.zeros((n, n - moved))], [np.zeros((m - moved, m)), np.full((m - moved, n - moved), 1e3)]]
    )
    assert float(solution) == pytest.approx(square[linear_sum_assignment(square)].sum(), abs=1e-10)


# --- geometries and both kinds ---------------------------------------------------------------------------------
@pytest.mark.parametrize("reg", [None, 0.1])
@pytest.mark.parametrize("mass", [0.3, 0.8])
def test_every_geometry_agrees(rng, reg, mass):
    a, b = 1.3 * some_weights(rng, 20).reshape(5, 4), 0.8 * some_weights(rng, 20).reshape(5, 4)
    axes = np.sort(rng.random(5)), np.sort(rng.random(4))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    C = ((points[:, None] - points) ** 2).sum(-1)
    flat = a.ravel(), b.ravel()
    full = sparse.coo_array((C.ravel(), np.indices(C.shape).reshape(2, -1)), shape=C.shape)
    options = {"reg": reg, "mass": mass, "tol": 1e-10}
    dense = ots.solve(C, *flat, **options)
    if reg:
        check_entropic(dense, C, *flat, mass)
    for solution in (
        ots.solve(np.asfortranarray(C), *flat, **options),
        ots.solve(full, *flat, **options),
        ots.solve_sample(points, points, *flat, **options),
        ots.solve_grid(a, b, axes=axes, **options),
        ots.solve(C.T.copy(), *flat[::-1], **options).T,
        ots.solve(C, *flat, backend="reference", **options),
    ):
        assert solution.converged
        assert float(solution) == pytest.approx(
            float(dense), abs=1e-8 if solution.backend == "reference" else 1e-9
        )
        if reg:
            np.testing.assert_allclose(solution.plan, dense.plan, atol=1e-9)
            np.testing.assert_allclose(solution.potential_a.ravel(), dense.potential_a, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_grids_and_patterns_are_matrices(rng, method):
    a, b = rng.gamma(0.7, size=(9, 11)), rng.gamma(0.7, size=(9, 11))
    a[3] = 0.0
    mass = 0.6 * min(a.sum(), b.sum())
    solution = ots.solve_grid(a, b, reg=None, mass=mass, method=method)
    assert solution.potential_a.shape == (9, 11)
    check_exact(solution, np.asarray(solution.geometry.block(0, 99)), a.ravel(), b.ravel(), mass)
    C = np.where(rng.random((90, 80)) < 0.15, rng.random((90, 80)), np.inf)
    stored = sparse.csr_array((C[np.isfinite(C)], np.nonzero(np.isfinite(C))), shape=C.shape)
    weights = rng.gamma(2.0, size=90), rng.gamma(2.0, size=80)
    for costs in (C, stored):
        solution = ots.solve(costs, *weights, mass=60.0, method=method)
        check_exact(solution, C, *weights, 60.0)
    assert float(solution) == pytest.approx(highs(C, *weights, 60.0), abs=1e-7)


@pytest.mark.parametrize("reg", [None, 0.05])
def test_on_a_line_too(rng, reg):
    x, y = rng.normal(size=(40, 1)), rng.normal(size=(50, 1))
    solution = ots.solve_sample(x, y, reg=reg, mass=0.7, tol=1e-9)
    C = (x - y.T) ** 2
    check = check_entropic if reg else check_exact
    check(solution, C, np.full(40, 1 / 40), np.full(50, 1 / 50), 0.7)
    assert solution.method != "sorting"


# --- entropic --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("eps", [0.03, 0.5, 20.0])
@pytest.mark.parametrize("mass", [0.001, 0.4, 0.79, 0.8])
@pytest.mark.parametrize("swapped", [False, True])
def test_entropic_plans_meet_the_conditions(problem, eps, mass, swapped):
    C, a, b = problem
    if swapped:
        C, a, b = C.T.copy(), b, a
    solution = ots.solve(C, a, b, reg=eps, mass=mass, tol=1e-9)
    check_entropic(solution, C, a, b, mass)
    assert solution.method == "sinkhorn" and "not smooth" in solution.method_reason


def test_entropic_tends_to_exact_and_bounds_bracket_it(problem):
    C, a, b = problem
    exact = float(ots.solve(C, a, b, mass=0.5))
    for eps in (1.0, 0.1, 0.01):
        solution = ots.solve(C, a, b, reg=eps, mass=0.5, tol=1e-9)
        lower, upper = solution.bounds
        assert lower - 1e-12 <= exact <= upper + 1e-12
    assert upper - lower < 0.01


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize("outliers", [False, True])
def test_passes(rng, share, outliers):
    """The price of the total is found along the way: about as many passes as for balanced problems."""
    x, y = rng.normal(size=(300, 2)), 0.7 * rng.normal(size=(250, 2)) + 0.5
    if outliers:
        x[:60] += 30.0
    C = ((x[:, None] - y) ** 2).sum(-1)
    solution = ots.solve(C, reg=0.2 if outliers else 0.05, mass=share, tol=1e-8)
    assert solution.converged and solution.n_iter < 300
    assert solution.gap <= 1e-8 * C.max() + 1e-6


@pytest.mark.parametrize("max_iter", [1, 3, 9])
def test_gap_is_honest_before_convergence(problem, max_iter):
    C, a, b = problem
    for mass in (0.2, 0.7, 0.8):
        early = ots.solve(C, a, b, reg=0.02, mass=mass, max_iter=max_iter, on_failure="ignore")
        best = ots.solve(C, a, b, reg=0.02, mass=mass, tol=1e-11)
        assert early.dual_value <= best.value + 1e-9
        assert best.value <= early.dual_value + early.gap + 1e-9


@pytest.mark.parametrize("kernel", ["log", "stored"])
def test_rows_far_from_everything(rng, kernel):
    """They move nothing at any eps: no reason to leave the stored kernel, or to overflow."""
    x, y = rng.normal(size=(150, 2)), rng.normal(size=(140, 2))
    x[:20] += 1e3
    y[:15] -= 1e3
    C = ((x[:, None] - y) ** 2).sum(-1)
    solution = ots.solve(C, reg=0.1, mass=0.7, method=ots.Sinkhorn(kernel=kernel), tol=1e-8)
    check_entropic(solution, C, np.full(150, 1 / 150), np.full(140, 1 / 140), 0.7, tol=1e-8)
    assert solution.marginal_a[:20].sum() == 0 and solution.marginal_b[:15].sum() == 0
    assert np.isfinite(solution.pull(y)).all() and np.isfinite(solution.push(x)).all()


def test_entropic_shifts_scales_and_masses(problem):
    C, a, b = problem
    mass, eps = 0.5, 0.1
    first = ots.solve(C, a, b, reg=eps, mass=mass, tol=1e-10)
    for shift in (1e6, -1e6):
        moved = ots.solve(C + shift, a, b, reg=eps, mass=mass, tol=1e-7)
        np.testing.assert_allclose(moved.plan, first.plan, atol=1e-7)
        np.testing.assert_allclose(moved.potential_a - shift / 2, first.potential_a, atol=1e-5)
        assert 0 <= moved.gap <= 1e-6 * 1e6
    scaled = ots.solve(7 * C, a, b, reg=7 * eps, mass=mass, tol=1e-10)
    assert float(scaled) == pytest.approx(7 * float(first), rel=1e-8)
    for M in (1e-100, 3.0, 1e100):
        other = ots.solve(C, M * a, M * b, reg=eps, mass=M * mass, tol=1e-10)
        np.testing.assert_allclose(other.plan / M, first.plan, atol=1e-9)
        assert float(other) / M == pytest.approx(float(first) - eps * mass * np.log(M), abs=1e-8)
        f, g = other.potentials
        np.testing.assert_allclose(f, first.potential_a - 0.5 * eps * np.log(M), atol=1e-6)


# --- properties ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("reg", [None, 0.05])
def test_all_of_equal_masses_is_balanced(problem, reg):
    C, a, b = problem
    b = b * (a.sum() / b.sum())
    balanced = ots.solve(C, a, b, reg=reg, tol=1e-9)
    same = ots.solve(C, a, b, reg=reg, tol=1e-9, mass=float(a.sum()))
    assert float(same) == float(balanced)
    np.testing.assert_array_equal(same.potential_a, balanced.potential_a)
    assert "balanced" in repr(same)
    nearly = ots.solve(C, a, b, reg=reg, tol=1e-9, mass=float(a.sum()) * (1 - 1e-5))
    assert "partial" in repr(nearly)
    assert float(nearly) == pytest.approx(float(balanced), abs=1e-3)


@SETTINGS
@given(st.integers(0, 10_000), st.sampled_from([None, 0.3]))
def test_convex_in_the_mass_and_symmetric(seed, reg):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 12, size=2)
    C, a, b = rng.random((n, m)), rng.gamma(0.7, size=n) + 1e-3, rng.gamma(0.7, size=m) + 1e-3
    most = min(a.sum(), b.sum())
    masses = most * np.linspace(0.1, 1.0, 6)
    values = [float(ots.solve(C, a, b, reg=reg, mass=mass, tol=1e-10)) for mass in masses]
    size = most * (1 + (reg or 0.0))
    assert np.diff(values, 2).min() >= -1e-7 * size
    if reg is None:
        assert np.diff(values).min() >= -1e-12 * size
    swapped = ots.solve(C.T.copy(), b, a, reg=reg, mass=masses[2], tol=1e-10)
    assert float(swapped) == pytest.approx(values[2], abs=1e-8 * size)


def test_the_price_is_the_derivative_by_the_mass(problem):
    C, a, b = problem
    for reg in (None, 0.2):
        step = 1e-4
        low, high = (float(ots.solve(C, a, b, reg=reg, mass=0.5 + s, tol=1e-11)) for s in (-step, step))
        price = 2 * ots.solve(C, a, b, reg=reg, mass=0.5, tol=1e-11).potential_a.max()
        # sum P log(P / a b') leaves one eps to the total.
        assert (high - low) / (2 * step) == pytest.approx(price + (reg or 0.0), abs=1e-4 if reg else 1e-2)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 1e-3, 0.1, 10.0]))
@SETTINGS
def test_the_level_gives_the_total(seed, eps):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 30))
    s, w = rng.normal(size=k) * 10.0 ** rng.integers(-3, 4), rng.gamma(0.5, size=k) + 1e-6
    w *= (1 + rng.gamma(0.5)) / w.sum()
    level = Capacity().level(s, w, eps)
    if eps:
        moved = (w * np.exp(np.minimum(level - s, 0) / eps)).sum()
        assert moved == pytest.approx(1.0, rel=1e-9)
    else:
        assert w[s < level].sum() <= 1 + 1e-12 and w[s <= level].sum() >= 1 - 1e-12
    assert Capacity().level(np.append(s, np.inf), np.append(w, 1.0), eps) == pytest.approx(level)
    assert Capacity().level(s, w / (2 * w.sum()), eps) == np.inf


# --- forbidden pairs -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("reg", [None, 0.1])
def test_forbidden_pairs_limit_what_can_be_moved(reg):
    """Of the first twenty rows only one column's worth can leave."""
    C = np.full((40, 40), np.inf)
    C[:20, 0] = 1.0
    C[20:, 20:], C[20, 1:20] = 2.0, 2.0
    most = 21 / 40
    solution = ots.solve(C, reg=reg, mass=0.9 * most, tol=1e-8)
    assert solution.converged and solution.marginal_a.sum() == pytest.approx(0.9 * most, rel=1e-7)
    assert np.isfinite(solution.gap)
    with pytest.raises(ots.InfeasibleError, match=r"at most 0\.525 of mass=0\.8 be moved"):
        ots.solve(C, reg=reg, mass=0.8)
    failed = ots.solve(C, reg=reg, mass=0.8, on_failure="ignore")
    assert failed.status is ots.Status.INFEASIBLE
    C[5:20] = np.inf
    with pytest.raises(ots.InfeasibleError, match=r"only 0\.625 of a has an allowed pair"):
        ots.solve(C, reg=reg, mass=0.8)
    # All of one side: a point without a way is a reason of its own.
    with pytest.raises(ots.InfeasibleError, match=r"a\[5\] has weight"):
        ots.solve(C, b=np.full(40, 1.0), reg=reg, mass=1.0)


def test_cut_off_points_keep_what_they_have(rng):
    C = rng.random((20, 25))
    C[3], C[:, 4] = np.inf, np.inf
    for reg in (None, 0.05):
        solution = ots.solve(C, reg=reg, mass=0.8, tol=1e-9)
        assert solution.converged
        assert solution.marginal_a[3] == 0 and solution.marginal_b[4] == 0
        f, g = solution.potentials
        assert f[3] == pytest.approx(f.max()) and g[4] == pytest.approx(g.max())
        assert np.isnan(solution.pull(np.arange(25.0))[3])
        assert solution.gap + 1e-12 >= 0 and solution.gap < 1e-6
    assert ots.solve(C, mass=0.8).value == pytest.approx(highs(C, np.full(20, 0.05), np.full(25, 0.04), 0.8))


@pytest.mark.parametrize("share", [0.3, 0.95])
def test_gap_with_forbidden_pairs(rng, share):
    C = np.where(rng.random((40, 40)) < 0.2, rng.random((40, 40)), np.inf)
    C[np.arange(40), rng.permutation(40)] = 0.7
    for max_iter in (3, 10, None):
        solution = ots.solve(C, reg=0.02, mass=share, max_iter=max_iter, on_failure="ignore")
        best = ots.solve(C, reg=0.02, mass=share, tol=1e-10)
        assert best.value <= solution.dual_value + solution.gap + 1e-9
        assert np.isfinite(solution.gap)


# --- what a solution offers ------------------------------------------------------------------------------------
@pytest.mark.parametrize("reg", [None, 0.05])
def test_what_a_solution_offers(rng, reg):
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(50, 2)) + 1.0
    x[:10] -= 20.0
    solution = ots.solve_sample(x, y, reg=reg, mass=0.6, tol=1e-9)
    P = solution.plan
    assert P.shape == (60, 50) and P.sum() == pytest.approx(0.6)
    np.testing.assert_allclose(solution.apply(y), P @ y, atol=1e-12)
    mapped, rows = solution.barycentric_map(), P.sum(1)
    moved = rows > 1e-12
    assert not moved[:10].any()
    np.testing.assert_allclose(mapped[moved], (P @ y)[moved] / rows[moved, None], atol=1e-8)
    # Points that stay: where the potentials would send them, as points without weight.
    np.testing.assert_allclose(solution.transport(x[:10]), mapped[:10], atol=1e-9)
    columns = P.sum(0)
    reached = columns > 1e-12
    np.testing.assert_allclose(solution.push(x)[reached], (P.T @ x)[reached] / columns[reached, None], atol=1e-8)
    i, j = solution.sample(300, seed=0)
    assert (P[i, j] > 0).all() and i.min() >= 10
    assert np.array_equal(solution.match()[moved], P.argmax(1)[moved])
    assert float(solution.T) == pytest.approx(float(solution)) and solution.T.gap == pytest.approx(
        solution.gap, abs=1e-9
    )
    np.testing.assert_allclose(solution.T.potential_a, solution.potential_b, atol=1e-12)
    assert solution.T.marginal_error == pytest.approx(solution.marginal_error, abs=1e-12)
    again = pickle.loads(pickle.dumps(solution))
    assert float(again) == float(solution)
    assert "partial" in repr(solution) and "mass moved      0.6 of 1 and 1" in repr(solution)


@pytest.mark.parametrize("reg", [None, 0.02])
def test_warm_starts(rng, reg):
    x, y = rng.normal(size=(700, 3)), rng.normal(size=(650, 3))
    cold = ots.solve_sample(x, y, reg=reg, mass=0.7)
    near = x + 1e-4 * rng.normal(size=x.shape)
    again = ots.solve_sample(near, y, reg=reg, mass=0.7)
    for init in (cold, cold.potentials):
        warm = ots.solve_sample(near, y, reg=reg, mass=0.7, init=init)
        assert warm.converged and warm.n_iter < again.n_iter / 2
        assert float(warm) == pytest.approx(float(again), abs=1e-6)
    # Another mass is near, too, and so is a balanced solution.
    for init in (ots.solve_sample(x, y, reg=reg), cold):
        assert ots.solve_sample(x, y, reg=reg, mass=0.72, init=init).converged


@pytest.mark.parametrize("after", [0, 3, 12])
def test_stopped_by_the_caller(rng, after):
    x, y = rng.normal(size=(700, 3)), rng.normal(size=(650, 3))
    exact = float(ots.solve_sample(x, y, mass=0.7))
    seen = []
    for reg in (None, 0.05):
        seen.clear()
        solution = ots.solve_sample(
            x, y, reg=reg, mass=0.7, callback=lambda p: seen.append(p) or len(seen) > after
        )
        assert solution.status is ots.Status.STOPPED_BY_CALLBACK and len(seen) == after + 1
        lower, upper = solution.bounds
        assert lower <= exact * (1 + 1e-9) and exact <= upper * (1 + 1e-9)
        if reg is None:
            assert solution.marginal_error < 1e-12


def test_single_precision_and_other_libraries(rng):
    torch = pytest.importorskip("torch")
    x, y = rng.normal(size=(400, 3)), rng.normal(size=(380, 3))
    for reg in (None, 0.1):
        wide = ots.solve_sample(x, y, reg=reg, mass=0.5)
        narrow = ots.solve_sample(x.astype(np.float32), y.astype(np.float32), reg=reg, mass=0.5)
        assert narrow.converged and narrow.potential_a.dtype == np.float32
        assert float(narrow) == pytest.approx(float(wide), rel=1e-4)
        theirs = ots.solve_sample(torch.from_numpy(x), torch.from_numpy(y), reg=reg, mass=torch.tensor(0.5))
        assert isinstance(theirs.potential_a, torch.Tensor) and float(theirs) == float(wide)


def test_inputs_are_left_alone(problem):
    C, a, b = problem
    for array in (C, a, b):
        array.flags.writeable = False
    before = [z.copy() for z in (C, a, b)]
    for reg in (None, 0.1):
        ots.solve(C[::2, ::-1], a[::2], b[::-1], reg=reg, mass=0.1)
    assert all(np.array_equal(z, w) for z, w in zip((C, a, b), before))


def test_bad_input(problem):
    C, a, b = problem
    for mass in (0.0, -1.0, 0.9, np.inf, np.nan):
        with pytest.raises(
            ValueError, match=r"mass=.* must be positive and at most 0\.8: sum\(a\)=1\.3, sum\(b\)=0\.8"
        ):
            ots.solve(C, a, b, mass=mass)
    with pytest.raises(TypeError, match="mass='half' is not a number"):
        ots.solve(C, a, b, mass="half")
    with pytest.raises(TypeError, match="mass=True is not a number"):
        ots.solve(C, a, b, mass=True)
    with pytest.raises(ValueError, match="mass=1e-300 is too small next to"):
        ots.solve(C, 1e10 * a, 1e10 * b, mass=1e-300)
    with pytest.raises(ots.UnsupportedError, match=r"mass=0\.5 and unbalanced=1\.0"):
        ots.solve(C, a, b, mass=0.5, reg=0.1, unbalanced=1.0)
    for method in ("newton", "sns"):
        with pytest.raises(ots.UnsupportedError, match=f"method='{method}' knows no mass=: use method='sinkhorn'"):
            ots.solve(C, a, b, mass=0.5, reg=0.1, method=method)
    with pytest.raises(ots.UnsupportedError, match="method='sorting' knows no mass=: use method='simplex' or"):
        ots.solve_sample(np.zeros((3, 1)), np.zeros((3, 1)), mass=0.5, method="sorting")
    # A little too much is rounding, and a mass that is summed is no error.
    assert ots.solve(C, a, b, mass=float(b.sum()) * (1 + 1e-12)).converged
    assert ots.solve(C, a.astype(np.float32), b.astype(np.float32), mass=b.astype(np.float32).sum()).converged


# --- peers -----------------------------------------------------------------------------------------------------
@pytest.mark.peer
def test_pot_agrees(rng):
    ot = pytest.importorskip("ot")
    n, m, eps, mass = 20, 15, 0.1, 0.6
    C, a, b = rng.random((n, m)), np.full(n, 1 / n), np.full(m, 1 / m)
    theirs = ot.partial.partial_wasserstein2(a, b, C, m=mass)
    assert float(ots.solve(C, mass=mass)) == pytest.approx(theirs, abs=1e-9)
    # Uniform weights: their entropy differs by a constant.
    plan = ot.partial.entropic_partial_wasserstein(a, b, C, eps, m=mass, numItermax=100_000, stopThr=1e-15)
    np.testing.assert_allclose(ots.solve(C, reg=eps, mass=mass, tol=1e-11).plan, plan, atol=1e-7)
