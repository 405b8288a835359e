"""Couplings of small entropy, also through a code of bounded entropy: against definitions, exhaustive searches."""

from __future__ import annotations

import itertools
import math
import pickle

import numpy as np
import pytest
from checks import check_library, check_same_bits, host
from hypothesis import given
from hypothesis import strategies as st
from oracles import SETTINGS

from ot_solvers import UnsupportedError, couplings
from ot_solvers.couplings import information

EXCESS = {2: math.log2(math.e) / math.e, 3: (1 + math.log2(math.e)) / 2}


def bits(p):
    """Entropy of the positive entries, by its definition."""
    p = np.ravel(p)
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def h(p):
    return bits(np.array([p, 1 - p]))


def random_weights(rng, size):
    """Sum 1, from nearly equal to nearly all in one state."""
    return rng.dirichlet(np.full(size, rng.choice([0.3, 1.0, 5.0])))


def vertices_minimum(marginals):
    """The smallest entropy of any coupling: entropy is concave, so at a vertex of the polytope of couplings."""
    shape = tuple(w.size for w in marginals)
    cells = list(itertools.product(*map(range, shape)))
    rows = [[cell[k] == i for cell in cells] for k, size in enumerate(shape) for i in range(size - (k > 0))]
    A, right = (
        np.array(rows, dtype=float),
        np.concatenate([w[: w.size - (k > 0)] for k, w in enumerate(marginals)]),
    )
    bases = np.array(list(itertools.combinations(range(len(cells)), len(rows))))
    matrices = A[:, bases].transpose(1, 0, 2)
    regular = np.abs(np.linalg.det(matrices)) > 0.5  # of zeros and ones: integers
    found = np.linalg.solve(matrices[regular], np.broadcast_to(right, (regular.sum(), right.size))[..., None])[
        ..., 0
    ]
    return min(bits(p) for p in found[(found >= -1e-12).all(axis=1)])


def partitions(n):
    """All functions of n states, as labels in the order of first use."""
    if n == 1:
        yield (0,)
        return
    for head in partitions(n - 1):
        yield from ((*head, label) for label in range(max(head) + 2))


def published_code(p, rate):
    """Entropy of the code by the procedure as it is published, merge by merge."""
    p = sorted(p)
    while bits(p) > rate:
        smallest = sorted([p[0] + p[1], *p[2:]])
        p = smallest if bits(smallest) <= rate else sorted([*p[:-2], p[-2] + p[-1]])
    return bits(p)


def dense_check(coupling, marginals, rtol=1e-12):
    """A coupling against all its definitions."""
    total = marginals[0].sum()
    sizes = [w.size for w in marginals]
    assert coupling.shape == tuple(sizes)
    assert coupling.mass.size <= sum(sizes) - len(sizes) + 1
    assert len(set(zip(*map(tuple, coupling.index)))) == coupling.mass.size
    assert (coupling.mass > 0).all()
    for k, (w, i) in enumerate(zip(marginals, coupling.index)):
        np.testing.assert_allclose(np.bincount(i, coupling.mass, w.size), w * (total / w.sum()), rtol=rtol, atol=0)
        assert coupling.marginal_entropies[k] == pytest.approx(bits(w / w.sum()), abs=1e-12)
    assert coupling.joint_entropy == pytest.approx(bits(coupling.mass / total), abs=1e-12)
    correlation = sum(coupling.marginal_entropies) - coupling.joint_entropy
    assert coupling.mutual_information == pytest.approx(correlation, abs=1e-11)
    assert max(coupling.marginal_entropies) - 1e-12 <= coupling.lower_bound <= coupling.joint_entropy
    assert coupling.gap == pytest.approx(coupling.joint_entropy - coupling.lower_bound, abs=1e-15)
    assert coupling.gap <= EXCESS[min(len(sizes), 3)] + 1e-12


# --- minimum entropy ------------------------------------------------------------------------------------------


