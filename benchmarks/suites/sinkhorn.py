"""Sinkhorn on a CPU: the cost of an iteration, of a solution, of a lot of points, and of starting up.

Targets are ratios ours / peer. Per iteration they are what we set out to reach; in time to accuracy, being ahead
of every regularised peer is the target.
"""

from __future__ import annotations

from benchmarks.cases import Case, Contender
from benchmarks.problems import ProblemSpec
from benchmarks.tasks import PerIteration, StartUp, ToAccuracy

from .base import Suite

F32 = "float32"

# What we set out to reach, as ratios ours / peer: per iteration at least so many times faster than the peer.
OTT, OTT_32, POT_LOG, POT_PLAIN = 1 / 4, 1 / 3.5, 1 / 25, 1 / 1.3
OTT_LAZY, KEOPS = 1 / 4, 1 / 8
EXP = 2.0  # at most twice the time of one vectorised exp per pair and nothing else

MOMENTUM = {"momentum": {"start": 100}}
ANDERSON = {"anderson": {"memory": 5, "refresh_every": 5}}
SCHEDULE = {"decay": 0.9}


def _against(versus: str, *contenders: Contender) -> tuple[Contender, ...]:
    return tuple(Contender(**{**vars(c), "versus": versus}) for c in contenders)


DENSE = Case(
    "dense-4000",
    "one iteration, stored cost, n = m = 4000, ε = 1e-2 max C",
    ProblemSpec(n=4000, m=4000, eps=1e-2),
    PerIteration(),
    (
        Contender("ours-log-f64", "ours:Dense", {"kernel": "log"}),
        Contender("ours-log-f32", "ours:Dense", {"kernel": "log"}, F32),
        Contender("ours-stored-f64", "ours:Dense", {"kernel": "stored"}),
        Contender("ours-stored-f32", "ours:Dense", {"kernel": "stored"}, F32),
        *_against(
            "ours-log-f64",
            Contender("ott-f64", "ott:Dense", target=OTT),
            Contender("pot-log-f64", "pot:Log", target=POT_LOG),
            Contender("pot-log-torch-f64", "pot:TorchLog"),
            Contender("exp-limit-f64", "machine:PolynomialExp", target=EXP, note="our polynomial exp alone"),
            Contender("exp-limit-numpy-f64", "machine:NumpyExp", note="exp alone"),
            Contender("exp-limit-torch-f64", "machine:TorchExp", note="exp alone"),
        ),
        *_against(
            "ours-log-f32",
            Contender("ott-f32", "ott:Dense", dtype=F32, target=OTT_32),
            Contender("pot-log-torch-f32", "pot:TorchLog", dtype=F32),
            Contender("exp-limit-f32", "machine:PolynomialExp", dtype=F32, note="our polynomial exp alone"),
            Contender("exp-limit-numpy-f32", "machine:NumpyExp", dtype=F32, note="exp alone"),
            Contender("exp-limit-torch-f32", "machine:TorchExp", dtype=F32, note="exp alone"),
        ),
        *_against(
            "ours-stored-f64",
            Contender("pot-plain-f64", "pot:Plain", target=POT_PLAIN, note="no exp; underflows at small ε"),
            Contender("ott-kernel-f64", "ott:Dense", {"lse_mode": False}, note="no exp; underflows at small ε"),
        ),
    ),
)

LAZY_CASE = Case(
    "lazy-10000",
    "one iteration, points, never a stored cost, n = m = 10000, d = 3, ε = 1e-2 max C",
    ProblemSpec(n=10_000, m=10_000, eps=1e-2, stored=False),
    PerIteration(low=2, step=2, max_span=50),
    (
        Contender("ours-f64", "ours:Sample", {"kernel": "log"}),
        Contender("ours-f32", "ours:Sample", {"kernel": "log"}, F32),
        *_against(
            "ours-f64",
            Contender("ott-lazy-f64", "ott:PointCloud", target=OTT_LAZY),
            Contender("keops-f64", "keops:Loop", target=KEOPS),
            Contender("geomloss-f64", "geomloss:Sample", note="averaged iterations, through KeOps"),
        ),
        *_against(
            "ours-f32",
            Contender("ott-lazy-f32", "ott:PointCloud", dtype=F32, target=OTT_LAZY),
            Contender("keops-f32", "keops:Loop", dtype=F32, target=KEOPS),
        ),
    ),
)

