"""Costs of single pairs, for the arcs of sparse transport problems."""

from __future__ import annotations

from .policy import kernel
from .rows import pair_cost


@kernel
def pair_costs(rows, i, j, out):
    """``out[k] = C[i[k], j[k]]``."""
    for k in range(i.size):
        out[k] = pair_cost(rows, i[k], j[k])
