"""How a solve ends: the status is true, the message says what to do, callbacks and failures are obeyed."""

from __future__ import annotations

import warnings

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import SETTINGS
from problems import some_weights
from scipy import sparse

import ot_solvers as ots
from ot_solvers import Status

#: A problem solved inside one kernel, and one that is not.
SIZES = [12, 110]


@pytest.fixture(params=SIZES)
def cost(request, rng):
    x, y = rng.random((request.param, 2)), rng.random((request.param + 5, 2))
    return oracles.squared_distances(x, y)


def judged(solution, a, b) -> float:
    """The marginal error by an outsider: from the dense plan, in float64."""
    return oracles.marginal_error(np.asarray(solution.plan, dtype=np.float64), a, b)


def uniform(C):
    return tuple(np.full(size, 1 / size) for size in C.shape)


# --- each status --------------------------------------------------------------------------------------------


def test_converged_is_true(cost):
    for tol in (1e-2, 1e-4, 1e-6, 1e-9, 1e-12):
        solution = ots.solve(cost, reg=0.05, tol=tol)
        assert solution.status is Status.CONVERGED
        assert judged(solution, *uniform(cost)) <= tol * (1 + 1e-6) + 1e-15
        assert solution.marginal_error <= tol


@SETTINGS
@given(
    oracles.problems(most=9),
    st.sampled_from([1e-2, 1e-6, 1e-10, 1e-13]),
    st.sampled_from([None, "anderson", "relaxation"]),
    st.sampled_from([np.float64, np.float32]),
    st.sampled_from([1.0, 0.01]),
)
def test_never_converged_with_an_error_above_tol(problem, tol, acceleration, dtype, shrink):
    C, a, b, eps = problem
    C, eps = C.astype(dtype), eps * shrink
    method = ots.Sinkhorn(acceleration=acceleration)
    solution = ots.solve(C, a, b, reg=eps, tol=tol, method=method, max_iter=1000, on_failure="ignore")
    error = judged(solution, a, b)
    # float32 plans are cast: a relative error of 6e-8 in each entry, which the status takes into account.
    cast = 1e-7 if dtype == np.float32 else 1e-15
    if solution.converged:
        assert error <= tol + cast
        assert tol >= 1e-7 or dtype == np.float64
    if solution.status is Status.MAX_ITER:
        assert solution.n_iter == 1000
    assert np.isfinite([solution.value, solution.gap, error]).all()


def test_max_iter_is_obeyed(cost):
    for most in (1, 2, 3, 17):
        solution = ots.solve(cost, reg=1e-4, max_iter=most, on_failure="ignore")
        assert solution.status is Status.MAX_ITER
        assert solution.n_iter == len(solution.history) == most
        assert solution.history[-1].reg == 1e-4  # the last pass is at the eps asked for
        assert not solution.converged
        assert judged(solution, *uniform(cost)) > 1e-3
        assert solution.marginal_error == pytest.approx(judged(solution, *uniform(cost)), rel=1e-6)


def test_max_iter_that_suffices_is_no_failure(cost):
    needed = ots.solve(cost, reg=0.05).n_iter
    assert ots.solve(cost, reg=0.05, max_iter=needed).status is Status.CONVERGED
    assert ots.solve(cost, reg=0.05, max_iter=needed - 1, on_failure="ignore").status is Status.MAX_ITER


@pytest.mark.parametrize("tol", [1e-17, 0.0])
def test_float64_says_where_its_precision_ends(cost, tol):
    solution = ots.solve(cost, reg=0.05, tol=tol, on_failure="ignore")
    assert solution.status is Status.PRECISION_LIMIT
    assert tol < solution.marginal_error < 1e-13
    assert judged(solution, *uniform(cost)) < 1e-13


