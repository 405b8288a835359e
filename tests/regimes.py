"""Small problems of the kinds that decide how a solver behaves, by name; made once per run."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from problems import some_weights
from scipy.spatial.distance import cdist

__all__ = ["IMAGES", "NAMES", "clusters_out_of_balance", "regime"]


def _uniform(*sizes):
    return tuple(np.full(size, 1 / size) for size in sizes)


def _assignment(rng):
    return rng.random((150, 150)), *_uniform(150, 150)


def _clouds(rng):
    C = cdist(rng.random((160, 3)), rng.random((150, 3)), "sqeuclidean")
    return C, some_weights(rng, 160), np.full(150, 1 / 150)


def _spiky(rng):
    """Weights of a flat Dirichlet law: some of them tiny."""
    C = cdist(rng.normal(size=(150, 3)), rng.normal(size=(170, 3)) + 1, "cityblock")
    return C, rng.dirichlet(np.ones(150)), rng.dirichlet(np.ones(170))


def _pixels(side):
    return np.stack(np.meshgrid(*[np.arange(float(side))] * 2, indexing="ij"), axis=-1).reshape(-1, 2)


def _images(metric, floor=0.0):
    """Two hand-written digits, two pixels by two to one; without a floor most weights are 0."""

    def make(rng):
        from sklearn.datasets import load_digits

        a, b = (np.kron(image, np.ones((2, 2))).ravel() + floor for image in load_digits().images[:2])
        return cdist(_pixels(16), _pixels(16), metric), a / a.sum(), b / b.sum()

    return make


def _densities(metric):
    def make(rng):
        points = _pixels(14)
        a = np.exp(-((points - 3.5) ** 2).sum(1) / 8)
        b = np.exp(-((points - [9.0, 10.0]) ** 2).sum(1) / 20) + np.exp(-((points - [2.0, 11.0]) ** 2).sum(1) / 2)
        return cdist(points, points, metric), a / a.sum(), b / b.sum()

    return make


def _many_coordinates(rng):
    """Distances concentrate: nearly an assignment problem with independent costs."""
    return cdist(rng.normal(size=(150, 64)), rng.normal(size=(150, 64)), "sqeuclidean"), *_uniform(150, 150)


def _digits(rng):
    from sklearn.datasets import load_digits

    x = load_digits().data
    return cdist(x[:150], x[150:300], "sqeuclidean"), *_uniform(150, 150)


def _ties(rng):
    return np.round(8 * rng.random((150, 157))), *_uniform(150, 157)


def _clustered(rng):
    centres = 10 * rng.normal(size=(8, 2))
    x, y = (centres[rng.integers(0, 8, 150)] + 0.1 * rng.normal(size=(150, 2)) for _ in range(2))
    return cdist(x, y, "sqeuclidean"), *_uniform(150, 150)


def _line(rng):
    """Plans with long chains: graphs of large diameter."""
    return cdist(rng.random((150, 1)), rng.random((150, 1))), *_uniform(150, 150)


def _flat(rng):
    return cdist(rng.random((10, 3)), rng.random((2000, 3)), "sqeuclidean"), *_uniform(10, 2000)


def _tall(rng):
    C, a, b = _flat(rng)
    return C.T.copy(), b, a


def _dominated(rng):
    """Nearly all mass in one point of each side."""
    C = cdist(rng.random((150, 3)), rng.random((140, 3)), "sqeuclidean")
    a, b = np.full(150, 1e-6), np.full(140, 1e-4)
    a[3] = b[7] = 1.0
    return C, a / a.sum(), b / b.sum()


def _wide_weights(rng):
    """Weights over twelve orders of magnitude, opposite on the two sides."""
    C = cdist(rng.random((150, 3)), rng.random((150, 3)), "sqeuclidean")
    a = 10.0 ** np.linspace(-12, 0, 150)
    return C, a / a.sum(), a[::-1] / a.sum()


def _forbidden(rng):
    C = rng.random((150, 150))
    C[rng.random(C.shape) < 0.7] = np.inf
    np.fill_diagonal(C, 0.9)
    return C, *_uniform(150, 150)


def _blocks(rng):
    """Four problems that know nothing of each other, their masses equal."""
    C = np.full((160, 160), np.inf)
    for start in range(0, 160, 40):
        C[start : start + 40, start : start + 40] = rng.random((40, 40))
    return C, *_uniform(160, 160)


def _twins(rng):
    """Every point twice, on both sides: the plan within a pair is undecided but for the entropy."""
    x = np.repeat(rng.random((75, 2)), 2, axis=0)
    return cdist(x, x[::-1], "sqeuclidean"), *_uniform(150, 150)


_MAKERS = {
    "assignment": _assignment,
    "clouds": _clouds,
    "spiky": _spiky,
    "images-L1": _images("cityblock"),
    "images-L2": _images("euclidean", 0.01),
    "images-L2^2": _images("sqeuclidean"),
    "densities-L1": _densities("cityblock"),
    "densities-L2": _densities("euclidean"),
    "densities-L2^2": _densities("sqeuclidean"),
    "many-coordinates": _many_coordinates,
    "digits": _digits,
    "ties": _ties,
    "clustered": _clustered,
    "line": _line,
    "10x2000": _flat,
    "2000x10": _tall,
    "dominated": _dominated,
    "wide-weights": _wide_weights,
    "forbidden": _forbidden,
    "blocks": _blocks,
    "twins": _twins,
}
NAMES = tuple(_MAKERS)
#: Those that scikit-learn has the data for.
IMAGES = ("digits", "images-L1", "images-L2", "images-L2^2")


@cache
def regime(name: str):
    """(C, a, b), read-only; the largest finite cost is 1. Skips the test where data is missing."""
    if name in IMAGES:
        pytest.importorskip("sklearn")
    C, a, b = _MAKERS[name](np.random.default_rng(0))
    C = C / C[np.isfinite(C)].max()
    for array in (C, a, b):
        array.flags.writeable = False
    return C, a, b


def clusters_out_of_balance(rng, share: float, distance: float = 10.0):
    """(C, a, b): two far clusters of 30 points; the share that one has too much must cross over.

    At small eps the plan falls apart, and the potentials of the clusters have far to go for a small error.
    """
    x, y = rng.random((60, 2)), rng.random((60, 2))
    x[30:] += distance
    y[30:] += distance
    b = np.full(60, 1 / 60)
    b[:30] *= 1 + share
    b[30:] *= 1 - share
    return cdist(x, y), np.full(60, 1 / 60), b
