"""Defects that we reproduced in other libraries, as tests that we pass."""

from __future__ import annotations

import numpy as np
import pytest

import ot_solvers as ots

RNG = np.random.default_rng(11)
X = RNG.normal(size=(50, 2))
Y = RNG.normal(size=(70, 2)) + 1
C = ((X[:, None] - Y) ** 2).sum(-1)


def test_every_result_has_a_status():
    """POT 0.9.7: Sinkhorn results carry ``status=None``."""
    assert ots.solve(C, reg=0.1).status is ots.Status.CONVERGED
    assert ots.solve(C, reg=1e-3, max_iter=3, on_failure="ignore").status is ots.Status.MAX_ITER


def test_potentials_keep_their_unit():
    """POT: potentials change their unit between methods. Here: cost units, whatever ran."""
    ways = [
        ots.solve(C, reg=0.1, tol=1e-9),
        ots.solve(C, reg=0.1, tol=1e-9, method=ots.Sinkhorn(kernel="log")),
        ots.solve(C, reg=0.1, tol=1e-9, method=ots.Sinkhorn(kernel="stored")),
        ots.solve(C, reg=0.1, tol=1e-9, backend="reference"),
        ots.solve_sample(X, Y, reg=0.1, tol=1e-9),
    ]
    for way in ways[1:]:
        np.testing.assert_allclose(way.potential_a, ways[0].potential_a, atol=1e-6)
        np.testing.assert_allclose(way.potential_b, ways[0].potential_b, atol=1e-6)
    scaled = ots.solve(10 * C, reg=1.0, tol=1e-9)
    np.testing.assert_allclose(scaled.potential_a, 10 * ways[0].potential_a, atol=1e-5)


def test_lazy_results_have_a_value_and_an_unbalanced_mode():
    """POT: lazy results have ``value=None`` and no unbalanced mode."""
    lazy = ots.solve_sample(X, Y, reg=0.1, unbalanced=1.0)
    dense = ots.solve(C, reg=0.1, unbalanced=1.0)
    assert lazy.value == pytest.approx(dense.value, abs=1e-6)


def test_unbalanced_value_has_all_mass_terms():
    """POT 0.9.7: ``ot.solve(reg, unbalanced)`` returns nearly 0 at every optimum."""
    eps, rho = 0.1, 1.0
    a, b = np.full(50, 1 / 50), np.full(70, 1 / 70)
    solution = ots.solve(C, reg=eps, unbalanced=rho, tol=1e-9)
    P = solution.plan

    def kl(p, q):
        return float((p * np.log(p / q)).sum() - p.sum() + q.sum())

    expected = (P * C).sum() + eps * kl(P, np.outer(a, b)) + rho * (kl(P.sum(1), a) + kl(P.sum(0), b))
    assert solution.value == pytest.approx(expected, rel=1e-9)
    assert expected > 0.1


def test_zero_weights_stay_zero():
    """POT adds 0 to zero weights; OTT has NaN gradients there."""
    a = np.full(50, 1 / 49)
    a[3] = 0.0
    solution = ots.solve(C, a, reg=0.1)
    assert solution.converged
    assert np.all(solution.plan[3] == 0)
    assert np.isfinite(solution.potential_a[3])


def test_float32_at_small_eps_is_right_or_says_so():
    """OTT 0.6: float32 at small eps ends with marginal error 0.24 and only ``converged=False``."""
    solution = ots.solve(C.astype(np.float32), reg=1e-3 * C.max(), on_failure="ignore")
    plan = np.asarray(solution.plan, dtype=np.float64)
    error = np.abs(plan.sum(1) - 1 / 50).sum() + np.abs(plan.sum(0) - 1 / 70).sum()
    assert solution.converged and error <= 1.1e-4


@pytest.mark.parametrize("entry", [ots.solve, lambda C, a, b, **k: ots.solve_sample(X, Y, a, b, **k)])
def test_unequal_masses_never_run_silently(entry):
    """OTT and RegOT run on unequal masses without a word."""
    with pytest.raises(ValueError, match=r"sum\(a\)=1, sum\(b\)=1\.4"):
        entry(C, np.full(50, 1 / 50), np.full(70, 1 / 50), reg=0.1)


def test_there_is_a_stopping_rule():
    """GeomLoss 0.3.1 has none: error 1.8e-2 after 1000 iterations."""
    loose, tight = ots.solve_sample(X, Y, reg=0.1, tol=1e-2), ots.solve_sample(X, Y, reg=0.1, tol=1e-9)
    assert loose.n_iter < tight.n_iter
    assert loose.marginal_error <= 1e-2 and tight.marginal_error <= 1e-9


def test_relative_reg_scales_everything():
    """POT's ``scaling``, OTT's ``scale_cost``: part of the problem stays behind."""
    one = ots.solve_sample(X, Y, reg=0.05, reg_relative_to="mean", tol=1e-9)
    ten = ots.solve_sample(10 * X, 10 * Y, reg=0.05, reg_relative_to="mean", tol=1e-9)
    assert one.reg == pytest.approx(0.05 * C.mean())
    assert ten.value == pytest.approx(100 * one.value, rel=1e-8)
    np.testing.assert_allclose(ten.plan, one.plan, atol=1e-9)
    divergence = ots.sinkhorn_divergence(10 * X, 10 * Y, reg=0.05, reg_relative_to="mean", tol=1e-9)
    small = ots.sinkhorn_divergence(X, Y, reg=0.05, reg_relative_to="mean", tol=1e-9)
    assert float(divergence) == pytest.approx(100 * float(small), rel=1e-6)


def test_divergences_are_not_negative():
    """GeomLoss 25, OTT 121: negative divergences."""
    assert 0 <= float(ots.sinkhorn_divergence(X, X.copy(), reg=0.05)) < 1e-6
    assert float(ots.sinkhorn_divergence(X, X + 1e-3, reg=0.5)) >= 0


@pytest.mark.peer
def test_small_eps_where_plain_scaling_underflows():
    """POT's plain ``sinkhorn`` underflows; the stored kernel here absorbs and goes on."""
    ot = pytest.importorskip("ot")
    import warnings

    far, eps = C + 80, 0.1  # every entry of exp(-C / eps) is 0
    a, b = np.full(50, 1 / 50), np.full(70, 1 / 70)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        plan = ot.sinkhorn(a, b, far, eps, method="sinkhorn", numItermax=5000, stopThr=1e-12)
    theirs = np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum()
    ours = ots.solve(far, reg=eps, method=ots.Sinkhorn(kernel="stored"))
    assert ours.converged and ours.marginal_error <= 1e-6
    assert not theirs <= 1e-6


@pytest.mark.peer
def test_value_agrees_with_pot():
    ot = pytest.importorskip("ot")
    theirs = ot.solve(C, reg=0.5, max_iter=10_000, tol=1e-12)
    ours = ots.solve(C, reg=0.5, tol=1e-10)
    assert ours.value == pytest.approx(float(theirs.value), rel=1e-7)
    assert ours.value_linear == pytest.approx(float(theirs.value_linear), rel=1e-7)
