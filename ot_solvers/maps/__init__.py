"""Transport maps that move new points: closed forms, entropic maps and networks fitted with the Monge gap."""

from typing import TYPE_CHECKING, Any

from .base import TransportMap
from .comparison import MapComparison, compare_maps
from .datasets import PerturbationData, load_points, perturbation_data
from .discrepancy import mmd
from .entropic import EntropicMap
from .evaluation import MapReport, evaluate
from .files import load
from .gap import MongeGap, monge_gap
from .history import FitStatus, MapHistory, MapProgress
from .identity import IdentityMap
from .linear import LinearMap
from .metrics import displacement_cosine, geodesic_deviation, l2_uvp
from .problems import (
    MapProblem,
    convex_gradient_problem,
    gaussian_problem,
    moons_problem,
    sphere_rotation_problem,
)

if TYPE_CHECKING:
    from .learning import MongeGapMap, ResidualMLP

__all__ = [
    "EntropicMap",
    "FitStatus",
    "IdentityMap",
    "LinearMap",
    "MapComparison",
    "MapHistory",
    "MapProblem",
    "MapProgress",
    "MapReport",
    "MongeGap",
    "MongeGapMap",
    "PerturbationData",
    "ResidualMLP",
    "TransportMap",
    "compare_maps",
    "convex_gradient_problem",
    "displacement_cosine",
    "evaluate",
    "gaussian_problem",
    "geodesic_deviation",
    "l2_uvp",
    "load",
    "load_points",
    "mmd",
    "monge_gap",
    "moons_problem",
    "perturbation_data",
    "sphere_rotation_problem",
]


def __getattr__(name: str) -> Any:
    # Networks need torch, which nothing else here does.
    if name in ("MongeGapMap", "ResidualMLP"):
        from importlib import import_module

        return getattr(import_module(".learning", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
