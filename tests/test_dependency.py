"""The Wasserstein dependency measure: against assignments, closed forms, and the level of its test."""

from __future__ import annotations

import math
import pickle
import re

import numpy as np
import pytest
from checks import check_library, check_same_bits, host
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import binom

import ot_solvers as ots
from ot_solvers.statistics import many


def circle(rng, n, noise=0.05):
    """Uncorrelated and dependent."""
    angle = rng.uniform(0, 2 * np.pi, size=n)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) + noise * rng.normal(size=(n, 2))
    return points[:, :1], points[:, 1:]


def by_assignment(x, y, seed, *, p, ground, scale, n_permutations, n_shuffles=1):
    """Value and null values from the definition, one assignment after another."""
    rng = np.random.default_rng(seed)
    n = len(x)
    parts = [cdist(z, z) for z in (x, y)]
    if scale == "mean":
        parts = [D / D[~np.eye(n, dtype=bool)].mean() for D in parts]
    elif scale is not None:
        parts = [D / length for D, length in zip(parts, scale)]

    def distance(pairs):
        values = []
        for shuffle in [rng.permutation(n) for _ in range(n_shuffles)]:
            Dy = parts[1][pairs][:, shuffle]
            D = parts[0] + Dy if ground == "sum" else np.hypot(parts[0], Dy)
            C = D**p
            values.append(C[linear_sum_assignment(C)].mean() ** (1 / p))
        return np.mean(values)

    return distance(np.arange(n)), [distance(rng.permutation(n)) for _ in range(n_permutations)]


@pytest.mark.fast
@pytest.mark.parametrize(
    ("p", "ground", "scale", "n_shuffles"),
    [(1, "sum", "mean", 1), (2, "euclidean", "mean", 1), (1.5, "sum", None, 2), (1, "euclidean", (2.0, 0.5), 3)],
)
def test_against_assignments(p, ground, scale, n_shuffles):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 2)), 3 * rng.normal(size=(40, 3))
    y[:, 0] += x[:, 1]
    choices = {"p": p, "ground": ground, "scale": scale, "n_permutations": 11, "n_shuffles": n_shuffles}
    found = ots.dependency(x, y, seed=7, **choices)
    value, null = by_assignment(x, y, 7, **choices)
    assert float(found) == found.value == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(found.null_values, null, rtol=1e-10)
    assert found.p_value == (1 + np.sum(np.array(null) >= value)) / 12
    assert found.debiased == pytest.approx(value - np.mean(null), rel=1e-9)
    assert found.effect == pytest.approx((value - np.mean(null)) / np.std(null, ddof=1), rel=1e-9)


def test_many_pairs_take_another_path(monkeypatch):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 1)), rng.normal(size=(60, 1))
    small = ots.dependency(x, y, seed=2, n_permutations=5)
    monkeypatch.setattr(many, "ALL_PAIRS", 100)
    large = ots.dependency(x, y, seed=2, n_permutations=5)
    assert float(large) == pytest.approx(float(small), rel=1e-12)
    np.testing.assert_allclose(large.null_values, small.null_values, rtol=1e-12)


def test_portions_and_memory_change_nothing(monkeypatch):
    x, y = circle(np.random.default_rng(2), 30)
    found = ots.dependency(x, y, seed=3, n_permutations=20)
    monkeypatch.setattr(many, "PORTION", 3)
    again = ots.dependency(x, y, seed=3, n_permutations=20)
    check_same_bits(again.null_values, found.null_values)
    reference = ots.dependency(x, y, seed=3, n_permutations=2, backend="reference")
    np.testing.assert_allclose(reference.null_values, found.null_values[:2], rtol=1e-9)


def test_a_closed_form():
    """Equal bits: of the joint law, half has to move by 1 to become the product."""
    bits = np.random.default_rng(3).integers(0, 2, size=(100, 1)).astype(float)
    raw = {"cost_x": "hamming", "cost_y": "hamming", "scale": None, "n_permutations": 39, "seed": 0}
    found = ots.dependency(bits, bits, **raw)
    # What the shuffles leave: a standard deviation of 1 / sqrt(n) among 4 of them.
    assert float(found) == pytest.approx(0.5, abs=0.1)
    assert found.p_value == 1 / 40
    other = np.random.default_rng(4).integers(0, 2, size=(100, 1)).astype(float)
    apart = ots.dependency(bits, other, **raw)
    assert abs(apart.debiased) < 0.1 and apart.p_value > 0.025


