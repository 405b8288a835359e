"""`match` and `MatchingLayer`."""

import copy

import numpy as np
import pytest

import ot_solvers as ots

torch = pytest.importorskip("torch")
from torch.autograd import gradcheck  # noqa: E402

from ot_solvers.layers.torch import (  # noqa: E402
    MatchingLayer,
    match,
    matching,
)

TIGHT = {"tol": 1e-13, "max_iter": 100_000, "on_failure": "ignore"}


def scores(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize("reg", [1.0, 0.1, ots.Quadratic(0.5), ots.SparsityConstrained(0.5, 3)])
@pytest.mark.parametrize("shape", [(5, 5), (4, 6), (6, 3)])
def test_plans_are_those_of_solve(reg, shape):
    S = scores(*shape)
    P = match(S, reg, **TIGHT)
    expected = ots.solve(-S.detach(), reg=reg, **TIGHT).plan
    torch.testing.assert_close(P.detach(), expected, rtol=1e-9, atol=1e-12)
    assert P.sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("strength", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("shape", [(3, 5, 4), (2, 4, 5)])
def test_entropic_gradients(strength, shape):
    S, la, lb = scores(*shape), scores(shape[0], shape[1], seed=1), scores(shape[2], seed=2)
    assert gradcheck(
        lambda S, la, lb: match(S, strength, la.softmax(1), lb.softmax(0), **TIGHT),
        (S, la, lb),
        atol=1e-6,
        rtol=1e-5,
    )


@pytest.mark.parametrize("reg", [ots.Quadratic(0.7), ots.SparsityConstrained(0.7, 4)])
def test_sparse_gradients(reg):
    assert gradcheck(lambda S: match(S, reg), (scores(2, 4, 5),))


def test_both_paths_have_the_same_gradients(monkeypatch):
    """The batch of dense systems, and one solution after the other."""
    S = scores(2, 6, 7)
    W = torch.randn(2, 6, 7, dtype=torch.float64)
    (batched,) = torch.autograd.grad((match(S, 0.2, **TIGHT) * W).sum(), S)
    monkeypatch.setattr(matching, "DENSE", 0)
    (single,) = torch.autograd.grad((match(S, 0.2, **TIGHT) * W).sum(), S)
    torch.testing.assert_close(batched, single, rtol=1e-8, atol=1e-11)


def test_masks_forbid_pairs_and_have_no_gradient_there():
    S = scores(3, 5, 5)
    mask = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(1)) > 0.4
    mask |= torch.eye(5, dtype=torch.bool)
    P = match(S, 0.3, mask=mask, **TIGHT)
    assert (P[~mask] == 0).all()
    torch.testing.assert_close(P.sum(2), torch.full((3, 5), 0.2, dtype=torch.float64))
    (slope,) = torch.autograd.grad((P**2).sum(), S)
    assert (slope[~mask] == 0).all()
    assert gradcheck(lambda S: match(S, 0.3, mask=mask, **TIGHT), (S,), atol=1e-6)
    shared = match(S, 0.3, mask=mask[0], **TIGHT)
    assert (shared[:, ~mask[0]] == 0).all()


def test_parts_that_fall_apart():
    """Two blocks: the linear system is singular twice."""
    mask = torch.block_diag(torch.ones(3, 3), torch.ones(2, 2)).bool()
    assert gradcheck(lambda S: match(S, 0.3, mask=mask, **TIGHT), (scores(5, 5),), atol=1e-6)


def test_relative_strength():
    S = scores(4, 5) - 10.0
    torch.testing.assert_close(
        match(S, ots.Entropic(0.1, relative_to="mean"), **TIGHT),
        match(S, 0.1 * -S.detach().mean().item(), **TIGHT),
    )


def test_dustbins():
    layer = MatchingLayer(0.2, dustbin=True, **TIGHT).double()
    S = scores(2, 4, 6)
    P = layer(S)
    assert P.shape == (2, 5, 7)
    torch.testing.assert_close(P.sum(2)[:, :4], torch.full((2, 4), 0.1, dtype=torch.float64))
    torch.testing.assert_close(P.sum(2)[:, 4], torch.full((2,), 0.6, dtype=torch.float64))
    torch.testing.assert_close(P.sum(1)[:, 6], torch.full((2,), 0.4, dtype=torch.float64))
    assert gradcheck(
        lambda S, z: torch.func.functional_call(layer, {"dustbin": z}, (S,)), (S, layer.dustbin), atol=1e-6
    )
    # The better the dustbin, the less is matched.
    better = copy.deepcopy(layer)
    torch.nn.init.constant_(better.dustbin, 5.0)
    assert better(S)[:, :4, :6].sum() < P[:, :4, :6].sum()
    assert set(layer.state_dict()) == {"dustbin"}
    mask = torch.zeros(4, 6, dtype=torch.bool)  # nothing fits: all to the dustbins
    assert layer(S, mask=mask)[:, :4, :6].abs().max() == 0
    with pytest.raises(ValueError, match="set by the dustbins"):
        layer(S, torch.ones(4))


def test_a_matching_is_learned_end_to_end():
    """Scores from features by a linear layer: trained on matchings, it finds those of new points."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.linalg.qr(torch.randn(6, 6, generator=generator))[0]
    layer, matcher = torch.nn.Linear(6, 6, bias=False), MatchingLayer(0.05)
    torch.nn.init.eye_(layer.weight)
    optimiser = torch.optim.Adam(layer.parameters(), 0.03)

    def problem():
        x = torch.randn(8, 10, 6, generator=generator)
        order = torch.stack([torch.randperm(10, generator=generator) for _ in range(8)])
        return x, torch.gather(x @ hidden.T, 1, order[:, :, None].expand(-1, -1, 6)), torch.argsort(order, 1)

    def scores_of(x, y):
        return -(torch.cdist(layer(x), y) ** 2) / 6

    def accuracy():
        x, y, target = problem()
        with torch.no_grad():
            return (matcher(scores_of(x, y)).argmax(2) == target).float().mean().item()

    before = accuracy()
    for _ in range(60):
        x, y, target = problem()
        P = matcher(scores_of(x, y)) * 10
        loss = -torch.gather(P, 2, target[:, :, None]).clamp_min(1e-9).log().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert before < 0.5
    assert accuracy() > 0.95


def test_precision():
    assert match(scores(4, 4, dtype=torch.float32), 0.5).dtype == torch.float32
    half = scores(4, 4, dtype=torch.float32).detach().to(torch.bfloat16).requires_grad_()
    P = match(half, 0.5)
    assert P.dtype == torch.float32
    (P**2).sum().backward()
    assert half.grad.dtype == torch.bfloat16
    layer = torch.nn.Linear(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        P = MatchingLayer(0.5)(layer(torch.randn(3, 5)))
    assert P.dtype == torch.float32


def test_vmap_over_problems():
    S = scores(3, 4, 5)
    W = torch.randn(4, 5, dtype=torch.float64)

    def total(S):
        return (match(S, 0.3, **TIGHT) * W).sum()

    torch.testing.assert_close(torch.func.vmap(lambda S: match(S, 0.3, **TIGHT))(S), match(S, 0.3, **TIGHT))
    each = torch.stack([torch.autograd.grad(total(S[k]), S)[0][k] for k in range(3)])
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(total))(S.detach()), each)
    torch.testing.assert_close(torch.func.jacrev(total)(S.detach()[0]), each[0])


def test_deterministic():
    S = scores(3, 20, 30)
    first, second = (torch.autograd.grad((match(S, 0.1) ** 2).sum(), S)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda S: match(S.detach().numpy(), 0.1), TypeError, "scores must be a torch tensor, not ndarray"),
        (lambda S: match(S[0, 0], 0.1), ValueError, r"scores has shape \(5,\)"),
        (lambda S: match(S.long(), 0.1), TypeError, "scores has dtype torch.int64"),
        (lambda S: match(S, None), ValueError, "reg=None must be positive"),
        (lambda S: match(S, -1.0), ValueError, "reg=-1.0"),
        (lambda S: match(S, 0.1, mask=torch.ones(4, 5)), TypeError, "mask is torch.float32; expected a bool"),
        (lambda S: match(S, 0.1, mask=torch.ones(5, 4).bool()), ValueError, r"mask has shape \(5, 4\)"),
        (lambda S: match(S, 0.1, torch.ones(3)), ValueError, r"a is \(3,\); expected a tensor of shape \(4,\)"),
        (lambda S: match(S, 0.1, torch.ones(4), torch.ones(5)), ValueError, "masses differ"),
        (lambda S: MatchingLayer("strong"), TypeError, "reg='strong'"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(scores(2, 4, 5))


def test_bad_entries_are_named():
    S = scores(3, 4, 5).detach()
    S[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"scores\[2, 3\] of problem 1 is nan; expected finite scores"):
        match(S, 0.1)
    with pytest.raises(ValueError, match=r"scores\[2, 3\] is nan"):
        match(S[1], 0.1)
    mask = torch.ones(3, 4, 5, dtype=torch.bool)
    mask[2, 1] = False
    with pytest.raises(ValueError, match="mask leaves row 1 of problem 2 no legal match"):
        match(S.nan_to_num(), 0.1, mask=mask)


def test_repr_says_what_it_does():
    assert repr(MatchingLayer(0.1, dustbin=2.0)) == "MatchingLayer(reg=0.1, dustbin=True)"


@pytest.mark.parametrize("reg", [0.5, ots.Quadratic(0.5)])
def test_second_derivatives_raise(reg):
    S = scores(4, 5)
    (slope,) = torch.autograd.grad(match(S, reg).square().sum(), S, create_graph=True)
    with pytest.raises(ots.UnsupportedError, match="first derivatives only"):
        torch.autograd.grad(slope.sum(), S)
