"""Solutions on the autograd graph of the tensors they were made of.

First derivatives of values come from the envelope theorem through the primitives of the backend: nothing of size
n m for point clouds. Everything that depends on the potentials is written in torch, in blocks of rows that are
computed again on the way back; the potentials themselves are differentiated implicitly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_compat.torch as xp
import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from ...divergence import DivergenceResult
from ...errors import UnsupportedError
from ...geometry import PointCloud
from ...lazy import cached_property
from ...result import Solution, _cached_names
from ..rules import envelope
from ..rules.implicit import PotentialRule
from ..rules.supports import SupportRule
from .once import first_only

__all__ = ["GraphSolution", "attach_divergence", "attach_solution"]

#: Numbers of a block of rows: pairs times coordinates.
BLOCK = 1 << 22


class Leaves(NamedTuple):
    """The caller's tensors; None where an argument was not given, or is no tensor."""

    C: torch.Tensor | None = None
    x: torch.Tensor | None = None
    y: torch.Tensor | None = None
    a: torch.Tensor | None = None
    b: torch.Tensor | None = None
    reg: torch.Tensor | None = None

    @property
    def swapped(self) -> Leaves:
        """Those of the transposed problem."""
        return Leaves(None if self.C is None else self.C.mT, self.y, self.x, self.b, self.a, self.reg)


def attach_solution(solution: Solution, **leaves: Any) -> GraphSolution:
    """The same solution, its values and arrays on the graph of the tensors among `leaves`."""
    tensors = {name: value if isinstance(value, torch.Tensor) else None for name, value in leaves.items()}
    found = object.__new__(GraphSolution)
    cached = _cached_names()
    found.__dict__.update({name: value for name, value in solution.__dict__.items() if name not in cached})
    found._plain = solution
    found._leaves = Leaves(**tensors)
    return found


def attach_divergence(result: DivergenceResult, *, x, y, a=None, b=None, reg=None) -> DivergenceResult:
    """The same divergence, with its value on the graph; so are those of its three parts."""
    xy = attach_solution(result.xy, x=x, y=y, a=a, b=b, reg=reg)
    xx = attach_solution(result.xx, x=x, y=x, a=a, b=a, reg=reg)
    yy = attach_solution(result.yy, x=y, y=y, a=b, b=b, reg=reg)
    for part in (xx, yy):
        # The strength is the xy problem's, whatever it is relative to.
        part._reg_factor = xy._reg_factor
    total = xy.value - 0.5 * (xx.value + yy.value)
    if not result.xy._problem.fixed_total:
        A, B = (
            leaf.sum() if isinstance(leaf, torch.Tensor) else total.new_tensor(part.problem_mass)
            for leaf, part in ((a, xx), (b, yy))
        )
        eps = xy._strength()
        total = total + 0.5 * eps * (A - B) ** 2
    found = object.__new__(DivergenceResult)
    found.__dict__.update(result.__dict__)
    found.xy, found.xx, found.yy = xy, xx, yy
    # The number is the more accurate one; the difference is rounding.
    found.value = total + (float(result) - total.detach())
    return found


# --- functions with rules of their own -----------------------------------------------------------------------


class _Value(torch.autograd.Function):
    """The optimal value; its derivatives are those of the objective at the solution."""

    @staticmethod
    def forward(ctx, graph: GraphSolution, number: float, *tensors):
        ctx.graph = graph
        ctx.save_for_backward(*tensors)
        return torch.tensor(number, dtype=graph._dtype)

    @staticmethod
    def backward(ctx, cotangent):
        graph = ctx.graph
        leaves = graph._restored(ctx.saved_tensors)
        wanted = ctx.needs_input_grad[2:]
        names = graph._names
        if torch.is_grad_enabled():
            again = attach_solution(graph._plain, **leaves._asdict())
            again._reg_factor = graph._reg_factor
            found = _differentiable_gradient(again, {name for name, w in zip(names, wanted) if w})
        else:
            found = _gradient(graph, leaves, {name for name, w in zip(names, wanted) if w})
        parts = (
            (cotangent * found[name]).to(tensor.dtype) if name in found else None
            for name, tensor in zip(names, ctx.saved_tensors)
        )
        return None, None, *parts


