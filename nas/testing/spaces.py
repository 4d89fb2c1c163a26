"""The checks of spaces; see `nas.testing`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from random import Random
from typing import Any

import networkx as nx
import torch

from nas import plugins
from nas.graph import pruned, terminals
from nas.probe import Probe
from nas.scoring.measurer import build
from nas.space import SPACES, Arch, Space, Task, is_leaf


def space_notation_round_trips(name: str, **options: Any) -> None:
    space, rng = _space(name, options), Random(0)
    for arch in [space.sample(rng) for _ in range(50)] + ([space.full()] if space.supernet else []):
        assert space.parse(space.text(arch)) == arch, f"{space.text(arch)} is read as another architecture"


def space_notations_read_back(name: str, **options: Any) -> None:
    """Every notation but the first is read under its name, or refused with a reason that names it."""
    space, rng = _space(name, options), Random(0)
    for arch in [space.sample(rng) for _ in range(10)]:
        notations = space.notations(arch)
        first = next(iter(notations.values()))
        assert first == space.text(arch), f"the first notation of {space.text(arch)} is {first}"
        for notation, text in list(notations.items())[1:]:
            try:
                read = space.parse(f"{notation}:{text}")
            except ValueError as error:
                if notation not in str(error):
                    raise AssertionError(f"{notation}:{text} is refused without a reason") from error
            else:
                assert read == arch, f"{notation}:{text} is read as {space.text(read)}"


def space_refuses_what_it_cannot_read(name: str, **options: Any) -> None:
    space = _space(name, options)
    text = space.text(space.sample(Random(0)))
    for broken in ("", "?", text[:-2], text + text, text.replace(text[len(text) // 2], "nas")):
        try:
            space.parse(broken)
        except ValueError:
            continue
        raise AssertionError(f"{broken!r} is read as an architecture")


def space_mutation_changes_one_slot(name: str, **options: Any) -> None:
    """And those that it leaves unused, where the space has such slots; `Space.settled` says so."""
    space, rng = _space(name, options), Random(0)
    for arch in [space.sample(rng) for _ in range(20)]:
        mutant = space.mutate(arch, rng)
        assert is_leaf(mutant), f"a mutant leaves slots open: {mutant}"
        assert space.valid(mutant), f"a mutant is not valid: {mutant}"
        changed = [slot for slot, pair in enumerate(zip(arch, mutant, strict=True)) if pair[0] != pair[1]]
        alone = [arch[:slot] + (mutant[slot],) + arch[slot + 1 :] for slot in changed]
        assert mutant in map(space.settled, alone), f"a mutation of {space.text(arch)} changes {len(changed)} slots"
        assert mutant in space.neighbours(arch), "a mutant is a neighbour"
        assert len(changed) > 1 or arch in space.neighbours(mutant), "being a neighbour is mutual"


def space_crossover_takes_slots_from_its_parents(name: str, **options: Any) -> None:
    space, rng = _space(name, options), Random(0)
    for _ in range(20):
        first, second = space.sample(rng), space.sample(rng)
        child = space.crossover(first, second, rng)
        assert space.valid(child), f"a child is not valid: {child}"
        own = all(slot in pair for slot, pair in zip(child, zip(first, second, strict=True), strict=True))
        assert own, f"{child} has slots that neither parent has"


def space_lattice_leads_from_the_supernet_to_a_leaf(name: str, **options: Any) -> None:
    """Below every valid architecture there is a valid leaf, and everything above a valid leaf is valid; in a space that
    is no lattice, what is drawn is valid."""
    space, rng = _space(name, options), Random(0)
    if not space.lattice:
        assert all(space.valid(space.random_leaf(rng)) for _ in range(20)), "a random leaf is not valid"
        return
    arch = space.full()
    while not is_leaf(arch):
        cuts = space.cuts(arch)
        assert cuts, f"{space.text(arch)} is valid, and nothing below it"
        slot, option, below = rng.choice(cuts)
        expected = arch[:slot] + (tuple(o for o in arch[slot] if o != option),) + arch[slot + 1 :]
        assert below == expected, f"the cut of {option} in slot {slot} of {arch} gives {below}"
        arch = below
    assert space.valid(arch), f"{space.text(arch)}, to which cuts lead, is not valid"
    for leaf in [space.sample(rng) for _ in range(20)]:
        above = tuple(rng.choice((own, every)) for own, every in zip(leaf, space.full(), strict=True))
        assert space.valid(above), f"{above} is not valid, and {leaf} below it is"


def space_counts_what_it_enumerates(name: str, **options: Any) -> None:
    space = _space(name, options)
    if not space.lattice:
        assert space.size() >= len({space.canonical(space.sample(Random(seed))) for seed in range(20)}), "it has more"
        return
    if space.size() <= 100_000:
        archs = list(space)
        assert len(archs) == len(space), f"{len(archs)} architectures are enumerated, the size is {len(space)}"
    else:
        archs = list(islice(space, 250))
        assert len(archs) == 250, f"{len(archs)} architectures are enumerated, the size is {space.size()}"
    assert len(archs) == len(set(archs)), "an architecture is enumerated twice"
    assert all(is_leaf(arch) for arch in archs), "an open architecture is enumerated"


def space_builds_networks_for_the_task(name: str, **options: Any) -> None:
    """Shapes fit the task, and in some architecture the gradients reach the first layer."""
    space, rng, reached = _space(name, options), Random(0), False
    for task, full in zip(_tasks(space), ([], [space.full()] if space.supernet else []), strict=True):
        inputs = _inputs(task)
        for arch in [space.sample(rng) for _ in range(4)] + full:
            net = build(space, arch, task)
            logits = net(inputs)
            assert logits.shape == (*task.labels(2).shape, task.classes), (
                f"{space.text(arch)} gives {list(logits.shape)}"
            )
            logits.square().sum().backward()
            gradient = next(net.parameters()).grad  # of tokens their embedding's
            reached |= gradient is not None and bool(gradient.abs().sum() > 0)
    assert reached, "no gradient reaches the first layer of any of the networks"


def space_builds_the_same_network_for_the_same_seed(name: str, **options: Any) -> None:
    space, rng = _space(name, options), Random(0)
    for arch in [space.sample(rng) for _ in range(3)]:
        first, again, other = (build(space, arch, _tasks(space)[0], seed).state_dict() for seed in (3, 3, 4))
        others = [key for key, tensor in first.items() if not torch.equal(tensor, again[key])]
        assert not others, f"{space.text(arch)} has other weights the second time: {', '.join(others)}"
        assert any(not torch.equal(tensor, other[key]) for key, tensor in first.items()), "the seed changes nothing"


def space_thin_copy_takes_the_same_architectures(name: str, **options: Any) -> None:
    """The thin copy, where there is one, takes images of one channel and 3 x 3 pixels."""
    space, rng = _space(name, options), Random(0)
    thin = space.thin()
    if thin is None:
        return
    assert thin.slots == space.slots, "the thin copy has other slots"
    for arch in [space.sample(rng) for _ in range(5)] + ([space.full()] if space.supernet else []):
        logits = build(thin, arch, Task(3, 1, 3))(torch.randn(2, 1, 3, 3))
        assert logits.shape == (2, 3), f"the thin copy of {space.text(arch)} gives {list(logits.shape)}"


def space_canonical_form_stands_for_the_same_network(name: str, **options: Any) -> None:
    """A canonical form is its own, has as many parameters, and the living parts of the cells are isomorphic."""
    space = _space(name, options)
    for arch in [space.sample(Random(seed)) for seed in range(20)]:
        canonical = space.canonical(arch)
        assert space.canonical(canonical) == canonical, f"{canonical} is canonical, and not its own canonical form"
        counts = _params(space, arch), _params(space, canonical)
        assert counts[0] == counts[1], f"{space.text(arch)} has {counts[0]} parameters, its canonical form {counts[1]}"
        cells = [space.graph(a) for a in (arch, canonical)]
        living = [pruned(cell) for cell in cells if cell is not None]
        assert not living or same_graph(*living), f"the canonical form of {space.text(arch)} is another cell"


def space_canonical_form_is_one_for_isomorphic_cells(name: str, **options: Any) -> None:
    """Among 150 random cells, those that differ only in the names of their nodes share a canonical form."""
    space, rng = _space(name, options), Random(0)
    archs = list(dict.fromkeys(space.sample(rng) for _ in range(150)))
    cells_by_labels: dict[str, list[tuple[Arch, nx.DiGraph[int]]]] = {}
    for arch in archs:
        cell = space.graph(arch)
        if cell is None:
            return
        alike = cells_by_labels.setdefault(_labels(cell), [])
        for other, graph in alike:
            if same_graph(cell, graph):
                same = space.canonical(arch) == space.canonical(other)
                assert same, f"{space.text(arch)} and {space.text(other)} are isomorphic, their canonical forms differ"
        alike.append((arch, cell))


def _tasks(space: Space) -> list[Task]:
    """Two tasks of what the space's networks predict."""
    if "classes" in space.predicts:
        return [Task(5, 3, 16), Task(3, 1, 8)]
    masked = space.predicts[0] == "masked"
    return [Task(classes, length=length, kind="tokens", masked=masked) for classes, length in ((11, 6), (7, 9))]


