"""Derivative rules against finite differences, in NumPy: no library with autograd takes part."""

import numpy as np
import pytest

import ot_solvers as ots
from ot_solvers.layers.rules import envelope, implicit
from ot_solvers.layers.rules.implicit import PotentialRule
from ot_solvers.layers.rules.supports import SupportRule

SETTINGS = {
    "balanced": {},
    "kl": {"unbalanced": 1.0},
    "semi-relaxed": {"unbalanced": (1.0, np.inf)},
    "tv": {"unbalanced": 0.7, "unbalanced_type": "tv"},
}
TIGHT = {"tol": 1e-13, "max_iter": 100_000, "on_failure": "ignore"}


class Problem:
    """One problem, directions to move its data in, and the solution anywhere along them."""

    def __init__(self, setting, strength, n=7, m=9, zeros=False, mass=1.0, seed=0):
        rng = np.random.default_rng(seed)
        self.keywords = SETTINGS[setting] | TIGHT
        x, y = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 0.3
        self.a, self.b = rng.random(n) + 0.1, rng.random(m) + 0.1
        if zeros:
            self.a[0] = self.b[1] = 0.0
        self.a, self.b = mass * self.a / self.a.sum(), mass * self.b / self.b.sum()
        if setting != "balanced":
            self.b = 1.3 * self.b
        self.C = ((x[:, None] - y[None]) ** 2).sum(-1)
        self.eps = strength * self.C.mean()
        # Directions that keep masses; weights that are 0 stay 0.
        self.dC = rng.normal(size=(n, m))
        self.da, self.db = rng.normal(size=n) * self.a, rng.normal(size=m) * self.b
        if setting == "balanced":
            self.da -= self.a * self.da.sum() / self.a.sum()
            self.db -= self.b * self.db.sum() / self.b.sum()

    def at(self, t, which):
        return ots.solve(
            self.C + t * self.dC * (which == "C"),
            self.a + t * self.da * (which == "a"),
            self.b + t * self.db * (which == "b"),
            reg=self.eps * (1 + t * (which == "reg")),
            **self.keywords,
        )

    def slope(self, function, which):
        """Fourth-order central difference."""
        h = 1e-3 * (self.eps if which == "C" else 1.0)
        near, far = (function(self.at(k * h, which)) - function(self.at(-k * h, which)) for k in (1, 2))
        return (8 * near - far) / (12 * h)


CASES = [
    *((setting, strength, False, 1.0) for setting in SETTINGS for strength in (1.0, 0.1, 0.01)),
    ("balanced", 0.001, False, 1.0),
    ("kl", 0.001, False, 1.0),
    ("balanced", 0.1, True, 3.0),
    ("kl", 0.05, True, 3.0),
]


@pytest.mark.parametrize("decomposed", [True, False])
@pytest.mark.parametrize(("setting", "strength", "zeros", "mass"), CASES)
def test_potentials(setting, strength, zeros, mass, decomposed, monkeypatch):
    """Pulling back and pushing forward agree with differences, in costs, weights and eps."""
    if not decomposed:
        monkeypatch.setattr(implicit, "DENSE", 0)
    problem = Problem(setting, strength, zeros=zeros, mass=mass)
    rng = np.random.default_rng(1)
    u, v = rng.normal(size=7), rng.normal(size=9)
    rule = PotentialRule(problem.at(0, ""))
    arrived = rule.pull_back(u, v)
    by_a, by_b = rule.to_weights(arrived)
    pulled = {
        "C": (rule.to_costs(arrived, 0, 7) * problem.dC).sum(),
        "a": by_a @ problem.da,
        "b": by_b @ problem.db,
        "reg": rule.to_reg(arrived) * problem.eps,
    }
    pushed = {
        "C": rule.push_forward(costs=lambda i, j: problem.dC[i:j]),
        "a": rule.push_forward(a=problem.da),
        "b": rule.push_forward(b=problem.db),
    }
    for which, found in pulled.items():
        f, g = (problem.slope(lambda s, k=k: s.potentials[k], which) for k in (0, 1))
        scale = 1e-3 + np.abs(f).max() + np.abs(g).max()  # all clipped, nothing moves
        assert abs(found - (u @ f + v @ g)) <= 1e-6 * scale * np.abs(np.concatenate([u, v])).sum(), which
        if which in pushed:
            np.testing.assert_allclose(pushed[which][0], f, atol=1e-6 * scale, err_msg=which)
            np.testing.assert_allclose(pushed[which][1], g, atol=1e-6 * scale, err_msg=which)


@pytest.mark.parametrize(("setting", "strength", "zeros", "mass"), CASES)
def test_values(setting, strength, zeros, mass):
    problem = Problem(setting, strength, zeros=zeros, mass=mass)
    solution = problem.at(0, "")
    by_a, by_b = envelope.by_weights(solution)
    found = {
        "C": (solution.plan * problem.dC).sum(),
        "a": by_a @ problem.da,
        "b": by_b @ problem.db,
        "reg": envelope.by_reg(solution) * problem.eps,
    }
    for which, slope in found.items():
        assert slope == pytest.approx(problem.slope(float, which), rel=1e-6, abs=1e-9), which


@pytest.mark.parametrize("setting", ["balanced", "kl"])
@pytest.mark.parametrize("strength", [0.1, 0.01, 0.001])
def test_both_ways_to_solve_the_system_agree(setting, strength, monkeypatch):
    problem = Problem(setting, strength, 40, 30)
    rule = PotentialRule(problem.at(0, ""))
    rhs = np.random.default_rng(1).normal(size=30) * rule.column_mass
    decomposed = rule._schur(rhs)
    monkeypatch.setattr(implicit, "DENSE", 0)
    difference = rule._schur(rhs) - decomposed
    if rule.singular:
        difference -= difference.mean()
    assert np.abs(difference).max() <= 1e-9 * np.ptp(decomposed)


