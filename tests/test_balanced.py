"""Balanced entropic transport: closed forms, exact solvers, derivatives, conventions."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import oracles
import pytest
from checks import check_close, check_solution
from hypothesis import given
from oracles import SETTINGS
from problems import some_weights
from scipy import sparse

import ot_solvers as ots

#: What an answer may miss that ended below this tolerance: the value is first order in the marginal error.
TIGHT = 1e-11


def solve_in_every_way(x, y, a, b, eps, **options):
    """(name, solution) of one squared Euclidean problem: as a cloud, a matrix, its transpose, a full pattern."""
    C = oracles.squared_distances(x, y)
    yield "cloud", ots.solve_sample(x, y, a, b, reg=eps, **options)
    yield "dense", ots.solve(C, a, b, reg=eps, **options)
    yield "Fortran", ots.solve(np.asfortranarray(C), a, b, reg=eps, **options)
    full = sparse.coo_array((C.ravel(), np.indices(C.shape).reshape(2, -1)), shape=C.shape).tocsr()
    yield "sparse", ots.solve(full, a, b, reg=eps, **options)
    yield "reference", ots.solve_sample(x, y, a, b, reg=eps, backend="reference", **options)


# --- closed forms ---------------------------------------------------------------------------------------------
@SETTINGS
@given(oracles.diracs() | oracles.one_source())
def test_single_sources_are_exact(known):
    C = oracles.squared_distances(known.x, known.y)
    for name, solution in solve_in_every_way(known.x, known.y, known.a, known.b, known.eps, tol=TIGHT):
        assert solution.converged, name
        check_solution(solution, C, known.a, known.b)
        assert solution.value == pytest.approx(known.value, rel=1e-10, abs=1e-10), name
        np.testing.assert_allclose(solution.plan, known.b[None, :], rtol=1e-10, atol=1e-14, err_msg=name)


@SETTINGS
@given(oracles.translations())
def test_a_translation_adds_its_square(pair):
    known, shift = pair
    here = ots.solve_sample(known.x, known.x, known.a, known.a, reg=known.eps, tol=1e-9)
    live = known.a > 0
    for name, there in solve_in_every_way(known.x, known.y, known.a, known.a, known.eps, tol=1e-9):
        assert there.value == pytest.approx(here.value + known.value, abs=1e-7), name
        # Every point goes where it went, and then along the shift.
        moved, expected = there.pull(known.y)[live], here.pull(known.x)[live] + shift
        np.testing.assert_allclose(moved, expected, atol=1e-5, err_msg=name)


@SETTINGS
@given(oracles.gaussians_on_a_line(), oracles.eps_values)
def test_gaussians_have_their_closed_form(line, eps):
    eps = max(eps, 0.2)
    moments = (np.array([line.mean_a]), np.array([[line.variance_a]]))
    moments += (np.array([line.mean_b]), np.array([[line.variance_b]]))
    solution = ots.solve_grid(line.a, line.b, axes=(line.points,), reg=eps, tol=1e-9)
    assert solution.value == pytest.approx(oracles.gaussian_value(*moments, eps), abs=1e-6)
    bulk = np.abs(line.points - line.mean_a) < 2 * math.sqrt(line.variance_a)
    expected = oracles.gaussian_map(*moments, eps)(line.points[bulk, None])
    np.testing.assert_allclose(solution.barycentric_map()[bulk], expected, atol=1e-5)
    # Out of sample too: points between those of the grid.
    between = line.points[bulk][:, None] + 0.07
    expected = oracles.gaussian_map(*moments, eps)(between)
    np.testing.assert_allclose(solution.transport(between), expected, atol=1e-5)


def test_gaussians_in_the_plane(rng):
    A, B = np.array([[1.0, 0.4], [0.4, 0.7]]), np.array([[0.6, -0.2], [-0.2, 1.2]])
    mean_a, mean_b = np.array([0.3, -0.2]), np.array([-0.5, 0.4])
    axis = np.arange(-7.5, 7.51, 0.3)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)

    def density(mean, covariance):
        off = points - mean
        raw = np.exp(-0.5 * np.einsum("...i,ij,...j", off, np.linalg.inv(covariance), off))
        return raw / raw.sum()

    a, b = density(mean_a, A), density(mean_b, B)
    solution = ots.solve_grid(a, b, axes=(axis, axis), reg=0.5, tol=1e-9)
    assert solution.value == pytest.approx(oracles.gaussian_value(mean_a, A, mean_b, B, 0.5), abs=1e-6)
    some = rng.normal(size=(20, 2))
    expected = oracles.gaussian_map(mean_a, A, mean_b, B, 0.5)(some)
    np.testing.assert_allclose(solution.transport(some), expected, atol=1e-5)


@SETTINGS
@given(oracles.sorted_lines())
def test_bounds_and_value_bracket_the_monotone_matching(known):
    n = known.a.size
    for name, solution in solve_in_every_way(known.x, known.y, known.a, known.b, known.eps, tol=1e-9):
        lower, upper = solution.bounds
        assert lower - 1e-12 <= known.value <= upper + 1e-12, name
        # OT <= OT_eps <= OT + eps KL(matching | product), and the matching has entropy log n.
        assert known.value - 1e-9 <= solution.value <= known.value + known.eps * math.log(n) + 1e-9, name


def test_small_eps_finds_the_best_permutation(rng):
    C = rng.random((12, 12))
    columns, cost = oracles.assignment(C)
    solution = ots.solve(C, reg=2e-3)
    assert solution.converged
    np.testing.assert_array_equal(solution.match(), columns)
    np.testing.assert_array_equal(solution.match(inverse=True), np.argsort(columns))
    assert solution.value_linear == pytest.approx(cost / 12, abs=2e-3)
    lower, upper = solution.bounds
    assert lower <= cost / 12 + 1e-12 <= upper + 1e-11


# --- against a plain iteration --------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (40, 31), (130, 90)])
@pytest.mark.parametrize("eps", [0.05, 1.0])
@pytest.mark.parametrize("mass", [1.0, 1e-3, 40.0])
def test_agrees_with_a_plain_iteration(rng, shape, eps, mass):
    n, m = shape
    x, y = rng.random((n, 2)), rng.random((m, 2))
    a, b = mass * some_weights(rng, n), mass * some_weights(rng, m)
    C = oracles.squared_distances(x, y)
    found = oracles.brute_force(C, a, b, eps)
    for name, solution in solve_in_every_way(x, y, a, b, eps, tol=TIGHT):
        assert solution.converged, name
        check_solution(solution, C, a, b)
        check_close(solution.value, found.value, "float64", "optimum", scale=mass, what=f"{name}: value")
        check_close(solution.plan, found.plan, "float64", "optimum", scale=mass, what=f"{name}: plan")
        f, g = solution.potentials
        move = np.mean(found.f - f)
        # Zero weights included: their potentials are those of an infinitely small weight.
        np.testing.assert_allclose(f + move, found.f, atol=1e-8, err_msg=name)
        np.testing.assert_allclose(g - move, found.g, atol=1e-8, err_msg=name)


def test_agrees_with_a_plain_iteration_on_a_grid(rng):
    a, b = some_weights(rng, 42).reshape(6, 7), some_weights(rng, 42).reshape(6, 7)
    axes = np.sort(rng.random(6)), np.sort(rng.random(7))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    for cost, C in (
        ("sqeuclidean", oracles.squared_distances(points, points)),
        ("cityblock", np.abs(points[:, None] - points).sum(-1)),
        ("dot", -points @ points.T),
    ):
        found = oracles.brute_force(C, a.ravel(), b.ravel(), 0.1)
        solution = ots.solve_grid(a, b, cost=cost, axes=axes, reg=0.1, tol=TIGHT)
        assert solution.potential_a.shape == solution.marginal_b.shape == (6, 7)
        assert solution.value == pytest.approx(found.value, abs=1e-9)
        np.testing.assert_allclose(solution.plan, found.plan, atol=1e-9)


# --- certificates ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("max_iter", [1, 2, 5, 30, None])
@pytest.mark.parametrize("size", [9, 110])
@pytest.mark.parametrize("eps", [1e-4, 0.01, 0.3])
def test_gap_and_bounds_are_honest_before_convergence(rng, max_iter, size, eps):
    x, y = rng.random((size, 2)), rng.random((size + 4, 2))
    a, b = some_weights(rng, size), some_weights(rng, size + 4)
    C = oracles.squared_distances(x, y)
    solution = ots.solve(C, a, b, reg=eps, max_iter=max_iter, on_failure="ignore")
    exact = oracles.exact_transport(C, a, b)
    lower, upper = solution.bounds
    assert lower - 1e-12 <= exact <= upper + 1e-12
    best = ots.solve(C, a, b, reg=eps, tol=1e-9, max_iter=50_000, on_failure="ignore")
    if best.converged:
        assert solution.dual_value <= best.value + 1e-9
        assert best.value <= solution.dual_value + solution.gap + 1e-9
    # A usable plan, whatever the budget: rows are exact.
    np.testing.assert_allclose(solution.marginal_a, a, rtol=1e-6, atol=1e-12)
    assert solution.gap <= 2 * (C.max() - C.min()) + 20 * eps


def test_gap_closes(rng):
    C = rng.random((30, 40))
    gaps = [ots.solve(C, reg=0.05, tol=tol).gap for tol in (1e-2, 1e-4, 1e-6, 1e-8)]
    assert all(later <= 0.5 * earlier for earlier, later in pairwise(gaps))
    assert -1e-14 <= gaps[-1] <= 1e-8


def test_bounds_close_with_eps(rng):
    C = rng.random((25, 25))
    exact = oracles.exact_transport(C, np.full(25, 0.04), np.full(25, 0.04))
    widths = []
    for eps in (0.3, 0.03, 0.003):
        lower, upper = ots.solve(C, reg=eps, tol=1e-9).bounds
        assert lower - 1e-12 <= exact <= upper + 1e-12
        widths.append(upper - lower)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


@pytest.mark.peer
def test_bounds_bracket_the_exact_solver_of_pot(rng):
    ot = pytest.importorskip("ot")
    for n, m in ((60, 60), (70, 45)):
        x, y = rng.normal(size=(n, 3)), rng.normal(size=(m, 3)) + 0.3
        a, b = some_weights(rng, n), some_weights(rng, m)
        for cost, C in (("sqeuclidean", ot.dist(x, y)), ("euclidean", ot.dist(x, y, metric="euclidean"))):
            exact = ot.emd2(a, b, C)
            lower, upper = ots.solve_sample(x, y, a, b, cost=cost, reg=0.1).bounds
            assert lower <= exact <= upper


@pytest.mark.peer
@pytest.mark.parametrize("mass", [1.0, 5.0])
def test_value_and_plan_are_those_of_pot(rng, mass):
    ot = pytest.importorskip("ot")
    C = rng.random((50, 40))
    a, b = mass * some_weights(rng, 50), mass * some_weights(rng, 40)
    solution = ots.solve(C, a, b, reg=0.05, tol=1e-10)
    theirs = ot.solve(C, a, b, reg=0.05, method="sinkhorn_log", max_iter=20_000, tol=1e-12)
    live = np.outer(a, b) > 0
    np.testing.assert_allclose(solution.plan[live], theirs.plan[live], rtol=1e-6, atol=1e-12)
    assert solution.value_linear == pytest.approx(theirs.value_linear, rel=1e-8)
    # POT's value: <P, C> + reg * KL without mass terms, which vanish when balanced at mass 1.
    if mass == 1.0:
        assert solution.value == pytest.approx(theirs.value, rel=1e-8)


# --- conventions ----------------------------------------------------------------------------------------------
def test_f_and_g_are_the_derivatives_by_the_weights(rng):
    C = rng.random((6, 7))
    a, b = rng.uniform(0.5, 1.5, 6), rng.uniform(0.5, 1.5, 7)
    a /= a.sum()
    b /= b.sum()
    eps, step = 0.1, 1e-5

    def value(a, b):
        return ots.solve(C, a, b, reg=eps, tol=1e-12).value

    f, g = ots.solve(C, a, b, reg=eps, tol=1e-12).potentials
    for direction in (rng.normal(size=6), rng.normal(size=6)):
        direction -= direction.mean()  # the total mass stays
        numeric = (value(a + step * direction, b) - value(a - step * direction, b)) / (2 * step)
        check_close(f @ direction, numeric, "float64", "derivative", scale=np.abs(f).max())
    direction = rng.normal(size=7)
    direction -= direction.mean()
    numeric = (value(a, b + step * direction) - value(a, b - step * direction)) / (2 * step)
    check_close(g @ direction, numeric, "float64", "derivative", scale=np.abs(g).max())


def test_mass_enters_as_documented(rng):
    C = rng.random((8, 9))
    a, b = some_weights(rng, 8), some_weights(rng, 9)
    eps = 0.07
    one = ots.solve(C, a, b, reg=eps, tol=1e-10)
    for M in (1e-3, 0.5, 7.0, 1e4):
        many = ots.solve(C, M * a, M * b, reg=eps, tol=1e-10)
        assert many.value == pytest.approx(M * one.value - eps * M * math.log(M), rel=1e-9)
        assert many.value_linear == pytest.approx(M * one.value_linear, rel=1e-9)
        np.testing.assert_allclose(many.plan, M * one.plan, rtol=1e-7, atol=1e-18)
        assert many.gap == pytest.approx(M * one.gap, abs=1e-12 * M * (1 + abs(math.log(M))))
        np.testing.assert_allclose(many.bounds, M * np.array(one.bounds), rtol=1e-9)
        # The product of the weights grows by M^2, the plan by M: half of log M leaves each potential.
        half = 0.5 * eps * math.log(M)
        np.testing.assert_allclose(many.potential_a, one.potential_a - half, atol=1e-9)
        np.testing.assert_allclose(many.potential_b, one.potential_b - half, atol=1e-9)


def test_slightly_unequal_masses_are_counted_as_the_first(rng):
    C, a, b = rng.random((5, 6)), rng.random(5), rng.random(6)
    b *= a.sum() / b.sum()
    off = ots.solve(C, a, b * (1 + 5e-7), reg=0.1, tol=1e-10)
    even = ots.solve(C, a, b, reg=0.1, tol=1e-10)
    assert off.converged
    assert off.value == pytest.approx(even.value, rel=1e-12)
    np.testing.assert_allclose(off.marginal_b, b, rtol=1e-8)


def test_squared_euclidean_is_not_halved():
    solution = ots.solve_sample(np.zeros((1, 2)), np.array([[3.0, 4.0]]), reg=1.0)
    assert solution.value == pytest.approx(25.0, rel=1e-14)
    assert solution.value_linear == pytest.approx(25.0, rel=1e-14)


def test_missing_weights_are_uniform(rng):
    C = rng.random((4, 5))
    plain = ots.solve(C, reg=0.2)
    given = ots.solve(C, np.full(4, 0.25), np.full(5, 0.2), reg=0.2)
    assert plain.value == given.value
    np.testing.assert_allclose(plain.marginal_a, 0.25, rtol=1e-12)


@pytest.mark.parametrize("statistic", ["mean", "max"])
def test_relative_eps_refers_to_the_finite_costs(rng, statistic):
    x, y = rng.normal(size=(23, 2)), rng.normal(size=(31, 2))
    C = oracles.squared_distances(x, y)
    unit = getattr(C, statistic)()
    weights = some_weights(rng, 23)  # statistics do not look at them
    hole = C.copy()
    hole[3, :20] = np.inf
    finite = hole[np.isfinite(hole)]
    pattern = sparse.csr_array(np.where(np.isfinite(hole), hole, 0.0))
    for solution, expected in (
        (ots.solve(C, weights, reg=0.1, reg_relative_to=statistic), unit),
        (ots.solve(C, weights, reg=ots.Entropic(0.1, relative_to=statistic)), unit),
        (ots.solve(C + 1e6, reg=0.1, reg_relative_to=statistic), unit + 1e6),
        (ots.solve_sample(x, y, reg=0.1, reg_relative_to=statistic), unit),
        (ots.solve_sample(x, y, reg=0.1, reg_relative_to=statistic, backend="reference"), unit),
        (ots.solve(hole, reg=0.1, reg_relative_to=statistic), getattr(finite, statistic)()),
        (ots.solve(pattern, reg=0.1, reg_relative_to=statistic), getattr(finite, statistic)()),
    ):
        assert solution.reg == pytest.approx(0.1 * expected, rel=1e-12)
    grid = ots.solve_grid(np.ones((4, 3)), np.ones((4, 3)), reg=0.1, reg_relative_to=statistic)
    points = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0), indexing="ij"), -1).reshape(-1, 2)
    on_grid = getattr(oracles.squared_distances(points, points), statistic)()
    assert grid.reg == pytest.approx(0.1 * on_grid, rel=1e-12)
