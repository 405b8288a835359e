"""``ot-solvers solve`` from files to files."""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse

import ot_solvers as ots
from ot_solvers.__main__ import main
from ot_solvers.commands import solve as module

FIGURES = {
    "value",
    "value_linear",
    "dual_value",
    "gap",
    "marginal_error",
    "status",
    "converged",
    "method",
    "method_reason",
    "n_iter",
    "backend",
}
POTENTIALS = {"f", "g", "reg"}
CSR = {"data", "indices", "indptr", "shape", "format"}


# Without a callback small problems may run in one kernel, and stop at another pass.
WATCHED = {"callback": lambda progress: False}


@pytest.fixture
def expected(points):
    return ots.solve_sample(points["x"], points["y"], reg=0.1, **WATCHED)


def write_as(kind, path, array):
    if kind == "npy":
        np.save(path.with_suffix(".npy"), array)
        return path.with_suffix(".npy")
    if kind == "npz":
        np.savez(path.with_suffix(".npz"), points=array)
        return path.with_suffix(".npz")
    np.savetxt(
        path.with_suffix(".csv"), array, delimiter=",", header="u,v" if kind == "header" else "", comments=""
    )
    return path.with_suffix(".csv")


@pytest.mark.parametrize("kind", ["npy", "npz", "csv", "header"])
def test_every_input_format_gives_the_same_value(tmp_path, run, points, expected, kind):
    x, y = (write_as(kind, tmp_path / name, points[name]) for name in "xy")
    outcome = run("solve", x, y, "--reg", 0.1, "--json")
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.figures["value"] == pytest.approx(float(expected.value), rel=1e-9)


def test_one_npz_for_everything(tmp_path, run, points):
    np.savez(tmp_path / "all.npz", **points)
    file = tmp_path / "all.npz"
    outcome = run("solve", file, file, "--a", file, "--b", file, "--reg", 0.1, "--json")
    expected = ots.solve_sample(*(points[name] for name in "xyab"), reg=0.1, **WATCHED)
    assert outcome.figures["value"] == pytest.approx(float(expected.value), rel=1e-9)


@pytest.mark.usefixtures("untouched")
def test_sparse_output(folder, run, points, expected):
    out = folder / "plan.npz"
    assert run("solve", folder / "x.npy", folder / "y.npy", "--reg", 0.1, "--out", out).code == 0
    with np.load(out, allow_pickle=False) as content:
        assert set(content.files) == FIGURES | POTENTIALS | CSR
        f, g, reg = content["f"], content["g"], float(content["reg"])
        assert str(content["status"]) == "CONVERGED"
        assert bool(content["converged"])
        assert float(content["value"]) == pytest.approx(float(expected.value), rel=1e-9)
    plan = scipy.sparse.load_npz(out)
    cost = ((points["x"][:, None] - points["y"]) ** 2).sum(-1)
    dense = np.exp((f[:, None] + g - cost) / reg) / cost.size
    assert plan.shape == (40, 30)
    np.testing.assert_allclose(plan.toarray(), dense, atol=2e-6)
    assert plan.sum() == pytest.approx(1, abs=1e-5)


def test_dense_and_no_plan(folder, run, expected):
    files = folder / "x.npy", folder / "y.npy"
    for plan, more in (("dense", {"plan"}), ("none", set())):
        out = folder / f"{plan}.npz"
        run("solve", *files, "--reg", 0.1, "--out", out, "--plan", plan)
        with np.load(out, allow_pickle=False) as content:
            assert set(content.files) == FIGURES | POTENTIALS | more
            if more:
                np.testing.assert_allclose(content["plan"], np.asarray(expected.plan), atol=1e-12)


def test_same_problem_same_bytes(folder, run):
    for name in ("one", "two"):
        run("solve", folder / "x.npy", folder / "y.npy", "--reg", 0.05, "--out", folder / name, "--quiet")
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()


