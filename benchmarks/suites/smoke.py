"""Every kind of measurement at a tiny size, in under a minute: whether the benchmarks work, not how fast
anything is."""

from __future__ import annotations

from benchmarks.cases import Case, Contender
from benchmarks.map_problems import GapSpec, MapSpec
from benchmarks.map_tasks import ToGap, ToMap, ToSteps
from benchmarks.problems import ProblemSpec
from benchmarks.sliced_tasks import ToDistance
from benchmarks.tasks import PerIteration, StartUp, ToAccuracy, ToDualValue

from .base import Suite

F32 = "float32"
POINTS = ProblemSpec(n=60, m=60, eps=5e-2)
SHORT = PerIteration(span_seconds=0.01, max_span=50)

SUITE = Suite(
    "smoke",
    "all measurements at tiny sizes; figures mean nothing",
    (
        Case(
            "dense",
            "one iteration, stored cost, n = m = 60",
            POINTS,
            SHORT,
            (
                Contender("ours-log-f64", "ours:Dense", {"kernel": "log"}),
                Contender("ours-stored-f32", "ours:Dense", {"kernel": "stored"}, F32),
                Contender("pot-plain-f64", "pot:Plain", versus="ours-log-f64"),
                Contender("ott-f32", "ott:Dense", dtype=F32, versus="ours-stored-f32"),
                Contender("exp-limit-numpy-f64", "machine:NumpyExp", versus="ours-log-f64"),
            ),
        ),
        Case(
            "lazy",
            "one iteration and its memory, points, n = m = 200",
            ProblemSpec(n=200, m=200, eps=5e-2, stored=False),
            PerIteration(span_seconds=0.01, max_span=50, memory=True),
            (Contender("ours-f64", "ours:Sample", {"kernel": "log"}),),
        ),
        Case(
            "accuracy",
            "time to marginal error 1e-3, n = m = 60",
            POINTS,
            ToAccuracy(tol=1e-3),
            (
                Contender("ours", "ours:Dense"),
                Contender("ours-sample", "ours:Sample", versus="ours"),
                Contender("pot-log", "pot:Log", versus="ours"),
                Contender("ott", "ott:Dense", versus="ours"),
                Contender("geomloss", "geomloss:Dense", versus="ours"),
                Contender("pot-emd", "pot:Emd", versus="ours", note="exact, unregularised"),
                Contender(
                    "scipy-assignment", "scipy_exact:Assignment", versus="ours", note="exact, unregularised"
                ),
            ),
        ),
        Case(
            "sparse",
            "time to a dual value within 1e-4, at most 2 entries per column, n = 12, m = 15",
            ProblemSpec("uniform", n=12, m=15, d=2, gamma=0.1, k=2),
            ToDualValue(tol=1e-4, round_seconds=0.0),
            (
                Contender("ours", "ours:Quadratic"),
                Contender("ours-dual", "ours:QuadraticDual", versus="ours", note="without a feasible plan"),
                Contender("pot-semi-dual", "pot:SmoothSemiDual", versus="ours-dual"),
            ),
        ),
        Case(
            "sliced",
            "sliced distance of order 2, n = m = 200, 10 directions",
            ProblemSpec(n=200, m=200, stored=False, directions=10),
            ToDistance(round_seconds=0.0),
            (
                Contender("ours-f64", "ours_sliced:Distance"),
                Contender("ours-f32", "ours_sliced:Distance", dtype=F32, versus="ours-f64"),
                Contender("pot-f64", "pot_sliced:Distance", versus="ours-f64"),
                Contender("sort-limit-numpy", "sort_limit:NumpySort", versus="ours-f64"),
            ),
        ),
        Case(
            "map-steps",
            "30 steps of training, 400 points",
            MapSpec(n=400, held_out=100, dtype=F32),
            ToSteps(steps=30, strength=0.1),
            (
                Contender("ours", "ours_maps:Training", {"strength": 0.1, "estimator": "exact"}, F32),
                Contender("ott", "ott_maps:Training", {"strength": 0.1}, F32, "ours"),
            ),
        ),
        Case(
            "map",
            "a map from 400 points, d = 2",
            MapSpec("gaussian", n=400, held_out=100),
            ToMap(steps=20, beaten=("ours-linear",)),
            (
                Contender("ours", "ours_maps:NetworkFit"),
                Contender("ours-linear", "ours_maps:Fit", {"map": "LinearMap"}, versus="ours"),
            ),
        ),
        Case(
            "map-gap",
            "gaps of optimal maps, n = 50",
            GapSpec(n=50),
            ToGap(round_seconds=0.0, most={"ours-exact": 1e-9, "ours-debiased": 2e-3}),
            (
                Contender("ours-exact", "ours_maps:Gap", {"estimator": "exact"}),
                Contender("ours-debiased", "ours_maps:Gap", {"estimator": "debiased"}, versus="ours-exact"),
                Contender("ott", "ott_maps:Gap", versus="ours-debiased", note="entropic"),
            ),
        ),
        Case(
            "start-up-import",
            "import of the library in a new process",
            ProblemSpec(n=50, m=50),
            StartUp(),
            (Contender("ours", "ours:Dense"),),
        ),
    ),
    repeat=3,
    max_seconds=2.0,
)
