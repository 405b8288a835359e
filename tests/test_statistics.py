"""Standard errors, intervals and two-sample tests: against formulas, derivatives and repeated draws."""

from __future__ import annotations

import math
import pickle
import re
import warnings

import numpy as np
import pytest
from checks import check_library, check_same_bits, host
from oracles import gaussian_value
from scipy.optimize import linprog
from scipy.spatial.distance import cdist
from scipy.stats import binom, energy_distance, norm

import ot_solvers as ots
from ot_solvers.api import run_problem
from ot_solvers.statistics import confidence_interval, many, standard_error, two_sample, two_sample_test


def gaussians(rng, n, m, d=2, shift=2.0):
    return rng.normal(size=(n, d)), 1.3 * rng.normal(size=(m, d)) + shift


# --- standard errors by formula -------------------------------------------------------------------------------


@pytest.mark.fast
@pytest.mark.parametrize("reg", [None, 0.3])
def test_against_one_known_point(reg):
    """Then the cost is a mean, and its error that of a mean."""
    x = np.random.default_rng(0).normal(size=(50, 2))
    costs = ((x - [2.0, 1.0]) ** 2).sum(1)
    solution = ots.solve_sample(x, [[2.0, 1.0]], reg=reg)
    expected = costs.std(ddof=1) / math.sqrt(50)
    error = standard_error(solution, sizes=(50, math.inf))
    assert error == pytest.approx(expected, rel=1e-6) == solution.standard_error(sizes=(50, math.inf))
    low, high = confidence_interval(solution, 0.9, sizes=(50, math.inf))
    assert (low, high) == pytest.approx(costs.mean() + norm.ppf(0.95) * expected * np.array([-1, 1]), rel=1e-6)
    assert solution.confidence_interval(0.9, sizes=(50, math.inf)) == (low, high)


def test_the_root_is_by_the_delta_method():
    x, y = gaussians(np.random.default_rng(1), 80, 60)
    for p in (1, 2, 3):
        distance = ots.wasserstein(x, y, p=p)
        power = standard_error(distance.solution)
        assert standard_error(distance) == pytest.approx(power / (p * float(distance) ** (p - 1)), rel=1e-9)
        ends = np.array(confidence_interval(distance.solution)) ** (1 / p)
        assert confidence_interval(distance) == pytest.approx(tuple(ends), rel=1e-9)
        assert distance.standard_error() == standard_error(distance)
        assert distance.confidence_interval() == confidence_interval(distance)


def influence_by_differences(value, n, h=1e-5):
    """Derivatives of a value by the first weights, along directions that keep the mass."""
    weights = np.full(n, 1 / n)
    out = []
    for i in range(n):
        step = h * (np.eye(n)[i] - weights)
        out.append((value(weights + step) - value(weights - step)) / (2 * h))
    return np.array(out)


@pytest.mark.parametrize("kind", ["entropic", "divergence"])
def test_against_derivatives_by_the_weights(kind):
    x, y = gaussians(np.random.default_rng(2), 12, 15, shift=1.0)

    def solved(a=None, b=None):
        if kind == "entropic":
            return ots.solve_sample(x, y, a, b, reg=0.5, tol=1e-12)
        return ots.sinkhorn_divergence(x, y, a, b, reg=0.5, tol=1e-12, on_failure="ignore")

    first = influence_by_differences(lambda a: float(solved(a)), 12)
    second = influence_by_differences(lambda b: float(solved(None, b)), 15)
    expected = math.sqrt(first.var(ddof=1) / 12 + second.var(ddof=1) / 15)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ots.DegenerateLimitWarning)
        assert standard_error(solved()) == pytest.approx(expected, rel=1e-5)
    assert solved().standard_error() == standard_error(solved())


def test_counts_are_as_good_as_repeated_points():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(6, 2)), rng.normal(size=(5, 2)) + 1
    counts, others = rng.integers(1, 30, size=6), rng.integers(1, 30, size=5)
    n, m = int(counts.sum()), int(others.sum())
    repeated = ots.solve_sample(np.repeat(x, counts, axis=0), np.repeat(y, others, axis=0), reg=0.5, tol=1e-12)
    weighted = ots.solve_sample(x, y, counts / n, others / m, reg=0.5, tol=1e-12)
    expected = repeated.confidence_interval()
    assert weighted.confidence_interval(sizes=(n, m)) == pytest.approx(expected, rel=1e-8)
    # Masses other than 1 are units.
    large = ots.solve_sample(x, y, 7 * counts / n, 7 * others / m)
    small = ots.solve_sample(x, y, counts / n, others / m)
    assert large.standard_error(sizes=(n, m)) == pytest.approx(7 * small.standard_error(sizes=(n, m)), rel=1e-9)


