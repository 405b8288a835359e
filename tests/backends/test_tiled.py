"""Large point clouds in tiles: what is left out must not show."""

from __future__ import annotations

import numpy as np
import pytest
from checks import check_close
from conformance_cases import case, cost_case
from test_conformance import REFERENCE, check_primitive
from tolerances import tolerance

from ot_solvers import costs
from ot_solvers.backends import registry
from ot_solvers.backends.numba import tiled_rows
from ot_solvers.geometry import PointCloud
from ot_solvers.geometry.tiles import tiles_of
from ot_solvers.penalties import KL, TV, Balanced

NUMBA = registry.get("numba")
TILED = ("softmin", "sweep", "hardmin", "top_k", "transport", "plan_statistics")
COSTS = (
    costs.SqEuclidean(),
    costs.SqEuclidean(weights=(1.0, 4.0)),
    costs.Euclidean(),
    costs.EuclideanPower(p=1.5),
    costs.CityBlock(),
    costs.Chebyshev(),
    costs.PNorm(p=3.0),
    costs.Cosine(),
    costs.Sphere(),
    costs.Hamming(),
)


@pytest.fixture
def everything_tiled(monkeypatch):
    """Clouds of any size; and a witness that they are read in tiles."""
    monkeypatch.setattr(tiled_rows, "FEWEST_PAIRS", 0)
    monkeypatch.setattr(tiled_rows, "FEWEST_TILES", 0)
    made = []
    initialise = tiled_rows.TiledCloud.__init__

    def noted(self, *arguments):
        made.append(self)
        initialise(self, *arguments)

    monkeypatch.setattr(tiled_rows.TiledCloud, "__init__", noted)
    return made


@pytest.mark.parametrize("regularisation", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", ["cloud", "cloud-float32", "cloud-with-itself"])
@pytest.mark.parametrize("primitive", TILED)
def test_primitives(primitive, name, transposed, regularisation, everything_tiled):
    check_primitive("numba", primitive, case(name, transposed, regularisation))
    assert everything_tiled


@pytest.mark.parametrize("primitive", ["sweep", "plan_statistics"])
def test_another_cost(primitive, everything_tiled):
    check_primitive("numba", primitive, cost_case(costs.Euclidean(), "float64", 2, 1e-3))
    assert everything_tiled


@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_every_cost_has_the_same_minima_as_without_tiles(cost, monkeypatch):
    one = cost_case(cost, "float64", 2, 1e-3)
    expected = NUMBA.hardmin(one.geometry, one.g)
    monkeypatch.setattr(tiled_rows, "FEWEST_PAIRS", 0)
    monkeypatch.setattr(tiled_rows, "FEWEST_TILES", 0)
    assert tiled_rows.TiledCloud.suits(one.geometry)
    found = NUMBA.hardmin(one.geometry, one.g)
    check_close(found, expected, "float64", "cost", scale=one.size, what=str(cost))


@pytest.mark.parametrize("cost", [costs.Dot(), costs.SqEuclidean()], ids=str)
def test_what_does_not_suit(cost, everything_tiled):
    """A cost without bounds, and more coordinates than boxes are good for."""
    d = 2 if isinstance(cost, costs.Dot) else tiled_rows.MOST_COORDINATES + 1
    check_primitive("numba", "softmin", cost_case(cost, "float64", d, 1e-3))
    assert not everything_tiled


def clouds(kind, n, m, d, rng):
    if kind == "normal":
        return rng.normal(size=(n, d)), 0.5 + rng.normal(size=(m, d))
    if kind == "lattice":  # duplicates, ties, boxes without extent
        return rng.integers(0, 4, size=(n, d)).astype(float), rng.integers(0, 4, size=(m, d)).astype(float)
    if kind == "far":
        x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d))
        return x + 1e3, y - 1e3
    x, y = (rng.standard_cauchy(size=(size, d)) for size in (n, m))
    return x, y


