"""Maps fitted to samples, with progress and Ctrl-C: one function per ``--method``."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_solvers.commands.console import Bar
from ot_solvers.commands.errors import CommandError
from ot_solvers.commands.interruption import Interruption

if TYPE_CHECKING:
    from ot_solvers.costs import Cost
    from ot_solvers.maps import MongeGapMap
    from ot_solvers.maps.history import MapHistory, MapProgress

FINISHED, UNFINISHED, INTERRUPTED = 0, 1, 130
#: Options of the command that go to `MongeGapMap` as they are, where they are given.
TRAINING = (
    "strength", "fitting", "steps", "batch_size", "learning_rate", "hidden", "validate_every", "patience",
    "both_ways", "device", "checkpoint", "tol",
)  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """Points of both sides.

    Attributes
    ----------
    x, y : (n, d), (m, d) arrays of one dtype
    a, b : (n,), (m,) arrays of sum 1, or None
    """

    x: np.ndarray
    y: np.ndarray
    a: np.ndarray | None
    b: np.ndarray | None


@dataclass(frozen=True)
class Fit:
    """A fitted map, and how the fit went.

    Attributes
    ----------
    map : TransportMap
    code : int
        Exit code.
    status : str
    advice : str
        What to do about it, where the code is not 0.
    figures : dict
        What is worth knowing about this kind of fit, by name.
    histories : dict
        Of networks, by ``"forward"`` and ``"inverse"``.
    """

    map: Any
    code: int
    status: str
    advice: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    histories: dict[str, MapHistory] = field(default_factory=dict)


Fitter = Callable[[argparse.Namespace, Samples, "Cost", Bar, Interruption], Fit]


# --- networks -------------------------------------------------------------------------------------------------


class FitWatch:
    """The callback of a training: draws the progress.

    Parameters
    ----------
    bar : Bar
    fitted : MongeGapMap
        What is trained.

    Attributes
    ----------
    records : dict
        Records seen, by ``"forward"`` and ``"inverse"``.
    """

    def __init__(self, bar: Bar, fitted: MongeGapMap) -> None:
        self._bar, self._fitted = bar, fitted
        self._held_out: float | None = None
        self.records = {"forward": 0, "inverse": 0}

    def __call__(self, progress: MapProgress) -> None:
        way = "inverse" if hasattr(self._fitted, "inverse_network_") else "forward"
        if self.records[way] == 0:
            self._held_out = None
        self.records[way] += 1
        text = f"{'way back, ' if way == 'inverse' else ''}step {progress.step} of {progress.steps}"
        text += f", fit {progress.fit:.4g}"
        if progress.gap is not None:
            text += f", gap {progress.gap:.4g}"
        if progress.validation_loss is not None:
            self._held_out = progress.validation_loss
        if self._held_out is not None:
            text += f", held out {self._held_out:.4g}"
        done = progress.step / progress.steps
        if self._fitted.both_ways:
            done = (done + (way == "inverse")) / 2
        self._bar(done, text)


def fit_network(
    args: argparse.Namespace, samples: Samples, cost: Cost, bar: Bar, interruption: Interruption
) -> Fit:
    """Train a `MongeGapMap`; Ctrl-C ends it after the step."""
    from ot_solvers import Entropic
    from ot_solvers.maps import FitStatus, MongeGapMap

    options = {name: getattr(args, name) for name in TRAINING if getattr(args, name) is not None}
    if args.reg is not None:
        options["fitting_reg"] = options["gap_reg"] = Entropic(args.reg, relative_to=args.reg_relative_to)
    fitted = MongeGapMap(cost, seed=args.seed, validation=args.validation, on_failure="ignore", **options)
    fitted.callback = watch = FitWatch(bar, fitted)
    with _network_threads(args.threads):
        try:
            fitted.fit(samples.x, samples.y, samples.a, samples.b)
        except KeyboardInterrupt:
            # Between two steps training ends in order, and its status says so; anything else is an abort.
            if FitStatus.INTERRUPTED not in _statuses(fitted).values():
                raise
    statuses = _statuses(fitted)
    histories = {"forward": fitted.history_}
    if hasattr(fitted, "inverse_history_"):
        histories["inverse"] = fitted.inverse_history_
    resumed = any(len(history) > watch.records[way] for way, history in histories.items())
    figures: dict[str, Any] = {"steps": fitted.steps, "resumed": resumed}
    for way, prefix in (("forward", ""), ("inverse", "inverse_")):
        if way in histories:
            figures |= _training_figures(histories[way], prefix)
    codes = {FitStatus.INTERRUPTED: INTERRUPTED, FitStatus.DIVERGED: UNFINISHED}
    # What went worst, or else what came last.
    worst = next((status for status in codes if status in statuses.values()), list(statuses.values())[-1])
    figures |= {f"{way}_status": status.name for way, status in statuses.items()}
    advice = "" if worst not in codes else worst.value
    if worst is FitStatus.INTERRUPTED:
        advice = _how_to_go_on(args, histories)
    return Fit(fitted, codes.get(worst, FINISHED), worst.name, advice, figures, histories)


def _statuses(fitted: MongeGapMap) -> dict[str, Any]:
    names = {"forward": "status_", "inverse": "inverse_status_"}
    return {way: getattr(fitted, name) for way, name in names.items() if hasattr(fitted, name)}


def _training_figures(history: MapHistory, prefix: str) -> dict[str, Any]:
    """Of the last record, and of the last validation."""
    last = history[-1] if history else None
    held_out = next((record for record in reversed(history) if record.validation_fit is not None), None)
    return {
        f"{prefix}last_step": 0 if last is None else last.step,
        f"{prefix}fit": None if last is None else last.fit,
        f"{prefix}gap": None if last is None else last.gap,
        f"{prefix}strength": None if last is None else last.strength,
        f"{prefix}validation_fit": None if held_out is None else held_out.validation_fit,
        f"{prefix}validation_gap": None if held_out is None else held_out.validation_gap,
    }


def _how_to_go_on(args: argparse.Namespace, histories: dict[str, MapHistory]) -> str:
    way, history = list(histories.items())[-1]
    reached = f"last record: step {history[-1].step if history else 0}{' of the way back' * (way == 'inverse')}"
    if args.checkpoint is None:
        return f"{reached}; with --checkpoint FILE the same command could go on from here"
    return f"{reached}; the same command goes on from {args.checkpoint}"


@contextlib.contextmanager
def _network_threads(number: int | None) -> Iterator[None]:
    if number is None:
        yield
        return
    from ot_solvers.maps.learning.threads import network_threads

    with network_threads(number):
        yield


# --- closed forms ---------------------------------------------------------------------------------------------


def fit_entropic(
    args: argparse.Namespace, samples: Samples, cost: Cost, bar: Bar, interruption: Interruption
) -> Fit:
    """Solve for an entropic plan and make an `EntropicMap` of it; Ctrl-C keeps the potentials so far."""
    import ot_solvers as ots
    from ot_solvers.commands.solve import Watch

    if args.reg is None:
        raise CommandError("--method entropic needs --reg EPS, for example --reg 0.05 --reg-relative-to mean")
    projection = args.projection or "auto"
    if not cost.has_twist and projection != "barycentric":
        raise CommandError(f"--cost {cost.name} has no twist: take --projection barycentric, the mean of targets")
    target = args.tol if args.tol is not None else (1e-4 if samples.x.dtype == np.float32 else 1e-6)
    solution = ots.solve_sample(
        samples.x, samples.y, samples.a, samples.b, cost=cost, reg=args.reg, reg_relative_to=args.reg_relative_to,
        tol=args.tol, callback=Watch(bar, target, interruption), on_failure="ignore",
    )  # fmt: skip
    fitted = ots.maps.EntropicMap(solution, projection=projection)
    figures = {
        "reg": float(solution.reg),
        "marginal_error": float(solution.marginal_error),
        "n_iter": int(solution.n_iter),
        "projection": projection,
    }
    name = solution.status.name
    if name == "STOPPED_BY_CALLBACK":
        advice = f"marginal error {float(solution.marginal_error):.1e}"
        return Fit(fitted, INTERRUPTED, name, advice, figures)
    if not solution.converged:
        return Fit(fitted, UNFINISHED, name, solution.status.value, figures)
    return Fit(fitted, FINISHED, name, "", figures)


def fit_linear(
    args: argparse.Namespace, samples: Samples, cost: Cost, bar: Bar, interruption: Interruption
) -> Fit:
    """Take means and covariances, and the map between Gaussians that have them."""
    from ot_solvers.maps import LinearMap

    if cost.name not in ("sqeuclidean", "dot"):
        raise CommandError(f"--method linear is optimal for sqeuclidean and dot, not for --cost {cost.name}")
    fitted = LinearMap(shrinkage=0.0 if args.shrinkage is None else args.shrinkage)
    fitted.fit(samples.x, samples.y, samples.a, samples.b)
    figures = {"distance_of_gaussians": float(np.sqrt(fitted.value_))}
    return Fit(fitted, FINISHED, "COMPLETED", "", figures)


FITTERS: dict[str, Fitter] = {"monge-gap": fit_network, "entropic": fit_entropic, "linear": fit_linear}
