"""
Letters in disguise: couplings that waste no randomness
=======================================================

A text in English letters is to look, letter by letter, like one in Italian: the letters sent must have exactly
the frequencies of Italian, and say as much as possible about the letters meant. That is a coupling of two
distributions of small entropy. If the sender may only pass on two bits per letter, it is one with a bottleneck.
"""

# %%
# Two alphabets
# -------------
# Frequencies of letters in per cent, from general texts; accents left out.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import PathPatch
from matplotlib.path import Path

import ot_solvers as ots

ALPHABET = np.array(list("abcdefghijklmnopqrstuvwxyz"))
ENGLISH = (
    "8.17 1.49 2.78 4.25 12.7 2.23 2.02 6.09 6.97 .15 .77 4.03 2.41 6.75 7.51 1.93 .1 5.99 6.33 9.06 2.76 .98"
)
ITALIAN = (
    "11.75 .93 4.5 3.74 11.79 1.15 1.64 .64 10.14 .01 .01 6.51 2.51 6.88 9.83 3.06 .51 6.37 4.98 5.62 3.01 2.1"
)
a = np.array(f"{ENGLISH} 2.36 .15 1.97 .07".split(), dtype=float)
b = np.array(f"{ITALIAN} .03 .003 .02 1.18".split(), dtype=float)
a, b = a / a.sum(), b / b.sum()

# %%
# The coupling
# ------------
# Greedy: the most frequent letters of both meet, then the most frequent of what is left. Nobody knows the minimum,
# but no coupling has less entropy than ``lower_bound``.

coupling = ots.couplings.minimum_entropy_coupling(a, b, unit="bits")
print(coupling)

# %%
# To send a letter, draw one from its row of the plan. To read, take the likeliest sender. Most letters have one
# image that is theirs alone, or nearly so, and most of the text survives.


def send(text, plan, rng):
    letters = {letter: row / row.sum() for letter, row in zip(ALPHABET, plan)}
    return "".join(rng.choice(ALPHABET, p=letters[c]) if c in letters else c for c in text)


def read(text, plan):
    origin = dict(zip(ALPHABET, ALPHABET[plan.argmax(axis=0)]))
    return "".join(origin.get(c, c) for c in text)


message = "all happy families are alike; each unhappy family is unhappy in its own way"
sent = send(message, coupling.plan, np.random.default_rng(1))
print(f"meant  {message}\nsent   {sent}\nread   {read(sent, coupling.plan)}")
print(f"right  {coupling.plan.max(axis=0).sum():.0%} of all letters")

# %%
# Through a bottleneck
# --------------------
# Now the letter becomes one of a few symbols first, of two bits of entropy at most, and the sender sees only the
# symbol. The code loses next to nothing of these two bits; the coupling of its symbols with the Italian letters
# loses a little.

narrow = ots.couplings.bottleneck_coupling(a, b, rate=2.0, unit="bits")
print(narrow)
symbols = [ALPHABET[narrow.encoder.symbol == t] for t in np.argsort(-narrow.encoder.mass)]
print("symbols:", " ".join("{" + "".join(letters) + "}" for letters in symbols))
print(f"right: {narrow.plan.max(axis=0).sum():.0%} of all letters")

# %%
# And at all rates, with the last two symbols merged as published, and so as to come closest to the rate:

rates = np.linspace(0, 4.3, 173)
sweeps = {
    merge: [ots.couplings.bottleneck_coupling(a, b, rate, unit="bits", last_merge=merge) for rate in rates]
    for merge in ("greedy", "closest")
}
for merge, found in sweeps.items():
    print(f"{merge:8} wastes {np.mean([c.encoder.gap for c in found]):.4f} bits of the rate on average")

# %%
# The picture
# -----------
# Letters from the most frequent down, as wide as they are frequent. On the left, what becomes of every English
# letter. On the right the same through two bits: letters that share a symbol mix their colours, and cannot be told
# apart after it. Below, what is missing at every rate.

PAPER, INK, FAINT = "#15161a", "#f2efe9", "#9a948a"
GOLD, BLUE, ROSE = "#e8b04a", "#6fb7e8", "#d98fb6"
plt.rcParams.update(
    {"figure.facecolor": PAPER, "axes.facecolor": PAPER, "text.color": INK, "axes.labelcolor": FAINT}
    | {"xtick.color": FAINT, "ytick.color": FAINT, "axes.edgecolor": "#3a3b43", "grid.color": "#2b2c33"}
)
GAP = 0.006


def stack(mass):
    """Tops of bars laid out from the largest down, with gaps between them."""
    order = np.argsort(-mass, kind="stable")
    tops = np.empty(mass.size)
    tops[order] = 1 - np.concatenate([[0], np.cumsum(mass[order])[:-1]]) - GAP * np.arange(mass.size)
    return tops


