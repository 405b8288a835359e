"""Transport maps that move new points: closed forms, entropic maps and networks fitted with the Monge gap."""

from .base import TransportMap

__all__ = ["TransportMap"]
