"""A rooted spanning tree of sources and sinks with flows: what a basis of a transport problem is.

Vertices ``0 .. n - 1`` are sources, then come the sinks, last the root, which stands for no place: arcs between it
and a vertex are artificial, and take away or bring what has no way yet. All other arcs run from a source to a
sink. One record of 32 bytes per vertex: a pivot visits vertices in no particular order, and every visit then costs
one cache line.
"""

from __future__ import annotations

import numpy as np

from .policy import kernel

#: Columns of the tree: parent, arc to it, first child, siblings on both sides, vertices of the subtree, and
#: whether the arc runs up, to the parent.
PARENT, ARC, CHILD, NEXT, PREVIOUS, SIZE, UP = range(7)
COLUMNS = 8

#: The number of all arcs at the root.
ARTIFICIAL = -1


@kernel
def detach(tree, v):
    """Take v out of the children of its parent."""
    before = tree[v, PREVIOUS]
    after = tree[v, NEXT]
    if before >= 0:
        tree[before, NEXT] = after
    else:
        tree[tree[v, PARENT], CHILD] = after
    if after >= 0:
        tree[after, PREVIOUS] = before


@kernel
def attach(tree, v, parent, arc, up):
    """Make v the first child of `parent`."""
    first = tree[parent, CHILD]
    tree[v, PARENT] = parent
    tree[v, ARC] = arc
    tree[v, UP] = up
    tree[v, PREVIOUS] = -1
    tree[v, NEXT] = first
    if first >= 0:
        tree[first, PREVIOUS] = v
    tree[parent, CHILD] = v


@kernel
def following(tree, v, top):
    """The vertex after v in depth-first order of the subtree of `top`; -1 at the end."""
    child = tree[v, CHILD]
    if child >= 0:
        return child
    while v != top:
        if tree[v, NEXT] >= 0:
            return tree[v, NEXT]
        v = tree[v, PARENT]
    return -1


@kernel
def shift_subtree(tree, potential, top, change):
    """Add to the potentials of the subtree of `top`."""
    v = top
    while v >= 0:
        potential[v] += change
        v = following(tree, v, top)


@kernel
def price_tree(tree, cost, level, penalty, potential):
    """Potentials that make every arc of the tree tight.

    A source's potential is that of the dual, a sink's is its negative: an arc from s to t is tight when
    ``cost = potential[s] - potential[t]``, and a subtree moves as a whole. What the root takes from v costs
    ``level[v] + penalty``, what it brings ``penalty - level[v]``.
    """
    root = tree.shape[0] - 1
    v = following(tree, root, root)
    while v >= 0:
        parent = tree[v, PARENT]
        sign = 1.0 if tree[v, UP] else -1.0
        if parent == root:
            potential[v] = level[v] + sign * penalty
        else:
            potential[v] = potential[parent] + sign * cost[tree[v, ARC]]
        v = following(tree, v, root)


@kernel
def _leader(of, v):
    while of[v] != v:
        of[v] = of[of[v]]
        v = of[v]
    return v


@kernel
def span(source, sink, order, vertices):
    """Arcs of a spanning forest, the first ones in this order."""
    of = np.arange(vertices)
    arcs = np.empty(vertices, np.int64)
    count = 0
    for k in range(order.size):
        e = order[k]
        s = _leader(of, source[e])
        t = _leader(of, sink[e])
        if s != t:
            of[s] = t
            arcs[count] = e
            count += 1
    return arcs[:count].copy()


@kernel
def hang(tree, flow, source, sink, arcs, mass, n):
    """Hang a spanning forest from the root, with flows that bring every vertex its mass as far as they can.

    Flows are those of the tree, from the leaves up. Where they would run against an arc, the subtree is hung
    from the root instead, which takes or brings what is wrong there. Arcs without flow point at the root: trees
    for which this holds stay so, and degenerate pivots cannot cycle [cunningham:76]_.
    """
    root = tree.shape[0] - 1
    vertices = root
    starts = np.zeros(vertices + 2, np.int64)
    for k in range(arcs.size):
        starts[source[arcs[k]] + 2] += 1
        starts[sink[arcs[k]] + 2] += 1
    for v in range(vertices):
        starts[v + 2] += starts[v + 1]
    around = np.empty(2 * arcs.size, np.int64)
    for k in range(arcs.size):
        e = arcs[k]
        around[starts[source[e] + 1]] = e
        starts[source[e] + 1] += 1
        around[starts[sink[e] + 1]] = e
        starts[sink[e] + 1] += 1
    parent = np.full(vertices, -1, np.int64)
    above = np.full(vertices, -1, np.int64)
    queue = np.empty(vertices, np.int64)
    count = 0
    for start in range(vertices):
        if parent[start] >= 0:
            continue
        parent[start] = root
        queue[count] = start
        place = count
        count += 1
        while place < count:
            v = queue[place]
            place += 1
            for at in range(starts[v], starts[v + 1]):
                e = around[at]
                child = sink[e] if v == source[e] else source[e]
                if parent[child] < 0:
                    parent[child] = v
                    above[child] = e
                    queue[count] = child
                    count += 1
    tree[:, :] = -1
    tree[:, SIZE] = 1
    net = np.empty(vertices, np.int64)
    for v in range(vertices):
        net[v] = mass[v] if v < n else -mass[v]
    for place in range(vertices - 1, -1, -1):
        v = queue[place]
        up = net[v] >= 0
        # A source sends up, and may send nothing; a sink needs something from above.
        if parent[v] != root and up == (v < n):
            attach(tree, v, parent[v], above[v], up)
            net[parent[v]] += net[v]
        else:
            attach(tree, v, root, ARTIFICIAL, up)
        flow[v] = abs(net[v])
        tree[tree[v, PARENT], SIZE] += tree[v, SIZE]
