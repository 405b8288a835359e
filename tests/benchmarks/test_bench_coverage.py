"""The program that counts how often intervals hold the truth: its closed forms, its counts, its files."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

import ot_solvers as ots
from benchmarks import cli, coverage
from benchmarks.records import read_records


@pytest.mark.parametrize("eps", [0.0, 0.5, 4.0])
def test_costs_between_gaussians(eps):
    """Against solves between fine grids on a line, and large samples of the plane."""
    z = np.linspace(-9, 11, 900)
    a, b = np.exp(-0.5 * z**2), np.exp(-0.5 * (z - 2) ** 2 / 2.25)
    a, b = a / a.sum(), b / b.sum()
    found = ots.solve_grid(a, b, axes=(z,), reg=eps or None, tol=1e-9)
    # On a grid exact costs are off by the spacing.
    assert float(found) == pytest.approx(coverage.LINE.cost(eps), rel=1e-6 if eps else 1e-3)


def test_divergence_between_gaussians():
    rng = np.random.default_rng(0)
    x, y = coverage.PLANE.draw(rng, 3000, 3000)
    found = ots.sinkhorn_divergence(x, y, reg=1.0)
    assert abs(float(found) - coverage.PLANE.divergence(1.0)) < 4 * found.standard_error()


def test_the_linear_programme():
    C, a, b = coverage._atoms()
    assert coverage.linear_programme(C, a, b) == pytest.approx(float(ots.solve(C, a, b)), rel=1e-9)


@pytest.mark.parametrize(("factor", "share"), [(1.0, 0.95), (0.5, 0.673)])
def test_it_counts(monkeypatch, factor, share):
    """Intervals of a mean, as long as they should be and half as long."""

    class Mean(float):
        error: float

    def drawn(rng):
        values = rng.normal(1, 2, 400)
        found = Mean(values.mean())
        found.error = factor * values.std(ddof=1) / 20
        return found

    fakes = SimpleNamespace(
        confidence_interval=lambda r, level, sizes: (r - 1.96 * r.error, r + 1.96 * r.error),
        standard_error=lambda r, sizes: r.error,
    )
    monkeypatch.setattr(coverage, "ots", SimpleNamespace(statistics=fakes, DegenerateLimitWarning=UserWarning))
    setting = coverage.Setting("fake", "", drawn, lambda: 1.0, (400, 400))
    row = coverage.measure(setting, 400)
    noise = math.sqrt(share * (1 - share) / 400)
    assert abs(row.share - share) < 4 * noise
    assert row.met is (factor == 1.0)
    assert row.deviation == pytest.approx(0.1, rel=0.2) and abs(row.bias) < 0.02


def test_the_command_writes_what_it_finds(tmp_path, capsys):
    pytest.importorskip("rich")
    out = tmp_path / "coverage.jsonl"
    assert cli.main(["coverage", "--settings", "atoms", "--draws", "60", "--out", str(out)]) in (0, 1)
    environment, row = read_records(out)
    assert environment["record"] == "environment" and row["setting"] == "atoms" and row["draws"] == 60
    assert 0.8 < row["share"] <= 1
    text = out.with_suffix(".md").read_text()
    assert "| exact cost between laws on 10 and 12 points | 1000, 800 |" in text
    assert "exact cost between laws" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["coverage", "--settings", "nothing"])
    assert "no setting matches 'nothing'" in capsys.readouterr().err
