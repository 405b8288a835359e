"""Permutation tests: the loop over permutations, and what all of their results have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..lazy import cached_property
from ..namespaces import Library
from ..solvers.base import is_true

__all__ = ["NullDistribution", "PermutationProgress", "PermutationTest", "permuted"]


class PermutationProgress(NamedTuple):
    """How far a permutation test is.

    Attributes
    ----------
    done : int
        Permutations.
    total : int
    p_value : float
        With these permutations only.
    """

    done: int
    total: int
    p_value: float


class NullDistribution(NamedTuple):
    """A statistic and its values under permutations, larger ones against the null hypothesis."""

    observed: float
    permuted: np.ndarray  # (B,)
    #: Differences below this are rounding: such permutations count as ties.
    rounding: float

    @property
    def p_value(self) -> float:
        """``(1 + number at least as large) / (1 + B)`` [phipson:10]_: the data are a permutation of themselves."""
        # A tie that rounding has put below the observed value must count, or the test is not valid.
        large = int((self.permuted >= self.observed - self.rounding).sum())
        return (1 + large) / (1 + self.permuted.size)


def permuted(
    statistic: Callable[[Sequence[Any]], np.ndarray],
    identity: Any,
    draw: Callable[[], Any],
    n_permutations: int,
    portion: int,
    rounding: float,
    callback: Callable[[PermutationProgress], object] | None,
) -> NullDistribution:
    """Values of a statistic at the data and at random permutations of them.

    Parameters
    ----------
    statistic : callable
        From permutations to as many values.
    identity : permutation
        That of the data.
    draw : callable
        The next random one: drawn one by one, so that neither the portions nor an early end change those before.
    portion : int
        Permutations between two looks at the callback.
    """
    observed = float(statistic([identity])[0])
    found = NullDistribution(observed, np.empty(0), rounding)
    while found.permuted.size < n_permutations:
        some = [draw() for _ in range(min(portion, n_permutations - found.permuted.size))]
        found = found._replace(permuted=np.concatenate([found.permuted, statistic(some)]))
        progress = PermutationProgress(found.permuted.size, n_permutations, found.p_value)
        if callback is not None and is_true(callback(progress)):
            break
    return found


class PermutationTest:
    """A statistic, its null distribution and what follows; `float` of it is the statistic.

    Attributes
    ----------
    value : float, or 0-d array of the caller's library
        The statistic of the data.
    null_values : (B,) array
        The same of the permuted data, in the order in which they were drawn.
    p_value : float
        ``(1 + number of null values >= value) / (1 + B)``: under the null hypothesis at most `t` with probability
        at most `t`, whatever the sample size and the law.
    n_permutations : int
        B, those done: fewer than asked for if a callback has stopped the test.
    """

    def __init__(self, value: float, null_values: np.ndarray, p_value: float, library: Library):
        self._value, self._null, self._library = value, null_values, library
        self.value = library.scalar(value)
        self.null_values = library.array(null_values.copy())
        self.p_value = p_value
        self.n_permutations = null_values.size

    @cached_property
    def _null_mean(self) -> float:
        return float(self._null.mean()) if self._null.size else math.nan

    @property
    def debiased(self) -> Any:
        """`value` minus the mean of the null values, 0 in expectation under the null hypothesis.

        NaN without permutations.
        """
        return self._library.scalar(self._value - self._null_mean)

    @cached_property
    def effect(self) -> float:
        """`debiased` in standard deviations of the null values; NaN with less than two permutations."""
        if self._null.size < 2:
            return math.nan
        excess, spread = self._value - self._null_mean, float(self._null.std(ddof=1))
        # Null values that differ by rounding are one value.
        if spread <= 1e-12 * abs(self._null_mean):
            return 0.0 if abs(excess) <= 1e-12 * abs(self._null_mean) else math.copysign(math.inf, excess)
        return excess / spread

    def __float__(self) -> float:
        return self._value

    def _lines(self) -> list[str]:
        lines = [f"  statistic     {self._value:.6g}"]
        if self._null.size:
            lines[0] += f"   ({self._null_mean:.6g} under the null hypothesis, on average)"
            if math.isfinite(self.effect):
                lines.append(f"  effect        {self.effect:.3g} standard deviations of the null values")
        lines.append(f"  p-value       {self.p_value:.4g}   ({self.n_permutations} permutations)")
        return lines
