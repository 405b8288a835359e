"""The guided filter on colour changes."""

import numpy as np
import pytest

from ot_solvers.commands import smoothing


def smoothed_change(change, guide, grain, radius):
    """The filter on pictures whose pixels are all of different colours."""
    index = np.arange(guide[..., 0].size).reshape(guide.shape[:2])
    result = np.empty_like(change)
    colours = np.zeros((index.size, change.shape[-1]))
    flat = change.reshape(index.size, -1), guide.reshape(index.size, 3)
    for rows, values in smoothing.smoothed(colours, *flat, index, grain, radius):
        result[rows] = values
    return result


@pytest.fixture(params=[3, 12], ids=["every pixel", "every third pixel"])
def radius(request):
    return request.param


@pytest.fixture
def guide():
    return np.cumsum(np.random.default_rng(0).normal(size=(40, 31, 3)), axis=0) * 5


def test_a_constant_change_stays(guide, radius):
    change = np.array([1.0, -2.0, 3.0]) * np.ones((40, 31, 1))
    np.testing.assert_allclose(smoothed_change(change, guide, 2.0, radius), change, atol=1e-9)


def test_an_affine_change_stays_where_the_picture_varies_more_than_grain(guide, radius):
    change = guide @ np.random.default_rng(1).normal(size=(3, 3)) + 1.0
    np.testing.assert_allclose(smoothed_change(change, guide, 1e-6, radius), change, atol=1e-5)


def test_noise_on_a_flat_picture_is_smoothed_away(radius):
    noise = np.random.default_rng(1).normal(size=(60, 60, 3))
    change = 5 * noise  # a map that stretches contrast six-fold
    smooth = smoothed_change(change, 50 + 0.2 * noise, 2.0, radius)
    assert smooth.std() < 0.2 * change.std()


def test_an_edge_stays_sharp(radius):
    guide = np.zeros((40, 40, 3))
    guide[:, 20:] = (60.0, 10.0, -10.0)
    change = np.where(guide[..., :1] > 0, 30.0, -10.0)
    smooth = smoothed_change(change, guide, 2.0, radius)
    assert np.abs(smooth - change).max() < 2  # of a jump by 40


@pytest.mark.parametrize("pixels", [1, 300])
def test_bands_give_the_values_of_the_whole(monkeypatch, guide, radius, pixels):
    change = np.random.default_rng(2).normal(size=(40, 31, 2))
    whole = smoothed_change(change, guide, 1.0, radius)
    monkeypatch.setattr(smoothing, "PIXELS_AT_A_TIME", pixels)
    np.testing.assert_allclose(smoothed_change(change, guide, 1.0, radius), whole, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (2, 200), (200, 1)])
def test_slivers(shape):
    change = np.ones((*shape, 3))
    np.testing.assert_allclose(smoothed_change(change, np.zeros((*shape, 3)), 1.0, 9), change, atol=1e-12)
