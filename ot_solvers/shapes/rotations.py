"""Rotations drawn at random."""

from __future__ import annotations

import numpy as np

__all__ = ["random_rotation"]


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """(3, 3) rotation matrix, uniformly distributed: that of a random unit quaternion."""
    q = rng.normal(size=4)
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
