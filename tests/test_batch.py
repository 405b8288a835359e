"""Many problems in one call: each answer is that of `solve`, whatever is stacked with it."""

from __future__ import annotations

import numpy as np
import pytest
from checks import check_library, check_solution
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import some_weights

import ot_solvers as ots
from ot_solvers import ConvergenceError, ConvergenceWarning, InfeasibleError, Status, UnsupportedError
from ot_solvers.backends import blockwise, registry

TIGHT = {"tol": 1e-10}


def random_costs(rng, size=5, n=7, m=9):
    return rng.random((size, n, m))


def stacked_weights(rng, size, n):
    return np.stack([some_weights(rng, n) for _ in range(size)])


def check_same(batch, single, k, *, tol=1e-8):
    """Problem k of a batch against the solution of `solve`."""
    scale = max(1.0, abs(float(single.value)))
    for name in ("value", "value_linear", "dual_value"):
        one = float(getattr(single, name))
        assert float(np.asarray(getattr(batch, name))[k]) == pytest.approx(one, abs=tol * scale), name
        assert float(getattr(batch[k], name)) == pytest.approx(one, abs=tol * scale), name
    np.testing.assert_allclose(np.asarray(batch.plan[k]), np.asarray(single.plan), atol=tol)


# --- batch = loop -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("reg", [0.05, 0.5, None])
def test_matrices(rng, reg, backend):
    C = random_costs(rng)
    a, b = stacked_weights(rng, 5, 7), stacked_weights(rng, 5, 9)
    batch = ots.solve_batch(C, a, b, reg=reg, backend=backend, **TIGHT)
    assert batch.converged.all() and batch.backend == backend
    for k in range(5):
        check_same(batch, ots.solve(C[k], a[k], b[k], reg=reg, **TIGHT), k)
        if reg:
            check_solution(batch[k], C[k], a[k], b[k])


@pytest.mark.parametrize("d", [2, 12])
@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "cosine"])
@pytest.mark.parametrize("reg", [0.1, None])
def test_points(rng, cost, reg, d):
    x, y = rng.normal(size=(4, 6, d)), rng.normal(size=(4, 8, d))
    x[:, 0] = y[:, 0]  # points in common: costs of 0
    batch = ots.solve_sample_batch(x, y, cost=cost, reg=reg, reg_relative_to=reg and "mean", **TIGHT)
    for k in range(4):
        single = ots.solve_sample(x[k], y[k], cost=cost, reg=reg, reg_relative_to=reg and "mean", **TIGHT)
        check_same(batch, single, k)
        np.testing.assert_allclose(batch.barycentric_map()[k], single.barycentric_map(), atol=1e-7)
        np.testing.assert_allclose(batch.barycentric_map(inverse=True)[k], single.barycentric_map(True), atol=1e-7)


@pytest.mark.parametrize("d", [2, 9])
@pytest.mark.parametrize("unbalanced", [None, 2.0])
@pytest.mark.parametrize(
    "cost",
    ["sqeuclidean", "euclidean", "dot", "cosine", "weighted", ots.costs.PNorm(3)],
)
def test_derivatives_of_all_plans_at_once(rng, cost, unbalanced, d):
    if cost == "weighted":
        cost = ots.costs.SqEuclidean(weights=tuple(np.linspace(1.0, 2.0, d)))
    x = [rng.normal(size=(n, d)) for n in (5, 9, 1)]
    y = [rng.normal(size=(n, d)) for n in (7, 4, 3)]
    a = [np.append(0.0, np.ones(4)) / 4, np.ones(9) / 9, np.ones(1)]
    x[0][1] = y[0][1]  # where the slope of a norm is 0
    batch = ots.solve_sample_batch(x, y, a, cost=cost, reg=0.5, unbalanced=unbalanced)
    plans, backend = batch._solved.plans, batch._backend
    for found, expected in zip(
        backend.batch_cost_gradients(plans), blockwise.batch_cost_gradients(registry.get("reference"), plans)
    ):
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_weights_of_coordinates_where_costs_are_matrix_products(rng):
    x, y = rng.normal(size=(2, 20, 9)), rng.normal(size=(2, 25, 9))
    cost = ots.costs.SqEuclidean(weights=tuple(np.arange(1.0, 10.0)))
    found = ots.solve_sample_batch(x, y, cost=cost, reg=1.0, tol=1e-9)
    alone = [float(ots.solve_sample(*pair, cost=cost, reg=1.0, tol=1e-9)) for pair in zip(x, y)]
    np.testing.assert_allclose(found.value, alone, rtol=1e-9)


