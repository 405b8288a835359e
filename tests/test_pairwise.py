"""Distances within a collection: the same as one by one, whatever their number and size."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import ot_solvers as ots
from ot_solvers import pairwise


def collection(rng, sizes, d=3, weighted=True):
    measures = []
    for n in sizes:
        x = rng.normal(size=(n, d))
        if not weighted:
            measures.append(x)
            continue
        a = rng.gamma(0.5, size=n)
        if n > 3:
            a[rng.integers(n)] = 0.0
        measures.append((x, a / a.sum()))
    return measures


def one_by_one(measures, p):
    split = [m if isinstance(m, tuple) else (m, None) for m in measures]
    found = np.zeros((len(split), len(split)))
    for i, (x, a) in enumerate(split):
        for j, (y, b) in enumerate(split):
            if i != j:
                found[i, j] = float(ots.wasserstein(x, y, a, b, p=p, rtol=0))
    return found


@pytest.mark.parametrize("p", [1, 2, 3.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_all_pairs(p, weighted):
    measures = collection(np.random.default_rng(0), (1, 2, 5, 17, 40, 60, 33), weighted=weighted)
    matrix = ots.pairwise_wasserstein(measures, p=p)
    np.testing.assert_allclose(matrix, one_by_one(measures, p), rtol=1e-9, atol=1e-12)
    assert np.array_equal(matrix, matrix.T) and not matrix.diagonal().any()


def test_large_pairs_to_an_accuracy(monkeypatch):
    monkeypatch.setattr(pairwise, "ALL_PAIRS", 100)
    measures = collection(np.random.default_rng(1), (8, 9, 300, 320))
    exact = one_by_one(measures, 2)
    for rtol in (0.0, 0.05):
        found = ots.pairwise_wasserstein(measures, rtol=rtol)
        assert (found >= exact * (1 - 1e-9)).all() and (found <= exact / (1 - rtol) * (1 + 1e-9)).all()


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_some_pairs(backend):
    measures = collection(np.random.default_rng(2), (10, 20, 30))
    matrix = one_by_one(measures, 1)
    found = ots.pairwise_wasserstein(measures, p=1, pairs=[(2, 0), (1, 1), (0, 1), (2, 0)], backend=backend)
    np.testing.assert_allclose(found, [matrix[2, 0], 0.0, matrix[0, 1], matrix[2, 0]], rtol=1e-8, atol=1e-12)
    assert ots.pairwise_wasserstein(measures, pairs=[]).shape == (0,)


def test_ties_and_degenerate_measures():
    rng = np.random.default_rng(3)
    lattice = [rng.integers(0, 3, size=(n, 2)).astype(float) for n in (12, 12, 20, 7)]
    np.testing.assert_allclose(ots.pairwise_wasserstein(lattice), one_by_one(lattice, 2), rtol=1e-10, atol=1e-12)
    same = [np.zeros((5, 2)), np.zeros((3, 2))]
    assert np.array_equal(ots.pairwise_wasserstein(same), np.zeros((2, 2)))
    heavy = [(x, 1e200 * np.ones(len(x))) for x in (np.eye(2), np.eye(2) + 1)]
    assert ots.pairwise_wasserstein(heavy, p=1)[0, 1] == pytest.approx(2e200 * math.sqrt(2))


def test_progress_and_resume(monkeypatch):
    monkeypatch.setattr(pairwise, "PORTION", 4)
    measures = collection(np.random.default_rng(4), (5,) * 7)
    whole, seen = ots.pairwise_wasserstein(measures), []
    stopped = ots.pairwise_wasserstein(measures, callback=lambda progress: seen.append(progress) or len(seen) == 2)
    assert [tuple(progress) for progress in seen] == [(4, 21), (8, 21)]
    assert np.isnan(stopped).sum() == 2 * 13
    seen.clear()
    resumed = ots.pairwise_wasserstein(measures, partial=stopped, callback=seen.append)
    assert seen[0].done == 12 and seen[-1].done == 21
    assert np.array_equal(resumed, whole)
    some = [(0, 1), (2, 3)]
    again = ots.pairwise_wasserstein(measures, pairs=some, partial=[math.nan, -1.0])
    assert again[0] == whole[0, 1] and again[1] == -1.0


def test_same_bits_with_any_number_of_threads():
    measures = collection(np.random.default_rng(5), (20,) * 12)
    before = ots.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            ots.set_num_threads(threads)
            found.append(ots.pairwise_wasserstein(measures).tobytes())
    finally:
        ots.set_num_threads(before)
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("measures", "keywords", "error", "message"),
    [
        ([], {}, ValueError, "measures is empty"),
        ("abc", {}, TypeError, "measures=str must be a sequence"),
        (3, {}, TypeError, "measures=int must be a sequence"),
        ([np.eye(2), np.eye(3)], {}, ValueError, "measures[1] has 3 coordinates and measures[0] 2"),
        ([np.eye(2), [[1.0, math.nan]]], {}, ValueError, "measures[1]"),
        ([np.eye(2), (np.eye(2), [1.0, -1.0])], {}, ValueError, "the weights of measures[1]"),
        ([np.eye(2), (np.eye(2), [0.0, 0.0])], {}, ValueError, "measures[1] has no mass"),
        (
            [np.eye(2), (np.eye(2), [1.0, 1.0])],
            {},
            ValueError,
            "measures[0] has 1, measures[1] 2",
        ),
        ([np.eye(2), (np.eye(2), [1.0], 3)], {}, TypeError, "measures[1] is a tuple of 3"),
        ([np.eye(2)] * 2, {"p": 0}, ValueError, "p=0 must be at least 1"),
        ([np.eye(2)] * 2, {"rtol": 2}, ValueError, "rtol=2 must be in [0, 1)"),
        ([np.eye(2)] * 2, {"pairs": [(0, 2)]}, ValueError, "pairs holds the index 2; there are 2 measures"),
        ([np.eye(2)] * 2, {"pairs": [(-1, 0)]}, ValueError, "pairs holds the index -1"),
        ([np.eye(2)] * 2, {"pairs": [0, 1]}, ValueError, "expected pairs of indices"),
        ([np.eye(2)] * 2, {"partial": np.zeros(3)}, ValueError, "partial has shape (3,); expected (2, 2)"),
        ([np.eye(2)] * 2, {"callback": 3}, TypeError, "callback=3 is not callable"),
        ([np.eye(2)] * 2, {"backend": "nunba"}, ValueError, "did you mean 'numba'?"),
    ],
)
def test_bad_input(measures, keywords, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ots.pairwise_wasserstein(measures, **keywords)


@pytest.mark.parametrize("far", [1e3, 1e5, 1e6, 1e8, 1e12])
def test_a_point_far_away_hides_no_distance(far):
    """The largest cost is no measure of what the others may be off."""
    rng = np.random.default_rng(0)
    corner = np.array([[far, 0.0]])
    measures = [np.concatenate([rng.random((40, 2)), corner]) for _ in range(4)]
    found = ots.pairwise_wasserstein(measures, p=2)
    for i in range(4):
        for j in range(i):
            assert found[i, j] == pytest.approx(float(ots.wasserstein(measures[i], measures[j], rtol=0)), rel=1e-9)


def test_a_callback_may_answer_in_numpy():
    measures = [np.full((2, 1), float(k)) for k in range(60)]
    calls = []

    def stop(progress):
        calls.append(progress)
        return np.bool_(True)

    found = ots.pairwise_wasserstein(measures, callback=stop)
    assert len(calls) == 1
    assert np.isnan(found).any()


def test_masses_summed_in_float32():
    z = np.zeros((6, 1), dtype=np.float32)
    weights = np.full(5, 0.20001, dtype=np.float32)
    measures = [(z, np.full(6, 1 / 6, dtype=np.float32)), (z[:5] + 3, weights)]
    assert ots.pairwise_wasserstein(measures)[0, 1] == pytest.approx(3.0, rel=1e-3)
    with pytest.raises(ValueError, match="total masses differ"):
        ots.pairwise_wasserstein(
            [(z.astype(float), np.full(6, 1 / 6)), (z[:5].astype(float), np.full(5, 0.20001))]
        )


def test_a_ragged_list_is_named():
    with pytest.raises((TypeError, ValueError), match=r"measures\[0\]"):
        ots.pairwise_wasserstein([([[0.0, 0.0], [1.0]], [0.5, 0.5]), np.zeros((2, 2))])
