"""Newton's method: Sinkhorn's answers, convergence where sweeps crawl, honesty where arithmetic ends."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from checks import check_close, check_same_bits, check_solution
from hypothesis import given
from hypothesis import strategies as st
from oracles import SETTINGS, check_unbalanced_solution
from problems import combinations, some_weights
from regimes import NAMES, clusters_out_of_balance, regime
from scipy import sparse

import ot_solvers as ots
from ot_solvers import Status
from ot_solvers.errors import UnsupportedError

INF = math.inf
TIGHT = 1e-10
COUNTS = {"newton_steps", "refused_steps", "cg_steps", "factorisations"}
#: Balanced, both sides soft (unlike, nearly nothing, nearly hard), semi-relaxed either way.
MODES = {
    "balanced": {},
    "kl": {"unbalanced": (0.3, 2.0)},
    "kl-loose": {"unbalanced": 0.01},
    "kl-stiff": {"unbalanced": 300.0},
    "semi-relaxed-a": {"unbalanced": (0.2, INF)},
    "semi-relaxed-b": {"unbalanced": (INF, 0.2)},
}


def judged(solution, a, b) -> float:
    """The marginal error by an outsider: from the dense plan, in float64."""
    return oracles.marginal_error(np.asarray(solution.plan, dtype=np.float64), a, b)


def newton(C, a=None, b=None, **options):
    return ots.solve(C, a, b, method="newton", **options)


# --- Sinkhorn's answers ---------------------------------------------------------------------------------------
def ways(kind, rng):
    """``solve(**options)`` of one problem whose cost is known in the given way; zero weights on both sides."""
    if kind == "grid":
        shape = (6, 7)
        a, b = (some_weights(rng, 42).reshape(shape) for _ in range(2))
        return lambda **options: ots.solve_grid(a, b, axes=tuple(np.linspace(0, 1, k) for k in shape), **options)
    x, y = rng.random((45, 3)), rng.random((38, 3)) + 0.2
    a, b = some_weights(rng, 45), some_weights(rng, 38)
    if kind == "cloud":
        return lambda **options: ots.solve_sample(x, y, a, b, **options)
    if kind == "cloud-L1":
        return lambda **options: ots.solve_sample(x, y, a, b, cost="cityblock", **options)
    C = oracles.squared_distances(x, y)
    if kind == "Fortran":
        C = np.asfortranarray(C)
    if kind in ("forbidden", "sparse"):
        C[rng.random(C.shape) < 0.4] = np.inf
        C[np.arange(45), np.arange(45) % 38] = 1.0
    if kind == "sparse":
        live = np.isfinite(C)
        C = sparse.coo_array((C[live], np.nonzero(live)), shape=C.shape).tocsr()
    return lambda **options: ots.solve(C, a, b, **options)


@pytest.mark.parametrize(
    ("kind", "mode", "backend"),
    combinations(
        ("dense", "Fortran", "cloud", "cloud-L1", "grid", "forbidden", "sparse"),
        tuple(MODES),
        ("numba", "reference"),
        quick=("dense", "balanced", "numba"),
        valid=lambda kind, mode, backend: backend == "numba" or mode in ("balanced", "kl"),
    ),
)
@pytest.mark.parametrize("eps", [0.1, 0.01])
def test_answers_are_those_of_sinkhorn(rng, kind, mode, backend, eps):
    solve = ways(kind, rng)
    options = {"reg": eps, "tol": TIGHT, "backend": backend, **MODES[mode]}
    found, expected = (solve(method=method, **options) for method in ("newton", "sinkhorn"))
    assert found.converged and expected.converged
    assert found.method == "newton" and found.backend == backend
    assert found.diagnostics["newton_steps"] > 0 or eps > 0.05
    for quantity in ("value", "value_linear", "dual_value"):
        one, other = float(getattr(found, quantity)), float(getattr(expected, quantity))
        check_close(one, other, "float64", "optimum", what=quantity)
    assert found.bounds[0] == pytest.approx(expected.bounds[0], abs=1e-7)
    if mode == "balanced" and kind in ("forbidden", "sparse"):
        # Plans off the forbidden pairs are found by a flow or a programme, which may end in different ones.
        assert found.bounds[0] <= found.bounds[1] <= found.value_linear + 1e-7
    else:
        assert found.bounds[1] == pytest.approx(expected.bounds[1], abs=1e-7)
    np.testing.assert_allclose(found.plan, expected.plan, atol=1e-8)
    np.testing.assert_allclose(found.marginal_a, expected.marginal_a, atol=1e-9)
    assert abs(found.gap) <= 1e-8
    # Potentials of points with weight are the derivatives of the value; the gauge is fixed.
    for one, other, mass in (
        (found.potential_a, expected.potential_a, found.marginal_a),
        (found.potential_b, expected.potential_b, found.marginal_b),
    ):
        heavy = np.asarray(mass).ravel() > 1e-3
        np.testing.assert_allclose(np.ravel(one)[heavy], np.ravel(other)[heavy], atol=1e-6)


def test_every_field_by_its_definition(matrix):
    C, a, b = matrix
    for eps in (0.1, 2e-3):
        solution = newton(C, a, b, reg=eps, tol=TIGHT)
        assert solution.converged and solution.diagnostics["newton_steps"] > 0
        check_solution(solution, C, a, b)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "balanced"])
@pytest.mark.parametrize("eps", [0.05, 1e-3])
@pytest.mark.parametrize("mass", [1.0, 4.0])
def test_soft_sides(matrix, mode, eps, mass):
    C, a, b = matrix
    b = mass * b
    rho = MODES[mode]["unbalanced"]
    rho = rho if isinstance(rho, tuple) else (rho, rho)
    solution = newton(C, a, b, reg=eps, tol=TIGHT, unbalanced=rho)
    assert solution.converged
    check_unbalanced_solution(solution, C, a, b, rho, "kl")
    assert abs(solution.gap) <= 1e-7
    assert solution.diagnostics["newton_steps"] > 0


@pytest.mark.parametrize("name", ["assignment", "spiky", "images-L2", "10x2000", "blocks", "wide-weights"])
@pytest.mark.parametrize("rho", [(0.01, 0.01), (1.0, 1.0), (INF, 0.1), (0.1, INF)], ids=str)
def test_soft_sides_at_small_eps(name, rho):
    C, a, b = regime(name)
    solution = newton(C, a, 2 * b, reg=3e-4, tol=1e-9, unbalanced=rho)
    assert solution.converged
    check_unbalanced_solution(solution, C, a, 2 * b, rho, "kl")
    assert abs(solution.gap) <= 1e-8
    assert solution.n_iter < 250


@st.composite
def hard_problems(draw):
    """(C, a, b, eps): costs with ties and forbidden pairs, weights with zeros, eps over four decades."""
    n, m = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    costs = st.integers(-6, 6) | st.sampled_from([np.inf, 0.5, 3.25])
    C = np.array(draw(st.lists(costs, min_size=n * m, max_size=n * m)), dtype=np.float64).reshape(n, m) / 6
    a, b = oracles.unit_masses(draw, n), oracles.unit_masses(draw, m)
    # Pairs of the staircase plan stay allowed, so that there is a plan; a cost of 2 makes it a bad one.
    rows, columns = a.copy(), b.copy()
    i = j = 0
    while i < n and j < m:
        if rows[i] > 0 and columns[j] > 0 and not np.isfinite(C[i, j]):
            C[i, j] = 2.0
        moved = min(rows[i], columns[j])
        rows[i] -= moved
        columns[j] -= moved
        # Rounding must not end a row early.
        if rows[i] <= 1e-12:
            i += 1
        else:
            j += 1
    # A pair that the staircase has missed by rounding costs nothing to allow.
    if a[-1] > 0 and b[-1] > 0 and not np.isfinite(C[-1, -1]):
        C[-1, -1] = 2.0
    return C, a, b, draw(st.sampled_from([1.0, 0.1, 0.01, 1e-3, 1e-4]))


@SETTINGS
@given(hard_problems())
def test_agrees_with_sinkhorn_on_anything_small(problem):
    C, a, b, eps = problem
    found = newton(C, a, b, reg=eps, tol=1e-9, on_failure="ignore")
    expected = ots.solve(C, a, b, reg=eps, tol=1e-9, method="sinkhorn", max_iter=50_000, on_failure="ignore")
    assert found.diagnostics.keys() == COUNTS
    assert np.isfinite([found.value, found.dual_value]).all()
    if np.isfinite(found.gap):  # a plan that cannot be made feasible has none
        assert found.gap >= -1e-12 / min(eps, 1.0) ** 0.5
    if found.converged:
        assert judged(found, a, b) <= 1e-9 * (1 + 1e-6)
        assert found.dual_value <= found.value + 1e-7
    # Newton does not fail where sweeps succeed.
    assert found.converged or not expected.converged
    if found.converged and expected.converged:
        np.testing.assert_allclose(found.value, expected.value, atol=1e-7)
        np.testing.assert_allclose(found.plan, expected.plan, atol=1e-6)


# --- convergence ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "eps"), combinations(NAMES, (1e-3, 3e-4, 1e-4), quick=("assignment", 1e-3)), ids=str
)
def test_converges_on_problems_of_every_kind(name, eps):
    C, a, b = regime(name)
    solution = newton(C, a, b, reg=eps, tol=1e-9)
    assert solution.converged
    assert judged(solution, a, b) <= 1e-9 * (1 + 1e-6)
    assert -1e-13 <= solution.gap <= 1e-9
    lower, upper = solution.bounds
    # The plan misses its marginals by tol: up to that times the largest cost, it is no better than the optimum.
    assert lower - 2e-9 <= solution.value_linear
    # Among forbidden pairs, what is missing may be sent by a linear programme, and all the better for it.
    assert solution.value_linear <= upper + (2e-9 if np.isfinite(C).all() else 1e-6)
    counts = solution.diagnostics
    assert counts.keys() == COUNTS
    # In 20 to 125 passes; tens of thousands in plain sweeps on many of these.
    assert solution.n_iter < 200
    assert counts["newton_steps"] <= 40
    assert counts["cg_steps"] <= 60 * counts["newton_steps"]
    assert counts["factorisations"] <= 4 * counts["newton_steps"]


@pytest.mark.parametrize("name", ["assignment", "images-L1"])
def test_far_fewer_passes_than_plain_sweeps(name):
    C, a, b = regime(name)
    plain = ots.Sinkhorn(acceleration=None)
    fast = newton(C, a, b, reg=1e-3, tol=1e-9)
    slow = ots.solve(C, a, b, reg=1e-3, tol=1e-9, method=plain, max_iter=10 * fast.n_iter, on_failure="ignore")
    assert fast.converged and not slow.converged
    assert slow.marginal_error > 1e-6


@pytest.mark.parametrize("name", ["assignment", "spiky", "images-L2", "many-coordinates", "blocks", "line"])
@pytest.mark.parametrize("eps", [1e-5, 1e-6])
def test_next_to_the_unregularised_problem(name, eps):
    C, a, b = regime(name)
    solution = newton(C, a, b, reg=eps, tol=1e-8)
    assert solution.converged
    # The plan is optimal up to its entropy, which is at most log(n m) per unit of mass.
    lower, upper = solution.bounds
    assert upper - lower <= eps * math.log(C.size) + 1e-8


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("eps", [1e-2, 3e-3])
def test_far_clusters_out_of_balance(seed, eps):
    # A surplus of one millionth has to cross over: thousands of eps of potential for an error of 1e-6. Steps
    # that stay a few eps long stall here.
    C, a, b = clusters_out_of_balance(np.random.default_rng(seed), 1e-6)
    solution = newton(C, a, b, reg=eps, tol=1e-9)
    assert solution.converged
    assert judged(solution, a, b) <= 1e-9 * (1 + 1e-6)
    assert solution.plan[:30, 30:].sum() + solution.plan[30:, :30].sum() == pytest.approx(5e-7, rel=1e-2)
    assert solution.n_iter < 300


def test_a_tiny_weight_far_from_everything():
    # The point of weight 1e-7 is reached across 1000 times the spread of the others.
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 2)), rng.random((40, 2))
    y[7] += 30
    b = np.full(40, 1 / 40)
    b[7] = 1e-7
    b /= b.sum()
    C = oracles.squared_distances(x, y)
    for eps in (1.0, 0.1, 0.01):
        solution = newton(C, None, b, reg=eps, tol=1e-10)
        assert solution.converged
        assert solution.marginal_b[7] == pytest.approx(b[7], rel=1e-2)


def test_transposing_transposes(rng):
    C, a, b = regime("10x2000")
    one, other = newton(C, a, b, reg=3e-4, tol=TIGHT), newton(C.T, b, a, reg=3e-4, tol=TIGHT)
    check_close(one.value, other.value, "float64", "optimum")
    np.testing.assert_allclose(one.plan, other.plan.T, atol=1e-9)


# --- hard input -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [1, 2, 7])
def test_nothing_to_choose(size):
    for C in (np.full((size, 5), 3.0), np.full((5, size), -2.0), np.zeros((size, size))):
        solution = newton(C, reg=0.1, tol=1e-12)
        assert solution.converged and solution.n_iter == 1
        np.testing.assert_allclose(solution.plan, 1 / C.size, rtol=1e-12)
        assert solution.value == pytest.approx(C[0, 0], abs=1e-13)


def test_identical_points():
    x = np.full((30, 2), 0.3)
    solution = ots.solve_sample(x, x, reg=0.1, method="newton")
    assert solution.converged and solution.n_iter == 1
    assert solution.value == pytest.approx(0.0, abs=1e-13)


@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1e12, 1e150])
def test_units_of_the_cost(scale):
    C, a, b = regime("clouds")
    one = newton(C, a, b, reg=1e-3, tol=TIGHT)
    other = newton(scale * C, a, b, reg=scale * 1e-3, tol=TIGHT)
    assert other.converged
    assert other.value / scale == pytest.approx(one.value, rel=1e-9)


@pytest.mark.parametrize("shift", [-1e4, 1e4, 1e6])
def test_shifted_costs(shift):
    # Quanta of 2^-20: the shift itself rounds nothing.
    C, a, b = regime("clouds")
    C = np.round(C * 2**20) / 2**20
    one = newton(C, a, b, reg=1e-3, tol=1e-9)
    other = newton(C + shift, a, b, reg=1e-3, tol=1e-6 if abs(shift) > 1e5 else 1e-7)
    assert one.converged and other.converged
    np.testing.assert_allclose(other.plan, one.plan, atol=1e-6)


@pytest.mark.parametrize("M", [1e-200, 1e-12, 1e6, 1e200])
def test_units_of_the_mass(M):
    C, a, b = regime("spiky")
    one = newton(C, a, b, reg=1e-3, tol=TIGHT)
    many = newton(C, M * a, M * b, reg=1e-3, tol=TIGHT)
    assert many.converged
    assert many.value / M == pytest.approx(one.value - 1e-3 * math.log(M), rel=1e-9)
    np.testing.assert_allclose(many.plan / M, one.plan, atol=1e-10)


def test_zero_weights_are_as_if_they_were_not_there(rng):
    C = rng.random((80, 70))
    a, b = rng.uniform(0.5, 1.5, 80), rng.uniform(0.5, 1.5, 70)
    a[:60] = 0.0
    b[[0, 5, 69]] = 0.0
    a, b = a / a.sum(), b / b.sum()
    live = np.ix_(a > 0, b > 0)
    for mode in ({}, {"unbalanced": 0.3}):
        found = newton(C, a, b, reg=1e-3, tol=TIGHT, **mode)
        expected = newton(C[live], a[a > 0], b[b > 0], reg=1e-3, tol=TIGHT, **mode)
        assert found.converged
        assert (found.plan[a == 0] == 0).all() and (found.plan[:, b == 0] == 0).all()
        np.testing.assert_allclose(found.plan[live], expected.plan, atol=1e-9)
        assert np.isfinite(found.potential_a).all() and np.isfinite(found.potential_b).all()


@pytest.mark.parametrize("eps", [1e-2, 1e-4])
def test_blocks_solve_apart(eps):
    C, a, b = regime("blocks")
    together = newton(C, a, b, reg=eps, tol=TIGHT)
    assert together.converged and np.isfinite(together.gap)
    for start in range(0, 160, 40):
        part = slice(start, start + 40)
        alone = newton(C[part, part], reg=eps, tol=TIGHT)
        np.testing.assert_allclose(together.plan[part, part], 0.25 * alone.plan, atol=1e-9)


def test_blocks_of_unequal_mass_are_infeasible():
    C, a, _ = regime("blocks")
    b = a.copy()
    b[:40] *= 1.1
    b /= b.sum()
    solution = newton(C, a, b, reg=1e-2, max_iter=2000, on_failure="ignore")
    assert solution.status is Status.INFEASIBLE
    assert solution.gap == INF
    soft = newton(C, a, b, reg=1e-2, tol=TIGHT, unbalanced=(INF, 1.0))
    assert soft.converged


@pytest.mark.parametrize("tol", [1e-4, 1e-6])
def test_float32_costs(tol):
    for name, eps in (("assignment", 1e-3), ("clouds", 1e-4), ("spiky", 1e-3)):
        C, a, b = regime(name)
        single = newton(C.astype(np.float32), a, b, reg=eps, tol=tol)
        assert single.converged
        assert single.plan.dtype == single.potential_a.dtype == np.float32
        assert judged(single, a, b) <= tol + 1e-7  # the plan is a cast one
        double = newton(C.astype(np.float32).astype(np.float64), a, b, reg=eps, tol=tol)
        assert float(single.value) == pytest.approx(double.value, abs=max(tol, 1e-6))


def test_the_callers_arrays_are_not_written_to(rng):
    C, a, b = (np.array(z) for z in regime("clouds"))
    f, g = rng.normal(size=a.size) * 1e-3, rng.normal(size=b.size) * 1e-3
    kept = [z.copy() for z in (C, a, b, f, g)]
    for mode in ({}, {"unbalanced": (0.1, INF)}):
        newton(C, a, b, reg=1e-3, init=(f, g), **mode)
        for z, before in zip((C, a, b, f, g), kept):
            check_same_bits(z, before)


def test_the_same_bits_every_time():
    C, a, b = regime("spiky")
    one, other = (newton(C, a, b, reg=1e-3, tol=TIGHT) for _ in range(2))
    check_same_bits(one.plan, other.plan)
    assert one.diagnostics == other.diagnostics and one.n_iter == other.n_iter


# --- how it ends ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tol", [1e-17, 0.0])
@pytest.mark.parametrize("name", ["assignment", "clouds", "densities-L2^2", "10x2000", "line"])
def test_says_where_precision_ends(name, tol):
    C, a, b = regime(name)
    solution = newton(C, a, b, reg=1e-3, tol=tol, on_failure="ignore")
    assert solution.status is Status.PRECISION_LIMIT
    assert tol < solution.marginal_error < 1e-12
    assert judged(solution, a, b) < 1e-11  # and yet as good as it gets


def test_float32_says_where_precision_ends():
    C, a, b = regime("clouds")
    solution = newton(C.astype(np.float32), a, b, reg=1e-3, tol=1e-9, on_failure="ignore")
    assert solution.status is Status.PRECISION_LIMIT
    assert judged(solution, a, b) < 1e-6


@pytest.mark.parametrize("name", ["assignment", "10x2000", "wide-weights"])
def test_max_iter_is_obeyed(name):
    C, a, b = regime(name)
    for most in (1, 2, 5, *range(12, 50, 3)):
        seen = []
        solution = newton(C, a, b, reg=1e-4, tol=1e-13, max_iter=most, callback=seen.append, on_failure="ignore")
        assert solution.status is Status.MAX_ITER
        assert solution.n_iter == most
        assert seen == solution.history and len(seen) <= most
        assert solution.history[-1].reg == 1e-4  # the last pass is at the eps asked for
        error = judged(solution, a, b)
        assert math.isfinite(error) and math.isfinite(solution.gap)
        assert solution.marginal_error == pytest.approx(error, rel=1e-6)
        # The best of what it has seen.
        best = min(p.marginal_error for p in seen if p.reg == 1e-4)
        assert solution.marginal_error <= best * (1 + 1e-9) + 1e-12  # rows are exact up to rounding


@pytest.mark.parametrize("passes", [1, 10, 30, 45])
def test_callback_stops(passes):
    C, a, b = regime("assignment")
    solution = newton(C, a, b, reg=1e-4, tol=1e-13, callback=lambda p: p.iteration >= passes)
    assert solution.status is Status.STOPPED_BY_CALLBACK
    # A pass to be at the eps asked for, one over the entries that the callback does not see.
    assert passes <= solution.n_iter <= passes + 3
    np.testing.assert_allclose(solution.plan.sum(1), a, rtol=1e-9)
    assert newton(C, a, b, reg=1e-4, init=solution).converged


def test_history_counts_every_pass_and_ends_at_the_target():
    C, a, b = regime("clouds")
    solution = newton(C, a, b, reg=1e-3, tol=TIGHT)
    levels = [p.reg for p in solution.history]
    assert levels == sorted(levels, reverse=True) and levels[-1] == 1e-3
    steps = [p.iteration for p in solution.history]
    assert steps == sorted(set(steps)) and steps[-1] <= solution.n_iter
    # Entries are kept by the sweep before a step: every pass has an error to show.
    assert solution.n_iter == len(steps)


def test_passes_over_entries_count():
    # On a grid sweeps separate, and entries take a pass of their own.
    densities = np.random.default_rng(0).random((2, 8, 8)) + 0.1
    a, b = densities / densities.sum((1, 2), keepdims=True)
    solution = ots.solve_grid(a, b, reg=0.3, cost="cityblock", tol=TIGHT, method=ots.Newton(annealing=None))
    assert solution.diagnostics["newton_steps"] > 0
    assert solution.n_iter >= len(solution.history) + solution.diagnostics["newton_steps"]


def test_a_warm_start_is_used():
    for name in ("assignment", "clouds", "spiky"):
        C, a, b = regime(name)
        cold = newton(C, a, b, reg=1e-3, tol=TIGHT)
        again = newton(C, a, b, reg=1e-3, tol=TIGHT, init=cold)
        assert again.converged and again.n_iter <= 2
        assert again.value == pytest.approx(cold.value, abs=1e-9)
        moved = C * (1 + 1e-4 * np.cos(np.arange(C.size)).reshape(C.shape))
        near = newton(moved, a, b, reg=1e-3, tol=TIGHT, init=cold)
        assert near.converged
        assert near.n_iter < 0.7 * newton(moved, a, b, reg=1e-3, tol=TIGHT).n_iter


@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_a_bad_start_only_costs_time(rng, unit):
    C, a, b = regime("clouds")
    bad = unit * rng.normal(size=a.size), unit * rng.normal(size=b.size)
    found = newton(C, a, b, reg=1e-2, tol=1e-9, init=bad, on_failure="ignore")
    assert np.isfinite(found.plan).all() and math.isfinite(found.gap)
    assert found.converged or unit > 1
    if found.converged:
        assert found.value == pytest.approx(newton(C, a, b, reg=1e-2, tol=1e-9).value, abs=1e-8)


def test_without_annealing():
    C, a, b = regime("densities-L2^2")
    direct = newton_with(ots.Newton(annealing=None), C, a, b)
    assert {p.reg for p in direct.history} == {1e-2}
    fine = newton_with(ots.Newton(annealing=0.8), C, a, b)
    assert len({p.reg for p in fine.history}) > 10
    check_close(direct.value, fine.value, "float64", "optimum")


def newton_with(method, C, a, b):
    solution = ots.solve(C, a, b, reg=1e-2, tol=TIGHT, method=method)
    assert solution.converged
    return solution


# --- what it does not do ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("rho", [0.3, (INF, 0.3), (0.3, INF)], ids=str)
def test_total_variation_is_not_smooth(matrix, rho):
    C, a, b = matrix
    options = {"reg": 0.05, "unbalanced": rho, "unbalanced_type": "tv"}
    called = []
    with pytest.raises(UnsupportedError, match="TV penalty has no derivative: use method='sinkhorn'"):
        newton(C, a, b, callback=called.append, **options)
    assert not called  # before any work
    assert ots.solve(C, a, b, **options).converged


@pytest.mark.parametrize("annealing", [0.0, 1.0, -0.5, 2, math.nan])
def test_options_are_checked(annealing):
    with pytest.raises(ValueError, match=r"annealing=.* must be between 0 and 1, or None"):
        ots.Newton(annealing=annealing)


@pytest.mark.parametrize("product", ["held", "dense", "lazy"])
def test_plans_too_dense_to_hold(monkeypatch, rng, product):
    """The Hessian on all of the plan, from memory or by passes over the cost, gives the same answer."""
    from ot_solvers.solvers import curvature

    used = []
    for name in ("_Dense", "_Lazy"):
        kind = getattr(curvature, name)

        def made(*given, kind=kind):
            used.append(kind.__name__)
            return kind(*given)

        monkeypatch.setattr(curvature, name, made)
    x, y = rng.normal(size=(70, 3)), 0.5 + rng.normal(size=(60, 3))
    expected = ots.solve_sample(x, y, reg=0.05, tol=TIGHT, method="sinkhorn")
    if product != "held":
        monkeypatch.setattr(curvature, "_limits", lambda _: (400, 4200 if product == "dense" else 0))
    solution = ots.solve_sample(x, y, reg=0.05, tol=TIGHT, method="newton")
    assert set(used) == {"held": set(), "dense": {"_Dense"}, "lazy": {"_Lazy"}}[product]
    assert solution.converged
    assert solution.value == pytest.approx(expected.value, abs=1e-9)
    np.testing.assert_allclose(solution.plan, expected.plan, atol=1e-8)
    if (
        product == "lazy"
    ):  # products are passes, two for each step of conjugate gradients; the first steps hold theirs
        assert solution.n_iter >= len(solution.history) + solution.diagnostics["cg_steps"]
