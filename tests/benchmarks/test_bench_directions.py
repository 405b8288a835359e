"""The program that compares ways to draw directions: its reference, its counts, its files."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import cli, directions
from benchmarks.records import read_records


def test_the_reference_of_a_translation():
    """The squared distance from a cloud to itself moved by s is ``|s|**2 / d``, whatever the cloud."""
    x = np.random.default_rng(0).normal(size=(40, 3))
    setting = directions.Setting("moved", "", lambda rng: (x, x + np.array([1.0, 2.0, 3.0])), "random", 1.0)
    value, error = directions.reference(setting, 5, 300)
    assert value == pytest.approx(14 / 3, rel=1e-9)
    assert error < 1e-9


def test_the_reference_knows_its_error():
    """Against one of other directions, drawn in another way."""
    setting = directions.SETTINGS[1]
    value, error = directions.reference(setting, 8, 1000)
    other, doubt = directions.reference(dataclasses.replace(setting, best="random"), 8, 4000)
    assert 0 < error < 1e-3 * value
    assert abs(value - other) < 5 * math.hypot(error, doubt)


def test_clouds_stay_the_same():
    for setting in directions.SETTINGS:
        for first, second in zip(setting.clouds(), setting.clouds()):
            np.testing.assert_array_equal(first, second)


@pytest.fixture
def noise(monkeypatch):
    """Distances whose squared one is 2 plus noise: independent ones of variance 4 / L, others of a ninth of it."""

    def sliced_wasserstein(x, y, *, n_projections, sampling, control_variate, seed):
        scale = 2 / math.sqrt(n_projections) / (1 if sampling == "random" else 3)
        rng = np.random.default_rng([seed, n_projections, *sampling.encode(), *str(control_variate).encode()])
        return SimpleNamespace(power=2 + scale * rng.normal())

    monkeypatch.setattr(directions, "ots", SimpleNamespace(sliced_wasserstein=sliced_wasserstein))
    monkeypatch.setattr(directions, "reference", lambda setting: (2.0, 1e-6))


def test_it_counts(noise):
    steps = []
    setting = dataclasses.replace(directions.SETTINGS[0], target=6.0)
    found = directions.measure(setting, 400, (4, 100, 400), lambda: steps.append(1))
    assert len(steps) == 27
    rows = {row.name: row for row in found.rows}
    # Relative to a distance of 2: variance 4 / L / 4.
    assert rows["random"].squares[400] == pytest.approx(1 / 400, rel=0.3)
    assert rows["random"].spread[400] == pytest.approx(math.sqrt(2 / 400) / 400, rel=0.5)
    assert found.fewer(rows["random"], 100) == 1
    assert found.fewer(rows["qmc"], 100) == pytest.approx(9, rel=0.35)
    assert found.reached == found.fewer(rows["qmc"], 100) and found.met is True
    assert dataclasses.replace(found, target=20.0).met is False
    # Harmonics in space take 18 directions.
    assert list(rows["random, harmonics"].squares) == [100, 400]
    assert found.fewer(rows["random, harmonics"], 4) is None
    assert directions.measure(setting, 2, (4,)).met is None


def test_the_table(noise):
    found = directions.measure(directions.SETTINGS[0], 50, (10, 100))
    environment = {"versions": {"numpy": "1", "scipy": "2"}, "python": "3", "commit": "c", "date": "today"}
    text = directions.markdown(environment, [found, dataclasses.replace(found, target=1e3)])
    assert "| random, harmonics | – |" in text
    assert "met ✓" in text and "missed ✗" in text
    # Ratios of errors that the reference does not resolve are left out.
    blurred = directions.markdown(environment, [dataclasses.replace(found, reference_error=1.0)])
    assert "(1)" in text and "(1)" not in blurred


@pytest.mark.parametrize("d", [3, 5])
def test_harmonics_have_enough_directions(d):
    import ot_solvers as ots

    x, y = np.random.default_rng(0).normal(size=(2, 20, d))
    number = directions.fewest(d)
    ots.sliced_wasserstein(x, y, n_projections=number, control_variate="harmonics", seed=0)
    with pytest.raises(ValueError, match=str(number)):
        ots.sliced_wasserstein(x, y, n_projections=number - 1, control_variate="harmonics", seed=0)


def test_the_command_writes_what_it_finds(noise, tmp_path, capsys):
    pytest.importorskip("rich")
    out = tmp_path / "directions.jsonl"
    command = ["directions", "--settings", "gaussian-3", "--seeds", "40", "--out", str(out)]
    assert cli.main(command) == 0
    environment, row = read_records(out)
    assert environment["record"] == "environment" and row["setting"] == "gaussian-3" and row["met"] is True
    assert len(row["rows"]) == 9
    assert "## Gaussian clouds, d = 3" in out.with_suffix(".md").read_text()
    assert "Gaussian clouds, d = 3" in capsys.readouterr().out
    pytest.importorskip("matplotlib")
    assert out.with_suffix(".png").stat().st_size > 10_000
    for arguments, message in (
        (["--settings", "nothing"], "no setting matches 'nothing'"),
        (["--seeds", "1"], "must be at least 2"),
    ):
        with pytest.raises(SystemExit):
            cli.main(["directions", *arguments])
        assert message in capsys.readouterr().err


def test_a_missed_target_is_a_failure(noise, monkeypatch, tmp_path):
    pytest.importorskip("rich")
    hard = dataclasses.replace(directions.SETTINGS[0], target=1e3)
    monkeypatch.setattr(directions, "SETTINGS", (hard,))
    assert cli.main(["directions", "--seeds", "5", "--out", str(tmp_path / "out.jsonl")]) == 1