def _inputs(task: Task) -> torch.Tensor:
    """Two samples at random."""
    if task.kind == "tokens":
        return torch.randint(task.classes, (2, task.length))
    return torch.randn(2, *task.shape)


def _params(space: Space, arch: Arch) -> int:
    """Counted on the network itself, not by the space, but without weights."""
    with torch.device("meta"):
        network = build(space, arch, _tasks(space)[1])
    return Probe(network, torch.empty(0), torch.empty(0)).params


SPACE_CHECKS: Sequence[Callable[..., None]] = (
    space_notation_round_trips,
    space_notations_read_back,
    space_refuses_what_it_cannot_read,
    space_mutation_changes_one_slot,
    space_crossover_takes_slots_from_its_parents,
    space_lattice_leads_from_the_supernet_to_a_leaf,
    space_counts_what_it_enumerates,
    space_builds_networks_for_the_task,
    space_builds_the_same_network_for_the_same_seed,
    space_thin_copy_takes_the_same_architectures,
    space_canonical_form_stands_for_the_same_network,
    space_canonical_form_is_one_for_isomorphic_cells,
)


def _space(name: str, options: dict[str, Any]) -> Space:
    plugins.load()
    return SPACES[name](**options)


def same_graph(first: nx.DiGraph[int], second: nx.DiGraph[int]) -> bool:
    """Whether two cells are isomorphic with their operations, input to input and output to output; slow and independent
    of the canonical form."""
    first, second = first.copy(), second.copy()
    for cell in (first, second):
        for kind in ("input", "output") if len(cell) else ():
            for node in terminals(cell, kind):
                cell.nodes[node]["terminal"] = kind
    return nx.is_isomorphic(first, second, node_match=lambda a, b: a == b, edge_match=lambda a, b: a == b)


def _labels(graph: nx.DiGraph[int]) -> str:
    """The attributes of the nodes and the edges, sorted, which isomorphic graphs share."""
    every = [*(node for _, node in graph.nodes(data=True)), *(edge for *_, edge in graph.edges(data=True))]
    return str(sorted(str(sorted(attributes.items())) for attributes in every))
