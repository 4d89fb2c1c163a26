"""NAS-Bench-NLP (Klyuchnikov et al. 2020, arXiv:2006.07116): language models of recurrent cells that are graphs."""

from __future__ import annotations

import json
import re
from functools import reduce
from itertools import pairwise, takewhile
from math import prod
from random import Random
from typing import Annotated, Any, final

import networkx as nx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.errors import unknown
from nas.registry import Range
from nas.space import Arch, Space, Task, is_leaf, space
from spaces._json import record
from spaces._recurrent import (
    ACTIVATIONS,
    BLEND,
    INPUTS,
    LINEAR,
    OPERATIONS,
    PRODUCT,
    SUM,
    Cell,
    Node,
    X,
)
from spaces._tokens import check_tokens

STATES, MOST_INPUTS = 3, 3
NONE = "-"
BASE = (NONE, X, *(f"h_prev_{number}" for number in range(STATES)))
"""What an input may be beside an earlier node."""
FURTHER = (7, 14, 21)
"""Nodes that the published generator draws beside the states."""
FORM = '{"f": {"op": "linear", "input": ["x", "h_prev_0"]}, "h_new_0": {"op": "activation_tanh", "input": ["f"]}}'
STATE = re.compile(r"h_new_([0-9]{1,9})")
ATTEMPTS = 10_000


class Recurrent(nn.Module):
    """One layer: a cell along the tokens, [samples, tokens, inputs] -> [samples, tokens, outputs], from states 0.

    A linear node is Σ W_j a_j and one bias, which its first matrix has.
    """

    def __init__(self, cell: Cell, inputs: int, outputs: int) -> None:
        super().__init__()
        self.cell = cell
        self.parts = nn.ModuleDict()
        for position, node in cell.nodes.items():
            for number, one in enumerate(node.inputs if node.op == LINEAR else ()):
                width = inputs if one == X else outputs
                self.parts[f"{position}-{number}"] = nn.Linear(width, outputs, bias=number == 0)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(outputs**-0.5), outputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        of_input = {name: self.parts[name](x) for name in self.parts if self._reads(name) == X}
        start = torch.zeros_like(next(iter(of_input.values()))[:, 0])
        states, outputs = [start] * len(self.cell.states), []
        for token in range(x.shape[1]):
            values: dict[str | int, Tensor] = dict(zip(self.cell.previous, states, strict=True))
            for position, node in self.cell.nodes.items():
                if node.op == LINEAR:
                    names = [f"{position}-{number}" for number in range(len(node.inputs))]
                    terms = (
                        of_input[name][:, token] if name in of_input else self.parts[name](values[self._reads(name)])
                        for name in names
                    )
                    values[position] = reduce(torch.add, terms)
                else:
                    values[position] = apply(node.op, [values[one] for one in node.inputs])
            states = [values[state] for state in self.cell.states]
            outputs.append(states[0])
        return torch.stack(outputs, 1)

    def _reads(self, name: str) -> str | int:
        position, _, number = name.partition("-")
        return self.cell.nodes[int(position)].inputs[int(number)]


def apply(op: str, a: list[Tensor]) -> Tensor:
    """What an operation without weights makes of its inputs."""
    if op == BLEND:
        return a[0] * a[1] + (1 - a[0]) * a[2]
    if op == PRODUCT:
        return a[0] * a[1]
    if op == SUM:
        return a[0] + a[1]
    if op == "activation_leaky_relu":
        return F.leaky_relu(a[0])
    return torch.tanh(a[0]) if op == "activation_tanh" else torch.sigmoid(a[0])


