"""The reference backend: the blockwise formulas as they stand, in any array library."""

from __future__ import annotations

from . import blockwise
from .base import PRIMITIVES, Backend

__all__ = ["ReferenceBackend"]


class ReferenceBackend(Backend):
    """Plain array API, float64, O(block) memory: the oracle of the conformance suite."""

    name = "reference"
    quiet = True

    def primitives(self, geometry_kind):
        return frozenset(PRIMITIVES) - {"absorb", "solve_small"}

    def softmin(self, geometry, h, eps):
        return blockwise.softmin(geometry, h, eps)
