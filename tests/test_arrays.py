"""Arrays of the caller: any library in, the same library, dtype and numbers out; memory read, never written."""

from __future__ import annotations

from contextlib import contextmanager

import array_api_strict
import numpy as np
import pytest
from checks import check_close, check_library, check_same_bits, host
from problems import combinations

import ot_solvers as ots

LIBRARIES = ["numpy", "torch", "jax", "array_api_strict"]
DTYPES = ["float64", "float32"]


@contextmanager
def jax_in(precision):
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", precision == "float64")
    try:
        yield jax
    finally:
        jax.config.update("jax_enable_x64", before)


@pytest.fixture(params=LIBRARIES)
def library(request):
    """Name of the library; JAX holds float64 while the test runs."""
    if request.param != "jax":
        if request.param == "torch":
            pytest.importorskip("torch")
        yield request.param
        return
    with jax_in("float64"):
        yield "jax"


def of(library, array):
    """A NumPy array in the given library, same dtype."""
    if library == "numpy":
        return np.array(array)
    if library == "torch":
        import torch

        return torch.from_numpy(np.array(array))
    if library == "jax":
        import jax.numpy

        return jax.numpy.asarray(array)
    return array_api_strict.asarray(np.array(array))


def address(array):
    """Where the first element lies."""
    if hasattr(array, "data_ptr"):
        return array.data_ptr()
    if hasattr(array, "unsafe_buffer_pointer"):
        return array.unsafe_buffer_pointer()
    return np.from_dlpack(array).__array_interface__["data"][0]


# --- every field of every result ------------------------------------------------------------------------------


def fields(solution):
    """Everything that is an array, by name; grids have no points out of sample."""
    n, m = solution.shape
    v, w = np.cos(np.arange(m)), np.sin(np.arange(2.0 * n)).reshape(n, 2)
    found = {
        "potential_a": solution.potential_a,
        "potential_b": solution.potential_b,
        "potentials[0]": solution.potentials[0],
        "potentials[1]": solution.potentials[1],
        "marginal_a": solution.marginal_a,
        "marginal_b": solution.marginal_b,
        "plan": solution.plan,
        "apply": solution.apply(v),
        "apply_transpose": solution.apply_transpose(w),
        "pull": solution.pull(v),
        "push": solution.push(w),
    }
    scalars = {
        "value": solution.value,
        "value_linear": solution.value_linear,
        "dual_value": solution.dual_value,
        "gap": solution.gap,
        "bounds[0]": solution.bounds[0],
        "bounds[1]": solution.bounds[1],
    }
    indices = {
        "match": solution.match(),
        "match of columns": solution.match(inverse=True),
        "sample[0]": solution.sample(7, seed=1)[0],
        "sample[1]": solution.sample(7, seed=1)[1],
    }
    if not isinstance(solution.geometry, ots.geometry.DenseGeometry):
        found |= {
            "barycentric_map": solution.barycentric_map(),
            "barycentric_map of columns": solution.barycentric_map(inverse=True),
        }
    return found, scalars, indices


def entry_points(clouds, dtype, library):
    """The calls, each with arguments of the library; zero weights on both sides."""
    x, y, a, b = (of(library, z.astype(dtype)) for z in clouds)
    C = of(library, np.random.default_rng(1).random((40, 30)).astype(dtype))
    image_a, image_b = (of(library, host(z)[: 5 * 6].reshape(5, 6).astype(dtype)) for z in (a, b))
    axes = tuple(of(library, np.linspace(0, 1, size).astype(dtype)) for size in (5, 6))
    total = float(host(image_b).sum() / host(image_a).sum())
    common = {"reg": 0.3, "tol": 1e-3}
    return {
        "solve": lambda: ots.solve(C, a, b, **common),
        "solve without weights": lambda: ots.solve(C, **common),
        "solve_sample": lambda: ots.solve_sample(x, y, a, b, **common),
        "solve_sample, unbalanced": lambda: ots.solve_sample(x, y, a, b, unbalanced=1.0, **common),
        "solve_grid": lambda: ots.solve_grid(total * image_a, image_b, axes=axes, **common),
    }, x


CALLS = ["solve", "solve without weights", "solve_sample", "solve_sample, unbalanced", "solve_grid"]


