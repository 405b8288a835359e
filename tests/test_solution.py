"""`Solution`: every field and method, against the dense plan in NumPy."""

from __future__ import annotations

import pickle

import numpy as np
import oracles
import pytest
from checks import check_same_bits, check_solution
from problems import some_weights
from scipy import sparse

import ot_solvers as ots

N, M, EPS = 23, 31, 0.05
KINDS = ["dense", "Fortran", "cloud", "grid", "sparse", "unbalanced", "float32", "reference"]


def solved(kind: str):
    """(solution, C, a, b, x, y) of a problem of mass 2 with zero weights; x, y None where there are none."""
    rng = np.random.default_rng(7)
    x, y = rng.random((N, 2)), rng.random((M, 2))
    a, b = 2 * some_weights(rng, N), 2 * some_weights(rng, M)
    C = oracles.squared_distances(x, y)
    if kind == "dense":
        return ots.solve(C, a, b, reg=EPS), C, a, b, None, None
    if kind == "Fortran":
        return ots.solve(np.asfortranarray(C), a, b, reg=EPS), C, a, b, None, None
    if kind == "cloud":
        return ots.solve_sample(x, y, a, b, reg=EPS), C, a, b, x, y
    if kind == "reference":
        return ots.solve_sample(x, y, a, b, reg=EPS, backend="reference"), C, a, b, x, y
    if kind == "float32":
        single = [z.astype(np.float32) for z in (x, y, a, b)]
        return ots.solve_sample(*single, reg=EPS), C, a, b, x, y
    if kind == "unbalanced":
        return ots.solve_sample(x, y, a, 0.4 * b, reg=EPS, unbalanced=0.2), C, a, 0.4 * b, x, y
    if kind == "sparse":
        holes = C > 0.7
        stored = sparse.coo_array((C[~holes], np.nonzero(~holes)), shape=C.shape)
        return ots.solve(stored, a, b, reg=EPS), np.where(holes, np.inf, C), a, b, None, None
    axes = (np.linspace(0, 1, 4), np.linspace(0, 0.8, 5))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    a, b = 2 * some_weights(rng, 20), 2 * some_weights(rng, 20)
    found = ots.solve_grid(a.reshape(4, 5), b.reshape(4, 5), axes=axes, reg=EPS)
    return found, oracles.squared_distances(points, points), a, b, points, points


@pytest.fixture(params=KINDS)
def case(request):
    return (request.param, *solved(request.param))


def rtol(kind: str) -> float:
    return 1e-4 if kind == "float32" else 1e-9


# --- numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "Fortran", "cloud", "sparse", "reference", "float32"])
def test_fields_have_their_definitions(kind):
    solution, C, a, b, _, _ = solved(kind)
    if kind == "float32":
        # The problem that was solved is the rounded one.
        C, a, b = (z.astype(np.float32).astype(np.float64) for z in (C, a, b))
    check_solution(solution, C, a, b, dtype="float32" if kind == "float32" else "float64")


def test_status_and_counts(case):
    _, solution, C, *_ = case
    assert solution.status is ots.Status.CONVERGED
    assert solution.converged is True
    assert solution.shape == C.shape == solution.geometry.shape
    assert solution.reg == EPS
    assert solution.method == "sinkhorn"
    assert "sinkhorn" not in solution.method_reason or solution.method_reason
    assert solution.backend in ("numba", "reference")
    assert 0 < solution.seconds < 600
    assert float(solution) == pytest.approx(float(solution.value))


def test_history_is_every_pass(case):
    _, solution, *_ = case
    history = solution.history
    assert [p.iteration for p in history] == list(range(1, solution.n_iter + 1))
    levels = np.array([p.reg for p in history])
    assert (np.diff(levels) <= 0).all()
    assert levels[-1] == EPS
    assert levels[0] > EPS  # scaling ran
    seconds = np.array([p.seconds for p in history])
    assert (np.diff(seconds) >= 0).all() and 0 <= seconds[0] <= seconds[-1] <= solution.seconds + 1e-6
    assert history[-1].marginal_error <= 1e-4
    best = min(p.marginal_error for p in history if p.reg == EPS)
    assert solution.marginal_error == pytest.approx(best, rel=0.05, abs=1e-6)


