"""Pairs of minibatches: optimal ones, drawn in the right frequencies, with torchcfm's interface."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

torch = pytest.importorskip("torch", reason="the layers need torch")

import ot_solvers as ots  # noqa: E402
import ot_solvers.layers.torch.sampling as module  # noqa: E402
from ot_solvers.layers.torch import OTPlanSampler  # noqa: E402

METHODS = ["exact", "sinkhorn", "unbalanced", "partial"]


def minibatches(*shapes, seed=0, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    return tuple(torch.from_numpy(rng.normal(size=shape)).to(dtype) for shape in shapes)


def best(x, y, metric="sqeuclidean"):
    C = cdist(x.flatten(1), y.flatten(1), metric)
    return C, linear_sum_assignment(C)[1]


# --- pairs of least cost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (50, 1), (64, 2), (33, 3, 4, 4), (128, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_to_one_is_optimal(shape, dtype):
    x, y = minibatches(shape, shape, dtype=dtype)
    C, expected = best(x, y)
    found = OTPlanSampler().assignment(x, y)
    assert sorted(found.tolist()) == list(range(shape[0]))
    rows = np.arange(shape[0])
    assert C[rows, found].sum() == pytest.approx(C[rows, expected].sum(), rel=1e-6)
    first, second = OTPlanSampler("sinkhorn").sample_assignment(x, y)
    assert first is x
    torch.testing.assert_close(second, y[found], rtol=0, atol=0)
    torch.testing.assert_close(OTPlanSampler().sample_plan_with_scipy(x, y)[1], second, rtol=0, atol=0)


@pytest.mark.parametrize("cost", ["euclidean", "cityblock", "chebyshev"])
@pytest.mark.parametrize("d", [2, 30])
def test_other_costs(cost, d):
    x, y = minibatches((40, d), (40, d))
    C, expected = best(x, y, cost)
    found = OTPlanSampler(cost=cost).assignment(x, y)
    assert C[np.arange(40), found].sum() == pytest.approx(C[np.arange(40), expected].sum(), rel=1e-9)


def test_large_minibatches_go_to_the_solvers(monkeypatch):
    x, y = minibatches((60, 2), (60, 2))
    paths = OTPlanSampler().assignment(x, y)
    monkeypatch.setattr(module, "PATHS", 10)
    torch.testing.assert_close(OTPlanSampler().assignment(x, y), paths)


def test_points_far_from_the_origin():
    """Products of such points have lost the digits of their distances."""
    x, y = minibatches((50, 64), (50, 64), dtype=torch.float32)
    shifted = OTPlanSampler().assignment(x + 1000, y + 1000)
    C, expected = best((x + 1000).double(), (y + 1000).double())
    cost = C[np.arange(50), shifted].sum()
    assert cost == pytest.approx(C[np.arange(50), expected].sum(), rel=1e-5)


def test_equal_points_are_paired():
    x = torch.zeros(20, 3)
    assert sorted(OTPlanSampler().assignment(x, x).tolist()) == list(range(20))


# --- plans -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(20, 20), (20, 30), (30, 20)])
def test_maps_are_plans_of_the_solvers(sizes):
    x, y = minibatches((sizes[0], 2), (sizes[1], 2))
    a, b = (np.full(k, 1 / k) for k in sizes)
    for method, keywords in {
        "exact": {},
        "sinkhorn": {"reg": 0.5},
        "unbalanced": {"reg": 0.5, "unbalanced": 2.0},
        "partial": {"reg": 0.5, "mass": 0.6},
    }.items():
        sampler = OTPlanSampler(method, 0.5, 2.0, mass=0.6 if method == "partial" else None)
        found = sampler.get_map(x, y)
        expected = ots.solve(cdist(x, y, "sqeuclidean"), **keywords)
        np.testing.assert_allclose(found.numpy(), expected.plan, atol=1e-6)
        if method in ("exact", "sinkhorn"):
            np.testing.assert_allclose(found.sum(1), a, atol=2e-6)
            np.testing.assert_allclose(found.sum(0), b, atol=2e-6)
        if method == "partial":
            assert float(found.sum()) == pytest.approx(0.6, rel=1e-6)


def test_normalised_costs_make_reg_relative():
    x, y = minibatches((25, 2), (25, 2))
    C = cdist(x, y, "sqeuclidean")
    for method, keywords in {"sinkhorn": {}, "unbalanced": {"unbalanced": 0.3}}.items():
        found = OTPlanSampler(method, 0.1, 0.3, True).get_map(100 * x, 100 * y)
        expected = ots.solve(C / C.max(), reg=0.1, **keywords).plan
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_draws_have_the_frequencies_of_the_plan(method):
    x, y = minibatches((6, 2), (5, 2))
    sampler = OTPlanSampler(method, 1.0, 1.0, seed=0)
    plan = sampler.get_map(x, y)
    plan = plan / plan.sum()
    count = 20_000
    i, j = sampler.sample_map(plan, count)
    seen = torch.zeros(6, 5, dtype=torch.float64).index_put_((i, j), torch.tensor(1.0).double(), accumulate=True)
    deviation = (seen / count - plan).abs() / (plan * (1 - plan) / count).clamp(min=1e-12).sqrt()
    assert float(deviation.max()) < 4.5
    assert not seen[plan == 0].any()


def test_draws_without_replacement_are_successive():
    """Two entries of masses 0.6, 0.3, 0.1: the first alone is drawn 0.6 times, the last is left out most often."""
    plan = torch.tensor([[0.6, 0.3, 0.1]])
    sampler = OTPlanSampler(seed=1)
    counts = torch.zeros(3)
    for _ in range(4000):
        _, j = sampler.sample_map(plan, 2, replace=False)
        assert j[0] != j[1]
        counts[j] += 1
    # 1 - P(not first) P(not second | ...): by hand.
    first = 0.6 + 0.3 * 0.6 / 0.7 + 0.1 * 0.6 / 0.9
    last = 0.1 + 0.6 * 0.1 / 0.4 + 0.3 * 0.1 / 0.7
    assert float(counts[0]) / 4000 == pytest.approx(first, abs=0.02)
    assert float(counts[2]) / 4000 == pytest.approx(last, abs=0.025)


def test_exact_pairs_with_and_without_replacement():
    x, y = minibatches((40, 2), (40, 2))
    sampler = OTPlanSampler("exact", seed=3)
    permutation = sampler.assignment(x, y)
    i, j = sampler.sample_indices(x, y)
    torch.testing.assert_close(j, permutation[i])
    assert len(set(i.tolist())) < 40
    i, j = sampler.sample_indices(x, y, replace=False)
    torch.testing.assert_close(j, permutation[i])
    assert sorted(i.tolist()) == list(range(40)) != i.tolist()


def test_no_plan_matrix_is_formed_for_equal_minibatches(monkeypatch):
    monkeypatch.setattr(module.api, "solve", None)
    monkeypatch.setattr(module._Plan, "dense", None)
    x, y = minibatches((30, 2), (30, 2))
    OTPlanSampler().sample_plan(x, y)


@pytest.mark.parametrize("method", METHODS)
def test_batches_are_one_by_one(method):
    x, y = minibatches((4, 12, 2, 2), (4, 12, 2, 2))
    sampler = OTPlanSampler(method, 2.0)
    plans = sampler.get_map(x, y, batched=True)
    for k in range(4):
        torch.testing.assert_close(plans[k], sampler.get_map(x[k], y[k]))
    first, second = sampler.sample_plan(x, y, batched=True)
    assert first.shape == second.shape == x.shape
    columns = sampler.assignment(x, y, batched=True)
    torch.testing.assert_close(columns[2], sampler.assignment(x[2], y[2]))
    _, paired = sampler.sample_assignment(x, y, batched=True)
    torch.testing.assert_close(paired[3], y[3][columns[3]])


# --- torchcfm's interface --------------------------------------------------------------------------------------


def test_arguments_have_the_order_of_torchcfm():
    names = list(inspect.signature(OTPlanSampler).parameters)
    assert names[:6] == ["method", "reg", "reg_m", "normalize_cost", "num_threads", "warn"]
    for method, expected in {
        "get_map": ["x0", "x1"],
        "sample_map": ["pi", "batch_size", "replace"],
        "sample_plan": ["x0", "x1", "replace"],
        "sample_plan_with_labels": ["x0", "x1", "y0", "y1", "replace"],
        "sample_plan_with_scipy": ["x0", "x1"],
        "sample_trajectory": ["X"],
    }.items():
        found = list(inspect.signature(getattr(OTPlanSampler, method)).parameters)[1:]
        assert found[: len(expected)] == expected


def test_labels_follow_their_points():
    x, y = minibatches((20, 2), (20, 2))
    sampler = OTPlanSampler(seed=0)
    x0, x1, y0, y1 = sampler.sample_plan_with_labels(x, y, torch.arange(20), 10 * torch.arange(20))
    torch.testing.assert_close(x0, x[y0])
    torch.testing.assert_close(x1, y[y1 // 10])
    assert sampler.sample_plan_with_labels(x, y)[2:] == (None, None)
    assert sampler.sample_plan_with_labels(x, y, None, torch.arange(20), False)[2] is None


def test_trajectories_follow_the_plans():
    rng = np.random.default_rng(0)
    start = torch.from_numpy(rng.normal(size=(15, 2)))
    X = torch.stack([start, start[rng.permutation(15)] + 10, start[rng.permutation(15)] + 20], dim=1)
    found = OTPlanSampler().sample_trajectory(X)
    torch.testing.assert_close(found, torch.stack([start, start + 10, start + 20], dim=1))
    entropic = OTPlanSampler("sinkhorn", 0.5, seed=0).sample_trajectory(X)
    assert entropic.shape == X.shape
    torch.testing.assert_close(entropic[:, 0], start)


def test_trajectories_have_the_frequencies_of_the_rows():
    x = torch.tensor([[0.0], [1.0]]).double()
    X = torch.stack([x, x], dim=1)
    plan = OTPlanSampler("sinkhorn", 1.0).get_map(x, x)
    sampler = OTPlanSampler("sinkhorn", 1.0, seed=0)
    stays = np.mean([float((sampler.sample_trajectory(X)[:, 1] == x).double().mean()) for _ in range(500)])
    assert stays == pytest.approx(float(2 * plan[0, 0]), abs=0.06)


# --- randomness, devices, graphs -------------------------------------------------------------------------------


def test_equal_seeds_draw_equal_pairs():
    x, y = minibatches((20, 2), (20, 2))
    first, second = (OTPlanSampler("sinkhorn", 1.0, seed=5) for _ in range(2))
    one, other = first.sample_indices(x, y), second.sample_indices(x, y)
    torch.testing.assert_close(one, other)
    assert not all(torch.equal(p, q) for p, q in zip(first.sample_indices(x, y), one))
    generator = torch.Generator().manual_seed(5)
    torch.testing.assert_close(OTPlanSampler("sinkhorn", 1.0, seed=generator).sample_indices(x, y), one)


def test_without_a_seed_torch_decides_and_numpy_is_left_alone():
    x, y = minibatches((20, 2), (20, 2))
    state = np.random.get_state()[1].copy()
    torch.manual_seed(3)
    one = OTPlanSampler().sample_indices(x, y)
    torch.manual_seed(3)
    torch.testing.assert_close(OTPlanSampler().sample_indices(x, y), one)
    assert (np.random.get_state()[1] == state).all()


def test_pairs_stay_on_their_graph_and_keep_their_type():
    x, y = minibatches((10, 2), (10, 2), dtype=torch.float16)
    x.requires_grad_()
    first, second = OTPlanSampler().sample_plan(x, y)
    assert first.dtype == second.dtype == torch.float16
    first.float().sum().backward()
    assert x.grad is not None
    assert OTPlanSampler("sinkhorn", 1.0).get_map(x, y).dtype == torch.float32


# --- what fails says so ----------------------------------------------------------------------------------------


def hopeless():
    """At this strength no iteration gets far within its limit; the plan of torchcfm would be uniform or NaN."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(1e3 * rng.random((40, 2))), torch.from_numpy(1e3 * rng.random((40, 2)))


