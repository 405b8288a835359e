"""Entropic maps in PyTorch: derivatives by the points that are moved and by what the map was made of."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from checks import check_within, host
from problems import some_weights

import ot_solvers as ots
from ot_solvers import costs
from ot_solvers.maps import EntropicMap

torch = pytest.importorskip("torch")
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

TIGHT = {"tol": 1e-13, "max_iter": 100_000, "on_failure": "ignore"}
FIRST = {"atol": 1e-6, "rtol": 1e-5}
SECOND = {"atol": 1e-5, "rtol": 1e-4}
CUBE = costs.EuclideanPower(p=3.0)
#: (cost, projection)
MAPS = [
    (costs.SqEuclidean(), "twist"),
    (costs.SqEuclidean((0.5, 2.0)), "twist"),
    (CUBE, "twist"),
    (costs.EuclideanPower((0.5, 2.0), p=1.5), "twist"),
    (costs.Dot(), "twist"),
    (CUBE, "barycentric"),
    (costs.Euclidean(), "barycentric"),
    (costs.Sphere(), "barycentric"),
    (costs.Cosine(), "barycentric"),
]
each_map = pytest.mark.parametrize(("cost", "projection"), MAPS, ids=[f"{c}-{p}" for c, p in MAPS])
QUESTIONS = {
    "transform": lambda found, new: found.transform(new),
    "inverse": lambda found, new: found.inverse_transform(new),
    "potential": lambda found, new: found.potential(new),
    "potential of b": lambda found, new: found.potential(new, side="b"),
}


def unit(z):
    return z / (z * z).sum(-1, keepdims=True) ** 0.5


def samples(cost, n=6, m=5):
    rng = np.random.default_rng(3)
    x, y, new = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 0.3, rng.normal(size=(4, 2))
    if isinstance(cost, costs.Sphere):
        x, y, new = unit(x), unit(y), unit(new)
    return x, y, some_weights(rng, n), some_weights(rng, m), new


def leaves():
    """New points, samples, logits of weights and a strength, all with gradients."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()

    return (
        normal(2, 2),
        normal(5, 2),
        normal(4, 2),
        normal(5),
        normal(4),
        torch.tensor(0.7, dtype=torch.float64).requires_grad_(),
    )


# --- by the points that are moved -------------------------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS)
@each_map
def test_points(cost, projection, question):
    x, y, a, b, new = samples(cost)
    found = EntropicMap(ots.solve_sample(x, y, a, b, cost=cost, reg=0.5), projection=projection)
    ask = QUESTIONS[question]
    points = torch.tensor(new, requires_grad=True)
    answer = ask(found, points)
    check_within(answer, ask(found, new), 1e-12)

    def asked(z):
        return ask(found, unit(z) if isinstance(cost, costs.Sphere) else z)

    assert gradcheck(asked, (points,), **FIRST)
    assert gradgradcheck(asked, (points,), **SECOND)


@pytest.mark.parametrize(("cost", "projection"), [(c, p) for c, p in MAPS if p == "twist"], ids=str)
def test_images_undo_the_gradient_of_the_potential(cost, projection):
    x, y, a, b, new = samples(cost)
    found = EntropicMap(ots.solve_sample(x, y, a, b, cost=cost, reg=0.5))
    points = torch.tensor(new, requires_grad=True)
    (slope,) = torch.autograd.grad(found.potential(points).sum(), points)
    scale = 1.0 if getattr(cost, "weights", None) is None else np.sqrt(cost.weights)
    expected = cost.unprepare(cost.twist(cost.prepare(new), host(slope) / scale))
    check_within(found.transform(new), expected, 1e-11)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("projection", ["twist", "barycentric"])
def test_blocks(projection, question, monkeypatch):
    x, y, a, b, new = samples(CUBE)
    found = EntropicMap(ots.solve_sample(x, y, a, b, cost=CUBE, reg=0.5), projection=projection)
    points = torch.tensor(new, requires_grad=True)
    whole = QUESTIONS[question](found, points)
    (slope,) = torch.autograd.grad(whole.sin().sum(), points)
    monkeypatch.setattr("ot_solvers.layers.torch.conditional.BLOCK", 1)
    parts = QUESTIONS[question](found, points)
    check_within(parts, whole, 1e-14)
    check_within(torch.autograd.grad(parts.sin().sum(), points)[0], slope, 1e-13)
    assert gradgradcheck(lambda z: QUESTIONS[question](found, z), (points,), **SECOND)


