"""Smoothing a change of colours without smoothing the picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

PIXELS_AT_A_TIME = 1 << 19
# The coefficients of the filter vary slowly: they are taken from so many samples per radius and interpolated
# in between, as in [he:15]_. What that leaves is the same work for every size of picture.
SAMPLES_PER_RADIUS = 4


def smoothed(
    colours: np.ndarray, change: np.ndarray, guide: np.ndarray, index: np.ndarray, grain: float, radius: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Change the colours of a picture, evenly where the picture is even, sharply at its edges.

    A map that stretches contrast stretches grain and compression blocks too. In each window the change is
    replaced by an affine function of the picture's colour, whose slope vanishes where the colour varies by
    less than `grain`.

    Parameters
    ----------
    colours, change : (u, k) arrays
        Each distinct colour and how the map changes it.
    guide : (u, 3) array
        The colours as the eye compares them.
    index : (h, w) array
        Distinct colour of each pixel.
    grain : float > 0
        Standard deviation of what counts as noise, in units of the guide.
    radius : int >= 1
        Half the side of the window, in pixels.

    Yields
    ------
    rows : slice
    values : (rows, w, k) array
        The colours plus their smoothed change.

    References
    ----------
    The filter with a colour guide of [he:13]_, on the colour change as in [rabin:11]_.
    """
    height, width = index.shape
    stride = max(1, radius // SAMPLES_PER_RADIUS)
    samples = index[::stride, ::stride]
    fit = affine_fit(change[samples], guide[samples], grain, max(1, round(radius / stride)))
    step = max(1, PIXELS_AT_A_TIME // width)
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        pixels = index[rows]
        values = colours[pixels]
        local = [np.moveaxis(guide, -1, 0)[axis][pixels] for axis in range(3)]
        for k, (*slopes, offset) in enumerate(fit):
            values[..., k] += _between(offset, rows, width, stride)
            for slope, channel in zip(slopes, local):
                values[..., k] += _between(slope, rows, width, stride) * channel
        yield rows, values


def affine_fit(change: np.ndarray, guide: np.ndarray, grain: float, radius: int) -> np.ndarray:
    """Local ridge regression of the change on the guide, averaged over the windows that hold a pixel.

    Parameters
    ----------
    change : (h, w, k) array
    guide : (h, w, 3) array
    grain : float > 0
    radius : int >= 1

    Returns
    -------
    (k, 4, h, w) array
        Three slopes and the offset.
    """
    from scipy.ndimage import uniform_filter

    def mean(channels: np.ndarray) -> np.ndarray:
        return np.stack([uniform_filter(each, size=2 * radius + 1, mode="reflect") for each in channels])

    u, v = np.moveaxis(guide, -1, 0), np.moveaxis(change, -1, 0)  # (3, h, w), (k, h, w)
    u_mean, v_mean = mean(u), mean(v)
    covariance = np.stack([mean(u * u[i]) - u_mean * u_mean[i] for i in range(3)])  # (3, 3, h, w)
    cross = np.stack([mean(u * v[k]) - u_mean * v_mean[k] for k in range(len(v))])  # (k, 3, h, w)
    ridge = np.moveaxis(covariance, (0, 1), (-2, -1)) + grain**2 * np.eye(3)
    slope = np.linalg.solve(ridge, np.transpose(cross, (2, 3, 1, 0)))  # (h, w, 3, k)
    slope = np.transpose(slope, (3, 2, 0, 1))
    offset = v_mean - np.einsum("kihw,ihw->khw", slope, u_mean)
    return np.stack([mean(np.stack([*slopes, each])) for slopes, each in zip(slope, offset)])


def _between(samples: np.ndarray, rows: slice, width: int, stride: int) -> np.ndarray:
    """Interpolate samples, taken every `stride` pixels both ways, at all pixels of some rows."""
    if stride == 1:
        return samples[rows]
    i, down = _neighbours(np.arange(rows.start, rows.stop) / stride, samples.shape[0])
    j, right = _neighbours(np.arange(width) / stride, samples.shape[1])
    tall = samples[i] + down[:, None] * (samples[i + 1] - samples[i])
    return tall[:, j] + right * (tall[:, j + 1] - tall[:, j])


def _neighbours(position: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the sample before each position, and how far past it, continued linearly beyond the last."""
    before = np.minimum(position.astype(int), size - 2)
    return before, position - before
