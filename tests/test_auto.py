"""``method="auto"``: right whatever it picks, true about what it picked, and picking the same every time."""

from __future__ import annotations

import math
import re

import oracles
import pytest
from checks import check_close, check_same_bits
from hypothesis import given
from hypothesis import strategies as st
from oracles import SETTINGS, check_unbalanced_solution
from problems import combinations, some_weights
from regimes import NAMES, regime

import ot_solvers as ots
from ot_solvers import Status
from ot_solvers.solvers import auto

INF = math.inf
SMALL = "a problem this small takes less time than a choice"


def check_truthful(solution) -> None:
    """What the result says of its method agrees with what was counted."""
    steps = solution.diagnostics["newton_steps"]
    assert solution.method == ("newton" if steps else "sinkhorn")
    reason = solution.method_reason
    if "accelerated sweeps took" in reason:
        at_target = [p for p in solution.history if p.reg == solution.reg]
        assert int(re.search(r"took (\d+) passes", reason)[1]) == len(at_target)
        assert ("less than Newton's method would" in reason) == solution.converged
    if "cheaper" in reason and steps and "on the way there" in reason:
        assert int(re.search(r"there (\d+) Newton steps", reason)[1]) == steps
    if reason == SMALL:
        assert steps == 0
    assert reason and reason != "asked for"
    assert reason in repr(solution)


def decision(solution):
    return solution.method, solution.method_reason, solution.n_iter, solution.diagnostics


# --- right answers --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "eps"), combinations(NAMES, (3e-2, 1e-3, 1e-4), quick=("assignment", 1e-3)), ids=str
)
def test_right_on_problems_of_every_kind(name, eps):
    C, a, b = regime(name)
    solution = ots.solve(C, a, b, reg=eps, tol=1e-9)
    assert solution.converged
    check_truthful(solution)
    assert oracles.marginal_error(solution.plan, a, b) <= 1e-9 * (1 + 1e-6)
    assert -1e-13 <= solution.gap <= 1e-9
    expected = ots.solve(C, a, b, reg=eps, tol=1e-9, method="newton")
    assert solution.value == pytest.approx(expected.value, abs=2e-9)
    # Whatever it picks: thousands of passes are a wrong choice.
    assert solution.n_iter < 250


@pytest.mark.parametrize("name", ["assignment", "spiky", "densities-L2", "2000x10"])
@pytest.mark.parametrize("rho", [(0.02, 0.02), (1.0, 0.1), (INF, 0.1), (0.1, INF)], ids=str)
@pytest.mark.parametrize("eps", [1e-2, 3e-4])
def test_right_with_soft_sides(name, rho, eps):
    C, a, b = regime(name)
    solution = ots.solve(C, a, 2 * b, reg=eps, tol=1e-9, unbalanced=rho)
    assert solution.converged
    check_truthful(solution)
    check_unbalanced_solution(solution, C, a, 2 * b, rho, "kl")
    assert abs(solution.gap) <= 1e-8


@SETTINGS
@given(
    oracles.problems(most=12),
    st.sampled_from([1.0, 0.1, 0.01, 1e-3]),
    st.sampled_from([None, 3, 20]),
    st.sampled_from([{}, {"unbalanced": 0.3}, {"unbalanced": 0.3, "unbalanced_type": "tv"}]),
)
def test_true_about_small_problems(problem, shrink, most, mode):
    C, a, b, eps = problem
    eps *= shrink
    solution = ots.solve(C, a, b, reg=eps, tol=1e-8, max_iter=most, on_failure="ignore", **mode)
    if "unbalanced_type" in mode:
        assert (solution.method, solution.diagnostics) == ("sinkhorn", {})
        return
    check_truthful(solution)
    if most:
        assert solution.n_iter <= most
    if solution.converged:
        expected = ots.solve(C, a, b, reg=eps, tol=1e-8, method="newton", on_failure="ignore", **mode)
        if expected.converged:
            check_close(solution.value, expected.value, "float64", "optimum", scale=10)