@pytest.mark.parametrize(
    "masses", [{"unbalanced": 0.8}, {"unbalanced": (1.5, math.inf), "unbalanced_type": "tv"}, {"mass": 0.6}]
)
def test_other_masses(masses):
    x, y, a, b, new = samples(CUBE)
    found = EntropicMap(ots.solve_sample(x, y, a, b, cost=CUBE, reg=0.5, **masses))
    points = torch.tensor(new, requires_grad=True)
    for ask in QUESTIONS.values():
        check_within(ask(found, points), ask(found, new), 1e-12)
        assert gradcheck(lambda z, ask=ask: ask(found, z), (points,), **FIRST)


@pytest.mark.parametrize("far", [1e3, 1e9])
def test_far_points_have_finite_derivatives(far):
    x, y, a, b, new = samples(CUBE)
    for cost in (CUBE, "sqeuclidean"):
        found = EntropicMap(cost=cost, reg=1e-3, max_iter=100, on_failure="ignore").fit(x, y, a, b)
        points = torch.tensor(far * new, requires_grad=True)
        for answer in (found.transform(points), found.potential(points)):
            (slope,) = torch.autograd.grad(answer.sum(), points)
            assert bool(torch.isfinite(answer).all() and torch.isfinite(slope).all())


def test_a_loaded_map_is_differentiable(tmp_path):
    x, y, a, b, new = samples(CUBE)
    EntropicMap(cost=CUBE, reg=0.5).fit(x, y, a, b).save(tmp_path / "map.npz")
    found = ots.maps.load(tmp_path / "map.npz")
    assert gradcheck(found.transform, (torch.tensor(new, requires_grad=True),), **FIRST)


def test_dtypes():
    x, y, a, b, new = samples(CUBE)
    found = EntropicMap(ots.solve_sample(x, y, a, b, cost=CUBE, reg=0.5))
    for ask in QUESTIONS.values():
        for dtype, expected in (
            (torch.float64, torch.float64),
            (torch.float32, torch.float32),
            (torch.float16, torch.float32),
            (torch.bfloat16, torch.float32),
        ):
            points = torch.tensor(new, dtype=dtype, requires_grad=True)
            answer = ask(found, points)
            assert answer.dtype == expected and answer.requires_grad
            assert ask(found, points.detach()).dtype == expected
            (slope,) = torch.autograd.grad(answer.sum(), points)
            assert slope.dtype == dtype
    with torch.no_grad():
        assert not found.transform(torch.tensor(new, requires_grad=True)).requires_grad
    assert not found.transform(torch.tensor(new)).requires_grad


# --- by what the map was made of --------------------------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("unbalanced", [None, 1.0])
@pytest.mark.parametrize(("cost", "projection"), [("sqeuclidean", "auto"), (CUBE, "twist"), (CUBE, "barycentric")])
def test_samples(cost, projection, unbalanced, question):
    def asked(new, x, y, la, lb, reg):
        solution = ots.solve_sample(
            x, y, la.softmax(0), lb.softmax(0), cost=cost, reg=reg, unbalanced=unbalanced, **TIGHT
        )
        return QUESTIONS[question](EntropicMap(solution, projection=projection), new)

    assert gradcheck(asked, leaves(), **FIRST)


def test_fit_keeps_the_graph():
    new, x, y, la, lb, reg = leaves()

    def fitted(new, x, y, la, lb, reg):
        found = EntropicMap(cost=CUBE, reg=reg, **TIGHT).fit(x, y, 3 * la.softmax(0), 5 * lb.softmax(0))
        return found.transform(new)

    assert gradcheck(fitted, (new, x, y, la, lb, reg), **FIRST)
    found = EntropicMap(reg=0.5).fit(x, y)
    assert found.transform(host(new)).requires_grad  # never a silent detach, whatever the points come in
    assert found.transform([[0.0, 0.0]]).requires_grad
    assert found.inverse_transform(new.detach()).requires_grad
    with torch.no_grad():
        assert not found.transform(new).requires_grad
    assert math.isfinite(found.score(x, y))


