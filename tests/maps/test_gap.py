"""`monge_gap`: zero on optimal maps, oracles, certified bounds, warm starts, bad input."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from checks import check_library, check_same_bits, check_within
from oracles import assignment, exact_transport
from problems import some_weights

import ot_solvers as ots
from ot_solvers.maps import gap as module
from ot_solvers.maps import monge_gap

COSTS = ("sqeuclidean", "euclidean", "dot")
ESTIMATORS = ("exact", "debiased", "entropic")
SYMMETRIC = np.array([[2.0, 0.5], [0.5, 1.0]])


def costs_of(x, y, cost):
    """(n, m) costs, by their definitions."""
    differences = x[:, None, :].astype(float) - y[None, :, :]
    squares = (differences**2).sum(-1)
    return {"sqeuclidean": squares, "euclidean": np.sqrt(squares), "dot": -(x @ y.T)}[cost]


def convex_slope(x, rng):
    """Gradients of a convex function: a log-sum-exp and a quadratic one."""
    slopes = rng.normal(size=(4, x.shape[1]))
    scores = x @ slopes.T
    shares = np.exp(scores - scores.max(1, keepdims=True))
    return 0.5 * x + 2.0 * (shares / shares.sum(1, keepdims=True)) @ slopes


def optimal(kind, x, rng):
    return {
        "identity": lambda: x.copy(),
        "translation": lambda: x + np.array([3.0, 1.0]),
        "slope": lambda: convex_slope(x, rng),
    }[kind]()


@pytest.fixture
def moved(rng):
    """(x, Tx): points and images of a map that is not optimal."""
    x = rng.normal(size=(40, 2))
    return x, x[::-1] + 0.5 * rng.normal(size=(40, 2))


@pytest.fixture
def turned(rng):
    """(x, Tx): 200 points, turned by 30 degrees about the origin: not optimal, and smooth."""
    x = rng.normal(size=(200, 2))
    return x, x @ np.array([[math.sqrt(3), 1], [-1, math.sqrt(3)]]) / 2


# --- optimal maps ---------------------------------------------------------------------------------------------

OPTIMAL = [
    (kind, cost)
    for kind in ("identity", "translation", "slope")
    for cost in COSTS
    # Gradients of convex functions are optimal for costs made of inner products.
    if not (kind == "slope" and cost == "euclidean")
]


@pytest.mark.parametrize("n", [1, 2, 256])
@pytest.mark.parametrize(("kind", "cost"), OPTIMAL)
def test_the_exact_gap_of_an_optimal_map_is_zero(kind, cost, n, rng):
    x = rng.normal(size=(n, 2))
    if cost == "dot" and kind == "identity":
        x = 1.0 + np.abs(x)
    found = monge_gap(x, optimal(kind, x, rng), cost=cost)
    assert found.estimator == "exact" and found.reg == 0.0 and found.converged and not found.reason
    check_within(float(found), 0.0, 1e-9)
    check_within(np.array(found.bounds), np.zeros(2), 1e-9)


@pytest.mark.parametrize(("kind", "cost"), OPTIMAL)
def test_float32_keeps_the_zero(kind, cost, rng):
    x = rng.normal(size=(64, 2)).astype(np.float32)
    Tx = optimal(kind, x, rng).astype(np.float32)
    found = monge_gap(x, Tx, cost=cost)
    # Rounded images are images of another map: so much that one may miss.
    check_within(float(found), 0.0, 1e-5 * max(1.0, abs(found.displacement)))


@pytest.mark.parametrize(("kind", "cost"), OPTIMAL)
def test_the_debiased_gap_of_an_optimal_map_is_small(kind, cost, rng):
    x = rng.normal(size=(256, 2))
    Tx = optimal(kind, x, rng)
    scale = np.abs(costs_of(x, Tx, cost)).mean()
    found = monge_gap(x, Tx, cost=cost, reg=0.01 * scale, estimator="debiased")
    assert abs(float(found)) <= 0.002 * scale
    assert found.converged
    # Not by chance: entropy alone is far off.
    plain = monge_gap(x, Tx, cost=cost, reg=0.01 * scale, estimator="entropic")
    assert float(plain) < -0.01 * scale


def test_where_debiasing_fails_the_certificate_says_so(rng):
    x = rng.normal(size=(256, 2))
    Tx = x + np.array([3.0, 1.0])
    found = monge_gap(x, Tx, cost="euclidean", reg=0.01, reg_relative_to="mean", estimator="debiased")
    assert found.estimator == "exact" and found.divergence is None and found.reg == 0.0
    check_within(float(found), 0.0, 1e-9)
    assert "debiased number" in found.reason and "outside the certified bounds" in found.reason
    # The number that was not returned: several per cent of the cost, as documented.
    reg = 0.01 * costs_of(x, Tx, "euclidean").mean()
    raw = math.sqrt(10.0) - float(ots.sinkhorn_divergence(x, Tx, cost="euclidean", reg=reg))
    assert raw > 0.02 * math.sqrt(10.0)
    assert float(found.reason.split("number ")[1].split()[0]) == pytest.approx(raw, rel=1e-2)


@pytest.mark.parametrize("d", [1, 3, 8])
def test_the_bias_of_entropy_is_the_documented_one(d, rng):
    """At least half the dimension times the strength below 0, on the identity."""
    x = rng.normal(size=(400, d))
    reg = 0.01 * costs_of(x, x, "sqeuclidean").mean()
    found = monge_gap(x, x, reg=reg, estimator="entropic")
    rises = float(found) / reg
    assert -math.log(400) - 1e-9 <= rises < -0.5 * d * (1 - 0.05) or rises == pytest.approx(
        -math.log(400), rel=0.05
    )


# --- other maps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_assignments_of_scipy(cost, dtype, moved):
    x, Tx = (z.astype(dtype) for z in moved)
    C = costs_of(x.astype(float), Tx.astype(float), cost)
    wanted = (np.trace(C) - C[np.arange(40), assignment(C)[0]].sum()) / 40
    found = monge_gap(x, Tx, cost=cost)
    assert wanted > 0.1
    check_within(float(found), wanted, (1e-12 if dtype is np.float64 else 1e-5) * np.abs(C).max())
    check_within(found.displacement, np.trace(C) / 40, (1e-13 if dtype is np.float64 else 1e-6) * np.abs(C).max())
    check_within(float(found), found.displacement - float(found.solution), 1e-5 * np.abs(C).max())


@pytest.mark.parametrize("cost", COSTS)
def test_weights(cost, moved, rng):
    x, Tx = moved
    a = some_weights(rng, 40)
    assert (a == 0).sum() >= 2
    C = costs_of(x, Tx, cost)
    wanted = a @ np.diag(C) - exact_transport(C, a, a)
    found = monge_gap(x, Tx, a, cost=cost)
    check_within(float(found), wanted, 1e-10)
    # Counted relative to their sum; points of weight 0 do not count.
    check_within(float(monge_gap(x, Tx, 7.0 * a, cost=cost)), wanted, 1e-10)
    live = a > 0
    check_within(float(monge_gap(x[live], Tx[live], a[live], cost=cost)), wanted, 1e-10)
    assert abs(float(monge_gap(x, Tx, cost=cost)) - wanted) > 1e-3


@pytest.mark.peer
def test_pot(moved, rng):
    ot = pytest.importorskip("ot")
    x, Tx = moved
    a = some_weights(rng, 40)
    C = costs_of(x, Tx, "sqeuclidean")
    check_within(float(monge_gap(x, Tx, a)), a @ np.diag(C) - float(ot.emd2(a, a, C)), 1e-10)


@pytest.mark.peer
@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
def test_ott(cost, moved):
    """Its entropy is that of the plan, not relative to the product: the gap is larger by ``2 reg log n``."""
    jax = pytest.importorskip("jax")
    peer = pytest.importorskip("ott.neural.methods.monge_gap")
    from ott.geometry import costs

    x, Tx = moved
    reg = 0.2
    with jax.experimental.enable_x64() if hasattr(jax.experimental, "enable_x64") else jax.enable_x64(True):
        theirs = float(
            peer.monge_gap_from_samples(
                jax.numpy.asarray(x), jax.numpy.asarray(Tx), epsilon=reg, threshold=1e-10, max_iterations=20_000,
                cost_fn={"sqeuclidean": costs.SqEuclidean(), "euclidean": costs.Euclidean()}[cost],
            )
        )  # fmt: skip
    ours = monge_gap(x, Tx, cost=cost, reg=reg, estimator="entropic", tol=1e-10)
    check_within(float(ours) + 2 * reg * math.log(40), theirs, 1e-6)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_bounds_bracket_the_exact_gap(cost, estimator, moved):
    exact = float(monge_gap(*moved, cost=cost))
    found = monge_gap(*moved, cost=cost, reg=0.2, estimator=estimator)
    lower, upper = found.bounds
    assert lower - 1e-12 <= exact <= upper + 1e-12
    assert upper - lower <= (1e-10 if found.estimator == "exact" else 1.0)


@pytest.mark.parametrize("cost", COSTS)
def test_debiased_is_what_it_says(cost, moved):
    """From three entropic problems."""
    x, Tx = moved
    reg = 0.3

    def part(u, v):
        mean = np.diag(costs_of(u, v, cost)).mean()
        return mean - float(ots.solve_sample(u, v, cost=cost, reg=reg, tol=1e-11))

    found = monge_gap(x, Tx, cost=cost, reg=reg, estimator="debiased", tol=1e-11)
    wanted = part(x, Tx) - 0.5 * part(x, x) - 0.5 * part(Tx, Tx)
    if found.estimator == "debiased":
        check_within(float(found), wanted, 1e-9)
        assert found.divergence is not None and found.reg == reg
    else:
        lower, upper = found.bounds
        assert not max(0.0, lower) - 0.1 * reg <= wanted <= upper + 0.1 * reg


def test_a_debiased_number_within_its_bounds_is_kept(turned):
    """So the test above says something about the debiased number."""
    found = monge_gap(*turned, reg=0.2, estimator="debiased")
    assert found.estimator == "debiased" and not found.reason
    exact = float(monge_gap(*turned))
    assert 0 < abs(float(found) - exact) < 0.2 * exact


# --- which estimator ------------------------------------------------------------------------------------------


def test_auto(turned, monkeypatch):
    assert monge_gap(*turned).estimator == "exact"
    assert monge_gap(*turned, reg=0.2).estimator == "exact"
    monkeypatch.setattr(module, "EXACT_POINTS", 199)
    assert monge_gap(*turned).estimator == "exact"
    found = monge_gap(*turned, reg=0.2)
    assert found.estimator == "debiased"
    assert float(found) == float(monge_gap(*turned, reg=0.2, estimator="debiased"))


def test_relative_strengths(moved):
    x, Tx = moved
    found = monge_gap(x, Tx, reg=0.05, reg_relative_to="mean", estimator="entropic")
    check_within(found.reg, 0.05 * costs_of(x, Tx, "sqeuclidean").mean(), 1e-12)
    same = monge_gap(x, Tx, reg=ots.Entropic(0.05, relative_to="mean"), estimator="entropic")
    assert float(same) == float(found)


def test_the_text_says_what_was_computed(moved):
    text = repr(monge_gap(*moved, reg=0.1, estimator="entropic"))
    assert text.startswith("MongeGap(") and "'entropic'" in text and "reg=0.1" in text
    assert "reg" not in repr(monge_gap(*moved))


# --- a number -------------------------------------------------------------------------------------------------


def test_it_acts_as_a_number(moved):
    found = monge_gap(*moved)
    number = float(found)
    assert isinstance(found.value, float) and number > 0
    assert found + 1 == number + 1 and 1 + found == 1 + number
    assert found - 1 == number - 1 and 1 - found == 1 - number
    assert found * 2 == number * 2 and 2 * found == 2 * number
    assert found / 2 == number / 2 and 2 / found == 2 / number
    assert found + found == 2 * number and found - found == 0.0 and sum([found, found]) == 2 * number
    assert found * found == number * number and found / found == 1.0
    assert -found == -number and abs(-found) == number
    assert found < number + 1 and found <= number and found > number - 1 and found >= number
    assert number + 1 > found and number - 1 < found
    assert not found < found and found <= found
    assert np.float64(2.0) * found == 2.0 * number == found * np.float64(2.0)
    with pytest.raises(TypeError):
        found + "one"


# --- warm starts and callbacks --------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["debiased", "entropic"])
def test_warm_starts_save_passes(estimator, rng):
    x = rng.normal(size=(150, 2))
    Tx = x @ SYMMETRIC + 1.0
    options = {"reg": 0.05, "estimator": estimator, "tol": 1e-8}
    first = monge_gap(x, Tx, **options)
    near = Tx + 1e-4 * rng.normal(size=Tx.shape)
    cold, warm = monge_gap(x, near, **options), monge_gap(x, near, **options, init=first)
    check_within(float(warm), float(cold), 1e-7)

    def passes(found):
        return (found.divergence or found.solution).n_iter

    assert passes(warm) < passes(cold)


def test_a_callback_ends_the_passes(moved):
    seen = []

    def stop(progress):
        seen.append(progress)
        return True

    options = {"reg": 0.01, "estimator": "entropic", "tol": 1e-12, "method": "sinkhorn"}
    found = monge_gap(*moved, **options, callback=stop, on_failure="ignore")
    assert len(seen) == 1 and found.solution.status is ots.Status.STOPPED_BY_CALLBACK and not found.converged
    assert isinstance(seen[0], ots.Progress)


def test_unconverged_problems_are_told(moved):
    options = {"reg": 0.01, "tol": 1e-12, "max_iter": 1, "method": "sinkhorn"}
    for estimator in ("debiased", "entropic"):
        with pytest.warns(ots.ConvergenceWarning, match="MAX_ITER"):
            assert not monge_gap(*moved, **options, estimator=estimator).converged
        with pytest.raises(ots.ConvergenceError, match="MAX_ITER"):
            monge_gap(*moved, **options, estimator=estimator, on_failure="raise")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            monge_gap(*moved, **options, estimator=estimator, on_failure="ignore")


# --- arrays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_any_memory_layout(estimator, moved, rng):
    x, Tx = moved
    a = some_weights(rng, 40)
    wanted = monge_gap(x, Tx, a, reg=0.1, estimator=estimator)
    wide = np.zeros((80, 4))
    wide[::2, ::2] = x
    for array in (x, Tx, a):
        array.setflags(write=False)
    for first, second in ((wide[::2, ::2], np.asfortranarray(Tx)), (x[::-1][::-1], Tx[::-1][::-1])):
        check_same_bits(float(monge_gap(first, second, a, reg=0.1, estimator=estimator)), float(wanted))


def test_lists_and_integers():
    found = monge_gap([[0], [1]], [[5], [4]])
    assert float(found) == pytest.approx((25 + 9) / 2 - (16 + 16) / 2, abs=1e-12)


def test_libraries_of_the_caller(moved):
    jax = pytest.importorskip("jax")
    x, Tx = (jax.numpy.asarray(z, dtype="float32") for z in moved)
    found = monge_gap(x, Tx)
    check_library(found.value, x)
    check_within(float(found), float(monge_gap(*moved)), 1e-4)


def test_costs_on_the_sphere(rng):
    x = rng.normal(size=(30, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    angles = np.arccos(np.clip(-x @ x.T, -1, 1))
    wanted = np.pi - angles[np.arange(30), assignment(angles)[0]].mean()
    # The angle of opposite points is the square root of what rounding leaves.
    check_within(float(monge_gap(x, -x, cost="sphere")), wanted, 1e-7)
    assert wanted > 0.1
    check_within(float(monge_gap(x, x, cost="sphere")), 0.0, 1e-7)


@pytest.mark.filterwarnings("ignore::ot_solvers.PerformanceWarning")
def test_a_cost_that_is_not_symmetric(moved):
    x, Tx = moved

    class Uphill(ots.costs.Cost):
        """Squares, and a price for the first coordinate that grows."""

        name = "uphill"
        symmetric = False
        sign = 1.0

        def pairwise(self, x, y, xp=np):
            steps = y[..., None, :, :] - x[..., :, None, :]
            return (steps**2).sum(-1) + 0.5 * abs(self.sign * steps[..., 0] + 0.2)

        def swapped(self):
            other = Uphill()
            other.sign = -self.sign
            return other

    found = monge_gap(x, Tx, cost=Uphill())
    steps = Tx[None] - x[:, None]
    C = (steps**2).sum(-1) + 0.5 * np.abs(steps[..., 0] + 0.2)
    check_within(float(found), np.trace(C) / 40 - C[np.arange(40), assignment(C)[0]].mean(), 1e-10)
    with pytest.raises(ValueError, match=r"cost=.* is not symmetric: use estimator='exact' or 'entropic'"):
        monge_gap(x, Tx, cost=Uphill(), reg=0.1, estimator="debiased")


# --- bad input ------------------------------------------------------------------------------------------------

FINE = np.arange(12.0).reshape(6, 2)


def spoiled(row, value):
    array = FINE.copy()
    array[row, 1] = value
    return array


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((spoiled(2, np.nan), FINE), {}, ValueError, r"x\[2, 1\] is nan"),
        ((FINE, spoiled(4, np.inf)), {}, ValueError, r"Tx\[4, 1\] is inf"),
        ((FINE, FINE[:5]), {}, ValueError, r"Tx has 5 rows and x 6; expected the image of every point"),
        ((FINE, FINE[:, :1]), {}, ValueError, r"x has 2 coordinates and Tx 1"),
        ((FINE[:, 0], FINE), {}, ValueError, r"x has shape \(6,\); expected \(n, d\)"),
        ((FINE[:0], FINE[:0]), {}, ValueError, r"x is empty"),
        ((FINE, FINE, np.ones(5)), {}, ValueError, r"a has shape \(5,\); expected \(6,\)"),
        ((FINE, FINE, -np.ones(6)), {}, ValueError, r"a\[0\] is -1; weights must not be negative"),
        ((FINE, FINE, np.zeros(6)), {}, ValueError, r"a has total mass 0"),
        ((FINE, FINE, np.array([1, np.nan, 1, 1, 1, 1])), {}, ValueError, r"a\[1\] is nan"),
        (
            (FINE, FINE), {"estimator": "exakt"}, ValueError,
            r"estimator='exakt' is unknown; .*did you mean 'exact'",
        ),
        ((FINE, FINE), {"estimator": None}, ValueError, r"estimator=None is unknown"),
        ((FINE, FINE), {"estimator": "debiased"}, ValueError, r"estimator='debiased' needs a positive reg"),
        (
            (FINE, FINE), {"estimator": "entropic", "reg": 0}, ValueError,
            r"estimator='entropic' needs a positive reg",
        ),
        ((FINE, FINE), {"reg": -1.0}, ValueError, r"reg=-1.0 must be positive and finite"),
        ((FINE, FINE), {"reg": math.nan}, ValueError, r"reg=nan must be positive and finite"),
        ((FINE, FINE), {"reg": "small"}, TypeError, r"reg='small' must be a positive number"),
        (
            (FINE, FINE), {"reg": 0.1, "reg_relative_to": "median"}, ValueError,
            r"reg_relative_to='median' is unknown",
        ),
        (
            (FINE, FINE), {"reg": ots.Quadratic(1.0), "estimator": "entropic"}, ValueError,
            r"defined for entropic regularisation only",
        ),
        (
            (FINE, FINE), {"cost": "sqeuclid"}, ValueError,
            r"cost='sqeuclid' is unknown; .*did you mean 'sqeuclidean'",
        ),
        ((FINE, FINE), {"cost": "sphere"}, ValueError, r"cost='sphere' needs unit vectors, but x\[5\] has norm"),
        ((FINE, FINE), {"method": "guess"}, ValueError, r"method='guess' is unknown"),
        ((FINE, FINE), {"backend": "abacus"}, ValueError, r"backend='abacus' is unknown"),
        ((FINE, FINE), {"init": 3}, TypeError, r"init=int must be a MongeGap"),
        ((FINE, FINE), {"callback": 3}, TypeError, r"callback=3 is not callable"),
        ((FINE, FINE), {"tol": -1.0}, ValueError, r"tol=-1.0 must be finite and not negative"),
        ((FINE, FINE), {"max_iter": 0}, ValueError, r"max_iter=0 must be at least 1"),
        ((FINE, FINE), {"on_failure": "shrug"}, ValueError, r"on_failure='shrug' is unknown"),
    ],
)  # fmt: skip
def test_bad_input(arguments, options, error, message):
    with pytest.raises(error, match=message):
        monge_gap(*arguments, **options)


def test_a_warm_start_of_other_sizes_is_refused():
    other = monge_gap(FINE[:4], FINE[:4], reg=0.1, estimator="debiased")
    with pytest.raises(ValueError, match=r"init has potentials of sizes 4, 4; the problem has 6, 6"):
        monge_gap(FINE, FINE, reg=0.1, estimator="debiased", init=other)


def test_libraries_are_not_mixed():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"x is a numpy array and Tx a torch array"):
        monge_gap(FINE, torch.as_tensor(FINE))


def test_where_maps_are_not_optimal_smoothed_gaps_may_differ_from_those_of_the_sample(rng):
    """The bounds are those of the sample: a number that misses them by a part of the gap is not refuted."""
    x = rng.normal(size=(400, 2))
    turned = x @ np.array([[0.0, -1.0], [1.0, 0.0]])
    found = monge_gap(x, turned, reg=0.02, reg_relative_to="mean", estimator="debiased")
    lower, upper = found.bounds
    assert found.estimator == "debiased" and found.reason == ""
    assert not lower - 0.1 * found.reg <= float(found) <= upper + 0.1 * found.reg
