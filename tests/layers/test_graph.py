"""Top-level calls on torch tensors that require gradients: everything stays on the graph, or raises."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import ot_solvers as ots

torch = pytest.importorskip("torch")
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

TIGHT = {"tol": 1e-13, "max_iter": 100_000, "on_failure": "ignore"}
FIRST = {"atol": 1e-6, "rtol": 1e-5}
SECOND = {"atol": 1e-5, "rtol": 1e-4}


def data(seed=0, n=5, m=4, d=2):
    """Points, logits of weights, and a strength, all with gradients."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()

    return (
        normal(n, d),
        normal(m, d),
        normal(n),
        normal(m),
        torch.tensor(0.7, dtype=torch.float64).requires_grad_(),
    )


def costs(x, y):
    return ((x[:, None] - y[None]) ** 2).sum(-1).detach().requires_grad_()


def of_costs(unbalanced, **more):
    return lambda C, la, lb, reg: ots.solve(
        C, la.softmax(0), lb.softmax(0), reg=reg, unbalanced=unbalanced, **TIGHT, **more
    )


def of_points(unbalanced, **more):
    return lambda x, y, la, lb, reg: ots.solve_sample(
        x, y, la.softmax(0), lb.softmax(0), reg=reg, unbalanced=unbalanced, **TIGHT, **more
    )


W, U, V = (np.random.default_rng(9).normal(size=size) for size in ((5, 4), 5, 4))
ATTRIBUTES = {
    "value": lambda s: s.value,
    "dual_value": lambda s: s.dual_value,
    "value_linear": lambda s: s.value_linear,
    "potentials": lambda s: (
        (s.potential_a * torch.as_tensor(U)).sum() + (s.potential_b * torch.as_tensor(V)).sum()
    ),
    "plan": lambda s: s.plan,
    "marginals": lambda s: torch.cat([s.marginal_a, s.marginal_b]),
    "apply": lambda s: s.apply(torch.as_tensor(V)),
    "apply_transpose": lambda s: s.apply_transpose(torch.as_tensor(U)),
    "pull": lambda s: s.pull(torch.as_tensor(W.T)),
    "push": lambda s: s.push(torch.as_tensor(U)),
    "transposed": lambda s: s.T.plan,
}


@pytest.mark.parametrize("unbalanced", [None, 1.0, (0.5, np.inf)])
@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_entropic(attribute, unbalanced):
    x, y, la, lb, reg = data()
    look = ATTRIBUTES[attribute]
    assert gradcheck(lambda *z: look(of_costs(unbalanced)(*z)), (costs(x, y), la, lb, reg), **FIRST)
    assert gradcheck(lambda *z: look(of_points(unbalanced)(*z)), (x, y, la, lb, reg), **FIRST)


@pytest.mark.parametrize("unbalanced", [None, 1.0])
def test_values_have_second_derivatives(unbalanced):
    x, y, la, lb, reg = data()
    assert gradgradcheck(lambda *z: of_costs(unbalanced)(*z).value, (costs(x, y), la, lb, reg), **SECOND)
    assert gradgradcheck(lambda *z: of_points(unbalanced)(*z).value, (x, y, la, lb, reg), **SECOND)


@pytest.mark.parametrize("cost", ["euclidean", "cosine", "dot", "cityblock", ots.costs.EuclideanPower(p=1.5)])
def test_costs(cost):
    x, y, la, lb, reg = data(d=3)
    assert gradcheck(lambda *z: of_points(None, cost=cost)(*z).value, (x, y, la, lb, reg), **FIRST)
    assert gradgradcheck(lambda *z: of_points(None, cost=cost)(*z).value, (x, y, la, lb, reg), **SECOND)
    assert gradcheck(lambda *z: of_points(None, cost=cost)(*z).plan, (x, y, la, lb, reg), **FIRST)


def test_maps():
    x, y, la, lb, reg = data()
    new = torch.randn(3, 2, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda *z: of_points(None)(*z).barycentric_map(), (x, y, la, lb, reg), **FIRST)
    assert gradcheck(lambda *z: of_points(None)(*z).barycentric_map(inverse=True), (x, y, la, lb, reg), **FIRST)
    assert gradcheck(lambda n, *z: of_points(None)(*z).transport(n), (new, x, y, la, lb, reg), **FIRST)
    assert gradcheck(
        lambda n, *z: of_points(None)(*z).transport(n, inverse=True), (new, x, y, la, lb, reg), **FIRST
    )


