"""Sinkhorn divergences: definition, closed forms, signs, limits, unlike masses."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from hypothesis import given
from oracles import SETTINGS
from problems import some_weights

import ot_solvers as ots

COSTS = ["sqeuclidean", "euclidean", "cityblock"]


def matrix(x, y, cost):
    difference = x[:, None, :] - y[None, :, :]
    if cost == "sqeuclidean":
        return (difference**2).sum(-1)
    return np.sqrt((difference**2).sum(-1)) if cost == "euclidean" else np.abs(difference).sum(-1)


def by_definition(x, y, a, b, eps, cost="sqeuclidean", rho=None, kind="kl"):
    """``OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2 (+ eps (m_a - m_b)^2 / 2)`` by three plain iterations."""
    pair = None if rho is None else (rho, rho)
    parts = [
        oracles.brute_force(matrix(p, q, cost), v, w, eps, pair, kind).value
        for p, q, v, w in ((x, y, a, b), (x, x, a, a), (y, y, b, b))
    ]
    extra = 0.0 if rho is None else 0.5 * eps * (a.sum() - b.sum()) ** 2
    return parts[0] - 0.5 * (parts[1] + parts[2]) + extra


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("eps", [0.2, 1.0])
@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_balanced_divergence_is_its_definition(rng, cost, eps, backend):
    x, y = rng.random((12, 2)), rng.random((9, 2)) + 0.2
    a, b = some_weights(rng, 12), some_weights(rng, 9)
    found = ots.sinkhorn_divergence(x, y, a, b, cost=cost, reg=eps, tol=1e-9, backend=backend)
    assert found.converged
    assert found.value == pytest.approx(by_definition(x, y, a, b, eps, cost), abs=1e-8)
    assert float(found) == found.value
    assert found.n_iter == found.xy.n_iter + found.xx.n_iter + found.yy.n_iter
    for part, C, v, w in (
        (found.xy, matrix(x, y, cost), a, b),
        (found.xx, matrix(x, x, cost), a, a),
        (found.yy, matrix(y, y, cost), b, b),
    ):
        assert oracles.marginal_error(part.plan, v, w) <= 1.01e-9
        assert part.value == pytest.approx(oracles.objective(part.plan, C, v, w, eps), abs=1e-12)


@pytest.mark.parametrize("kind", ["kl", "tv"])
@pytest.mark.parametrize("rho", [0.1, 2.0])
@pytest.mark.parametrize("masses", [(1.0, 1.0), (0.7, 1.6)])
def test_unbalanced_divergence_is_its_definition(rng, kind, rho, masses):
    x, y = rng.random((12, 2)), rng.random((9, 2)) + 0.2
    a, b = masses[0] * some_weights(rng, 12), masses[1] * some_weights(rng, 9)
    options = {"reg": 0.1, "unbalanced": rho, "unbalanced_type": kind}
    found = ots.sinkhorn_divergence(x, y, a, b, **options, tol=1e-9)
    assert found.converged
    assert found.value == pytest.approx(by_definition(x, y, a, b, 0.1, "sqeuclidean", rho, kind), abs=1e-7)


@SETTINGS
@given(oracles.translations())
def test_a_translation_costs_its_square(pair):
    known, _ = pair
    found = ots.sinkhorn_divergence(known.x, known.y, known.a, known.a, reg=known.eps, tol=1e-9)
    assert found.value == pytest.approx(known.value, abs=1e-7)


def test_gaussians_have_their_closed_form(rng):
    points = np.arange(-12.0, 12.01, 0.3)[:, None]

    def density(mean, sd):
        raw = np.exp(-((points[:, 0] - mean) ** 2) / (2 * sd**2))
        return raw / raw.sum()

    eps, mean_a, sd_a, mean_b, sd_b = 0.8, -0.4, 1.0, 0.9, 1.7
    found = ots.sinkhorn_divergence(
        points, points, density(mean_a, sd_a), density(mean_b, sd_b), reg=eps, tol=1e-9
    )
    ma, mb = np.array([mean_a]), np.array([mean_b])
    va, vb = np.array([[sd_a**2]]), np.array([[sd_b**2]])
    expected = oracles.gaussian_value(ma, va, mb, vb, eps) - 0.5 * (
        oracles.gaussian_value(ma, va, ma, va, eps) + oracles.gaussian_value(mb, vb, mb, vb, eps)
    )
    assert found.value == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("rho", [None, 0.3])
@pytest.mark.parametrize("max_iter", [1, 3, None])
@pytest.mark.parametrize("eps", [1e-3, 0.1, 10.0])
def test_never_negative_even_before_convergence(rng, cost, rho, max_iter, eps):
    x = rng.random((15, 2))
    a, b = some_weights(rng, 15), some_weights(rng, 15)
    # Close measures are the hard case: the divergence is small against its three terms.
    for y in (x + 1e-4 * rng.normal(size=x.shape), x[::-1].copy(), rng.random((15, 2))):
        found = ots.sinkhorn_divergence(
            x, y, a, b, cost=cost, reg=eps, unbalanced=rho, max_iter=max_iter, on_failure="ignore"
        )
        assert found.value >= -1e-14


@pytest.mark.parametrize("rho", [None, 0.3])
@pytest.mark.parametrize("cost", COSTS)
def test_zero_between_equal_measures(rng, rho, cost):
    x, a = rng.random((30, 3)), some_weights(rng, 30)
    order = rng.permutation(30)
    for y, b in ((x, a), (x[order], a[order])):
        found = ots.sinkhorn_divergence(x, y, a, b, cost=cost, reg=0.05, unbalanced=rho)
        assert abs(found.value) <= 1e-7
    split = np.concatenate([x, x])
    found = ots.sinkhorn_divergence(x, split, a, np.concatenate([0.3 * a, 0.7 * a]), reg=0.05, unbalanced=rho)
    assert abs(found.value) <= 1e-7


def test_positive_between_unlike_measures(rng):
    x, a = rng.random((20, 2)), some_weights(rng, 20)
    assert ots.sinkhorn_divergence(x, x + 0.1, a, a, reg=0.5).value > 1e-3
    assert ots.sinkhorn_divergence(x, x, a, a[::-1].copy(), reg=0.5).value > 1e-4


def test_symmetric(rng):
    x, y = rng.random((14, 2)), rng.random((9, 2))
    a, b = 1.4 * some_weights(rng, 14), 0.8 * some_weights(rng, 9)
    for rho, kind in ((0.5, "kl"), (0.5, "tv")):
        options = {"reg": 0.1, "unbalanced": rho, "unbalanced_type": kind, "tol": 1e-9}
        there = ots.sinkhorn_divergence(x, y, a, b, **options)
        back = ots.sinkhorn_divergence(y, x, b, a, **options)
        assert there.value == pytest.approx(back.value, abs=1e-8)


def test_large_eps_is_half_the_squared_distance_of_means(rng):
    # eps -> inf, squared Euclidean: OT_eps tends to <a b', C>; the divergence to |mean x - mean y|^2.
    x, y = rng.random((14, 2)), rng.random((9, 2)) + 1.0
    found = ots.sinkhorn_divergence(x, y, reg=1e5)
    assert found.value == pytest.approx(float(((x.mean(0) - y.mean(0)) ** 2).sum()), rel=1e-4)


def test_small_eps_is_transport(rng):
    x, y = rng.random((20, 2)), rng.random((20, 2)) + 0.5
    uniform = np.full(20, 0.05)
    exact = oracles.exact_transport(oracles.squared_distances(x, y), uniform, uniform)
    found = ots.sinkhorn_divergence(x, y, reg=1e-3, max_iter=50_000)
    assert found.value == pytest.approx(exact, abs=2e-3)


@pytest.mark.parametrize("mass", [1e-200, 1e-3, 1.0, 1e3, 1e200])
def test_scales_with_the_mass(rng, mass):
    x, y = rng.random((14, 2)), rng.random((9, 2))
    a, b = some_weights(rng, 14), some_weights(rng, 9)
    one = ots.sinkhorn_divergence(x, y, a, b, reg=0.1, tol=1e-9)
    many = ots.sinkhorn_divergence(x, y, mass * a, mass * b, reg=0.1, tol=1e-9)
    assert many.value == pytest.approx(mass * one.value, rel=1e-9)


def test_weights_on_one_side_only(rng):
    x, y, a = rng.random((8, 2)), rng.random((9, 2)), 3.0 * some_weights(rng, 8)
    with pytest.raises(ValueError, match=r"sum\(a\)=3.*sum\(b\)=1"):
        ots.sinkhorn_divergence(x, y, a, reg=0.1)
    b = np.full(9, 1 / 9)
    one_sided = ots.sinkhorn_divergence(x, y, a / 3, reg=0.1, tol=1e-9)
    both = ots.sinkhorn_divergence(x, y, a / 3, b, reg=0.1, tol=1e-9)
    assert one_sided.value == pytest.approx(both.value, abs=1e-12)


def test_relative_eps_refers_to_the_cross_block(rng):
    x, y = rng.random((8, 2)), rng.random((9, 2)) + 2.0
    found = ots.sinkhorn_divergence(x, y, reg=0.1, reg_relative_to="max")
    expected = 0.1 * oracles.squared_distances(x, y).max()
    for part in (found.xy, found.xx, found.yy):
        assert part.reg == pytest.approx(expected, rel=1e-12)


def test_warm_start_cuts_passes(rng):
    x, y = rng.random((60, 2)), rng.random((50, 2))
    first = ots.sinkhorn_divergence(x, y, reg=0.005)
    again = ots.sinkhorn_divergence(x, y + 1e-4, reg=0.005, init=first)
    cold = ots.sinkhorn_divergence(x, y + 1e-4, reg=0.005)
    assert again.n_iter < 0.5 * cold.n_iter
    assert again.value == pytest.approx(cold.value, abs=1e-7)


def test_float32_points(rng):
    x, y = rng.random((20, 2)), rng.random((25, 2))
    single = ots.sinkhorn_divergence(x.astype(np.float32), y.astype(np.float32), reg=0.05)
    double = ots.sinkhorn_divergence(x, y, reg=0.05)
    assert single.converged
    assert single.value == pytest.approx(double.value, abs=1e-5)


def test_unconverged_parts_are_said(rng):
    x, y = rng.random((20, 2)), rng.random((25, 2))
    with pytest.warns(ots.ConvergenceWarning, match="MAX_ITER after 2 passes"):
        found = ots.sinkhorn_divergence(x, y, reg=0.01, max_iter=2)
    assert not found.converged
    assert found.xy.n_iter == found.xx.n_iter == found.yy.n_iter == 2
    assert "xx MAX_ITER" in repr(found)
    assert math.isfinite(found.value)
    with pytest.raises(ots.ConvergenceError, match="max_iter"):
        ots.sinkhorn_divergence(x, y, reg=0.01, max_iter=2, on_failure="raise")


def test_below_the_reach_of_the_arithmetic_is_said(rng):
    x, y = rng.random((20, 2)), rng.random((25, 2))
    found = ots.sinkhorn_divergence(x, y, reg=0.01, tol=1e-17, on_failure="ignore")
    assert {part.status for part in (found.xy, found.xx, found.yy)} == {ots.Status.PRECISION_LIMIT}


@pytest.mark.peer
def test_is_the_divergence_of_geomloss(rng):
    torch, geomloss = pytest.importorskip("torch"), pytest.importorskip("geomloss")
    x, y = rng.random((30, 2)), rng.random((40, 2)) + 0.3
    # p = 2 there is half the squared distance and eps = blur^p; scaling near 1 and few points: converged.
    eps = 0.05
    loss = geomloss.SamplesLoss("sinkhorn", p=2, blur=math.sqrt(eps), scaling=0.99, backend="tensorized")
    theirs = float(loss(torch.from_numpy(x), torch.from_numpy(y)))
    ours = ots.sinkhorn_divergence(x, y, reg=2 * eps, tol=1e-9).value
    assert ours == pytest.approx(2 * theirs, rel=1e-4)
