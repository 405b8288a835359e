"""The judge against plans computed by hand, and against wrong answers, which it must not let pass."""

from dataclasses import replace

import numpy as np
import pytest
from bench_fakes.problems import two_point_problem
from scipy import sparse

import benchmarks.problems
from benchmarks.judge import (
    judge_exact,
    judge_partial,
    judge_plan,
    judge_potentials,
    judge_some,
    judge_values,
)
from benchmarks.problems import Problem, ProblemSpec

QUARTERS = Problem(
    a=np.array([0.5, 0.5]),
    b=np.array([0.5, 0.5]),
    eps=2.0,
    max_cost=3.0,
    C=np.array([[0.0, 1.0], [3.0, 0.0]]),
)


def test_product_plan_by_hand():
    verdict = judge_plan(QUARTERS, np.full((2, 2), 0.25))
    assert verdict.marginal_error == 0
    assert verdict.linear_cost == pytest.approx(1.0)
    # P = a b^T: no entropy.
    assert verdict.objective == pytest.approx(1.0)


def test_diagonal_plan_by_hand():
    verdict = judge_plan(QUARTERS, np.diag([0.5, 0.5]))
    assert verdict.marginal_error == 0
    assert verdict.linear_cost == 0
    assert verdict.objective == pytest.approx(2.0 * np.log(2.0))


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        ([[0.25, 0.25], [0.25, 0.0]], 0.5),  # a missing quarter is missed on both sides
        ([[0.5, 0.5], [0.0, 0.0]], 1.0),  # columns right, rows wrong
        ([[0.5, 0.0], [0.5, 0.0]], 1.0),  # rows right, columns wrong
        ([[0.5, 0.5], [0.5, 0.5]], 2.0),  # twice the mass
    ],
)
def test_wrong_plans_by_hand(plan, error):
    assert judge_plan(QUARTERS, plan).marginal_error == pytest.approx(error)


def test_marginal_error_is_relative_to_the_mass():
    heavy = replace(QUARTERS, a=10 * QUARTERS.a, b=10 * QUARTERS.b)
    assert judge_plan(heavy, 10 * np.array([[0.25, 0.25], [0.25, 0.0]])).marginal_error == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e-3])
def test_broken_plans_are_rejected(bad):
    plan = np.full((2, 2), 0.25)
    plan[0, 1] = bad
    assert judge_plan(QUARTERS, plan).marginal_error == np.inf


def test_potentials_of_the_closed_form(two_points):
    problem, plan = two_points
    log_density = problem.eps * np.log(plan / np.outer(problem.a, problem.b)) + problem.C
    f, g = log_density[:, 0], log_density[0] - log_density[0, 0]
    verdict = judge_potentials(problem, f, g)
    assert verdict.marginal_error < 1e-14
    assert verdict.linear_cost == pytest.approx((plan * problem.C).sum(), rel=1e-13)
    assert verdict.objective == pytest.approx(judge_plan(problem, plan).objective, rel=1e-13)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda f, g, p: (f / p.eps, g / p.eps),  # dimensionless
        lambda f, g, p: (f + p.eps * np.log(p.a), g + p.eps * np.log(p.b)),  # weights absorbed
        lambda f, g, p: (-f, -g),
        lambda f, g, p: (f / 2, g / 2),  # a halved cost
        lambda f, g, p: (f[::-1], g),
    ],
)
def test_potentials_in_another_convention_fail(two_points, wrong):
    problem, plan = two_points
    log_density = problem.eps * np.log(plan / np.outer(problem.a, problem.b)) + problem.C
    f, g = log_density[:, 0], log_density[0] - log_density[0, 0]
    assert judge_potentials(problem, *wrong(f, g, problem)).marginal_error > 1e-2


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e6])
def test_broken_potentials_are_rejected(two_points, bad):
    problem, _ = two_points
    assert judge_potentials(problem, [bad, 0.0], [0.0, 0.0]).marginal_error == np.inf


def test_vanishing_plan_misses_all_mass(two_points):
    problem, _ = two_points
    assert judge_potentials(problem, [-np.inf, -np.inf], [0.0, 0.0]).marginal_error == pytest.approx(2.0)


