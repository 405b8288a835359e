"""
Plans with few entries
======================

An entropic plan sends something of every point everywhere. With a quadratic term, ``ots.Quadratic``, most entries
are exactly zero. ``ots.SparsityConstrained`` says how many may not be: every point has at most k partners. Such
plans can be drawn, read and acted on. What that costs is shown here, too.
"""

# %%
# Six views of one problem
# ------------------------
# Forty points of one Gaussian cloud go to forty of another. The strengths are such that the entropic and the
# quadratic plan cost about the same.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection

import ot_solvers as ots

rng = np.random.default_rng(3)
n = 40
x = rng.normal(size=(n, 2)) * [0.6, 1.0]
y = rng.normal(size=(n, 2)) * [0.4, 1.4] + [5.0, 0.0]

gamma = 40.0
plans = {"entropic": ots.solve_sample(x, y, reg=0.1)}
plans["quadratic"] = ots.solve_sample(x, y, reg=ots.Quadratic(gamma))
for k in (4, 2, 1):
    plans[f"k = {k}"] = ots.solve_sample(x, y, reg=ots.SparsityConstrained(gamma, k, side="rows"))
for name, solution in plans.items():
    entries = (solution.plan > 0).sum()
    print(f"{name:9s} {entries:4} entries, <P, C> = {solution.value_linear:.3f}, gap {abs(solution.gap):.0e}")

# %%
# Lines are entries, as strong as the share of its point that goes there. Of the entropic plan only those above a
# thousandth of a point are drawn. The sixth panel counts: how much of a point is in its largest entries?

PAPER, INK, FAINT, RULE = "#15161a", "#f2efe9", "#9a948a", "#3a3b43"
GOLD, BLUE, ROSE, GREEN, VIOLET = "#e8b04a", "#6fb7e8", "#e07a9a", "#7fc48f", "#a48be8"
colours = {"entropic": FAINT, "quadratic": INK, "k = 4": GREEN, "k = 2": VIOLET, "k = 1": ROSE}
plt.rcParams.update(
    dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), INK)
    | {"xtick.color": FAINT, "ytick.color": FAINT, "axes.edgecolor": RULE, "grid.color": "#2b2c33"}
    | {"figure.facecolor": PAPER, "axes.facecolor": PAPER, "axes.titlelocation": "left", "font.size": 11}
)


