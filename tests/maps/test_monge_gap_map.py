"""`MongeGapMap`: what it learns, seeds, manners of scikit-learn, stopping and going on, bad input."""

from __future__ import annotations

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
from checks import check_library, check_same_bits, check_within

import ot_solvers as ots

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from ot_solvers.maps import MapHistory, MapProgress, MongeGapMap  # noqa: E402
from ot_solvers.maps.held_out import fit_seeds, hold_out  # noqa: E402
from ot_solvers.maps.history import FitStatus  # noqa: E402
from ot_solvers.maps.learning import estimator as module  # noqa: E402

#: A fit that takes a moment.
QUICK = {"hidden": (4,), "steps": 6, "batch_size": 16, "record_every": 2, "validate_every": 3}


@pytest.fixture
def samples(rng):
    """(x, y): 100 and 90 points of the plane."""
    return rng.normal(size=(100, 2)), rng.normal(size=(90, 2)) @ np.array([[1.0, 0.3], [0.3, 0.6]]) + 2.0


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def numbers(history):
    """All that a history says but for the time it took."""
    return [record._replace(seconds=0.0) for record in history]


def check_same_fit(found, wanted, x):
    assert numbers(found.history_) == numbers(wanted.history_)
    assert found.status_ is wanted.status_
    for one, other in zip(
        found.network_.state_dict().values(), wanted.network_.state_dict().values(), strict=True
    ):
        check_same_bits(one, other)
    check_same_bits(found.transform(x), wanted.transform(x))


class Noisy(nn.Module):
    """A module that draws random numbers while it learns, and has a buffer that changes."""

    def __init__(self, width=6):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, width), nn.BatchNorm1d(width), nn.GELU(), nn.Dropout(0.3), nn.Linear(width, 2)
        )

    def forward(self, x):
        return x + self.layers(x)


# --- what it learns -------------------------------------------------------------------------------------------


def gaussian_problem(n=4000):
    """(x, y, new, truth): samples of two Gaussians, and the optimal map at new points."""
    rng = np.random.default_rng(0)
    A = np.array([[1.5, 0.4], [0.4, 0.7]])
    x, y, new = rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) @ A + [2.0, -1.0], rng.normal(size=(2000, 2))
    return x, y, new, new @ A + [2.0, -1.0]


def unexplained(images, truth):
    """L2-UVP, in per cent."""
    return 100 * ((images - truth) ** 2).sum(1).mean() / truth.var(axis=0).sum()


@pytest.fixture(scope="module")
def two_ways():
    """A map between Gaussians that began at the identity, both ways, and its problem."""
    x, y, new, truth = gaussian_problem()
    options = {"hidden": (16,), "steps": 400, "batch_size": 256, "start": "identity", "both_ways": True}
    fitted = MongeGapMap(**options, learning_rate=2e-2, averaging=0.95, record_every=50, tol=1e-2)
    return fitted.fit(x, y), new, truth


def test_gaussians(two_ways):
    fitted, new, truth = two_ways
    assert unexplained(new, truth) > 100
    assert unexplained(fitted.transform(new), truth) <= 1.0
    assert fitted.status_ is fitted.inverse_status_ is FitStatus.COMPLETED
    assert fitted.n_features_in_ == 2 and fitted.reg_ > 0 and fitted.gap_reg_ > 0
    assert fitted.history_[-1].fit < 0.1 * abs(fitted.history_[0].fit)


def test_there_and_back(two_ways):
    fitted, new, truth = two_ways
    assert unexplained(fitted.inverse_transform(truth), new) <= 2.0
    assert unexplained(fitted.inverse_transform(fitted.transform(new)), new) <= 2.0


def test_scores(two_ways):
    fitted, new, truth = two_ways
    score = fitted.score(new[:300], truth[300:600])
    assert -0.2 < score <= 0
    assert score > -float(ots.sinkhorn_divergence(new[:300], truth[300:600], reg=0.05, reg_relative_to="mean"))


def test_the_gaussian_start_is_good_from_the_start():
    x, y, new, truth = gaussian_problem()
    fitted = MongeGapMap(hidden=(8,), steps=5, batch_size=128).fit(x, y)
    assert unexplained(fitted.transform(new), truth) <= 1.0
    assert (
        unexplained(
            MongeGapMap(hidden=(8,), steps=5, batch_size=128, start="identity").fit(x, y).transform(new), truth
        )
        > 50
    )


