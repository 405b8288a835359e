"""The picture of a result file: a panel per case, a bar per contender."""

from __future__ import annotations

from pathlib import Path

from .summary import Row, Table

OURS, PEER, LIMIT = "#1b6ca8", "#b8b8b8", "#d1495b"


def plot(tables: list[Table], path: Path) -> bool:
    """Draw medians with their quartiles on logarithmic axes.

    Returns
    -------
    bool
        False, and no file, where there is nothing to draw or matplotlib is not installed.
    """
    panels = [(table, [row for row in table.rows if (row.median or 0) > 0]) for table in tables]
    panels = [(table, rows) for table, rows in panels if rows]
    if not panels:
        return False
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    heights = [1.2 + 0.3 * len(rows) for _, rows in panels]
    figure = Figure(figsize=(9, sum(heights) + 0.3 * len(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axis, (table, rows) in zip(axes, panels):
        _panel(axis, table, rows)
    figure.savefig(path, dpi=130)
    return True


def _panel(axis, table: Table, rows: list[Row]) -> None:
    rows = sorted(rows, key=lambda row: row.median, reverse=True)
    medians = [row.median for row in rows]
    # A per-iteration figure is a difference: where it is all noise, a quartile may fall below zero.
    lower = [min(row.median, row.median - max(row.iqr[0], 1e-3 * row.median)) for row in rows]
    upper = [max(0.0, row.iqr[1] - row.median) for row in rows]
    axis.barh(
        [f"{row.name} ({row.dtype})" for row in rows],
        medians,
        xerr=[lower, upper],
        color=[_colour(row) for row in rows],
        error_kw={"elinewidth": 1, "capsize": 2},
    )
    for position, row in enumerate(rows):
        ratio = "" if row.ratio is None else f"   ours / this {row.ratio:.2g}"
        axis.annotate(
            f"{row.median:.3g}{ratio}{_mark(row)}",
            (row.iqr[1], position),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axis.set_xscale("log")
    axis.set_xlim(0.5 * min(medians), 12 * max(medians))
    axis.set_title(table.title, fontsize=9, loc="left")
    axis.set_xlabel(table.quantity, fontsize=8)
    axis.tick_params(labelsize=7)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _mark(row: Row) -> str:
    if not row.converged:
        return "   not converged"
    return "   noisy" if row.noisy else ""


def _colour(row: Row) -> str:
    if row.ours:
        return OURS
    return LIMIT if row.name.startswith(("exp-limit", "sort-limit")) else PEER