def test_dependence_without_correlation():
    x, y = circle(np.random.default_rng(5), 80)
    assert abs(np.corrcoef(x[:, 0], y[:, 0])[0, 1]) < 0.2
    found = ots.dependency(x, y, n_permutations=99, seed=0)
    assert found.p_value == 0.01 and found.effect > 4


def test_units_do_not_matter():
    x, y = circle(np.random.default_rng(6), 40)
    found = ots.dependency(x, y, n_permutations=9, seed=0)
    scaled = ots.dependency(1e6 * x - 5e3, 1e-3 * y, n_permutations=9, seed=0)
    np.testing.assert_allclose(scaled.null_values, found.null_values, rtol=1e-8)
    assert scaled.scale == pytest.approx((1e6 * found.scale[0], 1e-3 * found.scale[1]), rel=1e-8)
    raw = ots.dependency(10 * x, 10 * y, scale=None, n_permutations=0, seed=0)
    assert float(raw) == pytest.approx(10 * float(ots.dependency(x, y, scale=None, n_permutations=0, seed=0)))


@pytest.mark.parametrize("kind", ["continuous", "ties"])
def test_level(kind):
    """P-values of independent parts: uniform on k / 20 without ties, never too small with them."""
    rng = np.random.default_rng(8)
    found = []
    for _ in range(400):
        x, y = rng.normal(size=(2, 12, 1))
        if kind == "ties":
            x, y = np.rint(x), (y > 0).astype(float)
        found.append(ots.dependency(x, y, n_permutations=19, seed=rng).p_value)
    found = np.array(found)
    for k in (1, 2, 5, 10):
        count = int((found <= k / 20 + 1e-9).sum())
        low, high = binom.ppf([1e-5, 1 - 1e-5], len(found), k / 20)
        assert count <= high
        assert kind == "ties" or count >= low


def test_a_stop_keeps_what_was_done():
    x, y = circle(np.random.default_rng(9), 40)
    full = ots.dependency(x, y, n_permutations=99, seed=1)
    seen = []

    def stop(progress):
        seen.append(progress)
        return progress.done >= 50

    found = ots.dependency(x, y, n_permutations=99, seed=1, callback=stop)
    assert 50 <= found.n_permutations < 99 and seen[-1].total == 99
    assert [p.done for p in seen] == sorted({p.done for p in seen})
    check_same_bits(found.null_values, full.null_values[: found.n_permutations])
    assert found.p_value == seen[-1].p_value
    assert float(found) == float(full)


def test_entropic():
    x, y = circle(np.random.default_rng(10), 35)
    found = ots.dependency(x, y, reg=0.1, n_permutations=6, n_shuffles=1, seed=4)
    rng = np.random.default_rng(4)
    parts = [cdist(z, z) for z in (x, y)]
    parts = [D / (D.sum() / (35 * 34)) for D in parts]
    shuffle = rng.permutation(35)
    expected = [ots.solve(parts[0] + parts[1][:, shuffle], reg=0.1).value]
    for _ in range(6):
        pairs, shuffle = rng.permutation(35), rng.permutation(35)
        expected.append(ots.solve(parts[0] + parts[1][np.ix_(pairs, shuffle)], reg=0.1).value)
    np.testing.assert_allclose([float(found), *found.null_values], expected, rtol=1e-9)
    with pytest.warns(ots.ConvergenceWarning, match=r"\d of 3 transport problems ended early"):
        ots.dependency(x, y, reg=0.05, tol=1e-17, n_permutations=2, n_shuffles=1, seed=0)
    with pytest.raises(ots.ConvergenceError, match="1 of 1 transport problems"):
        ots.dependency(x, y, reg=0.05, tol=1e-17, n_permutations=2, n_shuffles=1, seed=0, on_failure="raise")


