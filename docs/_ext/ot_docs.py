"""What these pages take from the package when they are built: citations, capabilities, statuses."""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

CITATION = re.compile(r"\[([a-z]+\d?:\d\d[a-z]?)\]_")


def cite(app, what, name, obj, options, lines: list[str]) -> None:
    """Turn the ``[key]_`` of docstrings into citations of ``references.bib``."""
    lines[:] = [CITATION.sub(r":cite:t:`\1`", line) for line in lines]


class NumberSortKey:
    """Order of the gallery: by the number in a file's name."""

    def __init__(self, src_dir):
        pass

    def __call__(self, filename) -> tuple[int, str]:
        name = Path(filename).name
        number = re.search(r"\d+", name)
        return int(number[0]) if number else 0, name

    def __repr__(self) -> str:
        return "NumberSortKey"


class CapabilityTable(SphinxDirective):
    """Primitives that run at full speed, by geometry: one table for the backend named in the argument."""

    required_arguments = 1

    def run(self):
        from ot_solvers.backends.base import PRIMITIVES
        from ot_solvers.backends.registry import capability_table

        able = capability_table()[self.arguments[0]]
        head = ["primitive", *(kind.replace("_", " ") for kind in able)]
        rows = [
            [name, *("●" if name in primitives else "–" for primitives in able.values())]
            for name in PRIMITIVES
            if any(name in primitives for primitives in able.values())
        ]
        return [_table(head, rows, code=1)]


class StatusTable(SphinxDirective):
    """Every `Status` and its advice."""

    def run(self):
        from ot_solvers import Status

        return [_table(["status", "what it says"], [[s.name, s.value] for s in Status], code=1)]


def _table(head: list[str], rows: list[list[str]], *, code: int) -> nodes.table:
    """A docutils table; the first `code` columns are set as code."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    group += nodes.thead("", _row(head, 0))
    group += nodes.tbody("", *(_row(row, code) for row in rows))
    return nodes.table("", group, classes=["colwidths-auto", "align-left"])


def _row(cells: list[str], code: int) -> nodes.row:
    def content(k: int, text: str):
        return nodes.literal("", text) if k < code else nodes.Text(text)

    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", content(k, c))) for k, c in enumerate(cells)))


def setup(app: Sphinx) -> dict[str, bool]:
    # Before numpydoc (priority 500), which would take the brackets for citations of its own.
    app.connect("autodoc-process-docstring", cite, priority=400)
    app.add_directive("capability-table", CapabilityTable)
    app.add_directive("status-table", StatusTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
