"""POT (``import ot``).

Convention of the scaling solvers: ``P = diag(u) K diag(v)`` with ``K = exp(-C / eps)``, so the weights are
inside ``u`` and ``v``; the log-domain solvers return ``log_u`` and ``log_v``, dimensionless. Conversion to
ours: ``f = eps (log u - log a)``, ``g = eps (log v - log b)``.

The library tests one side only, by the Euclidean norm ``|P^T 1 - b|_2``, every tenth iteration (every
twentieth in the stabilised solver), and there is no way to switch the test off: its cost is part of the
cost of an iteration. Every solver forms the dense plan before it returns.
"""

from __future__ import annotations

import contextlib
import os
import warnings

import numpy as np

from .base import Adapter, Answer, Setting


def _import():
    """Import the library without the array libraries that are not used: it loads all that are installed."""
    for name in ("JAX", "CUPY", "TENSORFLOW"):
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{name}", "1")
    import ot

    return ot


class _Scaling(Adapter):
    """Shared parts of the Sinkhorn solvers."""

    modules = ("ot",)

    @classmethod
    def first_threshold(cls, tol, shape):
        # One side in the 2-norm: smaller than its 1-norm by at most sqrt(m).
        return tol / np.sqrt(shape[1])

    def prepare(self):
        ot = _import()
        warnings.filterwarnings("ignore", message=".*did not converge.*")
        self.ot = ot
        self.arrays = self.problem.a, self.problem.b, self.problem.C

    def run(self, setting: Setting):
        # No norm is below a negative threshold: exactly max_iter iterations.
        stop = -1.0 if setting.fixed else setting.threshold
        plan, log = self.solve(*self.arrays, stop, setting.max_iter)
        return plan, log, stop

    def solve(self, a, b, C, stop, max_iter):
        raise NotImplementedError

    def answer(self, raw):
        _, log, stop = raw
        log_u, log_v = (np.asarray(scaling, np.float64) for scaling in self.logarithms(log))
        eps, a, b = self.problem.eps, self.problem.a, self.problem.b
        with np.errstate(divide="ignore", invalid="ignore"):
            f = eps * (log_u - np.log(a, dtype=np.float64))
            g = eps * (log_v - np.log(b, dtype=np.float64))
        claim = None if stop < 0 or not log["err"] else bool(log["err"][-1] < stop)
        return Answer(f=f, g=g, iterations=self.iterations(log), claim=claim)

    def logarithms(self, log):
        with np.errstate(divide="ignore"):
            return np.log(np.asarray(log["u"], np.float64)), np.log(np.asarray(log["v"], np.float64))

    def iterations(self, log):
        return int(log["niter"]) + 1  # an index, from zero


class Plain(_Scaling):
    """``ot.sinkhorn(method="sinkhorn")``: the fastest where ``exp(-C / eps)`` does not underflow."""

    def solve(self, a, b, C, stop, max_iter):
        return self.ot.sinkhorn(
            a, b, C, self.problem.eps, method="sinkhorn", numItermax=max_iter, stopThr=stop, log=True
        )


class Log(_Scaling):
    """``ot.bregman.sinkhorn_log`` on NumPy arrays."""

    def solve(self, a, b, C, stop, max_iter):
        return self.ot.bregman.sinkhorn_log(a, b, C, self.problem.eps, numItermax=max_iter, stopThr=stop, log=True)

    def logarithms(self, log):
        return log["log_u"], log["log_v"]


class TorchLog(Log):
    """``ot.bregman.sinkhorn_log`` on torch CPU tensors."""

    modules = ("ot", "torch")

    def prepare(self):
        super().prepare()
        import torch

        torch.set_num_threads(self.threads)
        self.arrays = tuple(torch.from_numpy(array) for array in self.arrays)


class Stabilized(_Scaling):
    """``ot.bregman.sinkhorn_stabilized``: scalings absorbed into potentials when they grow past ``tau``.

    Potentials come in cost units (``alpha = eps log u``). After an absorption scalings start at ``1 / n``, so
    at a fixed point one of them is near ``n``: with the default ``tau = 1e3`` and more than 1000 points the
    library absorbs in every iteration and returns a plan of mass ``1e-6`` (0.9.7). It gets ``1000 n`` instead.
    """

    def solve(self, a, b, C, stop, max_iter):
        return self.ot.bregman.sinkhorn_stabilized(
            a, b, C, self.problem.eps, numItermax=max_iter, tau=self.tau, stopThr=stop, log=True
        )

    @property
    def tau(self):
        return 1e3 * max(self.problem.shape)

    def logarithms(self, log):
        return log["alpha"] / self.problem.eps, log["beta"] / self.problem.eps

    def iterations(self, log):
        return int(log["n_iter"]) + 1


