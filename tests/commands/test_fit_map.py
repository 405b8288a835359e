"""``ot-solvers fit-map`` from files to a map."""

import argparse
import csv
import errno
import importlib.util
import inspect
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import ot_solvers as ots
from ot_solvers.commands import fit_map, map_fits
from ot_solvers.commands.parser import command_line

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="networks need torch")
#: A network that is trained in a second.
SMALL = (
    "--hidden", "8", "--batch-size", "16", "--steps", "30", "--validate-every", "10", "--validation", "0.2"
)  # fmt: skip
LOSSES = ("step", "fit", "gap", "strength", "learning_rate", "validation_fit", "validation_gap")


@pytest.fixture
def problem():
    return ots.maps.gaussian_problem(2, seed=1)


@pytest.fixture
def files(tmp_path, problem):
    """source.npy and target.npy, a few points of a problem with known map."""
    x, y = problem.sample(60, seed=0)
    np.save(tmp_path / "source.npy", x)
    np.save(tmp_path / "target.npy", y)
    return tmp_path


def pair(folder):
    return folder / "source.npy", folder / "target.npy"


def history(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def losses(records):
    return [{name: record[name] for name in ("way", *LOSSES)} for record in records]


# --- closed forms ---------------------------------------------------------------------------------------------


def test_linear_maps(files, run):
    out = files / "map.npz"
    outcome = run("fit-map", *pair(files), "--method", "linear", "--validation", 0, "--out", out, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    x, y = (np.load(path) for path in pair(files))
    expected = ots.maps.LinearMap().fit(x, y)
    np.testing.assert_array_equal(ots.maps.load(out).transform(x), expected.transform(x))
    figures = outcome.figures
    assert figures["distance_of_gaussians"] == pytest.approx(np.sqrt(expected.value_))
    assert figures["score"] == pytest.approx(expected.score(x, y))
    assert figures["gap_of_map"] == pytest.approx(float(ots.maps.monge_gap(x, expected.transform(x))), abs=1e-12)
    assert (figures["held_out"], figures["status"], figures["out"]) == ([0, 0], "COMPLETED", str(out))


def test_entropic_maps_with_weights_and_another_cost(files, run):
    rng = np.random.default_rng(3)
    weights = rng.random(60), rng.random(60)
    for name, values in zip(("a", "b"), weights):
        np.save(files / f"{name}.npy", values)
    out = files / "map.npz"
    outcome = run(
        "fit-map", *pair(files), "--method", "entropic", "--cost", "pnorm", "--p", 3, "--reg", 0.1,
        "--reg-relative-to", "mean", "--projection", "barycentric", "--validation", 0, "--weights-source",
        files / "a.npy", "--weights-target", files / "b.npy", "--out", out, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    x, y = (np.load(path) for path in pair(files))
    options = {"reg": 0.1, "reg_relative_to": "mean", "projection": "barycentric"}
    expected = ots.maps.EntropicMap(cost=ots.costs.PNorm(3.0), **options).fit(x, y, *weights)
    np.testing.assert_allclose(ots.maps.load(out).transform(x), expected.transform(x), atol=1e-4)
    assert outcome.figures["reg"] == pytest.approx(expected.reg_)
    assert outcome.figures["status"] == "CONVERGED"


def test_points_that_are_held_out_are_not_fitted_to(files, run):
    out = files / "map.npz"
    outcome = run("fit-map", *pair(files), "--method", "linear", "--validation", 0.5, "--out", out, "--json")
    assert outcome.figures["held_out"] == [30, 30]
    x, y = (np.load(path) for path in pair(files))
    fitted = ots.maps.load(out)
    everything = ots.maps.LinearMap().fit(x, y)
    assert abs(fitted.matrix_ - everything.matrix_).max() > 1e-3
    from ot_solvers.maps.held_out import fit_seeds, hold_out

    split = hold_out(x, y, None, None, 0.5, fit_seeds(0)[0])
    np.testing.assert_allclose(fitted.matrix_, ots.maps.LinearMap().fit(split.x, split.y).matrix_, atol=1e-12)
    assert outcome.figures["score"] == pytest.approx(fitted.score(split.held_x, split.held_y))


def test_an_entropic_solve_that_is_stopped_leaves_a_map(files, run, monkeypatch):
    from ot_solvers.commands import solve

    class Interrupting(solve.Watch):
        def __call__(self, progress):
            os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(progress)

    monkeypatch.setattr(solve, "Watch", Interrupting)
    out = files / "map.npz"
    hard = ("--reg", 1e-4, "--tol", 1e-12)
    outcome = run("fit-map", *pair(files), "--method", "entropic", *hard, "--out", out)
    assert outcome.code == 130
    assert "interrupted: the map reached was written" in outcome.err
    assert "STOPPED_BY_CALLBACK" in outcome.out
    assert np.isfinite(ots.maps.load(out).transform(np.zeros((1, 2)))).all()


def test_an_entropic_plan_out_of_reach(files, run):
    out = files / "map.npz"
    outcome = run(
        "fit-map", *pair(files), "--method", "entropic", "--reg", 0.1, "--tol", 1e-30, "--out", out, "--quiet"
    )
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("ot-solvers: warning: PRECISION_LIMIT: ")
    assert out.exists()


# --- networks -------------------------------------------------------------------------------------------------


@needs_torch
def test_the_true_map_is_found(tmp_path, run, problem):
    x, y = problem.sample(2000, seed=0)
    np.savetxt(tmp_path / "x.csv", x, delimiter=",", header="u,v", comments="")
    np.savez(tmp_path / "y.npz", target=y, labels=np.zeros(2000))
    out = tmp_path / "map.pt"
    options = ("--steps", 200, "--hidden", "32,32", "--both-ways", "--out", out, "--json")
    outcome = run("fit-map", tmp_path / "x.csv", tmp_path / "y.npz", *options)
    assert (outcome.code, outcome.err) == (0, "")
    figures = outcome.figures
    assert figures["status"] == figures["forward_status"] == figures["inverse_status"] == "COMPLETED"
    assert (figures["last_step"], figures["held_out"], figures["resumed"]) == (200, [200, 200], False)
    new = problem.sample(1000, seed=7)[0]
    np.save(tmp_path / "new.npy", new)
    assert run("apply-map", out, tmp_path / "new.npy", "--out", tmp_path / "images.npy").code == 0
    images, truth = np.load(tmp_path / "images.npy"), problem.true_map(new)
    assert ots.maps.l2_uvp(images, truth) < 2
    assert ots.maps.l2_uvp(new, truth) > 10  # there was something to learn
    code = run("apply-map", out, tmp_path / "images.npy", "--inverse", "--out", tmp_path / "back.csv").code
    assert code == 0
    assert ots.maps.l2_uvp(np.loadtxt(tmp_path / "back.csv", delimiter=","), new) < 2


@needs_torch
def test_options_reach_the_network(files, run):
    out = files / "map.pt"
    outcome = run(
        "fit-map", *pair(files), "--out", out, "--cost", "euclidean", "--reg", 0.2, "--strength", "2,0.5",
        "--fitting", "sinkhorn", "--steps", 4, "--batch-size", 10, "--learning-rate", 0.02, "--hidden", "5,6",
        "--validation", 0.2, "--validate-every", 2, "--patience", 3, "--tol", 0.01, "--seed", 5, "--quiet",
    )  # fmt: skip
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    fitted = ots.maps.load(out)
    assert fitted.cost == ots.costs.Euclidean()
    assert fitted.fitting_reg == fitted.gap_reg == ots.Entropic(0.2)
    expected = {
        "strength": (2.0, 0.5), "fitting": "sinkhorn", "steps": 4, "batch_size": 10, "learning_rate": 0.02,
        "hidden": (5, 6), "validation": 0.2, "validate_every": 2, "patience": 3, "tol": 0.01, "seed": 5,
        "both_ways": False,
    }  # fmt: skip
    assert {name: getattr(fitted, name) for name in expected} == expected


@needs_torch
def test_without_options_the_defaults_are_those_of_the_library():
    arguments = command_line().parse_args(["fit-map", "x", "y", "--out", "map.pt"])
    assert all(getattr(arguments, name) is None for name in map_fits.TRAINING)
    defaults = inspect.signature(ots.maps.MongeGapMap.__init__).parameters
    assert arguments.validation == defaults["validation"].default
    assert arguments.seed == defaults["seed"].default
    (commands,) = (action for action in command_line()._actions if isinstance(action, argparse._SubParsersAction))
    helps = {action.dest: action.help or "" for action in commands.choices["fit-map"]._actions}
    for name in ("steps", "learning_rate", "fitting", "device", "validate_every", "validation", "seed"):
        assert f"(default: {defaults[name].default})" in helps[name]
    said = ",".join(f"{value:g}" for value in defaults["hidden"].default)
    assert f"(default: {said})" in helps["hidden"]
    assert defaults["strength"].default == "auto" and "(default: 1,0.01; less in" in helps["strength"]


@needs_torch
def test_history_plot_and_summary(files, run):
    out, table, picture = files / "map.pt", files / "history.csv", files / "map.png"
    outcome = run(
        "fit-map", *pair(files), *SMALL, "--both-ways", "--out", out, "--history", table, "--plot", picture
    )
    assert outcome.code == 0
    for words in ("monge-gap, cost sqeuclidean", "60 x 2 -> 60 x 2", "12 and 12", "way back", "score, held out"):
        assert words in outcome.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    records = history(table)
    fitted = ots.maps.load(out)
    for way, expected in (("forward", fitted.history_), ("inverse", fitted.inverse_history_)):
        own = [record for record in records if record["way"] == way]
        assert [int(record["step"]) for record in own] == [record.step for record in expected]
        assert [float(record["fit"]) for record in own] == [record.fit for record in expected]
        assert [record["validation_fit"] != "" for record in own] == [
            record.validation_fit is not None for record in expected
        ]


def test_plots_on_a_line_and_without_a_training(tmp_path, run):
    rng = np.random.default_rng(0)
    for d in (1, 3):
        np.save(tmp_path / "x.npy", rng.normal(size=(40, d)))
        picture = tmp_path / f"{d}.svg"
        outcome = run(
            "fit-map", tmp_path / "x.npy", tmp_path / "x.npy", "--method", "linear", "--out",
            tmp_path / "map.npz", "--plot", picture,
        )  # fmt: skip
        assert outcome.code == 0
        assert b"<svg" in picture.read_bytes()


@needs_torch
def test_spheres(tmp_path, run):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", -x)
    options = ("--cost", "sphere", *SMALL, "--out", tmp_path / "map.pt")
    assert run("fit-map", tmp_path / "x.npy", tmp_path / "y.npy", *options, "--quiet").code == 0
    assert run("apply-map", tmp_path / "map.pt", tmp_path / "x.npy", "--out", tmp_path / "i.npy").code == 0
    np.testing.assert_allclose(np.linalg.norm(np.load(tmp_path / "i.npy"), axis=1), 1, atol=1e-5)


@needs_torch
def test_diverging_training_leaves_the_last_good_map(files, run):
    out = files / "map.pt"
    outcome = run("fit-map", *pair(files), *SMALL, "--learning-rate", 1e9, "--out", out)
    assert outcome.code == 1
    assert "DIVERGED" in outcome.out
    assert outcome.err.startswith("ot-solvers: warning: DIVERGED: ")
    assert "smaller learning_rate" in outcome.err
    assert np.isfinite(ots.maps.load(out).transform(np.zeros((1, 2)))).all()


@needs_torch
def test_without_torch_the_extra_is_named(files, run, assert_bad_input, monkeypatch):
    find = fit_map.importlib.util.find_spec
    monkeypatch.setattr(
        fit_map.importlib.util, "find_spec", lambda name, *more: None if name == "torch" else find(name, *more)
    )
    outcome = run("fit-map", *pair(files), "--out", files / "map.pt")
    assert_bad_input(outcome, r"--method monge-gap needs torch: pip install 'ot_solvers\[torch\]'")
    assert run("fit-map", *pair(files), "--method", "linear", "--out", files / "map.npz").code == 0


# --- Ctrl-C and checkpoints -----------------------------------------------------------------------------------


def pressing(times, at):
    """A `FitWatch` during which Ctrl-C is pressed at one record, that many times."""

    class Pressing(map_fits.FitWatch):
        def __call__(self, progress):
            if sum(self.records.values()) + 1 == at:
                for _ in range(times):
                    os.kill(os.getpid(), signal.SIGINT)
            super().__call__(progress)

    return Pressing


@needs_torch
@pytest.mark.parametrize("at", [2, 5])  # records: on the way there, and on the way back
def test_a_stopped_fit_goes_on_to_the_same_losses(files, run, monkeypatch, at):
    options = (*SMALL, "--both-ways")
    whole = run("fit-map", *pair(files), *options, "--out", files / "whole.pt", "--history", files / "whole.csv")
    assert whole.code == 0
    again = (*options, "--checkpoint", files / "fit.ckpt", "--out", files / "map.pt", "--history", files / "h.csv")
    with monkeypatch.context() as patch:
        patch.setattr(map_fits, "FitWatch", pressing(1, at))
        before = signal.getsignal(signal.SIGINT)
        stopped = run("fit-map", *pair(files), *again)
        assert signal.getsignal(signal.SIGINT) is before
    assert stopped.code == 130
    assert "interrupted: the map reached was written" in stopped.err
    assert f"the same command goes on from {files / 'fit.ckpt'}" in stopped.err
    assert "INTERRUPTED" in stopped.out
    assert len(history(files / "h.csv")) == at
    assert np.isfinite(ots.maps.load(files / "map.pt").transform(np.zeros((1, 2)))).all()
    resumed = run("fit-map", *pair(files), *again, "--resume", "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.figures["resumed"]
    assert losses(history(files / "h.csv")) == losses(history(files / "whole.csv"))
    first, second = (ots.maps.load(files / name) for name in ("whole.pt", "map.pt"))
    x = np.load(files / "source.npy")
    np.testing.assert_array_equal(first.transform(x), second.transform(x))
    np.testing.assert_array_equal(first.inverse_transform(x), second.inverse_transform(x))


@needs_torch
def test_the_second_ctrl_c_aborts(files, run, monkeypatch):
    monkeypatch.setattr(map_fits, "FitWatch", pressing(2, 1))
    before = sorted(files.iterdir())
    outcome = run("fit-map", *pair(files), *SMALL, "--out", files / "map.pt")
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err.endswith("ot-solvers: aborted\n")
    assert sorted(files.iterdir()) == before


@needs_torch
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_signal_to_the_program(files):
    """The whole program, three times: to its end, stopped by a signal, and on from there."""

    def start(name):
        options = ("--hidden", "8", "--batch-size", "32", "--steps", "3000", "--validate-every", "50")
        arguments = (
            *options,
            "--validation",
            "0.2",
            "--json",
            "--out",
            f"{name}.pt",
            "--history",
            f"{name}.csv",
            "--checkpoint",
            f"{name}.ckpt",
        )
        command = [sys.executable, "-m", "ot_solvers", "fit-map", "source.npy", "target.npy", *arguments]
        package = os.path.dirname(os.path.dirname(ots.__file__))
        return subprocess.Popen(
            command, cwd=files, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": package},
        )  # fmt: skip

    process = start("stopped")
    deadline = time.monotonic() + 300
    while not (files / "stopped.ckpt").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    summary, remarks = process.communicate(timeout=120)
    assert process.returncode == 130, remarks
    assert '"status": "INTERRUPTED"' in summary
    assert "Ctrl-C again aborts" in remarks
    assert "Traceback" not in remarks
    part = history(files / "stopped.csv")
    assert 0 < int(part[-1]["step"]) < 3000
    for name in ("stopped", "whole"):
        process = start(name)
        _, remarks = process.communicate(timeout=300)
        assert (process.returncode, remarks) == (0, ""), name
    assert losses(history(files / "stopped.csv")) == losses(history(files / "whole.csv"))
    assert losses(history(files / "stopped.csv"))[: len(part)] == losses(part)


@needs_torch
def test_starting_anew(files, run, assert_bad_input):
    checkpoint = files / "fit.ckpt"
    options = (*SMALL, "--both-ways", "--out", files / "map.pt", "--checkpoint", checkpoint, "--json")
    assert_bad_input(run("fit-map", *pair(files), *options, "--resume"), "there is no checkpoint .* to go on from")
    assert not run("fit-map", *pair(files), *options).figures["resumed"]
    assert (files / "fit.ckpt.inverse").exists()
    assert run("fit-map", *pair(files), *options).figures["resumed"]
    assert not run("fit-map", *pair(files), *options, "--no-resume").figures["resumed"]
    other = run("fit-map", *pair(files), *options, "--seed", 1)
    assert_bad_input(other, "belongs to a fit with seed=0, not 1")
    np.save(files / "weights.npy", np.ones(60))
    outcome = run(
        "fit-map", *pair(files), *SMALL, "--out", files / "map.pt", "--checkpoint", files / "weights.npy",
        "--no-resume",
    )  # fmt: skip
    assert_bad_input(outcome, "is no checkpoint of a map; it is left as it is")
    assert np.load(files / "weights.npy").shape == (60,)


@needs_torch
def test_full_disks(files, run, assert_bad_input, monkeypatch):
    (files / "map.pt").write_bytes(b"old")

    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    options = (*SMALL, "--out", files / "map.pt")
    before = sorted(files.iterdir())
    assert_bad_input(run("fit-map", *pair(files), *options), "cannot write .*map.pt: No space left on device")
    outcome = run("fit-map", *pair(files), *options, "--checkpoint", files / "fit.ckpt")
    assert_bad_input(outcome, "cannot write .*fit.ckpt: No space left on device")
    assert sorted(files.iterdir()) == before
    assert (files / "map.pt").read_bytes() == b"old"


# --- one file for both, and bad input -------------------------------------------------------------------------


LINEAR = ("--method", "linear")


def test_both_samples_from_one_file(files, run):
    x, y = (np.load(path) for path in pair(files))
    drug = np.array(["control"] * 60 + ["treated"] * 60)
    np.savez(files / "cells.npz", points=np.concatenate([x, y]), drug=drug)
    np.savez(files / "two.npz", x=x, y=y)
    one = files / "cells.npz"
    calls = {
        "where": (one, one, "--key", "points", "--where-source", "drug=control", "--where-target", "drug=treated"),
        "names": (files / "two.npz", files / "two.npz"),
        "keys": (files / "two.npz", files / "two.npz", "--key-source", "x", "--key-target", "y"),
        "mixed": (files / "two.npz", files / "target.npy", "--key", "x"),
    }
    expected = ots.maps.LinearMap().fit(x, y)
    for name, arguments in calls.items():
        out = files / f"{name}.npz"
        outcome = run("fit-map", *arguments, "--method", "linear", "--validation", 0, "--out", out)
        assert outcome.code == 0, (name, outcome.err)
        np.testing.assert_array_equal(ots.maps.load(out).transform(x), expected.transform(x))


def test_cells(files, run):
    h5py = pytest.importorskip("h5py")
    x, y = (np.load(path) for path in pair(files))
    with h5py.File(files / "cells.h5ad", "w") as file:
        file["obsm/X_pca"] = np.concatenate([x, y])
        file["obs/drug"] = np.repeat(["control", "treated"], 60).astype(object)
        for name, kind in (("obsm/X_pca", "array"), ("obs", "dataframe"), ("obs/drug", "string-array")):
            file[name].attrs["encoding-type"] = kind
    cells, out = files / "cells.h5ad", files / "map.npz"
    rows = ("--where-source", "drug=control", "--where-target", "drug=treated")
    options = ("--key", "X_pca", *rows, *LINEAR, "--validation", 0, "--out", out)
    assert run("fit-map", cells, cells, *options).code == 0
    expected = ots.maps.LinearMap().fit(x, y)
    np.testing.assert_array_equal(ots.maps.load(out).transform(x), expected.transform(x))


def with_entry(value, row):
    def change(array):
        array = array.copy()
        array[row, 0] = value
        return array

    return change


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, ("--source", "nowhere.npy"), "no such file: .*nowhere.npy"),
        ({"source": with_entry(np.nan, 7)}, LINEAR, r"source.npy\[7, 0\] is nan; expected finite numbers"),
        ({"target": lambda y: y[:, :1]}, LINEAR, "source.npy has 2 coordinates and .*target.npy 1; maps need"),
        ({"target": lambda y: y[:, 0]}, LINEAR, r"target.npy has shape \(60,\); expected \(n, d\)"),
        ({}, (*LINEAR, "--cost", "euclidean"), "linear is optimal for sqeuclidean and dot, not for --cost euclid"),
        ({}, (*LINEAR, "--cost", "euclidian"), "did you mean 'euclidean'"),
        ({}, (*LINEAR, "--cost", "pnorm"), "--cost pnorm needs its exponent"),
        ({}, (*LINEAR, "--p", "3"), "--p is the exponent of --cost pnorm"),
        ({}, (*LINEAR, "--cost", "dot", "--shrinkage", "2"), "shrinkage=2.0 must be in"),
        ({}, (*LINEAR, "--steps", "9"), "--steps is for --method monge-gap, not for linear"),
        ({}, (*LINEAR, "--no-resume"), "--no-resume is for --method monge-gap"),
        ({}, (*LINEAR, "--reg", "1"), "--reg is for --method monge-gap and entropic, not for linear"),
        ({}, (*LINEAR, "--key", "x"), "--key x is for npz and h5ad files"),
        ({}, (*LINEAR, "--where-target", "drug=no"), "where='drug=no' is for .npz and .h5ad"),
        (
            {},
            (*LINEAR, "--weights-source", "short.npy"),
            r"--weights-source .*short.npy has shape \(3,\); expected",
        ),
        ({}, (*LINEAR, "--validation", "1"), "--validation: expected a number from 0 up, below 1, got '1'"),
        ({}, (*LINEAR, "--out", "map.pt"), "the name of a map of --method linear must end in .npz"),
        ({}, (*LINEAR, "--out", "no/map.npz"), "there is no directory"),
        ({}, (*LINEAR, "--plot", "map.txt"), "--plot .*map.txt: the name must end in one of .png"),
        ({}, ("--method", "entropic"), "--method entropic needs --reg EPS"),
        ({}, ("--method", "entropic", "--reg", "-1"), "reg=-1"),
        ({}, ("--method", "entropic", "--reg-relative-to", "mean"), "--reg-relative-to needs --reg"),
        ({}, ("--method", "entropic", "--reg", "1", "--cost", "euclidean"), "--cost euclidean has no twist"),
        ({}, ("--method", "entropic", "--reg", "1", "--cost", "sphere"), r"source.npy\[\d+\] has norm"),
        ({}, ("--method", "entropc"), "invalid choice: 'entropc'"),
        ({}, ("--out", "map.npz"), "the name of a map of --method monge-gap must end in .pt"),
        (
            {},
            ("--batch-size", "49", "--validation", "0.2"),
            "batch_size=49 is more than the 48 points of x to train on .60, less 12 held out",
        ),
        ({}, ("--hidden", "8,x"), "--hidden: expected a whole number from 1 up, got 'x'"),
        ({}, ("--strength", "1,2,3"), "--strength: expected a number or FIRST,LAST, got '1,2,3'"),
        ({}, ("--strength", "-1"), "strength=-1.0 must be finite and not negative"),
        ({}, ("--fitting", "sinkhron"), "fitting='sinkhron' is unknown.*did you mean 'sinkhorn'"),
        ({}, ("--seed", "-1"), "--seed: expected a whole number from 0 up"),
        ({}, ("--resume",), "--resume needs --checkpoint FILE"),
        ({}, ("--checkpoint", "map.pt"), "--out and --checkpoint name the same file"),
        ({}, ("--checkpoint", "source.npy"), "--checkpoint .* would overwrite an input"),
        ({}, ("--validation", "0", "--patience", "3"), "patience=3 needs points to validate on"),
    ],
)
def test_bad_input_is_one_line(files, run, assert_bad_input, change, options, message):
    if "linear" not in options and "entropic" not in options:
        pytest.importorskip("torch")
    np.save(files / "short.npy", np.ones(3))
    for name, do in change.items():
        np.save(files / f"{name}.npy", do(np.load(files / f"{name}.npy")))
    options = [
        str(files / word) if word.rpartition(".")[2] in ("npy", "npz", "pt", "txt") else word for word in options
    ]
    source, target = pair(files)
    if options[0] == "--source":
        source, options = options[1], list(LINEAR)
    if "--out" not in options:
        options += ["--out", files / ("map.npz" if "--method" in options else "map.pt")]
    before = sorted(files.iterdir())
    assert_bad_input(run("fit-map", source, target, *options), message)
    assert sorted(files.iterdir()) == before


def test_ambiguous_archives_name_the_option(files, run, assert_bad_input):
    x = np.load(files / "source.npy")
    np.savez(files / "two.npz", before=x, after=x)
    outcome = run("fit-map", files / "two.npz", files / "target.npy", *LINEAR, "--out", files / "map.npz")
    assert_bad_input(outcome, r"several arrays \(before, after\): name the one for source with --key-source")


def test_help_can_be_read(run):
    for command in ("fit-map", "apply-map"):
        outcome = run(command, "--help")
        assert (outcome.code, outcome.err) == (0, "")
        assert "exit codes" in outcome.out
        assert max(map(len, outcome.out.splitlines())) <= 115
