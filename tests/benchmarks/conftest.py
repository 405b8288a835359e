"""The benchmarks are no installed package: put the repository's root, and the fake adapter, in reach."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [path for path in (str(ROOT), str(HERE)) if path not in sys.path]


@pytest.fixture
def fake_library(monkeypatch):
    """Let workers find ``bench_fakes.adapters``."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
def two_points():
    """Two points against two, with weights, and the plan in closed form."""
    from bench_fakes.problems import two_point_problem

    return two_point_problem()
