"""The runner with adapters that have no library: order, failures, limits, and going on after a stop."""

import dataclasses
import json

import pytest

from benchmarks.cases import Case, Contender
from benchmarks.problems import ProblemSpec
from benchmarks.process import Worker, WorkerTimeout, thread_environment
from benchmarks.records import Store, read_records
from benchmarks.runner import Limits, run_case
from benchmarks.summary import tables
from benchmarks.tasks import PerIteration, StartUp, ToAccuracy, ToOptimality

pytestmark = pytest.mark.usefixtures("fake_library")

LIMITS = Limits(threads=1, repeat=3, max_seconds=5.0)
ENVIRONMENT = {"fingerprint": "here"}
TINY = PerIteration(low=2, span_seconds=0.0, max_span=2, step=2)


def fake(name, adapter="Halving", **more):
    return Contender(name, f"bench_fakes.adapters:{adapter}", **more)


def make_case(*contenders, task=TINY):
    return Case("case", "a case", ProblemSpec(n=4, m=4), task, contenders)


def run(case, path, limits=LIMITS, environment=ENVIRONMENT):
    steps = []
    run_case(case, limits, Store(path, "suite", environment), steps.append)
    return steps, read_records(path)


def rounds(records):
    return [(r["round"], r["contender"]) for r in records if r["record"] == "round"]


def statuses(records):
    return {r["contender"]: r["status"] for r in records if r["record"] == "setup"}


def test_contenders_take_turns(tmp_path):
    _, records = run(make_case(fake("first"), fake("second")), tmp_path / "out.jsonl")
    assert rounds(records) == [(i, name) for i in range(3) for name in ("first", "second")]


def test_time_per_iteration_leaves_start_up_out(tmp_path):
    task = PerIteration(low=2, span_seconds=0.2, max_span=20, step=2)
    case = make_case(fake("sleeper", options={"seconds": 0.01}), task=task)
    _, records = run(case, tmp_path / "out.jsonl")
    (table,) = tables(records)
    assert table.rows[0].median == pytest.approx(1e9 * 0.01 / 16, rel=0.5)
    assert table.rows[0].setup["high"] == 22
    assert table.rows[0].setup["iterations"] == 2
    assert table.rows[0].setup["verdict"]["marginal_error"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("adapter", "status"),
    [("Broken", "failed"), ("Dies", "failed"), ("Sleeps", "timeout"), ("Missing", "not installed")],
)
def test_failures_are_results(adapter, status, tmp_path):
    limits = dataclasses.replace(LIMITS, max_seconds=-3.0)  # a timeout of four seconds
    case = make_case(fake("bad", adapter), fake("good"))
    _, records = run(case, tmp_path / "out.jsonl", limits)
    assert statuses(records) == {"bad": status, "good": "ready"}
    assert {name for _, name in rounds(records)} == {"good"}


def test_messages_hold_no_paths(tmp_path):
    _, records = run(make_case(fake("bad", "Broken")), tmp_path / "out.jsonl")
    (setup,) = (r for r in records if r["record"] == "setup")
    assert setup["message"] == "RuntimeError: no such file: <path>"


def test_libraries_may_print(tmp_path):
    _, records = run(make_case(fake("chatty", "Chatty")), tmp_path / "out.jsonl")
    assert statuses(records) == {"chatty": "ready"}


def test_accuracy_is_judged_and_tuned(tmp_path):
    case = make_case(fake("own measure"), fake("stuck", "Stuck"), task=ToAccuracy(tol=1e-4))
    limits = dataclasses.replace(LIMITS, max_seconds=1e-3)
    _, records = run(case, tmp_path / "out.jsonl", limits)
    setups = {r["contender"]: r for r in records if r["record"] == "setup"}
    # The fake's measure is a hundredth of the error: its threshold has to come out a hundred times lower.
    assert setups["own measure"]["status"] == "ready"
    assert setups["own measure"]["verdict"]["marginal_error"] <= 1e-4
    assert setups["own measure"]["setting"]["threshold"] < 2e-6
    assert setups["stuck"]["status"] == "not reached"
    assert setups["stuck"]["verdict"]["marginal_error"] == pytest.approx(2.0)


def test_peers_are_asked_for_their_own_threshold(tmp_path):
    contenders = (fake("converges"), fake("gives up", "GivesUp"), fake("exact", "Exact"))
    _, records = run(make_case(*contenders, task=ToAccuracy(tol=1e-9, own=1e-6)), tmp_path / "out.jsonl")
    assert statuses(records) == {"converges": "ready", "gives up": "not converged", "exact": "ready"}
    setups = {r["contender"]: r for r in records if r["record"] == "setup"}
    assert setups["converges"]["setting"]["threshold"] == 1e-6
    # The fake's measure is a hundredth of the error.
    assert 1e-6 < setups["converges"]["verdict"]["marginal_error"] <= 1e-4
    assert setups["exact"]["setting"]["threshold"] == 1e-9  # no rule of its own: nothing else to ask for
    assert {name for _, name in rounds(records)} == {"converges", "exact"}
    (table,) = tables(records)
    gave_up = table.rows[1]
    assert gave_up.values == [setups["gives up"]["run"]["seconds"]]
    assert gave_up.ratio is None
    steps, _ = run(make_case(*contenders, task=ToAccuracy(tol=1e-9, own=1e-6)), tmp_path / "out.jsonl")
    assert steps == []  # a resumed run does not try again


