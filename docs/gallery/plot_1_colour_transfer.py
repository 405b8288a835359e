"""
The colours of one photograph on another
========================================

A photograph is, apart from where its pixels are, a cloud of colours. Transport between the clouds of two
photographs says which colour becomes which, and the map that comes with it recolours pixels it has never seen.
``ot-solvers transfer`` does this for files at full resolution; here are its steps.
"""

# %%
# Two photographs, two palettes
# -----------------------------
# The two photographs of scikit-learn, at half resolution. Distances between colours mean most in CIELAB, and a
# palette of some hundred weighted colours says as much about a photograph as all its pixels.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

import ot_solvers as ots
from ot_solvers.commands.colour import lab_to_srgb, srgb_to_lab
from ot_solvers.commands.palette import grid_palette

photographs = [image[::2, ::2] / 255 for image in load_sample_images().images]
pixels = [srgb_to_lab(image).reshape(-1, 3) for image in photographs]
palettes = [grid_palette(colours, np.ones(len(colours)), 900) for colours in pixels]
print("pixels", [len(p) for p in pixels], "palettes", [len(p) for p in palettes])

# %%
# Transport between the palettes
# ------------------------------
# The regularisation is a multiple of the mean cost. Balanced, each colour of the reference is used as often as in
# the reference; with ``unbalanced`` proportions give way where that saves effort, and the result keeps more of
# the photograph's own mood. ``solution.transport`` is the map: it takes any colour, not only those of the
# palette.

source, reference = palettes
mean = ots.solve_sample(source.colours, reference.colours, reg=1.0, reg_relative_to="mean").reg
solutions = {}
for firmness in (0.03, np.inf):
    solutions[firmness] = ots.solve_sample(
        source.colours,
        reference.colours,
        source.weights,
        reference.weights,
        reg=0.01 * mean,
        unbalanced=firmness * mean,
        tol=1e-4,
    )
print(solutions[np.inf])


def recoloured(solution, k):
    # The inverse map recolours the reference by the source: one solution serves both.
    lab = solution.transport(pixels[k], inverse=k == 1)
    return lab_to_srgb(lab).reshape(photographs[k].shape)


# %%
# The pictures
# ------------
# From left to right: the photograph, its colours moved gently, its colours moved strictly. The strips below are
# the colours of the picture, from dark to light, each as wide as its share: on the right that of the other
# photograph.

PAPER, INK, FAINT = "#15161a", "#f2efe9", "#9a948a"
titles = ["photograph", "unbalanced, 0.03 mean cost", "balanced"]


def strip(image):
    lab = srgb_to_lab(image).reshape(-1, 3)
    palette = grid_palette(lab, np.ones(len(lab)), 60)
    order = np.argsort(palette.colours[:, 0])
    ends = np.rint(np.cumsum(palette.weights[order]) * 640).astype(int)
    return np.repeat(lab_to_srgb(palette.colours[order]), np.diff(ends, prepend=0), axis=0)[None]


figure = plt.figure(figsize=(14, 7.6), facecolor=PAPER)
cells = figure.add_gridspec(5, 3, height_ratios=[1, 0.1, 0.05, 1, 0.1], hspace=0.04, wspace=0.03,
                            left=0.01, right=0.99, top=0.925, bottom=0.012)  # fmt: skip
for k in range(2):
    pictures = [photographs[k], *(recoloured(solution, k) for solution in solutions.values())]
    for column, (picture, title) in enumerate(zip(pictures, titles)):
        axes = figure.add_subplot(cells[3 * k, column])
        axes.imshow(picture, interpolation="lanczos", aspect="auto")
        axes.set_axis_off()
        if k == 0:
            axes.set_title(title, color=INK, fontsize=17, loc="left", pad=9)
        axes = figure.add_subplot(cells[3 * k + 1, column])
        axes.imshow(strip(picture), aspect="auto", interpolation="nearest")
        axes.set_axis_off()
plt.show()

# %%
# What happened to the colours
# ----------------------------
# The palettes seen from above, in the plane of green to red and blue to yellow. On the right every colour of the
# first palette has gone where the balanced plan sends it on average.

figure, panels = plt.subplots(
    1, 3, figsize=(14, 5.2), facecolor=PAPER, sharex=True, sharey=True, layout="constrained"
)
moved = solutions[np.inf].barycentric_map()
clouds = [(source.colours, source.weights), (reference.colours, reference.weights), (moved, source.weights)]
for axes, (lab, weights), title in zip(panels, clouds, ["source", "reference", "source, moved"]):
    axes.scatter(lab[:, 1], lab[:, 2], s=4 + 6000 * weights, color=lab_to_srgb(lab), linewidths=0)
    axes.set_facecolor(PAPER)
    axes.set_title(title, color=INK, fontsize=14, loc="left")
    axes.tick_params(colors=FAINT)
    axes.grid(color="#2b2c33", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("a (green to red)", color=FAINT)
    for spine in axes.spines.values():
        spine.set_visible(False)
panels[0].set_ylabel("b (blue to yellow)", color=FAINT)
plt.show()
