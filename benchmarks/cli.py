"""The command line: ``list``, ``run``, ``report``, ``compare``, ``coverage``, ``directions``, ``shapes``."""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path

from .environment import describe, moment
from .records import Store, read_records
from .runner import Limits, run_case
from .suites import SUITES, Suite
from .summary import tables

RESULTS = Path(__file__).resolve().parent / "results"
INTERRUPTED = 130  # 128 + SIGINT, as shells count it


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    try:
        return arguments.action(arguments)
    except (FileNotFoundError, FileExistsError, ValueError) as error:
        parser.error(str(error))


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="suites, their cases and contenders")
    listing.set_defaults(action=do_list)

    run = commands.add_parser("run", help="measure")
    run.add_argument("suites", nargs="+", choices=sorted(SUITES), metavar="SUITE", help=", ".join(SUITES))
    run.add_argument("--cases", type=_patterns, metavar="A,B", help="only these cases (shell-style patterns)")
    run.add_argument(
        "--peers",
        type=_patterns,
        metavar="A,B",
        help="besides ours only these contenders or libraries (patterns)",
    )
    run.add_argument("--threads", type=_positive, default=_cpus(), help="for every library (default: %(default)s)")
    run.add_argument("--repeat", type=_positive, help="interleaved rounds (default: the suite's)")
    run.add_argument("--max-seconds", type=float, help="limit of one run (default: the suite's)")
    run.add_argument("--out", type=Path, help="result file (default: a new one under benchmarks/results)")
    run.add_argument("--resume", action="store_true", help="go on with --out; what it holds is not measured again")
    run.set_defaults(action=do_run)

    report = commands.add_parser("report", help="table and plot of a result file")
    report.add_argument("file", type=Path)
    report.set_defaults(action=do_report)

    compare = commands.add_parser("compare", help="figures of two result files side by side")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    compare.set_defaults(action=do_compare)

    coverage = commands.add_parser("coverage", help="how often confidence intervals hold the truth: minutes")
    coverage.add_argument("--settings", type=_patterns, metavar="A,B", help="only these (shell-style patterns)")
    coverage.add_argument("--draws", type=_positive, help="of samples per setting (default: 500)")
    coverage.add_argument("--out", type=Path, help="result file (default: a new one under benchmarks/results)")
    coverage.set_defaults(action=do_coverage)

    directions = commands.add_parser("directions", help="how many directions sliced distances need: minutes")
    directions.add_argument("--settings", type=_patterns, metavar="A,B", help="only these (shell-style patterns)")
    directions.add_argument("--seeds", type=_several, help="per number of directions (default: 200)")
    directions.add_argument("--out", type=Path, help="result file (default: a new one under benchmarks/results)")
    directions.set_defaults(action=do_directions)

    shapes = commands.add_parser("shapes", help="errors of shape correspondence: half an hour")
    shapes.add_argument("--pairs", type=_patterns, metavar="A,B", help="only these (shell-style patterns)")
    shapes.add_argument("--vertices", type=_positive, help="of each shape, about (default: 2000)")
    shapes.add_argument("--steps", type=_positive, help="of learning (default: the package's)")
    shapes.add_argument("--out", type=Path, help="result file (default: a new one under benchmarks/results)")
    shapes.set_defaults(action=do_shapes)
    return parser