def test_optimality_is_judged(tmp_path):
    """The product plan is optimal where all costs are equal, and nowhere else."""
    contenders = (fake("exact", "Exact"), fake("certified", "Certified"), fake("boaster", "Boaster"))
    _, records = run(make_case(*contenders, task=ToOptimality()), tmp_path / "out.jsonl")
    assert statuses(records) == {"exact": "ready", "certified": "not reached", "boaster": "not reached"}
    setups = {r["contender"]: r for r in records if r["record"] == "setup"}
    assert "gap" not in setups["exact"]["verdict"]  # no potentials: nothing to hold against it
    assert setups["certified"]["verdict"]["gap"] > 0.01
    assert setups["boaster"]["verdict"]["marginal_error"] > 0.1
    unjudged = ToOptimality(judged=False, memory=True)
    _, records = run(make_case(*contenders, task=unjudged), tmp_path / "unjudged.jsonl")
    assert set(statuses(records).values()) == {"ready"}
    assert all("peak_bytes" in r for r in records if r["record"] == "setup")


def test_short_solves_are_repeated_within_a_round(tmp_path):
    task = ToAccuracy(tol=1e-3, round_seconds=0.1)
    case = make_case(fake("sleeper", "Exact", options={"seconds": 5e-3}), task=task)
    _, records = run(case, tmp_path / "out.jsonl")
    (setup,) = (r for r in records if r["record"] == "setup")
    assert setup["repeat"] == pytest.approx(0.1 / setup["run"]["seconds"], abs=1)
    values = [r["value"] for r in records if r["record"] == "round"]
    assert values == pytest.approx([setup["run"]["seconds"]] * 3, rel=0.9)  # of one solve, not of all


def test_start_up_uses_a_new_process_for_every_round(tmp_path):
    case = make_case(fake("one"), task=StartUp(measured="first solve"))
    _, records = run(case, tmp_path / "out.jsonl")
    assert len(rounds(records)) == 3
    case = make_case(fake("one"), task=StartUp())
    _, records = run(case, tmp_path / "import.jsonl")
    assert all(r["value"] > 0 for r in records if r["record"] == "round")


def test_memory_is_recorded(tmp_path):
    task = dataclasses.replace(TINY, memory=True)
    _, records = run(make_case(fake("one"), task=task), tmp_path / "out.jsonl")
    (setup,) = (r for r in records if r["record"] == "setup")
    assert setup["peak_bytes"] >= 0
    assert setup["peak_source"] in ("high-water mark", "sampled")


def test_resume_measures_only_what_is_missing(tmp_path):
    path, case = tmp_path / "out.jsonl", make_case(fake("first"), fake("second"))
    _, complete = run(case, path)
    steps, records = run(case, path)
    assert steps == []
    assert records == complete
    # An interruption in the middle of the last round, and of its line.
    kept = [r for r in complete if r.get("round") != 2]
    path.write_text("".join(json.dumps(r) + "\n" for r in kept) + '{"record": "rou')
    _, resumed = run(case, path)
    assert rounds(resumed)[-2:] == [(2, "first"), (2, "second")]
    assert len(rounds(resumed)) == 6


def test_another_environment_measures_again(tmp_path):
    path, case = tmp_path / "out.jsonl", make_case(fake("first"))
    run(case, path)
    _, records = run(case, path, environment={"fingerprint": "elsewhere"})
    assert len(rounds(records)) == 6


def test_workers_end_with_their_time():
    with Worker(threads=1) as worker:
        with pytest.raises(WorkerTimeout, match="no answer within 0 s"):
            worker.ask("import", 0.0, module="json")
        assert worker.process.returncode is not None


def test_workers_have_imported_nothing():
    with Worker(threads=1) as worker:
        assert worker.ask("import", 60, module="numpy")["seconds"] > 1e-3


def test_threads_are_the_same_for_all():
    environment = thread_environment(3)
    assert environment["OMP_NUM_THREADS"] == environment["OT_SOLVERS_NUM_THREADS"] == "3"
    assert "intra_op_parallelism_threads=3" in environment["XLA_FLAGS"]


def test_cases_check_their_contenders():
    with pytest.raises(ValueError, match="names repeat"):
        make_case(fake("one"), fake("one"))
    with pytest.raises(ValueError, match=r"unknown contenders \['two'\]"):
        make_case(fake("one", versus="two"))
