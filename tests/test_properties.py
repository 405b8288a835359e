"""What must hold for every problem: symmetries of the objective, weak duality, agreement of all ways to say it."""

from __future__ import annotations

import math

import numpy as np
import oracles
from hypothesis import assume, given
from hypothesis import strategies as st
from oracles import SETTINGS
from scipy import sparse

import ot_solvers as ots

INF = math.inf
TOL = 1e-10

modes = st.sampled_from(
    [
        {},
        {"unbalanced": 0.5},
        {"unbalanced": 0.5, "unbalanced_type": "tv"},
        {"unbalanced": (INF, 0.3)},
        {"unbalanced": (0.3, INF), "unbalanced_type": "tv"},
    ]
)


def solve(C, a, b, eps, mode, **options):
    # Small problems with ties may be slow; what is asked of them holds at any accuracy that is reached.
    solution = ots.solve(C, a, b, reg=eps, tol=TOL, on_failure="ignore", **mode, **options)
    assume(solution.converged)
    return solution


def swapped(mode):
    pair = mode.get("unbalanced")
    return {**mode, "unbalanced": pair[::-1]} if isinstance(pair, tuple) else mode


def masses(draw_mass, b, mode):
    """Unlike masses where they are legal."""
    return b * draw_mass if mode else b


@SETTINGS
@given(oracles.problems(), modes, st.sampled_from([1.0, 0.4, 3.0]))
def test_swapping_the_sides_transposes(problem, mode, mass):
    C, a, b, eps = problem
    b = masses(mass, b, mode)
    one = solve(C, a, b, eps, mode)
    two = solve(C.T.copy(), b, a, eps, swapped(mode))
    np.testing.assert_allclose(two.value, one.value, atol=1e-8)
    np.testing.assert_allclose(two.plan, one.plan.T, atol=1e-7)
    view = one.T
    np.testing.assert_array_equal(view.plan, np.asarray(view.plan))
    np.testing.assert_allclose(view.plan, one.plan.T, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(view.value, one.value, atol=1e-12)


@SETTINGS
@given(oracles.problems(), st.sampled_from([-1e6, -3.0, 0.5, 1e4]))
def test_shifting_the_cost_shifts_the_value(problem, shift):
    C, a, b, eps = problem
    one = solve(C, a, b, eps, {})
    two = solve(C + shift, a, b, eps, {})
    # The mass of an unconverged remainder costs the shift, too.
    digits = 1e-8 + (2 * TOL + 1e-14) * abs(shift)
    np.testing.assert_allclose(two.value - shift, one.value, atol=digits)
    np.testing.assert_allclose(two.plan, one.plan, atol=1e-8 + 1e-14 * abs(shift) / eps)
    f, g = two.potentials
    # The gauge splits the shift evenly.
    np.testing.assert_allclose(f - shift / 2, one.potential_a, atol=1e-6 + 1e-14 * abs(shift))
    np.testing.assert_allclose(g - shift / 2, one.potential_b, atol=1e-6 + 1e-14 * abs(shift))
    np.testing.assert_allclose(np.array(two.bounds) - shift, one.bounds, atol=1e-6 + 1e-14 * abs(shift))


@SETTINGS
@given(oracles.problems(), modes, st.sampled_from([1e-30, 1e-3, 7.0, 1e30]))
def test_scaling_cost_and_eps_scales_the_value(problem, mode, scale):
    C, a, b, eps = problem
    one = solve(C, a, b, eps, mode)
    pair = mode.get("unbalanced")
    scaled = dict(mode)
    if pair is not None:
        scaled["unbalanced"] = tuple(scale * r for r in pair) if isinstance(pair, tuple) else scale * pair
    two = solve(scale * C, a, b, scale * eps, scaled)
    np.testing.assert_allclose(two.value / scale, one.value, atol=1e-8)
    np.testing.assert_allclose(two.gap / scale, one.gap, atol=1e-8)
    np.testing.assert_allclose(two.plan, one.plan, atol=1e-8)
    np.testing.assert_allclose(two.potential_a / scale, one.potential_a, atol=1e-6)


@SETTINGS
@given(oracles.problems(), st.sampled_from([1e-200, 1e-6, 0.3, 50.0, 1e200]))
def test_scaling_the_mass(problem, mass):
    C, a, b, eps = problem
    one = solve(C, a, b, eps, {})
    many = solve(C, mass * a, mass * b, eps, {})
    np.testing.assert_allclose(many.value / mass, one.value - eps * math.log(mass), atol=1e-8)
    np.testing.assert_allclose(many.plan / mass, one.plan, atol=1e-9)
    np.testing.assert_allclose(many.marginal_a / mass, one.marginal_a, atol=1e-12)


@SETTINGS
@given(oracles.problems(), modes, st.data())
def test_permuting_points_permutes_the_plan(problem, mode, data):
    C, a, b, eps = problem
    rows = np.array(data.draw(st.permutations(range(a.size))))
    columns = np.array(data.draw(st.permutations(range(b.size))))
    one = solve(C, a, b, eps, mode)
    two = solve(C[rows][:, columns], a[rows], b[columns], eps, mode)
    np.testing.assert_allclose(two.value, one.value, atol=1e-9)
    np.testing.assert_allclose(two.plan, one.plan[rows][:, columns], atol=1e-7)
    if mode.get("unbalanced_type") != "tv":  # whose potentials need not be unique
        np.testing.assert_allclose(two.potential_a, one.potential_a[rows], atol=1e-5)


@SETTINGS
@given(oracles.problems(), st.data())
def test_a_point_may_be_split(problem, data):
    C, a, b, eps = problem
    i = data.draw(st.integers(0, a.size - 1))
    share = data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    one = solve(C, a, b, eps, {})
    split = np.append(a, (1 - share) * a[i])
    split[i] *= share
    two = solve(np.vstack([C, C[i]]), split, b, eps, {})
    np.testing.assert_allclose(two.value, one.value, atol=1e-8)
    np.testing.assert_allclose(two.plan[i] + two.plan[-1], one.plan[i], atol=1e-7)
    np.testing.assert_allclose(two.potential_a[-1], two.potential_a[i], atol=1e-12)


@SETTINGS
@given(oracles.problems(), modes, st.sampled_from([1.0, 0.4, 3.0]), st.sampled_from([1, 2, 5, 40]))
def test_weak_duality_at_any_time(problem, mode, mass, max_iter):
    C, a, b, eps = problem
    b = masses(mass, b, mode)
    early = ots.solve(C, a, b, reg=eps, max_iter=max_iter, on_failure="ignore", **mode)
    best = solve(C, a, b, eps, mode)
    assert early.dual_value <= best.value + 1e-8
    assert best.dual_value <= early.dual_value + early.gap + 1e-8
    lower, upper = early.bounds
    assert lower <= upper + 1e-12
    lower_best, upper_best = best.bounds
    assert lower <= upper_best + 1e-12
    assert lower_best <= upper + 1e-12


@SETTINGS
@given(oracles.problems(), modes)
def test_value_increases_with_eps(problem, mode):
    C, a, b, eps = problem
    # KL(P | a b') >= 0 at equal masses: a larger eps cannot make the optimum smaller.
    small = solve(C, a, b, eps, mode)
    large = solve(C, a, b, 2 * eps, mode)
    assert small.value <= large.value + 1e-8


@SETTINGS
@given(oracles.problems(), modes, st.sampled_from([1.0, 0.4]))
def test_backends_and_layouts_agree(problem, mode, mass):
    C, a, b, eps = problem
    b = masses(mass, b, mode)
    one = solve(C, a, b, eps, mode)
    full = sparse.coo_array((C.ravel(), np.indices(C.shape).reshape(2, -1)), shape=C.shape)
    wide = np.full((2 * C.shape[0], 3 * C.shape[1]), np.nan)
    wide[::2, 1::3] = C
    for other in (
        solve(C, a, b, eps, mode, backend="reference"),
        solve(np.asfortranarray(C), a, b, eps, mode),
        solve(full, a, b, eps, mode),
        solve(full.tocsc(), a, b, eps, mode),
        solve(wide[::2, 1::3], a, b, eps, mode),
        solve(C[::-1, ::-1], a[::-1], b[::-1], eps, mode),
        solve(C, a, b, eps, mode, method=ots.Sinkhorn(kernel="log")),
        solve(C, a, b, eps, mode, method=ots.Sinkhorn(kernel="stored")),
        solve(C, a, b, eps, mode, method=ots.Sinkhorn(annealing=None)),
        solve(C, a, b, eps, mode, method=ots.Sinkhorn(acceleration="relaxation")),
    ):
        np.testing.assert_allclose(other.value, one.value, atol=1e-8)
        if other.shape == one.shape and not np.allclose(other.plan, one.plan, atol=1e-7):
            np.testing.assert_allclose(other.plan[::-1, ::-1], one.plan, atol=1e-7)


@SETTINGS
@given(st.data(), modes, st.sampled_from(["sqeuclidean", "cityblock", "dot"]), st.integers(1, 3))
def test_grids_clouds_and_matrices_agree(data, mode, cost, d):
    shape = tuple(data.draw(st.lists(st.integers(1, 3), min_size=d, max_size=d)))
    size = math.prod(shape)
    axes = tuple(
        np.array(data.draw(st.lists(st.integers(-8, 8), min_size=n, max_size=n)), dtype=np.float64) / 8
        for n in shape
    )
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
    a, b = data.draw(oracles.weights_of(size)), data.draw(oracles.weights_of(size))
    difference = points[:, None] - points
    C = {
        "sqeuclidean": (difference**2).sum(-1),
        "cityblock": np.abs(difference).sum(-1),
        "dot": -points @ points.T,
    }[cost]
    one = solve(C, a, b, 0.2, mode)
    options = {"reg": 0.2, "tol": TOL, "cost": cost, "on_failure": "ignore", **mode}
    grid = ots.solve_grid(a.reshape(shape), b.reshape(shape), axes=axes, **options)
    cloud = ots.solve_sample(points, points, a, b, **options)
    for other in (grid, cloud):
        assume(other.converged)
        np.testing.assert_allclose(other.value, one.value, atol=1e-8)
        np.testing.assert_allclose(other.plan, one.plan, atol=1e-7)
        np.testing.assert_allclose(other.gap, one.gap, atol=1e-7)


@SETTINGS
@given(oracles.problems(), modes)
def test_precision_of_the_costs_changes_digits_only(problem, mode):
    C, a, b, eps = problem  # multiples of 1/16: exact in single precision
    one = solve(C, a, b, eps, mode)
    single = ots.solve(C.astype(np.float32), a, b, reg=eps, tol=1e-6, on_failure="ignore", **mode)
    assume(single.converged)
    np.testing.assert_allclose(single.value, one.value, atol=2e-5)
    np.testing.assert_allclose(single.plan, one.plan, atol=2e-4)
