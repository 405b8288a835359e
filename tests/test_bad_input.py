"""Bad input gets an error that names the argument, what it was and what was expected, at every entry point."""

from __future__ import annotations

import re

import numpy as np
import pytest

import ot_solvers as ots

X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
Y = np.array([[0.0, 1.0], [3.0, 0.0]])
C = ((X[:, None] - Y) ** 2).sum(-1)
A = np.array([0.2, 0.3, 0.5])
B = np.array([0.6, 0.4])
IMAGE = np.array([[1.0, 2.0], [3.0, 0.0]])


def by_matrix(a=None, b=None, **keywords):
    return ots.solve(C, a, b, **{"reg": 0.5, **keywords})


def by_points(a=None, b=None, **keywords):
    return ots.solve_sample(X, Y, a, b, **{"reg": 0.5, **keywords})


def by_grid(a=None, b=None, **keywords):
    return ots.solve_grid(IMAGE if a is None else a, IMAGE[::-1] if b is None else b, **{"reg": 0.5, **keywords})


def by_divergence(a=None, b=None, **keywords):
    return ots.sinkhorn_divergence(X, Y, a, b, **{"reg": 0.5, **keywords})


ENTRIES = [by_matrix, by_points, by_grid, by_divergence]
FLAT = [by_matrix, by_points, by_divergence]
every_entry = pytest.mark.parametrize("entry", ENTRIES)


