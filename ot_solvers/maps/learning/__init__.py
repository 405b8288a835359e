"""Maps that are networks, fitted to samples; importing it needs torch."""

from .estimator import MongeGapMap
from .network import ResidualMLP

__all__ = ["MongeGapMap", "ResidualMLP"]
