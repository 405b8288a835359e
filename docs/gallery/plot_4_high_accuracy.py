"""
Eleven digits, and which solver gets there
==========================================

A sweep multiplies the error by about the same factor every time: fine for three digits, a long way to eleven where
that factor is close to 1. Each step of Newton's method gains more digits than the one before. ``method="auto"``
starts with sweeps, and changes over when their rate promises more work than Newton's method.
"""

# %%
# A problem that is hard for sweeps
# ---------------------------------
# A trefoil knot of 700 points is to become a torus, by Euclidean distance, with a regularisation of a thousandth
# of the largest one: points compete for few partners each, and the competition is decided slowly.

import time

import matplotlib.pyplot as plt
import numpy as np

import ot_solvers as ots

rng = np.random.default_rng(3)
n = 700
t = rng.uniform(0, 2 * np.pi, n)
knot = np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -np.sin(3 * t)], axis=1)
x = knot + 0.22 * rng.normal(size=(n, 3))
u, v = rng.uniform(0, 2 * np.pi, (2, n))
y = np.stack([(2 + 0.7 * np.cos(v)) * np.cos(u), (2 + 0.7 * np.cos(v)) * np.sin(u), 0.7 * np.sin(v)], axis=1)

C = np.linalg.norm(x[:, None] - y, axis=-1)
a = b = np.full(n, 1 / n)
reg = 1e-3 * C.max()

# %%
# Four solves
# -----------
# Everything on one thread here, and of two runs the faster counts, so that neither the loading of compiled
# kernels nor other work of the machine does. Times are those of the machine that built this page.

threads = ots.get_num_threads()
ots.set_num_threads(1)
methods = {
    "plain sweeps": ots.Sinkhorn(annealing=None, acceleration=None),
    "accelerated sweeps": "sinkhorn",
    "Newton": "newton",
    "auto": "auto",
}
solutions = {}
for name, method in methods.items():
    options = {"reg": reg, "method": method, "tol": 1e-11, "max_iter": 3000, "on_failure": "ignore"}
    runs = [ots.solve(C, a, b, **options) for _ in range(2)]
    found = solutions[name] = min(runs, key=lambda run: run.seconds)
    print(f"{name:20}{found.status.name:10}{found.n_iter:6} passes{found.seconds:8.3f} s", end="")
    print(f"   error {found.marginal_error:.0e}")

# %%
# What auto did, and what Newton's steps took beside passes over the cost:

ots.set_num_threads(threads)
auto = solutions["auto"]
print(f"{auto.method}: {auto.method_reason}")
print(auto.diagnostics)

# %%
# The same problem in POT
# -----------------------
# POT's Sinkhorn in scaling form, its fastest. The error it reports is that of one marginal, in the 2-norm: here
# both marginals of the plan are measured, in the 1-norm, as for the others. It runs in stages, each from the
# scalings of the one before and the faster of two, until their times add up to 1.5 seconds.

peer = []
try:
    import ot
    from threadpoolctl import threadpool_limits
except ImportError:
    print("POT is not installed: its curve is left out")
