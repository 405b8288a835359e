"""Runs cases: workers, rounds, and a record on disk for everything as soon as it is known."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .adapters import load_adapter
from .cases import Case, Contender
from .judge import (
    judge_batch,
    judge_batch_plans,
    judge_exact,
    judge_partial,
    judge_plan,
    judge_potentials,
    judge_quadratic,
    judge_sliced,
    judge_some,
    judge_values,
)
from .map_judge import judge_gaps, judge_map
from .problems import Problem
from .process import START_SECONDS, Worker, WorkerError, WorkerTimeout
from .records import HEADER, Store
from .tasks import NotReached

#: Pairs of points beyond which the judge looks at some rows and columns only.
MOST_JUDGED = 1 << 32
#: Pause between two contenders: idle threads of OpenBLAS and OpenMP spin for some 30 ms before they sleep.
SETTLE_SECONDS = 0.1


@dataclass(frozen=True)
class Limits:
    """How a run is done.

    Parameters
    ----------
    threads : int
        Given equally to every library.
    repeat : int
        Interleaved rounds.
    max_seconds : float
        One timed run of one contender may take this long.
    """

    threads: int
    repeat: int
    max_seconds: float


class Bench:
    """One contender at work on one problem: its worker, and the judge.

    Parameters
    ----------
    contender : Contender
    problem_file : Path
    limits : Limits

    Attributes
    ----------
    shape : (int, int)
    limit : int or None
        Entries that a column of the plan may have.
    reference : dict or None
        The set-up record of the case's main contender, where it is ready and this is another.
    round : int
        Rounds done before.
    """

    reference: dict | None = None
    round: int = 0

    def __init__(self, contender: Contender, problem_file: Path, limits: Limits):
        self.contender = contender
        self.adapter = load_adapter(contender.adapter)
        self.problem_file = problem_file
        self.max_seconds = limits.max_seconds
        self._limits = limits
        self._worker: Worker | None = None
        with np.load(problem_file) as stored:
            self.shape = len(stored["a"]), len(stored["b"])
            self.limit = int(stored["k"]) if "k" in stored else None

    def start(self) -> float:
        """Start a worker and load the problem; seconds of the latter."""
        self._worker = Worker(self._limits.threads)
        return self.load()

    def stop(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    @contextlib.contextmanager
    def fresh_worker(self, *, empty_cache: bool = False):
        """A new process that has imported nothing, for the length of a ``with`` block."""
        self.stop()
        folder = tempfile.mkdtemp(prefix="bench-cache-") if empty_cache else None
        self._worker = Worker(self._limits.threads, {"NUMBA_CACHE_DIR": folder} if folder else None)
        try:
            yield
        finally:
            self.stop()
            if folder:
                shutil.rmtree(folder, ignore_errors=True)

    def import_library(self) -> float:
        """Import the library in a worker that has imported nothing; seconds."""
        return self._worker.ask("import", START_SECONDS, module=self.adapter.modules[0])["seconds"]

    def load(self) -> float:
        """Hand the problem to the library; seconds."""
        c = self.contender
        reply = self._worker.ask(
            "load",
            START_SECONDS,
            adapter=c.adapter,
            problem=str(self.problem_file),
            threads=self._limits.threads,
            options=dict(c.options),
        )
        return reply["seconds"]

    def compile(self, setting) -> float:
        """Compile for a setting; seconds."""
        return self._worker.ask("compile", START_SECONDS, setting=setting.as_record())["seconds"]

    def run(self, setting, limit: float | None = None, **more) -> dict:
        """Run once, within `limit` seconds where it is given; the worker's reply."""
        # Twice the limit: runs that are capped by iterations come back a little late, and with an answer.
        timeout = limit or (2 * self.max_seconds + 10) * more.get("repeat", 1)
        return self._worker.ask("run", timeout, setting=setting.as_record(), **more)

    def judged_run(self, setting, **more) -> tuple[dict, dict | None]:
        """Run once and judge; the reply and the verdict (None where there is nothing to judge)."""
        with tempfile.TemporaryDirectory(prefix="bench-answer-") as folder:
            reply = self.run(setting, save=folder, **more)
            answer = {name: load_array(path) for name, path in reply.pop("answer").items()}
        problem = Problem.load(self.problem_file)
        if "images" in answer:
            return reply, judge_map(problem, answer["images"]).as_record()
        if problem.scales is not None:
            return reply, judge_gaps(problem, answer["values"]).as_record()
        if problem.batch is not None and "plan" in answer:
            return reply, judge_batch_plans(problem, answer["plan"], answer.get("g")).as_record()
        if problem.batch is not None:
            return reply, judge_batch(problem, answer["f"], answer["g"]).as_record()
        if "distance" in answer:
            found = answer["values"], answer["distance"], answer.get("directions")
            return reply, judge_sliced(problem, *found).as_record()
        if "values" in answer:
            return reply, judge_values(problem, answer["values"]).as_record()
        if problem.gamma is not None and "plan" in answer:
            return reply, judge_quadratic(problem, answer["plan"], answer["f"]).as_record()
        if problem.mass is not None:
            return reply, judge_partial(problem, answer["plan"], answer.get("g")).as_record()
        if "plan" in answer and "g" in answer:
            return reply, judge_exact(problem, answer["plan"], answer["g"]).as_record()
        if "plan" in answer:
            return reply, judge_plan(problem, answer["plan"]).as_record()
        if "f" in answer and problem.C is None and self.shape[0] * self.shape[1] > MOST_JUDGED:
            return reply, judge_some(problem, answer["f"], answer["g"]).as_record()
        if "f" in answer:
            return reply, judge_potentials(problem, answer["f"], answer["g"]).as_record()
        return reply, None


