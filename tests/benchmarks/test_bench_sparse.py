"""Quadratic transport in the benchmarks: the judge, the adapters, the time to a dual value, and the suite."""

import dataclasses
from itertools import combinations

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize

import benchmarks.problems
from benchmarks.adapters import Setting, load_adapter
from benchmarks.adapters.regot import QUADRATIC_METHODS
from benchmarks.cases import Case, Contender
from benchmarks.judge import judge_quadratic, semi_dual
from benchmarks.problems import Problem, ProblemSpec
from benchmarks.records import Store, read_records
from benchmarks.runner import Limits, run_case
from benchmarks.suites import SUITES
from benchmarks.summary import tables
from benchmarks.tasks import ToDualValue

HALF = np.array([0.5, 0.5])
#: The optimum by hand, ``P = [[(2 + x) / 8, ...]]``: see `test_optimum_by_hand`.
BY_HAND = Problem(HALF, HALF, 1.0, 1.0, C=np.array([[0.0, 1.0], [1.0, 0.0]]), gamma=4.0)
SPEC = ProblemSpec("uniform", n=12, m=15, d=2, weights="random", gamma=0.3)
LIMITS = [None, 1, 2, 3]


def test_optimum_by_hand():
    """``P = [[p, q], [q, p]]`` with p + q = 1/2: 2 q + 4 (p**2 + q**2) is least at q = 1/8."""
    plan = np.array([[3.0, 1.0], [1.0, 3.0]]) / 8
    verdict = judge_quadratic(BY_HAND, plan, np.full(2, 7.0))
    assert verdict.linear_cost == pytest.approx(0.25)
    assert verdict.objective == pytest.approx(0.25 + 2.0 * 20 / 64)
    assert verdict.dual == pytest.approx(verdict.objective, rel=1e-14)
    assert verdict.gap == pytest.approx(0.0, abs=1e-14)
    assert (verdict.marginal_error, verdict.row_error, verdict.column_error, verdict.entries) == (0, 0, 0, 2)
    assert judge_quadratic(BY_HAND, sparse.csr_array(plan), np.full(2, 7.0)) == verdict


def test_one_entry_by_hand():
    """The diagonal costs nothing but the term, and nothing else has one entry per column and both marginals."""
    verdict = judge_quadratic(dataclasses.replace(BY_HAND, k=1), np.diag(HALF), np.zeros(2))
    assert verdict.objective == verdict.dual == 1.0
    assert (verdict.gap, verdict.entries) == (0.0, 1)


@pytest.mark.parametrize(
    ("plan", "rows", "columns", "gap"),
    [
        ([[0.25, 0.25], [0.25, 0.25]], 0.0, 0.0, 1 / 8),  # feasible, not optimal: 1 against 7/8
        ([[0.5, 0.5], [0.0, 0.0]], 1.0, 0.0, None),  # columns right, rows wrong
        ([[0.5, 0.0], [0.5, 0.0]], 0.0, 1.0, None),
        ([[0.25, 0.25], [0.25, 0.0]], 0.25, 0.25, None),
    ],
)
def test_wrong_plans_by_hand(plan, rows, columns, gap):
    verdict = judge_quadratic(BY_HAND, np.array(plan), np.zeros(2))
    assert (verdict.row_error, verdict.column_error) == (rows, columns)
    assert verdict.marginal_error == rows + columns
    assert verdict.gap == (None if gap is None else pytest.approx(gap))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e-3])
