"""Couplings that waste no randomness: of minimum entropy, directly or through a code of bounded entropy."""

from .bottleneck import BottleneckCoupling, Code, bottleneck_coupling, entropy_bounded_code
from .greedy import Coupling, minimum_entropy_coupling

__all__ = [
    "BottleneckCoupling",
    "Code",
    "Coupling",
    "bottleneck_coupling",
    "entropy_bounded_code",
    "minimum_entropy_coupling",
]
