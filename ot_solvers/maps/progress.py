"""A progress bar for the training of maps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from .history import MapProgress

__all__ = ["progress_bar"]


@contextlib.contextmanager
def progress_bar(wanted: bool, steps: int, title: str) -> Iterator[Callable[[MapProgress], None]]:
    """What to show records with; without rich, where a bar is wanted, an error says what to install.

    Parameters
    ----------
    wanted : bool
    steps : int
    title : str
        What is trained, besides the map itself.
    """
    if not wanted:
        yield lambda progress: None
        return
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        raise ImportError(
            'progress=True needs rich: pip install "ot_solvers[demo]", or use callback= instead'
        ) from None
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )  # fmt: skip
    with Progress(*columns) as bar:
        task = bar.add_task(f"map {title}".strip(), total=steps, losses="")

        def show(progress: MapProgress) -> None:
            parts = [f"fit {progress.fit:.4g}"]
            if progress.gap is not None:
                parts.append(f"gap {progress.gap:.4g}")
            bar.update(task, completed=progress.step, losses="  ".join(parts))

        yield show
