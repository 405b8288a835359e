"""
A matching that is learned
==========================

Two telescopes look at the same sky, turned by an unknown angle and only partly at the same stars. Which star of
one picture is which of the other, and which is in one picture only? A small network describes every star by the
triangles that it forms with its neighbours, and ``MatchingLayer`` makes a plan of the descriptions, with a dustbin
for stars without partner. On skies whose partners are known the network learns from the derivative of the plan.
"""

# %%
# Pictures of the sky
# -------------------
# Each telescope sees a disc of radius 1. Of 32 stars in a picture, 22 are in the other one too, 1 should be and is
# too faint there, and 9 are outside its disc. Positions are off by 0.004.

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.patches import Circle
from torch import nn

from ot_solvers.layers.torch import MatchingLayer

SHARED, FAINT_ONES, OUTSIDE, NOISE = 22, 1, 9, 0.004
N = SHARED + FAINT_ONES + OUTSIDE
rng = np.random.default_rng(0)
torch.manual_seed(0)


def disc(accept):
    """Points of the unit disc, drawn until there are enough of every kind."""
    points = rng.uniform(-1, 1, (600, 2))
    points = points[np.linalg.norm(points, axis=1) < 1]
    return points[accept(points)]


def pair_of_pictures(shift=0.5):
    """Two pictures (N, 2), and the partner of every star of the first, -1 where it has none."""
    centres = np.array([[-shift / 2, 0.0], [shift / 2, 0.0]])

    def seen(k):
        return lambda points: np.linalg.norm(points + centres[k] - centres[1 - k], axis=1) < 1

    def unseen(k):
        return lambda points: ~seen(k)(points)

    both = disc(seen(0))[:SHARED] + centres[0]
    pictures, orders = [], []
    for k in range(2):
        faint, outside = disc(seen(k))[:FAINT_ONES], disc(unseen(k))[:OUTSIDE]
        points = np.concatenate([both - centres[k], faint, outside])
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        order = rng.permutation(N)
        pictures.append((points @ turn.T + NOISE * rng.normal(size=(N, 2)))[order])
        orders.append(np.argsort(order))
    partner = np.full(N, -1)
    partner[orders[0][:SHARED]] = orders[1][:SHARED]
    return *pictures, partner


def batch(size):
    x, y, partner = (np.stack(part) for part in zip(*(pair_of_pictures() for _ in range(size))))
    return torch.as_tensor(x).float(), torch.as_tensor(y).float(), torch.as_tensor(partner)


# %%
# Triangles to descriptions to a plan
# -----------------------------------
# With two of its six nearest neighbours a star forms a triangle: two lengths and an angle, the same however the
# telescope is turned. A network looks at each triangle, and the maximum over all of them is not troubled by those
# that the other telescope does not see. A second look is at the neighbours' own descriptions. Products of
# descriptions are scores.

K = 6
FIRST, SECOND = np.triu_indices(K, 1)
WAVES = torch.tensor([4.0, 9.0, 20.0])


def waves(lengths):
    """(..., k) lengths to (..., 6 k) sines and cosines, which tell small differences apart."""
    phases = (lengths[..., None] * WAVES).flatten(-2)
    return torch.cat([phases.sin(), phases.cos()], -1)


def at(z, near):
    """(B, n, K, d): rows of z (B, n, d) at the neighbours of every star."""
    return z[torch.arange(len(z))[:, None, None], near]


class Matcher(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.look = nn.Sequential(nn.Linear(14, width), nn.GELU(), nn.Linear(width, width))
        self.ask = nn.Sequential(nn.Linear(width + 6, width), nn.GELU(), nn.Linear(width, width))
        self.describe = nn.Sequential(nn.GELU(), nn.Linear(2 * width, width))
        self.matching = MatchingLayer(1.0, dustbin=0.0, tol=1e-4)

    def descriptions(self, x):
        apart = torch.linalg.vector_norm(x[:, None] - x[:, :, None], dim=-1)
        near = apart.topk(K + 1, largest=False).indices[..., 1:]  # without itself
        edges = at(x, near) - x[:, :, None]
        length = torch.linalg.vector_norm(edges, dim=-1)
        p, q = edges[:, :, FIRST], edges[:, :, SECOND]
        lengths = torch.stack([length[:, :, FIRST], length[:, :, SECOND]], -1)
        turn = torch.stack([(p * q).sum(-1), p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]], -1)
        triangles = torch.cat([waves(lengths), turn / lengths.prod(-1, keepdim=True)], -1)
        own = self.look(triangles).amax(2)
        others = self.ask(torch.cat([at(own, near), waves(length[..., None])], -1)).amax(2)
        return self.describe(torch.cat([own, others], -1))

    def forward(self, x, y):
        u, v = self.descriptions(x), self.descriptions(y)
        return self.matching(u @ v.mT / u.shape[-1] ** 0.5) * 2 * N  # points weigh 1


