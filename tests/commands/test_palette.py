"""Distinct colours and grid palettes."""

import numpy as np
import pytest

from ot_solvers.commands.palette import distinct_colours, grid_palette, interpolated


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)


def test_distinct_colours_rebuild_the_picture(picture):
    distinct = distinct_colours(picture)
    np.testing.assert_array_equal(distinct.paint(distinct.rgb), picture)
    assert distinct.counts.sum() == 31 * 17
    assert len(np.unique(distinct.rgb, axis=0)) == len(distinct.rgb)


def test_masked_pixels_are_painted_but_not_counted(picture):
    picture[:5] = (1, 2, 3)
    mask = np.ones(picture.shape[:2], dtype=bool)
    mask[:5] = False
    distinct = distinct_colours(picture, mask)
    np.testing.assert_array_equal(distinct.paint(distinct.rgb), picture)
    assert distinct.counts.sum() == mask.sum()
    assert distinct.counts[(distinct.rgb == (1, 2, 3)).all(axis=1)] == 0


@pytest.mark.parametrize("size", [2, 50, 500])
def test_size_and_mean_of_a_palette(size):
    rng = np.random.default_rng(1)
    colours, counts = rng.normal(size=(20000, 3)), rng.integers(1, 9, 20000)
    palette = grid_palette(colours, counts, size)
    assert 0.5 * size <= len(palette) <= size
    assert palette.weights.sum() == pytest.approx(1, rel=1e-12)
    assert (palette.weights > 0).all()
    mean = counts @ colours / counts.sum()
    np.testing.assert_allclose(palette.weights @ palette.colours, mean, atol=1e-12)


def test_few_colours_are_kept_as_they_are():
    colours, counts = np.eye(3), np.array([1, 0, 3])
    palette = grid_palette(colours, counts, 10)
    np.testing.assert_array_equal(palette.colours, colours[[0, 2]])
    np.testing.assert_array_equal(palette.weights, [0.25, 0.75])


def test_a_flat_direction_is_no_obstacle():
    colours = np.zeros((1000, 3))
    colours[:, 0] = np.arange(1000)
    palette = grid_palette(colours, np.ones(1000), 100)
    assert 95 <= len(palette) <= 100


def test_interpolation_is_exact_for_products_of_channels(picture):
    rgb = np.concatenate([picture.reshape(-1, 3), [[0, 0, 0], [255, 255, 255]]])

    def function(rgb):
        r, g, b = rgb.T
        return np.stack([1 + r, r * g * b, b - g], axis=1)

    np.testing.assert_allclose(interpolated(rgb, function, 17), function(rgb / 255), atol=1e-12)


def test_interpolation_asks_only_for_what_it_needs():
    asked = []

    def function(rgb):
        asked.append(len(rgb))
        return rgb**2

    rgb = np.array([[10, 10, 10], [11, 10, 10]], dtype=np.uint8)
    np.testing.assert_allclose(interpolated(rgb, function, 65), (rgb / 255) ** 2, atol=1e-4)
    assert asked == [8]


def test_same_colours_same_palette():
    rng = np.random.default_rng(2)
    colours, counts = rng.normal(size=(5000, 3)), rng.integers(1, 9, 5000)
    one, other = grid_palette(colours, counts, 300), grid_palette(colours, counts, 300)
    np.testing.assert_array_equal(one.colours, other.colours)
    np.testing.assert_array_equal(one.weights, other.weights)