def test_zero_weights_need_no_potential():
    problem = Problem(a=np.array([1.0, 0.0]), b=np.array([0.5, 0.5]), eps=1.0, max_cost=1.0, C=np.zeros((2, 2)))
    verdict = judge_potentials(problem, [0.0, np.nan], [0.0, 0.0])
    assert verdict.marginal_error == 0
    assert verdict.objective == 0


def test_forbidden_pairs_that_carry_nothing_cost_nothing():
    problem = replace(QUARTERS, C=np.array([[0.0, np.inf], [np.inf, 0.0]]))
    assert judge_plan(problem, np.diag([0.5, 0.5])).linear_cost == 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_plan_and_potentials_get_one_verdict_in_any_blocks(monkeypatch, dtype):
    problem = ProblemSpec(n=41, m=30, eps=0.05, weights="random", dtype=np.dtype(dtype).name).build()
    rng = np.random.default_rng(1)
    f, g = (problem.eps * rng.normal(size=size) for size in problem.shape)
    C = problem.C.astype(np.float64)
    a, b = (v.astype(np.float64) for v in (problem.a, problem.b))
    plan = np.outer(a, b) * np.exp((f[:, None] + g - C) / problem.eps)
    whole = judge_potentials(problem, f, g), judge_plan(problem, plan)
    monkeypatch.setattr(benchmarks.problems, "BLOCK_ENTRIES", 100)
    blocked = judge_potentials(problem, f, g), judge_plan(problem, plan)
    for verdict in (*whole, *blocked):
        assert verdict.as_record() == pytest.approx(whole[0].as_record(), rel=1e-12)


def test_points_and_matrix_get_one_verdict():
    stored = ProblemSpec(n=25, m=31, eps=0.05, stored=True).build()
    lazy = replace(stored, C=None)
    f, g = (np.linspace(-1, 1, size) * stored.eps for size in stored.shape)
    expected = judge_potentials(stored, f, g).as_record()
    assert judge_potentials(lazy, f, g).as_record() == pytest.approx(expected, rel=1e-12)


def test_shapes_are_checked(two_points):
    problem, plan = two_points
    with pytest.raises(ValueError, match=r"potentials must have shapes \(2,\) and \(2,\)"):
        judge_potentials(problem, np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match=r"plan must have shape \(2, 2\)"):
        judge_plan(problem, plan[:1])


def test_closed_form_is_the_minimum():
    """The oracle itself: no feasible plan near it has a smaller objective."""
    problem, plan = two_point_problem()
    best = judge_plan(problem, plan).objective
    for step in (1e-3, -1e-3):
        move = step * np.array([[1, -1], [-1, 1]])
        assert judge_plan(problem, plan + move).objective > best


def test_exact_answers_by_hand():
    """Two points each; the identity is optimal, and the c-transform of any potential bounds its cost."""
    C = np.array([[0.0, 3.0], [3.0, 1.0]])
    half = np.full(2, 0.5)
    problem = Problem(half, half, 1.0, 3.0, None, None, C)
    optimal = judge_exact(problem, np.diag(half), [0.0, 1.0])
    assert (optimal.linear_cost, optimal.gap) == (0.5, 0.0)
    assert judge_exact(problem, np.diag(half), [0.0, 0.0]).gap == pytest.approx(0.0)
    crossed = judge_exact(problem, half[0] * np.eye(2)[::-1], [0.0, 1.0])
    assert crossed.gap == pytest.approx((3.0 - 0.5) / 3.0)
    assert judge_exact(problem, np.diag(half), [100.0, -100.0]).gap > 1
    stored = judge_exact(problem, sparse.csr_array(np.diag(half)), [0.0, 1.0])
    assert stored == optimal
    with pytest.raises(ValueError, match="potentials must have shape"):
        judge_exact(problem, np.diag(half), [0.0])


def test_columns_without_weight_bound_nothing():
    C = np.array([[1.0, -50.0], [2.0, -50.0]])
    problem = Problem(np.full(2, 0.5), np.array([1.0, 0.0]), 1.0, 1.0, None, None, C)
    assert judge_exact(problem, np.array([[0.5, 0.0], [0.5, 0.0]]), [0.0, 9.0]).gap == pytest.approx(0.0)


DOCUMENTS = ProblemSpec("documents", n=20, d=5, stored=False)


