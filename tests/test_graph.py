"""What of a cell is alive."""

from itertools import product

import networkx as nx

from nas import graph


def test_alive_by_brute_force():
    edges = [(i, j) for j in range(5) for i in range(j)]
    for chosen in product([0, 1], repeat=len(edges)):
        present = [edge for edge, keep in zip(edges, chosen, strict=True) if keep]
        network = nx.DiGraph(present)
        network.add_nodes_from(range(5))
        paths = nx.all_simple_paths(network, 0, 4)
        assert graph.alive(present, 5) == {node for path in paths for node in path}
