"""``ot-solvers solve``: one problem from files to files."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_solvers.commands.console import Bar, Console, console, figure, towards
from ot_solvers.commands.errors import CommandError, library_errors, missing_extra
from ot_solvers.commands.files import output_path, read_array, read_potentials, read_weights, whole_file
from ot_solvers.commands.interruption import Interruption

if TYPE_CHECKING:
    from ot_solvers import Progress, Solution

CONVERGED, NOT_CONVERGED, INTERRUPTED = 0, 1, 130
PLOT_FORMATS = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


def run(args: argparse.Namespace) -> int:
    """Solve the problem that the command line describes.

    Returns
    -------
    int
        Exit code: 0 converged, 1 not converged, 130 interrupted (the answer is written in all three cases).
    """
    _check_arguments(args)
    screen = console(quiet=args.quiet or args.json)
    out, plot = _outputs(args)
    arrays = _inputs(args)
    with threads(args.threads), Interruption() as interruption:
        target = args.tol if args.tol is not None else _default_tol(arrays)
        with screen.progress("solve") as bar, passed_on_warnings(screen), library_errors():
            watch = Watch(bar, target, interruption)
            solution = _solve(args, arrays, watch)
    with threads(args.threads), library_errors():
        # From here on Ctrl-C aborts at once: what is left is short, and the files appear whole or not at all.
        figures = solution_figures(solution)
        if out is not None:
            _write(out, solution, figures, args.plan or "sparse")
        if plot is not None:
            from ot_solvers.commands.plots import solution_figure

            picture = solution_figure(solution, arrays.get("x"), arrays.get("y"), target)
            with whole_file(plot) as stream:
                picture.savefig(stream, format=plot.suffix[1:].lower(), dpi=150)
    _report(args, screen, figures, arrays, (out, plot))
    return exit_code(solution, interruption, screen, written=out is not None)


class Watch:
    """The callback of a solve: draws the progress and passes Ctrl-C on.

    Parameters
    ----------
    bar : Bar
    tol : float
        Marginal error at which the bar is full.
    interruption : Interruption
    """

    def __init__(self, bar: Bar, tol: float, interruption: Interruption) -> None:
        self._bar = bar
        self._tol = tol
        self._interruption = interruption
        self._start = 0.0
        self._reg: float | None = None

    def __call__(self, progress: Progress) -> bool:
        error = float(progress.marginal_error)
        if progress.reg != self._reg:
            # While reg is scaled down, errors of earlier levels say nothing about this one.
            self._reg, self._start = progress.reg, error
        with np.errstate(divide="ignore", invalid="ignore"):
            magnitudes = f"{np.log10(error):.1f} -> {np.log10(self._tol):.1f}" if self._tol > 0 else f"{error:.1e}"
        text = f"log10 error {magnitudes}, reg {float(progress.reg):.3g}, pass {progress.iteration}"
        self._bar(towards(self._tol, error, self._start), text)
        return self._interruption.requested


@contextlib.contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Use so many threads inside, and as many as before afterwards."""
    import ot_solvers as ots

    if number is None:
        yield
        return
    before = ots.get_num_threads()
    with library_errors():
        ots.set_num_threads(number)
    try:
        yield
    finally:
        ots.set_num_threads(before)


