"""Transport maps that move new points: closed forms, entropic maps and networks fitted with the Monge gap."""

from typing import TYPE_CHECKING, Any

from .base import TransportMap
from .entropic import EntropicMap
from .files import load
from .gap import MongeGap, monge_gap
from .history import FitStatus, MapHistory, MapProgress
from .linear import LinearMap

if TYPE_CHECKING:
    from .learning import MongeGapMap, ResidualMLP

__all__ = [
    "EntropicMap",
    "FitStatus",
    "LinearMap",
    "MapHistory",
    "MapProgress",
    "MongeGap",
    "MongeGapMap",
    "ResidualMLP",
    "TransportMap",
    "load",
    "monge_gap",
]


def __getattr__(name: str) -> Any:
    # Networks need torch, which nothing else here does.
    if name in ("MongeGapMap", "ResidualMLP"):
        from importlib import import_module

        return getattr(import_module(".learning", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
