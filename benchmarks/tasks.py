"""What a contender is asked to do, how it is set up for that, and what one timed run of it is.

A task works on a *bench* (`runner.Bench`): one contender with its worker, its problem and the judge.
``set_up`` returns what ``measure`` needs, as plain values, so that a resumed run can skip it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import ClassVar

from .adapters import Setting
from .summary import NOT_CONVERGED
from .tuning import as_asked, tune

#: Solves that one short round is the mean of, at most.
MOST_REPEATS = 200


class NotReached(RuntimeError):
    """The contender did not solve its task within its limits; carries the record of what it reached."""

    status: ClassVar[str] = "not reached"

    def __init__(self, record: dict):
        super().__init__(record["message"])
        self.record = record


class NotConverged(NotReached):
    """The contender was timed until it gave up or met its limit: a figure, but not that of a solution."""

    status = NOT_CONVERGED


def repeats(round_seconds: float, run: dict) -> int:
    """Solves like `run` that fill a round."""
    return min(MOST_REPEATS, max(1, math.ceil(round_seconds / max(run["seconds"], 1e-9))))


class Task(ABC):
    """A way of measuring."""

    kind: ClassVar[str]
    #: The measured quantity, as the table's heading.
    quantity: ClassVar[str]
    #: Whether a new process serves every run.
    fresh: ClassVar[bool] = False

    @abstractmethod
    def set_up(self, bench) -> dict:
        """Compile, tune, judge: all that is not timed."""

    @abstractmethod
    def measure(self, bench, setup: dict) -> dict:
        """One round: a record with ``value``, the measured quantity."""

    def as_record(self) -> dict:
        """Plain values for a result file."""
        return {"kind": self.kind, "quantity": self.quantity, **asdict(self)}


@dataclass(frozen=True)
class PerIteration(Task):
    """Time per pair and iteration: the difference of two runs with fixed iteration numbers, start-up
    excluded.

    Parameters
    ----------
    low : int
        Iterations of the short run; its result is judged, so that "iterations" can be seen to be the same
        thing for all.
    span_seconds : float
        The long run has so many more iterations that the difference lasts about this long …
    max_span : int
        … but at most this many more (ours stop where their precision ends, float32 after some 70 iterations
        of the suites' problems), and in whole multiples of …
    step : int
        … this. Some peers look at their error every tenth iteration: whole tens weigh that alike in both
        runs.
    memory : bool
        Also record the peak memory of one short run.
    judged : bool
        Off for problems that are too large for the judge.
    """

    kind = "per-iteration"
    quantity = "ns per pair and iteration"

    low: int = 10
    span_seconds: float = 1.0
    max_span: int = 50
    step: int = 10
    memory: bool = False
    judged: bool = True

    def set_up(self, bench):
        low = Setting(self.low)
        compile_seconds = bench.compile(low)
        run, verdict = bench.judged_run(low) if self.judged else (bench.run(low), None)
        # The first run holds lazy initialisations, compiled code too: the second is what a run costs.
        again = bench.run(low, memory=self.memory)
        high = self.low + self._span(bench, again["seconds"])
        compile_seconds += bench.compile(Setting(high))
        bench.run(Setting(high))  # a first call at this length may allocate or compile once more
        return {
            "low": self.low,
            "high": high,
            "compile_seconds": compile_seconds,
            "iterations": run["iterations"],
            "verdict": verdict,
            **{k: again[k] for k in ("peak_bytes", "peak_source") if k in again},
        }

    def _span(self, bench, low_seconds: float) -> int:
        most = self.max_span // self.step
        if most <= 1:
            return self.step
        probe = Setting(self.low + self.step)
        bench.compile(probe)
        seconds = bench.run(probe)["seconds"]
        # Noise may swap the two; a step is no less than a twentieth of such a run.
        step_seconds = max(seconds - low_seconds, 0.05 * seconds)
        return self.step * max(1, min(round(self.span_seconds / step_seconds), most))

    def measure(self, bench, setup):
        low, high = (bench.run(Setting(setup[k])) for k in ("low", "high"))
        n, m = bench.shape
        seconds = high["seconds"] - low["seconds"]
        # What was done, not what was asked for: a solver may stop where its precision ends.
        iterations = high["iterations"] - low["iterations"]
        if iterations < self.step:
            raise NotReached({**setup, "message": f"stopped after {high['iterations']} iterations"})
        return {
            "value": 1e9 * seconds / iterations / (n * m),
            "iterations": [low["iterations"], high["iterations"]],
            "seconds": [low["seconds"], high["seconds"]],
        }


@dataclass(frozen=True)
class ToAccuracy(Task):
    """Seconds until the judge finds the marginal error under `tol`.

    Parameters
    ----------
    tol : float
        Both-sided marginal error, the judge's measure.
    own : float or None
        Peers with a stopping rule are not tuned to `tol` but asked for this threshold in their *own* measure,
        and timed until they return: for tolerances that they cannot meet. One that does not converge is timed
        once.
    round_seconds : float
        A round is the mean of so many solves that they last about this long: solves of a millisecond are too
        short to be timed one by one.
    """

    kind = "to-accuracy"
    quantity = "seconds"

    tol: float = 1e-6
    own: float | None = None
    round_seconds: float = 0.0

    def set_up(self, bench):
        as_is = self.own is not None and bench.adapter.knob == "threshold"
        compile_seconds, found = as_asked(bench, self.own) if as_is else tune(bench, self.tol)
        repeat = repeats(self.round_seconds, found.run)
        record = {"compile_seconds": compile_seconds, **found.as_record(), "repeat": repeat}
        if not found.reached:
            raise (NotConverged if as_is else NotReached)(record)
        return record

    def measure(self, bench, setup):
        run = bench.run(Setting(**setup["setting"]), repeat=setup.get("repeat", 1))
        return {"value": run["seconds"], "iterations": run["iterations"], "claim": run["claim"]}


@dataclass(frozen=True)
class Once(Task):
    """Seconds and peak memory of one solve that takes minutes; the judge looks at this very solve.

    Parameters
    ----------
    tol : float
        Both-sided marginal error, the judge's measure and the solver's threshold.
    limit : float
        Seconds that it may take, whatever the limit of the suite.
    """

    kind = "once"
    quantity = "seconds"

    tol: float = 1e-4
    limit: float = 600.0

    def set_up(self, bench):
        # One pass: kernels loaded, or compiled.
        warm = bench.run(Setting(1, self.tol), limit=self.limit)
        run, verdict = bench.judged_run(Setting(None, self.tol), memory=True, limit=self.limit)
        record = {
            "first_seconds": warm["seconds"],
            "run": run,
            "verdict": verdict,
            **{k: run[k] for k in ("peak_bytes", "peak_source")},
        }
        if not verdict["marginal_error"] <= self.tol:
            raise NotReached({**record, "message": "not below the tolerance, as judged"})
        return record

    def measure(self, bench, setup):
        run = setup["run"]
        return {"value": run["seconds"], "iterations": run["iterations"], "claim": run["claim"]}


@dataclass(frozen=True)
class ToOptimality(Task):
    """Seconds of an exact solve, whose plan and potentials the judge looks at.

    Parameters
    ----------
    tol : float
        Marginal error of the plan, relative gap where there are potentials, or relative error of values alone,
        that are rounding.
    judged : bool
        Off for problems that are too large for the judge: then the library's own word counts.
    memory : bool
        Also record the peak memory of one run.
    """

    kind = "to-optimality"
    quantity = "seconds"

    tol: float = 1e-9
    judged: bool = True
    memory: bool = False

    def set_up(self, bench):
        setting = Setting(threshold=self.tol)
        compile_seconds = bench.compile(setting)
        first = bench.run(setting)
        if self.judged:
            run, verdict = bench.judged_run(setting)
            errors = (verdict.get(k, 0.0) for k in ("marginal_error", "gap", "value_error"))
            fine = all(abs(error) <= self.tol for error in errors)
        else:
            run, verdict = first, None
            fine = bool(run["claim"])
        record = whole_run(bench, setting, compile_seconds, first, run, verdict, self.memory)
        if not fine:
            raise NotReached({**record, "message": "not optimal, as judged"})
        return record

    def measure(self, bench, setup):
        run = bench.run(Setting(**setup["setting"]))
        return {"value": run["seconds"], "iterations": run["iterations"], "claim": run["claim"]}


@dataclass(frozen=True)
class ToDualValue(Task):
    """Seconds of a solve with a quadratic term, and of others until the judge finds as high a dual value.

    Solvers that end by themselves (no knob) have to bring a feasible plan, of few entries per column where the
    problem says so. All others are tuned, their plans may miss marginals: what is compared is the dual value that
    the judge finds at their row potentials, with that of the main contender.

    Parameters
    ----------
    tol : float
        By how much, relative to it, a dual value may be below that of the main contender; without limits of
        entries also the largest relative gap of a plan.
    feasible : float
        Marginal error of a plan that is rounding.
    memory : bool
        Also record the peak memory of one run of solvers that end by themselves.
    round_seconds : float
        As in `ToAccuracy`.
    """

    kind = "to-dual-value"
    quantity = "seconds"

    tol: float = 1e-8
    feasible: float = 1e-9
    memory: bool = False
    round_seconds: float = 0.05

    def set_up(self, bench):
        record = self._whole(bench) if bench.adapter.knob is None else self._tuned(bench)
        return record | {"repeat": repeats(self.round_seconds, record["run"])}

    def _whole(self, bench) -> dict:
        setting = Setting(threshold=self.feasible)
        compile_seconds = bench.compile(setting)
        first = bench.run(setting)
        run, verdict = bench.judged_run(setting)
        record = whole_run(bench, setting, compile_seconds, first, run, verdict, self.memory)
        if wrong := self._wrong(bench, verdict):
            raise NotReached({**record, "message": wrong})
        return record

    def _wrong(self, bench, verdict) -> str:
        """What is wrong with an answer; nothing where it is empty."""
        if not verdict["marginal_error"] <= self.feasible:
            return f"judged error {verdict['marginal_error']:.1e}"
        if bench.limit is not None and verdict["entries"] > bench.limit:
            return f"{verdict['entries']} entries in a column"
        if verdict["gap"] is None:
            return "no dual value"
        # Rounding apart, no plan is below its dual; with limits of entries it may be above it.
        if not verdict["gap"] >= -self.feasible or (bench.limit is None and verdict["gap"] > self.tol):
            return f"relative gap {verdict['gap']:.1e}"
        if bench.reference is not None and (short := self._short(bench)(verdict)) > self.tol:
            return f"dual value {short:.1e} too low"
        return ""

    @staticmethod
    def _short(bench):
        """Function of a verdict: by how much its dual value is below that of the main contender, relatively."""
        aim = bench.reference["verdict"]["dual"]
        return lambda verdict: max(0.0, (aim - verdict["dual"]) / abs(aim))

    def _tuned(self, bench) -> dict:
        if bench.reference is None:
            raise NotReached({"message": "no dual value to compare with"})
        compile_seconds, found = tune(bench, self.tol, self._short(bench))
        record = {"compile_seconds": compile_seconds, **found.as_record()}
        if not found.reached:
            # No ratio, but a bound: so much longer than the main contender's whole solution, and not there yet.
            times = found.run["seconds"] / bench.reference["run"]["seconds"]
            short = self._short(bench)(found.verdict)
            message = (
                f"dual value {short:.1e} too low after {found.run['iterations']} iterations and {times:.2g} times "
                "the time of ours"
            )
            raise NotReached({**record, "message": message})
        return record

    def measure(self, bench, setup):
        run = bench.run(Setting(**setup["setting"]), repeat=setup["repeat"])
        return {"value": run["seconds"], "iterations": run["iterations"], "claim": run["claim"]}


@dataclass(frozen=True)
class StartUp(Task):
    """Times in a process that has done nothing yet, a new one for every round.

    Parameters
    ----------
    measured : {"import", "first solve", "warm solve"}
        ``import`` of the library; its first solve, where whatever it compiles or reads from its caches
        counts; a solve when all that is done.
    fresh_cache : bool
        Give the process an empty compilation cache.
    tol : float
        The solver's own threshold; what is solved is a problem of a few points.
    """

    kind = "start-up"
    quantity = "milliseconds"
    fresh = True

    measured: str = "import"
    fresh_cache: bool = False
    tol: float = 1e-6
    #: Solves that a warm figure is the mean of, after as many to warm up.
    repeat: int = 50

    def set_up(self, bench):
        # One round thrown away: byte code compiled, files in the page cache, and a primed kernel cache.
        self.measure(bench, {})
        if self.measured == "import":
            return {}
        with bench.fresh_worker():
            bench.load()
            setting = self._setting(bench)
            bench.compile(setting)
            run, verdict = bench.judged_run(setting)
        return {"iterations": run["iterations"], "verdict": verdict}

    def _setting(self, bench):
        return Setting(max_iter=10_000, threshold=bench.adapter.first_threshold(self.tol, bench.shape))

    def measure(self, bench, setup):
        setting = self._setting(bench)
        with bench.fresh_worker(empty_cache=self.fresh_cache):
            imported = bench.import_library()
            if self.measured == "import":
                return {"value": 1e3 * imported}
            bench.load()
            start = bench.compile(setting)  # libraries compiled ahead of time would hide it from the first solve
            first = bench.run(setting)["seconds"]
            if self.measured == "first solve":
                return {"value": 1e3 * (start + first)}
            bench.run(setting, repeat=self.repeat)
            return {"value": 1e3 * bench.run(setting, repeat=self.repeat)["seconds"]}


def whole_run(bench, setting, compile_seconds: float, first: dict, run: dict, verdict, memory: bool) -> dict:
    """Record of a solve that ends by itself; its `first` run has compiled what was left to compile."""
    record = {
        "compile_seconds": compile_seconds + max(0.0, first["seconds"] - run["seconds"]),
        "setting": setting.as_record(),
        "run": run,
        "verdict": verdict,
    }
    if memory:
        peak = bench.run(setting, memory=True)
        record |= {k: peak[k] for k in ("peak_bytes", "peak_source")}
    return record