@pytest.mark.parametrize("unbalanced", [None, 1.0])
def test_divergences(unbalanced):
    def divergence(x, y, la, lb, reg):
        return ots.sinkhorn_divergence(
            x, y, la.softmax(0), lb.softmax(0), reg=reg, unbalanced=unbalanced, **TIGHT
        ).value

    assert gradcheck(divergence, data(), **FIRST)
    assert gradgradcheck(divergence, data(), **SECOND)


def test_divergence_between_unequal_masses():
    x, y, _, _, _ = data()
    a = (torch.rand(5, dtype=torch.float64) + 0.2).requires_grad_()
    b = (torch.rand(4, dtype=torch.float64) + 0.5).requires_grad_()
    assert gradcheck(lambda *z: ots.sinkhorn_divergence(*z, reg=0.5, unbalanced=1.0, **TIGHT).value, (x, y, a, b))


@pytest.mark.parametrize("p", [1, 2, 3])
def test_wasserstein(p):
    x, y, *_ = data()
    assert gradcheck(lambda x, y: ots.wasserstein(x, y, p=p, rtol=0).value, (x, y), **FIRST)
    distance = ots.wasserstein(x, x, p=p, rtol=0)
    (slope,) = torch.autograd.grad(distance.value, x)
    assert float(distance) == 0.0
    assert torch.isfinite(slope).all()


def test_exact_values_and_weights():
    x, y, la, lb, _ = data()
    assert gradcheck(
        lambda *z: ots.solve_sample(z[0], z[1], z[2].softmax(0), z[3].softmax(0)).value, (x, y, la, lb)
    )
    assert gradcheck(lambda C: ots.solve(C).value, (costs(x, y),))


def test_quadratic():
    x, y, la, lb, _ = data()

    def solution(C, la, lb):
        return ots.solve(C, la.softmax(0), lb.softmax(0), reg=ots.Quadratic(0.8))

    inputs = costs(x, y), la, lb
    for look in (lambda s: s.value, lambda s: s.plan, lambda s: s.potentials, lambda s: s.value_linear):
        assert gradcheck(lambda *z, look=look: look(solution(*z)), inputs, **FIRST)

    def of_clouds(x, y):
        return ots.solve_sample(x, y, reg=ots.Quadratic(0.8))

    assert gradcheck(lambda *z: of_clouds(*z).value, (x, y), **FIRST)
    assert gradcheck(lambda *z: of_clouds(*z).barycentric_map(), (x, y), **FIRST)
    assert gradcheck(lambda *z: of_clouds(*z).value_linear, (x, y), **FIRST)


