"""Sliced distances on the graph: derivatives by sorting permutations, and the loss."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from ... import validation as check
from ...sliced.clouds import Clouds
from ...sliced.directions import SAMPLINGS, draw, generator
from ...sliced.distance import PROJECTIONS, SlicedDistance, sliced_wasserstein
from ...sliced.line import LineTransport
from ...sliced.maximal import MaxSlicedDistance
from ...wasserstein import order_of
from .losses import check_pairs, full_precision, weights_of
from .once import first_only

__all__ = ["SlicedWassersteinLoss", "attach_line", "attach_max_sliced", "attach_sliced"]

#: Keywords of `sliced_wasserstein` that make sense for a loss.
KEYWORDS = {"control_variate", "backend"}
#: Order of the leaves of clouds.
NAMES = ("x", "y", "a", "b", "directions")


class _Projected(torch.autograd.Function):
    """A weighted sum of costs along directions, and the costs themselves."""

    @staticmethod
    def forward(ctx, clouds: Clouds, vectors: np.ndarray, costs: np.ndarray, scale: np.ndarray, found, *leaves):
        ctx.state = clouds, vectors, scale, found
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*leaves)
        dtype = _dtype(clouds.library.dtype)
        return torch.tensor(scale @ costs), torch.from_numpy(costs.copy()).to(dtype)

    @staticmethod
    @first_only
    def backward(ctx, by_sum, by_costs):
        clouds, vectors, scale, found = ctx.state
        wanted = dict(zip(NAMES, ctx.needs_input_grad[5:], strict=True))
        factor = 0.0 if by_sum is None else float(by_sum)
        if by_costs is None and found is not None:
            slopes = found
        else:
            scale = scale * factor
            if by_costs is not None:
                scale = scale + by_costs.detach().double().numpy()
            factor = 1.0
            slopes = clouds.slopes(vectors, scale, [name for name in NAMES if wanted[name]])
        # Weights count as they are, points once for all the mass.
        mass = {"a": 1.0, "b": 1.0}
        return (
            *[None] * 5,
            *(
                _as(leaf, mass.get(name, clouds.mass) * factor * getattr(slopes, name)) if wanted[name] else None
                for name, leaf in zip(NAMES, ctx.saved_tensors, strict=True)
            ),
        )


class _Lines(torch.autograd.Function):
    """Costs on lines."""

    @staticmethod
    def forward(ctx, plain: LineTransport, *leaves):
        ctx.plain = plain
        ctx.save_for_backward(*leaves)
        return torch.from_numpy(plain._costs.copy())

    @staticmethod
    @first_only
    def backward(ctx, cotangents):
        slopes, masses = ctx.plain._slopes, ctx.plain._masses[:, None]
        scale = cotangents.detach().double().numpy()[:, None]
        found = scale * masses * slopes.u, scale * masses * slopes.v, scale * slopes.f, scale * slopes.g
        return None, *(
            _as(leaf, array if array.ndim == leaf.ndim and array.shape == leaf.shape else array.sum(axis=0))
            if needed
            else None
            for leaf, array, needed in zip(ctx.saved_tensors, found, ctx.needs_input_grad[1:], strict=True)
        )


def _dtype(dtype: np.dtype) -> torch.dtype:
    return torch.float32 if dtype == np.float32 else torch.float64


def _as(leaf: torch.Tensor, gradient: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(gradient)).reshape(leaf.shape).to(leaf.dtype)


def _tensors(*leaves: Any) -> list[torch.Tensor]:
    """Leaves as tensors: an empty one where there is none."""
    return [leaf if isinstance(leaf, torch.Tensor) else torch.empty(0) for leaf in leaves]


def _root(power: torch.Tensor, number: Any, p: float) -> torch.Tensor:
    """p-th root of a power on the graph, equal to `number`; no slope at 0, where there is a kink."""
    number = torch.as_tensor(number, dtype=power.dtype)
    slope = torch.where(number > 0, number ** (1.0 - p) / p, torch.zeros_like(number))
    return number + slope * (power - power.detach())


class GraphSlicedDistance(SlicedDistance):
    """A sliced distance whose value and costs are on the graph."""

    def _attach(self, plain: SlicedDistance, x, y, a, b, directions) -> GraphSlicedDistance:
        self.__dict__.update(plain.__dict__)
        found = _Projected.apply(
            plain._clouds, plain._directions, plain._costs, plain._mean.weights, plain._slopes,
            *_tensors(x, y, a, b, directions),
        )  # fmt: skip
        self._plain, (self._power, self._each), self._given = plain, found, directions
        return self

    @property
    def value(self) -> torch.Tensor:
        """The distance."""
        return _root(self._power, self._number, self.p).to(_dtype(self._library.dtype))

    @property
    def power(self) -> torch.Tensor:
        """Its p-th power."""
        return self._power.to(_dtype(self._library.dtype))

    @property
    def per_direction(self) -> torch.Tensor:
        """(L,) p-th powers of the Wasserstein distances along each direction."""
        return self._each

    @property
    def directions(self) -> torch.Tensor:
        """(L, d) unit vectors."""
        return self._plain.directions if self._given is None else self._given

    def __reduce__(self):
        return copy.copy, (self._plain,)


class GraphMaxSlicedDistance(MaxSlicedDistance):
    """A max-sliced distance whose value is on the graph, for the direction that was found."""

    _plain: MaxSlicedDistance
    _graph: torch.Tensor

    @property
    def value(self) -> torch.Tensor:
        """The distance, root taken."""
        return _root(self._graph, float(self), self.p).to(_dtype(self._library.dtype))

    def __reduce__(self):
        return copy.copy, (self._plain,)


class GraphLineTransport(LineTransport):
    """Transport on lines whose values are on the graph."""

    _plain: LineTransport
    _graph: torch.Tensor

    @property
    def cost(self) -> torch.Tensor:
        """W_p to the p."""
        cost = self._graph.to(_dtype(self._library.dtype))
        return cost[0] if self._single else cost

    @property
    def value(self) -> torch.Tensor:
        """W_p, root taken."""
        value = _root(self._graph, self._costs ** (1.0 / self.p), self.p).to(_dtype(self._library.dtype))
        return value[0] if self._single else value

    @property
    def potentials(self):
        """Not on the graph."""
        raise TypeError(
            "potentials of wasserstein_1d have no gradients; call it under torch.no_grad(), or detach x"
        )

    def __reduce__(self):
        return copy.copy, (self._plain,)


def attach_sliced(plain: SlicedDistance, **leaves: Any) -> GraphSlicedDistance:
    """The same distance on the graph of these tensors."""
    return object.__new__(GraphSlicedDistance)._attach(plain, **leaves)


def attach_max_sliced(plain: MaxSlicedDistance, *, x, y, a, b) -> GraphMaxSlicedDistance:
    """The same distance on the graph, its direction held."""
    found = object.__new__(GraphMaxSlicedDistance)
    found.__dict__.update(plain.__dict__)
    power, _ = _Projected.apply(
        plain._clouds,
        plain._direction[None],
        np.array([plain._power]),
        np.ones(1),
        None,
        *_tensors(x, y, a, b, None),
    )
    found._plain, found._graph = plain, power
    return found


def attach_line(plain: LineTransport, *, x, y, a, b) -> GraphLineTransport:
    """The same transport, its values on the graph."""
    found = object.__new__(GraphLineTransport)
    found.__dict__.update(plain.__dict__)
    found._plain, found._graph = plain, _Lines.apply(plain, *_tensors(x, y, a, b))
    return found


class SlicedWassersteinLoss(nn.Module):
    """Sliced Wasserstein distance between point clouds; see `ot_solvers.sliced_wasserstein`.

    Parameters
    ----------
    p : float >= 1
        Order.
    n_projections : int
        Directions of each call, 100 by default.
    sampling : {"orthogonal", "random", "qmc"}
    directions : (L, d) tensor, optional
        The same directions for all calls. Without, each call draws new ones.
    seed : None, int or numpy Generator
        Of the sequence of draws; copies of the module go on from where it stands.
    power : bool
        Return the p-th power of the distance: no root, so smooth where the distance vanishes (p > 1).
    reduction : {"mean", "sum", "none"}
        Over a batch; all its pairs see the same directions.
    **keywords
        Further ones of `ot_solvers.sliced_wasserstein`: ``control_variate="harmonics"``, ``backend``.

    Notes
    -----
    Derivatives are those of sorted matchings, computed along with the value: about twice the time of the value
    alone, and memory of the size of the points whatever the number of directions.
    """

    def __init__(
        self,
        p: float = 2,
        n_projections: int | None = None,
        *,
        sampling: str = "orthogonal",
        directions: torch.Tensor | None = None,
        seed: Any = None,
        power: bool = False,
        reduction: str = "mean",
        **keywords: Any,
    ):
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction={reduction!r} is unknown; expected 'mean', 'sum' or 'none'")
        others = sorted(set(keywords) - KEYWORDS)
        if others:
            raise TypeError(f"SlicedWassersteinLoss() got an unexpected keyword argument {others[0]!r}")
        order_of(p)
        check.choice(sampling, "sampling", tuple(SAMPLINGS))
        if directions is not None and not isinstance(directions, torch.Tensor):
            raise TypeError(f"directions must be a torch tensor, not {type(directions).__name__}")
        if n_projections is not None:
            n_projections = check.count(n_projections, "n_projections")
            if directions is not None and n_projections != len(directions):
                raise ValueError(
                    f"n_projections={n_projections}, but directions has {len(directions)} rows; "
                    "give one of the two"
                )
        self.p, self.n_projections, self.sampling = p, n_projections, sampling
        self.power, self.reduction, self.keywords = power, reduction, keywords
        self.register_buffer("directions", directions)
        self._generator = generator(seed)

    def extra_repr(self) -> str:
        given = self.directions
        count = len(given) if isinstance(given, torch.Tensor) else self.n_projections or PROJECTIONS
        return f"p={self.p!r}, n_projections={count}, sampling={self.sampling!r}, power={self.power}"

    @torch.compiler.disable
    def forward(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        a: torch.Tensor | None = None,
        b: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The loss between two clouds, or between B pairs of clouds.

        Parameters
        ----------
        x : (n, d) or (B, n, d) tensor
            Source points.
        y : (m, d) or (B, m, d) tensor
            Target points.
        a : (n,) or (B, n) tensor >= 0, optional
            Source weights; uniform by default.
        b : (m,) or (B, m) tensor >= 0, optional
            Target weights.

        Returns
        -------
        0-d tensor, or (B,) tensor with ``reduction="none"`` for a batch
        """
        check_pairs(x, y)
        with full_precision(x):
            directions = self._directions(x)
            if x.ndim == 2:
                return self._once(x, y, a, b, directions)
            values = torch.stack(
                [self._once(x[k], y[k], weights_of(a, k), weights_of(b, k), directions) for k in range(x.shape[0])]
            )
        if self.reduction == "none":
            return values
        return values.mean() if self.reduction == "mean" else values.sum()

    def _directions(self, x: torch.Tensor) -> dict[str, Any]:
        """What a call says about its directions."""
        if self.directions is not None:
            return {"directions": self.directions}
        if x.ndim == 2:
            return {"n_projections": self.n_projections, "sampling": self.sampling, "seed": self._generator}
        count = self.n_projections or PROJECTIONS
        vectors = draw(count, x.shape[2], self.sampling, self._generator).vectors
        return {"directions": torch.from_numpy(vectors)}

    def _once(self, x, y, a, b, directions: dict[str, Any]) -> torch.Tensor:
        found = sliced_wasserstein(x, y, a, b, p=self.p, **directions, **self.keywords)
        if self.power:
            return found.power
        return found.value
