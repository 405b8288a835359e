"""One map, all figures: against the truth where it is known, and against samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import validation as check
from ..backends import registry
from ..costs import Cost, Sphere, SqEuclidean
from ..divergence import sinkhorn_divergence
from ..geometry import PointCloud
from ..regularisers import absolute, entropic
from .base import SCORE_REG, detached
from .discrepancy import median_distance, mmd
from .gap import monge_gap
from .metrics import displacement_cosine, geodesic_deviation, l2_uvp
from .problems import MapProblem

__all__ = ["FIGURES", "MapReport", "evaluate"]


class Figure(NamedTuple):
    """How a figure is shown."""

    heading: str
    meaning: str
    digits: str


#: Columns of reports, in their order.
FIGURES: dict[str, Figure] = {
    "l2_uvp": Figure("L2-UVP %", "unexplained variance, in percent", ".3g"),
    "cosine": Figure("cosine", "of displacements with the right ones", ".4f"),
    "geodesic": Figure("angle", "mean distance from the right images, radians", ".3g"),
    "divergence": Figure("divergence", "Sinkhorn divergence of images and target", ".4g"),
    "mmd": Figure("MMD²", "squared MMD of images and target", ".3g"),
    "gap": Figure("Monge gap", "mean cost minus the least one to the same images", ".3g"),
    "mean_cost": Figure("mean cost", "of points and their images", ".4g"),
}


@dataclass(frozen=True, repr=False)
class MapReport:
    """Figures of one map; None where there is no truth to compare with.

    Attributes
    ----------
    l2_uvp : float or None
        `l2_uvp`, in percent.
    cosine : float or None
        `displacement_cosine`; None for maps that move nothing.
    geodesic : float or None
        `geodesic_deviation`, on the sphere.
    divergence : float
        Sinkhorn divergence between the images and the target sample.
    mmd : float or None
        Squared `mmd` between the same, with a Gaussian kernel whose bandwidth is the median distance within the
        target sample; None where that is one point.
    gap : float
        Monge gap: the mean cost minus that of the optimal plan between the points and their images.
    mean_cost : float
        ``E c(x, T(x))``.
    n : int
        Points that the map was applied to.
    cost : str
    """

    l2_uvp: float | None
    cosine: float | None
    geodesic: float | None
    divergence: float
    mmd: float | None
    gap: float
    mean_cost: float
    n: int
    cost: str

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return asdict(self)

    def __repr__(self) -> str:
        lines = [f"MapReport of {self.n} points, cost {self.cost}"]
        for name, figure in FIGURES.items():
            value = getattr(self, name)
            if value is not None:
                lines.append(f"  {figure.heading:<11} {shown(value, figure):>10}  {figure.meaning}")
        return "\n".join(lines)


def shown(value: float | None, figure: Figure) -> str:
    """A figure as text."""
    return "–" if value is None else format(value, figure.digits)


def evaluate(
    transport_map: Any,
    problem: Any,
    *,
    n: int = 1000,
    seed: Any = 0,
    truth: Any = None,
    cost: Any = None,
    reg: Any = SCORE_REG,
) -> MapReport:
    """Figures of a map on new points.

    Parameters
    ----------
    transport_map : object or callable
        Anything with a method ``transform(x)``, or a function of (n, d) points.
    problem : MapProblem or (x, y)
        A problem to draw points from, or held-out samples of source (n, d) and target (m, d).
    n : int
        Points of each sample that are drawn from a `MapProblem`.
    seed : None, int or numpy.random.Generator
        Of these points.
    truth : (n, d) array or callable, optional
        The right images of x, or the map that gives them, for samples; problems bring their own.
    cost : str or Cost, optional
        Ground cost of divergence and gap: by default that of the problem or else of the map, or else
        ``"sqeuclidean"``.
    reg : float or Entropic
        Smoothing of the divergence; relative ones refer to the costs within the target sample, so that they are
        the same for all maps.

    Returns
    -------
    MapReport

    Raises
    ------
    ValueError, TypeError
        For bad input, and for a map whose images are not finite or not as many as the points.

    Notes
    -----
    Divergence and MMD are those of samples, and not 0 for the right map: compare maps on the same points.
    Divergences need costs that are symmetric and vanish at equal points: for the cost ``"dot"`` and for ones that
    are not symmetric the divergence is that of the squared Euclidean cost.

    For the cost ``"sphere"`` images that lie off the sphere are projected to it for divergence, gap, mean cost and
    angle; L2-UVP, cosine and MMD look at them as they are.

    Examples
    --------
    >>> import ot_solvers as ots
    >>> problem = ots.maps.gaussian_problem(2, seed=1)
    >>> report = ots.maps.evaluate(problem.true_map, problem, n=200, seed=0)
    >>> report.l2_uvp, round(report.cosine, 6), abs(report.gap) < 1e-12
    (0.0, 1.0, True)
    """
    move = function_of(transport_map, "transport_map")
    variance = None
    if isinstance(problem, MapProblem):
        if truth is not None:
            raise ValueError("truth is for samples; a MapProblem brings its own")
        x, y = problem.sample(check.count(n, "n"), seed)
        ground = check.read_cost(problem.cost if cost is None else cost)
        if problem.true_map is not None:
            truth, variance = problem.true_map(x), problem.target_variance
    else:
        x, y = _two_samples(problem)
        known = getattr(transport_map, "cost", None)
        ground = check.read_cost(cost or (known if isinstance(known, (str, Cost)) else "sqeuclidean"))
        truth = truth(x) if callable(truth) else truth
    images = _images(move, x)
    inputs, targets = (check.points(detached(z), k).astype(np.float64) for z, k in ((x, "x"), (y, "y")))
    if truth is not None:
        truth = check.points(detached(truth), "truth").astype(np.float64)
        if truth.shape != inputs.shape:
            raise ValueError(f"truth has shape {truth.shape}; expected {inputs.shape}, one image per point")
    return _report(inputs, images, targets, truth, variance, ground, reg)


def _report(x, images, y, truth, variance, ground: Cost, reg) -> MapReport:
    placed = _on_sphere(images) if isinstance(ground, Sphere) else images
    gap = monge_gap(x, placed, cost=ground)
    uvp = cosine = angle = None
    if truth is not None:
        # Samples of a law without spread explain nothing in percent.
        spread = variance if variance is not None else float(((truth - truth.mean(axis=0)) ** 2).sum(1).mean())
        uvp = l2_uvp(images, truth, spread) if spread > 0 else None
        if (images != x).any() and (truth != x).any():
            cosine = displacement_cosine(x, images, truth)
        if isinstance(ground, Sphere):
            angle = geodesic_deviation(placed, truth)
    return MapReport(
        l2_uvp=uvp, cosine=cosine, geodesic=angle, divergence=_divergence(placed, y, ground, reg),
        mmd=mmd(images, y, bandwidth=median_distance(y)) if (y != y[0]).any() else None, gap=float(gap),
        mean_cost=gap.displacement, n=len(x), cost=ground.name,
    )  # fmt: skip


def _divergence(images: np.ndarray, y: np.ndarray, ground: Cost, reg: Any) -> float:
    if not ground.symmetric or ground.name == "dot":
        ground = SqEuclidean()
    eps = absolute(entropic(reg, None), PointCloud(y, y, ground), registry.get("numba"))
    return float(sinkhorn_divergence(images, y, cost=ground, reg=eps))


def _on_sphere(images: np.ndarray) -> np.ndarray:
    zero = np.flatnonzero(~images.any(axis=1))
    if zero.size:
        raise ValueError(f"the map sends x[{zero[0]}] to the origin, which has no projection to the sphere")
    return Sphere().prepare(images)


def function_of(transport_map: Any, argument: str) -> Callable[[Any], Any]:
    """The function of points that a map is."""
    move = getattr(transport_map, "transform", transport_map)
    # Classes are callable: a map that nobody has made yet.
    if isinstance(transport_map, type) or not callable(move):
        kind = repr(transport_map) if isinstance(transport_map, type) else f"a {type(transport_map).__name__}"
        raise TypeError(f"{argument} is {kind}; expected an object with transform(x), or a function")
    return move


def _images(move: Callable[[Any], Any], x: Any) -> np.ndarray:
    """Checked images."""
    images = check.points(detached(move(x)), "transform(x)").astype(np.float64)
    if images.shape != tuple(x.shape):
        raise ValueError(f"transform(x) has shape {images.shape}; expected {tuple(x.shape)}, one image per point")
    return images


def _two_samples(problem: Any) -> tuple[Any, Any]:
    if not isinstance(problem, (tuple, list)) or len(problem) != 2:
        kind = type(problem).__name__
        raise TypeError(f"problem is a {kind}; expected a MapProblem, or two samples (x, y)")
    x, y = problem
    first, second = check.points(detached(x), "x"), check.points(detached(y), "y")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"x has {first.shape[1]} coordinates and y {second.shape[1]}; expected the same number")
    # Lists become arrays, arrays of any library stay what they are for the map.
    return (x if hasattr(x, "shape") else first), y
