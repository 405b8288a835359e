"""Transport with a quadratic term, and with few entries per point: optimality, feasibility, honest refusals."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest
from scipy import optimize, sparse

import ot_solvers as ots
from ot_solvers.solvers.quadratic.degrees import enough_entries, fewest_entries
from ot_solvers.solvers.quadratic.packing import decided, packed

METHODS = ["auto", "semismooth-newton"]


def squares(n, m, seed=0, d=2):
    rng = np.random.default_rng(seed)
    x, y = rng.random((n, d)), rng.random((m, d))
    C = ((x[:, None] - y[None]) ** 2).sum(-1)
    return x, y, C / C.max()


def gamma_weights(rng, n, zeros=0):
    w = rng.gamma(2.0, size=n)
    w[rng.permutation(n)[:zeros]] = 0.0
    return w / w.sum()


def gaussians(n):
    """Two densities on a line whose bins have very different masses."""
    z = np.linspace(0, 1, n)
    a, b = np.exp(-((z - 0.3) ** 2) / 0.02), np.exp(-((z - 0.6) ** 2) / 0.04)
    C = (z[:, None] - z[None]) ** 2
    return C / C.max(), a / a.sum(), b / b.sum()


def check_optimal(solution, C, a, b, gamma, rtol=1e-9):
    """The conditions of Karush, Kuhn and Tucker, from the solution's own arrays."""
    P = solution.sparse_plan(1.0).toarray()
    f, g = solution.potentials
    np.testing.assert_allclose(P.sum(1), a, atol=1e-12 * a.sum())
    np.testing.assert_allclose(P.sum(0), b, atol=1e-12 * b.sum())
    live = (a > 0)[:, None] & (b > 0)[None, :] & np.isfinite(C)
    asked = np.where(live, np.maximum(f[:, None] + g[None] - C, 0) / gamma, 0.0)
    np.testing.assert_allclose(P, asked, atol=rtol * max(1.0, np.abs(C[live]).max() / gamma))
    value = float((P[live] * C[live]).sum() + 0.5 * gamma * (P**2).sum())
    assert float(solution) == pytest.approx(value, rel=1e-12)
    assert abs(solution.gap) <= 1e-9 * max(abs(value), 1e-9)
    assert solution.dual_value == pytest.approx(value, rel=1e-9)


# --- quadratic -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [1e-3, 0.1, 1.0, 100.0, 1e4])
@pytest.mark.parametrize("weighted", [False, True])
def test_quadratic_is_optimal(strength, weighted):
    rng = np.random.default_rng(1)
    _, _, C = squares(50, 60)
    a, b = np.full(50, 1 / 50), np.full(60, 1 / 60)
    if weighted:
        a, b = gamma_weights(rng, 50, 4), gamma_weights(rng, 60, 7)
    solution = ots.solve(C, a, b, reg=ots.Quadratic(strength))
    assert solution.converged
    assert solution.method == "semismooth-newton"
    check_optimal(solution, C, a, b, strength)


def test_quadratic_equals_least_squares():
    """By SciPy's non-negative least squares, with the marginals as heavy rows."""
    _, _, C = squares(6, 5)
    rng = np.random.default_rng(0)
    a, b = gamma_weights(rng, 6), gamma_weights(rng, 5)
    strength, heavy = 0.2, 1e5
    marginals = np.vstack([np.kron(np.eye(6), np.ones(5)), np.kron(np.ones(6), np.eye(5))])
    matrix = np.vstack([math.sqrt(strength) * np.eye(30), heavy * marginals])
    target = np.concatenate([-C.ravel() / math.sqrt(strength), heavy * np.concatenate([a, b])])
    found, _ = optimize.nnls(matrix, target)
    solution = ots.solve(C, a, b, reg=ots.Quadratic(strength))
    np.testing.assert_allclose(solution.plan.ravel(), found, atol=1e-8)
    assert float(solution) == pytest.approx(C.ravel() @ found + 0.5 * strength * found @ found, rel=1e-7)


def test_quadratic_on_points_equals_the_matrix():
    x, y, _ = squares(80, 70, seed=3)
    C = ((x[:, None] - y[None]) ** 2).sum(-1)
    lazy = ots.solve_sample(x, y, reg=ots.Quadratic(0.5))
    dense = ots.solve(C, reg=ots.Quadratic(0.5))
    assert float(lazy) == pytest.approx(float(dense), rel=1e-10)
    np.testing.assert_allclose(lazy.plan, dense.plan, atol=1e-10)
    np.testing.assert_allclose(lazy.barycentric_map(), dense.pull(y), atol=1e-8)
    assert ots.solve(np.asfortranarray(C), reg=ots.Quadratic(0.5)).value == pytest.approx(float(dense), rel=1e-10)


