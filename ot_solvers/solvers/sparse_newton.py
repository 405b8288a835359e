"""What a sparse Newton step needs: one pass over a plan, its largest entries, a direction from them.

The two ideas behind `SNS` that know nothing of its loop.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plans.gibbs import GibbsPlan

__all__ = ["Direction", "Look", "look", "newton_direction"]

#: Entries of a block of the plan: 8 MB of float64.
BLOCK_ENTRIES = 1 << 20


@dataclass(frozen=True)
class Look:
    """One pass over a plan.

    Attributes
    ----------
    f, g : (n,), (m,) arrays, cost units
    rows, columns : (n,), (m,) arrays
        Masses of the plan.
    kept : (n, m) CSR array
        Its largest entries; empty where some mass overflows.
    """

    f: np.ndarray
    g: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    kept: Any

    @property
    def mass(self) -> float:
        return float(self.rows.sum())


def look(backend, plan: GibbsPlan, count: int) -> Look:
    """Both marginals and the `count` largest positive entries of a plan, block by block of rows.

    Parameters
    ----------
    backend : Backend
    plan : GibbsPlan, shape (n, m)
    count : int >= 1

    Returns
    -------
    Look
    """
    n, m = plan.geometry.shape
    rows, columns = np.empty(n), np.zeros(m)
    values, places = np.empty(0), np.empty(0, dtype=np.int64)
    least = 0.0
    step = max(1, BLOCK_ENTRIES // max(1, m * plan.geometry.depth))
    for start in range(0, n, step):
        stop = min(n, start + step)
        # A trial step may overflow: its masses are then infinite, and that is the answer.
        with np.errstate(over="ignore", invalid="ignore"):
            block = backend.plan_rows(plan, start, stop)
            rows[start:stop] = block.sum(axis=1)
            columns += block.sum(axis=0)
        flat = block.ravel()
        larger = np.flatnonzero(flat > least)
        values = np.concatenate([values, flat[larger]])
        places = np.concatenate([places, larger + start * m])
        if values.size > count:
            best = np.argpartition(values, values.size - count)[values.size - count :]
            values, places = values[best], places[best]
            least = float(values.min())
    if not (np.isfinite(rows).all() and np.isfinite(columns).all()):
        values, places = values[:0], places[:0]
    from scipy.sparse import csr_array

    kept = csr_array((values, (places // m, places % m)), shape=(n, m))
    return Look(plan.f, plan.g, rows, columns, kept)


@dataclass(frozen=True)
class Direction:
    """A step ``(df, dg)`` in cost units, and the steps of conjugate gradients that it took."""

    df: np.ndarray
    dg: np.ndarray
    cg_steps: int


def newton_direction(
    at: Look, gradient: np.ndarray, curvature: np.ndarray, eps: float, rtol: float, max_steps: int
) -> Direction:
    """Approximate solution of ``H d = gradient`` with the sparsified Hessian by conjugate gradients.

    ``H = [[diag(P1), S], [S', diag(P'1)]] / eps + w w'``, where S holds the kept entries of P. With the exact
    diagonal H is diagonally dominant, hence semi-definite, whatever was dropped.

    Parameters
    ----------
    at : Look
    gradient : (n + m,) array
        0 where a weight is 0.
    curvature : (n + m,) array
        The vector ``w`` of the rank-one part.
    eps : float > 0, cost units
    rtol : float
        Relative residual at which to stop.
    max_steps : int
        Steps at most: a singular system is left there, with a direction that still ascends.
    """
    n = at.f.size
    kept, transposed = at.kept, at.kept.T.tocsr()
    diagonal = np.concatenate([at.rows, at.columns])

    def product(v: np.ndarray) -> np.ndarray:
        v = v.reshape(-1)
        off = np.concatenate([kept @ v[n:], transposed @ v[:n]])
        return diagonal * v + off + (eps * (curvature @ v)) * curvature

    # Masses spread over many decades, and the diagonal says how: scaled by it, points of small weight are as
    # quick as the others.
    scale = np.where(diagonal > 0, diagonal, 1.0)
    size = (diagonal.size, diagonal.size)
    steps = 0

    def count(_: Any) -> None:
        nonlocal steps
        steps += 1

    from scipy.sparse.linalg import LinearOperator, cg

    # SciPy 1.12 renamed the relative tolerance of its Krylov solvers.
    name = "rtol" if "rtol" in inspect.signature(cg).parameters else "tol"
    tolerances: dict[str, Any] = {name: rtol, "atol": 0.0}
    found, _ = cg(
        LinearOperator(size, matvec=product, dtype=np.float64),
        eps * gradient,
        M=LinearOperator(size, matvec=lambda v: v.reshape(-1) / scale, dtype=np.float64),
        maxiter=max_steps,
        callback=count,
        **tolerances,
    )
    return Direction(found[:n], found[n:], steps)