def test_degenerate_samples():
    one = ots.dependency([[1.0]], [[2.0, 3.0]], n_permutations=4)
    assert float(one) == 0 and one.p_value == 1
    x = np.random.default_rng(11).normal(size=(20, 2))
    constant = ots.dependency(x, np.ones((20, 1)), n_permutations=19, seed=0)
    assert constant.p_value == 1 and float(constant) == 0 and constant.effect == 0
    alone = ots.dependency(x, x, n_permutations=0)
    assert alone.p_value == 1 and math.isnan(alone.debiased) and math.isnan(alone.effect)
    assert "null hypothesis" not in repr(alone)
    two = ots.dependency([[0.0], [1.0]], [[0.0], [1.0]], n_permutations=19, seed=0)
    assert two.p_value > 0.2  # every permutation of two pairs is likely


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_results_come_back_as_the_arrays_came(library):
    x, y = (z.astype(np.float32) for z in circle(np.random.default_rng(12), 25))
    if library == "numpy":
        first, second = x, y
    else:
        namespace = pytest.importorskip("torch" if library == "torch" else "jax.numpy")
        first, second = namespace.asarray(x), namespace.asarray(y)
    found = ots.dependency(first, second, n_permutations=5, seed=0)
    check_library(found.null_values, first)
    assert isinstance(found.p_value, float) and isinstance(float(found), float)
    if library != "numpy":
        check_library(found.value, first)
    expected = ots.dependency(x.astype(float), y.astype(float), n_permutations=5, seed=0)
    np.testing.assert_allclose(host(found.null_values), expected.null_values, rtol=1e-5)


def test_memory_of_the_caller_is_left_alone():
    x, y = circle(np.random.default_rng(13), 60)
    views = x[::-2], np.asfortranarray(np.hstack([y, x]))[::2]
    copies = [np.array(z) for z in views]
    for z in views:
        z.flags.writeable = False
    found = ots.dependency(*views, n_permutations=5, seed=np.random.default_rng(0))
    check_same_bits(ots.dependency(*copies, n_permutations=5, seed=0).null_values, found.null_values)
    found.null_values[:] = 0
    assert found.debiased != float(found)


def test_a_result_is_shown_and_pickled():
    x, y = circle(np.random.default_rng(14), 25)
    found = ots.dependency(x, y, n_permutations=19, seed=0)
    text = repr(found)
    assert text.startswith("Wasserstein dependency of 25 pairs (p = 1)\n") and len(text.splitlines()) == 6
    assert re.search(r"p-value +[\d.]+ +\(19 permutations\)", text)
    assert repr(pickle.loads(pickle.dumps(found))) == text


ROW = [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        ((ROW, ROW[:1]), {}, ValueError, "x has 2 points and y 1; expected pairs"),
        (([0.0, 1.0], ROW), {}, ValueError, r"x has shape (2,); expected (n, d)"),
        ((ROW, [[0.0], [np.nan]]), {}, ValueError, "y[1, 0] is nan"),
        ((ROW, ROW), {"p": 0.5}, ValueError, "p=0.5 must be at least 1"),
        ((ROW, ROW), {"ground": "max"}, ValueError, "ground='max' is unknown"),
        ((ROW, ROW), {"cost_x": "euclid"}, ValueError, "cost='euclid' is unknown"),
        ((ROW, ROW), {"cost_y": "dot"}, ValueError, "is negative between points of y"),
        ((ROW, ROW), {"scale": "max"}, ValueError, "scale='max' is unknown"),
        ((ROW, ROW), {"scale": 2.0}, TypeError, "scale=2.0 must be 'mean', None or two lengths"),
        ((ROW, ROW), {"scale": (1.0, 0.0)}, ValueError, "scale[1]=0.0 must be positive"),
        ((ROW, ROW), {"reg": -1.0}, ValueError, "reg=-1.0 must be positive"),
        ((ROW, ROW), {"reg": ots.Entropic(0.1, "mean")}, ValueError, "relative to a cost that every permutation"),
        ((ROW, ROW), {"n_permutations": -1}, ValueError, "n_permutations=-1 must be at least 0"),
        ((ROW, ROW), {"n_permutations": 1.5}, TypeError, "n_permutations=1.5 is not an integer"),
        ((ROW, ROW), {"n_shuffles": 0}, ValueError, "n_shuffles=0 must be at least 1"),
        ((ROW, ROW), {"callback": 3}, TypeError, "callback=3 is not callable"),
        ((ROW, ROW), {"on_failure": "shout"}, ValueError, "on_failure='shout' is unknown"),
        (([[0.0], [1e100]], ROW), {"p": 4, "scale": None}, ValueError, "distances overflow float64 at p=4"),
        (([[0.0], [1e300]], ROW), {"cost_x": "sqeuclidean"}, ValueError, "the distances of x overflow"),
    ],
)
def test_bad_input(arguments, keywords, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ots.dependency(*arguments, **keywords)


def test_two_libraries_do_not_mix():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="x is a numpy array and y a torch array"):
        ots.dependency(np.zeros((2, 1)), torch.zeros(2, 1))
