"""The oracle itself: `reference` against brute force on dense NumPy arrays, also in a strict array library."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
from checks import check_close
from conformance_cases import unit_rows
from problems import combinations, some_weights
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from ot_solvers import costs
from ot_solvers.backends import blockwise, registry
from ot_solvers.geometry import DenseGeometry, PointCloud
from ot_solvers.penalties import KL, TV, Balanced
from ot_solvers.plans.gibbs import GibbsPlan

REFERENCE = registry.get("reference")

#: Costs by formulas that share nothing with the package.
BY_HAND = {
    "sqeuclidean": lambda x, y: cdist(x, y, "sqeuclidean"),
    "euclidean": lambda x, y: cdist(x, y, "euclidean"),
    "cityblock": lambda x, y: cdist(x, y, "cityblock"),
    "chebyshev": lambda x, y: cdist(x, y, "chebyshev"),
    "cosine": lambda x, y: cdist(x, y, "cosine"),
    "dot": lambda x, y: -x @ y.T,
    "sphere": lambda x, y: np.arccos(np.clip(x @ y.T, -1, 1)),
    "hamming": lambda x, y: cdist(x, y, "hamming"),
}


class Brute:
    """Everything that primitives say, from the whole matrix."""

    def __init__(self, C, f, g, a, b, eps):
        self.C, self.f, self.g, self.a, self.b, self.eps = C, f, g, a, b, eps
        with np.errstate(divide="ignore"):
            self.h = np.log(b) + g / eps
        self.P = np.outer(a, b) * np.exp((f[:, None] + g - C) / eps)

    @property
    def softmin(self):
        return -self.eps * logsumexp(self.h - self.C / self.eps, axis=1)

    def swept(self, penalty):
        rows = self.softmin
        new = {
            0: rows,
            1: rows * penalty.rho / (penalty.rho + self.eps) if penalty.kind == 1 else None,
            2: np.clip(rows, -penalty.rho, penalty.rho),
        }[penalty.kind]
        return new, (self.a[:, None] * np.exp(self.h + (new[:, None] - self.C) / self.eps)).sum(0)

    def rounded(self, x, y, u, v):
        Q = x[:, None] * self.P * y + np.outer(u, v)
        live = Q > 0
        return (Q[live] * self.C[live]).sum(), (Q[live] * np.log(Q[live] / np.outer(self.a, self.b)[live])).sum()


PROBLEMS = combinations(["numpy", "array_api_strict"], BY_HAND, quick=("numpy", "sqeuclidean"))


@pytest.fixture(params=[pytest.param(found.values, marks=found.marks) for found in PROBLEMS], ids="-".join)
def problem(request, rng):
    """(cloud in the library, the same by brute force, the plan)."""
    library, cost = request.param
    n, m, eps = 11, 14, 0.3
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))
    if cost == "hamming":
        x, y = np.sign(x), np.sign(y)
    if cost == "sphere":
        x, y = unit_rows(x), unit_rows(y)
    a, b = some_weights(rng, n), some_weights(rng, m)
    f, g = 0.2 * rng.normal(size=n), 0.2 * rng.normal(size=m)
    if library == "numpy":
        cloud = PointCloud(x, y, costs.by_name(cost))
    else:
        cloud = PointCloud(
            array_api_strict.asarray(x), array_api_strict.asarray(y), costs.by_name(cost), xp=array_api_strict
        )
    brute = Brute(BY_HAND[cost](x, y), f, g, a, b, eps)
    return cloud, brute, GibbsPlan(cloud, f, g, a, b, eps)


def close(found, expected, scale=1e4):
    """Rounding of another formula: arc cosines near 0 lose half the digits, hence no smaller scale."""
    check_close(found, expected, "float64", "mass", scale=scale)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of a few rows, the last one shorter."""
    monkeypatch.setattr(blockwise, "BLOCK_ENTRIES", 3 * 14)
    assert len(list(blockwise.row_blocks(DenseGeometry(np.zeros((11, 14)))))) == 4


def test_softmin(problem):
    cloud, brute, _ = problem
    close(REFERENCE.softmin(cloud, brute.h, brute.eps), brute.softmin)
    close(REFERENCE.softmin(cloud, np.full(14, -np.inf), brute.eps), np.full(11, np.inf))


@pytest.mark.parametrize("penalty", [Balanced(), KL(0.7), TV(0.5)], ids=str)
def test_sweep(problem, penalty):
    cloud, brute, _ = problem
    f, masses = REFERENCE.sweep(cloud, brute.f, brute.h, brute.eps, brute.a, penalty)
    expected = brute.swept(penalty)
    close(f, expected[0])
    close(masses, expected[1])


def test_hardmin(problem):
    cloud, brute, _ = problem
    masked = np.where(brute.b > 0, brute.g, -np.inf)
    close(REFERENCE.hardmin(cloud, masked), (brute.C[:, brute.b > 0] - brute.g[brute.b > 0]).min(1))


