"""
Straight flows
==============

A flow carries noise to data along the average of straight lines between pairs. Which points are paired is free, as
long as each side keeps its law. Drawn independently, lines cross, the average bends, and many steps are needed to
follow it. Pairs from transport between minibatches, ``OTPlanSampler``, hardly cross. And there is a way without
any solve: independent pairs with weights, ``wcfm_weights``.
"""

# %%
# Eight Gaussians to two moons
# ----------------------------
# The weights are ``exp(-|x0 - x1| / eps)``, those of an entropic plan without potentials. A small eps gives short
# pairs, but tilts the laws: points that are far from everything count less. ``choose_kappa`` looks for the elbow.
# Potentials from a few sweeps, made once, take the tilt away, and eps may be smaller.

import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

import ot_solvers as ots
from ot_solvers.layers.torch import (
    OTPlanSampler,
    choose_kappa,
    sweep_potentials,
    wcfm_weights,
    weight_diagnostics,
)

torch.set_num_threads(1)  # a network this small is slower on more
generator = torch.Generator().manual_seed(0)


def gaussians(n):
    angle = 2 * torch.pi * torch.randint(8, (n,), generator=generator) / 8
    centre = 5 * torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
    return centre + 0.3 * torch.randn(n, 2, generator=generator)


def moons(n):
    t = torch.pi * torch.rand(n, generator=generator)
    upper = torch.stack([torch.cos(t), torch.sin(t)], dim=1)
    lower = torch.stack([1 - torch.cos(t), 0.5 - torch.sin(t)], dim=1)
    side = torch.rand(n, 1, generator=generator) < 0.5
    return 3 * (torch.where(side, upper, lower) + 0.07 * torch.randn(n, 2, generator=generator)) - 1


choice = choose_kappa(gaussians(1500), moons(1500))
eps = choice.kappa * 2**0.5
at = choice.diagnostics[choice.kappas.index(choice.kappa)]
print(f"kappa {choice.kappa:.2f}: tilt {at.tilt:.2f}, effective share {at.effective_share:.2f}")
potentials = sweep_potentials(gaussians(1500), moons(1500), kappa=0.6, sweeps=20)
left = weight_diagnostics(gaussians(1500), moons(1500), potentials=potentials)
print(f"kappa 0.60, with potentials: tilt {left.tilt:.3f}, effective share {left.effective_share:.2f}")

# %%
# One network, four pairings
# --------------------------
# The same network and the same number of steps each time. Only the pairs differ, and the weights of the loss.

sampler = OTPlanSampler("exact", seed=1)


def independent(x0, x1):
    return x0, x1, torch.ones(len(x0))


def minibatch(x0, x1):
    return *sampler.sample_assignment(x0, x1), torch.ones(len(x0))


def weighted(x0, x1):
    return x0, x1, wcfm_weights(x0, x1, eps=eps, normalise=True)


def unbiased(x0, x1):
    return x0, x1, wcfm_weights(x0, x1, potentials=potentials, normalise=True)


def trained(pairing, steps=1000, batch=256):
    torch.manual_seed(0)
    layers = [torch.nn.Linear(3, 96), torch.nn.SiLU()]
    layers += [torch.nn.Linear(96, 96), torch.nn.SiLU(), torch.nn.Linear(96, 96), torch.nn.SiLU()]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(96, 2))
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x0, x1, weights = pairing(gaussians(batch), moons(batch))
        t = torch.rand(batch, 1, generator=generator)
        velocity = network(torch.cat([x0 + t * (x1 - x0), t], dim=1))
        loss = (weights * (velocity - (x1 - x0)).square().sum(1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network


pairings = {
    "independent": independent,
    "W-CFM": weighted,
    "W-CFM, with potentials": unbiased,
    "minibatch transport": minibatch,
}
networks = {}
for name, pairing in pairings.items():
    start = time.perf_counter()
    networks[name] = trained(pairing)
    print(f"{name:23s} {time.perf_counter() - start:4.0f} s")


# %%
# Paths
# -----
# A path is straight if its speed is the same all the way. Bending is measured by the mean of
# ``|v(x_t, t) - (x_1 - x_0)|^2`` along paths, relative to the squared way: 0 for straight ones.


@torch.no_grad()
def paths(network, x, steps):
    found = [x]
    for k in range(steps):
        t = torch.full((len(x), 1), k / steps)
        x = x + network(torch.cat([x, t], dim=1)) / steps
        found.append(x)
    return torch.stack(found)


def bending(path):
    way = path[-1] - path[0]
    speed = (path[1:] - path[:-1]) * (len(path) - 1)
    return float((speed - way).square().sum(2).mean() / way.square().sum(1).mean())


source, target = gaussians(1000), moons(1000)
for name, network in networks.items():
    path = paths(network, source, 100)
    length = float((path[1:] - path[:-1]).norm(dim=2).sum(0).mean())
    print(f"{name:23s} bending {bending(path):.3f}, mean length {length:.2f}")
best = ots.solve_sample(source, target, cost="euclidean")
print(f"shortest possible                      length {float(best):.2f}")

# %%

PAPER, INK, FAINT, RULE = "#15161a", "#f2efe9", "#9a948a", "#3a3b43"
GOLD, BLUE, ROSE, GREEN, VIOLET = "#e8b04a", "#6fb7e8", "#e07a9a", "#7fc48f", "#a48be8"
colours = dict(zip(networks, (FAINT, ROSE, VIOLET, GREEN)))
plt.rcParams.update(
    dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), INK)
    | {"xtick.color": FAINT, "ytick.color": FAINT, "axes.edgecolor": RULE, "grid.color": "#2b2c33"}
    | {"figure.facecolor": PAPER, "axes.facecolor": PAPER, "axes.titlelocation": "left", "font.size": 11}
)

