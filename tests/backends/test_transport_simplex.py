"""Exact transport on lists of arcs: the kernel against SciPy's HiGHS, and what a basis must keep."""

from __future__ import annotations

import numpy as np
import pytest

from ot_solvers.backends import registry

NUMBA, REFERENCE = registry.get("numba"), registry.get("reference")


def begun(C, a, b, arcs=None, order=None, backend=NUMBA):
    """On some pairs of a matrix, all finite ones by default."""
    rows, columns = np.nonzero(np.isfinite(C)) if arcs is None else arcs
    costs = C[rows, columns]
    if order is None:
        order = np.argsort(costs, kind="stable")
    return backend.transport_simplex(a, b, rows, columns, costs, order, np.zeros(a.size), np.zeros(b.size))


def solved(found):
    """Pivots until optimal, with as much mass moved as can be."""
    while True:
        assert found.pivot(1 << 40)
        if not found.unmet() or not found.insist():
            return found


def simplex(*problem, **options):
    return solved(begun(*problem, **options))


def check_optimal(found, C, a, b, *, tolerance=1e-12):
    """Both marginals, dual feasibility and complementary slackness: nothing else makes a plan optimal."""
    rows, columns, masses = found.plan()
    f, g = found.potentials()
    assert (masses > 0).all()
    assert len(masses) <= a.size + b.size - 1
    assert np.unique(rows * b.size + columns).size == masses.size
    total = a.sum()
    assert np.abs(np.bincount(rows, masses, minlength=a.size) - a).sum() <= 1e-14 * total
    assert np.abs(np.bincount(columns, masses, minlength=b.size) - b).sum() <= 1e-14 * total
    size = np.abs(C[np.isfinite(C)]).max()
    assert (C - f[:, None] - g[None, :]).min() >= -tolerance * size
    assert np.abs(C[rows, columns] - f[rows] - g[columns]).max() <= tolerance * size
    assert found.unmet() <= 1e-15 * total
    return float(masses @ C[rows, columns])