def test_the_gap_chooses_among_maps_that_fit():
    """The target is the source turned about: only the gap says that points need not move."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 2)), rng.normal(size=(400, 2))
    turning = nn.Linear(2, 2)
    with torch.no_grad():
        turning.weight.copy_(torch.tensor([[0.5, -0.87], [0.87, 0.5]]))
        turning.bias.zero_()
    options = {"network": turning, "steps": 150, "batch_size": 64, "learning_rate": 3e-2, "record_every": 50}
    with_gap = MongeGapMap(**options, strength=1.0).fit(x, y)
    without = MongeGapMap(**options, strength=0).fit(x, y)
    new = rng.normal(size=(200, 2))
    assert ((with_gap.transform(new) - new) ** 2).sum(1).mean() < 0.1
    assert ((without.transform(new) - new) ** 2).sum(1).mean() > 0.5
    assert without.history_.column("gap") == [] and with_gap.history_[0].gap > 0.5


@pytest.mark.parametrize(
    "fitting", ["energy", "sinkhorn", "sliced", "mmd", lambda z, y: (z.mean(0) - y.mean(0)).square().sum()]
)
def test_every_fitting_loss_moves_the_points_on(fitting, samples):
    x, y = samples
    options = {
        "hidden": (),
        "start": "identity",
        "steps": 60,
        "batch_size": 32,
        "learning_rate": 0.1,
        "averaging": 0.5,
    }
    fitted = MongeGapMap(**options, fitting=fitting, strength=0.0).fit(x, y)
    before, after = (np.linalg.norm(z.mean(0) - y.mean(0)) for z in (x, fitted.transform(x)))
    assert after < 0.25 * before


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "cityblock", ots.costs.PNorm(1.5)])
@pytest.mark.parametrize("estimator", ["auto", "exact", "entropic"])
def test_costs_and_estimators(cost, estimator, samples):
    fitted = MongeGapMap(cost, **QUICK, estimator=estimator).fit(*samples)
    assert fitted.status_ is FitStatus.COMPLETED and np.isfinite(fitted.transform(samples[0])).all()
    assert (fitted.gap_reg_ is None) == (estimator == "exact")


def test_inner_products_need_strengths_in_cost_units(samples):
    x, y = samples
    fitted = MongeGapMap("dot", **QUICK, fitting_reg=0.5, gap_reg=0.5).fit(x + 1, y)
    assert fitted.reg_ == fitted.gap_reg_ == 0.5 and np.isfinite(fitted.history_[-1].gap)
    with pytest.raises(
        ValueError, match=r"gap_reg: reg_relative_to='mean': the mean of the cost is -.*give reg in cost units"
    ):
        MongeGapMap("dot", **QUICK).fit(x + 1, y)


# --- the sphere -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["residual", nn.Linear(3, 3)])
def test_images_stay_on_the_sphere(network, rng):
    x, y = (unit(rng.normal(size=(60, 3)) + np.array(middle)) for middle in ([2, 0, 0], [0, 2, 0]))
    fitted = MongeGapMap("sphere", **QUICK, network=network).fit(x, y)
    check_within(np.linalg.norm(fitted.transform(unit(rng.normal(size=(20, 3)))), axis=1), np.ones(20), 1e-6)
    with pytest.raises(ValueError, match=r"cost='sphere' needs unit vectors, but x\[0\] has norm 2"):
        fitted.transform(2 * x)


def test_points_off_the_sphere_are_refused(rng):
    x = unit(rng.normal(size=(60, 3)))
    with pytest.raises(ValueError, match=r"cost='sphere' needs unit vectors, but x\["):
        MongeGapMap("sphere", **QUICK).fit(1.5 * x, x)
    with pytest.raises(ValueError, match=r"cost='sphere' needs unit vectors, but y\["):
        MongeGapMap("sphere", **QUICK).fit(x, 1.5 * x)


def test_a_turn_of_the_sphere_is_learned(rng):
    x = unit(rng.normal(size=(300, 3)) + np.array([3.0, 0, 0]))
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    options = {"hidden": (8,), "steps": 80, "batch_size": 64, "learning_rate": 3e-2, "averaging": 0.9}
    fitted = MongeGapMap("sphere", **options).fit(x, x[::-1] @ turn.T)
    angle = np.arccos(np.clip((fitted.transform(x) * (x @ turn.T)).sum(1), -1, 1))
    assert np.arccos(np.clip((x * (x @ turn.T)).sum(1), -1, 1)).mean() > 0.5
    assert angle.mean() < 0.15


# --- seeds and what must not change ---------------------------------------------------------------------------


@pytest.mark.parametrize("fitting", ["energy", "sliced"])
def test_equal_seeds_give_equal_maps_and_others_do_not(fitting, samples):
    first, again, other = (MongeGapMap(**QUICK, fitting=fitting, seed=seed).fit(*samples) for seed in (1, 1, 2))
    check_same_fit(first, again, samples[0])
    assert not np.array_equal(first.transform(samples[0]), other.transform(samples[0]))
    assert numbers(first.history_) != numbers(other.history_)


def test_fitting_again_begins_anew(samples):
    fitted = MongeGapMap(**QUICK)
    first = fitted.fit(*samples).transform(samples[0])
    check_same_bits(fitted.fit(*samples).transform(samples[0]), first)


@pytest.mark.parametrize("network", ["residual", Noisy()])
def test_global_random_numbers_are_left_alone(network, samples, tmp_path):
    torch.manual_seed(3)
    np.random.seed(3)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()
    # Also where a fit goes on from a file, and whatever a module draws.
    for _ in range(2):
        fitted = MongeGapMap(**QUICK, network=network, checkpoint=tmp_path / "fit.pt").fit(*samples)
    fitted.transform(samples[0])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(np.array_equal(one, other) for one, other in zip(np.random.get_state(), numpy_state))


def test_results_do_not_depend_on_global_random_numbers(samples):
    for network in ("residual", Noisy()):
        torch.manual_seed(1)
        first = MongeGapMap(**QUICK, network=network).fit(*samples)
        torch.manual_seed(2)
        check_same_fit(MongeGapMap(**QUICK, network=network).fit(*samples), first, samples[0])


def test_the_arrays_and_the_module_of_the_caller_are_left_alone(samples):
    network = Noisy()
    before = copy.deepcopy(network.state_dict())
    arrays = (*samples, np.full(100, 0.01), np.full(90, 1 / 90))
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    fitted = MongeGapMap(**QUICK, network=network).fit(*arrays)
    fitted.transform(arrays[0])
    assert network.training and fitted.network_ is not network and not fitted.network_.training
    for name, value in network.state_dict().items():
        check_same_bits(value, before[name])
    for array, kept in zip(arrays, copies):
        check_same_bits(array, kept)
    moved = fitted.network_.state_dict()
    assert any(not torch.equal(moved[name], before[name]) for name in before)


def test_looking_at_a_module_teaches_it_nothing(samples):
    """Running statistics count the steps, and no more."""
    fitted = MongeGapMap(**QUICK, network=Noisy()).fit(*samples)
    assert int(fitted.network_.layers[1].num_batches_tracked) == 6


# --- manners of scikit-learn ----------------------------------------------------------------------------------


def test_parameters():
    made = MongeGapMap("euclidean", steps=7, hidden=(3,))
    params = made.get_params()
    assert params["cost"] == "euclidean" and params["steps"] == 7 and params["hidden"] == (3,)
    assert made.set_params(steps=9, cost="dot") is made and made.steps == 9 and made.cost == "dot"
    assert MongeGapMap(**made.get_params()).get_params() == made.get_params()
    assert repr(made) == "MongeGapMap(cost='dot', hidden=(3,), steps=9)"
    with pytest.raises(ValueError, match=r"'step' is no option of MongeGapMap.*did you mean 'steps'"):
        made.set_params(step=3)


def test_clones(samples):
    base = pytest.importorskip("sklearn.base")
    fitted = MongeGapMap(**QUICK, network=Noisy()).fit(*samples)
    twin = base.clone(fitted)
    assert not hasattr(twin, "network_") and twin.network is not fitted.network
    assert {k: v for k, v in twin.get_params().items() if k != "network"} == {
        k: v for k, v in fitted.get_params().items() if k != "network"
    }
    check_same_fit(twin.fit(*samples), fitted, samples[0])


@pytest.mark.parametrize("double", [lambda z: pickle.loads(pickle.dumps(z)), copy.copy, copy.deepcopy])
def test_copies(double, samples):
    fitted = MongeGapMap(**QUICK, both_ways=True).fit(*samples)
    twin = double(fitted)
    check_same_fit(twin, fitted, samples[0])
    check_same_bits(twin.inverse_transform(samples[1]), fitted.inverse_transform(samples[1]))
    assert isinstance(twin.history_, MapHistory) and isinstance(twin.history_[0], MapProgress)


def test_fit_transform_and_two_ways_after_one(samples):
    fitted = MongeGapMap(**QUICK, both_ways=True)
    check_same_bits(fitted.fit_transform(*samples), fitted.transform(samples[0]))
    fitted.set_params(both_ways=False).fit(*samples)
    with pytest.raises(AttributeError, match="fit it with both_ways=True"):
        fitted.inverse_transform(samples[1])


def test_before_the_fit(samples):
    for call in ("transform", "inverse_transform", "plot", "save"):
        with pytest.raises(ots.NotFittedError, match=r"this MongeGapMap is not fitted yet"):
            getattr(MongeGapMap(both_ways=True), call)(samples[0])


# --- arrays ---------------------------------------------------------------------------------------------------


def test_libraries_and_dtypes_of_the_caller(samples):
    jax = pytest.importorskip("jax")
    x, y = samples
    fitted = MongeGapMap(**QUICK).fit(x, y)
    wanted = fitted.transform(x)
    assert wanted.dtype == np.float64
    for array in (
        torch.as_tensor(x), torch.as_tensor(x, dtype=torch.float32), x.astype(np.float32), jax.numpy.asarray(x),
    ):  # fmt: skip
        moved = fitted.transform(array)
        check_library(moved, array)
        check_within(np.asarray(moved), wanted, 1e-5)
    integers = (10 * x).astype(int)
    assert fitted.transform(integers).dtype == np.float64
    assert fitted.transform(torch.as_tensor(integers)).dtype == torch.float32
    assert isinstance(fitted.transform(x.tolist()), np.ndarray)
    check_same_bits(fitted.transform(np.asfortranarray(x)), wanted)
    check_within(fitted.transform(x[::-1])[::-1], wanted, 1e-6)


def test_tensors_to_fit(samples):
    tensors = tuple(torch.as_tensor(z) for z in samples)
    check_same_fit(MongeGapMap(**QUICK).fit(*tensors), MongeGapMap(**QUICK).fit(*samples), samples[0])
    with pytest.raises(TypeError, match=r"x requires gradients"):
        MongeGapMap(**QUICK).fit(tensors[0].clone().requires_grad_(), tensors[1])
    with pytest.raises(TypeError, match=r"x is a torch array and y a numpy array"):
        MongeGapMap(**QUICK).fit(tensors[0], samples[1])


@pytest.mark.parametrize("validation", [0.0, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_memory_layout_to_fit(dtype, validation, samples):
    x, y = samples
    options = QUICK | {"validation": validation, "dtype": dtype}
    wanted = MongeGapMap(**options).fit(x, y)
    turned, wide = x[::-1].copy()[::-1], np.repeat(y, 2, axis=1)[:, ::2]
    assert turned.strides[0] < 0 and not wide.flags.c_contiguous
    for array in (turned, wide):
        array.setflags(write=False)
    check_same_fit(MongeGapMap(**options).fit(turned, wide), wanted, x)


def test_gradients_through_the_map(samples):
    fitted = MongeGapMap(**QUICK, dtype="float64").fit(*samples)
    x = torch.as_tensor(samples[0][:5]).requires_grad_()
    assert torch.autograd.gradcheck(fitted.transform, (x,))
    assert not fitted.transform(x.detach()).requires_grad
    with torch.no_grad():
        assert not fitted.transform(x).requires_grad
    assert all(parameter.grad is None for parameter in fitted.network_.parameters())


def test_many_rows_are_moved_in_parts(samples, monkeypatch):
    fitted = MongeGapMap(**QUICK).fit(*samples)
    wanted = fitted.transform(samples[0])
    monkeypatch.setattr(module, "ROWS", 7)
    check_within(fitted.transform(samples[0]), wanted, 1e-6)
    check_within(fitted.transform(torch.as_tensor(samples[0])), wanted, 1e-6)


# --- weights --------------------------------------------------------------------------------------------------


def test_points_of_weight_zero_are_never_drawn(samples):
    """Points far off that a single draw of would show."""
    x, y = (z.copy() for z in samples)
    a, b = np.ones(100), np.ones(90)
    x[::3], a[::3] = 1e6, 0.0
    y[::4], b[::4] = -1e6, 0.0
    seen = []

    def loss(images, targets):
        seen.append(float(targets.abs().max()))
        return (images.mean(0) - targets.mean(0)).square().sum()

    options = QUICK | {"steps": 30, "validate_every": 5}
    fitted = MongeGapMap(**options, fitting=loss, strength=0.0).fit(x, y, a, b)
    assert fitted.status_ is FitStatus.COMPLETED and max(seen) < 10
    live = a > 0
    assert np.abs(fitted.transform(x[live])).max() < 10


def test_weights_say_how_often(samples):
    """Nearly all of the target is one point."""
    x, y = samples
    b = np.full(90, 1e-6)
    b[7] = 1.0
    options = {
        "hidden": (),
        "start": "identity",
        "steps": 80,
        "batch_size": 16,
        "learning_rate": 0.1,
        "averaging": 0.5,
    }
    fitted = MongeGapMap(**options, fitting="energy", strength=0.0).fit(x, y, None, 5 * b)
    assert np.linalg.norm(fitted.transform(x).mean(0) - y[7]) < 0.2 < np.linalg.norm(y.mean(0) - y[7])


def test_heavy_points_are_not_held_out(samples):
    """What is held out is missing in training: one point cannot be, that is a third of the target."""
    x, y = samples
    b = np.ones(90)
    b[7], b[3] = 25.0, 0.0
    for seed in range(20):
        split = hold_out(y, y, None, b / b.sum(), 0.2, seed)
        kept, held, masses = split.y, split.held_y, split.b
        assert len(held) == 18 and len(kept) == len(masses) < 90
        assert not (held == y[3]).all(1).any()
        heavy = (kept == y[7]).all(1)
        check_within(masses[heavy].sum(), 25 / 113, 1e-12)
        check_within(masses.sum(), 1.0, 1e-12)
        assert 3 <= (held == y[7]).all(1).sum() <= 4
        # All others are on one side.
        light = held[~(held == y[7]).all(1)]
        assert not (light[:, None] == kept[masses > 0]).all(-1).any()


def test_what_is_held_out_is_distributed_as_the_weights_say(rng):
    y = np.arange(400.0)[:, None]
    b = np.linspace(0.2, 1.8, 400)
    b /= b.sum()
    splits = [hold_out(y, y, None, b, 0.25, seed) for seed in range(60)]
    means, trained = [split.held_y.mean() for split in splits], [split.b @ split.y[:, 0] for split in splits]
    for found in (means, trained):
        check_within(np.mean(found), b @ y[:, 0], 4 * np.std(found) / 60**0.5)
    assert b @ y[:, 0] - y.mean() > 20 * np.std(means) / 60**0.5


# --- validation, patience, schedules, averaging ---------------------------------------------------------------


def test_patience_keeps_the_best_parameters(samples):
    """The loss that is watched falls, then rises: the map of its lowest point is the one to use."""
    x, _ = samples
    network = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.eye(2))

    def loss(images, targets):
        # On minibatches, ever larger images are better; on the points held out, those of one size are.
        size = images.square().mean()
        return -size if len(images) == 16 else (size - 4.0).square()

    options = {"steps": 400, "batch_size": 16, "learning_rate": 2e-2, "schedule": "constant", "record_every": 100}
    fitted = MongeGapMap(
        network=network, fitting=loss, strength=0.0, averaging=0.0, validate_every=1, patience=3, **options
    ).fit(x, x + 1)  # fmt: skip
    assert fitted.status_ is FitStatus.EARLY_STOPPED
    losses = fitted.history_.column("validation_loss")
    assert len(losses) == len(fitted.history_) < 400
    assert int(np.argmin(losses)) == len(losses) - 4 > 5
    held = hold_out(x, x + 1, None, None, 0.1, fit_seeds(0)[0]).held_x
    best = (np.mean(fitted.transform(held) ** 2) - 4.0) ** 2
    assert best == pytest.approx(min(losses), rel=1e-4)


def test_without_patience_the_last_parameters_are_used(samples):
    whole = MongeGapMap(**QUICK).fit(*samples)
    assert whole.status_ is FitStatus.COMPLETED
    assert [record.step for record in whole.history_ if record.validation_fit is not None] == [3, 6]
    assert [record.step for record in whole.history_] == [1, 3, 5, 6]
    silent = MongeGapMap(**QUICK, validation=0.0).fit(*samples)
    assert silent.history_.column("validation_loss") == []


def test_schedules(samples):
    falling = MongeGapMap(**(QUICK | {"record_every": 1})).fit(*samples).history_
    rates = [3e-3 * 0.5 * (1 + math.cos(math.pi * k / 6)) for k in range(6)]
    check_within(np.array(falling.column("learning_rate")), np.array(rates), 1e-12)
    check_within(np.array(falling.column("strength")), 0.01 ** (np.arange(6) / 6), 1e-12)
    flat = MongeGapMap(**(QUICK | {"record_every": 1}), schedule="constant", strength=lambda k: 2.0 * k).fit(
        *samples
    )
    assert flat.history_.column("learning_rate") == [3e-3] * 6
    assert flat.history_.column("strength") == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    records = flat.history_
    assert records[3].loss == pytest.approx(records[3].fit + 6.0 * records[3].gap)


def test_averages_of_parameters(samples):
    """The moving average, computed again from the parameters of every step."""
    tracked = []

    class Watched(nn.Linear):
        def forward(self, x):
            if self.training:
                tracked.append(self.weight.detach().clone())
            return super().forward(x)

    network = Watched(2, 2)
    options = {"steps": 30, "batch_size": 16, "learning_rate": 0.1, "network": network, "schedule": "constant"}
    smooth = MongeGapMap(**options, averaging=0.9).fit(*samples).network_.weight.detach()
    before = list(tracked)
    tracked.clear()
    rough = MongeGapMap(**options, averaging=0.0).fit(*samples).network_.weight.detach()
    assert len(before) == len(tracked) == 30
    average = before[0]
    for k, weight in enumerate([*before[1:], rough]):
        decay = min(0.9, (1 + k) / (10 + k))
        average = decay * average + (1 - decay) * weight
    torch.testing.assert_close(smooth, average)
    assert not torch.equal(smooth, rough)


# --- stopping and going on ------------------------------------------------------------------------------------

VARIANTS = {
    "plain": {"averaging": 0.0, "validation": 0.0},
    "averaging": {"averaging": 0.9, "validation": 0.0},
    "validation": {"averaging": 0.9, "validation": 0.2},
    "patience": {"averaging": 0.0, "validation": 0.2, "patience": 100},
    "both ways": {"averaging": 0.9, "validation": 0.2, "both_ways": True},
    "debiased": {"gap_reg": 0.5, "estimator": "debiased", "fitting": "sinkhorn"},
    "sliced": {"fitting": "sliced", "strength": 0.0},
}


@pytest.mark.parametrize("variant", [*VARIANTS, "random module", "weights"])
@pytest.mark.parametrize("stop", [4, 5])
def test_a_stopped_fit_goes_on_bit_for_bit(variant, stop, samples, tmp_path):
    options = QUICK | {"steps": 9, "record_every": 1} | VARIANTS.get(variant, {})
    masses = (np.linspace(0, 1, 100), np.linspace(1, 0, 90)) if variant == "weights" else (None, None)
    if variant == "random module":
        options["network"] = Noisy()
    whole = MongeGapMap(**options).fit(*samples, *masses)
    path = tmp_path / "fit.pt"
    parts = MongeGapMap(**options, checkpoint=path, callback=lambda progress: progress.step == stop)
    parts.fit(*samples, *masses)
    assert parts.status_ is FitStatus.STOPPED_BY_CALLBACK and len(parts.history_) == stop
    assert path.exists()
    # Another process knows nothing but the file.
    fresh = MongeGapMap(**options, checkpoint=path).fit(*samples, *masses)
    check_same_fit(fresh, whole, samples[0])
    if variant == "both ways":
        assert (tmp_path / "fit.pt.inverse").exists() and len(parts.inverse_history_) == stop
        assert numbers(fresh.inverse_history_) == numbers(whole.inverse_history_)
        check_same_bits(fresh.inverse_transform(samples[1]), whole.inverse_transform(samples[1]))
    assert fresh.history_[-1].seconds >= fresh.history_[stop - 1].seconds > 0


class Leaning(ots.costs.Cost):
    """A cost of the caller's, without a text of its own."""

    name = "leaning"

    def __init__(self, slope):
        self.slope = slope

    def pairwise(self, x, y, xp=np):
        return self.slope * ((x[..., :, None, :] - y[..., None, :, :]) ** 2).sum(-1)

    def gradient(self, x, y, c, xp=np):
        return 2 * self.slope * (x[..., :, None, :] - y[..., None, :, :])


