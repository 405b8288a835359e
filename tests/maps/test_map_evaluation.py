"""Reports of one map and tables of several, on points that maps have not seen."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from checks import check_same_bits
from oracles import assignment, squared_distances

import ot_solvers as ots
from ot_solvers import maps
from ot_solvers.maps.evaluation import FIGURES

torch = pytest.importorskip("torch")


class Shift:
    """Moves the mean of the source to that of the target."""

    fits = 0

    def fit(self, x, y):
        self.fits += 1
        self.shift_ = y.mean(axis=0) - x.mean(axis=0)
        return self

    def transform(self, x):
        return x + self.shift_


# --- reports --------------------------------------------------------------------------------------------------


def test_figures_of_the_right_map():
    problem = maps.convex_gradient_problem(3, seed=2)
    report = maps.evaluate(problem.true_map, problem, n=300, seed=1)
    assert report.l2_uvp == 0 and report.cosine == pytest.approx(1)
    assert abs(report.gap) < 1e-9 * report.mean_cost
    assert report.geodesic is None
    # Of samples: not 0, but much smaller than without a map.
    still = maps.evaluate(lambda x: x, problem, n=300, seed=1)
    assert 0 < report.divergence < 0.2 * still.divergence
    assert 0 < report.mmd < 0.05 * still.mmd
    assert (report.n, report.cost) == (300, "sqeuclidean")


def test_figures_by_their_definitions():
    problem = maps.gaussian_problem(2, seed=4)
    fitted = Shift().fit(*problem.sample(500, seed=0))
    report = maps.evaluate(fitted, problem, n=200, seed=1)
    x, y = problem.sample(200, seed=1)
    images, truth = fitted.transform(x), problem.true_map(x)
    assert report.l2_uvp == pytest.approx(100 * ((images - truth) ** 2).sum(1).mean() / problem.target_variance)
    assert report.cosine == pytest.approx(maps.displacement_cosine(x, images, truth))
    C = squared_distances(x, images)
    assert report.mean_cost == pytest.approx(np.trace(C) / 200)
    assert report.gap == pytest.approx((np.trace(C) - assignment(C)[1]) / 200, abs=1e-12)
    eps = 0.05 * squared_distances(y, y).mean()
    expected = ots.sinkhorn_divergence(images, y, reg=eps)
    assert report.divergence == pytest.approx(float(expected), rel=1e-9)
    distances = np.sqrt(squared_distances(y, y))[np.triu_indices(200, 1)]
    assert report.mmd == pytest.approx(maps.mmd(images, y, bandwidth=np.median(distances)))
    # The gap of a map that is not optimal, for another cost as well.
    turned = maps.evaluate(lambda x: -x, (x, y), cost="euclidean")
    D = np.sqrt(squared_distances(x, -x))
    assert turned.gap == pytest.approx((np.trace(D) - assignment(D)[1]) / 200, abs=1e-12)
    assert turned.gap > 0.3 and turned.cost == "euclidean"


def test_without_truth_there_is_no_comparison_with_it():
    report = maps.evaluate(lambda x: 2 * x, maps.moons_problem(), n=100)
    assert report.l2_uvp is report.cosine is report.geodesic is None
    assert "L2-UVP" not in repr(report)
    assert all(v is None or np.isfinite(v) for k, v in report.as_dict().items() if k != "cost")


def test_a_map_that_moves_nothing_has_no_direction():
    problem = maps.gaussian_problem(2)
    report = maps.evaluate(maps.IdentityMap().fit(*problem.sample(9, seed=0)), problem, n=100)
    assert report.cosine is None and report.l2_uvp > 1
    assert report.gap == report.mean_cost == 0


def test_samples_with_truth_as_array_or_map():
    problem = maps.gaussian_problem(2)
    x, y = problem.sample(100, seed=0)
    by_map = maps.evaluate(lambda x: x + 1, (x, y), truth=problem.true_map)
    assert by_map == maps.evaluate(lambda x: x + 1, [x, y], truth=problem.true_map(x))
    assert by_map.l2_uvp == pytest.approx(maps.l2_uvp(x + 1, problem.true_map(x)))
    # Nothing to explain: no percentage, and nothing but finite numbers.
    constant = maps.evaluate(lambda x: x + 1, (x, y), truth=0 * x)
    assert constant.l2_uvp is None and constant.cosine is not None
    single = maps.evaluate(lambda x: x + 1, (x, y[:1]), reg=1.0)
    assert single.mmd is None and np.isfinite(single.divergence)


def test_the_sphere():
    problem = maps.sphere_rotation_problem(seed=1)
    report = maps.evaluate(problem.true_map, problem, n=200)
    assert report.geodesic < 1e-12 and abs(report.gap) < 1e-12 and report.cost == "sphere"
    # Images off the sphere are projected for angles and costs, and are themselves in the other figures.
    double = maps.evaluate(lambda x: 2 * problem.true_map(x), problem, n=200)
    assert double.geodesic < 1e-7 and double.gap == pytest.approx(0, abs=1e-12)
    assert double.divergence == pytest.approx(report.divergence, rel=1e-6)
    assert double.l2_uvp > 100
    still = maps.evaluate(lambda x: x, problem, n=200)
    x, _ = problem.sample(200, seed=0)
    assert still.geodesic == pytest.approx(np.arccos((x * problem.true_map(x)).sum(1)).mean())
    with pytest.raises(ValueError, match=r"sends x\[0\] to the origin"):
        maps.evaluate(lambda x: 0 * x, problem, n=20)


def test_the_dot_cost_has_a_gap_but_no_divergence_of_its_own():
    problem = maps.gaussian_problem(2)
    dot = maps.evaluate(problem.true_map, problem, n=100, cost="dot")
    square = maps.evaluate(problem.true_map, problem, n=100)
    assert abs(dot.gap) < 1e-12 and dot.divergence == square.divergence and dot.cost == "dot"


def test_the_cost_is_that_of_the_map():
    x, y = maps.gaussian_problem(2).sample(50, seed=0)
    fitted = maps.IdentityMap(cost="euclidean").fit(x, y)
    assert maps.evaluate(fitted, (x, y)).cost == "euclidean"
    assert maps.evaluate(fitted, (x, y), cost=ots.costs.PNorm(3)).cost == "pnorm"
    assert maps.evaluate(lambda x: x, (x, y)).cost == "sqeuclidean"


def test_reports_are_equal_for_equal_seeds():
    problem = maps.gaussian_problem(3)
    first, again, other = (maps.evaluate(lambda x: x + 1, problem, n=50, seed=s) for s in (3, 3, 4))
    assert first == again != other
    assert pickle.loads(pickle.dumps(first)) == first


def test_tensors_and_lists():
    x, y = maps.gaussian_problem(2).sample(60, seed=0)
    expected = maps.evaluate(lambda z: z + 1, (x, y))
    seen = []

    def move(z):
        seen.append(type(z))
        return z + 1

    assert maps.evaluate(move, (torch.as_tensor(x), torch.as_tensor(y))) == expected
    with_graph = torch.as_tensor(x).requires_grad_()
    assert maps.evaluate(move, (with_graph, torch.as_tensor(y))) == expected
    assert maps.evaluate(move, (x.tolist(), y.tolist())) == expected
    assert seen == [torch.Tensor, torch.Tensor, np.ndarray]


def test_the_report_is_a_table():
    problem = maps.sphere_rotation_problem()
    report = dataclasses.replace(maps.evaluate(problem.true_map, problem, n=50), l2_uvp=1.23456, cosine=0.5)
    lines = repr(report).splitlines()
    assert lines[0] == "MapReport of 50 points, cost sphere"
    assert len(lines) == 1 + len(FIGURES)
    assert lines[1] == "  L2-UVP %          1.23  unexplained variance, in percent"
    assert "cosine          0.5000" in lines[2]


x, y = np.zeros((4, 2)), np.ones((5, 2))

BAD = {
    "map": (lambda: maps.evaluate(3, (x, y)), TypeError, "transport_map is a int; expected an object with"),
    "class": (lambda: maps.evaluate(Shift, (x, y)), TypeError, "transport_map is <class .*Shift'>; expected"),
    "problem": (lambda: maps.evaluate(abs, x), TypeError, r"problem is a ndarray; expected a MapProblem, or two"),
    "three": (lambda: maps.evaluate(abs, (x, y, x)), TypeError, "problem is a tuple; expected"),
    "coordinates": (lambda: maps.evaluate(abs, (x, y[:, :1])), ValueError, "x has 2 coordinates and y 1"),
    "images": (
        lambda: maps.evaluate(lambda x: x[:2], (x, y)),
        ValueError,
        r"transform\(x\) has shape \(2, 2\); expected \(4, 2\)",
    ),
    "nan": (lambda: maps.evaluate(lambda x: x / 0, (x, y)), ValueError, r"transform\(x\)\[0, 0\] is nan"),
    "truth": (
        lambda: maps.evaluate(abs, (x, y), truth=y),
        ValueError,
        r"truth has shape \(5, 2\); expected \(4, 2\)",
    ),
    "two truths": (
        lambda: maps.evaluate(abs, maps.gaussian_problem(2), truth=x),
        ValueError,
        "truth is for samples",
    ),
    "n": (lambda: maps.evaluate(abs, maps.gaussian_problem(2), n=0), ValueError, "n=0 must be at least 1"),
    "cost": (lambda: maps.evaluate(abs, (x, y), cost="l2"), ValueError, "cost='l2' is unknown"),
    "reg": (lambda: maps.evaluate(lambda x: x, (x, y), reg=0), ValueError, "reg=0 asks for exact transport"),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- the identity ---------------------------------------------------------------------------------------------


def test_the_identity():
    x, y = maps.gaussian_problem(3).sample(20, seed=0)
    found = maps.IdentityMap().fit(x, y)
    for moved in (found.transform(x), found.inverse_transform(x), found.fit_transform(x, y)):
        check_same_bits(moved, x)
        assert not np.shares_memory(moved, x)
    tensor = torch.as_tensor(x, dtype=torch.float32)
    assert torch.equal(found.transform(tensor), tensor) and found.transform(tensor).dtype == torch.float32
    assert found.score(x, y) < 0
    with pytest.raises(ots.NotFittedError, match="this IdentityMap is not fitted yet"):
        maps.IdentityMap().transform(x)
    with pytest.raises(ValueError, match="y has 2 coordinates; the map was fitted to 3"):
        found.inverse_transform(x[:, :2])


# --- comparisons ----------------------------------------------------------------------------------------------


def test_maps_are_fitted_to_some_points_and_judged_by_others():
    problem = maps.gaussian_problem(2, seed=3)
    fresh, done = Shift(), Shift().fit(*problem.sample(10, seed=5))
    table = maps.compare_maps({"fresh": fresh, "done": done}, problem, n=300, n_held_out=100, seed=7)
    assert list(table) == ["identity", "fresh", "done", "truth"] and len(table) == 4
    assert (fresh.fits, done.fits) == (1, 1)
    x, y = problem.sample(300, seed=np.random.default_rng([7, 0]))
    check_same_bits(fresh.shift_, y.mean(0) - x.mean(0))
    held_out = np.random.default_rng([7, 1])
    assert table["fresh"] == maps.evaluate(fresh, problem, n=100, seed=held_out)
    assert table["truth"].l2_uvp == 0
    assert table["fresh"].l2_uvp < table["done"].l2_uvp
    seconds = {entry.name: entry.fit_seconds for entry in table.entries}
    assert seconds["done"] is None is seconds["truth"] and seconds["fresh"] > 0
    with pytest.raises(KeyError):
        table["other"]


def test_samples_and_their_truth():
    cells = maps.perturbation_data(300, 5, n_types=2, seed=1)
    train, test = slice(0, 200), slice(200, 300)
    table = maps.compare_maps(
        {"shift": Shift()},
        (cells.control[train], cells.treated[train]),
        (cells.control[test], cells.treated[test]),
        truth=cells.images[test],
    )
    assert list(table) == ["identity", "shift", "truth"]
    assert table["truth"].l2_uvp == 0 < table["shift"].l2_uvp < table["identity"].l2_uvp
    bare = maps.compare_maps({"shift": Shift()}, (cells.control, cells.treated), (cells.control, cells.treated))
    assert list(bare) == ["identity", "shift"] and bare["shift"].l2_uvp is None
    alone = maps.compare_maps({"shift": Shift()}, maps.gaussian_problem(2), n=50, n_held_out=50, baselines=False)
    assert list(alone) == ["shift"]


def test_all_maps_are_judged_by_one_cost():
    problem = maps.moons_problem("euclidean")
    table = maps.compare_maps({"identity": maps.IdentityMap()}, problem, n=50, n_held_out=50)
    assert list(table) == ["identity"] and table["identity"].cost == "euclidean"
    x, y = problem.sample(50, seed=0)
    mine = maps.compare_maps({"mine": maps.IdentityMap(cost="euclidean")}, (x, y), (x, y))
    assert {report.cost for report in mine.values()} == {"sqeuclidean"}


def test_the_table_as_text_markdown_and_rows():
    problem = maps.gaussian_problem(2, seed=3)
    table = maps.compare_maps({"a | b": Shift()}, problem, n=50, n_held_out=40)
    lines = str(table).splitlines()
    assert lines[0] == "Gaussian, d = 2: 50 points to fit to, 40 held out"
    assert " ".join(lines[1].split()) == "map L2-UVP % cosine divergence MMD² Monge gap mean cost fit s"
    assert [line.split()[0] for line in lines[2:]] == ["identity", "a", "truth"]
    assert len({len(line) for line in lines[1:]}) == 1
    assert repr(table) == str(table)
    markdown = table.to_markdown().splitlines()
    assert markdown[0].startswith("| map | L2-UVP % | cosine | divergence |")
    assert markdown[1] == "| --- " + 7 * "| ---: " + "|"
    assert markdown[3].startswith(r"| a \| b | ")
    assert markdown[2].split(" | ")[2] == "–"  # the cosine of the identity
    rows = table.rows
    assert [row["map"] for row in rows] == list(table)
    assert rows[1]["l2_uvp"] == table["a | b"].l2_uvp and rows[0]["fit_seconds"] >= 0
    assert set(rows[0]) == {"map", "fit_seconds", "transform_seconds"} | set(table["truth"].as_dict())


def test_closed_forms_against_each_other():
    """On Gaussians the closed form wins, on others it cannot; the entropic map is between it and nothing."""
    candidates = {"linear": maps.LinearMap(), "entropic": maps.EntropicMap(reg=0.05, cost="sqeuclidean")}
    gaussian = maps.compare_maps(candidates, maps.gaussian_problem(4, seed=1), n=1500, n_held_out=300)
    assert gaussian["linear"].l2_uvp < 1 < gaussian["entropic"].l2_uvp < gaussian["identity"].l2_uvp
    assert abs(gaussian["linear"].gap) < 1e-9
    candidates = {"linear": maps.LinearMap(), "entropic": maps.EntropicMap(reg=0.05)}
    convex = maps.compare_maps(candidates, maps.convex_gradient_problem(2, seed=1), n=1500, n_held_out=300)
    assert convex["linear"].l2_uvp > 2 > convex["entropic"].l2_uvp
    solved = maps.EntropicMap(ots.solve_sample(*maps.gaussian_problem(2).sample(50, seed=0), reg=0.5))
    given = maps.compare_maps({"entropic": solved}, maps.gaussian_problem(2), n=50, n_held_out=50)
    assert given.rows[1]["fit_seconds"] is None


def test_the_identity_is_a_scikit_learn_estimator():
    base = pytest.importorskip("sklearn.base")
    assert base.clone(maps.IdentityMap(cost="euclidean")).cost == "euclidean"
    assert repr(maps.IdentityMap(cost="euclidean")) == "IdentityMap(cost='euclidean')"


def test_scikit_learn_regressors_are_no_maps():
    linear = pytest.importorskip("sklearn.linear_model")
    with pytest.raises(TypeError, match=r"maps\['linear'\] is a LinearRegression; expected an object with"):
        maps.compare_maps({"linear": linear.LinearRegression()}, maps.gaussian_problem(2))


BAD_COMPARISONS = {
    "list": (lambda: maps.compare_maps([Shift()], (x, y), (x, y)), TypeError, "maps is a list; expected a dict"),
    "key": (lambda: maps.compare_maps({1: Shift()}, (x, y), (x, y)), TypeError, "maps has the key 1"),
    "class": (
        lambda: maps.compare_maps({"s": Shift}, (x, y), (x, y)),
        TypeError,
        r"maps\['s'\] is <class .*Shift'>",
    ),
    "empty": (lambda: maps.compare_maps({}, (x, y), (x, y), baselines=False), ValueError, "maps is empty"),
    "no points": (lambda: maps.compare_maps({}, (x, y)), ValueError, "held_out is missing"),
    "drawn": (
        lambda: maps.compare_maps({}, maps.gaussian_problem(2), (x, y)),
        ValueError,
        "held_out is for samples",
    ),
    "data": (lambda: maps.compare_maps({}, x, (x, y)), TypeError, "data is a ndarray; expected a MapProblem"),
    "held out": (lambda: maps.compare_maps({}, (x, y), x), TypeError, "held_out is a ndarray; expected two"),
    "seed": (
        lambda: maps.compare_maps({}, maps.gaussian_problem(2), seed=-1),
        ValueError,
        "seed=-1 must be at least 0",
    ),
    "cost": (lambda: maps.compare_maps({}, (x, y), (x, y), cost="l2"), ValueError, "cost='l2' is unknown"),
    "sizes": (
        lambda: maps.compare_maps({}, maps.gaussian_problem(2), n_held_out=0),
        ValueError,
        "n_held_out=0 must be at least 1",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD_COMPARISONS.values(), ids=BAD_COMPARISONS.keys())
def test_bad_comparisons(call, error, message):
    with pytest.raises(error, match=message):
        call()
