"""Twists: from the slope of a cost back to the point it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from checks import check_same_bits, check_within, host
from hypothesis import given
from hypothesis import strategies as st
from oracles import SETTINGS

from ot_solvers import costs

WEIGHTS = (0.5, 2.0, 1.5)
#: (cost, condition of its inverse slope).
TWISTED = [
    (costs.SqEuclidean(), 1.0),
    (costs.SqEuclidean(WEIGHTS), 1.0),
    (costs.EuclideanPower(p=1.1), 10.0),
    (costs.EuclideanPower(p=1.5), 2.0),
    (costs.EuclideanPower(p=2.0), 1.0),
    (costs.EuclideanPower(WEIGHTS, p=3.0), 1.0),
    (costs.EuclideanPower(p=6.0), 1.0),
    (costs.Dot(), 1.0),
]
OTHERS = [
    costs.Euclidean(),
    costs.EuclideanPower(p=1.0),
    costs.CityBlock(),
    costs.Chebyshev(),
    costs.PNorm(3),
    costs.Cosine(),
    costs.Sphere(),
    costs.Hamming(),
]

each_twist = pytest.mark.parametrize(("cost", "condition"), TWISTED, ids=[str(cost) for cost, _ in TWISTED])
twisted = pytest.mark.parametrize("cost", [cost for cost, _ in TWISTED], ids=[str(cost) for cost, _ in TWISTED])


def slopes(cost, x, y):
    """(n, d) derivative of ``c(x_i, y_i)`` by prepared x_i."""
    x, y = x[:, None, :], y[:, None, :]
    return cost.gradient(x, y, cost.pairwise(x, y))[:, 0, 0, :]


@st.composite
def pairs(draw):
    """(x, y), both (n, 3), of many sizes; some pairs are one point."""
    n = draw(st.integers(1, 5))
    entries = st.lists(st.integers(-64, 64), min_size=6 * n, max_size=6 * n)
    both = np.array(draw(entries), dtype=np.float64).reshape(2, n, 3) / 64 * 10.0 ** draw(st.integers(-3, 3))
    if draw(st.booleans()):
        both[1, 0] = both[0, 0]
    return both[0], both[1]


@each_twist
@SETTINGS
@given(both=pairs())
def test_undoes_the_gradient(cost, condition, both):
    x, y = (cost.prepare(z) for z in both)
    found = cost.twist(x, slopes(cost, x, y))
    size = np.abs(x).max() + np.abs(y).max()
    check_within(found, y, 1e-14 * condition * size)
    check_within(cost.unprepare(found), both[1], 1e-14 * condition * size * 2)


@pytest.mark.parametrize("cost", [cost for cost, _ in TWISTED if not isinstance(cost, costs.Dot)], ids=str)
def test_slope_zero_is_the_point_itself(cost, rng):
    x = rng.normal(size=(4, 3))
    check_same_bits(cost.twist(x, np.zeros((4, 3))), x)


@twisted
def test_float32_stays(cost, rng):
    x, y = (cost.prepare(rng.normal(size=(5, 3)).astype(np.float32)) for _ in range(2))
    found = cost.twist(x, slopes(cost, x, y))
    assert found.dtype == np.float32
    check_within(found, y, 1e-4)
    assert cost.unprepare(found).dtype == np.float32


@twisted
def test_slopes_may_come_in_any_number_of_axes(cost, rng):
    x, slope = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 3))
    found = cost.twist(x, slope)
    check_same_bits(found[1], cost.twist(x[1], slope[1]))


def test_which_costs_have_one():
    assert all(cost.has_twist for cost, _ in TWISTED)
    assert not any(cost.has_twist for cost in OTHERS)
    known = {type(cost) for cost, _ in TWISTED} | {type(cost) for cost in OTHERS}
    assert {type(costs.by_name(name)) for name in costs.names()} <= known


@pytest.mark.parametrize("cost", OTHERS, ids=str)
def test_others_say_so(cost):
    with pytest.raises(NotImplementedError, match=f"{type(cost).__name__} has no twist: its slope at x"):
        cost.twist(np.ones((2, 3)), np.ones((2, 3)))


@pytest.mark.parametrize("cost", [cost for cost, _ in TWISTED] + OTHERS, ids=str)
def test_unprepare(cost, rng):
    x = rng.normal(size=(6, 3))
    if isinstance(cost, costs.Sphere):
        x /= np.sqrt((x * x).sum(1, keepdims=True))
    prepared = cost.prepare(x)
    back = cost.unprepare(prepared)
    check_within(cost.prepare(back), prepared, 1e-15 * 4)
    if not isinstance(cost, costs.Cosine):  # which sees directions only
        check_within(back, x, 4e-15)


# --- costs from outside ---------------------------------------------------------------------------------------


class Changed(costs.SqEuclidean):
    """Another cost, made of one that has a twist."""

    def pairwise(self, x, y, xp=np):
        return super().pairwise(x, y, xp) ** 2


class Moved(costs.SqEuclidean):
    """Points are moved first; nothing says how to move them back."""

    def prepare(self, x, xp=np):
        return x + 1.0


@dataclass(frozen=True)
class Quartic(costs.Cost):
    """``sum (x - y)**4 / 4``."""

    def pairwise(self, x, y, xp=np):
        return xp.sum((x[:, None, :] - y[None, :, :]) ** 4, axis=-1) / 4

    def gradient(self, x, y, c, xp=np):
        return (x[:, None, :] - y[None, :, :]) ** 3

    def twist(self, x, slope, xp=np):
        return x - xp.sign(slope) * xp.abs(slope) ** (1 / 3)


def test_a_changed_cost_does_not_inherit_one():
    assert not Changed().has_twist
    with pytest.raises(NotImplementedError, match="Changed has no twist"):
        Changed().twist(np.ones((1, 2)), np.ones((1, 2)))
    assert not Moved().has_twist
    with pytest.raises(NotImplementedError, match=r"Moved defines prepare\(\) and must define unprepare\(\)"):
        Moved().unprepare(np.ones((1, 2)))
    assert costs.SqEuclidean().has_twist


def test_a_cost_of_ones_own(rng):
    x, y = rng.normal(size=(2, 7, 3))
    cost = Quartic()
    assert cost.has_twist
    slope = cost.gradient(x, y, cost.pairwise(x, y))[np.arange(7), np.arange(7)]
    check_within(cost.twist(x, slope), y, 1e-12)


# --- PyTorch --------------------------------------------------------------------------------------------------


@twisted
def test_torch(cost, rng):
    torch = pytest.importorskip("torch")
    import array_api_compat.torch as xp

    x, slope = (torch.as_tensor(rng.normal(size=(3, 3))).requires_grad_() for _ in range(2))
    check_within(cost.twist(x, slope, xp), cost.twist(host(x), host(slope)), 1e-14)
    check_within(cost.unprepare(x, xp), cost.unprepare(host(x)), 1e-15)
    assert torch.autograd.gradcheck(lambda *z: cost.unprepare(cost.twist(*z, xp), xp), (x, slope))
    assert torch.autograd.gradgradcheck(lambda *z: cost.unprepare(cost.twist(*z, xp), xp), (x, slope))


@twisted
def test_torch_derivatives_at_slope_zero_are_finite(cost):
    torch = pytest.importorskip("torch")
    import array_api_compat.torch as xp

    x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    slope = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.grad(cost.twist(x, slope, xp).sum(), (x, slope), allow_unused=True)
    assert all(z is None or bool(torch.isfinite(z).all()) for z in found)