def plain(axes):
    axes.grid(linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


figure, panels = plt.subplots(2, 3, figsize=(13, 8.6), layout="constrained")
for axes, (name, solution) in zip(panels.flat, plans.items()):
    share = n * solution.plan
    rows, columns = np.nonzero(share > 1e-3)
    order = np.argsort(share[rows, columns])
    rows, columns = rows[order], columns[order]
    strength = share[rows, columns]
    lines = LineCollection(np.stack([x[rows], y[columns]], axis=1), color=colours[name], linewidths=0.4 + strength)
    lines.set_alpha(np.clip(0.08 + 0.85 * strength, 0, 0.9))
    axes.add_collection(lines)
    axes.scatter(*x.T, s=16, color=BLUE, linewidths=0, zorder=3)
    axes.scatter(*y.T, s=16, color=GOLD, linewidths=0, zorder=3)
    axes.set_title(name, fontsize=15, fontweight="bold")
    count = f"{np.count_nonzero(solution.plan)} entries"
    axes.text(0, -0.01, count, transform=axes.transAxes, color=FAINT, va="top")
    axes.set_aspect("equal")
    axes.set_axis_off()
axes = panels[1, 2]
plain(axes)
for name, solution in plans.items():
    held = np.cumsum(-np.sort(-n * solution.plan, axis=1), axis=1).mean(axis=0)
    shown = np.arange(1, n + 1) <= np.count_nonzero(solution.plan, axis=1).max()
    axes.plot(np.arange(1, n + 1)[shown], held[shown], "o-", markersize=3.5, color=colours[name])
    axes.annotate(name, (np.flatnonzero(shown)[-1] + 1, 1.0), xytext=(0, 6), textcoords="offset points",
                  color=colours[name], ha="right" if name == "entropic" else "center", fontsize=10)  # fmt: skip
axes.set(xscale="log", xlim=(0.8, 48), ylim=(0.15, 1.09))
axes.set(xlabel="largest entries of a point", ylabel="share of its mass")
axes.set_xticks([1, 2, 4, 10, 40], ["1", "2", "4", "10", "40"])
axes.minorticks_off()
plt.show()

# %%
# What few entries cost
# ---------------------
# A larger ``gamma`` spreads every point over more partners, as far as k allows. The plan costs more than the exact
# one, and its map is smoother: here, how far ``barycentric_map`` moves when the points move a little, relative to
# that. Limits work against it. With one partner each the map jumps whenever partners change, and a limit that is
# far below what the quadratic plan would use does not help: the problem is no longer convex, and slightly
# different points may have a very different best plan. Where the limit is about the number of entries that the
# quadratic plan has anyway, it costs next to nothing.

n = 34
x, y = x[:n], y[:n]
moves = 0.01 * rng.normal(size=(3, n, 2))
exact = float(ots.solve_sample(x, y))
gammas = np.geomspace(1, 100, 5)
limits = {"k = 1": 1, "k = 2": 2, "k = 4": 4, "quadratic": n}
entries, excess, change = {}, {}, {}
for name, k in limits.items():
    entries[name], excess[name], change[name] = [], [], []
    for gamma in gammas:
        reg = ots.SparsityConstrained(gamma, k, side="rows")
        solution = ots.solve_sample(x, y, reg=reg)
        here = solution.barycentric_map()
        moved = [ots.solve_sample(x + move, y, reg=reg).barycentric_map() - here for move in moves]
        entries[name].append(np.count_nonzero(solution.plan) / n)
        excess[name].append(solution.value_linear - exact)
        change[name].append(np.sqrt(np.square(moved).sum() / np.square(moves).sum()))

# %%

figure, panels = plt.subplots(1, 3, figsize=(13, 4.3), layout="constrained")
parts = [
    (entries, "entries per point"),
    (excess, "<P, C> above the exact cost"),
    (change, "change of the map / of the points"),
]
for axes, (values, title) in zip(panels, parts):
    plain(axes)
    for name in limits:
        axes.plot(gammas, values[name], "o-", color=colours[name], linewidth=2, markersize=5, label=name)
    axes.set_title(title, fontsize=13)
    axes.set(xscale="log", xlabel="gamma", yscale="linear" if values is excess else "log")
    axes.xaxis.set_major_formatter("{x:g}")
    if values is not excess:
        axes.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
        axes.minorticks_off()
panels[0].legend(frameon=False, labelcolor="linecolor")
plt.show()

# %%
# Colours from two partners
# -------------------------
# Two photographs, 120 pixels drawn from each, all of the same mass. The map that comes with a plan recolours all
# others. An average of many colours is dull: the entropic map has lost about a fifth of the palette's chroma. One
# partner each takes every colour as it is, in patches. The quadratic plan, and two partners, are in between.

from sklearn.datasets import load_sample_images

from ot_solvers.commands.colour import lab_to_srgb, srgb_to_lab

photograph, palette = (image[::2, ::2] / 255 for image in load_sample_images().images)
pixels, reference = srgb_to_lab(photograph).reshape(-1, 3), srgb_to_lab(palette).reshape(-1, 3)
drawn = pixels[rng.choice(len(pixels), 120, replace=False)]
wanted = reference[rng.choice(len(reference), 120, replace=False)]

regs = {"entropic": ots.Entropic(0.1, "mean"), "quadratic": ots.Quadratic(60.0, "mean")}
for k in (2, 1):
    regs[f"k = {k}"] = ots.SparsityConstrained(60.0, k, side="rows", relative_to="mean")
pictures = {"photograph": photograph, "palette": palette}
for name, reg in regs.items():
    solution = ots.solve_sample(drawn, wanted, reg=reg)
    recoloured = solution.transport(pixels)
    print(f"{name:9s} chroma {np.linalg.norm(recoloured[:, 1:], axis=1).mean():.1f}")
    pictures[name] = lab_to_srgb(recoloured).reshape(photograph.shape)
print(f"palette   chroma {np.linalg.norm(wanted[:, 1:], axis=1).mean():.1f}")

# %%

figure, panels = plt.subplots(2, 3, figsize=(13, 6.2), layout="constrained")
for axes, (name, picture) in zip(panels.flat, pictures.items()):
    axes.imshow(picture, interpolation="lanczos")
    axes.set_title(name, fontsize=14, fontweight="bold")
    axes.set_axis_off()
plt.show()
