"""Algorithms, each written once against the backend's reductions."""

from .base import Solver
from .exact import Assignment, Crossover, Simplex, Sorting
from .newton import Newton
from .sinkhorn import Sinkhorn
from .sns import SNS

__all__ = ["SNS", "Assignment", "Crossover", "Newton", "Simplex", "Sinkhorn", "Solver", "Sorting"]