def test_quadratic_scales():
    """Masses, costs, and statistics of the cost as units."""
    _, _, C = squares(30, 40)
    one = ots.solve(C, reg=ots.Quadratic(0.5))
    heavy = ots.solve(C, np.full(30, 7 / 30), np.full(40, 7 / 40), reg=ots.Quadratic(0.5 / 7))
    assert float(heavy) == pytest.approx(7 * float(one), rel=1e-10)
    np.testing.assert_allclose(heavy.plan, 7 * one.plan, atol=1e-9)
    assert heavy.reg == pytest.approx(0.5 / 7)
    scaled = ots.solve(1e6 * C + 1e7, reg=ots.Quadratic(0.5e6))
    np.testing.assert_allclose(scaled.plan, one.plan, atol=1e-8)
    assert abs(scaled.gap) <= 1e-9 * float(scaled)
    relative = ots.solve(3 * C, reg=ots.Quadratic(0.5, relative_to="max"))
    np.testing.assert_allclose(relative.plan, one.plan, atol=1e-9)
    assert relative.reg == pytest.approx(1.5)


def test_quadratic_forbidden_pairs_and_patterns():
    rng = np.random.default_rng(2)
    _, _, C = squares(30, 30)
    forbidden = rng.random(C.shape) < 0.6
    np.fill_diagonal(forbidden, False)
    C = np.where(forbidden, np.inf, C + 0.01)
    a = np.full(30, 1 / 30)
    solution = ots.solve(C, reg=ots.Quadratic(0.5))
    check_optimal(solution, C, a, a, 0.5)
    assert solution.plan[forbidden].max() == 0
    pattern = sparse.csr_array(np.where(forbidden, 0.0, C))
    assert float(ots.solve(pattern, reg=ots.Quadratic(0.5))) == pytest.approx(float(solution), rel=1e-10)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny_problems(n):
    C = np.arange(float(2 * n)).reshape(n, 2) ** 2
    b = np.array([0.25, 0.75])
    solution = ots.solve(C, None, b, reg=ots.Quadratic(1.0))
    check_optimal(solution, C, np.full(n, 1 / n), b, 1.0)
    few = ots.solve(C, None, b, reg=ots.SparsityConstrained(1.0, n))
    assert float(few) == pytest.approx(float(solution), rel=1e-10)


def test_equal_costs_and_equal_points():
    solution = ots.solve(np.zeros((4, 6)), reg=ots.Quadratic(1.0))
    np.testing.assert_allclose(solution.plan, 1 / 24, atol=1e-14)
    x = np.zeros((5, 2))
    assert float(ots.solve_sample(x, x, reg=ots.Quadratic(2.0))) == pytest.approx(1 / 25)


def test_float32_and_read_only_arrays_are_left_alone():
    x, y, _ = squares(40, 50)
    x, y = x.astype(np.float32), y.astype(np.float32)[::-1]
    before = x.copy(), y.copy()
    x.flags.writeable = False
    solution = ots.solve_sample(x, y, reg=ots.Quadratic(1.0))
    assert solution.converged
    assert solution.plan.dtype == np.float32
    assert (x == before[0]).all() and (y == before[1]).all()


def test_transposed_solution():
    _, _, C = squares(20, 30)
    solution = ots.solve(C, reg=ots.SparsityConstrained(1.0, 2))
    other = solution.T
    assert float(other) == pytest.approx(float(solution))
    assert other.dual_value == pytest.approx(solution.dual_value, rel=1e-12)
    np.testing.assert_allclose(other.plan, solution.plan.T)


def test_new_points_go_where_their_neighbours_go():
    x, y, _ = squares(60, 60, seed=5)
    solution = ots.solve_sample(x, y, reg=ots.Quadratic(0.5))
    np.testing.assert_allclose(solution.transport(x), solution.barycentric_map(), atol=1e-7)
    few = ots.solve_sample(x, y, reg=ots.SparsityConstrained(0.5, 2))
    assert few.transport(x[:3] + 1e-6).shape == (3, 2)


