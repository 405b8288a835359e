"""Exact transport: plans and potentials that the judge finds optimal up to rounding."""

from __future__ import annotations

from benchmarks.cases import Case, Contender
from benchmarks.problems import ProblemSpec
from benchmarks.tasks import ToOptimality

from .base import Suite


def _case(
    name: str,
    title: str,
    problem: ProblemSpec,
    *,
    simplex: float | None = None,
    assignment: float | None = None,
    points: bool = True,
) -> Case:
    """Ours on points where there are any, and on the matrix; targets are ratios ours / peer.

    Assignment solvers, and the simplex without a matrix, take minutes for more than 5000 points.
    """
    ours = [Contender("ours", "ours:ExactSample", note="no matrix")] if points else []
    ours.append(Contender("ours-matrix" if points else "ours", "ours:Exact", versus="ours" if points else None))
    peers = [Contender("pot-emd", "pot:Emd", versus="ours", target=simplex)]
    if points and problem.n <= 5000:
        peers.append(Contender("pot-emd-lazy", "pot:EmdLazy", versus="ours", target=simplex))
    if (
        problem.n == problem.m <= 5000
        and problem.weights == "uniform"
        and problem.kind not in ("densities", "images")
    ):
        peers.append(Contender("scipy-assignment", "scipy_exact:Assignment", versus="ours", target=assignment))
        peers.append(Contender("lapx", "lap:Assignment", versus="ours"))
    return Case(name, f"exact transport: {title}", problem, ToOptimality(), (*ours, *peers))


def _gaussian(n: int, simplex: float | None) -> Case:
    return _case(f"gaussian-{n}", f"Gaussian clouds, n = m = {n}, d = 3", ProblemSpec(n=n, m=n), simplex=simplex)


def _partial(name: str, title: str, problem: ProblemSpec) -> Case:
    """Ours with and without a matrix; the peer needs one."""
    return Case(
        name,
        f"partial exact transport: {title}",
        problem,
        ToOptimality(),
        (
            Contender("ours", "ours:ExactSample", note="no matrix"),
            Contender("ours-matrix", "ours:Exact", versus="ours"),
            Contender("pot-partial", "pot:PartialEmd", versus="ours"),
        ),
    )


SUITE = Suite(
    "exact",
    "exact transport, balanced and partial, against the simplex of POT and the assignment of SciPy",
    (
        *(_gaussian(n, target) for n, target in ((300, None), (1000, None), (2000, 1 / 2), (5000, None))),
        _gaussian(10_000, 1 / 4),
        _case(
            "gaussian-d20",
            "Gaussian clouds, n = m = 3000, d = 20",
            ProblemSpec(n=3000, m=3000, d=20),
        ),
        _case(
            "weighted",
            "Gaussian clouds, n = 3000, m = 2000, gamma weights, a tenth of them 0",
            ProblemSpec(n=3000, m=2000, weights="gamma"),
            simplex=1 / 2,
        ),
        _case("random-500", "random costs, n = m = 500", ProblemSpec("random-cost", n=500, m=500), points=False),
        _case(
            "random-2000",
            "random costs, n = m = 2000",
            ProblemSpec("random-cost", n=2000, m=2000),
            simplex=1 / 2,
            assignment=1.2,
            points=False,
        ),
        _case(
            "densities-w2",
            "densities on a 32 x 32 grid, W2",
            ProblemSpec("densities", n=1024, m=1024, cost="W2"),
            points=False,
        ),
        _case(
            "images-l1",
            "two digits on all of a 28 x 28 grid, floor 1e-2, L1",
            ProblemSpec("images", n=784, m=784, cost="L1", floor=1e-2),
            points=False,
        ),
        _partial(
            "partial-300", "Gaussian clouds, n = m = 300, d = 3, 0.7 moved", ProblemSpec(n=300, m=300, mass=0.7)
        ),
        _partial(
            "partial-2000",
            "Gaussian clouds, n = m = 2000, d = 3, 0.7 moved",
            ProblemSpec(n=2000, m=2000, mass=0.7),
        ),
        _partial(
            "partial-weighted",
            "Gaussian clouds, n = 3000, m = 2000, gamma weights, a tenth of them 0, 0.9 moved",
            ProblemSpec(n=3000, m=2000, weights="gamma", mass=0.9),
        ),
        Case(
            "wasserstein-5000",
            "W2 to a relative accuracy of 1e-3: Gaussian clouds, n = m = 5000, d = 3",
            ProblemSpec(n=5000, m=5000),
            ToOptimality(tol=2e-3),
            (
                Contender("ours", "ours:Wasserstein"),
                Contender("pot-emd", "pot:Emd", versus="ours", target=1 / 10),
            ),
        ),
        Case(
            "word-mover",
            "exact transport: 2000 pairs of documents of 5 to 60 words, d = 50, Euclidean",
            ProblemSpec("documents", n=2000, d=50, stored=False),
            ToOptimality(),
            (
                Contender("ours", "ours:Pairwise", note="all pairs in one call"),
                Contender("pot-emd", "pot:EmdPairs", versus="ours", target=1 / 5, note="a loop"),
            ),
        ),
        Case(
            "gaussian-50000",
            "exact transport: Gaussian clouds, n = m = 50 000, d = 3, lazily",
            ProblemSpec(n=50_000, m=50_000, stored=False),
            ToOptimality(judged=False, memory=True),
            (Contender("ours", "ours:ExactSample"),),
        ),
    ),
    repeat=3,
    max_seconds=180.0,
)
