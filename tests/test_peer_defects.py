"""Defects of other libraries that we reproduced: what they do, and that we do not.

Each peer is run live where it is installed, so that a test also says when a defect is gone.
"""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from problems import some_weights

import ot_solvers as ots

peer = pytest.mark.peer


@pytest.fixture
def problem(rng):
    """(C, a, b) without zero weights."""
    C = rng.random((40, 35))
    a, b = rng.uniform(0.5, 1.5, 40), rng.uniform(0.5, 1.5, 35)
    return C, a / a.sum(), b / b.sum()


# --- POT: ot.solve -------------------------------------------------------------------------------------------


def test_warm_starts_are_used(problem):
    # POT: potentials_init is ignored by ot.solve for Sinkhorn.
    C, a, b = problem
    cold = ots.solve(C, a, b, reg=0.02)
    warm = ots.solve(C, a, b, reg=0.02, init=cold)
    assert cold.n_iter > 10 and warm.n_iter == 1


def test_results_say_how_they_ended(problem):
    # POT: Sinkhorn results carry status None.
    C, a, b = problem
    assert ots.solve(C, a, b, reg=0.02).status is ots.Status.CONVERGED
    early = ots.solve(C, a, b, reg=0.02, max_iter=3, on_failure="ignore")
    assert early.status is ots.Status.MAX_ITER and not early.converged


def test_potentials_have_one_unit(problem, rng):
    # POT: potentials are dimensionless or in cost units, by method. Ours scale with the cost, whatever runs.
    C, a, b = problem
    for method in ("auto", "sinkhorn", ots.Sinkhorn(kernel="stored"), ots.Sinkhorn(kernel="log")):
        one = ots.solve(C, a, b, reg=0.05, method=method, tol=1e-10)
        ten = ots.solve(10 * C, a, b, reg=0.5, method=method, tol=1e-10)
        np.testing.assert_allclose(ten.potential_a, 10 * one.potential_a, atol=1e-7)
        kernel = np.exp((one.potential_a[:, None] + one.potential_b - C) / 0.05)
        np.testing.assert_allclose(one.plan, a[:, None] * b * kernel, rtol=1e-12)


def test_unbalanced_values_have_all_their_terms(problem):
    # POT: ot.solve(reg, unbalanced) returns a value near 0 at every optimum (7e-15 where it is .638).
    C, a, b = problem
    solution = ots.solve(C, a, 2 * b, reg=0.1, unbalanced=0.7, tol=1e-10)
    expected = oracles.objective(solution.plan, C, a, 2 * b, 0.1, (0.7, 0.7), "kl")
    assert solution.value == pytest.approx(expected, rel=1e-12)
    assert solution.value > 0.3
    assert solution.value == pytest.approx(solution.dual_value, rel=1e-8)


@peer
def test_unbalanced_plan_agrees_where_the_value_of_pot_does_not(problem):
    ot = pytest.importorskip("ot")
    C, a, b = problem
    ours = ots.solve(C, a, 2 * b, reg=0.1, unbalanced=0.7, tol=1e-10)
    theirs = ot.solve(
        C, a, 2 * b, reg=0.1, unbalanced=0.7, reg_type="kl", unbalanced_type="kl", max_iter=20_000, tol=1e-13
    )
    np.testing.assert_allclose(theirs.plan, ours.plan, rtol=1e-4, atol=1e-9)


def test_relative_eps_looks_at_the_cross_costs():
    # POT: solve_sample(scaler=) never scales X_b. A scale of the points must enter eps by its square.
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 2)), rng.random((25, 2))
    for scale in (1e-3, 1e3):
        one = ots.solve_sample(x, y, reg=0.05, reg_relative_to="mean", tol=1e-9)
        many = ots.solve_sample(scale * x, scale * y, reg=0.05, reg_relative_to="mean", tol=1e-9)
        np.testing.assert_allclose(many.plan, one.plan, atol=1e-9)
        assert many.reg == pytest.approx(one.reg * scale**2, rel=1e-9)


def test_lazy_results_have_a_value_and_unbalanced_modes(rng):
    # POT: lazy results have value None and no unbalanced mode.
    x, y = rng.random((300, 2)), rng.random((310, 2))
    C = oracles.squared_distances(x, y)
    for mode in (
        {},
        {"unbalanced": 0.5},
        {"unbalanced": 0.5, "unbalanced_type": "tv"},
        {"unbalanced": (np.inf, 1.0)},
    ):
        lazy = ots.solve_sample(x, y, reg=0.05, tol=1e-8, **mode)
        dense = ots.solve(C, reg=0.05, tol=1e-8, **mode)
        assert lazy.value == pytest.approx(dense.value, abs=1e-9)


