"""
Distances with a certificate
============================

Without ``reg`` transport is exact: the plan is optimal, and potentials prove it. A plan between n and m points
then has at most n + m - 1 entries; between as many points of equal weight it is a one-to-one matching.
"""

# %%
# A matching one can see
# ----------------------
# Two thousand points of a galaxy are to become a ring, with as little squared distance as possible. Lines join
# what the plan joins: they hardly ever cross, because crossing lines could be exchanged for shorter ones.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection

import ot_solvers as ots

rng = np.random.default_rng(7)
n = 2000
arm = rng.integers(2, size=n)
t = rng.gamma(2.0, 0.5, size=n)
angle = 2.2 * t + np.pi * arm
x = t[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.12 * rng.normal(size=(n, 2))
u = rng.uniform(0, 2 * np.pi, n)
y = (3.2 + 0.12 * rng.normal(size=n))[:, None] * np.stack([np.cos(u), np.sin(u)], axis=1) + [5.5, 0.0]

solution = ots.solve_sample(x, y)
print(solution)

# %%
# The certificate: cost and dual value agree up to rounding, so no plan is cheaper.

lower, upper = solution.bounds
print(f"{lower:.15g} <= optimum <= {upper:.15g}")

# %%
# How much of that a regularised plan keeps
# -----------------------------------------
# Entropic plans blur. What they say about the exact cost is ``bounds``, an interval that shrinks with ``reg``; the
# exact value is in all of them.

regs = np.geomspace(3.0, 3e-3, 10)
path = ots.solve_path(x, y, regs=regs, tol=1e-4)
intervals = np.array([entropic.bounds for entropic in path])
for reg, entropic in zip(regs[::3], path[::3]):
    print(
        f"reg {reg:7.3f}: between {entropic.bounds[0]:.4f} and {entropic.bounds[1]:.4f}, {entropic.n_iter} passes"
    )

# %%

match = solution.match()
lengths = np.linalg.norm(x - y[match], axis=1)

plt.rcParams.update({"font.size": 10})
figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.6), width_ratios=(1.9, 1), layout="constrained")
order = np.argsort(-lengths)
lines = LineCollection(
    np.stack([x, y[match]], axis=1)[order], array=lengths[order], cmap="viridis", linewidths=0.35, alpha=0.55
)
left.add_collection(lines)
left.scatter(*x.T, s=4, color="#D55E00", zorder=3)
left.scatter(*y.T, s=4, color="#0072B2", zorder=3)
left.set_aspect("equal")
left.set_axis_off()
left.set_title("2000 points, matched at least cost")
figure.colorbar(lines, ax=left, label="distance", shrink=0.7, pad=0.01)

right.fill_between(regs, *intervals.T, color="#56B4E9", alpha=0.5, lw=0, label="bounds of entropic plans")
right.axhline(float(solution), color="#D55E00", lw=1.5, label="exact")
right.set(xscale="log", xlabel="reg", ylabel="squared distance")
right.set_title("what is known about the cost")
right.legend(frameon=False, loc="upper left")
for side in ("top", "right"):
    right.spines[side].set_visible(False)

# %%
# A distance to three digits
# --------------------------
# Often a few digits of the distance are enough. ``wasserstein`` ends as soon as its bounds agree that well:

for rtol in (1e-1, 1e-2, 1e-3, 0):
    distance = ots.wasserstein(x, y, rtol=rtol)
    print(
        f"rtol {rtol:5}: {distance.lower:.6f} <= W2 <= {distance.upper:.6f}, "
        f"{distance.solution.diagnostics['pivots']:5} pivots"
    )

# %%
# Colours, one to one
# -------------------
# Two photographs, 4000 pixels of each. The exact matching gives every pixel of the one the colour of a pixel of
# the other: the palettes are exchanged, not averaged. Pixels that were not drawn go where the potentials send
# them.

from sklearn.datasets import load_sample_images

china, flower = (image[::4, ::4] / 255.0 for image in load_sample_images().images)
pixels, palette = china.reshape(-1, 3), flower.reshape(-1, 3)
source = rng.choice(len(pixels), 4000, replace=False)
target = rng.choice(len(palette), 4000, replace=False)
colours = ots.solve_sample(pixels[source], palette[target])
print(f"{colours.method}: {colours.seconds:.2f} s, gap {float(colours.gap):.0e}")
recoloured = colours.transport(pixels).reshape(china.shape)

figure, axes = plt.subplots(1, 3, figsize=(11.5, 2.8), layout="constrained")
titles = "the photograph", "the palette", "the photograph in the colours of the palette"
for axis, image, title in zip(axes, (china, flower, recoloured), titles):
    axis.imshow(image)
    axis.set_axis_off()
    axis.set_title(title)
plt.show()