@contextlib.contextmanager
def passed_on_warnings(screen: Console) -> Iterator[None]:
    """Show each of the library's warnings as one line, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        screen.warning(text)


def solution_figures(solution: Solution) -> dict[str, Any]:
    """What is worth knowing about a solution, by name."""
    return {
        "value": float(solution.value),
        "value_linear": float(solution.value_linear),
        "dual_value": float(solution.dual_value),
        "gap": float(solution.gap),
        "marginal_error": float(solution.marginal_error),
        "status": solution.status.name,
        "converged": bool(solution.converged),
        "method": str(solution.method),
        "method_reason": str(solution.method_reason),
        "n_iter": int(solution.n_iter),
        "seconds": float(solution.seconds),
        "backend": str(solution.backend),
    }


def exit_code(solution: Solution, interruption: Interruption, screen: Console, *, written: bool) -> int:
    """The exit code of a finished solve, with one line of advice where it is not 0."""
    if interruption.requested:
        kept = "the answer so far was written" if written else "these are the figures so far"
        screen.warning(f"interrupted: {kept} (marginal error {float(solution.marginal_error):.1e})")
        return INTERRUPTED
    if not solution.converged:
        screen.warning(f"not converged ({solution.status.name}): {solution.status.value}")
        return NOT_CONVERGED
    return CONVERGED


def _check_arguments(args: argparse.Namespace) -> None:
    if args.cost_matrix is not None:
        if args.x is not None:
            raise CommandError("give either two files of points or --cost-matrix, not both")
        if args.cost is not None or args.p is not None:
            raise CommandError("--cost and --p are for points; --cost-matrix holds the costs already")
    elif args.x is None or args.y is None:
        raise CommandError("two files of points are needed, x and y (or --cost-matrix)")
    if args.cost == "pnorm" and args.p is None:
        raise CommandError("--cost pnorm needs its exponent: --p 3, for example")
    if args.p is not None and args.cost != "pnorm":
        raise CommandError("--p is the exponent of --cost pnorm")
    if args.unbalanced_type is not None and args.unbalanced is None:
        raise CommandError("--unbalanced-type needs --unbalanced RHO")
    if args.mass is not None and args.unbalanced is not None:
        raise CommandError("either --mass says how much is moved, or --unbalanced what missing the weights costs")
    if args.plan is not None and args.out is None:
        raise CommandError("--plan says what goes into --out: give that too")
    if args.reg_relative_to is not None and args.reg is None:
        raise CommandError("--reg-relative-to needs --reg")


def _outputs(args: argparse.Namespace) -> tuple[Path | None, Path | None]:
    inputs = [args.x, args.y, args.a, args.b, args.cost_matrix, args.init]
    out = None if args.out is None else output_path(args.out, option="--out", inputs=inputs)
    plot = None if args.plot is None else output_path(args.plot, option="--plot", inputs=inputs)
    if plot is not None:
        if plot.suffix.lower() not in PLOT_FORMATS:
            raise CommandError(f"--plot {args.plot}: the name must end in one of {', '.join(PLOT_FORMATS)}")
        if out is not None and out.resolve() == plot.resolve():
            raise CommandError("--out and --plot name the same file")
        if importlib.util.find_spec("matplotlib") is None:
            raise missing_extra("matplotlib", "--plot")
    return out, plot


def _inputs(args: argparse.Namespace) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    if args.cost_matrix is not None:
        arrays["C"] = read_array(args.cost_matrix, name="cost-matrix", key=args.key)
    else:
        arrays["x"] = read_array(args.x, name="x", key=args.key)
        arrays["y"] = read_array(args.y, name="y", key=args.key)
    for side in ("a", "b"):
        path = getattr(args, side)
        if path is not None:
            arrays[side] = read_weights(path, name=side)
    if args.init is not None:
        arrays["init"] = read_potentials(args.init)
    return arrays


def _solve(args: argparse.Namespace, arrays: dict[str, Any], watch: Watch) -> Solution:
    import ot_solvers as ots

    options: dict[str, Any] = {
        "reg": args.reg,
        "reg_relative_to": args.reg_relative_to,
        "unbalanced": args.unbalanced,
        "mass": args.mass,
        "method": args.method,
        "backend": args.backend,
        "tol": args.tol,
        "max_iter": args.max_iter,
        "init": arrays.get("init"),
        "callback": watch,
        "on_failure": "ignore",  # the exit code and one line of advice say it here
    }
    if args.unbalanced_type is not None:
        options["unbalanced_type"] = args.unbalanced_type
    weights = (arrays.get("a"), arrays.get("b"))
    if "C" in arrays:
        return ots.solve(arrays["C"], *weights, **options)
    cost = ots.costs.PNorm(args.p) if args.cost == "pnorm" else args.cost or "sqeuclidean"
    return ots.solve_sample(arrays["x"], arrays["y"], *weights, cost=cost, **options)


def _default_tol(arrays: dict[str, Any]) -> float:
    # As the library documents it: the bar should fill when the solve ends.
    single = all(array.dtype.kind == "f" and array.dtype.itemsize <= 4 for array in _data_arrays(arrays))
    return 1e-4 if single else 1e-6


def _data_arrays(arrays: dict[str, Any]) -> list[np.ndarray]:
    return [arrays[name] for name in ("x", "y", "C") if name in arrays]


def _write(out: Path, solution: Solution, figures: dict[str, Any], plan: str) -> None:
    f, g = solution.potentials
    # Without the seconds: the same problem gives the same file, byte for byte.
    content = {name: np.asarray(value) for name, value in figures.items() if name != "seconds"}
    content.update(f=np.asarray(f), g=np.asarray(g), reg=np.asarray(float(solution.reg)))
    if plan == "dense":
        content["plan"] = np.asarray(solution.plan)
    elif plan == "sparse":
        sparse = solution.sparse_plan()
        # The names that scipy.sparse.save_npz uses, so that load_npz reads the plan.
        content.update(
            data=sparse.data, indices=sparse.indices, indptr=sparse.indptr, shape=np.asarray(sparse.shape)
        )
        content["format"] = np.asarray(b"csr")
    with whole_file(out) as stream:
        np.savez(stream, allow_pickle=False, **content)


def _report(
    args: argparse.Namespace,
    screen: Console,
    figures: dict[str, Any],
    arrays: dict[str, Any],
    written: tuple[Path | None, Path | None],
) -> None:
    sizes = [array.shape for array in _data_arrays(arrays)]
    if args.json:
        out, plot = written
        files = {"out": None if out is None else str(out), "plot": None if plot is None else str(plot)}
        screen.json({**figures, "shapes": sizes, **files})
        return
    problem = " -> ".join(" x ".join(map(str, shape)) for shape in sizes)
    rows = [("problem", f"{'cost matrix' if 'C' in arrays else 'points'} {problem}")]
    rows += solution_rows(figures)
    rows += [("written", str(path)) for path in written if path is not None]
    screen.table("Optimal transport", rows)


def solution_rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The rows of the summary table."""
    return [
        ("value", figure(figures["value"])),
        ("value, linear part", figure(figures["value_linear"])),
        ("gap", f"{figures['gap']:.2e}"),
        ("marginal error", f"{figures['marginal_error']:.2e}"),
        ("status", figures["status"]),
        ("method", figures["method"]),
        ("why this method", figures["method_reason"]),
        ("iterations", str(figures["n_iter"])),
        ("seconds", f"{figures['seconds']:.3f}"),
        ("backend", figures["backend"]),
    ]
