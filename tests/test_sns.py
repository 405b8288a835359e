"""Sinkhorn-Newton-Sparse: right answers, the paper's speed on its assignments, and honesty where it breaks."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from checks import check_close, check_solution
from problems import combinations, some_weights
from scipy import sparse

import ot_solvers as ots
from ot_solvers.backends import registry
from ot_solvers.errors import UnsupportedError
from ot_solvers.plans.gibbs import GibbsPlan
from ot_solvers.solvers import sparse_newton

TIGHT = 1e-10


def assignment_cost(n, seed=0):
    """Independent U(0, 1) costs: the paper's random assignments."""
    return np.random.default_rng(seed).random((n, n))


def image_pair(cost, side=12):
    """(C, a, b): two blobs on a grid, largest cost 1; L1 costs have ties everywhere."""
    line = np.linspace(0, 1, side)
    points = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    difference = np.abs(points[:, None] - points[None])
    C = difference.sum(-1) if cost == "L1" else (difference**2).sum(-1)
    a = np.exp(-((points - [0.3, 0.4]) ** 2).sum(-1) / 0.02)
    b = np.exp(-((points - [0.7, 0.5]) ** 2).sum(-1) / 0.03)
    a, b = (np.where(w > 1e-3, w, 0.0) for w in (a, b))
    return C / C.max(), a / a.sum(), b / b.sum()


# --- right answers --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "backend"),
    combinations(("dense", "Fortran", "cloud", "sparse"), ("numba", "reference"), quick=("dense", "numba")),
)
def test_answers_are_those_of_sinkhorn(clouds, kind, backend):
    x, y, a, b = clouds
    C = oracles.squared_distances(x, y)

    def solve(method):
        options = {"reg": 0.05, "tol": TIGHT, "method": method, "backend": backend}
        if kind == "cloud":
            return ots.solve_sample(x, y, a, b, **options)
        if kind == "Fortran":
            return ots.solve(np.asfortranarray(C), a, b, **options)
        if kind == "sparse":
            pairs = np.indices(C.shape).reshape(2, -1)
            return ots.solve(sparse.coo_array((C.ravel(), pairs), shape=C.shape).tocsr(), a, b, **options)
        return ots.solve(C, a, b, **options)

    found, expected = solve(ots.SNS()), solve("sinkhorn")
    assert found.converged
    assert found.method == "sns"
    assert found.marginal_error <= TIGHT
    check_solution(found, C, a, b)
    check_close(found.value, expected.value, "float64", "optimum", scale=abs(expected.value))
    # Zero weights and the gauge too.
    for mine, theirs in zip(found.potentials, expected.potentials):
        np.testing.assert_allclose(mine, theirs, atol=1e-7)


def test_forbidden_pairs(rng):
    C, a, b = rng.random((30, 40)), some_weights(rng, 30), some_weights(rng, 40)
    C[rng.random(C.shape) < 0.5] = np.inf
    found = ots.solve(C, a, b, reg=0.01, tol=TIGHT, method="sns")
    expected = ots.solve(C, a, b, reg=0.01, tol=TIGHT, method="sinkhorn")
    assert found.value == pytest.approx(expected.value, rel=1e-8)
    assert not np.any(found.plan[np.isinf(C)])


def test_total_masses_other_than_one(matrix):
    C, a, b = matrix
    found = ots.solve(C, 7 * a, 7 * b, reg=0.02, tol=TIGHT, method="sns")
    expected = ots.solve(C, 7 * a, 7 * b, reg=0.02, tol=TIGHT, method="sinkhorn")
    assert found.value == pytest.approx(expected.value, rel=1e-8)


def test_float32_costs_end_honestly(matrix):
    C, a, b = matrix
    found = ots.solve(C.astype(np.float32), a, b, reg=0.02, tol=1e-5, method="sns")
    assert found.converged
    with pytest.warns(ots.ConvergenceWarning, match="PRECISION_LIMIT"):
        ots.solve(C.astype(np.float32), a, b, reg=0.02, tol=1e-12, method="sns")


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1)])
def test_tiny_problems(shape):
    C = np.random.default_rng(0).random(shape)
    assert ots.solve(C, reg=0.01, tol=1e-12, method="sns").converged