def test_second_derivatives_by_samples_are_refused():
    new, x, y, *_ = leaves()
    found = EntropicMap(cost=CUBE, reg=0.5).fit(x, y)
    (slope,) = torch.autograd.grad(found.transform(new).sin().sum(), y, create_graph=True)
    with pytest.raises(ots.UnsupportedError, match="first derivatives only"):
        torch.autograd.grad(slope.sum(), y)


def test_second_derivatives_by_points_on_a_graph_of_samples():
    new, x, y, *_ = leaves()
    found = EntropicMap(cost=CUBE, reg=0.5).fit(x, y)
    assert gradgradcheck(found.transform, (new,), **SECOND)


def test_zero_weights_have_derivatives():
    """A target without weight has none in the images, and its weight has the derivative of a small one."""
    x, y, a, b, new = (torch.tensor(z) for z in samples(CUBE))
    b = b.clone()
    assert (b == 0).any()

    def moved(weights):
        return EntropicMap(cost=CUBE, reg=0.5, **TIGHT).fit(x, y, a, weights).transform(new).sin().sum()

    leaf = b.clone().requires_grad_()
    (slope,) = torch.autograd.grad(moved(leaf), leaf)
    dead = int(torch.nonzero(b == 0)[0])
    step = torch.zeros_like(b)
    step[dead] = 1e-6
    check_within(slope[dead], (moved(b + step) - moved(b)) / 1e-6, 1e-4)


def test_partial_transport_on_a_graph_is_refused():
    new, x, y, *_ = leaves()
    found = EntropicMap(ots.solve_sample(x, y, reg=0.5, mass=0.6))
    with pytest.raises(ots.UnsupportedError, match="partial transport"):
        found.transform(new)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda z: pickle.loads(pickle.dumps(z))])
def test_copies_are_numbers(again):
    new, x, y, *_ = leaves()
    found = EntropicMap(ots.solve_sample(x, y, cost=CUBE, reg=0.5))
    other = again(found)
    check_within(other.transform(new.detach()), found.transform(new), 1e-12)
    assert not other.transform(new.detach()).requires_grad


def test_grids_keep_the_graph():
    rng = np.random.default_rng(0)
    a = torch.tensor(rng.uniform(1, 2, (3, 2))).requires_grad_()
    b = torch.tensor(rng.uniform(1, 2, (3, 2)))
    new = torch.tensor([[0.3, 0.6], [1.4, 0.1]], dtype=torch.float64)

    def moved(a):
        solution = ots.solve_grid(a / a.sum(), b / b.sum(), reg=0.5, **TIGHT)
        return torch.cat([EntropicMap(solution).transform(new), EntropicMap(solution).inverse_transform(new)])

    assert gradcheck(moved, (a,), **FIRST)


class Quartic(costs.Cost):
    """``sum (x - y)**4 / 4``, without a kernel."""

    def pairwise(self, x, y, xp=np):
        return xp.sum((x[:, None, :] - y[None, :, :]) ** 4, axis=-1) / 4

    def gradient(self, x, y, c, xp=np):
        return (x[:, None, :] - y[None, :, :]) ** 3

    def twist(self, x, slope, xp=np):
        return x - xp.sign(slope) * xp.abs(slope) ** (1 / 3)


def test_a_cost_of_ones_own():
    x, y, a, b, new = samples(CUBE)
    found = EntropicMap(ots.solve_sample(x, y, a, b, cost=Quartic(), reg=0.5, backend="reference"))
    points = torch.tensor(new, requires_grad=True)
    check_within(found.transform(points), found.transform(new), 1e-12)
    assert gradcheck(found.transform, (points,), **FIRST)
    assert gradgradcheck(found.transform, (points,), **SECOND)
