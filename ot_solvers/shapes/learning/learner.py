"""Features learned from pairs of shapes, without knowing any correspondence, and the maps that they make."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..descriptors import ENERGIES
from .functional_maps import functional_map, resolvent_mask
from .losses import FunctionalMaps, coupling_loss, dirichlet_loss, entropic_map, soft_map, structure_loss
from .network import DiffusionNetwork
from .surfaces import Surface

__all__ = ["Learner", "Losses"]

#: Steps of the refinement of one pair, and their size.
REFINEMENT_STEPS, REFINEMENT_RATE = 15, 1e-3
#: Largest size of a step of learning. It rises over the first tenth of the steps, when maps of untrained features
#: are far off, and then falls along a cosine to a twentieth.
RATE = 4e-3
#: Largest norm of a gradient.
CLIP = 1.0
#: Directions of a sliced distance, and the weight of the loss.
DIRECTIONS, SLICED_WEIGHT = 200, 100.0
FEATURES = 96


class Losses(NamedTuple):
    """What one step has seen.

    Attributes
    ----------
    total : float
    structure : float
        That maps undo each other and keep areas.
    coupling : float
        Between functional and soft maps.
    sliced : float
        Sliced Wasserstein distances, both ways; 0 where the loss has none.
    dirichlet : float
        Relative roughness, both ways; 0 where the loss has none.
    """

    total: float
    structure: float
    coupling: float
    sliced: float
    dirichlet: float


class Learner:
    """A network with its losses.

    Parameters
    ----------
    sliced : bool
        Whether features of each shape, carried to the other one, have to be distributed as that one's own.
    smoothness : float >= 0
        Weight of the Dirichlet energy of the soft maps.
    seed : int
        Of the first weights and of the directions.
    """

    def __init__(self, *, sliced: bool, smoothness: float, seed: int):
        # Layers draw from the global generator: its state is put back.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network: nn.Module = DiffusionNetwork(ENERGIES, FEATURES)
        self.smoothness = smoothness
        self.sliced = _sliced_loss(seed) if sliced else None
        self.mean: torch.Tensor | None = None
        self.deviation: torch.Tensor | None = None

    def fit(self, pairs: Sequence[tuple[Surface, Surface]], steps: int) -> Iterator[Losses]:
        """Learn from pairs in turn, one at each step.

        Parameters
        ----------
        pairs : sequence of (Surface, Surface)
        steps : int

        Yields
        ------
        Losses
            Before each step.
        """
        if self.mean is None:
            self._measure([surface for pair in pairs for surface in pair])
        optimiser = torch.optim.Adam(self.network.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _relative_rate(step / max(1, steps)))
        for step in range(steps):
            yield self._step(pairs[step % len(pairs)], optimiser, self._soft_map)
            schedule.step()

    def refined(
        self, pair: tuple[Surface, Surface], steps: int = REFINEMENT_STEPS
    ) -> tuple[Learner, Iterator[Losses]]:
        """A copy that adapts to one pair, with soft maps from an entropic transport plan.

        Parameters
        ----------
        pair : (Surface, Surface)
        steps : int

        Returns
        -------
        learner : Learner
        losses : iterator of Losses
            Going through it is what does the steps.
        """
        other = copy.copy(self)
        other.network = copy.deepcopy(self.network)

        def run() -> Iterator[Losses]:
            optimiser = torch.optim.Adam(other.network.parameters(), REFINEMENT_RATE)
            for _ in range(steps):
                yield other._step(pair, optimiser, other._entropic_map)

        return other, run()

    def features(self, surface: Surface) -> torch.Tensor:
        """(n, c) features of a surface."""
        if self.mean is None or self.deviation is None:
            raise RuntimeError("the network has seen no shapes yet")
        signatures = (torch.as_tensor(surface.signatures).float() - self.mean) / self.deviation
        return self.network(signatures, surface.values, surface.vectors, surface.analysis)

    def functional_maps(self, pair: tuple[Surface, Surface]) -> tuple[np.ndarray, np.ndarray]:
        """Functional maps from x to y and from y to x, float64."""
        with torch.no_grad():
            maps = self._maps(pair, self._features(pair))
        return maps.xy.double().numpy(), maps.yx.double().numpy()

    def _measure(self, surfaces: Sequence[Surface]) -> None:
        signatures = np.concatenate([surface.signatures for surface in surfaces])
        self.mean = torch.as_tensor(signatures.mean(0)).float()
        self.deviation = torch.as_tensor(signatures.std(0)).float()

    def _features(self, pair: tuple[Surface, Surface]) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of both shapes, of one scale: the weights of the losses mean the same at every step."""
        x, y = (self.features(surface) for surface in pair)
        scale = torch.cat([x, y]).square().mean().rsqrt()
        return x * scale, y * scale

    def _maps(self, pair: tuple[Surface, Surface], features: tuple[torch.Tensor, torch.Tensor]) -> FunctionalMaps:
        x, y = pair
        A, B = (surface.analysis @ f for surface, f in zip(pair, features))
        return FunctionalMaps(
            functional_map(A, B, resolvent_mask(x.values, y.values)),
            functional_map(B, A, resolvent_mask(y.values, x.values)),
        )

    def _soft_map(self, pair, features) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = (nn.functional.normalize(f, dim=1) for f in features)
        return soft_map(x, y)

    def _entropic_map(self, pair, features) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = (nn.functional.normalize(f, dim=1) for f in features)
        return entropic_map(x, y, pair[0].areas, pair[1].areas)

    def _step(self, pair: tuple[Surface, Surface], optimiser, soften: Callable) -> Losses:
        features = self._features(pair)
        maps = self._maps(pair, features)
        soft = soften(pair, features)
        nothing = features[0].new_zeros(())
        structure, coupling = structure_loss(maps), coupling_loss(maps, pair, soft)
        sliced = dirichlet = nothing
        if self.sliced is not None:
            # Of unit length, as soft maps see them: a distance between distributions on a sphere.
            x, y = (nn.functional.normalize(f, dim=1) for f in features)
            sliced = self.sliced(x, soft[0] @ y) + self.sliced(y, soft[1] @ x)
        if self.smoothness > 0:
            dirichlet = dirichlet_loss(pair, soft)
        total = structure + coupling + SLICED_WEIGHT * sliced + self.smoothness * dirichlet
        optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        optimiser.step()
        return Losses(*(float(z.detach()) for z in (total, structure, coupling, sliced, dirichlet)))


def _relative_rate(done: float) -> float:
    """Size of a step when a share of the steps is done, relative to the largest."""
    return min(1.0, 0.1 + 10 * done) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))


def _sliced_loss(seed: int) -> nn.Module:
    from ...layers.torch import SlicedWassersteinLoss

    return SlicedWassersteinLoss(p=2, n_projections=DIRECTIONS, sampling="random", seed=seed)
