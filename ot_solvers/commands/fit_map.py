"""``ot-solvers fit-map``: from two files of points to a file with a transport map."""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_solvers.commands.console import Console, console, figure
from ot_solvers.commands.errors import CommandError, library_errors, missing_extra
from ot_solvers.commands.files import output_path, whole_file, whole_path
from ot_solvers.commands.interruption import Interruption
from ot_solvers.commands.map_fits import FITTERS, INTERRUPTED, UNFINISHED, Fit, Samples
from ot_solvers.commands.samples import check_points, ground_cost, read_points, read_shares
from ot_solvers.commands.solve import PLOT_FORMATS, passed_on_warnings, threads

if TYPE_CHECKING:
    from ot_solvers.costs import Cost
    from ot_solvers.maps.history import MapHistory

SUFFIXES = {"monge-gap": ".pt", "entropic": ".npz", "linear": ".npz"}
#: Options that only some methods know.
OWNERS = {
    **dict.fromkeys(
        (
            "strength", "fitting", "steps", "batch_size", "learning_rate", "hidden", "validate_every", "patience",
            "both_ways", "device", "checkpoint", "resume", "history",
        ),
        ("monge-gap",),
    ),
    **dict.fromkeys(("reg", "reg_relative_to", "tol"), ("monge-gap", "entropic")),
    "projection": ("entropic",),
    "shrinkage": ("linear",),
}  # fmt: skip
HISTORY = ("step", "fit", "gap", "strength", "learning_rate", "validation_fit", "validation_gap", "seconds")
#: The file of the way back is that of the way there with this at its end.
BACK = ".inverse"


def run(args: argparse.Namespace) -> int:
    """Fit the map that the command line describes.

    Returns
    -------
    int
        Exit code: 0 done, 1 diverged or not converged, 130 interrupted (a map is written in all three cases).
    """
    _check_options(args)
    screen = console(quiet=args.quiet or args.json)
    files = _outputs(args)
    cost = ground_cost(args.cost, args.p)
    samples = _samples(args, cost)
    _prepare_checkpoint(args)
    fitting, held_x, held_y = _held_out(args, samples)
    start = time.perf_counter()
    with (
        threads(args.threads), Interruption() as interruption, screen.progress("fit") as bar,
        passed_on_warnings(screen), library_errors(),
    ):  # fmt: skip
        fit = FITTERS[args.method](args, fitting, cost, bar, interruption)
    seconds = time.perf_counter() - start
    # From here on Ctrl-C aborts at once: the map comes first, the files appear whole or not at all.
    with whole_path(files["out"]) as part:
        fit.map.save(part)
    with threads(args.threads), passed_on_warnings(screen), library_errors():
        figures = {
            "method": args.method,
            "cost": cost.name,
            "source": samples.x.shape,
            "target": samples.y.shape,
            "held_out": (len(held_x), len(held_y)),
            "status": fit.status,
            "converged": fit.code == 0,
            **fit.figures,
            **_quality(fit, samples, held_x, held_y, cost),
            "seconds": seconds,
        }
        if "history" in files:
            _write_history(files["history"], fit.histories)
        if "plot" in files:
            _draw(files["plot"], fit, *((held_x, held_y) if len(held_x) else (samples.x, samples.y)))
    _report(args, screen, figures, files)
    return _exit_code(fit, screen, files["out"])


def _check_options(args: argparse.Namespace) -> None:
    for name, methods in OWNERS.items():
        if getattr(args, name) is not None and args.method not in methods:
            option = (
                f"--{name.replace('_', '-')}" if args.resume is not False or name != "resume" else "--no-resume"
            )
            raise CommandError(f"{option} is for --method {' and '.join(methods)}, not for {args.method}")
    if args.reg_relative_to is not None and args.reg is None:
        raise CommandError("--reg-relative-to needs --reg")
    if args.resume is not None and args.checkpoint is None:
        raise CommandError(f"--{'' if args.resume else 'no-'}resume needs --checkpoint FILE")
    if args.method == "monge-gap" and importlib.util.find_spec("torch") is None:
        raise missing_extra("torch", "--method monge-gap", "torch")


