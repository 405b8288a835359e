"""The suite of layers: its adapters pair and route what they say, and the cases ask it of whom."""

import numpy as np
import pytest

from benchmarks.adapters import Setting, load_adapter
from benchmarks.adapters.scipy_exact import squared_distances
from benchmarks.problems import ProblemSpec
from benchmarks.suites import SUITES

SPEC = ProblemSpec("gaussian", n=30, m=30, d=20, stored=False)
LAYERS = {case.name: case for case in SUITES["layers"].cases}


def made(adapter, problem, **options):
    cls = load_adapter(adapter)
    for module in cls.modules:
        pytest.importorskip(module, reason=f"{adapter} needs {module}")
    found = cls(problem, 1, **options)
    found.prepare()
    found.compile(Setting(2))
    return found


@pytest.mark.parametrize("adapter", ["ours:Pairing", "pot:EmdPoints", "scipy_exact:AssignmentPoints"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pairs_are_optimal(adapter, dtype):
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    problem = ProblemSpec(**{**SPEC.as_record(), "dtype": dtype}).build()
    contender = made(adapter, problem)
    answer = contender.answer(contender.run(Setting(threshold=1e-6)))
    C = cdist(problem.x, problem.y, "sqeuclidean")
    rows, columns = linear_sum_assignment(C)
    plan = answer.plan.toarray() if hasattr(answer.plan, "toarray") else answer.plan
    assert float((plan * C).sum()) == pytest.approx(C[rows, columns].mean(), rel=1e-6)
    np.testing.assert_allclose(plan.sum(0), 1 / 30, rtol=1e-6)
    assert answer.claim is True


def test_costs_of_the_peer():
    from scipy.spatial.distance import cdist

    x, y = np.random.default_rng(0).normal(size=(2, 9, 5))
    np.testing.assert_allclose(squared_distances(x, y), cdist(x, y, "sqeuclidean"), atol=1e-12)


@pytest.mark.parametrize("choice", ["expert", "token"])
def test_routings(choice):
    problem = ProblemSpec("gaussian", n=64, m=8, d=16, stored=False, dtype="float32").build()
    contender = made("kernels:Router", problem, choice=choice)
    answer = contender.answer(contender.run(Setting(3)))
    assert answer.iterations == 3
    assert answer.details["load"] == answer.details["least"] == 8
    assert contender.router.weight.grad is not None


def test_a_linear_layer_runs_forward_and_backward():
    contender = made("torch_layers:Linear", ProblemSpec("gaussian", n=64, m=8, d=16, stored=False).build())
    assert contender.answer(contender.run(Setting(2))).iterations == 2
    assert contender.layer.weight.grad is not None
    assert contender.tokens.grad is not None


def test_cases():
    found = {c.name: c for c in LAYERS["pairs-784"].contenders}
    problem = LAYERS["pairs-784"].problem
    assert (problem.n, problem.m, problem.d, problem.stored) == (512, 512, 784, False)
    assert found["pot-emd"].target == found["scipy-assignment"].target == 1 / 2
    assert {c.name: c for c in LAYERS["router"].contenders}["torch-linear"].target == 3.0
    problem = LAYERS["router"].problem
    assert (problem.n, problem.m, problem.d) == (4096, 64, 512)


@pytest.mark.parametrize("backward", [True, False])
def test_a_loss_with_and_without_its_gradient(backward):
    problem = ProblemSpec("gaussian", n=40, m=30, d=3, stored=False, dtype="float32").build()
    contender = made("torch_layers:Loss", problem, backward=backward)
    answer = contender.answer(contender.run(Setting(2)))
    assert answer.iterations == 2
    assert answer.details["value"] > 0
    assert (contender.points[0].grad is not None) == backward
