"""Pictures of a fitted map, without pyplot: no windows, no global state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from ot_solvers.maps.pictures import plot_displacements, plot_history

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ot_solvers.maps import MapHistory

SOURCE, TARGET, IMAGE = "#3b6ea5", "#c4c4c4", "#d1603d"


def map_figure(x: np.ndarray, images: np.ndarray, y: np.ndarray, history: MapHistory | None) -> Figure:
    """Where points go on the left, how training went on the right.

    Parameters
    ----------
    x, images : (n, d) arrays
        Points and where they go; beyond two dimensions the first two coordinates are drawn.
    y : (m, d) array
        Target points.
    history : MapHistory, optional
        Of a training; without one there is one picture.

    Returns
    -------
    matplotlib.figure.Figure
    """
    drawn = Figure(figsize=(11 if history else 5.5, 5), layout="constrained")
    axes = drawn.subplots(1, 2 if history else 1, squeeze=False)[0]
    if x.shape[1] == 1:
        _draw_graph(axes[0], x[:, 0], images[:, 0], y[:, 0])
    else:
        plot_displacements(x, images, y, axes[0])
        axes[0].set_title("where points go" + (", first two coordinates" if x.shape[1] > 2 else ""))
    if history:
        plot_history(history, axes[1])
        axes[1].set_title("training")
    return drawn


def _draw_graph(axes: Axes, x: np.ndarray, images: np.ndarray, y: np.ndarray) -> None:
    """A map of the line as the graph of a function, the targets along its axis of images."""
    order = np.argsort(x)
    axes.scatter(np.full(len(y), x.min()), y, s=6, color=TARGET, label="target")
    axes.plot(x[order], images[order], ".-", color=IMAGE, linewidth=1, markersize=3, label="image")
    axes.set(xlabel="source", ylabel="image", title="where points go")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
