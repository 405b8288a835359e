"""Cells that respond to a perturbation, and points from files of every format."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from checks import check_library, check_same_bits
from oracles import assignment, squared_distances

from ot_solvers import maps

torch = pytest.importorskip("torch")


# --- cells ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells():
    return maps.perturbation_data(30_000, 6, n_types=3, seed=2)


def test_shapes_and_types():
    data = maps.perturbation_data(50, n_treated=70, seed=0)
    assert data.control.shape == data.images.shape == (50, 50)
    assert data.treated.shape == (70, 50) and data.treated_types.shape == (70,)
    assert len(data.responses) == 6 and set(data.control_types) <= set(range(6))
    assert repr(data) == "PerturbationData(50 control and 70 treated cells of 6 types, 50 coordinates)"
    for shares in (data.proportions, data.treated_proportions):
        assert shares.sum() == pytest.approx(1) and shares.min() > 0


def test_cells_are_seeded():
    first, again, other = (maps.perturbation_data(40, 5, seed=s) for s in (1, 1, 2))
    for name in ("control", "treated", "control_types", "treated_types", "images"):
        check_same_bits(getattr(first, name), getattr(again, name))
    assert (first.control != other.control).any()


def test_responses_carry_each_type_to_its_treated_cells(cells):
    for kind in range(3):
        images = cells.images[cells.control_types == kind]
        treated = cells.treated[cells.treated_types == kind]
        spread = treated.var(axis=0).sum()
        np.testing.assert_allclose(images.mean(0), treated.mean(0), atol=0.06 * np.sqrt(spread))
        np.testing.assert_allclose(np.cov(images.T), np.cov(treated.T), atol=0.06 * spread)
        control = cells.control[cells.control_types == kind]
        assert np.linalg.norm(control.mean(0) - treated.mean(0)) > 0.3 * np.sqrt(spread)
        assert np.abs(np.cov(control.T) - np.cov(treated.T)).max() > 0.06 * spread


def test_the_response_is_optimal_within_a_type(cells):
    x = cells.control[cells.control_types == 0][:200]
    C = squared_distances(x, cells.images[cells.control_types == 0][:200])
    assert np.trace(C) == pytest.approx(assignment(C)[1], rel=1e-9)


def test_types_respond_differently(cells):
    """One shift for all is not the answer, and no affine map is."""
    n = len(cells.control)
    moved = cells.images - cells.control
    assert maps.l2_uvp(cells.control + moved.mean(0), cells.images) > 3
    affine = np.c_[cells.control, np.ones(n)]
    assert maps.l2_uvp(affine @ np.linalg.lstsq(affine, cells.images, rcond=None)[0], cells.images) > 0.5


def test_proportions(cells):
    for types, shares in (
        (cells.control_types, cells.proportions),
        (cells.treated_types, cells.treated_proportions),
    ):
        np.testing.assert_allclose(np.bincount(types, minlength=3) / len(types), shares, atol=0.01)
    assert np.abs(cells.proportions - cells.treated_proportions).max() > 0.01
    same = maps.perturbation_data(10, 3, imbalance=0)
    np.testing.assert_allclose(same.proportions, same.treated_proportions, rtol=1e-14)


def test_response_is_the_length_of_shifts():
    lengths = []
    for response in (0.0, 1.0, 2.0):
        data = maps.perturbation_data(10, 5, response=response, seed=3)
        lengths.append([np.linalg.norm(r.target - r.source) for r in data.responses])
    assert max(lengths[0]) == 0 and min(lengths[1]) > 0
    np.testing.assert_allclose(lengths[2], 2 * np.array(lengths[1]))


def test_the_true_map_of_other_cells(cells):
    check_same_bits(cells.true_map(cells.control, cells.control_types), cells.images)
    tensor = torch.as_tensor(cells.control[:9], dtype=torch.float32)
    images = cells.true_map(tensor, torch.as_tensor(cells.control_types[:9]))
    check_library(images, tensor)
    np.testing.assert_allclose(images, cells.images[:9], rtol=1e-5, atol=1e-4)
    kind = cells.responses[1]
    point = np.ones((1, 6))
    check_same_bits(cells.true_map(point, [1]), kind(point))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda data: maps.perturbation_data(0), ValueError, "n=0 must be at least 1"),
        (lambda data: maps.perturbation_data(5, d=1.5), TypeError, r"d=1\.5 is not an integer"),
        (lambda data: maps.perturbation_data(5, n_types=0), ValueError, "n_types=0 must be at least 1"),
        (lambda data: maps.perturbation_data(5, n_treated=0), ValueError, "n_treated=0 must be at least 1"),
        (lambda data: maps.perturbation_data(5, response=-1), ValueError, r"response=-1\.0 must be finite"),
        (lambda data: maps.perturbation_data(5, imbalance=np.inf), ValueError, "imbalance=inf must be finite"),
        (
            lambda data: data.true_map(np.zeros((2, 6)), [0]),
            ValueError,
            r"types has shape \(1,\); expected \(2,\)",
        ),
        (lambda data: data.true_map(np.zeros((2, 6)), [0.0, 1]), TypeError, "types has dtype float64"),
        (lambda data: data.true_map(np.zeros((2, 6)), [0, 3]), ValueError, r"types\[1\] is 3; .*0 \.\.\. 2"),
        (lambda data: data.true_map(np.zeros((2, 6)), [-1, 0]), ValueError, r"types\[0\] is -1"),
        (lambda data: data.true_map(np.zeros((2, 5)), [0, 0]), ValueError, "x has 5 coordinates"),
    ],
)
def test_bad_cells(cells, call, error, message):
    with pytest.raises(error, match=message):
        call(cells)


# --- files ----------------------------------------------------------------------------------------------------

TABLE = np.array([[0.5, -1.0], [2.0, 3e-4], [7.0, 8.25], [0.0, 0.0]])
DRUG = np.array(["control", "aspirin", "control", "aspirin"])


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "float16"])
def test_npy(tmp_path, dtype):
    np.save(tmp_path / "x.npy", TABLE.astype(dtype))
    found = maps.load_points(tmp_path / "x.npy")
    np.testing.assert_array_equal(found, TABLE.astype(dtype))
    assert found.dtype == {"float16": "float32", "int64": "float64"}.get(dtype, dtype)


def test_npz(tmp_path):
    np.savez(tmp_path / "one.npz", anything=TABLE)
    np.testing.assert_array_equal(maps.load_points(str(tmp_path / "one.npz")), TABLE)
    path = tmp_path / "all.npz"
    np.savez(path, cells=TABLE, other=-TABLE, drug=DRUG, dose=[0, 1.5, 0, 2], wide=TABLE)
    np.testing.assert_array_equal(maps.load_points(path, "other"), -TABLE)
    np.testing.assert_array_equal(maps.load_points(path, "cells", where="drug=control"), TABLE[[0, 2]])
    np.testing.assert_array_equal(maps.load_points(path, "cells", where=" dose = 1.50 "), TABLE[[1]])
    for options, message in {
        ("cells", "drug=placebo"): r"no row has drug=placebo; values of 'drug': aspirin, control$",
        ("cells", "dose=high"): r"no row has dose=high; values of 'dose': 0\.0, 1\.5, 2\.0$",
        ("cells", "batch=1"): r"has no array 'batch'; it holds: cells, other, drug, dose, wide",
        ("cells", "wide=1"): r"column 'wide' has shape \(4, 2\); expected \(4,\)",
        ("nothing", None): r"has no array 'nothing'; it holds: cells",
        (None, None): r"holds several arrays \(cells, other, drug, dose, wide\): name one with key=",
        ("drug", None): "has dtype <U7; expected real numbers",
        ("dose", None): r"has shape \(4,\); expected \(n, d\)",
    }.items():
        with pytest.raises((ValueError, TypeError), match=message):
            maps.load_points(path, options[0], where=options[1])


@pytest.mark.parametrize("text", ["x,y\n0.5,-1\n2,3e-4\n7,8.25\n0,0\n", "0.5;-1\n2;3e-4\n7;8.25\n0;0\n"])
def test_csv(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    np.testing.assert_array_equal(maps.load_points(tmp_path / "x.csv"), TABLE)


@pytest.fixture
def h5ad(tmp_path):
    """A file in anndata's layout, with every encoding of matrices and columns."""
    h5py = pytest.importorskip("h5py")
    sparse = pytest.importorskip("scipy.sparse")
    path = tmp_path / "cells.h5ad"

    def put(group, name, values, kind="array"):
        if isinstance(values, dict):
            item = group.create_group(name)
            for key, value in values.items():
                put(item, key, value)
        else:
            values = np.asarray(values)
            text = values.dtype.kind in "UO"
            item = group.create_dataset(
                name, data=values.astype(object) if text else values, dtype=h5py.string_dtype() if text else None
            )
        item.attrs["encoding-type"] = kind
        return item

    def put_sparse(group, name, matrix, kind):
        parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
        put(group, name, parts, kind).attrs["shape"] = matrix.shape

    with h5py.File(path, "w") as file:
        put_sparse(file, "X", sparse.csr_matrix(TABLE.astype(np.float32)), "csr_matrix")
        put(file, "obsm", {"X_pca": -TABLE, "frame": {"p": [1.0, 2, 3, 4]}}, "dict")
        file["obsm/frame"].attrs["encoding-type"] = "dataframe"
        layers = put(file, "layers", {"counts": 2 * TABLE}, "dict")
        put_sparse(layers, "columns", sparse.csc_matrix(TABLE), "csc_matrix")
        obs = put(file, "obs", {"_index": ["a", "b", "c", "d"]}, "dataframe")
        put(obs, "drug", {"codes": np.int8([1, 0, 1, -1]), "categories": ["aspirin", "control"]}, "categorical")
        put(obs, "batch", ["one", "two", "one", "two"], "string-array")
        put(obs, "dose", [0.0, 1.5, 0.0, 2.0])
        put(obs, "dead", [False, True, False, True])
        put(obs, "day", {"values": [1, 2, 2, 2], "mask": [False, False, True, False]}, "nullable-integer")
        put(obs, "odd", {"data": [1, 2]}, "awkward-array")
        put(obs, "site", np.int8([0, 0, 1, 1]))
        put(obs, "short", [1, 2])
        obs.create_group("__categories")
        put(obs["__categories"], "site", ["lung", "liver"])
    return path


