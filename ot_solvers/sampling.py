"""What results of transport between samples say about the laws behind these."""

from __future__ import annotations

from typing import Any

__all__ = ["Sampled"]


class Sampled:
    """Results whose sampling error `ot_solvers.statistics` knows."""

    def standard_error(self, *, sizes: tuple[float, float] | None = None) -> Any:
        """Standard error if the points are independent draws: see `ot_solvers.statistics.standard_error`.

        Parameters
        ----------
        sizes : (float, float), optional
            Numbers of draws, where weights are relative frequencies; ``inf`` for a measure that is known.
        """
        from .statistics import standard_error

        return standard_error(self, sizes=sizes)

    def confidence_interval(
        self, level: float = 0.95, *, sizes: tuple[float, float] | None = None
    ) -> tuple[Any, Any]:
        """Interval for the value between the laws: see `ot_solvers.statistics.confidence_interval`.

        Parameters
        ----------
        level : float in (0, 1)
        sizes : (float, float), optional
            As in `standard_error`.

        Returns
        -------
        low, high
        """
        from .statistics import confidence_interval

        return confidence_interval(self, level, sizes=sizes)
