"""What a suite is."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.cases import Case


@dataclass(frozen=True)
class Suite:
    """Cases that are run together.

    Parameters
    ----------
    name : str
    description : str
        One line.
    cases : tuple of Case
    repeat : int
        Rounds, unless the command line says otherwise.
    max_seconds : float
        Limit of one run, likewise.
    """

    name: str
    description: str
    cases: tuple[Case, ...]
    repeat: int = 5
    max_seconds: float = 120.0
