"""The map of regimes: which of our methods is the fastest where, and whether ``method="auto"`` knows.

About forty problems from five families, from ε = max C down to 1e-4 max C and from 50 to 3000 points; the report
draws the map (`regime_map`).
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.cases import Case, Contender
from benchmarks.problems import ProblemSpec
from benchmarks.tasks import ToAccuracy

from .base import Suite

TOL = 1e-9

#: By family: the recipe, and for each n the fractions of max C that ε is. On a grid n is the nearest square.
GRID = {
    "Gaussian clouds, d = 3": (
        ProblemSpec("gaussian"),
        {50: (1, 1e-2, 1e-4), 200: (1e-1, 1e-3, 3e-4), 1000: (1, 1e-2, 1e-3, 1e-4), 3000: (1e-1, 1e-3, 3e-4)},
    ),
    "densities, W1": (
        ProblemSpec("densities", cost="W1"),
        {49: (1e-1, 1e-3), 196: (1, 1e-2, 3e-4), 1024: (1e-1, 1e-3, 1e-4), 3025: (1e-2, 3e-4)},
    ),
    "random costs": (
        ProblemSpec("random-cost"),
        {50: (1e-2, 3e-4), 200: (1, 1e-3), 1000: (1e-1, 1e-3, 1e-4), 3000: (1e-2, 1e-3)},
    ),
    "heavy tails": (
        ProblemSpec("heavy-tailed"),
        {50: (1e-1, 1e-3), 200: (1e-2, 1e-4), 1000: (1, 1e-3), 3000: (1e-2,)},
    ),
    "clusters": (
        ProblemSpec("clustered"),
        {50: (1e-1, 1e-4), 200: (1, 1e-3), 1000: (1e-2, 3e-4), 3000: (1e-3,)},
    ),
}


def _case(family: str, spec: ProblemSpec) -> Case:
    return Case(
        f"{spec.kind}-{spec.n}-{spec.eps:g}",
        f"time to judged error {TOL:g}: {family}, n = {spec.n}, ε = {spec.eps:g} max C",
        spec,
        # A small problem takes a millisecond.
        ToAccuracy(tol=TOL, round_seconds=0.05),
        (
            Contender("auto", "ours:Dense"),
            Contender("sinkhorn", "ours:Dense", {"method": "sinkhorn"}, versus="auto"),
            Contender("newton", "ours:Dense", {"method": "newton"}, versus="auto"),
        ),
    )


SUITE = Suite(
    "regimes",
    "our methods against each other: families of problems, ε and sizes",
    tuple(
        _case(family, replace(spec, n=n, m=n, eps=float(eps)))
        for family, (spec, sizes) in GRID.items()
        for n, fractions in sizes.items()
        for eps in fractions
    ),
    repeat=3,
    max_seconds=10.0,
)
