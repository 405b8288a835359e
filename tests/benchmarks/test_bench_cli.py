"""The command line, and what it writes."""

import platform
from pathlib import Path

import pytest

from benchmarks import cli, suites
from benchmarks.cases import Case, Contender
from benchmarks.environment import describe
from benchmarks.memory import PeakMemory
from benchmarks.privacy import scrub
from benchmarks.problems import ProblemSpec
from benchmarks.records import read_records
from benchmarks.suites import Suite
from benchmarks.tasks import PerIteration, ToAccuracy

pytest.importorskip("rich", reason="the command line prints with rich")


@pytest.fixture
def tiny_suite(monkeypatch, fake_library):
    """A suite of fakes among the real ones."""
    task = PerIteration(low=2, span_seconds=0.0, max_span=2, step=2)
    contenders = (
        Contender("fake", "bench_fakes.adapters:Halving"),
        Contender("other", "bench_fakes.adapters:Halving", versus="fake", target=10.0),
    )
    case = Case("tiny", "a tiny case", ProblemSpec(n=4, m=4), task, contenders)
    suite = Suite("fakes", "fakes", (case,), repeat=2)
    monkeypatch.setitem(suites.SUITES, "fakes", suite)
    return suite


def test_list_names_everything(capsys):
    assert cli.main(["list"]) == 0
    text = capsys.readouterr().out
    for suite in suites.SUITES.values():
        assert suite.name in text
        assert all(case.name in text for case in suite.cases)


def test_run_report_and_compare(tiny_suite, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert cli.main(["run", "fakes", "--threads", "1", "--out", str(out)]) == 0
    records = read_records(out)
    assert [r["moment"] for r in records if r["record"] == "environment"] == ["start", "end"]
    assert sum(r["record"] == "round" for r in records) == 4
    assert "a tiny case" in out.with_suffix(".md").read_text()
    assert "a tiny case" in capsys.readouterr().out
    out.with_suffix(".md").unlink()
    assert cli.main(["report", str(out)]) == 0
    assert out.with_suffix(".md").exists()
    assert cli.main(["compare", str(out), str(out)]) == 0


def test_results_are_not_overwritten(tiny_suite, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    out.write_text("")
    with pytest.raises(SystemExit):
        cli.main(["run", "fakes", "--out", str(out)])
    assert "--resume it" in capsys.readouterr().err
    assert cli.main(["run", "fakes", "--out", str(out), "--resume", "--threads", "1"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nothing"], "invalid choice"),
        (["run", "smoke", "--cases", "no-such-case"], "no case of suite 'smoke' matches"),
        (["run", "smoke", "--threads", "0"], "must be at least 1"),
        (["run", "smoke", "--resume"], "--resume needs --out"),
        (["report", "no-such-file.jsonl"], "no-such-file.jsonl"),
    ],
)
def test_bad_arguments_are_explained(arguments, message, capsys):
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert message in capsys.readouterr().err


def test_interrupted_runs_report_what_they_have(tiny_suite, tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"
    run_case = cli.run_case

    def interrupted(case, limits, store, step):
        run_case(case, limits, store, step)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run_case", interrupted)
    assert cli.main(["run", "fakes", "--threads", "1", "--out", str(out)]) == cli.INTERRUPTED
    assert read_records(out)[-1]["interrupted"] is True
    assert out.with_suffix(".md").exists()


def test_a_failure_of_ours_is_a_failure(tiny_suite, tmp_path, monkeypatch):
    monkeypatch.setattr(Contender, "ours", True)
    broken = Contender("broken", "bench_fakes.adapters:Broken")
    case = Case("tiny", "a tiny case", ProblemSpec(n=4, m=4), PerIteration(), (broken,))
    monkeypatch.setitem(suites.SUITES, "fakes", Suite("fakes", "fakes", (case,), repeat=1))
    assert cli.main(["run", "fakes", "--threads", "1", "--out", str(tmp_path / "out.jsonl")]) == 1


@pytest.mark.parametrize(("versus", "status"), [(None, 1), ("ours", 0)])
def test_only_variants_of_ours_may_fall_short(tiny_suite, versus, status, tmp_path, monkeypatch):
    monkeypatch.setattr(Contender, "ours", True)
    contenders = (
        Contender("ours", "bench_fakes.adapters:Halving"),
        Contender("other", "bench_fakes.adapters:Stuck", versus=versus),
    )
    case = Case("tiny", "a tiny case", ProblemSpec(n=4, m=4), ToAccuracy(tol=1e-3), contenders)
    monkeypatch.setitem(suites.SUITES, "fakes", Suite("fakes", "fakes", (case,), repeat=1, max_seconds=1e-3))
    assert cli.main(["run", "fakes", "--threads", "1", "--out", str(tmp_path / "out.jsonl")]) == status


def test_peers_are_selected_by_name_or_library():
    suite = suites.SUITES["sinkhorn"]
    (case,) = cli.select_cases(suite, ["dense-4000"], ["ott", "pot-plain*"])
    assert {c.name for c in case.contenders if not c.ours} == {
        "ott-f64",
        "ott-f32",
        "ott-kernel-f64",
        "pot-plain-f64",
    }
    assert sum(c.ours for c in case.contenders) == 4


def test_environment_is_recorded_without_names():
    environment = describe(threads=2)
    assert environment["versions"]["numpy"] != "not installed"
    text = repr(environment)
    assert str(Path.home()) not in text
    if len(platform.node()) > 3:
        assert platform.node() not in text
    assert describe(threads=2)["fingerprint"] == environment["fingerprint"]
    assert describe(threads=1)["fingerprint"] != environment["fingerprint"]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("could not open /opt/venv/lib/x.so: no", "could not open <path>: no"),
        ("ratio a/b of\n 2", "ratio a/b of 2"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_scrub(text, clean):
    assert scrub(text) == clean


def test_peak_memory_sees_an_array_that_is_gone():
    with PeakMemory() as peak:
        block = bytearray(64 * 2**20)
        block[::4096] = bytes(len(block[::4096]))  # touch every page
        del block
    assert peak.bytes > 60 * 2**20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep what they like")
def test_peak_memory_sees_what_is_used_again():
    def use():
        """32 MB in blocks that are too small for maps of their own; the last one holds the heap's end."""
        return [bytearray(b"1") * 100_000 for _ in range(320)]

    pin = use()[-1]
    with PeakMemory() as peak:
        use()
    assert len(pin) == 100_000
    assert peak.bytes > 28 * 2**20
