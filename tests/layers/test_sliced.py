"""Sliced distances on the graph, and `SlicedWassersteinLoss`."""

import copy
import pickle

import numpy as np
import pytest

import ot_solvers as ots

torch = pytest.importorskip("torch")
from torch.autograd import gradcheck  # noqa: E402

from ot_solvers.layers.torch import SlicedWassersteinLoss  # noqa: E402


def clouds(n=20, m=15, d=3, batch=(), seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*batch, n, d, dtype=dtype, generator=generator)
    y = torch.randn(*batch, m, d, dtype=dtype, generator=generator) + 0.5
    return x.requires_grad_(), y.requires_grad_()


def unit(vectors):
    return vectors / vectors.norm(dim=1, keepdim=True)


@pytest.fixture
def directions():
    return unit(torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("p", [1.5, 2, 3])
@pytest.mark.parametrize("sizes", [(12, 12), (12, 9)])
def test_gradients_by_points_and_directions(sizes, p, directions):
    x, y = clouds(*sizes)
    turned = directions.clone().requires_grad_()

    def value(x, y, turned):
        return ots.sliced_wasserstein(x, y, p=p, directions=unit(turned)).value

    def each(x, y, turned):
        return (ots.sliced_wasserstein(x, y, p=p, directions=unit(turned)).per_direction ** 2).sum()

    assert gradcheck(value, (x, y, turned))
    assert gradcheck(each, (x, y, turned))


@pytest.mark.parametrize("p", [1, 2])
def test_gradients_by_weights(p, directions):
    x, y = (z.detach() for z in clouds())
    u, v = torch.randn(20, dtype=torch.float64), torch.randn(15, dtype=torch.float64)

    def value(u, v):
        a, b = torch.softmax(u, 0), torch.softmax(v, 0)
        return ots.sliced_wasserstein(x, y, 3 * a, 3 * b, p=p, directions=directions).value

    assert gradcheck(value, (u.requires_grad_(), v.requires_grad_()), eps=1e-7, atol=1e-5)


@pytest.mark.peer
def test_gradients_are_pots(directions):
    ot = pytest.importorskip("ot")
    x, y = clouds()
    a = torch.rand(20, dtype=torch.float64)
    a = a / a.sum()
    found = torch.autograd.grad(ots.sliced_wasserstein(x, y, a, directions=directions).value, (x, y))
    theirs = torch.autograd.grad(ot.sliced_wasserstein_distance(x, y, a, projections=directions.T), (x, y))
    torch.testing.assert_close(found, theirs, rtol=1e-10, atol=1e-12)


def test_kinks_have_subgradients(directions):
    x, _ = clouds()
    for p in (1, 2):
        (slope,) = torch.autograd.grad(ots.sliced_wasserstein(x, x.detach(), p=p, directions=directions).value, x)
        assert (slope == 0).all()


def test_control_variates_that_stay_on_the_graph():
    x, y = clouds()
    keywords = {"n_projections": 30, "seed": 0, "sampling": "random"}
    assert gradcheck(lambda x: ots.sliced_wasserstein(x, y, control_variate="harmonics", **keywords).value, (x,))
    with pytest.raises(TypeError, match="control_variate='moments' has no gradients"):
        ots.sliced_wasserstein(x, y, control_variate="moments", **keywords)


def test_more_directions_by_standard_error():
    x, y = clouds()
    found = ots.sliced_wasserstein(x, y, n_projections=8, standard_error=0.03, seed=0)
    assert found.n_projections > 8
    fixed = ots.sliced_wasserstein(x, y, directions=found.directions)
    torch.testing.assert_close(found.value, fixed.value)
    torch.testing.assert_close(*(torch.autograd.grad(one.value, x)[0] for one in (found, fixed)))


def test_max_sliced_by_the_envelope():
    x, y = clouds()
    move = torch.tensor([300.0, 0, 0], dtype=torch.float64)
    keywords = {"seed": 0, "tol": 1e-12, "on_failure": "ignore"}
    assert gradcheck(lambda x, y: ots.max_sliced_wasserstein(x + move, y, **keywords).value, (x, y))
    found = ots.max_sliced_wasserstein(x, y, seed=0)
    assert isinstance(pickle.loads(pickle.dumps(found)), ots.MaxSlicedDistance)


def test_lines():
    x, y = clouds(6, 5)
    u, v = torch.randn(6, dtype=torch.float64), torch.randn(5, dtype=torch.float64)

    def value(x, y, u, v):
        return ots.wasserstein_1d(x.T, y.T, torch.softmax(u, 0), torch.softmax(v, 0), p=3).value

    assert gradcheck(value, (x, y, u.requires_grad_(), v.requires_grad_()), eps=1e-7, atol=1e-5)
    assert gradcheck(lambda x, y: ots.wasserstein_1d(x[:, 0], y[:, 0]).cost, (x, y))
    found = ots.wasserstein_1d(x[:, 0], y[:, 0])
    with pytest.raises(TypeError, match="potentials of wasserstein_1d have no gradients"):
        found.potentials  # noqa: B018
    with torch.no_grad():
        assert ots.wasserstein_1d(x[:, 0], y[:, 0]).potentials[0].shape == (6,)
    assert float(pickle.loads(pickle.dumps(found))) == pytest.approx(float(found))


def test_plans_have_no_gradients():
    x, y = clouds()
    with pytest.raises(TypeError, match="x requires gradients"):
        ots.sliced_plan(x, y)


def test_first_derivatives_only(directions):
    x, y = clouds()
    (slope,) = torch.autograd.grad(ots.sliced_wasserstein(x, y, directions=directions).value, x, create_graph=True)
    with pytest.raises(ots.UnsupportedError, match="first derivatives only"):
        slope.sum().backward()


def test_the_loss_is_the_function_with_new_directions_each_time():
    x, y = clouds()
    loss = SlicedWassersteinLoss(2, 30, seed=5)
    generator = np.random.default_rng(5)
    for _ in range(2):
        assert loss(x, y) == ots.sliced_wasserstein(x, y, n_projections=30, seed=generator).value
    ahead = copy.deepcopy(loss)
    later = pickle.loads(pickle.dumps(loss))
    assert loss(x, y) == ahead(x, y) == later(x, y)
    assert "n_projections=30" in repr(loss)


def test_the_loss_with_its_own_directions(directions):
    x, y = clouds()
    loss = SlicedWassersteinLoss(directions=directions)
    assert loss(x, y) == loss(x, y) == ots.sliced_wasserstein(x, y, directions=directions).value
    assert "directions" in loss.state_dict()
    power = SlicedWassersteinLoss(directions=directions, power=True)
    assert power(x, y).item() == pytest.approx(loss(x, y).item() ** 2)
    with torch.no_grad():
        assert power(x, y).item() == pytest.approx(loss(x, y).item() ** 2)


def test_powers_have_no_kink(directions):
    x, _ = clouds()
    loss = SlicedWassersteinLoss(directions=directions, power=True)
    y = 2 * x.detach()
    assert gradcheck(lambda x: loss(x, y), (x,))
    assert loss(x, x.detach()) == 0


def test_batches_are_loops(directions):
    x, y = clouds(batch=(4,))
    a = torch.rand(4, 20, dtype=torch.float64)
    a = a / a.sum(1, keepdim=True)
    one = SlicedWassersteinLoss(directions=directions)
    each = torch.stack([one(x[k], y[k], a[k]) for k in range(4)])
    torch.testing.assert_close(SlicedWassersteinLoss(directions=directions, reduction="none")(x, y, a), each)
    torch.testing.assert_close(one(x, y, a), each.mean())
    torch.testing.assert_close(SlicedWassersteinLoss(directions=directions, reduction="sum")(x, y, a), each.sum())
    shared = SlicedWassersteinLoss(seed=0, reduction="none")(x, x.detach() + 1)
    assert shared.std() < 1e-9  # all pairs see the same directions


def test_float32_and_training():
    x, y = clouds(200, 150, dtype=torch.float32)
    x = x.detach().requires_grad_()
    loss = SlicedWassersteinLoss(2, 50, seed=0, power=True)
    optimizer = torch.optim.SGD([x], lr=100.0)
    before = loss(x, y.detach()).item()
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(x, y.detach())
        assert value.dtype == torch.float32
        value.backward()
        assert x.grad.dtype == torch.float32
        optimizer.step()
    assert loss(x, y.detach()).item() < 0.05 * before


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"reduction": "max"}, ValueError, "reduction='max' is unknown"),
        ({"n_projections": 0}, ValueError, "n_projections=0"),
        (
            {"n_projections": 3, "directions": torch.eye(2)},
            ValueError,
            "n_projections=3, but directions has 2 rows",
        ),
        ({"seed": 1.5}, TypeError, "seed=1.5"),
    ],
)
def test_bad_options_are_named(keywords, error, message):
    with pytest.raises(error, match=message):
        SlicedWassersteinLoss(**keywords)


def test_bad_tensors_are_named():
    x, y = clouds()
    loss = SlicedWassersteinLoss()
    with pytest.raises(TypeError, match="y must be a torch tensor, not ndarray"):
        loss(x, y.detach().numpy())
    with pytest.raises(ValueError, match="expected pairs of clouds"):
        loss(x[None], y)
    with pytest.raises(ValueError, match="directions has shape"):
        SlicedWassersteinLoss(directions=torch.eye(2))(x, y)
