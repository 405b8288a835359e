"""The families of problems: from a random generator to points, or to measures with weights of their own.

Functions take the generator and the `problems.ProblemSpec`, and draw from the generator only.
"""

from __future__ import annotations

import math

import numpy as np

#: Degrees of freedom of Student-t clouds: a few pairs cost hundreds of times more than most.
STUDENT_DEGREES = 3
#: Clusters of a cloud, and their width next to distances of order 1 between them.
CLUSTERS, CLUSTER_WIDTH = 8, 0.02
#: Words of all documents, and of one.
VOCABULARY, FEWEST_WORDS, MOST_WORDS = 5000, 5, 60
#: Width of the smoothing of a random field, as a fraction of the grid's side.
FIELD_WIDTH = 1 / 16
#: Spline interpolation leaves ripples of rounding errors: what is below this fraction of the peak is no ink.
INK = 1e-6


def gaussian(rng, spec):
    """Two Gaussian clouds."""
    # Different centres and widths: identical laws would start half solved, at f = g = 0.
    return rng.normal(size=(spec.n, spec.d)), 0.5 + 0.8 * rng.normal(size=(spec.m, spec.d))


def uniform(rng, spec):
    """Two clouds in the unit cube."""
    return rng.random((spec.n, spec.d)), rng.random((spec.m, spec.d))


def heavy_tailed(rng, spec):
    """Two multivariate Student-t clouds: most costs are tiny next to the largest."""

    def cloud(size):
        scale = np.sqrt(rng.chisquare(STUDENT_DEGREES, size=(size, 1)) / STUDENT_DEGREES)
        return rng.normal(size=(size, spec.d)) / scale

    return cloud(spec.n), 0.5 + 0.8 * cloud(spec.m)


def digit_points(rng, spec):
    """Digit images as points in 64 dimensions: 0 to 4 on one side, 5 to 9 on the other."""
    digits = _digits()
    low = digits.target < 5
    return tuple(
        digits.data[_some(rng, np.flatnonzero(side), size)] / 16.0
        for side, size in ((low, spec.n), (~low, spec.m))
    )


def clustered(rng, spec):
    """Tight clusters with equally many points and unequal weights: mass has to be split between far clusters."""

    def measure(size):
        count = min(CLUSTERS, size)
        centres = rng.random((count, spec.d))
        members = np.arange(size) % count
        weights = rng.permutation(np.arange(1.0, count + 1))[members] / np.bincount(members)[members]
        return centres[members] + CLUSTER_WIDTH * rng.normal(size=(size, spec.d)), weights / weights.sum()

    return *measure(spec.n), *measure(spec.m)


def documents(rng, spec):
    """Pairs of documents as weighted points: words that occur unequally often, from one vocabulary."""
    vocabulary = rng.normal(size=(VOCABULARY, spec.d))

    def side():
        sizes = rng.integers(FEWEST_WORDS, MOST_WORDS + 1, size=spec.n)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        words = np.concatenate([rng.permutation(VOCABULARY)[:size] for size in sizes])
        counts = 1.0 + rng.geometric(0.5, size=starts[-1])
        return vocabulary[words], counts / np.repeat(np.add.reduceat(counts, starts[:-1]), sizes), starts

    return *side(), *side()


def densities(rng, spec):
    """Two positive densities on one grid: exponentials of smoothed Gaussian fields of unit variance."""
    from scipy.ndimage import gaussian_filter

    side = _side(spec)

    def weights():
        field = gaussian_filter(rng.normal(size=(side, side)), FIELD_WIDTH * side, mode="wrap")
        density = np.exp((field - field.mean()) / field.std()).ravel()
        return density / density.sum()

    grid = _grid(side)
    return grid, weights(), grid, weights()


def images(rng, spec):
    """Two digits, enlarged from 8 x 8 pixels by cubic splines; on their support where there is no floor."""
    from scipy.ndimage import zoom

    side = _side(spec)
    digits = _digits()
    grid = _grid(side)

    def measure(image):
        ink = zoom(image, side / len(image), order=3).ravel()
        ink[ink < INK * ink.max()] = 0.0
        weights = (1.0 - spec.floor) * ink / ink.sum() + spec.floor / ink.size
        return grid[weights > 0], weights[weights > 0]

    first, second = (measure(digits.images[i]) for i in _some(rng, np.arange(len(digits.images)), 2))
    return *first, *second


#: ``kind``: points on both sides; their weights are those of the recipe.
POINTS = {"gaussian": gaussian, "uniform": uniform, "heavy-tailed": heavy_tailed, "digit-points": digit_points}
#: ``kind``: points and weights of one side, then of the other.
MEASURES = {"clustered": clustered, "densities": densities, "images": images}


def _digits():
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ValueError("problems of digits need scikit-learn") from error
    return load_digits()


def _some(rng, indices, size):
    if size > len(indices):
        raise ValueError(f"there are {len(indices)} such digits, not {size}")
    return rng.choice(indices, size, replace=False)


def _side(spec) -> int:
    side = math.isqrt(spec.n)
    if not side * side == spec.n == spec.m:
        raise ValueError(f"n and m of {spec.kind!r} must be one square number, not {spec.n} and {spec.m}")
    return side


def _grid(side: int) -> np.ndarray:
    """Nodes of a grid on the unit square, in C order."""
    axis = np.linspace(0.0, 1.0, side)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
