"""Families of problems: what they promise, and that a seed gives the same numbers to everyone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from benchmarks.problems import ProblemSpec

GRID = ProblemSpec(kind="densities", n=144, m=144)
IMAGES = ProblemSpec(kind="images", n=144, m=144)
DIGITS = ProblemSpec(kind="digit-points", n=20, m=30)


@pytest.fixture
def digits():
    return pytest.importorskip("sklearn.datasets", reason="digits come with scikit-learn").load_digits()


@pytest.mark.parametrize(
    ("cost", "metric"), [("W2", "sqeuclidean"), ("W1", "euclidean"), ("L1", "cityblock")], ids=str
)
@pytest.mark.parametrize("spec", [GRID, ProblemSpec(kind="heavy-tailed", n=20, m=30)], ids=lambda s: s.kind)
def test_costs_by_name(spec, cost, metric):
    problem = replace(spec, cost=cost).build()
    np.testing.assert_allclose(problem.C, cdist(problem.x, problem.y, metric), rtol=1e-12, atol=1e-14)
    assert problem.max_cost == problem.C.max()
    assert problem.eps == spec.eps * problem.max_cost


def test_densities_are_positive_and_fill_the_unit_square():
    problem = GRID.build()
    assert problem.shape == (144, 144)
    for weights in (problem.a, problem.b):
        assert (weights > 0).all()
        assert weights.sum() == pytest.approx(1, rel=1e-12)
        assert np.log(weights).std() == pytest.approx(1)
    assert not np.allclose(problem.a, problem.b)
    np.testing.assert_array_equal(problem.x, problem.y)
    assert problem.x.min() == 0
    assert problem.x.max() == 1
    np.testing.assert_allclose(problem.x[1] - problem.x[0], [0, 1 / 11])  # C order


def test_documents_are_ragged_measures():
    problem = ProblemSpec("documents", n=50, d=7, stored=False).build()
    pairs = list(problem.pairs())
    assert len(pairs) == 50
    for x, a, y, b in pairs:
        for points, weights in ((x, a), (y, b)):
            assert 5 <= len(points) <= 60
            assert points.shape == (len(weights), 7)
            assert weights.sum() == pytest.approx(1)
            assert len(np.unique(points, axis=0)) == len(points)
    assert len({len(x) for x, *_ in pairs}) > 10


def test_the_largest_cost_of_many_points_is_that_of_extreme_ones(monkeypatch):
    for d in (1, 2, 3):
        spec = ProblemSpec(n=300, m=200, d=d, stored=False)
        expected = spec.build().max_cost
        monkeypatch.setattr("benchmarks.problems.MANY_PAIRS", 100)
        assert spec.build().max_cost == expected
        monkeypatch.undo()


def test_densities_are_smooth():
    density = np.log(replace(GRID, n=1024, m=1024).build().a).reshape(32, 32)
    assert np.abs(np.diff(density, axis=0)).mean() < 0.5 * density.std()


def test_images_on_their_support(digits):
    problem = IMAGES.build()
    assert all(0 < size < 144 for size in problem.shape)
    assert (problem.a > 0).all()
    assert (problem.b > 0).all()
    assert problem.x.shape == (len(problem.a), 2)
    assert problem.b.sum() == pytest.approx(1, rel=1e-12)


def test_a_floor_fills_the_grid(digits):
    bare, floored = IMAGES.build(), replace(IMAGES, floor=0.25).build()
    assert floored.shape == (144, 144)
    assert floored.a.min() == pytest.approx(0.25 / 144)
    assert floored.a.max() == pytest.approx(0.75 * bare.a.max() + 0.25 / 144)


def test_images_are_those_of_the_digits(digits):
    """At its own size an image is not interpolated."""
    problem = replace(IMAGES, n=64, m=64).build()
    of_this_size = [image for image in digits.images if (image > 0).sum() == problem.shape[0]]
    assert any(np.allclose(problem.a, image[image > 0] / image.sum()) for image in of_this_size)


def test_digit_points_are_low_against_high_digits(digits):
    problem = DIGITS.build()
    assert problem.x.shape == (20, 64)
    for points, wanted in ((problem.x, digits.target < 5), (problem.y, digits.target >= 5)):
        known = {tuple(row) for row in digits.data[wanted] / 16}
        assert {tuple(row) for row in points} <= known
    with pytest.raises(ValueError, match="there are 901 such digits, not 2000"):
        replace(DIGITS, n=2000).build()


def test_heavy_tails():
    typical = {
        kind: np.median(problem.C) / problem.max_cost
        for kind in ("gaussian", "heavy-tailed")
        for problem in [ProblemSpec(kind=kind, n=500, m=500).build()]
    }
    assert typical["heavy-tailed"] < 0.2 * typical["gaussian"]


def test_clusters_are_tight_and_of_unequal_weight():
    problem = ProblemSpec(kind="clustered", n=80, m=50).build()
    members = np.arange(80) % 8
    weights = np.bincount(members, problem.a)
    np.testing.assert_allclose(np.sort(weights), np.arange(1, 9) / 36)
    within = max(problem.x[members == k].std(axis=0).max() for k in range(8))
    assert within < 0.1 * problem.x.std(axis=0).max()


@pytest.mark.parametrize("kind", ["random-cost", "clustered", "densities"])
def test_other_seeds_give_other_problems(kind):
    spec = ProblemSpec(kind=kind, n=16, m=16, weights="random")
    assert not np.array_equal(spec.build().a, replace(spec, seed=1).build().a)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ProblemSpec(cost="W3"), r"cost must be one of \['L1', 'W1', 'W2'\], not 'W3'"),
        (ProblemSpec(cost="W1", stored=False), "only 'W2' comes without a stored matrix"),
        (replace(GRID, n=10), "must be one square number, not 10 and 144"),
        (replace(GRID, n=10, m=10), "must be one square number, not 10 and 10"),
    ],
)
def test_impossible_recipes_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        spec.build()
