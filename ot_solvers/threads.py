"""How many threads the CPU kernels may use."""

from __future__ import annotations

import os

__all__ = ["get_num_threads", "set_num_threads"]

_requested: int | None = None


def _available() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def get_num_threads() -> int:
    """Threads the CPU kernels use.

    What `set_num_threads` said last, else the environment variable ``OT_SOLVERS_NUM_THREADS``, else the
    number of CPUs this process may run on. Results do not depend on it, to the last bit.

    Returns
    -------
    int >= 1
    """
    if _requested is not None:
        return _requested
    text = os.environ.get("OT_SOLVERS_NUM_THREADS", "")
    if text:
        try:
            value = int(text)
        except ValueError:
            value = 0
        if value < 1:
            raise ValueError(f"OT_SOLVERS_NUM_THREADS={text!r} is not a positive integer")
        return value
    return _available()


def set_num_threads(n: int | None) -> None:
    """Set the number of threads of the CPU kernels for this process.

    Parameters
    ----------
    n : int >= 1 or None
        ``None`` goes back to the default.

    Raises
    ------
    ValueError
        If `n` is not a positive integer.
    """
    global _requested
    # __index__: NumPy's integers are integers too, and this module does without NumPy.
    if n is not None and (isinstance(n, bool) or not hasattr(n, "__index__") or n < 1):
        raise ValueError(f"n={n!r} is not a positive number of threads")
    _requested = None if n is None else int(n)
