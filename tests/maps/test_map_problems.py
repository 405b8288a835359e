"""Problems with known maps: their laws, their maps, and that these are optimal."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from checks import check_library, check_same_bits, check_within
from oracles import assignment, squared_distances

import ot_solvers as ots
from ot_solvers import maps

torch = pytest.importorskip("torch")

KNOWN = {
    "Gaussian": maps.gaussian_problem,
    "convex": maps.convex_gradient_problem,
}


def gap(x, images, cost="sqeuclidean"):
    """Mean cost less the cost of the best assignment, by SciPy."""
    C = (
        squared_distances(x, images)
        if cost == "sqeuclidean"
        else 2 * np.arcsin(np.minimum(1, np.sqrt(squared_distances(x, images)) / 2))
    )
    return np.trace(C) / len(x) - assignment(C)[1] / len(x)


# --- optimal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 16, 128])
@pytest.mark.parametrize("maker", KNOWN)
def test_known_maps_are_optimal_on_samples(maker, d):
    problem = KNOWN[maker](d, seed=d)
    x, _ = problem.sample(300, seed=1)
    images = problem.true_map(x)
    scale = ((x - images) ** 2).sum(1).mean()
    assert scale > 0.1
    assert abs(gap(x, images)) <= 1e-9 * scale
    assert abs(float(maps.monge_gap(x, images))) <= 1e-9 * scale
    # And no other map of the same points is: what the comparison can tell.
    assert gap(x, np.roll(images, 1, axis=0)) > 0.05 * scale


@pytest.mark.parametrize(("d", "angle"), [(3, 0.3), (3, 1.0), (3, 3.0), (4, 1.0), (7, 2.0)])
def test_the_rotation_is_optimal_on_the_sphere(d, angle):
    problem = maps.sphere_rotation_problem(d, angle, seed=3)
    x, y = problem.sample(300, seed=1)
    images = problem.true_map(x)
    for points in (x, y, images):
        check_within(np.linalg.norm(points, axis=1), np.ones(300), 1e-12, "norms")
    assert abs(gap(x, images, "sphere")) <= 1e-12
    # The only optimal plan: exchanging two images costs something.
    swapped = images.copy()
    swapped[[0, 1]] = images[[1, 0]]
    assert gap(x, swapped, "sphere") > 1e-6


@pytest.mark.parametrize("d", [3, 5])
def test_the_source_is_half_of_a_great_sphere(d):
    problem = maps.sphere_rotation_problem(d, 2.5, seed=4)
    x, y = problem.sample(2000, seed=1)
    local = x @ problem.source.frame
    assert np.abs(local[:, 1]).max() < 1e-12 <= local[:, 0].min()
    # The axis stays where it is, and points turn by the angle about it.
    turned = problem.true_map(x) @ problem.source.frame
    check_within(turned[:, 2:], local[:, 2:], 1e-12)
    longitude = np.arctan2(turned[:, 1], turned[:, 0])
    check_within(longitude, np.full(2000, 2.5), 1e-9)
    check_within(np.arctan2(*(y @ problem.source.frame)[:, 1::-1].T), np.full(2000, 2.5), 1e-9)


# --- maps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 16, 64])
@pytest.mark.parametrize("maker", KNOWN)
def test_inverses(maker, d):
    problem = KNOWN[maker](d, seed=5)
    x, y = problem.sample(100, seed=2)
    check_within(problem.inverse_map(problem.true_map(x)), x, 1e-9)
    check_within(problem.true_map(problem.inverse_map(y)), y, 1e-9)
    # Far from all samples, too.
    far = 1e3 * (y - y.mean(axis=0))
    check_within(problem.true_map(problem.inverse_map(far)), far, 1e-7)
    assert problem.inverse_map.inverse(x) == pytest.approx(problem.true_map(x))


def test_the_inverse_rotation():
    problem = maps.sphere_rotation_problem(4, 2.0, seed=1)
    x, _ = problem.sample(50, seed=2)
    images = problem.true_map(x)
    check_within(problem.inverse_map(images), x, 1e-14)
    assert np.abs(images - x).max() > 0.5


def test_the_gaussian_map_carries_one_covariance_to_the_other():
    problem = maps.gaussian_problem(6, seed=2)
    A, source, target = problem.true_map.matrix, problem.source, problem.target
    X, Y = source.root @ source.root.T, target.root @ target.root.T
    np.testing.assert_allclose(A @ X @ A.T, Y, atol=1e-12)
    np.testing.assert_allclose(A, A.T, atol=0)
    assert np.linalg.eigvalsh(A).min() > 0
    np.testing.assert_allclose(problem.true_map(source.mean[None])[0], target.mean, atol=1e-14)
    for covariance in (X, Y):
        values = np.linalg.eigvalsh(covariance)
        assert 0.5 - 1e-12 <= values.min() < values.max() <= 2 + 1e-12


def test_the_convex_map_is_the_gradient_of_its_potential():
    forward = maps.convex_gradient_problem(5, seed=4).true_map
    x = np.random.default_rng(0).normal(size=(7, 5))
    step = 1e-6
    numeric, jacobian = np.empty(x.shape), np.empty((7, 5, 5))
    for k in range(5):
        ahead, behind = x.copy(), x.copy()
        ahead[:, k] += step
        behind[:, k] -= step
        numeric[:, k] = (forward.potential(ahead) - forward.potential(behind)) / (2 * step)
        jacobian[:, :, k] = (forward(ahead) - forward(behind)) / (2 * step)
    np.testing.assert_allclose(forward(x), numeric, atol=1e-7)
    np.testing.assert_allclose(forward.hessians(x), jacobian, atol=1e-6)
    # Strongly convex: at least as much as its quadratic part.
    least = np.linalg.eigvalsh(forward.quadratic).min()
    assert least > 0.6
    assert np.linalg.eigvalsh(forward.hessians(x)).min() >= least - 1e-12


@pytest.mark.parametrize(("d", "least", "most"), [(2, 2, 8), (16, 6, 14), (64, 6, 14)])
def test_no_affine_map_is_the_convex_one(d, least, most):
    """The share of variance that least squares leave, percent: what the docstring says."""
    problem = maps.convex_gradient_problem(d)
    x, _ = problem.sample(5000, seed=1)
    y = problem.true_map(x)
    affine = np.c_[x, np.ones(len(x))]
    fitted = affine @ np.linalg.lstsq(affine, y, rcond=None)[0]
    assert least < maps.l2_uvp(fitted, y) < most


def test_maps_answer_in_the_library_and_type_of_the_points():
    problem = maps.convex_gradient_problem(3)
    x, _ = problem.sample(20, seed=0)
    expected = problem.true_map(x)
    single = problem.true_map(x.astype(np.float32))
    check_library(single, x.astype(np.float32))
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-5)
    tensor = problem.true_map(torch.as_tensor(x))
    check_library(tensor, torch.as_tensor(x))
    check_same_bits(tensor, expected)
    check_library(problem.inverse_map(tensor), tensor)
    x.setflags(write=False)
    check_same_bits(problem.true_map(x), expected)
    check_same_bits(problem.true_map(np.asfortranarray(x)), expected)


def test_bad_points():
    forward = maps.gaussian_problem(3).true_map
    with pytest.raises(ValueError, match=r"x has 2 coordinates; the map is one of R\^3"):
        forward(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"x\[1, 0\] is nan"):
        forward(np.array([[0.0, 0, 0], [np.nan, 0, 0]]))
    with pytest.raises(TypeError, match="x requires gradients"):
        forward(torch.zeros(4, 3, requires_grad=True))


# --- laws -----------------------------------------------------------------------------------------------------

ALL = {
    **{name: (lambda maker=maker: maker(4, seed=1)) for name, maker in KNOWN.items()},
    "sphere": maps.sphere_rotation_problem,
    "moons": maps.moons_problem,
    "two moons": lambda: maps.moons_problem("euclidean", two_moons=True),
}


@pytest.mark.parametrize("name", ALL)
def test_samples_are_seeded_and_not_paired(name):
    problem = ALL[name]()
    x, y = problem.sample(400, seed=7)
    assert x.shape == y.shape == (400, problem.dimension)
    for one, other in zip((x, y), problem.sample(400, seed=7)):
        check_same_bits(one, other)
    for one, other in zip((x, y), problem.sample(400, seed=np.random.default_rng(7))):
        check_same_bits(one, other)
    assert (problem.sample(400, seed=8)[0] != x).any()
    first, second = problem.sample(5, seed=0, n_target=9)
    assert (len(first), len(second)) == (5, 9)
    # Independent samples: rows of y tell nothing about rows of x.
    assert np.abs(np.corrcoef(x.T, y.T)[: problem.dimension, problem.dimension :]).max() < 0.2
    if problem.true_map is not None:
        assert np.abs(problem.true_map(x) - y).max() > 0.1


@pytest.mark.parametrize("name", KNOWN)
def test_the_same_seed_is_the_same_problem(name):
    points = np.random.default_rng(0).normal(size=(5, 4))
    again = [KNOWN[name](4, seed=s).true_map(points) for s in (1, 1, 2)]
    check_same_bits(again[0], again[1])
    assert (again[0] != again[2]).any()


@pytest.mark.parametrize("name", [k for k in ALL if "moons" not in k])
def test_the_target_is_the_image_of_the_source(name):
    """First and second moments, to within sampling."""
    problem = ALL[name]()
    x, y = problem.sample(40_000, seed=3)
    images = problem.true_map(x)
    spread = np.sqrt(problem.target_variance)
    np.testing.assert_allclose(images.mean(0), y.mean(0), atol=0.03 * spread)
    np.testing.assert_allclose(np.cov(images.T), np.cov(y.T), atol=0.04 * spread**2)
    assert ots.maps.mmd(images[:2000], y[:2000]) < 2e-3 < ots.maps.mmd(x[:2000], y[:2000])


@pytest.mark.parametrize("name", ALL)
def test_the_target_variance(name):
    problem = ALL[name]()
    _, y = problem.sample(10, seed=11, n_target=40_000)
    assert problem.target_variance == pytest.approx(y.var(axis=0).sum(), rel=0.02)


def test_gaussian_moments():
    problem = maps.gaussian_problem(3, seed=9)
    x, y = problem.sample(100_000, seed=1)
    for points, law in ((x, problem.source), (y, problem.target)):
        np.testing.assert_allclose(points.mean(0), law.mean, atol=0.02)
        np.testing.assert_allclose(np.cov(points.T), law.root @ law.root.T, atol=0.03)
    assert problem.target_variance == pytest.approx(np.trace(problem.target.root @ problem.target.root.T))


def test_moons_without_noise_lie_on_their_curves():
    """Back in place, the moon is half a circle and the S-curve two arcs of circles around (0, 1) and (0, -1)."""
    problem = maps.moons_problem(noise=0)
    x, y = problem.sample(500, seed=0)
    turned = (x - [0, -0.5]) @ rotation(np.pi / 6)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1, atol=1e-12)
    assert turned[:, 1].min() >= -1e-12 and np.ptp(turned[:, 0]) > 1.95
    curve = (y - [1, -2]) / 0.6 @ rotation(np.pi / 2)
    upper = np.abs(np.linalg.norm(curve - [1, 0], axis=1) - 1)
    lower = np.abs(np.linalg.norm(curve - [-1, 0], axis=1) - 1)
    np.testing.assert_allclose(np.minimum(upper, lower), 0, atol=1e-12)
    assert 0.4 < (upper < 1e-9).mean() < 0.6
    both, _ = maps.moons_problem(noise=0, two_moons=True).sample(500, seed=0)
    second = np.linalg.norm((both - [0, -0.5]) @ rotation(np.pi / 6) - [1, 0.5], axis=1)
    assert 0.4 < (np.abs(second - 1) < 1e-9).mean() < 0.6


def rotation(angle):
    """Rows times this are turned back by the angle."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def test_the_s_curve_is_that_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    points, t = datasets.make_s_curve(2000, random_state=0)
    _, y = maps.moons_problem(noise=0).sample(2000, seed=0)
    theirs = [1, -2] + 0.6 * points[:, [2, 0]] @ rotation(np.pi / 2).T
    # The same curve: every point of one is near one of the other, in both directions.
    D = np.sqrt(squared_distances(theirs, y))
    assert max(D.min(0).max(), D.min(1).max()) < 0.03
    moons, _ = datasets.make_moons((2000, 0), random_state=0)
    x, _ = maps.moons_problem(noise=0).sample(2000, seed=0)
    D = np.sqrt(squared_distances([0, -0.5] + moons @ rotation(np.pi / 6).T, x))
    assert max(D.min(0).max(), D.min(1).max()) < 0.03