def _gradient(graph: GraphSolution, leaves: Leaves, wanted: set[str]) -> dict[str, torch.Tensor]:
    """Derivatives of the value, each as large as its leaf."""
    plain = graph._plain
    found: dict[str, Any] = {}
    if "C" in wanted:
        found["C"] = plain.plan
    if wanted & {"x", "y"}:
        found["x"], found["y"] = envelope.by_points(plain)
    if wanted & {"a", "b"}:
        found["a"], found["b"] = envelope.by_weights(plain)
    if "reg" in wanted:
        found["reg"] = np.asarray(envelope.by_reg(plain) * graph._reg_factor)
    return {
        name: torch.as_tensor(value).reshape(getattr(leaves, name).shape)
        for name, value in found.items()
        if name in wanted
    }


def _differentiable_gradient(graph: GraphSolution, wanted: set[str]) -> dict[str, torch.Tensor]:
    """The same through torch, for derivatives of derivatives."""
    leaves, eps = graph._leaves, graph._strength()
    plain = graph._plain
    if plain._matrix is not None:
        raise UnsupportedError(
            "second derivatives of exact and quadratic transport values are not available: use an entropic reg"
        )
    f, g = graph._both
    A, B = graph._weights
    found: dict[str, torch.Tensor] = {}
    if "C" in wanted:
        found["C"] = graph._by_rows(lambda pairs: (pairs.plan(),))[0]
    if wanted & {"x", "y"}:
        by_x, by_y = graph._by_rows(lambda pairs: pairs.cost_gradients(), summed=(1,))
        found["x"], found["y"] = graph._raw(by_x, by_y)
    problem = plain._problem
    if wanted & {"a", "b"}:
        found["a"], found["b"] = f, g
        if not problem.fixed_total:
            rows, columns = graph._by_rows(lambda pairs: pairs.ratio_sums(), summed=(1,))
            for name, penalty, potential, moved, other in (
                ("a", problem.penalty_a, f, rows, B),
                ("b", problem.penalty_b, g, columns, A),
            ):
                if penalty.kind == 1:
                    potential = -penalty.rho * torch.expm1(-potential / penalty.rho)
                found[name] = potential - eps * (moved - other.sum())
    if "reg" in wanted:
        (inner,) = graph._by_rows(lambda pairs: (pairs.divergence(),), summed=(0,))
        if not problem.fixed_total:
            (moved,) = graph._by_rows(lambda pairs: (pairs.plan().sum(),), summed=(0,))
            inner = inner - moved + A.sum() * B.sum()
        found["reg"] = inner * graph._reg_factor
    return {name: value.reshape(getattr(leaves, name).shape) for name, value in found.items() if name in wanted}


class _Potentials(torch.autograd.Function):
    """Both potentials; on the way back one linear system."""

    @staticmethod
    def forward(ctx, graph: GraphSolution, *tensors):
        ctx.graph = graph
        ctx.save_for_backward(*tensors)
        return tuple(torch.as_tensor(side.copy()) for side in graph._plain._potentials)

    @staticmethod
    @first_only
    def backward(ctx, u, v):
        graph, plain = ctx.graph, ctx.graph._plain
        wanted = {name for name, w in zip(graph._names, ctx.needs_input_grad[1:]) if w}
        leaves = graph._restored(ctx.saved_tensors)
        n, m = plain.shape
        u, v = (np.zeros(k) if w is None else w.numpy().astype(np.float64) for w, k in ((u, n), (v, m)))
        found = _entropic_cotangents if plain._matrix is None else _quadratic_cotangents
        return None, *_as_leaves(graph, leaves, found(graph, wanted, u, v))


