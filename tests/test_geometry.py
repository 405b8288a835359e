"""Geometries: what matrix they are, what they keep of the caller's memory, what they refuse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from checks import check_close, check_same_bits, check_solution
from problems import combinations
from scipy import sparse
from scipy.spatial.distance import cdist

import ot_solvers as ots
from ot_solvers import costs
from ot_solvers.geometry import DenseGeometry, Geometry, Grid, PointCloud, SparseGeometry


def whole(geometry):
    return geometry.block(0, geometry.shape[0])


def check_is(geometry, C):
    """`geometry` is the matrix C: in one piece, in blocks, and turned around."""
    assert geometry.shape == C.shape
    for side, matrix in ((geometry, C), (geometry.T, C.T)):
        n = matrix.shape[0]
        check_close(whole(side), matrix, "float64", "cost", scale=10 * np.abs(C[np.isfinite(C)]).max())
        assert side.block(0, 1).dtype == np.float64
        for start, stop in ((0, 1), (n // 3, max(n - 1, 1)), (n - 1, n)):
            check_same_bits(side.block(start, stop), whole(side)[start:stop])
    assert geometry.T.T is geometry
    assert geometry.T.dtype == geometry.dtype
    assert geometry.T.forbids == geometry.forbids == bool(np.isinf(C).any())
    finite = C[np.isfinite(C)]
    assert geometry.spread() >= np.ptp(finite) * (1 - 1e-12)
    assert type(geometry).__name__ in repr(geometry)


# --- dense ------------------------------------------------------------------------------------------------------

LAYOUTS = {
    "C": lambda C: C,
    "Fortran": np.asfortranarray,
    "every second": lambda C: np.repeat(np.repeat(C, 2, 0), 3, 1)[::2, ::3],
    "backwards": lambda C: np.ascontiguousarray(C[::-1, ::-1])[::-1, ::-1],
    "a row": lambda C: C[:1],
    "a column": lambda C: C[:, :1],
    "one pair": lambda C: C[:1, :1],
}


@pytest.mark.parametrize(
    ("layout", "dtype"), combinations(LAYOUTS, ["float64", "float32"], quick=("C", "float64"))
)
def test_dense(matrix, layout, dtype):
    C = LAYOUTS[layout](matrix[0].astype(dtype))
    geometry = DenseGeometry(C)
    check_is(geometry, C.astype(np.float64))
    assert geometry.dtype == dtype
    contiguous = C.flags.c_contiguous or C.flags.f_contiguous
    assert np.shares_memory(geometry.rows, C) == contiguous
    assert np.shares_memory(geometry.T.rows, geometry.rows)
    assert geometry.rows.flags.c_contiguous
    assert np.shares_memory(geometry.array, geometry.rows)


def test_dense_with_forbidden_pairs(matrix):
    C = matrix[0].copy()
    C[2, 3] = C[5, :] = C[:, 7] = np.inf
    check_is(DenseGeometry(C), C)
    low, high, infinite, illegal = DenseGeometry(C).extremes
    assert (low, high) == (C[np.isfinite(C)].min(), C[np.isfinite(C)].max())
    assert (infinite, illegal) == (np.isinf(C).sum(), 0)
    assert DenseGeometry(C).T.extremes == (low, high, infinite, illegal)


def test_extremes_of_many_blocks(rng):
    """More entries than one block of the pass, with something to find in each."""
    C = rng.random((700, 600))
    C[0, 0], C[350, 1], C[699, 2] = np.inf, np.nan, -np.inf
    C[100, 5], C[650, 6] = -3.0, 4.0
    assert DenseGeometry(C).extremes == (-3.0, 4.0, 1, 2)
    assert DenseGeometry(np.full((3, 3), np.inf)).extremes == (np.inf, -np.inf, 9, 0)


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e6, -1e6])
def test_shift_is_for_costs_far_from_zero(matrix, offset):
    C = matrix[0] + offset
    geometry = DenseGeometry(C)
    expected = C.min() if abs(offset) == 1e6 else 0.0
    assert geometry.shift == geometry.T.shift == expected
    assert DenseGeometry(C.astype(np.float32)).shift == 0.0
    check_is(geometry, C)


def test_cut_off(matrix):
    C, a, b = (z.copy() for z in matrix)
    a[:], b[:] = 1 / 40, 1 / 30
    b[3] = 0.0
    C[4] = np.inf
    C[4, 3] = 1.0  # allowed, but nothing is there
    C[6] = np.inf
    a[6] = 0.0  # cut off, but nothing is there
    C[:, 8] = np.inf
    for geometry in (DenseGeometry(C), DenseGeometry(np.asfortranarray(C)), SparseGeometry(pattern_of(C))):
        rows, columns = geometry.cut_off(a, b)
        assert (np.flatnonzero(rows), np.flatnonzero(columns)) == ([4], [8])
        turned = geometry.T.cut_off(b, a)
        assert (np.flatnonzero(turned[0]), np.flatnonzero(turned[1])) == ([8], [4])
    for side in PointCloud(np.zeros((2, 1)), np.ones((3, 1))).cut_off(np.ones(2), np.ones(3)):
        assert not side.any()


@pytest.mark.parametrize(
    ("C", "error", "message"),
    [
        (np.zeros(3), ValueError, r"C has shape \(3,\); expected \(n, m\)"),
        (np.zeros((0, 3)), ValueError, r"C has shape \(0, 3\)"),
        (np.zeros((2, 2), dtype=complex), TypeError, "C has dtype complex128; expected real numbers"),
        ([["a", "b"]], TypeError, "C has dtype <U1"),
    ],
)
def test_no_dense_geometry(C, error, message):
    with pytest.raises(error, match=message):
        DenseGeometry(C)


@pytest.mark.parametrize(
    ("given", "kept"), [("int32", "float64"), ("bool", "float64"), ("float16", "float32"), (">f8", "float64")]
)
def test_dtypes_of_geometries(given, kept):
    C = np.array([[0, 1], [1, 0]], dtype=given)
    assert DenseGeometry(C).dtype == kept
    check_is(DenseGeometry(C), C.astype(np.float64))
    assert PointCloud(C, C).dtype == kept
    assert DenseGeometry(C.tolist()).dtype == "float64"


# --- point clouds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [pytest.param("float64", marks=pytest.mark.fast), "float32"])
def test_point_cloud(clouds, dtype):
    x, y = (z.astype(dtype) for z in clouds[:2])
    cloud = PointCloud(x, y)
    check_is(cloud, cdist(x.astype(np.float64), y.astype(np.float64), "sqeuclidean"))
    assert cloud.dtype == dtype
    assert np.shares_memory(cloud.x, x)
    assert np.shares_memory(cloud.y, y)
    assert cloud.T.x is cloud.y


@pytest.mark.parametrize("name", costs.names())
def test_spread_bounds_the_costs(rng, name):
    # A box whose corners (low, low) and (high, high) are no extreme of an inner product.
    x, y = rng.uniform(size=(30, 2)) * [-1, 1], rng.uniform(size=(20, 2)) * [-1, 1]
    if name == "sphere":
        x, y = (z / np.sqrt((z * z).sum(1, keepdims=True)) for z in (x, y))
    cloud = PointCloud(x, y, costs.by_name(name))
    assert np.ptp(whole(cloud)) <= cloud.spread() * (1 + 1e-12)
    assert np.ptp(whole(cloud)) <= cloud.T.spread() * (1 + 1e-12)


def test_columns_are_what_kernels_stream(clouds):
    x, y = clouds[:2]
    cloud = PointCloud(x, y, costs.SqEuclidean(weights=(1.0, 4.0, 9.0)))
    for dtype in (np.float64, np.float32):
        columns = cloud.columns(dtype)
        for found, points in zip(columns, (x, y)):
            assert found.flags.c_contiguous
            assert found.dtype == dtype
            check_close(found, (points * [1, 2, 3]).T, dtype, "cost", scale=10.0)
        assert cloud.columns(dtype)[0] is columns[0], "made once"
        assert cloud.T.columns(dtype)[0] is columns[1]
    itself = PointCloud(x, x)
    assert itself.columns(np.float64)[0] is itself.columns(np.float64)[1]


def test_clouds_of_two_dtypes_meet_in_the_wider(clouds):
    cloud = PointCloud(clouds[0].astype(np.float32), clouds[1])
    assert cloud.x.dtype == cloud.y.dtype == cloud.dtype == "float64"


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros(3), np.zeros((2, 1)), r"x has shape \(3,\); expected \(n, d\)"),
        (np.zeros((3, 1)), np.zeros(2), r"y has shape \(2,\); expected \(n, d\)"),
        (np.zeros((3, 1)), np.zeros((2, 2)), "x has 1 coordinates and y 2; expected the same number"),
    ],
)
def test_no_point_cloud(x, y, message):
    with pytest.raises(ValueError, match=message):
        PointCloud(x, y)


# --- grids ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rise(costs.Cost):
    """Separable and asymmetric: three times the way up, once the way down."""

    up: float = 3.0
    down: float = 1.0
    symmetric = False

    def swapped(self):
        return Rise(self.down, self.up)

    def pairwise(self, x, y, xp=np):
        rise = y[None, :, :] - x[:, None, :]
        return xp.sum(xp.where(rise > 0, self.up * rise, -self.down * rise), axis=-1)

    def separate(self, d):
        return True


@pytest.mark.parametrize(
    "cost", [costs.SqEuclidean(), costs.CityBlock(weights=(1.0, 2.0, 0.5)), costs.Dot(), Rise()], ids=str
)
@pytest.mark.parametrize("shape", [(7,), (1,), (4, 6), (1, 5), (3, 4, 5)], ids=str)
def test_grid(rng, shape, cost):
    if getattr(cost, "weights", None):
        cost = type(cost)(weights=cost.weights[: len(shape)])
    axes = tuple(np.sort(rng.normal(size=size)) for size in shape)
    grid = Grid(axes, cost)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(shape))
    check_same_bits(grid.points, points)
    check_is(grid, whole(PointCloud(points, points, cost)))
    assert grid.grid_shape == grid.T.grid_shape == shape
    check_close(grid.spread(), np.ptp(whole(grid)), "float64", "cost", scale=100.0)
    for matrix, side in zip(grid.matrices, shape):
        assert matrix.shape == (side, side)
        assert matrix.flags.c_contiguous


def test_any_norm_on_one_axis():
    axis = np.array([0.0, 1.0, 4.0])
    for name in ("euclidean", "chebyshev", "cityblock"):
        check_is(Grid((axis,), costs.by_name(name)), np.abs(axis[:, None] - axis))


@pytest.mark.parametrize(
    ("axes", "cost", "message"),
    [
        ((), None, "axes is empty"),
        ((np.zeros((2, 2)),), None, r"axes\[0\] has shape \(2, 2\)"),
        ((np.arange(3), np.arange(0)), None, r"axes\[1\] has shape \(0,\)"),
        ((np.array([0.0, np.nan]),), None, r"axes\[0\] .* finite"),
        ((np.arange(3), np.arange(2)), costs.Euclidean(), "'euclidean' does not separate over 2 axes"),
        ((np.arange(3),), costs.SqEuclidean(weights=(1, 2)), "2 coordinate weights, but the grid has 1"),
    ],
)
def test_no_grid(axes, cost, message):
    with pytest.raises(ValueError, match=message):
        Grid(axes, cost)


# --- sparse patterns ------------------------------------------------------------------------------------------


def pattern_of(C):
    rows, columns = np.nonzero(np.isfinite(C))
    return sparse.csr_array((C[rows, columns], (rows, columns)), shape=C.shape)


@pytest.fixture
def holes(matrix, rng):
    """A matrix with forbidden pairs, one of its rows and one of its columns empty, and a cost of 0."""
    C = matrix[0].copy()
    C[rng.random(C.shape) < 0.7] = np.inf
    C[5], C[:, 7] = np.inf, np.inf
    C[3, 4] = 0.0
    return C


@pytest.mark.parametrize(
    ("form", "dtype"), combinations(["csr", "csc", "coo"], ["float64", "float32"], quick=("csr", "float64"))
)
def test_sparse(holes, form, dtype):
    C = holes.astype(dtype)
    matrix = pattern_of(C).asformat(form)
    geometry = SparseGeometry(matrix)
    check_is(geometry, C.astype(np.float64))
    assert geometry.dtype == dtype
    indptr, indices, data = geometry.arrays
    assert indptr.dtype == indices.dtype == np.int64
    if form == "csr":
        assert np.shares_memory(data, matrix.data)


def test_sparse_matrices_of_the_old_kind(holes):
    check_is(SparseGeometry(sparse.csr_matrix(pattern_of(holes))), holes)


def test_sparse_integers():
    geometry = SparseGeometry(sparse.csr_array(np.array([[0, 2], [3, 0]])))
    assert geometry.dtype == "float64"
    check_is(geometry, np.array([[np.inf, 2.0], [3.0, np.inf]]))


def test_unsorted_and_repeated_entries():
    """Repeated entries add up, as everywhere in SciPy; the caller's matrix stays as it was."""
    matrix = sparse.csr_array(
        (np.array([1.0, 2.0, 3.0, 4.0]), np.array([2, 0, 2, 1]), np.array([0, 3, 4])), shape=(2, 3)
    )
    check_is(SparseGeometry(matrix), np.array([[2.0, np.inf, 4.0], [np.inf, 4.0, np.inf]]))
    assert matrix.nnz == 4
    assert matrix.indices.tolist() == [2, 0, 2, 1]