else:
    scalings, passes, seconds = None, 0, 0.0
    while seconds < 1.5:
        stage = max(5, passes // 3)
        times = []
        for _ in range(2):
            start = time.perf_counter()
            with threadpool_limits(1):
                plan, log = ot.sinkhorn(
                    a, b, C, reg, numItermax=stage, stopThr=0, warmstart=scalings, warn=False, log=True
                )
            times.append(time.perf_counter() - start)
        passes, seconds = passes + stage, seconds + min(times)
        scalings = np.log(log["u"]), np.log(log["v"])
        peer.append((passes, seconds, np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum()))
    print(f"POT {ot.__version__}: {passes} iterations, {seconds:.1f} s, error {peer[-1][2]:.0e}")

# %%
# The picture
# -----------
# On the left the knot, and the torus in the colours that arrive from the knot. On the right the error after every
# pass, from ``solution.history``, against passes and against time. Thin lines are the way through larger values of
# eps: there the error is that of another problem, and not meant to be small.

PAPER, INK, FAINT = "#15161a", "#f2efe9", "#9a948a"
GOLD, BLUE, ROSE = "#e8b04a", "#6fb7e8", "#d98fb6"
plt.rcParams.update(
    {"figure.facecolor": PAPER, "axes.facecolor": PAPER, "text.color": INK, "axes.labelcolor": FAINT}
    | {"xtick.color": FAINT, "ytick.color": FAINT, "axes.edgecolor": "#3a3b43", "grid.color": "#2b2c33"}
)
figure = plt.figure(figsize=(14, 7.2))
cells = figure.add_gridspec(
    2, 3, width_ratios=(0.72, 1, 1), left=0.01, right=0.985, top=0.925, bottom=0.085, wspace=0.09, hspace=0.12
)

colours = 0.63 + 0.33 * np.cos(t[:, None] - np.array([0.2, 2.3, 4.4]))
shapes = [("from a knot", x, colours, 0.35), ("to a torus", y, auto.push(colours), 0.95)]
for row, (title, points, shades, tilt) in enumerate(shapes):
    axes = figure.add_subplot(cells[row, 0])
    up = points[:, 1] * np.cos(tilt) + points[:, 2] * np.sin(tilt)
    depth = points[:, 2] * np.cos(tilt) - points[:, 1] * np.sin(tilt)
    near = (depth - depth.min()) / np.ptp(depth)
    order = np.argsort(depth)
    shown = np.c_[shades, 0.35 + 0.65 * near][order]
    axes.scatter(points[order, 0], up[order], s=(8 + 26 * near)[order], c=shown, linewidths=0)
    axes.set_title(title, loc="left", fontsize=14, x=0.04)
    axes.set(aspect="equal", xlim=(-3.7, 3.7), ylim=(-3.3, 3.3))
    axes.set_axis_off()

styles = {
    "plain sweeps": {"color": ROSE, "linewidth": 1.9},
    "accelerated sweeps": {"color": BLUE, "linewidth": 1.9},
    "Newton": {"color": GOLD, "linewidth": 2.6},
    "auto": {"color": INK, "linewidth": 1.5, "linestyle": (0, (2.2, 1.4))},
}
curves = {}
for name, solution in solutions.items():
    history = solution.history
    # What a call takes before its first pass is time, too.
    before = solution.seconds - history[-1].seconds
    final = np.array([p.reg <= solution.reg * (1 + 1e-9) for p in history])
    curves[name] = np.array([(p.iteration, before + p.seconds, p.marginal_error) for p in history]), final

panels = {"marginal error by passes": "passes over the cost", "and by time": "seconds on one thread"}
for k, (title, label) in enumerate(panels.items()):
    axes = figure.add_subplot(cells[:, 1 + k])
    for name, (curve, final) in curves.items():
        along, errors = curve[:, k], curve[:, 2]
        first = int(np.argmax(final))
        axes.plot(along[: first + 1], errors[: first + 1], **styles[name] | {"linewidth": 0.9, "alpha": 0.5})
        axes.plot(along[first:], errors[first:], **styles[name])
    if peer:
        axes.plot(*np.array(peer)[:, [k, 2]].T, color=FAINT, linewidth=1.1, marker="o", markersize=3.4)
    axes.axhline(1e-11, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=0.5)
    axes.annotate("tol", (0.01, 1e-11), xycoords=("axes fraction", "data"), color=FAINT, va="bottom")
    axes.set(xscale="log", yscale="log", ylim=(6e-14, 6), xlabel=label)
    axes.set_title(title, loc="left", fontsize=14)
    axes.grid(linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelleft=k == 0)

# Names once, where the curves of the left panel end.
by_passes = figure.axes[2]
by_passes.text(1, 5e-4, "on the way,\nat larger eps", color=FAINT, va="top")
places = {"plain sweeps": (2, -16), "accelerated sweeps": (8, 22), "Newton": (-8, -12), "auto": (8, -12)}
notes = [(name, curves[name][0][-1, [0, 2]], place, styles[name]["color"]) for name, place in places.items()]
if peer:
    notes.append(("POT", (peer[-1][0], peer[-1][2]), (4, 7), FAINT))
for name, end, place, colour in notes:
    side = "left" if place[0] > 2 else "right"
    text = name.replace("accelerated ", "accelerated\n")
    by_passes.annotate(
        text, end, place, textcoords="offset points", color=colour, ha=side, va="center", fontsize=12
    )
plt.show()
