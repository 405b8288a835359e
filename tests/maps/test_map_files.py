"""Networks in files: round trips, modules of the caller, files that are something else."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest
from checks import check_same_bits

import ot_solvers as ots

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from ot_solvers import maps  # noqa: E402
from ot_solvers.maps import MapHistory, MapProgress, MongeGapMap  # noqa: E402
from ot_solvers.maps.history import FitStatus  # noqa: E402

QUICK = {"hidden": (4,), "steps": 4, "batch_size": 16, "record_every": 2, "validate_every": 2}


@pytest.fixture
def samples(rng):
    """(x, y): 60 and 50 points of space, of norm 1."""
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(50, 3)) + 0.5
    return x / np.linalg.norm(x, axis=1, keepdims=True), y / np.linalg.norm(y, axis=1, keepdims=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "map.pt"


def check_same_map(found, wanted, x):
    check_same_bits(found.transform(x), wanted.transform(x))
    assert found.history_ == wanted.history_ and isinstance(found.history_, MapHistory)
    assert all(isinstance(record, MapProgress) for record in found.history_)
    assert found.status_ is wanted.status_ and isinstance(found.status_, FitStatus)
    assert (found.reg_, found.gap_reg_, found.n_features_in_) == (
        wanted.reg_,
        wanted.gap_reg_,
        wanted.n_features_in_,
    )
    assert not found.network_.training


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cost": "sphere"},
        {"cost": ots.costs.PNorm(1.5), "activation": "tanh", "hidden": [3, 5]},
        {"dtype": "float64", "fitting": "sinkhorn", "fitting_reg": 0.2, "gap_reg": None},
        {"strength": 0, "fitting": "mmd", "validation": 0.0},
        {"hidden": ()},
    ],
)
def test_round_trips(options, samples, path):
    fitted = MongeGapMap(**(QUICK | options)).fit(*samples)
    fitted.save(path)
    found = MongeGapMap.load(path)
    check_same_map(found, fitted, samples[0])
    before, after = fitted.get_params(), found.get_params()
    before["hidden"], after["hidden"] = tuple(before["hidden"]), tuple(after["hidden"])
    assert after == before
    # It can be fitted again, and saved again.
    check_same_bits(found.fit(*samples).transform(samples[0]), fitted.transform(samples[0]))
    found.save(path)
    assert os.listdir(path.parent) == ["map.pt"]


def test_both_ways(samples, path):
    fitted = MongeGapMap(**QUICK, both_ways=True).fit(*samples)
    fitted.save(path)
    found = MongeGapMap.load(path)
    check_same_map(found, fitted, samples[0])
    check_same_bits(found.inverse_transform(samples[1]), fitted.inverse_transform(samples[1]))
    assert found.inverse_history_ == fitted.inverse_history_ and found.inverse_status_ is fitted.inverse_status_


def test_the_loader_of_all_maps(samples, path):
    fitted = MongeGapMap(**QUICK).fit(*samples)
    fitted.save(path)
    found = maps.load(path)
    assert type(found) is MongeGapMap
    check_same_map(found, fitted, samples[0])
    check_same_bits(maps.load(str(path)).transform(samples[0]), fitted.transform(samples[0]))


class Own(nn.Module):
    """A module with a buffer."""

    def __init__(self, width=5):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, 3))

    def forward(self, x):
        return x + self.layers(x)


@pytest.mark.parametrize("cost", ["sqeuclidean", "sphere"])
def test_modules_of_the_caller(cost, samples, path):
    fitted = MongeGapMap(cost, **QUICK, network=Own()).fit(*samples)
    fitted.save(path)
    with pytest.raises(ValueError, match=r"path='.*map\.pt' has parameters of a module of yours: give network="):
        MongeGapMap.load(path)
    blank = Own()
    before = {name: value.clone() for name, value in blank.state_dict().items()}
    found = MongeGapMap.load(path, network=blank)
    check_same_map(found, fitted, samples[0])
    for name, value in blank.state_dict().items():
        check_same_bits(value, before[name])
    with pytest.raises(ValueError, match=r"network does not fit path='.*map\.pt'"):
        MongeGapMap.load(path, network=Own(6))


def test_numbers_of_numpy_among_the_options(samples, path):
    options = {
        "steps": np.int64(4), "learning_rate": np.float64(1e-3), "fitting_reg": np.float32(0.5),
        "both_ways": np.bool_(True), "strength": (np.float64(1.0), np.float64(0.1)),
        "hidden": np.array([4, 4]), "gap_reg": ots.Entropic(np.float64(0.5)), "batch_size": np.int32(16),
    }  # fmt: skip
    fitted = MongeGapMap(**options).fit(*samples)
    fitted.save(path)
    found = MongeGapMap.load(path)
    check_same_map(found, fitted, samples[0])
    assert tuple(found.hidden) == (4, 4) and found.strength == (1.0, 0.1) and found.gap_reg == ots.Entropic(0.5)


def test_functions_are_left_out(samples, path):
    options = {
        "strength": lambda k: 0.5,
        "fitting": lambda z, y: (z - y).square().mean(),
        "callback": lambda p: None,
    }
    fitted = MongeGapMap(**QUICK, **options, checkpoint=path.with_name("fit.pt")).fit(*samples)
    fitted.save(path)
    found = MongeGapMap.load(path)
    check_same_map(found, fitted, samples[0])
    defaults = MongeGapMap()
    assert (found.strength, found.fitting) == (defaults.strength, defaults.fitting)
    assert found.callback is None and found.checkpoint is None


def test_costs_of_the_caller_are_refused(samples, path):
    class Mine(ots.costs.SqEuclidean):
        pass

    fitted = MongeGapMap(**QUICK).fit(*samples)
    fitted.cost = Mine()
    with pytest.raises(ValueError, match=r"cost=.* is a class of its own, .*: use pickle"):
        fitted.save(path)
    assert os.listdir(path.parent) == []


def test_a_map_that_diverged_can_be_saved(samples, path):
    fitted = MongeGapMap(**(QUICK | {"learning_rate": 1e6, "record_every": 1}), on_failure="ignore").fit(*samples)
    assert fitted.status_ is FitStatus.DIVERGED
    fitted.save(path)
    check_same_map(MongeGapMap.load(path), fitted, samples[0])


def test_files_are_read_as_data(samples, path):
    """Nothing in a file is run."""
    MongeGapMap(**QUICK).fit(*samples).save(path)
    content = torch.load(path, weights_only=True)
    assert content["kind"] == "MongeGapMap" and set(content["networks"]) == {"network_"}

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(path.parent / "harm"),)

    content["options"]["seed"] = Evil()
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"is no network map that ot_solvers has saved"):
        MongeGapMap.load(path)
    assert not (path.parent / "harm").exists()


@pytest.mark.parametrize("kind", ["empty", "text", "weights", "checkpoint", "linear"])
def test_files_that_hold_something_else(kind, samples, path):
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no map")
    elif kind == "weights":
        torch.save(nn.Linear(2, 2).state_dict(), path)
    elif kind == "checkpoint":
        MongeGapMap(**QUICK, checkpoint=path).fit(*samples)
    else:
        maps.LinearMap().fit(*samples).save(path)
    with pytest.raises(ValueError, match=r"path='.*map\.pt' is no network map that ot_solvers has saved"):
        MongeGapMap.load(path)


def test_missing_files_and_later_versions(samples, path):
    with pytest.raises(FileNotFoundError):
        MongeGapMap.load(path)
    MongeGapMap(**QUICK).fit(*samples).save(path)
    content = torch.load(path, weights_only=True)
    torch.save(content | {"layout": 99, "version": "99.0"}, path)
    with pytest.raises(ValueError, match=r"was written by ot_solvers 99\.0, in a layout .*: update the package"):
        MongeGapMap.load(path)


def test_the_old_file_stays_where_writing_fails(samples, path, monkeypatch):
    fitted = MongeGapMap(**QUICK).fit(*samples)
    fitted.save(path)
    before = path.read_bytes()

    def full(self, content):
        with open(self, "wb") as stream:
            stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(OSError, match="disk full"):
        fitted.save(path)
    assert path.read_bytes() == before and os.listdir(path.parent) == ["map.pt"]