def _entropic_cotangents(graph, wanted, u, v) -> dict[str, np.ndarray]:
    rule = graph._rule
    arrived = rule.pull_back(u, v)
    found: dict[str, Any] = {}
    if wanted & {"a", "b"}:
        found["a"], found["b"] = rule.to_weights(arrived)
    if wanted & {"x", "y"}:
        found["x"], found["y"] = rule.to_points(arrived)
    if "C" in wanted:
        n, m = graph.shape
        step = max(1, BLOCK // m)
        found["C"] = np.concatenate(
            [rule.to_costs(arrived, start, min(n, start + step)) for start in range(0, n, step)]
        )
    if "reg" in wanted:
        found["reg"] = np.asarray(rule.to_reg(arrived) * graph._reg_factor)
    return {name: value for name, value in found.items() if name in wanted}


def _quadratic_cotangents(graph, wanted, u, v) -> dict[str, np.ndarray]:
    return _from_entries(graph, wanted, graph._support.of_potentials(u, v))


def _from_entries(graph, wanted, arrived) -> dict[str, np.ndarray]:
    """Cotangents of the leaves of a quadratic problem from those of its entries."""
    rule = graph._support
    found: dict[str, Any] = {"a": arrived.a, "b": arrived.b, "reg": np.asarray(arrived.gamma * graph._reg_factor)}
    if wanted & {"x", "y"}:
        found["x"], found["y"] = rule.to_points(arrived.costs)
    if "C" in wanted:
        dense = np.zeros(graph.shape)
        dense[rule.rows, rule.columns] = arrived.costs
        found["C"] = dense
    return {name: value for name, value in found.items() if name in wanted}


def _as_leaves(graph, leaves: Leaves, found: dict[str, np.ndarray]):
    for name in graph._names:
        leaf = getattr(leaves, name)
        if name in found:
            yield torch.as_tensor(np.ascontiguousarray(found[name])).reshape(leaf.shape).to(leaf.dtype)
        else:
            yield None


class _Entries(torch.autograd.Function):
    """Masses of the entries of a quadratic plan."""

    @staticmethod
    def forward(ctx, graph: GraphSolution, *tensors):
        ctx.graph = graph
        ctx.save_for_backward(*tensors)
        return torch.as_tensor(graph._support.masses.copy())

    @staticmethod
    @first_only
    def backward(ctx, cotangent):
        graph = ctx.graph
        wanted = {name for name, w in zip(graph._names, ctx.needs_input_grad[1:]) if w}
        arrived = graph._support.of_plan(cotangent.numpy().astype(np.float64))
        found = _from_entries(graph, wanted, arrived)
        return None, *_as_leaves(graph, graph._restored(ctx.saved_tensors), found)


class _Pairwise(torch.autograd.Function):
    """Costs between prepared points; its derivative is the cost's own, which is 0 where undefined."""

    @staticmethod
    def forward(ctx, cost, x, y):
        C = cost.pairwise(x, y, xp)
        ctx.cost = cost
        ctx.save_for_backward(x, y, C)
        return C

    @staticmethod
    def backward(ctx, cotangent):
        x, y, C = ctx.saved_tensors
        by_x = by_y = None
        if ctx.needs_input_grad[1]:
            by_x = (cotangent[..., None] * ctx.cost.gradient(x, y, C, xp)).sum(-2)
        if ctx.needs_input_grad[2]:
            swapped = ctx.cost.swapped()
            by_y = (cotangent.mT[..., None] * swapped.gradient(y, x, C.mT, xp)).sum(-2)
        return None, by_x, by_y


# --- the solution ----------------------------------------------------------------------------------------------


class _Pairs(NamedTuple):
    """A block of rows of an entropic plan, in torch, float64."""

    C: torch.Tensor  # (k, m)
    f: torch.Tensor  # (k,)
    g: torch.Tensor
    a: torch.Tensor
    b: torch.Tensor
    eps: Any
    cost: Any
    x: torch.Tensor | None  # prepared points
    y: torch.Tensor | None

    def ratio(self):
        """(k, m) ``P_ij / (a_i b_j)``."""
        return torch.exp((self.f[:, None] + self.g[None, :] - self.C) / self.eps)

    def plan(self):
        """(k, m) ``P_ij``."""
        return self.a[:, None] * self.b[None, :] * self.ratio()

    def ratio_sums(self):
        """(k,) ``sum_j b_j P_ij / (a_i b_j)``, and the part of the other side's."""
        ratio = self.ratio()
        return ratio @ self.b, self.a @ ratio

    def divergence(self):
        """``sum P log(P / (a b'))``."""
        exponent = (self.f[:, None] + self.g[None, :] - self.C) / self.eps
        finite = torch.isfinite(self.C)
        return (self.plan() * torch.where(finite, exponent, torch.zeros_like(exponent))).sum()

    def linear(self):
        """``<P, C>``."""
        return (self.plan() * torch.where(torch.isfinite(self.C), self.C, torch.zeros_like(self.C))).sum()

    def cost_gradients(self):
        """(k, d) ``sum_j P_ij grad_x c``, and (m, d) parts of the other side, by prepared points."""
        P = self.plan()
        by_x = (P[..., None] * self.cost.gradient(self.x, self.y, self.C, xp)).sum(1)
        by_y = (P.mT[..., None] * self.cost.swapped().gradient(self.y, self.x, self.C.mT, xp)).sum(1)
        return by_x, by_y

    def laws(self):
        """(k, m) rows of sum 1; row potentials and weights cancel."""
        exponent = (self.g[None, :] - self.C) / self.eps
        live = torch.where(self.b > 0, exponent, torch.full_like(exponent, -torch.inf))
        top = live.amax(dim=1, keepdim=True).detach()
        weights = self.b[None, :] * torch.exp(torch.clamp(exponent - top, max=700.0))
        return weights / weights.sum(dim=1, keepdim=True)

    def conditional(self, v):
        """(k, c) means of v (m, c) over the targets of every row."""
        return self.laws() @ v


class GraphSolution(Solution):
    """A `Solution` whose `value`, `dual_value`, `value_linear`, `potentials`, `plan`, marginals, `apply`, `push`,
    `pull`, `barycentric_map` and `transport` are on the autograd graph of what it was made of.

    `gap` and `bounds` are certificates and have no graph; neither have SciPy's `sparse_plan` and `plan_operator`,
    nor indices (`match`, `sample`). Where a derivative does not exist, or has no rule, an `UnsupportedError` says
    so.
    """

    _plain: Solution
    _leaves: Leaves

    # --- what it is made of -----------------------------------------------------------------------------------

    @property
    def _names(self) -> list[str]:
        return [name for name, leaf in self._leaves._asdict().items() if leaf is not None]

    @property
    def _tensors(self) -> list[torch.Tensor]:
        return [leaf for leaf in self._leaves if leaf is not None]

    def _restored(self, tensors) -> Leaves:
        return Leaves(**dict(zip(self._names, tensors, strict=True)))

    @cached_property
    def _reg_factor(self) -> float:
        """Absolute strength per unit of the caller's `reg`."""
        leaf = self._leaves.reg
        return 1.0 if leaf is None else self._plain.reg / float(leaf.detach())

    def _strength(self):
        leaf = self._leaves.reg
        return self._plain.reg if leaf is None else leaf.double() * self._reg_factor

    @property
    def problem_mass(self) -> float:
        """Total of the source weights."""
        return self._problem.mass * float(self._problem.a.sum())

    @cached_property
    def _rule(self) -> PotentialRule:
        return PotentialRule(self._plain)

    @cached_property
    def _support(self) -> SupportRule:
        return SupportRule(self._plain)

    @cached_property
    def _weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The caller's weights, float64; balanced ones as they were solved for."""
        problem = self._problem
        sides = []
        for leaf, known in ((self._leaves.a, problem.a), (self._leaves.b, problem.b)):
            solved = torch.as_tensor(problem.mass * known)
            if leaf is not None:
                # The same numbers, and the leaf's graph.
                flat = leaf.double().reshape(-1)
                solved = flat + (solved - flat.detach())
            sides.append(solved)
        return sides[0], sides[1]

    @cached_property
    def _both(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Potentials, float64."""
        self._need_smooth("potentials")
        if self._plain._matrix is None:
            _ = self._rule  # says now what it cannot do
        elif self._problem.term.limited:
            raise UnsupportedError("potentials with limits of entries have kinks, and no derivative rule")
        return _Potentials.apply(self, *self._tensors)

    def _need_smooth(self, what: str) -> None:
        if self._problem.eps == 0 and self._problem.quadratic is None:
            raise UnsupportedError(
                f"{what} of exact transport are piecewise constant in the data: their derivative is 0 or "
                "undefined. Use a positive reg, differentiate the value, or call under torch.no_grad()"
            )

    @property
    def _dtype(self) -> torch.dtype:
        """float32 or float64: of results."""
        return getattr(torch, np.dtype(self._library.dtype).name)

    def _cast(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._dtype)

    # --- rows in blocks ---------------------------------------------------------------------------------------

    @cached_property
    def _prepared(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        geometry, leaves = self.geometry, self._leaves
        if not isinstance(geometry, PointCloud):
            return None
        sides = [
            geometry.cost.prepare(torch.as_tensor(np.array(z)).double() if leaf is None else leaf.double(), xp)
            for leaf, z in ((leaves.x, geometry.x), (leaves.y, geometry.y))
        ]
        return sides[0], sides[1]

    def _raw(self, by_x, by_y):
        """Derivatives by the caller's points from those by prepared ones."""
        found = []
        assert self._prepared is not None
        for leaf, prepared, gradient in zip((self._leaves.x, self._leaves.y), self._prepared, (by_x, by_y)):
            if leaf is None or not prepared.requires_grad:
                found.append(gradient)
            else:
                found.append(torch.autograd.grad(prepared, leaf, gradient, create_graph=True)[0])
        return found

    def _block(self, start: int, stop: int) -> torch.Tensor:
        if self._leaves.C is not None:
            return self._leaves.C[start:stop].double()
        if self._prepared is not None:
            x, y = self._prepared
            return _Pairwise.apply(self.geometry.cost, x[start:stop], y)
        return torch.as_tensor(np.array(self.geometry.block(start, stop), dtype=np.float64))

    def _by_rows(self, function: Callable[[_Pairs], tuple], summed: tuple[int, ...] = ()) -> list[torch.Tensor]:
        """Results of a function of `_Pairs` over all rows: joined, or summed where their place is in `summed`.

        Blocks are computed again on the way back, so that nothing of size n m is kept.
        """
        f, g = self._both
        a, b = self._weights
        eps = self._strength()
        n, m = self.shape
        depth = 1 if self._prepared is None else max(1, self._prepared[0].shape[1])
        step = max(1, BLOCK // (m * depth))
        cost = getattr(self.geometry, "cost", None)

        def block(start: int):
            stop = min(n, start + step)
            x, y = (None, None) if self._prepared is None else (self._prepared[0][start:stop], self._prepared[1])
            return function(_Pairs(self._block(start, stop), f[start:stop], g, a[start:stop], b, eps, cost, x, y))

        if step >= n:
            return list(block(0))
        parts = [checkpoint(block, start, use_reentrant=False) for start in range(0, n, step)]
        return [sum(part) if k in summed else torch.cat(part) for k, part in enumerate(zip(*parts, strict=True))]

    # --- values -----------------------------------------------------------------------------------------------

    @cached_property
    def value(self) -> torch.Tensor:
        return _Value.apply(self, self._value, *self._tensors)

    @cached_property
    def dual_value(self) -> torch.Tensor:
        number = float(self._plain.dual_value)
        return _Value.apply(self, number, *self._tensors)

    @cached_property
    def value_linear(self) -> torch.Tensor:
        self._need_smooth("plans")
        if self._problem.quadratic is not None:
            return self._cast((self._masses * self._entry_costs()).sum())
        return self._cast(self._by_rows(lambda pairs: (pairs.linear(),), summed=(0,))[0])

    # --- potentials and plan ----------------------------------------------------------------------------------

    @cached_property
    def potential_a(self) -> torch.Tensor:
        return self._cast(self._both[0].reshape(self._shapes[0]))

    @cached_property
    def potential_b(self) -> torch.Tensor:
        return self._cast(self._both[1].reshape(self._shapes[1]))

    @cached_property
    def _places(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows and columns of the entries of a quadratic plan."""
        rows, columns = (np.asarray(side, dtype=np.int64) for side in (self._support.rows, self._support.columns))
        return torch.as_tensor(rows), torch.as_tensor(columns)

    def _entry_costs(self) -> torch.Tensor:
        i, j = self._places
        if self._leaves.C is not None:
            return self._leaves.C[i, j].double()
        if self._prepared is not None:
            # A stack of problems between one point and one point.
            x, y = self._prepared
            return _Pairwise.apply(self.geometry.cost, x[i, None, :], y[j, None, :])[:, 0, 0]
        return torch.as_tensor(self._backend.pair_costs(self.geometry, i.numpy(), j.numpy()))

    @cached_property
    def _masses(self) -> torch.Tensor:
        return _Entries.apply(self, *self._tensors)

    @cached_property
    def plan(self) -> torch.Tensor:
        self._need_smooth("plans")
        if self._problem.quadratic is not None:
            empty = torch.zeros(self.shape, dtype=torch.float64)
            return self._cast(empty.index_put(self._places, self._masses))
        return self._cast(self._by_rows(lambda pairs: (pairs.plan(),))[0])

    @cached_property
    def marginal_a(self) -> torch.Tensor:
        return self._cast(
            self._times(torch.ones(self.shape[1], 1, dtype=torch.float64))[:, 0].reshape(self._shapes[0])
        )

    @cached_property
    def marginal_b(self) -> torch.Tensor:
        ones = torch.ones(self.shape[0], 1, dtype=torch.float64)
        return self._cast(self.T._times(ones)[:, 0].reshape(self._shapes[1]))

    def _times(self, v: torch.Tensor) -> torch.Tensor:
        self._need_smooth("plans")
        if self._problem.quadratic is not None:
            i, j = self._places
            empty = torch.zeros(self.shape[0], v.shape[1], dtype=torch.float64)
            return empty.index_add(0, i, self._masses[:, None] * v[j])
        return self._by_rows(lambda pairs: (pairs.plan() @ v,))[0]

    def apply(self, v: Any) -> torch.Tensor:
        return self._columns(v, "v", 1, self._times)

    def apply_transpose(self, v: Any) -> torch.Tensor:
        return self.T.apply(v)

    def pull(self, v: Any) -> torch.Tensor:
        return self._columns(v, "v", 1, self._means)

    def push(self, v: Any) -> torch.Tensor:
        return self.T.pull(v)

    def _means(self, v: torch.Tensor) -> torch.Tensor:
        self._need_smooth("plans")
        if self._problem.quadratic is not None:
            moved = self._times(torch.ones(v.shape[0], 1, dtype=torch.float64))
            return self._times(v) / moved
        return self._by_rows(lambda pairs: (pairs.conditional(v),))[0]

    def _columns(self, v: Any, argument: str, side: int, product) -> torch.Tensor:
        v = v if isinstance(v, torch.Tensor) else torch.as_tensor(self._operand(v, argument, self.shape[side]))
        if v.ndim not in (1, 2) or v.shape[0] != self.shape[side]:
            raise ValueError(
                f"{argument} has shape {tuple(v.shape)}; expected ({self.shape[side]},) or ({self.shape[side]}, k)"
            )
        found = product(v.double().reshape(v.shape[0], -1))
        return self._cast(found[:, 0] if v.ndim == 1 else found)

    def barycentric_map(self, inverse: bool = False) -> torch.Tensor:
        points = self._points("a" if inverse else "b")
        leaf = self._leaves.x if inverse else self._leaves.y
        targets = torch.as_tensor(np.asarray(points)) if leaf is None else leaf
        return self.push(targets) if inverse else self.pull(targets)

    def transport(self, x_new: Any, inverse: bool = False) -> torch.Tensor:
        if inverse:
            return self.T.transport(x_new)
        plain = self._plain.transport(x_new.detach() if isinstance(x_new, torch.Tensor) else x_new)  # checks
        self._need_smooth("plans")
        if self._problem.quadratic is not None or self._prepared is None:
            raise UnsupportedError("transport(x_new) has a derivative rule for entropic point clouds only")
        cost = self.geometry.cost
        new = x_new if isinstance(x_new, torch.Tensor) else torch.as_tensor(np.asarray(x_new))
        rows = cost.prepare(new.double(), xp)
        y = self._prepared[1]
        targets = (
            y.new_tensor(np.asarray(self._points("b"))) if self._leaves.y is None else self._leaves.y.double()
        )
        g, b, eps = self._both[1], self._weights[1], self._strength()
        step = max(1, BLOCK // (y.shape[0] * max(1, y.shape[1])))

        def block(start: int):
            C = _Pairwise.apply(cost, rows[start : start + step], y)
            return _Pairs(C, g, g, b, b, eps, cost, None, None).conditional(targets)

        found = torch.cat([checkpoint(block, k, use_reentrant=False) for k in range(0, rows.shape[0], step)])
        assert found.shape == tuple(plain.shape)
        return self._cast(found)

    @property
    def T(self) -> GraphSolution:
        other = attach_solution(self._plain.T, **self._leaves.swapped._asdict())
        other._reg_factor = self._reg_factor
        if "_both" in self.__dict__:
            other.__dict__["_both"] = self._both[::-1]
        return other

    def __reduce__(self):
        # A graph does not travel: what is copied or pickled is the solution itself.
        return _plain_copy, (self._plain,)

    # --- certificates: numbers --------------------------------------------------------------------------------

    @property
    def gap(self):
        return self._plain.gap

    @property
    def bounds(self):
        return self._plain.bounds


def _plain_copy(solution: Any) -> Any:
    """What a pickle of a graph brings back."""
    return solution
