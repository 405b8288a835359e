"""Each adapter, run in its own worker, gives the known solution in the judge's convention."""

import numpy as np
import pytest
from bench_fakes.problems import two_point_problem
from scipy import sparse

from benchmarks.adapters import Setting, load_adapter
from benchmarks.judge import judge_exact, judge_plan, judge_potentials
from benchmarks.problems import Problem, ProblemSpec
from benchmarks.process import Worker
from benchmarks.runner import load_array
from benchmarks.suites import SUITES

pytestmark = pytest.mark.peer

# Half of the libraries stop on their own measure: asked for far more than what is then checked.
TESTED = Setting(max_iter=5000, threshold=1e-9)
TESTED_32 = Setting(max_iter=5000, threshold=1e-6)
FIXED = Setting(max_iter=10)

ENTROPIC = [
    ("pot:Plain", {}),
    ("pot:Log", {}),
    ("pot:TorchLog", {}),
    ("pot:Stabilized", {}),
    ("pot:EpsilonScaling", {}),
    ("ott:Dense", {}),
    ("ott:Dense", {"lse_mode": False}),
    ("ott:Dense", {"momentum": {"start": 20}}),
    ("ott:Dense", {"anderson": {"memory": 3, "refresh_every": 3}}),
    ("ott:Dense", {"decay": 0.8}),
    ("ott:PointCloud", {"batch_size": 1}),
    ("keops:Loop", {}),
    ("geomloss:Dense", {}),
    ("geomloss:Sample", {}),
]
#: GeomLoss reaches its last ε with the last iteration: its error falls like one over their number.
LOOSE = {"geomloss:Dense": 2e-2, "geomloss:Sample": 2e-2}
SINGLE = [
    ("pot:TorchLog", {}),
    ("ott:Dense", {}),
    ("ott:PointCloud", {}),
    ("keops:Loop", {}),
    ("ours:Dense", {}),
]
OURS = [
    ("ours:Dense", {}),
    ("ours:Sample", {}),
    ("ours:Dense", {"kernel": "stored"}),
    ("ours:Dense", {"method": "sinkhorn"}),
]


def solve(adapter, options, problem, settings, folder):
    """Run an adapter in a worker; replies and answer arrays, one pair per setting."""
    for module in load_adapter(adapter).modules:
        pytest.importorskip(module, reason=f"{adapter} needs {module}")
    problem.save(folder / "problem.npz")
    load = {"adapter": adapter, "problem": str(folder / "problem.npz"), "threads": 1, "options": options}
    with Worker(threads=1) as worker:
        worker.ask("load", 120, **load)
        for setting in settings:
            worker.ask("compile", 120, setting=setting.as_record())
            reply = worker.ask("run", 120, setting=setting.as_record(), save=str(folder))
            yield reply, {name: load_array(path) for name, path in reply["answer"].items()}


def assert_known_solution(problem, plan, answer, tolerance):
    f, g = answer["f"], answer["g"]
    found = np.outer(problem.a, problem.b) * np.exp((f[:, None] + g - problem.C) / problem.eps)
    np.testing.assert_allclose(found, plan, rtol=tolerance, atol=0)
    assert judge_potentials(problem, f, g).marginal_error <= 2 * tolerance


@pytest.mark.parametrize(("adapter", "options"), ENTROPIC + OURS, ids=str)
def test_known_solution(adapter, options, tmp_path):
    problem, plan = two_point_problem()
    settings = [TESTED, FIXED]
    if "momentum" in options:  # reads errors that a fixed number of iterations does not compute
        settings.remove(FIXED)
    for (reply, answer), setting in zip(solve(adapter, options, problem, settings, tmp_path), settings):
        if setting is FIXED:
            minimum = 35 if adapter == "pot:EpsilonScaling" else 0
            assert reply["iterations"] == max(FIXED.max_iter, minimum)
            assert reply["claim"] is None
            continue
        assert_known_solution(problem, plan, answer, LOOSE.get(adapter, 1e-7))
        if load_adapter(adapter).knob != "iterations":
            assert reply["claim"] is True
            assert 0 < reply["iterations"] < TESTED.max_iter


