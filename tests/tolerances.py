"""The one table of tolerances: how far a computed quantity may be from the true one, by dtype.

Every number is *relative to a scale that the check names* (see `checks.check_close`): the size of the
exponents for what comes out of one pass over the cost, the size of the quantity itself for the rest.
They are rounding, not convergence: a few hundred units in the last place, where the quantity is a sum of
that many. What an unconverged answer may still miss is the caller's ``tol``, not an entry here.
"""

from __future__ import annotations

import numpy as np

__all__ = ["TOLERANCES", "tolerance"]

TOLERANCES: dict[str, dict[str, float]] = {
    "float64": {
        "cost": 1e-14,  # c(x, y), relative to the largest cost
        "potential": 2e-14,  # one soft minimum, relative to the largest |f|, |g|, |C|
        "mass": 2e-14,  # entries, marginals, products of a plan, relative to them and to max|f, g, C| / eps
        "gradient": 1e-13,  # sum_j P_ij grad c, as "mass"
        "value": 1e-12,  # objectives: sums of terms that cancel
        "derivative": 1e-6,  # against central finite differences of step 1e-5
        "optimum": 1e-8,  # two answers that both ended below tol = 1e-10
    },
    "float32": {
        "cost": 1e-6,
        "potential": 2e-6,
        "mass": 4e-6,
        "gradient": 1e-5,
        "value": 1e-5,
        "derivative": 1e-3,
        "optimum": 1e-4,
    },
}


def tolerance(dtype, quantity: str) -> float:
    """Entry of the table; ``KeyError`` for a quantity or dtype without one."""
    return TOLERANCES[np.dtype(dtype).name][quantity]
