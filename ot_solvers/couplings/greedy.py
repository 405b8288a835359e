"""Couplings of small entropy: the largest masses of all marginals meet, again and again."""

from __future__ import annotations

import heapq
import math
from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..lazy import cached_property
from ..namespaces import Library
from .information import NATS, coupling_entropy_bound, entropy
from .marginals import read_marginals, read_unit

__all__ = ["Coupling", "couple", "minimum_entropy_coupling"]

#: What is left of a state below its mass by this factor, or more, is rounding of the input.
_DUST = 1 << 48
#: Bits more than the masses have.
_GUARD = 64


class Coupling:
    """A sparse coupling with its entropies.

    Everything measured in `unit` is of the normalised coupling, whatever the total mass; numbers are ``float``
    for NumPy callers and 0-d arrays for others.

    Attributes
    ----------
    unit : {"bits", "nats"}
        Of all entropies here.
    shape : tuple of int
        Sizes of the marginals.
    index : tuple of (N,) int arrays
        Where the entries are, one array per marginal, as ``numpy.nonzero`` has it; N <= n + m - 1, in general the
        sum of the sizes less the number of marginals, plus 1.
    mass : (N,) array
        The entries, in the caller's unit of mass, in the order in which they were found.
    joint_entropy : float
    marginal_entropies : tuple of float
    mutual_information : float
        For more than two marginals their total correlation, ``sum(marginal_entropies) - joint_entropy``.
    lower_bound : float
        Of the joint entropy of any coupling of these marginals.
    gap : float
        ``joint_entropy - lower_bound``: how far from the minimum this coupling is at most. Never above 0.531 bits
        for two marginals and 1.222 bits for more.
    """

    def __init__(self, marginals: list[np.ndarray], library: Library, unit: str):
        self.unit = unit
        self.shape = tuple(w.size for w in marginals)
        self._library = library
        self._index, self._mass = couple(marginals)
        self.index = tuple(library.array(column.copy()) for column in self._index.T)
        self.mass = library.array(self._mass.copy())

        p = [w / w.sum() for w in marginals]
        joint = self._mass / marginals[0].sum()
        size = NATS[unit]
        self._joint = entropy(joint) / size
        self._marginal = [entropy(q) / size for q in p]
        self._information = _total_correlation(joint, [q[k] for q, k in zip(p, self._index.T)]) / size
        guaranteed = self._joint - _greedy_excess(len(p)) / size
        self._bound = min(self._joint, max(guaranteed, coupling_entropy_bound(p) / size))
        self.joint_entropy = library.scalar(self._joint)
        self.marginal_entropies = tuple(library.scalar(value) for value in self._marginal)
        self.mutual_information = library.scalar(self._information)
        self.lower_bound = library.scalar(self._bound)
        self.gap = library.scalar(self._joint - self._bound)

    @cached_property
    def plan(self) -> Any:
        """(n, m) dense coupling, one more axis for every further marginal."""
        out = np.zeros(self.shape)
        out[tuple(self._index.T)] = self._mass
        return self._library.array(out)

    def sparse_plan(self) -> Any:
        """The coupling of two marginals as a SciPy CSR array.

        Returns
        -------
        (n, m) scipy.sparse.csr_array

        Raises
        ------
        UnsupportedError
            For more than two marginals: `index` and `mass` hold the entries.
        """
        from scipy import sparse

        if len(self.shape) != 2:
            raise UnsupportedError(f"a coupling of {len(self.shape)} marginals is no matrix; use .index and .mass")
        data = self._mass.astype(self._library.dtype, copy=False)
        n, m = self.shape
        return sparse.csr_array((data, tuple(self._index.T)), shape=(n, m))

    def __repr__(self) -> str:
        sizes = " x ".join(map(str, self.shape))
        entropies = ", ".join(f"{value:.6g}" for value in self._marginal)
        shared = "mutual information" if len(self.shape) == 2 else "total correlation "
        return (
            f"Coupling of {sizes} states, {self._mass.size} entries\n"
            f"  joint entropy       {self._joint:.6g} {self.unit}"
            f"   (no coupling below {self._bound:.6g}: at most {self._joint - self._bound:.2g} to gain)\n"
            f"  {shared}  {self._information:.6g} {self.unit}\n"
            f"  marginal entropies  {entropies} {self.unit}\n"
            "  more                .plan .sparse_plan() .index .mass .lower_bound .gap"
        )


