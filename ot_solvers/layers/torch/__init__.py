"""Transport as PyTorch functions and modules; importing it needs torch (``pip install ot_solvers[torch]``)."""

from .losses import OTLoss, SinkhornDivergenceLoss
from .matching import MatchingLayer, match

__all__ = ["MatchingLayer", "OTLoss", "SinkhornDivergenceLoss", "match"]