def loss_of(plan, partner):
    """Mean of -log of where the plan should be: at the partner, or in the dustbin."""
    log = plan.clamp_min(1e-12).log()
    row = torch.where(partner >= 0, partner, N)
    rows = torch.gather(log[:, :N], 2, row[:, :, None])
    alone = torch.ones(len(partner), N + 1, dtype=torch.bool).scatter(1, row, False)[:, :N]
    return -(rows.sum() + log[:, N, :N][alone].sum()) / (rows.numel() + alone.sum())


# %%
# Six hundred steps
# -----------------
# Every step sees new skies. A match is what is largest in its row and in its column of the plan, dustbins
# included.


def matches(plan):
    """(n,) partners, -1: none."""
    best = plan[:N].argmax(1)
    mutual = (best < N) & (plan[:, :N].argmax(0)[best.clamp_max(N - 1)] == torch.arange(N))
    return torch.where(mutual, best, -1)


def quality(model, data):
    """Of the matches, how many are right; and of the pairs, how many are found."""
    with torch.no_grad():
        found = torch.stack([matches(plan) for plan in model(*data[:2])])
    right = ((found == data[2]) & (found >= 0)).sum().item()
    return right / max(1, (found >= 0).sum().item()), right / (data[2] >= 0).sum().item()


model, validation = Matcher(), batch(20)
with torch.no_grad():
    before = model(*validation[:2])
losses, tests, steps = [], [], 600
optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, steps)
for step in range(steps):
    if step % 25 == 0:
        tests.append((step, *quality(model, validation)))
    x, y, partner = batch(16)
    loss = loss_of(model(x, y), partner)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    schedule.step()
    losses.append(loss.item())
tests.append((steps, *quality(model, validation)))
with torch.no_grad():
    after = model(*validation[:2])
for step, right, found in (tests[0], tests[-1]):
    print(f"after {step:3} steps: {right:4.0%} of the matches are right, {found:4.0%} of the pairs are found")

# %%
# Before and after
# ----------------
# The second picture is turned back, so that right lines run along each other; the network saw it turned. Sizes
# of stars are for the eye only. Green matches are right, rose ones wrong, and rings are stars that have none.
# Before training everything went to the dustbins: drawn are the largest entries of all rows, dustbin aside.

PAPER, INK, FAINT, RULE = "#15161a", "#f2efe9", "#9a948a", "#3a3b43"
GOLD, BLUE, ROSE, GREEN = "#e8b04a", "#6fb7e8", "#e07a9a", "#7fc48f"
plt.rcParams.update(
    dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), INK)
    | {"xtick.color": FAINT, "ytick.color": FAINT, "axes.edgecolor": RULE, "grid.color": "#2b2c33"}
    | {"figure.facecolor": PAPER, "axes.facecolor": PAPER, "axes.titlelocation": "left", "font.size": 11}
)

shown = 0
x, y, partner = (part[shown].numpy() for part in validation)
paired = np.flatnonzero(partner >= 0)
# The rotation and shift that bring true partners together.
p, q = x[paired] - x[paired].mean(axis=0), y[partner[paired]] - y[partner[paired]].mean(axis=0)
left, _, right = np.linalg.svd(q.T @ p)
y = y @ (left @ right)
size = rng.gamma(1.5, 28.0, N) + 8
other_size = rng.gamma(1.5, 28.0, N) + 8
other_size[partner[paired]] = size[paired]
gap = np.array([1.16, 0.0])