# --- which, and why ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_sweeps_at_large_eps(name):
    C, a, b = regime(name)
    # Sweeps of mostly tied or forbidden pairs are slow at any eps.
    for eps in (1.0, 0.2):
        solution = ots.solve(C, a, b, reg=eps)
        assert solution.converged
        assert solution.method == "sinkhorn"
        check_truthful(solution)


@pytest.mark.parametrize("name", ["assignment", "images-L1", "images-L2", "clustered", "many-coordinates", "line"])
@pytest.mark.parametrize("tol", [1e-6, 1e-9])
def test_newton_at_small_eps(name, tol):
    C, a, b = regime(name)
    solution = ots.solve(C, a, b, reg=2e-4, tol=tol)
    assert solution.converged
    assert solution.method == "newton"
    check_truthful(solution)
    # Sweeps alone have come nowhere near after three times as many passes.
    sweeps = ots.solve(
        C, a, b, reg=2e-4, tol=tol, method=ots.Sinkhorn(acceleration=None),
        max_iter=3 * solution.n_iter, on_failure="ignore",
    )  # fmt: skip
    assert sweeps.marginal_error > 100 * tol


def test_small_problems_run_in_one_kernel(rng):
    for n, m in ((2, 1), (3, 40), (20, 20), (60, 50)):
        for mode in ({}, {"unbalanced": 0.5}):
            solution = ots.solve(rng.random((n, m)), reg=0.1, tol=1e-5, **mode)
            assert solution.converged
            assert (solution.method, solution.method_reason) == ("sinkhorn", SMALL)
            assert solution.diagnostics == dict.fromkeys(solution.diagnostics, 0)
    # Where the kernel's sweeps are not enough, Newton's method goes on from them.
    hard = ots.solve(rng.random((60, 60)), reg=2e-4, tol=1e-9)
    assert hard.converged and hard.method == "newton"
    check_truthful(hard)
    # A callback must see every pass: no kernel.
    seen = []
    assert ots.solve(rng.random((20, 20)), reg=0.1, callback=seen.append).method_reason != SMALL
    assert len(seen) > 1


def test_total_variation_goes_by_sweeps(matrix):
    C, a, b = matrix
    for rho in (0.3, (INF, 0.3)):
        solution = ots.solve(C, a, b, reg=0.01, unbalanced=rho, unbalanced_type="tv")
        assert solution.converged and solution.method == "sinkhorn"
        assert "total variation penalties is not smooth" in solution.method_reason


def test_what_was_asked_for_is_said_to_be(matrix):
    C, a, b = matrix
    for method, name in (("sinkhorn", "sinkhorn"), ("newton", "newton"), (ots.Newton(), "newton")):
        solution = ots.solve(C, a, b, reg=0.01, method=method)
        assert (solution.method, solution.method_reason) == (name, "asked for")
    assert ots.solve(C, a, b, reg=0.01, method="auto").value == ots.solve(C, a, b, reg=0.01).value


@pytest.mark.parametrize("name", ["assignment", "clustered", "10x2000"])
def test_true_about_solves_that_end_early(name):
    C, a, b = regime(name)
    for most in (1, 5, 20, 25, 30, 32, 34):
        solution = ots.solve(C, a, b, reg=3e-3, tol=1e-13, max_iter=most, on_failure="ignore")
        assert solution.status is Status.MAX_ITER
        assert solution.n_iter == most
        check_truthful(solution)
        assert solution.marginal_error == pytest.approx(oracles.marginal_error(solution.plan, a, b), rel=1e-6)
    stopped = ots.solve(C, a, b, reg=1e-3, callback=lambda p: p.iteration >= 8)
    assert stopped.status is Status.STOPPED_BY_CALLBACK
    assert stopped.method_reason == "the solve ended on the way to the eps asked for"
    check_truthful(stopped)