def test_points_without_weight_are_no_draws():
    x, y = gaussians(np.random.default_rng(4), 30, 25)
    a = np.append(np.full(30, 1 / 30), 0.0)
    with_one = ots.solve_sample(np.append(x, [[50.0, 50.0]], axis=0), y, a, reg=0.5)
    assert with_one.standard_error() == pytest.approx(ots.solve_sample(x, y, reg=0.5).standard_error(), rel=1e-5)


def test_grids_and_matrices_have_errors_too():
    rng = np.random.default_rng(5)
    a, b = rng.dirichlet(np.ones(9)).reshape(3, 3), rng.dirichlet(np.ones(9)).reshape(3, 3)
    grid = ots.solve_grid(a, b, reg=0.5)
    z = np.stack(np.meshgrid(*2 * [np.arange(3.0)], indexing="ij"), axis=-1).reshape(9, 2)
    matrix = ots.solve(np.asfortranarray(cdist(z, z, "sqeuclidean")), a.ravel(), b.ravel(), reg=0.5)
    assert grid.standard_error(sizes=(100, 90)) == pytest.approx(matrix.standard_error(sizes=(100, 90)), rel=1e-5)


def test_an_early_end_widens_the_interval():
    x, y = gaussians(np.random.default_rng(6), 700, 600, d=3, shift=0.5)
    exact = ots.wasserstein(x, y, rtol=0)
    with pytest.warns(ots.ConvergenceWarning):
        rough = ots.wasserstein(x, y, max_iter=3)
    low, high = rough.confidence_interval()
    assert low < rough.lower <= float(exact) <= rough.upper < high
    assert high - low > rough.upper - rough.lower + 3.9 * 0.5 * rough.standard_error()
    stopped = ots.solve_sample(x, y, reg=0.2, callback=lambda progress: progress.iteration > 2)
    low, high = stopped.confidence_interval()
    value = ots.solve_sample(x, y, reg=0.2).value
    assert low < float(stopped.dual_value) <= value <= float(stopped.dual_value + stopped.gap) < high


# --- coverage -------------------------------------------------------------------------------------------------


def on_a_line(rng):
    x, y = rng.normal(size=(300, 1)), 1.5 * rng.normal(size=(200, 1)) + 2.0
    return ots.wasserstein(x, y)


ATOMS = np.random.default_rng(20).normal(size=(2, 6, 2))
LAWS = np.random.default_rng(21).dirichlet(np.full(6, 3.0), size=2)


def on_atoms(rng):
    counts = [rng.multinomial(size, law) for size, law in zip((400, 300), LAWS)]
    return ots.solve(cdist(*ATOMS, "sqeuclidean"), counts[0] / 400, counts[1] / 300)


def entropic_gaussians(rng):
    return ots.solve_sample(rng.normal(size=(150, 1)), 1.5 * rng.normal(size=(150, 1)) + 2.0, reg=1.0)


def population_of_atoms():
    n, m = 6, 6
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    found = linprog(
        cdist(*ATOMS, "sqeuclidean").ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate(LAWS)
    )
    return found.fun


@pytest.mark.parametrize(
    ("draw", "population", "sizes"),
    [
        (on_a_line, lambda: math.sqrt(4 + 0.25), None),
        (on_atoms, population_of_atoms, (400, 300)),
        (
            entropic_gaussians,
            lambda: gaussian_value(np.zeros(1), np.eye(1), np.full(1, 2.0), 2.25 * np.eye(1), 1.0),
            None,
        ),
    ],
)
def test_coverage(draw, population, sizes):
    """150 draws at 90 %: within what a binomial count does once in ten thousand times."""
    rng, truth, draws = np.random.default_rng(30), population(), 150
    results = [draw(rng) for _ in range(draws)]
    intervals = [confidence_interval(result, 0.9, sizes=sizes) for result in results]
    covered = sum(low <= truth <= high for low, high in intervals)
    low, high = binom.ppf([5e-5, 1 - 5e-5], draws, 0.9)
    assert low <= covered <= high
    # And the error is that of repeated draws, to the accuracy of a standard deviation from so many.
    errors = [standard_error(result, sizes=sizes) for result in results]
    assert np.std([float(result) for result in results]) == pytest.approx(np.mean(errors), rel=0.25)


