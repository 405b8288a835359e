"""How many directions a sliced distance needs: errors of ways to draw them, at equal numbers, over many seeds.

``python -m benchmarks directions`` runs it. No timing: results are the same on a busy machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

import ot_solvers as ots

#: Of directions; the default of the package is where targets are asked for.
NUMBERS = (30, 100, 300, 1000)
DEFAULT = 100
#: Ways to draw directions, and what is known about means over the sphere.
SAMPLINGS = ("random", "orthogonal", "qmc")
CONTROL_VARIATES = (None, "moments", "harmonics")
SEEDS = 200
#: Errors below so many times that of the reference say nothing.
RESOLVED = 4
#: Directions of a reference value: so many independent estimates of so many each. More at a time would let the
#: harmonics go on to degrees of thousands of terms.
PARTS, PART = 40, 20_000


@dataclass(frozen=True)
class Setting:
    """Two clouds, and how many times fewer directions than independent ones are asked for.

    Attributes
    ----------
    name : str
    title : str
    draw : callable
        From a generator to two clouds.
    best : str
        The sampling that the package recommends in this dimension.
    target : float
        Ratio of squared errors at the default number, independent directions over `best`, no control variates.
    """

    name: str
    title: str
    draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    best: str
    target: float

    def clouds(self) -> tuple[np.ndarray, np.ndarray]:
        """The same ones every time."""
        return self.draw(np.random.default_rng([*self.name.encode()]))


def _gaussians(d: int, n: int = 500):
    """Gaussian clouds, neither of them round."""

    def draw(rng: np.random.Generator):
        widths = np.linspace(0.5, 2.0, d)
        return rng.normal(size=(n, d)), rng.normal(size=(n, d)) * widths + 0.5

    return draw


def _clusters(d: int, n: int = 500):
    """Five tight clusters on each side: what a direction sees changes quickly."""

    def draw(rng: np.random.Generator):
        def cloud():
            return rng.normal(size=(5, d))[rng.integers(5, size=n)] + 0.05 * rng.normal(size=(n, d))

        return cloud(), cloud()

    return draw


def _settings() -> Iterator[Setting]:
    for d, best, target in ((3, "qmc", 4.0), (20, "orthogonal", 1.5)):
        for name, law in (("gaussian", _gaussians), ("clusters", _clusters)):
            title = {"gaussian": "Gaussian clouds", "clusters": "clusters"}[name]
            yield Setting(f"{name}-{d}", f"{title}, d = {d}", law(d), best, target)


SETTINGS = tuple(_settings())


# --- measuring ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Errors:
    """Squared errors of one way to draw directions, in one setting.

    Attributes
    ----------
    squares : dict of int to float
        By the number of directions: mean of the squared relative error of the squared distance over seeds. Numbers
        that are too few for the control variate are left out.
    spread : dict of int to float
        Standard error of such a mean.
    """

    sampling: str
    control_variate: str | None
    squares: dict[int, float] = field(default_factory=dict)
    spread: dict[int, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For tables."""
        return self.sampling if self.control_variate is None else f"{self.sampling}, {self.control_variate}"

    @property
    def plain(self) -> bool:
        """Whether there is no control variate."""
        return self.control_variate is None


