"""Cell graphs: which parts are alive, and when two cells are the same.

A cell is a directed acyclic graph on the nodes 0 (the input) to n - 1 (the output), every edge from a lower to a higher
node. Unless stated otherwise, the operations sit on the edges.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import permutations

import networkx as nx

__all__ = ["Edge", "alive", "canonical", "chain", "described", "forks", "pruned", "reached", "terminals"]

Edge = tuple[int, int]


def reached(edges: Collection[Edge]) -> set[int]:
    """The nodes to which a path leads from node 0, itself included."""
    reachable = {0}
    for i, j in sorted(edges):
        if i in reachable:
            reachable.add(j)
    return reachable


def alive(edges: Collection[Edge], nodes: int) -> set[int]:
    """The nodes that lie on a path from node 0 to node ``nodes - 1``; empty where there is no path."""
    backward = reached([(nodes - 1 - j, nodes - 1 - i) for i, j in edges])
    return reached(edges) & {nodes - 1 - node for node in backward}


def terminals(graph: nx.DiGraph[int], kind: str) -> list[int]:
    """The nodes that are an ``input`` or an ``output``: those that say so, else the lowest or the highest."""
    marked = [node for node, attributes in graph.nodes(data=True) if attributes.get("terminal") == kind]
    return marked or ([min(graph)] if kind == "input" else [max(graph)])


def forks(graph: nx.DiGraph[int]) -> bool:
    """Whether it is no chain: a node has several successors."""
    return any(degree > 1 for _, degree in graph.out_degree())


def pruned(graph: nx.DiGraph[int]) -> nx.DiGraph[int]:
    """The subgraph of the nodes on a path from an input to an output; without nodes where there is none."""
    fed = {node for start in terminals(graph, "input") for node in (start, *nx.descendants(graph, start))}
    used = {node for end in terminals(graph, "output") for node in (end, *nx.ancestors(graph, end))}
    return graph.subgraph(fed & used).copy()


def chain(layers: Sequence[str], widths: Sequence[int] = ()) -> nx.DiGraph[int]:
    """A network without branches as a graph: an input, these layers one after the other, an output; where their widths
    are given, each has its own."""
    graph: nx.DiGraph[int] = nx.path_graph(len(layers) + 2, create_using=nx.DiGraph)
    for node, layer in enumerate(layers, start=1):
        graph.nodes[node]["op"] = layer
        if widths:
            graph.nodes[node]["width"] = widths[node - 1]
    return graph


def canonical(
    operations: Mapping[Edge, int], edges: Sequence[Edge], nodes: int, weighted: Collection[int]
) -> dict[Edge, int]:
    """One representative of all cells that are the same network with the same parameters.

    Two cells are the same when their living parts are isomorphic as graphs with labelled edges, and their dead parts
    hold the same multiset of operations with weights: a dead convolution still counts as parameters. One that is fed
    (it leads nowhere) and one that is starved (it comes from nowhere) count apart, because the published proxies that
    use activations see the first and not the second. Exact: all embeddings of the living part are compared, so the
    cost grows with the factorial of the number of living interior nodes.

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
    for subset in (weighted, set(operations.values())):  # an operation without weights may be needed to feed one
        dead = _dead(operations, body, subset)
        for embedding in embeddings:
            living_nodes = {0, nodes - 1, *alive(embedding, nodes)}
            free = [edge for edge in edges if edge not in embedding and not living_nodes.issuperset(edge)]
            for arrangement in _arrangements([op for op, _ in dead], free, embedding, nodes):
                if _dead(arrangement, embedding, subset) == dead:
                    return arrangement
    raise AssertionError("a cell is an embedding of itself")


def _dead(operations: Mapping[Edge, int], body: Mapping[Edge, int], subset: Collection[int]) -> list[tuple[int, bool]]:
    """The multiset of the dead operations that are in ``subset``, each with whether it is fed."""
    fed = reached(operations.keys())
    return sorted((op, edge[0] in fed) for edge, op in operations.items() if edge not in body and op in subset)


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


def described(graph: nx.DiGraph[int]) -> Iterator[str]:
    """The cells in words: a line for each edge with an operation, and for each node with one."""
    for cell in dict.fromkeys(attributes.get("cell") for _, attributes in graph.nodes(data=True)):
        nodes = [node for node, attributes in graph.nodes(data=True) if attributes.get("cell") == cell]
        if cell:
            yield f"{cell}:"
        name = {node: graph.nodes[node].get("label", str(node - nodes[0])).replace("; ", ", ") for node in nodes}
        for node in nodes:
            if "op" in graph.nodes[node]:
                before = sorted(graph.predecessors(node))
                of = f"  of {', '.join(name[n] for n in before)}" if before and before != [node - 1] else ""
                op = graph.nodes[node]["op"]
                yield f"  {name[node]}{of}" if op in name[node] else f"  {name[node]}  {op}{of}"
            for source, _, attributes in sorted(graph.in_edges(node, data=True), key=lambda edge: edge[0]):
                if attributes.get("op"):
                    yield f"  {name[source]} -> {name[node]}  {attributes['op']}"
