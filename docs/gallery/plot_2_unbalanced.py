"""
Transport that may leave mass behind
====================================

Two shapes and some strays. Balanced transport has to serve every point, strays included, and bends the whole map
to do so. With a price on missing mass, ``unbalanced=rho``, points that are too far from everything stay where
they are; with ``unbalanced=(inf, rho)`` only targets may be left unserved.
"""

# %%
# The data
# --------
# A disc of points is to become a flower. One in twelve source points lies off to the lower left, one in twelve
# target points to the upper right: noise, another object, a segmentation gone wrong.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection

import ot_solvers as ots

rng = np.random.default_rng(4)
n, strays = 1200, 100


def disc(size, radius, centre=(0.0, 0.0)):
    # Vogel's spiral: evenly spread without being a grid.
    k = np.arange(size) + 0.5
    angle = k * np.pi * (3 - np.sqrt(5))
    return centre + radius * np.sqrt(k / size)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def flower(size, petals=6):
    angle = rng.uniform(0, 2 * np.pi, size)
    depth = np.sqrt(rng.uniform(0.62, 1.0, size))
    radius = depth * (1.05 + 0.28 * np.cos(petals * angle))
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


x = np.concatenate([disc(n - strays, 0.62), disc(strays, 0.2, (-2.35, -1.2))])
y = np.concatenate([flower(n - strays), disc(strays, 0.2, (2.35, 1.25))])

# %%
# Three ways to price what does not fit
# -------------------------------------
# The mass penalty ``rho`` is in the units of the cost, here squared distance: mass moves while that costs less
# than about ``2 rho``. The plan of an unbalanced problem has marginals of its own: ``marginal_a`` is the mass
# that leaves each source point, ``marginal_b`` what arrives at each target.

rho = 0.7
solutions = {
    "balanced": ots.solve_sample(x, y, reg=0.004),
    "both sides may give way": ots.solve_sample(x, y, reg=0.004, unbalanced=rho),
    "every source must go": ots.solve_sample(x, y, reg=0.004, unbalanced=(np.inf, rho)),
}
for name, solution in solutions.items():
    mass = solution.marginal_a.sum()
    print(f"{name:24s} <P, C> = {solution.value_linear:.3f}   mass {mass:.3f}   {solution.status.name}")

# %%
# How much of each part moves, and how much arrives: the strays drop out, the shapes keep most of their mass. (The
# Kullback-Leibler penalty takes a little from everywhere; ``unbalanced_type="tv"`` takes all or nothing.)

shape, stray = slice(None, -strays), slice(-strays, None)
print(f"{'':24s}   disc  its strays   flower  its strays")
for name, solution in solutions.items():
    leaves, arrives = n * solution.marginal_a, n * solution.marginal_b
    shares = leaves[shape].mean(), leaves[stray].mean(), arrives[shape].mean(), arrives[stray].mean()
    print(f"{name:24s}" + "{:7.0%}{:12.0%}{:9.0%}{:12.0%}".format(*shares))

# %%
# The picture
# -----------
# Every source point is drawn with the line to where its mass goes on average, ``barycentric_map()``, as opaque as
# the share of its mass that moves. Rings are points that keep more than half of their mass (coloured, at the
# source) or miss more than half of it (white, at the target).

PAPER, INK, FAINT = "#15161a", "#f2efe9", "#9a948a"
angle = np.arctan2(x[:, 1], x[:, 0])
colours = 0.63 + 0.33 * np.cos(angle[:, None] - np.array([0.2, 2.3, 4.4]))


def panel(axes, title, caption):
    axes.scatter(*y.T, s=4, color=FAINT, linewidths=0, alpha=0.7)
    axes.set_title(title, color=INK, fontsize=15, loc="left", fontweight="bold", x=0.02)
    axes.text(0.02, 0.0, caption, transform=axes.transAxes, color=FAINT, fontsize=11, va="top")
    axes.set(xlim=(-2.75, 2.75), ylim=(-1.5, 1.52), aspect="equal")
    axes.set_axis_off()


figure, grid = plt.subplots(2, 2, figsize=(13, 7.4), facecolor=PAPER)
figure.subplots_adjust(left=0.01, right=0.99, top=0.94, bottom=0.05, wspace=0.02, hspace=0.2)
panel(grid[0, 0], "disc to flower", f"{n} points each, of which {strays} are strays")
grid[0, 0].scatter(*x.T, s=9, c=colours, linewidths=0)
for axes, (name, solution) in zip(grid.flat[1:], solutions.items()):
    image = solution.barycentric_map()
    moved = np.clip(n * solution.marginal_a, 0, 1)
    stay, miss = moved < 0.5, n * solution.marginal_b < 0.5
    mass = solution.marginal_a.sum()
    caption = f"{mass:.0%} of the mass moves; {stay.sum()} sources stay, {miss.sum()} targets are missed"
    panel(axes, name, caption)
    axes.add_collection(
        LineCollection(np.stack([x, image], axis=1), colors=np.c_[colours, 0.5 * moved], linewidths=0.8)
    )
    axes.scatter(*image.T, s=7, c=np.c_[colours, moved], linewidths=0)
    axes.scatter(*x.T, s=4, c=np.c_[colours, 0.2 + 0.6 * moved], linewidths=0)
    axes.scatter(*x[stay].T, s=14, facecolors="none", edgecolors=colours[stay], linewidths=0.7)
    axes.scatter(*y[miss].T, s=14, facecolors="none", edgecolors=INK, linewidths=0.7)
plt.show()