class EpsilonScaling(Stabilized):
    """``ot.bregman.sinkhorn_epsilon_scaling``, started at the largest cost instead of the default 1e4.

    Iterations are outer ones (at least 35), each up to 100 stabilised iterations. The outer test compares
    the sum of both *squared* 2-norms with the same threshold that the inner one compares with a norm, and
    the last word is with the inner one.
    """

    pilot = (36, 46)

    def solve(self, a, b, C, stop, max_iter):
        return self.ot.bregman.sinkhorn_epsilon_scaling(
            a,
            b,
            C,
            self.problem.eps,
            numItermax=max_iter,
            epsilon0=self.problem.max_cost,
            tau=self.tau,
            stopThr=stop,
            log=True,
        )

    def iterations(self, log):
        return int(log["niter"]) + 1


class _Smooth(Adapter):
    """Shared parts of ``ot.smooth``: L-BFGS-B of SciPy on a dual with a quadratic term.

    Its ``reg`` is our gamma, the term is halved there too; its limit of entries is one of columns, and fails where
    it is not below the number of rows (0.9.7). Row potentials ``alpha`` have the sign of ours. SciPy is given the
    threshold twice: for the decrease of the dual value per step, relative to at least 1, and for the largest entry
    of the gradient. With a limit of entries the semi-dual prints in every evaluation: to a closed channel here, so
    that the time of a terminal does not count.
    """

    modules = ("ot",)
    # Evaluations of large problems take most of a second.
    pilot = (2, 8)

    @classmethod
    def first_threshold(cls, tol, shape):
        # Dual values of unit costs are some thousandths or hundredths, and many small steps make up the error.
        return 1e-4 * tol

    def prepare(self):
        self.ot = _import()
        self.arrays = [np.asarray(v, np.float64) for v in (self.problem.a, self.problem.b, self.problem.C)]

    def run(self, setting: Setting):
        p = self.problem
        kind = {"reg_type": "l2"} if p.k is None else {"reg_type": "sparsity_constrained", "max_nz": p.k}
        # No decrease is below 0: exactly max_iter iterations, until the line search finds no more.
        stop = 0.0 if setting.fixed else setting.threshold
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            plan, log = self.solve(
                *self.arrays, p.gamma, stopThr=stop, numItermax=setting.max_iter, log=True, **kind
            )
        return plan, log, setting

    def solve(self, *arrays, **keywords):
        raise NotImplementedError

    def answer(self, raw):
        plan, log, setting = raw
        found = log["res"]
        claim = None if setting.fixed else bool(found.success)
        return Answer(f=np.asarray(log["alpha"]), plan=plan, iterations=int(found.nit), claim=claim)


class SmoothDual(_Smooth):
    """``ot.smooth.smooth_ot_dual``: both sides' potentials."""

    def solve(self, *arrays, **keywords):
        return self.ot.smooth.smooth_ot_dual(*arrays, **keywords)


class SmoothSemiDual(_Smooth):
    """``ot.smooth.smooth_ot_semi_dual``: row potentials; columns are projected."""

    def solve(self, *arrays, **keywords):
        return self.ot.smooth.smooth_ot_semi_dual(*arrays, **keywords)


class SemiDualEvaluation(_Smooth):
    """``ot.smooth.semi_dual_obj_grad``: so many evaluations of value and gradient at 0, nothing else."""

    knob = None

    def prepare(self):
        super().prepare()
        p, smooth = self.problem, self.ot.smooth
        self.regul = smooth.SquaredL2(p.gamma) if p.k is None else smooth.SparsityConstrained(p.k, p.gamma)

    def run(self, setting: Setting):
        alpha = np.zeros(self.problem.shape[0])
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            for _ in range(setting.max_iter):
                found = self.ot.smooth.semi_dual_obj_grad(alpha, *self.arrays, self.regul)
        return setting.max_iter, found

    def answer(self, raw):
        iterations, (value, gradient) = raw
        return Answer(iterations=iterations, details={"value": float(value), "error": float(abs(gradient).sum())})


class Emd(Adapter):
    """``ot.emd``: the exact network simplex. A plan, unregularised, and Kantorovich potentials."""

    modules = ("ot",)
    knob = None

    def prepare(self):
        ot = _import()
        self.ot = ot
        # The simplex works in float64 whatever it is given.
        self.arrays = [np.asarray(v, np.float64) for v in (self.problem.a, self.problem.b, self.problem.C)]

    def run(self, setting):
        # Its default limit of 100 000 pivots is too low from a few thousand points on.
        return self.ot.emd(*self.arrays, numItermax=10_000_000, numThreads=self.threads, log=True)

    def answer(self, raw):
        plan, log = raw
        return Answer(f=np.asarray(log["u"]), g=np.asarray(log["v"]), plan=plan, claim=log["warning"] is None)


