"""What importing and pickling take along; every import in a process of its own."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checks import check_same_bits
from problems import combinations

import ot_solvers as ots

ROOT = Path(ots.__file__).resolve().parent.parent
HEAVY = [
    "numba",
    "llvmlite",
    "torch",
    "jax",
    "matplotlib",
    "rich",
    "PIL",
    "sklearn",
    "pandas",
    "IPython",
    "ot",
    "ott",
]


def run(source, **environment):
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded_by(source):
    """Modules that the source loads on top of NumPy."""
    code = f"import sys, numpy; before = set(sys.modules)\n{source}\nprint(*sorted(set(sys.modules) - before))"
    return set(run(code).split())


@pytest.mark.fast
def test_import_is_light():
    found = loaded_by("import ot_solvers")
    assert "ot_solvers" in found
    assert not {name.split(".")[0] for name in found} & set(HEAVY)
    assert "scipy.sparse" not in found  # a fifth of a second with its linear algebra


def test_import_prints_nothing_and_warns_of_nothing():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import ot_solvers"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_numba_comes_with_the_first_solve():
    found = loaded_by("import ot_solvers as ots; ots.solve([[0.0, 1.0]], reg=1.0)")
    assert "numba" in found
    assert not found & {"torch", "jax", "matplotlib", "rich"}


def test_the_reference_backend_does_without_numba():
    found = loaded_by("import ot_solvers as ots; ots.solve([[0.0, 1.0]], reg=1.0, backend='reference').gap")
    assert "numba" not in found


def test_public_names():
    assert len(set(ots.__all__)) == len(ots.__all__)
    for name in ots.__all__:
        assert hasattr(ots, name), name
    assert run("from ot_solvers import *; print(solve.__name__)") == "solve"


def test_solving_leaves_global_state_alone():
    """Neither the random state, nor floating point errors, nor warning filters."""
    before = np.random.get_state()[1].copy(), np.geterr(), len(ots.__all__)
    x = np.random.default_rng(0).normal(size=(30, 2))
    ots.solve_sample(x, x + 1, reg=0.1).sample(5, seed=0)
    assert (np.random.get_state()[1] == before[0]).all()
    assert np.geterr() == before[1]


# --- pickles --------------------------------------------------------------------------------------------------


def solutions(clouds, matrix):
    x, y, a, b = clouds
    C, weights_a, weights_b = matrix
    image = np.outer(np.arange(1.0, 6), np.arange(2.0, 6))
    image /= image.sum()
    return {
        "cloud": ots.solve_sample(x, y, a, b, reg=0.3),
        "dense": ots.solve(C, weights_a, weights_b, reg=0.1),
        "dense, Fortran": ots.solve(np.asfortranarray(C), reg=0.1),
        "grid": ots.solve_grid(image, image[::-1, ::-1], reg=0.5),
        "unbalanced": ots.solve_sample(x, y, a, b, cost="euclidean", unbalanced=(1.0, np.inf), reg=0.3),
        "divergence": ots.sinkhorn_divergence(x, y, a, b, reg=0.3).xx,
    }


NAMES = ["cloud", "dense", "dense, Fortran", "grid", "unbalanced", "divergence"]


def pickled(value):
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize(
    ("name", "again"), combinations(NAMES, [pickled, copy.copy, copy.deepcopy], quick=("cloud", pickled))
)
def test_a_solution_survives(clouds, matrix, name, again):
    solution = solutions(clouds, matrix)[name]
    expected = float(solution.value), float(solution.gap), solution.marginal_error
    twin = again(solution)
    assert (float(twin.value), float(twin.gap), twin.marginal_error) == expected
    for mine, theirs in zip(twin.potentials, solution.potentials):
        check_same_bits(mine, theirs)
    check_same_bits(twin.plan, solution.plan)
    assert (twin.status, twin.n_iter, twin.history, twin.method) == (
        solution.status,
        solution.n_iter,
        solution.history,
        solution.method,
    )
    assert repr(twin) == repr(solution)


def test_a_pickle_holds_no_plan(clouds):
    """What was computed on demand is computed again on demand: pickles stay small."""
    x, y = np.zeros((400, 1)), np.ones((300, 1))
    solution = ots.solve_sample(x, y, reg=1.0)
    before = len(pickle.dumps(solution))
    assert solution.plan.nbytes > 5 * before
    assert len(pickle.dumps(solution)) < 1.1 * before


def test_a_pickle_is_read_in_another_process(clouds, tmp_path):
    x, y, a, b = clouds
    solution = ots.solve_sample(x, y, a, b, reg=0.3)
    path = tmp_path / "solution.pickle"
    path.write_bytes(pickle.dumps(solution))
    code = f"import pickle; s = pickle.load(open({str(path)!r}, 'rb')); print(float(s).hex(), s.plan.sum().hex())"
    assert run(code) == f"{float(solution).hex()} {solution.plan.sum().hex()}"


def test_a_warm_start_from_a_pickle(clouds):
    x, y, a, b = clouds
    solution = ots.solve_sample(x, y, a, b, reg=0.05)
    again = ots.solve_sample(x, y, a, b, reg=0.05, init=pickle.loads(pickle.dumps(solution)))
    assert again.n_iter <= 3 < solution.n_iter


@pytest.mark.parametrize(
    "value",
    [
        ots.Sinkhorn(relaxation=1.5),
        ots.Entropic(0.1, "mean"),
        ots.Status.MAX_ITER,
        ots.Progress(1, 0.5, 0.1, 0.0),
        ots.costs.PNorm(3, weights=(1.0, 2.0)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_survive(value):
    assert pickle.loads(pickle.dumps(value)) == value


def test_errors_survive_with_their_solution(clouds):
    x, y, a, b = clouds
    with pytest.raises(ots.ConvergenceError) as caught:
        ots.solve_sample(x, y, a, b, reg=0.01, max_iter=2, on_failure="raise")
    twin = pickle.loads(pickle.dumps(caught.value))
    assert str(twin) == str(caught.value)
    assert float(twin.solution) == float(caught.value.solution)


def test_threads_need_no_pickle():
    """Geometries with kernels that were made for them travel too."""
    cloud = ots.geometry.PointCloud(np.zeros((3, 2)), np.ones((4, 2)), ots.costs.PNorm(3))
    cloud.columns(np.float32)
    twin = pickle.loads(pickle.dumps(cloud))
    check_same_bits(twin.block(0, 3), cloud.block(0, 3))
    assert twin.T.T is twin
