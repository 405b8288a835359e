"""Ways to choose the next point of a fixed-point iteration ``x -> T(x)``.

Each rule sees pairs (x, T(x)) and proposes the next x. Safeguarding is the loop's business: it measures
every point anyway, and calls `reset` when a proposal was worse than what it started from.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Anderson", "Plain", "Relaxation"]


class Plain:
    """``x_next = T(x)``."""

    def propose(self, x, image):
        return image

    def reset(self):
        pass


class Relaxation:
    """Over-relaxation ``x + omega (T(x) - x)``.

    Parameters
    ----------
    omega : float in (0, 2) or None
        None: estimated. The linear rate q of the plain iteration is read off two residuals and
        ``omega = 2 / (1 + sqrt(1 - q))`` [thibault:21]_; a fixed omega near 2 from a cold start diverges
        on ordinary problems, hence also a late start.
    start : int
        Plain steps first.
    """

    def __init__(self, omega: float | None, start: int = 10):
        self.given = omega
        self.start = start
        #: The most it may use: an estimated rate may promise too much, a given one is the caller's.
        self.cap = 1.95 if omega is None else omega
        self.omega = 1.0
        self.reset()

    def reset(self):
        if self.omega > 1:
            # It overshot with this omega: half as far from now on.
            self.cap = 0.5 * (1 + self.omega)
        self.steps = 0
        self.previous = None
        self.omega = 1.0

    def propose(self, x, image):
        self.steps += 1
        residual = image - x
        size = float(residual @ residual)
        if self.steps > self.start:
            if self.given is not None:
                self.omega = self.given
            elif self.omega == 1.0 and self.previous:
                rate = min(np.sqrt(size / self.previous), 1 - 1e-6)
                self.omega = 2 / (1 + np.sqrt(1 - rate))
            self.omega = min(self.omega, self.cap)
        self.previous = size
        return x + self.omega * residual


class Anderson:
    """Anderson acceleration, type II, on every second step [walker:11]_, [banerjee:16]_.

    The plain step in between damps what an extrapolation stirs up: extrapolating at every step stalled on
    clouds at eps = 1e-3 max C where alternation needed 200 passes (plain sweeps: over 4000).

    Parameters
    ----------
    memory : int >= 1
        Differences kept.
    weights : (m,) array
        Residuals are measured in this weighted norm: columns without mass do not count.
    """

    #: Extrapolate every `period`-th step.
    period = 2
    #: Tikhonov term of the small least-squares problem, in units of its normalised diagonal.
    ridge = 1e-10

    def __init__(self, memory: int, weights):
        self.memory = memory
        self.root = np.sqrt(weights)
        self.reset()

    def reset(self):
        self.image = self.residual = None
        self.image_steps: list[np.ndarray] = []
        self.residual_steps: list[np.ndarray] = []
        self.steps = 0

    def propose(self, x, image):
        residual = (image - x) * self.root
        if self.image is not None:
            change = residual - self.residual
            size = np.sqrt(change @ change)
            if size > 0:
                # Normalised columns: residuals shrink by orders of magnitude over the memory.
                self.residual_steps.append(change / size)
                self.image_steps.append((image - self.image) / size)
                if len(self.image_steps) > self.memory:
                    del self.image_steps[0], self.residual_steps[0]
        self.image, self.residual = image, residual
        self.steps += 1
        if not self.image_steps or self.steps % self.period:
            return image
        R = np.stack(self.residual_steps)
        gram = R @ R.T
        gram[np.diag_indices_from(gram)] += self.ridge
        weights = np.linalg.solve(gram, R @ residual)
        step = image.copy()
        for w, change in zip(weights, self.image_steps):
            step -= w * change
        return step