def test_options_reach_the_library(folder, run, points):
    x, y, a, b = (points[name] for name in "xyab")
    files = [folder / "x.npy", folder / "y.npy"]
    weights = ["--a", folder / "a.npy", "--b", folder / "b.npy"]
    for options, call in {
        ("--reg", "0.1", "--cost", "euclidean"): {"reg": 0.1, "cost": "euclidean"},
        ("--reg", "0.1", "--cost", "pnorm", "--p", "3"): {"reg": 0.1, "cost": ots.costs.PNorm(3.0)},
        ("--reg", "0.02", "--reg-relative-to", "mean"): {"reg": 0.02, "reg_relative_to": "mean"},
        ("--reg", "0.1", "--unbalanced", "0.5"): {"reg": 0.1, "unbalanced": 0.5},
        ("--reg", "0.1", "--unbalanced", "inf,0.5"): {"reg": 0.1, "unbalanced": (np.inf, 0.5)},
        ("--reg", "0.1", "--unbalanced", "0.5", "--unbalanced-type", "tv"): {
            "reg": 0.1,
            "unbalanced": 0.5,
            "unbalanced_type": "tv",
        },
        ("--reg", "0.1", "--method", "sinkhorn", "--tol", "1e-3"): {
            "reg": 0.1,
            "method": "sinkhorn",
            "tol": 1e-3,
        },
    }.items():
        outcome = run("solve", *files, *weights, *options, "--json")
        assert outcome.code == 0, options
        solution = ots.solve_sample(x, y, a, b, **call, **WATCHED)
        assert outcome.figures["value"] == pytest.approx(float(solution.value), rel=1e-9), options
        assert outcome.figures["n_iter"] == solution.n_iter, options


def test_cost_matrices_may_forbid_pairs(folder, run):
    cost = np.load(folder / "C.npy")
    cost[0, :5] = np.inf
    np.save(folder / "C.npy", cost)
    outcome = run("solve", "--cost-matrix", folder / "C.npy", "--reg", 0.1, "--json")
    assert outcome.code == 0
    expected = ots.solve(cost, reg=0.1, **WATCHED)
    assert outcome.figures["value"] == pytest.approx(float(expected.value), rel=1e-9)
    assert outcome.figures["shapes"] == [[40, 30]]


def test_the_summary_has_what_one_wants_to_know(folder, run):
    outcome = run("solve", folder / "x.npy", folder / "y.npy", "--reg", 0.1)
    for word in (
        "value",
        "linear",
        "gap",
        "marginal error",
        "CONVERGED",
        "method",
        "iterations",
        "seconds",
        "backend",
    ):
        assert word in outcome.out
    assert outcome.err == ""


def test_quiet_means_quiet(folder, run):
    outcome = run("solve", folder / "x.npy", folder / "y.npy", "--reg", 0.1, "--quiet", "--out", folder / "p.npz")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_json_is_all_there_is_on_stdout(folder, run):
    outcome = run("solve", folder / "x.npy", folder / "y.npy", "--reg", 0.1, "--json", "--out", folder / "p.npz")
    assert set(outcome.figures) == FIGURES | {"seconds", "shapes", "out", "plot"}
    assert outcome.figures["out"] == str(folder / "p.npz")


def test_unconverged_answers_are_written_with_advice(folder, run):
    out = folder / "plan.npz"
    args = ("--reg", 0.001, "--tol", 1e-9, "--max-iter", 1, "--method", "sinkhorn")
    outcome = run("solve", folder / "x.npy", folder / "y.npy", *args, "--out", out)
    assert outcome.code == 1
    assert outcome.err.startswith("ot-solvers: warning: not converged (MAX_ITER): ")
    assert outcome.err.count("\n") == 1
    with np.load(out) as content:
        assert not content["converged"]


def test_warm_start(folder, run):
    args = ("solve", folder / "x.npy", folder / "y.npy", "--reg", 0.01, "--json", "--method", "sinkhorn")
    cold = run(*args, "--out", folder / "plan.npz")
    warm = run(*args, "--init", folder / "plan.npz")
    assert warm.code == 0
    assert warm.figures["n_iter"] < cold.figures["n_iter"]


def test_threads_are_put_back(folder, run):
    before = ots.get_num_threads()
    assert run("solve", folder / "x.npy", folder / "y.npy", "--reg", 0.1, "--threads", 1, "--quiet").code == 0
    assert ots.get_num_threads() == before