def test_moons_have_no_known_map():
    problem = maps.moons_problem("euclidean")
    assert problem.true_map is None and problem.inverse_map is None
    assert problem.cost == "euclidean"
    assert repr(problem) == "MapProblem('moon, S-curve', cost='euclidean', dimension=2, no known map)"
    assert "map known" in repr(maps.gaussian_problem(2))
    assert maps.moons_problem(ots.costs.PNorm(3)).cost == ots.costs.PNorm(3)


def test_problems_of_ones_own():
    """Laws and a map as plain functions."""
    problem = maps.MapProblem(
        "doubled", "euclidean", 2,
        source=lambda n, generator: generator.uniform(size=(n, 2)),
        target=lambda n, generator: 2 * generator.uniform(size=(n, 2)),
        true_map=lambda x: 2 * x,
    )  # fmt: skip
    assert problem.target_variance == pytest.approx(2 / 3, rel=0.02)
    report = maps.evaluate(problem.true_map, problem, n=100)
    assert report.l2_uvp == 0 and report.cost == "euclidean"


@pytest.mark.parametrize("name", ALL)
def test_problems_survive_pickling(name):
    problem = ALL[name]()
    twin = pickle.loads(pickle.dumps(problem))
    for one, other in zip(problem.sample(20, seed=1), twin.sample(20, seed=1)):
        check_same_bits(one, other)


