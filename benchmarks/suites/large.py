"""Large point clouds in three dimensions: entropic transport between up to a million points."""

from __future__ import annotations

from benchmarks.cases import Case, Contender
from benchmarks.problems import ProblemSpec
from benchmarks.tasks import Once, ToAccuracy

from .base import Suite


def _once(kind: str, n: int) -> Case:
    return Case(
        f"{kind}-{n}",
        f"time and memory to marginal error 1e-4, {kind} clouds, n = m = {n}, d = 3, ε = 1e-3 max C",
        ProblemSpec(kind, n=n, m=n, eps=1e-3, stored=False),
        Once(tol=1e-4, limit=3600.0),
        (Contender("ours", "ours:Sample"),),
    )


SUITE = Suite(
    "large",
    "entropic transport between many points, lazily",
    (
        Case(
            "gaussian-10000",
            "time to marginal error 1e-4, Gaussian clouds, n = m = 10 000, d = 3, ε = 1e-3 max C",
            ProblemSpec(n=10_000, m=10_000, eps=1e-3),
            ToAccuracy(tol=1e-4),
            (
                Contender("ours", "ours:Sample"),
                Contender("pot-plain", "pot:Plain", versus="ours"),
                Contender("ott-lazy", "ott:PointCloud", versus="ours"),
                Contender("geomloss-keops", "geomloss:Sample", versus="ours"),
                Contender("pot-emd", "pot:Emd", versus="ours", note="exact, unregularised"),
            ),
        ),
        _once("gaussian", 100_000),
        _once("uniform", 100_000),
        _once("uniform", 1_000_000),
    ),
    repeat=3,
    max_seconds=60.0,
)
