"""Recurrent cells as graphs: what they compute, which rules they keep, and when two are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import permutations
from typing import Any, NamedTuple

LINEAR, BLEND, PRODUCT, SUM = "linear", "blend", "elementwise_prod", "elementwise_sum"
ACTIVATIONS = ("activation_tanh", "activation_sigm", "activation_leaky_relu")
ABSENT = "absent"
OPERATIONS = (ABSENT, LINEAR, BLEND, PRODUCT, SUM, *ACTIVATIONS)
INPUTS = {LINEAR: (2, 3), BLEND: (3, 3), PRODUCT: (2, 2), SUM: (2, 2)} | dict.fromkeys(ACTIVATIONS, (1, 1))
"""The fewest and the most inputs of each operation."""
COMMUTATIVE = (LINEAR, PRODUCT, SUM)
X = "x"
"""What a cell is given, beside its states."""


class Node(NamedTuple):
    """A node of a cell: its operation, and what it reads: ``x``, ``h_prev_0``, … or the number of an earlier node."""

    op: str
    inputs: tuple[str | int, ...]


class Cell(NamedTuple):
    """A cell.

    Attributes:
        nodes: by their positions, in which every node comes after what it reads.
        states: the positions of the new states, of which the first is the output.
    """

    nodes: Mapping[int, Node]
    states: tuple[int, ...]

    @property
    def previous(self) -> tuple[str, ...]:
        return tuple(f"h_prev_{number}" for number in range(len(self.states)))

    def living(self) -> Cell:
        """Without the nodes of which no new state is made."""
        reached: set[int] = set()
        waiting = [state for state in self.states if state in self.nodes]
        while waiting:
            position = waiting.pop()
            if position not in reached:
                reached.add(position)
                waiting += [one for one in self.nodes[position].inputs if isinstance(one, int) and one in self.nodes]
        return Cell({position: node for position, node in self.nodes.items() if position in reached}, self.states)

    def can_run(self) -> bool:
        """Whether each node has as many inputs as its operation takes, which are there, and ``x`` feeds linear layers,
        one at least."""
        return (
            len(set(self.states)) == len(self.states)
            and all(state in self.nodes for state in self.states)
            and any(node.op == LINEAR and X in node.inputs for node in self.nodes.values())
            and all(self._fits(node) for node in self.nodes.values())
        )

    def _fits(self, node: Node) -> bool:
        fewest, most = INPUTS[node.op]
        exist = all(one in self.nodes if isinstance(one, int) else one in (X, *self.previous) for one in node.inputs)
        distinct = len(set(node.inputs)) == len(node.inputs)
        return exist and distinct and fewest <= len(node.inputs) <= most and (node.op == LINEAR or X not in node.inputs)

    def keeps_rules(self) -> bool:
        """Whether the published generator could have made it; the hand-made LSTM and GRU break its rules."""
        if not self.can_run():
            return False
        ops = {position: node.op for position, node in self.nodes.items()}
        activated = [node.inputs[0] for node in self.nodes.values() if node.op in ACTIVATIONS]
        read = {one for node in self.nodes.values() for one in node.inputs}
        linear = [one for node in self.nodes.values() if node.op == LINEAR for one in node.inputs]
        return (
            all(ops[one] in ACTIVATIONS for one in linear if isinstance(one, int))
            and all(isinstance(one, int) and ops[one] == LINEAR for one in activated)
            and len(set(activated)) == len(activated)
            and read >= {X, *self.previous}
            and not any(str(one).startswith("h_prev") for state in self.states for one in self.nodes[state].inputs)
            and len(self.living().nodes) == len(self.nodes)
        )

    def packed(self) -> Cell:
        """Its nodes at the first positions, in their order."""
        return self.ordered(sorted(self.nodes))

    def ordered(self, order: Iterable[int]) -> Cell:
        """Its nodes at the first positions in this order."""
        place: dict[str | int, int] = {position: number for number, position in enumerate(order)}
        nodes = {}
        for position, number in place.items():
            node = self.nodes[int(position)]
            nodes[number] = Node(node.op, tuple(place.get(one, one) for one in node.inputs))
        return Cell(nodes, tuple(place[state] for state in self.states))

    def sorted(self) -> Cell:
        """With the inputs in order where that says nothing."""

        def key(one: str | int) -> tuple[bool, str | int]:
            return isinstance(one, int), one

        nodes = {
            position: Node(node.op, tuple(sorted(node.inputs, key=key))) if node.op in COMMUTATIVE else node
            for position, node in self.nodes.items()
        }
        return Cell(nodes, self.states)

    def with_states(self, order: tuple[int, ...]) -> Cell:
        """With its states in this order."""
        names: dict[str | int, str | int] = {f"h_prev_{old}": f"h_prev_{new}" for new, old in enumerate(order)}
        nodes = {p: Node(node.op, tuple(names.get(one, one) for one in node.inputs)) for p, node in self.nodes.items()}
        return Cell(nodes, tuple(self.states[old] for old in order))

    def canonical(self) -> Cell:
        """One of all that are the same network: with their inputs in another order where that says nothing, their nodes
        at other positions, or their states but the output in another order."""
        orders = [(0, *rest) for rest in permutations(range(1, len(self.states)))]
        return min((_least(self.with_states(order)) for order in orders), key=_form)


Form = tuple[Any, ...]


def _form(cell: Cell) -> Form:
    """What tells cells in which everything has its place apart, and orders them."""
    return tuple((OPERATIONS.index(node.op), tuple(map(str, node.inputs))) for node in cell.nodes.values()), cell.states


def _colours(cell: Cell) -> dict[int, int]:
    """A number for each node that isomorphic cells agree on: what it computes of what, and what is computed of it, near
    and far."""
    readers: dict[int, list[tuple[int, int]]] = {position: [] for position in cell.nodes}
    for position, node in cell.nodes.items():
        for place, one in enumerate(node.inputs):
            if isinstance(one, int):
                readers[one].append((position, 0 if node.op in COMMUTATIVE else place))
    marks: dict[int, Any] = {
        p: (OPERATIONS.index(node.op), cell.states.index(p) if p in cell.states else -1)
        for p, node in cell.nodes.items()
    }
    colours = _numbered(marks)
    while True:
        marks = {}
        for position, node in cell.nodes.items():
            inputs = [("", colours[one]) if isinstance(one, int) else (one, -1) for one in node.inputs]
            own = tuple(sorted(inputs) if node.op in COMMUTATIVE else inputs)
            used = tuple(sorted((colours[reader], place) for reader, place in readers[position]))
            marks[position] = (colours[position], own, used)
        finer = _numbered(marks)
        if len(set(finer.values())) == len(set(colours.values())):
            return finer
        colours = finer


def _numbered(marks: Mapping[int, Any]) -> dict[int, int]:
    numbers = {mark: number for number, mark in enumerate(sorted(set(marks.values())))}
    return {position: numbers[mark] for position, mark in marks.items()}


def _least(cell: Cell) -> Cell:
    """The cell with its nodes in an order that isomorphic cells agree on: of those that come after what they read the
    one of the least colour, then of the earliest inputs. Where several are alike, each is tried, unless its first way
    to the end gives what that of another has given: then the two are images of each other."""
    colours = _colours(cell)

    def ties(order: list[int]) -> list[int]:
        place = {position: number for number, position in enumerate(order)}
        best: tuple[Any, list[int]] | None = None
        for position, node in cell.nodes.items():
            if position in place or not all(one in place for one in node.inputs if isinstance(one, int)):
                continue
            inputs = [(1, place[one]) if isinstance(one, int) else (0, one) for one in node.inputs]
            key = (colours[position], tuple(sorted(inputs, key=str) if node.op in COMMUTATIVE else inputs))
            if best is None or str(key) < str(best[0]):
                best = key, [position]
            elif key == best[0]:
                best[1].append(position)
        return best[1] if best else []

    def first(order: list[int]) -> Cell:
        while alike := ties(order):
            order = [*order, alike[0]]
        return cell.ordered(order).sorted()

    def search(order: list[int]) -> Cell:
        alike = ties(order)
        if not alike:
            return cell.ordered(order).sorted()
        results, seen = [], set()
        for position in alike:
            if len(alike) == 1 or (form := _form(first([*order, position]))) not in seen:
                if len(alike) > 1:
                    seen.add(form)
                results.append(search([*order, position]))
        return min(results, key=_form)

    return search([])
