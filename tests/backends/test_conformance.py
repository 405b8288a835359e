"""Every primitive of every backend against `reference`: primitive x geometry x side x regularisation x dtype.

A new backend enters by its line in the registry and a new primitive by its entry in `CALLS`.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from checks import check_close
from conformance_cases import GEOMETRIES, case, cost_case, plan
from problems import combinations
from scipy import sparse
from tolerances import tolerance

from ot_solvers import PerformanceWarning, costs
from ot_solvers.backends import registry
from ot_solvers.backends.base import CONVERGED, PRIMITIVES
from ot_solvers.geometry import PointCloud
from ot_solvers.geometry.stack import CloudStack, DenseStack
from ot_solvers.penalties import KL, TV, Balanced, Capacity
from ot_solvers.plans.gibbs import GibbsPlan
from ot_solvers.plans.stack import GibbsStack

REFERENCE = registry.get("reference")
BACKENDS = [name for name in registry.names() if name != "reference"]

#: Below this share of the total, column masses of a sweep are the caller's business (`Backend.sweep`).
MASS_FLOOR = {"float64": 1e-50, "float32": 1e-18}
#: Numbers below the normal range may be flushed to 0.
TINY = 1e-300


def exponents(case):
    """Largest exponent of a plan entry, plus one: the relative error that one rounding of it makes."""
    return 1 + case.size / case.eps


def log_weights(case, g):
    with np.errstate(divide="ignore"):
        return np.log(case.b) + g / case.eps


def relative(values, case):
    """Scale of positive sums over plan entries."""
    return exponents(case) * np.abs(values) + TINY / tolerance("float64", "mass")


def penalties(case):
    """One of each; TV cuts some potentials, by a few eps at most; half of the rows are at capacity."""
    spread = np.ptp(case.cost_range)
    cut = max(np.abs(case.f).max() - 3 * case.eps, case.eps)
    at_capacity = Capacity(float(np.median(case.f)))
    return {"balanced": Balanced(), "kl": KL(0.7 * spread), "tv": TV(cut), "capacity": at_capacity}


# --- one entry per primitive: what it says of a case, potentials and costs counted from the offset --------------
# Each returns {name: (value, quantity of the table of tolerances, scale)}.


def of_softmin(backend, case, geometry, offset):
    h = log_weights(case, case.g)
    nothing = np.full(h.shape, -np.inf)
    scale = case.size + offset
    return {
        "softmin": (backend.softmin(geometry, h, case.eps) - offset, "potential", scale),
        "of nothing": (backend.softmin(geometry, nothing, case.eps) - offset, "potential", scale),
    }


def from_offset(f, offset):
    """Potentials counted from the offset of the costs; 0 is what a row without finite cost gets."""
    return np.where(f == 0, 0, f - offset)


def swept(found, dtype, case, offset, name, floor=0.0):
    f, masses = found
    inexact = MASS_FLOOR[dtype] * masses.sum() + floor**2 * case.b
    scale = exponents(case) * masses + inexact / tolerance(dtype, "mass")
    return {
        f"{name}, f": (from_offset(f, offset), (dtype, "potential"), case.size + offset),
        f"{name}, column mass": (masses, (dtype, "mass"), scale),
    }


def of_sweep(backend, case, geometry, offset):
    h = log_weights(case, case.g)
    found = {}
    for name, penalty in penalties(case).items():
        if offset and not penalty.hard:
            continue  # the prox of a soft side knows where zero is
        for dtype in case.precisions:
            for shift, f in {"near": case.f + offset, "unknown": None}.items():
                pair = backend.sweep(geometry, f, h, case.eps, case.a, penalty, dtype, log_weights(case, 0.0))
                floor = backend.mass_floor(geometry, dtype)
                found |= swept(pair, dtype, case, offset, f"{name} in {dtype}, shift {shift}", floor)
    return found


def of_sweep_entries(backend, case, geometry, offset):
    """A sweep, and the pattern of the very plan it leaves."""
    kept = plan(case, geometry, offset)
    found = {}
    for name, penalty in penalties(case).items():
        if offset and not penalty.hard:
            continue
        for shift, f in {"near": case.f + offset, "unknown": None}.items():
            what = f"{name}, shift {shift}"
            new = backend.sweep_entries(kept, f, penalty, 1e-3, case.f.size * case.g.size)
            P = REFERENCE.sweep_entries(
                plan(case, case.twin, 0.0), case.f, penalty, 0.0, case.f.size * case.g.size
            )
            indptr, indices, data = P.pattern
            exact = sparse.csr_array((data, indices, indptr), shape=geometry.shape).toarray()
            indptr, indices, data = new.pattern
            matrix = sparse.csr_array((data, indices, indptr), shape=geometry.shape)
            assert matrix.has_canonical_format
            assert new.passes in (1, 2)
            assert (matrix.data > 1e-290 * exact.max()).all()  # nothing, not next to nothing
            least = np.minimum(case.a[:, None], case.b)
            ratio = np.divide(exact, least, out=np.zeros(exact.shape), where=exact > 0)
            sure = np.abs(ratio - 1e-3) > 4 * tolerance("float64", "mass") * exponents(case) * 1e-3
            found |= swept((new.f, new.column_mass), "float64", case, offset, what)
            found[f"{what}, pattern"] = (np.where(sure, matrix.toarray(), 0.0), "mass", relative(exact, case))
            none = backend.sweep_entries(kept, f, penalty, 1e-3, 0).pattern is None
            found[f"{what}, given up"] = (none == (matrix.nnz > 0), "cost", 0.0)
    return found


def of_absorb(backend, case, geometry, offset):
    """The first sweep of a stored kernel, at potentials some way from those it was made for."""
    found = {}
    g = case.g + 3 * case.eps * np.cos(np.arange(case.g.size))
    for name, penalty in penalties(case).items():
        if offset and not penalty.hard:
            continue
        for dtype in case.precisions:
            kept = plan(case, geometry, offset)
            stored = backend.absorb(kept, dtype)
            if "absorb" in backend.primitives(geometry.kind):
                assert stored is not None
            pair = None if stored is None else stored.sweep(g, case.b, case.a, penalty)
            if pair is None:
                # Lazy, or out of reach: what the caller does then.
                h = log_weights(case, g) + kept.log_mass
                f, masses = REFERENCE.sweep(case.twin, case.f, h, case.eps, case.a, penalty)
                pair = np.where(f == 0, 0, f + offset), masses
            found |= swept(pair, dtype, case, offset, f"{name} in {dtype}")
    return found


def of_hardmin(backend, case, geometry, offset):
    masked = np.where(case.b > 0, case.g, -np.inf)
    return {"hardmin": (backend.hardmin(geometry, masked) - offset, "cost", case.size + offset)}


def of_cost_statistics(backend, case, geometry, offset):
    found = backend.cost_statistics(geometry)
    return {
        "minimum": (found.minimum - offset, "cost", case.size + offset),
        "maximum": (found.maximum - offset, "cost", case.size + offset),
        "mean": (found.mean - offset, "cost", case.size + offset),
        "pairs": (found.pairs, "cost", 0.0),
    }


def of_transport(backend, case, geometry, offset):
    rng = np.random.default_rng(1)
    v = rng.normal(size=(case.g.size, 3))
    kept = plan(case, geometry, offset)
    scale = relative(REFERENCE.transport(plan(case, case.twin, 0.0), np.abs(v)), case)
    return {"transport": (backend.transport(kept, v), "mass", scale)}


def of_plan_statistics(backend, case, geometry, offset):
    found = backend.plan_statistics(plan(case, geometry, offset))
    cost = found.row_cost - offset * found.row_mass
    left_out = backend.mass_floor(geometry) ** 2 / tolerance("float64", "mass")
    rows = relative(found.row_mass, case) + left_out * case.a
    return {
        "row mass": (found.row_mass, "mass", rows),
        "column mass": (found.column_mass, "mass", relative(found.column_mass, case) + left_out * case.b),
        "row cost": (cost, "mass", rows * (case.size + offset)),
    }


def of_rounded_objective(backend, case, geometry, offset):
    rng = np.random.default_rng(1)
    n, m = geometry.shape
    x, y = rng.uniform(0.5, 1, n), rng.uniform(0.5, 1, m)
    kept = plan(case, geometry, offset)
    mass = float(x @ backend.transport(kept, y[:, None])[:, 0])
    scale = exponents(case) * mass
    zero_a, zero_b = np.zeros(n), np.zeros(m)
    linear, entropy = backend.rounded_objective(kept, x, y, zero_a, zero_b)
    found = {
        "linear": (linear - offset * mass, "value", scale * (case.size + offset)),
        "entropy": (entropy, "value", scale * exponents(case)),
    }
    added, entropy = backend.rounded_objective(kept, x, y, 0.3 * case.a, case.b)
    found["linear with a remainder"] = (
        added - offset * (mass + 0.3),
        "value",
        (1 + scale) * (case.size + offset),
    )
    if np.isfinite(added):  # the entropy of a plan on forbidden pairs is nobody's business
        found["entropy with a remainder"] = (entropy, "value", (1 + scale) * exponents(case))
    return found


def of_plan_rows(backend, case, geometry, offset):
    n = geometry.shape[0]
    kept = plan(case, geometry, offset)
    rows = backend.plan_rows(kept, 0, n)
    some = backend.plan_rows(kept, 2, n - 1)
    return {
        "plan": (rows, "mass", relative(rows, case)),
        "rows 2 to n - 1": (some, "mass", relative(some, case)),
    }


def of_plan_pattern(backend, case, geometry, offset):
    kept = plan(case, geometry, offset)
    P = REFERENCE.plan_rows(plan(case, case.twin, 0.0), 0, kept.geometry.shape[0])
    ratio = np.divide(P, np.minimum(case.a[:, None], case.b), out=np.zeros(P.shape), where=P > 0)
    found = {}
    for threshold in (0.0, 1e-9, 1e-2, 1.0):
        indptr, indices, data = backend.plan_pattern(kept, threshold, P.size)
        matrix = sparse.csr_array((data, indices, indptr), shape=P.shape)
        assert matrix.has_canonical_format
        # At the threshold, rounding decides.
        sure = np.abs(ratio - threshold) > 4 * tolerance("float64", "mass") * exponents(case) * threshold
        found[f"above {threshold}"] = (np.where(sure, matrix.toarray(), 0.0), "mass", relative(P, case))
    count = len(backend.plan_pattern(kept, 1e-9, P.size)[1])
    given_up = [backend.plan_pattern(kept, 1e-9, limit) is None for limit in (P.size, count, count - 1, 0)]
    found["given up"] = (np.array(given_up), "cost", 0.0)
    return found


def of_sparsify(backend, case, geometry, offset):
    """Backends may keep more than the reference: the promise is checked, not the pattern."""
    kept = plan(case, geometry, offset)
    P = REFERENCE.plan_rows(plan(case, case.twin, 0.0), 0, geometry.shape[0])
    found = {}
    for dropped in (0.0, 1e-6, 0.3):
        indptr, indices, data = backend.sparsify(kept, dropped)
        check_sparsified(P, indptr, indices, data, dropped, exponents(case))
        found[f"kept mass at {dropped}"] = (data.sum() > 0, "mass", 0.0)
    return found


def check_sparsified(P, indptr, indices, data, dropped, scale):
    """CSR parts hold the largest entries of every row of P, and all but the share `dropped` of its mass."""
    assert indptr[0] == 0
    assert indptr[-1] == indices.size == data.size
    for i, row in enumerate(P):
        part = slice(indptr[i], indptr[i + 1])
        columns = indices[part]
        assert (np.diff(columns) > 0).all(), "columns of a row must be sorted and distinct"
        floor = TINY / tolerance("float64", "mass")
        check_close(
            data[part], row[columns], "float64", "mass", scale=scale * row[columns] + floor, what=f"row {i}"
        )
        rest = np.delete(row, columns)
        rounding = 1e-12 * scale * row.sum()
        assert rest.sum() <= dropped * row.sum() + rounding, f"row {i} lost {rest.sum() / row.sum():.3g}"
        if columns.size == 0:
            assert row.sum() == 0, f"row {i} has mass but no entry"
            continue
        smallest = row[columns].min()
        assert smallest >= rest.max(initial=0.0) * (1 - 1e-12 * scale), f"row {i} dropped a larger entry"
        # Not wasteful: without all that is not clearly larger, by an eighth, the loss would exceed the share.
        if dropped:
            hopeless = row[row <= smallest * 1.125].sum() + rounding
            assert hopeless > dropped * row.sum() or columns.size == 1, f"row {i} keeps too much"


def of_top_k(backend, case, geometry, offset):
    h = log_weights(case, case.g)
    found = {}
    for k in (1, 5, geometry.shape[1]):
        indices, values = backend.top_k(geometry, h, case.eps, k)
        found[f"values of top {k}"] = (values - offset, "cost", case.size + offset)
        found[f"indices of top {k}"] = (indices, "cost", 0.0)
    return found


def of_project(backend, case, geometry, offset):
    n, m = geometry.shape
    g = np.where(case.b > 0, case.g, -np.inf)
    everywhere = np.arange(n + 1) * m
    found = {}
    for share in (0.03, 3.0):
        gamma = share * n * max(case.size, 1e-300)
        exact = (case.size + offset) / gamma * n  # what rounding of costs is in masses
        for most in (None, np.full(n, 3)):
            what = f"at gamma {share}" + ("" if most is None else ", three entries")
            part = backend.project(geometry, g, gamma, case.a, most, None, everywhere)
            found[f"f {what}"] = (part.f - offset, "cost", case.size + offset)
            found[f"squares {what}"] = (part.row_square, "mass", exact)
            given = backend.project(geometry, g, gamma, case.a, most, part.f + 0.01 * case.size)
            found[f"squares of given f {what}"] = (given.row_square, "mass", exact + 1.0)
            if most is None:  # ties are in order of index where costs are equal, and rounding makes them differ
                found[f"columns {what}"] = (part.column_mass, "mass", exact)
                dense = np.zeros((n, m))
                for i, count in enumerate(part.row_count):
                    here = slice(everywhere[i], everywhere[i] + count)
                    dense[i, part.indices[here]] = part.masses[here]
                found[f"entries {what}"] = (dense, "mass", exact)
    return found


def of_pair_costs(backend, case, geometry, offset):
    n, m = geometry.shape
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(n, size=4 * n), rng.integers(m, size=4 * n)
    costs = backend.pair_costs(geometry, rows, columns)
    everything = backend.pair_costs(geometry, *(index.ravel() for index in np.indices((n, m))))
    return {
        "costs of some pairs": (costs - offset, "cost", case.size + offset),
        "costs of all pairs": (everything - offset, "cost", case.size + offset),
    }


def of_cost_gradient(backend, case, geometry, offset):
    x, y = geometry.prepared
    n = geometry.shape[0]
    slopes = geometry.cost.gradient(x, y, geometry.block(0, n))
    P = REFERENCE.plan_rows(plan(case, case.twin, 0.0), 0, n)
    scale = exponents(case) * (P[:, :, None] * np.abs(slopes)).sum(1).max(1, keepdims=True)
    # Projections and weights of the coordinates come after the sum.
    pulled = np.abs(geometry.cost.pullback(np.asarray(geometry.x, dtype=np.float64), np.ones(x.shape))).max()
    scale = scale * max(1.0, pulled)
    return {"cost gradient": (backend.cost_gradient(plan(case, geometry, offset)), "gradient", scale)}


def of_solve_small(backend, case, geometry, offset):
    """Plain sweeps of the kernel against the same sweeps written with the reference's primitives."""
    one = penalties(case)
    levels = case.eps * np.array([4.0, 2.0, 1.0])
    log_mass, sweeps, passes = 0.25, 2, 11
    found = {}
    for name, pair in {
        "balanced": (one["balanced"], one["balanced"]),
        "kl and tv": (one["kl"], one["tv"]),
        "tv and hard": (one["tv"], one["balanced"]),
    }.items():
        if offset and not pair[0].hard:
            continue
        g = np.where(case.b > 0, case.g, 0.0)
        done = backend.solve_small(geometry, case.a, case.b, g, levels, pair, log_mass, 0.0, sweeps, passes, False)
        if done is None:
            done = plain_sweeps(case, g, levels, pair, log_mass, sweeps, passes)
            done = np.where(done[0] == 0, 0, done[0] + offset), *done[1:]
        f, g, errors = done
        found[f"{name}, f"] = (from_offset(f, offset), "value", case.size + offset)
        found[f"{name}, g"] = (g, "value", case.size + offset)
        found[f"{name}, errors"] = (errors, "value", exponents(case))
    return found


