"""Weights of conditional flow matching on independent pairs, and what they do to the marginals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...validation import positive
from .points import PairCost, cost_matrix, flat_points, paired_cost, read_pair_cost

__all__ = [
    "FlowPotentials",
    "KappaChoice",
    "WeightDiagnostics",
    "choose_kappa",
    "sweep_potentials",
    "wcfm_weights",
    "weight_diagnostics",
]

#: Multiples of sqrt(d) that `choose_kappa` tries.
KAPPAS = tuple(2.0 ** (k / 4) for k in range(-12, 17))


@torch.no_grad()
def wcfm_weights(
    x0: torch.Tensor,
    x1: torch.Tensor,
    *,
    eps: float | None = None,
    kappa: float = 1.0,
    cost: PairCost = "euclidean",
    potentials: Any = None,
    normalise: bool = False,
) -> torch.Tensor:
    """Weights ``exp((f(x0_i) + g(x1_i) - c(x0_i, x1_i)) / eps)`` of independent pairs.

    Multiplied to the loss of conditional flow matching, ``w_i |v(t, x_t) - (x1_i - x0_i)|^2``, they turn the
    independent coupling into an entropic transport plan, and nothing is solved. Without potentials its marginals
    are tilted: see `weight_diagnostics`. With those of `sweep_potentials` they are not.

    Parameters
    ----------
    x0, x1 : (n, ...) tensors
        Pairs, drawn independently.
    eps : float > 0, cost units, optional
        That of the potentials by default, else ``kappa * sqrt(d)``, d the number of coordinates.
    kappa : float > 0
        See `choose_kappa`.
    cost : {"euclidean", "sqeuclidean", "cityblock", "chebyshev"} or callable
        A function maps tensors (..., d) and (..., d) to (...).
    potentials : FlowPotentials or (f, g), optional
        A pair of (n,) tensors, cost units, or of functions of (n, d) points.
    normalise : bool
        Divide by their mean: the size of the loss then does not depend on eps, and nothing underflows.

    Returns
    -------
    (n,) tensor
        Off the graph, at least float32, on the device of the points.

    Raises
    ------
    ValueError, TypeError
        For bad input, naming it.

    References
    ----------
    [calvoordonez:25]_.
    """
    first, second = _two_batches(x0, x1)
    if first.shape[0] != second.shape[0]:
        raise ValueError(f"x0 has {first.shape[0]} points and x1 {second.shape[0]}; expected pairs")
    cost, eps = read_pair_cost(cost), _eps(eps, kappa, first.shape[1], potentials)
    exponent = -paired_cost(first, second, cost)
    if potentials is not None:
        f, g = _at(potentials, first, second)
        exponent = exponent + f + g
    exponent = exponent / eps
    if normalise:
        exponent = exponent - exponent.logsumexp(0) + math.log(exponent.numel())
    return exponent.exp()


@dataclass(frozen=True)
class WeightDiagnostics:
    """What weights do to the marginals, and how many pairs they leave.

    Attributes
    ----------
    eps : float, cost units
    tilt_source, tilt_target : float
        ``Var(tau) / E[tau]^2`` of ``tau(x) = E_y w(x, y)``: the mean squared error of the density that is trained
        on, relative to the true one. 0 where the marginal is right.
    effective_share : float
        ``E[w]^2 / E[w^2]`` over independent pairs: what share of a batch the variance of the loss is that of.
    """

    eps: float
    tilt_source: float
    tilt_target: float
    effective_share: float

    @property
    def tilt(self) -> float:
        """The larger one."""
        return max(self.tilt_source, self.tilt_target)


@torch.no_grad()
def weight_diagnostics(
    x0: torch.Tensor,
    x1: torch.Tensor,
    *,
    eps: float | None = None,
    kappa: float = 1.0,
    cost: PairCost = "euclidean",
    potentials: Any = None,
) -> WeightDiagnostics:
    """Tilt and effective share of `wcfm_weights`, over all pairs of two samples.

    Parameters
    ----------
    x0, x1 : (n, ...), (m, ...) tensors
        A thousand points each say enough; all n m costs are formed.
    eps, kappa, cost, potentials
        See `wcfm_weights`.
    """
    first, second = _two_batches(x0, x1)
    cost, eps = read_pair_cost(cost), _eps(eps, kappa, first.shape[1], potentials)
    C = cost_matrix(first, second, cost)
    if potentials is not None:
        f, g = _at(potentials, first, second)
        C = C - f[:, None] - g[None, :]
    return _diagnostics(C, eps)


@dataclass(frozen=True)
class KappaChoice:
    """A curve of tilts, and the elbow in it.

    Attributes
    ----------
    kappa : float
        At the elbow: beyond, a larger one makes the marginals little better.
    kappas : tuple of float
    diagnostics : tuple of WeightDiagnostics
        One each.
    """

    kappa: float
    kappas: tuple[float, ...]
    diagnostics: tuple[WeightDiagnostics, ...]


@torch.no_grad()
def choose_kappa(
    x0: torch.Tensor, x1: torch.Tensor, *, kappas: Sequence[float] = KAPPAS, cost: PairCost = "euclidean"
) -> KappaChoice:
    """The elbow of the tilt over ``kappa``, where ``eps = kappa * sqrt(d)``.

    A small eps gives short, straight pairs; it also tilts the marginals, and leaves few pairs that count. The
    elbow is the point of the curve of ``log kappa`` and tilt that is farthest below the chord between its ends,
    both scaled to [0, 1]. A tilt above 1 counts as 1: laws that are lost cannot be lost more.

    Parameters
    ----------
    x0, x1 : (n, ...), (m, ...) tensors
    kappas : sequence of at least three floats > 0
    cost
        See `wcfm_weights`.

    Returns
    -------
    KappaChoice

    References
    ----------
    The elbow is that of [satopaa:11]_.
    """
    first, second = _two_batches(x0, x1)
    tried = tuple(sorted({positive(kappa, "kappas") for kappa in kappas}))
    if len(tried) < 3:
        raise ValueError(f"kappas={tuple(kappas)!r} must hold at least three values")
    C = cost_matrix(first, second, read_pair_cost(cost))
    root = math.sqrt(first.shape[1])
    found = tuple(_diagnostics(C, kappa * root) for kappa in tried)
    tilts = torch.tensor([min(each.tilt, 1.0) for each in found], dtype=torch.float64)
    places = torch.tensor(tried, dtype=torch.float64).log()
    along = (places - places[0]) / (places[-1] - places[0])
    drop = tilts[0] - tilts[-1]
    fallen = (tilts[0] - tilts) / drop if drop > 0 else along
    best = int((fallen - along).argmax())
    return KappaChoice(tried[best], tried, found)


@dataclass(frozen=True)
class FlowPotentials:
    """Potentials of two laws, from samples of them: what makes the weights of `wcfm_weights` unbiased.

    ``g(y) = -eps log mean_i exp((f_i - c(x_i, y)) / eps)`` over the source sample, and ``f(x)`` likewise from the
    potentials of the target sample one update before: on the samples themselves these are `f` and `g`.

    Attributes
    ----------
    eps : float, cost units
    cost : str or callable
    x, y : (n, d), (m, d) tensors
        The samples.
    f, g : (n,), (m,) tensors, cost units
    before : (m,) tensor
        What `f` was made from.
    """

    eps: float
    cost: Any
    x: torch.Tensor
    y: torch.Tensor
    f: torch.Tensor
    g: torch.Tensor
    before: torch.Tensor

    def source(self, x: torch.Tensor) -> torch.Tensor:
        """(k,) potential at source points (k, ...)."""
        points = flat_points(x, "x").to(self.y.dtype)
        return _softmin(cost_matrix(points, self.y, self.cost), self.before, self.eps)

    def target(self, y: torch.Tensor) -> torch.Tensor:
        """(k,) potential at target points (k, ...)."""
        points = flat_points(y, "y").to(self.x.dtype)
        return _softmin(cost_matrix(self.x, points, self.cost).mT, self.f, self.eps)


@torch.no_grad()
def sweep_potentials(
    x0: torch.Tensor,
    x1: torch.Tensor,
    *,
    eps: float | None = None,
    kappa: float = 1.0,
    cost: PairCost = "euclidean",
    sweeps: int = 5,
) -> FlowPotentials:
    """Potentials after a few Sinkhorn sweeps between two samples, once before training.

    Parameters
    ----------
    x0, x1 : (n, ...), (m, ...) tensors
        A few thousand points of each law; all n m costs are formed, on their device.
    eps, kappa, cost
        As `wcfm_weights` is given them.
    sweeps : int >= 1
        Both potentials are updated in each. At the large eps of flow matching a few are enough:
        `weight_diagnostics` says how much tilt they leave.

    Returns
    -------
    FlowPotentials
    """
    first, second = _two_batches(x0, x1)
    cost, eps = read_pair_cost(cost), _eps(eps, kappa, first.shape[1])
    if isinstance(sweeps, bool) or not isinstance(sweeps, int) or sweeps < 1:
        raise ValueError(f"sweeps={sweeps!r} must be an integer >= 1")
    C = cost_matrix(first, second, cost)
    g = C.new_zeros(C.shape[1])
    for _ in range(sweeps):
        before, f = g, _softmin(C, g, eps)
        g = _softmin(C.mT, f, eps)
    return FlowPotentials(eps, cost, first, second, f, g, before)


def _softmin(C: torch.Tensor, g: torch.Tensor, eps: float) -> torch.Tensor:
    """``-eps log mean_j exp((g_j - C_ij) / eps)``."""
    return -eps * (((g - C) / eps).logsumexp(-1) - math.log(C.shape[-1]))


def _diagnostics(C: torch.Tensor, eps: float) -> WeightDiagnostics:
    """Of all pairs with costs C, potentials taken off."""
    # Ratios of moments only: the largest weight may be anything.
    w = ((C.min() - C).double() / eps).exp()
    source, target = w.mean(1), w.mean(0)
    mean = float(w.mean())
    return WeightDiagnostics(
        eps,
        float(source.var(correction=0)) / mean**2,
        float(target.var(correction=0)) / mean**2,
        mean**2 / float(w.square().mean()),
    )


def _two_batches(x0: torch.Tensor, x1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = flat_points(x0, "x0"), flat_points(x1, "x1")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"x0 has {first.shape[1]} coordinates and x1 {second.shape[1]}; expected the same number")
    dtype = torch.promote_types(first.dtype, second.dtype)
    return first.to(dtype), second.to(dtype)


def _eps(eps: float | None, kappa: float, d: int, potentials: Any = None) -> float:
    """The eps that was meant; that of potentials where they have one."""
    given = None if eps is None else positive(eps, "eps")
    if isinstance(potentials, FlowPotentials):
        if given is not None and given != potentials.eps:
            raise ValueError(f"eps={eps!r}, but the potentials were made for eps={potentials.eps!r}")
        return potentials.eps
    return positive(kappa, "kappa") * math.sqrt(d) if given is None else given


def _at(potentials: Any, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Potentials at some points."""
    if isinstance(potentials, FlowPotentials):
        return potentials.source(x), potentials.target(y)
    if not isinstance(potentials, (tuple, list)) or len(potentials) != 2:
        raise TypeError(f"potentials={type(potentials).__name__} must be FlowPotentials or a pair (f, g)")
    found = []
    for k, (given, points) in enumerate(zip(potentials, (x, y))):
        values = given(points) if callable(given) else torch.as_tensor(given, device=points.device)
        values = values.detach().to(points.dtype)
        if values.shape != points.shape[:1]:
            raise ValueError(f"potentials[{k}] has shape {tuple(values.shape)}; expected ({points.shape[0]},)")
        found.append(values)
    return found[0], found[1]