@pytest.mark.parametrize(
    ("library", "dtype", "call"),
    combinations(LIBRARIES, DTYPES, CALLS, quick=("torch", "float32", "solve_sample")),
    indirect=["library"],
)
def test_every_field_comes_back_as_it_came(clouds, library, dtype, call):
    calls, x = entry_points(clouds, dtype, library)
    solution = calls[call]()
    expected = entry_points(clouds, dtype, "numpy")[0][call]()
    arrays, scalars, indices = fields(solution)
    numpy_arrays, numpy_scalars, numpy_indices = fields(expected)
    for name, array in arrays.items():
        check_library(array, x, name)
        check_same_bits(array, numpy_arrays[name], name)
    for name, scalar in scalars.items():
        assert type(numpy_scalars[name]) is float, name
        if library != "numpy":
            check_library(scalar, x, name)
            assert scalar.shape == (), name
        rounded = np.asarray(numpy_scalars[name], dtype="float64" if library == "numpy" else dtype)
        check_same_bits(host(scalar), rounded, name)
    for name, index in indices.items():
        check_library(index, x, name, dtype="int64")
        check_same_bits(index, numpy_indices[name], name)
    assert type(float(solution)) is type(solution.marginal_error) is float
    assert solution.sparse_plan().dtype == dtype
    assert solution.plan_operator.dtype == np.float64


@pytest.mark.parametrize(
    ("library", "dtype"), combinations(LIBRARIES, DTYPES, quick=("torch", "float32")), indirect=["library"]
)
def test_out_of_sample_maps_and_divergences(clouds, library, dtype):
    calls, x = entry_points(clouds, dtype, library)
    solution = calls["solve_sample"]()
    check_library(solution.transport(x), x, "transport")
    y = of(library, clouds[1].astype(dtype))
    check_library(solution.transport(y, inverse=True), x, "transport")
    found = ots.sinkhorn_divergence(x, y, reg=0.3, tol=1e-3)
    assert type(float(found)) is float
    if library == "numpy":
        assert type(found.value) is float
    else:
        check_library(found.value, x, "divergence")
    check_library(found.xx.potential_a, x, "potential of x with itself")


def test_jax_in_single(clouds):
    """Where JAX holds no float64, what would be one comes back as its float32."""
    with jax_in("float32") as jax:
        solution = ots.solve(jax.numpy.eye(3, dtype="int32"), reg=0.1)
        check_library(solution.plan, jax.numpy.ones(1), "plan", dtype="float32")
        check_library(solution.match(), jax.numpy.ones(1), "match", dtype="int32")
        calls, x = entry_points(clouds, "float32", "jax")
        check_library(calls["solve_sample"]().potential_a, x, "potential_a")


# --- what dtypes become ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "result"),
    [("float16", "float32"), ("int32", "float64"), ("uint8", "float64"), ("bool", "float64"), (">f8", "float64")],
)
def test_promotion_in_numpy(given, result):
    C = np.array([[0, 1, 1], [1, 0, 1]]).astype(given)
    found = ots.solve(C, reg=0.2)
    expected = ots.solve(C.astype(result), reg=0.2)
    check_same_bits(found.plan, expected.plan)
    x = np.array([[0], [1], [1]]).astype(given)
    cloud = ots.solve_sample(x, x[:2], reg=0.2, cost="euclidean")
    assert cloud.potential_a.dtype == cloud.plan.dtype == cloud.marginal_a.dtype == result
    grid = ots.solve_grid(np.array([1, 0]).astype(given), np.array([0, 1]).astype(given), reg=0.2)
    assert grid.potential_a.dtype == result


def test_promotion_of_weights():
    """Weights do not decide the precision of a cost matrix's solution."""
    C = np.eye(3, dtype=np.float32)
    assert ots.solve(C, np.array([1, 2, 1]), np.array([2, 1, 1]), reg=0.2).plan.dtype == np.float32
    assert ots.solve(C, np.full(3, 1 / 3), reg=0.2).plan.dtype == np.float32


def test_mixed_precision_meets_in_the_wider(clouds):
    x, y = clouds[:2]
    assert ots.solve_sample(x.astype(np.float32), y, reg=0.5).plan.dtype == np.float64
    assert ots.solve_sample(x.astype(np.float16), y.astype(np.float32), reg=0.5).plan.dtype == np.float32


@pytest.mark.parametrize(
    ("given", "result"), [("float16", "float32"), ("bfloat16", "float32"), ("int64", "float64")]
)
def test_promotion_in_torch_and_jax(given, result):
    torch = pytest.importorskip("torch")
    C = torch.tensor([[0, 1, 1], [1, 0, 1]], dtype=getattr(torch, given))
    check_library(ots.solve(C, reg=0.2).plan, C, "plan", dtype=result)
    with jax_in("float64") as jax:
        C = jax.numpy.asarray([[0, 1, 1], [1, 0, 1]], dtype=given)
        check_library(ots.solve(C, reg=0.2).plan, C, "plan", dtype=result)


def test_lists_are_float64_numpy():
    solution = ots.solve_sample([[0.0], [1.0]], [[0], [2]], [1, 3], [2, 2], reg=0.1)
    check_library(solution.plan, np.zeros(1))
    assert solution.marginal_a.sum() == pytest.approx(4)