def test_blocks_of_rows_change_nothing(monkeypatch):
    from ot_solvers.layers.torch import graph

    x, y, la, lb, reg = data()
    inputs = x, y, la, lb, reg

    def gradients():
        solution = of_points(None)(*inputs)
        total = solution.value + (solution.plan**2).sum() + (solution.barycentric_map() ** 2).sum()
        first = torch.autograd.grad(total, inputs, retain_graph=True)
        (slope,) = torch.autograd.grad(solution.value, x, create_graph=True)
        return *first, *torch.autograd.grad((slope**2).sum(), inputs)

    whole = gradients()
    monkeypatch.setattr(graph, "BLOCK", 9)
    for one, other in zip(gradients(), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("strength", [1.0, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("tau", [1.0, 0.9])
def test_agrees_with_ott(strength, tau):
    """Values by the envelope theorem, potentials by OTT's implicit differentiation, in float64."""
    pytest.importorskip("ott")
    import jax
    from jax.experimental import enable_x64

    rng = np.random.default_rng(1)
    C0 = rng.random((12, 9))
    a, b = rng.random(12) + 0.5, rng.random(9) + 0.5
    a, b, eps = a / a.sum(), b / b.sum(), strength * C0.mean()
    u, v = rng.normal(size=12), rng.normal(size=9)
    u, v = u - a * u.sum(), v - b * v.sum()  # no gauge
    rho = eps * tau / (1 - tau) if tau < 1 else None
    with enable_x64():
        from ott.geometry import geometry
        from ott.problems.linear import linear_problem
        from ott.solvers.linear import implicit_differentiation, sinkhorn

        def peer(C):
            problem = linear_problem.LinearProblem(
                geometry.Geometry(cost_matrix=C, epsilon=eps), a=a, b=b, tau_a=tau, tau_b=tau
            )
            solver = sinkhorn.Sinkhorn(
                threshold=1e-14, max_iterations=200_000, implicit_diff=implicit_differentiation.ImplicitDiff()
            )
            found = solver(problem)
            return u @ found.f + v @ found.g

        theirs = np.asarray(jax.grad(peer)(jax.numpy.asarray(C0)))
    C = torch.tensor(C0, requires_grad=True)
    solution = ots.solve(C, a_(a), a_(b), reg=eps, unbalanced=rho, **TIGHT)
    total = (solution.potential_a * a_(u)).sum() + (solution.potential_b * a_(v)).sum()
    (ours,) = torch.autograd.grad(total, C)
    h, dC = 1e-4 * eps, rng.normal(size=C0.shape)

    def at(t):
        f, g = ots.solve(C0 + t * dC, a, b, reg=eps, unbalanced=rho, **TIGHT).potentials
        return u @ f + v @ g

    slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    assert (ours.numpy() * dC).sum() == pytest.approx(slope, rel=1e-6)
    error = np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max()
    # OTT solves its linear system iteratively: near assignments its own error dominates.
    their_error = abs((theirs * dC).sum() - slope) / abs(slope)
    assert error <= max(1e-8, 10 * their_error)


def a_(array):
    return torch.tensor(array)


@pytest.mark.parametrize("unbalanced", [None, 1.0])
def test_zero_weights_have_finite_gradients(unbalanced):
    x, y, *_ = data()
    a = torch.tensor([0.0, 0.25, 0.25, 0.25, 0.25], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([0.5, 0.0, 0.5, 0.0], dtype=torch.float64, requires_grad=True)
    solution = ots.solve_sample(x, y, a, b, reg=0.3, unbalanced=unbalanced, **TIGHT)
    total = (
        solution.value + (solution.plan**2).sum() + solution.potential_a.sum() + solution.barycentric_map().sum()
    )
    for slope in torch.autograd.grad(total, (x, y, a, b), retain_graph=True):
        assert torch.isfinite(slope).all()
    (slope,) = torch.autograd.grad(solution.value, x, create_graph=True)
    assert torch.isfinite(torch.autograd.grad((slope**2).sum(), a)[0]).all()


def test_forbidden_pairs():
    C = torch.rand(4, 4, dtype=torch.float64)
    C[0, 1] = C[2, 3] = torch.inf
    C.requires_grad_()
    solution = ots.solve(C, reg=0.2, **TIGHT)
    total = (
        solution.value + (solution.plan**2).sum() + solution.value_linear + solution.pull(torch.arange(4.0)).sum()
    )
    (slope,) = torch.autograd.grad(total, C)
    assert torch.isfinite(slope).all()
    assert slope[0, 1] == slope[2, 3] == 0


def test_coincident_points_have_finite_gradients():
    x = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    solution = ots.solve_sample(x, x, cost="euclidean", reg=0.3)
    (slope,) = torch.autograd.grad(solution.value + solution.plan.sum(), x)
    assert torch.isfinite(slope).all()


def test_float32_and_half_precision():
    x = torch.randn(6, 2, requires_grad=True)
    y = torch.randn(5, 2)
    solution = ots.solve_sample(x, y, reg=0.3)
    assert solution.value.dtype == solution.plan.dtype == torch.float32
    solution.value.backward()
    assert x.grad.dtype == torch.float32
    half = torch.randn(6, 2).to(torch.bfloat16).requires_grad_()
    value = ots.solve_sample(half, y.to(torch.bfloat16), reg=0.3).value
    assert value.dtype == torch.float32
    value.backward()
    assert half.grad.dtype == torch.bfloat16


def test_the_graph_reaches_behind_the_arguments():
    """Tensors that are not leaves, gradients with respect to what made them."""
    z = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    ots.solve_sample(z.tanh(), z * 2, reg=0.5, **TIGHT).value.backward()
    assert torch.isfinite(z.grad).all()
    assert z.grad.abs().max() > 0


def test_relative_strength_is_held_constant():
    x, y, _, _, reg = data()
    first = ots.solve_sample(x, y, reg=reg, reg_relative_to="mean", **TIGHT)
    absolute = ots.solve_sample(x, y, reg=first.reg, **TIGHT)
    ours, theirs = (torch.autograd.grad(s.value, x)[0] for s in (first, absolute))
    torch.testing.assert_close(ours, theirs)
    second = ots.solve_sample(x, y, reg=reg, reg_relative_to="mean", **TIGHT)
    by_reg = torch.autograd.grad(second.value, reg)[0]
    h = 1e-5
    near = [
        float(
            ots.solve_sample(
                x.detach(), y.detach(), reg=float(reg.detach()) + s * h, reg_relative_to="mean", **TIGHT
            )
        )
        for s in (1, -1)
    ]
    assert float(by_reg) == pytest.approx((near[0] - near[1]) / (2 * h), rel=1e-6)


def test_grids():
    la = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    other = torch.rand(2, 3, dtype=torch.float64)

    def solution(la):
        return ots.solve_grid(la.exp(), other, reg=0.5, unbalanced=1.0, **TIGHT)

    for look in (lambda s: s.value, lambda s: s.potential_a, lambda s: s.plan):
        assert gradcheck(lambda la, look=look: look(solution(la)), (la,), **FIRST)


def test_what_cannot_be_differentiated_raises():
    x, y, *_ = data()
    exact = ots.solve_sample(x, y)
    for look in (lambda s: s.plan, lambda s: s.potentials, lambda s: s.barycentric_map(), lambda s: s.apply(y)):
        with pytest.raises(ots.UnsupportedError, match="piecewise constant"):
            look(exact)
    with pytest.raises(ots.UnsupportedError, match="kinks"):
        _ = ots.solve_sample(x, y, reg=ots.SparsityConstrained(1.0, 3)).potentials
    with pytest.raises(ots.UnsupportedError, match="partial"):
        _ = ots.solve_sample(x, y, reg=0.1, mass=0.5).plan
    with pytest.raises(ots.UnsupportedError, match="second derivatives"):
        torch.autograd.grad(exact.value, x, create_graph=True)
    with pytest.raises(TypeError, match=r"measures\[0\] requires gradients"):
        ots.pairwise_wasserstein([x, y])


def test_no_grad_means_no_graph():
    x, y, *_ = data()
    with torch.no_grad():
        solution = ots.solve_sample(x, y, reg=0.3)
    assert type(solution) is ots.Solution
    assert not solution.plan.requires_grad
    assert not ots.solve_sample(x.detach(), y.detach(), reg=0.3).value.requires_grad


def test_certificates_are_numbers_and_copies_leave_the_graph():
    x, y, *_ = data()
    solution = ots.solve_sample(x, y, reg=0.3, **TIGHT)
    assert not solution.gap.requires_grad
    assert abs(float(solution.gap)) < 1e-9
    assert solution.match().dtype == torch.int64
    assert "entropic" in repr(solution)
    for other in (pickle.loads(pickle.dumps(solution)), copy.deepcopy(solution)):
        assert type(other) is ots.Solution
        assert float(other) == float(solution)
    again = ots.solve_sample(x, y, reg=0.3, init=solution, **TIGHT)
    assert again.n_iter <= solution.n_iter


def test_equal_to_the_solution_without_a_graph():
    x, y, *_ = data()
    plain = ots.solve_sample(x.detach(), y.detach(), reg=0.3)
    graph = ots.solve_sample(x, y, reg=0.3)
    for name in ("value", "dual_value", "value_linear", "plan", "potential_a", "marginal_b"):
        torch.testing.assert_close(getattr(graph, name).detach(), getattr(plain, name), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(graph.barycentric_map().detach(), plain.barycentric_map(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(graph.transport(y).detach(), plain.transport(y.detach()), rtol=1e-10, atol=1e-12)


def test_no_warnings_from_the_way_back():
    x, y, la, lb, reg = data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = of_points(None)(x, y, la, lb, reg)
        (solution.value + solution.plan.sum() + solution.barycentric_map().sum()).backward()


@pytest.mark.parametrize("attribute", ["value_linear", "potentials", "plan", "marginals", "apply", "pull"])
@pytest.mark.parametrize("reg", [0.7, ots.Quadratic(0.7)])
def test_second_derivatives_that_are_missing_raise(attribute, reg):
    """Also through `torch.autograd.grad`, which would leave them out."""
    x, y, *_ = data()
    (slope,) = torch.autograd.grad(
        ATTRIBUTES[attribute](ots.solve_sample(x, y, reg=reg)).square().sum(), x, create_graph=True
    )
    with pytest.raises(ots.UnsupportedError, match="first derivatives only"):
        torch.autograd.grad(slope.sum(), x)
