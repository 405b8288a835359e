"""Training of maps: minibatches, derivatives of the terms, what is kept from step to step, Ctrl-C."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from checks import check_gradient, check_same_bits, check_within

import ot_solvers as ots

torch = pytest.importorskip("torch")

from ot_solvers import costs  # noqa: E402
from ot_solvers.maps import MongeGapMap, monge_gap  # noqa: E402
from ot_solvers.maps.learning.checkpoints import fingerprint, read_checkpoint, write_checkpoint  # noqa: E402
from ot_solvers.maps.learning.interrupts import HeldInterrupts  # noqa: E402
from ot_solvers.maps.learning.minibatches import Minibatches, Sampler  # noqa: E402
from ot_solvers.maps.learning.network import OnSphere, ResidualMLP  # noqa: E402
from ot_solvers.maps.learning.terms import (  # noqa: E402
    CallableFit,
    EnergyFit,
    GapTerm,
    SinkhornFit,
    Step,
    mmd_loss,
)
from ot_solvers.maps.learning.trainer import Losses  # noqa: E402
from ot_solvers.maps.learning.transport import Memory, StepSolver, paired  # noqa: E402

TIGHT = 1e-12


def a_step(x, y, z, i=None, j=None):
    n = len(x)
    return Step(
        x, y, z, torch.as_tensor(y), torch.as_tensor(z), np.arange(n) if i is None else i,
        np.arange(n) if j is None else j,
    )  # fmt: skip


def evaluated(term, step, cost=None, tol=TIGHT, value=True):
    solver = StepSolver(cost or costs.SqEuclidean(), tol)
    return term.finish(step, solver.solve(term.pairs(step, value)), value)


@pytest.fixture
def points(rng):
    """(x, y, z): eight points of each, images that are not those of an optimal map."""
    x = rng.normal(size=(8, 2))
    return x, rng.normal(size=(8, 2)) + 1.0, x[::-1] + 0.3 * rng.normal(size=(8, 2))


# --- minibatches ----------------------------------------------------------------------------------------------


def test_every_point_once_before_any_comes_again():
    sampler = Sampler(12, 4, None, np.random.default_rng(0))
    for _ in range(5):
        drawn = np.concatenate([sampler.draw() for _ in range(3)])
        assert drawn.dtype == np.int64 and sorted(drawn) == list(range(12))


def test_no_point_twice_in_a_minibatch():
    sampler = Sampler(10, 4, None, np.random.default_rng(0))
    drawn = [sampler.draw() for _ in range(500)]
    assert all(len(set(some)) == 4 for some in drawn)
    counts = np.bincount(np.concatenate(drawn), minlength=10)
    assert counts.sum() == 2000 and counts.min() > 150


def test_weights_are_frequencies_and_zeros_are_never_drawn():
    weights = np.array([0.0, 0.1, 0.0, 0.6, 0.3, 0.0])
    sampler = Sampler(6, 6, weights, np.random.default_rng(0))
    drawn = np.concatenate([sampler.draw() for _ in range(2000)])
    shares = np.bincount(drawn, minlength=6) / drawn.size
    assert (shares[weights == 0] == 0).all()
    check_within(shares, weights, 4 * np.sqrt(weights * (1 - weights) / drawn.size) + 1e-300)


def test_both_sides_are_independent_and_seeded():
    first = Minibatches((50, 50), 10, (None, None), 3)
    i, j = first.draw()
    assert not np.array_equal(i, j)
    again = Minibatches((50, 50), 10, (None, None), 3)
    assert all(np.array_equal(one, other) for one, other in zip(again.draw(), (i, j)))
    other = Minibatches((50, 50), 10, (None, None), 4)
    assert not np.array_equal(other.draw()[0], i)


@pytest.mark.parametrize("weights", [None, np.linspace(0, 1, 20) / 10])
def test_the_state_of_minibatches_goes_on(weights):
    batches = Minibatches((20, 30), 7, (weights, None), 0)
    for _ in range(4):
        batches.draw()
    state = batches.state
    wanted = [batches.draw() for _ in range(6)]
    fresh = Minibatches((20, 30), 7, (weights, None), 99)
    fresh.state = state
    for i, j in wanted:
        found = fresh.draw()
        assert np.array_equal(found[0], i) and np.array_equal(found[1], j)


# --- terms: derivatives of their own values -------------------------------------------------------------------

ALL_COSTS = {
    "sqeuclidean": costs.SqEuclidean(), "euclidean": costs.Euclidean(), "dot": costs.Dot(),
    "p-norm": costs.PNorm(1.5),
}  # fmt: skip


@pytest.mark.parametrize("cost", ALL_COSTS)
@pytest.mark.parametrize("kind", [SinkhornFit, EnergyFit])
def test_fitting_terms_against_differences(kind, cost, points):
    x, y, z = points

    def value(z):
        return evaluated(kind(0.5, (8, 8)), a_step(x, y, z), ALL_COSTS[cost])[0]

    number, gradient = evaluated(kind(0.5, (8, 8)), a_step(x, y, z), ALL_COSTS[cost])
    assert number == value(z)
    check_gradient(value, gradient, z)


@pytest.mark.parametrize("cost", ALL_COSTS)
@pytest.mark.parametrize("estimator", ["exact", "debiased", "entropic"])
def test_gap_terms_against_differences(estimator, cost, points):
    x, y, z = points
    cost = ALL_COSTS[cost]

    def term():
        return GapTerm(cost, estimator, None if estimator == "exact" else 0.5, 8)

    number, gradient = evaluated(term(), a_step(x, y, z), cost)
    check_gradient(lambda z: evaluated(term(), a_step(x, y, z), cost)[0], gradient, z)
    # And the value is that of the function.
    found = monge_gap(x, z, cost=cost, reg=0.5, estimator=estimator, tol=TIGHT, on_failure="ignore")
    if found.estimator == estimator:
        check_within(number, float(found), 1e-9)


@pytest.mark.parametrize("n", [2, 7])
def test_energy_of_odd_minibatches(n, points, rng):
    """Halves of different sizes: their means still count the same."""
    x, y, z = (array[:n] for array in points)
    number, gradient = evaluated(EnergyFit(0.5, (n, n)), a_step(x, y, z))
    check_gradient(lambda z: evaluated(EnergyFit(0.5, (n, n)), a_step(x, y, z))[0], gradient, z)
    half = n // 2

    def cost(u, v):
        return float(ots.solve_sample(u, v, reg=0.5, tol=1e-12))

    across = np.mean([cost(u, v) for u in (z[:half], z[half:]) for v in (y[:half], y[half:])])
    wanted = across - 0.5 * cost(z[:half], z[half:]) - 0.5 * cost(y[:half], y[half:])
    check_within(number, wanted, 1e-9)


def test_the_divergence_is_that_of_the_function(points):
    x, y, z = points
    number, _ = evaluated(SinkhornFit(0.5, (8, 8)), a_step(x, y, z))
    check_within(number, float(ots.sinkhorn_divergence(z, y, reg=0.5, tol=1e-12)), 1e-9)


def test_mean_discrepancy_against_differences(points):
    x, y, z = points
    term = CallableFit(mmd_loss(1.3))
    number, gradient = evaluated(term, a_step(x, y, z))
    check_gradient(lambda z: evaluated(term, a_step(x, y, z))[0], gradient, z)
    # By its definition, in NumPy.
    squares = ((np.concatenate([z, y])[:, None] - np.concatenate([z, y])) ** 2).sum(-1)
    kernel = np.mean([np.exp(-0.5 * squares / (w * 1.3) ** 2) for w in (0.25, 0.5, 1, 2, 4)], axis=0)
    sign = np.repeat([1 / 8, -1 / 8], 8)
    check_within(number, sign @ kernel @ sign, 1e-12)
    assert abs(evaluated(term, a_step(x, y, y.copy()))[0]) < 1e-12 < number


@pytest.mark.parametrize("term", ["sinkhorn", "energy", "gap", "callable"])
def test_derivatives_come_without_values(term, points):
    build = {
        "sinkhorn": lambda: SinkhornFit(0.5, (8, 8)), "energy": lambda: EnergyFit(0.5, (8, 8)),
        "gap": lambda: GapTerm(costs.SqEuclidean(), "debiased", 0.5, 8),
        "callable": lambda: CallableFit(mmd_loss(1.0)),
    }[term]  # fmt: skip
    nothing, gradient = evaluated(build(), a_step(*points), value=False)
    number, same = evaluated(build(), a_step(*points))
    assert nothing is None and math.isfinite(number)
    check_within(gradient, same, 1e-9)


def test_the_loss_is_fit_plus_strength_times_gap(points):
    step = a_step(*points)
    fit, gap = SinkhornFit(0.5, (8, 8)), GapTerm(costs.SqEuclidean(), "exact", None, 8)
    _, by_fit = evaluated(SinkhornFit(0.5, (8, 8)), step)
    number, by_gap = evaluated(GapTerm(costs.SqEuclidean(), "exact", None, 8), step)
    solver = StepSolver(costs.SqEuclidean(), TIGHT)
    _, found, gradient = Losses(fit, gap).evaluate(solver, step, 3.0, True)
    check_within(found, number, 1e-12)
    check_within(gradient, by_fit + 3.0 * by_gap, 1e-9)
    # At strength 0 the gap is measured, where values are wanted, and pulls nothing.
    fresh = Losses(SinkhornFit(0.5, (8, 8)), GapTerm(costs.SqEuclidean(), "exact", None, 8))
    _, found, gradient = fresh.evaluate(StepSolver(costs.SqEuclidean(), TIGHT), step, 0.0, True)
    check_within(found, number, 1e-12)
    check_within(gradient, by_fit, 1e-9)
    blind = Losses(SinkhornFit(0.5, (8, 8)), None).evaluate(
        StepSolver(costs.SqEuclidean(), TIGHT), step, 1.0, False
    )
    assert math.isnan(blind[0]) and blind[1] is None


@pytest.mark.parametrize("cost", ALL_COSTS)
def test_paired_costs(cost, points):
    x, _, z = points
    mean, slopes = paired(ALL_COSTS[cost], x, z)
    exact = monge_gap(x, z, cost=ALL_COSTS[cost])
    check_within(mean, exact.displacement, 1e-12)
    check_gradient(lambda z: paired(ALL_COSTS[cost], x, z)[0], slopes, z)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda z, y: 1.0, TypeError, r"fitting returned float; expected a tensor with one number"),
        (lambda z, y: z.sum(1), TypeError, r"fitting returned \(8,\); expected a tensor with one number"),
        (lambda z, y: None, TypeError, r"fitting returned NoneType"),
        (lambda z, y: z.detach().sum(), ValueError, r"does not depend on the images"),
        (lambda z, y: torch.ones((), requires_grad=True) * 2, ValueError, r"does not depend on the images"),
    ],
)
def test_fitting_functions_that_return_something_else(function, error, message, points):
    with pytest.raises(error, match=message):
        evaluated(CallableFit(function), a_step(*points))


# --- which law the terms are smallest at ----------------------------------------------------------------------


def mean_slope_by_scale(kind, scale, batches=400, n=10):
    """Mean and standard error of the derivative by s of the term for images ``s x`` of standard normal x and y."""
    rng = np.random.default_rng(5)
    slopes = []
    solver = StepSolver(costs.SqEuclidean(), 1e-6)
    for _ in range(batches):
        x, y = rng.normal(size=(n, 1)), rng.normal(size=(n, 1))
        term, step = kind(0.2, (n, n)), a_step(x, y, scale * x)
        _, gradient = term.finish(step, solver.solve(term.pairs(step, False)), False)
        slopes.append(float((gradient.numpy() * x).sum()))
    return np.mean(slopes), np.std(slopes) / math.sqrt(batches)


def test_the_mean_energy_is_smallest_at_the_truth_and_that_of_the_divergence_is_not():
    """Divergences between minibatches are least for images drawn together: their slope at the truth is not 0."""
    mean, error = mean_slope_by_scale(EnergyFit, 1.0)
    assert abs(mean) < 4 * error
    for scale, sign in ((0.8, -1), (1.25, 1)):
        mean, error = mean_slope_by_scale(EnergyFit, scale)
        assert sign * mean > 4 * error
    mean, error = mean_slope_by_scale(SinkhornFit, 1.0)
    assert mean > 6 * error


# --- what is kept from step to step ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sinkhorn", "energy", "gap"])
def test_known_points_take_fewer_passes(kind, rng):
    x, y = rng.normal(size=(64, 2)), rng.normal(size=(64, 2)) + 1.0
    term = {
        "sinkhorn": lambda: SinkhornFit(0.1, (64, 64)), "energy": lambda: EnergyFit(0.1, (64, 64)),
        "gap": lambda: GapTerm(costs.SqEuclidean(), "debiased", 0.1, 64),
    }[kind]()  # fmt: skip
    solver = StepSolver(costs.SqEuclidean(), 1e-6)
    assert all(np.isnan(memory.potential).all() for memory in term.memories)
    step = a_step(x, y, 0.5 * x + 0.4)
    number, cold_slopes = term.finish(step, solver.solve(term.pairs(step, True)), True)
    cold = solver.passes
    again, warm_slopes = term.finish(step, solver.solve(term.pairs(step, True)), True)
    assert solver.passes - cold < cold and solver.failed == 0
    check_within(again, number, 1e-5)
    check_within(warm_slopes, cold_slopes.numpy(), 1e-4)


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("cost", [costs.SqEuclidean(), costs.Euclidean()])
def test_exact_gaps_start_from_the_last_step(cost, value):
    """From the potentials of the points in other company and with other images: the same gap and derivatives."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(120, 2))
    term = GapTerm(cost, "exact", 0.3, 120)
    assert term.eps is None
    solver = StepSolver(cost, 1e-6)
    order = rng.permutation(120)
    for k in range(6):
        i = order[:60] if k % 2 else order[30:90]
        z = x[i] @ rng.normal(size=(2, 2)) + 0.1 * k
        step = a_step(x[i], x[i], z, i=i, j=i)
        pairs = term.pairs(step, value)
        assert k < 2 or pairs[0].memory.recall(i) is not None
        gap, slopes = term.finish(step, solver.solve(pairs, value), value)
        alone = GapTerm(cost, "exact", 0.3, 120)
        fresh, expected = alone.finish(step, StepSolver(cost, 1e-6).solve(alone.pairs(step, value), value), value)
        check_within(slopes, expected.numpy(), 1e-12)
        assert gap is None and fresh is None if not value else abs(gap - fresh) <= 1e-12
    assert (
        np.isfinite(term.across.potential[order[:90]]).all() and np.isnan(term.across.potential[order[90:]]).all()
    )


