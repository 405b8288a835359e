"""
Maps with and without the Monge gap
===================================

Many maps carry one measure to another. A network that is only asked to fit finds one of them, as its random start
has it; the Monge gap, what a map costs more than the best way to the same images, asks for the cheapest.
"""

# %%
# A moon and an S
# ---------------
# The picture of Uscidda and Cuturi (2023): for each of two costs the same network, from the same random start, is
# fitted to the same minibatches without the gap and with it. The strength of the gap falls during training: first
# it chooses among the maps that fit, then it leaves the chosen one alone. The S is longer than the moon, and the
# best maps tear; a network stretches instead. What is judged are new points.

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.collections import LineCollection
from torch import nn

import ot_solvers as ots


def perceptron(d):
    """A plain network, the same at each call: images begin in a heap, far from the points."""
    torch.manual_seed(0)
    layers = [nn.Linear(d, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(64, d))


moons = ots.maps.moons_problem()
x, y = moons.sample(4000, seed=0)
held_out = moons.sample(1000, seed=1)
options = {"batch_size": 128, "learning_rate": 1e-2, "validation": 0, "record_every": 50}
images, reports = {}, {}
for cost, strength in (("euclidean", (10.0, 0.03)), ("sqeuclidean", (1.0, 0.003))):
    for wanted in (0.0, strength):
        fitted = ots.maps.MongeGapMap(
            cost, network=perceptron(2), strength=wanted, steps=800,
            fitting_reg=ots.Entropic(0.03, relative_to="mean"), **options,
        ).fit(x, y)  # fmt: skip
        images[cost, bool(wanted)] = fitted.transform(held_out[0])
        reports[cost, bool(wanted)] = report = ots.maps.evaluate(fitted, held_out)
        print(
            f"{cost:11}  {'with gap' if wanted else 'fit alone'}: divergence {report.divergence:.3f}, "
            f"gap {report.gap:.3f} of a mean cost of {report.mean_cost:.3f}"
        )

# %%
# Colours run along the moon. Without the gap paths cross, and the ends of the S come in the wrong order: crossing
# paths can always be exchanged for cheaper ones. With the gap that is what has happened.

PAPER, INK, FAINT, RULE = "#15161a", "#f2efe9", "#9a948a", "#3a3b43"
plt.rcParams.update(
    dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), INK)
    | {"xtick.color": FAINT, "ytick.color": FAINT, "axes.edgecolor": RULE, "grid.color": "#2b2c33"}
    | {"figure.facecolor": PAPER, "axes.facecolor": PAPER, "axes.titlelocation": "left", "font.size": 11}
)

source, target = held_out
# Places along the moon, from 0 to 1: in angle about its middle.
middle = np.array([0.0, -0.5])
turned = (source - middle) @ np.exp(1j * np.array([0, np.pi / 2]))
along = np.angle(turned * np.exp(-1j * np.angle(turned.mean())))
colours = plt.get_cmap("turbo")(0.08 + 0.84 * (along - along.min()) / np.ptp(along))
some = np.argsort(along)[::5]
figure, panels = plt.subplots(2, 2, figsize=(11, 11.6), layout="constrained", sharex=True, sharey=True)
for axes, (key, moved) in zip(panels.flat, images.items()):
    axes.plot(*target.T, "o", color=RULE, markersize=4)
    paths = np.stack([source[some], moved[some]], axis=1)
    axes.add_collection(LineCollection(paths, colors=colours[some], linewidths=0.9, alpha=0.55))
    axes.scatter(*source.T, s=9, c=colours, linewidths=0, zorder=3)
    axes.scatter(*moved.T, s=9, c=colours, linewidths=0, zorder=3)
    axes.set(aspect="equal", xlim=(-1.4, 2.1), ylim=(-3.6, 0.8))
    axes.set_axis_off()
    name = "squared distance" if key[0] == "sqeuclidean" else "distance"
    axes.set_title(f"{name}, {'with the gap' if key[1] else 'fit alone'}", fontsize=14, fontweight="bold")
    axes.text(2.0, 0.7, f"gap {reports[key].gap:.3f}", color=FAINT, fontsize=13, ha="right", va="top")
