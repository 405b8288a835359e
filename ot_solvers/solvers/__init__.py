"""Algorithms, each written once against the backend's reductions."""

from .base import Solver
from .newton import Newton
from .sinkhorn import Sinkhorn

__all__ = ["Newton", "Sinkhorn", "Solver"]