@pytest.mark.parametrize("tol", [1e-9, 1e-12])
def test_float32_says_where_its_precision_ends(cost, tol):
    for solution in (
        ots.solve(cost.astype(np.float32), reg=0.05, tol=tol, on_failure="ignore"),
        ots.solve_sample(
            cost[:, :3].astype(np.float32), cost[:7, :3].astype(np.float32), reg=0.05, tol=tol, on_failure="ignore"
        ),
    ):
        assert solution.status is Status.PRECISION_LIMIT
        n, m = solution.shape
        assert judged(solution, np.full(n, 1 / n), np.full(m, 1 / m)) < 1e-6  # and yet as good as it gets


def test_float32_reaches_what_it_can(cost):
    for tol in (1e-4, 1e-6):
        solution = ots.solve(cost.astype(np.float32), reg=0.01, tol=tol)
        assert solution.converged
        assert judged(solution, *uniform(cost)) <= tol + 1e-7


def test_small_eps_in_float32_is_honest(rng):
    # Where OTT ends with a marginal error of 0.24: eps = 1e-3 max C and below, single precision.
    x = rng.random((200, 3)).astype(np.float32)
    y = rng.random((210, 3)).astype(np.float32)
    C = oracles.squared_distances(x.astype(np.float64), y.astype(np.float64))
    for share in (1e-3, 1e-4):
        solution = ots.solve_sample(x, y, reg=share * C.max(), on_failure="ignore")
        error = judged(solution, *uniform(C))
        assert solution.converged == (error <= 1e-4 + 1e-7)
        assert solution.converged


def test_auction_like_problems_stall_or_converge_but_never_lie(rng):
    C = rng.random((40, 41))
    for eps in (1e-5, 1e-7):
        solution = ots.solve(C, reg=eps, max_iter=3000, method="sinkhorn", on_failure="ignore")
        assert solution.status in (Status.STALLED, Status.MAX_ITER)
        assert solution.marginal_error > 1e-6
        assert judged(solution, *uniform(C)) == pytest.approx(solution.marginal_error, rel=1e-3)
        assert 0 < solution.gap < 1


def test_overflowing_exponents_are_not_converged(rng):
    C = rng.random((10, 12))
    for eps in (1e-200, 1e-320):
        solution = ots.solve(C, reg=eps, max_iter=50, on_failure="ignore")
        assert not solution.converged


def test_messages_advise(cost):
    for status in Status:
        assert len(status.value) > 20
        if status is not Status.CONVERGED:
            assert ":" in status.value or "raise" in status.value
    for word, status in (
        ("max_iter", Status.MAX_ITER),
        ("larger", Status.STALLED),
        ("float64", Status.PRECISION_LIMIT),
        ("unbalanced", Status.INFEASIBLE),
        ("scale", Status.DIVERGED),
        ("init=solution", Status.STOPPED_BY_CALLBACK),
    ):
        assert word in status.value


# --- failures -----------------------------------------------------------------------------------------------


def test_failure_warns_raises_or_is_ignored(cost):
    pattern = r"MAX_ITER after 2 passes with marginal error .* \(tol = 1e-06\): .*raise max_iter"
    with pytest.warns(ots.ConvergenceWarning, match=pattern) as seen:
        solution = ots.solve(cost, reg=1e-3, max_iter=2)
    assert len(seen) == 1
    assert seen[0].filename == __file__  # the caller's line, not ours
    assert solution.status is Status.MAX_ITER
    with pytest.raises(ots.ConvergenceError, match=pattern) as caught:
        ots.solve(cost, reg=1e-3, max_iter=2, on_failure="raise")
    assert caught.value.solution.status is Status.MAX_ITER
    assert caught.value.solution.value == solution.value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet = ots.solve(cost, reg=1e-3, max_iter=2, on_failure="ignore")
        ots.solve(cost, reg=0.05, on_failure="raise")  # nothing to raise
    assert quiet.value == solution.value


@pytest.mark.parametrize("entry", ["sample", "grid", "divergence"])
def test_every_entry_point_warns_at_the_caller(entry, rng):
    with pytest.warns(ots.ConvergenceWarning, match="MAX_ITER after 2 passes") as seen:
        if entry == "sample":
            ots.solve_sample(rng.random((5, 2)), rng.random((6, 2)), reg=1e-4, max_iter=2)
        elif entry == "grid":
            ots.solve_grid(rng.random((5, 4)) * 0 + np.arange(4), np.ones((5, 4)) * 1.5, reg=1e-4, max_iter=2)
        else:
            ots.sinkhorn_divergence(rng.random((5, 2)), rng.random((6, 2)), reg=1e-4, max_iter=2)
    assert [warning.filename for warning in seen] == [__file__] * len(seen)


