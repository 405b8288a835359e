"""The suite of sliced transport: its judge, its adapters, its tasks, and what the cases ask of whom."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from benchmarks import judge
from benchmarks.adapters import Setting, load_adapter
from benchmarks.cases import Case, Contender
from benchmarks.judge import judge_sliced, line_cost
from benchmarks.problems import Problem, ProblemSpec
from benchmarks.records import Store, read_records
from benchmarks.report import cells, remarks
from benchmarks.runner import Limits, run_case
from benchmarks.sliced_tasks import ToDistance, ToMaximum, ToPlan
from benchmarks.suites import SUITES
from benchmarks.summary import tables

SLICED = {case.name: case for case in SUITES["sliced"].cases}
EQUAL = ProblemSpec("gaussian", n=300, m=300, d=3, stored=False, directions=20)
WEIGHTED = dataclasses.replace(EQUAL, m=200, weights="gamma")
DISTANCES = ("ours_sliced:Distance", "pot_sliced:Distance", "pot_sliced:TorchDistance", "ott_sliced:Distance")


def made(adapter, problem, **options):
    cls = load_adapter(adapter)
    for module in cls.modules:
        pytest.importorskip(module, reason=f"{adapter} needs {module}")
    found = cls(problem, 1, **options)
    found.prepare()
    found.compile(Setting(threshold=1e-3))
    return found


def answered(adapter, problem, **options):
    contender = made(adapter, problem, **options)
    return contender.answer(contender.run(Setting(threshold=1e-3)))


def truth(problem):
    """Values along the directions, one after the other, by the judge's formula."""
    x, y, directions = (np.asarray(z, np.float64) for z in (problem.x, problem.y, problem.directions))
    return np.array([line_cost(x @ t, y @ t, *problem.told_weights) for t in directions])


# --- problems -------------------------------------------------------------------------------------------------


def test_directions_come_with_points(tmp_path):
    problem = dataclasses.replace(EQUAL, dtype="float32").build()
    assert problem.directions.shape == (20, 3) and problem.directions.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(problem.directions, axis=1), 1, rtol=1e-6)
    problem.save(tmp_path / "problem.npz")
    loaded = Problem.load(tmp_path / "problem.npz")
    np.testing.assert_array_equal(loaded.directions, problem.directions)
    assert loaded.told_weights == (None, None)
    assert all(w is not None for w in WEIGHTED.build().told_weights)
    # Both precisions are of the same points and directions.
    np.testing.assert_array_equal(problem.directions, EQUAL.build().directions.astype(np.float32))


@pytest.mark.parametrize("more", [{"stored": True}, {"kind": "random-cost"}])
def test_directions_need_points(more):
    with pytest.raises(ValueError, match="directions"):
        dataclasses.replace(EQUAL, **more).build()


# --- judge ----------------------------------------------------------------------------------------------------


def test_lines_by_hand():
    assert line_cost(np.array([1.0, 0.0]), np.array([2.0, 5.0])) == pytest.approx((4 + 16) / 2)
    b = np.array([0.25, 0.75])
    assert line_cost(np.zeros(1), np.array([1.0, 3.0]), None, b) == pytest.approx(0.25 * 1 + 0.75 * 9)
    # Weights are relative: totals that differ by rounding are the same mass.
    assert line_cost(np.zeros(1), np.array([1.0, 3.0]), None, 4 * b) == pytest.approx(7.0)
    # Two points of one third and two thirds against three of a third each.
    a = np.array([1.0, 2.0])
    assert line_cost(np.array([0.0, 1.0]), np.array([0.0, 1.0, 4.0]), a, None) == pytest.approx(9 / 3)


