"""Transport problems to judge maps by: laws to sample from, and the map between them where it is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import validation as check
from ..lazy import cached_property
from .known import AffineMap, ConvexGradientMap
from .linear import Moments, optimal_matrix

__all__ = [
    "MapProblem",
    "convex_gradient_problem",
    "gaussian_problem",
    "moons_problem",
    "sphere_rotation_problem",
]

#: A way to draw n points, (n, d).
Law = Callable[[int, np.random.Generator], np.ndarray]

#: Points that a variance without a formula is taken of, drawn in blocks of numbers.
VARIANCE_POINTS, VARIANCE_BLOCK = 1 << 16, 1 << 21


@dataclass(frozen=True, eq=False, repr=False)
class MapProblem:
    """A source law, a target law and, where it is known, the optimal map between them.

    The functions below make some; others are made of the same parts.

    Attributes
    ----------
    name : str
    cost : str or Cost
        The ground cost that the map is optimal for.
    dimension : int
        Coordinates d of the points.
    source, target : callable
        ``law(n, generator)`` draws n points, (n, d) float64.
    true_map : callable or None
        ``true_map(x)`` are the images (n, d) of points x (n, d), in the caller's library.
    inverse_map : callable or None
        The map back.
    variance : float or None
        Trace of the covariance of the target law, where a formula says it; see `target_variance`.
    """

    name: str
    cost: Any
    dimension: int
    source: Law
    target: Law
    true_map: Callable[[Any], Any] | None = None
    inverse_map: Callable[[Any], Any] | None = None
    variance: float | None = None

    def sample(self, n: int, seed: Any = None, n_target: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Independent samples of both laws.

        Parameters
        ----------
        n : int
            Points of the source.
        seed : None, int or numpy.random.Generator
        n_target : int, optional
            Points of the target; n by default.

        Returns
        -------
        x : (n, d) array
        y : (n_target, d) array
            Not paired with x: row i is not the image of row i.

        Raises
        ------
        ValueError, TypeError
            For sizes that are no positive integers.
        """
        n = check.count(n, "n")
        m = n if n_target is None else check.count(n_target, "n_target")
        generator = np.random.default_rng(seed)
        return self.source(n, generator), self.target(m, generator)

    @cached_property
    def target_variance(self) -> float:
        """Trace of the covariance of the target law: by formula, or of 65 536 fixed points."""
        if self.variance is not None:
            return self.variance
        generator = np.random.default_rng(0)
        step = max(1, VARIANCE_BLOCK // self.dimension)
        total, squares = np.zeros(self.dimension), 0.0
        first: np.ndarray | None = None
        for start in range(0, VARIANCE_POINTS, step):
            y = self.target(min(step, VARIANCE_POINTS - start), generator)
            # About a point of the law: means far from the origin take no digits.
            first = y[0] if first is None else first
            total += (y - first).sum(axis=0)
            squares += float(((y - first) ** 2).sum())
        return squares / VARIANCE_POINTS - float((total**2).sum()) / VARIANCE_POINTS**2

    def __repr__(self) -> str:
        known = "no known map" if self.true_map is None else "map known"
        return f"MapProblem({self.name!r}, cost={self.cost!r}, dimension={self.dimension}, {known})"


@dataclass(frozen=True, eq=False)
class _Gaussian:
    mean: np.ndarray
    root: np.ndarray

    def __call__(self, n: int, generator: np.random.Generator) -> np.ndarray:
        return self.mean + generator.normal(size=(n, self.mean.size)) @ self.root.T


@dataclass(frozen=True, eq=False)
class _Image:
    """Images of points of a law: a law that is known through a map to it."""

    source: Law
    images: Callable[[np.ndarray], np.ndarray]

    def __call__(self, n: int, generator: np.random.Generator) -> np.ndarray:
        return self.images(self.source(n, generator))


def random_rotation(d: int, generator: np.random.Generator) -> np.ndarray:
    """(d, d) rotation, uniform: the QR factorisation of Gaussian numbers with its signs settled [mezzadri:07]_."""
    Q, R = np.linalg.qr(generator.normal(size=(d, d)))
    Q = Q * np.sign(np.diag(R))
    if np.linalg.det(Q) < 0:
        Q[:, 0] = -Q[:, 0]
    return Q


def random_positive(d: int, spread: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues between 1 / spread and spread, uniform in their logarithm, and random eigenvectors."""
    values = np.exp(generator.uniform(-math.log(spread), math.log(spread), size=d))
    return values, random_rotation(d, generator)


# --- between Gaussians ----------------------------------------------------------------------------------------


def gaussian_problem(d: int = 2, seed: Any = 0) -> MapProblem:
    """Two Gaussians with random means and covariances, for the squared Euclidean cost.

    Eigenvalues of the covariances are between 1/2 and 2, uniform in their logarithm, with random eigenvectors, as
    in [korotin:21]_; the means are standard normal. The map is affine.

    Parameters
    ----------
    d : int
        Dimension.
    seed : None, int or numpy.random.Generator
        Of the two laws.

    Returns
    -------
    MapProblem

    Raises
    ------
    ValueError, TypeError
        For a dimension that is no positive integer.
    """
    d = check.count(d, "d")
    generator = np.random.default_rng(seed)
    pair = []
    for _ in range(2):
        mean = generator.normal(size=d)
        values, vectors = random_positive(d, 2.0, generator)
        pair.append(Moments(mean, np.sqrt(values), vectors.T))
    forward = AffineMap(optimal_matrix(*pair), pair[0].mean, pair[1].mean)
    source, target = (_Gaussian(law.mean, law.factor.T) for law in pair)
    variance = float((pair[1].deviations ** 2).sum())
    return MapProblem(f"Gaussian, d = {d}", "sqeuclidean", d, source, target, forward, forward.inverse, variance)


# --- gradients of convex functions ----------------------------------------------------------------------------

#: Affine pieces under the soft maximum.
PIECES = 6
#: The temperature in units of the length of the slopes, about one standard deviation of a height over the source.
SHARPNESS = 0.3


def convex_gradient_problem(d: int = 2, seed: Any = 0) -> MapProblem:
    """A standard normal law and its image under the gradient of a random convex function.

    ``y = grad phi(x)`` with phi the sum of a quadratic function and a soft maximum of affine ones: optimal for the
    squared Euclidean cost by Brenier's theorem [brenier:91]_, strongly convex, and not affine: the best affine map
    misses of the order of 4 percent of the variance of the target at d = 2, 10 percent from d = 16 on. The inverse
    is computed by Newton's method.

    Parameters
    ----------
    d : int
        Dimension.
    seed : None, int or numpy.random.Generator
        Of the function.

    Returns
    -------
    MapProblem

    Raises
    ------
    ValueError, TypeError
        For a dimension that is no positive integer.
    """
    d = check.count(d, "d")
    generator = np.random.default_rng(seed)
    values, vectors = random_positive(d, 1.5, generator)
    quadratic = (vectors * values) @ vectors.T
    offset = generator.normal(size=d)
    # As long as points of the source: the pieces matter as much as the quadratic part in every dimension.
    length = math.sqrt(d)
    slopes = generator.normal(size=(PIECES, d))
    slopes *= length / np.linalg.norm(slopes, axis=1, keepdims=True)
    intercepts = 0.2 * length * generator.normal(size=PIECES)
    forward = ConvexGradientMap(quadratic, offset, slopes, intercepts, SHARPNESS * length)
    source = _Gaussian(np.zeros(d), np.eye(d))
    return MapProblem(
        f"convex gradient, d = {d}", "sqeuclidean", d, source, _Image(source, forward._move), forward,
        forward.inverse,
    )  # fmt: skip


# --- on the sphere --------------------------------------------------------------------------------------------

#: Patches of the source on the sphere, and the range of their radii, radians about.
PATCHES, RADII = 4, (0.4, 0.8)


@dataclass(frozen=True, eq=False)
class _HalfSphere:
    """Patches on half a great sphere: on a meridian, in three dimensions."""

    frame: np.ndarray  # (d, d) columns: the middle of the half sphere, a quarter turn from it, the axis
    centres: np.ndarray  # (k, d - 1) unit vectors of the half sphere, in coordinates without the second
    radii: np.ndarray  # (k,)
    shares: np.ndarray  # (k,)

    def __call__(self, n: int, generator: np.random.Generator) -> np.ndarray:
        patch = generator.choice(len(self.shares), size=n, p=self.shares)
        points = self.centres[patch] + self.radii[patch, None] * generator.normal(size=(n, self.centres.shape[1]))
        # Tails that leave the half sphere are folded back.
        points[:, 0] = np.abs(points[:, 0])
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        return points @ np.delete(self.frame, 1, axis=1).T


def sphere_rotation_problem(d: int = 3, angle: float = 1.0, seed: Any = 0) -> MapProblem:
    """A rotation of the sphere of R^d that is optimal for the geodesic distance, and no other map is.

    The source lies in patches of a half great sphere that is bounded by the axis of the rotation; of a meridian,
    for d = 3. The rotation carries it to another one.

    Parameters
    ----------
    d : int >= 3
        Coordinates. The source has d - 2 dimensions: from d = 4 on there are many maps between the laws, for d = 3
        only those that rearrange a line.
    angle : float in (0, pi)
        Radians.
    seed : None, int or numpy.random.Generator
        Of the axis and the patches.

    Returns
    -------
    MapProblem
        Of unit vectors, with cost ``"sphere"``.

    Raises
    ------
    ValueError, TypeError
        For numbers out of range.

    Notes
    -----
    Let M be the great sphere through the axis half way between the two half spheres. On the first of them the
    rotation is the reflection at M. The signed distance u to M is 1-Lipschitz, and a point x at distance h from M
    is at distance ``2 h = u(Rx) - u(x)`` from its reflection Rx: u is a Kantorovich potential, and the reflection
    is optimal for every law on one side of M. Optimal plans move mass along the perpendiculars of M, each of which
    meets both half spheres once: no other plan is optimal. Between open sets of the sphere mass could be exchanged
    along the perpendiculars, and the optimal map would be one of many.
    """
    d, angle = check.count(d, "d", 3), check.number(angle, "angle", "radians")
    if not 0 < angle < math.pi:
        raise ValueError(f"angle={angle!r} must be between 0 and pi, both excluded")
    generator = np.random.default_rng(seed)
    frame = random_rotation(d, generator)
    centres = generator.normal(size=(PATCHES, d - 1))
    # In the inner part of the half sphere.
    centres[:, 0] = 0.5 + np.abs(centres[:, 0])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    source = _HalfSphere(
        frame, centres, generator.uniform(*RADII, size=PATCHES), generator.dirichlet(np.full(PATCHES, 4.0))
    )
    turn = np.eye(d)
    c, s = math.cos(angle), math.sin(angle)
    turn[:2, :2] = (c, -s), (s, c)
    forward = AffineMap(frame @ turn @ frame.T)
    backward = AffineMap(forward.matrix.T)
    return MapProblem(
        f"rotation of the sphere, d = {d}", "sphere", d, source, _Image(source, forward._move), forward, backward
    )


# --- moons ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Moons:
    """Half circles with noise."""

    both: bool
    turn: float
    shift: tuple[float, float]
    noise: float

    def __call__(self, n: int, generator: np.random.Generator) -> np.ndarray:
        t = generator.uniform(0, math.pi, size=n)
        curve = np.stack([np.cos(t), np.sin(t)], axis=1)
        if self.both:
            lower = generator.random(n) < 0.5
            curve = np.where(lower[:, None], (1.0, 0.5) - curve, curve)
        return _placed(curve, self.noise, 1.0, self.turn, self.shift, generator)


@dataclass(frozen=True, eq=False)
class _SCurve:
    """Two arcs of three quarters of a circle each, one the continuation of the other, with noise."""

    scale: float
    turn: float
    shift: tuple[float, float]
    noise: float

    def __call__(self, n: int, generator: np.random.Generator) -> np.ndarray:
        t = 3 * math.pi * generator.uniform(-0.5, 0.5, size=n)
        curve = np.stack([np.sign(t) * (np.cos(t) - 1), np.sin(t)], axis=1)
        return _placed(curve, self.noise, self.scale, self.turn, self.shift, generator)


def _placed(curve, noise, scale, turn, shift, generator) -> np.ndarray:
    """Points of a curve with noise, turned about the origin, scaled and shifted."""
    points = curve + noise * generator.normal(size=curve.shape)
    c, s = math.cos(turn), math.sin(turn)
    return np.asarray(shift) + scale * (points @ np.array([[c, s], [-s, c]]))


def moons_problem(cost: Any = "sqeuclidean", *, two_moons: bool = False, noise: float = 0.05) -> MapProblem:
    """A moon and an S-curve in the plane: the picture of maps with and without the Monge gap [uscidda:23]_.

    Sizes and places are those of the tutorial of OTT-JAX [cuturi:22]_ on the Monge gap. No map is known.

    Parameters
    ----------
    cost : str or Cost
        Any cost between points of the plane.
    two_moons : bool
        The second, lower half circle as well.
    noise : float >= 0
        Standard deviation, before the S-curve is scaled by 0.6.

    Returns
    -------
    MapProblem

    Raises
    ------
    ValueError, TypeError
        For unknown costs and negative noise.
    """
    check.read_cost(cost)
    noise = check.number(noise, "noise")
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise={noise!r} must be finite and not negative")
    source = _Moons(bool(two_moons), math.pi / 6, (0.0, -0.5), noise)
    target = _SCurve(0.6, math.pi / 2, (1.0, -2.0), noise)
    return MapProblem("two moons, S-curve" if two_moons else "moon, S-curve", cost, 2, source, target)