def _patterns(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def _several(text: str) -> int:
    value = int(text)
    if value < 2:
        raise argparse.ArgumentTypeError(f"must be at least 2, not {value}")
    return value


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def do_list(arguments) -> int:
    """Print suites, cases and contenders."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    for suite in SUITES.values():
        console.print(f"[bold]{suite.name}[/]: {escape(suite.description)}")
        for case in suite.cases:
            console.print(f"  [cyan]{case.name}[/]: {escape(case.title)}")
            console.print(f"    {', '.join(c.name for c in case.contenders)}", style="dim")
    return 0


def do_run(arguments) -> int:
    """Measure, and report what was measured, after Ctrl-C too."""
    path = _output(arguments)
    path.parent.mkdir(parents=True, exist_ok=True)
    environment = describe(arguments.threads)
    status = 0
    try:
        for name in arguments.suites:
            _run_suite(SUITES[name], arguments, path, environment)
    except KeyboardInterrupt:
        status = INTERRUPTED
    if not path.exists():
        return status
    Store(path, "", environment).write(
        {"record": "environment", "moment": "end", **environment, **moment(), "interrupted": status != 0}
    )
    _report(path)
    return status or _verdict(path)


def _verdict(path: Path) -> int:
    """1 where one of our own contenders failed: a benchmark that cannot run is a broken build.

    That a variant of ours, one that is compared with another of ours, does not reach a tolerance in time is a
    result.
    """
    rows = [row for table in tables(read_records(path)) for row in table.rows if row.ours]
    harmless = {"ready", "not reached", "timeout"}
    return int(any(row.status not in (harmless if row.versus else {"ready"}) for row in rows))


def _output(arguments) -> Path:
    if arguments.out is None:
        if arguments.resume:
            raise ValueError("--resume needs --out")
        now = datetime.datetime.now(datetime.timezone.utc)
        return RESULTS / f"{'-'.join(arguments.suites)}-{now:%Y%m%d-%H%M%S}.jsonl"
    if arguments.out.exists() and not arguments.resume:
        raise FileExistsError(f"{arguments.out} exists: choose another file, or --resume it")
    return arguments.out


def _run_suite(suite: Suite, arguments, path: Path, environment: dict) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    limits = Limits(
        threads=arguments.threads,
        repeat=arguments.repeat or suite.repeat,
        max_seconds=arguments.max_seconds or suite.max_seconds,
    )
    cases = select_cases(suite, arguments.cases, arguments.peers)
    store = Store(path, suite.name, environment)
    store.write({"record": "environment", "moment": "start", "suite": suite.name, **environment, **moment()})
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns) as progress:
        for case in cases:
            steps = len(case.contenders) * (1 + limits.repeat)
            bar = progress.add_task(case.name, total=steps)

            def step(text: str, bar=bar) -> None:
                progress.update(bar, advance=1, description=text)

            run_case(case, limits, store, step)
            progress.update(bar, completed=steps, description=f"{case.name}: done")


def select_cases(suite: Suite, cases: list[str] | None, peers: list[str] | None) -> list:
    """Return the cases that are asked for, with the contenders that are.

    Raises
    ------
    ValueError
        If no case matches.
    """
    chosen = [c for c in suite.cases if cases is None or any(fnmatchcase(c.name, p) for p in cases)]
    if not chosen:
        names = ", ".join(c.name for c in suite.cases)
        raise ValueError(f"no case of suite {suite.name!r} matches {','.join(cases)!r}; there are {names}")
    selected = [case.select(peers) for case in chosen]
    return [replace(case) for case in selected if case.contenders]


def _report(path: Path) -> None:
    from rich.console import Console

    from .report import show, write

    records = read_records(path)
    console = Console()
    show(records, console)
    for written in write(path, records):
        console.print(f"written: {written.name}", style="dim")


def do_report(arguments) -> int:
    """Regenerate table and plot from a result file."""
    _report(arguments.file)
    return 0


def do_compare(arguments) -> int:
    """Print the figures of two result files side by side."""
    from rich.console import Console

    from .compare import comparison

    Console().print(comparison(read_records(arguments.before), read_records(arguments.after)))
    return 0


def do_coverage(arguments) -> int:
    """Measure coverage; 1 where it is out of reach of the nominal one and should not be."""
    from rich.console import Console
    from rich.progress import Progress

    from . import coverage

    settings = _settings(coverage.SETTINGS, arguments.settings)
    draws = arguments.draws or coverage.DRAWS
    path, environment = _begin(arguments, "coverage")
    coverage.write_record(path, {"record": "environment", **environment})
    rows = []
    with Progress() as progress:
        bar = progress.add_task("coverage", total=draws * len(settings))
        for row in coverage.measured(settings, draws, lambda: progress.update(bar, advance=1)):
            coverage.write_record(path, {"record": "coverage", **asdict(row)})
            rows.append(row)
    text = coverage.markdown(environment, rows)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    Console(width=160).print(text, markup=False, highlight=False)
    return int(any(row.met is False for row in rows))


def do_directions(arguments) -> int:
    """Measure errors by the number of directions; 1 where a target is missed."""
    from rich.console import Console
    from rich.progress import Progress

    from . import coverage, directions

    settings = _settings(directions.SETTINGS, arguments.settings)
    path, environment = _begin(arguments, "directions")
    coverage.write_record(path, {"record": "environment", **environment})
    found = []
    with Progress() as progress:
        ways = len(directions.SAMPLINGS) * len(directions.CONTROL_VARIATES) * len(directions.NUMBERS)
        bar = progress.add_task("directions", total=ways * len(settings))
        seeds, step = arguments.seeds or directions.SEEDS, lambda: progress.update(bar, advance=1)
        for comparison in directions.measured(settings, seeds, directions.NUMBERS, step):
            coverage.write_record(path, {"record": "directions", **comparison.as_record()})
            found.append(comparison)
    text = directions.markdown(environment, found)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    directions.plot(found, path.with_suffix(".png"))
    Console(width=160).print(text, markup=False, highlight=False)
    return int(any(comparison.met is False for comparison in found))


def do_shapes(arguments) -> int:
    """Match pairs of shapes; 1 where an error is not as small as it should be."""
    from rich.console import Console
    from rich.progress import Progress

    import ot_solvers

    from . import coverage, shapes

    known = ot_solvers.shapes.EXAMPLES
    names = [name for name in known if any(fnmatchcase(name, p) for p in arguments.pairs or ["*"])]
    if not names:
        raise ValueError(f"no pair matches {','.join(arguments.pairs)!r}; there are {', '.join(known)}")
    path, environment = _begin(arguments, "shapes")
    coverage.write_record(path, {"record": "environment", **environment})
    rows = []
    with Progress() as progress:
        bar = progress.add_task("shapes", total=2 * len(names))
        n = arguments.vertices or shapes.N_VERTICES
        for row in shapes.measured(names, n, arguments.steps, lambda: progress.update(bar, advance=1)):
            coverage.write_record(path, {"record": "shapes", **asdict(row)})
            rows.append(row)
    text = shapes.markdown(environment, rows)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    Console(width=200).print(text, markup=False, highlight=False)
    return int(not all(row.met for row in rows))


def _settings(known: Sequence, patterns: list[str] | None) -> list:
    """Those that are asked for.

    Raises
    ------
    ValueError
        If there are none.
    """
    wanted = patterns or ["*"]
    settings = [s for s in known if any(fnmatchcase(s.name, pattern) for pattern in wanted)]
    if not settings:
        raise ValueError(f"no setting matches {','.join(wanted)!r}; there are {', '.join(s.name for s in known)}")
    return settings


def _begin(arguments, name: str) -> tuple[Path, dict]:
    """Result file and environment of a program that is no suite."""
    arguments.resume = False
    arguments.suites = [name]
    path = _output(arguments)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path, describe(_cpus())
