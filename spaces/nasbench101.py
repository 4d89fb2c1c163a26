"""NAS-Bench-101 (Ying et al. 2019, arXiv:1902.09635)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial, reduce
from hashlib import md5
from itertools import combinations, permutations
from operator import add
from typing import Annotated, NamedTuple, final

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn

from nas.graph import Edge, alive
from nas.registry import Range
from nas.space import Arch, Counts, Space, Task, is_leaf, space
from spaces import _counted as counting
from spaces._cell import conv_bn_relu, initialise_by_place, named, pooled
from spaces._counted import Part, Shape
from spaces._json import field, record

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""In the benchmark's order, on which its hash depends."""
VERTICES, EDGES = 7, 9
"""The most that a module may have after pruning."""
PAIRS: tuple[Edge, ...] = tuple((i, j) for j in range(1, VERTICES) for i in range(j))
"""The edges that a module can have, in the benchmark's order: by where they end."""
PATHS = [
    [*zip((0, *inner), (*inner, VERTICES - 1), strict=True)]
    for length in range(VERTICES - 1)
    for inner in combinations(range(1, VERTICES - 1), length)
]
"""Every path from the input to the output."""


class Module(NamedTuple):
    """A module: vertex 0 is the input, the last one the output, the others have ``operations`` (by number)."""

    edges: frozenset[Edge]
    operations: tuple[int, ...]

    @property
    def last(self) -> int:
        return len(self.operations) + 1

    def pruned(self) -> Module:
        """Without the vertices on no path from the input to the output; the rest keep their order."""
        living = sorted(alive(self.edges, self.last + 1))
        place = {vertex: number for number, vertex in enumerate(living)}
        edges = frozenset((place[i], place[j]) for i, j in self.edges if i in place and j in place)
        return Module(edges, tuple(self.operations[vertex - 1] for vertex in living[1:-1]))

    def in_order(self) -> Iterator[Module]:
        """The module under every numbering of its vertices in which edges lead from lower to higher ones."""
        for numbers in permutations(range(1, self.last)):
            place = (0, *numbers, self.last)
            if all(place[i] < place[j] for i, j in self.edges):
                operations = sorted(zip(numbers, self.operations, strict=True))
                edges = frozenset((place[i], place[j]) for i, j in self.edges)
                yield Module(edges, tuple(operation for _, operation in operations))

    def rank(self) -> tuple[int, tuple[int, ...]]:
        """The place of the module in the benchmark's enumeration: by the number whose bits are the edges, then by the
        operations. The benchmark keeps the first of all isomorphic modules."""
        return sum(1 << PAIRS.index(edge) for edge in self.edges), self.operations

    def hash(self) -> str:
        """The benchmark's name of the module and of all that are isomorphic to it (`graph_util.hash_module`): MD5 of
        the vertices' degrees and operations, then, as often as there are vertices, of each one's neighbours."""
        vertices = range(self.last + 1)
        sources = [[i for i in vertices if (i, j) in self.edges] for j in vertices]
        targets = [[j for j in vertices if (i, j) in self.edges] for i in vertices]
        labels = [-1, *self.operations, -2]
        names = [_md5(str((len(targets[v]), len(sources[v]), labels[v]))) for v in vertices]
        for _ in vertices:
            names = [
                _md5(
                    "|".join(
                        ["".join(sorted(names[w] for w in near)) for near in (sources[v], targets[v])] + [names[v]]
                    )
                )
                for v in vertices
            ]
        return _md5(str(sorted(names)))


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