def plain_sweeps(case, g, levels, pair, log_mass, sweeps, passes):
    live = case.b > 0
    errors = []
    for eps, count in zip(levels, [sweeps, sweeps, passes - 2 * sweeps]):
        for _ in range(count):
            with np.errstate(divide="ignore"):
                log_a, h = np.log(case.a) + log_mass, np.log(case.b) + log_mass + g / eps
            f, masses = REFERENCE.sweep(case.twin, case.f, h, eps, case.a, pair[0])
            errors.append(pair[1].residual(masses[live], case.b[live], g[live]))
            best = f, g
            s = REFERENCE.softmin(case.twin.T, log_a + f / eps, eps)
            g = np.where(live, pair[1].prox(s, eps), g)
    return *best, np.array(errors)


def of_solve_batch(backend, case, geometry, offset):
    """Two problems in one call, of different eps: dual values of potentials that are below the tolerance."""
    n, m = geometry.shape
    twice = np.array([n, n]), np.array([m, m])
    if isinstance(geometry, PointCloud):
        both = (np.concatenate([np.asarray(z)] * 2) for z in (geometry.x, geometry.y))
        stack = CloudStack(*both, np.array([0, n]), np.array([0, m]), *twice, geometry.cost)
    else:
        flat = np.ascontiguousarray(geometry.array).reshape(-1)
        stack = DenseStack(flat, np.zeros(2, dtype=np.int64), *twice)
    spread = np.ptp(case.cost_range)
    eps = np.array([0.05, 0.5]) * spread
    one = penalties(case)
    found = {}
    for name, pair in {"balanced": (one["balanced"], one["balanced"]), "kl": (one["kl"], one["kl"])}.items():
        if offset and not pair[0].hard:
            continue
        nothing = np.zeros(2, dtype=np.int64)
        plans = GibbsStack(
            stack, case.a, case.b, nothing, nothing, np.zeros(2 * n), np.zeros(2 * m), np.array([0, n]),
            np.array([0, m]), eps, np.zeros(2),
        )  # fmt: skip
        tol = 1e-10
        done = backend.solve_batch(plans, np.full(2, np.inf), np.full(2, tol), pair, 10_000)
        assert (done.codes == CONVERGED).all()
        assert (done.errors <= tol).all() and (done.passes > 0).all()
        sums = backend.batch_statistics(plans)
        entries = backend.batch_plans(plans, np.array([1.0, 2.0])).reshape(2, n, m)
        for k in range(2):
            f, g = plans.potentials(k)
            twin = REFERENCE.plan_statistics(GibbsPlan(case.twin, f - offset, g, case.a, case.b, float(eps[k])))
            rows = pair[0].residual(twin.row_mass, case.a, f - offset) + pair[1].residual(
                twin.column_mass, case.b, g
            )
            slack = 1e-4 if case.geometry.dtype == np.float32 and isinstance(geometry, PointCloud) else 1e-7
            assert rows <= tol + slack * (offset > 0) + 1e-10
            dual = pair[0].dual(f - offset, case.a) + pair[1].dual(g, case.b) - eps[k] * twin.row_mass.sum()
            found[f"{name} {k}, dual value"] = (dual, "optimum", case.size)
            np.testing.assert_allclose(sums.row_mass[k * n : (k + 1) * n], twin.row_mass, rtol=1e-7)
            np.testing.assert_allclose(sums.column_mass[k * m : (k + 1) * m], twin.column_mass, rtol=1e-7)
            np.testing.assert_allclose(entries[k].sum(1), (1 + k) * twin.row_mass, rtol=1e-7)
    low, high, mean, pairs = backend.stack_statistics(stack)[1]
    found["statistics"] = (np.array([low, high, mean]) - offset, "potential", case.size + offset)
    assert pairs == n * m
    return found


