"""Many assignments at once: least costs, by SciPy, on every kind of matrix that ties or spreads."""

from __future__ import annotations

import numpy as np
import pytest
from checks import check_same_bits

import ot_solvers as ots
from ot_solvers.backends import registry

KINDS = {
    "random": lambda rng, n: rng.random((3, n, n)),
    "few values": lambda rng, n: rng.integers(4, size=(3, n, n)).astype(float),
    "line": lambda rng, n: np.abs(rng.random((3, n, 1)) - rng.random((3, 1, n))) ** 2,
    "constant": lambda rng, n: np.full((3, n, n), 2.0),
    "negative": lambda rng, n: -1e6 * rng.random((3, n, n)),
    "products": lambda rng, n: rng.random((3, n, 1)) * rng.random((3, 1, n)),
    "one huge": lambda rng, n: np.where(rng.random((3, n, n)) < 0.1, 1e12, rng.random((3, n, n))),
    "float32": lambda rng, n: rng.random((3, n, n)).astype(np.float32),
}


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 65, 150])
@pytest.mark.parametrize("kind", KINDS)
def test_costs_are_least(n, kind):
    costs = KINDS[kind](np.random.default_rng(n), n)
    costs.setflags(write=False)
    found = registry.get("numba").assignments(costs)
    plain = registry.get("reference").assignments(costs)
    assert found.dtype == plain.dtype == np.int64
    assert found.shape == plain.shape == (3, n)
    for C, columns, expected in zip(costs.astype(np.float64), found, plain):
        assert (np.sort(columns) == np.arange(n)).all()
        least = C[np.arange(n), expected].sum()
        # Rounding is that of the largest costs, which potentials are made of.
        slack = 1e-15 * np.abs(C).max() * n
        assert C[np.arange(n), columns].sum() == pytest.approx(least, rel=1e-12, abs=max(slack, 1e-12))


def test_problems_are_solved_one_by_one():
    """Neither their number nor the threads change a bit; views are read as they are."""
    costs = np.random.default_rng(0).random((6, 40, 80))[:, :, ::2]
    backend = registry.get("numba")
    together = backend.assignments(costs)
    for k in range(6):
        check_same_bits(backend.assignments(costs[k : k + 1])[0], together[k])
    before = ots.get_num_threads()
    try:
        ots.set_num_threads(1)
        check_same_bits(backend.assignments(costs), together)
    finally:
        ots.set_num_threads(before)


def test_no_problem_at_all():
    assert registry.get("numba").assignments(np.empty((0, 4, 4))).shape == (0, 4)
    assert registry.get("reference").assignments(np.empty((0, 4, 4))).shape == (0, 4)
