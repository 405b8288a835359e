"""Statistics of transport distances: sampling errors, two-sample tests, dependence."""

from .dependence import DependencyResult, dependency
from .intervals import confidence_interval, standard_error
from .permutation import PermutationProgress, PermutationTest
from .two_sample import TwoSampleResult, two_sample_test

__all__ = [
    "DependencyResult",
    "PermutationProgress",
    "PermutationTest",
    "TwoSampleResult",
    "confidence_interval",
    "dependency",
    "standard_error",
    "two_sample_test",
]
