"""What contenders are asked to do with projections: distances, the farthest direction, sparse plans."""

from __future__ import annotations

from dataclasses import dataclass

from .adapters import Setting
from .tasks import NotReached, Task, repeats


@dataclass(frozen=True)
class EndsByItself(Task):
    """One call that ends by itself; its answer is judged before it is timed.

    Parameters
    ----------
    round_seconds : float
        A round is the mean of so many calls that they last about this long.
    long_seconds : float
        A call of a peer that takes longer is timed once, as it is judged.
    memory_target : int or None
        Bytes above the inputs that one call should stay under, of contenders of ours that are compared with no
        other; None: the peak is not looked at.
    """

    quantity = "seconds"

    round_seconds: float = 0.2
    long_seconds: float = 3.0
    memory_target: int | None = None

    #: The library's own threshold, where it has one.
    setting = Setting(threshold=1e-9)

    def set_up(self, bench):
        compile_seconds = bench.compile(self.setting)
        run, verdict = bench.judged_run(self.setting)
        record = {"compile_seconds": compile_seconds, "run": run, "verdict": verdict, "repeat": 0}
        record |= self.findings(bench, run, verdict)
        if wrong := self.wrong(bench, verdict):
            raise NotReached({**record, "message": wrong})
        if run["seconds"] > self.long_seconds and not bench.contender.ours:
            return record
        # The first call loads and compiles what is left, of ours all: the second is what a call costs.
        again = bench.run(self.setting, memory=self.memory_target is not None)
        record["compile_seconds"] += max(0.0, run["seconds"] - again["seconds"])
        record |= {"run": {**run, "seconds": again["seconds"]}, "repeat": repeats(self.round_seconds, again)}
        if self.memory_target is not None:
            record |= {k: again[k] for k in ("peak_bytes", "peak_source")}
        if self.memory_target is not None and bench.contender.ours and bench.contender.versus is None:
            record["peak_target"] = self.memory_target
        return record

    def findings(self, bench, run: dict, verdict: dict) -> dict:
        """What else the record says."""
        return {}

    def wrong(self, bench, verdict: dict) -> str:
        """What is wrong with an answer; nothing where it is empty."""
        raise NotImplementedError

    def measure(self, bench, setup):
        if setup["repeat"] == 0:
            return {"value": setup["run"]["seconds"], "once": True}
        return {"value": bench.run(self.setting, repeat=setup["repeat"])["seconds"]}


@dataclass(frozen=True)
class ToDistance(EndsByItself):
    """Seconds of a sliced distance along given directions, whose value the judge computes as well.

    Parameters
    ----------
    double, single : float
        Relative errors that ours may have, from float64 and float32 points.
    peer : float
        That of others. Their rounding errors add up over many points: what the judge found is stated.
    """

    kind = "to-distance"

    double: float = 1e-12
    single: float = 1e-6
    peer: float = 1e-2

    def wrong(self, bench, verdict):
        contender = bench.contender
        most = self.peer
        if contender.ours:
            most = self.single if contender.dtype == "float32" else self.double
        # Not "more than": NaN is no distance.
        return "" if verdict["value_error"] <= most else f"relative error {verdict['value_error']:.1e}, as judged"


@dataclass(frozen=True)
class ToMaximum(ToDistance):
    """Seconds until a direction is found along which two clouds are far apart; how far, the judge says."""

    kind = "to-maximum"

    def findings(self, bench, run, verdict):
        return {"found": _next_to(bench, "distance", verdict["distance"], "below")}


@dataclass(frozen=True)
class ToPlan(EndsByItself):
    """Seconds of a plan; how much more it costs than that of the main contender, the judge says.

    Parameters
    ----------
    feasible : float
        Marginal error that is rounding.
    """

    kind = "to-plan"

    feasible: float = 1e-9

    #: What solvers that have a tolerance are asked for, relative.
    setting = Setting(threshold=2e-3)

    def findings(self, bench, run, verdict):
        return {"found": _next_to(bench, "cost", verdict["linear_cost"], "above")}

    def wrong(self, bench, verdict):
        error = verdict["marginal_error"]
        return "" if error <= self.feasible else f"judged error {error:.1e}"


def _next_to(bench, name: str, value: float, side: str) -> str:
    """A figure as the judge found it, next to that of the main contender."""
    text = f"{name} {value:.6g}"
    if bench.reference is None:
        return text
    key = "linear_cost" if name == "cost" else name
    main = bench.reference["verdict"][key]
    share = (value - main) / main if side == "above" else (main - value) / main
    return f"{text}, {100 * share:.3g} % {side} that of the main contender"
