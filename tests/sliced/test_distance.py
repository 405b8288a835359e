"""`sliced_wasserstein`: closed forms, peers, directions, standard errors, bad input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ot_solvers as ots
from ot_solvers.sliced.directions import draw
from ot_solvers.sliced.estimation import estimate, harmonics


def unit(count, d, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, d))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def weighted(n, m, d, rng, dtype=np.float64):
    x, y = rng.normal(size=(n, d)).astype(dtype), (1.5 * rng.normal(size=(m, d)) + 1).astype(dtype)
    a, b = rng.gamma(1.0, size=n), rng.gamma(1.0, size=m)
    a[0] = b[-1] = 0
    return x, y, a / a.sum(), b / b.sum()


def test_a_translation_is_known():
    x = np.random.default_rng(0).normal(size=(300, 3))
    move = np.array([3.0, -4.0, 12.0])
    found = ots.sliced_wasserstein(x, x + move, n_projections=30, seed=0)
    assert float(found) == pytest.approx(13 / np.sqrt(3), rel=1e-12)  # whole bases: the mean square is exact
    np.testing.assert_allclose(found.per_direction, (found.directions @ move) ** 2, rtol=1e-10)
    assert found.standard_error < 1e-12
    first = ots.sliced_wasserstein(x, x + move, p=1, n_projections=4000, sampling="qmc", seed=0)
    assert float(first) == pytest.approx(13 / 2, rel=1e-3)  # E|theta_1| = 1/2 in space


def test_one_dimension_is_the_distance_itself(rng):
    x, y, a, b = weighted(50, 40, 1, rng)
    found = ots.sliced_wasserstein(x, y, a, b, p=3, seed=0)
    assert float(found) == pytest.approx(float(ots.wasserstein(x, y, a, b, p=3)), rel=1e-12)
    assert found.n_projections == 1
    assert found.standard_error == 0


@pytest.mark.peer
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("sizes", [(200, 200), (200, 150)])
def test_pot_has_the_same_value(sizes, p, rng):
    ot = pytest.importorskip("ot")
    x, y, a, b = weighted(*sizes, 4, rng)
    directions = unit(60, 4)
    for weights in ((None, None), (a, b)):
        found = float(ots.sliced_wasserstein(x, y, *weights, p=p, directions=directions))
        theirs = ot.sliced_wasserstein_distance(x, y, *weights, p=p, projections=directions.T)
        assert found == pytest.approx(float(theirs), rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1e3])
@pytest.mark.parametrize("weights", [True, False])
def test_float32_is_the_float64_value_of_the_same_points(weights, shift, rng):
    x, y, a, b = weighted(4000, 4000 - 500 * weights, 3, rng)
    x, y = (x + shift).astype(np.float32), (y + shift).astype(np.float32)
    pair = (a, b) if weights else (None, None)
    directions = unit(50, 3)
    single = ots.sliced_wasserstein(x, y, *pair, directions=directions)
    double = ots.sliced_wasserstein(x.astype(float), y.astype(float), *pair, directions=directions)
    assert float(single) == pytest.approx(float(double), rel=1e-6)
    assert single.per_direction.dtype == np.float32


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.sampled_from([1, 1.5, 2, 4]), st.integers(0, 99)
)
def test_properties(n, m, d, p, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-3, 4, size=(n, d)).astype(float), rng.normal(size=(m, d))
    directions = unit(5, d, seed)

    def distance(x, y, **keywords):
        return float(ots.sliced_wasserstein(x, y, p=p, directions=directions, **keywords))

    value = distance(x, y)
    scale = 1 + value
    assert distance(y, x) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert distance(x, x) <= 1e-12
    assert distance(3 * x, 3 * y) == pytest.approx(3 * value, rel=1e-9, abs=1e-9)
    assert distance(x + 5.0, y + 5.0) == pytest.approx(value, rel=1e-9, abs=1e-7 * scale)
    assert distance(x[::-1], y) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert distance(np.repeat(x, 2, axis=0), y) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert distance(x, y, backend="reference") == pytest.approx(value, rel=1e-9, abs=1e-9)
    # A projection is never longer than what is projected.
    assert value <= float(ots.wasserstein(x, y, p=p, rtol=0)) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("sampling", ["orthogonal", "random", "qmc"])
@pytest.mark.parametrize("d", [2, 3, 7])
def test_directions_are_drawn_by_seed_and_have_length_one(sampling, d):
    x = np.random.default_rng(0).normal(size=(20, d))
    first, again, other = (
        ots.sliced_wasserstein(x, 2 * x, n_projections=25, sampling=sampling, seed=seed) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.directions, again.directions)
    np.testing.assert_array_equal(first.per_direction, again.per_direction)
    assert float(first) == float(again)
    assert not np.array_equal(first.directions, other.directions)
    assert first.directions.shape == (25, d)
    np.testing.assert_allclose(np.linalg.norm(first.directions, axis=1), 1, rtol=1e-12)


def test_orthogonal_directions_are_bases():
    vectors = draw(11, 4, "orthogonal", np.random.default_rng(0)).vectors
    for start in (0, 4):
        np.testing.assert_allclose(
            vectors[start : start + 4] @ vectors[start : start + 4].T, np.eye(4), atol=1e-12
        )
    np.testing.assert_allclose(vectors[8:] @ vectors[8:].T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("sampling", ["orthogonal", "random", "qmc"])
@pytest.mark.parametrize("d", [2, 3, 6])
def test_every_direction_is_uniform_on_the_sphere(sampling, d):
    rng = np.random.default_rng(0)
    vectors = np.concatenate([draw(8, d, sampling, rng).vectors for _ in range(2500)])
    # Half a sphere is enough, so even moments are what counts: 4 standard errors of 2500 independent sets.
    np.testing.assert_allclose((vectors**2).mean(axis=0), 1 / d, atol=4 / np.sqrt(2500 * d))
    np.testing.assert_allclose((vectors**4).mean(axis=0), 3 / (d * (d + 2)), atol=4 / np.sqrt(2500) / d)
    np.testing.assert_allclose((vectors[:, 0] * vectors[:, 1]).mean(), 0, atol=4 / np.sqrt(2500) / d)


def _errors(sampling, d, count, seeds=60, **keywords):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, d)), rng.normal(size=(200, d)) * np.linspace(0.3, 2, d) + 0.5
    truth = float(ots.sliced_wasserstein(x, y, n_projections=40_000, sampling="orthogonal", seed=1)) ** 2
    found = [
        ots.sliced_wasserstein(x, y, n_projections=count, sampling=sampling, seed=seed, **keywords)
        for seed in range(seeds)
    ]
    errors = np.array([float(one) ** 2 - truth for one in found])
    claimed = np.array([2 * float(one) * one.standard_error for one in found])
    return np.sqrt(np.mean(errors**2)), np.sqrt(np.mean(claimed**2))


def test_structured_directions_need_fewer():
    random, _ = _errors("random", 3, 96)
    assert (random / _errors("orthogonal", 3, 96)[0]) ** 2 >= 4
    assert (random / _errors("qmc", 3, 96)[0]) ** 2 >= 4
    random, _ = _errors("random", 20, 100)
    assert (random / _errors("orthogonal", 20, 100)[0]) ** 2 >= 1.5


@pytest.mark.parametrize("control_variate", ["moments", "harmonics"])
def test_control_variates_reduce_the_error(control_variate):
    plain, _ = _errors("random", 3, 96)
    assert _errors("random", 3, 96, control_variate=control_variate)[0] < plain / 3


@pytest.mark.parametrize(
    "sampling, keywords",
    [("random", {}), ("orthogonal", {}), ("qmc", {}), ("random", {"control_variate": "harmonics"})],
)
def test_standard_errors_are_honest(sampling, keywords):
    actual, claimed = _errors(sampling, 3, 96, **keywords)
    assert 0.6 * actual < claimed < 1.7 * actual


def test_more_directions_until_the_standard_error_is_reached(rng):
    x, y, a, b = weighted(100, 80, 3, rng)
    seen = []
    found = ots.sliced_wasserstein(
        x, y, a, b, n_projections=10, sampling="random", standard_error=0.02, seed=0, callback=seen.append
    )
    assert found.converged
    assert found.standard_error <= 0.02
    assert found.n_projections > 10
    assert len(found.per_direction) == len(found.directions) == found.n_projections == seen[-1].n_projections
    with pytest.warns(ots.ConvergenceWarning, match="raise max_projections"):
        short = ots.sliced_wasserstein(x, y, standard_error=1e-9, max_projections=40, seed=0)
    assert not short.converged
    assert short.n_projections == 40
    with pytest.raises(ots.ConvergenceError, match="after 40 directions") as caught:
        ots.sliced_wasserstein(x, y, standard_error=1e-9, max_projections=40, seed=0, on_failure="raise")
    assert caught.value.solution.n_projections == 40
    quiet = ots.sliced_wasserstein(x, y, standard_error=1e-9, max_projections=40, seed=0, on_failure="ignore")
    assert float(quiet) == float(short)


def test_the_callback_stops_with_what_is_there(rng, monkeypatch):
    from ot_solvers.sliced import distance

    monkeypatch.setattr(distance, "PORTION", 200)
    x = rng.normal(size=(20, 3))
    seen = []

    def stop(progress):
        seen.append(progress)
        return progress.n_projections >= 10

    found = ots.sliced_wasserstein(x, 2 * x, n_projections=100, seed=0, callback=stop)
    assert [progress.n_projections for progress in seen] == [5, 10]
    assert found.n_projections == 10
    assert not found.converged
    whole = ots.sliced_wasserstein(x, 2 * x, n_projections=100, seed=0)
    np.testing.assert_array_equal(found.per_direction, whole.per_direction[:10])


def test_monomials_have_the_means_that_are_known(rng):
    vectors = unit(400_000, 3)
    features = harmonics(vectors[:400])
    assert features.shape[0] == 400
    means = harmonics(vectors).mean(axis=0)
    assert np.abs(means).max() < 5e-3
    # What the features span is estimated without error.
    values = 2 + 3 * features[:, 0] - features[:, -1]
    from ot_solvers.sliced.directions import Directions

    found = estimate(values, Directions(vectors[:400], np.arange(400)), features)
    assert found.value == pytest.approx(2, abs=1e-9)
    assert found.error < 1e-9
    assert found.weights.sum() == pytest.approx(1)


def test_masses_count(rng):
    x, y, a, b = weighted(30, 20, 2, rng)
    one = ots.sliced_wasserstein(x, y, a, b, seed=0)
    four = ots.sliced_wasserstein(x, y, 4 * a, 4 * b, seed=0)
    np.testing.assert_allclose(four.per_direction, 4 * one.per_direction, rtol=1e-12)
    assert float(four) == pytest.approx(2 * float(one))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_coordinates(dtype):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=(40, 2))
    value = float(ots.sliced_wasserstein(x, y, seed=0))
    for factor in (1e-30, 1e15):
        found = ots.sliced_wasserstein((factor * x).astype(dtype), (factor * y).astype(dtype), seed=0)
        assert float(found) == pytest.approx(factor * value, rel=1e-5)
    # One point, equal points, signed zeros, denormals.
    assert float(ots.sliced_wasserstein(np.zeros((1, 2), dtype), np.zeros((5, 2), dtype), seed=0)) == 0
    zeros = np.where(rng.random((40, 2)) < 0.5, -0.0, 0.0).astype(dtype)
    assert float(ots.sliced_wasserstein(zeros, np.zeros((40, 2), dtype), seed=0)) == 0
    tiny = np.full((3, 2), np.finfo(dtype).smallest_subnormal, dtype)
    assert float(ots.sliced_wasserstein(tiny, tiny, p=1, seed=0)) == 0


def test_overflow_is_an_error(rng):
    x = 1e200 * rng.normal(size=(10, 2))
    with pytest.raises(ValueError, match="overflow: divide the points"):
        ots.sliced_wasserstein(x, -x)


def test_arrays_of_any_layout_are_left_alone(rng):
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(20, 4))
    expected = float(ots.sliced_wasserstein(x, y, seed=0))
    wide, across = np.zeros((60, 8)), np.asfortranarray(y)
    wide[::2, ::2] = x
    for array in (wide, across):
        array.flags.writeable = False
    assert float(ots.sliced_wasserstein(wide[::2, ::2], across, seed=0)) == expected
    assert float(ots.sliced_wasserstein(x.tolist(), y.tolist(), seed=0)) == expected


def test_results_in_the_callers_library(rng):
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(30, 3)).astype(np.float32)
    found = ots.sliced_wasserstein(torch.from_numpy(x), torch.from_numpy(2 * x), seed=0)
    assert found.value.dtype == found.per_direction.dtype == found.directions.dtype == torch.float32
    assert isinstance(found.standard_error, float)


def test_pickle_and_repr(rng):
    found = ots.sliced_wasserstein(rng.normal(size=(30, 3)), rng.normal(size=(30, 3)), seed=0)
    again = pickle.loads(pickle.dumps(found))
    assert float(again) == float(found)
    assert again.standard_error == found.standard_error
    assert len(pickle.dumps(found)) < 20_000
    assert "n_projections=100" in repr(found)


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"directions": np.eye(3)}, ValueError, r"directions has shape \(3, 3\); expected \(L, 2\)"),
        ({"directions": np.ones((3, 2))}, ValueError, r"directions\[0\] has length 1.41421"),
        ({"directions": np.zeros((1, 2))}, ValueError, r"directions\[0\] has length 0"),
        ({"directions": np.empty((0, 2))}, ValueError, "directions is empty"),
        ({"directions": np.array([[np.nan, 0]])}, ValueError, r"directions\[0, 0\] is nan"),
        ({"directions": np.eye(2), "n_projections": 3}, ValueError, "n_projections=3, but directions has 2 rows"),
        ({"directions": np.eye(2), "standard_error": 0.1}, ValueError, "standard_error=0.1 needs more directions"),
        ({"p": 0.5}, ValueError, "p=0.5 must be at least 1"),
        ({"p": np.inf}, ValueError, "p=inf must be"),
        ({"n_projections": 0}, ValueError, "n_projections=0 must be at least 1"),
        ({"n_projections": 2.5}, TypeError, "n_projections=2.5 is not an integer"),
        ({"sampling": "qcm"}, ValueError, "sampling='qcm' is unknown.*did you mean 'qmc'"),
        ({"control_variate": "moment"}, ValueError, "control_variate='moment' is unknown.*did you mean 'moments'"),
        ({"control_variate": "harmonics", "n_projections": 5}, ValueError, "needs at least 9 directions"),
        ({"seed": "one"}, TypeError, "seed='one' must be None, an integer"),
        ({"seed": -1}, ValueError, "seed=-1 must not be negative"),
        ({"standard_error": -1.0}, ValueError, "standard_error=-1.0 must be positive"),
        ({"callback": 3}, TypeError, "callback=3 is not callable"),
        ({"backend": "numbra"}, ValueError, "numbra"),
        ({"a": np.ones(3)}, ValueError, "a"),
        ({"a": np.full(10, -1.0)}, ValueError, r"a\[0\] is -1"),
        ({"a": np.ones(10)}, ValueError, "10"),
        ({"on_failure": "shout"}, ValueError, "on_failure='shout'"),
    ],
)
def test_bad_input_is_named(keywords, error, message, rng):
    x = rng.normal(size=(10, 2))
    with pytest.raises(error, match=message):
        ots.sliced_wasserstein(x, x + 1, **keywords)


def test_bad_points_are_named(rng):
    x = rng.normal(size=(10, 2))
    with pytest.raises(ValueError, match="x has 2 coordinates and y 3"):
        ots.sliced_wasserstein(x, rng.normal(size=(10, 3)))
    with pytest.raises(ValueError, match=r"x has shape \(10,\)"):
        ots.sliced_wasserstein(x[:, 0], x)
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"y\[3, 1\] is nan"):
        ots.sliced_wasserstein(np.zeros((4, 2)), x)