CALLS = {
    "softmin": of_softmin,
    "sweep": of_sweep,
    "sweep_entries": of_sweep_entries,
    "absorb": of_absorb,
    "hardmin": of_hardmin,
    "cost_statistics": of_cost_statistics,
    "transport": of_transport,
    "plan_statistics": of_plan_statistics,
    "rounded_objective": of_rounded_objective,
    "plan_rows": of_plan_rows,
    "plan_pattern": of_plan_pattern,
    "sparsify": of_sparsify,
    "top_k": of_top_k,
    "project": of_project,
    "pair_costs": of_pair_costs,
    "cost_gradient": of_cost_gradient,
    "solve_small": of_solve_small,
    "solve_batch": of_solve_batch,
}


#: Primitives about single entries, which grids take from the cloud of their points: no new code per cost.
ENTRIES = ("sweep_entries", "rounded_objective", "plan_rows", "plan_pattern", "sparsify", "top_k", "project")


def applies(primitive, geometry, *_):
    """Whether to ask the primitive of the geometry."""
    if primitive == "cost_gradient":  # only points have gradients
        return geometry.startswith("cloud")
    if (
        primitive == "solve_batch"
    ):  # problems with forbidden pairs, or at the limit of rounding, may be left to others
        stacked = geometry.startswith(("dense", "cloud"))
        return stacked and not geometry.endswith(("forbidden", "cut-off", "shifted"))
    return primitive not in ENTRIES or geometry not in ("grid-1d-euclidean", "grid-2d-cityblock", "grid-3d-dot")


