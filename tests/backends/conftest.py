"""Fixtures of the backend tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def many_blocks(monkeypatch):
    """Let small problems be cut into several blocks, whose partial results must be merged."""
    parallel = pytest.importorskip("ot_solvers.backends.numba.parallel")
    monkeypatch.setattr(parallel, "PAIRS_PER_BLOCK", 1 << 10)
    parallel.block_bounds.cache_clear()
    assert parallel.block_bounds(23, 301).size > 4
    yield
    parallel.block_bounds.cache_clear()
