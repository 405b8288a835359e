"""Entropic maps: closed forms, the definition on dense plans, gradients, files, bad input."""

from __future__ import annotations

import copy
import io
import json
import math
import pickle
from dataclasses import dataclass

import numpy as np
import oracles
import pytest
from checks import check_gradient, check_library, check_same_bits, check_within, host
from hypothesis import given
from oracles import SETTINGS
from problems import some_weights
from scipy.special import logsumexp

import ot_solvers as ots
from ot_solvers import costs
from ot_solvers.maps import EntropicMap, conditional, files

WEIGHTS = (0.5, 2.0, 1.5)
CUBE = costs.EuclideanPower(p=3.0)
#: (cost, what undoes its slope at x), in three dimensions; written from the formulas.
TWISTED = [
    (costs.SqEuclidean(), lambda x, s: x - s / 2),
    (costs.SqEuclidean(WEIGHTS), lambda x, s: x - s / 2 / np.array(WEIGHTS)),
    (CUBE, lambda x, s: x - s / np.sqrt(3 * np.sqrt((s * s).sum(1, keepdims=True)))),
    (costs.EuclideanPower(p=1.5), lambda x, s: x - s * np.sqrt((s * s).sum(1, keepdims=True)) / 2.25),
    (costs.Dot(), lambda x, s: -s),
]
PLAIN = [costs.Euclidean(), costs.CityBlock(WEIGHTS), costs.PNorm(3.0)]
ROUND = [costs.Sphere(), costs.Cosine()]
ids = [str(cost) for cost, _ in TWISTED]
MASSES = {
    "balanced": {},
    "kl": {"unbalanced": 0.8},
    "semi-relaxed": {"unbalanced": (0.5, math.inf)},
    "tv": {"unbalanced": (1.5, 2.0), "unbalanced_type": "tv"},
    "partial": {"mass": 0.7},
}


def unit(x):
    return x / np.sqrt((x * x).sum(-1, keepdims=True))


def laws(cost, x, y, b, g, eps):
    """(C, laws) of points x: dense, by NumPy."""
    C = cost.pairwise(cost.prepare(x), cost.prepare(y))
    with np.errstate(divide="ignore"):
        exponents = np.log(b) + (g - C) / eps
    return C, np.exp(exponents - logsumexp(exponents, axis=1, keepdims=True))


def mean_slope(cost, x, y, p, C):
    """(k, d) mean under p of the derivatives of the cost by the raw points x."""
    slopes = cost.gradient(cost.prepare(x), cost.prepare(y), C)
    return cost.pullback(x, (p[:, :, None] * slopes).sum(1))


@pytest.fixture
def three(rng):
    """(x, y, a, b, new): weights with zeros, n != m, new points."""
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) + 0.5
    return x, y, some_weights(rng, 40), some_weights(rng, 30), rng.normal(size=(12, 3)) * 1.5


# --- closed forms ---------------------------------------------------------------------------------------------


@SETTINGS
@given(oracles.gaussians_on_a_line(), oracles.eps_values)
def test_gaussians_on_a_line(line, eps):
    eps = max(eps, 0.2)
    moments = (np.array([line.mean_a]), np.array([[line.variance_a]]))
    moments += (np.array([line.mean_b]), np.array([[line.variance_b]]))
    points = line.points[:, None]
    found = EntropicMap(ots.solve_sample(points, points, line.a, line.b, reg=eps, tol=1e-9))
    new = line.mean_a + math.sqrt(line.variance_a) * np.linspace(-2, 2, 9)[:, None] + 0.013
    check_within(found.transform(new), oracles.gaussian_map(*moments, eps)(new), 1e-5)
    back = line.mean_b + math.sqrt(line.variance_b) * np.linspace(-2, 2, 9)[:, None] + 0.013
    expected = oracles.gaussian_map(*moments[2:], *moments[:2], eps)(back)
    check_within(found.inverse_transform(back), expected, 1e-5)


@pytest.mark.parametrize("cost", ["sqeuclidean", CUBE, costs.EuclideanPower(p=1.5), "dot"], ids=str)
def test_small_reg_is_the_sorted_matching(cost, rng):
    x, y = rng.permutation(np.arange(12.0))[:, None], rng.permutation(np.arange(12.0))[:, None] * 1.5 - 3
    found = EntropicMap(cost=cost, reg=1e-3, tol=1e-9).fit(x, y)
    expected = np.empty((12, 1))
    expected[np.argsort(x[:, 0])] = np.sort(y, axis=0)
    check_within(found.transform(x), expected, 1e-6)
    check_within(found.inverse_transform(expected), x, 1e-6)


