"""One column per row: capacities hold, and as much of the plan as possible."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import ot_solvers as ots

REGS = [None, 0.5, ots.Quadratic(20.0), ots.SparsityConstrained(1.0, 12)]


def scores(n=96, m=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, m))


@pytest.mark.parametrize("reg", REGS)
def test_loads_are_balanced(reg):
    solution = ots.solve(-scores(), reg=reg)
    found = ots.assignment_from(solution)
    assert (found.load == 12).all()
    assert (np.bincount(found.column, minlength=8) == 12).all()
    assert found.share.min() >= 0 and found.share.max() <= 1 + 1e-12


@pytest.mark.parametrize("reg", REGS)
def test_most_of_the_plan_is_kept(reg):
    """Among all assignments with these capacities, by SciPy on copies of the columns."""
    solution = ots.solve(-scores(40, 5), reg=reg)
    found = ots.assignment_from(solution, 9)
    P = solution.sparse_plan(1.0).toarray()
    P = P / P.sum(1, keepdims=True)
    copies = np.repeat(P, 9, axis=1)
    i, j = linear_sum_assignment(-copies)
    assert found.share.sum() == pytest.approx(copies[i, j].sum(), abs=1e-9)
    np.testing.assert_allclose(found.share, P[np.arange(40), found.column])


def test_a_permutation_is_itself():
    rng = np.random.default_rng(1)
    C = rng.random((30, 30))
    found = ots.assignment_from(ots.solve(C))
    np.testing.assert_array_equal(found.column, linear_sum_assignment(C)[1])
    np.testing.assert_allclose(found.share, 1)


def test_capacities_too_small_leave_rows_out():
    solution = ots.solve(-scores(), reg=ots.SparsityConstrained(1.0, 12))
    found = ots.assignment_from(solution, np.arange(8))
    assert (found.load == np.arange(8)).all()
    assert (found.column == -1).sum() == 96 - 28
    assert (found.column != 0).all()
    nobody = ots.assignment_from(solution, 0)
    assert (nobody.column == -1).all() and not nobody.load.any()


def test_rows_without_room_go_elsewhere_or_stay_out():
    C = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 5.0], [0.0, 1.0]])
    solution = ots.solve(C, np.full(4, 0.25), np.array([1.0, 0.0]))
    everywhere = ots.assignment_from(solution, [2, 2])
    assert sorted(everywhere.load) == [2, 2]
    assert everywhere.column[2] == 0  # the dearest stays
    out = ots.assignment_from(solution, [2, 2], fill=False)
    assert out.load.tolist() == [2, 0]
    assert (out.column == -1).sum() == 2


def test_points_without_weight_are_left_out():
    a = np.array([0.5, 0.0, 0.5])
    found = ots.assignment_from(ots.solve(np.eye(3), a, a))
    assert found.column[1] == -1
    assert found.load.tolist() == [1, 0, 1]


def test_forbidden_pairs_are_not_used():
    C = np.zeros((4, 2))
    C[:3, 1] = np.inf
    found = ots.assignment_from(ots.solve(C, np.full(4, 0.25), np.array([0.75, 0.25])), 2)
    assert (found.column[:3] != 1).all()
    assert (found.column == -1).sum() == 1


def test_on_points_lazily():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 2)), rng.normal(size=(5, 2))
    found = ots.assignment_from(ots.solve_sample(x, y, reg=0.1))
    assert (found.load == 40).all()


@pytest.mark.parametrize(
    ("capacities", "error", "message"),
    [
        (-1, ValueError, "capacities=-1 must be integers >= 0"),
        (1.5, (TypeError, ValueError), "capacities"),
        ([1, 2], ValueError, "one for each of the 8 columns"),
        (np.full(8, 0.5), ValueError, "must be integers >= 0"),
        (True, ValueError, "capacities=True must be an integer"),
    ],
)
def test_bad_capacities(capacities, error, message):
    solution = ots.solve(-scores(), reg=0.5)
    with pytest.raises(error, match=re.escape(message)):
        ots.assignment_from(solution, capacities)


def test_no_solution():
    with pytest.raises(TypeError, match="solution=ndarray must be a Solution"):
        ots.assignment_from(np.eye(3))
