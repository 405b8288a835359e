"""The disk cache of compiled kernels and the costs of users: found again, never stale, nobody else's trouble."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ot_solvers as ots

ROOT = Path(ots.__file__).resolve().parent.parent
pytestmark = pytest.mark.slow

COST = """
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import ot_solvers as ots


class Kernel(NamedTuple):
    zero: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        return total + FACTOR * abs(u - v)

    @staticmethod
    def finish(kernel, total):
        return total


@dataclass(frozen=True)
class Scaled(ots.costs.Cost):
    def pairwise(self, x, y, xp=np):
        return FACTOR * xp.sum(xp.abs(x[:, None, :] - y[None, :, :]), axis=-1)

    def kernel(self, dtype, d):
        return Kernel(dtype(0))
"""
#: Prints the cost of moving from 0 to 1, by a compiled minimum.
ASK = """
import numpy as np
from ot_solvers.backends import registry
from ot_solvers.geometry import PointCloud

cloud = PointCloud(np.zeros((1, 1)), np.ones((1, 1)), {cost})
print(registry.get("numba").hardmin(cloud, np.zeros(1))[0])
"""


@pytest.fixture
def place(tmp_path):
    """(run a script in this folder, number of compiled files in its cache)."""

    def run(source, folder=".", package=ROOT):
        home = tmp_path / folder
        home.mkdir(exist_ok=True)
        (home / "script.py").write_text(source)
        done = subprocess.run(
            [sys.executable, "script.py"],
            cwd=home,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(package), "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        )
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    return run, lambda: len(list((tmp_path / "cache").rglob("*.nbc")))


def test_costs_in_modules(place, tmp_path):
    run, compiled = place
    mine = "import costs_of_mine\n" + ASK.format(cost="costs_of_mine.Scaled()")
    module = tmp_path / "costs_of_mine.py"
    module.write_text(COST.replace("FACTOR", "3.0"))
    assert run(mine) == 3.0
    count = compiled()
    assert count > 0
    assert run(mine) == 3.0
    assert compiled() == count, "found again by a later process"

    module.write_text(COST.replace("FACTOR", "5.0"))
    assert run(mine) == 5.0, "an edited cost is compiled anew"
    assert compiled() > count

    # A process that cannot import the module reads the same cache.
    plain = "import ot_solvers as ots\n" + ASK.format(cost="ots.costs.SqEuclidean()")
    assert run(plain, "elsewhere") == 1.0


def test_costs_in_scripts(place):
    run, compiled = place
    assert run(COST.replace("FACTOR", "3.0") + ASK.format(cost="Scaled()")) == 3.0
    count = compiled()
    assert run(COST.replace("FACTOR", "3.0") + ASK.format(cost="Scaled()")) == 3.0
    assert compiled() == count, "found again by a later process"
    # Another script with a class of the same name.
    assert run(COST.replace("FACTOR", "7.0") + ASK.format(cost="Scaled()"), "elsewhere") == 7.0


def test_an_upgrade_of_the_package(place, tmp_path):
    """A changed helper is compiled anew, although the file of the kernel that calls it stays the same."""
    run, _ = place
    shutil.copytree(ROOT / "ot_solvers", tmp_path / "ot_solvers", ignore=shutil.ignore_patterns("__pycache__"))
    plain = "import ot_solvers as ots\n" + ASK.format(cost="ots.costs.SqEuclidean()")
    assert run(plain, package=tmp_path) == 1.0

    rows = tmp_path / "ot_solvers" / "backends" / "numba" / "rows.py"
    before = rows.read_text()
    after = before.replace(
        "out[j] = finish(kernel, accumulate(kernel, zero,", "out[j] = 2 * finish(kernel, accumulate(kernel, zero,"
    )
    assert after.count("2 * finish") == 1
    rows.write_text(after)
    for file in rows.parent.glob("*.py"):  # the cache's index must not need the old record
        file.write_text(file.read_text().replace("CloudRows", "OtherRows"))
    assert run(plain, package=tmp_path) == 2.0


def test_costs_typed_into_an_interpreter():
    """No file to take a digest of: the functions themselves."""
    from ot_solvers.backends.numba.cost_kernels import cost_name

    names = []
    for factor in ("3.0", "5.0", "3.0"):
        space = {"__name__": "no_such_module"}
        exec(COST.replace("FACTOR", factor), space)
        names.append(cost_name(space["Kernel"]))
    assert names[0] == names[2] != names[1]
