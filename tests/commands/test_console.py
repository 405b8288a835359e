"""Tables, progress and JSON, with rich and without."""

import importlib.util
import io
import json
import math
import time

import pytest

from ot_solvers.commands import console as module
from ot_solvers.commands.console import Console, RichConsole, console, jsonable, towards


class Terminal(io.StringIO):
    def isatty(self):
        return True


KINDS = [Console, pytest.param(RichConsole, marks=pytest.mark.skipif(
    importlib.util.find_spec("rich") is None, reason="rich is not installed"))]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_goes_to_stdout(kind):
    out, err = io.StringIO(), io.StringIO()
    kind(out=out, err=err).table("Title", [("name [bold]", "1.5"), ("longer name", "2")], ("what", "how much"))
    text = out.getvalue()
    for word in ("Title", "name [bold]", "1.5", "longer name", "how much"):
        assert word in text
    assert err.getvalue() == ""


@pytest.mark.parametrize("kind", KINDS)
def test_quiet_keeps_only_warnings_and_json(kind):
    out, err = io.StringIO(), Terminal()
    screen = kind(quiet=True, out=out, err=err)
    screen.table("Title", [("a", "b")])
    screen.note("remark")
    with screen.progress("label") as bar:
        bar(0.5, "half")
    assert out.getvalue() == err.getvalue() == ""
    screen.warning("two\n  lines")
    screen.json({"a": 1})
    assert err.getvalue() == "ot-solvers: warning: two lines\n"
    assert json.loads(out.getvalue()) == {"a": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_progress_is_drawn_on_terminals_only(kind, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_UPDATES", 0.0)
    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        out = io.StringIO()
        with kind(out=out, err=stream).progress("label") as bar:
            for k in range(4):
                bar(k / 3, f"step {k}")
                time.sleep(0.02)
        assert ("step 3" in stream.getvalue()) == drawn
        assert out.getvalue() == ""


def test_a_plain_bar_stays_on_its_line(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_UPDATES", 0.0)
    stream = Terminal()
    with Console(err=stream).progress("label") as bar:
        bar(0.5, "a long story " * 20)
    assert "a long story" in stream.getvalue()
    assert max(map(len, stream.getvalue().split("\r"))) <= 79


def test_plain_text_without_rich(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "rich" else found(name))
    assert type(console()) is Console


@pytest.mark.parametrize(
    ("error", "share"),
    [(1.0, 0.0), (1e-3, 0.5), (1e-6, 1.0), (1e-9, 1.0), (10.0, 0.0), (math.inf, 0.0)],
)
def test_progress_counts_orders_of_magnitude(error, share):
    assert towards(1e-6, error, 1.0) == pytest.approx(share)


def test_progress_towards_nothing():
    assert towards(0.0, 0.5, 1.0) == 0
    assert towards(1e-3, 0.5, 1e-4) == 0


def test_json_has_no_words_of_its_own():
    import numpy as np

    figures = {
        "gap": math.inf,
        "error": np.float64("nan"),
        "n": np.int64(3),
        "names": frozenset({"b", "a"}),
        "no": None,
    }
    text = json.dumps(jsonable(figures), allow_nan=False)
    assert json.loads(text) == {"gap": "inf", "error": "nan", "n": 3, "names": ["a", "b"], "no": None}
    assert float(json.loads(text)["gap"]) == math.inf