def check_primitive(name, primitive, case):
    backend = registry.get(name)
    native = backend.quiet or primitive in backend.primitives(case.geometry.kind)
    silent = native or primitive in ("absorb", "solve_small")  # those say no by returning None
    call = CALLS[primitive]
    expected = call(REFERENCE, case, case.twin, 0.0)
    with nullcontext() if silent else pytest.warns(PerformanceWarning, match=primitive):
        found = call(backend, case, case.geometry, case.offset)
    assert found
    if not case.offset:  # with an offset, soft penalties are left out
        assert found.keys() == expected.keys()
    for what in found:
        value, quantity, scale = expected[what]
        dtype, quantity = quantity if isinstance(quantity, tuple) else ("float64", quantity)
        mine, _, own_scale = found[what]
        check_close(mine, value, dtype, quantity, scale=np.maximum(scale, own_scale), what=what)


def test_every_primitive_is_in_the_suite():
    assert tuple(CALLS) == PRIMITIVES
    for name in registry.names():
        for kind in registry.GEOMETRIES:
            assert registry.get(name).primitives(kind) <= set(PRIMITIVES)


def of_each_primitive(*axes, quick):
    """Combinations of a primitive with the axes; one per primitive is fast."""
    return [
        parameter
        for primitive in PRIMITIVES
        for parameter in combinations([primitive], *axes, quick=(primitive, *quick), valid=applies)
    ]