# --- where the limit is not normal ----------------------------------------------------------------------------


def test_equal_laws_are_warned_of():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(2, 100, 1))
    with pytest.warns(
        ots.DegenerateLimitWarning, match=r"divergence is within two standard errors.*two_sample_test"
    ):
        ots.sinkhorn_divergence(x, y, reg=1.0).confidence_interval()
    with pytest.warns(ots.DegenerateLimitWarning, match="the cost is within two standard errors of 0"):
        ots.solve_sample(x, x).confidence_interval()
    with pytest.warns(ots.DegenerateLimitWarning, match="first-order variance of the cost is 0"):
        assert ots.solve(np.ones((5, 5))).standard_error() < 1e-15
    with pytest.warns(ots.DegenerateLimitWarning, match="the distance is within two standard errors of 0"):
        assert math.isnan(ots.wasserstein(x, x).standard_error())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ots.sinkhorn_divergence(x, y + 1, reg=1.0).confidence_interval()
        ots.wasserstein(x, y + 1).confidence_interval()
        # An entropic cost fluctuates normally between equal laws, too.
        ots.solve_sample(x, y, reg=1.0).confidence_interval()
        # Nothing is random between known measures.
        assert ots.solve_sample(x, y, reg=1.0).standard_error(sizes=(math.inf, math.inf)) == 0


def test_warnings_point_at_the_caller():
    x = np.zeros((5, 1)) + np.arange(5.0)[:, None]
    with pytest.warns(ots.DegenerateLimitWarning) as caught:
        ots.solve_sample(x, x).standard_error()
    assert caught[0].filename == __file__


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_intervals_come_back_as_the_arrays_came(library):
    x, y = (z.astype(np.float32) for z in gaussians(np.random.default_rng(8), 40, 30))
    if library == "numpy":
        first, second = x, y
    else:
        namespace = pytest.importorskip("torch" if library == "torch" else "jax.numpy")
        first, second = namespace.asarray(x), namespace.asarray(y)
    for result in (
        ots.wasserstein(first, second),
        ots.solve_sample(first, second, reg=0.5),
        ots.sinkhorn_divergence(first, second, reg=0.5),
    ):
        for number in (standard_error(result), *confidence_interval(result)):
            if library == "numpy":
                assert isinstance(number, float)
            else:
                check_library(number, first)
        twin = pickle.loads(pickle.dumps(result))
        assert float(twin.standard_error()) == float(result.standard_error())


