"""What is added to the transport cost, as users name it: `Entropic`, `Quadratic`, `SparsityConstrained`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from .errors import UnsupportedError
from .geometry.base import Geometry
from .namespaces import host_array, library_name

__all__ = ["Entropic", "Quadratic", "SparsityConstrained"]


@dataclass(frozen=True)
class Entropic:
    """Entropic regularisation ``eps * KL(P | a b')``.

    Parameters
    ----------
    eps : float > 0
        Cost units; with `relative_to`, a multiple of that statistic of the cost.
    relative_to : {None, "mean", "max"}
        Statistic over finite pairs, unweighted, computed without forming the cost matrix.

    Raises
    ------
    ValueError
        If `eps` is not positive and finite, or `relative_to` is unknown.
    """

    eps: float
    relative_to: str | None = None

    #: Field that holds the strength.
    strength: ClassVar[str] = "eps"

    def __post_init__(self):
        _check_strength(self)


@dataclass(frozen=True)
class Quadratic:
    """Quadratic regularisation ``gamma / 2 * sum(P ** 2)``: plans are sparse, and differ from exact ones smoothly.

    Parameters
    ----------
    gamma : float > 0
        Cost units per unit of mass; with `relative_to`, a multiple of that statistic of the cost. An entry of mass
        1 / n costs ``gamma / n`` more at the margin: for the same blur, gamma grows with the number of points.
    relative_to : {None, "mean", "max"}

    Raises
    ------
    ValueError
        If `gamma` is not positive and finite, or `relative_to` is unknown.

    References
    ----------
    [blondel:18]_, [lorenz:21]_.
    """

    gamma: float
    relative_to: str | None = None

    strength: ClassVar[str] = "gamma"

    def __post_init__(self):
        _check_strength(self)


@dataclass(frozen=True)
class SparsityConstrained:
    """`Quadratic`, and at most `k` entries in every column of the plan (or in every row).

    Parameters
    ----------
    gamma : float > 0
        See `Quadratic`.
    k : int >= 1, or (m,) int array >= 1
        Entries of every column, or of each one. More than there are rows is no limit. With 1 the dual is that of
        unregularised transport; with many, the problem is the quadratic one.
    side : {"columns", "rows"}
        Which side is limited; rows: `k` may be an (n,) array.
    relative_to : {None, "mean", "max"}

    Raises
    ------
    ValueError, TypeError
        If `gamma` is not positive and finite, `k` is not a positive integer, or a name is unknown.

    References
    ----------
    [liu:23]_.
    """

    gamma: float
    k: Any
    side: str = "columns"
    relative_to: str | None = None

    strength: ClassVar[str] = "gamma"

    def __post_init__(self):
        _check_strength(self)
        if self.side not in ("columns", "rows"):
            raise ValueError(f"side={self.side!r} is unknown; expected 'columns' or 'rows'")
        k = np.asarray(self.k)
        if isinstance(self.k, (bool, np.bool_)) or k.dtype.kind not in "iu" or k.ndim > 1 or k.size == 0:
            raise TypeError(f"k={self.k!r} must be a positive integer, or one for each point of the side")
        if k.min() < 1:
            raise ValueError(f"k={self.k!r}: every point needs at least one entry; expected integers >= 1")
        # A tuple: equal values compare equal, and the caller's array may change.
        object.__setattr__(self, "k", int(k) if k.ndim == 0 else tuple(int(each) for each in k))

    def limits(self, size: int, others: int) -> np.ndarray:
        """(size,) entries of each point of the limited side, of at most `others`.

        Raises
        ------
        ValueError
            If there are limits for another number of points.
        """
        if isinstance(self.k, tuple) and len(self.k) != size:
            raise ValueError(f"k holds {len(self.k)} limits; expected one for each of the {size} {self.side}")
        return np.minimum(np.broadcast_to(np.asarray(self.k, dtype=np.int64), (size,)), others)


Regulariser = Entropic | Quadratic | SparsityConstrained


def _check_strength(reg) -> None:
    """Raise unless the strength is a positive number and the statistic is known; the strength becomes a float."""
    name = reg.strength
    value = getattr(reg, name)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}={value!r} is not a number")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value!r} must be positive and finite")
    if reg.relative_to not in (None, "mean", "max"):
        raise ValueError(f"relative_to={reg.relative_to!r} is unknown; expected None, 'mean' or 'max'")
    object.__setattr__(reg, name, float(value))


def absolute(reg: Regulariser | None, geometry: Geometry, backend) -> float:
    """Strength of `reg` in cost units, 0 for None; the statistic of a relative one is computed by the backend.

    Raises
    ------
    ValueError
        If the statistic is not positive.
    """
    if reg is None:
        return 0.0
    strength = float(getattr(reg, reg.strength))
    if reg.relative_to is None:
        return strength
    statistics = backend.cost_statistics(geometry)
    unit = statistics.mean if reg.relative_to == "mean" else statistics.maximum
    if not (math.isfinite(unit) and unit > 0):
        raise ValueError(
            f"reg_relative_to={reg.relative_to!r}: the {reg.relative_to} of the cost is {unit:g}, not positive; "
            "give reg in cost units"
        )
    return strength * unit


def regulariser(reg, relative_to) -> Regulariser | None:
    """`reg` as the user gave it, a number as an `Entropic`; None for exact transport.

    Raises
    ------
    TypeError, ValueError
        For what is neither None, nor a number >= 0, nor a regulariser.
    """
    if relative_to not in (None, "mean", "max"):
        raise ValueError(f"reg_relative_to={relative_to!r} is unknown; expected None, 'mean' or 'max'")
    if getattr(reg, "shape", None) == () and library_name(reg) is not None:
        reg = float(host_array(reg, "reg"))
    number = isinstance(reg, (int, float, np.integer, np.floating)) and not isinstance(reg, bool)
    if reg is None or (number and reg == 0):
        return None
    if isinstance(reg, Regulariser):
        if relative_to is not None and reg.relative_to not in (None, relative_to):
            raise ValueError(
                f"reg={reg!r} is relative to {reg.relative_to!r}, but reg_relative_to={relative_to!r}"
            )
        return reg if relative_to is None else replace(reg, relative_to=relative_to)
    if not number:
        raise TypeError(
            f"reg={reg!r} must be a positive number, ots.Entropic(eps), ots.Quadratic(gamma) or "
            f"ots.SparsityConstrained(gamma, k), not {type(reg).__name__}"
        )
    if not (math.isfinite(reg) and reg > 0):
        raise ValueError(f"reg={reg!r} must be positive and finite (0 or None: exact transport)")
    return Entropic(float(reg), relative_to)


def entropic(reg, relative_to) -> Entropic:
    """`regulariser` where only entropy will do.

    Raises
    ------
    UnsupportedError
        For None and 0, and for other regularisers.
    """
    found = regulariser(reg, relative_to)
    if isinstance(found, Entropic):
        return found
    if found is not None:
        raise UnsupportedError(f"reg={reg!r}: this is defined for entropic regularisation only; give a number")
    raise UnsupportedError(
        f"reg={reg!r} asks for exact transport, but this is defined for a positive reg only; give one in cost "
        "units, or a relative one such as reg=0.01, reg_relative_to='mean'"
    )