def test_zero_weights_stay_zero(rng):
    # POT: zero weights are handled by adding 0; results near them are NaN.
    C = rng.random((12, 10))
    a, b = some_weights(rng, 12), some_weights(rng, 10)
    solution = ots.solve(C, a, b, reg=1e-3)
    assert solution.converged
    assert np.isfinite(solution.potential_a).all() and np.isfinite(solution.plan).all()
    assert (solution.plan[a == 0] == 0).all()


@peer
def test_stable_where_the_plain_iteration_underflows(rng):
    ot = pytest.importorskip("ot")
    x, y = rng.random((50, 2)), rng.random((60, 2))
    C = oracles.squared_distances(x, y)
    a, b = np.full(50, 0.02), np.full(60, 1 / 60)
    eps = 1e-3 * C.max()
    with pytest.warns(UserWarning):
        theirs = ot.sinkhorn(a, b, C, eps, method="sinkhorn", numItermax=1000)
    assert not (np.isfinite(theirs).all() and oracles.marginal_error(theirs, a, b) < 1e-6)
    for kernel in ("auto", "stored", "log"):
        ours = ots.solve(C, a, b, reg=eps, method=ots.Sinkhorn(kernel=kernel))
        assert ours.converged
        assert oracles.marginal_error(ours.plan, a, b) < 1.01e-6


def test_nothing_is_printed(problem, capfd):
    # POT: a stray print per evaluation, and numerical errors on stdout.
    C, a, b = problem
    ots.solve(C, a, b, reg=0.02)
    ots.solve(C, a, b, reg=1e-7, max_iter=20, on_failure="ignore")
    ots.solve(C, a, b, reg=0.02, unbalanced=0.3)
    out, err = capfd.readouterr()
    assert out == "" and err == ""


# --- OTT -------------------------------------------------------------------------------------------------------


def test_float32_at_small_eps_is_as_good_as_it_says(rng):
    # OTT: float32 at small eps ends with a marginal error of 0.24, and only converged=False to show for it.
    x, y = rng.random((300, 3)).astype(np.float32), rng.random((300, 3)).astype(np.float32)
    C = oracles.squared_distances(x.astype(np.float64), y.astype(np.float64))
    a = np.full(300, 1 / 300)
    for share in (1e-2, 1e-3, 1e-4):
        for solution in (
            ots.solve_sample(x, y, reg=share * C.max()),
            ots.solve(C.astype(np.float32), reg=share * C.max()),
        ):
            assert solution.converged
            assert oracles.marginal_error(solution.plan.astype(np.float64), a, a) < 1.1e-4


def test_unequal_masses_do_not_run_silently(problem):
    # OTT and RegOT solve something else without a word.
    C, a, b = problem
    with pytest.raises(ValueError, match=r"total masses differ: sum\(a\)=1, sum\(b\)=1\.1\b.*unbalanced=rho"):
        ots.solve(C, a, 1.1 * b, reg=0.1)


# --- GeomLoss --------------------------------------------------------------------------------------------------


def test_there_is_a_stopping_rule(rng):
    # GeomLoss: no stopping rule (error 1.8e-2 after 1000 iterations).
    x, y = rng.random((200, 2)), rng.random((210, 2))
    solution = ots.solve_sample(x, y, reg=1e-3)
    assert solution.marginal_error <= 1e-6
    assert solution.n_iter < 1000
    loose = ots.solve_sample(x, y, reg=1e-3, tol=1e-2)
    assert loose.n_iter < solution.n_iter


def test_weights_have_derivatives(problem):
    # GeomLoss: gradients of the new API are twice too large, those by weights do not exist.
    C, a, b = problem
    solution = ots.solve(C, a, b, reg=0.1, tol=1e-12)
    direction = np.zeros(40)
    direction[3], direction[7] = 1.0, -1.0
    ahead = ots.solve(C, a + 1e-5 * direction, b, reg=0.1, tol=1e-12).value
    behind = ots.solve(C, a - 1e-5 * direction, b, reg=0.1, tol=1e-12).value
    assert solution.potential_a @ direction == pytest.approx((ahead - behind) / 2e-5, rel=1e-6)


def test_divergences_are_not_negative(rng):
    # GeomLoss 25, OTT 121.
    x = rng.random((40, 2))
    for eps in (1e-3, 0.1, 10.0):
        for y in (x, x + 1e-6, x[::-1]):
            for budget in (1, 5, None):
                found = ots.sinkhorn_divergence(x, y, reg=eps, max_iter=budget, on_failure="ignore")
                assert found.value >= -1e-13


def test_plan_and_value_come_from_one_call(problem):
    # GeomLoss 18, 61, 80, 83: loss or potentials, never both with the plan.
    C, a, b = problem
    solution = ots.solve(C, a, b, reg=0.1)
    assert solution.value > 0 and solution.plan.shape == C.shape and len(solution.potentials) == 2