def test_problems_are_frozen():
    with pytest.raises(AttributeError):
        maps.gaussian_problem(2).cost = "euclidean"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: maps.gaussian_problem(0), ValueError, "d=0 must be at least 1"),
        (lambda: maps.gaussian_problem(2.0), TypeError, r"d=2\.0 is not an integer"),
        (lambda: maps.convex_gradient_problem(-1), ValueError, "d=-1 must be at least 1"),
        (lambda: maps.sphere_rotation_problem(2), ValueError, "d=2 must be at least 3"),
        (lambda: maps.sphere_rotation_problem(3, 0), ValueError, r"angle=0\.0 must be between 0 and pi"),
        (lambda: maps.sphere_rotation_problem(3, np.pi), ValueError, "angle=3.14.* must be between 0 and pi"),
        (lambda: maps.sphere_rotation_problem(3, "1"), TypeError, r"angle='1' is not a number \(radians\)"),
        (lambda: maps.moons_problem("sqeuclid"), ValueError, "did you mean 'sqeuclidean'"),
        (lambda: maps.moons_problem(noise=-1), ValueError, r"noise=-1\.0 must be finite and not negative"),
        (lambda: maps.gaussian_problem(2).sample(0), ValueError, "n=0 must be at least 1"),
        (lambda: maps.gaussian_problem(2).sample(3, n_target=0), ValueError, "n_target=0 must be at least 1"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
