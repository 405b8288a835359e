"""What was found of transport maps: remarks, tables with what was asked for, and a picture of errors."""

from __future__ import annotations

import statistics
from pathlib import Path

from .summary import Row, Table

#: Kinds of tasks, see `map_tasks`.
STEPS, MAP, GAP = "to-steps", "to-map", "to-gap"
#: How figures of a verdict are called.
NAMES = {
    "uvp": "L2-UVP %",
    "cosine": "cosine",
    "angle": "angle",
    "divergence": "Sinkhorn divergence",
    "monge_gap": "Monge gap",
    "mean_cost": "mean cost",
}
TEXT = """\
Figures of maps are the judge's, on points that no fit has seen: medians over the rounds, each with a seed of its
own, the range in parentheses. ✓ and ✗ say whether what was asked for is met, by medians."""


def kind(table: Table) -> str:
    """The kind of its task."""
    return table.case["task"].get("kind", "")


def figures(row: Row, name: str) -> list[float]:
    """One figure of the verdicts of all rounds; of the set-up where nothing was repeated."""
    verdicts = [record["verdict"] for record in row.rounds if "verdict" in record]
    if not verdicts and row.setup.get("verdict"):
        verdicts = [row.setup["verdict"]]
    return [verdict[name] for verdict in verdicts if verdict.get(name) is not None]


def middle(row: Row | None, name: str) -> float | None:
    """Median of a figure; None where there is none."""
    found = [] if row is None else figures(row, name)
    return statistics.median(found) if found else None


def shown(value: float | None) -> str:
    """Three digits."""
    return "–" if value is None else f"{value:.3g}"


def with_range(row: Row, name: str, digits: str = ".3g") -> str:
    """Median of a figure, and its range."""
    found = figures(row, name)
    if not found:
        return "–"
    low, high = (format(value, digits) for value in (min(found), max(found)))
    text = format(statistics.median(found), digits)
    return text if low == high else f"{text} ({low} to {high})"


def mark(met: bool | None) -> str:
    """A sign for a target that is met, or missed."""
    return {True: " ✓", False: " ✗", None: ""}[met]


def remarks(row: Row) -> list[str]:
    """Figures of the maps of a row; nothing for other tasks."""
    found = [f"{label} {with_range(row, name)}" for name, label in NAMES.items() if figures(row, name)]
    if rates := [record["steps_per_second"] for record in row.rounds if "steps_per_second" in record]:
        found.insert(0, f"{statistics.median(rates):.3g} steps per second")
    verdict = row.setup.get("verdict") or {}
    if "relative" in verdict:
        found.append("relative gaps " + ", ".join(f"{value:.1e}" for value in verdict["relative"]))
        if replaced := _replaced(row):
            found.append(f"{replaced:.0f} replaced by exact ones")
    return found


def _replaced(row: Row) -> float | None:
    """How many debiased gaps our own certificate contradicted; None of others."""
    return ((row.setup.get("run") or {}).get("details") or {}).get("replaced")


def markdown(tables: list[Table]) -> list[str]:
    """Lines of the tables; none where no map was measured."""
    lines: list[str] = []
    for name, part in ((STEPS, _training), (MAP, _known), (GAP, _gaps)):
        if mine := [table for table in tables if kind(table) == name]:
            lines += ["", *part(mine)]
    return ["## Maps: what was asked for", "", TEXT, *lines] if lines else []


