"""The guided filter on colour changes."""

import numpy as np
import pytest

from ot_solvers.commands import smoothing


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    guide = np.cumsum(rng.normal(size=(40, 30, 3)), axis=0) * 5
    return guide, rng


def test_a_constant_change_stays(picture):
    guide, _ = picture
    change = np.broadcast_to([1.0, -2.0, 3.0], guide.shape)
    np.testing.assert_allclose(smoothing.guided(change, guide, 2.0, 3), change, atol=1e-9)


def test_an_affine_change_stays_where_the_picture_varies_more_than_grain(picture):
    guide, rng = picture
    change = guide @ rng.normal(size=(3, 3)) + 1.0
    np.testing.assert_allclose(smoothing.guided(change, guide, 1e-6, 3), change, atol=1e-6)


def test_noise_on_a_flat_picture_is_smoothed_away():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(60, 60, 3))
    change = 5 * noise  # a map that stretches contrast six-fold
    smooth = smoothing.guided(change, 50 + 0.2 * noise, 2.0, 4)
    assert smooth.std() < 0.15 * change.std()


def test_an_edge_stays_sharp():
    guide = np.zeros((40, 40, 3))
    guide[:, 20:] = (60.0, 10.0, -10.0)
    change = np.where(guide[..., :1] > 0, 30.0, -10.0)
    smooth = smoothing.guided(change, guide, 2.0, 4)
    np.testing.assert_allclose(smooth, change, atol=0.5)


@pytest.mark.parametrize("pixels", [1, 300, 10**6])
def test_bands_give_the_values_of_the_whole(monkeypatch, pixels):
    monkeypatch.setattr(smoothing, "PIXELS_AT_A_TIME", pixels)
    rng = np.random.default_rng(2)
    colours, change = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    index = rng.integers(0, 50, (37, 29))
    result = np.empty((37, 29, 3))
    for rows, values in smoothing.guided_in_bands(colours, change, 9 * colours, index, 1.0, 3):
        result[rows] = values
    whole = colours[index] + smoothing.guided(change[index], 9 * colours[index], 1.0, 3)
    np.testing.assert_allclose(result, whole, atol=1e-9)
