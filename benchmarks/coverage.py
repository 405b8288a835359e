"""How often confidence intervals hold the value between the laws: 500 draws of samples per setting.

``python -m benchmarks coverage`` runs it. No timing: results are the same on a busy machine.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import ot_solvers as ots

#: Nominal coverage, and the range that is asked for where the theory applies.
LEVEL, REACH = 0.95, (0.93, 0.97)
DRAWS = 500


@dataclass(frozen=True)
class Setting:
    """One pair of laws and one cost.

    Attributes
    ----------
    name : str
    title : str
    draw : callable
        From a generator to a result of ``ot_solvers``.
    population : callable
        The value between the laws.
    sizes : (int, int)
        Of the samples.
    counted : bool
        Whether weights are relative frequencies.
    covered : bool
        Whether the theory says that intervals hold the population value.
    """

    name: str
    title: str
    draw: Callable[[np.random.Generator], Any]
    population: Callable[[], float]
    sizes: tuple[int, int]
    counted: bool = False
    covered: bool = True


# --- population values, by closed forms and a linear programme ------------------------------------------------


def _root(A: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(A)
    return (vectors * np.sqrt(values)) @ vectors.T


def gaussian_cost(mean_a, A, mean_b, B, eps: float) -> float:
    """Optimal cost between Gaussians, ``min <P, |x - y|^2> + eps KL(P | a b')``; eps = 0: exact.

    Parameters
    ----------
    mean_a, mean_b : (d,) arrays
    A, B : (d, d) covariances

    References
    ----------
    [janati:20]_, whose sigma^2 is eps / 2
    """
    d, root = len(A), _root(A)
    product = 4 * root @ B @ root
    moved = float(((mean_a - mean_b) ** 2).sum()) + float(np.trace(A) + np.trace(B))
    if eps == 0:
        return moved - float(np.trace(_root(product)))
    sigma2 = eps / 2
    D = _root(product + sigma2**2 * np.eye(d))
    spread = d * sigma2 * (1 - math.log(2 * sigma2)) + sigma2 * np.linalg.slogdet(D + sigma2 * np.eye(d))[1]
    return moved - float(np.trace(D)) + float(spread)


def _gaussian_divergence(mean_a, A, mean_b, B, eps: float) -> float:
    own = gaussian_cost(mean_a, A, mean_a, A, eps) + gaussian_cost(mean_b, B, mean_b, B, eps)
    return gaussian_cost(mean_a, A, mean_b, B, eps) - 0.5 * own


def linear_programme(C: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Least cost of transport, by SciPy's HiGHS."""
    from scipy.optimize import linprog

    n, m = C.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    found = linprog(C.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b]))
    if found.status != 0:
        raise RuntimeError(f"no population value: {found.message}")
    return float(found.fun)