def test_plan_and_marginals(case):
    kind, solution, C, a, b, *_ = case
    P = solution.plan
    assert P.shape == C.shape
    assert (P >= 0).all()
    assert (P[~np.isfinite(C)] == 0).all()
    shape = (4, 5) if kind == "grid" else None
    rows, columns = P.sum(1), P.sum(0)
    assert solution.marginal_a.shape == (shape or (C.shape[0],))
    assert solution.marginal_b.shape == (shape or (C.shape[1],))
    np.testing.assert_allclose(solution.marginal_a.ravel(), rows, rtol=rtol(kind), atol=1e-12)
    np.testing.assert_allclose(solution.marginal_b.ravel(), columns, rtol=rtol(kind), atol=1e-12)
    if kind != "unbalanced":
        assert oracles.marginal_error(P.astype(np.float64), a, b) <= (2e-4 if kind == "float32" else 1.01e-6)
        assert (rows[a == 0] == 0).all() and (columns[b == 0] == 0).all()
    f, g = solution.potentials
    assert f.shape == solution.marginal_a.shape and g.shape == solution.marginal_b.shape
    assert np.isfinite(f).all() and np.isfinite(g).all()
    expected = np.outer(a, b) * np.exp((f.ravel()[:, None] + g.ravel() - C) / EPS)
    np.testing.assert_allclose(P, expected, rtol=1e-3 if kind == "float32" else 1e-9, atol=1e-30)


def test_products_without_the_plan(case, rng):
    kind, solution, C, *_ = case
    P = np.asarray(solution.plan, dtype=np.float64)
    n, m = C.shape
    check = {"rtol": rtol(kind), "atol": rtol(kind)}
    operator = solution.plan_operator
    assert operator.shape == (n, m)
    for right, left in (
        (rng.normal(size=m), rng.normal(size=n)),
        (rng.normal(size=(m, 3)), rng.normal(size=(n, 3))),
    ):
        np.testing.assert_allclose(solution.apply(right), P @ right, **check)
        np.testing.assert_allclose(solution.apply_transpose(left), P.T @ left, **check)
        np.testing.assert_allclose(operator @ right, P @ right, **check)
        np.testing.assert_allclose(operator.T @ left, P.T @ left, **check)
        live_rows, live_columns = P.sum(1) > 0, P.sum(0) > 0
        pulled, pushed = solution.pull(right), solution.push(left)
        assert pulled.shape == (n, *right.shape[1:]) and pushed.shape == (m, *left.shape[1:])
        mean = (P @ right)[live_rows] / P.sum(1)[live_rows].reshape(-1, *[1] * (right.ndim - 1))
        np.testing.assert_allclose(pulled[live_rows], mean, **check)
        mean = (P.T @ left)[live_columns] / P.sum(0)[live_columns].reshape(-1, *[1] * (left.ndim - 1))
        np.testing.assert_allclose(pushed[live_columns], mean, **check)
    # Also where a weight is zero: the law that an infinitely small weight would have.
    assert np.isfinite(solution.pull(np.ones(m))).all()
    np.testing.assert_allclose(solution.pull(np.ones(m)), 1.0, rtol=1e-6)
    np.testing.assert_allclose(solution.push(np.full(n, -2.0)), -2.0, rtol=1e-6)


def test_conditional_law_of_a_point_without_weight(rng):
    C = rng.random((6, 7))
    a, b = some_weights(rng, 6), some_weights(rng, 7)
    v = rng.random(7)
    lifted = np.where(a > 0, a, 1e-12)
    with_dust = ots.solve(C, lifted / lifted.sum(), b, reg=0.1, tol=1e-10)
    without = ots.solve(C, a, b, reg=0.1, tol=1e-10)
    np.testing.assert_allclose(without.pull(v), with_dust.pull(v), atol=1e-8)
    np.testing.assert_allclose(without.potential_a, with_dust.potential_a, atol=1e-8)