def test_weights_that_are_zero_have_the_derivative_of_adding_mass():
    """Unbalanced: one sided differences from a weight of exactly 0."""
    problem = Problem("kl", 0.1, zeros=True)
    solution = problem.at(0, "")
    by_a, _ = envelope.by_weights(solution)
    a, h = problem.a.copy(), 1e-5
    a[0] = h
    more = ots.solve(problem.C, a, problem.b, reg=problem.eps, **problem.keywords)
    assert by_a[0] == pytest.approx((more.value - solution.value) / h, rel=1e-3)


def test_parts_that_fall_apart_get_the_solution_of_least_norm():
    """Two blocks without a pair between them: each has a null vector of its own."""
    rng = np.random.default_rng(2)
    C = np.full((6, 6), np.inf)
    C[:3, :3], C[3:, 3:] = rng.random((3, 3)), rng.random((3, 3))
    solution = ots.solve(C, reg=0.2, **TIGHT)
    rule = PotentialRule(solution)
    dC = np.where(np.isfinite(C), rng.normal(size=C.shape), 0.0)
    df, dg = rule.push_forward(costs=lambda i, j: dC[i:j])
    h = 1e-5
    plus, minus = (
        ots.solve(np.where(np.isfinite(C), C + s * h * dC, np.inf), reg=0.2, **TIGHT).plan for s in (1, -1)
    )
    P = solution.plan
    with np.errstate(invalid="ignore"):
        found = np.where(P > 0, P * (df[:, None] + dg[None, :] - dC) / 0.2, 0.0)
    np.testing.assert_allclose(found, (plus - minus) / (2 * h), atol=1e-7)


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "cosine", "dot"])
def test_points(cost):
    """Cotangents of points, with and without the matrix."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(5, 3))
    u, v = rng.normal(size=6), rng.normal(size=5)

    def at(x, y):
        return ots.solve_sample(x, y, cost=cost, reg=0.5, **TIGHT)

    rule = PotentialRule(at(x, y))
    by_x, by_y = rule.to_points(rule.pull_back(u, v))
    dx, dy, h = rng.normal(size=x.shape), rng.normal(size=y.shape), 1e-5

    def total(t):
        f, g = at(x + t * dx, y + t * dy).potentials
        return u @ f + v @ g

    assert (by_x * dx).sum() + (by_y * dy).sum() == pytest.approx((total(h) - total(-h)) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("reg", [ots.Quadratic(0.8), ots.SparsityConstrained(0.8, 4)])
def test_entries_of_quadratic_plans(reg):
    rng = np.random.default_rng(4)
    C, a, b = rng.random((6, 7)), rng.random(6) + 0.5, rng.random(7) + 0.5
    a, b = 2 * a / a.sum(), 2 * b / b.sum()
    W = rng.normal(size=C.shape)
    solution = ots.solve(C, a, b, reg=reg)
    assert solution.gap <= 1e-9
    rule = SupportRule(solution)
    found = rule.of_plan(W[rule.rows, rule.columns])
    dC, h = rng.normal(size=C.shape), 1e-6
    by_costs = (found.costs * dC[rule.rows, rule.columns]).sum()
    slope = [(ots.solve(C + s * h * dC, a, b, reg=reg).plan * W).sum() for s in (1, -1)]
    assert by_costs == pytest.approx((slope[0] - slope[1]) / (2 * h), rel=1e-5)
    da = rng.normal(size=6)
    da -= da.mean()
    slope = [(ots.solve(C, a + s * h * da, b, reg=reg).plan * W).sum() for s in (1, -1)]
    assert found.a @ da == pytest.approx((slope[0] - slope[1]) / (2 * h), rel=1e-5)


def test_potentials_on_a_support_make_the_plan():
    """Also where the dual point's potentials do not: with few entries and a gap."""
    rng = np.random.default_rng(5)
    C = rng.random((10, 10))
    solution = ots.solve(C, reg=ots.SparsityConstrained(3.0, 2))
    rule = SupportRule(solution)
    f, g = rule.potentials()
    np.testing.assert_allclose(
        (f[rule.rows] + g[rule.columns] - C[rule.rows, rule.columns]) / 3.0, rule.masses, atol=1e-9
    )


def test_what_has_no_rule_says_so():
    C = np.random.default_rng(6).random((4, 5))
    with pytest.raises(ots.UnsupportedError, match="need an entropic"):
        PotentialRule(ots.solve(C))
    with pytest.raises(ots.UnsupportedError, match="partial"):
        PotentialRule(ots.solve(C, reg=0.1, mass=0.5))
    with pytest.raises(ots.UnsupportedError, match="partial"):
        envelope.by_weights(ots.solve(C, reg=0.1, mass=0.5))
    with pytest.raises(ots.UnsupportedError, match="no regularisation"):
        envelope.by_reg(ots.solve(C))
    with pytest.raises(ots.UnsupportedError, match="quadratic"):
        SupportRule(ots.solve(C, reg=0.1))
    with pytest.raises(ots.UnsupportedError, match="kinks"):
        SupportRule(ots.solve(C, reg=ots.SparsityConstrained(1.0, 2))).of_potentials(np.ones(4), np.ones(5))
    with pytest.raises(TypeError, match="no points"):
        envelope.by_points(ots.solve(C, reg=0.1))
