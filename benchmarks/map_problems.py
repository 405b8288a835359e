"""Problems of transport maps: samples to fit to, points to judge by, and maps that are known to be optimal.

The laws are those of `ot_solvers.maps`. Nothing here solves anything.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from .map_judge import cost_matrix
from .problems import Problem

if TYPE_CHECKING:
    from ot_solvers.maps import MapProblem

#: Laws by name.
LAWS = ("moons", "gaussian", "convex-gradient", "sphere-rotation")
#: Optimal maps by the ground cost. The dilation ``x (1 + |x|)`` is optimal for all of them: it is the gradient of
#: a convex function, and moves points outwards on rays, where ``|x|`` is a potential of the Euclidean cost.
OPTIMAL = {
    "sqeuclidean": ("identity", "translation", "dilation", "convex gradient"),
    "euclidean": ("identity", "translation", "dilation"),
    "dot": ("identity", "translation", "dilation", "convex gradient"),
}


@dataclass(frozen=True)
class MapSpec:
    """A recipe for a map to be fitted.

    Parameters
    ----------
    law : {"moons", "gaussian", "convex-gradient", "sphere-rotation"}
    d : int
        Dimension; 2 for the moons.
    n : int
        Points of both samples to fit to.
    held_out : int
        Points of both samples to judge by.
    cost : str
        Ground cost of the moons; the other laws bring theirs.
    eps : float > 0
        Smoothing of the divergence, as a fraction of the mean cost between the points held out.
    dtype : {"float64", "float32"}
    seed : int
        Of the points; the laws are always the same.
    """

    law: str = "moons"
    d: int = 2
    n: int = 20_000
    held_out: int = 2000
    cost: str = "sqeuclidean"
    eps: float = 0.1
    dtype: str = "float64"
    seed: int = 0

    def _law(self) -> MapProblem:
        from ot_solvers import maps

        if self.law not in LAWS:
            raise ValueError(f"law must be one of {LAWS}, not {self.law!r}")
        if self.law == "moons":
            if self.d != 2:
                raise ValueError(f"moons are in the plane, not in dimension {self.d}")
            return maps.moons_problem(self.cost)
        made = {
            "gaussian": maps.gaussian_problem,
            "convex-gradient": maps.convex_gradient_problem,
            "sphere-rotation": maps.sphere_rotation_problem,
        }[self.law](self.d)
        if made.cost != self.cost:
            raise ValueError(f"the cost of {self.law!r} is {made.cost!r}, not {self.cost!r}")
        return made

    def build(self) -> Problem:
        """Draw the samples.

        Raises
        ------
        ValueError
            For unknown laws, and for dimensions and costs that a law does not have.
        """
        law = self._law()
        x, y = law.sample(self.n, np.random.default_rng([self.seed, 0]))
        held_x, held_y = law.sample(self.held_out, np.random.default_rng([self.seed, 1]))
        x, y, held_x, held_y = (z.astype(self.dtype) for z in (x, y, held_x, held_y))
        mean = float(cost_matrix(held_x[:2000], held_y[:2000], self.cost).mean())
        weights = np.full(self.n, 1.0 / self.n, self.dtype)
        known = {}
        if law.true_map is not None:
            # Of the rounded points: these are the problem.
            known = {"truth": law.true_map(held_x.astype(np.float64)), "variance": law.target_variance}
        return Problem(
            weights, weights, self.eps * mean, 1.0, x, y, cost=self.cost, held_x=held_x, held_y=held_y, **known
        )

    def as_record(self) -> dict:
        """Plain values for a result file."""
        return asdict(self)


@dataclass(frozen=True)
class GapSpec:
    """A recipe for points and their images under maps that are optimal.

    Parameters
    ----------
    cost : {"sqeuclidean", "euclidean", "dot"}
    n, d : int
    eps : float > 0
        Smoothing of regularised gaps, as a fraction of the mean size of the costs between points and images.
    dtype : {"float64", "float32"}
    seed : int
    """

    cost: str = "sqeuclidean"
    n: int = 256
    d: int = 2
    eps: float = 0.01
    dtype: str = "float64"
    seed: int = 0

    def build(self) -> Problem:
        """Draw the points and move them.

        Raises
        ------
        ValueError
            For costs without a list of optimal maps.
        """
        from ot_solvers import maps

        if self.cost not in OPTIMAL:
            raise ValueError(f"cost must be one of {sorted(OPTIMAL)}, not {self.cost!r}")
        rng = np.random.default_rng(self.seed)
        x, shift = rng.normal(size=(self.n, self.d)), rng.normal(size=self.d)
        moved = {
            "identity": x,
            "translation": x + shift,
            "dilation": x * (1 + np.linalg.norm(x, axis=1, keepdims=True)),
            "convex gradient": maps.convex_gradient_problem(self.d).true_map(x),
        }
        images = np.stack([moved[name] for name in OPTIMAL[self.cost]]).astype(self.dtype)
        x = x.astype(self.dtype)
        # Negative inner products have means near 0: their size is what counts.
        scales = np.array([np.abs(cost_matrix(x, z, self.cost)).mean() for z in images])
        weights = np.full(self.n, 1.0 / self.n, self.dtype)
        return Problem(weights, weights, self.eps, 1.0, x, cost=self.cost, images=images, scales=scales)

    def as_record(self) -> dict:
        """Plain values for a result file."""
        return asdict(self)