@pytest.mark.parametrize("bad", [np.eye(2, dtype=complex), [["a", "b"]], np.array([[None, 1]])])
def test_no_numbers(bad):
    with pytest.raises(TypeError, match=r"C has dtype .*; expected real numbers"):
        ots.solve(bad, reg=0.1)
    with pytest.raises(TypeError, match=r"y has dtype .*; expected real numbers"):
        ots.solve_sample(np.zeros((2, 2)), bad, reg=0.1)


def test_ragged_lists():
    with pytest.raises(TypeError, match="C cannot be read as an array"):
        ots.solve([[0.0, 1.0], [1.0]], reg=0.1)


# --- memory ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "dtype"), combinations(LIBRARIES, DTYPES, quick=("torch", "float32")), indirect=["library"]
)
def test_inputs_are_not_copied(clouds, library, dtype):
    x, y = (of(library, z.astype(dtype)) for z in clouds[:2])
    solution = ots.solve_sample(x, y, reg=0.3, tol=1e-3)
    assert solution.geometry.x.__array_interface__["data"][0] == address(x)
    assert solution.geometry.y.__array_interface__["data"][0] == address(y)
    C = of(library, np.random.default_rng(1).random((40, 30)).astype(dtype))
    solution = ots.solve(C, reg=0.3, tol=1e-3)
    assert solution.geometry.rows.__array_interface__["data"][0] == address(C)


def test_fortran_order_is_not_copied():
    C = np.asfortranarray(np.random.default_rng(1).random((40, 30)))
    assert np.shares_memory(ots.solve(C, reg=0.3).geometry.rows, C)
    torch = pytest.importorskip("torch")
    turned = torch.from_numpy(np.ascontiguousarray(C.T)).T
    assert not turned.is_contiguous()
    assert ots.solve(turned, reg=0.3).geometry.rows.__array_interface__["data"][0] == turned.data_ptr()


@pytest.mark.parametrize(
    ("method", "dtype"),
    combinations(["auto", ots.Sinkhorn(kernel="log")], DTYPES, quick=("auto", "float64")),
    ids=str,
)
def test_inputs_are_never_written(clouds, dtype, method):
    """Read-only arrays are accepted, writable ones keep their bytes; for every argument that is an array."""
    rng = np.random.default_rng(1)
    x, y, a, b = (z.astype(dtype) for z in clouds)
    # Every costly case of the kernels: far from zero, forbidden pairs, both orders; big enough for all paths.
    C = rng.random((120, 100)) + 1e6 * (dtype == "float64")
    C = C.astype(dtype)
    C[3, 4] = np.inf
    f, g = (0.1 * rng.normal(size=size) for size in (120, 100))
    image = rng.random((2, 12, 11)).astype(dtype)
    image /= image.sum(axis=(1, 2), keepdims=True)
    line = np.linspace(0, 1, 120).astype(dtype)[:, None]  # its transpose is contiguous too: no copy on the way
    v = rng.normal(size=(120, 2))
    given = [x, y, a, b, C, np.asfortranarray(C), f, g, *image, line, v]

    def work():
        common = {"reg": 0.3, "tol": 1e-3, "method": method, "on_failure": "ignore"}
        yield ots.solve_sample(x, y, a, b, **common)
        yield ots.solve_sample(line, line, **common)
        yield ots.solve(C, init=(f, g), **common)
        yield ots.solve(given[5], unbalanced=1.0, init=(f, g), **common)
        yield ots.solve_grid(*image, **common)
        ots.sinkhorn_divergence(x, y, a, b, reg=0.3, tol=1e-3, method=method)

    for writable in (True, False):
        for array in given:
            array.flags.writeable = writable
        before = [array.tobytes() for array in given]
        for solution in work():
            fields(solution)
            if solution.shape == (120, 100):
                solution.push(v)
        assert [array.tobytes() for array in given] == before


def test_results_are_not_the_solutions_own_memory(clouds):
    """Writing into a result changes no other."""
    x, y, a, b = clouds
    for more in ({}, {"unbalanced": 1.0}):
        solution, twin = (ots.solve_sample(x, y, a, b, reg=0.3, **more) for _ in range(2))
        for array in (*solution.potentials, solution.marginal_a, solution.marginal_b):
            array[:] = np.nan
        check_same_bits(solution.plan, twin.plan)
        check_same_bits(np.float64(solution.gap), np.float64(twin.gap))


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every second": lambda z: np.repeat(np.repeat(z, 2, 0), 3, 1)[::2, ::3],
    "backwards": lambda z: np.ascontiguousarray(z[::-1])[::-1],
    "unaligned": lambda z: unaligned(z),
}