# --- in solves ------------------------------------------------------------------------------------------------


def test_geometries_are_solved_as_what_they_are(clouds):
    x, y, a, b = clouds
    C = cdist(x, y, "sqeuclidean")
    common = {"reg": 0.3, "tol": 1e-10, "method": ots.Sinkhorn(kernel="log")}
    expected = ots.solve(C, a, b, **common)
    check_solution(expected, C, a, b)
    for geometry in (DenseGeometry(C), DenseGeometry(C).T.T, PointCloud(x, y), SparseGeometry(pattern_of(C))):
        found = ots.solve(geometry, a, b, **common)
        check_solution(found, C, a, b)
        check_close(found.plan, expected.plan, "float64", "optimum")
    turned = ots.solve(PointCloud(x, y).T, b, a, **common)
    check_close(turned.plan.T, expected.plan, "float64", "optimum")


@pytest.mark.parametrize(
    ("geometry", "error", "message"),
    [
        (lambda: DenseGeometry([[1.0, np.nan]]), ValueError, r"C\[0, 1\] is nan"),
        (lambda: DenseGeometry([[1.0, -np.inf]]), ValueError, r"C\[0, 1\] is -inf"),
        (lambda: DenseGeometry([[np.inf]]), ots.InfeasibleError, r"every entry of C is \+inf"),
        (lambda: PointCloud([[np.nan]], [[1.0]]), ValueError, r"x\[0, 0\] is nan"),
        (lambda: PointCloud([[1.0]], [[0.0]], costs.Cosine()), ValueError, r"y\[0\] is the zero vector"),
        (lambda: SparseGeometry(sparse.csr_array([[np.nan]])), ValueError, "not finite"),
    ],
)
def test_geometries_with_bad_entries_are_refused(geometry, error, message):
    with pytest.raises(error, match=message):
        ots.solve(geometry(), reg=1.0)


