"""Ground costs: their formulas, compiled spellings, gradients, and those that users bring."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from checks import check_close, check_gradient, check_same_bits, check_solution
from scipy.spatial.distance import cdist

import ot_solvers as ots
from ot_solvers import costs
from ot_solvers.backends import registry
from ot_solvers.geometry import PointCloud
from ot_solvers.plans.gibbs import GibbsPlan

WEIGHTS = (0.5, 2.0, 1.5)

#: (cost, the same by SciPy or by hand), in three dimensions.
FORMULAS = [
    (costs.SqEuclidean(), lambda x, y: cdist(x, y, "sqeuclidean")),
    (costs.SqEuclidean(weights=WEIGHTS), lambda x, y: cdist(x, y, "sqeuclidean", w=WEIGHTS)),
    (costs.Euclidean(), lambda x, y: cdist(x, y, "euclidean")),
    (costs.Euclidean(weights=WEIGHTS), lambda x, y: cdist(x, y, "euclidean", w=WEIGHTS)),
    (costs.CityBlock(), lambda x, y: cdist(x, y, "cityblock")),
    (costs.CityBlock(weights=WEIGHTS), lambda x, y: cdist(x, y, "cityblock", w=WEIGHTS)),
    (costs.Chebyshev(), lambda x, y: cdist(x, y, "chebyshev")),
    (costs.Chebyshev(weights=WEIGHTS), lambda x, y: cdist(x * WEIGHTS, y * WEIGHTS, "chebyshev")),
    (costs.EuclideanPower(p=3.0), lambda x, y: cdist(x, y, "euclidean") ** 3),
    (costs.EuclideanPower(WEIGHTS, p=1.5), lambda x, y: cdist(x, y, "minkowski", p=2, w=WEIGHTS) ** 1.5),
    (costs.PNorm(1), lambda x, y: cdist(x, y, "cityblock")),
    (costs.PNorm(2), lambda x, y: cdist(x, y, "euclidean")),
    (costs.PNorm(3.5), lambda x, y: cdist(x, y, "minkowski", p=3.5)),
    (costs.PNorm(3.5, weights=WEIGHTS), lambda x, y: cdist(x, y, "minkowski", p=3.5, w=WEIGHTS)),
    (costs.Cosine(), lambda x, y: cdist(x, y, "cosine")),
    (costs.Dot(), lambda x, y: -x @ y.T),
    (costs.Sphere(), lambda x, y: np.arccos(np.clip(unit(x) @ unit(y).T, -1, 1))),
    (costs.Hamming(), lambda x, y: cdist(x, y, "hamming")),
]
COSTS = [cost for cost, _ in FORMULAS]


def unit(x):
    return x / np.sqrt((x * x).sum(1, keepdims=True))


def some_points(rng, cost, size, d=3):
    x = rng.normal(size=(size, d))
    if isinstance(cost, costs.Hamming):
        return np.sign(x)
    return unit(x) if isinstance(cost, costs.Sphere) else x


@pytest.fixture
def both(rng, cost):
    return some_points(rng, cost, 9), some_points(rng, cost, 7)


each_formula = pytest.mark.parametrize(
    ("cost", "formula"), [pytest.param(*FORMULAS[0], marks=pytest.mark.fast), *FORMULAS[1:]], ids=map(str, COSTS)
)
each_cost = pytest.mark.parametrize(
    "cost", [pytest.param(COSTS[0], marks=pytest.mark.fast), *COSTS[1:]], ids=map(str, COSTS)
)


@each_formula
def test_pairwise(both, cost, formula):
    x, y = both
    expected = formula(x, y)
    found = cost.pairwise(cost.prepare(x), cost.prepare(y))
    # The arc cosine loses half its digits near 1; ours does not, so the reference decides the bound.
    loose = 1e4 if isinstance(cost, costs.Sphere) else 10
    check_close(found, expected, "float64", "cost", scale=loose * np.abs(expected).max())


@each_formula
def test_block_of_a_cloud(both, cost, formula):
    x, y = both
    cloud = PointCloud(x, y, cost)
    check_close(cloud.block(2, 8), formula(x, y)[2:8], "float64", "cost", scale=1e4)
    check_close(cloud.T.block(0, 7), formula(x, y).T, "float64", "cost", scale=1e4)


@each_cost
def test_symmetry(both, cost):
    x, y = (cost.prepare(z) for z in both)
    assert cost.symmetric
    assert cost.swapped() is cost
    check_close(cost.pairwise(x, y), cost.pairwise(y, x).T, "float64", "cost", scale=np.abs(x).max() ** 2 + 1)


@each_cost
def test_kernel_in_plain_python(both, cost):
    """The functions that Numba compiles, run as what they are: plain Python."""
    x, y = (cost.prepare(z) for z in both)
    kernel = cost.kernel(np.float64, 3)
    C = cost.pairwise(x, y)
    for i in range(len(x)):
        for j in range(len(y)):
            total = 0.0
            for u, v in zip(x[i], y[j]):
                total = kernel.accumulate(kernel, total, u, v)
            check_close(kernel.finish(kernel, total), C[i, j], "float64", "cost", scale=np.abs(C).max())
            slope = [kernel.derivative(kernel, C[i, j], u, v) for u, v in zip(x[i], y[j])]
            expected = cost.gradient(x[i : i + 1], y[j : j + 1], C[i : i + 1, j : j + 1])[0, 0]
            check_close(slope, expected, "float64", "cost", scale=1 + np.abs(expected).max())
            if hasattr(kernel, "radial"):
                slope = [kernel.radial(kernel, C[i, j]) * (u - v) for u, v in zip(x[i], y[j])]
                check_close(slope, expected, "float64", "cost", scale=1 + np.abs(expected).max())


def test_where_points_meet_a_radial_slope_is_finite():
    for cost in (costs.Euclidean(), costs.EuclideanPower(p=1.2), costs.EuclideanPower(p=3.0), costs.Sphere()):
        kernel = cost.kernel(np.float64, 3)
        assert kernel.radial(kernel, 0.0) == 0.0


@each_cost
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_kernel_compiled(both, cost, dtype):
    """The soft minimum over one target is the cost itself."""
    x, y = (z.astype(dtype) for z in both)
    cloud = PointCloud(x, y, cost)
    found = [
        registry.get("numba").softmin(PointCloud(x, y[j : j + 1], cost), np.zeros(1), 1.0) for j in range(len(y))
    ]
    C = cloud.block(0, 9)
    check_close(np.stack(found, axis=1), C, "float64", "potential", scale=1 + np.abs(C).max())


@each_cost
def test_kernel_numbers_are_of_the_dtype(cost):
    for dtype in (np.float32, np.float64):
        assert {type(number) for number in cost.kernel(dtype, 3)} == {dtype}


@each_cost
def test_gradient(rng, both, cost):
    """Derivative by the raw points of a weighted sum of costs, through `prepare` and back."""
    x, y = both
    if not isinstance(cost, costs.Sphere | costs.Hamming):
        x = x * rng.uniform(0.5, 2, (len(x), 1))
    plan = rng.random((9, 7))

    def total(z):
        z = unit(z) if isinstance(cost, costs.Sphere) else z
        return float((plan * cost.pairwise(cost.prepare(z), cost.prepare(y))).sum())

    prepared, target = cost.prepare(x), cost.prepare(y)
    slopes = cost.gradient(prepared, target, cost.pairwise(prepared, target))
    gradient = cost.pullback(x, (plan[:, :, None] * slopes).sum(1))
    if isinstance(cost, costs.Hamming):  # piecewise constant
        check_same_bits(gradient, np.zeros((9, 3)))
        return
    check_gradient(total, gradient, x)


@each_cost
def test_gradient_where_points_meet_is_finite(cost):
    x = unit(np.array([[1.0, 2.0, -1.0]]))
    prepared = cost.prepare(x)
    slopes = cost.gradient(prepared, prepared, cost.pairwise(prepared, prepared))
    assert np.isfinite(slopes).all()
    if not isinstance(cost, costs.Dot):
        check_same_bits(np.abs(slopes), np.zeros((1, 1, 3)))
    kernel = cost.kernel(np.float64, 3)
    C = float(cost.pairwise(prepared, prepared)[0, 0])
    assert all(math.isfinite(kernel.derivative(kernel, C, u, u)) for u in prepared[0])


@each_cost
@pytest.mark.parametrize("d", [1, 2, 3])
def test_costs_that_say_so_separate(rng, cost, d):
    if getattr(cost, "weights", None) is not None:
        cost = type(cost)(**{**cost.__dict__, "weights": WEIGHTS[:d]})
    if not cost.separate(d):
        return
    x, y = (cost.prepare(some_points(rng, cost, size, d)) for size in (5, 6))
    total = np.zeros((5, 6))
    for k in range(d):
        one = np.zeros(d)
        one[k] = 1.0
        total += cost.pairwise(x * one, y * one)
    check_close(cost.pairwise(x, y), total, "float64", "cost", scale=10.0)


def test_which_costs_separate():
    assert {name: [costs.by_name(name).separate(d) for d in (1, 2)] for name in costs.names()} == {
        "sqeuclidean": [True, True],
        "euclidean": [True, False],
        "cityblock": [True, True],
        "chebyshev": [True, False],
        "cosine": [False, False],
        "dot": [True, True],
        "sphere": [False, False],
        "hamming": [True, False],
    }


def test_every_name_is_tested():
    assert {type(costs.by_name(name)) for name in costs.names()} <= {type(cost) for cost in COSTS}


@each_cost
def test_costs_are_values(cost):
    twin = pickle.loads(pickle.dumps(cost))
    assert twin == cost
    assert hash(twin) == hash(cost)
    with pytest.raises(AttributeError):
        cost.weights = (1.0,)


def test_different_parameters_are_different_costs():
    assert costs.PNorm(3) == costs.PNorm(3.0)
    assert costs.PNorm(3) != costs.PNorm(2)
    assert costs.PNorm(2) != costs.Euclidean()
    assert costs.SqEuclidean(weights=[1, 2]) == costs.SqEuclidean(weights=(1.0, 2.0))
    assert costs.SqEuclidean() != costs.SqEuclidean(weights=(1, 1))


@pytest.mark.parametrize("power", [-120, -30, 30, 120])
@pytest.mark.parametrize("cost", [costs.Cosine(), costs.Euclidean(), costs.CityBlock()], ids=str)
def test_huge_and_tiny_points(rng, cost, power):
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    unscaled = PointCloud(x, y, cost).block(0, 5)
    scale = 1.0 if isinstance(cost, costs.Cosine) else 2.0**power
    found = PointCloud(x * 2.0**power, y * 2.0**power, cost).block(0, 5)
    check_close(found, scale * unscaled, "float64", "cost", scale=scale * np.abs(unscaled).max())


def test_near_points_on_the_sphere():
    """The arc cosine of their product would say 0 or 1.5e-8."""
    angle = 3e-9
    x, y = np.array([[1.0, 0.0]]), np.array([[math.cos(angle), math.sin(angle)]])
    check_close(PointCloud(x, y, costs.Sphere()).block(0, 1), [[angle]], "float64", "cost", scale=100 * angle)
    opposite = PointCloud(x, -x, costs.Sphere()).block(0, 1)
    check_close(opposite, [[math.pi]], "float64", "cost", scale=math.pi)


@pytest.mark.parametrize("p", [0.5, 0, -1, math.nan, math.inf])
def test_bad_p(p):
    with pytest.raises(ValueError, match=r"p=.* must be finite and at least 1"):
        costs.PNorm(p)


@pytest.mark.parametrize("p", ["2", None, True, 1j])
def test_p_of_another_type(p):
    with pytest.raises(TypeError, match="is not a number"):
        costs.PNorm(p)


@pytest.mark.parametrize("weights", [(), (1, 0), (1, -1), (1, math.nan), (1, math.inf)])
@pytest.mark.parametrize("cost", [costs.SqEuclidean, costs.PNorm])
def test_bad_weights(cost, weights):
    with pytest.raises(ValueError, match=r"weights=.* must be positive and finite"):
        cost(weights=weights)


def test_points_outside_the_domain(rng):
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    with pytest.raises(ValueError, match="2 coordinate weights, but x has 3 coordinates"):
        ots.solve_sample(x, y, cost=costs.SqEuclidean(weights=(1, 2)), reg=1.0)
    y[2] = 0
    with pytest.raises(ValueError, match=r"y\[2\] is the zero vector"):
        ots.solve_sample(x, y, cost="cosine", reg=1.0)
    with pytest.raises(ValueError, match=r"cost='sphere' needs unit vectors, but x\[\d\] has norm"):
        ots.solve_sample(x, y, cost="sphere", reg=1.0)


def test_weights_on_a_grid():
    ones = np.full((3, 4), 1 / 12)
    cost = costs.SqEuclidean(weights=(1.0, 4.0))
    grid = ots.solve_grid(ones, ones, cost=cost, reg=0.5)
    points = np.stack(np.meshgrid(np.arange(3.0), np.arange(4.0), indexing="ij"), -1).reshape(-1, 2)
    cloud = ots.solve_sample(points, points, cost=cost, reg=0.5)
    check_close(grid.value, cloud.value, "float64", "optimum")
    with pytest.raises(ValueError, match="3 coordinate weights"):
        ots.solve_grid(ones, ones, cost=costs.SqEuclidean(weights=(1.0, 4.0, 2.0)), reg=0.5)


# --- costs of users ------------------------------------------------------------------------------------------


class HuberKernel(NamedTuple):
    delta: float
    half: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        distance = abs(u - v)
        inside = min(distance, kernel.delta)
        return total + inside * (distance - kernel.half * inside)

    @staticmethod
    def finish(kernel, total):
        return total

    @staticmethod
    def derivative(kernel, c, u, v):
        return max(-kernel.delta, min(u - v, kernel.delta))


@dataclass(frozen=True)
class Huber(costs.Cost):
    """Sum over coordinates, quadratic up to delta and linear beyond."""

    delta: float = 1.0

    def pairwise(self, x, y, xp=np):
        distance = xp.abs(x[:, None, :] - y[None, :, :])
        inside = xp.where(distance < self.delta, distance, self.delta * xp.ones_like(distance))
        return xp.sum(inside * (distance - inside / 2), axis=-1)

    def gradient(self, x, y, c, xp=np):
        return xp.clip(x[:, None, :] - y[None, :, :], -self.delta, self.delta)

    def kernel(self, dtype, d):
        return HuberKernel(dtype(self.delta), dtype(0.5))

    def separate(self, d):
        return True


@dataclass(frozen=True)
class SlowHuber(Huber):
    """The same without a compiled form."""

    def kernel(self, dtype, d):
        return None


class UphillKernel(NamedTuple):
    up: float
    down: float

    @staticmethod
    def accumulate(kernel, total, u, v):
        return total + (kernel.up * (v - u) if v > u else kernel.down * (u - v))

    @staticmethod
    def finish(kernel, total):
        return total

    @staticmethod
    def derivative(kernel, c, u, v):
        return -kernel.up if v > u else kernel.down


@dataclass(frozen=True)
class Uphill(costs.Cost):
    """Going up costs more than coming down."""

    up: float = 3.0
    down: float = 1.0
    symmetric = False

    def swapped(self):
        return Uphill(self.down, self.up)

    def pairwise(self, x, y, xp=np):
        rise = y[None, :, :] - x[:, None, :]
        return xp.sum(xp.where(rise > 0, self.up * rise, -self.down * rise), axis=-1)

    def gradient(self, x, y, c, xp=np):
        rise = y[None, :, :] - x[:, None, :]
        one = xp.ones_like(rise)
        return xp.where(rise > 0, -self.up * one, self.down * one)

    def kernel(self, dtype, d):
        return UphillKernel(dtype(self.up), dtype(self.down))


@dataclass(frozen=True)
class SlowUphill(Uphill):
    def swapped(self):
        return SlowUphill(self.down, self.up)

    def kernel(self, dtype, d):
        return None


@dataclass(frozen=True)
class Lifted(costs.Cost):
    """Squared distance between (x, x**2): prepared points have twice the coordinates."""

    def prepare(self, x, xp=np):
        return xp.concat([x, x * x], axis=1)

    def pairwise(self, x, y, xp=np):
        return costs.SqEuclidean().pairwise(x, y, xp)

    def gradient(self, x, y, c, xp=np):
        return costs.SqEuclidean().gradient(x, y, c, xp)

    def pullback(self, x, gradient):
        d = x.shape[1]
        return gradient[:, :d] + 2 * x * gradient[:, d:]

    def kernel(self, dtype, d):
        assert d % 2 == 0
        return costs.SqEuclidean().kernel(dtype, d)


def huber_by_hand(x, y, delta):
    distance = np.abs(x[:, None] - y[None])
    return np.where(distance < delta, distance**2 / 2, delta * (distance - delta / 2)).sum(-1)


def uphill_by_hand(x, y, up=3.0, down=1.0):
    rise = y[None] - x[:, None]
    return (up * np.maximum(rise, 0) + down * np.maximum(-rise, 0)).sum(-1)


@pytest.mark.fast
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_users_cost_with_a_kernel(clouds, dtype):
    """No warning (they are errors here), every field right, parameters not baked into compiled code."""
    x, y, a, b = clouds
    x, y = x.astype(dtype), y.astype(dtype)
    for delta in (0.4, 1.7):
        C = huber_by_hand(x.astype(np.float64), y.astype(np.float64), delta)
        solution = ots.solve_sample(x, y, a, b, cost=Huber(delta), reg=0.2, method=ots.Sinkhorn(kernel="log"))
        check_solution(solution, C, a, b, dtype=dtype)
        assert solution.converged


def test_a_users_cost_on_a_grid():
    image = np.zeros((5, 6))
    image[1, 2] = 1.0
    moved = np.zeros((5, 6))
    moved[4, 1] = 1.0
    solution = ots.solve_grid(image, moved, cost=Huber(2.0), reg=0.1)
    check_close(solution.value_linear, 2 * (3 - 1) + 0.5, "float64", "optimum")


def test_a_users_cost_without_a_kernel(clouds):
    x, y, a, b = clouds
    with pytest.warns(ots.PerformanceWarning, match="generic blocks"):
        solution = ots.solve_sample(x, y, a, b, cost=SlowHuber(0.7), reg=0.2, method=ots.Sinkhorn(kernel="log"))
    with pytest.warns(ots.PerformanceWarning, match="compiled `kernel`"):
        check_solution(solution, huber_by_hand(x, y, 0.7), a, b)
    fast = ots.solve_sample(x, y, a, b, cost=Huber(0.7), reg=0.2, method=ots.Sinkhorn(kernel="log"))
    check_close(solution.potential_a, fast.potential_a, "float64", "optimum")


@pytest.mark.parametrize("cost", [Huber(0.7), Uphill(), Lifted()], ids=str)
def test_gradients_of_users_costs(clouds, cost):
    x, y, a, b = clouds
    plan = GibbsPlan(PointCloud(x, y, cost), np.zeros(40), np.zeros(30), a, b, 5.0)
    P = registry.get("reference").plan_rows(plan, 0, 40)

    def total(z):
        return float((P * PointCloud(z, y, cost).block(0, 40)).sum())

    for name in registry.names():
        check_gradient(total, registry.get(name).cost_gradient(plan), x)


def test_prepared_points_may_have_more_coordinates(clouds):
    x, y, a, b = clouds
    C = cdist(np.hstack([x, x**2]), np.hstack([y, y**2]), "sqeuclidean")
    solution = ots.solve_sample(x, y, a, b, cost=Lifted(), reg=1.0, method=ots.Sinkhorn(kernel="log"))
    check_solution(solution, C, a, b)


@pytest.mark.parametrize("cost", [pytest.param(Uphill(), marks=pytest.mark.fast), SlowUphill()], ids=str)
@pytest.mark.filterwarnings("ignore::ot_solvers.PerformanceWarning")
def test_an_asymmetric_cost(clouds, cost):
    """Columns read the swapped cost; exchanging both the points and the cost's arguments transposes."""
    x, y, a, b = clouds
    C = uphill_by_hand(x, y)
    assert np.abs(C - uphill_by_hand(y, x).T).max() > 1
    log = ots.Sinkhorn(kernel="log")
    solution = ots.solve_sample(x, y, a, b, cost=cost, reg=0.3, method=log, tol=1e-10)
    check_solution(solution, C, a, b)
    turned = ots.solve_sample(y, x, b, a, cost=cost.swapped(), reg=0.3, method=log, tol=1e-10)
    check_close(turned.plan.T, solution.plan, "float64", "optimum")
    # Out of sample, in both directions, at the sample points themselves.
    check_close(solution.transport(x), solution.barycentric_map(), "float64", "optimum", scale=3)
    inverse = solution.transport(y, inverse=True)
    check_close(inverse, solution.barycentric_map(inverse=True), "float64", "optimum", scale=3)


