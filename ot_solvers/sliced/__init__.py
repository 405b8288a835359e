"""Transport along lines: exact in one dimension, and what many directions say about several."""

from .distance import SlicedDistance, SlicedProgress, sliced_wasserstein
from .line import LineTransport, wasserstein_1d
from .maximal import MaxSlicedDistance, max_sliced_wasserstein
from .plans import SlicedPlan, sliced_plan

__all__ = [
    "LineTransport",
    "MaxSlicedDistance",
    "SlicedDistance",
    "SlicedPlan",
    "SlicedProgress",
    "max_sliced_wasserstein",
    "sliced_plan",
    "sliced_wasserstein",
    "wasserstein_1d",
]
