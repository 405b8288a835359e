"""`monge_gap` on tensors: derivatives of every estimator, terms of losses, dtypes."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from checks import check_library, check_same_bits, check_within

import ot_solvers as ots

torch = pytest.importorskip("torch")
from torch.autograd import gradcheck  # noqa: E402

from ot_solvers.maps import monge_gap  # noqa: E402

COSTS = ("sqeuclidean", "euclidean", "dot")
ESTIMATORS = ("exact", "debiased", "entropic")
#: Strengths at which the debiased number of `clouds` is within its certified bounds.
STRENGTHS = {"sqeuclidean": 1.0, "euclidean": 3.0, "dot": 1.0}
TIGHT = {"tol": 1e-13, "max_iter": 100_000, "on_failure": "ignore"}


def clouds(n=7, d=2, dtype=torch.float64):
    """(x, Tx): a map that is not optimal, on the graph."""
    generator = torch.Generator().manual_seed(34)
    x = torch.randn(n, d, dtype=dtype, generator=generator)
    Tx = 0.1 * x + 0.5 * torch.randn(n, d, dtype=dtype, generator=generator) + 0.2
    return x.requires_grad_(), Tx.requires_grad_()


def weights(n=7):
    return torch.linspace(0.5, 1.5, n, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_derivatives_by_points(cost, estimator):
    def value(x, Tx):
        found = monge_gap(x, Tx, cost=cost, reg=STRENGTHS[cost], estimator=estimator, **TIGHT)
        assert found.estimator == estimator
        return found.value

    assert gradcheck(value, clouds(), atol=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_derivatives_by_weights(estimator):
    """Weights count relative to their sum: no direction is forbidden."""
    x, Tx = clouds()

    def value(a):
        found = monge_gap(x, Tx, a, reg=1.0, estimator=estimator, **TIGHT)
        assert found.estimator == estimator
        return found.value

    assert gradcheck(value, (weights(),), atol=1e-6)


@pytest.mark.parametrize("estimator", ["debiased", "entropic"])
@pytest.mark.parametrize("relative_to", [None, "mean"])
def test_derivatives_by_the_strength(estimator, relative_to):
    x, Tx = (z.detach() for z in clouds())

    def value(reg):
        found = monge_gap(x, Tx, reg=reg, reg_relative_to=relative_to, estimator=estimator, **TIGHT)
        assert found.estimator == estimator
        return found.value

    assert gradcheck(value, (torch.tensor(0.9, dtype=torch.float64, requires_grad=True),), atol=1e-6)


def test_exact_gaps_do_not_depend_on_the_strength():
    """Also where exact transport takes the place of a debiased number."""
    x, Tx = (z.detach() for z in clouds())
    reg = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(monge_gap(x, Tx, reg=reg).value, reg)
    assert slope.item() == 0.0
    line = torch.randn(64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = monge_gap(line, line + 3.0, cost="euclidean", reg=reg, estimator="debiased")
    assert found.estimator == "exact" and found.reason
    (slope,) = torch.autograd.grad(found.value, reg)
    assert slope.item() == 0.0


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_values_are_those_without_a_graph(estimator):
    x, Tx = clouds(20)
    with_graph = monge_gap(x, Tx, weights(20), reg=0.5, estimator=estimator)
    with torch.no_grad():
        without = monge_gap(x, Tx, weights(20), reg=0.5, estimator=estimator)
    arrays = monge_gap(*(z.detach().numpy() for z in (x, Tx, weights(20))), reg=0.5, estimator=estimator)
    assert with_graph.value.requires_grad and not without.value.requires_grad
    assert float(with_graph) == float(without) == float(arrays)
    check_within(with_graph.value, np.array(float(arrays)), 1e-14)
    assert with_graph.bounds == arrays.bounds


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_point_and_its_own_image_have_no_slope(estimator):
    x, _ = clouds()
    (slope,) = torch.autograd.grad(monge_gap(x, x, reg=0.5, estimator=estimator, **TIGHT).value, x)
    if estimator == "entropic":
        # The identity is not where entropy alone is least: its bias has a slope of its own.
        assert slope.abs().max() > 1e-3
    else:
        assert slope.abs().max() < 1e-9


@pytest.mark.parametrize(
    "combine",
    [
        operator.add, operator.sub, operator.mul, operator.truediv,
        lambda a, b: sum([a, b, a]), lambda a, b: -a + abs(b), lambda a, b: 2.0 * a + b / 3,
    ],
)  # fmt: skip
@pytest.mark.parametrize("swapped", [False, True])
def test_terms_of_a_loss(combine, swapped):
    """The gap stands for its value, on either side, and the gradient is that of the sum."""
    x, Tx = clouds()
    found = monge_gap(x, Tx)
    other = (Tx**2).mean()
    pair = (other, found) if swapped else (found, other)
    plain = (other, found.value) if swapped else (found.value, other)
    loss, wanted = combine(*pair), combine(*plain)
    assert isinstance(loss, torch.Tensor) and loss.item() == wanted.item()
    (slope,) = torch.autograd.grad(loss, Tx, retain_graph=True)
    (expected,) = torch.autograd.grad(wanted, Tx)
    assert slope.abs().max() > 0
    check_same_bits(slope, expected)


def test_comparisons_with_tensors():
    x, Tx = clouds()
    found = monge_gap(x, Tx)
    number = torch.tensor(float(found) + 1.0, dtype=torch.float64)
    assert found < number and found <= number and number > found and number >= found
    assert not found > number and not number < found


def test_two_gaps_in_one_loss():
    x, Tx = clouds()
    first, second = monge_gap(x, Tx), monge_gap(x, Tx, cost="euclidean", reg=1.0, estimator="entropic")
    (both,) = torch.autograd.grad(first + 0.5 * second, Tx, retain_graph=True)
    (one,) = torch.autograd.grad(first.value, Tx, retain_graph=True)
    (other,) = torch.autograd.grad(second.value, Tx)
    torch.testing.assert_close(both, one + 0.5 * other)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_float32(estimator):
    x, Tx = clouds(30, dtype=torch.float32)
    found = monge_gap(x, Tx, reg=1.0, estimator=estimator)
    check_library(found.value, x)
    found.value.backward()
    assert x.grad.dtype == Tx.grad.dtype == torch.float32
    doubles = tuple(z.detach().double().requires_grad_() for z in (x, Tx))
    wanted = monge_gap(*doubles, reg=1.0, estimator=estimator, tol=1e-9)
    wanted.value.backward()
    assert wanted.estimator == found.estimator
    check_within(float(found), float(wanted), 1e-4)
    check_within(Tx.grad, doubles[1].grad.numpy(), 1e-4)


def test_integer_points_leave_the_gradient_of_the_images():
    x = torch.arange(4)[:, None]
    Tx = torch.tensor([[1.5], [0.5], [3.9], [2.2]], dtype=torch.float64, requires_grad=True)
    found = monge_gap(x, Tx)
    assert found.value.dtype == torch.float64
    (slope,) = torch.autograd.grad(found.value, Tx)
    (wanted,) = torch.autograd.grad(monge_gap(x.double(), Tx).value, Tx)
    assert wanted.abs().max() > 0.1
    torch.testing.assert_close(slope, wanted)


def test_mixed_dtypes_take_the_wider_one():
    x, Tx = clouds()
    found = monge_gap(x.float(), Tx)
    assert found.value.dtype == monge_gap(x.float().detach(), Tx.detach()).value.dtype == torch.float64


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_views_and_broadcast_tensors(estimator):
    x, Tx = clouds()
    strided = torch.stack([x.detach(), x.detach()], dim=2)[:, :, 0]
    assert not strided.is_contiguous()
    a = torch.ones(1, dtype=torch.float64).expand(7)
    wanted = monge_gap(x, Tx, reg=0.5, estimator=estimator)
    found = monge_gap(strided, Tx.T.contiguous().T, a, reg=0.5, estimator=estimator)
    check_within(float(found), float(wanted), 1e-12)


def test_zero_weights_have_no_slope_by_points():
    x, Tx = clouds()
    a = torch.tensor([0, 1, 1, 0, 1, 1, 1], dtype=torch.float64)
    for estimator in ESTIMATORS:
        (slope,) = torch.autograd.grad(monge_gap(x, Tx, a, reg=1.0, estimator=estimator).value, Tx)
        assert slope[a == 0].abs().max() == 0 and slope[a > 0].abs().max() > 0


def test_descent_leads_to_an_optimal_map():
    """Gradients lead to where the oracle says 0."""
    x = torch.randn(12, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    Tx = torch.flip(x, [0]).clone().requires_grad_()
    first = float(monge_gap(x, Tx.detach()))
    for _ in range(200):
        found = monge_gap(x, Tx)
        (slope,) = torch.autograd.grad(found.value, Tx)
        with torch.no_grad():
            Tx -= 2.0 * slope
    assert first > 0.5
    assert float(monge_gap(x, Tx.detach())) < 1e-6


def test_a_strength_inside_a_regulariser_is_a_number():
    x, Tx = clouds()
    reg = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    with pytest.raises(TypeError, match=r"eps=tensor\(.*is not a number"):
        monge_gap(x, Tx, reg=ots.Entropic(reg), estimator="entropic")


def test_libraries_are_not_mixed():
    x, Tx = clouds()
    with pytest.raises(TypeError, match=r"a a numpy array"):
        monge_gap(x, Tx, np.ones(7))
    with pytest.raises(ValueError, match=r"Tx\[1, 0\] is nan"):
        spoiled = Tx.detach().clone()
        spoiled[1, 0] = torch.nan
        monge_gap(x, spoiled)
