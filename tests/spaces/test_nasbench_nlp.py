"""The recurrent cells: parameters as published, values by a slow reference, and when two are the same."""

import json
from itertools import combinations, islice
from random import Random

import numpy as np
import pandas as pd
import pytest
import torch
from hostile import quick
from hypothesis import given
from hypothesis import strategies as st
from references import blocks_of, relative_error
from sequences import one_sequence_at_a_time, sequences
from torch.nn import functional as F

from nas.data.table import Table
from nas.errors import UsageError
from nas.passes import per_sample
from nas.scoring.limits import Limited, parse_limit
from nas.scoring.measurer import build, counted
from nas.space import SPACES, Task
from nas.testing.spaces import _labels, same_graph
from spaces._recurrent import Cell, Node

TASK = Task(13, length=9, kind="tokens")
RNN = '{"f": {"op": "linear", "input": ["x", "h_prev_0"]}, "h_new_0": {"op": "activation_tanh", "input": ["f"]}}'
LSTM = json.dumps({
    **{gate: {"op": "linear", "input": ["x", "h_prev_0"]} for gate in ("i", "f", "j", "o")},
    **{f"{gate}_act": {"op": "activation_sigm", "input": [gate]} for gate in ("i", "f", "o")},
    "j_act": {"op": "activation_tanh", "input": ["j"]},
    "h_new_1_part1": {"op": "elementwise_prod", "input": ["f_act", "h_prev_1"]},
    "h_new_1_part2": {"op": "elementwise_prod", "input": ["i_act", "j_act"]},
    "h_new_1": {"op": "elementwise_sum", "input": ["h_new_1_part1", "h_new_1_part2"]},
    "h_new_1_act": {"op": "activation_tanh", "input": ["h_new_1"]},
    "h_new_0": {"op": "elementwise_prod", "input": ["h_new_1_act", "o_act"]},
})  # fmt: skip
GRU = json.dumps({
    "r": {"op": "linear", "input": ["x", "h_prev_0"]}, "r_act": {"op": "activation_sigm", "input": ["r"]},
    "z": {"op": "linear", "input": ["x", "h_prev_0"]}, "z_act": {"op": "activation_sigm", "input": ["z"]},
    "rh": {"op": "elementwise_prod", "input": ["r_act", "h_prev_0"]},
    "t": {"op": "linear", "input": ["x", "rh"]}, "t_act": {"op": "activation_tanh", "input": ["t"]},
    "h_new_0": {"op": "blend", "input": ["z_act", "h_prev_0", "t_act"]},
})  # fmt: skip


def made(**given):
    return SPACES["nasbench_nlp"](**given)


def small():
    return made(embedding=6, width=5, layers=2)


def params_by_formula(recipe, vocabulary):
    total = 401 * vocabulary
    for inputs, outputs in ((400, 600), (600, 600), (600, 400)):
        for node in json.loads(recipe).values():
            if node["op"] == "linear":
                total += outputs + sum(outputs * (inputs if one == "x" else outputs) for one in node["input"])
    return total


def test_parameters_are_those_of_the_table(nas_data):
    table, space = pd.read_csv(nas_data / "nasbench_nlp_wikitext2.csv.gz"), made()
    assert [params_by_formula(recipe, 33_278) for recipe in table["recepie"]] == table["num_params"].tolist()
    archs = [space.parse(recipe) for recipe in table["recepie"]]
    task = Task(33_278, length=2, kind="tokens")
    assert [counted(space, arch, task).params for arch in archs[::40]] == table["num_params"].tolist()[::40]
    hand_made = table["recepie_id"].between(1_000_000, 1_000_002)
    for arch, special, recipe in zip(archs, hand_made, table["recepie"], strict=True):
        assert space.valid(arch) or special
        assert space.parse(space.text(arch)) == arch
        assert len(json.loads(space.text(arch))) == len(json.loads(recipe))


@pytest.mark.parametrize(
    ("recipe", "wikitext", "penn"),
    [(RNN, 15_066_078, 5_731_600), (LSTM, 20_230_878, 10_896_400), (GRU, 18_509_278, 9_174_800)],
)
def test_hand_made_cells(recipe, wikitext, penn):
    space = made()
    arch = space.parse(recipe)
    for vocabulary, params in ((33_278, wikitext), (10_000, penn)):
        assert counted(space, arch, Task(vocabulary, length=2, kind="tokens")).params == params
    assert space.valid(arch) == (recipe == RNN)


def test_the_table_is_read_and_its_losses_are_made_small(nas_data):
    table = Table(nas_data / "nasbench_nlp_wikitext2.csv.gz", made())
    assert np.array_equal(table.target("-test_loss"), -table.frame["test_loss"].to_numpy(), equal_nan=True)
    assert table.row(table.archs[0])["num_params"] == 15_066_078
    with pytest.raises(UsageError, match=r"unknown column of .* '-test_los'"):
        table.target("-test_los")


