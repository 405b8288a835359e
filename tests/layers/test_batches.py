"""Batches on torch tensors that require gradients: as their problems one by one."""

import numpy as np
import pytest

import ot_solvers as ots

torch = pytest.importorskip("torch")
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

TIGHT = {"tol": 1e-13, "max_iter": 100_000, "on_failure": "ignore"}


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


SETTINGS = {
    "entropic": {"reg": 0.5},
    "exact": {"reg": None},
    "unbalanced": {"reg": 0.5, "unbalanced": 1.0},
    "quadratic": {"reg": ots.Quadratic(0.7)},
    "each its own": {"reg": [0.5, 0.2, 1.0]},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_values(setting):
    C, la, lb = normal(3, 4, 5).detach().abs().requires_grad_(), normal(3, 4, seed=1), normal(5, seed=2)

    def values(C, la, lb):
        return ots.solve_batch(C, la.softmax(1), lb.softmax(0), **SETTINGS[setting], **TIGHT).value

    assert gradcheck(values, (C, la, lb), atol=1e-6)


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "cosine"])
def test_values_of_clouds(cost):
    x, y = normal(3, 4, 2), normal(3, 5, 2, seed=1)

    def values(x, y):
        return ots.solve_sample_batch(x, y, cost=cost, reg=0.5, **TIGHT).value

    assert gradcheck(values, (x, y), atol=1e-6)
    assert gradgradcheck(values, (x, y), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("d", [2, 9])
@pytest.mark.parametrize("reg", [[0.5, None, 1.0], [None] * 3, [0.5, ots.Quadratic(0.7), 1.0]])
def test_values_of_clouds_with_other_plans_among_them(reg, d):
    x, y = normal(3, 4, d), normal(3, 5, d, seed=1)
    assert gradcheck(lambda *z: ots.solve_sample_batch(*z, reg=reg, **TIGHT).value, (x, y), atol=1e-6)


def test_plans_for_all_problems_at_once():
    C, la, lb = normal(3, 4, 5), normal(3, 4, seed=1), normal(5, seed=2)

    def plans(C, la, lb):
        return ots.solve_batch(C, la.softmax(1), lb.softmax(0), reg=0.5, **TIGHT).plan

    assert gradcheck(plans, (C, la, lb), atol=1e-6)
    x, y = normal(2, 4, 2), normal(2, 3, 2, seed=1)
    assert gradcheck(lambda *z: ots.solve_sample_batch(*z, reg=0.5, **TIGHT).plan, (x, y), atol=1e-6)
    shared = normal(4, 5)
    assert gradcheck(
        lambda C, la: ots.solve_batch(C, la.softmax(1), reg=0.5, **TIGHT).plan, (shared, la), atol=1e-6
    )


@pytest.mark.parametrize(
    "name",
    ["value", "value_linear", "dual_value", "potential_a", "potential_b", "plan", "marginal_a", "marginal_b"],
)
@pytest.mark.parametrize("setting", ["entropic", "unbalanced"])
def test_fields_are_those_of_single_problems(name, setting):
    C = normal(3, 4, 5)
    W = np.random.default_rng(0).normal(size=20)

    def total(field):
        return (field.reshape(-1) * torch.as_tensor(W[: field.numel()])).sum()

    batch = ots.solve_batch(C, **SETTINGS[setting], **TIGHT)
    stacked = getattr(batch, name)
    (ours,) = torch.autograd.grad(sum(total(part) for part in stacked), C, retain_graph=True)
    expected = torch.zeros_like(C)
    for k in range(3):
        solution = ots.solve(C[k], **SETTINGS[setting], **TIGHT)
        torch.testing.assert_close(stacked[k], getattr(solution, name), rtol=1e-8, atol=1e-10)
        expected = expected + torch.autograd.grad(total(getattr(solution, name)), C)[0]
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-9)


def test_indexing_and_slices_stay_on_the_graph():
    C = normal(4, 3, 3)
    batch = ots.solve_batch(C, reg=0.5, **TIGHT)
    (first,) = torch.autograd.grad(batch[1].value, C, retain_graph=True)
    (second,) = torch.autograd.grad(batch[1:3].value[0], C)
    torch.testing.assert_close(first, second)
    assert (first[0] == 0).all()
    assert not batch.gap.requires_grad


def test_ragged():
    x = [normal(n, 2, seed=n) for n in (3, 4, 5)]
    y = [normal(n, 2, seed=n + 9) for n in (4, 2, 3)]
    batch = ots.solve_sample_batch(x, y, reg=0.5, **TIGHT)
    slopes = torch.autograd.grad(batch.value.sum() + sum((plan**2).sum() for plan in batch.plan), x)
    for cloud, other, slope in zip(x, y, slopes, strict=True):
        solution = ots.solve_sample(cloud, other, reg=0.5, **TIGHT)
        (expected,) = torch.autograd.grad(solution.value + (solution.plan**2).sum(), cloud)
        torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-9)


def test_exact_plans_raise():
    batch = ots.solve_batch(normal(2, 3, 3).abs(), reg=None)
    with pytest.raises(ots.UnsupportedError, match="piecewise constant"):
        _ = batch.plan


def test_no_grad_means_no_graph():
    C = normal(2, 3, 3)
    with torch.no_grad():
        assert not ots.solve_batch(C, reg=0.5).value.requires_grad
    assert not ots.solve_batch(C.detach(), reg=0.5).value.requires_grad
