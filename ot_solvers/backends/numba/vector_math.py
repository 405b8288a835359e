"""``exp2``, ``log2`` and ``asin`` as branch-free polynomials that LLVM turns into vector code.

Current Numba wheels ship no vector mathematics library, so a call to ``math.exp`` inside a loop costs ten
times the arithmetic of a polynomial. Everything here is our own Chebyshev fit (60-digit interpolation at
Chebyshev nodes, coefficients rounded to double); relative error of the polynomial alone, and measured
against NumPy in ``tests/backends/test_vector_math.py``:

=========  =================  ========  =========
function   range of fit       float64   float32
=========  =================  ========  =========
exp2       [-1/2, 1/2]        2e-17     2.6e-9
log2       [sqrt(1/2), sqrt2] 1.5e-17   7e-10
asin       [0, 1/2]           7e-19     3e-10
=========  =================  ========  =========

Base 2 because ``2**t`` needs no two-constant range reduction: callers scale their exponents by
``log2(e)`` once per vector instead of once per pair.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic
from numba.extending import overload

from .policy import EXACT_HELPER

# Its annotations describe the definition (with the typing context), not the call inside a kernel.
intrinsic: Any = _intrinsic

LOG2E = math.log2(math.e)
LN2 = math.log(2.0)

# Adding 1.5 * 2**52 (2**23) leaves the nearest integer in the low bits of the mantissa.
_MAGIC64 = 6755399441055744.0
_MAGIC32 = np.float32(12582912.0)

_EXP64 = (
    1.0, 0.6931471805599453, 0.24022650695910158, 0.055504108664821625, 0.009618129107587256,
    0.001333355814640647, 0.00015403530463724353, 1.5252733841556773e-05, 1.3215432535912375e-06,
    1.0178057087733941e-07, 7.074194297288521e-09, 4.4558179083360645e-10,
)  # fmt: skip
_EXP32 = tuple(
    np.float32(c)
    for c in (
        1.0, 0.6931472067028326, 0.24022650922288757, 0.05550327226670302, 0.009618056678524637,
        0.0013400428177615838, 0.0001546144469856913,
    )
)  # fmt: skip
_LOG64 = (
    2.8853900817779268, 0.9617966939259754, 0.5770780163556951, 0.4121985830729923, 0.32059890460723844,
    0.2623075424233666, 0.22199005137474054, 0.1911337912138523, 0.19138111355617068,
)  # fmt: skip
_LOG32 = tuple(
    np.float32(c) for c in (2.8853900797862373, 0.9617988527702259, 0.5767136031224418, 0.4317607218145981)
)
_ASIN64 = (
    1.0, 0.16666666666666657, 0.07500000000002856, 0.04464285713950677, 0.030381944649750525,
    0.022372151536955744, 0.01735294518022548, 0.013961891184389839, 0.01158567991890895,
    0.009484697869045622, 0.010003606639881351, 0.0007093925943252462, 0.0247548762838696,
    -0.026044488873720434, 0.0335771469474287,
)  # fmt: skip
_ASIN32 = tuple(
    np.float32(c)
    for c in (
        1.0000000002307783, 0.16666657639575913, 0.07500571381024686, 0.04450870949865153,
        0.03185718889411276, 0.014295256037820107, 0.0376771383418486,
    )
)  # fmt: skip


@intrinsic
def bits(typingctx, x):
    """Reinterpret a float as the signed integer of the same width."""
    if x not in (types.float32, types.float64):
        return None
    width = x.bitwidth

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(width))

    return (types.int64 if width == 64 else types.int32)(x), codegen


@intrinsic
def from_bits(typingctx, x):
    """Reinterpret an int32/int64 as the float of the same width."""
    if x not in (types.int32, types.int64):
        return None
    target = types.float64 if x.bitwidth == 64 else types.float32
    llvm = ir.DoubleType() if x.bitwidth == 64 else ir.FloatType()

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], llvm)

    return target(x), codegen


@intrinsic
def prefetch(typingctx, array, i, j):
    """Ask for the cache line of ``array[i, j]``; reads nothing, so any legal index is safe.

    The vector body of an ``exp2`` loop fills the out-of-order window, so the hardware prefetcher alone
    leaves memory time and compute time side by side (measured 0.85 ns against 0.39 ns per pair).
    """

    def codegen(context, builder, signature, args):
        kind = signature.args[0]
        value = context.make_array(kind)(context, builder, args[0])
        pointer = cgutils.get_item_pointer(
            context, builder, kind, value, [args[1], args[2]], wraparound=False, boundscheck=False
        )
        byte_pointer = ir.IntType(8).as_pointer()
        i32 = ir.IntType(32)
        kind_of = ir.FunctionType(ir.VoidType(), [byte_pointer, i32, i32, i32])
        function = cgutils.get_or_insert_function(builder.module, kind_of, "llvm.prefetch.p0")
        builder.call(function, [builder.bitcast(pointer, byte_pointer), i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), codegen


def exp2_clamped(t):
    """``2**max(t, tmin)`` with ``tmin`` the smallest normal exponent: never 0, overflows to garbage.

    For loops whose result is discarded when the sum leaves a safe range; 10 % cheaper than `exp2`.
    """
    return np.exp2(t)


def exp2(t):
    """``2**t``, an exact 0 below the smallest normal number; ``t`` at most the largest exponent."""
    return np.exp2(t)


def log2(x):
    """``log2(x)`` for normal positive ``x``; ``-inf`` at 0 and for subnormals."""
    return np.log2(x)


def asin(x):
    """``asin(x)`` for ``0 <= x <= 1``."""
    return np.arcsin(x)


def _is64(t):
    return t == types.float64


@overload(exp2_clamped, jit_options=EXACT_HELPER)
def _exp2_clamped(t):
    if _is64(t):
        c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11 = _EXP64

        def double(t):
            t = t if t > -1022.0 else -1022.0
            z = t + _MAGIC64
            r = t - (z - _MAGIC64)
            p = c11 * r + c10
            p = p * r + c9
            p = p * r + c8
            p = p * r + c7
            p = p * r + c6
            p = p * r + c5
            p = p * r + c4
            p = p * r + c3
            p = p * r + c2
            p = p * r + c1
            p = p * r + c0
            return from_bits((bits(z) << 52) + bits(p))

        return double
    s0, s1, s2, s3, s4, s5, s6 = _EXP32
    low = np.float32(-126.0)
    shift = np.int32(23)

    def single(t):
        t = t if t > low else low
        z = t + _MAGIC32
        r = t - (z - _MAGIC32)
        p = s6 * r + s5
        p = p * r + s4
        p = p * r + s3
        p = p * r + s2
        p = p * r + s1
        p = p * r + s0
        return from_bits(np.int32((bits(z) << shift) + bits(p)))

    return single


@overload(exp2, jit_options=EXACT_HELPER)
def _exp2(t):
    zero = 0.0 if _is64(t) else np.float32(0.0)
    low = -1022.0 if _is64(t) else np.float32(-126.0)

    def select(t):
        value = exp2_clamped(t)
        return value if t > low else zero

    return select


@overload(log2, jit_options=EXACT_HELPER)
def _log2(x):
    # x = 2**k * m with m in [sqrt(1/2), sqrt(2)); log2(m) = s * poly(s*s), s = (m - 1) / (m + 1).
    if _is64(x):
        c0, c1, c2, c3, c4, c5, c6, c7, c8 = _LOG64
        sqrt_half = np.int64(0x3FE6A09E667F3BCD)
        mask = np.int64(0xFFFFFFFFFFFFF)

        def double(x):
            raw = bits(x) - sqrt_half
            k = raw >> 52
            m = from_bits((raw & mask) + sqrt_half)
            s = (m - 1.0) / (m + 1.0)
            z = s * s
            p = c8 * z + c7
            p = p * z + c6
            p = p * z + c5
            p = p * z + c4
            p = p * z + c3
            p = p * z + c2
            p = p * z + c1
            p = p * z + c0
            value = p * s + float(k)
            return value if x >= 2.2250738585072014e-308 else -np.inf

        return double
    s0, s1, s2, s3 = _LOG32
    one = np.float32(1.0)
    smallest = np.float32(1.1754944e-38)
    minus_inf = np.float32(-np.inf)
    half32 = np.int32(0x3F3504F3)
    mask32 = np.int32(0x7FFFFF)
    shift = np.int32(23)

    def single(x):
        raw = np.int32(bits(x) - half32)
        k = np.int32(raw >> shift)
        m = from_bits(np.int32((raw & mask32) + half32))
        s = (m - one) / (m + one)
        z = s * s
        p = s3 * z + s2
        p = p * z + s1
        p = p * z + s0
        value = p * s + np.float32(k)
        return value if x >= smallest else minus_inf

    return single


@overload(asin, jit_options=EXACT_HELPER)
def _asin(x):
    # Above 1/2: asin(x) = pi/2 - 2 asin(sqrt((1 - x) / 2)).
    if _is64(x):
        c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14 = _ASIN64
        half_pi = math.pi / 2

        def double(x):
            outer = x > 0.5
            z = (1.0 - x) * 0.5 if outer else x * x
            z = z if z > 0.0 else 0.0
            root = math.sqrt(z) if outer else x
            p = c14 * z + c13
            p = p * z + c12
            p = p * z + c11
            p = p * z + c10
            p = p * z + c9
            p = p * z + c8
            p = p * z + c7
            p = p * z + c6
            p = p * z + c5
            p = p * z + c4
            p = p * z + c3
            p = p * z + c2
            p = p * z + c1
            p = (p * z + c0) * root
            return half_pi - 2.0 * p if outer else p

        return double
    s0, s1, s2, s3, s4, s5, s6 = _ASIN32
    half = np.float32(0.5)
    one = np.float32(1.0)
    two = np.float32(2.0)
    zero = np.float32(0.0)
    half_pi32 = np.float32(math.pi / 2)

    def single(x):
        outer = x > half
        z = (one - x) * half if outer else x * x
        z = z if z > zero else zero
        root = np.float32(math.sqrt(z)) if outer else x
        p = s6 * z + s5
        p = p * z + s4
        p = p * z + s3
        p = p * z + s2
        p = p * z + s1
        p = (p * z + s0) * root
        return half_pi32 - two * p if outer else p

    return single