@pytest.mark.parametrize(("d", "share"), [(1, 1e-3), (2, 1e-5), (3, 0.1), (3, 1e-3)])
@pytest.mark.parametrize("kind", ["normal", "lattice", "far", "heavy"])
def test_many_tiles(kind, d, share, everything_tiled):
    """Thousands of points: most tiles are left out, at potentials near the fixed point and far from it."""
    rng = np.random.default_rng(d)
    n, m = 200, 1500
    x, y = clouds(kind, n, m, d, rng)
    cloud = PointCloud(x, y)
    a, b = rng.random(n), rng.random(m)
    a[::7], b[::5] = 0.0, 0.0
    a, b = a / a.sum(), b / b.sum()
    eps = share * float(NUMBA.cost_statistics(cloud).mean)
    with np.errstate(divide="ignore"):
        log_b = np.log(b)
    g = np.zeros(m)
    for step in range(2):
        h = log_b + g / eps
        f = REFERENCE.softmin(cloud, h, eps)
        size = max(np.abs(f).max(), np.abs(g).max(), 1e-3 * float(NUMBA.cost_statistics(cloud).maximum))
        check_close(NUMBA.softmin(cloud, h, eps), f, "float64", "potential", scale=size, what="softmin")
        for penalty in (Balanced(), KL(10 * eps), TV(5 * eps)):
            shifts = {"none": None, "right": f, "wrong": f + eps * rng.normal(scale=30, size=n)}
            expected, masses = REFERENCE.sweep(cloud, f, h, eps, a, penalty)
            for name, start in shifts.items():
                if name == "wrong":
                    start = np.minimum(start, f + 500 * eps)  # what solvers promise: no overflow
                found, found_masses = NUMBA.sweep(cloud, start, h, eps, a, penalty, "float64", log_b)
                what = f"{type(penalty).__name__}, step {step}, shift {name}"
                check_close(found, expected, "float64", "potential", scale=size, what=what)
                floor = NUMBA.mass_floor(cloud) ** 2 / tolerance("float64", "mass")
                scale = (1 + size / eps) * masses + floor * b + 1e-280
                check_close(found_masses, masses, "float64", "mass", scale=scale, what=what)
        s = REFERENCE.softmin(cloud.T, np.log(np.maximum(a, 1e-300)) + f / eps, eps)
        g = np.where(b > 0, s, 0.0)
    assert everything_tiled[0].rows.low.shape[1] > 8


@pytest.mark.parametrize("kind", ["normal", "lattice", "heavy"])
def test_ties_go_to_the_first_index(kind, everything_tiled):
    rng = np.random.default_rng(0)
    x, y = clouds(kind, 300, 1500, 2, rng)
    cloud = PointCloud(x, y)
    g = np.round(rng.normal(size=1500), 1)
    g[::3] = -np.inf
    expected = REFERENCE.top_k(cloud, g, 1.0, 7)
    indices, values = NUMBA.top_k(cloud, g, 1.0, 7)
    np.testing.assert_array_equal(indices, expected[0])
    np.testing.assert_allclose(values, expected[1], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 127, 128, 129, 1000])
def test_tiles_hold_all_points_once(n):
    rng = np.random.default_rng(n)
    points = rng.normal(size=(n, 3))
    tiles = tiles_of(points, 128)
    np.testing.assert_array_equal(np.sort(tiles.order), np.arange(n))
    for t in range(tiles.low.shape[1]):
        part = points[tiles.order[128 * t : 128 * (t + 1)]]
        assert part.size
        np.testing.assert_array_equal(part.min(axis=0), tiles.low[:, t])
        np.testing.assert_array_equal(part.max(axis=0), tiles.high[:, t])
    assert tiles.low.shape[1] == -(-n // 128)


def test_tiles_are_small():
    """Of points in a square, tiles are pieces of it, not stripes."""
    points = np.random.default_rng(0).random((128 * 64, 2))
    tiles = tiles_of(points, 128)
    assert np.median(tiles.high - tiles.low) < 0.2


def test_costs_that_claim_bounds_have_them():
    """The cost to the nearest point of a box is no more than that to any point in it."""
    rng = np.random.default_rng(0)
    for cost in COSTS:
        assert cost.boundable
        x = rng.normal(size=(1, 2))
        y = rng.normal(size=(50, 2)) + 1.0
        if isinstance(cost, costs.Sphere):
            x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
        x, y = cost.prepare(x), cost.prepare(y)
        nearest = np.clip(x, y.min(axis=0), y.max(axis=0))
        assert float(cost.pairwise(x, nearest)[0, 0]) <= cost.pairwise(x, y).min() + 1e-12
    assert not costs.Dot().boundable