def test_errors_and_their_solutions_pickle(cost):
    import pickle

    with pytest.raises(ots.ConvergenceError) as caught:
        ots.solve(cost, reg=1e-3, max_iter=2, on_failure="raise")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.solution.value == caught.value.solution.value


# --- callbacks ----------------------------------------------------------------------------------------------


def test_callback_sees_every_pass(cost):
    seen = []
    solution = ots.solve(cost, reg=0.02, callback=seen.append)
    assert solution.converged
    assert seen == solution.history
    assert [p.iteration for p in seen] == list(range(1, solution.n_iter + 1))
    for progress in seen:
        assert isinstance(progress, ots.Progress)
        assert progress._fields == ("iteration", "marginal_error", "reg", "seconds")
        assert progress.reg >= 0.02 and progress.seconds >= 0 and progress.marginal_error >= 0
    assert seen[-1].marginal_error <= 1e-6 and seen[-1].reg == 0.02


@pytest.mark.parametrize("passes", [1, 2, 10, 30])
def test_callback_stops_with_a_usable_plan(cost, passes):
    a, b = uniform(cost)
    solution = ots.solve(cost, reg=1e-3, callback=lambda p: p.iteration >= passes)  # no warning: it was asked for
    assert solution.status is Status.STOPPED_BY_CALLBACK
    assert not solution.converged
    # One pass more at most, to be at the eps asked for.
    assert passes <= solution.n_iter <= passes + 1
    np.testing.assert_allclose(solution.plan.sum(1), a, rtol=1e-9)
    assert judged(solution, a, b) <= 2
    assert 0 <= solution.gap <= cost.max()
    # And it is worth something: going on from there is shorter than starting over.
    rest = ots.solve(cost, reg=1e-3, init=solution)
    assert rest.converged


def test_only_true_stops(cost):
    for answer in (None, False, 1, "stop", np.array([True, False])):
        assert ots.solve(cost, reg=0.05, callback=lambda p, answer=answer: answer).converged
    stopped = ots.solve(cost, reg=0.001, callback=lambda p: np.True_)
    assert stopped.status is Status.STOPPED_BY_CALLBACK


def test_an_error_in_the_callback_reaches_the_caller(cost):
    def fail(progress):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ots.solve(cost, reg=0.05, callback=fail)


def test_callback_at_convergence_does_not_unsay_it(cost):
    solution = ots.solve(cost, reg=0.05, callback=lambda p: p.marginal_error <= 1e-6 and p.reg == 0.05)
    assert solution.converged


# --- forbidden pairs ------------------------------------------------------------------------------------------


def blocks(size: int, share: float):
    """(C, a, b): two blocks that cannot exchange mass; the first holds `share` of a and half of b."""
    C = np.full((2 * size, 2 * size), np.inf)
    rng = np.random.default_rng(0)
    C[:size, :size] = rng.random((size, size))
    C[size:, size:] = rng.random((size, size))
    a = np.repeat([share / size, (1 - share) / size], size)
    return C, a, np.full(2 * size, 1 / (2 * size))


@pytest.mark.parametrize("size", [4, 50])
def test_blocks_of_unequal_mass_are_infeasible(size):
    C, a, b = blocks(size, 0.4)
    stored = sparse.coo_array((C[np.isfinite(C)], np.nonzero(np.isfinite(C))), shape=C.shape)
    for cost in (C, np.asfortranarray(C), stored):
        with pytest.raises(ots.InfeasibleError, match=r"at least 0\.1 of the mass .* has no allowed column"):
            ots.solve(cost, a, b, reg=0.1, max_iter=400)
        found = ots.solve(cost, a, b, reg=0.1, max_iter=400, on_failure="ignore")
        assert found.status is Status.INFEASIBLE
        assert found.gap == np.inf
        assert found.marginal_error > 0.15


