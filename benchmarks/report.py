"""Tables of results, for the terminal and as Markdown, from the same cells."""

from __future__ import annotations

from pathlib import Path

from . import map_report, paper_table, regime_map
from .summary import Row, Table, environments, spread, tables

HEADINGS = ("contender", "", "median", "±", "iter.", "error", "ours / this", "target")


def figure(value: float | None) -> str:
    """Three significant digits, plainly where that is short."""
    if value is None:
        return "–"
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e5 else f"{value:.2e}"


def cells(row: Row) -> list[str]:
    """The cells of one row, as text."""
    verdict = row.setup.get("verdict") or {}
    iterations = row.setup.get("iterations") or (row.setup.get("run") or {}).get("iterations")
    error = verdict.get("marginal_error", verdict.get("value_error"))
    return [
        row.name,
        row.dtype.replace("float", "f"),
        figure(row.median) if row.converged else f"({figure(row.median)})",
        _percent(spread(row.values)),
        "–" if iterations is None else str(iterations),
        "–" if error is None else f"{error:.1e}",
        _ratio(row),
        "–" if row.target is None else f"≤ {row.target:.2g}{_mark(row)}",
    ]


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return "ours" if row.ours and row.versus is None else "–"
    if row.ratio_spread is None:
        return figure(row.ratio)
    return f"{figure(row.ratio)} ± {_percent(row.ratio_spread)}"


def _mark(row: Row) -> str:
    return {True: " ✓", False: " ✗", None: ""}[row.met]


def _peak(setup: dict) -> str:
    """The target of a peak, and whether it is met."""
    if "peak_target" not in setup:
        return ""
    mark = "✓" if setup["peak_bytes"] <= setup["peak_target"] else "✗"
    return f", target ≤ {setup['peak_target'] / 1e6:.0f} MB {mark}"


def _percent(relative: float | None) -> str:
    """Half a spread, as a percentage."""
    return "–" if relative is None else f"{50 * relative:.0f} %"


def remarks(row: Row) -> list[str]:
    """What else there is to say about a row."""
    setup = row.setup
    found = [row.note] if row.note else []
    if row.status != "ready":
        found.append(f"{row.status}: {setup['message']}" if setup.get("message") else row.status)
    if row.status == "not reached" and "run" in setup:
        found.append(f"{setup['run']['seconds']:.1f} s")
    verdict = setup.get("verdict") or {}
    gap = verdict.get("gap")
    if gap is not None:
        found.append(f"relative gap {gap:.0e}")
    if "dual" in verdict:
        found.append(f"dual value {verdict['dual']:.7g}, columns of at most {verdict['entries']} entries")
    if setup.get("compile_seconds", 0) >= 0.05:
        found.append(f"compiled in {setup['compile_seconds']:.1f} s")
    found += map_report.remarks(row)
    if setup.get("found"):
        found.append(setup["found"])
    if setup.get("repeat") == 0 and row.status == "ready":
        found.append("timed once")
    if "peak_bytes" in setup:
        found.append(
            f"peak {setup['peak_bytes'] / 1e6:.1f} MB above inputs ({setup['peak_source']}){_peak(setup)}"
        )
    if row.noisy:
        found.append("NOISY")
    return found


def environment_line(environment: dict) -> str:
    """One line about where figures come from."""
    versions = ", ".join(f"{k} {v}" for k, v in environment["versions"].items() if v != "not installed")
    load = environment["load"][0] if environment["load"] else "unknown"
    return (
        f"{environment['cpu']}; {environment['cores']} cores, {environment['threads']} threads each; "
        f"{environment['os']}, Python {environment['python']}, BLAS {environment['blas']}; {versions}; "
        f"commit {environment['commit']}; {environment['date']}, load {load}"
    )


def markdown(records: list[dict]) -> str:
    """All tables of a result file as Markdown."""
    parts = ["# Benchmark results", ""]
    parts += [f"- {e['moment']}: {environment_line(e)}" for e in environments(records)]
    parts += [
        "",
        "Medians over interleaved rounds; ± is half the interquartile range. Ratios are ratios of medians,",
        "± that of the single ratios; below 1 means that `ot_solvers` is faster. Errors are marginal errors",
        "found by the judge: both sides, 1-norm, float64 (of the short run, where times are per iteration);",
        "of distances and of many optimal costs relative errors.",
    ]
    measured = tables(records)
    if not all(row.converged for table in measured for row in table.rows):
        parts += ["A time in parentheses is how long a peer ran that did not converge by its own measure."]
    if places := regime_map.cells(measured):
        parts += ["", f"{regime_map.summary(places)}."]
    if lines := paper_table.markdown(measured):
        parts += ["", *lines]
    if lines := map_report.markdown(measured):
        parts += ["", *lines]
    for table in measured:
        headings = (*HEADINGS, "remarks")
        parts += ["", f"## {heading(table)}", ""]
        parts += [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
        parts += [f"| {' | '.join([*cells(row), '; '.join(remarks(row))])} |" for row in table.rows]
    return "\n".join(parts) + "\n"


def heading(table: Table) -> str:
    """Heading of a table, with the measured quantity."""
    return f"{table.suite}: {table.title} [{table.quantity}]"


def show(records: list[dict], console) -> None:
    """Print all tables of a result file on a rich console, remarks below each."""
    from rich.markup import escape
    from rich.table import Table as Grid

    measured = tables(records)
    for table in measured:
        grid = Grid(
            title=escape(heading(table)),
            title_justify="left",
            title_style="bold",
            box=None,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        for name in HEADINGS:
            grid.add_column(name, justify="left" if name in HEADINGS[:2] else "right", no_wrap=True)
        for row in table.rows:
            grid.add_row(*cells(row), style=_style(row))
        console.print(grid)
        for row in table.rows:
            if remarks(row):
                console.print(f"  {row.name}: {'; '.join(remarks(row))}", style="dim", markup=False)
        console.print()
    if places := regime_map.cells(measured):
        console.print(regime_map.summary(places), style="bold", markup=False)


def _style(row: Row) -> str:
    if row.met is False:
        return "red"
    if row.ours:
        return "bold"
    return "" if row.status == "ready" else "dim"


def write(path: Path, records: list[dict]) -> list[Path]:
    """Write the Markdown table and the plots next to a result file; return their paths."""
    from .plots import plot

    text = path.with_suffix(".md")
    text.write_text(markdown(records), encoding="utf-8")
    written = [text]
    measured = tables(records)
    image, chart = path.with_suffix(".png"), path.with_suffix(".map.png")
    if plot([t for t in measured if not (regime_map.is_map(t) or paper_table.is_paper(t))], image):
        written.append(image)
    if regime_map.plot(regime_map.cells(measured), chart):
        written.append(chart)
    curves = path.with_suffix(".errors.png")
    if map_report.plot(measured, curves):
        written.append(curves)
    return written
