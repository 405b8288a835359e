"""
Which point is which?
=====================

A body stands, and walks. Which point of the one is which of the other? Nobody has marked any, the triangulations
are different, and the second body lies somewhere else, turned at random. ``shapes.correspond`` learns features on
the two meshes alone. A sliced Wasserstein distance asks that features carried over are distributed like those that
are there, and an entropic plan refines the map.
"""

# %%
# Two pairs
# ---------
# Two poses of one body, and the same body with a slim one. Lengths along the surface are nearly the same in the
# first pair, and far from it in the second. The true partner of a vertex is the nearest one of the other mesh,
# before that is moved.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree

from ot_solvers import shapes

N, STEPS = 800, 70


def hidden(mesh, seed):
    """The mesh turned and in another order, the same in its old place (for pictures), and where vertices went."""
    other, where = mesh.shuffled(seed)
    vertices = np.empty_like(mesh.vertices)
    vertices[where] = mesh.vertices
    return other, other.moved(vertices), where


rest = shapes.body("rest", n_vertices=N)
other_net = {"n_vertices": N, "seed": 3}
partner = cKDTree(shapes.body("rest", **other_net).vertices).query(rest.vertices)[1]
targets, found = {}, {}
for name, options in (("another pose", {"pose": "walk"}), ("another build", {"pose": "wave", "build": "slim"})):
    unknown, shown, where = hidden(shapes.body(**options, **other_net), seed=1)
    targets[name] = unknown, shown, where[partner]
    found[name] = shapes.correspond(rest, unknown, steps=STEPS, smoothness=5.0 * ("build" in options))

# %%
# Three maps of each
# ------------------
# Nearest neighbours in the space of wave kernel signatures, without any learning; the functional map of learned
# features; and the refined one. Errors are distances along the surface, in hundredths of the square root of its
# area.


def stages(name):
    """Errors and maps back, by stage."""
    unknown, _, truth = targets[name]
    whole = found[name]
    nearest = shapes.descriptor_map(unknown, rest)
    maps = {
        "nearest signature": (whole.descriptor_point_map, nearest),
        "learned": (whole.unrefined.point_map, whole.unrefined.inverse_point_map),
        "refined": (whole.point_map, whole.inverse_point_map),
    }
    return {stage: (shapes.geodesic_errors(unknown, forth, truth), back) for stage, (forth, back) in maps.items()}


results = {name: stages(name) for name in targets}
for name, maps in results.items():
    print(f"{name:14}", ", ".join(f"{stage} {100 * errors.mean():.2f}" for stage, (errors, _) in maps.items()))

# %%
# Colours of the body on the left, carried over by each map. What is torn or speckled is wrong.

PAPER, INK, FAINT, RULE = "#15161a", "#f2efe9", "#9a948a", "#3a3b43"
GOLD, BLUE, ROSE, GREEN = "#e8b04a", "#6fb7e8", "#e07a9a", "#7fc48f"
plt.rcParams.update(
    dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), INK)
    | {"xtick.color": FAINT, "ytick.color": FAINT, "axes.edgecolor": RULE, "grid.color": "#2b2c33"}
    | {"figure.facecolor": PAPER, "axes.facecolor": PAPER, "axes.titlelocation": "left", "font.size": 11}
)

colours = shapes.position_colours(rest)
figure, panels = plt.subplots(2, 4, figsize=(13, 8.6), layout="constrained")
for row, (name, maps) in zip(panels, results.items()):
    shapes.draw_mesh(row[0], rest, colours)
    row[0].set_title("to " + name, fontsize=14, fontweight="bold")
    for axes, (stage, (errors, back)) in zip(row[1:], maps.items()):
        shapes.draw_mesh(axes, targets[name][1], colours[back])
        axes.set_title(stage, fontsize=13)
        axes.text(0, -0.01, f"error {100 * errors.mean():.2f}", transform=axes.transAxes, color=FAINT, va="top")
plt.show()

# %%
# How many are right
# ------------------
# To the left, the share of vertices that are off by at most so much. In the middle the functional map of the two
# poses, which is nearly diagonal: low frequencies go to low ones, and higher ones spread more and more. To the
# right the loss; in the last 15 steps the soft map is an entropic transport plan.

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.3), layout="constrained")
for maps, style in zip(results.values(), ("-", (0, (4, 2)))):
    for (stage, (errors, _)), colour in zip(maps.items(), (FAINT, BLUE, GOLD)):
        curve = shapes.pck_curve(errors, largest=0.2)
        label = f"{stage}: {curve.area:.3f}" if style == "-" else None
        left.plot(curve.thresholds, curve.shares, color=colour, linestyle=style, linewidth=2, label=label)
legend = {"frameon": False, "labelcolor": "linecolor"}
left.legend(**legend, loc="lower right", title="area, another pose", title_fontsize=10)
left.set(xlabel="error", ylim=(0, 1.02), xlim=(0, 0.2))
left.set_title("right up to that error (dashed: another build)", fontsize=13)

C = found["another pose"].functional_map[:60, :60]
middle.imshow(np.abs(C), cmap="magma", vmin=0, vmax=1)
middle.set(xlabel="frequency at rest", ylabel="frequency of the walking body")
middle.set_title("functional map, absolute values", fontsize=13)

for name, colour in zip(found, (GREEN, ROSE)):
    history = found[name].history
    right.semilogy([progress.loss for progress in history], color=colour, linewidth=1.8, label=name)
right.axvspan(STEPS, STEPS + 15, color=RULE, alpha=0.5, linewidth=0)
right.text(STEPS + 1, right.get_ylim()[1] * 0.8, "refinement", color=FAINT, va="top")
right.legend(**legend)
right.set(xlabel="step")
right.set_title("loss", fontsize=13)
for axes in (left, right):
    axes.grid(linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
plt.show()