@pytest.mark.filterwarnings("ignore::ot_solvers.PerformanceWarning")
def test_costs_of_the_caller_are_known_by_what_they_hold(samples, tmp_path):
    options = QUICK | {"checkpoint": tmp_path / "fit.pt", "steps": 3, "fitting": "mmd", "estimator": "exact"}
    MongeGapMap(Leaning(2.0), **options).fit(*samples)
    MongeGapMap(Leaning(2.0), **options).fit(*samples)
    with pytest.raises(ValueError, match=r"belongs to a fit with cost=Leaning\({'slope': 2.0}\), not Leaning"):
        MongeGapMap(Leaning(3.0), **options).fit(*samples)


def test_a_finished_fit_is_read_and_not_done_again(samples, tmp_path):
    options = QUICK | {"checkpoint": tmp_path / "fit.pt"}
    first = MongeGapMap(**options).fit(*samples)
    calls = []
    second = MongeGapMap(**options, callback=calls.append).fit(*samples)
    assert calls == [] and second.status_ is FitStatus.COMPLETED
    check_same_fit(second, first, samples[0])


def test_a_fit_out_of_patience_stays_so(samples, tmp_path):
    """Going on would take steps that nobody asked for."""
    options = QUICK | {"steps": 300, "validate_every": 1, "record_every": 50, "checkpoint": tmp_path / "fit.pt"}
    first = MongeGapMap(**options, patience=1, learning_rate=0.5, strength=0.0).fit(*samples)
    assert first.status_ is FitStatus.EARLY_STOPPED
    check_same_fit(
        MongeGapMap(**options, patience=1, learning_rate=0.5, strength=0.0).fit(*samples), first, samples[0]
    )


