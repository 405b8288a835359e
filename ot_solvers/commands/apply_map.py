"""``ot-solvers apply-map``: points moved by a map from a file."""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from ot_solvers import reading
from ot_solvers.commands.console import Console, console
from ot_solvers.commands.errors import CommandError, library_errors, missing_extra
from ot_solvers.commands.files import output_path, whole_file
from ot_solvers.commands.samples import check_points, file_errors, read_points
from ot_solvers.commands.solve import passed_on_warnings, threads

POINTS_AT_A_TIME = 16384  # between two updates of the bar
DONE, WITHOUT_IMAGE = 0, 1


def run(args: argparse.Namespace) -> int:
    """Move the points that the command line names.

    Returns
    -------
    int
        Exit code: 0 done, 1 some points have no image (the others are written).
    """
    screen = console(quiet=args.quiet or args.json)
    out = output_path(args.out, option="--out", inputs=(args.map, args.points))
    write = WRITERS.get(out.suffix.lower())
    if write is None:
        raise CommandError(f"--out {args.out}: the name must end in one of {', '.join(WRITERS)}")
    fitted = _map(args)
    points = read_points(args.points, name="points", key=args.key, where=args.where)
    if points.shape[1] != fitted.n_features_in_:
        raise CommandError(
            f"{args.points} has {points.shape[1]} coordinates; the map in {args.map} was fitted to "
            f"{fitted.n_features_in_}"
        )
    cost = _cost(fitted)
    check_points(cost, points, args.points)  # before they are taken apart: errors name rows of the file
    start = time.perf_counter()
    with threads(args.threads), passed_on_warnings(screen):
        images = _moved(fitted.inverse_transform if args.inverse else fitted.transform, points, screen)
    with whole_file(out) as stream:
        write(stream, images)
    missing = np.flatnonzero(~np.isfinite(images).all(axis=1))
    figures = {
        "map": type(fitted).__name__,
        "cost": cost.name,
        "points": points.shape,
        "inverse": args.inverse,
        "without_image": missing.size,
        "seconds": time.perf_counter() - start,
        "out": str(out),
    }
    if args.json:
        screen.json(figures)
    screen.table("Images" if not args.inverse else "Origins", _rows(figures))
    if missing.size:
        screen.warning(
            f"{missing.size} of {len(points)} points have no finite image, the first in row {missing[0]}"
        )
        return WITHOUT_IMAGE
    return DONE


def _map(args: argparse.Namespace) -> Any:
    from ot_solvers import maps

    with file_errors():
        reading.file_format(Path(args.map))  # is there such a file?
    if Path(args.map).suffix.lower() == ".pt" and importlib.util.find_spec("torch") is None:
        raise missing_extra("torch", f"{args.map}, a network,", "torch")
    with file_errors(), library_errors():
        fitted = maps.load(args.map)
    # Networks go one way, unless a second one was trained; the others go both.
    if args.inverse and hasattr(fitted, "network_") and not hasattr(fitted, "inverse_network_"):
        raise CommandError(f"--inverse: the map in {args.map} goes one way; fit it with --both-ways")
    return fitted


def _cost(fitted: Any) -> Any:
    from ot_solvers.validation import read_cost

    return read_cost(getattr(fitted, "cost_", fitted.cost))


def _moved(move: Callable[[np.ndarray], Any], points: np.ndarray, screen: Console) -> np.ndarray:
    images = np.empty_like(points)
    with screen.progress("points") as bar, library_errors():
        for first in range(0, len(points), POINTS_AT_A_TIME):
            last = min(first + POINTS_AT_A_TIME, len(points))
            images[first:last] = move(points[first:last])
            bar(last / len(points), f"{last} of {len(points)}")
    return images


def _write_npy(stream: IO[bytes], images: np.ndarray) -> None:
    np.save(stream, images, allow_pickle=False)


def _write_npz(stream: IO[bytes], images: np.ndarray) -> None:
    np.savez(stream, allow_pickle=False, images=images)


def _write_csv(stream: IO[bytes], images: np.ndarray) -> None:
    # Enough digits to read the same numbers back.
    np.savetxt(stream, images, delimiter=",", fmt="%.9g" if images.dtype == np.float32 else "%.17g")


WRITERS: dict[str, Callable[[IO[bytes], np.ndarray], None]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".csv": _write_csv,
}


def _rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("map", f"{figures['map']}, cost {figures['cost']}"),
        ("points", " x ".join(map(str, figures["points"]))),
        ("seconds", f"{figures['seconds']:.3f}"),
        ("written", figures["out"]),
    ]
