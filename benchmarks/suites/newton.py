"""Entropic problems at small ε, to accuracies that only second-order methods reach soon.

Ours and exact solvers are timed to a judged error of 1e-9. Regularised peers cannot all be brought there: they are
asked for 1e-8 by their own measure, and timed until they return or meet their limit.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.cases import Case, Contender
from benchmarks.problems import ProblemSpec
from benchmarks.tasks import ToAccuracy

from .base import Suite

TOL, OWN = 1e-9, 1e-8

#: RegOT's dense ``newton`` takes no part: it ends in NaN at these ε.
REGOT = ("lbfgs_dual", "ssns", "splr", "sparse_newton", "bcd")

EXACT = "exact, unregularised"

PROBLEMS = {
    "gaussian-1000": ("Gaussian clouds, n = m = 1000, d = 3", ProblemSpec(n=1000, m=1000)),
    "gaussian-3000": ("Gaussian clouds, n = m = 3000, d = 3", ProblemSpec(n=3000, m=3000)),
    "densities-w1": ("densities on a 32 x 32 grid, W1", ProblemSpec("densities", n=1024, m=1024, cost="W1")),
    "densities-w2": ("densities on a 32 x 32 grid, W2", ProblemSpec("densities", n=1024, m=1024, cost="W2")),
    "random-500": ("random costs, n = m = 500", ProblemSpec("random-cost", n=500, m=500)),
    "random-2000": ("random costs, n = m = 2000", ProblemSpec("random-cost", n=2000, m=2000)),
    "images-l1": (
        "two digits on all of a 28 x 28 grid, floor 1e-2, L1",
        ProblemSpec("images", n=784, m=784, cost="L1", floor=1e-2),
    ),
}


def _ours(*methods: str, grid: str | None = None) -> tuple[Contender, ...]:
    """Ours by default, and variants: single methods, or the matrix where the default takes the grid itself."""
    variants = tuple(Contender(f"ours-{m}", "ours:Dense", {"method": m}, versus="ours") for m in methods)
    if grid is None:
        return Contender("ours", "ours:Dense"), *variants
    whole = Contender("ours", "ours:Grid", {"cost": grid}, note="solve_grid: no matrix")
    return whole, Contender("ours-matrix", "ours:Dense", versus="ours"), *variants


def _exact(problem: ProblemSpec, target: float | None) -> tuple[Contender, ...]:
    simplex = Contender("pot-emd", "pot:Emd", versus="ours", target=target, note=EXACT)
    if problem.kind not in ("gaussian", "random-cost"):  # weights of their own: no assignment
        return (simplex,)
    return simplex, Contender("scipy-assignment", "scipy_exact:Assignment", versus="ours", note=EXACT)


def _small_eps(
    name: str,
    *,
    own: float = OWN,
    regot: float | None = None,
    plain: float | None = None,
    exact: float | None = None,
    grid: str | None = None,
) -> Case:
    """ε = 1e-3 max C, all contenders; the targets are ratios ours / peer, to be met against each of a library."""
    title, problem = PROBLEMS[name]
    problem = replace(problem, eps=1e-3)
    return Case(
        f"{name}-1e-3",
        f"time to judged error {TOL:g} (RegOT, POT: their own {own:g}): {title}, ε = 0.001 max C",
        problem,
        ToAccuracy(tol=TOL, own=own),
        (
            *_ours("newton", "sinkhorn", grid=grid),
            *(
                Contender(
                    f"regot-{method.replace('_', '-')}",
                    "regot:Entropic",
                    {"method": method},
                    versus="ours",
                    target=regot,
                )
                for method in REGOT
            ),
            Contender("pot-plain", "pot:Plain", versus="ours", target=plain),
            *_exact(problem, exact),
        ),
    )


def _tiny_eps(name: str, eps: str) -> Case:
    """ε where regularised peers are out of the race; at most five times the exact simplex."""
    title, problem = PROBLEMS[name]
    problem = replace(problem, eps=float(eps))
    return Case(
        f"{name}-{eps}",
        f"time to judged error {TOL:g}: {title}, ε = {float(eps):g} max C",
        problem,
        ToAccuracy(tol=TOL),
        (*_ours("newton"), *_exact(problem, target=5.0)),
    )


SUITE = Suite(
    "newton",
    "entropic problems at small ε against RegOT, POT and exact solvers",
    (
        _small_eps("gaussian-1000", regot=1 / 20, exact=1.0),
        _small_eps("gaussian-3000", regot=1 / 20, exact=1.0),
        _small_eps("densities-w1", regot=1 / 20, plain=1 / 20),
        _small_eps("densities-w2", regot=1 / 20, plain=1 / 20, grid="sqeuclidean"),
        _small_eps("random-500", regot=1 / 3),
        _small_eps("random-2000", regot=1 / 5),
        # First-order methods need minutes for 1e-8 here.
        _small_eps("images-l1", own=1e-6),
        *(_tiny_eps(name, eps) for eps in ("3e-4", "1e-4") for name in PROBLEMS),
    ),
    repeat=3,
    max_seconds=40.0,
)
