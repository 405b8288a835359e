"""Checks of user input: every message names the argument, what it was and what was expected."""

from __future__ import annotations

import difflib
import math
from typing import Any

import numpy as np

from .costs import Cost, by_name, names
from .namespaces import host_array, library_name

__all__ = ["floating", "points", "read_cost", "weights"]


def floating(value: Any, argument: str) -> np.ndarray:
    """`value` as a float32 or float64 NumPy array; float16 becomes float32, integers and bools float64.

    Raises
    ------
    TypeError
        For complex, text and object arrays.
    """
    array = host_array(value, argument)
    if array.dtype in (np.float32, np.float64):
        # A foreign byte order is a copy; anything else is the caller's own memory.
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.kind in "iubf":
        return array.astype(np.float64)
    raise TypeError(f"{argument} has dtype {array.dtype}; expected real numbers")


def finite(array: np.ndarray, argument: str) -> None:
    """Raise ``ValueError`` naming the first NaN or infinite entry."""
    # One reduction in the usual case: a NaN or infinity survives the sum (an overflowing sum is looked at).
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        place = ", ".join(map(str, where))
        raise ValueError(f"{argument}[{place}] is {array[where]}; expected finite numbers")


def points(value: Any, argument: str) -> np.ndarray:
    """(n, d) points, n and d at least 1, finite."""
    array = point_array(value, argument)
    finite(array, argument)
    return array


def point_array(value: Any, argument: str) -> np.ndarray:
    """`points` whose entries nobody has looked at."""
    array = floating(value, argument)
    if array.ndim != 2:
        hint = f"; a single coordinate is {argument}[:, None]" if array.ndim == 1 else ""
        raise ValueError(f"{argument} has shape {array.shape}; expected (n, d){hint}")
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise ValueError(f"{argument} is empty: shape {array.shape}")
    return array


def weights(value: Any, argument: str, size: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """(n,) float64 weights >= 0; uniform with sum 1 when `value` is None.

    Parameters
    ----------
    size : int
        n.
    shape : tuple, optional
        The shape asked of the caller where it is not ``(n,)`` (grids).
    """
    if value is None:
        return np.full(size, 1 / size)
    array = floating(value, argument)
    expected = (size,) if shape is None else shape
    if array.shape != expected:
        raise ValueError(f"{argument} has shape {array.shape}; expected {expected}, one weight per point")
    # Before the cast: an index that the caller can use.
    finite(array, argument)
    if array.min() < 0:
        where = np.unravel_index(int(array.argmin()), array.shape)
        place = ", ".join(str(int(i)) for i in where)
        raise ValueError(f"{argument}[{place}] is {array[where]:g}; weights must not be negative")
    return np.ascontiguousarray(array, dtype=np.float64).reshape(-1)


def read_cost(cost: Any) -> Cost:
    """A `Cost` from a name or a cost value."""
    if isinstance(cost, Cost):
        return cost
    if isinstance(cost, str):
        try:
            return by_name(cost)
        except KeyError:
            raise ValueError(
                f"cost={cost!r} is unknown; expected one of {list(names())}{suggestion(cost, names())}"
            ) from None
    raise TypeError(f"cost={cost!r} must be a name or an ots.costs.Cost, not {type(cost).__name__}")


def suggestion(word: str, known) -> str:
    """``; did you mean 'x'?`` or nothing."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def shares(value: Any, argument: str, size: int) -> np.ndarray:
    """(n,) float64 weights >= 0 with sum 1; uniform when `value` is None."""
    masses = weights(value, argument, size)
    total = float(masses.sum())
    if not (math.isfinite(total) and total > 0):
        raise ValueError(f"{argument} has total mass {total:g}; expected a positive, finite total")
    return masses / total


def choice(value: Any, argument: str, known: tuple[str, ...]) -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in known:
        hint = suggestion(value, known) if isinstance(value, str) else ""
        raise ValueError(f"{argument}={value!r} is unknown; expected one of {list(known)}{hint}")
    return value


def number(value: Any, argument: str, unit: str = "") -> float:
    """A real number of Python or of an array library (0-d arrays are one); its range is the caller's business.

    Raises
    ------
    TypeError
        For anything else.
    """
    if getattr(value, "shape", None) == () and library_name(value) is not None:
        value = host_array(value, argument)[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{argument}={value!r} is not a number{unit and f' ({unit})'}")
    return float(value)


def positive(value: Any, argument: str) -> float:
    """`number` that is positive and finite.

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    found = number(value, argument)
    if not (math.isfinite(found) and found > 0):
        raise ValueError(f"{argument}={value!r} must be positive and finite")
    return found


def tolerance(tol: Any, dtype: np.dtype) -> float:
    """`tol` or the default of the precision."""
    if tol is None:
        return 1e-4 if dtype == np.float32 else 1e-6
    if isinstance(tol, bool) or not isinstance(tol, (int, float, np.integer, np.floating)):
        raise TypeError(f"tol={tol!r} is not a number")
    if not (math.isfinite(tol) and tol >= 0):
        raise ValueError(f"tol={tol!r} must be finite and not negative")
    return float(tol)


def iterations(max_iter: Any) -> int | None:
    """`max_iter` as a positive integer or None."""
    return None if max_iter is None else count(max_iter, "max_iter")


def count(value: Any, argument: str, least: int = 1, most: int | None = None) -> int:
    """`value` as an integer within limits.

    Raises
    ------
    TypeError, ValueError
        For what is no integer, and outside.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{argument}={value!r} is not an integer")
    if most is not None and not least <= value <= most:
        raise ValueError(f"{argument}={value!r} must be in {least} ... {most}")
    if value < least:
        raise ValueError(f"{argument}={value!r} must be at least {least}")
    return int(value)


def unbalanced_pair(unbalanced: Any) -> tuple[float, float] | None:
    """(rho_a, rho_b) from a number or a pair; None when balanced."""
    if unbalanced is None:
        return None
    if isinstance(unbalanced, (tuple, list)):
        if len(unbalanced) != 2:
            raise ValueError(f"unbalanced={unbalanced!r} must be rho or (rho_a, rho_b)")
        pair = tuple(unbalanced)
    else:
        pair = (unbalanced, unbalanced)
    for rho in pair:
        if isinstance(rho, bool) or not isinstance(rho, (int, float, np.integer, np.floating)):
            raise TypeError(f"unbalanced={unbalanced!r} must be rho or (rho_a, rho_b), numbers in cost units")
        if not rho > 0:
            raise ValueError(f"unbalanced={unbalanced!r} must be positive (inf: that side is hard)")
    return float(pair[0]), float(pair[1])
