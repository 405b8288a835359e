"""Results that can be used as the number they stand for."""

from __future__ import annotations

import operator
from typing import Any

__all__ = ["Numeric"]


def _value(x: Any) -> Any:
    return x.value if isinstance(x, Numeric) else x


class Numeric:
    """Arithmetic and comparisons of the ``value``: a term of a loss needs no ``.value``."""

    value: Any

    def __float__(self) -> float:
        return float(self.value)

    def __add__(self, other: Any) -> Any:
        return operator.add(self.value, _value(other))

    def __radd__(self, other: Any) -> Any:
        return operator.add(other, self.value)

    def __sub__(self, other: Any) -> Any:
        return operator.sub(self.value, _value(other))

    def __rsub__(self, other: Any) -> Any:
        return operator.sub(other, self.value)

    def __mul__(self, other: Any) -> Any:
        return operator.mul(self.value, _value(other))

    def __rmul__(self, other: Any) -> Any:
        return operator.mul(other, self.value)

    def __truediv__(self, other: Any) -> Any:
        return operator.truediv(self.value, _value(other))

    def __rtruediv__(self, other: Any) -> Any:
        return operator.truediv(other, self.value)

    def __neg__(self) -> Any:
        return -self.value

    def __abs__(self) -> Any:
        return abs(self.value)

    def __lt__(self, other: Any) -> Any:
        return self.value < _value(other)

    def __le__(self, other: Any) -> Any:
        return self.value <= _value(other)

    def __gt__(self, other: Any) -> Any:
        return self.value > _value(other)

    def __ge__(self, other: Any) -> Any:
        return self.value >= _value(other)