def test_an_error_in_a_callback_leaves_something_to_use(samples):
    def fail(progress):
        if progress.step >= 3:
            raise RuntimeError("disk full")

    fitted = MongeGapMap(**QUICK, callback=fail)
    with pytest.raises(RuntimeError, match="disk full"):
        fitted.fit(*samples)
    assert len(fitted.history_) == 2 and not fitted.network_.training
    assert np.isfinite(fitted.transform(samples[0])).all()
    # How an earlier fit ended says nothing about this one.
    fitted.set_params(callback=None).fit(*samples)
    assert fitted.status_ is FitStatus.COMPLETED
    with pytest.raises(RuntimeError, match="disk full"):
        fitted.set_params(callback=fail).fit(*samples)
    assert not hasattr(fitted, "status_")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 8}, r"belongs to a fit with steps=6, not 8"),
        ({"seed": 1}, r"belongs to a fit with seed=0, not 1"),
        ({"cost": "euclidean"}, r"belongs to a fit with cost='sqeuclidean', not 'euclidean'"),
        ({"strength": 0.5}, r"belongs to a fit with strength='auto', not 0.5"),
        ({"fitting": len}, r"belongs to a fit with fitting='energy', not len"),
        ({"hidden": (5,)}, r"belongs to a fit with hidden=\(4,\), not \(5,\)"),
    ],
)
def test_checkpoints_of_other_options(options, message, samples, tmp_path):
    path = tmp_path / "fit.pt"
    MongeGapMap(**QUICK, checkpoint=path).fit(*samples)
    with pytest.raises(ValueError, match=message):
        MongeGapMap(**(QUICK | options), checkpoint=path).fit(*samples)