def test_memories_know_points_by_their_places(points):
    """Potentials of another order of the same points."""
    x, y, z = points
    term = SinkhornFit(0.5, (8, 8))
    solver = StepSolver(costs.SqEuclidean(), 1e-9)
    order = np.random.default_rng(1).permutation(8)
    solver.solve(term.pairs(a_step(x, y, z), True))
    first = solver.passes
    turned = a_step(x[order], y[order], z[order], i=order, j=order)
    number, _ = term.finish(turned, solver.solve(term.pairs(turned, True)), True)
    assert solver.passes - first < first
    check_within(number, float(ots.sinkhorn_divergence(z, y, reg=0.5, tol=1e-12)), 1e-7)


def test_memories_of_new_points_are_empty():
    memory = Memory(5)
    memory.keep(np.array([1, 3]), np.array([0.5, -0.5]))
    check_same_bits(memory.recall(np.array([3, 1])), np.array([-0.5, 0.5]))
    assert memory.recall(np.array([1, 2])) is None


def test_problems_that_miss_the_tolerance_are_counted(points):
    solver = StepSolver(costs.SqEuclidean(), 1e-30)
    term = SinkhornFit(0.01, (8, 8))
    solver.solve(term.pairs(a_step(*points), True))
    assert solver.failed >= 1