def test_what_has_no_standard_error():
    rng = np.random.default_rng(9)
    x, y = gaussians(rng, 10, 12)
    a = rng.dirichlet(np.ones(10))
    weighted = ots.solve_sample(x, y, a, reg=0.5)
    with pytest.raises(ValueError, match=r"weights a are not uniform.*sizes=\(n, m\).*importance weights"):
        standard_error(weighted)
    with pytest.raises(ValueError, match="weights b are not uniform"):
        confidence_interval(ots.wasserstein(y, x, None, a))
    with pytest.raises(ots.UnsupportedError, match="unbalanced"):
        standard_error(ots.solve_sample(x, y, reg=0.5, unbalanced=1.0))
    with pytest.raises(ots.UnsupportedError, match="unbalanced"):
        standard_error(ots.sinkhorn_divergence(x, y, reg=0.5, unbalanced=1.0))
    with pytest.raises(ValueError, match="the side of b has 1 point"):
        standard_error(ots.solve_sample(x, y[:1]))
    with pytest.raises(TypeError, match="result=float must be a WassersteinDistance"):
        standard_error(1.0)
    for sizes, error, message in (
        (10, TypeError, "sizes=10 must be two numbers"),
        ((10, 1), ValueError, "sizes[1]=1 must be at least 2"),
        ((math.nan, 5), ValueError, "sizes[0]=nan must be at least 2"),
        (("5", 5), TypeError, "sizes[0]='5' is not a number"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            standard_error(weighted, sizes=sizes)
    for level in (0, 1, -0.5, math.nan):
        with pytest.raises(ValueError, match=r"level=.* must be between 0 and 1"):
            confidence_interval(weighted, level, sizes=(10, 12))
    with pytest.raises(TypeError, match="level='95%' is not a number"):
        confidence_interval(weighted, "95%")


# --- two-sample tests -----------------------------------------------------------------------------------------


def divisions(seed, n, m, count):
    """The data and the divisions of a test with that seed."""
    rng = np.random.default_rng(seed)
    return [np.arange(n + m), *(rng.permutation(n + m) for _ in range(count))]


def energy(x, y):
    return 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()


DISTANCES = {
    "wasserstein": ({"p": 1.5}, lambda x, y: float(ots.wasserstein(x, y, p=1.5, rtol=0)), 1e-9),
    "sinkhorn": ({"reg": 0.4}, lambda x, y: float(ots.sinkhorn_divergence(x, y, reg=0.4, tol=1e-10)), 1e-5),
    "energy": ({}, energy, 1e-9),
}


@pytest.mark.parametrize("statistic", DISTANCES)
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("stored", [True, False])
def test_values_under_permutations(statistic, d, stored, monkeypatch):
    if not stored:
        monkeypatch.setattr(two_sample, "STORED", 0)
    keywords, distance, rtol = DISTANCES[statistic]
    x, y = gaussians(np.random.default_rng(40), 30, 24, d=d, shift=0.3)
    found = two_sample_test(x, y, statistic=statistic, n_permutations=8, seed=3, **keywords)
    pool = np.concatenate([x, y])
    expected = [distance(pool[order[:30]], pool[order[30:]]) for order in divisions(3, 30, 24, 8)]
    np.testing.assert_allclose([found.value, *found.null_values], expected, rtol=rtol, atol=1e-7)
    assert found.p_value == (1 + np.sum(np.array(expected[1:]) >= expected[0])) / 9
    assert found.sizes == (30, 24) and found.statistic == statistic
    assert found.debiased == pytest.approx(found.value - np.mean(found.null_values))


def test_large_samples_stay_lazy(monkeypatch):
    x, y = gaussians(np.random.default_rng(47), 40, 30)
    expected = two_sample_test(x, y, n_permutations=4, seed=1)
    monkeypatch.setattr(two_sample, "STORED", 0)
    monkeypatch.setattr(many, "ALL_PAIRS", 10)
    seen = []
    monkeypatch.setattr(many, "run_problem", lambda g, *rest: seen.append(g) or run_problem(g, *rest))
    found = two_sample_test(x, y, n_permutations=4, seed=1)
    np.testing.assert_allclose(found.null_values, expected.null_values, rtol=1e-10)
    assert [type(geometry) for geometry in seen] == 5 * [ots.geometry.PointCloud]


def test_energy_of_a_line_is_that_of_scipy():
    x, y = np.random.default_rng(41).normal(size=(2, 50, 1))
    found = two_sample_test(x, y, statistic="energy", n_permutations=0)
    assert math.sqrt(float(found)) == pytest.approx(energy_distance(x[:, 0], y[:, 0]), rel=1e-10)


@pytest.mark.parametrize("statistic", DISTANCES)
@pytest.mark.parametrize("kind", ["continuous", "ties"])
def test_level(statistic, kind):
    rng = np.random.default_rng(42)
    keywords = DISTANCES[statistic][0]
    draws = 300 if statistic != "sinkhorn" else 100
    found = []
    for _ in range(draws):
        x, y = rng.normal(size=(8, 2)), rng.normal(size=(6, 2))
        if kind == "ties":
            x, y = np.rint(x), np.rint(y)
        result = two_sample_test(x, y, statistic=statistic, n_permutations=19, seed=rng, **keywords)
        found.append(result.p_value)
    for k in (1, 2, 5, 10):
        count = int((np.array(found) <= k / 20 + 1e-9).sum())
        low, high = binom.ppf([1e-5, 1 - 1e-5], draws, k / 20)
        assert count <= high
        assert kind == "ties" or count >= low


@pytest.mark.parametrize("statistic", DISTANCES)
def test_power(statistic):
    """A shift of 1.5 standard deviations, 25 points each: found at 5 % in more than 90 % of the draws."""
    rng = np.random.default_rng(43)
    keywords = DISTANCES[statistic][0]
    found = 0
    for _ in range(40):
        x, y = rng.normal(size=(2, 25, 2))
        y[:, 0] += 1.5
        result = two_sample_test(x, y, statistic=statistic, n_permutations=39, seed=rng, **keywords)
        found += result.p_value <= 0.05
    assert found > 36


def test_equal_divisions_are_ties():
    """With three points a side, the division of the data comes back often, and must count."""
    x, y = np.array([[0.0], [0.1], [0.2]]), np.array([[5.0], [5.1], [5.3]])
    for statistic, (keywords, _, _) in DISTANCES.items():
        found = two_sample_test(x, y, statistic=statistic, n_permutations=399, seed=0, **keywords)
        assert found.p_value == pytest.approx(0.1, abs=0.05)


def test_a_stop_keeps_what_was_done():
    x, y = gaussians(np.random.default_rng(44), 30, 30)
    full = two_sample_test(x, y, n_permutations=99, seed=1)
    found = two_sample_test(x, y, n_permutations=99, seed=1, callback=lambda progress: progress.done >= 40)
    assert 40 <= found.n_permutations < 99
    check_same_bits(found.null_values, full.null_values[: found.n_permutations])
    assert found.p_value == 1 / (1 + found.n_permutations)


def test_relative_reg_is_of_the_pooled_sample():
    x, y = gaussians(np.random.default_rng(45), 20, 30)
    pool = np.concatenate([x, y])
    found = two_sample_test(x, y, statistic="sinkhorn", reg=0.1, reg_relative_to="mean", n_permutations=1)
    assert found.reg == pytest.approx(0.1 * cdist(pool, pool, "sqeuclidean").mean())
    with pytest.warns(ots.ConvergenceWarning, match="transport problems ended early"):
        two_sample_test(x, y, statistic="sinkhorn", reg=1e-5, tol=1e-16, n_permutations=1)


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_tests_come_back_as_the_arrays_came(library):
    x, y = (z.astype(np.float32) for z in gaussians(np.random.default_rng(46), 20, 25))
    if library == "numpy":
        first, second = x, y
    else:
        namespace = pytest.importorskip("torch" if library == "torch" else "jax.numpy")
        first, second = namespace.asarray(x), namespace.asarray(y)
    found = two_sample_test(first, second, n_permutations=5, seed=0)
    check_library(found.null_values, first)
    expected = two_sample_test(x.astype(float), y.astype(float), n_permutations=5, seed=0)
    np.testing.assert_allclose(host(found.null_values), expected.null_values, rtol=1e-5)
    text = repr(found)
    assert text.startswith("Two-sample permutation test by the Wasserstein distance of order 2\n")
    assert len(text.splitlines()) == 6
    assert repr(pickle.loads(pickle.dumps(found))) == text


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"statistic": "sinkorn"}, ValueError, "statistic='sinkorn' is unknown"),
        ({"statistic": "sinkhorn"}, ots.UnsupportedError, "reg=None asks for exact transport"),
        ({"reg": 0.1}, ValueError, "reg is for statistic='sinkhorn', not for 'wasserstein'"),
        ({"statistic": "energy", "tol": 0.1}, ValueError, "tol is for statistic='sinkhorn', not for 'energy'"),
        ({"cost": "euclidean"}, ValueError, "'wasserstein' has p"),
        ({"statistic": "energy", "cost": "euclid"}, ValueError, "cost='euclid' is unknown"),
        ({"p": 0}, ValueError, "p=0 must be at least 1"),
        ({"n_permutations": -2}, ValueError, "n_permutations=-2 must be at least 0"),
        ({"callback": 1}, TypeError, "callback=1 is not callable"),
        ({"y": [[0.0, 1.0]]}, ValueError, "x has 1 coordinates and y 2"),
        ({"x": [[0.0], [np.inf]]}, ValueError, "x[1, 0] is inf"),
        ({"x": [[0.0], [1e200]]}, ValueError, "overflow float64"),
    ],
)
def test_bad_input(keywords, error, message):
    with pytest.raises(error, match=re.escape(message)):
        two_sample_test(**{"x": [[0.0], [1.0]], "y": [[0.5], [2.0], [3.0]], **keywords})


def test_the_smallest_samples():
    found = two_sample_test([[0.0]], [[3.0]], n_permutations=3)
    assert float(found) == 3.0 and found.p_value == 1 and found.effect == 0
    assert two_sample_test([[0.0]], [[3.0], [4.0]], statistic="energy", n_permutations=0).p_value == 1