@pytest.mark.parametrize(
    ("cost", "reg"), [(CUBE, 0.05), (costs.EuclideanPower(p=1.5), 0.01), ("sqeuclidean", 0.01)]
)
def test_a_translation_is_recovered(cost, reg, rng):
    """Up to the spacing of the sample, about 0.05."""
    x, shift = rng.uniform(size=(400, 2)), np.array([1.0, -0.5])
    found = EntropicMap(cost=cost, reg=reg).fit(x, x + shift)
    inside = rng.uniform(0.2, 0.8, size=(50, 2))
    for error in (found.transform(inside) - inside - shift, found.inverse_transform(inside + shift) - inside):
        assert np.abs(error).max() < 0.05
        assert np.abs(error).mean() < 0.015


def test_one_source_and_one_target(rng):
    y, b = rng.normal(size=(5, 2)), rng.uniform(1, 2, 5)
    new = 100 * rng.normal(size=(6, 2))
    one = EntropicMap(reg=0.3).fit(y[:1], y, None, b)
    check_within(one.transform(y[:1]), (b / b.sum())[None] @ y, 1e-12)
    check_within(one.inverse_transform(new), np.broadcast_to(y[0], (6, 2)), 1e-12)
    check_within(EntropicMap(reg=0.3, cost=CUBE).fit(y, y[:1]).transform(new), np.broadcast_to(y[0], (6, 2)), 1e-9)


# --- the definition -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masses", MASSES)
@pytest.mark.parametrize(("cost", "undo"), TWISTED, ids=ids)
def test_the_twist_by_its_definition(cost, undo, masses, three):
    x, y, a, b, new = three
    solution = ots.solve_sample(x, y, a, b, cost=cost, reg=0.4, **MASSES[masses], on_failure="ignore")
    found = EntropicMap(solution)
    C, p = laws(cost, new, y, b, solution.potential_b, 0.4)
    check_within(found.transform(new), undo(new, mean_slope(cost, new, y, p, C)), 1e-11)
    C, p = laws(cost, new, x, a, solution.potential_a, 0.4)
    check_within(found.inverse_transform(new), undo(new, mean_slope(cost, new, x, p, C)), 1e-11)


@pytest.mark.parametrize("cost", [cost for cost, _ in TWISTED] + PLAIN, ids=str)
def test_means_by_their_definition(cost, three):
    x, y, a, b, new = three
    solution = ots.solve_sample(x, y, a, b, cost=cost, reg=0.4)
    found = EntropicMap(solution, projection="barycentric")
    check_within(found.transform(new), laws(cost, new, y, b, solution.potential_b, 0.4)[1] @ y, 1e-12)
    check_within(found.inverse_transform(new), laws(cost, new, x, a, solution.potential_a, 0.4)[1] @ x, 1e-12)
    check_within(found.transform(new), solution.transport(new), 1e-12)


@pytest.mark.parametrize("cost", ROUND, ids=str)
def test_means_stay_on_the_sphere(cost, three):
    x, y, new = (unit(three[k]) for k in (0, 1, 4))
    a, b = three[2:4]
    scale = 1.0 if isinstance(cost, costs.Sphere) else 3.0  # directions are all that counts
    solution = ots.solve_sample(x, scale * y, a, b, cost=cost, reg=0.1)
    found = EntropicMap(solution, projection="barycentric")
    p = laws(cost, new, y, b, solution.potential_b, 0.1)[1]
    check_within(found.transform(scale * new), unit(p @ y), 1e-12)
    check_within((found.inverse_transform(y) ** 2).sum(1), np.ones(30), 1e-14)


def test_a_mean_at_the_centre_of_the_sphere_has_no_direction():
    x, y = np.array([[0.0, 1.0]]), np.array([[1.0, 0.0], [-1.0, 0.0]])
    found = EntropicMap(cost="sphere", reg=1.0, projection="barycentric").fit(x, y)
    assert np.isnan(found.transform(x)).all()
    assert np.isfinite(found.transform(y)).all()


@pytest.mark.parametrize("cost", ROUND, ids=str)
def test_neighbours_on_the_sphere_are_matched_at_small_reg(cost, rng):
    x = unit(rng.normal(size=(50, 3)))
    y = unit(x + 1e-3 * rng.normal(size=(50, 3)))
    order = rng.permutation(50)
    found = EntropicMap(cost=cost, reg=1e-7, projection="barycentric").fit(x, y[order])
    check_within(found.transform(x), y, 1e-9)
    check_within(found.inverse_transform(y), x, 1e-9)


