"""``ot-solvers apply-map``: points through a map from a file."""

import numpy as np
import pytest

import ot_solvers as ots
from ot_solvers.commands import apply_map


@pytest.fixture
def fitted(tmp_path):
    """A linear map in map.npz, new points in points.npy."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 2))
    linear = ots.maps.LinearMap().fit(x, 2 * x + 1)
    linear.save(tmp_path / "map.npz")
    np.save(tmp_path / "points.npy", rng.normal(size=(23, 2)))
    return linear


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".CSV"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_format_has_all_digits(tmp_path, run, fitted, suffix, dtype):
    points = np.load(tmp_path / "points.npy").astype(dtype)
    np.save(tmp_path / "points.npy", points)
    out = tmp_path / f"images{suffix}"
    outcome = run("apply-map", tmp_path / "map.npz", tmp_path / "points.npy", "--out", out, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.figures["points"] == [23, 2]
    assert outcome.figures["map"] == "LinearMap"
    if suffix.lower() == ".csv":
        images = np.loadtxt(out, delimiter=",").astype(dtype)
    else:
        images = np.load(out)
        images = images["images"] if suffix == ".npz" else images
        assert images.dtype == dtype
    np.testing.assert_array_equal(images, fitted.transform(points))


def test_blocks_and_the_way_back(tmp_path, run, fitted, monkeypatch):
    monkeypatch.setattr(apply_map, "POINTS_AT_A_TIME", 5)
    there, back = tmp_path / "images.npy", tmp_path / "back.npy"
    assert run("apply-map", tmp_path / "map.npz", tmp_path / "points.npy", "--out", there, "--quiet").out == ""
    points = np.load(tmp_path / "points.npy")
    np.testing.assert_allclose(np.load(there), fitted.transform(points), atol=1e-14)
    outcome = run("apply-map", tmp_path / "map.npz", there, "--inverse", "--out", back)
    assert "Origins" in outcome.out
    np.testing.assert_allclose(np.load(back), points, atol=1e-12)


def test_rows_of_an_archive(tmp_path, run, fitted):
    points = np.load(tmp_path / "points.npy")
    drug = np.array(["a", "b"])[np.arange(23) % 2]
    np.savez(tmp_path / "cells.npz", points=points, drug=drug)
    out = tmp_path / "images.npy"
    outcome = run("apply-map", tmp_path / "map.npz", tmp_path / "cells.npz", "--where", "drug=b", "--out", out)
    assert outcome.code == 0, outcome.err
    np.testing.assert_allclose(np.load(out), fitted.transform(points[drug == "b"]), atol=1e-14)


def test_entropic_maps(tmp_path, run):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    entropic = ots.maps.EntropicMap(reg=0.1, cost="euclidean", projection="barycentric").fit(x, x + 1)
    entropic.save(tmp_path / "map.npz")
    np.save(tmp_path / "x.npy", x)
    outcome = run("apply-map", tmp_path / "map.npz", tmp_path / "x.npy", "--out", tmp_path / "y.npy", "--json")
    assert outcome.figures["cost"] == "euclidean"
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), entropic.transform(x), atol=1e-12)


def test_points_without_an_image(tmp_path, run):
    """Two opposite targets, and a point that is as far from the one as from the other."""
    y = np.array([[0.0, 1.0], [0.0, -1.0]])
    entropic = ots.maps.EntropicMap(reg=0.5, cost="sphere", projection="barycentric").fit(y, y)
    entropic.save(tmp_path / "map.npz")
    np.save(tmp_path / "x.npy", np.array([[0.6, 0.8], [1.0, 0.0]]))
    outcome = run("apply-map", tmp_path / "map.npz", tmp_path / "x.npy", "--out", tmp_path / "y.npy")
    assert outcome.code == 1
    assert "1 of 2 points have no finite image, the first in row 1" in outcome.err
    np.testing.assert_array_equal(np.isnan(np.load(tmp_path / "y.npy")), [[False, False], [True, True]])


@pytest.mark.usefixtures("fitted")
def test_what_fails_leaves_nothing(tmp_path, run, monkeypatch):
    def broken(stream, images):
        stream.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setitem(apply_map.WRITERS, ".npy", broken)
    before = sorted(tmp_path.iterdir())
    outcome = run("apply-map", tmp_path / "map.npz", tmp_path / "points.npy", "--out", tmp_path / "images.npy")
    assert (outcome.code, outcome.err) == (130, "ot-solvers: aborted\n")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("fitted")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.npz", "points.npy"), "no such file: .*nowhere.npz"),
        (("points.npy", "points.npy"), "is no map that ot_solvers has saved"),
        (("map.npz", "nowhere.npy"), "no such file: .*nowhere.npy"),
        (("map.npz", "wide.npy"), "wide.npy has 3 coordinates; the map in .*map.npz was fitted to 2"),
        (("map.npz", "nan.npy"), r"nan.npy\[4, 1\] is nan; expected finite numbers"),
        (("map.npz", "points.npy", "--key", "x"), "key='x' is for .npz and .h5ad files"),
        (("map.npz", "points.npy", "--out", "images.txt"), "the name must end in one of .npy, .npz, .csv"),
        (("map.npz", "points.npy", "--out", "points.npy"), "would overwrite an input"),
        (("map.npz", "points.npy", "--out", "map.npz"), "would overwrite an input"),
    ],
)
def test_bad_input_is_one_line(tmp_path, run, assert_bad_input, arguments, message):
    points = np.load(tmp_path / "points.npy")
    np.save(tmp_path / "wide.npy", np.ones((4, 3)))
    points[4, 1] = np.nan
    np.save(tmp_path / "nan.npy", points)
    words = [str(tmp_path / word) if "." in word else word for word in arguments]
    if "--out" not in words:
        words += ["--out", str(tmp_path / "images.npy")]
    before = sorted(tmp_path.iterdir())
    assert_bad_input(run("apply-map", *words), message)
    assert sorted(tmp_path.iterdir()) == before


def test_networks(tmp_path, run, assert_bad_input, monkeypatch):
    pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(40, 2))
    network = ots.maps.MongeGapMap(steps=2, hidden=(4,), batch_size=8).fit(x, x + 1)
    network.save(tmp_path / "map.pt")
    np.save(tmp_path / "x.npy", x)
    files = tmp_path / "map.pt", tmp_path / "x.npy", "--out", tmp_path / "y.npy"
    assert run("apply-map", *files, "--threads", 1).code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), network.transform(x))
    assert_bad_input(run("apply-map", *files, "--inverse"), "goes one way; fit it with --both-ways")
    find = apply_map.importlib.util.find_spec
    monkeypatch.setattr(
        apply_map.importlib.util, "find_spec", lambda name, *more: None if name == "torch" else find(name, *more)
    )
    assert_bad_input(run("apply-map", *files), r"needs torch: pip install 'ot_solvers\[torch\]'")
