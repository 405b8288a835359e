"""Smoothing a change of colours without smoothing the picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

PIXELS_AT_A_TIME = 1 << 19  # some 30 numbers are held for each


def guided(change: np.ndarray, guide: np.ndarray, grain: float, radius: int) -> np.ndarray:
    """Smooth a change of colours where the picture itself is smooth, and keep it at edges.

    A map that stretches contrast stretches grain and compression blocks too. In each window the change is
    replaced by an affine function of the picture's colour, whose slope vanishes where the colour varies by
    less than `grain`.

    Parameters
    ----------
    change : (h, w, k) array
    guide : (h, w, 3) array
        The picture's colours.
    grain : float > 0
        Standard deviation of what counts as noise, in units of the guide.
    radius : int >= 1
        Half the side of the window, in pixels.

    Returns
    -------
    (h, w, k) array

    References
    ----------
    The filter with a colour guide of [he:13]_, on the colour change as in [rabin:11]_.
    """
    from scipy.ndimage import uniform_filter

    def mean(values: np.ndarray) -> np.ndarray:
        """Window means of each channel, channels first."""
        return np.stack([uniform_filter(channel, size=2 * radius + 1, mode="reflect") for channel in values])

    u, v = np.moveaxis(guide, -1, 0), np.moveaxis(change, -1, 0)  # (3, h, w), (k, h, w)
    u_mean, v_mean = mean(u), mean(v)
    covariance = np.empty((*guide.shape[:2], 3, 3))
    for i in range(3):
        covariance[..., i] = np.moveaxis(mean(u * u[i]) - u_mean * u_mean[i], 0, -1)
    covariance += grain**2 * np.eye(3)
    cross = np.stack(
        [mean(u * channel) - u_mean * centre for channel, centre in zip(v, v_mean)]
    )  # (k, 3, h, w)
    slope = np.linalg.solve(covariance, np.transpose(cross, (2, 3, 1, 0)))  # (h, w, 3, k)
    slope = np.transpose(slope, (3, 2, 0, 1))
    offset = mean(v_mean - np.einsum("kihw,ihw->khw", slope, u_mean))
    smooth = [np.einsum("ihw,ihw->hw", mean(each), u) for each in slope]
    return np.moveaxis(np.stack(smooth) + offset, 0, -1)


def guided_in_bands(
    colours: np.ndarray, change: np.ndarray, guide: np.ndarray, index: np.ndarray, grain: float, radius: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Apply `guided` to a picture of any size in bands of rows, with the values of the whole.

    Parameters
    ----------
    colours, change : (u, k) arrays
        Each distinct colour and how the map changes it.
    guide : (u, 3) array
    index : (h, w) array
        Distinct colour of each pixel.
    grain, radius
        As in `guided`.

    Yields
    ------
    rows : slice
    values : (rows, w, k) array
        The colours plus their smoothed change.
    """
    height, width = index.shape
    step = max(1, PIXELS_AT_A_TIME // width)
    reach = 2 * radius  # means of means
    for top in range(0, height, step):
        bottom = min(top + step, height)
        first, last = max(top - reach, 0), min(bottom + reach, height)
        inside = slice(top - first, bottom - first)
        band = index[first:last]
        smooth = guided(change[band], guide[band], grain, radius)[inside]
        yield slice(top, bottom), colours[band[inside]] + smooth
