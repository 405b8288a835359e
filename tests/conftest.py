"""Shared by all tests: a kernel cache of their own, and problems with points of weight zero."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from problems import some_weights

PACKAGE = Path(__file__).resolve().parent.parent / "ot_solvers"
#: A cache that no run has used for so long is thrown away.
STALE_SECONDS = 7 * 24 * 3600


def _key_of_kernels() -> str:
    # Numba looks at the file of the compiled function only: a changed helper would meet the machine code of its
    # old self. So: one directory per version of everything that kernels are made of.
    sources = [*(PACKAGE / "backends" / "numba").glob("*.py"), PACKAGE / "costs.py"]
    digest = hashlib.sha256()
    for part in (version("numba"), version("llvmlite"), np.__version__, platform.python_version()):
        digest.update(part.encode() + b"\0")
    for path in sorted(sources):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _private_cache() -> Path:
    key = _key_of_kernels()
    asked = os.environ.get("NUMBA_CACHE_DIR")
    if asked and Path(asked).name == key:  # a worker of pytest-xdist: its parent has been here
        return Path(asked)
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    base = Path(asked) if asked else user / "ot_solvers" / "tests"
    try:
        (base / key).mkdir(parents=True, exist_ok=True, mode=0o700)
        os.utime(base / key)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="ot_solvers-tests-"))
    if not asked:
        for other in base.iterdir():
            if time.time() - other.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
    return base / key


# Here and not in a fixture: Numba reads the variable once, when it is imported.
os.environ["NUMBA_CACHE_DIR"] = str(_private_cache())
if "numba" in sys.modules:
    sys.modules["numba"].config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def clouds(rng):
    """(x, y, a, b): 3-D points, n = 40 against m = 30, zero weights on both sides."""
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) + 0.5
    return x, y, some_weights(rng, 40), some_weights(rng, 30)


@pytest.fixture
def matrix(rng):
    """(C, a, b): a 40 x 30 cost matrix in [0, 1), zero weights on both sides."""
    return rng.random((40, 30)), some_weights(rng, 40), some_weights(rng, 30)
