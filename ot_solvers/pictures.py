"""Pictures of solutions (matplotlib, imported when drawn)."""

from __future__ import annotations

import numpy as np

__all__ = ["plot_solution"]

#: Largest side of the picture of a plan; larger plans are summed into this many bins.
_PIXELS = 400


def plan_image(solution) -> np.ndarray:
    """The plan, summed into at most `_PIXELS` bins a side."""
    n, m = solution.shape
    if n <= _PIXELS and m <= _PIXELS:
        return solution._problem.mass * solution._plan.rows(0, n)
    rows = (np.arange(n) * min(n, _PIXELS)) // n
    columns = (np.arange(m) * min(m, _PIXELS)) // m
    indicator = np.zeros((m, columns[-1] + 1))
    indicator[np.arange(m), columns] = 1.0
    summed = solution._product(solution._plan, indicator)
    image = np.zeros((rows[-1] + 1, columns[-1] + 1))
    np.add.at(image, rows, summed)
    return image


def plot_solution(solution, axes=None):
    """Plan on the left, marginal error against passes on the right."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import PowerNorm

    if axes is None:
        figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    left, right = axes
    figure = left.figure
    image = plan_image(solution)
    shown = left.imshow(image, norm=PowerNorm(0.4), cmap="magma_r", aspect="auto", interpolation="nearest")
    left.set(xlabel="target index", ylabel="source index", title="transport plan")
    figure.colorbar(shown, ax=left, label="mass")
    errors = np.array([p.marginal_error for p in solution.history])
    levels = np.array([p.reg for p in solution.history])
    passes = np.arange(1, errors.size + 1)
    right.semilogy(passes, np.maximum(errors, 1e-17), color="#0072B2", lw=1.6)
    scaling = levels > solution.reg * (1 + 1e-9)
    if scaling.any():
        right.axvspan(0.5, scaling.sum() + 0.5, color="#E69F00", alpha=0.18, label="eps-scaling")
        right.legend(frameon=False)
    right.set(xlabel="passes over the cost", ylabel="marginal error", title=f"{solution.status.name.lower()}")
    right.grid(alpha=0.3)
    return figure