@pytest.mark.fast
def test_a_coupling_by_hand():
    coupling = couplings.minimum_entropy_coupling([0.6, 0.4], [0.3, 0.5, 0.2])
    # 0.6 meets 0.5, then 0.4 meets 0.3, then 0.1 each meet 0.2 in turn.
    np.testing.assert_allclose(coupling.plan, [[0, 0.5, 0.1], [0.3, 0, 0.1]], atol=1e-15)
    assert [tuple(pair) for pair in np.transpose(coupling.index)][:2] == [(0, 1), (1, 0)]
    assert coupling.joint_entropy == pytest.approx(bits([0.5, 0.3, 0.1, 0.1]))
    np.testing.assert_array_equal(coupling.sparse_plan().toarray(), coupling.plan)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 4), (3, 3), (3, 4)])
def test_between_the_bound_and_the_guarantee_around_the_true_minimum(rng, n, m):
    for _ in range(10):
        a, b = random_weights(rng, n), random_weights(rng, m)
        coupling = couplings.minimum_entropy_coupling(a, b)
        dense_check(coupling, [a, b])
        least = vertices_minimum([a, b])
        assert coupling.lower_bound <= least + 1e-9
        assert least - 1e-9 <= coupling.joint_entropy <= least + EXCESS[2]


def test_three_marginals_around_the_true_minimum(rng):
    for shape in [(2, 2, 2), (2, 2, 3)]:
        for _ in range(5):
            marginals = [random_weights(rng, size) for size in shape]
            coupling = couplings.minimum_entropy_coupling(*marginals)
            dense_check(coupling, marginals)
            least = vertices_minimum(marginals)
            assert coupling.lower_bound <= least + 1e-9
            assert least - 1e-9 <= coupling.joint_entropy <= least + EXCESS[3]


def test_three_marginals_are_an_array_of_three_axes():
    coupling = couplings.minimum_entropy_coupling([0.5, 0.5], [0.5, 0.25, 0.25], [0.5, 0.5])
    assert coupling.plan.shape == (2, 3, 2)
    np.testing.assert_allclose(coupling.plan.sum(axis=(0, 2)), [0.5, 0.25, 0.25])
    assert (coupling.joint_entropy, coupling.mutual_information) == (1.5, 2.0)
    assert "total correlation" in repr(coupling)
    with pytest.raises(UnsupportedError, match="3 marginals is no matrix"):
        coupling.sparse_plan()


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=9), min_size=2, max_size=4))
@SETTINGS
def test_any_marginals(weights):
    marginals = [np.array(w, dtype=float) for w in weights]
    if all(w.any() for w in marginals):
        marginals = [w / w.sum() for w in marginals]
        dense_check(couplings.minimum_entropy_coupling(*marginals), marginals)


def test_equal_distributions_are_matched_one_to_one(rng):
    a = random_weights(rng, 50)
    order = rng.permutation(50)
    coupling = couplings.minimum_entropy_coupling(a, a[order])
    assert coupling.mass.size == 50
    assert coupling.gap == 0
    assert coupling.joint_entropy == pytest.approx(coupling.mutual_information)
    np.testing.assert_array_equal(coupling.plan, np.diag(a)[:, order])


def test_many_equal_masses():
    coupling = couplings.minimum_entropy_coupling(np.ones(300), np.ones(300))
    np.testing.assert_array_equal(coupling.plan, np.eye(300))
    coupling = couplings.minimum_entropy_coupling(np.full(300, 1 / 300), np.full(100, 1 / 100))
    # No entry is rounding: three states fill one.
    assert coupling.mass.size == 300
    assert coupling.joint_entropy == pytest.approx(math.log2(300), abs=1e-12)
    assert couplings.minimum_entropy_coupling([0.3, 0.7], [0.1, 0.2, 0.7]).mass.size == 3


def test_one_state():
    coupling = couplings.minimum_entropy_coupling([2.0], [0.5, 0.5, 1.0])
    np.testing.assert_array_equal(coupling.plan, [[0.5, 0.5, 1.0]])
    assert (coupling.joint_entropy, coupling.mutual_information, coupling.gap) == (1.5, 0.0, 0.0)
    alone = couplings.minimum_entropy_coupling([3], [3])
    assert (alone.joint_entropy, alone.lower_bound, alone.mutual_information) == (0, 0, 0)
    assert math.copysign(1, alone.joint_entropy) == 1