def minimum_entropy_coupling(a: Any, b: Any, *more: Any, unit: str = "bits") -> Coupling:
    """A coupling of nearly minimal entropy, and so of nearly maximal mutual information.

    Greedy: the two largest masses meet, the smaller of them is moved, and so on until all mass has moved. Finding
    the minimum itself is NP-hard.

    Parameters
    ----------
    a : (n,) array >= 0
        Weights; their sum is the mass of the coupling, all entropies are those of ``a / sum(a)``.
    b : (m,) array >= 0
        Weights of the same total mass.
    *more : arrays >= 0
        Further marginals, of any size and the same mass.
    unit : {"bits", "nats"}
        Of all entropies of the result.

    Returns
    -------
    Coupling

    Raises
    ------
    ValueError
        For weights that are negative, not finite or not (n,), for unequal masses and for an unknown unit.
    TypeError
        For what is no array of real numbers, and for arrays of different libraries.

    Notes
    -----
    ``O(N log N)`` for N states of all marginals together. The entropy is within ``log2(e) / e``, about 0.531 bits,
    of the minimum for two marginals and within ``(1 + log2(e)) / 2``, about 1.222 bits, for more [compton:23]_;
    ``.gap`` is what is certain for the problem at hand, usually much less. The marginals of the coupling are those
    given up to rounding, that of small states included.

    References
    ----------
    [kocaoglu:17]_ (the algorithm), [cicalese:19]_, [compton:23]_ (bounds)

    Examples
    --------
    >>> import ot_solvers as ots
    >>> coupling = ots.couplings.minimum_entropy_coupling([0.5, 0.5], [0.5, 0.25, 0.25])
    >>> coupling.joint_entropy, coupling.lower_bound
    (1.5, 1.5)
    >>> coupling.plan
    array([[0.5 , 0.  , 0.  ],
           [0.  , 0.25, 0.25]])
    """
    unit = read_unit(unit)
    further = {f"more[{k}]": value for k, value in enumerate(more)}
    marginals, library = read_marginals({"a": a, "b": b, **further})
    return Coupling(marginals, library, unit)


def couple(marginals: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The greedy coupling.

    Parameters
    ----------
    marginals : list of (n_k,) float64 arrays >= 0
        All rescaled to the total mass of the first.

    Returns
    -------
    index : (N, K) int array
        The states that meet, in pairwise different rows.
    mass : (N,) array >= 0
        0 only where it underflows.
    """
    piles, unit = _whole_numbers(marginals)
    # Among equal masses the first state is on top.
    heaps = [[(-mass, i) for i, mass in enumerate(pile) if mass > 0] for pile in piles]
    for heap in heaps:
        heapq.heapify(heap)
    index, moved = [], []
    while heaps[0]:  # of one total: empty at the same time
        tops = [heap[0] for heap in heaps]
        mass = min(-negative for negative, _ in tops)
        index.append([i for _, i in tops])
        moved.append(mass)
        for pile, heap, (negative, i) in zip(piles, heaps, tops):
            _put_back(heap, -negative - mass, i, pile[i])
    return np.array(index, dtype=np.int64), np.array([mass / unit for mass in moved])


def _put_back(heap: list[tuple[int, int]], rest: int, i: int, given: int) -> None:
    """What is left of the state on top, of mass `given` at first."""
    if rest * _DUST > given:
        heapq.heapreplace(heap, (-rest, i))
        return
    heapq.heappop(heap)
    if rest > 0:
        # 0.3 - 0.2 - 0.1 is not quite 0, and must not become an entry. But it must not get lost either, for states
        # as small as that may be waiting for it: where it makes no difference, the next state has it.
        if heap and rest * _DUST <= -heap[0][0]:
            heap[0] = heap[0][0] - rest, heap[0][1]
        else:
            heapq.heappush(heap, (-rest, i))


def _whole_numbers(marginals: list[np.ndarray]) -> tuple[list[list[int]], int]:
    """All masses in a unit in which they are integers, of exactly the sum of the first; how many of it make 1.

    Differences are exact, so states far below the rounding of others find their partners all the same, in no more
    entries than there should be.
    """
    ratios = [[mass.as_integer_ratio() for mass in w.tolist()] for w in marginals]
    unit = max(denominator for pile in ratios for _, denominator in pile)
    exact = [[numerator * (unit // denominator) for numerator, denominator in pile] for pile in ratios]
    totals = [sum(pile) for pile in exact]
    # Rescaled to so many bits below the smallest mass, whatever the totals were.
    target = totals[0] << _GUARD
    piles = [[mass * target // total for mass in pile] for pile, total in zip(exact, totals)]
    for pile in piles:
        pile[pile.index(max(pile))] += target - sum(pile)
    return piles, unit << _GUARD


def _greedy_excess(n_marginals: int) -> float:
    """By how many nats the greedy coupling is above the minimum at most [compton:23]_."""
    return 1 / math.e if n_marginals == 2 else 0.5 * (1 + math.log(2))


def _total_correlation(joint: np.ndarray, products: list[np.ndarray]) -> float:
    """``sum p log(p / prod p_k)``: entropies would cancel where it is small."""
    live = joint > 0
    logs = np.log(joint[live]) - sum(np.log(p[live]) for p in products)
    return max(0.0, float((joint[live] * logs).sum()))
