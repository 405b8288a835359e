"""The stored kernel: where there is one, when it must be made again, and that it iterates as sweeps do."""

from __future__ import annotations

import numpy as np
import pytest
from checks import check_close
from conformance_cases import case, plan
from problems import some_weights

import ot_solvers as ots
from ot_solvers.backends import registry
from ot_solvers.backends.numba import backend as numba_backend
from ot_solvers.geometry import DenseGeometry
from ot_solvers.penalties import Balanced
from ot_solvers.plans.gibbs import GibbsPlan

NUMBA = registry.get("numba")


@pytest.fixture
def dense(rng):
    """(plan at a fixed point of the columns, h)."""
    C = rng.random((60, 50))
    a, b = some_weights(rng, 60), some_weights(rng, 50)
    eps = 0.05
    g = 0.1 * rng.normal(size=50)
    with np.errstate(divide="ignore"):
        f = registry.get("reference").softmin(DenseGeometry(C), np.log(b) + g / eps, eps)
    return GibbsPlan(DenseGeometry(C), f, g, a, b, eps)


@pytest.mark.parametrize("name", ["cloud", "grid-2d", "sparse"])
def test_lazy_geometries_have_none(name):
    one = case(name, False, 0.2)
    assert NUMBA.absorb(plan(one, one.geometry, 0.0)) is None


def test_none_where_it_does_not_fit(dense, monkeypatch):
    monkeypatch.setattr(numba_backend, "STORED_BYTES", 60 * 50 * 8 - 1)
    assert NUMBA.absorb(dense) is None
    assert NUMBA.absorb(dense, "float32") is not None
    monkeypatch.undo()
    monkeypatch.setattr(numba_backend, "_free_memory", lambda: 1000)
    assert NUMBA.absorb(dense) is None


def test_it_is_the_kernel_at_its_potentials(dense):
    C = dense.geometry.array
    K = np.exp((dense.f[:, None] + dense.g - C) / dense.eps)
    for dtype in ("float64", "float32"):
        stored = NUMBA.absorb(dense, dtype)
        assert stored.K.dtype == dtype
        check_close(stored.K, K, dtype, "mass", scale=50 * K)


def test_it_is_made_again_when_columns_leave_its_reach(dense):
    stored = NUMBA.absorb(dense)
    reach = stored.REACH * dense.eps
    for column, answers in ((3, False), (0, True)):  # column 0 has no weight: it may be anywhere
        g = dense.g.copy()
        g[column] += 1.01 * reach
        assert (stored.sweep(g, dense.b, dense.a, Balanced()) is not None) is answers
    assert stored.sweep(dense.g + 0.99 * reach, dense.b, dense.a, Balanced()) is not None


def test_it_is_made_again_when_rows_leave_its_reach(dense):
    far = dense.f.copy()
    far[7] -= 90 * dense.eps
    stored = NUMBA.absorb(GibbsPlan(dense.geometry, far, dense.g, dense.a, dense.b, dense.eps))
    assert stored.sweep(dense.g, dense.b, dense.a, Balanced()) is None


def test_a_row_without_weight_or_allowed_pair_is_no_reason(dense):
    C = dense.geometry.array.copy()
    C[0] = np.inf
    assert dense.a[0] == 0
    blocked = GibbsPlan(DenseGeometry(C), np.where(dense.a > 0, dense.f, 0), dense.g, dense.a, dense.b, dense.eps)
    f, masses = NUMBA.absorb(blocked).sweep(dense.g, dense.b, dense.a, Balanced())
    assert np.isfinite(f).all()
    assert np.isfinite(masses).all()


@pytest.mark.parametrize("dtype", [pytest.param("float64", marks=pytest.mark.fast), "float32"])
@pytest.mark.parametrize("more", [{}, {"unbalanced": 0.5}, {"unbalanced": 0.5, "unbalanced_type": "tv"}], ids=str)
def test_both_kernels_solve_the_same_problem(rng, dtype, more):
    C = rng.random((120, 100)).astype(dtype)
    a, b = some_weights(rng, 120), some_weights(rng, 100)
    tol = 1e-11 if dtype == "float64" else 1e-6
    stored, log = (
        ots.solve(C, a, b, reg=0.05, tol=tol, method=ots.Sinkhorn(kernel=kernel), **more)
        for kernel in ("stored", "log")
    )
    check_close(stored.plan, log.plan, dtype, "optimum")
    check_close(stored.value, log.value, dtype, "optimum")