VALUES = {
    "blend": lambda a, b, c: a * b + (1 - a) * c,
    "elementwise_prod": lambda a, b: a * b,
    "elementwise_sum": lambda a, b: a + b,
    "activation_tanh": lambda a: a.tanh(),
    "activation_sigm": lambda a: 1 / (1 + (-a).exp()),
    "activation_leaky_relu": lambda a: F.leaky_relu(a, 0.01),
}


def logits_of(net, tokens):
    """Logits of one sequence, node by node and token by token, with the matrices of ``net``."""
    sequence = [net.words.weight[token] for token in tokens]
    for layer in net.layers:
        cell, outputs = layer.cell, []
        size = next(iter(layer.parts.values())).out_features
        states = [torch.zeros(size, dtype=torch.float64)] * len(cell.states)
        for x in sequence:
            values = {"x": x} | {f"h_prev_{number}": state for number, state in enumerate(states)}
            for position, node in cell.nodes.items():
                a = [values[one] for one in node.inputs]
                if node.op == "linear":
                    matrices = [layer.parts[f"{position}-{number}"] for number in range(len(a))]
                    values[position] = sum(m.weight @ v for m, v in zip(matrices, a, strict=True)) + matrices[0].bias
                else:
                    values[position] = VALUES[node.op](*a)
            states = [values[position] for position in cell.states]
            outputs.append(states[0])
        sequence = outputs
    return torch.stack([net.words.weight @ h + net.bias for h in sequence])


def drawn(number):
    """A random cell with several kinds of nodes."""
    space = small()
    archs = (space.sample(Random(seed)) for seed in range(1000))
    rich = (arch for arch in archs if len({node.op for node in space.cell(arch).nodes.values()}) > 4)
    return space, next(islice(rich, number, None))


@pytest.mark.parametrize("recipe", [LSTM, GRU, 0, 1, 2])
def test_values_and_gradients_of_each_sequence(recipe, monkeypatch):
    space, arch = drawn(recipe) if isinstance(recipe, int) else (small(), small().parse(recipe))
    net, data = build(space, arch, TASK, 1).double(), sequences(masked=False)
    expected = torch.stack([logits_of(net, tokens) for tokens in data.images])
    assert torch.allclose(net(data.images), expected, rtol=1e-10)
    slow = one_sequence_at_a_time(net, data.images, data.labels)
    left = []
    monkeypatch.setattr(per_sample, "visit_imagewise", lambda net, weights, *rest: left.extend(weights))
    assert relative_error(blocks_of(net, data.images, data.labels), slow) < 1e-12
    assert not left  # one batched pass serves them all


def test_states_that_never_reach_the_output_count_and_have_no_gradient():
    space = small()
    recipe = json.loads(RNN) | {
        "g": {"op": "linear", "input": ["x", "h_prev_1"]}, "h_new_1": {"op": "activation_sigm", "input": ["g"]}
    }  # fmt: skip
    arch = space.parse(json.dumps(recipe))
    net, data = build(space, arch, TASK, 1).double(), sequences(masked=False)
    slow = one_sequence_at_a_time(net, data.images, data.labels)
    assert sum(not rows.any() for rows in slow.values()) == 4
    assert relative_error(blocks_of(net, data.images, data.labels), slow) < 1e-12
    assert counted(space, arch, TASK).params > counted(space, space.parse(RNN), TASK).params


def shuffled(cell, rng):
    """The same network, written otherwise."""
    order = []
    while len(order) < len(cell.nodes):
        ready = [
            p for p, node in cell.nodes.items()
            if p not in order and all(one in order for one in node.inputs if isinstance(one, int))
        ]  # fmt: skip
        order.append(rng.choice(ready))
    states = (0, *rng.sample(range(1, len(cell.states)), len(cell.states) - 1))
    other = cell.with_states(states).ordered(order)
    free = ("linear", "elementwise_prod", "elementwise_sum")
    nodes = {
        p: Node(node.op, tuple(rng.sample(node.inputs, len(node.inputs)))) if node.op in free else node
        for p, node in other.nodes.items()
    }
    return Cell(nodes, other.states)


def test_one_canonical_form_for_whatever_is_the_same_network():
    space = small()

    @quick(30)
    @given(st.integers(0, 10**6))
    def check(seed):
        rng = Random(seed)
        arch = space.sample(rng)
        other = space.arch(shuffled(space.cell(arch), rng))
        assert space.canonical(other) == space.canonical(arch)
        assert space.canonical(space.canonical(arch)) == space.canonical(arch)
        assert same_graph(space.graph(arch), space.graph(space.canonical(arch)))

    check()


