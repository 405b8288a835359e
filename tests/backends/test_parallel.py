"""The scheduler: the same bits with any number of threads, from any number of callers, and after a fork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from checks import check_same_bits
from problems import some_weights
from scipy import sparse

import ot_solvers as ots
from ot_solvers.backends.numba import parallel
from ot_solvers.lazy import cached_property

ROOT = Path(ots.__file__).resolve().parent.parent
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes")


@pytest.fixture(autouse=True)
def default_threads(monkeypatch):
    monkeypatch.delenv("OT_SOLVERS_NUM_THREADS", raising=False)
    ots.set_num_threads(None)
    yield
    ots.set_num_threads(None)


# --- how many threads --------------------------------------------------------------------------------------


def test_default_is_the_cpus_of_this_process():
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert ots.get_num_threads() == available


def test_environment_and_call(monkeypatch):
    monkeypatch.setenv("OT_SOLVERS_NUM_THREADS", "5")
    assert ots.get_num_threads() == 5
    ots.set_num_threads(3)
    assert ots.get_num_threads() == 3
    ots.set_num_threads(None)
    assert ots.get_num_threads() == 5
    monkeypatch.setenv("OT_SOLVERS_NUM_THREADS", "")
    assert ots.get_num_threads() >= 1


@pytest.mark.parametrize("text", ["0", "-2", "two", "1.5"])
def test_bad_environment(monkeypatch, text):
    monkeypatch.setenv("OT_SOLVERS_NUM_THREADS", text)
    with pytest.raises(ValueError, match=f"OT_SOLVERS_NUM_THREADS='{text}' is not a positive integer"):
        ots.get_num_threads()


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True])
def test_bad_number_of_threads(n):
    with pytest.raises(ValueError, match=f"n={n!r} is not a positive"):
        ots.set_num_threads(n)


def test_numpy_integers_are_integers():
    ots.set_num_threads(np.int64(2))
    assert ots.get_num_threads() == 2


# --- the scheduler ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 10**7), (10**7, 1), (5, 10**6), (10**5, 10**5)])
def test_block_bounds_cover_the_rows(shape):
    bounds = parallel.block_bounds(*shape)
    assert bounds[0] == 0
    assert bounds[-1] == shape[0]
    assert (np.diff(bounds) > 0).all()
    assert bounds.size - 1 <= parallel.MAX_BLOCKS


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("n_blocks", [1, 2, 5, 31, 100])
def test_every_block_runs_once(threads, n_blocks):
    ots.set_num_threads(threads)
    done, lock = [], threading.Lock()

    def task(first, last):
        with lock:
            done.extend(range(first, last))

    parallel.run(task, n_blocks)
    assert sorted(done) == list(range(n_blocks))


def test_work_is_shared():
    """Four tasks that wait for each other can only end if four threads run them."""
    ots.set_num_threads(4)
    meeting = threading.Barrier(4, timeout=30)
    parallel.run(lambda first, last: meeting.wait() if first < 4 else None, 16)
    assert not meeting.broken


def test_tasks_that_call_the_scheduler_run_inline():
    ots.set_num_threads(3)
    done, lock = [], threading.Lock()

    def outer(first, last):
        def inner(low, high):
            with lock:
                done.append((threading.get_ident(), low, high))

        parallel.run(inner, 6)

    parallel.run(outer, 12)
    assert sum(high - low for _, low, high in done) == 6 * 12


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("culprit", ["caller", "worker"])
def test_nothing_runs_on_after_an_error(error, culprit):
    """Kernels write to the caller's buffers: whatever interrupts one, the others end before `run` does."""
    ots.set_num_threads(4)
    caller = threading.get_ident()
    started, ended, lock = [], [], threading.Lock()
    meeting = threading.Barrier(4, timeout=30)

    def task(first, last):
        with lock:
            started.append(first)
            wait = len(started) <= 4
        if wait:
            arrival = meeting.wait()  # four threads are inside when the first one fails
            mine = threading.get_ident() == caller
            if mine if culprit == "caller" else not mine and arrival < 2:
                raise error("stop")
            time.sleep(0.1)
        with lock:
            ended.append(first)

    with pytest.raises(error, match="stop"):
        parallel.run(task, 16)
    count = len(ended)
    time.sleep(0.3)
    assert len(ended) == count, "a task ended after run() had raised"
    assert count > 0


# --- solves -----------------------------------------------------------------------------------------------------


def fields(solution):
    """What one pass of every kind says of a solution, as arrays."""
    return [
        *solution.potentials,
        solution.marginal_a,
        solution.marginal_b,
        solution.plan,
        solution.apply(np.cos(np.arange(solution.shape[1]))),
        np.array([solution.value, solution.dual_value, solution.gap, *solution.bounds, solution.n_iter]),
        solution.sparse_plan(0.99).data,
        solution.match(),
    ]


