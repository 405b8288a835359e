"""Sliced transport: values, gradients, directions and plans, against POT, OTT and the sort that is their limit."""

from __future__ import annotations

from benchmarks.cases import Case, Contender
from benchmarks.problems import ProblemSpec
from benchmarks.sliced_tasks import ToDistance, ToMaximum, ToPlan

from .base import Suite

PRECISIONS = {"f32": "float32", "f64": "float64"}
#: Ratios ours / peer that we set out to reach: many points and few in float32, float64, weights of their own.
MANY, FEW, DOUBLE, WEIGHTED = 1 / 20, 1 / 12, 1 / 12, 1 / 8
#: Ratios ours / this: the whole distance over a sort of its projections, forward and backward over forward.
SORT, FORWARD = 1.5, 2.5
#: Points up to which OTT takes part: its sort of a million takes half a minute.
MOST_OTT = 100_000
#: Bytes above the inputs, whatever the number of directions.
MEMORY = 64 * 10**6


def spec(n: int, m: int, d: int, directions: int, weights: str = "uniform") -> ProblemSpec:
    """Two Gaussian clouds and random directions."""
    return ProblemSpec("gaussian", n=n, m=m, d=d, weights=weights, stored=False, directions=directions)


def sizes(problem: ProblemSpec) -> str:
    """For titles."""
    count = f"n = m = {problem.n}" if problem.n == problem.m else f"n = {problem.n}, m = {problem.m}"
    return f"{count}, d = {problem.d}, {problem.directions} directions"


def values(name: str, problem: ProblemSpec, single: float, double: float) -> Case:
    """Distances in both precisions, each against peers in the same."""
    contenders = []
    for short, dtype in PRECISIONS.items():
        ours, target = f"ours-{short}", single if dtype == "float32" else double
        contenders += [
            Contender(ours, "ours_sliced:Distance", dtype=dtype),
            Contender(f"pot-{short}", "pot_sliced:Distance", dtype=dtype, versus=ours, target=target),
            Contender(f"pot-torch-{short}", "pot_sliced:TorchDistance", dtype=dtype, versus=ours, target=target),
        ]
        if problem.n <= MOST_OTT:
            contenders.append(Contender(f"ott-{short}", "ott_sliced:Distance", dtype=dtype, versus=ours))
    weights = "gamma weights" if problem.weights == "gamma" else "uniform weights"
    title = f"sliced distance of order 2 along given directions, {weights}, {sizes(problem)}"
    return Case(name, title, problem, ToDistance(), tuple(contenders))


def sorting(name: str, problem: ProblemSpec) -> Case:
    """The whole distance beside a sort of its projections."""
    contenders = []
    for short, dtype in PRECISIONS.items():
        ours = f"ours-{short}"
        contenders += [
            Contender(ours, "ours_sliced:Distance", dtype=dtype),
            Contender(f"sort-limit-numpy-{short}", "sort_limit:NumpySort", {}, dtype, ours, SORT),
            Contender(f"sort-limit-radix-{short}", "sort_limit:RadixSort", {}, dtype, ours, SORT),
        ]
    title = f"sliced distance beside a sort of the projections of both sides, {sizes(problem)}"
    return Case(name, title, problem, ToDistance(), tuple(contenders))


def memory(name: str, problem: ProblemSpec) -> Case:
    """Peaks that do not grow with the number of directions."""
    contenders = tuple(
        Contender(f"ours-{short}", "ours_sliced:Distance", dtype=dtype) for short, dtype in PRECISIONS.items()
    )
    title = f"peak memory of many directions, {sizes(problem)}"
    return Case(name, title, problem, ToDistance(memory_target=MEMORY), contenders)


def gradient(name: str, problem: ProblemSpec) -> Case:
    """A loss with its gradient, beside the value alone, and beside POT's."""
    contenders = (
        Contender("ours", "ours_sliced:Loss", dtype="float32", note="forward and backward"),
        Contender(
            "ours-forward",
            "ours_sliced:Loss",
            {"backward": False},
            "float32",
            "ours",
            FORWARD,
            note="the value alone, without a graph",
        ),
        Contender("pot-torch", "pot_sliced:TorchDistance", {"backward": True}, "float32", "ours"),
    )
    title = f"sliced loss between two clouds, forward and backward, {sizes(problem)}"
    return Case(name, title, problem, ToDistance(), contenders)


def plan(d: int) -> Case:
    """What plans from projections cost, in time and in transport."""
    ours = "ours-rtol"
    contenders = (
        Contender("ours", "ours:ExactSample", note="ots.solve_sample, exact"),
        Contender(ours, "ours:Wasserstein", versus="ours", note="ots.wasserstein, rtol=1e-3"),
        Contender("ours-min", "ours_sliced:Plan", {"kind": "min"}, versus=ours, note="ratio to ours-rtol"),
        Contender(
            "ours-expected", "ours_sliced:Plan", {"kind": "expected"}, versus=ours, note="ratio to ours-rtol"
        ),
    )
    problem = ProblemSpec("gaussian", n=5000, m=5000, d=d, stored=False)
    title = f"plans from projections beside exact ones, two Gaussian clouds, n = m = 5000, d = {d}"
    return Case(f"plan-{d}", title, problem, ToPlan(), contenders)


def maximum(d: int) -> Case:
    """The farthest direction, beside the best of about as many random ones."""
    problem = spec(5000, 5000, d, 1000)
    contenders = (
        Contender("ours", "ours_sliced:Maximum", note="draws directions of its own, and climbs"),
        Contender("pot-max", "pot_sliced:Maximum", versus="ours", note="the best of the random directions"),
    )
    return Case(f"max-{d}", f"max-sliced distance of order 2, {sizes(problem)}", problem, ToMaximum(), contenders)


SUITE = Suite(
    "sliced",
    "sliced distances, losses and plans, against POT, OTT and a sort of the projections",
    (
        values("values-10000-3", spec(10_000, 10_000, 3, 100), FEW, DOUBLE),
        values("values-10000-64", spec(10_000, 10_000, 64, 100), FEW, DOUBLE),
        values("values-100000-3", spec(100_000, 100_000, 3, 50), MANY, DOUBLE),
        values("values-1000000-3", spec(1_000_000, 1_000_000, 3, 20), MANY, DOUBLE),
        values("weighted-10000", spec(10_000, 8_000, 3, 100, "gamma"), WEIGHTED, WEIGHTED),
        values("weighted-100000", spec(100_000, 80_000, 3, 50, "gamma"), WEIGHTED, WEIGHTED),
        sorting("sort-10000", spec(10_000, 10_000, 3, 100)),
        sorting("sort-100000", spec(100_000, 100_000, 3, 50)),
        memory("memory-10000", spec(10_000, 10_000, 3, 10_000)),
        memory("memory-100000", spec(100_000, 100_000, 3, 1_000)),
        gradient("gradient-10000-3", spec(10_000, 10_000, 3, 100)),
        gradient("gradient-10000-64", spec(10_000, 10_000, 64, 100)),
        gradient("gradient-100000-3", spec(100_000, 100_000, 3, 50)),
        plan(3),
        plan(20),
        maximum(3),
        maximum(20),
    ),
    repeat=3,
    max_seconds=25.0,
)