@pytest.mark.parametrize(
    ("key", "where", "expected"),
    [
        (None, None, TABLE.astype(np.float32)),
        ("X", "drug=control", TABLE[[0, 2]].astype(np.float32)),
        ("X_pca", None, -TABLE),
        ("obsm/X_pca", "drug=aspirin", -TABLE[[1]]),
        ("layers/counts", "batch=two", 2 * TABLE[[1, 3]]),
        ("layers/columns", None, TABLE),
        ("layers/columns", "dose=0", TABLE[[0, 2]]),
        ("X_pca", "dead=True", -TABLE[[1, 3]]),
        ("X_pca", "day=2", -TABLE[[1, 3]]),
        ("X_pca", "site=liver", -TABLE[[2, 3]]),
        ("X_pca", "_index=c", -TABLE[[2]]),
    ],
)
def test_h5ad(h5ad, key, where, expected):
    check_same_bits(maps.load_points(h5ad, key, where=where), expected)


@pytest.mark.parametrize(
    ("key", "where", "message"),
    [
        ("X_umap", None, "no matrix 'X_umap'; it holds: X, obsm/X_pca, obsm/frame, layers/columns, layers/counts"),
        ("frame", None, "/obsm/frame is stored as 'dataframe'; expected a dense, CSR or CSC matrix"),
        ("obs/dose", None, r"has shape \(4,\); expected \(n, d\)"),
        ("X", "drugs=control", "no column 'drugs' in obs; it has: _index, batch, .*drug"),
        ("X", "drug=placebo", "no row has drug=placebo; values of 'drug': aspirin, control$"),
        ("X", "drug=None", "no row has drug=None; values of 'drug': aspirin, control$"),
        ("X", "odd=1", "/obs/odd is stored as 'awkward-array', which is not understood"),
        ("X", "short=1", r"column 'short' has shape \(2,\); expected \(4,\), one value per row"),
    ],
)
def test_h5ad_without_what_was_asked_for(h5ad, key, where, message):
    with pytest.raises(ValueError, match=message):
        maps.load_points(h5ad, key, where=where)