@every_entry
@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"reg": -1.0}, ValueError, "reg=-1.0 must be positive"),
        ({"reg": np.nan}, ValueError, "reg=nan must be positive and finite"),
        ({"reg": np.inf}, ValueError, "reg=inf must be positive and finite"),
        ({"reg": "small"}, TypeError, "reg='small' must be a positive number"),
        ({"reg": True}, TypeError, "reg=True must be a positive number"),
        ({"reg": [0.1]}, TypeError, r"reg=\[0.1\] must be a positive number"),
        ({"reg": None}, ots.UnsupportedError, "reg=None asks for exact"),
        ({"reg": 0}, ots.UnsupportedError, "reg=0 asks for exact"),
        ({"reg": 0.0}, NotImplementedError, "reg=0.0 asks for exact"),
        ({"reg_relative_to": "median"}, ValueError, "reg_relative_to='median' is unknown"),
        ({"reg": ots.Entropic(0.1, "max"), "reg_relative_to": "mean"}, ValueError, "reg_relative_to='mean'"),
        ({"unbalanced": 0.0}, ValueError, "unbalanced=0.0 must be positive"),
        ({"unbalanced": -1.0}, ValueError, "unbalanced=-1.0 must be positive"),
        ({"unbalanced": np.nan}, ValueError, "unbalanced=nan must be positive"),
        ({"unbalanced": "1"}, TypeError, "unbalanced='1' must be"),
        ({"unbalanced": (1.0, 2.0, 3.0)}, ValueError, r"unbalanced=\(1.0, 2.0, 3.0\) must be"),
        ({"unbalanced": 1.0, "unbalanced_type": "kl2"}, ValueError, "unbalanced_type='kl2' is unknown.*'kl'"),
        ({"method": "sinkhorm"}, ValueError, "method='sinkhorm' is unknown.*did you mean 'sinkhorn'"),
        ({"method": 3}, TypeError, "method=3 must be"),
        ({"backend": "nunba"}, ValueError, "backend='nunba' is unknown.*did you mean 'numba'"),
        ({"tol": -1e-3}, ValueError, "tol=-0.001 must be"),
        ({"tol": np.inf}, ValueError, "tol=inf must be finite"),
        ({"tol": "tight"}, TypeError, "tol='tight' is not a number"),
        ({"max_iter": 0}, ValueError, "max_iter=0 must be at least 1"),
        ({"max_iter": 2.5}, TypeError, "max_iter=2.5 is not an integer"),
        ({"callback": 3}, TypeError, "callback=3 is not callable"),
        ({"on_failure": "rise"}, ValueError, "on_failure='rise' is unknown.*did you mean 'raise'"),
        ({"init": 3}, TypeError, "init=int must be"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_keywords(entry, keywords, error, message):
    with pytest.raises(error, match=message):
        entry(**keywords)


@pytest.mark.parametrize("entry", FLAT)
@pytest.mark.parametrize(
    "weights, error, message",
    [
        ({"a": [0.5, 0.5]}, ValueError, r"a has shape \(2,\); expected \(3,\)"),
        ({"b": np.ones((2, 1))}, ValueError, r"b has shape \(2, 1\); expected \(2,\)"),
        ({"a": [0.5, -0.1, 0.6]}, ValueError, r"a\[1\] is -0.1; weights must not be negative"),
        ({"b": [np.nan, 1.0]}, ValueError, r"b\[0\] is nan"),
        ({"a": [0.5, np.inf, 0.5]}, ValueError, r"a\[1\] is inf"),
        ({"a": [0.0, 0.0, 0.0]}, ValueError, "a has total mass 0"),
        ({"a": A, "b": 2 * B}, ValueError, r"sum\(a\)=1, sum\(b\)=2"),
        ({"b": [3.0, 1.0]}, ValueError, r"sum\(a\)=1, sum\(b\)=4.*a was not given"),
        ({"a": ["x", "y", "z"]}, TypeError, "a has dtype"),
        ({"a": A + 1j}, TypeError, "a has dtype complex128"),
    ],
)
def test_weights(entry, weights, error, message):
    with pytest.raises(error, match=message):
        entry(**weights)


@pytest.mark.parametrize(
    "a, b, message",
    [
        (np.zeros((2, 2)), IMAGE, "a has total mass 0"),
        (np.array([[1.0, -2.0], [3.0, 4.0]]), IMAGE, r"a\[0, 1\] is -2; weights must not be negative"),
        (IMAGE, np.array([[1.0, np.nan], [3.0, 4.0]]), r"b\[0, 1\] is nan"),
        (IMAGE, np.ones((2, 3)), r"a has shape \(2, 2\) and b \(2, 3\); expected one grid"),
        (IMAGE, 3 * IMAGE, r"sum\(a\)=6, sum\(b\)=18"),
        (np.ones(()), np.ones(()), r"a has shape \(\)"),
        (np.ones((0, 2)), np.ones((0, 2)), r"a has shape \(0, 2\)"),
    ],
)
def test_grid_weights(a, b, message):
    with pytest.raises(ValueError, match=message):
        ots.solve_grid(a, b, reg=0.5)


@pytest.mark.parametrize(
    "axes, message",
    [
        ((np.arange(2.0),), "axes must be a tuple of 2"),
        (np.arange(2.0), "axes must be a tuple of 2"),
        ((np.arange(2.0), np.arange(3.0)), r"axes\[1\] has shape \(3,\); expected \(2,\)"),
        ((np.arange(2.0), np.array([0.0, np.nan])), r"axes\[1\]\[1\] is nan"),
    ],
)
def test_axes(axes, message):
    with pytest.raises(ValueError, match=message):
        ots.solve_grid(IMAGE, IMAGE, reg=0.5, axes=axes)


@pytest.mark.parametrize("cost", ["euclidean", "cosine", "chebyshev"])
def test_costs_that_do_not_separate(cost):
    with pytest.raises(ValueError, match=f"cost='{cost}' does not separate over 2 axes"):
        ots.solve_grid(IMAGE, IMAGE, reg=0.5, cost=cost)


@pytest.mark.parametrize("entry", [by_points, by_grid, by_divergence])
@pytest.mark.parametrize(
    "cost, error, message",
    [
        ("sqeuclid", ValueError, "cost='sqeuclid' is unknown.*did you mean 'sqeuclidean'"),
        (2, TypeError, "cost=2 must be a name or an ots.costs.Cost"),
        (ots.costs.SqEuclidean, TypeError, "must be a name or an ots.costs.Cost"),
    ],
)
def test_cost_names(entry, cost, error, message):
    with pytest.raises(error, match=message):
        entry(cost=cost)


@pytest.mark.parametrize("entry", [ots.solve_sample, ots.sinkhorn_divergence])
@pytest.mark.parametrize(
    "x, y, error, message",
    [
        (X[:, 0], Y, ValueError, r"x has shape \(3,\); expected \(n, d\).*x\[:, None\]"),
        (X[None], Y, ValueError, r"x has shape \(1, 3, 2\); expected \(n, d\)"),
        (X[:0], Y, ValueError, r"x is empty: shape \(0, 2\)"),
        (X, Y[:, :0], ValueError, r"y is empty: shape \(2, 0\)"),
        (X, Y[:, :1], ValueError, "x has 2 coordinates and y 1"),
        (np.where(X == 2, np.nan, X), Y, ValueError, r"x\[2, 1\] is nan"),
        (X, np.where(Y == 3, -np.inf, Y), ValueError, r"y\[1, 0\] is -inf"),
        (X + 1j, Y, TypeError, "x has dtype complex128"),
        ("points", Y, TypeError, "x has dtype"),
        ([[1.0, 2.0], [3.0]], Y, TypeError, "x cannot be read as an array"),
        (1e200 * X, Y, ValueError, "overflow"),
    ],
)
def test_points(entry, x, y, error, message):
    with pytest.raises(error, match=message):
        entry(x, y, reg=0.5)


@pytest.mark.parametrize("entry", [ots.solve_sample, ots.sinkhorn_divergence])
def test_points_outside_the_domain_of_a_cost(entry):
    with pytest.raises(ValueError, match=r"x\[0\] is the zero vector"):
        entry(X, Y, reg=0.5, cost="cosine")
    unit = Y / np.sqrt((Y**2).sum(1, keepdims=True))
    with pytest.raises(ValueError, match=r"needs unit vectors, but x\[\d\] has norm"):
        entry(3 * X + 1, unit, reg=0.5, cost="sphere")
    with pytest.raises(ValueError, match="cost has 3 coordinate weights, but x has 2"):
        entry(X, Y, reg=0.5, cost=ots.costs.SqEuclidean(weights=(1.0, 2.0, 3.0)))


@pytest.mark.parametrize(
    "cost, error, message",
    [
        (np.ones(3), ValueError, r"C has shape \(3,\); expected \(n, m\)"),
        (np.ones((2, 2, 2)), ValueError, r"C has shape \(2, 2, 2\)"),
        (np.ones((0, 3)), ValueError, r"C (is empty: shape|has shape) \(0, 3\)"),
        (np.where(C == 1, np.nan, C), ValueError, r"C\[0, 0\] is nan"),
        (np.where(C == 9, -np.inf, C), ValueError, r"C\[0, 1\] is -inf"),
        (np.full((2, 2), np.inf), ots.InfeasibleError, r"every entry of C is \+inf"),
        (C + 1j, TypeError, "C has dtype complex128"),
        (None, TypeError, "C has dtype object"),
    ],
)
def test_cost_matrices(cost, error, message):
    with pytest.raises(error, match=message):
        ots.solve(cost, reg=0.5)


def test_forbidden_pairs_that_leave_no_plan():
    cut = np.array([[np.inf, np.inf], [1.0, 2.0]])
    with pytest.raises(ots.InfeasibleError, match=r"a\[0\] has weight, but C\[0, :\]"):
        ots.solve(cut, reg=0.1)
    blocks = np.array([[0.0, np.inf], [np.inf, 0.0]])
    with pytest.raises(ots.InfeasibleError, match=r"at least 0\.2 of the mass"):
        ots.solve(blocks, [0.7, 0.3], [0.5, 0.5], reg=0.1)
    assert ots.solve(blocks, [0.5, 0.5], [0.5, 0.5], reg=0.1).converged


def test_mixed_libraries():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="x is a numpy array and y a torch array"):
        ots.solve_sample(X, torch.ones(2, 2), reg=0.5)
    with pytest.raises(TypeError, match="C is a torch array and a a numpy array"):
        ots.solve(torch.ones(3, 2), A, reg=0.5)


