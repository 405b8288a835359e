"""``ot-solvers info``: what is installed, and what it can do."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from ot_solvers._version import __version__
from ot_solvers.commands.console import console

REQUIRED = ("numpy", "scipy", "numba", "array-api-compat")
OPTIONAL = ("torch", "jax", "cupy", "pykeops", "dask", "matplotlib", "pillow", "rich", "scikit-learn")
# CuPy is published under one name per CUDA version.
SPELLINGS = {"cupy": ("cupy", "cupy-cuda12x", "cupy-cuda13x", "cupy-cuda11x")}


def run(args: argparse.Namespace) -> int:
    """Print versions, threads, CPU, backends and the capability table.

    Returns
    -------
    int
        0.
    """
    figures = _figures()
    screen = console()
    if args.json:
        screen.json(figures)
        return 0
    rows = [("ot_solvers", figures["ot_solvers"]), ("python", figures["python"])]
    rows += [(name, version or "not installed") for name, version in figures["libraries"].items()]
    screen.table("Versions", rows)
    rows = [
        ("system", figures["system"]),
        ("CPU", figures["cpu"]),
        ("CPUs this process may use", str(figures["cpus"])),
        ("threads", str(figures["threads"])),
    ]
    screen.table("Machine", rows)
    for backend, geometries in figures["capabilities"].items():
        _capability_table(screen, backend, geometries)
    return 0


def _figures() -> dict[str, Any]:
    import ot_solvers as ots
    from ot_solvers.backends.registry import capability_table

    return {
        "ot_solvers": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "libraries": {name: _version(name) for name in (*REQUIRED, *OPTIONAL)},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cpus": _usable_cpus(),
        "threads": ots.get_num_threads(),
        "capabilities": capability_table(),
    }


def _version(library: str) -> str | None:
    """Version of an installed library, from its metadata: importing some of them takes seconds."""
    for name in SPELLINGS.get(library, (library,)):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _usable_cpus() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _capability_table(screen, backend: str, geometries: Mapping[str, frozenset[str]]) -> None:
    names = sorted(geometries)
    primitives = sorted(set().union(*geometries.values()))
    if not primitives:
        screen.table(f"Backend {backend}", [("no primitives", "")])
        return
    rows = [
        [primitive, *("yes" if primitive in geometries[name] else "-" for name in names)]
        for primitive in primitives
    ]
    screen.table(f"Backend {backend}", rows, columns=("primitive", *names))
