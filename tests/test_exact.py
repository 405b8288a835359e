"""Exact transport: `reg=None` on every geometry, its certificate, and what forbidden pairs do to it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linear_sum_assignment

import ot_solvers as ots
from ot_solvers.backends import registry
from ot_solvers.solvers.exact import crossover, potentials

METHODS = ["simplex", "crossover"]


def gamma(rng, n, zeros=0):
    w = rng.gamma(0.7, size=n)
    w[rng.permutation(n)[:zeros]] = 0.0
    return w / w.sum()


def highs(C, a, b):
    """Value by a linear programme."""
    rows, columns = np.nonzero(np.isfinite(C))
    found = registry.get("reference").transport_simplex(
        a, b, rows, columns, C[rows, columns], None, np.zeros(a.size), np.zeros(b.size)
    )
    found.pivot(1)
    i, j, masses = found.plan()
    assert found.unmet() < 1e-9
    return float(masses @ C[i, j])


def check_certificate(solution, C, a, b):
    """All that makes a plan optimal, from the solution's own arrays."""
    P, f, g = solution.sparse_plan(), solution.potential_a.ravel(), solution.potential_b.ravel()
    size = max(np.abs(C[np.isfinite(C)]).max(), 1e-288)
    assert solution.converged
    assert P.nnz <= np.count_nonzero(a) + np.count_nonzero(b) - 1
    assert (P.data > 0).all()
    assert np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum() <= 1e-13 * a.sum()
    assert solution.marginal_error <= 1e-13
    assert np.isfinite(f).all() and np.isfinite(g).all()
    slack = C - f[:, None] - g[None, :]
    assert slack.min() >= -1e-11 * size
    assert np.abs(slack[P.nonzero()]).max() <= 1e-11 * size
    assert abs(solution.gap) <= 1e-11 * size * a.sum()
    assert float(solution) == pytest.approx(float((P.tocoo().data * C[P.tocoo().coords]).sum()), rel=1e-12)
    lower, upper = solution.bounds
    assert lower == pytest.approx(float(solution), abs=1e-11 * size * a.sum()) == upper


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n, m", [(1, 1), (1, 9), (40, 40), (30, 70)])
def test_matrices(method, n, m):
    rng = np.random.default_rng(n + m)
    C, a, b = rng.normal(size=(n, m)), 3.0 * gamma(rng, n), 3.0 * gamma(rng, m)
    before = C.copy()
    solution = ots.solve(C, a, b, method=method)
    check_certificate(solution, C, a, b)
    assert float(solution) == pytest.approx(3.0 * highs(C, a / 3, b / 3), abs=1e-8)
    assert solution.method == method and solution.reg == 0.0
    assert np.array_equal(C, before)


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "cityblock", "chebyshev", "cosine", "dot", "sphere"])
def test_clouds_are_matrices(cost):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(150, 3)), rng.normal(size=(120, 3)) + 0.5
    if cost == "sphere":
        x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
    a, b = gamma(rng, 150, zeros=20), gamma(rng, 120, zeros=10)
    C = np.asarray(ots.solve_sample(x, y, cost=cost).geometry.block(0, 150))
    lazy = ots.solve_sample(x, y, a, b, cost=cost, method="crossover")
    check_certificate(lazy, C, a, b)
    assert float(lazy) == pytest.approx(float(ots.solve(C, a, b, method="simplex")), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cost", ["sqeuclidean", "cityblock"])
def test_grids(method, cost):
    rng = np.random.default_rng(4)
    a, b = (gamma(rng, 99, zeros=30).reshape(9, 11) for _ in range(2))
    solution = ots.solve_grid(a, b, cost=cost, reg=None, method=method)
    C = np.asarray(solution.geometry.block(0, 99))
    assert solution.potential_a.shape == (9, 11)
    check_certificate(solution, C, a.ravel(), b.ravel())
    assert float(solution) == pytest.approx(highs(C[a.ravel() > 0][:, b.ravel() > 0], *_live(a, b)), abs=1e-8)


def _live(a, b):
    return a[a > 0], b[b > 0]


@pytest.mark.parametrize("method", METHODS)
def test_patterns(method):
    rng = np.random.default_rng(5)
    n = 90
    C = np.where(rng.random((n, n)) < 0.1, rng.random((n, n)), np.inf)
    C[np.arange(n), rng.permutation(n)] = 0.7
    a = np.full(n, 1 / n)
    stored = sparse.csr_array((C[np.isfinite(C)], np.nonzero(np.isfinite(C))), shape=(n, n))
    for costs in (C, stored, np.asfortranarray(C)):
        solution = ots.solve(costs, a, a, method=method)
        check_certificate(solution, C, a, a)
    assert float(solution) == pytest.approx(highs(C, a, a), abs=1e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(5))
def test_forbidden_pairs_and_points_without_weight(method, seed):
    """Rows with fewer allowed targets than candidates are asked for: nothing else may slip in."""
    rng = np.random.default_rng(seed)
    C = np.where(rng.random((60, 50)) < 0.15, rng.random((60, 50)), np.inf)
    a, b = gamma(rng, 60, zeros=15), np.zeros(50)
    # Weights of some plan on the pattern.
    for i in np.flatnonzero(a):
        allowed = np.flatnonzero(np.isfinite(C[i, :40]))
        if not allowed.size:
            C[i, 0], allowed = 1.0, np.zeros(1, dtype=int)
        b[rng.choice(allowed)] += a[i]
    solution = ots.solve(C, a, b, method=method)
    check_certificate(solution, C, a, b)
    live = np.ix_(a > 0, b > 0)
    assert float(solution) == pytest.approx(highs(C[live], a[a > 0], b[b > 0]), abs=1e-8)


def test_a_point_without_weight_and_without_allowed_pairs():
    C = np.array([[np.inf, np.inf], [1.0, 2.0]])
    for reg in (None, 0.1):
        pulled = ots.solve(C, [0.0, 1.0], [0.5, 0.5], reg=reg).pull(np.arange(2.0))
        assert np.isnan(pulled[0]) and pulled[1] == pytest.approx(0.5)


@pytest.mark.parametrize("method", METHODS)
def test_patterns_without_a_plan(method):
    C = np.full((40, 40), np.inf)
    C[:20, :19] = 1.0
    C[:, 25:] = 2.0
    C[0, :] = 3.0
    with pytest.raises(ots.InfeasibleError, match="of the mass"):
        ots.solve(C, method=method)
    solution = ots.solve(C, method=method, on_failure="ignore")
    assert solution.status is ots.Status.INFEASIBLE
    assert solution.gap == np.inf and solution.bounds[1] == np.inf
    assert solution.marginal_error > 1e-3


def test_assignments_are_permutations():
    rng = np.random.default_rng(6)
    n = 300
    for C in (rng.random((n, n)), rng.integers(0, 5, size=(n, n)).astype(float)):
        solution = ots.solve(C)
        rows, columns = linear_sum_assignment(C)
        assert float(solution) == pytest.approx(C[rows, columns].mean(), abs=1e-13)
        P = solution.sparse_plan()
        assert P.nnz == n and np.array_equal(np.unique(P.indices), np.arange(n))
        assert np.array_equal(solution.match(), P.indices)


def test_a_line_is_sorted():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(500, 1)), rng.normal(size=(400, 1))
    a, b = gamma(rng, 500, zeros=50), gamma(rng, 400, zeros=3)
    for cost in ("sqeuclidean", "euclidean", "dot", ots.costs.PNorm(3)):
        solution = ots.solve_sample(x, y, a, b, cost=cost)
        assert solution.method == "sorting"
        C = np.asarray(solution.geometry.block(0, 500))
        check_certificate(solution, C, a, b)
        assert float(solution) == pytest.approx(float(ots.solve(C, a, b)), rel=1e-11)
    assert ots.solve_sample(np.abs(x) + 1, np.abs(y) + 1, cost="cosine").method != "sorting"
    grid = ots.solve_grid(a, np.roll(a, 3), reg=None)
    assert grid.method == "sorting"
    check_certificate(grid, np.asarray(grid.geometry.block(0, 500)), a, np.roll(a, 3))
    equal = ots.solve_sample(np.zeros((3, 1)), np.zeros((3, 1)))
    assert float(equal) == 0.0 and equal.sparse_plan().nnz == 3


