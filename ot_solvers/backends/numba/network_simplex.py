"""The primal network simplex on a list of arcs from sources to sinks, without capacities.

Masses are integers, so that flows are exact and ties are ties; costs are float64. Bases are strongly feasible
trees [cunningham:76]_, so that degenerate pivots cannot cycle; the entering arc is the best of a block
[grigoriadis:86]_.
"""

from __future__ import annotations

import numpy as np

from .policy import kernel
from .spanning_tree import ARC, ARTIFICIAL, PARENT, SIZE, UP, attach, detach, price_tree, shift_subtree

#: Reduced costs this much below zero count, relative to the numbers they are made of.
TOLERANCE = 2.0**-47

_MOST = np.iinfo(np.int64).max


@kernel
def entering_arc(source, sink, cost, potential, at, block, floor):
    """(arc, where to go on looking): the most promising arc of the first block that has one; -1 if none has.

    Reduced costs count that are below `floor` <= 0, and below zero by more than the rounding of what they are
    made of.
    """
    arcs = source.size
    left = arcs
    found = -1
    best = floor
    while left > 0:
        stop = min(at + min(block, left), arcs)
        for e in range(at, stop):
            s = potential[source[e]]
            t = potential[sink[e]]
            r = cost[e] - s + t
            # The first half is nearly always false, and cheap.
            if r < best and r < -TOLERANCE * max(abs(cost[e]), max(abs(s), abs(t))):
                best = r
                found = e
        left -= stop - at
        at = stop if stop < arcs else 0
        if found >= 0:
            break
    return found, at


@kernel
def pivot(tree, flow, potential, n, cost, s, t, entering):
    """Let the arc from s to t enter the basis."""
    # The cycle leads down from the meeting point to s, along the arc, and up from t. The arc that leaves is the
    # last one in that order among those that run empty: the tree stays strongly feasible.
    u = s
    v = t
    least_s = _MOST
    least_t = _MOST
    out_s = -1
    out_t = -1
    while u != v:
        below_u = tree[u, SIZE]
        below_v = tree[v, SIZE]
        if below_u <= below_v:
            if tree[u, UP] == 1 and flow[u] < least_s:
                least_s = flow[u]
                out_s = u
            u = tree[u, PARENT]
        if below_v <= below_u:
            if tree[v, UP] == 0 and flow[v] <= least_t:
                least_t = flow[v]
                out_t = v
            v = tree[v, PARENT]
    meeting = u
    by_t = least_t <= least_s
    amount = least_t if by_t else least_s
    if amount > 0:
        u = s
        while u != meeting:
            flow[u] += -amount if tree[u, UP] == 1 else amount
            u = tree[u, PARENT]
        v = t
        while v != meeting:
            flow[v] += amount if tree[v, UP] == 1 else -amount
            v = tree[v, PARENT]

    out = out_t if by_t else out_s
    first = t if by_t else s
    onto = s if by_t else t
    moved = tree[out, SIZE]
    above = tree[out, PARENT]

    # Potentials: the part cut off moves against the rest; the smaller of the two is touched.
    change = cost[entering] - potential[s] + potential[t]
    if by_t:
        change = -change
    detach(tree, out)
    if 2 * moved <= tree.shape[0]:
        shift_subtree(tree, potential, out, change)
    else:
        shift_subtree(tree, potential, tree.shape[0] - 1, -change)

    v = above
    while v != meeting:
        tree[v, SIZE] -= moved
        v = tree[v, PARENT]
    v = onto
    while v != meeting:
        tree[v, SIZE] += moved
        v = tree[v, PARENT]

    # The part cut off is hung up at `first`: the arcs between it and `out` turn around.
    v = first
    parent = onto
    arc = entering
    carried = amount
    before = 0
    while True:
        old_parent = tree[v, PARENT]
        old_arc = tree[v, ARC]
        old_flow = flow[v]
        size = tree[v, SIZE]
        if v != out:
            detach(tree, v)
        attach(tree, v, parent, arc, v < n)
        flow[v] = carried
        tree[v, SIZE] = moved - before
        if v == out:
            break
        before = size
        parent = v
        arc = old_arc
        carried = old_flow
        v = old_parent


@kernel
def run_simplex(tree, flow, potential, n, source, sink, cost, level, penalty, state, block, floor, most):
    """Pivot until no arc promises anything, or `most` times; whether no arc does.

    `state` is (where to look next, pivots so far, pivots at the last fresh pricing).
    """
    done = 0
    while done < most:
        if state[1] - state[2] > tree.shape[0]:
            price_tree(tree, cost, level, penalty, potential)
            state[2] = state[1]
        e, at = entering_arc(source, sink, cost, potential, state[0], block, floor)
        state[0] = at
        if e < 0:
            if state[2] == state[1]:
                return True
            price_tree(tree, cost, level, penalty, potential)
            state[2] = state[1]
            continue
        pivot(tree, flow, potential, n, cost, source[e], sink[e], e)
        state[1] += 1
        done += 1
    return False


@kernel
def unmet_mass(tree, flow):
    """What the root takes: the mass that has no way."""
    root = tree.shape[0] - 1
    total = 0
    for v in range(root):
        if tree[v, ARC] == ARTIFICIAL and tree[v, UP] == 1:
            total += flow[v]
    return total
