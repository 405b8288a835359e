"""The Gaussian closed form: oracles, singular covariances, numbers, files, bad input."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from checks import check_library, check_same_bits, check_within, host
from hypothesis import given
from hypothesis import strategies as st
from oracles import SETTINGS
from problems import some_weights
from scipy.linalg import sqrtm

import ot_solvers as ots
from ot_solvers.maps import LinearMap


def covariance(x, w=None):
    w = np.full(len(x), 1 / len(x)) if w is None else w / w.sum()
    centred = x - w @ x
    return (centred * w[:, None]).T @ centred


def closed_form(X, Y):
    """(A, trace term of the distance) by matrix square roots."""
    root = sqrtm(X).real
    inverse = np.linalg.inv(root)
    middle = sqrtm(root @ Y @ root).real
    return inverse @ middle @ inverse, float(np.trace(X + Y - 2 * middle))


@pytest.fixture
def samples(rng):
    """(x, y, a, b, new): correlated points, weights with zeros, n != m."""
    x = rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4)) + [1.0, 2.0, 3.0, 4.0]
    y = rng.normal(size=(45, 4)) @ rng.normal(size=(4, 4)) - 1.0
    return x, y, some_weights(rng, 60), some_weights(rng, 45), rng.normal(size=(7, 4))


# --- closed forms ---------------------------------------------------------------------------------------------


def test_matrix_square_roots(samples):
    x, y, a, b, new = samples
    found = LinearMap().fit(x, y, a, b)
    A, trace = closed_form(covariance(x, a), covariance(y, b))
    mean_a, mean_b = a @ x / a.sum(), b @ y / b.sum()
    check_within(found.matrix_, A, 1e-11)
    check_within(found.offset_, mean_b - A @ mean_a, 1e-10)
    check_within(found.transform(new), mean_b + (new - mean_a) @ A.T, 1e-10)
    check_within(found.value_, ((mean_a - mean_b) ** 2).sum() + trace, 1e-10)
    check_within(found.inverse_transform(found.transform(new)), new, 1e-10)
    back, _ = closed_form(covariance(y, b), covariance(x, a))
    check_within(found.inverse_transform(new), mean_a + (new - mean_b) @ back.T, 1e-10)


@pytest.mark.peer
def test_pot(samples):
    ot = pytest.importorskip("ot")
    x, y, a, b, _ = samples
    found = LinearMap().fit(x, y, a, b)
    A, offset = ot.gaussian.empirical_bures_wasserstein_mapping(
        x, y, reg=0, ws=(a / a.sum())[:, None], wt=(b / b.sum())[:, None]
    )
    check_within(found.matrix_, A, 1e-10)
    check_within(found.offset_, np.ravel(offset), 1e-9)
    distance = ot.gaussian.empirical_bures_wasserstein_distance(
        x, y, reg=0, ws=(a / a.sum())[:, None], wt=(b / b.sum())[:, None]
    )
    check_within(found.value_, float(np.ravel(distance)[0]) ** 2, 1e-9)


@SETTINGS
@given(
    st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    st.floats(0, 6),
)
def test_covariances_that_commute(first, second, shift, angle):
    """Along common axes every coordinate is scaled by the ratio of deviations."""
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    corners = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], dtype=float)
    x, y = corners * first @ turn.T, corners * second @ turn.T + shift
    found = LinearMap().fit(x, y)
    ratio = np.array(second) / first
    check_within(found.matrix_, turn @ np.diag(ratio) @ turn.T, 1e-12 * ratio.max())
    check_within(found.transform(x), y, 1e-11 * (1 + np.abs(y).max()))
    value = np.sum(np.square(shift)) + np.sum((np.array(first) - second) ** 2)
    check_within(found.value_, value, 1e-12 * (1 + value))


def test_an_optimal_linear_map_is_found_from_any_points(rng):
    """y = S x with S symmetric and positive definite: no Gaussian is needed."""
    x = rng.exponential(size=(30, 5))
    root = rng.normal(size=(5, 5))
    S = root @ root.T + 0.1 * np.eye(5)
    found = LinearMap().fit(x, x @ S + 1.0)
    check_within(found.matrix_, S, 1e-10 * np.abs(S).max())
    # The cost of an optimal map between two measures with these points.
    cost = ((x @ S + 1.0 - x) ** 2).sum(1).mean()
    check_within(found.value_, cost, 1e-10 * cost)
    exact = ots.solve_sample(x, x @ S + 1.0).value
    check_within(found.value_, exact, 1e-10 * cost)


def test_many_samples_of_gaussians(rng):
    x, y = rng.normal(size=(20_000, 2)), rng.normal(size=(20_000, 2)) @ np.diag([2.0, 0.5]) + 3.0
    found = LinearMap().fit(x, y)
    new = rng.normal(size=(100, 2))
    assert np.abs(found.transform(new) - (new * [2.0, 0.5] + 3.0)).max() < 0.1
    assert found.value_ == pytest.approx(18 + 1 + 0.25, rel=0.02)
    crude = LinearMap(shrinkage=1.0).fit(x, y).score(x[:300], y[:300])
    assert crude < found.score(x[:300], y[:300]) <= 0


def test_equal_measures_have_distance_zero(samples):
    x, _, a, _, new = samples
    found = LinearMap().fit(x, x[::-1].copy(), a, a[::-1].copy())
    assert 0 <= found.value_ < 1e-26
    check_within(found.matrix_, np.eye(4), 1e-13)
    check_within(found.transform(new), new, 1e-12)


# --- singular covariances -------------------------------------------------------------------------------------


def test_points_in_a_plane(rng):
    basis = np.linalg.qr(rng.normal(size=(5, 2)))[0].T
    u, v = rng.normal(size=(40, 2)), rng.normal(size=(30, 2)) @ [[2.0, 0.3], [0.3, 0.5]] + 1.0
    found, flat = LinearMap().fit(u @ basis + 3, v @ basis + 3), LinearMap().fit(u, v)
    check_within(found.matrix_, basis.T @ flat.matrix_ @ basis, 1e-12)
    check_within(found.value_, flat.value_, 1e-11)
    check_within(found.transform(u @ basis + 3), flat.transform(u) @ basis + 3, 1e-11)
    check_within(found.inverse_transform(found.transform(u @ basis + 3)), u @ basis + 3, 1e-11)
    # Off the plane nothing is known: such deviations are dropped.
    normal = np.linalg.svd(basis)[2][-1]
    check_within(found.transform(u @ basis + 3 + normal), flat.transform(u) @ basis + 3, 1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_is_no_direction(dtype, rng):
    """Points on a line that float32 has moved off it by a digit: not a second direction."""
    line = rng.normal(size=(50, 1)) * np.array([1.0, np.pi, -0.7]) + 100.0
    y = rng.normal(size=(60, 3))
    found = LinearMap().fit(line.astype(dtype), y.astype(dtype))
    assert np.linalg.matrix_rank(host(found.matrix_), tol=1e-6) == 1
    assert np.abs(found.matrix_).max() < 3


def test_fewer_samples_than_dimensions(rng):
    x, y = rng.normal(size=(8, 40)), rng.normal(size=(11, 40)) + 2.0
    found = LinearMap().fit(x, y)
    A = found.matrix_
    check_same_bits(A, A.T)
    values = np.linalg.eigvalsh(A)
    assert values.min() > -1e-13 and np.linalg.matrix_rank(A, tol=1e-10) == 7
    # With its pseudo-inverse the same formula, on the range.
    X, Y = covariance(x), covariance(y)
    values, vectors = np.linalg.eigh(X)
    live = values > 1e-10
    root = (vectors[:, live] * np.sqrt(values[live])) @ vectors[:, live].T
    inverse = (vectors[:, live] / np.sqrt(values[live])) @ vectors[:, live].T
    inner = root @ Y @ root
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    middle = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    check_within(A, inverse @ middle @ inverse, 1e-5)  # roots of eigenvalues that are rounding
    value = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(X + Y - 2 * middle)
    check_within(found.value_, value, 1e-5)


def test_from_a_point(rng):
    y, new = rng.normal(size=(20, 3)), rng.normal(size=(5, 3))
    for x in (np.ones((1, 3)), np.ones((9, 3))):
        found = LinearMap().fit(x, y)
        check_same_bits(found.matrix_, np.zeros((3, 3)))
        check_within(found.transform(new), np.broadcast_to(y.mean(0), (5, 3)), 1e-14)
        check_within(found.inverse_transform(new), np.ones((5, 3)), 1e-14)
        check_within(found.value_, ((y - 1) ** 2).sum(1).mean(), 1e-13)
    both = LinearMap().fit(new[:1], new[1:2])
    check_within(both.transform(new), np.broadcast_to(new[1], (5, 3)), 0)
    check_within(both.value_, ((new[0] - new[1]) ** 2).sum(), 1e-14)


@pytest.mark.parametrize("shrinkage", [0.1, 1.0])
@pytest.mark.parametrize("n", [6, 30])
def test_shrinkage(shrinkage, n, rng):
    x, y = rng.normal(size=(n, 10)), 2 * rng.normal(size=(n + 1, 10)) + 1.0
    found = LinearMap(shrinkage=shrinkage).fit(x, y)
    X, Y = (
        (1 - shrinkage) * S + shrinkage * np.trace(S) / 10 * np.eye(10) for S in (covariance(x), covariance(y))
    )
    A, trace = closed_form(X, Y)
    check_within(found.matrix_, A, 1e-9)
    check_within(found.value_, ((x.mean(0) - y.mean(0)) ** 2).sum() + trace, 1e-9)
    new = rng.normal(size=(4, 10))
    check_within(found.inverse_transform(found.transform(new)), new, 1e-10)


# --- numbers out of the ordinary ------------------------------------------------------------------------------


def test_badly_scaled_axes(rng):
    """Deviations over 10 orders of magnitude: squared, in covariances, the small ones would be lost."""
    corners = np.array([[i, j] for i in (-1, 1) for j in (-1, 1)], dtype=float)
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = LinearMap().fit(corners * [1.0, 1e-10] @ turn.T, corners * [2.0, 3e-10] @ turn.T)
    check_within(found.matrix_, turn @ np.diag([2.0, 3.0]) @ turn.T, 1e-5)


@pytest.mark.parametrize("shift", [1e6, 1e10])
def test_shifted_coordinates(shift, samples):
    x, y, a, b, new = samples
    plain, moved = LinearMap().fit(x, y, a, b), LinearMap().fit(x + shift, y - shift, a, b)
    check_within(moved.matrix_, plain.matrix_, 1e-14 * shift)
    check_within(moved.transform(new + shift) + shift, plain.transform(new), 1e-14 * shift)


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_units_do_not_matter(scale, samples):
    x, y, a, b, new = samples
    plain, scaled = LinearMap().fit(x, y, a, b), LinearMap().fit(scale * x, scale * y, a, b)
    check_within(scaled.matrix_, plain.matrix_, 1e-12)
    check_within(scaled.transform(scale * new) / scale, plain.transform(new), 1e-11)
    check_within(scaled.value_ / scale / scale, plain.value_, 1e-11)


def test_weights_are_repetitions(samples, rng):
    x, y, _, _, new = samples
    counts = rng.integers(0, 4, len(x))
    weighted, repeated = LinearMap().fit(x, y, counts), LinearMap().fit(np.repeat(x, counts, axis=0), y)
    check_within(weighted.transform(new), repeated.transform(new), 1e-11)
    wild = np.where(counts[:, None] > 0, x, 1e12)  # points without weight are not looked at
    check_within(LinearMap().fit(wild, y, counts).transform(new), weighted.transform(new), 1e-11)


def test_float32_is_computed_in_float64(samples):
    x, y, a, b, new = samples
    narrow = LinearMap().fit(x.astype(np.float32), y.astype(np.float32), a, b)
    wide = LinearMap().fit(x.astype(np.float32).astype(float), y.astype(np.float32).astype(float), a, b)
    assert narrow.matrix_.dtype == narrow.offset_.dtype == np.float32
    check_same_bits(narrow.matrix_, wide.matrix_.astype(np.float32))
    check_same_bits(narrow.transform(new), wide.transform(new))
    assert narrow.transform(new.astype(np.float32)).dtype == np.float32
    assert isinstance(narrow.value_, float) and narrow.value_ == wide.value_


def test_arrays_as_they_come(samples):
    x, y, a, b, new = samples
    found = LinearMap().fit(x, y, a, b)
    for z in (x, y, a, b, new):
        z.flags.writeable = False
    check_same_bits(LinearMap().fit(x, y, a, b).matrix_, found.matrix_)
    check_same_bits(found.transform(new), LinearMap().fit(x, y, a, b).transform(new.tolist()))
    other = LinearMap().fit(np.asfortranarray(x), y[::-1], a, b[::-1])
    check_within(other.transform(np.asfortranarray(new)), found.transform(new), 1e-12)
    found.matrix_[:] = 0  # a copy
    assert np.abs(found.matrix_).max() > 0
    check_within(LinearMap().fit([[0], [1]], [[2], [4]]).transform([[2]]), [[6.0]], 1e-14)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_libraries(library, samples):
    module = pytest.importorskip(library)
    make = (lambda z: module.asarray(z, dtype=module.float32)) if library == "torch" else module.numpy.asarray
    x, y, a, b, new = (make(z.astype(np.float32)) for z in samples)
    found = LinearMap().fit(x, y, a, b)
    for array in (found.matrix_, found.offset_, found.transform(new), found.inverse_transform(new)):
        check_library(array, new, dtype="float32")
    assert isinstance(found.transform(samples[4]), np.ndarray)


def test_torch_gradients(samples):
    torch = pytest.importorskip("torch")
    x, y, a, b, new = (torch.tensor(z) for z in samples)
    found = LinearMap().fit(x, y, a, b)
    new.requires_grad_()
    assert torch.autograd.gradcheck(found.transform, (new,))
    assert torch.autograd.gradcheck(found.inverse_transform, (new,))
    check_within(found.transform(new), found.transform(new.detach()), 1e-13)
    half = new.detach().float().requires_grad_()
    assert found.transform(half).dtype == torch.float32
    with torch.no_grad():
        assert not found.transform(new).requires_grad
    with pytest.raises(TypeError, match=r"x requires gradients.*pass x\.detach"):
        LinearMap().fit(x.clone().requires_grad_(), y)


# --- scikit-learn's manners, files, bad input -------------------------------------------------------------------


def test_manners(samples):
    x, y, a, b, new = samples
    one = LinearMap(shrinkage=0.2)
    assert one.get_params() == {"shrinkage": 0.2}
    assert repr(one) == "LinearMap(shrinkage=0.2)" and repr(LinearMap()) == "LinearMap()"
    assert not hasattr(one, "matrix_") and not hasattr(one, "value_")
    for look in (lambda: one.transform(new), lambda: one.matrix_, lambda: one.save("nowhere")):
        with pytest.raises(ots.NotFittedError, match="call fit"):
            look()
    check_same_bits(one.fit_transform(x, y, a, b), one.transform(x))
    assert one.n_features_in_ == 4
    assert one.set_params(shrinkage=0.5).fit(x, y).shrinkage == 0.5
    clone = pytest.importorskip("sklearn.base").clone
    assert clone(one).get_params() == one.get_params() and not hasattr(clone(one), "matrix_")
    for again in (copy.copy, copy.deepcopy, lambda z: pickle.loads(pickle.dumps(z))):
        check_same_bits(again(one).transform(new), one.transform(new))


def test_files(samples, tmp_path):
    x, y, a, b, new = samples
    found, path = LinearMap(shrinkage=0.1).fit(x, y, a, b), tmp_path / "map.npz"
    found.save(path)
    for read in (LinearMap.load(path), ots.maps.load(path)):
        assert isinstance(read, LinearMap)
        assert (read.shrinkage, read.value_, read.n_features_in_) == (0.1, found.value_, 4)
        check_same_bits(read.matrix_, found.matrix_)
        check_same_bits(read.transform(new), found.transform(new))
        check_same_bits(read.inverse_transform(new), found.inverse_transform(new))
    with pytest.raises(ValueError, match="holds a map of kind LinearMap, not EntropicMap: read it with"):
        ots.maps.EntropicMap.load(path)
    with np.load(path) as archive:
        content = {name: archive[name] for name in archive.files}
    for changes, message in (
        ({"source_mean": np.ones(3)}, "its arrays do not belong to each other"),
        ({"forward": np.full((4, 4), np.inf)}, "forward must be 2-d float64, finite"),
        ({"description": np.array(str(content["description"]).replace("value", "cost"))}, "damaged: 'value'"),
    ):
        with open(path, "wb") as stream:
            np.savez(stream, **{**content, **changes})
        with pytest.raises(ValueError, match=message):
            LinearMap.load(path)


def test_bad_input(samples):
    x, y, _, b, new = samples
    for shrinkage, error in ((-0.1, ValueError), (1.5, ValueError), (np.nan, ValueError), ("much", TypeError)):
        with pytest.raises(error, match="shrinkage="):
            LinearMap(shrinkage=shrinkage).fit(x, y)
    with pytest.raises(ValueError, match="x has 4 coordinates and y 2; maps need points of one space"):
        LinearMap().fit(x, y[:, :2])
    with pytest.raises(ValueError, match="b has total mass 0"):
        LinearMap().fit(x, y, None, 0 * b)
    with pytest.raises(ValueError, match=r"x\[3, 1\] is nan"):
        broken = x.copy()
        broken[3, 1] = np.nan
        LinearMap().fit(broken, y)
    found = LinearMap().fit(x, y)
    with pytest.raises(ValueError, match="y has 3 coordinates; the map was fitted to 4"):
        found.inverse_transform(new[:, :3])
    with pytest.raises(ValueError, match=r"x has shape \(4,\); expected \(n, d\)"):
        found.transform(new[0])
