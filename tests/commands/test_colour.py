"""Colour conversions against known values, and their round trips."""

import numpy as np
import pytest

from ot_solvers.commands.colour import lab_to_srgb, levels, srgb_to_lab

# CIELAB of sRGB colours, D65, as tabulated by B. Lindbloom's calculator.
KNOWN = {
    (0, 0, 0): (0, 0, 0),
    (255, 255, 255): (100, 0, 0),
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.73, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
    (128, 128, 128): (53.59, 0, 0),
    (255, 255, 0): (97.14, -21.55, 94.48),
}


@pytest.mark.parametrize(("rgb", "lab"), KNOWN.items())
def test_known_values(rgb, lab):
    np.testing.assert_allclose(srgb_to_lab(np.array(rgb) / 255), lab, atol=0.02)


def test_greys_have_no_hue():
    grey = np.repeat(np.linspace(0, 1, 256)[:, None], 3, axis=1)
    lab = srgb_to_lab(grey)
    np.testing.assert_allclose(lab[:, 1:], 0, atol=1e-10)
    assert (np.diff(lab[:, 0]) > 0).all()


def test_round_trip_of_every_colour_on_a_grid():
    steps = np.arange(0, 256, 15)
    rgb = np.stack(np.meshgrid(steps, steps, steps), axis=-1).astype(np.uint8)
    back = lab_to_srgb(srgb_to_lab(rgb / 255))
    np.testing.assert_allclose(back, rgb / 255, atol=1e-7)
    np.testing.assert_array_equal(levels(back), rgb)


def test_colours_that_no_screen_shows_are_clipped():
    shown = lab_to_srgb(np.array([[50.0, 200.0, -200.0], [120.0, 0.0, 0.0], [-20.0, 0.0, 0.0]]))
    assert shown.min() >= 0
    assert shown.max() <= 1
    np.testing.assert_array_equal(levels(shown[1:]), [[255] * 3, [0] * 3])


def test_levels_round_and_clip():
    np.testing.assert_array_equal(levels(np.array([-1.0, 0.0, 0.5019, 1.0, 2.0])), [0, 0, 128, 255, 255])
