"""Pictures of maps: where points go, and how training went (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..validation import points

if TYPE_CHECKING:
    from .history import MapHistory

__all__ = ["plot_displacements", "plot_history"]

SOURCE, TARGET, IMAGE = "#3b6ea5", "#c4c4c4", "#d1603d"
#: Arrows in one picture at most.
ARROWS = 200


def plot_history(history: MapHistory, axes: Any = None) -> Any:
    """Fit and gap over the steps of a training, and both on points held out.

    Parameters
    ----------
    history : MapHistory
    axes : matplotlib axes, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = _axes(axes, (6.4, 4.0))
    steps = [record.step for record in history]
    axes.plot(steps, [record.fit for record in history], color=SOURCE, alpha=0.45, linewidth=1, label="fit")
    with_gap = [record for record in history if record.gap is not None]
    if with_gap:
        axes.plot(
            [record.step for record in with_gap], [record.gap for record in with_gap], color=IMAGE, alpha=0.45,
            linewidth=1, label="gap",
        )  # fmt: skip
    held_out = [record for record in history if record.validation_fit is not None]
    for field, color in (("validation_fit", SOURCE), ("validation_gap", IMAGE)):
        known = [
            (record.step, getattr(record, field)) for record in held_out if getattr(record, field) is not None
        ]
        if known:
            axes.plot(*zip(*known), color=color, marker="o", markersize=3, label=field.replace("_", ": "))
    axes.set_yscale("symlog", linthresh=_smallest(history))
    axes.set_xlabel("steps")
    axes.set_ylabel("cost units")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _smallest(history: MapHistory) -> float:
    """Where a logarithmic axis becomes linear: below nearly all values, above noise of both signs."""
    values = np.abs([record.fit for record in history] + [record.gap for record in history if record.gap])
    values = values[values > 0]
    noise = 2 * max([-record.fit for record in history], default=0.0)
    return max(float(np.quantile(values, 0.1)), noise, 1e-12) if values.size else 1.0


def plot_displacements(x: Any, images: Any, y: Any = None, axes: Any = None) -> Any:
    """Arrows from points to their images, in the first two coordinates.

    Parameters
    ----------
    x, images : (n, d) arrays
    y : (m, d) array, optional
        Target points, drawn behind.
    axes : matplotlib axes, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For points of one coordinate.
    """
    first, second = points(x, "x"), points(images, "images")
    if first.shape[1] < 2:
        raise ValueError(f"x has shape {first.shape}; arrows need at least two coordinates")
    figure, axes = _axes(axes, (5.4, 5.4))
    if y is not None:
        axes.scatter(*points(y, "y")[:, :2].T, s=6, color=TARGET, label="target", zorder=1)
    axes.scatter(*first[:, :2].T, s=6, color=SOURCE, label="source", zorder=2)
    axes.scatter(*second[:, :2].T, s=6, color=IMAGE, label="image", zorder=3)
    some = _spread(len(first))
    moved = (second - first)[some]
    axes.quiver(
        first[some, 0], first[some, 1], moved[:, 0], moved[:, 1], angles="xy", scale_units="xy", scale=1,
        width=0.0025, color="#555555", alpha=0.6, zorder=2,
    )  # fmt: skip
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="best")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _spread(n: int) -> Sequence[int]:
    """At most `ARROWS` indices, evenly."""
    return range(0, n, max(1, -(-n // ARROWS)))


def _axes(axes: Any, size: tuple[float, float]) -> tuple[Any, Any]:
    """The figure and the axes to draw on."""
    if axes is None:
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(figsize=size, layout="constrained")
    return axes.figure, axes