def ribbons(axes, plan, sides, tops, colours):
    """One band per entry of the plan; those of a bar in the order of the bars that they lead to."""
    left, right = (np.array(z, dtype=float) for z in tops)
    rows = np.argsort(-left, kind="stable")
    columns = np.argsort(-right, kind="stable")
    starts, ends = np.empty(plan.shape), np.empty(plan.shape)
    starts[:, columns] = left[:, None] - np.cumsum(plan[:, columns], axis=1) + plan[:, columns]
    ends[rows] = right - np.cumsum(plan[rows], axis=0) + plan[rows]
    x, z = sides
    bend = 0.5 * (x + z)
    for i, j in np.argwhere(plan > 1e-5):
        s, e, w = starts[i, j], ends[i, j], plan[i, j]
        corners = [(x, s), (bend, s), (bend, e), (z, e), (z, e - w), (bend, e - w), (bend, s - w), (x, s - w)]
        codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3]
        axes.add_patch(PathPatch(Path(corners, codes), facecolor=colours[i], alpha=0.78, linewidth=0))


def bars(axes, x, tops, mass, colours, side=0, least=1.0):
    """A column of bars, named on one side if they are not too small for it."""
    axes.bar(np.full(mass.size, x), -mass, 0.018, bottom=tops, color=colours, linewidth=0)
    for k in np.flatnonzero(mass > least):
        size, align = 8 + 55 * min(mass[k], 0.11), "right" if side < 0 else "left"
        where = {"ha": align, "va": "center", "fontsize": size, "color": colours[k]}
        axes.text(x + 0.022 * side, tops[k] - 0.5 * mass[k], ALPHABET[k], **where)


rank = np.empty(26)
rank[np.argsort(-a, kind="stable")] = np.arange(26)
ROAD = ["#f7dc8f", "#eda94e", "#e2735a", "#c9538f", "#8e5fc9", "#5a86e0", "#4fb6d3", "#5fd0b0", "#a6dd8c"]
palette = LinearSegmentedColormap.from_list("road", ROAD)((rank / 25) ** 0.7)[:, :3]
palette = palette * np.where(rank % 2, 0.86, 1.0)[:, None]


def mixed(plan, colours):
    """Colours of the columns: what arrives there."""
    return (plan / np.maximum(plan.sum(axis=0), 1e-300)).T @ colours


figure = plt.figure(figsize=(14, 9))
tops = [stack(a), stack(b)]
wide = figure.add_axes((0.005, 0.015, 0.455, 0.925))
ribbons(wide, coupling.plan, (0.012, 0.988), tops, palette)
bars(wide, 0, tops[0], a, palette, -1, least=0.007)
bars(wide, 1, tops[1], b, mixed(coupling.plan, palette), 1, least=0.007)
wide.set_title(
    f"English to Italian: {coupling.mutual_information:.2f} bits a letter", loc="left", x=0.05, fontsize=14
)

pinched = figure.add_axes((0.505, 0.385, 0.49, 0.555))
encoder, decoder, t = narrow.encoder.plan, narrow.decoder.plan, narrow.encoder.mass
middle = stack(t) - 0.5 * GAP * (26 - t.size)
blend = mixed(encoder, palette)
ribbons(pinched, encoder, (0.012, 0.488), (tops[0], middle), palette)
ribbons(pinched, decoder, (0.512, 0.988), (middle, tops[1]), blend)
bars(pinched, 0, tops[0], a, palette, -1, least=0.019)
bars(pinched, 0.5, middle, t, blend)
bars(pinched, 1, tops[1], b, mixed(decoder, blend), 1, least=0.019)
arrived = narrow.mutual_information
pinched.set_title(f"the same through 2 bits: {arrived:.2f} arrive", loc="left", x=0.05, fontsize=14)
for axes in (wide, pinched):
    axes.set(xlim=(-0.06, 1.06), ylim=(-GAP * 26 - 0.01, 1.01))
    axes.set_axis_off()

curve = figure.add_axes((0.575, 0.075, 0.395, 0.255))
styles = {"greedy": (ROSE, "code, as published"), "closest": (GOLD, "code, closest last merge")}
for merge, (colour, name) in styles.items():
    curve.plot(rates, [c.encoder.gap for c in sweeps[merge]], color=colour, linewidth=1.6, label=name)
missing = [min(c.rate, c.encoder.source_entropy) - c.mutual_information for c in sweeps["closest"]]
curve.plot(rates, missing, color=BLUE, linewidth=1.9, label="code and coupling")
curve.plot(2, 2 - arrived, "o", color=BLUE, markersize=6)
guarantee = narrow.encoder.gap_bound
curve.axhline(guarantee, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
curve.annotate("guaranteed for the code", (0.02, guarantee), color=FAINT, va="bottom")
curve.set(xlabel="rate, bits a letter", xlim=(0, 4.3), ylim=(0, 0.5))
curve.set_title("what is missing of the rate, in bits", loc="left", fontsize=14)
curve.legend(frameon=False, labelcolor="linecolor", loc="upper left", bbox_to_anchor=(0, 0.88), fontsize=11)
curve.grid(linewidth=0.6)
curve.spines[["top", "right"]].set_visible(False)
plt.show()
