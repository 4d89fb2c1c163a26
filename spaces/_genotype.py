"""Normal and reduction cells written as a Genotype: the spaces of DARTS and those that NDS compares with it."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from itertools import permutations
from math import prod
from operator import add
from random import Random
from typing import Any, Literal, final

import networkx as nx
import torch
from torch import Tensor, nn

from nas.space import Arch, Counts, Space, Task, choice, is_leaf
from spaces import _counted as counting
from spaces._cell import distinct_positive, initialise_by_place, named, pooled
from spaces._counted import Part, Shape
from spaces._json import MAX_CHARACTERS, record
from spaces._ops import NONE, OPERATIONS, FactorizedReduce, Zero, counted, counted_reduction, relu_conv_bn

CELLS = ("normal", "reduce")
Input = tuple[tuple[int, ...], tuple[int, ...]]
"""The predecessors and the operations that are alive for one input of a node."""
Output = Literal["all", "loose"]
"""The output of a cell: all its nodes, concatenated, or those that no other node takes."""


@final
class GenotypeSpace(Space):
    """Two cells of ``nodes`` nodes, each the sum of two operations on earlier nodes or on the two cells before.

    The slots are, for each cell, node and input, the predecessor and the operation; then, where there is a choice, the
    network's width and depth. The notation is ``Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=[…], …)``; a
    width or depth that is not the first one is added to it (``…, width=24, depth=8)``). A record of NDS (JSON with
    ``genotype``, ``width``, ``depth``) is read too.

    Args:
        operations: names among those of `spaces._ops`, and ``none``.
        output: what a cell concatenates.
        distinct: only cells whose nodes take two distinct predecessors, and no ``none``, belong to the space, as in
            DARTS. Others can still be read and scored.
        widths, depths: the channels of the first cells, and the number of cells; the cells after a third and after two
            thirds of them are reductions. There is a supernet only with one width and one depth.
    """

    def __init__(
        self,
        operations: Sequence[str],
        nodes: int,
        output: Output,
        *,
        widths: Sequence[int],
        depths: Sequence[int],
        distinct: bool = False,
    ) -> None:
        self.operations, self.nodes, self.output, self.distinct = tuple(operations), nodes, output, distinct
        self.widths, self.depths = distinct_positive("widths", widths), distinct_positive("depths", depths)
        self.supernet = len(widths) == len(depths) == 1
        self.supernet_takes = "one width and one depth among its options"
        inputs = [(tuple(map(str, range(2 + node))), self.operations) for node in range(nodes) for _ in range(2)]
        self.cell_slots = 2 * len(inputs)
        cells = tuple(slot for _ in CELLS for pair in inputs for slot in pair)
        self.slots = cells + tuple(tuple(map(str, sizes)) for sizes in (self.widths, self.depths) if len(sizes) > 1)

    def build(self, arch: Arch, task: Task) -> nn.Module:
        widths, depths = self._sizes(arch)
        if len(widths) > 1 or len(depths) > 1:
            raise ValueError("a supernet has one width and one depth: fix them in the space's options")
        cells = {name: self._inputs(arch, name) for name in CELLS}
        return initialise_by_place(
            Network(
                cells, {name: self._outputs(cells[name]) for name in CELLS}, self.operations, widths[0], depths[0], task
            )
        )

    def counts(self, arch: Arch, task: Task) -> Counts | None:
        widths, depths = self._sizes(arch)
        if len(widths) > 1 or len(depths) > 1:
            return None
        return counting.counts(lambda: self._counted(arch, widths[0], depths[0], task))

    def _counted(self, arch: Arch, width: int, depth: int, task: Task) -> Part:
        """`Network`, counted. Cells of the same shapes are counted once."""
        inputs = {name: self._inputs(arch, name) for name in CELLS}
        outputs = {name: self._outputs(inputs[name]) for name in CELLS}
        stem = counting.convolution(counting.of_image(task), 3 * width, 3)
        parts, cells = [stem], {}
        (older, newer), paths, halve = (stem.shape, stem.shape), (stem.path, stem.path), False
        for number in range(depth):
            reduction = number in (depth // 3, 2 * depth // 3)
            width *= 1 + reduction
            kind = (older, newer, width, reduction, halve)
            if kind not in cells:
                name = CELLS[reduction]
                cells[kind] = counted_cell(inputs[name], outputs[name], self.operations, *kind)
            part, through = cells[kind]
            parts.append(part)
            ends = [counting.along(a, b) for a, b in zip(paths, through, strict=True)]
            (older, newer), paths, halve = (newer, part.shape), (paths[1], counting.longest(ends)), reduction
        head = counting.pooled(newer, task.classes)
        return counting.together([*parts, head], paths[1], head.shape)

    def valid(self, arch: Arch) -> bool:
        if not self.distinct:
            return True
        pairs = [pair for name in CELLS for pair in _paired(self._inputs(arch, name))]
        return all(len({*first[0], *second[0]}) > 1 for first, second in pairs) and all(
            any(self.operations[option] != NONE for option in input_[1]) for pair in pairs for input_ in pair
        )

    def random_leaf(self, rng: Random) -> Arch:
        if not self.distinct:
            return super().random_leaf(rng)
        operations = [option for option, name in enumerate(self.operations) if name != NONE]
        slots = []
        for node in [*range(self.nodes)] * len(CELLS):
            for predecessor in rng.sample(range(2 + node), 2):
                slots += [predecessor, rng.choice(operations)]
        rest = [rng.randrange(len(names)) for names in self.slots[len(slots) :]]
        return tuple((option,) for option in slots + rest)

    def size(self) -> int:
        operations = len(self.operations) - (self.distinct and NONE in self.operations)
        ways: int = prod(p * (p - 1 if self.distinct else p) * operations**2 for p in range(2, 2 + self.nodes))
        return ways * ways * len(self.widths) * len(self.depths)

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        graph: nx.DiGraph[int] = nx.DiGraph()
        for number, name in enumerate(CELLS):
            inputs, first = self._inputs(arch, name), number * (self.nodes + 3)
            for node in range(self.nodes + 3):
                graph.add_node(first + node, cell=name)
            for node, label in ((0, "c_{k-2}"), (1, "c_{k-1}"), (self.nodes + 2, "c_{k}")):
                graph.nodes[first + node].update(label=label, terminal="output" if node > 1 else "input")
            for node, pair in enumerate(_paired(inputs), start=2):
                into: dict[int, list[str]] = {}
                for predecessors, operations in pair:
                    for predecessor in predecessors:
                        into.setdefault(predecessor, []).append("/".join(self.operations[o] for o in operations))
                for predecessor, names in into.items():
                    graph.add_edge(first + predecessor, first + node, op=" + ".join(sorted(names)))
            for node in self._outputs(inputs):
                graph.add_edge(first + node, first + self.nodes + 2, op="")
        return graph

    def text(self, arch: Arch) -> str:
        fields: dict[str, Any] = {}
        for name in CELLS:
            inputs = self._inputs(arch, name)
            fields[name] = [
                ("/".join(self.operations[o] for o in operations), p[0] if len(p) == 1 else "/".join(map(str, p)))
                for p, operations in inputs
            ]
            fields[f"{name}_concat"] = self._outputs(inputs)
        for name, alive, values in zip(("width", "depth"), self._sizes(arch), (self.widths, self.depths), strict=True):
            if alive != values[:1]:
                fields[name] = alive[0] if len(alive) == 1 else "/".join(map(str, alive))
        return f"Genotype({', '.join(f'{name}={value!r}' for name, value in fields.items())})"

    def parse(self, text: str) -> Arch:
        fields = _fields(text)
        slots: list[tuple[int, ...]] = []
        for name in CELLS:
            inputs = [self._input(text, name, place, content) for place, content in enumerate(fields.pop(name))]
            if len(inputs) != 2 * self.nodes:
                raise ValueError(
                    f"{text!r}: the {name} cell has {len(inputs)} inputs, this space's has {2 * self.nodes}"
                )
            concat, content = self._outputs(inputs), fields.pop(f"{name}_concat")
            if any(type(node) is not int for node in content) or sorted(content) != concat:
                raise ValueError(f"{text!r}: {name}_concat is {content}, in this space the cell gives {concat}")
            slots += [options for input_ in inputs for options in input_]
        for name, known in (("width", self.widths), ("depth", self.depths)):
            sizes = tuple(map(str, known))
            alive = choice(str(fields.pop(name, sizes[0])).split("/"), sizes, name)
            if len(known) > 1:
                slots.append(alive)
        if fields:
            raise ValueError(f"{text!r}: a Genotype has no {', '.join(map(str, fields))}")
        return tuple(slots)

    def notations(self, arch: Arch) -> dict[str, str]:
        (width,), (depth,) = self._sizes(arch)
        genotype = {key: value for key, value in _fields(self.text(arch)).items() if key not in ("width", "depth")}
        notation = {"genotype": genotype, "width": width, "depth": depth}
        return {"text": self.text(arch), "nds": json.dumps(notation, separators=(",", ":"))}

    def canonical(self, arch: Arch) -> Arch:
        """The inputs of a node are sorted, and the first of all orders of the nodes in which edges lead forward is
        taken. Nothing is pruned: a cell's output depends on all its nodes."""
        if not is_leaf(arch):
            return arch
        cells = [_sorted_cell(_paired([(p[0], o[0]) for p, o in self._inputs(arch, name)])) for name in CELLS]
        slots = [(value,) for cell in cells for pair in cell for input_ in pair for value in input_]
        return tuple(slots) + arch[len(CELLS) * self.cell_slots :]

    def _inputs(self, arch: Arch, name: str) -> list[Input]:
        start = CELLS.index(name) * self.cell_slots
        return list(_paired(arch[start : start + self.cell_slots]))

    def _sizes(self, arch: Arch) -> tuple[tuple[int, ...], tuple[int, ...]]:
        rest = list(arch[len(CELLS) * self.cell_slots :])
        widths, depths = (
            tuple(sizes[option] for option in rest.pop(0)) if len(sizes) > 1 else sizes
            for sizes in (self.widths, self.depths)
        )
        return widths, depths

    def _outputs(self, inputs: Sequence[Input]) -> list[int]:
        """The nodes that the cell concatenates; while inputs are open, all that could be left over."""
        inner = {p[0] for p, _ in inputs if len(p) == 1} if self.output == "loose" else set()
        return [node for node in range(2, 2 + self.nodes) if node not in inner]

    def _input(self, text: str, name: str, place: int, pair: Any) -> Input:
        predecessor_names = self.slots[2 * place]
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ValueError(f"{text!r}: an input of the {name} cell is a pair like ('sep_conv_3x3', 0), not {pair!r}")
        if place >= 2 * self.nodes:
            raise ValueError(f"{text!r}: the {name} cell of this space has {2 * self.nodes} inputs")
        predecessors = choice(str(pair[1]).split("/"), predecessor_names, f"predecessor of node {2 + place // 2}")
        return predecessors, choice(pair[0].split("/"), self.operations)


