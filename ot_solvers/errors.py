"""What the package raises and warns, in one place."""

from __future__ import annotations

__all__ = [
    "ConvergenceError",
    "ConvergenceWarning",
    "InfeasibleError",
    "PerformanceWarning",
    "UnsupportedError",
]


class UnsupportedError(ValueError, NotImplementedError):
    """A combination of legal arguments that no solver or backend of this version can do."""


class InfeasibleError(ValueError):
    """No plan with these marginals avoids the forbidden (``+inf``) pairs."""


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
