"""How the training of a map went."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

__all__ = ["FitStatus", "MapHistory", "MapProgress"]


class FitStatus(Enum):
    """How training ended; the value is a message that says what to do about it."""

    COMPLETED = "all steps were done"
    EARLY_STOPPED = "the validation loss stopped falling for `patience` validations; its best parameters are kept"
    STOPPED_BY_CALLBACK = "the callback asked to stop: fit again with the same checkpoint to go on"
    INTERRUPTED = "training was interrupted: fit again with the same checkpoint to go on"
    DIVERGED = (
        "losses became infinite, NaN or a thousand times the mean cost; the last good parameters are kept: use a "
        "smaller learning_rate or a larger batch_size, and look at the scale of the points"
    )


class MapProgress(NamedTuple):
    """One recorded step of training, as callbacks and histories see it.

    Attributes
    ----------
    step : int
        Steps done.
    steps : int
        Steps to do.
    fit : float
        Fitting loss on the minibatch of the step.
    gap : float or None
        Monge gap on it; None where the strength is 0.
    strength : float
        Of the gap.
    learning_rate : float
    validation_fit, validation_gap : float or None
        The same on points held out, where this step measured them.
    seconds : float
        Since training began, all parts of a resumed one counted.
    """

    step: int
    steps: int
    fit: float
    gap: float | None
    strength: float
    learning_rate: float
    validation_fit: float | None
    validation_gap: float | None
    seconds: float

    @property
    def loss(self) -> float:
        """Fitting loss plus strength times gap."""
        return self.fit + (0.0 if self.gap is None else self.strength * self.gap)

    @property
    def validation_loss(self) -> float | None:
        """The same on points held out."""
        if self.validation_fit is None:
            return None
        return self.validation_fit + (0.0 if self.validation_gap is None else self.strength * self.validation_gap)


class MapHistory(list[MapProgress]):
    """The recorded steps of a training, in order.

    ``history.column("fit")`` is one quantity; ``history.plot()`` a picture.
    """

    def column(self, name: str) -> list[Any]:
        """One field of all records; those without it are left out.

        Raises
        ------
        ValueError
            For an unknown name.
        """
        known = (*MapProgress._fields, "loss", "validation_loss")
        if name not in known:
            raise ValueError(f"name={name!r} is unknown; expected one of {list(known)}")
        return [value for record in self if (value := getattr(record, name)) is not None]

    def plot(self, axes: Any = None) -> Any:
        """Picture of fit and gap over the steps, in training and in validation (needs matplotlib).

        Parameters
        ----------
        axes : matplotlib axes, optional

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .pictures import plot_history

        return plot_history(self, axes)
