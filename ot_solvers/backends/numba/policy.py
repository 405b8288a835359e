"""How kernels are compiled: two named fast-math policies and no third.

``FAST`` lets LLVM reorder sums, so that reductions vectorise. ``EXACT`` only contracts ``a*b + c``: code
that relies on rounding (the magic-number trick of ``exp2``) must carry it explicitly, because an
unflagged helper takes the flags of its caller and ``reassoc`` silently deletes that rounding. Neither
contains ``ninf``/``nnan``: guards on infinities must mean what they say.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from numba import njit

EXACT = {"contract"}
FAST = {"reassoc", "contract", "nsz", "arcp"}

_compiled = njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")


def _digest_of_sources() -> str:
    here = Path(__file__).resolve().parent
    sources = [*sorted(here.glob("*.py")), here.parent.parent / "costs.py"]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


_SOURCES = _digest_of_sources()


def kernel(function):
    """A kernel: runs without the GIL, compiled once per signature, machine and version of these sources."""
    dispatcher = _compiled(function)
    # Numba's cache looks at the function's own file only: after an edit of a helper, or an upgrade, it would meet
    # machine code of before, or records that no longer exist. An index of another version it does not read.
    index = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if index is not None:
        index._version = f"{index._version} {_SOURCES}"
    return dispatcher


#: Options of ``@overload`` helpers that must keep exact rounding inside fast kernels.
EXACT_HELPER: Any = {"fastmath": EXACT, "error_model": "numpy"}