def test_checkpoints_of_other_points_and_modules(samples, tmp_path):
    x, y = samples
    path = tmp_path / "fit.pt"
    MongeGapMap(**QUICK, checkpoint=path).fit(x, y)
    for arrays in ((x + 1e-9, y), (x, y[:-1]), (x, y, np.ones(100)), (y, x)):
        with pytest.raises(
            ValueError, match=r"belongs to a fit with other points; remove it, or choose another file"
        ):
            MongeGapMap(**QUICK, checkpoint=path).fit(*arrays)
    own = tmp_path / "own.pt"
    MongeGapMap(**QUICK, network=Noisy(6), checkpoint=own).fit(x, y)
    with pytest.raises(ValueError, match=r"belongs to a fit with shapes of parameters="):
        MongeGapMap(**QUICK, network=Noisy(7), checkpoint=own).fit(x, y)
    own.write_bytes(b"rubbish")
    with pytest.raises(ValueError, match=r"checkpoint='.*own\.pt' is no checkpoint of a map"):
        MongeGapMap(**QUICK, network=Noisy(6), checkpoint=own).fit(x, y)


# --- training that diverges -----------------------------------------------------------------------------------


def check_diverged(options, samples):
    with pytest.warns(ots.ConvergenceWarning, match=r"DIVERGED: losses became infinite.*smaller learning_rate"):
        fitted = MongeGapMap(**options).fit(*samples)
    assert fitted.status_ is FitStatus.DIVERGED
    assert np.isfinite(fitted.transform(samples[0])).all() and not fitted.network_.training
    with pytest.raises(ots.ConvergenceError, match="DIVERGED"):
        MongeGapMap(**options, on_failure="raise").fit(*samples)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silent = MongeGapMap(**options, on_failure="ignore").fit(*samples)
    check_same_bits(silent.transform(samples[0]), fitted.transform(samples[0]))
    return fitted


