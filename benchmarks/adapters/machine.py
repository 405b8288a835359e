"""This machine's own limit: one exponential per pair and nothing else.

A Sinkhorn iteration in the log domain cannot be faster than one ``exp`` per pair. Each "iteration" here
evaluates as many exponentials as the problem has pairs, over chunks that stay in a core's own cache, with the
same threads as the solvers. Libraries differ by more than two times in their ``exp``, so there are several;
the fastest is the limit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .base import Adapter, Answer


class NumpyExp(Adapter):
    """``numpy.exp``, one Python thread per core (the ufunc releases the interpreter lock).

    Options
    -------
    chunk : int
        Entries per call (default 16384: input and output fill 256 KB in float64, in the second-level cache.
        Shorter chunks in the first level lose more to the interpreter than they gain).
    """

    modules = ("numpy",)
    knob = None

    def prepare(self):
        n, m = self.problem.shape
        chunk = min(self.options.get("chunk", 16_384), -(-n * m // self.threads))
        rng = np.random.default_rng(0)
        # exp is evaluated where Sinkhorn evaluates it: on exponents from 0 down to deep tails.
        make = lambda: -20.0 * rng.random(chunk).astype(self.problem.dtype)  # noqa: E731
        self.buffers = [(make(), np.empty(chunk, self.problem.dtype)) for _ in range(self.threads)]
        self.calls = -(-n * m // (chunk * self.threads))  # per thread and iteration, rounded up
        self.pool = ThreadPoolExecutor(self.threads)

    def run(self, setting):
        calls = self.calls * setting.max_iter
        list(self.pool.map(lambda buffers: self.work(calls, *buffers), self.buffers))
        return setting.max_iter

    def work(self, calls, source, target):
        exp = np.exp
        for _ in range(calls):
            exp(source, target)

    def answer(self, raw):
        return Answer(iterations=raw)


class PolynomialExp(NumpyExp):
    """The package's own vectorised ``exp2``, the fastest we know of on a CPU: the limit of its kernels.

    This looks behind the public API, as `kernels` does: a limit has to be that of the arithmetic we use.
    """

    modules = ("ot_solvers",)

    def prepare(self):
        super().prepare()
        from numba import njit

        from ot_solvers.backends.numba.policy import FAST
        from ot_solvers.backends.numba.vector_math import exp2

        @njit(nogil=True, fastmath=FAST, error_model="numpy")
        def fill(source, target, calls):
            for _ in range(calls):
                for j in range(source.size):
                    target[j] = exp2(source[j])

        # In the first-level cache: the limit of arithmetic, not of memory.
        self.buffers = [(source[:2048].copy(), target[:2048].copy()) for source, target in self.buffers]
        n, m = self.problem.shape
        self.calls = -(-n * m // (2048 * self.threads))
        self.fill = fill
        fill(*self.buffers[0], 1)

    def work(self, calls, source, target):
        self.fill(source, target, calls)


class TorchExp(NumpyExp):
    """``torch.exp``, its own thread pool switched off, one Python thread per core."""

    modules = ("torch",)

    def prepare(self):
        super().prepare()
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        self.buffers = [tuple(map(torch.from_numpy, pair)) for pair in self.buffers]

    def work(self, calls, source, target):
        exp = self.torch.exp
        for _ in range(calls):
            exp(source, out=target)
