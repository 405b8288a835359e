"""Weights of conditional flow matching: by hand, against entropic plans, and what they do to marginals."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the layers need torch")

import ot_solvers as ots  # noqa: E402
from ot_solvers.layers.torch import (  # noqa: E402
    choose_kappa,
    sweep_potentials,
    wcfm_weights,
    weight_diagnostics,
)


def eight_gaussians(n, rng):
    angles = 2 * np.pi * rng.integers(8, size=n) / 8
    centres = 5.0 * np.stack([np.cos(angles), np.sin(angles)], 1)
    return torch.from_numpy(centres + math.sqrt(0.1) * rng.normal(size=(n, 2)))


def moons(n, rng):
    t = np.pi * rng.random(n)
    lower = rng.random(n) < 0.5
    x = np.where(lower, 1 - np.cos(t), np.cos(t))
    y = np.where(lower, 0.5 - np.sin(t), np.sin(t))
    return torch.from_numpy(3 * (np.stack([x, y], 1) + 0.05 * rng.normal(size=(n, 2))) - 1)


def clouds(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return eight_gaussians(n, rng), moons(n, rng)


@pytest.mark.parametrize(
    ("cost", "value"),
    [("euclidean", 5.0), ("sqeuclidean", 25.0), ("cityblock", 7.0), ("chebyshev", 4.0)],
)
def test_weights_by_hand(cost, value):
    x0, x1 = torch.zeros(2, 2), torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    found = wcfm_weights(x0, x1, eps=2.0, cost=cost)
    torch.testing.assert_close(found, torch.tensor([math.exp(-value / 2), 1.0]))
    mine = wcfm_weights(x0, x1, eps=2.0, cost=lambda x, y: (x - y).norm(dim=-1))
    torch.testing.assert_close(mine, torch.tensor([math.exp(-2.5), 1.0]))


def test_eps_is_kappa_times_the_root_of_the_coordinates():
    x0, x1 = torch.randn(2, 30, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = wcfm_weights(x0, x1, kappa=0.7)
    torch.testing.assert_close(found, wcfm_weights(x0.flatten(1), x1.flatten(1), eps=0.7 * math.sqrt(48)))
    normal = wcfm_weights(x0, x1, kappa=1e-4, normalise=True)
    assert float(wcfm_weights(x0, x1, kappa=1e-4).max()) == 0.0  # underflow
    assert float(normal.mean()) == pytest.approx(1.0, rel=1e-5)


def test_weights_are_off_the_graph():
    x0, x1 = (x.requires_grad_() for x in clouds(20))
    assert not wcfm_weights(x0, x1).requires_grad


#: Of another program, on its own draws: eps, tilts, effective share.
TABLE = [(1.0, 0.78, 0.51, 0.11), (2.0, 0.14, 0.025, 0.42), (4.0, 0.024, 0.0003, 0.78)]


@pytest.mark.parametrize(("eps", "larger", "smaller", "share"), TABLE)
def test_tilts_of_eight_gaussians_and_moons(eps, larger, smaller, share):
    found = weight_diagnostics(*clouds(3000, 1), eps=eps)
    assert found.tilt_source == pytest.approx(larger, rel=0.25)
    assert found.tilt_target == pytest.approx(smaller, rel=0.25, abs=1e-3)
    assert found.effective_share == pytest.approx(share, abs=0.02)


def test_diagnostics_by_hand():
    """Two points at 0 and log 4 from one: weights 1 and 1/4."""
    found = weight_diagnostics(torch.tensor([[0.0], [math.log(4)]]), torch.tensor([[0.0]]), eps=1.0)
    assert found.tilt_source == pytest.approx((0.375 / 0.625) ** 2, rel=1e-6)
    assert found.tilt_target == 0.0
    assert found.effective_share == pytest.approx(0.625**2 / (0.5 * (1 + 1 / 16)), rel=1e-6)


def test_potentials_of_the_plan_make_weights_unbiased():
    x, y = clouds(150)
    eps = 1.0
    solution = ots.solve_sample(x, y, cost="euclidean", reg=eps, tol=1e-10)
    found = weight_diagnostics(x, y, eps=eps, potentials=solution.potentials)
    assert found.tilt < 1e-12
    weights = wcfm_weights(x, y, eps=eps, potentials=solution.potentials)
    np.testing.assert_allclose(weights.numpy(), 150**2 * np.diagonal(solution.plan.numpy()), rtol=1e-6)


def test_a_few_sweeps_take_the_tilt_away():
    x, y = clouds(400)
    tilts = [
        weight_diagnostics(x, y, potentials=sweep_potentials(x, y, eps=1.0, sweeps=s)).tilt for s in (1, 3, 8, 30)
    ]
    assert 0.3 * weight_diagnostics(x, y, eps=1.0).tilt > tilts[0] > tilts[1] > tilts[2] > tilts[3]
    assert tilts[3] < 1e-4
    # And on points that the sweeps have not seen.
    held = clouds(400, 7)
    fitted = sweep_potentials(x, y, eps=1.0, sweeps=20)
    assert weight_diagnostics(*held, potentials=fitted).tilt < 0.1 * weight_diagnostics(*held, eps=1.0).tilt


def test_potentials_are_those_of_the_solver():
    x, y = clouds(60)
    solution = ots.solve_sample(x, y, cost="euclidean", reg=1.0, tol=1e-12)
    found = sweep_potentials(x, y, eps=1.0, sweeps=300)
    shift = (found.f - solution.potential_a).mean()
    torch.testing.assert_close(found.f - shift, solution.potential_a, rtol=0, atol=1e-8)
    torch.testing.assert_close(found.g + shift, solution.potential_b, rtol=0, atol=1e-8)
    for sweeps in (1, 4):
        early = sweep_potentials(x, y, eps=1.0, sweeps=sweeps)
        torch.testing.assert_close(early.source(x), early.f, rtol=0, atol=1e-10)
        torch.testing.assert_close(early.target(y), early.g, rtol=0, atol=1e-10)


def test_functions_are_potentials():
    x, y = clouds(30)
    fitted = sweep_potentials(x, y, eps=2.0)
    by_value = wcfm_weights(x, y, potentials=fitted)
    torch.testing.assert_close(by_value, wcfm_weights(x, y, eps=2.0, potentials=(fitted.source, fitted.target)))


def test_the_elbow():
    choice = choose_kappa(*clouds(500))
    at = choice.kappas.index(choice.kappa)
    assert 0 < at < len(choice.kappas) - 1
    assert choice.diagnostics[at].tilt < 0.2
    assert choice.diagnostics[at].effective_share > 0.3
    tilts = np.minimum([each.tilt for each in choice.diagnostics], 1.0)
    # Steep before, flat after: relative to the whole fall.
    fall = (tilts - tilts[-1]) / (tilts[0] - tilts[-1])
    assert fall[at] < 0.3
    places = np.log(choice.kappas)
    before = (fall[at - 4] - fall[at]) / (places[at] - places[at - 4])
    after = (fall[at] - fall[-1]) / (places[-1] - places[at])
    assert before > 3 * after


def test_equal_points_have_no_elbow_and_no_tilt():
    x = torch.zeros(5, 2)
    choice = choose_kappa(x, x, kappas=(0.1, 1.0, 10.0))
    assert all(each.tilt == 0 and each.effective_share == 1 for each in choice.diagnostics)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: wcfm_weights(x, y[:3]), ValueError, "x0 has 20 points and x1 3; expected pairs"),
        (lambda x, y: wcfm_weights(x, y[:, :1]), ValueError, "x0 has 2 coordinates and x1 1"),
        (lambda x, y: wcfm_weights(x, y, eps=0.0), ValueError, "eps=0.0 must be positive"),
        (lambda x, y: wcfm_weights(x, y, kappa=float("nan")), ValueError, "kappa=nan must be positive"),
        (lambda x, y: wcfm_weights(x, y, cost="euclidian"), ValueError, "did you mean 'euclidean'"),
        (lambda x, y: wcfm_weights(x, y, cost=3), TypeError, "cost=3 must be a name or a function"),
        (lambda x, y: wcfm_weights(x.numpy(), y), TypeError, "x0=ndarray must be a torch.Tensor"),
        (lambda x, y: wcfm_weights(x / 0, y), ValueError, r"x0\[0\] has a coordinate that is"),
        (lambda x, y: wcfm_weights(x, y, potentials=x), TypeError, "potentials=Tensor must be"),
        (lambda x, y: wcfm_weights(x, y, potentials=(x, y)), ValueError, r"potentials\[0\] has shape \(20, 2\)"),
        (
            lambda x, y: wcfm_weights(x, y, eps=1.0, potentials=sweep_potentials(x, y, eps=2.0)),
            ValueError,
            "eps=1.0, but the potentials were made for eps=2.0",
        ),
        (lambda x, y: sweep_potentials(x, y, sweeps=0), ValueError, "sweeps=0"),
        (lambda x, y: choose_kappa(x, y, kappas=(1.0, 2.0)), ValueError, "at least three values"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(*clouds(20))