def test_steps_that_are_far_too_large(samples):
    options = QUICK | {"steps": 40, "record_every": 1, "learning_rate": 1e6, "schedule": "constant"}
    fitted = check_diverged(options, samples)
    # The last good ones are those before the first step.
    start = MongeGapMap(**(options | {"learning_rate": 1e-30, "steps": 1}), averaging=0.0).fit(*samples)
    check_within(fitted.transform(samples[0]), start.transform(samples[0]), 1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_losses_that_become_infinite(bad, validation, samples):
    calls = []

    def loss(images, targets):
        calls.append(1)
        value = (images.mean(0) - targets.mean(0)).square().sum()
        return value * bad if len(calls) % 12 == 9 else value

    options = QUICK | {
        "steps": 11,
        "validate_every": 50,
        "validation": validation,
        "fitting": loss,
        "strength": 0.0,
    }
    with pytest.warns(ots.ConvergenceWarning, match="DIVERGED"):
        fitted = MongeGapMap(**options).fit(*samples)
    assert fitted.status_ is FitStatus.DIVERGED and np.isfinite(fitted.transform(samples[0])).all()
    assert len(fitted.history_) == 4 and all(map(math.isfinite, fitted.history_.column("fit")))


class Broken(nn.Module):
    """Finite images; derivatives that are not, from the given pass on."""

    def __init__(self, after):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.after, self.passes = after, 0

    def forward(self, x):
        if self.training:
            self.passes += 1
        moved = x * self.weight
        if self.training and self.passes >= self.after:
            moved.register_hook(lambda slope: slope * math.nan)
        return moved


@pytest.mark.parametrize("after", [1, 3, 6])
@pytest.mark.parametrize("validation", [0.0, 0.2])
@pytest.mark.parametrize("patience", [None, 10])
def test_derivatives_of_a_module_that_are_not_finite(after, validation, patience, samples):
    """In the first step, in between, and in the last one, that no later step sees."""
    if patience is not None and not validation:
        return
    options = QUICK | {"validation": validation, "record_every": 1, "validate_every": 1, "patience": patience}
    with pytest.warns(ots.ConvergenceWarning, match="DIVERGED"):
        fitted = MongeGapMap(**options, network=Broken(after)).fit(*samples)
    assert fitted.status_ is FitStatus.DIVERGED
    assert np.isfinite(fitted.transform(samples[0])).all()


# --- progress -------------------------------------------------------------------------------------------------


def test_a_progress_bar(samples, capsys):
    pytest.importorskip("rich")
    MongeGapMap(**QUICK, progress=True).fit(*samples)
    text = capsys.readouterr().out
    assert "6/6" in text and "fit" in text and "gap" in text
    MongeGapMap(**QUICK).fit(*samples)
    assert capsys.readouterr() == ("", "")


def test_a_progress_bar_without_rich(samples, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rich.progress", None)
    with pytest.raises(ImportError, match=r"progress=True needs rich: pip install"):
        MongeGapMap(**QUICK, progress=True).fit(*samples)


def test_callbacks_see_the_records(samples):
    seen = []
    fitted = MongeGapMap(**QUICK, callback=seen.append).fit(*samples)
    assert seen == list(fitted.history_) and all(record.steps == 6 for record in seen)
    assert all(math.isfinite(record.fit) and math.isfinite(record.gap) for record in seen)


def test_histories():
    record = MapProgress(1, 2, 3.0, 0.5, 2.0, 1e-3, None, None, 0.1)
    held = record._replace(step=2, gap=None, validation_fit=4.0, validation_gap=0.25)
    history = MapHistory([record, held])
    assert (
        record.loss == 4.0 and record.validation_loss is None and held.loss == 3.0 and held.validation_loss == 4.5
    )
    assert history.column("gap") == [0.5] and history.column("validation_loss") == [4.5]
    with pytest.raises(ValueError, match=r"name='loses' is unknown; expected one of"):
        history.column("loses")


def test_pictures(samples):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    x, y = samples
    fitted = MongeGapMap(**QUICK).fit(x, y)
    labels = [line.get_label() for line in fitted.plot().axes[0].get_lines()]
    assert labels == ["fit", "gap", "validation: fit", "validation: gap"]
    axes = pyplot.subplots()[1]
    assert fitted.plot(x, y, axes) is axes.figure
    arrows = next(part for part in axes.collections if type(part).__name__ == "Quiver")
    check_within(np.stack([arrows.U, arrows.V], axis=1), fitted.transform(x) - x, 1e-9)
    with pytest.raises(ValueError, match=r"arrows need at least two coordinates"):
        MongeGapMap(**QUICK).fit(x[:, :1], y[:, :1]).plot(x[:, :1])
    pyplot.close("all")


class Steep(ots.costs.Cost):
    """A cost that says nothing about its slopes."""

    name = "steep"

    def pairwise(self, x, y, xp=np):
        return ((x[..., :, None, :] - y[..., None, :, :]) ** 4).sum(-1)


# --- bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cost": "sqeuc"}, ValueError, r"cost='sqeuc' is unknown; .*did you mean 'sqeuclidean'"),
        ({"cost": Steep()}, ValueError, r"cost=.*has no gradient, which training needs"),
        ({"network": "mlp"}, TypeError, r"network='mlp' must be 'residual' or a torch.nn.Module"),
        ({"network": nn.Linear}, TypeError, r"network=<class .*Linear'> must be 'residual'"),
        ({"network": np.zeros(2)}, TypeError, r"network=array\(\[0., 0.\]\) must be 'residual'"),
        ({"network": nn.Linear(2, 3)}, ValueError, r"network maps points of shape \(4, 2\) to \(4, 3\)"),
        ({"network": nn.Linear(3, 3)}, ValueError, r"network does not take points of shape \(4, 2\)"),
        ({"network": nn.Identity()}, ValueError, r"network has no parameters to train"),
        ({"network": nn.Linear(2, 2).requires_grad_(False)}, ValueError, r"network has no parameters to train"),
        ({"network": nn.LSTM(2, 2)}, ValueError, r"network maps points of shape \(4, 2\) to tuple"),
        ({"hidden": 8}, TypeError, r"hidden=8 must be a sequence of integers"),
        ({"hidden": "8"}, TypeError, r"hidden='8' must be a sequence of integers"),
        ({"hidden": (0,)}, ValueError, r"hidden=0 must be at least 1"),
        ({"activation": "gleu"}, ValueError, r"activation='gleu' is unknown; .*did you mean 'gelu'"),
        ({"start": "middle"}, ValueError, r"start='middle' is unknown"),
        ({"fitting": "sinkorn"}, ValueError, r"fitting='sinkorn' is unknown; .*did you mean 'sinkhorn'"),
        ({"fitting": 3}, ValueError, r"fitting=3 is unknown"),
        ({"fitting_reg": 0}, ValueError, r"fitting_reg: reg=0 asks for exact transport"),
        ({"fitting_reg": -1.0}, ValueError, r"fitting_reg: reg=-1.0 must be positive"),
        ({"fitting_reg": "small"}, TypeError, r"fitting_reg: reg='small' must be a positive number"),
        ({"strength": -1}, ValueError, r"strength=-1.0 must be finite and not negative"),
        ({"strength": "a"}, ValueError, r"strength='a' is unknown; expected one of \['auto'\]"),
        ({"strength": (1.0,)}, ValueError, r"strength=\(1.0,\) must be a number, a pair"),
        ({"strength": (0, 1)}, ValueError, r"strength=0 must be positive and finite"),
        ({"strength": lambda k: math.nan}, ValueError, r"strength=nan must be finite"),
        ({"gap_reg": -1.0}, ValueError, r"gap_reg: reg=-1.0 must be positive"),
        (
            {"gap_reg": None, "estimator": "debiased"},
            ValueError,
            r"gap_reg: estimator='debiased' needs a positive",
        ),
        ({"gap_reg": 0, "estimator": "entropic"}, ValueError, r"gap_reg: estimator='entropic' needs a positive"),
        ({"estimator": "exakt"}, ValueError, r"estimator='exakt' is unknown"),
        ({"batch_size": 1}, ValueError, r"batch_size=1 must be at least 2"),
        (
            {"batch_size": 82},
            ValueError,
            r"batch_size=82 is more than the 81 points of y to train on \(90, less 9",
        ),
        ({"steps": 0}, ValueError, r"steps=0 must be at least 1"),
        ({"steps": 2.5}, TypeError, r"steps=2.5 is not an integer"),
        ({"learning_rate": 0}, ValueError, r"learning_rate=0 must be positive and finite"),
        ({"learning_rate": math.nan}, ValueError, r"learning_rate=nan must be positive and finite"),
        ({"schedule": "steep"}, ValueError, r"schedule='steep' is unknown"),
        ({"averaging": 1.0}, ValueError, r"averaging=1.0 must be in \[0, 1\)"),
        ({"validation": -0.1}, ValueError, r"validation=-0.1 must be in \[0, 1\)"),
        (
            {"validation": 0.99},
            ValueError,
            r"x has 1 points to train on \(100, less 99 held out\); expected at least 2",
        ),
        ({"validate_every": 0}, ValueError, r"validate_every=0 must be at least 1"),
        ({"record_every": 0}, ValueError, r"record_every=0 must be at least 1"),
        ({"patience": 0}, ValueError, r"patience=0 must be at least 1"),
        ({"patience": 1, "validation": 0.0}, ValueError, r"patience=1 needs points to validate on"),
        ({"patience": 1, "validation": 0.01}, ValueError, r"patience=1 needs .* holds out 0 of 100 points of x"),
        ({"tol": 0}, ValueError, r"tol=0 must be positive and finite"),
        ({"seed": -1}, ValueError, r"seed=-1 must be at least 0"),
        ({"seed": None}, TypeError, r"seed=None is not an integer"),
        ({"device": "abacus"}, ValueError, r"device='abacus' cannot be used"),
        ({"dtype": "float16"}, ValueError, r"dtype='float16' is unknown"),
        ({"callback": 3}, TypeError, r"callback=3 is not callable"),
        ({"on_failure": "shrug"}, ValueError, r"on_failure='shrug' is unknown"),
    ],
)
def test_bad_options(options, error, message, samples):
    with pytest.raises(error, match=message):
        MongeGapMap(**(QUICK | options)).fit(*samples)


