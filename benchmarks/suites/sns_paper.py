"""The experiments of Table 1 of the paper on Sinkhorn-Newton-Sparse (Tang et al., ICLR 2024), five seeds each.

η = 1200 over the largest cost. The images are not the paper's: pairs of scikit-learn's 8 x 8 digits, enlarged to
28 x 28 and taken on their support, stand in for MNIST.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.cases import Case, Contender
from benchmarks.paper_table import EXPERIMENTS, SUITE_NAME, TOL
from benchmarks.problems import ProblemSpec
from benchmarks.tasks import ToAccuracy

from .base import Suite

#: What makes POT stop at the judged error asked for: it looks at one side, in the 2-norm.
OWN = 3e-14
ETA = 1200
SEEDS = range(5)
#: Densities, as multiples of 1 / n, of which the smallest that suffices is looked for.
DENSITIES = (80, 40, 20, 12, 8, 5, 4, 3, 2, 1)
#: Passes after the first stage: what takes more is not what the paper describes.
PASSES = 1000

PROBLEMS = {
    "assignment": ProblemSpec("random-cost", n=500, m=500, eps=1 / ETA),
    "digits-l2": ProblemSpec("images", n=784, m=784, eps=1 / ETA),
    "digits-l1": ProblemSpec("images", n=784, m=784, eps=1 / ETA, cost="L1"),
}


def _sns(name: str, steps: int, times_n: tuple[float, ...], note: str, most: int | None = None) -> Contender:
    options = {"sinkhorn_steps": steps, "times_n": times_n, "passes": PASSES, "newton_steps": most}
    return Contender(name, "sns:SNS", options, versus="newton", note=note)


def _peers(name: str) -> tuple[Contender, ...]:
    plain = Contender("pot-plain", "pot:Plain", versus="newton", note="scaling form")
    exact = Contender("pot-emd", "pot:Emd", versus="newton", note="exact, unregularised")
    if name != "digits-l1":
        return plain, exact
    # Potentials span up to 1000 ε: scalings may leave the range of float64.
    absorbing = Contender("pot-stabilized", "pot:Stabilized", versus="newton", note="scaling form with absorption")
    return plain, absorbing, exact


def _case(name: str, seed: int) -> Case:
    paper = EXPERIMENTS[name]
    steps, most = paper.sinkhorn_steps, paper.newton_steps
    searched = "found while compiling"
    return Case(
        f"{name}-{seed}",
        f"{paper.title}, η = {ETA}, to marginal error {TOL:g}, seed {seed}",
        replace(PROBLEMS[name], seed=seed),
        ToAccuracy(tol=TOL, own=OWN),
        (
            Contender("newton", "ours:Dense", {"method": "newton"}),
            _sns("sns-paper", steps, (paper.times_n,), f"density {paper.times_n} / n, the paper's"),
            _sns("sns-soon", steps, DENSITIES, f"smallest density with <= {most} Newton steps, {searched}", most),
            _sns("sns-smallest", steps, DENSITIES, f"smallest density that gets there, {searched}"),
            *_peers(name),
        ),
    )


SUITE = Suite(
    SUITE_NAME,
    "Sinkhorn-Newton-Sparse on the experiments of its paper, beside Newton on the semi-dual, POT and the simplex",
    tuple(_case(name, seed) for name in PROBLEMS for seed in SEEDS),
    repeat=3,
    max_seconds=60.0,
)
