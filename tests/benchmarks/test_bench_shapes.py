"""The program that measures shape correspondence: its rows, its files, its verdict."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("rich")

from benchmarks import cli, shapes
from benchmarks.records import read_records

ROW = shapes.Row(
    pair="walk",
    title="body: at rest, walking",
    near_isometric=True,
    sizes=(2000, 2000),
    nearest=5.0,
    plain=2.0,
    sliced=1.5,
    plain_refined=1.0,
    sliced_refined=0.9,
    area=0.95,
    steps=100,
    plain_seconds=20.0,
    sliced_seconds=30.0,
)


@pytest.mark.parametrize(
    ("change", "met"),
    [
        ({}, True),
        ({"sliced_refined": 1.6}, False),
        ({"plain_refined": 2.1}, False),
        ({"nearest": 0.8}, False),
        ({"plain": 9.0, "sliced": 9.0, "sliced_refined": 2.1}, False),
        ({"plain": 9.0, "sliced": 9.0, "sliced_refined": 2.1, "near_isometric": False}, True),
    ],
)
def test_what_is_asked_for(change, met):
    assert replace(ROW, **change).met is met


def test_the_command_writes_what_it_finds(tmp_path, capsys):
    out = tmp_path / "shapes.jsonl"
    options = ["--pairs", "bent", "--vertices", "300", "--steps", "10", "--out", str(out)]
    assert cli.main(["shapes", *options]) in (0, 1)
    environment, row = read_records(out)
    assert environment["record"] == "environment" and row["record"] == "shapes"
    assert row["pair"] == "bent" and row["steps"] == 10 and row["near_isometric"]
    assert all(0 <= row[name] < 60 for name in ("nearest", "plain", "sliced", "plain_refined", "sliced_refined"))
    assert row["sliced_refined"] < row["nearest"]
    assert 0 < row["area"] <= 1 and row["sliced_seconds"] > 0
    text = out.with_suffix(".md").read_text()
    assert f"| {row['nearest']:.2f} | {row['plain']:.2f} | {row['sliced']:.2f} |" in text
    assert "10 steps of learning" in text and "cylinder: straight, bent" in capsys.readouterr().out


def test_unknown_pairs(capsys):
    with pytest.raises(SystemExit):
        cli.main(["shapes", "--pairs", "fish"])
    assert "no pair matches 'fish'; there are walk, wave" in capsys.readouterr().err


def test_the_mean_of_several_rows():
    text = shapes.markdown(
        {"versions": dict.fromkeys(("torch", "numpy", "scipy"), "1"), "python": "3", "cpu": "x", "threads": 2}
        | {"commit": "abc", "date": "today"},
        [ROW, replace(ROW, nearest=7.0)],
    )
    assert "| mean | | | 6.00 | 2.00 | 1.50 | 1.00 | 0.90 | | | |" in text
    assert asdict(ROW)["sizes"] == (2000, 2000)