# --- networks -------------------------------------------------------------------------------------------------


def test_the_built_in_network_begins_at_the_identity():
    network = ResidualMLP(3, (8, 8))
    x = torch.randn(5, 3)
    assert torch.equal(network(x), network.affine(x)) and torch.allclose(network(x), x)
    matrix, offset = torch.diag(torch.tensor([1.0, 2.0, 3.0])), torch.tensor([1.0, 0.0, -1.0])
    network.begin_at(matrix, offset)
    network.standardise(torch.ones(3), 2.0)
    torch.testing.assert_close(network(x), x @ matrix.T + offset)


def test_a_network_without_hidden_layers_is_affine():
    network = ResidualMLP(2, ())
    assert sum(parameter.numel() for parameter in network.parameters()) == 6
    fixed = ResidualMLP(2, (4,), affine=False)
    assert not fixed.affine.weight.requires_grad and fixed.perceptron[0].weight.requires_grad


def test_images_on_the_sphere():
    network = OnSphere(torch.nn.Linear(3, 3))
    torch.testing.assert_close(network(torch.randn(9, 3)).norm(dim=1), torch.ones(9))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"d": 0}, ValueError, r"d=0 must be at least 1"),
        ({"d": 2, "hidden": (4, 0)}, ValueError, r"hidden=0 must be at least 1"),
        ({"d": 2, "hidden": (4.5,)}, TypeError, r"hidden=4.5 is not an integer"),
        ({"d": 2, "activation": "gleu"}, ValueError, r"activation='gleu' is unknown; .*did you mean 'gelu'"),
    ],
)
def test_bad_networks(options, error, message):
    with pytest.raises(error, match=message):
        ResidualMLP(**options)