def _paired(values: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(values[::2], values[1::2], strict=True))


def _sorted_cell(nodes: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> list[tuple[tuple[int, int], ...]]:
    orders = []
    for order in permutations(range(len(nodes))):
        place = {0: 0, 1: 1} | {2 + old: 2 + new for new, old in enumerate(order)}
        cell = [tuple(sorted((place[p], operation) for p, operation in nodes[old])) for old in order]
        if all(p < 2 + new for new, pair in enumerate(cell) for p, _ in pair):
            orders.append(cell)
    return min(orders)


def _fields(text: str) -> dict[str, Any]:
    """The fields of a ``Genotype(name=value, …)`` or of an NDS record; ``range(2, 6)`` is accepted as a list."""
    content = text.strip().removeprefix("nds:")
    form = "Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=[…], reduce=[…], reduce_concat=[…])"
    try:
        if len(content) > MAX_CHARACTERS:
            raise ValueError(f"it has {len(content)} characters")
        if content.startswith("{"):
            parts = record(content, form)
            fields = dict(parts["genotype"]) | {k: parts[k] for k in ("width", "depth") if k in parts}
        else:
            with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # of texts that are refused next
                call = ast.parse(content, mode="eval").body
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Genotype"):
                raise ValueError("it is no Genotype")
            names = ("normal", "normal_concat", "reduce", "reduce_concat")
            fields = dict(zip(names, map(_literal, call.args), strict=False))
            fields |= {str(keyword.arg): _literal(keyword.value) for keyword in call.keywords}
        if any(not isinstance(fields[name], list) for cell in CELLS for name in (cell, f"{cell}_concat")):
            raise ValueError("its parts are lists")
    except (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(f"{text[:300]!r} is not of the form {form}: {error}") from None
    return fields


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        ends = [ast.literal_eval(argument) for argument in node.args]
        if any(type(end) is not int or not 0 <= end <= 100 for end in ends):
            raise ValueError(f"range of {ends}")
        return list(range(*ends))
    return ast.literal_eval(node)


class MixedInput(nn.ModuleDict):
    """One input of a node: the mean over the predecessors of the mean over the operations that are alive."""

    def __init__(self, input_: Input, operations: Sequence[str], channels: int, reduction: bool) -> None:
        super().__init__()
        self.predecessors, self.options = input_[0], len(input_[0]) * len(input_[1])
        for predecessor in input_[0]:
            stride = 2 if reduction and predecessor < 2 else 1
            self[str(predecessor)] = nn.ModuleDict(
                {
                    operations[o]: Zero(stride)
                    if operations[o] == NONE
                    else OPERATIONS[operations[o]](channels, stride)
                    for o in input_[1]
                }
            )

    def forward(self, values: Sequence[Tensor]) -> Tensor:
        terms = [operation(values[p]) for p in self.predecessors for operation in self[str(p)].children()]
        total: Tensor = reduce(add, terms)
        return total if self.options == 1 else total / self.options


class GenotypeCell(nn.Module):
    """A cell: the two cells before are brought to its width, every node sums its two inputs, some are concatenated."""

    def __init__(
        self,
        inputs: Sequence[Input],
        outputs: Collection[int],
        operations: Sequence[str],
        before: tuple[int, int],
        channels: int,
        reduction: bool,
        halve: bool,
    ) -> None:
        super().__init__()
        self.outputs = sorted(outputs)
        older = FactorizedReduce(before[0], channels) if halve else relu_conv_bn(before[0], channels, 1)
        self.preprocess = nn.ModuleList([older, relu_conv_bn(before[1], channels, 1)])
        self.nodes = nn.ModuleList(
            nn.ModuleList(MixedInput(input_, operations, channels, reduction) for input_ in pair)
            for pair in _paired(inputs)
        )

    def forward(self, older: Tensor, newer: Tensor) -> Tensor:
        values = [self.preprocess[0](older), self.preprocess[1](newer)]
        for node in self.nodes:
            first, second = node.children()
            values.append(first(values) + second(values))
        return torch.cat([values[node] for node in self.outputs], dim=1)


def counted_cell(
    inputs: Sequence[Input],
    outputs: Collection[int],
    operations: Sequence[str],
    older: Shape,
    newer: Shape,
    channels: int,
    reduction: bool,
    halve: bool,
) -> tuple[Part, tuple[int | None, int | None]]:
    """`GenotypeCell`, counted, and the paths through it from the older and from the newer cell."""
    first = counted_reduction(older, channels) if halve else counting.convolution(older, channels, 1)
    second = counting.convolution(newer, channels, 1)
    shapes, parts = [first.shape, second.shape], [first, second]
    paths: list[tuple[int | None, int | None]] = [(first.path, None), (None, second.path)]  # from either
    for pair in _paired(inputs):
        into: list[tuple[int, Part]] = []
        for predecessors, options in pair:
            for p in predecessors:
                stride = 2 if reduction and p < 2 else 1
                for name in (operations[option] for option in options):
                    part = (
                        counting.zeros(shapes[p], stride)
                        if name == NONE
                        else counted(OPERATIONS[name], shapes[p], stride)
                    )
                    into.append((p, part))
        ends = [counting.longest(counting.along(paths[p][side], part.path) for p, part in into) for side in (0, 1)]
        paths.append((ends[0], ends[1]))
        shapes.append(counting.only(part.shape for _, part in into))
        parts += [part for _, part in into]
    size = counting.only(shapes[node]._replace(channels=0) for node in outputs)
    shape = size._replace(channels=sum(shapes[node].channels for node in outputs))
    through = tuple(counting.longest(paths[node][side] for node in outputs) for side in (0, 1))
    return counting.together(parts, None, shape), (through[0], through[1])


class Network(nn.Module):
    """DARTS's network for CIFAR without its auxiliary head: a stem of three times the width, the cells, a linear layer.

    The cells after a third and after two thirds of the depth halve the resolution and double the width.
    """

    def __init__(
        self,
        inputs: Mapping[str, Sequence[Input]],
        outputs: Mapping[str, Collection[int]],
        operations: Sequence[str],
        width: int,
        depth: int,
        task: Task,
    ) -> None:
        super().__init__()
        stem = nn.Conv2d(task.channels, 3 * width, 3, padding=1, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(3 * width))
        before, halve = (3 * width, 3 * width), False
        self.cells = nn.ModuleList()
        for number in range(depth):
            reduction = number in (depth // 3, 2 * depth // 3)
            width *= 1 + reduction
            name = CELLS[reduction]
            cell = GenotypeCell(inputs[name], outputs[name], operations, before, width, reduction, halve)
            self.cells.append(cell)
            before, halve = (before[1], len(outputs[name]) * width), reduction
        self.head = named(pooled(before[1], task.classes))

    def forward(self, x: Tensor) -> Tensor:
        older = newer = self.stem(x)
        for cell in self.cells:
            older, newer = newer, cell(older, newer)
        return self.head(newer)  # type: ignore[no-any-return]
