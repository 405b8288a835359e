"""Several maps, one table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import validation as check
from .evaluation import FIGURES, MapReport, evaluate, function_of, shown
from .identity import IdentityMap
from .problems import MapProblem

__all__ = ["ComparedMap", "MapComparison", "compare_maps"]


@dataclass(frozen=True)
class ComparedMap:
    """One row of a comparison.

    Attributes
    ----------
    name : str
    transport_map : object
        The map, fitted.
    fit_seconds : float or None
        None for maps that came fitted.
    transform_seconds : float
        For the held-out points.
    report : MapReport
    """

    name: str
    transport_map: Any
    fit_seconds: float | None
    transform_seconds: float
    report: MapReport


class MapComparison(Mapping[str, MapReport]):
    """Reports of several maps on the same points, by name; ``print`` it for a table.

    Attributes
    ----------
    title : str
    entries : tuple of ComparedMap
    """

    def __init__(self, title: str, entries: tuple[ComparedMap, ...]):
        self.title, self.entries = title, entries

    def __getitem__(self, name: str) -> MapReport:
        for entry in self.entries:
            if entry.name == name:
                return entry.report
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (entry.name for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict per map: its name, seconds and all figures of its report, for a data frame or a file."""
        return [
            {
                "map": entry.name,
                **entry.report.as_dict(),
                "fit_seconds": entry.fit_seconds,
                "transform_seconds": entry.transform_seconds,
            }
            for entry in self.entries
        ]

    def to_markdown(self) -> str:
        """The table in Markdown."""
        head, *body = self._cells()
        rule = ["---", *["---:"] * (len(head) - 1)]
        escaped = ([cell.replace("|", "\\|") for cell in row] for row in (head, rule, *body))
        return "\n".join(f"| {' | '.join(row)} |" for row in escaped)

    def __str__(self) -> str:
        table = self._cells()
        widths = [max(len(cell) for cell in column) for column in zip(*table)]
        lines = [
            "  ".join(cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths)))
            for row in table
        ]
        return "\n".join([self.title, *(f"  {line}".rstrip() for line in lines)])

    __repr__ = __str__

    def _cells(self) -> list[list[str]]:
        """Text of all cells, headings first; without the figures that no map has."""
        known = {
            name: figure
            for name, figure in FIGURES.items()
            if any(getattr(entry.report, name) is not None for entry in self.entries)
        }
        table = [["map", *(figure.heading for figure in known.values()), "fit s"]]
        for entry in self.entries:
            seconds = "–" if entry.fit_seconds is None else f"{entry.fit_seconds:.3g}"
            figures = (shown(getattr(entry.report, name), figure) for name, figure in known.items())
            table.append([entry.name, *figures, seconds])
        return table


