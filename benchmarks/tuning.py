"""Finds the loosest setting of a library's own stopping rule that satisfies the judge.

Stopping rules differ: one side or both, 1-norm or 2-norm, tested every tenth iteration or never. So that
all solve the same problem, each library's own knob is turned, outside the timed runs, until the *judged*
error is under the tolerance and not far under it.

Where peers cannot be brought to the judge's tolerance, they are asked for a threshold of their own instead
(`as_asked`), once, and the judge only says what that was worth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from .adapters import Setting

#: Runs spent on one contender at most, tuned or asked for a threshold of its own.
ATTEMPTS, ATTEMPTS_AS_ASKED = 7, 3
#: A judged error between this fraction of the tolerance and the tolerance is close enough.
CLOSE = 0.5
#: Rounding in the judge's own sums.
SLACK = 1.0 + 1e-3
#: More are not tried: libraries allocate a history of this length.
MOST_ITERATIONS = 1_000_000


@dataclass(frozen=True)
class Found:
    """What tuning found.

    Attributes
    ----------
    reached : bool
        Whether the judge is satisfied, or the library where it is asked for its own measure.
    setting : dict
        The loosest setting that satisfies, or else the last one tried.
    run, verdict : dict
        Of the run with that setting.
    """

    reached: bool
    setting: dict
    run: dict
    verdict: dict
    message: str = ""

    def as_record(self) -> dict:
        """Plain values for a result file."""
        return asdict(self)


def marginal_error(verdict: dict) -> float:
    """Both sides, as judged."""
    return verdict["marginal_error"]


def tune(bench, tol: float, error_of: Callable[[dict], float] = marginal_error) -> tuple[float, Found]:
    """Tune a contender to a tolerance.

    Parameters
    ----------
    bench : runner.Bench
    tol : float
        Of the judged error.
    error_of : callable
        The error in a verdict that counts; both-sided marginal error by default.

    Returns
    -------
    compile_seconds : float
    found : Found
    """
    knob = bench.adapter.knob
    if knob is None:
        setting = Setting(threshold=tol)
        compile_seconds = bench.compile(setting)
        bench.run(setting)  # lazy initialisations
        return compile_seconds, _one_run(bench, setting, tol, error_of)
    compile_seconds, cap = _cap(bench)
    if knob == "iterations":
        return compile_seconds, _tune_iterations(bench, tol, cap, error_of)
    compile_seconds += bench.compile(Setting(cap, tol))
    return compile_seconds, _tune_threshold(bench, tol, cap, error_of)


def as_asked(bench, threshold: float) -> tuple[float, Found]:
    """Ask a contender with a stopping rule for a threshold in its own measure.

    Parameters
    ----------
    bench : runner.Bench
    threshold : float
        In the measure of the library.

    Returns
    -------
    compile_seconds : float
    found : Found
        Reached where the library says so and its answer is no broken one.
    """
    compile_seconds, cap = _cap(bench)
    for _ in range(ATTEMPTS_AS_ASKED):
        setting = Setting(cap, threshold)
        compile_seconds += bench.compile(setting)
        run, verdict = bench.judged_run(setting)
        error = verdict["marginal_error"]
        reached = bool(run["claim"]) and error < float("inf")
        if reached or run["iterations"] < cap or not _has_time_left(bench, run):
            break
        cap = _larger(bench, cap, run)
    message = "" if reached else f"judged error {error:.1e} after {run['iterations']} iterations"
    return compile_seconds, Found(reached, setting.as_record(), run, verdict, message)


def _cap(bench) -> tuple[float, int]:
    """Compile time of a pilot, and the iterations that fit into the time of a run."""
    compile_seconds, per_iteration = _pilot(bench)
    # A contender that needs longer than it may should come back and say how far it got, not be killed.
    return compile_seconds, max(
        bench.adapter.pilot[0], min(MOST_ITERATIONS, int(bench.max_seconds / per_iteration))
    )


def _pilot(bench) -> tuple[float, float]:
    """Compile time, and seconds per iteration with start-up excluded."""
    settings = [Setting(count) for count in bench.adapter.pilot]
    compile_seconds = sum(bench.compile(setting) for setting in settings)
    bench.run(settings[0])  # lazy initialisations
    short, long = (bench.run(setting) for setting in settings)
    seconds = max(long["seconds"] - short["seconds"], 0.1 * long["seconds"])  # noise may swap them
    return compile_seconds, seconds / max(1, long["iterations"] - short["iterations"])


def _one_run(bench, setting: Setting, tol: float, error_of) -> Found:
    run, verdict = bench.judged_run(setting)
    error = error_of(verdict)
    reached = error <= tol * SLACK
    message = "" if reached else f"judged error {error:.1e} after {run['iterations']} iterations"
    return Found(reached, setting.as_record(), run, verdict, message)


def _tune_threshold(bench, tol: float, cap: int, error_of) -> Found:
    threshold = bench.adapter.first_threshold(tol, bench.shape)
    passing = failing = None  # the loosest threshold that passes, the tightest that fails
    best = last = None
    for _ in range(ATTEMPTS):
        last = _one_run(bench, Setting(cap, threshold), tol, error_of)
        error = error_of(last.verdict)
        if last.reached:
            best, passing = last, threshold
            if error >= CLOSE * tol:
                break
        elif last.run["iterations"] >= cap:
            if best or not _has_time_left(bench, last.run):
                break
            cap = _larger(bench, cap, last.run)
            bench.compile(Setting(cap, threshold))
            continue
        elif error == float("inf"):
            break
        else:
            failing = threshold
        threshold = _next_threshold(threshold, error / tol, passing, failing)
        if threshold is None:
            break
    return best or last


def _has_time_left(bench, run: dict) -> bool:
    """Whether a run that its cap ended was well within its time: other work had slowed the pilot down."""
    return run["seconds"] < 0.7 * bench.max_seconds


def _larger(bench, cap: int, run: dict) -> int:
    """The cap that this run's pace allows."""
    return min(MOST_ITERATIONS, int(cap * bench.max_seconds / max(run["seconds"], 1e-9)) + 1)


def _next_threshold(threshold, excess, passing, failing):
    """Propose a threshold on the assumption that the judged error is proportional to it."""
    # Aim at three quarters of the tolerance; never more than a hundred times in one step.
    proposal = threshold * min(100.0, max(0.01, 0.75 / max(excess, 1e-12)))
    if passing and failing:
        if failing <= 1.2 * passing:
            return None
        if not passing < proposal < failing:
            proposal = (passing * failing) ** 0.5
    return proposal


def _tune_iterations(bench, tol: float, cap: int, error_of) -> Found:
    low, high = 0, bench.adapter.pilot[0]  # too few, perhaps enough
    while True:
        bench.compile(Setting(high))
        found = _one_run(bench, Setting(high), tol, error_of)
        if found.reached:
            break
        if high >= cap:
            if high >= MOST_ITERATIONS or not _has_time_left(bench, found.run):
                return found
            cap = _larger(bench, cap, found.run)
        low, high = high, min(2 * high, cap)
    while high - low > max(1, high // 20):
        middle = (low + high) // 2
        bench.compile(Setting(middle))
        tried = _one_run(bench, Setting(middle), tol, error_of)
        if tried.reached:
            found, high = tried, middle
        else:
            low = middle
    return found
