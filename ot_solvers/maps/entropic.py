"""Entropic maps: where the potential of an entropic plan sends points, in and out of the sample."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .. import validation as check
from ..api import solve_sample
from ..autograd import attached, off_graph, on_graph
from ..costs import Cost
from ..geometry import Grid, PointCloud
from ..namespaces import Library, library_name, resolve
from ..penalties import KL, TV, Balanced, Capacity, Penalty
from ..regularisers import entropic
from ..result import Solution
from . import files
from .base import TransportMap
from .conditional import ConditionalLaws, conditional_laws

__all__ = ["EntropicMap"]

PROJECTIONS = ("auto", "twist", "barycentric")
#: Penalties with a parameter, as files name them; `Balanced` has none.
PENALTIES: dict[str, type[Penalty]] = {kind.__name__: kind for kind in (KL, TV, Capacity)}


class EntropicMap(TransportMap):
    """Transport map from the potentials of an entropic plan, for any points and in both directions.

    Made of a solution that is there, ``EntropicMap(solution)``, or fitted to samples,
    ``EntropicMap(reg=0.05).fit(x, y)``.

    Parameters
    ----------
    solution : Solution, optional
        Entropic, of `solve_sample` or `solve_grid`: balanced, unbalanced or partial. The map needs no `fit` then.
        Its samples are copied.
    cost : str or Cost
        Ground cost, for `fit`; a solution brings its own.
    reg : float or Entropic
        Strength of the regularisation, for `fit`, which has no default: it is the blur of the map.
    reg_relative_to : {None, "mean", "max"}
        Multiply `reg` by that statistic of the cost.
    projection : {"auto", "twist", "barycentric"}
        What makes one point of the law of a point's targets. ``"twist"``: the y with
        ``grad_x c(x, y) = grad f(x)``, for costs that `have one <Cost.has_twist>`. ``"barycentric"``: the mean of
        the targets; for the costs ``"sphere"`` and ``"cosine"`` the direction of the mean of their directions, a
        unit vector (NaN where that mean is 0). ``"auto"`` is the twist, and an error where there is none. For the
        squared Euclidean and the dot cost both are the same.
    tol, max_iter, on_failure
        Of `solve_sample`, for `fit`.

    Attributes
    ----------
    solution_ : Solution or None
        The plan that the map comes from; None if the map was loaded.
    cost_ : Cost
    reg_ : float
        Strength of the regularisation, cost units.
    n_features_in_ : int

    Raises
    ------
    TypeError, ValueError
        If `solution` is no entropic one between points, if it comes with other options than its own, and for a
        cost without a twist unless ``projection="barycentric"``.

    Notes
    -----
    ``f(x) = -reg log sum_j b_j exp((g_j - c(x, y_j)) / reg)`` extends the potential of the plan to all points.
    ``grad f(x)`` is the mean of ``grad_x c(x, y_j)`` under the law of the targets of x, in proportion to
    ``b_j exp((g_j - c(x, y_j)) / reg)``. An optimal map T satisfies ``grad_x c(x, T(x)) = grad f(x)``: for costs
    ``h(x - y)`` that is ``T(x) = x - grad h*(grad f(x))``, for the squared Euclidean cost the mean of the targets.
    As `reg` falls and samples grow, the map tends to the optimal one between the laws; at a given `reg` images are
    drawn towards the middle of the targets. Nothing of size n m is stored, and points far from the sample are safe
    at any `reg`.

    With PyTorch tensors that require gradients, images and potentials stay on the graph of the points that are
    moved, to any order, and of samples, weights and reg that a solution or `fit` was given, to first order.

    References
    ----------
    [pooladian:21]_, for other costs [cuturi:23]_; conditions for the twist in [gangbo:96]_.

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> x = np.random.default_rng(0).normal(size=(500, 2))
    >>> entropic = ots.maps.EntropicMap(reg=0.05).fit(x, x + 1.0)
    >>> entropic.transform([[0.0, 0.0]]).round(1)
    array([[1., 1.]])
    """

    def __init__(
        self,
        solution: Solution | None = None,
        *,
        cost: Any = "sqeuclidean",
        reg: Any = None,
        reg_relative_to: str | None = None,
        projection: str = "auto",
        tol: float | None = None,
        max_iter: int | None = None,
        on_failure: str = "warn",
    ):
        self.solution = solution
        self.cost = cost
        self.reg = reg
        self.reg_relative_to = reg_relative_to
        self.projection = projection
        self.tol = tol
        self.max_iter = max_iter
        self.on_failure = on_failure
        if solution is not None:
            self._use_given()

    def set_params(self, **options: Any) -> EntropicMap:
        super().set_params(**options)
        if self.solution is not None:
            self._use_given()
        return self

    set_params.__doc__ = TransportMap.set_params.__doc__

    # --- fitting ----------------------------------------------------------------------------------------------

    def fit(self, x: Any, y: Any, a: Any = None, b: Any = None) -> EntropicMap:
        """Solve the entropic problem between two samples.

        Parameters
        ----------
        x : (n, d) array
            Source points.
        y : (m, d) array
            Target points, of the same array library.
        a : (n,) array >= 0, optional
            Source weights, divided by their sum; uniform by default.
        b : (m,) array >= 0, optional
            Target weights, likewise.

        Returns
        -------
        EntropicMap
            Itself.

        Raises
        ------
        ValueError, TypeError
            For bad input, naming the argument, and if `reg` was not given.
        """
        if self.reg is None:
            raise ValueError(
                "fit needs reg, the strength of the regularisation: EntropicMap(reg=0.05), in cost units, or "
                "EntropicMap(reg=0.05, reg_relative_to='mean'); it is never chosen silently"
            )
        entropic(off_graph(self.reg), self.reg_relative_to)
        cost = check.read_cost(self.cost)
        _projection(self.projection, cost)
        solution = solve_sample(
            x,
            y,
            _unit_mass(a, "a"),
            _unit_mass(b, "b"),
            cost=cost,
            reg=self.reg,
            reg_relative_to=self.reg_relative_to,
            tol=self.tol,
            max_iter=self.max_iter,
            on_failure=self.on_failure,
        )
        self._use(solution)
        return self

    def _use_given(self) -> None:
        """Take over `solution`, if it is one that a map can be made of."""
        solution = self.solution
        if not isinstance(solution, Solution):
            hint = "; take its .xy" if hasattr(solution, "xy") else ""
            raise TypeError(f"solution={type(solution).__name__} must be a Solution of solve_sample{hint}")
        problem, again = solution._problem, "solve with solve_sample(x, y, reg=0.05, reg_relative_to='mean')"
        if not isinstance(solution.geometry, PointCloud | Grid):
            raise ValueError(
                f"solution comes from a cost matrix and knows neither points nor the cost between them: {again}"
            )
        if problem.quadratic is not None:
            raise ValueError(f"solution is of quadratic transport; an entropic map needs an entropic one: {again}")
        if problem.eps == 0 or solution._matrix is not None:
            raise ValueError(
                f"solution is of exact transport (reg=0), whose potentials are known at the samples only: {again}"
            )
        for name in ("reg", "reg_relative_to", "tol", "max_iter"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is an option of fit(x, y), and a solution has its own: give "
                    "one or the other"
                )
        own = solution.geometry.cost
        asked = check.read_cost(self.cost)
        if asked != own and self.cost != "sqeuclidean":
            raise ValueError(f"cost={self.cost!r} is not that of the solution, {own!r}; leave it out")
        _projection(self.projection, own)
        self._use(solution)

    def _use(self, solution: Solution) -> None:
        self._laws = conditional_laws(solution)
        self.solution_: Solution | None = solution
        self._describe()

    def _describe(self) -> None:
        laws = self._laws["a"]
        self.cost_, self.reg_, self.n_features_in_ = laws.cost, laws.eps, laws.points.shape[1]

    # --- maps -------------------------------------------------------------------------------------------------

    def transform(self, x: Any) -> Any:
        """Images of points.

        Parameters
        ----------
        x : (k, d) array
            Source points, of the sample or new ones.

        Returns
        -------
        (k, d) array
            Of the library and dtype of x.

        Raises
        ------
        NotFittedError
        ValueError, TypeError
            For bad input, naming the argument; for a cost without a twist unless ``projection="barycentric"``.
        """
        return self._images(x, "x", "a")

    def inverse_transform(self, y: Any) -> Any:
        """Where points come from: the map of the same plan in the other direction.

        Parameters
        ----------
        y : (k, d) array
            Target points, of the sample or new ones.

        Returns
        -------
        (k, d) array
            Of the library and dtype of y. The inverse of `transform` in the limit of small `reg`.
        """
        return self._images(y, "y", "b")

    def potential(self, x: Any, side: str = "a") -> Any:
        """The potential of the plan at any points.

        Parameters
        ----------
        x : (k, d) array
            Source points, or target points where `side` is ``"b"``.
        side : {"a", "b"}
            Which potential: f of source points, g of target points.

        Returns
        -------
        (k,) array, cost units
            Of the library and dtype of x. At the samples `Solution.potential_a` or `potential_b`, up to `tol`: the
            soft minimum of `Notes`, and its prox for a side of an unbalanced or partial problem that is not hard.
        """
        side = check.choice(side, "side", ("a", "b"))
        return self._asked(x, "x", side, lambda laws, points: laws.potentials(points))

    def _images(self, x: Any, argument: str, side: str) -> Any:
        self._need_fitted()
        projection = _projection(self.projection, self._laws[side].cost)
        return self._asked(x, argument, side, lambda laws, points: laws.images(points, projection))

    def _asked(self, x: Any, argument: str, side: str, question) -> Any:
        """The answer of the laws of a side to a question about points, on the graph where one is."""
        library = resolve({argument: x})
        array = self._new_points(off_graph(x), argument)
        laws: Any = self._laws[side]
        laws.cost.check(array, argument)
        if not on_graph(x, getattr(self.solution_, "_leaves", None)):
            return Library(library, array.dtype).array(question(laws, array))
        # Here torch is imported: one of the two has brought a tensor.
        points = x if library == "torch" else Library("torch", array.dtype).array(array)
        return question(attached("laws", laws, solution=self.solution_, side=side), points)

    def _score_cost(self) -> Any:
        return "sqeuclidean" if self.cost_.name == "dot" else self.cost_

    # --- files ------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> None:
        """Write the map to an ``.npz`` file, without pickle: samples, weights, potentials, the cost by name.

        Parameters
        ----------
        path : str or path
            Taken as it is.

        Raises
        ------
        NotFittedError
        ValueError
            For a cost that is not of this package: pickle the map instead.
        """
        self._need_fitted()
        options: dict[str, Any] = {
            "cost": files.described(self.cost_),
            "reg": self.reg_,
            "projection": self.projection,
            "backend": self._laws["a"].backend,
        }
        arrays: dict[str, np.ndarray] = {}
        # Points, weights and potential of a side are known to the laws of the other one.
        for side, other, points in (("a", "b", "x"), ("b", "a", "y")):
            own, across = self._laws[side], self._laws[other]
            arrays |= {points: across.points, side: across.weights, f"potential_{side}": across.potential}
            hard = isinstance(own.penalty, Balanced)
            options[f"penalty_{side}"] = [type(own.penalty).__name__, None if hard else own.penalty.rho]
        files.write(path, type(self).__name__, arrays, options)

    @classmethod
    def load(cls, path: str | os.PathLike) -> EntropicMap:
        """The map that `save` has written; its `solution_` is None.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file holds no such map.
        """
        content = files.read(path, cls.__name__)
        options = content.options
        cost = files.cost_from(options.get("cost"), path)
        points = {"b": content.array("x", 2, path), "a": content.array("y", 2, path)}
        laws = {}
        try:
            found = cls(cost=cost, reg=float(options["reg"]), projection=options["projection"])
            for side, other, ground in (("a", "b", cost), ("b", "a", cost.swapped())):
                name, rho = options[f"penalty_{side}"]
                penalty = Balanced() if name == "Balanced" else PENALTIES[name](float(rho))
                laws[side] = ConditionalLaws(
                    ground,
                    points[side],
                    content.array(other, 1, path),
                    content.array(f"potential_{other}", 1, path),
                    found.reg,
                    penalty,
                    str(options["backend"]),
                )
        except (KeyError, TypeError) as error:
            raise ValueError(f"path={os.fspath(path)!r} is damaged: {error}") from None
        sizes = [(len(one.points), len(one.weights), len(one.potential)) for one in laws.values()]
        if any(len(set(size)) > 1 for size in sizes) or points["a"].shape[1] != points["b"].shape[1]:
            raise ValueError(f"path={os.fspath(path)!r} is damaged: its arrays do not belong to each other")
        found._laws = laws
        found.solution_ = None
        found._describe()
        return found

    def __repr__(self) -> str:
        if self.solution is None:
            return super().__repr__()
        n, m = self.solution.shape
        return (
            f"EntropicMap(<solution of {n} x {m} points, cost={self.cost_!r}, reg={self.reg_:.6g}>, "
            f"projection={self.projection!r})"
        )


def _projection(asked: Any, cost: Cost) -> str:
    """The projection to use, ``"twist"`` or ``"barycentric"``.

    Raises
    ------
    ValueError
        For an unknown name, and where the cost has no twist but one is needed.
    """
    asked = check.choice(asked, "projection", PROJECTIONS)
    if asked == "barycentric" or cost.has_twist:
        return "barycentric" if asked == "barycentric" else "twist"
    raise ValueError(
        f"projection={asked!r} needs a cost whose slope at x determines y (a twist), and {cost!r} has none: take "
        "projection='barycentric', the mean of the targets"
    )


def _unit_mass(weights: Any, argument: str) -> Any:
    """Weights divided by their sum, in the caller's library; on the graph where they are."""
    if weights is None:
        return None
    array = check.floating(off_graph(weights), argument)
    array = check.weights(array, argument, array.size, array.shape)
    total = float(array.sum())
    if not (np.isfinite(total) and total > 0):
        raise ValueError(f"{argument} has total mass {total:g}; expected a positive, finite total")
    if on_graph(weights):
        return weights.double() / weights.double().sum()
    library = library_name(weights)
    # Lists belong to the library of the points, whatever that is.
    return list(array / total) if library is None else Library(library, array.dtype).array(array / total)
