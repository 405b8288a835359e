"""Transport inside training: pairing minibatches, and routing tokens beside the layers that they go through."""

from __future__ import annotations

from benchmarks.cases import Case, Contender
from benchmarks.problems import ProblemSpec
from benchmarks.tasks import PerIteration, ToOptimality

from .base import Suite

F32 = "float32"
#: Ratios ours / peer that we set out to reach: pairs of minibatches, and a router beside a linear layer.
PAIRING, ROUTER = 1 / 2, 3.0
#: Forward and backward over forward.
FORWARD = 2.5
#: Potentials judge pairs that were found in single precision.
PAIRED = 1e-6


def pairing(name: str, title: str, n: int, d: int, target: float | None) -> Case:
    """One-to-one pairs of equal minibatches, from the points: costs count."""
    return Case(
        name,
        f"exact pairs of two minibatches, costs included: {title}, n = {n}, d = {d}",
        ProblemSpec("gaussian", n=n, m=n, d=d, stored=False),
        ToOptimality(tol=PAIRED),
        (
            Contender("ours", "ours:Pairing", dtype=F32),
            Contender("ours-f64", "ours:Pairing", versus="ours"),
            Contender("pot-emd", "pot:EmdPoints", versus="ours", target=target, note="computes in float64"),
            Contender("scipy-assignment", "scipy_exact:AssignmentPoints", dtype=F32, versus="ours", target=target),
        ),
    )


SUITE = Suite(
    "layers",
    "pairs for flow matching against POT and SciPy, a loss and its gradient, a router beside a linear layer",
    (
        pairing("pairs-784", "two Gaussian clouds", 512, 784, PAIRING),
        pairing("pairs-2", "two Gaussian clouds", 512, 2, None),
        Case(
            "loss-20000",
            "transport loss between two Gaussian clouds, n = m = 20 000, d = 3, forward and backward, beside "
            "forward alone; each iteration is a whole solve",
            ProblemSpec("gaussian", n=20_000, m=20_000, d=3, stored=False),
            PerIteration(low=1, max_span=1, step=1, memory=True, judged=False),
            (
                Contender("ours", "torch_layers:Loss", dtype=F32, note="forward and backward"),
                Contender("ours-forward", "torch_layers:Loss", {"backward": False}, F32, "ours", target=FORWARD),
            ),
        ),
        Case(
            "router",
            "one routing of 4096 tokens to 64 experts, forward and backward, beside one linear layer of 512 on "
            "the same tokens",
            ProblemSpec("gaussian", n=4096, m=64, d=512, stored=False),
            PerIteration(low=3, max_span=30, step=3, judged=False),
            (
                Contender("ours", "kernels:Router", dtype=F32, note="every expert takes 64 tokens"),
                Contender(
                    "ours-token",
                    "kernels:Router",
                    {"choice": "token"},
                    F32,
                    "ours",
                    note="tokens choose, one each",
                ),
                Contender("torch-linear", "torch_layers:Linear", dtype=F32, versus="ours", target=ROUTER),
            ),
        ),
    ),
    repeat=5,
    max_seconds=30.0,
)
