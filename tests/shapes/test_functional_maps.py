"""Functional maps, their derivatives, point maps and losses, each against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from ot_solvers import shapes

torch = pytest.importorskip("torch")

from ot_solvers.shapes.learning import functional_maps, losses, sinkhorn  # noqa: E402
from ot_solvers.shapes.learning.network import DiffusionNetwork  # noqa: E402


def double(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def basis():
    return shapes.eigenbasis(shapes.body(n_vertices=600).scaled(), 40)


# --- the functional map ----------------------------------------------------------------------------------------


def test_a_shape_maps_to_itself_by_the_identity(basis):
    values = torch.as_tensor(basis.values)
    mask = functional_maps.resolvent_mask(values, values)
    np.testing.assert_allclose(mask.diagonal(), 0, atol=1e-15)
    for features in (60, 12):  # also fewer features than frequencies: the mask decides
        A = double(40, features)
        C = functional_maps.functional_map(A, A, mask)
        np.testing.assert_allclose(C, np.eye(40), atol=1e-6)


def test_each_row_is_the_least_squares_solution():
    A, B, mask = double(5, 9), double(4, 9, seed=1), double(4, 5, seed=2).square()
    C = functional_maps.functional_map(A, B, mask, weight=3.0)
    for i in range(4):
        system = np.vstack([A.T.numpy(), np.diag(np.sqrt(3.0 * mask[i].numpy()))])
        right = np.append(B[i].numpy(), np.zeros(5))
        np.testing.assert_allclose(C[i], np.linalg.lstsq(system, right)[0], atol=1e-10)


def test_gradients_against_finite_differences():
    A, B, mask = double(4, 6), double(3, 6, seed=1), double(3, 4, seed=2).square()
    inputs = [t.clone().requires_grad_() for t in (A, B, mask)]

    def mapped(A, B, mask):
        # The ridge is a constant of the derivative: too small to matter, but it is not part of the formula.
        return functional_maps.functional_map(A, B, mask, weight=2.0)

    assert torch.autograd.gradcheck(mapped, inputs)


def test_the_mask_is_that_of_resolvents():
    x, y = torch.tensor([0.0, 1.0, 4.0]), torch.tensor([0.0, 2.0])
    mask = functional_maps.resolvent_mask(x, y, gamma=0.5)
    p, q = np.sqrt([0, 0.25, 1]), np.sqrt([0, 0.5])
    expected = np.abs(1 / (q[:, None] - 1j) - 1 / (p - 1j)) ** 2
    np.testing.assert_allclose(mask, expected, atol=1e-6)


def test_bad_functional_maps():
    with pytest.raises(ValueError, match=r"A and B have shapes \(2, 3\) and \(2, 4\)"):
        functional_maps.functional_map(double(2, 3), double(2, 4), double(2, 2))
    with pytest.raises(ValueError, match=r"mask has shape \(3, 2\); expected \(2, 3\)"):
        functional_maps.functional_map(double(3, 4), double(2, 4), double(3, 2))


# --- point maps ------------------------------------------------------------------------------------------------


def test_point_maps_from_functional_maps_and_back():
    mesh = shapes.body(n_vertices=600)
    other, where = mesh.shuffled(seed=0)
    x, y = (shapes.eigenbasis(m.scaled(), 30) for m in (mesh, other))
    C = shapes.functional_from_point_map(where, x, y)  # from y to x
    # Two bases of one shape differ by an orthogonal matrix.
    np.testing.assert_allclose(C @ C.T, np.eye(30), atol=1e-6)
    np.testing.assert_array_equal(shapes.point_map_from_functional(C, x, y), where)
    np.testing.assert_allclose(x.vectors @ C, y.vectors[where], atol=1e-6)


def test_upsampling_improves_a_coarse_map():
    pair = shapes.example_pair("bent", 600)
    x, y = (shapes.eigenbasis(m.scaled(), 80) for m in (pair.x, pair.y))
    coarse = shapes.functional_from_point_map(pair.truth, x.first(10), y.first(10))
    before = shapes.point_map_from_functional(coarse, x, y)
    after, C = shapes.upsampled(coarse, x, y, 80)
    assert C.shape == (80, 80)
    np.testing.assert_array_equal(after, shapes.point_map_from_functional(C, x, y))
    errors = [shapes.mean_geodesic_error(pair.y, m, pair.truth) for m in (before, after)]
    assert errors[0] > 0.5
    assert errors[1] < 0.1 * errors[0]


def test_point_maps_go_to_the_nearest_neighbour(monkeypatch):
    from scipy.spatial import cKDTree

    from ot_solvers.shapes import point_maps

    x, y = (shapes.eigenbasis(m, 12) for m in (shapes.torus(n_vertices=300), shapes.cylinder(n_vertices=250)))
    C = np.random.default_rng(0).normal(size=(12, 10))
    expected = cKDTree(y.vectors[:, :10]).query(x.vectors @ C)[1]
    np.testing.assert_array_equal(shapes.point_map_from_functional(C, x, y), expected)
    monkeypatch.setattr(point_maps, "BLOCK", 1000)  # several blocks
    np.testing.assert_array_equal(shapes.point_map_from_functional(C, x, y), expected)


def test_bad_point_maps(basis):
    with pytest.raises(ValueError, match=r"C has shape \(41, 40\); expected at most \(40, 40\)"):
        shapes.point_map_from_functional(np.ones((41, 40)), basis, basis)
    with pytest.raises(ValueError, match=r"C has shape \(3,\)"):
        shapes.point_map_from_functional(np.ones(3), basis, basis)


# --- losses ----------------------------------------------------------------------------------------------------


def test_structure_is_nothing_for_inverse_rotations_and_something_for_others():
    Q = torch.linalg.qr(double(6, 6)).Q
    assert float(losses.structure_loss(losses.FunctionalMaps(Q, Q.T))) == pytest.approx(0, abs=1e-20)
    # Inverse to each other, not orthogonal: |4 - 1|^2 and |1/4 - 1|^2, six times.
    stretched = losses.FunctionalMaps(2 * Q, Q.T / 2)
    assert float(losses.structure_loss(stretched)) == pytest.approx(6 * (9 + 0.5625))
    # Orthogonal, not inverse: twice |Q Q - I|^2.
    twice = losses.FunctionalMaps(Q, Q)
    expected = 2 * float((Q @ Q - torch.eye(6, dtype=torch.float64)).square().sum())
    assert float(losses.structure_loss(twice)) == pytest.approx(expected)


def test_the_loss_of_coupling_and_roughness_for_the_true_map():
    from ot_solvers.shapes.learning.surfaces import Surface

    mesh = shapes.body(n_vertices=600).scaled()
    other, where = mesh.shuffled(seed=0)
    pair = Surface.of(mesh, 20, 30, 40), Surface.of(other, 20, 30, 40)
    to_y = torch.zeros(mesh.n_vertices, mesh.n_vertices)
    to_y[torch.arange(mesh.n_vertices), torch.as_tensor(where)] = 1
    x, y = pair
    maps = losses.FunctionalMaps(y.analysis @ (to_y.T @ x.vectors), x.analysis @ (to_y @ y.vectors))
    assert float(losses.structure_loss(maps)) < 1e-6
    assert float(losses.coupling_loss(maps, pair, (to_y, to_y.T))) < 1e-6
    wrong = to_y.roll(1, dims=0)
    assert float(losses.coupling_loss(maps, pair, (wrong, wrong.T))) > 1
    # The coordinates of the other shape are as rough on this one as at home; a shuffled map is much rougher.
    assert float(losses.dirichlet_loss(pair, (to_y, to_y.T))) == pytest.approx(2, rel=1e-4)
    assert float(losses.dirichlet_loss(pair, (wrong, wrong.T))) > 20


def naive_rounds(costs, log_a, log_b, rounds):
    g = torch.zeros_like(log_b)
    for _ in range(rounds):
        f = -torch.logsumexp(g + log_b - costs, 1)
        g = -torch.logsumexp((f + log_a)[:, None] - costs, 0)
    return f, g


@pytest.mark.parametrize("rounds", [1, 2, 7])
def test_unrolled_rounds(rounds):
    costs = (5 * double(6, 4).abs()).requires_grad_()
    log_a, log_b = double(6, seed=1).log_softmax(0), double(4, seed=2).log_softmax(0)
    found = sinkhorn.unrolled_sinkhorn(costs, log_a, log_b, rounds)
    expected = naive_rounds(costs, log_a, log_b, rounds)
    for mine, theirs in zip(found, expected):
        torch.testing.assert_close(mine, theirs)
    cotangents = double(6, seed=3), double(4, seed=4)
    mine, theirs = (torch.autograd.grad(potentials, costs, cotangents)[0] for potentials in (found, expected))
    torch.testing.assert_close(mine, theirs)
    assert torch.autograd.gradcheck(lambda c: sinkhorn.unrolled_sinkhorn(c, log_a, log_b, rounds), costs)


def test_entropic_maps_are_rows_of_a_transport_plan():
    import ot_solvers as ots

    x, y = (torch.nn.functional.normalize(double(*shape), dim=1) for shape in ((30, 4), (25, 4)))
    a, b = double(30, seed=1).softmax(0), double(25, seed=2).softmax(0)
    to_y, to_x = losses.entropic_map(x, y, a, b, reg=0.3, rounds=300)
    solution = ots.solve_sample(
        x.numpy(), y.numpy(), a.numpy(), b.numpy(), reg=ots.Entropic(0.3, "mean"), tol=1e-12
    )
    np.testing.assert_allclose(to_y, solution.plan / a.numpy()[:, None], atol=1e-9)
    np.testing.assert_allclose(to_x, solution.plan.T / b.numpy()[:, None], atol=1e-9)


def test_soft_maps_are_soft_assignments():
    x, y = (torch.nn.functional.normalize(double(*shape), dim=1) for shape in ((5, 3), (4, 3)))
    to_y, to_x = losses.soft_map(x, y)
    weights = np.exp(x.numpy() @ y.numpy().T / 0.07)
    np.testing.assert_allclose(to_y, weights / weights.sum(1, keepdims=True))
    np.testing.assert_allclose(to_x, weights.T / weights.T.sum(1, keepdims=True))


# --- the network -----------------------------------------------------------------------------------------------


def test_features_are_intrinsic():
    """The same vertex of the same shape has the same features, whatever its place in the list or in space."""
    from ot_solvers.shapes.learning.surfaces import Surface

    torch.manual_seed(0)
    network = DiffusionNetwork(128, 8)
    mesh = shapes.body(n_vertices=600).scaled()
    other, where = mesh.shuffled(seed=0)
    with torch.no_grad():
        one, two = (
            network(torch.as_tensor(s.signatures).float(), s.values, s.vectors, s.analysis)
            for s in (Surface.of(m, 30, 30, 60) for m in (mesh, other))
        )
    np.testing.assert_allclose(two[where], one, atol=1e-4)
    assert float(one.std(0).min()) > 1e-3