# --- checkpoints ----------------------------------------------------------------------------------------------


def test_checkpoints_come_back(tmp_path, rng):
    state = {
        "number": 3, "none": None, "array": rng.normal(size=(2, 3)), "nested": [{"order": np.arange(4)}, "word"],
        "tensor": torch.ones(2), "big": 2**100,
    }  # fmt: skip
    path = tmp_path / "deep" / "fit.pt"
    write_checkpoint(path, {"steps": "5"}, state)
    found = read_checkpoint(path, {"steps": "5"})
    assert found["number"] == 3 and found["none"] is None and found["big"] == 2**100
    check_same_bits(found["array"], state["array"])
    check_same_bits(found["nested"][0]["order"], np.arange(4))
    assert found["nested"][1] == "word" and torch.equal(found["tensor"], torch.ones(2))
    assert os.listdir(path.parent) == ["fit.pt"]


def test_checkpoints_have_the_permissions_of_any_new_file(tmp_path):
    write_checkpoint(tmp_path / "fit.pt", {}, {})
    (tmp_path / "other").write_text("")
    assert (tmp_path / "fit.pt").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_checkpoint_is_whole_at_any_moment(tmp_path):
    path = tmp_path / "fit.pt"
    write_checkpoint(path, {}, {"number": 1})
    with pytest.raises(Exception, match=r"pickle|local object"):
        write_checkpoint(path, {}, {"number": lambda: 2})
    assert read_checkpoint(path, {}) == {"number": 1}
    assert os.listdir(tmp_path) == ["fit.pt"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_files_that_are_no_checkpoints(content, tmp_path):
    path = tmp_path / "fit.pt"
    if content is None:
        torch.save({"weights": torch.ones(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint='.*fit\.pt' is no checkpoint of a map"):
        read_checkpoint(path, {})


def test_checkpoints_of_other_settings_and_versions(tmp_path):
    path = tmp_path / "fit.pt"
    write_checkpoint(path, {"steps": "5", "data": "abc"}, {})
    with pytest.raises(
        ValueError, match=r"belongs to a fit with steps=5, not 6; remove it, or choose another file"
    ):
        read_checkpoint(path, {"steps": "6", "data": "abc"})
    with pytest.raises(ValueError, match=r"belongs to a fit with other points"):
        read_checkpoint(path, {"steps": "5", "data": "abd"})
    torch.save({"format": 99, "settings": {}, "state": {}}, path)
    with pytest.raises(ValueError, match=r"has the format of another version"):
        read_checkpoint(path, {})


def test_fingerprints(rng):
    x = rng.normal(size=(6, 2))
    assert fingerprint(x, None) == fingerprint(np.asfortranarray(x), None)
    others = [fingerprint(x), fingerprint(x.reshape(2, 6), None), fingerprint(x.astype(np.float32), None)]
    others += [fingerprint(np.nextafter(x, 9.0), None), fingerprint(None, x)]
    assert len({fingerprint(x, None), *others}) == 6


# --- Ctrl-C ---------------------------------------------------------------------------------------------------


def test_the_first_interrupt_is_held_and_the_second_is_not():
    before = signal.getsignal(signal.SIGINT)
    with HeldInterrupts() as interrupts:
        if before is not signal.default_int_handler:
            pytest.skip("somebody else handles the signal")
        assert not interrupts.requested
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert interrupts.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_handler_of_somebody_else_stays(monkeypatch):
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with HeldInterrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        assert seen and not interrupts.requested
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_train_too():
    found = []

    def work():
        with HeldInterrupts() as interrupts:
            found.append(interrupts.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


SCRIPT = """
import signal, sys, time
import numpy as np
import ot_solvers as ots

# A shell may have started us where the signal is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 1.0


def tell(progress):
    print(progress.step, flush=True)
    time.sleep(0.02)


fitted = ots.maps.MongeGapMap(
    hidden=(4,), steps=400, batch_size=16, record_every=1, validate_every=1000, checkpoint=sys.argv[1],
    callback=tell,
)
try:
    fitted.fit(x, y)
except KeyboardInterrupt as error:
    assert "go on" in str(error), error
    assert np.isfinite(fitted.transform(x)).all()
    sys.exit(42)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupted_fit_leaves_a_checkpoint_that_goes_on_to_the_same_losses(tmp_path):
    path, script = tmp_path / "fit.pt", tmp_path / "fit.py"
    script.write_text(textwrap.dedent(SCRIPT))
    root = os.path.dirname(os.path.dirname(ots.__file__))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        [sys.executable, str(script), str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    try:
        for line in process.stdout:
            if int(line) == 3:
                process.send_signal(signal.SIGINT)
                break
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 42, errors
    assert sorted(os.listdir(tmp_path)) == ["fit.pt", "fit.py"]

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 1.0
    stops = 20
    options = {"hidden": (4,), "steps": 400, "batch_size": 16, "record_every": 1, "validate_every": 1000}

    def until(progress):
        return progress.step >= stops

    gone_on = MongeGapMap(**options, checkpoint=path, callback=until).fit(x, y)
    whole = MongeGapMap(**options, callback=until).fit(x, y)
    assert [record.step for record in gone_on.history_] == list(range(1, stops + 1))
    # Rounding of vectorised sums depends on where arrays lie in memory, in another process.
    check_within(np.array(gone_on.history_.column("loss")), np.array(whole.history_.column("loss")), 1e-5)
    check_within(gone_on.transform(x), whole.transform(x), 1e-5)
