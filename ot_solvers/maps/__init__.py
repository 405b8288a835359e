"""Transport maps that move new points: closed forms, entropic maps and networks fitted with the Monge gap."""

from .base import TransportMap
from .gap import MongeGap, monge_gap

__all__ = ["MongeGap", "TransportMap", "monge_gap"]
