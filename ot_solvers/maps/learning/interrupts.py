"""Ctrl-C between two steps of training instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["HeldInterrupts"]


class HeldInterrupts:
    """While entered, the first Ctrl-C sets `requested`; a second one raises ``KeyboardInterrupt`` at once.

    Where somebody else handles the signal, and outside the main thread, it installs nothing; if the handler is a
    method of an object that holds interrupts too, one with a bool `requested`, that object is asked.
    """

    def __init__(self) -> None:
        self._requested = False
        self._installed = False
        self._holder: Any = None

    @property
    def requested(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._requested or (self._holder is not None and self._holder.requested)

    def __enter__(self) -> HeldInterrupts:
        if threading.current_thread() is not threading.main_thread():
            return self
        handler = signal.getsignal(signal.SIGINT)
        owner = getattr(handler, "__self__", None)
        if handler is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._on_signal)
            self._installed = True
        elif isinstance(getattr(owner, "requested", None), bool):
            self._holder = owner
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            raise KeyboardInterrupt
        self._requested = True
