"""Problems: reproducible, what they say they are, and unharmed by a trip through a file."""

import numpy as np
import pytest

from benchmarks.problems import Problem, ProblemSpec, cost_blocks, row_slices

SPECS = [
    ProblemSpec(n=20, m=30, weights="random"),
    ProblemSpec(kind="uniform", n=20, m=30, d=2, dtype="float32"),
    ProblemSpec(n=20, m=30, stored=False),
    ProblemSpec(kind="random-cost", n=20, m=30),
    ProblemSpec(kind="heavy-tailed", n=20, m=30),
    ProblemSpec(kind="clustered", n=20, m=30, cost="W1"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.kind)
def test_same_seed_same_problem_through_a_file(spec, tmp_path):
    problem = spec.build()
    problem.save(tmp_path / "problem.npz")
    loaded = Problem.load(tmp_path / "problem.npz")
    again = spec.build()
    for other in (loaded, again):
        for name, value in vars(problem).items():
            np.testing.assert_array_equal(getattr(other, name), value)
            assert np.asarray(getattr(other, name)).dtype == np.asarray(value).dtype


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.kind)
def test_problems_are_balanced_and_scaled(spec):
    problem = spec.build()
    assert problem.shape == (20, 30)
    assert problem.dtype == spec.dtype
    assert (problem.a > 0).all()
    assert problem.a.sum() == pytest.approx(1, rel=1e-6)
    assert problem.b.sum() == pytest.approx(1, rel=1e-6)
    largest = max(block.max() for _, block in problem.blocks())
    assert problem.max_cost == pytest.approx(largest, rel=1e-6)
    assert problem.eps == pytest.approx(spec.eps * largest, rel=1e-6)


def test_seeds_differ():
    assert not np.array_equal(ProblemSpec(n=5, m=5).build().x, ProblemSpec(n=5, m=5, seed=1).build().x)


def test_squared_distances_are_not_halved():
    (_, block), *_ = cost_blocks([[0.0, 0.0]], [[3.0, 4.0]])
    assert block == [[25.0]]


def test_row_slices_cover_all_rows_once():
    rows = [i for part in row_slices(1000, 10**5) for i in range(part.start, part.stop)]
    assert rows == list(range(1000))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ProblemSpec(kind="moons"), "kind must be"),
        (ProblemSpec(n=3, m=3, weights="skewed"), "weights must be"),
    ],
)
def test_unknown_recipes_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        spec.build()
