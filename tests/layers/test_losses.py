"""`OTLoss` and `SinkhornDivergenceLoss`."""

import copy
import pickle

import pytest

import ot_solvers as ots

torch = pytest.importorskip("torch")
from torch.autograd import gradcheck  # noqa: E402

from ot_solvers.layers.torch import OTLoss, SinkhornDivergenceLoss  # noqa: E402

TIGHT = {"tol": 1e-13, "max_iter": 100_000, "on_failure": "ignore"}
LOSSES = [OTLoss, SinkhornDivergenceLoss]


def clouds(n=6, m=5, d=2, batch=(), seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*batch, n, d, dtype=dtype, generator=generator)
    y = torch.randn(*batch, m, d, dtype=dtype, generator=generator) + 0.5
    return x.requires_grad_(), y


def test_values_are_those_of_the_functions():
    x, y = clouds()
    relative = {"reg": 0.05, "reg_relative_to": "mean"}
    with torch.no_grad():
        assert OTLoss()(x, y) == ots.solve_sample(x, y, **relative).value
        assert SinkhornDivergenceLoss()(x, y) == ots.sinkhorn_divergence(x, y, **relative).value
        assert OTLoss(None)(x, y) == ots.solve_sample(x, y).value
        assert OTLoss(ots.Quadratic(0.5))(x, y) == ots.solve_sample(x, y, reg=ots.Quadratic(0.5)).value


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("unbalanced", [None, 1.0])
def test_gradients(loss, unbalanced):
    x, y = clouds()
    a = torch.rand(6, dtype=torch.float64) + 0.1
    module = loss(0.5, cost="euclidean", unbalanced=unbalanced, **TIGHT)
    assert gradcheck(lambda x, y: module(x, y, a / a.sum()), (x, y.requires_grad_()), atol=1e-6)


def test_a_cloud_against_itself_has_divergence_zero_and_no_slope():
    x, _ = clouds(20)
    loss = SinkhornDivergenceLoss(0.1)(x, x.detach())
    (slope,) = torch.autograd.grad(loss, x)
    assert abs(loss.item()) < 1e-9
    assert slope.abs().max() < 1e-6


@pytest.mark.parametrize("loss", LOSSES)
def test_batches_are_loops(loss):
    x, y = clouds(batch=(3,))
    each = [loss(0.3, tol=1e-10)(x[k], y[k]) for k in range(3)]
    torch.testing.assert_close(loss(0.3, tol=1e-10, reduction="none")(x, y), torch.stack(each))
    torch.testing.assert_close(loss(0.3, tol=1e-10)(x, y), torch.stack(each).mean())
    torch.testing.assert_close(loss(0.3, tol=1e-10, reduction="sum")(x, y), torch.stack(each).sum())
    weights = torch.rand(3, 6, dtype=torch.float64) + 0.1
    weights = weights / weights.sum(1, keepdim=True)
    weighted = loss(0.3, tol=1e-10, reduction="none")(x, y, weights)
    torch.testing.assert_close(weighted[1], loss(0.3, tol=1e-10)(x[1], y[1], weights[1]))


@pytest.mark.parametrize("loss", LOSSES)
def test_warm_starts_save_passes_and_change_nothing(loss):
    x, y = clouds(200, 150)
    passes = []

    class Counting(loss):
        def _solve(self, *arguments):
            result = super()._solve(*arguments)
            passes.append(result.n_iter)
            return result

    module = Counting(0.01, warm_start=True, tol=1e-9)
    first, second = module(x, y), module(x, y)
    assert passes[1] < passes[0]
    torch.testing.assert_close(first, second, rtol=1e-8, atol=1e-10)
    # Other sizes begin anew.
    module(x[:50], y)
    for other in (copy.deepcopy(module.eval()), module):
        assert not other.state_dict()
    assert pickle.loads(pickle.dumps(loss(0.1, warm_start=True))).reg == 0.1


@pytest.mark.parametrize("loss", LOSSES)
def test_autocast_and_half_precision(loss):
    x, y = clouds(dtype=torch.float32)
    layer = torch.nn.Linear(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(0.5)(layer(x), layer(y))
    assert value.dtype == torch.float32
    value.backward()
    assert torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_compiled_models_step_around_it(loss):
    x, y = clouds()
    module = loss(0.5)
    compiled = torch.compile(lambda x: module(x * 2, y), backend="eager")
    torch.testing.assert_close(compiled(x), module(x * 2, y))


def test_descent_moves_one_cloud_onto_the_other():
    x, y = clouds(40, 40)
    z = x.detach().clone().requires_grad_()
    loss = SinkhornDivergenceLoss(0.05, warm_start=True)
    before = loss(z, y).item()
    for _ in range(10):
        (slope,) = torch.autograd.grad(loss(z, y), z)
        z = (z - 0.5 * 40 * slope).detach().requires_grad_()
    assert loss(z, y).item() < 0.02 * before


def test_memory_of_the_way_back_is_that_of_the_points():
    """Nothing of size n m is saved for backward: 9 million pairs here."""
    x, y = clouds(3000, 3000, 3)
    saved = []

    def pack(tensor):
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = OTLoss(0.5, tol=1e-4)(x, y)
    value.backward()
    assert sum(saved) <= 2 * (x.numel() + y.numel())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: OTLoss()(x.detach().numpy(), y), TypeError, "x must be a torch tensor, not ndarray"),
        (lambda x, y: OTLoss()(x[0], y), ValueError, r"x has shape \(2,\); expected \(n, d\) or \(B, n, d\)"),
        (lambda x, y: OTLoss()(x[None], y), ValueError, "expected pairs of clouds"),
        (lambda x, y: OTLoss(reduction="max"), ValueError, "reduction='max' is unknown"),
        (lambda x, y: OTLoss(-1.0)(x, y), ValueError, "reg=-1.0"),
        (lambda x, y: OTLoss()(x, y.float().to(torch.int64)[:, :1]), ValueError, "coordinates"),
        (lambda x, y: OTLoss()(x * torch.nan, y), ValueError, "x"),
        (lambda x, y: SinkhornDivergenceLoss(ots.Quadratic(1.0))(x, y), (TypeError, ValueError), "reg"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(*clouds())


def test_repr_says_what_it_does():
    assert "reg=0.1" in repr(OTLoss(0.1))
    assert "unbalanced=2.0" in repr(SinkhornDivergenceLoss(0.1, unbalanced=2.0))