def test_scale_of_the_costs_does_not_matter():
    C = assignment_cost(60)
    counts = [
        ots.solve(s * C, reg=s / 150, tol=1e-12, method=ots.SNS(density=10 / 60)).n_iter for s in (1, 1e-6, 1e6)
    ]
    assert max(counts) <= min(counts) + 2


# --- the paper's regime ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(3))
def test_random_assignments_take_a_few_newton_steps(seed):
    C = assignment_cost(200, seed)
    # The paper's 1 / 1200 at n = 500: the costs that compete are about 1 / n apart.
    found = ots.solve(C, reg=1 / 480, tol=1e-12, method=ots.SNS(density=8 / 200))
    assert found.marginal_error <= 1e-12
    # 20 sweeps, at most 9 Newton steps as in the paper, the look between them, and a few steps too long.
    assert found.n_iter <= 20 + 9 + 3


def test_few_entries_make_convergence_linear():
    C = assignment_cost(100)
    few, enough = (
        ots.solve(C, reg=1 / 240, tol=1e-12, method=ots.SNS(density=density)).n_iter for density in (None, 0.2)
    )
    assert enough < 35
    assert few > 2 * enough


def test_counts_are_reported():
    solution = ots.solve(assignment_cost(80), reg=1 / 200, tol=1e-12, method=ots.SNS(15, density=0.1))
    counts = solution.diagnostics
    assert set(counts) == {"sinkhorn_steps", "newton_steps", "failed_steps", "cg_steps"}
    assert counts["sinkhorn_steps"] == 15
    assert 0 < counts["newton_steps"] < counts["cg_steps"]
    assert len(solution.history) == solution.n_iter > 15 + counts["newton_steps"]


# --- honesty --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cost", ["L1", "L2"])
def test_images_converge_or_say_that_they_did_not(cost):
    C, a, b = image_pair(cost)
    found = ots.solve(C, a, b, reg=1 / 1200, tol=1e-11, max_iter=400, method="sns", on_failure="ignore")
    assert np.isfinite(found.marginal_error)
    assert found.converged == (found.marginal_error <= 1e-11)
    # No worse than what was seen on the way.
    assert found.marginal_error <= 1.01 * min(p.marginal_error for p in found.history) + 1e-14


