"""Two result files side by side.

Each ratio of ours to a peer comes from one run and can be compared between runs; plain times of two runs,
on a machine that is shared, less so. Both are shown.
"""

from __future__ import annotations

from .report import figure
from .summary import Row, tables


def pairs(before: list[dict], after: list[dict]) -> list[tuple[str, Row, Row]]:
    """Return ``(suite/case, row before, row after)`` for contenders with figures in both files."""
    old = {(t.suite, t.case["case"], row.name): row for t in tables(before) for row in t.rows if _comparable(row)}
    found = []
    for table in tables(after):
        for row in table.rows:
            key = table.suite, table.case["case"], row.name
            if _comparable(row) and key in old:
                found.append((f"{table.suite}/{table.case['case']}", old[key], row))
    return found


def _comparable(row: Row) -> bool:
    """Whether there is a time to a solution: how long others ran says more about their limit than about them."""
    return bool(row.values) and row.converged


def comparison(before: list[dict], after: list[dict]):
    """Return a rich table of what both files measured."""
    from rich.table import Table

    grid = Table(title="after / before: below 1 is faster", title_justify="left")
    for heading in (
        "case",
        "contender",
        "before",
        "after",
        "after / before",
        "ours / this, before",
        "after",
        "",
    ):
        grid.add_column(heading, justify="left" if heading in ("case", "contender", "") else "right")
    for case, old, new in pairs(before, after):
        quotient = new.median / old.median if old.median else None
        noisy = "NOISY" if old.noisy or new.noisy else ""
        times = (figure(old.median), figure(new.median), figure(quotient))
        grid.add_row(case, new.name, *times, figure(old.ratio), figure(new.ratio), noisy)
    return grid
