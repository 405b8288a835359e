"""From two meshes to the map between them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import validation as check
from ..lazy import cached_property
from .descriptors import FREQUENCIES, nearest_in_descriptors, wave_kernel_signature
from .laplacian import Eigenbasis, eigenbasis
from .mesh import Mesh, read_mesh
from .point_maps import point_map_from_functional, upsampled

if TYPE_CHECKING:
    from .learning.learner import Learner
    from .learning.surfaces import Surface

__all__ = ["Correspondence", "CorrespondenceNetwork", "CorrespondenceProgress", "correspond", "descriptor_map"]

#: Frequencies that are learned with, and those of the refined map; fewer on meshes of few vertices.
LEARNED, REFINED = 60, 200
STEPS = 100


class CorrespondenceProgress(NamedTuple):
    """One step, as callbacks and ``Correspondence.history`` see it.

    Attributes
    ----------
    stage : {"learning", "refinement"}
    step : int
        From 1, within the stage.
    loss : float
        The sum that falls.
    structure : float
        That functional maps undo each other and keep areas.
    coupling : float
        Between functional maps and the soft maps of the features.
    sliced : float
        Sliced Wasserstein distance of the features of each shape to those of the other one carried there, both
        ways, before its weight; 0 if ``sliced=False``.
    dirichlet : float
        Relative roughness of the soft maps, before its weight; 0 if ``smoothness=0``.
    seconds : float
        Since the call.
    """

    stage: str
    step: int
    loss: float
    structure: float
    coupling: float
    sliced: float
    dirichlet: float
    seconds: float


class _Maps(NamedTuple):
    """Of both directions; the functional map of a point map goes the other way."""

    point_map: np.ndarray
    inverse_point_map: np.ndarray
    functional_map: np.ndarray
    inverse_functional_map: np.ndarray


class Correspondence:
    """A map between two shapes.

    Attributes
    ----------
    point_map : (n,) int array
        Vertex of y for each vertex of x.
    inverse_point_map : (m,) int array
        Vertex of x for each vertex of y; the other way, not an inverse in the strict sense.
    functional_map : (k, k) array
        Takes coefficients of functions on x to those on y.
    inverse_functional_map : (k, k) array
        Takes coefficients of functions on y to those on x.
    unrefined : Correspondence
        What was known before the refinement; this one itself where there was none.
    history : list of CorrespondenceProgress
        Every step.
    refined : bool
        Whether the refinement is complete.
    stopped : bool
        Whether a callback has ended it early.
    seconds : float
        All in all.
    bases : (Eigenbasis, Eigenbasis)
        Of both shapes, scaled to unit area: what the coefficients belong to.
    """

    def __init__(self, maps: _Maps, pair, history, seconds: float, stopped: bool, unrefined=None):
        x, y = pair
        self.point_map, self.inverse_point_map, self.functional_map, self.inverse_functional_map = maps
        self.bases: tuple[Eigenbasis, Eigenbasis] = (x.basis, y.basis)
        self.history: list[CorrespondenceProgress] = history
        self.seconds = seconds
        self.stopped = stopped
        self.refined = unrefined is not None and not stopped
        self.unrefined: Correspondence = self if unrefined is None else unrefined
        self._signatures = x.signatures, y.signatures

    @cached_property
    def descriptor_point_map(self) -> np.ndarray:
        """(n,) vertex of y with the most similar wave kernel signature, for each of x: where learning started."""
        return nearest_in_descriptors(*self._signatures)

    def transfer(self, values: Any) -> np.ndarray:
        """Values at the vertices of y, carried to x along the point map.

        Parameters
        ----------
        values : (m, ...) array
            Colours, labels, coordinates.

        Returns
        -------
        (n, ...) array

        Raises
        ------
        ValueError
            For another number of vertices.
        """
        values = np.asarray(values)
        if values.ndim == 0 or len(values) != self.inverse_point_map.size:
            raise ValueError(
                f"values has shape {values.shape}; expected ({self.inverse_point_map.size}, ...), an entry for "
                "each vertex of y"
            )
        return values[self.point_map]

    def __repr__(self) -> str:
        k = len(self.functional_map)
        how = "refined" if self.refined else "not refined"
        lines = [
            f"Correspondence of {self.point_map.size} with {self.inverse_point_map.size} vertices, {how}",
            f"  functional map  {k} frequencies",
            f"  steps           {len(self.history)} in {self.seconds:.3g} s{', stopped early' * self.stopped}",
        ]
        if self.history:
            lines.append(
                f"  loss            {self.history[0].loss:.4g} at first, {self.history[-1].loss:.4g} at last"
            )
        lines.append("  more            .point_map .inverse_point_map .functional_map .unrefined .history")
        return "\n".join(lines)


class CorrespondenceNetwork:
    """Features for matching, learned from pairs of shapes; correspondences are neither needed nor used.

    Parameters
    ----------
    sliced : bool
        Whether features of each shape, carried to the other by the soft map, have to be distributed as the other's
        own, by a sliced Wasserstein distance.
    smoothness : float >= 0
        Weight of the roughness of maps. The paper has 5 for shapes that are not isometric, and 0 for others.
    frequencies : int, optional
        Of the functional maps that are learned with; 60 by default, and fewer where a shape has less than 480
        vertices.
    seed : int >= 0
        Of the first weights and of the directions.

    References
    ----------
    [le:24]_

    Notes
    -----
    Features are those of a small network of diffusion [sharp:22]_ on wave kernel signatures [aubry:11]_, and
    functional maps follow from them by least squares with a resolvent mask [ren:19]_. The loss asks that both maps
    undo each other and keep areas [roufosse:19]_, that they agree with the soft map of the features [cao:23]_, and
    that the sliced distance is small.

    Examples
    --------
    A network that has learned from some pairs matches others::

        poses = [shapes.body(pose) for pose in ("rest", "walk", "wave")]
        network = shapes.CorrespondenceNetwork().fit([poses[:2], poses[1:]], steps=200)
        network.correspond(poses[0], shapes.body("sit")).point_map
    """

    def __init__(
        self, *, sliced: bool = True, smoothness: float = 0.0, frequencies: int | None = None, seed: int = 0
    ):
        self.sliced = _read_switch(sliced, "sliced")
        self.smoothness = check.number(smoothness, "smoothness")
        if not 0 <= self.smoothness < math.inf:
            raise ValueError(f"smoothness={smoothness!r} must be finite and not negative")
        self.frequencies = None if frequencies is None else check.count(frequencies, "frequencies", 3)
        self.seed = check.count(seed, "seed", 0)
        self.history: list[CorrespondenceProgress] = []
        self.stopped = False
        self._learner: Learner | None = None

    def fit(
        self,
        pairs: Sequence[tuple[Mesh, Mesh]],
        *,
        steps: int = STEPS,
        callback: Callable[[CorrespondenceProgress], object] | None = None,
    ) -> CorrespondenceNetwork:
        """Learn from pairs of shapes, one pair at each step.

        Parameters
        ----------
        pairs : sequence of (Mesh, Mesh)
        steps : int >= 0
            All in all.
        callback : callable, optional
            Called after each step; returning True ends learning.

        Returns
        -------
        CorrespondenceNetwork
            Itself. Another call goes on from here.

        Raises
        ------
        ValueError, TypeError
            For no pairs, meshes of several components, and numbers out of range.
        """
        start = time.perf_counter()
        steps = check.count(steps, "steps", 0)
        surfaces = [self._surfaces(pair, refine=False) for pair in _read_pairs(pairs)]
        self._learn(surfaces, steps, callback, start)
        return self

    def correspond(
        self,
        x: Mesh,
        y: Mesh,
        *,
        refine: bool = True,
        refined_frequencies: int | None = None,
        callback: Callable[[CorrespondenceProgress], object] | None = None,
    ) -> Correspondence:
        """The map between two shapes, with the features as they are.

        Parameters
        ----------
        x, y : Mesh
        refine : bool
            Adapt a copy of the network to this pair, and raise the number of frequencies.
        refined_frequencies : int, optional
            As of `correspond`.
        callback : callable, optional
            Called after each step of the refinement; returning True ends it.

        Returns
        -------
        Correspondence

        Raises
        ------
        RuntimeError
            If the network has not learned from anything yet.
        ValueError, TypeError
            As `correspond`.
        """
        if self._learner is None:
            raise RuntimeError("the network has not learned yet: call fit first")
        start = time.perf_counter()
        refine = _read_switch(refine, "refine")
        pair = self._surfaces(_read_pair(x, y), refine, refined_frequencies)
        return self._match(pair, refine, callback, start, [])

    def _surfaces(self, pair, refine: bool, refined_frequencies: int | None = None) -> tuple[Surface, Surface]:
        """Both shapes, of unit area, with the frequencies that will be needed."""
        Surface = _surface_class()
        smaller = min(mesh.n_vertices for mesh in pair)
        learned = min(LEARNED, smaller // 8) if self.frequencies is None else self.frequencies
        learned = wanted = check.count(learned, "frequencies", 3, smaller - 2)
        if refine:
            fine = max(learned, min(REFINED, smaller // 4)) if refined_frequencies is None else refined_frequencies
            wanted = check.count(fine, "refined_frequencies", learned, smaller - 2)
        seen = min(FREQUENCIES, smaller - 2)
        x, y = (Surface.of(mesh.scaled(), learned, wanted, seen) for mesh in pair)
        return x, y

    def _learn(self, pairs, steps: int, callback, start: float) -> None:
        from .learning.learner import Learner

        if self._learner is None:
            self._learner = Learner(sliced=self.sliced, smoothness=self.smoothness, seed=self.seed)
        losses = self._learner.fit(pairs, steps)
        self.stopped = _follow("learning", losses, self.history, callback, start)

    def _match(self, pair, refine: bool, callback, start: float, history: list) -> Correspondence:
        """The map, refined unless it is not asked for or something has stopped."""
        assert self._learner is not None
        maps = _point_maps(self._learner.functional_maps(pair), pair)
        unrefined = Correspondence(maps, pair, history, time.perf_counter() - start, self.stopped)
        if not refine or self.stopped:
            return unrefined
        history = list(history)
        learner, losses = self._learner.refined(pair)
        stopped = _follow("refinement", losses, history, callback, start)
        functional = learner.functional_maps(pair)
        maps = _point_maps(functional, pair) if stopped else _upsampled_maps(functional, pair)
        return Correspondence(maps, pair, history, time.perf_counter() - start, stopped, unrefined)


def correspond(
    x: Mesh,
    y: Mesh,
    *,
    sliced: bool = True,
    refine: bool = True,
    steps: int = STEPS,
    smoothness: float = 0.0,
    frequencies: int | None = None,
    refined_frequencies: int | None = None,
    seed: int = 0,
    callback: Callable[[CorrespondenceProgress], object] | None = None,
) -> Correspondence:
    """The map between two shapes, from features that are learned on this pair alone.

    Needs torch. For many pairs of a kind, `CorrespondenceNetwork` learns once.

    Parameters
    ----------
    x : Mesh
        Of n vertices, connected.
    y : Mesh
        Of m vertices, connected; another triangulation, size and place are no obstacle.
    sliced : bool
        Whether the loss has the sliced Wasserstein distance.
    refine : bool
        Whether the features adapt once more, with maps from an entropic transport plan, and the number of
        frequencies is raised.
    steps : int >= 0
        Of learning; 0 leaves a network as it was drawn.
    smoothness : float >= 0
        Weight of the roughness of maps. The paper has 5 for shapes that are not isometric, and 0 for others.
    frequencies : int >= 3, optional
        Of the functional maps that are learned with; 60 by default, an eighth of the vertices if that is less.
    refined_frequencies : int, optional
        Of the refined ones; 200 by default, a quarter of the vertices if that is less.
    seed : int >= 0
        Equal seeds give equal results.
    callback : callable, optional
        Called with a `CorrespondenceProgress` after each step. Returning True stops: the map is then that of the
        features so far.

    Returns
    -------
    Correspondence

    Raises
    ------
    ValueError
        For meshes of several components and numbers out of range.
    TypeError
        For what is no `Mesh`, no number or no bool.

    Notes
    -----
    Only what is intrinsic counts: neither coordinates nor the order of vertices. A shape that looks like its
    mirror image from within may be matched the wrong way around, and equally well.

    Deviations from [le:24]_: (1) a smaller network on wave kernel signatures, trained on this pair; (2) masses of
    the entropic plan are areas of vertices, not uniform; (3) after the 15 steps of the refinement the functional
    map is upsampled [melzi:19]_, where the paper computes it with 200 frequencies from the start.

    References
    ----------
    [le:24]_

    Examples
    --------
    ::

        pair = shapes.example_pair("walk", 500)
        found = shapes.correspond(pair.x, pair.y)
        shapes.mean_geodesic_error(pair.y, found.point_map, pair.truth)
    """
    start = time.perf_counter()
    network = CorrespondenceNetwork(sliced=sliced, smoothness=smoothness, frequencies=frequencies, seed=seed)
    refine = _read_switch(refine, "refine")
    steps = check.count(steps, "steps", 0)
    pair = network._surfaces(_read_pair(x, y), refine, refined_frequencies)
    network._learn([pair], steps, callback, start)
    return network._match(pair, refine, callback, start, network.history)


def descriptor_map(x: Mesh, y: Mesh) -> np.ndarray:
    """For each vertex of x the vertex of y with the most similar wave kernel signature. Without torch.

    Parameters
    ----------
    x : Mesh
        Of n vertices, connected.
    y : Mesh
        Of m vertices, connected.

    Returns
    -------
    (n,) int array

    References
    ----------
    [aubry:11]_

    Examples
    --------
    >>> from ot_solvers import shapes
    >>> mesh = shapes.cylinder(1.0, n_vertices=300)
    >>> other, where = mesh.shuffled(seed=0)
    >>> bool((shapes.descriptor_map(mesh, other) == where).all())
    True
    """
    x, y = _read_pair(x, y)
    k = min(FREQUENCIES, x.n_vertices - 2, y.n_vertices - 2)
    return nearest_in_descriptors(*(wave_kernel_signature(eigenbasis(mesh.scaled(), k)) for mesh in (x, y)))


def _point_maps(functional, pair) -> _Maps:
    (xy, yx), (x, y) = functional, (surface.basis for surface in pair)
    return _Maps(point_map_from_functional(yx, x, y), point_map_from_functional(xy, y, x), xy, yx)


def _upsampled_maps(functional, pair) -> _Maps:
    (xy, yx), (x, y) = functional, (surface.basis for surface in pair)
    forth, yx = upsampled(yx, x, y, x.values.size)
    back, xy = upsampled(xy, y, x, y.values.size)
    return _Maps(forth, back, xy, yx)


def _surface_class() -> type[Surface]:
    """`Surface`, or advice: here torch is first needed."""
    try:
        from .learning.surfaces import Surface
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError("learning needs torch: pip install ot_solvers[torch]", name="torch") from None
    return Surface


def _follow(stage: str, losses: Iterator, history: list, callback, start: float) -> bool:
    """Go through the steps, until the callback says otherwise: whether it has."""
    for step, loss in enumerate(losses, 1):
        total, structure, coupling, sliced, dirichlet = loss
        seconds = time.perf_counter() - start
        progress = CorrespondenceProgress(stage, step, total, structure, coupling, sliced, dirichlet, seconds)
        history.append(progress)
        if callback is not None and callback(progress) is True:
            return True
    return False


def _read_pair(x: Any, y: Any, names: tuple[str, str] = ("x", "y")) -> tuple[Mesh, Mesh]:
    return read_mesh(x, names[0]), read_mesh(y, names[1])


def _read_pairs(pairs: Any) -> list[tuple[Mesh, Mesh]]:
    pairs = list(pairs)
    if not pairs:
        raise ValueError("pairs is empty; expected pairs of meshes")
    for k, pair in enumerate(pairs):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"pairs[{k}] is of type {type(pair).__name__}; expected (Mesh, Mesh)")
    return [_read_pair(x, y, (f"pairs[{k}][0]", f"pairs[{k}][1]")) for k, (x, y) in enumerate(pairs)]


def _read_switch(value: Any, argument: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{argument}={value!r} must be True or False")
    return bool(value)
