"""Tuning finds the loosest setting that satisfies the judge, whatever the library measures."""

from types import SimpleNamespace

import pytest

from benchmarks.tuning import CLOSE, SLACK, as_asked, tune


class Bench:
    """A contender with a linear rate: error ``rate**k`` after k iterations, tested every `every`-th."""

    shape = (10, 10)
    max_seconds = 100.0

    def __init__(self, knob="threshold", rate=0.9, measure=1.0, every=1, seconds=1e-3, floor=0.0):
        self.adapter = SimpleNamespace(knob=knob, pilot=(20, 80), first_threshold=lambda tol, shape: tol)
        self.rate, self.scale, self.every, self.seconds, self.floor = rate, measure, every, seconds, floor
        self.runs = []

    def compile(self, setting):
        return 0.0

    def run(self, setting, **more):
        return self.judged_run(setting)[0]

    def judged_run(self, setting):
        done = setting.max_iter or 0
        if not setting.fixed:
            limit = setting.max_iter or 10**6
            done = next(
                (
                    k
                    for k in range(self.every, limit, self.every)
                    if self.scale * self.error(k) < setting.threshold
                ),
                limit,
            )
        self.runs.append(setting)
        claim = None if setting.fixed else self.scale * self.error(done) < setting.threshold
        reply = {"seconds": done * self.seconds, "iterations": done, "claim": claim}
        return reply, {"marginal_error": self.error(done)}

    def error(self, iterations):
        return max(self.rate**iterations, self.floor)


@pytest.mark.parametrize("measure", [1.0, 1e-4, 1e3])
def test_threshold_in_another_measure(measure):
    _, found = tune(Bench(measure=measure), 1e-6)
    assert found.reached
    assert CLOSE * 1e-6 <= found.verdict["marginal_error"] <= SLACK * 1e-6


def test_rare_tests_of_the_error_end_the_search():
    bench = Bench(every=50)
    _, found = tune(bench, 1e-6)
    assert found.reached
    assert found.run["iterations"] == 150  # the first multiple of 50 with an error under 1e-6
    assert len(bench.runs) < 15


def test_number_of_iterations_as_the_knob():
    _, found = tune(Bench(knob="iterations"), 1e-6)
    assert found.reached
    needed = 132  # 0.9**132 < 1e-6 < 0.9**131
    assert needed <= found.run["iterations"] <= 1.06 * needed


@pytest.mark.parametrize("knob", ["threshold", "iterations"])
def test_slow_contenders_say_how_far_they_got(knob):
    bench = Bench(knob=knob, rate=0.999, seconds=1.0)  # 100 seconds are 100 iterations
    _, found = tune(bench, 1e-6)
    assert not found.reached
    assert found.run["iterations"] == 100
    assert "judged error 9.0e-01 after 100 iterations" in found.message


@pytest.mark.parametrize("knob", ["threshold", "iterations"])
def test_a_pilot_on_a_busy_machine_costs_no_verdict(knob):
    bench = Bench(knob=knob, seconds=1.0)  # 132 iterations are needed, and 100 seconds were allowed …
    paces = iter([1.0, 1.0])

    def run(setting, **more):
        reply = bench.judged_run(setting)[0]
        bench.seconds = next(paces, 0.1)  # … at the pilot's pace, ten times slower than the rest
        return reply

    bench.run = run
    _, found = tune(bench, 1e-6)
    assert found.reached


def test_stagnation_is_not_reached():
    _, found = tune(Bench(floor=1e-3), 1e-6)
    assert not found.reached
    assert found.verdict["marginal_error"] == 1e-3


def test_no_knob_means_one_honest_try():
    bench = Bench(knob=None, floor=1e-3)
    _, found = tune(bench, 1e-6)
    assert not found.reached
    assert all(setting.threshold == 1e-6 for setting in bench.runs)


def test_a_threshold_of_its_own_is_taken_as_it_is():
    bench = Bench(measure=1e-3)
    _, found = as_asked(bench, 1e-8)
    assert found.reached
    assert found.setting["threshold"] == 1e-8
    assert found.verdict["marginal_error"] == pytest.approx(1e-5, rel=0.2)  # what the judge thinks of that
    assert found.message == ""


def test_own_thresholds_are_not_met_in_any_time():
    bench = Bench(rate=0.999, seconds=1.0)
    _, found = as_asked(bench, 1e-8)
    assert not found.reached
    assert found.run["seconds"] == pytest.approx(bench.max_seconds)
    assert "judged error 9.0e-01 after 100 iterations" in found.message


def test_giving_up_early_is_not_tried_again():
    bench = Bench(floor=1e-3)
    bench.judged_run = lambda setting: (
        {"seconds": 1e-3, "iterations": 7, "claim": False},
        {"marginal_error": float("inf")},
    )
    bench.run = lambda setting, **more: {"seconds": setting.max_iter * 1e-3, "iterations": setting.max_iter}
    _, found = as_asked(bench, 1e-8)
    assert not found.reached
    assert found.run["iterations"] == 7


def test_a_claim_on_a_broken_answer_does_not_count():
    bench = Bench(measure=0.0)
    judged_run = bench.judged_run
    bench.judged_run = lambda setting: (judged_run(setting)[0], {"marginal_error": float("inf")})
    _, found = as_asked(bench, 1e-8)
    assert found.run["claim"]
    assert not found.reached


def test_a_busy_pilot_costs_no_convergence_either():
    bench = Bench(seconds=1.0)
    run = bench.run
    paces = iter([1.0, 1.0])

    def pilot(setting, **more):
        reply = run(setting)
        bench.seconds = next(paces, 0.1)
        return reply

    bench.run = pilot
    _, found = as_asked(bench, 1e-8)
    assert found.reached
    assert found.run["iterations"] > 100
