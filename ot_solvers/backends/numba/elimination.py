"""Approximate Cholesky factor of a bipartite Laplacian: elimination with sampled cliques.

Eliminating a vertex joins its neighbours into a clique. Of each clique only a random tree is kept whose
expectation is the clique [kyng:16]_, [gao:23]_: every elimination leaves fewer edges than it found, so the
factor is a small multiple of the pattern (at most 2.5 measured), whatever the pattern. As a preconditioner it
takes conjugate gradients through near-assignment problems, where a diagonal one needs tens of thousands of
steps, in about ten. Exact on forests, which is what patterns of nearly extremal plans are.
"""

from __future__ import annotations

import numpy as np

from .pattern import grown
from .policy import kernel

#: Neighbours of a vertex up to which insertion sort wins.
FEW = 24


@kernel
def next_random(state):
    """One step of a xorshift generator on ``state[0]``; uniform in [0, 1)."""
    x = state[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    state[0] = x
    return float(x >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def sort_by_weight(neighbours, weights, count):
    """Sort the first `count` neighbours by increasing weight, in place."""
    if count > FEW:
        order = np.argsort(weights[:count])
        neighbours[:count] = neighbours[:count][order]
        weights[:count] = weights[:count][order]
        return
    for k in range(1, count):
        vertex = neighbours[k]
        weight = weights[k]
        place = k
        while place > 0 and weights[place - 1] > weight:
            weights[place] = weights[place - 1]
            neighbours[place] = neighbours[place - 1]
            place -= 1
        weights[place] = weight
        neighbours[place] = vertex


@kernel
def eliminate(indptr, indices, data, label, ground, seed):
    """Factor the Laplacian of the bipartite graph of a CSR pattern, vertices in order of their labels.

    Parameters
    ----------
    indptr, indices, data
        CSR parts of the (n, m) matrix of edge weights > 0.
    label : (n + m,) int64 array
        When each row and then each column is eliminated.
    ground : (n + m,) array >= 0, by label
        Weight of the edge to a vertex of potential 0.
    seed : int

    Returns
    -------
    starts : (n + m + 1,) int64 array
    below, factor
        Column k of the unit lower triangular factor, negated, holds ``factor[starts[k]:starts[k + 1]]`` in
        the rows ``below``.
    diagonal : (n + m,) array
        0 for the last vertex of a component without ground.
    """
    n = indptr.size - 1
    size = label.size
    # An edge is kept at the end that goes first, in a linked list; freed edges are used again, so that the
    # initial number is enough: every elimination makes fewer than it removes.
    edges = indptr[n] + size
    head = np.full(size + 1, -1, np.int64)
    following = np.empty(edges, np.int64)
    other = np.empty(edges, np.int64)
    weight = np.empty(edges)
    top = 0
    for i in range(n):
        for at in range(indptr[i], indptr[i + 1]):
            u = label[i]
            v = label[n + indices[at]]
            first = min(u, v)
            other[top] = max(u, v)
            weight[top] = data[at]
            following[top] = head[first]
            head[first] = top
            top += 1
    for k in range(size):
        if ground[k] > 0.0:
            other[top] = size
            weight[top] = ground[k]
            following[top] = head[k]
            head[k] = top
            top += 1
    free = -1
    starts = np.zeros(size + 1, np.int64)
    below = np.empty(2 * edges, np.int32)
    factor = np.empty(2 * edges)
    diagonal = np.zeros(size)
    used = 0
    seen_by = np.full(size + 1, -1, np.int64)
    slot = np.empty(size + 1, np.int64)
    neighbours = np.empty(size + 1, np.int64)
    weights = np.empty(size + 1)
    beyond = np.empty(size + 2)
    state = np.empty(1, np.uint64)
    state[0] = np.uint64(2 * seed + 88172645463325252)
    for k in range(size):
        count = 0
        edge = head[k]
        while edge != -1:
            v = other[edge]
            if seen_by[v] != k:
                seen_by[v] = k
                slot[v] = count
                neighbours[count] = v
                weights[count] = weight[edge]
                count += 1
            else:
                weights[slot[v]] += weight[edge]
            after = following[edge]
            following[edge] = free
            free = edge
            edge = after
        starts[k] = used
        if count == 0:
            continue
        sort_by_weight(neighbours, weights, count)
        # beyond[c]: weight of the neighbours c and later.
        beyond[count] = 0.0
        for c in range(count - 1, -1, -1):
            beyond[c] = beyond[c + 1] + weights[c]
        total = beyond[0]
        diagonal[k] = total
        if used + count > below.size:
            below = grown(below, used, used + count)
            factor = grown(factor, used, used + count)
        for c in range(count):
            below[used] = neighbours[c]
            factor[used] = weights[c] / total
            used += 1
        for c in range(count - 1):
            rest = beyond[c + 1]
            chosen = count - 1
            if c < count - 2:
                # Neighbour d > c with probability weights[d] / rest.
                mark = next_random(state) * rest
                low = c + 1
                high = count - 1
                while low < high:
                    middle = (low + high) // 2
                    if rest - beyond[middle + 1] > mark:
                        high = middle
                    else:
                        low = middle + 1
                chosen = low
            u = neighbours[c]
            v = neighbours[chosen]
            first = min(u, v)
            edge = free
            free = following[edge]
            other[edge] = max(u, v)
            weight[edge] = weights[c] / total * rest
            following[edge] = head[first]
            head[first] = edge
    starts[size] = used
    return starts, below[:used].copy(), factor[:used].copy(), diagonal


@kernel
def substitute(starts, below, factor, diagonal, x):
    """Solve with the factor in place; `x` by label, with one more entry for the ground."""
    size = diagonal.size
    for k in range(size):
        value = x[k]
        if value != 0.0:
            for at in range(starts[k], starts[k + 1]):
                x[below[at]] += factor[at] * value
    x[size] = 0.0
    for k in range(size - 1, -1, -1):
        value = x[k] / diagonal[k] if diagonal[k] > 0.0 else 0.0
        for at in range(starts[k], starts[k + 1]):
            value += factor[at] * x[below[at]]
        x[k] = value


@kernel
def thin(indptr, indices, data, a, b, threshold):
    """CSR parts of the entries ``P_ij >= threshold * min(a_i, b_j)``."""
    n = indptr.size - 1
    starts = np.zeros(n + 1, np.int64)
    kept = np.empty(data.size, np.int32)
    values = np.empty(data.size)
    used = 0
    for i in range(n):
        for at in range(indptr[i], indptr[i + 1]):
            j = indices[at]
            if data[at] >= threshold * min(a[i], b[j]):
                kept[used] = j
                values[used] = data[at]
                used += 1
        starts[i + 1] = used
    return starts, kept[:used].copy(), values[:used].copy()


@kernel
def sums_of(indptr, indices, data, n, m):
    """Row sums, then column sums, then the number of entries of each row and column."""
    sums = np.zeros(n + m)
    counts = np.zeros(n + m, np.int64)
    for i in range(n):
        total = 0.0
        for at in range(indptr[i], indptr[i + 1]):
            total += data[at]
            sums[n + indices[at]] += data[at]
            counts[n + indices[at]] += 1
        sums[i] = total
        counts[i] = indptr[i + 1] - indptr[i]
    return sums, counts


class BipartiteElimination:
    """Approximate inverses of ``[[diag(rows), -P], [-P', diag(columns)]]``; see `Backend.bipartite_solver`.

    Only the largest entries are factorised, about `core` per point; what the others carry counts as joined to
    potential 0. (Sampling all entries with weights that keep the Laplacian on average, by what each means for its
    own row and column, takes a tenth of the steps of conjugate gradients on clusters, but cuts the weak threads
    between parts of a plan that nearly falls apart: a hundred times as many there.)
    """

    #: Ratios from which the threshold is read off: a quantile that may be off by a tenth.
    SAMPLE = 1 << 14

    def __init__(self, P, a, b, core: int, seed: int = 0):
        n, m = P.shape
        self.n, self.seed = n, seed
        parts = P.indptr.astype(np.int64), P.indices.astype(np.int32, copy=False), P.data
        most = core * (n + m)
        if P.nnz > 1.25 * most:
            parts = thin(*parts, a, b, self._threshold(P, a, b, most))
        self.core = parts
        self.sums, counts = sums_of(*parts, n, m)
        self.order = np.argsort(counts, kind="stable")
        self.label = np.empty(n + m, np.int64)
        self.label[self.order] = np.arange(n + m)

    def _threshold(self, P, a, b, most):
        at = np.arange(0, P.nnz, max(1, P.nnz // self.SAMPLE))
        rows = np.searchsorted(P.indptr, at, side="right") - 1
        ratio = P.data[at] / np.minimum(a[rows], b[P.indices[at]])
        return float(np.quantile(ratio, 1 - most / P.nnz))

    def factor(self, rows, columns):
        """The factor for the given diagonals."""
        diagonal = np.concatenate([rows, columns])
        excess = diagonal - self.sums
        # Rounding alone must not ground anything.
        ground = np.where(excess > 1e-15 * diagonal, excess, 0.0)[self.order]
        return EliminationFactor(self.label[self.n :], eliminate(*self.core, self.label, ground, self.seed))


class EliminationFactor:
    """One factor; see `BipartiteElimination`."""

    def __init__(self, columns, parts):
        self.columns = columns
        self.parts = parts

    def solve(self, r: np.ndarray) -> np.ndarray:
        """Column part of the solution for the right hand side ``(0, r)``."""
        x = np.zeros(self.parts[-1].size + 1)
        x[self.columns] = r
        substitute(*self.parts, x)
        return x[self.columns]
