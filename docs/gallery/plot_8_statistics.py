"""
What a sample knows: intervals, tests, dependence
=================================================

A distance between samples is a random number. Three questions about it: where is the distance of the laws behind
the samples, could the laws be equal, and, for pairs, is there any dependence, of whatever shape?
"""

# %%
# Intervals
# ---------
# Two Gaussian laws in six dimensions, whose distances are known. Thirty pairs of samples of every size, and for
# each of them an interval at 95 % for the Sinkhorn divergence, and one for the exact distance.

import matplotlib.pyplot as plt
import numpy as np

import ot_solvers as ots

rng = np.random.default_rng(0)
D, REG, SHIFT, SPREAD = 6, 10.0, 2.0, 1.5
SIZES, DRAWS = (100, 400, 1600), 30


def samples(n):
    """n points of both laws: round Gaussians, the second one wider and elsewhere."""
    x, y = rng.normal(size=(2, n, D))
    return x, SPREAD * y + SHIFT / np.sqrt(D)


intervals = {name: {n: [] for n in SIZES} for name in ("divergence", "distance")}
for n in SIZES:
    for _ in range(DRAWS):
        x, y = samples(n)
        found = ots.sinkhorn_divergence(x, y, reg=REG)
        intervals["divergence"][n].append(found.confidence_interval())
        intervals["distance"][n].append(ots.wasserstein(x, y).confidence_interval())

# %%
# The distance of the laws has a closed form, and the divergence has one too: entropic transport between Gaussians
# is a one-dimensional formula for every axis here.


def entropic(s, t):
    """Per axis, between centred Gaussians of standard deviations s and t."""
    h = REG / 2
    root = np.sqrt(4 * (s * t) ** 2 + h**2)
    return s**2 + t**2 - root + h * (1 - np.log(2 * h)) + h * np.log(root + h)


blurred = D * (entropic(1, SPREAD) - 0.5 * entropic(1, 1) - 0.5 * entropic(SPREAD, SPREAD))
truth = {"divergence": SHIFT**2 + blurred, "distance": np.sqrt(SHIFT**2 + D * (SPREAD - 1) ** 2)}
for name, by_size in intervals.items():
    for n, ends in by_size.items():
        low, high = np.transpose(ends)
        held = np.mean((low <= truth[name]) & (truth[name] <= high))
        print(f"{name:10}  n = {n:4}: {held:4.0%} of the intervals hold {truth[name]:.3f}")

# %%
# Samples are further apart than their laws, and a variance does not know of a bias. That of the divergence is of
# order 1 / n: it shows with a hundred points, and soon is small beside the length of the intervals. That of the
# exact distance falls so slowly in six dimensions that with more points the intervals are only surer of a wrong
# value.
#
# Equal laws?
# -----------
# A ring and a blob of the same mean and covariance. The distance of the samples is compared with that of random
# divisions of all points.

angle = rng.uniform(0, 2 * np.pi, size=140)
x = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.15 * rng.normal(size=(140, 2))
y = np.sqrt(0.5 + 0.15**2) * rng.normal(size=(140, 2))
test = ots.statistics.two_sample_test(x, y, n_permutations=499, seed=0)
print(test)

# %%
# Dependence
# ----------
# Four shapes, their correlation, and the dependency measure, debiased, with the p-value of its test.


def shapes(n=150):
    t, s = rng.uniform(-1, 1, size=(2, n))
    turn = np.pi * t
    noise = 0.06 * rng.normal(size=(2, n))
    return {
        "line": (t + noise[0], 0.7 * t + 3 * noise[1]),
        "parabola": (t + noise[0], 2 * t**2 + noise[1]),
        "circle": (np.cos(turn) + noise[0], np.sin(turn) + noise[1]),
        "nothing": (t, s),
    }


