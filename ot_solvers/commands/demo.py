"""``ot-solvers demo``: colour transfer between the two photographs that come with scikit-learn."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ot_solvers.commands import transfer
from ot_solvers.commands.colour import lab_to_srgb, levels, srgb_to_lab
from ot_solvers.commands.console import console
from ot_solvers.commands.errors import missing_extra
from ot_solvers.commands.files import output_path, whole_file
from ot_solvers.commands.images import Picture, picture_format, read_picture
from ot_solvers.commands.interruption import Interruption
from ot_solvers.commands.palette import distinct_colours, grid_palette
from ot_solvers.commands.solve import exit_code, threads

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REMARKS = {
    "balanced": "each colour as often as in the reference",
    "unbalanced": "proportions give way where that saves effort",
}
PHOTOGRAPHS = ("china.jpg", "flower.jpg")
PAPER, INK, FAINT = "#15161a", "#f2efe9", "#a29d94"
SWATCHES = 60  # colours shown under each photograph, at most
SWATCH_PIXELS = 1000
DPI = 150


def run(args: argparse.Namespace) -> int:
    """Recolour both photographs by each other's colours and draw the results side by side.

    Returns
    -------
    int
        Exit code, as of ``ot-solvers solve``.
    """
    screen = console(quiet=args.quiet or args.json)
    transfer.check_options(args)
    paths = [photographs() / name for name in PHOTOGRAPHS]
    out = output_path(args.out, option="--out", inputs=[str(path) for path in paths])
    picture_format(out, option="--out")
    if importlib.util.find_spec("matplotlib") is None:
        raise missing_extra("matplotlib", "the demo")

    start = time.perf_counter()
    space = transfer.SPACES[args.space]
    first, second = (transfer.coloured(read_picture(path), space, args.colours) for path in paths)
    strict = argparse.Namespace(**{**vars(args), "unbalanced": np.inf})
    columns = {"balanced": strict, "unbalanced": args}
    results: dict[str, list[Picture]] = {}
    figures: dict[str, list[dict[str, Any]]] = {}
    codes = []
    with threads(args.threads), Interruption() as interruption:
        for label, options in columns.items():
            # One solution serves both directions: its potentials define the map and the map back.
            solution = transfer.palette_solution(first.palette, second.palette, options, screen, interruption)
            results[label], figures[label] = [], []
            for source, reference, inverse in ((first, second, False), (second, first, True)):
                result = transfer.recoloured(solution, source, space, screen, smooth=args.smooth, inverse=inverse)
                results[label].append(result)
                figures[label].append(transfer.transfer_figures(solution, source, reference, result))
            codes.append(exit_code(solution, interruption, screen, written=True))
            if interruption.requested:
                return codes[-1]
    picture = _side_by_side([first, second], results, figures)
    with whole_file(out) as stream:
        picture.savefig(stream, format=picture_format(out, option="--out").lower(), dpi=DPI, facecolor=PAPER)
    seconds = time.perf_counter() - start

    if args.json:
        screen.json({**figures, "out": str(out), "seconds_total": seconds})
    screen.table(f"Colour transfer, {seconds:.1f} s in all, written to {out}", _rows(figures), ("", *columns))
    if not args.no_open and not args.quiet and sys.stdout.isatty():
        webbrowser.open(out.resolve().as_uri())
    return max(codes)


def photographs() -> Path:
    """Where scikit-learn keeps its photographs.

    Found without importing it, which takes longer than the transfer.
    """
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise missing_extra("scikit-learn", "the demo (for its photographs)")
    return Path(found.submodule_search_locations[0]) / "datasets" / "images"


def _rows(figures: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    there, back = zip(*figures.values())
    return [
        ["palettes", *(f"{each['palette']} x {each['palette_reference']} colours" for each in there)],
        [
            "distinct colours mapped",
            *(str(a["distinct_colours"] + b["distinct_colours"]) for a, b in zip(there, back)),
        ],
        ["distance of colours, china", *(_distances(each) for each in there)],
        ["distance of colours, flower", *(_distances(each) for each in back)],
        ["value", *(f"{each['value']:.6g}" for each in there)],
        ["marginal error", *(f"{each['marginal_error']:.1e}" for each in there)],
        ["status", *(each["status"] for each in there)],
        ["method", *(each["method"] for each in there)],
        ["iterations", *(str(each["n_iter"]) for each in there)],
        ["seconds, transport", *(f"{each['seconds']:.2f}" for each in there)],
    ]


def _distances(figures: dict[str, Any]) -> str:
    return f"{figures['distance_before']:.1f} to {figures['distance_after']:.1f}"


def _side_by_side(
    sources: Sequence[transfer.Coloured],
    results: dict[str, list[Picture]],
    figures: dict[str, list[dict[str, Any]]],
) -> Figure:
    """One row per photograph: source, reference, the results, and the colours of each underneath."""
    from matplotlib.figure import Figure

    height, width = sources[0].picture.rgb.shape[:2]
    # Lengths in inches, from the top left corner.
    column, gap, head, strip, caption = 4.0, 0.16, 1.2, 0.2, 0.36
    tall = column * height / width
    row = tall + strip + caption
    labels = {"source": "", "reference": "", **{f"result, {label}": REMARKS[label] for label in results}}
    size = (len(labels) * (column + gap) + gap, head + 2 * row)
    figure = Figure(figsize=size, facecolor=PAPER)

    def picture(pixels: np.ndarray, left: float, top: float, high: float) -> None:
        box = (left / size[0], 1 - (top + high) / size[1], column / size[0], high / size[1])
        axes = figure.add_axes(box)
        axes.set_axis_off()
        axes.imshow(pixels, aspect="auto", interpolation="lanczos" if high == tall else "nearest")

    def text(words: str, left: float, top: float, **style: Any) -> None:
        figure.text(left / size[0], 1 - top / size[1], words, va="center", **style)

    text("Colour transfer by optimal transport", gap, 0.35, color=INK, fontsize=19, fontweight="bold")
    for k, (label, remark) in enumerate(labels.items()):
        left = gap + k * (column + gap)
        text(label, left, head - 0.38, color=INK, fontsize=13)
        text(remark, left, head - 0.14, color=FAINT, fontsize=9.5)
    for i, source in enumerate(sources):
        pictures = [source.picture, sources[1 - i].picture, *(pair[i] for pair in results.values())]
        distances = (
            f"distance to the reference's colours: {_distances(pair[i])} Lab units" for pair in figures.values()
        )
        top = head + i * row
        for k, (shown, words) in enumerate(zip(pictures, ("", "", *distances))):
            left = gap + k * (column + gap)
            picture(shown.rgb, left, top, tall)
            picture(_swatches(shown), left, top + tall + 0.04, strip - 0.04)
            text(words, left, top + tall + strip + 0.14, color=FAINT, fontsize=9.5)
    return figure


def _swatches(picture: Picture) -> np.ndarray:
    """The main colours of a picture from dark to light, each as wide as its share: (1, w, 3) array, uint8."""
    distinct = distinct_colours(picture.rgb)
    palette = grid_palette(srgb_to_lab(distinct.rgb / 255), distinct.counts, SWATCHES)
    order = np.argsort(palette.colours[:, 0])
    ends = np.rint(np.cumsum(palette.weights[order]) * SWATCH_PIXELS).astype(int)
    colours = levels(lab_to_srgb(palette.colours[order]))
    return np.repeat(colours, np.diff(ends, prepend=0), axis=0)[None]