@pytest.mark.parametrize("masses", MASSES)
def test_potentials(masses, three):
    x, y, a, b, new = three
    solution = ots.solve_sample(x, y, a, b, reg=0.4, tol=1e-12, max_iter=20_000, **MASSES[masses])
    found = EntropicMap(solution)
    check_within(found.potential(x), solution.potential_a, 1e-9)
    check_within(found.potential(y, side="b"), solution.potential_b, 1e-9)
    if masses == "balanced":
        C = oracles.squared_distances(new, y)
        with np.errstate(divide="ignore"):
            soft = -0.4 * logsumexp(np.log(b) + (solution.potential_b - C) / 0.4, axis=1)
        check_within(found.potential(new), soft, 1e-12)


@pytest.mark.parametrize(("cost", "undo"), TWISTED, ids=ids)
def test_slopes_are_those_of_the_potential(cost, undo, three):
    """Not through any formula of the derivative: the potential itself, by finite differences."""
    x, y, a, b, new = three
    found = EntropicMap(ots.solve_sample(x, y, a, b, cost=cost, reg=0.4))
    step = 1e-5
    slope = np.stack(
        [(found.potential(new + e) - found.potential(new - e)) / (2 * step) for e in step * np.eye(3)], axis=1
    )
    check_within(found.transform(new), undo(new, slope), 1e-6)


def test_sums_of_weights_do_not_matter_to_fit(three):
    x, y, a, b, new = three
    one = EntropicMap(reg=0.4).fit(x, y, a, b)
    other = EntropicMap(reg=0.4).fit(x, y, 2 * a, list(5 * b))
    check_within(other.transform(new), one.transform(new), 1e-12)
    with_masses = ots.solve_sample(x, y, 3 * a, 3 * b, reg=0.4)
    check_within(EntropicMap(with_masses).transform(new), one.transform(new), 1e-7)
    check_within(EntropicMap(with_masses).potential(x), with_masses.potential_a, 1e-9)


def test_zero_weights_and_missing_points_are_the_same(three):
    x, y, a, b, new = three
    whole = EntropicMap(cost=CUBE, reg=0.4, tol=1e-12).fit(x, y, a, b)
    parts = EntropicMap(cost=CUBE, reg=0.4, tol=1e-12).fit(x[a > 0], y[b > 0], a[a > 0], b[b > 0])
    check_within(whole.transform(new), parts.transform(new), 1e-10)


def test_the_transposed_solution_is_the_inverse_map(three):
    x, y, a, b, new = three
    solution = ots.solve_sample(x, y, a, b, cost=CUBE, reg=0.4)
    check_same_bits(EntropicMap(solution.T).transform(new), EntropicMap(solution).inverse_transform(new))


def test_grids():
    axis = np.arange(12.0)
    a = np.exp(-((axis[:, None] - 4) ** 2 + (axis - 5) ** 2) / 6)
    b = np.roll(a, (3, 1), (0, 1))
    solution = ots.solve_grid(a, b, reg=0.3)
    found, new = EntropicMap(solution), np.array([[4.3, 5.1], [3.0, 4.5]])
    check_within(found.transform(new), solution.transport(new), 1e-12)
    check_within(found.inverse_transform(new), solution.transport(new, inverse=True), 1e-12)
    check_within(EntropicMap(solution.T).transform(new), solution.transport(new, inverse=True), 1e-12)


@dataclass(frozen=True)
class Shifted(costs.Cost):
    """``|x - y + shift|**2``: not symmetric, and without a kernel."""

    shift: float = 0.5
    symmetric = False

    def swapped(self):
        return Shifted(-self.shift)

    def pairwise(self, x, y, xp=np):
        return xp.sum((x[:, None, :] - y[None, :, :] + self.shift) ** 2, axis=-1)

    def gradient(self, x, y, c, xp=np):
        return 2 * (x[:, None, :] - y[None, :, :] + self.shift)

    def twist(self, x, slope, xp=np):
        return x + self.shift - slope / 2


def test_a_cost_of_ones_own_that_is_not_symmetric(three):
    x, y, a, b, new = three
    solution = ots.solve_sample(x, y, a, b, cost=Shifted(), reg=0.4, backend="reference", tol=1e-11)
    plain = ots.solve_sample(x + 0.5, y, a, b, reg=0.4, tol=1e-11)
    check_within(EntropicMap(solution).transform(new), EntropicMap(plain).transform(new + 0.5), 1e-9)
    inverse = EntropicMap(plain).inverse_transform(new) - 0.5
    check_within(EntropicMap(solution).inverse_transform(new), inverse, 1e-9)
    check_same_bits(
        pickle.loads(pickle.dumps(EntropicMap(solution))).transform(new), EntropicMap(solution).transform(new)
    )
    with pytest.raises(ValueError, match=r"Shifted.* is a class of its own.*use pickle"):
        EntropicMap(solution).save("anywhere.npz")