class EmdPoints(Emd):
    """``ot.emd`` between points, squared distances by ``ot.dist`` included."""

    def prepare(self):
        self.ot = _import()
        p = self.problem
        self.arrays = [np.asarray(v, np.float64) for v in (p.a, p.b, p.x, p.y)]

    def run(self, setting):
        a, b, x, y = self.arrays
        C = self.ot.dist(x, y)
        return self.ot.emd(a, b, C, numItermax=10_000_000, numThreads=self.threads, log=True)


class EmdPairs(Adapter):
    """A loop over ``ot.emd2``: what its users write for many small pairs. One thread.

    Distances by SciPy's ``cdist``: those of ``ot.dist``, from squares of norms, are off by 1e-8.
    """

    modules = ("ot",)
    knob = None

    def prepare(self):
        from scipy.spatial.distance import cdist

        self.ot, self.cdist = _import(), cdist
        self.pairs = list(self.problem.pairs())

    def run(self, setting):
        return np.array([self.ot.emd2(a, b, self.cdist(x, y)) for x, a, y, b in self.pairs])

    def answer(self, raw):
        return Answer(values=raw)


class EmdLazy(Adapter):
    """``ot.lp.emd2_lazy``: the simplex on points, squared Euclidean cost; no matrix is formed. One thread."""

    modules = ("ot",)
    knob = None

    def prepare(self):
        self.ot = _import()
        p = self.problem
        self.arrays = [np.asarray(v, np.float64) for v in (p.x, p.y, p.a, p.b)]

    def run(self, setting):
        return self.ot.lp.emd2_lazy(*self.arrays, numItermax=10_000_000, log=True)

    def answer(self, raw):
        _, log = raw
        plan = log["G"].tocsr()
        return Answer(f=np.asarray(log["u"]), g=np.asarray(log["v"]), plan=plan, claim=log["warning"] is None)


class PartialEmd(Emd):
    """``ot.partial.partial_wasserstein``: the simplex with one dummy point more on each side."""

    def run(self, setting):
        a, b, C = self.arrays
        return self.ot.partial.partial_wasserstein(
            a, b, C, m=self.problem.mass, numItermax=10_000_000, numThreads=self.threads, log=True
        )


class Batch(Adapter):
    """``ot.batch.solve_batch``: all problems in lockstep, until the worst has converged.

    The library tests the largest 2-norm of the row marginals, every tenth iteration.

    Options
    -------
    method : {"log_sinkhorn", "sinkhorn"}
    """

    modules = ("ot",)

    @classmethod
    def first_threshold(cls, tol, shape):
        return tol / np.sqrt(shape[0])

    def prepare(self):
        self.ot = _import()
        p = self.problem
        weights = (np.tile(w, (p.batch, 1)) for w in (p.a, p.b))
        self.arrays = [p.C, *weights]

    def run(self, setting: Setting):
        C, a, b = self.arrays
        stop = -1.0 if setting.fixed else setting.threshold
        found = self.ot.batch.solve_batch(
            C, self.problem.eps, a, b, max_iter=setting.max_iter, tol=stop, method=self.method, grad="detach"
        )
        return found, setting

    @property
    def method(self):
        return self.options.get("method", "log_sinkhorn")

    def answer(self, raw):
        found, setting = raw
        eps, p = self.problem.eps, self.problem
        u, v = (np.asarray(z, np.float64) for z in found._potentials)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.method == "sinkhorn":
                u, v = np.log(u), np.log(v)
            f = eps * (u - np.log(p.a, dtype=np.float64))
            g = eps * (v - np.log(p.b, dtype=np.float64))
        iterations = int(found._log["n_iter"]) + 1  # an index, from zero
        claim = None if setting.fixed else iterations < setting.max_iter
        return Answer(f=f, g=g, iterations=iterations, claim=claim)


class TorchBatch(Batch):
    """The same on torch CPU tensors."""

    modules = ("ot", "torch")

    def prepare(self):
        super().prepare()
        import torch

        torch.set_num_threads(self.threads)
        self.arrays = [torch.from_numpy(np.ascontiguousarray(array)) for array in self.arrays]


class EmdBatch(Adapter):
    """A loop over ``ot.dist`` and ``ot.emd`` on points, as minibatch pairings are made."""

    modules = ("ot",)
    knob = None

    def prepare(self):
        self.ot = _import()
        p = self.problem
        self.a, self.b = (np.asarray(w, np.float64) for w in (p.a, p.b))
        self.clouds = [tuple(np.asarray(z, np.float64) for z in pair) for pair in zip(p.x, p.y)]

    def run(self, setting):
        return [
            self.ot.emd(
                self.a, self.b, self.ot.dist(x, y), numItermax=10_000_000, numThreads=self.threads, log=True
            )
            for x, y in self.clouds
        ]

    def answer(self, raw):
        g = np.stack([log["v"] for _, log in raw])
        return Answer(g=g, plan=np.concatenate([plan for plan, _ in raw]))