def test_units(rng):
    a, b = random_weights(rng, 12), random_weights(rng, 9)
    first = couplings.minimum_entropy_coupling(a, b)
    second = couplings.minimum_entropy_coupling(a, b, unit="nats")
    assert (first.unit, second.unit) == ("bits", "nats")
    for name in ("joint_entropy", "mutual_information", "lower_bound", "gap"):
        assert getattr(second, name) == pytest.approx(math.log(2) * getattr(first, name), rel=1e-12), name
    assert f"{first.joint_entropy:.6g} bits" in repr(first)
    assert f"{second.joint_entropy:.6g} nats" in repr(second)


def test_scale_and_order_of_states_do_not_matter(rng):
    a, b = random_weights(rng, 20), random_weights(rng, 30)
    expected = couplings.minimum_entropy_coupling(a, b)
    rows, columns = rng.permutation(20), rng.permutation(30)
    moved = couplings.minimum_entropy_coupling(8 * a[rows], 8 * b[columns])
    np.testing.assert_allclose(moved.plan, 8 * expected.plan[rows][:, columns], atol=1e-15)
    assert moved.joint_entropy == pytest.approx(expected.joint_entropy, rel=1e-12)
    swapped = couplings.minimum_entropy_coupling(b, a)
    np.testing.assert_allclose(swapped.plan.T, expected.plan, atol=1e-15)


# --- how small it can be --------------------------------------------------------------------------------------


def test_either_bound_may_win():
    a, b = np.array([0.6, 0.2, 0.2]), np.array([0.5, 0.5])
    # Sorted by size: 0.4 of the mass within states of 0.2, the rest within states of 0.5.
    profile = 0.4 * math.log(5) + 0.6 * math.log(2)
    assert information.coupling_entropy_bound([a, b]) == pytest.approx(profile)
    a, b = np.array([25, 23]) / 48, np.array([28, 5, 5, 4, 2]) / 44
    # Partial sums, whichever is smaller: 25/48, then those of b.
    meet = np.diff(np.minimum([25 / 48, 1, 1, 1, 1], np.cumsum(b)), prepend=0)
    assert information.coupling_entropy_bound([a, b]) == pytest.approx(bits(meet) * math.log(2))


def test_bounds_of_the_same_distribution_are_its_entropy(rng):
    p = random_weights(rng, 40)
    assert information.coupling_entropy_bound([p, p[::-1], p]) == pytest.approx(bits(p) * math.log(2))


# --- published figures ----------------------------------------------------------------------------------------


def joint_entropies(draw, rng, runs=100):
    """(runs, 2): nats, independent and greedy."""
    found = []
    for _ in range(runs):
        a, b = draw(rng), draw(rng)
        coupling = couplings.minimum_entropy_coupling(a / a.sum(), b / b.sum(), unit="nats")
        found.append((sum(coupling.marginal_entropies), coupling.joint_entropy))
    return np.array(found)


def test_published_joint_entropies(rng):
    """Table 1 of Ebrahimi et al. 2024, 100 pairs: independent 5.443 +- 0.101, greedy 2.946 +- 0.064.

    How the marginals were drawn it does not say. Both means and both deviations are those, in nats, of absolute
    values of normal variables, 20 to a marginal.
    """
    found = joint_entropies(lambda rng: np.abs(rng.normal(size=20)), rng)
    error = found.std(axis=0) / math.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - [5.443, 2.946]) <= 3 * math.sqrt(2) * error).all()
    np.testing.assert_allclose(found.std(axis=0), [0.101, 0.064], rtol=0.3)


def test_published_joint_entropies_by_uniform_draws(rng):
    """With 18 uniform draws per marginal both means are within the published deviations."""
    found = joint_entropies(lambda rng: rng.random(18), rng)
    assert (np.abs(found.mean(axis=0) - [5.443, 2.946]) <= [0.101, 0.064]).all()