# --- numbers out of the ordinary ------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", ["sqeuclidean", CUBE], ids=str)
def test_shifted_coordinates(cost, three):
    x, y, a, b, new = three
    plain = EntropicMap(cost=cost, reg=0.4).fit(x, y, a, b)
    shift = 2.0**20
    moved = EntropicMap(cost=cost, reg=0.4).fit(x + shift, y + shift, a, b)
    check_within(moved.transform(new + shift) - shift, plain.transform(new), 1e-8)


@pytest.mark.parametrize("scale", [1e-60, 1e60])
@pytest.mark.parametrize(("cost", "power"), [("sqeuclidean", 2), (CUBE, 3)], ids=str)
def test_units_do_not_matter(cost, power, scale, three):
    x, y, a, b, new = three
    plain = EntropicMap(cost=cost, reg=0.4, tol=1e-11).fit(x, y, a, b)
    scaled = EntropicMap(cost=cost, reg=0.4 * scale**power, tol=1e-11).fit(scale * x, scale * y, a, b)
    check_within(scaled.transform(scale * new) / scale, plain.transform(new), 1e-9)


@pytest.mark.parametrize("distance", [1e3, 1e8, 1e12])
def test_far_from_the_sample(distance, three):
    """Where one target is nearer than all others by far more than reg, that is the image."""
    x, y, a, b, _ = three
    directions = unit(np.random.default_rng(5).normal(size=(20, 3)))
    far = distance * directions
    live = np.flatnonzero(b > 0)
    reach = directions @ y[live].T
    nearest = y[live[reach.argmax(1)]]
    clear = np.partition(reach, -2, axis=1)[:, -1] - np.partition(reach, -2, axis=1)[:, -2] > 0.05
    assert clear.sum() >= 10
    found = EntropicMap(reg=1e-3, max_iter=200, on_failure="ignore").fit(x, y, a, b)
    check_within(found.transform(far)[clear], nearest[clear], 1e-9)
    assert np.isfinite(found.potential(far)).all()
    cube = EntropicMap(cost=CUBE, reg=1e-3, max_iter=200, on_failure="ignore").fit(x, y, a, b)
    assert np.abs(cube.transform(far) - nearest)[clear].max() <= 1e-14 * distance + 1e-3


def test_beyond_all_digits(three):
    """Where costs to all targets are one number in float64: a mean of targets, whatever its weights."""
    x, y, a, b, new = three
    far = 1e30 * new
    found = EntropicMap(reg=1e-3, max_iter=200, on_failure="ignore").fit(x, y, a, b).transform(far)
    assert (found >= y[b > 0].min(0)).all() and (found <= y[b > 0].max(0)).all()
    for cost in (CUBE, "dot"):
        moved = EntropicMap(cost=cost, reg=1e-3, max_iter=200, on_failure="ignore").fit(x, y, a, b).transform(far)
        assert np.isfinite(moved).all()


def test_laws_without_a_digit_are_summed_again(three, monkeypatch):
    """Exponents so large that no row has mass near 1: what the fallback gives, in blocks."""
    x, y, a, b, new = three
    found = EntropicMap(cost=CUBE, reg=0.4).fit(x, y, a, b)
    means = EntropicMap(cost=CUBE, reg=0.4, projection="barycentric").fit(x, y, a, b)
    expected, mean = found.transform(new), means.transform(new)
    once = conditional.ConditionalLaws._normalised
    monkeypatch.setattr(
        conditional.ConditionalLaws,
        "_normalised",
        lambda self, totals, mass, cloud, again: once(self, totals * np.nan, mass * 0, cloud, again),
    )
    monkeypatch.setattr(conditional, "BLOCK", 300)
    check_within(found.transform(new), expected, 1e-12)
    check_within(means.transform(new), mean, 1e-12)


@pytest.mark.parametrize("cost", ["sqeuclidean", CUBE], ids=str)
def test_float32(cost, three):
    x, y, a, b, new = three
    x, y, new = (z.astype(np.float32) for z in (x, y, new))
    found = EntropicMap(cost=cost, reg=0.4, tol=1e-6).fit(x, y, a, b)
    moved = found.transform(new)
    assert moved.dtype == np.float32
    wide = EntropicMap(cost=cost, reg=0.4).fit(x.astype(float), y.astype(float), a, b)
    check_within(moved, wide.transform(new.astype(float)), 1e-5)
    assert found.transform(new.astype(np.float64)).dtype == np.float64
    assert found.potential(new.astype(np.float16)).dtype == np.float32


