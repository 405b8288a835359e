"""Figures from records: medians, spreads, ratios and targets."""

import pytest

from benchmarks.compare import pairs
from benchmarks.report import markdown
from benchmarks.summary import NOISY, quartiles, spread, tables


def contender(name, versus=None, target=None):
    return {
        "name": name,
        "dtype": "float64",
        "ours": versus is None,
        "versus": versus,
        "target": target,
        "note": "",
    }


def make_records(values, fingerprint="x", target=None, statuses=None):
    """Records of one case with contenders ``ours`` and ``peer``."""
    common = {"suite": "s", "case": "c", "fingerprint": fingerprint}
    records = [
        {
            "record": "case",
            **common,
            "title": "a case",
            "task": {"kind": "per-iteration", "quantity": "ns"},
            "contenders": [contender("ours"), contender("peer", "ours", target), contender("absent", "ours")],
        }
    ]
    for name in ("ours", "peer"):
        status = (statuses or {}).get(name, "ready")
        records.append({"record": "setup", **common, "contender": name, "status": status, "message": "why"})
    for name, series in values.items():
        for index, value in enumerate(series):
            records.append({"record": "round", **common, "contender": name, "round": index, "value": value})
    return records


def test_ratio_of_medians_and_its_spread():
    (table,) = tables(make_records({"ours": [1.0, 2.0, 3.0], "peer": [10.0, 10.0, 40.0]}, target=0.1))
    ours, peer = table.rows
    assert ours.median == 2.0
    assert ours.ratio is None
    assert peer.ratio == pytest.approx(0.2)
    assert peer.ratio_spread == pytest.approx(spread([0.1, 0.2, 0.075]))
    assert peer.met is False


def test_a_target_is_met():
    (table,) = tables(make_records({"ours": [1.0] * 3, "peer": [10.0] * 3}, target=0.1))
    assert table.rows[1].met is True


def test_only_common_rounds_make_a_ratio():
    (table,) = tables(make_records({"ours": [1.0, 1.0, 100.0], "peer": [2.0, 2.0]}))
    assert table.rows[1].ratio == pytest.approx(0.5)


def test_quartiles_and_spread():
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 4.0)
    assert quartiles([7.0]) == (7.0, 7.0)
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 3)
    assert spread([1.0, 5.0]) is None


def test_noise_is_flagged():
    quiet = tables(make_records({"ours": [1.0, 1.01, 0.99], "peer": [5.0, 5.0, 5.0]}))[0]
    assert not any(row.noisy for row in quiet.rows)
    wild = tables(make_records({"ours": [1.0, 1.0, 1.0], "peer": [5.0, 9.0, 5.5]}))[0]
    assert [row.noisy for row in wild.rows] == [False, True]
    assert wild.rows[1].ratio_spread > NOISY
    assert "NOISY" in markdown(make_records({"ours": [1.0] * 3, "peer": [5.0, 9.0, 5.5]}))


def test_contenders_that_were_not_asked_for_have_no_row():
    (table,) = tables(make_records({"ours": [1.0]}))
    assert [row.name for row in table.rows] == ["ours", "peer"]


def test_failures_stand_in_the_table():
    text = markdown(make_records({"ours": [1.0]}, statuses={"peer": "not installed"}))
    assert "not installed: why" in text


def test_a_time_without_a_solution_is_marked_and_makes_no_ratio():
    records = make_records({"ours": [1.0, 1.0]}, target=0.1, statuses={"peer": "not converged"})
    records[2] |= {"run": {"seconds": 20.0, "iterations": 7}, "verdict": {"marginal_error": 3e-5}}
    (table,) = tables(records)
    ours, peer = table.rows
    assert (ours.converged, peer.converged) == (True, False)
    assert peer.median == 20.0
    assert (peer.ratio, peer.met) == (None, None)
    (line,) = (line for line in markdown(records).split("\n") if line.startswith("| peer"))
    assert "| (20) |" in line
    assert "| 3.0e-05 |" in line
    assert "not converged: why" in line
    assert [old.name for _, old, _ in pairs(records, records)] == ["ours"]


def test_environments_are_not_mixed():
    old = make_records({"ours": [100.0], "peer": [100.0]}, fingerprint="old")
    new = make_records({"ours": [1.0], "peer": [2.0]}, fingerprint="new")
    (table,) = tables(old + new)
    assert table.rows[0].values == [1.0]
    assert table.rows[1].ratio == pytest.approx(0.5)


def test_measured_again_counts_once():
    records = make_records({"ours": [1.0], "peer": [2.0]})
    again = {**records[-1], "value": 4.0}
    (table,) = tables([*records, again])
    assert table.rows[1].values == [4.0]


def test_two_files_side_by_side():
    before = make_records({"ours": [2.0], "peer": [4.0]})
    after = make_records({"ours": [1.0]}, fingerprint="y")
    ((where, old, new),) = pairs(before, after)
    assert where == "s/c"
    assert (old.median, new.median) == (2.0, 1.0)
