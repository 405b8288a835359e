"""Soft and hard minima over one axis of a grid: the separable kernels.

A reduction over the whole grid is one of these per axis. Arrays are (outer, length, inner) views of the
field; ``M`` carries the exponents and ``V`` (transport) signed values in units of ``2**M``.
"""

from __future__ import annotations

import math

import numpy as np

from .policy import kernel
from .vector_math import exp2


@kernel
def axis_logsum(M, c2, first, last, out):
    """``out[o, i, r] = log2 sum_j 2**(M[o, j, r] - c2[i, j])`` for ``o`` in ``first:last``."""
    outer, length, inner = M.shape
    top = np.empty(inner)
    total = np.empty(inner)
    line = np.empty(length)
    for o in range(first, last):
        for i in range(c2.shape[0]):
            if inner == 1:
                high = -math.inf
                for j in range(length):
                    line[j] = M[o, j, 0] - c2[i, j]
                    high = max(high, line[j])
                s = 0.0
                if high > -math.inf:
                    for j in range(length):
                        s += exp2(line[j] - high)
                    s = high + math.log2(s)
                else:
                    s = -math.inf
                out[o, i, 0] = s
                continue
            for r in range(inner):
                top[r] = -math.inf
            for j in range(length):
                for r in range(inner):
                    top[r] = max(top[r], M[o, j, r] - c2[i, j])
            for r in range(inner):
                top[r] = top[r] if top[r] > -math.inf else 0.0
                total[r] = 0.0
            for j in range(length):
                for r in range(inner):
                    total[r] += exp2(M[o, j, r] - c2[i, j] - top[r])
            for r in range(inner):
                out[o, i, r] = top[r] + math.log2(total[r])


@kernel
def axis_hardmin(g, c, first, last, out):
    """``out[o, i, r] = min_j c[i, j] + g[o, j, r]``."""
    outer, length, inner = g.shape
    for o in range(first, last):
        for i in range(c.shape[0]):
            for r in range(inner):
                out[o, i, r] = math.inf
            for j in range(length):
                for r in range(inner):
                    out[o, i, r] = min(out[o, i, r], c[i, j] + g[o, j, r])


@kernel
def axis_transport(M, V, c2, first, last, out_M, out_V):
    """Signed sums: ``out_V 2**out_M = sum_j V_j 2**(M_j - c2_ij)`` for each of the k fields of `V`.

    `M` is (outer, length, inner), `V` is (k, outer, length, inner).
    """
    outer, length, inner = M.shape
    fields = V.shape[0]
    top = np.empty(inner)
    for o in range(first, last):
        for i in range(c2.shape[0]):
            for r in range(inner):
                top[r] = -math.inf
            for j in range(length):
                for r in range(inner):
                    top[r] = max(top[r], M[o, j, r] - c2[i, j])
            for r in range(inner):
                out_M[o, i, r] = top[r]
                top[r] = top[r] if top[r] > -math.inf else 0.0
            for k in range(fields):
                for r in range(inner):
                    out_V[k, o, i, r] = 0.0
            for j in range(length):
                for r in range(inner):
                    e = exp2(M[o, j, r] - c2[i, j] - top[r])
                    for k in range(fields):
                        out_V[k, o, i, r] += V[k, o, j, r] * e
