"""`wasserstein_1d`: exact distances, plans and potentials on lines."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

import ot_solvers as ots


def measures(rng, n, m, weights=True):
    x, y = rng.normal(size=n), rng.normal(size=m) + 1
    if not weights:
        return x, y, None, None
    a, b = rng.random(n), rng.random(m)
    if n > 1:
        a[0] = 0
    return x, y, a / a.sum(), b / b.sum()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 1.5, 2, 3]), st.booleans(), st.integers(0, 99))
def test_value_plan_and_potentials_agree(n, m, p, whole, seed):
    rng = np.random.default_rng(seed)
    x, y, a, b = measures(rng, n, m)
    if whole:  # ties
        x, y, a, b = np.round(x), np.round(y), np.full(n, 1 / n), np.full(m, 1 / m)
    found = ots.wasserstein_1d(x, y, a, b, p=p)
    exact = float(ots.solve_sample(x[:, None], y[:, None], a, b, cost=ots.costs.PNorm(1) if p == 1 else
                                   ots.costs.EuclideanPower(p=p)).value)  # fmt: skip
    cost = np.abs(x[:, None] - y[None]) ** p
    plan = found.plan.toarray()
    assert found.cost == pytest.approx(exact, rel=1e-10, abs=1e-12)
    assert float(found) == pytest.approx(found.cost ** (1 / p), rel=1e-12)
    assert (plan * cost).sum() == pytest.approx(found.cost, rel=1e-10, abs=1e-12)
    np.testing.assert_allclose(plan.sum(axis=1), a, atol=1e-14)
    np.testing.assert_allclose(plan.sum(axis=0), b, atol=1e-14)
    assert found.plan.nnz <= n + m - 1
    f, g = found.potentials
    assert f @ a + g @ b == pytest.approx(found.cost, rel=1e-10, abs=1e-12)
    assert f @ a == pytest.approx(g @ b, rel=1e-9, abs=1e-10)
    assert (f[:, None] + g[None] - cost).max() <= 1e-10 * (1 + cost.max())


def test_order_one_is_scipys(rng):
    x, y, a, b = measures(rng, 50, 30)
    assert float(ots.wasserstein_1d(x, y, a, b, p=1)) == pytest.approx(wasserstein_distance(x, y, a, b), rel=1e-13)


@pytest.mark.parametrize("weights", ["none", "shared", "each"])
def test_batches_are_loops(weights, rng):
    x, y = rng.normal(size=(4, 20)), rng.normal(size=(4, 15))
    a = b = None
    if weights != "none":
        shape = (4,) if weights == "each" else ()
        a, b = rng.random((*shape, 20)), rng.random((*shape, 15))
        a, b = (3 * w / w.sum(axis=-1, keepdims=True) for w in (a, b))
    batch = ots.wasserstein_1d(x, y, a, b)
    for k in range(4):
        pair = (w[k] if weights == "each" else w for w in (a, b))
        one = ots.wasserstein_1d(x[k], y[k], *pair)
        assert batch.value[k] == pytest.approx(one.value, rel=1e-13)
        assert batch.cost[k] == pytest.approx(one.cost, rel=1e-13)
        np.testing.assert_allclose(batch.plan[k].toarray(), one.plan.toarray(), atol=1e-15)
        for many, single in zip(batch.potentials, one.potentials, strict=True):
            np.testing.assert_allclose(many[k], single, atol=1e-12)
    with pytest.raises(TypeError, match=r"read \.value"):
        float(batch)
    with pytest.raises(IndexError, match="k=4 is out of range"):
        batch.quantile_plan(4)


def test_far_from_the_origin_float32_keeps_its_digits(rng):
    x = (1e4 + rng.normal(size=(2, 500))).astype(np.float32)
    y = (1e4 + rng.normal(size=(2, 400))).astype(np.float32)
    single, double = ots.wasserstein_1d(x, y), ots.wasserstein_1d(x.astype(float), y.astype(float))
    np.testing.assert_allclose(single.value, double.value, rtol=1e-5)
    assert single.value.dtype == np.float32


def test_reference_backend_pickle_and_repr(rng):
    x, y, a, b = measures(rng, 12, 9)
    found = ots.wasserstein_1d(x, y, a, b)
    other = ots.wasserstein_1d(x, y, a, b, backend="reference")
    assert float(other) == pytest.approx(float(found), rel=1e-13)
    np.testing.assert_allclose(other.plan.toarray(), found.plan.toarray(), atol=1e-15)
    assert float(pickle.loads(pickle.dumps(found))) == float(found)
    assert "n=12, m=9" in repr(found)
    assert "B=2" in repr(ots.wasserstein_1d(np.stack([x, x]), np.stack([y, y])))


@pytest.mark.parametrize(
    "args, message",
    [
        ((np.zeros((2, 3, 4)), np.zeros(3)), r"x has shape \(2, 3, 4\); expected \(n,\) or \(B, n\); several"),
        ((np.zeros(3), np.zeros((2, 3))), r"x has shape \(3,\) and y \(2, 3\)"),
        ((np.zeros((3, 2)), np.zeros((2, 2))), r"x has shape \(3, 2\) and y \(2, 2\)"),
        ((np.zeros(0), np.zeros(2)), "x is empty"),
        ((np.array([0.0, np.inf]), np.zeros(2)), r"x\[1\] is inf"),
        ((np.zeros(2), np.zeros(2), np.zeros(2)), "a has no mass"),
        ((np.zeros(2), np.zeros(2), np.ones(2)), "total masses differ"),
        ((np.zeros((2, 2)), np.zeros((2, 2)), np.array([[1, 1], [2, 1]]), np.ones(2)), "masses of pair 1 differ"),
        ((np.zeros(2), np.zeros(2), np.ones((1, 2)), np.ones(2) / 2), "total masses differ"),
        ((np.zeros(2), np.zeros(2), np.ones(3)), r"a has shape \(3,\)"),
        ((np.zeros((2, 2)), np.zeros((2, 2)), np.ones((3, 2))), r"a has shape \(3, 2\)"),
    ],
)
def test_bad_input_is_named(args, message):
    with pytest.raises(ValueError, match=message):
        ots.wasserstein_1d(*args)