def test_values_of_small_problems():
    """Those of a matching are known: the values of one document against itself, moved."""
    problem = DOCUMENTS.build()
    values = []
    for x, a, y, b in problem.pairs():
        C = np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))
        plan = np.outer(a, b)
        values.append(float((plan * C).sum()))  # feasible, not optimal
    too_dear = judge_values(problem, values)
    assert too_dear.judged == 20
    assert too_dear.value_error > 1e-3
    moved = replace(
        problem, y=problem.x + np.array([3.0, 4.0, 0.0, 0.0, 0.0]), b=problem.a, starts_y=problem.starts_x
    )
    assert judge_values(moved, np.full(20, 5.0)).value_error < 1e-12
    assert judge_values(moved, np.full(20, 5.1)).value_error == pytest.approx(0.02)
    with pytest.raises(ValueError, match=r"values must have shape \(20,\), not \(3,\)"):
        judge_values(moved, np.zeros(3))


def test_some_rows_of_a_large_problem(monkeypatch):
    """An estimate of what the judge finds on all of them."""
    monkeypatch.setattr("benchmarks.judge.SOME", 300)
    problem = ProblemSpec(n=700, m=500, stored=False, eps=0.1).build()
    rng = np.random.default_rng(0)
    f, g = (problem.eps * rng.normal(size=size) for size in problem.shape)
    g += problem.eps
    full = judge_potentials(problem, f, g)
    some = judge_some(problem, f, g)
    assert some.judged == 300
    assert some.marginal_error == pytest.approx(full.marginal_error, rel=0.3)
    assert judge_some(problem, f, np.full(500, np.nan)).marginal_error == np.inf
    with pytest.raises(ValueError, match="potentials must have shapes"):
        judge_some(problem, g, f)


PARTIAL = replace(QUARTERS, a=np.array([1.0, 0.5]), mass=0.5)


def test_partial_answers_by_hand():
    """Half is to be moved, at best at no cost; what is left stays."""
    best = judge_partial(replace(PARTIAL, C=PARTIAL.C + 1.0), np.diag([0.5, 0.0]), [0.5, 0.5])
    assert best.marginal_error == 0
    assert best.linear_cost == pytest.approx(0.5)
    # The cheapest half of the rows leaves at 0.5 a unit, and arrives for 0.5 a unit.
    assert best.gap == pytest.approx(0.0)
    dear = judge_partial(replace(PARTIAL, C=PARTIAL.C + 1.0), np.array([[0.0, 0.5], [0.0, 0.0]]), [0.5, 0.5])
    assert dear.gap == pytest.approx(0.5)
    # A potential that promises too much for a column counts with what the column takes.
    loose = judge_partial(replace(PARTIAL, C=PARTIAL.C + 1.0), np.diag([0.5, 0.0]), [0.5, 0.0])
    assert loose.gap == pytest.approx(0.5)
    assert judge_partial(PARTIAL, np.diag([0.5, 0.0])).linear_cost == 0.0


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        ([[0.5, 0.0], [0.0, 0.5]], 1.0),  # twice what was asked for
        ([[0.0, 0.0], [0.0, 0.0]], 1.0),
        ([[0.75, 0.0], [0.0, 0.0]], 1.0),  # half too much, and by as much too much for the column
        ([[0.25, 0.0], [0.25, 0.0]], 0.0),
    ],
)
def test_wrong_partial_plans_by_hand(plan, error):
    assert judge_partial(PARTIAL, plan).marginal_error == pytest.approx(error)
    assert judge_partial(PARTIAL, sparse.csr_array(np.array(plan))).marginal_error == pytest.approx(error)


def test_partial_problems_keep_their_mass(tmp_path):
    problem = ProblemSpec(n=5, m=4, weights="random", mass=0.25).build()
    assert problem.mass == pytest.approx(0.25)
    problem.save(tmp_path / "problem.npz")
    assert Problem.load(tmp_path / "problem.npz").mass == problem.mass
    assert ProblemSpec(n=5, m=4).build().mass is None
    with pytest.raises(ValueError, match="potentials must have shape"):
        judge_partial(problem, np.zeros((5, 4)), [0.0])
    assert judge_partial(problem, np.full((5, 4), np.nan), np.zeros(4)).marginal_error == np.inf
