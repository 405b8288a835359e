"""`solve_path`: the same answers as single solves, for less work, in the order asked for."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

import ot_solvers as ots

REGS = [0.01, 1.0, 0.1, 0.03]


@pytest.fixture
def clouds(rng):
    return rng.normal(size=(120, 3)), 0.5 + rng.normal(size=(90, 3))


@pytest.mark.parametrize("method", ["auto", "newton", "sinkhorn"])
def test_equals_single_solves_in_the_order_asked_for(clouds, method):
    x, y = clouds
    path = ots.solve_path(x, y, regs=REGS, tol=1e-10, method=method)
    assert [solution.reg for solution in path] == REGS
    for solution in path:
        single = ots.solve_sample(x, y, reg=solution.reg, tol=1e-10, method=method)
        assert solution.converged
        assert solution.value == pytest.approx(single.value, rel=1e-8)
        np.testing.assert_allclose(solution.potential_a, single.potential_a, atol=1e-6)


def test_a_path_takes_less_work_than_its_parts(clouds):
    x, y = clouds
    regs = [1.0, 0.3, 0.1, 0.03, 0.01]
    path = ots.solve_path(x, y, regs=regs, tol=1e-8, method="newton")
    singles = [ots.solve_sample(x, y, reg=reg, tol=1e-8, method="newton") for reg in regs]
    assert sum(s.n_iter for s in path) < 0.75 * sum(s.n_iter for s in singles)
    assert path[-1].n_iter < singles[-1].n_iter


def test_matrices_weights_and_geometries(clouds, rng):
    x, y = clouds
    a, b = rng.random(120), rng.random(90)
    b *= a.sum() / b.sum()
    C = oracles.squared_distances(x, y)
    expected = ots.solve(C, a, b, reg=0.1, tol=1e-9).value
    for data in ((C, a, b), (ots.geometry.DenseGeometry(C), a, b), (x, y, a, b), (C.tolist(), a, b)):
        path = ots.solve_path(*data, regs=[0.1, 0.5], tol=1e-9)
        assert path[0].value == pytest.approx(expected, rel=1e-7)


def test_the_first_solve_takes_the_warm_start(clouds):
    x, y = clouds
    start = ots.solve_sample(x, y, reg=1.0, tol=1e-10)
    cold, warm = (ots.solve_path(x, y, regs=[0.5], tol=1e-8, init=init)[0] for init in (None, start))
    assert warm.n_iter < cold.n_iter


def test_scaling_starts_at_the_eps_of_a_warm_start(clouds):
    x, y = clouds
    start = ots.solve_sample(x, y, reg=0.05, tol=1e-8)
    warm = ots.solve_sample(x, y, reg=0.01, tol=1e-8, init=start, method="newton")
    levels = sorted({progress.reg for progress in warm.history}, reverse=True)
    assert levels[-1] == 0.01
    assert 0.02 < levels[0] < 0.05


def test_relative_regularisations_and_entropic_values(clouds):
    x, y = clouds
    C = oracles.squared_distances(x, y)
    path = ots.solve_path(x, y, regs=[0.01, 0.1], reg_relative_to="max")
    np.testing.assert_allclose([s.reg for s in path], [0.01 * C.max(), 0.1 * C.max()])
    path = ots.solve_path(x, y, regs=[ots.Entropic(0.1), ots.Entropic(0.2)])
    assert [s.reg for s in path] == [0.1, 0.2]


def test_costs_and_penalties_are_passed_on(clouds):
    x, y = clouds
    for keywords in ({"cost": "cityblock"}, {"unbalanced": 2.0}):
        path = ots.solve_path(x, y, regs=[0.2, 0.5], tol=1e-9, **keywords)
        for solution in path:
            single = ots.solve_sample(x, y, reg=solution.reg, tol=1e-9, **keywords)
            assert solution.value == pytest.approx(single.value, rel=1e-7)


def test_generators_are_read_once(clouds):
    assert len(ots.solve_path(*clouds, regs=(reg for reg in (0.5, 0.2)))) == 2


def test_bad_arguments(clouds):
    x, y = clouds
    C = oracles.squared_distances(x, y)
    with pytest.raises(ValueError, match="regs is empty"):
        ots.solve_path(x, y, regs=[])
    with pytest.raises(TypeError, match="regs holds 'small'"):
        ots.solve_path(x, y, regs=["small"])
    with pytest.raises(ValueError, match=r"reg=-1\.0 must be positive"):
        ots.solve_path(x, y, regs=[-1.0])
    with pytest.raises(TypeError, match="takes regs="):
        ots.solve_path(x, y, regs=[1.0], reg=1.0)
    with pytest.raises(TypeError, match="cost= belongs to points"):
        ots.solve_path(C, regs=[1.0], cost="euclidean")
    with pytest.raises(TypeError, match="not 0"):
        ots.solve_path(regs=[1.0])