# --- codes of bounded entropy ---------------------------------------------------------------------------------


def random_problem(rng):
    p = random_weights(rng, rng.integers(2, 25))
    return p, rng.uniform(0, 1.05) * bits(p)


@pytest.mark.parametrize("last_merge", ["closest", "greedy"])
def test_rate_less_information_is_at_most_the_entropy_of_the_second_largest(rng, last_merge):
    for _ in range(1000):
        p, rate = random_problem(rng)
        code = couplings.entropy_bounded_code(p, rate, last_merge=last_merge)
        mass = np.bincount(code.symbol, weights=p)
        assert code.mutual_information == pytest.approx(bits(mass), abs=1e-12)
        assert code.mutual_information <= rate + 1e-12
        wasted = min(rate, bits(p)) - code.mutual_information
        assert code.gap == pytest.approx(wasted, abs=1e-12)
        assert code.gap_bound == pytest.approx(h(np.sort(p)[-2]))
        assert wasted <= code.gap_bound + 1e-12


def test_as_published_merge_by_merge(rng):
    for _ in range(200):
        p, rate = random_problem(rng)
        code = couplings.entropy_bounded_code(p, rate, last_merge="greedy")
        assert code.mutual_information == pytest.approx(published_code(p, rate), abs=1e-12)


def test_the_closest_merge_is_never_worse_and_mostly_much_better(rng):
    gaps = []
    for _ in range(100):
        p = rng.random(20)
        rate = rng.uniform() * bits(p / p.sum())
        gaps.append([couplings.entropy_bounded_code(p, rate, last_merge=m).gap for m in ("closest", "greedy")])
    closest, greedy = np.transpose(gaps)
    assert (closest <= greedy + 1e-12).all()
    assert closest.mean() < 0.2 * greedy.mean()


def test_the_closest_merge_is_the_best_of_all_pairs(rng):
    for _ in range(200):
        p, rate = random_problem(rng)
        stage = sorted(p, reverse=True)
        if bits(stage) <= rate:
            continue
        while bits(after := [stage[0] + stage[1], *stage[2:]]) > rate:
            stage = after
        pairs = itertools.combinations(range(len(stage)), 2)
        merged = [bits([*np.delete(stage, pair), stage[pair[0]] + stage[pair[1]]]) for pair in pairs]
        best = max(entropy for entropy in merged if entropy <= rate + 1e-12)
        assert couplings.entropy_bounded_code(p, rate).mutual_information == pytest.approx(best, abs=1e-12)


def test_no_code_of_the_rate_beats_the_gap(rng):
    for _ in range(20):
        p = random_weights(rng, 6)
        rate = rng.uniform() * bits(p)
        entropies = [bits(np.bincount(labels, weights=p)) for labels in partitions(6)]
        best = max(entropy for entropy in entropies if entropy <= rate)
        code = couplings.entropy_bounded_code(p, rate)
        assert code.mutual_information <= best + 1e-12
        assert best <= code.mutual_information + code.gap + 1e-12


@pytest.mark.parametrize("last_merge", ["closest", "greedy"])
def test_degenerate_rates(last_merge):
    p = np.array([0.1, 0.0, 0.4, 0.3, 0.0, 0.2])
    full = bits(p)
    for rate in (0, 1e-20):
        code = couplings.entropy_bounded_code(p, rate, last_merge=last_merge)
        assert (code.shape, code.mutual_information, code.gap) == ((6, 1), 0, rate)
    for rate in (full, full * (1 - 1e-15), full + 1, np.inf):
        code = couplings.entropy_bounded_code(p, rate, last_merge=last_merge)
        np.testing.assert_array_equal(code.symbol, [0, 0, 1, 2, 0, 3])
        assert (code.mutual_information, code.source_entropy) == (pytest.approx(full), pytest.approx(full))
        assert code.gap <= 1e-14
    below = couplings.entropy_bounded_code(p, full - 1e-6, last_merge=last_merge)
    # The two smallest are together, the rest is as it was.
    np.testing.assert_array_equal(below.symbol, [0, 0, 1, 2, 0, 0])
    assert below.gap == pytest.approx(full - 1e-6 - bits([0.3, 0.4, 0.3]))


