"""The map of regimes from records, and in the report."""

import math

import pytest

from benchmarks import cli
from benchmarks.regime_map import Cell, cells, plot, summary
from benchmarks.report import markdown
from benchmarks.suites import SUITES
from benchmarks.summary import tables


def make_records(times, suite="regimes", **problem):
    """Records of one problem; a contender without a time did not arrive."""
    common = {"suite": suite, "case": str(problem), "fingerprint": "x"}
    names = [
        {"name": n, "dtype": "float64", "ours": True, "versus": None, "target": None, "note": ""} for n in times
    ]
    records = [
        {
            "record": "case",
            **common,
            "title": "a case",
            "task": {"quantity": "seconds"},
            "problem": {"kind": "gaussian", "cost": "W2", "n": 50, "eps": 1.0, **problem},
            "contenders": names,
        }
    ]
    for name, seconds in times.items():
        status = "not reached" if seconds is None else "ready"
        records.append({"record": "setup", **common, "contender": name, "status": status})
        for index in range(0 if seconds is None else 3):
            entry = {"contender": name, "round": index, "value": seconds}
            records.append({"record": "round", **common, **entry})
    return records


@pytest.mark.parametrize(
    ("times", "winner", "ratio"),
    [
        ({"auto": 3.0, "sinkhorn": 2.0, "newton": 8.0}, "sinkhorn", 1.5),
        ({"auto": 3.0, "sinkhorn": 12.0, "newton": 6.0}, "newton", 0.5),
        ({"auto": 3.0, "sinkhorn": None, "newton": 3.0}, "newton", 1.0),
        ({"auto": None, "sinkhorn": 1.0, "newton": 2.0}, "sinkhorn", math.inf),
        ({"auto": 1.0, "sinkhorn": None, "newton": None}, None, None),
    ],
)
def test_the_fastest_single_method_wins(times, winner, ratio):
    (cell,) = cells(tables(make_records(times, n=200, eps=1e-3, cost="L1")))
    assert cell == Cell("gaussian L1", 200, 1e-3, winner, ratio)


def test_other_suites_are_not_on_the_map():
    assert cells(tables(make_records({"auto": 1.0, "newton": 1.0}, suite="newton"))) == []


def test_summary_by_hand():
    places = [Cell("f", n, 1.0, "newton", n / 10) for n in range(1, 11)]
    assert "over 10 problems: median 0.55, 90th percentile 0.90, worst 1.00" in summary(places)
    assert "arrived" not in summary(places)
    lost = [*places, Cell("f", 11, 1.0, None, None)]
    assert summary(lost) == f"{summary(places)}; no single method arrived on 1"
    # That auto does not arrive is the worst ratio there is.
    assert "worst inf" in summary([*places, Cell("f", 11, 1.0, "newton", math.inf)])
    assert summary([]).endswith("nothing measured")


def test_map_is_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
    places = [
        Cell("gaussian", 50, 1.0, "sinkhorn", 1.25),
        Cell("gaussian", 200, 1e-2, "newton", math.inf),
        Cell("clustered", 50, 1e-2, None, None),
    ]
    assert plot(places, tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 0
    assert not plot([], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_report_writes_the_map(tmp_path, capsys):
    pytest.importorskip("rich", reason="the command line prints with rich")
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib")
    from json import dumps

    records = make_records({"auto": 3.0, "sinkhorn": 2.0, "newton": 8.0})
    path = tmp_path / "out.jsonl"
    path.write_text("".join(dumps(record) + "\n" for record in records))
    assert cli.main(["report", str(path)]) == 0
    assert (tmp_path / "out.map.png").exists()
    assert not (tmp_path / "out.png").exists()  # a bar per contender of forty cases is no picture
    line = "over 1 problems: median 1.50"
    assert line in (tmp_path / "out.md").read_text()
    assert line in capsys.readouterr().out.replace("\n", " ")
    assert "best single method" not in markdown(make_records({"auto": 1.0}, suite="newton"))


def test_the_suite_covers_all_regimes():
    cases = SUITES["regimes"].cases
    assert 35 <= len(cases) <= 50
    assert {case.problem.eps for case in cases} == {1, 1e-1, 1e-2, 1e-3, 3e-4, 1e-4}
    assert {case.problem.n for case in cases} == {49, 50, 196, 200, 1000, 1024, 3000, 3025}
    assert {case.problem.kind for case in cases} == {
        "gaussian",
        "densities",
        "random-cost",
        "heavy-tailed",
        "clustered",
    }
    for case in cases:
        assert [c.name for c in case.contenders] == ["auto", "sinkhorn", "newton"]
        assert all(c.ours for c in case.contenders)
        assert case.task.tol == 1e-9
    assert len({case.problem for case in cases}) == len(cases)
