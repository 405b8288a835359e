"""Algorithms, each written once against the backend's reductions."""

from .base import Solver
from .sinkhorn import Sinkhorn

__all__ = ["Sinkhorn", "Solver"]