def test_a_single_state_and_two():
    code = couplings.entropy_bounded_code([5.0], 0)
    assert (code.shape, code.gap, code.gap_bound, code.rate) == ((1, 1), 0, 0, 0)
    code = couplings.entropy_bounded_code([0.9, 0.1], 0.4)
    # Nothing between all and nothing, and the guarantee is sharp.
    assert (code.mutual_information, code.gap) == (0, 0.4)
    assert code.gap_bound == pytest.approx(h(0.1))


def test_units_of_the_rate(rng):
    p = random_weights(rng, 30)
    first = couplings.entropy_bounded_code(p, 2.0)
    second = couplings.entropy_bounded_code(p, 2.0 * math.log(2), unit="nats")
    np.testing.assert_array_equal(first.symbol, second.symbol)
    assert second.gap == pytest.approx(math.log(2) * first.gap, abs=1e-13)
    assert second.gap_bound == pytest.approx(math.log(2) * first.gap_bound)
    assert "2 bits" in repr(first)
    assert "1.38629 nats" in repr(second)


def test_plan_of_a_code(rng):
    p = 3 * random_weights(rng, 30)
    p[[0, 7]] = 0
    code = couplings.entropy_bounded_code(p, 2.0)
    n, k = code.shape
    assert code.plan.shape == (30, k)
    np.testing.assert_array_equal(code.plan.sum(axis=1), p)
    np.testing.assert_allclose(code.plan.sum(axis=0), code.mass, rtol=1e-14)
    np.testing.assert_array_equal(code.sparse_plan().toarray(), code.plan)
    assert code.sparse_plan().nnz == np.count_nonzero(p)


# --- through the bottleneck -----------------------------------------------------------------------------------


