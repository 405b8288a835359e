"""Ctrl-C in two steps: the first asks to stop, the second aborts."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

MESSAGE = b"\not-solvers: stopping at the next iteration; Ctrl-C again aborts\n"


class Interruption:
    """While entered, Ctrl-C sets `requested` instead of raising; a second one raises ``KeyboardInterrupt``.

    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: Any = None
        self._installed = False

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._previous)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        # Straight to the descriptor: the signal may have come in the middle of a buffered write to stderr,
        # and those are not reentrant.
        with contextlib.suppress(OSError):
            os.write(2, MESSAGE)
