"""Transport as PyTorch functions and modules; importing it needs torch (``pip install ot_solvers[torch]``)."""

from .flow import (
    FlowPotentials,
    KappaChoice,
    WeightDiagnostics,
    choose_kappa,
    sweep_potentials,
    wcfm_weights,
    weight_diagnostics,
)
from .language import EMOLoss, demd
from .losses import OTLoss, SinkhornDivergenceLoss
from .matching import MatchingLayer, match
from .routing import Routing, SparseRouter
from .sampling import OTPlanSampler
from .sliced import SlicedWassersteinLoss

__all__ = [
    "EMOLoss",
    "FlowPotentials",
    "KappaChoice",
    "MatchingLayer",
    "OTLoss",
    "OTPlanSampler",
    "Routing",
    "SinkhornDivergenceLoss",
    "SlicedWassersteinLoss",
    "SparseRouter",
    "WeightDiagnostics",
    "choose_kappa",
    "demd",
    "match",
    "sweep_potentials",
    "wcfm_weights",
    "weight_diagnostics",
]
