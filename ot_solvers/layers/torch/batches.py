"""Batches of solutions on the autograd graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch

from ...batch_solution import ENTROPIC, BatchSolution
from ...geometry.stack import CloudStack
from ...lazy import cached_property
from ..rules import envelope
from .graph import BLOCK, GraphSolution, _Pairwise, _plain_copy, attach_solution
from .matching import DENSE, _System
from .once import first_only

__all__ = ["GraphBatchSolution", "attach_batch"]

#: Problems without an entropic plan that are differentiated one by one.
FEW = 8
#: Dimensions of an argument that all problems share.
SHARED = {"C": 2, "x": 2, "y": 2, "a": 1, "b": 1, "reg": 0}


def attach_batch(result: BatchSolution, **leaves: Any) -> GraphBatchSolution:
    """The same batch, its values and arrays on the graph of the tensors among `leaves`."""
    found = GraphBatchSolution(result._solved, result._backend, result._library)
    found._plain = result
    found._leaves = {name: leaf for name, leaf in leaves.items() if _tensors(leaf)}
    return found


def _tensors(leaf: Any) -> list[torch.Tensor]:
    if isinstance(leaf, torch.Tensor):
        return [leaf]
    if isinstance(leaf, (list, tuple)):
        return [part for part in leaf if isinstance(part, torch.Tensor)]
    return []


class GraphBatchSolution(BatchSolution):
    """A `BatchSolution` whose fields are on the autograd graph; see `GraphSolution` for what is and what is not.

    Values, and plans of entropic problems of one size, are differentiated for all problems at once, the rest
    problem by problem.
    """

    _plain: BatchSolution
    _leaves: dict[str, Any]

    def __getitem__(self, key):
        part = self._plain[key]
        if isinstance(part, BatchSolution):
            return attach_batch(part, **{name: _some(name, leaf, key) for name, leaf in self._leaves.items()})
        k = int(key) % len(self)
        if k not in self._attached:
            self._attached[k] = attach_solution(
                part, **{name: _item(name, leaf, k) for name, leaf in self._leaves.items()}
            )
        return self._attached[k]

    @cached_property
    def _attached(self) -> dict[int, GraphSolution]:
        return {}

    # --- all at once, where that is possible -------------------------------------------------------------------

    @property
    def _stackable(self) -> bool:
        """Whether every argument is one tensor, and the problems have one size."""
        return self._uniform and all(isinstance(leaf, torch.Tensor) for leaf in self._leaves.values())

    @cached_property
    def value(self) -> torch.Tensor:
        if self._stackable and "reg" not in self._leaves:
            return _Values.apply(self, *self._leaves.values())
        return torch.stack([solution.value for solution in self])

    @cached_property
    def plan(self) -> Any:
        solved = self._plain._solved
        small = self._stackable and min(self.shapes[0]) <= DENSE and "reg" not in self._leaves
        if not (small and solved.balanced and (solved.kinds == ENTROPIC).all()):
            return self._each_tensor([solution.plan for solution in self])
        sides = [self._weight(name, size) for name, size in zip("ab", self.shapes[0])]
        plans, eps = torch.as_tensor(self._plain.plan), torch.as_tensor(solved.plans.eps)
        return _Plans.apply(self._costs(), *sides, plans, eps)

    def _weight(self, name: str, size: int) -> torch.Tensor:
        leaf = self._leaves.get(name)
        if leaf is None:
            flat = self._plain._weights["ab".index(name)].reshape(len(self), size)
            return torch.as_tensor(flat * self._plain._masses[:, None])
        return leaf.expand(len(self), size)

    def _costs(self) -> torch.Tensor:
        """(B, n, m), on the graph."""
        B, (n, m) = len(self), self.shapes[0]
        if "C" in self._leaves:
            return self._leaves["C"].expand(B, n, m)
        stack = self._plain._solved.plans.stack
        if isinstance(stack, CloudStack):
            x, y = (self._cloud(name) for name in "xy")
            return _Pairwise.apply(stack.cost, stack.cost.prepare(x, xp), stack.cost.prepare(y, xp))
        return torch.as_tensor(np.stack([np.asarray(stack.geometry(k).array) for k in range(B)]))  # type: ignore[attr-defined]

    def _cloud(self, name: str) -> torch.Tensor:
        """(B, n, d) float64 points."""
        if name in self._leaves:
            return self._leaves[name].double()
        stack: Any = self._plain._solved.plans.stack
        return torch.as_tensor(np.stack([stack.points(k)["xy".index(name)] for k in range(len(self))])).double()

    # --- one by one --------------------------------------------------------------------------------------------

    def _each_tensor(self, tensors: Sequence[torch.Tensor]) -> Any:
        return torch.stack(list(tensors)) if self._uniform else list(tensors)

    @cached_property
    def value_linear(self) -> torch.Tensor:
        return torch.stack([solution.value_linear for solution in self])

    @cached_property
    def dual_value(self) -> torch.Tensor:
        return torch.stack([solution.dual_value for solution in self])

    @cached_property
    def potential_a(self) -> Any:
        return self._each_tensor([solution.potential_a for solution in self])

    @cached_property
    def potential_b(self) -> Any:
        return self._each_tensor([solution.potential_b for solution in self])

    @cached_property
    def marginal_a(self) -> Any:
        return self._each_tensor([solution.marginal_a for solution in self])

    @cached_property
    def marginal_b(self) -> Any:
        return self._each_tensor([solution.marginal_b for solution in self])

    def barycentric_map(self, inverse: bool = False) -> Any:
        return self._each_tensor([solution.barycentric_map(inverse) for solution in self])

    # --- certificates: numbers ---------------------------------------------------------------------------------

    @property
    def gap(self):
        return self._plain.gap

    @property
    def bounds(self):
        return self._plain.bounds

    @property
    def marginal_error(self):
        return self._plain.marginal_error

    def __repr__(self) -> str:
        return repr(self._plain)

    def __reduce__(self):
        # A graph does not travel.
        return _plain_copy, (self._plain,)


def _item(name: str, leaf: Any, k: int) -> Any:
    """The part of an argument that belongs to problem k."""
    shared = isinstance(leaf, torch.Tensor) and leaf.ndim == SHARED[name]
    return leaf if shared else leaf[k]


def _some(name: str, leaf: Any, key: slice) -> Any:
    shared = isinstance(leaf, torch.Tensor) and leaf.ndim == SHARED[name]
    return leaf if shared else leaf[key]


class _Values(torch.autograd.Function):
    """Optimal values, by the envelope theorem."""

    @staticmethod
    def forward(ctx, graph: GraphBatchSolution, *tensors):
        ctx.graph = graph
        ctx.save_for_backward(*tensors)
        return torch.as_tensor(graph._plain.value)

    @staticmethod
    def backward(ctx, cotangent):
        graph, names = ctx.graph, list(ctx.graph._leaves)
        tensors = ctx.saved_tensors
        if torch.is_grad_enabled():
            again = attach_batch(graph._plain, **dict(zip(names, tensors, strict=True)))
            values = torch.stack([solution.value for solution in again])
            return None, *torch.autograd.grad(values, tensors, cotangent, create_graph=True, allow_unused=True)
        wanted = {name for name, needed in zip(names, ctx.needs_input_grad[1:]) if needed}
        found = _gradients(graph._plain, wanted, cotangent.double())
        parts = []
        for name, tensor in zip(names, tensors):
            gradient = found.get(name)
            if gradient is not None and gradient.ndim > tensor.ndim:
                gradient = gradient.sum(0)  # all problems share it
            parts.append(None if gradient is None else gradient.reshape(tensor.shape).to(tensor.dtype))
        return None, *parts


def _gradients(plain: BatchSolution, wanted: set[str], w: torch.Tensor) -> dict[str, torch.Tensor]:
    """Derivatives of ``w @ values``, stacked."""
    found: dict[str, torch.Tensor] = {}
    solved = plain._solved
    if wanted & {"a", "b"}:
        if plain._simple:
            sides = [torch.as_tensor(np.asarray(side)).double() for side in plain.potentials]
        else:
            pairs = [envelope.by_weights(solution) for solution in plain]
            sides = [torch.as_tensor(np.stack([pair[side] for pair in pairs])) for side in (0, 1)]
        found["a"], found["b"] = (w[:, None] * side for side in sides)
    others = np.flatnonzero(solved.kinds != ENTROPIC)
    if wanted & {"x", "y"} and "C" not in wanted and others.size <= FEW:
        sizes = plain.shapes[0]
        both = [z.reshape(len(plain), size, -1).copy() for z, size in zip(plain._point_gradients, sizes)]
        for k in others.tolist():
            for whole, part in zip(both, envelope.by_points(plain[k])):
                whole[k] = part
        found["x"], found["y"] = (w[:, None, None] * torch.as_tensor(side) for side in both)
    elif wanted & {"C", "x", "y"}:
        P = w[:, None, None] * torch.as_tensor(np.asarray(plain.plan)).double()
        if "C" in wanted:
            found["C"] = P
        if wanted & {"x", "y"}:
            found["x"], found["y"] = _by_points(solved.plans.stack, P)
    return {name: value for name, value in found.items() if name in wanted}


def _by_points(stack: Any, P: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, n, d) ``sum_j P_ij grad_x c``, and the same by y."""
    cost, (B, n, m) = stack.cost, P.shape
    x, y = (torch.as_tensor(np.stack([stack.points(k)[side] for k in range(B)])).double() for side in (0, 1))
    first, second = cost.prepare(x, xp), cost.prepare(y, xp)
    step = max(1, BLOCK // (n * m * max(1, first.shape[-1])))
    by_x, by_y = [], []
    for start in range(0, B, step):
        some = slice(start, start + step)
        C = cost.pairwise(first[some], second[some], xp)
        by_x.append((P[some, :, :, None] * cost.gradient(first[some], second[some], C, xp)).sum(2))
        swapped = cost.swapped().gradient(second[some], first[some], C.mT, xp)
        by_y.append((P[some].mT[..., None] * swapped).sum(2))
    found = (cost.pullback(points.numpy(), torch.cat(parts).numpy()) for points, parts in ((x, by_x), (y, by_y)))
    by_first, by_second = (torch.as_tensor(part) for part in found)
    return by_first, by_second


class _Plans(torch.autograd.Function):
    """Plans of balanced entropic problems of one size; on the way back one dense system each, all at once."""

    @staticmethod
    def forward(ctx, C, a, b, plans, eps):
        ctx.save_for_backward(plans, eps, C, a, b)
        ctx.dtypes = C.dtype, a.dtype, b.dtype
        return plans.clone()

    @staticmethod
    @first_only
    def backward(ctx, cotangent):
        P, eps = (tensor.double() for tensor in ctx.saved_tensors[:2])
        U = cotangent.double() * P / eps[:, None, None]
        alpha, beta = _System.apply(P, U.sum(2), U.sum(1))
        by_costs = P * (alpha[:, :, None] + beta[:, None, :]) - U
        found = (by_costs, eps[:, None] * alpha, eps[:, None] * beta)
        return *(part.to(dtype) for part, dtype in zip(found, ctx.dtypes)), None, None
