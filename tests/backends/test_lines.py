"""Primitives on lines: kernels against the formulas, formulas against SciPy, and the same bits on any thread."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

import ot_solvers as ots
from ot_solvers.backends import registry

NUMBA, REFERENCE = registry.get("numba"), registry.get("reference")
ALL = ("x", "y", "a", "b", "directions")
#: n, m, d and what the weights are.
CASES = [
    (1, 1, 1, "uniform"),
    (1, 5, 2, "uniform"),
    (30, 30, 3, "uniform"),
    (30, 20, 1, "uniform"),
    (40, 40, 5, "gamma"),
    (300, 260, 3, "gamma"),
    (300, 300, 30, "gamma"),
    (260, 260, 27, "uniform"),
    (40, 30, 2, "zeros"),
]


def _clouds(n, m, d, weights, dtype, rng):
    x, y = (rng.normal(size=(n, d)) + 3).astype(dtype), (2 * rng.normal(size=(m, d))).astype(dtype)
    if weights == "uniform":
        return x, y, np.full(n, 1 / n), np.full(m, 1 / m)
    a, b = rng.gamma(1.0, size=n), rng.gamma(1.0, size=m)
    if weights == "zeros":
        a[[0, 3, n - 1]] = b[[1, m - 2]] = 0
    return x, y, a / a.sum(), b / b.sum()


def _directions(count, d, rng):
    vectors = rng.normal(size=(count, d))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _close(found, expected, dtype):
    scale = np.abs(expected).max(initial=0)
    tolerance = 1e-11 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernels_are_the_formulas(case, p, dtype, rng):
    x, y, a, b = _clouds(*case, dtype, rng)
    vectors = _directions(7, case[2], rng)
    args = x, y, a, b, vectors, p
    _close(NUMBA.projected_wasserstein(*args), REFERENCE.projected_wasserstein(*args), dtype)
    _close(NUMBA.lifted_costs(*args), REFERENCE.lifted_costs(*args), dtype)
    scale = rng.normal(size=7)
    found = NUMBA.projected_slopes(*args, scale, ALL)
    expected = REFERENCE.projected_slopes(*args, scale, ALL)
    for k, (one, other) in enumerate(zip(found, expected, strict=True)):
        # Signs of differences next to nothing are rounding.
        if not (p == 1 and dtype == np.float32 and k):
            _close(one, other, dtype)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("shared", [True, False])
def test_rows(p, shared, rng):
    u, v = rng.normal(size=(5, 40)), rng.normal(size=(5, 30)) + 10
    shape_a, shape_b = ((40,), (30,)) if shared else ((5, 40), (5, 30))
    a, b = rng.gamma(1.0, size=shape_a), rng.gamma(1.0, size=shape_b)
    a, b = a / a.sum(axis=-1, keepdims=True), b / b.sum(axis=-1, keepdims=True)
    args = u, v, a, b, p
    _close(NUMBA.line_wasserstein(*args), REFERENCE.line_wasserstein(*args), np.float64)
    for one, other in zip(NUMBA.line_slopes(*args), REFERENCE.line_slopes(*args), strict=True):
        _close(one, other, np.float64)
    for one, other in zip(NUMBA.line_plans(u, v, a, b), REFERENCE.line_plans(u, v, a, b), strict=True):
        _close(one, other, np.float64)


def test_the_formulas_against_scipy(rng):
    u, v, a, b = rng.normal(size=30), rng.normal(size=20), rng.random(30), rng.random(20)
    found = REFERENCE.line_wasserstein(u[None], v[None], a / a.sum(), b / b.sum(), 1.0)
    assert found[0] == pytest.approx(wasserstein_distance(u, v, a, b), rel=1e-13)


@pytest.mark.parametrize("slots", [True, False])
@pytest.mark.parametrize("weights", ["uniform", "gamma"])
def test_the_same_bits_with_any_number_of_threads(weights, slots, rng, monkeypatch):
    from ot_solvers.backends.numba import sliced

    monkeypatch.setattr(sliced, "SLOT_KEYS", 1)
    if not slots:
        monkeypatch.setattr(sliced, "SLOT_BYTES", 0)
    x, y, a, b = _clouds(9000, 9000, 3, weights, np.float32, rng)
    vectors, scale = _directions(40, 3, rng), rng.normal(size=40)
    found = []
    before = ots.get_num_threads()
    try:
        for threads in (1, 2, 5):
            ots.set_num_threads(threads)
            slopes = NUMBA.projected_slopes(x, y, a, b, vectors, 2.0, scale, ALL)
            found.append((NUMBA.projected_wasserstein(x, y, a, b, vectors, 2.0), *slopes))
    finally:
        ots.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("n", [50, 700])
def test_groups_of_directions_add_up(n, rng, monkeypatch):
    from ot_solvers.backends.numba import sliced

    x, y, a, b = _clouds(n, n - 10, 3, "gamma", np.float64, rng)
    vectors, scale = _directions(23, 3, rng), rng.normal(size=23)
    args = x, y, a, b, vectors, 2.0, scale
    whole = NUMBA.projected_slopes(*args, ALL)
    monkeypatch.setattr(sliced, "KEPT_KEYS", 6 * n)
    monkeypatch.setattr(sliced, "KEYS", 4 * n)
    for slot_bytes in (0, 1 << 30):  # in groups, and in ranges with sums of their own
        monkeypatch.setattr(sliced, "SLOT_BYTES", slot_bytes)
        monkeypatch.setattr(sliced, "SLOT_KEYS", 1)
        for one, other in zip(NUMBA.projected_slopes(*args, ALL), whole, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", [(50, 50, 3, "uniform"), (50, 40, 3, "uniform"), (50, 40, 3, "gamma")], ids=str)
def test_derivatives_that_are_not_asked_for(case, rng):
    x, y, a, b = _clouds(*case, np.float64, rng)
    vectors, scale = _directions(6, 3, rng), rng.normal(size=6)
    args = x, y, a, b, vectors, 2.0, scale
    whole = NUMBA.projected_slopes(*args, ALL)
    one, other = NUMBA.projected_slopes(*args, ["x"]), NUMBA.projected_slopes(*args, ["y"])
    assert one.y is one.a is one.directions is other.x is None
    np.testing.assert_allclose(one.x, whole.x, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(other.y, whole.y, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(one.values, whole.values, rtol=1e-12)