def test_singular_systems_end_in_an_answer():
    # Blocks that only exp(-1000) joins: the Hessian is singular to rounding, one null vector for each.
    rng = np.random.default_rng(0)
    C = rng.random((40, 40)) + 10.0 * (np.arange(40)[:, None] // 10 != np.arange(40) // 10)
    found = ots.solve(C, reg=0.01, tol=1e-11, method=ots.SNS(density=0.25))
    assert found.marginal_error <= 1e-11


def test_unequal_blocks_fail_honestly():
    # Mass has to cross between blocks that only exp(-1000) joins.
    rng = np.random.default_rng(0)
    C = rng.random((40, 40)) + 10.0 * (np.arange(40)[:, None] // 10 != np.arange(40) // 10)
    a = np.repeat([0.4, 0.3, 0.2, 0.1], 10) / 10
    found = ots.solve(C, a, reg=0.01, tol=1e-11, max_iter=300, method="sns", on_failure="ignore")
    assert found.converged == (found.marginal_error <= 1e-11)
    assert found.n_iter <= 300
    assert np.isfinite(found.potential_a).all()


def test_infeasible_patterns_are_named():
    C = np.full((4, 4), np.inf)
    C[:, 0] = C[0] = 0.0  # rows 1 to 3 can only go to column 0
    with pytest.raises(ots.InfeasibleError):
        ots.solve(C, reg=0.1, tol=1e-9, max_iter=200, method="sns")


def test_max_iter_counts_every_pass():
    for most in (1, 5, 21, 25):
        found = ots.solve(
            assignment_cost(100), reg=1 / 1200, tol=1e-12, max_iter=most, method="sns", on_failure="ignore"
        )
        assert found.status is ots.Status.MAX_ITER
        assert found.n_iter == len(found.history) == most


def test_tolerance_zero_ends_at_the_precision():
    found = ots.solve(assignment_cost(50), reg=1 / 100, tol=0, method=ots.SNS(density=0.2), on_failure="ignore")
    assert found.status is ots.Status.PRECISION_LIMIT
    assert found.marginal_error < 1e-13


def test_callbacks_stop_in_both_stages():
    for stop_at in (3, 24):
        seen = []
        found = ots.solve(
            assignment_cost(100),
            reg=1 / 1200,
            tol=1e-12,
            method="sns",
            callback=lambda progress, seen=seen, at=stop_at: seen.append(progress) or progress.iteration == at,
        )
        assert found.status is ots.Status.STOPPED_BY_CALLBACK
        assert len(seen) == found.n_iter == stop_at


def test_a_warm_start_saves_passes():
    C = assignment_cost(100)
    method = ots.SNS(density=0.2)
    cold = ots.solve(C, reg=1 / 300, tol=1e-12, method=method)
    warm = ots.solve(C, reg=1 / 300, tol=1e-11, method=method, init=cold)
    assert warm.n_iter < 3


def test_without_newton_steps_it_is_sinkhorn(matrix):
    C, a, b = matrix
    plain = ots.Sinkhorn(annealing=None, acceleration=None)
    sweeps = ots.solve(C, a, b, reg=0.1, tol=1e-9, method=plain)
    for steps in (0, 2):
        found = ots.solve(C, a, b, reg=0.1, tol=1e-9, method=ots.SNS(5, newton_steps=steps))
        assert found.converged
        assert found.value == pytest.approx(sweeps.value, rel=1e-8)
        if steps == 0:
            assert abs(found.n_iter - sweeps.n_iter) <= 2


# --- options --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rho", [1.0, (np.inf, 2.0)])
def test_unbalanced_problems_are_refused(matrix, rho):
    C, a, b = matrix
    with pytest.raises(
        UnsupportedError, match="method='sns' solves balanced problems only; use method='sinkhorn'"
    ):
        ots.solve(C, a, b, reg=0.1, unbalanced=rho, method="sns")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sinkhorn_steps": 0}, "sinkhorn_steps=0 must be an integer >= 1"),
        ({"sinkhorn_steps": 2.0}, "sinkhorn_steps=2.0 must be an integer >= 1"),
        ({"newton_steps": -1}, "newton_steps=-1 must be an integer >= 0, or None"),
        ({"cg_steps": True}, "cg_steps=True must be an integer >= 1, or None"),
        ({"density": 0}, r"density=0 must be in \(0, 1\], or None"),
        ({"density": 1.5}, r"density=1.5 must be in \(0, 1\], or None"),
        ({"cg_rtol": 1.0}, "cg_rtol=1.0 must be between 0 and 1"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        ots.SNS(**options)


# --- one pass over the plan -----------------------------------------------------------------------------------
@pytest.mark.parametrize("count", [1, 7, 200, 1200])
def test_the_largest_entries_whatever_the_blocks(matrix, monkeypatch, count):
    C, a, b = matrix
    backend = registry.get("numba")
    plan = GibbsPlan(ots.geometry.DenseGeometry(C), np.zeros(40), np.zeros(30), a, b, 0.1)
    P = backend.plan_rows(plan, 0, 40)
    expected = np.sort(P.ravel())[::-1][: min(count, np.count_nonzero(P))]
    for entries in (1 << 20, 100, 1):
        monkeypatch.setattr(sparse_newton, "BLOCK_ENTRIES", entries)
        found = sparse_newton.look(backend, plan, count)
        np.testing.assert_allclose(found.rows, P.sum(1), rtol=1e-13)
        np.testing.assert_allclose(found.columns, P.sum(0), rtol=1e-13)
        np.testing.assert_array_equal(np.sort(found.kept.data)[::-1], expected)
        kept = found.kept.toarray()
        np.testing.assert_array_equal(kept[kept > 0], P[kept > 0])


def test_a_plan_that_overflows_keeps_nothing(matrix):
    C, a, b = matrix
    plan = GibbsPlan(ots.geometry.DenseGeometry(C), np.full(40, 1e3), np.zeros(30), a, b, 0.1)
    found = sparse_newton.look(registry.get("reference"), plan, 50)
    assert found.mass == np.inf
    assert found.kept.nnz == 0
