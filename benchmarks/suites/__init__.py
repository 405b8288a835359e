"""Suites: one module each, with its cases in ``SUITE``."""

from __future__ import annotations

from . import batch, exact, large, layers, maps, newton, regimes, sinkhorn, sliced, smoke, sns_paper, sparse
from .base import Suite

SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        sinkhorn.SUITE,
        newton.SUITE,
        exact.SUITE,
        large.SUITE,
        sparse.SUITE,
        batch.SUITE,
        layers.SUITE,
        sliced.SUITE,
        maps.SUITE,
        regimes.SUITE,
        sns_paper.SUITE,
        smoke.SUITE,
    )
}

__all__ = ["SUITES", "Suite"]
