"""The one judge of all solvers: float64, blocked, plain NumPy, and no solver's code.

Conventions are those of `ot_solvers`: cost units, ``P_ij = a_i b_j exp((f_i + g_j - C_ij) / eps)``,
objective ``<P, C> + eps sum P log(P / (a b^T))``, and the marginal error of *both* sides.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy import sparse

from .problems import Problem, cost_blocks

#: Small problems that the judge looks at; rows, and columns, of a huge one.
VALUES, SOME = 200, 500
#: Projections of points beyond which the judge looks at some directions only.
MOST_PROJECTIONS = 5 * 10**7
#: Marginal error up to which the value of a plan bounds the optimum.
FEASIBLE = 1e-9


@dataclass(frozen=True)
class Verdict:
    """What the judge found.

    Attributes
    ----------
    marginal_error : float
        ``(|P1 - a|_1 + |P^T 1 - b|_1) / sum(a)``; ``inf`` where the answer holds NaN, infinities or
        negative masses, so that a broken answer passes no threshold.
    objective : float, cost units
    linear_cost : float, cost units
        ``<P, C>``.
    """

    marginal_error: float
    objective: float
    linear_cost: float

    def as_record(self) -> dict:
        """Plain values for a result file."""
        return asdict(self)


@dataclass(frozen=True)
class ExactVerdict(Verdict):
    """What the judge found of an exact plan with potentials.

    Attributes
    ----------
    gap : float
        `linear_cost` minus the dual value of the c-transform of the column potentials, relative to the former:
        the optimum lies between the two.
    """

    gap: float


@dataclass(frozen=True)
class QuadraticVerdict(Verdict):
    """What the judge found of a plan with a quadratic term; `objective` is ``<P, C> + gamma / 2 sum P**2``.

    Attributes
    ----------
    row_error, column_error : float
        The two parts of `marginal_error`.
    entries : int
        Most entries of a column.
    dual : float, cost units
        Value of the semi-dual at the row potentials, a lower bound of the optimum; ``-inf`` where they are broken.
    gap : float or None
        `objective` minus `dual`, relative to the former; None where the plan is not feasible and bounds nothing.
    """

    row_error: float
    column_error: float
    entries: int
    dual: float
    gap: float | None


@dataclass(frozen=True)
class SampledVerdict:
    """What the judge found on some rows and columns of a problem that is too large for a look at all.

    Attributes
    ----------
    marginal_error : float
        Estimated as ``n`` times the mean error of the rows looked at, and the same of the columns.
    judged : int
        Rows, and columns, looked at.
    """

    marginal_error: float
    judged: int

    def as_record(self) -> dict:
        """Plain values for a result file."""
        return asdict(self)


@dataclass(frozen=True)
class ValuesVerdict:
    """What the judge found of the optimal costs of many small problems.

    Attributes
    ----------
    value_error : float
        Largest difference from those of a linear programme, relative to the latter.
    judged : int
        Problems looked at.
    """

    value_error: float
    judged: int

    def as_record(self) -> dict:
        """Plain values for a result file."""
        return asdict(self)


@dataclass(frozen=True)
class SlicedVerdict:
    """What the judge found of a sliced distance of order 2.

    Attributes
    ----------
    value_error : float
        The largest of three: the relative error of the distance over the directions looked at, how far the
        distance is from the root of the mean over all that were returned, and how far directions of the answer's
        own are from unit vectors. ``inf`` where something is not finite.
    distance : float
        Over the directions looked at.
    judged : int
        Directions looked at.
    """

    value_error: float
    distance: float
    judged: int

    def as_record(self) -> dict:
        """Plain values for a result file."""
        return asdict(self)


#: The verdict on an answer that is no plan at all.
REJECTED = Verdict(float("inf"), float("nan"), float("nan"))


def judge_potentials(problem: Problem, f, g) -> Verdict:
    """Judge a pair of potentials.

    Parameters
    ----------
    problem : Problem
    f : (n,) array, g : (m,) array, cost units
        In the convention above. Entries where the weight is zero are not looked at.

    Raises
    ------
    ValueError
        If a shape does not fit the problem.
    """
    n, m = problem.shape
    f, g = np.asarray(f, np.float64), np.asarray(g, np.float64)
    if f.shape != (n,) or g.shape != (m,):
        raise ValueError(f"potentials must have shapes {(n,)} and {(m,)}, not {f.shape} and {g.shape}")
    f = np.where(problem.a > 0, f, 0.0)
    g = np.where(problem.b > 0, g, 0.0)
    b = problem.b.astype(np.float64)
    tally = _Tally(problem)
    with np.errstate(over="ignore", invalid="ignore"):
        for rows, C in problem.blocks():
            exponent = (f[rows, None] + g[None, :] - C) / problem.eps
            plan = problem.a[rows, None].astype(np.float64) * (b[None, :] * np.exp(exponent))
            # Where exp underflows the term is 0, whatever the exponent.
            entropy = np.where(plan > 0, plan * exponent, 0.0).sum()
            tally.add(rows, plan, C, entropy)
        return tally.verdict()


def judge_some(problem: Problem, f, g) -> SampledVerdict:
    """Judge a pair of potentials between points on `SOME` rows and columns, drawn at random.

    Raises
    ------
    ValueError
        If a shape does not fit the problem.
    """
    n, m = problem.shape
    f, g = np.asarray(f, np.float64), np.asarray(g, np.float64)
    if f.shape != (n,) or g.shape != (m,):
        raise ValueError(f"potentials must have shapes {(n,)} and {(m,)}, not {f.shape} and {g.shape}")
    rng = np.random.default_rng(0)
    a, b = (w.astype(np.float64) for w in (problem.a, problem.b))
    error = 0.0
    sides = ((problem.x, f, a, problem.y, g, b), (problem.y, g, b, problem.x, f, a))
    for points, u, weights, others, v, other_weights in sides:
        some = rng.choice(len(points), size=min(SOME, len(points)), replace=False)
        for rows, C in cost_blocks(points[some], others):
            with np.errstate(over="ignore", invalid="ignore"):
                mass = np.exp((u[some][rows, None] + v[None, :] - C) / problem.eps) @ other_weights
                error += len(points) / len(some) * float(np.abs(weights[some][rows] * (mass - 1.0)).sum())
    return SampledVerdict(error / a.sum() if np.isfinite(error) else float("inf"), min(SOME, n, m))


def judge_plan(problem: Problem, plan) -> Verdict:
    """Judge a plan.

    Parameters
    ----------
    problem : Problem
    plan : (n, m) array or SciPy sparse array

    Raises
    ------
    ValueError
        If the shape does not fit the problem.
    """
    plan = plan.tocsr() if sparse.issparse(plan) else np.asarray(plan)
    if plan.shape != problem.shape:
        raise ValueError(f"plan must have shape {problem.shape}, not {plan.shape}")
    a, b = problem.a.astype(np.float64), problem.b.astype(np.float64)
    tally = _Tally(problem)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for rows, C in problem.blocks():
            P = plan[rows].astype(np.float64)
            if sparse.issparse(P):
                P = P.toarray()
            if not (P >= 0).all():  # NaN compares false: rejected as well
                return REJECTED
            logarithm = np.log(P) - np.log(a[rows, None]) - np.log(b[None, :])
            tally.add(rows, P, C, np.where(P > 0, P * logarithm, 0.0).sum())
        return tally.verdict()


def judge_exact(problem: Problem, plan, g) -> ExactVerdict:
    """Judge an unregularised plan together with column potentials, which bound the optimum from below.

    Parameters
    ----------
    problem : Problem
    plan : (n, m) array or SciPy sparse array
    g : (m,) array, cost units

    Raises
    ------
    ValueError
        If a shape does not fit the problem.
    """
    verdict = judge_plan(problem, plan)
    g = np.asarray(g, np.float64)
    if g.shape != (problem.shape[1],):
        raise ValueError(f"potentials must have shape {(problem.shape[1],)}, not {g.shape}")
    a, b = problem.a.astype(np.float64), problem.b.astype(np.float64)
    reachable = np.where(b > 0, g, -np.inf)
    dual = float(b[b > 0] @ g[b > 0])
    for rows, C in problem.blocks():
        live = a[rows] > 0
        dual += float(a[rows][live] @ (C[live] - reachable[None, :]).min(axis=1))
    return ExactVerdict(**verdict.as_record(), gap=(verdict.linear_cost - dual) / abs(verdict.linear_cost))


def judge_partial(problem: Problem, plan, g=None) -> Verdict:
    """Judge an unregularised plan that moves `problem.mass` within the weights.

    Parameters
    ----------
    problem : Problem
    plan : (n, m) array or SciPy sparse array
    g : (m,) array or None, cost units
        Column potentials, which bound the optimum from below.

    Returns
    -------
    Verdict or ExactVerdict
        Its `marginal_error` is what exceeds the weights and what the total is off, relative to `problem.mass`.

    Raises
    ------
    ValueError
        If a shape does not fit the problem.
    """
    verdict = judge_plan(problem, plan)
    if not np.isfinite(verdict.marginal_error):
        return verdict
    a, b = problem.a.astype(np.float64), problem.b.astype(np.float64)
    plan = plan.tocsr() if sparse.issparse(plan) else np.asarray(plan)
    rows, columns = (np.asarray(plan.sum(axis=axis, dtype=np.float64)).ravel() for axis in (1, 0))
    excess = np.maximum(rows - a, 0.0).sum() + np.maximum(columns - b, 0.0).sum()
    error = float(excess + abs(rows.sum() - problem.mass)) / problem.mass
    verdict = Verdict(error, verdict.objective, verdict.linear_cost)
    if g is None:
        return verdict
    g = np.asarray(g, np.float64)
    if g.shape != (problem.shape[1],):
        raise ValueError(f"potentials must have shape {(problem.shape[1],)}, not {g.shape}")
    # A unit that arrives at j earns g_j and no more than the largest of them; then the cheapest rows leave.
    top = g[b > 0].max()
    dual = problem.mass * top + float(b[b > 0] @ (g[b > 0] - top))
    reachable = np.where(b > 0, g, -np.inf)
    cheapest = np.concatenate([(C - reachable[None, :]).min(axis=1) for _, C in problem.blocks()])
    order = np.argsort(cheapest)
    left = np.diff(np.minimum(np.cumsum(a[order]), problem.mass), prepend=0.0)
    live = left > 0
    dual += float(left[live] @ cheapest[order][live])
    return ExactVerdict(**verdict.as_record(), gap=(verdict.linear_cost - dual) / abs(verdict.linear_cost))


def judge_quadratic(problem: Problem, plan, f) -> QuadraticVerdict:
    """Judge a plan with a quadratic term, of few entries per column where the problem says so, and a dual point.

    Parameters
    ----------
    problem : Problem
        With `gamma`; `k` limits the entries of columns.
    plan : (n, m) array or SciPy sparse array
    f : (n,) array, cost units
        Row potentials; those of rows without weight are not looked at. One side is enough: the best potentials of
        the other side come with the projections of the columns.

    Raises
    ------
    ValueError
        If a shape does not fit the problem.
    """
    plan = plan.tocsr() if sparse.issparse(plan) else np.asarray(plan)
    if plan.shape != problem.shape:
        raise ValueError(f"plan must have shape {problem.shape}, not {plan.shape}")
    dual = semi_dual(problem, f)
    tally = _Tally(problem, problem.gamma)
    entries = np.zeros(problem.shape[1], dtype=np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        for rows, C in problem.blocks():
            P = plan[rows].astype(np.float64)
            if sparse.issparse(P):
                P = P.toarray()
            if not (P >= 0).all():  # NaN compares false: rejected as well
                return QuadraticVerdict(**REJECTED.as_record(), row_error=float("inf"), column_error=float("inf"),
                                        entries=0, dual=dual, gap=None)  # fmt: skip
            entries += np.count_nonzero(P, axis=0)
            tally.add(rows, P, C, 0.5 * np.square(P).sum())
        verdict = tally.verdict()
    total = problem.a.sum(dtype=np.float64)
    gap = None
    if verdict.marginal_error <= FEASIBLE and np.isfinite(dual):
        gap = (verdict.objective - dual) / abs(verdict.objective)
    return QuadraticVerdict(
        **verdict.as_record(),
        row_error=float(tally.row_error / total),
        column_error=float(np.abs(tally.columns - problem.b).sum() / total),
        entries=int(entries.max()),
        dual=dual,
        gap=gap,
    )


def semi_dual(problem: Problem, f) -> float:
    """``<a, f> + sum_j min <t, C_j - f> + gamma / 2 |t|**2`` over t >= 0 of sum ``b_j``, at most k entries.

    Raises
    ------
    ValueError
        If the shape does not fit the problem.
    """
    n, _ = problem.shape
    f = np.asarray(f, np.float64)
    if f.shape != (n,):
        raise ValueError(f"potentials must have shape {(n,)}, not {f.shape}")
    a, b = problem.a.astype(np.float64), problem.b.astype(np.float64)
    live = a > 0
    if not np.isfinite(f[live]).all():
        return float("-inf")
    value = float(a[live] @ f[live])
    for columns, C in problem.column_blocks():
        masses = b[columns]
        scores = f[live] - C[:, live]
        value += _least_costs(scores[masses > 0], masses[masses > 0], problem.gamma, problem.k)
    return value


def _least_costs(scores, masses, gamma: float, k: int | None) -> float:
    """Sum over rows s of the least ``-<t, s> + gamma / 2 |t|**2``: the k highest scores, projected."""
    if k is not None and k < scores.shape[1]:
        scores = np.partition(scores, -k, axis=1)[:, -k:]
    scores = np.sort(scores, axis=1)[:, ::-1]
    top = scores[:, :1]
    # From the top: what counts lies within gamma times a mass of it, and keeps its digits in the sums.
    below = scores - top
    levels = (np.cumsum(below, axis=1) - gamma * masses[:, None]) / np.arange(1, below.shape[1] + 1)
    used = np.count_nonzero(below > levels, axis=1)
    level = levels[np.arange(len(used)), used - 1]
    t = np.maximum(below - level[:, None], 0.0) / gamma
    with np.errstate(invalid="ignore"):
        earned = np.where(t > 0, t * below, 0.0).sum()
    return float(0.5 * gamma * np.square(t).sum() - earned - masses @ top[:, 0])


def judge_batch(problem: Problem, f, g) -> Verdict:
    """Judge the potentials of a batch, (B, n) and (B, m): the largest marginal error, sums of the values.

    Raises
    ------
    ValueError
        If a shape does not fit the problem.
    """
    f, g = np.asarray(f, np.float64), np.asarray(g, np.float64)
    if len(f) != problem.batch or len(g) != problem.batch:
        raise ValueError(f"potentials must be those of {problem.batch} problems, not of {len(f)} and {len(g)}")
    return _worst([judge_potentials(one, *pair) for one, *pair in zip(problem.each(), f, g)])


def judge_batch_plans(problem: Problem, plan, g=None) -> Verdict:
    """Judge unregularised plans of a batch, one below the other: (B n, m); with potentials (B, m) also their gaps.

    Raises
    ------
    ValueError
        If a shape does not fit the problem.
    """
    n, m = problem.shape
    plan = plan.tocsr() if sparse.issparse(plan) else np.asarray(plan)
    if plan.shape != (problem.batch * n, m):
        raise ValueError(f"plans must have shape {(problem.batch * n, m)}, not {plan.shape}")
    plans = [plan[k * n : (k + 1) * n] for k in range(problem.batch)]
    if g is None:
        return _worst([judge_plan(one, P) for one, P in zip(problem.each(), plans)])
    found = [judge_exact(one, P, h) for one, P, h in zip(problem.each(), plans, np.asarray(g))]
    gaps = np.array([verdict.gap for verdict in found])
    return ExactVerdict(**_worst(found).as_record(), gap=float(gaps[np.argmax(np.abs(gaps))]))


def _worst(verdicts: list) -> Verdict:
    """The largest error and the sums of the values."""
    return Verdict(
        max(verdict.marginal_error for verdict in verdicts),
        sum(verdict.objective for verdict in verdicts),
        sum(verdict.linear_cost for verdict in verdicts),
    )


def judge_values(problem: Problem, values) -> ValuesVerdict:
    """Judge optimal costs (Euclidean distances) of many small problems, `VALUES` of them.

    Raises
    ------
    ValueError
        If the shape does not fit the problem.
    """
    pairs = list(problem.pairs())
    values = np.asarray(values, np.float64)
    if values.shape != (len(pairs),):
        raise ValueError(f"values must have shape {(len(pairs),)}, not {values.shape}")
    some = np.unique(np.linspace(0, len(pairs) - 1, VALUES).astype(int))
    errors = []
    for k in some:
        x, a, y, b = pairs[k]
        C = np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))
        optimum = _linear_programme(C, a, b)
        errors.append(abs(values[k] - optimum) / optimum)
    return ValuesVerdict(float(max(errors)), len(some))


def judge_sliced(problem: Problem, values, distance, own=None) -> SlicedVerdict:
    """Judge a sliced distance of order 2: projections in float64, sorted, quantiles matched.

    Parameters
    ----------
    problem : Problem
    values : (L,) array
        Squared distances along the directions.
    distance : float
        What was made of them.
    own : (L, d) array, optional
        The answer's directions, instead of those of the problem.

    Raises
    ------
    ValueError
        If the shape does not fit the directions.
    """
    directions = np.asarray(problem.directions if own is None else own, np.float64)
    values = np.asarray(values, np.float64)
    if values.shape != (len(directions),):
        raise ValueError(f"values must have shape {(len(directions),)}, not {values.shape}")
    most = max(1, MOST_PROJECTIONS // sum(problem.shape))
    some = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).astype(int))
    x, y = (np.asarray(z, np.float64) for z in (problem.x, problem.y))
    a, b = problem.told_weights
    truth = np.array([line_cost(x @ theta, y @ theta, a, b) for theta in directions[some]])
    with np.errstate(invalid="ignore"):
        expected, given, seen = (np.sqrt(costs.mean()) for costs in (truth, values, values[some]))
    # Directions of the answer's own have to be of length 1, as those of a problem are.
    longest = 0.0 if own is None else np.abs(np.linalg.norm(directions, axis=1) - 1).max()
    errors = abs(seen - expected) / expected, abs(float(distance) - given) / expected, longest
    error = max(map(float, errors)) if np.isfinite(errors).all() else float("inf")
    return SlicedVerdict(error, float(expected), len(some))


def line_cost(u, v, a=None, b=None) -> float:
    """Squared Wasserstein distance of order 2 on a line; without weights all points count the same."""
    if a is None and b is None and len(u) == len(v):
        return float(np.square(np.sort(u) - np.sort(v)).mean())
    quantiles = []
    for points, weights in ((u, a), (v, b)):
        order = np.argsort(points)
        # Extended precision, where there is one: rounding adds up along a million of weights.
        masses = (np.ones(len(points)) if weights is None else weights[order]).astype(np.longdouble)
        quantiles.append((points[order], (masses.cumsum() / masses.sum()).astype(np.float64)))
    levels = np.sort(np.concatenate([reached for _, reached in quantiles]))
    at = [points[np.minimum(np.searchsorted(reached, levels), len(points) - 1)] for points, reached in quantiles]
    return float(np.diff(levels, prepend=0.0) @ np.square(at[0] - at[1]))


def _linear_programme(C, a, b) -> float:
    """Optimal cost, from the dual of HiGHS made feasible: its primal meets constraints to 1e-7 only."""
    from scipy.optimize import linprog

    n, m = C.shape
    rows = sparse.kron(sparse.eye_array(n), np.ones((1, m)))
    columns = sparse.kron(np.ones((1, n)), sparse.eye_array(m))
    found = linprog(C.ravel(), A_eq=sparse.vstack([rows, columns]), b_eq=np.concatenate([a, b]), method="highs-ds")
    g = found.eqlin.marginals[n:]
    f = (C - g[None, :]).min(axis=1)
    return float(a @ f + b @ g)


class _Tally:
    """Sums over the blocks of a plan."""

    def __init__(self, problem: Problem, strength: float | None = None):
        self.problem = problem
        #: What the regularising term is multiplied with.
        self.strength = problem.eps if strength is None else strength
        self.row_error = self.linear = self.term = 0.0
        self.columns = np.zeros(problem.shape[1])

    def add(self, rows, plan, C, term) -> None:
        a = self.problem.a[rows].astype(np.float64)
        self.row_error += np.abs(plan.sum(axis=1) - a).sum()
        self.columns += plan.sum(axis=0)
        # 0 * inf: a forbidden pair that carries nothing costs nothing.
        self.linear += np.where(plan > 0, plan * C, 0.0).sum()
        self.term += term

    def verdict(self) -> Verdict:
        column_error = np.abs(self.columns - self.problem.b).sum()
        error = (self.row_error + column_error) / self.problem.a.sum(dtype=np.float64)
        if not np.isfinite(error):
            return REJECTED
        objective = self.linear + self.strength * self.term
        return Verdict(float(error), float(objective), float(self.linear))