def test_gradients_are_never_dropped_silently():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="x requires gradients"):
        ots.solve_sample(torch.ones(3, 2, requires_grad=True), torch.ones(2, 2), reg=0.5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"annealing": 1.5}, "annealing=1.5 must be between 0 and 1"),
        ({"annealing": 0.0}, "annealing=0.0 must be between 0 and 1"),
        ({"sweeps_per_level": 0}, "sweeps_per_level=0 must be a positive integer"),
        ({"memory": 2.5}, "memory=2.5 must be a positive integer"),
        ({"relaxation": 2.0}, "relaxation=2.0 must be between 0 and 2"),
        ({"acceleration": "nesterov"}, "acceleration='nesterov' is unknown"),
        ({"kernel": "gpu"}, "kernel='gpu' is unknown"),
    ],
)
def test_sinkhorn_options(options, message):
    with pytest.raises(ValueError, match=message):
        ots.Sinkhorn(**options)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: ots.Entropic(-1.0), ValueError, "eps=-1.0 must be positive"),
        (lambda: ots.Entropic(np.nan), ValueError, "eps=nan must be positive"),
        (lambda: ots.Entropic("1"), TypeError, "eps='1' is not a number"),
        (lambda: ots.Entropic(1.0, "mode"), ValueError, "relative_to='mode' is unknown"),
        (lambda: ots.costs.PNorm(0.5), ValueError, "p=0.5 must be finite and at least 1"),
        (lambda: ots.costs.PNorm(np.inf), ValueError, "p=inf must be finite"),
        (lambda: ots.costs.PNorm("2"), TypeError, "p='2' is not a number"),
        (lambda: ots.costs.Euclidean(weights=(1.0, -1.0)), ValueError, "must be positive and finite"),
        (lambda: ots.set_num_threads(0), ValueError, "n=0 is not a positive number of threads"),
    ],
)
def test_values(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_init_of_another_problem():
    other = ots.solve(np.ones((4, 2)), reg=0.5)
    with pytest.raises(ValueError, match="init has potentials of sizes 4, 2; the problem has 3, 2"):
        by_matrix(init=other)
    with pytest.raises(ValueError, match=r"init\[1\] has shape \(3,\); expected \(2,\)"):
        by_matrix(init=(np.zeros(3), np.zeros(3)))
    with pytest.raises(ValueError, match=r"init\[0\].*nan|init\[0\] has entries"):
        by_matrix(init=(np.full(3, np.nan), np.zeros(2)))


def test_solution_methods():
    solution = by_points()
    for call, message in (
        (lambda: solution.apply(np.ones(3)), r"v has shape \(3,\); expected \(2,\)"),
        (lambda: solution.push(np.ones(2)), r"v has shape \(2,\); expected \(3,\)"),
        (lambda: solution.transport(np.ones((4, 3))), "x_new has 3 coordinates"),
        (lambda: solution.transport(np.full((1, 2), np.nan)), r"x_new\[0, 0\] is nan"),
        (lambda: solution.sample(0), "n=0 must be a positive integer"),
        (lambda: solution.sparse_plan(mass=1.5), "mass=1.5 must be in"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match="comes from a cost matrix and knows no points"):
        by_matrix().barycentric_map()


def test_relative_reg_needs_a_positive_statistic():
    with pytest.raises(ValueError, match="the mean of the cost is 0, not positive"):
        ots.solve(np.zeros((2, 2)), reg=0.1, reg_relative_to="mean")
    with pytest.raises(ValueError, match="the max of the cost is -1, not positive"):
        ots.solve(np.full((2, 2), -1.0), reg=0.1, reg_relative_to="max")


@pytest.mark.parametrize("seed", range(3))
def test_messages_are_one_line(seed):
    """What the command line prints as its one line."""
    bad = [{"reg": -1.0}, {"a": [1.0]}, {"on_failure": "no"}][seed]
    with pytest.raises(ValueError) as error:
        by_matrix(**bad)
    assert not re.search(r"\n", str(error.value))
