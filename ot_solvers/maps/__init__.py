"""Transport maps that move new points: closed forms, entropic maps and networks fitted with the Monge gap."""

from .base import TransportMap
from .comparison import MapComparison, compare_maps
from .datasets import PerturbationData, load_points, perturbation_data
from .discrepancy import mmd
from .evaluation import MapReport, evaluate
from .gap import MongeGap, monge_gap
from .identity import IdentityMap
from .metrics import displacement_cosine, geodesic_deviation, l2_uvp
from .problems import (
    MapProblem,
    convex_gradient_problem,
    gaussian_problem,
    moons_problem,
    sphere_rotation_problem,
)

__all__ = [
    "IdentityMap",
    "MapComparison",
    "MapProblem",
    "MapReport",
    "MongeGap",
    "PerturbationData",
    "TransportMap",
    "compare_maps",
    "convex_gradient_problem",
    "displacement_cosine",
    "evaluate",
    "gaussian_problem",
    "geodesic_deviation",
    "l2_uvp",
    "load_points",
    "mmd",
    "monge_gap",
    "moons_problem",
    "perturbation_data",
    "sphere_rotation_problem",
]