@pytest.mark.parametrize("d", [1, 2, 5])
def test_plots_of_points(tmp_path, run, d):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(d)
    for name in "xy":
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(20, d)))
    plot = tmp_path / "plot.png"
    assert run("solve", tmp_path / "x.npy", tmp_path / "y.npy", "--reg", 0.1, "--plot", plot).code == 0
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_plot_of_a_matrix_and_of_many_points(folder, run, monkeypatch):
    pytest.importorskip("matplotlib")
    from ot_solvers.commands import plots

    monkeypatch.setattr(plots, "MOST_PAIRS_FOR_LINES", 10)
    monkeypatch.setattr(plots, "MOST_PIXELS", 7)
    for inputs in (("--cost-matrix", folder / "C.npy"), (folder / "x.npy", folder / "y.npy")):
        plot = folder / "plot.svg"
        assert run("solve", *inputs, "--reg", 0.1, "--plot", plot).code == 0
        assert b"<svg" in plot.read_bytes()
        plot.unlink()


def changed(folder, name, change):
    array = np.load(folder / f"{name}.npy")
    np.save(folder / f"{name}.npy", change(array))


def poke(value, where=(1,)):
    def change(array):
        array[where] = value
        return array

    return change


REG = ("--reg", "0.1")
XY = ("x.npy", "y.npy")
WEIGHTS = ("--a", "a.npy", "--b", "b.npy")
# What is done to the files (name, change), the arguments and the message.
BAD = {
    "missing file": (None, ("z.npy", "y.npy", *REG), r"no such file: z\.npy"),
    "directory": (None, (".", "y.npy", *REG), "is a directory"),
    "three dimensions": (("x", lambda x: x[None]), (*XY, *REG), r"x\b.*\(1, 40, 2\)"),
    "other dimension": (("y", lambda y: y[:, :1]), (*XY, *REG), r"\b2\b.*\b1\b"),
    "empty": (("x", lambda x: x[:0]), (*XY, *REG), r"x\b.*(empty|\(0, 2\))"),
    "NaN in points": (("x", poke(np.nan)), (*XY, *REG), r"x\b.*(?i:nan|finite)"),
    "infinite point": (("y", poke(np.inf)), (*XY, *REG), r"y\b.*(?i:inf|finite)"),
    "NaN in costs": (("C", poke(np.nan)), ("--cost-matrix", "C.npy", *REG), r"(?i:nan)"),
    "flat cost matrix": (("C", np.ravel), ("--cost-matrix", "C.npy", *REG), r"C\b.*\(1200,\)"),
    "negative weights": (("a", poke(-0.5)), (*XY, *WEIGHTS, *REG), r"a\b.*negative"),
    "NaN weights": (("b", poke(np.nan)), (*XY, *WEIGHTS, *REG), r"b\b.*(?i:nan|finite)"),
    "weights of another length": (("a", lambda a: a[1:]), (*XY, *WEIGHTS, *REG), r"a\b.*39.*40|a\b.*40.*39"),
    "matrix as weights": (("a", lambda a: a.reshape(2, 20)), (*XY, *WEIGHTS, *REG), r"a\b.*\(2, 20\)"),
    "no mass": (("a", np.zeros_like), (*XY, *WEIGHTS, *REG), r"a\b.*(mass|sum)"),
    "unequal masses": (("a", lambda a: 2 * a), (*XY, *WEIGHTS, *REG), r"2(\.0*)?\b.*1(\.0*)?\b"),
    "negative reg": (None, (*XY, "--reg", "-1"), r"reg\b.*-1"),
    "NaN reg": (None, (*XY, "--reg", "nan"), r"reg\b.*nan"),
    "word for reg": (None, (*XY, "--reg", "small"), "argument --reg: invalid float value: 'small'"),
    "unknown cost": (None, (*XY, *REG, "--cost", "sqeuclidian"), "sqeuclidian.*sqeuclidean"),
    "unknown method": (None, (*XY, *REG, "--method", "sinkhron"), "sinkhron.*sinkhorn"),
    "unknown backend": (None, (*XY, *REG, "--backend", "nunba"), "nunba.*numba"),
    "unknown statistic": (None, (*XY, *REG, "--reg-relative-to", "median"), "invalid choice: 'median'"),
    "negative rho": (None, (*XY, *REG, "--unbalanced", "-2"), r"unbalanced.*-2"),
    "three rhos": (None, (*XY, *REG, "--unbalanced", "1,2,3"), "expected RHO or RHO_A,RHO_B, got '1,2,3'"),
    "type without rho": (None, (*XY, *REG, "--unbalanced-type", "tv"), "type needs --unbalanced RHO"),
    "negative tol": (None, (*XY, *REG, "--tol", "-1"), r"tol\b.*-1"),
    "no iterations": (None, (*XY, *REG, "--max-iter", "0"), "expected a whole number from 1 up, got '0'"),
    "no threads": (None, (*XY, *REG, "--threads", "none"), "expected a whole number from 1 up, got 'none'"),
    "one cloud": (None, ("x.npy", *REG), "two files of points are needed"),
    "nothing": (None, REG, "two files of points are needed"),
    "points and costs": (None, (*XY, "--cost-matrix", "C.npy", *REG), "not both"),
    "cost name and costs": (None, ("--cost-matrix", "C.npy", "--cost", "dot", *REG), "the costs already"),
    "pnorm without p": (None, (*XY, "--cost", "pnorm", *REG), "--cost pnorm needs its exponent"),
    "p without pnorm": (None, (*XY, "--p", "3", *REG), "--p is the exponent of --cost pnorm"),
    "p below one": (None, (*XY, "--cost", "pnorm", "--p", "0.5", *REG), r"\bp\b.*0\.5"),
    "statistic without reg": (None, (*XY, "--reg-relative-to", "mean"), "--reg-relative-to needs --reg"),
    "plan without out": (None, (*XY, *REG, "--plan", "dense"), "--plan says what goes into --out"),
    "no such output folder": (None, (*XY, *REG, "--out", "no/plan.npz"), "there is no directory no"),
    "output over input": (None, (*XY, *REG, "--out", "./y.npy"), "--out ./y.npy would overwrite an input"),
    "plot over output": (None, (*XY, *REG, "--out", "p.png", "--plot", "p.png"), "name the same file"),
    "plot of no format": (None, (*XY, *REG, "--plot", "plot.xyz"), "the name must end in one of .png"),
    "no potentials": (None, (*XY, *REG, "--init", "x.npy"), r"x\.npy is not an npz file with potentials"),
    "unknown option": (None, (*XY, *REG, "--epsilon", "1"), "unrecognized arguments: --epsilon"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "args", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line(folder, run, monkeypatch, assert_bad_input, change, args, message):
    if change is not None:
        changed(folder, *change)
    monkeypatch.chdir(folder)
    before = sorted(os.listdir())
    assert_bad_input(run("solve", *args), message)
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("shape", [(41,), (40, 1)])
def test_potentials_of_another_problem(folder, run, assert_bad_input, shape):
    np.savez(folder / "old.npz", f=np.zeros(shape), g=np.zeros(30))
    outcome = run("solve", folder / "x.npy", folder / "y.npy", "--reg", 0.1, "--init", folder / "old.npz")
    assert_bad_input(outcome, "init")


def interrupting(times, after=2):
    """A `Watch` during which Ctrl-C is pressed, that many times."""

    class Interrupting(module.Watch):
        calls = 0

        def __call__(self, progress):
            self.calls += 1
            if self.calls == after:
                for _ in range(times):
                    os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(progress)

    return Interrupting


HARD = ("--reg", "1e-3", "--tol", "1e-12", "--max-iter", "100000000", "--method", "sinkhorn")


def test_the_first_ctrl_c_keeps_the_answer(folder, run, monkeypatch):
    monkeypatch.setattr(module, "Watch", interrupting(1, after=60))
    out = folder / "plan.npz"
    before = signal.getsignal(signal.SIGINT)
    outcome = run("solve", folder / "x.npy", folder / "y.npy", *HARD, "--out", out)
    assert outcome.code == 130
    assert "interrupted: the answer so far was written" in outcome.err
    assert "STOPPED_BY_CALLBACK" in outcome.out
    assert signal.getsignal(signal.SIGINT) is before
    with np.load(out) as content:
        assert np.isfinite(content["f"]).all()
        assert 1e-12 < content["marginal_error"] < 2


def test_an_early_ctrl_c_keeps_a_sensible_answer(folder, run, monkeypatch):
    monkeypatch.setattr(module, "Watch", interrupting(1, after=2))
    outcome = run("solve", folder / "x.npy", folder / "y.npy", *HARD, "--json")
    assert outcome.code == 130
    assert 1e-12 < outcome.figures["marginal_error"] < 4
    assert outcome.figures["gap"] >= 0


def test_the_second_ctrl_c_aborts(folder, run, monkeypatch):
    monkeypatch.setattr(module, "Watch", interrupting(2))
    before = sorted(folder.iterdir()), signal.getsignal(signal.SIGINT)
    outcome = run("solve", folder / "x.npy", folder / "y.npy", *HARD, "--out", folder / "plan.npz")
    assert outcome.code == 130
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert (sorted(folder.iterdir()), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_ctrl_c_on_a_terminal(folder):
    """The whole program: a live bar on the terminal, then Ctrl-C while it runs."""
    rng = np.random.default_rng(0)
    for name in "xy":
        np.save(folder / f"{name}.npy", rng.random((1500, 5)))  # large enough to run until it is stopped
    ours, theirs = os.openpty()
    out = folder / "plan.npz"
    arguments = ["solve", folder / "x.npy", folder / "y.npy", *HARD, "--out", out]
    command = [sys.executable, "-m", "ot_solvers", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    shown = b""
    while b"log10 error" not in shown:
        shown += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # the other side is closed
        while process.poll() is None:
            shown += os.read(ours, 4096)
    summary, _ = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 130, shown
    assert "STOPPED_BY_CALLBACK" in summary
    assert b"Ctrl-C again aborts" in shown
    assert b"Traceback" not in shown
    assert out.exists()


def test_a_library_warning_is_one_line(folder, run, monkeypatch):
    import warnings

    solve_sample = ots.solve_sample

    def warning(*args, **options):
        for _ in range(3):
            warnings.warn("slow\n  path", ots.PerformanceWarning, stacklevel=1)
        return solve_sample(*args, **options)

    monkeypatch.setattr(ots, "solve_sample", warning)
    outcome = run("solve", folder / "x.npy", folder / "y.npy", "--reg", 0.1)
    assert outcome.err == "ot-solvers: warning: slow path\n"


def test_defects_of_the_command_are_not_hidden(folder, monkeypatch):
    def broken(*args):
        raise ValueError("a bug")

    monkeypatch.setattr(module, "_report", broken)
    with pytest.raises(ValueError, match="a bug"):
        main(["solve", str(folder / "x.npy"), str(folder / "y.npy"), "--reg", "0.1"])


def test_without_reg_transport_is_exact(folder, run, points):
    outcome = run("solve", folder / "x.npy", folder / "y.npy", "--json")
    exact = ots.solve_sample(points["x"], points["y"])
    assert outcome.code == 0
    assert outcome.figures["value"] == pytest.approx(float(exact), rel=1e-12)
    assert outcome.figures["method"] == "simplex"


def test_partial(run, folder):
    outcome = run(
        "solve", folder / "x.npy", folder / "y.npy", "--mass", "0.4", "--out", folder / "out.npz", "--json"
    )
    assert outcome.code == 0
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    assert outcome.figures["value"] == pytest.approx(float(ots.solve_sample(x, y, mass=0.4)))
    assert np.load(folder / "out.npz")["data"].sum() == pytest.approx(0.4)
    both = run("solve", folder / "x.npy", folder / "y.npy", "--mass", "0.4", "--reg", "1", "--unbalanced", "1")
    assert both.code == 2 and "either --mass says how much is moved" in both.err
    much = run("solve", folder / "x.npy", folder / "y.npy", "--mass", "4")
    assert much.code == 2 and "mass=4 must be positive and at most 1" in much.err