def test_cost_statistics(problem):
    cloud, brute, _ = problem
    found = REFERENCE.cost_statistics(cloud)
    close(found[:3], (brute.C.min(), brute.C.max(), brute.C.mean()))
    assert found.pairs == brute.C.size


def test_passes_over_a_plan(problem, rng):
    _, brute, plan = problem
    v = rng.normal(size=(14, 2))
    close(REFERENCE.transport(plan, v), brute.P @ v)
    close(REFERENCE.plan_rows(plan, 2, 9), brute.P[2:9])
    found = REFERENCE.plan_statistics(plan)
    close(found.row_mass, brute.P.sum(1))
    close(found.column_mass, brute.P.sum(0))
    close(found.row_cost, (brute.P * brute.C).sum(1))


def test_rounded_objective(problem, rng):
    _, brute, plan = problem
    x, y, u, v = rng.random(11), rng.random(14), brute.a * rng.random(11), brute.b
    close(REFERENCE.rounded_objective(plan, x, y, u, v), brute.rounded(x, y, u, v))


def test_sparsify(problem):
    _, brute, plan = problem
    indptr, indices, data = REFERENCE.sparsify(plan, 0.2)
    for i, row in enumerate(brute.P):
        part = slice(indptr[i], indptr[i + 1])
        order = np.argsort(row)
        dropped = int((np.cumsum(row[order]) <= 0.2 * row.sum()).sum()) if row.any() else 14
        assert set(indices[part]) == set(order[dropped:])
        close(data[part], row[indices[part]])


def test_top_k(problem):
    cloud, brute, _ = problem
    indices, values = REFERENCE.top_k(cloud, brute.h, brute.eps, 5)
    close(values, np.sort(brute.C - brute.eps * brute.h, axis=1)[:, :5])
    close(values, np.take_along_axis(brute.C - brute.eps * brute.h, indices, axis=1))
    assert indices.dtype == np.int64


def test_cost_gradient(problem):
    """Moving one point moves sum_j P_ij c(x_i, y_j), the plan held fixed, by the gradient."""
    cloud, brute, plan = problem
    found = REFERENCE.cost_gradient(plan)
    x = np.asarray(cloud.x)
    for index in np.ndindex(*x.shape):
        ends = []
        for step in (1e-6, -1e-6):
            moved = x.copy()
            moved[index] += step
            if isinstance(cloud.cost, costs.Sphere):
                moved = unit_rows(moved)
            ends.append((brute.P * np.asarray(_cost_of(cloud, moved))).sum())
        slope = (ends[0] - ends[1]) / 2e-6
        if isinstance(cloud.cost, costs.Hamming):
            slope = 0.0  # piecewise constant
        check_close(found[index], slope, "float64", "derivative", scale=10.0)


def _cost_of(cloud, x):
    moved = PointCloud(x, np.asarray(cloud.y), cloud.cost)
    return moved.block(0, len(x))


def test_forbidden_pairs():
    """Costs of +inf: no plan entry, no share in sums, infinite minima of empty rows."""
    C = np.array([[1.0, np.inf, 3.0], [np.inf, np.inf, np.inf]])
    geometry = DenseGeometry(C)
    a, b, f, g = np.array([0.5, 0.5]), np.full(3, 1 / 3), np.zeros(2), np.zeros(3)
    plan = GibbsPlan(geometry, f, g, a, b, 1.0)
    expected = 0.5 / 3 * np.array([np.exp(-1), 0, np.exp(-3)])
    found = REFERENCE.plan_statistics(plan)
    close(found.row_mass, [expected.sum(), 0], 1)
    close(found.row_cost, [expected[0] + 3 * expected[2], 0], 1)
    close(REFERENCE.plan_rows(plan, 0, 2), [expected, np.zeros(3)], 1)
    close(REFERENCE.softmin(geometry, np.log(b), 1.0), [-np.log(2 * expected.sum()), np.inf], 1)
    new, masses = REFERENCE.sweep(geometry, None, np.log(b), 1.0, a, Balanced())
    assert new[1] == 0
    close(masses, expected / expected.sum() / 2, 1)
    close(REFERENCE.hardmin(geometry, g), [1, np.inf], 1)
    assert REFERENCE.cost_statistics(geometry) == (1.0, 3.0, 2.0, 2)
    assert REFERENCE.rounded_objective(plan, np.ones(2), np.ones(3), a, b)[0] == np.inf


def test_a_row_without_weight_never_counts():
    """Soft sides cut potentials without regard to weights: exp((f - C) / eps) may overflow where a is 0."""
    geometry = DenseGeometry(np.array([[0.0, 1.0], [-900.0, -900.0]]))
    a, b = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    _, masses = REFERENCE.sweep(geometry, None, np.log(b), 1.0, a, TV(5.0))
    assert np.isfinite(masses).all()
    plan = GibbsPlan(geometry, np.zeros(2), np.zeros(2), a, b, 1.0)
    assert np.isfinite(REFERENCE.plan_rows(plan, 0, 2)).all()
