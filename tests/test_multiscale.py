"""Large clouds start at the potentials of clusters: the same solutions, sooner."""

from __future__ import annotations

import numpy as np
import pytest

import ot_solvers as ots
from ot_solvers.backends import registry
from ot_solvers.backends.numba import tiled_rows
from ot_solvers.geometry import PointCloud
from ot_solvers.penalties import KL, Balanced
from ot_solvers.problem import Problem
from ot_solvers.solvers import multiscale
from ot_solvers.status import Status

NUMBA = registry.get("numba")


@pytest.fixture
def always(monkeypatch):
    """Clusters, and tiles, for problems of any size; a list of the problems that were clustered."""
    monkeypatch.setattr(multiscale, "PAIRS", 0)
    monkeypatch.setattr(multiscale, "FEW", 60)
    monkeypatch.setattr(tiled_rows, "FEWEST_PAIRS", 0)
    monkeypatch.setattr(tiled_rows, "FEWEST_TILES", 0)
    clustered = []
    original = multiscale._clusters

    def noted(problem, backend):
        clustered.append(problem)
        return original(problem, backend)

    monkeypatch.setattr(multiscale, "_clusters", noted)
    return clustered


def clouds(kind, n, m, d, rng):
    x, y = rng.normal(size=(n, d)), 0.5 + 0.8 * rng.normal(size=(m, d))
    if kind == "duplicates":
        return np.round(x), np.round(y)
    if kind == "apart":
        return x, y + 30.0
    if kind == "clusters":
        return x * 0.01 + rng.integers(0, 3, size=(n, 1)), y * 0.01 + rng.integers(0, 3, size=(m, 1))
    return x, y


@pytest.mark.parametrize("tol", [1e-4, 1e-9])
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("kind", ["normal", "duplicates", "apart", "clusters"])
def test_the_same_solution(kind, d, tol, always):
    rng = np.random.default_rng(d)
    n, m = 900, 700
    x, y = clouds(kind, n, m, d, rng)
    a, b = rng.random(n), rng.random(m)
    a[::9], b[:50] = 0.0, 0.0
    b *= a.sum() / b.sum()
    keywords = {"reg": 0.01, "reg_relative_to": "mean", "tol": tol}
    found = ots.solve_sample(x, y, a, b, **keywords)
    assert always
    assert found.converged
    assert found.marginal_error <= tol
    expected = ots.solve_sample(x, y, a, b, method="newton", **keywords)
    scale = np.abs(expected.potential_a).max() + np.abs(expected.potential_b).max()
    assert found.value == pytest.approx(expected.value, abs=20 * tol * scale * a.sum())
    assert found.gap >= -1e-9 * scale * a.sum()


@pytest.mark.parametrize("cost", ["euclidean", "cityblock", "cosine", "sphere", ots.costs.PNorm(p=3.0)], ids=str)
def test_costs(cost, always):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(500, 3)), rng.normal(size=(600, 3)) + 0.3
    x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
    found = ots.solve_sample(x, y, cost=cost, reg=0.02, reg_relative_to="mean")
    assert always
    assert found.converged
    expected = ots.solve_sample(x, y, cost=cost, reg=0.02, reg_relative_to="mean", method="newton")
    assert found.value == pytest.approx(expected.value, rel=1e-5)


def test_what_has_no_clusters(always):
    rng = np.random.default_rng(0)
    for d, cost in ((4, "sqeuclidean"), (2, "dot")):
        x, y = rng.normal(size=(300, d)), rng.normal(size=(200, d))
        assert ots.solve_sample(x, y, cost=cost, reg=0.1).converged
    assert ots.solve(rng.random((300, 200)), reg=0.1).converged
    assert not always


@pytest.mark.parametrize("unbalanced", [1.0, (0.5, np.inf), (np.inf, 2.0)])
def test_unbalanced(unbalanced, always):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(800, 2)), rng.normal(size=(500, 2)) + 1.0
    a, b = rng.random(800), 0.7 * rng.random(500)
    found = ots.solve_sample(x, y, a, b, reg=0.05, unbalanced=unbalanced, tol=1e-8)
    assert always
    assert found.converged
    expected = ots.solve_sample(x, y, a, b, reg=0.05, unbalanced=unbalanced, tol=1e-8, method="sinkhorn")
    assert found.value == pytest.approx(expected.value, rel=1e-7)