@final
class NasBench101(Space):
    """Modules of at most seven vertices and nine edges: 21 slots for the edges, five for the vertices' operations.

    Only vertices and edges on a path from the input to the output count; a leaf that has no such path, or more than
    nine edges on them, does not belong to the space. The notation is the benchmark's ModelSpec as JSON.
    """

    slots = (("0", "1"),) * len(PAIRS) + (OPERATIONS,) * (VERTICES - 2)

    def __init__(self, width: int, modules: int) -> None:
        self.width, self.modules = width, modules

    def build(self, arch: Arch, task: Task) -> nn.Module:
        module = read(arch).pruned()
        layers: dict[str, nn.Module] = {"stem": conv_bn_relu(task.channels, self.width, 3)}
        before = self.width
        for stack in range(3):
            if stack:
                layers[f"pool{stack}"] = nn.MaxPool2d(2, 2, ceil_mode=True)
            width = self.width << stack
            for number in range(self.modules):
                layers[f"module{stack}-{number}"] = Wired(module, before, width)
                before = width
        return initialise_by_place(named(layers | pooled(before, task.classes)))

    def counts(self, arch: Arch, task: Task) -> Counts | None:
        module = read(arch).pruned()
        layers: list[counting.Count] = [partial(counting.convolution, outputs=self.width, kernel=3)]
        for stack in range(3):
            if stack:
                layers.append(lambda x: counting.pooling(x, 1, 2))  # of 2 x 2 pixels, rounded up
            layers += [partial(counted, module, outputs=self.width << stack)] * self.modules
        layers.append(partial(counting.pooled, classes=task.classes))
        return counting.counts(lambda: counting.series(counting.of_image(task), layers))

    def valid(self, arch: Arch) -> bool:
        """An open architecture is valid if the edges that it must have, with some path that it can have, are. Every
        valid module contains such a path, and with fewer edges fewer are on paths."""
        present = {pair for pair, options in zip(PAIRS, arch, strict=False) if options == (1,)}
        possible = {pair for pair, options in zip(PAIRS, arch, strict=False) if 1 in options}
        return any(_on_paths(present.union(path)) <= EDGES for path in PATHS if possible.issuperset(path))

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        module = read(arch)
        graph: nx.DiGraph[int] = nx.empty_graph(VERTICES, create_using=nx.DiGraph)
        graph.add_edges_from(sorted(module.edges))
        for vertex, operation in enumerate(module.operations, start=1):
            graph.nodes[vertex]["op"] = OPERATIONS[operation]
        return graph

    def text(self, arch: Arch) -> str:
        if not is_leaf(arch):
            return super().text(arch)
        module = read(arch)
        isolated = [v not in {w for e in module.edges for w in e} and not module.operations[v - 1] for v in range(1, 6)]
        count = VERTICES - 2 - (isolated[::-1].index(False) if False in isolated else VERTICES - 2)
        vertices = [*range(count + 1), VERTICES - 1]
        matrix = [[int((i, j) in module.edges) for j in vertices] for i in vertices]
        names = ["input", *(OPERATIONS[operation] for operation in module.operations[:count]), "output"]
        return json.dumps({"matrix": matrix, "ops": names}, separators=(",", ":"))

    def parse(self, text: str) -> Arch:
        if text.strip().startswith("hash:"):
            raise ValueError(f"{text!r}: a hash cannot be turned back into a module; a table that has both looks it up")
        module = from_spec(text)
        if not alive(module.edges, module.last + 1):
            raise ValueError(f"{text!r}: no path leads from the input to the output")
        arch = write(module)
        if not self.valid(arch):
            raise ValueError(f"{text!r}: {len(module.pruned().edges)} edges lie on paths, more than {EDGES}")
        return arch

    def notations(self, arch: Arch) -> dict[str, str]:
        return {"text": self.text(arch), "hash": read(arch).pruned().hash()}

    def canonical(self, arch: Arch) -> Arch:
        return _canonical(arch)

    def size(self) -> int:
        """All 2^21 graphs are checked at once; each has 3^5 labellings."""
        there = (np.arange(1 << len(PAIRS))[:, None] >> np.arange(len(PAIRS)) & 1).astype(bool)
        edge = {pair: there[:, number] for number, pair in enumerate(PAIRS)}
        fed, used = [np.ones(len(there), bool)], {VERTICES - 1: np.ones(len(there), bool)}
        for j in range(1, VERTICES):
            fed.append(np.any([fed[i] & edge[i, j] for i in range(j)], axis=0))
        for i in reversed(range(VERTICES - 1)):
            used[i] = np.any([used[j] & edge[i, j] for j in range(i + 1, VERTICES)], axis=0)
        on_paths = sum((edge[i, j] & fed[i] & used[j]).astype(np.int8) for i, j in PAIRS)
        return int(np.sum(fed[-1] & (on_paths <= EDGES))) * int(len(OPERATIONS) ** (VERTICES - 2))


def _on_paths(edges: set[Edge]) -> int:
    living = alive(edges, VERTICES)
    return sum(i in living and j in living for i, j in edges)


@lru_cache(maxsize=100_000)
def _canonical(arch: Arch) -> Arch:
    if not is_leaf(arch):
        return arch
    return write(min(read(arch).pruned().in_order(), key=Module.rank))


def read(arch: Arch) -> Module:
    edges = frozenset(pair for pair, (there,) in zip(PAIRS, arch, strict=False) if there)
    return Module(edges, tuple(operation for (operation,) in arch[len(PAIRS) :]))


def write(module: Module) -> Arch:
    """The architecture of a module of any size: its output becomes the last vertex, unused vertices have no edges."""
    place = [*range(module.last), VERTICES - 1]
    edges = {(place[i], place[j]) for i, j in module.edges}
    operations = module.operations + (0,) * (VERTICES - 2 - len(module.operations))
    return tuple((int(pair in edges),) for pair in PAIRS) + tuple((operation,) for operation in operations)


