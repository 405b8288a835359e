"""``init=`` is really used: it cuts the passes, from a `Solution` and from potentials."""

from __future__ import annotations

import numpy as np
import pytest

import ot_solvers as ots

RNG = np.random.default_rng(5)
X = RNG.normal(size=(150, 3))
Y = RNG.normal(size=(120, 3)) + 0.3
C = ((X[:, None] - Y) ** 2).sum(-1)
IMAGES = RNG.random((2, 12, 15))
IMAGES /= IMAGES.sum(axis=(1, 2), keepdims=True)


def by_matrix(**keywords):
    return ots.solve(C, reg=0.05, **keywords)


def by_fortran_matrix(**keywords):
    return ots.solve(np.asfortranarray(C), reg=0.05, **keywords)


def by_points(**keywords):
    return ots.solve_sample(X, Y, reg=0.05, **keywords)


def by_grid(**keywords):
    return ots.solve_grid(*IMAGES, reg=0.5, **keywords)


def unbalanced(**keywords):
    return ots.solve(C, reg=0.05, unbalanced=2.0, **keywords)


def heavy(**keywords):
    return ots.solve(C, np.full(150, 4.0), np.full(120, 5.0), reg=0.05, **keywords)


ENTRIES = [by_matrix, by_fortran_matrix, by_points, by_grid, unbalanced, heavy]


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_solution_itself_is_converged_at_once(entry):
    first = entry()
    assert first.converged and first.n_iter > 5
    for init in (first, first.potentials):
        again = entry(init=init, tol=2e-6)
        assert again.converged and again.n_iter <= 2
        assert again.value == pytest.approx(first.value, abs=1e-5 * max(1.0, abs(first.value)))


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_stopped_solve_goes_on(entry):
    whole = entry(tol=1e-8)
    part = entry(tol=1e-8, max_iter=max(2, whole.n_iter - 8), on_failure="ignore")
    assert not part.converged
    rest = entry(tol=1e-8, init=part)
    assert rest.converged and rest.n_iter < whole.n_iter


def test_neighbouring_weights():
    weights = np.ones(150)
    weights[:10] += 0.02
    weights /= weights.sum()
    cold = ots.solve(C, weights, reg=0.05)
    warm = ots.solve(C, weights, reg=0.05, init=by_matrix())
    assert warm.converged and warm.n_iter < cold.n_iter
    assert warm.value == pytest.approx(cold.value, abs=1e-5)


def test_mass_is_put_back_into_the_potentials():
    light = by_matrix()
    warm = heavy(init=light, tol=2e-6)
    # Potentials for mass 1 differ from those for mass 600 by a constant, which balanced transport ignores.
    assert warm.converged and warm.n_iter <= 2


def test_of_a_divergence():
    cold = ots.sinkhorn_divergence(X, Y, reg=0.1)
    warm = ots.sinkhorn_divergence(X, Y, reg=0.1, init=cold, tol=2e-6)
    assert warm.converged and warm.n_iter <= 6 < cold.n_iter
    assert float(warm) == pytest.approx(float(cold), abs=1e-6)
    with pytest.raises(TypeError, match="init=Solution must be a DivergenceResult"):
        ots.sinkhorn_divergence(X, Y, reg=0.1, init=cold.xy)


def test_bad_potentials_only_cost_passes():
    wild = (np.zeros(150), RNG.normal(size=120) * 100)
    solution = by_matrix(init=wild)
    assert solution.converged
    assert solution.value == pytest.approx(by_matrix().value, abs=1e-5)