def test_a_solve_that_fails_warns_with_its_status(monkeypatch):
    real = ots.solve
    monkeypatch.setattr(module.api, "solve", lambda C, **k: real(C, max_iter=2, **k))
    x, y = hopeless()
    with pytest.warns(
        ots.ConvergenceWarning, match=r"the plan did not converge: MAX_ITER after 2 .*normalize_cost"
    ):
        OTPlanSampler("sinkhorn", 0.01).sample_plan(x, y)
    with pytest.raises(ots.ConvergenceError, match="MAX_ITER") as caught:
        OTPlanSampler("sinkhorn", 0.01, on_failure="raise").get_map(x, y)
    assert caught.value.solution.status is ots.Status.MAX_ITER
    OTPlanSampler("sinkhorn", 0.01, warn=False).get_map(x, y)
    with pytest.warns(ots.ConvergenceWarning, match="2 of 2 plans did not converge; minibatch 0: MAX_ITER"):
        OTPlanSampler("sinkhorn", 0.01).get_map(torch.stack([x, x]), torch.stack([y, y]), batched=True)


def test_a_plan_without_mass_raises():
    """So far apart that nothing is worth moving: never a uniform plan instead."""
    x = torch.zeros(5, 1, dtype=torch.float64)
    with pytest.raises(ots.ConvergenceError, match="minibatch 0 of 1 is unusable, its mass is 0"):
        OTPlanSampler("unbalanced", 0.01, 0.01, warn=False).sample_plan(x, x + 1e4)