def problems():
    """Solves by name; each big enough for several blocks and too big for the one-kernel path."""
    rng = np.random.default_rng(0)
    n, m = 130, 110
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))
    a, b = some_weights(rng, n), some_weights(rng, m)
    C = ((x[:, None] - y) ** 2).sum(-1)
    allowed = sparse.csr_array(np.where(C < 8, C, 0))
    image_a, image_b = (some_weights(rng, 12 * 11).reshape(12, 11) for _ in range(2))
    log, common = ots.Sinkhorn(kernel="log"), {"reg": 0.3, "tol": 1e-4}
    return {
        "dense, stored kernel": lambda: ots.solve(C, a, b, **common),
        "dense, log domain": lambda: ots.solve(C, a, b, method=log, **common),
        "dense, Fortran, float32": lambda: ots.solve(np.asfortranarray(C, np.float32), a, b, **common),
        "cloud": lambda: ots.solve_sample(x, y, a, b, **common),
        "cloud, float32": lambda: ots.solve_sample(x.astype(np.float32), y.astype(np.float32), a, b, **common),
        "unbalanced": lambda: ots.solve_sample(x, y, a, b, unbalanced=1.0, cost="euclidean", **common),
        "grid": lambda: ots.solve_grid(image_a, image_b, **common),
        "pattern": lambda: ots.solve(allowed, a, b, unbalanced=1.0, **common),
    }


PROBLEMS = [pytest.param(name, marks=pytest.mark.fast) if name == "cloud" else name for name in problems()]


@pytest.fixture(params=PROBLEMS)
def problem(request, many_blocks):
    return problems()[request.param]


def check_same_fields(found, expected):
    assert len(found) == len(expected)
    for k, (mine, theirs) in enumerate(zip(found, expected)):
        check_same_bits(mine, theirs, what=f"field {k}")


def test_same_bits_with_any_number_of_threads(problem):
    ots.set_num_threads(1)
    expected = fields(problem())
    for threads in (2, 3, 7):
        ots.set_num_threads(threads)
        check_same_fields(fields(problem()), expected)


def test_same_bits_from_eight_callers_at_once(problem):
    ots.set_num_threads(1)
    expected = fields(problem())
    ots.set_num_threads(3)
    start = threading.Barrier(8, timeout=60)

    def call(_):
        start.wait()
        return fields(problem())

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(call, range(8)):
            check_same_fields(found, expected)


def test_lazy_attributes_of_two_objects_do_not_wait_for_each_other():
    """Nor for a thread that a fork has left behind."""
    meeting = threading.Barrier(2, timeout=30)

    class Lazy:
        @cached_property
        def value(self):
            meeting.wait()
            return object()

    both = Lazy(), Lazy()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda z: z.value, both)
    assert both[0].value is first
    assert both[1].value is second
    assert isinstance(Lazy.value, cached_property)


# --- processes: from a fresh one, because forking a test runner full of other libraries proves nothing --------

PRELUDE = """
import multiprocessing, os, sys, threading
import numpy as np
import ot_solvers as ots
from ot_solvers.backends.numba import parallel
from ot_solvers.lazy import cached_property

parallel.PAIRS_PER_BLOCK = 1 << 10
ots.set_num_threads(3)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(130, 3)), rng.normal(size=(110, 3))

def answer():
    solution = ots.solve_sample(x, y, reg=0.3, tol=1e-4)
    return solution.potential_a.tobytes() + solution.marginal_b.tobytes() + np.float64(solution.gap).tobytes()

def answer_on_a_grid():
    image = np.random.default_rng(1).random((2, 12, 11))
    solution = ots.solve_grid(image[0] / image[0].sum(), image[1] / image[1].sum(), reg=0.3, tol=1e-4)
    return solution.potential_a.tobytes()
"""


def script(source):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + source],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def output_of(process, timeout=120):
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its children hold the pipes too
        out, err = process.communicate()
        raise AssertionError(f"hangs; it said {out!r} and {err[-2000:]!r}") from None
    assert process.returncode == 0, err[-2000:]
    return out.split()


@posix
def test_a_forked_child_gives_the_same_bits():
    """The child inherits a pool whose threads do not exist."""
    process = script("""
expected = answer()
assert parallel._pool is not None
for attempt in range(3):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        ots.set_num_threads(1 + attempt)
        with os.fdopen(write, "wb") as pipe:
            pipe.write(answer())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        print("same" if pipe.read() == expected else "different")
    print(os.waitpid(child, 0)[1])
""")
    assert output_of(process) == ["same", "0"] * 3


@posix
def test_forked_workers_give_the_same_bits():
    process = script("""
if __name__ == "__main__":
    expected, on_grid = answer(), answer_on_a_grid()
    with multiprocessing.get_context("fork").Pool(3) as pool:
        print(*(pool.apply_async(answer) .get(100) == expected for _ in range(6)))
        print(*(pool.apply_async(answer_on_a_grid) .get(100) == on_grid for _ in range(3)))
    print(answer() == expected)
""")
    assert output_of(process) == ["True"] * 10


@posix
def test_a_fork_in_the_middle_of_a_solve_of_another_thread():
    process = script("""
expected = answer()
stop = threading.Event()

def busy():
    while not stop.is_set():
        answer()

threads = [threading.Thread(target=busy) for _ in range(2)]
for thread in threads:
    thread.start()
for attempt in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if answer() == expected else 1)
    print(os.waitpid(child, 0)[1])
stop.set()
for thread in threads:
    thread.join()
""")
    assert output_of(process) == ["0"] * 5


@posix
def test_an_interrupt_leaves_everything_usable():
    process = script("""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs in the background
expected = answer()

def tell(progress):
    if progress.iteration == 3:
        print("running", flush=True)

try:
    ots.solve_sample(x, y, reg=1e-4, tol=0.0, max_iter=10**9, callback=tell, on_failure="ignore",
                     method=ots.Sinkhorn(annealing=None, acceleration=None))
except KeyboardInterrupt:
    print("interrupted")
print(answer() == expected)
""")
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    assert output_of(process) == ["interrupted", "True"]
