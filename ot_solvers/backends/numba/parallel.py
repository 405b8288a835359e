"""The scheduler: blocks of rows over one shared thread pool, the same bits with any number of threads.

Block bounds depend on the shape only and partial results merge in block order, so the number of threads
changes nothing but the time. No ``prange``: Numba's OpenMP layer stalls when cores are busy and is not
fork-safe, and its workqueue layer aborts the process when two Python threads call it.
"""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache

import numpy as np

from ...threads import get_num_threads

#: Pairs below which one more block costs more (hand-over, merge) than it gains: about 0.15 ms of work.
PAIRS_PER_BLOCK = 1 << 18
#: Bounds the memory of partial column sums (blocks times columns) and the useful number of threads.
MAX_BLOCKS = 32

_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_lock = threading.Lock()
_worker = threading.local()


@lru_cache(maxsize=256)
def block_bounds(n: int, m: int) -> np.ndarray:
    """Row bounds of the blocks of an ``(n, m)`` problem, ``(n_blocks + 1,)`` int64; a function of shape only."""
    count = max(1, min(MAX_BLOCKS, n, n * m // PAIRS_PER_BLOCK))
    return np.linspace(0, n, count + 1).astype(np.int64)


def run(task, n_blocks: int) -> None:
    """Call ``task(first, last)`` over consecutive ranges that cover ``range(n_blocks)``.

    The calling thread works too; ranges are handed out from a shared counter, about four per thread.
    """
    threads = min(get_num_threads(), n_blocks)
    if threads <= 1 or getattr(_worker, "inside", False):
        task(0, n_blocks)
        return
    pieces = min(n_blocks, 4 * threads)
    cuts = [n_blocks * k // pieces for k in range(pieces + 1)]
    ticket = itertools.count()

    def work():
        # next() on a counter is atomic under the GIL (and locked without it since 3.13).
        k = next(ticket)
        while k < pieces:
            task(cuts[k], cuts[k + 1])
            k = next(ticket)

    futures = [_executor(threads - 1).submit(_as_worker, work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        # Never leave a kernel running on the caller's buffers, whatever interrupts us or one of them.
        begun = [future for future in futures if not future.cancel()]
        wait(begun)
    for future in begun:
        future.result()


def _as_worker(work):
    _worker.inside = True  # a kernel that calls the scheduler again runs inline: no nested pools
    try:
        work()
    finally:
        _worker.inside = False


def _executor(size: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size < size:
            # The old pool finishes what it holds and goes with its last reference.
            _pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix="ot_solvers")
            _pool_size = size
        return _pool


def _after_fork() -> None:
    # The child inherits a pool whose threads do not exist, and possibly a lock held by one of them.
    global _pool, _pool_size, _lock
    _pool, _pool_size, _lock = None, 0, threading.Lock()
    _worker.inside = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
