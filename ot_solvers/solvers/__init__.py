"""Algorithms, each written once against the backend's reductions."""

from .base import Solver
from .exact import Assignment, Crossover, Simplex, Sorting
from .newton import Newton
from .quadratic import SemiDualAscent, SemismoothNewton
from .sinkhorn import Sinkhorn
from .sns import SNS

__all__ = [
    "SNS",
    "Assignment",
    "Crossover",
    "Newton",
    "SemiDualAscent",
    "SemismoothNewton",
    "Simplex",
    "Sinkhorn",
    "Solver",
    "Sorting",
]