@pytest.mark.parametrize("last_merge", ["closest", "greedy"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_a_chain_of_encoder_and_decoder(rng, last_merge, share):
    for _ in range(20):
        a, b = 2 * random_weights(rng, rng.integers(1, 15)), 2 * random_weights(rng, rng.integers(1, 15))
        rate = share * bits(a / 2)
        found = couplings.bottleneck_coupling(a, b, rate, last_merge=last_merge)
        encoder, decoder = found.encoder.plan / 2, found.decoder.plan / 2
        composed = encoder @ (decoder / encoder.sum(axis=0)[:, None])
        np.testing.assert_allclose(found.plan / 2, composed, atol=1e-15)
        np.testing.assert_allclose(found.plan.sum(axis=1), a, rtol=1e-11)
        np.testing.assert_allclose(found.plan.sum(axis=0), b, rtol=1e-11)
        # All information by its definition.
        assert found.joint_entropy == pytest.approx(bits(composed), abs=1e-11)
        shared = bits(a / 2) + bits(b / 2) - bits(composed)
        assert found.mutual_information == pytest.approx(shared, abs=1e-11)
        assert found.decoder.mutual_information == pytest.approx(shared, abs=1e-11)
        assert -1e-15 <= found.mutual_information <= found.upper_bound <= rate + 1e-12
        assert found.mutual_information <= found.encoder.mutual_information <= rate + 1e-12
        alone = couplings.entropy_bounded_code(a, rate, last_merge=last_merge)
        np.testing.assert_array_equal(found.encoder.symbol, alone.symbol)


def test_no_code_and_decoder_beat_the_upper_bound(rng):
    for _ in range(5):
        a, b = random_weights(rng, 4), random_weights(rng, 3)
        rate = rng.uniform(0.2, 1.1) * bits(a)
        found = couplings.bottleneck_coupling(a, b, rate)
        best = 0.0
        for labels in partitions(4):
            t = np.bincount(labels, weights=a)
            if bits(t) <= rate:
                best = max(best, bits(t) + bits(b) - vertices_minimum([t, b]))
        assert found.mutual_information - 1e-9 <= best <= found.upper_bound + 1e-9


def test_a_wide_bottleneck_is_the_coupling_itself(rng):
    a, b = random_weights(rng, 20), random_weights(rng, 25)
    plain = couplings.minimum_entropy_coupling(a, b, unit="nats")
    wide = couplings.bottleneck_coupling(a, b, np.inf, unit="nats")
    np.testing.assert_allclose(wide.plan, plain.plan, atol=1e-16)
    assert wide.mutual_information == pytest.approx(plain.mutual_information, rel=1e-12)
    assert wide.upper_bound == pytest.approx(sum(plain.marginal_entropies) - plain.lower_bound)
    assert wide.encoder.shape == (20, 20)
    assert "nats" in repr(wide) and "20 x 25" in repr(wide)


def test_no_rate_leaves_nothing_but_independence(rng):
    a, b = random_weights(rng, 5), random_weights(rng, 6)
    found = couplings.bottleneck_coupling(a, b, 0)
    np.testing.assert_allclose(found.plan, np.outer(a, b), rtol=1e-14)
    assert (found.mutual_information, found.upper_bound) == (0, 0)


def test_states_without_weight(rng):
    a, b = random_weights(rng, 9), random_weights(rng, 8)
    a[[0, 4]] = b[[7]] = 0
    a, b = a / a.sum(), b / b.sum()
    dense_check(couplings.minimum_entropy_coupling(a, b), [a, b])
    kept = couplings.bottleneck_coupling(a[a > 0], b[b > 0], 1.5)
    found = couplings.bottleneck_coupling(a, b, 1.5)
    np.testing.assert_allclose(found.plan[a > 0][:, b > 0], kept.plan, rtol=1e-12)
    assert not found.plan[a == 0].any() and not found.plan[:, b == 0].any()
    assert found.sparse_plan().nnz == kept.sparse_plan().nnz
    assert found.mutual_information == pytest.approx(kept.mutual_information)


# --- hard input -----------------------------------------------------------------------------------------------

WIDE = np.array([1e300, 1e-300, 3e200, 1.0, 1e-300, 5e299, 0.0])


@pytest.mark.parametrize("other", [np.array([1.5e300]), WIDE[::-1], np.array([5e299, 1e300, 1e-290])])
def test_masses_over_the_whole_range(other):
    for a, b in ((WIDE, other), (other, WIDE)):
        coupling = couplings.minimum_entropy_coupling(a, b)
        dense_check(coupling, [a, b])
        for rate in (0.5, np.inf):
            found = couplings.bottleneck_coupling(a, b, rate)
            np.testing.assert_allclose(found.plan.sum(axis=1), a, rtol=1e-12, atol=0)
            np.testing.assert_allclose(found.plan.sum(axis=0), b, rtol=1e-12, atol=0)
            assert found.encoder.gap <= found.encoder.gap_bound


def test_composition_underflows_only_where_the_plan_does():
    found = couplings.bottleneck_coupling([1e300, 1e-300], [9e299, 1e299, 1e-300], 0)
    np.testing.assert_allclose(found.plan, [[9e299, 1e299, 1e-300], [9e-301, 1e-301, 0]], rtol=1e-14)


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1e299])
def test_total_masses_of_any_size(rng, scale):
    a, b = random_weights(rng, 8), random_weights(rng, 6)
    expected = couplings.bottleneck_coupling(a, b, 1.2)
    found = couplings.bottleneck_coupling(scale * a, scale * b, 1.2)
    np.testing.assert_allclose(found.plan / scale, expected.plan, rtol=1e-12)
    assert found.mutual_information == pytest.approx(expected.mutual_information, rel=1e-12)


