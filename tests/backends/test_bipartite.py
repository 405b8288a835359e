"""`Backend.bipartite_solver`: symmetric, positive definite, exact where it can be, good for CG."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse

from ot_solvers.backends import registry
from ot_solvers.solvers.hessian import SemiDualHessian

NUMBA, EXACT = registry.get("numba"), registry.get("reference")
#: Entries per point that are factorised.
CORE = 8


def of(weights):
    """(P, a, b) with the marginals of P as weights."""
    P = sparse.csr_array(weights)
    P.eliminate_zeros()
    return P, P.sum(axis=1), P.sum(axis=0)


def dense(rng, n=70, m=60):
    return of(rng.uniform(0.01, 1, (n, m)))


def near_assignment(rng, n=150):
    """Twelve orders of magnitude between entries, the largest on a permutation."""
    P = np.where(rng.random((n, n)) < 0.1, 10.0 ** rng.uniform(-12, -3, (n, n)), 0.0)
    P[np.arange(n), rng.permutation(n)] = 1.0
    return of(P / n)


def wild(rng, n=120, m=150):
    """Entries from 1e-12 to 1 in no order."""
    P = np.where(rng.random((n, m)) < 0.08, 10.0 ** rng.uniform(-12, 0, (n, m)), 0.0)
    P[np.arange(m) % n, np.arange(m)] += 10.0 ** rng.uniform(-12, 0, m)
    return of(P)


def blocks(rng, size=20, count=5):
    return of(sparse.block_diag([rng.uniform(0.1, 1, (size, size + 1)) for _ in range(count)]))


def cube(rng, side=7):
    """Points of a cube, each joined to those at a distance of at most one."""
    points = np.array(list(itertools.product(range(side), repeat=3)))
    near = np.abs(points[:, None] - points).sum(-1) <= 1
    return of(np.where(near, rng.uniform(0.1, 1, near.shape), 0.0))


def crowded(rng, n=300):
    """Too many entries to factorise all of them, of every size."""
    x, y = rng.random((n, 2)), rng.random((n, 2))
    return of(np.exp(-((x[:, None] - y) ** 2).sum(-1) / 0.005) / n**2)


def path(rng, n=80):
    """A tree as deep as it can be."""
    P = sparse.diags_array(
        [10.0 ** rng.uniform(-3, 0, n), 10.0 ** rng.uniform(-3, 0, n)], offsets=[0, 1], shape=(n, n + 1)
    )
    return of(P)


def stars(rng, n=6, m=300):
    """Every column has one entry."""
    return of(sparse.coo_array((10.0 ** rng.uniform(-6, 0, m), (np.arange(m) % n, np.arange(m)))))


def one_row(rng):
    return of(rng.uniform(0.1, 1, (1, 40)))


def one_column(rng):
    return of(rng.uniform(0.1, 1, (40, 1)))


def one_entry(rng):
    return of(np.array([[0.7]]))


FORESTS = [path, stars, one_row, one_column, one_entry]
PATTERNS = [dense, near_assignment, wild, blocks, cube, crowded, *FORESTS]
each_pattern = pytest.mark.parametrize("make", PATTERNS, ids=lambda make: make.__name__)


def grounded(P, a, b, share):
    """Diagonals that exceed the sums of P by a share of them."""
    return (1 + share) * P.sum(axis=1), (1 + share) * P.sum(axis=0)


def schur(P, rows, columns):
    return np.diag(columns) - (P.T @ sparse.diags_array(1 / rows) @ P).toarray()


def matrix_of(factor, m):
    return np.stack([factor.solve(e) for e in np.eye(m)], axis=1)


@each_pattern
@pytest.mark.parametrize("share", [1e-2, 1e-8])
def test_symmetric_and_positive_definite(rng, make, share):
    P, a, b = make(rng)
    factor = NUMBA.bipartite_solver(P, a, b, CORE).factor(*grounded(P, a, b, share))
    M = matrix_of(factor, b.size)
    # In units in which every column weighs the same.
    M *= np.sqrt(b)[:, None] * np.sqrt(b)
    assert np.abs(M - M.T).max() <= 1e-12 * np.abs(M).max()
    assert np.linalg.eigvalsh(0.5 * (M + M.T)).min() > 0


@each_pattern
def test_the_factor_of_scipy_is_exact(rng, make):
    P, a, b = make(rng)
    rows, columns = grounded(P, a, b, 1e-2)
    r = rng.normal(size=b.size) * b
    x = EXACT.bipartite_solver(P, a, b, CORE).factor(rows, columns).solve(r)
    np.testing.assert_allclose(x, np.linalg.solve(schur(P, rows, columns), r), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("make", FORESTS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("share", [0.1, 1e-6])
def test_exact_on_forests(rng, make, share):
    P, a, b = make(rng)
    rows, columns = grounded(P, a, b, share)
    # One vertex with ground, so that the graph with the ground is a forest too.
    rows[1:], columns[:] = a[1:], b
    if make is stars:
        rows = grounded(P, a, b, share)[0]  # one per star
    r = rng.normal(size=b.size) * b
    x = NUMBA.bipartite_solver(P, a, b, CORE).factor(rows, columns).solve(r)
    left = columns * x - P.T @ ((P @ x) / rows) - r
    assert np.abs(left).sum() <= 1e-13 * (columns @ np.abs(x))


@each_pattern
@pytest.mark.parametrize("share", [1e-2, 1e-5, 1e-9])
def test_conjugate_gradients_take_few_steps(rng, make, share):
    P, a, b = make(rng)
    rows, columns = grounded(P, a, b, share)
    r = rng.normal(size=b.size) * b
    # What a component gains another one does not lose, as in a plan whose rows are exact.
    _, label = sparse.csgraph.connected_components(P.T @ P)
    r -= (np.bincount(label, r) / np.bincount(label, b))[label] * b
    found = SemiDualHessian(P, None, rows, columns, (a, b), NUMBA, CORE).solve(r, 0.0, 1e-10, 60)
    if not np.abs(r).sum() > 1e-12 * b.sum():  # a single column
        return
    assert found.residual <= 1e-10
    assert found.cg_steps < 60
    left = columns * found.step - P.T @ ((P @ found.step) / rows) - r
    assert np.abs(left).sum() <= 2e-10 * np.abs(r).sum()


@each_pattern
def test_deterministic_and_small(rng, make):
    P, a, b = make(rng)
    solver = NUMBA.bipartite_solver(P, a, b, CORE)
    rows, columns = grounded(P, a, b, 1e-3)
    first, again = solver.factor(rows, columns), NUMBA.bipartite_solver(P, a, b, CORE).factor(rows, columns)
    r = rng.normal(size=b.size)
    np.testing.assert_array_equal(first.solve(r), again.solve(r))
    np.testing.assert_array_equal(first.solve(r), first.solve(r))
    # The edges that are left fall in number with every elimination; the factor sees some of them repeatedly.
    points = a.size + b.size
    core = solver.core[2].size
    assert first.parts[1].size <= 3 * (core + points)
    assert core <= min(P.nnz, 1.3 * CORE * points)


def test_crowded_patterns_are_thinned(rng):
    P, a, b = crowded(rng)
    ratio = P.toarray() / np.minimum(a[:, None], b)
    r = rng.normal(size=b.size) * b
    steps = []
    for core in (4, 8, 32, 1000):
        kept = NUMBA.bipartite_solver(P, a, b, core).core
        found = sparse.csr_array((kept[2], kept[1], kept[0]), shape=P.shape)
        wanted = min(core * (a.size + b.size), P.nnz)
        assert 0.7 * wanted < found.nnz < 1.3 * wanted
        if found.nnz < P.nnz:
            assert ratio[found.toarray() == 0].max() <= ratio[found.toarray() > 0].min()
        hessian = SemiDualHessian(P, None, *grounded(P, a, b, 1e-3), (a, b), NUMBA, core)
        steps.append(hessian.solve(r, 0.0, 1e-8, 200).cg_steps)
    # What more entries are for.
    assert steps[-1] < steps[1] < steps[0]


def test_rows_and_columns_without_entries(rng):
    P, a, b = dense(rng, 12, 9)
    wide = sparse.lil_array((15, 13))
    rows, columns = np.r_[:3, 5:14], np.r_[1:5, 6:11]
    wide[np.ix_(rows, columns)] = P.toarray()
    wide = sparse.csr_array(wide)
    # Diagonals there may be anything positive: those potentials are nobody's.
    R, K = np.full(15, 1.0), np.full(13, 1.0)
    R[rows], K[columns] = (1.01 * z for z in (a, b))
    weights = np.zeros(15), np.zeros(13)
    weights[0][rows], weights[1][columns] = a, b
    r = np.zeros(13)
    r[columns] = rng.normal(size=9)
    for backend in (NUMBA, EXACT):
        x = backend.bipartite_solver(wide, *weights, CORE).factor(R, K).solve(r)
        narrow = backend.bipartite_solver(P, a, b, CORE).factor(1.01 * a, 1.01 * b).solve(r[columns])
        assert np.isfinite(x).all()
        assert (np.delete(x, columns) == 0).all()
        if backend is EXACT:
            np.testing.assert_allclose(x[columns], narrow, rtol=1e-12)
    found = SemiDualHessian(wide, None, R, K, weights, NUMBA, CORE).solve(r, 0.0, 1e-10, 60)
    np.testing.assert_allclose(found.step[columns], narrow, rtol=1e-8)


def test_a_pattern_without_entries():
    P = sparse.csr_array((3, 4))
    r = np.array([1.0, -2.0, 0.5, 0.0])
    for backend in (NUMBA, EXACT):
        x = backend.bipartite_solver(P, np.ones(3), np.ones(4), CORE).factor(np.ones(3), np.full(4, 2.0)).solve(r)
        np.testing.assert_allclose(x, r / 2, rtol=1e-12)


@pytest.mark.parametrize("make", [dense, blocks, cube], ids=lambda make: make.__name__)
def test_without_ground_only_constants_are_lost(rng, make):
    # A Laplacian: singular by one constant per component, and consistent right hand sides.
    P, a, b = make(rng)
    _, label = sparse.csgraph.connected_components(P.T @ P)
    r = rng.normal(size=b.size) * b
    r -= (np.bincount(label, r) / np.bincount(label, b))[label] * b
    for backend in (NUMBA, EXACT):
        found = SemiDualHessian(P, None, a, b, (a, b), backend, CORE).solve(r, 0.0, 1e-10, 60)
        assert found.residual <= 1e-10
        left = b * found.step - P.T @ ((P @ found.step) / a) - r
        assert np.abs(left).sum() <= 2e-10 * np.abs(r).sum()


def test_a_shift_shortens_the_step(rng):
    P, a, b = near_assignment(rng)
    hessian = SemiDualHessian(P, None, a, b, (a, b), NUMBA, CORE)
    r = rng.normal(size=b.size) * b
    r -= r.sum() * b / b.sum()
    S = schur(P, a, b)
    before = np.inf
    for shift in (1e-6, 1e-3, 1.0, 1e3):
        step = hessian.solve(r, shift, 1e-12, 100).step
        # Both diagonals grow, so the Schur complement grows by at least the shift.
        size = np.abs(step).max()
        assert size < before
        assert r @ step > 0
        before = size
    np.testing.assert_allclose(step, r / (b * 1e3), rtol=1e-2)
    assert np.linalg.eigvalsh(S).min() > -1e-12
