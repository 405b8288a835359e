"""Comparisons that raise; ``test_checks.py`` proves that they do on wrong results."""

from __future__ import annotations

import numpy as np
from tolerances import tolerance

__all__ = [
    "check_close",
    "check_gradient",
    "check_library",
    "check_same_bits",
    "check_solution",
    "check_within",
    "host",
]


def host(array) -> np.ndarray:
    """Any library's array as a NumPy one of its own dtype."""
    if isinstance(array, np.ndarray | np.generic | float | int):
        return np.asarray(array)
    if type(array).__module__.split(".")[0] == "torch":
        return array.detach().cpu().numpy()
    if hasattr(array, "__dlpack__"):
        return np.from_dlpack(array)
    return np.asarray(array)


def check_within(actual, expected, bound, what: str = "result") -> None:
    """``|actual - expected| <= bound`` entry by entry; equal infinities agree, a NaN never does.

    Parameters
    ----------
    bound : float or array that broadcasts against `expected`
        Absolute.
    """
    actual, expected = host(actual), host(expected)
    if actual.shape != expected.shape:
        raise AssertionError(f"{what} has shape {actual.shape}; expected {expected.shape}")
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    if np.isnan(expected).any() or np.isnan(bound).any():
        raise AssertionError(f"{what}: the expected values or their bounds hold NaN, the comparison means nothing")
    with np.errstate(invalid="ignore"):
        error = np.where(actual == expected, 0.0, np.abs(actual - expected))
    # Not "error > bound": that would let a NaN through.
    bad = ~(error <= bound)
    if bad.any():
        share = np.where(bad, np.nan_to_num(error, nan=np.inf), -1.0)
        worst = np.unravel_index(int(share.argmax()), share.shape)
        place = "".join(f"[{i}]" for i in worst)
        raise AssertionError(
            f"{what}: {int(bad.sum())} of {bad.size} entries are off; worst {what}{place} = "
            f"{actual[worst]!r}, expected {expected[worst]!r}, error {error[worst]:.3g} where "
            f"{np.broadcast_to(bound, error.shape)[worst]:.3g} is allowed"
        )


def check_close(actual, expected, dtype, quantity: str, scale=1.0, what: str | None = None) -> None:
    """`actual` equals `expected` up to the rounding that the table allows for the quantity.

    Parameters
    ----------
    dtype, quantity
        Entry of `tolerances.TOLERANCES`.
    scale : float or array
        What the tolerance is relative to, in the units of `actual`.
    """
    check_within(actual, expected, tolerance(dtype, quantity) * np.asarray(scale), what or quantity)


def check_same_bits(actual, expected, what: str = "result") -> None:
    """The same numbers to the last bit, signs of zeros included."""
    actual, expected = host(actual), host(expected)
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise AssertionError(f"{what} is {actual.dtype}{actual.shape}; expected {expected.dtype}{expected.shape}")
    if actual.tobytes() != expected.tobytes():
        differ = np.atleast_1d(actual) != np.atleast_1d(expected)
        raise AssertionError(f"{what}: {int(differ.sum())} of {differ.size} entries differ in their bits")


def check_library(array, like, what: str = "result", *, dtype: str | None = None) -> None:
    """`array` is of the library and floating dtype of `like` (or of `dtype`)."""
    if type(array).__module__.split(".")[0] != type(like).__module__.split(".")[0]:
        raise AssertionError(f"{what} is a {type(array)}; expected one of the library of {type(like)}")
    found, wanted = (str(z).rsplit(".", 1)[-1] for z in (array.dtype, dtype or like.dtype))
    if found != wanted:
        raise AssertionError(f"{what} has dtype {found}; expected {wanted}")


def check_gradient(function, gradient, x, dtype="float64", step: float = 1e-5) -> None:
    """`gradient` (n, d) is the derivative of the scalar ``function(x)``, by central differences in float64.

    The scale is the largest entry of the gradient: small entries inherit the noise of large ones.
    """
    x = np.asarray(x, dtype=np.float64)
    numeric = np.empty(x.shape)
    for index in np.ndindex(*x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[index] += step
        behind[index] -= step
        numeric[index] = (function(ahead) - function(behind)) / (2 * step)
    check_close(gradient, numeric, dtype, "derivative", scale=1e-12 + np.abs(numeric).max(), what="gradient")


def check_solution(solution, C, a, b, *, dtype="float64") -> None:
    """Every field of a balanced `Solution` against its definition, by NumPy on the dense cost.

    Parameters
    ----------
    C : (n, m) array, a : (n,) array, b : (m,) array
        The problem as the caller gave it; grids flat, in C order.
    """
    C, a, b = (host(z).astype(np.float64) for z in (C, a, b))
    b = b * (a.sum() / b.sum())
    f, g = (host(z).astype(np.float64).reshape(-1) for z in solution.potentials)
    eps, mass = solution.reg, a.sum()
    live = np.outer(a > 0, b > 0) & np.isfinite(C)
    finite = np.isfinite(C)
    size = (np.abs(f).max() + np.abs(g).max() + np.abs(C[finite]).max()) / eps

    if not (np.isfinite(f).all() and np.isfinite(g).all()):
        raise AssertionError("potentials must be finite, also where a weight is zero")
    gauge = (a @ f - b @ g) / mass
    check_close(gauge, 0.0, dtype, "potential", scale=eps * (1 + size), what="gauge")

    P = np.outer(a, b) * np.exp((f[:, None] + g - C) / eps)
    entries = P * (1 + size) + 1e-300
    check_close(solution.plan, P, dtype, "mass", scale=entries, what="plan")
    # From here on by the plan that the solution says it has: float32 potentials are cast ones.
    P = host(solution.plan).astype(np.float64)
    rows, columns = P.sum(1), P.sum(0)
    check_close(solution.marginal_a, rows, dtype, "mass", scale=(1 + size) * rows, what="marginal_a")
    check_close(solution.marginal_b, columns, dtype, "mass", scale=(1 + size) * columns, what="marginal_b")
    error = (np.abs(rows - a).sum() + np.abs(columns - b).sum()) / mass
    check_close(solution.marginal_error, error, dtype, "mass", scale=1 + size, what="marginal_error")
    if solution.converged and not error <= 1:
        raise AssertionError(f"converged, but the marginals are off by {error}")

    linear = (P[live] * C[live]).sum()
    ratio = np.log(np.where(P > 0, P, 1.0)[live] / np.outer(a, b)[live])
    value = linear + eps * (P[live] * ratio).sum()
    scale = mass * (1 + size) * eps
    check_close(solution.value_linear, linear, dtype, "value", scale=scale, what="value_linear")
    check_close(solution.value, value, dtype, "value", scale=scale, what="value")
    check_close(float(solution), value, dtype, "value", scale=scale, what="float(solution)")
    dual = a @ f + b @ g - eps * (P.sum() - mass)
    check_close(solution.dual_value, dual, dtype, "value", scale=scale, what="dual_value")
    gap = float(solution.gap)
    if not gap >= -tolerance(dtype, "value") * scale:
        raise AssertionError(f"gap = {gap}: a dual value above a primal one")
    lower, upper = (float(z) for z in solution.bounds)
    if not lower <= upper + tolerance(dtype, "value") * scale:
        raise AssertionError(f"bounds = ({lower}, {upper}) do not bracket anything")
