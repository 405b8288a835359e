"""How much of a plan a Newton step looks at: the pattern, by dropped mass tied to the error."""

from __future__ import annotations

from scipy import sparse

from ..coupling import GibbsPlan
from .hessian import SemiDualHessian

__all__ = ["semi_dual_hessian"]

#: Bound of the mass dropped from a row, in units of the marginal error. The sum of what is dropped stays far below;
#: from 0.03 to 1 the same number of steps (measured), and ever smaller patterns.
DROP = 0.3
#: A pattern with so many entries per point is always held.
FEW = 32
#: A pattern with more than this share of all pairs is better kept dense.
SPARSE_SHARE = 0.3
#: Most entries of a pattern or of a dense plan held in memory.
MOST_ENTRIES = 1 << 27


def semi_dual_hessian(plan: GibbsPlan, rows, columns, error: float, backend) -> tuple[SemiDualHessian, int]:
    """The Hessian at a plan, as sparse as the error allows, and the passes over the cost it took.

    Parameters
    ----------
    plan : GibbsPlan
    rows, columns : (n,), (m,) arrays
        Diagonals; see `SemiDualHessian`.
    error : float
        Marginal error there, relative.
    backend : Backend
    """
    n, m = plan.geometry.shape
    threshold = DROP * min(error, 1.0) / max(n, m)
    limit = min(max(int(SPARSE_SHARE * n * m), FEW * (n + m)), MOST_ENTRIES)
    found = backend.plan_pattern(plan, threshold, limit)
    passes = 1
    product = None
    if found is None:
        product = _dense(plan, backend) if n * m <= MOST_ENTRIES else _Lazy(plan, backend)
        while found is None:
            # The preconditioner wants the largest entries only.
            threshold *= 30
            found = backend.plan_pattern(plan, threshold, limit)
            passes += 1
        passes += 1
    pattern = sparse.csr_array((found[2], found[1], found[0]), shape=(n, m))
    return SemiDualHessian(pattern, product, rows, columns, (plan.a, plan.b), backend), passes


class _Dense:
    """Products with a plan in memory."""

    def __init__(self, P):
        self.P = P

    def __call__(self, v):
        return self.P @ v

    def T(self, u):
        return u @ self.P


def _dense(plan, backend):
    return _Dense(backend.plan_rows(plan, 0, plan.geometry.shape[0]))


class _Lazy:
    """Products with a plan that is never stored: a pass over the cost each."""

    def __init__(self, plan, backend):
        self.plan = plan
        self.backend = backend

    def __call__(self, v):
        return self.backend.transport(self.plan, v[:, None])[:, 0]

    def T(self, u):
        return self.backend.transport(self.plan.T, u[:, None])[:, 0]