def _outputs(args: argparse.Namespace) -> dict[str, Path]:
    inputs = [args.source, args.target, args.weights_source, args.weights_target]
    files: dict[str, Path] = {}
    for name in ("out", "plot", "history", "checkpoint"):
        given = getattr(args, name)
        if given is None:
            continue
        files[name] = output_path(given, option=f"--{name}", inputs=inputs)
        for other, path in files.items():
            if other != name and path.resolve() == files[name].resolve():
                raise CommandError(f"--{other} and --{name} name the same file")
    suffix = SUFFIXES[args.method]
    if files["out"].suffix.lower() != suffix:
        raise CommandError(f"--out {args.out}: the name of a map of --method {args.method} must end in {suffix}")
    if "plot" in files:
        if files["plot"].suffix.lower() not in PLOT_FORMATS:
            raise CommandError(f"--plot {args.plot}: the name must end in one of {', '.join(PLOT_FORMATS)}")
        if importlib.util.find_spec("matplotlib") is None:
            raise missing_extra("matplotlib", "--plot")
    return files


def _samples(args: argparse.Namespace, cost: Cost) -> Samples:
    from ot_solvers.maps.base import read_samples

    points, weights = [], []
    for side in ("source", "target"):
        path = getattr(args, side)
        own = getattr(args, f"key_{side}")
        read = read_points(
            path, name=side, key=own or _shared_key(args, path), where=getattr(args, f"where_{side}"),
            option=f"--key-{side}",
        )  # fmt: skip
        check_points(cost, read, path)
        points.append(read)
        weights.append(
            read_shares(
                getattr(args, f"weights_{side}"), len(read), option=f"--weights-{side}", points=path
            )
        )  # fmt: skip
    if points[0].shape[1] != points[1].shape[1]:
        raise CommandError(
            f"{args.source} has {points[0].shape[1]} coordinates and {args.target} {points[1].shape[1]}; "
            "maps need points of one space"
        )
    with library_errors():
        return Samples(*read_samples(*points, *weights)[:4])


def _shared_key(args: argparse.Namespace, path: str) -> str | None:
    """``--key``, for files that have named arrays; the other sample may be in one that has none."""
    from ot_solvers.commands.samples import has_names

    if args.key is None or has_names(path):
        return args.key
    if not (has_names(args.source) or has_names(args.target)):
        raise CommandError(f"--key {args.key} is for npz and h5ad files, and {path} is one array")
    return None


def _prepare_checkpoint(args: argparse.Namespace) -> None:
    """See to it that there is a checkpoint to go on from, or none."""
    if args.resume is None:
        return
    path = Path(args.checkpoint)
    if args.resume:
        if not path.exists():
            raise CommandError(f"--resume: there is no checkpoint {path} to go on from")
        return
    from ot_solvers.maps.learning.checkpoints import remove_checkpoint

    with library_errors():
        for file in (path, Path(f"{path}{BACK}")):
            remove_checkpoint(file)


def _held_out(args: argparse.Namespace, samples: Samples) -> tuple[Samples, np.ndarray, np.ndarray]:
    """What to fit to, and what the report looks at: the points that `MongeGapMap` holds out with that seed."""
    from ot_solvers.maps.held_out import fit_seeds, hold_out

    x, y, a, b, held_x, held_y = hold_out(
        samples.x, samples.y, samples.a, samples.b, args.validation, fit_seeds(args.seed)[0]
    )
    if not (len(held_x) and len(held_y)):
        held_x, held_y = held_x[:0], held_y[:0]
    if args.method == "monge-gap":  # holds them out itself
        return samples, held_x, held_y
    return (Samples(x, y, a, b) if len(held_x) else samples), held_x, held_y


def _quality(fit: Fit, samples: Samples, x: np.ndarray, y: np.ndarray, cost: Cost) -> dict[str, Any]:
    """Figures of the map on points that were held out, or on some of the fit where there are none."""
    from ot_solvers.maps import monge_gap
    from ot_solvers.maps.held_out import HELD_OUT

    if not len(x):
        x, y = (
            _some(points, shares, HELD_OUT) for points, shares in ((samples.x, samples.a), (samples.y, samples.b))
        )
    gap = monge_gap(x, fit.map.transform(x), cost=cost)
    return {
        "score": float(fit.map.score(x, y)),
        "gap_of_map": float(gap),
        "mean_cost": float(gap.displacement),
    }