@pytest.mark.parametrize("size", [4, 50])
def test_blocks_of_equal_mass_are_two_problems(size):
    C, a, b = blocks(size, 0.5)
    together = ots.solve(C, a, b, reg=0.1, tol=1e-10)
    assert together.converged
    half = slice(None, size)
    parts = [ots.solve(C[s, s], 2 * a[s], 2 * b[s], reg=0.1, tol=1e-10).value for s in (half, slice(size, None))]
    # Each block has weight 1/2 of both: the product measure knows of the other, log 2 each.
    assert together.value == pytest.approx(0.5 * sum(parts) + 0.1 * np.log(2), abs=1e-9)
    assert 0 <= together.gap + 1e-12 < 1e-7


def test_weights_that_can_go_nowhere_are_named(rng):
    C = rng.random((5, 6))
    C[3] = np.inf
    with pytest.raises(ots.InfeasibleError, match=r"a\[3\] has weight, but C\[3, :\] allows no pair"):
        ots.solve(C, reg=0.1)
    with pytest.raises(ots.InfeasibleError, match=r"b\[3\] has weight, but C\[:, 3\] allows no pair"):
        ots.solve(C.T, reg=0.1)
    C = rng.random((5, 6))
    C[2, 1:] = np.inf
    b = some_weights(rng, 6)
    assert b[0] == 0
    with pytest.raises(ots.InfeasibleError, match=r"a\[2\] has weight.*set that weight to 0, or pass unbalanced"):
        ots.solve(C, None, b, reg=0.1)
    # One side soft is enough on that side only.
    C = rng.random((5, 6))
    C[3] = np.inf
    assert ots.solve(C, reg=0.1, unbalanced=(1.0, np.inf), max_iter=2, on_failure="ignore").shape == (5, 6)
    with pytest.raises(ots.InfeasibleError, match=r"a\[3\] has weight"):
        ots.solve(C, reg=0.1, unbalanced=(np.inf, 1.0))
    stored = sparse.csr_array(np.where(np.isfinite(C), C, 0.0))
    with pytest.raises(ots.InfeasibleError, match=r"a\[3\] has weight, but C\[3, :\] allows no pair"):
        ots.solve(stored, reg=0.1)


@pytest.mark.parametrize("kind", ["kl", "tv"])
@pytest.mark.parametrize("size", [8, 100])
@pytest.mark.parametrize("rho", [0.2, 30.0])
def test_cut_off_points_are_paid_for_by_soft_sides(rng, kind, size, rho):
    C = rng.random((size, size + 2))
    C[3] = np.inf
    C[:, 5] = np.inf
    a, b = rng.uniform(0.5, 1.5, size), rng.uniform(0.5, 1.5, size + 2)
    solution = ots.solve(C, a, b, reg=0.1, unbalanced=rho, unbalanced_type=kind, tol=1e-9)
    assert solution.converged
    assert (solution.plan[3] == 0).all() and (solution.plan[:, 5] == 0).all()
    assert abs(solution.gap) <= 3e-9 * rho * a.sum()  # total variation: first order in the residual
    # The same problem without those points, plus the price of their weight and their share of eps a b'.
    rest = ots.solve(
        np.delete(np.delete(C, 3, 0), 5, 1), np.delete(a, 3), np.delete(b, 5), reg=0.1, unbalanced=rho,
        unbalanced_type=kind, tol=1e-9,
    )  # fmt: skip
    lost = a.sum() * b.sum() - np.delete(a, 3).sum() * np.delete(b, 5).sum()
    assert solution.value == pytest.approx(rest.value + rho * (a[3] + b[5]) + 0.1 * lost, rel=1e-8)
    stored = sparse.coo_array((C[np.isfinite(C)], np.nonzero(np.isfinite(C))), shape=C.shape)
    again = ots.solve(stored, a, b, reg=0.1, unbalanced=rho, unbalanced_type=kind, tol=1e-9)
    assert again.value == pytest.approx(solution.value, rel=1e-8)
