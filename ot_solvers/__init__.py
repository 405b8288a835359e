"""Optimal transport solvers that are right, fast and pleasant.

Start with `solve_sample` (two point clouds), `solve` (a cost matrix) or `solve_grid` (two images).
"""

from typing import TYPE_CHECKING, Any

from . import costs, couplings, statistics
from . import geometry as geometry
from ._version import __version__
from .api import solve, solve_grid, solve_sample
from .batch import BatchProgress, solve_batch, solve_sample_batch
from .batch_solution import BatchSolution
from .divergence import DivergenceResult, sinkhorn_divergence
from .errors import (
    ConvergenceError,
    ConvergenceWarning,
    DegenerateLimitWarning,
    InfeasibleError,
    NotFittedError,
    PerformanceWarning,
    UnsupportedError,
)
from .matching import Assigned, assignment_from
from .pairwise import PairwiseProgress, pairwise_wasserstein
from .path import solve_path
from .regularisers import Entropic, Quadratic, SparsityConstrained
from .result import Solution
from .sliced import (
    LineTransport,
    MaxSlicedDistance,
    SlicedDistance,
    SlicedPlan,
    SlicedProgress,
    max_sliced_wasserstein,
    sliced_plan,
    sliced_wasserstein,
    wasserstein_1d,
)
from .solvers import (
    SNS,
    Assignment,
    Crossover,
    Newton,
    SemiDualAscent,
    SemismoothNewton,
    Simplex,
    Sinkhorn,
    Sorting,
)
from .statistics import DependencyResult, dependency
from .status import Progress, Status
from .threads import get_num_threads, set_num_threads
from .wasserstein import WassersteinDistance, wasserstein

if TYPE_CHECKING:
    from . import maps, shapes

__all__ = [
    "SNS",
    "Assigned",
    "Assignment",
    "BatchProgress",
    "BatchSolution",
    "ConvergenceError",
    "ConvergenceWarning",
    "Crossover",
    "DegenerateLimitWarning",
    "DependencyResult",
    "DivergenceResult",
    "Entropic",
    "InfeasibleError",
    "LineTransport",
    "MaxSlicedDistance",
    "Newton",
    "NotFittedError",
    "PairwiseProgress",
    "PerformanceWarning",
    "Progress",
    "Quadratic",
    "SemiDualAscent",
    "SemismoothNewton",
    "Simplex",
    "Sinkhorn",
    "SlicedDistance",
    "SlicedPlan",
    "SlicedProgress",
    "Solution",
    "Sorting",
    "SparsityConstrained",
    "Status",
    "UnsupportedError",
    "WassersteinDistance",
    "__version__",
    "assignment_from",
    "costs",
    "couplings",
    "dependency",
    "geometry",
    "get_num_threads",
    "maps",
    "max_sliced_wasserstein",
    "pairwise_wasserstein",
    "set_num_threads",
    "shapes",
    "sinkhorn_divergence",
    "sliced_plan",
    "sliced_wasserstein",
    "solve",
    "solve_batch",
    "solve_grid",
    "solve_path",
    "solve_sample",
    "solve_sample_batch",
    "statistics",
    "wasserstein",
    "wasserstein_1d",
]


def __getattr__(name: str) -> Any:
    # They take as long to import as everything else.
    if name in ("maps", "shapes"):
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
