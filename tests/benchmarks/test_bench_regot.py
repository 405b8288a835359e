"""RegOT's convention, its own measure, and what it claims."""

import numpy as np
import pytest
from bench_fakes.problems import two_point_problem

from benchmarks.adapters import Setting, load_adapter
from benchmarks.adapters.regot import METHODS
from benchmarks.judge import judge_plan, judge_potentials
from benchmarks.problems import ProblemSpec

pytestmark = pytest.mark.peer

#: Potentials have to be shifted by logarithms of weights that are all different.
WEIGHTED = ProblemSpec(n=40, m=30, eps=2e-2, weights="random")


@pytest.fixture(autouse=True)
def regot():
    return pytest.importorskip("regot", reason="RegOT is not installed")


def prepared(problem, method):
    adapter = load_adapter("regot:Entropic")(problem, 1, method=method)
    adapter.prepare()
    return adapter


@pytest.mark.parametrize("method", METHODS)
def test_known_solution(method):
    problem, plan = two_point_problem()
    adapter = prepared(problem, method)
    answer = adapter.answer(adapter.run(Setting(max_iter=500, threshold=1e-8)))
    found = np.outer(problem.a, problem.b) * np.exp((answer.f[:, None] + answer.g - problem.C) / problem.eps)
    np.testing.assert_allclose(found, plan, rtol=1e-7)
    assert answer.claim is True
    assert 0 < answer.iterations < 500


@pytest.mark.parametrize("method", METHODS)
def test_exactly_so_many_iterations(method):
    problem, _ = two_point_problem()
    adapter = prepared(problem, method)
    answer = adapter.answer(adapter.run(Setting(max_iter=4)))
    assert answer.iterations == 4
    assert answer.claim is None


@pytest.mark.parametrize("method", METHODS)
def test_potentials_give_the_plan_of_the_library(method):
    problem = WEIGHTED.build()
    adapter = prepared(problem, method)
    result, setting = adapter.run(Setting(max_iter=15, threshold=1e-8))
    answer = adapter.answer((result, setting))
    verdict = judge_potentials(problem, answer.f, answer.g).as_record()
    assert verdict == pytest.approx(judge_plan(problem, result.plan).as_record(), rel=1e-9, abs=1e-12)


def test_its_measure_leaves_the_last_column_out():
    problem = WEIGHTED.build()
    result, _ = prepared(problem, "splr").run(Setting(max_iter=5))
    rows, columns = result.plan.sum(axis=1) - problem.a, result.plan.sum(axis=0) - problem.b
    assert result.mar_errs[-1] == pytest.approx(np.linalg.norm([*rows, *columns[:-1]]))


@pytest.mark.parametrize("method", METHODS)
def test_a_limit_is_no_convergence(method):
    adapter = prepared(WEIGHTED.build(), method)
    answer = adapter.answer(adapter.run(Setting(max_iter=3, threshold=1e-10)))
    assert answer.claim is False


def test_float32_is_widened():
    problem, _ = two_point_problem(np.float32)
    adapter = prepared(problem, "ssns")
    assert all(array.dtype == np.float64 for array in adapter.arrays)
    assert adapter.arrays[0].flags.f_contiguous


def test_unknown_methods_are_refused():
    problem, _ = two_point_problem()
    with pytest.raises(ValueError, match="method must be one of"):
        prepared(problem, "magic")
