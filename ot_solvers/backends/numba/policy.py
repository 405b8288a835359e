"""How kernels are compiled: two named fast-math policies and no third.

``FAST`` lets LLVM reorder sums, so that reductions vectorise. ``EXACT`` only contracts ``a*b + c``: code
that relies on rounding (the magic-number trick of ``exp2``) must carry it explicitly, because an
unflagged helper takes the flags of its caller and ``reassoc`` silently deletes that rounding. Neither
contains ``ninf``/``nnan``: guards on infinities must mean what they say.
"""

from __future__ import annotations

from typing import Any

from numba import njit

EXACT = {"contract"}
FAST = {"reassoc", "contract", "nsz", "arcp"}

#: A kernel: runs without the GIL, compiled once per signature and machine.
kernel = njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
#: Options of ``@overload`` helpers that must keep exact rounding inside fast kernels.
EXACT_HELPER: Any = {"fastmath": EXACT, "error_model": "numpy"}
