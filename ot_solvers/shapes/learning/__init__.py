"""Features of surfaces that are learned, and functional maps as PyTorch functions; importing it needs torch."""

from .functional_maps import functional_map, resolvent_mask

__all__ = ["functional_map", "resolvent_mask"]
