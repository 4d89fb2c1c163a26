"""Pictures of networks that are no cells: what they run, one part after the other."""

from __future__ import annotations

import networkx as nx

from nas.graph import chain
from nas.passes.stages import Stage, stages
from nas.scoring.measurer import build, running
from nas.space import Arch, Space, Task


def pictured(space: Space, arch: Arch, task: Task) -> nx.DiGraph[int]:
    """The graph of ``arch`` to draw: the space's own (`nas.space.Space.graph`), or where it has none, the parts of the
    network in the order in which they run, each with its output's shape and its parameters.

    Raises:
        UsageError: the network does not run on what ``task`` asks for.
    """
    graph = space.graph(arch)
    if graph is not None:
        return graph
    with running(space, arch, task):
        parts = stages(build(space, arch, task), task.inputs(1))
    graph = chain([stage.kind for stage in parts], list(map(_width, parts)))
    graph.nodes[0]["label"] = f"input; {_sizes(task.shape)}"
    for node, stage in enumerate(parts, start=1):
        lines = [stage.name, stage.kind, _sizes(stage.shape), f"{stage.params:,} params" if stage.params else ""]
        graph.nodes[node]["label"] = "; ".join(filter(None, dict.fromkeys(lines)))
    return graph


def _width(stage: Stage) -> int:
    """Channels of images [channels, height, width] and of tokens [tokens, channels]."""
    return 0 if not stage.shape else stage.shape[0] if len(stage.shape) == 3 else stage.shape[-1]


def _sizes(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
