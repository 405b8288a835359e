"""Transport maps that move new points: closed forms, entropic maps and networks fitted with the Monge gap."""

from .base import TransportMap
from .entropic import EntropicMap
from .files import load
from .linear import LinearMap

__all__ = ["EntropicMap", "LinearMap", "TransportMap", "load"]
