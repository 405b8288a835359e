"""What the suite of small ε asks of whom."""

import pytest

from benchmarks.suites import SUITES

NEWTON = {case.name: case for case in SUITES["newton"].cases}


def contenders(case):
    return {c.name: c for c in case.contenders}


def test_case_names_are_unique():
    for suite in SUITES.values():
        assert len({case.name for case in suite.cases}) == len(suite.cases)


@pytest.mark.parametrize("name", [name for name in NEWTON if name.endswith("1e-3")])
def test_small_eps_has_all_contenders(name):
    case = NEWTON[name]
    found = contenders(case)
    assert case.problem.eps == 1e-3
    assert case.task.tol == 1e-9
    assert case.task.own == (1e-6 if name.startswith("images") else 1e-8)
    assert sum(c.adapter == "regot:Entropic" for c in found.values()) == 5
    assert {"ours", "ours-newton", "ours-sinkhorn", "pot-plain", "pot-emd"} <= set(found)
    # Squared distances on a grid separate: no matrix.
    separable = case.problem.kind == "densities" and case.problem.cost == "W2"
    assert found["ours"].adapter == ("ours:Grid" if separable else "ours:Dense")
    uniform = case.problem.kind in ("gaussian", "random-cost")
    assert ("scipy-assignment" in found) == uniform
    assert found["ours-newton"].options == {"method": "newton"}
    assert found["ours"].options == ({"cost": "sqeuclidean"} if separable else {})


@pytest.mark.parametrize("eps", ["3e-4", "1e-4"])
def test_tiny_eps_is_against_exact_solvers(eps):
    cases = [case for name, case in NEWTON.items() if name.endswith(eps)]
    assert len(cases) == 7
    for case in cases:
        assert case.problem.eps == float(eps)
        assert contenders(case)["pot-emd"].target == 5.0
        assert not any(c.adapter.startswith("regot") for c in case.contenders)


@pytest.mark.parametrize(
    ("case", "regot", "exact"),
    [("gaussian-1000", 1 / 20, 1.0), ("gaussian-3000", 1 / 20, 1.0), ("random-2000", 1 / 5, None)],
)
def test_targets(case, regot, exact):
    found = contenders(NEWTON[f"{case}-1e-3"])
    assert {c.target for c in found.values() if c.adapter.startswith("regot")} == {regot}
    assert found["pot-emd"].target == exact
