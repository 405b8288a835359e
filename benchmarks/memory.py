"""Peak memory of a piece of work, above what the process held before it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import re
import threading


class PeakMemory:
    """Context manager; afterwards `bytes` is the peak resident set above the one at entry.

    On Linux the kernel's own high-water mark is reset and read: exact. Elsewhere a thread samples the
    resident set through psutil, which may miss short peaks. `source` says which. What the allocator has kept of
    earlier work is given back first, where it can be (glibc): it would hide what is used again.
    """

    interval = 0.005  # seconds between two samples

    def __enter__(self):
        self.bytes = 0
        _give_back()
        self.source = "high-water mark" if self._reset_mark() else "sampled"
        if self.source == "sampled":
            self._start_sampling()
        else:
            self._before = _status("VmRSS")
        return self

    def __exit__(self, *exception):
        if self.source == "sampled":
            self._stop.set()
            self._sampler.join()
        else:
            self.bytes = max(0, _status("VmHWM") - self._before)

    @staticmethod
    def _reset_mark() -> bool:
        try:
            with open("/proc/self/clear_refs", "w") as control:
                control.write("5")  # proc(5): reset the peak resident set
            return _status("VmHWM") > 0
        except OSError:
            return False

    def _start_sampling(self):
        import psutil

        process = psutil.Process(os.getpid())
        self._before = process.memory_info().rss
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, args=(process,), daemon=True)
        self._sampler.start()

    def _sample(self, process):
        while True:
            self.bytes = max(self.bytes, process.memory_info().rss - self._before)
            if self._stop.wait(self.interval):
                return


def _give_back() -> None:
    """Return free memory of the heap to the system."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _status(field: str) -> int:
    """One field of ``/proc/self/status``, in bytes."""
    with open("/proc/self/status") as status:
        found = re.search(rf"^{field}:\s+(\d+) kB", status.read(), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0
