"""The polynomials of `vector_math`, compiled into loops with the flags of real kernels.

References are NumPy's in extended precision; where the platform has none (``longdouble`` is ``float64``),
they add half a unit in the last place of their own, which the bounds leave room for.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from checks import check_same_bits, check_within

from ot_solvers.backends.numba import vector_math
from ot_solvers.backends.numba.policy import FAST, kernel

exp2, exp2_clamped = vector_math.exp2, vector_math.exp2_clamped
log2, asin = vector_math.log2, vector_math.asin


@kernel
def exp2_loop(x, out):
    for i in range(x.size):
        out[i] = exp2(x[i])


@kernel
def exp2_clamped_loop(x, out):
    for i in range(x.size):
        out[i] = exp2_clamped(x[i])


@kernel
def log2_loop(x, out):
    for i in range(x.size):
        out[i] = log2(x[i])


@kernel
def asin_loop(x, out):
    for i in range(x.size):
        out[i] = asin(x[i])


DTYPES = [pytest.param(np.float64, marks=pytest.mark.fast), np.float32]
#: Largest and smallest exponent of the normal numbers.
RANGE = {np.float64: (-1022, 1023), np.float32: (-126, 127)}


def evaluate(loop, x):
    out = np.full_like(x, np.nan)
    loop(x, out)
    return out


def check_ulps(loop, exact, x, bound):
    """Error of the loop in units in the last place of the exact result."""
    expected = exact(x.astype(np.longdouble))
    unit = np.spacing(np.abs(expected).astype(x.dtype)).astype(np.longdouble)
    error = np.abs(evaluate(loop, x).astype(np.longdouble) - expected) / unit
    worst = int(error.argmax())
    assert error.max() <= bound, f"{float(error[worst]):.3f} ulp at {x[worst]!r}"


def signed_magnitudes(rng, size, lowest):
    return rng.choice([-1.0, 1.0], size) * 10.0 ** rng.uniform(lowest, 0, size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loop", [exp2_loop, exp2_clamped_loop], ids=["exp2", "exp2_clamped"])
def test_exp2_to_one_unit(rng, dtype, loop):
    low, high = RANGE[dtype]
    for x in (
        rng.uniform(-1, 1, 200_000),
        rng.uniform(low, high + 0.999, 200_000),
        signed_magnitudes(rng, 20_000, -30),
        np.arange(low + 1, high + 1) + 0.5,  # rounding of the integer part goes either way
        np.arange(low + 1, high + 1) - 0.499,
    ):
        check_ulps(loop, np.exp2, x.astype(dtype), 1.25)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp2_of_integers_is_exact(dtype):
    k = np.arange(RANGE[dtype][0] + 1, RANGE[dtype][1] + 1)
    check_same_bits(evaluate(exp2_loop, k.astype(dtype)), np.ldexp(dtype(1), k))


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp2_is_an_exact_zero_below_the_normal_range(dtype):
    low = RANGE[dtype][0]
    x = np.array([-np.inf, np.finfo(dtype).min, 4.0 * low, low - 1, low - 0.5, low], dtype)
    check_same_bits(evaluate(exp2_loop, x), np.zeros(x.size, dtype))
    above = np.array([np.nextafter(dtype(low), dtype(0)), low + 0.25], dtype)
    assert (evaluate(exp2_loop, above) >= np.finfo(dtype).tiny).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp2_clamped_stops_at_the_smallest_normal_number(dtype):
    low = RANGE[dtype][0]
    x = np.array([-np.inf, np.finfo(dtype).min, 4.0 * low, low - 1, low - 0.5, low], dtype)
    check_same_bits(evaluate(exp2_clamped_loop, x), np.full(x.size, np.finfo(dtype).tiny))


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp2_of_tiny_numbers_is_one(dtype):
    smallest = np.finfo(dtype).smallest_subnormal
    x = np.array([0.0, -0.0, smallest, -smallest, np.finfo(dtype).tiny, -np.finfo(dtype).tiny], dtype)
    check_same_bits(evaluate(exp2_loop, x), np.ones(x.size, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_log2_to_four_units(rng, dtype):
    low, high = RANGE[dtype]
    for x in (
        rng.uniform(0.5, 2, 200_000),
        2.0 ** rng.uniform(low, high + 0.999, 200_000),
        1 + signed_magnitudes(rng, 20_000, -6),
        np.array([np.sqrt(0.5), np.sqrt(2), np.nextafter(1, 2), np.nextafter(1, 0)]),
    ):
        x = x.astype(dtype)
        check_ulps(log2_loop, np.log2, x[x != 1], 4.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log2_of_powers_of_two_is_exact(dtype):
    k = np.arange(RANGE[dtype][0], RANGE[dtype][1] + 1)
    check_same_bits(evaluate(log2_loop, np.ldexp(dtype(1), k)), k.astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_log2_at_the_edges(dtype):
    tiny, most = np.finfo(dtype).tiny, np.finfo(dtype).max
    nothing = np.array([0.0, -0.0, np.finfo(dtype).smallest_subnormal, np.nextafter(tiny, dtype(0))], dtype)
    check_same_bits(evaluate(log2_loop, nothing), np.full(4, -np.inf, dtype))
    check_within(evaluate(log2_loop, np.array([most])), np.log2(np.array([most])), np.spacing(dtype(1024.0)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_log2_undoes_exp2(rng, dtype):
    x = rng.uniform(*RANGE[dtype], 50_000).astype(dtype)
    back = evaluate(log2_loop, evaluate(exp2_loop, x))
    check_within(back, x, 4 * np.finfo(dtype).eps * (1 + np.abs(x)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_asin_to_four_units(rng, dtype):
    for x in (
        rng.uniform(0, 1, 200_000),
        np.abs(signed_magnitudes(rng, 20_000, -30)),
        1 - np.abs(signed_magnitudes(rng, 20_000, -16)),
        np.array([0.5, np.nextafter(dtype(0.5), dtype(1)), np.nextafter(dtype(0.5), dtype(0))]),
    ):
        check_ulps(asin_loop, np.arcsin, x.astype(dtype), 4.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_asin_at_the_edges(dtype):
    found = evaluate(asin_loop, np.array([0.0, 1.0], dtype))
    check_same_bits(found, np.array([0.0, math.pi / 2], dtype))
    # Half a chord of two unit vectors may come out a rounding above one: still a quarter turn, not NaN.
    above = np.array([np.nextafter(dtype(1), dtype(2))])
    check_same_bits(evaluate(asin_loop, above), np.array([math.pi / 2], dtype))


@kernel
def bits_loop(x, whole, out):
    for i in range(x.size):
        whole[i] = vector_math.bits(x[i])
        out[i] = vector_math.from_bits(whole[i])


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_there_and_back(rng, dtype):
    x = np.concatenate([rng.normal(size=100), [0.0, -0.0, np.inf, -np.inf]]).astype(dtype)
    whole, out = np.empty(x.size, np.int64 if dtype == np.float64 else np.int32), np.empty_like(x)
    bits_loop(x, whole, out)
    check_same_bits(whole, x.view(whole.dtype))
    check_same_bits(out, x)


@kernel
def classify_loop(x, out):
    for i in range(x.size):
        out[i] = 1.0 if math.isinf(x[i]) else (2.0 if math.isnan(x[i]) else 0.0)


def test_kernels_keep_infinities_and_nan():
    """No policy may promise the compiler that infinities and NaN do not occur: guards would mean nothing."""
    assert not FAST & {"nnan", "ninf", "fast"}
    found = evaluate(classify_loop, np.array([np.inf, -np.inf, np.nan, 1.0]))
    check_same_bits(found, np.array([1.0, 1.0, 2.0, 0.0]))


def test_log2e_and_ln2_are_inverse():
    assert abs(vector_math.LOG2E * vector_math.LN2 - 1) <= np.finfo(np.float64).eps
