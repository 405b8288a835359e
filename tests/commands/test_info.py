"""``ot-solvers info``, and the command as a whole."""

import subprocess
import sys

import ot_solvers as ots


def test_versions_machine_and_capabilities(run):
    outcome = run("info")
    assert outcome.code == 0
    for word in ("ot_solvers", "python", "numpy", "numba", "scikit-learn", "threads", "CPU", "softmin"):
        assert word in outcome.out


def test_json(run):
    figures = run("info", "--json").figures
    assert figures["ot_solvers"] == ots.__version__
    assert figures["threads"] == ots.get_num_threads()
    assert figures["libraries"]["numpy"]
    assert "softmin" in set().union(*figures["capabilities"]["numba"].values())


def test_missing_libraries_are_said_to_be_missing(run, monkeypatch):
    from ot_solvers.commands import info

    monkeypatch.setattr(info, "OPTIONAL", ("no-such-library",))
    assert "not installed" in run("info").out


def program(*args):
    return subprocess.run([sys.executable, "-m", "ot_solvers", *args], capture_output=True, text=True, timeout=60)


def test_the_program():
    version = program("--version")
    assert (version.returncode, version.stdout) == (0, f"ot_solvers {ots.__version__}\n")
    bad = program("solve", "no.npy", "no.npy", "--reg", "1")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "ot-solvers: error: no such file: no.npy\n"


def test_help(run):
    for command in ("solve", "transfer", "demo", "info"):
        outcome = run(command, "--help")
        assert outcome.code == 0
        assert f"ot-solvers {command}" in outcome.out
    assert "exit codes" in run("solve", "--help").out


def test_commands_have_to_be_known(run, assert_bad_input):
    assert_bad_input(run("slove"), "invalid choice: 'slove'")
    assert_bad_input(run(), "required: command")


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = (
        "import sys; from ot_solvers.__main__ import main; main(['--version']);"
        "heavy = {'numba', 'matplotlib', 'PIL', 'rich', 'sklearn', 'torch', 'jax'};"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_a_reader_that_goes_away():
    command = f"{sys.executable} -m ot_solvers info | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