def test_rounding_leaves_no_state_behind(rng):
    """Sums that agree up to rounding only: what is left over is found a place, within n + m - 1 entries."""
    for _ in range(200):
        n, m = rng.integers(1, 60, 2)
        a, b = rng.random(n) ** rng.choice([1, 30]), rng.random(m) ** rng.choice([1, 30])
        b *= a.sum() / b.sum() * (1 + 1e-7 * rng.uniform(-1, 1))
        dense_check(couplings.minimum_entropy_coupling(a, b), [a, b])


def test_dust_beside_one_state():
    a = np.append(1.0, np.full(20, 1e-18))
    for b in (np.array([1.0]), np.append(1.0, np.full(5, 3e-18)), np.array([0.25] * 4)):
        coupling = couplings.minimum_entropy_coupling(a, b)
        dense_check(coupling, [a, b])
    # Rescaling by a little less than 1 does not round the last bit away.
    dense_check(couplings.minimum_entropy_coupling([1.0], b := np.array([1.0000001, 2.0**-60])), [np.ones(1), b])


def test_many_states_take_little_time(rng):
    a, b = rng.random(20_000), rng.random(15_000)
    a, b = a / a.sum(), b / b.sum()
    coupling = couplings.minimum_entropy_coupling(a, b)
    dense_check(coupling, [a, b])
    found = couplings.bottleneck_coupling(a, b, 6.0)
    assert found.encoder.gap < 1e-5
    assert found.mutual_information > 5.5


# --- arrays of the caller -------------------------------------------------------------------------------------


def test_memory_of_the_caller_is_read_only_and_not_kept(rng):
    a, b = random_weights(rng, 12), 2.5 * random_weights(rng, 10) / 2.5
    copies = a.copy(), b.copy()
    for z in (a, b):
        z.flags.writeable = False
    found = couplings.bottleneck_coupling(a, b, 1.5)
    check_same_bits(a, copies[0])
    check_same_bits(b, copies[1])
    a.flags.writeable = True
    a[:] = 0
    np.testing.assert_allclose(found.plan.sum(axis=1), copies[0], rtol=1e-12)
    expected = found.decoder.plan.sum()
    found.encoder.symbol[:] = 0
    found.decoder.mass[:] = 0
    assert found.decoder.sparse_plan().sum() == pytest.approx(expected)
    assert found.plan.any(axis=1).all()


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_results_come_back_as_the_arrays_came(rng, library):
    a, b = (random_weights(rng, size).astype(np.float32) for size in (9, 7))
    if library == "numpy":
        first, second = a, b
    else:
        namespace = pytest.importorskip("torch" if library == "torch" else "jax.numpy")
        first, second = namespace.asarray(a), namespace.asarray(b)
    found = couplings.bottleneck_coupling(first, second, first.sum(), unit="nats")
    for array in (found.plan, found.encoder.plan, found.encoder.mass, found.decoder.plan, found.decoder.mass):
        check_library(array, first)
    for array in (found.encoder.symbol, *found.decoder.index):
        assert type(array) is type(first)
    assert found.sparse_plan().dtype == np.float32
    for number in (found.mutual_information, found.decoder.joint_entropy, found.encoder.gap):
        if library == "numpy":
            assert isinstance(number, float)
        else:
            check_library(number, first)
    expected = couplings.bottleneck_coupling(a.astype(float), b.astype(float) * a.sum() / b.sum(), float(a.sum()))
    plain = couplings.bottleneck_coupling(a, b, float(a.sum()))
    np.testing.assert_allclose(plain.plan, expected.plan, atol=1e-7)
    np.testing.assert_allclose(host(found.plan).sum(axis=1), a, rtol=1e-5)


def test_integers_and_lists():
    counts = couplings.minimum_entropy_coupling(np.array([3, 1]), np.array([2, 2], dtype=np.uint8))
    assert counts.plan.dtype == np.float64
    np.testing.assert_array_equal(counts.plan, [[2, 1], [0, 1]])
    listed = couplings.minimum_entropy_coupling([3, 1], (2, 2))
    np.testing.assert_array_equal(listed.plan, counts.plan)
    assert couplings.entropy_bounded_code([True, True], np.float32(1)).shape == (2, 2)


