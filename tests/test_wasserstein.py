"""`wasserstein`: closed forms, bounds that hold, and the accuracy that was asked for."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

import ot_solvers as ots
from ot_solvers.solvers.exact import choice


def clouds(kind, rng, n, m):
    if kind == "gaussian":
        return rng.normal(size=(n, 3)), rng.normal(size=(m, 3))
    if kind == "apart":
        return rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 20.0
    if kind == "heavy":
        return rng.standard_cauchy(size=(n, 2)), rng.standard_cauchy(size=(m, 2))
    if kind == "clusters":
        centres = 10 * rng.normal(size=(5, 4))
        return centres[rng.integers(5, size=n)] + 0.01 * rng.normal(size=(n, 4)), centres[rng.integers(5, size=m)]
    if kind == "lattice":  # ties everywhere
        return rng.integers(0, 6, size=(n, 2)).astype(float), rng.integers(0, 6, size=(m, 2)).astype(float)
    assert kind == "high dimension"
    return rng.random((n, 30)), rng.random((m, 30))


KINDS = ["gaussian", "apart", "heavy", "clusters", "lattice", "high dimension"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("p", [1, 2, 3.5])
@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_holds_the_distance_and_is_as_short_as_asked(kind, p, seed, monkeypatch):
    monkeypatch.setattr(choice, "ALL_PAIRS", 0)
    rng = np.random.default_rng(seed)
    n, m = rng.integers(210, 500, size=2)
    x, y = clouds(kind, rng, n, m)
    a, b = rng.gamma(0.5, size=n), rng.gamma(0.5, size=m)
    a[rng.integers(n)] = 0.0
    a, b = a / a.sum(), b / b.sum()
    # Of the costs' own arrays: another path to the same numbers.
    exact = float(ots.solve(np.linalg.norm(x[:, None] - y[None], axis=-1) ** p, a, b, method="simplex")) ** (1 / p)
    for rtol in (0.0, 1e-3, 0.1):
        found = ots.wasserstein(x, y, a, b, p=p, rtol=rtol)
        assert found.lower <= exact * (1 + 1e-10) and exact <= found.upper * (1 + 1e-10)
        assert found.upper - found.lower <= rtol * found.upper + 1e-9 * exact
        assert float(found) == found.upper == pytest.approx(float(found.value))
        assert found.solution.converged and found.solution.method == "crossover"


def test_less_accuracy_is_less_work():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 1500, 3))
    exact, rough = ots.wasserstein(x, y, rtol=0), ots.wasserstein(x, y, rtol=1e-2)
    assert rough.solution.diagnostics["pivots"] < exact.solution.diagnostics["pivots"]
    assert rough.upper - rough.lower > 0


def test_closed_forms():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 3))
    shift = np.array([1.0, -2.0, 2.0])
    for p in (1, 2, 5):
        assert float(ots.wasserstein(x, x + shift, p=p, rtol=0)) == pytest.approx(3.0, rel=1e-9)
    assert float(ots.wasserstein(x, x[::-1], rtol=0)) == pytest.approx(0.0, abs=1e-7)
    assert float(ots.wasserstein([[0.0, 0.0]], [[3.0, 4.0]])) == 5.0
    # Masses count: the distance is that of the measures, not of their normalised versions.
    assert float(ots.wasserstein(x, x + shift, np.full(400, 1.0), np.full(400, 1.0), p=2)) == pytest.approx(60.0)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_on_a_line(p):
    rng = np.random.default_rng(2)
    x, y, a, b = rng.normal(size=700), rng.exponential(size=600), rng.random(700), rng.random(600)
    a, b = a / a.sum(), b / b.sum()
    found = ots.wasserstein(x[:, None], y[:, None], a, b, p=p)
    assert found.solution.method == "sorting"
    assert found.lower == pytest.approx(found.upper, rel=1e-10)
    if p == 1:
        assert float(found) == pytest.approx(wasserstein_distance(x, y, a, b), rel=1e-12)


def test_few_points_are_exact():
    rng = np.random.default_rng(3)
    found = ots.wasserstein(*rng.normal(size=(2, 60, 2)), rtol=0.5)
    assert found.solution.method == "assignment" and found.lower == pytest.approx(found.upper, rel=1e-12)


def test_what_comes_back():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 600, 2)).astype(np.float32)
    found = ots.wasserstein(x, y)
    assert isinstance(found.value, float) and found.solution.potential_a.dtype == np.float32
    assert found.solution.sparse_plan().shape == (600, 600)
    assert re.fullmatch(r"WassersteinDistance\([\d.e-]+, p=2, lower=[\d.e-]+\)", repr(found))
    assert float(ots.wasserstein(x, y, p=np.int64(2), rtol=np.float32(1e-3))) == float(found)
    again = ots.wasserstein(x, y, init=found.solution)
    assert again.solution.n_iter < found.solution.n_iter


def test_stopping_keeps_the_bounds():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 900, 3))
    exact = float(ots.wasserstein(x, y, rtol=0))
    found = ots.wasserstein(x, y, callback=lambda progress: progress.iteration > 4)
    assert found.solution.status is ots.Status.STOPPED_BY_CALLBACK
    assert found.lower <= exact <= found.upper
    with pytest.warns(ots.ConvergenceWarning, match="MAX_ITER"):
        found = ots.wasserstein(x, y, max_iter=3)
    assert found.lower <= exact <= found.upper


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"p": 0.5}, ValueError, "p=0.5 must be at least 1 and finite"),
        ({"p": math.inf}, ValueError, "p=inf must be at least 1"),
        ({"p": "2"}, TypeError, "p='2' is not a number"),
        ({"rtol": -0.1}, ValueError, "rtol=-0.1 must be in [0, 1)"),
        ({"rtol": 1}, ValueError, "rtol=1 must be in [0, 1)"),
        ({"rtol": math.nan}, ValueError, "rtol=nan must be in [0, 1)"),
        ({"rtol": None}, TypeError, "rtol=None is not a number"),
        ({"a": [1.0, -1.0]}, ValueError, "a"),
        ({"b": [1.0, 1.0], "a": [1.0, 2.0]}, ValueError, "total masses differ"),
    ],
)
def test_bad_input(keywords, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ots.wasserstein([[0.0, 1.0], [2.0, 3.0]], [[1.0, 1.0], [2.0, 2.0]], **keywords)