def test_operands_are_checked(case):
    _, solution, C, *_ = case
    n, m = C.shape
    for method, size in (
        (solution.apply, m),
        (solution.pull, m),
        (solution.apply_transpose, n),
        (solution.push, n),
    ):
        with pytest.raises(
            ValueError, match=rf"v has shape \({size + 1},\); expected \({size},\) or \({size}, k\)"
        ):
            method(np.ones(size + 1))
        with pytest.raises(ValueError, match=r"v has shape \(\)"):
            method(1.0)
        with pytest.raises(TypeError, match="v has dtype complex128"):
            method(np.ones(size, dtype=complex))


# --- sparse plans -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mass", [0.5, 0.9, 1 - 1e-6, 1.0])
def test_sparse_plan_keeps_the_largest_entries(case, mass):
    kind, solution, *_ = case
    P = np.asarray(solution.plan, dtype=np.float64)
    found = solution.sparse_plan(mass)
    assert isinstance(found, sparse.csr_array) and found.shape == P.shape
    kept = found.toarray()
    stored = kept > 0
    np.testing.assert_allclose(kept[stored], P[stored], rtol=rtol(kind))
    rows = P.sum(1)
    assert (kept.sum(1) >= mass * rows * (1 - 1e-6) - 1e-300).all()
    if mass == 1.0:
        # Nothing that counts is dropped.
        np.testing.assert_allclose(kept, P, rtol=rtol(kind), atol=1e-12 * P.max())
    for i in np.flatnonzero(rows > 0):
        assert stored[i].any()
        dropped = P[i][~stored[i]]
        # The largest stay, but for the width of the bins by which entries are dropped.
        assert dropped.size == 0 or dropped.max() <= kept[i][stored[i]].min() * (1 + 1e-3)
    if mass < 0.99:
        assert found.nnz < np.count_nonzero(P)


@pytest.mark.parametrize("mass", [0, -0.1, 1.1, np.nan, "most"])
def test_sparse_plan_checks_its_share(mass):
    solution = solved("dense")[0]
    with pytest.raises(ValueError, match=r"mass=.* must be in \(0, 1\]"):
        solution.sparse_plan(mass)


# --- maps -------------------------------------------------------------------------------------------------------


def test_maps_of_points(case, rng):
    kind, solution, C, a, b, x, y = case
    if x is None:
        with pytest.raises(ValueError, match=r"use pull\(y\) or push\(x\)"):
            solution.barycentric_map()
        with pytest.raises(ValueError, match="knows no points"):
            solution.transport(rng.random((2, 2)))
        return
    P = np.asarray(solution.plan, dtype=np.float64)
    atol = 1e-3 if kind == "float32" else 1e-8
    live = P.sum(1) > 0
    there, back = solution.barycentric_map(), solution.barycentric_map(inverse=True)
    np.testing.assert_allclose(there[live], (P @ y)[live] / P.sum(1)[live, None], atol=atol)
    live = P.sum(0) > 0
    np.testing.assert_allclose(back[live], (P.T @ x)[live] / P.sum(0)[live, None], atol=atol)
    # At the samples the out-of-sample map is the same, also where the weight is zero.
    np.testing.assert_allclose(solution.transport(x), there, atol=max(atol, 1e-7))
    np.testing.assert_allclose(solution.transport(y, inverse=True), back, atol=1e-4)  # columns: to the tolerance
    # Elsewhere: softmax weights at the potentials.
    new = rng.random((5, 2))
    g = solution.potential_b.ravel()
    w = b * np.exp((g - oracles.squared_distances(new, y)) / EPS)
    np.testing.assert_allclose(solution.transport(new), w @ y / w.sum(1, keepdims=True), atol=atol)
    f = solution.potential_a.ravel()
    w = a * np.exp((f - oracles.squared_distances(new, x)) / EPS)
    np.testing.assert_allclose(solution.transport(new, inverse=True), w @ x / w.sum(1, keepdims=True), atol=atol)


