"""Sparse routers: loads, gates, gradients, determinism, masks, compilers and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the layers need torch")

import ot_solvers as ots  # noqa: E402
from ot_solvers.layers.torch import SparseRouter  # noqa: E402
from ot_solvers.layers.torch.places import largest, places_of  # noqa: E402
from ot_solvers.layers.torch.semidual import Routed, potentials  # noqa: E402

BACKENDS = ["numba", "torch"]


def tokens(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def router(*args, seed=0, **keywords):
    torch.manual_seed(seed)
    return SparseRouter(*args, **keywords)


# --- expert choice ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("T", "E", "factor"), [(64, 8, 1.0), (50, 8, 1.0), (64, 8, 2.0), (64, 8, 0.5), (5, 8, 1.0), (7, 1, 1.0)]
)
def test_every_expert_takes_exactly_its_capacity(backend, T, E, factor):
    model = router(16, E, capacity_factor=factor, backend=backend)
    found = model(tokens(3, T, 16))
    capacity = model.capacity(T)
    assert capacity == min(T, max(1, math.ceil(factor * T / E)))
    assert found.indices.shape == found.gates.shape == (3, E, capacity)
    assert (found.load == capacity).all()
    assert (found.balance == 1).all()
    torch.testing.assert_close(found.entropy, torch.full((3,), math.log(E)))
    assert (found.indices.diff(dim=-1) > 0).all() and found.indices.min() >= 0 and found.indices.max() < T
    assert (found.mask.sum(-2) == capacity).all()
    batch, expert = torch.meshgrid(torch.arange(3), torch.arange(E), indexing="ij")
    expected = found.scores[batch[..., None], found.indices, expert[..., None]]
    torch.testing.assert_close(found.gates, expected)
    assert (found.dropped == (~found.mask.any(-1)).sum(-1)).all()


def test_the_steps_keep_tokens_from_being_dropped():
    """Tokens that all experts like, and tokens that none does: potentials tell them apart."""
    x = tokens(4, 256, 32, seed=1)
    plain, routed = (router(32, 16, steps=steps)(x).dropped.sum() for steps in (0, 20))
    assert routed < 0.6 * plain


def test_backends_agree():
    x = tokens(2, 96, 16)
    first, second = (router(16, 6, backend=backend)(x) for backend in BACKENDS)
    torch.testing.assert_close(first.potentials, second.potentials, rtol=0, atol=2e-5)
    assert (first.mask == second.mask).float().mean() > 0.995


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("k", [1, 3, 12])
def test_steps_climb_the_semi_dual_of_the_solvers(backend, k):
    """Many steps get near the best dual value that `solve` knows, from below."""
    rng = np.random.default_rng(0)
    S = rng.random((12, 30))
    gamma = 0.5
    problem = Routed(
        torch.from_numpy(S)[None], torch.full((1, 12), 2.5).double(), torch.ones(1, 30).double(), k, gamma
    )
    reg = ots.SparsityConstrained(gamma, k, side="rows")
    exact = ots.solve(-S, np.full(12, 2.5), np.ones(30), reg=reg, on_failure="ignore")
    values = []
    for steps in (0, 20, 400):
        g = potentials(problem, steps, 1e-2, backend)[0].numpy()
        values.append(dual(S, g, gamma, k))
    assert values[0] < values[1] <= values[2] + 1e-3
    assert values[2] <= exact.value + 1e-9
    assert values[2] == pytest.approx(exact.dual_value, rel=2e-2)


def dual(S, g, gamma, k):
    """Row by row, by bisection on the level."""
    total = g.sum()
    for row in S + g[None, :]:
        top = np.sort(row)[::-1][:k]
        low, high = top.min() - 10 * gamma, top.max()
        for _ in range(200):
            level = 0.5 * (low + high)
            low, high = (level, high) if np.maximum(top - level, 0).sum() > 2.5 * gamma else (low, level)
        p = np.maximum(top - level, 0) / gamma
        total -= p @ top - 0.5 * gamma * p @ p
    return total


def test_equal_scores_are_taken_in_order():
    model = router(None, 3)
    found = model(scores=torch.full((1, 9, 3), 1 / 3))
    assert found.indices[0].tolist() == [[0, 1, 2]] * 3
    again = model(scores=torch.full((1, 9, 3), 1 / 3))
    assert torch.equal(found.indices, again.indices)


def test_places_by_hand():
    values = torch.tensor([[1.0, 3.0, 3.0, 3.0, -math.inf], [0.0, -math.inf, -math.inf, -math.inf, -math.inf]])
    assert largest(values, 2).tolist() == [[False, True, True, False, False], [True] + [False] * 4]
    assert places_of(largest(values, 2), 2).tolist() == [[1, 2], [0, -1]]
    assert largest(values, torch.tensor([1, 0])).tolist() == [[False, True, False, False, False], [False] * 5]
    assert largest(values, 9).sum() == 5
    assert largest(values, torch.tensor([3, 4])).sum(-1).tolist() == [3, 1]


def test_potentials_are_those_of_one_set_of_tokens():
    x = tokens(5, 40, 8)
    model = router(8, 4)
    together = model(x)
    for k in range(5):
        alone = model(x[k])
        assert torch.equal(alone.indices, together.indices[k])
        torch.testing.assert_close(alone.potentials, together.potentials[k])
        assert alone.dropped.shape == ()


def test_any_leading_axes():
    x = tokens(2, 3, 40, 8)
    model = router(8, 4)
    found = model(x)
    assert found.indices.shape == (2, 3, 4, 10)
    flat = model(x.flatten(0, 1))
    assert torch.equal(found.indices.flatten(0, 1), flat.indices)


# --- token choice ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("k", [1, 2])
def test_tokens_choose_within_capacities(backend, k):
    x = tokens(2, 64, 16)
    model = router(16, 8, choice="token", k=k, backend=backend)
    found = model(x)
    assert found.load.max() <= model.capacity(64) == 8 * k
    assert (found.mask.sum(-1) <= k).all()
    assert (found.mask.sum(-2) == found.load).all()
    if k == 1:
        assert (found.load == 8).all() and (found.dropped == 0).all() and (found.mask.sum(-1) == 1).all()
    dropping = router(16, 8, choice="token", k=k, overflow="drop", backend=backend)(x)
    assert not (dropping.mask & ~found.mask).any()  # the rerouted ones come on top
    assert (dropping.mask.sum() < found.mask.sum()) == (dropping.load.min() < 8 * k)


def test_steps_level_the_loads_of_tokens_that_like_one_expert():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(512, 8))) + torch.linspace(2, 0, 8)
    scores = logits.softmax(-1)
    model = {s: router(None, 8, choice="token", steps=s, overflow="drop") for s in (0, 60)}
    dropped = {s: int(m(scores=scores).dropped) for s, m in model.items()}
    assert dropped[0] > 150
    assert dropped[60] < 0.3 * dropped[0]
    full = router(None, 8, choice="token")(scores=scores)
    assert (full.load == 64).all() and full.dropped == 0


def test_experts_that_are_full_keep_the_best_tokens():
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.7, 0.3]])
    found = router(None, 2, choice="token", steps=0)(scores=scores)
    assert found.indices.tolist() == [[0, 1], [2, 3]]
    dropped = router(None, 2, choice="token", steps=0, overflow="drop")(scores=scores)
    assert dropped.indices.tolist() == [[0, 1], [-1, -1]]
    assert dropped.gates.tolist() == [[pytest.approx(0.9), pytest.approx(0.8)], [0.0, 0.0]]
    assert dropped.dropped == 2 and dropped.balance == 0.5 and dropped.entropy == 0


# --- what comes of it ------------------------------------------------------------------------------------------


def test_dispatch_and_combine():
    x = tokens(2, 24, 8, dtype=torch.float64)
    found = router(8, 4)(x)
    inputs = found.dispatch(x)
    assert inputs.shape == (2, 4, 6, 8)
    torch.testing.assert_close(inputs[1, 2, 3], x[1, found.indices[1, 2, 3]])
    total = found.combine(inputs)
    weight = (found.scores * found.mask).sum(-1)
    torch.testing.assert_close(total, weight[..., None] * x)
    few = router(8, 4, choice="token", overflow="drop", steps=0)(x)
    assert (few.dispatch(x)[few.indices < 0] == 0).all()
    torch.testing.assert_close(few.combine(few.dispatch(x)), (few.scores * few.mask).sum(-1)[..., None] * x)


@pytest.mark.parametrize("choice", ["expert", "token"])
def test_gradients_flow_through_the_gates(choice):
    x = tokens(1, 12, 4, dtype=torch.float64).requires_grad_()
    model = router(4, 3, choice=choice).double()
    weight = torch.nn.Parameter(model.weight.detach().clone())

    def output(x, weight):
        model.weight = torch.nn.Parameter(weight) if not weight.requires_grad else model.weight
        found = torch.func.functional_call(model, {"weight": weight}, (x,))
        return found.combine(found.dispatch(x) ** 2)

    assert torch.autograd.gradcheck(output, (x, weight))
    gates = model(x).gates
    assert gates.requires_grad and not model(x).potentials.requires_grad


def test_training_moves_the_router():
    torch.manual_seed(0)
    x, target = tokens(1, 64, 8), tokens(1, 64, 8, seed=1)
    model = router(8, 4, auxiliary={"z": 1e-3, "importance": 1e-2})
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(30):
        found = model(x)
        loss = (found.combine(found.dispatch(x)) - target).square().mean() + model.auxiliary_loss(found)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.01


def test_auxiliary_losses_by_hand():
    scores = torch.tensor([[0.9, 0.1], [0.7, 0.3]])
    found = router(None, 2)(scores=scores)
    assert float(found.importance_loss()) == pytest.approx(0.36)
    assert float(found.balance_loss()) == pytest.approx(2 * 0.8)
    with pytest.raises(ValueError, match="the z loss needs logits"):
        found.z_loss()
    uniform = router(None, 4)(scores=torch.full((8, 4), 0.25))
    assert float(uniform.importance_loss()) == 0.0
    model = router(4, 2, auxiliary={"z": 2.0})
    found = model(tokens(6, 4))
    expected = 2 * found.logits.logsumexp(-1).square().mean()
    torch.testing.assert_close(model.auxiliary_loss(found), expected)
    assert float(router(4, 2).auxiliary_loss(found)) == 0.0


def test_a_plan_with_gradients():
    """The hook: a differentiable plan takes the place of the scores."""
    asked = []

    def match(scores, reg):
        asked.append(reg)
        return scores.softmax(-2) / scores.shape[-1]

    scores = tokens(12, 3, dtype=torch.float64).softmax(-1).requires_grad_()
    found = router(None, 3, gamma=0.5, plan_gradient=True, match=match)(scores=scores)
    assert asked == [ots.SparsityConstrained(6.0, 4, side="columns")]
    plan = scores.softmax(-2) / 3 * 12
    assert (found.load == 4).all()
    for expert in range(3):
        top = plan[:, expert].topk(4)
        assert sorted(top.indices.tolist()) == found.indices[expert].tolist()
        torch.testing.assert_close(found.gates[expert].sum(), top.values.sum())
    found.gates.square().sum().backward()
    assert scores.grad.abs().max() > 0
    router(None, 3, choice="token", k=2, plan_gradient=True, match=match)(scores=scores)
    assert asked[-1] == ots.SparsityConstrained(12.0, 2, side="rows")


def test_the_plan_itself_as_gates():
    """By the matchings of this package: experts take what they carry, and gradients are those of the plan."""
    x = tokens(2, 12, 8).double()
    module = router(8, 3, gamma=0.02, plan_gradient=True).double()
    found = module(x)
    assert (found.load == 4).all()
    assert (found.gates >= 0).all()
    assert found.gates.sum() > 0.9 * 24  # nearly all mass is where it was chosen
    (found.gates**2).sum().backward()
    assert torch.isfinite(module.weight.grad).all()
    assert module.weight.grad.abs().max() > 0


# --- masks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("choice", ["expert", "token"])
def test_padding_is_never_routed(choice, backend):
    x = tokens(2, 40, 8)
    mask = torch.ones(2, 40, dtype=torch.bool)
    mask[1, 25:] = False
    found = router(8, 4, choice=choice, backend=backend)(x, mask=mask)
    assert not found.mask[1, 25:].any()
    assert (found.dropped[1] <= 25).all()
    full = router(8, 4, choice=choice, backend=backend)(x)
    assert torch.equal(found.indices[0], full.indices[0])
    if choice == "expert":
        assert (found.load == 10).all()


def test_fewer_tokens_than_places():
    mask = torch.zeros(40, dtype=torch.bool)
    mask[:3] = True
    found = router(8, 4)(tokens(40, 8), mask=mask)
    assert (found.load == 3).all()
    assert (found.indices[:, :3] == torch.arange(3)).all() and (found.indices[:, 3:] == -1).all()
    assert (found.gates[:, 3:] == 0).all()


@pytest.mark.parametrize("choice", ["expert", "token"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_forbidden_pairs_are_not_used(choice, backend):
    allowed = torch.rand(2, 40, 4, generator=torch.Generator().manual_seed(0)) < 0.6
    found = router(8, 4, choice=choice, backend=backend)(tokens(2, 40, 8), mask=allowed)
    assert not (found.mask & ~allowed).any()
    assert found.mask.any()
    assert torch.isfinite(found.potentials).all()


# --- types, states, compilers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_scores_are_at_least_single(dtype):
    model = router(8, 4).to(dtype)
    x = tokens(40, 8).to(dtype)
    found = model(x)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert found.scores.dtype == found.gates.dtype == wide
    expected = (x.to(wide) @ model.weight.to(wide).T).softmax(-1)
    torch.testing.assert_close(found.scores, expected)
    assert found.combine(found.dispatch(x)).dtype == dtype


def test_autocast_changes_nothing():
    model, x = router(8, 4), tokens(40, 8)
    plain = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = model(x)
    assert torch.equal(plain.scores, cast.scores) and torch.equal(plain.indices, cast.indices)


def test_state_and_text():
    model, other = router(8, 4), router(8, 4, seed=1)
    x = tokens(40, 8)
    assert not torch.equal(model(x).scores, other(x).scores)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(x).scores, other(x).scores) and list(model.state_dict()) == ["weight"]
    text = "SparseRouter(dim=8, experts=4, choice='expert', capacity_factor=1, gamma=1, steps=20)"
    assert repr(model) == text
    assert not list(router(None, 4).parameters())


@pytest.mark.slow
def test_compilers_break_the_graph_and_go_on():
    model, x = router(8, 4), tokens(2, 40, 8)
    compiled = torch.compile(model, backend="eager")
    found, plain = compiled(x), model(x)
    assert torch.equal(found.indices, plain.indices)
    torch.testing.assert_close(found.gates, plain.gates)


# --- bad input -------------------------------------------------------------------------------------------------


def with_nan(x):
    x = x.clone()
    x[1, 5] = torch.nan
    return x


def closed(expert):
    mask = torch.ones(2, 40, 4, dtype=torch.bool)
    mask[1, :, expert] = False
    return mask


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: router(8, 4)(with_nan(x)), ValueError, r"scores\[1, 5, 0\] is nan; expected finite"),
        (lambda x: router(None, 8)(scores=with_nan(x)), ValueError, r"scores\[1, 5, 0\] is nan"),
        (
            lambda x: router(8, 4)(x, mask=torch.zeros(2, 40, dtype=torch.bool)),
            ValueError,
            r"mask\[0\] allows no pair",
        ),
        (lambda x: router(8, 4)(x, mask=closed(slice(None))), ValueError, r"mask\[1\] allows no pair"),
        (lambda x: router(8, 4)(x, mask=closed(2)), ValueError, r"mask\[1\] allows no token for expert 2"),
        (
            lambda x: router(8, 4)(x, mask=torch.ones(2, 40)),
            TypeError,
            "mask has dtype torch.float32; expected bool",
        ),
        (lambda x: router(8, 4)(x, mask=torch.ones(40, dtype=torch.bool)), ValueError, r"mask has shape \(40,\)"),
        (lambda x: router(8, 4)(x[..., :3]), ValueError, r"tokens has shape \(2, 40, 3\); expected \(..., T, 8\)"),
        (lambda x: router(8, 4)(scores=x), ValueError, r"scores has shape \(2, 40, 8\); expected \(..., T, 4\)"),
        (lambda x: router(8, 4)(), TypeError, "either tokens or scores"),
        (lambda x: router(None, 4)(x), TypeError, "give scores"),
        (lambda x: router(8, 4)(x).dispatch(x[:, :3]), ValueError, r"tokens has shape \(2, 3, 8\)"),
        (lambda x: router(8, 4)(x).combine(x), ValueError, "outputs has shape"),
        (lambda x: SparseRouter(8, 0), ValueError, "experts=0 must be an integer >= 1"),
        (lambda x: SparseRouter(8, 4, k=2), ValueError, "needs choice='token'"),
        (lambda x: SparseRouter(8, 4, k=5, choice="token"), ValueError, "k=5 is more than the 4 experts"),
        (lambda x: SparseRouter(8, 4, choice="tokens"), ValueError, "did you mean 'token'"),
        (lambda x: SparseRouter(8, 4, gamma=0), ValueError, "gamma=0 must be positive"),
        (lambda x: SparseRouter(8, 4, capacity_factor=math.inf), ValueError, "capacity_factor=inf"),
        (lambda x: SparseRouter(8, 4, steps=-1), ValueError, "steps=-1 must be an integer >= 0"),
        (lambda x: SparseRouter(8, 4, overflow="spill"), ValueError, "overflow='spill' is unknown"),
        (lambda x: SparseRouter(8, 4, auxiliary={"load": 1.0}), ValueError, "auxiliary='load' is unknown"),
        (lambda x: SparseRouter(8, 4, match=3), TypeError, "match=3 is not callable"),
        (
            lambda x: SparseRouter(8, 4, plan_gradient=True, match=lambda s, reg: s[..., :2])(x),
            ValueError,
            r"match returned shape \(2, 40, 2\); expected \(2, 40, 4\)",
        ),
        (
            lambda x: SparseRouter(8, 4, plan_gradient=True, match=lambda s, reg: s)(
                x, mask=closed(0) ^ closed(1)
            ),
            ValueError,
            "takes no mask|allows no",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(tokens(2, 40, 8))
