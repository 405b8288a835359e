"""Answers that are known without the package: closed forms, linear programmes, a plain iteration in NumPy.

Closed forms come as hypothesis strategies of `Known` problems where a family has parameters. Everything is
written from the definitions (weights `a`, `b`; ``P_ij = a_i b_j exp((f_i + g_j - C_ij) / eps)``), shares no
code with ``ot_solvers`` and is in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog
from scipy.special import logsumexp, xlogy

__all__ = [
    "SETTINGS",
    "BruteForce",
    "Known",
    "assignment",
    "brute_force",
    "check_unbalanced_solution",
    "diracs",
    "dual_objective",
    "exact_transport",
    "exact_tv_transport",
    "gaussian_map",
    "gaussian_value",
    "gaussians_on_a_line",
    "marginal_error",
    "objective",
    "one_source",
    "problems",
    "sorted_lines",
    "squared_distances",
    "translations",
    "unit_masses",
    "weights_of",
]

#: Properties run on few examples that are the same in every run: a failure is one, not a coin.
SETTINGS = settings(max_examples=25, deadline=None, derandomize=True, print_blob=True)


def squared_distances(x, y) -> np.ndarray:
    """(n, m) matrix of ``|x_i - y_j|**2``."""
    return ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)


# --- objectives from a dense plan and from potentials ---------------------------------------------------------
def _log_outer(a, b) -> np.ndarray:
    """``log(a_i b_j)``, also where the product is out of range."""
    with np.errstate(divide="ignore"):
        return np.log(a)[:, None] + np.log(b)


def _divergence(kind: str, mass, weights) -> float:
    if kind == "tv":
        return float(np.abs(mass - weights).sum())
    ratio = np.where(mass > 0, mass, 1.0) / np.where(weights > 0, weights, 1.0)
    return float(xlogy(mass, ratio).sum() - mass.sum() + weights.sum())


def objective(P, C, a, b, eps, rho=None, kind="kl") -> float:
    """The whole objective of a dense plan; `rho` None: balanced (no mass terms), else (rho_a, rho_b)."""
    live = P > 0
    value = float((P[live] * C[live]).sum())
    value += eps * float((P[live] * (np.log(P[live]) - _log_outer(a, b)[live])).sum())
    if rho is None:
        return value
    value += eps * (a.sum() * b.sum() - P.sum())
    for side, mass, weights in zip(rho, (P.sum(1), P.sum(0)), (a, b)):
        if math.isfinite(side):
            value += side * _divergence(kind, mass, weights)
    return value


def dual_objective(f, g, C, a, b, eps, rho=None, kind="kl") -> float:
    """The dual objective of any potentials."""
    with np.errstate(over="ignore"):
        moved = float(np.exp((f[:, None] + g - C) / eps + _log_outer(a, b)).sum())
    if rho is None:
        mass = a.sum()
        return float(a @ f + b @ g) - eps * (moved - mass)
    value = eps * (a.sum() * b.sum() - moved)
    for side, potential, weights in zip(rho, (f, g), (a, b)):
        if not math.isfinite(side):
            value += float(weights @ potential)
        elif kind == "kl":
            value -= side * float(weights @ np.expm1(-potential / side))
        else:
            assert potential[weights > 0].min() >= -side * (1 + 1e-12)
            value += float(weights @ np.minimum(potential, side))
    return value


def marginal_error(P, a, b) -> float:
    """Both sides, relative to the mass: what ``converged`` promises."""
    return float(np.abs(P.sum(1) - a).sum() + np.abs(P.sum(0) - b).sum()) / float(a.sum())


# --- a plain iteration ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class BruteForce:
    """Potentials without a particular gauge, plan and value of an entropic problem."""

    f: np.ndarray
    g: np.ndarray
    plan: np.ndarray
    value: float


def brute_force(C, a, b, eps, rho=None, kind="kl", sweeps=20_000) -> BruteForce:
    """Textbook log-domain Sinkhorn to 1e-13, no acceleration, no scaling; raises where that is not enough."""
    C = np.asarray(C, dtype=np.float64)
    rho = (math.inf, math.inf) if rho is None else rho
    f, g = np.zeros(a.size), np.zeros(b.size)

    def prox(s, side):
        if not math.isfinite(side):
            return s
        return s * (side / (side + eps)) if kind == "kl" else np.clip(s, -side, side)

    with np.errstate(divide="ignore"):
        log_a, log_b = np.log(a), np.log(b)
    for _ in range(sweeps):
        before = f, g
        f = prox(-eps * logsumexp(log_b + (g - C) / eps, axis=1), rho[0])
        g = prox(-eps * logsumexp((log_a + f / eps)[:, None] - C / eps, axis=0), rho[1])
        if max(np.abs(f - before[0]).max(), np.abs(g - before[1]).max()) <= 1e-13 * (1 + np.abs(f).max()):
            break
    else:
        raise AssertionError("the plain iteration is no oracle here: it has not converged")
    P = np.outer(a, b) * np.exp((f[:, None] + g - C) / eps)
    hard = not any(map(math.isfinite, rho))
    return BruteForce(f, g, P, objective(P, C, a, b, eps, None if hard else rho, kind))


# --- exact transport ------------------------------------------------------------------------------------------
def _programme(C, a, b, slack: float):
    n, m = C.shape
    allowed = np.isfinite(C)
    rows, columns = np.nonzero(allowed)
    k = rows.size
    A = np.zeros((n + m, k))
    A[rows, np.arange(k)] = 1.0
    A[n + columns, np.arange(k)] = 1.0
    cost = C[allowed]
    if math.isfinite(slack):
        A = np.hstack([A, np.eye(n + m), -np.eye(n + m)])
        cost = np.concatenate([cost, np.full(2 * (n + m), slack)])
    found = linprog(cost, A_eq=A, b_eq=np.concatenate([a, b]), method="highs")
    assert found.status == 0, found.message
    return float(found.fun)


def exact_transport(C, a, b) -> float:
    """Unregularised balanced optimum of a tiny problem, by HiGHS."""
    return _programme(np.asarray(C, dtype=np.float64), a, b * (a.sum() / b.sum()), math.inf)


def exact_tv_transport(C, a, b, rho: float) -> float:
    """Unregularised optimum with ``rho |P1 - a|_1 + rho |P'1 - b|_1``, by HiGHS."""
    return _programme(np.asarray(C, dtype=np.float64), a, b, rho)


