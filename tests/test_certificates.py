"""Plans made feasible, gaps, bounds and feasibility, where forbidden pairs make them hard."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracles import SETTINGS
from problems import some_weights
from scipy import sparse

import ot_solvers as ots


def holes(rng, n, m, share, unit=1.0):
    """(C, a, b): random costs, about `share` of them +inf, that leave a feasible plan by construction."""
    C = unit * rng.random((n, m))
    C[rng.random((n, m)) < share] = np.inf
    # A random sparse plan says which pairs must stay, and what the marginals are.
    P = np.zeros((n, m))
    P[np.arange(n), rng.integers(m, size=n)] = rng.random(n)
    P[rng.integers(n, size=m), np.arange(m)] += rng.random(m)
    C[P > 0] = unit * rng.random(np.count_nonzero(P))
    P /= P.sum()
    return C, P.sum(1), P.sum(0)


def stored(C):
    """The same costs as a sparse array."""
    allowed = np.isfinite(C)
    return sparse.coo_array((C[allowed], np.nonzero(allowed)), shape=C.shape)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("shape", [(8, 9), (60, 50)])
@pytest.mark.parametrize("eps", [0.02, 0.3])
def test_forbidden_pairs(rng, share, shape, eps):
    C, a, b = holes(rng, *shape, share)
    exact = oracles.exact_transport(C, a, b)
    for name, cost in (("dense", C), ("Fortran", np.asfortranarray(C)), ("sparse", stored(C))):
        solution = ots.solve(cost, a, b, reg=eps, tol=1e-9, max_iter=100_000, on_failure="ignore")
        assert (solution.plan[~np.isfinite(C)] == 0).all(), name
        assert math.isfinite(solution.gap) and math.isfinite(solution.value), name
        lower, upper = solution.bounds
        assert lower - 1e-11 <= exact <= upper + 1e-11, name
        assert solution.gap >= -1e-12, name
        if solution.converged:
            assert solution.gap <= 1e-6, name
            assert solution.value == pytest.approx(solution.dual_value, abs=1e-6), name
            assert solution.value == pytest.approx(oracles.objective(solution.plan, C, a, b, eps), abs=1e-11), name
    for backend in ("numba", "reference"):
        early = ots.solve(C, a, b, reg=eps, max_iter=4, on_failure="ignore", backend=backend)
        assert early.dual_value - 1e-11 <= solution.dual_value + solution.gap
        assert solution.dual_value <= early.dual_value + early.gap + 1e-11
        lower, upper = early.bounds
        assert lower - 1e-11 <= exact <= upper + 1e-11


def test_the_only_plan_is_found():
    # A cycle of allowed pairs whose marginals leave exactly one plan, with a zero in it.
    n = 5
    C = np.full((n, n), np.inf)
    C[np.arange(n), np.arange(n)] = 1.0
    C[np.arange(n), (np.arange(n) + 1) % n] = 0.0
    a = np.full(n, 1 / n)
    solution = ots.solve(C, a, a, reg=0.01)
    assert solution.converged
    np.testing.assert_allclose(np.diag(solution.plan), 0.0, atol=1e-6)
    lower, upper = solution.bounds
    assert lower <= 1e-12 and abs(upper) <= 1e-6
    diagonal = np.where(np.eye(n, dtype=bool), 2.0, np.inf)
    forced = ots.solve(diagonal, a, a, reg=0.01)
    np.testing.assert_allclose(forced.plan, np.eye(n) / n, rtol=1e-12)
    assert forced.value == pytest.approx(2.0 + 0.01 * math.log(n), rel=1e-12)
    assert abs(forced.gap) <= 1e-12


@SETTINGS
@given(oracles.problems(), st.data())
def test_gap_certifies_with_forbidden_pairs(problem, data):
    C, a, b, eps = problem
    n, m = C.shape
    pattern = np.array(data.draw(st.lists(st.booleans(), min_size=n * m, max_size=n * m))).reshape(n, m)
    C = np.where(pattern, np.inf, C)
    assume(np.isfinite(C).any())
    feasible = _feasible(C, a, b)
    try:
        solution = ots.solve(C, a, b, reg=eps, tol=1e-9, max_iter=2000, on_failure="warn" if feasible else "raise")
    except (ots.InfeasibleError, ots.ConvergenceError) as error:
        assert not feasible, error
        assert isinstance(error, ots.InfeasibleError)
        return
    except ots.ConvergenceWarning as warning:
        # Feasible, but only with zeros on allowed pairs: the iteration is sublinear there, and says so.
        assert feasible and ("MAX_ITER" in str(warning) or "STALLED" in str(warning))
        return
    assert feasible
    exact = oracles.exact_transport(C, a, b)
    lower, upper = solution.bounds
    assert lower - 1e-9 <= exact <= upper + 1e-9
    assert -1e-12 <= solution.gap < math.inf


def _feasible(C, a, b) -> bool:
    """Whether some plan avoids the +inf pairs, by a linear programme with slack."""
    return oracles.exact_tv_transport(np.where(np.isfinite(C), 0.0, np.inf), a, b, 1.0) <= 1e-9


def test_large_problems_with_forbidden_pairs_have_a_gap(rng):
    # 700 x 700: too many pairs for a dense linear programme.
    n = 700
    x = np.sort(rng.random(n))
    C = (x[:, None] - x) ** 2
    C[np.abs(x[:, None] - x) > 0.3] = np.inf
    a = rng.uniform(0.5, 1.5, n)
    a /= a.sum()
    b = np.full(n, 1 / n)
    for cost in (C, stored(C)):
        solution = ots.solve(cost, a, b, reg=0.01)
        assert solution.converged
        assert -1e-12 <= solution.gap <= 1e-5
        lower, upper = solution.bounds
        assert lower <= upper < math.inf


def test_gap_is_infinite_where_there_is_no_plan():
    C = np.array([[0.0, np.inf, np.inf], [0.0, np.inf, np.inf], [0.0, 0.0, 0.0]])
    solution = ots.solve(C, reg=0.1, max_iter=50, on_failure="ignore")
    assert solution.status is ots.Status.INFEASIBLE
    assert solution.gap == math.inf and solution.bounds[1] == math.inf
    with pytest.raises(ots.InfeasibleError, match=r"rows .* leave no plan with these marginals"):
        ots.solve(C, reg=0.1)


@pytest.mark.parametrize("kind", ["kl", "tv"])
@pytest.mark.parametrize("rho", [(0.3, 0.3), (math.inf, 0.5)])
def test_soft_sides_with_forbidden_pairs(rng, kind, rho):
    C = rng.random((20, 22))
    C[rng.random(C.shape) < 0.7] = np.inf
    C[np.arange(20), np.arange(20)] = 0.4
    a, b = 1.2 * some_weights(rng, 20), 0.7 * some_weights(rng, 22)
    found = oracles.brute_force(np.where(np.isfinite(C), C, 1e3), a, b, 0.05, rho, kind)
    for cost in (C, stored(C)):
        solution = ots.solve(cost, a, b, reg=0.05, unbalanced=rho, unbalanced_type=kind, tol=1e-10)
        assert solution.converged
        np.testing.assert_allclose(solution.plan, found.plan, atol=1e-8)
        assert solution.value == pytest.approx(found.value, abs=1e-7)
        assert abs(solution.gap) <= 1e-7


@pytest.mark.parametrize("size", [10, 120])
def test_gap_respects_zero_weights(rng, size):
    C = rng.random((size, size))
    a = np.zeros(size)
    b = np.zeros(size)
    a[: size // 2], b[size // 3 :] = 1.0, 1.0
    a, b = a / a.sum(), b / b.sum()
    # Forbidden pairs between points without weight change nothing.
    C[size // 2 :, : size // 3] = np.inf
    solution = ots.solve(C, a, b, reg=0.05, tol=1e-9)
    assert -1e-13 <= solution.gap <= 1e-7
    exact = oracles.exact_transport(C, a, b)
    lower, upper = solution.bounds
    assert lower <= exact <= upper
    assert np.isfinite(solution.potential_a).all() and np.isfinite(solution.potential_b).all()
