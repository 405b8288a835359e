"""Pictures of a solution, without pyplot: no windows, no global state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ot_solvers import Solution

SOURCE, TARGET, LINK = "#c8553d", "#2a6f97", "#5c5c66"
MOST_PAIRS_FOR_LINES = 1_000_000  # beyond, the strongest links no longer tell the story
MOST_LINES = 2000
MOST_ARROWS = 500
MOST_MARKERS = 5000
MOST_PIXELS = 400


def solution_figure(
    solution: Solution,
    x: np.ndarray | None,
    y: np.ndarray | None,
    tol: float,
) -> Figure:
    """The plan on the left, the convergence on the right.

    Parameters
    ----------
    solution : Solution, shape (n, m)
    x, y : (n, d) and (m, d) arrays, optional
        Points; beyond two dimensions their principal plane is drawn. Without points: the plan as a matrix.
    tol : float
        Drawn across the convergence.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    if x is None or y is None:
        _draw_matrix(left, solution)
    else:
        _draw_points(left, solution, *_plane(x, y))
    _draw_convergence(right, solution, tol)
    return figure


def _plane(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Origin and axes, (d,) and (d, 2), of the plane to draw in, and the points in it."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    d = x.shape[1]
    if d <= 2:
        origin, axes = np.zeros(d), np.eye(d, 2)
    else:
        origin = (x.mean(0) + y.mean(0)) / 2
        moment = np.cov(x, rowvar=False) + np.cov(y, rowvar=False) + np.outer(*(2 * [x.mean(0) - y.mean(0)]))
        axes = np.linalg.eigh(moment)[1][:, :-3:-1]
    u, v = (x - origin) @ axes, (y - origin) @ axes
    if d == 1:  # two parallel lines
        v = v + np.array([0.0, 1.0])
    return u, v, origin, axes


def _draw_points(axes: Axes, solution: Solution, u: np.ndarray, v: np.ndarray, origin: np.ndarray, plane) -> None:
    n, m = len(u), len(v)
    if n * m <= MOST_PAIRS_FOR_LINES:
        plan = solution.sparse_plan(mass=0.99).tocoo()
        strongest = np.argsort(-plan.data, kind="stable")[:MOST_LINES]
        i, j, mass = plan.row[strongest], plan.col[strongest], plan.data[strongest]
        opacity = mass / mass.max() if mass.size and mass.max() > 0 else np.ones_like(mass)
        segments = list(np.stack([u[i], v[j]], axis=1))
        title = "strongest pairs of the plan"
    else:
        i = np.unique(np.linspace(0, n - 1, MOST_ARROWS).astype(int))
        image = (np.asarray(solution.barycentric_map(), dtype=float)[i] - origin) @ plane
        if plane.shape[0] == 1:
            image = image + np.array([0.0, 1.0])
        segments, opacity, title = (
            list(np.stack([u[i], image], axis=1)),
            np.full(len(i), 0.6),
            "barycentric map",
        )
    axes.add_collection(LineCollection(segments, colors=LINK, alpha=0.6 * opacity, linewidths=0.7, zorder=1))
    for points, colour, label in ((u, SOURCE, "x"), (v, TARGET, "y")):
        shown = points[:: -(-len(points) // MOST_MARKERS)]
        size = float(np.clip(3000 / len(shown), 2, 30))
        axes.scatter(shown[:, 0], shown[:, 1], s=size, color=colour, label=label, zorder=2, linewidths=0)
    axes.legend(frameon=False, markerscale=(30 / size) ** 0.5)
    axes.set_title(title)
    if plane.shape[0] == 1:
        axes.set_yticks([])
    else:
        axes.set_aspect("equal", adjustable="datalim")
    if plane.shape[0] > 2:
        axes.set(xlabel="first principal axis", ylabel="second principal axis")


def _draw_matrix(axes: Axes, solution: Solution) -> None:
    plan = solution.sparse_plan().tocoo()
    n, m = plan.shape
    rows, columns = -(-n // MOST_PIXELS), -(-m // MOST_PIXELS)  # entries per pixel, rounded up
    pixels = np.zeros((-(-n // rows), -(-m // columns)))
    np.add.at(pixels, (plan.row // rows, plan.col // columns), plan.data)
    image = axes.imshow(
        np.sqrt(pixels),
        extent=(-0.5, m - 0.5, n - 0.5, -0.5),
        cmap="magma",
        aspect="auto",
        interpolation="nearest",
    )
    axes.figure.colorbar(image, ax=axes, label="square root of the mass")
    axes.set(title="plan", xlabel="column", ylabel="row")


def _draw_convergence(axes: Axes, solution: Solution, tol: float) -> None:
    steps = [(each.iteration, each.marginal_error, each.reg) for each in solution.history]
    shown = np.array([step for step in steps if np.isfinite(step[1]) and step[1] > 0]).reshape(-1, 3)
    final = shown[:, 2] <= solution.reg * (1 + 1e-9)
    for part, colour, style, label in (
        (~final, LINK, ".", "larger reg, on the way"),
        (final, SOURCE, ".-" if final.sum() < 60 else "-", "reg as asked for"),
    ):
        if part.any():
            axes.semilogy(*shown[part, :2].T, style, color=colour, label=label)
    if shown.size:
        axes.legend(frameon=False)
    if tol > 0:
        axes.axhline(tol, color=LINK, linestyle="--", linewidth=1)
        axes.annotate("tol", (0.01, tol), xycoords=("axes fraction", "data"), va="bottom", color=LINK)
        axes.set_yscale("log")
    axes.set(title="convergence", xlabel="passes over the cost", ylabel="marginal error")
    axes.grid(alpha=0.25)