def test_a_warm_start_saves_passes():
    _, _, C = squares(300, 300)
    cold = ots.solve(C, reg=ots.Quadratic(1.0))
    warm = ots.solve(C, reg=ots.Quadratic(1.0), init=cold)
    assert warm.converged
    assert warm.n_iter < cold.n_iter
    assert float(warm) == pytest.approx(float(cold), rel=1e-10)


@pytest.mark.parametrize("reg", [ots.Quadratic(0.1), ots.SparsityConstrained(0.1, 2)])
def test_a_callback_may_stop(reg):
    _, _, C = squares(100, 100)
    seen = []
    solution = ots.solve(C, reg=reg, callback=lambda progress: seen.append(progress) or len(seen) == 5)
    assert solution.status is ots.Status.STOPPED_BY_CALLBACK
    assert len(seen) == 5
    assert np.isfinite(float(solution))
    with pytest.warns(ots.ConvergenceWarning, match="MAX_ITER"):
        assert ots.solve(C, reg=reg, max_iter=3).n_iter <= 5


def test_a_callback_may_stop_the_search_for_plans():
    """It hears of the search, and a feasible plan that was found is kept."""
    _, _, C = squares(150, 150, seed=3)
    reg = ots.SparsityConstrained(1.0, 2)
    seen = []
    whole = ots.solve(C, reg=reg, callback=seen.append)
    gaps = np.diff([progress.seconds for progress in seen])
    assert gaps.max() < 0.5 * max(1.0, seen[-1].seconds)
    count = int(0.9 * len(seen))
    calls = []
    early = ots.solve(C, reg=reg, callback=lambda progress: calls.append(progress) or len(calls) >= count)
    assert len(calls) == count
    assert early.status is ots.Status.STOPPED_BY_CALLBACK
    assert early.marginal_error <= 1e-9
    assert float(early) >= float(whole) * (1 - 1e-12)
    assert np.diff(early.sparse_plan(1.0).tocsc().indptr).max() <= 2


HARD = {
    "hardly any regularisation": lambda C: (C, 1e-12),
    "little regularisation": lambda C: (C, 1e-6),
    "much regularisation": lambda C: (C, 1e6),
    "huge costs": lambda C: (C * 1e200, 1e200),
    "tiny costs": lambda C: (C * 1e-200, 1e-200),
    "shifted costs": lambda C: (C + 1e9, 1.0),
    "negative costs": lambda C: (C - 5.0, 1.0),
    "one huge cost": lambda C: (C + 1e12 * (np.arange(C.size) == 7).reshape(C.shape), 1.0),
    "pairs forbidden by huge costs": lambda C: (
        np.where((np.median(C) < C) & ~np.eye(80, dtype=bool), 1e12, C),
        1.0,
    ),
    "ties": lambda C: (np.round(4 * C), 1.0),
}


@pytest.mark.parametrize("kind", HARD)
def test_hard_costs(kind):
    C, strength = HARD[kind](squares(80, 80)[2])
    for reg in (ots.Quadratic(strength), ots.SparsityConstrained(strength, 3)):
        solution = ots.solve(C, reg=reg)
        assert solution.converged
        assert solution.marginal_error <= 1e-9
        value = float(solution)
        P = solution.sparse_plan(1.0).toarray()
        assert value == pytest.approx(float((P * C).sum() + 0.5 * strength * (P**2).sum()), rel=1e-9)
        assert solution.gap >= -1e-9 * abs(value)
        if isinstance(reg, ots.Quadratic):
            assert solution.gap <= 1e-9 * abs(value)
        else:
            assert (P > 0).sum(0).max() <= 3


def test_weights_of_all_sizes():
    rng = np.random.default_rng(0)
    w = rng.gamma(0.05, size=80) + 1e-300
    a = w / w.sum()
    C = squares(80, 80)[2]
    check_optimal(ots.solve(C, a, reg=ots.Quadratic(1.0)), C, a, np.full(80, 1 / 80), 1.0)
    for unit in (1e200, 1e-200):
        scaled = ots.solve(C, np.full(80, unit), np.full(80, unit), reg=ots.Quadratic(1 / unit))
        assert scaled.converged
        assert abs(scaled.gap) <= 1e-9 * float(scaled)


@pytest.mark.parametrize("reg", [ots.Quadratic(1.0), ots.SparsityConstrained(1.0, 2)])
def test_forbidden_pairs_that_leave_no_plan(reg):
    C = np.full((4, 4), np.inf)
    C[:3, 0], C[3] = 0.0, 1.0
    with pytest.raises(ots.InfeasibleError, match="no allowed column"):
        ots.solve(C, reg=reg)


