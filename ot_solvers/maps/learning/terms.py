"""Terms of the loss of a transport map, with their derivatives by the images of the points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ...costs import Cost
from .transport import Memory, Pair, paired

__all__ = ["CallableFit", "EnergyFit", "EntropicFit", "GapTerm", "SinkhornFit", "Step", "Term", "mmd_loss"]


class Step(NamedTuple):
    """What a step of training sees.

    Attributes
    ----------
    x, y, z : (n, d) arrays
        Source points, target points and images of the source points.
    target, image : (n, d) tensors
        The last two, off the graph, on the device of the network.
    i, j : (n,) int arrays
        Places of the source and of the target points in their samples.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    target: torch.Tensor
    image: torch.Tensor
    i: np.ndarray
    j: np.ndarray


class Term:
    """A term of the loss."""

    def pairs(self, step: Step, value: bool) -> list[Pair]:
        """Transport problems to solve: for the derivative, and more for the `value`."""
        return []

    def finish(self, step: Step, solved: Sequence[Any], value: bool) -> tuple[float | None, torch.Tensor]:
        """The value, None where it was not asked for, and (n, d) derivatives by the images."""
        raise NotImplementedError

    @property
    def memories(self) -> list[Memory]:
        """What is kept from step to step."""
        return []


def _as_image(gradient: np.ndarray, step: Step) -> torch.Tensor:
    return torch.as_tensor(gradient).to(step.image)


class EntropicFit(Term):
    """A loss of images and targets that is made of entropic transport costs.

    Parameters
    ----------
    eps : float > 0
        Strength of the entropy, cost units.
    sizes : (int, int)
        Points of both samples.
    """

    def __init__(self, eps: float, sizes: tuple[int, int]):
        self.eps = eps
        self.across, self.images, self.targets = Memory(sizes[1]), Memory(sizes[0]), Memory(sizes[1])

    @property
    def memories(self):
        return [self.across, self.images, self.targets]


class SinkhornFit(EntropicFit):
    """Sinkhorn divergence between images and targets."""

    def pairs(self, step, value):
        found = [
            Pair(step.z, step.y, self.eps, self.across, step.j),
            Pair(step.z, step.z, self.eps, self.images, step.i),
        ]
        if value:
            found.append(Pair(step.y, step.y, self.eps, self.targets, step.j))
        return found

    def finish(self, step, solved, value):
        # The images stand on both sides of their own problem: half the value has the derivative by one side.
        gradient = solved[0].slopes() - solved[1].slopes()
        total = None
        if value:
            total = solved[0].value - 0.5 * (solved[1].value + solved[2].value)
        return total, _as_image(gradient, step)


class EnergyFit(EntropicFit):
    """Minibatch energy distance with entropic transport costs between halves of the minibatches [salimans:18]_.

    ``OT(z, y) - OT(z, z') / 2 - OT(y, y') / 2`` with independent halves. Its mean is smallest where the laws are
    equal, whatever the size of the minibatches; that of the divergence between minibatches is smallest for images
    drawn together.
    """

    def pairs(self, step, value):
        half = len(step.z) // 2
        z, i = (step.z[:half], step.z[half:]), (step.i[:half], step.i[half:])
        y, j = (step.y[:half], step.y[half:]), (step.j[:half], step.j[half:])
        found = [Pair(one, y[k], self.eps, self.across, j[k]) for one in z for k in (0, 1)]
        found.append(Pair(z[0], z[1], self.eps, self.images, i[1]))
        if value:
            found.append(Pair(y[0], y[1], self.eps, self.targets, j[1]))
        return found

    def finish(self, step, solved, value):
        first = 0.25 * (solved[0].slopes() + solved[1].slopes()) - 0.5 * solved[4].slopes()
        second = 0.25 * (solved[2].slopes() + solved[3].slopes()) - 0.5 * solved[4].slopes(targets=True)
        total = None
        if value:
            across = sum(one.value for one in solved[:4])
            total = 0.25 * across - 0.5 * (solved[4].value + solved[5].value)
        return total, _as_image(np.concatenate([first, second]), step)


class GapTerm(Term):
    """Monge gap between points and images.

    Parameters
    ----------
    cost : Cost
    estimator : {"exact", "debiased", "entropic"}
    eps : float or None
        Strength of the entropy, cost units; None for ``"exact"``.
    size : int
        Points of the source sample.
    """

    def __init__(self, cost: Cost, estimator: str, eps: float | None, size: int):
        self.cost, self.estimator = cost, estimator
        self.eps = None if estimator == "exact" else eps
        self.across, self.images, self.points = Memory(size), Memory(size), Memory(size)

    @property
    def memories(self):
        return [self.across, self.images, self.points]

    def pairs(self, step, value):
        found = [Pair(step.x, step.z, self.eps, self.across, step.i)]
        if self.estimator == "debiased":
            found.append(Pair(step.z, step.z, self.eps, self.images, step.i))
            if value:
                found.append(Pair(step.x, step.x, self.eps, self.points, step.i))
        return found

    def finish(self, step, solved, value):
        displacement, slopes = paired(self.cost, step.x, step.z)
        gradient = slopes - solved[0].slopes(targets=True)
        total = displacement - solved[0].value if value else None
        if self.estimator == "debiased":
            # As in `SinkhornFit`: half of each has the derivative by one of its two equal arguments.
            mean, still = paired(self.cost, step.z, step.z)
            gradient += solved[1].slopes() - still
            if total is not None:
                source, _ = paired(self.cost, step.x, step.x)
                total += 0.5 * (solved[1].value + solved[2].value - mean - source)
        return total, _as_image(gradient, step)


class CallableFit(Term):
    """A loss that PyTorch differentiates.

    Parameters
    ----------
    function : callable
        From images (n, d) and targets (n, d), tensors, to a 0-d tensor.
    """

    def __init__(self, function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]):
        self.function = function

    def finish(self, step, solved, value):
        image = step.image.clone().requires_grad_()
        with torch.enable_grad():
            loss = self.function(image, step.target)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            found = tuple(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise TypeError(f"fitting returned {found}; expected a tensor with one number")
        if not loss.requires_grad:
            raise ValueError("fitting returned a number that does not depend on the images (no gradient)")
        (gradient,) = torch.autograd.grad(loss.reshape(()), image, allow_unused=True)
        if gradient is None:
            raise ValueError("fitting returned a number that does not depend on the images (no gradient)")
        return float(loss.detach()) if value else None, gradient


#: Widths of the kernels of the mean discrepancy, relative to the typical distance.
WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


def mmd_loss(unit: float) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Squared maximum mean discrepancy [gretton:12]_ with a sum of Gaussian kernels.

    Parameters
    ----------
    unit : float > 0
        Typical distance between points.
    """
    rates = [0.5 / (width * unit) ** 2 for width in WIDTHS]

    def mean_kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        squares = (x[:, None, :] - y[None, :, :]).square().sum(-1)
        return sum((torch.exp(-rate * squares) for rate in rates), torch.zeros_like(squares)).mean() / len(rates)

    def loss(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return mean_kernel(images, images) + mean_kernel(targets, targets) - 2 * mean_kernel(images, targets)

    return loss