def assignment(C) -> tuple[np.ndarray, float]:
    """(column of each row, cost) of the best permutation of a square matrix."""
    rows, columns = linear_sum_assignment(C)
    return columns, float(C[rows, columns].sum())


# --- Gaussians ------------------------------------------------------------------------------------------------
def _root(A):
    values, vectors = np.linalg.eigh(A)
    return (vectors * np.sqrt(values)) @ vectors.T


def _gaussian_parts(A, B, eps):
    """(D, sigma2) of the closed form of Janati, Muzellec, Peyre, Cuturi (2020), eps = 2 sigma**2."""
    root = _root(A)
    sigma2 = eps / 2
    return _root(4 * root @ B @ root + sigma2**2 * np.eye(len(A))), sigma2


def gaussian_value(mean_a, A, mean_b, B, eps) -> float:
    """``min <P, |x - y|^2> + eps KL(P | a b')`` between two Gaussians."""
    D, sigma2 = _gaussian_parts(A, B, eps)
    d = len(A)
    spread = np.trace(A) + np.trace(B) - np.trace(D) + d * sigma2 * (1 - math.log(2 * sigma2))
    spread += sigma2 * np.linalg.slogdet(D + sigma2 * np.eye(d))[1]
    return float(((mean_a - mean_b) ** 2).sum() + spread)


def gaussian_map(mean_a, A, mean_b, B, eps):
    """The entropic map ``x -> E[y | x]`` between two Gaussians: affine."""
    D, sigma2 = _gaussian_parts(A, B, eps)
    root = _root(A)
    inverse = np.linalg.inv(root)
    cross = 0.5 * root @ D @ inverse - 0.5 * sigma2 * np.eye(len(A))  # covariance of x and y
    slope = np.linalg.solve(A, cross)
    return lambda x: mean_b + (x - mean_a) @ slope


@dataclass(frozen=True)
class Line:
    """Two Gaussian densities on the points of one fine grid: sums over it are integrals to rounding."""

    points: np.ndarray
    a: np.ndarray
    b: np.ndarray
    mean_a: float
    mean_b: float
    variance_a: float
    variance_b: float


@st.composite
def gaussians_on_a_line(draw) -> Line:
    """Gaussians whose means are within 2 and whose deviations are within a factor of 4."""
    mean_a, mean_b = draw(st.floats(-1, 1)), draw(st.floats(-1, 1))
    sd_a, sd_b = draw(st.floats(0.5, 2.0)), draw(st.floats(0.5, 2.0))
    # Trapezoidal sums of Gaussians converge like exp(-2 (pi sd / step)^2). The narrowest ones here are the
    # conditional laws of a plan at eps = 0.2, sd 0.2: 1e-22.
    points = np.arange(-17.0, 17.01, 0.125)
    a = np.exp(-((points - mean_a) ** 2) / (2 * sd_a**2))
    b = np.exp(-((points - mean_b) ** 2) / (2 * sd_b**2))
    return Line(points, a / a.sum(), b / b.sum(), mean_a, mean_b, sd_a**2, sd_b**2)


# --- families of problems -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Known:
    """A balanced problem with its entropic value (or, where `exact`, its unregularised optimum)."""

    x: np.ndarray
    y: np.ndarray
    a: np.ndarray
    b: np.ndarray
    eps: float
    value: float
    exact: bool = False


def unit_masses(draw, n: int) -> np.ndarray:
    """(n,) weights of sum 1, some of them 0 where n > 1."""
    raw = np.array(draw(st.lists(st.integers(0, 8), min_size=n, max_size=n)), dtype=np.float64)
    if raw.sum() == 0:
        raw[-1] = 1.0
    return raw / raw.sum()


