"""Files to run the commands on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ot_solvers.__main__ import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def figures(self):
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def a_terminal_that_can_move_its_cursor(monkeypatch):
    """Whatever the tests run in: on a dumb one no progress is drawn."""
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def run(capsys):
    """Run the command in this process and return its exit code and what it wrote."""

    def call(*args):
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=(30, 2)) + 1
    a, b = rng.random(40), rng.random(30)
    return {"x": x, "y": y, "a": a / a.sum(), "b": b / b.sum()}


@pytest.fixture
def folder(tmp_path, points):
    """x.npy, y.npy, a.npy, b.npy and C.npy."""
    for name, array in points.items():
        np.save(tmp_path / f"{name}.npy", array)
    cost = ((points["x"][:, None] - points["y"]) ** 2).sum(-1)
    np.save(tmp_path / "C.npy", cost)
    return tmp_path


@pytest.fixture
def untouched(folder):
    """Fail if a file that was there before has changed."""

    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    before = content()
    yield
    after = content()
    assert all(after.get(path) == data for path, data in before.items())


def assert_bad_input(outcome, message):
    """Exit code 2, nothing on stdout, one line on stderr that matches."""
    import re

    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("ot-solvers: error: ")
    assert outcome.err.count("\n") == 1
    assert outcome.err.endswith("\n")
    assert re.search(message, outcome.err), outcome.err


@pytest.fixture(name="assert_bad_input")
def _assert_bad_input():
    return assert_bad_input
