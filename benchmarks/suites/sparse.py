"""Transport with a quadratic term, and with few entries per column: plans, and dual values of solvers.

The main contender returns a feasible plan, which with limits of entries takes most of its time; dual solvers
return a plan that misses the rows. So they are compared, limits given, with ours ended at its dual value
(``ours-dual``).
"""

from __future__ import annotations

from benchmarks.cases import Case, Contender
from benchmarks.problems import ProblemSpec
from benchmarks.tasks import PerIteration, ToDualValue

from .base import Suite

#: Relative to the dual value of ours. With limits of entries it has kinks, where first-order methods end early.
SMOOTH, LIMITED = 1e-8, 1e-4
#: Ratios ours / peer that we set out to reach: POT's semi-dual, and each method of RegOT.
POT, REGOT = 1 / 10, 1 / 3
STRENGTHS = {"0.1": 0.1, "1": 1.0}
ENTRIES = (2, 4, 8)

#: First-order methods without line search or memory need minutes from 2000 points on.
FAST = ("grssn", "assn", "lbfgs_dual", "lbfgs_semi_dual")
SLOW = ("bcd", "apdagd", "pdaam")
CRASH = "fails for max_nz >= n"


def regot(*methods: str, target: float | None = None) -> tuple[Contender, ...]:
    """A contender for each method."""
    return tuple(
        Contender(f"regot-{m.replace('_', '-')}", "regot:Quadratic", {"method": m}, versus="ours", target=target)
        for m in methods
    )


def quadratic(name: str, title: str, problem: ProblemSpec, *, slow: bool, pot=None, peer=None) -> Case:
    """No limits: every contender has a smooth dual with one maximum."""
    return Case(
        name,
        f"quadratic transport, time to a dual value within {SMOOTH:g}: {title}, γ = {problem.gamma:g} max C",
        problem,
        ToDualValue(tol=SMOOTH),
        (
            Contender("ours", "ours:Quadratic"),
            Contender("ours-sample", "ours:QuadraticSample", versus="ours", note="from the points"),
            *regot(*FAST, *(SLOW if slow else ()), target=peer),
            Contender("pot-semi-dual", "pot:SmoothSemiDual", versus="ours", target=pot),
            *([Contender("pot-dual", "pot:SmoothDual", versus="ours")] if slow else []),
        ),
    )


def limited(name: str, title: str, problem: ProblemSpec, *, slow: bool, pot=None) -> Case:
    """At most k entries per column."""
    return Case(
        name,
        f"at most {problem.k} entries per column, time to a dual value within {LIMITED:g}: {title}, "
        f"γ = {problem.gamma:g} max C",
        problem,
        ToDualValue(tol=LIMITED),
        (
            Contender("ours", "ours:Quadratic", note="with a feasible plan"),
            Contender("ours-sample", "ours:QuadraticSample", versus="ours", note="from the points"),
            Contender("ours-dual", "ours:QuadraticDual", versus="ours", note="without a feasible plan"),
            Contender("pot-semi-dual", "pot:SmoothSemiDual", versus="ours-dual", target=pot, note=CRASH),
            *([Contender("pot-dual", "pot:SmoothDual", versus="ours-dual", note=CRASH)] if slow else []),
        ),
    )


def _cases(prefix: str, title: str, n: int, m: int, *, slow: bool, pot=None, peer=None) -> tuple[Case, ...]:
    """Each strength with each limit, and without one."""
    found = []
    for word, gamma in STRENGTHS.items():
        spec = {"kind": "uniform", "n": n, "m": m, "d": 2, "gamma": gamma}
        found.append(quadratic(f"{prefix}-{word}", title, ProblemSpec(**spec), slow=slow, pot=pot, peer=peer))
        found += [
            limited(f"{prefix}-{word}-k{k}", title, ProblemSpec(**spec, k=k), slow=slow, pot=pot) for k in ENTRIES
        ]
    return tuple(found)


SUITE = Suite(
    "sparse",
    "quadratic transport, and few entries per column, against POT and RegOT",
    (
        *_cases("rectangular", "two uniform squares, n = 60, m = 70", 60, 70, slow=True),
        *_cases("squares-1000", "two uniform squares, n = m = 1000", 1000, 1000, slow=True, pot=POT),
        *_cases("squares-2000", "two uniform squares, n = m = 2000", 2000, 2000, slow=False, pot=POT, peer=REGOT),
        Case(
            "squares-20000-k4",
            "transport with at most 4 entries per column and its memory: two uniform squares, n = m = 20 000, "
            "γ = 0.1 max C, lazily",
            ProblemSpec("uniform", n=20_000, m=20_000, d=2, gamma=0.1, k=4, stored=False),
            ToDualValue(tol=LIMITED, memory=True),
            (Contender("ours", "ours:QuadraticSample"),),
        ),
        Case(
            "evaluation",
            "one evaluation of the semi-dual, at most 8 entries per column, beside one Sinkhorn iteration: stored "
            "cost, n = m = 2000, γ = 0.1 max C, ε = 1e-2 max C",
            ProblemSpec("uniform", n=2000, m=2000, d=2, gamma=0.1, k=8, eps=1e-2),
            PerIteration(judged=False),
            (
                Contender("ours", "kernels:Projection", note="one pass over the cost"),
                Contender("pot-evaluation", "pot:SemiDualEvaluation", versus="ours"),
                Contender(
                    "ours-sinkhorn",
                    "ours:Dense",
                    {"kernel": "log"},
                    versus="ours",
                    note="two passes, exp per pair",
                ),
            ),
        ),
    ),
    repeat=3,
    max_seconds=150.0,
)