def spoiled(z, row):
    z = z.copy()
    z[row, 1] = np.nan
    return z


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (spoiled(x, 3), y), r"x\[3, 1\] is nan"),
        (lambda x, y: (x, spoiled(y, 7)), r"y\[7, 1\] is nan"),
        (lambda x, y: (x, y[:, :1]), r"x has 2 coordinates and y 1; maps need points of one space"),
        (lambda x, y: (x[:, 0], y), r"x has shape \(100,\); expected \(n, d\)"),
        (lambda x, y: (x[:0], y), r"x is empty"),
        (lambda x, y: (x, y, np.ones(90)), r"a has shape \(90,\); expected \(100,\)"),
        (lambda x, y: (x, y, None, np.zeros(90)), r"b has total mass 0"),
        (lambda x, y: (x, y, -np.ones(100)), r"a\[0\] is -1; weights must not be negative"),
        (
            lambda x, y: (x[:10], y),
            r"batch_size=16 is more than the 10 points of x to train on \(10, less 0 held out\)",
        ),
        (lambda x, y: (x[:1], y), r"x has 1 points to train on \(1, less 0 held out\); expected at least 2"),
        (lambda x, y: (np.ones_like(x), np.ones_like(y)), r"the mean of the cost is 0, not positive"),
    ],
)
def test_bad_samples(change, message, samples):
    with pytest.raises(ValueError, match=message):
        MongeGapMap(**QUICK).fit(*change(*samples))