@pytest.mark.parametrize("name", ["assignment", "clouds", "densities-L2", "10x2000"])
@pytest.mark.parametrize("eps", [3e-2, 1e-3])
def test_says_where_precision_ends(name, eps):
    C, a, b = regime(name)
    solution = ots.solve(C, a, b, reg=eps, tol=1e-17, on_failure="ignore")
    assert solution.status is Status.PRECISION_LIMIT
    assert oracles.marginal_error(solution.plan, a, b) < 1e-11
    check_truthful(solution)


def test_newton_is_weighed_by_what_a_pass_costs(monkeypatch):
    # On a backend whose passes cost next to nothing, the linear algebra of a step is never worth it.
    C, a, b = regime("densities-L2")
    assert ots.solve(C, a, b, reg=3e-4, tol=1e-9).method == "newton"
    monkeypatch.setattr(auto._Run, "step_passes", lambda self, at=None: 1e9)
    monkeypatch.setattr("ot_solvers.solvers.annealing.PATIENCE", 1e9)
    cheap = ots.solve(C, a, b, reg=3e-4, tol=1e-9)
    assert cheap.converged and cheap.method == "sinkhorn"


# --- the same every time ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["assignment", "clouds", "spiky", "densities-L2", "10x2000", "ties"])
def test_the_same_choice_every_time(name):
    C, a, b = regime(name)
    for eps in (3e-2, 1e-3):
        runs = [ots.solve(C, a, b, reg=eps) for _ in range(3)]
        for again in runs[1:]:
            assert decision(again) == decision(runs[0])
            check_same_bits(again.plan, runs[0].plan)


@pytest.fixture
def threads():
    yield ots.set_num_threads
    ots.set_num_threads(None)


@pytest.mark.parametrize("name", ["assignment", "clouds", "images-L1", "10x2000"])
def test_the_number_of_threads_decides_nothing(name, threads):
    C, a, b = regime(name)
    for eps in (0.2, 2e-4):
        found = []
        for count in (1, 2, 3):
            threads(count)
            found.append(ots.solve(C, a, b, reg=eps, tol=1e-9))
        # A pass on more threads costs less: predictions may differ, the method on clear cases not.
        assert len({solution.method for solution in found}) == 1
        for solution in found[1:]:
            assert solution.value == pytest.approx(found[0].value, abs=1e-9)


# --- warm starts ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["clouds", "spiky", "densities-L2", "digits", "10x2000"])
@pytest.mark.parametrize("eps", [1e-2, 1e-3])
def test_the_answer_itself_needs_one_pass(name, eps):
    C, a, b = regime(name)
    cold = ots.solve(C, a, b, reg=eps, tol=1e-8)
    warm = ots.solve(C, a, b, reg=eps, tol=1e-8, init=cold)
    assert warm.converged and warm.n_iter <= 2
    check_truthful(warm)


@pytest.mark.parametrize("what", ["eps", "weights", "points"])
def test_a_neighbouring_problem_takes_fewer_passes(rng, what):
    x, y = rng.random((150, 3)), rng.random((140, 3))
    a, b = some_weights(rng, 150), some_weights(rng, 140)
    cold, warm = 0, 0
    # At smaller eps the time of a solve is no longer in its passes.
    for eps in (3e-2, 1e-2):
        before = ots.solve_sample(x, y, a, b, reg=eps, tol=1e-8)
        x2, a2, eps2 = x, a, eps
        if what == "eps":
            eps2 = 0.9 * eps
        elif what == "weights":
            a2 = a * (1 + 1e-3 * rng.normal(size=150))
            a2 *= b.sum() / a2.sum()
        else:
            x2 = x + 1e-4 * rng.normal(size=x.shape)
        first = ots.solve_sample(x2, y, a2, b, reg=eps2, tol=1e-8)
        again = ots.solve_sample(x2, y, a2, b, reg=eps2, tol=1e-8, init=before)
        assert again.converged
        check_truthful(again)
        assert again.value == pytest.approx(first.value, abs=1e-7)
        cold += first.n_iter
        warm += again.n_iter
    assert warm < 0.7 * cold