# --- few entries -----------------------------------------------------------------------------------------------


def problems():
    rng = np.random.default_rng(11)
    _, _, C = squares(100, 100, seed=1)
    yield "square", C, np.full(100, 1 / 100), np.full(100, 1 / 100)
    _, _, C = squares(60, 70, seed=2)
    yield "rectangular", C, np.full(60, 1 / 60), np.full(70, 1 / 70)
    _, _, C = squares(40, 80, seed=3)
    yield "divides", C, np.full(40, 1 / 40), np.full(80, 1 / 80)
    _, _, C = squares(50, 50, seed=4)
    yield "weighted", C, gamma_weights(rng, 50, 3), gamma_weights(rng, 50, 5)
    yield "gaussians", *gaussians(32)


PROBLEMS = {name: rest for name, *rest in problems()}


KNOWN = [(2, "rectangular"), *((k, name) for k in (1, 2) for name in ("square", "divides"))]


@pytest.mark.parametrize("strength", [0.1, 1.0])
@pytest.mark.parametrize("k", [1, 2, 4, 8, 1000])
@pytest.mark.parametrize("name", PROBLEMS)
def test_few_entries(name, k, strength):
    """Cardinality and column masses always; rows, too, wherever a plan is known to exist; the gap is a bound."""
    C, a, b = PROBLEMS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ots.ConvergenceWarning)
        solution = ots.solve(C, a, b, reg=ots.SparsityConstrained(strength, k))
    P = solution.sparse_plan(1.0).tocsc()
    assert np.diff(P.indptr).max() <= k
    np.testing.assert_allclose(np.asarray(P.sum(0)), b, atol=1e-12)
    missing = np.abs(np.asarray(P.sum(1)) - a).sum()
    assert solution.marginal_error == pytest.approx(missing + np.abs(np.asarray(P.sum(0)) - b).sum(), abs=1e-15)
    # Any staircase has two entries per column of "rectangular"; integral flows have one in the others.
    if k >= 4 or (k, name) in KNOWN:
        assert solution.converged
    if solution.converged:
        assert missing <= 1e-9
        value = float((P.toarray() * C).sum() + 0.5 * strength * (P.data**2).sum())
        assert float(solution) == pytest.approx(value, rel=1e-12)
        assert solution.gap >= -1e-9 * value
        assert solution.dual_value <= value + 1e-9 * value
        assert solution.gap == pytest.approx(value - solution.dual_value, abs=1e-12)
    else:
        assert solution.status is ots.Status.INFEASIBLE
        assert missing > 1e-9
        assert solution.gap == math.inf


@pytest.mark.parametrize("name", ["square", "divides", "weighted"])
def test_one_entry_is_unregularised_transport(name):
    """Its semi-dual is that of exact transport, whether or not a plan with one entry exists."""
    C, a, b = PROBLEMS[name]
    solution = ots.solve(C, a, b, reg=ots.SparsityConstrained(0.5, 1), on_failure="ignore")
    exact = float(ots.solve(C, a, b)) + 0.25 * float((b**2).sum())
    assert solution.dual_value == pytest.approx(exact, rel=1e-9)
    if name != "weighted":
        assert float(solution) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("name", PROBLEMS)
def test_many_entries_are_quadratic_transport(name):
    C, a, b = PROBLEMS[name]
    quadratic = ots.solve(C, a, b, reg=ots.Quadratic(0.5))
    many = ots.solve(C, a, b, reg=ots.SparsityConstrained(0.5, a.size))
    assert float(many) == pytest.approx(float(quadratic), rel=1e-8)
    np.testing.assert_allclose(many.plan, quadratic.plan, atol=1e-9)


def test_more_entries_are_never_worse():
    C, a, b = PROBLEMS["square"]
    values = [float(ots.solve(C, a, b, reg=ots.SparsityConstrained(1.0, k))) for k in (1, 2, 3, 4, 6, 10)]
    assert (np.diff(values) <= 1e-9).all()


