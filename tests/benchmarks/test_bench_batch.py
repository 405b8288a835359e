"""Batches: their problems, their judge, and what each library returns for them."""

import dataclasses

import numpy as np
import pytest

from benchmarks.adapters import Setting, load_adapter
from benchmarks.judge import judge_batch, judge_batch_plans, judge_exact, judge_potentials
from benchmarks.problems import Problem, ProblemSpec
from benchmarks.suites import SUITES

SPEC = ProblemSpec("gaussian", n=6, m=6, d=3, eps=0.1, batch=4)
ENTROPIC = [
    ("ours:Batch", {}),
    ("ours:BatchSample", {}),
    ("ours:BatchLoop", {}),
    ("pot:Batch", {}),
    ("pot:Batch", {"method": "sinkhorn"}),
    ("pot:TorchBatch", {}),
    ("ott:Batch", {}),
]
EXACT = ["ours:BatchExact", "pot:EmdBatch", "scipy_exact:AssignmentBatch"]


def solved(adapter, problem, setting, **options):
    cls = load_adapter(adapter)
    for module in cls.modules:
        pytest.importorskip(module, reason=f"{adapter} needs {module}")
    one = cls(problem, 1, **options)
    one.prepare()
    one.compile(setting)
    return one.answer(one.run(setting))


def test_problems_of_a_batch_through_a_file(tmp_path):
    problem = SPEC.build()
    problem.save(tmp_path / "problem.npz")
    loaded = Problem.load(tmp_path / "problem.npz")
    assert loaded.batch == 4 and loaded.shape == (6, 6)
    assert dataclasses.replace(SPEC, batch=None).build().batch is None
    for one, x, C in zip(loaded.each(), problem.x, problem.C):
        np.testing.assert_array_equal(one.x, x)
        np.testing.assert_allclose(C, ((one.x[:, None] - one.y) ** 2).sum(-1))
    assert not np.array_equal(problem.x[0], problem.x[1])
    with pytest.raises(ValueError, match="batches are of points"):
        ProblemSpec("random-cost", n=5, m=5, batch=2).build()


def test_the_worst_problem_counts():
    problem = SPEC.build()
    f, g = np.zeros((4, 6)), np.zeros((4, 6))
    f[2] += problem.eps  # too much mass
    each = [judge_potentials(one, *pair) for one, *pair in zip(problem.each(), f, g)]
    verdict = judge_batch(problem, f, g)
    assert verdict.marginal_error == max(v.marginal_error for v in each)
    assert verdict.linear_cost == pytest.approx(sum(v.linear_cost for v in each))
    f[1, 0] = np.nan
    assert judge_batch(problem, f, g).marginal_error == np.inf
    with pytest.raises(ValueError, match="of 4 problems, not of 3"):
        judge_batch(problem, f[:3], g[:3])


def test_plans_of_a_batch():
    problem = SPEC.build()
    plan = np.full((24, 6), 1 / 36)
    assert judge_batch_plans(problem, plan).marginal_error == pytest.approx(0, abs=1e-14)
    verdict = judge_batch_plans(problem, plan, np.zeros((4, 6)))
    gaps = [judge_exact(one, plan[:6], np.zeros(6)).gap for one in problem.each()]
    assert verdict.gap == pytest.approx(max(gaps))
    plan[20, 0] = 1.0
    assert judge_batch_plans(problem, plan).marginal_error > 0.9
    with pytest.raises(ValueError, match=r"shape \(24, 6\)"):
        judge_batch_plans(problem, plan[:6])


@pytest.mark.peer
@pytest.mark.parametrize(("adapter", "options"), ENTROPIC, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_potentials_are_in_the_judges_convention(adapter, options, dtype):
    if adapter == "ott:Batch" and dtype == "float64":
        pytest.importorskip("jax").config.update("jax_enable_x64", True)
    problem = dataclasses.replace(SPEC, dtype=dtype).build()
    tol = 1e-8 if dtype == "float64" else 1e-5
    answer = solved(adapter, problem, Setting(5000, tol), **options)
    assert answer.f.shape == answer.g.shape == (4, 6)
    assert judge_batch(problem, answer.f, answer.g).marginal_error <= 30 * tol
    assert answer.claim is True
    assert 0 < answer.iterations < 5000


@pytest.mark.peer
@pytest.mark.parametrize("adapter", EXACT)
def test_exact_pairings(adapter):
    problem = SPEC.build()
    answer = solved(adapter, problem, Setting(threshold=1e-9))
    verdict = judge_batch_plans(problem, answer.plan, answer.g)
    assert verdict.marginal_error <= 1e-12
    assert answer.g is None or abs(verdict.gap) <= 1e-12
    best = judge_batch_plans(problem, solved("ours:BatchExact", problem, Setting(threshold=1e-9)).plan)
    assert verdict.linear_cost == pytest.approx(best.linear_cost, rel=1e-12)


def test_the_suite():
    cases = {case.name: case for case in SUITES["batch"].cases}
    for size, n in ((2000, 16), (1000, 64), (500, 128)):
        case = cases[f"entropic-{n}-0.05-float64"]
        assert (case.problem.batch, case.problem.n, case.task.tol) == (size, n, 1e-6)
        found = {c.name: c for c in case.contenders}
        assert {"ours-loop", "pot-batch", "pot-batch-torch", "pot-batch-plain", "ott-vmap"} < set(found)
        assert {c.target for name, c in found.items() if name not in ("ours", "ours-sample")} == {1 / 4}
    pairing = cases["pairing-512"]
    assert (pairing.problem.n, pairing.problem.d) == (512, 784)
    assert {c.target for c in pairing.contenders if not c.ours} == {1 / 2}