def test_new_points_are_checked():
    solution = solved("cloud")[0]
    with pytest.raises(ValueError, match="x_new has 3 coordinates; the samples have 2"):
        solution.transport(np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"x_new has shape \(2,\)"):
        solution.transport(np.ones(2))
    with pytest.raises(ValueError, match=r"x_new\[0, 1\] is nan"):
        solution.transport(np.array([[0.0, np.nan]]))


def test_match_is_the_most_likely_partner(case):
    _, solution, C, a, b, _, _ = case
    P = np.asarray(solution.plan, dtype=np.float64)
    live = P.sum(1) > 0
    there = solution.match()
    assert there.dtype.kind == "i" and there.shape == (C.shape[0],)
    np.testing.assert_array_equal(there[live], P.argmax(1)[live])
    live = P.sum(0) > 0
    np.testing.assert_array_equal(solution.match(inverse=True)[live], P.argmax(0)[live])
    assert (b[there] > 0).all()  # also the partners of points without weight have some


# --- samples ----------------------------------------------------------------------------------------------------


def test_sample_follows_the_plan(case):
    _, solution, *_ = case
    P = np.asarray(solution.plan, dtype=np.float64)
    P /= P.sum()
    size = 40_000
    i, j = solution.sample(size, seed=3)
    assert i.dtype == j.dtype == np.int64 and i.shape == j.shape == (size,)
    counts = np.zeros(P.shape)
    np.add.at(counts, (i, j), 1)
    assert (counts[P == 0] == 0).all()
    # Frequencies within five standard deviations, entry by entry; and jointly by the chi-square statistic.
    sd = np.sqrt(P * (1 - P) / size)
    assert (np.abs(counts / size - P) <= 5 * sd + 2 / size).all()
    often = P * size >= 5
    chi2 = ((counts - size * P)[often] ** 2 / (size * P[often])).sum()
    assert chi2 <= often.sum() + 5 * np.sqrt(2 * often.sum())


def test_equal_seeds_give_equal_pairs(case):
    _, solution, *_ = case
    first, again = solution.sample(100, seed=11), solution.sample(100, seed=11)
    by_generator = solution.sample(100, seed=np.random.default_rng(11))
    other = solution.sample(100, seed=12)
    for side in (0, 1):
        np.testing.assert_array_equal(first[side], again[side])
        np.testing.assert_array_equal(first[side], by_generator[side])
    assert (first[0] != other[0]).any()
    # No global state is touched.
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    solution.sample(10)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("n", [0, -1, 2.5, True, None])
def test_sample_sizes_are_checked(n):
    with pytest.raises(ValueError, match=r"n=.* must be a positive integer"):
        solved("dense")[0].sample(n)


def test_samples_of_a_large_plan_come_blockwise(rng):
    # More pairs than one block of rows holds.
    x = rng.random((1500, 2))
    solution = ots.solve_sample(x, x[:1200], reg=0.05)
    i, j = solution.sample(3000, seed=0)
    P = solution.plan
    assert (P[i, j] > 0).all()
    assert np.abs(np.bincount(i, minlength=1500) - 2.0).max() < 14


# --- presentation -----------------------------------------------------------------------------------------------


def test_repr_is_one_screen(case):
    kind, solution, C, *_ = case
    text = repr(solution)
    lines = text.splitlines()
    assert len(lines) <= 12 and max(map(len, lines)) <= 200
    for part in (
        f"{C.shape[0]} x {C.shape[1]}",
        "CONVERGED",
        "sinkhorn",
        f"{float(solution.value):.6g}"[:5],
        "passes",
    ):
        assert part in text
    assert ("unbalanced" in text) == (kind == "unbalanced")


