"""What contenders are asked to do with transport maps: training steps, whole fits, gaps of optimal maps.

Training is random: every round has its own seed, is judged by itself, and records what the judge found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .adapters import Setting
from .sliced_tasks import EndsByItself
from .tasks import NotReached, Task


def judged_round(bench, setting: Setting, setup: dict) -> tuple[dict, dict]:
    """One fit, judged: the worker's reply and the verdict.

    Raises
    ------
    NotReached
        If images are not finite, or leave the sphere.
    """
    run, verdict = bench.judged_run(setting)
    if not verdict["finite"]:
        raise NotReached({**setup, "run": run, "message": "images are not finite, or not on the sphere"})
    return run, verdict


@dataclass(frozen=True)
class ToSteps(Task):
    """Time per training step, after the first ones, and how good the map is after all of them.

    Parameters
    ----------
    steps : int
    strength : float
        Of the gap.
    faster : float
        Ours should do so many times more steps per second than peers.
    """

    kind = "to-steps"
    quantity = "milliseconds per step"

    steps: int = 5000
    strength: float = 0.0
    faster: float = 3.0

    def set_up(self, bench):
        return {"compile_seconds": bench.compile(Setting(max_iter=self.steps)), "steps": self.steps}

    def measure(self, bench, setup):
        run, verdict = judged_round(bench, Setting(max_iter=self.steps, seed=bench.round), setup)
        if run["iterations"] < self.steps:
            raise NotReached({**setup, "run": run, "message": f"training ended after {run['iterations']} steps"})
        return {
            "value": 1e3 * run["details"]["seconds_per_step"],
            "steps_per_second": 1 / run["details"]["seconds_per_step"],
            "seconds": run["seconds"],
            "cpu_seconds": run["cpu_seconds"],
            "seed": bench.round,
            "verdict": verdict,
        }


@dataclass(frozen=True)
class ToMap(Task):
    """CPU time of a fit, and how far the map is from the right one.

    Parameters
    ----------
    budget : float
        CPU seconds that a fit may take.
    figure : {"uvp", "angle"}
        The judge's figure that counts.
    most : float or None
        What that of the main contender should stay under.
    beaten : tuple of str
        Contenders whose figure should be larger.
    steps : int or None
        Of training; None: each library's own.
    """

    kind = "to-map"
    quantity = "CPU seconds of the fit"

    budget: float = 60.0
    figure: str = "uvp"
    most: float | None = None
    beaten: tuple[str, ...] = ()
    steps: int | None = None

    def set_up(self, bench):
        setup = {"compile_seconds": bench.compile(Setting(max_iter=self.steps))}
        if bench.adapter.random:
            return setup
        # The same every time: judged once, and not repeated.
        run, verdict = judged_round(bench, Setting(max_iter=self.steps), setup)
        return {**setup, "run": run, "verdict": verdict, "repeat": 0}

    def measure(self, bench, setup):
        if "run" in setup:
            run, verdict, once = setup["run"], setup["verdict"], {"once": True}
        else:
            run, verdict = judged_round(bench, Setting(max_iter=self.steps, seed=bench.round), setup)
            once = {"seed": bench.round}
        return {"value": run["cpu_seconds"], "seconds": run["seconds"], "verdict": verdict, **once}


@dataclass(frozen=True)
class ToGap(EndsByItself):
    """Seconds of the gaps of all maps of a problem, which are optimal: the right answers are 0.

    Parameters
    ----------
    most : mapping of str to float
        By contender, the size that gaps should stay under, relative to the mean size of the costs.
    """

    kind = "to-gap"
    quantity = "seconds of all maps"

    most: Mapping[str, float] = field(default_factory=dict)

    setting = Setting()

    def wrong(self, bench, verdict):
        return "" if verdict["value_error"] < float("inf") else "a gap is not finite"