def test_arrays_as_they_come(three):
    x, y, a, b, new = three
    found = EntropicMap(cost=CUBE, reg=0.4).fit(x, y, a, b)
    expected = found.transform(new)
    frozen = new.copy()
    frozen.flags.writeable = False
    check_same_bits(found.transform(frozen), expected)
    check_same_bits(found.transform(np.asfortranarray(new)), expected)
    check_same_bits(found.transform(np.repeat(new, 2, axis=0)[::2]), expected)
    check_same_bits(found.transform(new[::-1])[::-1], expected)
    check_same_bits(found.transform(new.tolist()), expected)
    parts = [x.copy(), y.copy(), a.copy(), b.copy()]
    for part in parts:
        part.flags.writeable = False
    check_same_bits(EntropicMap(cost=CUBE, reg=0.4).fit(*parts).transform(new), expected)
    strided = (np.asfortranarray(x), np.repeat(y, 2, axis=0)[::2], a, b)
    check_within(EntropicMap(cost=CUBE, reg=0.4).fit(*strided).transform(new), expected, 1e-12)
    assert found.transform([[1, 2, 3]]).dtype == np.float64


def test_the_map_keeps_its_own_samples(three):
    x, y, a, b, new = three
    found = EntropicMap(reg=0.4).fit(x, y, a, b)
    expected = found.transform(new)
    y += 1.0
    b *= 0.5
    check_same_bits(found.transform(new), expected)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_libraries(library, three):
    module = pytest.importorskip(library)
    make = (lambda z: module.asarray(z, dtype=module.float32)) if library == "torch" else module.numpy.asarray
    x, y, a, b, new = (make(z.astype(np.float32)) for z in three)
    found = EntropicMap(reg=0.4).fit(x, y, a, b)
    check_library(found.transform(new), new, dtype="float32")
    check_library(found.potential(new), new, dtype="float32")
    check_library(found.solution_.plan, new, dtype="float32")
    # What points come in decides.
    assert isinstance(found.transform(host(new)), np.ndarray)
    check_within(found.transform(new), found.transform(host(new)), 1e-6)
    assert math.isfinite(found.score(x, y, a, b))


def test_large_samples_take_no_matrix(rng):
    """40 000 x 40 000 pairs would be 12.8 GB."""
    tracemalloc = pytest.importorskip("tracemalloc")
    x, y = rng.normal(size=(300, 3)), rng.normal(size=(300, 3))
    found = EntropicMap(cost=CUBE, reg=1.0).fit(x, y)
    laws_of_many = copy.copy(found._laws["a"])
    object.__setattr__(laws_of_many, "points", rng.normal(size=(40_000, 3)))
    object.__setattr__(laws_of_many, "weights", np.full(40_000, 1 / 40_000))
    object.__setattr__(laws_of_many, "potential", np.zeros(40_000))
    found._laws["a"] = laws_of_many
    new = rng.normal(size=(400, 3))
    tracemalloc.start()
    found.transform(new)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # 400 x 40 000 numbers are 128 MB


# --- scikit-learn's manners, copies -----------------------------------------------------------------------------


def test_parameters(three):
    x, y, a, b, new = three
    one = EntropicMap(cost=CUBE, reg=0.4, projection="twist", tol=1e-5, max_iter=999, on_failure="ignore")
    assert one.get_params() == {
        "solution": None,
        "cost": CUBE,
        "reg": 0.4,
        "reg_relative_to": None,
        "projection": "twist",
        "tol": 1e-5,
        "max_iter": 999,
        "on_failure": "ignore",
    }
    assert "reg=0.4" in repr(one) and "solution" not in repr(one)
    with pytest.raises(ots.NotFittedError, match="call fit"):
        one.transform(new)
    assert not hasattr(one, "cost_")
    check_same_bits(one.fit_transform(x, y, a, b), one.fit(x, y, a, b).transform(x))
    assert (one.cost_, one.reg_, one.n_features_in_) == (CUBE, 0.4, 3)
    relative = EntropicMap(reg=0.1, reg_relative_to="mean").fit(x, y, a, b)
    assert relative.reg_ == pytest.approx(0.1 * oracles.squared_distances(x, y).mean())
    assert relative.solution_.reg == relative.reg_
    made = EntropicMap(relative.solution_)
    assert "<solution of 40 x 30 points" in repr(made)
    assert made.set_params(projection="barycentric").projection == "barycentric"
    assert made.set_params(solution=None, reg=0.3, cost=CUBE).fit(x, y).cost_ == CUBE