@pytest.mark.parametrize(
    ("primitive", "geometry", "side", "regularisation"),
    of_each_primitive(GEOMETRIES, ["rows", "columns"], [0.2, 0.01, 1e-4], quick=("cloud", "rows", 0.2)),
)
@pytest.mark.parametrize("name", BACKENDS)
def test_primitive(name, primitive, geometry, side, regularisation):
    check_primitive(name, primitive, case(geometry, side == "columns", regularisation))


@pytest.mark.parametrize(
    ("primitive", "geometry"),
    of_each_primitive(["dense", "dense-fortran", "cloud-float32", "grid-2d", "sparse"], quick=("cloud-float32",)),
)
def test_primitive_in_many_blocks(many_blocks, primitive, geometry):
    check_primitive("numba", primitive, case(geometry, False, 0.01))


COSTS = [
    costs.SqEuclidean(weights=(0.5, 2.0, 1.0)),
    costs.Euclidean(),
    costs.CityBlock(weights=(0.5, 2.0, 1.0)),
    costs.Chebyshev(),
    costs.PNorm(1.0),
    costs.PNorm(3.5),
    costs.Dot(),
    costs.Cosine(),
    costs.Sphere(),
    costs.Hamming(),
]


@pytest.mark.parametrize(
    ("cost", "primitive", "dtype"),
    combinations(
        COSTS,
        ["softmin", "sweep", "cost_gradient"],
        ["float64", "float32"],
        quick=(COSTS[0], "sweep", "float32"),
    ),
    ids=str,
)
@pytest.mark.parametrize("name", BACKENDS)
def test_primitive_with_every_cost(name, primitive, cost, dtype):
    check_primitive(name, primitive, cost_case(cost, dtype, 3, 0.05))