def test_an_asymmetric_cost_must_say_its_other_side():
    class OneWay(costs.Cost):
        symmetric = False

    with pytest.raises(NotImplementedError, match=r"OneWay is not symmetric and must define swapped\(\)"):
        OneWay().swapped()


def test_divergences_want_symmetric_costs(clouds):
    x, y, a, b = clouds
    with pytest.raises(ValueError, match=r"Uphill.* is not symmetric"):
        ots.sinkhorn_divergence(x, y, a, b, cost=Uphill(), reg=0.3)


def test_a_cost_without_gradient_says_so(clouds):
    class Bare(costs.Cost):
        def pairwise(self, x, y, xp=np):
            return costs.SqEuclidean().pairwise(x, y, xp)

    x, y, a, b = clouds
    plan = GibbsPlan(PointCloud(x, y, Bare()), np.zeros(40), np.zeros(30), a, b, 5.0)
    with pytest.raises(NotImplementedError, match="Bare has no gradient"):
        registry.get("reference").cost_gradient(plan)


def test_names_and_values_of_costs(clouds):
    x, y, a, b = clouds
    with pytest.raises(ValueError, match=r"cost='sqeuclidian' is unknown.*did you mean 'sqeuclidean'"):
        ots.solve_sample(x, y, a, b, cost="sqeuclidian", reg=1.0)
    with pytest.raises(TypeError, match=r"must be a name or an ots.costs.Cost, not function"):
        ots.solve_sample(x, y, a, b, cost=huber_by_hand, reg=1.0)
    assert costs.SqEuclidean().name == "sqeuclidean"


def test_a_cost_made_from_another_one_says_itself_whether_it_has_bounds():
    class Periodic(costs.SqEuclidean):
        def pairwise(self, x, y, xp=np):
            d = abs(x[:, None] - y[None])
            return (xp.minimum(d, 1 - d) ** 2).sum(-1)

    class Renamed(costs.SqEuclidean):
        pass

    assert costs.SqEuclidean().boundable and Renamed().boundable
    assert not Periodic().boundable
