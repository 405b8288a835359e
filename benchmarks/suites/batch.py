"""Many small problems in one call, against lockstep batches of other libraries and against loops."""

from __future__ import annotations

from benchmarks.cases import Case, Contender
from benchmarks.problems import ProblemSpec
from benchmarks.tasks import ToAccuracy, ToOptimality

from .base import Suite

#: Problems and points of each.
SIZES = ((2000, 16), (1000, 64), (500, 128))
#: Judged error of the worst problem of a batch.
TOL = {"float64": 1e-6, "float32": 1e-4}
#: Ratios ours / peer that we set out to reach: entropic batches, exact minibatch pairings.
ENTROPIC, EXACT = 1 / 4, 1 / 2


def _case(size: int, n: int, eps: float, dtype: str) -> Case:
    def peer(name: str, adapter: str, **options) -> Contender:
        return Contender(name, adapter, options, dtype=dtype, versus="ours", target=ENTROPIC)

    plain = (
        (
            peer("pot-batch-plain", "pot:Batch", method="sinkhorn"),
            peer("pot-batch-plain-torch", "pot:TorchBatch", method="sinkhorn"),
        )
        if eps >= 0.02  # below, exp(-C / eps) underflows
        else ()
    )
    return Case(
        f"entropic-{n}-{eps:g}-{dtype}",
        f"{size} problems to an error of {TOL[dtype]:g} each: Gaussian clouds, n = m = {n}, d = 3, "
        f"ε = {eps:g} max C, {dtype}",
        ProblemSpec("gaussian", n=n, m=n, d=3, eps=eps, batch=size),
        ToAccuracy(tol=TOL[dtype]),
        (
            Contender("ours", "ours:Batch", dtype=dtype, note="with values"),
            Contender("ours-sample", "ours:BatchSample", dtype=dtype, versus="ours", note="from the points"),
            peer("ours-loop", "ours:BatchLoop"),
            peer("pot-batch", "pot:Batch"),
            peer("pot-batch-torch", "pot:TorchBatch"),
            *plain,
            peer("ott-vmap", "ott:Batch"),
        ),
    )


SUITE = Suite(
    "batch",
    "many small problems in one call, against batches of POT, OTT under vmap, and loops",
    (
        *(_case(size, n, 0.05, "float64") for size, n in SIZES),
        *(_case(size, n, 0.05, "float32") for size, n in SIZES),
        *(_case(size, n, 0.01, "float64") for size, n in SIZES),
        Case(
            "pairing-512",
            "exact pairing of minibatches: 8 pairs of Gaussian clouds, n = m = 512, d = 784, the costs included",
            ProblemSpec("gaussian", n=512, m=512, d=784, batch=8),
            ToOptimality(),
            (
                Contender("ours", "ours:BatchExact", note="all pairs in one call"),
                Contender("pot-emd", "pot:EmdBatch", versus="ours", target=EXACT, note="a loop"),
                Contender(
                    "scipy-assignment", "scipy_exact:AssignmentBatch", versus="ours", target=EXACT, note="a loop"
                ),
            ),
        ),
        Case(
            "pairing-64",
            "exact pairing of minibatches: 200 pairs of Gaussian clouds, n = m = 64, d = 16, the costs included",
            ProblemSpec("gaussian", n=64, m=64, d=16, batch=200),
            ToOptimality(),
            (
                Contender("ours", "ours:BatchExact", note="all pairs in one call"),
                Contender("pot-emd", "pot:EmdBatch", versus="ours", note="a loop"),
                Contender("scipy-assignment", "scipy_exact:AssignmentBatch", versus="ours", note="a loop"),
            ),
        ),
    ),
    repeat=3,
    max_seconds=60.0,
)