@pytest.mark.parametrize(("adapter", "options"), SINGLE, ids=str)
def test_known_solution_in_float32(adapter, options, tmp_path):
    problem, plan = two_point_problem(np.float32)
    ((_, answer),) = solve(adapter, options, problem, [TESTED_32], tmp_path)
    assert_known_solution(problem, plan, answer, 1e-5)


def test_float64_problems_run_in_float64(tmp_path):
    """JAX computes in float32 unless told otherwise: an error under 1e-9 needs float64."""
    problem, _ = two_point_problem()
    ((_, answer),) = solve("ott:Dense", {}, problem, [TESTED], tmp_path)
    assert answer["f"].dtype == np.float64
    assert judge_potentials(problem, answer["f"], answer["g"]).marginal_error < 1e-9


def test_the_method_of_ours_is_passed_on():
    problem, _ = two_point_problem()
    adapter = load_adapter("ours:Dense")(problem, 1, method="no-such-method")
    adapter.prepare()
    with pytest.raises(ValueError, match="no-such-method"):
        adapter.run(TESTED)


@pytest.mark.parametrize("adapter", ["pot:Emd", "scipy_exact:Assignment", "lap:Assignment", "ours:Exact"])
def test_exact_solvers_find_the_permutation(adapter, tmp_path):
    C = 1.0 - np.eye(4)[[2, 0, 3, 1]]
    weights = np.full(4, 0.25)
    problem = Problem(a=weights, b=weights, eps=1.0, max_cost=1.0, C=C)
    ((_, answer),) = solve(adapter, {}, problem, [Setting(threshold=1e-6)], tmp_path)
    plan = answer["plan"].toarray() if sparse.issparse(answer["plan"]) else answer["plan"]
    np.testing.assert_allclose(plan, 0.25 * (1.0 - C), atol=1e-15)
    assert judge_plan(problem, answer["plan"]).linear_cost == 0


@pytest.mark.parametrize("adapter", ["pot:Emd", "pot:EmdLazy", "ours:Exact", "ours:ExactSample"])
def test_potentials_of_exact_solvers_close_the_gap(adapter, tmp_path):
    problem = ProblemSpec(n=40, m=30, weights="gamma").build()
    ((reply, answer),) = solve(adapter, {}, problem, [Setting(threshold=1e-9)], tmp_path)
    verdict = judge_exact(problem, answer["plan"], answer["g"])
    assert reply["claim"] and verdict.marginal_error <= 1e-12
    assert abs(verdict.gap) <= 1e-12


def test_assignment_refuses_weights(tmp_path):
    problem, _ = two_point_problem()
    adapter = load_adapter("scipy_exact:Assignment")(problem, 1)
    with pytest.raises(ValueError, match="uniform weights"):
        adapter.prepare()


@pytest.mark.parametrize("adapter", ["machine:NumpyExp", "machine:TorchExp"])
def test_exp_limit_evaluates_at_least_one_exp_per_pair(adapter):
    cls = load_adapter(adapter)
    for module in cls.modules:
        pytest.importorskip(module, reason=f"{adapter} needs {module}")
    problem = ProblemSpec(n=100, m=70).build()
    limit = cls(problem, 2, chunk=64)
    limit.prepare()
    done = limit.calls * sum(len(source) for source, _ in limit.buffers)
    assert 7000 <= done < 7000 + 2 * 64
    limit.run(Setting(1))
    for source, target in limit.buffers:
        np.testing.assert_allclose(np.asarray(target), np.exp(np.asarray(source)), rtol=1e-14)


def test_every_contender_of_every_suite_has_an_adapter():
    for suite in SUITES.values():
        for case in suite.cases:
            for contender in case.contenders:
                assert load_adapter(contender.adapter).modules


def test_unknown_adapters_are_refused():
    for name in ("nobody:Dense", "pot:Nothing", "pot"):
        with pytest.raises(ValueError, match="no adapter"):
            load_adapter(name)


def test_the_grid_adapter_gives_the_potentials_of_the_matrix(tmp_path):
    problem = ProblemSpec("densities", n=64, m=64, cost="W2", eps=1e-2).build()
    [(reply, answer)] = solve("ours:Grid", {"cost": "sqeuclidean"}, problem, [Setting(threshold=1e-9)], tmp_path)
    assert reply["claim"]
    assert judge_potentials(problem, answer["f"], answer["g"]).marginal_error < 1e-8
