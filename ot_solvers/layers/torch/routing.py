"""Mixture-of-experts routing by optimal transport: which tokens go to which experts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ...regularisers import SparsityConstrained
from ...validation import choice as one_of
from ...validation import positive
from .matching import match as soft_match
from .places import chosen_columns, largest, places_of, within_capacity
from .semidual import Routed, potentials

__all__ = ["Routing", "SparseRouter"]

#: Auxiliary losses by name.
AUXILIARY = ("importance", "balance", "z")


@dataclass(frozen=True)
class Routing:
    """Which tokens every expert takes, with what gates. Leading axes ``...`` are those of the tokens.

    Attributes
    ----------
    indices : (..., E, capacity) int64 tensor
        Tokens of every expert, in increasing order; -1 in places that stay empty.
    gates : (..., E, capacity) tensor
        Scores of these pairs, 0 in empty places. Gradients flow through them.
    scores : (..., T, E) tensor
        Softmax over the experts, or what was given.
    potentials : (..., T) or (..., E) tensor
        What the transport adds to the scores before the largest are taken: of tokens with expert choice, of
        experts with token choice.
    token_mask : (..., T) bool tensor
        Tokens that take part.
    logits : (..., T, E) tensor or None
        Before the softmax.
    """

    indices: torch.Tensor
    gates: torch.Tensor
    scores: torch.Tensor
    potentials: torch.Tensor
    token_mask: torch.Tensor
    logits: torch.Tensor | None = None

    @cached_property
    def mask(self) -> torch.Tensor:
        """(..., T, E) bool tensor: the pairs."""
        *leading, E, _ = self.indices.shape
        T = self.scores.shape[-2]
        taken = torch.zeros((*leading, E, T + 1), dtype=torch.bool, device=self.indices.device)
        places = torch.where(self.indices < 0, T, self.indices)
        return taken.scatter_(-1, places, True)[..., :T].mT

    @cached_property
    def load(self) -> torch.Tensor:
        """(..., E) int64 tensor: tokens of every expert."""
        return (self.indices >= 0).sum(-1)

    @cached_property
    def dropped(self) -> torch.Tensor:
        """(...) int64 tensor: tokens that no expert takes."""
        return (self.token_mask & ~self.mask.any(-1)).sum(-1)

    @cached_property
    def balance(self) -> torch.Tensor:
        """(...) tensor: mean load over the largest one, 1 where all are equal."""
        load = self.load.to(self.scores.dtype)
        return load.mean(-1) / load.amax(-1).clamp(min=1)

    @cached_property
    def entropy(self) -> torch.Tensor:
        """(...) tensor: entropy of the loads in nats, ``log E`` where all are equal."""
        load = self.load.to(self.scores.dtype)
        share = load / load.sum(-1, keepdim=True).clamp(min=1)
        return torch.special.entr(share).sum(-1)

    def dispatch(self, tokens: torch.Tensor) -> torch.Tensor:
        """(..., E, capacity, d) inputs of the experts from tokens (..., T, d); zeros in empty places."""
        self._check(tokens, "tokens", self.scores.shape[:-1])
        *leading, E, capacity = self.indices.shape
        places = self.indices.clamp(min=0).flatten(-2)
        rows = tokens.gather(-2, places[..., None].expand(*places.shape, tokens.shape[-1]))
        rows = rows.unflatten(-2, (E, capacity))
        return rows * (self.indices >= 0)[..., None]

    def combine(self, outputs: torch.Tensor) -> torch.Tensor:
        """(..., T, d) sums of outputs (..., E, capacity, d) of experts times their gates; 0 for dropped tokens."""
        self._check(outputs, "outputs", self.indices.shape)
        T, d = self.scores.shape[-2], outputs.shape[-1]
        places = self.indices.clamp(min=0).flatten(-2)
        weighted = (outputs * self.gates[..., None].to(outputs.dtype)).flatten(-3, -2)
        out = weighted.new_zeros((*places.shape[:-1], T, d))
        return out.scatter_add(-2, places[..., None].expand(*places.shape, d), weighted)

    @staticmethod
    def _check(x: torch.Tensor, argument: str, leading: Any) -> None:
        if x.shape[:-1] != torch.Size(leading):
            raise ValueError(
                f"{argument} has shape {tuple(x.shape)}; expected ({', '.join(map(str, leading))}, d)"
            )

    # --- auxiliary losses -----------------------------------------------------------------------------------

    def importance_loss(self) -> torch.Tensor:
        """Squared coefficient of variation of the experts' total scores, mean over the batch [shazeer:17]_."""
        importance = (self.scores * self.token_mask[..., None]).sum(-2)
        mean = importance.mean(-1)
        return (importance.var(-1, correction=0) / mean.square().clamp(min=1e-20)).mean()

    def balance_loss(self) -> torch.Tensor:
        """``E <share of the load, mean score>``, mean over the batch: 1 where both are equal [fedus:22]_.

        The load is that of the experts the tokens themselves would choose; the transport has levelled its own.
        """
        E = self.scores.shape[-1]
        live = self.token_mask[..., None].to(self.scores.dtype)
        tokens = live.sum(-2).clamp(min=1)
        liked = functional.one_hot(self.scores.argmax(-1), E).to(self.scores.dtype)
        share, mean = (liked * live).sum(-2) / tokens, (self.scores * live).sum(-2) / tokens
        return E * (share * mean).sum(-1).mean()

    def z_loss(self) -> torch.Tensor:
        """Mean square of the logits' log-sum-exp, which keeps them small [zoph:22]_.

        Raises
        ------
        ValueError
            Where scores were given: there are no logits.
        """
        if self.logits is None:
            raise ValueError("the z loss needs logits, but the router was given scores")
        live = self.token_mask.to(self.logits.dtype)
        return (self.logits.logsumexp(-1).square() * live).sum() / live.sum().clamp(min=1)