class LowRank(Geometry):
    """A user's own geometry, ``C = u v'``: it says its blocks, backends do the rest."""

    kind = "low_rank"

    def __init__(self, u, v, _of=None):
        self.u, self.v, self._of = u, v, _of

    @property
    def shape(self):
        return len(self.u), len(self.v)

    @property
    def dtype(self):
        return np.dtype(np.float64)

    @property
    def T(self):
        return self._of or LowRank(self.v, self.u, self)

    def block(self, start, stop):
        return self.u[start:stop] @ self.v.T

    def spread(self):
        return float(np.ptp(self.block(0, len(self.u))))


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.filterwarnings("ignore::ot_solvers.PerformanceWarning")
def test_a_users_geometry(rng, clouds, backend):
    geometry = LowRank(rng.random((40, 2)), rng.random((30, 2)))
    a, b = clouds[2:]
    solution = ots.solve(geometry, a, b, reg=0.1, backend=backend)
    assert solution.converged
    check_solution(solution, geometry.u @ geometry.v.T, a, b)


def test_a_users_geometry_is_slow_and_says_so(rng):
    geometry = LowRank(rng.random((40, 2)), rng.random((30, 2)))
    with pytest.warns(ots.PerformanceWarning, match="generic blocks on backend 'numba'"):
        ots.solve(geometry, reg=0.1, method=ots.Sinkhorn(kernel="log"))
