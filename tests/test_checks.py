"""The checks themselves: each passes on a right result and fails on every kind of wrong one."""

from __future__ import annotations

from types import SimpleNamespace

import array_api_strict
import numpy as np
import pytest
from checks import check_close, check_gradient, check_library, check_same_bits, check_solution, check_within
from problems import some_weights
from tolerances import TOLERANCES, tolerance

VALUES = np.array([1.0, -2.0, np.inf, 0.0])


def test_tolerances_name_the_same_quantities_for_every_dtype():
    assert TOLERANCES["float32"].keys() == TOLERANCES["float64"].keys()
    for quantity, bound in TOLERANCES["float64"].items():
        assert np.finfo(np.float64).eps < bound <= TOLERANCES["float32"][quantity] < 0.1


def test_unknown_quantities_have_no_tolerance():
    with pytest.raises(KeyError):
        tolerance("float64", "volume")
    with pytest.raises(KeyError):
        tolerance("float16", "mass")


def test_equal_values_are_within_nothing():
    check_within(VALUES, VALUES.copy(), 0.0)


def test_the_bound_is_inclusive():
    check_within([1.5], [1.0], 0.5)
    with pytest.raises(AssertionError, match=r"error 0.5 where 0.49 is allowed"):
        check_within([1.5], [1.0], 0.49)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([1.0, -2.0, np.inf, 1e-3], r"\[3\]"),
        ([1.0, -2.0, -np.inf, 0.0], r"\[2\]"),
        ([1.0, -2.0, 1e300, 0.0], r"\[2\]"),
        ([1.0, np.inf, np.inf, 0.0], r"\[1\]"),
        ([np.nan, -2.0, np.inf, 0.0], r"\[0\]"),
        ([1.0, -2.0, np.nan, 0.0], r"\[2\]"),
        ([1.0, -2.0, np.inf], "shape"),
        ([[1.0, -2.0, np.inf, 0.0]], "shape"),
    ],
)
def test_values_off_anywhere_are_found(wrong, message):
    with pytest.raises(AssertionError, match=message):
        check_within(np.array(wrong), VALUES, 1e-4)


def test_nan_is_no_expectation():
    with pytest.raises(AssertionError, match="means nothing"):
        check_within([np.nan], [np.nan], np.inf)
    with pytest.raises(AssertionError, match="means nothing"):
        check_within([1.0], [1.0], np.nan)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("quantity", TOLERANCES["float64"])
def test_closeness_is_the_tables(dtype, quantity):
    bound = tolerance(dtype, quantity)
    check_close(3.0 + 0.9 * 7.0 * bound, 3.0, dtype, quantity, scale=7.0)
    with pytest.raises(AssertionError, match=quantity):
        check_close(3.0 + 1.1 * 7.0 * bound, 3.0, dtype, quantity, scale=7.0)


@pytest.mark.parametrize(
    "wrong",
    [
        np.nextafter(np.array([1.0, 0.0]), 2.0),
        np.array([1.0, -0.0]),
        np.array([1.0, 0.0], dtype=np.float32),
        np.array([[1.0, 0.0]]),
        np.array([1.0, np.nan]),
    ],
)
def test_bits(wrong):
    right = np.array([1.0, 0.0])
    check_same_bits(right.copy(), right)
    with pytest.raises(AssertionError):
        check_same_bits(wrong, right)


def test_library():
    like = array_api_strict.asarray([1.0])
    check_library(array_api_strict.asarray([2.0]), like)
    with pytest.raises(AssertionError, match="library"):
        check_library(np.array([1.0]), like)
    with pytest.raises(AssertionError, match="float32"):
        check_library(array_api_strict.asarray([2.0], dtype=array_api_strict.float32), like)
    check_library(np.zeros(1), np.zeros(1, dtype=np.float32), dtype="float64")