def test_bad_points_to_move(samples):
    fitted = MongeGapMap(**QUICK).fit(*samples)
    x = samples[0]
    for array, message in (
        (x[:, :1], r"x has 1 coordinates; the map was fitted to 2"), (x[0], r"x has shape \(2,\)"),
        (x[:0], r"x is empty"), (spoiled(x, 4), r"x\[4, 1\] is nan"),
        (torch.as_tensor(spoiled(x, 4)), r"x\[4, 1\] is nan"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            fitted.transform(array)


def test_a_failed_fit_leaves_the_old_map(samples):
    x, y = samples
    fitted = MongeGapMap(**QUICK).fit(x, y)
    wanted = fitted.transform(x)
    with pytest.raises(ValueError, match="nan"):
        fitted.fit(spoiled(x, 0), y)
    check_same_bits(fitted.transform(x), wanted)


def test_points_that_are_all_one(samples):
    """Nothing to standardise by, and a target without extent."""
    x, y = samples
    for source, target in ((x, np.ones_like(y)), (np.ones_like(x), y), (np.ones_like(x), np.ones_like(y))):
        fitted = MongeGapMap(**QUICK, fitting_reg=0.1, gap_reg=0.1).fit(source, target)
        assert np.isfinite(fitted.transform(x)).all()


def test_tiny_samples(samples):
    for n in (2, 3):
        fitted = MongeGapMap(hidden=(4,), steps=3).fit(samples[0][:n], samples[1][:n])
        assert fitted.status_ is FitStatus.COMPLETED and np.isfinite(fitted.transform(samples[0])).all()


def test_patience_compares_losses_at_one_strength(samples):
    """A strength that falls lowers the losses of a map that stays as it is; that is no progress."""
    options = {"learning_rate": 1e-12, "steps": 200, "validate_every": 1, "validation": 0.2, "patience": 3}
    fitted = MongeGapMap(strength=(100.0, 1e-3), start="identity", averaging=0.0, **options).fit(*samples)
    assert fitted.status_ is FitStatus.EARLY_STOPPED and fitted.history_[-1].step < 50


@pytest.mark.parametrize(("d", "first"), [(2, 1.0), (16, 1.0), (32, 0.5)])
def test_the_strength_falls_with_the_dimension(rng, d, first):
    x = rng.normal(size=(60, d))
    history = MongeGapMap(steps=3, record_every=1, validation=0, hidden=(4,)).fit(x, x + 1).history_
    assert history[0].strength == pytest.approx(first)
    assert history[-1].strength == pytest.approx(first * 0.01 ** (2 / 3))


@pytest.mark.parametrize("fitting", ["sliced", lambda images, targets: 1e9 + (images - targets).square().mean()])
def test_losses_in_other_units_may_be_large(rng, fitting):
    x = 1e5 * rng.normal(size=(60, 2))
    fitted = MongeGapMap("euclidean", fitting=fitting, steps=3, hidden=(4,)).fit(x, x + 1e7)
    assert fitted.status_ is FitStatus.COMPLETED


def test_a_cost_that_is_not_symmetric_names_the_loss(samples):
    class Uphill(ots.costs.SqEuclidean):
        symmetric = False

    with pytest.raises(ValueError, match=r"is not symmetric, as fitting='energy' needs it"):
        MongeGapMap(Uphill()).fit(*samples)