@st.composite
def weights_of(draw, n: int) -> np.ndarray:
    return unit_masses(draw, n)


def _points(draw, n: int, d: int) -> np.ndarray:
    # Multiples of 1/64: sums and squares of such numbers are exact, duplicates are likely.
    flat = draw(st.lists(st.integers(-64, 64), min_size=n * d, max_size=n * d))
    return np.array(flat, dtype=np.float64).reshape(n, d) / 64


eps_values = st.sampled_from([0.05, 0.2, 1.0, 5.0])


@st.composite
def diracs(draw) -> Known:
    """One point of mass M against one: the plan is M, its entropy -M log M."""
    d = draw(st.integers(1, 4))
    x, y = _points(draw, 1, d), _points(draw, 1, d)
    mass, eps = draw(st.sampled_from([0.5, 1.0, 3.0])), draw(eps_values)
    value = mass * float(((x - y) ** 2).sum()) - eps * mass * math.log(mass)
    weight = np.array([mass])
    return Known(x, y, weight, weight, eps, value)


@st.composite
def one_source(draw) -> Known:
    """One point against many: the only plan is b, which is the product measure (or M b at mass M)."""
    d, m = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    x, y = _points(draw, 1, d), _points(draw, m, d)
    b, eps = unit_masses(draw, m), draw(eps_values)
    return Known(x, y, np.array([1.0]), b, eps, float(b @ squared_distances(x, y)[0]))


@st.composite
def translations(draw) -> tuple[Known, np.ndarray]:
    """(problem, shift) with y = x + shift: ``OT(x, y) = OT(x, x) + |shift|**2``; `value` is that last term."""
    n, d = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    x, shift = _points(draw, n, d), _points(draw, 1, d)
    a = unit_masses(draw, n)
    return Known(x, x + shift, a, a, draw(eps_values), float((shift**2).sum())), shift


@st.composite
def sorted_lines(draw) -> Known:
    """Points of a line with equal weights: the monotone matching is optimal, at any convex cost."""
    n = draw(st.integers(1, 9))
    x, y = _points(draw, n, 1), _points(draw, n, 1)
    best = float(((np.sort(x[:, 0]) - np.sort(y[:, 0])) ** 2).mean())
    uniform = np.full(n, 1 / n)
    return Known(x, y, uniform, uniform, draw(eps_values), best, exact=True)


@st.composite
def problems(draw, most: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """(C, a, b, eps): a small dense problem; weights of sum 1, some 0; costs in [-1, 1], many of them equal."""
    n, m = draw(st.integers(1, most)), draw(st.integers(1, most))
    C = np.array(draw(st.lists(st.integers(-16, 16), min_size=n * m, max_size=n * m)), dtype=np.float64)
    return C.reshape(n, m) / 16, unit_masses(draw, n), unit_masses(draw, m), draw(st.sampled_from([0.1, 0.3, 2.0]))


# --- every number of an unbalanced solution -------------------------------------------------------------------
def check_unbalanced_solution(solution, C, a, b, rho, kind, rtol=1e-11) -> None:
    """Every number of an unbalanced `Solution` against its definition on the dense plan.

    The tolerance is relative to the sum of the sizes of the terms, which may cancel.
    """
    f, g = (np.asarray(z, dtype=np.float64) for z in solution.potentials)
    P, eps = np.asarray(solution.plan, dtype=np.float64), solution.reg
    exponents = (np.abs(f).max() + np.abs(g).max() + np.abs(C[np.isfinite(C)]).max()) / eps
    entries = np.exp((f[:, None] + g - C) / eps + _log_outer(a, b))
    np.testing.assert_allclose(P, entries, rtol=rtol * (1 + exponents), atol=1e-300)
    size = eps * a.sum() * b.sum() + P.sum() * eps * (1 + exponents)
    size += sum(r * (w.sum() + P.sum()) for r, w in zip(rho, (a, b)) if math.isfinite(r))
    assert abs(float(solution.value) - objective(P, C, a, b, eps, rho, kind)) <= rtol * size
    assert abs(float(solution.dual_value) - dual_objective(f, g, C, a, b, eps, rho, kind)) <= rtol * size
    linear = float((P[P > 0] * C[P > 0]).sum())
    assert abs(float(solution.value_linear) - linear) <= rtol * size
    np.testing.assert_allclose(solution.marginal_a, P.sum(1), rtol=rtol * (1 + exponents), atol=1e-300)
    np.testing.assert_allclose(solution.marginal_b, P.sum(0), rtol=rtol * (1 + exponents), atol=1e-300)
    assert float(solution.gap) >= -rtol * size
    if not any(map(math.isinf, rho)):
        # Nothing has to be made feasible: the gap is that of the plan itself.
        gap = objective(P, C, a, b, eps, rho, kind) - dual_objective(f, g, C, a, b, eps, rho, kind)
        assert abs(float(solution.gap) - gap) <= rtol * size