@pytest.mark.parametrize("reg", [0.1, None, ots.Quadratic(1.0), ots.SparsityConstrained(1.0, 3)])
def test_every_kind_of_regularisation(rng, reg):
    C = random_costs(rng, 3, 6, 6)
    batch = ots.solve_batch(C, reg=reg, **TIGHT)
    for k in range(3):
        check_same(batch, ots.solve(C[k], reg=reg, **TIGHT), k)
        assert float(np.asarray(batch.gap)[k]) == pytest.approx(
            float(ots.solve(C[k], reg=reg, **TIGHT).gap), abs=1e-8
        )


@pytest.mark.parametrize("kind", ["kl", "tv"])
@pytest.mark.parametrize("rho", [0.5, (0.3, np.inf)])
def test_unbalanced(rng, kind, rho):
    C = random_costs(rng)
    a, b = rng.uniform(0.5, 2, (5, 7)), rng.uniform(0.5, 2, (5, 9))
    keywords = {"reg": 0.1, "unbalanced": rho, "unbalanced_type": kind, "tol": 1e-9}
    batch = ots.solve_batch(C, a, b, **keywords)
    for k in range(5):
        check_same(batch, ots.solve(C[k], a[k], b[k], **keywords), k, tol=1e-6)


def test_ragged(rng):
    sizes = [(3, 5), (7, 2), (1, 1), (4, 4)]
    costs = [rng.random(shape) for shape in sizes]
    a, b = ([some_weights(rng, shape[side]) for shape in sizes] for side in (0, 1))
    for reg in (0.1, None):
        batch = ots.solve_batch(costs, a, b, reg=reg, **TIGHT)
        assert batch.shapes == sizes
        assert [plan.shape for plan in batch.plan] == sizes
        assert [f.shape for f in batch.potential_a] == [(n,) for n, _ in sizes]
        assert [g.shape for g in batch.marginal_b] == [(m,) for _, m in sizes]
        for k, C in enumerate(costs):
            check_same(batch, ots.solve(C, a[k], b[k], reg=reg, **TIGHT), k)


def test_ragged_points(rng):
    x, y = ([rng.normal(size=(n, 3)) for n in sizes] for sizes in ((4, 9, 2), (5, 3, 6)))
    for reg in (0.5, None):
        batch = ots.solve_sample_batch(x, y, reg=reg, **TIGHT)
        for k in range(3):
            check_same(batch, ots.solve_sample(x[k], y[k], reg=reg, **TIGHT), k)
            np.testing.assert_allclose(
                batch.barycentric_map()[k],
                ots.solve_sample(x[k], y[k], reg=reg, **TIGHT).barycentric_map(),
                atol=1e-8,
            )


def test_one_matrix_for_many_weights(rng):
    C = rng.random((6, 8))
    a = stacked_weights(rng, 4, 6)
    for reg in (0.1, None):
        batch = ots.solve_batch(C, a, reg=reg, **TIGHT)
        for k in range(4):
            check_same(batch, ots.solve(C, a[k], reg=reg, **TIGHT), k)
    regs = [0.1, 0.2, 0.4]
    batch = ots.solve_batch(C, reg=regs, **TIGHT)
    for k, reg in enumerate(regs):
        check_same(batch, ots.solve(C, reg=reg, **TIGHT), k)