def test_broken_answers_are_rejected(bad):
    plan = np.full((2, 2), 0.25)
    plan[0, 1] = bad
    verdict = judge_quadratic(BY_HAND, plan, np.zeros(2))
    assert verdict.marginal_error == np.inf
    assert verdict.gap is None
    if bad != -1e-3:
        verdict = judge_quadratic(BY_HAND, np.full((2, 2), 0.25), [0.0, bad])
        assert verdict.dual == -np.inf
        assert verdict.gap is None


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"plan must have shape \(2, 2\)"):
        judge_quadratic(BY_HAND, np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(ValueError, match=r"potentials must have shape \(2,\)"):
        judge_quadratic(BY_HAND, np.zeros((2, 2)), np.zeros(3))


def least_cost(c, mass, gamma, k):
    """Smallest ``<t, c> + gamma / 2 |t|**2`` by trying every support, each by a general solver."""
    best = np.inf
    for support in combinations(range(len(c)), min(k, len(c))):
        part = c[list(support)]
        start = np.full(part.size, mass / part.size)
        found = minimize(
            lambda t, part=part: float(t @ part + 0.5 * gamma * t @ t),
            start,
            jac=lambda t, part=part: part + gamma * t,
            bounds=[(0, None)] * part.size,
            constraints={"type": "eq", "fun": lambda t: t.sum() - mass},
            options={"ftol": 1e-15},
        )
        best = min(best, found.fun)
    return best


@pytest.mark.parametrize("k", [None, 1, 2])
def test_the_semi_dual_against_all_supports(k):
    problem = dataclasses.replace(ProblemSpec("uniform", n=4, m=3, d=2, weights="random", gamma=2.0).build(), k=k)
    f = 0.2 * np.random.default_rng(0).normal(size=4)
    columns = [least_cost(problem.C[:, j] - f, problem.b[j], problem.gamma, k or 4) for j in range(3)]
    assert semi_dual(problem, f) == pytest.approx(problem.a @ f + sum(columns), rel=1e-7)


@pytest.mark.parametrize("k", LIMITS)
def test_points_and_matrix_in_any_blocks_get_one_verdict(k, monkeypatch):
    problem = dataclasses.replace(SPEC, k=k).build()
    rng = np.random.default_rng(0)
    plan, f = rng.random(problem.shape) / 180, 0.1 * rng.normal(size=problem.shape[0])
    expected = judge_quadratic(problem, plan, f).as_record()
    assert expected.pop("gap") is None
    monkeypatch.setattr(benchmarks.problems, "BLOCK_ENTRIES", 40)
    for again in (problem, dataclasses.replace(problem, C=None)):
        found = judge_quadratic(again, plan, f).as_record()
        assert found.pop("gap") is None
        assert found == pytest.approx(expected, rel=1e-12)


def test_rows_without_weight_get_nothing_and_columns_without_weight_cost_nothing():
    C = np.array([[1.0, -50.0], [2.0, -50.0], [-9.0, -9.0]])
    problem = Problem(np.array([0.5, 0.5, 0.0]), np.array([1.0, 0.0]), 1.0, 1.0, C=C, gamma=1.0)
    verdict = judge_quadratic(problem, np.array([[0.5, 0.0], [0.5, 0.0], [0.0, 0.0]]), [0.5, 1.5, np.nan])
    assert verdict.dual == pytest.approx(verdict.objective)


def test_strength_and_limit_survive_a_file(tmp_path):
    problem = dataclasses.replace(SPEC, k=3).build()
    assert problem.gamma == pytest.approx(0.3 * problem.C.max())
    problem.save(tmp_path / "problem.npz")
    loaded = Problem.load(tmp_path / "problem.npz")
    assert (loaded.gamma, loaded.k) == (problem.gamma, 3)
    assert (ProblemSpec(n=3, m=3).build().gamma, ProblemSpec(n=3, m=3).build().k) == (None, None)


# --- adapters ---------------------------------------------------------------------------------------------------


def solved(adapter, problem, setting, **options):
    cls = load_adapter(adapter)
    for module in cls.modules:
        pytest.importorskip(module, reason=f"{adapter} needs {module}")
    made = cls(problem, 1, **options)
    made.prepare()
    made.compile(setting)
    return made.answer(made.run(setting))


def judged(adapter, problem, setting, **options):
    answer = solved(adapter, problem, setting, **options)
    return answer, judge_quadratic(problem, answer.plan, answer.f)


@pytest.mark.parametrize("adapter", ["ours:Quadratic", "ours:QuadraticSample"])
@pytest.mark.parametrize("k", [None, 2, 3])
def test_ours_is_feasible_and_certified(adapter, k):
    problem = dataclasses.replace(SPEC, k=k).build()
    answer, verdict = judged(adapter, problem, Setting(threshold=1e-9))
    assert answer.claim is True
    assert verdict.marginal_error <= 1e-11
    assert verdict.entries <= (k or 12)
    assert verdict.dual == pytest.approx(answer.details["dual value"], rel=1e-10)
    assert verdict.objective == pytest.approx(answer.details["value"], rel=1e-10)
    assert verdict.gap >= -1e-10
    if k is None:
        assert verdict.gap <= 1e-10


def test_ours_ended_at_its_dual_value_has_exact_columns():
    problem = dataclasses.replace(SPEC, n=30, m=35, k=2).build()
    whole, expected = judged("ours:Quadratic", problem, Setting(threshold=1e-9))
    assert expected.gap > 1e-6  # the limit counts: the plan has to be repaired
    answer, verdict = judged("ours:QuadraticDual", problem, Setting(whole.iterations - 2))
    assert answer.claim is None
    assert verdict.dual == pytest.approx(expected.dual, rel=1e-4)
    assert verdict.column_error <= 1e-12 < verdict.row_error
    assert verdict.entries <= 2


@pytest.mark.peer
@pytest.mark.parametrize("adapter", ["pot:SmoothDual", "pot:SmoothSemiDual"])
@pytest.mark.parametrize("k", [None, 3])
def test_pot_has_our_convention(adapter, k, capsys):
    problem = dataclasses.replace(SPEC, k=k).build()
    answer, verdict = judged(adapter, problem, Setting(2000, 1e-15))
    _, ours = judged("ours:Quadratic", problem, Setting(threshold=1e-9))
    assert "(15, 1)" not in capsys.readouterr().out  # a shape per evaluation
    assert answer.claim is True
    assert 0 < answer.iterations < 2000
    assert verdict.dual == pytest.approx(ours.dual, rel=1e-8 if k is None else 1e-3)
    assert verdict.entries <= (k or 12)
    if k is None:
        assert verdict.marginal_error <= 1e-3
        assert verdict.objective == pytest.approx(ours.objective, rel=1e-3)


@pytest.mark.peer
@pytest.mark.parametrize("adapter", ["pot:SmoothDual", "pot:SmoothSemiDual"])
def test_pot_does_as_many_iterations_as_it_is_told(adapter):
    answer = solved(adapter, SPEC.build(), Setting(4))
    assert answer.iterations == 4
    assert answer.claim is None
    assert solved(adapter, SPEC.build(), Setting(4, 1e-12)).claim is False


@pytest.mark.peer
@pytest.mark.parametrize("method", QUADRATIC_METHODS)
def test_regot_has_our_convention(method):
    problem = SPEC.build()
    answer, verdict = judged("regot:Quadratic", problem, Setting(20_000, 1e-6), method=method)
    _, ours = judged("ours:Quadratic", problem, Setting(threshold=1e-9))
    assert answer.claim is True
    assert verdict.marginal_error <= 1e-3
    assert verdict.dual == pytest.approx(ours.dual, rel=1e-6)
    assert verdict.objective == pytest.approx(ours.objective, rel=1e-3)
    stopped = solved("regot:Quadratic", problem, Setting(3), method=method)
    assert (stopped.iterations, stopped.claim) == (3, None)


@pytest.mark.peer
def test_regot_refuses_what_it_cannot():
    pytest.importorskip("regot")
    cls = load_adapter("regot:Quadratic")
    with pytest.raises(ValueError, match="method must be one of"):
        cls(SPEC.build(), 1, method="magic").prepare()
    with pytest.raises(ValueError, match="no limits of entries"):
        cls(dataclasses.replace(SPEC, k=2).build(), 1, method="grssn").prepare()


@pytest.mark.peer
@pytest.mark.parametrize("adapter", ["kernels:Projection", "pot:SemiDualEvaluation"])
@pytest.mark.parametrize("k", LIMITS)
def test_evaluations_are_those_of_the_judge(adapter, k):
    problem = dataclasses.replace(SPEC, k=k).build()
    answer = solved(adapter, problem, Setting(2))
    assert answer.iterations == 2
    assert answer.details["value"] == pytest.approx(semi_dual(problem, np.zeros(12)), rel=1e-12)
    # The gradient, by differences: the semi-dual is smooth where no entries tie.
    step = 1e-7 * np.eye(12)
    gradient = [(semi_dual(problem, e) - semi_dual(problem, -e)) / 2e-7 for e in step]
    assert answer.details["error"] == pytest.approx(np.abs(gradient).sum(), rel=1e-4)


# --- the task ---------------------------------------------------------------------------------------------------


def run(contenders, spec, path, task=None):
    task = ToDualValue(tol=1e-3, round_seconds=0.0, memory=True) if task is None else task
    case = Case("case", "a case", spec, task, contenders)
    limits = Limits(threads=1, repeat=1, max_seconds=0.5)
    run_case(case, limits, Store(path, "suite", {"fingerprint": "here"}), lambda text: None)
    return {r["contender"]: r for r in read_records(path) if r["record"] == "setup"}


FAKE = "bench_fakes.adapters:"


@pytest.mark.usefixtures("fake_library")
def test_dual_values_are_compared_with_those_of_the_main_contender(tmp_path):
    contenders = (
        Contender("main", FAKE + "Tilted"),
        Contender("climbs", FAKE + "Climbing", versus="main"),
        Contender("climbs too", FAKE + "Climbing", versus="climbs"),
        Contender("ends too low", FAKE + "Climbing", {"most": 3}, versus="main"),
        Contender("greedy", FAKE + "Greedy", versus="main"),
        Contender("low", FAKE + "Tilted", {"tilt": 0.2}, versus="main"),
    )
    found = run(contenders, ProblemSpec("uniform", n=6, m=6, d=2, gamma=1e4), tmp_path / "out.jsonl")
    assert {name: r["status"] for name, r in found.items()} == {
        "main": "ready",
        "climbs": "ready",
        "climbs too": "ready",
        "ends too low": "not reached",
        "greedy": "not reached",
        "low": "not reached",
    }
    assert "peak_bytes" in found["main"]
    assert "too low after" in found["ends too low"]["message"]
    assert "the time of ours" in found["ends too low"]["message"]
    assert "judged error" in found["greedy"]["message"]
    assert "relative gap" in found["low"]["message"]
    aim, climbed = (found[name]["verdict"]["dual"] for name in ("main", "climbs"))
    assert climbed >= (1 - 1e-3 * 1.001) * aim
    (table,) = tables(read_records(tmp_path / "out.jsonl"))
    assert table.rows[1].ratio is not None
    assert table.rows[3].ratio is None


@pytest.mark.usefixtures("fake_library")
def test_too_many_entries_are_seen_and_leave_nothing_to_compare_with(tmp_path):
    contenders = (Contender("main", FAKE + "Tilted"), Contender("climbs", FAKE + "Climbing", versus="main"))
    found = run(contenders, ProblemSpec("uniform", n=6, m=6, d=2, gamma=1e4, k=5), tmp_path / "out.jsonl")
    assert found["main"]["status"] == "not reached"
    assert found["main"]["message"] == "6 entries in a column"
    assert found["climbs"]["message"] == "no dual value to compare with"


# --- the suite --------------------------------------------------------------------------------------------------

SPARSE = {case.name: case for case in SUITES["sparse"].cases}


@pytest.mark.parametrize("n", [1000, 2000])
@pytest.mark.parametrize("gamma", [0.1, 1.0])
@pytest.mark.parametrize("k", [None, 2, 4, 8])
def test_squares(n, gamma, k):
    case = SPARSE[f"squares-{n}-{gamma:g}" + (f"-k{k}" if k else "")]
    found = {c.name: c for c in case.contenders}
    assert (case.problem.n, case.problem.m, case.problem.d, case.problem.gamma, case.problem.k) == (
        n,
        n,
        2,
        gamma,
        k,
    )
    assert case.task.tol == (1e-8 if k is None else 1e-4)
    assert found["pot-semi-dual"].target == 1 / 10
    # What ends at a dual value is compared with what does.
    assert found["pot-semi-dual"].versus == ("ours" if k is None else "ours-dual")
    peers = [c for c in found.values() if c.adapter == "regot:Quadratic"]
    assert {"grssn", "lbfgs_dual"} <= {c.options["method"] for c in peers} if k is None else not peers
    assert {c.target for c in peers} == ({1 / 3 if n == 2000 else None} if k is None else set())


def test_the_lazy_case_records_memory():
    case = SPARSE["squares-20000-k4"]
    assert case.task.memory
    assert not case.problem.stored
    assert (case.problem.n, case.problem.k) == (20_000, 4)
    assert all(c.ours for c in case.contenders)


def test_the_evaluation_stands_beside_an_iteration_of_sinkhorn():
    case = SPARSE["evaluation"]
    assert (case.task.kind, case.problem.k) == ("per-iteration", 8)
    found = {c.name: c for c in case.contenders}
    assert found["ours"].ours
    assert {"pot-evaluation", "ours-sinkhorn"} < set(found)