def _some(points: np.ndarray, shares: np.ndarray | None, most: int) -> np.ndarray:
    """Points drawn at random, by their weights; all of them where they are few and weigh the same."""
    if shares is None and len(points) <= most:
        return points
    generator = np.random.default_rng(0)
    return points[generator.choice(len(points), size=min(most, len(points)), replace=shares is not None, p=shares)]


def _write_history(path: Path, histories: dict[str, MapHistory]) -> None:
    lines = [",".join(("way", *HISTORY))]
    for way, history in histories.items():
        for record in history:
            values = (getattr(record, name) for name in HISTORY)
            lines.append(",".join((way, *("" if value is None else repr(value) for value in values))))
    with whole_file(path) as stream:
        stream.write(("\n".join(lines) + "\n").encode())


def _draw(path: Path, fit: Fit, x: np.ndarray, y: np.ndarray) -> None:
    from ot_solvers.commands.map_plots import map_figure

    picture = map_figure(x, fit.map.transform(x), y, fit.histories.get("forward"))
    with whole_file(path) as stream:
        picture.savefig(stream, format=path.suffix[1:].lower(), dpi=150)


def _report(args: argparse.Namespace, screen: Console, figures: dict[str, Any], files: dict[str, Path]) -> None:
    if args.json:
        names = ("out", "plot", "history", "checkpoint")
        screen.json({**figures, **{name: str(files[name]) if name in files else None for name in names}})
        return
    rows = [*_rows(figures), *(("written", str(path)) for path in files.values() if path.exists())]
    screen.table("Transport map", rows)


def _rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The rows of the summary table."""
    problem = " -> ".join(" x ".join(map(str, figures[side])) for side in ("source", "target"))
    some, others = figures["held_out"]
    rows = [
        ("map", f"{figures['method']}, cost {figures['cost']}"),
        ("points", problem),
        ("held out", f"{some} and {others}" if some else "none"),
    ]
    if figures["method"] == "monge-gap":
        for prefix, title in (("", ""), ("inverse_", "way back, ")):
            if f"{prefix}fit" in figures:
                rows += _training_rows(figures, prefix, title)
        if figures["resumed"]:
            rows.append(("goes on from", "the checkpoint"))
    elif figures["method"] == "entropic":
        rows += [("reg", figure(figures["reg"])), ("marginal error", f"{figures['marginal_error']:.2e}")]
    else:
        rows.append(("distance of Gaussians", figure(figures["distance_of_gaussians"])))
    where = "held out" if some else "points of the fit"
    rows += [
        (f"score, {where}", f"{figures['score']:.4g}"),
        (f"Monge gap, {where}", f"{figures['gap_of_map']:.3g}"),
        (f"mean cost, {where}", f"{figures['mean_cost']:.4g}"),
        ("status", figures["status"]),
        ("seconds", f"{figures['seconds']:.2f}"),
    ]
    return rows


def _training_rows(figures: dict[str, Any], prefix: str, title: str) -> list[tuple[str, str]]:
    def shown(fit: float | None, gap: float | None) -> str:
        return "none" if fit is None else f"fit {fit:.4g}" + ("" if gap is None else f", gap {gap:.4g}")

    return [
        (f"{title}last record", f"step {figures[f'{prefix}last_step']} of {figures['steps']}"),
        (f"{title}minibatch", shown(figures[f"{prefix}fit"], figures[f"{prefix}gap"])),
        (f"{title}validation", shown(figures[f"{prefix}validation_fit"], figures[f"{prefix}validation_gap"])),
    ]


def _exit_code(fit: Fit, screen: Console, out: Path) -> int:
    if fit.code == INTERRUPTED:
        screen.warning(f"interrupted: the map reached was written to {out} ({fit.advice})")
    elif fit.code == UNFINISHED:
        screen.warning(f"{fit.status}: {fit.advice}")
    return fit.code