def test_it_saves_passes(always, monkeypatch):
    """Nearly half of those over all points, where eps is small."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3000, 3)), 0.5 + 0.8 * rng.normal(size=(3000, 3))
    found = ots.solve_sample(x, y, reg=0.1, tol=1e-4)
    monkeypatch.setattr(multiscale, "PAIRS", 1 << 60)
    plain = ots.solve_sample(x, y, reg=0.1, tol=1e-4, method="sinkhorn")
    assert len(always) == 2  # two levels of clusters
    assert found.converged and plain.converged
    assert found.n_iter <= 0.6 * plain.n_iter


def test_small_eps_is_led_down_from_that_of_the_clusters(always):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2000, 2)), rng.normal(size=(2000, 2))
    found = ots.solve_sample(x, y, reg=1e-4, tol=1e-3, on_failure="ignore")
    assert max(p.reg for p in found.history) > 1e-4
    assert found.marginal_error <= 1e-2


def test_float32_points(always):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(700, 3)).astype(np.float32) for _ in range(2))
    found = ots.solve_sample(x, y, reg=0.05)
    assert found.converged
    assert found.potential_a.dtype == np.float32
    expected = ots.solve_sample(x.astype(np.float64), y.astype(np.float64), reg=0.05)
    assert found.value == pytest.approx(expected.value, rel=1e-4)


def test_far_from_the_origin(always):
    """Where float32 would not tell points apart, it is not used."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(700, 3)) + 1e5, rng.normal(size=(700, 3)) + 1e5
    found = ots.solve_sample(x, y, reg=0.05)
    assert found.converged
    expected = ots.solve_sample(x - 1e5, y - 1e5, reg=0.05)
    assert found.value == pytest.approx(expected.value, rel=1e-6)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_few_passes(most, always):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(500, 2)), rng.normal(size=(500, 2))
    found = ots.solve_sample(x, y, reg=0.02, tol=1e-12, max_iter=most, on_failure="ignore")
    assert found.status is Status.MAX_ITER
    assert found.n_iter == most
    assert np.isfinite(found.value) and np.isfinite(found.gap)


def test_callback_stops_among_clusters(always):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(500, 2)), rng.normal(size=(500, 2))
    seen = []

    def stop(progress):
        seen.append(progress)
        return True

    found = ots.solve_sample(x, y, reg=0.02, callback=stop)
    assert found.status is Status.STOPPED_BY_CALLBACK
    assert [progress.iteration for progress in seen] == [0]
    assert np.isfinite(found.value)


def test_callback_sees_clusters_before_passes(always):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(500, 2)), rng.normal(size=(500, 2))
    seen = []
    found = ots.solve_sample(x, y, reg=0.02, callback=lambda progress: seen.append(progress.iteration))
    assert seen.count(0) > 0
    assert seen[-1] == found.n_iter


def test_clusters_keep_masses_and_centres(always):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(500, 3)), rng.normal(size=(40, 3))
    a, b = rng.random(500), np.full(40, 1 / 40)
    a[:100] = 0.0
    a /= a.sum()
    problem = Problem(PointCloud(x, y), a, b, 1.0, 1e-9, Balanced(), KL(1.0))
    coarse = multiscale._clusters(problem, NUMBA)
    n, m = coarse.geometry.shape
    assert n == -(-500 // multiscale.POINTS)
    assert m == 40  # few already
    assert coarse.a.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(coarse.a @ coarse.geometry.x, a @ x, atol=1e-9)
    assert 0 < coarse.eps < 1.0


def test_all_points_in_one_place(always):
    x = np.zeros((300, 2))
    found = ots.solve_sample(x, x + 1.0, reg=0.1)
    assert found.converged
    assert found.value == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("shift", "factor", "unbalanced"), [(15.0, 1.0, None), (0.0, 50.0, 0.1), (0.0, 1000.0, 0.1)]
)
def test_float32_ends_where_its_rounding_begins(shift, factor, unbalanced, always):
    """Its noise is that of the potentials at hand, also where the clusters have arrived at the target already."""
    rng = np.random.default_rng(0)
    x, y, b = rng.random((300, 2)), rng.random((420, 2)) * 1.3, rng.random(420)
    b *= factor / b.sum()
    a = np.full(300, 1 / 300)
    found = ots.solve_sample(x + np.array([shift, 0.0]), y, a, b, reg=0.01, unbalanced=unbalanced)
    assert found.converged
    assert found.n_iter <= 150


@pytest.mark.parametrize("scale", [1e20, 1e-21])
def test_points_that_float32_does_not_hold(scale, always):
    rng = np.random.default_rng(0)
    x, y = rng.random((300, 2)), rng.random((300, 2))
    found = ots.solve_sample(scale * x, scale * y, reg=0.01 * scale**2)
    assert found.converged
    assert found.value == pytest.approx(scale**2 * ots.solve_sample(x, y, reg=0.01).value, rel=1e-5)
    assert found.n_iter <= 100


def test_the_pass_that_converges_in_float32_may_be_the_last(always):
    rng = np.random.default_rng(0)
    x, y = rng.random((600, 2)), rng.random((600, 2))
    reference = ots.solve_sample(x, y, reg=0.003, tol=1e-3)
    for most in range(1, reference.n_iter + 1):
        found = ots.solve_sample(x, y, reg=0.003, tol=1e-3, max_iter=most, on_failure="ignore")
        assert found.n_iter <= most
        stopped = ots.solve_sample(x, y, reg=0.003, tol=1e-3, callback=lambda p, most=most: p.iteration == most)
        assert stopped.n_iter <= most
