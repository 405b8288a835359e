"""``ot-solvers transfer``: the colours of one photograph on another."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_solvers.commands import colour
from ot_solvers.commands.console import Console, console, figure
from ot_solvers.commands.errors import CommandError, library_errors
from ot_solvers.commands.files import output_path
from ot_solvers.commands.images import Picture, picture_format, read_picture, write_picture
from ot_solvers.commands.interruption import Interruption
from ot_solvers.commands.palette import DistinctColours, Palette, distinct_colours, grid_palette, interpolated
from ot_solvers.commands.smoothing import smoothed
from ot_solvers.commands.solve import Watch, exit_code, passed_on_warnings, solution_figures, threads

if TYPE_CHECKING:
    from ot_solvers import Solution

COLOURS_AT_A_TIME = 16384  # mapped between two updates of the bar
# Noisy photographs have millions of distinct colours. Beyond this many the map is interpolated from a lattice
# with steps of four 8-bit levels, finer than the blur that the regularisation gives the map.
MOST_COLOURS = 1 << 17
NODES = 65
# Chosen by eye on JPEG photographs: grain and compression blocks vary by about 2 in Lab, and windows of 1.2 %
# of the longer side are the smallest that hold a block.
GRAIN = 2.0
WINDOW = 0.012


@dataclass(frozen=True)
class ColourSpace:
    """Where colours are compared and averaged.

    Attributes
    ----------
    forward : callable
        sRGB in [0, 1], (..., 3), to coordinates.
    backward : callable
        The way back, clipped to what a screen can show.
    """

    forward: Callable[[np.ndarray], np.ndarray]
    backward: Callable[[np.ndarray], np.ndarray]


SPACES = {
    "lab": ColourSpace(colour.srgb_to_lab, colour.lab_to_srgb),
    "rgb": ColourSpace(np.asarray, lambda rgb: np.clip(rgb, 0.0, 1.0)),
}


@dataclass(frozen=True)
class Coloured:
    """A picture with what the transfer needs to know about its colours.

    Attributes
    ----------
    picture : Picture
    distinct : DistinctColours
    coordinates : (u, 3) array
        The distinct colours in the colour space.
    palette : Palette
    """

    picture: Picture
    distinct: DistinctColours
    coordinates: np.ndarray
    palette: Palette


def run(args: argparse.Namespace) -> int:
    """Recolour one picture.

    Returns
    -------
    int
        Exit code, as of ``ot-solvers solve``.
    """
    screen = console(quiet=args.quiet or args.json)
    check_options(args)
    out = output_path(args.out, option="--out", inputs=(args.source, args.reference))
    picture_format(out, option="--out")
    start = time.perf_counter()
    space = SPACES[args.space]
    source = coloured(read_picture(args.source), space, args.colours)
    reference = coloured(read_picture(args.reference), space, args.colours)
    with threads(args.threads):
        with Interruption() as interruption:
            solution = palette_solution(source.palette, reference.palette, args, screen, interruption)
        result = recoloured(solution, source, space, screen, smooth=args.smooth)
        figures = transfer_figures(solution, source, reference, result)
    write_picture(out, result)
    seconds = time.perf_counter() - start
    if args.json:
        screen.json({**figures, "out": str(out), "seconds_total": seconds})
    rows = [*transfer_rows(figures), ("seconds, all in all", f"{seconds:.2f}"), ("written", str(out))]
    screen.table("Colour transfer", rows)
    return exit_code(solution, interruption, screen, written=True)


def check_options(args: argparse.Namespace) -> None:
    """Refuse options that no picture can be made with.

    Raises
    ------
    CommandError
    """
    if not (args.smooth >= 0 and np.isfinite(args.smooth)):
        raise CommandError(f"--smooth must be 0 or more, got {args.smooth:g}")
    if not (args.reg > 0 and np.isfinite(args.reg)):
        raise CommandError(f"--reg must be positive, got {args.reg:g}")
    if not args.unbalanced > 0:
        raise CommandError(f"--unbalanced must be positive (inf: keep all proportions), got {args.unbalanced:g}")
    if args.colours < 2:
        raise CommandError(f"--colours must be 2 or more, got {args.colours}")


def coloured(picture: Picture, space: ColourSpace, size: int) -> Coloured:
    """Find the distinct colours and the palette, of at most `size` entries, of a picture."""
    distinct = distinct_colours(picture.rgb, picture.visible)
    coordinates = space.forward(distinct.rgb / 255)
    return Coloured(picture, distinct, coordinates, grid_palette(coordinates, distinct.counts, size))


def palette_solution(
    source: Palette, reference: Palette, args: argparse.Namespace, screen: Console, interruption: Interruption
) -> Solution:
    """Transport between two palettes for the squared Euclidean cost.

    Parameters
    ----------
    source, reference : Palette
    args : argparse.Namespace
        ``reg`` and ``unbalanced`` as multiples of the mean cost, ``backend``, ``tol``, ``max_iter``.
    screen : Console
    interruption : Interruption

    Returns
    -------
    Solution
    """
    import ot_solvers as ots

    mean = mean_cost(source.colours, reference.colours)
    if not mean > 0:
        raise CommandError("both pictures have one and the same colour: there is nothing to transfer")
    with screen.progress("palettes") as bar, passed_on_warnings(screen), library_errors():
        return ots.solve_sample(
            source.colours,
            reference.colours,
            source.weights,
            reference.weights,
            reg=args.reg * mean,
            unbalanced=None if np.isinf(args.unbalanced) else args.unbalanced * mean,
            backend=args.backend,
            tol=args.tol,
            max_iter=args.max_iter,
            callback=Watch(bar, args.tol, interruption),
            on_failure="ignore",
        )


def mean_cost(x: np.ndarray, y: np.ndarray) -> float:
    """Mean of ``|x_i - y_j|^2`` over all pairs, without forming them."""
    # Centred first: the difference of large moments would lose digits.
    centre = x.mean(axis=0)
    x, y = x - centre, y - centre
    return float((x * x).sum(1).mean() + (y * y).sum(1).mean() - 2 * x.mean(0) @ y.mean(0))


def recoloured(
    solution: Solution,
    picture: Coloured,
    space: ColourSpace,
    screen: Console,
    *,
    smooth: float,
    inverse: bool = False,
) -> Picture:
    """Move every colour of a picture by the map of a solution.

    The map is evaluated at each distinct colour, not at palette entries: it is smooth, so there are no steps
    between cells.

    Parameters
    ----------
    solution : Solution
        Between palettes, from the picture's to the reference's.
    picture : Coloured
    space : ColourSpace
    screen : Console
    smooth : float >= 0
        Strength of the smoothing of grain and compression blocks; 0: none.
    inverse : bool
        Use the map the other way: the picture is the solution's target.

    Returns
    -------
    Picture
    """

    def moved_by(points: np.ndarray) -> np.ndarray:
        change = np.empty_like(points)
        with screen.progress("colours") as bar, library_errors():
            for first in range(0, len(points), COLOURS_AT_A_TIME):
                last = min(first + COLOURS_AT_A_TIME, len(points))
                part = points[first:last]
                change[first:last] = np.asarray(solution.transport(part, inverse=inverse)) - part
                bar(last / len(points), f"{last} of {len(points)}")
        return change

    points, distinct, alpha = picture.coordinates, picture.distinct, picture.picture.alpha
    if len(points) <= MOST_COLOURS:
        change = moved_by(points)
    else:
        change = interpolated(distinct.rgb, lambda rgb: moved_by(space.forward(rgb)), NODES)
    if smooth == 0:
        return Picture(distinct.paint(colour.levels(space.backward(points + change))), alpha)
    guide = colour.srgb_to_lab(distinct.rgb / 255)
    radius = max(2, round(WINDOW * max(distinct.index.shape) / 2))
    rgb = np.empty((*distinct.index.shape, 3), dtype=np.uint8)
    with screen.progress("pixels") as bar:
        for rows, values in smoothed(points, change, guide, distinct.index, GRAIN * smooth, radius):
            rgb[rows] = colour.levels(space.backward(values))
            bar(rows.stop / len(rgb), f"row {rows.stop} of {len(rgb)}")
    return Picture(rgb, alpha)


def transfer_figures(solution: Solution, source: Coloured, reference: Coloured, result: Picture) -> dict[str, Any]:
    """What is worth knowing about a transfer, by name; colour distances in Lab units."""
    painted = distinct_colours(result.rgb, result.visible)
    before, wanted, after = (_moments(each) for each in (source.distinct, reference.distinct, painted))
    height, width = source.picture.rgb.shape[:2]
    return {
        "width": width,
        "height": height,
        "distinct_colours": len(source.coordinates),
        "palette": len(source.palette),
        "palette_reference": len(reference.palette),
        "distance_before": _gaussian_distance(before, wanted),
        "distance_after": _gaussian_distance(after, wanted),
        **solution_figures(solution),
    }


def transfer_rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The rows of the summary table."""
    return [
        (
            "picture",
            f"{figures['width']} x {figures['height']}, {figures['distinct_colours']} distinct colours",
        ),
        ("palettes", f"{figures['palette']} -> {figures['palette_reference']} colours"),
        (
            "distance to the reference's colours",
            f"{figures['distance_before']:.1f} -> {figures['distance_after']:.1f} Lab units",
        ),
        ("value", figure(figures["value"])),
        ("marginal error", f"{figures['marginal_error']:.2e}"),
        ("status", figures["status"]),
        ("method", figures["method"]),
        ("iterations", str(figures["n_iter"])),
        ("seconds, transport", f"{figures['seconds']:.2f}"),
    ]


def _moments(distinct: DistinctColours) -> tuple[np.ndarray, np.ndarray]:
    """Mean, (3,), and covariance, (3, 3), of a picture's colours in Lab."""
    lab = colour.srgb_to_lab(distinct.rgb / 255)
    share = distinct.counts / distinct.counts.sum()
    mean = share @ lab
    return mean, (lab - mean).T * share @ (lab - mean)


def _gaussian_distance(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """2-Wasserstein distance of the Gaussians with these moments: a lower bound on that of the colours."""
    (m, A), (n, B) = one, other
    # tr (A^1/2 B A^1/2)^1/2 is the sum of the roots of the eigenvalues of A B, which are real and >= 0.
    overlap = np.sqrt(np.maximum(np.linalg.eigvals(A @ B).real, 0.0)).sum()
    return float(np.sqrt(max((m - n) @ (m - n) + np.trace(A) + np.trace(B) - 2 * overlap, 0.0)))
