"""Sorted rows and their permutations, by both sorts."""

from __future__ import annotations

import numpy as np
import pytest

from ot_solvers.backends.numba import sorting

SIZES = [1, 2, 5, 511, 513, 20_000]


def _keys(kind, n, dtype, rng):
    shape = 3, n
    small, large = (5e-324, 1e307) if dtype == np.float64 else (1e-45, 1e37)
    if kind == "normal":
        return rng.normal(size=shape).astype(dtype)
    if kind == "constant":
        return np.full(shape, 1.5, dtype)
    if kind == "ties":
        return rng.integers(-3, 3, size=shape).astype(dtype)
    if kind == "signed zeros":
        return np.where(rng.random(shape) < 0.5, -0.0, 0.0).astype(dtype)
    if kind == "denormal":
        return (rng.integers(-100, 100, size=shape) * small).astype(dtype)
    if kind == "huge":
        return (rng.normal(size=shape) * large).astype(dtype)
    if kind == "crowded":  # all but one agree in their upper bits
        keys = 1.0 + rng.random(shape) * (1e-12 if dtype == np.float64 else 1e-5)
        keys[:, 0] = -1e6
        return keys.astype(dtype)
    assert kind == "heavy tails"
    return np.exp(8 * rng.normal(size=shape)).astype(dtype)


KINDS = ["normal", "constant", "ties", "signed zeros", "denormal", "huge", "crowded", "heavy tails"]


@pytest.fixture(params=["radix", "numpy"])
def sort(request, monkeypatch):
    monkeypatch.setattr(sorting, "radix_is_faster", lambda dtype: request.param == "radix")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", SIZES)
def test_rows_are_sorted_with_their_places(n, kind, dtype, sort, rng):
    keys = _keys(kind, n, dtype, rng)
    expected = np.sort(keys, axis=1)
    rows = keys.copy()
    sorting.sort_rows(rows, sorting.Desk())
    np.testing.assert_array_equal(rows, expected)
    rows, order = keys.copy(), np.empty(keys.shape, np.int32)
    sorting.argsort_rows(rows, order, sorting.Desk())
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(np.sort(order, axis=1), np.broadcast_to(np.arange(n), keys.shape))
    np.testing.assert_array_equal(np.take_along_axis(keys, order, 1), expected)


def test_memory_is_used_again(sort, rng):
    desk = sorting.Desk()
    first = desk.array("u", (2, 30), np.float32)
    assert desk.array("u", (3, 20), np.float32).base is first.base
    assert desk.array("u", (3, 20), np.float64).dtype == np.float64
    rows = rng.normal(size=(2, 1000))
    for size in (1000, 700, 1000):  # what is left in it does no harm
        part = rows[:, :size].copy()
        sorting.sort_rows(part, desk)
        np.testing.assert_array_equal(part, np.sort(rows[:, :size], axis=1))


def test_the_faster_sort_is_chosen_by_measurement(monkeypatch):
    monkeypatch.setattr(sorting, "radix_sort", lambda rows, desk: None)  # nothing is faster than that
    sorting.radix_is_faster.cache_clear()
    assert sorting.radix_is_faster("float32")
    sorting.radix_is_faster.cache_clear()


def test_rows_that_are_too_long_for_their_places(monkeypatch):
    monkeypatch.setattr(sorting, "MOST", 10)
    with pytest.raises(ValueError, match="11 numbers are too long"):
        sorting.argsort_rows(np.zeros((1, 11)), np.empty((1, 11), np.int32), sorting.Desk())