def test_half_precision_and_strided_memory(rng):
    a = np.repeat(random_weights(rng, 6), 2)
    found = couplings.minimum_entropy_coupling(a[::2], a[::-2])
    np.testing.assert_allclose(found.plan.sum(axis=1), a[::2])
    assert couplings.minimum_entropy_coupling(np.float16([0.5, 0.5]), np.float16([1.0])).plan.dtype == np.float32


def test_results_survive_a_pickle(rng):
    found = couplings.bottleneck_coupling(random_weights(rng, 9), random_weights(rng, 8), 1.0)
    twin = pickle.loads(pickle.dumps(found))
    check_same_bits(twin.plan, found.plan)
    assert repr(twin) == repr(found)


# --- bad input ------------------------------------------------------------------------------------------------

BAD_WEIGHTS = [
    ([0.5, np.nan], ValueError, r"a\[1\] is nan"),
    ([np.inf, 0.5], ValueError, r"a\[0\] is inf"),
    ([1.5, -0.5], ValueError, r"a\[1\] is -0\.5; weights must not be negative"),
    ([0.0, 0.0], ValueError, "a has total mass 0"),
    ([1e308, 1e308], ValueError, "total mass of a overflows"),
    ([], ValueError, r"a has shape \(0,\)"),
    (1.0, ValueError, r"a has shape \(\); expected \(n,\)"),
    ([[1.0]], ValueError, r"a has shape \(1, 1\); expected \(n,\)"),
    (None, TypeError, "a has dtype object"),
    (["x"], TypeError, "a has dtype"),
]


@pytest.mark.parametrize(("a", "error", "message"), BAD_WEIGHTS)
def test_bad_weights(a, error, message):
    with pytest.raises(error, match=message):
        couplings.minimum_entropy_coupling(a, [1.0])
    with pytest.raises(error, match=message):
        couplings.bottleneck_coupling(a, [1.0], 1.0)
    with pytest.raises(error, match=message):
        couplings.entropy_bounded_code(a, 1.0)


def test_unequal_masses():
    message = r"sum\(a\)=1, sum\(b\)=1\.00001.*divide each marginal"
    with pytest.raises(ValueError, match=message):
        couplings.minimum_entropy_coupling([0.5, 0.5], [1.00001])
    with pytest.raises(ValueError, match=message):
        couplings.bottleneck_coupling([0.5, 0.5], [1.00001], 1.0)
    with pytest.raises(ValueError, match=r"sum\(a\)=1, sum\(more\[1\]\)=2\."):
        couplings.minimum_entropy_coupling([1.0], [1.0], [1.0], [2.0])
    # Sums in single precision agree to less.
    single = np.full(2, 0.5, np.float32)
    couplings.minimum_entropy_coupling(single, np.float32([1.0001]))
    with pytest.raises(ValueError, match=r"sum\(b\)=1\.0099"):
        couplings.minimum_entropy_coupling(single, np.float32([1.01]))


def test_bad_words_and_rates():
    with pytest.raises(ValueError, match=r"unit='bit' is unknown.*did you mean 'bits'"):
        couplings.minimum_entropy_coupling([1.0], [1.0], unit="bit")
    with pytest.raises(ValueError, match="unit=2"):
        couplings.bottleneck_coupling([1.0], [1.0], 1.0, unit=2)
    with pytest.raises(ValueError, match="last_merge='close' is unknown"):
        couplings.entropy_bounded_code([1.0], 1.0, last_merge="close")
    for rate in (-0.1, np.nan):
        with pytest.raises(ValueError, match=rf"rate={rate}.*entropy in nats"):
            couplings.entropy_bounded_code([1.0], rate, unit="nats")
    for rate in ("1", None, True, [1.0], np.ones(1)):
        with pytest.raises(TypeError, match=r"rate=.* is not a number \(bits\)"):
            couplings.bottleneck_coupling([1.0], [1.0], rate)


def test_two_libraries_do_not_mix():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="a is a numpy array and more"):
        couplings.minimum_entropy_coupling(np.ones(1), [1.0], torch.ones(1))