class LanguageModel(nn.Module):
    """Tokens to the logits of the next ones: an embedding, layers, and the products with the embedding, with a bias."""

    def __init__(self, cell: Cell, vocabulary: int, size: int, width: int, layers: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, size)
        widths = [size, *[width] * (layers - 1), size]
        self.layers = nn.Sequential(*(Recurrent(cell, i, o) for i, o in pairwise(widths)))
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        nn.init.uniform_(self.words.weight, -0.1, 0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layers(self.words(tokens)) @ self.words.weight.T + self.bias  # type: ignore[no-any-return]


@final
class NlpSpace(Space):
    """Slots for the number of states, for the operation and three inputs at each position, and for the positions of the
    new states. What a leaf does not use holds its first option; positions may be empty."""

    predicts = ("next", "masked")
    lattice = False

    def __init__(self, nodes: int, embedding: int, width: int, layers: int) -> None:
        self.nodes, self.embedding, self.width, self.layers = nodes, embedding, width, layers
        names = tuple(f"node_{number}" for number in range(nodes))
        slots: list[tuple[str, ...]] = [tuple(str(number) for number in range(1, STATES + 1))]
        for position in range(nodes):
            slots += [OPERATIONS, *[BASE + names[:position]] * MOST_INPUTS]
        self.slots = (*slots, *[names] * STATES)

    def build(self, arch: Arch, task: Task) -> nn.Module:
        check_tokens(task)
        return LanguageModel(self.cell(arch).packed(), task.classes, self.embedding, self.width, self.layers)

    def cell(self, arch: Arch) -> Cell:
        """The cell of a leaf, as its slots say."""
        nodes = {}
        for position, (op,) in enumerate(arch[1 : 1 + 4 * self.nodes : 4]):
            if op:
                most = INPUTS[OPERATIONS[op]][1]
                sources = takewhile(bool, (option for (option,) in arch[2 + 4 * position : 2 + 4 * position + most]))
                inputs = (option - len(BASE) if option >= len(BASE) else BASE[option] for option in sources)
                nodes[position] = Node(OPERATIONS[op], tuple(inputs))
        states = arch[1 + self.nodes * 4 :][: arch[0][0] + 1]
        return Cell(nodes, tuple(position for (position,) in states))

    def arch(self, cell: Cell) -> Arch:
        """The leaf of a cell whose nodes lie at positions of the space."""
        slots: list[tuple[int, ...]] = [(0,)] * len(self.slots)
        slots[0] = (len(cell.states) - 1,)
        for position, node in cell.nodes.items():
            slots[1 + 4 * position] = (OPERATIONS.index(node.op),)
            for slot, one in enumerate(node.inputs, start=2 + 4 * position):
                slots[slot] = (one + len(BASE) if isinstance(one, int) else BASE.index(one),)
        for slot, position in enumerate(cell.states, start=1 + 4 * self.nodes):
            slots[slot] = (position,)
        return tuple(slots)

    def valid(self, arch: Arch) -> bool:
        """Of an open architecture nobody knows what lies below it: it is not."""
        return is_leaf(arch) and self.settled(arch) == arch and self.cell(arch).keeps_rules()

    def settled(self, arch: Arch) -> Arch:
        return self.arch(self.cell(arch)) if is_leaf(arch) else arch

    def canonical(self, arch: Arch) -> Arch:
        return self.arch(self.cell(arch).canonical())

    def size(self) -> int:
        """No more than this: as many as there are ways to choose from all slots."""
        return prod(map(len, self.slots))

    def random_leaf(self, rng: Random) -> Arch:
        """As the published generator draws: nodes, then which of them are new states; what these do not need goes, and
        what breaks the rules is drawn again."""
        for _ in range(ATTEMPTS):
            cell = self._drawn(rng).living()
            if cell.keeps_rules():
                return self.arch(cell.packed())
        raise ValueError(f"no cell of {self.nodes} nodes was found that keeps the rules in {ATTEMPTS} draws")

    def _drawn(self, rng: Random) -> Cell:
        previous = [f"h_prev_{number}" for number in range(rng.randint(1, STATES))]
        most = self.nodes - 1
        wanted = rng.choice([n + len(previous) for n in FURTHER if n + STATES <= most] or range(min(3, most), most + 1))
        nodes: dict[int, Node] = {}
        activations: list[str | int] = []
        while len(nodes) < wanted:
            op = rng.choices((LINEAR, BLEND, PRODUCT, SUM), (3, 1, 1, 1))[0]
            candidates: list[str | int] = [X, *previous, *activations] if op == LINEAR else [*previous, *nodes]
            count = rng.choices((2, 3), (4, 1))[0] if op == LINEAR else INPUTS[op][0]
            if len(candidates) < count:
                continue
            nodes[len(nodes)] = Node(op, tuple(rng.sample(candidates, count)))
            if op == LINEAR:
                nodes[len(nodes)] = Node(rng.choice(ACTIVATIONS), (len(nodes) - 1,))
                activations.append(len(nodes) - 1)
        return Cell(nodes, tuple(rng.sample(range(len(nodes)), len(previous))))

    def graph(self, arch: Arch) -> nx.DiGraph[int]:
        """The cell. States but the first are interchangeable, so they have no numbers: what each becomes is said by an
        edge."""
        cell = self.cell(arch).packed()
        sources = [X, *cell.previous]
        every: list[str | int] = [*sources, *cell.nodes]
        number = {one: place for place, one in enumerate(every)}
        graph: nx.DiGraph[int] = nx.DiGraph()
        for source in sources:
            graph.add_node(number[source], label="h_prev" if source in sources[2:] else source, terminal="input")
        for position, node in cell.nodes.items():
            graph.add_node(number[position], op=node.op)
            for place, one in enumerate(node.inputs):
                role = {"op": ("gate", "where 1", "where 0")[place]} if node.op == BLEND else {}
                graph.add_edge(number[one], number[position], **role)
        for state, made in enumerate(cell.states):
            end = len(number) + state
            graph.add_node(end, label="h_new" if state else "h_new_0", terminal="output")
            graph.add_edge(number[made], end)
            graph.add_edge(number[f"h_prev_{state}"], end, op="next step")
        return graph

    def text(self, arch: Arch) -> str:
        if not is_leaf(arch):
            return super().text(arch)
        cell = self.cell(arch).packed()
        names: dict[str | int, str] = {place: f"node_{place}" for place in cell.nodes}
        names.update({place: f"h_new_{number}" for number, place in enumerate(cell.states)})
        return json.dumps({
            names[place]: {"op": node.op, "input": [names.get(one, str(one)) for one in node.inputs]}
            for place, node in cell.nodes.items()
        })  # fmt: skip

    def parse(self, text: str) -> Arch:
        recipe = record(text, FORM)
        nodes = {name: _node(name, value) for name, value in recipe.items()}
        states = sorted(int(match[1]) for name in nodes if (match := STATE.fullmatch(name)))
        if states != list(range(len(states))) or not 1 <= len(states) <= STATES:
            raise ValueError(f"{text[:200]!r} has no new states h_new_0 to at most h_new_{STATES - 1}, like {FORM}")
        if len(nodes) > self.nodes:
            raise ValueError(f"{text[:200]!r} has {len(nodes)} nodes, and a cell at most {self.nodes}")
        sources = {X, *(f"h_prev_{number}" for number in states)}
        for name, (_, inputs) in nodes.items():
            for one in inputs:
                if one not in sources and one not in nodes:
                    raise unknown(f"input of {name}", one, [*sources, *nodes])
        order: dict[str, int] = {}
        while len(order) < len(nodes):
            left = {name: read for name, (_, read) in nodes.items() if name not in order}
            ready = [name for name, read in left.items() if sources.union(order).issuperset(read)]
            if not ready:
                raise ValueError(f"{text[:200]!r} has nodes that wait for each other")
            order[ready[0]] = len(order)
        cell = Cell(
            {order[n]: Node(nodes[n][0], tuple(order.get(one, one) for one in nodes[n][1])) for n in order},
            tuple(order[f"h_new_{number}"] for number in states),
        )
        _check(text, cell)
        return self.arch(cell)


def _node(name: str, value: Any) -> tuple[str, list[str]]:
    """The operation and the inputs of a node, as they are written."""
    if not isinstance(value, dict) or value.keys() != {"op", "input"} or not isinstance(value["input"], list):
        raise ValueError(f"node {name[:50]!r} is an object with op and input, like those of {FORM}")
    if name == X or name.startswith("h_prev_"):
        raise ValueError(f"a node cannot be called {name[:50]!r}, as what cells are given is")
    if not isinstance(value["op"], str) or value["op"] not in INPUTS:
        raise unknown(f"operation of {name[:50]}", str(value["op"])[:50], INPUTS)
    if not all(isinstance(one, str) for one in value["input"]):
        raise ValueError(f"the inputs of {name[:50]!r} are names of nodes")
    return value["op"], value["input"]


def _check(text: str, cell: Cell) -> None:
    for node in cell.nodes.values():
        fewest, most = INPUTS[node.op]
        if not fewest <= len(node.inputs) <= most or len(set(node.inputs)) < len(node.inputs):
            many = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise ValueError(f"{text[:200]!r}: {node.op} takes {many} different inputs, not {len(node.inputs)}")
        if X in node.inputs and node.op != LINEAR:
            raise ValueError(f"{text[:200]!r}: {node.op} cannot read x, whose width is another one")
    if not cell.can_run():
        raise ValueError(f"{text[:200]!r}: no linear node reads x")
    if len(cell.living().nodes) < len(cell.nodes):
        raise ValueError(f"{text[:200]!r} has nodes of which no new state is made")


@space("nasbench_nlp")
def nasbench_nlp(
    *,
    nodes: Annotated[int, Range(4, 100)] = 25,
    embedding: Annotated[int, Range(1)] = 400,
    width: Annotated[int, Range(1)] = 600,
    layers: Annotated[int, Range(1)] = 3,
) -> NlpSpace:
    """Recurrent cells as graphs, written as the benchmark's recipes in JSON: no more than 10^110.

    A cell has one to three states and at most 25 nodes; drawn as the published generator draws. Mutation exchanges
    operations, inputs and the nodes that are new states. Language models of three layers predict the next token.
    """
    return NlpSpace(nodes, embedding, width, layers)
