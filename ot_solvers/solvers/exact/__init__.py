"""Exact transport: a network simplex, on all pairs or on those that entropic potentials make candidates."""

from .assignment import Assignment
from .choice import ExactAuto
from .crossover import Crossover
from .line import Sorting
from .simplex import Simplex

__all__ = ["Assignment", "Crossover", "ExactAuto", "Simplex", "Sorting"]
