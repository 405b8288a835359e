"""What the package raises and warns, in one place."""

from __future__ import annotations

import sys
from types import FrameType

__all__ = [
    "ConvergenceError",
    "ConvergenceWarning",
    "DegenerateLimitWarning",
    "InfeasibleError",
    "NotFittedError",
    "PerformanceWarning",
    "UnsupportedError",
]


class UnsupportedError(ValueError, NotImplementedError):
    """A combination of legal arguments that no solver or backend of this version can do."""


class InfeasibleError(ValueError):
    """No plan with these marginals avoids the forbidden (``+inf``) pairs."""


class NotFittedError(ValueError, AttributeError):
    """A map was asked to move points before it was fitted."""


class ConvergenceError(RuntimeError):
    """Raised instead of a warning when ``on_failure="raise"``; carries ``.solution``."""

    def __init__(self, message: str, solution=None):
        super().__init__(message)
        self.solution = solution

    def __reduce__(self):
        return type(self), (str(self), self.solution)


class ConvergenceWarning(UserWarning):
    """The solver stopped before the requested tolerance; the message says what to try next."""


class PerformanceWarning(UserWarning):
    """A slow generic path runs where a fast one does not exist."""


class DegenerateLimitWarning(UserWarning):
    """A standard error or interval where the limit law is not normal: between laws that may be equal."""


def stack_depth() -> int:
    """Frames up to the first one outside the package, counted as `warnings.warn` in the caller counts."""
    depth = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        depth, frame = depth + 1, frame.f_back
    return depth