def test_scores(three):
    x, y, a, b, _ = three
    sharp, blurred = (EntropicMap(reg=reg).fit(x, y, a, b).score(x, y, a, b) for reg in (0.05, 10.0))
    assert blurred < sharp <= 0.0
    of_solution = EntropicMap(ots.solve_sample(x, y, a, b, cost="euclidean", reg=0.1), projection="barycentric")
    assert of_solution._score_cost() == costs.Euclidean()
    assert EntropicMap(cost="dot", reg=0.1).fit(x, y)._score_cost() == "sqeuclidean"


def test_clone(three):
    clone = pytest.importorskip("sklearn.base").clone
    x, y, a, b, new = three
    fitted = EntropicMap(cost=CUBE, reg=0.4).fit(x, y, a, b)
    again = clone(fitted)
    assert not hasattr(again, "n_features_in_")
    assert again.get_params() == fitted.get_params()
    made = EntropicMap(fitted.solution_, projection="barycentric")
    check_same_bits(clone(made).transform(new), made.transform(new))


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda z: pickle.loads(pickle.dumps(z))])
def test_copies(again, three):
    x, y, a, b, new = three
    for found in (EntropicMap(cost=CUBE, reg=0.4).fit(x, y, a, b), EntropicMap(ots.solve_sample(x, y, reg=0.4))):
        check_same_bits(again(found).transform(new), found.transform(new))
        check_same_bits(again(found).inverse_transform(new), found.inverse_transform(new))


# --- files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masses", MASSES)
@pytest.mark.parametrize("cost", [CUBE, costs.SqEuclidean(WEIGHTS), costs.Dot()], ids=str)
def test_files(cost, masses, three, tmp_path):
    x, y, a, b, new = three
    solution = ots.solve_sample(x, y, a, b, cost=cost, reg=0.4, **MASSES[masses], on_failure="ignore")
    found, path = EntropicMap(solution), tmp_path / "map.npz"
    found.save(path)
    for read in (EntropicMap.load(path), ots.maps.load(str(path))):
        assert isinstance(read, EntropicMap)
        assert (read.cost_, read.reg_, read.n_features_in_, read.solution_) == (cost, 0.4, 3, None)
        check_same_bits(read.transform(new), found.transform(new))
        check_same_bits(read.inverse_transform(new), found.inverse_transform(new))
        for side in ("a", "b"):
            check_same_bits(read.potential(new, side), found.potential(new, side))
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.npz"]


@pytest.mark.parametrize("cost", [costs.by_name(name) for name in costs.names()] + [costs.PNorm(1.5, WEIGHTS)])
def test_every_cost_is_read_back(cost):
    text = json.dumps(files.described(cost))
    assert files.cost_from(json.loads(text), "somewhere") == cost


def test_options_are_read_back(three, tmp_path):
    x, y, _, _, new = three
    found = EntropicMap(cost="euclidean", reg=0.1, reg_relative_to="mean", projection="barycentric").fit(x, y)
    found.save(tmp_path / "map")  # the name as it is
    read = EntropicMap.load(tmp_path / "map")
    assert read.projection == "barycentric"
    assert read.reg == found.reg_
    check_same_bits(read.transform(new), found.transform(new))
    read.save(tmp_path / "again")
    check_same_bits(EntropicMap.load(tmp_path / "again").transform(new), found.transform(new))
    check_same_bits(pickle.loads(pickle.dumps(read)).transform(new), found.transform(new))