def test_large_enough_for_a_sample(monkeypatch):
    """The way of large problems, at a size that a test can check."""
    monkeypatch.setattr(potentials, "SAMPLE_ABOVE", 100)
    rng = np.random.default_rng(8)
    for x, y in (rng.normal(size=(2, 900, 3)), rng.random((2, 900, 12)), rng.standard_cauchy(size=(2, 900, 2))):
        solution = ots.solve_sample(x, y[:700], method="crossover")
        C = np.asarray(solution.geometry.block(0, 900))
        check_certificate(solution, C, np.full(900, 1 / 900), np.full(700, 1 / 700))
        assert float(solution) == pytest.approx(float(ots.solve(C, method="simplex")), rel=1e-11)
    assert float(ots.solve(C, method="crossover")) == pytest.approx(float(solution), rel=1e-11)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("zeros", [0, 40])
def test_degenerate_costs(method, zeros):
    """Equal costs, equal points, one odd cost: nothing to choose by."""
    rng = np.random.default_rng(9)
    a, b = gamma(rng, 120, zeros), gamma(rng, 80)
    for C in (
        np.zeros((120, 80)),
        np.full((120, 80), -7.0),
        np.where(np.indices((120, 80)).sum(0) == 0, 1e9, 1.0),
    ):
        check_certificate(ots.solve(C, a, b, method=method), C, a, b)
    x = np.repeat(rng.normal(size=(6, 2)), 20, axis=0)
    solution = ots.solve_sample(x, x[:80], a, b, method=method)
    check_certificate(solution, np.asarray(solution.geometry.block(0, 120)), a, b)


