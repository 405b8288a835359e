"""Exact transport between equally many points of one weight, by SciPy's assignment with potentials."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import ot_solvers as ots
from ot_solvers.backends import registry
from ot_solvers.solvers.exact.assignment import potentials


def matrix(kind, n, rng):
    if kind == "random":
        return rng.random((n, n))
    if kind == "cloud":
        return ((rng.normal(size=(n, 1, 3)) - rng.normal(size=(1, n, 3))) ** 2).sum(-1)
    if kind == "integer":  # ties everywhere
        return rng.integers(0, 4, size=(n, n)).astype(float)
    if kind == "equal":
        return np.full((n, n), 3.0)
    if kind == "shifted":
        return rng.random((n, n)) + 1e6
    if kind == "huge":
        return 1e200 * rng.random((n, n))
    assert kind == "negative"
    return rng.normal(size=(n, n))


KINDS = ["random", "cloud", "integer", "equal", "shifted", "huge", "negative"]


@pytest.mark.parametrize("n", [1, 2, 37, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_optimal_with_a_certificate(kind, n):
    rng = np.random.default_rng(n)
    C = matrix(kind, n, rng)
    solution = ots.solve(C, method="assignment")
    rows, columns = linear_sum_assignment(C)
    scale = np.abs(C).max()
    assert solution.converged and solution.method == "assignment"
    assert solution.value == pytest.approx(C[rows, columns].mean(), rel=1e-14, abs=1e-14 * scale)
    assert -1e-13 * scale <= solution.gap <= 1e-11 * scale
    f, g = solution.potentials
    assert (f[:, None] + g[None, :] <= C + 1e-12 * scale).all()
    plan = solution.sparse_plan()
    assert plan.nnz == n
    np.testing.assert_allclose(plan.sum(axis=1), 1 / n)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / n)
    other = ots.solve(C, method="simplex")
    assert float(other) == pytest.approx(float(solution), rel=1e-10, abs=1e-12 * scale)


def test_equally_many_points_with_weight():
    rng = np.random.default_rng(0)
    C = rng.random((12, 9))
    a, b = np.zeros(12), np.zeros(9)
    a[[1, 4, 5, 8, 11]], b[[0, 2, 3, 6, 8]] = 2.0, 2.0
    solution = ots.solve(C, a, b, method="assignment")
    assert float(solution) == pytest.approx(float(ots.solve(C, a, b, method="simplex")))
    f, g = solution.potentials
    assert (f[:, None] + g[None, :] <= C + 1e-12).all()  # of points without weight, too
    assert solution.plan.sum() == pytest.approx(10.0)


def test_points_and_the_transposed_matrix():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 60, 3))
    lazy = ots.solve_sample(x, y, method="assignment")
    C = np.asfortranarray(((x[:, None] - y[None]) ** 2).sum(-1))
    dense = ots.solve(C, method="assignment")
    assert float(lazy) == pytest.approx(float(dense), rel=1e-12)
    np.testing.assert_array_equal(lazy.match(), dense.match())


def test_forbidden_pairs():
    rng = np.random.default_rng(0)
    C = np.where(rng.random((40, 40)) < 0.3, rng.random((40, 40)), np.inf)
    C[np.arange(40), rng.permutation(40)] = 0.9
    solution = ots.solve(C, method="assignment")
    assert float(solution) == pytest.approx(float(ots.solve(C, method="simplex")))
    assert solution.gap <= 1e-12
    C[:, :2] = np.inf
    C[0, :2] = 1.0
    with pytest.raises(ots.InfeasibleError, match="no allowed"):
        ots.solve(C, method="assignment")


def test_auto_takes_it_for_a_few_hundred_points_of_one_weight():
    rng = np.random.default_rng(0)
    C = rng.random((200, 200))
    assert ots.solve(C).method == "assignment"
    assert "assignment" in ots.solve(C).method_reason
    a = np.full(200, 1 / 200)
    a[0] *= 1.5
    a /= a.sum()
    assert ots.solve(C, a).method == "simplex"
    assert ots.solve(C[:, :150]).method == "simplex"
    assert ots.solve(rng.random((900, 900))).method == "crossover"
    assert ots.solve(rng.random((300, 300))).method == "simplex"
    few = ots.solve(rng.integers(0, 50, (900, 900)))
    assert few.method == "assignment" and "few distinct costs" in few.method_reason
    assert few.gap <= 1e-12
    first = ots.solve(C)
    assert ots.solve(C, init=first).method == "simplex"


def test_other_weights_are_refused():
    C = np.ones((3, 3))
    with pytest.raises(ots.UnsupportedError, match="'assignment' needs equally many points of one weight"):
        ots.solve(C, [0.2, 0.3, 0.5], method="assignment")
    with pytest.raises(ots.UnsupportedError, match="'assignment' needs"):
        ots.solve(np.ones((3, 4)), method="assignment")
    with pytest.raises(ots.UnsupportedError, match="reg=None"):
        ots.solve(C, reg=0.1, method="assignment")
    with pytest.raises(ots.UnsupportedError, match="knows no mass="):
        ots.solve(C, mass=0.5, method="assignment")


def test_stops_where_it_is_asked_to():
    C = np.random.default_rng(0).random((30, 30))
    stopped = ots.solve(C, method="assignment", callback=lambda progress: True)
    assert stopped.status is ots.Status.STOPPED_BY_CALLBACK
    assert np.isfinite(float(stopped))


def test_potentials_of_a_wrong_assignment_are_none():
    """A negative cycle: shortest paths have no end, and no potentials are tight."""
    C = np.array([[0.0, 1.0], [1.0, 0.0]])
    engine = registry.get("numba")
    assert potentials(C, np.array([0, 1]), np.array([1, 0]), engine) is None
    assert potentials(C, np.array([0, 1]), np.array([0, 1]), engine) is not None


def test_long_paths_are_left_to_the_simplex():
    n = 300
    C = np.full((n, n), 10.0 * n)
    C[np.arange(n), np.arange(n)] = 1.0
    C[np.arange(n - 1), np.arange(1, n)] = 0.0
    solution = ots.solve(C, method="assignment")
    assert solution.method == "simplex"
    assert float(solution) == pytest.approx(1.0)