def test_every_named_cost_is_in_the_suite():
    assert {type(costs.by_name(name)) for name in costs.names()} <= {type(cost) for cost in COSTS}


@pytest.mark.parametrize(
    ("cost", "d"),
    combinations(
        [costs.SqEuclidean(), costs.Chebyshev()], [1, 2, 3, 4, 6, 7, 8, 12], quick=(costs.SqEuclidean(), 7)
    ),
    ids=str,
)
@pytest.mark.parametrize("name", BACKENDS)
def test_any_number_of_coordinates(name, cost, d):
    check_primitive(name, "softmin", cost_case(cost, "float64", d, 0.05))
    check_primitive(name, "cost_gradient", cost_case(cost, "float64", d, 0.05))


@pytest.mark.parametrize(
    "geometry", combinations(["dense", "dense-float32", "cloud", "grid-1d", "sparse"], quick=("cloud",))
)
@pytest.mark.parametrize("name", BACKENDS)
def test_a_cut_potential_far_from_its_soft_minimum_gives_no_nan(name, geometry):
    one = case(geometry, False, 1e-4)
    penalty = TV(one.eps)
    g = one.g + 1500 * one.eps
    s = REFERENCE.softmin(one.twin, log_weights(one, g), one.eps)
    assert (np.where(np.isfinite(s), s, 0) < -800 * one.eps).any()
    for dtype in one.precisions:
        f, masses = registry.get(name).sweep(
            one.geometry, None, log_weights(one, g), one.eps, one.a, penalty, dtype
        )
        check_close(f, np.where(np.isfinite(s), np.clip(s, -one.eps, one.eps), 0), dtype, "potential", one.size)
        assert not np.isnan(masses).any()
        assert (masses[one.b == 0] == 0).all() or dtype == "float32"
        assert masses.max() > 1e200
