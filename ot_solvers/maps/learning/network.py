"""Networks that move points."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from ...validation import choice, count

__all__ = ["ACTIVATIONS", "OnSphere", "ResidualMLP"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


class ResidualMLP(nn.Module):
    """An affine map and what a multilayer perceptron adds to it: ``T(x) = A x + t + s MLP((x - m) / s)``.

    The last layer of the perceptron begins at 0, so that training begins at the affine map.

    Parameters
    ----------
    d : int >= 1
        Coordinates of the points.
    hidden : sequence of int
        Widths of the hidden layers; none leave the affine map.
    activation : {"gelu", "relu", "silu", "softplus", "tanh"}
    affine : bool
        Whether ``A`` and ``t`` are learned; else they stay as they are.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self, d: int, hidden: Sequence[int] = (64, 64, 64), activation: str = "gelu", affine: bool = True
    ):
        super().__init__()
        choice(activation, "activation", tuple(ACTIVATIONS))
        widths = [count(d, "d"), *(count(width, "hidden") for width in hidden)]
        self.affine = nn.Linear(d, d)
        with torch.no_grad():
            self.affine.weight.copy_(torch.eye(d))
            self.affine.bias.zero_()
        self.affine.requires_grad_(affine)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            linear = nn.Linear(before, after)
            # Signals keep their size from layer to layer [lecun:12]_: PyTorch's own start makes them fade.
            nn.init.normal_(linear.weight, std=before**-0.5)
            nn.init.zeros_(linear.bias)
            layers += [linear, ACTIVATIONS[activation]()]
        if layers:
            last = nn.Linear(widths[-1], d)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            layers.append(last)
        self.perceptron = nn.Sequential(*layers)
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("scale", torch.ones(()))

    def begin_at(self, matrix: torch.Tensor, offset: torch.Tensor) -> None:
        """Set the affine map to ``x -> matrix x + offset``."""
        with torch.no_grad():
            self.affine.weight.copy_(matrix)
            self.affine.bias.copy_(offset)

    def standardise(self, mean: torch.Tensor, scale: float) -> None:
        """Centre and unit of length of what the perceptron sees and adds."""
        with torch.no_grad():
            self.mean.copy_(mean)
            self.scale.fill_(scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, d) images of points x (n, d)."""
        moved = self.affine(x)
        if len(self.perceptron):
            moved = moved + self.scale * self.perceptron((x - self.mean) / self.scale)
        return moved


class OnSphere(nn.Module):
    """A network whose images are divided by their norms.

    Parameters
    ----------
    module : nn.Module
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, d) unit vectors."""
        return nn.functional.normalize(self.module(x), dim=-1)