def _grid(title: str, headings: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    lines = [f"### {title}", "", f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _training(tables: list[Table]) -> list[str]:
    headings = (
        "training", "contender", "steps per second", "Sinkhorn divergence", "gap", "fit + strength gap",
        "times as fast as OTT", "divergence not above OTT's", "gap not above OTT's",
    )  # fmt: skip
    lines = []
    for table in tables:
        task, peer = table.case["task"], next((row for row in table.rows if not row.ours), None)
        for row in table.rows:
            rate, other = _rate(row), None if peer is None or row is peer else _rate(peer)
            speed, better = "–", ["–", "–"]
            if rate is not None and other is not None:
                speed = f"{rate / other:.3g}, asked for {task['faster']:g}{mark(rate / other >= task['faster'])}"
            if row is not peer:
                better = [_not_above(row, peer, name) for name in ("divergence", "monge_gap")]
            lines.append([
                f"{table.case['problem']['cost']}, strength {task['strength']:g}", row.name, shown(rate),
                with_range(row, "divergence"), with_range(row, "monge_gap"), _loss(row, task["strength"]), speed,
                *better,
            ])  # fmt: skip
    return _grid("Training", headings, lines)


def _rate(row: Row) -> float | None:
    return None if row.median is None else 1e3 / row.median


def _loss(row: Row, strength: float) -> str:
    pairs = zip(figures(row, "divergence"), figures(row, "monge_gap"))
    losses = [divergence + strength * gap for divergence, gap in pairs]
    return shown(statistics.median(losses) if losses else None)


def _not_above(row: Row, peer: Row | None, name: str) -> str:
    mine, theirs = middle(row, name), middle(peer, name)
    if mine is None or theirs is None:
        return "–"
    return f"{mine / theirs:.3g} of it{mark(mine <= theirs)}" if theirs > 0 else mark(mine <= theirs).strip()


def _known(tables: list[Table]) -> list[str]:
    headings = (
        "law", "d", "contender", "L2-UVP %", "cosine", "angle", "CPU seconds", "budget", "asked for"
    )  # fmt: skip
    lines = []
    for table in tables:
        task, problem = table.case["task"], table.case["problem"]
        main = next((row for row in table.rows if row.versus is None), None)
        for row in table.rows:
            seconds = row.median
            budget = f"≤ {task['budget']:g}{mark(None if seconds is None else seconds <= task['budget'])}"
            lines.append([
                problem["law"], str(problem["d"]), row.name, with_range(row, "uvp"),
                with_range(row, "cosine", ".4f"), with_range(row, "angle"), shown(seconds), budget,
                _asked(row, main, task),
            ])  # fmt: skip
    return _grid("Maps with known truth", headings, lines)


def _asked(row: Row, main: Row | None, task: dict) -> str:
    """What is asked of the main contender, or of it next to this one."""
    name, figure = NAMES[task["figure"]], middle(row, task["figure"])
    if figure is None:
        return "–"
    if row is main and task["most"] is not None:
        return f"{name} ≤ {task['most']:g}{mark(figure <= task['most'])}"
    ours = middle(main, task["figure"])
    if row is not main and row.name in task["beaten"] and ours is not None:
        # Four digits: maps that are the same up to rounding are no better.
        return f"ours is less: {ours / figure:.4g} of it{mark(ours < figure)}" if figure > 0 else "–"
    return "–"


def _gaps(tables: list[Table]) -> list[str]:
    headings = (
        "cost", "n", "d", "contender", "largest gap / mean cost", "asked for", "replaced", "seconds"
    )  # fmt: skip
    lines = []
    for table in tables:
        most, problem = table.case["task"]["most"], table.case["problem"]
        for row in table.rows:
            verdict = row.setup.get("verdict") or {}
            error, target = verdict.get("value_error"), most.get(row.name)
            asked = "–" if target is None else f"≤ {target:g}{mark(None if error is None else error <= target)}"
            worst = "–" if error is None else f"{error:.1e}"
            others = _replaced(row)
            lines.append([
                problem["cost"], str(problem["n"]), str(problem["d"]), row.name, worst, asked,
                "–" if others is None else f"{others:.0f} of {len(verdict['relative'])}", shown(row.median),
            ])  # fmt: skip
    return [
        *_grid("Gaps of optimal maps", headings, lines),
        "",
        "Seconds are those of all maps. Replaced: debiased gaps that certified bounds contradict, for which",
        "`monge_gap` returns the exact one.",
    ]


def errors(tables: list[Table]) -> dict[str, dict[str, dict[int, float]]]:
    """Figure that counts by law, contender and dimension, of maps with known truth."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for table in tables:
        if kind(table) != MAP:
            continue
        task, problem = table.case["task"], table.case["problem"]
        curves = found.setdefault(f"{problem['law']}: {NAMES[task['figure']]}", {})
        for row in table.rows:
            value = middle(row, task["figure"])
            if value is not None and value > 0:
                curves.setdefault(row.name, {})[problem["d"]] = value
    return {law: curves for law, curves in found.items() if curves}


def plot(tables: list[Table], path: Path) -> bool:
    """Draw errors against the dimension, one panel per law.

    Returns
    -------
    bool
        False, and no file, where there is nothing to draw or matplotlib is not installed.
    """
    found = errors(tables)
    if not found:
        return False
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(4.5 * len(found), 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    # One colour per contender in all panels.
    names = list(dict.fromkeys(name for curves in found.values() for name in curves))
    for axis, (title, curves) in zip(axes, found.items()):
        for name, points in curves.items():
            dimensions = sorted(points)
            width = 2.5 if name == "ours" else 1.2
            axis.plot(
                dimensions, [points[d] for d in dimensions], "o-", color=f"C{names.index(name)}", label=name,
                linewidth=width, markersize=4,
            )  # fmt: skip
        _dimensions(axis, sorted({d for points in curves.values() for d in points}))
        axis.set_yscale("log")
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_xlabel("dimension", fontsize=8)
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=130)
    return True


def _dimensions(axis, dimensions: list[int]) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(dimensions, [str(d) for d in dimensions])
    axis.minorticks_off()
    axis.tick_params(labelsize=7)
