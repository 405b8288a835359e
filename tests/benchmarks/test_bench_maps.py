"""The suite of transport maps: its problems, its judge, its adapters, its tasks, its tables."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from benchmarks import map_judge, map_report
from benchmarks.adapters import Setting, load_adapter
from benchmarks.cases import Case, Contender
from benchmarks.map_judge import judge_gaps, judge_map
from benchmarks.map_problems import OPTIMAL, GapSpec, MapSpec
from benchmarks.map_tasks import ToGap, ToMap, ToSteps
from benchmarks.problems import Problem
from benchmarks.records import Store, read_records
from benchmarks.report import markdown, remarks, write
from benchmarks.runner import Limits, run_case
from benchmarks.suites import SUITES
from benchmarks.summary import tables

MAPS = {case.name: case for case in SUITES["maps"].cases}
GAUSSIAN = MapSpec("gaussian", n=400, held_out=120)
MOONS = MapSpec(n=400, held_out=100, dtype="float32")
SPHERE = MapSpec("sphere-rotation", d=3, n=400, held_out=80, cost="sphere")


# --- problems -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [GAUSSIAN, MOONS, SPHERE, GapSpec(n=30)], ids=lambda spec: type(spec).__name__)
def test_problems_are_the_same_in_a_file(spec, tmp_path):
    problem = spec.build()
    problem.save(tmp_path / "problem.npz")
    loaded = Problem.load(tmp_path / "problem.npz")
    for name, value in vars(problem).items():
        found = getattr(loaded, name)
        assert type(found) is type(value)
        if isinstance(value, np.ndarray):
            assert found.dtype == value.dtype
            np.testing.assert_array_equal(found, value)
        else:
            assert found == value
    assert loaded.dtype == spec.dtype and loaded.x.dtype == spec.dtype and loaded.cost == spec.cost


def test_points_to_judge_by_are_others_of_the_same_laws():
    problem = GAUSSIAN.build()
    assert problem.x.shape == problem.y.shape == (400, 2) and problem.held_x.shape == (120, 2)
    assert not set(map(tuple, problem.x)) & set(map(tuple, problem.held_x))
    other = dataclasses.replace(GAUSSIAN, seed=1).build()
    assert not np.array_equal(problem.x, other.x)
    # The law does not depend on the seed of the points.
    assert problem.variance == other.variance
    costs = map_judge.cost_matrix(problem.held_x, problem.held_y, "sqeuclidean")
    assert problem.eps == pytest.approx(0.1 * costs.mean())


def test_images_are_those_of_the_rounded_points():
    from ot_solvers import maps

    problem = dataclasses.replace(GAUSSIAN, dtype="float32").build()
    truth = maps.gaussian_problem(2).true_map(problem.held_x.astype(np.float64))
    np.testing.assert_array_equal(problem.truth, truth)
    assert MOONS.build().truth is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (MapSpec("squares"), "law must be one of"),
        (MapSpec("moons", d=3), "in the plane, not in dimension 3"),
        (MapSpec("gaussian", cost="euclidean"), "the cost of 'gaussian' is 'sqeuclidean', not 'euclidean'"),
        (GapSpec("sphere"), "cost must be one of"),
    ],
)
def test_problems_that_do_not_exist(spec, message):
    with pytest.raises(ValueError, match=message):
        spec.build()


@pytest.mark.parametrize("cost", OPTIMAL)
@pytest.mark.parametrize("d", [2, 5])
def test_optimal_maps_are_optimal(cost, d):
    problem = GapSpec(cost, n=80, d=d).build()
    assert len(problem.images) == len(problem.scales) == len(OPTIMAL[cost])
    for z, scale in zip(problem.images, problem.scales):
        gap, _ = map_judge.exact_gap(problem.x, z, cost)
        assert abs(gap) <= 1e-14 * scale
    # Others are not.
    gap, _ = map_judge.exact_gap(problem.x, -problem.images[0], cost)
    assert gap > 0.1 * problem.scales[0]


def test_convex_gradients_are_not_optimal_for_distances():
    problem = GapSpec("sqeuclidean", n=200).build()
    assert map_judge.exact_gap(problem.x, problem.images[3], "euclidean")[0] > 1e-6


# --- judge ----------------------------------------------------------------------------------------------------


def test_costs_by_hand():
    x, y = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]])
    for cost, expected in (
        ("sqeuclidean", [2.0, 0.0, 4.0]),
        ("euclidean", [math.sqrt(2), 0.0, 2.0]),
        ("dot", [0.0, -1.0, 1.0]),
        ("sphere", [math.pi / 2, 0.0, math.pi]),
    ):
        np.testing.assert_allclose(map_judge.cost_matrix(x, y, cost)[0], expected, atol=1e-15)
    near = np.array([[math.cos(1e-9), math.sin(1e-9)]])
    assert map_judge.cost_matrix(x, near, "sphere")[0, 0] == pytest.approx(1e-9, rel=1e-6)
    with pytest.raises(ValueError, match="'cosine'"):
        map_judge.cost_matrix(x, y, "cosine")


@pytest.mark.peer
@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean"])
def test_divergences_are_those_of_pot(cost):
    ot = pytest.importorskip("ot")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(50, 2)) + 1
    eps = 0.1 * map_judge.cost_matrix(x, y, cost).mean()

    def value(u, v):
        a, b = np.full(len(u), 1 / len(u)), np.full(len(v), 1 / len(v))
        C = map_judge.cost_matrix(u, v, cost)
        plan = ot.sinkhorn(a, b, C, eps, method="sinkhorn_log", stopThr=1e-12, numItermax=100_000)
        return (plan * C).sum() + eps * (plan * np.log(plan / np.outer(a, b))).sum()

    expected = value(x, y) - 0.5 * (value(x, x) + value(y, y))
    assert map_judge.sinkhorn_divergence(x, y, cost, eps) == pytest.approx(expected, rel=1e-6)
    assert map_judge.sinkhorn_divergence(x, x[::-1], cost, eps) == pytest.approx(0.0, abs=1e-6)


def test_sharp_problems_are_solved_too():
    """Costs of a thousand times the smoothing: scalings alone would underflow."""
    x = np.arange(5.0)[:, None]
    near, far = (map_judge.cost_matrix(x, x + shift, "sqeuclidean") for shift in (0, 30))
    # Moving all points adds what depends on one side, and the square.
    assert map_judge.entropic_cost(far, 0.7) == pytest.approx(900 + map_judge.entropic_cost(near, 0.7), abs=1e-6)
    assert map_judge.entropic_cost(near, 0.7) == pytest.approx(map_judge.self_cost(near, 0.7), abs=1e-6)


def test_gaps_by_hand():
    x, z = np.array([[0.0], [1.0]]), np.array([[5.0], [3.0]])
    # Crossing costs 25 + 4, going straight 9 + 16.
    assert map_judge.exact_gap(x, z, "sqeuclidean") == (pytest.approx(2.0), pytest.approx(14.5))
    assert map_judge.exact_gap(x, z, "euclidean")[0] == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("spec", [GAUSSIAN, SPHERE], ids=["gaussian", "sphere"])
def test_right_maps_are_right(spec):
    problem = spec.build()
    verdict = judge_map(problem, problem.truth)
    assert verdict.uvp == pytest.approx(0.0, abs=1e-20) and verdict.cosine == pytest.approx(1.0)
    assert verdict.monge_gap == pytest.approx(0.0, abs=1e-12) and verdict.finite
    still = judge_map(problem, problem.held_x)
    assert still.uvp > 1 and still.cosine is None and still.mean_cost == pytest.approx(0.0, abs=1e-12)
    assert still.divergence > verdict.divergence
    if spec is SPHERE:
        assert verdict.angle == pytest.approx(0.0, abs=1e-12)
        assert 0 < still.angle < 1.0 and still.angle > 0.1
    else:
        assert verdict.angle is None


def test_figures_of_maps_by_hand():
    problem = GAUSSIAN.build()
    verdict = judge_map(problem, problem.truth + np.array([0.3, -0.4]))
    assert verdict.uvp == pytest.approx(100 * 0.25 / problem.variance)
    turned = problem.held_x - (problem.truth - problem.held_x)
    assert judge_map(problem, turned).cosine == pytest.approx(-1.0)


def test_figures_of_maps_are_those_of_the_package():
    from ot_solvers import maps

    problem = GAUSSIAN.build()
    images = problem.truth * [1.1, 0.9] + 0.1
    verdict = judge_map(problem, images)
    assert verdict.uvp == pytest.approx(maps.l2_uvp(images, problem.truth, problem.variance))
    assert verdict.cosine == pytest.approx(maps.displacement_cosine(problem.held_x, images, problem.truth))
    assert verdict.monge_gap == pytest.approx(float(maps.monge_gap(problem.held_x, images)), abs=1e-12)


def test_what_is_no_map():
    problem = SPHERE.build()
    broken = problem.truth.copy()
    broken[3, 1] = np.nan
    for images in (broken, 1.01 * problem.truth):
        verdict = judge_map(problem, images)
        assert not verdict.finite and verdict.divergence == math.inf and not verdict.as_record()["finite"]
    # Rounding of float32 is no fault.
    rounded = judge_map(problem, problem.truth.astype(np.float32))
    assert rounded.finite and rounded.angle < 1e-6
    with pytest.raises(ValueError, match=r"images must have shape \(80, 3\)"):
        judge_map(problem, problem.truth[:5])


def test_fewer_points_where_the_truth_is_known(monkeypatch):
    monkeypatch.setattr(map_judge, "MOST_JUDGED", 60)
    monkeypatch.setattr(map_judge, "FEW_JUDGED", 50)
    known, unknown = GAUSSIAN.build(), MOONS.build()
    assert judge_map(known, known.truth).judged == 50
    assert judge_map(unknown, unknown.held_x).judged == 60


def test_sizes_of_gaps():
    problem = GapSpec(n=20).build()
    verdict = judge_gaps(problem, problem.scales * [0.0, 1e-3, -2e-3, 0.0])
    assert verdict.value_error == pytest.approx(2e-3)
    assert verdict.relative == pytest.approx([0.0, 1e-3, -2e-3, 0.0])
    assert judge_gaps(problem, [0.0, np.nan, 0.0, 0.0]).value_error == math.inf
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        judge_gaps(problem, [0.0])


# --- adapters -------------------------------------------------------------------------------------------------


def made(adapter, problem, **options):
    cls = load_adapter(adapter)
    for module in cls.modules:
        pytest.importorskip(module, reason=f"{adapter} needs {module}")
    found = cls(problem, 1, **options)
    found.prepare()
    return found


TRAININGS = [
    ("ours_maps:Training", {"strength": 0.0, "estimator": "exact"}),
    ("ours_maps:Training", {"strength": 0.1, "estimator": "exact"}),
    ("ours_maps:Training", {"strength": 0.1, "estimator": "debiased"}),
    ("ott_maps:Training", {"strength": 0.0}),
    ("ott_maps:Training", {"strength": 0.1}),
]


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize(("adapter", "options"), TRAININGS, ids=str)
def test_trainings_train(adapter, options):
    problem = MOONS.build()
    contender = made(adapter, problem, **options)
    setting = Setting(max_iter=41)
    contender.compile(setting)
    answers = [contender.answer(contender.run(dataclasses.replace(setting, seed=seed))) for seed in (0, 0, 1)]
    for answer in answers:
        assert answer.iterations == 41 and 20 <= answer.details["timed_steps"] <= 30
        assert answer.details["seconds_per_step"] > 0
        assert np.isfinite(answer.images).all() and answer.images.shape == (100, 2)
    first, again, other = (answer.images for answer in answers)
    # Seeds are what a run depends on, not the runs before it.
    np.testing.assert_allclose(first, again, atol=1e-6)
    assert np.abs(first - other).max() > 1e-3
    before = judge_map(problem, problem.held_x).divergence
    assert judge_map(problem, first).divergence < before


def test_our_training_has_the_settings_of_the_peer_and_our_schedule():
    problem = MOONS.build()
    contender = made("ours_maps:Training", problem, strength=0.1, estimator="exact")
    options = contender.new_map(Setting(max_iter=7, seed=3)).get_params()
    assert options["hidden"] == (32, 64, 32) and options["activation"] == "gelu" and options["start"] == "identity"
    assert options["fitting"] == "sinkhorn" and options["fitting_reg"] == problem.eps
    assert options["gap_reg"] == pytest.approx(0.1 * problem.eps) and options["strength"] == 0.1
    assert (options["batch_size"], options["steps"], options["seed"]) == (256, 7, 3)
    assert (options["learning_rate"], options["schedule"], options["averaging"]) == (1e-3, "cosine", 0.99)
    assert options["validation"] == 0.0 and options["estimator"] == "exact"


@pytest.mark.peer
@pytest.mark.slow
def test_ott_has_a_map_of_the_same_size():
    import torch

    problem = MOONS.build()
    theirs = made("ott_maps:Training", problem, strength=0.0)._begun(Setting(max_iter=2)).state_neural_net.params
    ours = made("ours_maps:Training", problem, strength=0.0, estimator="exact")
    network = ours.run(Setting(max_iter=12))[0].network_
    counts = [sum(np.size(leaf) for layer in theirs.values() for leaf in layer.values())]
    counts.append(sum(p.numel() for p in network.perceptron.parameters() if isinstance(p, torch.Tensor)))
    assert counts[0] == counts[1] == 2 * 32 + 32 + 32 * 64 + 64 + 64 * 32 + 32 + 32 * 2 + 2


def test_fits_of_other_maps():
    problem = GAUSSIAN.build()
    entropic = {"map": "EntropicMap", "options": {"reg": 0.05, "reg_relative_to": "mean"}}
    found = {}
    for name, options in (("linear", {"map": "LinearMap"}), ("still", {"map": "IdentityMap"}), ("mean", entropic)):
        contender = made("ours_maps:Fit", problem, **options)
        contender.compile(Setting())
        found[name] = judge_map(problem, contender.answer(contender.run(Setting())).images)
    assert found["linear"].uvp < found["mean"].uvp < found["still"].uvp
    assert found["still"].cosine is None


def test_fits_of_networks_have_the_options_they_are_given():
    contender = made("ours_maps:NetworkFit", SPHERE.build(), options={"strength": 0.0, "start": "identity"})
    options = contender.new_map(Setting(max_iter=5, seed=2)).get_params()
    assert (options["cost"], options["strength"], options["start"]) == ("sphere", 0.0, "identity")
    assert (options["steps"], options["seed"]) == (5, 2)
    from ot_solvers import maps

    plain = made("ours_maps:NetworkFit", GAUSSIAN.build()).new_map(Setting()).get_params()
    assert plain == maps.MongeGapMap("sqeuclidean", on_failure="ignore").get_params()


@pytest.mark.parametrize("cost", OPTIMAL)
def test_our_gaps(cost):
    problem = GapSpec(cost, n=64).build()
    for estimator, most in (("exact", 1e-9), ("debiased", 2e-3)):
        contender = made("ours_maps:Gap", problem, estimator=estimator)
        answer = contender.answer(contender.run(Setting()))
        assert judge_gaps(problem, answer.values).value_error <= most
        assert answer.claim
        if estimator == "exact":
            assert answer.details["replaced"] == 0
        else:
            # As `MongeGap` says itself; never the gap of the identity, which is 0 by itself.
            gaps = contender.run(Setting())
            assert answer.details["replaced"] == sum(bool(gap.reason) for gap in gaps) < len(gaps)
            assert gaps[0].estimator == "debiased"


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize("cost", OPTIMAL)
def test_gaps_of_ott_are_our_entropic_ones_and_a_constant(cost):
    import ot_solvers as ots

    problem = GapSpec(cost, n=64, eps=0.05).build()
    contender = made("ott_maps:Gap", problem)
    contender.compile(Setting())
    answer = contender.answer(contender.run(Setting()))
    for value, z, scale in zip(answer.values, problem.images, problem.scales):
        ours = ots.maps.monge_gap(problem.x, z, cost=cost, reg=0.05 * scale, estimator="entropic")
        # The entropy is that of the plan there, relative to the product of the weights here.
        assert value == pytest.approx(float(ours) + 2 * 0.05 * scale * math.log(64), abs=2e-3 * scale)
        assert value > 0.05 * scale and abs(float(ours)) > 0.05 * scale


# --- tasks ----------------------------------------------------------------------------------------------------


def fake(name, adapter, **more):
    return Contender(name, f"bench_fakes.adapters:{adapter}", **more)


def run(tmp_path, task, *contenders, problem=GAUSSIAN, rounds=3):
    case = Case("case", "a case", problem, task, contenders)
    path = tmp_path / "out.jsonl"
    run_case(case, Limits(1, rounds, 5.0), Store(path, "suite", {"fingerprint": "here"}), lambda text: None)
    (table,) = tables(read_records(path))
    return table


def rows_of(table):
    return {row.name: row for row in table.rows}


@pytest.mark.usefixtures("fake_library")
def test_every_round_of_a_training_has_its_seed(tmp_path):
    table = run(
        tmp_path,
        ToSteps(steps=20),
        fake("ours", "RandomlyMoved", options={"off": 0.1}),
        fake("early", "RandomlyMoved", options={"steps": 7}, versus="ours"),
        fake("broken", "RandomlyMoved", options={"off": math.nan}, versus="ours"),
    )
    rows = rows_of(table)
    ours = rows["ours"]
    assert [record["seed"] for record in ours.rounds] == [0, 1, 2]
    assert ours.values == pytest.approx([10.0, 20.0, 30.0])
    assert map_report.figures(ours, "uvp") == pytest.approx(
        [uvp * map_report.figures(ours, "uvp")[0] for uvp in (1, 4, 9)]
    )
    assert rows["early"].status == rows["broken"].status == "not reached"
    assert "training ended after 7 steps" in rows["early"].setup["message"]
    assert "not finite" in rows["broken"].setup["message"]
    assert "50 steps per second" in remarks(ours)


@pytest.mark.usefixtures("fake_library")
def test_resumed_trainings_are_compiled_and_go_on_with_the_next_seed(tmp_path):
    for rounds in (1, 2):
        row = run(tmp_path, ToSteps(steps=20), fake("ours", "RandomlyMoved"), rounds=rounds).rows[0]
    assert [record["seed"] for record in row.rounds] == [0, 1] and row.values == pytest.approx([10.0, 20.0])


@pytest.mark.usefixtures("fake_library")
def test_what_is_not_random_is_fitted_once(tmp_path):
    table = run(
        tmp_path,
        ToMap(most=1.0, beaten=("worse", "better")),
        fake("ours", "RandomlyMoved", options={"off": 0.1}),
        fake("worse", "Moved", options={"off": 1.0}, versus="ours"),
        fake("better", "Moved", options={"off": 0.01}, versus="ours"),
        fake("other", "Moved", options={"off": math.inf}, versus="ours"),
    )
    rows = rows_of(table)
    assert len(set(rows["worse"].values)) == 1 and "timed once" in remarks(rows["worse"])
    assert len(map_report.figures(rows["ours"], "uvp")) == 3
    assert rows["other"].status == "not reached"
    text = "\n".join(map_report.markdown([table]))
    assert "| worse |" in text
    assert "ours is less: 0.04 of it ✓" in text and "ours is less: 400 of it ✗" in text
    # Twice the shift of 0.1 in both coordinates, in the middle round.
    uvp = 100 * 0.08 / GAUSSIAN.build().variance
    assert map_report.middle(rows["ours"], "uvp") == pytest.approx(uvp)
    assert f"L2-UVP % ≤ 1{' ✓' if uvp <= 1 else ' ✗'}" in text


@pytest.mark.usefixtures("fake_library")
def test_gaps_are_judged_and_marked(tmp_path):
    table = run(
        tmp_path,
        ToGap(round_seconds=0.0, most={"ours": 1e-9, "near": 2e-3}),
        fake("ours", "Gaps"),
        fake("near", "Gaps", options={"off": 3e-3, "replaced": 2}, versus="ours"),
        fake("peer", "Gaps", options={"off": 0.3}, versus="ours"),
        fake("broken", "Gaps", options={"off": math.nan}, versus="ours"),
        problem=GapSpec(n=20),
    )
    assert [row.status for row in table.rows] == ["ready", "ready", "ready", "not reached"]
    text = "\n".join(map_report.markdown([table]))
    assert "| ours | 0.0e+00 | ≤ 1e-09 ✓ | – |" in text
    assert "| near | 3.0e-03 | ≤ 0.002 ✗ | 2 of 4 |" in text
    assert "| peer | 3.0e-01 | – | – |" in text
    assert "2 replaced by exact ones" in remarks(table.rows[1])


# --- tables ---------------------------------------------------------------------------------------------------


def round_record(index, value, **verdict):
    return {
        "round": index,
        "value": value,
        "steps_per_second": 1e3 / value,
        "verdict": {"finite": True, **verdict},
    }


@pytest.mark.usefixtures("fake_library")
def test_trainings_next_to_a_peer(tmp_path):
    table = run(tmp_path, ToSteps(steps=20, strength=2.0), fake("ours", "RandomlyMoved"))
    ours = dataclasses.replace(
        table.rows[0],
        ours=True,
        values=[10.0, 10.0, 10.0],
        rounds=[round_record(k, 10.0, divergence=0.1 + 0.01 * k, monge_gap=0.2) for k in range(3)],
    )
    peer = dataclasses.replace(
        ours,
        name="peer",
        ours=False,
        versus="ours",
        values=[35.0, 35.0, 35.0],
        rounds=[round_record(k, 35.0, divergence=0.2, monge_gap=0.1) for k in range(3)],
    )
    text = "\n".join(map_report.markdown([dataclasses.replace(table, rows=[ours, peer])]))
    assert (
        "| ours | 100 | 0.11 (0.1 to 0.12) | 0.2 | 0.51 | 3.5, asked for 3 ✓ | 0.55 of it ✓ | 2 of it ✗ |" in text
    )
    slower = dataclasses.replace(peer, values=[20.0, 20.0, 20.0])
    text = "\n".join(map_report.markdown([dataclasses.replace(table, rows=[ours, slower])]))
    assert "2, asked for 3 ✗" in text
    alone = "\n".join(map_report.markdown([dataclasses.replace(table, rows=[ours])]))
    assert "| 0.51 | – | – | – |" in alone


@pytest.mark.usefixtures("fake_library")
def test_a_picture_of_errors(tmp_path):
    pytest.importorskip("matplotlib")
    table = run(tmp_path, ToMap(), fake("ours", "RandomlyMoved", options={"off": 0.1}))
    records = read_records(tmp_path / "out.jsonl")
    written = {path.name for path in write(tmp_path / "out.jsonl", records)}
    assert written == {"out.md", "out.png", "out.errors.png"}
    assert (tmp_path / "out.errors.png").stat().st_size > 10_000
    assert map_report.errors([table]) == {
        "gaussian: L2-UVP %": {"ours": {2: map_report.middle(table.rows[0], "uvp")}}
    }
    assert "## Maps: what was asked for" in markdown(records)


def test_reports_without_maps_say_nothing_of_them(tmp_path):
    assert map_report.markdown([]) == [] and not map_report.plot([], tmp_path / "none.png")


# --- the suite ------------------------------------------------------------------------------------------------


def test_trainings_of_the_suite():
    settings = {
        name: (MAPS[name].problem.cost, MAPS[name].task.strength)
        for name in ("moons-no-gap", "moons-sqeuclidean", "moons-euclidean")
    }
    assert settings == {
        "moons-no-gap": ("sqeuclidean", 0.0),
        "moons-sqeuclidean": ("sqeuclidean", 0.1),
        "moons-euclidean": ("euclidean", 2.0),
    }
    for name, (cost, strength) in settings.items():
        case = MAPS[name]
        assert case.problem == MapSpec("moons", n=20_000, held_out=2000, cost=cost, eps=0.1, dtype="float32")
        assert case.task == ToSteps(steps=5000, strength=strength, faster=3.0)
        assert all(c.options["strength"] == strength and c.dtype == "float32" for c in case.contenders)
        peer = case.contenders[-1]
        assert peer.adapter == "ott_maps:Training" and peer.target == pytest.approx(1 / 3)
        assert [c.name for c in case.contenders[:-1]] == ["ours", "ours-debiased"][: 2 if strength else 1]
    assert SUITES["maps"].repeat == 3


def test_maps_of_the_suite():
    most = {name: MAPS[name].task.most for name in MAPS if name.startswith(("gaussian", "convex"))}
    assert most == {
        "gaussian-2": 1.0, "gaussian-8": 1.0, "gaussian-32": 1.0, "gaussian-128": 5.0,
        "convex-2": 3.0, "convex-8": 3.0, "convex-16": 3.0,
    }  # fmt: skip
    for name in most:
        case = MAPS[name]
        assert (case.problem.n, case.problem.held_out) == (20_000, 10_000)
        named = {c.name for c in case.contenders}
        assert {"ours", "ours-no-gap", "ours-plain", "ours-linear", "ours-identity"} < named
        beaten = {name for name in named if "entropic" in name} | {"ours-no-gap", "ours-plain"}
        assert set(case.task.beaten) == (beaten if case.problem.d >= 16 else set())
        assert f"{case.task.budget:g} CPU seconds" in case.title
    for d in (3, 4):
        case = MAPS[f"sphere-{d}"]
        assert case.task.figure == "angle" and case.task.beaten == ("ours-no-gap",) and case.problem.d == d


def test_gaps_of_the_suite():
    names = {f"gap-{cost}-{n}" for cost in OPTIMAL for n in (256, 512, 1024, 2048)}
    assert names < set(MAPS)
    for name in names:
        assert MAPS[name].task.most == {"ours-exact": 1e-9, "ours-debiased": 2e-3}
        assert MAPS[name].problem.eps == 0.01


def test_libraries_are_found_by_their_name():
    case = MAPS["moons-euclidean"]
    assert [c.name for c in case.select(["ott"]).contenders] == ["ours", "ours-debiased", "ott"]
    assert [c.name for c in case.select([]).contenders] == ["ours", "ours-debiased"]
    assert all(c.ours == c.name.startswith("ours") for case in MAPS.values() for c in case.contenders)