LARGE = Case(
    "lazy-100000",
    "one iteration and its memory, points, n = m = 100000, d = 3, ε = 1e-2 max C",
    ProblemSpec(n=100_000, m=100_000, eps=1e-2, stored=False),
    # 1e10 pairs: the judge would need minutes, and there is no claim of accuracy to check.
    PerIteration(low=1, step=2, max_span=2, memory=True, judged=False),
    (
        Contender("ours-f64", "ours:Sample", {"kernel": "log"}),
        Contender("ours-f32", "ours:Sample", {"kernel": "log"}, F32),
    ),
)


def _accuracy(name: str, eps: float, peers: float | None, exact: float | None) -> Case:
    """Time to a judged error; `peers` and `exact` are the targets against regularised and exact solvers."""
    return Case(
        name,
        f"time to marginal error 1e-6 (both sides), n = m = 2000, d = 3, ε = {eps:g} max C",
        ProblemSpec(n=2000, m=2000, eps=eps),
        ToAccuracy(tol=1e-6),
        (
            Contender("ours", "ours:Dense"),
            *_against(
                "ours",
                Contender("ours-sample", "ours:Sample", note="from the points"),
                Contender("pot-plain", "pot:Plain", target=peers),
                Contender("pot-log", "pot:Log", target=peers),
                Contender("pot-log-torch", "pot:TorchLog", target=peers),
                Contender("pot-stabilized", "pot:Stabilized", target=peers),
                Contender("pot-epsilon-scaling", "pot:EpsilonScaling", target=peers, note="outer iterations"),
                Contender("ott", "ott:Dense", target=peers),
                Contender("ott-momentum", "ott:Dense", MOMENTUM, target=peers),
                Contender("ott-anderson", "ott:Dense", ANDERSON, target=peers),
                Contender("ott-schedule", "ott:Dense", SCHEDULE, target=peers),
                Contender("geomloss", "geomloss:Dense", target=peers),
                Contender("pot-emd", "pot:Emd", target=exact, note="exact, unregularised"),
                Contender("scipy-assignment", "scipy_exact:Assignment", note="exact, unregularised"),
            ),
        ),
    )


def _start_up(name: str, title: str, *peers: str, **task) -> Case:
    adapters = {"pot": "pot:Plain", "ott": "ott:Dense", "geomloss": "geomloss:Dense"}
    return Case(
        f"start-up-{name}",
        title,
        ProblemSpec(n=50, m=50, eps=1e-2),
        StartUp(**task),
        (
            Contender("ours", "ours:Dense"),
            *_against("ours", *(Contender(peer, adapters[peer]) for peer in peers)),
        ),
    )


SUITE = Suite(
    "sinkhorn",
    "entropic solvers on the CPU against POT, OTT, KeOps, GeomLoss and exact solvers",
    (
        DENSE,
        LAZY_CASE,
        LARGE,
        _accuracy("accuracy-1e-2", 1e-2, peers=None, exact=None),
        # Ten times sooner than any regularised peer, and sooner than the exact simplex.
        _accuracy("accuracy-1e-3", 1e-3, peers=0.1, exact=1.0),
        _start_up("import", "import of the library in a new process", "pot", "ott", "geomloss"),
        _start_up(
            "first-solve",
            "first solve in a new process, n = 50, kernel cache warm where there is one",
            "pot",
            "ott",
            measured="first solve",
        ),
        _start_up(
            "cold-compile",
            "first solve in a new process, n = 50, empty kernel cache",
            measured="first solve",
            fresh_cache=True,
        ),
        _start_up("warm-solve", "a solve of n = 50, once warm", "pot", "ott", measured="warm solve"),
    ),
)