def test_rows_instead_of_columns():
    C, a, b = PROBLEMS["rectangular"]
    by_rows = ots.solve(C, a, b, reg=ots.SparsityConstrained(1.0, 3, side="rows"))
    P = by_rows.sparse_plan(1.0)
    assert np.diff(P.indptr).max() <= 3
    assert by_rows.converged
    by_columns = ots.solve(np.ascontiguousarray(C.T), b, a, reg=ots.SparsityConstrained(1.0, 3))
    # Neither may be better than the other one's bound.
    assert float(by_rows) >= by_columns.dual_value and float(by_columns) >= by_rows.dual_value
    assert float(by_rows) == pytest.approx(float(by_columns), abs=max(by_rows.gap, by_columns.gap))


def test_limits_of_single_columns():
    C, a, b = PROBLEMS["square"]
    k = np.where(np.arange(100) % 2, 1, 5)
    solution = ots.solve(C, a, b, reg=ots.SparsityConstrained(1.0, k))
    assert solution.converged
    assert (np.diff(solution.sparse_plan(1.0).tocsc().indptr) <= k).all()


def test_points_equal_the_matrix():
    x, y, _ = squares(150, 150, seed=9)
    C = ((x[:, None] - y[None]) ** 2).sum(-1)
    reg = ots.SparsityConstrained(1.0, 3)
    lazy, dense = ots.solve_sample(x, y, reg=reg), ots.solve(C, reg=reg)
    assert lazy.converged
    assert float(lazy) >= dense.dual_value and float(dense) >= lazy.dual_value
    assert lazy.dual_value == pytest.approx(dense.dual_value, rel=1e-3)


def integer_programme(a, b, k):
    """Whether a plan with at most k entries per column exists."""
    most = np.full(b.size, k)
    keys = decided(b, a, most, np.ones((b.size, a.size), dtype=bool))
    return keys is not None