class SparseRouter(nn.Module):
    """Router of a mixture of experts: sparse transport from tokens to experts with equal loads.

    The similarity of tokens and experts is ``softmax(W x)``. A few steps on the semi-dual of transport with at
    most k entries per expert (or per token) and a quadratic term give potentials; with these added, every expert
    (or token) takes its largest scores. The plan is only a mask: gradients flow through the scores of the pairs.

    Parameters
    ----------
    dim : int or None
        Coordinates of a token; None where scores are always given.
    experts : int
        E.
    choice : {"expert", "token"}
        Who chooses: every expert takes exactly ``capacity`` tokens, so that loads are equal, and the potentials
        keep tokens from being taken by all or by none; or every token takes `k` experts, which have room for
        ``capacity`` tokens each.
    capacity_factor : float > 0
        ``capacity = ceil(capacity_factor * tokens / experts)``, with token choice times k; at most all tokens.
    k : int
        Experts of every token, with token choice.
    gamma : float > 0
        Strength of the quadratic term, score units per token.
    steps : int >= 0
        Of Adam, from zero; 0: the largest scores as they are.
    learning_rate : float > 0, score units
    overflow : {"reroute", "drop"}
        With token choice, where tokens go whose expert is full: to the next one they like that has room, or
        nowhere.
    auxiliary : mapping from {"importance", "balance", "z"} to float, optional
        Weights of losses that `auxiliary_loss` adds up.
    plan_gradient : bool
        Take the gates from the transport plan itself, differentiated, instead of the scores.
    match : callable, optional
        ``match(scores, reg)``: the differentiable plan (B, T, E) of total mass 1, weights uniform, that maximises
        the scores, for `plan_gradient`; `ot_solvers.layers.torch.match` by default.
    backend : {"auto", "numba", "torch"}
        Who computes the steps: torch on the device of the tokens, the default, or a compiled kernel on the CPU.

    Raises
    ------
    ValueError, TypeError
        For options out of range.

    Notes
    -----
    Scores are computed in float32 at least, also under autocast. Equal scores are taken in the order of the
    tokens. Nothing is random.

    References
    ----------
    [liu:23]_, whose settings are the defaults; expert choice is that of [zhou:22]_.

    Examples
    --------
    >>> import torch
    >>> from ot_solvers.layers.torch import SparseRouter
    >>> tokens = torch.randn(2, 64, 16, generator=torch.Generator().manual_seed(0))
    >>> routing = SparseRouter(16, 8)(tokens)
    >>> routing.indices.shape, routing.load.unique().tolist()
    (torch.Size([2, 8, 8]), [8])
    """

    def __init__(
        self,
        dim: int | None,
        experts: int,
        *,
        choice: str = "expert",
        capacity_factor: float = 1.0,
        k: int = 1,
        gamma: float = 1.0,
        steps: int = 20,
        learning_rate: float = 1e-2,
        overflow: str = "reroute",
        auxiliary: Mapping[str, float] | None = None,
        plan_gradient: bool = False,
        match: Callable[[torch.Tensor, SparsityConstrained], torch.Tensor] | None = None,
        backend: str = "auto",
    ):
        super().__init__()
        self.dim = None if dim is None else _count(dim, "dim")
        self.experts = _count(experts, "experts")
        self.choice = one_of(choice, "choice", ("expert", "token"))
        self.capacity_factor = positive(capacity_factor, "capacity_factor")
        self.k = _count(k, "k")
        if self.k > self.experts:
            raise ValueError(f"k={k!r} is more than the {experts} experts")
        if self.k > 1 and choice == "expert":
            raise ValueError(f"k={k!r} counts the experts of a token: it needs choice='token'")
        self.gamma = positive(gamma, "gamma")
        self.steps = _count(steps, "steps", least=0)
        self.learning_rate = positive(learning_rate, "learning_rate")
        self.overflow = one_of(overflow, "overflow", ("reroute", "drop"))
        self.auxiliary = {one_of(name, "auxiliary", AUXILIARY): float(w) for name, w in (auxiliary or {}).items()}
        if match is not None and not callable(match):
            raise TypeError(f"match={match!r} is not callable")
        self.plan_gradient, self.match = bool(plan_gradient), soft_match if match is None else match
        self.backend = one_of(backend, "backend", ("auto", "numba", "torch"))
        self.weight: nn.Parameter | None = None
        if self.dim is not None:
            self.weight = nn.Parameter(torch.empty(self.experts, self.dim))
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the similarities anew: normal, of variance ``1 / dim``."""
        if self.weight is not None:
            nn.init.normal_(self.weight, std=self.weight.shape[1] ** -0.5)

    def capacity(self, tokens: int) -> int:
        """Places of every expert for so many tokens."""
        wanted = self.capacity_factor * tokens * (self.k if self.choice == "token" else 1) / self.experts
        return max(1, min(tokens, math.ceil(wanted - 1e-9)))

    def forward(
        self,
        tokens: torch.Tensor | None = None,
        *,
        scores: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> Routing:
        """Route tokens.

        Parameters
        ----------
        tokens : (..., T, dim) tensor
            Each set of T tokens is routed by itself.
        scores : (..., T, E) tensor
            Instead of tokens: similarities as they are, no softmax is taken.
        mask : (..., T) or (..., T, E) bool tensor, optional
            Tokens that are there, or pairs that are allowed.

        Returns
        -------
        Routing

        Raises
        ------
        ValueError, TypeError
            For shapes that do not fit, NaN, and masks that leave an expert, or with token choice all tokens,
            nothing to take; naming the place in the batch.
        """
        logits, scores = self._scores(tokens, scores)
        token_mask, allowed = self._masks(mask, scores)
        with torch.no_grad():
            found, indices = _route(self, scores.detach(), token_mask, allowed)
        source = scores
        if self.plan_gradient:
            source = self._plan(scores, allowed)
            with torch.no_grad():
                indices = _taken(self, source.detach(), torch.zeros_like(found), token_mask, allowed)
        gates = source.mT.gather(-1, indices.clamp(min=0)) * (indices >= 0)
        return Routing(indices, gates, scores, found, token_mask, logits)

    def auxiliary_loss(self, routing: Routing) -> torch.Tensor:
        """The weighted sum of the losses in `auxiliary`; 0 where there are none."""
        losses = {"importance": routing.importance_loss, "balance": routing.balance_loss, "z": routing.z_loss}
        total = routing.scores.new_zeros(())
        for name, weight in self.auxiliary.items():
            total = total + weight * losses[name]()
        return total

    def extra_repr(self) -> str:
        given = f"dim={self.dim}, experts={self.experts}, choice={self.choice!r}"
        k = f", k={self.k}" if self.choice == "token" else ""
        return f"{given}{k}, capacity_factor={self.capacity_factor:g}, gamma={self.gamma:g}, steps={self.steps}"

    def _scores(self, tokens: torch.Tensor | None, scores: torch.Tensor | None):
        """(logits, scores), at least float32."""
        if (tokens is None) == (scores is None):
            raise TypeError("give either tokens or scores")
        if scores is not None:
            if scores.dim() < 2 or scores.shape[-1] != self.experts or 0 in scores.shape:
                raise ValueError(f"scores has shape {tuple(scores.shape)}; expected (..., T, {self.experts})")
            return None, _wide(scores)
        assert tokens is not None
        if self.weight is None:
            raise TypeError("this router was made with dim=None: give scores")
        if tokens.dim() < 2 or tokens.shape[-1] != self.dim or 0 in tokens.shape:
            raise ValueError(f"tokens has shape {tuple(tokens.shape)}; expected (..., T, {self.dim})")
        with torch.autocast(device_type=tokens.device.type, enabled=False):
            wide = _wide(tokens)
            logits = functional.linear(wide, self.weight.to(wide.dtype))
            return logits, logits.softmax(-1)

    def _masks(self, mask: torch.Tensor | None, scores: torch.Tensor):
        """Tokens that take part (..., T), and allowed pairs (..., T, E) or None."""
        if mask is None:
            return torch.ones(scores.shape[:-1], dtype=torch.bool, device=scores.device), None
        if mask.dtype != torch.bool:
            raise TypeError(f"mask has dtype {mask.dtype}; expected bool")
        if mask.shape == scores.shape[:-1]:
            return mask, mask[..., None].expand(scores.shape)
        if mask.shape == scores.shape:
            return mask.any(-1), mask
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; expected {tuple(scores.shape[:-1])} or {tuple(scores.shape)}"
        )

    def _plan(self, scores: torch.Tensor, allowed: torch.Tensor | None) -> torch.Tensor:
        """Masses of all pairs, tokens of mass 1, on the graph."""
        if allowed is not None and not bool(allowed.all()):
            raise ValueError("plan_gradient=True routes all tokens: it takes no mask")
        *leading, T, E = scores.shape
        k, side = (self.capacity(T), "columns") if self.choice == "expert" else (self.k, "rows")
        # Masses of sum 1 instead of T: the same plan, with gamma in these units.
        stacked = scores.reshape(-1, T, E)
        plan = self.match(stacked, SparsityConstrained(self.gamma * T, k, side=side))
        if plan.shape != stacked.shape:
            raise ValueError(f"match returned shape {tuple(plan.shape)}; expected {tuple(stacked.shape)}")
        return plan.reshape(scores.shape) * T


@torch.compiler.disable
def _route(router: SparseRouter, scores: torch.Tensor, token_mask: torch.Tensor, allowed: torch.Tensor | None):
    """Potentials, and the tokens of every expert; a graph break for compilers, without gradients."""
    _check_scores(scores, allowed)
    if allowed is not None:
        _check_mask(router, token_mask, allowed)
    *leading, T, E = scores.shape
    flat = scores.reshape(-1, T, E)
    if allowed is not None:
        flat = flat.masked_fill(~allowed.reshape(-1, T, E), -math.inf)
    live = token_mask.reshape(-1, T).to(flat.dtype)
    shares = (live.sum(-1, keepdim=True) / E).expand(-1, E)
    if router.choice == "expert":
        problem = Routed(flat.mT.contiguous(), shares, live, router.capacity(T), router.gamma)
    else:
        problem = Routed(flat.contiguous(), live, shares, router.k, router.gamma)
    found = potentials(problem, router.steps, router.learning_rate, router.backend)
    found = found.reshape(*leading, -1)
    return found, _taken(router, scores, found, token_mask, allowed)


def _taken(router, scores, found, token_mask, allowed) -> torch.Tensor:
    """(..., E, capacity) tokens of every expert, -1 for none, for potentials that have been found."""
    T = scores.shape[-2]
    capacity = router.capacity(T)
    liked = scores + (found[..., :, None] if router.choice == "expert" else found[..., None, :])
    if allowed is not None:
        liked = liked.masked_fill(~allowed, -math.inf)
    if router.choice == "expert":
        return places_of(largest(liked.mT, capacity), capacity)
    wanted = chosen_columns(liked, router.k)
    taken = within_capacity(wanted, scores, liked, capacity, router.k, reroute=router.overflow == "reroute")
    return places_of(taken.mT, capacity)


def _check_scores(scores: torch.Tensor, allowed: torch.Tensor | None) -> None:
    """Raise for scores that are no numbers, where they count."""
    fine = torch.isfinite(scores) if allowed is None else torch.isfinite(scores) | ~allowed
    if not bool(fine.all()):
        place = tuple((~fine).nonzero()[0].tolist())
        inside = ", ".join(map(str, place))
        raise ValueError(f"scores[{inside}] is {float(scores[place])}; expected finite numbers")


def _check_mask(router: SparseRouter, token_mask: torch.Tensor, allowed: torch.Tensor) -> None:
    """Raise for masks without any legal pair, or with an expert that has none."""
    E = allowed.shape[-1]
    alone = ~allowed.any(-2)
    empty = alone.all(-1)
    if bool(empty.any()):
        place = empty.nonzero()[0].tolist()
        raise ValueError(f"mask{place if place else ''} allows no pair: there is nothing to route")
    if router.choice == "expert" and bool(alone.any()):
        *place, expert = alone.nonzero()[0].tolist()
        raise ValueError(f"mask{place if place else ''} allows no token for expert {expert} of {E}")


def _wide(x: torch.Tensor) -> torch.Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()


def _count(value: Any, argument: str, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{argument}={value!r} must be an integer >= {least}")
    return value
