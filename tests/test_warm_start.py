"""``init=``: really used, from a `Solution` or from potentials, whatever the problem is."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from problems import some_weights
from scipy import sparse

import ot_solvers as ots

#: Inside one kernel, and not.
SIZES = [20, 120]


@pytest.fixture(params=SIZES)
def problem(request, rng):
    """(x, y, C, a, b), zero weights on both sides."""
    n = request.param
    x, y = rng.random((n, 2)), rng.random((n + 7, 2))
    return x, y, oracles.squared_distances(x, y), some_weights(rng, n), some_weights(rng, n + 7)


def ways(x, y, C, a, b):
    """(name, solve) where ``solve(**options)`` solves one problem in one way."""
    full = sparse.coo_array((C.ravel(), np.indices(C.shape).reshape(2, -1)), shape=C.shape)
    yield "dense", lambda **options: ots.solve(C, a, b, **options)
    yield "Fortran", lambda **options: ots.solve(np.asfortranarray(C), a, b, **options)
    yield "shifted", lambda **options: ots.solve(C + 1e4, a, b, **options)
    yield "mass", lambda **options: ots.solve(C, 1e5 * a, 1e5 * b, **options)
    yield "sparse", lambda **options: ots.solve(full, a, b, **options)
    yield "cloud", lambda **options: ots.solve_sample(x, y, a, b, **options)
    yield "reference", lambda **options: ots.solve_sample(x, y, a, b, backend="reference", **options)
    yield "kl", lambda **options: ots.solve(C, a, 2 * b, unbalanced=0.5, **options)
    yield "tv", lambda **options: ots.solve(C, a, 2 * b, unbalanced=0.5, unbalanced_type="tv", **options)
    yield "semi-relaxed", lambda **options: ots.solve(C, a, 2 * b, unbalanced=(math.inf, 0.5), **options)
    first, second = np.abs(C[:8, :8]) + 0.1, np.abs(C[8:16, :8]) + 0.1
    second *= first.sum() / second.sum()
    yield "grid", lambda **options: ots.solve_grid(first, second, **options)


def test_the_answer_itself_needs_one_pass(problem):
    for name, solve in ways(*problem):
        cold = solve(reg=0.05)
        assert cold.n_iter > 5, name
        for init in (cold, cold.potentials, tuple(map(np.asarray, cold.potentials))):
            warm = solve(reg=0.05, init=init)
            assert warm.converged, name
            assert warm.n_iter <= 2, name
            assert warm.value == pytest.approx(cold.value, rel=1e-5), name
            np.testing.assert_allclose(warm.plan, cold.plan, atol=2e-6 * cold.plan.sum(), err_msg=name)
            # No eps-scaling: that would throw the start away.
            assert {progress.reg for progress in warm.history} == {0.05}, name


def test_a_neighbouring_problem_takes_fewer_passes(problem):
    x, y, C, a, b = problem
    for eps in (0.05, 0.01):
        before = ots.solve(C, a, b, reg=eps, tol=1e-8)
        moved = C + 1e-4 * np.cos(np.arange(C.size)).reshape(C.shape)
        cold = ots.solve(moved, a, b, reg=eps, tol=1e-8)
        warm = ots.solve(moved, a, b, reg=eps, tol=1e-8, init=before)
        by_pair = ots.solve(moved, a, b, reg=eps, tol=1e-8, init=before.potentials)
        assert warm.converged and by_pair.converged
        assert warm.n_iter < 0.8 * cold.n_iter
        assert by_pair.n_iter == warm.n_iter
        assert warm.value == pytest.approx(cold.value, abs=1e-7)


def test_g_alone_carries_the_start(problem):
    # Rows are updated first: f may be anything.
    _, _, C, a, b = problem
    cold = ots.solve(C, a, b, reg=0.02)
    warm = ots.solve(C, a, b, reg=0.02, init=(np.zeros(a.size), cold.potential_b))
    assert warm.n_iter <= 2


def test_going_on_after_a_stop(problem):
    _, _, C, a, b = problem
    whole = ots.solve(C, a, b, reg=0.003)
    part = ots.solve(
        C, a, b, reg=0.003, callback=lambda progress: progress.marginal_error < 1e-3 and progress.reg == 0.003
    )
    rest = ots.solve(C, a, b, reg=0.003, init=part)
    assert rest.converged
    assert rest.n_iter < whole.n_iter
    assert rest.value == pytest.approx(whole.value, abs=1e-6)


def test_down_a_path_of_eps(problem):
    _, _, C, a, b = problem
    solution, passes = None, 0
    for eps in (0.1, 0.05, 0.02, 0.01):
        solution = ots.solve(C, a, b, reg=eps, init=solution)
        passes += solution.n_iter
        assert solution.converged and solution.reg == eps
    assert solution.value == pytest.approx(ots.solve(C, a, b, reg=0.01).value, abs=1e-6)


def test_between_kinds_of_problems(problem):
    x, y, C, a, b = problem
    cloud = ots.solve_sample(x, y, a, b, reg=0.05)
    assert ots.solve(C, a, b, reg=0.05, init=cloud).n_iter <= 2
    assert ots.solve(C.T, b, a, reg=0.05, init=cloud.T).n_iter <= 2
    soft = ots.solve(C, a, b, reg=0.05, unbalanced=1e4, init=cloud)
    assert soft.converged and soft.n_iter <= 10
    single = ots.solve(C.astype(np.float32), a, b, reg=0.05, init=cloud)
    assert single.converged and single.n_iter <= 3
    grid = ots.solve_grid(a[None, :], a[None, ::-1], reg=0.01, reg_relative_to="max")
    line = ots.solve_sample(np.arange(a.size)[:, None], np.arange(a.size)[:, None], a, a[::-1], reg=grid.reg)
    again = ots.solve_grid(a[None, :], a[None, ::-1], reg=grid.reg, init=line)
    assert again.n_iter <= 2


@pytest.mark.parametrize("unit", [1.0, 1e3, 1e8])
@pytest.mark.parametrize("mode", [{}, {"unbalanced": 0.5}, {"unbalanced": 0.5, "unbalanced_type": "tv"}])
def test_a_bad_start_only_costs_time(problem, rng, unit, mode):
    # Any finite potentials are legal, also such as would overflow every exponent.
    _, _, C, a, b = problem
    bad = (unit * rng.normal(size=a.size), unit * rng.normal(size=b.size))
    first = ots.solve(C, a, b, reg=0.05, init=bad, max_iter=1, on_failure="ignore", **mode)
    warm = ots.solve(C, a, b, reg=0.05, tol=1e-8, init=bad, max_iter=50_000, on_failure="ignore", **mode)
    if unit > 1 and mode == {"unbalanced": 0.5}:
        # The mass exp(-f / rho) that such a start asks for is beyond all numbers.
        assert warm.status in (ots.Status.CONVERGED, ots.Status.DIVERGED) and not first.converged
        if not warm.converged:
            return
        first = warm
    assert np.isfinite(first.plan).all() and np.isfinite(first.gap)
    if not mode:
        np.testing.assert_allclose(first.marginal_a, a, atol=1e-6)
    assert np.isfinite(warm.value) and np.isfinite(warm.gap)
    assert warm.converged or unit > 1
    if warm.converged:
        cold = ots.solve(C, a, b, reg=0.05, tol=1e-8, **mode)
        assert warm.value == pytest.approx(cold.value, abs=1e-6)


def test_the_start_is_not_written_to(problem):
    _, _, C, a, b = problem
    cold = ots.solve(C, a, b, reg=0.05)
    f, g = cold.potentials
    kept = f.copy(), g.copy()
    ots.solve(C, a, b, reg=0.02, init=(f, g))
    ots.solve(C, a, b, reg=0.02, unbalanced=0.1, init=(f, g))
    np.testing.assert_array_equal(f, kept[0])
    np.testing.assert_array_equal(g, kept[1])
    before = cold.plan.copy()
    ots.solve(C, a, b, reg=0.02, init=cold)
    np.testing.assert_array_equal(cold.plan, before)


@pytest.mark.parametrize("method", ["auto", "sinkhorn", "newton"])
def test_a_start_far_from_the_solution(method):
    """Mass has to cross a wide gap, of which the start knows nothing: an extrapolation once followed rounding."""
    pool = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 5.3])[:, None]
    known = ots.solve_sample(pool, pool, reg=0.4)
    rows, columns = [2, 3, 5], [0, 1, 4]
    init = known.potential_a[rows], known.potential_b[columns]
    found = ots.solve_sample(pool[rows], pool[columns], reg=0.4, init=init, method=method)
    assert found.converged
    assert found.value == pytest.approx(ots.solve_sample(pool[rows], pool[columns], reg=0.4).value, rel=1e-6)
