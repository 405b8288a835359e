"""The parent's handle on a worker process."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path

from .privacy import scrub

#: Seconds a worker may take to start, import its library and load a problem.
START_SECONDS = 180


class WorkerError(RuntimeError):
    """The library raised, or its process died."""


class WorkerTimeout(WorkerError):
    """A command took longer than it may; the worker was killed."""


def thread_environment(threads: int) -> dict[str, str]:
    """Environment variables that give every library the same number of threads.

    Libraries that read none of them (torch, SciPy) are told by their adapters. Where the system can, the
    worker is also bound to as many CPUs, which no library gets around.
    """
    count = str(threads)
    names = (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "OT_SOLVERS_NUM_THREADS",
        "PJRT_NPROC",  # the size of XLA's thread pool
    )
    eigen = "true" if threads > 1 else "false"
    xla = f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={count}"
    return dict.fromkeys(names, count) | {"XLA_FLAGS": xla, "JAX_PLATFORMS": "cpu"}


class Worker:
    """One worker process; a context manager.

    Parameters
    ----------
    threads : int
    environment : dict of str, optional
        Further environment variables.
    """

    def __init__(self, threads: int, environment: dict[str, str] | None = None):
        root = Path(__file__).resolve().parent.parent
        paths = [str(root), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            **thread_environment(threads),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            **(environment or {}),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the parent: it ends workers itself, records in hand
        )
        if hasattr(os, "sched_setaffinity"):
            cpus = sorted(os.sched_getaffinity(0))[:threads]
            os.sched_setaffinity(self.process.pid, cpus)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def ask(self, do: str, timeout: float, **arguments) -> dict:
        """Send a command and wait for its reply.

        Raises
        ------
        WorkerTimeout
            After `timeout` seconds; the worker is gone then.
        WorkerError
            If the library raised or the process died.
        """
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self._read_line(timeout)
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            raise WorkerError(f"the process died (exit code {self.process.returncode})")
        reply = json.loads(line)
        if not reply.pop("ok"):
            raise WorkerError(scrub(reply["error"]))
        return reply

    def _read_line(self, timeout: float) -> str:
        # Replies are single short lines, written at once: readable means complete.
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                self.close()
                raise WorkerTimeout(f"no answer within {timeout:.0f} s")
        return self.process.stdout.readline()

    def close(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            self._kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _kill(self) -> None:
        if hasattr(os, "killpg"):
            os.killpg(self.process.pid, signal.SIGKILL)  # with its compilers, if any
        else:
            self.process.kill()