def weights(rng, n, kind):
    if kind == "uniform":
        return np.full(n, 1 / n)
    if kind == "gamma":
        w = rng.gamma(0.5, size=n)
    elif kind == "integers":  # many equal partial sums
        w = rng.integers(1, 4, size=n).astype(float)
    else:  # one dominates
        w = np.full(n, 1e-6)
        w[n // 2] = 1.0
    return w / w.sum()


@pytest.mark.parametrize("kind", ["uniform", "gamma", "integers", "dominating"])
@pytest.mark.parametrize("n, m", [(1, 1), (1, 7), (6, 1), (2, 2), (20, 20), (13, 40), (60, 35)])
def test_against_highs(n, m, kind):
    rng = np.random.default_rng(n * 100 + m)
    C = rng.normal(size=(n, m))
    a, b = weights(rng, n, kind), weights(rng, m, kind)
    b *= a.sum() / b.sum()
    mine = check_optimal(simplex(C, a, b), C, a, b)
    other = simplex(C, a, b, backend=REFERENCE)
    rows, columns, masses = other.plan()
    assert mine == pytest.approx(float(masses @ C[rows, columns]), abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_ties_everywhere(seed):
    """Small integers as costs and masses: nearly every pivot is degenerate."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 40, size=2)
    C = rng.integers(0, 3, size=(n, m)).astype(float)
    a, b = weights(rng, n, "integers"), weights(rng, m, "integers")
    check_optimal(simplex(C, a, b, order=rng.permutation(n * m)), C, a, b)


def test_equal_costs():
    C = np.full((30, 20), 7.0)
    a, b = np.full(30, 1 / 30), np.full(20, 1 / 20)
    assert check_optimal(simplex(C, a, b), C, a, b) == pytest.approx(7.0)


@pytest.mark.parametrize("n", [4, 9, 30])
def test_degenerate_assignments(n):
    """The identity is the only optimum among many degenerate bases; the worst order to start from."""
    i, j = np.indices((n, n))
    C = np.where(i == j, 0.0, 1.0 + ((j - i) % n == 1) * -0.5)
    a = b = np.full(n, 1 / n)
    order = np.argsort(-C.ravel(), kind="stable")
    assert check_optimal(simplex(C, a, b, order=order), C, a, b) == 0.0


def test_huge_and_tiny_costs_keep_their_digits():
    rng = np.random.default_rng(1)
    C = rng.random((25, 25))
    a = b = np.full(25, 1 / 25)
    value = check_optimal(simplex(C, a, b), C, a, b)
    for scale in (1e-300, 1e250):
        assert check_optimal(simplex(C * scale, a, b), C * scale, a, b) / scale == pytest.approx(value, rel=1e-12)
    huge = C.copy()
    huge[3, 4] = 1e200  # one pair that nobody wants
    found = simplex(huge, a, b)
    rows, columns, masses = found.plan()
    assert float(masses @ C[rows, columns]) == pytest.approx(value, rel=1e-12)


def test_masses_over_four_hundred_decades():
    rng = np.random.default_rng(2)
    a = 10.0 ** rng.uniform(-200, 0, size=30)
    b = 10.0 ** rng.uniform(-200, 0, size=30)
    b *= a.sum() / b.sum()
    C = rng.random((30, 30))
    found = simplex(C, a, b)
    rows, columns, masses = found.plan()
    assert np.abs(np.bincount(rows, masses, minlength=30) - a).sum() <= 1e-14 * a.sum()
    f, g = found.potentials()
    assert (C - f[:, None] - g[None, :]).min() >= -1e-13
    assert float(masses @ C[rows, columns]) == pytest.approx(a @ f + b @ g, rel=1e-12)


def test_arcs_may_come_later():
    """The basis is kept: the second solve takes a few pivots, and ends where a fresh one does."""
    rng = np.random.default_rng(3)
    n = 200
    x, y = rng.normal(size=(2, n, 2))
    C = ((x[:, None] - y[None]) ** 2).sum(-1)
    a, b = weights(rng, n, "gamma"), weights(rng, n, "uniform")
    fresh = simplex(C, a, b)
    f, g = fresh.potentials()
    reduced = C - f[:, None] - g[None, :] + 0.05 * rng.random((n, n))
    few = (reduced <= np.sort(reduced, axis=1)[:, 3:4]) | (reduced <= np.sort(reduced, axis=0)[3:4])
    found = simplex(C, a, b, arcs=np.nonzero(few))
    first, rounds = found.pivots, 0
    while True:
        f, g = found.potentials()
        more = np.nonzero(C - f[:, None] - g[None, :] < -1e-12)
        if not more[0].size:
            break
        found.add(*more, C[more])
        solved(found)
        rounds += 1
    assert rounds > 0
    assert found.pivots - first < fresh.pivots / 2
    assert check_optimal(found, C, a, b) == pytest.approx(check_optimal(fresh, C, a, b), rel=1e-12)


def test_pivots_in_portions():
    rng = np.random.default_rng(4)
    C = rng.random((50, 60))
    a, b = weights(rng, 50, "gamma"), weights(rng, 60, "gamma")
    found = begun(C, a, b, order=rng.permutation(C.size))
    values, portions = [], 0
    while not found.pivot(10) or (found.unmet() and found.insist()):
        portions += 1
        i, j, masses = found.plan()
        if not found.unmet():
            values.append(float(masses @ C[i, j]))
    assert portions > 3
    assert (np.diff(values) <= 1e-12).all()  # primal: never worse
    check_optimal(found, C, a, b)


@pytest.mark.parametrize("backend", [NUMBA, REFERENCE], ids=["numba", "reference"])
def test_mass_without_a_way_is_told(backend):
    C = np.array([[1.0, np.inf, np.inf], [2.0, np.inf, np.inf], [0.0, 1.0, 3.0]])
    a = b = np.full(3, 1 / 3)
    found = simplex(C, a, b, backend=backend)
    assert found.unmet() == pytest.approx(1 / 3, abs=1e-9)


def test_forbidden_pairs():
    """Allowed pairs that no plan can use, between blocks that exchange no mass: potentials are feasible."""
    rng = np.random.default_rng(5)
    C = np.full((12, 12), np.inf)
    C[:6, :6] = rng.random((6, 6)) + 100.0
    C[6:, 6:] = rng.random((6, 6))
    C[6:, :6] = rng.random((6, 6)) - 50.0  # one way only: nothing can come back
    a = b = np.full(12, 1 / 12)
    check_optimal(simplex(C, a, b), C, a, b, tolerance=1e-11)


def test_a_random_pattern_with_a_plan():
    rng = np.random.default_rng(6)
    n = 80
    C = np.where(rng.random((n, n)) < 0.05, rng.random((n, n)), np.inf)
    C[np.arange(n), rng.permutation(n)] = 2.0
    a = b = np.full(n, 1 / n)
    mine = check_optimal(simplex(C, a, b), C, a, b, tolerance=1e-11)
    i, j, masses = simplex(C, a, b, backend=REFERENCE).plan()
    assert mine == pytest.approx(float(masses @ C[i, j]), abs=1e-9)