def test_small_reg_needs_no_uniform_plan():
    x, y = hopeless()
    plan = OTPlanSampler("sinkhorn", 1.0).get_map(x, y)
    np.testing.assert_allclose(plan.sum(0), 1 / 40, atol=1e-6)
    assert float(plan.max()) > 0.5 / 40


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: OTPlanSampler("exakt"), ValueError, "did you mean 'exact'"),
        (lambda x, y: OTPlanSampler("sinkhorn", reg=0.0), ValueError, "reg=0.0 must be positive"),
        (lambda x, y: OTPlanSampler(reg_m=-1.0), ValueError, "reg_m=-1.0 must be positive"),
        (lambda x, y: OTPlanSampler("partial", mass=1.5), ValueError, "mass=1.5 must be at most 1"),
        (lambda x, y: OTPlanSampler("exact", mass=0.5), ValueError, "method='partial' moves"),
        (lambda x, y: OTPlanSampler(on_failure="stop"), ValueError, "on_failure='stop' is unknown"),
        (lambda x, y: OTPlanSampler(seed=0.5), TypeError, "seed=0.5 must be an integer"),
        (lambda x, y: OTPlanSampler(cost="l2"), ValueError, "cost='l2' is unknown"),
        (lambda x, y: OTPlanSampler().assignment(x, y[:3]), ValueError, "equally many"),
        (lambda x, y: OTPlanSampler().get_map(x, y[:, :1]), ValueError, "x0 has 2 coordinates and x1 1"),
        (lambda x, y: OTPlanSampler().get_map(x, y.numpy()), TypeError, "x1=ndarray must be a torch.Tensor"),
        (lambda x, y: OTPlanSampler().get_map(x[:0], y), ValueError, r"x0 has shape \(0, 2\)"),
        (
            lambda x, y: OTPlanSampler().get_map(x, y * torch.nan),
            ValueError,
            r"x1\[0\] has a coordinate that is nan",
        ),
        (
            lambda x, y: OTPlanSampler().get_map(x[None], (y + torch.inf)[None], batched=True),
            ValueError,
            r"x1\[0, 0\] has a coordinate that is inf",
        ),
        (lambda x, y: OTPlanSampler().get_map(1e200 * x, y), ValueError, "the costs are not finite"),
        (
            lambda x, y: OTPlanSampler().get_map(x[:, 0], y, batched=True),
            ValueError,
            r"x0 has shape \(10,\); .*B, n",
        ),
        (
            lambda x, y: OTPlanSampler().get_map(x, y[:3], batched=True),
            ValueError,
            "x0 has 10 minibatches and x1 3",
        ),
        (lambda x, y: OTPlanSampler().sample_map(x[0], 3), ValueError, r"pi has shape \(2,\)"),
        (lambda x, y: OTPlanSampler().sample_map(-x.abs(), 3), ValueError, "pi must be finite"),
        (lambda x, y: OTPlanSampler().sample_map(x.abs(), 0), ValueError, "batch_size=0"),
        (lambda x, y: OTPlanSampler().sample_map(x.abs(), 99, False), ValueError, "only 20 entries"),
        (lambda x, y: OTPlanSampler().sample_trajectory(x[:, 0]), ValueError, r"X has shape \(10,\)"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(*minibatches((10, 2), (10, 2)))
