"""A small network on surfaces: features spread by diffusion, and mixed at every vertex."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["DiffusionNetwork"]


class DiffusionNetwork(nn.Module):
    """From signatures of the vertices of a surface to features.

    Each block lets every channel diffuse for a time that is learned, and a small perceptron look at what was there
    before and after. Nothing depends on the triangulation beyond what the Laplacian sees, nor on where the
    surface lies.

    Parameters
    ----------
    inputs : int
        Numbers per vertex that come in.
    features : int
        Numbers per vertex that come out.
    width : int
        Channels in between.
    blocks : int

    References
    ----------
    [sharp:22]_, without gradients of channels.
    """

    def __init__(self, inputs: int, features: int, width: int = 96, blocks: int = 3):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.last = nn.Linear(width, features)

    def forward(
        self, signatures: torch.Tensor, values: torch.Tensor, vectors: torch.Tensor, analysis: torch.Tensor
    ) -> torch.Tensor:
        """Features of a surface of unit area.

        Parameters
        ----------
        signatures : (n, inputs) tensor
        values : (k,) tensor
            Eigenvalues of the Laplacian.
        vectors : (n, k) tensor
            Eigenfunctions.
        analysis : (k, n) tensor
            From functions to coefficients.

        Returns
        -------
        (n, features) tensor
        """
        x = self.first(signatures)
        for block in self.blocks:
            x = block(x, values, vectors, analysis)
        return self.last(x)


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        # Times from what two neighbours see of each other to a tenth of the surface.
        self.log_time = nn.Parameter(torch.linspace(-7.0, -2.5, width))
        self.mix = nn.Sequential(
            nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, x, values, vectors, analysis):
        decay = torch.exp(-values[:, None] * self.log_time.exp())
        spread = vectors @ (decay * (analysis @ x))
        return x + self.mix(torch.cat([x, spread], dim=1))