def from_spec(text: str) -> Module:
    """A ModelSpec as JSON: an upper triangular 0-1 ``matrix`` and the vertices' ``ops``."""
    form = '{"matrix": [[0, 1], [0, 0]], "ops": ["input", "output"]}'
    spec = record(text, form)
    rows, names = field(text, spec, "matrix", form), field(text, spec, "ops", form)
    if not isinstance(rows, list) or not 2 <= len(rows) <= VERTICES or not isinstance(names, list):
        raise ValueError(f"{text[:200]!r}: the matrix is a list of 2 to {VERTICES} rows, and ops is a list")
    size = len(rows)
    if any(not isinstance(row, list) or len(row) != size for row in rows) or len(names) != size:
        raise ValueError(f"{text[:200]!r}: the matrix is square, and there are as many ops as rows")
    if any(type(rows[i][j]) is not int or rows[i][j] not in (0, i < j) for i in range(size) for j in range(size)):
        raise ValueError(f"{text[:200]!r}: the matrix holds 0 and 1, and 1 only above the diagonal")
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{text[:200]!r}: ops are names")
    if [names[0], names[-1]] != ["input", "output"] or not set(names[1:-1]) <= set(OPERATIONS):
        raise ValueError(f"{text!r}: ops start with input, end with output, and in between are {', '.join(OPERATIONS)}")
    edges = frozenset((i, j) for i in range(size) for j in range(size) if rows[i][j])
    return Module(edges, tuple(OPERATIONS.index(name) for name in names[1:-1]))


def operation(number: int, channels: int) -> nn.Module:
    if OPERATIONS[number] == "maxpool3x3":
        return nn.MaxPool2d(3, 1, 1)
    return conv_bn_relu(channels, channels, 3 if OPERATIONS[number].startswith("conv3x3") else 1)


def widths(module: Module, inputs: int, outputs: int) -> list[int]:
    """The channels of each vertex. Those that feed the output share its channels, the first ones taking the remainder;
    any other has as many as the widest that it feeds."""
    ends = [i for i in range(1, module.last) if (i, module.last) in module.edges]
    channels = [inputs, *[0] * len(module.operations), outputs]
    for number, vertex in enumerate(ends):
        channels[vertex] = outputs // len(ends) + (number < outputs % len(ends))
    for vertex in reversed(range(1, module.last)):
        if vertex not in ends:
            channels[vertex] = max(channels[j] for j in range(vertex + 1, module.last) if (vertex, j) in module.edges)
    return channels


class Wired(nn.Module):
    """A module as a network: a vertex takes the sum of its inputs, cut to its channels, and of the module's input
    through a 1 x 1 projection; the vertices that feed the output are concatenated."""

    def __init__(self, module: Module, inputs: int, outputs: int) -> None:
        super().__init__()
        self.widths = widths(module, inputs, outputs)
        self.sources = [[i for i in range(1, j) if (i, j) in module.edges] for j in range(module.last + 1)]
        self.projections = nn.ModuleDict(
            {str(j): conv_bn_relu(inputs, self.widths[j], 1) for i, j in sorted(module.edges) if i == 0}
        )
        self.vertices = nn.ModuleDict(
            {str(v): operation(number, self.widths[v]) for v, number in enumerate(module.operations, start=1)}
        )

    def forward(self, x: Tensor) -> Tensor:
        values: list[Tensor] = [x]
        for vertex, module in self.vertices.items():
            terms = [values[i][:, : self.widths[int(vertex)]] for i in self.sources[int(vertex)]]
            values.append(module(reduce(add, terms + self._projected(vertex, x))))
        end = str(len(values))
        parts: Sequence[Tensor] = [values[i] for i in self.sources[-1]]
        return reduce(add, ([torch.cat(list(parts), dim=1)] if parts else []) + self._projected(end, x))

    def _projected(self, vertex: str, x: Tensor) -> list[Tensor]:
        return [self.projections[vertex](x)] if vertex in self.projections else []


def counted(module: Module, x: Shape, outputs: int) -> Part:
    """`Wired`, counted."""
    channels, parts = widths(module, x.channels, outputs), []
    projections = {j: counting.convolution(x, channels[j], 1) for i, j in module.edges if i == 0}
    paths: list[int | None] = [0]
    for vertex in range(1, module.last + 1):
        into = [paths[i] for i in range(1, vertex) if (i, vertex) in module.edges]
        path = counting.longest(into + [projections[vertex].path] if vertex in projections else into)
        if vertex < module.last:
            name, own = OPERATIONS[module.operations[vertex - 1]], Shape(channels[vertex], x.height, x.width)
            part = counting.same(own) if name == "maxpool3x3" else counting.convolution(own, own.channels, int(name[4]))
            parts.append(part)
            path = counting.along(path, part.path)
        paths.append(path)
    return counting.together([*parts, *projections.values()], paths[-1], Shape(outputs, x.height, x.width))


@space("nasbench101")
def nasbench101(*, stem: Annotated[int, Range(5)] = 128, modules: Annotated[int, Range(1)] = 3) -> NasBench101:
    """Modules of at most seven vertices and nine edges, as JSON ``{"matrix": …, "ops": …}``: 423,624 networks.

    Three stacks of ``modules`` modules, of ``stem`` channels in the first and twice as many in each next. Proxies in
    the literature score a thinner copy: ``--set nasbench101.stem=16``.
    """
    return NasBench101(stem, modules)