@pytest.mark.parametrize("method", METHODS)
def test_huge_tiny_and_shifted_costs(method):
    rng = np.random.default_rng(10)
    C, a, b = rng.random((150, 150)), gamma(rng, 150), gamma(rng, 150)
    value = float(ots.solve(C, a, b, method=method))
    for scale in (1e-280, 1e280):
        assert float(ots.solve(C * scale, a, b, method=method)) / scale == pytest.approx(value, rel=1e-11)
    assert float(ots.solve(C + 1e6, a, b, method=method)) - 1e6 == pytest.approx(value, abs=1e-8)
    one = C.copy()
    one[7, 9] = 1e150
    assert float(ots.solve(one, a, b, method=method)) == pytest.approx(value, rel=1e-2)
    for mass in (1e-200, 1e200):
        assert float(ots.solve(C, a * mass, b * mass, method=method)) / mass == pytest.approx(value, rel=1e-11)


@pytest.mark.parametrize("method", METHODS)
def test_masses_of_all_sizes(method):
    rng = np.random.default_rng(11)
    a, b = (10.0 ** rng.uniform(-200, 0, size=60) for _ in range(2))
    b *= a.sum() / b.sum()
    C = rng.random((60, 60))
    solution = ots.solve(C, a, b, method=method)
    assert solution.marginal_error <= 1e-14
    assert abs(solution.gap) <= 1e-13 * a.sum()


def test_single_precision():
    rng = np.random.default_rng(12)
    x, y = rng.normal(size=(2, 400, 3)).astype(np.float32)
    solution = ots.solve_sample(x, y)
    assert solution.potential_a.dtype == np.float32 and solution.sparse_plan().dtype == np.float32
    assert float(solution) == pytest.approx(float(ots.solve_sample(x.astype(float), y.astype(float))), rel=1e-6)
    assert ots.solve_sample(x + np.float32(1e4), y + np.float32(1e4)).converged


def test_what_a_solution_offers():
    rng = np.random.default_rng(13)
    x, y = rng.normal(size=(250, 2)), rng.normal(size=(250, 2)) + 2.0
    a = gamma(rng, 250, zeros=10)
    solution = ots.solve_sample(x, y, a)
    P = solution.plan
    assert np.allclose(P, solution.sparse_plan().toarray(), atol=0)
    assert np.allclose(solution.apply(y), P @ y) and np.allclose(solution.apply_transpose(x), P.T @ x)
    assert np.allclose(solution.plan_operator @ y[:, 0], P @ y[:, 0])
    mapped = solution.barycentric_map()
    live = a > 0
    assert np.allclose(mapped[live], (P @ y)[live] / a[live, None])
    assert np.isfinite(mapped).all()  # points without weight go where the potentials send them
    assert np.allclose(solution.transport(x[~live]), mapped[~live])
    assert np.allclose(solution.barycentric_map(inverse=True), 250 * P.T @ x)
    i, j = solution.sample(200, seed=0)
    assert (P[i, j] > 0).all()
    assert np.allclose(solution.T.plan, P.T) and float(solution.T) == pytest.approx(float(solution))
    again = pickle.loads(pickle.dumps(solution))
    assert float(again) == float(solution) and again.converged
    assert "exact" in repr(solution) and "no pair can improve the plan" in repr(solution)
    assert solution.diagnostics["pivots"] > 0
    assert solution.value == solution.value_linear


def test_warm_starts_save_passes():
    rng = np.random.default_rng(14)
    x, y = rng.normal(size=(2, 800, 3))
    cold = ots.solve_sample(x, y)
    assert cold.method == "crossover" and cold.n_iter > 10
    for init in (cold, cold.potentials, ots.solve_sample(x, y, reg=1e-3)):
        warm = ots.solve_sample(x + 1e-4 * rng.normal(size=x.shape), y, init=init)
        assert warm.n_iter < cold.n_iter / 3
        assert abs(warm.gap) < 1e-12
    # Exact potentials start entropic solves, too.
    assert ots.solve_sample(x, y, reg=1e-2, init=cold).converged


