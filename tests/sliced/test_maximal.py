"""`max_sliced_wasserstein`: never above the maximum, and rarely below."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import ot_solvers as ots


def test_a_translation_is_known(rng):
    x = rng.normal(size=(200, 6))
    move = rng.normal(size=6)
    found = ots.max_sliced_wasserstein(x, x + move, seed=0)
    assert float(found) == pytest.approx(np.linalg.norm(move), rel=1e-10)
    assert abs(found.direction @ move) == pytest.approx(np.linalg.norm(move), rel=1e-10)
    assert found.converged


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("sizes", [(60, 50), (150, 150)])
def test_no_angle_is_better_in_the_plane(sizes, p, rng):
    x, y = rng.normal(size=(sizes[0], 2)), rng.normal(size=(sizes[1], 2)) * [2, 0.5]
    angles = np.linspace(0, np.pi, 20_000, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    best = ots.sliced_wasserstein(x, y, p=p, directions=directions).per_direction.max() ** (1 / p)
    found = float(ots.max_sliced_wasserstein(x, y, p=p, seed=0))
    assert best * (1 - 1e-9) <= found <= best * (1 + 1e-6)


def test_better_than_many_random_directions(rng):
    x, y = rng.normal(size=(300, 10)), rng.normal(size=(300, 10))
    random = ots.sliced_wasserstein(x, y, n_projections=20_000, sampling="random", seed=0)
    found = ots.max_sliced_wasserstein(x, y, seed=0)
    assert float(found) > random.per_direction.max() ** 0.5
    direction = found.direction[None]
    assert float(ots.sliced_wasserstein(x, y, directions=direction)) == pytest.approx(float(found), rel=1e-10)


def test_weights_one_point_and_one_dimension(rng):
    x, y, a = rng.normal(size=(20, 3)), rng.normal(size=(1, 3)), rng.random(20)
    found = ots.max_sliced_wasserstein(x, y, a / a.sum(), seed=0)
    second = (x - y).T @ np.diag(a / a.sum()) @ (x - y)
    assert float(found) == pytest.approx(np.sqrt(np.linalg.eigvalsh(second)[-1]), rel=1e-6)
    assert float(ots.max_sliced_wasserstein(x[:, :1], y[:, :1], a / a.sum())) == pytest.approx(
        float(ots.wasserstein(x[:, :1], y[:, :1], a / a.sum())), rel=1e-12
    )
    assert float(ots.max_sliced_wasserstein(x, x)) == 0


def test_steps_callback_and_failure(rng):
    x, y = rng.normal(size=(50, 5)), rng.normal(size=(50, 5))
    seen = []
    found = ots.max_sliced_wasserstein(
        x, y, seed=0, callback=lambda progress: seen.append(progress) or len(seen) > 2
    )
    assert len(seen) == 3
    assert found.status is ots.Status.STOPPED_BY_CALLBACK
    assert [progress.value for progress in seen] == sorted(progress.value for progress in seen)
    with pytest.warns(ots.ConvergenceWarning, match="max_iter=1 steps were not enough"):
        short = ots.max_sliced_wasserstein(x, y, seed=0, max_iter=1)
    assert not short.converged
    with pytest.raises(ots.ConvergenceError, match="max_iter=1"):
        ots.max_sliced_wasserstein(x, y, seed=0, max_iter=1, on_failure="raise")
    full = ots.max_sliced_wasserstein(x, y, seed=0)
    assert float(full) >= float(short)
    assert float(pickle.loads(pickle.dumps(full))) == float(full)
    assert float(ots.max_sliced_wasserstein(x, y, seed=0)) == float(full)
    assert "CONVERGED" in repr(full)


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"p": 0}, ValueError, "p=0 must be"),
        ({"tol": 0}, ValueError, "tol=0 must be positive"),
        ({"n_starts": 0}, ValueError, "n_starts=0"),
        ({"max_iter": 0}, ValueError, "max_iter=0"),
        ({"callback": "no"}, TypeError, "callback='no' is not callable"),
    ],
)
def test_bad_input_is_named(keywords, error, message, rng):
    x = rng.normal(size=(5, 2))
    with pytest.raises(error, match=message):
        ots.max_sliced_wasserstein(x, x, **keywords)
