"""What all transport maps share: parameters as scikit-learn reads them, checks, scores."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import numpy as np

from .. import validation as check
from ..divergence import sinkhorn_divergence
from ..errors import NotFittedError
from ..namespaces import Library, resolve
from ..regularisers import Entropic

__all__ = ["TransportMap", "read_samples"]

#: Smoothing of the divergence that scores are made of.
SCORE_REG = Entropic(0.05, relative_to="mean")

Fitted = TypeVar("Fitted", bound="TransportMap")


class TransportMap:
    """A map from one space of points to another, fitted to samples of two measures.

    Subclasses take all their options in ``__init__``, keep them unchanged under the same names, and set what they
    learn in `fit`, in attributes that end with an underscore: what scikit-learn's ``clone`` asks for.

    Attributes
    ----------
    n_features_in_ : int
        Coordinates of the points the map was fitted to.
    """

    #: Ground cost, by name or value.
    cost: Any = "sqeuclidean"

    # --- parameters -------------------------------------------------------------------------------------------

    @classmethod
    def _parameter_names(cls) -> list[str]:
        signature = inspect.signature(cls.__init__)
        return [name for name in signature.parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Options by name.

        Parameters
        ----------
        deep : bool
            Taken for scikit-learn; no option has options of its own.
        """
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self: Fitted, **options: Any) -> Fitted:
        """Change options.

        Raises
        ------
        ValueError
            For an unknown name.
        """
        known = self._parameter_names()
        for name, value in options.items():
            if name not in known:
                raise ValueError(
                    f"{name!r} is no option of {type(self).__name__}; expected one of {known}"
                    f"{check.suggestion(name, known)}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        signature = inspect.signature(type(self).__init__)
        changed = []
        for name, value in self.get_params().items():
            default = signature.parameters[name].default
            if value is not default and not (isinstance(value, (str, int, float)) and value == default):
                changed.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(changed)})"

    # --- maps -------------------------------------------------------------------------------------------------

    def fit(self: Fitted, x: Any, y: Any, a: Any = None, b: Any = None) -> Fitted:
        """Fit the map to samples; see the class."""
        raise NotImplementedError

    def transform(self, x: Any) -> Any:
        """(n, d) images of points x (n, d)."""
        raise NotImplementedError

    def inverse_transform(self, y: Any) -> Any:
        """(n, d) points that points y (n, d) come from."""
        raise NotImplementedError

    def fit_transform(self, x: Any, y: Any, a: Any = None, b: Any = None) -> Any:
        """`fit`, then `transform` of the source points."""
        return self.fit(x, y, a, b).transform(x)

    def score(self, x: Any, y: Any, a: Any = None, b: Any = None) -> float:
        """How well the images of x are distributed as y; larger is better, 0 is best.

        Parameters
        ----------
        x : (n, d) array
            Source points, of the fit or new ones.
        y : (m, d) array
            Target points.
        a : (n,) array >= 0, optional
        b : (m,) array >= 0, optional

        Returns
        -------
        float
            Minus the Sinkhorn divergence between the images and y for the cost of the map, with
            ``reg=Entropic(0.05, relative_to="mean")``. Samples of equal measures have one too: compare scores of
            maps on the same points.
        """
        moved = detached(self.transform(detached(x)))
        return -float(sinkhorn_divergence(moved, detached(y), a, b, cost=self._score_cost(), reg=SCORE_REG))

    def _score_cost(self) -> Any:
        """That of the map; inner products have no positive mean that a strength could be relative to."""
        cost = check.read_cost(self.cost)
        return "sqeuclidean" if cost.name == "dot" else cost

    # --- checks -----------------------------------------------------------------------------------------------

    def _need_fitted(self) -> None:
        """Raise `NotFittedError` where there is no map yet."""
        if not hasattr(self, "n_features_in_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit(x, y) first")

    def _new_points(self, x: Any, argument: str) -> np.ndarray:
        """(n, d) points to move, checked against those of the fit."""
        self._need_fitted()
        array = check.points(x, argument)
        if array.shape[1] != self.n_features_in_:
            raise ValueError(
                f"{argument} has {array.shape[1]} coordinates; the map was fitted to {self.n_features_in_}"
            )
        return array

    n_features_in_: int


def detached(x: Any) -> Any:
    """`x` off the autograd graph: for numbers that have no gradient."""
    return x.detach() if hasattr(x, "detach") else x


def read_samples(
    x: Any, y: Any, a: Any, b: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None, Library]:
    """Checked samples of both measures, on the host, and the caller's library.

    Returns
    -------
    x, y : (n, d), (m, d) float arrays of one dtype
    a, b : float64 weights with sum 1, or None where none were given
    library : Library

    Raises
    ------
    ValueError, TypeError
        Naming the row of the first entry that is not finite.
    """
    library = resolve({"x": x, "y": y, "a": a, "b": b})
    first, second = check.points(x, "x"), check.points(y, "y")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"x has {first.shape[1]} coordinates and y {second.shape[1]}; maps need points of one space"
        )
    dtype = np.result_type(first, second)
    first, second = first.astype(dtype, copy=False), second.astype(dtype, copy=False)
    masses: list[np.ndarray | None] = []
    for value, argument, size in ((a, "a", len(first)), (b, "b", len(second))):
        masses.append(None if value is None else check.shares(value, argument, size))
    return first, second, masses[0], masses[1], Library(library, dtype)
