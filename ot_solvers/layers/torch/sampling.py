"""Pairs of minibatches drawn from transport plans between them."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ... import api
from ...backends import registry
from ...errors import ConvergenceError, ConvergenceWarning, stack_depth
from ...result import Solution
from ...validation import choice, positive
from .points import PairCost, cost_matrix, flat_points, read_pair_cost

__all__ = ["OTPlanSampler"]

METHODS = ("exact", "sinkhorn", "unbalanced", "partial")
#: Points of equal minibatches up to which shortest augmenting paths on the stored costs pair them; above, where
#: paths get long, the solvers of `ot_solvers.solve`.
PATHS = 1024


@dataclass(frozen=True)
class _Plan:
    """A plan by its entries.

    Attributes
    ----------
    rows, columns : (k,) int64 tensors
    masses : (k,) float64 tensor > 0, or None where all are equal
    shape : (n, m)
    """

    rows: torch.Tensor
    columns: torch.Tensor
    masses: torch.Tensor | None
    shape: tuple[int, int]

    def dense(self, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        n, m = self.shape
        out = torch.zeros(n, m, dtype=dtype)
        masses = 1.0 / len(self.rows) if self.masses is None else self.masses.to(dtype)
        out[self.rows, self.columns] = masses
        return out.to(device)

    def drawn(self, count: int, replace: bool, generator: torch.Generator | None):
        """Rows and columns of `count` entries, by their masses."""
        if self.masses is None:
            weights = torch.ones(len(self.rows), dtype=torch.float64)
        else:
            weights = self.masses
        chosen = _draw(weights, count, replace, generator)
        return self.rows[chosen], self.columns[chosen]


class OTPlanSampler:
    """Draws pairs of points of two minibatches from a transport plan: the sampler of conditional flow matching.

    Takes the place of the class of this name in ``torchcfm``, with the same methods and arguments. What it adds:
    draws depend on a seed, not on NumPy's global state; equal minibatches are paired one to one without a plan
    matrix; points stay on their device; and a solve that fails says so instead of becoming a uniform plan.

    Parameters
    ----------
    method : {"exact", "sinkhorn", "unbalanced", "partial"}
        Exact transport; entropic; entropic with marginals that may be missed at a price; entropic, moving only
        `mass`.
    reg : float > 0
        Strength of the entropy, cost units (of the normalised cost where `normalize_cost`).
    reg_m : float > 0
        Price of missing the marginals, likewise; for ``"unbalanced"``.
    normalize_cost : bool
        Divide the costs of every minibatch by the largest one.
    num_threads : int or "max"
        Taken for compatibility. Threads are those of `ot_solvers.set_num_threads`, and change no result.
    warn : bool
        Warn of solves that did not reach their tolerance; the same as ``on_failure="warn"``, else ``"ignore"``.
    mass : float in (0, 1], optional
        Share of each minibatch that ``"partial"`` moves; all by default.
    cost : {"sqeuclidean", "euclidean", "cityblock", "chebyshev"} or callable
        A function maps tensors (..., d) and (..., d) to (...).
    seed : int or torch.Generator, optional
        Where draws come from; torch's own generator by default, which ``torch.manual_seed`` sets.
    on_failure : {"warn", "raise", "ignore"}, optional
        Instead of `warn`. A plan without mass, or with NaN, raises in any case.

    Raises
    ------
    ValueError, TypeError
        For unknown names and numbers out of range.

    References
    ----------
    [tong:24]_, [pooladian:23]_.

    Examples
    --------
    >>> import torch
    >>> from ot_solvers.layers.torch import OTPlanSampler
    >>> x0 = torch.arange(6.0)[:, None]
    >>> x1 = x0.flip(0) + 10
    >>> _, paired = OTPlanSampler("exact").sample_assignment(x0, x1)
    >>> (paired - x0).unique()
    tensor([10.])
    """

    def __init__(
        self,
        method: str = "exact",
        reg: float = 0.05,
        reg_m: float = 1.0,
        normalize_cost: bool = False,
        num_threads: int | str = 1,
        warn: bool = True,
        *,
        mass: float | None = None,
        cost: PairCost = "sqeuclidean",
        seed: int | torch.Generator | None = None,
        on_failure: str | None = None,
    ):
        self.method = choice(method, "method", METHODS)
        self.reg, self.reg_m = positive(reg, "reg"), positive(reg_m, "reg_m")
        self.normalize_cost = bool(normalize_cost)
        self.num_threads = num_threads
        self.mass = None if mass is None else positive(mass, "mass")
        if self.mass is not None and (self.mass > 1 or method != "partial"):
            raise ValueError(f"mass={mass!r} must be at most 1, the share that method='partial' moves")
        self.cost = read_pair_cost(cost)
        default = "warn" if warn else "ignore"
        self.on_failure = (
            default if on_failure is None else choice(on_failure, "on_failure", ("warn", "raise", "ignore"))
        )
        self.warn = self.on_failure == "warn"
        self.generator = _generator(seed)

    def get_map(self, x0: torch.Tensor, x1: torch.Tensor, *, batched: bool = False) -> torch.Tensor:
        """The plan between two minibatches, of total mass 1 where all is moved.

        Parameters
        ----------
        x0, x1 : (n, ...), (m, ...) tensors
            Points of any shape, flattened.
        batched : bool
            Many pairs of minibatches at once: (B, n, ...), (B, m, ...).

        Returns
        -------
        (n, m) or (B, n, m) tensor, on the device of `x0`

        Raises
        ------
        ConvergenceError
            For a plan without mass, and where `on_failure` is ``"raise"``.
        """
        plans = self._plans(x0, x1, batched)
        dtype = x0.dtype if x0.dtype in (torch.float32, torch.float64) else torch.float32
        found = [plan.dense(dtype, x0.device) for plan in plans]
        return torch.stack(found) if batched else found[0]

    def sample_map(self, pi: Any, batch_size: int, replace: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw entries of a plan.

        Parameters
        ----------
        pi : (n, m) tensor or array >= 0
            As `get_map` returns it.
        batch_size : int
        replace : bool
            Whether an entry may be drawn twice.

        Returns
        -------
        i, j : (batch_size,) int64 tensors, on the device of `pi`

        Raises
        ------
        ValueError
            For a plan that is none, and more draws than entries without replacement.
        """
        plan = torch.as_tensor(pi)
        if plan.dim() != 2 or plan.numel() == 0:
            raise ValueError(f"pi has shape {tuple(plan.shape)}; expected (n, m)")
        weights = plan.detach().double().cpu().flatten()
        if not bool(torch.isfinite(weights).all()) or float(weights.min()) < 0 or not float(weights.sum()) > 0:
            raise ValueError("pi must be finite, not negative, and have mass")
        chosen = _draw(weights, batch_size, replace, self.generator).to(plan.device)
        return chosen // plan.shape[1], chosen % plan.shape[1]

    def sample_indices(
        self, x0: torch.Tensor, x1: torch.Tensor, replace: bool = True, *, batched: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows and columns of the pairs that `sample_plan` draws: two (n,) or (B, n) int64 tensors."""
        plans = self._plans(x0, x1, batched)
        count = x0.shape[1] if batched else x0.shape[0]
        drawn = [plan.drawn(count, replace, self.generator) for plan in plans]
        i, j = (torch.stack(part).to(x0.device) for part in zip(*drawn))
        return (i, j) if batched else (i[0], j[0])

    def sample_plan(
        self, x0: torch.Tensor, x1: torch.Tensor, replace: bool = True, *, batched: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw as many pairs from the plan as `x0` has points.

        Parameters
        ----------
        x0, x1 : (n, ...), (m, ...) tensors
        replace : bool
            Whether an entry of the plan may be drawn twice. Without replacement, and with the exact method, equal
            minibatches are paired one to one, in random order.
        batched : bool
            Many pairs of minibatches at once: (B, n, ...), (B, m, ...).

        Returns
        -------
        (n, ...), (n, ...) tensors
            ``x0[i]`` and ``x1[j]``: on their device, and on their graph.

        Raises
        ------
        ConvergenceError, ValueError, TypeError
            As of `get_map` and `sample_map`.
        """
        i, j = self.sample_indices(x0, x1, replace, batched=batched)
        return _taken(x0, i, batched), _taken(x1, j, batched)

    def sample_plan_with_labels(
        self,
        x0: torch.Tensor,
        x1: torch.Tensor,
        y0: torch.Tensor | None = None,
        y1: torch.Tensor | None = None,
        replace: bool = True,
        *,
        batched: bool = False,
    ):
        """`sample_plan`, and what belongs to the points drawn.

        Parameters
        ----------
        y0, y1 : (n, ...), (m, ...) tensors, optional
            Labels.

        Returns
        -------
        x0[i], x1[j], y0[i], y1[j]
            None for labels that were not given.
        """
        i, j = self.sample_indices(x0, x1, replace, batched=batched)
        labels = (None if y is None else _taken(y, k, batched) for y, k in ((y0, i), (y1, j)))
        return (_taken(x0, i, batched), _taken(x1, j, batched), *labels)

    def assignment(self, x0: torch.Tensor, x1: torch.Tensor, *, batched: bool = False) -> torch.Tensor:
        """The point of `x1` that belongs to every point of `x0`: the permutation of least cost, exactly.

        Parameters
        ----------
        x0, x1 : (n, ...), (n, ...) tensors
        batched : bool

        Returns
        -------
        (n,) or (B, n) int64 tensor, on the device of `x0`

        Raises
        ------
        ValueError
            For minibatches of different sizes.
        """
        first, second = _clouds(x0, x1, batched)
        if first.shape[1] != second.shape[1]:
            raise ValueError(
                f"x0 has {first.shape[1]} points and x1 {second.shape[1]}; one to one needs equally many"
            )
        return torch.stack(self._assigned(first, second))[slice(None) if batched else 0].to(x0.device)

    def sample_assignment(self, x0: torch.Tensor, x1: torch.Tensor, *, batched: bool = False):
        """`x0` as it is, and the points of `x1` in the order that pairs them at least cost.

        Nothing is random, no point is lost, and no plan matrix is formed.
        """
        return x0, _taken(x1, self.assignment(x0, x1, batched=batched), batched)

    def sample_plan_with_scipy(self, x0: torch.Tensor, x1: torch.Tensor):
        """`sample_assignment`, under the name it has in ``torchcfm``."""
        return self.sample_assignment(x0, x1)

    def sample_trajectory(self, X: torch.Tensor) -> torch.Tensor:
        """Trajectories through populations: each point goes on to one drawn from its row of the next plan.

        Parameters
        ----------
        X : (n, times, ...) tensor

        Returns
        -------
        (n, times, ...) tensor, on the device of `X`
        """
        if X.dim() < 2:
            raise ValueError(f"X has shape {tuple(X.shape)}; expected (n, times, ...)")
        at = torch.arange(X.shape[0])
        path = [X[:, 0]]
        for t in range(X.shape[1] - 1):
            (plan,) = self._plans(X[:, t], X[:, t + 1], False)
            at = _next(plan, at, self.generator)
            path.append(X[:, t + 1][at.to(X.device)])
        return torch.stack(path, dim=1)

    def __repr__(self) -> str:
        entropic = "" if self.method == "exact" else f", reg={self.reg:g}"
        return f"OTPlanSampler({self.method!r}{entropic}, cost={self.cost!r}, on_failure={self.on_failure!r})"

    # --- plans ------------------------------------------------------------------------------------------------

    def _plans(self, x0: torch.Tensor, x1: torch.Tensor, batched: bool) -> list[_Plan]:
        first, second = _clouds(x0, x1, batched)
        n, m = first.shape[1], second.shape[1]
        if self.method == "exact" and n == m:
            rows = torch.arange(n)
            return [_Plan(rows, columns, None, (n, m)) for columns in self._assigned(first, second)]
        return self._solved(self._costs(first, second).cpu().numpy())

    def _costs(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """(B, n, m) costs, normalised where that was asked for."""
        C = cost_matrix(first, second, self.cost).detach()
        B, n, m = first.shape[0], first.shape[1], second.shape[1]
        if C.shape != (B, n, m):
            raise ValueError(f"cost returned shape {tuple(C.shape)}; expected {(B, n, m)}")
        if not bool(torch.isfinite(C.sum(dtype=torch.float64))):
            raise ValueError("the costs are not finite: divide the points by a constant")
        if self.normalize_cost and self.method != "exact":
            C = C / C.amax((1, 2), keepdim=True).clamp(min=torch.finfo(C.dtype).tiny)
        return C

    def _assigned(self, first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
        """(n,) columns of every minibatch."""
        n = first.shape[1]
        C = self._costs(first, second).cpu().numpy()
        if n <= PATHS:
            return list(torch.from_numpy(registry.get("numba").assignments(C)))
        found = []
        for plan in self._solved(C):
            columns = torch.empty(n, dtype=torch.int64)
            columns[plan.rows] = plan.columns
            found.append(columns)
        return found

    def _solved(self, C: np.ndarray) -> list[_Plan]:
        """Plans for costs (B, n, m), all of which have mass; one warning for those that did not converge."""
        keywords: dict[str, Any] = {"reg": None if self.method == "exact" else self.reg, "on_failure": "ignore"}
        if self.method == "unbalanced":
            keywords["unbalanced"] = self.reg_m
        if self.method == "partial" and self.mass is not None and self.mass < 1:
            keywords["mass"] = self.mass
        plans, failed = [], []
        for k, costs in enumerate(C):
            solution = api.solve(costs, **keywords)
            plan, total = _entries(solution)
            if not (math.isfinite(total) and total > 0):
                what = f"the plan of minibatch {k} of {len(C)} is unusable, its mass is {total:g}"
                raise ConvergenceError(f"{what}: {_ended(solution)}", solution)
            plans.append(plan)
            if not solution.converged:
                failed.append((k, solution))
        if failed and self.on_failure != "ignore":
            k, solution = failed[0]
            count = f"{len(failed)} of {len(C)} plans" if len(C) > 1 else "the plan"
            where = f"; minibatch {k}" if len(C) > 1 else ""
            message = f"{count} did not converge{where}: {_ended(solution)}"
            if self.on_failure == "raise":
                raise ConvergenceError(message, solution)
            warnings.warn(message, ConvergenceWarning, stacklevel=stack_depth())
        return plans


def _entries(solution: Solution) -> tuple[_Plan, float]:
    """Entries of a plan that are not zero, and its mass."""
    if solution.reg == 0:
        sparse = solution.sparse_plan(1.0).tocoo()
        rows, columns, masses = sparse.row, sparse.col, sparse.data
    else:
        dense = solution.plan
        rows, columns = np.divmod(np.flatnonzero(dense), dense.shape[1])
        masses = dense[rows, columns]
    kept = masses != 0
    rows, columns = (torch.from_numpy(index[kept].astype(np.int64)) for index in (rows, columns))
    masses = masses[kept].astype(np.float64)
    return _Plan(rows, columns, torch.from_numpy(masses), solution.shape), float(masses.sum())


def _ended(solution: Solution) -> str:
    """Status, figures and advice."""
    relative = " (normalize_cost=True makes reg relative)" if solution.reg else ""
    return (
        f"{solution.status.name} after {solution.n_iter} passes with marginal error "
        f"{solution.marginal_error:.3g}: {solution.status.value}{relative}"
    )


def _clouds(x0: torch.Tensor, x1: torch.Tensor, batched: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, n, d) and (B, m, d) points that fit."""
    first, second = (flat_points(x, name, batched=batched) for x, name in ((x0, "x0"), (x1, "x1")))
    if first.device != second.device:
        raise ValueError(f"x0 is on {first.device} and x1 on {second.device}; expected one device")
    if not batched:
        first, second = first[None], second[None]
    if first.shape[0] != second.shape[0]:
        raise ValueError(f"x0 has {first.shape[0]} minibatches and x1 {second.shape[0]}; expected as many")
    if first.shape[2] != second.shape[2]:
        raise ValueError(f"x0 has {first.shape[2]} coordinates and x1 {second.shape[2]}; expected the same number")
    dtype = torch.promote_types(first.dtype, second.dtype)
    return first.to(dtype), second.to(dtype)


def _draw(weights: torch.Tensor, count: int, replace: bool, generator: torch.Generator | None) -> torch.Tensor:
    """(count,) indices drawn with these weights, by inversion or, without replacement, as the first of races."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"batch_size={count!r} must be a positive integer")
    if replace:
        total = weights.cumsum(0)
        uniforms = _uniforms(count, generator) * total[-1]
        return torch.searchsorted(total, uniforms, right=True).clamp_(max=len(weights) - 1)
    live = int((weights > 0).sum())
    if count > live:
        raise ValueError(
            f"{count} pairs without replacement, but the plan has only {live} entries: use replace=True"
        )
    # Exponential times at rates equal to the weights: the order of the first ones is that of successive draws.
    times = -torch.log1p(-_uniforms(len(weights), generator)) / weights
    times = torch.where(weights > 0, times, torch.inf)
    return times.topk(count, largest=False).indices


def _next(plan: _Plan, at: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """Where points `at` of the source go, drawn from their rows."""
    n, _ = plan.shape
    masses = torch.ones(len(plan.rows), dtype=torch.float64) if plan.masses is None else plan.masses
    order = torch.argsort(plan.rows, stable=True)
    rows, columns = plan.rows[order], plan.columns[order]
    total = torch.cat([masses.new_zeros(1), masses[order].cumsum(0)])
    starts = torch.searchsorted(rows, torch.arange(n + 1))
    first, last = starts[at], starts[at + 1]
    if bool((first == last).any()):
        point = int(at[first == last][0])
        raise ValueError(f"the plan sends nothing of point {point} anywhere: use a larger reg, or mass")
    low, high = total[first], total[last]
    uniforms = low + _uniforms(len(at), generator) * (high - low)
    found = torch.searchsorted(total, uniforms, right=True) - 1
    return columns[torch.minimum(torch.maximum(found, first), last - 1)]


def _uniforms(count: int, generator: torch.Generator | None) -> torch.Tensor:
    """In [0, 1), on the CPU: the same on every device of the points."""
    device = "cpu" if generator is None else generator.device
    return torch.rand(count, generator=generator, dtype=torch.float64, device=device).cpu()


def _taken(x: torch.Tensor, index: torch.Tensor, batched: bool) -> torch.Tensor:
    index = index.to(x.device)
    return x[torch.arange(len(x), device=x.device)[:, None], index] if batched else x[index]


def _generator(seed: Any) -> torch.Generator | None:
    if seed is None or isinstance(seed, torch.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed={seed!r} must be an integer or a torch.Generator")
    return torch.Generator().manual_seed(int(seed))
