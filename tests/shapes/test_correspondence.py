"""`correspond` and `CorrespondenceNetwork` on small pairs whose correspondence is known."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from ot_solvers import shapes

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def pair():
    return shapes.example_pair("stretched", 400)


def error(pair, point_map):
    return shapes.mean_geodesic_error(pair.y, point_map, pair.truth)


@pytest.fixture(scope="module")
def found(pair):
    return shapes.correspond(pair.x, pair.y, steps=60)


def test_each_stage_improves_on_the_one_before(pair, found):
    nearest, unrefined, refined = (
        error(pair, m) for m in (found.descriptor_point_map, found.unrefined.point_map, found.point_map)
    )
    assert nearest > 15
    assert unrefined < 0.4 * nearest
    assert refined < 0.8 * unrefined
    # And the other way.
    back = np.empty(pair.truth.size, dtype=int)
    back[pair.truth] = np.arange(pair.truth.size)
    assert shapes.mean_geodesic_error(pair.x, found.inverse_point_map, back) < 0.4 * nearest


@pytest.mark.slow
def test_nearly_isometric_bodies():
    pair = shapes.example_pair("walk", 600)
    found = shapes.correspond(pair.x, pair.y, steps=30)
    assert error(pair, found.point_map) < 1.0
    assert error(pair, found.point_map) < min(
        error(pair, found.unrefined.point_map), error(pair, found.descriptor_point_map)
    )


@pytest.mark.slow
def test_another_triangulation():
    pair = shapes.example_pair("remeshed", 600)
    found = shapes.correspond(pair.x, pair.y, steps=30)
    assert error(pair, found.point_map) < 5.0  # the edges of these meshes are 4.4 long
    assert error(pair, found.point_map) < 0.75 * error(pair, found.descriptor_point_map)


def test_what_comes_back(pair, found):
    n, m = pair.x.n_vertices, pair.y.n_vertices
    assert found.point_map.shape == (n,) and found.inverse_point_map.shape == (m,)
    assert found.refined and not found.stopped and not found.unrefined.refined
    assert found.unrefined.unrefined is found.unrefined
    assert found.functional_map.shape == found.inverse_functional_map.shape == (n // 4, n // 4)
    assert found.unrefined.functional_map.shape == (n // 8, n // 8)
    assert [p.step for p in found.history] == [*range(1, 61), *range(1, 16)]
    assert [p.stage for p in found.history] == ["learning"] * 60 + ["refinement"] * 15
    assert found.unrefined.history == found.history[:60]
    assert all(p.sliced > 0 and p.dirichlet == 0 for p in found.history)
    assert found.history[59].loss < 0.5 * found.history[0].loss
    times = [p.seconds for p in found.history] + [found.seconds]
    assert times == sorted(times)
    # Maps belong to each other: the functional map from y to x made the point map from x to y.
    x, y = found.bases
    again = shapes.point_map_from_functional(found.inverse_functional_map, x, y)
    np.testing.assert_array_equal(again, found.point_map)
    np.testing.assert_array_equal(found.descriptor_point_map, shapes.descriptor_map(pair.x, pair.y))
    assert repr(found).splitlines()[0] == f"Correspondence of {n} with {m} vertices, refined"
    twin = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(twin.point_map, found.point_map)


def test_values_are_carried_along(pair, found):
    np.testing.assert_array_equal(found.transfer(np.arange(pair.y.n_vertices)), found.point_map)
    assert found.transfer(pair.y.vertices).shape == (pair.x.n_vertices, 3)
    with pytest.raises(ValueError, match=r"values has shape \(3,\); expected \(\d+, \.\.\.\)"):
        found.transfer([1, 2, 3])


def test_seeds_and_global_state(pair):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (shapes.correspond(pair.x, pair.y, steps=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(one.point_map, same.point_map)
    np.testing.assert_array_equal(one.functional_map, same.functional_map)
    assert [p[:-1] for p in one.history] == [p[:-1] for p in same.history]
    assert one.history[0].loss != other.history[0].loss


def test_nothing_depends_on_the_order_of_vertices_or_on_their_place(pair):
    """Relabelled and turned, the same vertices are partners: no index, no coordinate is looked at."""
    plain = shapes.correspond(pair.x, pair.y, steps=2, refine=False)
    other, where = pair.x.shuffled(seed=9)
    shuffled = shapes.correspond(other, pair.y, steps=2, refine=False)
    # Rounding is different, and eigenfunctions may change sign: nearly all, not all.
    assert (shuffled.point_map[where] == plain.point_map).mean() > 0.97


def test_parts_can_be_left_out(pair):
    plain = shapes.correspond(pair.x, pair.y, sliced=False, refine=False, steps=4)
    assert plain.unrefined is plain and not plain.refined
    assert all(p.sliced == 0 for p in plain.history) and len(plain.history) == 4
    smooth = shapes.correspond(pair.x, pair.y, sliced=False, refine=False, steps=4, smoothness=5.0)
    first = smooth.history[0]
    assert first.dirichlet > 0
    assert first.loss == pytest.approx(first.structure + first.coupling + 5 * first.dirichlet, rel=1e-5)
    sliced = shapes.correspond(pair.x, pair.y, refine=False, steps=1).history[0]
    assert sliced.loss == pytest.approx(sliced.structure + sliced.coupling + 100 * sliced.sliced, rel=1e-5)
    untrained = shapes.correspond(pair.x, pair.y, steps=0, refine=False)
    assert untrained.history == []


def test_numbers_of_frequencies(pair):
    found = shapes.correspond(pair.x, pair.y, steps=1, frequencies=20, refined_frequencies=35)
    assert found.unrefined.functional_map.shape == (20, 20)
    assert found.functional_map.shape == (35, 35)


@pytest.mark.parametrize(("stage", "at"), [("learning", 3), ("refinement", 2)])
def test_a_callback_stops(pair, stage, at):
    seen = []

    def stop(progress):
        seen.append(progress)
        return progress.stage == stage and progress.step == at

    found = shapes.correspond(pair.x, pair.y, steps=5, callback=stop)
    assert found.stopped and not found.refined
    assert found.history == seen and seen[-1].stage == stage and seen[-1].step == at
    assert len(seen) == (3 if stage == "learning" else 7)
    assert found.point_map.shape == (pair.x.n_vertices,)
    if stage == "refinement":
        assert (found.functional_map != found.unrefined.functional_map).any()


def test_callbacks_that_return_nothing_do_not_stop(pair):
    seen = []
    found = shapes.correspond(pair.x, pair.y, steps=3, refine=False, callback=seen.append)
    assert len(seen) == 3 and not found.stopped


@pytest.mark.slow
def test_a_network_that_has_learned_from_other_pairs():
    """Poses that it has not seen: better than a network that was only drawn."""
    n = 500
    rest, walk, wave, sit = (shapes.body(pose, n_vertices=n) for pose in ("rest", "walk", "wave", "sit"))
    network = shapes.CorrespondenceNetwork(sliced=False)
    assert network.fit([(rest, walk), (walk, wave)], steps=40) is network
    assert len(network.history) == 40
    x, y = rest, sit.shuffled(seed=1)[0]
    truth = sit.shuffled(seed=1)[1]
    drawn = shapes.correspond(x, y, sliced=False, steps=0, refine=False)
    learned = network.correspond(x, y, refine=False)
    assert learned.history == []
    errors = [shapes.mean_geodesic_error(y, c.point_map, truth) for c in (drawn, learned)]
    assert errors[1] < 0.8 * errors[0]
    before = [p.clone() for p in network._learner.network.parameters()]
    refined = network.correspond(x, y)
    assert shapes.mean_geodesic_error(y, refined.point_map, truth) < errors[1]
    assert [p.stage for p in refined.history] == ["refinement"] * 15
    # The refinement has adapted a copy.
    assert all(torch.equal(p, q) for p, q in zip(before, network._learner.network.parameters()))
    network.fit([(rest, walk)], steps=2)
    assert len(network.history) == 42


# --- what is refused -------------------------------------------------------------------------------------------


def disconnected():
    one = shapes.sphere(60)
    return shapes.Mesh(np.vstack([one.vertices, one.vertices + 5]), np.vstack([one.faces, one.faces + 60]))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"x": disconnected}, ValueError, "x has 2 connected components; expected 1"),
        ({"y": disconnected}, ValueError, "y has 2 connected components; expected 1"),
        ({"y": lambda: np.ones((5, 3))}, TypeError, r"y is of type ndarray; expected an ots\.shapes\.Mesh"),
        ({"steps": -1}, ValueError, "steps=-1 must be at least 0"),
        ({"steps": 2.0}, TypeError, r"steps=2\.0 is not an integer"),
        ({"seed": None}, TypeError, "seed=None is not an integer"),
        ({"sliced": 1}, TypeError, "sliced=1 must be True or False"),
        ({"refine": "yes"}, TypeError, "refine='yes' must be True or False"),
        ({"smoothness": -1.0}, ValueError, r"smoothness=-1\.0 must be finite and not negative"),
        ({"smoothness": "much"}, TypeError, "smoothness='much' is not a number"),
        ({"frequencies": 2}, ValueError, "frequencies=2 must be at least 3"),
        ({"frequencies": 59}, ValueError, r"frequencies=59 must be in 3 \.\.\. 58"),
        ({"refined_frequencies": 59}, ValueError, r"refined_frequencies=59 must be in 7 \.\.\. 58"),
        ({"frequencies": 20, "refined_frequencies": 10}, ValueError, r"refined_frequencies=10 must be in 20"),
    ],
)
def test_bad_arguments(options, error, message):
    x, y = (options.pop(name, lambda: shapes.sphere(60))() for name in ("x", "y"))
    with pytest.raises(error, match=message):
        shapes.correspond(x, y, **{"steps": 1, **options})


def test_bad_training():
    network = shapes.CorrespondenceNetwork()
    with pytest.raises(RuntimeError, match="has not learned yet: call fit first"):
        network.correspond(shapes.sphere(60), shapes.sphere(60))
    with pytest.raises(ValueError, match="pairs is empty"):
        network.fit([])
    with pytest.raises(TypeError, match=r"pairs\[0\] is of type Mesh"):
        network.fit([shapes.sphere(60)])
    with pytest.raises(ValueError, match=r"pairs\[1\]\[0\] has 2 connected components"):
        network.fit([(shapes.sphere(60), shapes.sphere(60)), (disconnected(), shapes.sphere(60))])
