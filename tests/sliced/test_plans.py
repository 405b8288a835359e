"""`sliced_plan`: feasible, sparse, between its bounds, and a start for other solvers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import ot_solvers as ots


def clouds(rng, n=120, m=90, d=3, weights=True):
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d)) * np.linspace(0.5, 2, d) + 1
    if not weights:
        return x, y, None, None
    a, b = rng.gamma(1.0, size=n), rng.gamma(1.0, size=m)
    a[:3] = 0
    return x, y, a / a.sum(), b / b.sum()


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
@pytest.mark.parametrize("kind", ["min", "expected"])
@pytest.mark.parametrize("weights", [True, False])
def test_plans_are_feasible_and_bounds_hold(kind, p, weights, rng):
    x, y, a, b = clouds(rng, weights=weights)
    plan = ots.sliced_plan(x, y, a, b, kind=kind, p=p, seed=0)
    exact = float(ots.wasserstein(x, y, a, b, p=p, rtol=0)) ** p
    dense = plan.plan
    np.testing.assert_allclose(dense.sum(axis=1), np.full(120, 1 / 120) if a is None else a, atol=1e-13)
    np.testing.assert_allclose(dense.sum(axis=0), np.full(90, 1 / 90) if b is None else b, atol=1e-13)
    cost = np.linalg.norm(x[:, None] - y[None], axis=2) ** p
    assert (dense * cost).sum() == pytest.approx(plan.value, rel=1e-10)
    f, g = plan.potentials
    assert (f[:, None] + g[None] - cost).max() <= 1e-9 * cost.max()
    assert plan.dual_value <= plan.bounds[0] * (1 + 1e-12) <= exact * (1 + 1e-9)
    assert exact <= plan.value * (1 + 1e-12)
    assert plan.gap == pytest.approx(plan.value - plan.dual_value)
    assert plan.distance == pytest.approx(plan.value ** (1 / p))
    assert plan.status is ots.Status.FEASIBLE
    assert not plan.converged
    entries = 120 + 90 - 1
    assert plan.sparse_plan().nnz <= (entries if kind == "min" else 32 * entries)


def test_the_cheapest_direction_is_better_than_those_drawn(rng):
    x, y, a, b = clouds(rng)
    drawn = ots.sliced_plan(x, y, a, b, max_iter=0, seed=0)
    searched = ots.sliced_plan(x, y, a, b, seed=0)
    assert searched.value < drawn.value
    mean = ots.sliced_plan(x, y, a, b, kind="expected", seed=0)
    warm = ots.sliced_plan(x, y, a, b, kind="expected", temperature=0.05, seed=0)
    assert searched.value < warm.value < mean.value
    again = ots.sliced_plan(x, y, a, b, seed=0)
    np.testing.assert_array_equal(again.direction, searched.direction)


def test_on_a_line_and_for_translations_plans_are_optimal(rng):
    x, y, a, b = clouds(rng, d=1)
    plan = ots.sliced_plan(x, y, a, b, seed=0)
    assert plan.value == pytest.approx(float(ots.wasserstein(x, y, a, b)) ** 2, rel=1e-10)
    assert abs(plan.gap) <= 1e-10 * plan.value
    x = rng.normal(size=(200, 4))
    move = np.array([1.0, -2.0, 0.5, 3.0])
    plan = ots.sliced_plan(x, x + move, seed=0)
    assert plan.value == pytest.approx(move @ move, rel=1e-10)
    assert abs(plan.gap) <= 1e-9 * plan.value  # potentials from bases are exact here, too
    np.testing.assert_array_equal(plan.match(), np.arange(200))


@pytest.mark.parametrize("kind", ["min", "expected"])
def test_other_solvers_start_from_it(kind, rng):
    x, y, a, b = clouds(rng, 400, 300)
    plan = ots.sliced_plan(x, y, a, b, kind=kind, seed=0)
    cold = ots.solve_sample(x, y, a, b, reg=0.1, method="sinkhorn", tol=1e-8)
    warm = ots.solve_sample(x, y, a, b, reg=0.1, method="sinkhorn", tol=1e-8, init=plan)
    assert warm.converged
    assert warm.n_iter < cold.n_iter
    assert warm.value == pytest.approx(cold.value, rel=1e-6)
    exact = ots.solve_sample(x, y, a, b, init=plan)
    assert exact.value == pytest.approx(ots.solve_sample(x, y, a, b).value, rel=1e-9)


def test_maps_pickle_repr_and_own_directions(rng):
    x, y, a, b = clouds(rng, weights=False)
    plan = ots.sliced_plan(x, y, directions=np.eye(3))
    costs = [ots.sliced_plan(x, y, directions=np.eye(3)[k : k + 1]).value for k in range(3)]
    assert plan.value == pytest.approx(min(costs), rel=1e-12)
    assert plan.barycentric_map().shape == x.shape
    again = pickle.loads(pickle.dumps(plan))
    assert (again.value, again.kind, again.p) == (plan.value, "min", 2)
    assert "sliced (min)" in repr(plan)
    assert "FEASIBLE" in repr(plan)
    single = ots.sliced_plan(x.astype(np.float32), y.astype(np.float32), seed=0)
    assert single.plan.dtype == np.float32
    assert single.value == pytest.approx(ots.sliced_plan(x, y, seed=0).value, rel=1e-2)


def test_the_callback_ends_the_search(rng):
    x, y, a, b = clouds(rng)
    seen = []
    ots.sliced_plan(x, y, a, b, seed=0, callback=lambda progress: seen.append(progress) or len(seen) == 2)
    assert [progress.iteration for progress in seen] == [1, 2]
    assert seen[1].cost <= seen[0].cost


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"kind": "mean"}, ValueError, "kind='mean' is unknown"),
        ({"temperature": 1.0}, ValueError, "temperature=1.0 is for kind='expected'"),
        ({"kind": "expected", "temperature": 0.0}, ValueError, "temperature=0.0 must be positive"),
        ({"directions": np.ones((1, 2))}, ValueError, r"directions\[0\] has length"),
        ({"p": 0.5}, ValueError, "p=0.5 must be"),
        ({"n_projections": -1}, ValueError, "n_projections=-1"),
        ({"max_iter": -1}, ValueError, "max_iter=-1"),
    ],
)
def test_bad_input_is_named(keywords, error, message, rng):
    x = rng.normal(size=(5, 2))
    with pytest.raises(error, match=message):
        ots.sliced_plan(x, x, **keywords)