def changed(path, **changes):
    """The file with some entries replaced, or left out where None; a dict changes the description."""
    with np.load(path) as archive:
        content = {name: archive[name] for name in archive.files}
    for name, value in changes.items():
        if isinstance(value, dict):
            value = np.array(json.dumps({**json.loads(str(content[name])), **value}))
        content[name] = value
    stream = io.BytesIO()
    np.savez(stream, **{name: value for name, value in content.items() if value is not None})
    path.write_bytes(stream.getvalue())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": None}, "x must be 2-d float64, finite; there is nothing"),
        ({"y": np.ones(3)}, r"y must be 2-d float64, finite; there is float64 of shape \(3,\)"),
        ({"potential_a": np.full(40, np.nan)}, "potential_a must be 1-d float64, finite"),
        ({"b": np.ones(7)}, "its arrays do not belong to each other"),
        ({"y": np.array([[object()]])}, "is no map that ot_solvers has saved"),
        ({"description": None}, "is no map that ot_solvers has saved"),
        ({"description": np.array("{")}, "is no map that ot_solvers has saved"),
        ({"description": {"format": "something"}}, "is no map that ot_solvers has saved"),
        ({"description": {"layout": 99}}, "in a layout that version .* does not know: update"),
        ({"description": {"kind": "LinearMap"}}, "holds a map of kind LinearMap, not EntropicMap"),
        ({"description": {"options": {}}}, "its cost is None"),
    ],
)
def test_damaged_files(changes, message, three, tmp_path):
    path = tmp_path / "map.npz"
    EntropicMap(reg=0.4).fit(*three[:4]).save(path)
    changed(path, **changes)
    with pytest.raises(ValueError, match=message):
        EntropicMap.load(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reg": None}, "is damaged"),
        ({"cost": {"class": "Cost", "fields": {}}}, "its cost is"),
        ({"cost": {"class": "math", "fields": {}}}, "its cost is"),
        ({"cost": {"class": "EuclideanPower", "fields": {"p": 0.5}}}, "its cost is"),
        ({"penalty_a": ["Capacities", 1.0]}, "is damaged"),
    ],
)
def test_damaged_options(options, message, three, tmp_path):
    path = tmp_path / "map.npz"
    EntropicMap(reg=0.4).fit(*three[:4]).save(path)
    about = json.loads(str(np.load(path)["description"]))
    changed(path, description={"options": {**about["options"], **options}})
    with pytest.raises(ValueError, match=message):
        ots.maps.load(path)


def test_what_is_no_map(three, tmp_path):
    path = tmp_path / "map.npz"
    with pytest.raises(FileNotFoundError):
        ots.maps.load(path)
    path.write_text("words")
    with pytest.raises(ValueError, match=r"map\.npz' is no map that ot_solvers has saved"):
        ots.maps.load(path)
    with open(path, "wb") as stream:
        np.save(stream, np.ones(3))
    with pytest.raises(ValueError, match="is no map"):
        ots.maps.load(path)
    EntropicMap(reg=0.4).fit(*three[:4]).save(path)
    changed(path, description={"kind": "Elsewhere"})
    with pytest.raises(ValueError, match="a map of unknown kind 'Elsewhere'"):
        ots.maps.load(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="is no map"):
        ots.maps.load(path)


def test_an_interrupted_save_leaves_the_old_file(three, tmp_path, monkeypatch):
    path = tmp_path / "map.npz"
    found = EntropicMap(reg=0.4).fit(*three[:4])
    found.save(path)
    before = path.read_bytes()

    def interrupted(stream, **content):
        stream.write(b"some")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        found.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.npz"]


# --- bad input ------------------------------------------------------------------------------------------------


def test_solutions_that_make_no_map(three):
    x, y, a, b, _ = three
    C = oracles.squared_distances(x, y)
    for solution, message in (
        (ots.solve(C, reg=0.3), "solution comes from a cost matrix and knows neither points.*solve_sample"),
        (ots.solve_sample(x, y), r"solution is of exact transport \(reg=0\).*solve_sample\(x, y, reg=0.05"),
        (ots.sliced_plan(x, y, seed=0), "solution is of exact transport"),
        (ots.solve_sample(x, y, reg=ots.Quadratic(1.0)), "solution is of quadratic transport"),
    ):
        with pytest.raises(ValueError, match=message):
            EntropicMap(solution)
    with pytest.raises(TypeError, match="solution=ndarray must be a Solution of solve_sample"):
        EntropicMap(x)
    with pytest.raises(TypeError, match=r"solution=DivergenceResult must be a Solution .*take its \.xy"):
        EntropicMap(ots.sinkhorn_divergence(x, y, reg=0.5))


def test_options_next_to_a_solution(three):
    x, y, _, _, new = three
    solution = ots.solve_sample(x, y, cost=CUBE, reg=0.4)
    for name, value in (("reg", 0.4), ("reg_relative_to", "mean"), ("tol", 1e-3), ("max_iter", 5)):
        with pytest.raises(ValueError, match=f"{name}={value!r} is an option of fit"):
            EntropicMap(solution, **{name: value})
    with pytest.raises(ValueError, match="cost='euclidean' is not that of the solution, EuclideanPower"):
        EntropicMap(solution, cost="euclidean")
    check_same_bits(EntropicMap(solution, cost=CUBE).transform(new), EntropicMap(solution).transform(new))
    with pytest.raises(ValueError, match="fit needs reg"):
        EntropicMap(solution).fit(x, y)
    with pytest.raises(ValueError, match=r"reg=0\.1 is an option of fit"):
        EntropicMap(solution).set_params(reg=0.1)