def load_array(path: str):
    """An array of an answer, dense or sparse, as the worker saved it."""
    from scipy import sparse

    return sparse.load_npz(path) if path.endswith(".npz") else np.load(path)


def missing_modules(contender: Contender) -> list[str]:
    """Return the modules a contender needs and this environment lacks."""
    modules = load_adapter(contender.adapter).modules
    return [name for name in modules if importlib.util.find_spec(name) is None]


def run_case(case: Case, limits: Limits, store: Store, step: Callable[[str], None]) -> None:
    """Run one case.

    Parameters
    ----------
    case : Case
    limits : Limits
    store : records.Store
        Appended to at once; what it already holds is not measured again.
    step : callable
        Called with one line before each piece of work.
    """
    store.add_case(case)
    if all(store.finished(case, c, limits.repeat) for c in case.contenders):
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, contextlib.ExitStack() as stack:
        files = _write_problems(case, Path(folder))
        benches = []
        for contender in case.contenders:
            step(f"{case.name}: {contender.name}: set up")
            bench = Bench(contender, files[contender.dtype], limits)
            bench.reference = _reference(case, contender, store)
            stack.callback(bench.stop)
            if _set_up(case, bench, store):
                benches.append(bench)
        for index in range(limits.repeat):
            _run_round(case, benches, index, store, step)


def _write_problems(case: Case, folder: Path) -> dict[str, Path]:
    files = {}
    for dtype in {c.dtype for c in case.contenders}:
        files[dtype] = folder / f"{dtype}.npz"
        replace(case.problem, dtype=dtype).build().save(files[dtype])
    return files


def _reference(case: Case, contender: Contender, store: Store) -> dict | None:
    """The set-up record of the contender that this one is, in the end, compared with."""
    named = {c.name: c for c in case.contenders}
    main = contender
    while main.versus is not None:
        main = named[main.versus]
    known = store.setup(case, main)
    return known if main is not contender and known is not None and known["status"] == "ready" else None


def _set_up(case: Case, bench: Bench, store: Store) -> bool:
    """Set one contender up and record how that went; whether it takes part in the rounds."""
    contender = bench.contender
    known = store.setup(case, contender)
    if known is not None and known["status"] != "ready":
        return False
    missing = missing_modules(contender)
    if missing:
        store.add_setup(case, contender, "not installed", message=", ".join(missing))
        return False
    with _failures(case, bench, store):
        load_seconds = 0.0 if case.task.fresh else bench.start()
        if known is None:
            setup = case.task.set_up(bench)
            store.add_setup(case, contender, "ready", load_seconds=load_seconds, **setup)
        elif not case.task.fresh:
            _warm_up(bench, known)
        return True
    return False


def _warm_up(bench: Bench, known: dict) -> None:
    """Bring a resumed contender to where its set-up had left it."""
    from .adapters import Setting

    settings = [Setting(known[k]) for k in ("low", "high") if k in known]
    settings += [Setting(**known["setting"])] if "setting" in known else []
    for setting in settings:
        bench.compile(setting)
        bench.run(setting)


def _run_round(case: Case, benches: list[Bench], index: int, store: Store, step) -> None:
    """One interleaved round; a contender that fails in it leaves the field."""
    if all(store.has_round(case, bench.contender, index) for bench in benches):
        return
    for bench in list(benches):
        step(f"{case.name}: {bench.contender.name}: round {index + 1}")
        setup = store.setup(case, bench.contender)
        bench.round = index
        time.sleep(SETTLE_SECONDS)
        alive = False
        with _failures(case, bench, store):
            store.add_round(case, bench.contender, index, **case.task.measure(bench, setup))
            alive = True
        if not alive:
            benches.remove(bench)


@contextlib.contextmanager
def _failures(case: Case, bench: Bench, store: Store) -> Iterable[None]:
    """Turn whatever stops a contender into a record."""
    try:
        yield
    except NotReached as failure:
        # One that fails in a round carries the record of its set-up along.
        values = {name: value for name, value in failure.record.items() if name not in HEADER}
        store.add_setup(case, bench.contender, failure.status, **values)
    except WorkerTimeout as failure:
        store.add_setup(case, bench.contender, "timeout", message=str(failure))
    except WorkerError as failure:
        store.add_setup(case, bench.contender, "failed", message=str(failure))
    else:
        return
    bench.stop()
