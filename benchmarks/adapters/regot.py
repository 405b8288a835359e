"""RegOT (``import regot``): quasi-Newton and sparse Newton methods, in C++.

Convention: objective ``<P, C> + eps sum P (log P - 1)``, so ``P = exp((alpha + beta - C) / eps)`` with the weights
inside; ``dual`` holds ``alpha`` and all of ``beta`` but its last entry, which is 0. To ours: subtract
``eps log a`` and ``eps log b``.

The library stops where the 2-norm of the gradient in these unknowns falls below its threshold: both marginals,
the last column left out. The cost must be a Fortran-ordered float64 matrix, weights positive; nothing is checked.
Every solver forms the dense plan before it returns.
"""

from __future__ import annotations

import numpy as np

from .base import Adapter, Answer, Setting

#: Of the quadratic problem.
QUADRATIC_METHODS = ("grssn", "assn", "lbfgs_dual", "lbfgs_semi_dual", "apdagd", "pdaam", "bcd", "gd")

#: ``sinkhorn_apdagd`` is left out: first order, and no contender next to ``bcd``.
METHODS = ("lbfgs_dual", "ssns", "splr", "sparse_newton", "bcd", "newton")


class Entropic(Adapter):
    """``regot.sinkhorn_<method>``, its options left at their defaults.

    Options
    -------
    method : {"lbfgs_dual", "ssns", "splr", "sparse_newton", "bcd", "newton"}
        ``"bcd"`` is Sinkhorn in the log domain; ``"newton"`` factorises dense Hessians without a safeguard and
        ends in NaN at small ε (0.0.3).
    """

    modules = ("regot",)
    # Some iterations are Newton steps that take seconds: a longer pilot would be the whole solution.
    pilot = (2, 6)

    @classmethod
    def first_threshold(cls, tol, shape):
        # Both sides in the 2-norm: smaller than the 1-norm by at most sqrt(n + m).
        return tol / np.sqrt(sum(shape))

    def prepare(self):
        import regot

        method = self.options["method"]
        if method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}, not {method!r}")
        self.solve = getattr(regot, f"sinkhorn_{method}")
        p = self.problem
        self.arrays = np.asfortranarray(p.C, np.float64), *(np.asarray(v, np.float64) for v in (p.a, p.b))

    def run(self, setting: Setting):
        # No norm is below zero: exactly max_iter iterations (L-BFGS refuses a negative threshold).
        threshold = 0.0 if setting.fixed else setting.threshold
        return self.solve(*self.arrays, self.problem.eps, threshold, setting.max_iter, 0), setting

    def answer(self, raw):
        result, setting = raw
        _, a, b = self.arrays
        alpha, beta = np.split(np.append(result.dual, 0.0), [len(a)])
        eps = self.problem.eps
        return Answer(
            f=alpha - eps * np.log(a),
            g=beta - eps * np.log(b),
            iterations=int(result.niter),
            claim=None if setting.fixed else self._claim(result, setting),
        )

    def _claim(self, result, setting) -> bool:
        if self.options["method"] == "lbfgs_dual":
            # Its test is relative to the norm of the unknowns where that is above 1. Where it cannot meet it, it
            # raises: to return early is to have converged.
            return result.niter < setting.max_iter
        return bool(result.mar_errs[-1] < setting.threshold)  # false for NaN, where the others give up


class Quadratic(Adapter):
    """``regot.qrot_<method>``, its options left at their defaults.

    Objective ``<P, C> + reg / 2 sum P**2``: ``reg`` is our gamma, and ``P = [alpha + beta - C]_+ / reg`` but for
    the accelerated methods (``"apdagd"``, ``"pdaam"``), whose plan is an average. ``dual`` holds alpha and beta.
    The library stops where the 2-norm of the gradient is below a few of its thresholds.

    Options
    -------
    method : {"grssn", "assn", "lbfgs_dual", "lbfgs_semi_dual", "apdagd", "pdaam", "bcd", "gd"}
        ``"grssn"`` and ``"assn"`` are semismooth Newton methods.
    """

    modules = ("regot",)
    # Steps of Newton and of bcd take seconds on large problems.
    pilot = (2, 6)

    @classmethod
    def first_threshold(cls, tol, shape):
        # A dual value is off by about the square of the gradient.
        return 1e-2 * np.sqrt(tol)

    def prepare(self):
        import regot

        method = self.options["method"]
        if method not in QUADRATIC_METHODS:
            raise ValueError(f"method must be one of {QUADRATIC_METHODS}, not {method!r}")
        p = self.problem
        if p.k is not None:
            raise ValueError("there are no limits of entries")
        self.solve = getattr(regot, f"qrot_{method}")
        self.arrays = np.asfortranarray(p.C, np.float64), *(np.asarray(v, np.float64) for v in (p.a, p.b))

    def run(self, setting: Setting):
        threshold = 0.0 if setting.fixed else setting.threshold
        return self.solve(*self.arrays, self.problem.gamma, threshold, setting.max_iter, 0), setting

    def answer(self, raw):
        result, setting = raw
        alpha = np.array(result.dual[: self.problem.shape[0]])
        claim = None if setting.fixed else bool(result.niter < setting.max_iter)
        return Answer(f=alpha, plan=np.array(result.plan), iterations=int(result.niter), claim=claim)