def test_networks_of_the_table_share_a_form_exactly_where_they_are_isomorphic(nas_data):
    table, space = pd.read_csv(nas_data / "nasbench_nlp_wikitext2.csv.gz"), made()
    archs = list(dict.fromkeys(space.parse(recipe) for recipe in table["recepie"]))
    assert len({space.canonical(arch) for arch in archs}) == 153 < len(archs)
    groups = {}
    for arch in archs:
        groups.setdefault(_labels(space.graph(arch)), []).append(arch)
    for group in groups.values():
        for first, second in combinations(group, 2):
            isomorphic = same_graph(space.graph(first), space.graph(second))
            assert (space.canonical(first) == space.canonical(second)) == isomorphic


def test_many_nodes_that_are_alike_take_no_time():
    nodes = {}
    for number in range(8):
        nodes[2 * number] = Node("linear", ("x", "h_prev_0"))
        nodes[2 * number + 1] = Node("activation_tanh", (2 * number,))
    last = 1
    for number in range(3, 16, 2):
        nodes[len(nodes)] = Node("elementwise_sum", (last, number))
        last = len(nodes) - 1
    cell = Cell(nodes, (last,))
    assert cell.canonical() == shuffled(cell, Random(1)).canonical()


def test_sampling_keeps_the_published_limits():
    space = small()
    cells = [space.cell(space.sample(Random(seed))) for seed in range(150)]
    assert {len(cell.states) for cell in cells} == {1, 2, 3}
    assert max(len(cell.nodes) for cell in cells) <= 25
    assert {node.op for cell in cells for node in cell.nodes.values()} == set(space.slots[1]) - {"absent"}
    threes = [len(node.inputs) == 3 for cell in cells for node in cell.nodes.values() if node.op == "linear"]
    assert 0.1 < sum(threes) / len(threes) < 0.4


def test_mutants_are_cells():
    space, rng, changed = small(), Random(0), set()
    for seed in range(4):
        arch = space.sample(Random(seed))
        mutant = space.mutate(arch, rng)
        assert space.cell(mutant).keeps_rules()
        changed |= {space.slots[slot][-1] for slot in range(len(arch)) if arch[slot] != mutant[slot]}
    assert changed


def test_limits():
    space = small()
    limited = Limited(space, [parse_limit("params<=500")], TASK)
    archs = [limited.sample(Random(0))]
    assert all(counted(space, arch, TASK).params <= 500 for arch in archs)
    with pytest.raises(UsageError, match="no architecture of the space was found that satisfies params<=9"):
        Limited(made(embedding=6, width=5, layers=1, nodes=6), [parse_limit("params<=9")], TASK)


def test_it_is_no_lattice():
    space = small()
    assert not space.valid(space.full())
    with pytest.raises(UsageError, match="are drawn, and cannot be listed"):
        next(iter(space))
    with pytest.raises(UsageError, match="no way leads down to them"):
        space.cuts(space.full())


def broken(**nodes):
    return json.dumps(json.loads(RNN) | nodes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "has no new states h_new_0"),
        (RNN.replace("h_new_0", "h_new_1"), "has no new states h_new_0 to at most h_new_2"),
        (RNN.replace("tanh", "tan"), "unknown operation of h_new_0 'activation_tan'.*did you mean 'activation_tanh'"),
        (RNN.replace('["f"]', '["g"]'), "unknown input of h_new_0 'g'"),
        (RNN.replace('"x"', '"h_prev_1"'), "unknown input of f 'h_prev_1'"),
        (RNN.replace('"x"', '"h_new_0"'), "has nodes that wait for each other"),
        (RNN.replace('"x", ', ""), "linear takes 2 to 3 different inputs, not 1"),
        (RNN.replace('"x"', '"h_prev_0"'), "linear takes 2 to 3 different inputs, not 2"),
        (broken(g={"op": "elementwise_sum", "input": ["x", "f"]}), "elementwise_sum cannot read x"),
        (broken(g={"op": "elementwise_sum", "input": ["h_prev_0", "f"]}), "has nodes of which no new state is made"),
        (
            broken(
                f={"op": "linear", "input": ["h_prev_0", "h_prev_1"]}, h_new_1={"op": "activation_tanh", "input": ["f"]}
            ),
            "no linear node reads x",
        ),
        (broken(g={"op": ["linear"], "input": []}), "unknown operation of g"),
        (broken(g={"op": "linear"}), "node 'g' is an object with op and input"),
        (broken(g={"op": "linear", "input": [1, 2]}), "the inputs of 'g' are names of nodes"),
        (broken(x={"op": "linear", "input": ["x", "f"]}), "a node cannot be called 'x'"),
        (RNN[:-1] + ", " + RNN[1:], "it names 'f' twice"),
        (
            broken(**{f"n{i}": {"op": "linear", "input": ["x", "h_prev_0"]} for i in range(24)}),
            "has 26 nodes, and a cell at most 25",
        ),
    ],
)
def test_what_is_no_cell_is_said(text, reason):
    with pytest.raises(ValueError, match=reason):
        made().parse(text)