pairs = shapes()
measures = {
    name: ots.dependency(u[:, None], v[:, None], n_permutations=499, seed=0) for name, (u, v) in pairs.items()
}
for name, (u, v) in pairs.items():
    found = measures[name]
    correlation = np.corrcoef(u, v)[0, 1]
    print(f"{name:9} correlation {correlation:5.2f}   dependency {found.debiased:5.2f}   p {found.p_value:.3f}")

# %%
# The picture
# -----------

PAPER, INK, FAINT, RULE = "#15161a", "#f2efe9", "#9a948a", "#3a3b43"
GOLD, BLUE, ROSE = "#e8b04a", "#6fb7e8", "#e07a9a"
plt.rcParams.update(
    {"figure.facecolor": PAPER, "axes.facecolor": PAPER, "text.color": INK, "axes.labelcolor": FAINT}
    | {"xtick.color": FAINT, "ytick.color": FAINT, "axes.edgecolor": RULE, "axes.spines.top": False}
    | {"axes.spines.right": False, "axes.titlelocation": "left", "axes.titlesize": 13}
)
figure = plt.figure(figsize=(14, 9))
titles = {
    "divergence": "Sinkhorn divergence in 6 dimensions: 95 % intervals",
    "distance": "exact W2 of the same samples: surer and surer of a wrong value",
}
for k, (name, by_size) in enumerate(intervals.items()):
    axes = figure.add_axes((0.045 + 0.495 * k, 0.56, 0.445, 0.38))
    axes.axhline(truth[name], color=INK, linewidth=1, zorder=0)
    for slot, ends in enumerate(by_size.values()):
        low, high = np.transpose(sorted(ends, key=sum))
        at = slot + np.linspace(-0.36, 0.36, len(ends))
        held = (low <= truth[name]) & (truth[name] <= high)
        for mask, colour in ((held, BLUE), (~held, ROSE)):
            axes.vlines(at[mask], low[mask], high[mask], color=colour, linewidth=2.6, alpha=0.9)
    axes.set_xticks(range(len(SIZES)), [f"n = {n}" for n in SIZES])
    axes.tick_params(axis="x", length=0)
    axes.set_title(titles[name])
    axes.annotate("between\nthe laws", (len(SIZES) - 0.22, truth[name]), color=INK, va="bottom", ha="right")
    axes.set_xlim(-0.5, len(SIZES) - 0.2)

cloud = figure.add_axes((0.03, 0.05, 0.205, 0.41))
cloud.scatter(*x.T, s=13, color=GOLD, linewidth=0)
cloud.scatter(*y.T, s=13, color=BLUE, linewidth=0)
cloud.set_title("one law?")
cloud.set_aspect("equal")
cloud.set_axis_off()

null = figure.add_axes((0.265, 0.09, 0.225, 0.37))
null.hist(test.null_values, bins=32, color="#565864")
top = null.get_ylim()[1]
null.vlines(test.value, 0, 0.72 * top, color=GOLD, linewidth=2.2)
null.annotate(
    f"these samples\np = {test.p_value:.3f}", (test.value, 0.74 * top), color=GOLD, ha="center", va="bottom"
)
null.set(yticks=[], xlim=(None, 1.12 * test.value), xlabel="W2 of random divisions")
null.spines["left"].set_visible(False)
null.set_title("499 permutations")

for k, (name, (u, v)) in enumerate(pairs.items()):
    axes = figure.add_axes((0.545 + 0.232 * (k % 2), 0.285 - 0.245 * (k // 2), 0.2, 0.175))
    found = measures[name]
    colour = GOLD if found.p_value < 0.05 else FAINT
    axes.scatter(u, v, s=7, color=colour, linewidth=0)
    axes.set_axis_off()
    correlation = np.corrcoef(u, v)[0, 1]
    axes.set_title(
        f"r = {correlation:.2f}    dependency {found.debiased:.2f}, p = {found.p_value:.3f}",
        fontsize=10,
        color=colour,
    )
plt.show()
