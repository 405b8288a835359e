"""The process that runs one library: ``python -m benchmarks.worker``.

Reads one JSON command per line on stdin and answers one JSON line each. Only the standard library is
imported here, so that the import of a library can itself be measured.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time

from .memory import PeakMemory
from .privacy import scrub


class Session:
    """State of one worker: an adapter with its problem."""

    def __init__(self):
        self.adapter = None

    def do_import(self, module: str) -> dict:
        """Import a module and time it; meaningful once, as the first command."""
        start = time.perf_counter()
        importlib.import_module(module)
        return {"seconds": time.perf_counter() - start}

    def do_load(self, adapter: str, problem: str, threads: int, options: dict) -> dict:
        """Load the problem and hand it to the library."""
        from .adapters import load_adapter
        from .problems import Problem

        start = time.perf_counter()
        self.adapter = load_adapter(adapter)(Problem.load(problem), threads, **options)
        self.adapter.prepare()
        return {"seconds": time.perf_counter() - start}

    def do_compile(self, setting: dict) -> dict:
        """Compile for a setting, timed apart from runs."""
        start = time.perf_counter()
        self.adapter.compile(self._setting(setting))
        return {"seconds": time.perf_counter() - start}

    def do_run(self, setting: dict, save: str | None = None, memory: bool = False, repeat: int = 1) -> dict:
        """Run once (or `repeat` times: the mean), and hand over the answer in a file if asked to."""
        setting = self._setting(setting)
        peak = PeakMemory() if memory else contextlib.nullcontext()
        with peak:
            start, worked = time.perf_counter(), time.process_time()
            for _ in range(repeat):
                raw = self.adapter.run(setting)
            seconds = (time.perf_counter() - start) / repeat
            worked = (time.process_time() - worked) / repeat
        answer = self.adapter.answer(raw)
        reply = {
            "seconds": seconds,
            "cpu_seconds": worked,
            "iterations": answer.iterations,
            "claim": answer.claim,
        }
        if answer.details is not None:
            reply["details"] = answer.details
        if memory:
            reply |= {"peak_bytes": peak.bytes, "peak_source": peak.source}
        if save is not None:
            reply["answer"] = self._save(answer, save)
        return reply

    @staticmethod
    def _setting(record: dict):
        from .adapters import Setting

        return Setting(**record)

    @staticmethod
    def _save(answer, folder: str) -> dict:
        """Write the arrays of an answer as ``.npy`` files (sparse ones as ``.npz``); return their names."""
        import numpy as np
        from scipy import sparse

        files = {}
        for name in ("f", "g", "plan", "values", "distance", "directions", "images"):
            array = getattr(answer, name)
            if sparse.issparse(array):
                files[name] = os.path.join(folder, f"{name}.npz")
                sparse.save_npz(files[name], array)
            elif array is not None:
                files[name] = os.path.join(folder, f"{name}.npy")
                np.save(files[name], array)
        return files


def main() -> None:
    """Serve commands until stdin closes."""
    # Libraries print: the pipe to the parent is a private copy of stdout, and theirs goes where errors go.
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    session = Session()
    for line in sys.stdin:
        command = json.loads(line)
        action = getattr(session, "do_" + command.pop("do"))
        try:
            reply = {"ok": True, **action(**command)}
        except Exception as error:  # whatever a library raises is a result of the benchmark
            reply = {"ok": False, "error": scrub(f"{type(error).__name__}: {error}")}
        channel.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