def test_masses_other_than_one(rng):
    C = random_costs(rng, 3)
    a, b = rng.uniform(1, 2, (3, 7)), rng.uniform(1, 2, (3, 9))
    b *= (a.sum(1) / b.sum(1))[:, None]
    for reg in (0.1, None):
        batch = ots.solve_batch(C, a, b, reg=reg, **TIGHT)
        for k in range(3):
            single = ots.solve(C[k], a[k], b[k], reg=reg, **TIGHT)
            check_same(batch, single, k)
            if reg:
                np.testing.assert_allclose(batch.potential_a[k], single.potential_a, atol=1e-8)
                np.testing.assert_allclose(batch.potential_a[k], batch[k].potential_a, atol=1e-12)


@pytest.mark.parametrize("reg", [0.1, None])
def test_forbidden_pairs(rng, reg):
    C = random_costs(rng, 6, 8, 8)
    C[2:4][rng.random((2, 8, 8)) < 0.2] = np.inf
    C[:, np.arange(8), np.arange(8)] = 0.5
    batch = ots.solve_batch(C, reg=reg, **TIGHT)
    for k in range(6):
        check_same(batch, ots.solve(C[k], reg=reg, **TIGHT), k)


def test_small_eps_and_many_digits(rng):
    C = random_costs(rng, 4, 20, 20)
    for tol in (1e-6, 1e-11):
        batch = ots.solve_batch(C, reg=2e-3, tol=tol)
        assert batch.converged.all()
        for k in range(4):
            found = batch[k]
            P = found.plan
            assert np.abs(P.sum(0) - 0.05).sum() + np.abs(P.sum(1) - 0.05).sum() <= tol * (1 + 1e-6) + 1e-13


def test_large_problems_are_solved_one_by_one(rng, monkeypatch):
    from ot_solvers import batch as module

    C = random_costs(rng)
    monkeypatch.setattr(module, "SMALL_PAIRS", 10)
    monkeypatch.setattr(module, "ALL_PAIRS", 10)
    for reg in (0.1, None):
        batch = ots.solve_batch(C, reg=reg, **TIGHT)
        for k in range(5):
            check_same(batch, ots.solve(C[k], reg=reg, **TIGHT), k)


@pytest.mark.parametrize("method", ["newton", ots.Sinkhorn(relaxation=1.5), "simplex", "assignment"])
def test_methods(rng, method):
    C = random_costs(rng, 3, 6, 6)
    reg = None if method in ("simplex", "assignment") else 0.1
    batch = ots.solve_batch(C, reg=reg, method=method, **TIGHT)
    for k in range(3):
        assert batch[k].method == ots.solve(C[k], reg=reg, method=method, **TIGHT).method
        check_same(batch, ots.solve(C[k], reg=reg, **TIGHT), k)


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 4),
    n=st.integers(1, 9),
    m=st.integers(1, 9),
    eps=st.sampled_from([0.01, 0.1, 10.0]),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    shift=st.sampled_from([0.0, -5.0, 100.0]),
)
@settings(max_examples=40, deadline=None)
def test_batch_is_loop(seed, size, n, m, eps, scale, shift):
    rng = np.random.default_rng(seed)
    C = scale * (rng.random((size, n, m)) + shift)
    a, b = stacked_weights(rng, size, n), stacked_weights(rng, size, m)
    entropic = ots.solve_batch(C, a, b, reg=eps * scale, tol=1e-9)
    exact = ots.solve_batch(C, a, b, reg=None)
    for k in range(size):
        single = ots.solve(C[k], a[k], b[k], reg=eps * scale, tol=1e-9)
        size_of_costs = np.abs(C).max()
        assert entropic.value[k] == pytest.approx(single.value, abs=1e-7 * size_of_costs)
        assert exact.value[k] == pytest.approx(ots.solve(C[k], a[k], b[k]).value, abs=1e-9 * size_of_costs)
        f, g = exact.potential_a[k], exact.potential_b[k]
        assert (f[:, None] + g[None] <= C[k] + 1e-9 * size_of_costs).all()
        np.testing.assert_allclose(exact.marginal_a[k], a[k], atol=1e-12)
        np.testing.assert_allclose(exact.marginal_b[k], b[k], atol=1e-12)


