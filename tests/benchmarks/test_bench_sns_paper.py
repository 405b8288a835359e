"""The suite of the paper on Sinkhorn-Newton-Sparse: its adapter, a run of it in small, and its table."""

from benchmarks import paper_table
from benchmarks.adapters import Setting
from benchmarks.adapters.sns import SNS
from benchmarks.cases import Case, Contender
from benchmarks.judge import judge_potentials
from benchmarks.problems import ProblemSpec
from benchmarks.records import Store, read_records
from benchmarks.report import markdown
from benchmarks.runner import Limits, run_case
from benchmarks.suites import SUITES
from benchmarks.summary import Row, Table
from benchmarks.tasks import ToAccuracy

#: Random costs at the paper's ε times n.
SMALL = ProblemSpec("random-cost", n=60, m=60, eps=1 / 144)
OPTIONS = {"sinkhorn_steps": 20, "passes": 200}


def adapter(**options):
    found = SNS(SMALL.build(), 1, **{**OPTIONS, **options})
    found.prepare()
    return found


def test_the_suite_has_five_seeds_of_three_experiments():
    suite = SUITES["sns-paper"]
    assert len(suite.cases) == 15
    assert len({case.problem for case in suite.cases}) == 15
    assert {case.problem.eps for case in suite.cases} == {1 / 1200}
    for case in suite.cases:
        experiment = paper_table.EXPERIMENTS[case.name.rpartition("-")[0]]
        options = {c.name: c.options for c in case.contenders}
        assert options["sns-paper"]["times_n"] == (experiment.times_n,)
        assert set(experiment.published) <= set(options) <= set(paper_table.NAMES)


def test_the_smallest_sufficient_density_is_found():
    setting = Setting(threshold=1e-12)
    densities = (20, 12, 8, 5, 2)
    found, quick = adapter(times_n=densities), adapter(times_n=densities, newton_steps=8)
    for each in (found, quick):
        each.compile(setting)
        answer = each.answer(each.run(setting))
        assert answer.claim
        assert answer.details["times_n"] == each.times_n
        assert answer.iterations == answer.details["sinkhorn_steps"] + answer.details["newton_steps"]
        assert judge_potentials(SMALL.build(), answer.f, answer.g).marginal_error <= 1.01e-12
    assert found.times_n <= quick.times_n < 20
    assert answer.details["newton_steps"] <= 8


def test_the_largest_density_stands_where_none_suffices():
    found = adapter(times_n=(20, 5), newton_steps=0)
    found.compile(Setting(threshold=1e-12))
    assert found.times_n == 20


def test_a_run_in_small_ends_in_the_table(tmp_path):
    options = {**OPTIONS, "times_n": (20, 8)}
    contenders = (
        Contender("newton", "ours:Dense", {"method": "newton"}),
        Contender("sns-soon", "sns:SNS", options, versus="newton"),
        Contender("sns-paper", "sns:SNS", {**options, "times_n": (2,), "passes": 3}, versus="newton"),
    )
    case = Case("assignment-0", "a case", SMALL, ToAccuracy(tol=1e-12), contenders)
    path = tmp_path / "out.jsonl"
    run_case(case, Limits(1, 1, 30.0), Store(path, "sns-paper", {"fingerprint": "here"}), lambda text: None)
    text = markdown(read_records(path))
    assert "random assignment" in text
    (row,) = (line for line in text.splitlines() if line.startswith("| SNS, smallest density with no more"))
    assert "| 1 of 1 | 8 | 20 + " in row
    (row,) = (line for line in text.splitlines() if line.startswith("| SNS, the paper's density"))
    assert "| 0 of 1 | 2 | 20 + " in row
    assert row.endswith("| 0.34 s, 20 + 9 |")


def _table(case, error, seconds, newton_steps):
    details = {"times_n": 8, "sinkhorn_steps": 20, "newton_steps": newton_steps, "cg_steps": 1000}
    run = {"seconds": seconds, "iterations": 20 + newton_steps, "details": details}
    status = "ready" if error <= 1e-12 else "not reached"
    setup = {"status": status, "run": run, "verdict": {"marginal_error": error}}
    row = Row("sns-soon", "float64", False, status, [seconds] if status == "ready" else [], setup)
    return Table("sns-paper", {"case": case}, [row])


def test_seeds_are_summarised():
    measured = [_table("assignment-0", 1e-13, 0.1, 7), _table("assignment-1", 9e-13, 0.3, 9)]
    text = "\n".join(paper_table.markdown(measured))
    assert "| 2 of 2 | 8 | 20 + 7, 20 + 9 | 1000 | 9.0e-13 | 0.2 |" in text
    text = "\n".join(paper_table.markdown([*measured, _table("assignment-2", 1e-3, 5.0, 180)]))
    assert "| 2 of 3 | 8 | 20 + 7, 20 + 9, 20 + 180 | 1000 | 1.0e-03 | (0.3) |" in text


def test_other_suites_have_no_such_table():
    table = _table("assignment-0", 1e-13, 0.1, 7)
    assert paper_table.markdown([Table("smoke", table.case, table.rows)]) == []