def unaligned(z):
    buffer = np.zeros(z.nbytes + 1, np.uint8)
    view = buffer[1:].view(z.dtype).reshape(z.shape)
    view[:] = z
    assert not view.flags.aligned
    return view


@pytest.mark.parametrize(("layout", "dtype"), combinations(LAYOUTS, DTYPES, quick=("Fortran", "float64")))
def test_any_layout(clouds, layout, dtype):
    x, y, a, b = clouds
    x, y = x.astype(dtype), y.astype(dtype)
    C = np.random.default_rng(1).random((120, 100)).astype(dtype)
    as_is = LAYOUTS[layout]
    cloud = ots.solve_sample(as_is(x), as_is(y), np.repeat(a, 2)[::2], b[::-1][::-1], reg=0.3)
    check_same_bits(cloud.plan, ots.solve_sample(x, y, a, b, reg=0.3).plan)
    # A Fortran-ordered matrix is solved as its transpose: the same optimum by another road.
    tight = {"reg": 0.3, "tol": 1e-10 if dtype == "float64" else 1e-6}
    check_close(ots.solve(as_is(C), **tight).plan, ots.solve(C, **tight).plan, dtype, "optimum")


# --- what cannot be read --------------------------------------------------------------------------------------


def test_mixed_libraries(clouds):
    torch = pytest.importorskip("torch")
    x, y, a, b = clouds
    with pytest.raises(
        TypeError, match="x is a numpy array and y a torch array; pass all arrays from one library"
    ):
        ots.solve_sample(x, torch.from_numpy(y), reg=1.0)
    with pytest.raises(TypeError, match="x is a numpy array and b a array_api_strict array"):
        ots.solve_sample(x, y, a, array_api_strict.asarray(b), reg=1.0)
    with pytest.raises(TypeError, match="C is a torch array and a a numpy array"):
        ots.solve(torch.ones(40, 30), a, reg=1.0)
    with pytest.raises(TypeError, match="a is a numpy array and b a torch array"):
        ots.solve_grid(a, torch.from_numpy(a), reg=1.0)
    with pytest.raises(TypeError, match="x is a torch array and y a numpy array"):
        ots.sinkhorn_divergence(torch.from_numpy(x), y, reg=1.0)
    # Lists belong to no library.
    check_library(ots.solve(torch.eye(2), [1.0, 1.0], [1, 1], reg=0.1).plan, torch.eye(2))


@pytest.mark.parametrize("argument", ["x", "y", "a", "b"])
def test_gradients_are_never_lost_in_silence(clouds, argument):
    torch = pytest.importorskip("torch")
    given = {name: torch.from_numpy(z) for name, z in zip("xyab", clouds)}
    given[argument] = given[argument].clone().requires_grad_()
    (slope,) = torch.autograd.grad(ots.solve_sample(**given, reg=1.0).value, given[argument])
    assert torch.isfinite(slope).all()
    assert slope.abs().max() > 0
    message = r"measures\[0\] requires gradients.*pass measures\[0\]\.detach\(\)"
    if argument in "xy":
        with pytest.raises(TypeError, match=message):
            ots.pairwise_wasserstein([given[argument], given[argument]])
    given[argument] = given[argument].detach()
    assert not ots.solve_sample(**given, reg=1.0).value.requires_grad


def test_gradients_of_costs_and_vectors():
    torch = pytest.importorskip("torch")
    C = torch.eye(3, requires_grad=True)
    assert ots.solve(C, reg=0.1).value.requires_grad
    solution = ots.solve(C.detach(), reg=0.1)
    with pytest.raises(TypeError, match="v requires gradients"):
        solution.apply(torch.ones(3, requires_grad=True))


def test_torch_arrays_that_no_cpu_code_can_read():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="C is on device 'meta'; this version runs on the CPU"):
        ots.solve(torch.ones(3, 3, device="meta"), reg=0.1)
    with pytest.raises(TypeError, match="C is a sparse torch tensor; expected a dense one"):
        ots.solve(torch.eye(3).to_sparse(), reg=0.1)


def test_lazy_signs_of_torch():
    torch = pytest.importorskip("torch")
    C = torch.complex(torch.zeros(2, 2), -torch.eye(2)).conj().imag
    assert C.is_neg()
    check_same_bits(ots.solve(C, reg=0.1).plan, ots.solve(torch.eye(2), reg=0.1).plan)


def test_traced_arrays_of_jax():
    jax = pytest.importorskip("jax")
    x = jax.numpy.ones((3, 1))

    def value(x):
        return ots.solve_sample(x, x, reg=0.1).value

    for transformed in (jax.jit(value), jax.grad(value)):
        with pytest.raises(TypeError, match=r"x is traced \(jit, grad or vmap\)"):
            transformed(x)
    with pytest.raises(TypeError, match="x is traced"):
        jax.vmap(value)(x[None])