def test_gradient():
    x = np.array([[1.0, 2.0], [3.0, -4.0]])

    def function(x):
        return float((x**3).sum())

    check_gradient(function, 3 * x**2, x)
    for wrong in (3.001 * x**2, -3 * x**2, np.zeros(x.shape), 3 * x.T**2):
        with pytest.raises(AssertionError, match="gradient"):
            check_gradient(function, wrong, x)


# --- a solution by NumPy, and what check_solution says when one field of it is wrong --------------------------


@pytest.fixture
def solved(rng):
    n, m, eps, mass = 8, 6, 0.3, 2.5
    C = rng.random((n, m))
    C[1, 2] = np.inf
    a, b = mass * some_weights(rng, n), mass * some_weights(rng, m)
    K = np.exp(-C / eps)
    v = np.ones(m)
    for _ in range(5000):
        u = 1 / (K @ (b * v))
        v = 1 / (K.T @ (a * u))
    f, g = eps * np.log(u), eps * np.log(v)
    move = (b @ g - a @ f) / (2 * mass)
    f, g = f + move, g - move
    P = np.outer(a, b) * np.exp((f[:, None] + g - C) / eps)
    live = P > 0
    linear = float((P[live] * C[live]).sum())
    value = linear + eps * float((P[live] * np.log(P[live] / np.outer(a, b)[live])).sum())
    fields = {
        "potentials": (f, g),
        "reg": eps,
        "plan": P,
        "marginal_a": P.sum(1),
        "marginal_b": P.sum(0),
        "marginal_error": (np.abs(P.sum(1) - a).sum() + np.abs(P.sum(0) - b).sum()) / mass,
        "converged": True,
        "value_linear": linear,
        "value": value,
        "dual_value": float(a @ f + b @ g) - eps * (P.sum() - mass),
        "gap": 0.0,
        "bounds": (linear - 0.1, linear),
    }
    return fields, C, a, b


class _Answer(SimpleNamespace):
    def __float__(self):
        return self.value


def test_a_right_solution_passes(solved):
    fields, C, a, b = solved
    check_solution(_Answer(**fields), C, a, b)


def _moved(f, g):
    return f + 0.1, g - 0.1


def _shared(f, g):
    return f + 1e-9, g


def _lost(f, g):
    return np.where(np.arange(f.size) == 0, np.nan, f), g


@pytest.mark.parametrize(
    ("field", "wrong", "message"),
    [
        ("potentials", lambda pair: _moved(*pair), "gauge"),
        ("potentials", lambda pair: _shared(*pair), "gauge|plan"),
        ("potentials", lambda pair: _lost(*pair), "finite"),
        ("plan", lambda P: P * (1 + 1e-9), "plan"),
        ("plan", lambda P: P.T, "shape"),
        ("marginal_a", lambda v: v * (1 + 1e-9), "marginal_a"),
        ("marginal_b", lambda v: v + 1e-9, "marginal_b"),
        ("marginal_error", lambda v: v + 1e-9, "marginal_error"),
        ("value_linear", lambda v: v + 1e-8, "value_linear"),
        ("value", lambda v: v + 1e-8, "value"),
        ("dual_value", lambda v: v + 1e-8, "dual_value"),
        ("gap", lambda v: -1e-8, "dual value above"),
        ("gap", lambda v: np.nan, "dual value above"),
        ("bounds", lambda pair: pair[::-1], "bracket"),
        ("reg", lambda v: 1.001 * v, "plan"),
    ],
)
def test_a_wrong_field_is_found(solved, field, wrong, message):
    fields, C, a, b = solved
    answer = _Answer(**{**fields, field: wrong(fields[field])})
    with pytest.raises(AssertionError, match=message):
        check_solution(answer, C, a, b)


def test_another_problem_is_found(solved):
    fields, C, a, b = solved
    with pytest.raises(AssertionError):
        check_solution(_Answer(**fields), C + 0.01, a, b)
    with pytest.raises(AssertionError):
        check_solution(_Answer(**fields), C, a[::-1], b)