@pytest.mark.parametrize("cost", PLAIN + ROUND + ["hamming", costs.EuclideanPower(p=1.0)], ids=str)
@pytest.mark.parametrize("projection", ["auto", "twist"])
def test_costs_without_a_twist(cost, projection, three):
    x, y = (np.sign(z) if cost == "hamming" else unit(z) for z in three[:2])
    message = rf"projection='{projection}' needs a cost whose slope .* has none: take projection='barycentric'"
    with pytest.raises(ValueError, match=message):
        EntropicMap(cost=cost, reg=0.4, projection=projection).fit(x, y)
    with pytest.raises(ValueError, match=message):
        EntropicMap(ots.solve_sample(x, y, cost=cost, reg=0.4), projection=projection)
    found = EntropicMap(cost=cost, reg=0.4, projection="barycentric").fit(x, y)
    found.set_params(projection=projection)
    with pytest.raises(ValueError, match=message):
        found.transform(x)


def test_bad_input(three):
    x, y, a, b, new = three
    with pytest.raises(ValueError, match="fit needs reg, the strength of the regularisation"):
        EntropicMap().fit(x, y)
    with pytest.raises(ValueError, match="reg=0 asks for exact transport"):
        EntropicMap(reg=0).fit(x, y)
    with pytest.raises(ValueError, match=r"reg=-1\.0 must be positive"):
        EntropicMap(reg=-1.0).fit(x, y)
    with pytest.raises(ValueError, match="only; give a number"):
        EntropicMap(reg=ots.Quadratic(1.0)).fit(x, y)
    with pytest.raises(ValueError, match=r"cost='euclidian' is unknown.*did you mean 'euclidean'"):
        EntropicMap(reg=0.4, cost="euclidian").fit(x, y)
    with pytest.raises(ValueError, match="projection='mean' is unknown; expected one of"):
        EntropicMap(reg=0.4, projection="mean").fit(x, y)
    with pytest.raises(ValueError, match="x has 3 coordinates and y 2"):
        EntropicMap(reg=0.4).fit(x, y[:, :2])
    with pytest.raises(ValueError, match=r"a\[2\] is -1; weights must not be negative"):
        EntropicMap(reg=0.4).fit(x, y, [1.0, 1.0, -1.0])
    with pytest.raises(ValueError, match="a has total mass 0; expected a positive"):
        EntropicMap(reg=0.4).fit(x, y, np.zeros(40))
    with pytest.raises(ValueError, match=r"b has shape \(40,\); expected \(30,\)"):
        EntropicMap(reg=0.4).fit(x, y, a, a)
    with pytest.raises(ValueError, match=r"b\[1\] is nan"):
        EntropicMap(reg=0.4).fit(x, y, a, [1.0, np.nan])
    found = EntropicMap(reg=0.4).fit(x, y, a, b)
    for move, argument in ((found.transform, "x"), (found.inverse_transform, "y"), (found.potential, "x")):
        with pytest.raises(ValueError, match=f"{argument} has 2 coordinates; the map was fitted to 3"):
            move(new[:, :2])
        with pytest.raises(ValueError, match=rf"{argument} has shape \(3,\); expected \(n, d\)"):
            move(new[0])
        with pytest.raises(ValueError, match=rf"{argument}\[0, 1\] is nan"):
            move([[0.0, np.nan, 0.0]])
        with pytest.raises(TypeError, match=f"{argument} has dtype complex"):
            move(new.astype(complex))
    with pytest.raises(ValueError, match="side='x' is unknown; expected one of"):
        found.potential(new, side="x")
    with pytest.raises(ots.NotFittedError, match="not fitted yet"):
        EntropicMap(reg=0.4).save("nowhere.npz")
    round_map = EntropicMap(cost="sphere", reg=0.4, projection="barycentric").fit(unit(x), unit(y))
    with pytest.raises(ValueError, match=r"cost='sphere' needs unit vectors, but x\[\d+\] has norm 3"):
        round_map.transform(3 * unit(new))


def test_failure_is_said(three):
    x, y = three[:2]
    with pytest.warns(ots.ConvergenceWarning):
        EntropicMap(reg=1e-3, max_iter=2).fit(x, y)
    with pytest.raises(ots.ConvergenceError):
        EntropicMap(reg=1e-3, max_iter=2, on_failure="raise").fit(x, y)
    assert not EntropicMap(reg=1e-3, max_iter=2, on_failure="ignore").fit(x, y).solution_.converged


def test_gradient_helper_agrees(three):
    """The potential of the squared distance has the slope ``2 (x - T(x))``."""
    x, y, a, b, new = three
    found = EntropicMap(reg=0.4).fit(x, y, a, b)
    check_gradient(lambda z: float(found.potential(z).sum()), 2 * (new - found.transform(new)), new)