# --- laws -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gaussians:
    """N(0, A) and N(mean, B) in d dimensions, neither of them round."""

    d: int
    shift: float

    @property
    def parameters(self):
        d = self.d
        A = np.eye(d) + 0.4 * (np.ones((d, d)) - np.eye(d))
        B = np.diag(np.linspace(0.5, 2.0, d)) if d > 1 else np.array([[2.25]])
        return np.zeros(d), A, np.full(d, self.shift / math.sqrt(d)), B

    def draw(self, rng: np.random.Generator, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
        mean_a, A, mean_b, B = self.parameters
        return rng.multivariate_normal(mean_a, A, size=n), rng.multivariate_normal(mean_b, B, size=m)

    def cost(self, eps: float) -> float:
        return gaussian_cost(*self.parameters, eps)

    def divergence(self, eps: float) -> float:
        return _gaussian_divergence(*self.parameters, eps)


@cache
def _atoms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Costs between 10 and 12 points of the plane, and a law on each."""
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(10, 2)), rng.normal(size=(12, 2)) + 0.5
    C = ((x[:, None] - y) ** 2).sum(-1)
    return C, rng.dirichlet(np.full(10, 2.0)), rng.dirichlet(np.full(12, 2.0))


def _counts(rng: np.random.Generator, n: int, m: int):
    C, a, b = _atoms()
    return C, rng.multinomial(n, a) / n, rng.multinomial(m, b) / m


LINE, PLANE, SIX = Gaussians(1, 2.0), Gaussians(2, 2.0), Gaussians(6, 2.0)

SETTINGS = (
    Setting(
        "w2-line",
        "W2 between Gaussians on a line",
        lambda rng: ots.wasserstein(*LINE.draw(rng, 400, 600)),
        lambda: math.sqrt(LINE.cost(0.0)),
        (400, 600),
    ),
    Setting(
        "w2-plane",
        "W2 between Gaussians in the plane",
        lambda rng: ots.wasserstein(*PLANE.draw(rng, 500, 500)),
        lambda: math.sqrt(PLANE.cost(0.0)),
        (500, 500),
    ),
    Setting(
        "atoms",
        "exact cost between laws on 10 and 12 points",
        lambda rng: ots.solve(*_counts(rng, 1000, 800)),
        lambda: linear_programme(*_atoms()),
        (1000, 800),
        counted=True,
    ),
    Setting(
        "entropic-plane",
        "entropic cost, reg = 1, between Gaussians in the plane",
        lambda rng: ots.solve_sample(*PLANE.draw(rng, 400, 500), reg=1.0),
        lambda: PLANE.cost(1.0),
        (400, 500),
    ),
    Setting(
        "divergence-plane",
        "Sinkhorn divergence, reg = 1, between Gaussians in the plane",
        lambda rng: ots.sinkhorn_divergence(*PLANE.draw(rng, 400, 500), reg=1.0),
        lambda: PLANE.divergence(1.0),
        (400, 500),
    ),
    Setting(
        "divergence-6d",
        "Sinkhorn divergence, reg = 10, between Gaussians in 6 dimensions",
        lambda rng: ots.sinkhorn_divergence(*SIX.draw(rng, 400, 500), reg=10.0),
        lambda: SIX.divergence(10.0),
        (400, 500),
    ),
    Setting(
        "w2-6d",
        "W2 between Gaussians in 6 dimensions: biased, as the theory says",
        lambda rng: ots.wasserstein(*SIX.draw(rng, 400, 400)),
        lambda: math.sqrt(SIX.cost(0.0)),
        (400, 400),
        covered=False,
    ),
)


# --- measuring ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coverage:
    """What the draws of one setting have shown.

    Attributes
    ----------
    share : float
        Of intervals that hold the population value.
    share_of_mean : float
        Of intervals that hold the mean of all estimates.
    bias : float
        Mean of the estimates minus the population value.
    deviation : float
        Standard deviation of the estimates.
    error : float
        Mean standard error, the computed one.
    """

    setting: str
    title: str
    sizes: tuple[int, int]
    applies: bool
    draws: int
    level: float
    population: float
    share: float
    share_of_mean: float
    bias: float
    deviation: float
    error: float
    warned: int

    @property
    def met(self) -> bool | None:
        """Whether the share is in reach of the nominal one; None where the theory does not say so."""
        return REACH[0] <= self.share <= REACH[1] if self.applies else None


def measure(setting: Setting, draws: int = DRAWS, step: Callable[[], object] = lambda: None) -> Coverage:
    """Draw samples again and again; the seed depends on the setting and the draw only."""
    truth = setting.population()
    sizes = setting.sizes if setting.counted else None
    estimates, errors, lows, highs = np.empty((4, draws))
    warned = 0
    for k in range(draws):
        result = setting.draw(np.random.default_rng([k, *setting.name.encode()]))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ots.DegenerateLimitWarning)
            lows[k], highs[k] = ots.statistics.confidence_interval(result, LEVEL, sizes=sizes)
            errors[k] = ots.statistics.standard_error(result, sizes=sizes)
        warned += bool(caught)
        estimates[k] = float(result)
        step()
    mean = float(estimates.mean())
    return Coverage(
        setting=setting.name,
        title=setting.title,
        sizes=setting.sizes,
        applies=setting.covered,
        draws=draws,
        level=LEVEL,
        population=truth,
        share=float(((lows <= truth) & (truth <= highs)).mean()),
        share_of_mean=float(((lows <= mean) & (mean <= highs)).mean()),
        bias=mean - truth,
        deviation=float(estimates.std(ddof=1)),
        error=float(errors.mean()),
        warned=warned,
    )


def measured(settings: Iterable[Setting], draws: int, step: Callable[[], object]) -> Iterator[Coverage]:
    """One setting after another."""
    for setting in settings:
        yield measure(setting, draws, step)


# --- reporting ------------------------------------------------------------------------------------------------


def write_record(path: Path, record: dict) -> None:
    """Append a line."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def markdown(environment: dict, rows: list[Coverage]) -> str:
    """The table."""
    level = f"{100 * LEVEL:.0f} %"
    lines = [
        "# Coverage of confidence intervals",
        "",
        f"numpy {environment['versions']['numpy']}, scipy {environment['versions']['scipy']}, "
        f"Python {environment['python']}; commit {environment['commit']}; {environment['date']}",
        "",
        f"Share of nominal {level} intervals that hold the value between the laws, or the mean of the estimates;",
        "±: a standard deviation of such a share. Bias and standard deviation of the estimates, mean of the",
        "standard errors that were computed. The target is asked for where the theory applies.",
        "",
        "| setting | n, m | population | mean | value between laws | bias | deviation | standard error | target |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        noise = 100 * math.sqrt(max(row.share * (1 - row.share), 1 / row.draws) / row.draws)
        mark = {True: "93 to 97 % ✓", False: "93 to 97 % ✗", None: "–"}[row.met]
        lines.append(
            f"| {row.title} | {row.sizes[0]}, {row.sizes[1]} | {100 * row.share:.1f} ± {noise:.1f} % "
            f"| {100 * row.share_of_mean:.1f} % | {row.population:.5g} | {row.bias:+.2g} | {row.deviation:.3g} "
            f"| {row.error:.3g} | {mark} |"
        )
    lines += ["", f"{rows[0].draws} draws per setting." if rows else "Nothing was measured."]
    return "\n".join(lines) + "\n"
