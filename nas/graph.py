"""Cell graphs: what is alive in them, when two are the same, and how they look.

A cell is a directed acyclic graph on the nodes 0 (the input) to n - 1 (the output), every edge from a lower to a higher
node. Here the operations sit on the edges.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path

import networkx as nx

Edge = tuple[int, int]


def reached(edges: Collection[Edge]) -> set[int]:
    """The nodes to which a path leads from node 0, itself included."""
    found = {0}
    for i, j in sorted(edges):
        if i in found:
            found.add(j)
    return found


def alive(edges: Collection[Edge], nodes: int) -> set[int]:
    """The nodes that lie on a path from node 0 to node ``nodes - 1``; empty where there is no path."""
    backward = reached([(nodes - 1 - j, nodes - 1 - i) for i, j in edges])
    return reached(edges) & {nodes - 1 - node for node in backward}


def pruned(graph: nx.DiGraph[int]) -> nx.DiGraph[int]:
    """The subgraph of the nodes on a path from the lowest node to the highest; without nodes where there is none."""
    return graph.subgraph(alive(graph.edges, max(graph) + 1)).copy()


def canonical(
    operations: Mapping[Edge, int], edges: Sequence[Edge], nodes: int, weighted: Collection[int]
) -> dict[Edge, int]:
    """One representative of all cells that are the same network with the same parameters.

    Two cells are the same when what is alive in them is isomorphic as a graph with labelled edges, and what is dead
    holds the same multiset of operations with weights: a dead convolution still counts as parameters. One that is fed
    (it leads nowhere) and one that is starved (it comes from nowhere) count apart, because the published proxies that
    look at activations see the first and not the second. Exact: all embeddings of the living part are compared, so the
    cost grows with the factorial of the living interior nodes.

    Args:
        operations: the operation of each edge that has one.
        edges: the edges that the space has, each from a lower to a higher node.
        nodes: the number of nodes, input and output included.
        weighted: the operations that have weights.

    Returns:
        The operations of the representative: the first embedding, comparing living operations edge by edge in the
        order of ``edges``, into which the dead ones fit, and their first arrangement there.
    """
    living = alive(operations, nodes)
    body = {edge: op for edge, op in operations.items() if living.issuperset(edge)}
    interior = sorted(living - {0, nodes - 1})
    embeddings = []
    for places in permutations(range(1, nodes - 1), len(interior)):
        place = dict(zip(interior, places, strict=True)) | {0: 0, nodes - 1: nodes - 1}
        embedding = {(place[i], place[j]): op for (i, j), op in body.items()}
        if embedding.keys() <= set(edges):
            embeddings.append(embedding)
    embeddings.sort(key=lambda embedding: [embedding.get(edge, -1) for edge in edges])
    for kept in (weighted, set(operations.values())):  # what feeds a dead weight may have none itself, and be needed
        dead = _dead(operations, body, kept)
        for embedding in embeddings:
            inside = {0, nodes - 1, *alive(embedding, nodes)}
            free = [edge for edge in edges if edge not in embedding and not inside.issuperset(edge)]
            for arrangement in _arrangements([op for op, _ in dead], free, embedding, nodes):
                if _dead(arrangement, embedding, kept) == dead:
                    return arrangement
    raise AssertionError("a cell is an embedding of itself")


def _dead(operations: Mapping[Edge, int], body: Mapping[Edge, int], kept: Collection[int]) -> list[tuple[int, bool]]:
    """The multiset of the dead operations among those that are kept, each with whether it is fed."""
    fed = reached(operations.keys())
    return sorted((op, edge[0] in fed) for edge, op in operations.items() if edge not in body and op in kept)


def _arrangements(
    dead: list[int], free: list[Edge], operations: dict[Edge, int], nodes: int
) -> Iterator[dict[Edge, int]]:
    """``operations`` with the ``dead`` ones added on ``free`` edges in every way in which they stay dead."""
    if not dead:
        yield operations
    if not dead or len(free) < len(dead):
        return
    for op in sorted(set(dead)):
        extended = operations | {free[0]: op}
        if alive(extended, nodes) == alive(operations, nodes):
            rest = dead.copy()
            rest.remove(op)
            yield from _arrangements(rest, free[1:], extended, nodes)
    yield from _arrangements(dead, free[1:], operations, nodes)


def draw(graph: nx.DiGraph[int], path: Path, title: str = "") -> None:
    """Draws a cell, operations on its edges, to ``path`` (SVG, PNG or PDF by its suffix)."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch

    names = sorted({data["op"] for _, _, data in graph.edges(data=True)})
    colours = {name: f"C{index}" for index, name in enumerate(names)}
    last = max(graph)
    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1), aspect="equal")
    top = bottom = 0.25
    for i, j, data in graph.edges(data=True):
        span, side = j - i, 1 if i % 2 == 0 else -1
        height = 0.0 if span == 1 else side * 0.22 * span  # of the middle of the arc
        top, bottom = max(top, height + 0.15), max(bottom, 0.15 - height)
        colour = colours[data["op"]]
        axes.add_patch(
            FancyArrowPatch(
                (i, 0), (j, 0), connectionstyle=f"arc3,rad={-2 * height / span:.3f}", arrowstyle="-|>",
                mutation_scale=14, shrinkA=24 if i == 0 else 13, shrinkB=26 if j == last else 13,
                linewidth=1.8, color=colour,
            )
        )  # fmt: skip
        axes.text(
            (i + j) / 2, height, data["op"], ha="center", va="center", fontsize=9, color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    for node in range(last + 1):
        text = "input" if node == 0 else "output" if node == last else str(node)
        axes.text(
            node, 0, text, ha="center", va="center", fontsize=9,
            bbox={"boxstyle": "circle" if len(text) == 1 else "round", "facecolor": "white", "edgecolor": "black"},
        )  # fmt: skip
    axes.set_axis_off()
    axes.set_xlim(-0.3, last + 0.3)
    if title:
        top += 0.2
        axes.text(last / 2, top - 0.1, title, ha="center", va="center", fontsize=8, family="monospace")
    axes.set_ylim(-bottom, top)
    figure.set_size_inches(2.4 * (last + 0.6), 2.4 * (bottom + top))
    figure.savefig(path, dpi=150)