# A hue for each Gaussian, so that one sees where its points end.
hues = np.array([to_rgb(c) for c in (GOLD, "#e8925a", ROSE, "#c879c9", VIOLET, BLUE, "#63c5b8", GREEN)])
start = source[:400]
cluster = ((torch.atan2(start[:, 1], start[:, 0]) / (torch.pi / 4)).round().long() % 8).numpy()

figure, panels = plt.subplots(2, 2, figsize=(12, 10.4), layout="constrained")
for axes, (name, network) in zip(panels.flat, networks.items()):
    path = paths(network, start, 100).numpy()
    for k in range(8):
        lines = np.swapaxes(path[:, cluster == k], 0, 1)
        axes.add_collection(LineCollection(lines, color=hues[k], linewidths=0.7, alpha=0.38))
    axes.scatter(*path[0].T, s=5, c=hues[cluster], linewidths=0, alpha=0.8)
    axes.scatter(*path[-1].T, s=13, c=hues[cluster], linewidths=0.3, edgecolors=PAPER, zorder=3)
    axes.set_title(name, fontsize=15, fontweight="bold")
    axes.text(0, -0.005, f"bending {bending(paths(network, source, 100)):.3f}", transform=axes.transAxes,
              color=FAINT, va="top")  # fmt: skip
    axes.set(xlim=(-6.6, 6.9), ylim=(-6.4, 6.4), aspect="equal")
    axes.set_axis_off()
plt.show()

# %%
# What straight paths are good for
# --------------------------------
# Few steps. How far from the data is what comes out, by the Wasserstein distance between 1000 generated points and
# 1000 new ones of the moons? The line below is that of two samples of the moons themselves. One step of a flow
# from independent pairs goes to the mean of the data. Weights cost nothing, and few steps get closer; what remains
# with many steps is the tilt. With potentials it goes away. Pairs from transport need one step. To the right, the
# price of a small eps: tilt, and pairs that do not count.

counts = (1, 2, 4, 8, 16, 32)
figure, (left_axes, right_axes) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
for axes in (left_axes, right_axes):
    axes.grid(linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
for name, network in networks.items():
    distance = [float(ots.wasserstein(paths(network, source, k)[-1], target)) for k in counts]
    left_axes.plot(counts, distance, "o-", color=colours[name], linewidth=2, markersize=5, label=name)
floor = float(ots.wasserstein(moons(1000), target))
left_axes.axhline(floor, color=GOLD, linewidth=1.2, linestyle=(0, (4, 3)))
left_axes.text(32, floor * 0.94, "two samples of the moons", color=GOLD, ha="right", va="top", fontsize=9.5)
left_axes.set(xscale="log", yscale="log", xlabel="Euler steps")
left_axes.set_title("W2 to the moons", fontsize=13)
left_axes.set_xticks(counts, map(str, counts))
left_axes.set_yticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
left_axes.minorticks_off()
left_axes.set_ylim(0.75 * floor, None)
left_axes.legend(frameon=False, labelcolor="linecolor")

kappas = np.array(choice.kappas)
right_axes.plot(kappas, [each.tilt for each in choice.diagnostics], color=ROSE, linewidth=2)
right_axes.plot(kappas, [each.effective_share for each in choice.diagnostics], color=BLUE, linewidth=2)
right_axes.axvline(choice.kappa, color=RULE, linewidth=1.2)
right_axes.plot(choice.kappa, at.tilt, "o", color=ROSE)
right_axes.plot(choice.kappa, at.effective_share, "o", color=BLUE)
right_axes.text(choice.kappa * 1.07, 1.42, "elbow", color=FAINT)
right_axes.text(kappas[1], 1.3, "tilt of the laws", color=ROSE, ha="left")
right_axes.text(kappas[-1], 0.62, "effective share of pairs", color=BLUE, ha="right")
right_axes.set(xscale="log", ylim=(0, 1.55), xlabel="kappa")
right_axes.set_title("what weights cost", fontsize=13)
right_axes.set_xticks([0.125, 0.5, 2, 8], ["1/8", "1/2", "2", "8"])
right_axes.minorticks_off()
plt.show()
