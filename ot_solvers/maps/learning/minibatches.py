"""Minibatches of two samples, drawn independently of each other."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Minibatches", "Sampler"]


class Sampler:
    """Indices of the points of one sample, a minibatch at a time.

    Without weights every point comes once before any comes again; with weights draws are independent.

    Parameters
    ----------
    size : int
        Points.
    batch : int
        Points of a minibatch, at most `size`.
    weights : (size,) array with sum 1, optional
    generator : numpy.random.Generator
    """

    def __init__(self, size: int, batch: int, weights: np.ndarray | None, generator: np.random.Generator):
        self.size, self.batch, self.generator = size, batch, generator
        self.cumulative = None if weights is None else np.cumsum(weights)
        self.order = np.zeros(0, dtype=np.int64)

    def draw(self) -> np.ndarray:
        """(batch,) int64 indices."""
        if self.cumulative is not None:
            uniform = self.generator.random(self.batch) * self.cumulative[-1]
            return np.searchsorted(self.cumulative, uniform, side="right").clip(max=self.size - 1)
        if self.order.size < self.batch:
            # What is left of this round is not drawn: a minibatch has no point twice.
            self.order = self.generator.permutation(self.size)
        drawn, self.order = self.order[: self.batch], self.order[self.batch :]
        return drawn

    @property
    def state(self) -> dict[str, Any]:
        """All that later draws depend on."""
        return {"order": self.order.copy(), "generator": self.generator.bit_generator.state}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.order = np.asarray(state["order"], dtype=np.int64)
        self.generator.bit_generator.state = state["generator"]


class Minibatches:
    """Pairs of independent minibatches of two samples.

    Parameters
    ----------
    sizes : (int, int)
    batch : int
    weights : pair of arrays or None
    seed : int
        Each side has a stream of its own.
    """

    def __init__(self, sizes: tuple[int, int], batch: int, weights: tuple[Any, Any], seed: int):
        streams = np.random.SeedSequence(seed).spawn(2)
        self.sides = tuple(
            Sampler(size, batch, weight, np.random.default_rng(stream))
            for size, weight, stream in zip(sizes, weights, streams)
        )

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of source points and of target points."""
        return self.sides[0].draw(), self.sides[1].draw()

    @property
    def state(self) -> list[dict[str, Any]]:
        return [side.state for side in self.sides]

    @state.setter
    def state(self, states: list[dict[str, Any]]) -> None:
        for side, state in zip(self.sides, states, strict=True):
            side.state = state