@dataclass(frozen=True)
class Comparison:
    """All ways to draw directions in one setting.

    Attributes
    ----------
    reference, reference_error : float
        Squared distance over the sphere, and its relative standard error.
    """

    setting: str
    title: str
    seeds: int
    reference: float
    reference_error: float
    best: str
    target: float
    rows: list[Errors]

    def fewer(self, row: Errors, number: int) -> float | None:
        """How many times as many independent directions would be as good; None where the number is too small."""
        (plain,) = (r for r in self.rows if r.sampling == "random" and r.plain)
        if number not in row.squares or number not in plain.squares:
            return None
        return plain.squares[number] / row.squares[number]

    @property
    def reached(self) -> float | None:
        """What stands next to the target."""
        (row,) = (r for r in self.rows if r.sampling == self.best and r.plain)
        return self.fewer(row, DEFAULT)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where its number of directions was not measured."""
        return None if self.reached is None else self.reached >= self.target

    def as_record(self) -> dict:
        """Plain values for a result file."""
        rows = [
            {
                "sampling": row.sampling,
                "control_variate": row.control_variate,
                "numbers": list(row.squares),
                "squares": list(row.squares.values()),
                "spread": list(row.spread.values()),
                "fewer": [self.fewer(row, number) for number in row.squares],
            }
            for row in self.rows
        ]
        own = {k: v for k, v in vars(self).items() if k != "rows"}
        return {**own, "reached": self.reached, "met": self.met, "rows": rows}


@cache
def reference(setting: Setting, parts: int = PARTS, part: int = PART) -> tuple[float, float]:
    """Mean squared distance over the sphere from very many directions, and its standard error.

    By the recommended sampling with harmonics. Seeds are none of those that are measured.
    """
    x, y = setting.clouds()
    means = [
        float(
            ots.sliced_wasserstein(
                x, y, n_projections=part, sampling=setting.best, control_variate="harmonics", seed=10**6 + k
            ).power
        )
        for k in range(parts)
    ]
    return float(np.mean(means)), float(np.std(means, ddof=1) / math.sqrt(parts))


def measure(
    setting: Setting,
    seeds: int = SEEDS,
    numbers: Iterable[int] = NUMBERS,
    step: Callable[[], object] = lambda: None,
) -> Comparison:
    """Draw directions again and again; the clouds stay the same."""
    truth, doubt = reference(setting)
    x, y = setting.clouds()
    rows = []
    for sampling in SAMPLINGS:
        for control in CONTROL_VARIATES:
            row = Errors(sampling, control)
            rows.append(row)
            for number in numbers:
                if control != "harmonics" or number >= fewest(x.shape[1]):
                    squares = np.array(
                        [_error(x, y, number, sampling, control, seed, truth) ** 2 for seed in range(seeds)]
                    )
                    row.squares[number] = float(squares.mean())
                    row.spread[number] = float(squares.std(ddof=1) / math.sqrt(seeds))
                step()
    return Comparison(setting.name, setting.title, seeds, truth, doubt / truth, setting.best, setting.target, rows)


def fewest(d: int) -> int:
    """Directions that harmonics of the lowest degree need: three for each of them."""
    return 3 * d * (d + 1) // 2


def _error(x, y, number: int, sampling: str, control: str | None, seed: int, truth: float) -> float:
    found = ots.sliced_wasserstein(
        x, y, n_projections=number, sampling=sampling, control_variate=control, seed=seed
    )
    return float(found.power) / truth - 1.0


def measured(
    settings: Iterable[Setting], seeds: int, numbers: Iterable[int], step: Callable[[], object]
) -> Iterator[Comparison]:
    """One setting after another."""
    for setting in settings:
        yield measure(setting, seeds, numbers, step)


# --- reporting ------------------------------------------------------------------------------------------------


def markdown(environment: dict, found: list[Comparison]) -> str:
    """The tables."""
    versions = environment["versions"]
    lines = [
        "# Directions of sliced distances",
        "",
        f"numpy {versions['numpy']}, scipy {versions['scipy']}, Python {environment['python']}; "
        f"commit {environment['commit']}; {environment['date']}",
        "",
        "Relative error of the squared distance of order 2, root mean square over seeds, and in brackets how many",
        "times more independent directions would be needed for it: the ratio of squared errors at equal numbers,",
        "where the error of the reference leaves it be. The target is asked of the recommended sampling without",
        f"control variates at {DEFAULT} directions, the default. –: too few directions for the control variate.",
    ]
    for comparison in found:
        numbers = sorted({number for row in comparison.rows for number in row.squares})
        lines += [
            "",
            f"## {comparison.title}",
            "",
            f"Squared distance {comparison.reference:.8g}, relative standard error of this reference "
            f"{comparison.reference_error:.0e}; {comparison.seeds} seeds.",
            "",
            f"| directions | {' | '.join(map(str, numbers))} |",
            "|---|" + "---|" * len(numbers),
        ]
        for row in comparison.rows:
            cells = [_cell(comparison, row, number) for number in numbers]
            lines.append(f"| {row.name} | {' | '.join(cells)} |")
        mark = {True: "met ✓", False: "missed ✗", None: "not measured"}[comparison.met]
        reached = "–" if comparison.reached is None else f"{comparison.reached:.3g}"
        lines += [
            "",
            f"Target: {comparison.best} needs at least {comparison.target:g} times fewer; {reached}, {mark}.",
        ]
    return "\n".join(lines) + "\n"


def _cell(comparison: Comparison, row: Errors, number: int) -> str:
    if number not in row.squares:
        return "–"
    error = math.sqrt(row.squares[number])
    fewer = comparison.fewer(row, number)
    ratio = f" ({fewer:.3g})" if error > RESOLVED * comparison.reference_error else ""
    return f"{error:.1e}{ratio}"


COLOURS = {"random": "#b8b8b8", "orthogonal": "#1b6ca8", "qmc": "#d1495b"}
STYLES = {None: "-", "moments": "--", "harmonics": ":"}


def plot(found: list[Comparison], path: Path) -> bool:
    """Draw errors against numbers of directions, a panel per setting.

    Returns
    -------
    bool
        False, and no file, where there is nothing to draw or matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not found:
        return False
    columns = min(2, len(found))
    height = -(-len(found) // columns)
    figure = Figure(figsize=(4.5 * columns, 3.4 * height + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(height, columns, squeeze=False).ravel()
    for axis, comparison in zip(axes, found):
        for row in comparison.rows:
            errors = [math.sqrt(square) for square in row.squares.values()]
            style = {"color": COLOURS[row.sampling], "linestyle": STYLES[row.control_variate]}
            axis.plot(list(row.squares), errors, marker=".", label=row.name, **style)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(comparison.title, fontsize=9, loc="left")
        axis.set_xlabel("directions", fontsize=8)
        axis.set_ylabel("relative error (root mean square)", fontsize=8)
        axis.tick_params(labelsize=7)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    for axis in axes[len(found) :]:
        axis.set_axis_off()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=7)
    figure.savefig(path, dpi=130)
    return True