@pytest.mark.parametrize("after", [0, 3, 12])
def test_stopped_by_the_caller(after):
    """The best plan and bounds so far: valid, if wide."""
    rng = np.random.default_rng(15)
    x, y = rng.normal(size=(2, 700, 3))
    exact = float(ots.solve_sample(x, y))
    seen = []
    solution = ots.solve_sample(x, y, callback=lambda p: seen.append(p) or len(seen) > after)
    assert solution.status is ots.Status.STOPPED_BY_CALLBACK and len(seen) == after + 1
    lower, upper = solution.bounds
    assert lower <= exact * (1 + 1e-12) and exact <= upper * (1 + 1e-12)
    assert solution.marginal_error < 1e-12
    assert [p.iteration for p in seen] == sorted(p.iteration for p in seen)
    with pytest.warns(ots.ConvergenceWarning, match="MAX_ITER after 5 passes"):
        stopped = ots.solve_sample(x, y, max_iter=5)
    assert stopped.n_iter == 5 and stopped.bounds[0] <= exact <= stopped.bounds[1] * (1 + 1e-12)


def test_few_candidates_take_more_rounds_to_the_same_end():
    rng = np.random.default_rng(16)
    x, y, b = rng.normal(size=(600, 3)), rng.normal(size=(500, 3)), gamma(rng, 500)
    few = ots.solve_sample(x, y, b=b, method=ots.Crossover(candidates=1))
    many = ots.solve_sample(x, y, b=b, method=ots.Crossover(candidates=40))
    assert few.n_iter > many.n_iter
    assert float(few) == pytest.approx(float(many), rel=1e-12)


def test_the_generic_backend_solves_the_same():
    rng = np.random.default_rng(17)
    x, y, a = rng.normal(size=(60, 2)), rng.normal(size=(50, 2)), gamma(rng, 60)
    for method in METHODS:
        mine = ots.solve_sample(x, y, a, method=method)
        other = ots.solve_sample(x, y, a, method=method, backend="reference")
        assert float(mine) == pytest.approx(float(other), rel=1e-8)


def test_no_pair_is_priced_twice():
    """What the simplex leaves must not count as violated: the two tolerances have room between them."""
    from ot_solvers.backends.numba import network_simplex

    assert crossover.TOLERANCE >= 4 * network_simplex.TOLERANCE


@pytest.mark.parametrize("method", [*METHODS, "assignment", "auto"])
@pytest.mark.parametrize("share", [0.03, 0.7, 0.97])
@pytest.mark.parametrize("huge", [1e4, 1e9, 1e12, 1e15, 1e100])
def test_pairs_forbidden_by_huge_costs(huge, share, method):
    """The plan avoids them: they may not take a digit from what it costs."""
    rng = np.random.default_rng(int(share * 100))
    n = 60
    C = rng.random((n, n))
    avoided = rng.random((n, n)) < share
    np.fill_diagonal(avoided, False)
    solution = ots.solve(np.where(avoided, huge, C), method=method)
    rows, columns = linear_sum_assignment(np.where(avoided, 1e4, C))
    value = C[rows, columns].mean()
    assert float(solution) == pytest.approx(value, rel=1e-13)
    assert abs(solution.gap) <= 1e-9 * value


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("huge", [1e9, 1e15])
def test_huge_costs_beside_general_masses(huge, method):
    rng = np.random.default_rng(5)
    C = rng.random((30, 45))
    a, b = gamma(rng, 30, 3), gamma(rng, 45, 5)
    value = float(ots.solve(C, a, b))
    plan = ots.solve(C, a, b).sparse_plan()
    C[(rng.random(C.shape) < 0.8) & (plan.toarray() == 0)] = huge
    solution = ots.solve(C, a, b, method=method)
    assert float(solution) == pytest.approx(value, rel=1e-12)
    assert abs(solution.gap) <= 1e-9 * value


@pytest.mark.parametrize("method", METHODS)
def test_huge_costs_that_cannot_be_avoided(method):
    rng = np.random.default_rng(6)
    C = rng.random((30, 30))
    C[4] = 1e9
    solution = ots.solve(C, method=method)
    value = C[linear_sum_assignment(C)].mean()
    assert float(solution) == pytest.approx(value, rel=1e-14)
    assert abs(solution.gap) <= 1e-13 * value