def test_h5ad_of_the_first_versions(tmp_path):
    """Tables as compound arrays, sparse matrices with attributes of their own."""
    h5py = pytest.importorskip("h5py")
    sparse = pytest.importorskip("scipy.sparse").csr_matrix(TABLE)
    with h5py.File(tmp_path / "old.h5ad", "w") as file:
        obs = np.zeros(4, dtype=[("index", "S1"), ("drug", "S8")])
        obs["drug"] = DRUG
        file["obs"] = obs
        group = file.create_group("X")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(sparse, name)
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = b"csr", sparse.shape
    found = maps.load_points(tmp_path / "old.h5ad", where="drug=aspirin")
    np.testing.assert_array_equal(found, TABLE[[1, 3]])
    with pytest.raises(ValueError, match="no column 'dose' in obs; it has: index, drug"):
        maps.load_points(tmp_path / "old.h5ad", where="dose=1")


def test_many_values_are_not_all_listed(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((30, 1)), cell=np.arange(30))
    with pytest.raises(ValueError, match=r"no row has cell=77; values of 'cell': 0, 1, 10, .*… \(30 values\)"):
        maps.load_points(tmp_path / "x.npz", "x", where="cell=77")


def test_other_hdf5_files(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["points"] = TABLE
        file["one"] = 1.0
    np.testing.assert_array_equal(maps.load_points(tmp_path / "x.h5", "points"), TABLE)
    with pytest.raises(ValueError, match="has no matrix 'X'; it holds: none"):
        maps.load_points(tmp_path / "x.h5")
    with pytest.raises(ValueError, match="has no obs, and so no column 'drug'"):
        maps.load_points(tmp_path / "x.h5", "points", where="drug=control")
    with pytest.raises(ValueError, match=r"has shape \(\); expected \(n, d\)"):
        maps.load_points(tmp_path / "x.h5", "one")
    (tmp_path / "broken.h5ad").write_bytes((tmp_path / "x.h5").read_bytes()[:100])
    with pytest.raises(ValueError, match=r"cannot read .*broken\.h5ad"):
        maps.load_points(tmp_path / "broken.h5ad")


def test_without_h5py(h5ad, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"needs h5py: pip install 'ot_solvers\[h5ad\]'"):
        maps.load_points(h5ad)


def test_bad_files(tmp_path):
    np.save(tmp_path / "x.npy", TABLE)
    np.save(tmp_path / "nan.npy", np.where(TABLE == 7, np.nan, TABLE))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "x.csv").write_text("1,2\n3,abc\n")
    (tmp_path / "zeros.dat").write_bytes(64 * b"\0")
    for call, error, message in [
        (lambda: maps.load_points(tmp_path / "y.npy"), FileNotFoundError, r"no such file: .*y\.npy"),
        (lambda: maps.load_points(tmp_path), IsADirectoryError, "is a directory, not a file"),
        (lambda: maps.load_points(tmp_path / "nan.npy"), ValueError, r"nan\.npy\[2, 0\] is nan"),
        (lambda: maps.load_points(tmp_path / "objects.npy"), ValueError, "pickled Python objects, not numbers"),
        (lambda: maps.load_points(tmp_path / "x.csv"), ValueError, "line 2, column 2: 'abc' is not a number"),
        (lambda: maps.load_points(tmp_path / "zeros.dat"), ValueError, "neither a npy, a npz nor a text file"),
        (lambda: maps.load_points(tmp_path / "x.npy", "X"), ValueError, r"key='X' is for \.npz and \.h5ad files"),
        (lambda: maps.load_points(tmp_path / "x.npy", 1), TypeError, "key=1 is a int; expected a name"),
        (lambda: maps.load_points(tmp_path / "x.npy", where="a=1"), ValueError, "where='a=1' is for .npz and"),
        (lambda: maps.load_points(tmp_path / "x.npy", where="a"), ValueError, "where='a' is no condition"),
        (lambda: maps.load_points(tmp_path / "x.npy", where="=1"), ValueError, "where='=1' is no condition"),
        (lambda: maps.load_points(tmp_path / "x.npy", where=1), TypeError, "where=1 is a int; expected 'column="),
    ]:
        with pytest.raises(error, match=message):
            call()