def sky(axes, plan, found):
    share = plan[:N, :N].numpy()
    i = np.flatnonzero(found >= 0)
    j = found[i]
    good = partner[i] == j
    for wanted, colour in ((False, ROSE), (True, GREEN)):
        k = good == wanted
        if not k.any():  # nothing to draw, and a collection has no alpha of no lines
            continue
        lines = LineCollection(np.stack([x[i[k]] - gap, y[j[k]] + gap], axis=1), color=colour, linewidths=1.3)
        lines.set_alpha(np.clip(0.35 + 0.55 * share[i[k], j[k]], 0, 0.9))
        axes.add_collection(lines)
    for points, centre, sizes, colour, matched in ((x, -gap, size, BLUE, i), (y, gap, other_size, GOLD, j)):
        axes.add_patch(Circle(centre, 1.06, facecolor="#1c1d24", edgecolor=RULE, zorder=0))
        face = np.where(np.isin(np.arange(N), matched), colour, PAPER)
        axes.scatter(*(points + centre).T, s=sizes, c=face, edgecolors=colour, linewidths=1.1, zorder=3)
    axes.set(xlim=(-2.3, 2.3), ylim=(-1.1, 1.1), aspect="equal")
    axes.set_axis_off()
    return f"{good.sum()} right, {len(good) - good.sum()} wrong, of {len(paired)} pairs"


figure, panels = plt.subplots(2, 1, figsize=(9.6, 9.6), layout="constrained")
aside = before[shown][:N, :N].argmax(1)
drawn = ((before[shown], aside, "Before"), (after[shown], matches(after[shown]), "After six hundred steps"))
for axes, (plan, found, title) in zip(panels, drawn):
    count = sky(axes, plan, found.numpy())
    axes.set_title(title, fontsize=15, fontweight="bold")
    axes.text(1, 1.02, count, transform=axes.transAxes, color=FAINT, ha="right")
plt.show()

# %%
# The plans behind them
# ---------------------
# Stars in an order that puts partners on the diagonal; the last row and column are the dustbins. On the right, the
# loss, and what comes of it for twenty skies that were not trained on.

order = np.concatenate([paired, np.flatnonzero(partner < 0), [N]])
alone = np.setdiff1d(np.arange(N), partner[paired])
other = np.concatenate([partner[paired], alone, [N]])
cmap = LinearSegmentedColormap.from_list("night", [PAPER, "#2c4a63", BLUE, INK])

figure, panels = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained", width_ratios=[1, 1, 1.15])
for axes, plan, title in zip(panels, (before[shown], after[shown]), ("plan before", "plan after")):
    image = axes.imshow(plan.numpy()[np.ix_(order, other)], cmap=cmap, norm=PowerNorm(0.5, 0, 1))
    axes.axhline(N - 0.5, color=ROSE, linewidth=0.8)
    axes.axvline(N - 0.5, color=ROSE, linewidth=0.8)
    axes.set_title(title, fontsize=13)
    axes.set(xticks=[], yticks=[], xlabel="stars of the second picture, dustbin", ylabel="stars of the first")
bar = figure.colorbar(image, ax=panels[:2], shrink=0.8, ticks=[0, 0.1, 0.5, 1], pad=0.02)
bar.ax.set_yticklabels(["0", "0.1", "0.5", "1"])
bar.outline.set_visible(False)
axes = panels[2]
axes.grid(linewidth=0.6)
axes.spines[["top", "right"]].set_visible(False)
smooth = np.convolve(losses, np.ones(15) / 15, mode="valid")
axes.plot(losses, color=FAINT, linewidth=0.6, alpha=0.5)
axes.plot(np.arange(len(smooth)) + 7, smooth, color=INK, linewidth=1.8)
step, right, found = np.array(tests).T
seen = step >= 75
axes.plot(step[seen], right[seen], "o-", color=GREEN, markersize=3.5)
axes.plot(step, found, "o-", color=GOLD, markersize=3.5)
axes.text(140, 1.6, "loss", color=INK)
axes.text(steps, right[-1] + 0.07, "matches that are right", color=GREEN, ha="right")
axes.text(145, 0.3, "pairs that are found", color=GOLD)
axes.set_title("loss and matches", fontsize=13)
axes.set(xlabel="step", ylim=(0, None), xlim=(0, steps))
plt.show()
