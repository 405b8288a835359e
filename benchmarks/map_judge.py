"""The judge of transport maps: float64, NumPy and SciPy, and no solver's code."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from .problems import Problem

#: Points held out that divergence and gap are computed on. Where the right images are known, distances from them
#: are what counts, on all points, and these two get fewer.
MOST_JUDGED, FEW_JUDGED = 2000, 500
#: Marginal error at which the divergence's problems are solved, and sweeps at most until then.
TOL, SWEEPS = 1e-7, 20_000
#: Sweeps between two rescalings of the kernel.
ABSORB = 20
#: How far a norm may be from 1 on the sphere.
OFF_SPHERE = 1e-4


@dataclass(frozen=True)
class MapVerdict:
    """What the judge found of a map, on points held out.

    Attributes
    ----------
    divergence : float, cost units
        Sinkhorn divergence between images and target points.
    monge_gap : float, cost units
        Mean cost of moving the points less that of the best assignment to their images.
    mean_cost : float
    uvp : float or None
        Unexplained variance in percent, where the right images are known.
    cosine : float or None
        Between displacements and the right ones; None where the map moves nothing.
    angle : float or None
        Mean geodesic deviation from the right images, on the sphere.
    judged : int
        Points that divergence and gap are of.
    """

    divergence: float
    monge_gap: float
    mean_cost: float
    uvp: float | None
    cosine: float | None
    angle: float | None
    judged: int

    @property
    def finite(self) -> bool:
        """Whether there is a map at all."""
        return bool(np.isfinite([self.divergence, self.monge_gap]).all())

    def as_record(self) -> dict:
        """Plain values for a result file."""
        return asdict(self) | {"finite": self.finite}


@dataclass(frozen=True)
class GapVerdict:
    """What the judge found of gaps of optimal maps, which are 0.

    Attributes
    ----------
    value_error : float
        Largest size of a gap, relative to the mean size of the costs; ``inf`` where one is not finite.
    relative : list of float
        Of all maps.
    """

    value_error: float
    relative: list[float]

    def as_record(self) -> dict:
        """Plain values for a result file."""
        return asdict(self)


def cost_matrix(x, y, cost: str) -> np.ndarray:
    """(n, m) ground costs in float64; distances by differences, without cancellation.

    Raises
    ------
    ValueError
        For costs that the judge does not know.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if cost == "dot":
        return -x @ y.T
    if cost == "sphere":
        # Half the chord: no digits are lost at small angles, as they are in the cosine.
        return 2 * np.arcsin(np.minimum(0.5 * np.sqrt(_squares(x, y)), 1.0))
    if cost == "euclidean":
        return np.sqrt(_squares(x, y))
    if cost == "sqeuclidean":
        return _squares(x, y)
    raise ValueError(f"cost must be 'sqeuclidean', 'euclidean', 'dot' or 'sphere', not {cost!r}")


def _squares(x, y) -> np.ndarray:
    found = np.zeros((len(x), len(y)))
    for axis in range(x.shape[1]):
        found += np.square(x[:, axis, None] - y[None, :, axis])
    return found