@pytest.mark.parametrize("seed", range(12))
def test_small_problems_are_decided(seed):
    """A plan is found exactly where an integer programme finds one, and the bound on k is one."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(3, 7, size=2)
    a, b = gamma_weights(rng, n), gamma_weights(rng, m)
    C = rng.random((n, m))
    for k in (1, 2, 3):
        solution = ots.solve(C, a, b, reg=ots.SparsityConstrained(0.3, k), on_failure="ignore")
        possible = integer_programme(a, b, k)
        assert solution.converged == possible
        if possible:
            assert solution.diagnostics["fewest_entries"] <= k
            assert enough_entries(b, a, np.full(m, k))


@pytest.mark.parametrize("k", [2, 3, 4, 8])
def test_densities_of_very_different_tails(k):
    """Weights over ten orders of magnitude: exchanges end nowhere, plans with two entries exist."""
    C, a, b = gaussians(200)
    assert a.max() / a.min() > 1e10
    solution = ots.solve(C, a, b, reg=ots.SparsityConstrained(0.1, k))
    assert solution.converged
    P = solution.sparse_plan(1.0).tocsc()
    assert np.diff(P.indptr).max() <= k
    np.testing.assert_allclose(np.asarray(P.sum(0)), b, atol=1e-12)
    assert np.abs(np.asarray(P.sum(1)) - a).sum() <= 1e-9


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("n", "m", "k"), [(200, 200, 2), (200, 200, 3), (150, 250, 3), (250, 150, 2), (1, 3, 3), (3, 1, 1)]
)
def test_packing_finds_plans_between_any_weights(n, m, k, seed):
    """No rounding on the last row stands in the way."""
    rng = np.random.default_rng(seed)
    a, b = gamma_weights(rng, n), gamma_weights(rng, m)
    C = rng.random((n, m))
    plan = packed(a, b, np.full(n, k), lambda i: C[i])
    assert plan is not None
    assert np.diff(plan.indptr).max() <= k
    np.testing.assert_allclose(plan.sum(1), a, atol=1e-12)
    np.testing.assert_allclose(plan.sum(0), b, atol=1e-12)


def test_packing_keeps_to_allowed_pairs():
    a = b = np.full(6, 1 / 6)
    C = np.where((np.arange(6)[:, None] + np.arange(6)[None, :]) % 2 == 0, 1.0, np.inf)
    plan = packed(a, b, np.full(6, 2), lambda i: C[i])
    assert np.isfinite(C[plan.nonzero()]).all()
    assert packed(a, b, np.full(6, 2), lambda i: np.where(np.arange(6) < 3, 1.0, np.inf)) is None


def test_lower_bound_on_entries():
    assert fewest_entries(np.array([0.6, 0.4]), np.full(10, 0.1)) == 6
    assert fewest_entries(np.full(4, 0.25), np.full(10, 0.1)) == 3
    assert fewest_entries(np.full(10, 0.1), np.array([0.5, 0.5])) == 1
    assert not enough_entries(np.full(4, 0.25), np.full(10, 0.1), np.full(4, 2))


def test_limits_that_cannot_carry_the_mass():
    """Said with the residual and a bound, and the plan that comes keeps to the limits."""
    _, _, C = squares(40, 8)
    reg = ots.SparsityConstrained(1.0, 3)  # eight columns of 1/8, rows of 1/40: five entries each
    with pytest.warns(ots.ConvergenceWarning, match=r"INFEASIBLE .*at least 5 on some point"):
        solution = ots.solve(C, reg=reg)
    assert solution.status is ots.Status.INFEASIBLE
    assert solution.diagnostics["fewest_entries"] == 5
    assert solution.marginal_error > 0.1
    assert solution.gap == math.inf
    assert np.diff(solution.sparse_plan(1.0).tocsc().indptr).max() <= 3
    with pytest.raises(ots.ConvergenceError, match="INFEASIBLE"):
        ots.solve(C, reg=reg, on_failure="raise")
    assert ots.solve(C, reg=ots.SparsityConstrained(1.0, 5)).converged


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ots.Quadratic(0.0), ValueError, "gamma=0.0 must be positive and finite"),
        (lambda: ots.Quadratic(-1), ValueError, "gamma=-1 must be positive"),
        (lambda: ots.Quadratic(math.inf), ValueError, "gamma=inf must be positive and finite"),
        (lambda: ots.Quadratic("1"), TypeError, "gamma='1' is not a number"),
        (lambda: ots.Quadratic(1.0, relative_to="median"), ValueError, "relative_to='median' is unknown"),
        (lambda: ots.SparsityConstrained(1.0, 0), ValueError, "k=0: every point needs at least one entry"),
        (lambda: ots.SparsityConstrained(1.0, -3), ValueError, "k=-3"),
        (lambda: ots.SparsityConstrained(1.0, 2.0), TypeError, "k=2.0 must be a positive integer"),
        (lambda: ots.SparsityConstrained(1.0, True), TypeError, "k=True must be a positive integer"),
        (lambda: ots.SparsityConstrained(1.0, [1, 0]), ValueError, "k=[1, 0]"),
        (lambda: ots.SparsityConstrained(0.0, 2), ValueError, "gamma=0.0 must be positive"),
        (lambda: ots.SparsityConstrained(1.0, 2, side="both"), ValueError, "side='both' is unknown"),
        (
            lambda: ots.solve(np.eye(3), reg=ots.SparsityConstrained(1.0, [1, 2])),
            ValueError,
            "k holds 2 limits; expected one for each of the 3 columns",
        ),
        (
            lambda: ots.solve(np.eye(3), reg=ots.Quadratic(1.0), unbalanced=1.0),
            ots.UnsupportedError,
            "unbalanced=1.0 needs entropic regularisation",
        ),
        (
            lambda: ots.solve(np.eye(3), reg=ots.Quadratic(1.0), mass=0.5),
            ots.UnsupportedError,
            "mass=0.5 needs entropic regularisation",
        ),
        (
            lambda: ots.solve(np.eye(3), reg=ots.Quadratic(1.0), method="sinkhorn"),
            ots.UnsupportedError,
            "method='sinkhorn' is for a positive reg",
        ),
        (
            lambda: ots.solve(np.eye(3), reg=0.1, method="semismooth-newton"),
            ots.UnsupportedError,
            "method='semismooth-newton' is for reg=ots.Quadratic",
        ),
        (
            lambda: ots.solve(np.eye(3), reg=ots.SparsityConstrained(1.0, 2), method="semismooth-newton"),
            ots.UnsupportedError,
            "knows no limit of entries",
        ),
        (
            lambda: ots.solve(np.eye(3), reg=ots.Quadratic(1.0), method="semi-dual-ascent"),
            ots.UnsupportedError,
            "needs ots.SparsityConstrained",
        ),
        (
            lambda: ots.sinkhorn_divergence(np.eye(3), np.eye(3), reg=ots.Quadratic(1.0)),
            ots.UnsupportedError,
            "entropic regularisation only",
        ),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_repr_says_how_sparse():
    _, _, C = squares(20, 20)
    text = repr(ots.solve(C, reg=ots.SparsityConstrained(1.0, 2)))
    assert "quadratic transport problem" in text
    assert "in a column" in text
