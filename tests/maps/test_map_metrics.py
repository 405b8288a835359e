"""Metrics of maps against closed forms and other libraries."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import squared_distances

from ot_solvers import maps
from ot_solvers.maps import discrepancy

torch = pytest.importorskip("torch")


@pytest.fixture
def pair(rng):
    """(x, T(x)): 60 points of R^3."""
    x = rng.normal(size=(60, 3))
    return x, 2 * x + rng.normal(size=3)


# --- unexplained variance -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_uvp_of_a_scaled_map(pair, scale):
    """About the mean: ``|s z - z|^2 / |z|^2``."""
    _, true = pair
    middle = true.mean(axis=0)
    predicted = middle + scale * (true - middle)
    assert maps.l2_uvp(predicted, true) == pytest.approx(100 * (scale - 1) ** 2, abs=1e-12)


def test_uvp_of_a_shift(pair):
    _, true = pair
    shift = np.array([0.1, -0.2, 0.3])
    assert maps.l2_uvp(true + shift, true, 7.0) == pytest.approx(100 * 0.14 / 7)
    variance = np.trace(np.cov(true.T, bias=True))
    assert maps.l2_uvp(true + shift, true) == pytest.approx(100 * 0.14 / variance)
    assert maps.l2_uvp(true + shift, true, true[:30] * 2) == pytest.approx(
        100 * 0.14 / np.trace(np.cov(2 * true[:30].T, bias=True))
    )


def test_uvp_counts_weights(pair):
    x, true = pair
    weights = np.arange(60.0)
    repeated = np.repeat(np.arange(60), np.arange(60))
    assert maps.l2_uvp(x, true, a=weights) == pytest.approx(maps.l2_uvp(x[repeated], true[repeated]))
    assert maps.l2_uvp(x, true, a=weights) != pytest.approx(maps.l2_uvp(x, true), rel=1e-3)


# --- directions -----------------------------------------------------------------------------------------------


def test_cosines(pair, rng):
    x, true = pair
    moved = true - x
    assert maps.displacement_cosine(x, true, true) == pytest.approx(1)
    assert maps.displacement_cosine(x, x + 0.1 * moved, true) == pytest.approx(1)
    assert maps.displacement_cosine(x, x - moved, true) == pytest.approx(-1)
    # A part at right angles, of the same length everywhere: cosine 1 / sqrt(2).
    side = np.cross(moved, rng.normal(size=3))
    side *= np.linalg.norm(moved, axis=1, keepdims=True) / np.linalg.norm(side, axis=1, keepdims=True)
    assert maps.displacement_cosine(x, x + moved + side, true) == pytest.approx(2**-0.5)
    other = rng.normal(size=x.shape)
    flat = [(other - x).ravel(), moved.ravel()]
    expected = flat[0] @ flat[1] / np.linalg.norm(flat[0]) / np.linalg.norm(flat[1])
    assert maps.displacement_cosine(x, other, true) == pytest.approx(expected)


def test_the_cosine_counts_weights(pair):
    x, true = pair
    weights = np.arange(60.0)
    repeated = np.repeat(np.arange(60), np.arange(60))
    predicted = np.roll(true, 1, axis=0)
    assert maps.displacement_cosine(x, predicted, true, a=weights) == pytest.approx(
        maps.displacement_cosine(x[repeated], predicted[repeated], true[repeated])
    )


# --- the sphere -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, 3.0, np.pi])
def test_angles(angle):
    problem = maps.sphere_rotation_problem()
    frame = problem.source.frame
    equator = np.linspace(0, 2 * np.pi, 7)[:-1]
    points = np.stack([np.cos(equator), np.sin(equator), 0 * equator], axis=1) @ frame.T
    turned = np.stack([np.cos(equator + angle), np.sin(equator + angle), 0 * equator], axis=1) @ frame.T
    assert maps.geodesic_deviation(turned, points) == pytest.approx(angle, rel=1e-6, abs=1e-15)
    half = np.concatenate([turned[:3], points[3:]])
    assert maps.geodesic_deviation(half, points) == pytest.approx(angle / 2, rel=1e-6, abs=1e-15)
    weights = [1, 1, 1, 0, 0, 0]
    assert maps.geodesic_deviation(half, points, a=weights) == pytest.approx(angle, rel=1e-6, abs=1e-15)


# --- the maximum mean discrepancy -----------------------------------------------------------------------------


def by_definition(x, y, a, b, kernel, unbiased):
    a, b = np.asarray(a) / np.sum(a), np.asarray(b) / np.sum(b)

    def own(z, w):
        weights = np.outer(w, w)
        if unbiased:
            np.fill_diagonal(weights, 0)
        return (weights * kernel(z, z)).sum() / weights.sum()

    return own(x, a) + own(y, b) - 2 * a @ kernel(x, y) @ b


KERNELS = {
    "gaussian": lambda h: lambda x, y: np.exp(-squared_distances(x, y) / (2 * h * h)),
    "laplacian": lambda h: lambda x, y: np.exp(-np.sqrt(squared_distances(x, y)) / h),
}


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("kernel", KERNELS)
def test_mmd_by_its_definition(clouds, kernel, unbiased):
    x, y, a, b = clouds
    for widths in (0.7, [0.3, 1.0, 5.0]):
        expected = np.mean(
            [by_definition(x, y, a, b, KERNELS[kernel](h), unbiased) for h in np.atleast_1d(widths)]
        )
        found = maps.mmd(x, y, a, b, kernel=kernel, bandwidth=widths, unbiased=unbiased)
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-14)


def test_mmd_against_scikit_learn(clouds):
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    x, y, *_ = clouds
    for name, kernel, gamma in (
        ("gaussian", pairwise.rbf_kernel, 1 / (2 * 1.3**2)),
        ("laplacian", lambda x, y, gamma: np.exp(-gamma * pairwise.euclidean_distances(x, y)), 1 / 1.3),
    ):
        K = [kernel(u, v, gamma=gamma) for u, v in ((x, x), (y, y), (x, y))]
        expected = K[0].mean() + K[1].mean() - 2 * K[2].mean()
        assert maps.mmd(x, y, kernel=name, bandwidth=1.3) == pytest.approx(expected, abs=1e-13)


def test_mmd_of_gaussians():
    """``E k(X, Y)`` of a Gaussian kernel is a Gaussian of covariance ``h^2 + s^2 + t^2``."""
    d, h, s, t = 2, 1.5, 1.0, 0.6
    shift = np.array([0.8, -0.3])

    def mean(variance, distance):
        total = h * h + variance
        return (h * h / total) ** (d / 2) * np.exp(-(distance**2) / (2 * total))

    expected = mean(2 * s * s, 0) + mean(2 * t * t, 0) - 2 * mean(s * s + t * t, np.linalg.norm(shift))
    rng = np.random.default_rng(5)
    values = [
        maps.mmd(s * rng.normal(size=(600, d)), shift + t * rng.normal(size=(500, d)), bandwidth=h, unbiased=True)
        for _ in range(20)
    ]
    # Unbiased: the mean of 20 of them is within a few standard errors.
    assert abs(np.mean(values) - expected) < 4 * np.std(values) / np.sqrt(20)
    assert np.std(values) < 0.1 * expected
    biased = maps.mmd(rng.normal(size=(50, d)), rng.normal(size=(50, d)), bandwidth=h)
    assert biased > 0


def test_unbiased_values_of_equal_laws_are_negative_half_of_the_time():
    rng = np.random.default_rng(0)
    signs = [maps.mmd(*rng.normal(size=(2, 30, 2)), unbiased=True) < 0 for _ in range(60)]
    assert 20 <= sum(signs) <= 52


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_energy_distance(clouds, unbiased):
    x, y, a, b = clouds
    expected = by_definition(x, y, a, b, lambda u, v: -np.sqrt(squared_distances(u, v)), unbiased)
    assert maps.mmd(x, y, a, b, kernel="energy", unbiased=unbiased) == pytest.approx(expected, abs=1e-13)


def test_the_energy_distance_on_a_line(rng):
    """``2 int (F - G)^2``."""
    scipy = pytest.importorskip("scipy.stats")
    x, y = rng.normal(size=40), rng.normal(size=30) + 0.4
    expected = scipy.energy_distance(x, y) ** 2
    assert maps.mmd(x[:, None], y[:, None], kernel="energy") == pytest.approx(expected)


def test_the_median_bandwidth(clouds):
    x, y, *_ = clouds
    pool = np.concatenate([x, y])
    h = np.median(np.sqrt(squared_distances(pool, pool))[np.triu_indices(70, 1)])
    assert maps.mmd(x, y) == pytest.approx(maps.mmd(x, y, bandwidth=h), rel=1e-12)
    # Distances scale with it.
    assert maps.mmd(1e6 * x, 1e6 * y) == pytest.approx(maps.mmd(x, y), rel=1e-9)
    # Of many points, some: nearly the same, and the same every time.
    many = np.random.default_rng(1).normal(size=(3000, 2))
    assert discrepancy.median_distance(many) == pytest.approx(np.sqrt(4 * np.log(2)), rel=0.05)
    assert discrepancy.median_distance(many) == discrepancy.median_distance(many)


def test_blocks_change_nothing(clouds, monkeypatch):
    x, y, a, b = clouds
    whole = maps.mmd(x, y, a, b, unbiased=True)
    monkeypatch.setattr(discrepancy, "BLOCK", 100)
    assert maps.mmd(x, y, a, b, unbiased=True) == pytest.approx(whole, rel=1e-12)


def test_equal_samples_and_lengths_of_weights(clouds):
    x, y, a, b = clouds
    assert maps.mmd(x, x) == pytest.approx(0, abs=1e-15)
    assert maps.mmd(x, y, 3 * a, b / 7) == pytest.approx(maps.mmd(x, y, a, b), rel=1e-12)
    assert maps.mmd(x, y, a, b) == pytest.approx(maps.mmd(y, x, b, a), rel=1e-12)


def test_float32_and_tensors_are_read_like_float64(clouds):
    x, y, *_ = (z.astype(np.float32) for z in clouds)
    expected = maps.mmd(x.astype(float), y.astype(float))
    assert maps.mmd(x, y) == expected
    assert maps.mmd(torch.as_tensor(x), torch.as_tensor(y)) == expected
    assert maps.l2_uvp(torch.as_tensor(x) + 1, torch.as_tensor(x)) == maps.l2_uvp(x + 1, x)
    assert isinstance(maps.l2_uvp(torch.as_tensor(x), torch.as_tensor(x)), float)


# --- bad input ------------------------------------------------------------------------------------------------

x, y = np.eye(3), np.eye(3)[:2]

BAD = {
    "shapes": (lambda: maps.l2_uvp(x, y), ValueError, r"predicted has shape \(3, 3\) and true \(2, 3\)"),
    "nan": (lambda: maps.l2_uvp(x * np.nan, x), ValueError, r"predicted\[0, 0\] is nan"),
    "no variance": (lambda: maps.l2_uvp(x, 0 * x), ValueError, "the target law has variance 0"),
    "variance": (lambda: maps.l2_uvp(x, x, -1.0), ValueError, "the target law has variance -1"),
    "word": (lambda: maps.l2_uvp(x, x, "1"), TypeError, "target='1' is not a number"),
    "target": (lambda: maps.l2_uvp(x, x, x[:, :2]), ValueError, "target has 2 coordinates and true 3"),
    "weights": (lambda: maps.l2_uvp(x, x, a=[1, 2]), ValueError, r"a has shape \(2,\); expected \(3,\)"),
    "no mass": (lambda: maps.l2_uvp(x, x, a=[0, 0, 0]), ValueError, "a has total mass 0"),
    "points": (lambda: maps.displacement_cosine(y, x, x), ValueError, r"x has shape \(2, 3\) and true \(3, 3\)"),
    "still": (lambda: maps.displacement_cosine(x, x, x + 1), ValueError, "predicted equals x: a map that moves"),
    "truth": (lambda: maps.displacement_cosine(x, x + 1, x), ValueError, "true equals x: a map that moves"),
    "sphere": (lambda: maps.geodesic_deviation(2 * x, x), ValueError, r"predicted\[0\] has norm 2"),
    "sphere, truth": (lambda: maps.geodesic_deviation(x, x + 1), ValueError, r"true\[0\] has norm 2.4"),
    "kernel": (lambda: maps.mmd(x, y, kernel="gauss"), ValueError, "kernel='gauss' is unknown.*'gaussian'"),
    "coordinates": (lambda: maps.mmd(x, y[:, :2]), ValueError, "x has 3 coordinates and y 2"),
    "bandwidth": (lambda: maps.mmd(x, y, bandwidth=0), ValueError, "bandwidth=0 must be positive and finite"),
    "infinite": (lambda: maps.mmd(x, y, bandwidth=[1, np.inf]), ValueError, "bandwidth=inf must be positive"),
    "tiny": (lambda: maps.mmd(x, y, bandwidth=1e-200), ValueError, "bandwidth=1e-200 must be positive"),
    "mean": (lambda: maps.mmd(x, y, bandwidth="mean"), ValueError, r"bandwidth='mean' is unknown.*\['median'\]"),
    "no width": (lambda: maps.mmd(x, y, bandwidth=[]), ValueError, r"bandwidth has shape \(0,\)"),
    "table": (lambda: maps.mmd(x, y, bandwidth=x), ValueError, r"bandwidth has shape \(3, 3\)"),
    "needless": (lambda: maps.mmd(x, y, kernel="energy", bandwidth=1.0), ValueError, "'energy' has none"),
    "one point": (lambda: maps.mmd(0 * x, 0 * y), ValueError, "all points are equal .*give bandwidth a number"),
    "alone": (
        lambda: maps.mmd(x, y, [1, 0, 0], bandwidth=1, unbiased=True),
        ValueError,
        "x has one point of positive weight; unbiased=True needs two",
    ),
    "gradient": (
        lambda: maps.mmd(torch.ones(2, 2, requires_grad=True), torch.ones(2, 2)),
        TypeError,
        "x requires gradients",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
