"""What the user sees: tables on stdout, progress and remarks on stderr; with rich where it is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TextIO

from ot_solvers.commands.errors import one_line

BAR_WIDTH = 30
SECONDS_BETWEEN_UPDATES = 0.1


class Bar(Protocol):
    """A progress bar: say how far it is, in [0, 1], and what to write beside it."""

    def __call__(self, fraction: float, text: str) -> None: ...


class Console:
    """Plain text on two streams.

    Parameters
    ----------
    quiet : bool
        No tables and no progress. Warnings stay: they are what a quiet user wants to hear.
    out, err : text streams, optional
        ``sys.stdout`` and ``sys.stderr`` by default, looked up at each call so that redirections are seen.
    """

    def __init__(self, *, quiet: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.quiet = quiet
        self._out = out
        self._err = err

    @property
    def out(self) -> TextIO:
        return self._out or sys.stdout

    @property
    def err(self) -> TextIO:
        return self._err or sys.stderr

    def table(self, title: str, rows: Sequence[Sequence[str]], columns: Sequence[str] = ()) -> None:
        """Print rows of text under a title, aligned."""
        if self.quiet:
            return
        lines = [list(columns), *map(list, rows)] if columns else [list(row) for row in rows]
        widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))] if lines else []
        text = [title, "-" * len(title)]
        text += ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
        print("\n".join(text), file=self.out)

    def json(self, figures: Mapping[str, Any]) -> None:
        """Print the figures as one JSON object, quiet or not: it was asked for."""
        print(json.dumps(jsonable(figures), indent=2, allow_nan=False), file=self.out)

    def note(self, text: str) -> None:
        """Remark on stderr, unless quiet."""
        if not self.quiet:
            print(one_line(text), file=self.err)

    def warning(self, text: str) -> None:
        """One line on stderr that the user should read."""
        print(f"ot-solvers: warning: {one_line(text)}", file=self.err)

    @contextlib.contextmanager
    def progress(self, label: str) -> Iterator[Bar]:
        """A bar while something runs; silent where nobody watches (quiet, or stderr is a file)."""
        if self.quiet or not self.err.isatty():
            yield _no_bar
            return
        with self._live_bar(label) as bar:
            yield bar

    @contextlib.contextmanager
    def _live_bar(self, label: str) -> Iterator[Bar]:
        start = last = time.monotonic()
        widest = 0

        def update(fraction: float, text: str) -> None:
            nonlocal last, widest
            now = time.monotonic()
            if now - last < SECONDS_BETWEEN_UPDATES:
                return
            last = now
            done = round(BAR_WIDTH * min(max(fraction, 0.0), 1.0))
            line = f"{label} [{'#' * done}{'.' * (BAR_WIDTH - done)}] {now - start:.0f} s, {text}"
            line = line[: _columns(self.err) - 1]  # what is wrapped cannot be written over
            widest = max(widest, len(line))
            print(f"\r{line.ljust(widest)}", end="", file=self.err, flush=True)

        try:
            yield update
        finally:
            if widest:
                print(f"\r{' ' * widest}\r", end="", file=self.err, flush=True)


class RichConsole(Console):
    """The same, drawn by rich."""

    def table(self, title: str, rows: Sequence[Sequence[str]], columns: Sequence[str] = ()) -> None:
        if self.quiet:
            return
        from rich import box
        from rich.console import Console as RichOutput
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=title, title_justify="left", title_style="bold", box=box.ROUNDED, show_header=bool(columns)
        )
        width = len(columns) or (len(rows[0]) if rows else 0)
        for k in range(width):
            table.add_column(columns[k] if columns else "", style="cyan" if k == 0 else None, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))  # Text: brackets in paths are not markup
        RichOutput(file=self.out, highlight=False).print(table)

    @contextlib.contextmanager
    def _live_bar(self, label: str) -> Iterator[Bar]:
        from rich.console import Console as RichOutput
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(BAR_WIDTH),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=RichOutput(file=self.err), transient=True) as progress:
            task = progress.add_task(label, total=1.0, text="")

            def update(fraction: float, text: str) -> None:
                progress.update(task, completed=min(max(fraction, 0.0), 1.0), text=text)

            yield update


def console(*, quiet: bool = False) -> Console:
    """The best console that this environment offers."""
    kind = RichConsole if importlib.util.find_spec("rich") is not None else Console
    return kind(quiet=quiet)


def towards(target: float, error: float, start: float) -> float:
    """Share of the way from ``start`` down to ``target`` that ``error`` has come, in orders of magnitude."""
    if not error > target:
        return 1.0
    if not (target > 0 and start > target and math.isfinite(error)):
        return 0.0
    return min(max(math.log(start / error) / math.log(start / target), 0.0), 1.0)


def figure(number: float) -> str:
    """A number as the tables show it: six significant digits."""
    return f"{number:.6g}"


def jsonable(value: Any) -> Any:
    """Plain JSON types; infinities and NaN become the strings that ``float`` reads back."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _columns(stream: TextIO) -> int:
    """Width of the terminal behind a stream; 80 where it does not say."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80


def _no_bar(fraction: float, text: str) -> None:
    pass
