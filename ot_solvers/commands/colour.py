"""Conversions between sRGB and CIELAB, white point D65."""

from __future__ import annotations

import numpy as np

# IEC 61966-2-1: primaries of sRGB to XYZ. Its row sums are the white point D65, taken from here rather than
# from a table so that greys have a = b = 0 to rounding.
RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
XYZ_TO_RGB = np.linalg.inv(RGB_TO_XYZ)
WHITE = RGB_TO_XYZ.sum(axis=1)
# CIE 15:2004: where the cube root is continued by its tangent.
EDGE = 6 / 29


def srgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB in [0, 1] to CIELAB.

    Parameters
    ----------
    rgb : (..., 3) array, in [0, 1]

    Returns
    -------
    (..., 3) array, float64
        Lightness in [0, 100], a (green to red) and b (blue to yellow), about -110 to 100.
    """
    rgb = np.asarray(rgb, dtype=float)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((np.maximum(rgb, 0.0) + 0.055) / 1.055) ** 2.4)
    ratio = linear @ RGB_TO_XYZ.T / WHITE
    root = np.where(ratio > EDGE**3, np.cbrt(ratio), ratio / (3 * EDGE**2) + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """Convert CIELAB to sRGB.

    Parameters
    ----------
    lab : (..., 3) array

    Returns
    -------
    (..., 3) array, float64
        In [0, 1] for colours that a screen can show, clipped to it for others.
    """
    lab = np.asarray(lab, dtype=float)
    y = (lab[..., 0] + 16) / 116
    root = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    ratio = np.where(root > EDGE, root**3, 3 * EDGE**2 * (root - 4 / 29))
    # Clipped before the power: it is not defined below zero.
    linear = np.clip((ratio * WHITE) @ XYZ_TO_RGB.T, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def levels(rgb: np.ndarray) -> np.ndarray:
    """Round sRGB in [0, 1] to 8 bits; values outside are clipped."""
    return np.rint(np.clip(rgb, 0.0, 1.0) * 255).astype(np.uint8)
