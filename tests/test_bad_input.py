"""Every entry point refuses bad input: the message names the argument, what it was and what was expected."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy import sparse

import ot_solvers as ots

X = np.arange(8.0).reshape(4, 2)
Y = np.arange(6.0).reshape(3, 2) + 0.5
C = ((X[:, None] - Y[None]) ** 2).sum(-1)
GRID = np.ones((4, 3))


def solve(C=C, a=None, b=None, **options):
    return ots.solve(C, a, b, **{"reg": 1.0, **options})


def solve_sample(x=X, y=Y, a=None, b=None, **options):
    return ots.solve_sample(x, y, a, b, **{"reg": 1.0, **options})


def solve_grid(a=GRID, b=GRID, **options):
    return ots.solve_grid(a, b, **{"reg": 1.0, **options})


def divergence(x=X, y=Y, a=None, b=None, **options):
    return ots.sinkhorn_divergence(x, y, a, b, **{"reg": 1.0, **options})


ENTRIES = [solve, solve_sample, solve_grid, divergence]
CLOUDS = [solve_sample, divergence]
#: Entry points whose weights are vectors.
VECTORS = [solve, solve_sample, divergence]


def refused(error, message):
    """`pytest.raises` with the message as plain text, ``...`` standing for anything."""
    return pytest.raises(error, match=".*".join(map(re.escape, message.split("..."))))


def test_the_good_input_is_good():
    for entry in ENTRIES:
        assert entry().converged


# --- reg ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    ("reg", "error", "message"),
    [
        (-0.5, ValueError, "reg=-0.5 must be positive and finite"),
        (math.nan, ValueError, "reg=nan must be positive and finite"),
        (math.inf, ValueError, "reg=inf must be positive and finite"),
        (-math.inf, ValueError, "reg=-inf must be positive and finite"),
        (np.float32(-1), ValueError, "must be positive and finite"),
        (
            "0.1",
            TypeError,
            "reg='0.1' must be a positive number, ots.Entropic(eps), ots.Quadratic(gamma) or "
            "ots.SparsityConstrained(gamma, k), not str",
        ),
        (True, TypeError, "reg=True must be a positive number"),
        ([0.1], TypeError, "reg=[0.1] must be a positive number"),
        (0.1j, TypeError, "reg=0.1j must be a positive number"),
        (np.array([0.1, 0.2]), TypeError, "must be a positive number"),
    ],
)
def test_reg(entry, reg, error, message):
    with refused(error, message):
        entry(reg=reg)


@pytest.mark.parametrize("reg", [None, 0, -0.0, np.int64(0)])
def test_divergences_are_entropic(reg):
    with refused(ots.UnsupportedError, f"reg={reg!r} asks for exact transport...give one in cost units"):
        divergence(reg=reg)


@pytest.mark.parametrize("entry", [solve, solve_sample, solve_grid])
def test_exact_transport_is_balanced_and_has_methods_of_its_own(entry):
    with refused(ots.UnsupportedError, "unbalanced=2.0 needs a positive reg: exact transport is balanced"):
        entry(reg=None, unbalanced=2.0)
    for method in ("sinkhorn", ots.Newton(), "sns"):
        with refused(ots.UnsupportedError, "is for a positive reg; method='auto' chooses what fits"):
            entry(reg=0, method=method)
    for method in ("crossover", ots.Simplex(), "sorting"):
        with refused(ots.UnsupportedError, "is for reg=None (exact transport)"):
            entry(reg=1.0, method=method)


def test_options_of_crossover():
    for candidates in (0, -1, 2.5, True):
        with refused(ValueError, f"candidates={candidates!r} must be a positive integer"):
            ots.Crossover(candidates=candidates)
    for rtol in (-0.1, 1.0, math.nan, "1", True):
        with refused(ValueError, f"rtol={rtol!r} must be in [0, 1)"):
            ots.Crossover(rtol=rtol)


def test_sorting_needs_a_line():
    with refused(ots.UnsupportedError, "method='sorting' needs points with one coordinate"):
        solve(reg=None, method="sorting")
    with refused(ots.UnsupportedError, "convex in their difference"):
        ots.solve_sample(np.ones((3, 1)), np.ones((4, 1)), cost="cosine", method="sorting")


@pytest.mark.parametrize("entry", ENTRIES)
def test_reg_relative_to(entry):
    with refused(ValueError, "reg_relative_to='median' is unknown; expected None, 'mean' or 'max'"):
        entry(reg_relative_to="median")
    with refused(ValueError, "is relative to 'mean', but reg_relative_to='max'"):
        entry(reg=ots.Entropic(0.1, relative_to="mean"), reg_relative_to="max")


def test_reg_relative_to_a_cost_that_is_not_positive():
    with refused(
        ValueError, "reg_relative_to='max': the max of the cost is 0, not positive; give reg in cost units"
    ):
        solve(np.zeros((3, 4)), reg_relative_to="max")
    with refused(ValueError, "reg_relative_to='mean': the mean of the cost is -1.5, not positive"):
        solve(np.full((3, 4), -1.5), reg_relative_to="mean")
    with refused(ValueError, "the max of the cost is 0, not positive"):
        solve_sample(np.ones((2, 2)), np.ones((3, 2)), reg_relative_to="max")
    with refused(ValueError, "the mean of the cost is 0, not positive"):
        solve_grid(np.ones((1, 1)), np.ones((1, 1)), reg_relative_to="mean")
    with refused(ValueError, "the mean of the cost is -"):
        solve_sample(cost="dot", reg_relative_to="mean")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0.0,), ValueError, "eps=0.0 must be positive and finite"),
        ((-1,), ValueError, "eps=-1 must be positive and finite"),
        ((math.nan,), ValueError, "eps=nan must be positive and finite"),
        ((math.inf,), ValueError, "eps=inf must be positive and finite"),
        (("small",), TypeError, "eps='small' is not a number"),
        ((None,), TypeError, "eps=None is not a number"),
        ((True,), TypeError, "eps=True is not a number"),
        ((0.1, "median"), ValueError, "relative_to='median' is unknown; expected None, 'mean' or 'max'"),
    ],
)
def test_entropic(arguments, error, message):
    with refused(error, message):
        ots.Entropic(*arguments)


# --- weights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", VECTORS)
@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (lambda n: np.ones(n + 1), ValueError, "{side} has shape ({n1},); expected ({n},), one weight per point"),
        (lambda n: np.ones((n, 1)), ValueError, "{side} has shape ({n}, 1); expected ({n},)"),
        (lambda n: 1.0, ValueError, "{side} has shape (); expected ({n},)"),
        (lambda n: [], ValueError, "{side} has shape (0,); expected ({n},)"),
        (lambda n: [1.0] * (n - 1) + [-0.25], ValueError, "{side}[{last}] is -0.25; weights must not be negative"),
        (lambda n: [math.nan] + [1.0] * (n - 1), ValueError, "{side}[0] is nan; expected finite numbers"),
        (lambda n: [1.0] * (n - 1) + [math.inf], ValueError, "{side}[{last}] is inf; expected finite numbers"),
        (lambda n: [-math.inf] + [1.0] * (n - 1), ValueError, "{side}[0] is -inf; expected finite numbers"),
        (lambda n: np.zeros(n), ValueError, "{side} has total mass 0; expected a positive total"),
        (lambda n: np.full(n, 1e308), ValueError, "the total mass of {side} overflows"),
        (lambda n: np.ones(n, dtype=complex), TypeError, "{side} has dtype complex128; expected real numbers"),
        (lambda n: ["x"] * n, TypeError, "{side} has dtype <U1; expected real numbers"),
        (lambda n: [None] * n, TypeError, "{side} has dtype object; expected real numbers"),
        (lambda n: [[1.0], [1.0, 2.0]], TypeError, "{side} cannot be read as an array"),
        (lambda n: {"weights": 1}, TypeError, "{side} has dtype object; expected real numbers"),
    ],
)
def test_weights(entry, side, weights, error, message):
    n = 4 if side == "a" else 3
    fields = {"side": side, "n": n, "n1": n + 1, "last": n - 1}
    with refused(error, message.format(**fields)):
        entry(**{side: weights(n)})


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((2, 1), -3.0, "{side}[2, 1] is -3; weights must not be negative"),
        ((3, 0), math.nan, "{side}[3, 0] is nan; expected finite numbers"),
        ((0, 2), math.inf, "{side}[0, 2] is inf; expected finite numbers"),
    ],
)
def test_weights_on_a_grid(side, place, value, message):
    bad = GRID.copy()
    bad[place] = value
    with refused(ValueError, message.format(side=side)):
        solve_grid(**{side: bad})
    with refused(ValueError, f"{side} has total mass 0"):
        solve_grid(**{side: np.zeros((4, 3))})


@pytest.mark.parametrize("entry", VECTORS)
def test_masses_that_differ(entry):
    with refused(ValueError, "total masses differ: sum(a)=8, sum(b)=3...rescale one side, or pass unbalanced=rho"):
        entry(a=np.full(4, 2.0), b=np.ones(3))
    with refused(ValueError, "sum(a)=1.00001, sum(b)=1"):
        entry(a=np.full(4, 0.2500025), b=np.full(3, 1 / 3))
    with refused(ValueError, "sum(a)=2, sum(b)=1...b was not given: uniform, with sum 1"):
        entry(a=np.full(4, 0.5))
    entry(a=np.full(4, 2.0), b=np.ones(3), unbalanced=1.0)
    # Single precision sums are only good to 1e-3, and worse is still refused.
    entry(a=np.full(4, 0.25 * 1.0005, dtype=np.float32), b=np.full(3, 1 / 3, dtype=np.float32))
    with refused(ValueError, "total masses differ"):
        entry(a=np.full(4, 0.25 * 1.002, dtype=np.float32), b=np.full(3, 1 / 3, dtype=np.float32))


def test_masses_that_differ_on_a_grid():
    with refused(ValueError, "total masses differ: sum(a)=24, sum(b)=12"):
        solve_grid(2 * GRID, GRID)


# --- costs given as arrays ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "error", "message"),
    [
        (np.ones(3), ValueError, "C has shape (3,); expected (n, m)"),
        (1.0, ValueError, "C has shape (); expected (n, m)"),
        (np.ones((2, 3, 4)), ValueError, "C has shape (2, 3, 4); expected (n, m)"),
        (np.ones((0, 3)), ValueError, "C is empty: shape (0, 3)"),
        (np.ones((3, 0)), ValueError, "C is empty: shape (3, 0)"),
        ([], ValueError, "C has shape (0,); expected (n, m)"),
        (np.array([[0.0, 1.0], [math.nan, 2.0]]), ValueError, "C[1, 0] is nan; expected finite costs (or +inf"),
        (np.array([[0.0, -math.inf], [1.0, 2.0]]), ValueError, "C[0, 1] is -inf; expected finite costs (or +inf"),
        (np.array([[math.inf, math.nan]]), ValueError, "C[0, 1] is nan"),
        (np.full((2, 2), math.inf), ots.InfeasibleError, "every entry of C is +inf: no plan has finite cost"),
        (np.ones((2, 2), dtype=complex), TypeError, "C has dtype complex128; expected real numbers"),
        ([["a", "b"]], TypeError, "C has dtype <U1; expected real numbers"),
        ([[1.0, 2.0], [3.0]], TypeError, "C cannot be read as an array"),
        (None, TypeError, "C has dtype object; expected real numbers"),
        (object(), TypeError, "C has dtype object; expected real numbers"),
    ],
)
def test_cost_matrices(cost, error, message):
    with refused(error, message):
        solve(cost)


@pytest.mark.parametrize("large", [False, True])
def test_the_bad_entry_of_a_large_matrix_is_found(large):
    big = np.asfortranarray(np.ones((600, 500))) if large else np.ones((600, 500))
    big[577, 433] = math.nan
    with refused(ValueError, "C[577, 433] is nan"):
        solve(big)


@pytest.mark.parametrize(
    ("cost", "error", "message"),
    [
        (sparse.csr_array((3, 4)), ots.InfeasibleError, "C stores no entry: every pair is forbidden"),
        (sparse.csr_array(np.array([[1.0, math.nan]])), ValueError, "C stores entries that are not finite"),
        (sparse.csr_array(np.array([[1.0, math.inf]])), ValueError, "leave forbidden pairs out of the pattern"),
        (sparse.csr_array(np.ones((2, 2), dtype=complex)), TypeError, "C has dtype complex128"),
    ],
)
def test_sparse_costs(cost, error, message):
    with refused(error, message):
        solve(cost)


# --- points ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", CLOUDS)
@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize(
    ("points", "error", "message"),
    [
        (np.ones(4), ValueError, "{side} has shape (4,); expected (n, d); a single coordinate is {side}[:, None]"),
        (np.ones((2, 2, 2)), ValueError, "{side} has shape (2, 2, 2); expected (n, d)"),
        (3.0, ValueError, "{side} has shape (); expected (n, d)"),
        (np.ones((0, 2)), ValueError, "{side} is empty: shape (0, 2)"),
        (np.ones((3, 0)), ValueError, "{side} is empty: shape (3, 0)"),
        (np.array([[0.0, 1.0], [math.nan, 1.0]]), ValueError, "{side}[1, 0] is nan; expected finite numbers"),
        (np.array([[0.0, math.inf]]), ValueError, "{side}[0, 1] is inf; expected finite numbers"),
        (np.array([[0.0, -math.inf]]), ValueError, "{side}[0, 1] is -inf; expected finite numbers"),
        (np.ones((2, 2), dtype=complex), TypeError, "{side} has dtype complex128; expected real numbers"),
        ([["a", "b"]], TypeError, "{side} has dtype <U1; expected real numbers"),
        ([[1.0], [1.0, 2.0]], TypeError, "{side} cannot be read as an array"),
        (None, TypeError, "{side} has dtype object; expected real numbers"),
    ],
)
def test_points(entry, side, points, error, message):
    with refused(error, message.format(side=side)):
        entry(**{side: points})


@pytest.mark.parametrize("entry", CLOUDS)
def test_points_of_unlike_dimension(entry):
    with refused(ValueError, "x has 2 coordinates and y 3; expected the same number"):
        entry(y=np.ones((3, 3)))


@pytest.mark.parametrize("entry", CLOUDS)
def test_points_whose_costs_overflow(entry):
    with refused(ValueError, "overflow float64: divide the points by a constant"):
        entry(x=X * 1e200)


# --- ground costs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [solve_sample, solve_grid, divergence])
def test_names_of_costs(entry):
    with refused(
        ValueError, "cost='sqeuclidian' is unknown; expected one of ['sqeuclidean'...did you mean 'sqeuclidean'?"
    ):
        entry(cost="sqeuclidian")
    with pytest.raises(ValueError, match=r"cost='zzz' is unknown; expected one of \[[^;]*\]$"):
        entry(cost="zzz")
    with refused(TypeError, "cost=2 must be a name or an ots.costs.Cost, not int"):
        entry(cost=2)
    with refused(TypeError, "must be a name or an ots.costs.Cost, not type"):
        entry(cost=ots.costs.SqEuclidean)


@pytest.mark.parametrize("entry", CLOUDS)
def test_points_outside_the_domain_of_a_cost(entry):
    with refused(ValueError, "x[0] is the zero vector, which has no cosine to others"):
        entry(x=np.zeros((2, 2)), cost="cosine")
    with refused(ValueError, "cost='sphere' needs unit vectors, but x[3] has norm"):
        entry(cost="sphere")
    with refused(ValueError, "cost has 3 coordinate weights, but x has 2 coordinates"):
        entry(cost=ots.costs.SqEuclidean(weights=(1.0, 2.0, 3.0)))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ots.costs.PNorm(0.5), ValueError, "p=0.5 must be finite and at least 1"),
        (lambda: ots.costs.PNorm(math.inf), ValueError, "p=inf must be finite...ots.costs.Chebyshev()"),
        (lambda: ots.costs.PNorm(math.nan), ValueError, "p=nan must be finite"),
        (lambda: ots.costs.PNorm("two"), TypeError, "p='two' is not a number"),
        (lambda: ots.costs.Euclidean(weights=(1.0, -1.0)), ValueError, "weights=(1.0, -1.0) must be positive"),
        (lambda: ots.costs.Euclidean(weights=(1.0, math.nan)), ValueError, "must be positive and finite"),
        (lambda: ots.costs.Euclidean(weights=()), ValueError, "weights=() must be positive"),
        (lambda: ots.costs.CityBlock(weights=(0.0,)), ValueError, "weights=(0.0,) must be positive"),
    ],
)
def test_parameters_of_costs(make, error, message):
    with refused(error, message):
        make()


def test_a_divergence_needs_a_symmetric_cost():
    class OneWay(ots.costs.Cost):
        symmetric = False

        def pairwise(self, x, y, xp=np):
            return xp.sum(x, axis=1)[:, None] - 2 * xp.sum(y, axis=1)[None, :]

        def swapped(self):
            return self

    with refused(ValueError, "is not symmetric; a divergence needs c(x, y) = c(y, x)"):
        divergence(cost=OneWay())


# --- grids ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b": np.ones((3, 4))}, "a has shape (4, 3) and b (3, 4); expected one grid"),
        ({"a": 1.0, "b": 1.0}, "a has shape (); expected a grid with at least one point"),
        ({"a": np.ones((0, 3)), "b": np.ones((0, 3))}, "a has shape (0, 3); expected a grid"),
        ({"axes": (np.arange(4.0),)}, "axes must be a tuple of 2 coordinate arrays, one per axis of a"),
        ({"axes": np.arange(4.0)}, "axes must be a tuple of 2 coordinate arrays"),
        ({"axes": (np.arange(4.0), np.arange(4.0))}, "axes[1] has shape (4,); expected (3,)"),
        ({"axes": (np.ones((4, 1)), np.arange(3.0))}, "axes[0] has shape (4, 1); expected (4,)"),
        ({"axes": (np.arange(4.0), [0.0, math.nan, 1.0])}, "axes[1][1] is nan; expected finite numbers"),
        ({"axes": (np.arange(4.0), [0.0, math.inf, 1.0])}, "axes[1][1] is inf; expected finite numbers"),
        ({"cost": "euclidean"}, "cost='euclidean' does not separate over 2 axes; use 'sqeuclidean'"),
        ({"cost": "cosine"}, "does not separate over 2 axes...or solve_sample on its points"),
        ({"cost": ots.costs.PNorm(3.0)}, "does not separate over 2 axes"),
        ({"cost": "chebyshev"}, "does not separate over 2 axes"),
        ({"axes": (1e200 * np.arange(4.0), np.arange(3.0))}, "overflow float64"),
    ],
)
def test_grids(arguments, message):
    with refused(ValueError, message):
        solve_grid(**arguments)


def test_reg_of_a_grid_is_asked_for():
    with pytest.raises(TypeError, match="reg"):
        ots.solve_grid(GRID, GRID)
    with pytest.raises(TypeError, match="reg"):
        ots.sinkhorn_divergence(X, Y)


# --- options --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"unbalanced": 0.0}, ValueError, "unbalanced=0.0 must be positive (inf: that side is hard)"),
        ({"unbalanced": -1}, ValueError, "unbalanced=-1 must be positive"),
        ({"unbalanced": math.nan}, ValueError, "unbalanced=nan must be positive"),
        ({"unbalanced": "1"}, TypeError, "unbalanced='1' must be rho or (rho_a, rho_b), numbers in cost units"),
        ({"unbalanced": True}, TypeError, "unbalanced=True must be rho or (rho_a, rho_b)"),
        ({"unbalanced": (1.0, 2.0, 3.0)}, ValueError, "unbalanced=(1.0, 2.0, 3.0) must be rho or (rho_a, rho_b)"),
        ({"unbalanced": (1.0, None)}, TypeError, "unbalanced=(1.0, None) must be rho"),
        ({"unbalanced": (1.0, -2.0)}, ValueError, "unbalanced=(1.0, -2.0) must be positive"),
        ({"unbalanced": 1.0, "unbalanced_type": "KL"}, ValueError,
         "unbalanced_type='KL' is unknown; expected one of ['kl', 'tv']; did you mean 'kl'?"),
        ({"unbalanced_type": 3}, ValueError, "unbalanced_type=3 is unknown"),
        ({"method": "sinkorn"}, ValueError,
         "method='sinkorn' is unknown; expected one of ['auto', 'sinkhorn', 'newton', 'sns', 'crossover', "
         "'simplex', 'assignment', 'sorting', 'semismooth-newton', 'semi-dual-ascent']; did you mean 'sinkhorn'?"),
        ({"method": "emd"}, ValueError, "method='emd' is unknown"),
        ({"method": 3}, TypeError, "method=3 must be a name or a solver such as ots.Sinkhorn()"),
        ({"method": ots.Sinkhorn}, TypeError, "must be a name or a solver such as ots.Sinkhorn()"),
        ({"backend": "nunba"}, ValueError, "backend='nunba' is unknown...did you mean 'numba'?"),
        ({"backend": None}, ValueError,
         "backend=None is unknown; expected 'auto' or one of ['numba', 'reference']"),
        ({"backend": "cupy"}, ValueError, "backend='cupy' is unknown"),
        ({"tol": -1e-6}, ValueError, "tol=-1e-06 must be finite and not negative"),
        ({"tol": math.nan}, ValueError, "tol=nan must be finite and not negative"),
        ({"tol": math.inf}, ValueError, "tol=inf must be finite and not negative"),
        ({"tol": "tight"}, TypeError, "tol='tight' is not a number"),
        ({"tol": True}, TypeError, "tol=True is not a number"),
        ({"max_iter": 0}, ValueError, "max_iter=0 must be at least 1"),
        ({"max_iter": -3}, ValueError, "max_iter=-3 must be at least 1"),
        ({"max_iter": 2.5}, TypeError, "max_iter=2.5 is not an integer"),
        ({"max_iter": True}, TypeError, "max_iter=True is not an integer"),
        ({"max_iter": "many"}, TypeError, "max_iter='many' is not an integer"),
        ({"callback": 3}, TypeError, "callback=3 is not callable"),
        ({"on_failure": "explode"}, ValueError,
         "on_failure='explode' is unknown; expected one of ['warn', 'raise', 'ignore']"),
        ({"on_failure": "rais"}, ValueError, "did you mean 'raise'?"),
        ({"on_failure": None}, ValueError, "on_failure=None is unknown"),
    ],
)  # fmt: skip
def test_options(entry, options, error, message):
    with refused(error, message):
        entry(**options)


@pytest.mark.parametrize("entry", ENTRIES)
def test_unknown_keywords_are_refused(entry):
    with pytest.raises(TypeError, match="numItermax"):
        entry(numItermax=100)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"annealing": 1.5}, ValueError, "annealing=1.5 must be between 0 and 1, or None"),
        ({"annealing": 0}, ValueError, "annealing=0 must be between 0 and 1, or None"),
        ({"annealing": math.nan}, ValueError, "annealing=nan must be between 0 and 1, or None"),
        ({"sweeps_per_level": 0}, ValueError, "sweeps_per_level=0 must be a positive integer"),
        ({"sweeps_per_level": 1.5}, ValueError, "sweeps_per_level=1.5 must be a positive integer"),
        ({"memory": 0}, ValueError, "memory=0 must be a positive integer"),
        ({"memory": True}, ValueError, "memory=True must be a positive integer"),
        ({"relaxation": 2.0}, ValueError, "relaxation=2.0 must be between 0 and 2, or None"),
        ({"relaxation": -0.5}, ValueError, "relaxation=-0.5 must be between 0 and 2, or None"),
        ({"relaxation": math.nan}, ValueError, "relaxation=nan must be between 0 and 2, or None"),
        ({"acceleration": "nesterov"}, ValueError, "acceleration='nesterov' is unknown; expected 'anderson'"),
        ({"kernel": "fast"}, ValueError, "kernel='fast' is unknown; expected 'auto', 'log' or 'stored'"),
        ({"numItermax": 3}, TypeError, "numItermax"),
    ],
)
def test_sinkhorn(options, error, message):
    with refused(error, message):
        ots.Sinkhorn(**options)


def test_solver_values_are_frozen():
    solver = ots.Sinkhorn(relaxation=1.5)
    assert solver.acceleration == "relaxation"
    with pytest.raises(AttributeError):
        solver.relaxation = 1.2
    assert solver == ots.Sinkhorn(relaxation=1.5) and hash(solver) == hash(ots.Sinkhorn(relaxation=1.5))


# --- warm starts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("init", "error", "message"),
    [
        (3, TypeError, "init=int must be a Solution or a pair of potentials (f, g)"),
        ("warm", TypeError, "init=str must be a Solution or a pair of potentials"),
        ((np.zeros(4),), TypeError, "init=tuple must be a Solution or a pair of potentials"),
        ((np.zeros(5), np.zeros(3)), ValueError, "init[0] has shape (5,); expected (4,)"),
        ((np.zeros(4), np.zeros((3, 1))), ValueError, "init[1] has shape (3, 1); expected (3,)"),
        ((np.zeros(4), np.array([0.0, math.nan, 0.0])), ValueError, "init[1] has entries that are not finite"),
        ((np.full(4, math.inf), np.zeros(3)), ValueError, "init[0] has entries that are not finite"),
        ((np.zeros(4, dtype=complex), np.zeros(3)), TypeError, "init[0] has dtype complex128"),
        ((None, np.zeros(3)), (TypeError, ValueError), "init[0] has"),
    ],
)
@pytest.mark.parametrize("entry", [solve, solve_sample])
def test_init(entry, init, error, message):
    with refused(error, message):
        entry(init=init)


def test_init_of_another_problem():
    other = ots.solve(np.ones((5, 3)), reg=1.0)
    with refused(ValueError, "init has potentials of sizes 5, 3; the problem has 4, 3"):
        solve(init=other)
    with refused(ValueError, "init[0] has shape (12,); expected (4, 3)"):
        solve_grid(init=(np.zeros(12), np.zeros(12)))
    with refused(TypeError, "init=Solution must be a DivergenceResult"):
        divergence(init=solve())


def test_divergence_has_one_rho():
    with refused(ValueError, "unbalanced=(1.0, 2.0): a divergence needs the same rho on both sides"):
        divergence(unbalanced=(1.0, 2.0))
    assert divergence(unbalanced=(1.0, 1.0)).value == divergence(unbalanced=1.0).value


# --- libraries ------------------------------------------------------------------------------------------------


def test_mixed_libraries():
    torch = pytest.importorskip("torch")
    with refused(TypeError, "x is a numpy array and y a torch array; pass all arrays from one library"):
        solve_sample(y=torch.from_numpy(Y))
    with refused(TypeError, "C is a numpy array and b a torch array"):
        solve(b=torch.ones(3) / 3)
    with refused(TypeError, "a is a torch array and b a numpy array"):
        solve_grid(torch.from_numpy(GRID), GRID)
    with refused(TypeError, "x is a numpy array and a a torch array"):
        divergence(a=torch.ones(4) / 4)
    # Lists and numbers belong to every library.
    assert solve(C.tolist(), [0.25] * 4, [1 / 3] * 3).converged


def test_gradients_are_not_dropped_silently():
    torch = pytest.importorskip("torch")
    x, y = torch.from_numpy(X.copy()).requires_grad_(), torch.from_numpy(Y)
    assert ots.solve_sample(x, y, reg=1.0).value.requires_grad
    # What has no derivative rule is refused where it is given, not forgotten.
    rho = torch.tensor(1.0, requires_grad=True)
    with refused(TypeError, "unbalanced=tensor(1., requires_grad=True) must be rho"):
        ots.solve_sample(x, y, reg=1.0, unbalanced=rho)
    with refused(TypeError, "mass requires gradients"):
        ots.solve_sample(x, y, reg=1.0, mass=0.5 * rho)
    assert ots.solve_path(torch.from_numpy(C).requires_grad_(), regs=[1.0])[0].value.requires_grad


def test_nothing_is_written_to_the_callers_arrays():
    rng = np.random.default_rng(0)
    x, y, a, b = rng.random((9, 2)), rng.random((8, 2)), rng.random(9), rng.random(8)
    b *= a.sum() / b.sum()
    cost = ((x[:, None] - y[None]) ** 2).sum(-1)
    kept = [z.copy() for z in (x, y, a, b, cost)]
    for options in ({}, {"unbalanced": 1.0}, {"method": ots.Sinkhorn(kernel="stored")}):
        ots.solve(cost, a, b, reg=0.1, **options)
        ots.solve_sample(x, y, a, b, reg=0.1, **options)
        ots.sinkhorn_divergence(x, y, a, b, reg=0.1, **options)
        ots.solve_grid(cost, cost[::-1], reg=0.1, **options)
    for array, before in zip((x, y, a, b, cost), kept):
        np.testing.assert_array_equal(array, before)
