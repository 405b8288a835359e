"""What the network and the losses need to know of a surface, as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from ...lazy import cached_property
from ..descriptors import wave_kernel_signature
from ..laplacian import Eigenbasis, cotangent_laplacian, eigenbasis
from ..mesh import Mesh

__all__ = ["Surface"]


@dataclass(frozen=True, eq=False)
class Surface:
    """A shape of unit area.

    Attributes
    ----------
    mesh : Mesh
    basis : Eigenbasis
        Of all frequencies that were asked for, float64.
    signatures : (n, e) float64 array
        Wave kernel signatures.
    values, vectors, analysis : (k,), (n, k), (k, n) tensors
        The frequencies that are learned with.
    areas : (n,) tensor
        Of sum 1.
    """

    mesh: Mesh
    basis: Eigenbasis
    signatures: np.ndarray
    values: torch.Tensor
    vectors: torch.Tensor
    analysis: torch.Tensor
    areas: torch.Tensor

    @classmethod
    def of(cls, mesh: Mesh, learned: int, wanted: int, seen: int) -> Surface:
        """With as many frequencies as are needed.

        Parameters
        ----------
        mesh : Mesh
            Of unit area.
        learned : int
            Frequencies to learn with.
        wanted : int
            Of `basis`, at least `learned`.
        seen : int
            Of signatures.
        """
        full = eigenbasis(mesh, max(wanted, seen))
        low = full.first(learned)
        return cls(
            mesh=mesh,
            basis=full.first(wanted),
            signatures=wave_kernel_signature(full.first(seen)),
            values=_tensor(low.values),
            vectors=_tensor(low.vectors),
            analysis=_tensor(low.analysis),
            areas=_tensor(full.masses / full.masses.sum()),
        )

    @cached_property
    def vertices(self) -> torch.Tensor:
        """(n, 3) coordinates."""
        return _tensor(self.mesh.vertices)

    @cached_property
    def edges(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(e,) starts, (e,) ends and (e,) cotangent weights: the Dirichlet energy is ``sum(w (f_i - f_j)^2)``."""
        L = sparse.triu(cotangent_laplacian(self.mesh), 1).tocoo()
        return torch.as_tensor(L.row).long(), torch.as_tensor(L.col).long(), _tensor(-L.data)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float32)
