"""How much of a plan a Newton step looks at: the pattern, by dropped mass tied to the error."""

from __future__ import annotations

import numpy as np

from ..geometry import DenseGeometry
from ..plans.gibbs import GibbsPlan
from .hessian import SemiDualHessian

__all__ = ["product_seconds", "semi_dual_hessian", "sweep_for_hessian"]

#: Bound of the mass dropped from a row, in units of the marginal error. The sum of what is dropped stays far
#: below; from 0.03 to 1 the same number of steps (measured), and ever smaller patterns.
DROP = 0.3
#: A pattern with so many entries per point is always held.
FEW = 32
#: A pattern with more than this share of all pairs is better kept dense.
SPARSE_SHARE = 0.3
#: Most entries held for a cost that is not stored itself: 400 MB.
MOST_ENTRIES = 1 << 25
#: Rows from which the number of entries is estimated.
SAMPLE = 16
#: Seconds of a step per entry of a pattern (found, and used in about eight products with P and P'), and per entry
#: of a dense plan; passes of a lazy product (measured).
HELD_SECONDS, DENSE_SECONDS, LAZY_PASSES = 2e-8, 8e-9, 20


def sweep_for_hessian(plan: GibbsPlan, f, penalty, error: float, backend):
    """A sweep that keeps the entries a Hessian will want; see `Backend.sweep_entries`.

    Parameters
    ----------
    error : float
        Marginal error before the sweep: that after it will be smaller, but not by much.
    """
    limit = _limits(plan.geometry)[0]
    return backend.sweep_entries(plan, f, penalty, _threshold(plan, error), limit)


def semi_dual_hessian(
    plan: GibbsPlan, found, rows, columns, error: float, backend, core: int
) -> tuple[SemiDualHessian, int]:
    """The Hessian at a plan, as sparse as the error allows, and the passes over the cost it took.

    Parameters
    ----------
    plan : GibbsPlan
    found : CSR parts or None
        The plan's pattern, as of `sweep_for_hessian`; None where it has too many entries.
    rows, columns : (n,), (m,) arrays
        Diagonals; see `SemiDualHessian`.
    error : float
        Marginal error there, relative.
    backend : Backend
    core : int
        See `SemiDualHessian`.
    """
    n, m = plan.geometry.shape
    threshold = _threshold(plan, error)
    sparse_limit, dense_limit = _limits(plan.geometry)
    passes = 0
    product: _Dense | _Lazy | None = None
    if found is None:
        product = _Dense(plan, backend) if n * m <= dense_limit else _Lazy(plan, backend)
        passes += 1
        while found is None:
            # The preconditioner wants the largest entries only.
            threshold *= 30
            found = backend.plan_pattern(plan, threshold, sparse_limit)
            passes += 1
    from scipy import sparse

    pattern = sparse.csr_array((found[2], found[1], found[0]), shape=(n, m))
    return SemiDualHessian(pattern, product, rows, columns, (plan.a, plan.b), backend, core), passes


def product_seconds(plan: GibbsPlan, error: float, backend) -> float:
    """Rough time that a Newton step at a plan will spend on its Hessian, from a few rows of the plan."""
    n, m = plan.geometry.shape
    threshold = _threshold(plan, error)
    sparse_limit, dense_limit = _limits(plan.geometry)
    some = np.unique(np.linspace(0, n - 1, SAMPLE).astype(int))
    found = 0
    for i in some:
        found += int((backend.plan_rows(plan, i, i + 1)[0] > threshold * np.minimum(plan.a[i], plan.b)).sum())
    entries = found / some.size * n
    if entries <= sparse_limit:
        return HELD_SECONDS * entries
    if n * m <= dense_limit:
        return DENSE_SECONDS * n * m
    return LAZY_PASSES * backend.pass_seconds(plan.geometry)


def _threshold(plan: GibbsPlan, error: float) -> float:
    return DROP * min(error, 1.0) / max(plan.geometry.shape)


def _limits(geometry) -> tuple[int, int]:
    """Most entries of a pattern and of a dense plan."""
    n, m = geometry.shape
    most = max(MOST_ENTRIES, n * m) if isinstance(geometry, DenseGeometry) else MOST_ENTRIES
    return min(max(int(SPARSE_SHARE * n * m), FEW * (n + m)), most), most


class _Dense:
    """Products with a plan in memory."""

    #: Passes over the cost that products have taken.
    passes = 0

    def __init__(self, plan, backend):
        self.P = backend.plan_rows(plan, 0, plan.geometry.shape[0])

    def __call__(self, v):
        return self.P @ v

    def T(self, u):
        return u @ self.P


class _Lazy:
    """Products with a plan that is never stored: a pass over the cost each."""

    def __init__(self, plan, backend):
        self.plan = plan
        self.backend = backend
        self.passes = 0

    def __call__(self, v):
        self.passes += 1
        return self.backend.transport(self.plan, v[:, None])[:, 0]

    def T(self, u):
        self.passes += 1
        return self.backend.transport(self.plan.T, u[:, None])[:, 0]