@pytest.mark.parametrize("kind", ["ties", "random", "points"])
@pytest.mark.parametrize("n", [1, 2, 30, 90])
def test_assignments_are_those_of_scipy(rng, n, kind):
    from scipy.optimize import linear_sum_assignment

    C = rng.random((3, n, n))
    if kind == "ties":
        C = np.floor(4 * C)
    if kind == "points":
        x, y = rng.normal(size=(2, 3, n, 3))
        C = ((x[:, :, None] - y[:, None]) ** 2).sum(-1)
    batch = ots.solve_batch(C, reg=None)
    assert batch.method == "assignment"
    for k in range(3):
        rows, columns = linear_sum_assignment(C[k])
        assert batch.value[k] == pytest.approx(C[k][rows, columns].mean(), rel=1e-12, abs=1e-15)
        assert abs(batch[k].gap) <= 1e-12 * max(1, C[k].max())
        assert batch[k].match().tolist() == np.argmax(batch.plan[k], axis=1).tolist()


def costs_with_ties(rng, kind, n):
    """(3, n, n) costs of a kind."""
    x, y = rng.normal(size=(2, 3, n, 2))
    if kind == "duplicates":
        x[:, n // 2 :], y[:, n // 3 :] = x[:, :1], y[:, :1]
    if kind == "float32":
        x, y = x.astype(np.float32).astype(float), y.astype(np.float32).astype(float)
    C = np.sqrt(((x[:, :, None] - y[:, None]) ** 2).sum(-1))
    if kind == "integers":
        C = np.floor(4 * C)
    if kind == "one cost":
        C = np.ones_like(C)
    if kind == "negative":
        C = 1e3 * (C - 5.0)
    if kind == "rays":  # images on the rays of their points: many plans are next to optimal
        C = np.abs(np.sort(x[..., :1], axis=1) - 10.0 - y[..., 0][:, None])
    return C


@pytest.mark.parametrize("start", ["own", "near", "far", "one column", "useless", "entropic"])
@pytest.mark.parametrize("kind", ["points", "float32", "duplicates", "integers", "one cost", "negative", "rays"])
@pytest.mark.parametrize("n", [1, 2, 33, 70])
def test_assignments_from_known_potentials(rng, n, kind, start):
    """Whatever they are, the plan is optimal, and potentials prove it."""
    from scipy.optimize import linear_sum_assignment

    C = costs_with_ties(rng, kind, n)
    size = np.abs(C).max()
    cold = ots.solve_batch(C, reg=None)
    f, g = (np.array(side) for side in cold.potentials)
    if start == "near":
        g += 0.1 * size * rng.normal(size=g.shape)
    if start == "far":
        g = 10 * size * rng.normal(size=g.shape)
    if start == "one column":
        g[:, 0] += 20 * size
    if start == "useless":
        g += 1e200
    init = ots.solve_batch(C, reg=0.1 * size) if start == "entropic" else (f, g)
    warm = ots.solve_batch(C, reg=None, init=init)
    assert warm.converged.all() and (warm.n_iter == 1).all()
    for k in range(3):
        best = C[k][linear_sum_assignment(C[k])].mean()
        assert warm.value[k] == pytest.approx(best, rel=1e-12, abs=1e-15)
        f, g = warm.potential_a[k], warm.potential_b[k]
        assert (C[k] - f[:, None] - g).min() >= -1e-12 * size
        assert f.mean() + g.mean() == pytest.approx(best, abs=1e-12 * size)
        np.testing.assert_array_equal(np.sort(np.argmax(warm.plan[k], axis=1)), np.arange(n))


def test_other_exact_problems_do_not_look_at_potentials(rng):
    C = rng.random((3, 12, 15))
    a = rng.dirichlet(np.ones(12), size=3)
    cold = ots.solve_batch(C, a, reg=None)
    warm = ots.solve_batch(C, a, reg=None, init=(rng.normal(size=(3, 12)), rng.normal(size=(3, 15))))
    np.testing.assert_array_equal(warm.plan, cold.plan)
    np.testing.assert_array_equal(warm.potential_b, cold.potential_b)


# --- arrays -----------------------------------------------------------------------------------------------------


def test_float32(rng):
    C = random_costs(rng).astype(np.float32)
    batch = ots.solve_batch(C, reg=0.05)
    assert batch.plan.dtype == batch.potential_a.dtype == np.float32
    assert (batch.marginal_error <= 1e-4).all()
    assert batch.converged.all()
    for k in range(5):
        assert batch.value[k] == pytest.approx(ots.solve(C[k].astype(float), reg=0.05).value, abs=1e-4)
    fine = ots.solve_batch(C, reg=0.05, tol=1e-9)
    assert fine.converged.all() and float(fine[0].marginal_error) <= 1e-9


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_libraries(rng, library):
    module = pytest.importorskip(library)
    C = random_costs(rng).astype(np.float32)
    array = module.from_numpy(C) if library == "torch" else module.numpy.asarray(C)
    batch = ots.solve_batch(array, reg=0.1)
    for name in ("value", "gap", "plan", "potential_a", "marginal_b", "marginal_error", "dual_value"):
        check_library(getattr(batch, name), array, name)
    assert batch.converged.shape == (5,) and bool(batch.converged.all())
    exact = ots.solve_sample_batch([array[0], array[1, :3]], [array[2], array[3, :4]], reg=None)
    check_library(exact.plan[1], array, "plan")
    check_library(exact.barycentric_map()[0], array, "map")


def test_the_callers_arrays_are_left_alone(rng):
    C = random_costs(rng)
    a = stacked_weights(rng, 5, 7)
    kept = C.copy(), a.copy()
    for array in (C, a):
        array.flags.writeable = False
    expected = ots.solve_batch(C, a, reg=0.1).value
    assert (kept[0] == C).all() and (a == kept[1]).all()
    strided = np.asfortranarray(C), a[:, ::-1].copy()[:, ::-1]
    np.testing.assert_array_equal(ots.solve_batch(*strided, reg=0.1).value, expected)
    np.testing.assert_array_equal(ots.solve_batch(list(C), list(a), reg=0.1).value, expected)
    init = np.zeros((5, 7)), np.zeros((5, 9))
    ots.solve_batch(C, a, reg=0.1, init=init)
    assert not init[0].any() and not init[1].any()


def test_threads_do_not_change_a_bit(rng):
    C = rng.random((64, 40, 40))
    before = ots.get_num_threads()
    try:
        ots.set_num_threads(1)
        first = ots.solve_batch(C, reg=0.01)
        ots.set_num_threads(3)
        second = ots.solve_batch(C, reg=0.01)
    finally:
        ots.set_num_threads(before)
    assert first.potential_a.tobytes() == second.potential_a.tobytes()
    assert first.plan.tobytes() == second.plan.tobytes()


# --- one regulariser, one status for each -----------------------------------------------------------------------


def test_a_regulariser_for_each(rng):
    C = random_costs(rng)
    regs = [0.05, None, ots.Quadratic(1.0), 0.5, ots.Entropic(0.1, relative_to="max")]
    batch = ots.solve_batch(C, reg=regs, **TIGHT)
    for k, reg in enumerate(regs):
        single = ots.solve(C[k], reg=reg, **TIGHT)
        check_same(batch, single, k)
        assert batch.reg[k] == pytest.approx(single.reg)
        assert batch.marginal_error[k] <= 1e-9
    relative = ots.solve_batch(C * np.arange(1.0, 6)[:, None, None], reg=np.full(5, 0.1), reg_relative_to="mean")
    np.testing.assert_allclose(relative.reg, 0.1 * C.mean((1, 2)) * np.arange(1.0, 6))


def test_every_problem_has_its_own_status(rng):
    C = random_costs(rng, 4, 12, 12)
    with pytest.warns(
        ConvergenceWarning, match=r"^2 of 4 problems did not reach tol = 1e-06: 1, 3\..*MAX_ITER"
    ) as seen:
        batch = ots.solve_batch(C, reg=[1.0, 1e-3, 1.0, 1e-3], max_iter=8)
    assert len(seen) == 1 and seen[0].filename == __file__
    assert [status.name for status in batch.status] == ["CONVERGED", "MAX_ITER", "CONVERGED", "MAX_ITER"]
    assert batch.converged.tolist() == [True, False, True, False]
    assert (batch.n_iter <= 8).all() and batch.n_iter[0] < 8
    assert batch.marginal_error[1] > 1e-6
    assert batch[1].status is Status.MAX_ITER and batch[1].n_iter == batch.n_iter[1]
    assert np.isfinite(batch[1].gap)
    with pytest.raises(ConvergenceError, match="2 of 4 problems") as error:
        ots.solve_batch(C, reg=[1.0, 1e-3, 1.0, 1e-3], max_iter=8, on_failure="raise")
    assert isinstance(error.value.solution, ots.BatchSolution)
    ots.solve_batch(C, reg=1e-3, max_iter=1, on_failure="ignore")


def test_a_problem_without_a_plan(rng):
    C = random_costs(rng, 3, 4, 4)
    C[1, :3, 1:] = np.inf  # three rows, of mass 3/4, have one column, of mass 1/4
    for reg in (0.1, None):
        with pytest.warns(ConvergenceWarning, match=r"1 of 3 problems .* 1\. .* INFEASIBLE"):
            batch = ots.solve_batch(C, reg=reg)
        assert [s.name for s in batch.status] == ["CONVERGED", "INFEASIBLE", "CONVERGED"]


# --- a sequence -------------------------------------------------------------------------------------------------


def test_indexing(rng):
    batch = ots.solve_batch(random_costs(rng), reg=[0.1, None, 0.2, 0.3, ots.Quadratic(1.0)], **TIGHT)
    assert len(batch) == 5 and len(list(batch)) == 5
    assert batch[2] is batch[2] and batch[-1] is batch[4]
    assert isinstance(batch[1], ots.Solution) and batch[np.int64(1)] is batch[1]
    part = batch[3:0:-2]
    assert isinstance(part, ots.BatchSolution) and len(part) == 2
    np.testing.assert_allclose(part.value, batch.value[3:0:-2], rtol=1e-14)
    np.testing.assert_array_equal(part.plan, batch.plan[3:0:-2])
    np.testing.assert_array_equal(part.potential_b, batch.potential_b[3:0:-2])
    assert part[1].value == batch[1].value
    assert len(batch[5:]) == 0 and "no problems" in repr(batch[5:])
    with pytest.raises(IndexError, match="problem 5 of a batch of 5"):
        batch[5]
    with pytest.raises(TypeError, match="integer or a slice"):
        batch["value"]


def test_repr(rng):
    text = repr(ots.solve_batch(random_costs(rng), reg=0.1))
    assert "5 transport problems, 7 x 9" in text and "5 CONVERGED" in text
    assert len(text.splitlines()) < 12
    assert "3..7 x 2..5" in repr(ots.solve_batch([rng.random((3, 5)), rng.random((7, 2))], reg=0.1))


def test_bounds_and_marginals(rng):
    batch = ots.solve_batch(random_costs(rng), reg=0.1)
    lower, upper = batch.bounds
    exact = ots.solve_batch(random_costs(np.random.default_rng(0)), reg=None).value
    assert (lower <= exact + 1e-12).all() and (exact <= upper + 1e-12).all()
    np.testing.assert_allclose(batch.plan.sum(2), batch.marginal_a, atol=1e-14)
    np.testing.assert_allclose(batch.plan.sum(1), batch.marginal_b, atol=1e-14)
    with pytest.raises(ValueError, match="knows no points"):
        batch.barycentric_map()


# --- warm starts and callbacks ----------------------------------------------------------------------------------


def test_a_warm_start_takes_fewer_passes(rng):
    C = random_costs(rng, 6, 20, 20)
    cold = ots.solve_batch(C, reg=0.02)
    for init in (cold, cold.potentials):
        assert (ots.solve_batch(C, reg=0.02, init=init).n_iter <= 2).all()
    near = ots.solve_batch(C, reg=0.02, init=ots.solve_batch(C, reg=0.025))
    assert near.n_iter.sum() < 0.8 * cold.n_iter.sum()
    assert near.converged.all()
    exact = ots.solve_batch(C, reg=None, init=cold)
    assert exact.converged.all()
    ragged = [C[0], C[1, :5]]
    first = ots.solve_batch(ragged, reg=0.02)
    assert (ots.solve_batch(ragged, reg=0.02, init=first.potentials).n_iter <= 2).all()


def test_callback(rng):
    C = random_costs(rng, 700, 4, 4)
    seen = []
    assert ots.solve_batch(C, reg=0.1, callback=seen.append).converged.all()
    assert [p.done for p in seen] == [256, 512, 700] and {p.total for p in seen} == {700}
    stopped = ots.solve_batch(C, reg=0.01, callback=lambda p: True)
    assert stopped.converged[:256].all()
    assert {s.name for s in stopped.status[256:]} <= {"STOPPED_BY_CALLBACK", "CONVERGED"}
    assert stopped.status[300] is Status.STOPPED_BY_CALLBACK
    assert np.isfinite(stopped.value).all() and (stopped.n_iter[256:] == 1).all()
    small = ots.solve_batch(C[:260], reg=None, callback=lambda p: True)
    assert small.status[0] is Status.CONVERGED and small.status[259] is Status.STOPPED_BY_CALLBACK


# --- bad input --------------------------------------------------------------------------------------------------

C3 = np.ones((4, 2, 3))


def with_entry(value, k=3, i=1, j=2):
    C = C3.copy()
    C[k, i, j] = value
    return C


@pytest.mark.parametrize("reg", [0.1, None, ots.Quadratic(1.0)])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_illegal_costs_are_named(reg, value):
    with pytest.raises(ValueError, match=r"C\[3, 1, 2\] is (nan|-inf)"):
        ots.solve_batch(with_entry(value), reg=reg)
    with pytest.raises(ValueError, match=r"C\[3, 1, 2\] is (nan|-inf)"):
        ots.solve_batch(list(with_entry(value)), reg=reg and 0.1, reg_relative_to=reg and "mean")


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((np.ones(3),), {}, r"C has shape \(3,\); expected \(B, n, m\)"),
        ((np.ones((2, 3)),), {}, r"neither a nor b nor reg says by how many"),
        ((np.ones((0, 2, 3)),), {}, "C is empty"),
        (([np.ones((2, 2)), np.ones(2)],), {}, r"C\[1\] has shape \(2,\); expected \(n, m\)"),
        ((C3, np.ones((3, 2))), {}, r"a has shape \(3, 2\); expected \(2,\) or \(4, 2\)"),
        ((C3, None, [np.ones(3)] * 3), {}, r"b holds 3 vectors; expected one for each of the 4 problems"),
        ((C3, None, [np.ones(3)] * 3 + [np.ones(2)]), {}, r"b\[3\] has shape \(2,\); expected \(3,\)"),
        ((C3, [[1, -1]] * 4), {}, r"a\[0, 1\] is -1|a\[0\]\[1\] is -1"),
        ((C3, np.array([[1, 1], [1, np.nan], [1, 1], [1, 1]])), {}, r"a\[1, 1\] is nan"),
        ((C3, np.array([[1, 1], [0, 0], [1, 1], [1, 1]])), {}, r"a\[1\] has total mass 0"),
        ((C3, np.array([[0.5, 0.5]] * 3 + [[1, 1]])), {}, r"problem 3: sum\(a\[3\]\)=2, sum\(b\[3\]\)=1"),
        ((C3,), {"reg": [0.1, 0.2]}, "reg holds 2 values; expected one for each of the 4 problems"),
        ((C3,), {"reg": [0.1, 0.2, -1, 0.1]}, r"reg\[2\]: reg=-1 must be positive"),
        ((C3,), {"on_failure": "shrug"}, "on_failure='shrug' is unknown"),
        ((C3,), {"method": "sinkhorm"}, "did you mean 'sinkhorn'"),
        (
            (C3,),
            {"init": (np.zeros((4, 3)), np.zeros((4, 3)))},
            r"init\[0\] has shape \(4, 3\); expected \(4, 2\)",
        ),
        (
            (C3,),
            {"init": (np.full((4, 2), np.nan), np.zeros((4, 3)))},
            r"init\[0\] has entries that are not finite",
        ),
        ((0 * C3,), {"reg_relative_to": "mean"}, "of the cost of problem 0 is 0, not positive"),
    ],
)
def test_bad_input(arguments, keywords, message):
    with pytest.raises(ValueError, match=message):
        ots.solve_batch(*arguments, **{"reg": 0.1, **keywords})


