"""Correspondence of surfaces: functional maps, learned without supervision with a sliced transport loss."""
