"""The map of regimes: for each family of problems, the fastest single method over ε and n, and what
``method="auto"`` costs next to it."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from .summary import Table

#: The suite that is drawn as a map, and its contender that chooses; all its others are single methods.
SUITE, AUTO = "regimes", "auto"

#: Blue, orange, green, purple of Okabe and Ito's palette, told apart with any colour vision; grey where no single
#: method arrived.
COLOURS, NOBODY = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7"), "#DDDDDD"


@dataclass(frozen=True)
class Cell:
    """One problem on the map.

    Attributes
    ----------
    family : str
    n : int
    eps : float
        As a fraction of the largest cost.
    winner : str or None
        The fastest single method; None where none reached the tolerance.
    ratio : float or None
        Time of ``"auto"`` over that of the winner; ``inf`` where only auto did not arrive, None without a
        winner.
    """

    family: str
    n: int
    eps: float
    winner: str | None
    ratio: float | None


def is_map(table: Table) -> bool:
    """Whether a table is a place on the map."""
    return table.suite == SUITE


def cells(tables: list[Table]) -> list[Cell]:
    """Places on the map, one per measured problem."""
    return [_cell(table) for table in tables if is_map(table)]


def _cell(table: Table) -> Cell:
    times = {row.name: row.median for row in table.rows if row.status == "ready" and row.values}
    auto = times.pop(AUTO, math.inf)
    winner = min(times, key=times.get, default=None)
    problem = table.case["problem"]
    family = problem["kind"] if problem["cost"] == "W2" else f"{problem['kind']} {problem['cost']}"
    ratio = None if winner is None else auto / times[winner]
    return Cell(family, problem["n"], problem["eps"], winner, ratio)


def summary(cells: list[Cell]) -> str:
    """One line: median and 90th percentile (nearest rank) of the ratios, and what did not arrive."""
    ratios = sorted(cell.ratio for cell in cells if cell.ratio is not None)
    if not ratios:
        return "time(auto) / time(best single method): nothing measured"
    tail = ratios[math.ceil(0.9 * len(ratios)) - 1]
    line = (
        f"time(auto) / time(best single method) over {len(ratios)} problems: "
        f"median {statistics.median(ratios):.2f}, 90th percentile {tail:.2f}, worst {ratios[-1]:.2f}"
    )
    nobody = sum(cell.winner is None for cell in cells)
    return f"{line}; no single method arrived on {nobody}" if nobody else line


def plot(cells: list[Cell], path: Path) -> bool:
    """Draw the map, a panel per family.

    Returns
    -------
    bool
        False, and no file, where there is nothing to draw or matplotlib is not installed.
    """
    if not cells:
        return False
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ImportError:
        return False
    families = list(dict.fromkeys(cell.family for cell in cells))
    fractions = sorted({cell.eps for cell in cells}, reverse=True)
    colours = dict(zip(sorted({c.winner for c in cells if c.winner}, reverse=True), COLOURS))
    columns = min(3, len(families))
    rows = -(-len(families) // columns)
    figure = Figure(figsize=(1.0 + 3.6 * columns, 0.9 + 2.5 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, family in zip(axes, families):
        _panel(axis, family, [cell for cell in cells if cell.family == family], fractions, colours)
    for axis in axes[len(families) :]:
        axis.set_axis_off()
    handles = [Patch(color=colour, label=f"{name} is the fastest") for name, colour in colours.items()]
    if any(cell.winner is None for cell in cells):
        handles.append(Patch(color=NOBODY, label="none arrived"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
    figure.suptitle(summary(cells), fontsize=9)
    figure.savefig(path, dpi=130)
    return True


def _panel(axis, family: str, cells: list[Cell], fractions: list[float], colours: dict[str, str]) -> None:
    from matplotlib.patches import Rectangle

    sizes = sorted({cell.n for cell in cells})
    for cell in cells:
        x, y = fractions.index(cell.eps), sizes.index(cell.n)
        colour = colours.get(cell.winner, NOBODY)
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="white"))
        text = "–" if cell.ratio is None else f"{cell.ratio:.2f}"
        axis.text(x, y, text, ha="center", va="center", fontsize=7)
    axis.set_aspect("equal")
    axis.set_xlim(-0.5, len(fractions) - 0.5)
    axis.set_ylim(-0.5, len(sizes) - 0.5)
    axis.set_xticks(range(len(fractions)), [f"{eps:g}" for eps in fractions])
    axis.set_yticks(range(len(sizes)), [str(n) for n in sizes])
    axis.set_xlabel("ε / max C", fontsize=8)
    axis.set_ylabel("n", fontsize=8)
    axis.set_title(family, fontsize=9, loc="left")
    axis.tick_params(labelsize=7, length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
