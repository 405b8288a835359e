"""
What an answer is worth
=======================

Every solution carries two certificates: ``gap``, how far its value can be from the optimum of the *regularised*
problem, and ``bounds``, between which the *unregularised* optimum lies. Neither needs to know the answer.
"""

# %%
# Smaller and smaller regularisation
# ----------------------------------
# Two clouds of 600 points in the plane, for which SciPy finds the exact optimum to compare with.

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linear_sum_assignment

import ot_solvers as ots

rng = np.random.default_rng(0)
n = 600
x = rng.normal(size=(n, 2))
y = rng.uniform(-2, 2, size=(n, 2))
C = ((x[:, None] - y) ** 2).sum(-1)
rows, columns = linear_sum_assignment(C)
exact = C[rows, columns].mean()

levels = np.geomspace(0.3, 3e-4, 13)
solutions = [ots.solve(C, reg=reg) for reg in levels * C.mean()]
print(f"exact optimum {exact:.6f}\n")
print("reg / mean C   bounds               gap       marginal error   passes")
for level, solution in zip(levels[::2], solutions[::2]):
    lower, upper = solution.bounds
    errors = f"{solution.gap:8.1e}   {solution.marginal_error:8.1e}"
    print(f"{level:12.1e}   {lower:.5f} {upper:.5f}   {errors}   {solution.n_iter:12d}")

# %%
# The bounds close in on the exact optimum without ever having seen it. Below: a c-transform of the potentials.
# Above: the cost of the plan, rounded so that its marginals are exact.
#
# The way of one solve
# --------------------
# ``solution.history`` has an entry for every pass over the cost. The first levels of eps-scaling are not meant to
# converge; what counts starts at the last one.

PAPER, INK, FAINT = "#15161a", "#f2efe9", "#9a948a"
GOLD, BLUE, GREEN = "#e8b04a", "#6fb7e8", "#7fc48f"
plt.rcParams.update(
    {"figure.facecolor": PAPER, "axes.facecolor": PAPER, "text.color": INK, "axes.labelcolor": FAINT}
    | {"xtick.color": FAINT, "ytick.color": FAINT, "axes.edgecolor": "#3a3b43", "grid.color": "#2b2c33"}
)
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 6.4), layout="constrained", width_ratios=(1.1, 1))
lower, upper = np.array([solution.bounds for solution in solutions]).T
left.fill_between(levels, lower, upper, color=BLUE, alpha=0.22, linewidth=0, label="bounds on the exact optimum")
left.plot(levels, lower, color=BLUE, linewidth=1.6)
left.plot(levels, upper, color=BLUE, linewidth=1.6)
left.plot(
    levels, [solution.value for solution in solutions], color=GOLD, linewidth=1.6, label="regularised optimum"
)
left.axhline(exact, color=INK, linewidth=1.1, linestyle=(0, (4, 3)), label="exact optimum (assignment)")
left.set(xscale="log", xlabel="reg / mean cost", ylim=(0.45 * exact, 2.2 * exact))
left.invert_xaxis()
left.set_title("bounds along the regularisation", loc="left", fontsize=14)
left.legend(frameon=False, loc="upper right")

for k, colour in ((0, BLUE), (6, GREEN), (12, GOLD)):
    history = solutions[k].history
    errors = np.array([p.marginal_error for p in history])
    final = np.array([p.reg <= solutions[k].reg * (1 + 1e-9) for p in history])
    passes = np.arange(1, len(history) + 1)
    right.semilogy(passes, errors, color=colour, linewidth=0.9, alpha=0.45)
    right.semilogy(
        passes[final], errors[final], color=colour, linewidth=1.9, label=f"reg = {levels[k]:.1g} mean cost"
    )
right.axhline(1e-6, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
right.annotate("tol", (0.99, 1e-6), xycoords=("axes fraction", "data"), color=FAINT, ha="right", va="bottom")
right.set(xscale="log", xlabel="passes over the cost")
right.set_title("marginal error, faint while eps is scaled", loc="left", fontsize=14)
right.legend(frameon=False, loc="lower left")
for axes in (left, right):
    axes.grid(linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
plt.show()
