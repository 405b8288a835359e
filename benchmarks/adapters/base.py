"""What a solver must offer to be measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.problems import Problem


@dataclass(frozen=True)
class Setting:
    """When a run stops.

    Parameters
    ----------
    max_iter : int or None
        Iterations at most; ``None`` leaves the library's own limit.
    threshold : float or None
        The library's *own* stopping threshold. ``None``: no stopping test, exactly `max_iter` iterations.
    seed : int
        Of what is random in a run, if anything is.
    """

    max_iter: int | None = None
    threshold: float | None = None
    seed: int = 0

    @property
    def fixed(self) -> bool:
        """Whether the number of iterations is given rather than found."""
        return self.threshold is None

    def as_record(self) -> dict:
        """Plain values for a pipe or a result file."""
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """What a solver returned, in the judge's convention.

    Attributes
    ----------
    f, g : arrays or None, cost units
        ``P_ij = a_i b_j exp((f_i + g_j - C_ij) / eps)``.
    plan : (n, m) array, SciPy sparse array, or None
        For solvers that have no potentials in that convention; with Kantorovich potentials `f` and `g` where exact
        solvers have them.
    values : (k,) array or None
        Optimal costs, where there are many small problems; of sliced distances squared ones, one per direction.
    distance : float or None
        A sliced distance of order 2.
    directions : (L, d) array or None
        Those of `values`, where they are not the ones of the problem.
    images : (k, d) array or None
        Where a map sends the points that are held out.
    iterations : int or None
        Full iterations (both sides updated), as the library counts them.
    claim : bool or None
        Whether the library says that it converged; ``None`` where it says nothing.
    details : dict of numbers or None
        What else is worth a record: counts of inner iterations, parameters that were looked for.
    """

    f: np.ndarray | None = None
    g: np.ndarray | None = None
    plan: np.ndarray | None = None
    values: np.ndarray | None = None
    distance: float | None = None
    directions: np.ndarray | None = None
    images: np.ndarray | None = None
    iterations: int | None = None
    claim: bool | None = None
    details: dict[str, float] | None = None


class Adapter(ABC):
    """One method of one library.

    The order of calls is `prepare`, then `compile` and `run` with the same setting, then `answer`. Only `run`
    is timed. Importing an adapter's module must not import its library: the parent reads the class attributes
    in a process that may not have it.

    Attributes
    ----------
    modules : tuple of str
        Modules that must be importable; the first one is the library.
    knob : {"threshold", "iterations", None}
        What is turned until the *judge* is satisfied: the library's own threshold, or the number of
        iterations where there is no stopping rule, or nothing (exact solvers, and `ot_solvers`, whose
        ``tol`` is already the judge's measure).
    pilot : (int, int)
        Two numbers of iterations; the difference of two such runs tells the time of one iteration, before
        anything is tuned.
    random : bool
        Whether answers depend on the seed of the setting.
    """

    modules: tuple[str, ...] = ()
    knob: str | None = "threshold"
    random: bool = False
    pilot: tuple[int, int] = (20, 80)

    def __init__(self, problem: Problem, threads: int, **options: Any):
        self.problem = problem
        self.threads = threads
        self.options = options

    @classmethod
    def first_threshold(cls, tol: float, shape: tuple[int, int]) -> float:
        """Guess of the library's threshold at which the judge sees an error of `tol`; tuned afterwards."""
        return tol

    @abstractmethod
    def prepare(self) -> None:
        """Import the library and hand it the problem in its own arrays and layout. Not timed."""

    def compile(self, setting: Setting) -> None:  # noqa: B027  (most libraries have nothing to compile)
        """Compile all that ``run(setting)`` needs. Timed apart."""

    @abstractmethod
    def run(self, setting: Setting) -> Any:
        """Solve, and return only when the result is in memory. Timed."""

    @abstractmethod
    def answer(self, raw: Any) -> Answer:
        """Convert what `run` returned to the judge's convention. Not timed."""