def test_lines_against_a_linear_programme():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=12), rng.normal(size=9)
    a, b = rng.dirichlet(np.ones(12)), rng.dirichlet(np.ones(9))
    expected = judge._linear_programme((u[:, None] - v) ** 2, a, b)
    assert line_cost(u, v, a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("spec", [EQUAL, WEIGHTED], ids=["equal", "weighted"])
def test_right_answers_pass(spec):
    problem = spec.build()
    values = truth(problem)
    verdict = judge_sliced(problem, values, math.sqrt(values.mean()))
    assert verdict.value_error <= 1e-15 and verdict.judged == 20
    assert verdict.distance == pytest.approx(math.sqrt(values.mean()))


def test_wrong_answers_do_not_pass():
    problem = EQUAL.build()
    values = truth(problem)
    distance = math.sqrt(values.mean())
    assert judge_sliced(problem, 1.02 * values, 1.01 * distance).value_error == pytest.approx(0.01, rel=0.02)
    # Values right, but something else made of them.
    assert judge_sliced(problem, values, values.mean()).value_error == pytest.approx(abs(distance - 1))
    assert judge_sliced(problem, values[::-1], distance).value_error < 1e-15
    for bad in (math.nan, math.inf):
        assert judge_sliced(problem, values, bad).value_error == math.inf
        broken = values.copy()
        broken[3] = bad
        assert judge_sliced(problem, broken, distance).value_error == math.inf
    assert judge_sliced(problem, -values, distance).value_error == math.inf
    with pytest.raises(ValueError, match=r"shape \(20,\)"):
        judge_sliced(problem, values[:5], distance)


def test_own_directions_have_to_be_unit_vectors():
    problem = EQUAL.build()
    values = truth(problem)
    one, value = problem.directions[:1], values[:1]
    assert judge_sliced(problem, value, math.sqrt(value[0]), one).value_error < 1e-15
    longer = judge_sliced(problem, 4 * value, 2 * math.sqrt(value[0]), 2 * one)
    assert longer.value_error == pytest.approx(1.0)


def test_many_directions_are_judged_in_part(monkeypatch):
    problem = EQUAL.build()
    values = truth(problem)
    monkeypatch.setattr(judge, "MOST_PROJECTIONS", 600 * 7)
    verdict = judge_sliced(problem, values, math.sqrt(values.mean()))
    assert verdict.judged == 7 and verdict.value_error < 1e-15
    assert judge_sliced(problem, 1.1 * values, math.sqrt(1.1 * values.mean())).value_error > 0.04


# --- adapters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", DISTANCES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", [EQUAL, WEIGHTED], ids=["equal", "weighted"])
def test_distances_are_the_same(adapter, dtype, spec):
    problem = dataclasses.replace(spec, dtype=dtype).build()
    answer = answered(adapter, problem)
    verdict = judge_sliced(problem, answer.values, answer.distance)
    exact = 1e-12 if adapter.startswith("ours") or spec is EQUAL else 1e-11
    loose = 1e-6 if adapter.startswith("ours") else 1e-4
    assert verdict.value_error <= (exact if dtype == "float64" else loose)


def test_ours_and_pot_agree_to_the_last_digits():
    problem = EQUAL.build()
    ours, peer = (answered(f"{name}_sliced:Distance", problem) for name in ("ours", "pot"))
    assert ours.distance == pytest.approx(peer.distance, rel=1e-12)
    np.testing.assert_allclose(ours.values, peer.values, rtol=1e-11)


@pytest.mark.parametrize("adapter", ["sort_limit:NumpySort", "sort_limit:RadixSort"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sort_limits_sort(adapter, dtype):
    problem = dataclasses.replace(EQUAL, n=1000, m=1000, dtype=dtype).build()
    contender = made(adapter, problem)
    for _ in range(2):  # the rows are as they were, not sorted by the first run
        contender.run(Setting())
    assert all((np.diff(found, axis=1) >= 0).all() for found in contender.found)
    assert not any((np.diff(rows, axis=1) >= 0).all() for rows in contender.rows)
    answer = contender.answer(None)
    verdict = judge_sliced(problem, answer.values, answer.distance)
    assert verdict.value_error <= (1e-12 if dtype == "float64" else 1e-6)
    with pytest.raises(ValueError, match="equal weights and sizes"):
        made(adapter, WEIGHTED.build())


@pytest.mark.parametrize("adapter", ["ours_sliced:Maximum", "pot_sliced:Maximum"])
def test_maxima(adapter):
    problem = EQUAL.build()
    answer = answered(adapter, problem)
    assert judge_sliced(problem, answer.values, answer.distance, answer.directions).value_error < 1e-12
    best = math.sqrt(truth(problem).max())
    if adapter.startswith("pot"):
        assert answer.distance == pytest.approx(best, rel=1e-12)
    else:
        assert answer.distance > best


@pytest.mark.parametrize("kind", ["min", "expected"])
def test_plans(kind):
    problem = ProblemSpec("gaussian", n=60, m=60, d=3, stored=False).build()
    verdict = judge.judge_plan(problem, answered("ours_sliced:Plan", problem, kind=kind).plan)
    exact = judge.judge_plan(problem, answered("ours:ExactSample", problem).plan)
    assert verdict.marginal_error < 1e-12
    assert exact.linear_cost <= verdict.linear_cost < 3 * exact.linear_cost


@pytest.mark.parametrize("spec", [EQUAL, WEIGHTED], ids=["equal", "weighted"])
def test_losses_and_their_gradients_are_the_same(spec):
    problem = spec.build()
    ours = made("ours_sliced:Loss", problem)
    peer = made("pot_sliced:TorchDistance", problem, backward=True)
    for contender in (ours, peer):
        for _ in range(2):  # gradients of one run, not of all
            raw = contender.run(Setting())
        answer = contender.answer(raw)
        assert judge_sliced(problem, answer.values, answer.distance).value_error < 1e-11
    for z, w in zip(ours.points, peer.arrays[:2]):
        assert float(z.grad.abs().max()) > 0
        np.testing.assert_allclose(z.grad.numpy(), w.grad.numpy(), rtol=1e-6, atol=1e-9)


def test_a_value_alone_leaves_no_graph():
    problem = EQUAL.build()
    for adapter in ("ours_sliced:Loss", "pot_sliced:TorchDistance"):
        contender = made(adapter, problem, backward=False)
        raw = contender.run(Setting())
        value = raw if adapter.startswith("ours") else raw[0]
        assert not value.requires_grad


# --- tasks ----------------------------------------------------------------------------------------------------


def fake(name, adapter="Projections", **more):
    return Contender(name, f"bench_fakes.adapters:{adapter}", **more)


def run(tmp_path, task, *contenders, problem=EQUAL):
    case = Case("case", "a case", problem, task, contenders)
    path = tmp_path / "out.jsonl"
    run_case(case, Limits(1, 2, 5.0), Store(path, "suite", {"fingerprint": "here"}), lambda text: None)
    (table,) = tables(read_records(path))
    return {row.name: row for row in table.rows}


@pytest.mark.usefixtures("fake_library")
def test_peers_may_round_and_may_not_be_wrong(tmp_path):
    rows = run(
        tmp_path,
        ToDistance(round_seconds=0.0, peer=1e-2),
        fake("exact"),
        fake("rounded", options={"off": 1e-3}, versus="exact"),
        fake("wrong", options={"off": 0.1}, versus="exact"),
        fake("missing", options={"off": math.nan}, versus="exact"),
    )
    statuses = {name: row.status for name, row in rows.items()}
    assert statuses == {"exact": "ready", "rounded": "ready", "wrong": "not reached", "missing": "not reached"}
    assert rows["rounded"].ratio is not None and rows["wrong"].ratio is None
    assert cells(rows["rounded"])[5] == "1.0e-03"
    assert "not reached: relative error 1.0e-01, as judged" in remarks(rows["wrong"])


@pytest.mark.usefixtures("fake_library")
@pytest.mark.parametrize(
    ("dtype", "off", "status"),
    [("float64", 1e-13, "ready"), ("float64", 1e-11, "not reached"), ("float32", 1e-7, "ready"),
     ("float32", 1e-5, "not reached")],
)  # fmt: skip
def test_ours_has_to_be_exact(tmp_path, monkeypatch, dtype, off, status):
    monkeypatch.setattr(Contender, "ours", True)
    rows = run(tmp_path, ToDistance(round_seconds=0.0), fake("ours", options={"off": off}, dtype=dtype))
    assert rows["ours"].status == status


@pytest.mark.usefixtures("fake_library")
@pytest.mark.parametrize("long", [0.01, 10.0])
def test_long_calls_are_timed_once(tmp_path, long):
    task = ToDistance(round_seconds=0.0, long_seconds=long)
    row = run(tmp_path, task, fake("sleeper", options={"seconds": 0.05}))["sleeper"]
    once = long < 0.05
    assert row.setup["repeat"] == (0 if once else 1)
    assert ("timed once" in remarks(row)) == once
    assert (row.values[0] == row.values[1] == row.setup["run"]["seconds"]) == once


def test_peaks_have_a_target(tmp_path, monkeypatch):
    monkeypatch.setattr(Contender, "ours", True)
    task = ToDistance(round_seconds=0.0, memory_target=64 * 10**6)
    first = Contender("ours", "sort_limit:NumpySort")
    rows = run(tmp_path, task, first, dataclasses.replace(first, name="other", versus="ours"))

    def peak(row, **changed):
        row = dataclasses.replace(row, setup=row.setup | changed)
        (text,) = [remark for remark in remarks(row) if remark.startswith("peak")]
        return text

    assert peak(rows["ours"], peak_bytes=64_000_000).endswith("target ≤ 64 MB ✓")
    assert peak(rows["ours"], peak_bytes=64_000_001).endswith("target ≤ 64 MB ✗")
    assert rows["ours"].setup["peak_bytes"] >= 0
    assert "target" not in peak(rows["other"])


def test_figures_next_to_the_main_contender(tmp_path):
    rows = run(
        tmp_path,
        ToMaximum(round_seconds=0.0),
        Contender("ours", "ours_sliced:Maximum"),
        Contender("ours-again", "ours_sliced:Maximum", versus="ours"),
    )
    found = [rows[name].setup["found"] for name in rows]
    assert found[0].startswith("distance ") and "main" not in found[0]
    assert found[1] == found[0] + ", 0 % below that of the main contender"
    assert found[1] in remarks(rows["ours-again"])


def test_plans_next_to_the_exact_one(tmp_path):
    rows = run(
        tmp_path,
        ToPlan(round_seconds=0.0),
        Contender("ours", "ours:ExactSample"),
        Contender("ours-min", "ours_sliced:Plan", {"kind": "min"}, versus="ours"),
        problem=ProblemSpec("gaussian", n=50, m=50, d=3, stored=False),
    )
    costs = [rows[name].setup["verdict"]["linear_cost"] for name in ("ours", "ours-min")]
    share = 100 * (costs[1] / costs[0] - 1)
    assert share > 0
    assert rows["ours-min"].setup["found"].endswith(f"{share:.3g} % above that of the main contender")


@pytest.mark.usefixtures("fake_library")
def test_plans_have_to_be_feasible(tmp_path):
    rows = run(tmp_path, ToPlan(), fake("boaster", "Boaster"), problem=ProblemSpec(n=4, m=4, stored=False))
    assert rows["boaster"].status == "not reached"


# --- the suite ------------------------------------------------------------------------------------------------


def targets(name, library):
    return {c.name: c.target for c in SLICED[name].contenders if c.adapter.startswith(library)}


@pytest.mark.parametrize("name", [name for name in SLICED if name.startswith(("values", "weighted"))])
def test_peers_are_compared_in_their_own_precision(name):
    case = SLICED[name]
    named = {c.name: c for c in case.contenders}
    most = 6 if case.problem.n > 100_000 else 8
    assert len(named) == most
    assert all(named[c.versus].dtype == c.dtype for c in case.contenders if c.versus)
    assert {c.adapter for c in case.contenders} == set(DISTANCES[: most // 2])


def test_targets():
    few = {"pot-f32": 1 / 12, "pot-torch-f32": 1 / 12, "pot-f64": 1 / 12, "pot-torch-f64": 1 / 12}
    many = few | {"pot-f32": 1 / 20, "pot-torch-f32": 1 / 20}
    for name in ("values-10000-3", "values-10000-64"):
        assert targets(name, "pot") == few
    for name in ("values-100000-3", "values-1000000-3"):
        assert targets(name, "pot") == many
    for name in ("weighted-10000", "weighted-100000"):
        assert set(targets(name, "pot").values()) == {1 / 8}
    for name in ("sort-10000", "sort-100000"):
        assert len(targets(name, "sort_limit")) == 4
        assert set(targets(name, "sort_limit").values()) == {1.5}
    for name in ("memory-10000", "memory-100000"):
        assert SLICED[name].task.memory_target == 64 * 10**6
    assert SLICED["memory-10000"].problem.directions == 10_000
    for name in ("gradient-10000-3", "gradient-10000-64", "gradient-100000-3"):
        assert targets(name, "ours_sliced") == {"ours": None, "ours-forward": 2.5}
    sizes = {n: (SLICED[n].problem.n, SLICED[n].problem.m, SLICED[n].problem.d, SLICED[n].problem.directions)
             for n in SLICED}  # fmt: skip
    assert sizes["values-1000000-3"] == (10**6, 10**6, 3, 20)
    assert sizes["values-10000-64"] == (10**4, 10**4, 64, 100)
    assert sizes["weighted-100000"] == (100_000, 80_000, 3, 50)


def test_libraries_are_found_by_their_name():
    case = SLICED["values-10000-3"]
    kept = {c.name for c in case.select(["pot"]).contenders}
    assert kept == {"ours-f32", "ours-f64", "pot-f32", "pot-torch-f32", "pot-f64", "pot-torch-f64"}
    assert {c.name for c in case.select(["pot_sliced", "ott"]).contenders} > kept
    assert all(c.ours == c.name.startswith("ours") for c in case.contenders)