def compare_maps(
    maps: Mapping[str, Any],
    data: Any,
    held_out: Any = None,
    *,
    n: int = 2000,
    n_held_out: int = 1000,
    seed: int = 0,
    truth: Any = None,
    cost: Any = None,
    baselines: bool = True,
) -> MapComparison:
    """Fit maps to the same samples and judge them on the same held-out points.

    Parameters
    ----------
    maps : dict of str to map
        Anything with ``fit(x, y)`` and ``transform(x)``. What is fitted already, as attributes whose names end
        with an underscore say, is not fitted again; others are fitted in place. What has no ``fit``, and functions
        of points, are taken as they are.
    data : MapProblem or (x, y)
        A problem to draw samples from, or the samples (n, d) and (m, d) to fit to.
    held_out : (x, y), optional
        Samples to judge by; for a `MapProblem` they are drawn.
    n, n_held_out : int
        Points of each sample to fit to and to judge by, for a `MapProblem`.
    seed : int
        Of these samples.
    truth : (k, d) array or callable, optional
        The right images of the held-out points, or the map that gives them; problems bring their own.
    cost : str or Cost, optional
        Ground cost of divergence and gap, one for all maps: by default that of the problem, or
        ``"sqeuclidean"``.
    baselines : bool
        Whether an `IdentityMap` heads the table, and the right images, where they are known, close it: what
        figures are without a map, and what they are at best for samples of this size.

    Returns
    -------
    MapComparison

    Raises
    ------
    ValueError, TypeError
        For bad input, naming the argument; maps raise what they raise.

    Examples
    --------
    >>> import ot_solvers as ots
    >>> class Halves:
    ...     def fit(self, x, y):
    ...         self.mean_ = y.mean(axis=0)
    ...         return self
    ...
    ...     def transform(self, x):
    ...         return (x + self.mean_) / 2
    >>> problem = ots.maps.gaussian_problem(2)
    >>> table = ots.maps.compare_maps({"halves": Halves()}, problem, n=500, n_held_out=200)
    >>> list(table), table["halves"].l2_uvp < table["identity"].l2_uvp
    (['identity', 'halves', 'truth'], True)
    """
    right: Any
    if isinstance(data, MapProblem):
        if held_out is not None:
            raise ValueError("held_out is for samples; from a MapProblem held-out points are drawn")
        start = check.count(seed, "seed", 0)
        check.count(n_held_out, "n_held_out")
        x, y = data.sample(check.count(n, "n"), np.random.default_rng([start, 0]))
        title = f"{data.name}: {n} points to fit to, {n_held_out} held out"
        problem: Any = data
        ground = data.cost if cost is None else cost
        right = data.true_map
    else:
        if held_out is None:
            raise ValueError("held_out is missing: maps are not judged by the points they were fitted to")
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise TypeError(f"data is a {type(data).__name__}; expected a MapProblem, or two samples (x, y)")
        if not isinstance(held_out, (tuple, list)) or len(held_out) != 2:
            raise TypeError(f"held_out is a {type(held_out).__name__}; expected two samples (x, y)")
        x, y = data
        problem, start = held_out, 0
        title = f"{len(x)} points to fit to, {len(held_out[0])} held out"
        ground = "sqeuclidean" if cost is None else cost
        right = truth if truth is None or callable(truth) else _Constant(truth)
    check.read_cost(ground)
    entries = []
    for name, transport_map in _named(maps, baselines, right).items():
        seconds = None
        if not _fitted(transport_map):
            before = time.perf_counter()
            transport_map.fit(x, y)
            seconds = time.perf_counter() - before
        timed = _Timed(function_of(transport_map, f"maps[{name!r}]"))
        report = evaluate(
            timed, problem, n=n_held_out, seed=np.random.default_rng([start, 1]), truth=truth, cost=ground
        )
        entries.append(ComparedMap(name, transport_map, seconds, timed.seconds, report))
    return MapComparison(title, tuple(entries))


class _Timed:
    """A map that looks at the clock."""

    seconds = 0.0

    def __init__(self, move):
        self.move = move

    def __call__(self, x):
        before = time.perf_counter()
        images = self.move(x)
        self.seconds = time.perf_counter() - before
        return images


class _Constant:
    """Known images as a function."""

    def __init__(self, images):
        self.images = images

    def __call__(self, x):
        return self.images


def _named(maps: Any, baselines: bool, right: Any) -> dict[str, Any]:
    """Checked maps by name, between the identity and the right one."""
    if not isinstance(maps, Mapping):
        raise TypeError(f"maps is a {type(maps).__name__}; expected a dict of names and maps")
    found: dict[str, Any] = {"identity": IdentityMap()} if baselines else {}
    for name, transport_map in maps.items():
        if not isinstance(name, str):
            raise TypeError(f"maps has the key {name!r}; expected names")
        function_of(transport_map, f"maps[{name!r}]")
        found[name] = transport_map
    if baselines and right is not None:
        found.setdefault("truth", right)
    if not found:
        raise ValueError("maps is empty; expected at least one map")
    return found


def _fitted(transport_map: Any) -> bool:
    """Whether it has learned something, in attributes that end with an underscore, or has nothing to learn."""
    if not callable(getattr(transport_map, "fit", None)):
        return True
    names = getattr(transport_map, "__dict__", {})
    return any(name.endswith("_") and not name.startswith("_") for name in names)
