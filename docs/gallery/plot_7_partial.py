"""
A shape seen in part, among clutter
===================================

A scan shows two thirds of a shape, turned and shifted, and a hundred points that belong to something else. To lay
the shape over the scan, match the two and move the shape to where its partners are, again and again. Balanced
transport matches everything: the part that is missing with the clutter, and so the shape is dragged away. Partial
transport, ``mass=``, matches as much as there is to match, and picks which.
"""

# %%
# The data
# --------
# Every point counts 1, on both sides: weights are counts, and their sums differ.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection

import ot_solvers as ots

rng = np.random.default_rng(5)


def fish(size):
    """Points of a fish, evenly spread: the plane's most irrational lattice, cut out."""
    k = np.arange(40 * size)
    u = np.stack([(k * 0.7548776662466927) % 1, (k * 0.5698402909980532) % 1], axis=1)
    p = (u - 0.5) * [4.4, 2.4]
    body = ((p[:, 0] - 0.45) / 1.45) ** 2 + (p[:, 1] / 0.72) ** 2 < 1
    tail = (p[:, 0] < -0.75) & (p[:, 0] > -2.0) & (np.abs(p[:, 1]) < 0.12 + 0.62 * np.abs(p[:, 0] + 0.8))
    tail &= p[:, 0] > -2.0 + 0.45 * np.exp(-((p[:, 1] / 0.35) ** 2))
    up = p[:, 1] - 0.6
    fin = (np.abs(p[:, 0] - 0.35 + 0.5 * up) < 0.42 - 0.3 * up) & (p[:, 1] > 0.5) & (p[:, 1] < 1.08)
    eye = ((p - [1.3, 0.18]) ** 2).sum(1) < 0.14**2
    return p[(body | tail | fin) & ~eye][:size]


def turned(points, degrees, shift):
    t = np.deg2rad(degrees)
    return points @ np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]]) + shift


shape = fish(900)
seen = shape[shape @ [1.0, 0.35] > -0.62]
clutter = [0.2, 2.1] + [1.3, 0.35] * rng.normal(size=(100, 2))
scan = np.concatenate([turned(seen + 0.012 * rng.normal(size=seen.shape), 38, [0.75, 0.35]), clutter])
a, b = np.ones(len(shape)), np.ones(len(scan))
print(f"shape {len(shape)} points, scan {len(scan)}, of which {len(clutter)} clutter")

# %%
# Match and move
# --------------
# With the plan come the partners, ``pull``, and how much of each point has one, ``marginal_a``. The best
# rotation and shift are those of Procrustes. Balanced weights have to be rescaled to one sum. Otherwise the rounds
# start with as many matches as there are points in the scan, clutter and all, and go down to 660, a few less than
# are in both.


def laid_over(points, rounds, balanced):
    for round_ in range(rounds):
        if balanced:
            solution = ots.solve_sample(points, scan, a / a.sum(), b / b.sum())
        else:
            mass = max(660.0, len(scan) * 0.985**round_)
            solution = ots.solve_sample(points, scan, a, b, mass=mass)
        partners, weights = solution.pull(scan), solution.marginal_a / solution.marginal_a.sum()
        middle, goal = weights @ points, weights @ partners
        u, _, v = np.linalg.svd((points - middle).T @ (weights[:, None] * (partners - goal)))
        points = (points - middle) @ (u @ np.diag([1.0, np.linalg.det(u @ v)]) @ v) + goal
    return points, solution


results = {"balanced": laid_over(shape, 30, True), "partial": laid_over(shape, 60, False)}
truth = turned(shape, 38, [0.75, 0.35])
for name, (points, solution) in results.items():
    off = np.sqrt(((points - truth) ** 2).sum(1).mean())
    print(f"{name:9s} off by {off:.3f} on average, {solution.method}, gap {abs(solution.gap):.0e}")

# %%
# How much is there to match?
# ---------------------------
# The price of matching one point more is in the potentials: twice their common upper bound. While true partners
# are left it is small, and it jumps where there are none.

points = results["partial"][0]
masses = np.arange(541, 768, 8)
prices = []
for m in masses:
    found = ots.solve_sample(points, scan, a, b, mass=float(m))
    prices.append(2 * max(found.potential_a.max(), found.potential_b.max()))

# %%
# The picture
# -----------
# The shape where each of the two puts it, with lines to its partners; the scan in grey.

PAPER, INK, FAINT = "#15161a", "#f2efe9", "#9a948a"
colours = plt.get_cmap("plasma")(0.25 + 0.7 * (shape[:, 0] - shape[:, 0].min()) / np.ptp(shape[:, 0]))[:, :3]


def panel(axes, title, caption):
    axes.set_title(title, color=INK, fontsize=15, loc="left", fontweight="bold", x=0.02)
    axes.text(0.02, 0.0, caption, transform=axes.transAxes, color=FAINT, fontsize=11, va="top")
    axes.set(xlim=(-3.0, 3.3), ylim=(-1.75, 3.05), aspect="equal")
    axes.set_axis_off()


figure, grid = plt.subplots(2, 2, figsize=(13, 10.4), facecolor=PAPER)
figure.subplots_adjust(left=0.01, right=0.97, top=0.95, bottom=0.07, wspace=0.05, hspace=0.14)
panel(
    grid[0, 0],
    "the shape and the scan",
    f"{len(shape)} points in colour; {len(scan)} in grey, {len(clutter)} of them clutter",
)
grid[0, 0].scatter(*scan.T, s=7, color=FAINT, linewidths=0)
grid[0, 0].scatter(*shape.T, s=8, c=colours, linewidths=0, alpha=0.9)
for axes, (name, (points, solution)) in zip((grid[0, 1], grid[1, 0]), results.items()):
    share = solution.marginal_a / solution.marginal_a.max()
    off = np.sqrt(((points - truth) ** 2).sum(1).mean())
    matched = "all is matched" if name == "balanced" else "660 points are matched, rings are left out"
    panel(axes, name, f"{matched}; off by {off:.3f}")
    axes.scatter(*scan.T, s=7, color=FAINT, linewidths=0)
    lines = np.stack([points, solution.pull(scan)], axis=1)
    axes.add_collection(LineCollection(lines, colors=np.c_[colours, 0.55 * share], linewidths=0.7))
    kept = share > 0.5
    axes.scatter(*points[kept].T, s=8, c=colours[kept], linewidths=0)
    axes.scatter(*points[~kept].T, s=15, facecolors="none", edgecolors=colours[~kept], linewidths=0.7)
axes = grid[1, 1]
axes.set_facecolor(PAPER)
axes.semilogy(masses, prices, color="#f0a04b", linewidth=2.4)
axes.axvline(len(seen), color=FAINT, linewidth=1, linestyle=":")
axes.text(len(seen) - 4, 0.96, f"{len(seen)} points are in both", color=FAINT, fontsize=11, ha="right", va="top",
          transform=axes.get_xaxis_transform())  # fmt: skip
axes.set_title("price of one point more", color=INK, fontsize=15, loc="left", fontweight="bold")
axes.set_xlabel("points to be matched", color=FAINT, fontsize=11)
axes.tick_params(colors=FAINT, which="both")
for spine in axes.spines.values():
    spine.set_color("#3a3b42")
box = axes.get_position()
axes.set_position([box.x0 + 0.05, box.y0 + 0.05, box.width - 0.07, box.height - 0.09])
plt.show()