def test_bad_types():
    with pytest.raises(TypeError, match="reg"):
        ots.solve_batch(C3)
    with pytest.raises(TypeError, match=r"reg\[1\]: reg='x'"):
        ots.solve_batch(C3, reg=[0.1, "x", 0.1, 0.1])
    with pytest.raises(TypeError, match="init=int must be a BatchSolution"):
        ots.solve_batch(C3, reg=0.1, init=3)
    with pytest.raises(TypeError, match="callback=3 is not callable"):
        ots.solve_batch(C3, reg=0.1, callback=3)
    with pytest.raises(UnsupportedError, match="unbalanced=1"):
        ots.solve_batch(C3, reg=None, unbalanced=1.0)
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"C\[0\] is a numpy array and C\[1\] a torch array"):
        ots.solve_batch([np.ones((2, 2)), torch.ones((2, 2))], reg=0.1)


def test_points_without_a_way_are_named():
    C = C3.copy()
    C[2, 0] = np.inf
    for reg in (0.1, None):
        with pytest.raises(InfeasibleError, match=r"problem 2: a\[0\] has weight"):
            ots.solve_batch(C, reg=reg)


def test_bad_points(rng):
    x, y = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 5, 2))
    with pytest.raises(ValueError, match=r"x has 2 coordinates and y 3"):
        ots.solve_sample_batch(x, rng.normal(size=(3, 5, 3)), reg=0.1)
    with pytest.raises(ValueError, match=r"x holds 3 problems and y 2"):
        ots.solve_sample_batch(x, y[:2], reg=0.1)
    with pytest.raises(ValueError, match=r"x has shape \(4, 2\); expected \(B, n, d\)"):
        ots.solve_sample_batch(x[0], y, reg=0.1)
    x[1, 2, 0] = np.inf
    with pytest.raises(ValueError, match=r"x\[1, 2, 0\] is inf"):
        ots.solve_sample_batch(x, y, reg=0.1)
    with pytest.raises(ValueError, match=r"x\[1\]\[2, 0\] is inf"):
        ots.solve_sample_batch(list(x), list(y), reg=0.1)
    with pytest.raises(ValueError, match=r"y\[1\] has 3 coordinates and y\[0\] 2"):
        ots.solve_sample_batch(list(y), [np.ones((2, 2)), np.ones((2, 3)), np.ones((2, 2))], reg=0.1)
