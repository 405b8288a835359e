"""How well shapes are matched: mean geodesic errors of all pairs, with and without each part of the method.

``python -m benchmarks shapes`` runs it. Errors depend on the seed and, a little, on the machine's rounding.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ot_solvers import shapes

N_VERTICES = 2000
#: What is asked for of refined maps of near-isometric pairs, in units of a hundredth of the root of the area.
TARGET = 2.0


@dataclass(frozen=True)
class Row:
    """Mean geodesic errors (times 100) of one pair, and seconds.

    Attributes
    ----------
    sizes : (int, int)
        Vertices of both shapes.
    nearest : float
        Of nearest neighbours in descriptor space.
    plain, sliced : float
        Of the learned features, without and with the sliced loss.
    plain_refined, sliced_refined : float
        After the refinement.
    area : float
        Under the curve of correct points, of the last one.
    steps : int
        Of learning.
    plain_seconds, sliced_seconds : float
        From two meshes to the refined map.
    """

    pair: str
    title: str
    near_isometric: bool
    sizes: tuple[int, int]
    nearest: float
    plain: float
    sliced: float
    plain_refined: float
    sliced_refined: float
    area: float
    steps: int
    plain_seconds: float
    sliced_seconds: float

    @property
    def met(self) -> bool:
        """Whether the refined map with the sliced loss is better than all that came before, and good enough."""
        better = self.sliced_refined < min(self.nearest, self.sliced)
        better = better and self.plain_refined < min(self.nearest, self.plain)
        return better and (not self.near_isometric or self.sliced_refined <= TARGET)


def measure(
    name: str, n_vertices: int = N_VERTICES, steps: int | None = None, step: Callable[[], object] = lambda: None
) -> Row:
    """Match one pair twice, without and with the sliced loss."""
    pair = shapes.example_pair(name, n_vertices)
    options = {} if steps is None else {"steps": steps}
    found = []
    for sliced in (False, True):
        found.append(shapes.correspond(pair.x, pair.y, sliced=sliced, **options))
        step()
    plain, with_sliced = found

    def error(point_map) -> float:
        return shapes.mean_geodesic_error(pair.y, point_map, pair.truth)

    errors = shapes.geodesic_errors(pair.y, with_sliced.point_map, pair.truth)
    return Row(
        pair=name,
        title=pair.title,
        near_isometric=pair.near_isometric,
        sizes=(pair.x.n_vertices, pair.y.n_vertices),
        nearest=error(plain.descriptor_point_map),
        plain=error(plain.unrefined.point_map),
        sliced=error(with_sliced.unrefined.point_map),
        plain_refined=error(plain.point_map),
        sliced_refined=error(with_sliced.point_map),
        area=shapes.pck_curve(errors).area,
        steps=sum(each.stage == "learning" for each in with_sliced.history),
        plain_seconds=plain.seconds,
        sliced_seconds=with_sliced.seconds,
    )


def measured(
    names: Iterable[str], n_vertices: int, steps: int | None, step: Callable[[], object]
) -> Iterator[Row]:
    """One pair after another."""
    for name in names:
        yield measure(name, n_vertices, steps, step)


def markdown(environment: dict, rows: list[Row]) -> str:
    """The table."""
    versions = environment["versions"]
    lines = [
        "# Shape correspondence",
        "",
        f"torch {versions['torch']}, numpy {versions['numpy']}, scipy {versions['scipy']}, "
        f"Python {environment['python']}; {environment['cpu']}, {environment['threads']} threads; "
        f"commit {environment['commit']}; {environment['date']}",
        "",
        "Mean geodesic error x 100, in units of the square root of the area. Nearest: neighbours in the space of",
        "wave kernel signatures. Learned: functional maps of features that were trained on the pair, without any",
        "correspondence, and without or with the sliced Wasserstein loss. Refined: after the adaptive refinement.",
        "Area: under the curve of correct points up to 0.2, of the last map. Seconds: from two meshes to the",
        "refined map, without and with the sliced loss. Asked for: refined better than nearest and than learned,",
        f"and pairs that are nearly isometric not above {TARGET:g}.",
        "",
        "| pair | near-isometric | vertices | nearest | learned | learned, sliced | refined | refined, sliced "
        "| area | seconds | asked for |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.title} | {'yes' if row.near_isometric else 'no'} | {row.sizes[0]}, {row.sizes[1]} "
        f"| {row.nearest:.2f} | {row.plain:.2f} | {row.sliced:.2f} | {row.plain_refined:.2f} "
        f"| {row.sliced_refined:.2f} | {row.area:.3f} | {row.plain_seconds:.0f}, {row.sliced_seconds:.0f} "
        f"| {'✓' if row.met else '✗'} |"
        for row in rows
    ]
    if len(rows) > 1:
        columns = ("nearest", "plain", "sliced", "plain_refined", "sliced_refined")
        means = " | ".join(f"{statistics.fmean(getattr(row, name) for row in rows):.2f}" for name in columns)
        lines.append(f"| mean | | | {means} | | | |")
    lines += ["", f"{rows[0].steps} steps of learning." if rows else "Nothing was measured."]
    return "\n".join(lines) + "\n"
