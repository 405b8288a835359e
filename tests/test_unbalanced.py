"""Unbalanced and semi-relaxed transport: every mass term, certificates, derivatives, limits."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from checks import check_close
from hypothesis import given
from hypothesis import strategies as st
from oracles import SETTINGS, check_unbalanced_solution
from problems import some_weights
from scipy import sparse

import ot_solvers as ots

INF = math.inf
#: (rho_a, rho_b): both soft, unlike, semi-relaxed either way.
PAIRS = [(0.3, 0.3), (2.0, 0.1), (INF, 0.5), (0.5, INF)]


@pytest.fixture
def problem(rng):
    """(C, a, b) with unlike masses 1.3 and 0.8, zero weights on both sides."""
    x, y = rng.random((17, 2)), rng.random((13, 2))
    return oracles.squared_distances(x, y), 1.3 * some_weights(rng, 17), 0.8 * some_weights(rng, 13)


@pytest.mark.parametrize("kind", ["kl", "tv"])
@pytest.mark.parametrize("rho", PAIRS)
@pytest.mark.parametrize("eps", [0.02, 0.5])
@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_agrees_with_a_plain_iteration(problem, kind, rho, eps, backend):
    C, a, b = problem
    found = oracles.brute_force(C, a, b, eps, rho, kind)
    solution = ots.solve(C, a, b, reg=eps, unbalanced=rho, unbalanced_type=kind, tol=1e-11, backend=backend)
    assert solution.converged
    check_unbalanced_solution(solution, C, a, b, rho, kind)
    assert solution.value == pytest.approx(found.value, abs=1e-9)
    assert abs(solution.gap) <= 1e-8
    np.testing.assert_allclose(solution.plan, found.plan, atol=1e-9)
    np.testing.assert_allclose(solution.potential_a, found.f, atol=1e-8)
    np.testing.assert_allclose(solution.potential_b, found.g, atol=1e-8)


@pytest.mark.parametrize("kind", ["kl", "tv"])
@pytest.mark.parametrize("rho", PAIRS)
def test_every_geometry_agrees(rng, kind, rho):
    a, b = 1.3 * some_weights(rng, 20).reshape(5, 4), 0.8 * some_weights(rng, 20).reshape(5, 4)
    axes = np.sort(rng.random(5)), np.sort(rng.random(4))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    C = oracles.squared_distances(points, points)
    options = {"reg": 0.1, "unbalanced": rho, "unbalanced_type": kind, "tol": 1e-10}
    flat = (a.ravel(), b.ravel())
    full = sparse.coo_array((C.ravel(), np.indices(C.shape).reshape(2, -1)), shape=C.shape)
    dense = ots.solve(C, *flat, **options)
    for solution in (
        ots.solve(np.asfortranarray(C), *flat, **options),
        ots.solve(full, *flat, **options),
        ots.solve_sample(points, points, *flat, **options),
        ots.solve_grid(a, b, axes=axes, **options),
        ots.solve(C.T.copy(), *flat[::-1], **{**options, "unbalanced": rho[::-1]}).T,
    ):
        assert solution.converged
        assert solution.value == pytest.approx(dense.value, abs=1e-9)
        np.testing.assert_allclose(solution.plan, dense.plan, atol=1e-9)


@pytest.mark.parametrize("kind", ["kl", "tv"])
@pytest.mark.parametrize("size", [10, 100])
@pytest.mark.parametrize("max_iter", [1, 2, 7])
def test_gap_is_honest_before_convergence(rng, kind, size, max_iter):
    C = rng.random((size, size + 3))
    a, b = 1.3 * some_weights(rng, size), 0.8 * some_weights(rng, size + 3)
    for rho in PAIRS:
        options = {"reg": 0.02, "unbalanced": rho, "unbalanced_type": kind}
        early = ots.solve(C, a, b, **options, max_iter=max_iter, on_failure="ignore")
        best = ots.solve(C, a, b, **options, tol=1e-10)
        assert early.dual_value <= best.value + 1e-9
        assert best.value <= early.dual_value + early.gap + 1e-9
        # The plan as it is prices the soft sides; what is promised for a hard side is made to hold first.
        if not any(map(math.isinf, rho)):
            assert early.value == pytest.approx(early.dual_value + early.gap, rel=1e-9)


def test_bounds_bracket_the_linear_programme(problem):
    C, a, b = problem
    for rho in (0.05, 0.3, 3.0):
        exact = oracles.exact_tv_transport(C, a, b, rho)
        for eps in (0.1, 0.01):
            solution = ots.solve(C, a, b, reg=eps, unbalanced=rho, unbalanced_type="tv", tol=1e-9)
            lower, upper = solution.bounds
            assert lower - 1e-12 <= exact <= upper + 1e-12
    assert upper - lower < 0.05  # and close in as eps falls


def test_bounds_bracket_the_exact_kl_optimum_of_one_pair():
    # n = m = 1: min over the moved mass p of p c + rho KL(p | a) + rho KL(p | b), p = sqrt(a b) exp(-c / 2 rho).
    c, rho, a, b = 0.7, 0.4, 1.5, 0.6
    p = math.sqrt(a * b) * math.exp(-c / (2 * rho))
    exact = p * c + rho * sum(p * math.log(p / w) - p + w for w in (a, b))
    for eps in (1.0, 0.1, 1e-3):
        solution = ots.solve(np.array([[c]]), np.array([a]), np.array([b]), reg=eps, unbalanced=rho, tol=1e-12)
        lower, upper = solution.bounds
        assert lower - 1e-12 <= exact <= upper + 1e-12
    assert upper - lower < 1e-3
    assert solution.value_linear == pytest.approx(p * c, rel=1e-2)


# --- derivatives ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rho", [(0.4, 0.4), (0.3, 1.5), (INF, 0.5), (0.5, INF)])
def test_weight_derivatives_include_the_product_measure(rng, rho):
    n, m, eps, step = 5, 6, 0.15, 1e-5
    C = rng.random((n, m))
    a, b = rng.uniform(0.5, 1.5, n), rng.uniform(0.3, 0.9, m)

    def value(a, b):
        return ots.solve(C, a, b, reg=eps, unbalanced=rho, tol=1e-13).value

    f, g = ots.solve(C, a, b, reg=eps, unbalanced=rho, tol=1e-13).potentials

    # The dual is a function of (a, b) at fixed potentials (envelope): its terms that hold a are
    # a . rho (1 - e^{-f/rho}) (or a . f on a hard side) and eps (sum a sum b - sum P). At the optimum
    # row i of P is a_i e^{-f_i/rho} (hard: a_i).
    def side(potential, penalty, other):
        if math.isinf(penalty):
            return potential - eps * (1 - other)
        decay = np.exp(-potential / penalty)
        return penalty * (1 - decay) - eps * (decay - other)

    numeric = np.array([(value(a + step * e, b) - value(a - step * e, b)) / (2 * step) for e in np.eye(n)])
    check_close(side(f, rho[0], b.sum()), numeric, "float64", "derivative", scale=1 + np.abs(numeric).max())
    numeric = np.array([(value(a, b + step * e) - value(a, b - step * e)) / (2 * step) for e in np.eye(m)])
    check_close(side(g, rho[1], a.sum()), numeric, "float64", "derivative", scale=1 + np.abs(numeric).max())


# --- limits ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["kl", "tv"])
def test_infinite_rho_is_balanced(rng, kind):
    C = rng.random((9, 8))
    balanced = ots.solve(C, reg=0.1, tol=1e-10)
    same = ots.solve(C, reg=0.1, tol=1e-10, unbalanced=INF, unbalanced_type=kind)
    pair = ots.solve(C, reg=0.1, tol=1e-10, unbalanced=(INF, INF), unbalanced_type=kind)
    assert same.value == pair.value == balanced.value
    np.testing.assert_array_equal(same.potential_a, balanced.potential_a)


@pytest.mark.parametrize("kind", ["kl", "tv"])
def test_large_rho_tends_to_balanced(rng, kind):
    C = rng.random((9, 8))
    balanced = ots.solve(C, reg=0.1, tol=1e-12)
    off = []
    for rho in (1e2, 1e4, 1e6):
        soft = ots.solve(C, reg=0.1, unbalanced=rho, unbalanced_type=kind, tol=1e-12)
        assert soft.converged
        assert soft.value <= balanced.value + 1e-12 * rho  # a relaxation
        off.append(abs(soft.value - balanced.value))
    if kind == "tv":
        assert max(off) < 1e-5  # exact penalty: the balanced optimum itself once rho exceeds the potentials
    else:
        assert off[0] > 50 * off[1]
        assert off[1] < 1e-3


@pytest.mark.parametrize("kind", ["kl", "tv"])
def test_small_rho_moves_next_to_nothing_or_everything(rng, kind):
    # rho -> 0: mass terms cost nothing, the plan minimises <P, C> + eps KL(P | a b'), which is a b' exp(-C/eps).
    C = rng.random((6, 5))
    a, b = some_weights(rng, 6), 2 * some_weights(rng, 5)
    solution = ots.solve(C, a, b, reg=0.3, unbalanced=1e-9, unbalanced_type=kind)
    assert solution.converged
    np.testing.assert_allclose(solution.plan, np.outer(a, b) * np.exp(-C / 0.3), rtol=1e-6)
    # A wall of cost moves nothing: what is lost is priced in full.
    wall = ots.solve(C + 200.0, a, b, reg=0.3, unbalanced=0.05, unbalanced_type=kind)
    assert wall.converged
    np.testing.assert_allclose(wall.plan, 0.0, atol=1e-100)
    assert wall.value == pytest.approx(0.05 * (1 + 2) + 0.3 * 2, rel=1e-9)


@pytest.mark.parametrize("rho", [1e-12, 1e-4, 1.0, 1e4, 1e8])
@pytest.mark.parametrize("kind", ["kl", "tv"])
@pytest.mark.parametrize("masses", [(1.0, 1.0), (1.0, 3.0), (0.2, 30.0)])
def test_tiny_and_huge_rho_converge_as_fast_as_balanced(rng, rho, kind, masses):
    # Unlike masses with rho >> eps: alternating updates move the constant of the potentials by eps a pass.
    x, y = rng.random((70, 2)), rng.random((80, 2))
    a, b = masses[0] * some_weights(rng, 70), masses[1] * some_weights(rng, 80)
    C = oracles.squared_distances(x, y)
    tol = 1e-6 if rho < 1e7 else 1e-4  # potentials of size rho lose digits
    solution = ots.solve(C, a, b, reg=0.02, unbalanced=rho, unbalanced_type=kind, tol=tol)
    assert solution.converged
    assert solution.n_iter < 200
    check_unbalanced_solution(solution, C, a, b, (rho, rho), kind)
    # First order: rho times the residual of TV, of KL its square.
    assert solution.gap <= 2 * rho * tol * max(masses) + 1e-9


def test_semi_relaxed_keeps_the_hard_side(problem):
    C, a, b = problem
    for rho, side, weights in (((INF, 0.2), "marginal_a", a), ((0.2, INF), "marginal_b", b)):
        for kind in ("kl", "tv"):
            solution = ots.solve(C, a, b, reg=0.05, unbalanced=rho, unbalanced_type=kind, tol=1e-9)
            np.testing.assert_allclose(getattr(solution, side), weights, atol=1e-8)
            assert solution.marginal_error < 1e-9


def test_total_variation_discards_what_costs_more_than_two_rho(rng):
    # Moving a unit over cost c saves rho on both sides: far points stay, near ones are matched.
    x = np.array([[0.0], [10.0]])
    y = np.array([[0.1], [30.0]])
    half = np.array([0.5, 0.5])
    solution = ots.solve_sample(x, y, half, half, cost="euclidean", reg=1e-3, unbalanced=1.0, unbalanced_type="tv")
    np.testing.assert_allclose(solution.plan, [[0.5, 0.0], [0.0, 0.0]], atol=1e-3)
    assert solution.value == pytest.approx(0.05 + 1.0, abs=5e-3)


@SETTINGS
@given(oracles.problems(), st.sampled_from(["kl", "tv"]), st.sampled_from(PAIRS), st.sampled_from([0.3, 1.0, 5.0]))
def test_weak_duality_and_optimality(problem, kind, rho, mass):
    C, a, b, eps = problem
    b = mass * b
    options = {"reg": eps, "unbalanced": rho, "unbalanced_type": kind}
    solution = ots.solve(C, a, b, **options, tol=1e-10)
    check_unbalanced_solution(solution, C, a, b, rho, kind)
    assert solution.converged
    assert abs(solution.gap) <= 1e-8
    # No feasible plan is better: here, the product measure on the masses that a hard side asks for.
    product = np.outer(a, b) / b.sum() if math.isinf(rho[0]) else np.outer(a, b) / a.sum()
    assert solution.value <= oracles.objective(product, C, a, b, eps, rho, kind) + 1e-9


@pytest.mark.peer
def test_plan_is_that_of_pot(rng):
    ot = pytest.importorskip("ot")
    C = rng.random((20, 15))
    a, b = rng.uniform(0.5, 1.5, 20), rng.uniform(0.5, 1.5, 15)
    solution = ots.solve(C, a, b, reg=0.1, unbalanced=0.7, tol=1e-11)
    theirs = ot.unbalanced.sinkhorn_stabilized_unbalanced(a, b, C, 0.1, 0.7, stopThr=1e-14, numItermax=5000)
    np.testing.assert_allclose(solution.plan, theirs, rtol=1e-6)
