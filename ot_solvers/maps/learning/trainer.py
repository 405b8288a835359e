"""The training loop of a transport map."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ..history import FitStatus, MapHistory, MapProgress
from .interrupts import HeldInterrupts
from .minibatches import Minibatches
from .terms import GapTerm, Step, Term
from .transport import StepSolver

__all__ = ["Losses", "Plan", "Trainer"]


class Losses(NamedTuple):
    """The terms of a loss on samples of given sizes.

    Attributes
    ----------
    fit : Term
    gap : GapTerm or None
    """

    fit: Term
    gap: GapTerm | None

    @property
    def memories(self) -> list[Any]:
        """What is kept from step to step."""
        return self.fit.memories + ([] if self.gap is None else self.gap.memories)

    def evaluate(
        self, solver: StepSolver, step: Step, strength: float, value: bool
    ) -> tuple[float, float | None, torch.Tensor]:
        """Fit, gap (NaN where values were not asked for), and derivatives of the loss by the images."""
        gap = self.gap if strength or value else None
        first = self.fit.pairs(step, value)
        second = [] if gap is None else gap.pairs(step, value)
        solved = solver.solve([*first, *second], value)
        fit, gradient = self.fit.finish(step, solved[: len(first)], value)
        number = None
        if gap is not None:
            number, more = gap.finish(step, solved[len(first) :], value)
            gradient = gradient + strength * more
        return math.nan if fit is None else fit, number, gradient


class Plan(NamedTuple):
    """Numbers that say how to train.

    Attributes
    ----------
    steps : int
    rate : callable
        Size of a step, by the number of steps done.
    strength : callable
        Of the gap, likewise.
    averaging : float in [0, 1)
        Decay of the moving average of the parameters; 0 for none.
    record_every, validate_every : int
        Steps between two records, and between two validations.
    patience : int or None
        Validations without progress after which training ends.
    limit : float
        Loss beyond which training has diverged.
    """

    steps: int
    rate: Callable[[int], float]
    strength: Callable[[int], float]
    averaging: float
    record_every: int
    validate_every: int
    patience: int | None
    limit: float


class Trainer:
    """A network in training.

    Parameters
    ----------
    network : nn.Module
        Trained in place.
    x, y : (n, d), (m, d) arrays
    batches : Minibatches
    losses : Losses
    solver : StepSolver
    plan : Plan
    held_out : (x, y, Losses) or None
        Points that training does not see.
    """

    def __init__(
        self,
        network: nn.Module,
        x: np.ndarray,
        y: np.ndarray,
        batches: Minibatches,
        losses: Losses,
        solver: StepSolver,
        plan: Plan,
        held_out: tuple[np.ndarray, np.ndarray, Losses] | None,
    ):
        self.network, self.x, self.y, self.batches = network, x, y, batches
        self.losses, self.solver, self.plan, self.held_out = losses, solver, plan, held_out
        self.parameters: list[torch.Tensor] = [
            parameter for parameter in network.parameters() if parameter.requires_grad
        ]
        if not self.parameters:
            raise ValueError("network has no parameters to train")
        self.optimiser = torch.optim.Adam(self.parameters, lr=plan.rate(0), fused=True)
        first = self.parameters[0]
        self.device, self.dtype = first.device, first.dtype
        self.sources, self.targets = (torch.as_tensor(z).to(self.device, self.dtype) for z in (x, y))
        self.average = [parameter.detach().clone() for parameter in self.parameters] if plan.averaging else None
        self.history = MapHistory()
        self.done = 0
        self.seconds = 0.0
        self.best: tuple[float, list[torch.Tensor]] | None = None
        self.waited = 0
        self.good = self._copied()

    # --- training ---------------------------------------------------------------------------------------------

    def run(self, tell: Callable[[MapProgress], bool], save: Callable[[], None]) -> FitStatus:
        """Train until the plan is done or something ends it; the network has the parameters to use afterwards.

        Parameters
        ----------
        tell : callable
            Gets every record; True ends training.
        save : callable
            Called after validations and at the end, where a training may be stopped and gone on with.
        """
        started = time.perf_counter() - self.seconds
        status = None
        self.network.train()
        try:
            # Where training diverges, the status says so.
            with HeldInterrupts() as interrupts, np.errstate(over="ignore", invalid="ignore"):
                while status is None:
                    self.seconds = time.perf_counter() - started
                    status = self._ended() or self._advance(tell)
                    if status is None and interrupts.requested:
                        status = FitStatus.INTERRUPTED
                    if status is None and self.done % self.plan.validate_every == 0:
                        save()
                if status is not FitStatus.DIVERGED:
                    save()
        finally:
            # Whatever ended it, there is something to use.
            self._choose(status)
            self.network.eval()
            self.optimiser.zero_grad()
        return status

    def _ended(self) -> FitStatus | None:
        """Whether there is nothing left to do, which a training that goes on finds at once."""
        if self.done >= self.plan.steps:
            return FitStatus.COMPLETED
        return FitStatus.EARLY_STOPPED if self._patience_is_over else None

    def _advance(self, tell: Callable[[MapProgress], bool]) -> FitStatus | None:
        """One step; what ends training, or None."""
        plan, number = self.plan, self.done
        rate, strength = plan.rate(number), plan.strength(number)
        last = number + 1 == plan.steps
        record = number % plan.record_every == 0 or last
        validate = self.held_out is not None and ((number + 1) % plan.validate_every == 0 or last)
        value = record or validate
        i, j = self.batches.draw()
        images = self.network(self.sources[i])
        moved = images.detach()
        z = self._host(moved)
        if not np.isfinite(z).all():
            return FitStatus.DIVERGED
        step = Step(self.x[i], self.y[j], z, self.targets[j], moved, i, j)
        fit, gap, gradient = self.losses.evaluate(self.solver, step, strength, value)
        fine = bool(torch.isfinite(gradient).all())
        if value and fine:
            loss = fit + (strength * gap if gap is not None else 0.0)
            fine = math.isfinite(loss) and loss < plan.limit
        if not fine:
            return FitStatus.DIVERGED
        if value:
            self.good = self._copied()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        for parameter in self.parameters:
            parameter.grad = None
        images.backward(gradient)
        self.optimiser.step()
        self._add_to_average()
        self.done += 1
        if not value:
            return None
        # No later step would see what this one has made of the parameters.
        if last and not all(bool(torch.isfinite(parameter).all()) for parameter in self.parameters):
            return FitStatus.DIVERGED
        ahead = self._validated(strength) if validate else (None, None)
        if ahead[0] is not None and not math.isfinite(ahead[0]):
            return FitStatus.DIVERGED
        progress = MapProgress(self.done, plan.steps, fit, gap, strength, rate, ahead[0], ahead[1], self.seconds)
        self.history.append(progress)
        tired = validate and self._tired(progress)
        if tell(progress):
            return FitStatus.STOPPED_BY_CALLBACK
        return FitStatus.EARLY_STOPPED if tired else None

    def _host(self, moved: torch.Tensor) -> np.ndarray:
        return moved.cpu().numpy().astype(self.x.dtype, copy=False)

    def _add_to_average(self) -> None:
        if self.average is None:
            return
        # Short memory at first, when parameters move much.
        decay = min(self.plan.averaging, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)

    # --- validation -------------------------------------------------------------------------------------------

    def _validated(self, strength: float) -> tuple[float, float | None]:
        assert self.held_out is not None
        x, y, losses = self.held_out
        trained = self._copied()
        self._set(self._smooth())
        self.network.eval()
        with torch.no_grad():
            moved = self.network(torch.as_tensor(x).to(self.device, self.dtype))
        self.network.train()
        self._set(trained)
        if not bool(torch.isfinite(moved).all()):
            return math.inf, None
        targets = torch.as_tensor(y).to(moved)
        step = Step(x, y, self._host(moved), targets, moved, np.arange(len(x)), np.arange(len(y)))
        fit, gap, _ = losses.evaluate(self.solver, step, strength, True)
        return fit, gap

    def _tired(self, progress: MapProgress) -> bool:
        assert progress.validation_fit is not None
        # Of the last strength at any step: a loss must not fall because the strength does.
        last = self.plan.strength(self.plan.steps - 1)
        loss = progress.validation_fit + last * (progress.validation_gap or 0.0)
        if self.best is None or loss < self.best[0]:
            self.best, self.waited = (loss, self._smooth()), 0
            return False
        self.waited += 1
        return self._patience_is_over

    @property
    def _patience_is_over(self) -> bool:
        return self.plan.patience is not None and self.waited >= self.plan.patience

    # --- parameters -------------------------------------------------------------------------------------------

    def _copied(self) -> list[torch.Tensor]:
        return [parameter.detach().clone() for parameter in self.parameters]

    def _smooth(self) -> list[torch.Tensor]:
        """The parameters to use."""
        return self._copied() if self.average is None else [value.clone() for value in self.average]

    def _set(self, values: list[torch.Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value)

    def _choose(self, status: FitStatus | None) -> None:
        if status is FitStatus.DIVERGED:
            self._set(self.good if self.best is None else self.best[1])
        elif self.plan.patience is not None and self.best is not None:
            self._set(self.best[1])
        else:
            self._set(self._smooth())

    # --- going on ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        """All that further steps depend on."""
        memories = self.losses.memories + ([] if self.held_out is None else self.held_out[2].memories)
        return {
            "done": self.done,
            "seconds": self.seconds,
            "parameters": self._copied(),
            "buffers": [value.detach().clone() for value in self.network.buffers()],
            "optimiser": copy.deepcopy(self.optimiser.state_dict()),
            "average": self.average,
            "batches": self.batches.state,
            "memories": [memory.potential.copy() for memory in memories],
            "best": None if self.best is None else [self.best[0], self.best[1]],
            "waited": self.waited,
            "good": self.good,
            "history": [list(record) for record in self.history],
            "random": torch.get_rng_state(),
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.done, self.seconds, self.waited = state["done"], state["seconds"], state["waited"]
        self._set(state["parameters"])
        with torch.no_grad():
            for buffer, value in zip(self.network.buffers(), state["buffers"], strict=True):
                buffer.copy_(value)
        self.optimiser.load_state_dict(state["optimiser"])
        to = {"device": self.device, "dtype": self.dtype}
        if self.average is not None:
            self.average = [value.to(**to) for value in state["average"]]
        self.batches.state = state["batches"]
        memories = self.losses.memories + ([] if self.held_out is None else self.held_out[2].memories)
        for memory, potential in zip(memories, state["memories"], strict=True):
            memory.potential[:] = potential
        best = state["best"]
        self.best = None if best is None else (best[0], [value.to(**to) for value in best[1]])
        self.good = [value.to(**to) for value in state["good"]]
        self.history = MapHistory(MapProgress(*record) for record in state["history"])
        torch.set_rng_state(state["random"])
