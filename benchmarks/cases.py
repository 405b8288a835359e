"""What is measured: a case is one problem, one task and the contenders that do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from .map_problems import GapSpec, MapSpec
from .problems import ProblemSpec
from .tasks import Task


@dataclass(frozen=True)
class Contender:
    """One method of one library in one precision.

    Parameters
    ----------
    name : str
        Unique within its case; also what ``--peers`` matches.
    adapter : str
        ``"module:Class"``, see `adapters.load_adapter`.
    options : mapping
        Given to the adapter.
    dtype : {"float64", "float32"}
    versus : str or None
        The contender of ours it is compared with; ``None`` for ours themselves.
    target : float or None
        The ratio ours / this one should stay under.
    note : str
        One line for the table: what this is, where that matters.
    """

    name: str
    adapter: str
    options: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float64"
    versus: str | None = None
    target: float | None = None
    note: str = ""

    @property
    def ours(self) -> bool:
        """Whether this is `ot_solvers`."""
        return self._library in ("ours", "kernels")

    @property
    def _module(self) -> str:
        return self.adapter.partition(":")[0]

    @property
    def _library(self) -> str:
        """Of the modules of a library's adapters, what comes before the underscore: ``pot``, ``pot_sliced``."""
        return self._module.partition("_")[0]

    def matches(self, patterns: list[str]) -> bool:
        """Whether a name or a library is asked for; shell-style patterns."""
        names = self.name, self._module, self._library
        return any(fnmatchcase(name, p) for name in names for p in patterns)


@dataclass(frozen=True)
class Case:
    """One table of the report.

    Parameters
    ----------
    name : str
        Unique within its suite.
    title : str
    problem : ProblemSpec, MapSpec or GapSpec
        Its dtype is replaced by each contender's.
    task : Task
    contenders : tuple of Contender
    """

    name: str
    title: str
    problem: ProblemSpec | MapSpec | GapSpec
    task: Task
    contenders: tuple[Contender, ...]

    def __post_init__(self):
        names = [c.name for c in self.contenders]
        if len(set(names)) < len(names):
            raise ValueError(f"case {self.name!r}: contender names repeat")
        unknown = {c.versus for c in self.contenders} - set(names) - {None}
        if unknown:
            raise ValueError(f"case {self.name!r}: compared with unknown contenders {sorted(unknown)}")

    def select(self, patterns: list[str] | None) -> Case:
        """Keep ours and the peers that match; all where `patterns` is None."""
        if patterns is None:
            return self
        kept = tuple(c for c in self.contenders if c.ours or c.matches(patterns))
        return replace(self, contenders=kept)

    def as_record(self) -> dict:
        """What a report needs to know, so that old results outlive changes of a suite."""
        return {
            "case": self.name,
            "title": self.title,
            "problem": self.problem.as_record(),
            "task": self.task.as_record(),
            "contenders": [
                {
                    "name": c.name,
                    "dtype": c.dtype,
                    "ours": c.ours,
                    "versus": c.versus,
                    "target": c.target,
                    "note": c.note,
                }
                for c in self.contenders
            ],
        }