def test_plot_shows_plan_and_convergence(case):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    _, solution, C, *_ = case
    figure = solution.plot()
    try:
        assert isinstance(figure, matplotlib.figure.Figure)
        image = figure.axes[0].images[0].get_array()
        assert image.shape == C.shape
        np.testing.assert_allclose(image, solution.plan, rtol=1e-5, atol=1e-12)
        line = figure.axes[1].lines[0]
        np.testing.assert_allclose(line.get_ydata(), [max(p.marginal_error, 1e-17) for p in solution.history])
        figure.canvas.draw()
    finally:
        plt.close(figure)
    own, axes = plt.subplots(1, 2)
    assert solution.plot(axes) is own
    plt.close(own)


def test_plot_of_a_large_plan_is_summed(rng):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    x = rng.random((900, 2))
    figure = ots.solve_sample(x, x[:450], reg=0.1).plot()
    image = figure.axes[0].images[0].get_array()
    assert max(image.shape) <= 400
    assert image.sum() == pytest.approx(1.0, rel=1e-6)
    plt.close(figure)


def test_pickle_round_trip(case):
    _, solution, *_ = case
    _ = solution.plan, solution.gap
    data = pickle.dumps(solution)
    again = pickle.loads(data)
    check_same_bits(again.plan, solution.plan)
    check_same_bits(again.potential_a, solution.potential_a)
    assert again.value == solution.value
    assert again.gap == solution.gap
    assert again.status is solution.status
    assert again.history == solution.history
    assert repr(again) == repr(solution)
    # What can be computed again does not travel: no dense plan in the bytes.
    assert (
        len(data) < len(pickle.dumps((solution.geometry, solution.history))) + 16 * sum(solution.shape) * 4 + 4000
    )


def test_transposed_view(case):
    kind, solution, C, a, b, *_ = case
    T = solution.T
    assert T.shape == solution.shape[::-1]
    np.testing.assert_allclose(T.plan, solution.plan.T, rtol=1e-5 if kind == "float32" else 1e-10, atol=1e-300)
    check_same_bits(T.potential_a, solution.potential_b)
    check_same_bits(T.potential_b, solution.potential_a)
    close = {"rel": 1e-5 if kind == "float32" else 1e-11}
    assert float(T.value) == pytest.approx(float(solution.value), **close)
    assert float(T.dual_value) == pytest.approx(float(solution.dual_value), **close)
    # Relative to the mass of the first side, which is now the other.
    error = T.marginal_error * b.sum() / a.sum()
    assert error == pytest.approx(solution.marginal_error, abs=1e-9 if kind == "float32" else 1e-12)
    assert T.n_iter == solution.n_iter and T.status is solution.status
    np.testing.assert_allclose(T.match(), solution.match(inverse=True))
    np.testing.assert_allclose(T.bounds[1], solution.bounds[1], rtol=1e-3)
    twice = T.T
    check_same_bits(twice.plan, solution.plan)


# --- ownership --------------------------------------------------------------------------------------------------


def test_results_can_be_written_to_without_harm(case):
    kind, solution, *_ = case
    value, plan = float(solution.value), solution.plan.copy()
    fresh = solved(kind)[0]
    for array in (*fresh.potentials, fresh.marginal_a, fresh.marginal_b, fresh.apply(np.ones(fresh.shape[1]))):
        array[...] = -1.0
    assert float(fresh.value) == value
    np.testing.assert_array_equal(fresh.plan, plan)


def test_results_keep_the_dtype(case):
    kind, solution, C, *_ = case
    dtype = np.float32 if kind == "float32" else np.float64
    n, m = C.shape
    for array in (
        solution.plan, *solution.potentials, solution.marginal_a, solution.marginal_b, solution.apply(np.ones(m)),
        solution.push(np.ones(n)), solution.sparse_plan().data,
    ):  # fmt: skip
        assert array.dtype == dtype
    assert isinstance(solution.value, float) and isinstance(solution.gap, float)
