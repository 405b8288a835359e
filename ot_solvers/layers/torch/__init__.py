"""Layers, losses and samplers for PyTorch. Importing this imports torch."""

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
from .routing import Routing, SparseRouter
from .sampling import OTPlanSampler

__all__ = [
    "EMOLoss",
    "FlowPotentials",
    "KappaChoice",
    "OTPlanSampler",
    "Routing",
    "SparseRouter",
    "WeightDiagnostics",
    "choose_kappa",
    "demd",
    "sweep_potentials",
    "wcfm_weights",
    "weight_diagnostics",
]