def entropic_cost(C, eps: float) -> float:
    """Value ``<P, C> + eps KL(P | a b')`` between uniform weights, by scalings that the kernel takes in.

    Raises
    ------
    RuntimeError
        If marginals are not reached.
    """
    n, m = C.shape
    f = np.zeros(n)
    g = _soft_minimum(C.T, f, eps)
    f = _soft_minimum(C, g, eps)
    for _ in range(SWEEPS // ABSORB):
        plan = np.exp((f[:, None] + g[None, :] - C) / eps) / (n * m)
        u, v = np.ones(n), np.ones(m)
        for _ in range(ABSORB):
            v = (1 / m) / (plan.T @ u)
            u = (1 / n) / (plan @ v)
        f, g = f + eps * np.log(u), g + eps * np.log(v)
        # Rows are exact.
        if np.abs(v * (plan.T @ u) - 1 / m).sum() <= TOL:
            return float(f.mean() + g.mean())
    raise RuntimeError(f"the judge's Sinkhorn iterations did not get to {TOL}")


def _soft_minimum(C, g, eps: float) -> np.ndarray:
    low = (C - g[None, :]).min(axis=1)
    return low - eps * np.log(np.exp((low[:, None] + g[None, :] - C) / eps).mean(axis=1))


def self_cost(C, eps: float) -> float:
    """`entropic_cost` of points with themselves: one potential, by averaged iterations."""
    n = len(C)
    f = 0.5 * _soft_minimum(C, np.zeros(n), eps)
    for _ in range(SWEEPS // ABSORB):
        plan = np.exp((f[:, None] + f[None, :] - C) / eps) / n
        u = np.ones(n)
        for _ in range(ABSORB):
            u = np.sqrt(u / (plan @ u))
        f = f + eps * np.log(u)
        if np.abs(u * (plan @ u) - 1).max() <= TOL:
            return float(2 * f.mean())
    raise RuntimeError(f"the judge's averaged iterations did not get to {TOL}")


def sinkhorn_divergence(x, y, cost: str, eps: float) -> float:
    """Debiased entropic cost between two samples."""
    across = entropic_cost(cost_matrix(x, y, cost), eps)
    return across - 0.5 * (self_cost(cost_matrix(x, x, cost), eps) + self_cost(cost_matrix(y, y, cost), eps))


def exact_gap(x, z, cost: str) -> tuple[float, float]:
    """Mean cost from points to their images less that of the best assignment, and the former."""
    from scipy.optimize import linear_sum_assignment

    C = cost_matrix(x, z, cost)
    rows, columns = linear_sum_assignment(C)
    paired = np.diagonal(C)
    return float(paired.mean() - C[rows, columns].mean()), float(paired.mean())


def judge_map(problem: Problem, images) -> MapVerdict:
    """Judge where a map sends the points held out.

    Parameters
    ----------
    problem : Problem
        With `held_x` and `held_y`.
    images : (k, d) array

    Raises
    ------
    ValueError
        If there is not one image per point.
    """
    z, x, y = (np.asarray(points, np.float64) for points in (images, problem.held_x, problem.held_y))
    if z.shape != x.shape:
        raise ValueError(f"images must have shape {x.shape}, not {z.shape}")
    on_sphere = problem.cost == "sphere"
    lost = not np.isfinite(z).all()
    if on_sphere and not lost:
        norms = np.linalg.norm(z, axis=1, keepdims=True)
        lost = np.abs(norms - 1).max() > OFF_SPHERE
        z, x, y = (points / np.linalg.norm(points, axis=1, keepdims=True) for points in (z, x, y))
    if lost:
        nothing = float("nan")
        return MapVerdict(float("inf"), nothing, nothing, None, None, None, 0)
    most = MOST_JUDGED if problem.truth is None else FEW_JUDGED
    few = [points[:most] for points in (x, y, z)]
    gap, mean_cost = exact_gap(few[0], few[2], problem.cost)
    divergence = sinkhorn_divergence(few[2], few[1], problem.cost, problem.eps)
    uvp = cosine = angle = None
    if problem.truth is not None:
        truth = problem.truth
        uvp = float(100 * np.square(z - truth).sum(axis=1).mean() / problem.variance)
        lengths = np.linalg.norm(z - x) * np.linalg.norm(truth - x)
        cosine = float(((z - x) * (truth - x)).sum() / lengths) if lengths > 0 else None
        if on_sphere:
            chords = np.linalg.norm(z - truth, axis=1)
            angle = float(2 * np.arcsin(np.minimum(0.5 * chords, 1.0)).mean())
    return MapVerdict(divergence, gap, mean_cost, uvp, cosine, angle, len(few[0]))


def judge_gaps(problem: Problem, values) -> GapVerdict:
    """Judge gaps of the optimal maps of a problem, one number per map.

    Raises
    ------
    ValueError
        If there is not one number per map.
    """
    values = np.asarray(values, np.float64)
    if values.shape != problem.scales.shape:
        raise ValueError(f"gaps must have shape {problem.scales.shape}, not {values.shape}")
    relative = values / problem.scales
    worst = np.abs(relative).max()
    return GapVerdict(float(worst) if np.isfinite(worst) else float("inf"), relative.tolist())
