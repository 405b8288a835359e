"""Arguments on an autograd graph: taken off it for the solve, and the result put back on.

Nothing here imports a library: tensors can only exist where theirs is imported already.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

__all__ = ["attached", "off_graph", "on_graph"]


#: Where results that are no solutions are put on the graph.
_MODULES = {
    "batch": "batches",
    "gap": "gap",
    "laws": "conditional",
    "sliced": "sliced",
    "max_sliced": "sliced",
    "line": "sliced",
}


def on_graph(*values: Any) -> bool:
    """Whether any of these is a tensor whose gradient will be asked for."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.is_grad_enabled():
        return False
    return any(
        on_graph(*value)
        if isinstance(value, (list, tuple))
        else isinstance(value, torch.Tensor) and value.requires_grad
        for value in values
    )


def off_graph(value: Any) -> Any:
    """The tensor without its graph, also in a list; anything else as it is."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return value.detach()
    if torch is not None and isinstance(value, list) and any(isinstance(part, torch.Tensor) for part in value):
        return [off_graph(part) for part in value]
    return value


def attached(kind: str, result: Any, **leaves: Any) -> Any:
    """A result whose values stay on the graph of these arguments.

    Parameters
    ----------
    kind : {"solution", "divergence", "batch", "gap", "laws", "sliced", "max_sliced", "line"}
    result
        Of the solve without the graph.
    leaves
        The caller's arguments by name.
    """
    # The layers build on the entry points, which know them by name only.
    graph = importlib.import_module(f"ot_solvers.layers.torch.{_MODULES.get(kind, 'graph')}")
    return getattr(graph, f"attach_{kind}")(result, **leaves)
