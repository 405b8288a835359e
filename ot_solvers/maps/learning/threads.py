"""How many threads networks use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

__all__ = ["network_threads"]


@contextlib.contextmanager
def network_threads(number: int) -> Iterator[None]:
    """Let PyTorch use so many threads inside, and as many as before afterwards.

    Parameters
    ----------
    number : int >= 1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