plt.show()

# %%
# On the sphere
# -------------
# Points on half a meridian, in four patches, and where a rotation takes them: the rotation is the cheapest map
# between the two laws for the geodesic distance, and the only one. Images are divided by their norms, so that they
# stay on the sphere.

problem = ots.maps.sphere_rotation_problem(3, angle=1.2, seed=0)
x, y = problem.sample(4000, seed=0)
held_out = problem.sample(1000, seed=1)
images = {"the rotation": problem.true_map(held_out[0])}
for title, strength in (("fit alone", 0.0), ("with the gap", (1.0, 0.01))):
    fitted = ots.maps.MongeGapMap("sphere", network=perceptron(3), strength=strength, steps=400, **options).fit(
        x, y
    )
    images[title] = fitted.transform(held_out[0])
    report = ots.maps.evaluate(fitted, problem)
    print(f"{title:12}: {report.geodesic:.3f} radians from the rotation, gap {report.gap:.4f}")

# %%
# Seen from between the two meridians; paths are great circles.

start, truth = held_out[0], problem.true_map(held_out[0])


def unit(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


axis = unit(np.cross(start.mean(axis=0), truth.mean(axis=0)))
front = unit(unit(start.mean(axis=0)) + unit(truth.mean(axis=0)))
front = unit(front - front @ axis * axis)
eye = np.cos(0.35) * front + np.sin(0.35) * axis
above = unit(axis - axis @ eye * eye)
view = np.stack([np.cross(above, eye), above, eye])


def arcs(begin, end):
    """(n, 40, 3) points of the shortest ways between unit vectors (n, 3)."""
    t = np.linspace(0, 1, 40)[:, None]
    angle = np.arccos(np.clip((begin * end).sum(axis=1), -1, 1))[:, None, None]
    return (np.sin((1 - t) * angle) * begin[:, None] + np.sin(t * angle) * end[:, None]) / np.sin(angle)


def globe(axes):
    """The half of a sphere that one sees, with meridians and parallels about the axis of the rotation."""
    axes.add_patch(plt.Circle((0, 0), 1, facecolor="#1b1d24", edgecolor=RULE, linewidth=1.5))
    t = np.linspace(-np.pi, np.pi, 181)
    round_axis = np.cos(t)[:, None] * front + np.sin(t)[:, None] * np.cross(axis, front)
    circles = [np.cos(b) * round_axis + np.sin(b) * axis for b in np.arange(-5, 6) * np.pi / 12]
    circles += [np.sin(t)[:, None] * axis + np.cos(t)[:, None] * side for side in round_axis[:90:7]]
    for circle in circles:
        right, up, depth = view @ circle.T
        axes.plot(np.where(depth > 0, right, np.nan), up, color="#2f313a", linewidth=0.8)
    axes.set(aspect="equal", xlim=(-1.02, 1.02), ylim=(-1.02, 1.02))
    axes.set_axis_off()


height = start @ axis
colours = plt.get_cmap("turbo")(0.08 + 0.84 * (height - height.min()) / np.ptp(height))
some = np.argsort(height)[::6]
figure, panels = plt.subplots(1, 3, figsize=(14, 5.1), layout="constrained")
for axes, (title, moved) in zip(panels, images.items()):
    globe(axes)
    axes.add_collection(
        LineCollection(
            (arcs(start, moved)[some] @ view.T)[..., :2], colors=colours[some], linewidths=0.9, alpha=0.6
        )
    )
    for points in (start, moved):
        right, up, depth = view @ points.T
        axes.scatter(right, up, s=9, c=colours, alpha=np.where(depth > 0, 1.0, 0.2), linewidths=0, zorder=3)
    axes.set_title(title, fontsize=14, fontweight="bold")
plt.show()
