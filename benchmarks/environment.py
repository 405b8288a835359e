"""What a result depends on besides the code measured: machine, versions, load. No host names, no paths."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

LIBRARIES = (
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "POT",
    "ott-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "torch",
    "geomloss",
    "pykeops",
    "regot",
    "scikit-learn",
)


def describe(threads: int) -> dict:
    """Describe this environment.

    Parameters
    ----------
    threads : int
        Given to every library.

    Returns
    -------
    dict
        With ``fingerprint``: equal for environments whose figures belong in one table.
    """
    fixed = {
        "cpu": _cpu_model(),
        "cores": _cores(),
        "threads": threads,
        "os": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "blas": _blas(),
        "versions": _versions(),
        "commit": _commit(),
    }
    text = json.dumps(fixed, sort_keys=True)
    return {**fixed, "fingerprint": hashlib.sha256(text.encode()).hexdigest()[:12], **moment()}


def moment() -> dict:
    """Date and load average: what changes while a suite runs."""
    load = [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else None
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"date": now.isoformat(timespec="seconds"), "load": load}


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as info:
            fields = dict(map(str.strip, line.split(":", 1)) for line in info if ":" in line)
    except OSError:
        return platform.processor() or platform.machine()
    name = fields.get("model name", platform.machine())
    # Virtual machines hide the model's name; family and model number still tell the microarchitecture.
    numbers = [f"{k} {fields[f]}" for k, f in (("family", "cpu family"), ("model", "model")) if f in fields]
    widest = [isa for isa in ("avx512f", "avx2") if isa in fields.get("flags", "").split()][:1]
    return ", ".join([name, *numbers, *widest])


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _blas() -> str:
    import numpy as np

    try:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas['version']}"
    except (KeyError, TypeError):
        return "unknown"


def _versions() -> dict[str, str]:
    return {name: _version(name) for name in LIBRARIES}


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit, marked where the package or the benchmarks differ from it."""
    root = Path(__file__).resolve().parent.parent
    try:
        commit = _git(root, "rev-parse", "--short=10", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", "ot_solvers", "benchmarks/*.py", "benchmarks/**/*.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with changes" if changed else commit


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
