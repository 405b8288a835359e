"""This machine's own limit of sliced transport: projections of both sides are sorted, and nothing else.

Rows lie one after another, as no projection leaves them for free, and as many threads as solvers have share them.
Which sort is faster depends on the processor, so there are several; the fastest is the limit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .base import Adapter, Answer

#: Keys of one piece of work: they stay in the second-level cache.
KEYS = 1 << 17


class NumpySort(Adapter):
    """``numpy.sort`` along rows, one Python thread per core (it releases the interpreter lock)."""

    modules = ("numpy",)
    knob = None

    def prepare(self):
        p = self.problem
        if p.shape[0] != p.shape[1] or p.told_weights != (None, None):
            raise ValueError("sorting alone is transport for equal weights and sizes only")
        self.rows = [np.ascontiguousarray(p.directions @ z.T) for z in (p.x, p.y)]
        self.found = [np.empty_like(rows) for rows in self.rows]
        self.pool = ThreadPoolExecutor(self.threads)
        step = max(1, KEYS // p.shape[0])
        parts = [slice(k, k + step) for k in range(0, len(p.directions), step)]
        self.pieces = [(rows[part], found[part]) for part in parts for rows, found in zip(self.rows, self.found)]

    def run(self, setting):
        list(self.pool.map(lambda piece: self.sort(*piece), self.pieces))

    def sort(self, rows, found):
        np.copyto(found, rows)
        found.sort(axis=1)

    def answer(self, raw):
        u, v = (np.asarray(found, np.float64) for found in self.found)
        values = np.square(u - v).mean(axis=1)
        return Answer(values=values, distance=float(np.sqrt(values.mean())))


class RadixSort(NumpySort):
    """The package's own radix sort: the limit of its kernels, which look behind the public API here."""

    modules = ("ot_solvers",)

    def prepare(self):
        super().prepare()
        from ot_solvers.backends.numba.sorting import Desk, radix_sort

        self.desk, self.radix_sort = Desk, radix_sort
        self.sort(self.rows[0][:1], self.found[0][:1])

    def sort(self, rows, found):
        np.copyto(found, rows)
        self.radix_sort(found, self.desk())
